//! The model's configuration, from either form of `config.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::CheckpointError;

/// The threshold that Meta published for its 100M entropy model, in nats.
pub const PUBLISHED_THRESHOLD: f32 = 1.335_442_1;

/// Which earlier tokens a position may attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionScope {
    /// All of them.
    Causal,
    /// Those of the same document.
    BlockCausal,
    /// The last `sliding_window` ones.
    LocalCausal,
    /// The last `sliding_window` ones of the same document.
    LocalBlockCausal,
}

/// Patching defaults that belong to these weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Patching {
    /// Threshold of the `global` rule in nats.
    pub threshold: f32,
    /// By kind of bytes (`text`, `code`, `image`, `audio`, `binary`): mean sizes of patches in bytes, rising, and the
    /// thresholds in nats that give them on held-out data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, Vec<(f32, f32)>>,
}

impl Patching {
    /// The threshold for patches of `size` bytes on average, linear between the calibrated sizes; nothing for a kind of bytes
    /// that is not calibrated and for a size beyond the calibrated ones.
    pub fn threshold_for(&self, kind: &str, size: f32) -> Option<f32> {
        let points = self.thresholds.get(kind)?;
        let above = points.iter().position(|&(known, _)| known >= size)?;
        let (upper, nats) = points[above];
        if upper == size {
            return Some(nats);
        }
        let (lower, below) = points[above.checked_sub(1)?];
        Some(below + (nats - below) * (size - lower) / (upper - lower))
    }

    fn check(&self) -> Result<(), String> {
        if !self.threshold.is_finite() {
            return Err(format!("the patching threshold is {}", self.threshold));
        }
        for (kind, points) in &self.thresholds {
            let is_known = points.iter().all(|(size, nats)| size.is_finite() && *size >= 1.0 && nats.is_finite());
            if !is_known || !points.is_sorted_by(|(size, _), (next, _)| size < next) {
                return Err(format!(
                    "the patching thresholds for `{kind}` are not rising sizes with finite thresholds"
                ));
            }
        }
        Ok(())
    }
}

/// Sizes and constants of an entropy model, checked and complete.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Name given in the file, if any.
    pub name: Option<String>,
    /// Width of the residual stream.
    pub dim: usize,
    /// Number of transformer layers.
    pub n_layers: usize,
    /// Number of query heads.
    pub n_heads: usize,
    /// Number of key/value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head, even.
    pub head_dim: usize,
    /// Width of the SwiGLU feed-forward.
    pub ffn_dim: usize,
    /// Added to the mean square inside the root of every RMSNorm.
    pub norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Longest row of the original's data flow, in tokens.
    pub max_seqlen: usize,
    /// Number of token ids; always 260.
    pub vocab_size: usize,
    /// Id that ends a document.
    pub eos_id: u16,
    /// Whether the output matrix is the embedding matrix.
    pub weight_tying: bool,
    /// Which earlier tokens a position may attend to.
    pub attention: AttentionScope,
    /// The window as stored, in tokens.
    pub sliding_window: Option<usize>,
    /// Patching defaults, the published ones when the file gives none.
    pub patching: Patching,
}

impl ModelConfig {
    /// Reads `config.json` in the `{"args": {...}}` form of the original or in the form of transformers
    /// (`patcher_config`). `origin` names the source in errors.
    ///
    /// # Errors
    ///
    /// Fails when the text is not JSON of either form or describes a model out of range.
    pub fn from_json(text: &str, origin: &str) -> Result<Self, CheckpointError> {
        let json = |source| CheckpointError::ConfigJson { origin: origin.to_owned(), source };
        let file: ConfigFile = serde_json::from_str(text).map_err(json)?;
        let patching = file.patching.unwrap_or_else(|| Patching {
            threshold: file.patching_threshold.unwrap_or(PUBLISHED_THRESHOLD),
            thresholds: BTreeMap::new(),
        });
        let config = match (file.args, file.patcher_config) {
            (Some(args), _) => args.resolve(file.name, patching),
            (None, Some(patcher)) => patcher.resolve(file.name, patching),
            (None, None) => {
                Err("it has neither `args` (original form) nor `patcher_config` (transformers form)".to_owned())
            }
        };
        config.and_then(Self::checked).map_err(|reason| CheckpointError::Config { origin: origin.to_owned(), reason })
    }

    /// The configuration of the published 100M model.
    pub fn published() -> Self {
        let text = r#"{"args": {"dim": 768, "n_layers": 14, "n_heads": 12, "max_seqlen": 8192, "sliding_window": 512,
            "attn_bias_type": "local_block_causal"}}"#;
        Self::from_json(text, "the published configuration").expect("it is one")
    }

    /// The configuration in the `{"args": {...}}` form, from which [`from_json`](Self::from_json) reads an equal one.
    pub fn to_json(&self) -> String {
        // The width rule is inverted by making `multiple_of` carry the width: int(8 * dim / 3) * multiplier < width.
        let args = serde_json::json!({
            "dim": self.dim,
            "n_layers": self.n_layers,
            "n_heads": self.n_heads,
            "n_kv_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "ffn_dim_multiplier": self.ffn_dim as f64 / (8 * self.dim / 3) as f64 * 0.999,
            "multiple_of": self.ffn_dim,
            "norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "max_seqlen": self.max_seqlen,
            "vocab_size": self.vocab_size,
            "eos_id": self.eos_id,
            "weight_tying": self.weight_tying,
            "attn_bias_type": self.attention,
            "sliding_window": self.sliding_window,
        });
        let file = serde_json::json!({ "args": args, "patching": self.patching, "name": self.name });
        format!("{file:#}\n")
    }

    /// How many tokens a position sees at most, itself included. Without a sliding window it is `max_seqlen`, beyond
    /// which the original never goes.
    pub fn window(&self) -> usize {
        match (self.attention, self.sliding_window) {
            (AttentionScope::LocalCausal | AttentionScope::LocalBlockCausal, Some(window)) => window,
            _ => self.max_seqlen,
        }
    }

    /// Whether a token sees nothing at or before an EOS that precedes it.
    pub fn separates_documents(&self) -> bool {
        matches!(self.attention, AttentionScope::BlockCausal | AttentionScope::LocalBlockCausal)
    }

    /// Number of weights, the output matrix counted once when it is tied.
    pub fn n_params(&self) -> usize {
        let attention = self.dim * self.head_dim * (2 * self.n_heads + 2 * self.n_kv_heads);
        let layer = attention + 3 * self.dim * self.ffn_dim + 2 * self.dim;
        let output = if self.weight_tying { 0 } else { self.vocab_size * self.dim };
        self.vocab_size * self.dim + self.n_layers * layer + self.dim + output
    }

    fn checked(self) -> Result<Self, String> {
        let within = |name: &str, value: usize, max: usize| match value {
            0 => Err(format!("`{name}` is 0")),
            value if value > max => Err(format!("`{name}` is {value}, more than {max}")),
            _ => Ok(()),
        };
        within("dim", self.dim, 1 << 16)?;
        within("n_layers", self.n_layers, 1024)?;
        within("n_heads", self.n_heads, 1024)?;
        within("n_kv_heads", self.n_kv_heads, 1024)?;
        within("head_dim", self.head_dim, 1024)?;
        within("feed-forward width", self.ffn_dim, 1 << 18)?;
        within("max_seqlen", self.max_seqlen, 1 << 24)?;
        within("attention window", self.window(), 1 << 16)?;
        if self.vocab_size != 260 {
            return Err(format!("`vocab_size` is {}, but a byte-level entropy model has 260", self.vocab_size));
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            return Err(format!(
                "{} query heads do not share {} key/value heads evenly",
                self.n_heads, self.n_kv_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(format!("`head_dim` is {}, but rotary pairs need an even one", self.head_dim));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return Err(format!("`norm_eps` is {}", self.norm_eps));
        }
        if !(self.rope_theta >= 1.0 && self.rope_theta.is_finite()) {
            return Err(format!("`rope_theta` is {}", self.rope_theta));
        }
        self.patching.check()?;
        Ok(self)
    }
}

#[derive(Deserialize)]
struct ConfigFile {
    name: Option<String>,
    args: Option<Args>,
    patcher_config: Option<PatcherConfig>,
    patching: Option<Patching>,
    patching_threshold: Option<f32>,
}

/// The original's arguments; defaults are the original's (`BaseTransformerArgs`, `LMTransformerArgs`).
#[derive(Deserialize)]
#[serde(default)]
struct Args {
    dim: usize,
    n_layers: usize,
    n_heads: Option<usize>,
    n_kv_heads: Option<usize>,
    head_dim: Option<usize>,
    ffn_dim_multiplier: Option<f64>,
    multiple_of: usize,
    norm_eps: f64,
    rope_theta: f64,
    max_seqlen: usize,
    vocab_size: usize,
    eos_id: Option<u16>,
    weight_tying: bool,
    attn_bias_type: Option<AttentionScope>,
    sliding_window: Option<usize>,
    /// How the original computes attention; all ways give the same values.
    #[serde(rename = "attn_impl")]
    _attn_impl: Option<String>,
    /// The rotary table is float32 either way; see the reference definition in `blt-model`.
    #[serde(rename = "rope_use_fp32_in_outer_product")]
    _rope_use_fp32_in_outer_product: Option<bool>,
    /// Only for training, like the next two.
    #[serde(rename = "init_base_std")]
    _init_base_std: Option<f64>,
    #[serde(rename = "init_std_factor")]
    _init_std_factor: Option<String>,
    #[serde(rename = "seed")]
    _seed: Option<i64>,
    #[serde(flatten)]
    unknown: BTreeMap<String, Value>,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            dim: 512,
            n_layers: 8,
            n_heads: None,
            n_kv_heads: None,
            head_dim: None,
            ffn_dim_multiplier: None,
            multiple_of: 256,
            norm_eps: 1e-5,
            rope_theta: 10_000.0,
            max_seqlen: 1024,
            vocab_size: 260,
            eos_id: None,
            weight_tying: false,
            attn_bias_type: None,
            sliding_window: None,
            _attn_impl: None,
            _rope_use_fp32_in_outer_product: None,
            _init_base_std: None,
            _init_std_factor: None,
            _seed: None,
            unknown: BTreeMap::new(),
        }
    }
}

impl Args {
    fn resolve(self, name: Option<String>, patching: Patching) -> Result<ModelConfig, String> {
        for key in self.unknown.keys() {
            tracing::warn!(key, "unknown key in the model's `args` is not used");
        }
        let (n_heads, head_dim) = heads(self.dim, self.n_heads, self.head_dim)?;
        if self.multiple_of == 0 {
            return Err("`multiple_of` is 0".to_owned());
        }
        let ffn_dim = swiglu_width(self.dim, self.ffn_dim_multiplier, self.multiple_of)
            .ok_or_else(|| "the feed-forward width is out of range".to_owned())?;
        Ok(ModelConfig {
            name,
            dim: self.dim,
            n_layers: self.n_layers,
            n_heads,
            n_kv_heads: self.n_kv_heads.unwrap_or(n_heads),
            head_dim,
            ffn_dim,
            norm_eps: self.norm_eps,
            rope_theta: self.rope_theta,
            max_seqlen: self.max_seqlen,
            vocab_size: self.vocab_size,
            eos_id: self.eos_id.unwrap_or(2),
            weight_tying: self.weight_tying,
            attention: self.attn_bias_type.unwrap_or(AttentionScope::LocalBlockCausal),
            sliding_window: self.sliding_window,
            patching,
        })
    }
}

/// The part of a transformers BLT configuration that describes the entropy model.
#[derive(Deserialize)]
struct PatcherConfig {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    sliding_window: Option<usize>,
    vocab_size: usize,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    #[serde(default)]
    tie_word_embeddings: bool,
}

#[derive(Deserialize)]
struct RopeParameters {
    rope_type: Option<String>,
    rope_theta: Option<f64>,
}

impl PatcherConfig {
    fn resolve(self, name: Option<String>, patching: Patching) -> Result<ModelConfig, String> {
        if let Some(kind) = self.rope_parameters.as_ref().and_then(|rope| rope.rope_type.as_deref())
            && kind != "default"
        {
            return Err(format!("`rope_type` is `{kind}`, but only `default` rotary frequencies are known"));
        }
        let (n_heads, head_dim) = heads(self.hidden_size, Some(self.num_attention_heads), self.head_dim)?;
        let ffn_dim = self
            .intermediate_size
            .or_else(|| swiglu_width(self.hidden_size, None, 256))
            .ok_or_else(|| "the feed-forward width is out of range".to_owned())?;
        Ok(ModelConfig {
            name,
            dim: self.hidden_size,
            n_layers: self.num_hidden_layers,
            n_heads,
            n_kv_heads: self.num_key_value_heads.unwrap_or(n_heads),
            head_dim,
            ffn_dim,
            norm_eps: self.rms_norm_eps,
            rope_theta: self.rope_parameters.and_then(|rope| rope.rope_theta).or(self.rope_theta).unwrap_or(10_000.0),
            max_seqlen: self.max_position_embeddings,
            vocab_size: self.vocab_size,
            eos_id: 2,
            weight_tying: self.tie_word_embeddings,
            attention: AttentionScope::LocalBlockCausal,
            sliding_window: Some(self.sliding_window.unwrap_or(512)),
            patching,
        })
    }
}

/// Heads and head width as the original resolves them: each from the other when only one is given.
fn heads(dim: usize, n_heads: Option<usize>, head_dim: Option<usize>) -> Result<(usize, usize), String> {
    let (n_heads, head_dim) = match (n_heads, head_dim) {
        (None, None) => return Err("neither `n_heads` nor `head_dim` is given".to_owned()),
        (Some(0), _) | (_, Some(0)) => return Err("`n_heads` or `head_dim` is 0".to_owned()),
        (Some(n_heads), Some(head_dim)) => (n_heads, head_dim),
        (Some(n_heads), None) => (n_heads, dim / n_heads),
        (None, Some(head_dim)) => (dim / head_dim, head_dim),
    };
    Ok((n_heads, head_dim))
}

/// Width of the feed-forward by the original's rule: `int(8 * dim / 3)`, times the multiplier, rounded up to a multiple.
/// Source: `FeedForward` of the original's `base_transformer.py`.
fn swiglu_width(dim: usize, multiplier: Option<f64>, multiple_of: usize) -> Option<usize> {
    let hidden = dim.checked_mul(8)? / 3;
    let hidden = match multiplier {
        Some(multiplier) if multiplier > 0.0 && multiplier < 1e6 => (multiplier * hidden as f64) as usize,
        Some(_) => return None,
        None => hidden,
    };
    hidden.checked_next_multiple_of(multiple_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(body: &str) -> Result<ModelConfig, CheckpointError> {
        ModelConfig::from_json(&format!("{{\"args\": {{{body}}}}}"), "config.json")
    }

    #[test]
    fn swiglu_width_follows_the_original() {
        assert_eq!(swiglu_width(768, None, 256), Some(2048)); // the published 100M model
        assert_eq!(swiglu_width(256, Some(0.9375), 64), Some(640)); // the embedded model
        assert_eq!(swiglu_width(64, Some(1.3), 16), Some(224));
        assert_eq!(swiglu_width(usize::MAX, None, 256), None);
    }

    #[test]
    fn heads_come_from_each_other() {
        let config = args(r#""dim": 768, "n_heads": 12"#).expect("valid");
        assert_eq!((config.head_dim, config.n_kv_heads), (64, 12));
        let config = args(r#""dim": 768, "head_dim": 64"#).expect("valid");
        assert_eq!(config.n_heads, 12);
    }

    #[test]
    fn a_written_configuration_reads_back_equal() {
        for body in [
            r#""dim": 768, "n_heads": 12, "n_layers": 14, "max_seqlen": 8192, "sliding_window": 512"#,
            r#""dim": 256, "n_heads": 4, "ffn_dim_multiplier": 0.9375, "multiple_of": 64"#,
            r#""dim": 64, "n_heads": 4, "head_dim": 24, "n_kv_heads": 2, "ffn_dim_multiplier": 1.3, "multiple_of": 16"#,
        ] {
            let config = args(body).expect("valid");
            assert_eq!(ModelConfig::from_json(&config.to_json(), "again").expect("valid"), config);
        }
    }

    fn patching(body: &str) -> Result<Patching, CheckpointError> {
        let text = format!(r#"{{"args": {{"dim": 64, "n_heads": 4}}, "patching": {body}}}"#);
        ModelConfig::from_json(&text, "config.json").map(|config| config.patching)
    }

    #[test]
    fn thresholds_are_linear_between_the_calibrated_sizes_and_unknown_beyond() {
        let body = r#"{"threshold": 1.5, "thresholds": {"text": [[4, 1.0], [8, 2.0]]}}"#;
        let patching = patching(body).expect("valid");
        let found = |size| patching.threshold_for("text", size);
        assert_eq!([found(4.0), found(5.0), found(8.0)], [Some(1.0), Some(1.25), Some(2.0)]);
        assert_eq!([found(3.9), found(8.1), found(f32::NAN)], [None; 3]);
        assert_eq!(patching.threshold_for("code", 4.0), None);
    }

    #[test]
    fn thresholds_out_of_order_or_range_are_refused() {
        for points in ["[[8, 2.0], [4, 1.0]]", "[[4, 1.0], [4, 2.0]]", "[[0.5, 1.0]]", "[[4, 1e39]]"] {
            let error = patching(&format!(r#"{{"threshold": 1.5, "thresholds": {{"text": {points}}}}}"#));
            let error = error.expect_err(points).to_string();
            assert!(error.contains("`text`"), "{points}: {error}");
        }
    }

    #[test]
    fn models_out_of_range_are_refused_with_their_reason() {
        for (body, reason) in [
            (r#""dim": 0, "n_heads": 1"#, "`dim` is 0"),
            (r#""dim": 99999999999, "n_heads": 1"#, "more than 65536"),
            (r#""dim": 64"#, "neither `n_heads` nor `head_dim`"),
            (r#""dim": 64, "n_heads": 0"#, "is 0"),
            (r#""dim": 66, "n_heads": 2"#, "even"),
            (r#""dim": 64, "n_heads": 4, "n_kv_heads": 3"#, "evenly"),
            (r#""dim": 64, "n_heads": 4, "vocab_size": 32000"#, "260"),
            (r#""dim": 64, "n_heads": 4, "multiple_of": 0"#, "`multiple_of` is 0"),
            (r#""dim": 64, "n_heads": 4, "rope_theta": -1"#, "`rope_theta`"),
        ] {
            let error = args(body).expect_err(body).to_string();
            assert!(error.contains(reason), "{body}: {error}");
        }
    }
}
