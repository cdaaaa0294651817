//! `blt-cli sphere query`: patches near a text or a patch, in a cone or in a region.

use std::fmt::Write as _;

use blt_corpus::{Roots, rows_of};
use blt_sphere::{
    CapTree, CellDirectory, Cone, Effort, NavigateOptions, Neighbour, Query, QueryError, Region, Rows, Surroundings,
    TreeOptions, Visit, coherence01, navigate,
};
use serde_json::{Value, json};

use super::args::{QueryArgs, ZoneArg};
use super::open::Opened;
use crate::Ending;
use crate::args::ReportFormat;
use crate::failure::Failure;
use crate::output::write_all;
use crate::render::printable;

pub(super) fn run(args: &QueryArgs) -> Result<Ending, Failure> {
    let opened = args.sphere.open()?;
    if !args.around.is_empty() {
        args.sphere.refuse_model()?;
        let found = in_region(args, &opened)?;
        let entries = found.iter().take(args.k).map(|&id| (id, None)).collect::<Vec<_>>();
        return report(args, &opened, &entries, Some(found.len()));
    }
    let vector = args.sphere.vector(&opened, args.sphere.patch)?;
    let failed = |error: QueryError| Failure::new("cannot look for it", error);
    if args.brute_force {
        let places = opened.placed.places();
        let tree = CapTree::build(
            rows_of(&opened.embeddings),
            places,
            TreeOptions { leaf_size: u32::MAX, ..TreeOptions::default() },
        );
        let found = match args.cone {
            Some(degrees) => tree.cone_brute_force(&vector, degrees.to_radians()).map_err(failed)?,
            None => {
                let query = Rows::new(&vector, vector.len());
                tree.knn_brute_force(query, args.k).map_err(failed)?.pop().unwrap_or_default()
            }
        };
        return neighbours(args, &opened, &found);
    }
    let roots = args.sphere.roots(&opened)?;
    if args.navigate {
        let visits = visits(args, &opened, &roots, &vector).map_err(failed)?;
        return report_visits(args, &opened, &visits);
    }
    let found = match args.cone {
        Some(degrees) => roots.tree.cone(&vector, degrees.to_radians()),
        None => {
            let effort = args.beam.map_or(Effort::Exact, |leaves| Effort::Beam(leaves as usize));
            roots.tree.knn(&vector, args.k, effort)
        }
    };
    neighbours(args, &opened, &found.map_err(failed)?)
}

fn neighbours(args: &QueryArgs, opened: &Opened, found: &[Neighbour]) -> Result<Ending, Failure> {
    let entries: Vec<_> =
        found.iter().take(args.k).map(|near| (near.id, Some(("cosine", f64::from(near.cosine))))).collect();
    report(args, opened, &entries, args.cone.map(|_| found.len()))
}

/// Patches in a region of the sphere itself, in the order of their numbers.
fn in_region(args: &QueryArgs, opened: &Opened) -> Result<Vec<u32>, Failure> {
    let &[theta, phi] = args.around.as_slice() else {
        return Err(Failure::usage("`--around` takes two angles in degrees, like `90,45`"));
    };
    let half_angle = args.within.unwrap_or_default();
    if !(0.0..=180.0).contains(&theta) || !phi.is_finite() || !(0.0..=180.0).contains(&half_angle) {
        return Err(Failure::usage(
            "`--around` is from 0 to 180 degrees from the north pole, `--within` from 0 to 180",
        ));
    }
    let radius = match *args.radius.as_slice() {
        [] => None,
        [least, most] if least <= most => Some([least, most]),
        _ => return Err(Failure::usage("`--radius` takes two radii, the smaller first, like `32,100`")),
    };
    let zone = args.zone.map(|zone| match zone {
        ZoneArg::Instruction => 0,
        ZoneArg::Content => 1,
        ZoneArg::Qa => 2,
    });
    let cone = Cone { theta: theta.to_radians(), phi: phi.to_radians(), half_angle: half_angle.to_radians() };
    let region = Region { cone: Some(cone), radius, min_prominence: args.min_prominence, zone };
    let places = opened.placed.places();
    Ok(CellDirectory::build(places, None).query(places, &region))
}

fn visits(args: &QueryArgs, opened: &Opened, roots: &Roots<'_>, vector: &[f32]) -> Result<Vec<Visit>, QueryError> {
    let placed = &opened.placed;
    let defaults = NavigateOptions::default();
    let options = NavigateOptions {
        half_angle: args.cone_angle.map_or(defaults.half_angle, f64::to_radians),
        max_cones: args.max_cones.unwrap_or(defaults.max_cones),
        threshold: args.threshold.unwrap_or(defaults.threshold),
        ..defaults
    };
    // A partition is as coherent as its patches are on average.
    let coherence01 = placed.entropies.as_ref().map(|entropies| coherence01(&placed.prominence, entropies));
    let coherence: Vec<f64> = roots
        .partitions
        .partitions
        .iter()
        .map(|partition| {
            let members = roots.tree.members(partition.node as usize);
            let sum = |all: &Vec<f64>| members.iter().map(|&id| all[id as usize]).sum::<f64>();
            coherence01.as_ref().map_or(0.0, |all| sum(all) / members.len().max(1) as f64)
        })
        .collect();
    let ball = placed.shell_bounds.as_ref().and_then(|bounds| Some([*bounds.first()?, *bounds.last()?]));
    let of_patches = || placed.radii.iter().fold([f64::INFINITY, 0.0], |[low, high], &r| [r.min(low), r.max(high)]);
    let surroundings = Surroundings {
        radii: &placed.radii,
        // A sphere of the original's has no bounds of shells, so that its patches have to do.
        radius_range: ball.unwrap_or_else(of_patches),
        entropies: placed.entropies.as_deref(),
        graph: None,
    };
    let radius = args.sphere.patch.map(|patch| placed.radii[patch as usize]);
    navigate(&roots.tree, &roots.partitions, &coherence, Query { vector, radius }, &surroundings, &options)
}

/// Patches with a number each that says how near they are; `total` when there are more than are shown.
fn report(
    args: &QueryArgs,
    opened: &Opened,
    entries: &[(u32, Option<(&str, f64)>)],
    total: Option<usize>,
) -> Result<Ending, Failure> {
    let mut text = String::new();
    match args.format {
        ReportFormat::Json => {
            let entry = |&(id, score): &(u32, Option<(&str, f64)>)| {
                let mut entry = opened.describe(id);
                entry.extend(score.map(|(name, value)| (name.to_owned(), json!(value))));
                Value::Object(entry)
            };
            let results: Vec<Value> = entries.iter().map(entry).collect();
            let _ = writeln!(text, "{:#}", json!({"found": total.unwrap_or(results.len()), "results": results}));
        }
        ReportFormat::Text => {
            for &(id, score) in entries {
                let score = score.map_or_else(String::new, |(_, value)| format!("{value:>8.4}  "));
                let _ = writeln!(text, "{score}{}", opened.line(id));
            }
            if let Some(more) = total.and_then(|total| total.checked_sub(entries.len())).filter(|&more| more > 0) {
                let _ = writeln!(text, "and {more} more; `-k` shows as many as asked for");
            }
            text = printable(text.as_bytes());
        }
    }
    write_all(text.as_bytes())
}

fn report_visits(args: &QueryArgs, opened: &Opened, visits: &[Visit]) -> Result<Ending, Failure> {
    let mut text = String::new();
    match args.format {
        ReportFormat::Json => {
            let visit = |visit: &Visit| {
                let patch = |ranked: &blt_sphere::Ranked| {
                    let mut entry = opened.describe(ranked.id);
                    entry.insert("energy".to_owned(), json!(ranked.energy));
                    Value::Object(entry)
                };
                json!({"partition": visit.partition, "activation": visit.activation,
                    "half_angle": visit.half_angle.to_degrees(), "found": visit.patches.len(),
                    "results": visit.patches.iter().take(args.k).map(patch).collect::<Vec<_>>()})
            };
            let _ = writeln!(text, "{:#}", json!({"cones": visits.iter().map(visit).collect::<Vec<_>>()}));
        }
        ReportFormat::Text => {
            for visit in visits {
                let Visit { partition, activation, half_angle, patches, .. } = visit;
                let _ = writeln!(
                    text,
                    "partition {partition}, activation {activation:.4}, cone of {:.1} degrees, {} patches",
                    half_angle.to_degrees(),
                    patches.len()
                );
                for ranked in patches.iter().take(args.k) {
                    let _ = writeln!(text, "{:>8.4}  {}", ranked.energy, opened.line(ranked.id));
                }
            }
            text = printable(text.as_bytes());
        }
    }
    write_all(text.as_bytes())
}
