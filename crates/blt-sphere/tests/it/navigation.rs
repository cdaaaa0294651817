//! Graphs, walks, energies and budgets.

use std::collections::HashSet;

use blt_sphere::{
    CapTree, Effort, EnergyWeights, Graph, NavigateOptions, Query, Rows, Surroundings, TreeOptions, WalkOptions,
    budgets, navigate, rank,
};
use proptest::prelude::*;

use crate::points::{Owned, clustered, on_any_number_of_threads};

#[test]
fn the_graph_joins_nearest_neighbours_both_ways() {
    let mut values = clustered(1, 600, 6, 10, 0.3);
    values[60..66].fill(f32::NAN);
    values[120..126].copy_from_slice(&clustered(1, 600, 6, 10, 0.3)[126..132]); // patches 20 and 21 are the same
    let tree = CapTree::build(Rows::new(&values, 6), Owned::uniform(2, 600).places(), TreeOptions::default());
    let graph = on_any_number_of_threads(|| tree.knn_graph(4, Effort::Exact));
    let mut expected = HashSet::new();
    for id in (0..600).filter(|&id| id != 10) {
        let near = tree.knn_brute_force(Rows::new(tree.rows().row(id as usize), 6), 5).unwrap().remove(0);
        let others = near.into_iter().filter(|other| other.id != id).take(4);
        expected.extend(others.map(|other| (id.min(other.id), id.max(other.id))));
    }
    assert_eq!(graph.edges().map(|(a, b, _)| (a, b)).collect::<HashSet<_>>(), expected);
    assert_eq!((graph.len(), graph.n_edges()), (600, expected.len()));
    assert_eq!(graph.neighbours(10).count(), 0, "a patch without a direction has no neighbours");
    assert!(graph.neighbours(20).any(|(other, weight)| other == 21 && weight > 0.999_999));
    for (a, b, weight) in graph.edges() {
        assert!(graph.neighbours(b).any(|edge| edge == (a, weight)));
    }
}

/// 0 - 1 - 2 - 3 in a row, 4 beside 1, 5 alone.
fn small_graph() -> Graph {
    Graph::from_edges(6, [(0, 1, 0.9), (1, 2, 0.5), (2, 3, 0.8), (4, 1, 0.7), (1, 0, 0.3), (3, 3, 1.0)])
}

#[test]
fn edges_count_once_with_their_larger_weight() {
    let edges: Vec<_> = small_graph().edges().collect();
    assert_eq!(edges, [(0, 1, 0.9), (1, 2, 0.5), (1, 4, 0.7), (2, 3, 0.8)]);
    assert_eq!(small_graph().hops(0, 2), [Some(0), Some(1), Some(2), None, Some(2), None]);
    assert!(Graph::from_edges(0, []).is_empty());
}

#[test]
fn walks_go_to_the_most_coherent_neighbour() {
    // On a circle; the two nearest of each: 0 has 1 and 2, 1 has 0 and 2, 2 has 1 and 3, 3 has 2 and 1.
    let values: Vec<f32> = [0f32, 10.0, 22.0, 36.0, 90.0]
        .into_iter()
        .flat_map(|degrees| [degrees.to_radians().cos(), degrees.to_radians().sin()])
        .collect();
    let tree = CapTree::build(Rows::new(&values, 2), Owned::uniform(2, 5).places(), TreeOptions::default());
    let two = WalkOptions { top_k: 2, ..WalkOptions::default() };
    let walk = |coherence: [f64; 5], options| tree.walk(&coherence, 0, &options).unwrap();
    assert_eq!(walk([0.1, 0.6, 0.9, 0.8, 1.0], two), [0, 2, 3, 1]);
    assert_eq!(walk([0.1, 0.7, 0.7, 0.8, 1.0], two), [0, 1, 2, 3], "ties go to the smaller patch");
    assert_eq!(walk([0.1, 0.5, 0.5, 0.8, 1.0], two), [0], "the threshold itself is not above it");
    assert_eq!(walk([0.1, 0.6, 0.9, f64::NAN, 1.0], two), [0, 2, 1]);
    assert_eq!(walk([0.1, 0.6, 0.9, 0.8, 1.0], WalkOptions { max_steps: 1, ..two }), [0, 2]);
    assert_eq!(walk([0.1, 0.6, 0.9, 0.8, 1.0], WalkOptions { top_k: 1, ..two }), [0, 1]);
    assert_eq!(walk([0.1, 0.6, 0.9, 0.8, 1.0], WalkOptions { top_k: usize::MAX, ..two }), [0, 4, 2, 3, 1]);
}

#[test]
fn energies_are_the_formula() {
    let values = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 1.0, 1.0];
    let owned = Owned::uniform(3, 4);
    let tree = CapTree::build(Rows::new(&values, 2), owned.places(), TreeOptions::default());
    let graph = Graph::from_edges(4, [(0, 3, 1.0), (3, 1, 1.0)]);
    let surroundings = Surroundings {
        radii: &[100.0, 200.0, 300.0, 200.0],
        radius_range: [100.0, 300.0],
        entropies: Some(&[0.0, 5.560_682, 1.0, f32::NAN]),
        graph: Some(&graph),
    };
    let query = Query { vector: &[2.0, 0.0], radius: Some(200.0) };
    let ranked = rank(&tree, query, 0..4, &surroundings, &EnergyWeights::default()).unwrap();
    let expected =
        [(0, -1.0 + 0.5 * 0.25), (1, 0.2 + 0.3 * 2.0 / 8.0), (2, 1.0 + 0.5 * 0.25 + 0.2 / 260f64.ln() + 0.3)];
    for (found, (id, energy)) in ranked.iter().zip(expected) {
        assert!(found.id == id && (found.energy - energy).abs() < 1e-6, "{found:?} {energy}");
    }
    assert!(ranked[3].id == 3 && ranked[3].energy.is_nan(), "NaN comes last");
    let bare = Surroundings { radii: &[f64::NAN; 4], radius_range: [1.0, 1.0], entropies: None, graph: None };
    let by_cosine = rank(&tree, query, 0..4, &bare, &EnergyWeights::default()).unwrap();
    assert_eq!(by_cosine.iter().map(|found| found.id).collect::<Vec<_>>(), [0, 3, 1, 2]);
}

#[test]
fn cones_give_each_patch_once_and_keep_to_their_budgets() {
    let values = clustered(4, 2000, 8, 12, 0.2);
    let owned = Owned::uniform(5, 2000);
    let tree = CapTree::build(Rows::new(&values, 8), owned.places(), TreeOptions::default());
    let partitions = tree.partitions(owned.places(), 32, 1);
    let surroundings = Surroundings { radii: &owned.radii, radius_range: [32.0, 512.0], entropies: None, graph: None };
    let query = Query { vector: &values[..8], radius: None };
    let options =
        NavigateOptions { budget: 32 * 300 + 17, cone_budget: 32 * 120, threshold: 0.0, ..NavigateOptions::default() };
    let visits = navigate(&tree, &partitions, &[0.5; 32], query, &surroundings, &options).unwrap();
    assert!(visits.len() > 1 && visits.iter().map(|visit| visit.budget).sum::<u64>() <= options.budget);
    let mut seen = HashSet::new();
    for visit in &visits {
        assert!(visit.patches.len() as u64 * 32 <= visit.budget && visit.budget <= options.cone_budget);
        assert!(visit.patches.is_sorted_by(|a, b| a.energy <= b.energy));
        assert!((visit.half_angle - options.half_angle * 0.65).abs() < 1e-12);
        let cone = tree.cone_brute_force(partitions.centroid(visit.partition), visit.half_angle).unwrap();
        let cone: HashSet<u32> = cone.iter().map(|near| near.id).collect();
        assert!(visit.patches.iter().all(|patch| cone.contains(&patch.id) && seen.insert(patch.id)));
    }
    assert_eq!(visits[0].patches[0].id, 0, "the query is a patch itself");
    let nowhere =
        navigate(&tree, &partitions, &[0.5; 32], Query { vector: &[0.0; 8], radius: None }, &surroundings, &options);
    assert!(nowhere.is_err());
}

proptest! {
    #[test]
    fn budgets_sum_to_the_total(
        relevance in prop::collection::vec(prop_oneof![0.0..1.0, Just(0.0), Just(-1.0), Just(f64::NAN), 0.0..1e12], 0..20),
        total in prop_oneof![0..1000u64, any::<u64>()],
        most in prop_oneof![0..100u64, Just(u64::MAX)],
    ) {
        let shares = budgets(&relevance, total, most);
        let sum: u128 = shares.iter().map(|&share| u128::from(share)).sum();
        prop_assert_eq!(sum, u128::from(total).min(u128::from(most) * relevance.len() as u128));
        prop_assert!(shares.iter().all(|&share| share <= most));
    }

    /// Without a limit each share is its exact part, rounded one way or the other.
    #[test]
    fn budgets_are_by_relevance(relevance in prop::collection::vec(0.01..1.0, 1..20), total in 0..1_000_000u64) {
        let sum: f64 = relevance.iter().sum();
        for (share, part) in budgets(&relevance, total, u64::MAX).into_iter().zip(&relevance) {
            prop_assert!((share as f64 - part / sum * total as f64).abs() < 1.0 + 1e-6);
        }
    }
}
