//! Shells as vessels that exchange patches until all are equally full.

/// Osmotic water-filling.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Osmotic {
    /// Whether the equilibrium is computed or approached.
    pub mode: OsmoticMode,
}

/// Whether the equilibrium is computed or approached.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum OsmoticMode {
    /// The equilibrium itself: every shell is filled to its capacity.
    #[default]
    Exact,
    /// Patches move between neighbouring shells, as pressure drives them.
    Dynamic {
        /// Part of the pressure difference that flows in one step, in (0, 1/4].
        rate: f64,
        /// The greatest pressure at which it is done.
        tolerance: f64,
        /// Steps after which it is done anyway.
        max_steps: u32,
        /// Whether patches may evade the pressure sideways, and how.
        lateral: Option<Lateral>,
    },
}

/// Sideways moves: before a patch changes its shell it may find a place nearby where it is better off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lateral {
    /// Directions that are tried.
    pub n_directions: u32,
    /// Length of a move, in radians.
    pub step: f64,
    /// Neighbours on the sphere that are asked.
    pub n_neighbours: u32,
    /// How much the density around a place counts against it.
    pub density_weight: f64,
    /// How much better a place has to be.
    pub min_improvement: f64,
}

impl Default for Lateral {
    fn default() -> Self {
        Self { n_directions: 16, step: 0.15, n_neighbours: 16, density_weight: 0.5, min_improvement: 0.1 }
    }
}
