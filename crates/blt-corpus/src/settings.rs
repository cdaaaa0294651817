//! The options of a placement as named values: for the metadata of files, and to tell whether two runs are the same.

use std::collections::BTreeMap;

use blt_sphere::{Chart, ChartSource, FillOptions, Method, MinRadius, RadialOrder, ShellSpacing, ZoneTarget};

use crate::hash::sha256_of_bytes;
use crate::placing::PlaceOptions;

/// Every option by name. Equal options have equal values; floats are written so that they can be read back exactly.
pub fn settings(options: &PlaceOptions) -> BTreeMap<String, String> {
    let FillOptions { method, radial, lasing, chart, zones, ebm, seed } = &options.fill;
    let (chart_name, equalize) = match chart {
        ChartSource::Fit { kind, equalize } => (kind.name().to_owned(), *equalize),
        ChartSource::Stored(chart) => (format!("stored {}", chart.kind.name()), chart.equalizer.is_some()),
    };
    let order = match radial.order {
        RadialOrder::CoreFirst => "core",
        RadialOrder::RimFirst => "rim",
    };
    let min_radius = match radial.r_min {
        MinRadius::Fixed(radius) => radius.to_string(),
        MinRadius::Auto => "auto".to_owned(),
    };
    let is_original = matches!(method, Method::SeedV07(_));
    let spacing = match radial.spacing {
        ShellSpacing::EqualVolume if !is_original => "volume",
        _ => "width",
    };
    let target = match zones.target {
        ZoneTarget::Auto => "auto",
        ZoneTarget::All(zone) => zone.name(),
        ZoneTarget::Natural => "natural",
    };
    let shells = radial.n_shells.unwrap_or(method.default_shells());
    let chart_sha256 = match chart {
        ChartSource::Fit { .. } => None,
        ChartSource::Stored(chart) => Some(("chart_sha256", chart_sha256(chart))),
    };
    [
        ("method", method.name().to_owned()),
        ("compat", if is_original { "seed-v0.7" } else { "none" }.to_owned()),
        // The method's own parameters as the library writes them.
        ("method_options", format!("{method:?}")),
        ("radial_order", order.to_owned()),
        ("min_radius", min_radius),
        ("max_radius", radial.r_max.to_string()),
        ("volume_exponent", radial.exponent.to_string()),
        ("shells", shells.to_string()),
        ("shell_spacing", spacing.to_owned()),
        ("chart", chart_name),
        ("equalize", equalize.to_string()),
        ("zone_angle", zones.pole_angle.to_degrees().to_string()),
        ("translucency", zones.translucency.to_string()),
        ("target_zone", target.to_owned()),
        ("lasing", lasing.map_or_else(|| "none".to_owned(), |lasing| format!("{lasing:?}"))),
        ("ebm", ebm.map_or_else(|| "none".to_owned(), |ebm| format!("{ebm:?} {:?}", options.edges))),
        ("seed", seed.to_string()),
    ]
    .into_iter()
    .chain(chart_sha256)
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// A hash of all by which a stored chart gives directions.
fn chart_sha256(chart: &Chart) -> String {
    let mut bytes = chart.seed.to_le_bytes().to_vec();
    let mut put = |values: &[f64]| {
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    };
    put(&chart.mean);
    put(&chart.axes);
    if let Some(equalizer) = &chart.equalizer {
        put(&equalizer.theta);
        put(&equalizer.phi);
        bytes.extend(equalizer.n.to_le_bytes());
    }
    sha256_of_bytes(&bytes)
}
