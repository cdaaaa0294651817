//! Why there is no answer.

use std::io;
use std::path::PathBuf;

use polars::prelude::PolarsError;

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// It is not written as SQL is.
    #[error("it is not understood: {0}")]
    Syntax(String),
    /// It names something that is not the table's.
    #[error("`{0}` reads files; a query knows the table `self` alone")]
    OtherFiles(String),
    /// It does not fit the table.
    #[error("it does not fit the columns, which are {}: {why}", shown(columns))]
    Unfit {
        /// The table's columns and their types.
        columns: Vec<(String, String)>,
        /// What Polars says.
        why: String,
        /// Whether every column is text because the files know no types.
        is_untyped: bool,
    },
    /// A file is not what it seems to be, or is damaged.
    #[error("`{file}` cannot be read: {why}")]
    File {
        /// What it is called.
        file: String,
        /// What Polars says.
        why: String,
    },
    /// Files of one table have different columns.
    #[error("`{file}` has not the columns of `{first}`: {why}")]
    OtherColumns {
        /// What it is called.
        file: String,
        /// The table's first file.
        first: String,
        /// Where they differ.
        why: String,
    },
    /// Rows could not be read, or something could not be computed for them.
    #[error("its rows cannot be computed: {0}")]
    Rows(String),
    /// The answer has no column, or none that a file can hold.
    #[error("its answer cannot be kept: {0}")]
    Answer(String),
    /// The folder of answers cannot be written to.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl QueryError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Syntax(_) => Some(
                "examples: `--filter \"language = 'en' AND score > 3\"`, `--sql 'SELECT text, id FROM self ORDER BY score'`",
            ),
            Self::OtherFiles(_) => Some("name all files of the dataset with `--data-files`"),
            Self::Unfit { is_untyped: true, .. } => Some(
                "columns of CSV are text: compare numbers as `CAST(score AS DOUBLE) > 3`; names with capitals stand in double quotes",
            ),
            Self::Unfit { .. } => {
                Some("names with capitals or other signs stand in double quotes, texts in single ones")
            }
            Self::OtherColumns { .. } => Some("name files of one kind with `--data-files`"),
            Self::Rows(_) => Some("where a value may be of no use, write `TRY_CAST` and test for `IS NOT NULL`"),
            _ => None,
        }
    }

    pub(crate) fn unfit(columns: &[(String, String)], is_untyped: bool) -> impl Fn(PolarsError) -> Self + '_ {
        move |error| Self::Unfit { columns: columns.to_vec(), why: sentence(&error), is_untyped }
    }

    pub(crate) fn file(name: &str) -> impl Fn(PolarsError) -> Self + '_ {
        move |error| Self::File { file: name.to_owned(), why: sentence(&error) }
    }
}

/// What Polars says, without the plan it adds.
pub(crate) fn sentence(error: &PolarsError) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `a` (str), `b` (i64); long lists are cut.
fn shown(columns: &[(String, String)]) -> String {
    const SHOWN: usize = 40;
    let mut text: Vec<String> = columns.iter().take(SHOWN).map(|(name, kind)| format!("`{name}` ({kind})")).collect();
    if columns.len() > SHOWN {
        text.push(format!("{} more", columns.len() - SHOWN));
    }
    if text.is_empty() { "none".to_owned() } else { text.join(", ") }
}
