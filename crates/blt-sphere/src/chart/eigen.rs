//! The three largest eigenvalues' vectors of a symmetric matrix, by block power iteration.
//!
//! Source: Parlett, "The Symmetric Eigenvalue Problem", 1998, section 14.4 (subspace iteration with Rayleigh-Ritz).

use rayon::prelude::*;

use crate::random;

/// Vectors that are iterated: more than are wanted, so that the wanted ones converge as the gap to the ninth eigenvalue lets them.
const BLOCK: usize = 8;
const LEAST_ITERATIONS: usize = 16;
const MOST_ITERATIONS: usize = 300;
/// Part of the largest eigenvalue below which a residual counts as none.
const TOLERANCE: f64 = 1e-11;

/// Unit vectors of the three largest eigenvalues, `[3, dim]`, each with its largest component positive. `matrix` is `[dim, dim]`,
/// symmetric, and has no negative eigenvalue. With fewer than three dimensions the rest is zeros; a matrix of zeros gives the
/// first axes.
pub(super) fn top_three(matrix: &[f64], dim: usize, seed: u64) -> Vec<f64> {
    let trace: f64 = (0..dim).map(|i| matrix[i * dim + i]).sum();
    if trace <= f64::MIN_POSITIVE {
        return first_axes(dim);
    }
    let block = BLOCK.min(dim);
    let mut vectors: Vec<Vec<f64>> =
        (0..block).map(|k| (0..dim).map(|i| random::normal(seed, i as u64, k as u64)).collect()).collect();
    orthonormalise(&mut vectors, seed);
    for iteration in 0..MOST_ITERATIONS {
        let images = times(matrix, dim, &vectors);
        let small: Vec<f64> = vectors.iter().flat_map(|v| images.iter().map(|image| dot(v, image))).collect();
        let (values, rotation) = jacobi(small, block);
        vectors = rotated(&vectors, &rotation);
        let images = rotated(&images, &rotation);
        let residual = (0..block.min(3))
            .map(|k| {
                vectors[k].iter().zip(&images[k]).map(|(v, image)| (image - values[k] * v).powi(2)).sum::<f64>().sqrt()
            })
            .fold(0.0, f64::max);
        if iteration + 1 >= LEAST_ITERATIONS && residual <= TOLERANCE * values[0] {
            break;
        }
        vectors = images;
        orthonormalise(&mut vectors, seed);
    }
    let mut axes: Vec<f64> = vectors.into_iter().take(3).flat_map(with_sign).collect();
    axes.resize(3 * dim, 0.0);
    axes
}

/// The first three coordinate axes, `[3, dim]`, as many as there are.
pub(super) fn first_axes(dim: usize) -> Vec<f64> {
    let mut axes = vec![0.0; 3 * dim];
    for k in 0..dim.min(3) {
        axes[k * dim + k] = 1.0;
    }
    axes
}

/// Makes vectors orthonormal, each with the directions of those before it taken out, twice. One that has nothing else is drawn anew.
pub(super) fn orthonormalise(vectors: &mut [Vec<f64>], seed: u64) {
    for k in 0..vectors.len() {
        for attempt in 0.. {
            let (before, rest) = vectors.split_at_mut(k);
            let vector = &mut rest[0];
            let length = dot(vector, vector).sqrt();
            for _ in 0..2 {
                for other in before.iter() {
                    let part = dot(vector, other);
                    vector.iter_mut().zip(other).for_each(|(v, o)| *v -= part * o);
                }
            }
            let left = dot(vector, vector).sqrt();
            if left > 1e-10 * length {
                vector.iter_mut().for_each(|v| *v /= left);
                break;
            }
            let draw = (BLOCK + attempt * BLOCK + k) as u64;
            vector.iter_mut().enumerate().for_each(|(i, v)| *v = random::normal(seed, i as u64, draw));
        }
    }
}

/// The matrix times each vector.
fn times(matrix: &[f64], dim: usize, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f64>> =
        matrix.par_chunks(dim).map(|row| vectors.iter().map(|vector| dot(row, vector)).collect()).collect();
    (0..vectors.len()).map(|k| rows.iter().map(|row| row[k]).collect()).collect()
}

/// Sum of products, in eight lanes.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a_parts, b_parts) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a_parts.remainder().iter().zip(b_parts.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_parts.zip(b_parts) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + tail
}

/// `sum_j rotation[j][k] vectors[j]` for each `k`.
fn rotated(vectors: &[Vec<f64>], rotation: &[f64]) -> Vec<Vec<f64>> {
    let block = vectors.len();
    (0..block)
        .map(|k| {
            let mut out = vec![0.0; vectors[0].len()];
            for (j, vector) in vectors.iter().enumerate() {
                let factor = rotation[j * block + k];
                out.iter_mut().zip(vector).for_each(|(o, v)| *o += factor * v);
            }
            out
        })
        .collect()
}

/// Eigenvalues, falling, and eigenvectors, in columns, of a small symmetric matrix, by Jacobi's rotations.
fn jacobi(mut a: Vec<f64>, n: usize) -> (Vec<f64>, Vec<f64>) {
    let mut v: Vec<f64> = (0..n * n).map(|i| if i / n == i % n { 1.0 } else { 0.0 }).collect();
    for _ in 0..30 {
        let off: f64 = (0..n).flat_map(|p| (0..p).map(move |q| (p, q))).map(|(p, q)| a[p * n + q].powi(2)).sum();
        let diagonal: f64 = (0..n).map(|p| a[p * n + p].powi(2)).sum();
        if off <= 1e-34 * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[k * n + p], v[k * n + q]);
                    (v[k * n + p], v[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j * n + j].total_cmp(&a[i * n + i]));
    let values = order.iter().map(|&i| a[i * n + i]).collect();
    let vectors = (0..n * n).map(|at| v[at / n * n + order[at % n]]).collect();
    (values, vectors)
}

/// The vector or its opposite: the one whose largest component, the first of equals, is positive.
fn with_sign(vector: Vec<f64>) -> Vec<f64> {
    let largest = vector.iter().fold(0.0f64, |largest, &v| if v.abs() > largest.abs() { v } else { largest });
    if largest < 0.0 { vector.into_iter().map(|v| -v).collect() } else { vector }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Q diag(values) Q^T` with `Q` drawn at random.
    fn matrix(values: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let dim = values.len();
        let mut q: Vec<Vec<f64>> =
            (0..dim).map(|k| (0..dim).map(|i| random::normal(5, i as u64, k as u64)).collect()).collect();
        orthonormalise(&mut q, 5);
        let entry = |i: usize, j: usize| (0..dim).map(|k| values[k] * q[k][i] * q[k][j]).sum::<f64>();
        ((0..dim * dim).map(|at| entry(at / dim, at % dim)).collect(), q)
    }

    #[test]
    fn eigenvectors_are_found() {
        for values in [vec![9.0, 7.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.05, 0.0], vec![3.0, 2.0], vec![2.0]] {
            let dim = values.len();
            let (matrix, q) = matrix(&values);
            let axes = top_three(&matrix, dim, 42);
            for k in 0..3 {
                let axis = &axes[k * dim..(k + 1) * dim];
                match q.get(k) {
                    Some(expected) => assert!((dot(axis, expected).abs() - 1.0).abs() < 1e-10),
                    None => assert!(axis.iter().all(|&v| v == 0.0)),
                }
            }
        }
    }

    /// Twofold eigenvalues have no vectors of their own, but a plane.
    #[test]
    fn equal_eigenvalues_give_their_space() {
        let (matrix, q) = matrix(&[5.0, 5.0, 3.0, 1.0, 0.5, 0.1]);
        let axes = top_three(&matrix, 6, 42);
        for k in 0..2 {
            let inside: f64 = (0..2).map(|j| dot(&axes[k * 6..(k + 1) * 6], &q[j]).powi(2)).sum();
            assert!((inside - 1.0).abs() < 1e-10);
        }
    }

    #[test]
    fn rows_are_orthonormal_for_any_rank() {
        for values in [vec![0.0; 5], vec![1.0, 0.0, 0.0, 0.0, 0.0], vec![1.0; 5], vec![1.0, 1e-14, 0.0, 0.0]] {
            let dim = values.len();
            let axes = top_three(&matrix(&values).0, dim, 42);
            for j in 0..3 {
                for k in 0..3 {
                    let product = dot(&axes[j * dim..(j + 1) * dim], &axes[k * dim..(k + 1) * dim]);
                    assert!((product - f64::from(u8::from(j == k))).abs() < 1e-10);
                }
            }
        }
    }
}
