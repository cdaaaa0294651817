//! Partitions cover the tree, and what is asked of them is what their centroids say.

use blt_sphere::{CapTree, Partitions, Rows, TreeOptions};

use crate::points::{Owned, clustered, noise};

fn with_tree(check: impl Fn(&CapTree<'_>, &Owned)) {
    let mut values = clustered(1, 3000, 8, 20, 0.3);
    values[40..48].fill(0.0);
    let owned = Owned::uniform(2, 3000);
    check(&CapTree::build(Rows::new(&values, 8), owned.places(), TreeOptions::default()), &owned);
}

#[test]
fn partitions_hold_every_patch_once() {
    with_tree(|tree, owned| {
        for k in [1, 2, 16, 100, 5000] {
            let partitions = tree.partitions(owned.places(), k, 1);
            let leaves = tree.parts().nodes.iter().filter(|node| node.children.is_none()).count();
            assert_eq!(partitions.partitions.len(), k.min(leaves));
            let mut of = vec![None; 3000];
            for (k, partition) in partitions.partitions.iter().enumerate() {
                let members = tree.members(partition.node as usize);
                assert_eq!(members.len(), partition.n_members as usize);
                for &id in members {
                    assert_eq!(of[id as usize].replace(k as u32), None);
                    assert!(k == 0 || partition.zone.is_none_or(|zone| zone == owned.zones[id as usize]));
                }
                assert_eq!(partitions.centroid(k as u32), tree.centroid(partition.node as usize));
            }
            assert_eq!(of.iter().position(Option::is_none), Some(5), "the patch without a direction");
            assert_eq!(of, partitions.of_patches(tree));
        }
        assert!(tree.partitions(owned.places(), 3, 1).partitions.iter().all(|part| part.zone.is_some()));
        let sized = tree.partitions(owned.places(), 5000, 100);
        assert!(sized.partitions.iter().all(|part| part.n_members >= 100 || part.zone != Some(1)));
    });
}

#[test]
fn nodes_below_a_partition_are_of_it() {
    with_tree(|tree, owned| {
        let partitions = tree.partitions(owned.places(), 16, 1);
        let (of_patches, of_nodes) = (partitions.of_patches(tree), partitions.of_nodes(tree));
        for (node, partition) in of_nodes.iter().enumerate() {
            let members = tree.members(node).iter().map(|&id| of_patches[id as usize]);
            let mut of_members: Vec<Option<u32>> = members.collect();
            of_members.dedup();
            match partition {
                Some(_) => assert_eq!(of_members, [*partition]),
                None => assert!(of_members.len() > 1),
            }
        }
    });
}

#[test]
fn partitions_say_what_they_hold() {
    with_tree(|tree, owned| {
        let mut partitions = tree.partitions(owned.places(), 16, 1);
        let first = &partitions.partitions[3];
        let members = tree.members(first.node as usize);
        let prominences: Vec<f64> = members.iter().map(|&id| f64::from(owned.prominence[id as usize])).collect();
        let mean = prominences.iter().sum::<f64>() / prominences.len() as f64;
        let mean_square = prominences.iter().map(|p| p * p).sum::<f64>() / prominences.len() as f64;
        assert!((first.prominence_mean - mean).abs() < 1e-9);
        assert!((first.prominence_sd - (mean_square - mean * mean).sqrt()).abs() < 1e-6);
        assert_eq!(
            first.prominence,
            [
                prominences.iter().copied().fold(f64::INFINITY, f64::min),
                prominences.iter().copied().fold(0.0, f64::max)
            ]
        );
        let (theta, phi) = first.direction.unwrap();
        let sum = members.iter().fold([0.0; 3], |sum, &id| {
            let (t, p) = (owned.theta[id as usize], owned.phi[id as usize]);
            [sum[0] + t.sin() * p.cos(), sum[1] + t.sin() * p.sin(), sum[2] + t.cos()]
        });
        let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((theta.cos() - sum[2] / norm).abs() < 1e-9 && (phi.cos() * theta.sin() - sum[0] / norm).abs() < 1e-9);

        partitions.count_bytes(3, b"abca");
        partitions.count_bytes(3, b"a");
        let counts = &partitions.partitions[3].byte_counts;
        assert_eq!((counts[b'a' as usize], counts[b'b' as usize], counts.iter().sum::<u64>()), (3, 1, 5));
        assert_eq!(partitions.partitions[2].byte_counts.iter().sum::<u64>(), 0);
    });
}

fn cosine(partitions: &Partitions, query: &[f32], k: u32) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let centroid = partitions.centroid(k);
    dot(query, centroid) / (dot(query, query) * dot(centroid, centroid)).sqrt()
}

#[test]
fn routes_are_softmax_of_distance_and_prior() {
    with_tree(|tree, owned| {
        let partitions = tree.partitions(owned.places(), 16, 1);
        let query = noise(3, 1, 8);
        let activations = partitions.activate(&query).unwrap();
        for temperature in [1e-3, 0.5, 100.0] {
            let weights: Vec<f64> = (0..16)
                .map(|k| {
                    let n = f64::from(partitions.partitions[k as usize].n_members);
                    n * ((2.0 * cosine(&partitions, &query, k) - 2.0) / temperature).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            let route = partitions.route(&query, temperature).unwrap();
            assert!((route.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            if sum > 0.0 {
                route.iter().zip(&weights).for_each(|(p, weight)| assert!((p - weight / sum).abs() < 1e-3));
            }
        }
        for (k, activation) in activations.iter().enumerate() {
            assert!((f64::from(*activation) - cosine(&partitions, &query, k as u32)).abs() < 1e-6);
        }
        assert!(partitions.activate(&[1.0]).is_err() && partitions.route(&[0.0; 8], 1.0).is_err());
    });
}

#[test]
fn peaks_are_apart_and_nothing_better_is_passed_over() {
    with_tree(|tree, owned| {
        let partitions = tree.partitions(owned.places(), 64, 1);
        let activations = partitions.activate(&noise(4, 2, 8)).unwrap();
        let separation = 0.5;
        let peaks = partitions.peaks(&activations, 0.1, separation, 100);
        let angle = |a: u32, b: u32| cosine(&partitions, partitions.centroid(a), b).min(1.0).acos();
        assert!(peaks.len() > 2);
        for (place, &peak) in peaks.iter().enumerate() {
            assert!(activations[peak as usize] >= 0.1);
            assert!(peaks[..place].iter().all(|&other| angle(peak, other) > separation - 1e-6));
            assert!(place == 0 || activations[peaks[place - 1] as usize] >= activations[peak as usize]);
        }
        for k in (0..64).filter(|k| !peaks.contains(k) && activations[*k as usize] >= 0.1) {
            let better = |peak: &&u32| activations[**peak as usize] >= activations[k as usize];
            assert!(peaks.iter().filter(better).any(|&peak| angle(k, peak) <= separation + 1e-6));
        }
        assert_eq!(partitions.peaks(&activations, 0.1, separation, 2), peaks[..2]);
        assert!(partitions.peaks(&activations, 1.1, separation, 100).is_empty());
    });
}

#[test]
fn semantic_edges_join_similar_partitions() {
    with_tree(|tree, owned| {
        let partitions = tree.partitions(owned.places(), 64, 1);
        let edges = partitions.semantic_edges(64, 0.7);
        let mut expected = vec![];
        for a in 0..64 {
            expected
                .extend((a + 1..64).filter(|&b| cosine(&partitions, partitions.centroid(a), b) >= 0.7).map(|b| (a, b)));
        }
        assert!(!expected.is_empty());
        assert_eq!(edges.iter().map(|edge| (edge.a, edge.b)).collect::<Vec<_>>(), expected);
        let nearest_only = partitions.semantic_edges(1, 0.7);
        assert!(nearest_only.len() < edges.len() && nearest_only.iter().all(|edge| edges.contains(edge)));
    });
}

#[test]
fn nothing_has_no_partitions() {
    let owned = Owned::uniform(5, 0);
    let tree = CapTree::build(Rows::new(&[], 4), owned.places(), TreeOptions::default());
    let partitions = tree.partitions(owned.places(), 16, 1);
    assert!(partitions.partitions.is_empty() && partitions.route(&[1.0; 4], 1.0).unwrap().is_empty());
    assert!(partitions.peaks(&[], 0.0, 0.1, 5).is_empty() && partitions.semantic_edges(5, 0.0).is_empty());
}
