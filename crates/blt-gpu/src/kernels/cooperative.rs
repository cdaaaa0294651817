//! Products and attention on cooperative matrices of 16 by 16 numbers in float16, summed in float32.
//!
//! Four planes a cube. What a plane computes goes through shared memory before it is finished, as only its own lanes know
//! which of its numbers they hold. Sixteen bytes are loaded at a time: buffers are read as [`Eight`].

use cubecl::cmma::{self, MatrixIdent, MatrixLayout};
use cubecl::prelude::*;
use half::f16;

use super::{Epilogue, Finish, Four, finish};

/// Eight numbers in float16.
pub(crate) type Eight = Vector<u32, Const<4>>;

/// Rows and columns of a tile of a product.
pub(crate) const TILE: u32 = 128;
/// Lanes of a plane.
pub(crate) const PLANE: u32 = 32;
/// Planes of a cube.
pub(crate) const PLANES: u32 = 4;
/// Eights of a row that are multiplied between two barriers.
const DEPTH: u32 = 4;
/// Eights between rows in shared memory: one more than there are, so that rows begin in other banks.
const PITCH: u32 = DEPTH + 1;
/// Numbers between rows of a result in shared memory.
const RESULT_PITCH: u32 = 20;

/// `out = finish(a[m, k] * w[n, k]^T)`; a plane has a quarter of a tile. `depth` is `k` in eights.
#[cube(launch_unchecked)]
pub(crate) fn multiply<O: Float>(
    a: &[Eight],
    w: &[Eight],
    out: &mut [Four<O>],
    inputs: &Finish,
    depth: u32,
    #[comptime] epilogue: Epilogue,
) {
    let units = comptime!(PLANES * PLANE);
    // Of each side a unit brings so many eights.
    let loads = comptime!((TILE * DEPTH / units) as usize);
    let side = comptime!(TILE * PITCH);
    let mut tiles = Shared::<[Eight]>::new_slice(comptime!((4 * side) as usize));
    let mut results = Shared::<[f32]>::new_slice(comptime!((PLANES * 16 * RESULT_PITCH) as usize));
    let (row0, column0) = (CUBE_POS_Y * TILE, CUBE_POS_X * TILE);
    let unit = UNIT_POS;
    let (unit_row, unit_eight) = (unit / DEPTH, unit % DEPTH);
    let step = comptime!(units / DEPTH);
    let (plane_row, plane_column) = (UNIT_POS_Y / 2 * 64, UNIT_POS_Y % 2 * 64);

    let mut sums = Sequence::<cmma::Matrix<f32>>::new();
    #[unroll]
    for _ in 0..16u32 {
        let sum = cmma::Matrix::<f32>::from_value(
            MatrixIdent::Accumulator,
            16usize,
            16usize,
            16usize,
            MatrixLayout::Undefined,
            0.0f32,
        );
        sums.push(sum);
    }

    let mut next_a = Array::<Eight>::new(loads);
    let mut next_w = Array::<Eight>::new(loads);
    #[unroll]
    for i in 0..loads {
        let row = unit_row + i as u32 * step;
        next_a[i] = a[((row0 + row) * depth + unit_eight) as usize];
        next_w[i] = w[((column0 + row) * depth + unit_eight) as usize];
    }
    #[unroll]
    for i in 0..loads {
        let to = ((unit_row + i as u32 * step) * PITCH + unit_eight) as usize;
        tiles[to] = next_a[i];
        tiles[to + side as usize] = next_w[i];
    }
    sync_cube();

    let n_steps = depth / DEPTH;
    for index in 0..n_steps {
        if index + 1 < n_steps {
            let start = (index + 1) * DEPTH + unit_eight;
            #[unroll]
            for i in 0..loads {
                let row = unit_row + i as u32 * step;
                next_a[i] = a[((row0 + row) * depth + start) as usize];
                next_w[i] = w[((column0 + row) * depth + start) as usize];
            }
        }
        let buffer = index % 2 * comptime!(2 * side);
        #[unroll]
        for k in 0..comptime!(DEPTH / 2) {
            let mut rights = Sequence::<cmma::Matrix<f16>>::new();
            #[unroll]
            for j in 0..4u32 {
                let from = (buffer + side + (plane_column + j * 16) * PITCH + k * 2) as usize;
                rights.push(right(&tiles[from..]));
            }
            #[unroll]
            for i in 0..4u32 {
                let from = (buffer + (plane_row + i * 16) * PITCH + k * 2) as usize;
                let left = left(&tiles[from..]);
                #[unroll]
                for j in 0..4u32 {
                    let sum = sums.index(comptime!((i * 4 + j) as usize));
                    cmma::execute(&left, rights.index(comptime!(j as usize)), sum, sum);
                }
            }
        }
        if index + 1 < n_steps {
            let other = (index + 1) % 2 * comptime!(2 * side);
            #[unroll]
            for i in 0..loads {
                let to = (other + (unit_row + i as u32 * step) * PITCH + unit_eight) as usize;
                tiles[to] = next_a[i];
                tiles[to + side as usize] = next_w[i];
            }
        }
        sync_cube();
    }

    let result = UNIT_POS_Y * comptime!(16 * RESULT_PITCH);
    #[unroll]
    for i in 0..4u32 {
        #[unroll]
        for j in 0..4u32 {
            let sum = sums.index(comptime!((i * 4 + j) as usize));
            sync_plane();
            cmma::store(&mut results[result as usize..], sum, RESULT_PITCH, MatrixLayout::RowMajor);
            sync_plane();
            let (row, column) = (UNIT_POS_X / 2, UNIT_POS_X % 2 * 8);
            let from = (result + row * RESULT_PITCH + column) as usize;
            let mut low = Four::<f32>::empty();
            let mut high = Four::<f32>::empty();
            #[unroll]
            for c in 0..4usize {
                low.insert(c, results[from + c]);
                high.insert(c, results[from + 4 + c]);
            }
            let (row, column) = (row0 + plane_row + i * 16 + row, column0 + plane_column + j * 16 + column);
            finish::<O>(low, high, row, column, inputs, out, epilogue);
        }
    }
}

/// Sixteen rows of the left side.
#[cube]
fn left(from: &[Eight]) -> cmma::Matrix<f16> {
    let mut matrix = unsafe {
        cmma::Matrix::<f16>::uninitialized(MatrixIdent::A, 16usize, 16usize, 16usize, MatrixLayout::RowMajor)
    };
    // Strides count the numbers that are loaded at a time, times four.
    cmma::load(&mut matrix, from, comptime!(PITCH * 4));
    matrix
}

/// Sixteen columns of the right side, which lie as rows.
#[cube]
fn right(from: &[Eight]) -> cmma::Matrix<f16> {
    let mut matrix = unsafe {
        cmma::Matrix::<f16>::uninitialized(MatrixIdent::B, 16usize, 16usize, 16usize, MatrixLayout::ColMajor)
    };
    cmma::load(&mut matrix, from, comptime!(PITCH * 4));
    matrix
}

/// Queries of a cube of attention, and keys of a tile.
pub(crate) const QUERIES: u32 = 64;
/// Width of a head, in eights.
const HEAD: u32 = 8;
/// Eights between keys in shared memory.
const KEY_PITCH: u32 = HEAD + 1;
/// Fours between queries' scores and weights in shared memory.
const SCORE_PITCH: u32 = 18;
/// Lanes that share a query's scores.
const LANES_A_ROW: u32 = 2;
/// Fours of a query's scores.
const SCORES: u32 = 16;
/// What a query has summed is corrected once a score is more than this above the one that weights are relative to: a weight is
/// then at most e^8, which float16 holds as well as any.
const SLACK: f32 = 8.0;

/// `out[m, heads * 64]` = softmax attention of row `i` over rows `first_visible[i]` to `i`. A cube takes 64 rows of a head, a plane
/// 16 of them, tiles of 64 keys from the queries' own back. Tiles lie between fixed rows, and a query's weights are relative
/// to a score that its own keys decide on, so its result does not depend on the other queries. `stride` is a row of `qkv` in eights.
#[cube(launch_unchecked)]
pub(crate) fn attend(
    qkv: &[Eight],
    first_visible: &[u32],
    out: &mut [Four<f16>],
    stride: u32,
    n_heads: u32,
    n_kv_heads: u32,
) {
    let mut keys = Shared::<[Eight]>::new_slice(comptime!((QUERIES * KEY_PITCH) as usize));
    let mut values = Shared::<[Eight]>::new_slice(comptime!((QUERIES * KEY_PITCH) as usize));
    let mut scores = Shared::<[Four<f32>]>::new_slice(comptime!((QUERIES * SCORE_PITCH) as usize));
    let mut weights = Shared::<[Four<f16>]>::new_slice(comptime!((QUERIES * SCORE_PITCH) as usize));
    let n_fours = comptime!(SCORES / LANES_A_ROW);
    let head = CUBE_POS_X;
    let kv_head = head / (n_heads / n_kv_heads);
    let key_column = (n_heads + kv_head) * HEAD;
    let value_column = key_column + n_kv_heads * HEAD;
    let row0 = CUBE_POS_Y * QUERIES;
    // This plane's part of shared memory, and this lane's part of a row.
    let region = UNIT_POS_Y * comptime!(16 * SCORE_PITCH);
    let (lane_row, lane_four) = (UNIT_POS_X / LANES_A_ROW, UNIT_POS_X % LANES_A_ROW);
    let row = row0 + UNIT_POS_Y * 16 + lane_row;
    let lane_region = region + lane_row * SCORE_PITCH + lane_four;
    let first = first_visible[row as usize];
    let first_tile = first_visible[row0 as usize] / QUERIES;

    let mut queries = Sequence::<cmma::Matrix<f16>>::new();
    let mut sums = Sequence::<cmma::Matrix<f32>>::new();
    #[unroll]
    for k in 0..4u32 {
        let from = ((row0 + UNIT_POS_Y * 16) * stride + head * HEAD + k * 2) as usize;
        let mut query = unsafe {
            cmma::Matrix::<f16>::uninitialized(MatrixIdent::A, 16usize, 16usize, 16usize, MatrixLayout::RowMajor)
        };
        cmma::load(&mut query, &qkv[from..], stride * 4);
        queries.push(query);
        sums.push(zeros());
    }
    let mut largest = f32::new(-1.0e30);
    let mut total = 0.0f32;
    let n_tiles = CUBE_POS_Y - first_tile + 1;
    for index in 0..n_tiles {
        let tile = (CUBE_POS_Y - index) * QUERIES;
        sync_cube();
        for i in range_stepped(UNIT_POS, comptime!(QUERIES * HEAD), comptime!(PLANES * PLANE)) {
            let (key, eight) = (i / HEAD, i % HEAD);
            let from = (tile + key) * stride + eight;
            let to = (key * KEY_PITCH + eight) as usize;
            keys[to] = qkv[(from + key_column) as usize];
            values[to] = qkv[(from + value_column) as usize];
        }
        sync_cube();
        #[unroll]
        for j in 0..4u32 {
            let score = zeros();
            #[unroll]
            for k in 0..4u32 {
                let from = (j * 16 * KEY_PITCH + k * 2) as usize;
                let mut key = unsafe {
                    cmma::Matrix::<f16>::uninitialized(
                        MatrixIdent::B,
                        16usize,
                        16usize,
                        16usize,
                        MatrixLayout::ColMajor,
                    )
                };
                cmma::load(&mut key, &keys[from..], comptime!(KEY_PITCH * 4));
                cmma::execute(queries.index(comptime!(k as usize)), &key, &score, &score);
            }
            let to = (region + j * 4) as usize;
            cmma::store(&mut scores[to..], &score, comptime!(SCORE_PITCH * 4), MatrixLayout::RowMajor);
        }
        sync_plane();

        let mut own = Array::<Four<f32>>::new(n_fours as usize);
        let mut above = f32::new(-1.0e30);
        #[unroll]
        for c in 0..n_fours {
            let key = tile + (c * LANES_A_ROW + lane_four) * 4;
            let mut values = scores[(lane_region + c * LANES_A_ROW) as usize];
            #[unroll]
            for e in 0..4u32 {
                let is_seen = key + e >= first && key + e <= row;
                let score = select(is_seen, values.extract(e as usize), f32::new(-1.0e30));
                values.insert(e as usize, score);
                above = max(above, score);
            }
            own[c as usize] = values;
        }
        above = max(above, plane_shuffle_xor(above, 1u32));
        let mut correction = 1.0f32;
        if index == 0 {
            largest = above;
        } else if above > largest + SLACK {
            correction = (largest - above).exp();
            largest = above;
        }
        let mut sum = 0.0f32;
        #[unroll]
        for c in 0..n_fours {
            let mut weight = Four::<f32>::empty();
            #[unroll]
            for e in 0..4usize {
                let value = (own[c as usize].extract(e) - largest).exp();
                weight.insert(e, value);
                sum += value;
            }
            weights[(lane_region + c * LANES_A_ROW) as usize] = Four::<f16>::cast_from(weight);
        }
        sum += plane_shuffle_xor(sum, 1u32);
        total = total * correction + sum;
        if plane_any(correction < 1.0f32) {
            sync_plane();
            #[unroll]
            for j in 0..4u32 {
                let to = (region + j * 4) as usize;
                let sum = sums.index(comptime!(j as usize));
                cmma::store(&mut scores[to..], sum, comptime!(SCORE_PITCH * 4), MatrixLayout::RowMajor);
            }
            sync_plane();
            #[unroll]
            for c in 0..n_fours {
                let at = (lane_region + c * LANES_A_ROW) as usize;
                let corrected = scores[at] * Four::<f32>::new(correction);
                scores[at] = corrected;
            }
            sync_plane();
            #[unroll]
            for j in 0..4u32 {
                let from = (region + j * 4) as usize;
                let sum = sums.index_mut(comptime!(j as usize));
                cmma::load_with_layout(sum, &scores[from..], comptime!(SCORE_PITCH * 4), MatrixLayout::RowMajor);
            }
        }
        sync_plane();
        #[unroll]
        for k in 0..4u32 {
            let from = (region + k * 4) as usize;
            let mut weight = unsafe {
                cmma::Matrix::<f16>::uninitialized(MatrixIdent::A, 16usize, 16usize, 16usize, MatrixLayout::RowMajor)
            };
            cmma::load(&mut weight, &weights[from..], comptime!(SCORE_PITCH * 4));
            #[unroll]
            for j in 0..4u32 {
                let from = (k * 16 * KEY_PITCH + j * 2) as usize;
                let mut value = unsafe {
                    cmma::Matrix::<f16>::uninitialized(
                        MatrixIdent::B,
                        16usize,
                        16usize,
                        16usize,
                        MatrixLayout::RowMajor,
                    )
                };
                cmma::load(&mut value, &values[from..], comptime!(KEY_PITCH * 4));
                let sum = sums.index(comptime!(j as usize));
                cmma::execute(&weight, &value, sum, sum);
            }
        }
    }
    #[unroll]
    for j in 0..4u32 {
        let to = (region + j * 4) as usize;
        let sum = sums.index(comptime!(j as usize));
        cmma::store(&mut scores[to..], sum, comptime!(SCORE_PITCH * 4), MatrixLayout::RowMajor);
    }
    sync_plane();
    let factor = Four::<f32>::new(1.0f32 / total);
    #[unroll]
    for c in 0..n_fours {
        let values = scores[(lane_region + c * LANES_A_ROW) as usize] * factor;
        let at = (row * n_heads + head) * SCORES + c * LANES_A_ROW + lane_four;
        out[at as usize] = Four::<f16>::cast_from(values);
    }
}

/// Sixteen rows and columns of sums that are nothing yet.
#[cube]
fn zeros() -> cmma::Matrix<f32> {
    cmma::Matrix::<f32>::from_value(
        MatrixIdent::Accumulator,
        16usize,
        16usize,
        16usize,
        MatrixLayout::Undefined,
        0.0f32,
    )
}
