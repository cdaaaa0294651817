//! What is done to each row, or each number, alone: 64 units a row, four rows a cube.

use cubecl::prelude::*;

use super::Four;

/// Units that share a row.
pub(crate) const UNITS: u32 = 64;
/// Rows of a cube.
pub(crate) const ROWS_A_CUBE: u32 = 4;

/// `x[m, d] = table[token]`; `width` is `d` in fours.
#[cube(launch_unchecked)]
pub(crate) fn embed<F: Float>(tokens: &[u32], table: &[Four<F>], x: &mut [Four<F>], width: u32) {
    let row = CUBE_POS_Y * ROWS_A_CUBE + UNIT_POS_Y;
    let from = tokens[row as usize] * width;
    for column in range_stepped(UNIT_POS_X, width, UNITS) {
        x[(row * width + column) as usize] = table[(from + column) as usize];
    }
}

/// Sums over the units of a row.
#[cube]
fn sum_of_row(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    sync_cube();
    shared[unit] = value;
    sync_cube();
    #[unroll]
    for step in 0..6u32 {
        let distance = comptime!(32u32 >> step);
        if UNIT_POS_X < distance {
            let other = shared[unit + distance as usize];
            shared[unit] += other;
        }
        sync_cube();
    }
    shared[(UNIT_POS_Y * UNITS) as usize]
}

/// The largest over the units of a row.
#[cube]
fn max_of_row(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS as usize;
    sync_cube();
    shared[unit] = value;
    sync_cube();
    #[unroll]
    for step in 0..6u32 {
        let distance = comptime!(32u32 >> step);
        if UNIT_POS_X < distance {
            let other = shared[unit + distance as usize];
            shared[unit] = max(shared[unit], other);
        }
        sync_cube();
    }
    shared[(UNIT_POS_Y * UNITS) as usize]
}

/// For each row of `x[m, d]` its L2 norm, and one over its root mean square over `n_columns`. `width` is `d` in fours.
#[cube(launch_unchecked)]
pub(crate) fn measure_rows<F: Float>(
    x: &[Four<F>],
    scales: &mut [f32],
    norms: &mut [f32],
    width: u32,
    n_columns: f32,
    eps: f32,
) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!((UNITS * ROWS_A_CUBE) as usize));
    let row = CUBE_POS_Y * ROWS_A_CUBE + UNIT_POS_Y;
    let mut sum = 0.0f32;
    for column in range_stepped(UNIT_POS_X, width, UNITS) {
        let values = Four::<f32>::cast_from(x[(row * width + column) as usize]);
        let squares = values * values;
        sum += squares.extract(0usize) + squares.extract(1usize) + squares.extract(2usize) + squares.extract(3usize);
    }
    let sum = sum_of_row(sum, &mut shared);
    if UNIT_POS_X == 0 {
        scales[row as usize] = 1.0f32 / (sum / n_columns + eps).sqrt();
        norms[row as usize] = sum.sqrt();
    }
}

/// Entropy in nats of `softmax(logits[m, 0..n])`; rows are `stride` apart.
#[cube(launch_unchecked)]
pub(crate) fn entropy(logits: &[f32], out: &mut [f32], stride: u32, n: u32) {
    let mut shared = Shared::<[f32]>::new_slice(comptime!((UNITS * ROWS_A_CUBE) as usize));
    let row = CUBE_POS_Y * ROWS_A_CUBE + UNIT_POS_Y;
    let start = row * stride;
    let mut largest = f32::new(-3.0e38);
    for column in range_stepped(UNIT_POS_X, n, UNITS) {
        largest = max(largest, logits[(start + column) as usize]);
    }
    let largest = max_of_row(largest, &mut shared);
    let mut total = 0.0f32;
    let mut weighted = 0.0f32;
    for column in range_stepped(UNIT_POS_X, n, UNITS) {
        let score = logits[(start + column) as usize] - largest;
        // Beyond this a weight is none, and the product with it must not be one of zero and infinity.
        let weight = score.exp();
        total += weight;
        weighted += weight * max(score, -1.0e4f32);
    }
    let total = sum_of_row(total, &mut shared);
    let weighted = sum_of_row(weighted, &mut shared);
    if UNIT_POS_X == 0 {
        let nats = total.ln() - weighted / total;
        out[row as usize] = select(nats < 0.0f32, 0.0f32, nats);
    }
}

/// Copies `n` fours.
#[cube(launch_unchecked)]
pub(crate) fn copy<F: Float>(from: &[Four<F>], to: &mut [Four<F>], width: u32) {
    let row = CUBE_POS_Y * ROWS_A_CUBE + UNIT_POS_Y;
    for column in range_stepped(UNIT_POS_X, width, UNITS) {
        to[(row * width + column) as usize] = from[(row * width + column) as usize];
    }
}

/// `out[n_rows, width]` = the first `width` columns of `x[.., stride]` from `first_row` on.
#[cube(launch_unchecked)]
pub(crate) fn widen<F: Float>(x: &[F], out: &mut [f32], first_row: u32, n_rows: u32, stride: u32, width: u32) {
    let row = CUBE_POS_Y * ROWS_A_CUBE + UNIT_POS_Y;
    if row < n_rows {
        for column in range_stepped(UNIT_POS_X, width, UNITS) {
            out[(row * width + column) as usize] = f32::cast_from(x[((first_row + row) * stride + column) as usize]);
        }
    }
}

/// `sums[i, width]` of rows `ranges[2 i]` to `ranges[2 i + 1]` of `x[.., stride]`, added in order. One row of units a range.
#[cube(launch_unchecked)]
pub(crate) fn sum_ranges<F: Float>(x: &[F], ranges: &[u32], sums: &mut [f32], n_ranges: u32, stride: u32, width: u32) {
    let range = CUBE_POS_Y * ROWS_A_CUBE + UNIT_POS_Y;
    if range < n_ranges {
        let first = ranges[(range * 2) as usize];
        let end = ranges[(range * 2 + 1) as usize];
        for column in range_stepped(UNIT_POS_X, width, UNITS) {
            let mut sum = 0.0f32;
            for row in first..end {
                sum += f32::cast_from(x[(row * stride + column) as usize]);
            }
            sums[(range * width + column) as usize] = sum;
        }
    }
}

/// What a document keeps lies in a slot, `[slots, layers, rows, width]`; each segment of the step is four numbers: its slot, its
/// first row, how many of its rows are kept ones, and how many rows it has. `width` and `stride` are in fours.
#[derive(CubeType, CubeLaunch)]
pub(crate) struct KeptLayout {
    /// Fours of a slot.
    pub(crate) slot: u32,
    /// Where the layer begins in a slot.
    pub(crate) layer: u32,
    /// Keys and values of a position.
    pub(crate) width: u32,
    /// A row of `qkv`.
    pub(crate) stride: u32,
    /// Where keys begin in it.
    pub(crate) keys: u32,
    /// Most rows kept.
    pub(crate) n_rows: u32,
}

/// Rows of a segment that are kept ones get their keys and values.
#[cube(launch_unchecked)]
pub(crate) fn restore_kept<F: Float>(segments: &[u32], kept: &[Four<F>], qkv: &mut [Four<F>], layout: &KeptLayout) {
    let segment = (CUBE_POS_Y * 4) as usize;
    if CUBE_POS_X < segments[segment + 2] {
        let from = segments[segment] * layout.slot + layout.layer + CUBE_POS_X * layout.width;
        let to = (segments[segment + 1] + CUBE_POS_X) * layout.stride + layout.keys;
        for column in range_stepped(UNIT_POS_X, layout.width, UNITS) {
            qkv[(to + column) as usize] = kept[(from + column) as usize];
        }
    }
}

/// The last rows of a segment are kept for its next piece.
#[cube(launch_unchecked)]
pub(crate) fn save_kept<F: Float>(segments: &[u32], kept: &mut [Four<F>], qkv: &[Four<F>], layout: &KeptLayout) {
    let segment = (CUBE_POS_Y * 4) as usize;
    let n_rows = segments[segment + 3];
    let n = min(layout.n_rows, n_rows);
    if CUBE_POS_X < n {
        let to = segments[segment] * layout.slot + layout.layer + CUBE_POS_X * layout.width;
        let from = (segments[segment + 1] + n_rows - n + CUBE_POS_X) * layout.stride + layout.keys;
        for column in range_stepped(UNIT_POS_X, layout.width, UNITS) {
            kept[(to + column) as usize] = qkv[(from + column) as usize];
        }
    }
}
