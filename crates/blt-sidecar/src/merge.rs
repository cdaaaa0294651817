//! Several sidecars as one: the hypergraph of a shard.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::read::{Sidecar, SidecarError};
use crate::write::{close, create};

/// Joins the sidecars of single sources, one after another. Ids are counted on; everything else stays as it is, so
/// `tensor_row` and `tensor_byte` count from the start of each source.
#[derive(Debug)]
pub struct SidecarMerger {
    connection: Connection,
    last: Ids,
}

/// The largest ids so far.
#[derive(Debug, Clone, Copy, Default)]
struct Ids {
    trunk: i64,
    branch: i64,
    edge: i64,
}

/// What an integer in a column counts.
#[derive(Debug, Clone, Copy)]
enum Counts {
    Trunks,
    Branches,
    Edges,
    /// Trunks or branches, as the column before says.
    Nodes,
}

/// A table, the order of its rows, and the columns that hold ids.
type Table = (&'static str, &'static str, &'static [(usize, Counts)]);

/// Every table, those that others refer to first.
const TABLES: &[Table] = &[
    ("trunk", "id", &[(0, Counts::Trunks)]),
    ("branch", "id", &[(0, Counts::Branches), (1, Counts::Trunks), (2, Counts::Branches), (3, Counts::Branches)]),
    ("leaf", "view, byte_start", &[(0, Counts::Branches), (4, Counts::Branches)]),
    ("problem", "trunk, ordinal", &[(0, Counts::Trunks)]),
    ("hyperedge", "id", &[(0, Counts::Edges)]),
    ("incidence", "edge, ordinal", &[(0, Counts::Edges), (3, Counts::Nodes)]),
];

impl SidecarMerger {
    /// A new database at `path`, which must not exist.
    ///
    /// # Errors
    ///
    /// Fails when the file exists or cannot be written.
    pub fn create(path: &Path) -> Result<Self, SidecarError> {
        Ok(Self { connection: create(path)?, last: Ids::default() })
    }

    /// Adds everything in the sidecar at `path`.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read, or the database cannot be written.
    pub fn append(&mut self, path: &Path) -> Result<(), SidecarError> {
        let sidecar = Sidecar::open(path)?;
        let from = sidecar.connection();
        for (table, order, ids) in TABLES {
            let mut read = from.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
            let n_columns = read.column_count();
            let places = vec!["?"; n_columns].join(", ");
            let mut write = self.connection.prepare_cached(&format!("INSERT INTO {table} VALUES ({places})"))?;
            let mut rows = read.query([])?;
            while let Some(row) = rows.next()? {
                let mut values = (0..n_columns).map(|i| row.get(i)).collect::<rusqlite::Result<Vec<Value>>>()?;
                for &(column, counts) in *ids {
                    let is_trunk = column > 0 && values[column - 1] == Value::Text("trunk".to_owned());
                    let offset = match counts {
                        Counts::Trunks => self.last.trunk,
                        Counts::Nodes if is_trunk => self.last.trunk,
                        Counts::Branches | Counts::Nodes => self.last.branch,
                        Counts::Edges => self.last.edge,
                    };
                    if let Value::Integer(id) = &mut values[column] {
                        *id += offset;
                    }
                }
                write.execute(params_from_iter(values))?;
            }
        }
        let last = |table: &str| {
            self.connection.query_row(&format!("SELECT coalesce(max(id), 0) FROM {table}"), [], |row| row.get(0))
        };
        self.last = Ids { trunk: last("trunk")?, branch: last("branch")?, edge: last("hyperedge")? };
        Ok(())
    }

    /// Completes the file.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be written.
    pub fn finish(self) -> Result<(), SidecarError> {
        close(self.connection)
    }
}
