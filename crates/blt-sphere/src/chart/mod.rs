//! Charts: from embeddings to directions in space.
//!
//! Three dimensions cannot keep the distances of hundreds: neighbours are to be looked for in the embeddings themselves, and the
//! sphere is for zones, cells, harmonics and pictures.

mod eigen;
mod equalize;
mod gram;
mod pca;

use std::f64::consts::TAU;

use rayon::prelude::*;

use crate::angles::{angles_of, theta_below};
use crate::neighbours::dot;
use crate::parallel::{self, CHUNK};
use crate::{Rows, random};
pub use equalize::Equalizer;

/// Shorter than this, what a chart makes of an embedding has no direction.
const SHORTEST: f64 = 1e-12;

/// Which three numbers of an embedding give its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChartKind {
    /// The three principal components of the embeddings' directions, weighted by prominence.
    #[default]
    Pca,
    /// Three orthonormal directions drawn at random from the seed.
    Random,
    /// The first three numbers, as the original did it. In many dimensions that leaves all patches close to the equator unless
    /// they are equalized.
    Axes,
}

/// A fitted chart. It is all that is needed to give new embeddings their directions, so it may be stored and read back.
///
/// Embeddings of fewer than three dimensions have rows of zeros among the axes, so that all lie on a great circle or at two points.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// How it was made.
    pub kind: ChartKind,
    /// The seed of its random numbers.
    pub seed: u64,
    /// What is taken from every embedding of length 1 before projection, `[dim]`.
    pub mean: Vec<f64>,
    /// Orthonormal rows for x, y and z, `[3, dim]`.
    pub axes: Vec<f64>,
    /// What spreads the directions evenly; missing where they are left as they are.
    pub equalizer: Option<Equalizer>,
}

/// Directions of patches, and how many of them are not the chart's.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Directions {
    /// Angles from the north pole, in [0, pi].
    pub(crate) theta: Vec<f64>,
    /// Angles around it, in [0, 2 pi).
    pub(crate) phi: Vec<f64>,
    /// How many embeddings had no direction; theirs were drawn from seed and id.
    pub(crate) n_degenerate: usize,
}

impl Directions {
    /// `(theta, phi)`.
    pub(crate) fn angles(self) -> Vec<(f64, f64)> {
        self.theta.into_iter().zip(self.phi).collect()
    }
}

impl ChartKind {
    /// The kind of that name: `pca`, `random`, `axes`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Pca, Self::Random, Self::Axes].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pca => "pca",
            Self::Random => "random",
            Self::Axes => "axes",
        }
    }
}

impl Chart {
    /// Fits a chart without an equalizer. Only `pca` looks at the embeddings, which are finite, and their weights.
    pub fn fit(kind: ChartKind, embeddings: Rows<'_>, prominence: &[f32], seed: u64) -> Self {
        let dim = embeddings.dim();
        let (mean, axes) = match kind {
            ChartKind::Pca => pca::fit(embeddings, prominence, seed),
            ChartKind::Random => (vec![0.0; dim], random_axes(dim, seed)),
            ChartKind::Axes => (vec![0.0; dim], eigen::first_axes(dim)),
        };
        Self { kind, seed, mean, axes, equalizer: None }
    }

    /// Width of the embeddings it is for.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Whether the parts fit together and are finite, as those of a chart that came from elsewhere may not.
    pub fn is_sound(&self) -> bool {
        self.dim() > 0
            && self.axes.len() == 3 * self.dim()
            && self.mean.iter().chain(&self.axes).all(|value| value.is_finite())
            && self.equalizer.as_ref().is_none_or(Equalizer::is_sound)
    }

    /// `(theta, phi)` of new embeddings, which are finite and as wide as the chart. `id(i)` is the id of row `i`.
    pub fn apply(&self, embeddings: Rows<'_>, id: impl Fn(usize) -> u64 + Sync) -> Vec<(f64, f64)> {
        let mut directions = self.project(embeddings, id);
        if let Some(equalizer) = &self.equalizer {
            equalizer.apply(&mut directions);
        }
        directions.angles()
    }

    /// Directions before they are equalized.
    pub(crate) fn project(&self, embeddings: Rows<'_>, id: impl Fn(usize) -> u64 + Sync) -> Directions {
        let dim = self.dim();
        assert_eq!(dim, embeddings.dim(), "the chart is for other embeddings");
        let axes: [&[f64]; 3] = std::array::from_fn(|k| &self.axes[k * dim..(k + 1) * dim]);
        let centre = axes.map(|axis| axis.iter().zip(&self.mean).map(|(a, m)| a * m).sum::<f64>());
        let n = embeddings.len();
        let (mut theta, mut phi) = (vec![0.0; n], vec![0.0; n]);
        let n_degenerate = theta
            .par_chunks_mut(CHUNK)
            .zip(phi.par_chunks_mut(CHUNK))
            .enumerate()
            .map(|(chunk, (theta, phi))| {
                let mut n_degenerate = 0;
                for (k, (theta, phi)) in theta.iter_mut().zip(phi).enumerate() {
                    let i = chunk * CHUNK + k;
                    let (dots, length) = products(embeddings.row(i), axes);
                    let direction: [f64; 3] = std::array::from_fn(|k| dots[k] / length - centre[k]);
                    // An embedding of zeros gives no numbers, which are not long enough either.
                    (*theta, *phi) = if dot(direction, direction).sqrt() >= SHORTEST {
                        angles_of(direction)
                    } else {
                        n_degenerate += 1;
                        let draw = |draw| random::uniform(self.seed, id(i), draw);
                        (theta_below(draw(0)), TAU * draw(1))
                    };
                }
                n_degenerate
            })
            .sum();
        Directions { theta, phi, n_degenerate }
    }
}

/// Products of a row with three axes, and its length.
fn products(row: &[f32], axes: [&[f64]; 3]) -> ([f64; 3], f64) {
    const LANES: usize = 8;
    let mut sums = [[0.0f64; LANES]; 4];
    let mut add = |row: &[f32], axes: [&[f64]; 3]| {
        for (lane, &value) in row.iter().enumerate() {
            let value = f64::from(value);
            for k in 0..3 {
                sums[k][lane] += value * axes[k][lane];
            }
            sums[3][lane] += value * value;
        }
    };
    let whole = row.len() / LANES * LANES;
    for at in (0..whole).step_by(LANES) {
        add(&row[at..at + LANES], axes.map(|axis| &axis[at..at + LANES]));
    }
    add(&row[whole..], axes.map(|axis| &axis[whole..]));
    let [x, y, z, squares] = sums.map(|lanes| lanes.iter().sum::<f64>());
    ([x, y, z], squares.sqrt())
}

/// Three orthonormal rows drawn at random, `[3, dim]`, as many of them as there are dimensions.
fn random_axes(dim: usize, seed: u64) -> Vec<f64> {
    let n_axes = dim.min(3);
    let mut rows: Vec<Vec<f64>> =
        (0..n_axes).map(|k| (0..dim).map(|i| random::normal(seed, i as u64, k as u64)).collect()).collect();
    eigen::orthonormalise(&mut rows, seed);
    let mut axes = rows.concat();
    axes.resize(3 * dim, 0.0);
    axes
}

/// How `n` items are added in parallel: see [`parallel::map_chunks`].
fn add_vectors(n: usize, width: usize, add: impl Fn(usize, &mut [f64]) + Sync) -> Vec<f64> {
    let parts = parallel::map_chunks(n, |range| {
        let mut sum = vec![0.0; width];
        range.for_each(|i| add(i, &mut sum));
        sum
    });
    parts.into_iter().fold(vec![0.0; width], |mut total, part| {
        total.iter_mut().zip(part).for_each(|(total, part)| *total += part);
        total
    })
}
