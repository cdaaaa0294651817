//! Bytes that grow: in memory while few, in a temporary file once many.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::SpooledTempFile;

/// Up to this many bytes are held in memory; more go to a temporary file.
const SPILL_BYTES: usize = 1 << 18;
/// Small writes are gathered up to this many bytes.
const GATHERED_BYTES: usize = 1 << 14;

#[derive(Debug)]
pub(crate) struct Spool {
    file: SpooledTempFile,
    /// Written last, and not yet in `file`.
    pending: Vec<u8>,
    n_bytes: u64,
}

impl Spool {
    /// Nothing yet. What does not fit into memory goes to a file in `scratch` that has no name and ends with the spool.
    pub(crate) fn new(scratch: &Path) -> Self {
        let file = tempfile::spooled_tempfile_in(SPILL_BYTES, PathBuf::from(scratch));
        Self { file, pending: Vec::new(), n_bytes: 0 }
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.n_bytes += bytes.len() as u64;
        if self.pending.len() + bytes.len() < GATHERED_BYTES {
            self.pending.extend_from_slice(bytes);
            return Ok(());
        }
        self.file.write_all(&self.pending)?;
        self.pending.clear();
        self.file.write_all(bytes)
    }

    pub(crate) fn floats(&mut self, values: &[f32]) -> io::Result<()> {
        self.elements(values.iter().map(|value| value.to_le_bytes()))
    }

    pub(crate) fn elements<const N: usize>(&mut self, elements: impl Iterator<Item = [u8; N]>) -> io::Result<()> {
        let bytes: Vec<u8> = elements.flatten().collect();
        self.write(&bytes)
    }

    /// What was written, from its start.
    pub(crate) fn into_reader(mut self) -> io::Result<impl Read + use<>> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(self.file.chain(io::Cursor::new(self.pending)))
    }

    /// Appends what was written to `out`.
    pub(crate) fn copy_to(self, out: &mut impl Write) -> io::Result<()> {
        let n_bytes = self.n_bytes;
        let mut reader = self.into_reader()?;
        let mut buffer = vec![0; (1 << 17).min(n_bytes as usize)];
        let mut n_copied = 0;
        loop {
            let n = reader.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            out.write_all(&buffer[..n])?;
            n_copied += n as u64;
        }
        if n_copied == n_bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
