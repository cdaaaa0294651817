//! Every kernel against its plain twin: formulas in float64, on numbers of every kind.

use proptest::prelude::*;

use super::*;
use crate::buffer::Buffer;

/// Numbers for a test: which kind, from a seed.
#[derive(Debug, Clone, Copy)]
enum Numbers {
    Ordinary,
    AllEqual,
    Huge,
    Denormal,
}

const KINDS: [Numbers; 4] = [Numbers::Ordinary, Numbers::AllEqual, Numbers::Huge, Numbers::Denormal];

fn kinds() -> impl Strategy<Value = Numbers> {
    prop::sample::select(&KINDS[..])
}

/// `n` numbers, exact in `E`.
fn numbers<E: Element>(kind: Numbers, n: usize, seed: u64) -> Vec<E> {
    let mut state = seed | 1;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let scale = match kind {
        Numbers::Ordinary => 4.0,
        Numbers::AllEqual => return vec![E::from_f32(next() * 3.0); n],
        Numbers::Huge => 1e15,
        Numbers::Denormal => 1e-39,
    };
    (0..n).map(|_| E::from_f32(next() * scale)).collect()
}

/// The same in memory as the products want it.
fn aligned<T: Copy + Default>(values: &[T]) -> Buffer<T> {
    let mut buffer = Buffer::new(values.len());
    buffer.copy_from_slice(values);
    buffer
}

/// The kernels of every set that this machine has.
fn every<E: HasKernels>() -> Vec<Kernels<E>> {
    let suits = |set: &InstructionSet| set.is_available() && !(E::IS_EXACT && set.has_bf16());
    InstructionSet::ALL.into_iter().filter(suits).map(E::kernels).collect()
}

/// What is the same for all: kernels that flush denormals to zero are as far off as those are large.
#[track_caller]
fn assert_near(found: f32, expected: f64, tolerance: f64, context: &str) {
    let off = (f64::from(found) - expected).abs();
    assert!(off <= tolerance + 1e-37, "{context}: {found:e} instead of {expected:e}, off by {off:e} > {tolerance:e}");
}

fn check_product<E: HasKernels>(
    (rows, n_blocks, depth): (usize, usize, usize),
    accumulate: bool,
    kind: Numbers,
    seed: u64,
) {
    let (k, offset) = (depth * DEPTH, 64);
    let (a_stride, c_stride) = (k * n_blocks + 6, PANEL + 5);
    let padded = rows.next_multiple_of(32);
    let a = aligned(&numbers::<E>(kind, padded * a_stride, seed));
    let blocks: Vec<Buffer<E>> =
        (0..n_blocks).map(|i| aligned(&numbers(kind, offset + k * PANEL, seed ^ (i as u64 + 7)))).collect();
    let blocks: Vec<&[E]> = blocks.iter().map(|block| &block[..]).collect();
    let before = numbers::<f32>(kind, padded * c_stride, seed ^ 99);
    for kernels in every::<E>() {
        let mut c = before.clone();
        kernels.activate().product(Product {
            a: &a,
            a_stride,
            rows,
            blocks: &blocks,
            offset,
            k,
            c: &mut c,
            c_stride,
            accumulate,
            ahead: Some(blocks[0]),
        });
        for row in 0..rows {
            for column in 0..PANEL {
                let start = f64::from(before[row * c_stride + column]) * f64::from(u8::from(accumulate));
                let (mut sum, mut size) = (start, start.abs());
                for (i, block) in blocks.iter().enumerate() {
                    for place in 0..k {
                        let term = f64::from(a[row * a_stride + i * k + place].to_f32())
                            * f64::from(block[offset + lanes::panel_index::<E>(place, column)].to_f32());
                        sum += term;
                        size += term.abs();
                    }
                }
                let context = format!("{} {kind:?} {rows}x{n_blocks}x{k}", kernels.instructions);
                // Each of the additions, one after another, rounds to 24 bits.
                let tolerance = 6e-8 * (k * n_blocks + 1) as f64 * size;
                assert_near(c[row * c_stride + column], sum, tolerance, &context);
            }
            // Nothing is written beside the block.
            assert_eq!(c[row * c_stride + PANEL..(row + 1) * c_stride], before[row * c_stride + PANEL..][..5]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_equal_the_sum_of_their_terms(
        shape in (1usize..45, 1usize..4, 1usize..5), accumulate: bool, kind in kinds(), seed: u64,
    ) {
        check_product::<f32>(shape, accumulate, kind, seed);
        check_product::<Bf16>(shape, accumulate, kind, seed);
    }

    #[test]
    fn elementwise_kernels_equal_their_plain_twins(rows in 1usize..70, kind in kinds(), seed: u64) {
        check_elementwise::<f32>(rows, kind, seed);
        check_elementwise::<Bf16>(rows, kind, seed);
    }

    #[test]
    fn softmax_and_entropy_equal_their_formulas(lo in 0usize..60, n in 1usize..130, kind in kinds(), seed: u64) {
        check_softmax::<f32>(lo, n, kind, seed);
        check_softmax::<Bf16>(lo, n, kind, seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Sums of bytes are exact, so all kernels give the same.
    #[test]
    fn products_of_bytes_are_exact(rows in 1usize..45, n_blocks in 1usize..4, depth in 1usize..4, seed: u64) {
        check_int8(rows, n_blocks, depth, seed, |_| None);
        check_int8(rows, n_blocks, depth, seed, |is_left| Some(if is_left { 255 } else { 0x80 }));
    }

    #[test]
    fn quantized_rows_come_back(n in 1usize..150, kind in kinds(), seed: u64) {
        check_quantize::<f32>(n, kind, seed);
        check_quantize::<Bf16>(n, kind, seed);
    }

    #[test]
    fn four_bits_are_unpacked(groups in 1usize..4, seed: u64) {
        check_int4::<f32>(groups, seed);
        check_int4::<Bf16>(groups, seed);
    }
}

fn bytes(n: usize, seed: u64) -> Vec<u8> {
    numbers::<f32>(Numbers::Ordinary, n, seed).iter().map(|x| (x.to_bits() >> 3) as u8).collect()
}

fn check_int8(rows: usize, n_blocks: usize, depth: usize, seed: u64, all: impl Fn(bool) -> Option<u8>) {
    let k = depth * INT8_DEPTH;
    let a_stride = k * n_blocks + 8;
    let padded = rows.next_multiple_of(32);
    let fill = |n, seed, is_left| aligned(&all(is_left).map_or_else(|| bytes(n, seed), |byte| vec![byte; n]));
    let a = fill(padded * a_stride, seed, true);
    let blocks: Vec<Buffer<u8>> = (0..n_blocks).map(|i| fill(k * PANEL, seed ^ (i as u64 + 7), false)).collect();
    let blocks: Vec<&[u8]> = blocks.iter().map(|block| &block[..]).collect();
    for kernels in every::<Bf16>() {
        let mut c = vec![f32::from_bits(3); padded * PANEL];
        kernels.activate().int8_product(Product {
            a: &a,
            a_stride,
            rows,
            blocks: &blocks,
            offset: 0,
            k,
            c: &mut c,
            c_stride: PANEL,
            accumulate: true,
            ahead: None,
        });
        for (i, found) in c[..rows * PANEL].iter().enumerate() {
            let (row, column) = (i / PANEL, i % PANEL);
            let expected: i32 = (0..n_blocks * k)
                .map(|at| {
                    let (block, place) = (at / k, at % k);
                    let weight = blocks[block][(place / 4 * PANEL + column) * 4 + place % 4].cast_signed();
                    i32::from(a[row * a_stride + at]) * i32::from(weight)
                })
                .sum();
            assert_eq!(found.to_bits() as i32, expected + 3, "{} {row} {column}", kernels.instructions);
        }
    }
}

fn check_quantize<E: HasKernels>(n: usize, kind: Numbers, seed: u64) {
    let x = numbers::<E>(kind, n, seed);
    for kernels in every::<E>() {
        let kernels = kernels.activate();
        let mut out = vec![0; n];
        let step = kernels.quantize(&x, &mut out);
        // Back to numbers: a block whose sums are the bytes themselves.
        for (&byte, x) in out.iter().zip(&x) {
            let mut block = [f32::from_bits(u32::from(byte)); PANEL];
            kernels.dequantize(&mut block, &[step], &[1.0; PANEL], &[lanes::INT8_OFFSET; PANEL]);
            let x = f64::from(x.to_f32());
            assert_near(block[5], x, 0.501 * f64::from(step), &format!("{} {kind:?}", kernels.kernels.instructions));
        }
    }
}

fn check_int4<E: HasKernels>(groups: usize, seed: u64) {
    let len = groups * INT4_GROUP * PANEL;
    let nibbles = bytes(len / 2, seed);
    let scales = numbers::<f32>(Numbers::Ordinary, groups * PANEL, seed ^ 1);
    for kernels in every::<E>() {
        let kernels = kernels.activate();
        let mut out = vec![E::default(); len];
        kernels.unpack_int4(&nibbles, &scales, &mut out);
        for (group, out) in out.chunks(INT4_GROUP * PANEL).enumerate() {
            for (k, column) in (0..INT4_GROUP).flat_map(|k| (0..PANEL).map(move |column| (k, column))) {
                let at = lanes::panel_index::<E>(k, column);
                let half = INT4_GROUP * PANEL / 2;
                let nibble = nibbles[group * half + at % half] >> (4 * (at / half)) & 15;
                let expected = f64::from(i32::from(nibble) - 8) * f64::from(scales[group * PANEL + column]);
                assert_near(out[at].to_f32(), expected, expected.abs() / 256.0, kernels.kernels.instructions.name());
            }
        }
    }
}

/// More blocks than one call takes.
#[test]
fn long_products_are_cut() {
    check_product::<f32>((3, MAX_BLOCKS + 5, 1), false, Numbers::Ordinary, 5);
    check_product::<Bf16>((33, 2 * MAX_BLOCKS + 1, 1), true, Numbers::Ordinary, 6);
}

fn check_elementwise<E: HasKernels>(rows: usize, kind: Numbers, seed: u64) {
    let plain = E::kernels(InstructionSet::Portable);
    let plain = plain.activate();
    // Relative: one rounding to the element type, or the arithmetic's own.
    let relative = if E::IS_EXACT { 4e-6 } else { 1.0 / 128.0 };
    let block = numbers::<f32>(kind, rows * PANEL, seed);
    let dim = 1 + (seed % 90) as usize;
    let x = numbers::<f32>(kind, rows * dim, seed ^ 1);
    let gamma = numbers::<f32>(Numbers::Ordinary, dim, seed ^ 2);
    let factors = numbers::<f32>(Numbers::Ordinary, rows, seed ^ 3);
    let (cos, sin): (Vec<f32>, Vec<f32>) = (0..rows * LANES).map(|i| (i as f32 * 0.37).sin_cos()).unzip();
    let first = (seed % PANEL as u64) as usize;
    let in_panel = &block[..rows.min(PANEL - first) * PANEL];
    let whole_panel = numbers::<f32>(kind, PANEL * PANEL, seed ^ 4);

    for kernels in every::<E>() {
        let kernels = kernels.activate();
        let context = kernels.kernels.instructions.name();
        let same = |what: &str, call: &dyn Fn(&Active<'_, E>, &mut [E])| {
            let (mut found, mut expected) = (vec![E::from_f32(7.0); 130 * rows + 1100], Vec::new());
            expected.clone_from(&found);
            call(&kernels, &mut found);
            call(&plain, &mut expected);
            for (found, expected) in found.iter().zip(&expected) {
                let expected = f64::from(expected.to_f32());
                assert_near(found.to_f32(), expected, relative * expected.abs(), &format!("{context} {what} {kind:?}"));
            }
        };
        same("rms_norm", &|kernels, out| kernels.rms_norm(&x, &gamma, 1e-5, out, 128));
        same("store", &|kernels, out| kernels.store(&block, out, 40));
        same("store_scaled", &|kernels, out| kernels.store_scaled(&block, &factors, out, 40));
        same("store_columns", &|kernels, out| kernels.store_columns(in_panel, first, out));
        same("store_rows", &|kernels, out| kernels.store_rows(in_panel, first, out));
        same("store_columns, whole", &|kernels, out| kernels.store_columns(&whole_panel, 0, out));
        same("store_rows, whole", &|kernels, out| kernels.store_rows(&whole_panel, 0, out));
        same("swiglu", &|kernels, out| {
            // The product of huge numbers is infinite, and its difference is not a number.
            if !matches!(kind, Numbers::Huge) {
                kernels.swiglu(&block, out, 40);
            }
        });
        let same = |what: &str, size: f64, call: &dyn Fn(&Active<'_, E>, &mut [f32])| {
            let (mut found, mut expected) = (block.clone(), block.clone());
            call(&kernels, &mut found);
            call(&plain, &mut expected);
            for (&found, &expected) in found.iter().zip(&expected) {
                assert_near(found, f64::from(expected), 4e-6 * size, &format!("{context} {what} {kind:?}"));
            }
        };
        let size = block.iter().fold(0.0f32, |a, x| a.max(x.abs()));
        same("rotate", 2.0 * f64::from(size), &|kernels, out| kernels.rotate(out, &cos, &sin, LANES, 0.7));
        same("add", 0.0, &|kernels, out| kernels.add(&whole_panel[..out.len().min(PANEL * PANEL)], out, PANEL, PANEL));
        same("add, narrow", 0.0, &|kernels, out| kernels.add(&whole_panel[..PANEL], out, PANEL, 11));
        let largest_norm = x.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
        same("norms", largest_norm, &|kernels, out| kernels.norms(&x, dim, &mut out[..rows]));
    }
}

fn check_softmax<E: HasKernels>(lo: usize, n: usize, kind: Numbers, seed: u64) {
    let len = (lo + n).next_multiple_of(PANEL);
    let scores = numbers::<f32>(kind, len, seed);
    let visible = &scores[lo..lo + n];
    let max = visible.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let exact: Vec<f64> = visible.iter().map(|&x| f64::from(x - max).exp2()).collect();
    let sum: f64 = exact.iter().sum();
    let tolerance = if E::IS_EXACT { 1e-6 } else { 1.0 / 128.0 };
    for kernels in every::<E>() {
        let kernels = kernels.activate();
        let context = format!("{} {kind:?} {lo}+{n}", kernels.kernels.instructions);
        let mut out = vec![E::from_f32(7.0); len];
        let factor = kernels.softmax(&mut scores.clone(), lo, lo + n, &mut out);
        assert_near(factor, 1.0 / sum, 1e-4 / sum, &context);
        for (i, out) in out.iter().enumerate() {
            match i.checked_sub(lo).and_then(|i| exact.get(i)) {
                Some(&expected) => assert_near(out.to_f32(), expected, tolerance * expected.max(1e-30), &context),
                None => assert_eq!(out.to_f32(), 0.0, "{context}: place {i} is hidden"),
            }
        }

        let z: f64 = visible.iter().map(|&x| f64::from(x - max).exp()).sum();
        let mean: f64 = visible.iter().map(|&x| f64::from(x - max).exp() * f64::from(x - max)).sum::<f64>() / z;
        let mut padded = visible.to_vec();
        padded.resize(n.next_multiple_of(LANES), f32::NAN);
        assert_near(kernels.entropy(&mut padded, n), z.ln() - mean, 1e-5, &format!("entropy, {context}"));
    }
}

#[test]
#[should_panic(expected = "a.len() >=")]
fn a_short_left_side_is_refused() {
    let (a, b) = (vec![0.0f32; 63], vec![0.0f32; 32 * PANEL]);
    f32::kernels(InstructionSet::Portable).activate().product(Product {
        a: &a,
        a_stride: 32,
        rows: 2,
        blocks: &[&b],
        offset: 0,
        k: 32,
        c: &mut [0.0; 64],
        c_stride: PANEL,
        accumulate: false,
        ahead: None,
    });
}
