//! A run: one thread reads ahead, some encode and write, one keeps the journal.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use blt_core::{DecodeError, EntropyEngine, Hint, Patch, View, ViewData};
use blt_modalities::Decoded;
use blt_output::{Embeddings, PatchFileMetadata, PatchFileWriter, publish, sync_directory};
use blt_patcher::Rule;
use blt_sidecar::{Sidecar, SidecarWriter, TrunkInfo, write_json};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::encode::{EmbeddingsOf, EncodeError, PatchSink, encode_view};
use crate::error::{IngestError, SourceError};
use crate::id::is_plain_name;
use crate::journal::{Journal, Row, Status};
use crate::options::{IngestOptions, patching_metadata};
use crate::plan::{Plan, PlannedSource, SourceKind, plan};
use crate::source::LoadedSource;

/// Files in the making, inside the output folder. Whatever is in it when a run starts is left over from a killed one.
const PARTIAL_FOLDER: &str = ".partial";
/// Held while a run writes to the folder.
const LOCK_FILE: &str = ".lock";
/// The journal is brought up to date at least this often.
const JOURNAL_INTERVAL: Duration = Duration::from_millis(500);
/// ... and after so many sources.
const JOURNAL_BATCH: usize = 256;

/// How one source ended.
#[derive(Debug)]
pub enum Outcome {
    /// Its outputs were written.
    Done {
        /// Number of its patches.
        n_patches: u64,
        /// What of it could not be decoded.
        problems: Vec<String>,
    },
    /// Its outputs were there already.
    Resumed,
    /// It is nothing to ingest, and why.
    Skipped(&'static str),
    /// It could not be done, and why.
    Failed(SourceError),
}

/// Is told what happens, from several threads.
pub trait Observer: Sync {
    /// The run has this many sources and bytes.
    fn planned(&self, _n_sources: usize, _n_bytes: u64) {}
    /// So many bytes more have been encoded, or passed over because they were done.
    fn advanced(&self, _n_bytes: u64) {}
    /// A source has ended.
    fn ended(&self, _source: &PlannedSource, _outcome: &Outcome) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {}

/// Seconds that all threads together spent in each stage.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StageSeconds {
    /// Reading and hashing.
    pub read: f64,
    /// Decoding.
    pub decode: f64,
    /// Model, patching, and handing patches to the outputs.
    pub encode: f64,
    /// Finishing and publishing outputs.
    pub write: f64,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Sources whose outputs were written.
    pub n_done: u64,
    /// Sources whose outputs were there already.
    pub n_resumed: u64,
    /// Sources that are nothing to ingest.
    pub n_skipped: u64,
    /// Sources that could not be done.
    pub n_failed: u64,
    /// Bytes of the sources done.
    pub n_bytes: u64,
    /// Patches written.
    pub n_patches: u64,
    /// Whether the run was asked to stop before its end.
    pub interrupted: bool,
    /// Where the time went.
    pub seconds: StageSeconds,
}

/// Ingests everything in `options` and leaves the outputs and the journal in its output folder. Sources that are done
/// already, unchanged and with these settings, are passed over. Setting `cancelled` ends the run cleanly.
///
/// # Errors
///
/// Fails when no input exists, the output folder cannot be written, is in use, or was made with other settings. What
/// happens to one source is in the journal and the summary, never an error.
pub fn run(
    engine: &dyn EntropyEngine,
    options: &IngestOptions,
    observer: &dyn Observer,
    cancelled: &AtomicBool,
) -> Result<Summary, IngestError> {
    let output = |source| IngestError::Output { path: options.output.clone(), source };
    fs::create_dir_all(&options.output).map_err(output)?;
    let _lock = lock(&options.output)?;
    let partial = options.output.join(PARTIAL_FOLDER);
    remove_folder(&partial).map_err(output)?;
    if options.overwrite {
        plan(options, None)?; // what cannot be replaced is not removed
        remove_outputs(&options.output)?;
    }
    let journal = Journal::open(&options.output, &options.fingerprint(&engine.info().model))?;
    let plan = plan(options, Some(&journal))?;
    fs::create_dir(&partial).map_err(output)?;
    observer.planned(plan.sources.len(), plan.n_bytes());

    let mut options = options.clone();
    // Whatever a killed run's decoding processes leave goes with the folder.
    options.modalities.isolation.scratch = Some(partial.clone());
    let options = &options;
    let stop = AtomicBool::new(false);
    let work = Work { engine, options, observer, cancelled, stop: &stop, partial: &partial, seconds: Mutex::default() };
    let earlier = journal.rows()?;
    let earlier: std::collections::HashMap<&str, &Row> = earlier.iter().map(|row| (row.id.as_str(), row)).collect();
    let (to_workers, from_reader) = bounded(options.prefetch.max(1));
    let (to_journal, from_workers) = bounded(JOURNAL_BATCH);
    let mut summary = std::thread::scope(|scope| {
        let ended = to_journal.clone();
        scope.spawn(|| {
            let (to_workers, ended) = (to_workers, ended);
            work.read_ahead(&plan.sources, &earlier, &to_workers, &ended);
        });
        for _ in 0..options.n_workers.clamp(1, plan.sources.len().max(1)) {
            let (from_reader, to_journal) = (from_reader.clone(), to_journal.clone());
            let work = &work;
            scope.spawn(move || work.encode_all(&from_reader, &to_journal));
        }
        drop((from_reader, to_journal));
        let summary = keep_journal(&journal, &options.output, observer, &from_workers, &stop);
        // Whoever still works does so for nothing after a failure.
        stop.store(true, Ordering::Relaxed);
        summary
    })?;
    summary.interrupted = cancelled.load(Ordering::Relaxed);
    summary.seconds = *work.seconds.lock().unwrap_or_else(std::sync::PoisonError::into_inner);

    let fresh = partial.join(Journal::FILE_NAME);
    journal.write_canonical(&fresh)?;
    publish(&fresh, &options.output.join(Journal::FILE_NAME)).map_err(output)?;
    remove_folder(&partial).map_err(output)?;
    sync_directory(&options.output).map_err(output)?;
    Ok(summary)
}

/// Is told of a source, what came of it, and how many seconds that took.
pub type DecodedVisitor<'a> = &'a (dyn Fn(&PlannedSource, Result<Decoded, SourceError>, f64) + Sync);

/// Decodes every source of `options` and checks its views, and tells `visit` what came of it and how many seconds it took.
/// Nothing is written. Setting `cancelled` ends it; what was not decoded by then is not visited.
///
/// # Errors
///
/// Fails when no input exists.
pub fn decode_all(
    options: &IngestOptions,
    cancelled: &AtomicBool,
    visit: DecodedVisitor<'_>,
) -> Result<(), IngestError> {
    let plan = plan(options, None)?;
    let scratch = tempfile::tempdir().map_err(|source| IngestError::Output { path: std::env::temp_dir(), source })?;
    let mut options = options.clone();
    options.modalities.isolation.scratch = Some(scratch.path().to_owned());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..options.n_workers.clamp(1, plan.sources.len().max(1)) {
            scope.spawn(|| {
                while let Some(planned) = plan.sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let decoded = guarded(|| match load(&options, planned, scratch.path())? {
                        Ok(mut content) => Ok(Some(decode(&options, planned, &mut content, cancelled)?)),
                        Err(_) => Ok(None), // nothing to ingest
                    });
                    if cancelled.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Some(result) = decoded.transpose() {
                        visit(planned, result, start.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    Ok(())
}

/// What a run would work on, and the journal it would go on with. Nothing is changed.
///
/// # Errors
///
/// Fails as [`run`] would before it begins.
pub fn preview(engine: &dyn EntropyEngine, options: &IngestOptions) -> Result<(Plan, Option<Journal>), IngestError> {
    let journal = if !options.overwrite && options.output.join(Journal::FILE_NAME).exists() {
        let journal = Journal::open_existing(&options.output)?;
        journal.check_settings(&options.fingerprint(&engine.info().model))?;
        Some(journal)
    } else {
        None
    };
    Ok((plan(options, journal.as_ref())?, journal))
}

fn lock(folder: &Path) -> Result<File, IngestError> {
    let path = folder.join(LOCK_FILE);
    let output = |source| IngestError::Output { path: path.clone(), source };
    let file = File::create(&path).map_err(output)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(IngestError::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(output(error)),
    }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the outputs that the journal names, then the journal. Other files in the folder are left alone, and so is
/// everything when the journal is not one of ours; that itself is replaced.
fn remove_outputs(folder: &Path) -> Result<(), IngestError> {
    let path = folder.join(Journal::FILE_NAME);
    if !path.exists() {
        return Ok(());
    }
    if let Ok(rows) = Journal::open_existing(folder).and_then(|journal| journal.rows()) {
        rows.iter().for_each(|row| remove_files(folder, &row.outputs));
    }
    // With a journal goes what SQLite would roll back into the next one.
    let _ = fs::remove_file(folder.join(format!("{}-journal", Journal::FILE_NAME)));
    fs::remove_file(&path).map_err(|source| IngestError::Output { path, source })
}

/// Removes files from `folder`. Names may come from a journal that was tampered with: none leads out of the folder.
fn remove_files(folder: &Path, names: &[String]) {
    for name in names.iter().filter(|name| is_plain_name(name)) {
        let _ = fs::remove_file(folder.join(name));
    }
}

/// Writes what ends to the journal, in batches. An output's name is on the disk before the journal says that it is done.
fn keep_journal(
    journal: &Journal,
    folder: &Path,
    observer: &dyn Observer,
    ended: &Receiver<Ended<'_>>,
    stop: &AtomicBool,
) -> Result<Summary, IngestError> {
    let mut summary = Summary::default();
    let mut rows = Vec::new();
    let mut last_written = Instant::now();
    let mut failure = None;
    loop {
        let next = ended.recv_timeout(JOURNAL_INTERVAL);
        let is_over = matches!(next, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
        if let Ok(Ended { source, outcome, row }) = next {
            match &outcome {
                Outcome::Done { n_patches, .. } => {
                    summary.n_done += 1;
                    summary.n_patches += n_patches;
                    summary.n_bytes += row.as_ref().and_then(|row| row.n_bytes).unwrap_or(0);
                }
                Outcome::Resumed => summary.n_resumed += 1,
                Outcome::Skipped(_) => summary.n_skipped += 1,
                Outcome::Failed(_) => summary.n_failed += 1,
            }
            observer.ended(source, &outcome);
            rows.extend(row);
        }
        let is_due = is_over || rows.len() >= JOURNAL_BATCH || last_written.elapsed() >= JOURNAL_INTERVAL;
        if is_due && !rows.is_empty() && failure.is_none() {
            // After a failure the channel is still drained, so that no worker waits for ever.
            failure = write_rows(journal, folder, &rows).err();
            stop.fetch_or(failure.is_some(), Ordering::Relaxed);
            rows.clear();
            last_written = Instant::now();
        }
        if is_over {
            return failure.map_or(Ok(summary), Err);
        }
    }
}

/// Names that are new are on the disk before the journal says `done`; outputs of a source that has none any more go
/// before it says so.
fn write_rows(journal: &Journal, folder: &Path, rows: &[Row]) -> Result<(), IngestError> {
    for row in rows.iter().filter(|row| row.status != Status::Done) {
        if let Some(mut earlier) = journal.by_id(&row.id)? {
            earlier.outputs.retain(|name| !row.outputs.contains(name));
            remove_files(folder, &earlier.outputs);
        }
    }
    sync_directory(folder).map_err(|source| IngestError::Output { path: folder.to_owned(), source })?;
    journal.record(rows)
}

/// A source that has ended, for the journal. Without a row the journal stays as it is.
struct Ended<'a> {
    source: &'a PlannedSource,
    outcome: Outcome,
    row: Option<Row>,
}

struct Loaded<'a> {
    planned: &'a PlannedSource,
    content: LoadedSource,
}

/// What the threads of a run share.
struct Work<'a> {
    engine: &'a dyn EntropyEngine,
    options: &'a IngestOptions,
    observer: &'a dyn Observer,
    cancelled: &'a AtomicBool,
    /// Set when the journal has failed and nothing can be recorded any more.
    stop: &'a AtomicBool,
    partial: &'a Path,
    seconds: Mutex<StageSeconds>,
}

impl Work<'_> {
    /// Loads sources one after another, a few ahead of the workers, and passes over what is done.
    fn read_ahead<'s>(
        &self,
        sources: &'s [PlannedSource],
        earlier: &std::collections::HashMap<&str, &Row>,
        to_workers: &Sender<Loaded<'s>>,
        ended: &Sender<Ended<'s>>,
    ) {
        for planned in sources {
            if self.cancelled.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed) {
                return;
            }
            let loaded =
                self.timed(|seconds| &mut seconds.read, || guarded(|| load(self.options, planned, self.partial)));
            let earlier = earlier.get(planned.id.as_str());
            let delivered = match loaded {
                Ok(Ok(content)) if earlier.is_some_and(|row| self.is_done(row, &content)) => {
                    self.observer.advanced(content.n_bytes);
                    ended.send(Ended { source: planned, outcome: Outcome::Resumed, row: None }).is_ok()
                }
                Ok(Ok(content)) => to_workers.send(Loaded { planned, content }).is_ok(),
                Ok(Err(reason)) => {
                    let row = Row { error: Some(reason.to_owned()), ..empty_row(planned, Status::Skipped) };
                    ended.send(Ended { source: planned, outcome: Outcome::Skipped(reason), row: Some(row) }).is_ok()
                }
                Err(error) => ended.send(failed(planned, None, error)).is_ok(),
            };
            if !delivered {
                return;
            }
        }
    }

    /// Whether an earlier run made this source's outputs from the same bytes, and they are still there.
    fn is_done(&self, row: &Row, content: &LoadedSource) -> bool {
        row.status == Status::Done
            && !row.outputs.is_empty()
            && row.sha256.as_deref() == Some(&hex(&content.sha256))
            && row.outputs.iter().all(|name| self.options.output.join(name).is_file())
    }

    fn encode_all<'s>(&self, from_reader: &Receiver<Loaded<'s>>, to_journal: &Sender<Ended<'s>>) {
        for Loaded { planned, mut content } in from_reader {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let encoded = guarded(|| self.encode(planned, &mut content));
            let ended = match encoded {
                Ok((row, outcome)) => Ended { source: planned, outcome, row: Some(row) },
                Err(SourceError::Encode(EncodeError::Cancelled) | SourceError::Decode(DecodeError::Cancelled)) => {
                    continue;
                }
                Err(error) => {
                    // A full disk must not stay full for the sources that follow.
                    remove_files(self.partial, &output_names(&planned.id));
                    failed(planned, Some(&content), error)
                }
            };
            if to_journal.send(ended).is_err() {
                return;
            }
        }
    }

    /// Decodes, encodes and writes one source. One that cannot be decoded has failed, and is written as its bytes.
    fn encode(&self, planned: &PlannedSource, content: &mut LoadedSource) -> Result<(Row, Outcome), SourceError> {
        let IngestOptions { encoding, file, .. } = self.options;
        let (n_bytes, sha256) = (content.n_bytes, content.sha256);
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

        let [sidecar_name, json_name, file_name] = output_names(&planned.id);
        let sidecar_path = self.partial.join(&sidecar_name);
        let mut sink = Outputs {
            file: PatchFileWriter::new(self.partial, *file),
            sidecar: SidecarWriter::create(&sidecar_path)?,
            sidecar_error: None,
            observer: self.observer,
        };
        for view in &document.views {
            self.timed(|seconds| &mut seconds.encode, || self.encode_one_view(view, content, &mut sink))?;
        }
        content.check_unchanged()?;

        self.timed(
            |seconds| &mut seconds.write,
            || {
                let trunk = TrunkInfo {
                    path: &planned.name,
                    sha256,
                    n_bytes,
                    media_type: &document.media_type,
                    modality: document.modality,
                    problems: &document.problems,
                };
                sink.sidecar.finish(&trunk)?;
                let n_patches = sink.file.n_patches();
                let metadata = PatchFileMetadata {
                    model: &self.engine.info().model,
                    metadata_file: &sidecar_name,
                    patching: &patching_metadata(encoding),
                };
                let mut names = vec![sidecar_name.clone()];
                if self.options.export_json {
                    let json = File::create(self.partial.join(&json_name)).map_err(SourceError::Write)?;
                    let mut out = io::BufWriter::new(json);
                    write_json(&Sidecar::open(&sidecar_path)?, &mut out)?;
                    out.into_inner().map_err(|error| SourceError::Write(error.into_error()))?;
                    names.push(json_name);
                }
                sink.file.finish(&self.partial.join(&file_name), &metadata).map_err(SourceError::Write)?;
                names.push(file_name);
                for name in &names {
                    publish(&self.partial.join(name), &self.options.output.join(name)).map_err(SourceError::Write)?;
                }
                let status = if error.is_some() { Status::Failed } else { Status::Done };
                let row = Row {
                    sha256: Some(hex(&sha256)),
                    n_bytes: Some(n_bytes),
                    n_patches: Some(n_patches),
                    modality: Some(document.modality.name().to_owned()),
                    error: error.as_ref().map(SourceError::chain),
                    outputs: names,
                    ..empty_row(planned, status)
                };
                let outcome = match error {
                    Some(error) => Outcome::Failed(error),
                    None => Outcome::Done { n_patches, problems: std::mem::take(&mut document.problems) },
                };
                Ok((row, outcome))
            },
        )
    }

    fn encode_one_view(
        &self,
        view: &View,
        content: &mut LoadedSource,
        sink: &mut Outputs<'_>,
    ) -> Result<(), SourceError> {
        let encoding = &self.options.encoding;
        sink.sidecar.view(view)?;
        let delimiters = match encoding.patcher.rule {
            Rule::Bpe => self.token_starts(view, content.n_bytes)?,
            _ => Vec::new(),
        };
        // The reader is opened anew for each pass over the view, one at a time.
        let content = std::cell::RefCell::new(content);
        let open = || ViewReader::open(&content, view);
        let encoded = encode_view(self.engine, encoding, open, &delimiters, sink, self.cancelled);
        if let Some(error) = sink.sidecar_error.take() {
            return Err(error.into());
        }
        encoded?;
        sink.file.end_view(&view.label, view.modality.name());
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

    fn timed<T>(&self, stage: fn(&mut StageSeconds) -> &mut f64, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        let mut seconds = self.seconds.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *stage(&mut seconds) += start.elapsed().as_secs_f64();
        result
    }
}

/// The source's bytes, or why it is nothing to ingest.
fn load(
    options: &IngestOptions,
    planned: &PlannedSource,
    scratch: &Path,
) -> Result<Result<LoadedSource, &'static str>, SourceError> {
    let (max_bytes, in_memory) = (options.limits.max_bytes, options.in_memory_bytes);
    Ok(Ok(match &planned.kind {
        SourceKind::File(path) => LoadedSource::open(path, max_bytes, in_memory)?,
        SourceKind::Text(text) => LoadedSource::from_bytes(text.clone().into_bytes()),
        SourceKind::Stdin => {
            // Kept in a file, so that it can be read more than once whatever its size.
            let path = scratch.join("stdin");
            let copied = File::create(&path)
                .and_then(|mut file| io::copy(&mut io::stdin().lock().take(max_bytes.saturating_add(1)), &mut file));
            copied.map_err(SourceError::Read)?;
            LoadedSource::open(&path, max_bytes, in_memory)?
        }
        SourceKind::Skip(reason) => return Ok(Err(reason)),
        SourceKind::Unreadable(error) => return Err(retold(error)),
    }))
}

/// Decodes a planned source that was loaded.
fn decode(
    options: &IngestOptions,
    planned: &PlannedSource,
    content: &mut LoadedSource,
    cancelled: &AtomicBool,
) -> Result<Decoded, DecodeError> {
    let path = content.path();
    let hint = Hint { name: &planned.name, path: path.as_deref(), ..Hint::default() };
    options.modalities.decode_unless(cancelled, content.reader(), &hint, options.modality, &options.limits)
}

/// A view's bytes from its start.
struct ViewReader<'a, 'b> {
    content: std::cell::RefMut<'a, &'b mut LoadedSource>,
    view: &'a View,
    n_read: usize,
}

impl<'a, 'b> ViewReader<'a, 'b> {
    fn open(content: &'a std::cell::RefCell<&'b mut LoadedSource>, view: &'a View) -> io::Result<Self> {
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
    file: PatchFileWriter,
    sidecar: SidecarWriter,
    sidecar_error: Option<blt_sidecar::SidecarError>,
    observer: &'a dyn Observer,
}

impl PatchSink for Outputs<'_> {
    fn bytes(&mut self, bytes: &[u8], entropies: &[f32], prominence: &[f32], embeddings: &[f32]) -> io::Result<()> {
        self.observer.advanced(bytes.len() as u64);
        self.file.bytes(bytes, entropies, prominence, embeddings)
    }

    fn patch(&mut self, patch: &Patch<'_>) -> io::Result<()> {
        if let Err(error) = self.sidecar.leaf(patch) {
            self.sidecar_error = Some(error);
            return Err(io::Error::other("the hypergraph could not be written"));
        }
        self.file.patch(patch)
    }

    fn wants_embeddings(&self) -> EmbeddingsOf {
        match self.file.embeddings() {
            Embeddings::None => EmbeddingsOf::Nothing,
            Embeddings::Patch => EmbeddingsOf::Patches,
            Embeddings::Byte => EmbeddingsOf::Bytes,
        }
    }
}

/// Runs `work`; a panic inside it becomes an error of the source it was working on.
fn guarded<T>(work: impl FnOnce() -> Result<T, SourceError>) -> Result<T, SourceError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(SourceError::Panic(text.unwrap_or("unknown").to_owned()))
    })
}

/// Names of everything that a source may leave.
fn output_names(id: &str) -> [String; 3] {
    ["hypergraph.db", "hypergraph.json", "safetensors"].map(|suffix| format!("{id}.{suffix}"))
}

fn failed<'s>(planned: &'s PlannedSource, content: Option<&LoadedSource>, error: SourceError) -> Ended<'s> {
    let row = Row {
        sha256: content.map(|content| hex(&content.sha256)),
        n_bytes: content.map(|content| content.n_bytes),
        error: Some(error.chain()),
        ..empty_row(planned, Status::Failed)
    };
    Ended { source: planned, outcome: Outcome::Failed(error), row: Some(row) }
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

/// An error of the plan, for the source it belongs to; only its text can be had twice.
fn retold(error: &SourceError) -> SourceError {
    SourceError::Read(io::Error::other(innermost(error).to_string()))
}

fn innermost<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    error.source().map_or(error, innermost)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
