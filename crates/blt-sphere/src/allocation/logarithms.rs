//! Sums of numbers that are given by their logarithms.

use rayon::prelude::*;

use crate::parallel;

/// `ln sum exp(values)`; minus infinity where there are none, or all are minus infinity.
pub(crate) fn log_sum_exp(values: &[f64]) -> f64 {
    let highest = values.par_iter().copied().reduce(|| f64::NEG_INFINITY, f64::max);
    if highest == f64::NEG_INFINITY {
        return highest;
    }
    highest + parallel::sum(values.len(), |i| (values[i] - highest).exp()).ln()
}

/// `exp(values)`, scaled to sum to 1. Where all are minus infinity, all get the same.
pub(crate) fn softmax(values: &[f64]) -> Vec<f64> {
    let total = log_sum_exp(values);
    if total == f64::NEG_INFINITY {
        return vec![1.0 / values.len() as f64; values.len()];
    }
    let shares: Vec<f64> = values.par_iter().map(|value| (value - total).exp()).collect();
    normalised(shares)
}

/// Values scaled to sum to 1, but for rounding of the last digits. Their sum is positive.
pub(crate) fn normalised(mut values: Vec<f64>) -> Vec<f64> {
    let total = parallel::sum(values.len(), |i| values[i]);
    values.par_iter_mut().for_each(|value| *value /= total);
    values
}

/// `ln(exp(a) + exp(b))`; either may be minus infinity.
pub(crate) fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}
