//! What the stub serves.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Weights.
    Models,
    /// Data.
    Datasets,
}

impl Kind {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "models" => Some(Self::Models),
            "datasets" => Some(Self::Datasets),
            _ => None,
        }
    }
}

/// Who may read a repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Everybody sees it; its files are for these tokens.
    Gated(Vec<String>),
    /// It exists for these tokens only.
    Private(Vec<String>),
}

/// Repositories, tokens, and pages that are none of a repository's.
#[derive(Debug, Default)]
pub struct World {
    pub(crate) repos: BTreeMap<(Kind, String), StubRepo>,
    pub(crate) tokens: Vec<String>,
    pub(crate) pages: BTreeMap<String, Vec<u8>>,
    pub(crate) page_length: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct StubRepo {
    pub(crate) refs: BTreeMap<String, String>,
    pub(crate) commits: BTreeMap<String, BTreeMap<String, Arc<StubFile>>>,
    pub(crate) access: Access,
}

/// The content of a file.
#[derive(Debug)]
pub(crate) struct StubFile {
    pub(crate) content: Content,
    pub(crate) size: u64,
    sha256: OnceLock<String>,
    git_sha1: OnceLock<String>,
}

#[derive(Debug)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl World {
    /// Makes a commit of these files, and `revision` (a branch or tag) that commit. Gives its hash.
    pub fn add<'a>(
        &mut self,
        kind: Kind,
        repo: &str,
        revision: &str,
        files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> String {
        let files = files.into_iter().map(|(path, bytes)| {
            let content = Content::Bytes(bytes.to_vec());
            (path.to_owned(), Arc::new(StubFile::new(content, bytes.len() as u64)))
        });
        self.commit(kind, repo, revision, files.collect())
    }

    fn commit(&mut self, kind: Kind, repo: &str, revision: &str, files: BTreeMap<String, Arc<StubFile>>) -> String {
        let mut hasher = Sha1::new();
        for (path, file) in &files {
            hasher.update(format!("{path}\0{}\0", file.sha256()));
        }
        let commit = hex(&hasher.finalize());
        let stored = self.repos.entry((kind, repo.to_owned())).or_default();
        stored.refs.insert(revision.to_owned(), commit.clone());
        stored.commits.insert(commit.clone(), files);
        commit
    }

    /// Says who may read a repository. Their tokens are known tokens.
    pub fn restrict(&mut self, kind: Kind, repo: &str, access: Access) {
        if let Access::Gated(tokens) | Access::Private(tokens) = &access {
            self.tokens.extend_from_slice(tokens);
        }
        self.repos.entry((kind, repo.to_owned())).or_default().access = access;
    }

    /// A token that is accepted, but lets nobody into anything.
    pub fn know_token(&mut self, token: &str) {
        self.tokens.push(token.to_owned());
    }

    /// A page at `path` (with its slash) that belongs to no repository.
    pub fn add_page(&mut self, path: &str, bytes: &[u8]) {
        self.pages.insert(path.to_owned(), bytes.to_vec());
    }

    /// Cuts listings into pages of so many entries.
    pub fn list_in_pages_of(&mut self, n: usize) {
        self.page_length = Some(n.max(1));
    }

    /// What lies in `folder/{models,datasets}/OWNER/NAME[@REVISION]`, slashes of the revision written as `%2F`.
    ///
    /// # Errors
    ///
    /// Fails when something cannot be read.
    pub fn from_folder(folder: &Path) -> io::Result<Self> {
        let mut world = Self::default();
        for kind in [Kind::Models, Kind::Datasets] {
            let name = if kind == Kind::Models { "models" } else { "datasets" };
            for (owner, owner_path) in entries(&folder.join(name))? {
                for (repo, path) in entries(&owner_path)? {
                    let (repo, revision) = repo.split_once('@').unwrap_or((&repo, "main"));
                    let mut files = BTreeMap::new();
                    collect(&path, "", &mut files)?;
                    world.commit(kind, &format!("{owner}/{repo}"), &revision.replace("%2F", "/"), files);
                }
            }
        }
        Ok(world)
    }

    /// The repository whose name is `name` but for case, and that name.
    pub(crate) fn find(&self, kind: Kind, name: &str) -> Option<(&str, &StubRepo)> {
        let mut repos = self.repos.iter();
        repos.find(|((k, n), _)| *k == kind && n.eq_ignore_ascii_case(name)).map(|((_, n), repo)| (n.as_str(), repo))
    }
}

impl StubRepo {
    /// The commit that a revision is.
    pub(crate) fn commit(&self, revision: &str) -> Option<(&str, &BTreeMap<String, Arc<StubFile>>)> {
        let commit = self.refs.get(revision).map_or(revision, String::as_str);
        self.commits.get_key_value(commit).map(|(commit, files)| (commit.as_str(), files))
    }
}

impl StubFile {
    fn new(content: Content, size: u64) -> Self {
        Self { content, size, sha256: OnceLock::new(), git_sha1: OnceLock::new() }
    }

    /// Bytes `start..end`.
    pub(crate) fn read(&self, start: u64, end: u64) -> io::Result<Vec<u8>> {
        use std::io::{Read, Seek, SeekFrom};
        let (at, n) = (start as usize, (end - start) as usize);
        match &self.content {
            Content::Bytes(bytes) => Ok(bytes[at..at + n].to_vec()),
            Content::File(path) => {
                let mut file = fs::File::open(path)?;
                file.seek(SeekFrom::Start(start))?;
                let mut bytes = vec![0; n];
                file.read_exact(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    fn hash(&self, mut update: impl FnMut(&[u8])) {
        let piece = 1 << 20;
        for start in (0..self.size).step_by(piece) {
            update(&self.read(start, self.size.min(start + piece as u64)).unwrap_or_default());
        }
    }

    pub(crate) fn sha256(&self) -> &str {
        self.sha256.get_or_init(|| {
            let mut hasher = Sha256::new();
            self.hash(|bytes| hasher.update(bytes));
            hex(&hasher.finalize())
        })
    }

    pub(crate) fn git_sha1(&self) -> &str {
        self.git_sha1.get_or_init(|| {
            let mut hasher = Sha1::new_with_prefix(format!("blob {}\0", self.size));
            self.hash(|bytes| hasher.update(bytes));
            hex(&hasher.finalize())
        })
    }
}

/// Whether a hub would keep a file of this name in large file storage.
pub(crate) fn is_large(path: &str) -> bool {
    const ENDINGS: [&str; 10] =
        [".parquet", ".safetensors", ".tar", ".gz", ".zip", ".arrow", ".zst", ".bin", ".mpk", ".npz"];
    ENDINGS.iter().any(|ending| path.ends_with(ending))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entries(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        found.extend(entry.file_name().into_string().ok().map(|name| (name, entry.path())));
    }
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Arc<StubFile>>) -> io::Result<()> {
    for (name, path) in entries(folder)? {
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files)?;
        } else {
            let size = fs::metadata(&path)?.len();
            files.insert(format!("{prefix}{name}"), Arc::new(StubFile::new(Content::File(path), size)));
        }
    }
    Ok(())
}
