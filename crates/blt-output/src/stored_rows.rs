//! Embeddings in the form they are written in.

use std::io;
use std::path::Path;

use half::{bf16, f16};

use crate::collector::EmbeddingDtype;
use crate::spool::Spool;

/// Rows that grow.
#[derive(Debug)]
pub(crate) struct StoredRows {
    pub(crate) values: Spool,
    /// One a row, with [`EmbeddingDtype::Int8`] only.
    pub(crate) scales: Spool,
}

impl StoredRows {
    pub(crate) fn new(scratch: &Path) -> Self {
        Self { values: Spool::new(scratch), scales: Spool::new(scratch) }
    }

    pub(crate) fn push(&mut self, row: &[f32], dtype: EmbeddingDtype) -> io::Result<()> {
        match dtype {
            EmbeddingDtype::F32 => self.values.floats(row),
            EmbeddingDtype::Bf16 => self.values.elements(row.iter().map(|&value| bf16::from_f32(value).to_le_bytes())),
            EmbeddingDtype::F16 => self.values.elements(row.iter().map(|&value| f16::from_f32(value).to_le_bytes())),
            EmbeddingDtype::Int8 => {
                let scale = int8_scale(row);
                self.scales.floats(&[scale])?;
                self.values.elements(row.iter().map(|&value| to_int8(value, scale).to_le_bytes()))
            }
        }
    }
}

/// What is read back of a row that was written.
pub(crate) fn rounded(row: &[f32], dtype: EmbeddingDtype) -> Vec<f32> {
    match dtype {
        EmbeddingDtype::F32 => row.to_vec(),
        EmbeddingDtype::Bf16 => row.iter().map(|&value| bf16::from_f32(value).to_f32()).collect(),
        EmbeddingDtype::F16 => row.iter().map(|&value| f16::from_f32(value).to_f32()).collect(),
        EmbeddingDtype::Int8 => {
            let scale = int8_scale(row);
            row.iter().map(|&value| f32::from(to_int8(value, scale)) * scale).collect()
        }
    }
}

/// The largest value becomes 127.
fn int8_scale(row: &[f32]) -> f32 {
    let largest = row.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    if largest > 0.0 { largest / 127.0 } else { 1.0 }
}

fn to_int8(value: f32, scale: f32) -> i8 {
    (value / scale).round() as i8
}
