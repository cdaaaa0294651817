//! Reads models and datasets from the Hugging Face Hub, and keeps them where its other clients look.
//!
//! A branch or tag is pinned to a commit once, by [`HubSource::resolve`]; everything else goes through the commit, so that no two
//! files of a run are of different versions. Whole files are checked against the hub's size and hash before they appear in the cache.
//!
//! ```no_run
//! use blt_hf::{Hub, HubSource, Repo, RepoKind};
//!
//! let hub = Hub::from_env()?;
//! let at = hub.resolve(&Repo::new(RepoKind::Model, "facebook/blt-entropy")?, "main")?;
//! let weights = hub.cached_file(&at, "model.safetensors", &())?; // a path in the cache
//! # Ok::<(), blt_hf::HubError>(())
//! ```
//!
//! This is the only crate that opens a socket, and it does so only for what the cache does not answer. It knows none of the others.

mod address;
mod cache;
mod card;
mod digest;
mod download;
mod error;
mod http;
mod hub;
mod options;
mod ranged;
mod repo;
mod source;
mod url;

pub use cache::{CachedRepo, CachedSnapshot};
pub use card::Licence;
pub use digest::Digest;
pub use error::HubError;
pub use hub::Hub;
pub use options::{DEFAULT_ENDPOINT, HubOptions, Token};
pub use ranged::RemoteFile;
pub use repo::{Commit, HubUri, Pinned, Repo, RepoKind};
pub use source::{FileInfo, HubSource, Progress, Waiting};
pub use url::{Fetched, UrlError, UrlFetcher, UrlPolicy};
