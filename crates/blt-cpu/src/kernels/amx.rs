//! Matrix products with AMX, the tile registers of Intel's server processors, and the thread's state that they need.
//!
//! A tile is 16 rows of 64 bytes. Four tiles hold 32 x 32 results; each step multiplies two tiles of the left side by two
//! of the panel. The left side goes by once per panel and is loaded past the first-level cache, so that the panel stays
//! there: 64 % of the peak instead of 50 % on a Xeon of the fifth generation.
//! Source: Intel Architecture Instruction Set Extensions Programming Reference, chapter on AMX.

use std::arch::asm;
use std::cell::Cell;
use std::sync::OnceLock;

use super::RawProduct;
use crate::element::Bf16;

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_a_row: [u16; 16],
    rows: [u8; 16],
}

thread_local! {
    /// How many [`super::Active`] live on this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether the operating system lets this process use tiles. Asked once; Linux wants to be asked before the first use.
pub(super) fn is_permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_ulong = 18;
    static PERMITTED: OnceLock<bool> = OnceLock::new();
    // SAFETY: the call takes two numbers and touches no memory of ours.
    *PERMITTED
        .get_or_init(|| unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 })
}

/// Sets up this thread's tiles, unless they are.
pub(super) fn enter() {
    let depth = DEPTH.get();
    DEPTH.set(depth + 1);
    if depth == 0 {
        let mut config =
            TileConfig { palette: 1, start_row: 0, reserved: [0; 14], bytes_a_row: [0; 16], rows: [0; 16] };
        config.bytes_a_row[..8].fill(64);
        config.rows[..8].fill(16);
        // SAFETY: tables with AMX are made only where it is permitted; the operand is a whole configuration.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) }
    }
}

/// Gives up this thread's tiles when its last user goes, so that the system need not save them.
pub(super) fn leave() {
    let depth = DEPTH.get() - 1;
    DEPTH.set(depth);
    if depth == 0 {
        // SAFETY: as above.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

/// A product of one element type: 64 bytes of the summed dimension a step.
macro_rules! product {
    ($name:ident, $element:ty, $multiply:literal) => {
        /// # Safety
        ///
        /// The pointers of `p`, but `ahead`, must be valid for its sizes with the rows filled up to a multiple of 32, `k` must fill whole
        /// tiles, and the thread's tiles must be set up.
        pub(super) unsafe fn $name(p: &RawProduct<$element>) {
            // SAFETY: the caller's promise. The assembly reads and writes only what it describes: 32 rows of `a`, the blocks, and
            // 32 rows of `c`.
            unsafe {
                let mut ahead = p.ahead;
                for row in (0..p.rows).step_by(32) {
                    let c = p.c.add(row * p.c_stride);
                    let c_low = c.add(16 * p.c_stride);
                    let c_bytes = p.c_stride * size_of::<f32>();
                    if p.accumulate {
                        asm!(
                            "tileloadd tmm0, [{c} + {stride}*1]",
                            "tileloadd tmm1, [{c} + {stride}*1 + 64]",
                            "tileloadd tmm2, [{c_low} + {stride}*1]",
                            "tileloadd tmm3, [{c_low} + {stride}*1 + 64]",
                            c = in(reg) c, c_low = in(reg) c_low, stride = in(reg) c_bytes,
                            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, options(nostack),
                        );
                    } else {
                        asm!(
                            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
                            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, options(nostack),
                        );
                    }
                    let a_bytes = p.a_stride * size_of::<$element>();
                    let mut a = p.a.add(row * p.a_stride);
                    for block in 0..p.n_blocks {
                        asm!(
                            "2:",
                            "tileloadd tmm6, [{b} + {b_stride}*1]",
                            "tileloaddt1 tmm4, [{a} + {a_stride}*1]",
                            concat!($multiply, " tmm0, tmm4, tmm6"),
                            "prefetcht1 [{ahead}]",
                            "prefetcht1 [{ahead} + 64]",
                            "tileloadd tmm7, [{b} + {b_stride}*1 + 64]",
                            concat!($multiply, " tmm1, tmm4, tmm7"),
                            "prefetcht1 [{ahead} + 128]",
                            "prefetcht1 [{ahead} + 192]",
                            "tileloaddt1 tmm5, [{a_low} + {a_stride}*1]",
                            concat!($multiply, " tmm2, tmm5, tmm6"),
                            concat!($multiply, " tmm3, tmm5, tmm7"),
                            "add {a}, 64",
                            "add {a_low}, 64",
                            "add {b}, 2048",
                            "add {ahead}, 256",
                            "dec {steps}",
                            "jnz 2b",
                            a = inout(reg) a => _,
                            a_low = inout(reg) a.add(16 * p.a_stride) => _,
                            b = inout(reg) *p.blocks.add(block) => _,
                            ahead = inout(reg) ahead,
                            steps = inout(reg) p.k * size_of::<$element>() / 64 => _,
                            a_stride = in(reg) a_bytes,
                            b_stride = in(reg) 128usize,
                            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                            // tmm0 to tmm3 hold the sums from one assembly block to the next: nothing between them uses tiles.
                            options(nostack),
                        );
                        a = a.add(p.k);
                    }
                    asm!(
                        "tilestored [{c} + {stride}*1], tmm0",
                        "tilestored [{c} + {stride}*1 + 64], tmm1",
                        "tilestored [{c_low} + {stride}*1], tmm2",
                        "tilestored [{c_low} + {stride}*1 + 64], tmm3",
                        c = in(reg) c, c_low = in(reg) c_low, stride = in(reg) c_bytes,
                        options(nostack),
                    );
                }
            }
        }
    };
}

product!(product, Bf16, "tdpbf16ps");
// Bytes, unsigned on the left and signed on the right; the sums are `i32`.
product!(int8_product, u8, "tdpbusd");
