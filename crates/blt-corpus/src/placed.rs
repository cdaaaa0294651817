//! A sphere file, read back.

use std::collections::BTreeMap;
use std::path::Path;

use blt_sphere::{Chart, ChartKind, Equalizer, Places, Rows, Zone, angles_of};
use serde_json::Value;

use crate::error::ReadError;
use crate::file::ArrayFile;

/// A sphere in memory: all of a sphere file but the embeddings, which [`PlacedFile::embeddings`] reads. Files of the original's
/// scripts are read as far as they go. All vectors have one value a patch.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Distances from the centre.
    pub radii: Vec<f64>,
    /// Angles from the north pole.
    pub theta: Vec<f64>,
    /// Angles around it.
    pub phi: Vec<f64>,
    /// Shells, counted from the core; all 0 where the file has none.
    pub shells: Vec<i32>,
    /// Zones by number: 0 instruction, 1 content, 2 question and answer.
    pub zones: Vec<u8>,
    /// Parts of the volume, where the file has them.
    pub shares: Option<Vec<f64>>,
    /// Boundaries of the shells, where the file has them.
    pub shell_bounds: Option<Vec<f64>>,
    /// Prominence; all 1 where the file has none.
    pub prominence: Vec<f32>,
    /// Mean entropy in nats.
    pub entropies: Option<Vec<f32>>,
    /// Ids of the documents.
    pub documents: Vec<String>,
    /// Each patch's document.
    pub document: Vec<i32>,
    /// Each patch's place in its document.
    pub patch_idx: Vec<i32>,
    /// Where each patch begins in the bytes, and where the last ends; all 0 where the file has no bytes.
    pub byte_starts: Vec<usize>,
    /// The bytes of all patches.
    pub bytes: Vec<u8>,
    /// The strings of the file's header.
    pub metadata: BTreeMap<String, String>,
}

/// An open sphere file.
#[derive(Debug)]
pub struct PlacedFile {
    file: ArrayFile,
    n: usize,
}

impl PlacedFile {
    /// Opens the sphere file at `path`.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read or holds no radii.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = ArrayFile::open(path)?;
        let n = file.len_of("r").or_else(|| file.len_of("radii")).ok_or_else(|| {
            file.wrong("it has no `r` or `radii`, so it is no sphere file")
                .hinted("make one with `blt-cli sphere fill`")
        })?;
        let n = usize::try_from(n).ok().filter(|&n| i32::try_from(n).is_ok());
        let n = n.ok_or_else(|| file.wrong("it has more than 2147483647 patches"))?;
        Ok(Self { file, n })
    }

    /// The arrays.
    pub fn file(&self) -> &ArrayFile {
        &self.file
    }

    /// Number of patches.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// The hash that the file says its arrays have.
    pub fn sha256(&self) -> Option<&str> {
        self.file.metadata().get("sha256").map(String::as_str)
    }

    /// The directions of the embeddings, at any length, `[n, dim]`, and their width.
    ///
    /// # Errors
    ///
    /// Fails when the file has none, or cannot be read.
    pub fn embeddings(&self) -> Result<(Vec<f32>, usize), ReadError> {
        let Some(info) = self.file.info("sphere_coords") else {
            return Err(self.file.wrong("it has no `sphere_coords`, in which neighbours are looked for"));
        };
        match *info.shape.as_slice() {
            [n, dim] if n == self.n as u64 && dim > 0 => Ok((self.file.floats("sphere_coords")?, dim as usize)),
            [0, 0] if self.n == 0 => Ok((Vec::new(), 1)),
            _ => Err(self.file.wrong(format!("its `sphere_coords` have the shape {:?}", info.shape))),
        }
    }

    /// Reads everything else.
    ///
    /// # Errors
    ///
    /// Fails when arrays are malformed or do not have one value a patch.
    pub fn read(&self) -> Result<Placed, ReadError> {
        let file = &self.file;
        let radii = file.doubles(if file.info("r").is_some() { "r" } else { "radii" })?;
        let (theta, phi) = self.angles()?;
        let integers = |name: &str| -> Result<Option<Vec<i32>>, ReadError> {
            if self.one_each(name)?.is_none() {
                return Ok(None);
            }
            let narrow = file.integers(name)?.into_iter().map(|value| i32::try_from(value).ok());
            narrow
                .collect::<Option<Vec<_>>>()
                .map(Some)
                .ok_or_else(|| file.wrong(format!("its `{name}` are too large")))
        };
        let floats = |names: [&str; 2]| -> Result<Option<Vec<f32>>, ReadError> {
            for name in names {
                if self.one_each(name)?.is_some() {
                    return file.floats(name).map(Some);
                }
            }
            Ok(None)
        };
        let shells = integers("shells")?.unwrap_or_else(|| vec![0; self.n]);
        if shells.iter().any(|&shell| shell < 0) {
            return Err(file.wrong("its `shells` are not counted from 0"));
        }
        let zones = match self.one_each("zone")? {
            Some(()) => file.bytes("zone")?,
            None => theta.iter().map(|&theta| Zone::at(theta, std::f64::consts::PI / 12.0) as u8).collect(),
        };
        if zones.iter().any(|&zone| zone > 3) {
            return Err(file.wrong("its `zone` are not 0 to 2"));
        }
        let documents = self.documents()?;
        let document = integers("document")?.unwrap_or_else(|| vec![0; self.n]);
        if document
            .iter()
            .any(|&document| usize::try_from(document).is_ok_and(|d| d >= documents.len().max(1)) || document < 0)
        {
            return Err(file.wrong("its `document` are not among its documents"));
        }
        let patch_idx = match integers("patch_idx")? {
            Some(patch_idx) => patch_idx,
            None => (0..self.n as i32).collect(),
        };
        let (bytes, byte_starts) = self.bytes(integers("patch_lengths")?)?;
        Ok(Placed {
            shares: self.one_each("alloc")?.map(|()| file.doubles("alloc")).transpose()?,
            shell_bounds: file.info("shell_bounds").map(|_| file.doubles("shell_bounds")).transpose()?,
            prominence: floats(["prominence", "original_prominence"])?.unwrap_or_else(|| vec![1.0; self.n]),
            entropies: floats(["entropies", "original_entropies"])?,
            radii,
            theta,
            phi,
            shells,
            zones,
            documents,
            document,
            patch_idx,
            byte_starts,
            bytes,
            metadata: file.metadata().clone(),
        })
    }

    /// The chart that gave the directions, for new embeddings.
    ///
    /// # Errors
    ///
    /// Fails when the file has none or it is malformed.
    pub fn chart(&self) -> Result<Chart, ReadError> {
        let file = &self.file;
        let string = |key: &str| file.metadata().get(key).map(String::as_str).unwrap_or_default();
        let kind = ChartKind::named(string("chart").trim_start_matches("stored "));
        let kind = kind.ok_or_else(|| file.wrong("its metadata name no chart"))?;
        let number = |key: &str| string(key).parse().map_err(|_| file.wrong(format!("its metadata have no `{key}`")));
        let equalizer = if file.info("chart_phi").is_some() {
            let (theta, phi) = (file.doubles("chart_theta")?, file.doubles("chart_phi")?);
            Some(Equalizer { n: number("chart_n")?, theta, phi })
        } else {
            None
        };
        let (mean, axes) = (file.doubles("chart_mean")?, file.doubles("chart_axes")?);
        let chart = Chart { kind, seed: number("chart_seed")?, mean, axes, equalizer };
        if chart.is_sound() { Ok(chart) } else { Err(file.wrong("the parts of its chart do not fit together")) }
    }

    /// `None` when the file has no `name`; fails when that has not one value a patch.
    fn one_each(&self, name: &str) -> Result<Option<()>, ReadError> {
        match self.file.info(name) {
            None => Ok(None),
            Some(info) if info.shape == [self.n as u64] => Ok(Some(())),
            Some(info) => {
                let reason = format!(
                    "its `{name}` have the shape {:?}, not one value for each of {} patches",
                    info.shape, self.n
                );
                Err(self.file.wrong(reason))
            }
        }
    }

    fn angles(&self) -> Result<(Vec<f64>, Vec<f64>), ReadError> {
        let file = &self.file;
        if self.one_each("theta")?.is_some() && self.one_each("phi")?.is_some() {
            // The original's `phi` goes from -pi to pi.
            let phi = file.doubles("phi")?.into_iter().map(|phi| phi.rem_euclid(std::f64::consts::TAU)).collect();
            return Ok((file.doubles("theta")?, phi));
        }
        let name = if file.info("cartesian").is_some() { "cartesian" } else { "sphere_coords" };
        match file.info(name).map(|info| info.shape.as_slice()) {
            Some(&[n, 3]) if n == self.n as u64 => {}
            _ => {
                return Err(file
                    .wrong("it has neither `theta` and `phi` nor `cartesian`")
                    .hinted("fill the patches again"));
            }
        }
        let points = file.doubles(name)?;
        Ok(points.as_chunks::<3>().0.iter().map(|&point| angles_of(point)).unzip())
    }

    fn documents(&self) -> Result<Vec<String>, ReadError> {
        let Some(text) = self.file.metadata().get("documents") else {
            return Ok(vec![crate::id_of_file(self.file.path())]);
        };
        let entries: Vec<Value> = serde_json::from_str(text)
            .map_err(|error| self.file.wrong(format!("its `documents` are malformed ({error})")))?;
        let id = |entry: &Value| entry["id"].as_str().map(str::to_owned);
        entries.iter().map(id).collect::<Option<_>>().ok_or_else(|| self.file.wrong("its `documents` have no names"))
    }

    fn bytes(&self, lengths: Option<Vec<i32>>) -> Result<(Vec<u8>, Vec<usize>), ReadError> {
        let (Some(lengths), Some(_)) = (lengths, self.file.info("bytes")) else {
            return Ok((Vec::new(), vec![0; self.n + 1]));
        };
        let bytes = self.file.bytes("bytes")?;
        let mut starts = vec![0];
        let mut end = 0usize;
        for length in lengths {
            end = usize::try_from(length).ok().and_then(|length| end.checked_add(length)).unwrap_or(usize::MAX);
            starts.push(end);
        }
        if end == bytes.len() {
            Ok((bytes, starts))
        } else {
            Err(self.file.wrong(format!("its `patch_lengths` do not add up to its {} bytes", bytes.len())))
        }
    }
}

impl Placed {
    /// Number of patches.
    pub fn len(&self) -> usize {
        self.radii.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.radii.is_empty()
    }

    /// The bytes of patch `i`; none where the file does not hold them.
    pub fn patch_bytes(&self, i: usize) -> &[u8] {
        &self.bytes[self.byte_starts[i]..self.byte_starts[i + 1]]
    }

    /// The id of the document of patch `i`.
    pub fn document_of(&self, i: usize) -> &str {
        self.documents.get(self.document[i] as usize).map_or("", String::as_str)
    }

    /// The places, for an index.
    pub fn places(&self) -> Places<'_> {
        Places::new(&self.theta, &self.phi, &self.radii, &self.prominence, &self.zones, &self.shells)
    }
}

/// Rows of what [`PlacedFile::embeddings`] gave.
pub fn rows_of(embeddings: &(Vec<f32>, usize)) -> Rows<'_> {
    Rows::new(&embeddings.0, embeddings.1)
}
