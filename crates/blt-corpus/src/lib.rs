//! Patches of one or many sources on one sphere: reads what `ingest` and its forerunners wrote.

mod arrays;
mod bincode;
mod corpus_db;
mod database;
mod edges;
mod encoded;
mod error;
mod file;
mod harmonics_file;
mod hash;
mod hypergraph;
mod npy;
mod npz;
mod parquet_file;
mod patches;
mod pipeline;
mod placed;
mod placing;
mod read;
mod roots_file;
mod settings;
mod sphere_file;
mod stages;
mod verify;
mod write;

pub use arrays::{ArrayInfo, Dtype};
pub use corpus_db::CorpusError;
pub use database::DatabaseError;
pub use edges::EdgeOptions;
pub use encoded::EncodedDocument;
pub use error::ReadError;
pub use file::ArrayFile;
pub use harmonics_file::{
    HARMONICS_FORMAT, HarmonicsOptions, HarmonicsWeight, Part, PartHarmonics, harmonics_of, read_harmonics,
    write_harmonics,
};
pub use hypergraph::HypergraphError;
pub use patches::{Document, PatchArrays, ProminencePool};
pub use pipeline::{
    ENCODE_FOLDER, Encoded, Encoder, Exports, PipelineError, PipelineObserver, PipelineOptions, PipelineSummary, Step,
    Unwatched, outdated, run_pipeline,
};
pub use placed::{Placed, PlacedFile, rows_of};
pub use placing::{LeftOut, PlaceOptions, place};
pub use read::{ReadOptions, id_of_file};
pub use roots_file::{ROOTS_FORMAT, Roots, RootsOptions, rule_name};
pub use settings::settings;
pub use sphere_file::{SPHERE_FORMAT, Sphere};
pub use stages::{Stage, StageRecord, StageStatus, Stages};
pub use verify::{Check, Report, verify};
