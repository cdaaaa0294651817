//! What patches are coloured by: zones and documents as categories, signals as shades.

use std::collections::BTreeMap;

use blt_corpus::Placed;
use blt_sphere::Zone;

use crate::colours::{N_CATEGORIES, OTHER, Rgb, Theme};

/// What patches are coloured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourBy {
    /// Their zones.
    Zone,
    /// Their distance from the centre.
    Radius,
    /// Their shells, counted from the core.
    Shell,
    /// Their mean entropy.
    Entropy,
    /// Their prominence.
    Prominence,
    /// Their documents; the largest have colours of their own.
    Document,
}

impl ColourBy {
    /// Every one, in the order of a menu.
    pub const ALL: [Self; 6] = [Self::Zone, Self::Radius, Self::Shell, Self::Entropy, Self::Prominence, Self::Document];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Radius => "radius",
            Self::Shell => "shell",
            Self::Entropy => "entropy",
            Self::Prominence => "prominence",
            Self::Document => "document",
        }
    }

    /// Its name with its unit.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Entropy => "entropy (nats)",
            other => other.name(),
        }
    }

    /// The value of patch `i`, `None` of a category or where there is none.
    pub(crate) fn value(self, placed: &Placed, i: usize) -> Option<f64> {
        let value = match self {
            Self::Zone | Self::Document => return None,
            Self::Radius => placed.radii[i],
            Self::Shell => f64::from(placed.shells[i]),
            Self::Entropy => f64::from(placed.entropies.as_ref()?[i]),
            Self::Prominence => f64::from(placed.prominence[i]),
        };
        value.is_finite().then_some(value)
    }
}

/// Values that get the ends of the ramp: the hundredth of the patches that have less, and that have more, are not told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shades {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Half of the patches have less.
    pub(crate) middle: f64,
}

impl Shades {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| values.get((part * (values.len().max(1) - 1) as f64).round() as usize).copied();
        Some(Self { low: at(0.01)?, high: at(0.99)?, middle: at(0.5)? })
    }

    /// Where `value` lies on the ramp, from 0 to 1; the middle when all are equal.
    pub(crate) fn part(&self, value: f64) -> f64 {
        if self.high > self.low { ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0) } else { 0.5 }
    }
}

/// A category as the legend shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Category {
    pub(crate) name: String,
    /// Patches of the whole sphere.
    pub(crate) n_patches: u64,
    /// Its colour among those of a theme; `None` for all the rest.
    pub(crate) colour: Option<usize>,
}

/// Zones that have patches.
pub(crate) fn zones(placed: &Placed, patches: &[u32]) -> Vec<Category> {
    let mut counts = [0u64; 4];
    patches.iter().for_each(|&i| counts[usize::from(placed.zones[i as usize]).min(3)] += 1);
    (0..4u8)
        .filter(|&zone| counts[usize::from(zone)] > 0)
        .map(|zone| Category {
            name: zone_name(zone).to_owned(),
            n_patches: counts[usize::from(zone)],
            colour: zone_colour(zone),
        })
        .collect()
}

pub(crate) fn zone_name(zone: u8) -> &'static str {
    Zone::ALL.get(usize::from(zone)).map_or("none", |zone| zone.name())
}

/// Content, which most patches are, has the first colour.
pub(crate) fn zone_colour(zone: u8) -> Option<usize> {
    [Some(1), Some(0), Some(2)].get(usize::from(zone)).copied().flatten()
}

/// The largest documents by name, then all others as one; and the colour of every document.
pub(crate) fn documents(placed: &Placed, patches: &[u32]) -> (Vec<Category>, BTreeMap<i32, usize>) {
    let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
    patches.iter().for_each(|&i| *counts.entry(placed.document[i as usize]).or_default() += 1);
    let mut order: Vec<(i32, u64)> = counts.into_iter().collect();
    order.sort_by_key(|&(document, n)| (std::cmp::Reverse(n), document));
    let name = |document: i32| placed.documents.get(document as usize).cloned().unwrap_or_default();
    let (own, rest) = order.split_at(order.len().min(N_CATEGORIES));
    let mut categories: Vec<Category> = own
        .iter()
        .enumerate()
        .map(|(colour, &(document, n_patches))| Category { name: name(document), n_patches, colour: Some(colour) })
        .collect();
    if !rest.is_empty() {
        let n_patches = rest.iter().map(|&(_, n)| n).sum();
        categories.push(Category { name: format!("{} others", rest.len()), n_patches, colour: None });
    }
    (categories, own.iter().enumerate().map(|(colour, &(document, _))| (document, colour)).collect())
}

/// The colour of a category.
pub(crate) fn category_colour(theme: Theme, colour: Option<usize>) -> Rgb {
    colour.map_or(OTHER, |colour| theme.categories()[colour])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_leave_out_the_hundredths_at_the_ends() {
        let shades = Shades::of((0..=1000).rev().map(f64::from).collect()).unwrap();
        assert_eq!(shades, Shades { low: 10.0, high: 990.0, middle: 500.0 });
        assert_eq!([5.0, 500.0, 2000.0].map(|x| shades.part(x)), [0.0, 0.5, 1.0]);
        assert_eq!(Shades::of(vec![2.0]).unwrap().part(2.0), 0.5);
        assert_eq!(Shades::of(Vec::new()), None);
    }
}
