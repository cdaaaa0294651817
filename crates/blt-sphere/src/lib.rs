//! The mathematics of patches on a hypersphere. Pure functions of numbers: no files, no clock, and the same results on any
//! number of threads.

mod parallel;
mod random;
mod rows;

pub use rows::Rows;

mod cap_tree;
mod cosine;
mod placement;

pub use cap_tree::{CapTree, Effort, Neighbour, Partition, PartsError, QueryError, TreeNode, TreeOptions, TreeParts};
pub use placement::Placement;
