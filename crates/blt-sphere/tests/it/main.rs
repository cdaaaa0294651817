//! `fill` as a whole, the index, the harmonics and the navigation, from outside.

mod cap_tree;
mod cells;
mod charts;
mod edge_cases;
mod harmonics;
mod invariants;
mod navigation;
mod partitions;
mod points;
mod synthetic;
