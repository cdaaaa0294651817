//! Why files could not be read as a table.

use std::io;

/// Why a file, or one row of it, could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It could not be opened or read.
    #[error("cannot read `{file}`")]
    Read {
        /// Its path in the dataset.
        file: String,
        /// What the system or the server said.
        source: io::Error,
    },
    /// It is not what it seems to be, or is damaged.
    #[error("`{file}` is not a sound {format} file: {why}")]
    Malformed {
        /// Its path in the dataset.
        file: String,
        /// What it was read as.
        format: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Neither its name nor its first bytes tell what it is.
    #[error("`{0}` is of no known format")]
    UnknownFormat(String),
    /// It holds something that is not read.
    #[error("`{file}` has {what}, which is not supported")]
    Unsupported {
        /// Its path in the dataset.
        file: String,
        /// What it has.
        what: String,
    },
    /// It asks for more than a limit allows.
    #[error("`{file}` has {found} {what}, and the limit is {limit}")]
    Limit {
        /// Its path in the dataset.
        file: String,
        /// What is limited.
        what: &'static str,
        /// How much it has, or at least has.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// A named column does not exist.
    #[error("there is no column `{wanted}` in `{file}`; there are {}", listed(columns))]
    NoColumn {
        /// Its path in the dataset.
        file: String,
        /// What was named.
        wanted: String,
        /// What there is.
        columns: Vec<String>,
    },
    /// No column was named, and none looks like content.
    #[error("no column of `{file}` looks like content; there are {}", listed(columns))]
    NoContent {
        /// Its path in the dataset.
        file: String,
        /// What there is.
        columns: Vec<String>,
    },
    /// It is another file than the one that was planned.
    #[error("`{0}` has changed since the run was planned")]
    Changed(String),
    /// One row is unusable; those behind it are not.
    #[error("row {row} of `{file}`: {why}")]
    Row {
        /// The file's path in the dataset.
        file: String,
        /// Its number in the file, from 0.
        row: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl TableError {
    /// Whether only one row is concerned, so that reading may go on behind it.
    pub fn is_of_one_row(&self) -> bool {
        matches!(self, Self::Row { .. })
    }

    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoColumn { .. } | Self::NoContent { .. } => {
                Some("name one of them with `--text-column` or `--image-column`")
            }
            Self::UnknownFormat(_) => Some("name the files that hold the data with `--data-files`"),
            Self::Changed(_) => Some("pin a revision, or start anew with `--overwrite`"),
            _ => None,
        }
    }

    pub(crate) fn read(file: &str) -> impl Fn(io::Error) -> Self + '_ {
        move |source| Self::Read { file: file.to_owned(), source }
    }
}

/// `a`, `b` and `c`, as a sentence has them; long lists are cut.
pub(crate) fn listed(names: &[String]) -> String {
    const SHOWN: usize = 40;
    match names {
        [] => "none".to_owned(),
        names if names.len() > SHOWN => format!("`{}` and {} more", names[..SHOWN].join("`, `"), names.len() - SHOWN),
        names => format!("`{}`", names.join("`, `")),
    }
}
