//! Files that rows only name: found, fetched once, kept by the digest of their bytes, and read from there ever after.

mod error;
mod reference;
mod store;
mod tar_archive;
mod zip_archive;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

pub use error::AssetError;
pub use reference::{HOST_NOT_ALLOWED, Reference, RepoFile, Repository, looks_like_reference, shown_reference};

use crate::document::{Content, RowDocument};
use crate::read_at::ReadAt;
use store::{Asset, Store};

/// Where assets come from when they are not in the cache. Only implementations of it reach out of the machine.
pub trait AssetSource: Send + Sync {
    /// Opens a file of a repository.
    ///
    /// # Errors
    ///
    /// Fails with [`io::ErrorKind::NotFound`] when there is none.
    fn open(&self, file: &RepoFile) -> io::Result<Arc<dyn ReadAt>>;

    /// The repository at the commit that its revision is now, which is what its files are kept under: a branch's change.
    ///
    /// # Errors
    ///
    /// Fails with [`io::ErrorKind::NotFound`] when there is no such repository or revision.
    fn pin(&self, repository: &Repository) -> io::Result<Repository>;

    /// Whether the address may be fetched, as far as it says itself; otherwise why it may not, which is [`HOST_NOT_ALLOWED`]
    /// where the user could allow it.
    ///
    /// # Errors
    ///
    /// Fails when it may not be fetched.
    fn check_url(&self, url: &str) -> Result<(), &'static str>;

    /// Fetches an address that may be fetched. What it resolves to, and where it redirects, is for the implementation to check.
    ///
    /// # Errors
    ///
    /// Fails with [`io::ErrorKind::NotFound`] when there is nothing.
    fn fetch(&self, url: &str) -> io::Result<Box<dyn Read + Send>>;
}

/// What happens to a row that names a file that is not to be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnMissing {
    /// The row is an error.
    #[default]
    Error,
    /// The part is left out if there is no such file; see [`AssetError::is_of_missing`]. Anything else is an error.
    Skip,
}

/// How assets are found, and how much of them.
#[derive(Debug, Clone)]
pub struct AssetOptions {
    /// What a missing file is.
    pub on_missing: OnMissing,
    /// Nothing is fetched; what is not in the cache is missing.
    pub offline: bool,
    /// Archives in which paths are looked up that are no files of the dataset: `.zip`, `.tar`, `.tar.gz`, `.tar.zst`. What was
    /// found in them is kept under their names, so those of other repositories should name a commit.
    pub archives: Vec<RepoFile>,
    /// Files that are fetched at once.
    pub n_threads: usize,
    /// Bounds on hostile archives and files.
    pub limits: AssetLimits,
}

impl Default for AssetOptions {
    fn default() -> Self {
        Self {
            on_missing: OnMissing::default(),
            offline: false,
            archives: Vec::new(),
            n_threads: 8,
            limits: AssetLimits::default(),
        }
    }
}

/// Bounds on hostile archives and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetLimits {
    /// Bytes of one asset.
    pub max_bytes: u64,
    /// Bytes that are taken out of one archive.
    pub max_archive_bytes: u64,
    /// Members of one archive.
    pub max_members: u64,
    /// Bytes that one packed byte may become, beyond the first 64 MiB.
    pub max_ratio: u64,
}

impl Default for AssetLimits {
    fn default() -> Self {
        Self { max_bytes: 1 << 30, max_archive_bytes: 1 << 40, max_members: 10_000_000, max_ratio: 200 }
    }
}

/// The assets of one dataset.
pub struct Assets {
    store: Store,
    source: Arc<dyn AssetSource>,
    /// The files of the dataset itself.
    files: HashSet<String>,
    /// Stands for the version of the dataset in the cache's keys. Where it is empty the dataset is on disk, and its own files
    /// are read from where they are.
    version: String,
    options: AssetOptions,
    /// What was looked for and is not to be had, so that it is not looked for again.
    missing: Mutex<BTreeMap<Reference, Arc<AssetError>>>,
}

/// What a prefetch did.
#[derive(Debug, Default)]
pub struct Prefetched {
    /// Assets that are in the cache now, each counted once.
    pub n_found: u64,
    /// Those among them that were fetched.
    pub n_fetched: u64,
    /// Bytes that were fetched.
    pub n_bytes: u64,
    /// What is not to be had, and why.
    pub missing: Vec<(Reference, Arc<AssetError>)>,
}

impl Assets {
    /// The cache is in `folder`, which is made once there is something to keep and should be `<cache>/<dataset>`. `files` are the
    /// paths of the dataset's own files, and `version` is its commit. It is empty for a folder on disk: its files may change, and
    /// are read from where they are.
    pub fn new(
        folder: &Path,
        source: Arc<dyn AssetSource>,
        files: impl IntoIterator<Item = String>,
        version: &str,
        options: AssetOptions,
    ) -> Self {
        let (files, version) = (files.into_iter().collect(), version.to_owned());
        Self { store: Store::new(folder), source, files, version, options, missing: Mutex::default() }
    }

    /// Whether paths are looked up in archives, which are passed through at every prefetch that does not find all.
    pub fn has_archives(&self) -> bool {
        !self.options.archives.is_empty()
    }

    /// Fetches all of `references` that are not in the cache yet. Archives are passed through once for all of them.
    ///
    /// # Errors
    ///
    /// Fails when the cache cannot be written, and once `cancelled` is set. What cannot be fetched is told by
    /// [`Prefetched::missing`].
    pub fn prefetch(
        &self,
        references: impl IntoIterator<Item = Reference>,
        cancelled: &AtomicBool,
    ) -> Result<Prefetched, AssetError> {
        let mut done = Prefetched::default();
        let mut wanted = BTreeSet::new();
        for reference in references.into_iter().collect::<BTreeSet<_>>() {
            match self.pinned(&reference) {
                Ok(pinned) => drop(wanted.insert(pinned)),
                Err(error) => done.missing.push((reference, Arc::new(error))),
            }
        }
        let mut waiting = Vec::new();
        for reference in wanted {
            if self.is_on_disk(&reference) {
                continue;
            }
            if self.store.find(&self.key(&reference))?.is_some() {
                done.n_found += 1;
            } else if self.options.offline {
                done.missing.push((reference, Arc::new(AssetError::Offline)));
            } else {
                waiting.push(reference);
            }
        }
        let (direct, in_archives): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|reference| self.is_direct(reference));
        for (reference, fetched) in self.fetch_all(direct, cancelled) {
            match fetched {
                Ok(asset) => done.count(&asset),
                Err(error) if error.is_of_all() => return Err(error),
                Err(error) => done.missing.push((reference, Arc::new(error))),
            }
        }
        self.search_archives(in_archives, &mut done, cancelled)?;
        self.store.flush()?;
        self.known_missing().extend(done.missing.iter().cloned());
        Ok(done)
    }

    fn known_missing(&self) -> MutexGuard<'_, BTreeMap<Reference, Arc<AssetError>>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes that `reference` names, fetched if they are not in the cache. What was not to be had once is not asked for
    /// again.
    ///
    /// # Errors
    ///
    /// Fails when they are not to be had, when the cache cannot be read or written, or was changed, and once `cancelled` is set.
    pub fn bytes(&self, reference: &Reference, cancelled: &AtomicBool) -> Result<Vec<u8>, AssetError> {
        if self.is_on_disk(reference) {
            let mut bytes = Vec::new();
            let max = self.options.limits.max_bytes;
            self.open(reference)?.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(AssetError::Fetch)?;
            let is_short = bytes.len() as u64 <= max;
            return if is_short {
                Ok(bytes)
            } else {
                Err(AssetError::Limit { what: "bytes of one asset", limit: max })
            };
        }
        let known = |reference| self.known_missing().get(reference).map(|error| AssetError::Known(Arc::clone(error)));
        if let Some(error) = known(reference) {
            return Err(error);
        }
        let reference = &self.pinned(reference)?;
        let key = self.key(reference);
        if let Some(asset) = self.store.find(&key)? {
            return self.store.read(&asset);
        }
        if let Some(error) = known(reference) {
            return Err(error);
        }
        if let Some((_, error)) = self.prefetch([reference.clone()], cancelled)?.missing.pop() {
            return Err(AssetError::Known(error));
        }
        let asset = self.store.find(&key)?.ok_or(AssetError::Missing { tried: Vec::new() })?;
        self.store.read(&asset)
    }

    /// Puts bytes where `document`, a row of `data_file`, has references. Gives the places of the parts that are left out, which
    /// stay references; there are some under [`OnMissing::Skip`] alone.
    ///
    /// # Errors
    ///
    /// Fails when a file is not to be had, unless that is to be skipped, when the cache cannot be read or written, and once
    /// `cancelled` is set.
    pub fn resolve(
        &self,
        document: &mut RowDocument,
        data_file: &str,
        cancelled: &AtomicBool,
    ) -> Result<Vec<usize>, AssetError> {
        let mut left_out = Vec::new();
        for (place, part) in document.parts.iter_mut().enumerate() {
            let Content::Reference(text) = &part.content else { continue };
            let found = Reference::parse(text, data_file).and_then(|reference| {
                let bytes = self.bytes(&reference, cancelled)?;
                Ok((bytes, reference.file_name()))
            });
            match found {
                Ok((bytes, file_name)) => {
                    part.file_name = Some(file_name);
                    part.content = Content::Bytes(bytes);
                }
                Err(error) if self.options.on_missing == OnMissing::Skip && error.is_of_missing() => {
                    tracing::warn!(reference = %shown_reference(text), %error, "an asset is skipped");
                    left_out.push(place);
                }
                Err(error) => {
                    return Err(AssetError::Of { reference: shown_reference(text), source: Box::new(error) });
                }
            }
        }
        Ok(left_out)
    }

    /// `reference`, with the commit of its repository in place of a branch.
    fn pinned(&self, reference: &Reference) -> Result<Reference, AssetError> {
        let Reference::Repository(RepoFile { repository: Some(repository), path }) = reference else {
            return Ok(reference.clone());
        };
        let pinned = self.source.pin(repository).map_err(AssetError::of_fetching)?;
        Ok(Reference::Repository(RepoFile { repository: Some(pinned), path: path.clone() }))
    }

    /// What stands for a reference in the cache: a path is one of this version of the dataset, or of these archives.
    fn key(&self, reference: &Reference) -> String {
        match reference {
            Reference::Relative(_) if self.is_direct(reference) => format!("{}\0{reference}", self.version),
            Reference::Relative(_) => {
                let archives = self.options.archives.iter().map(|archive| format!("{archive}\0"));
                format!("{}{}", archives.collect::<String>(), reference.path())
            }
            _ => reference.to_string(),
        }
    }

    fn is_on_disk(&self, reference: &Reference) -> bool {
        self.version.is_empty() && matches!(reference, Reference::Relative(_)) && self.is_direct(reference)
    }

    /// Whether it is a file of its own; otherwise it can only be in an archive.
    fn is_direct(&self, reference: &Reference) -> bool {
        match reference {
            Reference::Relative(candidates) => candidates.iter().any(|path| self.files.contains(path)),
            Reference::Repository(_) | Reference::Url(_) => true,
        }
    }

    /// Fetches files of their own, several at a time; in the order in which they were asked for.
    fn fetch_all(
        &self,
        references: Vec<Reference>,
        cancelled: &AtomicBool,
    ) -> Vec<(Reference, Result<Asset, AssetError>)> {
        let next = AtomicUsize::new(0);
        let fetched = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for _ in 0..self.options.n_threads.clamp(1, references.len().max(1)) {
                scope.spawn(|| {
                    while let Some(reference) = references.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let asset = self.fetch(reference, cancelled);
                        fetched.lock().unwrap_or_else(PoisonError::into_inner).insert(reference.clone(), asset);
                    }
                });
            }
        });
        let mut fetched = fetched.into_inner().unwrap_or_else(PoisonError::into_inner);
        references.into_iter().filter_map(|reference| fetched.remove_entry(&reference)).collect()
    }

    fn fetch(&self, reference: &Reference, cancelled: &AtomicBool) -> Result<Asset, AssetError> {
        if cancelled.load(Ordering::Relaxed) {
            return Err(AssetError::Cancelled);
        }
        let asset = self.store.add(&mut self.open(reference)?, self.options.limits.max_bytes, cancelled)?;
        self.store.name(&self.key(reference), &asset)?;
        Ok(asset)
    }

    /// The bytes of a file of its own.
    fn open(&self, reference: &Reference) -> Result<Box<dyn Read + Send>, AssetError> {
        let open = |file: &RepoFile| self.source.open(file).map_err(AssetError::of_fetching).map(stream_of);
        match reference {
            Reference::Relative(candidates) => {
                let path = candidates.iter().find(|path| self.files.contains(*path));
                let path = path.ok_or_else(|| AssetError::Missing { tried: reference.tried() })?;
                open(&RepoFile { repository: None, path: path.clone() })
            }
            Reference::Repository(file) => open(file),
            Reference::Url(url) => {
                self.source.check_url(url).map_err(|why| reference::refused(url, why))?;
                self.source.fetch(url).map_err(AssetError::of_fetching)
            }
        }
    }

    /// Looks for paths in the archives, one archive after the other, until none is left.
    fn search_archives(
        &self,
        references: Vec<Reference>,
        done: &mut Prefetched,
        cancelled: &AtomicBool,
    ) -> Result<(), AssetError> {
        let mut wanted = Wanted::new(references);
        let mut failures = Vec::new();
        let mut refused: BTreeMap<Reference, Vec<String>> = BTreeMap::new();
        for archive in &self.options.archives {
            if wanted.by_name.is_empty() {
                break;
            }
            let mut matches = Matches::default();
            match self.search(archive, &wanted, &mut matches, cancelled) {
                Ok(()) => {}
                Err(error) if error.is_of_all() => return Err(error),
                // What was found before it broke off is sound, and counts.
                Err(error) => {
                    tracing::warn!(archive = %archive.path, error = %error.chain(), "an archive is not read to its end");
                    failures.push(format!("{}: {}", archive.path, error.chain()));
                }
            }
            for (reference, mut why) in matches.refused {
                refused.entry(reference).or_default().append(&mut why);
            }
            for (reference, found) in matches.by_reference {
                wanted.remove(&reference);
                match found {
                    Match::One { asset, .. } => {
                        self.store.name(&self.key(&reference), &asset)?;
                        done.count(&asset);
                    }
                    Match::Several(members) => {
                        done.missing.push((reference, Arc::new(AssetError::Ambiguous { members })))
                    }
                }
            }
        }
        for reference in wanted.by_name.into_values().flatten() {
            let tried = reference.tried();
            let refused = refused.remove(&reference).unwrap_or_default();
            let unread: Vec<String> = failures.iter().cloned().chain(refused).collect();
            let is_missing = unread.is_empty();
            let error = if is_missing { AssetError::Missing { tried } } else { AssetError::Unread { tried, unread } };
            done.missing.push((reference, Arc::new(error)));
        }
        Ok(())
    }

    fn search(
        &self,
        archive: &RepoFile,
        wanted: &Wanted,
        matches: &mut Matches,
        cancelled: &AtomicBool,
    ) -> Result<(), AssetError> {
        let file = self.source.open(archive).map_err(AssetError::of_fetching)?;
        let mut start = vec![0; file.n_bytes().min(4) as usize];
        file.read_at(0, &mut start).map_err(AssetError::of_fetching)?;
        let cache = Cache { store: &self.store, limits: &self.options.limits, cancelled };
        if start.starts_with(b"PK") {
            zip_archive::search(&file, wanted, cache, matches)
        } else {
            tar_archive::search(&file, &archive.path, wanted, cache, matches)
        }
    }
}

/// Where members of archives go, within which bounds, and whether they still should.
#[derive(Clone, Copy)]
struct Cache<'a> {
    store: &'a Store,
    limits: &'a AssetLimits,
    cancelled: &'a AtomicBool,
}

impl Cache<'_> {
    fn add(&self, stream: &mut dyn Read) -> Result<Asset, AssetError> {
        self.store.add(stream, self.limits.max_bytes, self.cancelled)
    }

    fn check_cancelled(&self) -> Result<(), AssetError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(AssetError::Cancelled) } else { Ok(()) }
    }
}

impl Prefetched {
    fn count(&mut self, asset: &Asset) {
        self.n_found += 1;
        self.n_fetched += 1;
        self.n_bytes += asset.n_bytes;
    }
}

/// Paths that are looked for in archives, by their last names.
struct Wanted {
    by_name: BTreeMap<String, Vec<Reference>>,
}

impl Wanted {
    fn new(references: Vec<Reference>) -> Self {
        let mut by_name: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
        for reference in references {
            let name = reference.path().rsplit('/').next().unwrap_or_default().to_owned();
            by_name.entry(name).or_default().push(reference);
        }
        Self { by_name }
    }

    /// The references that the member `name` answers: one path is the end of the other, at a whole name.
    fn answered_by(&self, name: &str) -> Vec<Reference> {
        let name = name.trim_start_matches("./");
        let ends_with = |long: &str, short: &str| {
            long.strip_suffix(short).is_some_and(|start| start.is_empty() || start.ends_with('/'))
        };
        let same_name = self.by_name.get(name.rsplit('/').next().unwrap_or_default()).into_iter().flatten();
        same_name
            .filter(|reference| ends_with(reference.path(), name) || ends_with(name, reference.path()))
            .cloned()
            .collect()
    }

    fn remove(&mut self, reference: &Reference) {
        let name = reference.path().rsplit('/').next().unwrap_or_default();
        if let Some(references) = self.by_name.get_mut(name) {
            references.retain(|known| known != reference);
            if references.is_empty() {
                self.by_name.remove(name);
            }
        }
    }
}

/// What an archive has for the references that are looked for.
#[derive(Default)]
struct Matches {
    by_reference: BTreeMap<Reference, Match>,
    /// Members that answer but are not read, and why.
    refused: BTreeMap<Reference, Vec<String>>,
}

enum Match {
    One {
        member: String,
        asset: Asset,
    },
    /// Different files answer, none of them by its whole path.
    Several(Vec<String>),
}

impl Matches {
    /// The member `member` would answer `references`, if it were sound.
    fn refuse(&mut self, references: &[Reference], member: &str, why: &str) {
        for reference in references {
            self.refused.entry(reference.clone()).or_default().push(format!("{member}: {why}"));
        }
    }

    /// The member `member` answers `references`. One whose path is the reference itself counts more than any that only ends
    /// like it.
    fn offer(&mut self, references: Vec<Reference>, member: &str, asset: &Asset) {
        for reference in references {
            let is_exact = |member: &str| member.trim_start_matches("./") == reference.path();
            let one = Match::One { member: member.to_owned(), asset: asset.clone() };
            match self.by_reference.get_mut(&reference) {
                Some(Match::One { member: known, asset: same }) if same == asset || is_exact(known) => {}
                Some(known) if is_exact(member) => *known = one,
                Some(Match::Several(members)) => members.push(member.to_owned()),
                Some(known) => {
                    if let Match::One { member: first, .. } = known {
                        *known = Match::Several(vec![std::mem::take(first), member.to_owned()]);
                    }
                }
                None => drop(self.by_reference.insert(reference, one)),
            }
        }
    }
}

fn stream_of(file: Arc<dyn ReadAt>) -> Box<dyn Read + Send> {
    let blocks = crate::blocks::Blocks::new(file, crate::blocks::BlockOptions::default());
    Box::new(blocks.reader(0, u64::MAX))
}
