//! Distribution of entropies, and the threshold that makes patches of a wanted length.

/// Entropies are counted in steps of this many nats; percentiles are exact to one step.
const STEP_NATS: f32 = 0.001;
/// Steps up to ln 260, the largest entropy of 260 tokens.
const N_STEPS: usize = 5562;

/// Running statistics of entropies in nats. Takes any number of values in constant memory and can be merged.
#[derive(Debug, Clone, PartialEq)]
pub struct EntropyStatistics {
    count: u64,
    min: f32,
    max: f32,
    sum: f64,
    sum_of_squares: f64,
    steps: Vec<u64>,
}

impl Default for EntropyStatistics {
    fn default() -> Self {
        Self {
            count: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            sum: 0.0,
            sum_of_squares: 0.0,
            steps: vec![0; N_STEPS],
        }
    }
}

/// Counts of entropies in equal bins from the smallest to the largest.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Bounds of the bins in nats, one more than there are bins.
    pub bin_edges: Vec<f32>,
    /// Values in each bin.
    pub counts: Vec<u64>,
}

impl EntropyStatistics {
    /// Takes in `entropies`; values that are not finite are left out.
    pub fn add(&mut self, entropies: &[f32]) {
        for &entropy in entropies.iter().filter(|entropy| entropy.is_finite()) {
            self.count += 1;
            self.min = self.min.min(entropy);
            self.max = self.max.max(entropy);
            self.sum += f64::from(entropy);
            self.sum_of_squares += f64::from(entropy) * f64::from(entropy);
            self.steps[step_of(entropy)] += 1;
        }
    }

    /// Takes in everything that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.sum_of_squares += other.sum_of_squares;
        self.steps.iter_mut().zip(&other.steps).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Smallest and largest value, `None` before any.
    pub fn range(&self) -> Option<(f32, f32)> {
        (self.count > 0).then_some((self.min, self.max))
    }

    /// Mean and standard deviation (of the population), `None` before any value.
    pub fn mean_and_deviation(&self) -> Option<(f64, f64)> {
        let n = (self.count > 0).then_some(self.count as f64)?;
        let mean = self.sum / n;
        Some((mean, (self.sum_of_squares / n - mean * mean).max(0.0).sqrt()))
    }

    /// The value that `percent` of all values do not exceed, to within 0.001 nats; `None` before any.
    pub fn percentile(&self, percent: f64) -> Option<f32> {
        let rank = ((percent / 100.0 * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let step = self.steps.iter().position(|&n| {
            seen += n;
            seen >= rank
        })?;
        Some(((step + 1) as f32 * STEP_NATS).clamp(self.min, self.max))
    }

    /// Counts in `n_bins` equal bins from the smallest to the largest value; `None` before any.
    pub fn histogram(&self, n_bins: usize) -> Option<Histogram> {
        let (min, max) = self.range()?;
        let n_bins = n_bins.max(1);
        let width = (max - min) / n_bins as f32;
        let bin_edges = (0..=n_bins).map(|bin| if bin == n_bins { max } else { min + bin as f32 * width }).collect();
        let mut counts = vec![0; n_bins];
        for (step, &n) in self.steps.iter().enumerate() {
            let middle = (step as f32 + 0.5) * STEP_NATS;
            let bin = if width > 0.0 { ((middle - min) / width) as usize } else { 0 };
            counts[bin.min(n_bins - 1)] += n;
        }
        Some(Histogram { bin_edges, counts })
    }
}

fn step_of(entropy: f32) -> usize {
    ((entropy / STEP_NATS).max(0.0) as usize).min(N_STEPS - 1)
}

/// The threshold of [`Rule::Global`](crate::Rule::Global) in nats that makes patches of `mean_bytes` bytes on average over
/// one document; `None` when it has no bytes or `mean_bytes` is below 1.
pub fn threshold_for_mean_length(entropies: &[f32], mean_bytes: f64) -> Option<f32> {
    let wanted = entropies.len() as f64 / mean_bytes;
    if entropies.is_empty() || mean_bytes.is_nan() || mean_bytes < 1.0 {
        return None;
    }
    // Byte 0 starts a patch whatever its entropy.
    let mut rest = entropies[1..].to_vec();
    let n_starts = (wanted.round() as usize).saturating_sub(1);
    rest.sort_by(|a, b| b.total_cmp(a));
    match rest.get(n_starts) {
        // Exactly the `n_starts` larger ones are strictly above it, fewer among equals.
        Some(&threshold) => Some(threshold),
        None => Some(rest.last().copied().unwrap_or(0.0) - 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Patcher, Rule, document_starts};

    fn sample() -> Vec<f32> {
        (0..1000).map(|i| ((i * 7919) % 1000) as f32 * 0.004).collect()
    }

    #[test]
    fn statistics_match_the_sorted_values() {
        let mut sorted = sample();
        let mut statistics = EntropyStatistics::default();
        statistics.add(&sorted[..300]);
        let mut rest = EntropyStatistics::default();
        rest.add(&sorted[300..]);
        statistics.merge(&rest);
        sorted.sort_by(f32::total_cmp);
        assert_eq!(statistics.count(), 1000);
        assert_eq!(statistics.range(), Some((sorted[0], sorted[999])));
        for percent in [1.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 100.0] {
            let expected = sorted[(percent * 10.0) as usize - 1];
            let found = statistics.percentile(percent).unwrap();
            assert!((found - expected).abs() <= 0.0021, "p{percent}: {found} {expected}");
        }
        let mean = sorted.iter().map(|&x| f64::from(x)).sum::<f64>() / 1000.0;
        assert!((statistics.mean_and_deviation().unwrap().0 - mean).abs() < 1e-9);
        let histogram = statistics.histogram(50).unwrap();
        assert_eq!(histogram.counts.iter().sum::<u64>(), 1000);
        assert_eq!(histogram.bin_edges.len(), 51);
        assert!(histogram.counts.iter().all(|&n| (19..=21).contains(&n)), "{:?}", histogram.counts);
    }

    #[test]
    fn no_values_no_statistics() {
        let statistics = EntropyStatistics::default();
        assert_eq!(statistics.range(), None);
        assert_eq!(statistics.percentile(50.0), None);
        assert_eq!(statistics.histogram(10), None);
    }

    #[test]
    fn the_threshold_makes_patches_of_the_wanted_mean() {
        let entropies = sample();
        for mean in [1.0, 2.0, 4.5, 8.0, 100.0, 5000.0] {
            let threshold = threshold_for_mean_length(&entropies, mean).unwrap();
            let starts = document_starts(&Patcher::new(Rule::Global { threshold }), &[0; 1000], &entropies, &[]);
            assert_eq!(starts.len(), ((1000.0 / mean).round() as usize).max(1), "mean {mean}");
        }
        assert_eq!(threshold_for_mean_length(&[], 4.5), None);
        assert_eq!(threshold_for_mean_length(&entropies, 0.5), None);
    }
}
