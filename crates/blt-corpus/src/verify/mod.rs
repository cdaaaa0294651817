//! Checks of outputs: what has to hold of each kind of file, one sentence a check.

mod corpus;
mod index;
mod patches;
mod sphere;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::ReadError;
use crate::file::ArrayFile;
use crate::hash::sha256_of_file;

/// One thing that has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is about, in a word or two.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What was found.
    pub sentence: String,
}

/// What was found of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub kind: String,
    /// The checks made, in order.
    pub checks: Vec<Check>,
}

impl Report {
    fn new(path: &Path, kind: impl Into<String>) -> Self {
        Self { path: path.to_owned(), kind: kind.into(), checks: Vec::new() }
    }

    /// Whether all checks hold.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    /// The report as a JSON object.
    pub fn to_json(&self) -> Value {
        let check = |check: &Check| json!({"check": check.name, "holds": check.holds, "found": check.sentence});
        json!({"path": self.path.display().to_string(), "kind": self.kind, "holds": self.holds(),
            "checks": self.checks.iter().map(check).collect::<Vec<_>>()})
    }

    fn check(&mut self, name: &'static str, holds: bool, sentence: impl Into<String>) {
        self.checks.push(Check { name, holds, sentence: sentence.into() });
    }

    /// Checks `n` things one by one: `wrong(i)` says what is wrong with the i-th, if anything. `fine` is said when nothing is.
    fn check_each(
        &mut self,
        name: &'static str,
        n: usize,
        what: &str,
        fine: impl Into<String>,
        wrong: impl Fn(usize) -> Option<String>,
    ) {
        let mut found = (0..n).filter_map(|i| wrong(i).map(|reason| (i, reason)));
        match found.next() {
            None => self.check(name, true, fine),
            Some((first, reason)) => {
                let count = 1 + found.count();
                self.check(name, false, format!("{count} of {n} {what} are wrong, first {first}: {reason}"));
            }
        }
    }

    /// Checks the hash that a file of arrays has of itself.
    fn check_hash(&mut self, file: &ArrayFile) -> Result<(), ReadError> {
        let Some(said) = file.metadata().get("sha256") else { return Ok(()) };
        let found = sha256_of_file(file)?;
        if *said == found {
            self.check("hash", true, "the arrays are those that were written");
        } else {
            self.check(
                "hash",
                false,
                format!("the arrays have the hash {found}, and had {said} when they were written"),
            );
        }
        Ok(())
    }
}

/// Checks the outputs at `path`: a sphere file, an index, harmonics, a patch file, a corpus database, or a corpus folder with all
/// of these; a report for each file.
///
/// # Errors
///
/// Fails when a file cannot be read or is none of these; what is merely wrong is in the report.
pub fn verify(path: &Path) -> Result<Vec<Report>, ReadError> {
    if path.is_dir() {
        return corpus::verify_folder(path);
    }
    if path.extension().is_some_and(|end| end == "db") {
        return Ok(vec![corpus::verify_database(path)?]);
    }
    if path.extension().is_some_and(|end| end == "parquet") {
        return Ok(vec![patches::verify_patches(path)?]);
    }
    let file = ArrayFile::open(path)?;
    let report = match file.metadata().get("format").map(String::as_str) {
        Some(crate::ROOTS_FORMAT) => index::verify_roots(&file)?,
        Some(crate::HARMONICS_FORMAT) => index::verify_harmonics(&file)?,
        _ if file.info("r").is_some() || file.info("radii").is_some() => sphere::verify_sphere(path)?,
        _ => patches::verify_patches(path)?,
    };
    Ok(vec![report])
}
