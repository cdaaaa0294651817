//! Water-filling as textbooks have it.

/// Water-filling over parallel channels, one a patch: maximise `sum w ln(n + x)` with `sum x = budget` and `0 <= x <= cap`.
#[derive(Debug, Clone, PartialEq)]
pub struct Classic {
    /// Gains are `prominence^2 exp(-entropy / temperature)`, in nats; noise is one over the gain.
    pub temperature: f64,
    /// How much there is to share out, in units of the median noise and patches.
    pub budget: f64,
    /// The most that a patch may get, in units of the budget; at least 1 / n in all.
    pub cap: Option<f64>,
    /// The part of the volume, at the end of the order, that patches left dry share equally.
    pub dry_fraction: f64,
}

impl Default for Classic {
    fn default() -> Self {
        Self { temperature: 1.0, budget: 1.0, cap: None, dry_fraction: 0.05 }
    }
}
