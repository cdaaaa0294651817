//! Times `fill` on made-up patches, part by part. Prints one JSON object, of seconds.
//!
//! ```console
//! $ cargo run --release -p blt-sphere --example fill_speed -- 1000000 768
//! ```
//!
//! `benches/peers/sphere.py` runs this next to NumPy, SciPy and scikit-learn on the same patches.

#![expect(clippy::print_stdout, reason = "it prints what it measured")]

use std::fs;
use std::time::Instant;

use blt_sphere::{
    Chart, ChartKind, ChartSource, Classic, Ebm, Edge, FillOptions, Flow, Lasing, Method, Osmotic, Patches, Rows,
    SeedScript, Temperature, Thrml, fill,
};
use rayon::prelude::*;

fn main() {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse().expect("counts of patches and numbers"));
    let (n, dim): (usize, usize) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(768));
    let embeddings = embeddings(n, dim);
    let noise = |i: usize, k: u64| uniform(i as u64, 1_000_000 + k);
    let prominence: Vec<f32> = (0..n).map(|i| 10.0 + 50.0 * noise(i, 0)).collect();
    let entropies: Vec<f32> = (0..n).map(|i| 0.05 + 3.95 * noise(i, 1)).collect();
    let rows = Rows::new(&embeddings, dim);

    let mut seconds = Vec::new();
    for kind in [ChartKind::Pca, ChartKind::Random, ChartKind::Axes] {
        let start = Instant::now();
        let chart = Chart::fit(kind, rows, &prominence, 42);
        seconds.push((format!("chart {} fit", kind.name()), start.elapsed()));
        let start = Instant::now();
        let points = chart.apply(rows, |i| i as u64);
        seconds.push((format!("chart {} apply", kind.name()), start.elapsed()));
        assert_eq!(points.len(), n);
    }
    let start = Instant::now();
    let whole = Patches { entropies: Some(&entropies), ..Patches::new(rows, &prominence) };
    let placement = fill(&whole, &FillOptions::default()).expect("sound patches");
    seconds.push(("fill, all of it".to_owned(), start.elapsed()));
    assert_eq!(placement.radii.len(), n);

    // Radii alone: one number a patch, and a chart that costs next to nothing.
    let thin: Vec<f32> = (0..n).map(|i| 1.0 + noise(i, 2)).collect();
    let thin = Patches { embeddings: Rows::new(&thin, 1), ..whole };
    let edges: Vec<Edge> = (0..n as u32 - 1)
        .flat_map(|i| (1..=8).map(move |k| Edge { from: i, to: (i + k * k).min(n as u32 - 1), weight: 1.0 }))
        .collect();
    let chart = ChartSource::Fit { kind: ChartKind::Axes, equalize: false };
    let plain = FillOptions { chart, ..FillOptions::default() };
    let time = |name: &str, patches: &Patches<'_>, options: &FillOptions| {
        let start = Instant::now();
        let placement = fill(patches, options).expect("sound patches");
        let elapsed = start.elapsed();
        eprint_stats(name, &placement.stats);
        (name.to_owned(), elapsed)
    };
    for (name, method) in [
        ("radii entropy", Method::Entropy { temperature: Temperature::default() }),
        ("radii entropy, temperature auto", Method::Entropy { temperature: Temperature::Auto { kappa: 1.0 } }),
        ("radii classic", Method::Classic(Classic::default())),
        ("radii osmotic", Method::Osmotic(Osmotic::Exact)),
        ("radii osmotic, dynamic", Method::Osmotic(Osmotic::Dynamic(Flow::default()))),
        ("radii thrml", Method::Thrml(Thrml::default())),
        ("radii seed osmotic", Method::SeedV07(SeedScript::Osmotic)),
        ("radii seed thrml", Method::SeedV07(SeedScript::Thrml)),
        ("radii seed entropy", Method::SeedV07(SeedScript::Entropy { temperature: 0.1 })),
    ] {
        seconds.push(time(name, &thin, &FillOptions { method, ..plain.clone() }));
    }
    seconds.push(time(
        "radii osmotic, lasing",
        &thin,
        &FillOptions { lasing: Some(Lasing::default()), ..plain.clone() },
    ));
    let ebm = FillOptions { ebm: Some(Ebm { n_steps: 10, ..Ebm::default() }), ..plain };
    seconds.push(time("ebm, 10 steps of 16 edges a patch", &Patches { edges: &edges, ..thin }, &ebm));

    let entries: Vec<String> =
        seconds.iter().map(|(name, elapsed)| format!("\"{name}\": {:.3}", elapsed.as_secs_f64())).collect();
    let peak = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| status.lines().find(|line| line.starts_with("VmHWM")).map(str::to_owned))
        .unwrap_or_default();
    println!(
        "{{{}, \"peak memory\": \"{}\"}}",
        entries.join(", "),
        peak.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    );
}

/// Eight directions of falling strength, in noise.
fn embeddings(n: usize, dim: usize) -> Vec<f32> {
    let mut values = vec![0f32; n * dim];
    let axes: Vec<f32> = (0..8 * dim).map(|at| uniform(at as u64, 7) - 0.5).collect();
    values.par_chunks_mut(dim).enumerate().for_each(|(i, row)| {
        let parts: [f32; 8] = std::array::from_fn(|k| (uniform(i as u64, k as u64) - 0.5) * 8.0 / (k + 1) as f32);
        for (d, value) in row.iter_mut().enumerate() {
            let signal: f32 = (0..8).map(|k| parts[k] * axes[k * dim + d]).sum();
            *value = signal + uniform((i * dim + d) as u64, 8) - 0.5;
        }
    });
    values
}

/// Uniform in [0, 1).
fn uniform(id: u64, draw: u64) -> f32 {
    let mut z = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ draw.wrapping_mul(0xD1B5_4A32_D192_ED03);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
}

#[expect(clippy::print_stderr, reason = "it tells what the times are of")]
fn eprint_stats(name: &str, stats: &blt_sphere::Stats) {
    eprintln!("{name}: {stats:?}");
}
