//! Reads a checkpoint of the entropy model: `config.json` into a checked [`ModelConfig`], safetensors into f32 matrices.
//!
//! Every tensor's name, shape and number type is checked before any is read, and nothing in the file is trusted: not its
//! header's size, not its offsets. Two layouts are known, that of the original checkpoint and that of a transformers
//! BLT checkpoint (`model.patcher.*`); both come out under the original's names. Records of Burn up to 0.19 (`.mpk`) are read, too.
//!
//! ```no_run
//! let checkpoint = blt_checkpoint::Checkpoint::open("path/to/model".as_ref())?;
//! let embeddings = checkpoint.tensor_f32("tok_embeddings.weight")?; // [260 * dim], row by row
//! assert_eq!(embeddings.len(), 260 * checkpoint.config().dim);
//! # Ok::<(), blt_checkpoint::CheckpointError>(())
//! ```
//!
//! The rotary table and the rule of what a token sees, too, are here: every engine rotates by the same angles, whose rounding is
//! part of the model, and looks at the same positions.
//!
//! It knows no framework and no device, so engines with and without one share it.

mod config;
mod error;
mod layout;
mod message_pack;
mod record;
mod rotary;
mod safetensors_file;
mod visibility;
mod write;

pub use config::{AttentionScope, ModelConfig, PUBLISHED_THRESHOLD, Patching};
pub use error::CheckpointError;
pub use layout::{Layout, TensorSpec, expected_tensors};
pub use rotary::RotaryTable;
pub use safetensors_file::{Checkpoint, SafetensorsFile, Storage, TensorInfo, record_in};
pub use visibility::Visibility;
pub use write::{StoredDtype, safetensors_bytes};
