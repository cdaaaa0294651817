//! Eigenvectors of symmetric matrices, in 64-bit floats and always in the same order of operations.
//!
//! Source: J. H. Wilkinson and C. Reinsch, Handbook for Automatic Computation II, 1971, contributions II/2 (reduction to
//! three diagonals by reflections) and II/4 (implicit QL).

/// More steps for one eigenvalue than any matrix of finite numbers takes.
const MAX_STEPS: usize = 60;

/// The `k` largest eigenvalues of the symmetric matrix `a`, `[n, n]`, from large to small, and their vectors of length 1 as
/// rows `[k, n]`. In each vector the entry of largest size is positive. `None` if the matrix holds what is no finite number.
pub(crate) fn largest_eigenvectors(mut a: Vec<f64>, n: usize, k: usize) -> Option<(Vec<f64>, Vec<f64>)> {
    assert_eq!(a.len(), n * n, "a square matrix");
    if a.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let reflections = tridiagonalise(&mut a, n);
    let mut diagonal: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
    let beside: Vec<f64> = (1..n).map(|i| a[i * n + i - 1]).collect();
    let rows = implicit_ql(&mut diagonal, beside)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| diagonal[j].total_cmp(&diagonal[i]).then(i.cmp(&j)));
    let mut vectors = Vec::with_capacity(k * n);
    for &i in &order[..k] {
        let mut vector = rows[i * n..][..n].to_vec();
        for (start, normal, factor) in reflections.iter().rev() {
            reflect(&mut vector[*start..], normal, *factor);
        }
        let largest =
            vector.iter().fold(0.0f64, |largest, &value| if value.abs() > largest.abs() { value } else { largest });
        vector.iter_mut().for_each(|value| *value *= largest.signum());
        vectors.extend(vector);
    }
    Some((order[..k].iter().map(|&i| diagonal[i]).collect(), vectors))
}

/// Where a reflection begins, its normal, and 2 over that one's squared length.
type Reflection = (usize, Vec<f64>, f64);

fn reflect(vector: &mut [f64], normal: &[f64], factor: f64) {
    let along = factor * dot(vector, normal);
    vector.iter_mut().zip(normal).for_each(|(value, normal)| *value -= along * normal);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_chunks, a_rest) = a.as_chunks::<8>();
    let (b_chunks, b_rest) = b.as_chunks::<8>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Leaves the three diagonals in `a`, and returns the reflections that led there, in order.
fn tridiagonalise(a: &mut [f64], n: usize) -> Vec<Reflection> {
    let mut reflections = Vec::new();
    for column in 0..n.saturating_sub(2) {
        let start = column + 1;
        let mut normal: Vec<f64> = (start..n).map(|i| a[i * n + column]).collect();
        let length = dot(&normal, &normal).sqrt();
        if length == 0.0 {
            continue;
        }
        let reflected = if normal[0] > 0.0 { -length } else { length };
        normal[0] -= reflected;
        let factor = 2.0 / dot(&normal, &normal);
        // The rest becomes (1 - f v v') A (1 - f v v') = A - v w' - w v'.
        let product: Vec<f64> = (start..n).map(|i| factor * dot(&a[i * n + start..(i + 1) * n], &normal)).collect();
        let half = 0.5 * factor * dot(&product, &normal);
        let w: Vec<f64> = product.iter().zip(&normal).map(|(product, normal)| product - half * normal).collect();
        for i in start..n {
            let (v_i, w_i) = (normal[i - start], w[i - start]);
            let row = &mut a[i * n + start..(i + 1) * n];
            row.iter_mut().zip(normal.iter().zip(&w)).for_each(|(value, (v, w))| *value -= v_i * w + w_i * v);
        }
        a[start * n + column] = reflected;
        reflections.push((start, normal, factor));
    }
    reflections
}

/// Turns the diagonal into the eigenvalues and returns their vectors as rows.
fn implicit_ql(diagonal: &mut [f64], mut beside: Vec<f64>) -> Option<Vec<f64>> {
    let n = diagonal.len();
    beside.push(0.0);
    let mut rows = vec![0.0; n * n];
    (0..n).for_each(|i| rows[i * n + i] = 1.0);
    for first in 0..n {
        for step in 0.. {
            let is_small = |&i: &usize| {
                let scale = diagonal[i].abs() + diagonal[i + 1].abs();
                beside[i].abs() <= f64::EPSILON * scale
            };
            let last = (first..n - 1).find(is_small).unwrap_or(n - 1);
            if last == first {
                break;
            }
            if step == MAX_STEPS {
                return None;
            }
            // The shift is the eigenvalue of the upper left block of two that is closer to its corner.
            let half = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
            let root = (half * half + 1.0).sqrt();
            let divisor = half + if half < 0.0 { -root } else { root };
            let mut g = diagonal[last] - diagonal[first] + beside[first] / divisor;
            let (mut sine, mut cosine, mut shift) = (1.0, 1.0, 0.0);
            let mut ended_early = false;
            for i in (first..last).rev() {
                let (f, b) = (sine * beside[i], cosine * beside[i]);
                let length = (f * f + g * g).sqrt();
                beside[i + 1] = length;
                if length == 0.0 {
                    diagonal[i + 1] -= shift;
                    beside[last] = 0.0;
                    ended_early = true;
                    break;
                }
                (sine, cosine) = (f / length, g / length);
                g = diagonal[i + 1] - shift;
                let turned = (diagonal[i] - g) * sine + 2.0 * cosine * b;
                shift = sine * turned;
                diagonal[i + 1] = g + shift;
                g = cosine * turned - b;
                let (upper, lower) = rows[i * n..(i + 2) * n].split_at_mut(n);
                for (upper, lower) in upper.iter_mut().zip(lower) {
                    (*upper, *lower) = (cosine * *upper - sine * *lower, sine * *upper + cosine * *lower);
                }
            }
            if !ended_early {
                diagonal[first] -= shift;
                beside[first] = g;
                beside[last] = 0.0;
            }
        }
    }
    Some(rows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// `A v = λ v`, vectors are orthogonal and of length 1, and the values are all there are: their sum is the trace.
        #[test]
        fn what_is_found_are_eigenvectors(n in 1usize..24, seed in prop::collection::vec(-1.0f64..1.0, 24 * 24), rank in 1usize..24) {
            // A Gram matrix of `rank` vectors, so that small ranks have many eigenvalues at zero.
            let rank = rank.min(n);
            let entry = |i: usize, j: usize| (0..rank).map(|k| seed[k * 24 + i] * seed[k * 24 + j]).sum::<f64>();
            let a: Vec<f64> = (0..n * n).map(|at| entry(at / n, at % n)).collect();
            let (values, vectors) = largest_eigenvectors(a.clone(), n, n).unwrap();
            let trace: f64 = (0..n).map(|i| a[i * n + i]).sum();
            prop_assert!((values.iter().sum::<f64>() - trace).abs() < 1e-10);
            prop_assert!(values.is_sorted_by(|a, b| a >= b));
            for i in 0..n {
                let v = &vectors[i * n..][..n];
                for j in 0..n {
                    let product = dot(&a[j * n..][..n], v);
                    prop_assert!((product - values[i] * v[j]).abs() < 1e-9);
                    let expected = if i == j { 1.0 } else { 0.0 };
                    prop_assert!((dot(v, &vectors[j * n..][..n]) - expected).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn no_number_is_no_matrix() {
        assert!(largest_eigenvectors(vec![1.0, f64::NAN, f64::NAN, 1.0], 2, 1).is_none());
        assert!(largest_eigenvectors(Vec::new(), 0, 0).is_some());
    }
}
