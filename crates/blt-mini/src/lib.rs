//! blt-mini: a byte-level entropy model of the BLT architecture with 4,658,432 parameters, small enough to ship inside
//! a program. Data only; `blt-checkpoint` reads it:
//!
//! ```
//! let mini = blt_checkpoint::Checkpoint::embedded(
//!     blt_mini::NAME, blt_mini::WEIGHTS, blt_mini::CONFIG, blt_mini::SHA256,
//! )?;
//! assert_eq!(mini.config().n_params(), 4_658_432);
//! # Ok::<(), blt_checkpoint::CheckpointError>(())
//! ```
//!
//! These weights are the project's own, trained from scratch; they are not Meta's and their patches differ. They are
//! provisional: part of the training text is under copyleft licences (`SOURCES.tsv` names every package, its licence and
//! its bytes), and a reproducible training on permissively licensed text is to replace them.

/// The model's name.
pub const NAME: &str = "blt-mini";

/// The weights: a safetensors file, BF16, original layout.
pub static WEIGHTS: &[u8] = include_bytes!("../model.safetensors");

/// The configuration in the original's `{"args"}` form, with the calibrated patching threshold.
pub static CONFIG: &str = include_str!("../config.json");

/// sha256 of [`WEIGHTS`].
pub const SHA256: &str = "e74a460a6655d389b2df211195e32911340ed44ab53c41ec856644fc081a93d4";
