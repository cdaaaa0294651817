//! Polar zones: instructions around the north pole, question-answer pairs around the south pole, content in the band between.
//!
//! A patch is brought into its zone by a map of the whole sphere onto the zone that keeps longitudes, order and, without
//! translucency, areas: what was uniform on the sphere is uniform in the zone, and nothing piles up at the zone's edge.

use std::f64::consts::PI;

/// Where on the sphere a patch belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Zone {
    /// Around the north pole, `theta < pole_angle`: what says what to do.
    Instruction = 0,
    /// The band between the caps, edges included: everything else.
    #[default]
    Content = 1,
    /// Around the south pole, `theta > pi - pole_angle`: questions with their answers.
    Qa = 2,
}

/// How patches come into zones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZoneOptions {
    /// Half-angle of the polar caps in radians, in (0, pi / 2).
    pub pole_angle: f64,
    /// How much of a patch's own angle shows through, in [0, 1]. At 0 areas are kept; at 1 patches stay where the chart put them,
    /// in their zone or not.
    pub translucency: f64,
    /// Which zone a patch is for.
    pub target: ZoneTarget,
}

/// Which zone a patch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZoneTarget {
    /// Each the one that [`Patches::zones`](crate::Patches::zones) says.
    #[default]
    Auto,
    /// All this one.
    All(Zone),
    /// Whichever the chart puts it in; nothing is moved.
    Natural,
}

impl Default for ZoneOptions {
    fn default() -> Self {
        Self { pole_angle: PI / 12.0, translucency: 0.0, target: ZoneTarget::Auto }
    }
}

impl Zone {
    /// All, from north to south.
    pub const ALL: [Self; 3] = [Self::Instruction, Self::Content, Self::Qa];

    /// Its first name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instruction => "instruction",
            Self::Content => "content",
            Self::Qa => "qa",
        }
    }

    /// The zone of a name: `instruction` or `north`, `content` or `torus`, `qa`, `qa_pairs` or `south`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "instruction" | "north" => Some(Self::Instruction),
            "content" | "torus" => Some(Self::Content),
            "qa" | "qa_pairs" | "south" => Some(Self::Qa),
            _ => None,
        }
    }

    /// The zone for text that comes from columns of these names, or from a message of this role. Embeddings have no say.
    ///
    /// A question with its answer, a chosen or a rejected answer, or anything called `qa` is [`Zone::Qa`]; else anything called
    /// system, instruction or prompt is [`Zone::Instruction`]. Words of a name may be joined by anything: `system_prompt`.
    pub fn of_columns<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Vec<String> = names
            .into_iter()
            .flat_map(|name| name.split(|c: char| !c.is_alphanumeric()))
            .map(str::to_lowercase)
            .collect();
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        let pair = has(&["question", "questions"]) && has(&["answer", "answers"]);
        if pair || has(&["chosen", "rejected", "qa"]) {
            Self::Qa
        } else if has(&["system", "instruction", "instructions", "prompt", "prompts"]) {
            Self::Instruction
        } else {
            Self::Content
        }
    }

    /// The zone in which an angle from the north pole lies.
    pub fn at(theta: f64, pole_angle: f64) -> Self {
        if theta < pole_angle {
            Self::Instruction
        } else if theta > PI - pole_angle {
            Self::Qa
        } else {
            Self::Content
        }
    }

    /// Where its edges are.
    pub(crate) fn edges(self, pole_angle: f64) -> [f64; 2] {
        match self {
            Self::Instruction => [0.0, pole_angle],
            Self::Content => [pole_angle, PI - pole_angle],
            Self::Qa => [PI - pole_angle, PI],
        }
    }
}

impl Zone {
    /// An angle outside the zone, mirrored at the nearer edge into it, as far as there is room.
    pub(crate) fn mirrored(self, theta: f64, pole_angle: f64) -> f64 {
        let [north, south] = self.edges(pole_angle);
        let mirrored = if theta < f64::midpoint(north, south) { 2.0 * north - theta } else { 2.0 * south - theta };
        inside(mirrored.clamp(north, south), self, pole_angle)
    }
}

impl ZoneOptions {
    /// Brings the angle `theta` of a patch into `zone`; its `phi` stays.
    ///
    /// With `c = cos theta` and the zone's cosines from `low` to `high`, `cos theta' = low + (high - low)(c + 1) / 2`. With
    /// translucency, `theta'` and `theta` are blended, and the blend is stretched to the zone again the same way.
    pub fn into_zone(&self, theta: f64, zone: Zone) -> f64 {
        let tau = self.translucency;
        if tau >= 1.0 {
            return theta;
        }
        let edges = zone.edges(self.pole_angle).map(Area::above);
        let mut moved = Area::above(theta).stretched([Area::NORTH, Area::SOUTH], edges).theta();
        if tau > 0.0 {
            let blend = |natural: f64, moved: f64| (1.0 - tau) * moved + tau * natural;
            let [first, last] = zone.edges(self.pole_angle);
            let ends = [blend(0.0, first), blend(PI, last)].map(Area::above);
            moved = Area::above(blend(theta, moved)).stretched(ends, edges).theta();
        }
        inside(moved, zone, self.pole_angle)
    }

    /// The angle that [`into_zone`](Self::into_zone) brings to `theta`.
    pub fn out_of_zone(&self, theta: f64, zone: Zone) -> f64 {
        let tau = self.translucency;
        if tau >= 1.0 {
            return theta;
        }
        let edges = zone.edges(self.pole_angle).map(Area::above);
        if tau == 0.0 {
            return Area::above(theta).stretched(edges, [Area::NORTH, Area::SOUTH]).theta();
        }
        // The blend has no closed inverse, but it never falls.
        let (mut low, mut high) = (0.0, PI);
        while high - low > 1e-15 {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            if self.into_zone(middle, zone) < theta {
                low = middle;
            } else {
                high = middle;
            }
        }
        f64::midpoint(low, high)
    }
}

/// The parts of the sphere's area above and below a circle of latitude, which sum to 1. Having both keeps angles exact at both
/// poles.
#[derive(Clone, Copy)]
struct Area {
    above: f64,
    below: f64,
}

impl Area {
    const NORTH: Self = Self { above: 0.0, below: 1.0 };
    const SOUTH: Self = Self { above: 1.0, below: 0.0 };

    fn above(theta: f64) -> Self {
        let (sin, cos) = (theta / 2.0).sin_cos();
        Self { above: sin * sin, below: cos * cos }
    }

    fn theta(self) -> f64 {
        2.0 * self.above.sqrt().atan2(self.below.sqrt())
    }

    /// The area between another circle, further north, and this one. Of the two differences that say it, the exacter one.
    fn since(self, north: Self) -> f64 {
        if self.above < 0.5 { self.above - north.above } else { north.below - self.below }
    }

    /// The affine map of areas that takes the circles `from` to the circles `to`.
    fn stretched(self, from: [Self; 2], to: [Self; 2]) -> Self {
        let scale = to[1].since(to[0]) / from[1].since(from[0]);
        Self {
            above: (to[0].above + self.since(from[0]) * scale).clamp(0.0, 1.0),
            below: (to[1].below + from[1].since(self) * scale).clamp(0.0, 1.0),
        }
    }
}

/// The angle, or, where rounding put it past the zone's edge, the nearest one that is in the zone.
fn inside(theta: f64, zone: Zone, pole_angle: f64) -> f64 {
    match zone {
        Zone::Instruction => theta.min(pole_angle.next_down()),
        Zone::Content => theta.clamp(pole_angle, PI - pole_angle),
        Zone::Qa => theta.max((PI - pole_angle).next_up()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random;

    fn options(translucency: f64) -> ZoneOptions {
        ZoneOptions { translucency, ..ZoneOptions::default() }
    }

    #[test]
    fn edges_belong_to_content() {
        let pole = PI / 12.0;
        assert_eq!(Zone::at(pole, pole), Zone::Content);
        assert_eq!(Zone::at(PI - pole, pole), Zone::Content);
        assert_eq!(Zone::at(pole.next_down(), pole), Zone::Instruction);
        assert_eq!(Zone::at((PI - pole).next_up(), pole), Zone::Qa);
    }

    #[test]
    fn names_come_back() {
        for zone in Zone::ALL {
            assert_eq!(Zone::named(zone.name()), Some(zone));
        }
        assert_eq!(["north", "torus", "south"].map(Zone::named), Zone::ALL.map(Some));
        assert_eq!(Zone::named("west"), None);
    }

    #[test]
    fn columns_say_the_zone() {
        for (names, zone) in [
            (&["text"][..], Zone::Content),
            (&[], Zone::Content),
            (&["System_Prompt"], Zone::Instruction),
            (&["instruction", "output"], Zone::Instruction),
            (&["question"], Zone::Content),
            (&["question", "answer"], Zone::Qa),
            (&["prompt", "chosen"], Zone::Qa),
            (&["rejected"], Zone::Qa),
            (&["QA-pairs"], Zone::Qa),
            (&["aqua", "ecosystem"], Zone::Content),
        ] {
            assert_eq!(Zone::of_columns(names.iter().copied()), zone, "{names:?}");
        }
    }

    #[test]
    fn the_caps_have_their_share_of_the_area() {
        let cap = (1.0 - (PI / 12.0).cos()) / 2.0;
        let n = 100_000;
        let caps = (0..n)
            .map(|i| (1.0 - 2.0 * (i as f64 + 0.5) / n as f64).acos())
            .filter(|&theta| Zone::at(theta, PI / 12.0) != Zone::Content)
            .count();
        assert!((caps as f64 / n as f64 - 2.0 * cap).abs() < 2.0 / n as f64);
    }

    /// Chi-squared over 20 belts of one area and 5 sectors in the zone; 0.9999 quantile of 99 degrees of freedom.
    #[test]
    fn what_is_uniform_stays_uniform() {
        let n = 20_000;
        for zone in Zone::ALL {
            let [low, high] = zone.edges(PI / 12.0).map(|theta| Area::above(theta).above);
            let mut counts = [0u32; 100];
            for i in 0..n {
                let theta = (1.0 - 2.0 * random::uniform(7, i, 0)).acos();
                let phi = random::uniform(7, i, 1);
                let above = Area::above(options(0.0).into_zone(theta, zone)).above;
                counts[((above - low) / (high - low) * 20.0) as usize * 5 + (phi * 5.0) as usize] += 1;
            }
            let expected = n as f64 / 100.0;
            let chi2: f64 = counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
            assert!(chi2 < 160.1, "{zone:?}: {chi2}");
        }
    }

    proptest! {
        #[test]
        fn every_patch_is_in_its_zone_and_comes_back(
            theta in 0.0..=PI, other in 0.0..=PI, tau in 0.0..0.99f64, pole in 0.01..1.5f64,
        ) {
            for zone in Zone::ALL {
                for tau in [0.0, tau] {
                    let options = ZoneOptions { pole_angle: pole, translucency: tau, ..ZoneOptions::default() };
                    let moved = options.into_zone(theta, zone);
                    prop_assert_eq!(Zone::at(moved, pole), zone);
                    let back = options.out_of_zone(moved, zone);
                    prop_assert!((back.cos() - theta.cos()).abs() < 1e-12 / (1.0 - tau), "{} {}", theta, back);
                    if (theta - other).abs() > 1e-6 {
                        prop_assert_eq!(moved < options.into_zone(other, zone), theta < other);
                    }
                }
            }
        }

        #[test]
        fn poles_and_whole_translucency(theta in 0.0..=PI) {
            for zone in Zone::ALL {
                prop_assert_eq!(options(1.0).into_zone(theta, zone), theta);
                for pole in [0.0, PI] {
                    prop_assert_eq!(Zone::at(options(0.3).into_zone(pole, zone), PI / 12.0), zone);
                }
            }
        }
    }
}
