//! Water-filling: which part of the ball's volume each patch owns, and in which order from the core to the rim they lie.

mod classic;
mod entropy;
mod lateral;
mod logarithms;
mod osmotic;
mod seed;
mod shells;
mod thrml;

use rayon::prelude::*;

use crate::patches::Patches;
use crate::radial::{HollowBall, RadialOrder, core_to_rim, shells_of};
pub use classic::{Channels, Classic};
pub use entropy::Temperature;
pub use lateral::Lateral;
#[cfg(test)]
pub(crate) use lateral::tangents;
pub use osmotic::{Flow, Osmotic, Vessels};
pub use seed::SeedScript;
pub(crate) use shells::largest_remainder;
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
            Self::Entropy { .. } | Self::SeedV07(SeedScript::Entropy { .. }) => "entropy",
            Self::Classic(_) => "classic",
            Self::Osmotic(_) | Self::SeedV07(SeedScript::Osmotic) => "osmotic",
            Self::Thrml(_) | Self::SeedV07(SeedScript::Thrml) => "thrml",
        }
    }

    /// How many shells it has unless told otherwise.
    pub fn default_shells(&self) -> u32 {
        if self.name() == "thrml" { 128 } else { 256 }
    }

    /// Whether it cannot do without entropies.
    pub fn needs_entropies(&self) -> bool {
        matches!(self, Self::Entropy { .. } | Self::Classic(_) | Self::SeedV07(SeedScript::Entropy { .. }))
    }
}

/// What a method needs to know besides its own options.
pub(crate) struct Room<'a> {
    pub(crate) patches: &'a Patches<'a>,
    pub(crate) ball: HollowBall,
    pub(crate) bounds: &'a [f64],
    pub(crate) order: RadialOrder,
    pub(crate) seed: u64,
    /// Where patches are on the sphere; they may move there.
    pub(crate) points: &'a mut [(f64, f64)],
}

/// What a method gives.
#[derive(Debug, Default)]
pub(crate) struct Allocated {
    pub(crate) shares: Vec<f64>,
    pub(crate) radii: Vec<f64>,
    pub(crate) shells: Vec<i32>,
    pub(crate) temperature: Option<f64>,
    pub(crate) n_dry: usize,
    pub(crate) n_moved_sideways: usize,
    pub(crate) iterations: u32,
    pub(crate) unconverged: bool,
}

/// Shares the room out; `None` when a cap leaves some of the budget over. There is at least one patch, and entropies where the
/// method needs them.
pub(crate) fn allocate(method: &Method, mut room: Room<'_>) -> Option<Allocated> {
    let prominence = room.patches.prominence;
    let entropies = room.patches.entropies.unwrap_or_default();
    Some(match method {
        Method::Entropy { temperature } => {
            let temperature = temperature.nats(prominence, entropies);
            let (shares, priority) = entropy::allocate(prominence, entropies, temperature);
            Allocated { temperature: Some(temperature), ..room.owned(shares, &priority) }
        }
        Method::Classic(classic) => {
            let priority = entropy::log_gains(prominence, entropies, classic.temperature);
            let parts = classic::allocate(&priority, classic)?;
            let (shares, n_dry) = classic::with_dry(parts, classic.dry_fraction);
            Allocated { temperature: Some(classic.temperature), n_dry, ..room.owned(shares, &priority) }
        }
        Method::Osmotic(Osmotic::Exact) => {
            let counts = shells::capacities(&room.ball, room.bounds, prominence.len());
            room.in_shells(&room.by_prominence(), &counts)
        }
        Method::Osmotic(Osmotic::Dynamic(flow)) => room.flow(flow),
        Method::Thrml(thrml) => room.boltzmann(thrml),
        Method::SeedV07(script) => {
            let patches = room.patches;
            let n_shells = room.bounds.len() as u32 - 1;
            let lengths = || seed::lengths(patches.embeddings);
            let scripted = match *script {
                SeedScript::Osmotic => {
                    seed::osmotic(&lengths(), n_shells, room.ball.r_min(), room.seed, |i| patches.id(i))
                }
                SeedScript::Thrml => seed::thrml(&lengths(), n_shells),
                SeedScript::Entropy { temperature } => {
                    seed::entropy(&entropy::log_gains(prominence, entropies, temperature), room.bounds)
                }
            };
            let seed::Scripted { radii, shells, shares } = scripted;
            Allocated { radii, shells, shares, ..Allocated::default() }
        }
    })
}

impl Room<'_> {
    /// Each patch owns its share of the volume.
    fn owned(&self, shares: Vec<f64>, priority: &[f64]) -> Allocated {
        let order = core_to_rim(priority, |i| self.patches.id(i), self.order);
        let radii = self.ball.own(&shares, &order);
        Allocated { shells: shells_of(&radii, self.bounds), radii, shares, ..Allocated::default() }
    }

    /// Each shell holds the next `counts` patches of `order`.
    fn in_shells(&self, order: &[u32], counts: &[u64]) -> Allocated {
        let shells::InShells { shells, radii, shares } = shells::place(&self.ball, self.bounds, order, counts);
        Allocated { shells, radii, shares, ..Allocated::default() }
    }

    /// Patches from the core outwards.
    fn by_prominence(&self) -> Vec<u32> {
        let keys: Vec<f64> = self.patches.prominence.par_iter().map(|&p| f64::from(p)).collect();
        core_to_rim(&keys, |i| self.patches.id(i), self.order)
    }

    fn boltzmann(&self, thrml: &Thrml) -> Allocated {
        // Level 0 is next to the core; the most prominent have the lowest energy when they are to go there.
        let sign = if self.order == RadialOrder::CoreFirst { -1.0 } else { 1.0 };
        let energies: Vec<f64> = self.patches.prominence.par_iter().map(|&p| sign * f64::from(p)).collect();
        let n = energies.len() as f64;
        let capacities: Vec<f64> = shells::volumes(&self.ball, self.bounds).iter().map(|part| part * n).collect();
        let levels = thrml.levels.energies(self.bounds);
        let mut system = thrml::Boltzmann::new(&energies, &levels, &capacities, thrml.temperature);
        let (iterations, converged) = match thrml.ensemble {
            Ensemble::Free => (0, true),
            Ensemble::Canonical => system.solve(),
        };
        let shells = system.shells(thrml.draw, self.seed, |i| self.patches.id(i));
        let mut counts = vec![0u64; levels.len()];
        shells.iter().for_each(|&shell| counts[shell as usize] += 1);
        let mut order = self.by_prominence();
        order.par_sort_by_key(|&i| shells[i as usize]);
        Allocated {
            temperature: Some(thrml.temperature),
            iterations,
            unconverged: !converged,
            ..self.in_shells(&order, &counts)
        }
    }

    fn flow(&mut self, flow: &Flow) -> Allocated {
        let order = self.by_prominence();
        let counts = osmotic::starting_counts(self.patches.prominence, &order, self.bounds.len() - 1);
        let mut vessels = Vessels::new(&self.ball, self.bounds, &counts, flow.rate);
        let start: Vec<[f64; 3]> = self.points.iter().map(|&(theta, phi)| crate::unit_vector(theta, phi)).collect();
        let surroundings =
            flow.lateral.map(|lateral| lateral::Surroundings::new(self.patches.embeddings, &start, lateral));
        let mut tried = vec![false; order.len()];
        let mut n_moved_sideways = 0;
        let mut steps = 0;
        while steps < flow.max_steps && vessels.highest_pressure() > flow.tolerance {
            let before = surroundings.as_ref().map(|_| vessels.edges());
            vessels.step();
            steps += 1;
            let (Some(surroundings), Some(before)) = (&surroundings, before) else { continue };
            for (edge, (before, after)) in before.into_iter().zip(vessels.edges()).enumerate() {
                let crossing = order[before.min(after) as usize..before.max(after) as usize].iter().copied();
                let new: Vec<u32> = crossing.filter(|&i| !std::mem::replace(&mut tried[i as usize], true)).collect();
                let places: Vec<_> = new.par_iter().map(|&i| surroundings.better_place(i as usize)).collect();
                let moved = new.iter().zip(places).filter_map(|(&i, place)| Some((i as usize, place?)));
                let n_moved = moved.map(|(i, place)| self.points[i] = crate::angles_of(place)).count();
                let outwards = if after < before { 1.0 } else { -1.0 };
                vessels.hold_back(edge, outwards * n_moved as f64);
                n_moved_sideways += n_moved;
            }
        }
        Allocated {
            n_moved_sideways,
            iterations: steps,
            unconverged: vessels.highest_pressure() > flow.tolerance,
            ..self.in_shells(&order, &vessels.counts())
        }
    }
}
