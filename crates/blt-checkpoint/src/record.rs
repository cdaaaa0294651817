//! Weights in records of Burn up to 0.19: a named MessagePack file (`.mpk`) with half or full precision.
//!
//! The record is the tree of the module's fields. A parameter is a map with `id` and `param`, and `param` holds `bytes`, `shape` and
//! `dtype`. Field names are the original's; matrices are stored the other way round, `[in, out]`. What is no tensor leaves nothing
//! behind, so heads and window come from `config.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::{Dtype, serialize, tensor::TensorView};
use sha2::{Digest, Sha256};

use crate::message_pack::Value;
use crate::safetensors_file::read_config;
use crate::{Checkpoint, CheckpointError, ModelConfig, SafetensorsFile, Storage, expected_tensors};

impl Checkpoint {
    /// Opens a record of Burn up to 0.19 with `config.json` beside it. Without one, a record of the size of the published 100M model
    /// is taken for that model.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_record(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path).map_err(|source| CheckpointError::Open { path: path.to_owned(), source })?;
        let origin = path.display().to_string();
        let malformed = |reason: String| CheckpointError::Record { origin: origin.clone(), reason };
        let record = Value::parse(&bytes).map_err(malformed)?;
        let root = record.get("item").ok_or_else(|| malformed("it has no `item`".to_owned()))?;
        let mut tensors = BTreeMap::new();
        collect(root, "", &mut tensors).map_err(malformed)?;
        let config = match read_config(path)? {
            Some(config) => config,
            None => published_of(&tensors).ok_or_else(|| CheckpointError::NoConfig { path: path.to_owned() })?,
        };
        let turned = turned(&config, &tensors)?;
        let views = turned.iter().map(|(name, tensor)| {
            let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
            view.map(|view| (name, view)).map_err(|error| malformed(error.to_string()))
        });
        let stored =
            serialize(views.collect::<Result<Vec<_>, _>>()?, None).map_err(|error| malformed(error.to_string()))?;
        let storage = Storage::Converted { bytes: stored, sha256: Sha256::digest(&bytes).into() };
        let stem = path.file_stem().unwrap_or_default().display().to_string();
        Self::new(SafetensorsFile::new(storage, origin)?, config, stem)
    }
}

/// A tensor as the record has it.
struct Recorded<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

/// A tensor as the original has it.
struct Turned {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Every parameter below `value`, by its path.
fn collect<'a>(value: &Value<'a>, path: &str, tensors: &mut BTreeMap<String, Recorded<'a>>) -> Result<(), String> {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Map(_) if value.get("param").is_some() => {
            let tensor = value.get("param").and_then(tensor).ok_or_else(|| format!("`{path}` is no tensor"))?;
            tensors.insert(path.to_owned(), tensor);
            Ok(())
        }
        Value::Map(entries) => entries.iter().try_for_each(|(name, value)| collect(value, &below(name), tensors)),
        Value::Array(values) => {
            values.iter().enumerate().try_for_each(|(index, value)| collect(value, &below(&index.to_string()), tensors))
        }
        _ => Ok(()),
    }
}

fn tensor<'a>(value: &Value<'a>) -> Option<Recorded<'a>> {
    let (Value::Bytes(bytes), Value::Array(shape)) = (value.get("bytes")?, value.get("shape")?) else { return None };
    let sizes = shape.iter().map(|size| match size {
        Value::Unsigned(size) => usize::try_from(*size).ok(),
        _ => None,
    });
    let shape: Vec<usize> = sizes.collect::<Option<_>>()?;
    let (dtype, width) = match value.get("dtype")?.text()? {
        "F32" => (Dtype::F32, 4),
        "F16" => (Dtype::F16, 2),
        "BF16" => (Dtype::BF16, 2),
        _ => return None,
    };
    let n_bytes = shape.iter().try_fold(width, |product: usize, size| product.checked_mul(*size))?;
    (n_bytes == bytes.len()).then_some(Recorded { dtype, shape, bytes })
}

/// The published model's configuration, if these are tensors of its sizes.
fn published_of(tensors: &BTreeMap<String, Recorded<'_>>) -> Option<ModelConfig> {
    let config = ModelConfig::published();
    let fits = expected_tensors(&config).iter().all(|spec| {
        let shape: Vec<usize> =
            if is_matrix(&spec.name) { spec.shape.iter().rev().copied().collect() } else { spec.shape.clone() };
        find(tensors, &spec.name).is_some_and(|tensor| tensor.shape == shape)
    });
    fits.then_some(config)
}

/// The tensor that the original calls `name`. Burn's own norm calls its weights `gamma`.
fn find<'t, 'a>(tensors: &'t BTreeMap<String, Recorded<'a>>, name: &str) -> Option<&'t Recorded<'a>> {
    let gamma = || tensors.get(&format!("{}.gamma", name.strip_suffix(".weight")?));
    tensors.get(name).or_else(gamma)
}

/// Whether the tensor multiplies, and so is stored the other way round.
fn is_matrix(name: &str) -> bool {
    !name.ends_with("norm.weight") && name != "tok_embeddings.weight"
}

/// The tensors of a model of `config`, matrices turned round.
fn turned(
    config: &ModelConfig,
    tensors: &BTreeMap<String, Recorded<'_>>,
) -> Result<Vec<(String, Turned)>, CheckpointError> {
    let mut turned = Vec::new();
    for spec in expected_tensors(config) {
        // What is missing is told by whoever checks the result.
        let Some(Recorded { dtype, shape, bytes }) = find(tensors, &spec.name) else { continue };
        let tensor = match shape[..] {
            [inputs, outputs] if is_matrix(&spec.name) => {
                let width = bytes.len().checked_div(inputs * outputs).unwrap_or(0);
                Turned { dtype: *dtype, shape: vec![outputs, inputs], bytes: transpose(bytes, inputs, outputs, width) }
            }
            _ => Turned { dtype: *dtype, shape: shape.clone(), bytes: bytes.to_vec() },
        };
        turned.push((spec.name, tensor));
    }
    Ok(turned)
}

/// `[rows, columns]` as `[columns, rows]`, elements of `width` bytes.
fn transpose(bytes: &[u8], rows: usize, columns: usize, width: usize) -> Vec<u8> {
    let mut turned = Vec::with_capacity(bytes.len());
    if bytes.is_empty() {
        return turned; // a claim of no rows of any number of columns
    }
    for column in 0..columns {
        for row in 0..rows {
            let start = (row * columns + column) * width;
            turned.extend_from_slice(&bytes[start..start + width]);
        }
    }
    turned
}
