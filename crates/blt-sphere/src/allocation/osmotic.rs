//! Shells as vessels that exchange patches until all are equally full.

use super::shells::capacities;
use crate::radial::HollowBall;

/// Osmotic water-filling.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Osmotic {
    /// The equilibrium itself: every shell is filled to its capacity, in order of prominence.
    #[default]
    Exact,
    /// Patches move between neighbouring shells, as pressure drives them.
    Dynamic(Flow),
}

/// How patches move between shells.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Part of the pressure difference that flows in one step, in (0, 1/4].
    pub rate: f64,
    /// The greatest pressure at which it is done.
    pub tolerance: f64,
    /// Steps after which it is done anyway.
    pub max_steps: u32,
    /// Whether patches may evade the pressure sideways, and how.
    pub lateral: Option<super::Lateral>,
}

impl Default for Flow {
    fn default() -> Self {
        Self { rate: 0.25, tolerance: 0.02, max_steps: 1_000_000, lateral: None }
    }
}

/// Counts as a step of the flow left them.
#[derive(Debug, Clone, PartialEq)]
pub struct Vessels {
    capacities: Vec<u64>,
    /// What is in each shell. Fractions are patches on their way; whole patches follow the sums of the shells before.
    fluid: Vec<f64>,
    /// Part of the pressure difference between a shell and the next that flows in one step, times the smaller capacity.
    conductance: Vec<f64>,
    n: u64,
}

/// Distances between shells beyond this many mean distances hinder no further: the innermost shells of equal volume are so thick
/// that nothing would ever reach them.
const FARTHEST: f64 = 4.0;

impl Vessels {
    /// Shells of a ball with `counts` patches in each. Shells too small for one patch stay closed.
    pub fn new(ball: &HollowBall, bounds: &[f64], counts: &[u64], rate: f64) -> Self {
        let n = counts.iter().sum();
        let capacities = capacities(ball, bounds, n as usize);
        let open: Vec<usize> = (0..capacities.len()).filter(|&shell| capacities[shell] > 0).collect();
        let middle = |shell: usize| f64::midpoint(bounds[shell], bounds[shell + 1]);
        let mean = match (open.first(), open.last()) {
            (Some(&first), Some(&last)) if open.len() > 1 => (middle(last) - middle(first)) / (open.len() - 1) as f64,
            _ => 1.0,
        };
        let conductance = open
            .windows(2)
            .map(|pair| {
                let distance = (middle(pair[1]) - middle(pair[0])) / mean;
                let smaller = capacities[pair[0]].min(capacities[pair[1]]);
                rate * (-distance.min(FARTHEST)).exp() * smaller as f64
            })
            .collect();
        // What lies in a closed shell starts in the next open one outwards, or else in the last.
        let mut fluid = vec![0.0; open.len()];
        for (shell, &count) in counts.iter().enumerate() {
            let place = open.partition_point(|&other| other < shell).min(open.len().saturating_sub(1));
            if count > 0 {
                fluid[place] += count as f64;
            }
        }
        Self { capacities, fluid, conductance, n }
    }

    /// One step: between neighbours flows `rate exp(-distance) (P_s - P_(s+1)) min(K_s, K_(s+1))`.
    pub fn step(&mut self) {
        let pressures = self.pressures();
        for (shell, conductance) in self.conductance.iter().enumerate() {
            let flow = conductance * (pressures[shell] - pressures[shell + 1]);
            self.fluid[shell] -= flow;
            self.fluid[shell + 1] += flow;
        }
    }

    /// `n_s / K_s - 1` of each open shell.
    pub fn pressures(&self) -> Vec<f64> {
        self.fluid.iter().zip(self.open()).map(|(fluid, capacity)| fluid / capacity - 1.0).collect()
    }

    /// `sum K_s P_s^2`, which never rises.
    pub fn energy(&self) -> f64 {
        self.pressures().iter().zip(self.open()).map(|(pressure, capacity)| capacity * pressure * pressure).sum()
    }

    /// Whole patches in each shell, closed ones included: between sums of the fluid, rounded. They sum to all patches.
    pub fn counts(&self) -> Vec<u64> {
        let mut fluid = self.fluid.iter();
        let (mut sum, mut before) = (0.0, 0u64);
        let n_open = self.fluid.len();
        let mut seen = 0;
        self.capacities
            .iter()
            .map(|&capacity| {
                if capacity == 0 {
                    return 0;
                }
                sum += fluid.next().copied().unwrap_or_default();
                seen += 1;
                let end = if seen == n_open { self.n } else { (sum.round() as u64).clamp(before, self.n) };
                let count = end - before;
                before = end;
                count
            })
            .collect()
    }

    /// Holds back `amount` of what last flowed from open shell `shell` to the next; negative: from the next.
    pub(crate) fn hold_back(&mut self, shell: usize, amount: f64) {
        self.fluid[shell] += amount;
        self.fluid[shell + 1] -= amount;
    }

    /// Between which whole patches, counted from the core, the edges between open shells lie.
    pub(crate) fn edges(&self) -> Vec<u64> {
        let whole = self.counts();
        let open = whole.iter().zip(&self.capacities).filter(|(_, capacity)| **capacity > 0).map(|(count, _)| *count);
        let mut edges: Vec<u64> = open
            .scan(0, |sum, count| {
                *sum += count;
                Some(*sum)
            })
            .collect();
        edges.pop();
        edges
    }

    /// The pressure farthest from 0.
    pub fn highest_pressure(&self) -> f64 {
        self.fluid
            .iter()
            .zip(self.open())
            .fold(0.0, |most, (fluid, capacity)| f64::max(most, (fluid / capacity - 1.0).abs()))
    }

    fn open(&self) -> impl Iterator<Item = f64> + '_ {
        self.capacities.iter().filter(|capacity| **capacity > 0).map(|&capacity| capacity as f64)
    }
}

/// Where the flow starts: patches `order` from the core outwards in shells by their prominence, counted from one end of its range.
pub(crate) fn starting_counts(prominence: &[f32], order: &[u32], n_shells: usize) -> Vec<u64> {
    let mut counts = vec![0; n_shells];
    let ends = order.first().zip(order.last());
    let Some((first, last)) = ends.map(|(&first, &last)| (prominence[first as usize], prominence[last as usize]))
    else {
        return counts;
    };
    let range = f64::from(first - last).abs() + 1e-6;
    for &p in prominence {
        let part = f64::from(p - first).abs() / range;
        counts[(part * (n_shells - 1) as f64) as usize] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ShellSpacing, random};

    fn ball() -> HollowBall {
        HollowBall::new(32.0, 512.0, 3.0).unwrap()
    }

    /// Prominence of normal distribution, as measured in real models.
    fn prominence(n: usize) -> Vec<f32> {
        (0..n).map(|i| (35.0 + 8.0 * random::normal(1, i as u64, 0)) as f32).collect()
    }

    fn start(n: usize, n_shells: u32, spacing: ShellSpacing) -> Vessels {
        let prominence = prominence(n);
        let keys: Vec<f64> = prominence.iter().map(|&p| f64::from(p)).collect();
        let order = crate::order::descending(&keys, |i| i as u64);
        let bounds = ball().shell_bounds(n_shells, spacing);
        Vessels::new(&ball(), &bounds, &starting_counts(&prominence, &order, n_shells as usize), 0.25)
    }

    #[test]
    fn the_flow_reaches_the_equilibrium() {
        for spacing in [ShellSpacing::EqualVolume, ShellSpacing::EqualWidth] {
            let mut vessels = start(20_000, 16, spacing);
            assert!(vessels.highest_pressure() > 0.5);
            let mut n_steps = 0;
            while vessels.highest_pressure() > 0.02 {
                vessels.step();
                n_steps += 1;
                assert!(n_steps < 100_000);
            }
            let exact = capacities(&ball(), &ball().shell_bounds(16, spacing), 20_000);
            for (count, exact) in vessels.counts().into_iter().zip(exact) {
                assert!(count.abs_diff(exact) as f64 <= 0.02 * exact as f64 + 1.0);
            }
        }
    }

    #[test]
    fn shells_without_room_stay_empty() {
        let mut vessels = start(10, 64, ShellSpacing::EqualWidth);
        for _ in 0..200 {
            vessels.step();
        }
        let counts = vessels.counts();
        assert_eq!(counts.iter().sum::<u64>(), 10);
        assert_eq!(counts[0], 0);
        assert_eq!(start(0, 4, ShellSpacing::EqualVolume).counts(), [0; 4]);
        assert_eq!(start(1, 1, ShellSpacing::EqualVolume).counts(), [1]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_pressure_only_falls(n in 1usize..2000, n_shells in 1u32..20, rate in 0.01..=0.25f64) {
            let prominence = prominence(n);
            let order: Vec<u32> = crate::order::descending(&prominence.iter().map(|&p| f64::from(p)).collect::<Vec<_>>(), |i| i as u64);
            let bounds = ball().shell_bounds(n_shells, ShellSpacing::EqualVolume);
            let mut vessels = Vessels::new(&ball(), &bounds, &starting_counts(&prominence, &order, n_shells as usize), rate);
            for _ in 0..50 {
                let before = vessels.energy();
                vessels.step();
                prop_assert!(vessels.energy() <= before * (1.0 + 1e-12) + 1e-12);
                prop_assert_eq!(vessels.counts().iter().sum::<u64>(), n as u64);
            }
        }
    }
}
