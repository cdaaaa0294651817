//! A function on the sphere from its harmonics: at a point, on rings, and where it is highest.

use std::f64::consts::{PI, TAU};

use rayon::prelude::*;

use crate::cells::Cone;
use crate::harmonics::Harmonics;
use crate::legendre::{Legendre, Power, place};
use crate::places::{angle_between, direction};

/// Values on rings of points: ring `j` of `n_theta` at `theta = pi (j + 1/2) / n_theta`, point `k` of `n_phi` at
/// `phi = 2 pi k / n_phi`. No ring is at a pole.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    n_theta: usize,
    n_phi: usize,
    values: Vec<f64>,
}

/// Which maxima of a field are peaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeakOptions {
    /// Least height, as a part of the highest.
    pub threshold: f64,
    /// Least angle between peaks; the higher one stays.
    pub separation: f64,
    /// Half angle of the cones.
    pub half_angle: f64,
    /// Most peaks.
    pub most: usize,
}

impl Default for PeakOptions {
    /// At least a fifth of the highest, pi / 16 apart, cones of pi / 4, 32 of them.
    fn default() -> Self {
        Self { threshold: 0.2, separation: PI / 16.0, half_angle: PI / 4.0, most: 32 }
    }
}

/// A maximum of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// A cone around it.
    pub cone: Cone,
    /// The field's value there.
    pub height: f64,
}

impl Harmonics {
    /// The function's value at a point, `sum a_lm Y_lm`.
    pub fn value(&self, theta: f64, phi: f64) -> f64 {
        let harmonics = Legendre::harmonics(direction(theta, phi), self.band_limit());
        self.coefficients().iter().zip(harmonics).map(|(a, y)| a * y).sum()
    }

    /// The function's values on `n_theta` rings of `n_phi` points. Costs `L^2 n_theta + L n_theta n_phi`.
    pub fn grid(&self, n_theta: usize, n_phi: usize) -> Grid {
        let legendre = Legendre::new(self.band_limit());
        let thetas: Vec<f64> = (0..n_theta).map(|j| ring(j, n_theta)).collect();
        let z: Vec<f64> = thetas.iter().map(|theta| theta.cos()).collect();
        // Each ring's Fourier coefficients: cosines and sines, `[band_limit + 1][n_theta]`.
        let per_order: Vec<[Vec<f64>; 2]> = (0..=self.band_limit())
            .into_par_iter()
            .map(|m| {
                let mut scratch = [vec![0.0; n_theta], vec![0.0; n_theta]];
                let mut sums = [vec![0.0; n_theta], vec![0.0; n_theta]];
                legendre.for_column(m, &z, &mut scratch, |l, p| {
                    for (sums, m) in sums.iter_mut().zip([m as isize, -(m as isize)]) {
                        let a = self.coefficients()[place(l, m)];
                        sums.iter_mut().zip(p).for_each(|(sum, p)| *sum += a * p);
                    }
                });
                for (j, theta) in thetas.iter().enumerate() {
                    let mut power = Power::new(1.0);
                    (0..m).for_each(|_| power.advance(theta.sin(), 0.0));
                    sums.iter_mut().for_each(|sums| sums[j] *= power.cosine);
                }
                sums
            })
            .collect();
        let turns: Vec<(f64, f64)> = (0..n_phi).map(|k| (TAU * k as f64 / n_phi as f64).sin_cos()).collect();
        let value = |j: usize, k: usize| -> f64 {
            let of_order = |(m, sums): (usize, &[Vec<f64>; 2])| {
                let (sine, cosine) = turns[m * k % n_phi];
                sums[0][j] * cosine + if m > 0 { sums[1][j] * sine } else { 0.0 }
            };
            per_order.iter().enumerate().map(of_order).sum()
        };
        let values = (0..n_theta * n_phi).into_par_iter().map(|i| value(i / n_phi, i % n_phi)).collect();
        Grid { n_theta, n_phi, values }
    }
}

impl Grid {
    /// Values ring by ring from the north, `[n_theta, n_phi]`.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Rings and points in a ring.
    pub fn shape(&self) -> (usize, usize) {
        (self.n_theta, self.n_phi)
    }

    /// Polar angle and azimuth of value `i`.
    pub fn place(&self, i: usize) -> (f64, f64) {
        (ring(i / self.n_phi, self.n_theta), TAU * (i % self.n_phi) as f64 / self.n_phi as f64)
    }

    /// The maxima, highest first: points above 0 that are not lower than those around them, across the seam and the poles too. Of
    /// equals side by side the first counts.
    pub fn peaks(&self, options: &PeakOptions) -> Vec<Peak> {
        let highest = self.values.iter().copied().fold(0.0, f64::max);
        let is_peak = |&i: &usize| {
            let value = self.values[i];
            value > 0.0
                && value >= options.threshold * highest
                && self.around(i).all(|j| self.values[j] < value || self.values[j] == value && i <= j)
        };
        let mut maxima: Vec<usize> = (0..self.values.len()).filter(is_peak).collect();
        maxima.sort_by(|&i, &j| self.values[j].total_cmp(&self.values[i]).then(i.cmp(&j)));
        let mut kept: Vec<([f64; 3], Peak)> = Vec::new();
        for i in maxima {
            let (theta, phi) = self.place(i);
            let u = direction(theta, phi);
            if kept.len() < options.most && kept.iter().all(|(other, _)| angle_between(*other, u) > options.separation)
            {
                let cone = Cone { theta, phi, half_angle: options.half_angle };
                kept.push((u, Peak { cone, height: self.values[i] }));
            }
        }
        kept.into_iter().map(|(_, peak)| peak).collect()
    }

    /// The points around point `i`. Beyond the first and the last ring lie the points across the pole.
    fn around(&self, i: usize) -> impl Iterator<Item = usize> {
        let (j, k, n) = (i / self.n_phi, i % self.n_phi, self.n_phi);
        let rings = [j.checked_sub(1), Some(j), (j + 1 < self.n_theta).then_some(j + 1)];
        rings.into_iter().flat_map(move |ring| {
            let (ring, k) = ring.map_or((j, k + n / 2), |ring| (ring, k));
            [n - 1, 0, 1].into_iter().map(move |step| ring * n + (k + step) % n)
        })
    }
}

fn ring(j: usize, n_theta: usize) -> f64 {
    PI * (j as f64 + 0.5) / n_theta as f64
}
