//! Made-up patches.

use blt_sphere::{
    Classic, Draw, Ebm, Ensemble, FillOptions, Flow, Lateral, Levels, Method, Osmotic, Patches, Rows, SeedScript,
    Temperature, Thrml,
};

/// Signals of some patches.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    pub(crate) dim: usize,
    pub(crate) embeddings: Vec<f32>,
    pub(crate) prominence: Vec<f32>,
    pub(crate) entropies: Vec<f32>,
    pub(crate) ids: Vec<u64>,
}

impl Signals {
    /// `n` patches of `dim` numbers whose first few dimensions vary most.
    pub(crate) fn new(n: usize, dim: usize) -> Self {
        let mut noise = Noise(n as u64 * 31 + dim as u64);
        let mut signals = Self { dim, embeddings: vec![], prominence: vec![], entropies: vec![], ids: vec![] };
        for i in 0..n {
            let row: Vec<f32> = (0..dim).map(|d| (noise.symmetric() + 0.2) * 10.0 / (1.0 + d as f32)).collect();
            signals.prominence.push(35.0 + 8.0 * (noise.symmetric() + noise.symmetric()));
            signals.entropies.push((noise.symmetric() + 1.0) * 2.5);
            signals.ids.push(1000 + 7 * i as u64);
            signals.embeddings.extend(row);
        }
        signals
    }

    pub(crate) fn patches(&self) -> Patches<'_> {
        Patches {
            entropies: Some(&self.entropies),
            ids: Some(&self.ids),
            ..Patches::new(Rows::new(&self.embeddings, self.dim), &self.prominence)
        }
    }

    /// The patches in another order: that of `places`.
    pub(crate) fn reordered(&self, places: &[usize]) -> Self {
        Self {
            dim: self.dim,
            embeddings: places
                .iter()
                .flat_map(|&i| self.embeddings[i * self.dim..(i + 1) * self.dim].to_vec())
                .collect(),
            prominence: places.iter().map(|&i| self.prominence[i]).collect(),
            entropies: places.iter().map(|&i| self.entropies[i]).collect(),
            ids: places.iter().map(|&i| self.ids[i]).collect(),
        }
    }
}

/// Numbers that look random, by a linear congruence.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    /// Uniform in [-1, 1).
    pub(crate) fn symmetric(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Every method, in every mode.
pub(crate) fn methods() -> Vec<Method> {
    let thrml = Thrml { temperature: 3.0, ..Thrml::default() };
    let lateral = Flow { lateral: Some(Lateral::default()), max_steps: 2000, ..Flow::default() };
    vec![
        Method::Entropy { temperature: Temperature::default() },
        Method::Entropy { temperature: Temperature::Auto { kappa: 1.0 } },
        Method::Classic(Classic::default()),
        Method::Classic(Classic { temperature: 0.2, cap: Some(1.0), ..Classic::default() }),
        Method::Osmotic(Osmotic::Exact),
        Method::Osmotic(Osmotic::Dynamic(Flow { max_steps: 2000, ..Flow::default() })),
        Method::Osmotic(Osmotic::Dynamic(lateral)),
        Method::Thrml(thrml),
        Method::Thrml(Thrml { ensemble: Ensemble::Free, levels: Levels::Radii, ..thrml }),
        Method::Thrml(Thrml { draw: Draw::Likeliest, ..thrml }),
        Method::SeedV07(SeedScript::Osmotic),
        Method::SeedV07(SeedScript::Thrml),
        Method::SeedV07(SeedScript::Entropy { temperature: 1e-5 }),
    ]
}

/// Options of each method, and those of energy-based placement.
pub(crate) fn all_options() -> Vec<FillOptions> {
    let mut all: Vec<FillOptions> =
        methods().into_iter().map(|method| FillOptions { method, ..FillOptions::default() }).collect();
    for ebm in [Ebm { n_steps: 10, ..Ebm::default() }, Ebm { n_steps: 10, metropolis: true, ..Ebm::default() }] {
        all.push(FillOptions { ebm: Some(ebm), ..FillOptions::default() });
    }
    all
}

/// Whether radii and shells of the method lie in its ball.
pub(crate) fn in_the_ball(method: &Method) -> bool {
    !matches!(method, Method::SeedV07(SeedScript::Osmotic | SeedScript::Thrml))
}
