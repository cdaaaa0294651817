//! Window attention in tiles of queries.

use crate::element::Element;
use crate::kernels::{Active, PANEL, Product};
use crate::transformer::{Chunk, Scratch, Transformer};
use crate::window::{BLOCK, Window};

/// Queries computed together: few, so that little is computed outside the window.
pub(crate) const TILE: usize = 32;

/// Softmax attention of the chunk's queries in `scratch.q` over the blocks of `window`; the result replaces the queries.
pub(crate) fn attend<E: Element>(
    transformer: &Transformer<E>,
    kernels: &Active<'_, E>,
    chunk: &Chunk<'_>,
    window: &Window<E>,
    scratch: &mut Scratch<E>,
) {
    let rows = chunk.tokens.len();
    let first_block = chunk.first_visible[0] / BLOCK as u64;
    let last_block = (chunk.position + rows as u64 - 1) / BLOCK as u64;
    let guards: Vec<_> = (first_block..=last_block).map(|index| window.read(index)).collect();
    let blocks: Vec<&[E]> = guards.iter().map(|block| &block.data[..]).collect();
    // One head's keys and values stay near while its tiles go by; those of all heads would not.
    for head in 0..transformer.config.n_heads {
        for first in (0..rows).step_by(TILE) {
            let rows = first..rows.min(first + TILE);
            let from = (chunk.first_visible[first] / BLOCK as u64 - first_block) as usize;
            let to = ((chunk.position + rows.end as u64 - 1) / BLOCK as u64 - first_block) as usize + 1;
            let first_key = (first_block + from as u64) * BLOCK as u64;
            let tile = Tile { first_row: rows.start, rows: rows.len(), first_key, blocks: &blocks[from..to] };
            tile.attend(transformer, kernels, chunk, head, scratch);
        }
    }
}

/// Some queries and the blocks that any of them sees.
struct Tile<'a, E> {
    /// Its first query's row in the chunk.
    first_row: usize,
    rows: usize,
    /// Position of the first key of the first block.
    first_key: u64,
    blocks: &'a [&'a [E]],
}

impl<E: Element> Tile<'_, E> {
    fn attend(
        &self,
        transformer: &Transformer<E>,
        kernels: &Active<'_, E>,
        chunk: &Chunk<'_>,
        head: usize,
        scratch: &mut Scratch<E>,
    ) {
        let config = &transformer.config;
        let (width, q_stride) = (transformer.head_width, transformer.q_stride());
        let kv_head = head / (config.n_heads / config.n_kv_heads);
        let keys_at = kv_head * width * BLOCK;
        let values_at = config.n_kv_heads * width * BLOCK + keys_at;
        let n_keys = self.blocks.len() * BLOCK;
        let weight_stride = n_keys + 64 / size_of::<E>();
        let Scratch { q, scores, weights, workspace, .. } = scratch;
        let block = &mut workspace.block;
        let q = &mut q[self.first_row * q_stride + head * width..];
        for (n, block) in self.blocks.iter().enumerate() {
            kernels.product(Product {
                a: q,
                a_stride: q_stride,
                rows: self.rows,
                blocks: &[block],
                offset: keys_at,
                k: width,
                c: &mut scores[n * BLOCK..],
                c_stride: n_keys,
                accumulate: false,
                ahead: None,
            });
        }
        let mut factors = [0.0; TILE];
        for (row, factor) in factors[..self.rows].iter_mut().enumerate() {
            let token = self.first_row + row;
            let lo = chunk.first_visible[token].saturating_sub(self.first_key) as usize;
            let hi = (chunk.position + token as u64 + 1 - self.first_key) as usize;
            let scores = &mut scores[row * n_keys..(row + 1) * n_keys];
            *factor = kernels.softmax(scores, lo, hi, &mut weights[row * weight_stride..][..n_keys]);
        }
        for panel in 0..width / PANEL {
            kernels.product(Product {
                a: weights,
                a_stride: weight_stride,
                rows: self.rows,
                blocks: self.blocks,
                offset: values_at + panel * PANEL * BLOCK,
                k: BLOCK,
                c: block,
                c_stride: PANEL,
                accumulate: false,
                ahead: None,
            });
            kernels.store_scaled(&block[..self.rows * PANEL], &factors, &mut q[panel * PANEL..], q_stride);
        }
    }
}
