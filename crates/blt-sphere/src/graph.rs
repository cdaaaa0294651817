//! The graph of nearest neighbours, and walks on it.

use std::collections::VecDeque;

use rayon::prelude::*;

use crate::Rows;
use crate::cap_tree::{CapTree, Effort, QueryError};

/// Patches that ask for their neighbours together.
const TOGETHER: usize = 4096;

/// Undirected edges with weights, patch by patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// Where the edges of each patch begin in `targets`, and the end: `[n + 1]`.
    offsets: Vec<usize>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

/// How a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WalkOptions {
    /// A patch is stepped on when its coherence is above this.
    pub threshold: f64,
    /// Neighbours that are looked at: the nearest.
    pub top_k: usize,
    /// Most steps.
    pub max_steps: usize,
}

impl Default for WalkOptions {
    /// Coherence above 0.5, 10 neighbours, 100 steps.
    fn default() -> Self {
        Self { threshold: 0.5, top_k: 10, max_steps: 100 }
    }
}

impl Graph {
    /// The graph on `n` patches with these edges, both ways. Of an edge that is there twice the larger weight counts; an edge from a
    /// patch to itself is left out.
    ///
    /// # Panics
    ///
    /// Panics when an edge leads to a patch that is not there.
    pub fn from_edges(n: usize, edges: impl IntoIterator<Item = (u32, u32, f32)>) -> Self {
        let mut all: Vec<(u32, u32, f32)> = edges
            .into_iter()
            .filter(|(a, b, _)| a != b)
            .flat_map(|(a, b, weight)| [(a, b, weight), (b, a, weight)])
            .collect();
        all.par_sort_unstable_by(|x, y| (x.0, x.1).cmp(&(y.0, y.1)).then(y.2.total_cmp(&x.2)));
        all.dedup_by_key(|edge| (edge.0, edge.1));
        assert!(all.last().is_none_or(|edge| (edge.0 as usize) < n), "an edge to a patch that is not there");
        let mut offsets = vec![0; n + 1];
        all.iter().for_each(|edge| offsets[edge.0 as usize + 1] += 1);
        (0..n).for_each(|i| offsets[i + 1] += offsets[i]);
        Self {
            offsets,
            targets: all.iter().map(|edge| edge.1).collect(),
            weights: all.iter().map(|edge| edge.2).collect(),
        }
    }

    /// Number of patches.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no patches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of edges, each counted once.
    pub fn n_edges(&self) -> usize {
        self.targets.len() / 2
    }

    /// Neighbours of a patch, ascending, with weights.
    pub fn neighbours(&self, patch: u32) -> impl Iterator<Item = (u32, f32)> {
        let edges = self.offsets[patch as usize]..self.offsets[patch as usize + 1];
        self.targets[edges.clone()].iter().copied().zip(self.weights[edges].iter().copied())
    }

    /// All edges `(a, b, weight)` with `a < b`, ascending.
    pub fn edges(&self) -> impl Iterator<Item = (u32, u32, f32)> {
        (0..self.len() as u32)
            .flat_map(|a| self.neighbours(a).filter(move |&(b, _)| a < b).map(move |(b, weight)| (a, b, weight)))
    }

    /// Edges on the shortest way from `start` to each patch, up to `most`; `None` beyond.
    pub fn hops(&self, start: u32, most: u32) -> Vec<Option<u32>> {
        let mut hops = vec![None; self.len()];
        hops[start as usize] = Some(0);
        let mut open = VecDeque::from([(start, 0)]);
        while let Some((patch, distance)) = open.pop_front() {
            if distance == most {
                continue;
            }
            for (next, _) in self.neighbours(patch) {
                if hops[next as usize].is_none() {
                    hops[next as usize] = Some(distance + 1);
                    open.push_back((next, distance + 1));
                }
            }
        }
        hops
    }
}

impl CapTree<'_> {
    /// The graph that joins each patch with its `k` nearest others, weighted by their cosines.
    pub fn knn_graph(&self, k: usize, effort: Effort) -> Graph {
        let (rows, dim) = (self.rows(), self.rows().dim());
        let mut edges = Vec::new();
        for patches in self.parts().order.chunks(TOGETHER) {
            let queries: Vec<f32> = patches.iter().flat_map(|&id| rows.row(id as usize)).copied().collect();
            let found = self.knn_many(Rows::new(&queries, dim), k.saturating_add(1), effort);
            for (&id, near) in patches.iter().zip(found.expect("patches in the tree have a direction")) {
                let others = near.into_iter().filter(|other| other.id != id).take(k);
                edges.extend(others.map(|other| (id, other.id, other.cosine)));
            }
        }
        Graph::from_edges(rows.len(), edges)
    }

    /// A greedy walk: from `start`, again and again to the most coherent of the nearest others that was not visited, as long as its
    /// coherence is above the threshold. Ties go to the smaller patch. The patches visited, `start` first.
    ///
    /// # Errors
    ///
    /// [`QueryError`] when `start` has no direction.
    ///
    /// # Panics
    ///
    /// Panics when `coherence` is not one number a patch, or there is no patch `start`.
    pub fn walk(&self, coherence: &[f64], start: u32, options: &WalkOptions) -> Result<Vec<u32>, QueryError> {
        assert_eq!(coherence.len(), self.rows().len(), "coherence is one number a patch");
        let mut visited = vec![false; self.rows().len()];
        visited[start as usize] = true;
        let mut path = vec![start];
        while path.len() <= options.max_steps {
            let last = path[path.len() - 1];
            let near = self.knn(self.rows().row(last as usize), options.top_k.saturating_add(1), Effort::Exact)?;
            let others = near.iter().map(|other| other.id).filter(|&other| other != last).take(options.top_k);
            let best = others
                .filter(|&patch| !visited[patch as usize] && coherence[patch as usize] > options.threshold)
                .min_by(|&a, &b| coherence[b as usize].total_cmp(&coherence[a as usize]).then(a.cmp(&b)));
            let Some(next) = best else { break };
            visited[next as usize] = true;
            path.push(next);
        }
        Ok(path)
    }
}
