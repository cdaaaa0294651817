//! Checks of sphere files.

use std::f64::consts::{PI, TAU};
use std::path::Path;

use blt_sphere::{HollowBall, Rows, Zone, unit_vector};

use super::Report;
use super::patches::check_entropies;
use crate::error::ReadError;
use crate::placed::{Placed, PlacedFile, rows_of};
use crate::sphere_file::SPHERE_FORMAT;

/// Relative error that 32-bit floats are allowed.
const F32_ERROR: f64 = 1e-5;
/// Relative error of sums of 64-bit floats.
const F64_ERROR: f64 = 1e-9;

pub(super) fn verify_sphere(path: &Path) -> Result<Report, ReadError> {
    let file = PlacedFile::open(path)?;
    let placed = file.read()?;
    let n = placed.len();
    let is_ours = placed.metadata.get("format").map(String::as_str) == Some(SPHERE_FORMAT);
    let made_by = if is_ours { "" } else { ", of another program" };
    let mut report = Report::new(path, format!("sphere of {n} patches{made_by}"));
    report.check_hash(file.file())?;
    // Reading has checked the shapes; they are said all the same.
    report.check("shapes", true, format!("every array has one value for each of {n} patches"));
    check_angles(&mut report, &placed);
    check_radii(&mut report, &placed);
    check_shells(&mut report, &placed);
    check_shares(&mut report, &placed);
    check_loads(&mut report, &placed);
    check_zones(&mut report, &placed);
    check_documents(&mut report, &placed);
    report.check_each("prominence", n, "prominences", "all are finite and not negative", |i| {
        let prominence = placed.prominence[i];
        (!prominence.is_finite() || prominence < 0.0).then(|| prominence.to_string())
    });
    check_entropies(&mut report, placed.entropies.as_deref());
    if file.file().info("cartesian").is_some() {
        let cartesian = file.file().doubles("cartesian")?;
        check_cartesian(&mut report, &placed, &cartesian);
    }
    if file.file().info("sphere_coords").is_some() {
        let embeddings = file.embeddings()?;
        check_coordinates(&mut report, &placed, rows_of(&embeddings));
    }
    if file.file().info("chart_axes").is_some() {
        match file.chart() {
            Ok(chart) => check_chart(&mut report, &chart.axes, chart.dim()),
            Err(error) => report.check("chart", false, error.to_string()),
        }
    }
    Ok(report)
}

/// The number that the metadata give for `key`.
fn number(placed: &Placed, key: &str) -> Option<f64> {
    placed.metadata.get(key)?.parse().ok()
}

fn check_angles(report: &mut Report, placed: &Placed) {
    report.check_each("theta", placed.len(), "angles", "all are from 0 to pi", |i| {
        (!(0.0..=PI).contains(&placed.theta[i])).then(|| placed.theta[i].to_string())
    });
    report.check_each("phi", placed.len(), "angles", "all are from 0 to below 2 pi", |i| {
        (!(0.0..TAU).contains(&placed.phi[i])).then(|| placed.phi[i].to_string())
    });
}

fn check_radii(report: &mut Report, placed: &Placed) {
    let (low, high) = match (number(placed, "r_min"), number(placed, "r_max")) {
        (Some(low), Some(high)) if !is_compatible(placed) => (low, high),
        _ => (0.0, f64::MAX),
    };
    let range = low * (1.0 - F64_ERROR)..=high * (1.0 + F64_ERROR);
    let fine = if high < f64::MAX { format!("all are from {low} to {high}") } else { "all are finite".to_owned() };
    report.check_each("radii", placed.len(), "radii", fine, |i| {
        (!range.contains(&placed.radii[i])).then(|| format!("{} is not from {low} to {high}", placed.radii[i]))
    });
}

/// Whether the original's formulas made it, whose radii keep to no ball.
fn is_compatible(placed: &Placed) -> bool {
    placed.metadata.get("compat").is_some_and(|compat| compat != "none")
}

fn check_shells(report: &mut Report, placed: &Placed) {
    let Some(bounds) = placed.shell_bounds.as_ref().filter(|_| !is_compatible(placed)) else { return };
    let ascend = bounds.windows(2).all(|pair| pair[0] < pair[1]);
    report.check("shell bounds", ascend, format!("{} bounds of shells, ascending: {ascend}", bounds.len()));
    report.check_each("shells", placed.len(), "shells", "every patch is within the bounds of its shell", |i| {
        let shell = placed.shells[i] as usize;
        let (Some(low), Some(high)) = (bounds.get(shell), bounds.get(shell + 1)) else {
            return Some(format!("there is no shell {shell}"));
        };
        let r = placed.radii[i];
        let inside = r >= low * (1.0 - F64_ERROR) && r <= high * (1.0 + F64_ERROR);
        (!inside).then(|| format!("{r} is not from {low} to {high}"))
    });
}

fn check_shares(report: &mut Report, placed: &Placed) {
    let Some(shares) = &placed.shares else { return };
    report.check_each("shares", shares.len(), "shares", "all are from 0 to 1", |i| {
        (!(0.0..=1.0 + F64_ERROR).contains(&shares[i])).then(|| shares[i].to_string())
    });
    let sum: f64 = shares.iter().sum();
    let whole = shares.is_empty() || (sum - 1.0).abs() <= F64_ERROR;
    report.check("sum of shares", whole, format!("shares of the volume add up to {sum}"));
    check_volumes(report, placed, shares);
}

/// Where volume is owned, a patch lies in the middle of what it owns: from the core outwards, the volume below it is what the
/// patches below it own and half of its own.
fn check_volumes(report: &mut Report, placed: &Placed, shares: &[f64]) {
    let says = |key: &str, value: &str| placed.metadata.get(key).is_some_and(|found| found == value);
    // Forces move patches away from there, and the original's formulas own nothing.
    let stays = says("compat", "none") && says("lasing", "none") && says("ebm", "none");
    let owns = stays && (says("method", "entropy") || says("method", "classic"));
    let ball = match (number(placed, "r_min"), number(placed, "r_max"), number(placed, "volume_exponent")) {
        (Some(low), Some(high), Some(exponent)) if owns => HollowBall::new(low, high, exponent),
        _ => None,
    };
    let Some(ball) = ball else { return };
    let mut order: Vec<usize> = (0..placed.len()).collect();
    order.sort_by(|&a, &b| placed.radii[a].total_cmp(&placed.radii[b]));
    let mut below = 0.0;
    let expected: Vec<f64> = order
        .iter()
        .map(|&i| {
            let radius = ball.radius(below + shares[i] / 2.0);
            below += shares[i];
            radius
        })
        .collect();
    // Shares too small to move a radius leave the order of their patches open.
    report.check_each(
        "owned volumes",
        order.len(),
        "patches",
        "every patch lies in the middle of the volume it owns",
        |k| {
            let (found, expected) = (placed.radii[order[k]], expected[k]);
            let is_there = (found - expected).abs() <= 1e-6 * expected;
            (!is_there).then(|| format!("patch {} is at {found}, not at {expected}", order[k]))
        },
    );
}

/// In osmotic equilibrium every shell holds as many patches as its part of the volume has room for, up to rounding.
fn check_loads(report: &mut Report, placed: &Placed) {
    let says = |key: &str, value: &str| placed.metadata.get(key).is_some_and(|found| found == value);
    let is_balanced = says("method_options", "Osmotic(Exact)") && says("lasing", "none") && says("ebm", "none");
    let (Some(bounds), Some(exponent), true) = (&placed.shell_bounds, number(placed, "volume_exponent"), is_balanced)
    else {
        return;
    };
    let ends = bounds.first().zip(bounds.last());
    let Some(ball) = ends.and_then(|(&low, &high)| HollowBall::new(low, high, exponent)) else { return };
    let mut counts = vec![0u64; bounds.len() - 1];
    for &shell in &placed.shells {
        if let Some(count) = counts.get_mut(shell as usize) {
            *count += 1;
        }
    }
    report.check_each("shell loads", counts.len(), "shells", "every shell is filled to its capacity", |shell| {
        let volume = ball.volume_below(bounds[shell + 1]) - ball.volume_below(bounds[shell]);
        let (found, room) = (counts[shell] as f64, volume * placed.len() as f64);
        ((found - room).abs() > 1.0 + 1e-6).then(|| format!("it holds {found} patches and has room for {room:.1}"))
    });
}

fn check_zones(report: &mut Report, placed: &Placed) {
    let Some(angle) = number(placed, "zone_angle").map(f64::to_radians) else { return };
    let counts = Zone::ALL.map(|zone| {
        let count = placed.zones.iter().filter(|&&number| number == zone as u8).count();
        format!("{count} {}", zone.name())
    });
    if number(placed, "translucency").is_some_and(|translucency| translucency >= 1.0) {
        report.check(
            "zones",
            true,
            format!("{}; wholly translucent, so patches are where the chart put them", counts.join(", ")),
        );
        return;
    }
    // Angles went through a cosine, which near its ends keeps half the digits.
    report.check_each(
        "zones",
        placed.len(),
        "patches",
        format!("every patch is in its zone: {}", counts.join(", ")),
        |i| {
            let (theta, zone) = (placed.theta[i], placed.zones[i]);
            let near_edge = (theta - angle).abs() < 1e-7 || (theta - (PI - angle)).abs() < 1e-7;
            (Zone::at(theta, angle) as u8 != zone && !near_edge)
                .then(|| format!("at {:.4} degrees it is not in zone {zone}", theta.to_degrees()))
        },
    );
}

fn check_documents(report: &mut Report, placed: &Placed) {
    let pairs: Vec<(i32, i32)> = placed.document.iter().copied().zip(placed.patch_idx.iter().copied()).collect();
    let fine = format!("patches of {} document(s), in order", placed.documents.len());
    report.check_each("documents", pairs.len().saturating_sub(1), "patches", fine, |i| {
        (pairs[i] >= pairs[i + 1]).then(|| format!("{:?} comes before {:?}", pairs[i], pairs[i + 1]))
    });
}

fn check_cartesian(report: &mut Report, placed: &Placed, cartesian: &[f64]) {
    if cartesian.len() != 3 * placed.len() {
        report.check("cartesian", false, format!("there are {} numbers for {} patches", cartesian.len(), placed.len()));
        return;
    }
    report.check_each("cartesian", placed.len(), "points", "all are where radius and angles say", |i| {
        let unit = unit_vector(placed.theta[i], placed.phi[i]);
        let off = |k: usize| (cartesian[3 * i + k] - placed.radii[i] * unit[k]).abs();
        let most = off(0).max(off(1)).max(off(2));
        // A NaN is off, too.
        let is_there = most <= F32_ERROR * placed.radii[i];
        (!is_there).then(|| format!("it is {most} off"))
    });
}

fn check_coordinates(report: &mut Report, placed: &Placed, rows: Rows<'_>) {
    let fine = "all embeddings are finite and as long as their radius";
    report.check_each("sphere_coords", placed.len(), "embeddings", fine, |i| {
        let norm = rows.row(i).iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        // A zero embedding has no direction, and stays zero.
        let fits = norm == 0.0 || (norm - placed.radii[i]).abs() <= F32_ERROR * placed.radii[i];
        (!fits).then(|| format!("it has length {norm}, not {}", placed.radii[i]))
    });
}

fn check_chart(report: &mut Report, axes: &[f64], dim: usize) {
    let dot = |a: usize, b: usize| (0..dim).map(|i| axes[a * dim + i] * axes[b * dim + i]).sum::<f64>();
    let mut worst = 0.0f64;
    for a in 0..3 {
        for b in 0..=a {
            let product = dot(a, b);
            // In fewer than three dimensions some axes are zero.
            let expected = if a == b && product > 0.5 { 1.0 } else { 0.0 };
            worst = worst.max((product - expected).abs());
        }
    }
    report.check("chart", worst <= 1e-6, format!("its axes are orthonormal to within {worst:.1e}"));
}
