//! Coherence as a number from 0 to 1, and radii that follow it.

use rayon::prelude::*;

/// `p^2 / (p^2 + H)` of prominence and entropy in units of their medians, `[n]`, in [0, 1].
///
/// The signal files' coherence, `p^2 / (H + 1e-6)`, spans six orders of magnitude; this one is in the same order wherever entropies
/// exceed that 1e-6. Entropies below 0 count as 0. A median of 0 is replaced by the mean; where that is 0 too, all are 0, and 0 by 0 is 1/2.
pub fn coherence01(prominence: &[f32], entropies: &[f32]) -> Vec<f64> {
    let p_unit = typical(prominence);
    let h_unit = typical(entropies);
    prominence
        .par_iter()
        .zip(entropies)
        .map(|(&p, &h)| {
            let squared = (f64::from(p) / p_unit).powi(2);
            let entropy = f64::from(h).max(0.0) / h_unit;
            if squared + entropy > 0.0 { squared / (squared + entropy) } else { 0.5 }
        })
        .collect()
}

/// Radii that grow where coherence is low and shrink where it is high: `dr/dt = -rate (c - centre) r`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lasing {
    /// The rate.
    pub rate: f64,
    /// For how long; the original's 50 steps of 0.02 are 1.
    pub time: f64,
    /// The coherence, by [`coherence01`], that changes nothing; missing: the median.
    pub centre: Option<f64>,
}

impl Default for Lasing {
    fn default() -> Self {
        Self { rate: 0.1, time: 1.0, centre: None }
    }
}

impl Lasing {
    /// `r exp(-rate (c - centre) time)`, kept within `[r_min, r_max]`.
    pub fn apply(&self, radii: &mut [f64], coherence: &[f64], [r_min, r_max]: [f64; 2]) {
        let centre = self.centre.or_else(|| median(coherence)).unwrap_or(0.5);
        radii.par_iter_mut().zip(coherence).for_each(|(r, c)| {
            *r = (*r * (-self.rate * (c - centre) * self.time).exp()).clamp(r_min, r_max);
        });
    }
}

/// The median of values not below 0, or their mean, or 1.
fn typical(values: &[f32]) -> f64 {
    let values: Vec<f64> = values.iter().map(|&value| f64::from(value).max(0.0)).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    [median(&values), Some(mean)].into_iter().flatten().find(|&unit| unit > 0.0).unwrap_or(1.0)
}

/// The middle value, the upper one of two.
fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn typical_patches_are_half_coherent() {
        assert_eq!(coherence01(&[1.0, 2.0, 4.0], &[0.5, 1.0, 2.0])[1], 0.5);
        assert_eq!(coherence01(&[], &[]), []);
        assert_eq!(coherence01(&[0.0; 2], &[0.0; 2]), [0.5; 2]);
        assert_eq!(coherence01(&[60.0], &[0.0]), [1.0]);
    }

    #[test]
    fn the_closed_form_is_what_small_steps_approach() {
        let lasing = Lasing { rate: 0.1, time: 1.0, centre: Some(0.5) };
        let mut closed = [100.0, 100.0, 510.0];
        let coherence = [0.9, 0.2, 0.0];
        lasing.apply(&mut closed, &coherence, [32.0, 512.0]);
        for (i, start) in [100.0, 100.0, 510.0].into_iter().enumerate() {
            let mut r: f64 = start;
            for _ in 0..100_000 {
                r -= 1e-5 * 0.1 * (coherence[i] - 0.5) * r;
            }
            assert!((closed[i] - r.clamp(32.0, 512.0)).abs() < 1e-4);
        }
        assert_eq!(closed[2], 512.0);
    }

    proptest! {
        #[test]
        fn coherence_is_bounded_and_ordered(
            signals in proptest::collection::vec((0.0..100.0f32, 0.0..5.56f32), 1..50), scale in 0.1..10.0f32,
        ) {
            let (prominence, entropies): (Vec<f32>, Vec<f32>) = signals.iter().copied().unzip();
            let coherence = coherence01(&prominence, &entropies);
            prop_assert!(coherence.iter().all(|c| (0.0..=1.0).contains(c)));
            for i in 1..signals.len() {
                if prominence[i] >= prominence[0] && entropies[i] <= entropies[0] {
                    prop_assert!(coherence[i] >= coherence[0]);
                }
            }
            let scaled: Vec<f32> = prominence.iter().map(|p| p * scale).collect();
            for (a, b) in coherence.iter().zip(coherence01(&scaled, &entropies)) {
                prop_assert!((a - b).abs() < 1e-5);
            }
        }
    }
}
