//! Spins on a graph, sampled in blocks: patches of one colour do not touch each other, so all of them may change at once.
//!
//! Source: block Gibbs sampling as in THRML, arXiv 2510.23972.

use rayon::prelude::*;

use super::graph::Graph;
use crate::patches::Edge;
use crate::random;

/// Spins `s` of +1 and -1 with energy `-sum J s_i s_j - sum h_i s_i`, over edges and patches.
///
/// With positive weights a low energy keeps joined patches together, which cuts as little as possible; a maximal cut needs negative ones.
#[derive(Debug, Clone)]
pub struct Ising {
    graph: Graph,
    field: Vec<f64>,
    colours: Vec<Vec<u32>>,
}

impl Ising {
    /// Couplings `J` are the edges' weights. `None` where an edge ends at no spin.
    pub fn new(edges: &[Edge], field: &[f64]) -> Option<Self> {
        let n = field.len();
        if edges.iter().any(|edge| edge.from as usize >= n || edge.to as usize >= n) {
            return None;
        }
        let graph = Graph::new(n, edges);
        Some(Self { colours: graph.colours(), graph, field: field.to_vec() })
    }

    /// The energy of spins, `[n]`.
    pub fn energy(&self, spins: &[i8]) -> f64 {
        let local = |i: usize| {
            let coupled: f64 = self.coupled(spins, i);
            -f64::from(spins[i]) * (coupled / 2.0 + self.field[i])
        };
        (0..spins.len()).map(local).sum()
    }

    /// One sweep: every spin is drawn anew given the others, `P(s_i = +1) = 1 / (1 + exp(-2 beta (sum J s_j + h_i)))`, one colour after
    /// the other. `number` is that of the sweep; seed, number and spin decide the random numbers.
    pub fn sweep(&self, spins: &mut [i8], beta: f64, seed: u64, number: u64) {
        for colour in &self.colours {
            let new: Vec<i8> = colour
                .par_iter()
                .map(|&i| {
                    let pull = self.coupled(spins, i as usize) + self.field[i as usize];
                    let up = 1.0 / (1.0 + (-2.0 * beta * pull).exp());
                    if random::uniform(seed, u64::from(i), number) < up { 1 } else { -1 }
                })
                .collect();
            colour.iter().zip(new).for_each(|(&i, spin)| spins[i as usize] = spin);
        }
    }

    fn coupled(&self, spins: &[i8], i: usize) -> f64 {
        self.graph.of(i).iter().map(|&(j, weight)| f64::from(weight) * f64::from(spins[j as usize])).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half the sum of differences between the exact distribution over all states and the frequencies of sweeps.
    #[test]
    fn frequencies_are_those_of_all_states() {
        let n = 6u32;
        let mut edges: Vec<Edge> =
            (0..n).map(|i| Edge { from: i, to: (i + 1) % n, weight: 0.5 - 0.3 * i as f32 / 2.0 }).collect();
        edges.push(Edge { from: 0, to: 3, weight: 0.7 });
        let field: Vec<f64> = (0..n).map(|i| 0.2 * f64::from(i) - 0.5).collect();
        let (ising, beta) = (Ising::new(&edges, &field).unwrap(), 0.8);
        let state = |index: usize| -> Vec<i8> { (0..n).map(|i| if index >> i & 1 == 1 { 1 } else { -1 }).collect() };
        let weights: Vec<f64> = (0..1 << n).map(|index| (-beta * ising.energy(&state(index))).exp()).collect();
        let total: f64 = weights.iter().sum();
        let n_sweeps = 100_000;
        let mut counts = vec![0.0; 1 << n];
        let mut spins = vec![1i8; n as usize];
        for sweep in 0..n_sweeps {
            ising.sweep(&mut spins, beta, 42, sweep);
            counts[spins.iter().enumerate().map(|(i, &spin)| usize::from(spin == 1) << i).sum::<usize>()] += 1.0;
        }
        let distance: f64 = counts
            .iter()
            .zip(&weights)
            .map(|(count, weight)| (count / n_sweeps as f64 - weight / total).abs())
            .sum::<f64>()
            / 2.0;
        assert!(distance < 0.02, "{distance}");
    }

    #[test]
    fn cold_spins_that_attract_agree() {
        let edges: Vec<Edge> = (0..9).map(|i| Edge { from: i, to: i + 1, weight: 1.0 }).collect();
        let ising = Ising::new(&edges, &[0.1; 10]).unwrap();
        let mut spins = [-1i8, 1, -1, 1, -1, 1, -1, 1, -1, 1];
        let mut energy = ising.energy(&spins);
        for sweep in 0..50 {
            ising.sweep(&mut spins, 1e6, 1, sweep);
            assert!(ising.energy(&spins) <= energy);
            energy = ising.energy(&spins);
        }
        assert_eq!(spins, [1; 10]);
        assert!(Ising::new(&edges, &[0.0; 9]).is_none());
    }
}
