//! Gzip on several threads, as pigz does it: one member, whose blocks of fixed size are deflated independently and end at a
//! byte. Where a block is deflated changes nothing in it, so the number of threads changes no byte of the file. (Members
//! one after another would be simpler, but readers of streamed archives stop after the first.)

use std::io::{self, Write};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use crate::in_order::InOrder;

/// Bytes that are deflated at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Embeddings hardly shrink; higher levels take many times as long for a few percent of the rest.
const LEVEL: u32 = 2;
/// RFC 1952, section 2.3: magic, deflate, no flags, no time, no extra flags, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

struct Job {
    block: Vec<u8>,
    is_last: bool,
}

pub(crate) struct GzipWriter<W> {
    out: W,
    block: Vec<u8>,
    crc: Crc,
    threads: InOrder<Job, io::Result<Vec<u8>>>,
}

impl<W: Write> GzipWriter<W> {
    pub(crate) fn new(mut out: W, n_threads: usize) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        let threads = InOrder::new("gzip", n_threads, || {
            let mut compress = Compress::new(Compression::new(LEVEL), false);
            Ok(move |Job { block, is_last }: Job| deflate(&mut compress, &block, is_last))
        })?;
        Ok(Self { out, block: Vec::with_capacity(BLOCK_BYTES), crc: Crc::new(), threads })
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.send(true)?;
        while let Some(deflated) = self.threads.next()? {
            self.out.write_all(&deflated?)?;
        }
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.out)
    }

    fn send(&mut self, is_last: bool) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(if is_last { 0 } else { BLOCK_BYTES }));
        self.crc.update(&block);
        match self.threads.push(Job { block, is_last })? {
            Some(deflated) => self.out.write_all(&deflated?),
            None => Ok(()),
        }
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..n]);
        if self.block.len() == BLOCK_BYTES {
            self.send(false)?;
        }
        Ok(n)
    }

    /// Does nothing: where blocks end must not depend on who flushes when.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A deflated block that ends at a byte: with an empty stored block, or with the end of the stream.
fn deflate(compress: &mut Compress, block: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
    compress.reset();
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut out = Vec::with_capacity(block.len() + block.len() / 64 + 64);
    loop {
        let n_read = usize::try_from(compress.total_in()).map_err(io::Error::other)?;
        let status = compress.compress_vec(&block[n_read..], &mut out, flush)?;
        let is_all_read = compress.total_in() == block.len() as u64;
        if status == Status::StreamEnd || (!is_last && is_all_read && out.len() < out.capacity()) {
            return Ok(out);
        }
        out.reserve(1 << 12);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn zipped(bytes: &[u8], n_threads: usize, pieces: usize) -> Vec<u8> {
        let mut writer = GzipWriter::new(Vec::new(), n_threads).unwrap();
        bytes.chunks(pieces).for_each(|piece| writer.write_all(piece).unwrap());
        writer.finish().unwrap()
    }

    /// One member, whatever its size: a reader that stops after the first has read everything.
    #[test]
    fn one_member_holds_everything_and_threads_change_no_byte() {
        let mut state = 1u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 & if state & 1 << 20 == 0 { 255 } else { 3 }
        })
        .take(3 * BLOCK_BYTES + 17)
        .collect();
        for bytes in [&noise[..], &noise[..BLOCK_BYTES], &noise[..5], &[]] {
            let one = zipped(bytes, 1, 1 << 16);
            assert!(zipped(bytes, 4, 9_999) == one);
            let mut read = Vec::new();
            flate2::bufread::GzDecoder::new(&one[..]).read_to_end(&mut read).unwrap();
            assert!(read == bytes);
        }
    }
}
