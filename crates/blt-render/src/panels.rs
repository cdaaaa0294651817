//! The panels beside the sphere: shells, spectrum, and radii against signals.

use blt_corpus::Placed;

use crate::axis::{Axis, Spacing, ends};
use crate::drawing::{Anchor, Drawing, Ink};
use crate::picture::Picture;
use crate::scale::ColourBy;

pub(crate) const WIDTH: f64 = 560.0;
pub(crate) const HEIGHT: f64 = 300.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 34.0;
const PLOT_WIDTH: f64 = WIDTH - LEFT - 14.0;
const PLOT_HEIGHT: f64 = HEIGHT - TOP - 44.0;

/// A plot's place in its panel, and its axes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Plot {
    /// Left, top, width and height of the plot in its panel.
    pub(crate) const AREA: [f64; 4] = [LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT];

    pub(crate) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (LEFT + PLOT_WIDTH * self.x.part(x), TOP + PLOT_HEIGHT * (1.0 - self.y.part(y)))
    }

    /// Grid, ticks, labels and title.
    fn frame(&self, title: &str) -> Drawing {
        let mut drawing = Drawing::new(WIDTH, HEIGHT);
        let (right, bottom) = (LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT);
        drawing.text((LEFT, 20.0), 14.0, Ink::Text, Anchor::Start, title);
        for (value, name) in self.y.ticks(5) {
            let y = TOP + PLOT_HEIGHT * (1.0 - self.y.part(value));
            drawing.line(vec![(LEFT, y), (right, y)], 1.0, Ink::Faint);
            drawing.text((LEFT - 6.0, y + 4.0), 11.0, Ink::Muted, Anchor::End, name);
        }
        for (value, name) in self.x.ticks(7) {
            let x = LEFT + PLOT_WIDTH * self.x.part(value);
            drawing.line(vec![(x, bottom), (x, bottom + 4.0)], 1.0, Ink::Muted);
            // Long names at the right end stay in the panel.
            let is_last = x > right - 30.0 && name.chars().count() > 5;
            let (x, anchor) = if is_last { (right + 8.0, Anchor::End) } else { (x, Anchor::Middle) };
            drawing.text((x, bottom + 16.0), 11.0, Ink::Muted, anchor, name);
        }
        drawing.line(vec![(LEFT, bottom), (right, bottom)], 1.0, Ink::Muted);
        drawing.text((LEFT + PLOT_WIDTH / 2.0, bottom + 34.0), 12.0, Ink::Muted, Anchor::Middle, self.x.label.clone());
        drawing.upward_text((14.0, TOP + PLOT_HEIGHT / 2.0), 12.0, Ink::Muted, self.y.label.clone());
        drawing
    }

    /// What the two inks of a plot mean, at its upper right.
    fn key(drawing: &mut Drawing, accent: &str, second: &str) {
        let right = LEFT + PLOT_WIDTH;
        drawing.text((right, 20.0), 11.0, Ink::Second, Anchor::End, format!("- - {second}"));
        // The font's letters are about half as wide as high.
        let offset = 6.0 * (second.chars().count() + 6) as f64;
        drawing.text((right - offset, 20.0), 11.0, Ink::Accent, Anchor::End, accent);
    }
}

/// Patches in each shell, and how many an even filling of the volume would have. Shells are equally wide here: most of a ball's
/// volume, and often most patches, lie in a thin rim.
pub(crate) fn shells(picture: &Picture<'_>) -> Drawing {
    const TICKS: usize = 4;
    let bars = &picture.shells.bars;
    let counts = || bars.iter().map(|bar| bar.n_patches as f64);
    let (most, mean) = (counts().fold(0.0, f64::max), counts().sum::<f64>() / bars.len().max(1) as f64);
    let heights = counts().chain(bars.iter().filter_map(|bar| bar.even));
    let y = if most > 20.0 * mean {
        // One patch is to be seen, too.
        Axis::logarithmic(heights.chain([1.0]), "patches, logarithmic")
    } else {
        Axis::from_zero(heights, "patches")
    };
    let mut x = Axis::around([0.0, bars.len().max(1) as f64].into_iter(), "shell, from the core");
    (x.low, x.high) = (0.0, bars.len().max(1) as f64);
    if bars.len() > TICKS {
        // Where a shell begins, and where the last ends.
        let tick = |k: usize| {
            let at = bars.len() * k / TICKS;
            let (shell, radius) = match bars.get(at) {
                Some(bar) => (bar.shells.0, bar.radii.map(|(from, _)| from)),
                None => (bars[at - 1].shells.1.saturating_add(1), bars[at - 1].radii.map(|(_, to)| to)),
            };
            (at as f64, radius.map_or_else(|| shell.to_string(), |radius| format!("{shell} · r {radius:.0}")))
        };
        x.own_ticks = (0..=TICKS).map(tick).collect();
    }
    let plot = Plot { x, y };
    let mut drawing = plot.frame("Patches in each shell");
    for (k, bar) in bars.iter().enumerate().filter(|(_, bar)| bar.n_patches > 0) {
        let (left, top) = plot.place(k as f64, bar.n_patches as f64);
        let (right, bottom) = plot.place((k + 1) as f64, plot.y.low);
        let gap = if right - left > 3.0 { 0.5 } else { 0.0 };
        let radii = bar.radii.map_or_else(String::new, |(from, to)| format!(", radius {from:.1} to {to:.1}"));
        let title = format!("{}{radii}: {} patches", bar.name(), bar.n_patches);
        drawing.bar([left + gap, top, right - left - 2.0 * gap, bottom - top], Ink::Accent, title);
    }
    let even: Vec<(f64, f64)> = bars
        .iter()
        .enumerate()
        .filter_map(|(k, bar)| bar.even.map(|even| [plot.place(k as f64, even), plot.place((k + 1) as f64, even)]))
        .flatten()
        .collect();
    if !even.is_empty() {
        drawing.dashes(even, 1.5, Ink::Second);
        Plot::key(&mut drawing, "patches", "evenly by volume");
    }
    drawing
}

/// Power by degree, and that of points at random.
pub(crate) fn spectrum(picture: &Picture<'_>) -> Drawing {
    let power = &picture.spectrum.power;
    let noise = picture.spectrum.shot_noise;
    let degrees = 1..power.len();
    let mut x = Axis::around(degrees.clone().map(|l| l as f64), "degree l (180° / l is about the angular size)");
    x.low = x.low.min(0.5);
    let y = Axis::logarithmic(power.iter().skip(1).copied().chain([noise]), "power C_l");
    let plot = Plot { x, y };
    let mut drawing = plot.frame("Power by angular scale");
    if noise > 0.0 {
        let (left, y) = plot.place(plot.x.low, noise);
        drawing.dashes(vec![(left, y), (plot.place(plot.x.high, noise).0, y)], 1.5, Ink::Second);
        Plot::key(&mut drawing, "C_l", "points at random");
    }
    let places: Vec<(usize, (f64, f64))> =
        degrees.filter(|&l| power[l] > 0.0).map(|l| (l, plot.place(l as f64, power[l]))).collect();
    drawing.line(places.iter().map(|&(_, place)| place).collect(), 1.5, Ink::Accent);
    for (l, place) in places {
        let ratio = if noise > 0.0 {
            format!(", {:.2} times that of points at random", power[l] / noise)
        } else {
            String::new()
        };
        drawing.dot(place, 3.2, Ink::Accent, format!("l = {l}: C_l = {:.4e}{ratio}", power[l]));
    }
    drawing
}

/// What the method gave a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    Radius,
    /// The part of the volume.
    Share,
}

impl Given {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Radius => "radius",
            Self::Share => "share",
        }
    }

    /// The value of patch `i`.
    pub(crate) fn value(self, placed: &Placed, i: usize) -> Option<f64> {
        let value = match self {
            Self::Radius => placed.radii[i],
            Self::Share => placed.shares.as_ref()?[i],
        };
        value.is_finite().then_some(value)
    }
}

/// What was given against a signal, a point a patch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scatter {
    pub(crate) given: Given,
    pub(crate) by: ColourBy,
    pub(crate) plot: Plot,
}

/// Radii, and shares where they differ, against prominence and entropy.
pub(crate) fn scatters(picture: &Picture<'_>) -> Vec<Scatter> {
    let (placed, chosen) = (picture.placed, &picture.chosen);
    let values = |given: Given| chosen.iter().filter_map(move |&i| given.value(placed, i as usize));
    let shares_differ = ends(values(Given::Share)).is_some_and(|(least, most)| most > 1.001 * least);
    let mut scatters = Vec::new();
    for given in [Given::Radius, Given::Share] {
        let y = match given {
            Given::Radius => Axis::around(values(given), "radius"),
            Given::Share if shares_differ => Axis::logarithmic(values(given), "part of the volume"),
            Given::Share => continue,
        };
        for by in [ColourBy::Prominence, ColourBy::Entropy] {
            let Some(shades) = picture.shades_of(by) else { continue };
            let signal = || chosen.iter().filter_map(|&i| by.value(placed, i as usize));
            let least = signal().fold(f64::INFINITY, f64::min);
            // A few that have very much would press all others to the edge.
            let has_tail = least > 0.0 && shades.high > 20.0 * shades.middle;
            let x = if has_tail { Axis::logarithmic(signal(), by.label()) } else { Axis::around(signal(), by.label()) };
            scatters.push(Scatter { given, by, plot: Plot { x, y: y.clone() } });
        }
    }
    scatters
}

impl Scatter {
    /// `radius-entropy`.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.given.name(), self.by.name())
    }

    pub(crate) fn title(&self) -> String {
        let given = match self.given {
            Given::Radius => "Radius",
            Given::Share => "Part of the volume",
        };
        let log = if self.plot.x.spacing == Spacing::Logarithmic { ", logarithmic" } else { "" };
        format!("{given} against {}{log}", self.by.name())
    }

    /// The panel without its points.
    pub(crate) fn frame(&self) -> Drawing {
        self.plot.frame(&self.title())
    }

    /// Where patch `i` lies; `None` where one of its values is missing, or has no logarithm.
    pub(crate) fn place(&self, placed: &Placed, i: usize) -> Option<(f64, f64)> {
        let (x, y) = (self.by.value(placed, i)?, self.given.value(placed, i)?);
        (self.plot.x.holds(x) && self.plot.y.holds(y)).then(|| self.plot.place(x, y))
    }
}
