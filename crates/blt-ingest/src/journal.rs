//! `manifest.db`: what is done in an output folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use sha2::{Digest, Sha256};

use crate::error::IngestError;
use crate::plan::PlannedSource;
use crate::work::hex;

/// `PRAGMA application_id` of a journal: "BLTM".
const APPLICATION_ID: i32 = 0x424C_544D;
const SCHEMA_VERSION: i32 = 2;
/// How long one connection waits for another that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

const SCHEMA: &str = "
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE source (
    id TEXT PRIMARY KEY,
    source TEXT NOT NULL UNIQUE,
    sha256 TEXT,
    n_bytes INTEGER,
    n_patches INTEGER,
    modality TEXT,
    status TEXT NOT NULL CHECK (status IN ('done', 'failed', 'skipped')),
    error TEXT,
    outputs TEXT NOT NULL -- JSON array of file names
) STRICT, WITHOUT ROWID;
CREATE TABLE output (
    name TEXT PRIMARY KEY, -- path in the folder; a shard belongs to many sources
    n_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// How a source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its outputs are whole.
    Done,
    /// `error` says why, and the next run tries again. Its outputs, if it has any, are of its bytes, or lack a part.
    Failed,
    /// It is nothing to ingest; `error` says why.
    Skipped,
}

impl Status {
    /// The name in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
        }
    }
}

/// One source in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Name of its outputs.
    pub id: String,
    /// Where it came from, as the user named it.
    pub source: String,
    /// Hash of its bytes, 64 hexadecimal digits, once it was read.
    pub sha256: Option<String>,
    /// Its size in bytes, once it was read.
    pub n_bytes: Option<u64>,
    /// Its number of patches, once it is done.
    pub n_patches: Option<u64>,
    /// What it holds, once it was decoded.
    pub modality: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why it failed or was skipped.
    pub error: Option<String>,
    /// Names of its files in the output folder.
    pub outputs: Vec<String>,
}

/// A file in the output folder, as it was when it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Its path in the folder, with `/` between names.
    pub name: String,
    /// Its size.
    pub n_bytes: u64,
    /// Hash of its bytes, 64 hexadecimal digits.
    pub sha256: String,
}

impl OutputFile {
    /// The file at `path` as it is now, named by its last part.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut hasher = Sha256::new();
        let (mut n_bytes, mut buffer) = (0, vec![0; 1 << 18]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => {
                    hasher.update(&buffer[..n]);
                    n_bytes += n as u64;
                }
            }
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, n_bytes, sha256: hex(&hasher.finalize()) })
    }
}

/// The journal of an output folder.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
}

impl Journal {
    /// Name of the file in the output folder.
    pub const FILE_NAME: &'static str = "manifest.db";

    /// Opens or makes the journal of `folder` for a run with these settings. A journal with other settings is refused once
    /// it has a finished source.
    pub(crate) fn open(folder: &Path, settings: &[(String, String)]) -> Result<Self, IngestError> {
        let path = folder.join(Self::FILE_NAME);
        let journal = Self { connection: Connection::open(&path).map_err(|source| failed(&path, source))?, path };
        journal.prepare()?;
        journal.check_settings(settings)?;
        let differences = journal.differences(settings)?;
        if !differences.is_empty() {
            journal.transaction(|connection| {
                connection.execute("DELETE FROM run", [])?;
                // No source has outputs; what else was made, such as a projection, was made with the other settings.
                connection.execute("DELETE FROM output", [])?;
                for (key, value) in settings {
                    connection.execute("INSERT OR REPLACE INTO run VALUES (?1, ?2)", [key, value])?;
                }
                Ok(())
            })?;
        }
        Ok(journal)
    }

    /// Opens the journal of `folder` to look at it.
    ///
    /// # Errors
    ///
    /// Fails when there is none or it is not one of this version.
    pub fn open_existing(folder: &Path) -> Result<Self, IngestError> {
        let path = folder.join(Self::FILE_NAME);
        // Writable, so that SQLite can finish what a killed run left half-written.
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = Connection::open_with_flags(&path, flags).map_err(|source| failed(&path, source))?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(|source| failed(&path, source))?;
        let journal = Self { connection, path };
        journal.check_version()?;
        Ok(journal)
    }

    fn prepare(&self) -> Result<(), IngestError> {
        let run = |sql: &str| self.connection.execute_batch(sql).map_err(|source| self.failed(source));
        self.connection.busy_timeout(BUSY_TIMEOUT).map_err(|source| self.failed(source))?;
        run("PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;")?;
        let n_tables: i64 = self.query("SELECT count(*) FROM sqlite_schema")?;
        if n_tables == 0 {
            let pragmas = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};");
            run(&format!("BEGIN; {pragmas} {SCHEMA} COMMIT;"))?;
        }
        self.check_version()
    }

    fn check_version(&self) -> Result<(), IngestError> {
        let application_id: i32 = self.query("PRAGMA application_id")?;
        let version: i32 = self.query("PRAGMA user_version")?;
        // Comparing the whole schema keeps out a file whose tables are views that never end.
        let is_ours = (application_id, version) == (APPLICATION_ID, SCHEMA_VERSION) && self.has_our_schema()?;
        if is_ours { Ok(()) } else { Err(IngestError::NotAJournal(self.path.clone())) }
    }

    fn has_our_schema(&self) -> Result<bool, IngestError> {
        fn schema_of(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
            let mut statement = connection.prepare("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
        }
        let compare = || {
            let ours = Connection::open_in_memory()?;
            ours.execute_batch(SCHEMA)?;
            Ok(schema_of(&self.connection)? == schema_of(&ours)?)
        };
        compare().map_err(|source| self.failed(source))
    }

    /// Fails if the folder holds finished sources and was made with other settings.
    pub(crate) fn check_settings(&self, settings: &[(String, String)]) -> Result<(), IngestError> {
        let differences = self.differences(settings)?;
        let has_outputs = || self.query::<bool>("SELECT EXISTS (SELECT 1 FROM source WHERE outputs <> '[]')");
        if differences.is_empty() || !has_outputs()? { Ok(()) } else { Err(IngestError::Settings(differences)) }
    }

    /// Settings that differ, as `name: here, there`.
    fn differences(&self, settings: &[(String, String)]) -> Result<Vec<String>, IngestError> {
        let stored: BTreeMap<String, String> = self.settings()?.into_iter().collect();
        let wanted: BTreeMap<String, String> = settings.iter().cloned().collect();
        let keys: BTreeSet<&String> = stored.keys().chain(wanted.keys()).collect();
        let shown = |values: &BTreeMap<String, String>, key: &String| {
            values.get(key).map_or("not set", String::as_str).to_owned()
        };
        let changed = keys.into_iter().filter(|&key| stored.get(key) != wanted.get(key));
        Ok(changed.map(|key| format!("{key} was {}, now {}", shown(&stored, key), shown(&wanted, key))).collect())
    }

    /// The settings of the run, by name.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn settings(&self) -> Result<Vec<(String, String)>, IngestError> {
        let read = || -> rusqlite::Result<Vec<_>> {
            let mut statement = self.connection.prepare("SELECT key, value FROM run ORDER BY key")?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Every source, by id.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn rows(&self) -> Result<Vec<Row>, IngestError> {
        let read = || -> rusqlite::Result<Vec<_>> {
            let mut statement = self.connection.prepare("SELECT * FROM source ORDER BY id")?;
            statement.query_map([], row)?.collect()
        };
        read().map_err(|source| self.failed(source))
    }

    /// The row of the source named `source`.
    pub(crate) fn by_source(&self, source: &str) -> Result<Option<Row>, IngestError> {
        self.one("SELECT * FROM source WHERE source = ?1", source)
    }

    /// The row with the id `id`.
    pub(crate) fn by_id(&self, id: &str) -> Result<Option<Row>, IngestError> {
        self.one("SELECT * FROM source WHERE id = ?1", id)
    }

    /// Ids of the sources that have files of their own with this ending, and the files, by id.
    pub(crate) fn outputs_ending(&self, ending: &str) -> Result<Vec<(String, String)>, IngestError> {
        let rows = self.rows()?.into_iter();
        let files = rows.filter_map(|row| {
            let file = row.outputs.into_iter().find(|name| name.ends_with(ending))?;
            Some((row.id, file))
        });
        Ok(files.collect())
    }

    /// Every file that was published, by name.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn output_files(&self) -> Result<Vec<OutputFile>, IngestError> {
        let read = || -> rusqlite::Result<Vec<_>> {
            self.connection.prepare("SELECT * FROM output ORDER BY name")?.query_map([], output_file)?.collect()
        };
        read().map_err(|source| self.failed(source))
    }

    /// The published file `name`.
    pub(crate) fn output_file(&self, name: &str) -> Result<Option<OutputFile>, IngestError> {
        let read = || {
            self.connection
                .prepare_cached("SELECT * FROM output WHERE name = ?1")?
                .query_row([name], output_file)
                .optional()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Writes `rows` and the files they name, and forgets the files `gone`, in one transaction that is on the disk when
    /// this returns.
    pub(crate) fn record(&self, rows: &[Row], files: &[OutputFile], gone: &[String]) -> Result<(), IngestError> {
        self.transaction(|connection| {
            rows.iter().try_for_each(|row| insert(connection, row))?;
            for name in gone {
                connection.prepare_cached("DELETE FROM output WHERE name = ?1")?.execute([name])?;
            }
            for OutputFile { name, n_bytes, sha256 } in files {
                let sql = "INSERT OR REPLACE INTO output VALUES (?1, ?2, ?3)";
                connection.prepare_cached(sql)?.execute(params![name, *n_bytes as i64, sha256])?;
            }
            Ok(())
        })
    }

    /// Forgets the sources with outputs that are none of `sources`.
    pub(crate) fn forget_others(&self, sources: &[Arc<PlannedSource>]) -> Result<(), IngestError> {
        self.transaction(|connection| {
            connection.execute_batch("CREATE TEMP TABLE kept (id TEXT PRIMARY KEY) WITHOUT ROWID")?;
            for source in sources {
                connection.prepare_cached("INSERT OR IGNORE INTO kept VALUES (?1)")?.execute([&source.id])?;
            }
            connection.execute_batch(
                "DELETE FROM source WHERE outputs <> '[]' AND id NOT IN (SELECT id FROM kept);
                 DROP TABLE kept;",
            )
        })
    }

    /// Ids and sources of what failed and has no bytes of its own: parts of datasets that could not be read.
    pub(crate) fn failed_units(&self) -> Result<Vec<(String, String)>, IngestError> {
        let sql = "SELECT id, source FROM source WHERE status = 'failed' AND id GLOB 'unit_*' ORDER BY id";
        let read = || -> rusqlite::Result<Vec<_>> {
            self.connection.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Forgets sources by their ids.
    pub(crate) fn forget(&self, ids: &[String]) -> Result<(), IngestError> {
        self.transaction(|connection| {
            let mut delete = connection.prepare_cached("DELETE FROM source WHERE id = ?1")?;
            ids.iter().try_for_each(|id| delete.execute([id]).map(drop))
        })
    }

    /// How many sources are in each file that comes first among theirs.
    pub(crate) fn sources_by_output(&self) -> Result<HashMap<String, u64>, IngestError> {
        let sql = "SELECT json_extract(outputs, '$[0]'), count(*) FROM source WHERE outputs <> '[]' GROUP BY 1";
        let read = || -> rusqlite::Result<HashMap<_, _>> {
            let mut statement = self.connection.prepare(sql)?;
            statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?.collect()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Number of sources that ended so.
    ///
    /// # Errors
    ///
    /// Fails when the database does.
    pub fn count(&self, status: Status) -> Result<u64, IngestError> {
        let sql = "SELECT count(*) FROM source WHERE status = ?1";
        let count = self.connection.query_row(sql, [status.name()], |row| row.get::<_, i64>(0));
        count.map(|count| count as u64).map_err(|source| self.failed(source))
    }

    /// Writes the journal anew at `scratch`, from which it is to be published: the same rows make the same file, whatever
    /// runs they came from. No file of SQLite's is left beside the journal it replaces.
    pub(crate) fn write_canonical(self, scratch: &Path) -> Result<(), IngestError> {
        let _ = fs::remove_file(scratch);
        let fresh = Self {
            connection: Connection::open(scratch).map_err(|source| failed(scratch, source))?,
            path: scratch.to_owned(),
        };
        fresh.prepare()?;
        let tables = [("run", "key"), ("source", "id"), ("output", "name")];
        fresh.transaction(|to| tables.iter().try_for_each(|(table, key)| copy(&self.connection, to, table, key)))?;
        // What a killed run began to note for a rollback and had no use for yet is in nobody's way, and nobody removes it.
        let leftover = self.path.with_extension("db-journal");
        drop(self);
        match fs::remove_file(&leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(IngestError::Output { path: leftover, source: error })
            }
            _ => Ok(()),
        }
    }

    fn transaction(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), IngestError> {
        let run = || {
            let transaction = self.connection.unchecked_transaction()?;
            work(&transaction)?;
            transaction.commit()
        };
        run().map_err(|source| self.failed(source))
    }

    fn one(&self, sql: &str, key: &str) -> Result<Option<Row>, IngestError> {
        let read = || self.connection.prepare_cached(sql)?.query_row([key], row).optional();
        read().map_err(|source| self.failed(source))
    }

    fn query<T: rusqlite::types::FromSql>(&self, sql: &str) -> Result<T, IngestError> {
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> IngestError {
        failed(&self.path, source)
    }
}

fn failed(path: &Path, source: rusqlite::Error) -> IngestError {
    IngestError::Journal { path: path.to_owned(), source }
}

/// Copies a table row by row, in the order of its key.
fn copy(from: &Connection, to: &Connection, table: &str, key: &str) -> rusqlite::Result<()> {
    let mut read = from.prepare(&format!("SELECT * FROM {table} ORDER BY {key}"))?;
    let n_columns = read.column_count();
    let mut write = to.prepare(&format!("INSERT INTO {table} VALUES ({})", vec!["?"; n_columns].join(", ")))?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..n_columns).map(|i| row.get(i)).collect::<rusqlite::Result<Vec<Value>>>()?;
        write.execute(params_from_iter(values))?;
    }
    Ok(())
}

fn insert(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO source VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let outputs = serde_json::Value::from(row.outputs.clone()).to_string();
    connection.prepare_cached(sql)?.execute(params![
        row.id,
        row.source,
        row.sha256,
        row.n_bytes.map(|n| n as i64),
        row.n_patches.map(|n| n as i64),
        row.modality,
        row.status.name(),
        row.error,
        outputs,
    ])?;
    Ok(())
}

fn output_file(row: &rusqlite::Row<'_>) -> rusqlite::Result<OutputFile> {
    Ok(OutputFile { name: row.get("name")?, n_bytes: row.get::<_, i64>("n_bytes")? as u64, sha256: row.get("sha256")? })
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let outputs: String = row.get("outputs")?;
    Ok(Row {
        id: row.get("id")?,
        source: row.get("source")?,
        sha256: row.get("sha256")?,
        n_bytes: row.get::<_, Option<i64>>("n_bytes")?.map(|n| n as u64),
        n_patches: row.get::<_, Option<i64>>("n_patches")?.map(|n| n as u64),
        modality: row.get("modality")?,
        status: match row.get::<_, String>("status")?.as_str() {
            "done" => Status::Done,
            "skipped" => Status::Skipped,
            _ => Status::Failed,
        },
        error: row.get("error")?,
        outputs: serde_json::from_str(&outputs).unwrap_or_default(),
    })
}
