//! Times of the index and the harmonics, one JSON object a line: `roots_times FILE DIM N_QUERIES N_BRUTE BAND_LIMIT`, FILE holding
//! rows of DIM little-endian f32. The first N_QUERIES rows are the queries. `benches/peers/roots.py` makes the file and runs the
//! same questions through other libraries.
#![expect(clippy::print_stdout, reason = "a benchmark reports on stdout")]

use std::error::Error;
use std::io::Read;
use std::time::Instant;

use blt_sphere::{CapTree, CellDirectory, Cone, Effort, Harmonics, Places, Region, Rows, TreeOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, numbers @ ..] = args.as_slice() else { return Err("FILE DIM N_QUERIES N_BRUTE BAND_LIMIT".into()) };
    let numbers: Vec<usize> = numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    let [dim, n_queries, n_brute, band_limit] = numbers[..] else { return Err("four numbers are needed".into()) };
    let values = read(file)?;
    let rows = Rows::new(&values, dim);
    let n = rows.len();

    // Uniform places by the golden angle.
    let theta: Vec<f64> = (0..n).map(|i| (1.0 - (2 * i + 1) as f64 / n as f64).acos()).collect();
    let phi: Vec<f64> = (0..n).map(|i| (i as f64 * 2.399_963_229_728_653).rem_euclid(std::f64::consts::TAU)).collect();
    let radii: Vec<f64> = (0..n).map(|i| 32.0 + 480.0 * (i % 997) as f64 / 997.0).collect();
    let prominence: Vec<f32> = (0..n).map(|i| 10.0 + (i % 101) as f32).collect();
    let zones = vec![1; n];
    let shells: Vec<i32> = radii.iter().map(|r| (r / 32.0) as i32).collect();
    let places = Places::new(&theta, &phi, &radii, &prominence, &zones, &shells);

    let tree = timed("cap tree", || CapTree::build(rows, places, TreeOptions::default()));
    println!(r#"{{"what": "nodes", "n": {}}}"#, tree.parts().nodes.len());
    let queries = Rows::new(&values[..n_queries * dim], dim);
    let exact = timed("knn exact", || tree.knn_many(queries, 10, Effort::Exact))?;
    for leaves in [8, 64] {
        let found = timed(&format!("knn beam {leaves}"), || tree.knn_many(queries, 10, Effort::Beam(leaves)))?;
        let hits: usize = found.iter().zip(&exact).map(|(a, b)| a.iter().filter(|near| b.contains(near)).count()).sum();
        println!(r#"{{"what": "recall of beam {leaves}", "recall": {:.4}}}"#, hits as f64 / (10 * n_queries) as f64);
    }
    let some = Rows::new(&values[..n_brute * dim], dim);
    let brute = timed("knn brute force", || tree.knn_brute_force(some, 10))?;
    println!(r#"{{"what": "exact", "equal": {}}}"#, brute[..] == exact[..n_brute]);
    let cones = timed("cones in the tree", || {
        (0..n_brute).map(|i| tree.cone(rows.row(i), 0.5).map(|found| found.len())).sum::<Result<usize, _>>()
    })?;
    println!(r#"{{"what": "in those cones", "n": {cones}}}"#);

    let cells = timed("cells", || CellDirectory::build(places, None));
    let regions: Vec<Region> = (0..n_queries)
        .map(|i| Region {
            cone: Some(Cone { theta: theta[i * 7 % n], phi: phi[i], half_angle: 0.02 }),
            ..Region::default()
        })
        .collect();
    let found =
        timed("cones on the sphere", || regions.iter().map(|region| cells.query(places, region).len()).sum::<usize>());
    println!(r#"{{"what": "in those cones", "n": {found}}}"#);

    let weights: Vec<f64> = prominence.iter().map(|&p| f64::from(p)).collect();
    let harmonics = timed("harmonics", || Harmonics::analyze(&theta, &phi, &weights, band_limit))?;
    let grid = timed("rings", || harmonics.smoothed(0.1).grid(2 * band_limit, 4 * band_limit));
    println!(r#"{{"what": "highest", "value": {}}}"#, grid.values().iter().copied().fold(f64::MIN, f64::max));
    println!(r#"{{"what": "C_2", "value": {}}}"#, harmonics.spectrum().power[2.min(band_limit)]);
    Ok(())
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), processor_seconds());
    let result = work();
    let (seconds, processor) = (start.elapsed().as_secs_f64(), processor_seconds() - before);
    println!(r#"{{"what": "{what}", "seconds": {seconds:.3}, "processor_seconds": {processor:.2}}}"#);
    result
}

/// What all threads have used, in hundredths of a second; 0 where there is no `/proc`. On a machine that is busy with other things
/// it says more than the time on the wall.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The file's numbers, without a second copy of them in memory.
fn read(file: &str) -> std::io::Result<Vec<f32>> {
    let mut input = std::fs::File::open(file)?;
    let mut values = Vec::with_capacity(usize::try_from(input.metadata()?.len()).unwrap_or(0) / 4);
    let mut bytes = vec![0; 1 << 20];
    loop {
        let mut filled = 0;
        while filled < bytes.len() {
            match input.read(&mut bytes[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        values.extend(bytes[..filled].as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        if filled < bytes.len() {
            return Ok(values);
        }
    }
}
