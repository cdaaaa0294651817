//! Everything a run has, one source after another: what was listed, then the rows of datasets, which are read while they are
//! asked for.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use blt_core::Modality;
use blt_dataset::{
    AssetError, Assets, Content, Dataset, Documents, Medium, Part, Reference, RowDocument, TableError, shown_reference,
};

use crate::error::SourceError;
use crate::id::id_of_path;
use crate::plan::{Plan, PlannedSource, SourceKind};
use crate::source::LoadedSource;

/// A dataset to ingest: each of its rows is a source, or several where a row has several contents.
pub struct DatasetInput {
    name: String,
    dataset: Dataset,
    assets: Option<Assets>,
    /// The unit whose rows' files were fetched last.
    prefetched: Mutex<Option<usize>>,
}

impl fmt::Debug for DatasetInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatasetInput").field("name", &self.name).finish_non_exhaustive()
    }
}

impl DatasetInput {
    /// `dataset`, called `name` wherever the run was started: its address with its commit, or its folder. Files that rows
    /// only name are taken from `assets`.
    pub fn new(name: &str, dataset: Dataset, assets: Option<Assets>) -> Self {
        Self { name: name.to_owned(), dataset, assets, prefetched: Mutex::default() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Puts the files that a row of `unit` names into it. Gives the places of the parts that are left out. Before the first
    /// of them, those of all rows of the unit are fetched at once; of all rows of the dataset where there are archives, each
    /// of which is then read only once.
    fn resolve(
        &self,
        document: &mut RowDocument,
        unit: usize,
        cancelled: &AtomicBool,
    ) -> Result<Vec<usize>, AssetError> {
        let Some(assets) = &self.assets else { return Ok(Vec::new()) };
        if document.references().next().is_none() {
            return Ok(Vec::new());
        }
        let mut prefetched = self.prefetched.lock().unwrap_or_else(PoisonError::into_inner);
        let units = match *prefetched {
            Some(last) if last == unit || assets.has_archives() => 0..0,
            None if assets.has_archives() => 0..self.dataset.plan().units.len(),
            _ => unit..unit + 1,
        };
        if !units.is_empty() {
            // What fails here fails again where it is needed, and is told there.
            if let Err(error) = assets.prefetch(self.references(units), cancelled) {
                tracing::warn!(%error, "files that rows name could not be fetched beforehand");
            }
        }
        *prefetched = Some(unit);
        assets.resolve(document, &self.dataset.plan().files[document.file].path, cancelled)
    }

    /// Every file that rows of `units` name.
    fn references(&self, units: Range<usize>) -> HashSet<Reference> {
        let plan = self.dataset.plan();
        let units = &plan.units[units];
        let documents = units.iter().filter_map(|unit| self.dataset.documents(unit).ok()).flatten().flatten();
        let contents = documents.flat_map(|document| {
            let file = document.file;
            document.parts.into_iter().map(move |part| (file, part.content))
        });
        contents
            .filter_map(|(file, content)| match content {
                Content::Reference(text) => Reference::parse(&text, &plan.files[file].path).ok(),
                _ => None,
            })
            .collect()
    }

    /// The sources that a row of `unit` is.
    fn sources(&self, mut document: RowDocument, unit: usize, cancelled: &AtomicBool) -> Vec<Item> {
        let source = format!("{}/{}#{}", self.name, self.dataset.plan().files[document.file].path, document.row);
        let left_out = match self.resolve(&mut document, unit, cancelled) {
            Ok(left_out) => left_out,
            Err(error) => return vec![Item::failed(document.id, source, SourceError::Asset(Box::new(error)))],
        };
        let n_parts = document.parts.len();
        let ids: Vec<String> = (0..n_parts).map(|part| document.part_id(part)).collect();
        ids.into_iter()
            .zip(document.parts)
            .enumerate()
            .map(|(place, (id, part))| {
                let source = if n_parts > 1 { format!("{source}~{}", part.name) } else { source.clone() };
                if left_out.contains(&place) {
                    return Item::of(id, source, None, SourceKind::Skip("what it names is missing"));
                }
                Item::of_part(id, source, part)
            })
            .collect()
    }
}

/// A source in its turn.
pub(crate) struct Item {
    pub(crate) planned: Arc<PlannedSource>,
    /// Its bytes, or why there are none, where they came with it.
    pub(crate) content: Option<Result<LoadedSource, SourceError>>,
}

impl Item {
    fn of(id: String, source: String, modality: Option<Modality>, kind: SourceKind) -> Self {
        let planned = PlannedSource { name: id.clone(), id, source, n_bytes: 0, modality, kind };
        Self { planned: Arc::new(planned), content: None }
    }

    fn of_part(id: String, source: String, part: Part) -> Self {
        let bytes = match part.content {
            Content::Text(text) => Ok(text.into_bytes()),
            Content::Bytes(bytes) => Ok(bytes),
            Content::Reference(reference) => Err(SourceError::Reference(shown_reference(&reference))),
        };
        let modality = (part.medium == Medium::Text).then_some(Modality::Text);
        // The extension of the file's name is a hint at its format; the rest of it is nobody's business.
        let extension = part.file_name.as_deref().and_then(|name| Path::new(name).extension()?.to_str());
        let extension = extension.filter(|extension| extension.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let name = extension.map_or_else(|| id.clone(), |extension| format!("{id}.{extension}"));
        let n_bytes = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let planned = PlannedSource { name, id, source, n_bytes, modality, kind: SourceKind::Row };
        Self { planned: Arc::new(planned), content: Some(bytes.map(LoadedSource::from_bytes)) }
    }

    fn failed(id: String, source: String, error: SourceError) -> Self {
        Self { content: Some(Err(error)), ..Self::of(id, source, None, SourceKind::Row) }
    }
}

/// Where a sequence stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Sources so far.
    n: u64,
    /// Listed sources so far.
    listed: usize,
    /// The dataset, its unit, and sources of that so far.
    dataset: usize,
    unit: usize,
    in_unit: u64,
}

/// Gives the sources of a plan in order.
pub(crate) struct Sequence<'a> {
    plan: &'a Plan,
    cancelled: &'a AtomicBool,
    at: Position,
    rows: Option<Documents>,
    /// Sources of a row that was read.
    pending: VecDeque<Item>,
}

impl<'a> Sequence<'a> {
    /// The sources of `plan`. Once `cancelled` is set, nothing is fetched any more for rows, which then fail.
    pub(crate) fn new(plan: &'a Plan, cancelled: &'a AtomicBool) -> Self {
        Self { plan, cancelled, at: Position::default(), rows: None, pending: VecDeque::new() }
    }

    /// The rows of the datasets alone.
    pub(crate) fn of_rows(plan: &'a Plan, cancelled: &'a AtomicBool) -> Self {
        let at = Position { listed: plan.sources.len(), ..Position::default() };
        Self { at, ..Self::new(plan, cancelled) }
    }

    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// Goes back to where it stood before. The rows of a unit are read again from its start.
    pub(crate) fn seek(&mut self, position: Position) {
        let n_skipped = position.in_unit;
        self.at = Position { n: position.n - n_skipped, in_unit: 0, ..position };
        (self.rows, self.pending) = (None, VecDeque::new());
        for _ in 0..n_skipped {
            self.next();
        }
    }

    /// The next source of the datasets.
    fn next_row(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                self.at.in_unit += 1;
                return Some(item);
            }
            let input = self.plan.datasets.get(self.at.dataset)?;
            let Some(unit) = input.dataset.plan().units.get(self.at.unit) else {
                (self.at.dataset, self.at.unit, self.at.in_unit) = (self.at.dataset + 1, 0, 0);
                continue;
            };
            let file = &input.dataset.plan().files[unit.file].path;
            let rows = match &mut self.rows {
                Some(rows) => rows,
                None => match input.dataset.documents(unit) {
                    Ok(rows) => self.rows.insert(rows),
                    Err(error) => {
                        self.at.unit += 1;
                        self.at.in_unit = 0;
                        let source = format!("{}/{file}#{}..", input.name, unit.rows.start);
                        let id = format!("unit_{}", unit.id);
                        return Some(Item::failed(id, source, SourceError::Table(error)));
                    }
                },
            };
            match rows.next() {
                Some(Ok(document)) => self.pending.extend(input.sources(document, self.at.unit, self.cancelled)),
                Some(Err(error)) => {
                    let (place, id) = match &error {
                        TableError::Row { row, .. } => (row.to_string(), format!("row_{row}_of_{file}")),
                        _ => (format!("{}..", unit.rows.start), format!("unit_{}", unit.id)),
                    };
                    let source = format!("{}/{file}#{place}", input.name);
                    self.pending.push_back(Item::failed(id_of_path(Path::new(&id)), source, SourceError::Table(error)));
                }
                None => {
                    self.rows = None;
                    self.at.unit += 1;
                    self.at.in_unit = 0;
                }
            }
        }
    }
}

impl Iterator for Sequence<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        if self.plan.limit.is_some_and(|limit| self.at.n >= limit as u64) {
            return None;
        }
        let item = match self.plan.sources.get(self.at.listed) {
            Some(planned) => {
                self.at.listed += 1;
                Item { planned: Arc::clone(planned), content: None }
            }
            None => self.next_row()?,
        };
        self.at.n += 1;
        Some(item)
    }
}
