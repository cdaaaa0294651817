//! The sphere on paper: the ball as seen from a little north of its equator, and a map of all directions.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use blt_sphere::unit_vector;

use crate::colours::{Rgb, Theme, mixed};
use crate::drawing::{Anchor, Drawing, Ink};
use crate::picture::Picture;
use crate::scale::zone_name;

/// How far the ball is turned and tipped, in radians.
const TURN: f64 = -0.6;
const TIP: f64 = 0.35;
const PAPER: Rgb = [255, 255, 255];

/// The ball in a square of `side`: near patches above far ones, which are paler.
pub(crate) fn ball(picture: &Picture<'_>, side: f64) -> Drawing {
    let mut drawing = Drawing::new(side, side);
    let (middle, reach) = (side / 2.0, 0.43 * side);
    let place = |point: [f64; 3]| {
        let [right, up, near] = seen(point);
        ((middle + reach * right, middle - reach * up), near)
    };
    for theta in circles(picture) {
        let ring = (0..=96).map(|k| place(unit_vector(theta, TAU * f64::from(k) / 96.0)).0);
        drawing.line(ring.collect(), 1.0, Ink::Faint);
    }
    drawing.line(ellipse((middle, middle), reach, reach), 1.0, Ink::Faint);
    for (z, name) in poles(picture) {
        let (x, y) = place([0.0, 0.0, 1.09 * z]).0;
        drawing.text((x, y + 4.0), 12.0, Ink::Muted, Anchor::Middle, name);
    }
    let placed = picture.placed;
    let rim = picture.rim().max(f64::MIN_POSITIVE);
    let mut dots: Vec<((f64, f64), f64, Rgb)> = picture
        .chosen
        .iter()
        .map(|&i| {
            let i = i as usize;
            let point = unit_vector(placed.theta[i], placed.phi[i]).map(|x| x * placed.radii[i] / rim);
            let (place, near) = place(point);
            (place, near, mixed(PAPER, picture.colour(i, Theme::Light), 0.3 + 0.35 * (near + 1.0)))
        })
        .collect();
    // Ties keep the order of the sphere.
    dots.sort_by(|a, b| a.1.total_cmp(&b.1));
    let radius = dot_radius(dots.len());
    for (place, _, colour) in dots {
        drawing.dot(place, radius, Ink::Colour(colour), String::new());
    }
    drawing
}

/// All directions on an ellipse of `width`, twice as wide as high, on which equal areas are equally large.
///
/// Source: the projection of Hammer, 1892.
pub(crate) fn map(picture: &Picture<'_>, width: f64) -> Drawing {
    let height = width / 2.0;
    let mut drawing = Drawing::new(width, height);
    let place = |theta: f64, phi: f64| {
        let (latitude, longitude) = (FRAC_PI_2 - theta, (phi + PI).rem_euclid(TAU) - PI);
        let (x, y) = hammer(latitude, longitude);
        ((1.0 + x) * width / 2.0, (1.0 - y) * height / 2.0)
    };
    drawing.line(ellipse((width / 2.0, height / 2.0), width / 2.0, height / 2.0), 1.0, Ink::Faint);
    for theta in circles(picture) {
        let parallel = (0..=96).map(|k| place(theta, PI + (TAU * f64::from(k) / 96.0).min(TAU.next_down())));
        drawing.line(parallel.collect(), 1.0, Ink::Faint);
    }
    let placed = picture.placed;
    let radius = dot_radius(picture.chosen.len());
    for &i in &picture.chosen {
        let i = i as usize;
        let colour = Ink::Colour(picture.colour(i, Theme::Light));
        drawing.dot(place(placed.theta[i], placed.phi[i]), radius, colour, String::new());
    }
    drawing
}

fn ellipse((x, y): (f64, f64), half_width: f64, half_height: f64) -> Vec<(f64, f64)> {
    let point = |k: i32| {
        let (sin, cos) = (TAU * f64::from(k) / 128.0).sin_cos();
        (x + half_width * cos, y + half_height * sin)
    };
    (0..=128).map(point).collect()
}

/// Right, up and towards the eye, of a point of the ball.
fn seen([x, y, z]: [f64; 3]) -> [f64; 3] {
    let ((sin_turn, cos_turn), (sin_tip, cos_tip)) = (TURN.sin_cos(), TIP.sin_cos());
    let right = x * cos_turn - y * sin_turn;
    let away = x * sin_turn + y * cos_turn;
    [right, z * cos_tip + away * sin_tip, z * sin_tip - away * cos_tip]
}

/// From -1 to 1 in both directions.
fn hammer(latitude: f64, longitude: f64) -> (f64, f64) {
    let depth = (1.0 + latitude.cos() * (longitude / 2.0).cos()).sqrt();
    (latitude.cos() * (longitude / 2.0).sin() / depth, latitude.sin() / depth)
}

/// The equator, and where zones end.
fn circles(picture: &Picture<'_>) -> Vec<f64> {
    let angle = picture.zone_angle().map(f64::to_radians);
    [Some(FRAC_PI_2), angle, angle.map(|angle| PI - angle)].into_iter().flatten().collect()
}

fn poles(picture: &Picture<'_>) -> [(f64, String); 2] {
    let zone = |name: &str, zone: u8| match picture.zone_angle() {
        Some(_) => format!("{name} · {}", zone_name(zone)),
        None => name.to_owned(),
    };
    [(1.0, zone("north", 0)), (-1.0, zone("south", 2))]
}

/// The more dots, the smaller.
pub(crate) fn dot_radius(n: usize) -> f64 {
    (120.0 / ((n + 1) as f64).sqrt()).clamp(0.8, 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ball_is_seen_from_the_north_and_not_in_a_mirror() {
        let [north, east, front] =
            [[0.0, 0.0, 1.0], unit_vector(FRAC_PI_2, FRAC_PI_2), unit_vector(FRAC_PI_2, 0.0)].map(seen);
        assert!(north[0].abs() < 1e-15 && north[1] > 0.9 && north[2] > 0.3);
        // Right times up is towards the eye, as x times y is z.
        let cross = |a: [f64; 3], b: [f64; 3]| {
            a[0] * (b[1] * north[2] - b[2] * north[1]) - a[1] * (b[0] * north[2] - b[2] * north[0])
                + a[2] * (b[0] * north[1] - b[1] * north[0])
        };
        assert!((cross(front, east) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_map_keeps_areas() {
        // The part of the ellipse north of a latitude is that of the sphere: (1 - sin latitude) / 2.
        let (steps, latitude) = (2000, 0.7f64);
        let mut area = 0.0;
        let mut last = hammer(latitude, -PI);
        for k in 1..=steps {
            let next = hammer(latitude, -PI + TAU * f64::from(k) / f64::from(steps));
            area += last.0 * next.1 - next.0 * last.1;
            last = next;
        }
        for k in 1..=steps {
            let next = hammer(latitude + (FRAC_PI_2 - latitude) * f64::from(k) / f64::from(steps), PI);
            area += last.0 * next.1 - next.0 * last.1;
            last = next;
        }
        for k in 1..=steps {
            let next = hammer(FRAC_PI_2 - (FRAC_PI_2 - latitude) * f64::from(k) / f64::from(steps), -PI);
            area += last.0 * next.1 - next.0 * last.1;
            last = next;
        }
        assert!((area / 2.0 / PI - (1.0 - latitude.sin()) / 2.0).abs() < 1e-4, "{area}");
    }
}
