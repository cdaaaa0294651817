//! Matrix products with AVX2, AVX-512 and its bfloat16 instructions.
//!
//! A tile of the result stays in registers while the summed dimension goes by: each step loads one row of the panel and
//! spreads one number, or for bfloat16 one pair, of each row of the left side over a register.

use std::arch::x86_64::*;

use super::{PANEL, RawProduct};
use crate::element::Bf16;

macro_rules! product512 {
    ($name:ident, $element:ty, $features:literal, |$sum:ident, $a:ident, $b:ident| $step:expr) => {
        pub(super) mod $name {
            use super::*;

            /// # Safety
            ///
            /// The pointers of `p` must be valid for its sizes, and the processor must have the features.
            #[target_feature(enable = $features)]
            pub(in super::super) unsafe fn product(p: &RawProduct<$element>) {
                let mut row = 0;
                // SAFETY: the caller's promise, and no call goes beyond the rows.
                unsafe {
                    while p.rows - row >= 12 {
                        tile::<12>(p, row);
                        row += 12;
                    }
                    if p.rows - row >= 8 {
                        tile::<8>(p, row);
                        row += 8;
                    }
                    if p.rows - row >= 4 {
                        tile::<4>(p, row);
                        row += 4;
                    }
                    while row < p.rows {
                        tile::<1>(p, row);
                        row += 1;
                    }
                }
            }

            /// # Safety
            ///
            /// As above.
            #[target_feature(enable = $features)]
            unsafe fn tile<const R: usize>(p: &RawProduct<$element>, row: usize) {
                let per_word = size_of::<u32>() / size_of::<$element>();
                let stride = p.a_stride / per_word;
                let words = p.k / per_word;
                // SAFETY: the caller's promise.
                unsafe {
                    let mut a = p.a.cast::<i32>().add(row * stride);
                    let mut sums = [[_mm512_setzero_ps(); 2]; R];
                    if p.accumulate {
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let c = p.c.add((row + r) * p.c_stride);
                            *sums = [_mm512_loadu_ps(c), _mm512_loadu_ps(c.add(16))];
                        }
                    }
                    for block in 0..p.n_blocks {
                        let mut panel = (*p.blocks.add(block)).cast::<i32>();
                        for _ in 0..words {
                            let b0 = _mm512_loadu_si512(panel.cast());
                            let b1 = _mm512_loadu_si512(panel.add(16).cast());
                            for (r, [sum0, sum1]) in sums.iter_mut().enumerate() {
                                let $a = _mm512_set1_epi32(*a.add(r * stride));
                                let ($sum, $b) = (*sum0, b0);
                                *sum0 = $step;
                                let ($sum, $b) = (*sum1, b1);
                                *sum1 = $step;
                            }
                            // After the last step these point beyond their ends, and are not read.
                            a = a.wrapping_add(1);
                            panel = panel.wrapping_add(PANEL);
                        }
                    }
                    for (r, sums) in sums.iter().enumerate() {
                        let c = p.c.add((row + r) * p.c_stride);
                        _mm512_storeu_ps(c, sums[0]);
                        _mm512_storeu_ps(c.add(16), sums[1]);
                    }
                }
            }
        }
    };
}

product512!(f32_avx512, f32, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma", |sum, a, b| {
    _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum)
});

// Two fused steps in float32: the first of each pair lies in the lower half of its word.
product512!(bf16_avx512, Bf16, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma", |sum, a, b| {
    let low = |x| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(x));
    let high = |x| _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(-65_536)));
    _mm512_fmadd_ps(high(a), high(b), _mm512_fmadd_ps(low(a), low(b), sum))
});

product512!(bf16_dot, Bf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma", |sum, a, b| {
    // Both types are 512 bits without padding.
    _mm512_dpbf16_ps(sum, std::mem::transmute::<__m512i, __m512bh>(a), std::mem::transmute::<__m512i, __m512bh>(b))
});

// Sums of four products of bytes, unsigned times signed, in `i32`.
product512!(int8_dot, u8, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma", |sum, a, b| {
    _mm512_castsi512_ps(_mm512_dpbusd_epi32(_mm512_castps_si512(sum), a, b))
});

macro_rules! product256 {
    ($name:ident, $element:ty, |$sum:ident, $a:ident, $b:ident| $step:expr) => {
        pub(super) mod $name {
            use super::*;

            /// # Safety
            ///
            /// The pointers of `p` must be valid for its sizes, and the processor must have AVX2 and FMA.
            #[target_feature(enable = "avx2,fma")]
            pub(in super::super) unsafe fn product(p: &RawProduct<$element>) {
                let mut row = 0;
                // SAFETY: the caller's promise, and no call goes beyond the rows.
                unsafe {
                    while p.rows - row >= 6 {
                        tile::<6>(p, row, 0);
                        tile::<6>(p, row, 16);
                        row += 6;
                    }
                    if p.rows - row >= 3 {
                        tile::<3>(p, row, 0);
                        tile::<3>(p, row, 16);
                        row += 3;
                    }
                    while row < p.rows {
                        tile::<1>(p, row, 0);
                        tile::<1>(p, row, 16);
                        row += 1;
                    }
                }
            }

            /// # Safety
            ///
            /// As above; `column` is 0 or 16.
            #[target_feature(enable = "avx2,fma")]
            unsafe fn tile<const R: usize>(p: &RawProduct<$element>, row: usize, column: usize) {
                let per_word = size_of::<u32>() / size_of::<$element>();
                let stride = p.a_stride / per_word;
                let words = p.k / per_word;
                // SAFETY: the caller's promise.
                unsafe {
                    let mut a = p.a.cast::<i32>().add(row * stride);
                    let mut sums = [[_mm256_setzero_ps(); 2]; R];
                    if p.accumulate {
                        for (r, sums) in sums.iter_mut().enumerate() {
                            let c = p.c.add((row + r) * p.c_stride + column);
                            *sums = [_mm256_loadu_ps(c), _mm256_loadu_ps(c.add(8))];
                        }
                    }
                    for block in 0..p.n_blocks {
                        let mut panel = (*p.blocks.add(block)).cast::<i32>().add(column);
                        for _ in 0..words {
                            let b0 = _mm256_loadu_si256(panel.cast());
                            let b1 = _mm256_loadu_si256(panel.add(8).cast());
                            for (r, [sum0, sum1]) in sums.iter_mut().enumerate() {
                                let $a = _mm256_set1_epi32(*a.add(r * stride));
                                let ($sum, $b) = (*sum0, b0);
                                *sum0 = $step;
                                let ($sum, $b) = (*sum1, b1);
                                *sum1 = $step;
                            }
                            // After the last step these point beyond their ends, and are not read.
                            a = a.wrapping_add(1);
                            panel = panel.wrapping_add(PANEL);
                        }
                    }
                    for (r, sums) in sums.iter().enumerate() {
                        let c = p.c.add((row + r) * p.c_stride + column);
                        _mm256_storeu_ps(c, sums[0]);
                        _mm256_storeu_ps(c.add(8), sums[1]);
                    }
                }
            }
        }
    };
}

product256!(f32_avx2, f32, |sum, a, b| _mm256_fmadd_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), sum));

product256!(bf16_avx2, Bf16, |sum, a, b| {
    let low = |x| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x));
    let high = |x| _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(-65_536)));
    _mm256_fmadd_ps(high(a), high(b), _mm256_fmadd_ps(low(a), low(b), sum))
});

// Sums of four products of bytes, unsigned times signed, in `i32`: by way of 16 bits, where no sum is cut off.
product256!(int8_avx2, u8, |sum, a, b| {
    let a = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(a));
    let low = _mm256_madd_epi16(a, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(b)));
    let high = _mm256_madd_epi16(a, _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(b)));
    // Adds neighbours within each half: columns 0, 1, 4, 5 and 2, 3, 6, 7.
    let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sum), sums))
});
