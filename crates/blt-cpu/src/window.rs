//! The keys and values that later tokens may still see: a ring of blocks, each behind its own lock, so that several
//! threads can follow each other through one document.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::buffer::Buffer;
use crate::element::Element;
use crate::kernels::{DEPTH, PANEL};

/// Positions of one block: the columns of a panel of keys, the depth of a panel of values.
pub(crate) const BLOCK: usize = PANEL;

const _: () = assert!(BLOCK.is_multiple_of(DEPTH), "a block of values is a whole number of steps");

/// One layer's keys and values. A block holds, for each key/value head, the keys as panels of depth `head_width` with
/// one column a position, then for each head the values as panels with one place of depth a position.
#[derive(Debug)]
pub(crate) struct Window<E> {
    blocks: Vec<RwLock<Block<E>>>,
    block_len: usize,
}

#[derive(Debug)]
pub(crate) struct Block<E> {
    /// Position of its first token divided by [`BLOCK`].
    pub(crate) index: u64,
    pub(crate) data: Buffer<E>,
}

impl<E: Element> Window<E> {
    /// A ring of `n_blocks` blocks of `block_len` elements.
    pub(crate) fn new(n_blocks: usize, block_len: usize) -> Self {
        let mut window = Self { blocks: Vec::new(), block_len };
        window.grow(n_blocks);
        window
    }

    /// Makes it a ring of at least `n_blocks` blocks that holds what it held.
    pub(crate) fn grow(&mut self, n_blocks: usize) {
        if n_blocks <= self.blocks.len() {
            return;
        }
        let mut old: Vec<Option<Block<E>>> = self
            .blocks
            .drain(..)
            .map(|block| Some(block.into_inner().unwrap_or_else(PoisonError::into_inner)))
            .collect();
        self.blocks = (0..n_blocks as u64)
            .map(|slot| {
                let kept =
                    old.iter_mut().find_map(|block| block.take_if(|block| block.index % n_blocks as u64 == slot));
                RwLock::new(kept.unwrap_or_else(|| Block { index: slot, data: Buffer::new(0) }))
            })
            .collect();
    }

    /// The block of positions `index * BLOCK` and on, to read. It must have been written.
    pub(crate) fn read(&self, index: u64) -> RwLockReadGuard<'_, Block<E>> {
        let block = self.slot(index).read().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(block.index, index, "the ring holds every block that can be seen");
        block
    }

    /// The same, to write; what another block left there is taken over. Its memory is there from the first time on, so a
    /// short document takes little.
    pub(crate) fn write(&self, index: u64) -> RwLockWriteGuard<'_, Block<E>> {
        let mut block = self.slot(index).write().unwrap_or_else(PoisonError::into_inner);
        block.index = index;
        if block.data.is_empty() {
            block.data = Buffer::new(self.block_len);
        }
        block
    }

    fn slot(&self, index: u64) -> &RwLock<Block<E>> {
        &self.blocks[(index % self.blocks.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grown_ring_holds_what_it_held() {
        let mut window = Window::<f32>::new(3, 2);
        for index in 5..8 {
            window.write(index).data[0] = index as f32;
        }
        window.grow(7);
        for index in 5..8 {
            assert_eq!(window.read(index).data[0], index as f32);
        }
        window.grow(2);
        assert_eq!(window.read(6).data[0], 6.0);
    }
}
