//! Products and attention without cooperative matrices, for any adapter and any number type.

use cubecl::prelude::*;

use super::{Epilogue, Finish, Four, finish};

/// Rows of a tile of a product.
pub(crate) const TILE_ROWS: u32 = 64;
/// Columns of a tile of a product.
pub(crate) const TILE_COLUMNS: u32 = 128;
/// Units of a cube, square.
pub(crate) const SIDE: u32 = 16;
/// What is summed between two barriers.
const DEPTH: u32 = 16;
/// Queries of a cube of attention, one a unit.
pub(crate) const QUERIES: u32 = 64;
/// Keys that lie in shared memory.
const KEYS: u32 = 32;

/// `out = finish(a[m, k] * w[n, k]^T)`; a unit has 4 rows and 8 columns. `depth` is `k` in fours.
#[cube(launch_unchecked)]
pub(crate) fn multiply<F: Float, O: Float>(
    a: &[Four<F>],
    w: &[Four<F>],
    out: &mut [Four<O>],
    inputs: &Finish,
    depth: u32,
    #[comptime] epilogue: Epilogue,
) {
    // Transposed: what a unit reads of one depth lies together.
    let mut lefts = Shared::<[f32]>::new_slice(comptime!((DEPTH * TILE_ROWS) as usize));
    let mut rights = Shared::<[f32]>::new_slice(comptime!((DEPTH * TILE_COLUMNS) as usize));
    let (row0, column0) = (CUBE_POS_Y * TILE_ROWS, CUBE_POS_X * TILE_COLUMNS);
    let (x, y) = (UNIT_POS_X, UNIT_POS_Y);
    let mut sums = Array::<f32>::new(32usize);
    #[unroll]
    for i in 0..32usize {
        sums[i] = 0.0f32;
    }
    let fours = comptime!(DEPTH / 4);
    for start in range_stepped(0u32, depth, fours) {
        sync_cube();
        // 256 units bring 64 rows of 4 fours, then 128.
        let (row, four) = (UNIT_POS / fours, UNIT_POS % fours);
        let left = Four::<f32>::cast_from(a[((row0 + row) * depth + start + four) as usize]);
        #[unroll]
        for i in 0..4u32 {
            lefts[((four * 4 + i) * TILE_ROWS + row) as usize] = left.extract(i as usize);
        }
        #[unroll]
        for part in 0..2u32 {
            let row = row + part * 64;
            let right = Four::<f32>::cast_from(w[((column0 + row) * depth + start + four) as usize]);
            #[unroll]
            for i in 0..4u32 {
                rights[((four * 4 + i) * TILE_COLUMNS + row) as usize] = right.extract(i as usize);
            }
        }
        sync_cube();
        for k in 0..DEPTH {
            #[unroll]
            for i in 0..4u32 {
                let left = lefts[(k * TILE_ROWS + y * 4 + i) as usize];
                #[unroll]
                for j in 0..8u32 {
                    sums[comptime!((i * 8 + j) as usize)] += left * rights[(k * TILE_COLUMNS + x * 8 + j) as usize];
                }
            }
        }
    }
    #[unroll]
    for i in 0..4u32 {
        let mut low = Four::<f32>::empty();
        let mut high = Four::<f32>::empty();
        #[unroll]
        for j in 0..4usize {
            low.insert(j, sums[comptime!(i as usize * 8 + j)]);
            high.insert(j, sums[comptime!(i as usize * 8 + 4 + j)]);
        }
        finish::<O>(low, high, row0 + y * 4 + i, column0 + x * 8, inputs, out, epilogue);
    }
}

/// `out[m, heads * head]` = softmax attention of row `i` over rows `first_visible[i]` to `i`, keys in their order. A cube takes 64
/// rows of a head. `stride` is a row of `qkv`, and `head` a head, in fours.
#[cube(launch_unchecked)]
pub(crate) fn attend<F: Float>(
    qkv: &[Four<F>],
    first_visible: &[u32],
    out: &mut [Four<F>],
    stride: u32,
    n_heads: u32,
    n_kv_heads: u32,
    #[comptime] head: u32,
) {
    let mut keys = Shared::<[Four<f32>]>::new_slice(comptime!((KEYS * head) as usize));
    let mut values = Shared::<[Four<f32>]>::new_slice(comptime!((KEYS * head) as usize));
    let head_index = CUBE_POS_Y;
    let kv_head = head_index / (n_heads / n_kv_heads);
    let row0 = CUBE_POS_X * QUERIES;
    let row = row0 + UNIT_POS;
    let first = first_visible[row as usize];
    let mut query = Array::<Four<f32>>::new(head as usize);
    let mut sums = Array::<Four<f32>>::new(head as usize);
    #[unroll]
    for c in 0..head {
        query[c as usize] = Four::<f32>::cast_from(qkv[(row * stride + head_index * head + c) as usize]);
        sums[c as usize] = Four::<f32>::new(0.0f32);
    }
    let mut largest = f32::new(-1.0e30);
    let mut total = 0.0f32;
    let start = first_visible[row0 as usize] / KEYS * KEYS;
    for tile in range_stepped(start, row0 + QUERIES, KEYS) {
        sync_cube();
        for i in range_stepped(UNIT_POS, comptime!(KEYS * head), QUERIES) {
            let (key, c) = (i / head, i % head);
            let at = (tile + key) * stride + (n_heads + kv_head) * head + c;
            keys[i as usize] = Four::<f32>::cast_from(qkv[at as usize]);
            values[i as usize] = Four::<f32>::cast_from(qkv[(at + n_kv_heads * head) as usize]);
        }
        sync_cube();
        for j in 0..KEYS {
            if tile + j >= first && tile + j <= row {
                let mut products = Four::<f32>::new(0.0f32);
                #[unroll]
                for c in 0..head {
                    products += query[c as usize] * keys[(j * head + c) as usize];
                }
                let score = products.extract(0usize)
                    + products.extract(1usize)
                    + products.extract(2usize)
                    + products.extract(3usize);
                if score > largest {
                    let correction = (largest - score).exp();
                    largest = score;
                    total *= correction;
                    #[unroll]
                    for c in 0..head {
                        sums[c as usize] *= Four::<f32>::new(correction);
                    }
                }
                let weight = (score - largest).exp();
                total += weight;
                #[unroll]
                for c in 0..head {
                    sums[c as usize] += Four::<f32>::new(weight) * values[(j * head + c) as usize];
                }
            }
        }
    }
    #[unroll]
    for c in 0..head {
        let at = (row * n_heads + head_index) * head + c;
        out[at as usize] = Four::<F>::cast_from(sums[c as usize] / Four::<f32>::new(total));
    }
}
