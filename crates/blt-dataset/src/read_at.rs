//! Where the bytes of a dataset file come from.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file that can be read anywhere: on disk, or on a server that answers ranges.
pub trait ReadAt: Send + Sync {
    /// Its length in bytes.
    fn n_bytes(&self) -> u64;

    /// Names these very bytes: an etag, a digest, or path, size and time of change. Another identity is another file.
    fn identity(&self) -> String;

    /// Fills `buffer` with the bytes that begin at `offset`.
    ///
    /// # Errors
    ///
    /// Fails when they cannot be read, or when the file ends before `buffer` is full.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// The files of one dataset by their paths inside it: a folder, or a repository at one commit.
pub trait FileStore: Send + Sync {
    /// Opens the file at `path`, as it was listed.
    ///
    /// # Errors
    ///
    /// Fails with [`io::ErrorKind::NotFound`] when there is none, and otherwise as opening does.
    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadAt>>;
}

/// A file on disk.
#[derive(Debug)]
pub struct LocalFile {
    file: File,
    n_bytes: u64,
    identity: String,
}

impl LocalFile {
    /// Opens `path`; its identity is its size and time of change.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be opened or is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Looked at first: opening a named pipe would wait for somebody to write to it.
        if !path.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let identity = format!("{}-{}.{:09}", metadata.len(), changed.as_secs(), changed.subsec_nanos());
        Ok(Self { file, n_bytes: metadata.len(), identity })
    }
}

impl ReadAt for LocalFile {
    fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let n = std::os::windows::fs::FileExt::seek_read(&self.file, buffer, offset)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            offset += n as u64;
            buffer = &mut buffer[n..];
        }
        Ok(())
    }
}

/// Bytes in memory; their identity is their digest.
impl ReadAt for Vec<u8> {
    fn n_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn identity(&self) -> String {
        crate::hash::sha256_hex(&[self])
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A folder on disk as the files of a dataset. Paths are relative, with `/` between names.
#[derive(Debug)]
pub struct LocalFolder {
    root: std::path::PathBuf,
}

impl LocalFolder {
    /// The folder at `root`.
    pub fn new(root: impl Into<std::path::PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The paths of all files below it, in order of their names. Links to folders are not followed, and names that are not
    /// UTF-8 are left out with a warning.
    ///
    /// # Errors
    ///
    /// Fails when a folder cannot be listed.
    pub fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut waiting = vec![String::new()];
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(self.root.join(&folder))? {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else {
                    tracing::warn!(name = ?entry.file_name(), "a name is not UTF-8 and is left out");
                    continue;
                };
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    waiting.push(path);
                } else if kind.is_file() || entry.path().is_file() {
                    found.push(path);
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

impl FileStore for LocalFolder {
    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadAt>> {
        let is_inside = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !is_inside {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path leads out of the folder"));
        }
        Ok(Arc::new(LocalFile::open(&self.root.join(path))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lists_what_is_in_it_and_opens_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/a.txt"), "abc").unwrap();
        std::fs::write(folder.path().join("README.md"), "").unwrap();
        let files = LocalFolder::new(folder.path().join("data"));
        assert_eq!(LocalFolder::new(folder.path()).list().unwrap(), ["README.md", "data/a.txt"]);
        let file = files.open("a.txt").unwrap();
        let mut buffer = [0; 2];
        file.read_at(1, &mut buffer).unwrap();
        assert_eq!((file.n_bytes(), &buffer), (3, b"bc"));
        assert!(file.read_at(2, &mut buffer).is_err());
        for path in ["../README.md", "/etc/passwd", "x/../../README.md"] {
            assert_eq!(files.open(path).err().unwrap().kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }
}
