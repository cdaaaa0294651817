//! Writes the patches of one source as a safetensors file, while they are being made: memory does not grow with the
//! source. The same patches make the same bytes, and a file appears whole or not at all.
//!
//! ```
//! use blt_core::{ByteRange, Patch};
//! use blt_output::{PatchFileMetadata, PatchFileOptions, PatchFileWriter, publish};
//!
//! let scratch = std::env::temp_dir();
//! let mut writer = PatchFileWriter::new(&scratch, PatchFileOptions::new(2));
//! writer.bytes(b"hi", &[4.0, 1.0], &[20.0, 21.0], &[])?;
//! writer.patch(&Patch { range: ByteRange::new(0, 2), entropy: 2.5, prominence: 21.0, coherence: 9.0, embedding: &[0.1, 0.2] })?;
//! writer.end_view("raw", "text");
//! let metadata = PatchFileMetadata { model: "blt-mini", metadata_file: "hi.hypergraph.db", patching: &[("rule", "global".into())] };
//! let partial = scratch.join(format!("blt-output-doc-{}.partial", std::process::id()));
//! writer.finish(&partial, &metadata)?;
//! publish(&partial, &partial.with_extension("safetensors"))?;
//! # std::fs::remove_file(partial.with_extension("safetensors"))?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It does not decide where patches are, and knows no model.

mod patch_file;
mod publish;

pub use patch_file::{EmbeddingDtype, Embeddings, FORMAT, PatchFileMetadata, PatchFileOptions, PatchFileWriter};
pub use publish::{publish, sync_directory};
