//! How good a ranking is.

use std::collections::HashSet;

/// Part of the relevant patches that are among the first `k` found. 1 when nothing is relevant.
pub fn recall_at_k(found: &[u32], relevant: &[u32], k: usize) -> f64 {
    let relevant: HashSet<u32> = relevant.iter().copied().collect();
    if relevant.is_empty() {
        return 1.0;
    }
    let hits: HashSet<u32> = found.iter().take(k).copied().filter(|id| relevant.contains(id)).collect();
    hits.len() as f64 / relevant.len() as f64
}

/// Mean over the queries, each with what was found and what is relevant, of one over the place of the first relevant patch, counted
/// from 1; 0 where none was found. NaN without queries.
pub fn mean_reciprocal_rank<'a>(queries: impl IntoIterator<Item = (&'a [u32], &'a [u32])>) -> f64 {
    let (mut sum, mut n) = (0.0, 0);
    for (found, relevant) in queries {
        sum += found.iter().position(|id| relevant.contains(id)).map_or(0.0, |place| 1.0 / (place + 1) as f64);
        n += 1;
    }
    sum / f64::from(n)
}

/// Normalised discounted cumulative gain of the first `k` found: `sum gain / log2(place + 1)`, places from 1, over that of the best
/// ranking of `gains`, which are patches with what each is worth. A patch found twice counts once. 1 when nothing is worth anything.
///
/// Source: Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", 2002.
pub fn ndcg_at_k(found: &[u32], gains: &[(u32, f64)], k: usize) -> f64 {
    let discounted = |place: usize, gain: f64| gain / ((place + 2) as f64).log2();
    let mut best: Vec<f64> = gains.iter().map(|&(_, gain)| gain).collect();
    best.sort_by(|a, b| b.total_cmp(a));
    let ideal: f64 = best.iter().take(k).enumerate().map(|(place, &gain)| discounted(place, gain)).sum();
    if ideal <= 0.0 {
        return 1.0;
    }
    let mut open: Vec<(u32, f64)> = gains.to_vec();
    let mut gained = 0.0;
    for (place, id) in found.iter().take(k).enumerate() {
        if let Some(at) = open.iter().position(|(other, _)| other == id) {
            gained += discounted(place, open.swap_remove(at).1);
        }
    }
    gained / ideal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_each_relevant_patch_once() {
        assert_eq!(recall_at_k(&[1, 1, 2, 3], &[1, 3], 3), 0.5);
        assert_eq!(recall_at_k(&[1, 1, 2, 3], &[3, 1], 4), 1.0);
        assert_eq!(recall_at_k(&[], &[1], 4), 0.0);
        assert_eq!(recall_at_k(&[], &[], 4), 1.0);
    }

    #[test]
    fn reciprocal_ranks_are_averaged() {
        assert_eq!(mean_reciprocal_rank([(&[5, 6][..], &[6][..]), (&[7], &[7]), (&[8], &[9])]), 0.5);
        assert!(mean_reciprocal_rank([]).is_nan());
    }

    #[test]
    fn the_best_ranking_gains_everything_and_worse_ones_less() {
        let gains = [(1, 3.0), (2, 2.0), (3, 1.0)];
        assert_eq!(ndcg_at_k(&[1, 2, 3], &gains, 3), 1.0);
        let swapped = ndcg_at_k(&[2, 1, 3], &gains, 3);
        let by_hand = (2.0 + 3.0 / 3f64.log2() + 0.5) / (3.0 + 2.0 / 3f64.log2() + 0.5);
        assert!((swapped - by_hand).abs() < 1e-15);
        assert!(ndcg_at_k(&[1, 1, 1], &gains, 3) < 1.0);
        assert_eq!(ndcg_at_k(&[9], &gains, 3), 0.0);
        assert_eq!(ndcg_at_k(&[9], &[], 3), 1.0);
    }
}
