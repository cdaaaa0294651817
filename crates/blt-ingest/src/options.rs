//! What a run does.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blt_core::{Limits, Modality};
use blt_modalities::{Modalities, TextSegments};
use blt_output::{EmbeddingOptions, ShardCount};
use blt_patcher::Rule;

use crate::encode::{Encoding, Mode, ProminencePool, Thresholds};
use crate::sequence::DatasetInput;
use crate::shards::Shards;

/// Something to ingest.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file, or a folder with everything below it.
    Path(PathBuf),
    /// This text.
    Text(String),
    /// Standard input.
    Stdin,
    /// The rows of this dataset.
    Dataset(Arc<DatasetInput>),
}

/// How outputs hold sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Each source has files of its own: `<id>.safetensors` and `<id>.hypergraph.db`.
    Documents,
    /// Many sources share a file.
    Shards(Shards),
}

/// A checked configuration of a run.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// What to ingest, in order.
    pub inputs: Vec<Input>,
    /// Folder of the outputs.
    pub output: PathBuf,
    /// How bytes become patches.
    pub encoding: Encoding,
    /// What is written of embeddings.
    pub embeddings: EmbeddingOptions,
    /// How outputs hold sources.
    pub form: Form,
    /// Whether the patches of all sources are cut into equal shards, too, for training on many devices.
    pub equal_shards: Option<ShardCount>,
    /// The decoders and their options.
    pub modalities: Modalities,
    /// What every source is read as; `None`: what it looks like.
    pub modality: Option<Modality>,
    /// Bounds on hostile input.
    pub limits: Limits,
    /// Patterns in the syntax of `.gitignore` for what is left out of folders.
    pub exclude: Vec<String>,
    /// Whether symbolic links inside folders are followed.
    pub follow_links: bool,
    /// Whether the hypergraph is written as JSON too.
    pub export_json: bool,
    /// Whether what is in the output folder is replaced instead of completed.
    pub overwrite: bool,
    /// Whether only sources that failed in earlier runs are worked on.
    pub only_failed: bool,
    /// At most this many sources are worked on.
    pub limit: Option<usize>,
    /// Sources worked on at once.
    pub n_workers: usize,
    /// Sources read ahead of the workers.
    pub prefetch: usize,
    /// Sources up to this many bytes are read into memory once; larger ones stay on disk and are read piece by piece.
    pub in_memory_bytes: u64,
    /// What else decides about the bytes of the outputs, by name, such as the number type of the model.
    pub settings: Vec<(String, String)>,
}

impl IngestOptions {
    /// The defaults for these inputs, `output` folder, encoding and width of the model's embeddings.
    pub fn new(inputs: Vec<Input>, output: &Path, encoding: Encoding, dim: usize) -> Self {
        Self {
            inputs,
            output: output.to_owned(),
            encoding,
            embeddings: EmbeddingOptions::new(dim),
            form: Form::Documents,
            equal_shards: None,
            modalities: Modalities::default(),
            modality: None,
            limits: Limits::default(),
            exclude: Vec::new(),
            follow_links: false,
            export_json: false,
            overwrite: false,
            only_failed: false,
            limit: None,
            n_workers: 1,
            prefetch: 4,
            in_memory_bytes: 8 << 20,
            settings: Vec::new(),
        }
    }

    /// Everything that decides about the bytes of the outputs, as named values. A folder is completed only by runs in
    /// which they are equal. Limits are not among it: a source that failed for one may be tried again with a higher one.
    pub(crate) fn fingerprint(&self, model: &str) -> Vec<(String, String)> {
        let mut values =
            vec![("format".to_owned(), blt_output::FORMAT.to_owned()), ("model".to_owned(), model.to_owned())];
        values.extend(patching_metadata(&self.encoding).into_iter().map(|(key, value)| (key.to_owned(), value)));
        let mut put = |key: &str, value: String| values.push((key.to_owned(), value));
        put("embeddings", format!("{:?}", self.embeddings.embeddings).to_lowercase());
        put("embedding_dtype", format!("{:?}", self.embeddings.dtype).to_lowercase());
        put("embedding_dims", self.embeddings.dims.to_string());
        if let Form::Shards(shards) = self.form {
            put("output_format", shards.setting());
        }
        put("modality", self.modality.map_or("auto", Modality::name).to_owned());
        let segments = &self.modalities.text.segments;
        put("text_segments", if *segments == TextSegments::None { "none" } else { segments.label() }.to_owned());
        put("text_views", format!("{:?}", self.modalities.text.views).to_lowercase());
        put("decoders", self.modalities.settings());
        put("export_json", self.export_json.to_string());
        values.extend(self.settings.iter().cloned());
        values
    }
}

/// The rule and its parameters, as they stand in outputs and in the journal.
pub(crate) fn patching_metadata(encoding: &Encoding) -> Vec<(&'static str, String)> {
    let mut values = vec![("rule", encoding.patcher.rule.name().to_owned())];
    match encoding.patcher.rule {
        Rule::Global { threshold } | Rule::Monotonic { threshold } => values.push(("threshold", threshold.to_string())),
        Rule::GlobalMonotonic { threshold, threshold_add } => {
            values.push(("threshold", threshold.to_string()));
            values.push(("threshold_add", threshold_add.to_string()));
        }
        Rule::TopK { patch_size } | Rule::Static { patch_size } => values.push(("patch_size", patch_size.to_string())),
        _ => {}
    }
    if let Some(Thresholds { size, text, code, image, audio, binary }) = encoding.thresholds {
        // They stand for the rule's own, which nothing is patched with.
        values.retain(|(key, _)| *key != "threshold");
        values.push(("threshold", format!("auto:{size}")));
        values.push(("thresholds", format!("text {text}, code {code}, image {image}, audio {audio}, binary {binary}")));
    }
    if let Some(max) = encoding.patcher.max_patch_length {
        values.push(("max_patch_length", max.to_string()));
    }
    if encoding.mode == Mode::Chunked {
        values.push(("mode", "chunked".to_owned()));
    }
    match encoding.prominence {
        ProminencePool::Max => {}
        ProminencePool::Mean => values.push(("prominence_pool", "mean".to_owned())),
        ProminencePool::NormOfMean => values.push(("prominence_pool", "norm-of-mean".to_owned())),
    }
    values
}
