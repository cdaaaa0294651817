//! The ball with a hollow core in which patches lie: radii, volumes, shells, and who owns which volume.

use rayon::prelude::*;

use crate::order;

/// Which way prominence goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RadialOrder {
    /// What has the highest priority lies nearest to the core.
    #[default]
    CoreFirst,
    /// It lies at the rim.
    RimFirst,
}

/// Where the boundaries of shells lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ShellSpacing {
    /// All shells have one volume.
    #[default]
    EqualVolume,
    /// All shells have one width.
    EqualWidth,
}

/// Where the hollow core ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MinRadius {
    /// At this radius.
    Fixed(f64),
    /// At [`auto_min_radius`] of the numbers of patches and shells.
    Auto,
}

/// Sizes and steps that belong together, from a workstation's corpus to a planet's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScaleProfile {
    /// The profile's name on the command line.
    pub name: &'static str,
    /// Radius of the hollow core.
    pub r_min: f64,
    /// Radius of the rim.
    pub r_max: f64,
    /// Width of the attraction between neighbours, in the original's units of length. Kept for comparison: [`Ebm`](crate::Ebm)
    /// derives its width from the number of patches.
    pub sigma: f64,
    /// Size of an energy-based step.
    pub step: f64,
    /// Temperature of the energy-based placement.
    pub temperature: f64,
    /// How many energy-based steps are made.
    pub n_steps: u32,
}

impl ScaleProfile {
    /// `dev`, `medium`, `large`, `planetary`.
    pub const ALL: [Self; 4] = [
        Self { name: "dev", r_min: 32.0, r_max: 512.0, sigma: 1.0, step: 0.5, temperature: 0.1, n_steps: 120 },
        Self { name: "medium", r_min: 64.0, r_max: 2048.0, sigma: 1.25, step: 0.4, temperature: 0.08, n_steps: 240 },
        Self { name: "large", r_min: 96.0, r_max: 8192.0, sigma: 1.5, step: 0.35, temperature: 0.06, n_steps: 480 },
        Self {
            name: "planetary",
            r_min: 128.0,
            r_max: 32768.0,
            sigma: 2.0,
            step: 0.3,
            temperature: 0.05,
            n_steps: 960,
        },
    ];

    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }
}

/// The radius of the hollow core for so many patches in so many shells.
pub fn auto_min_radius(n_patches: usize, n_shells: u32) -> f64 {
    let shells = f64::from(n_shells);
    match n_patches {
        0..100_000 => (0.25 * shells.sqrt()).max(16.0),
        100_000..10_000_000 => (0.5 * shells.sqrt()).max(32.0),
        10_000_000..1_000_000_000 => (0.1 * shells).max(64.0),
        _ => (0.125 * shells).max(128.0),
    }
}

/// A ball without its core, in which the volume below radius `r` grows as `r^exponent`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HollowBall {
    r_min: f64,
    r_max: f64,
    exponent: f64,
}

impl HollowBall {
    /// From `r_min` to `r_max`. The exponent is 3 for volume, 2 for the area law, 1.5 for the original's energy-based placement.
    /// `None` unless `0 <= r_min < r_max` and `0 < exponent`, all finite, and the volumes below both radii differ.
    pub fn new(r_min: f64, r_max: f64, exponent: f64) -> Option<Self> {
        let valid = r_min >= 0.0 && r_min < r_max && r_max.is_finite() && exponent > 0.0 && exponent.is_finite();
        let ball = Self { r_min, r_max, exponent };
        (valid && ball.core() < 1.0).then_some(ball)
    }

    /// Radius of the core.
    pub fn r_min(&self) -> f64 {
        self.r_min
    }

    /// Radius of the rim.
    pub fn r_max(&self) -> f64 {
        self.r_max
    }

    /// The radius below which the part `q`, in [0, 1], of the volume lies: `(r_min^g + q (r_max^g - r_min^g))^(1/g)`.
    pub fn radius(&self, q: f64) -> f64 {
        let core = self.core();
        let r = self.r_max * ((core + q * (1.0 - core)).ln() / self.exponent).exp();
        r.clamp(self.r_min, self.r_max)
    }

    /// The part of the volume, in [0, 1], that lies below the radius; the inverse of [`radius`](Self::radius).
    pub fn volume_below(&self, r: f64) -> f64 {
        let core = self.core();
        (((r / self.r_max).powf(self.exponent) - core) / (1.0 - core)).clamp(0.0, 1.0)
    }

    /// Boundaries of the shells, `[n_shells + 1]`, ascending from `r_min` to `r_max`.
    pub fn shell_bounds(&self, n_shells: u32, spacing: ShellSpacing) -> Vec<f64> {
        (0..=n_shells)
            .map(|i| {
                let part = f64::from(i) / f64::from(n_shells);
                match (i, spacing) {
                    (0, _) => self.r_min,
                    (i, _) if i == n_shells => self.r_max,
                    (_, ShellSpacing::EqualVolume) => self.radius(part),
                    (_, ShellSpacing::EqualWidth) => self.r_min + (self.r_max - self.r_min) * part,
                }
            })
            .collect()
    }

    /// Radii of patches that own disjoint parts of the volume, which together are all of it.
    ///
    /// With `Q` the shares of those before it in `order` (from the core outwards), a patch owns the shell from `radius(Q)` to
    /// `radius(Q + share)` and lies where half of its volume is below it. `shares` sum to 1.
    pub fn own(&self, shares: &[f64], order: &[u32]) -> Vec<f64> {
        let bounds = cumulative(shares, order);
        let radii: Vec<f64> = (0..order.len())
            .into_par_iter()
            .map(|place| self.radius(f64::midpoint(bounds[place], bounds[place + 1])))
            .collect();
        scatter(&radii, order)
    }

    /// The core's part of the whole ball, with the core.
    fn core(&self) -> f64 {
        (self.r_min / self.r_max).powf(self.exponent)
    }
}

/// The shell, counted from the core, in which each radius lies: shell `i` is `[bounds[i], bounds[i + 1])`, the last one closed.
pub fn shells_of(radii: &[f64], bounds: &[f64]) -> Vec<i32> {
    let last = bounds.len() as i32 - 2;
    radii.par_iter().map(|r| (bounds.partition_point(|bound| bound <= r) as i32 - 1).clamp(0, last)).collect()
}

/// Where in the volume each share begins and ends, `[n + 1]`, from 0 to 1 and never falling.
pub(crate) fn cumulative(shares: &[f64], order: &[u32]) -> Vec<f64> {
    let mut bounds = Vec::with_capacity(order.len() + 1);
    bounds.push(0.0);
    let (mut sum, mut lost) = (0.0f64, 0.0f64); // Neumaier's sum: what rounding took away is added at the end
    let mut last = 0.0f64;
    for &i in order {
        let share = shares[i as usize];
        let next = sum + share;
        lost += if sum >= share { (sum - next) + share } else { (share - next) + sum };
        sum = next;
        last = (sum + lost).clamp(last, 1.0);
        bounds.push(last);
    }
    if let Some(end) = bounds.last_mut().filter(|_| !order.is_empty()) {
        *end = 1.0;
    }
    bounds
}

/// From the core outwards: by falling priority, or rising with [`RadialOrder::RimFirst`]. Ties by id.
pub(crate) fn core_to_rim(priority: &[f64], id: impl Fn(usize) -> u64 + Sync, radial: RadialOrder) -> Vec<u32> {
    let mut order = order::descending(priority, id);
    if radial == RadialOrder::RimFirst {
        order.reverse();
    }
    order
}

/// `values` of places, given back to the patches that have those places.
pub(crate) fn scatter<T: Copy + Default>(values: &[T], order: &[u32]) -> Vec<T> {
    let mut out = vec![T::default(); order.len()];
    for (&i, &value) in order.iter().zip(values) {
        out[i as usize] = value;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ball(exponent: f64) -> HollowBall {
        HollowBall::new(32.0, 512.0, exponent).unwrap()
    }

    #[test]
    fn a_ball_has_an_inside() {
        for (r_min, r_max, exponent) in [
            (1.0, 1.0, 3.0),
            (2.0, 1.0, 3.0),
            (-1.0, 1.0, 3.0),
            (0.0, f64::INFINITY, 3.0),
            (f64::NAN, 1.0, 3.0),
            (0.0, 1.0, 0.0),
            (1.0, 2.0, 1e-17),
        ] {
            assert_eq!(HollowBall::new(r_min, r_max, exponent), None);
        }
    }

    #[test]
    fn a_core_of_no_radius_is_allowed() {
        let ball = HollowBall::new(0.0, 8.0, 3.0).unwrap();
        assert_eq!((ball.radius(0.0), ball.radius(1.0)), (0.0, 8.0));
        assert!((ball.radius(0.125) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn the_radius_for_many_patches_grows() {
        assert_eq!(auto_min_radius(10, 256), 16.0);
        assert_eq!(auto_min_radius(99_999, 10_000), 25.0);
        assert_eq!(auto_min_radius(100_000, 256), 32.0);
        assert_eq!(auto_min_radius(10_000_000, 1000), 100.0);
        assert_eq!(auto_min_radius(1_000_000_000, 256), 128.0);
    }

    #[test]
    fn profiles_have_names() {
        assert_eq!(ScaleProfile::named("planetary").unwrap().r_max, 32768.0);
        assert_eq!(ScaleProfile::named("moon"), None);
    }

    #[test]
    fn equal_shells_are_equal() {
        let by_volume = ball(3.0).shell_bounds(7, ShellSpacing::EqualVolume);
        for pair in by_volume.windows(2) {
            let volume = ball(3.0).volume_below(pair[1]) - ball(3.0).volume_below(pair[0]);
            assert!((volume - 1.0 / 7.0).abs() < 1e-12);
        }
        let by_width = ball(3.0).shell_bounds(7, ShellSpacing::EqualWidth);
        assert!(by_width.windows(2).all(|pair| (pair[1] - pair[0] - 480.0 / 7.0).abs() < 1e-12));
        assert_eq!(shells_of(&[32.0, by_width[1], by_width[1] - 1e-9, 512.0], &by_width), [0, 1, 0, 6]);
    }

    #[test]
    fn nobody_owns_an_empty_ball() {
        assert_eq!(ball(3.0).own(&[], &[]), []);
        assert_eq!(cumulative(&[], &[]), [0.0]);
    }

    #[test]
    fn a_single_patch_lies_in_the_middle_of_the_volume() {
        let r = ball(3.0).own(&[1.0], &[0])[0];
        assert!((ball(3.0).volume_below(r) - 0.5).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_radius_is_the_inverse_of_the_volume(q in 0.0..=1.0f64, exponent in 0.5..6.0f64) {
            let ball = ball(exponent);
            let direct = (32f64.powf(exponent) + q * (512f64.powf(exponent) - 32f64.powf(exponent))).powf(1.0 / exponent);
            prop_assert!((ball.radius(q) / direct - 1.0).abs() < 1e-12);
            prop_assert!((ball.volume_below(ball.radius(q)) - q).abs() < 1e-12);
        }

        #[test]
        fn volumes_are_shared_out_exactly(
            weights in proptest::collection::vec(1e-9..1.0f64, 1..60),
            exponent in 1.0..4.0f64,
            rim_first in any::<bool>(),
        ) {
            let ball = ball(exponent);
            let total: f64 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
            let radial = if rim_first { RadialOrder::RimFirst } else { RadialOrder::CoreFirst };
            let order = core_to_rim(&shares, |i| i as u64, radial);
            let bounds: Vec<f64> = cumulative(&shares, &order).iter().map(|&q| ball.radius(q)).collect();
            let volume = |r: f64| r.powf(exponent);
            let whole = volume(512.0) - volume(32.0);

            prop_assert!((bounds[0] / 32.0 - 1.0).abs() < 1e-14);
            prop_assert!((bounds[order.len()] / 512.0 - 1.0).abs() < 1e-14);
            let mut sum = 0.0;
            for (place, &i) in order.iter().enumerate() {
                let owned = volume(bounds[place + 1]) - volume(bounds[place]);
                prop_assert!(owned >= 0.0);
                prop_assert!((owned - shares[i as usize] * whole).abs() < 1e-11 * whole);
                sum += owned;
            }
            prop_assert!((sum / whole - 1.0).abs() < 1e-12);

            let radii = ball.own(&shares, &order);
            prop_assert!(order.windows(2).all(|pair| radii[pair[0] as usize] <= radii[pair[1] as usize]));
            for (place, &i) in order.iter().enumerate() {
                prop_assert!(radii[i as usize] >= bounds[place] * (1.0 - 1e-12));
                prop_assert!(radii[i as usize] <= bounds[place + 1] * (1.0 + 1e-12));
            }
        }
    }
}
