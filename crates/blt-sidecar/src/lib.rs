//! The hypergraph of a source, or of the sources of a shard, in SQLite: its trunk (the source), branches (views and the units
//! inside them), leaves (patches), and the hyperedges between them. Typed columns, strict tables, indices; any SQLite client can
//! query it.
//!
//! ```
//! use blt_core::{ByteRange, Modality, Patch, View};
//! use blt_sidecar::{Sidecar, SidecarWriter, TrunkInfo};
//!
//! let path = std::env::temp_dir().join(format!("blt-sidecar-doc-{}.db", std::process::id()));
//! let mut writer = SidecarWriter::create(&path)?;
//! let view = writer.view(&View::raw(Modality::Text, "text/plain"))?;
//! for range in [ByteRange::new(0, 3), ByteRange::new(3, 5)] {
//!     writer.leaf(&Patch { range, entropy: 1.5, prominence: 20.0, coherence: 9.0, embedding: &[] })?;
//! }
//! writer.finish(&TrunkInfo { output_id: "hi.txt", path: "hi.txt", sha256: [0; 32], n_bytes: 5, media_type: "text/plain",
//!     modality: Modality::Text, problems: &[] })?;
//!
//! let sidecar = Sidecar::open(&path)?;
//! let leaf = sidecar.leaf_at(view, 4)?.expect("byte 4 is in a patch");
//! assert_eq!((leaf.range, leaf.ordinal), (ByteRange::new(3, 5), 1));
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `contains` and `next` edges are implied by the tables and shown by the SQL views `v_contains` and `v_next`; only edges
//! that nothing implies, such as `same_source`, are stored. It writes one file at the path given; publishing it atomically
//! is the caller's part. This is the only crate that links SQLite for the hypergraph.

mod json;
mod read;
mod record;
mod schema;
mod write;

pub use json::write_json;
pub use read::{Branch, Leaf, Sidecar, SidecarError, Trunk};
pub use record::SidecarRecord;
pub use schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use write::{SidecarWriter, TrunkInfo};
