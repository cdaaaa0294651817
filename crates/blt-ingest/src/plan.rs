//! Which sources a run has, and what each is called.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blt_core::Modality;
use ignore::WalkBuilder;
use ignore::gitignore::GitignoreBuilder;

use crate::error::{IngestError, MissingInput, SourceError};
use crate::id::{id_of_other_source, id_of_path, path_text};
use crate::journal::Journal;
use crate::options::{IngestOptions, Input};
use crate::sequence::DatasetInput;

/// Where a source's bytes come from, or why there are none.
#[derive(Debug)]
pub enum SourceKind {
    /// A file.
    File(PathBuf),
    /// Text from the command line.
    Text(String),
    /// Standard input.
    Stdin,
    /// A row of a dataset; its bytes come with it.
    Row,
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
    /// What it is, wherever the run was started: an absolute path, `--text #1`, or `-` for standard input.
    pub source: String,
    /// Its path inside the input.
    pub name: String,
    /// Its size when it was listed, in bytes; 0 where that is not known.
    pub n_bytes: u64,
    /// What it is read as, where that is known beforehand.
    pub modality: Option<Modality>,
    /// Its bytes.
    pub kind: SourceKind,
}

/// Every source of a run, in the order in which they are worked on.
#[derive(Debug, Default)]
pub struct Plan {
    /// Files, texts and standard input, each once.
    pub sources: Vec<Arc<PlannedSource>>,
    /// Datasets; their rows come after those.
    pub datasets: Vec<Arc<DatasetInput>>,
    /// No more sources than these.
    pub limit: Option<usize>,
}

impl Plan {
    /// Sum of the sizes in bytes; of datasets those of the parts of their files that are read.
    pub fn n_bytes(&self) -> u64 {
        let of_datasets = self.datasets.iter().map(|input| input.dataset().plan().n_bytes());
        self.sources.iter().map(|source| source.n_bytes).chain(of_datasets).fold(0, u64::saturating_add)
    }

    /// Number of sources, where every dataset says how many rows it has: at least so many, as a row may have several
    /// contents.
    pub fn n_sources(&self) -> Option<u64> {
        let rows: Option<u64> = self.datasets.iter().map(|input| input.dataset().plan().n_rows()).sum();
        let n = rows? + self.sources.len() as u64;
        Some(self.limit.map_or(n, |limit| n.min(limit as u64)))
    }
}

/// Lists the sources of a run. `journal` keeps the ids that earlier runs gave.
///
/// # Errors
///
/// Fails when none of the inputs exists, an exclusion is malformed, or the journal cannot be read.
pub(crate) fn plan(options: &IngestOptions, journal: Option<&Journal>) -> Result<Plan, IngestError> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    let mut datasets = Vec::new();
    let mut n_texts = 0;
    for input in &options.inputs {
        match input {
            Input::Stdin => found.push(Found::new("-", "-", "stdin", 0, SourceKind::Stdin)),
            Input::Text(text) => {
                n_texts += 1;
                let id = if n_texts == 1 { "manual_input".to_owned() } else { format!("manual_input_{n_texts}") };
                let name = format!("--text #{n_texts}");
                found.push(Found::new(&name, &name, &id, text.len() as u64, SourceKind::Text(text.clone())));
            }
            Input::Dataset(dataset) => datasets.push(Arc::clone(dataset)),
            Input::Path(path) => match fs::metadata(path) {
                Ok(metadata) if metadata.is_dir() => walk(path, options, &mut found)?,
                Ok(metadata) => {
                    let kind = file_kind(path, &metadata);
                    found.push(Found::at(&absolute(path), file_name(path), metadata.len(), kind));
                }
                Err(source) => missing.push(MissingInput { path: path.clone(), source }),
            },
        }
    }
    if found.is_empty() && !missing.is_empty() && missing.len() == options.inputs.len() {
        return Err(IngestError::NoInput { source: missing.swap_remove(0) });
    }
    for missing in missing {
        let (path, name) = (absolute(&missing.path), missing.path.clone());
        found.push(Found::at(&path, file_name(&name), 0, SourceKind::Unreadable(missing.into())));
    }
    let mut sources = name_all(found, journal)?;
    if let Some(limit) = options.limit {
        sources.truncate(limit);
    }
    Ok(Plan { sources, datasets, limit: options.limit })
}

/// A source before its id is known to be unique.
struct Found {
    source: String,
    name: String,
    id: String,
    n_bytes: u64,
    kind: SourceKind,
}

impl Found {
    fn new(source: &str, name: &str, id: &str, n_bytes: u64, kind: SourceKind) -> Self {
        Self { source: source.to_owned(), name: name.to_owned(), id: id.to_owned(), n_bytes, kind }
    }

    /// A file at an absolute `path`, which is `relative` inside its input.
    fn at(path: &Path, relative: &Path, n_bytes: u64, kind: SourceKind) -> Self {
        Self::new(&path_text(path), &path_text(relative), &id_of_path(relative), n_bytes, kind)
    }
}

/// `path` from the root, links in its folders followed: the same from every working directory and in every spelling.
fn absolute(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(folder), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    }
}

/// The last part of a path, or all of it where it has none.
fn file_name(path: &Path) -> &Path {
    path.file_name().map_or(path, Path::new)
}

fn file_kind(path: &Path, metadata: &fs::Metadata) -> SourceKind {
    if metadata.is_file() { SourceKind::File(path.to_owned()) } else { SourceKind::Skip("not a regular file") }
}

/// Everything below `root`, in the order of names.
fn walk(root: &Path, options: &IngestOptions, found: &mut Vec<Found>) -> Result<(), IngestError> {
    let mut excluded = GitignoreBuilder::new(root);
    for pattern in &options.exclude {
        let malformed = |source| IngestError::Pattern { pattern: pattern.clone(), source };
        excluded.add_line(None, pattern).map_err(malformed)?;
    }
    let malformed = |source| IngestError::Pattern { pattern: options.exclude.join(" "), source };
    let excluded = excluded.build().map_err(malformed)?;
    let base = fs::canonicalize(root).unwrap_or_else(|_| absolute(root));
    let output = fs::canonicalize(&options.output).ok();
    if output.as_ref() == Some(&base) {
        found.push(Found::at(&base, file_name(&base), 0, SourceKind::Skip("the output folder")));
        return Ok(());
    }
    let walker = WalkBuilder::new(root)
        .standard_filters(false)
        .follow_links(options.follow_links)
        .sort_by_file_name(|a, b| a.cmp(b))
        .filter_entry(move |entry| {
            let is_folder = entry.file_type().is_some_and(|file_type| file_type.is_dir());
            let is_excluded = entry.depth() > 0 && excluded.matched(entry.path(), is_folder).is_ignore();
            // The output folder may lie inside the input; it is never its own input.
            let is_output = is_folder && output.is_some() && fs::canonicalize(entry.path()).ok() == output;
            !is_excluded && !is_output
        })
        .build();
    for entry in walker {
        match entry {
            Ok(entry) => {
                let path = entry.path();
                let Some(file_type) = entry.file_type() else { continue };
                if file_type.is_dir() {
                    continue;
                }
                let (n_bytes, kind) = if file_type.is_symlink() {
                    (0, SourceKind::Skip("a symbolic link, and links are not followed without `--follow`"))
                } else {
                    match entry.metadata() {
                        Ok(metadata) => (metadata.len(), file_kind(path, &metadata)),
                        Err(error) => (0, SourceKind::Unreadable(SourceError::List(error))),
                    }
                };
                let relative = path.strip_prefix(root).unwrap_or(path);
                found.push(Found::at(&base.join(relative), relative, n_bytes, kind));
            }
            Err(error) => found.push(unlisted(error, root, &base)),
        }
    }
    Ok(())
}

/// What the walk could not enter: a folder without permission, a broken link, a loop of links.
fn unlisted(error: ignore::Error, root: &Path, base: &Path) -> Found {
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
    let relative = path.strip_prefix(root).unwrap_or(&path);
    let kind = if is_loop(&error) {
        SourceKind::Skip("a symbolic link to a folder that holds it")
    } else {
        SourceKind::Unreadable(SourceError::List(error))
    };
    Found::at(&base.join(relative), relative, 0, kind)
}

/// Gives every source an id of its own: that of its path, or that of its path and a hash of its absolute path where
/// another source has the first. The journal keeps what earlier runs gave. A source named twice is one.
fn name_all(found: Vec<Found>, journal: Option<&Journal>) -> Result<Vec<Arc<PlannedSource>>, IngestError> {
    let mut sources = Vec::with_capacity(found.len());
    let (mut seen, mut taken) = (HashSet::new(), HashSet::new());
    for Found { source, name, id, n_bytes, kind } in found {
        if !seen.insert(source.clone()) {
            continue;
        }
        let other = id_of_other_source(&id, &source);
        let (mine, of_another) = match journal {
            Some(journal) => (journal.by_source(&source)?.map(|row| row.id), journal.by_id(&id)?.is_some()),
            None => (None, false),
        };
        // The journal may come from anyone: no id but these two is taken from it.
        let id = match mine {
            Some(known) if known == id || known == other => known,
            _ if of_another || taken.contains(&id) => other,
            _ => id,
        };
        taken.insert(id.clone());
        sources.push(Arc::new(PlannedSource { id, source, name, n_bytes, modality: None, kind }));
    }
    Ok(sources)
}
