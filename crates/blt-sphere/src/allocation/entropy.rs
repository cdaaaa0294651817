//! Entropy-weighted shares: prominent and certain patches get much.
//!
//! `share ∝ prominence^2 exp(-entropy / temperature)`, computed from logarithms, so that no temperature is too low or too high.

use rayon::prelude::*;

use super::logarithms::{normalised, softmax};
use crate::Patches;
use crate::parallel;

/// How much entropy counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Temperature {
    /// So many nats: a patch with one temperature more of entropy gets 1/e of the share.
    Nats(f64),
    /// Such that the shares differ from those by prominence alone by a Kullback-Leibler divergence of `kappa` nats. Where no
    /// temperature does that, the lowest that is tried, 1e-6.
    Auto {
        /// The divergence.
        kappa: f64,
    },
}

impl Default for Temperature {
    /// One nat.
    fn default() -> Self {
        Self::Nats(1.0)
    }
}

/// Where the temperature is looked for.
const LN_LOWEST: f64 = -6.0 * std::f64::consts::LN_10;
const BISECTIONS: u32 = 60;

/// Logarithms of the gains `p^2 exp(-H / T)`, up to a constant. A prominence of 0 counts as 1e-30.
pub(crate) fn log_gains(prominence: &[f32], entropies: &[f32], temperature: f64) -> Vec<f64> {
    prominence.par_iter().zip(entropies).map(|(&p, &h)| log_base(p) - f64::from(h) / temperature).collect()
}

/// Shares and their logarithms up to a constant.
pub(crate) fn allocate(prominence: &[f32], entropies: &[f32], temperature: f64) -> (Vec<f64>, Vec<f64>) {
    let log_gains = log_gains(prominence, entropies, temperature);
    (softmax(&log_gains), log_gains)
}

impl Temperature {
    /// The temperature in nats for these patches, which have entropies.
    pub(crate) fn nats(self, prominence: &[f32], entropies: &[f32]) -> f64 {
        match self {
            Self::Nats(nats) => nats,
            Self::Auto { kappa } => auto(prominence, entropies, kappa),
        }
    }
}

/// The divergence never falls with `1 / T`: its derivative is the variance of the entropies under the shares, over `T`.
fn auto(prominence: &[f32], entropies: &[f32], kappa: f64) -> f64 {
    let base = softmax(&prominence.par_iter().map(|&p| log_base(p)).collect::<Vec<_>>());
    let lowest = entropies.iter().copied().fold(f32::INFINITY, f32::min);
    let (mut cold, mut hot) = (LN_LOWEST, -LN_LOWEST);
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(cold, hot);
        if divergence(&base, entropies, lowest, middle.exp()) > kappa {
            cold = middle;
        } else {
            hot = middle;
        }
    }
    f64::midpoint(cold, hot).exp()
}

/// KL divergence of the shares at a temperature from `base`: `-<H - H_min> / T - ln Z` with `Z = sum base exp(-(H - H_min) / T)`.
fn divergence(base: &[f64], entropies: &[f32], lowest: f32, temperature: f64) -> f64 {
    let sums = parallel::map_chunks(base.len(), |range| {
        range.fold([0.0; 2], |[z, excess], i| {
            let above = f64::from(entropies[i] - lowest) / temperature;
            let weight = base[i] * (-above).exp();
            // At `above` = infinity the weight is 0, and so is its part of the mean.
            [z + weight, excess + if weight > 0.0 { weight * above } else { 0.0 }]
        })
    });
    let [z, excess] = sums.into_iter().fold([0.0; 2], |[z, excess], part| [z + part[0], excess + part[1]]);
    if z > 0.0 { -excess / z - z.ln() } else { f64::INFINITY }
}

fn log_base(prominence: f32) -> f64 {
    2.0 * f64::from(prominence).max(1e-30).ln()
}
