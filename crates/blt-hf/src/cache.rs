//! The cache on disk, in the layout of the Python client, so that each finds what the other fetched:
//!
//! ```text
//! models--OWNER--NAME/
//!   refs/main                     the commit that `main` was when it was last asked for
//!   blobs/<etag>                  content, named by its hash; `<etag>.incomplete` while it is fetched
//!   snapshots/<commit>/<path>     a link to the blob, or a copy where links cannot be made
//!   .no_exist/<commit>/<path>     empty: the commit has no such file
//!   trees/<commit>.json           all files of the commit, once they were listed
//! .locks/models--OWNER--NAME/<etag>.lock
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::source::FileInfo;
use crate::{Commit, Digest, HubError, Pinned, Repo};

/// The folder with everything.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

/// A repository that has files in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedRepo {
    /// The repository.
    pub repo: Repo,
    /// Branches and tags, and the commits that they were when last asked for.
    pub refs: BTreeMap<String, Commit>,
    /// Commits of which files are there.
    pub snapshots: Vec<CachedSnapshot>,
}

/// The files of one commit that are in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedSnapshot {
    /// The commit.
    pub commit: Commit,
    /// Paths inside the repository and sizes in bytes, sorted.
    pub files: Vec<(String, u64)>,
}

impl Cache {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn repo(&self, repo: &Repo) -> PathBuf {
        self.root.join(repo.folder())
    }

    /// Where a blob is or will be.
    pub(crate) fn blob(&self, repo: &Repo, digest: &Digest) -> PathBuf {
        self.repo(repo).join("blobs").join(digest.to_string())
    }

    /// Where a file of a commit is or will be.
    pub(crate) fn pointer(&self, at: &Pinned, path: &str) -> PathBuf {
        self.snapshot(at).join(path)
    }

    /// Where the files of a commit are.
    pub(crate) fn snapshot(&self, at: &Pinned) -> PathBuf {
        self.repo(&at.repo).join("snapshots").join(at.commit.as_str())
    }

    /// The lock of a blob; taken by whoever fetches it.
    pub(crate) fn lock(&self, repo: &Repo, digest: &Digest) -> PathBuf {
        self.root.join(".locks").join(repo.folder()).join(format!("{digest}.lock"))
    }

    /// The file, if it is there; of this size, if the size is known.
    pub(crate) fn find(&self, at: &Pinned, path: &str, size: Option<u64>) -> Option<PathBuf> {
        let pointer = self.pointer(at, path);
        let found = fs::metadata(&pointer).ok().filter(fs::Metadata::is_file)?;
        size.is_none_or(|size| size == found.len()).then_some(pointer)
    }

    /// The commit that a branch or tag was when it was last asked for.
    pub(crate) fn read_ref(&self, repo: &Repo, revision: &str) -> Option<Commit> {
        let text = fs::read_to_string(self.repo(repo).join("refs").join(revision)).ok()?;
        Commit::from_hex(text.trim())
    }

    pub(crate) fn write_ref(&self, repo: &Repo, revision: &str, commit: &Commit) -> Result<(), HubError> {
        if self.read_ref(repo, revision).as_ref() == Some(commit) {
            return Ok(());
        }
        write_whole(&self.repo(repo).join("refs").join(revision), commit.as_str().as_bytes())
    }

    /// Whether it is known that the commit has no such file.
    pub(crate) fn is_absent(&self, at: &Pinned, path: &str) -> bool {
        self.absent(at, path).is_file()
    }

    pub(crate) fn mark_absent(&self, at: &Pinned, path: &str) -> Result<(), HubError> {
        write_whole(&self.absent(at, path), b"")
    }

    fn absent(&self, at: &Pinned, path: &str) -> PathBuf {
        self.repo(&at.repo).join(".no_exist").join(at.commit.as_str()).join(path)
    }

    /// Puts a blob that is there under its path in the snapshot.
    pub(crate) fn link(&self, at: &Pinned, file: &FileInfo) -> Result<PathBuf, HubError> {
        let blob = self.blob(&at.repo, &file.digest);
        let pointer = self.pointer(at, &file.path);
        let partial = blob.with_extension(format!("{}.link", unique()));
        let target: PathBuf = std::iter::repeat_n("..", file.path.split('/').count() + 1)
            .chain(["blobs", &file.digest.to_string()])
            .collect();
        let link = || {
            fs::create_dir_all(folder_of(&pointer))?;
            // Made elsewhere and renamed, so that the name is never without a file.
            let _ = fs::remove_file(&partial);
            if symlink(&target, &partial).is_err() {
                fs::copy(&blob, &partial)?;
                File::open(&partial)?.sync_all()?;
            }
            fs::rename(&partial, &pointer)?;
            sync_folder(folder_of(&pointer))
        };
        link().map_err(|source| HubError::Cache { path: pointer.clone(), source })?;
        Ok(pointer)
    }

    /// All files of a commit, if they were listed once.
    pub(crate) fn read_tree(&self, at: &Pinned) -> Option<Vec<FileInfo>> {
        let tree: Tree = serde_json::from_slice(&fs::read(self.tree(at)).ok()?).ok()?;
        if tree.format_version != TREE_VERSION {
            return None;
        }
        let files = tree.files.into_iter().map(|(path, entry)| entry.into_file(path));
        files.collect::<Option<Vec<_>>>()
    }

    pub(crate) fn write_tree(&self, at: &Pinned, files: &[FileInfo]) -> Result<(), HubError> {
        let files = files.iter().map(|file| (file.path.clone(), TreeEntry::new(file))).collect();
        let tree = Tree { format_version: TREE_VERSION, files };
        let text = serde_json::to_vec_pretty(&tree).expect("a tree is plain data");
        write_whole(&self.tree(at), &text)
    }

    fn tree(&self, at: &Pinned) -> PathBuf {
        self.repo(&at.repo).join("trees").join(format!("{}.json", at.commit))
    }

    /// The files of a commit that are there, sorted.
    pub(crate) fn files(&self, at: &Pinned) -> Vec<(String, u64)> {
        let mut files = Vec::new();
        walk(&self.snapshot(at), "", &mut |path, entry| {
            if let Ok(found) = fs::metadata(entry)
                && found.is_file()
            {
                files.push((path, found.len()));
            }
        });
        files.sort();
        files
    }

    /// The hash that a cached file goes by, when its snapshot links to its blob.
    pub(crate) fn digest(&self, at: &Pinned, path: &str) -> Option<Digest> {
        let target = fs::read_link(self.pointer(at, path)).ok()?;
        Digest::from_hex(target.file_name()?.to_str()?)
    }

    /// Every repository of which something is there, sorted.
    pub(crate) fn repos(&self) -> Vec<CachedRepo> {
        let mut repos: Vec<CachedRepo> = names(&self.root)
            .filter_map(|name| Repo::from_folder(&name))
            .map(|repo| {
                let mut refs = BTreeMap::new();
                walk(&self.repo(&repo).join("refs"), "", &mut |name, _| {
                    if let Some(commit) = self.read_ref(&repo, &name) {
                        refs.insert(name, commit);
                    }
                });
                let commits = names(&self.repo(&repo).join("snapshots")).filter_map(|name| Commit::from_hex(&name));
                let mut snapshots: Vec<CachedSnapshot> = commits
                    .map(|commit| {
                        let files = self.files(&Pinned { repo: repo.clone(), commit: commit.clone() });
                        CachedSnapshot { commit, files }
                    })
                    .filter(|snapshot| !snapshot.files.is_empty())
                    .collect();
                snapshots.sort_by(|a, b| a.commit.cmp(&b.commit));
                CachedRepo { repo, refs, snapshots }
            })
            .filter(|repo| !repo.snapshots.is_empty())
            .collect();
        repos.sort_by(|a, b| a.repo.cmp(&b.repo));
        repos
    }
}

const TREE_VERSION: u32 = 1;

/// A listing as the Python client keeps it.
#[derive(Serialize, Deserialize)]
struct Tree {
    format_version: u32,
    files: BTreeMap<String, TreeEntry>,
}

#[derive(Serialize, Deserialize)]
struct TreeEntry {
    size: u64,
    blob_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lfs_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    xet_hash: Option<String>,
}

impl TreeEntry {
    fn new(file: &FileInfo) -> Self {
        let is_large = matches!(file.digest, Digest::Sha256(_));
        Self {
            size: file.size,
            blob_id: file.git_id.clone(),
            lfs_sha256: is_large.then(|| file.digest.to_string()),
            lfs_size: is_large.then_some(file.size),
            xet_hash: file.xet_hash.clone(),
        }
    }

    fn into_file(self, path: String) -> Option<FileInfo> {
        crate::repo::check_path(&path).ok()?;
        let digest = Digest::from_hex(self.lfs_sha256.as_deref().unwrap_or(&self.blob_id))?;
        let size = self.lfs_size.unwrap_or(self.size);
        Some(FileInfo { path, size, digest, git_id: self.blob_id, xet_hash: self.xet_hash })
    }
}

/// Names in a folder that are text.
fn names(folder: &Path) -> impl Iterator<Item = String> + use<> {
    fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// Calls `found` with the path below `folder` of everything that is no folder. Links to folders are not entered.
fn walk(folder: &Path, prefix: &str, found: &mut impl FnMut(String, &Path)) {
    for name in names(folder) {
        let entry = folder.join(&name);
        let path = format!("{prefix}{name}");
        match fs::symlink_metadata(&entry) {
            Ok(kind) if kind.is_dir() => walk(&entry, &format!("{path}/"), found),
            Ok(_) => found(path, &entry),
            Err(_) => {}
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().expect("a file of the cache lies in a folder")
}

/// Part of a file's name that no other thread of any process uses now.
fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Writes a small file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), HubError> {
    let folder = folder_of(path);
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.tmp", unique()));
    let write = || {
        fs::create_dir_all(folder)?;
        fs::write(&partial, bytes)?;
        File::options().append(true).open(&partial)?.sync_all()?;
        fs::rename(&partial, path)?;
        sync_folder(folder)
    };
    write().map_err(|source| HubError::Cache { path: path.to_owned(), source })
}

/// Makes renames in `folder` survive a power cut, where the system can.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
