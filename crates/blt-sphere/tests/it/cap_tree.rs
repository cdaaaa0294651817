//! The cap tree holds every patch once, its caps hold their patches, and its searches find what looking at every row finds.

use std::f64::consts::PI;

use blt_sphere::{CapTree, Effort, Neighbour, PartitionRule, PartsError, QueryError, Rows, TreeOptions, recall_at_k};

use crate::points::{Owned, clustered, noise, on_any_number_of_threads, scattered, uniform};

const RULES: [PartitionRule; 4] =
    [PartitionRule::Caps, PartitionRule::MaxCut, PartitionRule::Axis, PartitionRule::Hybrid];

fn build<'a>(values: &'a [f32], dim: usize, rule: PartitionRule) -> CapTree<'a> {
    let rows = Rows::new(values, dim);
    CapTree::build(rows, Owned::uniform(9, rows.len()).places(), TreeOptions { partition: rule, leaf_size: 32 })
}

fn exact_cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Everything that makes a tree a tree of caps.
#[track_caller]
fn check_structure(tree: &CapTree<'_>, owned: &Owned) {
    let parts = tree.parts();
    let mut leaves_of = vec![0; tree.rows().len()];
    for (node, facts) in parts.nodes.iter().enumerate() {
        let members = tree.members(node);
        match facts.children {
            None => {
                assert!(members.len() <= parts.options.leaf_size as usize && !members.is_empty());
                members.iter().for_each(|&id| leaves_of[id as usize] += 1);
            }
            Some(children) => {
                let sizes = children.map(|child| parts.nodes[child as usize].len);
                assert_eq!(sizes[0] + sizes[1], facts.len);
                assert!(children.iter().all(|&child| parts.nodes[child as usize].parent == Some(node as u32)));
                let any_parts = facts.zone.is_none() || facts.len <= 4096;
                assert!(
                    any_parts || sizes.iter().all(|&size| size * 5 >= facts.len - 4),
                    "{sizes:?} is worse than 1:4"
                );
            }
        }
        for &id in members {
            let i = id as usize;
            let cosine = exact_cosine(tree.centroid(node), tree.rows().row(i));
            assert!(cosine >= facts.cap_angle.cos() - 1e-12, "patch {id} is outside of cap {node}");
            assert!(facts.radius[0] <= owned.radii[i] && owned.radii[i] <= facts.radius[1]);
            let prominence = f64::from(owned.prominence[i]);
            assert!(facts.prominence[0] <= prominence && prominence <= facts.prominence[1]);
            assert!(facts.zone.is_none_or(|zone| zone == owned.zones[i]));
        }
    }
    for &id in &parts.left_out {
        assert_eq!(std::mem::replace(&mut leaves_of[id as usize], 1), 0);
    }
    assert!(leaves_of.iter().all(|&n| n == 1), "every patch is in one leaf");
    assert_eq!(parts.centroids.len(), parts.nodes.len() * parts.dim);
    let leaves = parts.nodes.iter().filter(|node| node.children.is_none()).count();
    assert_eq!(parts.nodes.len(), (2 * leaves).saturating_sub(1));
}

#[test]
fn every_rule_makes_a_tree_of_caps() {
    let owned = Owned::uniform(1, 6000);
    for values in [clustered(2, 6000, 20, 30, 0.4), scattered(3, 6000, 20)] {
        for partition in RULES {
            let options = TreeOptions { partition, leaf_size: 32 };
            check_structure(&CapTree::build(Rows::new(&values, 20), owned.places(), options), &owned);
        }
    }
}

/// Rows, axes both ways, near misses of rows, and anything.
fn queries(values: &[f32], dim: usize, n: usize) -> Vec<f32> {
    let rows = Rows::new(values, dim);
    let query = |i: usize| -> Vec<f32> {
        match i % 4 {
            0 => rows.row(i % rows.len()).to_vec(),
            1 => (0..dim)
                .map(|j| if j == i / 4 % dim { if (i / 4).is_multiple_of(2) { 1.0 } else { -1.0 } } else { 0.0 })
                .collect(),
            2 => {
                let near = rows.row(uniform(1, i as u64).mul_add(rows.len() as f64, 0.0) as usize);
                near.iter().zip(noise(4, i as u64, dim)).map(|(x, e)| x + 0.05 * e).collect()
            }
            _ => noise(5, i as u64, dim),
        }
    };
    (0..n).flat_map(query).collect()
}

#[test]
fn nearest_neighbours_are_those_of_brute_force() {
    let sets = [(clustered(6, 2500, 12, 40, 0.2), 12), (scattered(7, 2500, 3), 3)];
    for (values, dim) in &sets {
        let queries = queries(values, *dim, 5000);
        let queries = Rows::new(&queries, *dim);
        let tree = build(values, *dim, PartitionRule::Caps);
        let expected = tree.knn_brute_force(queries, 10).unwrap();
        assert!(tree.knn_many(queries, 10, Effort::Exact).unwrap() == expected);
        for i in (0..queries.len()).step_by(50) {
            assert_eq!(tree.knn(queries.row(i), 10, Effort::Exact).unwrap(), expected[i]);
        }
    }
    for rule in RULES {
        let (values, dim) = &sets[0];
        let tree = build(values, *dim, rule);
        let queries = queries(values, *dim, 300);
        let queries = Rows::new(&queries, *dim);
        assert!(tree.knn_many(queries, 7, Effort::Exact) == tree.knn_brute_force(queries, 7), "{rule:?}");
    }
}

/// The referee is one of our own; it agrees with double precision as far as single precision goes.
#[test]
fn brute_force_agrees_with_double_precision() {
    let values = clustered(8, 800, 50, 10, 0.5);
    let tree = build(&values, 50, PartitionRule::Caps);
    let queries = queries(&values, 50, 40);
    for (query, found) in queries.chunks(50).zip(tree.knn_brute_force(Rows::new(&queries, 50), 10).unwrap()) {
        let mut exact: Vec<f64> = values.chunks(50).map(|row| exact_cosine(query, row)).collect();
        found.iter().for_each(|near| assert!((f64::from(near.cosine) - exact[near.id as usize]).abs() < 1e-6));
        exact.sort_by(|a, b| b.total_cmp(a));
        found.iter().zip(exact).for_each(|(near, exact)| assert!((f64::from(near.cosine) - exact).abs() < 1e-6));
    }
}

#[test]
fn cones_are_those_of_brute_force() {
    for (values, dim) in [(clustered(10, 1500, 12, 20, 0.2), 12), (scattered(11, 1500, 3), 3)] {
        let tree = build(&values, dim, PartitionRule::Caps);
        let queries = queries(&values, dim, 5000);
        for (i, query) in queries.chunks(dim).enumerate() {
            let half_angle = match i % 10 {
                0 | 1 => 0.0,
                2 => PI,
                3 => PI / 2.0,
                _ => PI * uniform(12, i as u64).powi(3),
            };
            let found = tree.cone(query, half_angle).unwrap();
            assert!(found == tree.cone_brute_force(query, half_angle).unwrap(), "query {i}");
            if half_angle == PI {
                assert_eq!(found.len(), tree.len());
            }
            if half_angle == 0.0 && i % 4 == 0 {
                assert!(found.iter().any(|near| near.id as usize == i % 1500), "a row is in its own direction");
            }
        }
    }
}

/// What a cone holds is decided in double precision: angles far below what a single-precision cosine resolves.
#[test]
fn narrow_cones_tell_near_directions_apart() {
    let values: Vec<f32> = (0..100).flat_map(|i| [1.0, i as f32 * 1e-6]).collect();
    let tree = build(&values, 2, PartitionRule::Caps);
    for i in 0..100 {
        let found = tree.cone(&[1.0, 0.0], (f64::from(i) + 0.5) * 1e-6).unwrap();
        assert_eq!(found.len(), i as usize + 1);
    }
}

#[test]
fn a_wide_beam_is_exact_and_a_narrow_one_finds_most() {
    let values = clustered(13, 4000, 16, 25, 0.5);
    let tree = build(&values, 16, PartitionRule::Caps);
    let queries = queries(&values, 16, 200);
    let queries = Rows::new(&queries, 16);
    let exact = tree.knn_many(queries, 10, Effort::Exact).unwrap();
    assert!(tree.knn_many(queries, 10, Effort::Beam(usize::MAX)).unwrap() == exact);
    let ids = |found: &[Neighbour]| found.iter().map(|near| near.id).collect::<Vec<_>>();
    let recall = |leaves| {
        let found = tree.knn_many(queries, 10, Effort::Beam(leaves)).unwrap();
        let each = found.iter().zip(&exact).map(|(found, exact)| recall_at_k(&ids(found), &ids(exact), 10));
        each.sum::<f64>() / queries.len() as f64
    };
    let (one, eight, many) = (recall(1), recall(8), recall(64));
    println!("recall@10 of beams of 1, 8 and 64 leaves of 4000 patches: {one:.3} {eight:.3} {many:.3}");
    assert!(one < eight && eight < many && many > 0.85, "{one} {eight} {many}");
}

#[test]
fn trees_are_the_same_on_any_number_of_threads_and_come_back_from_their_parts() {
    let values = clustered(14, 9000, 10, 12, 0.3);
    let rows = Rows::new(&values, 10);
    let parts = on_any_number_of_threads(|| build(&values, 10, PartitionRule::Caps).into_parts());
    let again = CapTree::from_parts(rows, parts.clone()).unwrap();
    assert_eq!(again.parts(), &parts);
    let queries = Rows::new(&values[..1000], 10);
    assert!(
        again.knn_many(queries, 5, Effort::Exact)
            == build(&values, 10, PartitionRule::Caps).knn_brute_force(queries, 5)
    );
    on_any_number_of_threads(|| again.knn_many(queries, 5, Effort::Exact).unwrap());
    on_any_number_of_threads(|| again.knn_brute_force(queries, 5).unwrap());
}

#[test]
fn a_tree_of_other_inputs_is_stale() {
    let mut values = clustered(15, 500, 6, 5, 0.3);
    let parts = build(&values, 6, PartitionRule::Caps).into_parts();
    let owned = Owned::uniform(9, 500);
    let fresh = CapTree::from_parts(Rows::new(&values, 6), parts.clone()).unwrap();
    assert!(!fresh.is_stale(owned.places()));
    for change in 0..3 {
        let mut other = Owned::uniform(9, 500);
        match change {
            0 => other.radii[77] += 1e-9,
            1 => other.prominence[499] *= 2.0,
            _ => other.zones[3] = 3,
        }
        assert!(fresh.is_stale(other.places()), "change {change}");
    }
    assert!(fresh.is_stale(Owned::uniform(9, 499).places()));
    values[1234] = -values[1234];
    assert!(CapTree::from_parts(Rows::new(&values, 6), parts).unwrap().is_stale(owned.places()));
}

#[test]
fn a_cap_that_does_not_hold_its_patches_is_found() {
    let values = clustered(20, 500, 6, 5, 0.3);
    let mut parts = build(&values, 6, PartitionRule::Caps).into_parts();
    assert_eq!(CapTree::from_parts(Rows::new(&values, 6), parts.clone()).unwrap().broken_leaf(), None);
    let first = parts.nodes.iter().position(|node| node.children.is_none()).unwrap();
    parts.nodes[0].cap_angle *= 0.5;
    let found = CapTree::from_parts(Rows::new(&values, 6), parts).unwrap().broken_leaf();
    assert!(found.is_some_and(|leaf| leaf >= first));
}

#[test]
fn parts_that_are_no_tree_are_refused() {
    let values = clustered(16, 300, 4, 5, 0.3);
    let rows = Rows::new(&values, 4);
    let good = build(&values, 4, PartitionRule::Caps).into_parts();
    let refused = |change: &dyn Fn(&mut blt_sphere::TreeParts)| {
        let mut parts = good.clone();
        change(&mut parts);
        CapTree::from_parts(rows, parts).unwrap_err()
    };
    assert_eq!(refused(&|parts| parts.dim = 3), PartsError::Dim { found: 3, expected: 4 });
    assert!(matches!(refused(&|parts| parts.centroids[5] = f32::NAN), PartsError::Centroids { .. }));
    assert!(matches!(refused(&|parts| parts.centroids.truncate(9)), PartsError::Centroids { .. }));
    assert!(matches!(refused(&|parts| parts.order[7] = parts.order[8]), PartsError::Order { .. }));
    assert!(matches!(refused(&|parts| parts.order[7] = 300), PartsError::Order { patch: 300 }));
    assert!(matches!(refused(&|parts| parts.order.truncate(299)), PartsError::Order { .. }));
    let order_of = |parts: &mut blt_sphere::TreeParts| parts.left_out.extend(parts.order.pop());
    assert!(matches!(refused(&order_of), PartsError::Order { .. }));
    let node_changes: [&dyn Fn(&mut blt_sphere::TreeParts); 8] = [
        &|parts| parts.nodes[0].children = Some([0, 1]),
        &|parts| parts.nodes[0].children = Some([1, u32::MAX]),
        &|parts| parts.nodes[0].children = None,
        &|parts| parts.nodes[1].parent = Some(1),
        &|parts| parts.nodes[2].first += 1,
        &|parts| parts.nodes[2].len = u32::MAX,
        &|parts| parts.nodes[3].cap_angle = f64::NAN,
        &|parts| parts.nodes[0].len -= 1,
    ];
    for change in node_changes {
        assert!(matches!(refused(change), PartsError::Node { .. }));
    }
}

#[test]
fn patches_without_a_direction_are_left_out() {
    let mut values = clustered(17, 200, 5, 4, 0.2);
    values[0..5].fill(0.0);
    values[52] = f32::NAN;
    values[60] = f32::INFINITY;
    values[95] = f32::MAX;
    let owned = Owned::uniform(9, 200);
    let tree = build(&values, 5, PartitionRule::Caps);
    assert_eq!(tree.parts().left_out, [0, 10, 12, 19]);
    check_structure(&tree, &owned);
    let near = tree.knn(&values[5..10], 1000, Effort::Exact).unwrap();
    assert_eq!((near.len(), near[0].id), (196, 1));
    assert_eq!(vec![near], tree.knn_brute_force(Rows::new(&values[5..10], 5), 1000).unwrap());
    for query in [&values[0..5], &values[50..55], &values[60..65]] {
        assert_eq!(tree.knn(query, 3, Effort::Exact), Err(QueryError::NoDirection));
    }
    assert_eq!(tree.knn(&[1.0], 3, Effort::Exact), Err(QueryError::Dim { found: 1, expected: 5 }));
    for half_angle in [-0.1, f64::NAN, 3.2] {
        assert_eq!(tree.cone(&values[5..10], half_angle), Err(QueryError::HalfAngle));
    }
}

#[test]
fn few_equal_and_wide_rows_are_indexed_too() {
    for dim in [2, 3, 17, 768, 4096] {
        for n in [0, 1, 2, 33, 100] {
            let values = scattered(18, n, dim);
            let tree = build(&values, dim, PartitionRule::Caps);
            check_structure(&tree, &Owned::uniform(9, n));
            assert_eq!(tree.len(), n);
            let query = noise(19, 1, dim);
            let found = tree.knn(&query, 5, Effort::Exact).unwrap();
            assert_eq!(vec![found.clone()], tree.knn_brute_force(Rows::new(&query, dim), 5).unwrap());
            assert_eq!(found.len(), n.min(5));
            assert_eq!(tree.cone(&query, PI).unwrap().len(), n);
            assert!(tree.knn(&query, 0, Effort::Exact).unwrap().is_empty());
        }
    }
    for rule in RULES {
        let equal: Vec<f32> = (0..1000 * 3).map(|i| [0.3, -2.0, 1.0][i % 3]).collect();
        let tree = build(&equal, 3, rule);
        check_structure(&tree, &Owned::uniform(9, 1000));
        let ids: Vec<u32> = tree.knn(&[1.0, 1.0, 1.0], 5, Effort::Exact).unwrap().iter().map(|near| near.id).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4], "ties go to the smallest ids");
        let opposite: Vec<f32> = (0..400 * 2).map(|i| if i % 4 < 2 { 1.0 } else { -1.0 }).collect();
        check_structure(&build(&opposite, 2, rule), &Owned::uniform(9, 400));
    }
}
