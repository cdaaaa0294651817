//! The transformer over packed weights: one chunk of tokens through all layers.
//!
//! Letters: `t` tokens of the chunk, `d` model width, `f` feed-forward width. Every row's result depends on that row and
//! on the keys and values before it alone, and is summed in an order that depends on positions alone: however a document
//! is cut into chunks, the results are the same to the bit.

use std::collections::BTreeMap;

use blt_checkpoint::{CheckpointError, ModelConfig, RotaryTable, expected_tensors};
use blt_core::{Signals, TokenId, Want};

use crate::attention;
use crate::buffer::Buffer;
use crate::element::Element;
use crate::kernels::{Active, DEPTH, LANES, PANEL};
use crate::matrix::{Matrix, Workspace};
use crate::quantization::Quantization;
use crate::window::{BLOCK, Window};

/// The model's weights and sizes. Field names are the checkpoint's keys, joined where matrices are multiplied together.
#[derive(Debug)]
pub(crate) struct Transformer<E> {
    pub(crate) config: ModelConfig,
    quantization: Quantization,
    /// Width of one head, filled up to whole panels.
    pub(crate) head_width: usize,
    rotary: RotaryTable,
    /// `[260, d]`.
    tok_embeddings: Vec<f32>,
    layers: Vec<Layer<E>>,
    norm: Vec<f32>,
    output: Matrix<E>,
}

#[derive(Debug)]
struct Layer<E> {
    attention_norm: Vec<f32>,
    /// Panels of queries, then of keys, each rotated pair in columns `c` and `c + 16`; then of values.
    wqkv: Matrix<E>,
    wo: Matrix<E>,
    ffn_norm: Vec<f32>,
    /// Each panel: 16 columns of `w1`, then the same 16 of `w3`.
    w13: Matrix<E>,
    w2: Matrix<E>,
}

/// What a thread needs to compute a chunk: one allocation for all its chunks.
#[derive(Debug)]
pub(crate) struct Scratch<E> {
    /// Residual stream, `[t, d]`.
    x: Buffer<f32>,
    /// Input of the matrix at hand.
    a: Buffer<E>,
    /// Queries, then replaced by what attention makes of them.
    pub(crate) q: Buffer<E>,
    /// Input of the feed-forward's last matrix.
    h: Buffer<E>,
    pub(crate) workspace: Workspace<E>,
    pub(crate) scores: Buffer<f32>,
    pub(crate) weights: Buffer<E>,
    logits: Buffer<f32>,
    cos: Buffer<f32>,
    sin: Buffer<f32>,
}

/// A chunk of one document.
pub(crate) struct Chunk<'a> {
    pub(crate) tokens: &'a [TokenId],
    /// Position of the first token.
    pub(crate) position: u64,
    /// For each token the first position it sees.
    pub(crate) first_visible: &'a [u64],
}

/// What is to be computed at the end.
pub(crate) struct Wanted<'a> {
    pub(crate) want: Want,
    /// Takes all logits, `[t, 260]`.
    pub(crate) logits: Option<&'a mut Vec<f32>>,
}

/// Keeps threads that work on neighbouring chunks in step.
pub(crate) trait Steps {
    /// Returns once the chunk before has written its keys and values of `layer`.
    fn wait(&self, layer: usize);

    /// Says that this chunk has.
    fn done(&self, layer: usize);
}

/// A chunk alone.
pub(crate) struct Alone;

impl Steps for Alone {
    fn wait(&self, _: usize) {}
    fn done(&self, _: usize) {}
}

/// Elements between the starts of two rows of `width`: whole steps of the product, and a line more, so that the same
/// column of neighbouring rows does not fall into the same set of the cache.
fn stride<E>(width: usize) -> usize {
    width.next_multiple_of(DEPTH) + 64 / size_of::<E>()
}

/// Rows are computed in whole groups of at most this.
const MAX_ROW_GROUP: usize = 32;

impl<E: Element> Transformer<E> {
    /// Elements of all packed matrices, `None` when there are more than can be counted.
    pub(crate) fn packed_len(config: &ModelConfig) -> Option<usize> {
        let ModelConfig { dim, ffn_dim, head_dim, n_heads, n_kv_heads, n_layers, vocab_size, .. } = *config;
        let padded = |n: usize| n.next_multiple_of(PANEL);
        let heads = (n_heads + 2 * n_kv_heads).checked_mul(padded(head_dim))?;
        let attention = padded(dim).checked_mul(heads.checked_add(n_heads * padded(head_dim))?)?;
        let feed_forward = padded(dim).checked_mul(3 * padded(ffn_dim))?;
        let layers = attention.checked_add(feed_forward)?.checked_mul(n_layers)?;
        layers.checked_add(padded(dim).checked_mul(padded(vocab_size))?)
    }

    /// Packs the tensors that `tensor` gives by their names in the original's layout; `quantization` is for the layers.
    pub(crate) fn pack(
        config: &ModelConfig,
        quantization: Quantization,
        mut tensor: impl FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
    ) -> Result<Self, CheckpointError> {
        let ModelConfig { dim, ffn_dim, head_dim, n_heads, n_kv_heads, vocab_size, .. } = *config;
        let head_width = head_dim.next_multiple_of(PANEL);
        let panels_a_head = head_width / PANEL;
        let lens: BTreeMap<String, usize> =
            expected_tensors(config).into_iter().map(|spec| (spec.name, spec.shape.iter().product())).collect();
        let mut tensor = |name: &str| {
            let values = tensor(name)?;
            assert_eq!(lens.get(name), Some(&values.len()), "`{name}` does not fit the configuration");
            Ok(values)
        };
        let tok_embeddings = tensor("tok_embeddings.weight")?;
        let mut layers = Vec::with_capacity(config.n_layers);
        for layer in 0..config.n_layers {
            let mut tensor = |part: &str| tensor(&format!("layers.{layer}.{part}.weight"));
            let (wq, wk, wv) = (tensor("attention.wq")?, tensor("attention.wk")?, tensor("attention.wv")?);
            let (n_q, n_kv) = (n_heads * panels_a_head, n_kv_heads * panels_a_head);
            let wqkv = Matrix::pack(dim, n_q + 2 * n_kv, quantization, |column, values| {
                let (matrix, first, is_rotated) = match column / PANEL {
                    panel if panel < n_q => (&wq, 0, true),
                    panel if panel < n_q + n_kv => (&wk, n_q * PANEL, true),
                    _ => (&wv, (n_q + n_kv) * PANEL, false),
                };
                let (head, place) = ((column - first) / head_width, (column - first) % head_width);
                let feature = if is_rotated { rotated_feature(place) } else { place };
                if feature < head_dim {
                    copy_row(matrix, head * head_dim + feature, dim, values);
                }
            });
            let wo = tensor("attention.wo")?;
            let wo = Matrix::pack(n_heads * head_width, dim.div_ceil(PANEL), quantization, |column, values| {
                if column < dim {
                    let row = &wo[column * n_heads * head_dim..][..n_heads * head_dim];
                    for (values, row) in values.chunks_mut(head_width).zip(row.chunks(head_dim)) {
                        values[..head_dim].copy_from_slice(row);
                    }
                }
            });
            let (w1, w3) = (tensor("feed_forward.w1")?, tensor("feed_forward.w3")?);
            let w13 = Matrix::pack(dim, ffn_dim.div_ceil(LANES), quantization, |column, values| {
                let matrix = if column % PANEL < LANES { &w1 } else { &w3 };
                copy_row(matrix, column / PANEL * LANES + column % LANES, dim, values);
            });
            let w2 = tensor("feed_forward.w2")?;
            let w2 = Matrix::pack(ffn_dim, dim.div_ceil(PANEL), quantization, |column, values| {
                copy_row(&w2, column, ffn_dim, values)
            });
            let (attention_norm, ffn_norm) = (tensor("attention_norm")?, tensor("ffn_norm")?);
            layers.push(Layer { attention_norm, wqkv, wo, ffn_norm, w13, w2 });
        }
        let output = if config.weight_tying { tok_embeddings.clone() } else { tensor("output.weight")? };
        let output = Matrix::pack(dim, vocab_size.div_ceil(PANEL), Quantization::None, |column, values| {
            copy_row(&output, column, dim, values)
        });
        Ok(Self {
            config: config.clone(),
            quantization,
            head_width,
            rotary: RotaryTable::new(head_dim, config.rope_theta, config.max_seqlen),
            tok_embeddings,
            layers,
            norm: tensor("norm.weight")?,
            output,
        })
    }

    pub(crate) fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// Bytes of the packed weights.
    pub(crate) fn n_bytes(&self) -> usize {
        let layers = self.layers.iter().flat_map(|layer| [&layer.wqkv, &layer.wo, &layer.w13, &layer.w2]);
        layers.chain([&self.output]).map(Matrix::n_bytes).sum::<usize>() + 4 * self.tok_embeddings.len()
    }

    /// Elements of a block of a [`Window`].
    pub(crate) fn window_block_len(&self) -> usize {
        2 * self.config.n_kv_heads * self.head_width * BLOCK
    }

    /// Angles of one position: a whole number of lanes.
    fn angle_stride(&self) -> usize {
        self.head_width / 2
    }

    /// Room for chunks of up to `max_tokens`.
    pub(crate) fn scratch(&self, max_tokens: usize) -> Scratch<E> {
        let config = &self.config;
        let rows = max_tokens.next_multiple_of(MAX_ROW_GROUP);
        let keys = (config.window() + attention::TILE).next_multiple_of(BLOCK) + BLOCK;
        Scratch {
            x: Buffer::new(rows * config.dim),
            a: Buffer::new(rows * stride::<E>(config.dim)),
            h: Buffer::new(rows * stride::<E>(config.ffn_dim)),
            q: Buffer::new(rows * self.q_stride()),
            workspace: Workspace::new(rows, self.deepest(), self.quantization),
            scores: Buffer::new(MAX_ROW_GROUP.max(attention::TILE) * keys),
            weights: Buffer::new(MAX_ROW_GROUP.max(attention::TILE) * stride::<E>(keys)),
            logits: Buffer::new(rows * self.logit_stride()),
            cos: Buffer::new(rows * self.angle_stride()),
            sin: Buffer::new(rows * self.angle_stride()),
        }
    }

    /// Elements between the queries of two tokens.
    pub(crate) fn q_stride(&self) -> usize {
        stride::<E>(self.config.n_heads * self.head_width)
    }

    /// The most that is summed for one output.
    fn deepest(&self) -> usize {
        let ModelConfig { dim, ffn_dim, n_heads, .. } = self.config;
        dim.max(ffn_dim).max(n_heads * self.head_width)
    }

    fn logit_stride(&self) -> usize {
        self.config.vocab_size.next_multiple_of(PANEL)
    }

    /// Runs a chunk through all layers and gives its signals. `windows`, one a layer, hold what the chunk's tokens see
    /// before it and take what they leave.
    pub(crate) fn forward(
        &self,
        kernels: &Active<'_, E>,
        chunk: &Chunk<'_>,
        windows: &[Window<E>],
        steps: &impl Steps,
        scratch: &mut Scratch<E>,
        wanted: Wanted<'_>,
    ) -> Signals {
        let dim = self.config.dim;
        let rows = chunk.tokens.len();
        for (x, &token) in scratch.x.chunks_exact_mut(dim).zip(chunk.tokens) {
            x.copy_from_slice(&self.tok_embeddings[usize::from(token) * dim..][..dim]);
        }
        let positions = chunk.position..chunk.position + rows as u64;
        self.rotary.fill(positions, self.angle_stride(), &mut scratch.cos, &mut scratch.sin);
        for (i, (layer, window)) in self.layers.iter().zip(windows).enumerate() {
            steps.wait(i);
            self.attention_norm_and_qkv(kernels, layer, chunk, window, scratch);
            steps.done(i);
            attention::attend(self, kernels, chunk, window, scratch);
            self.rest_of_layer(kernels, layer, rows, scratch);
        }
        self.signals(kernels, rows, scratch, wanted)
    }

    /// Queries to `scratch.q`, keys and values to `window`.
    fn attention_norm_and_qkv(
        &self,
        kernels: &Active<'_, E>,
        layer: &Layer<E>,
        chunk: &Chunk<'_>,
        window: &Window<E>,
        scratch: &mut Scratch<E>,
    ) {
        let config = &self.config;
        let (rows, q_stride, a_stride) = (chunk.tokens.len(), self.q_stride(), stride::<E>(config.dim));
        let Scratch { x, a, q, workspace, cos, sin, .. } = scratch;
        kernels.rms_norm(&x[..rows * config.dim], &layer.attention_norm, config.norm_eps as f32, a, a_stride);
        let first_block = chunk.position / BLOCK as u64;
        let last_block = (chunk.position + rows as u64 - 1) / BLOCK as u64;
        let mut blocks: Vec<_> = (first_block..=last_block).map(|index| window.write(index)).collect();
        let offset = (chunk.position % BLOCK as u64) as usize;

        let panels_a_head = self.head_width / PANEL;
        let (n_q, n_kv) = (config.n_heads * panels_a_head, config.n_kv_heads * panels_a_head);
        // Scores leave the product as exponents of 2.
        let query_scale = std::f32::consts::LOG2_E / (config.head_dim as f32).sqrt();
        layer.wqkv.multiply(kernels, (a, a_stride), rows, workspace, |n, result| {
            let angles = n % panels_a_head * LANES;
            if n < n_q + n_kv {
                let scale = if n < n_q { query_scale } else { 1.0 };
                kernels.rotate(result, &cos[angles..], &sin[angles..], self.angle_stride(), scale);
            }
            if n < n_q {
                return kernels.store(result, &mut q[n * PANEL..], q_stride);
            }
            let at = (n - n_q) * PANEL * BLOCK;
            let (mut rest, mut first) = (&result[..], offset);
            for block in &mut blocks {
                let (here, after) = rest.split_at(rest.len().min((BLOCK - first) * PANEL));
                let panel = &mut block.data[at..at + PANEL * BLOCK];
                if n < n_q + n_kv {
                    kernels.store_columns(here, first, panel);
                } else {
                    kernels.store_rows(here, first, panel);
                }
                (rest, first) = (after, 0);
            }
        });
    }

    /// From what attention gave, in `scratch.q`, to the residual stream after the layer.
    fn rest_of_layer(&self, kernels: &Active<'_, E>, layer: &Layer<E>, rows: usize, scratch: &mut Scratch<E>) {
        let ModelConfig { dim, ffn_dim, norm_eps, .. } = self.config;
        let Scratch { x, a, h, q, workspace, .. } = scratch;
        let x = &mut x[..rows * dim];
        let add = |x: &mut [f32], n: usize, result: &[f32]| {
            kernels.add(result, &mut x[n * PANEL..], dim, PANEL.min(dim - n * PANEL));
        };
        layer.wo.multiply(kernels, (q, self.q_stride()), rows, workspace, |n, result| add(x, n, result));
        let (a_stride, h_stride) = (stride::<E>(dim), stride::<E>(ffn_dim));
        kernels.rms_norm(x, &layer.ffn_norm, norm_eps as f32, a, a_stride);
        layer.w13.multiply(kernels, (a, a_stride), rows, workspace, |n, result| {
            kernels.swiglu(result, &mut h[n * LANES..], h_stride);
        });
        layer.w2.multiply(kernels, (h, h_stride), rows, workspace, |n, result| add(x, n, result));
    }

    /// The last norm and matrix, and the signals asked for.
    fn signals(&self, kernels: &Active<'_, E>, rows: usize, scratch: &mut Scratch<E>, wanted: Wanted<'_>) -> Signals {
        let ModelConfig { dim, norm_eps, vocab_size, .. } = self.config;
        let Scratch { x, a, workspace, logits, .. } = scratch;
        let x = &x[..rows * dim];
        let (a_stride, logit_stride) = (stride::<E>(dim), self.logit_stride());
        kernels.rms_norm(x, &self.norm, norm_eps as f32, a, a_stride);
        self.output.multiply(kernels, (a, a_stride), rows, workspace, |n, result| {
            let rows = logits[n * PANEL..].chunks_mut(logit_stride);
            for (result, logits) in result.as_chunks::<PANEL>().0.iter().zip(rows) {
                logits[..PANEL].copy_from_slice(result);
            }
        });
        if let Some(all) = wanted.logits {
            all.extend(logits.chunks_exact(logit_stride).take(rows).flat_map(|row| &row[..vocab_size]));
        }
        let in_lanes = vocab_size.next_multiple_of(LANES);
        let entropies = logits
            .chunks_exact_mut(logit_stride)
            .take(rows)
            .map(|row| kernels.entropy(&mut row[..in_lanes], vocab_size))
            .collect();
        let mut signals = Signals { entropies, ..Signals::default() };
        if wanted.want != Want::Entropies {
            signals.norms.resize(rows, 0.0);
            kernels.norms(x, dim, &mut signals.norms);
        }
        if wanted.want == Want::All {
            signals.embeddings.extend_from_slice(x);
        }
        signals
    }
}

/// Copies a row of a matrix with rows of `width` to the front of `values`, if there is such a row.
fn copy_row(matrix: &[f32], row: usize, width: usize, values: &mut [f32]) {
    if let Some(row) = matrix.get(row * width..(row + 1) * width) {
        values[..width].copy_from_slice(row);
    }
}

/// Which feature of a head stands at `place` of its rotated panels: the first of each pair 16 places before the second,
/// so that one register holds the firsts and another the seconds.
fn rotated_feature(place: usize) -> usize {
    let (panel, column) = (place / PANEL, place % PANEL);
    2 * (panel * LANES + column % LANES) + column / LANES
}
