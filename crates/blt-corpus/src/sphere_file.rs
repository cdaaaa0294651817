//! Sphere files: where patches are, in NumPy's form or safetensors.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use blt_sphere::{Placement, coherence01, unit_vector};
use serde_json::{Value, json};

use crate::arrays::Dtype;
use crate::hash::sha256_of_arrays;
use crate::patches::{Document, PatchArrays};
use crate::placing::PlaceOptions;
use crate::settings::settings;
use crate::write::{Array, publish_with, write_arrays};

/// The `format` entry of the metadata.
pub const SPHERE_FORMAT: &str = "blt_sphere_v1";

/// Values derived for the file, which the arrays borrow.
struct Derived {
    radii: Vec<f32>,
    coherence01: Option<Vec<f32>>,
    zones: Vec<u8>,
    documents: Vec<i32>,
}

/// A placement together with what was placed and how.
#[derive(Debug, Clone, Copy)]
pub struct Sphere<'a> {
    /// The patches.
    pub patches: &'a PatchArrays,
    /// Their places.
    pub placement: &'a Placement,
    /// How they got there.
    pub options: &'a PlaceOptions,
}

impl Sphere<'_> {
    /// Writes the sphere at `path`, whole or not at all: as `.npz` if it ends in that, else as safetensors. The same sphere makes
    /// the same bytes. Gives back the hash of its arrays, which is also in its metadata.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<String> {
        let derived = self.derived();
        let arrays = self.arrays(&derived);
        let sha256 = sha256_of_arrays(&arrays)?;
        let mut metadata = self.metadata();
        metadata.insert("sha256".to_owned(), sha256.clone());
        write_arrays(path, &arrays, &metadata)?;
        Ok(sha256)
    }

    /// Writes metadata and one object a patch as JSON, without embeddings.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let (patches, placement) = (self.patches, self.placement);
        publish_with(path, |partial| {
            let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(partial)?);
            write!(out, "{{\"metadata\":{},\n\"patches\":[", json!(self.metadata()))?;
            let mut separator = "\n";
            for (document, range) in patches.ranges() {
                for i in range {
                    let of = |values: &Option<Vec<f32>>| values.as_ref().map(|values| values[i]);
                    let patch = json!({
                        "document": document.id, "patch": patches.patch_idx[i],
                        "r": placement.radii[i], "theta": placement.theta[i], "phi": placement.phi[i],
                        "shell": placement.shells[i], "zone": placement.zones[i].name(), "alloc": placement.shares[i],
                        "prominence": patches.prominence[i], "entropy": of(&patches.entropies),
                        "coherence": of(&patches.coherence),
                    });
                    write!(out, "{separator}{patch}")?;
                    separator = ",\n";
                }
            }
            out.write_all(b"\n]}\n")?;
            out.flush()
        })
    }

    fn derived(&self) -> Derived {
        let patches = self.patches;
        let documents = patches.ranges().enumerate();
        Derived {
            radii: self.placement.radii.iter().map(|&r| r as f32).collect(),
            coherence01: patches
                .entropies
                .as_ref()
                .map(|entropies| coherence01(&patches.prominence, entropies).into_iter().map(|x| x as f32).collect()),
            zones: self.placement.zones.iter().map(|&zone| zone as u8).collect(),
            documents: documents.flat_map(|(i, (_, range))| range.map(move |_| i as i32)).collect(),
        }
    }

    fn arrays<'a>(&'a self, derived: &'a Derived) -> Vec<Array<'a>> {
        let (patches, placement) = (self.patches, self.placement);
        let n = patches.len();
        let mut arrays = vec![
            Array::f64("r", &[n], &placement.radii),
            Array::f64("theta", &[n], &placement.theta),
            Array::f64("phi", &[n], &placement.phi),
            Array::streamed("cartesian", Dtype::F32, &[n, 3], |out| self.write_cartesian(out)),
            Array::streamed("sphere_coords", Dtype::F32, &[n, patches.dim], |out| self.write_coordinates(out)),
            Array::f32("radii", &[n], &derived.radii),
            Array::i32("shells", &placement.shells),
            Array::f64("shell_bounds", &[placement.shell_bounds.len()], &placement.shell_bounds),
            Array::f64("alloc", &[n], &placement.shares),
            Array::bytes("zone", &derived.zones),
            Array::f32("prominence", &[n], &patches.prominence),
            Array::f32("original_prominence", &[n], &patches.prominence),
            Array::i32("document", &derived.documents),
            Array::i32("patch_idx", &patches.patch_idx),
            Array::i32("patch_lengths", &patches.patch_lengths),
            Array::bytes("bytes", &patches.bytes),
            Array::f64("chart_mean", &[placement.chart.mean.len()], &placement.chart.mean),
            Array::f64("chart_axes", &[3, placement.chart.dim()], &placement.chart.axes),
        ];
        if let Some(entropies) = &patches.entropies {
            arrays.push(Array::f32("entropies", &[n], entropies));
            arrays.push(Array::f32("original_entropies", &[n], entropies));
        }
        if let Some(coherence) = &patches.coherence {
            arrays.push(Array::f32("original_coherence", &[n], coherence));
        }
        if let Some(coherence) = &derived.coherence01 {
            arrays.push(Array::f32("coherence01", &[n], coherence));
        }
        if let Some(equalizer) = &placement.chart.equalizer {
            arrays.push(Array::f64("chart_theta", &[equalizer.theta.len()], &equalizer.theta));
            arrays.push(Array::f64("chart_phi", &[equalizer.phi.len()], &equalizer.phi));
        }
        arrays
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let (patches, placement) = (self.patches, self.placement);
        let mut metadata = settings(self.options);
        let mut put = |key: &str, value: String| metadata.insert(key.to_owned(), value);
        put("format", SPHERE_FORMAT.to_owned());
        put("num_patches", patches.len().to_string());
        put("embed_dim", patches.dim.to_string());
        put("documents", documents_json(&patches.documents).to_string());
        put("chart_seed", placement.chart.seed.to_string());
        put("degenerate", placement.stats.n_degenerate.to_string());
        if let (Some(first), Some(last)) = (placement.shell_bounds.first(), placement.shell_bounds.last()) {
            put("r_min", first.to_string());
            put("r_max", last.to_string());
        }
        if let Some(model) = &patches.model {
            put("model", model.clone());
        }
        if let Some(temperature) = placement.stats.temperature {
            put("temperature", temperature.to_string());
        }
        let stats = &placement.stats;
        put("iterations", stats.iterations.to_string());
        put("converged", stats.converged.to_string());
        put("dry", stats.n_dry.to_string());
        if let Some(ebm) = &stats.ebm {
            put("ebm_energy_before", ebm.before.total().to_string());
            put("ebm_energy_after", ebm.after.total().to_string());
            put("ebm_acceptance", ebm.acceptance.to_string());
        }
        if let Some(equalizer) = &placement.chart.equalizer {
            put("chart_n", equalizer.n.to_string());
        }
        metadata
    }

    fn write_cartesian(&self, out: &mut dyn Write) -> io::Result<()> {
        let placement = self.placement;
        for (i, &r) in placement.radii.iter().enumerate() {
            let unit = unit_vector(placement.theta[i], placement.phi[i]);
            unit.iter().try_for_each(|x| out.write_all(&((r * x) as f32).to_le_bytes()))?;
        }
        Ok(())
    }

    /// Embeddings at the length of their radius; zero stays zero.
    fn write_coordinates(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows = self.patches.rows();
        let mut bytes = Vec::with_capacity(rows.dim() * 4);
        for (i, &r) in self.placement.radii.iter().enumerate() {
            let row = rows.row(i);
            let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            let scale = if norm > 0.0 { r / norm } else { 0.0 };
            bytes.clear();
            row.iter().for_each(|&x| bytes.extend(((f64::from(x) * scale) as f32).to_le_bytes()));
            out.write_all(&bytes)?;
        }
        Ok(())
    }
}

fn documents_json(documents: &[Document]) -> Value {
    let entry = |document: &Document| {
        let mut entry = json!({"id": document.id, "n_patches": document.n_patches, "views": document.views});
        if let Some(role) = &document.role {
            entry["role"] = json!(role);
        }
        entry
    };
    documents.iter().map(entry).collect()
}
