//! Points whose every number is a function of its place.

use std::f64::consts::{PI, TAU};

use blt_sphere::Places;

/// Uniform in [0, 1).
pub(crate) fn uniform(seed: u64, place: u64) -> f64 {
    let mut z = (seed << 40).wrapping_add(place).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

pub(crate) fn normal(seed: u64, place: u64) -> f64 {
    (-2.0 * (1.0 - uniform(seed, 2 * place)).ln()).sqrt() * (TAU * uniform(seed, 2 * place + 1)).cos()
}

/// A row of independent normal numbers.
pub(crate) fn noise(seed: u64, row: u64, dim: usize) -> Vec<f32> {
    (0..dim as u64).map(|j| normal(seed, row * dim as u64 + j) as f32).collect()
}

/// `n` rows of `dim` numbers around `n_clusters` centres of length about `sqrt(dim)`, with `spread` as the noise of a number.
pub(crate) fn clustered(seed: u64, n: usize, dim: usize, n_clusters: u64, spread: f32) -> Vec<f32> {
    let row = |i: u64| {
        let centre = noise(seed, (uniform(seed + 1, i) * n_clusters as f64) as u64, dim);
        let noise = noise(seed + 2, i, dim);
        centre.into_iter().zip(noise).map(move |(c, x)| c + spread * x)
    };
    (0..n as u64).flat_map(row).collect()
}

/// Rows all over the sphere.
pub(crate) fn scattered(seed: u64, n: usize, dim: usize) -> Vec<f32> {
    (0..n as u64).flat_map(|i| noise(seed, i, dim)).collect()
}

/// Uniform directions, radii and prominences, zones by polar caps of 15 degrees, eight shells.
pub(crate) struct Owned {
    pub(crate) theta: Vec<f64>,
    pub(crate) phi: Vec<f64>,
    pub(crate) radii: Vec<f64>,
    pub(crate) prominence: Vec<f32>,
    pub(crate) zones: Vec<u8>,
    pub(crate) shells: Vec<i32>,
}

impl Owned {
    pub(crate) fn uniform(seed: u64, n: usize) -> Self {
        let ids = || 0..n as u64;
        let theta: Vec<f64> = ids().map(|i| (1.0 - 2.0 * uniform(seed, i)).acos()).collect();
        let radii: Vec<f64> = ids().map(|i| 32.0 + 480.0 * uniform(seed + 1, i)).collect();
        Self {
            phi: ids().map(|i| TAU * uniform(seed + 2, i)).collect(),
            prominence: ids().map(|i| (10.0 + 50.0 * uniform(seed + 3, i)) as f32).collect(),
            zones: theta.iter().map(|&t| if t < PI / 12.0 { 0 } else { 1 + u8::from(t > PI - PI / 12.0) }).collect(),
            shells: radii.iter().map(|&r| ((r - 32.0) / 60.0) as i32).collect(),
            theta,
            radii,
        }
    }

    pub(crate) fn places(&self) -> Places<'_> {
        Places::new(&self.theta, &self.phi, &self.radii, &self.prominence, &self.zones, &self.shells)
    }
}

/// What `work` gives on 1, 2 and 8 threads, which has to be the same.
pub(crate) fn on_any_number_of_threads<T: Send + PartialEq + std::fmt::Debug>(work: impl Fn() -> T + Sync) -> T {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("threads can be started");
    let on = |n| pool(n).install(&work);
    let (one, two, eight) = (on(1), on(2), on(8));
    assert!(one == two && two == eight, "the number of threads shows");
    one
}
