//! Rows of dataset files become documents: Parquet, Arrow, JSON lines and arrays, CSV and TSV, text, and WebDataset, packed or
//! not, read in one pass with bounded memory from whatever can be read at offsets.
//!
//! ```
//! use std::sync::Arc;
//!
//! use blt_dataset::{Content, Dataset, FileStore, LocalFolder, Plan, PlanOptions, SplitSlice, resolve};
//!
//! # let folder = std::env::temp_dir().join(format!("blt-dataset-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! std::fs::write(folder.join("train.jsonl"), "{\"text\": \"one\"}\n{\"text\": \"two\"}\n")?;
//!
//! let files = Arc::new(LocalFolder::new(&folder));
//! let config = resolve(&files.list()?, "the text of its README, if there is one", None)?;
//! let options = PlanOptions { slices: SplitSlice::parse("train[1:]")?, ..PlanOptions::default() };
//! let plan = Plan::new(&*files, &config, &options)?;
//! let dataset = Dataset::new(files, plan, config.features, options.table);
//! for unit in &dataset.plan().units {
//!     for document in dataset.documents(unit)? {
//!         let document = document?;
//!         assert_eq!(document.id, "item_1");
//!         assert_eq!(document.parts[0].content, Content::Text("two".to_owned()));
//!     }
//! }
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It opens no socket: remote files come in through [`ReadAt`] and [`FileStore`]. It knows no model and decodes no content.

mod assets;
mod blocks;
mod cell;
mod columns;
mod dataset;
mod document;
mod error;
mod features;
mod format;
mod hash;
mod id;
mod plan;
mod preset;
mod read_at;
mod readme;
mod resolve;
mod split;
mod table;
mod tape;

pub use assets::{
    AssetError, AssetLimits, AssetOptions, AssetSource, Assets, HOST_NOT_ALLOWED, OnMissing, Prefetched, Reference,
    RepoFile, Repository, looks_like_reference, shown_reference,
};
pub use blocks::{BlockOptions, BlockStream, Blocks};
pub use cell::Cell;
pub use columns::ColumnOptions;
pub use dataset::{Dataset, Documents};
pub use document::{Content, Part, RowDocument};
pub use error::TableError;
pub use features::{Features, Medium};
pub use format::{Format, Packing};
pub use id::id_of_row;
pub use plan::{Plan, PlanError, PlanOptions, PlannedFile, Unit};
pub use preset::Preset;
pub use read_at::{FileStore, LocalFile, LocalFolder, ReadAt};
pub use readme::ReadmeError;
pub use resolve::{Config, ResolveError, config_names, resolve, resolve_converted, resolve_data_files};
pub use split::{Bound, SplitSlice};
pub use table::{Column, ColumnKind, Piece, Row, Rows, Table, TableOptions, TextRows};
