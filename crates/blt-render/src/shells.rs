//! How many patches each shell holds.

use std::collections::BTreeMap;

use blt_corpus::Placed;

/// More bars are too thin to be seen: then neighbouring shells share one.
const MAX_BARS: i32 = 256;

/// Patches by shell, counted from the core.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shells {
    pub(crate) bars: Vec<ShellBar>,
    /// Whether bars lie between radii, and not between numbers of shells.
    pub(crate) by_radius: bool,
}

/// One bar: a shell, or a few.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShellBar {
    /// The first shell and the last.
    pub(crate) shells: (i32, i32),
    /// Where it begins and ends: radii, or numbers of shells.
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) n_patches: u64,
    /// The patches it would have if every part of the volume had equally many; when the file tells how volume grows.
    pub(crate) even: Option<f64>,
}

impl Shells {
    /// Counts `patches` of `placed`.
    pub(crate) fn of(placed: &Placed, patches: &[u32]) -> Self {
        let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
        patches.iter().for_each(|&i| *counts.entry(placed.shells[i as usize]).or_default() += 1);
        let last = counts.keys().next_back().copied().unwrap_or(0);
        let bounds = placed.shell_bounds.as_deref().filter(|bounds| {
            let is_sound = bounds.iter().all(|x| x.is_finite()) && bounds.is_sorted_by(|a, b| a < b);
            is_sound && bounds.len() > last as usize + 1 && i32::try_from(bounds.len()).is_ok()
        });
        let n_shells = bounds.map_or(last.saturating_add(1), |bounds| bounds.len() as i32 - 1);
        let per_bar = (n_shells - 1) / MAX_BARS + 1;
        let exponent = placed.metadata.get("volume_exponent").and_then(|exponent| exponent.parse::<f64>().ok());
        let even = |from: f64, to: f64| {
            let (bounds, exponent) = (bounds?, exponent.filter(|exponent| (0.1..=10.0).contains(exponent))?);
            let volume = |from: f64, to: f64| to.powf(exponent) - from.powf(exponent);
            let part = volume(from, to) / volume(bounds[0], bounds[bounds.len() - 1]);
            part.is_finite().then_some(part * patches.len() as f64)
        };
        let bar = |first: i32| {
            let end = first.saturating_add(per_bar).min(n_shells);
            let (from, to) = match bounds {
                Some(bounds) => (bounds[first as usize], bounds[end as usize]),
                None => (f64::from(first), f64::from(end)),
            };
            let n_patches = counts.range(first..end).map(|(_, n)| n).sum();
            ShellBar { shells: (first, end - 1), from, to, n_patches, even: even(from, to) }
        };
        Self { bars: (0..n_shells).step_by(per_bar as usize).map(bar).collect(), by_radius: bounds.is_some() }
    }
}

impl ShellBar {
    /// `shell 3` or `shells 3 to 5`.
    pub(crate) fn name(&self) -> String {
        let (first, last) = self.shells;
        if first == last { format!("shell {first}") } else { format!("shells {first} to {last}") }
    }
}
