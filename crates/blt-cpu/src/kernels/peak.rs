//! The most that a set of instructions can do: the multiply-add at the heart of each kernel, on registers alone.

use super::InstructionSet;
use crate::FloatType;

impl InstructionSet {
    /// Runs `n` rounds of the multiply-adds that products of `float` are made of, with operands in registers, and says how
    /// many floating-point operations (a multiplication and an addition are two) that were. Time it to know the ceiling
    /// of this processor. `None` where the set has no instruction of its own for this.
    ///
    /// # Panics
    ///
    /// When the set is not available.
    pub fn multiply_add_loop(self, float: FloatType, n: u64) -> Option<u64> {
        assert!(self.is_available(), "{self} was asked for without asking the processor");
        let flop_per_round = match (self, float) {
            // SAFETY: the processor has the features, and the functions touch no memory.
            #[cfg(target_arch = "x86_64")]
            (Self::Avx2, FloatType::F32) => unsafe { x86::f32_avx2(n) },
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512, FloatType::F32) => unsafe { x86::f32_avx512(n) },
            #[cfg(target_arch = "x86_64")]
            (Self::Avx512Bf16, FloatType::Bf16) => unsafe { x86::bf16_dot(n) },
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            (Self::AmxBf16, FloatType::Bf16) => unsafe { x86::amx(n) },
            _ => return None,
        };
        Some(n * flop_per_round)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// Enough independent sums that none waits for itself.
    const SUMS: usize = 12;

    macro_rules! peak {
        ($name:ident, $features:literal, $zero:ident, $one:expr, $flop:literal, |$sum:ident, $x:ident| $step:expr) => {
            /// Returns the operations of one round.
            ///
            /// # Safety
            ///
            /// The processor must have the features.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(n: u64) -> u64 {
                let $x = black_box($one);
                let mut sums = [$zero(); SUMS];
                for _ in 0..n {
                    for sum in &mut sums {
                        let $sum = *sum;
                        *sum = $step;
                    }
                }
                black_box(sums);
                SUMS as u64 * $flop
            }
        };
    }

    peak!(f32_avx2, "avx2,fma", _mm256_setzero_ps, _mm256_set1_ps(1.0), 16, |sum, x| _mm256_fmadd_ps(x, x, sum));
    peak!(f32_avx512, "avx512f", _mm512_setzero_ps, _mm512_set1_ps(1.0), 32, |sum, x| _mm512_fmadd_ps(x, x, sum));
    peak!(bf16_dot, "avx512f,avx512bf16", _mm512_setzero_ps, _mm512_set1_epi32(0x3F80_3F80), 64, |sum, x| {
        // SAFETY: both types are 512 bits without padding.
        let x = unsafe { std::mem::transmute::<__m512i, __m512bh>(x) };
        _mm512_dpbf16_ps(sum, x, x)
    });

    /// Four tiles of sums, as the product has them. Returns the operations of one round.
    ///
    /// # Safety
    ///
    /// The processor must have AMX with bfloat16, and the system must permit it.
    #[cfg(target_os = "linux")]
    pub(super) unsafe fn amx(n: u64) -> u64 {
        super::super::amx::enter();
        // SAFETY: the caller's promise; the tiles are set up, and no memory is touched.
        unsafe {
            std::arch::asm!(
                "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                "tilezero tmm4", "tilezero tmm5", "tilezero tmm6", "tilezero tmm7",
                "2:",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "dec {n}",
                "jnz 2b",
                n = inout(reg) n.max(1) => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem),
            );
        }
        super::super::amx::leave();
        4 * 2 * 16 * 16 * 32
    }
}
