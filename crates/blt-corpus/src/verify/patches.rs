//! Checks of patch files.

use std::path::Path;

use super::Report;
use crate::error::ReadError;
use crate::patches::PatchArrays;
use crate::read::ReadOptions;

/// The entropy of a uniform guess among the model's 260 tokens, in nats, and a little for rounding.
pub(super) const MAX_ENTROPY: f32 = 5.5607;

pub(super) fn verify_patches(path: &Path) -> Result<Report, ReadError> {
    let mut patches = PatchArrays::default();
    patches.append_file(path, ReadOptions::default())?;
    let n = patches.len();
    let mut report = Report::new(path, format!("{n} patches of {} dimensions", patches.dim));
    // Reading has checked the shapes; they are said all the same.
    let lengths = if patches.bytes.is_empty() { "" } else { ", and patch lengths add up to the bytes" };
    report.check("shapes", true, format!("every array has one value or row for each of {n} patches{lengths}"));
    let rows = patches.rows();
    report.check_each("embeddings", n, "embeddings", "all are finite", |i| {
        rows.row(i).iter().any(|x| !x.is_finite()).then(|| "it holds a number that is not finite".to_owned())
    });
    let prominence = &patches.prominence;
    report.check_each("prominence", n, "prominences", "all are finite and not negative", |i| {
        (!prominence[i].is_finite() || prominence[i] < 0.0).then(|| prominence[i].to_string())
    });
    check_entropies(&mut report, patches.entropies.as_deref());
    if let Some(coherence) = &patches.coherence {
        report.check_each("coherence", n, "coherences", "all are finite and not negative", |i| {
            (!coherence[i].is_finite() || coherence[i] < 0.0).then(|| coherence[i].to_string())
        });
    }
    Ok(report)
}

pub(super) fn check_entropies(report: &mut Report, entropies: Option<&[f32]>) {
    match entropies {
        None => report.check("entropies", true, "there are none"),
        Some(entropies) => {
            report.check_each("entropies", entropies.len(), "entropies", "all are from 0 to ln 260 nats", |i| {
                (!(-1e-4..=MAX_ENTROPY).contains(&entropies[i])).then(|| format!("{} nats", entropies[i]))
            });
        }
    }
}
