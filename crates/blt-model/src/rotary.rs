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

/// Positions below this, or below `max_seqlen` if that is more, use the float32 definition ...
const MIN_POSITIONS: usize = 8192;
/// ... but no more than these: a checkpoint's word for `max_seqlen` must not decide about memory.
const MAX_POSITIONS: usize = 1 << 16;

/// Cosines and sines of every rotary angle, for any position.
#[derive(Debug, Clone)]
pub(crate) struct RotaryTable {
    /// Rotary frequencies, `[head_dim / 2]`.
    inv_freq: Vec<f32>,
    /// `[positions, head_dim / 2]`.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RotaryTable {
    /// The table for heads of width `head_dim`.
    pub(crate) fn new(head_dim: usize, theta: f64, max_seqlen: usize) -> Self {
        let inv_freq: Vec<f32> = (0..head_dim / 2)
            .map(|k| {
                let exponent = (2 * k) as f32 / head_dim as f32;
                1.0 / theta.powf(f64::from(exponent)) as f32
            })
            .collect();
        let positions = max_seqlen.clamp(MIN_POSITIONS, MAX_POSITIONS);
        let angles = || (0..positions).flat_map(|p| inv_freq.iter().map(move |&frequency| p as f32 * frequency));
        // Correctly rounded: the float64 function of the float32 angle, rounded once.
        let cos = angles().map(|angle| f64::from(angle).cos() as f32).collect();
        let sin = angles().map(|angle| f64::from(angle).sin() as f32).collect();
        Self { inv_freq, cos, sin }
    }

    /// Cosines and sines at `positions`, both `[positions, head_dim / 2]` row by row.
    pub(crate) fn at(&self, positions: impl Iterator<Item = u64>) -> (Vec<f32>, Vec<f32>) {
        let width = self.inv_freq.len();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in positions {
            let row = usize::try_from(position).ok().and_then(|p| p.checked_mul(width)).unwrap_or(usize::MAX);
            if let (Some(c), Some(s)) = (self.row(&self.cos, row), self.row(&self.sin, row)) {
                cos.extend_from_slice(c);
                sin.extend_from_slice(s);
            } else {
                let angles = self.inv_freq.iter().map(|&frequency| position as f64 * f64::from(frequency));
                cos.extend(angles.clone().map(|angle| angle.cos() as f32));
                sin.extend(angles.map(|angle| angle.sin() as f32));
            }
        }
        (cos, sin)
    }

    fn row<'a>(&self, table: &'a [f32], start: usize) -> Option<&'a [f32]> {
        table.get(start..start.checked_add(self.inv_freq.len())?)
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
            let expected = blt_checkpoint::SafetensorsFile::open(&path).unwrap().floats("rope.inv_freq").unwrap();
            assert_eq!(RotaryTable::new(head_dim, theta, 128).inv_freq, expected, "{model}");
        }
    }

    /// Past the table the angle between neighbours stays what it is everywhere else.
    #[test]
    fn far_positions_keep_their_relative_angles() {
        let table = RotaryTable::new(64, 10_000.0, 512);
        for position in [8191, 8192, 1 << 20, 1 << 26, 1 << 33] {
            let (cos, sin) = table.at([position, position + 1].into_iter());
            for k in 0..32 {
                let step = f64::from(cos[k]) * f64::from(cos[32 + k]) + f64::from(sin[k]) * f64::from(sin[32 + k]);
                let expected = f64::from(table.inv_freq[k]).cos();
                // 8191 itself is a float32 angle, off by up to half a unit in the last place of 8191.
                assert!((step - expected).abs() < 5e-4, "position {position}, frequency {k}: {step} {expected}");
            }
        }
    }
}
