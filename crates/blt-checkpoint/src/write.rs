//! Writing weights in the original layout.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::{Dtype, View, serialize};

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
}

/// A safetensors file in the original layout. `tensor` gives each tensor's values, row-major, by the original's name.
///
/// # Errors
///
/// Passes on what `tensor` returns; fails when a value does not fit float16.
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
        let bytes: Vec<u8> = match dtype {
            StoredDtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
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
            StoredDtype::F32 => Dtype::F32,
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
