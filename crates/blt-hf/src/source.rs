//! What a reader of repositories can be asked.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Digest, HubError, Pinned, Repo};

/// A file of a commit, as the hub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileInfo {
    /// Path inside the repository, checked to stay inside.
    pub path: String,
    /// Number of bytes.
    pub size: u64,
    /// Hash of the content.
    pub digest: Digest,
    /// What git calls the file, or the pointer to it: a hash.
    pub(crate) git_id: String,
    /// What the hub's own storage calls it. Kept for other clients that read the cache.
    pub(crate) xet_hash: Option<String>,
}

/// Repositories that files can be read from. All methods may be called from several threads.
pub trait HubSource: Send + Sync {
    /// Pins a branch, tag or commit to the commit that it is now.
    ///
    /// # Errors
    ///
    /// Fails when there is no such repository or revision, or the hub cannot be asked; offline, when it was never asked for before.
    fn resolve(&self, repo: &Repo, revision: &str) -> Result<Pinned, HubError>;

    /// All files in `folder` and below it (`""` for all files), sorted by path.
    ///
    /// # Errors
    ///
    /// Fails when there is no such folder or the hub cannot be asked. Offline, lists what was listed once, else what is cached.
    fn list(&self, at: &Pinned, folder: &str) -> Result<Vec<FileInfo>, HubError>;

    /// One file's size and hash.
    ///
    /// # Errors
    ///
    /// Fails when there is no such file or the hub cannot be asked.
    fn stat(&self, at: &Pinned, path: &str) -> Result<FileInfo, HubError>;

    /// The file on disk: from the cache, else fetched, its size and hash checked.
    ///
    /// # Errors
    ///
    /// Fails when there is no such file, or the right bytes cannot be had.
    fn cached_file(&self, at: &Pinned, path: &str, progress: &dyn Progress) -> Result<PathBuf, HubError>;

    /// Fills `buffer` with the file's bytes from `offset` on, without fetching the rest. Their hash cannot be checked; that they come
    /// from one version of the file is.
    ///
    /// # Errors
    ///
    /// Fails when the file is shorter, and when the bytes cannot be had. The content of `buffer` is unspecified then.
    fn read_at(&self, at: &Pinned, file: &FileInfo, offset: u64, buffer: &mut [u8]) -> Result<(), HubError>;
}

/// Told how fetching goes. Calls come from several threads when several files are fetched.
pub trait Progress: Sync {
    /// A file is fetched, of which `present` bytes were here already.
    fn started(&self, _file: &FileInfo, _present: u64) {}
    /// Further bytes of the file came.
    fn advanced(&self, _file: &FileInfo, _n_bytes: u64) {}
    /// The bytes told of so far were of no use; the file is at `present` bytes again.
    fn restarted(&self, _file: &FileInfo, _present: u64) {}
    /// The file is whole and checked.
    fn finished(&self, _file: &FileInfo) {}
    /// Nothing happens for now, and why.
    fn waiting(&self, _why: &Waiting<'_>) {}
}

/// Why nothing happens.
#[derive(Debug)]
#[non_exhaustive]
pub enum Waiting<'a> {
    /// Something failed that may succeed next time.
    Retry {
        /// What failed.
        error: &'a HubError,
        /// Until the next attempt.
        pause: Duration,
    },
    /// Another process is fetching the same file.
    Lock {
        /// The file.
        file: &'a FileInfo,
    },
}

/// Tells nobody.
impl Progress for () {}
