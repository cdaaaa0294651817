//! A run: one thread reads ahead, some encode and write, one keeps the journal.

use std::cell::RefCell;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use blt_core::EntropyEngine;
use blt_output::{Fidelity, Projection, publish, sync_directory};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::decoding::guarded;
use crate::encode::EncodeError;
use crate::equal_shards;
use crate::error::{IngestError, SourceError};
use crate::journal::{Journal, OutputFile, Row, Status};
use crate::options::{Form, IngestOptions};
use crate::plan::{Plan, PlannedSource, plan};
use crate::reading::{Loaded, Reader};
use crate::reduction::projection;
use crate::shards::{complete, encode_for_shards, write_shards};
use crate::work::{Batch, Ended, OutputNames, Work, remove_files};

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
    /// The run has this many sources, if that is known, and about so many bytes.
    fn planned(&self, _n_sources: Option<u64>, _n_bytes: u64) {}
    /// So many bytes more have been encoded, or passed over because they were done.
    fn advanced(&self, _n_bytes: u64) {}
    /// How embeddings are written loses something: through a projection that was fitted, or in 8 bits. What it loses of a
    /// sample.
    fn reduced(&self, _projection: Option<&Projection>, _fidelity: &Fidelity) {}
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
    /// From the run's start to its end, on the clock.
    pub wall: f64,
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

impl Summary {
    fn count(&mut self, outcome: &Outcome, row: Option<&Row>) {
        match outcome {
            Outcome::Done { n_patches, .. } => {
                self.n_done += 1;
                self.n_patches += n_patches;
                self.n_bytes += row.and_then(|row| row.n_bytes).unwrap_or(0);
            }
            Outcome::Resumed => self.n_resumed += 1,
            Outcome::Skipped(_) => self.n_skipped += 1,
            Outcome::Failed(_) => self.n_failed += 1,
        }
    }
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
    observer.planned(plan.n_sources(), plan.n_bytes());

    let mut options = options.clone();
    // Whatever a killed run's decoding processes leave goes with the folder.
    options.modalities.isolation.scratch = Some(partial.clone());
    let options = &options;
    let start = Instant::now();
    let stop = AtomicBool::new(false);
    let seconds = Mutex::default();
    let mut work =
        Work { engine, options, observer, cancelled, stop: &stop, partial: &partial, projection: None, seconds };
    work.projection = projection(&work, &plan, &journal)?;
    if work.is_stopped() {
        remove_folder(&partial).map_err(output)?;
        return Ok(Summary { interrupted: true, ..Summary::default() });
    }
    let (to_workers, from_reader) = bounded(options.prefetch.max(1));
    let (to_journal, from_workers) = bounded(JOURNAL_BATCH);
    let reader_journal = Journal::open_existing(&options.output)?;
    let (summary, read) = std::thread::scope(|scope| {
        let reader = Reader {
            work: &work,
            plan: &plan,
            journal: reader_journal,
            to_workers,
            to_journal: to_journal.clone(),
            failed_units: RefCell::default(),
        };
        let n_sources = plan.n_sources().map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let n_workers = options.n_workers.clamp(1, n_sources.max(1));
        let work = &work;
        let reading = match &options.form {
            Form::Documents => {
                for _ in 0..n_workers {
                    let (from_reader, to_journal) = (from_reader.clone(), to_journal.clone());
                    scope.spawn(move || encode_documents(work, &from_reader, &to_journal));
                }
                scope.spawn(|| reader.read_documents().map(|()| None))
            }
            Form::Shards(shards) => {
                let (to_shards, from_workers) = bounded(n_workers);
                let n_permits = options.prefetch.max(1) + 2 * n_workers;
                let (give_permit, permits) = bounded(n_permits);
                (0..n_permits).for_each(|_| give_permit.send(()).expect("there is room for every permit"));
                for _ in 0..n_workers {
                    let (from_reader, to_shards) = (from_reader.clone(), to_shards.clone());
                    scope.spawn(move || encode_for_shards(work, &from_reader, &to_shards));
                }
                let to_journal = to_journal.clone();
                scope.spawn(move || write_shards(scope, work, shards, &from_workers, &give_permit, &to_journal));
                scope.spawn(move || reader.read_shards(shards, &permits, &to_shards))
            }
        };
        drop((from_reader, to_journal));
        let summary = keep_journal(&journal, &options.output, observer, &from_workers, &stop);
        // Whoever still works does so for nothing after a failure.
        stop.store(true, Ordering::Relaxed);
        (summary, reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut summary = summary?;
    let n_shards = read?;
    summary.interrupted = cancelled.load(Ordering::Relaxed);
    summary.seconds = *work.seconds.lock().unwrap_or_else(PoisonError::into_inner);
    summary.seconds.wall = start.elapsed().as_secs_f64();

    if let (Form::Shards(shards), Some(n_shards)) = (&options.form, n_shards) {
        complete(options, shards, (&plan, n_shards), &engine.info().model, &journal, &partial)?;
    }
    if let Some(count) = options.equal_shards
        && !summary.interrupted
    {
        equal_shards::write(options, count, &journal, &partial)?;
    }
    let fresh = partial.join(Journal::FILE_NAME);
    journal.write_canonical(&fresh)?;
    publish(&fresh, &options.output.join(Journal::FILE_NAME)).map_err(output)?;
    remove_folder(&partial).map_err(output)?;
    sync_directory(&options.output).map_err(output)?;
    Ok(summary)
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
    if let Ok(journal) = Journal::open_existing(folder) {
        if let Ok(rows) = journal.rows() {
            rows.iter().for_each(|row| remove_files(folder, &row.outputs));
        }
        if let Ok(files) = journal.output_files() {
            remove_files(folder, &files.into_iter().map(|file| file.name).collect::<Vec<_>>());
        }
    }
    // With a journal goes what SQLite would roll back into the next one.
    let _ = fs::remove_file(folder.join(format!("{}-journal", Journal::FILE_NAME)));
    fs::remove_file(&path).map_err(|source| IngestError::Output { path, source })
}

/// Encodes sources and gives each files of its own.
fn encode_documents(work: &Work<'_>, from_reader: &Receiver<Loaded>, to_journal: &Sender<Batch>) {
    for Loaded { planned, mut content, .. } in from_reader {
        if work.stop.load(Ordering::Relaxed) {
            return;
        }
        let published = guarded(|| {
            let encoded = work.encode(&planned, &mut content)?;
            work.timed(|seconds| &mut seconds.write, || work.publish_document(encoded))
        });
        let batch = match published {
            Ok((ended, files)) => Batch::of(ended, files),
            Err(SourceError::Encode(EncodeError::Cancelled)) => continue,
            Err(error) => {
                // A full disk must not stay full for the sources that follow.
                remove_files(work.partial, &OutputNames::of(&planned.id).all());
                Batch::of(Ended::failed(planned, Some(&content), error), Vec::new())
            }
        };
        if to_journal.send(batch).is_err() {
            return;
        }
    }
}

/// Writes what ends to the journal, in batches. An output's name is on the disk before the journal says that it is done.
fn keep_journal(
    journal: &Journal,
    folder: &Path,
    observer: &dyn Observer,
    ended: &Receiver<Batch>,
    stop: &AtomicBool,
) -> Result<Summary, IngestError> {
    let mut summary = Summary::default();
    let (mut rows, mut files, mut healed, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut last_written = Instant::now();
    let mut failure = None;
    loop {
        let next = ended.recv_timeout(JOURNAL_INTERVAL);
        let is_over = matches!(next, Err(crossbeam_channel::RecvTimeoutError::Disconnected));
        if let Ok(batch) = next {
            for Ended { source, outcome, row } in batch.ended {
                summary.count(&outcome, row.as_ref());
                observer.ended(&source, &outcome);
                rows.extend(row);
            }
            files.extend(batch.files);
            healed.extend(batch.healed);
            gone.extend(batch.gone);
        }
        let is_due = is_over || rows.len() >= JOURNAL_BATCH || last_written.elapsed() >= JOURNAL_INTERVAL;
        if is_due && (!rows.is_empty() || !healed.is_empty()) && failure.is_none() {
            // After a failure the channel is still drained, so that no worker waits for ever.
            failure = write_rows(journal, folder, &rows, &files, &gone).and_then(|()| journal.forget(&healed)).err();
            stop.fetch_or(failure.is_some(), Ordering::Relaxed);
            last_written = Instant::now();
        }
        if is_due {
            rows.clear();
            files.clear();
            healed.clear();
            gone.clear();
        }
        if is_over {
            return failure.map_or(Ok(summary), Err);
        }
    }
}

/// Names that are new are on the disk before the journal says `done`; outputs of a source that has none any more go
/// before it says so.
fn write_rows(
    journal: &Journal,
    folder: &Path,
    rows: &[Row],
    files: &[OutputFile],
    gone: &[String],
) -> Result<(), IngestError> {
    let mut gone = gone.to_vec();
    for row in rows.iter().filter(|row| row.status != Status::Done) {
        if let Some(earlier) = journal.by_id(&row.id)? {
            let own = OutputNames::of(&row.id).all();
            gone.extend(earlier.outputs.into_iter().filter(|name| own.contains(name) && !row.outputs.contains(name)));
        }
    }
    remove_files(folder, &gone);
    sync_directory(folder).map_err(|source| IngestError::Output { path: folder.to_owned(), source })?;
    journal.record(rows, files, &gone)
}
