//! The formulas of the original's scripts, as they stood.
//!
//! Source: `scripts/water_filling_integration.py` of blt-burn 0.7.

/// Which of the scripts' functions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeedScript {
    /// `osmotic_water_filling`.
    Osmotic,
    /// `thrml_energy_water_filling`. Radii are at most 1.
    Thrml {
        /// In units of prominence. Has no influence.
        temperature: f64,
    },
    /// The entropy-weighted allocation.
    Entropy {
        /// In nats; the original's was 1e-5, which gave NaN.
        temperature: f64,
    },
}
