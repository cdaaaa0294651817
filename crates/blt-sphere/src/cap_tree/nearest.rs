//! Neighbours, and the best few of many.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A patch and its cosine with the query. Ordered by nearness: larger cosines first, then smaller ids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// The patch.
    pub id: u32,
    /// Cosine with the query, in [-1, 1].
    pub cosine: f32,
}

impl Eq for Neighbour {}

impl Ord for Neighbour {
    fn cmp(&self, other: &Self) -> Ordering {
        other.cosine.total_cmp(&self.cosine).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Neighbour {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How much of a tree a search may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// All that could hold a result.
    #[default]
    Exact,
    /// At most this many leaves, and at least one, those with the nearest centroids first: approximate.
    Beam(usize),
}

/// The `k` nearest of those offered.
pub(super) struct Nearest {
    k: usize,
    /// The farthest kept is on top.
    heap: BinaryHeap<Neighbour>,
}

impl Nearest {
    pub(super) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    /// Cosine below which nothing is taken any more.
    pub(super) fn threshold(&self) -> f32 {
        match self.heap.peek() {
            _ if self.k == 0 => f32::INFINITY,
            Some(farthest) if self.heap.len() == self.k => farthest.cosine,
            _ => f32::NEG_INFINITY,
        }
    }

    pub(super) fn offer(&mut self, neighbour: Neighbour) {
        if self.heap.len() < self.k {
            self.heap.push(neighbour);
        } else if let Some(mut farthest) = self.heap.peek_mut()
            && neighbour < *farthest
        {
            *farthest = neighbour;
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.heap.into_iter().for_each(|neighbour| self.offer(neighbour));
    }

    /// Nearest first.
    pub(super) fn into_sorted(self) -> Vec<Neighbour> {
        self.heap.into_sorted_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_and_ties_go_to_small_ids() {
        let mut nearest = Nearest::new(3);
        assert_eq!(nearest.threshold(), f32::NEG_INFINITY);
        for (id, cosine) in [(4, 0.5), (9, 0.9), (2, 0.5), (3, 0.5), (1, -1.0)] {
            nearest.offer(Neighbour { id, cosine });
        }
        assert_eq!(nearest.threshold(), 0.5);
        assert_eq!(nearest.into_sorted().iter().map(|n| n.id).collect::<Vec<_>>(), [9, 2, 3]);
        assert_eq!(Nearest::new(0).threshold(), f32::INFINITY);
    }
}
