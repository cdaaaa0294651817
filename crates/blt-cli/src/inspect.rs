//! `blt-cli inspect`: what a file or folder of ours holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use blt_checkpoint::{Checkpoint, SafetensorsFile};
use blt_core::{Origin, Rect};
use blt_ingest::{Journal, Row, Status};
use blt_sidecar::{Branch, Sidecar};
use serde_json::{Map, Value, json};

use crate::Ending;
use crate::args::{InspectArgs, ReportFormat};
use crate::failure::Failure;
use crate::output::write_all;
use crate::render::{Segmented, html_page, printable, ranges};

/// How many patches or sources a report shows.
const SHOWN: usize = 8;

pub(crate) fn run(args: &InspectArgs) -> Result<Ending, Failure> {
    if args.html {
        let (input, caption) = patches_of(&args.path)?;
        return write_all(html_page(&input, &caption).as_bytes());
    }
    let report = describe(&args.path)?;
    let text = match args.format {
        ReportFormat::Json => format!("{:#}\n", Value::Object(report)),
        ReportFormat::Text => printable(plain(&report).as_bytes()),
    };
    write_all(text.as_bytes())
}

fn describe(path: &Path) -> Result<Map<String, Value>, Failure> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.is_dir() {
        if path.join(Journal::FILE_NAME).is_file() {
            return journal(path);
        }
        return checkpoint(path);
    }
    if name == Journal::FILE_NAME {
        return journal(path.parent().unwrap_or(Path::new(".")));
    }
    if name.ends_with(".db") {
        return sidecar(path);
    }
    let file = SafetensorsFile::open(path).map_err(|error| unreadable(path, error))?;
    if file.tensors().contains_key("bytes") || file.tensors().contains_key("patch_lengths") {
        return patch_file(path, &file);
    }
    if path.with_file_name("config.json").is_file()
        && let Ok(report) = checkpoint(path)
    {
        return Ok(report);
    }
    Ok(tensors(&file))
}

fn unreadable(path: &Path, error: impl std::error::Error + 'static) -> Failure {
    Failure::new(format!("cannot inspect `{}`", path.display()), error)
        .hint(Some("outputs, sidecars, journals, output folders and models can be inspected"))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

fn checkpoint(path: &Path) -> Result<Map<String, Value>, Failure> {
    let checkpoint = Checkpoint::open(path).map_err(|error| unreadable(path, error))?;
    let facts = crate::model::checkpoint_facts(&checkpoint)?;
    let mut report = object(json!({"kind": "model"}));
    report.extend(facts.into_iter().map(|(key, value)| (key.replace(' ', "_"), value)));
    Ok(report)
}

fn tensors(file: &SafetensorsFile) -> Map<String, Value> {
    let tensors: Map<String, Value> = file
        .tensors()
        .iter()
        .map(|(name, info)| (name.clone(), json!(format!("{:?} {:?}", info.dtype, info.shape))))
        .collect();
    object(json!({"kind": "safetensors", "metadata": file.metadata(), "tensors": tensors}))
}

/// Our own format, and the older ones with patches: `blt_patches_v2`, `v3`, and token files.
fn patch_file(path: &Path, file: &SafetensorsFile) -> Result<Map<String, Value>, Failure> {
    let mut report = tensors(file);
    report.insert("kind".to_owned(), json!("patches"));
    if file.tensors().contains_key("patch_lengths") && file.tensors().contains_key("entropies") {
        let floats = |name: &str| file.floats(name).map_err(|error| unreadable(path, error));
        let (lengths, entropies) = (floats("patch_lengths")?, floats("entropies")?);
        let mean = |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>() / values.len().max(1) as f64;
        let longest = lengths.iter().copied().fold(0.0, f32::max);
        report.insert("n_patches".to_owned(), json!(lengths.len()));
        report.insert("mean_patch_bytes".to_owned(), json!(round(mean(&lengths))));
        report.insert("longest_patch_bytes".to_owned(), json!(longest));
        report.insert("mean_entropy_nats".to_owned(), json!(round(mean(&entropies))));
    }
    if let Ok((input, _)) = patches_of(path) {
        let first: Vec<String> =
            ranges(&input.lengths).take(SHOWN).map(|range| input.bytes[range].escape_ascii().to_string()).collect();
        report.insert("first_patches".to_owned(), json!(first));
    }
    Ok(report)
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The patches in an output, for showing them.
fn patches_of(path: &Path) -> Result<(Segmented, String), Failure> {
    let file = SafetensorsFile::open(path).map_err(|error| unreadable(path, error))?;
    let missing = |name: &str| Failure::usage(format!("`{}` has no `{name}` that fits its bytes", path.display()));
    let bytes = file.bytes("bytes").map_err(|error| unreadable(path, error))?;
    let floats = |name: &str| file.floats(name).map_err(|error| unreadable(path, error));
    // As integers: float32 would round the longest patches.
    let lengths = file.bytes("patch_lengths").map_err(|error| unreadable(path, error))?;
    let lengths = lengths.as_chunks::<4>().0.iter().map(|&length| i32::from_le_bytes(length));
    let lengths: Vec<usize> = lengths.map(|length| usize::try_from(length).unwrap_or(usize::MAX)).collect();
    if lengths.iter().try_fold(0usize, |sum, &length| sum.checked_add(length)) != Some(bytes.len()) {
        return Err(missing("patch_lengths"));
    }
    let entropies = floats("entropies")?;
    if entropies.len() != bytes.len() {
        return Err(missing("entropies"));
    }
    let means = ranges(&lengths).map(|range| {
        let n_bytes = range.len().max(1) as f32;
        entropies[range].iter().sum::<f32>() / n_bytes
    });
    let patch_entropies = floats("patch_entropies").ok().filter(|values| values.len() == lengths.len());
    let patch_entropies = patch_entropies.unwrap_or_else(|| means.collect());
    let prominence = floats("prominence").ok().filter(|values| values.len() == lengths.len());
    let prominence = prominence.unwrap_or_else(|| vec![f32::NAN; lengths.len()]);
    let caption = format!("{}: {} bytes, {} patches", path.display(), bytes.len(), lengths.len());
    Ok((
        Segmented { source: path.display().to_string(), bytes, entropies, lengths, prominence, patch_entropies },
        caption,
    ))
}

fn sidecar(path: &Path) -> Result<Map<String, Value>, Failure> {
    let failed = |error| unreadable(path, error);
    let sidecar = Sidecar::open(path).map_err(failed)?;
    let trunk = sidecar.trunk().map_err(failed)?;
    let branches = sidecar.branches().map_err(failed)?;
    let mut n_branches: BTreeMap<i64, usize> = BTreeMap::new();
    branches.iter().for_each(|branch| *n_branches.entry(branch.view).or_default() += 1);
    let views: Vec<Value> = branches
        .iter()
        .filter(|branch| branch.parent.is_none())
        .map(|branch| {
            let n_units = n_branches[&branch.id] - 1;
            let units = branches.iter().filter(|unit| unit.view == branch.id && unit.id != branch.id);
            let first: Vec<String> = units.take(SHOWN).map(unit_line).collect();
            json!({"label": branch.label, "name": branch.name, "modality": branch.modality,
                "media_type": branch.media_type, "n_bytes": branch.range.len(), "place": place(branch),
                "n_units": n_units, "first_units": first})
        })
        .collect();
    Ok(object(json!({
        "kind": "hypergraph sidecar",
        "trunk": {"path": trunk.path, "n_bytes": trunk.n_bytes, "media_type": trunk.media_type,
            "sha256": trunk.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>()},
        "views": views,
        "problems": sidecar.problems().map_err(failed)?,
        "n_leaves": sidecar.n_leaves().map_err(failed)?,
    })))
}

/// A unit in one line: what it is, its bytes in the view, and its place in the source.
fn unit_line(unit: &Branch) -> String {
    let name = unit.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
    let place = place(unit).map(|place| format!(", {place}")).unwrap_or_default();
    format!("{}{name} {}{place}", unit.label, unit.range)
}

/// Where a branch lies in the source, in words.
fn place(branch: &Branch) -> Option<String> {
    let rect = |rect: &Rect| format!("({}, {}) to ({}, {})", rect.x0, rect.y0, rect.x1, rect.y1);
    Some(match (&branch.origin, branch.source) {
        (Some(Origin::Member { name, range }), _) => format!("bytes {range} of {name}"),
        (Some(Origin::Page { page, rect: place }), _) => format!("page {} {}", page + 1, rect(place)),
        (Some(Origin::Pixels { frame, rect: place }), _) => format!("frame {frame} {}", rect(place)),
        (Some(Origin::Samples { start, end, rate }), _) => format!("samples {start}..{end} at {rate} Hz"),
        (Some(Origin::Time { frame, start, end }), _) => format!("frame {frame}, {start} to {end} s"),
        (Some(Origin::Row { table, row }), _) => format!("table {table} row {row}"),
        (_, Some(range)) => format!("source {range}"),
        _ => return None,
    })
}

fn journal(folder: &Path) -> Result<Map<String, Value>, Failure> {
    let failed = |error| unreadable(folder, error);
    let journal = Journal::open_existing(folder).map_err(failed)?;
    let settings: BTreeMap<String, String> = journal.settings().map_err(failed)?.into_iter().collect();
    let rows = journal.rows().map_err(failed)?;
    let count = |status: Status| rows.iter().filter(|row| row.status == status).count();
    let total =
        |of: fn(&Row) -> Option<u64>| rows.iter().filter(|row| row.status == Status::Done).filter_map(of).sum::<u64>();
    let troubles: Vec<String> = rows
        .iter()
        .filter(|row| row.status == Status::Failed)
        .take(SHOWN)
        .map(|row| format!("{}: {}", row.source, row.error.as_deref().unwrap_or("unknown")))
        .collect();
    Ok(object(json!({
        "kind": "output folder", "settings": settings,
        "done": count(Status::Done), "failed": count(Status::Failed), "skipped": count(Status::Skipped),
        "n_bytes": total(|row| row.n_bytes), "n_patches": total(|row| row.n_patches), "first_failures": troubles,
    })))
}

/// A report for people: one line a value, nested ones indented.
fn plain(report: &Map<String, Value>) -> String {
    fn write(text: &mut String, indent: usize, key: &str, value: &Value) {
        let pad = " ".repeat(indent);
        match value {
            Value::Object(map) if !map.is_empty() => {
                let _ = writeln!(text, "{pad}{key}");
                map.iter().for_each(|(key, value)| write(text, indent + 2, key, value));
            }
            Value::Array(items) if !items.is_empty() => {
                let _ = writeln!(text, "{pad}{key}");
                items.iter().for_each(|item| write(text, indent + 2, "-", item));
            }
            Value::Object(_) | Value::Array(_) => {
                let _ = writeln!(text, "{pad}{key:<20} none");
            }
            Value::String(string) => {
                let _ = writeln!(text, "{pad}{key:<20} {string}");
            }
            value => {
                let _ = writeln!(text, "{pad}{key:<20} {value}");
            }
        }
    }
    let mut text = String::new();
    report.iter().for_each(|(key, value)| write(&mut text, 0, key, value));
    text
}
