//! Patches moving by forces and noise.

use std::f64::consts::PI;

use rayon::prelude::*;

use super::energy::{Energy, Field, Others, State, tangential};
use super::graph::Graph;
use super::{Ebm, EbmReport};
use crate::angles::{angles_of, unit_vector};
use crate::neighbours::dot;
use crate::patches::Edge;
use crate::random;
use crate::zones::Zone;

/// Where patches start, and what holds them.
pub(crate) struct Start<'a> {
    pub(crate) edges: &'a [Edge],
    pub(crate) coherence: Option<&'a [f64]>,
    /// The zone each is for, and the polar caps' half-angle.
    pub(crate) zones: Option<(&'a [Zone], f64)>,
    /// Radii of core and rim.
    pub(crate) radii: [f64; 2],
    pub(crate) seed: u64,
}

/// Moves patches from `points`, `(theta, phi)`, and their ideal radii. There is at least one; edges end at patches.
pub(crate) fn place(ebm: &Ebm, start: &Start<'_>, points: &mut [(f64, f64)], radii: &mut [f64]) -> EbmReport {
    let n = points.len();
    let [r_min, r_max] = start.radii;
    let ideal: Vec<f64> = radii.iter().map(|r| (r - r_min) / (r_max - r_min)).collect();
    let field = Field {
        ebm,
        graph: Graph::new(n, start.edges),
        coherence: start.coherence.filter(|_| ebm.coherence != 0.0 && r_min > 0.0),
        zones: start.zones,
        width: ebm.width.unwrap_or((2.0 * (4.0 * PI / n as f64).sqrt()).min(1.0)),
        radii: start.radii,
        seed: start.seed,
        ideal: ideal.clone(),
    };
    let mut state = State { u: points.iter().map(|&(theta, phi)| unit_vector(theta, phi)).collect(), q: ideal };
    let everyone: Vec<u32> = (0..n as u32).collect();
    let blocks = if ebm.metropolis { field.graph.colours() } else { vec![everyone] };
    // Energies are compared with the same others, those of a step that is never made.
    let measured = u64::MAX;
    let before = field.energy(&state, &field.others(&state, measured));
    let mut n_accepted = 0usize;
    for step in 0..ebm.n_steps {
        let others = field.others(&state, u64::from(step));
        let temperature = ebm.temperature(step);
        for block in &blocks {
            let moves: Vec<Option<([f64; 3], f64)>> = block
                .par_iter()
                .map(|&i| field.proposal(&state, &others, i as usize, u64::from(step), temperature))
                .collect();
            for (&i, moved) in block.iter().zip(moves) {
                if let Some((u, q)) = moved {
                    (state.u[i as usize], state.q[i as usize]) = (u, q);
                    n_accepted += 1;
                }
            }
        }
    }
    let after = field.energy(&state, &field.others(&state, measured));
    let mut n_mirrored = 0;
    for (i, point) in points.iter_mut().enumerate() {
        let (mut theta, phi) = angles_of(state.u[i]);
        if let Some((zones, pole_angle)) = start.zones.filter(|(zones, pole)| Zone::at(theta, *pole) != zones[i]) {
            theta = zones[i].mirrored(theta, pole_angle);
            n_mirrored += 1;
        }
        *point = (theta, phi);
        radii[i] = (r_min + state.q[i] * (r_max - r_min)).clamp(r_min, r_max);
    }
    let n_tried = n * ebm.n_steps as usize;
    let acceptance = if n_tried > 0 { n_accepted as f64 / n_tried as f64 } else { 1.0 };
    EbmReport { before, after, acceptance, n_mirrored }
}

impl Ebm {
    /// The temperature of a step.
    fn temperature(&self, step: u32) -> f64 {
        if self.first_temperature <= 0.0 || self.n_steps < 2 {
            return self.first_temperature;
        }
        let part = f64::from(step) / f64::from(self.n_steps - 1);
        self.first_temperature * (self.last_temperature / self.first_temperature).powf(part)
    }
}

/// Draws of a patch in a step: three for the tangent, one for the radius, one for the decision.
const DRAWS: u64 = 8;

impl Field<'_> {
    /// Where patch `i` goes in a step; `None` where it stays because Metropolis refuses.
    fn proposal(
        &self,
        state: &State,
        others: &Others,
        i: usize,
        step: u64,
        temperature: f64,
    ) -> Option<([f64; 3], f64)> {
        let (u, q) = (state.u[i], state.q[i]);
        let normal = |draw: u64| random::normal(self.seed, i as u64, step * DRAWS + draw);
        let angular = self.ebm.step * self.width.powi(2);
        let radial = self.ebm.step;
        let (force, pull) = self.force(state, others, i, u, q);
        let noise = tangential(u, [normal(0), normal(1), normal(2)]);
        let (angular_noise, radial_noise) = ((2.0 * angular * temperature).sqrt(), (2.0 * radial * temperature).sqrt());
        let moved = normalised(std::array::from_fn(|c| u[c] + angular * force[c] + angular_noise * noise[c]));
        let free = q + radial * pull + radial_noise * normal(3);
        if !self.ebm.metropolis {
            return Some((moved, reflected(free)));
        }
        // Refused beyond the walls, and where the step back would be too unlikely.
        if !(0.0..=1.0).contains(&free) || dot(u, moved) <= 0.0 {
            return None;
        }
        let total = |energy: Energy| energy.total();
        let rise = total(self.local(state, others, i, moved, free)) - total(self.local(state, others, i, u, q));
        if temperature <= 0.0 {
            return (rise <= 0.0).then_some((moved, free));
        }
        let (force_back, pull_back) = self.force(state, others, i, moved, free);
        let there =
            squares(tangent_step(u, moved), force, angular) / angular + (free - q - radial * pull).powi(2) / radial;
        let back = squares(tangent_step(moved, u), force_back, angular) / angular
            + (q - free - radial * pull_back).powi(2) / radial;
        let log_ratio = -rise / temperature + (there - back) / (4.0 * temperature);
        // Draws 2 * 4 and 2 * 4 + 1 of the generator belong to the normals up to 4; this one to none.
        let decision = random::uniform(self.seed ^ 0x4D65_7472_6F70_6F6C, i as u64, step);
        (decision.ln() < log_ratio).then_some((moved, free))
    }
}

/// The tangent vector at `from` that, added and scaled to length 1, gives `to`.
fn tangent_step(from: [f64; 3], to: [f64; 3]) -> [f64; 3] {
    let cos = dot(from, to);
    std::array::from_fn(|c| to[c] / cos - from[c])
}

fn squares(step: [f64; 3], force: [f64; 3], size: f64) -> f64 {
    (0..3).map(|c| (step[c] - size * force[c]).powi(2)).sum()
}

fn normalised(v: [f64; 3]) -> [f64; 3] {
    let length = dot(v, v).sqrt();
    v.map(|value| value / length)
}

/// A number mirrored at 0 and 1 until it lies between them.
fn reflected(q: f64) -> f64 {
    let folded = q.rem_euclid(2.0);
    if folded > 1.0 { 2.0 - folded } else { folded }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::ebm::hyperedges::{EdgeLabel, Hyperedge};
    use crate::{LabelWeights, expand};

    /// Everything off.
    const STILL: Ebm = Ebm {
        spring: 0.0,
        coherence: 0.0,
        repulsion: 0.0,
        sharpness: 2.0,
        n_negatives: 32,
        zone: 0.0,
        width: Some(1.0),
        step: 0.01,
        first_temperature: 0.0,
        last_temperature: 0.0,
        n_steps: 0,
        metropolis: false,
    };

    fn start(edges: &[Edge]) -> Start<'_> {
        Start { edges, coherence: None, zones: None, radii: [0.0, 1.0], seed: 42 }
    }

    fn uniform_points(n: u64) -> Vec<(f64, f64)> {
        (0..n).map(|i| ((1.0 - 2.0 * random::uniform(9, i, 0)).acos(), TAU * random::uniform(9, i, 1))).collect()
    }

    fn ring(n: u32) -> Vec<Edge> {
        (0..n).map(|i| Edge { from: i, to: (i + 1) % n, weight: 1.0 }).collect()
    }

    #[test]
    fn without_noise_small_steps_only_go_down() {
        let edges = ring(60);
        let ebm = Ebm { spring: 0.5, zone: 1.0, n_steps: 1, ..STILL };
        let (mut points, mut radii) = (uniform_points(60), vec![0.5; 60]);
        let mut energy = f64::INFINITY;
        for _ in 0..200 {
            let report = place(&ebm, &start(&edges), &mut points, &mut radii);
            assert!(report.before.total() <= energy + 1e-9);
            assert!(report.after.total() <= report.before.total() + 1e-9);
            energy = report.after.total();
        }
    }

    /// The Euler chain of a spring `k (q - q*)^2` has the variance `T / (2 k (1 - step k))`.
    #[test]
    fn a_spring_in_noise_has_its_variance() {
        let n = 20_000;
        let (spring, temperature) = (40.0, 0.05);
        let ebm = Ebm {
            spring,
            step: 0.01,
            first_temperature: temperature,
            last_temperature: temperature,
            n_steps: 30,
            ..STILL
        };
        for metropolis in [false, true] {
            let (mut points, mut radii) = (uniform_points(n), vec![0.5; n as usize]);
            place(&Ebm { metropolis, ..ebm }, &start(&[]), &mut points, &mut radii);
            let variance = radii.iter().map(|r| (r - 0.5).powi(2)).sum::<f64>() / n as f64;
            let bias = if metropolis { 1.0 } else { 1.0 - 0.01 * spring };
            let expected = temperature / (2.0 * spring * bias);
            assert!((variance / expected - 1.0).abs() < 0.05, "{metropolis}: {variance} is not {expected}");
        }
    }

    /// A spin in a field `kappa` has the mean cosine `coth(kappa / T) - T / kappa` (von Mises and Fisher). Here two spins are each
    /// other's field: their cosine has the same distribution, were the attraction `kappa u v`; a wide attraction is nearly that.
    #[test]
    fn two_spins_have_the_mean_cosine_of_von_mises_and_fisher() {
        let n = 20_000u32;
        let edges: Vec<Edge> = (0..n / 2).map(|i| Edge { from: 2 * i, to: 2 * i + 1, weight: 1e4 }).collect();
        // exp((c - 1) / w^2) is about 1 + (c - 1) / w^2, so kappa = weight / w^2 = 1 here.
        let width = 100.0;
        for (metropolis, step) in [(false, 2e-6), (true, 1e-5)] {
            let ebm = Ebm {
                width: Some(width),
                step,
                first_temperature: 0.5,
                last_temperature: 0.5,
                n_steps: 150,
                metropolis,
                ..STILL
            };
            let (mut points, mut radii) = (uniform_points(u64::from(n)), vec![0.5; n as usize]);
            place(&ebm, &start(&edges), &mut points, &mut radii);
            let u: Vec<[f64; 3]> = points.iter().map(|&(theta, phi)| unit_vector(theta, phi)).collect();
            let mean = u.chunks(2).map(|pair| dot(pair[0], pair[1])).sum::<f64>() / f64::from(n / 2);
            let expected = 1.0 / 2f64.tanh() - 0.5;
            assert!((mean / expected - 1.0).abs() < 0.02, "{metropolis}: {mean} is not {expected}");
        }
    }

    #[test]
    fn repulsion_spreads_what_was_together() {
        let n = 300;
        let mut points: Vec<(f64, f64)> =
            uniform_points(n).into_iter().map(|(theta, phi)| (theta / 4.0, phi)).collect();
        let mut radii = vec![0.5; n as usize];
        let resultant = |points: &[(f64, f64)]| {
            let sum = points
                .iter()
                .map(|&(theta, phi)| unit_vector(theta, phi))
                .fold([0.0; 3], |sum, u| [sum[0] + u[0], sum[1] + u[1], sum[2] + u[2]]);
            dot(sum, sum).sqrt() / points.len() as f64
        };
        assert!(resultant(&points) > 0.8);
        let ebm = Ebm { repulsion: 1.0, step: 0.05, n_steps: 150, ..STILL };
        let report = place(&ebm, &start(&[]), &mut points, &mut radii);
        assert!(resultant(&points) < 0.02, "{}", resultant(&points));
        assert!(report.after.repulsion < report.before.repulsion);
    }

    #[test]
    fn patches_of_one_source_end_nearer_than_others() {
        let hyperedges: Vec<Hyperedge> = (0..40)
            .map(|k| Hyperedge {
                label: EdgeLabel::SameSource,
                patches: (0..5).map(|j| k + 40 * j).collect(),
                weight: 1.0,
            })
            .collect();
        let edges = expand(&hyperedges, &LabelWeights::default());
        let (mut points, mut radii) = (uniform_points(200), vec![100.0; 200]);
        let start = Start { radii: [32.0, 512.0], ..start(&edges) };
        let ebm = Ebm { width: Some(1.0), n_steps: 200, ..Ebm::default() };
        let report = place(&ebm, &start, &mut points, &mut radii);
        let u: Vec<[f64; 3]> = points.iter().map(|&(theta, phi)| unit_vector(theta, phi)).collect();
        let mean = |pairs: &mut dyn Iterator<Item = (usize, usize)>| {
            let cosines: Vec<f64> = pairs.map(|(i, j)| dot(u[i], u[j])).collect();
            cosines.iter().sum::<f64>() / cosines.len() as f64
        };
        let same = mean(&mut edges.iter().map(|edge| (edge.from as usize, edge.to as usize)));
        let random_pairs = mean(&mut (0..200).map(|i| (i, (i * 7 + 3) % 200)));
        assert!(same > random_pairs + 0.3, "{same} {random_pairs}");
        assert!(report.after.edges < report.before.edges);
        assert!(radii.iter().all(|r| (32.0..=512.0).contains(r)));
    }

    #[test]
    fn coherent_patches_move_to_the_core() {
        let coherence: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let start = Start { coherence: Some(&coherence), radii: [32.0, 512.0], ..start(&[]) };
        let ebm = Ebm { spring: 0.5, coherence: 0.3, step: 0.1, n_steps: 100, ..STILL };
        let (mut points, mut radii) = (uniform_points(100), vec![300.0; 100]);
        place(&ebm, &start, &mut points, &mut radii);
        for pair in radii.chunks(2) {
            assert!((pair[0] - 300.0).abs() < 1e-9 && pair[1] < 200.0, "{pair:?}");
        }
    }

    #[test]
    fn patches_end_in_their_zones() {
        let n = 300usize;
        let zones: Vec<Zone> = (0..n).map(|i| Zone::ALL[i % 3]).collect();
        let options = crate::ZoneOptions::default();
        for zone in [0.0, 10.0] {
            let mut points: Vec<(f64, f64)> = uniform_points(n as u64);
            points.iter_mut().zip(&zones).for_each(|(point, &zone)| point.0 = options.into_zone(point.0, zone));
            let mut radii = vec![100.0; n];
            let edges = ring(n as u32);
            let start = Start { zones: Some((&zones, options.pole_angle)), radii: [32.0, 512.0], ..start(&edges) };
            let ebm = Ebm { zone, width: Some(1.0), ..Ebm::default() };
            let report = place(&ebm, &start, &mut points, &mut radii);
            assert!(points.iter().zip(&zones).all(|(point, &zone)| Zone::at(point.0, options.pole_angle) == zone));
            assert!(report.n_mirrored > 0);
        }
    }

    #[test]
    fn walls_mirror() {
        for (q, expected) in [(0.5, 0.5), (-0.25, 0.25), (1.25, 0.75), (2.25, 0.25), (-1.75, 0.25)] {
            assert_eq!(reflected(q), expected);
        }
    }
}
