//! Colours that people see apart, whatever their eyes and however bright the page.

/// Red, green, blue.
pub(crate) type Rgb = [u8; 3];

/// Of what belongs to no category, or has no value.
pub(crate) const OTHER: Rgb = [0x9A, 0x9A, 0x9A];

/// Whether colours stand on a white or a black page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Theme {
    /// Colours of categories, those of zones first.
    ///
    /// Source: Okabe and Ito, "Color universal design", 2008; ordered by their contrast to the page.
    pub(crate) fn categories(self) -> [Rgb; N_CATEGORIES] {
        match self {
            Self::Light => [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY],
            Self::Dark => [SKY, ORANGE, GREEN, PURPLE, YELLOW, VERMILLION],
        }
    }

    /// The colour of `t` in [0, 1]: what has more stands out more from the page.
    pub(crate) fn ramp(self, t: f64) -> Rgb {
        let t = t.clamp(0.0, 1.0);
        match self {
            Self::Light => viridis(0.88 * (1.0 - t)),
            Self::Dark => viridis(0.12 + 0.88 * t),
        }
    }

    /// The ramp in `n` steps.
    pub(crate) fn ramp_steps(self, n: usize) -> Vec<Rgb> {
        (0..n).map(|i| self.ramp(i as f64 / (n - 1) as f64)).collect()
    }
}

/// Number of categories that have a colour of their own.
pub(crate) const N_CATEGORIES: usize = 6;

const BLUE: Rgb = [0x00, 0x72, 0xB2];
const VERMILLION: Rgb = [0xD5, 0x5E, 0x00];
const GREEN: Rgb = [0x00, 0x9E, 0x73];
const PURPLE: Rgb = [0xCC, 0x79, 0xA7];
const ORANGE: Rgb = [0xE6, 0x9F, 0x00];
const SKY: Rgb = [0x56, 0xB4, 0xE9];
const YELLOW: Rgb = [0xF0, 0xE4, 0x42];

/// Eleven even steps of viridis, whose lightness rises evenly.
///
/// Source: Smith and van der Walt, the default colour map of Matplotlib 2, in the public domain.
const VIRIDIS: [Rgb; 11] = [
    [0x44, 0x01, 0x54],
    [0x48, 0x24, 0x75],
    [0x41, 0x44, 0x87],
    [0x35, 0x5F, 0x8D],
    [0x2A, 0x78, 0x8E],
    [0x21, 0x91, 0x8C],
    [0x22, 0xA8, 0x84],
    [0x44, 0xBF, 0x70],
    [0x7A, 0xD1, 0x51],
    [0xBD, 0xDF, 0x26],
    [0xFD, 0xE7, 0x25],
];

fn viridis(t: f64) -> Rgb {
    let place = t * (VIRIDIS.len() - 1) as f64;
    let below = (place as usize).min(VIRIDIS.len() - 2);
    mixed(VIRIDIS[below], VIRIDIS[below + 1], place - below as f64)
}

/// The part `t` of `to` in `from`.
pub(crate) fn mixed(from: Rgb, to: Rgb, t: f64) -> Rgb {
    [0, 1, 2].map(|i| (f64::from(from[i]) + (f64::from(to[i]) - f64::from(from[i])) * t).round() as u8)
}

/// `#rrggbb`.
pub(crate) fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lightness([r, g, b]: Rgb) -> f64 {
        0.2126 * f64::from(r) + 0.7152 * f64::from(g) + 0.0722 * f64::from(b)
    }

    #[test]
    fn more_stands_out_more() {
        let light: Vec<f64> = Theme::Light.ramp_steps(20).into_iter().map(lightness).collect();
        let dark: Vec<f64> = Theme::Dark.ramp_steps(20).into_iter().map(lightness).collect();
        assert!(light.is_sorted_by(|a, b| a > b) && dark.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn ramps_end_and_do_not_go_on() {
        assert_eq!(Theme::Dark.ramp(1.0), VIRIDIS[10]);
        assert_eq!(Theme::Light.ramp(7.0), VIRIDIS[0]);
        assert_eq!(hex(mixed([0, 0, 0], [255, 10, 1], 0.5)), "#800501");
    }
}
