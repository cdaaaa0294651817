//! The entropy model: a pre-norm transformer over bytes.
//!
//! Letters: `t` tokens, packed rows one after another; `d` model width; `f` feed-forward width; `b` rows; `s` row length.
//! Source: Byte Latent Transformer, arXiv 2412.09871, section 4.2, and the original's `LMTransformer`. Field names are the
//! checkpoint's keys.

use std::ops::Range;

use blt_checkpoint::{RotaryTable, Visibility};
use burn::module::{Module, Param};
use burn::nn::{Linear, RmsNorm};
use burn::tensor::activation::{log_softmax, silu};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::attention::{Frame, KeyValueWindow, Stretch, n_kept};

/// The transformer. [`forward_with_embeddings`](Self::forward_with_embeddings) is the whole of it.
#[derive(Module, Debug)]
pub struct LMTransformer {
    /// `[260, d]`.
    pub tok_embeddings: Param<Tensor<2>>,
    /// In order.
    pub layers: Vec<TransformerBlock>,
    /// Before the output matrix; its input is the pre-norm state.
    pub norm: RmsNorm,
    /// `d` to 260 logits.
    pub output: Linear,
    /// Tokens a position sees at most, itself included.
    #[module(skip)]
    pub(crate) window: usize,
    /// What tokens see, at the start of a row.
    #[module(skip)]
    pub(crate) visibility: Visibility,
    #[module(skip)]
    pub(crate) rotary: std::sync::Arc<RotaryTable>,
}

/// One layer: attention and feed-forward, each behind its norm and added to the residual stream.
#[derive(Module, Debug)]
pub struct TransformerBlock {
    /// Before attention.
    pub attention_norm: RmsNorm,
    /// Window attention.
    pub attention: Attention,
    /// Before the feed-forward.
    pub ffn_norm: RmsNorm,
    /// SwiGLU.
    pub feed_forward: FeedForward,
}

/// Causal window attention with rotary positions; key/value heads may be fewer than query heads.
#[derive(Module, Debug)]
pub struct Attention {
    /// `d` to `n_heads * head_dim`.
    pub wq: Linear,
    /// `d` to `n_kv_heads * head_dim`.
    pub wk: Linear,
    /// Like `wk`.
    pub wv: Linear,
    /// `n_heads * head_dim` to `d`.
    pub wo: Linear,
    #[module(skip)]
    pub(crate) head_dim: usize,
}

/// SwiGLU feed-forward, `w2(silu(w1 x) * w3 x)`.
#[derive(Module, Debug)]
pub struct FeedForward {
    /// `d` to `f`, the gate.
    pub w1: Linear,
    /// `f` to `d`.
    pub w2: Linear,
    /// `d` to `f`.
    pub w3: Linear,
}

/// What the model says about each position of a batch.
#[derive(Debug, Clone)]
pub struct ModelOutput {
    /// Scores of the next token, `[b, s, 260]`.
    pub logits: Tensor<3>,
    /// Hidden state after the last layer, before the final norm, `[b, s, d]`.
    pub pre_norm_embeddings: Tensor<3>,
    /// L2 norm of that state (prominence), `[b, s]`.
    pub embedding_norms: Tensor<2>,
    /// Entropy of the next-token distribution in nats, `[b, s]`.
    pub entropies: Tensor<2>,
    /// `norm^2 / (entropy + 1e-6)`, `[b, s]`.
    pub coherence: Tensor<2>,
}

impl LMTransformer {
    /// All signals of a batch of rows, `tokens` `[b, s]`. No row sees another; each starts at position 0.
    ///
    /// # Panics
    ///
    /// Panics if a token id is outside the vocabulary.
    pub fn forward_with_embeddings(&self, tokens: Tensor<2, Int>) -> ModelOutput {
        let [b, s] = tokens.dims();
        let hidden = self.rows(tokens); // [b * s, d]
        let logits = self.logits(hidden.clone());
        let entropies = entropies(logits.clone());
        let norms = norms(hidden.clone());
        let coherence = norms.clone().square() / (entropies.clone() + 1e-6);
        let d = hidden.dims()[1];
        ModelOutput {
            logits: logits.reshape([b as i32, s as i32, -1]),
            pre_norm_embeddings: hidden.reshape([b, s, d]),
            embedding_norms: norms.reshape([b, s]),
            entropies: entropies.reshape([b, s]),
            coherence: coherence.reshape([b, s]),
        }
    }

    /// Only the entropies in nats of a batch of rows, `[b, s]` to `[b, s]`.
    ///
    /// # Panics
    ///
    /// Panics if a token id is outside the vocabulary.
    pub fn entropies(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [b, s] = tokens.dims();
        entropies(self.logits(self.rows(tokens))).reshape([b, s])
    }

    /// Pre-norm states of a batch of rows, `[b, s]` to `[b * s, d]`.
    fn rows(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let [b, s] = tokens.dims();
        let ids: Vec<u16> = tokens.into_data().iter::<i64>().map(|id| id as u16).collect();
        let rows: Vec<&[u16]> = ids.chunks(s).collect();
        assert_eq!(rows.len(), b, "a batch has rows");
        self.hidden_of_documents(&rows)
    }

    /// Pre-norm states of whole documents packed one after another, `[t, d]`. No document sees another.
    pub(crate) fn hidden_of_documents(&self, documents: &[&[u16]]) -> Tensor<2> {
        let tokens: Vec<u16> = documents.concat();
        let mut first_visible = Vec::with_capacity(tokens.len());
        for document in documents {
            let start = first_visible.len() as u64;
            first_visible.extend(self.visibility.clone().read(document).into_iter().map(|position| start + position));
        }
        let positions: Vec<_> = documents.iter().map(|document| 0..document.len() as u64).collect();
        let frame = self.frame(&positions, 0, 0, &first_visible);
        self.hidden(&tokens, &frame, &mut self.windows())
    }

    /// The frame of a stretch whose first token is at `position` of the packed row; `positions` are those of
    /// each document, for the rotary angles. See [`Stretch`].
    pub(crate) fn frame(&self, positions: &[Range<u64>], position: u64, n_past: usize, first_visible: &[u64]) -> Frame {
        let stretch = Stretch { position, n_past, first_visible, window: self.window };
        let width = self.rotary.inv_freq().len();
        let mut cos = vec![0.0; first_visible.len() * width];
        let mut sin = cos.clone();
        let mut start = 0;
        for positions in positions {
            let n = (positions.end - positions.start) as usize;
            self.rotary.fill(positions.clone(), width, &mut cos[start..], &mut sin[start..]);
            start += n * width;
        }
        Frame::new((cos, sin), &stretch, self.dtype(), &self.device())
    }

    /// One empty key/value window a layer.
    pub(crate) fn windows(&self) -> Vec<KeyValueWindow> {
        vec![KeyValueWindow::default(); self.layers.len()]
    }

    /// Pre-norm states of `tokens`, `[t, d]`. `windows` hold the past, and afterwards what later tokens may see.
    pub(crate) fn hidden(&self, tokens: &[u16], frame: &Frame, windows: &mut [KeyValueWindow]) -> Tensor<2> {
        let mut ids: Vec<i32> = tokens.iter().map(|&token| i32::from(token)).collect();
        ids.resize(frame.n_rows(), 0);
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [frame.n_rows()]), &self.device());
        let n_keep = n_kept(self.window);
        let mut x = self.tok_embeddings.val().select(0, ids); // [t, d]
        for (layer, window) in self.layers.iter().zip(windows) {
            x = layer.forward(x, frame, window, n_keep);
        }
        x.narrow(0, 0, frame.n_tokens())
    }

    /// `[t, d]` pre-norm states to `[t, 260]` scores in float32.
    pub(crate) fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.norm.forward(hidden)).cast(DType::F32)
    }

    pub(crate) fn device(&self) -> Device {
        self.tok_embeddings.val().device()
    }

    fn dtype(&self) -> DType {
        self.tok_embeddings.val().dtype()
    }
}

impl TransformerBlock {
    /// `[t, d]` to `[t, d]`.
    fn forward(&self, x: Tensor<2>, frame: &Frame, window: &mut KeyValueWindow, n_keep: usize) -> Tensor<2> {
        let x = x.clone() + self.attention.forward(self.attention_norm.forward(x), frame, window, n_keep);
        x.clone() + self.feed_forward.forward(self.ffn_norm.forward(x))
    }
}

impl Attention {
    /// `[t, d]` to `[t, d]`.
    fn forward(&self, x: Tensor<2>, frame: &Frame, window: &mut KeyValueWindow, n_keep: usize) -> Tensor<2> {
        let heads = |x: Tensor<2>| {
            let [t, width] = x.dims();
            x.reshape([t, width / self.head_dim, self.head_dim])
        };
        let queries = frame.rotate(heads(self.wq.forward(x.clone())));
        let keys = frame.rotate(heads(self.wk.forward(x.clone())));
        let values = heads(self.wv.forward(x));
        let (keys, values) = window.extend(keys, values, frame.n_tokens(), n_keep);
        self.wo.forward(frame.attend(queries, keys, values))
    }
}

impl FeedForward {
    /// `[t, d]` to `[t, d]`.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let gate = silu(self.w1.forward(x.clone())); // [t, f]
        self.w2.forward(gate * self.w3.forward(x))
    }
}

/// Entropy in nats of `softmax(logits)`, `[t, 260]` to `[t]`.
pub(crate) fn entropies(logits: Tensor<2>) -> Tensor<1> {
    let log_p = log_softmax(logits, 1);
    -(log_p.clone().exp() * log_p).sum_dim(1).squeeze_dim(1)
}

/// L2 norm of every row in float32, `[t, d]` to `[t]`.
pub(crate) fn norms(hidden: Tensor<2>) -> Tensor<1> {
    hidden.cast(DType::F32).square().sum_dim(1).sqrt().squeeze_dim(1)
}
