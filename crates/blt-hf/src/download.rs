//! Fetching whole files: resumed where an earlier attempt stopped, checked before anybody can see them.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::cache::sync_folder;
use crate::digest::Hasher;
use crate::http::Answer;
use crate::hub::About;
use crate::source::{FileInfo, HubSource, Progress, Waiting};
use crate::{Hub, HubError, Pinned};

/// An attempt that brought so many bytes was worth it: failures are counted anew after it.
const WORTHWHILE: u64 = 1 << 20;

impl Hub {
    /// The files on disk, in the order of `paths`: from the cache, else fetched, several at a time.
    pub fn cached_files(&self, at: &Pinned, paths: &[&str], progress: &dyn Progress) -> Vec<Result<PathBuf, HubError>> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(path) = paths.get(index) else { return done };
                done.push((index, self.cached_file(at, path, progress)));
            }
        };
        let n_threads = self.options.connections.clamp(1, paths.len().max(1));
        let mut results: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..n_threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("fetching does not panic")).collect()
        });
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// Fetches a file into the cache.
    pub(crate) fn fetch(&self, at: &Pinned, file: &FileInfo, progress: &dyn Progress) -> Result<PathBuf, HubError> {
        let blob = self.cache.blob(&at.repo, &file.digest);
        let lock = self.lock(at, file, progress)?;
        let is_whole = || fs::metadata(&blob).is_ok_and(|found| found.is_file() && found.len() == file.size);
        if !is_whole() {
            // Without a lock nobody else may write to the same file, and nobody goes on with it.
            let extension = if lock.is_some() { "incomplete".to_owned() } else { unique_extension() };
            let partial = blob.with_extension(extension);
            let cache = |path: &Path| {
                let path = path.to_owned();
                move |source| HubError::Cache { path, source }
            };
            let folder = blob.parent().expect("a blob lies in a folder");
            fs::create_dir_all(folder).map_err(cache(folder))?;
            let download = Download::resume(&partial, file).map_err(cache(&partial))?;
            let completed = self.complete(at, download, progress);
            if completed.is_err() && lock.is_none() {
                // What remains is only in the way, and is told by nothing.
                let _ = fs::remove_file(&partial);
            }
            completed?;
            fs::rename(&partial, &blob).and_then(|()| sync_folder(folder)).map_err(cache(&blob))?;
            progress.finished(file);
        }
        self.cache.link(at, file)
    }

    /// Attempts until the file is whole and right, or no attempt helps any more.
    fn complete(&self, at: &Pinned, mut download: Download<'_>, progress: &dyn Progress) -> Result<(), HubError> {
        progress.started(download.file, download.present);
        let mut failures = 0;
        loop {
            let before = download.present;
            let attempt = self.attempt(at, &mut download, progress);
            match attempt {
                Ok(()) => return Ok(()),
                Err(error) => {
                    if download.present >= before + WORTHWHILE {
                        failures = 0;
                    }
                    failures += 1;
                    self.pause(failures, error, progress)?;
                }
            }
        }
    }

    /// One attempt at what is missing.
    fn attempt(&self, at: &Pinned, download: &mut Download<'_>, progress: &dyn Progress) -> Result<(), HubError> {
        let file = download.file;
        if download.present < file.size {
            let range = (download.present > 0).then_some((download.present, None));
            let mut answer = self.open_content(at, file, range)?;
            match (answer.status, answer.range()) {
                (206, Some((first, _, total))) if first == download.present && total == file.size => {}
                (200, _) => download.restart(progress)?, // a server that knows no ranges sends all
                _ => {
                    download.restart(progress)?;
                    return Err(HubError::Range { host: answer.host.clone(), path: file.path.clone() });
                }
            }
            let expected = file.size - download.present;
            if let Some(found) = answer.length().filter(|found| *found != expected) {
                return Err(HubError::Length { host: answer.host.clone(), path: file.path.clone(), found, expected });
            }
            download.receive(&mut answer, progress)?;
        }
        let host = &self.options.endpoint;
        download.check(crate::address::host(host), progress)
    }

    /// An answer with a file's content, all of it or the range. That the hub means this very file is checked.
    pub(crate) fn open_content(
        &self,
        at: &Pinned,
        file: &FileInfo,
        range: Option<(u64, Option<u64>)>,
    ) -> Result<Answer, HubError> {
        self.locate_content(at, file, range).map(|(answer, _)| answer)
    }

    /// As [`open_content`](Self::open_content), and where the answer came from.
    pub(crate) fn locate_content(
        &self,
        at: &Pinned,
        file: &FileInfo,
        range: Option<(u64, Option<u64>)>,
    ) -> Result<(Answer, String), HubError> {
        let is_other = |answer: &Answer| {
            let commit = answer.header("x-repo-commit").is_some_and(|commit| commit != at.commit.as_str());
            let etag = answer.etag("x-linked-etag").is_some_and(|etag| etag != file.digest.to_string());
            commit || etag
        };
        let (answer, url) = self.open(&self.content_url(at, &file.path), range, None, |answer| {
            if is_other(answer) { Err(HubError::Changed { path: file.path.clone() }) } else { Ok(()) }
        })?;
        let about = About { repo: &at.repo, revision: at.commit.as_str(), path: Some(&file.path) };
        match answer.status {
            200 | 206 => Ok((answer, url)),
            416 => Err(HubError::Range { host: answer.host.clone(), path: file.path.clone() }),
            _ => Err(self.refusal(&answer, &url, about)),
        }
    }

    /// The lock that whoever fetches a file holds, in this process or another. It ends with the process that holds it. `None`
    /// on file systems without locks.
    fn lock(&self, at: &Pinned, file: &FileInfo, progress: &dyn Progress) -> Result<Option<File>, HubError> {
        let path = self.cache.lock(&at.repo, &file.digest);
        let failed = |source| HubError::Cache { path: path.clone(), source };
        fs::create_dir_all(path.parent().expect("a lock lies in a folder")).map_err(failed)?;
        let lock = File::options().create(true).append(true).open(&path).map_err(failed)?;
        let partial = self.cache.blob(&at.repo, &file.digest).with_extension("incomplete");
        let size = || fs::metadata(&partial).map_or(0, |found| found.len());
        let mut last_change = (Instant::now(), size());
        let mut is_first = true;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            if is_first {
                tracing::info!("another process is fetching `{}`; waiting for it", file.path);
                progress.waiting(&Waiting::Lock { file });
                is_first = false;
            }
            let now = size();
            if now != last_change.1 {
                last_change = (Instant::now(), now);
            } else if last_change.0.elapsed() >= self.options.lock_patience {
                return Err(HubError::Locked { path });
            }
            thread::sleep(Duration::from_millis(100).min(self.options.lock_patience));
        }
    }
}

/// An extension that no other download has, in this process or another.
fn unique_extension() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}.incomplete", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A file on its way.
struct Download<'a> {
    file: &'a FileInfo,
    path: PathBuf,
    partial: File,
    /// Bytes that are there, all of them hashed.
    present: u64,
    hasher: Hasher,
}

impl<'a> Download<'a> {
    /// Goes on with what an earlier attempt left, if it left anything.
    fn resume(path: &Path, file: &'a FileInfo) -> io::Result<Self> {
        let mut partial = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut hasher = Hasher::new(&file.digest, file.size);
        if partial.metadata()?.len() > file.size {
            partial.set_len(0)?;
        }
        let mut present = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match partial.read(&mut buffer)? {
                0 => break,
                n => {
                    hasher.update(&buffer[..n]);
                    present += n as u64;
                }
            }
        }
        Ok(Self { file, path: path.to_owned(), partial, present, hasher })
    }

    /// Writes what comes. Bytes beyond the file's end are not taken.
    fn receive(&mut self, answer: &mut Answer, progress: &dyn Progress) -> Result<(), HubError> {
        let mut buffer = vec![0; 256 << 10];
        let length = |found, answer: &Answer| HubError::Length {
            host: answer.host.clone(),
            path: self.file.path.clone(),
            found,
            expected: self.file.size,
        };
        loop {
            let n = answer.read(&mut buffer)?;
            if n == 0 {
                let is_whole = self.present == self.file.size;
                return if is_whole { Ok(()) } else { Err(length(self.present, answer)) };
            }
            if n as u64 > self.file.size - self.present {
                return Err(length(self.present + n as u64, answer));
            }
            let failed = |source| HubError::Cache { path: self.path.clone(), source };
            // Not appended: `restart` may have made the file shorter.
            self.partial.seek(SeekFrom::Start(self.present)).map_err(failed)?;
            self.partial.write_all(&buffer[..n]).map_err(failed)?;
            self.hasher.update(&buffer[..n]);
            self.present += n as u64;
            progress.advanced(self.file, n as u64);
        }
    }

    /// Forgets everything that is there.
    fn restart(&mut self, progress: &dyn Progress) -> Result<(), HubError> {
        self.partial.set_len(0).map_err(|source| HubError::Cache { path: self.path.clone(), source })?;
        if self.present > 0 {
            progress.restarted(self.file, 0);
        }
        self.present = 0;
        self.hasher = Hasher::new(&self.file.digest, self.file.size);
        Ok(())
    }

    /// Compares the hash and makes the bytes last. Wrong bytes are forgotten.
    fn check(&mut self, host: String, progress: &dyn Progress) -> Result<(), HubError> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(&self.file.digest, self.file.size));
        let found = hasher.finish();
        if found != self.file.digest {
            self.restart(progress)?;
            let (found, expected) = (found.to_string(), self.file.digest.to_string());
            return Err(HubError::Corrupt { host, path: self.file.path.clone(), found, expected });
        }
        self.partial.sync_all().map_err(|source| HubError::Cache { path: self.path.clone(), source })
    }
}
