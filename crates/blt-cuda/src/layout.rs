//! Widths as the kernels have them, and the weights in the order in which they want them.

use blt_checkpoint::{CheckpointError, ModelConfig};

/// Padded widths of a model. Padding is zeros in the weights, so that zeros come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Whether norms are folded into the matrices and gates lie beside ups, for the tensor cores.
    pub(crate) is_fused: bool,
    pub(crate) n_heads: usize,
    pub(crate) n_kv_heads: usize,
    /// Of a head.
    pub(crate) head: usize,
    /// Of the residual stream.
    pub(crate) model: usize,
    /// Of the feed-forward.
    pub(crate) feed_forward: usize,
    /// Of the logits.
    pub(crate) logits: usize,
}

impl Layout {
    /// For the tensor cores, where a head is at most 128 wide, or for float32.
    pub(crate) fn new(config: &ModelConfig, is_fused: bool) -> Self {
        let step = if is_fused { 64 } else { 8 };
        Self {
            is_fused,
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            head: if is_fused {
                config.head_dim.next_power_of_two().max(64)
            } else {
                config.head_dim.next_multiple_of(8)
            },
            model: config.dim.next_multiple_of(step),
            feed_forward: config.ffn_dim.next_multiple_of(step),
            logits: config.vocab_size.next_multiple_of(8),
        }
    }

    /// Of the queries, and of what attention gives.
    pub(crate) fn queries(&self) -> usize {
        self.n_heads * self.head
    }

    /// Of the keys and values together.
    pub(crate) fn keys_and_values(&self) -> usize {
        2 * self.n_kv_heads * self.head
    }

    /// Of queries, keys and values.
    pub(crate) fn qkv(&self) -> usize {
        self.queries() + self.keys_and_values()
    }

    /// Numbers of all matrices, `None` when there are more than can be counted.
    pub(crate) fn n_weights(&self, config: &ModelConfig) -> Option<usize> {
        let attention = self.rows(self.qkv()).checked_mul(self.model)?;
        let attention = attention.checked_add(self.rows(self.model).checked_mul(self.queries())?)?;
        let feed_forward = self.rows(2 * self.feed_forward).checked_mul(self.model)?;
        let feed_forward = feed_forward.checked_add(self.rows(self.model).checked_mul(self.feed_forward)?)?;
        let layers = attention.checked_add(feed_forward)?.checked_mul(config.n_layers)?;
        layers.checked_add((self.rows(self.logits) + config.vocab_size).checked_mul(self.model)?)
    }

    /// Rows of a matrix with room for whole tiles.
    fn rows(&self, n: usize) -> usize {
        if self.is_fused { n.next_multiple_of(256) } else { n }
    }
}

/// The weights, row by row, one row a column of the result. Norms are there only where they are not folded.
pub(crate) struct Weights {
    pub(crate) embeddings: Vec<f32>,
    pub(crate) layers: Vec<LayerWeights>,
    pub(crate) norm: Vec<f32>,
    pub(crate) output: Vec<f32>,
}

/// Those of a layer.
pub(crate) struct LayerWeights {
    pub(crate) attention_norm: Vec<f32>,
    pub(crate) wqkv: Vec<f32>,
    pub(crate) wo: Vec<f32>,
    pub(crate) ffn_norm: Vec<f32>,
    pub(crate) w13: Vec<f32>,
    pub(crate) w2: Vec<f32>,
}

/// The values of a tensor by its name in the original's layout.
pub(crate) type Tensor<'a> = dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError> + 'a;

impl Weights {
    /// Puts what `tensor` gives into `layout`.
    pub(crate) fn pack(
        config: &ModelConfig,
        layout: &Layout,
        tensor: &mut Tensor<'_>,
    ) -> Result<Self, CheckpointError> {
        let sizes: std::collections::BTreeMap<String, usize> = blt_checkpoint::expected_tensors(config)
            .into_iter()
            .map(|spec| (spec.name, spec.shape.iter().product()))
            .collect();
        let mut tensor = |name: String| {
            let values = tensor(&name)?;
            assert_eq!(sizes.get(&name), Some(&values.len()), "`{name}` does not fit the configuration");
            Ok::<_, CheckpointError>(values)
        };
        let ModelConfig { dim, ffn_dim, head_dim, n_heads, n_kv_heads, vocab_size, .. } = *config;
        let table = tensor("tok_embeddings.weight".into())?;
        let embeddings =
            rows(vocab_size, layout.model, |row, to| to[..dim].copy_from_slice(&table[row * dim..][..dim]));
        let fold = |norm: &[f32], from: &[f32], to: &mut [f32]| {
            for ((to, value), gamma) in to.iter_mut().zip(from).zip(norm) {
                *to = if layout.is_fused { value * gamma } else { *value };
            }
        };
        let mut layers = Vec::with_capacity(config.n_layers);
        for layer in 0..config.n_layers {
            let mut tensor = |part: &str| tensor(format!("layers.{layer}.{part}.weight"));
            let attention_norm = tensor("attention_norm")?;
            let parts = [
                (n_heads, tensor("attention.wq")?),
                (n_kv_heads, tensor("attention.wk")?),
                (n_kv_heads, tensor("attention.wv")?),
            ];
            let heads: Vec<(usize, usize)> =
                parts.iter().enumerate().flat_map(|(part, (n, _))| (0..*n).map(move |head| (part, head))).collect();
            let wqkv = rows(layout.rows(layout.qkv()), layout.model, |row, to| {
                let feature = row % layout.head;
                if let Some(&(part, head)) = heads.get(row / layout.head).filter(|_| feature < head_dim) {
                    fold(&attention_norm, &parts[part].1[(head * head_dim + feature) * dim..][..dim], to);
                }
            });
            let wo = tensor("attention.wo")?;
            let wo = rows(layout.rows(layout.model), layout.queries(), |row, to| {
                if row < dim {
                    let from = &wo[row * n_heads * head_dim..][..n_heads * head_dim];
                    for (to, from) in to.chunks_mut(layout.head).zip(from.chunks(head_dim)) {
                        to[..head_dim].copy_from_slice(from);
                    }
                }
            });
            let ffn_norm = tensor("ffn_norm")?;
            let (w1, w3) = (tensor("feed_forward.w1")?, tensor("feed_forward.w3")?);
            let w13 = rows(layout.rows(2 * layout.feed_forward), layout.model, |row, to| {
                let (matrix, feature) = if layout.is_fused {
                    let (is_up, feature) = gate_or_up(row);
                    (if is_up { &w3 } else { &w1 }, feature)
                } else if row < layout.feed_forward {
                    (&w1, row)
                } else {
                    (&w3, row - layout.feed_forward)
                };
                if feature < ffn_dim {
                    fold(&ffn_norm, &matrix[feature * dim..][..dim], to);
                }
            });
            let w2 = tensor("feed_forward.w2")?;
            let w2 = rows(layout.rows(layout.model), layout.feed_forward, |row, to| {
                if row < dim {
                    to[..ffn_dim].copy_from_slice(&w2[row * ffn_dim..][..ffn_dim]);
                }
            });
            layers.push(LayerWeights { attention_norm, wqkv, wo, ffn_norm, w13, w2 });
        }
        let norm = tensor("norm.weight".into())?;
        let output = if config.weight_tying { table } else { tensor("output.weight".into())? };
        let output = rows(layout.rows(layout.logits), layout.model, |row, to| {
            if row < vocab_size {
                fold(&norm, &output[row * dim..][..dim], to);
            }
        });
        Ok(Self { embeddings, layers, norm, output })
    }
}

/// Which row of w1 or w3 (`true`) is row `row` of both together. A thread of a product holds two neighbouring columns in
/// each 8, so gate and up of a feature lie side by side, and the neighbouring feature's in the same place of the next 8: what
/// the thread computes from them are two neighbouring features.
fn gate_or_up(row: usize) -> (bool, usize) {
    let (group, place) = (row / 16, row % 16);
    (place % 2 == 1, group * 8 + place % 8 / 2 * 2 + place / 8)
}

fn rows(n: usize, width: usize, mut fill: impl FnMut(usize, &mut [f32])) -> Vec<f32> {
    let mut values = vec![0.0; n * width];
    values.chunks_exact_mut(width.max(1)).enumerate().for_each(|(row, to)| fill(row, to));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_and_up_has_one_row() {
        let mut seen: Vec<(bool, usize)> = (0..64).map(gate_or_up).collect();
        for row in (0..64).step_by(2) {
            let ((is_up, feature), (next_is_up, next)) = (gate_or_up(row), gate_or_up(row + 1));
            assert!(!is_up && next_is_up && feature == next, "a gate and its up are neighbours");
        }
        seen.sort_unstable();
        let expected: Vec<(bool, usize)> = [false, true].iter().flat_map(|&up| (0..32).map(move |f| (up, f))).collect();
        assert_eq!(seen, expected);
    }
}
