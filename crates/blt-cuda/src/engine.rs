//! The engine: token slices in, signals out.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use blt_checkpoint::{Checkpoint, CheckpointError, ModelConfig, Visibility};
use blt_core::{EngineError, EngineInfo, EntropyEngine, RowOutput, Session, Signals, StateSums, TokenId, Want};

use crate::driver::{Device, Pinned, Stream};
use crate::error::CudaError;
use crate::layout::{Layout, Weights};
use crate::model::Model;
use crate::program::Path;
use crate::step::{Piece, TILE};
use crate::worker::{Job, Keep, Kept, Queue, Reply, refuse, work};

/// Number type of weights, activations and the residual stream. Sums, softmax, norms, logits and entropies are float32
/// always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatType {
    /// 32 bits: within 2e-4 nats of the float64 reference, at a twentieth of the speed.
    F32,
    /// 16 bits, 8 of them exponent.
    Bf16,
    /// 16 bits, 5 of them exponent.
    F16,
}

impl FloatType {
    /// The name used in options.
    pub fn name(self) -> &'static str {
        match self {
            FloatType::F32 => "f32",
            FloatType::Bf16 => "bf16",
            FloatType::F16 => "f16",
        }
    }
}

/// Which cards compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// One, by its number.
    One(usize),
    /// All that the driver shows; documents go to whichever is free.
    All,
}

/// How to compute.
#[derive(Debug, Clone, Copy)]
pub struct CudaOptions {
    /// On which cards.
    pub devices: Devices,
    /// In which numbers.
    pub float: FloatType,
    /// Whether Hopper's own instructions are left aside, for comparisons.
    pub portable: bool,
    /// Whether [`CudaEngine::profile`] is to know where the time goes.
    pub profiled: bool,
}

/// Weights in the kernels' layout, zeros between them included, may be so many times the model's. More is needed only by models
/// with heads or widths of a few numbers, which nobody trains but somebody may send.
const MAX_PADDING: usize = 8;

/// Documents that keep one card busy when they are small.
const DOCUMENTS_A_DEVICE: usize = 64;

/// Most numbers in buffers that are kept for later sums, of one card: 2 GB. Pinning memory stops the card's driver for
/// milliseconds a megabyte, so that doing without these costs a third of the speed on documents of real lengths.
const MAX_POOLED_NUMBERS: usize = 1 << 28;

/// Tokens of a long document to push at once.
const TOKENS_AT_ONCE: usize = 32_768;

/// An entropy model on one card or several.
pub struct CudaEngine {
    info: EngineInfo,
    config: ModelConfig,
    devices: Vec<OnDevice>,
    queue: Arc<Queue>,
    workers: Vec<JoinHandle<()>>,
}

/// What callers use of a card beside its worker.
struct OnDevice {
    model: Arc<Model>,
    /// For bringing states here.
    stream: Mutex<Arc<Stream>>,
    /// Memory that sums came in and nobody reads any more.
    buffers: Arc<Mutex<Buffers>>,
}

/// Pinned memory, its sizes powers of two.
#[derive(Default)]
struct Buffers {
    free: Vec<Pinned<f64>>,
    n_numbers: usize,
}

impl Buffers {
    /// The smallest of at least `n` numbers.
    fn take(&mut self, n: usize) -> Option<Pinned<f64>> {
        let fitting = self.free.iter().enumerate().filter(|(_, buffer)| buffer.len() >= n);
        let (best, _) = fitting.min_by_key(|(_, buffer)| buffer.len())?;
        let buffer = self.free.swap_remove(best);
        self.n_numbers -= buffer.len();
        Some(buffer)
    }

    /// Keeps `buffer` if there is room; otherwise gives it back.
    fn put(&mut self, buffer: Pinned<f64>) -> Option<Pinned<f64>> {
        if self.n_numbers + buffer.len() > MAX_POOLED_NUMBERS {
            return Some(buffer);
        }
        self.n_numbers += buffer.len();
        self.free.push(buffer);
        None
    }
}

impl OnDevice {
    /// Memory for at least `n` numbers.
    fn take_buffer(&self, n: usize) -> Result<Pinned<f64>, EngineError> {
        let free = self.buffers.lock().unwrap_or_else(PoisonError::into_inner).take(n);
        let new = || Pinned::new(&self.model.stream.device, n.next_power_of_two());
        free.map_or_else(new, Ok).map_err(|error| EngineError::Device(error.to_string()))
    }
}

/// Sums in memory that goes back to where it came from.
struct Sums {
    numbers: Option<Pinned<f64>>,
    n: usize,
    pool: Arc<Mutex<Buffers>>,
}

impl AsRef<[f64]> for Sums {
    fn as_ref(&self) -> &[f64] {
        self.numbers.as_ref().map_or(&[], |numbers| &numbers[..self.n])
    }
}

impl Drop for Sums {
    fn drop(&mut self) {
        let buffer = self.numbers.take();
        let left = buffer.and_then(|buffer| self.pool.lock().unwrap_or_else(PoisonError::into_inner).put(buffer));
        drop(left); // not while others wait for the pool
    }
}

impl CudaEngine {
    /// Loads `checkpoint`.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint cannot be read, or there is no card that can compute it.
    pub fn load(checkpoint: &Checkpoint, options: &CudaOptions) -> Result<Self, CudaError> {
        Self::from_tensors(checkpoint.config(), &checkpoint.identity()?, options, |name| checkpoint.tensor_f32(name))
    }

    /// An engine of the sizes in `config` from the values that `tensor` gives for the names of the original's layout,
    /// row-major, `[out, in]` for matrices. `name` names it in outputs.
    ///
    /// # Errors
    ///
    /// Fails when `tensor` does, or there is no card that can compute it.
    ///
    /// # Panics
    ///
    /// When a tensor has not the size that [`blt_checkpoint::expected_tensors`] says.
    pub fn from_tensors(
        config: &ModelConfig,
        name: &str,
        options: &CudaOptions,
        mut tensor: impl FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
    ) -> Result<Self, CudaError> {
        let count = Device::count()?;
        let indices: Vec<usize> = match options.devices {
            Devices::One(index) => vec![index],
            Devices::All if count == 0 => return Err(CudaError::NoDevice),
            Devices::All => (0..count).collect(),
        };
        let is_fused = options.float != FloatType::F32;
        let layout = Layout::new(config, is_fused);
        let devices = indices.iter().map(|&index| Device::open(index)).collect::<Result<Vec<_>, _>>()?;
        let unsupported = |device: &Device, what: String| CudaError::Unsupported {
            name: device.name.clone(),
            capability: device.capability,
            what,
        };
        let max_head = if is_fused { 128 } else { 256 };
        if layout.head > max_head {
            return Err(unsupported(
                &devices[0],
                format!("heads of width {} in {}", config.head_dim, options.float.name()),
            ));
        }
        if layout.n_weights(config).is_none_or(|packed| packed > MAX_PADDING * config.n_params() + (1 << 24)) {
            return Err(unsupported(&devices[0], "heads or widths of a few numbers".to_owned()));
        }
        let path = |device: &Device| {
            let best = Path::best(device, options.float);
            let best = best.ok_or_else(|| unsupported(device, format!("in {}", options.float.name())))?;
            let is_portable = options.portable || layout.head != 64;
            Ok::<_, CudaError>(if best == Path::Hopper && is_portable { Path::Ampere } else { best })
        };
        let paths = devices.iter().map(|device| path(device)).collect::<Result<Vec<_>, _>>()?;
        let weights = Weights::pack(config, &layout, &mut tensor)?;
        let (mut models, mut documents_at_once) = (Vec::new(), 0);
        for (device, path) in devices.iter().zip(paths) {
            let model = Model::new(device, path, options.float, config, layout, &weights, options.profiled)?;
            documents_at_once += model.room_for_documents(TOKENS_AT_ONCE)?.clamp(1, DOCUMENTS_A_DEVICE);
            models.push(Arc::new(model));
        }
        let first = &models[0];
        // How many cards there are changes no result, so a run may go on with others.
        let device = format!("cuda {} {} {}", first.stream.device.name, first.path.name(), options.float.name());
        let info = EngineInfo {
            model: name.to_owned(),
            dim: config.dim,
            max_seqlen: config.max_seqlen,
            window: config.window(),
            device,
            tokens_at_once: TOKENS_AT_ONCE,
            documents_at_once,
        };
        let queue = Arc::new(Queue::new(models.len()));
        let devices = models.into_iter().map(|model| {
            let stream = Mutex::new(Stream::urgent(&model.stream.device)?);
            Ok::<_, CudaError>(OnDevice { model, stream, buffers: Arc::default() })
        });
        let devices = devices.collect::<Result<Vec<_>, _>>()?;
        let mut engine = Self { info, config: config.clone(), devices, queue, workers: Vec::new() };
        for (i, device) in engine.devices.iter().enumerate() {
            let (model, queue) = (device.model.clone(), engine.queue.clone());
            let compute = move || {
                // Nobody waits for ever for a worker that has panicked.
                if catch_unwind(AssertUnwindSafe(|| work(i, &model, &queue))).is_err() {
                    refuse(i, &model, &queue, "its thread has panicked");
                }
            };
            // If one cannot be started, dropping the engine ends those before it.
            let thread = std::thread::Builder::new().name(format!("cuda-{i}")).spawn(compute);
            engine.workers.push(thread.map_err(|error| CudaError::Driver(error.to_string()))?);
        }
        Ok(engine)
    }

    /// Seconds of the cards' time that each part of all steps so far took; empty unless asked for in the options.
    ///
    /// # Errors
    ///
    /// Fails when a card does.
    pub fn profile(&self) -> Result<std::collections::BTreeMap<&'static str, f64>, CudaError> {
        let mut seconds = std::collections::BTreeMap::new();
        for device in &self.devices {
            device.model.stream.device.bind()?;
            for (part, more) in device.model.profile()? {
                *seconds.entry(part).or_default() += more;
            }
        }
        Ok(seconds)
    }

    fn check(&self, tokens: &[TokenId]) -> Result<(), EngineError> {
        blt_core::check_tokens(tokens, self.config.vocab_size)
    }

    /// Tokens of a piece, at most: it and what is kept before it must fit into a step.
    fn max_tokens(&self) -> usize {
        let capacity = self.devices.iter().map(|device| device.model.capacity).min().unwrap_or(0);
        capacity - self.config.window() - 2 * TILE
    }

    fn new_session(&self) -> CudaSession<'_> {
        CudaSession { engine: self, kept: None, visibility: Visibility::new(&self.config) }
    }

    /// A job, and where its answer comes.
    fn job(piece: Piece, keep: Keep, want: Want, wants_logits: bool) -> (Job, Receiver<Result<Reply, String>>) {
        let (reply, answer) = sync_channel(1);
        let (wants_norms, wants_states) = (want != Want::Entropies, want == Want::All);
        (Job { piece, keep, wants_norms, wants_states, wants_logits, reply, number: 0 }, answer)
    }

    /// Calls `read` with the card's model and a stream beside its worker's.
    fn beside<R>(
        &self,
        device: usize,
        read: impl FnOnce(&Model, &Arc<Stream>) -> Result<R, CudaError>,
    ) -> Result<R, EngineError> {
        let OnDevice { model, stream, .. } = &self.devices[device];
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        let result = model.stream.device.bind().and_then(|()| read(model, &stream));
        result.map_err(|error| EngineError::Device(error.to_string()))
    }

    /// Signals of an answer with its states, if there are any.
    fn signals(&self, reply: Reply) -> Result<Signals, EngineError> {
        let n = reply.entropies.len();
        let embeddings = match &reply.states {
            Some(states) => self.beside(reply.device, |model, stream| model.read_states(stream, states, n))?,
            None => Vec::new(),
        };
        Ok(Signals { entropies: reply.entropies, norms: reply.norms, embeddings })
    }
}

fn wait(answer: &Receiver<Result<Reply, String>>) -> Result<Reply, EngineError> {
    let stopped = || Err("its thread has stopped".to_owned());
    answer.recv().unwrap_or_else(|_| stopped()).map_err(EngineError::Device)
}

impl Drop for CudaEngine {
    fn drop(&mut self) {
        self.queue.close();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so.
            let _ = worker.join();
        }
    }
}

impl fmt::Debug for CudaEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaEngine").field("info", &self.info).finish_non_exhaustive()
    }
}

impl EntropyEngine for CudaEngine {
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
        for tokens in tokens.chunks(self.max_tokens()) {
            let mut reply = session.advance(tokens, Want::All, true)?;
            if let Some(logits) = reply.logits.take() {
                output.logits.extend(
                    self.beside(reply.device, |model, stream| model.read_logits(stream, &logits, tokens.len()))?,
                );
            }
            output.signals.append(self.signals(reply)?);
        }
        Ok(output)
    }

    fn batch(&self, documents: &[&[TokenId]], want: Want) -> Result<Vec<Signals>, EngineError> {
        for document in documents {
            self.check(document)?;
        }
        // All that fit into a step are queued before the first is waited for; for several cards by several threads, as one
        // prepares documents no faster than three cards compute the small models.
        let queue = |documents: &[&[TokenId]]| {
            let (mut jobs, mut answers) = (Vec::new(), Vec::new());
            for document in documents {
                let fits = !document.is_empty() && document.len() <= self.max_tokens();
                answers.push(fits.then(|| {
                    let (job, answer) = Self::job(self.new_session().piece(document), Keep::Nothing, want, false);
                    jobs.push(job);
                    answer
                }));
            }
            self.queue.push(jobs);
            answers
        };
        let parts = documents.chunks(documents.len().div_ceil(self.devices.len()).max(1));
        let answers: Vec<_> = std::thread::scope(|scope| {
            let (first, others) = (parts.clone().take(1), parts.skip(1));
            let others: Vec<_> = others.map(|part| scope.spawn(move || queue(part))).collect();
            let first: Vec<_> = first.flat_map(queue).collect();
            let others = others.into_iter().map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic)));
            first.into_iter().chain(others.flatten()).collect()
        });
        let answers = answers.into_iter().zip(documents).map(|(answer, document)| match answer {
            Some(answer) => self.signals(wait(&answer)?),
            None => self.new_session().push(document, want),
        });
        answers.collect()
    }
}

struct CudaSession<'a> {
    engine: &'a CudaEngine,
    kept: Option<Kept>,
    /// Where the next token is, and what it sees.
    visibility: Visibility,
}

impl Session for CudaSession<'_> {
    fn push(&mut self, tokens: &[TokenId], want: Want) -> Result<Signals, EngineError> {
        self.engine.check(tokens)?;
        let mut signals = Signals::default();
        for tokens in tokens.chunks(self.engine.max_tokens()) {
            let reply = self.advance(tokens, want, false)?;
            signals.append(self.engine.signals(reply)?);
        }
        Ok(signals)
    }

    fn push_summed(
        &mut self,
        tokens: &[TokenId],
        ends: &mut dyn FnMut(&Signals) -> Vec<u32>,
    ) -> Result<StateSums, EngineError> {
        if tokens.is_empty() || tokens.len() > self.engine.max_tokens() {
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
        let n = ends.len() * self.engine.info.dim;
        let mut numbers = self.engine.devices[reply.device].take_buffer(n)?;
        if let Some(states) = &reply.states {
            self.engine.beside(reply.device, |model, stream| model.sum_states(stream, states, &ends, &mut numbers))?;
        }
        let pool = self.engine.devices[reply.device].buffers.clone();
        Ok(StateSums { signals, sums: Box::new(Sums { numbers: Some(numbers), n, pool }) })
    }

    fn reset(&mut self) {
        self.kept = None;
        self.visibility.restart();
    }
}

impl CudaSession<'_> {
    /// Runs a piece of at most `max_tokens`.
    fn advance(&mut self, tokens: &[TokenId], want: Want, wants_logits: bool) -> Result<Reply, EngineError> {
        if self.visibility.position() > 0 && self.kept.is_none() {
            return Err(EngineError::Device("an earlier piece of the document failed; it must be read anew".into()));
        }
        let piece = self.piece(tokens);
        let keep = self.kept.take().map_or(Keep::First, Keep::Later);
        let (job, answer) = CudaEngine::job(piece, keep, want, wants_logits);
        self.engine.queue.push([job]);
        let mut reply = wait(&answer)?;
        self.kept = reply.kept.take();
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
