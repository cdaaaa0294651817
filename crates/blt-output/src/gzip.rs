//! Gzip on several threads, as pigz does it: one member, whose blocks of fixed size are deflated independently and end at a
//! byte. Where a block is deflated changes nothing in it, so the number of threads changes no byte of the file. (Members
//! one after another would be simpler, but readers of streamed archives stop after the first.)

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes that are deflated at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Embeddings hardly shrink; higher levels take many times as long for a few percent of the rest.
const LEVEL: u32 = 2;
/// RFC 1952, section 2.3: magic, deflate, no flags, no time, no extra flags, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

struct Job {
    block: Vec<u8>,
    is_last: bool,
    done: mpsc::Sender<io::Result<Vec<u8>>>,
}

pub(crate) struct GzipWriter<W> {
    out: W,
    block: Vec<u8>,
    crc: Crc,
    to_threads: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    /// Blocks on the way, oldest first.
    pending: VecDeque<mpsc::Receiver<io::Result<Vec<u8>>>>,
}

impl<W: Write> GzipWriter<W> {
    pub(crate) fn new(mut out: W, n_threads: usize) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        let (to_threads, jobs) = crossbeam_channel::unbounded();
        let threads = (0..n_threads.max(1))
            .map(|_| {
                let jobs = jobs.clone();
                std::thread::Builder::new().name("gzip".to_owned()).spawn(move || deflate_all(&jobs))
            })
            .collect::<io::Result<_>>()?;
        let block = Vec::with_capacity(BLOCK_BYTES);
        Ok(Self { out, block, crc: Crc::new(), to_threads: Some(to_threads), threads, pending: VecDeque::new() })
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.send(true)?;
        while !self.pending.is_empty() {
            self.write_oldest()?;
        }
        self.to_threads = None; // ends the threads
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| io::Error::other("a thread that deflates has panicked"))?;
        }
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.out)
    }

    fn send(&mut self, is_last: bool) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(if is_last { 0 } else { BLOCK_BYTES }));
        self.crc.update(&block);
        let (done, result) = mpsc::channel();
        self.pending.push_back(result);
        let threads = self.to_threads.as_ref().expect("the threads run until the writer is finished");
        threads.send(Job { block, is_last, done }).map_err(|_| ended())?;
        if self.pending.len() > 2 * self.threads.len() { self.write_oldest() } else { Ok(()) }
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(()) };
        self.out.write_all(&oldest.recv().map_err(|_| ended())??)
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

fn ended() -> io::Error {
    io::Error::other("the threads that deflate have ended early")
}

fn deflate_all(jobs: &Receiver<Job>) {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    for Job { block, is_last, done } in jobs {
        // Nobody waits for the result any more when the writer was dropped.
        let _ = done.send(deflate(&mut compress, &block, is_last));
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

    #[test]
    fn a_writer_that_is_dropped_early_ends_its_threads() {
        let mut writer = GzipWriter::new(Vec::new(), 2).unwrap();
        writer.write_all(&vec![7; 2 * BLOCK_BYTES]).unwrap();
        let threads = std::mem::take(&mut writer.threads);
        drop(writer);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
