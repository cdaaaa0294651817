//! What queries and walks need: a sphere, its index, and where to begin.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use blt_core::Patch;
use blt_corpus::{Placed, PlacedFile, ReadError, Roots, RootsOptions, rows_of};
use blt_ingest::{EmbeddingsOf, Encoding, Mode, PatchSink, ProminencePool, encode_view};
use blt_patcher::{Patcher, Rule};

use super::args::SphereArgs;
use crate::args::{BackendArg, DeviceArg, DtypeArg, QuantizeArg};
use crate::failure::Failure;

/// A sphere in memory.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) placed: Placed,
    pub(super) embeddings: (Vec<f32>, usize),
    sha256: Option<String>,
}

pub(super) fn unreadable(error: ReadError) -> Failure {
    let hint = error.hint();
    Failure::new("cannot read the sphere", error).hint(hint)
}

/// The sphere file that a path means: itself, or that of a corpus folder.
pub(super) fn sphere_path(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let files = ["npz", "safetensors"].map(|end| path.join(format!("corpus.sphere.{end}")));
    let found = files.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        Failure::usage(format!("`{}` is no corpus folder: it has no `corpus.sphere.npz`", path.display()))
            .hint(Some("name a sphere file, or make a corpus with `blt-cli sphere ingest`"))
    })
}

impl SphereArgs {
    pub(super) fn open(&self) -> Result<Opened, Failure> {
        super::use_threads(self.engine.threads.map_or(0, usize::from));
        let path = sphere_path(&self.path)?;
        let file = PlacedFile::open(&path).map_err(unreadable)?;
        let sha256 = file.sha256().map(str::to_owned);
        let (placed, embeddings) = (file.read().map_err(unreadable)?, file.embeddings().map_err(unreadable)?);
        Ok(Opened { path, placed, embeddings, sha256 })
    }

    /// The direction that is looked for: of the text, or of a patch.
    pub(super) fn vector(&self, opened: &Opened, patch: Option<u32>) -> Result<Vec<f32>, Failure> {
        match (&self.text, patch) {
            (Some(text), _) => self.embed(text, opened),
            (None, Some(patch)) => {
                self.refuse_model()?;
                let n = opened.placed.len();
                if patch as usize >= n {
                    return Err(Failure::usage(format!(
                        "there is no patch {patch}: the sphere has {n}, counted from 0"
                    )));
                }
                Ok(rows_of(&opened.embeddings).row(patch as usize).to_vec())
            }
            (None, None) => Err(Failure::usage("nothing to look for").hint(Some("pass `--text` or `--patch`"))),
        }
    }

    /// Options of the model have no effect without a text.
    pub(super) fn refuse_model(&self) -> Result<(), Failure> {
        let engine = &self.engine;
        let is_default = engine.model == "embedded"
            && engine.backend == BackendArg::Auto
            && engine.device == DeviceArg::One(0)
            && engine.dtype == DtypeArg::Auto
            && engine.quantize == QuantizeArg::None
            && engine.instructions.is_none();
        if is_default { Ok(()) } else { Err(Failure::usage("options of the model have no effect without `--text`")) }
    }

    /// The text's embedding: the mean of the model's states over it, as that of a patch is over its bytes.
    fn embed(&self, text: &str, opened: &Opened) -> Result<Vec<f32>, Failure> {
        if text.is_empty() {
            return Err(Failure::usage("an empty text has no direction"));
        }
        let model = self.engine.load()?;
        let dim = opened.embeddings.1;
        let made_by = opened.placed.metadata.get("model").map(String::as_str);
        if made_by.is_some_and(|made_by| made_by != model.name()) || model.engine.info().dim != dim {
            let made_by = made_by.unwrap_or("a model of another width");
            return Err(Failure::usage(format!("the sphere was made with {made_by}, not with {}", model.name()))
                .hint(Some("pass the same model with `--model`")));
        }
        let encoding = Encoding {
            patcher: Patcher { rule: Rule::Static { patch_size: text.len() }, max_patch_length: None },
            thresholds: None,
            mode: Mode::Continuous,
            prominence: ProminencePool::Max,
        };
        let mut sink = Pooled(Vec::new());
        let read = || Ok(text.as_bytes());
        encode_view(&*model.engine, &encoding, read, &[], &mut sink, &AtomicBool::new(false))
            .map_err(|error| Failure::new("cannot read the text with the model", error))?;
        Ok(sink.0)
    }

    /// The index given, that beside the sphere, or a new one.
    pub(super) fn roots<'a>(&self, opened: &'a Opened) -> Result<Roots<'a>, Failure> {
        let rows = rows_of(&opened.embeddings);
        let beside = index_path(&opened.path, None);
        let path = self.index.clone().or_else(|| beside.is_file().then_some(beside));
        let Some(path) = path else {
            tracing::info!("there is no index beside the sphere, so one is built");
            return Ok(Roots::build(rows, &opened.placed, RootsOptions::default()));
        };
        Roots::open(&path, rows, &opened.placed, opened.sha256.as_deref()).map_err(|error| {
            let hint = error.hint();
            Failure::new("cannot use the index", error).hint(hint)
        })
    }
}

/// Where the index of a sphere lies: beside it, or in a folder.
pub(super) fn index_path(sphere: &Path, folder: Option<&Path>) -> PathBuf {
    let name = format!("{}.roots.safetensors", blt_corpus::id_of_file(sphere));
    folder.map_or_else(|| sphere.with_file_name(&name), |folder| folder.join(&name))
}

/// Keeps the embedding of the one patch that there is.
struct Pooled(Vec<f32>);

impl PatchSink for Pooled {
    fn bytes(&mut self, _: &[u8], _: &[f32], _: &[f32], _: &[f32]) -> std::io::Result<()> {
        Ok(())
    }

    fn patch(&mut self, patch: &Patch<'_>) -> std::io::Result<()> {
        self.0 = patch.embedding.to_vec();
        Ok(())
    }

    fn wants_embeddings(&self) -> EmbeddingsOf {
        EmbeddingsOf::Patches
    }
}

impl Opened {
    /// A patch as it is reported: where it is and what it holds.
    pub(super) fn describe(&self, id: u32) -> serde_json::Map<String, serde_json::Value> {
        let i = id as usize;
        let placed = &self.placed;
        let zone = blt_sphere::Zone::ALL.get(usize::from(placed.zones[i])).map(|zone| zone.name());
        let bytes = placed.patch_bytes(i);
        let entry = serde_json::json!({
            "patch": id, "document": placed.document_of(i), "patch_idx": placed.patch_idx[i],
            "r": placed.radii[i], "theta": placed.theta[i].to_degrees(), "phi": placed.phi[i].to_degrees(),
            "zone": zone, "prominence": placed.prominence[i],
            "entropy": placed.entropies.as_ref().map(|entropies| entropies[i]),
            "text": std::str::from_utf8(bytes).ok(), "bytes": bytes.escape_ascii().to_string(),
        });
        if let serde_json::Value::Object(map) = entry { map } else { serde_json::Map::new() }
    }

    /// The same in one line.
    pub(super) fn line(&self, id: u32) -> String {
        let i = id as usize;
        let placed = &self.placed;
        let bytes = placed.patch_bytes(i);
        let text =
            std::str::from_utf8(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), |text| format!("{text:?}"));
        format!("{:>8}  {}#{}  r {:.1}  {text}", id, placed.document_of(i), placed.patch_idx[i], placed.radii[i])
    }
}
