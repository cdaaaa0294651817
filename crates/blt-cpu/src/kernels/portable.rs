//! The matrix product without special instructions: the plain twin, and the path of processors without a kernel of their
//! own. The compiler makes vector code of it where vectors are part of the architecture, as on aarch64.

use super::{PANEL, RawProduct, lanes::panel_index};
use crate::element::Element;

/// Rows and columns held in registers.
const ROWS: usize = 8;
const COLUMNS: usize = 8;

/// # Safety
///
/// The pointers of `p` must be valid for its sizes.
pub(super) unsafe fn product<E: Element>(p: &RawProduct<E>) {
    let mut row = 0;
    while row < p.rows {
        let height = ROWS.min(p.rows - row);
        for column in (0..PANEL).step_by(COLUMNS) {
            // SAFETY: passed on.
            unsafe {
                if height == ROWS {
                    tile::<E, ROWS>(p, row, column);
                } else {
                    (row..row + height).for_each(|row| tile::<E, 1>(p, row, column));
                }
            }
        }
        row += height;
    }
}

/// # Safety
///
/// As above, and `row + R` must not exceed the rows.
#[inline(always)]
unsafe fn tile<E: Element, const R: usize>(p: &RawProduct<E>, row: usize, column: usize) {
    let mut sums = [[0.0f32; COLUMNS]; R];
    // SAFETY: the caller's promise.
    unsafe {
        if p.accumulate {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (c, sum) in sums.iter_mut().enumerate() {
                    *sum = *p.c.add((row + r) * p.c_stride + column + c);
                }
            }
        }
        for block in 0..p.n_blocks {
            let panel = *p.blocks.add(block);
            for k in 0..p.k {
                let mut b = [0.0; COLUMNS];
                for (c, b) in b.iter_mut().enumerate() {
                    *b = (*panel.add(panel_index::<E>(k, column + c))).to_f32();
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let a = (*p.a.add((row + r) * p.a_stride + block * p.k + k)).to_f32();
                    for (sum, b) in sums.iter_mut().zip(b) {
                        if cfg!(target_arch = "aarch64") {
                            *sum = a.mul_add(b, *sum);
                        } else {
                            *sum += a * b;
                        }
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, &sum) in sums.iter().enumerate() {
                *p.c.add((row + r) * p.c_stride + column + c) = sum;
            }
        }
    }
}

/// The sums of products of unsigned bytes in `a` and signed bytes in the blocks, `[k / 4][PANEL][4]`, as the bits of `i32`.
///
/// # Safety
///
/// The pointers of `p` must be valid for its sizes.
pub(super) unsafe fn int8_product(p: &RawProduct<u8>) {
    for row in 0..p.rows {
        let mut sums = [0i32; PANEL];
        // SAFETY: the caller's promise.
        unsafe {
            if p.accumulate {
                for (column, sum) in sums.iter_mut().enumerate() {
                    *sum = (*p.c.add(row * p.c_stride + column)).to_bits() as i32;
                }
            }
            for block in 0..p.n_blocks {
                let (a, panel) = (p.a.add(row * p.a_stride + block * p.k), *p.blocks.add(block));
                for k in 0..p.k {
                    let a = i32::from(*a.add(k));
                    for (column, sum) in sums.iter_mut().enumerate() {
                        let b = (*panel.add((k / 4 * PANEL + column) * 4 + k % 4)).cast_signed();
                        *sum = sum.wrapping_add(a * i32::from(b));
                    }
                }
            }
            for (column, sum) in sums.iter().enumerate() {
                *p.c.add(row * p.c_stride + column) = f32::from_bits(sum.cast_unsigned());
            }
        }
    }
}
