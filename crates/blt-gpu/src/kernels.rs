//! Kernels, and what products do with their results.
//!
//! Matrices lie row by row; their widths are multiples of [`TILE_COLUMNS`](crate::layout) and their rows of
//! [`ROWS`](crate::step), so no kernel looks whether it is at an edge. Numbers are stored in `F`, and summed in float32.

#![allow(unsafe_code, reason = "kernels look at no edges, and matrices begin as nothing")]

pub(crate) mod cooperative;
pub(crate) mod elementwise;
pub(crate) mod plain;

use cubecl::prelude::*;

/// Four numbers that are loaded and stored together.
pub(crate) type Four<F> = Vector<F, Const<4>>;
/// Two of them: cosine and sine.
pub(crate) type Two = Vector<f32, Const<2>>;

/// What happens to a product before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Epilogue {
    /// Rows are divided by their root mean square, queries and keys turned, queries scaled.
    Qkv,
    /// Rows are divided by their root mean square; of each pair of columns, gate and up, remains `silu(gate) * up`.
    SwiGlu,
    /// Added to what is stored.
    Residual,
    /// Rows are divided by their root mean square.
    Logits,
}

/// What products know of rows and columns.
#[derive(CubeType, CubeLaunch)]
pub(crate) struct Finish {
    /// One over the root mean square of each row.
    pub(crate) scales: Box<[f32]>,
    /// Cosines and sines, `[angle rows, half]`.
    pub(crate) angles: Box<[Two]>,
    /// For each row its row in `angles`.
    pub(crate) angle_rows: Box<[u32]>,
    /// Half of a head.
    pub(crate) half: u32,
    /// Columns that are turned: queries and keys.
    pub(crate) n_rotated: u32,
    /// Columns that are queries.
    pub(crate) n_queries: u32,
    /// What queries are multiplied with.
    pub(crate) query_scale: f32,
    /// Columns stored, in fours.
    pub(crate) out_fours: u32,
}

/// Stores eight neighbouring columns of a row of a product.
#[cube]
pub(crate) fn finish<O: Float>(
    low: Four<f32>,
    high: Four<f32>,
    row: u32,
    column: u32,
    inputs: &Finish,
    out: &mut [Four<O>],
    #[comptime] epilogue: Epilogue,
) {
    let line = row * inputs.out_fours;
    if comptime!(epilogue == Epilogue::Residual) {
        let at = (line + column / 4) as usize;
        out[at] = Four::<O>::cast_from(Four::<f32>::cast_from(out[at]) + low);
        out[at + 1] = Four::<O>::cast_from(Four::<f32>::cast_from(out[at + 1]) + high);
    } else {
        let scale = Four::<f32>::new(inputs.scales[row as usize]);
        let low = low * scale;
        let high = high * scale;
        if comptime!(epilogue == Epilogue::SwiGlu) {
            let mut result = Four::<f32>::empty();
            result.insert(0usize, swiglu(low.extract(0usize), low.extract(1usize)));
            result.insert(1usize, swiglu(low.extract(2usize), low.extract(3usize)));
            result.insert(2usize, swiglu(high.extract(0usize), high.extract(1usize)));
            result.insert(3usize, swiglu(high.extract(2usize), high.extract(3usize)));
            out[(line + column / 8) as usize] = Four::<O>::cast_from(result);
        } else {
            let at = (line + column / 4) as usize;
            if comptime!(epilogue == Epilogue::Qkv) {
                out[at] = Four::<O>::cast_from(turn(low, row, column, inputs));
                out[at + 1] = Four::<O>::cast_from(turn(high, row, column + 4, inputs));
            } else {
                out[at] = Four::<O>::cast_from(low);
                out[at + 1] = Four::<O>::cast_from(high);
            }
        }
    }
}

/// `silu(gate) * up`.
#[cube]
fn swiglu(gate: f32, up: f32) -> f32 {
    gate / (1.0f32 + (-gate).exp()) * up
}

/// Two pairs of a query or key, turned by the angles of their row; values as they are.
#[cube]
fn turn(values: Four<f32>, row: u32, column: u32, inputs: &Finish) -> Four<f32> {
    let mut result = values;
    if column < inputs.n_rotated {
        let pair = column / 2 % inputs.half;
        let at = (inputs.angle_rows[row as usize] * inputs.half + pair) as usize;
        let first = inputs.angles[at];
        let second = inputs.angles[at + 1];
        let (a, b, c, d) =
            (values.extract(0usize), values.extract(1usize), values.extract(2usize), values.extract(3usize));
        result.insert(0usize, a * first.extract(0usize) - b * first.extract(1usize));
        result.insert(1usize, a * first.extract(1usize) + b * first.extract(0usize));
        result.insert(2usize, c * second.extract(0usize) - d * second.extract(1usize));
        result.insert(3usize, c * second.extract(1usize) + d * second.extract(0usize));
        if column < inputs.n_queries {
            result *= Four::<f32>::new(inputs.query_scale);
        }
    }
    result
}
