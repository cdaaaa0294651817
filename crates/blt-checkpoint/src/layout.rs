//! Names and shapes of the tensors in the two known layouts.

use crate::ModelConfig;

/// How a checkpoint names its tensors. The matrices are the same in both, rotary pairs interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `layers.0.attention.wq.weight`: the original's.
    Original,
    /// `model.patcher.layers.0.self_attn.q_proj.weight`: a transformers BLT checkpoint, which holds other parts too.
    Transformers,
}

impl Layout {
    /// What every tensor of the entropy model starts with in this layout.
    pub fn prefix(self) -> &'static str {
        match self {
            Layout::Original => "",
            Layout::Transformers => "model.patcher.",
        }
    }

    /// The name in this layout of the tensor that the original calls `name`.
    pub fn stored_name(self, name: &str) -> String {
        if self == Layout::Original {
            return name.to_owned();
        }
        let renamed = match name.strip_prefix("layers.").and_then(|rest| rest.split_once('.')) {
            Some((layer, part)) => format!("layers.{layer}.{}", transformers_part(part)),
            None => transformers_part(name).to_owned(),
        };
        format!("{}{renamed}", self.prefix())
    }
}

fn transformers_part(name: &str) -> &str {
    match name {
        "tok_embeddings.weight" => "embed_tokens.weight",
        "attention.wq.weight" => "self_attn.q_proj.weight",
        "attention.wk.weight" => "self_attn.k_proj.weight",
        "attention.wv.weight" => "self_attn.v_proj.weight",
        "attention.wo.weight" => "self_attn.o_proj.weight",
        "attention_norm.weight" => "input_layernorm.weight",
        "feed_forward.w1.weight" => "mlp.gate_proj.weight",
        "feed_forward.w3.weight" => "mlp.up_proj.weight",
        "feed_forward.w2.weight" => "mlp.down_proj.weight",
        "ffn_norm.weight" => "post_attention_layernorm.weight",
        "output.weight" => "lm_head.weight",
        same => same,
    }
}

/// A tensor that a model needs: the original's name and the shape, `[out, in]` for matrices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the original layout.
    pub name: String,
    /// Shape as stored.
    pub shape: Vec<usize>,
}

/// Every tensor of a model, in the order in which they are computed with.
pub fn expected_tensors(config: &ModelConfig) -> Vec<TensorSpec> {
    let ModelConfig { dim, ffn_dim, vocab_size, .. } = *config;
    let queries = config.n_heads * config.head_dim;
    let keys = config.n_kv_heads * config.head_dim;
    let mut tensors = vec![("tok_embeddings.weight".to_owned(), vec![vocab_size, dim])];
    for layer in 0..config.n_layers {
        let parts: [(&str, Vec<usize>); 9] = [
            ("attention_norm", vec![dim]),
            ("attention.wq", vec![queries, dim]),
            ("attention.wk", vec![keys, dim]),
            ("attention.wv", vec![keys, dim]),
            ("attention.wo", vec![dim, queries]),
            ("ffn_norm", vec![dim]),
            ("feed_forward.w1", vec![ffn_dim, dim]),
            ("feed_forward.w2", vec![dim, ffn_dim]),
            ("feed_forward.w3", vec![ffn_dim, dim]),
        ];
        tensors.extend(parts.into_iter().map(|(part, shape)| (format!("layers.{layer}.{part}.weight"), shape)));
    }
    tensors.push(("norm.weight".to_owned(), vec![dim]));
    if !config.weight_tying {
        tensors.push(("output.weight".to_owned(), vec![vocab_size, dim]));
    }
    tensors.into_iter().map(|(name, shape)| TensorSpec { name, shape }).collect()
}
