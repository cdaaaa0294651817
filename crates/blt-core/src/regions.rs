//! Named stretches of a file, and the units that they and what lies between them make.

use crate::{ByteRange, DecodeError, Limits, Unit};

/// A stretch of a file, as its headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// What it is, like `section`.
    pub label: &'static str,
    /// What it is called there.
    pub name: Option<Box<str>>,
    /// First byte.
    pub start: u64,
    /// One past the last byte; may lie anywhere, as it comes from the file.
    pub end: u64,
    /// Stretches inside it.
    pub children: Vec<Region>,
}

impl Region {
    /// `size` bytes at `start`.
    pub fn new(label: &'static str, start: u64, size: u64) -> Self {
        Self { label, name: None, start, end: start.saturating_add(size), children: Vec::new() }
    }

    /// The same with a name, unless that is empty.
    pub fn named(mut self, name: &str) -> Self {
        self.name = (!name.is_empty()).then(|| name.into());
        self
    }

    /// Everything `by` bytes further on, as in a file inside a file.
    pub fn moved(mut self, by: u64) -> Self {
        self.start = self.start.saturating_add(by);
        self.end = self.end.saturating_add(by);
        self.children = self.children.into_iter().map(|child| child.moved(by)).collect();
        self
    }
}

/// What the regions of a file become.
#[derive(Debug, Default)]
pub struct Tiling {
    /// Units that tile the file.
    pub units: Vec<Unit>,
    /// Which regions reach beyond the file.
    pub problems: Vec<String>,
}

impl Tiling {
    /// Appends units that tile `range`: the regions, what lies between them (`gap`), and what follows the last (`overlay` at
    /// the end of the file, `gap` inside). Where regions overlap, the bytes belong to the one that begins first, or is longer.
    ///
    /// # Errors
    ///
    /// Fails when there would be more units than [`Limits::max_units`].
    pub fn add(
        &mut self,
        mut regions: Vec<Region>,
        range: ByteRange,
        parent: Option<usize>,
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        regions.sort_by(|a, b| (a.start, b.end).cmp(&(b.start, a.end)));
        let mut position = range.start;
        for region in regions {
            let whole = parent.is_none();
            if region.end > range.end && whole {
                let name = region.name.as_deref().unwrap_or_default();
                let label = region.label;
                self.problems.push(format!("{label} `{name}` reaches {} bytes beyond the end", region.end - range.end));
            }
            let (start, end) = (region.start.max(position), region.end.min(range.end));
            if start >= end {
                continue; // outside, empty, or another's
            }
            if start > position {
                self.push(Unit::new("gap", ByteRange::new(position, start)).inside(parent), limits)?;
            }
            let mut unit = Unit::new(region.label, ByteRange::new(start, end)).inside(parent);
            unit.name = region.name;
            let index = self.units.len();
            self.push(unit, limits)?;
            if region.children.iter().any(|child| child.start < end && child.end > start) {
                self.add(region.children, ByteRange::new(start, end), Some(index), limits)?;
            }
            position = end;
        }
        if position < range.end {
            let label = if parent.is_none() && position > range.start { "overlay" } else { "gap" };
            self.push(Unit::new(label, ByteRange::new(position, range.end)).inside(parent), limits)?;
        }
        Ok(())
    }

    fn push(&mut self, unit: Unit, limits: &Limits) -> Result<(), DecodeError> {
        if self.units.len() >= limits.max_units {
            return Err(DecodeError::TooManyUnits { label: "section", limit: limits.max_units });
        }
        self.units.push(unit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Modality, View};

    fn region() -> impl Strategy<Value = Region> {
        let leaf = (0u64..120, 0u64..60).prop_map(|(start, size)| Region::new("section", start, size));
        leaf.prop_recursive(3, 20, 5, |inner| {
            (0u64..120, 0u64..u64::MAX, prop::collection::vec(inner, 0..5))
                .prop_map(|(start, size, children)| Region { children, ..Region::new("section", start, size) })
        })
    }

    proptest! {
        #[test]
        fn any_regions_tile(regions in prop::collection::vec(region(), 0..12), n_bytes in 0u64..100) {
            let mut tiling = Tiling::default();
            tiling.add(regions, ByteRange::new(0, n_bytes), None, &Limits::default()).unwrap();
            let view = View { units: tiling.units, ..View::raw(Modality::Binary, "") };
            prop_assert_eq!(view.check_units(n_bytes), Ok(()));
        }
    }
}
