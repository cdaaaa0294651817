//! A file in blocks: small reads become few large ones, the next blocks are fetched meanwhile, and no more than a fixed
//! number of bytes is kept. Row groups of any size are read through it, page by page.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;

use crate::read_at::ReadAt;

/// How a file is cut into blocks, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockOptions {
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Blocks that are fetched ahead, once two neighbours have been asked for in order.
    pub n_ahead: u64,
    /// Bytes of blocks that are kept; at least two blocks and those ahead are.
    pub max_kept_bytes: usize,
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self { block_bytes: 8 << 20, n_ahead: 2, max_kept_bytes: 48 << 20 }
    }
}

impl BlockOptions {
    /// For reading little here and there: footers, ids, members of archives.
    pub fn scattered() -> Self {
        Self { block_bytes: 256 << 10, n_ahead: 0, max_kept_bytes: 4 << 20 }
    }
}

/// A file read in blocks. Clones share the blocks.
#[derive(Clone)]
pub struct Blocks {
    shared: Arc<Shared>,
}

struct Shared {
    source: Arc<dyn ReadAt>,
    options: BlockOptions,
    state: Mutex<State>,
    /// Told when a block has come, or failed to.
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    kept: HashMap<u64, Kept>,
    /// Blocks that somebody is fetching now.
    coming: HashSet<u64>,
    /// Counts uses, so that the block used longest ago is known.
    clock: u64,
}

struct Kept {
    bytes: Bytes,
    used: u64,
}

impl Blocks {
    /// `source` in blocks.
    pub fn new(source: Arc<dyn ReadAt>, options: BlockOptions) -> Self {
        let block_bytes = options.block_bytes.max(1);
        let at_least = block_bytes.saturating_mul(2 + usize::try_from(options.n_ahead).unwrap_or(0));
        let options = BlockOptions { block_bytes, max_kept_bytes: options.max_kept_bytes.max(at_least), ..options };
        Self { shared: Arc::new(Shared { source, options, state: Mutex::default(), arrived: Condvar::new() }) }
    }

    /// Length of the file.
    pub fn n_bytes(&self) -> u64 {
        self.shared.source.n_bytes()
    }

    /// `len` bytes from `start` on: without a copy where they lie in one block, past the blocks where they are longer than two.
    ///
    /// # Errors
    ///
    /// Fails when the file does not have them, before anything is allocated, or when they cannot be read.
    pub fn bytes(&self, start: u64, len: usize) -> io::Result<Bytes> {
        let end = start.checked_add(len as u64).filter(|&end| end <= self.n_bytes());
        let end =
            end.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "bytes behind the end are asked for"))?;
        if len >= self.shared.options.block_bytes.saturating_mul(2) {
            let mut all = vec![0; len];
            self.shared.source.read_at(start, &mut all)?;
            return Ok(all.into());
        }
        let mut piece = self.piece(start, end)?;
        if piece.len() == len {
            return Ok(piece);
        }
        let mut all = Vec::with_capacity(len);
        loop {
            all.extend_from_slice(&piece);
            if all.len() == len {
                return Ok(all.into());
            }
            piece = self.piece(start + all.len() as u64, end)?;
        }
    }

    /// The bytes from `start` on up to the end of their block or `end`; none behind it.
    fn piece(&self, start: u64, end: u64) -> io::Result<Bytes> {
        if start >= end {
            return Ok(Bytes::new());
        }
        let block_bytes = self.shared.options.block_bytes as u64;
        let index = start / block_bytes;
        let block = Shared::block(&self.shared, index)?;
        let first = index * block_bytes;
        let stop = (end - first).min(block.len() as u64) as usize;
        Ok(block.slice((start - first) as usize..stop))
    }

    /// Reads from `start` up to `end`.
    pub fn reader(&self, start: u64, end: u64) -> BlockStream {
        BlockStream { blocks: self.clone(), position: start, end: end.min(self.n_bytes()), piece: Bytes::new() }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block(shared: &Arc<Self>, index: u64) -> io::Result<Bytes> {
        let mut state = shared.lock();
        loop {
            state.clock += 1;
            let now = state.clock;
            if let Some(kept) = state.kept.get_mut(&index) {
                kept.used = now;
                let bytes = kept.bytes.clone();
                Self::fetch_ahead(shared, &mut state, index);
                return Ok(bytes);
            }
            if state.coming.insert(index) {
                Self::fetch_ahead(shared, &mut state, index);
                drop(state);
                return shared.fetch(index);
            }
            state = shared.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads a block that is marked as coming, and keeps it.
    fn fetch(&self, index: u64) -> io::Result<Bytes> {
        let _arrival = Arrival { shared: self, index };
        let start = index * self.options.block_bytes as u64;
        let len = (self.source.n_bytes() - start).min(self.options.block_bytes as u64);
        let mut buffer = vec![0; len as usize];
        self.source.read_at(start, &mut buffer)?;
        let bytes = Bytes::from(buffer);
        let mut state = self.lock();
        state.clock += 1;
        let used = state.clock;
        state.kept.insert(index, Kept { bytes: bytes.clone(), used });
        let n_kept = self.options.max_kept_bytes / self.options.block_bytes;
        while state.kept.len() > n_kept {
            let oldest = state.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(&index, _)| index);
            oldest.and_then(|oldest| state.kept.remove(&oldest));
        }
        Ok(bytes)
    }

    /// Has the blocks behind `index` fetched by another thread, when the block before it was wanted too.
    fn fetch_ahead(shared: &Arc<Self>, state: &mut State, index: u64) {
        let block_bytes = shared.options.block_bytes as u64;
        if index > 0 && !state.kept.contains_key(&(index - 1)) {
            return;
        }
        let ahead = (index + 1..=index + shared.options.n_ahead)
            .take_while(|next| next * block_bytes < shared.source.n_bytes());
        let wanted: Vec<u64> =
            ahead.filter(|next| !state.kept.contains_key(next) && state.coming.insert(*next)).collect();
        if wanted.is_empty() {
            return;
        }
        let theirs = Arc::clone(shared);
        let fetched = wanted.clone();
        let started = thread::Builder::new().name("blt-read-ahead".to_owned()).spawn(move || {
            // A failure is told to whoever asks for the block: it is not kept, so it is tried again then.
            fetched.into_iter().for_each(|index| drop(theirs.fetch(index)));
        });
        if started.is_err() {
            state.coming.retain(|index| !wanted.contains(index));
        }
    }
}

/// However fetching ends, nobody waits for the block any longer.
struct Arrival<'a> {
    shared: &'a Shared,
    index: u64,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.shared.lock().coming.remove(&self.index);
        self.shared.arrived.notify_all();
    }
}

/// A stretch of a file, read from front to back.
pub struct BlockStream {
    blocks: Blocks,
    position: u64,
    end: u64,
    piece: Bytes,
}

impl Read for BlockStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self.blocks.piece(self.position, self.end)?;
            self.position += self.piece.len() as u64;
        }
        let n = self.piece.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}

impl parquet::file::reader::Length for Blocks {
    fn len(&self) -> u64 {
        self.n_bytes()
    }
}

impl parquet::file::reader::ChunkReader for Blocks {
    type T = BlockStream;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(self.reader(start, self.n_bytes()))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        Ok(self.bytes(start, length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what is asked of it.
    struct Counting {
        bytes: Vec<u8>,
        asked: Mutex<Vec<u64>>,
    }

    impl ReadAt for Counting {
        fn n_bytes(&self) -> u64 {
            self.bytes.n_bytes()
        }
        fn identity(&self) -> String {
            self.bytes.identity()
        }
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.asked.lock().unwrap().push(offset);
            self.bytes.read_at(offset, buffer)
        }
    }

    fn counting(n: usize) -> Arc<Counting> {
        Arc::new(Counting { bytes: (0..n).map(|i| (i % 251) as u8).collect(), asked: Mutex::default() })
    }

    const SMALL: BlockOptions = BlockOptions { block_bytes: 16, n_ahead: 2, max_kept_bytes: 64 };

    #[test]
    fn any_stretch_is_that_of_the_file() {
        let file = counting(1000);
        let blocks = Blocks::new(file.clone(), SMALL);
        for (start, len) in [(0, 1000), (15, 2), (16, 16), (999, 1), (1000, 0), (3, 500)] {
            assert_eq!(blocks.bytes(start, len).unwrap(), file.bytes[start as usize..start as usize + len]);
        }
        let mut read = Vec::new();
        blocks.reader(5, 700).read_to_end(&mut read).unwrap();
        assert_eq!(read, file.bytes[5..700]);
        assert!(blocks.bytes(999, 2).is_err());
        assert!(blocks.bytes(u64::MAX, usize::MAX).is_err());
    }

    #[test]
    fn reading_in_order_asks_for_every_block_once_and_keeps_few() {
        let file = counting(16 * 100);
        let blocks = Blocks::new(file.clone(), SMALL);
        for start in (0..1600).step_by(5) {
            blocks.bytes(start, 5).unwrap();
            assert!(blocks.shared.lock().kept.len() <= 4);
        }
        let mut asked = file.asked.lock().unwrap().clone();
        asked.sort_unstable();
        assert_eq!(asked, (0..100).map(|block| block * 16).collect::<Vec<_>>());
    }

    #[test]
    fn a_failed_read_is_told_and_tried_again() {
        struct Failing;
        impl ReadAt for Failing {
            fn n_bytes(&self) -> u64 {
                100
            }
            fn identity(&self) -> String {
                String::new()
            }
            fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
                Err(io::Error::other("gone"))
            }
        }
        let blocks = Blocks::new(Arc::new(Failing), SMALL);
        for _ in 0..3 {
            assert_eq!(blocks.bytes(40, 4).unwrap_err().to_string(), "gone");
        }
    }
}
