//! The pipeline: sources are found, read ahead, decoded, run through the model, cut into patches and written, several at
//! a time. A journal says what is done; a run that was killed goes on where it stopped, and ends with the files of a
//! clean run. No input stops a run: what fails is named, recorded and passed over.
//!
//! Start at [`run()`] for whole folders, or at [`encode_view`] for one byte string. The crate does not parse arguments,
//! does not print, and does not choose a model: an [`EntropyEngine`](blt_core::EntropyEngine) is given.
//!
//! ```
//! use blt_core::EntropyEngine;
//! use blt_ingest::{Encoding, Input, IngestOptions, Silent, run};
//!
//! # let checkpoint = blt_checkpoint::Checkpoint::open(&blt_testkit::golden_dir().join("model-tiny"))?;
//! # let engine = blt_cpu::CpuEngine::load(&checkpoint, &blt_cpu::CpuOptions::default())?;
//! # let out = std::env::temp_dir().join(format!("blt-ingest-doc-{}", std::process::id()));
//! let options = IngestOptions::new(vec![Input::Text("hello".to_owned())], &out, Encoding::global(1.335), engine.info().dim);
//! let summary = run(&engine, &options, &Silent, &Default::default())?;
//! assert_eq!((summary.n_done, summary.n_bytes), (1, 5));
//! assert!(out.join("manual_input.safetensors").exists());
//! # std::fs::remove_dir_all(&out)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decoding;
mod encode;
mod entropy_summary;
mod equal_shards;
mod error;
mod id;
mod journal;
mod options;
mod plan;
mod reading;
mod reduction;
mod run;
mod sequence;
mod shards;
mod source;
mod work;

pub use decoding::{DecodedVisitor, decode_all};
pub use encode::{
    EmbeddingsOf, EncodeError, Encoding, Mode, PatchSink, ProminencePool, Thresholds, ViewSummary, encode_view,
};
pub use entropy_summary::output_entropies;
pub use error::{IngestError, SourceError};
pub use id::{id_of_path, path_text};
pub use journal::{Journal, OutputFile, Row, Status};
pub use options::{Form, IngestOptions, Input};
pub use plan::{Plan, PlannedSource, SourceKind};
pub use reduction::PROJECTION_FILE;
pub use run::{Observer, Outcome, Silent, StageSeconds, Summary, preview, run};
pub use sequence::DatasetInput;
pub use shards::{ShardFormat, Shards};
