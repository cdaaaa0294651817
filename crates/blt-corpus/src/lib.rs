//! Patches of one or many sources on one sphere: reads what `ingest` and its forerunners wrote.

mod arrays;
mod error;
mod file;
mod npy;
mod npz;
mod parquet_file;
mod patches;
mod read;
mod write;

pub use arrays::{ArrayInfo, Dtype};
pub use error::ReadError;
pub use file::ArrayFile;
pub use patches::{Document, PatchArrays, ProminencePool};
pub use read::{ReadOptions, id_of_file};
