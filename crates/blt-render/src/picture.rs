//! What there is to see of a sphere: which patches, in which colours, and the numbers of all.

use std::collections::BTreeMap;

use blt_corpus::Placed;
use blt_sphere::{Harmonics, HarmonicsError, Spectrum};

use crate::colours::{OTHER, Rgb, Theme};
use crate::points::{drawable, spread};
use crate::scale::{Category, ColourBy, Shades, category_colour, documents, zone_colour, zones};
use crate::shells::Shells;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// At most so many patches are drawn; which, their order alone says. Numbers of shells and harmonics are of all.
    pub max_points: usize,
    /// The highest degree of the spectrum.
    pub band_limit: usize,
    /// What patches are coloured by. When not given: zones if there are several, else entropy, else prominence.
    pub colour_by: Option<ColourBy>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The spectrum cannot be computed.
    #[error("cannot compute the spectrum")]
    Spectrum(#[from] HarmonicsError),
    /// The sphere has no entropies to colour patches by.
    #[error("the sphere has no entropies to colour its patches by")]
    NoEntropies,
    /// Pixels do not become a PNG.
    #[error("cannot encode the pixels")]
    Pixels(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The font is not to be read.
    #[error("cannot read the font of the picture")]
    Font,
}

impl RenderError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoEntropies => Some("colour them by `prominence`, or fill outputs that have entropies"),
            _ => None,
        }
    }
}

/// A sphere as it is drawn.
#[derive(Debug)]
pub struct Picture<'a> {
    pub(crate) name: &'a str,
    pub(crate) placed: &'a Placed,
    /// Patches that are drawn.
    pub(crate) chosen: Vec<u32>,
    /// Patches that could be.
    pub(crate) n_drawable: usize,
    pub(crate) colour_by: ColourBy,
    pub(crate) zones: Vec<Category>,
    pub(crate) documents: Vec<Category>,
    pub(crate) document_colours: BTreeMap<i32, usize>,
    pub(crate) shades: Vec<(ColourBy, Shades)>,
    pub(crate) shells: Shells,
    pub(crate) spectrum: Spectrum,
}

impl<'a> Picture<'a> {
    /// What there is to see of `placed`, under the title `name`.
    ///
    /// # Errors
    ///
    /// Fails when the band limit is above [`blt_sphere::MAX_BAND_LIMIT`], or when patches are to be coloured by entropies that the
    /// sphere does not have.
    pub fn new(name: &'a str, placed: &'a Placed, options: &RenderOptions) -> Result<Self, RenderError> {
        let all = drawable(placed);
        let zones = zones(placed, &all);
        let colour_by = match options.colour_by {
            Some(ColourBy::Entropy) if placed.entropies.is_none() => return Err(RenderError::NoEntropies),
            Some(colour_by) => colour_by,
            None if zones.len() > 1 => ColourBy::Zone,
            None if zones.is_empty() => ColourBy::Zone, // of no patches
            None if placed.entropies.is_some() => ColourBy::Entropy,
            None => ColourBy::Prominence,
        };
        let (documents, document_colours) = documents(placed, &all);
        let shells = Shells::of(placed, &all);
        let of = |values: &dyn Fn(usize) -> f64| all.iter().map(|&i| values(i as usize)).collect::<Vec<f64>>();
        let (theta, phi) = (of(&|i| placed.theta[i]), of(&|i| placed.phi[i]));
        let weights = of(&|i| f64::from(placed.prominence[i]));
        let spectrum = Harmonics::analyze(&theta, &phi, &weights, options.band_limit)?.spectrum();
        let n_drawable = all.len();
        let chosen = spread(all, options.max_points);
        let shades = ColourBy::ALL.into_iter().filter_map(|by| {
            let values = chosen.iter().filter_map(|&i| by.value(placed, i as usize)).collect();
            Some((by, Shades::of(values)?))
        });
        let shades = shades.collect();
        Ok(Self {
            name,
            placed,
            chosen,
            n_drawable,
            colour_by,
            zones,
            documents,
            document_colours,
            shades,
            shells,
            spectrum,
        })
    }

    /// What is not drawn, in a sentence; `None` when everything is.
    pub fn left_out(&self) -> Option<String> {
        let (n, n_drawn, n_drawable) = (self.placed.len(), self.chosen.len(), self.n_drawable);
        let mut sentences = Vec::new();
        if n_drawn < n_drawable {
            sentences.push(format!(
                "{n_drawn} of {n_drawable} patches are drawn, one out of each stretch of {:.1}; shells and spectrum are of all",
                n_drawable as f64 / n_drawn.max(1) as f64
            ));
        }
        if n_drawable < n {
            let n = n - n_drawable;
            sentences.push(format!("{n} patches are left out: their place or prominence is no finite number"));
        }
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }

    /// One line about the sphere.
    pub(crate) fn summary(&self) -> String {
        let metadata = |key: &str| self.placed.metadata.get(key).filter(|value| !value.is_empty());
        let (n, n_documents) = (self.placed.len(), self.placed.documents.len());
        let counted = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let documents = counted(n_documents, "document", "documents");
        let mut parts = vec![format!("{} of {documents}", counted(n, "patch", "patches"))];
        for (key, words) in [("model", "model"), ("method", "radii by"), ("chart", "directions by")] {
            parts.extend(metadata(key).map(|value| format!("{words} {}", shortened(value, 40))));
        }
        if let Some(bounds) = &self.placed.shell_bounds
            && let [first, .., last] = bounds.as_slice()
        {
            parts.push(format!("ball from {first:.0} to {last:.0}"));
        }
        parts.join(" · ")
    }

    /// The shades of a signal, when patches have it.
    pub(crate) fn shades_of(&self, by: ColourBy) -> Option<Shades> {
        self.shades.iter().find(|(known, _)| *known == by).map(|(_, shades)| *shades)
    }

    /// The colour of patch `i`.
    pub(crate) fn colour(&self, i: usize, theme: Theme) -> Rgb {
        match self.colour_by {
            ColourBy::Zone => category_colour(theme, zone_colour(self.placed.zones[i])),
            ColourBy::Document => category_colour(theme, self.document_colours.get(&self.placed.document[i]).copied()),
            by => match (by.value(self.placed, i), self.shades_of(by)) {
                (Some(value), Some(shades)) => theme.ramp(shades.part(value)),
                _ => OTHER,
            },
        }
    }

    /// The radius that the picture ends at.
    pub(crate) fn rim(&self) -> f64 {
        let of_shells = self.placed.shell_bounds.as_ref().and_then(|bounds| bounds.last().copied());
        let of_patches = self.chosen.iter().map(|&i| self.placed.radii[i as usize]);
        of_patches.chain(of_shells.filter(|rim| rim.is_finite())).fold(0.0, f64::max)
    }

    /// The angle of the zones at the poles in degrees, when the sphere has zones.
    pub(crate) fn zone_angle(&self) -> Option<f64> {
        let angle: f64 = self.placed.metadata.get("zone_angle")?.parse().ok()?;
        (angle > 0.0 && angle < 90.0).then_some(angle)
    }
}

/// A name of at most `most` characters: its middle gives way.
pub(crate) fn shortened(name: &str, most: usize) -> String {
    let n = name.chars().count();
    if n <= most {
        return name.to_owned();
    }
    let head = most / 3;
    let tail = most - head - 1;
    name.chars().take(head).chain(['…']).chain(name.chars().skip(n - tail)).collect()
}
