//! Water-filling as textbooks have it: a budget of power over parallel channels of different noise.
//!
//! Source: Boyd and Vandenberghe, "Convex Optimization", example 5.2, with weights and caps added.

use rayon::prelude::*;

use crate::parallel;

/// Water-filling over parallel channels, one a patch: maximise `sum ln(n + x)` with `sum x = budget` and `0 <= x <= cap`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classic {
    /// Gains are `prominence^2 exp(-entropy / temperature)`, in nats; noise is one over the gain.
    pub temperature: f64,
    /// How much there is to share out, in units of the median noise times the number of patches.
    pub budget: f64,
    /// The most that a patch may get, as a part of the budget; at least one over the number of patches.
    pub cap: Option<f64>,
    /// The part of the volume, at the end of the order, that patches left dry share equally.
    pub dry_fraction: f64,
}

impl Default for Classic {
    fn default() -> Self {
        Self { temperature: 1.0, budget: 1.0, cap: None, dry_fraction: 0.05 }
    }
}

/// Channels to be filled. All slices have one entry a channel.
#[derive(Debug, Clone, Copy)]
pub struct Channels<'a> {
    /// Logarithms of the noises `n`, finite.
    pub log_noise: &'a [f64],
    /// Weights `w`, positive; missing: all 1.
    pub weights: Option<&'a [f64]>,
    /// Caps `u`, positive, as parts of the budget; missing: none.
    pub caps: Option<&'a [f64]>,
    /// Logarithm of the budget `B`, finite.
    pub log_budget: f64,
}

impl Channels<'_> {
    /// Solves "maximise `sum w ln(n + x)` with `sum x = B` and `0 <= x <= u`": parts `x / B` of the budget, `[n]`.
    ///
    /// `x = clamp(w mu - n, 0, u)` with one level `mu` for all. Noises may lie any number of orders of magnitude apart. `None`
    /// when the caps leave some of the budget over.
    pub fn fill(&self) -> Option<Vec<f64>> {
        let n = self.log_noise.len();
        if n == 0 {
            return Some(Vec::new());
        }
        let channels = self.channels();
        let level = level(&channels, n as f64)?;
        let shares: Vec<f64> = channels.par_iter().map(|channel| channel.at(level)).collect();
        let total = parallel::sum(n, |i| shares[i]);
        Some(shares.into_par_iter().map(|share| share / total).collect())
    }

    /// Everything is measured in budgets of a channel, `B / n`, so that what a channel gets can neither overflow nor vanish; and
    /// thresholds count from the lowest, so that the smallest budget is not lost in the noise.
    fn channels(&self) -> Vec<Channel> {
        let n = self.log_noise.len();
        let weight = |i: usize| self.weights.map_or(1.0, |weights| weights[i]);
        let log_threshold = |i: usize| self.log_noise[i] - weight(i).ln();
        let lowest = (0..n).map(log_threshold).fold(f64::INFINITY, f64::min);
        let lowest_in_budgets = lowest - (self.log_budget - (n as f64).ln());
        (0..n)
            .into_par_iter()
            .map(|i| {
                // `ln(exp(above) - 1)`, which is minus infinity for the lowest
                let above = log_threshold(i) - lowest;
                let log_excess = above + (-(-above).exp_m1()).ln();
                let threshold = (lowest_in_budgets + log_excess).min(MOST).exp();
                let cap = self.caps.map_or(f64::INFINITY, |caps| caps[i] * n as f64);
                Channel { threshold, weight: weight(i), cap }
            })
            .collect()
    }
}

/// A channel whose threshold is `exp(700)` budgets of a channel, or more, stays dry.
const MOST: f64 = 700.0;

/// Gets `clamp(weight (level - threshold), 0, cap)`.
#[derive(Debug, Clone, Copy)]
struct Channel {
    threshold: f64,
    weight: f64,
    cap: f64,
}

impl Channel {
    fn at(&self, level: f64) -> f64 {
        (self.weight * (level - self.threshold)).clamp(0.0, self.cap)
    }

    /// The level at which it is full.
    fn full_at(&self) -> f64 {
        self.threshold + self.cap / self.weight
    }
}

/// The level at which the channels hold the budget: what they hold grows piecewise linearly with the level.
fn level(channels: &[Channel], budget: f64) -> Option<f64> {
    // `(level, change of slope)`
    let mut bends: Vec<(f64, f64)> = channels
        .iter()
        .flat_map(|channel| [(channel.threshold, channel.weight), (channel.full_at(), -channel.weight)])
        .filter(|(level, _)| level.is_finite())
        .collect();
    bends.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let (mut held, mut slope, mut at) = (0.0, 0.0, 0.0);
    for &(bend, change) in &bends {
        let next = held + f64::max(slope, 0.0) * (bend - at);
        if next >= budget && bend > at {
            return Some(exact(channels, at, budget));
        }
        (held, slope, at) = (next, slope + change, bend);
    }
    let all_full = channels.iter().all(|channel| channel.cap.is_finite());
    if all_full {
        // Rounding may leave a little over where the caps just hold the budget.
        return (held >= budget * (1.0 - 1e-9)).then_some(at);
    }
    Some(exact(channels, at, budget))
}

/// The level above `bend` and below the next bend, from sums over those channels that are then neither dry nor full.
fn exact(channels: &[Channel], bend: f64, budget: f64) -> f64 {
    let rising = |channel: &Channel| channel.threshold <= bend && channel.full_at() > bend;
    let sum = |value: &(dyn Fn(&Channel) -> f64 + Sync)| parallel::sum(channels.len(), |i| value(&channels[i]));
    let weight = sum(&|channel| if rising(channel) { channel.weight } else { 0.0 });
    let below = sum(&|channel| if rising(channel) { channel.weight * channel.threshold } else { 0.0 });
    let full = sum(&|channel| if channel.full_at() <= bend { channel.cap } else { 0.0 });
    if weight > 0.0 { (budget - full + below) / weight } else { bend }
}

/// Parts of the budget `classic.budget * n * median noise`; `None` when the cap is too low to share it all out.
pub(crate) fn allocate(log_gains: &[f64], classic: &Classic) -> Option<Vec<f64>> {
    let log_noise: Vec<f64> = log_gains.par_iter().map(|gain| -gain).collect();
    let n = log_noise.len();
    if n == 0 {
        return Some(Vec::new());
    }
    let mut sorted = log_noise.clone();
    let (_, median, _) = sorted.select_nth_unstable_by(n / 2, f64::total_cmp);
    let log_budget = classic.budget.ln() + (n as f64).ln() + *median;
    let caps = classic.cap.map(|cap| vec![cap; n]);
    Channels { log_noise: &log_noise, weights: None, caps: caps.as_deref(), log_budget }.fill()
}

/// Shares of the volume from parts of the budget, and how many patches are dry.
pub(crate) fn with_dry(mut parts: Vec<f64>, dry_fraction: f64) -> (Vec<f64>, usize) {
    let n_dry = parts.par_iter().filter(|part| **part <= 0.0).count();
    if n_dry > 0 {
        parts.par_iter_mut().for_each(|part| {
            *part = if *part <= 0.0 { dry_fraction / n_dry as f64 } else { *part * (1.0 - dry_fraction) };
        });
    }
    (parts, n_dry)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Amounts, in the noise's units.
    fn amounts(noise: &[f64], weights: Option<&[f64]>, caps: Option<&[f64]>, budget: f64) -> Option<Vec<f64>> {
        let log_noise: Vec<f64> = noise.iter().map(|n| n.ln()).collect();
        let caps: Option<Vec<f64>> = caps.map(|caps| caps.iter().map(|cap| cap / budget).collect());
        let channels = Channels { log_noise: &log_noise, weights, caps: caps.as_deref(), log_budget: budget.ln() };
        Some(channels.fill()?.into_iter().map(|share| share * budget).collect())
    }

    /// By bisection on the level.
    fn bisected(noise: &[f64], weights: &[f64], caps: &[f64], budget: f64) -> Vec<f64> {
        let at = |mu: f64| -> Vec<f64> {
            (0..noise.len()).map(|i| (weights[i] * mu - noise[i]).clamp(0.0, caps[i])).collect()
        };
        let (mut low, mut high) = (0.0, 1e9);
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            if at(middle).iter().sum::<f64>() < budget { low = middle } else { high = middle }
        }
        at(high)
    }

    /// By gradient steps, each projected onto the simplex `sum x = budget, x >= 0`.
    fn climbed(noise: &[f64], budget: f64) -> Vec<f64> {
        let n = noise.len();
        let mut x = vec![budget / n as f64; n];
        for _ in 0..20_000 {
            let stepped: Vec<f64> = x.iter().zip(noise).map(|(x, n)| x + 0.02 / (n + x)).collect();
            let mut sorted = stepped.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let mut sum = 0.0;
            let mut shift = 0.0;
            for (k, value) in sorted.iter().enumerate() {
                sum += value;
                let candidate = (sum - budget) / (k + 1) as f64;
                if value - candidate > 0.0 {
                    shift = candidate;
                }
            }
            x = stepped.iter().map(|value| (value - shift).max(0.0)).collect();
        }
        x
    }

    #[track_caller]
    fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance);
        assert!(near && found.len() == expected.len(), "{found:?} is not {expected:?}");
    }

    /// Exercise with alpha = (.8, 1, 1.2) and one unit of power.
    #[test]
    fn the_textbook_example() {
        assert_near(&amounts(&[0.8, 1.0, 1.2], None, None, 1.0).unwrap(), &[8.0 / 15.0, 5.0 / 15.0, 2.0 / 15.0], 1e-12);
    }

    #[test]
    fn projected_gradients_find_the_same() {
        for (noise, budget) in [(vec![0.3, 2.0, 1.0, 0.7], 1.0), (vec![1.0; 5], 2.0), (vec![0.1, 3.0, 9.0], 0.5)] {
            assert_near(&amounts(&noise, None, None, budget).unwrap(), &climbed(&noise, budget), 1e-5);
        }
    }

    #[test]
    fn noises_may_be_any_orders_of_magnitude_apart() {
        for (log_budget, wet) in [(-2000.0, 1), (1.0, 2), (2000.0, 3)] {
            let log_noise = [-1000.0, 0.0, 1000.0, 1e15];
            let shares = Channels { log_noise: &log_noise, weights: None, caps: None, log_budget }.fill().unwrap();
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            let n_wet = shares.iter().filter(|&&share| share > 0.0).count();
            assert_eq!(n_wet, wet, "{shares:?}");
        }
    }

    #[test]
    fn caps_that_are_too_low_are_refused() {
        assert_eq!(amounts(&[1.0, 2.0], None, Some(&[0.3, 0.3]), 1.0), None);
        assert_near(&amounts(&[1.0, 2.0], None, Some(&[0.5, 0.5]), 1.0).unwrap(), &[0.5, 0.5], 1e-9);
        assert_eq!(amounts(&[], None, None, 1.0), Some(vec![]));
    }

    #[test]
    fn dry_patches_share_their_part() {
        assert_eq!(with_dry(vec![0.5, 0.0, 0.5, 0.0], 0.1), (vec![0.45, 0.05, 0.45, 0.05], 2));
        assert_eq!(with_dry(vec![0.5, 0.5], 0.1), (vec![0.5, 0.5], 0));
    }

    fn channel() -> impl Strategy<Value = (f64, f64, f64)> {
        (1e-3..1e3f64, 0.1..10.0f64, 0.05..1.0f64)
    }

    proptest! {
        #[test]
        fn the_optimality_conditions_hold(
            channels in proptest::collection::vec(channel(), 1..40), budget in 1e-6..1e6f64, capped in any::<bool>(),
        ) {
            let noise: Vec<f64> = channels.iter().map(|channel| channel.0).collect();
            let weights: Vec<f64> = channels.iter().map(|channel| channel.1).collect();
            // Room for twice the budget.
            let room: f64 = channels.iter().map(|channel| channel.2).sum();
            let caps: Vec<f64> = channels
                .iter()
                .map(|channel| if capped { channel.2 / room * 2.0 * budget } else { f64::MAX })
                .collect();
            let x = amounts(&noise, Some(&weights), capped.then_some(&caps), budget).unwrap();
            prop_assert!((x.iter().sum::<f64>() - budget).abs() <= 1e-9 * budget);
            // The multiplier, by any channel that is neither dry nor full.
            let rising = (0..x.len()).filter(|&i| x[i] > 0.0 && x[i] < caps[i] * (1.0 - 1e-9));
            let lambdas: Vec<f64> = rising.map(|i| weights[i] / (noise[i] + x[i])).collect();
            if let Some(&lambda) = lambdas.first() {
                for other in &lambdas {
                    prop_assert!((other - lambda).abs() <= 1e-9 * lambda);
                }
                for i in 0..x.len() {
                    prop_assert!(x[i] >= 0.0 && x[i] <= caps[i] * (1.0 + 1e-9));
                    if x[i] == 0.0 {
                        prop_assert!(weights[i] / noise[i] <= lambda * (1.0 + 1e-9));
                    }
                    if x[i] >= caps[i] * (1.0 - 1e-9) {
                        prop_assert!(weights[i] / (noise[i] + x[i]) >= lambda * (1.0 - 1e-6));
                    }
                }
            }
            let expected = bisected(&noise, &weights, &caps, budget);
            for i in 0..x.len() {
                prop_assert!((x[i] - expected[i]).abs() <= 1e-6 * budget.max(1.0), "{:?} {:?}", x, expected);
            }
        }

        #[test]
        fn scale_and_gain(noise in proptest::collection::vec(1e-2..1e2f64, 2..20), budget in 0.01..100.0f64, c in 1e-3..1e3f64) {
            let x = amounts(&noise, None, None, budget).unwrap();
            let scaled: Vec<f64> = noise.iter().map(|n| n * c).collect();
            let y = amounts(&scaled, None, None, budget * c).unwrap();
            for i in 0..x.len() {
                prop_assert!((x[i] * c - y[i]).abs() <= 1e-9 * budget * c);
            }
            let mut better = noise.clone();
            better[0] /= 2.0;
            prop_assert!(amounts(&better, None, None, budget).unwrap()[0] >= x[0] * (1.0 - 1e-12));
        }
    }
}
