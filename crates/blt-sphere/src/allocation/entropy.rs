//! Entropy-weighted shares: prominent and certain patches get much.
//!
//! `share ∝ prominence^2 exp(-entropy / temperature)`, computed from logarithms, so that no temperature is too low or too high.

use rayon::prelude::*;

use super::logarithms::softmax;
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
///
/// Entropies count from the lowest, so that low temperatures do not drown prominence in rounding.
pub(crate) fn log_gains(prominence: &[f32], entropies: &[f32], temperature: f64) -> Vec<f64> {
    let lowest = lowest(entropies);
    let above = |h: f32| (f64::from(h) - lowest) / temperature;
    prominence.par_iter().zip(entropies).map(|(&p, &h)| log_base(p) - above(h)).collect()
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
    let lowest = lowest(entropies);
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
fn divergence(base: &[f64], entropies: &[f32], lowest: f64, temperature: f64) -> f64 {
    let sums = parallel::map_chunks(base.len(), |range| {
        range.fold([0.0; 2], |[z, excess], i| {
            let above = (f64::from(entropies[i]) - lowest) / temperature;
            let weight = base[i] * (-above).exp();
            // At `above` = infinity the weight is 0, and so is its part of the mean.
            [z + weight, excess + if weight > 0.0 { weight * above } else { 0.0 }]
        })
    });
    let [z, excess] = sums.into_iter().fold([0.0; 2], |[z, excess], part| [z + part[0], excess + part[1]]);
    if z > 0.0 { -excess / z - z.ln() } else { f64::INFINITY }
}

fn lowest(entropies: &[f32]) -> f64 {
    f64::from(entropies.iter().copied().fold(f32::INFINITY, f32::min))
}

fn log_base(prominence: f32) -> f64 {
    2.0 * f64::from(prominence).max(1e-30).ln()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `sum a ln(a / b)`.
    fn kl(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).filter(|(a, _)| **a > 0.0).map(|(a, b)| a * (a / b).ln()).sum()
    }

    fn shares(prominence: &[f32], entropies: &[f32], temperature: f64) -> Vec<f64> {
        allocate(prominence, entropies, temperature).0
    }

    #[test]
    fn hot_shares_are_those_by_prominence_and_cold_ones_the_most_certains() {
        let (prominence, entropies) = ([1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 0.25, 3.0]);
        let hot = shares(&prominence, &entropies, 1e9);
        let cold = shares(&prominence, &entropies, 1e-9);
        for i in 0..4 {
            assert!((hot[i] - f64::from(prominence[i]).powi(2) / 30.0).abs() < 1e-8);
            assert!((cold[i] - [0.0, 4.0 / 13.0, 9.0 / 13.0, 0.0][i]).abs() < 1e-12);
        }
    }

    #[test]
    fn patches_without_any_prominence_share_by_entropy() {
        assert_eq!(shares(&[0.0; 4], &[1.0; 4], 1.0), [0.25; 4]);
        assert_eq!(softmax(&[f64::NEG_INFINITY; 2]), [0.5; 2]);
    }

    #[test]
    fn an_automatic_temperature_is_one_at_any_number_of_patches() {
        let equal = Temperature::Auto { kappa: 1.0 }.nats(&[1.0, 2.0], &[3.0, 3.0]);
        assert!((equal - 1e-6).abs() < 1e-12 || (equal - 1e6).abs() < 1.0, "{equal}");
        assert!(Temperature::Auto { kappa: 1.0 }.nats(&[], &[]).is_finite());
    }

    fn signals() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
        proptest::collection::vec((1e-3..100.0f32, 0.0..5.56f32), 1..60).prop_map(|signals| signals.into_iter().unzip())
    }

    proptest! {
        #[test]
        fn shares_are_those_of_the_formula((prominence, entropies) in signals()) {
            let found = shares(&prominence, &entropies, 1.0);
            let plain: Vec<f64> =
                prominence.iter().zip(&entropies).map(|(&p, &h)| f64::from(p).powi(2) * (-f64::from(h)).exp()).collect();
            let sum: f64 = plain.iter().sum();
            prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (found, plain) in found.iter().zip(plain) {
                prop_assert!((found - plain / sum).abs() <= 1e-12);
            }
        }

        #[test]
        fn scales_and_shifts_do_not_matter((prominence, entropies) in signals(), c in 0.125..8.0f32, h in 0.0..4.0f32) {
            let moved_p: Vec<f32> = prominence.iter().map(|p| p * c).collect();
            let moved_h: Vec<f32> = entropies.iter().map(|e| e + h).collect();
            let tolerance = 1e-5; // float32 inputs are rounded anew
            for (a, b) in shares(&prominence, &entropies, 1.0).iter().zip(shares(&moved_p, &moved_h, 1.0)) {
                prop_assert!((a - b).abs() <= tolerance);
            }
        }

        #[test]
        fn more_prominence_or_certainty_gives_more((mut prominence, mut entropies) in signals(), temperature in 0.05..50.0f64) {
            let before = shares(&prominence, &entropies, temperature);
            prominence[0] *= 1.5;
            let after = shares(&prominence, &entropies, temperature);
            // Up to the last digits of sums.
            let is_at_most = |a: f64, b: f64| a <= b * (1.0 + 1e-12);
            prop_assert!(is_at_most(before[0], after[0]));
            prop_assert!(after.iter().zip(&before).skip(1).all(|(&a, &b)| is_at_most(a, b)));
            prominence[0] /= 1.5;
            entropies[0] *= 0.5;
            prop_assert!(shares(&prominence, &entropies, temperature)[0] >= before[0] * (1.0 - 1e-6));
        }

        #[test]
        fn shares_are_finite_at_any_temperature(
            signals in proptest::collection::vec((0.0..1e30f32, 0.0..1e6f32), 1..20), log_t in -9.0..9.0f64,
        ) {
            let (prominence, entropies): (Vec<f32>, Vec<f32>) = signals.into_iter().unzip();
            let found = shares(&prominence, &entropies, 10f64.powf(log_t));
            prop_assert!(found.iter().all(|share| share.is_finite() && *share >= 0.0));
            prop_assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }

        #[test]
        fn the_automatic_temperature_has_the_divergence((prominence, entropies) in signals(), kappa in 0.01..2.0f64) {
            let base = shares(&prominence, &entropies, 1e12);
            let coldest = kl(&shares(&prominence, &entropies, 1e-6), &base);
            let temperature = Temperature::Auto { kappa }.nats(&prominence, &entropies);
            let found = kl(&shares(&prominence, &entropies, temperature), &base);
            if coldest > kappa {
                prop_assert!((found - kappa).abs() < 1e-6, "{} is not {}", found, kappa);
            } else {
                prop_assert!(temperature < 1e-5);
            }
            // It never falls with 1 / T.
            let colder = kl(&shares(&prominence, &entropies, temperature / 2.0), &base);
            prop_assert!(colder >= found - 1e-9);
        }
    }
}
