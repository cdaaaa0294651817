//! Why an asset is not to be had.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why an asset is not to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// It is neither a file of the dataset nor in an archive.
    #[error("it is not to be found{}", if tried.is_empty() { String::new() } else { format!("; looked for {}", crate::error::listed(tried)) })]
    Missing {
        /// The paths that were looked for.
        tried: Vec<String>,
    },
    /// It was not found where it could be looked for, and archives or members that may be it are not read.
    #[error("it is not to be found; looked for {}", crate::error::listed(&[&tried[..], unread].concat()))]
    Unread {
        /// The paths that were looked for.
        tried: Vec<String>,
        /// The archives and members, and why they are not read.
        unread: Vec<String>,
    },
    /// Several different members of an archive could be meant.
    #[error("several members could be meant: {}", crate::error::listed(members))]
    Ambiguous {
        /// Their names.
        members: Vec<String>,
    },
    /// It is not in the cache, and nothing may be fetched.
    #[error("it is not in the cache, and the run is offline")]
    Offline,
    /// It is no path and no address that is followed.
    #[error("`{reference}` is not followed: {why}")]
    Refused {
        /// As the row has it, without what may be secret, cut where it is long.
        reference: String,
        /// Why.
        why: &'static str,
    },
    /// It, or its archive, is larger than allowed.
    #[error("{what}: more than {limit}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// It could not be fetched.
    #[error("it cannot be fetched")]
    Fetch(#[source] io::Error),
    /// Its archive is damaged, or has something that is not read.
    #[error("the archive is not read: {0}")]
    Archive(String),
    /// The cache could not be read or written.
    #[error("the cache `{}` failed", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file in the cache is not what was put there.
    #[error("the cached file `{}` was changed and is taken out", .0.display())]
    Changed(PathBuf),
    /// Fetching was stopped before its end.
    #[error("it was stopped")]
    Cancelled,
    /// It was looked for before.
    #[error(transparent)]
    Known(Arc<AssetError>),
    /// What is wrong with one reference of a row.
    #[error("the asset `{reference}` is missing")]
    Of {
        /// As the row has it, without what may be secret, cut where it is long.
        reference: String,
        /// Why.
        source: Box<AssetError>,
    },
}

impl AssetError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Offline => Some("run once without `--offline`"),
            Self::Refused { why, .. } if *why == super::reference::HOST_NOT_ALLOWED => {
                Some("allow it with `--allow-url-host HOST`")
            }
            Self::Missing { .. } => Some("pass `--skip-missing-files` to leave such parts out"),
            Self::Of { source, .. } => source.hint(),
            Self::Known(error) => error.hint(),
            _ => None,
        }
    }

    /// Whether others will fare no better: the cache is at fault and not the asset, or all was stopped.
    pub fn is_of_all(&self) -> bool {
        matches!(self, Self::Cache { .. } | Self::Cancelled)
    }

    /// Whether there is no such file, as far as can be told: neither the network nor an archive nor a limit is at fault.
    pub fn is_of_missing(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Refused { .. } | Self::Ambiguous { .. } => true,
            Self::Known(error) => error.is_of_missing(),
            Self::Of { source, .. } => source.is_of_missing(),
            _ => false,
        }
    }

    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }

    pub(super) fn of_fetching(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::Missing { tried: Vec::new() } } else { Self::Fetch(error) }
    }
}
