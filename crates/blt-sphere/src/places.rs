//! Where patches lie.

use std::f64::consts::PI;

use crate::unit_vector;

/// Where patches lie and how prominent they are: slices with one value a patch.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    pub(crate) theta: &'a [f64],
    pub(crate) phi: &'a [f64],
    pub(crate) radii: &'a [f64],
    pub(crate) prominence: &'a [f32],
    pub(crate) zones: &'a [u8],
    pub(crate) shells: &'a [i32],
}

impl<'a> Places<'a> {
    /// Polar angles in [0, pi], azimuths in radians, radii, prominences, zones in 0..4 and shells, one value a patch in each.
    ///
    /// # Panics
    ///
    /// Panics when lengths differ or a zone is above 3 or a shell below 0.
    pub fn new(
        theta: &'a [f64],
        phi: &'a [f64],
        radii: &'a [f64],
        prominence: &'a [f32],
        zones: &'a [u8],
        shells: &'a [i32],
    ) -> Self {
        let n = theta.len();
        assert!(
            [phi.len(), radii.len(), prominence.len(), zones.len(), shells.len()] == [n; 5],
            "every slice has one value a patch"
        );
        assert!(zones.iter().all(|&zone| zone < 4), "zones are 0 to 3");
        assert!(shells.iter().all(|&shell| shell >= 0), "shells are counted from 0");
        Self { theta, phi, radii, prominence, zones, shells }
    }

    /// Number of patches.
    pub fn len(&self) -> usize {
        self.theta.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.theta.is_empty()
    }

    /// Unit vector of patch `i`; `None` when an angle is not finite.
    pub(crate) fn direction(&self, i: usize) -> Option<[f64; 3]> {
        (self.theta[i].is_finite() && self.phi[i].is_finite()).then(|| direction(self.theta[i], self.phi[i]))
    }
}

/// [`unit_vector`], but exactly the south pole at `theta` pi, whatever `phi` is: what is there is all in one place.
pub(crate) fn direction(theta: f64, phi: f64) -> [f64; 3] {
    if theta == PI { [0.0, 0.0, -1.0] } else { unit_vector(theta, phi) }
}

/// Angle between unit vectors, exact near 0 and near pi (Kahan's formula).
pub(crate) fn angle_between(a: [f64; 3], b: [f64; 3]) -> f64 {
    let squared_sum = (a[0] + b[0]).powi(2) + (a[1] + b[1]).powi(2) + (a[2] + b[2]).powi(2);
    2.0 * squared_chord(a, b).sqrt().atan2(squared_sum.sqrt())
}

/// Squared distance of two points.
pub(crate) fn squared_chord(a: [f64; 3], b: [f64; 3]) -> f64 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_poles_are_one_place_each() {
        for phi in [0.0, 1.0, 5.0] {
            assert_eq!([0.0, PI].map(|theta| direction(theta, phi)), [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]);
        }
    }

    #[test]
    fn angles_between_near_vectors_are_exact() {
        for angle in [0.0, 1e-12, 1e-8, 1e-3, 1.0, 3.0] {
            assert!((angle_between(direction(1.0, 0.5), direction(1.0 + angle, 0.5)) - angle).abs() < 1e-15);
        }
        assert!((angle_between([0.0, 0.0, 1.0], direction(PI, 1.0)) - PI).abs() < 1e-12);
    }
}
