//! The pipeline: encode, hypergraph, sphere, roots, harmonics, and the database of it all.
//!
//! Every stage leaves files under their final names and then a record. A stage is done again when it has no record of success,
//! when its options or the output of the stage before have changed, or when a file of it is gone or another's. Each stage's
//! files depend on its options and its input alone, so a run that was killed anywhere and started again ends with the files of
//! one clean run.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use blt_core::error_chain;
use blt_sphere::{FillError, HarmonicsError};
use serde_json::json;

use crate::corpus_db::{Contents, CorpusError, write_corpus};
use crate::encoded::EncodedDocument;
use crate::error::ReadError;
use crate::file::ArrayFile;
use crate::harmonics_file::{HarmonicsOptions, harmonics_of, write_harmonics};
use crate::hash::sha256_of_bytes;
use crate::hypergraph::{HypergraphError, write_hypergraph};
use crate::patches::PatchArrays;
use crate::placed::{PlacedFile, rows_of};
use crate::placing::{LeftOut, PlaceOptions, place};
use crate::read::ReadOptions;
use crate::roots_file::{Roots, RootsOptions};
use crate::settings::settings;
use crate::sphere_file::Sphere;
use crate::stages::{Stage, StageRecord, StageStatus, Stages};

/// The folder of the encode stage, in the corpus folder.
pub const ENCODE_FOLDER: &str = "encode";
const HYPERGRAPH: &str = "corpus.hypergraph.db";
const ROOTS: &str = "corpus.roots.safetensors";
const HARMONICS: &str = "corpus.harmonics.safetensors";
const DATABASE: &str = "corpus.db";
/// Held while a run writes to the folder.
const LOCK_FILE: &str = ".lock";

/// In which forms the sphere is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exports {
    /// `.sphere.npz`.
    pub npz: bool,
    /// `.sphere.safetensors`.
    pub safetensors: bool,
    /// `.sphere.json`, without embeddings.
    pub json: bool,
}

impl Exports {
    /// The files for the name `stem`, the one that later stages read first.
    pub fn files(self, stem: &str) -> Vec<String> {
        [(self.npz, "npz"), (self.safetensors, "safetensors"), (self.json, "json")]
            .into_iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, end)| format!("{stem}.sphere.{end}"))
            .collect()
    }
}

impl Default for Exports {
    fn default() -> Self {
        Self { npz: true, safetensors: false, json: false }
    }
}

impl Sphere<'_> {
    /// Writes the sphere into `folder` in each of these forms, under the name `stem`. Gives back the hash of its arrays.
    ///
    /// # Errors
    ///
    /// Fails with the file that could not be written.
    pub fn write_forms(&self, folder: &Path, stem: &str, exports: Exports) -> Result<String, (PathBuf, io::Error)> {
        let mut sha256 = String::new();
        for name in exports.files(stem) {
            let path = folder.join(&name);
            let written = if name.ends_with(".json") {
                self.write_json(&path)
            } else {
                self.write(&path).map(|hash| sha256 = hash)
            };
            written.map_err(|error| (path, error))?;
        }
        Ok(sha256)
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineOptions {
    /// The corpus folder.
    pub output: PathBuf,
    /// Which stages are brought up to date.
    pub stages: Vec<Stage>,
    /// How patch files are read.
    pub read: ReadOptions,
    /// How patches are placed.
    pub place: PlaceOptions,
    /// Forms of the sphere; one has to be `npz` or `safetensors`.
    pub exports: Exports,
    /// The index.
    pub roots: RootsOptions,
    /// The harmonics.
    pub harmonics: HarmonicsOptions,
}

/// How an encode stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoded {
    /// All sources were looked at.
    All,
    /// It was asked to stop before.
    Stopped,
}

/// Makes patch files and hypergraphs of sources; a model does.
pub trait Encoder {
    /// Encodes into `folder` what is not there yet.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be written; not for a source that cannot be read.
    fn encode(&mut self, folder: &Path) -> Result<Encoded, Box<dyn Error>>;

    /// Everything that decided about the bytes of what is in `folder`, by name.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be read.
    fn settings(&mut self, folder: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>>;

    /// The documents in `folder`, by id.
    ///
    /// # Errors
    ///
    /// Fails when the folder does not hold any, or cannot be read.
    fn documents(&mut self, folder: &Path) -> Result<Vec<EncodedDocument>, Box<dyn Error>>;
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A stage is up to date and is passed over.
    Kept(Stage),
    /// A stage begins.
    Begun(Stage),
    /// The files of a stage are there; its record is not.
    Written(Stage),
    /// A stage is done.
    Done(Stage),
    /// The database is there.
    Assembled,
}

/// Is told where a run is.
pub trait PipelineObserver {
    /// The run has come to this step.
    fn at(&mut self, _step: Step) {}
    /// These patches could not be placed.
    fn left_out(&mut self, _patches: &[LeftOut]) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl PipelineObserver for Unwatched {}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PipelineSummary {
    /// Documents with patches in the corpus.
    pub n_documents: u64,
    /// Documents that could not be encoded.
    pub n_failed: u64,
    /// Their patches.
    pub n_patches: u64,
    /// Whether it was asked to stop before its end.
    pub interrupted: bool,
}

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The folder or a file in it could not be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is writing to the same folder.
    #[error("`{}` is in use by another run", .0.display())]
    Locked(PathBuf),
    /// The records of earlier runs could not be read.
    #[error("cannot read what earlier runs did in `{}`", path.display())]
    Records {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A stage needs one that was not asked for and has not been done.
    #[error("the stage `{}` needs the stage `{}`, which is not up to date", stage.name(), needs.name())]
    Needs {
        /// The stage.
        stage: Stage,
        /// What it needs.
        needs: Stage,
    },
    /// Encoding failed.
    #[error("cannot encode the sources")]
    Encode(#[source] Box<dyn Error>),
    /// A file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The hypergraph could not be made.
    #[error(transparent)]
    Hypergraph(#[from] HypergraphError),
    /// The patches could not be placed.
    #[error("cannot place the patches")]
    Fill(#[from] FillError),
    /// The harmonics could not be computed.
    #[error("cannot compute the harmonics")]
    Harmonics(#[from] HarmonicsError),
    /// The database could not be made.
    #[error("cannot write the corpus database")]
    Corpus(#[from] CorpusError),
}

impl PipelineError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Locked(_) => Some("wait for it to finish, or choose another `--output`"),
            Self::Records { .. } => Some("remove `pipeline.json`, and every stage is done again"),
            Self::Needs { .. } => Some("name both in `--stages`, or leave it out to run all"),
            Self::Read(error) => error.hint(),
            Self::Fill(error) => error.hint(),
            _ => None,
        }
    }
}

/// Brings the stages of a corpus up to date. Setting `cancelled` ends it after the current stage, or within encoding.
///
/// # Errors
///
/// Fails when a stage does; its record says why, and the next run begins with it.
pub fn run_pipeline(
    options: &PipelineOptions,
    encoder: &mut dyn Encoder,
    observer: &mut dyn PipelineObserver,
    cancelled: &AtomicBool,
) -> Result<PipelineSummary, PipelineError> {
    let folder = &options.output;
    let write = |source| PipelineError::Write { path: folder.clone(), source };
    fs::create_dir_all(folder).map_err(write)?;
    let _lock = lock(folder)?;
    remove_partial_files(folder).map_err(write)?;
    let stages = Stages::read(folder).map_err(|source| PipelineError::Records { path: folder.clone(), source })?;
    let mut run = Run { options, stages, observer, documents: Vec::new() };
    let mut interrupted = !run.encode(encoder)?;
    let later: [(Stage, StageWork<'_>); 4] = [
        (Stage::Hypergraph, Run::hypergraph),
        (Stage::Sphere, Run::sphere),
        (Stage::Roots, Run::roots),
        (Stage::Harmonics, Run::harmonics),
    ];
    for (stage, work) in later {
        interrupted |= cancelled.load(Ordering::Relaxed);
        if !interrupted {
            run.stage(stage, work)?;
        }
    }
    if !interrupted {
        run.assemble()?;
    }
    let done = run.documents.iter().filter(|document| document.is_done());
    Ok(PipelineSummary {
        n_documents: done.clone().count() as u64,
        n_failed: run.documents.iter().filter(|document| document.error.is_some()).count() as u64,
        n_patches: done.filter_map(|document| document.n_patches).sum(),
        interrupted,
    })
}

fn lock(folder: &Path) -> Result<File, PipelineError> {
    let path = folder.join(LOCK_FILE);
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|source| PipelineError::Write { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PipelineError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(PipelineError::Write { path, source }),
    }
}

/// What a killed run left in the making.
fn remove_partial_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.contains(".partial") && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

struct Run<'a> {
    options: &'a PipelineOptions,
    stages: Stages,
    observer: &'a mut dyn PipelineObserver,
    documents: Vec<EncodedDocument>,
}

/// Does a stage and gives the hash of what it made.
type StageWork<'a> = fn(&mut Run<'a>) -> Result<String, PipelineError>;

impl<'a> Run<'a> {
    fn path(&self, name: &str) -> PathBuf {
        self.options.output.join(name)
    }

    fn record(&mut self, stage: Stage, record: StageRecord) -> Result<(), PipelineError> {
        self.stages.set(stage, record);
        let folder = &self.options.output;
        self.stages.write(folder).map_err(|source| PipelineError::Write { path: folder.clone(), source })
    }

    /// `false` when it was asked to stop. Encoding looks at its sources every time: it knows itself what is done.
    fn encode(&mut self, encoder: &mut dyn Encoder) -> Result<bool, PipelineError> {
        let folder = self.path(ENCODE_FOLDER);
        let before = self.stages.get(Stage::Encode);
        let is_asked_for = self.options.stages.contains(&Stage::Encode);
        if is_asked_for {
            self.observer.at(Step::Begun(Stage::Encode));
            // A record of success stays until there is another: nothing that is done is forgotten by looking again.
            let ended = match encoder.encode(&folder) {
                Ok(Encoded::All) => None,
                Ok(Encoded::Stopped) => Some((StageStatus::Running, Ok(false))),
                Err(error) => Some((StageStatus::Failed, Err(PipelineError::Encode(error)))),
            };
            if let Some((status, ended)) = ended {
                let error = ended.as_ref().err().map(|error| error_chain(error));
                self.record(Stage::Encode, StageRecord { status, error, ..before })?;
                return ended;
            }
            self.observer.at(Step::Written(Stage::Encode));
        } else if before.status != StageStatus::Complete {
            let stage = self.options.stages.first().copied().unwrap_or(Stage::Hypergraph);
            return Err(PipelineError::Needs { stage, needs: Stage::Encode });
        }
        self.documents = encoder.documents(&folder).map_err(PipelineError::Encode)?;
        self.documents.sort_by(|a, b| a.id.cmp(&b.id));
        let config = encoder.settings(&folder).map_err(PipelineError::Encode)?;
        let record = StageRecord {
            status: StageStatus::Complete,
            output: fingerprint(&config, &self.documents),
            config,
            input: String::new(),
            files: vec![ENCODE_FOLDER.to_owned()],
            error: None,
        };
        if record != before {
            self.record(Stage::Encode, record)?;
        }
        if is_asked_for {
            self.observer.at(Step::Done(Stage::Encode));
        }
        Ok(true)
    }

    /// Does a stage unless it is up to date or not asked for.
    fn stage(&mut self, stage: Stage, work: StageWork<'a>) -> Result<(), PipelineError> {
        if !self.options.stages.contains(&stage) {
            return Ok(());
        }
        let (config, files) = config(self.options, stage);
        let upstream = stage.upstream().expect("every stage but the first has one before it");
        if !self.stages.is_fresh(upstream) {
            return Err(PipelineError::Needs { stage, needs: upstream });
        }
        let (input, before) = (self.stages.get(upstream).output, self.stages.get(stage));
        if is_current(self.options, &self.stages, stage) {
            self.observer.at(Step::Kept(stage));
            return Ok(());
        }
        // Until it is done, files of earlier runs stay on record, to be removed by the run that does it.
        let others = before.files.iter().filter(|name| !files.contains(name));
        let record = |status, error| StageRecord {
            status,
            config: config.clone(),
            input: input.clone(),
            output: String::new(),
            files: files.iter().chain(others.clone()).cloned().collect(),
            error,
        };
        self.record(stage, record(StageStatus::Running, None))?;
        self.observer.at(Step::Begun(stage));
        match work(self) {
            Ok(output) => {
                self.remove_other_files(&before.files, &files)?;
                self.observer.at(Step::Written(stage));
                let done = record(StageStatus::Complete, None);
                self.record(stage, StageRecord { output, files, ..done })?;
                self.observer.at(Step::Done(stage));
                Ok(())
            }
            Err(error) => {
                self.record(stage, record(StageStatus::Failed, Some(error_chain(&error))))?;
                Err(error)
            }
        }
    }

    /// Files of an earlier run in forms that are not asked for any more.
    fn remove_other_files(&self, before: &[String], now: &[String]) -> Result<(), PipelineError> {
        for name in before.iter().filter(|name| !now.contains(name)) {
            // Names come from a file: nothing outside of the folder is touched.
            let path = self.path(name);
            let is_inside = Path::new(name).components().count() == 1 && path.is_file();
            if is_inside {
                fs::remove_file(&path).map_err(|source| PipelineError::Write { path, source })?;
            }
        }
        Ok(())
    }

    fn hypergraph(&mut self) -> Result<String, PipelineError> {
        let path = self.path(HYPERGRAPH);
        write_hypergraph(&path, &self.path(ENCODE_FOLDER), &self.documents)?;
        // It depends on the encoded documents and nothing else.
        Ok(self.stages.get(Stage::Encode).output)
    }

    fn sphere(&mut self) -> Result<String, PipelineError> {
        let mut patches = PatchArrays::default();
        for document in self.documents.iter().filter(|document| document.is_done()) {
            patches.append_file(&document.patch_file(&self.path(ENCODE_FOLDER)), self.options.read)?;
        }
        let (placement, left_out) = place(&mut patches, &self.options.place)?;
        if !left_out.is_empty() {
            self.observer.left_out(&left_out);
        }
        let sphere = Sphere { patches: &patches, placement: &placement, options: &self.options.place };
        let written = sphere.write_forms(&self.options.output, "corpus", self.options.exports);
        written.map_err(|(path, source)| PipelineError::Write { path, source })
    }

    /// The sphere file that later stages read.
    fn sphere_path(&self) -> PathBuf {
        self.path(self.stages.get(Stage::Sphere).files.first().map_or("corpus.sphere.npz", String::as_str))
    }

    fn roots(&mut self) -> Result<String, PipelineError> {
        let file = PlacedFile::open(&self.sphere_path())?;
        let (placed, embeddings) = (file.read()?, file.embeddings()?);
        let roots = Roots::build(rows_of(&embeddings), &placed, self.options.roots);
        let path = self.path(ROOTS);
        let written = roots.write(&path, placed.places(), file.sha256().unwrap_or_default());
        written.map_err(|source| PipelineError::Write { path, source })
    }

    fn harmonics(&mut self) -> Result<String, PipelineError> {
        let file = PlacedFile::open(&self.sphere_path())?;
        let parts = harmonics_of(&file.read()?, &self.options.harmonics)?;
        let path = self.path(HARMONICS);
        let written = write_harmonics(&path, &parts, &self.options.harmonics, file.sha256().unwrap_or_default());
        written.map_err(|source| PipelineError::Write { path, source })
    }

    /// Makes the database anew if anything that is in it has changed.
    fn assemble(&mut self) -> Result<(), PipelineError> {
        let path = self.path(DATABASE);
        let sha256 = sha256_of_bytes(self.stages.to_json().to_string().as_bytes());
        if crate::corpus_db::stages_sha256(&path).as_deref() == Some(&sha256) {
            return Ok(());
        }
        let made = |stage: Stage, name: &str| {
            let path = self.path(name);
            (self.stages.get(stage).status == StageStatus::Complete && path.is_file()).then_some(path)
        };
        let sphere = made(Stage::Sphere, &self.sphere_path().file_name().unwrap_or_default().to_string_lossy());
        let (hypergraph, roots, harmonics) =
            (made(Stage::Hypergraph, HYPERGRAPH), made(Stage::Roots, ROOTS), made(Stage::Harmonics, HARMONICS));
        let contents = Contents {
            folder: &self.path(ENCODE_FOLDER),
            documents: &self.documents,
            read: self.options.read,
            hypergraph: hypergraph.as_deref(),
            sphere: sphere.as_deref(),
            roots: roots.as_deref(),
            harmonics: harmonics.as_deref(),
            stages: &self.stages,
            stages_sha256: &sha256,
        };
        write_corpus(&path, &contents)?;
        self.observer.at(Step::Assembled);
        Ok(())
    }
}

/// The options of a stage, and the files it makes.
fn config(options: &PipelineOptions, stage: Stage) -> (BTreeMap<String, String>, Vec<String>) {
    let files = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    match stage {
        Stage::Encode => (BTreeMap::new(), files(&[ENCODE_FOLDER])),
        Stage::Hypergraph => (BTreeMap::new(), files(&[HYPERGRAPH])),
        Stage::Sphere => {
            let mut config = settings(&options.place);
            let pool = options.read.pool.map_or_else(|| "stored".to_owned(), |pool| pool.to_string());
            config.insert("prominence_pool".to_owned(), pool);
            (config, options.exports.files("corpus"))
        }
        Stage::Roots => (options.roots.settings(), files(&[ROOTS])),
        Stage::Harmonics => (options.harmonics.settings(), files(&[HARMONICS])),
    }
}

/// Whether a stage after the first is done, with these options, for what its upstream stage made, and its files are there: by
/// the hashes in their headers, where they have headers, still those it made.
fn is_current(options: &PipelineOptions, stages: &Stages, stage: Stage) -> bool {
    let (config, files) = config(options, stage);
    let record = stages.get(stage);
    let is_there = |name: &String| {
        let path = options.output.join(name);
        let says = |file: ArrayFile| file.metadata().get("sha256") == Some(&record.output);
        let has_header = name.ends_with(".npz") || name.ends_with(".safetensors");
        if has_header { ArrayFile::open(&path).is_ok_and(says) } else { path.exists() }
    };
    let is_same = stages.is_fresh(stage) && record.config == config && record.files == files;
    is_same && files.iter().all(is_there)
}

/// The stages after encoding that a run with these options would do, if encoding finds nothing new.
///
/// # Errors
///
/// Fails when the records of earlier runs cannot be read.
pub fn outdated(options: &PipelineOptions) -> Result<Vec<Stage>, PipelineError> {
    let records = |source| PipelineError::Records { path: options.output.clone(), source };
    let stages = Stages::read(&options.output).map_err(records)?;
    let mut outdated = Vec::new();
    for stage in Stage::ALL.into_iter().skip(1).filter(|stage| options.stages.contains(stage)) {
        let waits = stage.upstream().is_some_and(|upstream| outdated.contains(&upstream));
        if waits || !is_current(options, &stages, stage) {
            outdated.push(stage);
        }
    }
    Ok(outdated)
}

/// A hash of the encode stage's options and of all its documents.
fn fingerprint(config: &BTreeMap<String, String>, documents: &[EncodedDocument]) -> String {
    let documents: Vec<_> = documents
        .iter()
        .map(|document| json!([document.id, document.sha256, document.n_bytes, document.n_patches, document.error]))
        .collect();
    sha256_of_bytes(json!([config, documents]).to_string().as_bytes())
}
