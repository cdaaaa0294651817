//! Embeddings with fewer numbers.

use std::sync::Arc;

use blt_core::{ByteRange, Patch};
use blt_output::{DocumentCollector, EmbeddingDtype, EmbeddingOptions, FitError, Projection, ProjectionFit, fidelity};
use proptest::prelude::*;

use crate::{floats, tensors};

/// Rows of `dim` that lie near a plane of `rank` directions, in no particular one.
fn rows(n: usize, dim: usize, rank: usize, noise: f32) -> Vec<f32> {
    let hash = |at: usize| {
        ((at as u32).wrapping_mul(2_654_435_761).rotate_left(13).wrapping_mul(0x85eb_ca6b) >> 8) as f32
            / (1 << 24) as f32
            - 0.5
    };
    let entry = |i: usize, j: usize| {
        let along = |k: usize| hash(1_000_000 + i * rank + k) * (rank - k) as f32 * hash(k * dim + j);
        5.0 + (0..rank).map(along).sum::<f32>() + noise * hash(9_000_000 + i * dim + j)
    };
    (0..n * dim).map(|at| entry(at / dim, at % dim)).collect()
}

fn fitted(rows: &[f32], dim: usize, dims: usize) -> Projection {
    let mut fit = ProjectionFit::new(dim);
    rows.chunks(dim).for_each(|row| fit.add(row));
    fit.finish(dims).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Rows that vary in `rank` directions are restored from `rank` numbers, and not from fewer.
    #[test]
    fn rows_on_a_plane_are_restored(dim in 8usize..40, rank in 2usize..6, n in 30usize..80) {
        let rows = rows(n, dim, rank, 0.0);
        let exact = fidelity(&rows, dim, EmbeddingDtype::F32, Some(&fitted(&rows, dim, rank))).unwrap();
        prop_assert!(exact.lost_variance < 1e-8, "{exact:?}");
        prop_assert!(exact.recall_at_10 > 0.97, "{exact:?}");
        let fewer = fitted(&rows, dim, rank - 1);
        let lossy = fidelity(&rows, dim, EmbeddingDtype::F32, Some(&fewer)).unwrap();
        prop_assert!(lossy.lost_variance > exact.lost_variance);
        // What the fit says is left is what is left.
        prop_assert!((1.0 - lossy.lost_variance - f64::from(fewer.kept_variance())).abs() < 1e-4);
    }
}

#[test]
fn components_are_the_best_there_are() {
    let (dim, n) = (24, 200);
    let rows = rows(n, dim, 8, 0.2);
    let lost = |dims| fidelity(&rows, dim, EmbeddingDtype::F32, Some(&fitted(&rows, dim, dims))).unwrap();
    let errors: Vec<f64> = (1..=dim).map(|dims| lost(dims).lost_variance).collect();
    assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
    assert!(lost(dim).lost_variance < 1e-9 && lost(dim).recall_at_10 > 0.99);
    assert_eq!(fitted(&rows, dim, 5), fitted(&rows, dim, 5));
}

#[test]
fn narrower_numbers_lose_more() {
    let rows = rows(300, 32, 32, 1.0);
    let of = |dtype| fidelity(&rows, 32, dtype, None).unwrap();
    let [f32, f16, bf16, int8] =
        [EmbeddingDtype::F32, EmbeddingDtype::F16, EmbeddingDtype::Bf16, EmbeddingDtype::Int8].map(of);
    assert_eq!((f32.n_rows, f32.lost_variance, f32.recall_at_10), (300, 0.0, 1.0));
    assert!(
        f16.lost_variance > 0.0 && f16.lost_variance < bf16.lost_variance && bf16.lost_variance < int8.lost_variance
    );
    assert!(f16.recall_at_10 > int8.recall_at_10 && int8.recall_at_10 > 0.5, "{int8:?}");
}

#[test]
fn a_projection_is_read_as_it_was_written_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("projection.safetensors");
    let projection = fitted(&rows(50, 12, 3, 0.1), 12, 3);
    projection.write(&path).unwrap();
    assert_eq!(Projection::read(&path).unwrap(), projection);
    let whole = std::fs::read(&path).unwrap();
    for damaged in
        [whole[..whole.len() - 1].to_vec(), whole[..9].to_vec(), [&[255; 8], &whole[8..]].concat(), Vec::new()]
    {
        std::fs::write(&path, damaged).unwrap();
        assert!(Projection::read(&path).is_err());
    }
}

#[test]
fn collected_rows_are_the_reduced_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (dim, dims) = (12, 4);
    let rows = rows(40, dim, 6, 0.1);
    let projection = Arc::new(fitted(&rows, dim, dims));
    let options = EmbeddingOptions { dims, ..EmbeddingOptions::new(dim) };
    let mut collector = DocumentCollector::new(folder.path(), options, Some(Arc::clone(&projection)));
    for (i, embedding) in rows.chunks(dim).enumerate() {
        collector.bytes(b"x", &[1.0], &[1.0], &[]).unwrap();
        let range = ByteRange::new(i as u64, i as u64 + 1);
        collector.patch(&Patch { range, entropy: 1.0, prominence: 1.0, coherence: 1.0, embedding }).unwrap();
    }
    collector.end_view("raw", "text");
    let mut expected = Vec::new();
    rows.chunks(dim).for_each(|row| projection.reduce(row, &mut expected));
    assert_eq!(floats(&tensors(collector.finish())["embeddings"]), expected);
}

#[test]
fn a_sample_that_says_nothing_is_refused() {
    let fit = |rows: &[f32], dims| {
        let mut fit = ProjectionFit::new(3);
        rows.chunks(3).for_each(|row| fit.add(row));
        fit.finish(dims)
    };
    assert_eq!(fit(&[1.0, 2.0, 3.0], 2), Err(FitError::TooFew { n_rows: 1, dims: 2 }));
    assert_eq!(fit(&[1.0; 9], 4), Err(FitError::Dims { dims: 4, dim: 3 }));
    assert_eq!(fit(&[1.0; 9], 0), Err(FitError::Dims { dims: 0, dim: 3 }));
    assert_eq!(fit(&[1.0, 2.0, f32::INFINITY, 1.0, 1.0, 1.0], 1), Err(FitError::NotFinite));
    assert_eq!(fit(&[1.0; 9], 2).unwrap().kept_variance(), 0.0, "rows that are all equal");
}
