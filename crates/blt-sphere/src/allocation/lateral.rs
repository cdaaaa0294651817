//! Sideways moves: a patch that is pressed into another shell may find a place nearby where it is better off.

use std::f64::consts::TAU;

use crate::Rows;
use crate::neighbours::{SphereGrid, dot};

/// Sideways moves. A patch tries once, when it is first to change its shell, among all others where they were at the start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lateral {
    /// Directions that are tried.
    pub n_directions: u32,
    /// Length of a move, in radians.
    pub step: f64,
    /// Neighbours on the sphere that are asked.
    pub n_neighbours: u32,
    /// How much the density around a place counts against it.
    pub density_weight: f64,
    /// How much better a place has to be.
    pub min_improvement: f64,
}

impl Default for Lateral {
    fn default() -> Self {
        Self { n_directions: 16, step: 0.15, n_neighbours: 16, density_weight: 0.5, min_improvement: 0.1 }
    }
}

/// Where everybody is when the flow starts.
pub(crate) struct Surroundings<'a> {
    embeddings: Rows<'a>,
    points: &'a [[f64; 3]],
    grid: SphereGrid<'a>,
    lateral: Lateral,
}

impl<'a> Surroundings<'a> {
    pub(crate) fn new(embeddings: Rows<'a>, points: &'a [[f64; 3]], lateral: Lateral) -> Self {
        Self { embeddings, points, grid: SphereGrid::new(points), lateral }
    }

    /// The best place around patch `i`, if it is enough better than its own.
    pub(crate) fn better_place(&self, i: usize) -> Option<[f64; 3]> {
        let own = self.score(i, self.points[i]);
        let [east, north] = tangents(self.points[i]);
        let (sin, cos) = self.lateral.step.sin_cos();
        let mut best = (own + self.lateral.min_improvement, None);
        for k in 0..self.lateral.n_directions {
            let (up, along) = (TAU * f64::from(k) / f64::from(self.lateral.n_directions)).sin_cos();
            let place = std::array::from_fn(|c| cos * self.points[i][c] + sin * (along * east[c] + up * north[c]));
            let score = self.score(i, place);
            if score >= best.0 && best.1.is_none() || score > best.0 {
                best = (score, Some(place));
            }
        }
        best.1
    }

    /// Mean cosine of the embeddings around a place with that of patch `i`, less the density there: `d / (1 + d)` with `d` in units
    /// of the mean density.
    fn score(&self, i: usize, place: [f64; 3]) -> f64 {
        let neighbours = self.grid.nearest(place, self.lateral.n_neighbours as usize, i);
        let Some(&(farthest, _)) = neighbours.last() else { return 0.0 };
        let k = neighbours.len() as f64;
        let similarity = neighbours
            .iter()
            .map(|&(_, j)| cosine(self.embeddings.row(i), self.embeddings.row(j as usize)))
            .sum::<f64>();
        let part_of_all = k / self.points.len() as f64;
        let part_of_area = (1.0 - farthest).max(0.0) / 2.0;
        similarity / k - self.lateral.density_weight * part_of_all / (part_of_all + part_of_area)
    }
}

/// Two directions at right angles to `u` and to each other.
pub(crate) fn tangents([x, y, z]: [f64; 3]) -> [[f64; 3]; 2] {
    let flat = x.hypot(y);
    let east = if flat > 0.0 { [-y / flat, x / flat, 0.0] } else { [1.0, 0.0, 0.0] };
    let north = [-z * east[1], z * east[0], x * east[1] - y * east[0]];
    let length = dot(north, north).sqrt();
    [east, north.map(|value| value / length)]
}

/// 0 where one of them is all zeros.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let (mut product, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a), f64::from(b));
        product += a * b;
        aa += a * a;
        bb += b * b;
    }
    if aa > 0.0 && bb > 0.0 { product / (aa * bb).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit_vector;

    #[test]
    fn tangents_are_orthonormal() {
        for u in [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], unit_vector(1.0, 2.0), unit_vector(3.0, 5.0)] {
            let [east, north] = tangents(u);
            for (a, b, expected) in
                [(u, east, 0.0), (u, north, 0.0), (east, north, 0.0), (east, east, 1.0), (north, north, 1.0)]
            {
                assert!((dot(a, b) - expected).abs() < 1e-12);
            }
        }
    }

    /// A patch among strangers, one step from a group of its like.
    #[test]
    fn a_patch_moves_to_its_like() {
        let mut points = vec![unit_vector(1.5, 1.0)];
        let mut values = vec![1.0f32, 0.0];
        for k in 0..20 {
            let offset = 0.01 * f64::from(k % 5);
            points.push(unit_vector(1.5 + offset, 1.0 + 0.01 * f64::from(k / 5) - 0.03));
            values.extend([0.0, 1.0]);
            points.push(unit_vector(1.5 + offset, 1.15 + 0.01 * f64::from(k / 5)));
            values.extend([1.0, 0.1]);
        }
        let surroundings = Surroundings::new(Rows::new(&values, 2), &points, Lateral::default());
        let place = surroundings.better_place(0).unwrap();
        assert!((dot(place, points[0]) - 0.15f64.cos()).abs() < 1e-12);
        assert!(dot(place, unit_vector(1.52, 1.17)) > dot(points[0], unit_vector(1.52, 1.17)));
        // Its like have no reason to move.
        assert_eq!(surroundings.better_place(2), None);
    }
}
