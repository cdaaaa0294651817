//! The engine: token slices in, signals out.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;

use blt_checkpoint::{Checkpoint, CheckpointError, ModelConfig, Visibility};
use blt_core::{EngineError, EngineInfo, EntropyEngine, RowOutput, Session, Signals, StateSums, TokenId, Want};

use crate::adapter::{Adapter, Backend, guarded};
use crate::error::GpuError;
use crate::layout::{Layout, Weights};
use crate::model::{Model, Path, Profile, Slot};
use crate::step::{Piece, TILE};
use crate::worker::{Job, Keep, Reply, Request, SumJob, work};

/// Number type of weights, activations and the residual stream. Sums, softmax, norms, logits and entropies are float32
/// always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatType {
    /// 32 bits.
    F32,
    /// 16 bits, 5 of them exponent.
    F16,
}

impl FloatType {
    /// The name used in options.
    pub fn name(self) -> &'static str {
        match self {
            FloatType::F32 => "f32",
            FloatType::F16 => "f16",
        }
    }
}

/// Which adapters compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// One, by its number.
    One(usize),
    /// All of the first one's name, so that it does not matter which takes a document.
    All,
}

/// How to compute.
#[derive(Debug, Clone, Copy)]
pub struct GpuOptions {
    /// Through which API.
    pub backend: Backend,
    /// On which of its adapters.
    pub devices: Devices,
    /// In which numbers; `None` for float16 where the adapter has it, else float32.
    pub float: Option<FloatType>,
    /// Whether cooperative matrices are left aside, for comparisons.
    pub plain: bool,
    /// Whether [`GpuEngine::profile`] is to know where the time goes; then steps take longer.
    pub profiled: bool,
}

/// Heads are at most so wide.
const MAX_HEAD: usize = 128;
/// Weights in the kernels' layout, zeros between them included, may be so many times the model's. More is needed only by models
/// with heads or widths of a few numbers, which nobody trains but somebody may send.
const MAX_PADDING: usize = 8;
/// Documents that keep one adapter busy when they are small.
const DOCUMENTS_AN_ADAPTER: usize = 32;
/// Tokens of a long document to push at once.
const TOKENS_AT_ONCE: usize = 16_384;

/// An entropy model on one adapter or several.
pub struct GpuEngine {
    info: EngineInfo,
    config: ModelConfig,
    /// Tokens of a piece, at most: it and what is kept before it must fit into a step.
    max_tokens: usize,
    profile: Option<Profile>,
    workers: Vec<Worker>,
}

/// The thread behind an adapter, and what goes to it.
struct Worker {
    /// Nothing more comes once this is gone.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
    /// Tokens that were asked for and not answered yet.
    n_waiting: AtomicUsize,
    capacity: usize,
    path: Path,
}

impl Worker {
    /// Brings the model to `adapter`. Several may be under way at once: the answer says when it is there.
    fn start(
        adapter: Adapter,
        options: &GpuOptions,
        (path, float): (Path, FloatType),
        config: &ModelConfig,
        (layout, weights): (Layout, Weights),
        profile: Option<Profile>,
    ) -> Result<Starting, GpuError> {
        let (requests, queue) = channel();
        let (made, is_made) = sync_channel(1);
        let (info, config) = (adapter.info(), config.clone());
        let name = info.name.clone();
        let compute = move || {
            let make = || Model::new(adapter.client, &info, path, float, config, layout, weights, profile);
            let model = match guarded(&info.name, make).flatten() {
                Ok(model) => model,
                Err(error) => return drop(made.send(Err(error))),
            };
            let name = info.name;
            match model.settle() {
                Ok(path) => drop(made.send(Ok((model.capacity, path)))),
                Err(reason) => return drop(made.send(Err(GpuError::Device { name, reason }))),
            }
            // One that panics all the same leaves nobody waiting: answers are not sent any more.
            let _ = catch_unwind(AssertUnwindSafe(|| work(&model, &queue)));
        };
        let thread = std::thread::Builder::new().name(options.backend.name().to_owned()).spawn(compute);
        let thread = thread.map_err(|error| GpuError::Device { name: name.clone(), reason: error.to_string() })?;
        Ok(Starting { name, requests, thread, is_made })
    }
}

/// A worker whose model is on its way to the adapter.
struct Starting {
    name: String,
    requests: Sender<Request>,
    thread: JoinHandle<()>,
    is_made: Receiver<Result<(usize, Path), GpuError>>,
}

impl Starting {
    fn wait(self) -> Result<Worker, GpuError> {
        let Self { name, requests, thread, is_made } = self;
        let made = is_made.recv().map_err(|error| GpuError::Device { name, reason: error.to_string() });
        let (capacity, path) = made.flatten()?;
        let n_waiting = AtomicUsize::new(0);
        Ok(Worker { requests: Some(requests), thread: Some(thread), n_waiting, capacity, path })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl GpuEngine {
    /// Loads `checkpoint`.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint cannot be read, or there is no adapter that can compute it.
    pub fn load(checkpoint: &Checkpoint, options: &GpuOptions) -> Result<Self, GpuError> {
        Self::from_tensors(checkpoint.config(), &checkpoint.identity()?, options, |name| checkpoint.tensor_f32(name))
    }

    /// An engine of the sizes in `config` from the values that `tensor` gives for the names of the original's layout,
    /// row-major, `[out, in]` for matrices. `name` names it in outputs.
    ///
    /// # Errors
    ///
    /// Fails when `tensor` does, or there is no adapter that can compute it.
    ///
    /// # Panics
    ///
    /// When a tensor has not the size that [`blt_checkpoint::expected_tensors`] says.
    pub fn from_tensors(
        config: &ModelConfig,
        name: &str,
        options: &GpuOptions,
        mut tensor: impl FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
    ) -> Result<Self, GpuError> {
        let adapters = match options.devices {
            Devices::One(index) => vec![Adapter::open(options.backend, index)?],
            Devices::All => Adapter::open_alike(options.backend)?,
        };
        let adapter_info = adapters[0].info();
        let float = options.float.unwrap_or(if adapter_info.has_f16 { FloatType::F16 } else { FloatType::F32 });
        let unsupported = |what: String| GpuError::Unsupported { name: adapter_info.name.clone(), what };
        if float == FloatType::F16 && !adapter_info.has_f16 {
            return Err(unsupported("in f16".to_owned()));
        }
        let layout = Layout::new(config);
        if layout.head > MAX_HEAD {
            return Err(unsupported(format!("heads of width {}", config.head_dim)));
        }
        if layout.n_weights(config).is_none_or(|packed| packed > MAX_PADDING * config.n_params() + (1 << 24)) {
            return Err(unsupported("heads or widths of a few numbers".to_owned()));
        }
        let path = Path::new(&adapter_info, float, &layout, options.plain);
        let profile = options.profiled.then(Profile::default);
        let weights = Weights::pack(config, layout, float, &mut tensor)?;
        let n_adapters = adapters.len();
        let start = |(adapter, weights)| {
            Worker::start(adapter, options, (path, float), config, (layout, weights), profile.clone())
        };
        let starting: Vec<Starting> =
            adapters.into_iter().zip(std::iter::repeat_n(weights, n_adapters)).map(start).collect::<Result<_, _>>()?;
        let workers: Vec<Worker> = starting.into_iter().map(Starting::wait).collect::<Result<_, _>>()?;
        let (name_here, path) = (&adapter_info.name, workers[0].path);
        if workers.iter().any(|worker| worker.path != path) {
            let reason = "its cooperative matrices are not right on all of the adapters".to_owned();
            return Err(GpuError::Device { name: name_here.clone(), reason });
        }
        let capacity = workers.iter().map(|worker| worker.capacity).min().unwrap_or(0);
        let max_tokens = capacity - config.window() - 2 * TILE;
        let info = EngineInfo {
            model: name.to_owned(),
            dim: config.dim,
            max_seqlen: config.max_seqlen,
            window: config.window(),
            // How many adapters there are changes no result, so a run may go on with others.
            device: format!("{} {name_here} {} {}", options.backend, path.name(), float.name()),
            tokens_at_once: TOKENS_AT_ONCE,
            documents_at_once: DOCUMENTS_AN_ADAPTER * workers.len(),
        };
        Ok(Self { info, config: config.clone(), max_tokens, profile, workers })
    }

    /// Seconds of the adapter's time that each part of all steps so far took; empty unless asked for in the options.
    pub fn profile(&self) -> BTreeMap<&'static str, f64> {
        let profile = self.profile.as_ref();
        profile.map_or_else(BTreeMap::new, |profile| profile.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn check(&self, tokens: &[TokenId]) -> Result<(), EngineError> {
        blt_core::check_tokens(tokens, self.config.vocab_size)
    }

    fn new_session(&self) -> GpuSession<'_> {
        GpuSession { engine: self, kept: None, visibility: Visibility::new(&self.config) }
    }

    /// The adapter with the least to do.
    fn idlest(&self) -> usize {
        let n_waiting = |&device: &usize| self.workers[device].n_waiting.load(Ordering::Relaxed);
        (0..self.workers.len()).min_by_key(n_waiting).unwrap_or(0)
    }

    /// Asks an adapter for something; without its worker nobody answers.
    fn ask(&self, device: usize, request: Request) {
        if let Some(requests) = &self.workers[device].requests {
            let _ = requests.send(request);
        }
    }

    /// Asks an adapter for a piece.
    fn compute(&self, device: usize, piece: Piece, keep: Keep, want: Want, wants_logits: bool) -> Answer<'_> {
        let (reply, answer) = sync_channel(1);
        let (worker, n_tokens) = (&self.workers[device], piece.tokens.len());
        worker.n_waiting.fetch_add(n_tokens, Ordering::Relaxed);
        let wants_states = want == Want::All;
        self.ask(device, Request::Piece(Job { piece, keep, wants_states, wants_logits, reply }));
        Answer { worker, device, n_tokens, answer }
    }

    /// Signals of an adapter's answer, with its states if there are any.
    fn signals(&self, device: usize, reply: Reply, want: Want) -> Result<Signals, EngineError> {
        let embeddings = match reply.states {
            Some(states) => {
                let (to, answer) = sync_channel(1);
                self.ask(device, Request::Read(states, to));
                wait(&answer)?
            }
            None => Vec::new(),
        };
        let norms = if want == Want::Entropies { Vec::new() } else { reply.norms };
        Ok(Signals { entropies: reply.entropies, norms, embeddings })
    }
}

/// A piece that an adapter was asked for.
struct Answer<'a> {
    worker: &'a Worker,
    device: usize,
    n_tokens: usize,
    answer: Receiver<Result<Reply, String>>,
}

impl Answer<'_> {
    fn wait(self) -> Result<Reply, EngineError> {
        wait(&self.answer)
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.worker.n_waiting.fetch_sub(self.n_tokens, Ordering::Relaxed);
    }
}

fn wait<R>(answer: &Receiver<Result<R, String>>) -> Result<R, EngineError> {
    let stopped = || Err("its thread has stopped".to_owned());
    answer.recv().unwrap_or_else(|_| stopped()).map_err(EngineError::Device)
}

impl fmt::Debug for GpuEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuEngine").field("info", &self.info).finish_non_exhaustive()
    }
}

impl EntropyEngine for GpuEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self.new_session())
    }

    fn row(&self, tokens: &[TokenId]) -> Result<RowOutput, EngineError> {
        self.check(tokens)?;
        let mut session = self.new_session();
        let mut output = RowOutput::default();
        for tokens in tokens.chunks(self.max_tokens) {
            let (device, mut reply) = session.advance(tokens, Want::All, true)?;
            output.logits.append(&mut reply.logits);
            output.signals.append(self.signals(device, reply, Want::All)?);
        }
        Ok(output)
    }

    fn batch(&self, documents: &[&[TokenId]], want: Want) -> Result<Vec<Signals>, EngineError> {
        for document in documents {
            self.check(document)?;
        }
        // All that fit into a step are asked for before the first is waited for.
        let answers: Vec<_> = documents
            .iter()
            .map(|document| {
                let fits = !document.is_empty() && document.len() <= self.max_tokens;
                fits.then(|| {
                    let piece = self.new_session().piece(document);
                    self.compute(self.idlest(), piece, Keep::Nothing, want, false)
                })
            })
            .collect();
        let answers = answers.into_iter().zip(documents).map(|(answer, document)| match answer {
            Some(answer) => self.signals(answer.device, answer.wait()?, want),
            None => self.new_session().push(document, want),
        });
        answers.collect()
    }
}

struct GpuSession<'a> {
    engine: &'a GpuEngine,
    /// What the document keeps between its pieces, and on which adapter.
    kept: Option<(usize, Slot)>,
    /// Where the next token is, and what it sees.
    visibility: Visibility,
}

impl Session for GpuSession<'_> {
    fn push(&mut self, tokens: &[TokenId], want: Want) -> Result<Signals, EngineError> {
        self.engine.check(tokens)?;
        let mut signals = Signals::default();
        for tokens in tokens.chunks(self.engine.max_tokens) {
            let (device, reply) = self.advance(tokens, want, false)?;
            signals.append(self.engine.signals(device, reply, want)?);
        }
        Ok(signals)
    }

    fn push_summed(
        &mut self,
        tokens: &[TokenId],
        ends: &mut dyn FnMut(&Signals) -> Vec<u32>,
    ) -> Result<StateSums, EngineError> {
        if tokens.is_empty() || tokens.len() > self.engine.max_tokens {
            let mut signals = self.push(tokens, Want::All)?;
            let ends = ends(&signals);
            let sums = Box::new(signals.sum_states(&ends));
            signals.embeddings.clear();
            return Ok(StateSums { signals, sums });
        }
        self.engine.check(tokens)?;
        let (device, reply) = self.advance(tokens, Want::All, false)?;
        let signals = Signals { entropies: reply.entropies, norms: reply.norms, embeddings: Vec::new() };
        let ends = ends(&signals);
        assert!(
            ends.is_sorted() && ends.last().is_none_or(|&end| end as usize <= tokens.len()),
            "ranges of the states"
        );
        let sums: Vec<f64> = match reply.states {
            Some(states) if !ends.is_empty() => {
                let (to, answer) = sync_channel(1);
                self.engine.ask(device, Request::Sum(SumJob { states, ends, reply: to }));
                wait(&answer)?.into_iter().map(f64::from).collect()
            }
            _ => Vec::new(),
        };
        Ok(StateSums { signals, sums: Box::new(sums) })
    }

    fn reset(&mut self) {
        self.kept = None;
        self.visibility.restart();
    }
}

impl GpuSession<'_> {
    /// Computes a piece of at most `max_tokens`; on which adapter, and what came of it.
    fn advance(&mut self, tokens: &[TokenId], want: Want, wants_logits: bool) -> Result<(usize, Reply), EngineError> {
        if self.visibility.position() > 0 && self.kept.is_none() {
            return Err(EngineError::Device("an earlier piece of the document failed; it must be read anew".into()));
        }
        let piece = self.piece(tokens);
        let (device, keep) = match self.kept.take() {
            Some((device, slot)) => (device, Keep::Later(slot)),
            None => (self.engine.idlest(), Keep::First),
        };
        let mut reply = self.engine.compute(device, piece, keep, want, wants_logits).wait()?;
        self.kept = reply.slot.take().map(|slot| (device, slot));
        Ok((device, reply))
    }

    /// `tokens` behind what was read before, which are then read.
    fn piece(&mut self, tokens: &[TokenId]) -> Piece {
        let position = self.visibility.position();
        let first_visible = self.visibility.read(tokens);
        let n_kept = position.min(self.engine.config.window().saturating_sub(1) as u64) as usize;
        Piece { tokens: tokens.to_vec(), position, n_kept, first_visible }
    }
}
