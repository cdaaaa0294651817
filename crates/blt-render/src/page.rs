//! The page: one file with its own data, style and program, that asks the network for nothing.
//!
//! Whatever comes from the sphere reaches the page as JSON and base64 and is shown by the program as text. Were a mark-up to slip
//! through all the same, the page's policy lets no program run but its own, which it knows by its hash.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::axis::{Axis, Spacing};
use crate::colours::{OTHER, Theme, hex};
use crate::panels::{HEIGHT, Plot, Scatter, WIDTH, scatters, shells, spectrum};
use crate::picture::Picture;
use crate::points::offsets;
use crate::scale::{Category, zone_colour};
use crate::svg::{escaped, inline};

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// The program's parts, in the order in which they build on each other.
const PROGRAM: [&str; 7] = [
    include_str!("page/data.js"),
    include_str!("page/text.js"),
    include_str!("page/camera.js"),
    include_str!("page/webgl.js"),
    include_str!("page/raster.js"),
    include_str!("page/panels.js"),
    include_str!("page/main.js"),
];

/// Of a longer patch the page holds the beginning.
const MAX_PATCH_BYTES: usize = 256;
/// Steps of the ramp that the page has.
const RAMP_STEPS: usize = 64;
/// Stands for a number that is not known.
const UNKNOWN: u64 = u32::MAX as u64;

impl Picture<'_> {
    /// The page, whole: HTML with everything in it.
    pub fn html(&self) -> String {
        let program = format!("(() => {{\n\"use strict\";\n{}}})();\n", PROGRAM.concat());
        let hash = |text: &str| format!("'sha256-{}'", BASE64.encode(Sha256::digest(text.as_bytes())));
        let policy = format!("default-src 'none'; script-src {}; style-src {}", hash(&program), hash(STYLE));
        let scatters = scatters(self);
        // A closing tag cannot stand in the data: no `<` can.
        let data = self.data(&scatters).to_string().replace('<', "\\u003c");
        let mut panels = figure(&inline(&shells(self), "Patches in each shell"), "");
        panels.push_str(&figure(&inline(&spectrum(self), "Power by angular scale"), ""));
        for scatter in &scatters {
            let canvas = format!("<canvas data-plot=\"{}\"></canvas>", scatter.name());
            panels.push_str(&figure(&inline(&scatter.frame(), &scatter.title()), &canvas));
        }
        let parts: BTreeMap<&str, &str> = BTreeMap::from([
            ("policy", policy.as_str()),
            ("style", STYLE),
            ("panels", panels.as_str()),
            ("data", data.as_str()),
            ("program", program.as_str()),
        ]);
        let texts = [
            ("title", self.name.to_owned()),
            ("summary", self.summary()),
            ("left-out", self.left_out().unwrap_or_default()),
        ];
        let texts: BTreeMap<&str, String> = texts.iter().map(|(key, text)| (*key, escaped(text))).collect();
        filled(PAGE, |key| parts.get(key).copied().or_else(|| texts.get(key).map(String::as_str)))
    }

    /// What the program draws.
    fn data(&self, scatters: &[Scatter]) -> Value {
        let shades: Map<String, Value> = self
            .shades
            .iter()
            .map(|(by, shades)| {
                let entry =
                    json!({"label": by.label(), "low": shades.low, "middle": shades.middle, "high": shades.high});
                (by.name().to_owned(), entry)
            })
            .collect();
        let theme = |theme: Theme| {
            let colours = |colours: &[_]| colours.iter().copied().map(hex).collect::<Vec<String>>();
            json!({"categories": colours(&theme.categories()), "ramp": colours(&theme.ramp_steps(RAMP_STEPS))})
        };
        let axis = |axis: &Axis, column: &str| {
            let is_log = axis.spacing == Spacing::Logarithmic;
            json!({"column": column, "low": axis.low, "high": axis.high, "log": is_log})
        };
        let plot = |scatter: &Scatter| {
            let (x, y) = (axis(&scatter.plot.x, scatter.by.name()), axis(&scatter.plot.y, scatter.given.name()));
            (scatter.name(), json!({"area": Plot::AREA, "size": [WIDTH, HEIGHT], "x": x, "y": y}))
        };
        let plots: Map<String, Value> = scatters.iter().map(plot).collect();
        let category = |category: &Category| json!({"name": category.name, "patches": category.n_patches, "colour": category.colour});
        json!({
            "name": self.name,
            "patches": self.placed.len(),
            "drawn": self.chosen.len(),
            "columns": self.columns(),
            "documents": self.document_names(),
            "categories": {
                "zone": self.zones.iter().map(category).collect::<Vec<Value>>(),
                "document": self.documents.iter().map(category).collect::<Vec<Value>>(),
            },
            "zoneNames": (0..4).map(crate::scale::zone_name).collect::<Vec<_>>(),
            "zoneColours": (0..4).map(zone_colour).collect::<Vec<_>>(),
            "shades": shades,
            "themes": {"light": theme(Theme::Light), "dark": theme(Theme::Dark)},
            "other": hex(OTHER),
            "colourBy": self.colour_by.name(),
            "rim": self.rim(),
            "zoneAngle": self.zone_angle(),
            "plots": plots,
            "shells": self.shells.bars.iter().map(|bar| json!([bar.shells.0, bar.shells.1, bar.n_patches])).collect::<Vec<Value>>(),
            "spectrum": {"c_l": self.spectrum.power, "shot_noise": self.spectrum.shot_noise},
            "maxPatchBytes": MAX_PATCH_BYTES,
        })
    }

    /// One value a drawn patch, as arrays of the fewest bytes that hold them.
    fn columns(&self) -> Value {
        let placed = self.placed;
        let ids = || self.chosen.iter().map(|&i| i as usize);
        let offsets = offsets(placed);
        let documents = self.document_numbers();
        let floats = |value: &dyn Fn(usize) -> f64| floats(ids().map(value));
        let integers = |value: &dyn Fn(usize) -> u64| integers(ids().map(value).collect());
        let mut columns = json!({
            "id": integers(&|i| i as u64),
            "theta": floats(&|i| placed.theta[i]),
            "phi": floats(&|i| placed.phi[i]),
            "radius": floats(&|i| placed.radii[i]),
            "prominence": floats(&|i| f64::from(placed.prominence[i])),
            "shell": integers(&|i| placed.shells[i].unsigned_abs().into()),
            "zone": integers(&|i| placed.zones[i].into()),
            "document": integers(&|i| documents[&placed.document[i]].0),
            "documentColour": integers(&|i| {
                self.document_colours.get(&placed.document[i]).map_or(255, |&colour| colour as u64)
            }),
            "patchIdx": integers(&|i| u64::from(placed.patch_idx[i].unsigned_abs())),
            // Offsets beyond 4 GiB are not told: a page is no place for them.
            "offset": integers(&|i| offsets[i].filter(|&offset| offset < UNKNOWN).unwrap_or(UNKNOWN)),
            "nBytes": integers(&|i| placed.patch_bytes(i).len() as u64),
        });
        if let Some(entropies) = &placed.entropies {
            columns["entropy"] = floats(&|i| f64::from(entropies[i]));
        }
        if let Some(shares) = &placed.shares {
            columns["share"] = floats(&|i| shares[i]);
        }
        if !placed.bytes.is_empty() {
            let beginning = |i: usize| &placed.patch_bytes(i)[..placed.patch_bytes(i).len().min(MAX_PATCH_BYTES)];
            let bytes: Vec<u8> = ids().flat_map(|i| beginning(i).iter().copied()).collect();
            columns["bytes"] = json!({"type": "u1", "data": BASE64.encode(bytes)});
        }
        columns
    }

    /// Each drawn document's number in the page, by its number in the sphere, with its name.
    fn document_numbers(&self) -> BTreeMap<i32, (u64, &str)> {
        let mut numbers = BTreeMap::new();
        for &i in &self.chosen {
            let i = i as usize;
            let next = numbers.len() as u64;
            numbers.entry(self.placed.document[i]).or_insert_with(|| (next, self.placed.document_of(i)));
        }
        numbers
    }

    fn document_names(&self) -> Vec<&str> {
        let mut names: Vec<(u64, &str)> = self.document_numbers().into_values().collect();
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }
}

fn figure(svg: &str, canvas: &str) -> String {
    format!("<figure class=\"panel\">{svg}{canvas}</figure>\n")
}

fn floats(values: impl Iterator<Item = f64>) -> Value {
    let bytes: Vec<u8> = values.flat_map(|value| (value as f32).to_le_bytes()).collect();
    json!({"type": "f4", "data": BASE64.encode(bytes)})
}

fn integers(values: Vec<u64>) -> Value {
    let n_bytes = match values.iter().max().copied().unwrap_or(0) {
        0..=0xFF => 1,
        0x100..=0xFFFF => 2,
        _ => 4,
    };
    // What does not fit into four bytes is the largest number that does.
    let narrow = |value: u64| value.min(UNKNOWN).to_le_bytes();
    let bytes: Vec<u8> = values.into_iter().flat_map(|value| narrow(value).into_iter().take(n_bytes)).collect();
    json!({"type": format!("u{n_bytes}"), "data": BASE64.encode(bytes)})
}

/// The template with each `{{key}}` replaced, once: what is put in is not looked at again.
fn filled<'t>(template: &'t str, part: impl Fn(&str) -> Option<&'t str>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (key, after) = after.split_once("}}").expect("the template closes what it opens");
        out.push_str(before);
        out.push_str(part(key).expect("the template asks for what there is"));
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_as_many_bytes_as_they_need() {
        assert_eq!(integers(vec![1, 255]), json!({"type": "u1", "data": BASE64.encode([1, 255])}));
        assert_eq!(integers(vec![1, 256]), json!({"type": "u2", "data": BASE64.encode([1, 0, 0, 1])}));
        let wide = json!({"type": "u4", "data": BASE64.encode([0, 0, 1, 0, 255, 255, 255, 255])});
        assert_eq!(integers(vec![65536, u64::MAX]), wide);
    }

    #[test]
    fn what_is_filled_in_is_no_template() {
        let part = |key: &str| Some(if key == "a" { "{{b}}" } else { "never" });
        assert_eq!(filled("x {{a}} y", part), "x {{b}} y");
    }
}
