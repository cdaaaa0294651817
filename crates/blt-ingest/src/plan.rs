//! Which sources a run has, and what each is called.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use ignore::overrides::OverrideBuilder;

use crate::error::{IngestError, MissingInput, SourceError};
use crate::id::{id_of_other_source, id_of_path, path_text};
use crate::journal::Journal;
use crate::options::{IngestOptions, Input};

/// Where a source's bytes come from, or why there are none.
#[derive(Debug)]
pub enum SourceKind {
    /// A file.
    File(PathBuf),
    /// Text from the command line.
    Text(String),
    /// Standard input.
    Stdin,
    /// Nothing to ingest, and why.
    Skip(&'static str),
    /// It cannot be read, and why.
    Unreadable(SourceError),
}

/// One source of a run.
#[derive(Debug)]
pub struct PlannedSource {
    /// Name of its outputs, unique and the same in every run.
    pub id: String,
    /// Where it comes from, as the user named it.
    pub source: String,
    /// Its size when it was listed, in bytes; 0 where that is not known.
    pub n_bytes: u64,
    /// Its bytes.
    pub kind: SourceKind,
}

/// Every source of a run, in the order in which they are worked on.
#[derive(Debug, Default)]
pub struct Plan {
    /// Each once.
    pub sources: Vec<PlannedSource>,
}

impl Plan {
    /// Sum of the sizes in bytes.
    pub fn n_bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.n_bytes).sum()
    }
}

/// Lists the sources of a run. `journal` keeps the ids that earlier runs gave.
///
/// # Errors
///
/// Fails when none of the inputs exists, an exclusion is malformed, or the journal cannot be read.
pub fn plan(options: &IngestOptions, journal: Option<&Journal>) -> Result<Plan, IngestError> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut n_texts = 0;
    for input in &options.inputs {
        match input {
            Input::Stdin => found.push(Found::new("-".to_owned(), "stdin".to_owned(), 0, SourceKind::Stdin)),
            Input::Text(text) => {
                n_texts += 1;
                let id = if n_texts == 1 { "manual_input".to_owned() } else { format!("manual_input_{n_texts}") };
                let kind = SourceKind::Text(text.clone());
                found.push(Found::new(format!("--text #{n_texts}"), id, text.len() as u64, kind));
            }
            Input::Path(path) => match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => walk(path, options, &mut found)?,
                Ok(metadata) => {
                    let name = path.file_name().map_or_else(|| id_of_path(path), |name| id_of_path(Path::new(name)));
                    let kind = file_kind(path, &metadata);
                    found.push(Found::new(named(path), name, metadata.len(), kind));
                }
                Err(source) => {
                    missing.push(MissingInput { path: path.clone(), source });
                }
            },
        }
    }
    if found.is_empty() && !missing.is_empty() && missing.len() == options.inputs.len() {
        return Err(IngestError::NoInput { source: missing.swap_remove(0) });
    }
    for missing in missing {
        let id = id_of_path(missing.path.file_name().map_or(&missing.path, Path::new));
        found.push(Found::new(named(&missing.path), id, 0, SourceKind::Unreadable(missing.into())));
    }
    let mut sources = name_all(found, journal)?;
    if let Some(limit) = options.limit {
        sources.truncate(limit);
    }
    Ok(Plan { sources })
}

/// A source before its id is known to be unique.
struct Found {
    source: String,
    id: String,
    n_bytes: u64,
    kind: SourceKind,
}

impl Found {
    fn new(source: String, id: String, n_bytes: u64, kind: SourceKind) -> Self {
        Self { source, id, n_bytes, kind }
    }
}

/// A path as text, without `.` components: `./a` and `a` are one source.
fn named(path: &Path) -> String {
    path_text(&path.components().collect::<PathBuf>())
}

fn file_kind(path: &Path, metadata: &fs::Metadata) -> SourceKind {
    if metadata.is_file() { SourceKind::File(path.to_owned()) } else { SourceKind::Skip("not a regular file") }
}

/// Everything below `root`, in the order of names.
fn walk(root: &Path, options: &IngestOptions, found: &mut Vec<Found>) -> Result<(), IngestError> {
    let mut overrides = OverrideBuilder::new(root);
    for pattern in &options.exclude {
        // In the walker's overrides a leading `!` excludes, so `--exclude '!x'` would include.
        let inverted = pattern.strip_prefix('!').map_or_else(|| format!("!{pattern}"), str::to_owned);
        overrides.add(&inverted).map_err(|source| IngestError::Pattern { pattern: pattern.clone(), source })?;
    }
    let overrides =
        overrides.build().map_err(|source| IngestError::Pattern { pattern: options.exclude.join(" "), source })?;
    let output = fs::canonicalize(&options.output).ok();
    let walker = WalkBuilder::new(root)
        .standard_filters(false)
        .follow_links(options.follow_links)
        .overrides(overrides)
        .sort_by_file_name(|a, b| a.cmp(b))
        // The output folder may lie inside the input; it is never its own input.
        .filter_entry(move |entry| output.is_none() || fs::canonicalize(entry.path()).ok() != output)
        .build();
    for entry in walker {
        match entry {
            Ok(entry) => {
                let path = entry.path();
                let Some(file_type) = entry.file_type() else { continue };
                if file_type.is_dir() {
                    continue;
                }
                let id = id_of_path(path.strip_prefix(root).unwrap_or(path));
                let (n_bytes, kind) = if file_type.is_symlink() {
                    (0, SourceKind::Skip("a symbolic link, and links are not followed without `--follow`"))
                } else {
                    match entry.metadata() {
                        Ok(metadata) => (metadata.len(), file_kind(path, &metadata)),
                        Err(error) => (0, SourceKind::Unreadable(SourceError::List(error))),
                    }
                };
                found.push(Found::new(named(path), id, n_bytes, kind));
            }
            Err(error) => found.push(unlisted(error, root)),
        }
    }
    Ok(())
}

/// What the walk could not enter: a folder without permission, a broken link, a loop of links.
fn unlisted(error: ignore::Error, root: &Path) -> Found {
    fn path_of(error: &ignore::Error) -> Option<&Path> {
        match error {
            ignore::Error::WithPath { path, .. } => Some(path),
            ignore::Error::Loop { child, .. } => Some(child),
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
            _ => None,
        }
    }
    fn is_loop(error: &ignore::Error) -> bool {
        match error {
            ignore::Error::Loop { .. } => true,
            ignore::Error::WithPath { err, .. }
            | ignore::Error::WithDepth { err, .. }
            | ignore::Error::WithLineNumber { err, .. } => is_loop(err),
            _ => false,
        }
    }
    let path = path_of(&error).unwrap_or(root).to_owned();
    let id = id_of_path(path.strip_prefix(root).unwrap_or(&path));
    let kind = if is_loop(&error) {
        SourceKind::Skip("a symbolic link to a folder that holds it")
    } else {
        SourceKind::Unreadable(SourceError::List(error))
    };
    Found::new(named(&path), id, 0, kind)
}

/// Gives every source an id of its own: the one it had in the journal, else that of its path, else that of its path and
/// a hash of its whole name. A source named twice is one, also when an earlier run named it from another folder.
fn name_all(found: Vec<Found>, journal: Option<&Journal>) -> Result<Vec<PlannedSource>, IngestError> {
    let mut sources: Vec<PlannedSource> = Vec::with_capacity(found.len());
    let (mut seen, mut taken) = (HashSet::new(), HashSet::new());
    for Found { mut source, mut id, n_bytes, kind } in found {
        if let Some(journal) = journal {
            if let Some(row) = journal.by_source(&source)? {
                id = row.id;
            } else if let Some(row) = journal.by_id(&id)? {
                if is_same_file(&kind, &row.source) {
                    source = row.source;
                } else {
                    id = id_of_other_source(&id, &source);
                }
            }
        }
        if !seen.insert(source.clone()) {
            continue;
        }
        if !taken.insert(id.clone()) {
            id = id_of_other_source(&id, &source);
            taken.insert(id.clone());
        }
        sources.push(PlannedSource { id, source, n_bytes, kind });
    }
    Ok(sources)
}

/// Whether a source is the file that an earlier run called `source`.
fn is_same_file(kind: &SourceKind, source: &str) -> bool {
    let SourceKind::File(path) = kind else { return false };
    matches!((fs::canonicalize(path), fs::canonicalize(source)), (Ok(a), Ok(b)) if a == b)
}
