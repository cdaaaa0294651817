//! The cell directory holds every patch once, and its answers are those of looking at every patch.

use std::f64::consts::{PI, TAU};

use blt_sphere::{CellDirectory, Cone, Region};

use crate::points::{Owned, on_any_number_of_threads, uniform};

#[test]
fn every_patch_is_in_one_cell_that_its_place_names() {
    let owned = Owned::uniform(1, 20_000);
    let directory = CellDirectory::build(owned.places(), None);
    let mut seen = vec![false; 20_000];
    let (mut next, mut last_key) = (0, None);
    for cell in directory.cells() {
        assert!(last_key < Some(cell.key) && cell.first == next && cell.len > 0);
        (next, last_key) = (cell.first + cell.len, Some(cell.key));
        let members = &directory.patches()[cell.first as usize..next as usize];
        let (zone, _, shell) = cell.place();
        let mut sum = 0.0;
        for &id in members {
            let i = id as usize;
            assert!(!std::mem::replace(&mut seen[i], true));
            assert_eq!((zone, shell), (owned.zones[i], owned.shells[i] as u32));
            assert!(cell.radius[0] <= owned.radii[i] && owned.radii[i] <= cell.radius[1]);
            sum += f64::from(owned.prominence[i]);
        }
        assert_eq!(sum, cell.prominence_sum);
    }
    assert!(seen.iter().all(|&seen| seen));
    assert!(directory.left_out().is_empty());
}

#[test]
fn the_order_is_the_first_without_crowds() {
    let owned = Owned::uniform(2, 20_000);
    let most = |order| {
        let directory = CellDirectory::build(owned.places(), Some(order));
        let mut counts = std::collections::HashMap::new();
        directory.cells().iter().for_each(|cell| *counts.entry(cell.place().1).or_insert(0) += cell.len);
        counts.into_values().max().unwrap()
    };
    let order = CellDirectory::build(owned.places(), None).order();
    assert!(most(order) <= 64 && most(order - 1) > 64);
}

fn region(i: u64, owned: &Owned) -> Region {
    let draw = |what: u64| uniform(100 + what, i);
    let some_patch = (draw(0) * owned.theta.len() as f64) as usize;
    let (theta, phi) = match i % 6 {
        0 => (0.0, TAU * draw(1)),
        1 => (PI, TAU * draw(1)),
        2 => (PI * draw(1), [0.0, -1e-12, TAU, 4.0 * PI][i as usize / 6 % 4]),
        3 => (owned.theta[some_patch], owned.phi[some_patch]),
        _ => (PI * draw(1), TAU * draw(2)),
    };
    let half_angle = match i % 11 {
        0 | 3 => 0.0,
        1 => PI,
        2 => PI / 2.0,
        _ => PI * draw(3).powi(4),
    };
    let low = 32.0 + 480.0 * draw(4);
    Region {
        cone: (!i.is_multiple_of(13)).then_some(Cone { theta, phi, half_angle }),
        radius: i.is_multiple_of(3).then_some([low, low + 200.0 * draw(5)]),
        min_prominence: i.is_multiple_of(5).then_some(60.0 * draw(6)),
        zone: i.is_multiple_of(7).then_some((4.0 * draw(7)) as u8),
    }
}

#[test]
fn regions_are_those_of_brute_force() {
    let mut owned = Owned::uniform(3, 1500);
    // Patches at the poles and on the seam, several in one place.
    for i in 0..60 {
        owned.theta[i] = [0.0, PI, PI / 2.0, 1.0, PI - 1e-9][i % 5];
        owned.phi[i] = [0.0, 0.0, TAU - 1e-15, TAU, 3.0][i / 5 % 5];
    }
    let directories = [None, Some(0), Some(12)].map(|order| CellDirectory::build(owned.places(), order));
    for i in 0..10_000 {
        let region = region(i, &owned);
        let expected = directories[0].query_brute_force(owned.places(), &region);
        let asked = if i % 10 == 0 { &directories[..] } else { &directories[..1] };
        for directory in asked {
            assert_eq!(directory.query(owned.places(), &region), expected, "{region:?}");
        }
        if let Some(Cone { half_angle: 0.0, .. }) = region.cone
            && (i % 6 == 3, region.radius, region.min_prominence, region.zone) == (true, None, None, None)
        {
            assert!(!expected.is_empty(), "a patch is in its own direction");
        }
    }
}

#[test]
fn cones_of_no_angle_hold_nothing() {
    let owned = Owned::uniform(4, 300);
    let directory = CellDirectory::build(owned.places(), None);
    for (theta, half_angle) in [(1.0, -0.1), (1.0, f64::NAN), (f64::NAN, 1.0)] {
        let region = Region { cone: Some(Cone { theta, phi: 1.0, half_angle }), ..Region::default() };
        assert!(directory.query(owned.places(), &region).is_empty());
    }
    assert_eq!(directory.query(owned.places(), &Region::default()).len(), 300);
}

#[test]
fn patches_without_a_place_are_left_out() {
    let mut owned = Owned::uniform(5, 100);
    owned.theta[3] = f64::NAN;
    owned.phi[50] = f64::INFINITY;
    owned.radii[99] = f64::NAN;
    owned.prominence[7] = f32::NAN;
    let directory = CellDirectory::build(owned.places(), None);
    assert_eq!(directory.left_out(), [3, 50, 99]);
    let all = directory.query(owned.places(), &Region::default());
    assert_eq!(all.len(), 97);
    let prominent = Region { min_prominence: Some(0.0), ..Region::default() };
    let found = directory.query(owned.places(), &prominent);
    assert_eq!((found.len(), found.contains(&7)), (96, false));
}

#[test]
fn none_one_and_equal_patches_have_cells() {
    let none = Owned::uniform(6, 0);
    assert!(CellDirectory::build(none.places(), None).query(none.places(), &Region::default()).is_empty());
    let one = Owned::uniform(6, 1);
    let directory = CellDirectory::build(one.places(), None);
    assert_eq!((directory.order(), directory.cells().len()), (0, 1));
    let mut equal = Owned::uniform(6, 500);
    equal.theta.fill(1.0);
    equal.phi.fill(2.0);
    let directory = CellDirectory::build(equal.places(), None);
    assert_eq!(directory.order(), 12, "no order parts them");
    let cone = Cone { theta: 1.0, phi: 2.0, half_angle: 0.0 };
    assert_eq!(directory.query(equal.places(), &Region { cone: Some(cone), ..Region::default() }).len(), 500);
}

#[test]
fn directories_are_the_same_on_any_number_of_threads() {
    let owned = Owned::uniform(7, 10_000);
    on_any_number_of_threads(|| CellDirectory::build(owned.places(), None));
}
