//! Writing a sidecar while its source is being read, or of several sources, one after another.

use std::path::Path;
use std::sync::LazyLock;

use blt_core::{Modality, Origin, Patch, Rect, View, ViewData};
use rusqlite::{Connection, params};

use crate::read::SidecarError;
use crate::schema::{APPLICATION_ID, INDICES, SCHEMA, SCHEMA_VERSION};

/// Leaves that are inserted by one statement: SQLite then looks for their place once.
const LEAVES_AT_ONCE: usize = 64;
const LEAF_COLUMNS: usize = 8;
static INSERT_LEAF: LazyLock<String> = LazyLock::new(|| insert_leaves(1));
static INSERT_LEAVES: LazyLock<String> = LazyLock::new(|| insert_leaves(LEAVES_AT_ONCE));

fn insert_leaves(n: usize) -> String {
    let row = format!("({})", ["?"; LEAF_COLUMNS].join(", "));
    format!("INSERT INTO leaf VALUES {}", vec![row; n].join(", "))
}

/// What is known of a source once all of it has been read.
#[derive(Debug, Clone, Copy)]
pub struct TrunkInfo<'a> {
    /// The name of its outputs.
    pub output_id: &'a str,
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
    /// What could not be decoded.
    pub problems: &'a [String],
}

/// Writes one sidecar: views in order, each followed by its leaves in order, then the trunk; and so on for further sources.
/// Ids count on through all of them; `tensor_byte` and `tensor_row` count from the start of each.
#[derive(Debug)]
pub struct SidecarWriter {
    connection: Connection,
    /// Ids of the current source and of what comes next.
    trunk: i64,
    next_branch: i64,
    next_edge: i64,
    view: Option<OpenView>,
    /// Of the current source.
    views: Vec<i64>,
    /// Leaves that are not in the database yet.
    leaves: Vec<LeafRow>,
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
        let connection = create(path)?;
        Ok(Self {
            connection,
            trunk: 1,
            next_branch: 1,
            next_edge: 1,
            view: None,
            views: Vec::new(),
            leaves: Vec::with_capacity(LEAVES_AT_ONCE),
            tensor_byte: 0,
            tensor_row: 0,
        })
    }

    /// Begins a view and gives its id.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    pub fn view(&mut self, view: &View) -> Result<i64, SidecarError> {
        self.end_view()?;
        let id = self.next_branch;
        let first_unit = id + 1;
        let preserves_source = view.data == ViewData::Source;
        self.next_branch = first_unit + view.units.len() as i64;
        // Its end and its bytes in the source are filled in when they are known.
        let row = BranchRow {
            id,
            parent: None,
            view: id,
            ordinal: self.views.len() as i64,
            label: &view.label,
            name: view.name.as_deref(),
            modality: view.modality,
            media_type: Some(&view.media_type),
            range: (0, 0),
            tensors: Some((self.tensor_byte as i64, self.tensor_row as i64)),
        };
        self.insert(&row, &Address::of(view.origin.as_ref()))?;
        let mut n_children = vec![0i64; view.units.len() + 1];
        for (i, unit) in view.units.iter().enumerate() {
            let ordinal = &mut n_children[unit.parent.unwrap_or(view.units.len())];
            let row = BranchRow {
                id: first_unit + i as i64,
                parent: Some(unit.parent.map_or(id, |parent| first_unit + parent as i64)),
                view: id,
                ordinal: *ordinal,
                label: &unit.label,
                name: unit.name.as_deref(),
                modality: view.modality,
                media_type: None,
                range: (unit.range.start as i64, unit.range.end as i64),
                tensors: None,
            };
            *ordinal += 1;
            let mut address = Address::of(unit.origin.as_ref());
            if preserves_source {
                address.source = Some(row.range);
            }
            self.insert(&row, &address)?;
        }
        let bounds = |(i, unit): (usize, &blt_core::Unit)| {
            (first_unit + i as i64, unit.range.start, unit.range.end, unit.parent)
        };
        let units = view.units.iter().enumerate().map(bounds).collect();
        self.view = Some(OpenView { id, preserves_source, n_bytes: 0, n_leaves: 0, units, unit: None });
        self.views.push(id);
        Ok(id)
    }

    fn insert(&self, row: &BranchRow<'_>, address: &Address<'_>) -> Result<(), SidecarError> {
        let sql =
            "INSERT INTO branch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
            ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31)";
        let Address { source, member, page, frame, row: table_row, rect, samples, time } = address;
        self.connection.prepare_cached(sql)?.execute(params![
            row.id,
            self.trunk,
            row.parent,
            row.view,
            row.ordinal,
            row.label,
            row.name,
            row.modality.name(),
            row.media_type,
            row.range.0,
            row.range.1,
            source.map(|range| range.0),
            source.map(|range| range.1),
            member.map(|member| member.0),
            member.map(|member| member.1),
            member.map(|member| member.2),
            page,
            frame,
            table_row.map(|row| row.0),
            table_row.map(|row| row.1),
            rect.map(|rect| rect.x0),
            rect.map(|rect| rect.y0),
            rect.map(|rect| rect.x1),
            rect.map(|rect| rect.y1),
            samples.map(|samples| samples.0),
            samples.map(|samples| samples.1),
            samples.map(|samples| samples.2),
            time.map(|time| time.0),
            time.map(|time| time.1),
            row.tensors.map(|tensors| tensors.0),
            row.tensors.map(|tensors| tensors.1),
        ])?;
        Ok(())
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
        self.leaves.push(LeafRow {
            view: view.id,
            start: patch.range.start as i64,
            n_bytes: patch.range.len() as i64,
            ordinal: view.n_leaves as i64,
            branch,
            signals: [patch.entropy, patch.prominence, patch.coherence].map(f64::from),
        });
        view.n_bytes = patch.range.end;
        view.n_leaves += 1;
        if self.leaves.len() == LEAVES_AT_ONCE { self.insert_leaves() } else { Ok(()) }
    }

    fn insert_leaves(&mut self) -> Result<(), SidecarError> {
        let (sql, n) = match self.leaves.len() {
            LEAVES_AT_ONCE => (&*INSERT_LEAVES, LEAVES_AT_ONCE),
            _ => (&*INSERT_LEAF, 1),
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        for rows in self.leaves.chunks(n) {
            for (first, row) in (1..).step_by(LEAF_COLUMNS).zip(rows) {
                let integers = [row.view, row.start, row.n_bytes, row.ordinal, row.branch];
                for (column, value) in (first..).zip(integers) {
                    statement.raw_bind_parameter(column, value)?;
                }
                for (column, value) in (first + integers.len()..).zip(row.signals) {
                    statement.raw_bind_parameter(column, value)?;
                }
            }
            statement.raw_execute()?;
        }
        self.leaves.clear();
        Ok(())
    }

    /// Ends the one source and closes the file.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    pub fn finish(mut self, trunk: &TrunkInfo<'_>) -> Result<(), SidecarError> {
        self.end_source(trunk)?;
        self.close()
    }

    /// Ends a source: writes the trunk and what could not be decoded, and joins several views by a `same_source` edge. What
    /// comes then is another's.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    pub fn end_source(&mut self, trunk: &TrunkInfo<'_>) -> Result<(), SidecarError> {
        self.end_view()?;
        let sql = "INSERT INTO trunk VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.connection.prepare_cached(sql)?.execute(params![
            self.trunk,
            trunk.output_id,
            trunk.path,
            &trunk.sha256[..],
            trunk.n_bytes as i64,
            trunk.media_type,
            trunk.modality.name()
        ])?;
        for (ordinal, problem) in trunk.problems.iter().enumerate() {
            let sql = "INSERT INTO problem VALUES (?1, ?2, ?3)";
            self.connection.prepare_cached(sql)?.execute(params![self.trunk, ordinal as i64, problem])?;
        }
        if self.views.len() > 1 {
            let edge = "INSERT INTO hyperedge VALUES (?1, 'same_source', 1.0)";
            self.connection.prepare_cached(edge)?.execute([self.next_edge])?;
            for (ordinal, view) in self.views.iter().enumerate() {
                let incidence = "INSERT INTO incidence VALUES (?1, ?2, 'branch', ?3, NULL)";
                self.connection.prepare_cached(incidence)?.execute([self.next_edge, ordinal as i64, *view])?;
            }
            self.next_edge += 1;
        }
        self.trunk += 1;
        self.views.clear();
        (self.tensor_byte, self.tensor_row) = (0, 0);
        Ok(())
    }

    /// Completes the file, behind the end of a source.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    pub fn close(self) -> Result<(), SidecarError> {
        self.connection.execute_batch(&format!("{INDICES} COMMIT;"))?;
        self.connection.close().map_err(|(_, error)| error.into())
    }

    fn end_view(&mut self) -> Result<(), SidecarError> {
        self.insert_leaves()?;
        let Some(view) = self.view.take() else { return Ok(()) };
        let source_end = view.preserves_source.then_some(view.n_bytes as i64);
        let sql = "UPDATE branch SET byte_end = ?2, source_start = coalesce(?3, source_start),
                source_end = coalesce(?4, source_end) WHERE id = ?1";
        self.connection.prepare_cached(sql)?.execute(params![
            view.id,
            view.n_bytes as i64,
            source_end.map(|_| 0i64),
            source_end
        ])?;
        self.tensor_byte += view.n_bytes;
        self.tensor_row += view.n_leaves;
        Ok(())
    }
}

/// A new database at `path`, in one transaction up to its end.
fn create(path: &Path) -> Result<Connection, SidecarError> {
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
    Ok(connection)
}

/// A leaf as it stands in its table.
#[derive(Debug)]
struct LeafRow {
    view: i64,
    start: i64,
    n_bytes: i64,
    ordinal: i64,
    branch: i64,
    /// Entropy, prominence, coherence.
    signals: [f64; 3],
}

/// A branch but for its place in the source.
struct BranchRow<'a> {
    id: i64,
    parent: Option<i64>,
    view: i64,
    ordinal: i64,
    label: &'a str,
    name: Option<&'a str>,
    modality: Modality,
    media_type: Option<&'a str>,
    range: (i64, i64),
    tensors: Option<(i64, i64)>,
}

/// An [`Origin`] in columns.
#[derive(Default)]
struct Address<'a> {
    source: Option<(i64, i64)>,
    member: Option<(&'a str, i64, i64)>,
    page: Option<u32>,
    frame: Option<i64>,
    row: Option<(u32, i64)>,
    rect: Option<Rect>,
    samples: Option<(i64, i64, u32)>,
    time: Option<(f64, f64)>,
}

impl<'a> Address<'a> {
    fn of(origin: Option<&'a Origin>) -> Self {
        let none = Self::default();
        match origin {
            Some(Origin::SourceBytes(range)) => Self { source: Some((range.start as i64, range.end as i64)), ..none },
            Some(Origin::Member { name, range }) => {
                Self { member: Some((name, range.start as i64, range.end as i64)), ..none }
            }
            Some(Origin::Page { page, rect }) => Self { page: Some(*page), rect: Some(*rect), ..none },
            Some(Origin::Pixels { frame, rect }) => Self { frame: Some(i64::from(*frame)), rect: Some(*rect), ..none },
            Some(Origin::Samples { start, end, rate }) => {
                let seconds = |sample: u64| sample as f64 / f64::from((*rate).max(1));
                let time = Some((seconds(*start), seconds(*end)));
                Self { samples: Some((*start as i64, *end as i64, *rate)), time, ..none }
            }
            Some(Origin::Time { frame, start, end }) => {
                Self { frame: Some(*frame as i64), time: Some((*start, *end)), ..none }
            }
            Some(Origin::Row { table, row }) => Self { row: Some((*table, *row as i64)), ..none },
            _ => none,
        }
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
