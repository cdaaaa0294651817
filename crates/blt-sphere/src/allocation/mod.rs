//! Water-filling: which part of the ball's volume each patch owns, and in which order from the core to the rim they lie.

mod classic;
mod entropy;
mod logarithms;
mod osmotic;
mod seed;
mod thrml;

pub use classic::Classic;
pub use entropy::Temperature;
pub(crate) use entropy::allocate as entropy_shares;
pub use osmotic::{Lateral, Osmotic, OsmoticMode};
pub use seed::SeedScript;
pub use thrml::{Draw, Ensemble, Levels, Thrml};

/// How the volume is shared out.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// Shares `∝ prominence^2 exp(-entropy / temperature)`.
    Entropy {
        /// How much entropy counts.
        temperature: Temperature,
    },
    /// Water-filling as textbooks have it: shares that maximise a sum of logarithms.
    Classic(Classic),
    /// Shells filled to their capacity, in order of prominence.
    Osmotic(Osmotic),
    /// Shells drawn from a Boltzmann distribution around each patch's prominence.
    Thrml(Thrml),
    /// The formulas of the original's scripts as they stood, but without NaN.
    SeedV07(SeedScript),
}

impl Default for Method {
    /// The original's default, brought to its equilibrium.
    fn default() -> Self {
        Self::Osmotic(Osmotic::default())
    }
}

impl Method {
    /// Its name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Entropy { .. } => "entropy",
            Self::Classic(_) => "classic",
            Self::Osmotic(_) => "osmotic",
            Self::Thrml(_) => "thrml",
            Self::SeedV07(_) => "seed-v0.7",
        }
    }

    /// How many shells it has unless told otherwise.
    pub fn default_shells(&self) -> u32 {
        match self {
            Self::Thrml(_) | Self::SeedV07(SeedScript::Thrml { .. }) => 128,
            _ => 256,
        }
    }

    /// Whether it cannot do without entropies.
    pub fn needs_entropies(&self) -> bool {
        matches!(self, Self::Entropy { .. } | Self::Classic(_) | Self::SeedV07(SeedScript::Entropy { .. }))
    }
}
