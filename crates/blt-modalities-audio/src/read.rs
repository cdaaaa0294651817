//! Small reads at given places of a source, for headers.

use std::io::{self, Read, SeekFrom};

use blt_core::SourceReader;

/// The `N` bytes at `offset`, or `None` when the source ends before them.
pub(crate) fn bytes_at<const N: usize>(source: &mut dyn SourceReader, offset: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    source.seek(SeekFrom::Start(offset))?;
    match source.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// At most `n` bytes at `offset`, fewer at the end of the source.
pub(crate) fn up_to(source: &mut dyn SourceReader, offset: u64, n: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.seek(SeekFrom::Start(offset))?;
    source.take(n).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The `N` bytes at `offset` of a header, if it is that long.
pub(crate) fn field<const N: usize>(header: &[u8], offset: usize) -> Option<[u8; N]> {
    header.get(offset..offset.checked_add(N)?)?.try_into().ok()
}
