//! Widths as the kernels have them, and the weights in the order in which they want them.

use blt_checkpoint::{CheckpointError, ModelConfig};

use crate::engine::FloatType;

/// Widths are multiples of this: a tile of a product.
pub(crate) const TILE: usize = 128;
/// Heads are at least so wide.
const MIN_HEAD: usize = 64;

/// Padded widths of a model. Padding is zeros in the weights, so that zeros come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
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
    pub(crate) fn new(config: &ModelConfig) -> Self {
        Self {
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            head: config.head_dim.next_power_of_two().max(MIN_HEAD),
            model: config.dim.next_multiple_of(TILE),
            feed_forward: config.ffn_dim.next_multiple_of(TILE),
            logits: config.vocab_size.next_multiple_of(TILE),
        }
    }

    /// Of the queries.
    pub(crate) fn queries(&self) -> usize {
        self.n_heads * self.head
    }

    /// Of the keys and values together.
    pub(crate) fn keys_and_values(&self) -> usize {
        2 * self.n_kv_heads * self.head
    }

    /// Of a row of queries, keys and values.
    pub(crate) fn qkv(&self) -> usize {
        (self.queries() + self.keys_and_values()).next_multiple_of(TILE)
    }

    /// Of what attention gives, as a product takes it.
    pub(crate) fn attended(&self) -> usize {
        self.queries()
    }

    /// Numbers of all matrices, `None` when there are more than can be counted.
    pub(crate) fn n_weights(&self, config: &ModelConfig) -> Option<usize> {
        let attention = self.qkv().checked_mul(self.model)?.checked_add(self.model.checked_mul(self.attended())?)?;
        let feed_forward = self.model.checked_mul(self.feed_forward)?.checked_mul(3)?;
        let layers = attention.checked_add(feed_forward)?.checked_mul(config.n_layers)?;
        layers.checked_add((self.logits + config.vocab_size).checked_mul(self.model)?)
    }
}

/// The values of a tensor by its name in the original's layout.
pub(crate) type Tensor<'a> = dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError> + 'a;

/// Matrices in the adapter's numbers, row by row, one row a column of the result. The norms before them are folded in.
#[derive(Clone)]
pub(crate) struct Weights {
    pub(crate) embeddings: Vec<u8>,
    pub(crate) layers: Vec<LayerWeights>,
    pub(crate) output: Vec<u8>,
}

/// Those of a layer.
#[derive(Clone)]
pub(crate) struct LayerWeights {
    pub(crate) wqkv: Vec<u8>,
    pub(crate) wo: Vec<u8>,
    pub(crate) w13: Vec<u8>,
    pub(crate) w2: Vec<u8>,
}

impl Weights {
    /// Puts what `tensor` gives into `layout`.
    pub(crate) fn pack(
        config: &ModelConfig,
        layout: Layout,
        float: FloatType,
        tensor: &mut Tensor<'_>,
    ) -> Result<Self, CheckpointError> {
        let mut packer = Packer { config, layout, float, tensor };
        let (embeddings, output) = packer.ends()?;
        let layers = (0..config.n_layers).map(|layer| packer.layer(layer)).collect::<Result<_, _>>()?;
        Ok(Self { embeddings, layers, output })
    }
}

/// Takes the tensors of a model and puts them into its layout.
struct Packer<'a, 'b> {
    config: &'a ModelConfig,
    layout: Layout,
    float: FloatType,
    tensor: &'a mut Tensor<'b>,
}

impl Packer<'_, '_> {
    fn tensor(&mut self, name: &str, n: usize) -> Result<Vec<f32>, CheckpointError> {
        let values = (self.tensor)(name)?;
        assert_eq!(values.len(), n, "`{name}` does not fit the configuration");
        Ok(values)
    }

    /// The table of embeddings, and the last matrix with its norm.
    fn ends(&mut self) -> Result<(Vec<u8>, Vec<u8>), CheckpointError> {
        let (dim, vocab_size, layout, float) = (self.config.dim, self.config.vocab_size, self.layout, self.float);
        let table = self.tensor("tok_embeddings.weight", vocab_size * dim)?;
        let embeddings =
            rows(float, vocab_size, layout.model, |row, to| to[..dim].copy_from_slice(&table[row * dim..][..dim]));
        let norm = self.tensor("norm.weight", dim)?;
        let output = if self.config.weight_tying { table } else { self.tensor("output.weight", vocab_size * dim)? };
        let output = rows(float, layout.logits, layout.model, |row, to| {
            if row < vocab_size {
                fold(&output[row * dim..][..dim], &norm, to);
            }
        });
        Ok((embeddings, output))
    }

    /// The matrices of a layer.
    fn layer(&mut self, layer: usize) -> Result<LayerWeights, CheckpointError> {
        let ModelConfig { dim, ffn_dim, head_dim, n_heads, n_kv_heads, .. } = *self.config;
        let (layout, float) = (self.layout, self.float);
        let mut tensor = |part: &str, n: usize| self.tensor(&format!("layers.{layer}.{part}.weight"), n);
        let attention_norm = tensor("attention_norm", dim)?;
        let parts = [
            (n_heads, tensor("attention.wq", n_heads * head_dim * dim)?),
            (n_kv_heads, tensor("attention.wk", n_kv_heads * head_dim * dim)?),
            (n_kv_heads, tensor("attention.wv", n_kv_heads * head_dim * dim)?),
        ];
        let heads: Vec<(usize, usize)> =
            parts.iter().enumerate().flat_map(|(part, (n, _))| (0..*n).map(move |head| (part, head))).collect();
        let wqkv = rows(float, layout.qkv(), layout.model, |row, to| {
            let feature = row % layout.head;
            if let Some(&(part, head)) = heads.get(row / layout.head).filter(|_| feature < head_dim) {
                fold(&parts[part].1[(head * head_dim + feature) * dim..][..dim], &attention_norm, to);
            }
        });
        let wo = tensor("attention.wo", dim * n_heads * head_dim)?;
        let wo = rows(float, layout.model, layout.attended(), |row, to| {
            if row < dim {
                let from = &wo[row * n_heads * head_dim..][..n_heads * head_dim];
                for (to, from) in to.chunks_mut(layout.head).zip(from.chunks(head_dim)) {
                    to[..head_dim].copy_from_slice(from);
                }
            }
        });
        let ffn_norm = tensor("ffn_norm", dim)?;
        let (w1, w3) = (tensor("feed_forward.w1", ffn_dim * dim)?, tensor("feed_forward.w3", ffn_dim * dim)?);
        // Gate and up of a feature lie side by side.
        let w13 = rows(float, 2 * layout.feed_forward, layout.model, |row, to| {
            let (matrix, feature) = (if row % 2 == 0 { &w1 } else { &w3 }, row / 2);
            if feature < ffn_dim {
                fold(&matrix[feature * dim..][..dim], &ffn_norm, to);
            }
        });
        let w2 = tensor("feed_forward.w2", dim * ffn_dim)?;
        let w2 = rows(float, layout.model, layout.feed_forward, |row, to| {
            if row < dim {
                to[..ffn_dim].copy_from_slice(&w2[row * ffn_dim..][..ffn_dim]);
            }
        });
        Ok(LayerWeights { wqkv, wo, w13, w2 })
    }
}

/// Values with the weights of the norm before them.
fn fold(values: &[f32], norm: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(values.iter().zip(norm)).for_each(|(to, (value, gamma))| *to = value * gamma);
}

/// `n` rows of `width`, each as `fill` leaves it.
fn rows(float: FloatType, n: usize, width: usize, mut fill: impl FnMut(usize, &mut [f32])) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(n * width * float.n_bytes());
    let mut row = vec![0.0; width];
    for index in 0..n {
        row.fill(0.0);
        fill(index, &mut row);
        match float {
            FloatType::F32 => bytes.extend(row.iter().flat_map(|value| value.to_ne_bytes())),
            FloatType::F16 => bytes.extend(row.iter().flat_map(|&value| half::f16::from_f32(value).to_ne_bytes())),
        }
    }
    bytes
}
