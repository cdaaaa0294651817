//! Shells as energy levels, filled by a Boltzmann distribution.
//!
//! With `e` a patch's prominence, mirrored when the most prominent go to the core, and `E_s` the levels stretched to the range of
//! prominence, a patch is in shell `s` with `P(s) ∝ K_s exp(-(|e - E_s| - mu_s) / T)`. Since the distance to a level is a sum of
//! distances between levels, `exp(-|e - E_s| / T)` is a product, and all sums over levels come from two running sums: one patch
//! costs the same for any number of shells.

use rayon::prelude::*;

use super::logarithms::log_add;
use crate::{parallel, random};

/// Boltzmann water-filling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thrml {
    /// Energies of the shells.
    pub levels: Levels,
    /// Whether every shell gets what it has room for.
    pub ensemble: Ensemble,
    /// In units of prominence.
    pub temperature: f64,
    /// How a patch's shell comes out of its distribution.
    pub draw: Draw,
}

/// Energies of shells; in either case stretched to the range of prominence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Levels {
    /// The original's: `sqrt(s) + s^1.5` for shell `s`.
    #[default]
    Seed,
    /// The radii of the shells' middles.
    Radii,
}

/// Whether every shell gets what it has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ensemble {
    /// As many as come: chemical potentials `mu` are 0.
    Free,
    /// As many as its capacity, on average: chemical potentials are solved for.
    #[default]
    Canonical,
}

/// How a patch's shell comes out of its distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Draw {
    /// Drawn, with random numbers that depend on the seed and the patch's id alone.
    #[default]
    Random,
    /// The most likely one.
    Likeliest,
}

impl Default for Thrml {
    fn default() -> Self {
        Self { levels: Levels::Seed, ensemble: Ensemble::Canonical, temperature: 1.0, draw: Draw::Random }
    }
}

impl Levels {
    /// Levels of the shells, rising.
    pub(crate) fn energies(self, bounds: &[f64]) -> Vec<f64> {
        match self {
            Self::Seed => (0..bounds.len() - 1).map(|s| (s as f64).sqrt() + (s as f64).powf(1.5)).collect(),
            Self::Radii => bounds.windows(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect(),
        }
    }
}

/// Sweeps after which the chemical potentials are left as they are.
const MOST_SWEEPS: u32 = 500;
/// How far, relative to its capacity, the expected number of patches in a shell may be off.
const TOLERANCE: f64 = 1e-6;

/// The most that `mu / T` rises in a sweep.
const MOST: f64 = 700.0;

/// Patches between levels, and the levels' weights.
pub(crate) struct Boltzmann {
    /// Levels over temperature, rising.
    levels: Vec<f64>,
    /// `ln K_s`.
    log_capacities: Vec<f64>,
    /// `mu_s / T`.
    potentials: Vec<f64>,
    /// The patches' energies over temperature.
    energies: Vec<f64>,
    /// The level at or below each patch, at most the last but one.
    gaps: Vec<u32>,
    /// The patches of each gap, as sweeps see them.
    sides: Vec<Side>,
}

/// The patches between two levels: how far each is above the middle between them, twice over, so that `exp` of it is by how much it
/// prefers the upper level.
enum Side {
    /// As exponentials.
    Near(Vec<f64>),
    /// As logarithms, where exponentials would overflow.
    Far(Vec<f64>),
}

/// Levels farther apart than this many temperatures are far.
const FAR: f64 = 300.0;

/// Sums of weights `K_s exp(mu_s / T - distance)` over the levels up to each level, and from each level on, as logarithms.
struct Sums {
    left: Vec<f64>,
    right: Vec<f64>,
}

impl Boltzmann {
    /// `levels` rise; `capacities` are positive and sum to the number of patches; energies lie in any range, and levels are
    /// stretched to it.
    pub(crate) fn new(energies: &[f64], levels: &[f64], capacities: &[f64], temperature: f64) -> Self {
        let low = energies.par_iter().copied().reduce(|| f64::INFINITY, f64::min);
        let high = energies.par_iter().copied().reduce(|| f64::NEG_INFINITY, f64::max);
        let (first, last) = (levels[0], levels[levels.len() - 1]);
        let stretch = if last > first { (high - low) / (last - first) } else { 0.0 };
        let levels: Vec<f64> = levels.iter().map(|level| (level - first) * stretch / temperature).collect();
        let energies: Vec<f64> = energies.par_iter().map(|energy| (energy - low) / temperature).collect();
        let gap = |energy: &f64| {
            let above = levels.partition_point(|level| level <= energy);
            above.saturating_sub(1).min(levels.len().saturating_sub(2)) as u32
        };
        let gaps: Vec<u32> = energies.par_iter().map(gap).collect();
        let mut above_middle = vec![Vec::new(); levels.len().saturating_sub(1)];
        if levels.len() > 1 {
            for (energy, &gap) in energies.iter().zip(&gaps) {
                let gap = gap as usize;
                above_middle[gap].push((energy - levels[gap]) - (levels[gap + 1] - energy));
            }
        }
        let sides = above_middle
            .into_par_iter()
            .enumerate()
            .map(|(gap, above)| {
                let is_far = levels[gap + 1] - levels[gap] > FAR;
                if is_far { Side::Far(above) } else { Side::Near(above.into_iter().map(f64::exp).collect()) }
            })
            .collect();
        let log_capacities = capacities.iter().map(|capacity| capacity.ln()).collect();
        Self { potentials: vec![0.0; levels.len()], log_capacities, levels, energies, gaps, sides }
    }

    /// Solves for potentials with which every shell expects as many patches as it has room for: `ln K_s - ln <n_s>` is added to
    /// each, again and again (Sinkhorn). Gives the number of sweeps and whether that was enough.
    pub(crate) fn solve(&mut self) -> (u32, bool) {
        for sweep in 0..MOST_SWEEPS {
            if self.sweep() <= TOLERANCE {
                return (sweep, true);
            }
        }
        (MOST_SWEEPS, false)
    }

    /// One sweep; gives how far the expected numbers were off before it.
    fn sweep(&mut self) -> f64 {
        let expected = self.log_expected();
        let mut off = 0.0f64;
        for (s, expected) in expected.iter().enumerate() {
            // Where nobody is expected at all, the potential rises until somebody is.
            let missing = (self.log_capacities[s] - expected).min(MOST);
            off = off.max((-missing).exp_m1().abs());
            self.potentials[s] += missing;
        }
        off
    }

    /// The shell of each patch.
    pub(crate) fn shells(&self, draw: Draw, seed: u64, id: impl Fn(usize) -> u64 + Sync) -> Vec<i32> {
        if self.levels.len() < 2 {
            return vec![0; self.energies.len()];
        }
        let sums = self.sums();
        // Per level: sums, or the best, of those up to it and of those from it on, at one place.
        let at_first: Vec<f64> = (0..self.levels.len()).map(|s| sums.left[s] + self.levels[s]).collect();
        let at_last: Vec<f64> = (0..self.levels.len()).map(|s| sums.right[s] - self.levels[s]).collect();
        let best_left = running_best((0..self.levels.len()).map(|s| (s, self.weight(s) + self.levels[s])));
        let mut best_right = running_best((0..self.levels.len()).rev().map(|s| (s, self.weight(s) - self.levels[s])));
        best_right.reverse();
        (0..self.energies.len())
            .into_par_iter()
            .map(|i| {
                let gap = self.gaps[i] as usize;
                if draw == Draw::Likeliest {
                    let (left, right) = (best_left[gap], best_right[gap + 1]);
                    let left_wins = left.1 - self.energies[i] >= right.1 + self.energies[i];
                    return if left_wins { left.0 } else { right.0 } as i32;
                }
                let [part_left, part_right] = self.parts(i, &sums);
                let u = random::uniform(seed, id(i), 0);
                if u < part_left {
                    // The first level up to which the part of the left sum exceeds u / part_left.
                    let wanted = (u / part_left).ln() + at_first[gap];
                    at_first[..gap].partition_point(|&sum| sum <= wanted) as i32
                } else {
                    // The last level from which on the part of the right sum is at least what is left.
                    let wanted = ((1.0 - u) / part_right).ln() + at_last[gap + 1];
                    let right = &at_last[gap + 1..];
                    (gap + right.partition_point(|&sum| sum >= wanted).max(1)) as i32
                }
            })
            .collect()
    }

    /// `ln` of the expected number of patches in each shell.
    fn log_expected(&self) -> Vec<f64> {
        let n_levels = self.levels.len();
        if n_levels < 2 {
            return vec![(self.energies.len() as f64).ln()];
        }
        let sums = self.sums();
        // Patches of each gap that go to a level below, and to one above.
        let sides: Vec<[f64; 2]> = self
            .sides
            .par_iter()
            .enumerate()
            .map(|(gap, side)| side.sums(sums.right[gap + 1] - sums.left[gap]))
            .collect();
        // Of those, the part that stays at each level, by running sums in both directions.
        let mut from_right = vec![f64::NEG_INFINITY; n_levels];
        for s in (0..n_levels - 1).rev() {
            let beyond = from_right[s + 1] - (self.levels[s + 1] - self.levels[s]);
            from_right[s] = log_add(beyond, sides[s][0].ln() - sums.left[s]);
        }
        let mut from_left = vec![f64::NEG_INFINITY; n_levels];
        for s in 1..n_levels {
            let beyond = from_left[s - 1] - (self.levels[s] - self.levels[s - 1]);
            from_left[s] = log_add(beyond, sides[s - 1][1].ln() - sums.right[s]);
        }
        (0..n_levels).map(|s| self.weight(s) + log_add(from_left[s], from_right[s])).collect()
    }

    /// The parts of patch `i` that are at its gap's lower level or below, and at its upper one or above.
    fn parts(&self, i: usize, sums: &Sums) -> [f64; 2] {
        let gap = self.gaps[i] as usize;
        let left = sums.left[gap] - (self.energies[i] - self.levels[gap]);
        let right = sums.right[gap + 1] - (self.levels[gap + 1] - self.energies[i]);
        let ratio = (-(right - left).abs()).exp();
        let (smaller, larger) = (ratio / (1.0 + ratio), 1.0 / (1.0 + ratio));
        if left >= right { [larger, smaller] } else { [smaller, larger] }
    }

    fn sums(&self) -> Sums {
        let n_levels = self.levels.len();
        let mut left = vec![self.weight(0); n_levels];
        for s in 1..n_levels {
            left[s] = log_add(left[s - 1] - (self.levels[s] - self.levels[s - 1]), self.weight(s));
        }
        let mut right = vec![self.weight(n_levels - 1); n_levels];
        for s in (0..n_levels - 1).rev() {
            right[s] = log_add(right[s + 1] - (self.levels[s + 1] - self.levels[s]), self.weight(s));
        }
        Sums { left, right }
    }

    /// `ln(K_s) + mu_s / T`.
    fn weight(&self, s: usize) -> f64 {
        self.log_capacities[s] + self.potentials[s]
    }
}

impl Side {
    /// How many patches are expected below and above, when at the middle those above are `exp(log_odds)` as likely as those below.
    fn sums(&self, log_odds: f64) -> [f64; 2] {
        match self {
            Self::Near(factors) => {
                let at_middle = log_odds.exp();
                expected(factors.len(), |i| at_middle * factors[i])
            }
            Self::Far(logs) => expected(logs.len(), |i| (log_odds + logs[i]).exp()),
        }
    }
}

/// Sums of `1 / (1 + odds)` and of `odds / (1 + odds)`.
fn expected(n: usize, odds: impl Fn(usize) -> f64 + Sync) -> [f64; 2] {
    const MOST: f64 = 1e300; // keeps what is infinitely likely from becoming no number
    let parts = parallel::map_chunks(n, |range| {
        range.fold([0.0; 2], |[below, above], i| {
            let odds = odds(i).min(MOST);
            let part = 1.0 / (1.0 + odds);
            [below + part, above + odds * part]
        })
    });
    parts.into_iter().fold([0.0; 2], |[below, above], part| [below + part[0], above + part[1]])
}

/// The best of the items up to each one.
fn running_best(items: impl Iterator<Item = (usize, f64)>) -> Vec<(usize, f64)> {
    items
        .scan((0, f64::NEG_INFINITY), |best, item| {
            if item.1 > best.1 {
                *best = item;
            }
            Some(*best)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Boltzmann {
        /// The distribution of patch `i` by its definition.
        fn probabilities(&self, i: usize) -> Vec<f64> {
            let logs: Vec<f64> =
                (0..self.levels.len()).map(|s| self.weight(s) - (self.energies[i] - self.levels[s]).abs()).collect();
            crate::allocation::logarithms::softmax(&logs)
        }

        /// What the sweeps climb: `sum K_s mu_s / T - sum_i ln Z_i`, the negative free energy of the dual problem over T.
        fn dual(&self) -> f64 {
            let gained: f64 =
                self.log_capacities.iter().zip(&self.potentials).map(|(capacity, mu)| capacity.exp() * mu).sum();
            let log_z = |i: usize| {
                let logs: Vec<f64> = (0..self.levels.len())
                    .map(|s| self.weight(s) - (self.energies[i] - self.levels[s]).abs())
                    .collect();
                crate::allocation::logarithms::log_sum_exp(&logs)
            };
            gained - (0..self.energies.len()).map(log_z).sum::<f64>()
        }
    }

    fn normal_energies(n: usize) -> Vec<f64> {
        (0..n).map(|i| 35.0 + 8.0 * random::normal(3, i as u64, 0)).collect()
    }

    fn capacities(n: usize, n_levels: usize) -> Vec<f64> {
        let sum: f64 = (1..=n_levels).map(|s| s as f64).sum();
        (1..=n_levels).map(|s| n as f64 * s as f64 / sum).collect()
    }

    #[test]
    fn canonical_numbers_are_the_capacities() {
        let capacities = capacities(500, 12);
        let levels = Levels::Seed.energies(&[0.0; 13]);
        for temperature in [2.0, 10.0, 1000.0] {
            let mut system = Boltzmann::new(&normal_energies(500), &levels, &capacities, temperature);
            let (_, converged) = system.solve();
            assert!(converged, "{temperature}");
            for (s, capacity) in capacities.iter().enumerate() {
                let expected: f64 = (0..500).map(|i| system.probabilities(i)[s]).sum();
                assert!((expected / capacity - 1.0).abs() < 2e-6);
            }
        }
    }

    #[test]
    fn sweeps_never_lose_ground() {
        let levels = Levels::Radii.energies(&[32.0, 100.0, 180.0, 300.0, 400.0, 512.0]);
        let mut system = Boltzmann::new(&normal_energies(200), &levels, &capacities(200, 5), 2.0);
        let mut before = system.dual();
        for _ in 0..50 {
            system.sweep();
            let after = system.dual();
            assert!(after >= before - 1e-9 * before.abs());
            before = after;
        }
    }

    /// In the limit of no temperature the mean distance to the levels is the least there is, which for distances on a line is that
    /// of the sorted assignment.
    #[test]
    fn cold_patches_are_as_near_as_can_be() {
        let n = 60;
        let energies = normal_energies(n);
        let levels = [0.0, 1.0, 2.0, 3.0];
        let mut system = Boltzmann::new(&energies, &levels, &[15.0; 4], 0.5);
        assert!(system.solve().1);
        let mut sorted = system.energies.clone();
        sorted.sort_by(f64::total_cmp);
        let least: f64 = sorted.iter().enumerate().map(|(i, e)| (e - system.levels[i / 15]).abs()).sum();
        let found: f64 = (0..n)
            .flat_map(|i| {
                let system = &system;
                system
                    .probabilities(i)
                    .into_iter()
                    .enumerate()
                    .map(move |(s, p)| p * (system.energies[i] - system.levels[s]).abs())
            })
            .sum();
        assert!((found / least - 1.0).abs() < 0.01, "{found} {least}");
    }

    #[test]
    fn hot_patches_go_where_room_is() {
        let system = Boltzmann::new(&normal_energies(10), &[0.0, 1.0, 3.0], &[1.0, 2.0, 7.0], 1e9);
        for (p, expected) in system.probabilities(3).into_iter().zip([0.1, 0.2, 0.7]) {
            assert!((p - expected).abs() < 1e-7);
        }
    }

    #[test]
    fn two_levels_have_the_boltzmann_ratio() {
        // Energies from 0 to 4 put the levels at 0 and 4; a patch at 1 is 1 from the first and 3 from the second.
        let system = Boltzmann::new(&[0.0, 1.0, 4.0], &[0.0, 1.0], &[1.5, 1.5], 2.0);
        let p = system.probabilities(1);
        assert!((p[1] / p[0] - (-(3.0f64 - 1.0) / 2.0).exp()).abs() < 1e-12);
    }

    /// Chi-squared over 8 shells: 0.9999 quantile of 7 degrees of freedom.
    #[test]
    fn draws_have_the_expected_frequencies() {
        let n = 100_000;
        let energies: Vec<f64> = (0..n).map(|i| f64::from(i as u32 % 10)).collect();
        let system = Boltzmann::new(&energies, &Levels::Seed.energies(&[0.0; 9]), &capacities(n, 8), 2.0);
        let mut expected = [0.0; 8];
        for i in 0..10 {
            for (s, p) in system.probabilities(i).into_iter().enumerate() {
                expected[s] += p * n as f64 / 10.0;
            }
        }
        let mut counts = [0.0; 8];
        for shell in system.shells(Draw::Random, 42, |i| i as u64) {
            counts[shell as usize] += 1.0;
        }
        let chi2: f64 =
            counts.iter().zip(expected).map(|(count, expected)| (count - expected).powi(2) / expected).sum();
        assert!(chi2 < 29.9, "{chi2}");
    }

    #[test]
    fn few_levels_and_equal_patches() {
        let mut one = Boltzmann::new(&[1.0, 2.0], &[0.0], &[2.0], 1.0);
        assert_eq!(one.solve(), (0, true));
        assert_eq!(one.shells(Draw::Random, 1, |i| i as u64), [0, 0]);
        let mut equal = Boltzmann::new(&[5.0; 4], &[0.0, 1.0], &[1.0, 3.0], 1.0);
        assert!(equal.solve().1);
        assert_eq!(equal.shells(Draw::Likeliest, 1, |i| i as u64), [1; 4]);
    }

    proptest! {
        #[test]
        fn running_sums_are_the_sums(
            energies in proptest::collection::vec(-10.0..10.0f64, 2..30), log_t in -3.0..3.0f64, shift in -1e3..1e3f64,
        ) {
            let (n, temperature) = (energies.len(), 10f64.powf(log_t));
            let system = Boltzmann::new(&energies, &Levels::Seed.energies(&[0.0; 8]), &capacities(n, 7), temperature);
            let expected = system.log_expected();
            let likeliest = system.shells(Draw::Likeliest, 0, |i| i as u64);
            let mut total = 0.0;
            for (s, expected) in expected.iter().enumerate() {
                let plain: f64 = (0..n).map(|i| system.probabilities(i)[s]).sum();
                prop_assert!((expected.exp() - plain).abs() < 1e-9 * n as f64);
                total += expected.exp();
            }
            prop_assert!((total / n as f64 - 1.0).abs() < 1e-9);
            let shifted: Vec<f64> = energies.iter().map(|energy| energy + shift).collect();
            let other = Boltzmann::new(&shifted, &Levels::Seed.energies(&[0.0; 8]), &capacities(n, 7), temperature);
            for i in 0..n {
                let p = system.probabilities(i);
                prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                prop_assert!(p.iter().all(|&other| other <= p[likeliest[i] as usize] * (1.0 + 1e-9)));
                for (a, b) in p.iter().zip(other.probabilities(i)) {
                    prop_assert!((a - b).abs() < 1e-9 * (1.0 + shift.abs() / temperature));
                }
            }
        }
    }
}
