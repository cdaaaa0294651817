//! Names: repositories, revisions, and paths inside them. All are checked before they become an address or a file name.

use std::fmt;
use std::str::FromStr;

use crate::HubError;

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RepoKind {
    /// Weights.
    Model,
    /// Data.
    Dataset,
}

impl RepoKind {
    /// `models` or `datasets`: in addresses and in the cache.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// A repository on a hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repo {
    kind: RepoKind,
    name: String,
}

impl Repo {
    /// The repository called `OWNER/NAME`.
    ///
    /// # Errors
    ///
    /// Fails when a hub would not give a repository this name.
    pub fn new(kind: RepoKind, name: &str) -> Result<Self, HubError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_part = |part: &str| {
            let ends = part.starts_with(['-', '.']) || part.ends_with(['-', '.']);
            !part.is_empty() && part.len() <= 96 && !ends && part.bytes().all(allowed)
        };
        let parts: Vec<&str> = name.split('/').collect();
        // Two dashes separate owner and name in the cache.
        let is_name =
            parts.len() <= 2 && parts.into_iter().all(is_part) && !name.contains("--") && !name.contains("..");
        if is_name { Ok(Self { kind, name: name.to_owned() }) } else { Err(HubError::Name { name: name.to_owned() }) }
    }

    /// What it holds.
    pub fn kind(&self) -> RepoKind {
        self.kind
    }

    /// `OWNER/NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its folder in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("{}--{}", self.kind.plural(), self.name.replace('/', "--"))
    }

    /// The repository whose folder in the cache is called `folder`.
    pub(crate) fn from_folder(folder: &str) -> Option<Self> {
        let (kind, name) = folder.split_once("--")?;
        let kind = [RepoKind::Model, RepoKind::Dataset].into_iter().find(|known| known.plural() == kind)?;
        Self::new(kind, &name.replace("--", "/")).ok()
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RepoKind::Model => f.write_str(&self.name),
            RepoKind::Dataset => write!(f, "datasets/{}", self.name),
        }
    }
}

/// A commit: 40 hexadecimal digits. What it holds never changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Commit(String);

impl Commit {
    /// The commit with this hash, if it is one.
    pub fn from_hex(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 40 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// Its hash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository at one commit. All reading goes through one, so that no two files of a run are of different versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pinned {
    /// The repository.
    pub repo: Repo,
    /// The commit.
    pub commit: Commit,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repo, self.commit)
    }
}

/// An address of the form `hf://[datasets/]OWNER/NAME[@REVISION][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubUri {
    /// The repository.
    pub repo: Repo,
    /// The revision, `main` when none is given.
    pub revision: String,
    /// The path inside, perhaps empty.
    pub path: String,
}

impl FromStr for HubUri {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        let wrong = || HubError::Name { name: text.to_owned() };
        let rest = text.strip_prefix("hf://").ok_or_else(wrong)?;
        let (kind, rest) = match rest.split_once('/') {
            Some(("datasets", rest)) => (RepoKind::Dataset, rest),
            Some(("models", rest)) => (RepoKind::Model, rest),
            _ => (RepoKind::Model, rest),
        };
        let (owner, rest) = rest.split_once('/').ok_or_else(wrong)?;
        let end = rest.find(['@', '/']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let (revision, path) = match rest.strip_prefix('@') {
            None => ("main".to_owned(), rest.strip_prefix('/').unwrap_or_default()),
            Some(rest) => {
                // `refs/convert/parquet` and `refs/pr/7` are revisions with slashes; others write them as %2F.
                let parts = if rest.starts_with("refs/convert/") || rest.starts_with("refs/pr/") { 3 } else { 1 };
                let end = rest.match_indices('/').nth(parts - 1).map_or(rest.len(), |(at, _)| at);
                let (revision, path) = rest.split_at(end);
                (revision.replace("%2F", "/").replace("%2f", "/"), path.strip_prefix('/').unwrap_or_default())
            }
        };
        check_revision(&revision)?;
        if !path.is_empty() {
            check_path(path)?;
        }
        Ok(Self { repo: Repo::new(kind, &format!("{owner}/{name}"))?, revision, path: path.to_owned() })
    }
}

/// Refuses a path that could name anything outside a folder, or that no file can have.
pub(crate) fn check_path(path: &str) -> Result<(), HubError> {
    if is_inside(path) && path.len() <= 4096 { Ok(()) } else { Err(HubError::Path { path: path.to_owned() }) }
}

/// Refuses what is no revision, or would not be a file name below `refs/`.
pub(crate) fn check_revision(revision: &str) -> Result<(), HubError> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"~^:?*[\\".contains(&byte);
    let is_revision = is_inside(revision) && revision.len() <= 250 && revision.bytes().all(is_plain);
    if is_revision { Ok(()) } else { Err(HubError::Revision { revision: revision.to_owned() }) }
}

fn is_inside(path: &str) -> bool {
    let is_part = |part: &str| {
        let elsewhere = cfg!(windows) && part.contains(['\\', ':', '<', '>', '"', '|', '?', '*']);
        !matches!(part, "" | "." | "..") && !part.contains('\0') && !elsewhere && part.len() <= 255
    };
    path.split('/').all(is_part)
}

/// A path or revision as part of an address: all but unreserved characters, and slashes where `keep_slashes`, as `%XX`.
pub(crate) fn encode(text: &str, keep_slashes: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            b'/' if keep_slashes => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_hub_would_not_give_are_refused() {
        for name in ["facebook/blt-entropy", "gpt2", "a/b.c_d-e"] {
            let repo = Repo::new(RepoKind::Model, name).unwrap();
            assert_eq!(Repo::from_folder(&repo.folder()), Some(repo));
        }
        for name in ["", "/", "a/", "/b", "a/b/c", "../b", "a/..", "a/b--c", "a/b c", "a/-b", "a\\b", "a/b?c", "é/b"] {
            assert!(matches!(Repo::new(RepoKind::Model, name), Err(HubError::Name { .. })), "{name}");
        }
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["a", "a/b.parquet", "a b/c#d", "..a/b..", "ü"] {
            check_path(path).unwrap();
        }
        for path in ["", "/a", "a//b", "a/", "../a", "a/../b", ".", "a/./b", "a\0b", &"x".repeat(300)] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for revision in ["main", "refs/convert/parquet", "v1.0"] {
            check_revision(revision).unwrap();
        }
        for revision in ["", "../x", "a b", "a\nb", "x:y", "a/../../b"] {
            assert!(check_revision(revision).is_err(), "{revision}");
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        let check = |text: &str, repo: &str, revision: &str, path: &str| {
            let uri: HubUri = text.parse().unwrap();
            assert_eq!((uri.repo.to_string(), &*uri.revision, &*uri.path), (repo.to_owned(), revision, path), "{text}");
        };
        check("hf://datasets/o/n/data/x.parquet", "datasets/o/n", "main", "data/x.parquet");
        check(
            "hf://datasets/o/n@refs/convert/parquet/default/t.parquet",
            "datasets/o/n",
            "refs/convert/parquet",
            "default/t.parquet",
        );
        check("hf://datasets/o/n@refs%2Fpr%2F3/x", "datasets/o/n", "refs/pr/3", "x");
        check("hf://o/n@v1", "o/n", "v1", "");
        for text in ["https://o/n", "hf://o", "hf://datasets/o", "hf://o/n/../x", "hf://o/n@/x", "hf://o/n@a b/x"] {
            assert!(text.parse::<HubUri>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_hold_no_character_of_their_own_grammar() {
        assert_eq!(encode("a b/ü?#%", true), "a%20b/%C3%BC%3F%23%25");
        assert_eq!(encode("refs/convert/parquet", false), "refs%2Fconvert%2Fparquet");
    }
}
