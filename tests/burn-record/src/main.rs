//! Writes weights as records of Burn 0.19, in which entropy models have been published: named MessagePack, with
//! half or full precision.
//!
//! `burn-record MODEL_DIR OUT.mpk` takes `model.safetensors` and `config.json` in the original layout; floats are stored as f16.
//! `burn-record --pattern OUT.mpk` makes a model of width 8 whose weights follow `pattern`; floats are stored as f32.

use std::path::PathBuf;

use burn::backend::NdArray;
use burn::module::{Module, Param, ParamId};
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::record::{FullPrecisionSettings, HalfPrecisionSettings, NamedMpkFileRecorder};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

type Host = NdArray<f32>;

// Field names are what the record keeps; numbers that are no tensors leave a null.

#[derive(Module, Debug)]
struct RmsNorm<B: Backend> {
    weight: Param<Tensor<B, 1>>,
    epsilon: f64,
}

#[derive(Module, Debug)]
struct Attention<B: Backend> {
    wq: Linear<B>,
    wk: Linear<B>,
    wv: Linear<B>,
    wo: Linear<B>,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
}

#[derive(Module, Debug)]
struct FeedForward<B: Backend> {
    w1: Linear<B>,
    w2: Linear<B>,
    w3: Linear<B>,
}

#[derive(Module, Debug)]
struct Block<B: Backend> {
    attention_norm: RmsNorm<B>,
    attention: Attention<B>,
    ffn_norm: RmsNorm<B>,
    feed_forward: FeedForward<B>,
}

#[derive(Module, Debug)]
struct Model<B: Backend> {
    tok_embeddings: Embedding<B>,
    layers: Vec<Block<B>>,
    norm: RmsNorm<B>,
    output: Linear<B>,
    max_seqlen: usize,
    head_dim: usize,
    rope_theta: f64,
}

/// Sizes of the model to be written.
struct Sizes {
    dim: usize,
    ffn_dim: usize,
    n_layers: usize,
    n_heads: usize,
    max_seqlen: usize,
}

/// Gives a tensor's values, row-major as in the original layout, by its name and number of elements.
type Values<'a> = dyn Fn(&str, usize) -> Vec<f32> + 'a;

fn param<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<Host, D>> {
    let tensor = Tensor::from_data(TensorData::new(values, shape), &Default::default());
    Param::initialized(ParamId::new(), tensor)
}

/// The original stores `[out, in]`, Burn `[in, out]`.
fn linear(values: &Values, name: &str, inputs: usize, outputs: usize) -> Linear<Host> {
    let device = Default::default();
    let mut linear = LinearConfig::new(inputs, outputs).with_bias(false).init(&device);
    let stored = Tensor::<Host, 2>::from_data(
        TensorData::new(values(&format!("{name}.weight"), inputs * outputs), [outputs, inputs]),
        &device,
    );
    linear.weight = Param::initialized(ParamId::new(), stored.transpose());
    linear
}

fn norm(values: &Values, name: &str, dim: usize) -> RmsNorm<Host> {
    RmsNorm { weight: param(values(&format!("{name}.weight"), dim), [dim]), epsilon: 1e-5 }
}

fn model(sizes: &Sizes, values: &Values) -> Model<Host> {
    let Sizes { dim, ffn_dim, n_layers, n_heads, max_seqlen } = *sizes;
    let mut tok_embeddings = EmbeddingConfig::new(260, dim).init(&Default::default());
    tok_embeddings.weight = param(values("tok_embeddings.weight", 260 * dim), [260, dim]);
    let layer = |i: usize| {
        let part = |part: &str| format!("layers.{i}.{part}");
        Block {
            attention_norm: norm(values, &part("attention_norm"), dim),
            attention: Attention {
                wq: linear(values, &part("attention.wq"), dim, dim),
                wk: linear(values, &part("attention.wk"), dim, dim),
                wv: linear(values, &part("attention.wv"), dim, dim),
                wo: linear(values, &part("attention.wo"), dim, dim),
                n_heads,
                n_kv_heads: n_heads,
                head_dim: dim / n_heads,
            },
            ffn_norm: norm(values, &part("ffn_norm"), dim),
            feed_forward: FeedForward {
                w1: linear(values, &part("feed_forward.w1"), dim, ffn_dim),
                w2: linear(values, &part("feed_forward.w2"), ffn_dim, dim),
                w3: linear(values, &part("feed_forward.w3"), dim, ffn_dim),
            },
        }
    };
    Model {
        tok_embeddings,
        layers: (0..n_layers).map(layer).collect(),
        norm: norm(values, "norm", dim),
        output: linear(values, "output", dim, 260),
        max_seqlen,
        head_dim: dim / n_heads,
        rope_theta: 10000.0,
    }
}

/// Element `index` of the tensor `name`: a multiple of 1/8192 in (-1/8, 1/8), another for each name.
fn pattern(name: &str, index: usize) -> f32 {
    let seed = name.bytes().fold(7u64, |hash, byte| (hash * 31 + u64::from(byte)) % 1_000_003);
    ((seed + 7919 * index as u64) % 2047) as f32 / 8192.0 - 1023.0 / 8192.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, target] = &arguments[..] else {
        panic!("two arguments: a model's folder or --pattern, and the file to write")
    };
    let target = PathBuf::from(target);
    if source == "--pattern" {
        let sizes = Sizes { dim: 8, ffn_dim: 16, n_layers: 2, n_heads: 2, max_seqlen: 32 };
        let values = |name: &str, n: usize| (0..n).map(|index| pattern(name, index)).collect();
        model(&sizes, &values)
            .save_file(target, &NamedMpkFileRecorder::<FullPrecisionSettings>::new())
            .expect("the file can be written");
        return;
    }
    let folder = PathBuf::from(source);
    let bytes = std::fs::read(folder.join("model.safetensors")).expect("the weights can be read");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("they are safetensors");
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("config.json")).expect("there is a configuration"))
            .expect("it is JSON");
    let number = |key: &str| config["args"][key].as_u64().expect("a number") as usize;
    let values = |name: &str, n: usize| {
        let data = file.tensor(name).expect("the tensor is there").data().to_vec();
        let floats: Vec<f32> =
            data.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four"))).collect();
        assert_eq!(floats.len(), n, "{name}");
        floats
    };
    let sizes = Sizes {
        dim: number("dim"),
        ffn_dim: file.tensor("layers.0.feed_forward.w1.weight").expect("it is there").shape()[0],
        n_layers: number("n_layers"),
        n_heads: number("n_heads"),
        max_seqlen: number("max_seqlen"),
    };
    model(&sizes, &values)
        .save_file(target, &NamedMpkFileRecorder::<HalfPrecisionSettings>::new())
        .expect("the file can be written");
}
