//! Bytes that grow: in memory while few, in a temporary file once many.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::SpooledTempFile;

/// Up to this many bytes are held in memory; more go to a temporary file.
const SPILL_BYTES: usize = 1 << 18;
/// Small writes are gathered up to this many bytes.
const GATHERED_BYTES: usize = 1 << 14;
/// Bytes that are copied at once.
const COPIED_BYTES: usize = 1 << 17;

#[derive(Debug)]
pub(crate) struct Spool {
    file: SpooledTempFile,
    /// Written last, and not yet in `file`.
    pending: Vec<u8>,
    n_bytes: u64,
}

impl Spool {
    /// Nothing yet. What does not fit into memory goes to a file in `scratch` that has no name and goes with the spool.
    pub(crate) fn new(scratch: &Path) -> Self {
        let file = tempfile::spooled_tempfile_in(SPILL_BYTES, PathBuf::from(scratch));
        Self { file, pending: Vec::new(), n_bytes: 0 }
    }

    pub(crate) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
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
        self.push(&bytes)
    }

    /// What was written, from its start.
    pub(crate) fn reader(&mut self) -> io::Result<impl Read + use<'_>> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok((&mut self.file).chain(self.pending.as_slice()))
    }

    /// Appends what was written to `out`.
    pub(crate) fn copy_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        let n_bytes = self.n_bytes;
        copy_exactly(&mut self.reader()?, out, n_bytes)
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends the next `n_bytes` of `from` to `out`.
pub(crate) fn copy_exactly(from: &mut impl Read, out: &mut impl Write, n_bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPIED_BYTES.min(usize::try_from(n_bytes).unwrap_or(usize::MAX))];
    let mut n_left = n_bytes;
    while n_left > 0 {
        let n = buffer.len().min(usize::try_from(n_left).unwrap_or(usize::MAX));
        from.read_exact(&mut buffer[..n])?;
        out.write_all(&buffer[..n])?;
        n_left -= n as u64;
    }
    Ok(())
}
