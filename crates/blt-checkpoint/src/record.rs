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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use half::f16;

    use super::*;

    /// Of `pattern-f32.mpk`.
    const CONFIG: &str = r#"{"args": {"dim": 8, "n_layers": 2, "n_heads": 2, "ffn_dim_multiplier": 0.7, "multiple_of": 16,
        "max_seqlen": 32, "sliding_window": 8}}"#;

    fn golden(name: &str) -> PathBuf {
        blt_testkit::golden_dir().join(name)
    }

    /// A folder with these files.
    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("there is room");
        files.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).expect("there is room"));
        folder
    }

    fn pattern_record() -> Vec<u8> {
        fs::read(golden("model-burn-0.19/pattern-f32.mpk")).expect("the fixture is there")
    }

    #[test]
    fn a_half_precision_record_has_the_weights_it_was_made_of() {
        let record = fs::read(golden("model-burn-0.19/tiny-f16.mpk")).expect("the fixture is there");
        let config = fs::read(golden("model-tiny/config.json")).expect("the fixture is there");
        let folder = folder(&[("old.mpk", &record), ("config.json", &config)]);
        let original = Checkpoint::open(&golden("model-tiny")).expect("valid");
        for path in [folder.path().to_owned(), folder.path().join("old.mpk")] {
            let loaded = Checkpoint::open(&path).expect("valid");
            for spec in expected_tensors(original.config()) {
                let expected = original.tensor_f32(&spec.name).expect("valid");
                let expected: Vec<f32> = expected.into_iter().map(|value| f16::from_f32(value).to_f32()).collect();
                assert!(loaded.tensor_f32(&spec.name).expect("valid") == expected, "{}", spec.name);
            }
            let hash: String = Sha256::digest(&record).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(loaded.sha256().expect("readable"), hash, "the record's own");
            assert_eq!(loaded.name(), "old");
        }
    }

    /// As `tests/burn-record` makes them.
    #[test]
    fn a_full_precision_record_has_every_weight_in_its_place() {
        let pattern = |name: &str, index: usize| {
            let seed = name.bytes().fold(7u64, |hash, byte| (hash * 31 + u64::from(byte)) % 1_000_003);
            ((seed + 7919 * index as u64) % 2047) as f32 / 8192.0 - 1023.0 / 8192.0
        };
        let folder = folder(&[("weights", &pattern_record()), ("config.json", CONFIG.as_bytes())]);
        let loaded = Checkpoint::open_record(&folder.path().join("weights")).expect("valid");
        for spec in expected_tensors(loaded.config()) {
            let n = spec.shape.iter().product();
            let expected: Vec<f32> = (0..n).map(|index| pattern(&spec.name, index)).collect();
            assert_eq!(loaded.tensor_f32(&spec.name).expect("valid"), expected, "{}", spec.name);
        }
    }

    #[test]
    fn what_is_no_record_of_the_model_is_refused() {
        let record = pattern_record();
        let check = |record: &[u8], config: &str, reason: &str| {
            let folder = folder(&[("model.mpk", record), ("config.json", config.as_bytes())]);
            let error = Checkpoint::open(folder.path()).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        };
        check(&record[..record.len() - 1], CONFIG, "cut short");
        check(&record[..300], CONFIG, "cut short");
        check(b"", CONFIG, "cut short");
        check(&[0x80], CONFIG, "no `item`");
        check(&[0x81, 0xa4, b'i', b't', b'e', b'm', 0x80], CONFIG, "lacks 21 tensor(s)");
        check(&record, &CONFIG.replace("\"n_layers\": 2", "\"n_layers\": 3"), "lacks 9 tensor(s)");
        check(
            &record,
            &CONFIG.replace("\"multiple_of\": 16", "\"multiple_of\": 64"),
            "has shape [16, 8], expected [64, 8]",
        );
        let mut other = record.clone();
        let at = other.windows(3).position(|bytes| bytes == b"F32").expect("it says so");
        other[at..at + 3].copy_from_slice(b"I64");
        check(&other, CONFIG, "is no tensor");
        for at in (0..record.len().min(4000)).step_by(13) {
            let mut damaged = record.clone();
            damaged[at] = damaged[at].wrapping_add(0x61);
            let folder = folder(&[("model.mpk", &damaged), ("config.json", CONFIG.as_bytes())]);
            let _ = Checkpoint::open(folder.path()); // whatever it is, it is no panic
        }
    }

    #[test]
    fn without_a_configuration_only_the_published_model_is_known() {
        let folder = folder(&[("model.mpk", &pattern_record())]);
        assert!(matches!(Checkpoint::open(folder.path()), Err(CheckpointError::NoConfig { .. })));
        let shapes = expected_tensors(&ModelConfig::published()).into_iter().map(|mut spec| {
            if is_matrix(&spec.name) {
                spec.shape.reverse();
            }
            (spec.name, Recorded { dtype: Dtype::F16, shape: spec.shape, bytes: &[] })
        });
        let mut tensors: BTreeMap<String, Recorded<'_>> = shapes.collect();
        assert_eq!(published_of(&tensors), Some(ModelConfig::published()));
        tensors.remove("norm.weight");
        assert_eq!(published_of(&tensors), None);
    }

    #[test]
    fn of_several_records_none_is_taken_unless_it_is_the_model() {
        let record = pattern_record();
        let config = ("config.json", CONFIG.as_bytes());
        let unclear = folder(&[("a.mpk", &record), ("b.mpk", &record), config]);
        assert!(matches!(Checkpoint::open(unclear.path()), Err(CheckpointError::Open { .. })));
        let clear = folder(&[("a.mpk", b""), ("model.mpk", &record), config]);
        Checkpoint::open(clear.path()).expect("valid");
    }
}
