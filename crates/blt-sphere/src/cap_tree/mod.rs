//! The cap tree: a ball tree on unit vectors, for exact nearest neighbours and cones in the space of the embeddings.
//!
//! A node is a spherical cap that holds its patches: a unit centroid and the largest angle to a member. No member is nearer to a
//! query than the angle to the centroid less that of the cap (triangle inequality), so whole nodes are passed over without loss.
//! In many dimensions caps of unstructured data approach a right angle and pass over nothing; on clustered data they do.
//!
//! Sources: Omohundro, "Five balltree construction algorithms", 1989; Schubert, "A triangle inequality for cosine similarity",
//! 2021. The rows are borrowed and never copied; a patch without a direction (a zero vector, a NaN) is in no node.

mod nearest;
mod parts;
mod search;
mod split;

pub use nearest::{Effort, Neighbour};
pub use parts::{PartsError, TreeNode, TreeParts};
pub use search::QueryError;

use rayon::prelude::*;

use crate::cosine::{dot, inverse_norms, rounding};
use crate::parallel::map_chunks;
use crate::random;
use crate::{Places, Rows};
use split::Draft;

/// How a node is cut in two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartitionRule {
    /// Spherical 2-means: at most 8 Lloyd iterations from a pair of far points. Where one side of more than 4096 patches is over 4
    /// times the other, [`PartitionRule::MaxCut`].
    #[default]
    Caps,
    /// Ising ground state with couplings equal to the cosines and no magnetisation: two halves of equal size that are similar
    /// inside. Upstream calls it max-cut; with these couplings it is the balanced minimum cut.
    MaxCut,
    /// At the median of the coordinate in which the directions vary most.
    Axis,
    /// [`PartitionRule::Axis`] for more than 4096 patches, [`PartitionRule::MaxCut`] below.
    Hybrid,
}

/// How a tree is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeOptions {
    /// How a node is cut in two.
    pub partition: PartitionRule,
    /// Most patches in a leaf; 0 counts as 1.
    pub leaf_size: u32,
}

impl Default for TreeOptions {
    /// Caps, 32 patches a leaf.
    fn default() -> Self {
        Self { partition: PartitionRule::Caps, leaf_size: 32 }
    }
}

/// An index of rows by direction.
#[derive(Debug, Clone)]
pub struct CapTree<'a> {
    rows: Rows<'a>,
    /// One over the norm of each row, 0 without a direction.
    inverse_norms: Vec<f32>,
    parts: TreeParts,
}

impl<'a> CapTree<'a> {
    /// Builds the tree of the directions of `rows`. The nodes of the first levels separate the zones, so that every other node
    /// is of one zone. Memory beside the rows: about `4 * dim` bytes for each node, of which there are about `n / 10`.
    ///
    /// # Panics
    ///
    /// Panics when `places` are not of as many patches as `rows`, or there are more than 2^31.
    pub fn build(rows: Rows<'a>, places: Places<'_>, options: TreeOptions) -> Self {
        assert_eq!(rows.len(), places.len(), "places of other patches");
        assert!(rows.len() <= 1 << 31, "more than 2^31 patches");
        let inverse_norms = inverse_norms(rows);
        let (mut order, left_out): (Vec<u32>, Vec<u32>) =
            (0..rows.len() as u32).partition(|&id| inverse_norms[id as usize] > 0.0);
        order.sort_by_key(|&id| places.zones[id as usize]);

        let splitter = split::Splitter { rows, inverse_norms: &inverse_norms, zones: places.zones, options };
        let drafts = if order.is_empty() { Vec::new() } else { splitter.topology(&mut order) };
        let centroids = centroids(rows, &inverse_norms, &order, &drafts);
        let mut nodes = describe(&drafts, &order, places);
        for (node, cosine) in nodes.iter_mut().zip(cap_cosines(rows, &inverse_norms, &order, &drafts, &centroids)) {
            node.cap_angle = (f64::from(cosine) - rounding(rows.dim())).clamp(-1.0, 1.0).acos();
        }
        let fingerprint = fingerprint(rows, places);
        let parts = TreeParts { dim: rows.dim(), options, nodes, centroids, order, left_out, fingerprint };
        Self { rows, inverse_norms, parts }
    }

    /// A tree from its stored parts.
    ///
    /// # Errors
    ///
    /// [`PartsError`] when they are no tree over these rows. Whether the caps still hold the rows is not looked at: ask
    /// [`CapTree::is_stale`].
    pub fn from_parts(rows: Rows<'a>, parts: TreeParts) -> Result<Self, PartsError> {
        let inverse_norms = inverse_norms(rows);
        parts.check(rows.dim(), &inverse_norms)?;
        Ok(Self { rows, inverse_norms, parts })
    }

    /// The nodes, centroids and order, to be stored.
    pub fn parts(&self) -> &TreeParts {
        &self.parts
    }

    /// The parts of a tree that is needed no longer.
    pub fn into_parts(self) -> TreeParts {
        self.parts
    }

    /// The indexed rows.
    pub fn rows(&self) -> Rows<'a> {
        self.rows
    }

    /// Number of patches in the tree: those with a direction.
    pub fn len(&self) -> usize {
        self.parts.order.len()
    }

    /// Whether no patch has a direction.
    pub fn is_empty(&self) -> bool {
        self.parts.order.is_empty()
    }

    /// Patches of node `node`.
    pub fn members(&self, node: usize) -> &[u32] {
        let node = &self.parts.nodes[node];
        &self.parts.order[node.first as usize..(node.first + node.len) as usize]
    }

    /// Unit centroid of node `node`, `[dim]`.
    pub fn centroid(&self, node: usize) -> &[f32] {
        self.parts.centroid(node)
    }

    /// The first node that is the leaf of a patch outside of the cap of that leaf or of a node above it; `None` in a sound tree. What a
    /// search passes over by such a cap, it may miss.
    pub fn broken_leaf(&self) -> Option<usize> {
        let nodes = &self.parts.nodes;
        let sound = |node: usize| {
            let path = std::iter::successors(Some(node), |&node| nodes[node].parent.map(|parent| parent as usize));
            path.into_iter().all(|cap| {
                let least = nodes[cap].cap_angle.cos() - rounding(self.rows.dim());
                let holds = |&id: &u32| f64::from(self.cosine(self.centroid(cap), id)) >= least;
                self.members(node).iter().all(holds)
            })
        };
        (0..nodes.len()).into_par_iter().find_first(|&node| nodes[node].children.is_none() && !sound(node))
    }

    /// Whether rows, radii, prominences or zones are others than those the tree was built from. Reads all rows.
    pub fn is_stale(&self, places: Places<'_>) -> bool {
        places.len() != self.rows.len() || fingerprint(self.rows, places) != self.parts.fingerprint
    }
}

/// A hash of all that a tree depends on.
fn fingerprint(rows: Rows<'_>, places: Places<'_>) -> u64 {
    let chunks = map_chunks(rows.len(), |range| {
        range.fold(0, |hash, i| {
            let row = rows.row(i).iter().fold(hash, |hash: u64, x| {
                (hash.rotate_left(5) ^ u64::from(x.to_bits())).wrapping_mul(0x9E37_79B9_7F4A_7C15)
            });
            let scalars = [places.radii[i].to_bits(), u64::from(places.prominence[i].to_bits())];
            scalars.into_iter().fold(row, |hash, bits| random::bits(hash, bits, u64::from(places.zones[i])))
        })
    });
    chunks.into_iter().fold(rows.dim() as u64, |hash, chunk| random::bits(hash, chunk, 0))
}

/// Unit mean directions of the drafted nodes, `[nodes, dim]`: the members' sums in the leaves, the children's sums above. A sum
/// that cancels to nothing gives way to the first member's direction.
fn centroids(rows: Rows<'_>, inverse_norms: &[f32], order: &[u32], drafts: &[Draft]) -> Vec<f32> {
    let dim = rows.dim();
    let mut sums = vec![0.0f32; drafts.len() * dim];
    sums.par_chunks_mut(dim).zip(drafts).filter(|(_, draft)| draft.children.is_none()).for_each(|(sum, draft)| {
        for &id in draft.members(order) {
            add_scaled(sum, rows.row(id as usize), inverse_norms[id as usize]);
        }
    });
    for (node, draft) in drafts.iter().enumerate().rev() {
        let Some(children) = draft.children else { continue };
        let (head, tail) = sums.split_at_mut((node + 1) * dim);
        for child in children {
            let start = (child as usize - node - 1) * dim;
            add_scaled(&mut head[node * dim..], &tail[start..start + dim], 1.0);
        }
    }
    sums.par_chunks_mut(dim).zip(drafts).for_each(|(sum, draft)| {
        let unit = crate::cosine::unit(sum)
            .or_else(|| crate::cosine::unit(rows.row(draft.members(order)[0] as usize)))
            .expect("members have a direction");
        sum.copy_from_slice(&unit);
    });
    sums
}

fn add_scaled(sum: &mut [f32], row: &[f32], factor: f32) {
    for (sum, &x) in sum.iter_mut().zip(row) {
        *sum += x * factor;
    }
}

/// Smallest computed cosine between each node's centroid and a member. Goes leaf by leaf, so that a row is read once for all
/// the nodes that hold it.
fn cap_cosines(rows: Rows<'_>, inverse_norms: &[f32], order: &[u32], drafts: &[Draft], centroids: &[f32]) -> Vec<f32> {
    let dim = rows.dim();
    let leaves: Vec<usize> = (0..drafts.len()).filter(|&node| drafts[node].children.is_none()).collect();
    let per_leaf: Vec<Vec<(usize, f32)>> = leaves
        .par_iter()
        .map(|&leaf| {
            let path = std::iter::successors(Some(leaf), |&node| drafts[node].parent.map(|parent| parent as usize));
            let mut path: Vec<(usize, f32)> = path.map(|node| (node, 1.0)).collect();
            for &id in drafts[leaf].members(order) {
                let row = rows.row(id as usize);
                for (node, least) in &mut path {
                    let cosine = dot(&centroids[*node * dim..(*node + 1) * dim], row) * inverse_norms[id as usize];
                    *least = least.min(cosine);
                }
            }
            path
        })
        .collect();
    let mut least = vec![1.0f32; drafts.len()];
    for (node, cosine) in per_leaf.into_iter().flatten() {
        least[node] = least[node].min(cosine);
    }
    least
}

/// Nodes with their ranges, caps still missing.
fn describe(drafts: &[Draft], order: &[u32], places: Places<'_>) -> Vec<TreeNode> {
    let describe = |draft: &Draft| {
        let members = draft.members(order);
        let zone = places.zones[members[0] as usize];
        TreeNode {
            parent: draft.parent,
            children: draft.children,
            first: draft.first,
            len: draft.len,
            cap_angle: 0.0,
            radius: range(members.iter().map(|&id| places.radii[id as usize])),
            prominence: range(members.iter().map(|&id| f64::from(places.prominence[id as usize]))),
            zone: members.iter().all(|&id| places.zones[id as usize] == zone).then_some(zone),
        }
    };
    drafts.par_iter().map(describe).collect()
}

/// Smallest and largest of the numbers that are not NaN; infinities the wrong way round when there is none.
pub(crate) fn range(values: impl Iterator<Item = f64>) -> [f64; 2] {
    values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)])
}
