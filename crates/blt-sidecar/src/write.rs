//! Writing a sidecar while its source is being read.

use std::path::Path;

use blt_core::{Modality, Origin, Patch, Unit};
use rusqlite::{Connection, params};

use crate::read::SidecarError;
use crate::schema::{APPLICATION_ID, INDICES, SCHEMA, SCHEMA_VERSION};

/// The one trunk of a sidecar.
const TRUNK_ID: i64 = 1;

/// What is known of a source once all of it has been read.
#[derive(Debug, Clone, Copy)]
pub struct TrunkInfo<'a> {
    /// Where it came from, as the user named it.
    pub path: &'a str,
    /// Hash of its bytes.
    pub sha256: [u8; 32],
    /// Its size in bytes.
    pub n_bytes: u64,
    /// Its media type.
    pub media_type: &'a str,
    /// What it holds.
    pub modality: Modality,
}

/// Writes one sidecar: views in order, each followed by its leaves in order, then the trunk.
#[derive(Debug)]
pub struct SidecarWriter {
    connection: Connection,
    view: Option<OpenView>,
    next_branch: i64,
    n_views: i64,
    tensor_byte: u64,
    tensor_row: u64,
}

#[derive(Debug)]
struct OpenView {
    id: i64,
    preserves_source: bool,
    n_bytes: u64,
    n_leaves: u64,
    /// `(id, start, end, index of the parent)` of each unit, by start, parents first.
    units: Vec<(i64, u64, u64, Option<usize>)>,
    /// The last unit that starts at or before the last leaf.
    unit: Option<usize>,
}

impl SidecarWriter {
    /// A new database at `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// Fails when the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, SidecarError> {
        if path.exists() {
            return Err(SidecarError::Exists(path.to_owned()));
        }
        let connection = Connection::open(path)?;
        // The file is published whole or not at all, so SQLite's own protection against a crash would only cost.
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA foreign_keys = OFF; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};
             BEGIN; {SCHEMA}"
        ))?;
        Ok(Self { connection, view: None, next_branch: 1, n_views: 0, tensor_byte: 0, tensor_row: 0 })
    }

    /// Begins a view and gives its id. `units` are sorted by start, parents before children. `preserves_source` says that
    /// the view's bytes are the source's from its first one.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    pub fn view(
        &mut self,
        modality: Modality,
        label: &str,
        units: &[Unit],
        preserves_source: bool,
    ) -> Result<i64, SidecarError> {
        self.end_view()?;
        let id = self.next_branch;
        let first_unit = id + 1;
        self.next_branch = first_unit + units.len() as i64;
        // Its end and its tensors' rows are filled in when they are known.
        self.connection.execute(
            "INSERT INTO branch VALUES (?1, ?2, NULL, ?1, ?3, ?4, ?5, 0, 0, NULL, NULL, ?6, ?7)",
            params![
                id,
                TRUNK_ID,
                self.n_views,
                label,
                modality.name(),
                self.tensor_byte as i64,
                self.tensor_row as i64
            ],
        )?;
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO branch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, NULL, NULL)")?;
        let mut n_children = vec![0i64; units.len() + 1];
        for (i, unit) in units.iter().enumerate() {
            let parent = unit.parent.map_or(id, |parent| first_unit + parent as i64);
            let ordinal = &mut n_children[unit.parent.map_or(units.len(), |parent| parent)];
            let source = match unit.origin {
                Some(Origin::SourceBytes(range)) => Some(range),
                _ if preserves_source => Some(unit.range),
                _ => None,
            };
            insert.execute(params![
                first_unit + i as i64,
                TRUNK_ID,
                parent,
                id,
                *ordinal,
                unit.label,
                modality.name(),
                unit.range.start as i64,
                unit.range.end as i64,
                source.map(|range| range.start as i64),
                source.map(|range| range.end as i64),
            ])?;
            *ordinal += 1;
        }
        drop(insert);
        let units = units
            .iter()
            .enumerate()
            .map(|(i, unit)| (first_unit + i as i64, unit.range.start, unit.range.end, unit.parent))
            .collect();
        self.view = Some(OpenView { id, preserves_source, n_bytes: 0, n_leaves: 0, units, unit: None });
        self.n_views += 1;
        Ok(id)
    }

    /// Adds the next leaf of the current view.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    ///
    /// # Panics
    ///
    /// Panics if no view was begun, or the leaf does not start where the one before it ended.
    pub fn leaf(&mut self, patch: &Patch<'_>) -> Result<(), SidecarError> {
        let view = self.view.as_mut().expect("a view was begun");
        assert_eq!(patch.range.start, view.n_bytes, "leaves tile their view");
        let branch = view.branch_at(patch.range.start);
        self.connection.prepare_cached("INSERT INTO leaf VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
            params![
                view.id,
                patch.range.start as i64,
                patch.range.len() as i64,
                view.n_leaves as i64,
                branch,
                f64::from(patch.entropy),
                f64::from(patch.prominence),
                f64::from(patch.coherence),
            ],
        )?;
        view.n_bytes = patch.range.end;
        view.n_leaves += 1;
        Ok(())
    }

    /// Writes the trunk, joins several views by a `same_source` edge, and closes the file.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    pub fn finish(mut self, trunk: &TrunkInfo<'_>) -> Result<(), SidecarError> {
        self.end_view()?;
        self.connection.execute(
            "INSERT INTO trunk VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                TRUNK_ID,
                trunk.path,
                &trunk.sha256[..],
                trunk.n_bytes as i64,
                trunk.media_type,
                trunk.modality.name()
            ],
        )?;
        if self.n_views > 1 {
            self.connection.execute_batch(
                "INSERT INTO hyperedge VALUES (1, 'same_source', 1.0);
                 INSERT INTO incidence SELECT 1, ordinal, 'branch', id, NULL FROM branch WHERE parent IS NULL;",
            )?;
        }
        self.connection.execute_batch(&format!("{INDICES} COMMIT;"))?;
        self.connection.close().map_err(|(_, error)| error.into())
    }

    fn end_view(&mut self) -> Result<(), SidecarError> {
        let Some(view) = self.view.take() else { return Ok(()) };
        let source_end = view.preserves_source.then_some(view.n_bytes as i64);
        self.connection.execute(
            "UPDATE branch SET byte_end = ?2, source_start = ?3, source_end = ?4 WHERE id = ?1",
            params![view.id, view.n_bytes as i64, source_end.map(|_| 0i64), source_end],
        )?;
        self.tensor_byte += view.n_bytes;
        self.tensor_row += view.n_leaves;
        Ok(())
    }
}

impl OpenView {
    /// The innermost branch that holds the byte at `offset`; offsets come in ascending order.
    fn branch_at(&mut self, offset: u64) -> i64 {
        let mut next = self.unit.map_or(0, |unit| unit + 1);
        while self.units.get(next).is_some_and(|&(_, start, _, _)| start <= offset) {
            self.unit = Some(next);
            next += 1;
        }
        let mut candidate = self.unit;
        while let Some(unit) = candidate {
            let (id, _, end, parent) = self.units[unit];
            if offset < end {
                return id;
            }
            candidate = parent;
        }
        self.id
    }
}
