//! What can stop a run, and what can stop one source.

use std::io;
use std::path::PathBuf;

use blt_core::DecodeError;
use blt_dataset::{AssetError, TableError};
use blt_output::FitError;
use blt_sidecar::SidecarError;

use crate::encode::EncodeError;

/// Why a run could not start or go on. What happens to one source never ends a run; see [`SourceError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// None of the inputs exists.
    #[error("no input could be found")]
    NoInput {
        /// The first one, and why.
        #[source]
        source: MissingInput,
    },
    /// An `--exclude` pattern is malformed.
    #[error("the pattern `{pattern}` is malformed")]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        source: ignore::Error,
    },
    /// The output folder could not be made or written.
    #[error("cannot write to `{}`", path.display())]
    Output {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is writing to the same folder.
    #[error("`{}` is in use by another run", .0.display())]
    Locked(PathBuf),
    /// The journal could not be read or written.
    #[error("the journal `{}` failed", path.display())]
    Journal {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The folder was made by something else, or by another version.
    #[error("`{}` is not a journal of this version", .0.display())]
    NotAJournal(PathBuf),
    /// No projection could be fitted for the embeddings.
    #[error("embeddings cannot be reduced")]
    Projection(#[source] FitError),
    /// The folder holds outputs made with other settings.
    #[error("the output folder was made with other settings: {}", .0.join(", "))]
    Settings(Vec<String>),
}

/// An input that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct MissingInput {
    /// As given.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl IngestError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Settings(_) | Self::NotAJournal(_) => {
                Some("choose another `--output`, or pass `--overwrite` to replace what is there")
            }
            Self::Projection(FitError::TooFew { .. }) => Some("ask for fewer `--embedding-dims`, or give more input"),
            Self::Locked(_) => Some("wait for it to finish, or choose another `--output`"),
            _ => None,
        }
    }
}

/// Why one source was not done. It is recorded in the journal and the run goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It could not be opened or read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// A row of a dataset could not be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A file that a row names is not to be had.
    #[error("a file that it names is missing")]
    Asset(#[source] Box<AssetError>),
    /// A row names a file, and only bytes are taken.
    #[error("it names the file `{0}`, and files that rows name are not looked up here")]
    Reference(String),
    /// It could not be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// Its outputs could not be written.
    #[error("cannot write its output")]
    Write(#[source] io::Error),
    /// Its hypergraph could not be written.
    #[error("cannot write its hypergraph")]
    Sidecar(#[from] SidecarError),
    /// It changed between two readings.
    #[error("it changed while it was being read")]
    Changed,
    /// The rule needs a tokenizer's tokens and the view has none.
    #[error("the rule `bpe` needs token segments, and the view `{0}` has none")]
    NoTokens(String),
    /// A defect of the program.
    #[error("internal error: {0}")]
    Panic(String),
    /// It is not there.
    #[error(transparent)]
    Missing(#[from] MissingInput),
    /// Its folder could not be listed.
    #[error("cannot list it")]
    List(#[source] ignore::Error),
}

impl SourceError {
    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        blt_core::error_chain(self)
    }
}
