//! What is placed: patches with their signals, and the edges between them.

use crate::Rows;
use crate::zones::Zone;

/// Patches to be placed. All slices have one entry a patch.
#[derive(Debug, Clone, Copy)]
pub struct Patches<'a> {
    /// Embeddings before the final norm, `[n, dim]`. Only their directions count.
    pub embeddings: Rows<'a>,
    /// L2 norms before the final norm; at least 0.
    pub prominence: &'a [f32],
    /// Entropies in nats. The methods `entropy` and `classic` need them.
    pub entropies: Option<&'a [f32]>,
    /// What tells patches apart, whatever their order: ties go by it, and so do random numbers. Missing: the place in the slices.
    pub ids: Option<&'a [u64]>,
    /// The zone each patch is meant for. Missing: all are content.
    pub zones: Option<&'a [Zone]>,
    /// Edges, for energy-based placement only. Each undirected edge stands once; patches are named by their place in the slices.
    pub edges: &'a [Edge],
}

/// An undirected edge between two patches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// One end.
    pub from: u32,
    /// The other.
    pub to: u32,
    /// How strongly the ends attract each other.
    pub weight: f32,
}

/// What no patch may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// Its embedding holds a number that is not finite.
    Embedding,
    /// Its prominence is negative or not finite.
    Prominence,
    /// Its entropy is not finite.
    Entropy,
}

impl<'a> Patches<'a> {
    /// Patches without entropies, ids, zones and edges.
    pub fn new(embeddings: Rows<'a>, prominence: &'a [f32]) -> Self {
        Self { embeddings, prominence, entropies: None, ids: None, zones: None, edges: &[] }
    }

    /// Number of patches.
    pub fn len(&self) -> usize {
        self.embeddings.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.embeddings.is_empty()
    }

    /// Every patch that cannot be placed, in order, with the first reason why. [`fill`](crate::fill()) refuses them; who wants the
    /// rest placed leaves these out.
    pub fn flaws(&self) -> Vec<(usize, Flaw)> {
        crate::parallel::map_chunks(self.len(), |range| {
            range.filter_map(|i| self.flaw(i).map(|flaw| (i, flaw))).collect::<Vec<_>>()
        })
        .concat()
    }

    /// The id of patch `i`.
    pub(crate) fn id(&self, i: usize) -> u64 {
        self.ids.map_or(i as u64, |ids| ids[i])
    }

    fn flaw(&self, i: usize) -> Option<Flaw> {
        // A product with 0 is NaN just where a number is not finite, and sums keep that; unlike a search this needs no branches.
        let lanes = self.embeddings.row(i).chunks(16).fold([0f32; 16], |mut lanes, part| {
            lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane += value * 0.0);
            lanes
        });
        if lanes.iter().any(|lane| lane.is_nan()) {
            Some(Flaw::Embedding)
        } else if !(self.prominence[i].is_finite() && self.prominence[i] >= 0.0) {
            Some(Flaw::Prominence)
        } else if self.entropies.is_some_and(|entropies| !entropies[i].is_finite()) {
            Some(Flaw::Entropy)
        } else {
            None
        }
    }
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Embedding => "its embedding holds a number that is not finite",
            Self::Prominence => "its prominence is negative or not finite",
            Self::Entropy => "its entropy is not finite",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaws_are_found_where_they_are() {
        let mut values = vec![1.0f32; 6 * 17];
        values[17 + 16] = f32::NAN;
        values[2 * 17] = f32::NEG_INFINITY;
        values[0] = f32::MAX;
        let prominence = [1.0, f32::NAN, 1.0, -1.0, f32::INFINITY, 0.0];
        let entropies = [0.0, 0.0, 0.0, 0.0, 0.0, f32::NAN];
        let patches = Patches { entropies: Some(&entropies), ..Patches::new(Rows::new(&values, 17), &prominence) };
        let expected = [
            (1, Flaw::Embedding),
            (2, Flaw::Embedding),
            (3, Flaw::Prominence),
            (4, Flaw::Prominence),
            (5, Flaw::Entropy),
        ];
        assert_eq!(patches.flaws(), expected);
    }
}
