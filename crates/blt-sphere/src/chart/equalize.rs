//! Spreading directions evenly over the sphere, by their ranks.

use std::f64::consts::{PI, TAU};

use rayon::prelude::*;

use super::Directions;
use crate::angles::theta_below;
use crate::order;

/// Knots of a table of quantiles, where there are that many directions.
const N_KNOTS: usize = 4096;

/// Tables of quantiles of the directions a chart was fitted to, so that new ones can be spread as those were.
///
/// A new direction's place among the old ones is interpolated between knots, so it is off by less than 1 / 4095 of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Equalizer {
    /// How many directions the tables are of.
    pub n: u64,
    /// Angles `theta`, rising: knot `k` of `m` is the one of rank `round(k (n - 1) / (m - 1))`.
    pub theta: Vec<f64>,
    /// Angles `phi`, as many, with the same ranks.
    pub phi: Vec<f64>,
}

impl Equalizer {
    /// Spreads directions by their exact ranks, and keeps tables for others:
    /// `cos theta' = 1 - 2 (rank - 1/2) / n` by rising `theta`, `phi' = 2 pi (rank - 1/2) / n` by rising `phi`, ties by id.
    pub(crate) fn fit(directions: &mut Directions, id: impl Fn(usize) -> u64 + Sync) -> Self {
        let n = directions.phi.len();
        let spread = |values: &mut Vec<f64>, angle: fn(f64) -> f64| {
            let order = order::ascending(values, &id);
            let n_knots = n.min(N_KNOTS);
            let table = (0..n_knots).map(|k| values[order[knot_rank(k, n_knots, n)] as usize]).collect();
            for (rank, &i) in order.iter().enumerate() {
                values[i as usize] = angle((rank as f64 + 0.5) / n as f64);
            }
            table
        };
        let theta = spread(&mut directions.theta, theta_below);
        let phi = spread(&mut directions.phi, phi_below);
        Self { n: n as u64, theta, phi }
    }

    /// Spreads other directions as the fitted ones were. With empty tables they stay as they are.
    pub(crate) fn apply(&self, directions: &mut Directions) {
        if self.n > 0 {
            directions
                .theta
                .par_iter_mut()
                .for_each(|theta| *theta = theta_below(self.part_below(&self.theta, *theta)));
            directions.phi.par_iter_mut().for_each(|phi| *phi = phi_below(self.part_below(&self.phi, *phi)));
        }
    }

    /// Whether the tables are ones that [`fit`](Self::fit) could have made.
    pub(crate) fn is_sound(&self) -> bool {
        let rises = |table: &[f64]| table.windows(2).all(|pair| pair[0] <= pair[1]);
        self.phi.len() as u64 == self.n.min(N_KNOTS as u64)
            && self.theta.len() == self.phi.len()
            && u32::try_from(self.n).is_ok()
            && rises(&self.theta)
            && rises(&self.phi)
            && self.theta.iter().all(|theta| (0.0..=PI).contains(theta))
            && self.phi.iter().all(|phi| (0.0..TAU).contains(phi))
    }

    /// The part, in (0, 1), of the fitted directions that lies below `value`, by a rising table. Among equal knots: their middle.
    fn part_below(&self, table: &[f64], value: f64) -> f64 {
        let (m, n) = (table.len(), self.n as usize);
        let place = |k: usize| (knot_rank(k, m, n) as f64 + 0.5) / self.n as f64;
        let first = table.partition_point(|&knot| knot < value);
        let after = table.partition_point(|&knot| knot <= value);
        if first < after {
            return f64::midpoint(place(first), place(after - 1));
        }
        match first {
            0 => place(0) / 2.0,
            k if k == m => f64::midpoint(place(m - 1), 1.0),
            k => {
                let part = (value - table[k - 1]) / (table[k] - table[k - 1]);
                place(k - 1) + part * (place(k) - place(k - 1))
            }
        }
    }
}

/// The meridian west of which, from 0 on, the part `q` of the sphere lies.
fn phi_below(q: f64) -> f64 {
    TAU * q
}

/// The rank, from 0, of knot `k` of `m` among `n`.
fn knot_rank(k: usize, m: usize, n: usize) -> usize {
    if m < 2 { 0 } else { (k * (n - 1) + (m - 1) / 2) / (m - 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random;

    fn some(n: usize) -> Directions {
        let theta = (0..n).map(|i| (0.3 * random::normal(1, i as u64, 0)).tanh().acos()).collect();
        let phi = (0..n).map(|i| TAU * random::uniform(2, i as u64, 0).powi(3)).collect();
        Directions { theta, phi, n_degenerate: 0 }
    }

    /// The largest difference between the parts below each value and the values' places.
    fn distance_from_uniform(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        values
            .iter()
            .enumerate()
            .map(|(i, value)| (value - i as f64 / n).abs().max((value - (i + 1) as f64 / n).abs()))
            .fold(0.0, f64::max)
    }

    #[test]
    fn tables_stand_in_for_ranks() {
        let original = some(20_000);
        let mut by_rank = original.clone();
        let equalizer = Equalizer::fit(&mut by_rank, |i| i as u64);
        assert!(equalizer.is_sound());
        assert_eq!(equalizer.phi.len(), N_KNOTS);
        let mut by_table = original;
        equalizer.apply(&mut by_table);
        for i in 0..20_000 {
            assert!((by_rank.theta[i].cos() - by_table.theta[i].cos()).abs() < 2.0 / 4095.0);
            assert!((by_rank.phi[i] - by_table.phi[i]).abs() < TAU / 4095.0);
        }
    }

    #[test]
    fn values_beyond_the_tables_stay_inside() {
        let mut few = Directions { theta: vec![1.5, 1.5], phi: vec![1.0, 2.0], n_degenerate: 0 };
        let equalizer = Equalizer::fit(&mut few, |i| i as u64);
        assert_eq!(
            (few.theta, few.phi),
            (vec![theta_below(0.25), theta_below(0.75)], vec![TAU / 4.0, 3.0 * TAU / 4.0])
        );
        let mut new = Directions { theta: vec![0.0, PI, 1.5], phi: vec![0.0, 6.0, 1.5], n_degenerate: 0 };
        equalizer.apply(&mut new);
        assert_eq!(new.theta, [0.125, 0.875, 0.5].map(theta_below));
        assert_eq!(new.phi, [0.125, 0.875, 0.5].map(phi_below));
    }

    proptest! {
        #[test]
        fn equalized_marginals_are_uniform(n in 1usize..300) {
            let mut directions = some(n);
            let equalizer = Equalizer::fit(&mut directions, |i| i as u64);
            prop_assert!(equalizer.is_sound());
            let below = |values: &[f64], part: fn(f64) -> f64| values.iter().map(|&value| part(value)).collect();
            prop_assert!(distance_from_uniform(below(&directions.theta, |theta| (1.0 - theta.cos()) / 2.0)) <= 1.0 / n as f64);
            prop_assert!(distance_from_uniform(below(&directions.phi, |phi| phi / TAU)) <= 1.0 / n as f64);
        }
    }
}
