//! The engine: token slices in, signals out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use blt_checkpoint::{Checkpoint, CheckpointError, ModelConfig, Visibility};
use blt_core::{EngineError, EngineInfo, EntropyEngine, RowOutput, Session, Signals, TokenId, Want};

use crate::element::Bf16;
use crate::kernels::{HasKernels, InstructionSet, Kernels};
use crate::quantization::Quantization;
use crate::threads::{Line, Share, Threads};
use crate::transformer::{Alone, Chunk, Scratch, Transformer, Wanted};
use crate::window::{BLOCK, Window};

/// Number type of weights and activations. Sums, norms, scores, entropies and the residual stream are float32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatType {
    /// 32 bits: within 2e-4 nats of the float64 reference.
    F32,
    /// 16 bits, 8 of them exponent.
    Bf16,
}

/// How to compute.
#[derive(Debug, Clone, Copy, Default)]
pub struct CpuOptions {
    /// `None` for what is faster here: bfloat16 where the processor multiplies it.
    pub float: Option<FloatType>,
    /// `None` for the best that the processor has.
    pub instructions: Option<InstructionSet>,
    /// How the weights of the layers are held.
    pub quantization: Quantization,
    /// Threads that all calls together may use; 0 for one a core.
    pub threads: usize,
}

/// Packed weights, zeros between them included, may be so many times the weights. More is needed only by models with heads
/// or widths of a few numbers, which nobody trains but somebody may send.
const MAX_PADDING: usize = 8;

/// Most products of bytes whose sum is sure to fit into 32 bits.
const MAX_INT8_DEPTH: usize = 1 << 16;

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The checkpoint's tensors could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The instructions asked for cannot be used.
    #[error("instructions `{instructions}` cannot be used: {reason}")]
    Instructions {
        /// What was asked for.
        instructions: InstructionSet,
        /// Why not.
        reason: &'static str,
    },
    /// The model's heads or widths are so narrow that packing would take many times the memory of its weights.
    #[error("the heads or widths of this model of {n_params} weights are too narrow to be packed")]
    Padding {
        /// How many weights it has.
        n_params: usize,
    },
    /// The model is too wide for 8-bit products.
    #[error("the model sums {width} products, more than the 65536 whose sum fits into 32 bits")]
    TooWide {
        /// The widest of its matrices.
        width: usize,
    },
}

impl LoadError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Checkpoint(error) => error.hint(),
            Self::Padding { .. } => {
                Some("compute with Burn: `--backend burn-cpu` in a build with `--features burn-cpu`")
            }
            Self::TooWide { .. } => Some("compute without `--quantize int8`"),
            Self::Instructions { .. } => Some("leave the choice to the program, or ask `blt-cli doctor` what there is"),
        }
    }
}

/// An entropy model on this machine's processor.
#[derive(Debug)]
pub struct CpuEngine {
    model: Box<dyn EntropyEngine>,
    weight_bytes: usize,
}

impl CpuEngine {
    /// Loads `checkpoint`.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint cannot be read or the instructions asked for cannot be used.
    pub fn load(checkpoint: &Checkpoint, options: &CpuOptions) -> Result<Self, LoadError> {
        Self::from_tensors(checkpoint.config(), &checkpoint.identity()?, options, |name| checkpoint.tensor_f32(name))
    }

    /// An engine of the sizes in `config` from the values that `tensor` gives for the names of the original's layout,
    /// row-major, `[out, in]` for matrices. `name` names it in outputs.
    ///
    /// # Errors
    ///
    /// Fails when `tensor` does or the instructions asked for cannot be used.
    ///
    /// # Panics
    ///
    /// When a tensor has not the size that [`blt_checkpoint::expected_tensors`] says.
    pub fn from_tensors(
        config: &ModelConfig,
        name: &str,
        options: &CpuOptions,
        tensor: impl FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
    ) -> Result<Self, LoadError> {
        let (float, instructions) = options.resolve()?;
        let packed = Transformer::<f32>::packed_len(config);
        if packed.is_none_or(|packed| packed > MAX_PADDING * config.n_params() + (1 << 24)) {
            return Err(LoadError::Padding { n_params: config.n_params() });
        }
        let deepest = config.dim.max(config.ffn_dim).max(config.n_heads * config.head_dim);
        if options.quantization == Quantization::Int8 && deepest > MAX_INT8_DEPTH {
            return Err(LoadError::TooWide { width: deepest });
        }
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        Ok(match float {
            FloatType::F32 => {
                Model::<f32>::new(config, name, instructions, options.quantization, threads, tensor)?.boxed()
            }
            FloatType::Bf16 => {
                Model::<Bf16>::new(config, name, instructions, options.quantization, threads, tensor)?.boxed()
            }
        })
    }

    /// Bytes of the packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }
}

impl CpuOptions {
    /// What is computed with on this machine, and with which instructions.
    ///
    /// # Errors
    ///
    /// Fails when the instructions asked for cannot be used.
    pub fn resolve(&self) -> Result<(FloatType, InstructionSet), LoadError> {
        if let Some(instructions) = self.instructions {
            instructions.check().map_err(|reason| LoadError::Instructions { instructions, reason })?;
            let default = if instructions.has_bf16() { FloatType::Bf16 } else { FloatType::F32 };
            let float = self.float.unwrap_or(default);
            if float == FloatType::F32 && instructions.has_bf16() {
                let reason = "it multiplies bf16 numbers, and f32 was asked for";
                return Err(LoadError::Instructions { instructions, reason });
            }
            return Ok((float, instructions));
        }
        let best = |float| {
            let mut sets = InstructionSet::ALL.into_iter().rev();
            let suits = |set: InstructionSet| float == FloatType::Bf16 || !set.has_bf16();
            let fits = |&set: &InstructionSet| suits(set) && set.is_available() && set.is_fast();
            sets.find(fits).unwrap_or(InstructionSet::Portable)
        };
        Ok(match self.float {
            Some(float) => (float, best(float)),
            None if best(FloatType::Bf16).has_bf16() => (FloatType::Bf16, best(FloatType::Bf16)),
            None => (FloatType::F32, best(FloatType::F32)),
        })
    }
}

impl FloatType {
    /// The name used in options.
    pub fn name(self) -> &'static str {
        match self {
            FloatType::F32 => "f32",
            FloatType::Bf16 => "bf16",
        }
    }
}

impl EntropyEngine for CpuEngine {
    fn info(&self) -> &EngineInfo {
        self.model.info()
    }

    fn session(&self) -> Box<dyn Session + '_> {
        self.model.session()
    }

    fn row(&self, tokens: &[TokenId]) -> Result<RowOutput, EngineError> {
        self.model.row(tokens)
    }

    fn batch(&self, documents: &[&[TokenId]], want: Want) -> Result<Vec<Signals>, EngineError> {
        self.model.batch(documents, want)
    }
}

/// The engine for one element type.
#[derive(Debug)]
struct Model<E: HasKernels> {
    transformer: Transformer<E>,
    kernels: Kernels<E>,
    info: EngineInfo,
    threads: Threads,
    /// Scratch memory of calls that have ended.
    idle: Mutex<Vec<Scratch<E>>>,
}

impl<E: HasKernels> Model<E> {
    fn new(
        config: &ModelConfig,
        name: &str,
        instructions: InstructionSet,
        quantization: Quantization,
        threads: usize,
        tensor: impl FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
    ) -> Result<Self, LoadError> {
        let transformer = Transformer::<E>::pack(config, quantization, tensor)?;
        let kernels = E::kernels(instructions);
        let float = if E::IS_EXACT { FloatType::F32 } else { FloatType::Bf16 };
        let info = EngineInfo {
            model: name.to_owned(),
            dim: config.dim,
            max_seqlen: config.max_seqlen,
            window: config.window(),
            device: match quantization {
                Quantization::None => format!("cpu {} {}", kernels.instructions, float.name()),
                how => format!("cpu {} {} {}", kernels.instructions, float.name(), how.name()),
            },
            tokens_at_once: (8 * threads * kernels.chunk).clamp(1024, 8192),
            documents_at_once: threads,
        };
        Ok(Self { transformer, kernels, info, threads: Threads::new(threads), idle: Mutex::new(Vec::new()) })
    }

    fn boxed(self) -> CpuEngine {
        let weight_bytes = self.transformer.n_bytes();
        CpuEngine { model: Box::new(self), weight_bytes }
    }

    fn check(&self, tokens: &[TokenId]) -> Result<(), EngineError> {
        blt_core::check_tokens(tokens, self.transformer.config.vocab_size)
    }

    fn new_session(&self) -> CpuSession<'_, E> {
        let blocks = self.ring_blocks(1);
        let window = || Window::new(blocks, self.transformer.window_block_len());
        let windows = (0..self.transformer.n_layers()).map(|_| window()).collect();
        CpuSession { model: self, windows, visibility: Visibility::new(&self.transformer.config) }
    }

    /// Blocks of a window through which `n_threads` follow each other. A thread that writes its chunk must not reach, from
    /// behind, what the last of the others still reads: the others are at most `n_threads - 1` chunks behind, and read a
    /// window before theirs.
    fn ring_blocks(&self, n_threads: usize) -> usize {
        (n_threads * self.kernels.chunk + self.transformer.config.window()).div_ceil(BLOCK) + 2
    }

    /// Calls `compute` with scratch memory, which is kept for later calls.
    fn with_scratch<R>(&self, compute: impl FnOnce(&mut Scratch<E>) -> R) -> R {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut scratch = taken.unwrap_or_else(|| self.transformer.scratch(self.kernels.chunk));
        let result = compute(&mut scratch);
        idle().push(scratch);
        result
    }
}

impl<E: HasKernels> EntropyEngine for Model<E> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(self.new_session())
    }

    fn row(&self, tokens: &[TokenId]) -> Result<RowOutput, EngineError> {
        self.check(tokens)?;
        let mut output = RowOutput::default();
        output.signals = self.new_session().compute(tokens, Want::All, 1, Some(&mut output.logits));
        Ok(output)
    }

    fn batch(&self, documents: &[&[TokenId]], want: Want) -> Result<Vec<Signals>, EngineError> {
        for document in documents {
            self.check(document)?;
        }
        // Documents go to whichever thread is free; each stays on its thread unless others have run out of documents.
        let next = AtomicUsize::new(0);
        let work = |share: Share<'_>| {
            let mut results = Vec::new();
            let mut session = self.new_session();
            while let Some((i, document)) = {
                let i = next.fetch_add(1, Ordering::Relaxed);
                documents.get(i).map(|document| (i, document))
            } {
                session.reset();
                let more = self.threads.more(session.n_chunks(document).saturating_sub(1));
                results.push((i, session.compute(document, want, 1 + more.n(), None)));
            }
            drop(share);
            results
        };
        let mut results: Vec<Signals> = vec![Signals::default(); documents.len()];
        let mut shares = self.threads.share(documents.len()).split();
        std::thread::scope(|scope| {
            let own = shares.pop().expect("a share is at least one thread");
            // Fewer threads than asked for, if the system has no more, do the same work.
            let work = &work;
            let spawn = |share| std::thread::Builder::new().spawn_scoped(scope, move || work(share)).ok();
            let others: Vec<_> = shares.into_iter().map_while(spawn).collect();
            let all = work(own).into_iter().chain(others.into_iter().flat_map(|thread| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
            all.for_each(|(i, signals)| results[i] = signals);
        });
        Ok(results)
    }
}

struct CpuSession<'a, E: HasKernels> {
    model: &'a Model<E>,
    /// One a layer.
    windows: Vec<Window<E>>,
    /// Where the next token is, and what it sees.
    visibility: Visibility,
}

impl<E: HasKernels> Session for CpuSession<'_, E> {
    fn push(&mut self, tokens: &[TokenId], want: Want) -> Result<Signals, EngineError> {
        self.model.check(tokens)?;
        Ok(self.push_checked(tokens, want))
    }

    /// Nothing seen: what the windows hold lies before `first_visible` of every token to come, and is never read.
    fn reset(&mut self) {
        self.visibility.restart();
    }
}

impl<E: HasKernels> CpuSession<'_, E> {
    fn push_checked(&mut self, tokens: &[TokenId], want: Want) -> Signals {
        let share = self.model.threads.share(self.n_chunks(tokens));
        self.compute(tokens, want, share.n(), None)
    }

    fn n_chunks(&self, tokens: &[TokenId]) -> usize {
        tokens.len().div_ceil(self.model.kernels.chunk)
    }

    /// Runs `tokens` through the model on `asked` threads, one behind the other, or on fewer if the system has no more.
    fn compute(&mut self, tokens: &[TokenId], want: Want, asked: usize, mut logits: Option<&mut Vec<f32>>) -> Signals {
        let model = self.model;
        let position = self.visibility.position();
        let first_visible = self.visibility.read(tokens);
        let chunks = cut(tokens, position, &first_visible, model.kernels.chunk);
        let mut all = Signals::default();
        if asked <= 1 {
            model.with_scratch(|scratch| {
                let active = model.kernels.activate();
                for chunk in &chunks {
                    let wanted = Wanted { want, logits: logits.as_deref_mut() };
                    all.append(model.transformer.forward(&active, chunk, &self.windows, &Alone, scratch, wanted));
                }
            });
            return all;
        }
        let n_blocks = model.ring_blocks(asked);
        self.windows.iter_mut().for_each(|window| window.grow(n_blocks));
        let line = Line::new(chunks.len());
        // How many threads there are in the end. Thread `first` of `n` computes the chunks `first`, `first + n`, ... in this
        // order; the ring relies on it.
        let n_threads = OnceLock::new();
        let work = |first: usize| {
            let mine = (first..chunks.len()).step_by(*n_threads.wait());
            model.with_scratch(|scratch| {
                let active = model.kernels.activate();
                mine.map(|i| {
                    let wanted = Wanted { want, logits: None };
                    let steps = line.steps(i);
                    model.transformer.forward(&active, &chunks[i], &self.windows, &steps, scratch, wanted)
                })
                .collect::<Vec<_>>()
            })
        };
        let results: Vec<Vec<Signals>> = std::thread::scope(|scope| {
            let work = &work;
            let spawn = |first| std::thread::Builder::new().spawn_scoped(scope, move || work(first)).ok();
            let others: Vec<_> = (1..asked).map_while(spawn).collect();
            n_threads.get_or_init(|| 1 + others.len());
            let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            std::iter::once(work(0)).chain(others.into_iter().map(join)).collect()
        });
        let n_threads = results.len();
        let mut results: Vec<_> = results.into_iter().map(Vec::into_iter).collect();
        for i in 0..chunks.len() {
            all.append(results[i % n_threads].next().expect("a thread gives one result a chunk"));
        }
        all
    }
}

/// Chunks that end at multiples of [`BLOCK`] positions, so that no two of them share a block.
fn cut<'a>(tokens: &'a [TokenId], position: u64, first_visible: &'a [u64], chunk: usize) -> Vec<Chunk<'a>> {
    let mut chunks = Vec::with_capacity(tokens.len() / chunk + 2);
    let mut start = 0;
    while start < tokens.len() {
        let here = position + start as u64;
        let length = (chunk - (here % BLOCK as u64) as usize).min(tokens.len() - start);
        let range = start..start + length;
        chunks.push(Chunk {
            tokens: &tokens[range.clone()],
            position: here,
            first_visible: &first_visible[range.clone()],
        });
        start = range.end;
    }
    chunks
}
