//! The inner loops, one copy for each instruction set, and the table through which the model calls them.
//!
//! This is the only module with `unsafe` code. Its invariant: a table with a set's kernels is made only after the
//! processor, and for AMX the operating system, was asked for that set.

#![allow(unsafe_code, reason = "vector instructions and bounds checked once for a whole product")]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod instructions;
mod lanes;
mod pages;
mod peak;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::marker::PhantomData;

pub use instructions::InstructionSet;
pub(crate) use lanes::{Arithmetic, INT8_OFFSET, LANES, panel_index};
pub(crate) use pages::prefer_large;

use crate::element::{Bf16, Element};

/// Columns of a panel: the right-hand sides of all products are cut into panels, each `[k / group][PANEL][group]`.
pub(crate) const PANEL: usize = 32;

/// Summed dimensions are filled up with zeros to a multiple of this: the depth of a matrix instruction.
pub(crate) const DEPTH: usize = 32;

/// The same for bytes.
pub(crate) const INT8_DEPTH: usize = 64;

/// Weights of a column that share a scale when packed into 4 bits.
pub(crate) const INT4_GROUP: usize = 32;

/// One product of the rows of `a` with a panel, whose summed dimension is spread over blocks.
pub(crate) struct Product<'a, E> {
    /// Rows of `a_stride` elements, the first `k * blocks.len()` of which are used.
    pub(crate) a: &'a [E],
    pub(crate) a_stride: usize,
    pub(crate) rows: usize,
    /// Each block holds `k` places of the summed dimension from element `offset` on.
    pub(crate) blocks: &'a [&'a [E]],
    pub(crate) offset: usize,
    pub(crate) k: usize,
    /// Rows of `c_stride` elements, the first [`PANEL`] of which are written.
    pub(crate) c: &'a mut [f32],
    pub(crate) c_stride: usize,
    /// Whether the product is added to what `c` holds.
    pub(crate) accumulate: bool,
    /// What will be read soon, if known.
    pub(crate) ahead: Option<&'a [E]>,
}

/// The same with pointers, its bounds checked.
struct RawProduct<E> {
    a: *const E,
    a_stride: usize,
    rows: usize,
    blocks: *const *const E,
    n_blocks: usize,
    k: usize,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
    /// What will be read soon, to be brought nearer: a hint, never read itself.
    ahead: *const E,
}

/// The kernels for elements of type `E`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernels<E: Element> {
    pub(crate) instructions: InstructionSet,
    /// Rows are computed in whole groups of so many: buffers hold rows without meaning up to there.
    pub(crate) row_group: usize,
    /// Places of the summed dimension after which a product turns to the next rows, so that its panel stays near.
    pub(crate) k_block: usize,
    /// Tokens computed together: enough that weights are read seldom, few enough that activations stay near.
    pub(crate) chunk: usize,
    product: unsafe fn(&RawProduct<E>),
    /// Unsigned bytes times signed bytes, both held as `u8`; the sums are the bits of `i32`.
    int8_product: unsafe fn(&RawProduct<u8>),
    quantize: unsafe fn(&[E], &mut [u8]) -> f32,
    #[expect(clippy::type_complexity, reason = "a signature, written once here and once where it is called")]
    dequantize: unsafe fn(&mut [f32], &[f32], &[f32], &[i32]),
    unpack_int4: unsafe fn(&[u8], &[f32], &mut [E]),
    rms_norm: unsafe fn(&[f32], &[f32], f32, &mut [E], usize),
    norms: unsafe fn(&[f32], usize, &mut [f32]),
    rotate: unsafe fn(&mut [f32], &[f32], &[f32], usize, f32),
    store: unsafe fn(&[f32], &mut [E], usize),
    store_scaled: unsafe fn(&[f32], &[f32], &mut [E], usize),
    store_columns: unsafe fn(&[f32], usize, &mut [E]),
    store_rows: unsafe fn(&[f32], usize, &mut [E]),
    add: unsafe fn(&[f32], &mut [f32], usize, usize),
    swiglu: unsafe fn(&[f32], &mut [E], usize),
    softmax: unsafe fn(&mut [f32], usize, usize, &mut [E]) -> f32,
    entropy: unsafe fn(&mut [f32], usize) -> f32,
}

/// An element with kernels.
pub(crate) trait HasKernels: Element {
    /// The kernels of a set that this processor has.
    fn kernels(instructions: InstructionSet) -> Kernels<Self>;
}

/// Compiles the functions of [`lanes`] for some processor features and makes the table of `$product` and them.
macro_rules! table {
    ($name:ident, $arithmetic:ty, $($features:literal)?) => {
        mod $name {
            use super::{Element, InstructionSet, Kernels, RawProduct, lanes};
            type A = $arithmetic;

            $(#[target_feature(enable = $features)])?
            fn quantize<E: Element>(x: &[E], out: &mut [u8]) -> f32 {
                lanes::quantize::<E>(x, out)
            }
            $(#[target_feature(enable = $features)])?
            fn dequantize(block: &mut [f32], rows: &[f32], columns: &[f32], offsets: &[i32]) {
                lanes::dequantize(block, rows, columns, offsets);
            }
            $(#[target_feature(enable = $features)])?
            fn unpack_int4<E: Element>(nibbles: &[u8], scales: &[f32], out: &mut [E]) {
                lanes::unpack_int4::<A, E>(nibbles, scales, out);
            }
            $(#[target_feature(enable = $features)])?
            fn rms_norm<E: Element>(x: &[f32], gamma: &[f32], eps: f32, out: &mut [E], stride: usize) {
                lanes::rms_norm::<A, E>(x, gamma, eps, out, stride);
            }
            $(#[target_feature(enable = $features)])?
            fn norms(x: &[f32], dim: usize, out: &mut [f32]) {
                lanes::norms::<A>(x, dim, out);
            }
            $(#[target_feature(enable = $features)])?
            fn rotate(block: &mut [f32], cos: &[f32], sin: &[f32], stride: usize, scale: f32) {
                lanes::rotate::<A>(block, cos, sin, stride, scale);
            }
            $(#[target_feature(enable = $features)])?
            fn store<E: Element>(block: &[f32], out: &mut [E], stride: usize) {
                lanes::store::<A, E>(block, out, stride);
            }
            $(#[target_feature(enable = $features)])?
            fn store_scaled<E: Element>(block: &[f32], factors: &[f32], out: &mut [E], stride: usize) {
                lanes::store_scaled::<A, E>(block, factors, out, stride);
            }
            $(#[target_feature(enable = $features)])?
            fn store_columns<E: Element>(block: &[f32], first: usize, panel: &mut [E]) {
                lanes::store_columns::<A, E>(block, first, panel);
            }
            $(#[target_feature(enable = $features)])?
            fn store_rows<E: Element>(block: &[f32], first: usize, panel: &mut [E]) {
                lanes::store_rows::<A, E>(block, first, panel);
            }
            $(#[target_feature(enable = $features)])?
            fn add(block: &[f32], x: &mut [f32], stride: usize, width: usize) {
                lanes::add(block, x, stride, width);
            }
            $(#[target_feature(enable = $features)])?
            fn swiglu<E: Element>(block: &[f32], out: &mut [E], stride: usize) {
                lanes::swiglu::<A, E>(block, out, stride);
            }
            $(#[target_feature(enable = $features)])?
            fn softmax<E: Element>(scores: &mut [f32], lo: usize, hi: usize, out: &mut [E]) -> f32 {
                lanes::softmax::<A, E>(scores, lo, hi, out)
            }
            $(#[target_feature(enable = $features)])?
            fn entropy(logits: &mut [f32], n: usize) -> f32 {
                lanes::entropy::<A>(logits, n)
            }

            pub(super) fn table<E: Element>(
                instructions: InstructionSet,
                row_group: usize,
                k_block: usize,
                chunk: usize,
                product: unsafe fn(&RawProduct<E>),
                int8_product: unsafe fn(&RawProduct<u8>),
            ) -> Kernels<E> {
                Kernels {
                    instructions,
                    row_group,
                    k_block,
                    chunk,
                    product,
                    int8_product,
                    quantize: quantize::<E>,
                    dequantize,
                    unpack_int4: unpack_int4::<E>,
                    rms_norm: rms_norm::<E>,
                    norms,
                    rotate,
                    store: store::<E>,
                    store_scaled: store_scaled::<E>,
                    store_columns: store_columns::<E>,
                    store_rows: store_rows::<E>,
                    add,
                    swiglu: swiglu::<E>,
                    softmax: softmax::<E>,
                    entropy,
                }
            }
        }
    };
}

#[cfg(not(target_arch = "aarch64"))]
table!(baseline, lanes::Separate,);
#[cfg(target_arch = "aarch64")]
table!(baseline, lanes::Fused,);
#[cfg(target_arch = "x86_64")]
table!(avx2, lanes::Fused, "avx2,fma");
#[cfg(target_arch = "x86_64")]
table!(avx512_bf16, lanes::FusedBf16, "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma");
#[cfg(target_arch = "x86_64")]
table!(avx512, lanes::Fused, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma");

impl HasKernels for f32 {
    fn kernels(instructions: InstructionSet) -> Kernels<f32> {
        assert!(!instructions.has_bf16(), "{instructions} has no products of float32 numbers");
        assert!(instructions.is_available(), "{instructions} was asked for without asking the processor");
        match instructions {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => {
                avx2::table(instructions, 1, 256, 192, x86::f32_avx2::product, int8_product(instructions))
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => {
                avx512::table(instructions, 1, 256, 192, x86::f32_avx512::product, int8_product(instructions))
            }
            _ => baseline::table(instructions, 1, 256, 192, portable::product, int8_product(instructions)),
        }
    }
}

impl HasKernels for Bf16 {
    fn kernels(instructions: InstructionSet) -> Kernels<Bf16> {
        assert!(instructions.is_available(), "{instructions} was asked for without asking the processor");
        match instructions {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => {
                avx2::table(instructions, 1, 256, 192, x86::bf16_avx2::product, int8_product(instructions))
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => {
                avx512::table(instructions, 1, 256, 192, x86::bf16_avx512::product, int8_product(instructions))
            }
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Bf16 => {
                avx512_bf16::table(instructions, 1, 512, 192, x86::bf16_dot::product, int8_product(instructions))
            }
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            InstructionSet::AmxBf16 => {
                avx512_bf16::table(instructions, 32, 512, 256, amx::product, int8_product(instructions))
            }
            _ => baseline::table(instructions, 1, 256, 192, portable::product, int8_product(instructions)),
        }
    }
}

/// The product of bytes that is best with a set.
fn int8_product(instructions: InstructionSet) -> unsafe fn(&RawProduct<u8>) {
    match instructions {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        InstructionSet::AmxBf16 => amx::int8_product,
        #[cfg(target_arch = "x86_64")]
        set if set >= InstructionSet::Avx512 && is_x86_feature_detected!("avx512vnni") => x86::int8_dot::product,
        #[cfg(target_arch = "x86_64")]
        set if set >= InstructionSet::Avx2 => x86::int8_avx2::product,
        _ => portable::int8_product,
    }
}

/// The right to call kernels on this thread: while it lives, the thread's tile registers are set up where there are any.
pub(crate) struct Active<'a, E: Element> {
    kernels: &'a Kernels<E>,
    /// Bound to its thread.
    _not_send: PhantomData<*const ()>,
}

impl<E: Element> Kernels<E> {
    /// The kernels on this thread.
    pub(crate) fn activate(&self) -> Active<'_, E> {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if self.instructions == InstructionSet::AmxBf16 {
            amx::enter();
        }
        Active { kernels: self, _not_send: PhantomData }
    }
}

impl<E: Element> Drop for Active<'_, E> {
    fn drop(&mut self) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if self.kernels.instructions == InstructionSet::AmxBf16 {
            amx::leave();
        }
    }
}

/// Most blocks of one call; longer products are cut.
const MAX_BLOCKS: usize = 32;

/// Calls `kernel` for `product`. Rows up to a whole `row_group` may be read from `a` and written to `c`; `depth` is what the
/// summed dimension must be a multiple of.
///
/// # Panics
///
/// When a slice is too short.
///
/// # Safety
///
/// The processor must have the kernel's instructions, set up on this thread.
unsafe fn call<T>(kernel: unsafe fn(&RawProduct<T>), product: Product<'_, T>, row_group: usize, depth: usize) {
    let Product { a, a_stride, rows, blocks, offset, k, c, c_stride, accumulate, ahead } = product;
    if rows == 0 {
        return;
    }
    let last_row = rows.next_multiple_of(row_group) - 1;
    assert!(k.is_multiple_of(depth), "summed dimensions are padded");
    assert!((a_stride * size_of::<T>()).is_multiple_of(size_of::<u32>()), "rows are whole words");
    assert!(a.as_ptr().cast::<u32>().is_aligned(), "rows start at words");
    assert!(a.len() >= last_row * a_stride + k * blocks.len());
    assert!(c.len() >= last_row * c_stride + PANEL);
    for (n_before, blocks) in blocks.chunks(MAX_BLOCKS).enumerate().map(|(i, blocks)| (i * MAX_BLOCKS, blocks)) {
        let mut pointers = [std::ptr::null(); MAX_BLOCKS];
        for (pointer, block) in pointers.iter_mut().zip(blocks) {
            let panel = &block[offset..offset + k * PANEL];
            assert!(panel.as_ptr().cast::<u32>().is_aligned(), "panels start at words");
            *pointer = panel.as_ptr();
        }
        let raw = RawProduct {
            a: a[n_before * k..].as_ptr(),
            a_stride,
            rows,
            blocks: pointers.as_ptr(),
            n_blocks: blocks.len(),
            k,
            c: c.as_mut_ptr(),
            c_stride,
            accumulate: accumulate || n_before > 0,
            ahead: ahead.map_or(pointers[0], <[T]>::as_ptr),
        };
        // SAFETY: the bounds of all slices, up to whole groups of rows, were checked just now; the rest is the caller's
        // promise.
        unsafe { kernel(&raw) }
    }
}

/// The product of `rows` rows of `a` with panel `n` of `panels`, which are of depth `k`, in parts of at most `k_block` so
/// that a part stays near while the rows go by; `call` computes one part. Writes `rows` rows of [`PANEL`] to `c`.
fn panel_product<T>(
    (a, a_stride): (&[T], usize),
    rows: usize,
    (panels, n): (&[T], usize),
    (k, k_block, depth): (usize, usize, usize),
    c: &mut [f32],
    call: impl Fn(Product<'_, T>),
) {
    let panel = n * k * PANEL..(n + 1) * k * PANEL;
    let part = k.div_ceil(k.div_ceil(k_block)).next_multiple_of(depth);
    for start in (0..k).step_by(part) {
        call(Product {
            a: &a[start..],
            a_stride,
            rows,
            blocks: &[&panels[panel.clone()]],
            offset: start * PANEL,
            k: part.min(k - start),
            c,
            c_stride: PANEL,
            accumulate: start > 0,
            // While this part goes by, the same part of the next panel comes nearer.
            ahead: panels.get(panel.end + start * PANEL..),
        });
    }
}

impl<E: Element> Active<'_, E> {
    /// See [`Product`]. Rows up to a whole group may be read from `a` and written to `c`.
    ///
    /// # Panics
    ///
    /// When a slice is too short.
    pub(crate) fn product(&self, product: Product<'_, E>) {
        // SAFETY: the table holds only kernels of instructions that the processor has, and this thread is set up.
        unsafe { call(self.kernels.product, product, self.kernels.row_group, DEPTH) }
    }

    /// The same for bytes: unsigned in `a`, signed in the blocks. The results are the bits of `i32`.
    pub(crate) fn int8_product(&self, product: Product<'_, u8>) {
        // SAFETY: as above.
        unsafe { call(self.kernels.int8_product, product, self.kernels.row_group, INT8_DEPTH) }
    }

    /// See [`panel_product`].
    pub(crate) fn panel_product(&self, a: (&[E], usize), rows: usize, panel: (&[E], usize), k: usize, c: &mut [f32]) {
        let call = |product: Product<'_, E>| self.product(product);
        panel_product(a, rows, panel, (k, self.kernels.k_block, DEPTH), c, call);
    }

    /// The same for bytes, as in [`int8_product`](Self::int8_product).
    pub(crate) fn int8_panel_product(
        &self,
        a: (&[u8], usize),
        rows: usize,
        panel: (&[u8], usize),
        k: usize,
        c: &mut [f32],
    ) {
        let call = |product: Product<'_, u8>| self.int8_product(product);
        panel_product(a, rows, panel, (k, 2 * self.kernels.k_block, INT8_DEPTH), c, call);
    }
}

/// Safe calls of the table's functions; their documentation is at the functions of [`lanes`] with the same names.
macro_rules! calls {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl<E: Element> Active<'_, E> {
            $(
                #[doc = concat!("See [`lanes::", stringify!($name), "`].")]
                #[inline]
                pub(crate) fn $name(&self, $($argument: $type),*) $(-> $result)? {
                    // SAFETY: the functions are safe but for the processor features they are compiled for, and the
                    // table holds only functions of features that the processor has.
                    unsafe { (self.kernels.$name)($($argument),*) }
                }
            )*
        }
    };
}

calls! {
    quantize(x: &[E], out: &mut [u8]) -> f32;
    dequantize(block: &mut [f32], rows: &[f32], columns: &[f32], offsets: &[i32]);
    unpack_int4(nibbles: &[u8], scales: &[f32], out: &mut [E]);
    rms_norm(x: &[f32], gamma: &[f32], eps: f32, out: &mut [E], stride: usize);
    norms(x: &[f32], dim: usize, out: &mut [f32]);
    rotate(block: &mut [f32], cos: &[f32], sin: &[f32], stride: usize, scale: f32);
    store(block: &[f32], out: &mut [E], stride: usize);
    store_scaled(block: &[f32], factors: &[f32], out: &mut [E], stride: usize);
    store_columns(block: &[f32], first: usize, panel: &mut [E]);
    store_rows(block: &[f32], first: usize, panel: &mut [E]);
    add(block: &[f32], x: &mut [f32], stride: usize, width: usize);
    swiglu(block: &[f32], out: &mut [E], stride: usize);
    softmax(scores: &mut [f32], lo: usize, hi: usize, out: &mut [E]) -> f32;
    entropy(logits: &mut [f32], n: usize) -> f32;
}
