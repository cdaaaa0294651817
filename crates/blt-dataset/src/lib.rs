//! Rows of dataset files become documents.

mod blocks;
mod cell;
mod error;
mod features;
mod format;
mod hash;
mod read_at;
mod table;
mod tape;

pub use blocks::{BlockOptions, BlockStream, Blocks};
pub use cell::Cell;
pub use error::TableError;
pub use features::{Features, Medium};
pub use format::{Format, Packing};
pub use read_at::{FileStore, LocalFile, LocalFolder, ReadAt};
pub use table::{Column, ColumnKind, Piece, Row, Rows, Table, TableOptions, TextRows};
