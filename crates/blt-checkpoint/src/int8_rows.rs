//! Matrices stored in 8 bits with one scale a row: tensor `NAME` I8 `[rows, columns]` and `NAME.scale` F32 `[rows]`.
//!
//! A weight is `value as f32 * scale`, one correctly rounded product of IEEE 754, so it is the same float32 on every machine.

/// What the name of a matrix gets to name its scales.
const SCALE_SUFFIX: &str = ".scale";

/// Name of the scales of the matrix `name`.
pub(crate) fn scale_name(name: &str) -> String {
    format!("{name}{SCALE_SUFFIX}")
}

/// The matrix whose scales are called `name`.
pub(crate) fn scaled_by(name: &str) -> Option<&str> {
    name.strip_suffix(SCALE_SUFFIX)
}

/// The largest magnitude of a row becomes 127; the others are rounded to the nearest step. Returns the values as
/// stored and a scale for each row.
pub(crate) fn quantize(values: &[f32], columns: usize) -> (Vec<i8>, Vec<f32>) {
    let mut scales = Vec::with_capacity(values.len() / columns);
    let mut stored = Vec::with_capacity(values.len());
    for row in values.chunks_exact(columns) {
        let scale = row.iter().fold(0.0, |largest: f32, value| largest.max(value.abs())) / 127.0;
        // A row of zeros has the scale 0; so has one too small for a scale, which becomes zeros.
        stored.extend(row.iter().map(|value| if scale > 0.0 { (value / scale).round() as i8 } else { 0 }));
        scales.push(scale);
    }
    (stored, scales)
}

/// The weights of a stored matrix, row-major, from its bytes and the scales of its rows.
pub(crate) fn dequantize(bytes: &[u8], scales: &[f32]) -> Vec<f32> {
    if scales.is_empty() {
        return Vec::new();
    }
    let rows = bytes.chunks_exact(bytes.len() / scales.len());
    rows.zip(scales).flat_map(|(row, scale)| row.iter().map(move |&byte| f32::from(byte as i8) * scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_a_row_is_kept_and_the_rest_is_off_by_half_a_step_at_most() {
        let values = [0.5, -1.27, 0.004, 0.0, 0.0, 0.0, 3e-4, 2e-4, -1e-4];
        let (stored, scales) = quantize(&values, 3);
        assert_eq!((stored[1], &stored[3..6]), (-127, &[0, 0, 0][..]));
        let bytes: Vec<u8> = stored.iter().map(|&value| value as u8).collect();
        for (index, (before, after)) in values.iter().zip(dequantize(&bytes, &scales)).enumerate() {
            assert!((before - after).abs() <= 0.5001 * scales[index / 3], "{index}: {before} became {after}");
        }
    }

    #[test]
    fn what_was_stored_is_stored_the_same_again() {
        let values: Vec<f32> = (0..640).map(|index| ((index * 7919 % 1009) as f32 - 504.0) * 1e-3).collect();
        let (stored, scales) = quantize(&values, 64);
        let bytes: Vec<u8> = stored.iter().map(|&value| value as u8).collect();
        assert_eq!(quantize(&dequantize(&bytes, &scales), 64).0, stored);
    }
}
