//! The entropy model of the Byte Latent Transformer on [Burn](https://burn.dev): any bytes to next-byte entropies and
//! pre-norm signals, exact against the original.
//!
//! ```
//! use blt_core::{BltTokenizer, EntropyEngine, Want};
//! use blt_model::{EntropyModel, FloatType, device};
//!
//! let checkpoint = blt_checkpoint::Checkpoint::embedded(
//!     blt_mini::NAME, blt_mini::WEIGHTS, blt_mini::CONFIG, blt_mini::SHA256,
//! )?;
//! let model = EntropyModel::load(&checkpoint, &device(0)?, FloatType::F32)?;
//! let tokens = BltTokenizer::default().encode_bytes(b"hello");
//! let signals = model.session().push(&tokens, Want::Entropies)?;
//! assert_eq!(signals.entropies.len(), 6); // one a token, BOS included
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Start at [`LMTransformer`] (the model, tensors in and out) or [`EntropyModel`] (the engine, slices in and out, with
//! streaming sessions and ragged batches). The crate does not know files, patches or documents.
//!
//! It computes on the processor; GPUs have kernels of their own in `blt-cuda` and `blt-gpu`.

mod attention;
mod device;
mod engine;
mod load;
mod model;

pub use device::{ComputeDevice, DeviceError, device};
pub use engine::{EntropyModel, record_identity};
pub use load::{FloatType, LoadError};
pub use model::{Attention, FeedForward, LMTransformer, ModelOutput, TransformerBlock};
