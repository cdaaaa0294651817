//! The mathematics of patches on a hypersphere. Pure functions of numbers: no files, no clock, and the same results on any
//! number of threads.

mod parallel;
mod random;
mod rows;

pub use rows::Rows;
