//! Edges that the structure of documents gives: what follows what, and what is another view of the same.

use std::ops::Range;

use blt_sphere::Edge;

use crate::patches::{Document, PatchArrays};

/// An edge among more views than this joins each with the first only.
const MAX_CLIQUE: usize = 16;

/// What edges of each kind weigh; 0 leaves them out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeWeights {
    /// Between a patch and the one after it in its view.
    pub next: f32,
    /// Between the views of one source, shared out among the pairs: between patches at the same relative place.
    pub same_source: f32,
}

impl Default for EdgeWeights {
    fn default() -> Self {
        Self { next: 1.0, same_source: 1.0 }
    }
}

impl PatchArrays {
    /// The edges of all documents, each once, from the smaller patch to the larger: `next` along each view, `same_source`
    /// between the views of a document. An edge among `m` views is one between each two of them with `1 / (m - 1)` of the
    /// weight, above 16 views between each and the first.
    pub fn edges(&self, weights: EdgeWeights) -> Vec<Edge> {
        let mut edges = Vec::new();
        self.for_each_edge(weights, |edge, _| edges.push(edge));
        edges
    }

    /// Calls `visit` with every edge and what kind it is of.
    pub(crate) fn for_each_edge(&self, weights: EdgeWeights, mut visit: impl FnMut(Edge, &'static str)) {
        let starts = self.byte_starts();
        for (document, range) in self.ranges() {
            let views = views(document, range.start);
            for view in views.iter().filter(|_| weights.next > 0.0) {
                for patch in view.clone().skip(1) {
                    visit(edge(patch - 1, patch, weights.next), "next");
                }
            }
            if weights.same_source > 0.0 && views.len() > 1 {
                let weight = weights.same_source / (views.len() - 1) as f32;
                let centres = if views.len() > MAX_CLIQUE { 1 } else { views.len() };
                for (i, a) in views.iter().enumerate().take(centres) {
                    for b in &views[i + 1..] {
                        self.join_views(&starts, a, b, weight, &mut visit);
                    }
                }
            }
        }
    }

    /// Joins each patch of the view with more of them to the one of the other view at the same relative place.
    fn join_views(
        &self,
        starts: &[usize],
        a: &Range<usize>,
        b: &Range<usize>,
        weight: f32,
        visit: &mut impl FnMut(Edge, &'static str),
    ) {
        let (many, few) = if b.len() > a.len() { (b, a) } else { (a, b) };
        let n_bytes = |view: &Range<usize>| starts[view.end] - starts[view.start];
        let by_bytes = n_bytes(many) > 0 && n_bytes(few) > 0;
        let mut partner = few.start;
        for patch in many.clone() {
            // The last patch of the other view that begins no later, both as parts of their views; in integers.
            let begins_later = |other: usize| {
                if by_bytes {
                    let (here, there) = (starts[patch] - starts[many.start], starts[other] - starts[few.start]);
                    there as u128 * n_bytes(many) as u128 > here as u128 * n_bytes(few) as u128
                } else {
                    (other - few.start) * many.len() > (patch - many.start) * few.len()
                }
            };
            while partner + 1 < few.end && !begins_later(partner + 1) {
                partner += 1;
            }
            visit(edge(patch.min(partner), patch.max(partner), weight), "same_source");
        }
    }

    /// Where each patch begins in the bytes, and where the last ends.
    pub(crate) fn byte_starts(&self) -> Vec<usize> {
        let mut starts = Vec::with_capacity(self.len() + 1);
        starts.push(0);
        let mut end = 0;
        for &length in &self.patch_lengths {
            end += length as usize;
            starts.push(end);
        }
        starts
    }
}

/// The views of a document that have patches.
fn views(document: &Document, start: usize) -> Vec<Range<usize>> {
    let mut end = start;
    let ranges = document.views.iter().map(|&n| {
        let range = end..end + n;
        end = range.end;
        range
    });
    ranges.filter(|range| !range.is_empty()).collect()
}

fn edge(from: usize, to: usize, weight: f32) -> Edge {
    Edge { from: from as u32, to: to as u32, weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(views: &[&[i32]]) -> PatchArrays {
        let patch_lengths = views.concat();
        let n_bytes = patch_lengths.iter().sum::<i32>() as usize;
        let views = views.iter().map(|view| view.len()).collect();
        PatchArrays {
            documents: vec![Document { id: String::new(), role: None, n_patches: patch_lengths.len(), n_bytes, views }],
            prominence: vec![1.0; patch_lengths.len()],
            patch_lengths,
            bytes: vec![0; n_bytes],
            ..PatchArrays::default()
        }
    }

    fn pairs(patches: &PatchArrays, weights: EdgeWeights) -> Vec<(u32, u32, f32)> {
        patches.edges(weights).iter().map(|edge| (edge.from, edge.to, edge.weight)).collect()
    }

    #[test]
    fn chains_do_not_cross_views() {
        let next = EdgeWeights { next: 0.5, same_source: 0.0 };
        assert_eq!(pairs(&document(&[&[1, 2], &[], &[3, 1, 1]]), next), [(0, 1, 0.5), (2, 3, 0.5), (3, 4, 0.5)]);
    }

    #[test]
    fn views_are_joined_where_they_correspond() {
        let same = EdgeWeights { next: 0.0, same_source: 1.0 };
        // 10 bytes against 4 bytes: patch 3 begins at 8 / 10, past the half at which patch 5 does.
        let joined = pairs(&document(&[&[2, 2, 4, 2], &[2, 2]]), same);
        assert_eq!(joined, [(0, 4, 1.0), (1, 4, 1.0), (2, 4, 1.0), (3, 5, 1.0)]);
        let three = pairs(&document(&[&[1], &[1], &[1]]), same);
        assert_eq!(three, [(0, 1, 0.5), (0, 2, 0.5), (1, 2, 0.5)]);
        let many = vec![&[1][..]; 20];
        assert_eq!(pairs(&document(&many), same).len(), 19);
        // Without bytes, by number.
        assert_eq!(pairs(&document(&[&[0, 0], &[0]]), same), [(0, 2, 1.0), (1, 2, 1.0)]);
    }
}
