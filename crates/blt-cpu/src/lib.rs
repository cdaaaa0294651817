//! The entropy model of the Byte Latent Transformer on processors, as fast as they go: weights packed once, everything
//! else fused around the matrix products, instructions chosen at run time.
//!
//! ```
//! use blt_core::{BltTokenizer, EntropyEngine, Want};
//! use blt_cpu::{CpuEngine, CpuOptions};
//!
//! let checkpoint = blt_checkpoint::Checkpoint::embedded(
//!     blt_mini::NAME, blt_mini::WEIGHTS, blt_mini::CONFIG, blt_mini::SHA256,
//! )?;
//! let engine = CpuEngine::load(&checkpoint, &CpuOptions::default())?;
//! let tokens = BltTokenizer::default().encode_bytes(b"hello");
//! let signals = engine.session().push(&tokens, Want::Entropies)?;
//! assert_eq!(signals.entropies.len(), 6); // one a token, BOS included
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! How tokens are cut into calls, batched, or spread over threads does not change a bit of the results. Float32 and
//! bfloat16 results differ, and so do, in the last bits, those of different [`InstructionSet`]s.
//!
//! The crate does not know files, patches or documents, and needs no framework. Its plain counterpart, the model as one
//! reads it in the paper, is `blt-model`.

mod attention;
mod buffer;
mod element;
mod engine;
mod kernels;
mod matrix;
mod quantization;
mod threads;
mod transformer;
mod window;

pub use engine::{CpuEngine, CpuOptions, FloatType, LoadError};
pub use kernels::InstructionSet;
pub use quantization::{Quantization, TensorStatistics, quantize_model};
