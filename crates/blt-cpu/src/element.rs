//! The number types of weights and activations. Sums, norms, scores and the residual stream are float32 always.

use crate::kernels::{Arithmetic, LANES};

/// A number as the matrix products take it.
pub(crate) trait Element: Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    /// How many neighbours along the summed dimension lie together in a 32-bit word.
    const GROUP: usize;
    /// Whether results are wanted to the last bits of float32.
    const IS_EXACT: bool;

    /// Rounded to nearest, ties to even.
    fn from_f32(value: f32) -> Self;

    /// The same for a register's worth, with the means of `A`.
    fn from_lanes<A: Arithmetic>(values: [f32; LANES]) -> [Self; LANES];

    /// Exactly.
    fn to_f32(self) -> f32;
}

impl Element for f32 {
    const GROUP: usize = 1;
    const IS_EXACT: bool = true;

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn from_lanes<A: Arithmetic>(values: [f32; LANES]) -> [Self; LANES] {
        values
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

/// The upper half of a float32. Only finite values and infinities survive rounding; the model has no others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

impl Element for Bf16 {
    const GROUP: usize = 2;
    const IS_EXACT: bool = false;

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        let bits = value.to_bits();
        Bf16((bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) >> 16) as u16)
    }

    #[inline(always)]
    fn from_lanes<A: Arithmetic>(values: [f32; LANES]) -> [Self; LANES] {
        A::to_bf16(values)
    }

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_rounds_to_nearest_even() {
        for (value, rounded) in [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),              // a tie, to even
            (1.0 + 3.0 / 256.0, 1.0 + 1.0 / 64.0), // a tie, to even
            (1.0 + 1.1 / 256.0, 1.0 + 1.0 / 128.0),
            (-0.0, -0.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (1.5 * f32::from_bits(1 << 16), f32::from_bits(2 << 16)), // denormals, a tie to even
        ] {
            assert_eq!(Bf16::from_f32(value).to_f32(), rounded, "{value}");
        }
    }
}
