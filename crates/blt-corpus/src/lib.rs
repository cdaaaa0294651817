//! Patches of one or many sources on one sphere: reads what `ingest` and its forerunners wrote.

mod arrays;
mod edges;
mod error;
mod file;
mod hash;
mod npy;
mod npz;
mod parquet_file;
mod patches;
mod placed;
mod placing;
mod read;
mod settings;
mod sphere_file;
mod write;

pub use arrays::{ArrayInfo, Dtype};
pub use edges::EdgeWeights;
pub use error::ReadError;
pub use file::ArrayFile;
pub use patches::{Document, PatchArrays, ProminencePool};
pub use placed::{Placed, PlacedFile, rows_of};
pub use placing::{LeftOut, PlaceOptions, place};
pub use read::{ReadOptions, id_of_file};
pub use settings::settings;
pub use sphere_file::{SPHERE_FORMAT, Sphere};
