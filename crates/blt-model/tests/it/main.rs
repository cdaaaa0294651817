//! The model against the reference, and what must not change its answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod reference;
mod streaming;

use blt_checkpoint::Checkpoint;
use blt_model::{EntropyModel, FloatType, device};

fn reference_model(name: &str) -> EntropyModel {
    let checkpoint = Checkpoint::open(&blt_testkit::golden_dir().join(name)).unwrap();
    EntropyModel::load(&checkpoint, &device(0).unwrap(), FloatType::F32).unwrap()
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
