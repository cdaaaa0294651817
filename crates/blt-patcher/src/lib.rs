//! Every patching rule of the Byte Latent Transformer as pure functions on slices.
//!
//! Two levels. [`patch_starts`] and [`patch_lengths`] work on rows of tokens exactly as the original's `Patcher` does,
//! special tokens included. [`document_starts`] and [`DocumentPatcher`] work on the bytes of a document, where byte 0
//! always starts a patch; the second takes one byte at a time and keeps nothing.
//!
//! ```
//! use blt_patcher::{DocumentPatcher, Patcher, Rule};
//!
//! let entropies = [3.1, 0.2, 2.0, 0.3, 1.4]; // how uncertain the model was about each byte before reading it
//! let mut patcher = DocumentPatcher::new(Patcher::new(Rule::Global { threshold: 1.335 })).unwrap();
//! let starts: Vec<bool> = b"hello".iter().zip(entropies).map(|(&byte, entropy)| patcher.push(byte, entropy)).collect();
//! assert_eq!(starts, [true, false, true, false, true]);
//! ```
//!
//! It knows no model: entropies are given. Source: `patcher.py` of facebookresearch/blt.

mod document;
mod rules;
mod statistics;

pub use document::{DocumentPatcher, NotIncremental, document_starts, moved_starts};
pub use rules::{NextToken, Patcher, Rule, lengths_of_starts, patch_lengths, patch_starts, split_long_patches};
pub use statistics::{EntropyStatistics, Histogram, threshold_for_mean_length};
