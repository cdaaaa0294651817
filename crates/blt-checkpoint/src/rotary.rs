//! The rotary table.
//!
//! By definition the table is float32: `x_k = f32(2k) / f32(head_dim)`, `p_k` = theta^x_k rounded correctly to float32,
//! `inv_freq_k = 1 / p_k`, `angle = f32(position) * inv_freq_k` rounded to float32, then cosine and sine of that angle.
//! Source: `precompute_freqs_cis` of the original's `base_transformer.py`. Rounding in another order moves
//! entropies by up to 5e-4 nats at position 1500.
//!
//! The original never goes beyond `max_seqlen`. A stream does, and there `f32(position) * inv_freq` would lose the angle
//! altogether (at position 16 million its rounding alone is half a radian). Positions past the table therefore take the
//! product in float64: still a function of the position alone, so chunking changes nothing, and exact to 1e-8.

use std::ops::Range;
use std::sync::OnceLock;

/// Positions below this, or below `max_seqlen` if that is more, use the float32 definition ...
const MIN_POSITIONS: usize = 8192;
/// ... but no more than these: a checkpoint's word for `max_seqlen` must not decide about memory.
const MAX_POSITIONS: usize = 1 << 16;

/// Positions computed together, when one of them is first asked for.
const BLOCK: usize = 256;

/// Cosines and sines of every rotary angle, for any position.
#[derive(Debug, Clone)]
pub struct RotaryTable {
    /// Rotary frequencies, `[head_dim / 2]`.
    inv_freq: Vec<f32>,
    /// Cosines and sines of the float32 angles, [`BLOCK`] positions each.
    near: Vec<OnceLock<Angles<f32>>>,
    /// Of the float64 angles of positions 0 to `BLOCK - 1`; positions past `near` add them to their block's first angle.
    offsets: OnceLock<Angles<f64>>,
}

/// `[BLOCK, head_dim / 2]` each.
#[derive(Debug, Clone)]
struct Angles<T> {
    cos: Vec<T>,
    sin: Vec<T>,
}

impl RotaryTable {
    /// The table for heads of width `head_dim`.
    pub fn new(head_dim: usize, theta: f64, max_seqlen: usize) -> Self {
        let inv_freq: Vec<f32> = (0..head_dim / 2)
            .map(|k| {
                let exponent = (2 * k) as f32 / head_dim as f32;
                1.0 / theta.powf(f64::from(exponent)) as f32
            })
            .collect();
        let n_blocks = max_seqlen.clamp(MIN_POSITIONS, MAX_POSITIONS).div_ceil(BLOCK);
        Self { inv_freq, near: vec![OnceLock::new(); n_blocks], offsets: OnceLock::new() }
    }

    /// Positions below this have float32 angles.
    pub fn n_defined(&self) -> usize {
        self.near.len() * BLOCK
    }

    /// The rotary frequencies, `[head_dim / 2]`.
    pub fn inv_freq(&self) -> &[f32] {
        &self.inv_freq
    }

    /// Writes the cosines and sines at `positions` to the first `head_dim / 2` places of rows of `stride`.
    ///
    /// # Panics
    ///
    /// When `stride` is less than `head_dim / 2`, or the slices hold fewer rows than there are positions.
    pub fn fill(&self, positions: Range<u64>, stride: usize, cos: &mut [f32], sin: &mut [f32]) {
        let width = self.inv_freq.len();
        let mut row = 0;
        let mut position = positions.start;
        while position < positions.end {
            let (block, offset) = (position / BLOCK as u64, (position % BLOCK as u64) as usize);
            let n = (BLOCK - offset).min((positions.end - position) as usize);
            let near = usize::try_from(block).ok().and_then(|block| self.near.get(block));
            match near.map(|angles| angles.get_or_init(|| self.near_angles(block))) {
                Some(angles) => {
                    for i in 0..n {
                        let (from, to) = ((offset + i) * width, (row + i) * stride);
                        cos[to..to + width].copy_from_slice(&angles.cos[from..from + width]);
                        sin[to..to + width].copy_from_slice(&angles.sin[from..from + width]);
                    }
                }
                None => {
                    let to = row * stride;
                    self.fill_far(block, offset..offset + n, stride, &mut cos[to..], &mut sin[to..]);
                }
            }
            (row, position) = (row + n, position + n as u64);
        }
    }

    /// The float32 angles of a block. Correctly rounded: the float64 function of the float32 angle, rounded once.
    fn near_angles(&self, block: u64) -> Angles<f32> {
        let first = block as usize * BLOCK;
        let angles =
            || (first..first + BLOCK).flat_map(|p| self.inv_freq.iter().map(move |&f| f64::from(p as f32 * f)));
        Angles {
            cos: angles().map(|angle| angle.cos() as f32).collect(),
            sin: angles().map(|angle| angle.sin() as f32).collect(),
        }
    }

    /// The float64 angles at `offsets` of a block: sums of two angles, by the addition theorems.
    fn fill_far(&self, block: u64, offsets: Range<usize>, stride: usize, cos: &mut [f32], sin: &mut [f32]) {
        let width = self.inv_freq.len();
        let table = self.offsets.get_or_init(|| {
            let angles =
                || (0..BLOCK).flat_map(|offset| self.inv_freq.iter().map(move |&f| offset as f64 * f64::from(f)));
            Angles { cos: angles().map(f64::cos).collect(), sin: angles().map(f64::sin).collect() }
        });
        for (k, &frequency) in self.inv_freq.iter().enumerate() {
            let (base_sin, base_cos) = ((block * BLOCK as u64) as f64 * f64::from(frequency)).sin_cos();
            for (row, offset) in offsets.clone().enumerate() {
                let (c, s) = (table.cos[offset * width + k], table.sin[offset * width + k]);
                cos[row * stride + k] = (base_cos * c - base_sin * s) as f32;
                sin[row * stride + k] = (base_sin * c + base_cos * s) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_match_the_reference_bit_for_bit() {
        for (model, head_dim, theta) in
            [("model-tiny", 16, 10_000.0), ("model-tiny-gqa", 24, 500_000.0), ("model-small", 64, 10_000.0)]
        {
            let path = blt_testkit::golden_dir().join(model).join("expected.safetensors");
            let expected = crate::SafetensorsFile::open(&path).unwrap().floats("rope.inv_freq").unwrap();
            assert_eq!(RotaryTable::new(head_dim, theta, 128).inv_freq, expected, "{model}");
        }
    }

    /// Past the table the angle between neighbours stays what it is everywhere else.
    #[test]
    fn far_positions_keep_their_relative_angles() {
        let table = RotaryTable::new(64, 10_000.0, 512);
        for position in [8191, 8192, 1 << 20, 1 << 26, 1 << 33] {
            let (mut cos, mut sin) = ([0.0; 64], [0.0; 64]);
            table.fill(position..position + 2, 32, &mut cos, &mut sin);
            for k in 0..32 {
                let step = f64::from(cos[k]) * f64::from(cos[32 + k]) + f64::from(sin[k]) * f64::from(sin[32 + k]);
                let expected = f64::from(table.inv_freq[k]).cos();
                // 8191 itself is a float32 angle, off by up to half a unit in the last place of 8191.
                assert!((step - expected).abs() < 5e-4, "position {position}, frequency {k}: {step} {expected}");
            }
        }
    }
}
