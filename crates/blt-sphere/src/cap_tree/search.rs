//! Nearest neighbours and cones: best-first over the caps, and by looking at every row.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::f64::consts::PI;

use rayon::prelude::*;

use super::nearest::Nearest;
use super::{CapTree, Effort, Neighbour};
use crate::Rows;
use crate::cosine::{dot, dot_two, rounding, squared_chord, unit};
use crate::parallel::map_chunks;

/// A search that has looked at one patch in this many has no use of the tree: it goes on by looking at every row, in order.
const GIVES_UP_AFTER: usize = 8;
/// Queries that look at rows together.
const BLOCK: usize = 64;
/// Leaves that a query of a group looks at beforehand.
const FIRST_LEAVES: usize = 4;

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A query of another width than the rows.
    #[error("the query has {found} numbers, the rows have {expected}")]
    Dim {
        /// The query's.
        found: usize,
        /// The rows'.
        expected: usize,
    },
    /// A zero vector, or one with a NaN or an infinity, points nowhere.
    #[error("the query has no direction")]
    NoDirection,
    /// An angle that is not between 0 and pi.
    #[error("a cone's half angle is between 0 and pi")]
    HalfAngle,
}

/// A node that may hold results. The one to be opened first is the greatest.
#[derive(PartialEq)]
struct Candidate {
    /// The bound, or the centroid's cosine where a beam goes by that.
    priority: f64,
    centroid: f32,
    /// The largest cosine that a member can have.
    bound: f64,
    node: u32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let ascending = self.priority.total_cmp(&other.priority).then(self.centroid.total_cmp(&other.centroid));
        ascending.then(other.node.cmp(&self.node))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl CapTree<'_> {
    /// The `k` patches nearest to `query` by angle, nearest first, ties by id; fewer when there are no more.
    ///
    /// # Errors
    ///
    /// [`QueryError`] when the query is of another width or has no direction.
    pub fn knn(&self, query: &[f32], k: usize, effort: Effort) -> Result<Vec<Neighbour>, QueryError> {
        let query = self.query(query)?;
        Ok(match self.best_first(&query, k, effort) {
            Some(nearest) => nearest,
            None => self.scan(&[&query], k).pop().unwrap_or_default(),
        })
    }

    /// [`CapTree::knn`] of each of `queries`, on all threads. Many queries together are several times faster than one by one.
    ///
    /// # Errors
    ///
    /// [`QueryError`] of the first query that has one.
    pub fn knn_many(&self, queries: Rows<'_>, k: usize, effort: Effort) -> Result<Vec<Vec<Neighbour>>, QueryError> {
        let units: Vec<Vec<f32>> = (0..queries.len()).map(|i| self.query(queries.row(i))).collect::<Result<_, _>>()?;
        // Queries that look at the same nodes do so together: each node is read once for all of them.
        let mut by_leaf: Vec<(u32, usize)> =
            units.par_iter().enumerate().map(|(i, query)| (self.nearest_leaf(query), i)).collect();
        by_leaf.sort_unstable();
        let nearest: Vec<Vec<Vec<Neighbour>>> = by_leaf
            .par_chunks(BLOCK)
            .map(|group| {
                let queries = group.iter().map(|&(_, i)| units[i].as_slice());
                match effort {
                    Effort::Exact => Group::search(self, queries.collect(), k),
                    Effort::Beam(_) => {
                        queries.map(|query| self.best_first(query, k, effort).unwrap_or_default()).collect()
                    }
                }
            })
            .collect();
        let mut found = vec![Vec::new(); units.len()];
        by_leaf.into_iter().zip(nearest.into_iter().flatten()).for_each(|((_, i), nearest)| found[i] = nearest);
        Ok(found)
    }

    /// What [`CapTree::knn_many`] finds, by looking at every row: the referee of the tree.
    ///
    /// # Errors
    ///
    /// As [`CapTree::knn_many`].
    pub fn knn_brute_force(&self, queries: Rows<'_>, k: usize) -> Result<Vec<Vec<Neighbour>>, QueryError> {
        let units: Vec<Vec<f32>> = (0..queries.len()).map(|i| self.query(queries.row(i))).collect::<Result<_, _>>()?;
        let units: Vec<&[f32]> = units.iter().map(Vec::as_slice).collect();
        Ok(units.chunks(BLOCK).flat_map(|block| self.scan(block, k)).collect())
    }

    /// Patches whose angle to `query` is at most `half_angle`, nearest first, ties by id. 0 finds those of the very same
    /// direction, pi all that have one.
    ///
    /// # Errors
    ///
    /// [`QueryError`] when the query is of another width or has no direction, or the angle is not in [0, pi].
    pub fn cone(&self, query: &[f32], half_angle: f64) -> Result<Vec<Neighbour>, QueryError> {
        let (unit, cone) = (self.query(query)?, Cone::new(query, half_angle, self.rows.dim())?);
        let mut found = Vec::new();
        let mut looked_at = 0;
        let mut stack: Vec<u32> = if self.is_empty() { Vec::new() } else { vec![0] };
        while let Some(node) = stack.pop() {
            if self.bound(dot(self.centroid(node as usize), &unit), node) < cone.cosine {
                continue;
            }
            if let Some(children) = self.parts.nodes[node as usize].children {
                stack.extend(children);
                looked_at += children.len();
                continue;
            }
            let members = self.members(node as usize);
            found.extend(members.iter().filter_map(|&id| self.in_cone(&unit, &cone, id)));
            looked_at += members.len();
            if looked_at > self.len() / GIVES_UP_AFTER && !stack.is_empty() {
                return Ok(self.scan_cone(&unit, &cone));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// What [`CapTree::cone`] finds, by looking at every row.
    ///
    /// # Errors
    ///
    /// As [`CapTree::cone`].
    pub fn cone_brute_force(&self, query: &[f32], half_angle: f64) -> Result<Vec<Neighbour>, QueryError> {
        let (unit, cone) = (self.query(query)?, Cone::new(query, half_angle, self.rows.dim())?);
        Ok(self.scan_cone(&unit, &cone))
    }

    fn scan_cone(&self, unit: &[f32], cone: &Cone<'_>) -> Vec<Neighbour> {
        let with_direction = |id: &usize| self.inverse_norms[*id] > 0.0;
        let chunks = map_chunks(self.rows.len(), |range| {
            let members = range.filter(with_direction).filter_map(|id| self.in_cone(unit, cone, id as u32));
            members.collect::<Vec<_>>()
        });
        let mut found = chunks.concat();
        found.sort_unstable();
        found
    }

    fn in_cone(&self, unit: &[f32], cone: &Cone<'_>, id: u32) -> Option<Neighbour> {
        let neighbour = self.score(unit, id);
        cone.holds(f64::from(neighbour.cosine), self.rows.row(id as usize)).then_some(neighbour)
    }

    pub(crate) fn query(&self, query: &[f32]) -> Result<Vec<f32>, QueryError> {
        if query.len() != self.rows.dim() {
            return Err(QueryError::Dim { found: query.len(), expected: self.rows.dim() });
        }
        unit(query).ok_or(QueryError::NoDirection)
    }

    /// Cosine of patch `id` with a unit query.
    pub(crate) fn cosine(&self, query: &[f32], id: u32) -> f32 {
        self.score(query, id).cosine
    }

    /// The neighbour that patch `id` is to a unit query.
    fn score(&self, query: &[f32], id: u32) -> Neighbour {
        self.neighbour(id, dot(self.rows.row(id as usize), query))
    }

    fn neighbour(&self, id: u32, product: f32) -> Neighbour {
        Neighbour { id, cosine: (product * self.inverse_norms[id as usize]).clamp(-1.0, 1.0) }
    }

    /// The leaf that one comes to by always going to the child with the nearer centroid; 0 without nodes.
    fn nearest_leaf(&self, query: &[f32]) -> u32 {
        let mut node = 0;
        while let Some([left, right]) = self.parts.nodes.get(node as usize).and_then(|facts| facts.children) {
            let [a, b] = [left, right].map(|child| dot(self.centroid(child as usize), query));
            node = if b > a { right } else { left };
        }
        node
    }

    /// `None` when the tree is of no use: all rows have to be looked at.
    fn best_first(&self, query: &[f32], k: usize, effort: Effort) -> Option<Vec<Neighbour>> {
        let mut nearest = Nearest::new(k);
        let mut open = BinaryHeap::new();
        if !self.is_empty() && k > 0 {
            open.push(self.candidate(query, 0, effort));
        }
        let (mut leaves, mut looked_at) = (0, 0);
        while let Some(Candidate { bound, node, .. }) = open.pop() {
            if bound < f64::from(nearest.threshold()) {
                match effort {
                    Effort::Exact => break,
                    Effort::Beam(_) => continue,
                }
            }
            if let Some(children) = self.parts.nodes[node as usize].children {
                looked_at += children.len();
                open.extend(children.map(|child| self.candidate(query, child, effort)));
                continue;
            }
            for &id in self.members(node as usize) {
                nearest.offer(self.score(query, id));
            }
            leaves += 1;
            looked_at += self.members(node as usize).len();
            match effort {
                Effort::Beam(most) if leaves >= most => break,
                Effort::Exact if looked_at > self.len() / GIVES_UP_AFTER && !open.is_empty() => return None,
                _ => {}
            }
        }
        Some(nearest.into_sorted())
    }

    fn candidate(&self, query: &[f32], node: u32, effort: Effort) -> Candidate {
        let centroid = dot(self.centroid(node as usize), query);
        let bound = self.bound(centroid, node);
        let priority = match effort {
            Effort::Exact => bound,
            Effort::Beam(_) => f64::from(centroid),
        };
        Candidate { priority, centroid, bound, node }
    }

    /// The largest cosine that a search can compute for a member of a node, from the computed cosine of query and centroid.
    fn bound(&self, centroid: f32, node: u32) -> f64 {
        let slack = rounding(self.rows.dim());
        let angle = (f64::from(centroid) + slack).clamp(-1.0, 1.0).acos();
        (angle - self.parts.nodes[node as usize].cap_angle).max(0.0).cos() + slack
    }

    /// The nearest of all rows to each of `queries`.
    fn scan(&self, queries: &[&[f32]], k: usize) -> Vec<Vec<Neighbour>> {
        let chunks = map_chunks(self.rows.len(), |range| {
            let mut nearest: Vec<Nearest> = queries.iter().map(|_| Nearest::new(k)).collect();
            for id in range {
                if self.inverse_norms[id] == 0.0 {
                    continue;
                }
                let row = self.rows.row(id);
                for (pair, nearest) in queries.chunks(2).zip(nearest.chunks_mut(2)) {
                    let products = match pair {
                        [one, two] => dot_two(row, [one, two]),
                        [one, ..] => [dot(row, one); 2],
                        [] => continue,
                    };
                    for (nearest, product) in nearest.iter_mut().zip(products) {
                        nearest.offer(self.neighbour(id as u32, product));
                    }
                }
            }
            nearest
        });
        let mut all: Vec<Nearest> = queries.iter().map(|_| Nearest::new(k)).collect();
        for chunk in chunks {
            all.iter_mut().zip(chunk).for_each(|(all, nearest)| all.merge(nearest));
        }
        all.into_iter().map(Nearest::into_sorted).collect()
    }
}

/// Queries on their way through the tree together, depth first.
struct Group<'t> {
    tree: &'t CapTree<'t>,
    queries: Vec<&'t [f32]>,
    /// The cosine of a `k`-th neighbour of each query among a few patches: what is below is not among the nearest of all.
    floors: Vec<f64>,
    nearest: Vec<Nearest>,
}

impl<'t> Group<'t> {
    fn search(tree: &'t CapTree<'t>, queries: Vec<&'t [f32]>, k: usize) -> Vec<Vec<Neighbour>> {
        let floor = |query: &&[f32]| {
            let some = tree.best_first(query, k, Effort::Beam(FIRST_LEAVES)).unwrap_or_default();
            some.last().filter(|_| some.len() == k).map_or(f64::NEG_INFINITY, |near| f64::from(near.cosine))
        };
        let floors = queries.iter().map(floor).collect();
        let nearest = queries.iter().map(|_| Nearest::new(k)).collect();
        let all: Vec<usize> = (0..queries.len()).collect();
        let mut group = Self { tree, queries, floors, nearest };
        if !tree.is_empty() && k > 0 {
            group.descend(0, &all);
        }
        group.nearest.into_iter().map(Nearest::into_sorted).collect()
    }

    /// Looks into `node` with those of the queries that may find something there.
    fn descend(&mut self, node: u32, active: &[usize]) {
        let Some(children) = self.tree.parts.nodes[node as usize].children else { return self.look_at(node, active) };
        let cosines = children.map(|child| self.products(self.tree.centroid(child as usize), active));
        let sums = [0, 1].map(|side| cosines[side].iter().sum::<f32>());
        for side in if sums[1] > sums[0] { [1, 0] } else { [0, 1] } {
            let may_find = |&(&query, &cosine): &(&usize, &f32)| {
                let least = self.floors[query].max(f64::from(self.nearest[query].threshold()));
                self.tree.bound(cosine, children[side]) >= least
            };
            let left: Vec<usize> =
                active.iter().zip(&cosines[side]).filter(may_find).map(|(&query, _)| query).collect();
            if !left.is_empty() {
                self.descend(children[side], &left);
            }
        }
    }

    fn look_at(&mut self, leaf: u32, active: &[usize]) {
        let tree = self.tree;
        for &id in tree.members(leaf as usize) {
            for (&query, product) in active.iter().zip(self.products(tree.rows.row(id as usize), active)) {
                self.nearest[query].offer(tree.neighbour(id, product));
            }
        }
    }

    /// Products of `vector` with each of the active queries.
    fn products(&self, vector: &[f32], active: &[usize]) -> Vec<f32> {
        let mut products = Vec::with_capacity(active.len());
        for pair in active.chunks(2) {
            match *pair {
                [one, two] => products.extend(dot_two(vector, [self.queries[one], self.queries[two]])),
                [one, ..] => products.push(dot(vector, self.queries[one])),
                [] => {}
            }
        }
        products
    }
}

/// A cone around a query. Cosines of single precision decide what lies well inside or outside, chords of double precision the rest.
struct Cone<'q> {
    query: &'q [f32],
    half_angle: f64,
    squared_chord: f64,
    cosine: f64,
    slack: f64,
}

impl<'q> Cone<'q> {
    fn new(query: &'q [f32], half_angle: f64, dim: usize) -> Result<Self, QueryError> {
        if !(0.0..=PI).contains(&half_angle) {
            return Err(QueryError::HalfAngle);
        }
        let squared_chord = (2.0 * (half_angle / 2.0).sin()).powi(2);
        Ok(Self { query, half_angle, squared_chord, cosine: half_angle.cos() - rounding(dim), slack: rounding(dim) })
    }

    fn holds(&self, cosine: f64, row: &[f32]) -> bool {
        let over = cosine - self.half_angle.cos();
        if over.abs() > self.slack {
            return over > 0.0;
        }
        self.half_angle >= PI || squared_chord(self.query, row) <= self.squared_chord
    }
}
