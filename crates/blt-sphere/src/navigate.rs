//! From a query to patches: cones around the partitions that it activates, each with a budget, and in each the patches of least
//! energy.

use std::f64::consts::PI;

use crate::allocation::largest_remainder;
use crate::cap_tree::{CapTree, Effort, QueryError};
use crate::graph::Graph;
use crate::partitions::Partitions;

/// Entropy of a uniform guess among the model's 260 tokens, nats.
const MAX_ENTROPY: f64 = 5.560_681_631_015_528;
/// Hops after which a patch counts as unconnected.
const FAR: u32 = 8;

/// What the energy of a patch is made of. Slices have one value a patch.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Radii of the patches.
    pub radii: &'a [f64],
    /// The ball's smallest and largest radius.
    pub radius_range: [f64; 2],
    /// Entropies in nats; without them that term is 0.
    pub entropies: Option<&'a [f32]>,
    /// A graph of the patches; without one that term is 0.
    pub graph: Option<&'a Graph>,
}

/// What terms of the energy count, against a cosine of 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyWeights {
    /// Of the squared difference in radius, as a part of the ball's range.
    pub radius: f64,
    /// Of the entropy, as a part of the largest, ln 260.
    pub entropy: f64,
    /// Of the hops from the query's nearest patch, as a part of 8, at which it ends.
    pub graph: f64,
}

impl Default for EnergyWeights {
    /// 0.5, 0.2 and 0.3.
    fn default() -> Self {
        Self { radius: 0.5, entropy: 0.2, graph: 0.3 }
    }
}

/// A query, and at which radius its answers are expected, if anywhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Query<'a> {
    /// Its direction, `[dim]`.
    pub vector: &'a [f32],
    /// Its radius; without one that term is 0.
    pub radius: Option<f64>,
}

/// A patch and its energy for a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// The patch.
    pub id: u32,
    /// Less is better.
    pub energy: f64,
}

/// How cones are laid and what they may hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NavigateOptions {
    /// Half angle of a cone whose partition is not coherent at all.
    pub half_angle: f64,
    /// Bytes of all cones; a patch is its embedding of four bytes a number.
    pub budget: u64,
    /// Most bytes of a cone.
    pub cone_budget: u64,
    /// Most cones.
    pub max_cones: usize,
    /// Least activation of a cone's partition.
    pub threshold: f32,
    /// Least angle between two cones' axes.
    pub separation: f64,
    /// What the energy is made of.
    pub weights: EnergyWeights,
}

impl Default for NavigateOptions {
    /// pi / 4; 512 MiB, 16 MiB a cone, 32 cones; activations of 0.2 and more, pi / 16 apart.
    fn default() -> Self {
        Self {
            half_angle: PI / 4.0,
            budget: 512 << 20,
            cone_budget: 16 << 20,
            max_cones: 32,
            threshold: 0.2,
            separation: PI / 16.0,
            weights: EnergyWeights::default(),
        }
    }
}

/// A cone around a partition's centroid and what it gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// The partition.
    pub partition: u32,
    /// Cosine of query and centroid.
    pub activation: f32,
    /// Half angle of the cone.
    pub half_angle: f64,
    /// Bytes it was given.
    pub budget: u64,
    /// Patches that an earlier cone did not give, by energy, as many as the budget holds.
    pub patches: Vec<Ranked>,
}

/// Patches by their energy for a query, least first, ties by id:
/// `-cos + w_r ((r - r_q) / (r_max - r_min))^2 + w_h H / ln 260 + w_g hops / 8`. A patch whose energy is NaN comes last.
///
/// # Errors
///
/// [`QueryError`] when the query is of another width or has no direction.
pub fn rank(
    tree: &CapTree<'_>,
    query: Query<'_>,
    patches: impl IntoIterator<Item = u32>,
    surroundings: &Surroundings<'_>,
    weights: &EnergyWeights,
) -> Result<Vec<Ranked>, QueryError> {
    Ok(Energies::new(tree, query, surroundings, weights)?.rank(patches))
}

/// What the energies of patches for one query have in common.
struct Energies<'s> {
    tree: &'s CapTree<'s>,
    surroundings: &'s Surroundings<'s>,
    weights: &'s EnergyWeights,
    radius: Option<f64>,
    /// The query at length 1.
    unit: Vec<f32>,
    /// From the patch that is nearest to the query.
    hops: Option<Vec<Option<u32>>>,
}

impl<'s> Energies<'s> {
    fn new(
        tree: &'s CapTree<'s>,
        query: Query<'_>,
        surroundings: &'s Surroundings<'s>,
        weights: &'s EnergyWeights,
    ) -> Result<Self, QueryError> {
        let unit = tree.query(query.vector)?;
        let hops = match (surroundings.graph, tree.knn(query.vector, 1, Effort::Exact)?.first()) {
            (Some(graph), Some(nearest)) => Some(graph.hops(nearest.id, FAR)),
            _ => None,
        };
        Ok(Self { tree, surroundings, weights, radius: query.radius, unit, hops })
    }

    fn of(&self, id: u32) -> f64 {
        let (i, [r_min, r_max]) = (id as usize, self.surroundings.radius_range);
        let radius = match self.radius {
            Some(radius) if r_max > r_min => (self.surroundings.radii[i] - radius) / (r_max - r_min),
            _ => 0.0,
        };
        let entropy = self.surroundings.entropies.map_or(0.0, |entropies| f64::from(entropies[i]) / MAX_ENTROPY);
        let graph = self.hops.as_ref().map_or(0.0, |hops| f64::from(hops[i].unwrap_or(FAR)) / f64::from(FAR));
        self.weights.radius * radius * radius + self.weights.entropy * entropy + self.weights.graph * graph
            - f64::from(self.tree.cosine(&self.unit, id))
    }

    fn rank(&self, patches: impl IntoIterator<Item = u32>) -> Vec<Ranked> {
        let mut ranked: Vec<Ranked> = patches.into_iter().map(|id| Ranked { id, energy: self.of(id) }).collect();
        ranked.sort_by(|a, b| {
            a.energy.is_nan().cmp(&b.energy.is_nan()).then(a.energy.total_cmp(&b.energy)).then(a.id.cmp(&b.id))
        });
        ranked
    }
}

/// Lays a cone around each of the partitions that a query activates most and fills it, within its budget, with the patches of least
/// energy. Budgets are by activation. The more coherent a partition, `coherence[k]` in [0, 1], the narrower its cone:
/// `half_angle (1 - 0.7 min(coherence, 0.95))`.
///
/// # Errors
///
/// [`QueryError`] when the query is of another width or has no direction, or a half angle is not in [0, pi].
///
/// # Panics
///
/// Panics when `coherence` is not one number a partition.
pub fn navigate(
    tree: &CapTree<'_>,
    partitions: &Partitions,
    coherence: &[f64],
    query: Query<'_>,
    surroundings: &Surroundings<'_>,
    options: &NavigateOptions,
) -> Result<Vec<Visit>, QueryError> {
    assert_eq!(coherence.len(), partitions.partitions.len(), "coherence is one number a partition");
    let activations = partitions.activate(query.vector)?;
    let peaks = partitions.peaks(&activations, options.threshold, options.separation, options.max_cones);
    let relevance: Vec<f64> = peaks.iter().map(|&k| f64::from(activations[k as usize])).collect();
    let budgets = budgets(&relevance, options.budget, options.cone_budget);
    let patch_bytes = 4 * tree.rows().dim() as u64;
    let energies = Energies::new(tree, query, surroundings, &options.weights)?;
    let mut taken = vec![false; tree.rows().len()];
    let mut visits = Vec::new();
    for (&partition, budget) in peaks.iter().zip(budgets) {
        let half_angle = options.half_angle * (1.0 - 0.7 * coherence[partition as usize].clamp(0.0, 0.95));
        let found = tree.cone(partitions.centroid(partition), half_angle)?;
        let new = found.into_iter().map(|neighbour| neighbour.id).filter(|&id| !taken[id as usize]);
        let mut patches = energies.rank(new);
        patches.truncate(usize::try_from(budget / patch_bytes).unwrap_or(usize::MAX));
        patches.iter().for_each(|patch| taken[patch.id as usize] = true);
        visits.push(Visit { partition, activation: activations[partition as usize], half_angle, budget, patches });
    }
    Ok(visits)
}

/// Shares out `total` by relevance, at most `most` to each: whole numbers by largest remainders, ties to the first. They sum to
/// `total`, or to `most` for each when that is less. What is not finite or not above 0 counts as 0; when all is, shares are equal.
pub fn budgets(relevance: &[f64], total: u64, most: u64) -> Vec<u64> {
    let mut weights: Vec<f64> = relevance.iter().map(|&r| if r.is_finite() { r.max(0.0) } else { 0.0 }).collect();
    if weights.iter().all(|&weight| weight == 0.0) {
        weights.fill(1.0);
    }
    let mut shares = vec![0; weights.len()];
    let mut open: Vec<usize> = (0..weights.len()).collect();
    let mut left = total;
    // Whoever would get too much gets the most there is, and the others share the rest.
    loop {
        // As parts of the largest, so that their sum is finite.
        let largest = open.iter().map(|&i| weights[i]).fold(0.0, f64::max);
        let round = largest_remainder(&open.iter().map(|&i| weights[i] / largest).collect::<Vec<_>>(), left);
        let full: Vec<usize> = (0..open.len()).filter(|&j| round[j] > most).map(|j| open[j]).collect();
        if full.is_empty() {
            open.iter().zip(round).for_each(|(&i, share)| shares[i] = share);
            return shares;
        }
        full.iter().for_each(|&i| shares[i] = most);
        left -= most.saturating_mul(full.len() as u64);
        open.retain(|i| !full.contains(i));
        if open.iter().all(|&i| weights[i] == 0.0) {
            open.iter().for_each(|&i| weights[i] = 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_the_most_goes_to_the_others() {
        assert_eq!(budgets(&[8.0, 1.0, 1.0], 100, 40), [40, 30, 30]);
        assert_eq!(budgets(&[8.0, f64::NAN, -1.0], 100, 40), [40, 30, 30]);
        assert_eq!(budgets(&[8.0, 1.0], 100, 40), [40, 40]);
        assert_eq!(budgets(&[0.0, 0.0], 5, 40), [3, 2]);
        assert_eq!(budgets(&[f64::MAX, f64::MAX], 10, 40), [5, 5]);
    }
}
