//! Named arrays of numbers, whatever file they are in.

use half::{bf16, f16};

/// Number type of an array's elements; all little endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Unsigned bytes.
    U8,
    /// Signed bytes.
    I8,
    /// 32-bit integers.
    I32,
    /// 64-bit integers.
    I64,
    /// 16-bit floats with 5 bits of exponent.
    F16,
    /// 16-bit floats with 8 bits of exponent.
    Bf16,
    /// 32-bit floats.
    F32,
    /// 64-bit floats.
    F64,
}

impl Dtype {
    /// Bytes of an element.
    pub fn n_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// The name that safetensors has for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::U8 => "U8",
            Self::I8 => "I8",
            Self::I32 => "I32",
            Self::I64 => "I64",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
            Self::F64 => "F64",
        }
    }

    pub(crate) fn from_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
        Some(match dtype {
            safetensors::Dtype::U8 | safetensors::Dtype::BOOL => Self::U8,
            safetensors::Dtype::I8 => Self::I8,
            safetensors::Dtype::I32 => Self::I32,
            safetensors::Dtype::I64 => Self::I64,
            safetensors::Dtype::F16 => Self::F16,
            safetensors::Dtype::BF16 => Self::Bf16,
            safetensors::Dtype::F32 => Self::F32,
            safetensors::Dtype::F64 => Self::F64,
            _ => return None,
        })
    }
}

/// What an array is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayInfo {
    /// Number type.
    pub dtype: Dtype,
    /// Shape, row-major.
    pub shape: Vec<u64>,
}

impl ArrayInfo {
    /// Number of elements, `None` when that is no number a file could hold.
    pub fn n_elements(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size))
    }

    /// Bytes of all elements.
    pub fn n_bytes(&self) -> Option<u64> {
        self.n_elements()?.checked_mul(self.dtype.n_bytes() as u64)
    }
}

/// Appends the elements in `bytes` as float32: exact but for 64-bit and large 32-bit numbers, which are rounded.
///
/// # Panics
///
/// Panics if `bytes` ends within an element.
pub(crate) fn extend_f32(values: &mut Vec<f32>, dtype: Dtype, bytes: &[u8]) {
    match dtype {
        Dtype::U8 => values.extend(bytes.iter().map(|&x| f32::from(x))),
        Dtype::I8 => values.extend(bytes.iter().map(|&x| f32::from(x.cast_signed()))),
        Dtype::I32 => values.extend(elements(bytes).map(|x| i32::from_le_bytes(x) as f32)),
        Dtype::I64 => values.extend(elements(bytes).map(|x| i64::from_le_bytes(x) as f32)),
        Dtype::F16 => values.extend(elements(bytes).map(|x| f16::from_le_bytes(x).to_f32())),
        Dtype::Bf16 => values.extend(elements(bytes).map(|x| bf16::from_le_bytes(x).to_f32())),
        Dtype::F32 => values.extend(elements(bytes).map(f32::from_le_bytes)),
        Dtype::F64 => values.extend(elements(bytes).map(|x| f64::from_le_bytes(x) as f32)),
    }
}

/// Appends the elements in `bytes` as float64; large 64-bit integers are rounded.
pub(crate) fn extend_f64(values: &mut Vec<f64>, dtype: Dtype, bytes: &[u8]) {
    if dtype == Dtype::F64 {
        values.extend(elements(bytes).map(f64::from_le_bytes));
    } else if let Some(integers) = integers(dtype, bytes) {
        values.extend(integers.map(|x| x as f64));
    } else {
        let mut floats = Vec::with_capacity(bytes.len() / dtype.n_bytes());
        extend_f32(&mut floats, dtype, bytes);
        values.extend(floats.into_iter().map(f64::from));
    }
}

/// The elements of an array of integers, `None` for floats.
pub(crate) fn integers(dtype: Dtype, bytes: &[u8]) -> Option<Box<dyn Iterator<Item = i64> + '_>> {
    Some(match dtype {
        Dtype::U8 => Box::new(bytes.iter().map(|&x| i64::from(x))),
        Dtype::I8 => Box::new(bytes.iter().map(|&x| i64::from(x.cast_signed()))),
        Dtype::I32 => Box::new(elements(bytes).map(|x| i64::from(i32::from_le_bytes(x)))),
        Dtype::I64 => Box::new(elements(bytes).map(i64::from_le_bytes)),
        Dtype::F16 | Dtype::Bf16 | Dtype::F32 | Dtype::F64 => return None,
    })
}

fn elements<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    let (elements, rest) = bytes.as_chunks::<N>();
    assert!(rest.is_empty(), "{} bytes are no elements of {N}", bytes.len());
    elements.iter().copied()
}
