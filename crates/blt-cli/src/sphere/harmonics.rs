//! `blt-cli sphere harmonics`: power by angular scale, and peaks.

use std::fmt::Write as _;

use blt_corpus::{HarmonicsOptions, HarmonicsWeight, PartHarmonics, PlacedFile, harmonics_of, write_harmonics};
use blt_sphere::{Peak, PeakOptions, Zone};
use serde_json::{Value, json};

use super::args::{HarmonicsArgs, WeightArg};
use super::open::{sphere_path, unreadable};
use crate::Ending;
use crate::args::ReportFormat;
use crate::failure::Failure;
use crate::output::{to_stderr, write_all};

/// How far a density is smoothed before its peaks are looked for, in degrees.
const SMOOTH: f64 = 10.0;

pub(super) fn run(args: &HarmonicsArgs, quiet: bool) -> Result<Ending, Failure> {
    super::use_threads(args.threads.map_or(0, usize::from));
    if args.smooth.is_some() && args.peaks == 0 {
        return Err(Failure::usage("`--smooth` has no effect without `--peaks`"));
    }
    let file = PlacedFile::open(&sphere_path(&args.path)?).map_err(unreadable)?;
    let placed = file.read().map_err(unreadable)?;
    let weight = match args.weight {
        WeightArg::Prominence => HarmonicsWeight::Prominence,
        WeightArg::Alloc => HarmonicsWeight::Share,
        WeightArg::One => HarmonicsWeight::One,
    };
    if weight == HarmonicsWeight::Share && placed.shares.is_none() {
        return Err(Failure::usage("the sphere has no shares to weigh its patches by"));
    }
    let options = HarmonicsOptions { band_limit: args.band_limit as usize, weight, shells: args.shells };
    let parts = harmonics_of(&placed, &options).map_err(|error| Failure::new("cannot compute the harmonics", error))?;
    if let Some(path) = &args.output {
        write_harmonics(path, &parts, &options, file.sha256().unwrap_or_default())
            .map_err(|error| Failure::new(format!("cannot write `{}`", path.display()), error))?;
        if !quiet {
            to_stderr(&format!("{} sets of coefficients -> {}", parts.len(), path.display()));
        }
    }
    let peaks = peaks(args, &parts[0]);
    let text = match args.format {
        ReportFormat::Json => json_report(&parts, &peaks),
        ReportFormat::Text => text_report(&parts, &peaks),
    };
    write_all(text.as_bytes())
}

fn peaks(args: &HarmonicsArgs, all: &PartHarmonics) -> Vec<Peak> {
    if args.peaks == 0 {
        return Vec::new();
    }
    let sigma = args.smooth.unwrap_or(SMOOTH).to_radians();
    let smoothed = all.harmonics.smoothed(sigma);
    // Twice as many rings as the field has waves.
    let n_rings = 4 * (smoothed.band_limit() + 1);
    smoothed.grid(n_rings, 2 * n_rings).peaks(&PeakOptions { most: args.peaks, ..PeakOptions::default() })
}

/// Of which patches a part is, in words.
fn name(part: &PartHarmonics) -> String {
    match (part.part.kind(), usize::try_from(part.part.number())) {
        ("zone", Ok(zone)) => format!("zone {}", Zone::ALL[zone].name()),
        ("shell", Ok(shell)) => format!("shell {shell}"),
        _ => "all patches".to_owned(),
    }
}

fn text_report(parts: &[PartHarmonics], peaks: &[Peak]) -> String {
    let mut text = String::new();
    for part in parts {
        let dipole = part.harmonics.dipole();
        let _ = writeln!(
            text,
            "{}: {} patches, shot noise {:.6e}, dipole ({:.3}, {:.3}, {:.3})",
            name(part),
            part.harmonics.n_points(),
            part.spectrum.shot_noise,
            dipole[0],
            dipole[1],
            dipole[2]
        );
        let _ = writeln!(text, "{:>6}  {:>13}  {:>13}  {:>10}", "l", "C_l", "C_l - noise", "cumulative");
        let signal = part.spectrum.signal();
        for (l, power) in part.spectrum.power.iter().enumerate() {
            let _ =
                writeln!(text, "{l:>6}  {power:>13.6e}  {:>13.6e}  {:>10.6}", signal[l], part.spectrum.cumulative[l]);
        }
    }
    for peak in peaks {
        let (theta, phi) = (peak.cone.theta.to_degrees(), peak.cone.phi.to_degrees());
        let _ = writeln!(text, "peak at {theta:.2}, {phi:.2} degrees: {:.6e}", peak.height);
    }
    text
}

fn json_report(parts: &[PartHarmonics], peaks: &[Peak]) -> String {
    let part = |part: &PartHarmonics| {
        json!({"kind": part.part.kind(), "number": part.part.number(), "n_patches": part.harmonics.n_points(),
            "band_limit": part.harmonics.band_limit(), "c_l": part.spectrum.power, "shot_noise": part.spectrum.shot_noise,
            "cumulative": part.spectrum.cumulative, "dipole": part.harmonics.dipole()})
    };
    let peak = |peak: &Peak| json!({"theta": peak.cone.theta.to_degrees(), "phi": peak.cone.phi.to_degrees(), "height": peak.height});
    let report = json!({"parts": parts.iter().map(part).collect::<Vec<Value>>(), "peaks": peaks.iter().map(peak).collect::<Vec<Value>>()});
    format!("{report:#}\n")
}
