//! blt-mini: a byte-level entropy model of the BLT architecture with 8,855,360 parameters, small enough to ship inside
//! a program. Data only; `blt-checkpoint` reads it:
//!
//! ```
//! let mini = blt_checkpoint::Checkpoint::embedded(
//!     blt_mini::NAME, blt_mini::WEIGHTS, blt_mini::CONFIG, blt_mini::SHA256,
//! )?;
//! assert_eq!(mini.config().n_params(), 8_855_360);
//! # Ok::<(), blt_checkpoint::CheckpointError>(())
//! ```
//!
//! These weights are the project's own, trained from scratch on text in the public domain or under permissive licences
//! (`NOTICE` names every package); they are not Meta's, and their patches differ. `training/` in the repository makes them
//! again.

/// The model's name.
pub const NAME: &str = "blt-mini";

/// The weights: a safetensors file in the original layout, matrices in 8 bits with a scale a row.
pub static WEIGHTS: &[u8] = include_bytes!("../model.safetensors");

/// The configuration in the original's `{"args"}` form, with the calibrated patching thresholds.
pub static CONFIG: &str = include_str!("../config.json");

/// sha256 of [`WEIGHTS`].
pub const SHA256: &str = "b0c49885c05a17ad15b1a5229aacaa0df017aa808909adbef9ab457e3b2c0de1";
