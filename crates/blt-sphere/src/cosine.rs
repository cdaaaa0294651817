//! Cosines between rows, summed in one order everywhere, and how far rounding can take them from the truth.
//!
//! Rows are used as they lie in memory: only the inverse of their norms is kept beside them.

use crate::Rows;
use crate::parallel::map_chunks;

/// Partial sums of a dot product. Part of its definition: another number rounds differently.
const LANES: usize = 16;

/// Norms between which products of single numbers with a unit vector neither overflow nor lose more than rounding does.
const NORMS: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

/// Sum of products: lane `i` sums the places `i`, `i + 16`, ..., then the lanes are folded in halves. Not inlined: inside of other
/// loops the compiler does not always keep the lanes in vector registers, which costs a factor of 6.
#[inline(never)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i];
        }
    }
    for (lane, (x, y)) in lanes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *lane += x * y;
    }
    fold(lanes)
}

/// [`dot`] of one row with two others at once, bit for bit: the row is read once.
#[inline(never)]
pub(crate) fn dot_two(row: &[f32], pair: [&[f32]; 2]) -> [f32; 2] {
    let (mut one, mut two) = ([0.0f32; LANES], [0.0f32; LANES]);
    let (row_blocks, row_rest) = row.as_chunks::<LANES>();
    let [(one_blocks, one_rest), (two_blocks, two_rest)] = pair.map(|other| other.as_chunks::<LANES>());
    for ((x, y), z) in row_blocks.iter().zip(one_blocks).zip(two_blocks) {
        for i in 0..LANES {
            one[i] += x[i] * y[i];
        }
        for i in 0..LANES {
            two[i] += x[i] * z[i];
        }
    }
    for (lanes, rest) in [(&mut one, one_rest), (&mut two, two_rest)] {
        for (lane, (x, y)) in lanes.iter_mut().zip(row_rest.iter().zip(rest)) {
            *lane += x * y;
        }
    }
    [fold(one), fold(two)]
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The most by which a computed cosine of vectors of `dim` numbers differs from the true one: each lane rounds once a block,
/// the fold and the factors that make the vectors unit ones a few times more.
pub(crate) fn rounding(dim: usize) -> f64 {
    (dim.div_ceil(LANES) + 16) as f64 * 2f64.powi(-24)
}

/// One over the norm of `row`, or `None` when it has no direction: it is zero, has a NaN or an infinity, or a norm outside
/// 1e-30 to 1e30.
pub(crate) fn inverse_norm(row: &[f32]) -> Option<f64> {
    let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    NORMS.contains(&norm).then(|| 1.0 / norm)
}

/// [`inverse_norm`] of each row, 0 for those without a direction.
pub(crate) fn inverse_norms(rows: Rows<'_>) -> Vec<f32> {
    map_chunks(rows.len(), |range| range.map(|i| inverse_norm(rows.row(i)).unwrap_or(0.0) as f32).collect::<Vec<_>>())
        .concat()
}

/// `vector` at length 1, or `None` when it has no direction.
pub(crate) fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let factor = inverse_norm(vector)?;
    Some(vector.iter().map(|&x| (f64::from(x) * factor) as f32).collect())
}

/// Squared distance of the unit vectors along `a` and `b`, in double precision: exact where a cosine near 1 is not.
pub(crate) fn squared_chord(a: &[f32], b: &[f32]) -> f64 {
    let (Some(a_factor), Some(b_factor)) = (inverse_norm(a), inverse_norm(b)) else { return f64::NAN };
    a.iter().zip(b).map(|(&x, &y)| (f64::from(x) * a_factor - f64::from(y) * b_factor).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn noise(id: u64, dim: usize) -> Vec<f32> {
        (0..dim).map(|i| random::normal(1, id, i as u64) as f32).collect()
    }

    #[test]
    fn two_products_at_once_are_the_products_one_by_one() {
        for dim in [1, 2, 15, 16, 17, 33, 768] {
            let [a, b, c] = [0, 1, 2].map(|id| noise(id, dim));
            assert_eq!(dot_two(&a, [&b, &c]), [dot(&a, &b), dot(&a, &c)]);
        }
    }

    #[test]
    fn cosines_are_within_their_rounding() {
        for dim in [2, 3, 100, 768, 4096] {
            for id in 0..20 {
                let (a, b) = (noise(id, dim), noise(id + 100, dim));
                let (ua, ub) = (unit(&a).unwrap(), unit(&b).unwrap());
                let exact = 1.0 - squared_chord(&a, &b) / 2.0;
                assert!((f64::from(dot(&ua, &ub)) - exact).abs() < rounding(dim));
            }
        }
    }

    #[test]
    fn what_has_no_direction_is_said() {
        for row in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0], [1e38, 1.0], [1e-38, 0.0]] {
            assert_eq!(unit(&row), None);
        }
    }
}
