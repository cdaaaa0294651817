//! The cell directory: patches by zone, HEALPix cell and shell, for questions about regions of the sphere.

use std::f64::consts::PI;
use std::ops::Range;

use rayon::prelude::*;

use crate::Places;
use crate::cap_tree::range;
use crate::healpix::{MAX_ORDER, cell_of, cell_radius, centre, n_cells};
use crate::places::{angle_between, direction, squared_chord};

/// Most patches in a cell, if a finer order can help it.
const CROWDED: usize = 64;

/// Patches sorted by zone, cell of the sphere and shell.
#[derive(Debug, Clone, PartialEq)]
pub struct CellDirectory {
    order: u8,
    /// Ascending by key.
    cells: Vec<Cell>,
    /// Patches cell by cell, ascending inside a cell.
    patches: Vec<u32>,
    /// Unit vectors of those.
    directions: Vec<[f64; 3]>,
    left_out: Vec<u32>,
}

/// The patches of one zone, HEALPix cell and shell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// `zone << 62 | nested cell << 32 | shell`.
    pub key: u64,
    /// Where its patches begin in [`CellDirectory::patches`].
    pub first: u32,
    /// Number of its patches.
    pub len: u32,
    /// Sum of prominences. NaN prominences are passed over.
    pub prominence_sum: f64,
    /// Smallest and largest prominence.
    pub prominence: [f64; 2],
    /// Smallest and largest radius.
    pub radius: [f64; 2],
}

/// What is asked of a patch, all of it; the default is asked of none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Region {
    /// A cone that its direction lies in, edge included.
    pub cone: Option<Cone>,
    /// Smallest and largest radius.
    pub radius: Option<[f64; 2]>,
    /// Least prominence.
    pub min_prominence: Option<f64>,
    /// Its zone.
    pub zone: Option<u8>,
}

/// Directions around an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cone {
    /// Polar angle of the axis.
    pub theta: f64,
    /// Azimuth of the axis.
    pub phi: f64,
    /// Largest angle to the axis, in [0, pi]. A negative or NaN angle holds nothing.
    pub half_angle: f64,
}

impl Cell {
    /// Zone, nested HEALPix cell and shell.
    pub fn place(&self) -> (u8, u64, u32) {
        ((self.key >> 62) as u8, self.key >> 32 & ((1 << 30) - 1), self.key as u32)
    }
}

impl CellDirectory {
    /// Sorts patches into cells of `order`, at most 12. Without an order it is the first at which no direction's cell holds more
    /// than 64 patches. A patch with an angle or radius that is not finite is in no cell.
    ///
    /// # Panics
    ///
    /// Panics when `order` is above 12 or there are more than 2^31 patches.
    pub fn build(places: Places<'_>, order: Option<u8>) -> Self {
        assert!(order.is_none_or(|order| order <= MAX_ORDER), "orders are 0 to {MAX_ORDER}");
        assert!(places.len() <= 1 << 31, "more than 2^31 patches");
        let finest = |id: u32| {
            let i = id as usize;
            let cell = places.direction(i).filter(|_| places.radii[i].is_finite()).map(|u| cell_of(u, MAX_ORDER));
            (cell, id)
        };
        let found: Vec<(Option<u64>, u32)> = (0..places.len() as u32).into_par_iter().map(finest).collect();
        let left_out = found.iter().filter(|(cell, _)| cell.is_none()).map(|&(_, id)| id).collect();
        let mut finest: Vec<(u64, u32)> = found.into_iter().filter_map(|(cell, id)| Some((cell?, id))).collect();
        let order = order.unwrap_or_else(|| {
            finest.par_sort_unstable();
            let crowded = |order: u8| {
                let cells = finest.chunk_by(|a, b| coarser(a.0, order) == coarser(b.0, order));
                cells.map(<[_]>::len).max().unwrap_or(0) > CROWDED
            };
            (0..MAX_ORDER).find(|&order| !crowded(order)).unwrap_or(MAX_ORDER)
        });
        for (key, id) in &mut finest {
            let (zone, shell) = (places.zones[*id as usize], places.shells[*id as usize]);
            *key = u64::from(zone) << 62 | coarser(*key, order) << 32 | shell as u64;
        }
        finest.par_sort_unstable();
        let mut first = 0;
        let mut cells = Vec::new();
        for members in finest.chunk_by(|a, b| a.0 == b.0) {
            cells.push(cell(members, first, places));
            first += members.len() as u32;
        }
        let patches: Vec<u32> = finest.into_iter().map(|(_, id)| id).collect();
        let directions =
            patches.par_iter().map(|&id| direction(places.theta[id as usize], places.phi[id as usize])).collect();
        Self { order, cells, patches, directions, left_out }
    }

    /// HEALPix order of the cells.
    pub fn order(&self) -> u8 {
        self.order
    }

    /// The cells that hold patches, ascending by key.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Patches, cell by cell.
    pub fn patches(&self) -> &[u32] {
        &self.patches
    }

    /// Patches that are in no cell, because an angle or radius is not finite.
    pub fn left_out(&self) -> &[u32] {
        &self.left_out
    }

    /// The patches in `region`, ascending. `places` are those that the directory was built from.
    ///
    /// # Panics
    ///
    /// Panics when `places` are of fewer patches than the directory.
    pub fn query(&self, places: Places<'_>, region: &Region) -> Vec<u32> {
        let mut search =
            Search { directory: self, places, region, axis: region.cone.map(Axis::new), found: Vec::new() };
        for zone in 0..4 {
            let all = self.run(zone, 0..n_cells(self.order));
            if region.zone.is_none_or(|wanted| wanted == zone) && !all.is_empty() {
                search.descend(zone, all, None);
            }
        }
        search.found.sort_unstable();
        search.found
    }

    /// What [`CellDirectory::query`] finds, by looking at every patch.
    ///
    /// # Panics
    ///
    /// As [`CellDirectory::query`].
    pub fn query_brute_force(&self, places: Places<'_>, region: &Region) -> Vec<u32> {
        let mut search =
            Search { directory: self, places, region, axis: region.cone.map(Axis::new), found: Vec::new() };
        search.look_at(0..self.patches.len());
        search.found.sort_unstable();
        search.found
    }

    /// Which of `cells` are of the nested cells `range` of a zone.
    fn run(&self, zone: u8, range: Range<u64>) -> Range<usize> {
        let at = |cell: u64| {
            let key = u64::from(zone) << 62 | cell << 32;
            self.cells.partition_point(|cell| cell.key < key)
        };
        at(range.start)..at(range.end)
    }
}

/// A region on its way through a directory.
struct Search<'s> {
    directory: &'s CellDirectory,
    places: Places<'s>,
    region: &'s Region,
    axis: Option<Axis>,
    found: Vec<u32>,
}

impl Search<'_> {
    /// Looks into the cells `run`, not empty, all of them in the HEALPix cell `(order, number)` or anywhere on the sphere.
    fn descend(&mut self, zone: u8, run: Range<usize>, inside: Option<(u8, u64)>) {
        let last = inside.is_some_and(|(order, _)| order == self.directory.order);
        let overlap = match (&self.axis, inside) {
            (None, _) => Overlap::Whole,
            (Some(_), None) => Overlap::Part,
            (Some(axis), Some((order, number))) => axis.overlap(number, order),
        };
        match overlap {
            Overlap::None => return,
            Overlap::Part if !last && run.len() > 1 => {}
            _ => return run.for_each(|cell| self.look_into(cell)),
        }
        let (order, children) = match inside {
            None => (0, 0..12),
            Some((order, number)) => (order + 1, 4 * number..4 * number + 4),
        };
        let bits = 2 * (self.directory.order - order);
        for child in children {
            let run = self.directory.run(zone, child << bits..(child + 1) << bits);
            if !run.is_empty() {
                self.descend(zone, run, Some((order, child)));
            }
        }
    }

    fn look_into(&mut self, cell: usize) {
        let cell = &self.directory.cells[cell];
        if self.region.may_hold(cell) {
            self.look_at(cell.first as usize..(cell.first + cell.len) as usize);
        }
    }

    fn look_at(&mut self, patches: Range<usize>) {
        for (&id, &direction) in self.directory.patches[patches.clone()].iter().zip(&self.directory.directions[patches])
        {
            if self.axis.as_ref().is_none_or(|axis| axis.holds(direction))
                && self.region.holds(self.places, id as usize)
            {
                self.found.push(id);
            }
        }
    }
}

/// How much of a cell is in a cone, as far as circles around cells tell.
enum Overlap {
    None,
    Part,
    Whole,
}

/// A cone, ready to be compared with many directions. Compares chords, which small angles need.
struct Axis {
    direction: [f64; 3],
    half_angle: f64,
    squared_chord: f64,
}

impl Axis {
    fn new(cone: Cone) -> Self {
        let squared_chord = match cone.half_angle {
            all if all >= PI => f64::INFINITY,
            some if some >= 0.0 => (2.0 * (some / 2.0).sin()).powi(2),
            _ => f64::NAN,
        };
        Self { direction: direction(cone.theta, cone.phi), half_angle: cone.half_angle, squared_chord }
    }

    fn holds(&self, direction: [f64; 3]) -> bool {
        squared_chord(self.direction, direction) <= self.squared_chord
    }

    fn overlap(&self, cell: u64, order: u8) -> Overlap {
        let (distance, radius) = (angle_between(self.direction, centre(cell, order)), cell_radius(order));
        if distance - radius > self.half_angle {
            Overlap::None
        } else if distance + radius < self.half_angle {
            Overlap::Whole
        } else {
            Overlap::Part
        }
    }
}

impl Region {
    /// Whether patch `i` is in the region, but for the cone.
    fn holds(&self, places: Places<'_>, i: usize) -> bool {
        let (radius, prominence) = (places.radii[i], f64::from(places.prominence[i]));
        self.zone.is_none_or(|zone| zone == places.zones[i])
            && self.radius.is_none_or(|[low, high]| low <= radius && radius <= high)
            && self.min_prominence.is_none_or(|least| prominence >= least)
    }

    /// Whether some patch of `cell` could be, by its ranges.
    fn may_hold(&self, cell: &Cell) -> bool {
        self.radius.is_none_or(|[low, high]| low <= cell.radius[1] && cell.radius[0] <= high)
            && self.min_prominence.is_none_or(|least| cell.prominence[1] >= least)
    }
}

/// The cell of `order` that holds a cell of the finest order.
fn coarser(finest: u64, order: u8) -> u64 {
    finest >> (2 * (MAX_ORDER - order))
}

fn cell(members: &[(u64, u32)], first: u32, places: Places<'_>) -> Cell {
    let prominences = || members.iter().map(|&(_, id)| f64::from(places.prominence[id as usize]));
    Cell {
        key: members[0].0,
        first,
        len: members.len() as u32,
        prominence_sum: prominences().filter(|prominence| !prominence.is_nan()).sum(),
        prominence: range(prominences()),
        radius: range(members.iter().map(|&(_, id)| places.radii[id as usize])),
    }
}
