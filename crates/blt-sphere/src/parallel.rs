//! Sums over many items on all threads, whose rounding does not depend on how many there are.

use std::ops::Range;

use rayon::prelude::*;

/// Items that one task works on. Part of every parallel sum's definition: another value rounds differently.
pub(crate) const CHUNK: usize = 4096;

/// `map` of every chunk of `0..n`, in order.
pub(crate) fn map_chunks<T: Send>(n: usize, map: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    (0..n.div_ceil(CHUNK)).into_par_iter().map(|i| map(i * CHUNK..((i + 1) * CHUNK).min(n))).collect()
}

/// Sum of `value(i)` over `0..n`: within chunks in order, then the chunks' sums in order.
pub(crate) fn sum(n: usize, value: impl Fn(usize) -> f64 + Sync) -> f64 {
    map_chunks(n, |range| range.map(&value).sum::<f64>()).into_iter().sum()
}
