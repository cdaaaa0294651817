//! Edges that the structure of documents gives: what follows what, and what is another view of the same.

use std::ops::Range;

use blt_sphere::{CapTree, Edge, EdgeLabel, Effort, Hyperedge, LabelWeights, Places, TreeOptions, expand};

use crate::patches::{Document, PatchArrays};

/// Which edges pull, and how strongly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeOptions {
    /// What edges of each kind weigh; 0 leaves them out. There are none of the kind `contains`.
    pub weights: LabelWeights,
    /// Neighbours of a patch that semantic edges lead to.
    pub n_neighbours: u32,
    /// Least cosine of such neighbours.
    pub least_cosine: f32,
}

impl Default for EdgeOptions {
    /// The original's weights; 16 neighbours of a cosine of 0.7 and more.
    fn default() -> Self {
        Self { weights: LabelWeights::default(), n_neighbours: 16, least_cosine: 0.7 }
    }
}

impl PatchArrays {
    /// The edges that place patches by energy: those of [`for_each_edge`](Self::for_each_edge), and `semantic` ones between each
    /// patch and its `n_neighbours` nearest by direction whose cosine is `least_cosine` or more, by which they are weighted.
    pub(crate) fn edges(&self, options: &EdgeOptions) -> Vec<Edge> {
        let mut edges = Vec::new();
        self.for_each_edge(options.weights, |edge, _| edges.push(edge));
        if options.weights.semantic > 0.0 && options.n_neighbours > 0 {
            let (nowhere, zones, shells) = (vec![0.0; self.len()], vec![0; self.len()], vec![0; self.len()]);
            let places = Places::new(&nowhere, &nowhere, &nowhere, &self.prominence, &zones, &shells);
            let tree = CapTree::build(self.rows(), places, TreeOptions::default());
            let graph = tree.knn_graph(options.n_neighbours as usize, Effort::Exact);
            let near = graph.edges().filter(|&(.., cosine)| cosine >= options.least_cosine);
            edges.extend(near.map(|(from, to, cosine)| Edge { from, to, weight: options.weights.semantic * cosine }));
        }
        edges
    }

    /// Calls `visit` with every edge that the structure of documents gives and what kind it is of, from the smaller patch to the
    /// larger: `next` along each view, `same_source` between the views of a document, at the same relative places. Of `m` views
    /// each is joined to each other with `1 / (m - 1)` of the weight, of more than 16 to the first with all of it.
    pub(crate) fn for_each_edge(&self, weights: LabelWeights, mut visit: impl FnMut(Edge, &'static str)) {
        let starts = self.byte_starts();
        for (document, range) in self.ranges() {
            let views = views(document, range.start);
            for view in views.iter().filter(|_| weights.next > 0.0) {
                for patch in view.clone().skip(1) {
                    visit(edge(patch - 1, patch, weights.next), "next");
                }
            }
            if weights.same_source > 0.0 {
                let patches = (0..views.len() as u32).collect();
                let of_views = Hyperedge { label: EdgeLabel::SameSource, patches, weight: 1.0 };
                for Edge { from, to, weight } in expand(&[of_views], &weights) {
                    self.join_views(&starts, &views[from as usize], &views[to as usize], weight, &mut visit);
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

    fn pairs(patches: &PatchArrays, next: f32, same_source: f32) -> Vec<(u32, u32, f32)> {
        let mut pairs = Vec::new();
        let weights = LabelWeights { next, same_source, ..LabelWeights::default() };
        patches.for_each_edge(weights, |edge, _| pairs.push((edge.from, edge.to, edge.weight)));
        pairs
    }

    #[test]
    fn chains_do_not_cross_views() {
        assert_eq!(pairs(&document(&[&[1, 2], &[], &[3, 1, 1]]), 0.5, 0.0), [(0, 1, 0.5), (2, 3, 0.5), (3, 4, 0.5)]);
    }

    #[test]
    fn views_are_joined_where_they_correspond() {
        // 10 bytes against 4 bytes: patch 3 begins at 8 / 10, past the half at which patch 5 does.
        let joined = pairs(&document(&[&[2, 2, 4, 2], &[2, 2]]), 0.0, 1.0);
        assert_eq!(joined, [(0, 4, 1.0), (1, 4, 1.0), (2, 4, 1.0), (3, 5, 1.0)]);
        let three = pairs(&document(&[&[1], &[1], &[1]]), 0.0, 1.0);
        assert_eq!(three, [(0, 1, 0.5), (0, 2, 0.5), (1, 2, 0.5)]);
        let many = vec![&[1][..]; 20];
        let star = pairs(&document(&many), 0.0, 1.0);
        assert!(star.len() == 19 && star.iter().all(|&(from, _, weight)| (from, weight) == (0, 1.0)));
        // Without bytes, by number.
        assert_eq!(pairs(&document(&[&[0, 0], &[0]]), 0.0, 1.0), [(0, 2, 1.0), (1, 2, 1.0)]);
    }

    #[test]
    fn near_patches_are_joined_by_their_cosines() {
        let mut patches = document(&[&[1, 1, 1]]);
        (patches.dim, patches.embeddings) = (2, vec![1.0, 0.0, 0.8, 0.6, -1.0, 0.0]);
        let edges = patches.edges(&EdgeOptions::default());
        let pairs: Vec<_> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(pairs, [(0, 1), (1, 2), (0, 1)]);
        assert!((edges[2].weight - 0.64).abs() < 1e-6, "{edges:?}");
    }
}
