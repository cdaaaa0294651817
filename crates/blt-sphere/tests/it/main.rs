//! `fill` as a whole: what holds for every method, whatever the patches.

mod charts;
mod edge_cases;
mod invariants;
mod synthetic;
