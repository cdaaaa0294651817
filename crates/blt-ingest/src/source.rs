//! The bytes of one source.

use std::fs::{self, File, Metadata};
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blt_core::SourceReader;
use sha2::{Digest, Sha256};

use crate::error::SourceError;

/// A source that has been read once: its size and hash are known.
#[derive(Debug)]
pub(crate) struct LoadedSource {
    pub(crate) sha256: [u8; 32],
    pub(crate) n_bytes: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Memory(Cursor<Vec<u8>>),
    File { file: File, path: PathBuf, before: FileState },
}

/// What changes when somebody writes to a file.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    n_bytes: u64,
    modified: Option<SystemTime>,
    /// Device and number of the file, where there are such things.
    identity: Option<(u64, u64)>,
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            Some((metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let identity = None;
        Self { n_bytes: metadata.len(), modified: metadata.modified().ok(), identity }
    }
}

impl LoadedSource {
    /// Reads and hashes the file at `path`, and keeps its bytes if they are no more than `in_memory_bytes`.
    pub(crate) fn open(path: &Path, max_bytes: u64, in_memory_bytes: u64) -> Result<Self, SourceError> {
        let mut file = File::open(path).map_err(SourceError::Read)?;
        let before = FileState::of(&file.metadata().map_err(SourceError::Read)?);
        if before.n_bytes > max_bytes {
            return Err(blt_core::DecodeError::TooLarge { found: before.n_bytes, limit: max_bytes }.into());
        }
        if before.n_bytes <= in_memory_bytes {
            let mut bytes = Vec::with_capacity(before.n_bytes as usize);
            (&mut file).take(in_memory_bytes + 1).read_to_end(&mut bytes).map_err(SourceError::Read)?;
            if bytes.len() as u64 <= in_memory_bytes {
                return Ok(Self::from_bytes(bytes));
            }
            file.seek(SeekFrom::Start(0)).map_err(SourceError::Read)?;
        }
        let mut hasher = Sha256::new();
        let mut n_bytes = 0;
        let mut buffer = vec![0; 1 << 18];
        loop {
            match file.read(&mut buffer).map_err(SourceError::Read)? {
                0 => break,
                n => {
                    n_bytes += n as u64;
                    hasher.update(&buffer[..n]);
                }
            }
            if n_bytes > max_bytes {
                return Err(blt_core::DecodeError::TooLarge { found: n_bytes, limit: max_bytes }.into());
            }
        }
        Ok(Self {
            sha256: hasher.finalize().into(),
            n_bytes,
            content: Content::File { file, path: path.to_owned(), before },
        })
    }

    /// A source that is in memory already.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        let sha256 = Sha256::digest(&bytes).into();
        Self { sha256, n_bytes: bytes.len() as u64, content: Content::Memory(Cursor::new(bytes)) }
    }

    /// Its bytes.
    pub(crate) fn reader(&mut self) -> &mut dyn SourceReader {
        match &mut self.content {
            Content::Memory(cursor) => cursor,
            Content::File { file, .. } => file,
        }
    }

    /// Where other programs may read it: a file that was hashed there. Bytes in memory are handed over as they are.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match &self.content {
            Content::Memory(_) => None,
            Content::File { path, .. } => Some(path.clone()),
        }
    }

    /// Fails if the file was written to, or another one took its place, since it was hashed.
    pub(crate) fn check_unchanged(&self) -> Result<(), SourceError> {
        let Content::File { file, path, before } = &self.content else { return Ok(()) };
        for metadata in [file.metadata(), fs::metadata(path)] {
            if FileState::of(&metadata.map_err(SourceError::Read)?) != *before {
                return Err(SourceError::Changed);
            }
        }
        Ok(())
    }
}
