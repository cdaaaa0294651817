//! How many patches each shell holds.

use std::collections::BTreeMap;

use blt_corpus::Placed;

/// More bars are too thin to be seen: then neighbouring shells share one.
const MAX_BARS: i32 = 256;

/// Patches by shell, counted from the core.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shells {
    pub(crate) bars: Vec<ShellBar>,
}

/// One bar: a shell, or a few.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShellBar {
    /// The first shell and the last.
    pub(crate) shells: (i32, i32),
    /// The radii between which they lie, where the file has them.
    pub(crate) radii: Option<(f64, f64)>,
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
            let radii = bounds.map(|bounds| (bounds[first as usize], bounds[end as usize]));
            let n_patches = counts.range(first..end).map(|(_, n)| n).sum();
            ShellBar { shells: (first, end - 1), radii, n_patches, even: radii.and_then(|(from, to)| even(from, to)) }
        };
        Self { bars: (0..n_shells).step_by(per_bar as usize).map(bar).collect() }
    }
}

impl ShellBar {
    /// `shell 3` or `shells 3 to 5`.
    pub(crate) fn name(&self) -> String {
        let (first, last) = self.shells;
        if first == last { format!("shell {first}") } else { format!("shells {first} to {last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(shells: Vec<i32>, shell_bounds: Option<Vec<f64>>) -> Placed {
        let n = shells.len();
        Placed {
            radii: vec![1.0; n],
            theta: vec![0.0; n],
            phi: vec![0.0; n],
            shells,
            zones: vec![0; n],
            shares: None,
            shell_bounds,
            prominence: vec![1.0; n],
            entropies: None,
            documents: vec![String::new()],
            document: vec![0; n],
            patch_idx: (0..n as i32).collect(),
            byte_starts: vec![0; n + 1],
            bytes: Vec::new(),
            metadata: BTreeMap::from([("volume_exponent".to_owned(), "3".to_owned())]),
        }
    }

    fn of(placed: &Placed) -> Vec<ShellBar> {
        Shells::of(placed, &(0..placed.len() as u32).collect::<Vec<u32>>()).bars
    }

    #[test]
    fn an_even_filling_goes_by_volume() {
        let bars = of(&placed(vec![0, 1, 1, 1], Some(vec![1.0, 2.0, 3.0])));
        assert_eq!(bars.iter().map(|bar| bar.n_patches).collect::<Vec<_>>(), [1, 3]);
        // (8 - 1) and (27 - 8) of 26.
        let even: Vec<f64> = bars.iter().filter_map(|bar| bar.even).collect();
        assert!((even[0] - 4.0 * 7.0 / 26.0).abs() < 1e-12 && (even[1] - 4.0 * 19.0 / 26.0).abs() < 1e-12, "{even:?}");
    }

    #[test]
    fn many_shells_share_bars_and_bounds_that_do_not_fit_are_not_used() {
        let bars = of(&placed(vec![0, 999, 999], None));
        assert_eq!((bars.len(), bars[0].shells, bars[249].n_patches), (250, (0, 3), 2));
        let bars = of(&placed(vec![0, 5], Some(vec![1.0, 2.0])));
        assert_eq!((bars.len(), bars[5].radii), (6, None));
        assert_eq!(of(&placed(vec![1], Some(vec![1.0, f64::NAN, 2.0])))[0].radii, None);
    }
}
