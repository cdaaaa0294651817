//! What holds for every method.

use blt_sphere::{
    ChartKind, ChartSource, Edge, FillOptions, Lasing, Method, RadialOptions, RadialOrder, Temperature, Zone,
    ZoneOptions, ZoneTarget, fill,
};

use crate::synthetic::{Signals, all_options, in_the_ball};

#[test]
fn everything_is_where_it_may_be() {
    let signals = Signals::new(500, 8);
    for options in all_options() {
        for order in [RadialOrder::CoreFirst, RadialOrder::RimFirst] {
            let options =
                FillOptions { radial: RadialOptions { order, ..RadialOptions::default() }, ..options.clone() };
            let placement = fill(&signals.patches(), &options).unwrap();
            let n_shells = options.method.default_shells() as usize;
            assert_eq!(placement.shell_bounds.len(), n_shells + 1);
            assert!((placement.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{options:?}");
            for i in 0..500 {
                assert!((0.0..=std::f64::consts::PI).contains(&placement.theta[i]));
                assert!((0.0..std::f64::consts::TAU).contains(&placement.phi[i]));
                assert!((0..n_shells as i32).contains(&placement.shells[i]));
                assert_eq!(Zone::at(placement.theta[i], options.zones.pole_angle), Zone::Content);
                if in_the_ball(&options.method) {
                    assert!((32.0..=512.0).contains(&placement.radii[i]));
                    let shell = placement.shells[i] as usize;
                    let (low, high) = (placement.shell_bounds[shell], placement.shell_bounds[shell + 1]);
                    assert!(placement.radii[i] >= low * (1.0 - 1e-12) && placement.radii[i] <= high * (1.0 + 1e-12));
                }
            }
        }
    }
}

/// More prominent patches are never farther out (or in) than less prominent ones of the same entropy.
#[test]
fn prominence_decides_the_order() {
    let mut signals = Signals::new(400, 3);
    signals.entropies.fill(1.0);
    let mut by_prominence: Vec<usize> = (0..400).collect();
    by_prominence.sort_by(|&i, &j| signals.prominence[j].total_cmp(&signals.prominence[i]).then(i.cmp(&j)));
    for options in all_options() {
        // Draws and forces keep the order only on average; scripts have orders of their own.
        if options.ebm.is_some() || matches!(options.method, Method::Thrml(_) | Method::SeedV07(_)) {
            continue;
        }
        for (order, sign) in [(RadialOrder::CoreFirst, 1.0), (RadialOrder::RimFirst, -1.0)] {
            let options =
                FillOptions { radial: RadialOptions { order, ..RadialOptions::default() }, ..options.clone() };
            let radii = fill(&signals.patches(), &options).unwrap().radii;
            assert!(
                by_prominence.windows(2).all(|pair| sign * (radii[pair[1]] - radii[pair[0]]) >= 0.0),
                "{options:?}"
            );
        }
    }
}

/// The order in which patches come changes nothing but rounding.
#[test]
fn places_follow_ids() {
    let signals = Signals::new(300, 6);
    let places: Vec<usize> = (0..300).map(|i| (i * 77 + 5) % 300).collect();
    let other = signals.reordered(&places);
    for options in all_options() {
        if options.ebm.is_some() {
            continue; // repulsion and noise go by places
        }
        let (a, b) = (fill(&signals.patches(), &options).unwrap(), fill(&other.patches(), &options).unwrap());
        for (to, &from) in places.iter().enumerate() {
            assert!((a.radii[from] - b.radii[to]).abs() < 1e-6 * a.radii[from].max(1.0), "{options:?}");
            assert!((a.shares[from] - b.shares[to]).abs() < 1e-9);
            assert!((a.theta[from] - b.theta[to]).abs() < 1e-6, "{options:?}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    // More than one chunk of a parallel sum and one panel of a product.
    let signals = Signals::new(5000, 5);
    let edges: Vec<Edge> = (0..4999).map(|i| Edge { from: i, to: i + 1, weight: 1.0 }).collect();
    let zones: Vec<Zone> = (0..5000).map(|i| Zone::ALL[i % 3]).collect();
    let patches = blt_sphere::Patches { edges: &edges, zones: Some(&zones), ..signals.patches() };
    for options in all_options() {
        let on = |n_threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(n_threads)
                .build()
                .unwrap()
                .install(|| fill(&patches, &options).unwrap())
        };
        let one = on(1);
        assert_eq!(one, on(2), "{options:?}");
        assert_eq!(one, on(8), "{options:?}");
    }
}

#[test]
fn a_scale_of_prominence_does_not_matter() {
    let signals = Signals::new(200, 4);
    let mut scaled = signals.clone();
    scaled.prominence.iter_mut().for_each(|p| *p *= 4.0); // a power of two, so that nothing is rounded
    for temperature in [Temperature::Nats(0.5), Temperature::Auto { kappa: 0.7 }] {
        let options = FillOptions { method: Method::Entropy { temperature }, ..FillOptions::default() };
        let (a, b) = (fill(&signals.patches(), &options).unwrap(), fill(&scaled.patches(), &options).unwrap());
        for i in 0..200 {
            assert!((a.radii[i] - b.radii[i]).abs() < 1e-6);
        }
    }
}

#[test]
fn lasing_moves_coherent_patches_in() {
    let signals = Signals::new(200, 4);
    let plain = FillOptions::default();
    let lasing = FillOptions { lasing: Some(Lasing::default()), ..plain.clone() };
    let (a, b) = (fill(&signals.patches(), &plain).unwrap(), fill(&signals.patches(), &lasing).unwrap());
    let coherence = blt_sphere::coherence01(&signals.prominence, &signals.entropies);
    let mut sorted = coherence.clone();
    sorted.sort_by(f64::total_cmp);
    for (i, coherence) in coherence.into_iter().enumerate() {
        let moved = b.radii[i] - a.radii[i];
        assert!(if coherence > sorted[100] { moved <= 0.0 } else { moved >= 0.0 });
    }
}

#[test]
fn zones_hold_those_they_are_for() {
    let signals = Signals::new(900, 4);
    let zones: Vec<Zone> = (0..900).map(|i| if i % 9 > 0 { Zone::Content } else { Zone::ALL[i % 2 * 2] }).collect();
    let patches = blt_sphere::Patches { zones: Some(&zones), ..signals.patches() };
    for translucency in [0.0, 0.3, 0.9] {
        let options =
            FillOptions { zones: ZoneOptions { translucency, ..ZoneOptions::default() }, ..FillOptions::default() };
        let placement = fill(&patches, &options).unwrap();
        assert_eq!(placement.zones, zones);
        let pole = options.zones.pole_angle;
        assert!(placement.theta.iter().zip(&zones).all(|(&theta, &zone)| Zone::at(theta, pole) == zone));
        let all_qa = ZoneOptions { target: ZoneTarget::All(Zone::Qa), translucency, ..ZoneOptions::default() };
        let placement = fill(&patches, &FillOptions { zones: all_qa, ..options.clone() }).unwrap();
        assert!(placement.theta.iter().all(|&theta| Zone::at(theta, pole) == Zone::Qa));
    }
    // Left where the chart puts them, equalized patches fill each zone as its area says: (1 - cos 15°) / 2 in each cap.
    let natural = ZoneOptions { target: ZoneTarget::Natural, ..ZoneOptions::default() };
    for kind in [ChartKind::Pca, ChartKind::Random, ChartKind::Axes] {
        let chart = ChartSource::Fit { kind, equalize: true };
        let placement = fill(&patches, &FillOptions { zones: natural, chart, ..FillOptions::default() }).unwrap();
        let in_north = placement.zones.iter().filter(|&&zone| zone == Zone::Instruction).count();
        assert_eq!(in_north, (900.0 * (1.0 - 15f64.to_radians().cos()) / 2.0f64).round() as usize);
    }
}
