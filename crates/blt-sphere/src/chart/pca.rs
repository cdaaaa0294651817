//! Principal components of directions, weighted by prominence.

use rayon::prelude::*;

use super::gram::gram;
use super::{add_vectors, eigen};
use crate::Rows;

/// The weighted mean of the rows' unit vectors, `[dim]`, and their three principal axes, `[3, dim]`.
///
/// Rows of zeros have no direction and take no part. Where all prominences are 0, all count the same.
pub(super) fn fit(embeddings: Rows<'_>, prominence: &[f32], seed: u64) -> (Vec<f64>, Vec<f64>) {
    let (n, dim) = (embeddings.len(), embeddings.dim());
    let highest = prominence.iter().copied().fold(0f32, f32::max);
    let scales: Vec<Scale> = (0..n)
        .into_par_iter()
        .map(|i| {
            let squares: f64 = squared_length(embeddings.row(i));
            let weight = if highest > 0.0 { f64::from(prominence[i]) / f64::from(highest) } else { 1.0 };
            if squares > 0.0 { Scale { weight, per_length: 1.0 / squares.sqrt() } } else { Scale::default() }
        })
        .collect();
    let total = crate::parallel::sum(n, |i| scales[i].weight);
    if total <= 0.0 {
        return (vec![0.0; dim], eigen::first_axes(dim));
    }
    let mut mean = add_vectors(n, dim, |i, sum| {
        let factor = scales[i].weight * scales[i].per_length;
        sum.iter_mut().zip(embeddings.row(i)).for_each(|(sum, &value)| *sum += factor * f64::from(value));
    });
    mean.iter_mut().for_each(|value| *value /= total);
    let mut covariance = gram(n, dim, |i, out| {
        let Scale { weight, per_length } = scales[i];
        let root = weight.sqrt();
        let (row_factor, mean_factor) = (root * per_length, -root);
        for ((out, &value), mean) in out.iter_mut().zip(embeddings.row(i)).zip(&mean) {
            *out = (row_factor * f64::from(value) + mean_factor * mean) as f32;
        }
    });
    covariance.iter_mut().for_each(|value| *value /= total);
    let axes = eigen::top_three(&covariance, dim, seed);
    (mean, axes)
}

/// What a row counts, and what makes it a unit vector.
#[derive(Clone, Copy, Default)]
struct Scale {
    weight: f64,
    per_length: f64,
}

fn squared_length(row: &[f32]) -> f64 {
    let mut lanes = [0.0f64; 8];
    for part in row.chunks(8) {
        lanes.iter_mut().zip(part).for_each(|(lane, &value)| *lane += f64::from(value) * f64::from(value));
    }
    lanes.iter().sum()
}
