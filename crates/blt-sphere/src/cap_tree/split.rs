//! Where a node is cut: every kind of cut is a direction and a place on it, at 0 or between two halves.

use rayon::prelude::*;

use super::{PartitionRule, TreeOptions};
use crate::Rows;
use crate::cosine::{dot, unit};

/// Members whose directions decide where a node is cut: one in 16 at equal distances, but at least and at most as many as these. In
/// many dimensions a few members of each cluster have to be among them, or the cut follows their noise.
const SAMPLE: std::ops::RangeInclusive<usize> = 512..=16_384;
/// Lloyd iterations, and sweeps of the Ising model; fewer when nothing changes.
const ITERATIONS: usize = 8;
/// A side smaller than one part in five (1:4) makes the cut of a large node a median.
const SMALLEST_SIDE: usize = 5;
/// Up to this size a node may be cut into any parts, so that a few strays do not widen the caps of all that is below it ...
const ANY_PARTS_UP_TO: usize = 4096;
/// ... and up to this depth, so that a tree is never much deeper.
const ANY_PARTS_ABOVE_DEPTH: usize = 48;
/// Nodes above this size are cut along an axis by `PartitionRule::Hybrid`.
const HYBRID_ABOVE: usize = 4096;
/// Members below which a node's two halves are worked on by one thread.
const PARALLEL_ABOVE: usize = 2048;

/// A node before anything is known but its members.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draft {
    pub(super) parent: Option<u32>,
    pub(super) children: Option<[u32; 2]>,
    pub(super) first: u32,
    pub(super) len: u32,
}

impl Draft {
    pub(super) fn members<'o>(&self, order: &'o [u32]) -> &'o [u32] {
        &order[self.first as usize..(self.first + self.len) as usize]
    }
}

/// What cutting needs to know.
pub(super) struct Splitter<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) inverse_norms: &'a [f32],
    pub(super) zones: &'a [u8],
    pub(super) options: TreeOptions,
}

impl Splitter<'_> {
    /// Sorts `order`, which is not empty and sorted by zone, so that each node is a run of it; the nodes, parents first.
    pub(super) fn topology(&self, order: &mut [u32]) -> Vec<Draft> {
        self.subtree(order, 0, 0)
    }

    fn subtree(&self, order: &mut [u32], first: u32, depth: usize) -> Vec<Draft> {
        let len = order.len();
        let one_zone = self.zone(order[0]) == self.zone(order[len - 1]);
        let root = Draft { parent: None, children: None, first, len: len as u32 };
        if one_zone && len <= self.options.leaf_size.max(1) as usize {
            return vec![root];
        }
        let at = if one_zone { self.cut(order, depth) } else { self.zone_border(order) };
        let (left, right) = order.split_at_mut(at);
        let right_first = first + at as u32;
        let (left, right) = if len > PARALLEL_ABOVE {
            rayon::join(|| self.subtree(left, first, depth + 1), || self.subtree(right, right_first, depth + 1))
        } else {
            (self.subtree(left, first, depth + 1), self.subtree(right, right_first, depth + 1))
        };
        let mut nodes = vec![root];
        nodes[0].children = Some([1, 1 + left.len() as u32]);
        for side in [left, right] {
            let offset = nodes.len() as u32;
            nodes.extend(side.into_iter().map(|node| Draft {
                parent: Some(node.parent.map_or(0, |parent| parent + offset)),
                children: node.children.map(|children| children.map(|child| child + offset)),
                ..node
            }));
        }
        nodes
    }

    fn zone(&self, id: u32) -> u8 {
        self.zones[id as usize]
    }

    /// Of the places where the zone changes, the one nearest to the middle.
    fn zone_border(&self, order: &[u32]) -> usize {
        (1..order.len())
            .filter(|&i| self.zone(order[i - 1]) != self.zone(order[i]))
            .min_by_key(|&i| i.abs_diff(order.len() / 2))
            .expect("there are two zones")
    }

    /// Sorts `order` into two sides, neither empty, and tells where the second begins. Inside a side the order is kept.
    fn cut(&self, order: &mut [u32], depth: usize) -> usize {
        let (dim, large) = (self.rows.dim(), order.len() > HYBRID_ABOVE);
        let sample = self.sample(order);
        let direction = match self.options.partition {
            PartitionRule::Caps => {
                let direction = two_means(&sample, dim);
                let places = self.project(order, &direction);
                let smaller = smaller_side(&places);
                let any_parts = order.len() <= ANY_PARTS_UP_TO && depth < ANY_PARTS_ABOVE_DEPTH && smaller > 0;
                if any_parts || smaller * SMALLEST_SIDE >= order.len() {
                    return sort_sides(order, |i| places[i] > 0.0);
                }
                ising(&sample, dim)
            }
            PartitionRule::MaxCut => ising(&sample, dim),
            PartitionRule::Hybrid if !large => ising(&sample, dim),
            PartitionRule::Axis | PartitionRule::Hybrid => widest_axis(&sample, dim),
        };
        let places = self.project(order, &direction);
        let half = order.len() / 2;
        let mut ranked: Vec<u32> = (0..order.len() as u32).collect();
        ranked.select_nth_unstable_by(half, |&i, &j| places[j as usize].total_cmp(&places[i as usize]).then(i.cmp(&j)));
        let mut left = vec![false; order.len()];
        ranked[..half].iter().for_each(|&i| left[i as usize] = true);
        sort_sides(order, |i| left[i])
    }

    /// Products of the members' unit vectors with `direction`.
    fn project(&self, order: &[u32], direction: &[f32]) -> Vec<f32> {
        let project = |&id: &u32| dot(direction, self.rows.row(id as usize)) * self.inverse_norms[id as usize];
        if order.len() > PARALLEL_ABOVE {
            order.par_iter().map(project).collect()
        } else {
            order.iter().map(project).collect()
        }
    }

    /// Unit vectors of some members, `[n, dim]`.
    fn sample(&self, order: &[u32]) -> Vec<f32> {
        let n = (order.len() / 16).clamp(*SAMPLE.start(), *SAMPLE.end()).min(order.len());
        let mut sample = Vec::with_capacity(n * self.rows.dim());
        for i in 0..n {
            let id = order[i * order.len() / n] as usize;
            sample.extend(self.rows.row(id).iter().map(|x| x * self.inverse_norms[id]));
        }
        sample
    }
}

/// Members on the side that has fewer, when cut at 0.
fn smaller_side(places: &[f32]) -> usize {
    let left = places.iter().filter(|&&place| place > 0.0).count();
    left.min(places.len() - left)
}

/// Brings the members for which `is_left` holds to the front; where the others begin.
fn sort_sides(order: &mut [u32], is_left: impl Fn(usize) -> bool) -> usize {
    let right: Vec<u32> = (0..order.len()).filter(|&i| !is_left(i)).map(|i| order[i]).collect();
    let at = order.len() - right.len();
    let mut next = 0;
    for i in 0..order.len() {
        if is_left(i) {
            order[next] = order[i];
            next += 1;
        }
    }
    order[at..].copy_from_slice(&right);
    at
}

/// From the second centre of spherical 2-means to the first. Seeds are the point farthest from the first and the one farthest
/// from that.
fn two_means(sample: &[f32], dim: usize) -> Vec<f32> {
    let row = |i: usize| &sample[i * dim..(i + 1) * dim];
    let farthest = |from: usize| {
        let cosines = sample.chunks_exact(dim).map(|x| dot(x, row(from)));
        cosines.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i)
    };
    let one = farthest(0);
    let mut centres = [row(one).to_vec(), row(farthest(one)).to_vec()];
    let mut sides = vec![2u8; sample.len() / dim];
    for _ in 0..ITERATIONS {
        let direction = difference(&centres);
        let mut sums = [vec![0.0f32; dim], vec![0.0f32; dim]];
        let mut changed = false;
        for (x, side) in sample.chunks_exact(dim).zip(&mut sides) {
            let now = u8::from(dot(x, &direction) <= 0.0);
            changed |= now != *side;
            *side = now;
            sums[usize::from(now)].iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
        if !changed {
            break;
        }
        for (centre, sum) in centres.iter_mut().zip(&sums) {
            if let Some(mean) = unit(sum) {
                *centre = mean;
            }
        }
    }
    difference(&centres)
}

fn difference([one, two]: &[Vec<f32>; 2]) -> Vec<f32> {
    one.iter().zip(two).map(|(a, b)| a - b).collect()
}

/// Of the coordinate in which the sample varies most, the first of equals.
fn widest_axis(sample: &[f32], dim: usize) -> Vec<f32> {
    let n = (sample.len() / dim) as f64;
    let mut moments = vec![(0.0, 0.0); dim];
    for row in sample.chunks_exact(dim) {
        for ((sum, squares), &x) in moments.iter_mut().zip(row) {
            *sum += f64::from(x);
            *squares += f64::from(x) * f64::from(x);
        }
    }
    let variances: Vec<f64> = moments.into_iter().map(|(sum, squares)| squares / n - (sum / n).powi(2)).collect();
    let widest = (0..dim).rev().max_by(|&a, &b| variances[a].total_cmp(&variances[b])).unwrap_or(0);
    (0..dim).map(|axis| f32::from(u8::from(axis == widest))).collect()
}

/// `sum s_i u_i` of the spins at rest. With couplings `J_ij = u_i . u_j` the field at `i` is `u_i . sum s_j u_j`, so a sweep
/// needs no pairs; an outer field keeps as many spins up as down. Starts from the two sides of [`two_means`].
fn ising(sample: &[f32], dim: usize) -> Vec<f32> {
    let n = sample.len() / dim;
    let mut direction = two_means(sample, dim);
    let mut up = vec![false; n];
    for _ in 0..ITERATIONS {
        let fields: Vec<f32> = sample.chunks_exact(dim).map(|x| dot(x, &direction)).collect();
        let mut ranked: Vec<usize> = (0..n).collect();
        ranked.sort_by(|&i, &j| fields[j].total_cmp(&fields[i]).then(i.cmp(&j)));
        let mut now = vec![false; n];
        ranked[..n / 2].iter().for_each(|&i| now[i] = true);
        if now == up {
            break;
        }
        up = now;
        direction = vec![0.0; dim];
        for (x, &up) in sample.chunks_exact(dim).zip(&up) {
            let spin = if up { 1.0 } else { -1.0 };
            direction.iter_mut().zip(x).for_each(|(sum, x)| *sum += spin * x);
        }
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    /// Two bundles of directions at right angles: 30 around e0, 20 around e1.
    fn bundles() -> Vec<f32> {
        let point = |id: u64| {
            let axis = usize::from(id >= 30);
            (0..8).map(move |j| random::normal(5, id, j) as f32 * 0.1 + f32::from(u8::from(j as usize == axis)))
        };
        (0..50).flat_map(|id| unit(&point(id).collect::<Vec<_>>()).unwrap()).collect()
    }

    #[test]
    fn two_means_separates_two_bundles() {
        let sample = bundles();
        let direction = two_means(&sample, 8);
        let sides: Vec<bool> = sample.chunks_exact(8).map(|x| dot(x, &direction) > 0.0).collect();
        assert!(sides[..30].iter().all(|&side| side == sides[0]) && sides[30..].iter().all(|&side| side != sides[0]));
    }

    #[test]
    fn the_widest_axis_is_one_of_the_two_between_the_bundles() {
        assert!(widest_axis(&bundles(), 8)[..2].contains(&1.0));
    }

    /// Of all cuts into equal halves, few have an energy `-sum s_i s_j u_i . u_j` as low: that of two bundles of unequal size is
    /// far below that of cuts which take every other point, or the first half.
    #[test]
    fn the_ising_cut_has_low_energy() {
        let sample = bundles();
        let row = |i: usize| &sample[i * 8..(i + 1) * 8];
        let energy = |up: &dyn Fn(usize) -> bool| -> f32 {
            let sum = (0..8).map(|j| (0..50).map(|i| if up(i) { row(i)[j] } else { -row(i)[j] }).sum::<f32>());
            -sum.map(|x| x * x).sum::<f32>()
        };
        let direction = ising(&sample, 8);
        let mut fields: Vec<f32> = sample.chunks_exact(8).map(|x| dot(x, &direction)).collect();
        fields.sort_by(f32::total_cmp);
        let middle = fields[25];
        let found = energy(&|i| dot(row(i), &direction) >= middle);
        assert!(found < energy(&|i| i % 2 == 0) - 100.0 && found < energy(&|i| i < 25) + 1.0, "{found}");
    }
}
