//! Points of the unit sphere, as angles and as vectors.
//!
//! Physics' convention: `theta` in [0, pi] from the north pole (+z), `phi` in [0, 2 pi) from +x towards +y.

use std::f64::consts::TAU;

/// `(theta, phi)` of a vector of any length but 0. Exact at the poles, where `acos(z)` loses half the digits.
pub fn angles_of([x, y, z]: [f64; 3]) -> (f64, f64) {
    (x.hypot(y).atan2(z), wrap(y.atan2(x)))
}

/// The unit vector at `(theta, phi)`.
pub fn unit_vector(theta: f64, phi: f64) -> [f64; 3] {
    let (sin_theta, cos_theta) = theta.sin_cos();
    let (sin_phi, cos_phi) = phi.sin_cos();
    [sin_theta * cos_phi, sin_theta * sin_phi, cos_theta]
}

/// The angle of the circle above which the part `q`, in [0, 1], of the sphere's area lies: `acos(1 - 2 q)`, exact at both poles.
pub(crate) fn theta_below(q: f64) -> f64 {
    2.0 * q.sqrt().atan2((1.0 - q).sqrt())
}

/// An angle brought into [0, 2 pi). A tiny negative angle becomes 0, since 2 pi minus it rounds to 2 pi.
pub(crate) fn wrap(phi: f64) -> f64 {
    let wrapped = phi.rem_euclid(TAU);
    if wrapped < TAU { wrapped } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn poles_and_seam() {
        assert_eq!(angles_of([0.0, 0.0, 2.0]), (0.0, 0.0));
        assert_eq!(angles_of([0.0, 0.0, -2.0]).0, PI);
        let (theta, phi) = angles_of([1.0, -1e-30, 0.0]);
        assert_eq!((theta, phi), (PI / 2.0, 0.0));
        let near_pole = angles_of([1e-12, 0.0, 1.0]).0;
        assert!((near_pole - 1e-12).abs() < 1e-27);
    }

    #[test]
    fn circles_have_their_area_above() {
        for q in [0.0, 0.1, 0.5, 0.9, 1.0] {
            assert!((theta_below(q).cos() - (1.0 - 2.0 * q)).abs() < 1e-15);
        }
        assert!((theta_below(1e-20) - 2e-10).abs() < 1e-24);
    }

    proptest! {
        #[test]
        fn angles_come_back(theta in 1e-6..PI - 1e-6, phi in 0.0..TAU) {
            let (theta_back, phi_back) = angles_of(unit_vector(theta, phi));
            prop_assert!((theta - theta_back).abs() < 1e-14);
            prop_assert!((phi - phi_back).abs().min(TAU - (phi - phi_back).abs()) < 1e-9);
        }
    }
}
