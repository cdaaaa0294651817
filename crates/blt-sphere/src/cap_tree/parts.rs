//! A tree as plain arrays, as it is stored, and what has to hold of arrays that come back.

use super::TreeOptions;

/// A node: a run of the tree's order of patches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TreeNode {
    /// The node that was cut into this one and another; `None` for the root.
    pub parent: Option<u32>,
    /// The two nodes it was cut into; `None` for a leaf.
    pub children: Option<[u32; 2]>,
    /// Where its patches begin in [`TreeParts::order`].
    pub first: u32,
    /// Number of its patches.
    pub len: u32,
    /// Angle between the centroid and the farthest member or more, radians.
    pub cap_angle: f64,
    /// Smallest and largest radius. NaN radii are passed over.
    pub radius: [f64; 2],
    /// Smallest and largest prominence. NaN prominences are passed over.
    pub prominence: [f64; 2],
    /// The zone of all its patches; `None` when they are of several.
    pub zone: Option<u8>,
}

/// A tree as plain arrays: a node with its centroid is a row of the table `roots_tree`, the rest belongs to `roots_meta`.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeParts {
    /// Numbers in a centroid.
    pub dim: usize,
    /// What the tree was built with.
    pub options: TreeOptions,
    /// Nodes, each before its children, the root first; empty when no patch has a direction.
    pub nodes: Vec<TreeNode>,
    /// Unit vectors, `[nodes, dim]`.
    pub centroids: Vec<f32>,
    /// Patches with a direction, leaf by leaf.
    pub order: Vec<u32>,
    /// Patches without a direction, ascending.
    pub left_out: Vec<u32>,
    /// Hash of what the tree was built from.
    pub fingerprint: u64,
}

/// Why arrays are no tree over some rows.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// Vectors of another width.
    #[error("the tree is of {found} dimensions, the rows of {expected}")]
    Dim {
        /// The tree's.
        found: usize,
        /// The rows'.
        expected: usize,
    },
    /// The centroids are not one vector a node, or not all finite.
    #[error("the tree's centroids are not {expected} finite numbers")]
    Centroids {
        /// Nodes times dimensions.
        expected: usize,
    },
    /// `order` and `left_out` are not each patch once, by whether it has a direction.
    #[error("the tree does not hold patch {patch} once, where it belongs")]
    Order {
        /// The first patch that is missing, doubled or misplaced.
        patch: u32,
    },
    /// A node that is no node of a tree.
    #[error("node {node} of the tree {problem}")]
    Node {
        /// Which.
        node: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl PartsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some("the index belongs to other embeddings or is damaged; build it anew")
    }
}

impl TreeParts {
    /// Unit centroid of node `node`, `[dim]`.
    pub(super) fn centroid(&self, node: usize) -> &[f32] {
        &self.centroids[node * self.dim..(node + 1) * self.dim]
    }

    /// Checks that this is a tree over rows of `dim` numbers, of which those with an inverse norm above 0 have a direction.
    pub(super) fn check(&self, dim: usize, inverse_norms: &[f32]) -> Result<(), PartsError> {
        if self.dim != dim {
            return Err(PartsError::Dim { found: self.dim, expected: dim });
        }
        let expected = self.nodes.len().saturating_mul(dim);
        if self.centroids.len() != expected || !self.centroids.iter().all(|x| x.is_finite()) {
            return Err(PartsError::Centroids { expected });
        }
        self.check_order(inverse_norms)?;
        if self.nodes.is_empty() != self.order.is_empty() {
            return Err(PartsError::Node { node: 0, problem: "is missing or too many" });
        }
        let mut parents = vec![None; self.nodes.len()];
        for (node, facts) in self.nodes.iter().enumerate() {
            let problem = |problem| Err(PartsError::Node { node, problem });
            if node > 0 && parents[node].is_none() || facts.parent != parents[node] {
                return problem("is not the child of its parent");
            }
            if node == 0 && (facts.first, facts.len as usize) != (0, self.order.len()) {
                return problem("is a root that does not hold all patches");
            }
            if facts.len == 0 {
                return problem("is empty");
            }
            if !(0.0..=std::f64::consts::PI).contains(&facts.cap_angle) {
                return problem("has an impossible cap");
            }
            let Some([left, right]) = facts.children else { continue };
            for child in [left, right] {
                if child as usize <= node || child as usize >= self.nodes.len() || parents[child as usize].is_some() {
                    return problem("has an impossible child");
                }
                parents[child as usize] = Some(node as u32);
            }
            let [left, right] = [left, right].map(|child| &self.nodes[child as usize]);
            let adjoining = left.first == facts.first && left.first.checked_add(left.len) == Some(right.first);
            if !adjoining || left.len.checked_add(right.len) != Some(facts.len) {
                return problem("is not its children together");
            }
        }
        Ok(())
    }

    fn check_order(&self, inverse_norms: &[f32]) -> Result<(), PartsError> {
        let mut seen = vec![false; inverse_norms.len()];
        for (&patch, inside) in self.order.iter().map(|id| (id, true)).chain(self.left_out.iter().map(|id| (id, false)))
        {
            match seen.get_mut(patch as usize) {
                Some(seen) if !*seen && (inverse_norms[patch as usize] > 0.0) == inside => *seen = true,
                _ => return Err(PartsError::Order { patch }),
            }
        }
        match seen.iter().position(|seen| !seen) {
            Some(patch) => Err(PartsError::Order { patch: patch as u32 }),
            None => Ok(()),
        }
    }
}
