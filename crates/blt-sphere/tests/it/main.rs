//! The index, the harmonics and the navigation, from outside.

mod cap_tree;
mod cells;
mod harmonics;
mod navigation;
mod partitions;
mod points;
