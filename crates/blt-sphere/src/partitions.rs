//! Partitions: the nodes at which a cap tree is cut off to give a coarse map of everything, small enough to be looked at whole.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::cap_tree::{CapTree, QueryError, range};
use crate::cosine::{dot, unit};
use crate::{Places, Rows, angles_of};

/// The partitions of a cap tree, in the tree's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Partitions {
    /// What each holds.
    pub partitions: Vec<Partition>,
    /// Unit vectors, `[partitions, dim]`.
    pub centroids: Vec<f32>,
    /// Numbers in a centroid.
    pub dim: usize,
}

/// What a partition holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Partition {
    /// The tree's node.
    pub node: u32,
    /// Number of its patches.
    pub n_members: u32,
    /// The zone of all its patches; `None` when they are of several.
    pub zone: Option<u8>,
    /// Smallest and largest radius.
    pub radius: [f64; 2],
    /// Smallest and largest prominence.
    pub prominence: [f64; 2],
    /// Mean prominence, NaN prominences passed over; NaN when there is no other.
    pub prominence_mean: f64,
    /// Standard deviation of the prominences around their mean.
    pub prominence_sd: f64,
    /// Polar angle and azimuth of the mean direction on the sphere; `None` when the directions cancel.
    pub direction: Option<(f64, f64)>,
    /// How often each byte occurs in its patches, as far as [`Partitions::count_bytes`] was told.
    pub byte_counts: Box<[u64; 256]>,
}

/// Two partitions with similar centroids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SemanticEdge {
    /// The smaller partition.
    pub a: u32,
    /// The larger one.
    pub b: u32,
    /// Cosine of their centroids.
    pub cosine: f32,
}

impl CapTree<'_> {
    /// The `k` partitions that one gets by cutting the largest node in two again and again; nodes of several zones are cut before
    /// all others. Fewer when all are leaves or a half would hold less than `min_size` patches.
    pub fn partitions(&self, places: Places<'_>, k: usize, min_size: u32) -> Partitions {
        let nodes = self.frontier(k, min_size);
        Partitions {
            partitions: nodes.iter().map(|&node| self.partition(node, places)).collect(),
            centroids: nodes.iter().flat_map(|&node| self.centroid(node as usize)).copied().collect(),
            dim: self.rows().dim(),
        }
    }

    fn frontier(&self, k: usize, min_size: u32) -> Vec<u32> {
        let nodes = &self.parts().nodes;
        let rank = |node: u32| (nodes[node as usize].zone.is_none(), nodes[node as usize].len, Reverse(node));
        let mut open: BinaryHeap<(bool, u32, Reverse<u32>)> = nodes.first().map(|_| rank(0)).into_iter().collect();
        let mut done = Vec::new();
        while let Some((mixed, _, Reverse(node))) = open.pop() {
            let children = nodes[node as usize].children.filter(|children| {
                open.len() + done.len() + 2 <= k
                    && (mixed || children.iter().all(|&child| nodes[child as usize].len >= min_size))
            });
            match children {
                Some(children) => open.extend(children.map(rank)),
                None => done.push(node),
            }
        }
        done.sort_by_key(|&node| nodes[node as usize].first);
        done
    }

    fn partition(&self, node: u32, places: Places<'_>) -> Partition {
        let facts = &self.parts().nodes[node as usize];
        let members = self.members(node as usize);
        let prominences: Vec<f64> = members
            .iter()
            .map(|&id| f64::from(places.prominence[id as usize]))
            .filter(|prominence| !prominence.is_nan())
            .collect();
        let mean = prominences.iter().sum::<f64>() / prominences.len() as f64;
        let variance = prominences.iter().map(|p| (p - mean).powi(2)).sum::<f64>() / prominences.len() as f64;
        let sum = members
            .iter()
            .filter_map(|&id| places.direction(id as usize))
            .fold([0.0; 3], |sum, u| [sum[0] + u[0], sum[1] + u[1], sum[2] + u[2]]);
        Partition {
            node,
            n_members: facts.len,
            zone: facts.zone,
            radius: facts.radius,
            prominence: range(prominences.iter().copied()),
            prominence_mean: mean,
            prominence_sd: variance.sqrt(),
            direction: (sum.iter().map(|x| x * x).sum::<f64>() > 1e-24 * f64::from(facts.len)).then(|| angles_of(sum)),
            byte_counts: Box::new([0; 256]),
        }
    }
}

impl Partitions {
    /// The partition of each of `n` patches; `None` for those without a direction.
    pub fn of_patches(&self, tree: &CapTree<'_>) -> Vec<Option<u32>> {
        let mut of = vec![None; tree.rows().len()];
        for (k, partition) in self.partitions.iter().enumerate() {
            tree.members(partition.node as usize).iter().for_each(|&id| of[id as usize] = Some(k as u32));
        }
        of
    }

    /// The partition of each node of the tree; `None` above the partitions.
    pub fn of_nodes(&self, tree: &CapTree<'_>) -> Vec<Option<u32>> {
        let nodes = &tree.parts().nodes;
        let mut of: Vec<Option<u32>> = vec![None; nodes.len()];
        for (k, partition) in self.partitions.iter().enumerate() {
            of[partition.node as usize] = Some(k as u32);
        }
        for node in 0..nodes.len() {
            of[node] = of[node].or_else(|| of[nodes[node].parent? as usize]);
        }
        of
    }

    /// Counts the bytes of a patch of partition `partition`.
    pub fn count_bytes(&mut self, partition: u32, bytes: &[u8]) {
        let counts = &mut self.partitions[partition as usize].byte_counts;
        bytes.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    }

    /// Cosine of each centroid with a query.
    ///
    /// # Errors
    ///
    /// [`QueryError`] when the query is of another width or has no direction.
    pub fn activate(&self, query: &[f32]) -> Result<Vec<f32>, QueryError> {
        if query.len() != self.dim {
            return Err(QueryError::Dim { found: query.len(), expected: self.dim });
        }
        let query = unit(query).ok_or(QueryError::NoDirection)?;
        Ok(self.centroids.chunks_exact(self.dim).map(|centroid| dot(centroid, &query).clamp(-1.0, 1.0)).collect())
    }

    /// Probability of each partition for a query: softmax of `ln n_k - ||q - c_k||^2 / temperature`, both vectors of length 1 and
    /// `n_k` the number of members.
    ///
    /// # Errors
    ///
    /// As [`Partitions::activate`].
    ///
    /// # Panics
    ///
    /// Panics unless `temperature` is above 0.
    pub fn route(&self, query: &[f32], temperature: f64) -> Result<Vec<f64>, QueryError> {
        assert!(temperature > 0.0, "a temperature is above 0");
        let score = |(cosine, partition): (f32, &Partition)| {
            f64::from(partition.n_members).ln() - (2.0 - 2.0 * f64::from(cosine)) / temperature
        };
        let scores: Vec<f64> = self.activate(query)?.into_iter().zip(&self.partitions).map(score).collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
        let sum: f64 = weights.iter().sum();
        Ok(weights.into_iter().map(|weight| weight / sum).collect())
    }

    /// The most active partitions, most active first: those of at least `threshold` whose centroid is more than `separation` radians
    /// away from that of each partition taken before; at most `most`.
    ///
    /// # Panics
    ///
    /// Panics when `activations` are not one a partition.
    pub fn peaks(&self, activations: &[f32], threshold: f32, separation: f64, most: usize) -> Vec<u32> {
        assert_eq!(activations.len(), self.partitions.len(), "activations of other partitions");
        let mut ranked: Vec<u32> =
            (0..activations.len() as u32).filter(|&k| activations[k as usize] >= threshold).collect();
        ranked.sort_by(|&a, &b| activations[b as usize].total_cmp(&activations[a as usize]).then(a.cmp(&b)));
        let mut kept: Vec<u32> = Vec::new();
        for k in ranked {
            if kept.len() < most && kept.iter().all(|&other| self.angle(k, other) > separation) {
                kept.push(k);
            }
        }
        kept
    }

    /// Pairs of partitions of which one is among the `top` nearest of the other and whose cosine is `least` or more, ascending.
    pub fn semantic_edges(&self, top: usize, least: f32) -> Vec<SemanticEdge> {
        let mut edges = Vec::new();
        for k in 0..self.partitions.len() as u32 {
            let cosine = |other: u32| dot(self.centroid(k), self.centroid(other)).clamp(-1.0, 1.0);
            let mut others: Vec<(u32, f32)> = (0..self.partitions.len() as u32)
                .filter(|&other| other != k)
                .map(|other| (other, cosine(other)))
                .filter(|&(_, cosine)| cosine >= least)
                .collect();
            others.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let edge = |&(other, cosine): &(u32, f32)| SemanticEdge { a: k.min(other), b: k.max(other), cosine };
            edges.extend(others.iter().take(top).map(edge));
        }
        edges.sort_by_key(|edge| (edge.a, edge.b));
        edges.dedup_by_key(|edge| (edge.a, edge.b));
        edges
    }

    /// Unit centroid of partition `k`, `[dim]`.
    pub fn centroid(&self, k: u32) -> &[f32] {
        Rows::new(&self.centroids, self.dim).row(k as usize)
    }

    fn angle(&self, a: u32, b: u32) -> f64 {
        let squared: f64 = self.centroid(a).iter().zip(self.centroid(b)).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        2.0 * (squared.sqrt() / 2.0).min(1.0).asin()
    }
}
