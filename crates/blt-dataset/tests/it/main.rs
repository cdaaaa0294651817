//! Tests of the whole crate.

mod assets;
mod formats;
mod hostile;
mod memory;
mod plans;
mod rows;
