//! Associated Legendre functions, normalised so that the real spherical harmonics made of them are orthonormal.
//!
//! `Y_l0 = P_l0(z)`, `Y_lm = sqrt(2) P_lm(z) cos(m phi)` and `Y_l-m = sqrt(2) P_lm(z) sin(m phi)`, without the phase of Condon and
//! Shortley. With `P_lm = sin^m(theta) p_lm(z)`, a column of `p_lm` is a recurrence in `l`; it is scaled by 1e-280, so that it
//! does not overflow, and `sin^m(theta) e^(i m phi) = (x + i y)^m` takes the scale back.
//!
//! Source: Holmes and Featherstone, "A unified approach to the Clenshaw summation and the recursive computation of very high
//! degree and order normalised associated Legendre functions", 2002, equations 11 to 18.

use std::f64::consts::{PI, SQRT_2};

/// What columns are scaled by.
const SCALE: f64 = 1e-280;

/// The largest band limit: up to here the scale keeps everything in range.
pub const MAX_BAND_LIMIT: usize = 2000;

/// Place of `Y_lm` among the harmonics.
pub(crate) fn place(l: usize, m: isize) -> usize {
    (l * l + l).wrapping_add_signed(m)
}

/// Factors of the recurrence for all degrees up to a band limit.
pub(crate) struct Legendre {
    band_limit: usize,
    /// `(a, b)` of `p_l = a (z p_(l-1) - b p_(l-2))`, column by column.
    steps: Vec<(f64, f64)>,
    /// Scaled `p_mm`, with the factor sqrt(2) of `m > 0`.
    starts: Vec<f64>,
}

impl Legendre {
    /// # Panics
    ///
    /// Panics when `band_limit` is above [`MAX_BAND_LIMIT`].
    pub(crate) fn new(band_limit: usize) -> Self {
        assert!(band_limit <= MAX_BAND_LIMIT, "band limits are at most {MAX_BAND_LIMIT}");
        let mut steps = Vec::new();
        for m in 0..=band_limit {
            let m2 = (m * m) as f64;
            for l in m + 1..=band_limit {
                let (l2, before) = ((l * l) as f64, ((l - 1) * (l - 1)) as f64);
                let b = if l > m + 1 { ((before - m2) / (4.0 * before - 1.0)).sqrt() } else { 0.0 };
                steps.push((((4.0 * l2 - 1.0) / (l2 - m2)).sqrt(), b));
            }
        }
        let mut start = SCALE / (4.0 * PI).sqrt();
        let mut starts = vec![start];
        for m in 1..=band_limit {
            start *= ((2 * m + 1) as f64 / (2 * m) as f64).sqrt();
            starts.push(start * SQRT_2);
        }
        Self { band_limit, steps, starts }
    }

    pub(crate) fn band_limit(&self) -> usize {
        self.band_limit
    }

    /// Factors of column `m`, from degree `m + 1` on.
    fn column(&self, m: usize) -> &[(f64, f64)] {
        let before = m * (2 * self.band_limit + 1 - m) / 2;
        &self.steps[before..before + self.band_limit - m]
    }

    /// Calls `visit(l, p)` for each degree `l` from `m` on, `p` being the scaled column at each of `z`. The scratch vectors are as
    /// long as `z`.
    #[inline]
    pub(crate) fn for_column(
        &self,
        m: usize,
        z: &[f64],
        scratch: &mut [Vec<f64>; 2],
        mut visit: impl FnMut(usize, &[f64]),
    ) {
        let [before, now] = scratch;
        before.iter_mut().for_each(|p| *p = 0.0);
        now.iter_mut().for_each(|p| *p = self.starts[m]);
        visit(m, now);
        for (l, &(a, b)) in (m + 1..).zip(self.column(m)) {
            for ((before, &now), &z) in before.iter_mut().zip(now.iter()).zip(z) {
                *before = a * (z * now - b * *before);
            }
            std::mem::swap(before, now);
            visit(l, now);
        }
    }

    /// All harmonics at a unit vector, `[(band_limit + 1)^2]`.
    pub(crate) fn harmonics([x, y, z]: [f64; 3], band_limit: usize) -> Vec<f64> {
        let legendre = Self::new(band_limit);
        let mut values = vec![0.0; (band_limit + 1).pow(2)];
        let mut scratch = [vec![0.0], vec![0.0]];
        let mut power = Power::new(1.0);
        for m in 0..=band_limit {
            legendre.for_column(m, &[z], &mut scratch, |l, p| {
                values[place(l, -(m as isize))] = p[0] * power.sine;
                values[place(l, m as isize)] = p[0] * power.cosine;
            });
            power.advance(x, y);
        }
        values
    }
}

/// `weight (x + i y)^m` over the scale of the columns.
#[derive(Clone, Copy)]
pub(crate) struct Power {
    pub(crate) cosine: f64,
    pub(crate) sine: f64,
}

impl Power {
    /// Of `m` 0.
    pub(crate) fn new(weight: f64) -> Self {
        Self { cosine: weight / SCALE, sine: 0.0 }
    }

    /// Goes to the next `m`.
    #[inline(always)]
    pub(crate) fn advance(&mut self, x: f64, y: f64) {
        (self.cosine, self.sine) = (self.cosine * x - self.sine * y, self.cosine * y + self.sine * x);
    }
}
