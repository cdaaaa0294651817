//! SQLite databases that are made in one go and appear whole.

use std::path::{Path, PathBuf};

use blt_output::{publish, sync_directory};
use rusqlite::Connection;

use crate::write::partial_path;

/// Why a database was not written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// SQLite refused.
    #[error("the database `{}` failed", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The finished file could not be given its name.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// An error of `fill` below, which may be SQLite's own.
pub(crate) enum FillFailure<E> {
    Sqlite(rusqlite::Error),
    Other(E),
}

impl<E> From<rusqlite::Error> for FillFailure<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Makes a database beside `path` with the tables of `schema`, lets `fill` write its rows, adds `indices`, and gives it its name.
/// The same rows in the same order make the same file.
pub(crate) fn create<E: From<DatabaseError>>(
    path: &Path,
    schema: &str,
    indices: &str,
    fill: impl FnOnce(&Connection) -> Result<(), FillFailure<E>>,
) -> Result<(), E> {
    let partial = partial_path(path);
    let sqlite = |source| DatabaseError::Sqlite { path: path.to_owned(), source };
    let io = |source| DatabaseError::Write { path: path.to_owned(), source };
    if let Err(error) = std::fs::remove_file(&partial)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(io(error).into());
    }
    let connection = Connection::open(&partial).map_err(sqlite)?;
    // Nobody sees the file before it is whole, so it needs neither a journal nor to be flushed on the way.
    let begin =
        format!("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -64000; BEGIN; {schema}");
    connection.execute_batch(&begin).map_err(sqlite)?;
    match fill(&connection) {
        Ok(()) => {}
        Err(failure) => {
            drop(connection);
            let _ = std::fs::remove_file(&partial);
            return Err(match failure {
                FillFailure::Sqlite(error) => sqlite(error).into(),
                FillFailure::Other(error) => error,
            });
        }
    }
    connection.execute_batch(&format!("{indices} COMMIT;")).map_err(sqlite)?;
    drop(connection);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    publish(&partial, path).and_then(|()| sync_directory(folder)).map_err(io)?;
    Ok(())
}
