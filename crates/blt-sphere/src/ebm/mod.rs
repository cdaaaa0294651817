//! Energy-based placement: patches that are joined move together on the sphere, all keep near their ideal radius, and none crowd.
//!
//! Source: the Langevin placement of blt-burn's `sphere_ebm.rs`, with directions and radii apart, the attraction's width fitted to the
//! number of patches, and repulsion after Wang and Isola, "Understanding contrastive representation learning", 2020.

mod energy;
mod graph;
mod hyperedges;
mod ising;
mod langevin;

use crate::radial::ScaleProfile;
pub use energy::Energy;
pub use hyperedges::{EdgeLabel, Hyperedge, LabelWeights, expand};
pub use ising::Ising;
pub(crate) use langevin::{Start, place};

/// Energy-based placement. Energies are [`Energy`]'s; a step is `-step * gradient + sqrt(2 step T) * noise`, on the sphere in units of the
/// attraction's width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ebm {
    /// Of the springs to the ideal radii, which are those of the method.
    pub spring: f64,
    /// How strongly coherence draws to the core. Without entropies, or a core, it does not.
    pub coherence: f64,
    /// Of the repulsion; 0: none.
    pub repulsion: f64,
    /// How near others have to be to repel.
    pub sharpness: f64,
    /// How many others repel a patch in a step.
    pub n_negatives: u32,
    /// How strongly patches are kept in their zones. At the end, those outside are mirrored back in whatever it is.
    pub zone: f64,
    /// Angular width of the attraction between ends of an edge; missing: twice the distance of neighbours, `2 sqrt(4 pi / n)`, at most 1.
    pub width: Option<f64>,
    /// Size of a step.
    pub step: f64,
    /// Temperature at the first step, falling in equal ratios; 0: no noise.
    pub first_temperature: f64,
    /// Temperature at the last.
    pub last_temperature: f64,
    /// How many steps are made.
    pub n_steps: u32,
    /// Whether steps are accepted or refused so that the temperature is kept exactly (Metropolis-adjusted). Patches then move one
    /// colour of the graph at a time; those that repel count where they were when the step began.
    pub metropolis: bool,
}

impl Default for Ebm {
    fn default() -> Self {
        Self {
            spring: 0.5,
            coherence: 0.3,
            repulsion: 0.1,
            sharpness: 2.0,
            n_negatives: 32,
            zone: 10.0,
            width: None,
            step: 0.1,
            first_temperature: 0.01,
            last_temperature: 1e-4,
            n_steps: 120,
            metropolis: false,
        }
    }
}

impl Ebm {
    /// The number of steps of a scale profile, with step and temperatures as much smaller than those of `dev` as the profile's are.
    pub fn scaled(self, profile: &ScaleProfile) -> Self {
        let dev = ScaleProfile::ALL[0];
        let cooler = profile.temperature / dev.temperature;
        Self {
            n_steps: profile.n_steps,
            step: self.step * profile.step / dev.step,
            first_temperature: self.first_temperature * cooler,
            last_temperature: self.last_temperature * cooler,
            ..self
        }
    }

    /// The original's strengths for source code, and the weights of labels that go with them.
    pub fn code() -> (Self, LabelWeights) {
        let weights = LabelWeights { next: 1.0, same_source: 0.8, semantic: 0.9, contains: 0.3 };
        (Self { spring: 0.7, coherence: 0.4, ..Self::default() }, weights)
    }

    /// The original's strengths for prose, and the weights of labels that go with them.
    pub fn text() -> (Self, LabelWeights) {
        let weights = LabelWeights { next: 0.8, same_source: 1.0, semantic: 0.7, contains: 0.2 };
        (Self { spring: 0.4, coherence: 0.3, ..Self::default() }, weights)
    }
}

/// What energy-based placement did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EbmReport {
    /// Energies before the first step.
    pub before: Energy,
    /// Energies after the last, with the same others repelling.
    pub after: Energy,
    /// The part of the steps that were accepted; 1 without Metropolis.
    pub acceptance: f64,
    /// Patches that had to be mirrored back into their zones.
    pub n_mirrored: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_scales_take_more_and_smaller_steps() {
        let [dev, medium, large, planetary] = ScaleProfile::ALL.map(|profile| Ebm::default().scaled(&profile));
        assert_eq!(dev, Ebm::default());
        for (smaller, larger) in [(dev, medium), (medium, large), (large, planetary)] {
            assert_eq!(larger.n_steps, 2 * smaller.n_steps);
            assert!(larger.step < smaller.step && larger.first_temperature < smaller.first_temperature);
        }
    }
}
