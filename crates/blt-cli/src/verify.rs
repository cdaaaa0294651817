//! `blt-cli model verify`: a model against expected values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use blt_checkpoint::SafetensorsFile;
use blt_core::TokenId;
use blt_patcher::{NextToken, Rule, moved_starts, patch_starts};
use serde_json::{Value, json};

use crate::Ending;
use crate::args::{DeviceArg, ModelVerifyArgs, ReportFormat};
use crate::engine::{LoadedModel, NamedModel, Placement, load};
use crate::failure::Failure;
use crate::output::write_all;

/// The published entropies were computed in bfloat16, which is up to 0.07 nats off.
const PUBLISHED_TOLERANCE_NATS: f64 = 0.1;
/// For entropies computed in float64.
const EXACT_TOLERANCE_NATS: f64 = 2e-4;

/// The largest error of one tensor of one case.
struct Comparison {
    case: String,
    tensor: &'static str,
    n_values: usize,
    largest_error: f64,
    tolerance: f64,
    /// Where a patch starts for one and not for the other, at the model's threshold.
    moved_starts: Option<usize>,
}

pub(crate) fn run(args: &ModelVerifyArgs) -> Result<Ending, Failure> {
    let ModelVerifyArgs { backend, dtype, instructions, quantize, .. } = *args;
    let model = load(
        NamedModel::on(&args.hub, &args.model),
        Placement { backend, device: DeviceArg::One(0), dtype, instructions, quantize, threads: 0 },
    )?;
    let is_json = args.against.extension().is_some_and(|extension| extension == "json");
    let comparisons = if is_json { against_fixture(args, &model)? } else { against_safetensors(args, &model)? };
    if comparisons.is_empty() {
        return Err(Failure::usage(format!("`{}` holds no case to compare with", args.against.display())));
    }
    let agrees = |comparison: &Comparison| comparison.largest_error <= comparison.tolerance;
    let mut report = String::new();
    match args.format {
        ReportFormat::Json => {
            let rows: Vec<Value> = comparisons
                .iter()
                .map(|comparison| {
                    json!({"case": comparison.case, "tensor": comparison.tensor, "n_values": comparison.n_values,
                        "largest_error": comparison.largest_error, "tolerance": comparison.tolerance,
                        "agrees": agrees(comparison), "moved_starts": comparison.moved_starts})
                })
                .collect();
            let _ = writeln!(report, "{:#}", Value::Array(rows));
        }
        ReportFormat::Text => {
            let _ = writeln!(report, "{} on {}\n", model.name(), model.engine.info().device);
            let _ = writeln!(
                report,
                "{:<16}{:<12}{:>10}  {:>13}  {:>9}",
                "case", "tensor", "values", "largest error", "tolerance"
            );
            for comparison in &comparisons {
                let verdict = if agrees(comparison) { "" } else { "  DIFFERS" };
                let moved = comparison.moved_starts.map_or_else(String::new, |n| format!("  {n} patch starts moved"));
                let _ = writeln!(
                    report,
                    "{:<16}{:<12}{:>10}  {:>13.2e}  {:>9.0e}{moved}{verdict}",
                    comparison.case,
                    comparison.tensor,
                    comparison.n_values,
                    comparison.largest_error,
                    comparison.tolerance
                );
            }
        }
    }
    write_all(report.as_bytes())?;
    Ok(if comparisons.iter().all(agrees) { Ending::Complete } else { Ending::SomeFailed })
}

/// Files like the reference's: `CASE.tokens` with `CASE.logits`, `CASE.prenorm`, `CASE.entropies` and `CASE.prenorm_l2`.
fn against_safetensors(args: &ModelVerifyArgs, model: &LoadedModel) -> Result<Vec<Comparison>, Failure> {
    let unreadable = |error| Failure::new(format!("cannot read `{}`", args.against.display()), error);
    let file = SafetensorsFile::open(&args.against).map_err(unreadable)?;
    let cases: BTreeSet<String> =
        file.tensors().keys().filter_map(|name| name.strip_suffix(".tokens")).map(str::to_owned).collect();
    let mut comparisons = Vec::new();
    for case in cases {
        let floats = |tensor: &str| {
            let name = format!("{case}.{tensor}");
            file.tensors().contains_key(&name).then(|| file.floats(&name)).transpose().map_err(unreadable)
        };
        let name = format!("{case}.tokens");
        let shape = file.tensors()[&name].shape.clone();
        let tokens = token_ids(file.floats(&name).map_err(unreadable)?.into_iter().map(f64::from), &name)?;
        let &[n_rows, row_len] = &shape[..] else {
            return Err(Failure::usage(format!("`{name}` has shape {shape:?}, expected two dimensions")));
        };
        if row_len == 0 {
            continue;
        }
        check_row_len(row_len, &name)?;
        let positions: Vec<usize> = floats("positions")?
            .map_or_else(|| (0..row_len).collect(), |kept| kept.iter().map(|&p| p as usize).collect());
        if positions.len() > row_len || positions.iter().any(|&position| position >= row_len) {
            return Err(Failure::usage(format!("`{case}.positions` leaves its rows")));
        }
        let mut found: BTreeMap<&'static str, Vec<f32>> = BTreeMap::new();
        for row in tokens.chunks(row_len).take(n_rows) {
            let output =
                model.engine.row(row).map_err(|error| Failure::new(format!("cannot compute case `{case}`"), error))?;
            let kept = |values: &[f32]| -> Vec<f32> {
                let width = values.len() / row_len;
                positions.iter().flat_map(|&p| values[p * width..(p + 1) * width].to_vec()).collect()
            };
            found.entry("logits").or_default().extend(kept(&output.logits));
            found.entry("prenorm").or_default().extend(kept(&output.signals.embeddings));
            found.entry("entropies").or_default().extend(output.signals.entropies);
            found.entry("prenorm_l2").or_default().extend(output.signals.norms);
        }
        for (tensor, found) in found {
            let Some(expected) = floats(tensor)? else { continue };
            if expected.len() != found.len() {
                let (has, wants) = (expected.len(), found.len());
                return Err(Failure::usage(format!("`{case}.{tensor}` has {has} values, the model gives {wants}")));
            }
            let tolerance = if tensor == "entropies" {
                args.max_entropy_error.unwrap_or(EXACT_TOLERANCE_NATS)
            } else {
                args.max_state_error
            };
            comparisons.push(compare(&case, tensor, &found, &expected, tolerance));
        }
    }
    Ok(comparisons)
}

/// The form of the original repository's `tokens_with_entropies.json`: a table with the columns `token_ids` and
/// `entropies`, by columns or by rows, perhaps as a string under `dataframe_json`.
fn against_fixture(args: &ModelVerifyArgs, model: &LoadedModel) -> Result<Vec<Comparison>, Failure> {
    let path = &args.against;
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("cannot read `{}`", path.display()), error))?;
    let malformed = |error| Failure::new(format!("`{}` is not JSON", path.display()), error);
    let mut table: Value = serde_json::from_str(&text).map_err(malformed)?;
    if let Some(inner) = table.get("dataframe_json").and_then(Value::as_str) {
        table = serde_json::from_str(inner).map_err(malformed)?;
    }
    let column = |name: &str| numbers(&table, name).ok_or_else(|| no_column(path, name));
    let tokens = token_ids(column("token_ids")?.into_iter(), "token_ids")?;
    check_row_len(tokens.len(), "token_ids")?;
    let expected: Vec<f32> = column("entropies")?.into_iter().map(|entropy| entropy as f32).collect();
    if tokens.len() != expected.len() || tokens.is_empty() {
        return Err(no_column(path, "entropies"));
    }
    let output = model.engine.row(&tokens).map_err(|error| Failure::new("cannot compute the published case", error))?;
    let found = output.signals.entropies;
    let rule = Rule::Global { threshold: model.config.patching.threshold };
    let starts = |entropies: &[f32]| patch_starts(&rule, &tokens, entropies, NextToken::Exclude);
    let moved = moved_starts(&starts(&found), &starts(&expected));
    let tolerance = args.max_entropy_error.unwrap_or(PUBLISHED_TOLERANCE_NATS);
    let comparison = compare("published", "entropies", &found, &expected, tolerance);
    Ok(vec![Comparison { moved_starts: Some(moved), ..comparison }])
}

/// Longest row that is compared; the whole of it is held with all its logits.
const MAX_ROW_TOKENS: usize = 1 << 16;

fn check_row_len(row_len: usize, name: &str) -> Result<(), Failure> {
    if row_len <= MAX_ROW_TOKENS {
        return Ok(());
    }
    Err(Failure::usage(format!("`{name}` has rows of {row_len} tokens, more than {MAX_ROW_TOKENS}")))
}

fn token_ids(values: impl Iterator<Item = f64>, name: &str) -> Result<Vec<TokenId>, Failure> {
    let token = |value: f64| {
        let is_id = value.fract() == 0.0 && (0.0..f64::from(TokenId::MAX)).contains(&value);
        is_id
            .then_some(value as TokenId)
            .ok_or_else(|| Failure::usage(format!("`{name}` holds {value}, which is no token id")))
    };
    values.map(token).collect()
}

fn no_column(path: &Path, name: &str) -> Failure {
    Failure::usage(format!("`{}` has no column `{name}` of numbers, one a token", path.display()))
}

/// The numbers of a column, whichever way the table lies.
fn numbers(table: &Value, name: &str) -> Option<Vec<f64>> {
    let cells: Vec<&Value> = match table {
        Value::Array(rows) => rows.iter().map(|row| row.get(name)).collect::<Option<_>>()?,
        Value::Object(columns) => match columns.get(name)? {
            Value::Array(cells) => cells.iter().collect(),
            Value::Object(cells) => {
                let mut indexed: Vec<(usize, &Value)> =
                    cells.iter().map(|(index, cell)| Some((index.parse().ok()?, cell))).collect::<Option<_>>()?;
                indexed.sort_by_key(|&(index, _)| index);
                indexed.into_iter().map(|(_, cell)| cell).collect()
            }
            _ => return None,
        },
        _ => return None,
    };
    cells.into_iter().map(Value::as_f64).collect()
}

fn compare(case: &str, tensor: &'static str, found: &[f32], expected: &[f32], tolerance: f64) -> Comparison {
    let errors = found.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
    // A value that is not a number is as wrong as can be, and `max` would pass over it.
    let largest_error =
        errors.fold(0.0, |largest: f64, error| if error.is_nan() { f64::INFINITY } else { largest.max(error) });
    Comparison { case: case.to_owned(), tensor, n_values: found.len(), largest_error, tolerance, moved_starts: None }
}
