//! Writing weights in the original layout.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::{Dtype, View, serialize};

use crate::int8_rows::{quantize, scale_name};
use crate::{CheckpointError, ModelConfig, expected_tensors};

/// Number type of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDtype {
    /// 32-bit floats.
    F32,
    /// 16-bit floats with 8 bits of exponent.
    Bf16,
    /// 16-bit floats with 5 bits of exponent.
    F16,
    /// Matrices in 8 bits with one 32-bit scale a row, in tensors `NAME.scale`; the rest as 32-bit floats.
    Int8,
}

/// A safetensors file in the original layout. `tensor` gives each tensor's values, row-major, by the original's name.
///
/// # Errors
///
/// Passes on what `tensor` returns; fails when a value does not fit float16 or 8 bits.
///
/// # Panics
///
/// Panics if `tensor` returns another number of values than the configuration asks for.
pub fn safetensors_bytes(
    config: &ModelConfig,
    dtype: StoredDtype,
    mut tensor: impl FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<Vec<u8>, CheckpointError> {
    let mut stored = Vec::new();
    for spec in expected_tensors(config) {
        let values = tensor(&spec.name)?;
        assert_eq!(values.len(), spec.shape.iter().product::<usize>(), "values of `{}`", spec.name);
        if let (StoredDtype::Int8, &[rows, columns]) = (dtype, &spec.shape[..]) {
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(CheckpointError::NotFinite { name: spec.name, index });
            }
            let (quantized, scales) = quantize(&values, columns);
            let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
            stored.push((scale_name(&spec.name), StoredTensor { dtype: Dtype::F32, shape: vec![rows], bytes }));
            let bytes = quantized.iter().map(|&value| value as u8).collect();
            stored.push((spec.name, StoredTensor { dtype: Dtype::I8, shape: spec.shape, bytes }));
            continue;
        }
        let bytes: Vec<u8> = match dtype {
            StoredDtype::F32 | StoredDtype::Int8 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            StoredDtype::Bf16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
            StoredDtype::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        };
        if dtype == StoredDtype::F16
            && let Some(index) = values.iter().position(|&value| !f16::from_f32(value).is_finite())
        {
            return Err(CheckpointError::NotFinite { name: spec.name, index });
        }
        stored.push((spec.name, StoredTensor { dtype: dtype.into(), shape: spec.shape, bytes }));
    }
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    serialize(stored, metadata).map_err(|error| CheckpointError::Safetensors {
        origin: "the file to be written".to_owned(),
        reason: error.to_string(),
    })
}

impl From<StoredDtype> for Dtype {
    fn from(dtype: StoredDtype) -> Self {
        match dtype {
            // Matrices in 8 bits are written before this is asked.
            StoredDtype::F32 | StoredDtype::Int8 => Dtype::F32,
            StoredDtype::Bf16 => Dtype::BF16,
            StoredDtype::F16 => Dtype::F16,
        }
    }
}

struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for StoredTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Layout};

    const CONFIG: &str = r#"{"args": {"dim": 8, "n_layers": 1, "n_heads": 1, "multiple_of": 8, "sliding_window": 16}}"#;

    /// Values that differ in every place and every tensor.
    fn values(name: &str) -> Vec<f32> {
        let config = ModelConfig::from_json(CONFIG, "test").unwrap();
        let spec = expected_tensors(&config).into_iter().find(|spec| spec.name == name).unwrap();
        (0..spec.shape.iter().product())
            .map(|index| ((index * 37 + name.len() * 11) % 101) as f32 / 50.0 - 1.0)
            .collect()
    }

    fn written() -> Vec<u8> {
        let config = ModelConfig::from_json(CONFIG, "test").unwrap();
        safetensors_bytes(&config, StoredDtype::Int8, |name| Ok(values(name))).unwrap()
    }

    fn opened(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        std::fs::write(folder.path().join("config.json"), CONFIG).unwrap();
        Checkpoint::open(folder.path())
    }

    #[test]
    fn eight_bits_read_back_as_value_times_scale() {
        let checkpoint = opened(&written()).expect("it was just written");
        assert_eq!(checkpoint.layout(), Layout::Original);
        for spec in expected_tensors(checkpoint.config()) {
            let (before, after) = (values(&spec.name), checkpoint.tensor_f32(&spec.name).unwrap());
            if let &[_, columns] = &spec.shape[..] {
                let (quantized, scales) = quantize(&before, columns);
                let products =
                    quantized.iter().enumerate().map(|(index, &value)| f32::from(value) * scales[index / columns]);
                assert_eq!(products.collect::<Vec<_>>(), after, "{}", spec.name);
            } else {
                assert_eq!(before, after, "{}", spec.name);
            }
        }
    }

    /// The written file with the header's entry of one tensor changed; both texts are equally long.
    fn altered(from: &str, to: &str) -> CheckpointError {
        let mut bytes = written();
        let at =
            bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it stands in the header");
        assert_eq!(from.len(), to.len());
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        opened(&bytes).expect_err("the file is not what it says")
    }

    #[test]
    fn scales_that_are_absent_or_unfit_are_refused() {
        let error = altered("attention.wq.weight.scale", "attention.wq.weight.skale");
        assert!(matches!(error, CheckpointError::Missing { name, .. } if name.ends_with("wq.weight.scale")));
        let error = altered(r#""shape":[260,8]"#, r#""shape":[520,4]"#);
        assert!(matches!(error, CheckpointError::Shape { .. }));
        let error = altered(r#""dtype":"F32","shape":[8]"#, r#""dtype":"I32","shape":[8]"#);
        assert!(matches!(error, CheckpointError::Dtype { .. }));
    }

    #[test]
    fn a_scale_that_is_no_scale_is_refused() {
        let bytes = written();
        for scale in [-1.0, f32::NAN, f32::INFINITY] {
            let (_, scales) = quantize(&values("output.weight"), 8);
            let mut bytes = bytes.clone();
            let wanted: Vec<u8> = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
            let at =
                bytes.windows(wanted.len()).position(|window| window == wanted).expect("the scales stand in the file");
            bytes[at + 4..at + 8].copy_from_slice(&f32::to_le_bytes(scale));
            let checkpoint = opened(&bytes).expect("the header is whole");
            let error = checkpoint.tensor_f32("output.weight").expect_err("a scale is none");
            assert!(matches!(error, CheckpointError::Scale { row: 1, .. }), "{error}");
        }
    }
}
