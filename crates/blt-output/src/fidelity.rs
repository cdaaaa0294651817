//! What is lost when embeddings are written with fewer bits or numbers.

use std::io;

use crate::collector::EmbeddingDtype;
use crate::projection::Projection;
use crate::stored_rows::rounded;

/// Neighbours that are looked for.
const N_NEIGHBOURS: usize = 10;

/// How well written embeddings stand for those that were computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fidelity {
    /// Rows compared.
    pub n_rows: usize,
    /// Squared distance between rows and what is restored of them, as a share of the rows' variance: 0 is exact.
    pub lost_variance: f64,
    /// Share of each row's ten nearest rows, by Euclidean distance, that are among the ten nearest of what is written.
    pub recall_at_10: f64,
}

/// Compares the sample `rows`, `[n, dim]`, with what would be written of them: reduced by `projection`, if there is one, and
/// then rounded to `dtype`. Takes time with the square of `n`: a few thousand rows are enough.
///
/// # Errors
///
/// Fails when the rows do not have the projection's width.
pub fn fidelity(
    rows: &[f32],
    dim: usize,
    dtype: EmbeddingDtype,
    projection: Option<&Projection>,
) -> io::Result<Fidelity> {
    if dim == 0 || !rows.len().is_multiple_of(dim) || projection.is_some_and(|projection| projection.model_dim() != dim)
    {
        return Err(io::Error::other("the sample has another width than the projection"));
    }
    let n_rows = rows.len() / dim;
    let dims = projection.map_or(dim, Projection::dims);
    let (mut written, mut squared_error) = (Vec::with_capacity(n_rows * dims), 0.0);
    for row in rows.chunks_exact(dim) {
        let mut reduced = Vec::with_capacity(dims);
        match projection {
            Some(projection) => projection.reduce(row, &mut reduced),
            None => reduced.extend_from_slice(row),
        }
        let reduced = rounded(&reduced, dtype);
        let restored = projection.map(|projection| projection.restore(&reduced));
        squared_error += f64::from(squared_distance(row, restored.as_deref().unwrap_or(&reduced)));
        written.extend(reduced);
    }
    let variance = squared_deviations(rows, dim);
    let (exact, found) = (nearest(rows, dim), nearest(&written, dims));
    let n_found: usize = exact.iter().zip(&found).map(|(a, b)| a.iter().filter(|i| b.contains(i)).count()).sum();
    let n_wanted: usize = exact.iter().map(Vec::len).sum();
    Ok(Fidelity {
        n_rows,
        lost_variance: if variance > 0.0 { squared_error / variance } else { 0.0 },
        recall_at_10: if n_wanted > 0 { n_found as f64 / n_wanted as f64 } else { 1.0 },
    })
}

fn squared_deviations(rows: &[f32], dim: usize) -> f64 {
    let n_rows = (rows.len() / dim).max(1) as f64;
    let column = |i: usize| rows.iter().skip(i).step_by(dim).map(|&value| f64::from(value));
    let of_column = |i| {
        let mean = column(i).sum::<f64>() / n_rows;
        column(i).map(|value| (value - mean) * (value - mean)).sum::<f64>()
    };
    (0..dim).map(of_column).sum()
}

/// For each row the numbers of those nearest to it; of equally near ones the first.
fn nearest(rows: &[f32], dim: usize) -> Vec<Vec<usize>> {
    let row = |i: usize| &rows[i * dim..][..dim];
    let n_rows = rows.len() / dim;
    let of_row = |i: usize| {
        let mut others: Vec<(f32, usize)> =
            (0..n_rows).filter(|&j| j != i).map(|j| (squared_distance(row(i), row(j)), j)).collect();
        let n = N_NEIGHBOURS.min(others.len());
        let by_distance = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if n < others.len() {
            others.select_nth_unstable_by(n, by_distance);
        }
        others[..n].iter().map(|&(_, j)| j).collect()
    };
    (0..n_rows).map(of_row).collect()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for i in 0..16 {
            let difference = a[i] - b[i];
            sums[i] += difference * difference;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| (a - b) * (a - b)).sum();
    sums.iter().sum::<f32>() + rest
}
