//! Harmonics of a sphere: of all patches, of each zone, and of each shell; as safetensors or NumPy arrays.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use blt_sphere::{Harmonics, HarmonicsError, Spectrum, Zone};

use crate::error::ReadError;
use crate::file::ArrayFile;
use crate::hash::sha256_of_arrays;
use crate::placed::Placed;
use crate::write::{Array, write_arrays};

/// The `format` entry of the metadata.
pub const HARMONICS_FORMAT: &str = "blt_harmonics_v1";

/// What a patch weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HarmonicsWeight {
    /// Its prominence.
    #[default]
    Prominence,
    /// Its share of the volume.
    Share,
    /// 1.
    One,
}

impl HarmonicsWeight {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prominence => "prominence",
            Self::Share => "alloc",
            Self::One => "one",
        }
    }
}

/// How harmonics are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HarmonicsOptions {
    /// The highest degree.
    pub band_limit: usize,
    /// What a patch weighs.
    pub weight: HarmonicsWeight,
    /// Whether each shell that has patches gets its own, too.
    pub shells: bool,
}

impl Default for HarmonicsOptions {
    fn default() -> Self {
        Self { band_limit: 32, weight: HarmonicsWeight::Prominence, shells: false }
    }
}

impl HarmonicsOptions {
    /// Every option by name.
    pub fn settings(&self) -> BTreeMap<String, String> {
        [
            ("band_limit", self.band_limit.to_string()),
            ("weight", self.weight.name().to_owned()),
            ("shells", self.shells.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

/// Of which patches harmonics are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All.
    All,
    /// Those of a zone.
    Zone(Zone),
    /// Those of a shell.
    Shell(u32),
}

impl Part {
    /// Its kind: `all`, `zone` or `shell`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Zone(_) => "zone",
            Self::Shell(_) => "shell",
        }
    }

    /// The number of its zone or shell, -1 of all.
    pub fn number(self) -> i32 {
        match self {
            Self::All => -1,
            Self::Zone(zone) => i32::from(zone as u8),
            Self::Shell(shell) => shell as i32,
        }
    }
}

/// The harmonics of some patches, with their power by degree.
#[derive(Debug, Clone, PartialEq)]
pub struct PartHarmonics {
    /// Of which patches.
    pub part: Part,
    /// Their coefficients.
    pub harmonics: Harmonics,
    /// Their power.
    pub spectrum: Spectrum,
}

/// Computes the harmonics of all patches, of each zone and, if asked for, of each shell; of zones and shells that have patches.
///
/// # Errors
///
/// Fails when the band limit is out of range or a number is not finite.
pub fn harmonics_of(placed: &Placed, options: &HarmonicsOptions) -> Result<Vec<PartHarmonics>, HarmonicsError> {
    let weights: Vec<f64> = match (options.weight, &placed.shares) {
        (HarmonicsWeight::Prominence, _) => placed.prominence.iter().map(|&p| f64::from(p)).collect(),
        (HarmonicsWeight::Share, Some(shares)) => shares.clone(),
        (HarmonicsWeight::Share | HarmonicsWeight::One, _) => vec![1.0; placed.len()],
    };
    let Placed { theta, phi, .. } = placed;
    let mut parts = vec![(Part::All, Harmonics::analyze(theta, phi, &weights, options.band_limit)?)];
    let mut grouped = |group: &[u32], n_groups: usize, part: &dyn Fn(usize) -> Part| {
        let all = Harmonics::analyze_groups(theta, phi, &weights, group, n_groups, options.band_limit)?;
        let named = all.into_iter().enumerate().map(|(i, harmonics)| (part(i), harmonics));
        parts.extend(named.filter(|(_, harmonics)| harmonics.n_points() > 0));
        Ok(())
    };
    let zones: Vec<u32> = placed.zones.iter().map(|&zone| u32::from(zone).min(2)).collect();
    grouped(&zones, Zone::ALL.len(), &|i| Part::Zone(Zone::ALL[i]))?;
    if options.shells {
        // Shells are numbered anew, so that a file's numbers decide about no memory.
        let mut present: Vec<i32> = placed.shells.clone();
        present.sort_unstable();
        present.dedup();
        let place = |shell: i32| present.binary_search(&shell).expect("a shell is among the shells") as u32;
        let shells: Vec<u32> = placed.shells.iter().map(|&shell| place(shell)).collect();
        grouped(&shells, present.len(), &|i| Part::Shell(present[i] as u32))?;
    }
    let described = parts.into_iter().map(|(part, harmonics)| {
        let spectrum = harmonics.spectrum();
        PartHarmonics { part, harmonics, spectrum }
    });
    Ok(described.collect())
}

/// Writes harmonics at `path`, whole or not at all: as `.npz` if it ends in that, else as safetensors. Gives back the hash of the
/// arrays.
///
/// # Errors
///
/// Fails when the file cannot be written.
pub fn write_harmonics(
    path: &Path,
    parts: &[PartHarmonics],
    options: &HarmonicsOptions,
    sphere_sha256: &str,
) -> io::Result<String> {
    let (k, degrees) = (parts.len(), options.band_limit + 1);
    let flat = |of: &dyn Fn(&PartHarmonics) -> Vec<f64>| -> Vec<f64> { parts.iter().flat_map(of).collect() };
    let coefficients = flat(&|part| part.harmonics.coefficients().to_vec());
    let power = flat(&|part| part.spectrum.power.clone());
    let cumulative = flat(&|part| part.spectrum.cumulative.clone());
    let shot_noise = flat(&|part| vec![part.spectrum.shot_noise]);
    let dipole = flat(&|part| part.harmonics.dipole().to_vec());
    let zone = |part: Part| if let Part::Zone(zone) = part { i32::from(zone as u8) } else { -1 };
    let shell = |part: Part| if let Part::Shell(shell) = part { shell as i32 } else { -1 };
    let zones: Vec<i32> = parts.iter().map(|part| zone(part.part)).collect();
    let shells: Vec<i32> = parts.iter().map(|part| shell(part.part)).collect();
    let n_points: Vec<i64> = parts.iter().map(|part| part.harmonics.n_points() as i64).collect();
    let arrays = [
        Array::f64("a_lm", &[k, degrees * degrees], &coefficients),
        Array::f64("c_l", &[k, degrees], &power),
        Array::f64("cumulative", &[k, degrees], &cumulative),
        Array::f64("shot_noise", &[k], &shot_noise),
        Array::f64("dipole", &[k, 3], &dipole),
        Array::i32("zone", &zones),
        Array::i32("shell", &shells),
        Array::i64("n_points", &n_points),
    ];
    let sha256 = sha256_of_arrays(&arrays)?;
    let mut metadata = options.settings();
    let mut put = |key: &str, value: &str| metadata.insert(key.to_owned(), value.to_owned());
    put("format", HARMONICS_FORMAT);
    put("convention", "real orthonormal Y_lm without Condon-Shortley phase; a_lm at l^2 + l + m");
    put("sphere_sha256", sphere_sha256);
    put("sha256", &sha256);
    write_arrays(path, &arrays, &metadata)?;
    Ok(sha256)
}

/// Harmonics of a file: of all patches first.
///
/// # Errors
///
/// Fails when the file cannot be read or is no file of harmonics.
pub fn read_harmonics(path: &Path) -> Result<Vec<PartHarmonics>, ReadError> {
    let file = ArrayFile::open(path)?;
    if file.metadata().get("format").map(String::as_str) != Some(HARMONICS_FORMAT) {
        return Err(file.wrong("it is no file of harmonics").hinted("make one with `blt-cli sphere harmonics`"));
    }
    let wrong = || file.wrong("its arrays do not fit together");
    let (zones, shells) = (file.integers("zone")?, file.integers("shell")?);
    let (a_lm, c_l, cumulative) = (file.doubles("a_lm")?, file.doubles("c_l")?, file.doubles("cumulative")?);
    let shot_noise = file.doubles("shot_noise")?;
    let k = zones.len();
    if k == 0 || [shells.len(), shot_noise.len()] != [k; 2] || !a_lm.len().is_multiple_of(k) {
        return Err(wrong());
    }
    let (n, degrees) = (a_lm.len() / k, (a_lm.len() / k).isqrt());
    if c_l.len() != k * degrees || cumulative.len() != k * degrees {
        return Err(wrong());
    }
    let part = |i: usize| {
        let harmonics = Harmonics::from_coefficients(a_lm[i * n..(i + 1) * n].to_vec());
        let part = match (zones[i], shells[i]) {
            (-1, -1) => Part::All,
            (zone, -1) => {
                Part::Zone(*usize::try_from(zone).ok().and_then(|zone| Zone::ALL.get(zone)).ok_or_else(wrong)?)
            }
            (_, shell) => Part::Shell(u32::try_from(shell).map_err(|_| wrong())?),
        };
        let degree = i * degrees..(i + 1) * degrees;
        Ok(PartHarmonics {
            part,
            harmonics: harmonics.map_err(|error| file.wrong(error.to_string()))?,
            spectrum: Spectrum {
                power: c_l[degree.clone()].to_vec(),
                shot_noise: shot_noise[i],
                cumulative: cumulative[degree].to_vec(),
            },
        })
    };
    (0..k).map(part).collect()
}
