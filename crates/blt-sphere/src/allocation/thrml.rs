//! Shells as energy levels, filled by a Boltzmann distribution.

/// Boltzmann water-filling: a patch of prominence `e` is in shell `s` with `P ∝ K_s exp(-(|e - E_s| - mu_s) / temperature)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Thrml {
    /// Energies of the shells.
    pub levels: Levels,
    /// Whether every shell gets what it has room for.
    pub ensemble: Ensemble,
    /// In units of prominence.
    pub temperature: f64,
    /// How a patch's shell comes out of its distribution.
    pub draw: Draw,
}

/// Energies of shells; in either case stretched to the range of prominence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Levels {
    /// The original's: `sqrt(s) + s^1.5` for shell `s`.
    #[default]
    Seed,
    /// The shells' radii.
    Radii,
}

/// Whether every shell gets what it has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ensemble {
    /// As many as come: chemical potentials are 0.
    Free,
    /// As many as its capacity, on average: chemical potentials are solved for.
    #[default]
    Canonical,
}

/// How a patch's shell comes out of its distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Draw {
    /// Drawn, with random numbers that depend on the seed and the patch's id alone.
    #[default]
    Random,
    /// The most likely one.
    Likeliest,
}

impl Default for Thrml {
    fn default() -> Self {
        Self { levels: Levels::Seed, ensemble: Ensemble::Canonical, temperature: 1.0, draw: Draw::Random }
    }
}
