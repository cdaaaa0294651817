//! From patches to places in the ball.

use std::f64::consts::PI;

use crate::allocation::{Method, Temperature};
use crate::chart::{Chart, ChartKind, Equalizer};
use crate::patches::{Flaw, Patches};
use crate::radial::{self, HollowBall, MinRadius, RadialOrder, ShellSpacing, auto_min_radius, shells_of};
use crate::zones::{Zone, ZoneOptions, ZoneTarget};

/// How patches are placed.
#[derive(Debug, Clone, PartialEq)]
pub struct FillOptions {
    /// How the volume is shared out.
    pub method: Method,
    /// The ball and its shells.
    pub radial: RadialOptions,
    /// Where directions come from.
    pub chart: ChartSource,
    /// How patches come into zones.
    pub zones: ZoneOptions,
    /// The seed of all random numbers.
    pub seed: u64,
}

/// The ball and its shells.
#[derive(Debug, Clone, PartialEq)]
pub struct RadialOptions {
    /// Which way prominence goes.
    pub order: RadialOrder,
    /// Radius of the hollow core.
    pub r_min: MinRadius,
    /// Radius of the rim.
    pub r_max: f64,
    /// How volume grows with the radius: see [`HollowBall::new`].
    pub exponent: f64,
    /// Number of shells; missing: [`Method::default_shells`].
    pub n_shells: Option<u32>,
    /// Where the boundaries of shells lie.
    pub spacing: ShellSpacing,
}

/// Where directions come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ChartSource {
    /// A chart fitted to the patches themselves.
    Fit {
        /// Which.
        kind: ChartKind,
        /// Whether directions are spread evenly over the sphere, by their ranks.
        equalize: bool,
    },
    /// A chart fitted before, perhaps to other patches.
    Stored(Chart),
}

/// Places of patches. All vectors have one entry a patch, in the order of the patches.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// Distances from the centre, between the core and the rim.
    pub radii: Vec<f64>,
    /// The shell of each, counted from the core.
    pub shells: Vec<i32>,
    /// Angles from the north pole, in [0, pi].
    pub theta: Vec<f64>,
    /// Angles around it, in [0, 2 pi).
    pub phi: Vec<f64>,
    /// Parts of the volume; they sum to 1.
    pub shares: Vec<f64>,
    /// The zones they were brought into.
    pub zones: Vec<Zone>,
    /// What gave them their directions.
    pub chart: Chart,
    /// Boundaries of the shells, `[n_shells + 1]`.
    pub shell_bounds: Vec<f64>,
    /// What came up on the way.
    pub stats: Stats,
}

/// What came up while filling.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Stats {
    /// Patches whose embedding had no direction; theirs was drawn from seed and id.
    pub n_degenerate: usize,
    /// The temperature that was used, for methods that have one.
    pub temperature: Option<f64>,
}

/// Why patches were not placed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FillError {
    /// A slice is not as long as there are patches.
    #[error("there are {expected} embeddings, but {found} {what}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The number of embeddings.
        expected: usize,
    },
    /// Patches cannot be placed; [`Patches::flaws`] lists them.
    #[error("patch {first} of {n} that cannot be placed: {flaw}")]
    Flawed {
        /// The first of them.
        first: usize,
        /// What is wrong with it.
        flaw: Flaw,
        /// How many there are.
        n: usize,
    },
    /// The method needs entropies and there are none.
    #[error("the method `{method}` needs entropies")]
    NoEntropies {
        /// The method.
        method: &'static str,
    },
    /// An option has a value outside its range.
    #[error("{option} is {found}, expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A stored chart is for embeddings of another width, or damaged.
    #[error("the chart is for embeddings of {found} numbers, not {expected}, or its parts do not fit together")]
    Chart {
        /// The chart's width.
        found: usize,
        /// The embeddings' width.
        expected: usize,
    },
}

impl Default for FillOptions {
    fn default() -> Self {
        Self {
            method: Method::default(),
            radial: RadialOptions::default(),
            chart: ChartSource::Fit { kind: ChartKind::Pca, equalize: true },
            zones: ZoneOptions::default(),
            seed: 42,
        }
    }
}

impl Default for RadialOptions {
    fn default() -> Self {
        Self {
            order: RadialOrder::CoreFirst,
            r_min: MinRadius::Fixed(32.0),
            r_max: 512.0,
            exponent: 3.0,
            n_shells: None,
            spacing: ShellSpacing::EqualVolume,
        }
    }
}

impl FillError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoEntropies { .. } => Some("choose the method `osmotic` or `thrml`, which need prominence alone"),
            Self::Flawed { .. } => Some("leave the patches out that `Patches::flaws` names"),
            _ => None,
        }
    }
}

/// Gives every patch its place. The same patches, options and seed give the same places on any number of threads.
///
/// No patches give an empty placement. One patch, or patches that are all equal, are placed as ties: by their ids.
///
/// # Errors
///
/// Fails when slices differ in length, when a patch is flawed, when the method lacks entropies, and for options out of range.
pub fn fill(patches: &Patches<'_>, options: &FillOptions) -> Result<Placement, FillError> {
    check(patches, options)?;
    let n_shells = options.radial.n_shells.unwrap_or(options.method.default_shells());
    let ball = ball(&options.radial, patches.len(), n_shells)?;
    let mut stats = Stats::default();
    let (chart, mut theta, phi) = directions(patches, options, &mut stats);
    let shell_bounds = ball.shell_bounds(n_shells, options.radial.spacing);
    let id = |i| patches.id(i);
    let (shares, radii) = match &options.method {
        Method::Entropy { temperature } => {
            let entropies = patches.entropies.unwrap_or_default();
            let temperature = temperature.nats(patches.prominence, entropies);
            stats.temperature = Some(temperature);
            let (shares, priority) = crate::allocation::entropy_shares(patches.prominence, entropies, temperature);
            let radii = ball.own(&shares, &radial::core_to_rim(&priority, id, options.radial.order));
            (shares, radii)
        }
        method => return Err(FillError::Option { option: "method", found: method.name().into(), expected: "entropy" }),
    };
    let shells = shells_of(&radii, &shell_bounds);
    let zones = into_zones(patches, &options.zones, &mut theta);
    Ok(Placement { radii, shells, theta, phi, shares, zones, chart, shell_bounds, stats })
}

fn check(patches: &Patches<'_>, options: &FillOptions) -> Result<(), FillError> {
    let expected = patches.len();
    for (what, found) in [
        ("prominences", Some(patches.prominence.len())),
        ("entropies", patches.entropies.map(<[_]>::len)),
        ("ids", patches.ids.map(<[_]>::len)),
        ("zones", patches.zones.map(<[_]>::len)),
    ] {
        if let Some(found) = found.filter(|&found| found != expected) {
            return Err(FillError::Length { what, found, expected });
        }
    }
    if options.method.needs_entropies() && patches.entropies.is_none() {
        return Err(FillError::NoEntropies { method: options.method.name() });
    }
    if let Method::Entropy { temperature: Temperature::Nats(t) | Temperature::Auto { kappa: t } } = options.method {
        in_range("temperature", t, t > 0.0 && t.is_finite(), "a positive number")?;
    }
    let ZoneOptions { pole_angle, translucency, .. } = options.zones;
    in_range("zone angle", pole_angle, pole_angle > 0.0 && pole_angle < PI / 2.0, "an angle between 0 and 90 degrees")?;
    in_range("translucency", translucency, (0.0..=1.0).contains(&translucency), "a number from 0 to 1")?;
    if let ChartSource::Stored(chart) = &options.chart
        && (chart.dim() != patches.embeddings.dim() || !chart.is_sound())
    {
        return Err(FillError::Chart { found: chart.dim(), expected: patches.embeddings.dim() });
    }
    match patches.flaws().as_slice() {
        [] => Ok(()),
        flaws => Err(FillError::Flawed { first: flaws[0].0, flaw: flaws[0].1, n: flaws.len() }),
    }
}

fn in_range(option: &'static str, found: f64, fine: bool, expected: &'static str) -> Result<(), FillError> {
    if fine { Ok(()) } else { Err(FillError::Option { option, found: found.to_string(), expected }) }
}

fn ball(options: &RadialOptions, n_patches: usize, n_shells: u32) -> Result<HollowBall, FillError> {
    in_range("number of shells", f64::from(n_shells), (1..=1 << 20).contains(&n_shells), "from 1 to 1,048,576")?;
    let r_min = match options.r_min {
        MinRadius::Fixed(radius) => radius,
        MinRadius::Auto => auto_min_radius(n_patches, n_shells),
    };
    HollowBall::new(r_min, options.r_max, options.exponent).ok_or_else(|| FillError::Option {
        option: "the ball",
        found: format!("from {r_min} to {} with exponent {}", options.r_max, options.exponent),
        expected: "0 <= r_min < r_max and a positive exponent",
    })
}

/// The chart and the angles it gives.
fn directions(patches: &Patches<'_>, options: &FillOptions, stats: &mut Stats) -> (Chart, Vec<f64>, Vec<f64>) {
    let id = |i| patches.id(i);
    let mut chart = match &options.chart {
        ChartSource::Fit { kind, .. } => Chart::fit(*kind, patches.embeddings, patches.prominence, options.seed),
        ChartSource::Stored(chart) => chart.clone(),
    };
    let mut directions = chart.project(patches.embeddings, id);
    match (&options.chart, &chart.equalizer) {
        (ChartSource::Fit { equalize: true, .. }, _) => chart.equalizer = Some(Equalizer::fit(&mut directions, id)),
        (_, Some(equalizer)) => equalizer.apply(&mut directions),
        (_, None) => {}
    }
    stats.n_degenerate = directions.n_degenerate;
    (chart, directions.cos_theta.into_iter().map(f64::acos).collect(), directions.phi)
}

/// Brings angles into the zones that patches are for, and says which those are.
fn into_zones(patches: &Patches<'_>, options: &ZoneOptions, theta: &mut [f64]) -> Vec<Zone> {
    let mut zones = Vec::with_capacity(theta.len());
    for (i, theta) in theta.iter_mut().enumerate() {
        let zone = match options.target {
            ZoneTarget::Auto => patches.zones.map_or(Zone::Content, |zones| zones[i]),
            ZoneTarget::All(zone) => zone,
            ZoneTarget::Natural => {
                zones.push(Zone::at(*theta, options.pole_angle));
                continue;
            }
        };
        *theta = options.into_zone(*theta, zone);
        zones.push(zone);
    }
    zones
}
