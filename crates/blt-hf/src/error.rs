//! What can go wrong between here and a hub.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why something could not be had from a hub or its cache. No variant holds a token, nor the signed part of an address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// Not the name of a repository.
    #[error("`{name}` is not the name of a repository on a hub")]
    Name {
        /// What was given.
        name: String,
    },
    /// Not a branch, tag or commit.
    #[error("`{revision}` is not a revision")]
    Revision {
        /// What was given.
        revision: String,
    },
    /// Not a path inside a repository.
    #[error("`{path}` is not a path inside a repository")]
    Path {
        /// What was given.
        path: String,
    },
    /// Not the address of a hub.
    #[error("`{endpoint}` is not the address of a hub")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// There is no cache folder, as there is no home directory.
    #[error("there is no folder to keep files from a hub in")]
    NoCacheFolder,
    /// The hub knows no such repository, or does not show it to whom it does not know.
    #[error("{host} has no repository `{repo}`, or does not show it")]
    RepoNotFound {
        /// The hub's host.
        host: String,
        /// The repository.
        repo: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The repository has no such branch, tag or commit.
    #[error("`{repo}` has no revision `{revision}`")]
    RevisionNotFound {
        /// The repository.
        repo: String,
        /// What was asked for.
        revision: String,
    },
    /// The repository has no such file.
    #[error("`{repo}` has no file `{path}`")]
    FileNotFound {
        /// The repository.
        repo: String,
        /// What was asked for.
        path: String,
    },
    /// The repository's owner lets in only those who agreed to its terms.
    #[error("access to `{repo}` is granted to those who agreed to its terms only")]
    Gated {
        /// The repository.
        repo: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The hub does not accept the token, or wants one.
    #[error("{host} wants to know who asks for `{repo}`")]
    Unauthorized {
        /// The hub's host.
        host: String,
        /// The repository.
        repo: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The hub, or the storage behind it, refuses.
    #[error("{host} refuses access to `{what}`")]
    Forbidden {
        /// The host that refused.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// Too many requests, and the hub asks for a longer pause than is allowed, or asked once too often.
    #[error("{host} asks to send fewer requests")]
    RateLimited {
        /// The hub's host.
        host: String,
        /// The pause it asked for.
        retry_after: Option<Duration>,
    },
    /// Another status that is no success.
    #[error("{host} answers with status {status}")]
    Status {
        /// The host.
        host: String,
        /// The status of the answer.
        status: u16,
    },
    /// The host cannot be reached, or the connection broke.
    #[error("no connection to {host}")]
    Connection {
        /// The host.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// A body that comes too slowly to ever end.
    #[error("{host} sends less than a kilobyte a second")]
    Stalled {
        /// The host.
        host: String,
    },
    /// A body that is shorter or longer than it should be.
    #[error("{host} sent {found} bytes of `{path}` instead of {expected}")]
    Length {
        /// The host.
        host: String,
        /// The file.
        path: String,
        /// Bytes that came, or that were announced.
        found: u64,
        /// Bytes there are.
        expected: u64,
    },
    /// A server that sends other bytes than the range that was asked for.
    #[error("{host} does not send the part of `{path}` that was asked for")]
    Range {
        /// The host.
        host: String,
        /// The file.
        path: String,
    },
    /// What came is not the file that the hub lists.
    #[error("what {host} sent for `{path}` has hash {found}, not {expected}")]
    Corrupt {
        /// The host.
        host: String,
        /// The file.
        path: String,
        /// Hash of what came.
        found: String,
        /// Hash in the hub's list.
        expected: String,
    },
    /// The file is another one than it was a moment ago.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The file.
        path: String,
    },
    /// An answer in another form than the protocol's.
    #[error("{host} does not answer as a hub does: {reason}")]
    Protocol {
        /// The host.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A redirection that is not followed.
    #[error("{host} redirects to where it may not: {reason}")]
    Redirect {
        /// The host that redirected.
        host: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not in the cache, and the network may not be used.
    #[error("`{what}` is not in the cache, and the network is not to be used")]
    Offline {
        /// What was asked for.
        what: String,
    },
    /// Another process has been downloading the same file for long, without getting further.
    #[error("another process holds `{}` and gets no further", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// The cache cannot be read or written.
    #[error("cannot use `{}` in the cache", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Name { .. } => {
                "a repository is named `OWNER/NAME`, with `@REVISION` behind it for another than `main`"
            }
            Self::Endpoint { .. } => {
                "an endpoint is an address like `https://hub.example.org`, without a query or a password"
            }
            Self::NoCacheFolder => "name a folder with `--cache-dir` or HF_HOME",
            Self::RepoNotFound { with_token: false, .. } => {
                "check the name; for a private repository give a token in HF_TOKEN or by `hf auth login`"
            }
            Self::RepoNotFound { .. } => "check the name, and that the token's owner may see the repository",
            Self::Gated { with_token: false, .. } => {
                "agree to the terms on the repository's page, then give your token in HF_TOKEN or by `hf auth login`"
            }
            Self::Gated { .. } => {
                "agree to the terms on the repository's page with the account that the token belongs to"
            }
            Self::Unauthorized { with_token: false, .. } => "give a token in HF_TOKEN or by `hf auth login`",
            Self::Unauthorized { .. } => {
                "the token was not accepted; make a new one, or unset HF_TOKEN for what is public"
            }
            Self::RateLimited { .. } => "try again in some minutes; with a token the limits are higher",
            Self::Connection { .. } => {
                "check the network, HTTPS_PROXY and HF_ENDPOINT; with `--offline` only the cache is used"
            }
            Self::Offline { .. } => "fetch it once without `--offline` and HF_HUB_OFFLINE",
            Self::Locked { .. } => "stop the other process, or wait for it",
            Self::Corrupt { .. } | Self::Length { .. } | Self::Forbidden { .. } | Self::Stalled { .. } => {
                "try again later; a proxy or mirror between here and the hub may be at fault"
            }
            Self::Cache { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                "free some space, or name a cache on another disk with `--cache-dir` or HF_HOME"
            }
            _ => return None,
        })
    }

    /// Whether the same request may succeed a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 425 | 500..=599),
            Self::RateLimited { .. }
            | Self::Connection { .. }
            | Self::Stalled { .. }
            | Self::Length { .. }
            | Self::Range { .. }
            | Self::Corrupt { .. }
            | Self::Changed { .. } => true,
            _ => false,
        }
    }
}

/// For readers that speak `std::io`; the hub's error is inside.
impl From<HubError> for io::Error {
    fn from(error: HubError) -> Self {
        let kind = match &error {
            HubError::FileNotFound { .. } | HubError::RepoNotFound { .. } | HubError::RevisionNotFound { .. } => {
                io::ErrorKind::NotFound
            }
            HubError::Gated { .. } | HubError::Unauthorized { .. } | HubError::Forbidden { .. } => {
                io::ErrorKind::PermissionDenied
            }
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
