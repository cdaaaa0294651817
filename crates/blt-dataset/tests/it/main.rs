//! Tests of the whole crate.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod assets;
mod formats;
mod hostile;
mod memory;
mod plans;
mod rows;
