//! Empty, single, equal, damaged.

use blt_sphere::{
    Chart, ChartKind, ChartSource, Ebm, Edge, FillError, FillOptions, Flaw, Lasing, Method, Patches, RadialOptions,
    Rows, ZoneOptions, fill,
};

use crate::synthetic::{Signals, all_options};

#[test]
fn no_patches_give_an_empty_placement() {
    for options in all_options() {
        let placement = fill(&Signals::new(0, 4).patches(), &options).unwrap();
        assert!(placement.radii.is_empty() && placement.theta.is_empty() && placement.zones.is_empty());
    }
}

#[test]
fn few_and_equal_patches_are_placed() {
    for n in [1, 2, 3, 50] {
        let mut signals = Signals::new(n, 4);
        for equal in [false, true] {
            if equal {
                let row = signals.embeddings[..4].to_vec();
                signals.embeddings = row.repeat(n);
                signals.prominence = vec![30.0; n];
                signals.entropies = vec![1.0; n];
            }
            for options in all_options() {
                let placement = fill(&signals.patches(), &options).unwrap();
                assert!(
                    placement.radii.iter().chain(&placement.theta).chain(&placement.phi).all(|x| x.is_finite()),
                    "{options:?}"
                );
                assert!((placement.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                if equal {
                    assert_eq!(placement.stats.n_degenerate, n);
                }
            }
        }
    }
}

#[test]
fn equal_patches_are_told_apart_by_id() {
    let mut signals = Signals::new(20, 3);
    signals.prominence.fill(1.0);
    let radii = fill(&signals.patches(), &FillOptions::default()).unwrap().radii;
    assert!(radii.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn zeros_are_placed() {
    let mut signals = Signals::new(30, 5);
    signals.embeddings[..10].fill(0.0);
    signals.prominence.fill(0.0);
    signals.entropies.fill(0.0);
    for options in all_options() {
        let placement = fill(&signals.patches(), &options).unwrap();
        assert_eq!(placement.stats.n_degenerate, 2);
        assert!(placement.radii.iter().chain(&placement.theta).all(|x| x.is_finite()), "{options:?}");
    }
}

#[test]
fn what_is_not_finite_is_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let signals = Signals::new(10, 3);
        let mut embeddings = signals.clone();
        embeddings.embeddings[3 * 4 + 1] = bad;
        let mut prominence = signals.clone();
        prominence.prominence[7] = bad;
        let mut entropies = signals;
        entropies.entropies[2] = bad;
        for (signals, first, flaw) in
            [(embeddings, 4, Flaw::Embedding), (prominence, 7, Flaw::Prominence), (entropies, 2, Flaw::Entropy)]
        {
            for options in all_options() {
                assert_eq!(fill(&signals.patches(), &options), Err(FillError::Flawed { first, flaw, n: 1 }));
            }
        }
    }
}

#[test]
fn any_width_from_one_to_many() {
    for dim in [1, 2, 3, 4, 31, 33, 768, 4096] {
        let signals = Signals::new(40, dim);
        for kind in [ChartKind::Pca, ChartKind::Random, ChartKind::Axes] {
            let chart = ChartSource::Fit { kind, equalize: true };
            let placement = fill(&signals.patches(), &FillOptions { chart, ..FillOptions::default() }).unwrap();
            assert_eq!(placement.chart.axes.len(), 3 * dim);
            assert!(placement.theta.iter().chain(&placement.phi).all(|angle| angle.is_finite()));
        }
    }
}

#[test]
fn shells_of_the_scripts_have_one_width() {
    use blt_sphere::{SeedScript, ShellSpacing};
    let signals = Signals::new(40, 4);
    for script in [SeedScript::Osmotic, SeedScript::Thrml, SeedScript::Entropy { temperature: 1.0 }] {
        for spacing in [ShellSpacing::EqualVolume, ShellSpacing::EqualWidth] {
            let radial = RadialOptions { spacing, n_shells: Some(4), ..RadialOptions::default() };
            let options = FillOptions { method: Method::SeedV07(script), radial, ..FillOptions::default() };
            assert_eq!(fill(&signals.patches(), &options).unwrap().shell_bounds, [32.0, 152.0, 272.0, 392.0, 512.0]);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let signals = Signals::new(10, 3);
    let patches = signals.patches();
    let short = &signals.prominence[..9];
    let wrong = Patches { prominence: short, ..patches };
    let refused = FillError::Length { what: "prominences", found: 9, expected: 10 };
    assert_eq!(fill(&wrong, &FillOptions::default()), Err(refused));
    let without = Patches { entropies: None, ..patches };
    for options in all_options() {
        let needed = options.method.needs_entropies();
        assert_eq!(matches!(fill(&without, &options), Err(FillError::NoEntropies { .. })), needed);
    }
    let lasing = FillOptions { lasing: Some(Lasing::default()), ..FillOptions::default() };
    assert!(matches!(fill(&without, &lasing), Err(FillError::NoEntropies { .. })));
    let edges = [Edge { from: 0, to: 10, weight: 1.0 }];
    let ebm = FillOptions { ebm: Some(Ebm::default()), ..FillOptions::default() };
    assert!(matches!(fill(&Patches { edges: &edges, ..patches }, &ebm), Err(FillError::Edge { index: 0, .. })));
    let chart = Chart::fit(ChartKind::Pca, Rows::new(&[1.0; 8], 4), &[1.0; 2], 42);
    let stored = FillOptions { chart: ChartSource::Stored(chart), ..FillOptions::default() };
    assert_eq!(fill(&patches, &stored), Err(FillError::Chart { found: 4, expected: 3 }));
}

#[test]
fn options_out_of_range_are_refused() {
    use blt_sphere::{Classic, Flow, MinRadius, Osmotic, SeedScript, Temperature, Thrml};
    let signals = Signals::new(10, 3);
    let method = |method| FillOptions { method, ..FillOptions::default() };
    let radial = |radial| FillOptions { radial, ..FillOptions::default() };
    let zones = |zones| FillOptions { zones, ..FillOptions::default() };
    let ebm = |ebm| FillOptions { ebm: Some(ebm), ..FillOptions::default() };
    for options in [
        method(Method::Entropy { temperature: Temperature::Nats(0.0) }),
        method(Method::Entropy { temperature: Temperature::Auto { kappa: f64::NAN } }),
        method(Method::Classic(Classic { budget: 0.0, ..Classic::default() })),
        method(Method::Classic(Classic { cap: Some(0.05), ..Classic::default() })),
        method(Method::Classic(Classic { dry_fraction: 1.0, ..Classic::default() })),
        method(Method::Osmotic(Osmotic::Dynamic(Flow { rate: 0.3, ..Flow::default() }))),
        method(Method::Thrml(Thrml { temperature: -1.0, ..Thrml::default() })),
        radial(RadialOptions { r_max: 32.0, ..RadialOptions::default() }),
        radial(RadialOptions { exponent: 1e-17, ..RadialOptions::default() }),
        radial(RadialOptions { n_shells: Some(0), ..RadialOptions::default() }),
        radial(RadialOptions { r_min: MinRadius::Fixed(f64::NAN), ..RadialOptions::default() }),
        zones(ZoneOptions { translucency: 1.1, ..ZoneOptions::default() }),
        zones(ZoneOptions { pole_angle: 2.0, ..ZoneOptions::default() }),
        ebm(Ebm { step: 0.0, ..Ebm::default() }),
        ebm(Ebm { last_temperature: 0.0, ..Ebm::default() }),
        ebm(Ebm { n_negatives: 0, ..Ebm::default() }),
    ] {
        assert!(matches!(fill(&signals.patches(), &options), Err(FillError::Option { .. })), "{options:?}");
    }
    let script = |script| FillOptions { lasing: Some(Lasing::default()), ..method(Method::SeedV07(script)) };
    for options in [script(SeedScript::Osmotic), script(SeedScript::Thrml)] {
        assert!(matches!(fill(&signals.patches(), &options), Err(FillError::Option { option: "lasing", .. })));
    }
    assert!(fill(&signals.patches(), &script(SeedScript::Entropy { temperature: 1.0 })).is_ok());
    let auto = radial(RadialOptions { r_min: MinRadius::Auto, ..RadialOptions::default() });
    assert_eq!(fill(&signals.patches(), &auto).unwrap().shell_bounds[0], 16.0);
}
