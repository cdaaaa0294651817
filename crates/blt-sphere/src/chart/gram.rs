//! Sums of products of columns, `X^T X`, over many rows: float32 within a panel of rows, float64 between panels.
//!
//! Each pair of strips of columns is one thread's alone, and goes through the rows in order, so threads change no bit of the sum.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Rows that are summed in float32 before the sum is added in float64.
const PANEL: usize = 1024;
/// Columns in a strip.
const STRIP: usize = 32;
/// Rows that stay in the first-level cache while two strips are multiplied.
const BLOCK: usize = 128;
/// Columns of one strip that are multiplied with two vectors of the other at a time: as many sums as the registers of any
/// instruction set hold.
const COLUMNS: usize = 4;

/// `X^T X`, `[dim, dim]`, of rows that are written one at a time: `row(i, out)` writes row `i`, `[dim]`.
pub(super) fn gram(n: usize, dim: usize, row: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f64> {
    let n_strips = dim.div_ceil(STRIP);
    let pairs: Vec<(usize, usize)> = (0..n_strips).flat_map(|i| (i..n_strips).map(move |j| (i, j))).collect();
    let arch = Arch::new();
    let mut tiles = vec![[[0.0f64; STRIP]; STRIP]; pairs.len()];
    // Row by row first, then strip by strip, so that a strip's rows lie one behind the other.
    let mut rows = vec![0f32; PANEL * n_strips * STRIP];
    let mut strips = vec![[[0f32; STRIP]; PANEL]; n_strips];
    for start in (0..n).step_by(PANEL) {
        let len = PANEL.min(n - start);
        rows.par_chunks_mut(n_strips * STRIP)
            .take(len)
            .enumerate()
            .for_each(|(k, out)| row(start + k, &mut out[..dim]));
        strips.par_iter_mut().enumerate().for_each(|(s, strip)| {
            for (out, row) in strip.iter_mut().zip(rows.chunks(n_strips * STRIP)).take(len) {
                out.copy_from_slice(&row[s * STRIP..(s + 1) * STRIP]);
            }
        });
        tiles.par_iter_mut().zip(&pairs).for_each(|(tile, &(i, j))| {
            let mut sums = [[0f32; STRIP]; STRIP];
            for (left, right) in strips[i][..len].chunks(BLOCK).zip(strips[j][..len].chunks(BLOCK)) {
                arch.dispatch(Products { sums: &mut sums, left, right });
            }
            for (total, sum) in tile.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                *total += f64::from(*sum);
            }
        });
    }
    let mut out = vec![0.0; dim * dim];
    for (tile, (i, j)) in tiles.iter().zip(pairs) {
        for a in i * STRIP..dim.min((i + 1) * STRIP) {
            for b in j * STRIP..dim.min((j + 1) * STRIP) {
                let value = tile[a - i * STRIP][b - j * STRIP];
                out[a * dim + b] = value;
                out[b * dim + a] = value;
            }
        }
    }
    out
}

/// Adds the products of all columns of `left` with all of `right`, row after row, with the vectors of whatever processor this is.
struct Products<'a> {
    sums: &'a mut [[f32; STRIP]; STRIP],
    left: &'a [[f32; STRIP]],
    right: &'a [[f32; STRIP]],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (part, sums) in self.sums.chunks_exact_mut(COLUMNS).enumerate() {
            for pair in 0..STRIP / S::F32_LANES / 2 {
                let mut held = [[simd.splat_f32s(0.0); 2]; COLUMNS];
                for (held, sums) in held.iter_mut().zip(&*sums) {
                    held.copy_from_slice(&S::as_simd_f32s(sums).0[2 * pair..2 * pair + 2]);
                }
                for (left, right) in self.left.iter().zip(self.right) {
                    let right = &S::as_simd_f32s(right).0[2 * pair..2 * pair + 2];
                    for (held, &value) in held.iter_mut().zip(&left[part * COLUMNS..(part + 1) * COLUMNS]) {
                        let value = simd.splat_f32s(value);
                        held[0] = simd.mul_add_e_f32s(value, right[0], held[0]);
                        held[1] = simd.mul_add_e_f32s(value, right[1], held[1]);
                    }
                }
                for (held, sums) in held.iter().zip(sums.iter_mut()) {
                    S::as_mut_simd_f32s(sums).0[2 * pair..2 * pair + 2].copy_from_slice(held);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn products_are_those_of_plain_sums() {
        for (n, dim) in [(0, 3), (1, 1), (5, 33), (PANEL + 3, 40)] {
            let value = |i: usize, j: usize| random::normal(3, i as u64, j as u64) as f32;
            let sums = gram(n, dim, |i, out| out.iter_mut().enumerate().for_each(|(j, out)| *out = value(i, j)));
            for a in 0..dim {
                for b in 0..dim {
                    let plain: f64 = (0..n).map(|i| f64::from(value(i, a)) * f64::from(value(i, b))).sum();
                    assert!((sums[a * dim + b] - plain).abs() <= 1e-5 * (n as f64).sqrt().max(1.0) * 10.0);
                    assert_eq!(sums[a * dim + b], sums[b * dim + a]);
                }
            }
        }
    }
}
