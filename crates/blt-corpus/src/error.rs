//! What can go wrong with a file.

use std::io;
use std::path::{Path, PathBuf};

use blt_checkpoint::CheckpointError;

/// Why a file of arrays was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is absent or unreadable.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no safetensors file, or its header lies.
    #[error(transparent)]
    Safetensors(#[from] CheckpointError),
    /// It is no archive of NumPy arrays, or one of them is malformed.
    #[error("`{}` is not a valid file of NumPy arrays: {reason}", path.display())]
    Npz {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is no Parquet file, or a malformed one.
    #[error("`{}` is not a valid Parquet file", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: parquet::errors::ParquetError,
    },
    /// It lacks what is needed.
    #[error("`{}` cannot be used: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is missing or does not fit.
        reason: String,
        /// The next step, where it is known.
        hint: Option<&'static str>,
    },
    /// It does not fit into memory.
    #[error("`{}` needs {n_bytes} bytes of memory, which there are not", path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// How much was asked for.
        n_bytes: u64,
    },
}

impl ReadError {
    pub(crate) fn content(path: &Path, reason: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.into(), hint: None }
    }

    pub(crate) fn hinted(self, next: &'static str) -> Self {
        match self {
            Self::Content { path, reason, .. } => Self::Content { path, reason, hint: Some(next) },
            other => other,
        }
    }

    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Content { hint, .. } => *hint,
            Self::Memory { .. } => Some("place fewer documents at once, or use a machine with more memory"),
            _ => None,
        }
    }
}
