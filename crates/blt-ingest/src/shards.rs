//! Outputs that hold many sources. Workers end in any order; one thread puts what they encoded back into the order of the
//! plan and writes the patches of one shard after another. A shard's hypergraph is written by a thread of its own, which may
//! still be at it while the patches of the next shards are written, and another completes and publishes the shard. Which
//! sources a shard holds depends on the plan alone.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle};

use blt_output::{
    DocumentInfo, ParquetOptions, ParquetWriter, ShardCompression, ShardReceipt, ShardWriter, WebDatasetWriter,
    dataset_card, parquet_name, sync_directory, wids_index,
};
use blt_sidecar::{SidecarError, SidecarRecord, SidecarWriter};
use crossbeam_channel::{Receiver, Sender, unbounded};
use sha2::{Digest, Sha256};

use crate::decoding::guarded;
use crate::encode::EncodeError;
use crate::error::{IngestError, SourceError};
use crate::journal::{Journal, OutputFile};
use crate::options::{IngestOptions, patching_metadata};
use crate::plan::Plan;
use crate::reading::Loaded;
use crate::work::{
    About, Batch, Encoded, Ended, Hypergraph, OutputNames, Work, hex, partial_path, publish_at, publish_hashed,
    remove_files,
};

/// The index beside plain WebDataset shards.
const INDEX: &str = "index.json";
/// What makes a folder of Parquet files a data set.
const CARD: &str = "README.md";

/// What a shard is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardFormat {
    /// `shard_000000.tar` and so on, one sample a source.
    WebDataset(ShardCompression),
    /// `data/train-00000.parquet` and so on, in the form of a Hugging Face data set: a view of a source is a row.
    Parquet,
}

/// How sources are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards {
    /// The form of a shard.
    pub format: ShardFormat,
    /// So many consecutive sources make one.
    pub sources_per_shard: usize,
}

impl Shards {
    /// Names of the files of shard `number`: its patches, then its hypergraph.
    pub(crate) fn names(&self, number: u64) -> [String; 2] {
        match self.format {
            ShardFormat::WebDataset(compression) => {
                let stem = format!("shard_{number:06}");
                [format!("{stem}.{}", compression.extension()), format!("{stem}.hypergraph.db")]
            }
            ShardFormat::Parquet => [parquet_name(number), format!("train-{number:05}.hypergraph.db")],
        }
    }

    /// The number of the shard that a file of this name belongs to.
    fn number_of(&self, name: &str) -> Option<u64> {
        let digits = match self.format {
            ShardFormat::WebDataset(_) => name.strip_prefix("shard_")?,
            ShardFormat::Parquet => name.strip_prefix("data/").unwrap_or(name).strip_prefix("train-")?,
        };
        let digits = digits.split('.').next()?;
        let number = digits.parse().ok()?;
        self.names(number).iter().any(|known| known == name).then_some(number)
    }

    /// As it stands among the settings of a run.
    pub(crate) fn setting(&self) -> String {
        let format = match self.format {
            ShardFormat::WebDataset(compression) => format!("webdataset {}", compression.extension()),
            ShardFormat::Parquet => "parquet".to_owned(),
        };
        format!("{format}, {} a shard", self.sources_per_shard)
    }
}

/// Where a source stands among those on their way to the shards.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    /// Consecutive, from 0.
    pub(crate) order: u64,
    pub(crate) shard: u64,
}

/// A source on its way to its shard, or that shard's end.
pub(crate) struct Arrival {
    place: Place,
    state: State,
}

enum State {
    Encoded(Box<Encoded>),
    /// There is nothing of it to write.
    Ended(Box<Ended>),
    /// The shard has all its sources.
    EndOfShard,
}

impl Arrival {
    /// The end of a shard.
    pub(crate) fn end_of_shard(place: Place) -> Self {
        Self { place, state: State::EndOfShard }
    }

    /// A source of which there is nothing to write.
    pub(crate) fn ended(place: Place, ended: Ended) -> Self {
        Self { place, state: State::Ended(Box::new(ended)) }
    }
}

/// Encodes sources for the shards.
pub(crate) fn encode_for_shards(work: &Work<'_>, from_reader: &Receiver<Loaded>, to_shards: &Sender<Arrival>) {
    for Loaded { planned, mut content, place } in from_reader {
        if work.is_stopped() {
            return;
        }
        let state = match guarded(|| work.encode(&planned, &mut content)) {
            Ok(encoded) => State::Encoded(Box::new(encoded)),
            Err(SourceError::Encode(EncodeError::Cancelled)) => continue,
            Err(error) => {
                remove_files(work.partial, &OutputNames::of(&planned.id).all());
                State::Ended(Box::new(Ended::failed(planned, Some(&content), error)))
            }
        };
        if to_shards.send(Arrival { place, state }).is_err() {
            return;
        }
    }
}

/// Writes shards until nothing arrives any more. A shard that lacks its end is not published. For each source taken in, one
/// permit goes back to the reader.
pub(crate) fn write_shards<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: &'scope Work<'_>,
    shards: &Shards,
    arrivals: &Receiver<Arrival>,
    permits: &Sender<()>,
    to_journal: &Sender<Batch>,
) {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    let mut open: Option<OpenShard<'scope, '_>> = None;
    let mut closing: VecDeque<ScopedJoinHandle<'scope, ()>> = VecDeque::new();
    let max_closing = (n_processors(work) / 2).clamp(1, MAX_CLOSING);
    let max_bytes = MAX_BACKLOG_BYTES * max_closing;
    let backlog = Arc::new(Backlog { max_bytes, n_bytes: Mutex::default(), is_less: Condvar::new() });
    for arrival in arrivals {
        waiting.insert(arrival.place.order, arrival);
        while let Some(Arrival { place, state }) = waiting.remove(&next) {
            next += 1;
            let _ = permits.send(());
            let shard = open.get_or_insert_with(|| OpenShard::new(scope, work, &backlog, *shards, place.shard));
            match state {
                State::Encoded(encoded) => work.timed(|seconds| &mut seconds.write, || shard.append(*encoded)),
                State::Ended(ended) => shard.members.push(Member::Ended(ended)),
                State::EndOfShard => {
                    let Some(shard) = open.take() else { continue };
                    if closing.len() >= max_closing
                        && let Some(oldest) = closing.pop_front()
                    {
                        oldest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    }
                    let to_journal = to_journal.clone();
                    closing.push_back(scope.spawn(move || {
                        let batch = work.timed(|seconds| &mut seconds.write, || shard.close());
                        // That nobody takes it is told by the journal's own error.
                        let _ = to_journal.send(batch);
                    }));
                }
            }
        }
    }
}

/// Threads of the processor that there are for the outputs. With a card there may be more workers than that.
fn n_processors(work: &Work<'_>) -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(work.options.n_workers)
}

/// A source of the shard in the making.
enum Member {
    Written(Arc<About>),
    Ended(Box<Ended>),
}

/// The two files of a shard in the making.
struct ShardFiles<'scope> {
    patches: Box<dyn ShardWriter + Send>,
    hypergraph: HypergraphWriter<'scope>,
}

/// Shards that are completed while another one is written, at most.
const MAX_CLOSING: usize = 8;
/// Bytes of records that wait for hypergraphs' threads, at most, for each shard that may be completed.
const MAX_BACKLOG_BYTES: usize = 128 << 20;
/// A record that has a file open counts for no less, so that there are not too many of those either.
const LEAST_WITH_FILE: usize = 4 << 20;

/// Records that no hypergraph has yet.
struct Backlog {
    max_bytes: usize,
    n_bytes: Mutex<usize>,
    is_less: Condvar,
}

/// A record in the backlog.
struct Waiting {
    /// Until it is taken out to be written.
    record: Option<SidecarRecord>,
    about: Arc<About>,
    n_bytes: usize,
    backlog: Arc<Backlog>,
}

impl Waiting {
    /// Waits until there is room for `record`, or nothing else waits.
    fn new(record: SidecarRecord, about: &Arc<About>, backlog: &Arc<Backlog>) -> Self {
        let least = if record.has_file() { LEAST_WITH_FILE } else { 0 };
        let n_bytes = record.n_bytes().max(least);
        let waiting = backlog.n_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |waiting: &mut usize| *waiting > 0 && *waiting + n_bytes > backlog.max_bytes;
        *backlog.is_less.wait_while(waiting, is_full).unwrap_or_else(PoisonError::into_inner) += n_bytes;
        Self { record: Some(record), about: Arc::clone(about), n_bytes, backlog: Arc::clone(backlog) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        *self.backlog.n_bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.n_bytes;
        self.backlog.is_less.notify_all();
    }
}

/// The hypergraph of a shard, written by a thread of its own. If it is dropped before its end, the thread leaves what still waits.
struct HypergraphWriter<'scope> {
    wanted: Wanted,
    to_thread: Sender<Waiting>,
    thread: ScopedJoinHandle<'scope, Result<(), SidecarError>>,
}

/// Whether somebody still wants a hypergraph: until this is dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl<'scope> HypergraphWriter<'scope> {
    fn create(scope: &'scope Scope<'scope, '_>, work: &'scope Work<'_>, path: PathBuf) -> Result<Self, SidecarError> {
        let mut writer = SidecarWriter::create(&path)?;
        let (to_thread, records) = unbounded::<Waiting>();
        let is_wanted = Arc::new(AtomicBool::new(true));
        let wanted = Wanted(Arc::clone(&is_wanted));
        let thread = scope.spawn(move || {
            let is_abandoned = || !is_wanted.load(Ordering::Relaxed);
            for mut waiting in records {
                if is_abandoned() {
                    return Ok(());
                }
                let Some(record) = waiting.record.take() else { continue };
                work.timed(|seconds| &mut seconds.write, || record.write(&waiting.about.trunk(), &mut writer))?;
            }
            if is_abandoned() { Ok(()) } else { work.timed(|seconds| &mut seconds.write, || writer.close()) }
        });
        Ok(Self { wanted, to_thread, thread })
    }

    /// If the thread has ended, its error is told by [`finish`](Self::finish).
    fn append(&self, waiting: Waiting) {
        let _ = self.to_thread.send(waiting);
    }

    fn finish(self) -> Result<(), SidecarError> {
        let Self { wanted, to_thread, thread } = self;
        drop(to_thread);
        let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        drop(wanted);
        result
    }
}

struct OpenShard<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    work: &'scope Work<'scope>,
    backlog: Arc<Backlog>,
    names: [String; 2],
    format: ShardFormat,
    /// Both files, once there is something to write; the error of the first that failed.
    files: Result<Option<ShardFiles<'scope>>, SourceError>,
    members: Vec<Member>,
}

impl<'scope, 'env> OpenShard<'scope, 'env> {
    fn new(
        scope: &'scope Scope<'scope, 'env>,
        work: &'scope Work<'_>,
        backlog: &Arc<Backlog>,
        shards: Shards,
        number: u64,
    ) -> Self {
        let (backlog, names, format) = (Arc::clone(backlog), shards.names(number), shards.format);
        Self { scope, work, backlog, names, format, files: Ok(None), members: Vec::new() }
    }

    fn append(&mut self, encoded: Encoded) {
        let Encoded { patches, hypergraph, about } = encoded;
        let Hypergraph::Record(record) = hypergraph else { unreachable!("a source of a shard has no file of its own") };
        let about = Arc::new(about);
        if let Ok(files) = &mut self.files {
            let patching = patching_metadata(&self.work.options.encoding);
            let info = DocumentInfo {
                id: &about.planned.id,
                source: &about.planned.name,
                modality: about.modality.name(),
                model: &self.work.engine.info().model,
                sidecar: Some(&self.names[1]),
                patching: &patching,
            };
            let written = (|| {
                let files = match files {
                    Some(files) => files,
                    None => files.insert(create(self.scope, self.work, self.format, &self.names)?),
                };
                files.patches.append(patches.finish(), &info).map_err(SourceError::Write)?;
                files.hypergraph.append(Waiting::new(record, &about, &self.backlog));
                Ok(())
            })();
            match written {
                Ok(()) => {}
                // The format cannot hold this source, and the shard is as it was.
                Err(SourceError::Write(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                    let about = Arc::into_inner(about).expect("the hypergraph does not have it");
                    self.members.push(Member::Ended(Box::new(about.fail(SourceError::Write(error)))));
                    return;
                }
                Err(error) => {
                    if let Ok(Some(files)) = std::mem::replace(&mut self.files, Err(error)) {
                        // What it says comes too late to count.
                        let _ = files.hypergraph.finish();
                    }
                }
            }
        }
        self.members.push(Member::Written(about));
    }

    /// Publishes the shard. If it cannot be written, all its sources have failed.
    fn close(self) -> Batch {
        let Self { work, names, files, members, .. } = self;
        let is_empty = !members.iter().any(|member| matches!(member, Member::Written(_)));
        let files = files.map(|files| files.filter(|_| !is_empty));
        let published = files.and_then(|files| files.map(|files| finish(work, &names, files)).transpose());
        if !matches!(published, Ok(Some(_))) {
            for name in &names {
                let _ = fs::remove_file(partial_path(work.partial, name));
            }
        }
        let end = |member, outputs: &dyn Fn(About) -> Ended| match member {
            Member::Ended(ended) => *ended,
            Member::Written(about) => outputs(Arc::into_inner(about).expect("the hypergraph's thread has ended")),
        };
        match published {
            Ok(Some(files)) => Batch {
                ended: members.into_iter().map(|member| end(member, &|about| about.end(names.to_vec()))).collect(),
                files,
                ..Batch::default()
            },
            // What an earlier run left under these names is of sources that have failed since.
            Ok(None) => Batch {
                ended: members.into_iter().map(|member| end(member, &|about| about.end(Vec::new()))).collect(),
                gone: names.to_vec(),
                ..Batch::default()
            },
            Err(error) => {
                let failed = |about: About| {
                    let reason = io::Error::other(format!("its shard could not be written: {}", error.chain()));
                    about.fail(SourceError::Write(reason))
                };
                Batch {
                    ended: members.into_iter().map(|member| end(member, &failed)).collect(),
                    gone: names.to_vec(),
                    ..Batch::default()
                }
            }
        }
    }
}

fn create<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: &'scope Work<'_>,
    format: ShardFormat,
    names: &[String; 2],
) -> Result<ShardFiles<'scope>, SourceError> {
    let [patches, sidecar] = names.each_ref().map(|name| partial_path(work.partial, name));
    let n_threads = n_processors(work);
    let patches: Box<dyn ShardWriter + Send> = match format {
        ShardFormat::WebDataset(compression) => {
            Box::new(WebDatasetWriter::create(&patches, compression, n_threads).map_err(SourceError::Write)?)
        }
        ShardFormat::Parquet => {
            let options = ParquetOptions { n_threads, ..ParquetOptions::default() };
            let writer = ParquetWriter::create(&patches, &work.options.embeddings, options);
            Box::new(writer.map_err(SourceError::Write)?)
        }
    };
    Ok(ShardFiles { patches, hypergraph: HypergraphWriter::create(scope, work, sidecar)? })
}

fn finish(work: &Work<'_>, names: &[String; 2], files: ShardFiles<'_>) -> Result<Vec<OutputFile>, SourceError> {
    let [patches_name, sidecar_name] = names;
    let patches = files.patches.finish().map_err(SourceError::Write);
    files.hypergraph.finish()?;
    let ShardReceipt { path, n_bytes, sha256, .. } = patches?;
    let publish_both = || {
        let sidecar = publish_hashed(work.partial, &work.options.output, sidecar_name)?;
        publish_at(&path, &work.options.output, patches_name)?;
        sync_directory(&work.options.output)?;
        Ok(vec![OutputFile { name: patches_name.clone(), n_bytes, sha256: hex(&sha256) }, sidecar])
    };
    publish_both().map_err(SourceError::Write)
}

/// What is left to do once every shard is there: shards and sources of earlier runs that are no more go, and the index that
/// `wids` opens plain shards by is written, or the card of the data set.
///
/// # Errors
///
/// Fails when a file cannot be written or the journal fails.
pub(crate) fn complete(
    options: &IngestOptions,
    shards: &Shards,
    (plan, n_shards): (&Plan, u64),
    model: &str,
    journal: &Journal,
    partial: &Path,
) -> Result<(), IngestError> {
    let output = |source| IngestError::Output { path: options.output.clone(), source };
    let mut files = journal.output_files()?;
    let mut gone = Vec::new();
    if options.limit.is_none() {
        // Rows of a dataset do not go away: its version is among the settings.
        if plan.datasets.is_empty() {
            journal.forget_others(&plan.sources)?;
        }
        files.retain(|file| {
            let is_over = shards.number_of(&file.name).is_some_and(|number| number >= n_shards);
            gone.extend(is_over.then(|| file.name.clone()));
            !is_over
        });
    }
    let (name, text) = match shards.format {
        ShardFormat::WebDataset(ShardCompression::None) => (INDEX, wids(options, journal, &files)?),
        ShardFormat::WebDataset(_) => return forget(options, journal, &gone),
        ShardFormat::Parquet => (CARD, dataset_card(&options.embeddings, model, &patching_metadata(&options.encoding))),
    };
    if is_anothers(options, journal, name, &text)? {
        tracing::warn!("`{name}` in the output folder is not this program's, or was changed, and is left as it is");
    } else {
        let written = fs::write(partial.join(name), text).and_then(|()| publish_hashed(partial, &options.output, name));
        journal.record(&[], &[written.map_err(output)?], &[])?;
    }
    forget(options, journal, &gone)
}

/// Whether there is a file of this name that the journal does not know as it is, and that is not `text` either: a run that was
/// killed may have published that without telling the journal.
fn is_anothers(options: &IngestOptions, journal: &Journal, name: &str, text: &str) -> Result<bool, IngestError> {
    let path = options.output.join(name);
    match OutputFile::read(&path) {
        Ok(found) => {
            let is_text = found.sha256 == hex(&Sha256::digest(text));
            Ok(!is_text && journal.output_file(name)? != Some(found))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(IngestError::Output { path, source }),
    }
}

/// Removes files, then what the journal says of them.
fn forget(options: &IngestOptions, journal: &Journal, gone: &[String]) -> Result<(), IngestError> {
    remove_files(&options.output, gone);
    sync_directory(&options.output).map_err(|source| IngestError::Output { path: options.output.clone(), source })?;
    journal.record(&[], &[], gone)
}

fn wids(options: &IngestOptions, journal: &Journal, files: &[OutputFile]) -> Result<String, IngestError> {
    let shards: Vec<&OutputFile> = files.iter().filter(|file| file.name.ends_with(".tar")).collect();
    let counts = journal.sources_by_output()?;
    let receipt = |file: &&OutputFile| ShardReceipt {
        path: options.output.join(&file.name),
        n_rows: counts.get(&file.name).copied().unwrap_or(0),
        n_bytes: file.n_bytes,
        sha256: [0; 32],
    };
    let names: Vec<&str> = shards.iter().map(|file| file.name.as_str()).collect();
    Ok(wids_index(&names, &shards.iter().map(receipt).collect::<Vec<_>>()))
}
