//! The mathematics of patches on a hypersphere. Pure functions of numbers: no files, no clock, and the same results on any
//! number of threads.
//!
//! [`fill()`] gives patches their places: a [`Method`] shares out the volume of a [`HollowBall`], which gives radii; a [`Chart`] gives
//! directions; [`Zone`]s keep the poles for what belongs there.
//!
//! ```
//! use blt_sphere::{FillOptions, Method, Patches, Rows, Temperature, fill};
//!
//! let embeddings = [3.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 2.0, 2.0, 1.0]; // four patches of three numbers
//! let prominence = [3.0, 1.7, 2.2, 3.0];
//! let entropies = [0.5, 2.0, 1.0, 0.1]; // nats
//! let patches = Patches { entropies: Some(&entropies), ..Patches::new(Rows::new(&embeddings, 3), &prominence) };
//! let options = FillOptions { method: Method::Entropy { temperature: Temperature::default() }, ..FillOptions::default() };
//!
//! let placement = fill(&patches, &options)?;
//! assert!(placement.radii[3] < placement.radii[0]); // as prominent but more certain: nearer to the core
//! assert!((placement.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
//! # Ok::<(), blt_sphere::FillError>(())
//! ```

mod allocation;
mod angles;
mod cap_tree;
mod cells;
mod chart;
mod coherence;
mod cosine;
mod ebm;
mod field;
mod fill;
mod graph;
mod harmonics;
mod healpix;
mod legendre;
mod navigate;
mod neighbours;
mod order;
mod parallel;
mod partitions;
mod patches;
mod places;
mod radial;
mod random;
mod ranking;
mod rows;
mod zones;

pub use allocation::{
    Channels, Classic, Draw, Ensemble, Flow, Lateral, Levels, Method, Osmotic, SeedScript, Temperature, Thrml, Vessels,
};
pub use angles::{angles_of, unit_vector};
pub use cap_tree::{
    CapTree, Effort, Neighbour, PartitionRule, PartsError, QueryError, TreeNode, TreeOptions, TreeParts,
};
pub use cells::{Cell, CellDirectory, Cone, Region};
pub use chart::{Chart, ChartKind, Equalizer};
pub use coherence::{Lasing, coherence01};
pub use ebm::{Ebm, EbmReport, EdgeLabel, Energy, Hyperedge, Ising, LabelWeights, expand};
pub use field::{Grid, Peak, PeakOptions};
pub use fill::{ChartSource, FillError, FillOptions, Placement, RadialOptions, Stats, fill};
pub use graph::{Graph, WalkOptions};
pub use harmonics::{Harmonics, HarmonicsError, Spectrum};
pub use legendre::MAX_BAND_LIMIT;
pub use navigate::{EnergyWeights, NavigateOptions, Query, Ranked, Surroundings, Visit, budgets, navigate, rank};
pub use partitions::{Partition, Partitions, SemanticEdge};
pub use patches::{Edge, Flaw, Patches};
pub use places::Places;
pub use radial::{HollowBall, MinRadius, RadialOrder, ScaleProfile, ShellSpacing, auto_min_radius, shells_of};
pub use ranking::{mean_reciprocal_rank, ndcg_at_k, recall_at_k};
pub use rows::Rows;
pub use zones::{Zone, ZoneOptions, ZoneTarget};
