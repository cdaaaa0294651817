//! Weights in 8 or 4 bits, and what that does to them.

use blt_checkpoint::{CheckpointError, ModelConfig, expected_tensors};

use crate::kernels::INT4_GROUP;

/// How the matrices of the layers are held. Embeddings, norms and the last matrix stay as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quantization {
    /// In the number type that is computed with.
    #[default]
    None,
    /// In 8 bits with one scale an output; activations are rounded to 8 bits a row as they come.
    Int8,
    /// In 4 bits with one scale for 32 weights of an output: for memory, the products are computed as before.
    Int4,
}

impl Quantization {
    /// The name used in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// Weights that share a scale, of the `width` that are summed for one output.
    fn group(self, width: usize) -> usize {
        match self {
            Self::Int4 => INT4_GROUP,
            _ => width.max(1),
        }
    }

    /// The largest whole number.
    fn largest(self) -> f32 {
        match self {
            Self::Int4 => 7.0,
            _ => 127.0,
        }
    }
}

/// Whole numbers for the weights of one output, and the scale of each group of them.
pub(crate) fn quantize_row(how: Quantization, row: &[f32]) -> (Vec<i8>, Vec<f32>) {
    let (mut numbers, mut scales) = (Vec::with_capacity(row.len()), Vec::new());
    for group in row.chunks(how.group(row.len())) {
        let size = group.iter().fold(0.0f32, |a, x| a.max(x.abs()));
        // Weights too small for a reciprocal become zero.
        let steps = if size > 1e-30 { how.largest() / size } else { 0.0 };
        numbers.extend(group.iter().map(|x| (x * steps).round_ties_even() as i8));
        scales.push(size / how.largest());
    }
    (numbers, scales)
}

/// What quantization makes of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorStatistics {
    /// Its name in the original's layout.
    pub name: String,
    /// How many weights it has.
    pub n_weights: usize,
    /// Bytes as bfloat16.
    pub bf16_bytes: usize,
    /// Bytes quantized, scales included; as bfloat16 where it stays as it is.
    pub bytes: usize,
    /// Root of the mean square of the errors over that of the weights; 0 where it stays as it is.
    pub relative_error: f64,
    /// The largest error.
    pub largest_error: f32,
}

/// Quantizes every weight of a model and says what that does to it, tensor by tensor. `tensor` gives the values by the
/// names of the original's layout.
///
/// # Errors
///
/// Fails when `tensor` does.
pub fn quantize_model(
    config: &ModelConfig,
    how: Quantization,
    mut tensor: impl FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<Vec<TensorStatistics>, CheckpointError> {
    let mut all = Vec::new();
    for spec in expected_tensors(config) {
        let n_weights = spec.shape.iter().product();
        let mut statistics = TensorStatistics {
            name: spec.name,
            n_weights,
            bf16_bytes: 2 * n_weights,
            bytes: 2 * n_weights,
            relative_error: 0.0,
            largest_error: 0.0,
        };
        let is_quantized = how != Quantization::None && spec.shape.len() == 2 && statistics.name.starts_with("layers.");
        if is_quantized {
            let (mut errors, mut weights, mut bits) = (0.0, 0.0, 0);
            // Heads are filled up with zeros to whole groups, and so are the inputs that come from them.
            let is_by_head = statistics.name.ends_with(".attention.wo.weight");
            let part = if is_by_head { config.head_dim } else { spec.shape[1] };
            for row in tensor(&statistics.name)?.chunks(spec.shape[1]) {
                let mut padded = Vec::new();
                for part in row.chunks(part) {
                    padded.extend_from_slice(part);
                    padded.resize(padded.len().next_multiple_of(INT4_GROUP), 0.0);
                }
                let row = &padded[..];
                let (numbers, scales) = quantize_row(how, row);
                bits += 32 * scales.len() + numbers.len() * if how == Quantization::Int4 { 4 } else { 8 };
                let groups = row.chunks(how.group(row.len())).zip(numbers.chunks(how.group(row.len())));
                for ((row, numbers), scale) in groups.zip(scales) {
                    for (&weight, &number) in row.iter().zip(numbers) {
                        let error = weight - f32::from(number) * scale;
                        errors += f64::from(error * error);
                        weights += f64::from(weight * weight);
                        statistics.largest_error = statistics.largest_error.max(error.abs());
                    }
                }
            }
            statistics.bytes = bits.div_ceil(8);
            statistics.relative_error = if weights > 0.0 { (errors / weights).sqrt() } else { 0.0 };
        }
        all.push(statistics);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_to_half_a_step() {
        let row: Vec<f32> = (0..100).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        for (how, n_scales) in [(Quantization::Int8, 1), (Quantization::Int4, 4)] {
            let (numbers, scales) = quantize_row(how, &row);
            assert_eq!(scales.len(), n_scales);
            for (i, (&number, &weight)) in numbers.iter().zip(&row).enumerate() {
                let scale = scales[i / how.group(row.len())];
                assert!((f32::from(number) * scale - weight).abs() <= scale * 0.501, "{how:?} {i}");
            }
        }
        assert_eq!(quantize_row(Quantization::Int8, &[0.0, 1e-40]).0, [0, 0]);
    }
}
