//! The engine: token slices in, signals out.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;

use blt_checkpoint::{Checkpoint, CheckpointError, ModelConfig, Visibility};
use blt_core::{EngineError, EngineInfo, EntropyEngine, RowOutput, Session, Signals, StateSums, TokenId, Want};

use crate::adapter::{Adapter, Backend, guarded};
use crate::error::GpuError;
use crate::layout::{Layout, Weights};
use crate::model::{Model, Path, Profile};
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

/// How to compute.
#[derive(Debug, Clone, Copy)]
pub struct GpuOptions {
    /// Through which API.
    pub backend: Backend,
    /// On which of its adapters.
    pub device: usize,
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
/// Documents that keep an adapter busy when they are small.
const DOCUMENTS_AT_ONCE: usize = 32;
/// Tokens of a long document to push at once.
const TOKENS_AT_ONCE: usize = 16_384;

/// An entropy model on one adapter.
pub struct GpuEngine {
    info: EngineInfo,
    config: ModelConfig,
    /// Tokens of a piece, at most: it and what is kept before it must fit into a step.
    max_tokens: usize,
    profile: Option<Profile>,
    requests: Option<Sender<Request>>,
    worker: Option<JoinHandle<()>>,
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
        let adapter = Adapter::open(options.backend, options.device)?;
        let adapter_info = adapter.info();
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
        let (requests, queue) = channel();
        let (made, is_made) = sync_channel(1);
        let (config_there, info_there, profile_there) = (config.clone(), adapter_info.clone(), profile.clone());
        let compute = move || {
            let make =
                || Model::new(adapter.client, &info_there, path, float, config_there, layout, weights, profile_there);
            let model = match guarded(&info_there.name, make).flatten() {
                Ok(model) => model,
                Err(error) => return drop(made.send(Err(error))),
            };
            let name = info_there.name;
            match model.settle() {
                Ok(path) => drop(made.send(Ok((model.capacity, path)))),
                Err(reason) => return drop(made.send(Err(GpuError::Device { name, reason }))),
            }
            // One that panics all the same leaves nobody waiting: answers are not sent any more.
            let _ = catch_unwind(AssertUnwindSafe(|| work(&model, &queue)));
        };
        let failed = |reason: String| GpuError::Device { name: adapter_info.name.clone(), reason };
        let worker = std::thread::Builder::new().name(options.backend.name().to_owned()).spawn(compute);
        let worker = Some(worker.map_err(|error| failed(error.to_string()))?);
        let (capacity, path) = is_made.recv().map_err(|error| failed(error.to_string()))??;
        let max_tokens = capacity - config.window() - 2 * TILE;
        let info = EngineInfo {
            model: name.to_owned(),
            dim: config.dim,
            max_seqlen: config.max_seqlen,
            window: config.window(),
            device: format!("{} {} {} {}", options.backend, adapter_info.name, path.name(), float.name()),
            tokens_at_once: TOKENS_AT_ONCE,
            documents_at_once: DOCUMENTS_AT_ONCE,
        };
        Ok(Self { info, config: config.clone(), max_tokens, profile, requests: Some(requests), worker })
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
        GpuSession { engine: self, slot: None, visibility: Visibility::new(&self.config) }
    }

    /// Asks for something; without a worker nobody answers.
    fn ask(&self, request: Request) {
        if let Some(requests) = &self.requests {
            let _ = requests.send(request);
        }
    }

    /// Asks for a piece; where its answer comes.
    fn compute(&self, piece: Piece, keep: Keep, want: Want, wants_logits: bool) -> Receiver<Result<Reply, String>> {
        let (reply, answer) = sync_channel(1);
        let wants_states = want == Want::All;
        self.ask(Request::Piece(Job { piece, keep, wants_states, wants_logits, reply }));
        answer
    }

    /// Signals of an answer, with its states if there are any.
    fn signals(&self, reply: Reply, want: Want) -> Result<Signals, EngineError> {
        let embeddings = match reply.states {
            Some(states) => {
                let (to, answer) = sync_channel(1);
                self.ask(Request::Read(states, to));
                wait(&answer)?
            }
            None => Vec::new(),
        };
        let norms = if want == Want::Entropies { Vec::new() } else { reply.norms };
        Ok(Signals { entropies: reply.entropies, norms, embeddings })
    }
}

fn wait<R>(answer: &Receiver<Result<R, String>>) -> Result<R, EngineError> {
    let stopped = || Err("its thread has stopped".to_owned());
    answer.recv().unwrap_or_else(|_| stopped()).map_err(EngineError::Device)
}

impl Drop for GpuEngine {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(worker) = self.worker.take() {
            // One that panicked has said so.
            let _ = worker.join();
        }
    }
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
            let mut reply = session.advance(tokens, Want::All, true)?;
            output.logits.append(&mut reply.logits);
            output.signals.append(self.signals(reply, Want::All)?);
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
                fits.then(|| self.compute(self.new_session().piece(document), Keep::Nothing, want, false))
            })
            .collect();
        let answers = answers.into_iter().zip(documents).map(|(answer, document)| match answer {
            Some(answer) => self.signals(wait(&answer)?, want),
            None => self.new_session().push(document, want),
        });
        answers.collect()
    }
}

struct GpuSession<'a> {
    engine: &'a GpuEngine,
    slot: Option<crate::model::Slot>,
    /// Where the next token is, and what it sees.
    visibility: Visibility,
}

impl Session for GpuSession<'_> {
    fn push(&mut self, tokens: &[TokenId], want: Want) -> Result<Signals, EngineError> {
        self.engine.check(tokens)?;
        let mut signals = Signals::default();
        for tokens in tokens.chunks(self.engine.max_tokens) {
            let reply = self.advance(tokens, want, false)?;
            signals.append(self.engine.signals(reply, want)?);
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
        let reply = self.advance(tokens, Want::All, false)?;
        let signals = Signals { entropies: reply.entropies, norms: reply.norms, embeddings: Vec::new() };
        let ends = ends(&signals);
        assert!(
            ends.is_sorted() && ends.last().is_none_or(|&end| end as usize <= tokens.len()),
            "ranges of the states"
        );
        let sums: Vec<f64> = match reply.states {
            Some(states) if !ends.is_empty() => {
                let (to, answer) = sync_channel(1);
                self.engine.ask(Request::Sum(SumJob { states, ends, reply: to }));
                wait(&answer)?.into_iter().map(f64::from).collect()
            }
            _ => Vec::new(),
        };
        Ok(StateSums { signals, sums: Box::new(sums) })
    }

    fn reset(&mut self) {
        self.slot = None;
        self.visibility.restart();
    }
}

impl GpuSession<'_> {
    /// Computes a piece of at most `max_tokens`.
    fn advance(&mut self, tokens: &[TokenId], want: Want, wants_logits: bool) -> Result<Reply, EngineError> {
        if self.visibility.position() > 0 && self.slot.is_none() {
            return Err(EngineError::Device("an earlier piece of the document failed; it must be read anew".into()));
        }
        let piece = self.piece(tokens);
        let keep = self.slot.take().map_or(Keep::First, Keep::Later);
        let mut reply = wait(&self.engine.compute(piece, keep, want, wants_logits))?;
        self.slot = reply.slot.take();
        Ok(reply)
    }

    /// `tokens` behind what was read before, which are then read.
    fn piece(&mut self, tokens: &[TokenId]) -> Piece {
        let position = self.visibility.position();
        let first_visible = self.visibility.read(tokens);
        let n_kept = position.min(self.engine.config.window().saturating_sub(1) as u64) as usize;
        Piece { tokens: tokens.to_vec(), position, n_kept, first_visible }
    }
}
