//! A weight matrix, packed once into panels.

use crate::buffer::Buffer;
use crate::element::Element;
use crate::kernels::{Active, DEPTH, INT4_GROUP, INT8_DEPTH, INT8_OFFSET, PANEL, panel_index};
use crate::quantization::{Quantization, quantize_row};

/// A matrix `[in, columns]` in panels of [`PANEL`] columns.
#[derive(Debug)]
pub(crate) struct Matrix<E> {
    panels: Panels<E>,
    n_panels: usize,
    /// Rows of the matrix, filled up to a multiple of [`DEPTH`].
    depth: usize,
}

#[derive(Debug)]
enum Panels<E> {
    /// As they are multiplied.
    Float(Buffer<E>),
    /// Signed bytes, `[k / 4][PANEL][4]`, of depth `depth`; for each column what a step is worth, and the sum of its
    /// weights times [`INT8_OFFSET`], which is too much in the product.
    Int8 { numbers: Buffer<u8>, depth: usize, scales: Vec<f32>, offsets: Vec<i32> },
    /// Halves of bytes in the order of [`Float`](Self::Float), offset by 8, and for each panel and group of
    /// [`INT4_GROUP`] places what a step of each column is worth.
    Int4 { nibbles: Vec<u8>, scales: Vec<f32> },
}

/// Room for what a product leaves and needs on the way.
#[derive(Debug)]
pub(crate) struct Workspace<E> {
    /// Results of one panel.
    pub(crate) block: Buffer<f32>,
    /// Activations in 8 bits, and what a step of each row is worth.
    bytes: Buffer<u8>,
    row_scales: Vec<f32>,
    /// One panel, unpacked.
    panel: Buffer<E>,
}

impl<E: Element> Workspace<E> {
    /// Room for `rows` rows, in whole groups, of matrices of depth up to `depth`.
    pub(crate) fn new(rows: usize, depth: usize, how: Quantization) -> Self {
        let (int8, int4) = (how == Quantization::Int8, how == Quantization::Int4);
        Self {
            block: Buffer::new(rows * PANEL),
            bytes: Buffer::new(usize::from(int8) * rows * byte_stride(depth)),
            row_scales: vec![0.0; rows],
            panel: Buffer::new(usize::from(int4) * depth.next_multiple_of(DEPTH) * PANEL),
        }
    }
}

/// Bytes between the starts of two rows of activations: whole steps, and a line more for the cache's sake.
fn byte_stride(depth: usize) -> usize {
    depth.next_multiple_of(INT8_DEPTH) + 64
}

impl<E: Element> Matrix<E> {
    /// Packs `n_panels` panels of depth `depth`; `fill(column, values)` writes the weights of a column over zeros.
    pub(crate) fn pack(depth: usize, n_panels: usize, how: Quantization, fill: impl Fn(usize, &mut [f32])) -> Self {
        let depth = depth.next_multiple_of(DEPTH);
        let mut values = vec![0.0; depth];
        let mut column = |column: usize| {
            values.fill(0.0);
            fill(column, &mut values);
            values.clone()
        };
        let panels = match how {
            Quantization::None => {
                let mut panels = Buffer::new(n_panels * depth * PANEL);
                for (n, panel) in panels.chunks_exact_mut(depth * PANEL).enumerate() {
                    for c in 0..PANEL {
                        let values = column(n * PANEL + c);
                        let groups = panel.chunks_exact_mut(PANEL * E::GROUP);
                        for (group, values) in groups.zip(values.chunks_exact(E::GROUP)) {
                            for (place, &value) in group[c * E::GROUP..].iter_mut().zip(values) {
                                *place = E::from_f32(value);
                            }
                        }
                    }
                }
                Panels::Float(panels)
            }
            Quantization::Int8 => {
                let int8_depth = depth.next_multiple_of(INT8_DEPTH);
                let mut numbers = Buffer::<u8>::new(n_panels * int8_depth * PANEL);
                let (mut scales, mut offsets) = (Vec::new(), Vec::new());
                for (n, panel) in numbers.chunks_exact_mut(int8_depth * PANEL).enumerate() {
                    for c in 0..PANEL {
                        let (row, scale) = quantize_row(how, &column(n * PANEL + c));
                        for (k, number) in row.iter().enumerate() {
                            panel[(k / 4 * PANEL + c) * 4 + k % 4] = number.cast_unsigned();
                        }
                        scales.push(scale[0]);
                        offsets.push(row.iter().map(|&number| i32::from(number)).sum::<i32>() * INT8_OFFSET);
                    }
                }
                Panels::Int8 { numbers, depth: int8_depth, scales, offsets }
            }
            Quantization::Int4 => {
                let group_len = INT4_GROUP * PANEL;
                let mut nibbles = vec![0u8; n_panels * depth * PANEL / 2];
                let mut scales = vec![0.0; n_panels * depth / INT4_GROUP * PANEL];
                for n in 0..n_panels {
                    for c in 0..PANEL {
                        let (row, row_scales) = quantize_row(how, &column(n * PANEL + c));
                        for (group, (numbers, scale)) in row.chunks(INT4_GROUP).zip(row_scales).enumerate() {
                            let group = n * depth / INT4_GROUP + group;
                            scales[group * PANEL + c] = scale;
                            let nibbles = &mut nibbles[group * group_len / 2..][..group_len / 2];
                            for (k, &number) in numbers.iter().enumerate() {
                                let at = panel_index::<E>(k, c);
                                let shift = 4 * (at / (group_len / 2));
                                nibbles[at % (group_len / 2)] |= (number + 8).cast_unsigned() << shift;
                            }
                        }
                    }
                }
                Panels::Int4 { nibbles, scales }
            }
        };
        Self { panels, n_panels, depth }
    }

    /// Multiplies `rows` rows of `a` by each panel in turn; `take(n, block)` gets panel `n`'s results, `rows` of [`PANEL`].
    pub(crate) fn multiply(
        &self,
        kernels: &Active<'_, E>,
        (a, a_stride): (&[E], usize),
        rows: usize,
        workspace: &mut Workspace<E>,
        mut take: impl FnMut(usize, &mut [f32]),
    ) {
        let Workspace { block, bytes, row_scales, panel } = workspace;
        if let Panels::Int8 { depth, .. } = &self.panels {
            let rows =
                a.chunks(a_stride).zip(bytes.chunks_exact_mut(byte_stride(*depth))).zip(&mut *row_scales).take(rows);
            for ((a, bytes), scale) in rows {
                *scale = kernels.quantize(&a[..self.depth], bytes);
            }
        }
        for n in 0..self.n_panels {
            match &self.panels {
                Panels::Float(panels) => {
                    kernels.panel_product((a, a_stride), rows, (panels, n), self.depth, block);
                }
                Panels::Int8 { numbers, depth, scales, offsets } => {
                    kernels.int8_panel_product((bytes, byte_stride(*depth)), rows, (numbers, n), *depth, block);
                    let columns = n * PANEL..(n + 1) * PANEL;
                    let block = &mut block[..rows * PANEL];
                    kernels.dequantize(block, row_scales, &scales[columns.clone()], &offsets[columns]);
                }
                Panels::Int4 { nibbles, scales } => {
                    let len = self.depth * PANEL;
                    let scales = &scales[n * len / INT4_GROUP..][..len / INT4_GROUP];
                    kernels.unpack_int4(&nibbles[n * len / 2..][..len / 2], scales, &mut panel[..len]);
                    kernels.panel_product((a, a_stride), rows, (&panel[..len], 0), self.depth, block);
                }
            }
            take(n, &mut block[..rows * PANEL]);
        }
    }

    /// Bytes it takes.
    pub(crate) fn n_bytes(&self) -> usize {
        match &self.panels {
            Panels::Float(panels) => size_of_val(&panels[..]),
            Panels::Int8 { numbers, scales, offsets, .. } => numbers.len() + 4 * (scales.len() + offsets.len()),
            Panels::Int4 { nibbles, scales } => nibbles.len() + 4 * scales.len(),
        }
    }
}
