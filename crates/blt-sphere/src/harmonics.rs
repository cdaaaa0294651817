//! Spherical harmonics of patches: what structure the sphere has at which angular size.
//!
//! Patches are points of weight `w_i` on the sphere, `f = sum w_i delta(u - u_i)`; its coefficients are `a_lm = sum w_i Y_lm(u_i)`
//! in the orthonormal real harmonics without the phase of Condon and Shortley. Coefficient `(l, m)` is at `l^2 + l + m`.

use std::f64::consts::PI;

use crate::legendre::{Legendre, MAX_BAND_LIMIT, Power, place};
use crate::parallel::{CHUNK, map_chunks, sum};
use crate::places::direction;

/// Points that go through the recurrence together, in the first-level cache.
const BLOCK: usize = 512;
/// Chunks of points whose sums are in memory together.
const CHUNKS_AT_ONCE: usize = 16;

/// Coefficients of a function on the sphere.
#[derive(Debug, Clone, PartialEq)]
pub struct Harmonics {
    band_limit: usize,
    coefficients: Vec<f64>,
    /// Sum of squared weights, of which the noise is made.
    squared_weights: f64,
    n_points: usize,
}

/// Power by degree.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// `C_l = sum_m a_lm^2 / (2 l + 1)`, `[band_limit + 1]`.
    pub power: Vec<f64>,
    /// What `C_l` is on average when the same weights lie at random, for every `l` above 0: `sum w_i^2 / (4 pi)`.
    pub shot_noise: f64,
    /// Part of the power up to each degree, `sum (2 l + 1) C_l` normalised; zeros when there is none.
    pub cumulative: Vec<f64>,
}

/// Why points have no coefficients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HarmonicsError {
    /// More degrees than the recurrence carries.
    #[error("the band limit {found} is above {MAX_BAND_LIMIT}")]
    BandLimit {
        /// The one asked for.
        found: usize,
    },
    /// Slices of different lengths.
    #[error("{theta} polar angles, {phi} azimuths and {weights} weights are not of the same points")]
    Lengths {
        /// Polar angles.
        theta: usize,
        /// Azimuths.
        phi: usize,
        /// Weights.
        weights: usize,
    },
    /// An angle or a weight that is NaN or infinite.
    #[error("point {point} has an angle or a weight that is not finite")]
    NotFinite {
        /// The first such point.
        point: usize,
    },
    /// Coefficients that are not `(L + 1)^2` finite numbers for any `L`.
    #[error("{found} numbers are no coefficients up to a degree")]
    Coefficients {
        /// How many there were.
        found: usize,
    },
}

impl Harmonics {
    /// Coefficients up to degree `band_limit` of points at `theta`, `phi` with `weights`. Costs a few operations for each point
    /// and coefficient.
    ///
    /// # Errors
    ///
    /// [`HarmonicsError`] when the band limit is above 2000, lengths differ or a number is not finite.
    pub fn analyze(theta: &[f64], phi: &[f64], weights: &[f64], band_limit: usize) -> Result<Self, HarmonicsError> {
        check(theta, phi, weights, band_limit)?;
        Ok(Self::of(theta.len(), |i| (theta[i], phi[i], weights[i]), &Legendre::new(band_limit)))
    }

    /// [`Harmonics::analyze`] of each group of points: `group[i]` is that of point `i`, of `n_groups`. For shells and zones.
    ///
    /// # Errors
    ///
    /// As [`Harmonics::analyze`].
    ///
    /// # Panics
    ///
    /// Panics when `group` is not one number below `n_groups` a point.
    pub fn analyze_groups(
        theta: &[f64],
        phi: &[f64],
        weights: &[f64],
        group: &[u32],
        n_groups: usize,
        band_limit: usize,
    ) -> Result<Vec<Self>, HarmonicsError> {
        check(theta, phi, weights, band_limit)?;
        assert_eq!(group.len(), theta.len(), "every point is of one group");
        let mut members = vec![Vec::new(); n_groups];
        group.iter().enumerate().for_each(|(i, &group)| members[group as usize].push(i));
        let legendre = Legendre::new(band_limit);
        let analyze = |members: Vec<usize>| {
            Self::of(members.len(), |i| (theta[members[i]], phi[members[i]], weights[members[i]]), &legendre)
        };
        Ok(members.into_iter().map(analyze).collect())
    }

    /// A function from its coefficients, `[(band_limit + 1)^2]`, without points behind it: there is no shot noise.
    ///
    /// # Errors
    ///
    /// [`HarmonicsError::Coefficients`] when their number is not a square or one is not finite,
    /// [`HarmonicsError::BandLimit`] when there are too many.
    pub fn from_coefficients(coefficients: Vec<f64>) -> Result<Self, HarmonicsError> {
        let found = coefficients.len();
        let side = found.isqrt();
        if side == 0 || side * side != found || !coefficients.iter().all(|a| a.is_finite()) {
            return Err(HarmonicsError::Coefficients { found });
        }
        if side - 1 > MAX_BAND_LIMIT {
            return Err(HarmonicsError::BandLimit { found: side - 1 });
        }
        Ok(Self { band_limit: side - 1, coefficients, squared_weights: 0.0, n_points: 0 })
    }

    fn of(n: usize, point: impl Fn(usize) -> (f64, f64, f64) + Sync, legendre: &Legendre) -> Self {
        let n_coefficients = (legendre.band_limit() + 1).pow(2);
        let mut coefficients = vec![0.0; n_coefficients];
        // Some chunks at a time, in order: there are never more sets of coefficients in memory, however many points there are.
        for start in (0..n).step_by(CHUNKS_AT_ONCE * CHUNK) {
            let chunks = map_chunks((n - start).min(CHUNKS_AT_ONCE * CHUNK), |range| {
                let mut sums = vec![0.0; n_coefficients];
                let range = start + range.start..start + range.end;
                for first in range.clone().step_by(BLOCK) {
                    let mut points = Block::default();
                    for i in first..range.end.min(first + BLOCK) {
                        let (theta, phi, weight) = point(i);
                        points.push(direction(theta, phi), weight);
                    }
                    points.add_to(&mut sums, legendre);
                }
                sums
            });
            for sums in chunks {
                coefficients.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            }
        }
        let squared_weights = sum(n, |i| point(i).2.powi(2));
        Self { band_limit: legendre.band_limit(), coefficients, squared_weights, n_points: n }
    }

    /// The highest degree.
    pub fn band_limit(&self) -> usize {
        self.band_limit
    }

    /// All coefficients, `[(band_limit + 1)^2]`, that of `(l, m)` at `l^2 + l + m`.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Number of points behind it.
    pub fn n_points(&self) -> usize {
        self.n_points
    }

    /// `a_lm`.
    ///
    /// # Panics
    ///
    /// Panics when there is no such coefficient.
    pub fn coefficient(&self, l: usize, m: isize) -> f64 {
        assert!(l <= self.band_limit && m.unsigned_abs() <= l, "no coefficient ({l}, {m})");
        self.coefficients[place(l, m)]
    }

    /// Power by degree, with what noise alone would give.
    pub fn spectrum(&self) -> Spectrum {
        let of_degree = |l: usize| self.coefficients[l * l..(l + 1) * (l + 1)].iter().map(|a| a * a).sum::<f64>();
        let sums: Vec<f64> = (0..=self.band_limit).map(of_degree).collect();
        let total: f64 = sums.iter().sum();
        let mut so_far = 0.0;
        let mut up_to = |sum: &f64| {
            so_far += sum;
            if total > 0.0 { so_far / total } else { 0.0 }
        };
        Spectrum {
            cumulative: sums.iter().map(&mut up_to).collect(),
            power: sums.iter().enumerate().map(|(l, sum)| sum / (2 * l + 1) as f64).collect(),
            shot_noise: self.squared_weights / (4.0 * PI),
        }
    }

    /// The weighted sum of directions, `sum w_i u_i`: where most of the weight is, and how much more. Zero with a band limit of 0.
    pub fn dipole(&self) -> [f64; 3] {
        if self.band_limit == 0 {
            return [0.0; 3];
        }
        [1, -1, 0].map(|m| self.coefficient(1, m) * (4.0 * PI / 3.0).sqrt())
    }

    /// The function smeared with a Gaussian of `sigma` radians: `a_lm exp(-l (l + 1) sigma^2 / 2)`, heat flow for a while. Of no
    /// points any more, so there is no shot noise.
    #[must_use]
    pub fn smoothed(&self, sigma: f64) -> Self {
        let mut coefficients = self.coefficients.clone();
        for l in 0..=self.band_limit {
            let factor = (-((l * (l + 1)) as f64) * sigma * sigma / 2.0).exp();
            coefficients[l * l..(l + 1) * (l + 1)].iter_mut().for_each(|a| *a *= factor);
        }
        Self { coefficients, squared_weights: 0.0, n_points: 0, ..*self }
    }
}

impl Spectrum {
    /// `C_l` less the shot noise: what is left when chance is taken away; below 0 where there is less than chance.
    pub fn signal(&self) -> Vec<f64> {
        self.power.iter().map(|power| power - self.shot_noise).collect()
    }
}

fn check(theta: &[f64], phi: &[f64], weights: &[f64], band_limit: usize) -> Result<(), HarmonicsError> {
    if band_limit > MAX_BAND_LIMIT {
        return Err(HarmonicsError::BandLimit { found: band_limit });
    }
    if theta.len() != phi.len() || theta.len() != weights.len() {
        return Err(HarmonicsError::Lengths { theta: theta.len(), phi: phi.len(), weights: weights.len() });
    }
    match (0..theta.len()).find(|&i| !(theta[i].is_finite() && phi[i].is_finite() && weights[i].is_finite())) {
        Some(point) => Err(HarmonicsError::NotFinite { point }),
        None => Ok(()),
    }
}

/// Some points, coordinate by coordinate.
#[derive(Default)]
struct Block {
    x: Vec<f64>,
    y: Vec<f64>,
    z: Vec<f64>,
    cosine: Vec<f64>,
    sine: Vec<f64>,
}

impl Block {
    fn push(&mut self, [x, y, z]: [f64; 3], weight: f64) {
        let power = Power::new(weight);
        self.x.push(x);
        self.y.push(y);
        self.z.push(z);
        self.cosine.push(power.cosine);
        self.sine.push(power.sine);
    }

    fn add_to(&mut self, sums: &mut [f64], legendre: &Legendre) {
        let mut scratch = [vec![0.0; self.z.len()], vec![0.0; self.z.len()]];
        for m in 0..=legendre.band_limit() {
            legendre.for_column(m, &self.z, &mut scratch, |l, p| {
                if m > 0 {
                    sums[place(l, -(m as isize))] += dot(p, &self.sine);
                }
                sums[place(l, m as isize)] += dot(p, &self.cosine);
            });
            for (i, (&x, &y)) in self.x.iter().zip(&self.y).enumerate() {
                let mut power = Power { cosine: self.cosine[i], sine: self.sine[i] };
                power.advance(x, y);
                (self.cosine[i], self.sine[i]) = (power.cosine, power.sine);
            }
        }
    }
}

/// Sum of products in eight lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (a_blocks, a_rest) = a.as_chunks::<8>();
    let (b_blocks, b_rest) = b.as_chunks::<8>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for i in 0..8 {
            lanes[i] += x[i] * y[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    (lanes[0] + lanes[4]) + (lanes[1] + lanes[5]) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7])) + rest
}
