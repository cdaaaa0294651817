//! From patches to places in the ball.

use std::f64::consts::PI;

use rayon::prelude::*;

use crate::allocation::{Allocated, Classic, Flow, Lateral, Method, Osmotic, Room, SeedScript, Temperature, allocate};
use crate::chart::{Chart, ChartKind, Equalizer};
use crate::coherence::{Lasing, coherence01};
use crate::ebm::{self, Ebm, EbmReport};
use crate::patches::{Edge, Flaw, Patches};
use crate::radial::{HollowBall, MinRadius, RadialOrder, ShellSpacing, auto_min_radius, shells_of};
use crate::zones::{Zone, ZoneOptions, ZoneTarget};

/// How patches are placed.
#[derive(Debug, Clone, PartialEq)]
pub struct FillOptions {
    /// How the volume is shared out.
    pub method: Method,
    /// The ball and its shells.
    pub radial: RadialOptions,
    /// Whether radii then follow coherence, and how. Needs entropies.
    pub lasing: Option<Lasing>,
    /// Where directions come from.
    pub chart: ChartSource,
    /// How patches come into zones.
    pub zones: ZoneOptions,
    /// Whether patches then move by forces between them, and which. Their ideal radii are those of the method.
    pub ebm: Option<Ebm>,
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
    /// Where the boundaries of shells lie; those of the original's scripts have one width whatever is asked for.
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
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Patches whose embedding had no direction; theirs was drawn from seed and id.
    pub n_degenerate: usize,
    /// The temperature that was used, for methods that have one.
    pub temperature: Option<f64>,
    /// Patches that classic water-filling left dry.
    pub n_dry: usize,
    /// Patches that evaded pressure sideways.
    pub n_moved_sideways: usize,
    /// Steps or sweeps of the method, where it has any.
    pub iterations: u32,
    /// Whether those were enough.
    pub converged: bool,
    /// What energy-based placement did, where it was asked for.
    pub ebm: Option<EbmReport>,
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
    /// A method or option needs entropies and there are none.
    #[error("`{what}` needs entropies")]
    NoEntropies {
        /// The method or option.
        what: &'static str,
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
    /// An edge ends at no patch, or its weight is not finite.
    #[error("edge {index} joins {from} and {to} with weight {weight}, of {n} patches")]
    Edge {
        /// Its place among the edges.
        index: usize,
        /// One end.
        from: u32,
        /// The other.
        to: u32,
        /// Its weight.
        weight: f32,
        /// Number of patches.
        n: usize,
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
            lasing: None,
            chart: ChartSource::Fit { kind: ChartKind::Pca, equalize: true },
            zones: ZoneOptions::default(),
            ebm: None,
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
    let spacing = match options.method {
        Method::SeedV07(_) => ShellSpacing::EqualWidth,
        _ => options.radial.spacing,
    };
    let shell_bounds = ball.shell_bounds(n_shells, spacing);
    let (chart, mut points, n_degenerate) = directions(patches, options);
    let allocated = if patches.is_empty() {
        Allocated::default()
    } else {
        let order = options.radial.order;
        let room = Room { patches, ball, bounds: &shell_bounds, order, seed: options.seed, points: &mut points };
        allocate(&options.method, room).ok_or_else(|| FillError::Option {
            option: "cap",
            found: format!("too low for {} patches", patches.len()),
            expected: "at least one over the number of patches",
        })?
    };
    let Allocated { shares, mut radii, mut shells, .. } = allocated;
    let counts = options.lasing.is_some() || options.ebm.is_some();
    let coherence = patches.entropies.filter(|_| counts).map(|entropies| coherence01(patches.prominence, entropies));
    if let (Some(lasing), Some(coherence)) = (options.lasing, &coherence) {
        lasing.apply(&mut radii, coherence, [ball.r_min(), ball.r_max()]);
        shells = shells_of(&radii, &shell_bounds);
    }
    let zones = into_zones(patches, &options.zones, &mut points);
    let mut ebm_report = None;
    if let (Some(ebm), false) = (&options.ebm, patches.is_empty()) {
        let start = ebm::Start {
            edges: patches.edges,
            coherence: coherence.as_deref(),
            zones: (options.zones.target != ZoneTarget::Natural && options.zones.translucency < 1.0)
                .then_some((&zones, options.zones.pole_angle)),
            radii: [ball.r_min(), ball.r_max()],
            seed: options.seed,
        };
        ebm_report = Some(ebm::place(ebm, &start, &mut points, &mut radii));
        shells = shells_of(&radii, &shell_bounds);
    }
    let (theta, phi) = points.into_iter().unzip();
    let stats = Stats {
        n_degenerate,
        temperature: allocated.temperature,
        n_dry: allocated.n_dry,
        n_moved_sideways: allocated.n_moved_sideways,
        iterations: allocated.iterations,
        converged: !allocated.unconverged,
        ebm: ebm_report,
    };
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
        return Err(FillError::NoEntropies { what: options.method.name() });
    }
    if options.lasing.is_some() && patches.entropies.is_none() {
        return Err(FillError::NoEntropies { what: "lasing" });
    }
    check_method(&options.method)?;
    if let Some(Lasing { rate, time, centre }) = options.lasing {
        let exponent = rate * time;
        in_range("lasing", exponent, exponent.is_finite(), "finite numbers")?;
        let centre = centre.unwrap_or_default();
        in_range("lasing centre", centre, centre.is_finite(), "a finite number")?;
    }
    if let Method::SeedV07(SeedScript::Osmotic | SeedScript::Thrml) = options.method {
        let moved_by = [(options.ebm.is_some(), "energy-based placement"), (options.lasing.is_some(), "lasing")];
        if let Some((_, option)) = moved_by.into_iter().find(|(is_asked_for, _)| *is_asked_for) {
            let found = "of the scripts' radii".to_owned();
            return Err(FillError::Option { option, found, expected: "radii inside the ball" });
        }
    }
    if let Some(ebm) = &options.ebm {
        check_ebm(ebm)?;
        let is_fine = |edge: &Edge| edge.weight.is_finite() && edge.from.max(edge.to) < expected as u32;
        if let Some(index) = patches.edges.iter().position(|edge| !is_fine(edge)) {
            let Edge { from, to, weight } = patches.edges[index];
            return Err(FillError::Edge { index, from, to, weight, n: expected });
        }
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

fn check_method(method: &Method) -> Result<(), FillError> {
    let temperature = |t: f64| in_range("temperature", t, t > 0.0 && t.is_finite(), "a positive number");
    match method {
        Method::Entropy { temperature: Temperature::Auto { kappa } } => {
            in_range("kappa", *kappa, *kappa > 0.0 && kappa.is_finite(), "a positive number of nats")
        }
        Method::Entropy { temperature: Temperature::Nats(t) } => temperature(*t),
        Method::SeedV07(SeedScript::Entropy { temperature: t }) => temperature(*t),
        Method::Thrml(thrml) => temperature(thrml.temperature),
        Method::Classic(Classic { temperature: t, budget, cap, dry_fraction }) => {
            temperature(*t)?;
            in_range("budget", *budget, *budget > 0.0 && budget.is_finite(), "a positive number")?;
            let cap = cap.unwrap_or(1.0);
            in_range("cap", cap, cap > 0.0 && cap.is_finite(), "a positive part of the budget")?;
            in_range("dry fraction", *dry_fraction, (0.0..1.0).contains(dry_fraction), "a number from 0 to below 1")
        }
        Method::Osmotic(Osmotic::Dynamic(Flow { rate, tolerance, lateral, .. })) => {
            in_range("flow rate", *rate, *rate > 0.0 && *rate <= 0.25, "above 0 and at most 1/4")?;
            in_range("tolerance", *tolerance, *tolerance > 0.0, "a positive number")?;
            lateral.map_or(Ok(()), |Lateral { step, density_weight, min_improvement, .. }| {
                in_range("lateral step", step, step > 0.0 && step < PI, "an angle between 0 and pi")?;
                in_range("density weight", density_weight, density_weight.is_finite(), "a finite number")?;
                in_range("least improvement", min_improvement, min_improvement.is_finite(), "a finite number")
            })
        }
        Method::Osmotic(Osmotic::Exact) | Method::SeedV07(SeedScript::Osmotic | SeedScript::Thrml) => Ok(()),
    }
}

fn check_ebm(ebm: &Ebm) -> Result<(), FillError> {
    let not_negative = |option, value: f64| in_range(option, value, value >= 0.0 && value.is_finite(), "0 or more");
    not_negative("spring", ebm.spring)?;
    not_negative("coherence", ebm.coherence)?;
    not_negative("repulsion", ebm.repulsion)?;
    not_negative("sharpness", ebm.sharpness)?;
    not_negative("zone", ebm.zone)?;
    not_negative("temperature", ebm.first_temperature)?;
    not_negative("temperature", ebm.last_temperature)?;
    let negatives = f64::from(ebm.n_negatives);
    in_range("number of negatives", negatives, negatives >= 1.0 || ebm.repulsion == 0.0, "1 or more")?;
    let width = ebm.width.unwrap_or(1.0);
    in_range("width", width, width > 0.0 && width.is_finite(), "a positive angle")?;
    in_range("step", ebm.step, ebm.step > 0.0 && ebm.step.is_finite(), "a positive number")?;
    let falls = ebm.last_temperature > 0.0 || ebm.first_temperature == 0.0;
    in_range("last temperature", ebm.last_temperature, falls, "a positive number unless the first is 0")
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
        expected: "0 <= r_min < r_max and an exponent above 0 that tells their volumes apart",
    })
}

/// The chart, the angles it gives, and how many of them are not its own.
fn directions(patches: &Patches<'_>, options: &FillOptions) -> (Chart, Vec<(f64, f64)>, usize) {
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
    let n_degenerate = directions.n_degenerate;
    (chart, directions.angles(), n_degenerate)
}

/// Brings angles into the zones that patches are for, and says which those are.
fn into_zones(patches: &Patches<'_>, options: &ZoneOptions, points: &mut [(f64, f64)]) -> Vec<Zone> {
    let target = |i: usize| match options.target {
        ZoneTarget::Auto => Some(patches.zones.map_or(Zone::Content, |zones| zones[i])),
        ZoneTarget::All(zone) => Some(zone),
        ZoneTarget::Natural => None,
    };
    points
        .par_iter_mut()
        .enumerate()
        .map(|(i, (theta, _))| match target(i) {
            Some(zone) => {
                *theta = options.into_zone(*theta, zone);
                zone
            }
            None => Zone::at(*theta, options.pole_angle),
        })
        .collect()
}
