//! Datasets as inputs: of the Hub, or in a folder.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use blt_dataset::{
    AssetOptions, AssetSource, Assets, ColumnOptions, Config, Dataset, FileStore, HOST_NOT_ALLOWED, LocalFile,
    LocalFolder, OnMissing, Plan, PlanOptions, Preset, ReadAt, RepoFile, Repository, SplitSlice, TableOptions, resolve,
    resolve_converted, resolve_data_files,
};
use blt_hf::{Hub, HubSource, Pinned, RemoteFile, Repo, RepoKind, UrlError, UrlFetcher, UrlPolicy};
use blt_ingest::DatasetInput;
use clap::{Args, ValueHint};

use crate::failure::Failure;
use crate::hub::{self, HubArgs};
use crate::query::{self, Query, QueryArgs};

/// Where the Hub keeps datasets that it has converted itself.
const CONVERTED: &str = "refs/convert/parquet";

/// Longest card of a dataset.
const MAX_CARD_BYTES: u64 = 16 << 20;

/// Rows of a dataset as sources.
#[derive(Debug, Args)]
pub(crate) struct DatasetArgs {
    /// A dataset of the Hugging Face Hub, or a folder that begins with `.` or `/`
    #[arg(long, aliases = ["dataset", "hf-dataset"], value_name = "ORG/NAME", value_hint = ValueHint::DirPath, help_heading = "Dataset")]
    pub(crate) huggingface_dataset: Option<String>,
    /// Everything that has to be said about a known dataset: fineweb-edu or treevgr
    #[arg(long, value_name = "NAME", conflicts_with = "huggingface_dataset", help_heading = "Dataset")]
    preset: Option<String>,
    /// Configuration, where the dataset has several
    #[arg(long, alias = "subset", value_name = "NAME", help_heading = "Dataset")]
    hf_subset: Option<String>,
    /// Split, or an expression like `train[:1%]+test` [default: train]
    #[arg(long, value_name = "SPLIT", help_heading = "Dataset")]
    split: Option<String>,
    /// Branch, tag or commit [default: main]
    #[arg(long, value_name = "REVISION", help_heading = "Dataset")]
    revision: Option<String>,
    /// Files by a pattern, like `data/*.jsonl` or `test=more/*.csv`, instead of what the dataset says
    #[arg(long, value_name = "PATTERN", help_heading = "Dataset")]
    data_files: Vec<String>,
    /// Columns of text [default: what the dataset says, else found by name]
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Dataset")]
    text_column: Vec<String>,
    /// Columns of pictures, or of their paths
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Dataset")]
    image_column: Vec<String>,
    /// Columns of other files, or of their paths
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "Dataset")]
    file_column: Vec<String>,
    /// The column that names a row [default: its number]
    #[arg(long, value_name = "NAME", help_heading = "Dataset")]
    id_column: Option<String>,
    /// Pass over so many rows
    #[arg(long, value_name = "N", help_heading = "Dataset")]
    skip: Option<u64>,
    /// One part of N of the dataset, from 0, for several machines
    #[arg(long, value_name = "I/N", help_heading = "Dataset")]
    shard: Option<String>,
    /// Leave out what a row names and does not exist, instead of failing the row
    #[arg(long, help_heading = "Dataset")]
    skip_missing_files: bool,
    /// Fetch what rows name at this host; `*.example.org` for all below it
    #[arg(long, value_name = "HOST", help_heading = "Dataset")]
    allow_url_host: Vec<String>,
    /// Read files of the Hub piece by piece and keep nothing of them: for a few rows of a large dataset
    #[arg(long, conflicts_with = "offline", help_heading = "Dataset")]
    stream: bool,
    #[command(flatten)]
    query: QueryArgs,
}

/// A dataset that was found, and what decides about the bytes of its outputs.
pub(crate) struct Found {
    pub(crate) input: Arc<DatasetInput>,
    pub(crate) settings: Vec<(String, String)>,
    /// What its rows answer, where they are not all rows.
    pub(crate) query: Option<Query>,
}

impl DatasetArgs {
    /// Whether a dataset is named.
    pub(crate) fn is_named(&self) -> bool {
        self.huggingface_dataset.is_some() || self.preset.is_some()
    }

    /// The first option that has no effect without a dataset, if one is given.
    pub(crate) fn idle(&self) -> Option<&'static str> {
        let given = [
            (self.hf_subset.is_some(), "--hf-subset"),
            (self.split.is_some(), "--split"),
            (self.revision.is_some(), "--revision"),
            (!self.data_files.is_empty(), "--data-files"),
            (!self.text_column.is_empty(), "--text-column"),
            (!self.image_column.is_empty(), "--image-column"),
            (!self.file_column.is_empty(), "--file-column"),
            (self.id_column.is_some(), "--id-column"),
            (self.skip.is_some(), "--skip"),
            (self.shard.is_some(), "--shard"),
            (self.skip_missing_files, "--skip-missing-files"),
            (!self.allow_url_host.is_empty(), "--allow-url-host"),
            (self.stream, "--stream"),
            (self.query.filter.is_some(), "--filter"),
            (self.query.sql.is_some(), "--sql"),
        ];
        given.into_iter().find_map(|(is_given, option)| (is_given && !self.is_named()).then_some(option))
    }

    /// Finds the dataset, pins its version and plans its rows. `drive` is where caches go if not where they are told to.
    pub(crate) fn find(
        &self,
        hub: &HubArgs,
        limit: Option<usize>,
        drive: Option<&Path>,
    ) -> Result<Option<Found>, Failure> {
        let preset = match &self.preset {
            Some(name) => Some(Preset::of_name(name).ok_or_else(|| {
                let known: Vec<&str> = Preset::all().iter().map(|preset| preset.name).collect();
                Failure::usage(format!("there is no preset `{name}`; there are {}", known.join(", ")))
            })?),
            None => None,
        };
        let Some(name) = self.huggingface_dataset.as_deref().or(preset.as_ref().map(|preset| preset.dataset)) else {
            return Ok(None);
        };
        let query = self.query.query()?;
        let mut place = if name.starts_with(['.', '/']) || Path::new(name).is_absolute() {
            self.in_folder(Path::new(name), hub, drive)?
        } else {
            self.on_hub(name, hub, preset.as_ref(), drive)?
        };
        let failed = |error: blt_dataset::PlanError| {
            let hint = error.hint().map(str::to_owned);
            Failure::new(format!("cannot plan the dataset `{name}`"), error).hint(hint)
        };
        let split = self.split.as_deref().or(preset.as_ref().map(|preset| preset.split)).unwrap_or("train");
        let columns = self.columns(preset.as_ref());
        let options = PlanOptions {
            slices: SplitSlice::parse(split).map_err(|error| failed(error.into()))?,
            columns: columns.clone(),
            skip: self.skip.unwrap_or(0),
            limit: limit.map(|limit| limit as u64),
            shard: self.shard()?,
            table: TableOptions::default(),
            ..PlanOptions::default()
        };
        if let Some(query) = &query {
            place = query::answer(query, place, &options, &hub.options_in(drive)?.cache)?;
        }
        let plan = Plan::new(&*place.files, &place.config, &options).map_err(failed)?;
        let archives = self.archives(&place, preset.as_ref())?;
        let mut settings = vec![
            ("dataset", place.name.clone()),
            ("dataset_config", place.config.name.clone()),
            ("dataset_split", split.to_owned()),
            ("dataset_columns", serde_json::to_string(&columns).unwrap_or_default()),
            ("dataset_skip", options.skip.to_string()),
            ("dataset_data_files", self.data_files.join(" ")),
            ("dataset_archives", archives.iter().map(RepoFile::to_string).collect::<Vec<_>>().join(" ")),
            ("dataset_skip_missing_files", self.skip_missing_files.to_string()),
            ("dataset_allow_url_host", self.allow_url_host.join(" ")),
            ("dataset_shard", format!("{}/{}", options.shard.0, options.shard.1)),
        ];
        settings.extend(query.as_ref().map(|query| ("dataset_query", query.to_string())));
        let assets = self.assets(hub, &place, archives)?;
        let dataset = Dataset::new(place.files, plan, place.config.features, options.table);
        Ok(Some(Found {
            input: Arc::new(DatasetInput::new(&place.name, dataset, Some(assets))),
            settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            query,
        }))
    }

    fn columns(&self, preset: Option<&Preset>) -> ColumnOptions {
        let mut columns = preset.map(|preset| preset.columns.clone()).unwrap_or_default();
        for (named, of_preset) in [
            (&self.text_column, &mut columns.text),
            (&self.image_column, &mut columns.image),
            (&self.file_column, &mut columns.file),
        ] {
            if !named.is_empty() {
                of_preset.clone_from(named);
            }
        }
        columns.id = self.id_column.clone().or(columns.id);
        columns
    }

    fn shard(&self) -> Result<(u64, u64), Failure> {
        let Some(text) = &self.shard else { return Ok((0, 1)) };
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        parts
            .filter(|&(i, n): &(u64, u64)| i < n)
            .ok_or_else(|| Failure::usage(format!("`--shard {text}` is not like `0/4`: a number from 0, and how many")))
    }

    fn in_folder(&self, folder: &Path, hub: &HubArgs, drive: Option<&Path>) -> Result<Place, Failure> {
        let failed = |error: io::Error| Failure::new(format!("cannot read the folder `{}`", folder.display()), error);
        if self.revision.is_some() || self.stream {
            return Err(Failure::usage("`--revision` and `--stream` are for datasets of the Hub, not for a folder"));
        }
        let root = std::fs::canonicalize(folder).map_err(failed)?;
        let files = LocalFolder::new(&root);
        let paths = files.list().map_err(failed)?;
        let readme = read_card(&root.join("README.md"))?;
        let config = self.config(&paths, &readme, &folder.display().to_string())?;
        let own: Arc<dyn FileStore> = Arc::new(files);
        let source = Sources { own: Arc::clone(&own), hub: None, urls: self.urls() };
        let on_disk = {
            let root = root.clone();
            Box::new(move |path: &str| Ok(root.join(path)))
        };
        Ok(Place {
            name: blt_ingest::path_text(&root),
            version: String::new(),
            cache: hub.options_in(drive)?.cache.join("blt-assets"),
            files: own,
            on_disk,
            paths,
            config,
            source: Arc::new(source),
        })
    }

    fn on_hub(
        &self,
        name: &str,
        hub: &HubArgs,
        preset: Option<&Preset>,
        drive: Option<&Path>,
    ) -> Result<Place, Failure> {
        let hub = Arc::new(hub.hub_in(drive)?);
        let repo = Repo::new(RepoKind::Dataset, name).map_err(hub::failure)?;
        let revision = self.revision.as_deref().unwrap_or("main");
        let at = hub.resolve(&repo, revision).map_err(hub::failure)?;
        let list = |at: &Pinned| -> Result<Vec<String>, Failure> {
            Ok(hub.list(at, "").map_err(hub::failure)?.into_iter().map(|file| file.path).collect())
        };
        let mut paths = list(&at)?;
        let readme = if paths.iter().any(|path| path == "README.md") {
            let path = hub.cached_file(&at, "README.md", &()).map_err(hub::failure)?;
            read_card(&path)?
        } else {
            String::new()
        };
        let wanted = self.hf_subset.as_deref().or(preset.and_then(|preset| preset.config));
        let mut at = at;
        let config = match self.config_of(&paths, &readme, wanted) {
            Err(blt_dataset::ResolveError::NoFiles(_)) if self.data_files.is_empty() && self.revision.is_none() => {
                // Files in no known format may have been converted by the Hub.
                at = hub.resolve(&repo, CONVERTED).map_err(hub::failure)?;
                paths = list(&at)?;
                resolve_converted(&paths, wanted)
            }
            other => other,
        }
        .map_err(|error| unresolved(name, error))?;
        let files: Arc<dyn FileStore> =
            Arc::new(HubFiles { hub: Arc::clone(&hub), at: at.clone(), stream: self.stream });
        let source = Sources { own: Arc::clone(&files), hub: Some(Arc::clone(&hub)), urls: self.urls() };
        let on_disk = {
            let (hub, at) = (Arc::clone(&hub), at.clone());
            Box::new(move |path: &str| hub.cached_file(&at, path, &()).map_err(io::Error::from))
        };
        Ok(Place {
            name: format!("hf://datasets/{name}@{}", at.commit),
            version: at.commit.to_string(),
            cache: hub.options().cache.join("blt-assets").join(name.replace('/', "--")),
            files,
            on_disk,
            paths,
            config,
            source: Arc::new(source),
        })
    }

    fn config(&self, paths: &[String], readme: &str, name: &str) -> Result<Config, Failure> {
        self.config_of(paths, readme, self.hf_subset.as_deref()).map_err(|error| unresolved(name, error))
    }

    fn config_of(
        &self,
        paths: &[String],
        readme: &str,
        wanted: Option<&str>,
    ) -> Result<Config, blt_dataset::ResolveError> {
        match &self.data_files[..] {
            [] => resolve(paths, readme, wanted),
            patterns => resolve_data_files(paths, readme, patterns),
        }
    }

    fn urls(&self) -> UrlFetcher {
        UrlFetcher::new(UrlPolicy::new(self.allow_url_host.clone()))
    }

    /// The archives of a preset, those of other repositories at their commits of now.
    fn archives(&self, place: &Place, preset: Option<&Preset>) -> Result<Vec<RepoFile>, Failure> {
        let pin = |archive: &RepoFile| {
            let pinned = archive.repository.as_ref().map(|repository| place.source.pin(repository));
            let failed = |error| Failure::new(format!("cannot find the archive `{archive}`"), error);
            Ok(RepoFile { repository: pinned.transpose().map_err(failed)?, path: archive.path.clone() })
        };
        preset.map_or(&[][..], |preset| &preset.archives).iter().map(pin).collect()
    }

    fn assets(&self, hub: &HubArgs, place: &Place, archives: Vec<RepoFile>) -> Result<Assets, Failure> {
        let options = AssetOptions {
            on_missing: if self.skip_missing_files { OnMissing::Skip } else { OnMissing::Error },
            offline: hub.options()?.offline,
            archives,
            ..AssetOptions::default()
        };
        let paths = place.paths.iter().cloned();
        Ok(Assets::new(&place.cache, Arc::clone(&place.source), paths, &place.version, options))
    }
}

/// Tells where the whole of a file lies; one of the Hub is fetched into the cache first.
type OnDisk = Box<dyn Fn(&str) -> io::Result<PathBuf>>;

/// Where a dataset lies.
pub(crate) struct Place {
    /// Its address with its version, or its folder.
    pub(crate) name: String,
    version: String,
    /// Where files that rows name are kept.
    cache: PathBuf,
    pub(crate) files: Arc<dyn FileStore>,
    #[cfg_attr(not(feature = "polars"), expect(dead_code, reason = "queries alone need whole files"))]
    pub(crate) on_disk: OnDisk,
    paths: Vec<String>,
    pub(crate) config: Config,
    source: Arc<dyn AssetSource>,
}

/// The text of a dataset's card; empty where there is none.
fn read_card(path: &Path) -> Result<String, Failure> {
    let read = || {
        let mut text = String::new();
        File::open(path)?.take(MAX_CARD_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_CARD_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {MAX_CARD_BYTES} bytes"),
            ));
        }
        Ok(text)
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => {
            read.map_err(|error| Failure::new(format!("cannot read the dataset's card `{}`", path.display()), error))
        }
    }
}

pub(crate) fn unresolved(name: &str, error: blt_dataset::ResolveError) -> Failure {
    let hint = error.hint().map(str::to_owned);
    Failure::new(format!("cannot find the files of the dataset `{name}`"), error).hint(hint)
}

/// The files of a dataset of the Hub at one commit.
struct HubFiles {
    hub: Arc<Hub>,
    at: Pinned,
    stream: bool,
}

impl FileStore for HubFiles {
    fn open(&self, path: &str) -> io::Result<Arc<dyn ReadAt>> {
        open_remote(&self.hub, &self.at, path, self.stream)
    }
}

/// A file of the Hub: the whole of it in the cache, or read piece by piece.
fn open_remote(hub: &Arc<Hub>, at: &Pinned, path: &str, stream: bool) -> io::Result<Arc<dyn ReadAt>> {
    // The same commit has the same bytes under the same path.
    let identity = format!("{at}/{path}");
    if stream && hub.find_cached(at, path).is_none() {
        let file = hub.stat(at, path).map_err(io::Error::from)?;
        return Ok(Arc::new(Remote { file: RemoteFile::new(Arc::clone(hub), at.clone(), file), identity }));
    }
    let local = hub.cached_file(at, path, &()).map_err(io::Error::from)?;
    Ok(Arc::new(Cached { file: LocalFile::open(&local)?, identity }))
}

/// A file on disk that is told apart by something else than its time of change.
pub(crate) struct Cached {
    pub(crate) file: LocalFile,
    pub(crate) identity: String,
}

impl ReadAt for Cached {
    fn n_bytes(&self) -> u64 {
        self.file.n_bytes()
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }
}

struct Remote {
    file: RemoteFile,
    identity: String,
}

impl ReadAt for Remote {
    fn n_bytes(&self) -> u64 {
        self.file.info().size
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, buffer)
    }
}

/// What rows name: files of the dataset, of other repositories, and addresses.
struct Sources {
    own: Arc<dyn FileStore>,
    hub: Option<Arc<Hub>>,
    urls: UrlFetcher,
}

impl Sources {
    /// A repository of the Hub at its commit of now.
    fn find(&self, repository: &Repository) -> io::Result<(&Arc<Hub>, Pinned)> {
        let kind = match repository.kind.as_str() {
            "datasets" => RepoKind::Dataset,
            "models" => RepoKind::Model,
            _ => return Err(io::Error::new(io::ErrorKind::Unsupported, "only models and datasets are followed")),
        };
        let Some(hub) = &self.hub else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "a dataset in a folder names a file of the Hub"));
        };
        let repo = Repo::new(kind, &repository.name).map_err(io::Error::from)?;
        Ok((hub, pinned(hub, &repo, repository.revision.as_deref().unwrap_or("main"))?))
    }
}

impl AssetSource for Sources {
    fn open(&self, file: &RepoFile) -> io::Result<Arc<dyn ReadAt>> {
        let Some(repository) = &file.repository else { return self.own.open(&file.path) };
        let (hub, at) = self.find(repository)?;
        // What comes out of it is kept by itself: of a large archive nothing else is needed.
        open_remote(hub, &at, &file.path, true)
    }

    fn pin(&self, repository: &Repository) -> io::Result<Repository> {
        let (_, at) = self.find(repository)?;
        Ok(Repository { revision: Some(at.commit.to_string()), ..repository.clone() })
    }

    fn check_url(&self, url: &str) -> Result<(), &'static str> {
        self.urls.check(url).map_err(|error| match error {
            UrlError::Host { .. } => HOST_NOT_ALLOWED,
            _ => "it is not a plain https address",
        })
    }

    fn fetch(&self, url: &str) -> io::Result<Box<dyn Read + Send>> {
        let mut file = tempfile::tempfile()?;
        self.urls.fetch(url, &mut file)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Box::new(file) as Box<File>)
    }
}

/// The commit of a revision, asked for once.
fn pinned(hub: &Hub, repo: &Repo, revision: &str) -> io::Result<Pinned> {
    static KNOWN: Mutex<Option<HashMap<(Repo, String), Pinned>>> = Mutex::new(None);
    let key = (repo.clone(), revision.to_owned());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some(at) = known.get(&key) {
        return Ok(at.clone());
    }
    let at = hub.resolve(repo, revision).map_err(io::Error::from)?;
    known.insert(key, at.clone());
    Ok(at)
}
