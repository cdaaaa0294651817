//! Checks of indexes and harmonics.

use std::path::PathBuf;

use blt_sphere::{Effort, Rows};

use super::Report;
use crate::error::ReadError;
use crate::file::ArrayFile;
use crate::harmonics_file::{Part, read_harmonics};
use crate::placed::{PlacedFile, rows_of};
use crate::roots_file::Roots;

/// Queries whose answers are compared with those of looking at every patch.
const N_QUERIES: usize = 16;
/// Neighbours asked for.
const N_NEIGHBOURS: usize = 10;

pub(super) fn verify_roots(file: &ArrayFile) -> Result<Report, ReadError> {
    let path = file.path();
    let order = file.integers("order")?;
    let mut report = Report::new(path, format!("index of {} patches", order.len()));
    report.check_hash(file)?;
    let Some(sphere) = sphere_beside(file) else {
        report.check(
            "sphere",
            false,
            "the sphere file that it is of is not beside it, so it cannot be checked against it",
        );
        return Ok(report);
    };
    let sphere = PlacedFile::open(&sphere)?;
    let (placed, embeddings) = (sphere.read()?, sphere.embeddings()?);
    let rows = rows_of(&embeddings);
    let roots = match Roots::open(path, rows, &placed, sphere.sha256()) {
        Ok(roots) => roots,
        Err(error) => {
            report.check("tree", false, error.to_string());
            return Ok(report);
        }
    };
    report.check("tree", true, format!("every patch is in one leaf of {} nodes", roots.tree.parts().nodes.len()));
    let stale = roots.tree.is_stale(placed.places());
    report.check(
        "fresh",
        !stale,
        if stale { "patches or places have changed since" } else { "it is of these patches and places" },
    );
    check_partitions(&mut report, file, &roots)?;
    check_cells(&mut report, file, placed.len())?;
    check_queries(&mut report, &roots, rows);
    Ok(report)
}

/// The sphere file with the same name, beside the index.
fn sphere_beside(file: &ArrayFile) -> Option<PathBuf> {
    let name = file.path().file_name()?.to_str()?;
    let stem = name.strip_suffix(".roots.safetensors")?;
    let beside = ["npz", "safetensors"].map(|end| file.path().with_file_name(format!("{stem}.sphere.{end}")));
    beside.into_iter().find(|path| path.is_file())
}

fn check_partitions(report: &mut Report, file: &ArrayFile, roots: &Roots<'_>) -> Result<(), ReadError> {
    let partitions = &roots.partitions.partitions;
    let n: u64 = partitions.iter().map(|partition| u64::from(partition.n_members)).sum();
    let stored: Vec<i64> = file.integers("partition_id")?;
    let expected: Vec<i64> = roots.partition_of_patches().into_iter().map(i64::from).collect();
    let holds = n == roots.tree.len() as u64 && stored == expected;
    report.check(
        "partitions",
        holds,
        format!("{} partitions hold {n} of {} patches", partitions.len(), roots.tree.len()),
    );
    Ok(())
}

fn check_cells(report: &mut Report, file: &ArrayFile, n: usize) -> Result<(), ReadError> {
    let (first, len) = (file.integers("cell_first")?, file.integers("cell_len")?);
    let mut patches = file.integers("cell_patches")?;
    let mut end = 0;
    let tiles = first.len() == len.len()
        && first.iter().zip(&len).all(|(&first, &len)| {
            let follows = first == end && len > 0;
            end += len;
            follows
        });
    let n_listed = patches.len();
    patches.sort_unstable();
    patches.dedup();
    let once = patches.len() == n_listed && patches.last().is_none_or(|&last| last < n as i64);
    let holds = tiles && once && end == n_listed as i64;
    report.check("cells", holds, format!("{} cells list {n_listed} of {n} patches, each once: {holds}", first.len()));
    Ok(())
}

fn check_queries(report: &mut Report, roots: &Roots<'_>, rows: Rows<'_>) {
    let step = (roots.tree.len() / N_QUERIES).max(1);
    let patches: Vec<u32> = roots.tree.parts().order.iter().copied().step_by(step).take(N_QUERIES).collect();
    report.check_each(
        "neighbours",
        patches.len(),
        "queries",
        format!("{} queries have the neighbours that looking at every patch finds", patches.len()),
        |i| {
            let query = rows.row(patches[i] as usize);
            let fast = roots.tree.knn(query, N_NEIGHBOURS, Effort::Exact);
            let slow = roots.tree.knn_brute_force(Rows::new(query, rows.dim()), N_NEIGHBOURS);
            let same = matches!((&fast, &slow), (Ok(fast), Ok(slow)) if slow.first() == Some(fast));
            (!same).then(|| format!("patch {} has other neighbours by the index", patches[i]))
        },
    );
}

pub(super) fn verify_harmonics(file: &ArrayFile) -> Result<Report, ReadError> {
    let parts = read_harmonics(file.path())?;
    let n_points = file.integers("n_points")?;
    let all = n_points.first().copied().unwrap_or(0);
    let mut report = Report::new(file.path(), format!("harmonics of {all} patches"));
    report.check_hash(file)?;
    report.check_each("power", parts.len(), "spectra", "every spectrum is that of its coefficients", |i| {
        let expected = parts[i].harmonics.spectrum().power;
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * b.abs().max(f64::MIN_POSITIVE);
        (!parts[i].spectrum.power.iter().zip(&expected).all(close)).then(|| "it is another one".to_owned())
    });
    report.check_each("cumulative", parts.len(), "sums", "sums of power ascend to 1", |i| {
        let sums = &parts[i].spectrum.cumulative;
        let ascend = sums.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12);
        let end = sums.last().copied().unwrap_or(0.0);
        (!(ascend && (end == 0.0 || (end - 1.0).abs() < 1e-9))).then(|| format!("they end at {end}"))
    });
    let of_kind = |is_kind: fn(Part) -> bool| -> Option<i64> {
        let counts: Vec<i64> =
            parts.iter().zip(&n_points).filter(|(part, _)| is_kind(part.part)).map(|(_, &n)| n).collect();
        (!counts.is_empty()).then(|| counts.iter().sum())
    };
    for (name, n) in [
        ("zones", of_kind(|part| matches!(part, Part::Zone(_)))),
        ("shells", of_kind(|part| matches!(part, Part::Shell(_)))),
    ] {
        if let Some(n) = n {
            report.check(name, n == all, format!("{n} of {all} patches are in the parts by {name}"));
        }
    }
    Ok(report)
}
