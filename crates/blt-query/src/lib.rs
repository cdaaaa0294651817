//! Rows of dataset files by SQL: a filter, or a whole `SELECT`, over the files of a table, which it knows as `self`.
//!
//! Polars runs the query; it holds no more of the table in memory than the query sorts, joins or groups. The answer is a Parquet
//! file in a folder of answers, named by a hash of the query and of the identities of all files, so the same question about the
//! same files is answered from there.
//!
//! It opens no socket and no file but those of the table, whatever the query says. It knows none of our other crates.
//!
//! `answer` is all there is to it, with an example. Feature: `polars`; without it the crate is empty.

#![cfg(feature = "polars")]

mod answer;
mod error;
mod order;
mod query;
mod table;

pub use answer::{Answer, answer};
pub use error::QueryError;
pub use query::Query;
pub use table::{Format, Table, TableFile};
