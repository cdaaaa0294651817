//! Files that are hashed while they are written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What a written file is, for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardReceipt {
    /// Where it was written; publishing changes this name.
    pub path: PathBuf,
    /// Samples or rows in it.
    pub n_rows: u64,
    /// Its size.
    pub n_bytes: u64,
    /// Its hash.
    pub sha256: [u8; 32],
}

/// A file in the making.
#[derive(Debug)]
pub(crate) struct ReceiptWriter {
    path: PathBuf,
    file: BufWriter<Hashed>,
}

#[derive(Debug)]
struct Hashed {
    file: File,
    n_bytes: u64,
    sha256: Sha256,
}

impl ReceiptWriter {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let hashed = Hashed { file: File::create(path)?, n_bytes: 0, sha256: Sha256::new() };
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(1 << 16, hashed) })
    }

    pub(crate) fn finish(self, n_rows: u64) -> io::Result<ShardReceipt> {
        let Self { path, file } = self;
        let Hashed { n_bytes, sha256, .. } = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(ShardReceipt { path, n_rows, n_bytes, sha256: sha256.finalize().into() })
    }
}

impl Write for ReceiptWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.sha256.update(&bytes[..n]);
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
