//! One source through the decoder, the model and into its outputs.

use std::cell::{RefCell, RefMut};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use blt_core::{EntropyEngine, Modality, Patch, View, ViewData};
use blt_modalities::Decoded;
use blt_output::{
    DocumentCollector, DocumentInfo, Embeddings, Projection, ShardReceipt, publish, sync_directory, write_safetensors,
};
use blt_patcher::Rule;
use blt_sidecar::{Sidecar, SidecarError, SidecarRecord, SidecarWriter, TrunkInfo, write_json};

use crate::decoding::decode;
use crate::encode::{EmbeddingsOf, PatchSink, encode_view};
use crate::error::SourceError;
use crate::id::is_inside;
use crate::journal::{OutputFile, Row, Status};
use crate::options::{Form, IngestOptions, patching_metadata};
use crate::plan::PlannedSource;
use crate::run::{Observer, Outcome, StageSeconds};
use crate::source::LoadedSource;

/// What the threads of a run share.
pub(crate) struct Work<'a> {
    pub(crate) engine: &'a dyn EntropyEngine,
    pub(crate) options: &'a IngestOptions,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) cancelled: &'a AtomicBool,
    /// Set when the journal has failed and nothing can be recorded any more.
    pub(crate) stop: &'a AtomicBool,
    /// Files in the making.
    pub(crate) partial: &'a Path,
    /// What embeddings are reduced by.
    pub(crate) projection: Option<Arc<Projection>>,
    pub(crate) seconds: Mutex<StageSeconds>,
}

/// A source that has ended. Without a row the journal stays as it is.
pub(crate) struct Ended {
    pub(crate) source: Arc<PlannedSource>,
    pub(crate) outcome: Outcome,
    pub(crate) row: Option<Row>,
}

/// Sources that have ended, with the files that hold their patches: they are recorded together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) ended: Vec<Ended>,
    pub(crate) files: Vec<OutputFile>,
    /// Ids of earlier failures that are none any more.
    pub(crate) healed: Vec<String>,
    /// Files of earlier runs that hold nothing any more.
    pub(crate) gone: Vec<String>,
}

impl Batch {
    /// One source.
    pub(crate) fn of(ended: Ended, files: Vec<OutputFile>) -> Self {
        Self { ended: vec![ended], files, ..Self::default() }
    }
}

impl Ended {
    /// A source that could not be done, once it was read or before.
    pub(crate) fn failed(source: Arc<PlannedSource>, content: Option<&LoadedSource>, error: SourceError) -> Self {
        let row = Row {
            sha256: content.map(|content| hex(&content.sha256)),
            n_bytes: content.map(|content| content.n_bytes),
            error: Some(error.chain()),
            ..empty_row(&source, Status::Failed)
        };
        Self { source, outcome: Outcome::Failed(error), row: Some(row) }
    }

    /// A source that is nothing to ingest.
    pub(crate) fn skipped(source: Arc<PlannedSource>, reason: &'static str) -> Self {
        let row = Row { error: Some(reason.to_owned()), ..empty_row(&source, Status::Skipped) };
        Self { source, outcome: Outcome::Skipped(reason), row: Some(row) }
    }
}

/// A source that was encoded; its files are in the making.
pub(crate) struct Encoded {
    pub(crate) patches: DocumentCollector,
    pub(crate) hypergraph: Hypergraph,
    pub(crate) about: About,
}

/// The hypergraph of a source in the making.
pub(crate) enum Hypergraph {
    /// In a file of its own.
    File(SidecarWriter),
    /// Held for the file of its shard.
    Record(SidecarRecord),
}

impl Hypergraph {
    fn view(&mut self, view: &View) -> Result<(), SidecarError> {
        match self {
            Self::File(writer) => writer.view(view).map(drop),
            Self::Record(record) => {
                record.view(view);
                Ok(())
            }
        }
    }

    fn leaf(&mut self, patch: &Patch<'_>) -> Result<(), SidecarError> {
        match self {
            Self::File(writer) => writer.leaf(patch),
            Self::Record(record) => record.leaf(patch),
        }
    }
}

/// What there is to say of a source that was encoded.
pub(crate) struct About {
    pub(crate) planned: Arc<PlannedSource>,
    media_type: String,
    pub(crate) modality: Modality,
    pub(crate) sha256: [u8; 32],
    pub(crate) n_bytes: u64,
    pub(crate) n_patches: u64,
    problems: Vec<String>,
    /// Why its bytes stand for it.
    error: Option<SourceError>,
}

impl About {
    /// As it stands in the hypergraph.
    pub(crate) fn trunk(&self) -> TrunkInfo<'_> {
        TrunkInfo {
            output_id: &self.planned.id,
            path: &self.planned.name,
            sha256: self.sha256,
            n_bytes: self.n_bytes,
            media_type: &self.media_type,
            modality: self.modality,
            problems: &self.problems,
        }
    }

    /// That it has failed after all.
    pub(crate) fn fail(self, error: SourceError) -> Ended {
        let row = Row {
            sha256: Some(hex(&self.sha256)),
            n_bytes: Some(self.n_bytes),
            error: Some(error.chain()),
            ..empty_row(&self.planned, Status::Failed)
        };
        Ended { source: self.planned, outcome: Outcome::Failed(error), row: Some(row) }
    }

    /// That it has ended, its patches being in the files `outputs`.
    pub(crate) fn end(self, outputs: Vec<String>) -> Ended {
        let status = if self.error.is_some() { Status::Failed } else { Status::Done };
        let row = Row {
            sha256: Some(hex(&self.sha256)),
            n_bytes: Some(self.n_bytes),
            n_patches: Some(self.n_patches),
            modality: Some(self.modality.name().to_owned()),
            error: self.error.as_ref().map(SourceError::chain),
            outputs,
            ..empty_row(&self.planned, status)
        };
        let outcome = match self.error {
            Some(error) => Outcome::Failed(error),
            None => Outcome::Done { n_patches: self.n_patches, problems: self.problems },
        };
        Ended { source: self.planned, outcome, row: Some(row) }
    }
}

impl Work<'_> {
    /// Whether the run is to end before its end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }

    /// Decodes and encodes one source. One that cannot be decoded has failed, and is encoded as its bytes.
    pub(crate) fn encode(
        &self,
        planned: &Arc<PlannedSource>,
        content: &mut LoadedSource,
    ) -> Result<Encoded, SourceError> {
        let IngestOptions { encoding, embeddings, .. } = self.options;
        let Decoded { mut document, error } =
            self.timed(|seconds| &mut seconds.decode, || decode(self.options, planned, content, self.cancelled))?;
        let error = error.map(SourceError::Decode);
        if encoding.patcher.rule == Rule::Bpe
            && let Some(error) = error
        {
            return Err(error); // bytes that could not be decoded have no tokens
        }
        document.problems.extend(error.as_ref().map(SourceError::chain));
        // A file inside that failed has told so already.
        let mut told = std::collections::HashSet::new();
        document.problems.retain(|problem| told.insert(problem.clone()));

        let hypergraph = match self.options.form {
            Form::Documents => {
                let path = self.partial.join(OutputNames::of(&planned.id).sidecar);
                Hypergraph::File(SidecarWriter::create(&path)?)
            }
            Form::Shards(_) => Hypergraph::Record(SidecarRecord::new(self.partial)),
        };
        let mut sink = Outputs {
            patches: DocumentCollector::new(self.partial, *embeddings, self.projection.clone()),
            hypergraph,
            hypergraph_error: None,
            observer: self.observer,
        };
        for view in &document.views {
            self.timed(|seconds| &mut seconds.encode, || self.encode_one_view(view, content, &mut sink))?;
        }
        content.check_unchanged()?;
        let (sha256, n_bytes) = (content.sha256, content.n_bytes);
        let about = About {
            planned: Arc::clone(planned),
            media_type: document.media_type,
            modality: document.modality,
            sha256,
            n_bytes,
            n_patches: sink.patches.n_patches(),
            problems: document.problems,
            error,
        };
        Ok(Encoded { patches: sink.patches, hypergraph: sink.hypergraph, about })
    }

    /// Gives a source files of its own.
    pub(crate) fn publish_document(&self, encoded: Encoded) -> Result<(Ended, Vec<OutputFile>), SourceError> {
        let Encoded { patches, hypergraph, about } = encoded;
        let OutputNames { sidecar: sidecar_name, json, patches: file_name } = OutputNames::of(&about.planned.id);
        let Hypergraph::File(sidecar) = hypergraph else {
            unreachable!("a source with files of its own has this one too")
        };
        sidecar.finish(&about.trunk())?;
        let info = DocumentInfo {
            id: &about.planned.id,
            source: &about.planned.name,
            modality: about.modality.name(),
            model: &self.engine.info().model,
            sidecar: Some(&sidecar_name),
            patching: &patching_metadata(&self.options.encoding),
        };
        let written = write_safetensors(patches.finish(), &self.partial.join(&file_name), &info);
        let ShardReceipt { path, n_bytes, sha256, .. } = written.map_err(SourceError::Write)?;
        let mut small = vec![sidecar_name];
        if self.options.export_json {
            let mut out = io::BufWriter::new(File::create(self.partial.join(&json)).map_err(SourceError::Write)?);
            write_json(&Sidecar::open(&self.partial.join(&small[0]))?, &mut out)?;
            out.into_inner().map_err(|error| SourceError::Write(error.into_error()))?;
            small.push(json);
        }
        let publish_all = || {
            let mut files: Vec<OutputFile> = small
                .iter()
                .map(|name| publish_hashed(self.partial, &self.options.output, name))
                .collect::<io::Result<_>>()?;
            publish_at(&path, &self.options.output, &file_name)?;
            files.push(OutputFile { name: file_name, n_bytes, sha256: hex(&sha256) });
            Ok(files)
        };
        let files: Vec<OutputFile> = publish_all().map_err(SourceError::Write)?;
        let names = files.iter().map(|file| file.name.clone()).collect();
        Ok((about.end(names), files))
    }

    fn encode_one_view(
        &self,
        view: &View,
        content: &mut LoadedSource,
        sink: &mut Outputs<'_>,
    ) -> Result<(), SourceError> {
        sink.hypergraph.view(view)?;
        let encoded = self.encode_view_into(view, content, sink);
        if let Some(error) = sink.hypergraph_error.take() {
            return Err(error.into());
        }
        encoded?;
        sink.patches.end_view(&view.label, view.modality.name());
        Ok(())
    }

    /// Passes the bytes and patches of a view to `sink`.
    pub(crate) fn encode_view_into(
        &self,
        view: &View,
        content: &mut LoadedSource,
        sink: &mut dyn PatchSink,
    ) -> Result<(), SourceError> {
        let encoding = &self.options.encoding.of(view.modality);
        let delimiters = match encoding.patcher.rule {
            Rule::Bpe => self.token_starts(view, content.n_bytes)?,
            _ => Vec::new(),
        };
        // The reader is opened anew for each pass over the view, one at a time.
        let content = RefCell::new(content);
        let open = || ViewReader::open(&content, view);
        encode_view(self.engine, encoding, open, &delimiters, sink, self.cancelled)?;
        Ok(())
    }

    /// Where the tokens of a text begin: its units are what the text decoder was asked for. Nothing else has tokens.
    fn token_starts(&self, view: &View, n_source_bytes: u64) -> Result<Vec<usize>, SourceError> {
        let label = self.options.modalities.text.segments.label();
        let is_empty = match &view.data {
            ViewData::Source => n_source_bytes == 0,
            ViewData::Owned(bytes) => bytes.is_empty(),
        };
        if !is_empty && (view.units.is_empty() || view.units.iter().any(|unit| unit.label != label)) {
            return Err(SourceError::NoTokens(view.label.to_string()));
        }
        Ok(view.units.iter().map(|unit| unit.range.start as usize).collect())
    }

    /// Runs `work` and adds its time to a stage's.
    pub(crate) fn timed<T>(&self, stage: fn(&mut StageSeconds) -> &mut f64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let mut seconds = self.seconds.lock().unwrap_or_else(PoisonError::into_inner);
        *stage(&mut seconds) += start.elapsed().as_secs_f64();
        result
    }
}

/// A view's bytes from its start.
struct ViewReader<'a, 'b> {
    content: RefMut<'a, &'b mut LoadedSource>,
    view: &'a View,
    n_read: usize,
}

impl<'a, 'b> ViewReader<'a, 'b> {
    fn open(content: &'a RefCell<&'b mut LoadedSource>, view: &'a View) -> io::Result<Self> {
        let mut content = content.borrow_mut();
        content.reader().rewind()?;
        Ok(Self { content, view, n_read: 0 })
    }
}

impl Read for ViewReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &self.view.data {
            // No more than was hashed, however the file may grow.
            ViewData::Source => {
                let n_left = usize::try_from(self.content.n_bytes - self.n_read as u64).unwrap_or(usize::MAX);
                let n = buffer.len().min(n_left);
                self.content.reader().read(&mut buffer[..n])?
            }
            ViewData::Owned(bytes) => (&bytes[self.n_read.min(bytes.len())..]).read(buffer)?,
        };
        self.n_read += n;
        Ok(n)
    }
}

/// The outputs of one source, fed from one encoding.
struct Outputs<'a> {
    patches: DocumentCollector,
    hypergraph: Hypergraph,
    hypergraph_error: Option<SidecarError>,
    observer: &'a dyn Observer,
}

impl PatchSink for Outputs<'_> {
    fn bytes(&mut self, bytes: &[u8], entropies: &[f32], prominence: &[f32], embeddings: &[f32]) -> io::Result<()> {
        self.observer.advanced(bytes.len() as u64);
        self.patches.bytes(bytes, entropies, prominence, embeddings)
    }

    fn patch(&mut self, patch: &Patch<'_>) -> io::Result<()> {
        if let Err(error) = self.hypergraph.leaf(patch) {
            self.hypergraph_error = Some(error);
            return Err(io::Error::other("the hypergraph could not be written"));
        }
        self.patches.patch(patch)
    }

    fn wants_embeddings(&self) -> EmbeddingsOf {
        match self.patches.embeddings() {
            Embeddings::None => EmbeddingsOf::Nothing,
            Embeddings::Patch => EmbeddingsOf::Patches,
            Embeddings::Byte => EmbeddingsOf::Bytes,
        }
    }
}

/// Names of everything that one source may leave.
pub(crate) struct OutputNames {
    pub(crate) sidecar: String,
    pub(crate) json: String,
    pub(crate) patches: String,
}

impl OutputNames {
    /// Those of the source `id`.
    pub(crate) fn of(id: &str) -> Self {
        let name = |suffix| format!("{id}.{suffix}");
        Self { sidecar: name("hypergraph.db"), json: name("hypergraph.json"), patches: name("safetensors") }
    }

    /// All of them.
    pub(crate) fn all(self) -> [String; 3] {
        [self.sidecar, self.json, self.patches]
    }
}

/// Where the file `name` is while it is in the making.
pub(crate) fn partial_path(partial: &Path, name: &str) -> PathBuf {
    partial.join(name.replace('/', "~"))
}

/// Hashes the finished file `name` in `partial` and gives it its place in `folder`.
pub(crate) fn publish_hashed(partial: &Path, folder: &Path, name: &str) -> io::Result<OutputFile> {
    let path = partial_path(partial, name);
    let found = OutputFile::read(&path)?;
    publish_at(&path, folder, name)?;
    Ok(OutputFile { name: name.to_owned(), ..found })
}

/// Gives a finished file its place in `folder`.
pub(crate) fn publish_at(path: &Path, folder: &Path, name: &str) -> io::Result<()> {
    let target = folder.join(name);
    let parent = target.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    publish(path, &target)?;
    if parent != folder { sync_directory(parent) } else { Ok(()) }
}

/// Removes files from `folder`. Names may come from a journal that was tampered with: none leads out of the folder.
pub(crate) fn remove_files(folder: &Path, names: &[String]) {
    for name in names.iter().filter(|name| is_inside(name)) {
        let _ = fs::remove_file(folder.join(name));
    }
}

fn empty_row(planned: &PlannedSource, status: Status) -> Row {
    Row {
        id: planned.id.clone(),
        source: planned.source.clone(),
        sha256: None,
        n_bytes: None,
        n_patches: None,
        modality: None,
        status,
        error: None,
        outputs: Vec::new(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
