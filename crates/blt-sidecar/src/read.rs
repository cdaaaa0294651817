//! Reading and querying a sidecar.

use std::path::{Path, PathBuf};

use blt_core::{ByteRange, Origin, Rect};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use crate::schema::{APPLICATION_ID, INDICES, SCHEMA, SCHEMA_VERSION};

/// Why a sidecar could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// SQLite refused.
    #[error("the hypergraph database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// A new sidecar would overwrite a file.
    #[error("`{}` exists already", .0.display())]
    Exists(PathBuf),
    /// The file is a database of something else, or of a newer version.
    #[error("`{}` is not a hypergraph sidecar of version {SCHEMA_VERSION} (application id {application_id:#x}, version {version})", path.display())]
    NotASidecar {
        /// The file.
        path: PathBuf,
        /// Its `PRAGMA application_id`.
        application_id: i32,
        /// Its `PRAGMA user_version`.
        version: i32,
    },
    /// What is to be written cannot be held until then.
    #[error("cannot hold the hypergraph in a temporary file")]
    Held(#[source] std::io::Error),
    /// Writing the JSON form failed.
    #[error("cannot write the hypergraph as JSON")]
    Json(#[source] std::io::Error),
}

/// The source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Where it came from.
    pub path: String,
    /// Hash of its bytes.
    pub sha256: Vec<u8>,
    /// Its size in bytes.
    pub n_bytes: u64,
    /// Its media type.
    pub media_type: String,
    /// What it holds.
    pub modality: String,
}

/// A view, or a unit inside one.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Key.
    pub id: i64,
    /// The branch it lies in, `None` for a view.
    pub parent: Option<i64>,
    /// Its view; itself for a view.
    pub view: i64,
    /// What it is, like `raw` or `line`.
    pub label: String,
    /// What the source calls it, or the path of the file inside the source that a view is of.
    pub name: Option<String>,
    /// What it holds.
    pub modality: String,
    /// How the bytes of a view are to be read.
    pub media_type: Option<String>,
    /// Its bytes in its view.
    pub range: ByteRange,
    /// Its bytes in the source, where it has such a range.
    pub source: Option<ByteRange>,
    /// Its place in the source in other terms, where it has one.
    pub origin: Option<Origin>,
}

/// A patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The view it lies in.
    pub view: i64,
    /// The innermost branch that holds its first byte.
    pub branch: i64,
    /// Its bytes in the view.
    pub range: ByteRange,
    /// Its bytes in the source, where the view preserves them.
    pub source: Option<ByteRange>,
    /// Its place in the view.
    pub ordinal: u64,
    /// Its row in the patch tensors.
    pub tensor_row: u64,
    /// Mean entropy of its bytes in nats.
    pub entropy: f64,
    /// Prominence.
    pub prominence: f64,
    /// Coherence.
    pub coherence: f64,
}

/// An existing sidecar, opened for reading only.
#[derive(Debug)]
pub struct Sidecar {
    connection: Connection,
}

impl Sidecar {
    /// Opens the sidecar at `path`.
    ///
    /// # Errors
    ///
    /// Fails when the file is absent, no SQLite database, or not a sidecar of this version.
    pub fn open(path: &Path) -> Result<Self, SidecarError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // The file may come from anyone: its schema must not call functions with side effects.
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;")?;
        let application_id = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        // Comparing the whole schema keeps out a file whose tables are views that never end.
        if application_id != APPLICATION_ID || version != SCHEMA_VERSION || !has_our_schema(&connection)? {
            return Err(SidecarError::NotASidecar { path: path.to_owned(), application_id, version });
        }
        Ok(Self { connection })
    }

    /// The connection, for queries of one's own.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Number of sources: one, or those of a shard.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn n_trunks(&self) -> Result<u64, SidecarError> {
        Ok(self.connection.query_row("SELECT count(*) FROM trunk", [], |row| row.get::<_, i64>(0))? as u64)
    }

    /// The source; of several the first.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn trunk(&self) -> Result<Trunk, SidecarError> {
        let sql = "SELECT path, sha256, n_bytes, media_type, modality FROM trunk ORDER BY id LIMIT 1";
        Ok(self.connection.query_row(sql, [], |row| {
            Ok(Trunk {
                path: row.get(0)?,
                sha256: row.get(1)?,
                n_bytes: row.get::<_, i64>(2)? as u64,
                media_type: row.get(3)?,
                modality: row.get(4)?,
            })
        })?)
    }

    /// All branches, each view followed by its units.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn branches(&self) -> Result<Vec<Branch>, SidecarError> {
        let sql = format!("SELECT {BRANCH_COLUMNS} FROM branch ORDER BY id");
        Ok(self.connection.prepare(&sql)?.query_map([], branch)?.collect::<Result<_, _>>()?)
    }

    /// The branch `id`.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn branch(&self, id: i64) -> Result<Option<Branch>, SidecarError> {
        let sql = format!("SELECT {BRANCH_COLUMNS} FROM branch WHERE id = ?1");
        Ok(self.connection.prepare_cached(&sql)?.query_row([id], branch).optional()?)
    }

    /// What could not be decoded.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn problems(&self) -> Result<Vec<String>, SidecarError> {
        let mut statement = self.connection.prepare("SELECT text FROM problem ORDER BY trunk, ordinal")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The leaf of `view` that holds the byte at `offset`.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn leaf_at(&self, view: i64, offset: u64) -> Result<Option<Leaf>, SidecarError> {
        let condition = "view = ?1 AND byte_start <= ?2 ORDER BY byte_start DESC LIMIT 1";
        Ok(self.one_leaf(condition, view, offset)?.filter(|leaf| leaf.range.contains(offset)))
    }

    /// The leaf that follows `leaf` in its view.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn next_leaf(&self, leaf: &Leaf) -> Result<Option<Leaf>, SidecarError> {
        self.one_leaf("view = ?1 AND byte_start = ?2", leaf.view, leaf.range.end)
    }

    /// Number of leaves.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn n_leaves(&self) -> Result<u64, SidecarError> {
        Ok(self.connection.query_row("SELECT count(*) FROM leaf", [], |row| row.get::<_, i64>(0))? as u64)
    }

    /// Calls `visit` with every leaf, view by view, in order.
    ///
    /// # Errors
    ///
    /// Fails when the database does, and passes on what `visit` returns.
    pub fn for_each_leaf(&self, mut visit: impl FnMut(Leaf) -> Result<(), SidecarError>) -> Result<(), SidecarError> {
        let mut statement =
            self.connection.prepare(&format!("SELECT {LEAF_COLUMNS} FROM v_leaf ORDER BY view, byte_start"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(leaf(row)?)?;
        }
        Ok(())
    }

    fn one_leaf(&self, condition: &str, view: i64, offset: u64) -> Result<Option<Leaf>, SidecarError> {
        let sql = format!("SELECT {LEAF_COLUMNS} FROM v_leaf WHERE {condition}");
        let Ok(offset) = i64::try_from(offset) else { return Ok(None) };
        Ok(self.connection.prepare_cached(&sql)?.query_row([view, offset], leaf).optional()?)
    }
}

fn has_our_schema(connection: &Connection) -> rusqlite::Result<bool> {
    fn schema_of(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
        let mut statement = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    }
    let ours = Connection::open_in_memory()?;
    ours.execute_batch(SCHEMA)?;
    ours.execute_batch(INDICES)?;
    Ok(schema_of(connection)? == schema_of(&ours)?)
}

const BRANCH_COLUMNS: &str = "id, parent, view, label, modality, byte_start, byte_end, source_start, source_end, name,
    media_type, member, member_start, member_end, page, frame, table_index, row, x0, y0, x1, y1, sample_start, sample_end,
    sample_rate, time_start, time_end";
const LEAF_COLUMNS: &str =
    "view, branch, byte_start, byte_end, source_start, source_end, ordinal, tensor_row, entropy, prominence, coherence";

fn branch(row: &Row<'_>) -> rusqlite::Result<Branch> {
    Ok(Branch {
        id: row.get(0)?,
        parent: row.get(1)?,
        view: row.get(2)?,
        label: row.get(3)?,
        modality: row.get(4)?,
        range: range(row, 5)?.unwrap_or(ByteRange { start: 0, end: 0 }),
        source: range(row, 7)?,
        name: row.get(9)?,
        media_type: row.get(10)?,
        origin: origin(row)?,
    })
}

/// The place in columns 11 to 26 of a branch; the inverse of what the writer does.
fn origin(row: &Row<'_>) -> rusqlite::Result<Option<Origin>> {
    let rect = match (row.get(18)?, row.get(19)?, row.get(20)?, row.get(21)?) {
        (Some(x0), Some(y0), Some(x1), Some(y1)) => Some(Rect { x0, y0, x1, y1 }),
        _ => None,
    };
    if let (Some(name), Some(range)) = (row.get::<_, Option<String>>(11)?, range(row, 12)?) {
        return Ok(Some(Origin::Member { name: name.into(), range }));
    }
    if let (Some(page), Some(rect)) = (row.get(14)?, rect) {
        return Ok(Some(Origin::Page { page, rect }));
    }
    if let (Some(frame), Some(rect)) = (row.get(15)?, rect) {
        return Ok(Some(Origin::Pixels { frame, rect }));
    }
    if let (Some(ByteRange { start, end }), Some(rate)) = (range(row, 22)?, row.get(24)?) {
        return Ok(Some(Origin::Samples { start, end, rate }));
    }
    if let (Some(frame), Some(start), Some(end)) = (row.get::<_, Option<i64>>(15)?, row.get(25)?, row.get(26)?) {
        return Ok(Some(Origin::Time { frame: frame as u64, start, end }));
    }
    if let (Some(table), Some(row)) = (row.get(16)?, row.get::<_, Option<i64>>(17)?) {
        return Ok(Some(Origin::Row { table, row: row as u64 }));
    }
    Ok(None)
}

fn leaf(row: &Row<'_>) -> rusqlite::Result<Leaf> {
    Ok(Leaf {
        view: row.get(0)?,
        branch: row.get(1)?,
        range: range(row, 2)?.unwrap_or(ByteRange { start: 0, end: 0 }),
        source: range(row, 4)?,
        ordinal: row.get::<_, i64>(6)? as u64,
        tensor_row: row.get::<_, i64>(7)? as u64,
        entropy: row.get(8)?,
        prominence: row.get(9)?,
        coherence: row.get(10)?,
    })
}

/// The range in two columns, `None` when they are null. A file whose columns run backwards is refused.
fn range(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<ByteRange>> {
    let (Some(start), Some(end)) = (row.get::<_, Option<i64>>(column)?, row.get::<_, Option<i64>>(column + 1)?) else {
        return Ok(None);
    };
    match (u64::try_from(start), u64::try_from(end)) {
        (Ok(start), Ok(end)) if start <= end => Ok(Some(ByteRange { start, end })),
        _ => Err(rusqlite::Error::IntegralValueOutOfRange(column, start)),
    }
}
