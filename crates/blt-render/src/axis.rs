//! Axes: from numbers to lengths, with ticks at round numbers.

/// How numbers are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spacing {
    Linear,
    Logarithmic,
}

/// An axis from `low` to `high`, which differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) spacing: Spacing,
    pub(crate) label: String,
    /// Ticks in place of round numbers.
    pub(crate) own_ticks: Vec<(f64, String)>,
}

impl Axis {
    /// The linear axis that all of `values` lie on, with a little room at both ends; from 0 to 1 when there are none.
    pub(crate) fn around(values: impl Iterator<Item = f64>, label: &str) -> Self {
        let (low, high) = ends(values).unwrap_or((0.0, 1.0));
        let room = if high > low { 0.03 * (high - low) } else { 0.5 * high.abs().max(1.0) };
        Self {
            low: low - room,
            high: high + room,
            spacing: Spacing::Linear,
            label: label.to_owned(),
            own_ticks: Vec::new(),
        }
    }

    /// The linear axis from 0 to a little above all of `values`.
    pub(crate) fn from_zero(values: impl Iterator<Item = f64>, label: &str) -> Self {
        let high = ends(values).map_or(0.0, |(_, high)| high);
        let high = if high > 0.0 { 1.06 * high } else { 1.0 };
        Self { low: 0.0, high, spacing: Spacing::Linear, label: label.to_owned(), own_ticks: Vec::new() }
    }

    /// The logarithmic axis that all of `values` above 0 lie on.
    pub(crate) fn logarithmic(values: impl Iterator<Item = f64>, label: &str) -> Self {
        let (low, high) = ends(values.filter(|&value| value > 0.0)).unwrap_or((1.0, 10.0));
        Self {
            low: low / 1.5,
            high: high * 1.5,
            spacing: Spacing::Logarithmic,
            label: label.to_owned(),
            own_ticks: Vec::new(),
        }
    }

    /// Where `value` lies, from 0 at the low end to 1 at the high one.
    pub(crate) fn part(&self, value: f64) -> f64 {
        match self.spacing {
            Spacing::Linear => (value - self.low) / (self.high - self.low),
            // What has no logarithm lies at the low end.
            Spacing::Logarithmic if value <= 0.0 => 0.0,
            Spacing::Logarithmic => (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln()),
        }
    }

    /// Whether `value` has a place on the axis.
    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Its own ticks, or else round numbers on the axis with what they are called, about `n` of them.
    pub(crate) fn ticks(&self, n: usize) -> Vec<(f64, String)> {
        if !self.own_ticks.is_empty() {
            return self.own_ticks.clone();
        }
        match self.spacing {
            Spacing::Linear => linear_ticks(self.low, self.high, n),
            Spacing::Logarithmic => {
                let (first, last) = (self.low.log10().ceil() as i32, self.high.log10().floor() as i32);
                let step = ((last - first) as usize / n.max(1)).max(1);
                let powers: Vec<i32> = (first..=last).step_by(step).collect();
                if powers.len() < 2 {
                    return linear_ticks(self.low, self.high, n).into_iter().filter(|&(x, _)| x > 0.0).collect();
                }
                powers.into_iter().map(|power| (10f64.powi(power), power_of_ten(power))).collect()
            }
        }
    }
}

/// The least and the greatest of the finite values.
pub(crate) fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |ends, value| match ends {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

fn linear_ticks(low: f64, high: f64, n: usize) -> Vec<(f64, String)> {
    let rough = (high - low) / n.max(1) as f64;
    let power = rough.log10().floor();
    let unit = 10f64.powf(power);
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|m| m * unit).into_iter().find(|&step| step >= 0.75 * rough).unwrap_or(10.0 * unit);
    let decimals = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|i| i as f64 * step).map(|value| (value, number(value, decimals))).collect()
}

/// A number with so many decimals; very large and very small ones with a power of ten.
fn number(value: f64, decimals: usize) -> String {
    if value != 0.0 && (value.abs() >= 1e6 || decimals > 4) {
        format!("{value:.1e}")
    } else {
        format!("{:.decimals$}", value + 0.0)
    }
}

fn power_of_ten(power: i32) -> String {
    if (-2..=4).contains(&power) { format!("{}", 10f64.powi(power)) } else { format!("1e{power}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis, n: usize) -> Vec<String> {
        axis.ticks(n).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let axis =
            Axis { low: 31.0, high: 513.0, spacing: Spacing::Linear, label: String::new(), own_ticks: Vec::new() };
        assert_eq!(names(&axis, 5), ["100", "200", "300", "400", "500"]);
        let axis = Axis { low: 0.0, high: 0.23, spacing: Spacing::Linear, label: String::new(), own_ticks: Vec::new() };
        assert_eq!(names(&axis, 5), ["0.00", "0.05", "0.10", "0.15", "0.20"]);
        let axis =
            Axis { low: 0.02, high: 2e6, spacing: Spacing::Logarithmic, label: String::new(), own_ticks: Vec::new() };
        assert_eq!(names(&axis, 9), ["0.1", "1", "10", "100", "1000", "10000", "1e5", "1e6"]);
        for n in 1..12 {
            assert!(axis.ticks(n).iter().all(|&(x, _)| (0.0..=1.0).contains(&axis.part(x))));
        }
    }

    #[test]
    fn any_values_have_an_axis() {
        for values in [vec![], vec![3.0], vec![0.0, 0.0], vec![f64::NAN, f64::INFINITY], vec![-5.0, 1e300]] {
            for axis in [
                Axis::around(values.iter().copied(), ""),
                Axis::from_zero(values.iter().copied(), ""),
                Axis::logarithmic(values.iter().copied(), ""),
            ] {
                assert!(axis.low < axis.high && axis.ticks(5).len() < 20, "{values:?} {axis:?}");
                let on_it =
                    |&value: &f64| value.is_nan() || !value.is_finite() || axis.part(value).is_finite() || value <= 0.0;
                assert!(values.iter().all(on_it), "{values:?} {axis:?}");
            }
        }
    }
}
