//! The nearest points on the sphere.

use std::f64::consts::{PI, TAU};

use crate::angles::angles_of;

/// Points in cells of equal area: belts of equal height, cut into equal sectors.
pub(crate) struct SphereGrid<'a> {
    points: &'a [[f64; 3]],
    n_belts: usize,
    n_sectors: usize,
    /// Where the points of each cell begin in `members`, `[n_cells + 1]`.
    first: Vec<u32>,
    members: Vec<u32>,
}

impl<'a> SphereGrid<'a> {
    pub(crate) fn new(points: &'a [[f64; 3]]) -> Self {
        let n_belts = ((points.len() as f64 / 8.0).sqrt() as usize).clamp(1, 2048);
        let n_sectors = 2 * n_belts;
        let cells: Vec<usize> = points.iter().map(|&point| cell(point, n_belts, n_sectors)).collect();
        let mut first = vec![0u32; n_belts * n_sectors + 1];
        cells.iter().for_each(|&cell| first[cell + 1] += 1);
        for cell in 1..first.len() {
            first[cell] += first[cell - 1];
        }
        let mut next = first.clone();
        let mut members = vec![0u32; points.len()];
        for (i, &cell) in cells.iter().enumerate() {
            members[next[cell] as usize] = i as u32;
            next[cell] += 1;
        }
        Self { points, n_belts, n_sectors, first, members }
    }

    /// The `k` points nearest to `centre` but for `except`, nearest first, equally near ones by their place, with the cosines of
    /// their distances; all, where there are fewer.
    pub(crate) fn nearest(&self, centre: [f64; 3], k: usize, except: usize) -> Vec<(f64, u32)> {
        let mut radius = (4.0 * (k + 1) as f64 / self.points.len() as f64).sqrt().min(PI);
        loop {
            let mut found = self.within(centre, radius, except);
            if found.len() >= k || radius >= PI {
                found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                found.truncate(k);
                return found;
            }
            radius = (radius * 1.6).min(PI);
        }
    }

    fn within(&self, centre: [f64; 3], radius: f64, except: usize) -> Vec<(f64, u32)> {
        let (theta, phi) = angles_of(centre);
        let least = if radius >= PI { -2.0 } else { radius.cos() };
        let mut found = Vec::new();
        let mut visit = |belt: usize, sector: usize| {
            let cell = belt * self.n_sectors + sector;
            for &i in &self.members[self.first[cell] as usize..self.first[cell + 1] as usize] {
                let cos = dot(centre, self.points[i as usize]);
                if cos >= least && i as usize != except {
                    found.push((cos, i));
                }
            }
        };
        // A little wider, so that rounding loses no cell.
        let radius = radius + 1e-9;
        let north = self.belt((theta - radius).max(0.0).cos());
        let south = self.belt((theta + radius).min(PI).cos());
        let pole = theta - radius <= 0.0 || theta + radius >= PI;
        for belt in north..=south {
            if pole || radius.sin() >= theta.sin() {
                (0..self.n_sectors).for_each(|sector| visit(belt, sector));
                continue;
            }
            let half = (radius.sin() / theta.sin()).asin();
            let per_sector = TAU / self.n_sectors as f64;
            let from = ((phi - half) / per_sector).floor() as i64;
            let to = ((phi + half) / per_sector).floor() as i64;
            for sector in from..=to.min(from + self.n_sectors as i64 - 1) {
                visit(belt, sector.rem_euclid(self.n_sectors as i64) as usize);
            }
        }
        found
    }

    fn belt(&self, z: f64) -> usize {
        belt(z, self.n_belts)
    }
}

pub(crate) fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn belt(z: f64, n_belts: usize) -> usize {
    (((1.0 - z) / 2.0 * n_belts as f64) as usize).min(n_belts - 1)
}

fn cell(point: [f64; 3], n_belts: usize, n_sectors: usize) -> usize {
    let (_, phi) = angles_of(point);
    belt(point[2], n_belts) * n_sectors + ((phi / TAU * n_sectors as f64) as usize).min(n_sectors - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{random, unit_vector};

    #[test]
    fn the_nearest_are_the_nearest_of_all() {
        for n in [1u64, 5, 40, 900] {
            let points: Vec<[f64; 3]> = (0..n)
                .map(|i| {
                    unit_vector((1.0 - 2.0 * random::uniform(1, i, 0)).acos(), TAU * random::uniform(1, i, 1).powi(2))
                })
                .collect();
            let grid = SphereGrid::new(&points);
            let centres = [
                [0.0, 0.0, 1.0],
                [0.0, 0.0, -1.0],
                [1.0, 0.0, 0.0],
                unit_vector(1.0, TAU - 1e-9),
                unit_vector(0.1, 3.0),
            ];
            for (except, centre) in centres.into_iter().chain(points.iter().copied()).enumerate() {
                let mut all: Vec<(f64, u32)> = (0..n as u32)
                    .filter(|&i| i as usize != except)
                    .map(|i| (dot(centre, points[i as usize]), i))
                    .collect();
                all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                all.truncate(7);
                assert_eq!(grid.nearest(centre, 7, except), all);
            }
        }
    }
}
