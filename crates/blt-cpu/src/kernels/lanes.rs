//! Everything but the matrix products, written over arrays of 16 lanes so that the compiler makes vector code of it for
//! whichever instructions the caller is compiled for. The functions are inlined into one copy per instruction set; the
//! copy without any is the plain twin in the tests.
//!
//! Blocks are `rows` of [`PANEL`] columns, row by row: what one panel of weights gives.

use super::{INT4_GROUP, PANEL};
use crate::element::{Bf16, Element};

/// Numbers handled together; a 512-bit register of float32.
pub(crate) const LANES: usize = 16;

/// How the steps are computed for which processors differ.
pub(crate) trait Arithmetic {
    /// `a * b + c`.
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;

    /// Rounded to nearest, ties to even.
    #[inline(always)]
    fn to_bf16(values: [f32; LANES]) -> [Bf16; LANES] {
        values.map(Bf16::from_f32)
    }
}

/// With one rounding, where the instruction exists.
pub(super) struct Fused;
/// With two.
pub(super) struct Separate;
/// With one rounding, and the AVX-512 instruction that rounds to bfloat16. Only for code compiled for it.
#[cfg(target_arch = "x86_64")]
pub(super) struct FusedBf16;

impl Arithmetic for Fused {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

impl Arithmetic for Separate {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

#[cfg(target_arch = "x86_64")]
impl Arithmetic for FusedBf16 {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    /// Denormals become zero.
    #[inline(always)]
    fn to_bf16(values: [f32; LANES]) -> [Bf16; LANES] {
        use std::arch::x86_64::{__m256bh, _mm512_cvtneps_pbh, _mm512_loadu_ps};
        // SAFETY: the table with this type holds only functions compiled for AVX512-BF16, and is made only where the
        // processor has it. Sixteen bfloat16 numbers are 256 bits, in memory order.
        unsafe {
            let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(values.as_ptr()));
            std::mem::transmute::<__m256bh, [Bf16; LANES]>(rounded)
        }
    }
}

/// `2^x` for `x` up to 126, to 2e-7 relatively, or to 1e-4 when not `EXACT`. Below -125 it stays at `2^-125`.
#[inline(always)]
fn exp2<A: Arithmetic, const EXACT: bool>(x: [f32; LANES]) -> [f32; LANES] {
    /// Adding it leaves a float32 no bits below the point.
    const ROUND: f32 = 12_582_912.0;
    let mut result = [0.0; LANES];
    for (result, x) in result.iter_mut().zip(x) {
        let x = if x < -125.0 { -125.0 } else { x };
        let shifted = x + ROUND;
        let fraction = x - (shifted - ROUND);
        let power = if EXACT {
            // The series of 2^f: ln(2)^k / k!.
            polynomial::<A, 7>(
                [1.540_353_1e-4, 1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 0.240_226_5, std::f32::consts::LN_2, 1.0],
                fraction,
            )
        } else {
            // Of all cubics the one with the smallest relative error between -1/2 and 1/2.
            polynomial::<A, 4>([5.517_167e-2, 0.242_611_12, 0.693_261, 0.999_928_1], fraction)
        };
        // The low bits of `shifted` are the whole part: move them to the exponent.
        *result = f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23));
    }
    result
}

/// Horner's rule, the highest coefficient first.
#[inline(always)]
fn polynomial<A: Arithmetic, const N: usize>(coefficients: [f32; N], x: f32) -> f32 {
    let mut sum = coefficients[0];
    for &coefficient in &coefficients[1..] {
        sum = A::multiply_add(sum, x, coefficient);
    }
    sum
}

/// `1 / x` for `x` between 1 and 2^120, to 1e-6 relatively: a guess from the bits and three steps of Newton's method.
/// Division takes several times as long.
#[inline(always)]
fn reciprocal<A: Arithmetic>(x: f32) -> f32 {
    let mut guess = f32::from_bits(0x7EF3_11C7_u32.wrapping_sub(x.to_bits()));
    for _ in 0..3 {
        guess *= A::multiply_add(-x, guess, 2.0);
    }
    guess
}

#[inline(always)]
fn lanes(x: &[f32]) -> &[[f32; LANES]] {
    x.as_chunks().0
}

/// The lanes combined in halves.
#[inline(always)]
fn reduce(lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    // Without the barrier the compiler cuts the loop before into pairs of lanes, to suit this tree.
    let lanes = std::hint::black_box(lanes);
    let halves = |i: usize| combine(lanes[i], lanes[i + 8]);
    let quarters = |i: usize| combine(halves(i), halves(i + 4));
    combine(combine(quarters(0), quarters(2)), combine(quarters(1), quarters(3)))
}

#[inline(always)]
fn total(lanes: [f32; LANES]) -> f32 {
    reduce(lanes, |a, b| a + b)
}

/// The largest number, four registers at a time so that none waits for itself.
#[inline(always)]
fn largest(chunks: &[[f32; LANES]]) -> f32 {
    const WIDE: usize = 4 * LANES;
    let (fours, rest) = chunks.as_flattened().as_chunks::<WIDE>();
    let mut wide = [f32::NEG_INFINITY; WIDE];
    for four in fours {
        for (a, &b) in wide.iter_mut().zip(four) {
            *a = larger(*a, b);
        }
    }
    let mut all = [f32::NEG_INFINITY; LANES];
    for chunk in wide.as_chunks::<LANES>().0.iter().chain(rest.as_chunks::<LANES>().0) {
        for (a, &b) in all.iter_mut().zip(chunk) {
            *a = larger(*a, b);
        }
    }
    reduce(all, larger)
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Sum of squares: whole lanes side by side, then the lanes, then the rest.
#[inline(always)]
fn sum_of_squares<A: Arithmetic>(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum = A::multiply_add(x, x, *sum);
        }
    }
    rest.iter().fold(total(sums), |sum, &x| sum + x * x)
}

/// `x / rms(x) * gamma` for each row of `gamma.len()`, to the front of rows of `stride`.
#[inline(always)]
pub(super) fn rms_norm<A: Arithmetic, E: Element>(x: &[f32], gamma: &[f32], eps: f32, out: &mut [E], stride: usize) {
    let dim = gamma.len();
    for (x, out) in x.chunks_exact(dim).zip(out.chunks_exact_mut(stride)) {
        let scale = 1.0 / (sum_of_squares::<A>(x) / dim as f32 + eps).sqrt();
        let (x, x_rest) = x.as_chunks::<LANES>();
        let (gamma, gamma_rest) = gamma.as_chunks::<LANES>();
        let (out, out_rest) = out[..dim].as_chunks_mut::<LANES>();
        for ((out, x), gamma) in out.iter_mut().zip(x).zip(gamma) {
            let mut scaled = [0.0; LANES];
            for (scaled, (x, gamma)) in scaled.iter_mut().zip(x.iter().zip(gamma)) {
                *scaled = x * scale * gamma;
            }
            *out = E::from_lanes::<A>(scaled);
        }
        for ((out, &x), &gamma) in out_rest.iter_mut().zip(x_rest).zip(gamma_rest) {
            *out = E::from_f32(x * scale * gamma);
        }
    }
}

/// L2 norm of each row.
#[inline(always)]
pub(super) fn norms<A: Arithmetic>(x: &[f32], dim: usize, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(dim).zip(out) {
        *out = sum_of_squares::<A>(x).sqrt();
    }
}

/// Rotates the pairs `(column c, column c + 16)` of each row of a block by the angles in row `r` of `cos` and `sin`, whose
/// rows are `stride` long, and multiplies them by `scale`.
#[inline(always)]
pub(super) fn rotate<A: Arithmetic>(block: &mut [f32], cos: &[f32], sin: &[f32], stride: usize, scale: f32) {
    let angles = cos.chunks(stride).zip(sin.chunks(stride));
    for (row, (cos, sin)) in block.as_chunks_mut::<PANEL>().0.iter_mut().zip(angles) {
        let (cos, sin) = (&lanes(cos)[0], &lanes(sin)[0]);
        let (a, b) = row.split_at_mut(LANES);
        for ((a, b), (&cos, &sin)) in a.iter_mut().zip(b).zip(cos.iter().zip(sin)) {
            let (x, y) = (*a * scale, *b * scale);
            *a = A::multiply_add(x, cos, -(y * sin));
            *b = A::multiply_add(x, sin, y * cos);
        }
    }
}

/// Converts a block, each row times its factor, to columns `0..PANEL` of rows of `stride`.
#[inline(always)]
pub(super) fn store_scaled<A: Arithmetic, E: Element>(block: &[f32], factors: &[f32], out: &mut [E], stride: usize) {
    for ((row, &factor), out) in block.as_chunks::<PANEL>().0.iter().zip(factors).zip(out.chunks_mut(stride)) {
        for (out, x) in out[..PANEL].as_chunks_mut::<LANES>().0.iter_mut().zip(lanes(row)) {
            *out = E::from_lanes::<A>(x.map(|x| x * factor));
        }
    }
}

/// Converts a block to columns `0..PANEL` of rows of `stride`.
#[inline(always)]
pub(super) fn store<A: Arithmetic, E: Element>(block: &[f32], out: &mut [E], stride: usize) {
    for (row, out) in block.as_chunks::<PANEL>().0.iter().zip(out.chunks_mut(stride)) {
        for (out, x) in out[..PANEL].as_chunks_mut::<LANES>().0.iter_mut().zip(lanes(row)) {
            *out = E::from_lanes::<A>(*x);
        }
    }
}

/// Stores the rows of a block as columns `first..` of a panel: row `r`, column `d` goes to place `d` of the summed
/// dimension in column `first + r`.
#[inline(always)]
pub(super) fn store_columns<A: Arithmetic, E: Element>(block: &[f32], first: usize, panel: &mut [E]) {
    let rows = block.as_chunks::<PANEL>().0;
    if E::GROUP == 2 && first == 0 && rows.len() == PANEL {
        for (pair, word) in panel[..PANEL * PANEL].chunks_exact_mut(2 * PANEL).enumerate() {
            for (key, row) in rows.iter().enumerate() {
                word[2 * key] = E::from_f32(row[2 * pair]);
                word[2 * key + 1] = E::from_f32(row[2 * pair + 1]);
            }
        }
        return;
    }
    for (key, row) in rows.iter().enumerate() {
        for (d, &x) in row.iter().enumerate() {
            panel[panel_index::<E>(d, first + key)] = E::from_f32(x);
        }
    }
}

/// Stores the rows of a block as places `first..` of the summed dimension of a panel.
#[inline(always)]
pub(super) fn store_rows<A: Arithmetic, E: Element>(block: &[f32], first: usize, panel: &mut [E]) {
    let rows = block.as_chunks::<PANEL>().0;
    if E::GROUP == 2 && first == 0 && rows.len() == PANEL {
        for (rows, out) in rows.as_chunks::<2>().0.iter().zip(panel.as_chunks_mut::<{ 2 * PANEL }>().0) {
            for c in 0..PANEL {
                out[2 * c] = E::from_f32(rows[0][c]);
                out[2 * c + 1] = E::from_f32(rows[1][c]);
            }
        }
        return;
    }
    for (key, row) in rows.iter().enumerate() {
        for (column, &x) in row.iter().enumerate() {
            panel[panel_index::<E>(first + key, column)] = E::from_f32(x);
        }
    }
}

/// Where a panel holds place `k` of the summed dimension in `column`.
#[inline(always)]
pub(crate) fn panel_index<E: Element>(k: usize, column: usize) -> usize {
    (k / E::GROUP * PANEL + column) * E::GROUP + k % E::GROUP
}

/// Adds the first `width` columns of a block to columns `0..width` of rows of `stride`.
#[inline(always)]
pub(super) fn add(block: &[f32], x: &mut [f32], stride: usize, width: usize) {
    for (row, x) in block.as_chunks::<PANEL>().0.iter().zip(x.chunks_mut(stride)) {
        if width == PANEL {
            for (x, &y) in x[..PANEL].iter_mut().zip(row) {
                *x += y;
            }
        } else {
            for (x, &y) in x[..width].iter_mut().zip(row) {
                *x += y;
            }
        }
    }
}

/// `silu(column c) * column (c + 16)` of each row, to columns `0..16` of rows of `stride`.
#[inline(always)]
pub(super) fn swiglu<A: Arithmetic, E: Element>(block: &[f32], out: &mut [E], stride: usize) {
    for (row, out) in block.as_chunks::<PANEL>().0.iter().zip(out.chunks_mut(stride)) {
        let (gate, up) = (&lanes(row)[0], &lanes(row)[1]);
        let mut exponent = [0.0; LANES];
        for (exponent, &gate) in exponent.iter_mut().zip(gate) {
            let x = gate * -std::f32::consts::LOG2_E;
            *exponent = if x > 100.0 { 100.0 } else { x };
        }
        let exp = if E::IS_EXACT { exp2::<A, true>(exponent) } else { exp2::<A, false>(exponent) };
        let mut product = [0.0; LANES];
        for (i, product) in product.iter_mut().enumerate() {
            let divisor = 1.0 + exp[i];
            *product = if E::IS_EXACT { gate[i] * up[i] / divisor } else { gate[i] * up[i] * reciprocal::<A>(divisor) };
        }
        out[..LANES].copy_from_slice(&E::from_lanes::<A>(product));
    }
}

/// Unnormalised softmax of one row of scores, which are base-2 exponents: `2^(score - max)` for the places in
/// `lo..hi`, zero elsewhere. Returns 1 over their sum. Which places are summed in which order depends on their index
/// modulo 16 alone. Overwrites scores outside `lo..hi`.
#[inline(always)]
pub(super) fn softmax<A: Arithmetic, E: Element>(scores: &mut [f32], lo: usize, hi: usize, out: &mut [E]) -> f32 {
    let first = lo / LANES * LANES;
    let end = hi.next_multiple_of(LANES);
    scores[first..lo].fill(f32::NEG_INFINITY);
    scores[hi..end].fill(f32::NEG_INFINITY);
    let scores = lanes(&scores[first..end]);
    let max = largest(scores);
    let mut sums = [0.0; LANES];
    out[..first].fill(E::default());
    for (chunk, out) in scores.iter().zip(out[first..end].as_chunks_mut::<LANES>().0) {
        let mut shifted = [0.0; LANES];
        for (shifted, &x) in shifted.iter_mut().zip(chunk) {
            *shifted = x - max;
        }
        let exp = if E::IS_EXACT { exp2::<A, true>(shifted) } else { exp2::<A, false>(shifted) };
        for (sum, &x) in sums.iter_mut().zip(&exp) {
            *sum += x;
        }
        *out = E::from_lanes::<A>(exp);
    }
    out[first..lo].fill(E::default());
    out[hi..].fill(E::default());
    1.0 / total(sums)
}

/// Entropy in nats of the softmax of `logits`, a whole number of lanes of which the first `n` count. Overwrites the others.
#[inline(always)]
pub(super) fn entropy<A: Arithmetic>(logits: &mut [f32], n: usize) -> f32 {
    logits[n..].fill(f32::NEG_INFINITY);
    let logits = lanes(logits);
    let max = largest(logits);
    // With z = sum of 2^d and w = sum of 2^d * d, where d = (logit - max) / ln(2): H = ln(z) - w / z * ln(2).
    let (mut z, mut w) = ([0.0; LANES], [0.0; LANES]);
    for chunk in logits {
        let mut d = [0.0; LANES];
        for (d, &x) in d.iter_mut().zip(chunk) {
            let x = (x - max) * std::f32::consts::LOG2_E;
            *d = if x < -125.0 { -125.0 } else { x };
        }
        let exp = exp2::<A, true>(d);
        for i in 0..LANES {
            z[i] += exp[i];
            w[i] = A::multiply_add(exp[i], d[i], w[i]);
        }
    }
    let z = total(z);
    z.ln() - total(w) / z * std::f32::consts::LN_2
}

/// What is added to signed bytes on the left side of a product to make them unsigned.
pub(crate) const INT8_OFFSET: i32 = 128;

/// Rounds a row to signed bytes, the largest to 127, and stores them offset by 128. Returns what a step is worth.
#[inline(always)]
pub(super) fn quantize<E: Element>(x: &[E], out: &mut [u8]) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sizes = [0.0; LANES];
    for chunk in chunks {
        for (size, x) in sizes.iter_mut().zip(chunk) {
            *size = larger(*size, x.to_f32().abs());
        }
    }
    let largest = rest.iter().fold(reduce(sizes, larger), |size, x| larger(size, x.to_f32().abs()));
    // Of numbers too small for a reciprocal nothing is left.
    let steps = if largest > 1e-30 { 127.0 / largest } else { 0.0 };
    /// Adding it leaves a float32 no bits below the point, and in its low bits the whole part plus 128.
    const ROUND: f32 = 12_582_912.0 + INT8_OFFSET as f32;
    for (out, x) in out.iter_mut().zip(x) {
        *out = (x.to_f32() * steps + ROUND).to_bits() as u8;
    }
    largest / 127.0
}

/// Turns sums of bytes, the bits of `i32`, into numbers: for each row and column `(sum - offset) * row * column`.
#[inline(always)]
pub(super) fn dequantize(block: &mut [f32], rows: &[f32], columns: &[f32], offsets: &[i32]) {
    let (columns, offsets) = (&columns[..PANEL], &offsets[..PANEL]);
    for (block, &row) in block.as_chunks_mut::<PANEL>().0.iter_mut().zip(rows) {
        for (x, (&column, &offset)) in block.iter_mut().zip(columns.iter().zip(offsets)) {
            *x = (x.to_bits() as i32 - offset) as f32 * (row * column);
        }
    }
}

/// Unpacks a panel: for each group of [`INT4_GROUP`] places of the summed dimension, the first half of the panel's elements
/// in the low halves of the bytes and the second half in the high ones, offset by 8; `scales` are `[groups, PANEL]`.
#[inline(always)]
pub(super) fn unpack_int4<A: Arithmetic, E: Element>(nibbles: &[u8], scales: &[f32], out: &mut [E]) {
    const HALF: usize = INT4_GROUP * PANEL / 2;
    let groups = nibbles.as_chunks::<HALF>().0.iter().zip(scales.as_chunks::<PANEL>().0);
    for ((nibbles, scales), out) in groups.zip(out.chunks_exact_mut(2 * HALF)) {
        let (low, high) = out.split_at_mut(HALF);
        for (start, nibbles) in (0..HALF).step_by(LANES).zip(nibbles.as_chunks::<LANES>().0) {
            // A register's worth of elements lies in one row of the panel.
            let first_column = start / E::GROUP % PANEL;
            for (out, shift) in [(&mut *low, 0), (&mut *high, 4)] {
                let mut values = [0.0; LANES];
                for (i, (value, &nibble)) in values.iter_mut().zip(nibbles).enumerate() {
                    let scale = scales[first_column + i / E::GROUP];
                    *value = (i32::from(nibble >> shift & 15) - 8) as f32 * scale;
                }
                out[start..start + LANES].copy_from_slice(&E::from_lanes::<A>(values));
            }
        }
    }
}
