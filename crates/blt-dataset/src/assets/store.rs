//! A folder of files by the digests of their bytes, with notes of what is called what.
//!
//! `blobs/ab/abcd..` are the files. `names/cd/cdef..` are notes whose names are digests of keys, so that nothing found in a
//! dataset or an archive ever becomes a path.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::AssetError;
use crate::hash::{hex, sha256_hex};

pub(super) struct Store {
    folder: PathBuf,
}

/// A file in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asset {
    /// Its digest in hexadecimal digits.
    pub(super) sha256: String,
    /// Its length.
    pub(super) n_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Note {
    key: String,
    #[serde(flatten)]
    asset: Asset,
}

impl Store {
    /// A cache in `folder`, which is made when something is written.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The asset called `key`, if its file is there and has its size.
    pub(super) fn find(&self, key: &str) -> Result<Option<Asset>, AssetError> {
        let path = self.note_path(key);
        let note = match fs::read(&path) {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(AssetError::Cache { path, source }),
        };
        // A note that is no note, or one of another key, is as good as none.
        let note = serde_json::from_slice::<Note>(&note).ok().filter(|note| note.key == key);
        Ok(note.and_then(|note| self.has(&note.asset.sha256, note.asset.n_bytes)))
    }

    /// The file of that digest and length, if it is there.
    pub(super) fn has(&self, sha256: &str, n_bytes: u64) -> Option<Asset> {
        let is_there = is_digest(sha256)
            && fs::metadata(self.blob_path(sha256)).is_ok_and(|file| file.is_file() && file.len() == n_bytes);
        is_there.then(|| Asset { sha256: sha256.to_owned(), n_bytes })
    }

    /// Puts the bytes of `stream` into the cache, unless `cancelled` is set meanwhile.
    pub(super) fn add(
        &self,
        stream: &mut dyn Read,
        max_bytes: u64,
        cancelled: &AtomicBool,
    ) -> Result<Asset, AssetError> {
        let folder = self.folder.join("blobs");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| AssetError::Cache { path, source }
        };
        let mut file = new_file(&folder).map_err(failed(&folder))?;
        let (mut hasher, mut n_bytes) = (Sha256::new(), 0_u64);
        let mut buffer = vec![0; 128 << 10];
        loop {
            if cancelled.load(Ordering::Relaxed) {
                return Err(AssetError::Cancelled);
            }
            let n = match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(AssetError::Fetch(error)),
            };
            n_bytes += n as u64;
            if n_bytes > max_bytes {
                return Err(AssetError::Limit { what: "bytes of one asset", limit: max_bytes });
            }
            hasher.update(&buffer[..n]);
            file.write_all(&buffer[..n]).map_err(failed(file.path()))?;
        }
        let asset = Asset { sha256: hex(&hasher.finalize()), n_bytes };
        let path = self.blob_path(&asset.sha256);
        if self.has(&asset.sha256, n_bytes).is_none() {
            publish(file, &path).map_err(failed(&path))?;
        }
        Ok(asset)
    }

    /// Notes that `asset` is what `key` stands for.
    pub(super) fn name(&self, key: &str, asset: &Asset) -> Result<(), AssetError> {
        let path = self.note_path(key);
        let note = Note { key: key.to_owned(), asset: asset.clone() };
        self.write(&path, &serde_json::to_vec(&note).unwrap_or_default())
    }

    /// A file of notes about the archive `key`, as it was written.
    pub(super) fn read_index(&self, key: &str) -> Option<Vec<u8>> {
        fs::read(self.note_path(key)).ok()
    }

    pub(super) fn write_index(&self, key: &str, index: &[u8]) -> Result<(), AssetError> {
        self.write(&self.note_path(key), index)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), AssetError> {
        let write = || {
            let mut file = new_file(&self.folder.join("names"))?;
            file.write_all(bytes)?;
            publish(file, path)
        };
        write().map_err(|source| AssetError::Cache { path: path.to_owned(), source })
    }

    /// The bytes of `asset`, if they are what their name says.
    pub(super) fn read(&self, asset: &Asset) -> Result<Vec<u8>, AssetError> {
        let path = self.blob_path(&asset.sha256);
        let bytes = fs::read(&path).map_err(|source| AssetError::Cache { path: path.clone(), source })?;
        if sha256_hex(&[&bytes]) != asset.sha256 {
            fs::remove_file(&path).map_err(|source| AssetError::Cache { path: path.clone(), source })?;
            return Err(AssetError::Changed(path));
        }
        Ok(bytes)
    }

    /// Makes the names of new files survive a power cut.
    pub(super) fn flush(&self) -> Result<(), AssetError> {
        let flush = |folder: &Path| match File::open(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()), // nothing was written
            file => file?.sync_all(),
        };
        if !cfg!(unix) {
            return Ok(());
        }
        for folder in [self.folder.join("blobs"), self.folder.join("names")] {
            flush(&folder).map_err(|source| AssetError::Cache { path: folder, source })?;
        }
        Ok(())
    }

    fn blob_path(&self, sha256: &str) -> PathBuf {
        self.folder.join("blobs").join(&sha256[..2]).join(sha256)
    }

    fn note_path(&self, key: &str) -> PathBuf {
        let digest = sha256_hex(&[key.as_bytes()]);
        self.folder.join("names").join(&digest[..2]).join(digest)
    }
}

fn new_file(folder: &Path) -> io::Result<NamedTempFile> {
    fs::create_dir_all(folder)?;
    NamedTempFile::new_in(folder)
}

fn publish(file: NamedTempFile, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_by_their_names_and_changed_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let (store, going) = (Store::new(folder.path()), AtomicBool::new(false));
        assert_eq!(store.find("../../x").unwrap(), None);
        store.flush().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made for what is not there");
        let asset = store.add(&mut &b"hello"[..], 5, &going).unwrap();
        store.name("../../x", &asset).unwrap();
        assert_eq!(store.find("../../x").unwrap().as_ref(), Some(&asset));
        assert_eq!(store.read(&asset).unwrap(), b"hello");
        assert!(matches!(store.add(&mut &b"longer"[..], 5, &going), Err(AssetError::Limit { .. })));
        fs::write(store.blob_path(&asset.sha256), "other").unwrap();
        assert!(matches!(store.read(&asset), Err(AssetError::Changed(_))));
        assert_eq!(store.find("../../x").unwrap(), None);
        let n_files = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(n_files, 2, "nothing lies beside the two folders");
    }
}
