//! Random numbers that are functions of their place: a seed, whose they are, and the how-manieth. They do not depend on the
//! order in which they are asked for.
//!
//! Source: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.

use std::f64::consts::TAU;

/// 64 random bits for draw number `draw` of `id`.
pub(crate) fn bits(seed: u64, id: u64, draw: u64) -> u64 {
    mix(mix(mix(seed).wrapping_add(id)).wrapping_add(draw))
}

/// Uniform in [0, 1).
pub(crate) fn uniform(seed: u64, id: u64, draw: u64) -> f64 {
    (bits(seed, id, draw) >> 11) as f64 / (1u64 << 53) as f64
}

/// Standard normal, by Box and Muller. Uses the draws `2 * draw` and `2 * draw + 1`.
pub(crate) fn normal(seed: u64, id: u64, draw: u64) -> f64 {
    let radius = (-2.0 * (1.0 - uniform(seed, id, 2 * draw)).ln()).sqrt();
    radius * (TAU * uniform(seed, id, 2 * draw + 1)).cos()
}

fn mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
