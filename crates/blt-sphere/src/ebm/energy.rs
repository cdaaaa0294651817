//! The energy of a placement, term by term, and its gradient.
//!
//! Patch `i` is at the unit vector `u_i` and at the part `q_i` of the way from the core to the rim.

use rayon::prelude::*;

use super::Ebm;
use super::graph::Graph;
use crate::angles::angles_of;
use crate::neighbours::dot;
use crate::parallel;
use crate::random;
use crate::zones::Zone;

/// Energies of a placement, term by term.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Energy {
    /// `spring sum (q - q*)^2`, of distances from the ideal radii.
    pub radial: f64,
    /// `-sum w exp((u_i u_j - 1) / width^2)` over edges.
    pub edges: f64,
    /// `repulsion sum ln mean exp(-sharpness |u_i - u_j|^2)`, the mean over a few others.
    pub repulsion: f64,
    /// `zone sum (angle to the zone)^2`.
    pub zones: f64,
    /// `coherence sum c ln(r / r_min)`.
    pub coherence: f64,
}

impl Energy {
    /// Their sum.
    pub fn total(&self) -> f64 {
        self.radial + self.edges + self.repulsion + self.zones + self.coherence
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            radial: self.radial + other.radial,
            edges: self.edges + other.edges,
            repulsion: self.repulsion + other.repulsion,
            zones: self.zones + other.zones,
            coherence: self.coherence + other.coherence,
        }
    }
}

/// What does not change while patches move.
pub(super) struct Field<'a> {
    pub(super) ebm: &'a Ebm,
    pub(super) graph: Graph,
    /// Ideal places between core and rim.
    pub(super) ideal: Vec<f64>,
    /// Coherence, where it counts.
    pub(super) coherence: Option<&'a [f64]>,
    /// The zone each is for, and the polar caps' half-angle; missing: there are no zones.
    pub(super) zones: Option<(&'a [Zone], f64)>,
    /// Angular width of the attraction.
    pub(super) width: f64,
    /// Radii of core and rim.
    pub(super) radii: [f64; 2],
    pub(super) seed: u64,
}

/// Where patches are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    pub(super) u: Vec<[f64; 3]>,
    pub(super) q: Vec<f64>,
}

/// The others that patches are repelled by in one step, `i + shift` for each of a few shifts: then those that `i` repels are known too.
pub(super) struct Others {
    shifts: Vec<usize>,
    /// `ln mean exp` of each patch.
    log_means: Vec<f64>,
}

impl Field<'_> {
    /// The others of step `step`, where patches are at its start.
    pub(super) fn others(&self, state: &State, step: u64) -> Others {
        let n = state.u.len();
        let shifts: Vec<usize> = if self.ebm.repulsion > 0.0 && n > 1 {
            (0..u64::from(self.ebm.n_negatives))
                .map(|k| 1 + (random::uniform(self.seed, step, k) * (n - 1) as f64) as usize)
                .collect()
        } else {
            Vec::new()
        };
        let mut others = Others { shifts, log_means: Vec::new() };
        if !others.shifts.is_empty() {
            others.log_means = (0..n).into_par_iter().map(|i| self.log_mean(state, &others, i, state.u[i])).collect();
        }
        others
    }

    /// The whole energy.
    pub(super) fn energy(&self, state: &State, others: &Others) -> Energy {
        let parts = parallel::map_chunks(state.u.len(), |range| {
            range.fold(Energy::default(), |sum, i| {
                let own = self.local(state, others, i, state.u[i], state.q[i]);
                // Both ends of an edge have it.
                sum.plus(Energy { edges: own.edges / 2.0, ..own })
            })
        });
        parts.into_iter().fold(Energy::default(), Energy::plus)
    }

    /// The energy of all terms that patch `i` is in, were it at `u` and `q`, but for being repelled from by others.
    pub(super) fn local(&self, state: &State, others: &Others, i: usize, u: [f64; 3], q: f64) -> Energy {
        let [r_min, r_max] = self.radii;
        let radius = r_min + q * (r_max - r_min);
        let attraction = |&(j, weight): &(u32, f32)| f64::from(weight) * self.closeness(u, state.u[j as usize]);
        Energy {
            radial: self.ebm.spring * (q - self.ideal[i]).powi(2),
            edges: -self.graph.of(i).iter().map(attraction).sum::<f64>(),
            repulsion: if others.shifts.is_empty() {
                0.0
            } else {
                self.ebm.repulsion * self.log_mean(state, others, i, u)
            },
            zones: self.ebm.zone * self.outside(i, u).powi(2),
            coherence: self.coherence.map_or(0.0, |c| self.ebm.coherence * c[i] * (radius / r_min).ln()),
        }
    }

    /// The force on patch `i`, were it at `u` and `q`: minus the gradient of the whole energy, tangential to the sphere and along `q`.
    pub(super) fn force(&self, state: &State, others: &Others, i: usize, u: [f64; 3], q: f64) -> ([f64; 3], f64) {
        let [r_min, r_max] = self.radii;
        let mut force = [0.0; 3];
        let mut pull = |towards: [f64; 3], strength: f64| (0..3).for_each(|c| force[c] += strength * towards[c]);
        for &(j, weight) in self.graph.of(i) {
            let other = state.u[j as usize];
            pull(other, f64::from(weight) * self.closeness(u, other) / self.width.powi(2));
        }
        let n = state.u.len();
        for &shift in &others.shifts {
            let strength = -2.0 * self.ebm.repulsion * self.ebm.sharpness / others.shifts.len() as f64;
            let (to, from) = ((i + shift) % n, (i + n - shift) % n);
            pull(state.u[to], strength * (self.log_closeness(u, state.u[to]) - others.log_means[i]).exp());
            pull(state.u[from], strength * (self.log_closeness(state.u[from], u) - others.log_means[from]).exp());
        }
        let outside = self.outside(i, u);
        if outside != 0.0 {
            let (theta, phi) = angles_of(u);
            let (sin, cos) = theta.sin_cos();
            let south = [cos * phi.cos(), cos * phi.sin(), -sin];
            pull(south, -2.0 * self.ebm.zone * outside);
        }
        let radius = r_min + q * (r_max - r_min);
        let inwards = self.coherence.map_or(0.0, |c| self.ebm.coherence * c[i] * (r_max - r_min) / radius);
        (tangential(u, force), -2.0 * self.ebm.spring * (q - self.ideal[i]) - inwards)
    }

    /// `exp((u v - 1) / width^2)`.
    fn closeness(&self, u: [f64; 3], v: [f64; 3]) -> f64 {
        ((dot(u, v) - 1.0) / self.width.powi(2)).exp()
    }

    /// `-sharpness |u - v|^2`.
    fn log_closeness(&self, u: [f64; 3], v: [f64; 3]) -> f64 {
        2.0 * self.ebm.sharpness * (dot(u, v) - 1.0)
    }

    fn log_mean(&self, state: &State, others: &Others, i: usize, u: [f64; 3]) -> f64 {
        let n = state.u.len();
        let values = || others.shifts.iter().map(|shift| self.log_closeness(u, state.u[(i + shift) % n]));
        let highest = values().fold(f64::NEG_INFINITY, f64::max);
        highest + (values().map(|value| (value - highest).exp()).sum::<f64>() / others.shifts.len() as f64).ln()
    }

    /// How far south of its zone the patch would be at `u`, in radians; negative: north.
    fn outside(&self, i: usize, u: [f64; 3]) -> f64 {
        let Some((zones, pole_angle)) = self.zones else { return 0.0 };
        let (theta, _) = angles_of(u);
        let [north, south] = zones[i].edges(pole_angle);
        theta - theta.clamp(north, south)
    }
}

/// What of a vector is at right angles to `u`.
pub(super) fn tangential(u: [f64; 3], vector: [f64; 3]) -> [f64; 3] {
    let along = dot(u, vector);
    std::array::from_fn(|c| vector[c] - along * u[c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patches::Edge;
    use crate::unit_vector;

    /// Forces are minus the central differences of the whole energy, all terms switched on.
    #[test]
    fn forces_are_gradients() {
        let n = 12;
        let edges: Vec<Edge> = (0..n as u32)
            .map(|i| Edge { from: i, to: (i * 5 + 1) % n as u32, weight: 0.3 + i as f32 / 10.0 })
            .collect();
        let ebm = Ebm { repulsion: 0.7, n_negatives: 5, zone: 3.0, ..Ebm::default() };
        let coherence: Vec<f64> = (0..n).map(|i| i as f64 / n as f64).collect();
        let zones: Vec<Zone> = (0..n).map(|i| Zone::ALL[i % 3]).collect();
        let field = Field {
            ebm: &ebm,
            graph: Graph::new(n, &edges),
            ideal: (0..n).map(|i| random::uniform(1, i as u64, 0)).collect(),
            coherence: Some(&coherence),
            zones: Some((&zones, 0.3)),
            width: 0.8,
            radii: [32.0, 512.0],
            seed: 42,
        };
        let state = State {
            u: (0..n as u64)
                .map(|i| unit_vector((1.0 - 2.0 * random::uniform(2, i, 0)).acos(), 6.0 * random::uniform(2, i, 1)))
                .collect(),
            q: (0..n as u64).map(|i| random::uniform(3, i, 0)).collect(),
        };
        // The others stay the same while the state changes, but their means do not.
        let energy = |state: &State| field.energy(state, &field.others(state, 7)).total();
        let others = field.others(&state, 7);
        let small = 1e-5;
        for i in 0..n {
            let (force, pull) = field.force(&state, &others, i, state.u[i], state.q[i]);
            for direction in crate::allocation::tangents(state.u[i]) {
                let shifted = |sign: f64| {
                    let mut state = state.clone();
                    let moved: [f64; 3] = std::array::from_fn(|c| state.u[i][c] + sign * small * direction[c]);
                    let length = dot(moved, moved).sqrt();
                    state.u[i] = moved.map(|value| value / length);
                    energy(&state)
                };
                let slope = (shifted(1.0) - shifted(-1.0)) / (2.0 * small);
                assert!(
                    (dot(force, direction) + slope).abs() < 1e-4,
                    "{i}: {} is not {}",
                    dot(force, direction),
                    -slope
                );
            }
            let shifted = |sign: f64| {
                let mut state = state.clone();
                state.q[i] += sign * small;
                energy(&state)
            };
            let slope = (shifted(1.0) - shifted(-1.0)) / (2.0 * small);
            assert!((pull + slope).abs() < 1e-4, "{i}: {pull} is not {}", -slope);
        }
    }
}
