//! The engine against the reference, and what must not change its answers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod reference;
mod refusals;
mod streaming;

use blt_checkpoint::Checkpoint;
use blt_cpu::{CpuEngine, CpuOptions, FloatType, InstructionSet};

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(&blt_testkit::golden_dir().join(name)).unwrap()
}

/// Every way to compute that this machine has.
fn ways() -> Vec<(FloatType, InstructionSet)> {
    let sets = InstructionSet::ALL.into_iter().filter(|set| set.is_available());
    sets.flat_map(|set| {
        let f32 = (!set.has_bf16()).then_some((FloatType::F32, set));
        f32.into_iter().chain([(FloatType::Bf16, set)])
    })
    .collect()
}

fn engine(name: &str, (float, instructions): (FloatType, InstructionSet), threads: usize) -> CpuEngine {
    let options = CpuOptions { float: Some(float), instructions: Some(instructions), threads, ..CpuOptions::default() };
    CpuEngine::load(&open(name), &options).unwrap()
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
