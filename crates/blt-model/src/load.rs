//! From a checkpoint to a model, and Burn's own file format.

use std::sync::Arc;

use blt_checkpoint::{Checkpoint, CheckpointError, ModelConfig, RotaryTable, Visibility};
use burn::module::{Module, Param};
use burn::nn::{Linear, RmsNorm};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, DType, Device, Tensor, TensorData};

use crate::model::{Attention, FeedForward, LMTransformer, TransformerBlock};

/// Number type of weights and activations. Entropies and norms are float32 always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatType {
    /// 32 bits: within 2e-4 nats of the float64 reference.
    F32,
    /// 16 bits, 8 of them exponent.
    Bf16,
    /// 16 bits, 5 of them exponent.
    F16,
}

impl FloatType {
    /// The name used in options.
    pub fn name(self) -> &'static str {
        match self {
            FloatType::F32 => "f32",
            FloatType::Bf16 => "bf16",
            FloatType::F16 => "f16",
        }
    }

    fn dtype(self) -> DType {
        match self {
            FloatType::F32 => DType::F32,
            FloatType::Bf16 => DType::BF16,
            FloatType::F16 => DType::F16,
        }
    }
}

/// Why a model could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The checkpoint's tensors could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The device cannot compute with this number type.
    #[error("the device does not support {}", .0.name())]
    Dtype(FloatType),
    /// A Burn record could not be read, or belongs to another model.
    #[error("not a Burn record of this model: {0}")]
    Record(String),
}

impl LMTransformer {
    /// The model in `checkpoint`, on `device`, computing in `float`.
    ///
    /// # Errors
    ///
    /// Fails when a tensor cannot be read or holds a value that is not finite, or the device lacks the number type.
    pub fn load(checkpoint: &Checkpoint, device: &Device, float: FloatType) -> Result<Self, LoadError> {
        Self::from_tensors(checkpoint.config(), device, float, |name| Ok(checkpoint.tensor_f32(name)?))
    }

    /// The model in a Burn record (burnpack bytes), whose sizes are `config`.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are no record or do not fit `config`.
    pub fn from_burnpack(
        bytes: Vec<u8>,
        config: &ModelConfig,
        device: &Device,
        float: FloatType,
    ) -> Result<Self, LoadError> {
        let record = |error: burn::store::RecordError| LoadError::Record(error.to_string());
        // Two bytes a weight at the least: a small file must not claim a large model.
        if bytes.len() / 2 < config.n_params() {
            return Err(LoadError::Record(format!("{} bytes cannot hold {} weights", bytes.len(), config.n_params())));
        }
        let zeros = |name: &str| {
            let spec = blt_checkpoint::expected_tensors(config).into_iter().find(|tensor| tensor.name == name);
            Ok(vec![0.0; spec.map_or(0, |spec| spec.shape.iter().product())])
        };
        let empty = Self::from_tensors(config, device, float, zeros)?;
        let stored = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(record)?;
        let model = empty.try_load_record(stored.cast_to_module_dtype()).map_err(record)?;
        Ok(model)
    }

    /// The weights as a Burn record (burnpack bytes).
    ///
    /// # Errors
    ///
    /// Fails when Burn cannot serialise them.
    pub fn to_burnpack(&self) -> Result<Vec<u8>, LoadError> {
        let bytes = self.clone().into_record().into_bytes().map_err(|error| LoadError::Record(error.to_string()))?;
        Ok(bytes.to_vec())
    }

    /// The values of the tensor that the original calls `name`, float32, row-major, `[out, in]` for matrices.
    pub fn tensor_f32(&self, name: &str) -> Option<Vec<f32>> {
        let host = |tensor: Tensor<2>| tensor.cast(DType::F32).into_data().try_to_vec::<f32>().ok();
        let matrix = |linear: &Linear| host(linear.weight.val().transpose());
        let norm = |norm: &RmsNorm| host(norm.gamma.val().unsqueeze());
        match name {
            "tok_embeddings.weight" => return host(self.tok_embeddings.val()),
            "norm.weight" => return norm(&self.norm),
            "output.weight" => return matrix(&self.output),
            _ => {}
        }
        let (layer, part) = name.strip_prefix("layers.")?.split_once('.')?;
        let layer = self.layers.get(layer.parse::<usize>().ok()?)?;
        match part {
            "attention_norm.weight" => norm(&layer.attention_norm),
            "attention.wq.weight" => matrix(&layer.attention.wq),
            "attention.wk.weight" => matrix(&layer.attention.wk),
            "attention.wv.weight" => matrix(&layer.attention.wv),
            "attention.wo.weight" => matrix(&layer.attention.wo),
            "ffn_norm.weight" => norm(&layer.ffn_norm),
            "feed_forward.w1.weight" => matrix(&layer.feed_forward.w1),
            "feed_forward.w2.weight" => matrix(&layer.feed_forward.w2),
            "feed_forward.w3.weight" => matrix(&layer.feed_forward.w3),
            _ => None,
        }
    }

    /// A model of `config` whose tensors are what `values` gives by the original's names, float32 and row-major.
    ///
    /// # Errors
    ///
    /// Passes on what `values` returns; fails when the device lacks the number type.
    ///
    /// # Panics
    ///
    /// Panics if `values` returns another number of values than the configuration asks for.
    pub fn from_tensors(
        config: &ModelConfig,
        device: &Device,
        float: FloatType,
        mut values: impl FnMut(&str) -> Result<Vec<f32>, LoadError>,
    ) -> Result<Self, LoadError> {
        if !device.supports_dtype(float.dtype()) {
            return Err(LoadError::Dtype(float));
        }
        let mut weights = Weights { values: &mut values, device, dtype: float.dtype() };
        let ModelConfig { dim, ffn_dim, vocab_size, .. } = *config;
        let (queries, keys) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        let mut layers = Vec::with_capacity(config.n_layers);
        for layer in 0..config.n_layers {
            let name = |part: &str| format!("layers.{layer}.{part}.weight");
            layers.push(TransformerBlock {
                attention_norm: weights.norm(&name("attention_norm"), dim, config.norm_eps)?,
                attention: Attention {
                    wq: weights.linear(&name("attention.wq"), queries, dim)?,
                    wk: weights.linear(&name("attention.wk"), keys, dim)?,
                    wv: weights.linear(&name("attention.wv"), keys, dim)?,
                    wo: weights.linear(&name("attention.wo"), dim, queries)?,
                    head_dim: config.head_dim,
                },
                ffn_norm: weights.norm(&name("ffn_norm"), dim, config.norm_eps)?,
                feed_forward: FeedForward {
                    w1: weights.linear(&name("feed_forward.w1"), ffn_dim, dim)?,
                    w2: weights.linear(&name("feed_forward.w2"), dim, ffn_dim)?,
                    w3: weights.linear(&name("feed_forward.w3"), ffn_dim, dim)?,
                },
            });
        }
        let output = if config.weight_tying { "tok_embeddings.weight" } else { "output.weight" };
        Ok(Self {
            tok_embeddings: Param::from_tensor(weights.matrix("tok_embeddings.weight", vocab_size, dim)?),
            layers,
            norm: weights.norm("norm.weight", dim, config.norm_eps)?,
            output: weights.linear(output, vocab_size, dim)?,
            window: config.window(),
            visibility: Visibility::new(config),
            rotary: Arc::new(RotaryTable::new(config.head_dim, config.rope_theta, config.max_seqlen)),
        })
    }
}

/// Makes parameters out of named values.
struct Weights<'a, F> {
    values: &'a mut F,
    device: &'a Device,
    dtype: DType,
}

impl<F: FnMut(&str) -> Result<Vec<f32>, LoadError>> Weights<'_, F> {
    /// `[rows, columns]` as stored.
    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Tensor<2>, LoadError> {
        let data = TensorData::new((self.values)(name)?, [rows, columns]);
        Ok(Tensor::<2>::from_data(data, (self.device, DType::F32)).cast(self.dtype))
    }

    /// Stored `[out, in]`; Burn multiplies by `[in, out]`, and its products take the transposed view as it is.
    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Linear, LoadError> {
        let weight = self.matrix(name, outputs, inputs)?.transpose();
        Ok(Linear { weight: Param::from_tensor(weight), bias: None })
    }

    fn norm(&mut self, name: &str, dim: usize, eps: f64) -> Result<RmsNorm, LoadError> {
        let gamma = self.matrix(name, 1, dim)?.squeeze_dim(0);
        Ok(RmsNorm { gamma: Param::from_tensor(gamma), epsilon: eps })
    }
}
