//! What is known of spherical harmonics holds of ours.

use std::f64::consts::{PI, TAU};

use blt_sphere::{Harmonics, HarmonicsError, MAX_BAND_LIMIT, PeakOptions};

use crate::points::{Owned, normal, on_any_number_of_threads, uniform};

fn at(theta: f64, phi: f64, band_limit: usize) -> Harmonics {
    Harmonics::analyze(&[theta], &[phi], &[1.0], band_limit).expect("finite numbers")
}

fn weights(seed: u64, n: usize) -> Vec<f64> {
    (0..n as u64).map(|i| 1.0 + uniform(seed, i)).collect()
}

/// `sum_m Y_lm^2 = (2 l + 1) / (4 pi)` everywhere, to a high degree: the normalisation neither under- nor overflows.
#[test]
fn the_addition_theorem_holds_everywhere() {
    for (theta, phi) in [(0.0, 0.0), (PI, 1.0), (1e-9, 2.0), (1e-3, 5.0), (0.7, 3.0), (PI / 2.0, TAU), (PI - 1e-6, 4.0)]
    {
        for (l, power) in at(theta, phi, 256).spectrum().power.iter().enumerate() {
            assert!((power * 4.0 * PI - 1.0).abs() < 1e-10, "l {l} at {theta}: {power}");
        }
    }
}

/// Sums are those of chunks of 4096 points, one after the other, to the last bit.
#[test]
fn many_points_are_added_chunk_by_chunk() {
    let n = 17 * 4096 + 5;
    let theta: Vec<f64> = (0..n as u64).map(|i| PI * uniform(1, i)).collect();
    let phi: Vec<f64> = (0..n as u64).map(|i| TAU * uniform(2, i)).collect();
    let weights = weights(3, n);
    let mut expected = vec![0.0; 9];
    for ((theta, phi), weights) in theta.chunks(4096).zip(phi.chunks(4096)).zip(weights.chunks(4096)) {
        let chunk = Harmonics::analyze(theta, phi, weights, 2).unwrap();
        expected.iter_mut().zip(chunk.coefficients()).for_each(|(sum, a)| *sum += a);
    }
    assert_eq!(Harmonics::analyze(&theta, &phi, &weights, 2).unwrap().coefficients(), expected);
}

#[test]
fn the_highest_degree_is_still_exact() {
    for theta in [0.0, 0.01, 0.4, PI / 2.0] {
        let power = at(theta, 1.0, MAX_BAND_LIMIT).spectrum().power;
        assert!((power[MAX_BAND_LIMIT] * 4.0 * PI - 1.0).abs() < 1e-8, "{theta}");
    }
}

#[test]
fn low_degrees_are_the_known_polynomials() {
    for i in 0..50 {
        let (theta, phi) = (PI * uniform(1, i), TAU * uniform(2, i));
        let (x, y, z) = (theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos());
        let known = [
            (0, 0, 0.5 / PI.sqrt()),
            (1, 0, (3.0 / (4.0 * PI)).sqrt() * z),
            (1, 1, (3.0 / (4.0 * PI)).sqrt() * x),
            (1, -1, (3.0 / (4.0 * PI)).sqrt() * y),
            (2, 0, (5.0 / (16.0 * PI)).sqrt() * (3.0 * z * z - 1.0)),
            (2, 1, (15.0 / (4.0 * PI)).sqrt() * x * z),
            (2, -2, (15.0 / (4.0 * PI)).sqrt() * x * y),
            (2, 2, (15.0 / (16.0 * PI)).sqrt() * (x * x - y * y)),
            (3, -3, (35.0 / (32.0 * PI)).sqrt() * y * (3.0 * x * x - y * y)),
        ];
        let harmonics = at(theta, phi, 3);
        for (l, m, expected) in known {
            assert!((harmonics.coefficient(l, m) - expected).abs() < 1e-14, "({l}, {m})");
        }
    }
}

/// Nodes in (-1, 1) and weights with which `n` points integrate polynomials up to degree `2 n - 1` exactly, by Newton's method.
fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    let node = |i: usize| {
        let mut x = (PI * (i as f64 + 0.75) / (n as f64 + 0.5)).cos();
        let mut slope = 0.0;
        for _ in 0..20 {
            let (mut before, mut now) = (1.0, x);
            for k in 2..=n {
                (before, now) = (now, ((2 * k - 1) as f64 * x * now - (k - 1) as f64 * before) / k as f64);
            }
            slope = n as f64 * (x * now - before) / (x * x - 1.0);
            x -= now / slope;
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..n).map(node).collect()
}

/// Points and weights that integrate products of two harmonics up to `band_limit` exactly.
fn quadrature(band_limit: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let n_phi = 2 * band_limit + 1;
    let mut points = (vec![], vec![], vec![]);
    for (z, weight) in gauss_legendre(band_limit + 1) {
        for k in 0..n_phi {
            points.0.push(z.acos());
            points.1.push(TAU * k as f64 / n_phi as f64);
            points.2.push(weight * TAU / n_phi as f64);
        }
    }
    points
}

#[test]
fn the_harmonics_are_orthonormal() {
    let band_limit = 12usize;
    let (theta, phi, weights) = quadrature(band_limit);
    for place in 0..(band_limit + 1).pow(2) {
        let mut one = vec![0.0; (band_limit + 1).pow(2)];
        one[place] = 1.0;
        let harmonic = Harmonics::from_coefficients(one.clone()).unwrap();
        let values: Vec<f64> = (0..theta.len()).map(|i| weights[i] * harmonic.value(theta[i], phi[i])).collect();
        let back = Harmonics::analyze(&theta, &phi, &values, band_limit).unwrap();
        back.coefficients().iter().zip(&one).for_each(|(found, expected)| assert!((found - expected).abs() < 1e-10));
    }
}

#[test]
fn a_band_limited_function_comes_back() {
    let band_limit = 20usize;
    let coefficients: Vec<f64> = (0..(band_limit + 1).pow(2) as u64).map(|i| normal(3, i)).collect();
    let function = Harmonics::from_coefficients(coefficients.clone()).unwrap();
    let (theta, phi, weights) = quadrature(band_limit);
    let values: Vec<f64> = (0..theta.len()).map(|i| weights[i] * function.value(theta[i], phi[i])).collect();
    let back = Harmonics::analyze(&theta, &phi, &values, band_limit).unwrap();
    back.coefficients()
        .iter()
        .zip(&coefficients)
        .for_each(|(found, expected)| assert!((found - expected).abs() < 1e-10));
}

#[test]
fn rings_are_the_values_at_their_points() {
    let coefficients: Vec<f64> = (0..17u64 * 17).map(|i| normal(4, i)).collect();
    let function = Harmonics::from_coefficients(coefficients).unwrap();
    for (n_theta, n_phi) in [(32, 64), (7, 5), (1, 1)] {
        let grid = function.grid(n_theta, n_phi);
        assert_eq!((grid.shape(), grid.values().len()), ((n_theta, n_phi), n_theta * n_phi));
        for (i, value) in grid.values().iter().enumerate() {
            let (theta, phi) = grid.place(i);
            assert!((value - function.value(theta, phi)).abs() < 1e-11);
        }
    }
}

#[test]
fn one_point_has_the_same_power_at_every_degree() {
    let weight = 2.5;
    let spectrum = Harmonics::analyze(&[0.3], &[4.0], &[weight], 32).unwrap().spectrum();
    assert!((spectrum.shot_noise - weight * weight / (4.0 * PI)).abs() < 1e-14);
    spectrum.power.iter().for_each(|power| assert!((power - spectrum.shot_noise).abs() < 1e-12));
    spectrum.signal().iter().for_each(|signal| assert!(signal.abs() < 1e-12));
    spectrum
        .cumulative
        .iter()
        .enumerate()
        .for_each(|(l, part)| assert!((part - ((l + 1) * (l + 1)) as f64 / 1089.0).abs() < 1e-12));
}

#[test]
fn power_does_not_change_with_a_rotation() {
    let owned = Owned::uniform(5, 300);
    let weights = weights(6, 300);
    // Rodrigues: by 1 radian around (2, 3, 6) / 7.
    let axis = [2.0 / 7.0, 3.0 / 7.0, 6.0 / 7.0];
    let rotate = |u: [f64; 3]| {
        let along = axis[0] * u[0] + axis[1] * u[1] + axis[2] * u[2];
        let across = |i: usize, j: usize| axis[i] * u[j] - axis[j] * u[i];
        let cross = [across(1, 2), across(2, 0), across(0, 1)];
        [0, 1, 2].map(|i| u[i] * 1f64.cos() + cross[i] * 1f64.sin() + axis[i] * along * (1.0 - 1f64.cos()))
    };
    let (mut theta, mut phi) = (vec![], vec![]);
    for (&t, &p) in owned.theta.iter().zip(&owned.phi) {
        let [x, y, z] = rotate([t.sin() * p.cos(), t.sin() * p.sin(), t.cos()]);
        theta.push(x.hypot(y).atan2(z));
        phi.push(y.atan2(x));
    }
    let before = Harmonics::analyze(&owned.theta, &owned.phi, &weights, 64).unwrap();
    let after = Harmonics::analyze(&theta, &phi, &weights, 64).unwrap();
    for (a, b) in before.spectrum().power.iter().zip(after.spectrum().power) {
        assert!((a - b).abs() < 1e-9 * a);
    }
    let (turned, dipole) = (rotate(before.dipole()), after.dipole());
    (0..3).for_each(|i| assert!((turned[i] - dipole[i]).abs() < 1e-9));
}

#[test]
fn opposite_pairs_have_no_odd_degrees() {
    let owned = Owned::uniform(7, 50);
    let theta: Vec<f64> = owned.theta.iter().flat_map(|&t| [t, PI - t]).collect();
    let phi: Vec<f64> = owned.phi.iter().flat_map(|&p| [p, p + PI]).collect();
    let spectrum = Harmonics::analyze(&theta, &phi, &vec![1.0; 100], 40).unwrap().spectrum();
    for (l, power) in spectrum.power.iter().enumerate().skip(1) {
        assert!(if l % 2 == 1 { *power < 1e-20 } else { *power > 1e-3 }, "l {l}: {power}");
    }
}

#[test]
fn uniform_points_have_the_power_of_noise() {
    let n = 20_000;
    let owned = Owned::uniform(8, n);
    let spectrum = Harmonics::analyze(&owned.theta, &owned.phi, &weights(9, n), 32).unwrap().spectrum();
    for (l, power) in spectrum.power.iter().enumerate().skip(1) {
        let sigma = (2.0 / (2 * l + 1) as f64).sqrt();
        assert!((power / spectrum.shot_noise - 1.0).abs() < 5.0 * sigma, "l {l}");
    }
}

#[test]
fn weights_scale_power_by_their_square() {
    let owned = Owned::uniform(10, 100);
    let once = Harmonics::analyze(&owned.theta, &owned.phi, &weights(11, 100), 16).unwrap().spectrum();
    let tripled: Vec<f64> = weights(11, 100).iter().map(|w| 3.0 * w).collect();
    let tripled = Harmonics::analyze(&owned.theta, &owned.phi, &tripled, 16).unwrap().spectrum();
    once.power.iter().zip(&tripled.power).for_each(|(a, b)| assert!((9.0 * a - b).abs() < 1e-12 * b));
    assert!((9.0 * once.shot_noise - tripled.shot_noise).abs() < 1e-12 * tripled.shot_noise);
}

#[test]
fn the_dipole_is_the_weighted_sum_of_directions() {
    let owned = Owned::uniform(12, 200);
    let weights = weights(13, 200);
    let mut sum = [0.0; 3];
    for ((t, p), weight) in owned.theta.iter().zip(&owned.phi).zip(&weights) {
        let u = [t.sin() * p.cos(), t.sin() * p.sin(), t.cos()];
        (0..3).for_each(|j| sum[j] += weight * u[j]);
    }
    let dipole = Harmonics::analyze(&owned.theta, &owned.phi, &weights, 1).unwrap().dipole();
    (0..3).for_each(|j| assert!((dipole[j] - sum[j]).abs() < 1e-11));
    assert_eq!(Harmonics::analyze(&owned.theta, &owned.phi, &weights, 0).unwrap().dipole(), [0.0; 3]);
}

#[test]
fn groups_are_analyzed_alone_and_sum_to_all() {
    let owned = Owned::uniform(14, 3000);
    let weights = weights(15, 3000);
    let groups: Vec<u32> = owned.zones.iter().map(|&zone| u32::from(zone)).collect();
    let by_zone = Harmonics::analyze_groups(&owned.theta, &owned.phi, &weights, &groups, 4, 8).unwrap();
    assert_eq!(by_zone.iter().map(Harmonics::n_points).sum::<usize>(), 3000);
    assert!(by_zone[3].coefficients().iter().all(|&a| a == 0.0), "a group without points");
    let all = Harmonics::analyze(&owned.theta, &owned.phi, &weights, 8).unwrap();
    for (i, a) in all.coefficients().iter().enumerate() {
        let sum: f64 = by_zone.iter().map(|zone| zone.coefficients()[i]).sum();
        assert!((a - sum).abs() < 1e-9);
    }
    let north: Vec<usize> = (0..3000).filter(|&i| groups[i] == 0).collect();
    let pick = |values: &[f64]| north.iter().map(|&i| values[i]).collect::<Vec<_>>();
    assert_eq!(by_zone[0], Harmonics::analyze(&pick(&owned.theta), &pick(&owned.phi), &pick(&weights), 8).unwrap());
}

/// The heat kernel: smoothing twice is smoothing by the root of the sum of squares, and the mean stays.
#[test]
fn smoothing_is_heat_flow() {
    let owned = Owned::uniform(16, 100);
    let points = Harmonics::analyze(&owned.theta, &owned.phi, &weights(17, 100), 16).unwrap();
    let (twice, once) = (points.smoothed(0.3).smoothed(0.4), points.smoothed(0.5));
    twice.coefficients().iter().zip(once.coefficients()).for_each(|(a, b)| assert!((a - b).abs() < 1e-12));
    assert_eq!(once.coefficient(0, 0), points.coefficient(0, 0));
    assert_eq!(points.smoothed(0.0).coefficients(), points.coefficients());
}

#[test]
fn peaks_are_where_the_points_are() {
    // A heap at the north pole, one on the seam, one elsewhere, of falling weight.
    let heaps = [(0.02, 1.0, 5.0), (PI / 2.0, 0.0, 4.0), (2.0, 3.0, 3.0)];
    let theta: Vec<f64> = heaps.iter().map(|heap| heap.0).collect();
    let phi: Vec<f64> = heaps.iter().map(|heap| heap.1).collect();
    let weights: Vec<f64> = heaps.iter().map(|heap| heap.2).collect();
    let field = Harmonics::analyze(&theta, &phi, &weights, 32).unwrap().smoothed(0.15);
    let grid = field.grid(64, 128);
    let peaks = grid.peaks(&PeakOptions::default());
    assert_eq!(peaks.len(), 3);
    for (peak, (theta, phi, _)) in peaks.iter().zip(heaps) {
        let (cone, step) = (peak.cone, PI / 64.0);
        let turn = (cone.phi - phi).rem_euclid(TAU).min((phi - cone.phi).rem_euclid(TAU)) * theta.sin();
        assert!((cone.theta - theta).abs() < step && turn < step, "{cone:?}");
        assert!(peak.height > 0.0 && cone.half_angle == PI / 4.0);
    }
    assert_eq!(grid.peaks(&PeakOptions { most: 2, ..PeakOptions::default() }).len(), 2);
    assert_eq!(grid.peaks(&PeakOptions { threshold: 0.99, ..PeakOptions::default() }).len(), 1);
    assert_eq!(grid.peaks(&PeakOptions { separation: PI, ..PeakOptions::default() }).len(), 1);
    let flat = Harmonics::from_coefficients(vec![1.0]).unwrap().grid(8, 16);
    assert_eq!(flat.peaks(&PeakOptions::default()).len(), 1, "of equals side by side the first");
}

#[test]
fn coefficients_are_the_same_on_any_number_of_threads() {
    let owned = Owned::uniform(18, 10_000);
    let weights = weights(19, 10_000);
    let all = on_any_number_of_threads(|| Harmonics::analyze(&owned.theta, &owned.phi, &weights, 12).unwrap());
    on_any_number_of_threads(|| all.grid(24, 48));
}

#[test]
fn what_has_no_coefficients_is_said() {
    let analyze = Harmonics::analyze;
    assert_eq!(analyze(&[1.0], &[1.0], &[f64::NAN], 3), Err(HarmonicsError::NotFinite { point: 0 }));
    assert_eq!(analyze(&[1.0, f64::INFINITY], &[1.0; 2], &[1.0; 2], 3), Err(HarmonicsError::NotFinite { point: 1 }));
    assert_eq!(analyze(&[1.0], &[], &[1.0], 3), Err(HarmonicsError::Lengths { theta: 1, phi: 0, weights: 1 }));
    assert_eq!(analyze(&[], &[], &[], 2001), Err(HarmonicsError::BandLimit { found: 2001 }));
    for coefficients in [vec![], vec![1.0; 3], vec![f64::NAN]] {
        assert!(matches!(Harmonics::from_coefficients(coefficients), Err(HarmonicsError::Coefficients { .. })));
    }
    let none = analyze(&[], &[], &[], 4).unwrap();
    assert_eq!(none.spectrum().cumulative, [0.0; 5]);
    assert!(none.grid(8, 16).peaks(&PeakOptions::default()).is_empty());
}
