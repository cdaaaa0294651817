//! The mathematics of patches on a hypersphere. Pure functions of numbers: no files, no clock, and the same results on any
//! number of threads.

mod parallel;
mod random;
mod rows;

pub use rows::Rows;

mod cap_tree;
mod cells;
mod cosine;
mod field;
mod graph;
mod harmonics;
mod healpix;
mod legendre;
mod navigate;
mod partitions;
mod places;
mod ranking;

pub use cap_tree::{
    CapTree, Effort, Neighbour, PartitionRule, PartsError, QueryError, TreeNode, TreeOptions, TreeParts,
};
pub use cells::{Cell, CellDirectory, Cone, Region};
pub use field::{Grid, Peak, PeakOptions};
pub use graph::{Graph, WalkOptions};
pub use harmonics::{Harmonics, HarmonicsError, Spectrum};
pub use legendre::MAX_BAND_LIMIT;
pub use navigate::{EnergyWeights, NavigateOptions, Query, Ranked, Surroundings, Visit, budgets, navigate, rank};
pub use partitions::{Partition, Partitions, SemanticEdge};
pub use places::Places;
pub use ranking::{mean_reciprocal_rank, ndcg_at_k, recall_at_k};
