//! The formulas of the original's scripts, as they stood, in float64 and without NaN.
//!
//! Source: `scripts/water_filling_integration.py` of blt-burn 0.7. The most prominent go outwards. Where the script drew from JAX's
//! generator, random numbers are ours; the probabilities are the script's.

use rayon::prelude::*;

use super::logarithms::softmax;
use crate::{Rows, random};

/// Which of the scripts' functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeedScript {
    /// `osmotic_water_filling`, by the embeddings' lengths. Ends after 100 passes, at no equilibrium; radii have no bound but that
    /// of the formula. `r_max`, exponent, order and spacing play no part.
    Osmotic,
    /// `thrml_energy_water_filling`, by the embeddings' lengths. Radii are below 1, and nothing of the ball plays a part but the
    /// number of shells. The script's temperature had no influence, and is left out.
    Thrml,
    /// The entropy-weighted allocation, whose shells have equal widths.
    Entropy {
        /// In nats. The script's 1e-5 gave NaN, and gives here what the formula does with unbounded exponents.
        temperature: f64,
    },
}

/// Passes of the osmotic script.
const N_PASSES: u64 = 100;

/// Radii, shells and shares by a script.
pub(crate) struct Scripted {
    pub(crate) radii: Vec<f64>,
    pub(crate) shells: Vec<i32>,
    pub(crate) shares: Vec<f64>,
}

/// Lengths of the embeddings.
pub(crate) fn lengths(embeddings: Rows<'_>) -> Vec<f64> {
    (0..embeddings.len())
        .into_par_iter()
        .map(|i| embeddings.row(i).iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt())
        .collect()
}

/// The osmotic script.
pub(crate) fn osmotic(
    lengths: &[f64],
    n_shells: u32,
    r_min: f64,
    seed: u64,
    id: impl Fn(usize) -> u64 + Sync,
) -> Scripted {
    let n = lengths.len() as f64;
    let mean = lengths.iter().sum::<f64>() / n;
    let deviation = (lengths.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / n).sqrt();
    let low = lengths.iter().copied().fold(f64::INFINITY, f64::min);
    let high = lengths.iter().copied().fold(0.0, f64::max);
    let last = n_shells as i32 - 1;
    let scale = 2.0 * high / f64::from(n_shells).powf(1.2);
    let base: Vec<f64> = (0..n_shells).map(|s| r_min + f64::from(s).powf(1.2) * scale).collect();
    let squares: f64 = base.iter().map(|r| r * r).sum();
    // Where the core has no radius and all lengths are 0, no shell has any capacity.
    let capacities: Vec<f64> = base.iter().map(|r| if squares > 0.0 { r * r * (n / squares) } else { 0.0 }).collect();
    let mut shells: Vec<i32> = lengths
        .iter()
        .map(|p| (((p - low) / (high - low + 1e-6) * f64::from(last)).floor() as i32).clamp(0, last))
        .collect();
    for pass in 0..N_PASSES {
        let mut counts = vec![0.0; base.len()];
        shells.iter().for_each(|&shell| counts[shell as usize] += 1.0);
        let loads: Vec<f64> =
            counts.iter().zip(&capacities).map(|(count, capacity)| count / (capacity + 1e-8)).collect();
        let is_outlier = |i: usize| lengths[i] > mean + deviation;
        if !loads.iter().any(|&load| load > 1.2) && !(0..lengths.len()).any(is_outlier) {
            break;
        }
        shells.par_iter_mut().enumerate().for_each(|(i, shell)| {
            let lateral = random::uniform(seed, id(i), pass) < 0.3;
            if (is_outlier(i) || loads[*shell as usize] > 1.2) && !lateral {
                *shell = (*shell + 1).min(last);
            }
            if loads[*shell as usize] < 0.8 && !is_outlier(i) {
                *shell = (*shell - 1).max(0);
            }
        });
    }
    Scripted {
        radii: shells.iter().map(|&shell| base[shell as usize]).collect(),
        shares: vec![1.0 / n; lengths.len()],
        shells,
    }
}

/// The energy script: each goes to the shell whose energy `sqrt(s) + s^1.5` is nearest to its length, the lower one of two.
pub(crate) fn thrml(lengths: &[f64], n_shells: u32) -> Scripted {
    let energy = |s: u32| f64::from(s).sqrt() + f64::from(s).powf(1.5);
    let energies: Vec<f64> = (0..n_shells).map(energy).collect();
    let shells: Vec<i32> = lengths
        .par_iter()
        .map(|length| {
            let above = energies.partition_point(|energy| energy < length).min(energies.len() - 1);
            let below = above.saturating_sub(1);
            if length - energies[below] <= energies[above] - length { below as i32 } else { above as i32 }
        })
        .collect();
    Scripted {
        radii: shells.iter().map(|&shell| energies[shell as usize] / energy(n_shells)).collect(),
        shares: vec![1.0 / lengths.len() as f64; lengths.len()],
        shells,
    }
}

/// The entropy script: `a = p^2 exp(-H / T)`, `s = softmax(a / max a)`, `r = clip(r_min + s (r_max - r_min) n)`. `a / max a` comes from
/// logarithms.
pub(crate) fn entropy(log_gains: &[f64], bounds: &[f64]) -> Scripted {
    let highest = log_gains.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let relative: Vec<f64> = log_gains.iter().map(|gain| (gain - highest).exp()).collect();
    let shares = softmax(&relative);
    let (r_min, r_max) = (bounds[0], bounds[bounds.len() - 1]);
    let n = shares.len() as f64;
    let radii: Vec<f64> =
        shares.iter().map(|share| (r_min + share * (r_max - r_min) * n).clamp(r_min, r_max)).collect();
    let last = bounds.len() as i32 - 2;
    let shells = radii.iter().map(|r| (bounds.partition_point(|bound| bound < r) as i32 - 1).clamp(0, last)).collect();
    Scripted { radii, shells, shares }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocation::entropy::log_gains;

    fn signals(n: u64) -> (Vec<f32>, Vec<f32>) {
        let prominence = (0..n).map(|i| 10.0 + 50.0 * random::uniform(1, i, 0) as f32).collect();
        let entropies = (0..n).map(|i| 0.05 + 3.95 * random::uniform(1, i, 1) as f32).collect();
        (prominence, entropies)
    }

    /// The script's own formula, with float64's exponents, where those suffice.
    #[test]
    fn the_entropy_script_is_followed() {
        let (prominence, entropies) = signals(1000);
        let bounds: Vec<f64> = (0..=256).map(|s| 32.0 + 480.0 * f64::from(s) / 256.0).collect();
        let found = entropy(&log_gains(&prominence, &entropies, 0.1), &bounds);
        let a: Vec<f64> = prominence
            .iter()
            .zip(&entropies)
            .map(|(&p, &h)| f64::from(p).powi(2) * (-f64::from(h) / 0.1).exp())
            .collect();
        let highest = a.iter().copied().fold(0.0, f64::max);
        let exps: Vec<f64> = a.iter().map(|a| (a / highest).exp()).collect();
        let sum: f64 = exps.iter().sum();
        for (i, exp) in exps.into_iter().enumerate() {
            let r = (32.0 + exp / sum * 480.0 * 1000.0).clamp(32.0, 512.0);
            assert!((found.radii[i] - r).abs() < 1e-9);
            let shell = bounds.iter().filter(|&&bound| bound < found.radii[i]).count() as i32 - 1;
            assert_eq!(found.shells[i], shell.clamp(0, 255));
        }
        // What the measurements say of it: it tells hardly anything apart.
        let mut sorted = found.radii.clone();
        sorted.sort_by(f64::total_cmp);
        assert!((sorted[500] - 505.0).abs() < 5.0);
    }

    #[test]
    fn no_temperature_gives_nan() {
        let (prominence, entropies) = signals(100);
        for temperature in [1e-9, 1e-5, 1e-3, 1.0, 1e9] {
            let found = entropy(&log_gains(&prominence, &entropies, temperature), &[32.0, 100.0, 512.0]);
            assert!(found.radii.iter().all(|r| (32.0..=512.0).contains(r)));
        }
    }

    #[test]
    fn the_energy_script_takes_the_nearest_level() {
        let energies: Vec<f64> = (0..128).map(|s| f64::from(s).sqrt() + f64::from(s).powf(1.5)).collect();
        let lengths: Vec<f64> = (0..500).map(|i| i as f64 * 0.5).collect();
        let found = thrml(&lengths, 128);
        for (length, shell) in lengths.iter().zip(&found.shells) {
            let mut best = 0;
            for s in 1..128 {
                if (length - energies[s]).abs() < (length - energies[best]).abs() {
                    best = s;
                }
            }
            assert_eq!(*shell, best as i32);
        }
        assert!(found.radii.iter().all(|r| (0.0..1.0).contains(r)));
    }

    /// Shells by a transcription of the script into NumPy, with these random numbers: most are far from their capacity.
    #[test]
    fn the_osmotic_script_is_followed() {
        let lengths: Vec<f64> = (0..5000).map(|i| 35.0 + 8.0 * random::normal(2, i, 0)).collect();
        let found = osmotic(&lengths, 256, 32.0, 42, |i| i as u64);
        let first = [175, 175, 175, 150, 175, 175, 175, 175, 175, 123, 98, 255, 175, 133, 175, 255, 175, 156, 73, 175];
        assert_eq!(found.shells[..20], first);
        assert_eq!(found.shells.iter().sum::<i32>(), 868_185);
        assert_eq!(found.shells.iter().filter(|&&shell| shell == 255).count(), 577); // of 51.6 that it has room for
        assert!(osmotic(&[0.0; 3], 4, 0.0, 42, |i| i as u64).radii.iter().all(|r| r.is_finite()));
    }
}
