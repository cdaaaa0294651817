//! Writes documents, their patches and signals: each as a safetensors file, or many to a shard of a WebDataset or a Parquet
//! file. A document is collected while it is encoded and then handed to a writer; memory does not grow with it. The same documents make
//! the same bytes, and a file appears whole or not at all.
//!
//! ```
//! use blt_core::{ByteRange, Patch};
//! use blt_output::{DocumentCollector, DocumentInfo, EmbeddingOptions, publish, write_safetensors};
//!
//! let scratch = std::env::temp_dir();
//! let mut collector = DocumentCollector::new(&scratch, EmbeddingOptions::new(2), None);
//! collector.bytes(b"hi", &[4.0, 1.0], &[20.0, 21.0], &[])?;
//! let range = ByteRange::new(0, 2);
//! collector.patch(&Patch { range, entropy: 2.5, prominence: 21.0, coherence: 9.0, embedding: &[0.1, 0.2] })?;
//! collector.end_view("raw", "text");
//! let about = DocumentInfo {
//!     id: "hi",
//!     source: "hi.txt",
//!     modality: "text",
//!     model: "blt-mini",
//!     sidecar: Some("hi.hypergraph.db"),
//!     patching: &[("rule", "global".into())],
//! };
//! let partial = scratch.join(format!("blt-output-doc-{}.partial", std::process::id()));
//! let receipt = write_safetensors(collector.finish(), &partial, &about)?;
//! publish(&partial, &partial.with_extension("safetensors"))?;
//! assert_eq!(receipt.n_bytes, partial.with_extension("safetensors").metadata()?.len());
//! # std::fs::remove_file(partial.with_extension("safetensors"))?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It does not decide where patches are, which documents share a shard or what files are called, and knows no model.

mod collector;
mod dataset_card;
mod eigen;
mod fidelity;
mod gzip;
mod in_order;
mod jax;
mod npy;
mod parquet_columns;
mod parquet_file;
mod parquet_pages;
mod projection;
mod publish;
mod receipt;
mod safetensors_file;
mod safetensors_reader;
mod sample_key;
mod shard;
mod spool;
mod stored_rows;
mod webdataset;

pub use collector::{CollectedDocument, DocumentCollector, EmbeddingDtype, EmbeddingOptions, Embeddings};
pub use dataset_card::{dataset_card, parquet_name};
pub use fidelity::{Fidelity, fidelity};
pub use jax::{EqualShards, ShardCount, write_equal_shards};
pub use parquet_file::{ParquetOptions, ParquetWriter};
pub use projection::{FitError, Projection, ProjectionFit};
pub use publish::{publish, sync_directory};
pub use receipt::ShardReceipt;
pub use safetensors_file::{FORMAT, write_safetensors};
pub use shard::{DocumentInfo, ShardWriter};
pub use webdataset::{ShardCompression, WebDatasetWriter, wids_index};
