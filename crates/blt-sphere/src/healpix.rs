//! HEALPix, nested: the sphere in `12 * 4^order` cells of equal area, in which cell `c` of one order is the cells
//! `4 c .. 4 c + 4` of the next.
//!
//! Source: Gorski et al., "HEALPix: a framework for high-resolution discretization and fast analysis of data distributed on the
//! sphere", 2005, section 5 and appendix.

use std::f64::consts::{FRAC_PI_2, PI};

use crate::places::{angle_between, direction};

/// The finest order of cells here: 201,326,592 of them, 0.014 degrees wide.
pub(crate) const MAX_ORDER: u8 = 12;

/// Number of cells of `order`.
pub(crate) fn n_cells(order: u8) -> u64 {
    12 << (2 * order)
}

/// The cell of `order` in which a direction lies, unit vector `[x, y, z]`.
pub(crate) fn cell_of([x, y, z]: [f64; 3], order: u8) -> u64 {
    let n_side = f64::from(1u32 << order);
    // Azimuth in quarter turns, [0, 4).
    let quarters = (y.atan2(x) / FRAC_PI_2).rem_euclid(4.0);
    let quarters = if quarters < 4.0 { quarters } else { 0.0 };
    let (face, column, row) = if z.abs() <= 2.0 / 3.0 {
        // Equatorial belt: the two families of diagonal lines between cells.
        let middle = n_side * (0.5 + quarters);
        let shift = n_side * z * 0.75;
        let (rising, falling) = ((middle - shift).floor() as i64, (middle + shift).floor() as i64);
        let n_side = n_side as i64;
        let (face_rising, face_falling) = (rising / n_side, falling / n_side);
        let face = match face_rising.cmp(&face_falling) {
            std::cmp::Ordering::Equal => (face_rising & 3) + 4,
            std::cmp::Ordering::Less => face_rising & 3,
            std::cmp::Ordering::Greater => (face_falling & 3) + 8,
        };
        (face, falling.rem_euclid(n_side), n_side - 1 - rising.rem_euclid(n_side))
    } else {
        // Polar caps: lines through the pole. `sqrt(3 (1 - |z|))` from x and y, which near the pole are exact where z is not.
        let quarter = quarters.floor().min(3.0);
        let part = quarters - quarter;
        let to_pole = n_side * ((3.0 * (x * x + y * y)) / (1.0 + z.abs())).sqrt();
        let last = n_side - 1.0;
        let rising = (part * to_pole).floor().min(last) as i64;
        let falling = ((1.0 - part) * to_pole).floor().min(last) as i64;
        let (quarter, last) = (quarter as i64, last as i64);
        if z > 0.0 { (quarter, last - falling, last - rising) } else { (quarter + 8, rising, falling) }
    };
    (face as u64) << (2 * order) | spread(column as u64) | spread(row as u64) << 1
}

/// Unit vector to the centre of `cell` of `order`.
pub(crate) fn centre(cell: u64, order: u8) -> [f64; 3] {
    let n_side = 1i64 << order;
    let face = (cell >> (2 * order)) as usize;
    let (column, row) = (gather(cell) & (n_side as u64 - 1), gather(cell >> 1) & (n_side as u64 - 1));
    const RING_OF_FACE: [i64; 12] = [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4];
    const EIGHTHS_OF_FACE: [i64; 12] = [1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7];
    let (column, row) = (column as i64, row as i64);
    // Rings are counted from the north pole, from 1.
    let ring = RING_OF_FACE[face] * n_side - column - row - 1;
    let (cells_in_quarter, z, sin_theta) = if ring < n_side {
        polar_ring(ring, n_side, 1.0)
    } else if ring > 3 * n_side {
        polar_ring(4 * n_side - ring, n_side, -1.0)
    } else {
        let z = (2 * n_side - ring) as f64 * 2.0 / (3.0 * n_side as f64);
        (n_side, z, (1.0 - z * z).sqrt())
    };
    let eighths = (EIGHTHS_OF_FACE[face] * cells_in_quarter + column - row).rem_euclid(8 * cells_in_quarter);
    let phi = PI / 4.0 * eighths as f64 / cells_in_quarter as f64;
    [sin_theta * phi.cos(), sin_theta * phi.sin(), z]
}

/// Cells in a quarter of the `ring`-th ring from a pole, its z and the sine of its polar angle.
fn polar_ring(ring: i64, n_side: i64, sign: f64) -> (i64, f64, f64) {
    let below_one = (ring * ring) as f64 / (3.0 * (n_side * n_side) as f64);
    (ring, sign * (1.0 - below_one), (below_one * (2.0 - below_one)).sqrt())
}

/// No point of a cell of `order` is farther from the cell's centre: the distance between the centre and the top corner of a cell
/// that touches both the equatorial belt and a polar cap, with something for rounding.
pub(crate) fn cell_radius(order: u8) -> f64 {
    let n_side = f64::from(1u32 << order);
    let corner_z = 1.0 - (1.0 - 1.0 / n_side).powi(2) / 3.0;
    let corner = [(1.0 - corner_z * corner_z).sqrt(), 0.0, corner_z];
    angle_between(direction((2.0f64 / 3.0).acos(), PI / (4.0 * n_side)), corner) * (1.0 + 1e-9) + 1e-12
}

/// The low 16 bits of `x`, one into every second.
fn spread(x: u64) -> u64 {
    let x = (x | x << 8) & 0x00FF_00FF;
    let x = (x | x << 4) & 0x0F0F_0F0F;
    let x = (x | x << 2) & 0x3333_3333;
    (x | x << 1) & 0x5555_5555
}

/// Every second of the low 32 bits of `x`: the inverse of [`spread`].
fn gather(x: u64) -> u64 {
    let x = x & 0x5555_5555;
    let x = (x | x >> 1) & 0x3333_3333;
    let x = (x | x >> 2) & 0x0F0F_0F0F;
    let x = (x | x >> 4) & 0x00FF_00FF;
    (x | x >> 8) & 0xFFFF
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn anywhere(id: u64) -> [f64; 3] {
        direction((1.0 - 2.0 * random::uniform(7, id, 0)).acos(), 2.0 * PI * random::uniform(7, id, 1))
    }

    #[test]
    fn centres_lie_in_their_cells() {
        for order in 0..=4 {
            for cell in 0..n_cells(order) {
                assert_eq!(cell_of(centre(cell, order), order), cell, "order {order}");
            }
        }
        for order in 5..=MAX_ORDER {
            for id in 0..2000 {
                let cell = random::bits(1, id, 0) % n_cells(order);
                assert_eq!(cell_of(centre(cell, order), order), cell, "order {order}");
            }
        }
    }

    #[test]
    fn cells_of_one_order_tile_those_of_the_order_before() {
        for id in 0..20_000 {
            let u = anywhere(id);
            let finest = cell_of(u, MAX_ORDER);
            for order in 0..MAX_ORDER {
                assert_eq!(cell_of(u, order), finest >> (2 * (MAX_ORDER - order)), "order {order}");
            }
        }
    }

    /// Known cells: the numbers of the twelve base cells, and corners of order 1 (healpy's `vec2pix(2, .., nest=True)`).
    #[test]
    fn known_directions_are_in_known_cells() {
        for quarter in 0..4u32 {
            let phi = FRAC_PI_2 * f64::from(quarter);
            assert_eq!(cell_of(direction(0.2, phi + 0.7), 0), u64::from(quarter));
            assert_eq!(cell_of(direction(FRAC_PI_2, phi), 0), u64::from(quarter) + 4);
            assert_eq!(cell_of(direction(PI - 0.2, phi + 0.7), 0), u64::from(quarter) + 8);
        }
        assert_eq!(cell_of([0.0, 0.0, 1.0], 1), 3);
        assert_eq!(cell_of([0.0, 0.0, -1.0], 1), 32);
    }

    /// Sums over 1000 points on a spiral of `(i + 1) * ang2pix(2^order, theta_i, phi_i, nest=True)`, by healpy 1.20.1.
    #[test]
    fn cells_are_those_of_healpy() {
        const SUMS: [u64; 13] = [
            3_610_534,
            15_085_637,
            61_047_170,
            244_911_084,
            980_372_207,
            3_922_225_769,
            15_689_658_414,
            62_759_385_679,
            251_038_306_027,
            1_004_153_973_766,
            4_016_616_642_906,
            16_066_467_316_660,
            64_265_870_008_764,
        ];
        for (order, expected) in (0..).zip(SUMS) {
            let cell = |i: u32| {
                let theta = (1.0 - f64::from(2 * i + 1) / 1000.0).acos();
                let phi = (f64::from(i) * 2.399_963_229_728_653).rem_euclid(2.0 * PI);
                u64::from(i + 1) * cell_of(direction(theta, phi), order)
            };
            assert_eq!((0..1000).map(cell).sum::<u64>(), expected, "order {order}");
        }
    }

    #[test]
    fn cells_have_the_same_area() {
        let mut counts = [0u32; 48];
        (0..48_000).for_each(|id| counts[cell_of(anywhere(id), 1) as usize] += 1);
        let chi_squared: f64 = counts.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi_squared < 47.0 + 5.0 * (2.0f64 * 47.0).sqrt(), "{chi_squared}");
    }

    #[test]
    fn no_point_of_a_cell_is_farther_than_its_radius() {
        for order in 0..=MAX_ORDER {
            let largest = (0..20_000)
                .map(|id| {
                    let u = anywhere(id);
                    angle_between(u, centre(cell_of(u, order), order))
                })
                .fold(0.0, f64::max);
            assert!(largest <= cell_radius(order), "order {order}");
            assert!(order > 3 || largest > 0.9 * cell_radius(order), "a loose radius at order {order}");
        }
    }

    #[test]
    fn poles_seam_and_corners_are_somewhere() {
        let mut hard =
            vec![[0.0, 0.0, 1.0], [0.0, 0.0, -1.0], [1.0, -0.0, 0.0], [1.0, -1e-300, 0.0], [1e-200, 0.0, 1.0]];
        for eighth in 0..8 {
            let phi = PI / 4.0 * f64::from(eighth);
            hard.extend([2.0f64 / 3.0, -2.0 / 3.0, 0.0].map(|z| direction(z.acos(), phi)));
        }
        for u in hard {
            for order in 0..=MAX_ORDER {
                let cell = cell_of(u, order);
                assert!(cell < n_cells(order) && angle_between(u, centre(cell, order)) <= cell_radius(order), "{u:?}");
            }
        }
    }
}
