//! The cell directory: patches by zone, HEALPix cell and shell, for questions about regions of the sphere.

use std::ops::Range;

use rayon::prelude::*;

use crate::Places;
use crate::cap_tree::range;
use crate::healpix::{MAX_ORDER, cell_of, cell_radius, centre, n_cells};
use crate::places::{angle_between, direction, within};

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
        Self { order, cells, patches: finest.into_iter().map(|(_, id)| id).collect(), left_out }
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
        let mut found = Vec::new();
        for zone in 0..4 {
            if region.zone.is_none_or(|wanted| wanted == zone) {
                let all = self.run(zone, 0..n_cells(self.order));
                self.descend(places, region, all, zone, None, &mut found);
            }
        }
        found.sort_unstable();
        found
    }

    /// What [`CellDirectory::query`] finds, by looking at every patch.
    pub fn query_brute_force(&self, places: Places<'_>, region: &Region) -> Vec<u32> {
        let mut found: Vec<u32> =
            self.patches.iter().copied().filter(|&id| region.holds(places, id as usize)).collect();
        found.sort_unstable();
        found
    }

    /// Places in `cells` of the nested cells `range` of a zone.
    fn run(&self, zone: u8, range: Range<u64>) -> Range<usize> {
        let at = |cell: u64| {
            let key = u64::from(zone) << 62 | cell << 32;
            self.cells.partition_point(|cell| cell.key < key)
        };
        at(range.start)..at(range.end)
    }

    /// Looks into the cells `run`, all of them in the cell `(order, number)` or anywhere on the sphere.
    fn descend(
        &self,
        places: Places<'_>,
        region: &Region,
        run: Range<usize>,
        zone: u8,
        inside: Option<(u8, u64)>,
        found: &mut Vec<u32>,
    ) {
        let (mut all_inside, mut done) = (region.cone.is_none(), false);
        if let (Some(cone), Some((order, number))) = (region.cone, inside) {
            let (distance, radius) =
                (angle_between(direction(cone.theta, cone.phi), centre(number, order)), cell_radius(order));
            if distance - radius > cone.half_angle {
                return;
            }
            (all_inside, done) = (distance + radius < cone.half_angle, order == self.order);
        }
        if run.is_empty() {
            return;
        }
        if all_inside || done || run.len() == 1 {
            for cell in &self.cells[run] {
                if region.may_hold(cell) {
                    let members = &self.patches[cell.first as usize..(cell.first + cell.len) as usize];
                    found.extend(members.iter().filter(|&&id| region.holds(places, id as usize)));
                }
            }
            return;
        }
        let (order, children) = match inside {
            None => (0, 0..12),
            Some((order, number)) => (order + 1, 4 * number..4 * number + 4),
        };
        let bits = 2 * (self.order - order);
        for child in children {
            let run = self.run(zone, child << bits..(child + 1) << bits);
            if !run.is_empty() {
                self.descend(places, region, run, zone, Some((order, child)), found);
            }
        }
    }
}

impl Region {
    /// Whether patch `i` is in the region.
    fn holds(&self, places: Places<'_>, i: usize) -> bool {
        let (radius, prominence) = (places.radii[i], f64::from(places.prominence[i]));
        self.zone.is_none_or(|zone| zone == places.zones[i])
            && self.radius.is_none_or(|[low, high]| low <= radius && radius <= high)
            && self.min_prominence.is_none_or(|least| prominence >= least)
            && self.cone.is_none_or(|cone| {
                let axis = direction(cone.theta, cone.phi);
                places.direction(i).is_some_and(|u| cone.half_angle >= 0.0 && within(axis, u, cone.half_angle))
            })
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
