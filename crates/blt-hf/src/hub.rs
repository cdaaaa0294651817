//! A hub: names become commits, listings and files. Source: the Hub's documented HTTP interface, `docs/hub/api`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use crate::address::{self, Origin};
use crate::cache::{Cache, CachedRepo};
use crate::http::{Answer, Ask, Http};
use crate::ranged::Place;
use crate::repo::{check_path, check_revision, encode};
use crate::source::{FileInfo, HubSource, Progress, Waiting};
use crate::{Commit, Digest, HubError, HubOptions, Pinned, Repo, RepoKind};

/// Longest answer that is not a file, in bytes: a page of a listing, or what is known of a repository.
const MAX_JSON: usize = 256 << 20;
/// Most files of one commit.
const MAX_FILES: usize = 5_000_000;
/// Most redirections in a row.
const MAX_REDIRECTS: usize = 5;

/// A hub and its cache on disk. Nothing is sent before something is asked for that the cache does not answer.
#[derive(Debug)]
pub struct Hub {
    pub(crate) options: HubOptions,
    pub(crate) cache: Cache,
    http: Http,
    origin: Origin,
    /// What was listed or asked for, by commit and path.
    known: Mutex<HashMap<Pinned, HashMap<String, FileInfo>>>,
    /// Where files are read from piece by piece.
    pub(crate) places: Mutex<HashMap<(Pinned, String), Place>>,
}

/// Something that is asked of the hub, for errors.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) repo: &'a Repo,
    pub(crate) revision: &'a str,
    /// A file or folder.
    pub(crate) path: Option<&'a str>,
}

impl Hub {
    /// A hub used as `options` say.
    ///
    /// # Errors
    ///
    /// Fails when the endpoint is no address, or the certificates cannot be read.
    pub fn new(options: HubOptions) -> Result<Self, HubError> {
        let endpoint = options.endpoint.trim_end_matches('/').to_owned();
        let origin = address::origin(&endpoint)
            .filter(|_| !endpoint.contains(['?', '#']))
            .ok_or_else(|| HubError::Endpoint { endpoint: address::host(&endpoint) })?;
        let options = HubOptions { endpoint, ..options };
        Ok(Self {
            cache: Cache::new(options.cache.clone()),
            http: Http::new(&options)?,
            origin,
            known: Mutex::default(),
            places: Mutex::default(),
            options,
        })
    }

    /// A hub used as the environment says.
    ///
    /// # Errors
    ///
    /// As [`HubOptions::from_env`] and [`new`](Self::new).
    pub fn from_env() -> Result<Self, HubError> {
        Self::new(HubOptions::from_env()?)
    }

    /// How it is used.
    pub fn options(&self) -> &HubOptions {
        &self.options
    }

    /// The commit that `revision` was when it was last asked for, without asking again.
    pub fn cached_commit(&self, repo: &Repo, revision: &str) -> Option<Pinned> {
        check_revision(revision).ok()?;
        let commit = Commit::from_hex(revision).or_else(|| self.cache.read_ref(repo, revision))?;
        Some(Pinned { repo: repo.clone(), commit })
    }

    /// The file, if it is in the cache already.
    pub fn find_cached(&self, at: &Pinned, path: &str) -> Option<PathBuf> {
        check_path(path).ok()?;
        let size = self.known().get(at).and_then(|files| files.get(path)).map(|file| file.size);
        self.cache.find(at, path, size)
    }

    /// Paths and sizes of the files of a commit that are in the cache, sorted.
    pub fn cached_paths(&self, at: &Pinned) -> Vec<(String, u64)> {
        self.cache.files(at)
    }

    /// The folder in the cache that has the files of a commit, as far as they were fetched.
    pub fn snapshot(&self, at: &Pinned) -> PathBuf {
        self.cache.snapshot(at)
    }

    /// Every repository of which something is in the cache, sorted.
    pub fn cached_repos(&self) -> Vec<CachedRepo> {
        self.cache.repos()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Pinned, HashMap<String, FileInfo>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, at: &Pinned, files: &[FileInfo]) {
        let mut known = self.known();
        let of_commit = known.entry(at.clone()).or_default();
        of_commit.extend(files.iter().map(|file| (file.path.clone(), file.clone())));
    }

    fn api(&self, repo: &Repo) -> String {
        format!("{}/api/{}/{}", self.options.endpoint, repo.kind().plural(), repo.name())
    }

    /// The address of a file's content.
    pub(crate) fn content_url(&self, at: &Pinned, path: &str) -> String {
        let kind = match at.repo.kind() {
            RepoKind::Model => "",
            RepoKind::Dataset => "datasets/",
        };
        let Pinned { repo, commit } = at;
        format!("{}/{kind}{}/resolve/{commit}/{}", self.options.endpoint, repo.name(), encode(path, true))
    }

    /// Refuses to go on when the network may not be used.
    pub(crate) fn online(&self, what: impl FnOnce() -> String) -> Result<(), HubError> {
        if self.options.offline { Err(HubError::Offline { what: what() }) } else { Ok(()) }
    }

    /// Asks for `url`, follows redirections, and gives the last answer, where it came from, and the first answer that names a file's hash.
    ///
    /// The token goes to the endpoint's own origin only; once a redirection led away from it, it is not sent any more.
    pub(crate) fn open(
        &self,
        url: &str,
        range: Option<(u64, Option<u64>)>,
        json: Option<&str>,
        mut on_answer: impl FnMut(&Answer) -> Result<(), HubError>,
    ) -> Result<(Answer, String), HubError> {
        let mut url = url.to_owned();
        let mut is_home = true;
        for _ in 0..=MAX_REDIRECTS {
            is_home = is_home && address::origin(&url).as_ref() == Some(&self.origin);
            let token = self.options.token.as_ref().filter(|_| is_home);
            let authorization = token.map(crate::Token::header);
            let mut answer = self.http.send(&Ask { url: &url, range, authorization, json: json.map(str::to_owned) })?;
            on_answer(&answer)?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok((answer, url));
            }
            let refused = |reason| HubError::Redirect { host: answer.host.clone(), reason };
            let location = answer.header("location").ok_or_else(|| refused("it does not say where to"))?;
            let next = address::join(&url, location).ok_or_else(|| refused("that is no address"))?;
            let is_https = |url: &str| address::origin(url).is_some_and(|origin| origin.is_https);
            if is_https(&url) && !is_https(&next) {
                return Err(refused("from an encrypted connection to a plain one"));
            }
            let _ = answer.read_all(64 << 10); // so that the connection can be used again
            url = next;
        }
        Err(HubError::Redirect { host: address::host(&url), reason: "again and again" })
    }

    /// What an answer that is no success means.
    pub(crate) fn refusal(&self, answer: &Answer, url: &str, about: About<'_>) -> HubError {
        let host = answer.host.clone();
        let repo = about.repo.to_string();
        let with_token = self.options.token.is_some();
        let revision = || HubError::RevisionNotFound { repo: repo.clone(), revision: about.revision.to_owned() };
        let what = || about.path.map_or_else(|| repo.clone(), |path| format!("{repo}/{path}"));
        let file = || match about.path {
            Some(path) => HubError::FileNotFound { repo: repo.clone(), path: path.to_owned() },
            None => HubError::RepoNotFound { host: host.clone(), repo: repo.clone(), with_token },
        };
        if answer.status == 429 {
            return HubError::RateLimited { retry_after: answer.retry_after(), host };
        }
        // What the storage behind the hub says has other reasons: a signature that ran out, a fault.
        if address::origin(url).as_ref() != Some(&self.origin) {
            return match answer.status {
                401 | 403 => HubError::Forbidden { host, what: what() },
                status => HubError::Status { host, status },
            };
        }
        match (answer.status, answer.header("x-error-code").unwrap_or_default()) {
            (_, "GatedRepo") => HubError::Gated { repo, with_token },
            (_, "RepoNotFound") => HubError::RepoNotFound { host, repo, with_token },
            (_, "RevisionNotFound") => revision(),
            (_, "EntryNotFound") => file(),
            (401, _) => HubError::Unauthorized { host, repo, with_token },
            (403, _) => HubError::Forbidden { host, what: what() },
            (404, _) => file(),
            (status, _) => HubError::Status { host, status },
        }
    }

    /// Asks the hub's interface and reads its JSON. Gives the address of the next page, too, if there is one.
    fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        url: &str,
        json: Option<&str>,
        about: About<'_>,
    ) -> Result<(T, Option<String>), HubError> {
        let mut failures = 0;
        loop {
            let asked = self.open(url, None, json, |_| Ok(())).and_then(|(mut answer, url)| {
                if answer.status != 200 {
                    return Err(self.refusal(&answer, &url, about));
                }
                let next = answer.header("link").and_then(next_page).and_then(|next| address::join(&url, next));
                let body = answer.read_all(MAX_JSON)?;
                let value = serde_json::from_slice(&body)
                    .map_err(|error| HubError::Protocol { host: answer.host.clone(), reason: error.to_string() })?;
                Ok((value, next))
            });
            match asked {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    failures += 1;
                    self.pause(failures, error, &())?;
                }
            }
        }
    }

    /// After the `failures`-th failure in a row: waits, if another attempt may help; else gives the error back.
    pub(crate) fn pause(&self, failures: u32, error: HubError, progress: &dyn Progress) -> Result<(), HubError> {
        if !error.is_transient() || failures >= self.options.attempts {
            return Err(error);
        }
        let own = self.options.first_pause.saturating_mul(1 << (failures - 1).min(16)).min(Duration::from_secs(30));
        let pause = match &error {
            HubError::RateLimited { retry_after: Some(asked), .. } if *asked > self.options.longest_pause => {
                return Err(error);
            }
            HubError::RateLimited { retry_after: Some(asked), .. } => own.max(*asked),
            _ => own,
        };
        tracing::info!("{error}; the next attempt is made in {:.1} s", pause.as_secs_f64());
        progress.waiting(&Waiting::Retry { error: &error, pause });
        thread::sleep(pause);
        Ok(())
    }

    /// All files below `folder`, page after page.
    fn ask_list(&self, at: &Pinned, folder: &str) -> Result<Vec<FileInfo>, HubError> {
        let about =
            About { repo: &at.repo, revision: at.commit.as_str(), path: (!folder.is_empty()).then_some(folder) };
        let below = if folder.is_empty() { String::new() } else { format!("/{}", encode(folder, true)) };
        let mut url = format!("{}/tree/{}{below}?recursive=true&expand=false", self.api(&at.repo), at.commit);
        let mut files = Vec::new();
        let mut pages = std::collections::HashSet::new();
        loop {
            let (entries, next): (Vec<TreeEntry>, _) = self.ask(&url, None, about)?;
            files.extend(entries.into_iter().filter_map(TreeEntry::into_file));
            let protocol =
                |reason: &str| HubError::Protocol { host: self.origin.host.clone(), reason: reason.to_owned() };
            if files.len() > MAX_FILES {
                return Err(protocol("the listing has no end"));
            }
            let Some(next) = next else { break };
            if address::origin(&next).as_ref() != Some(&self.origin) || !pages.insert(next.clone()) {
                return Err(protocol("the listing's next page is elsewhere, or was read before"));
            }
            url = next;
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        Ok(files)
    }

    /// A file that is only known to be in the cache.
    fn cached_info(&self, at: &Pinned, path: &str) -> Option<FileInfo> {
        let found = self.cache.find(at, path, None)?;
        let size = found.metadata().ok()?.len();
        let digest = self.cache.digest(at, path)?;
        Some(FileInfo { path: path.to_owned(), size, digest, git_id: digest.to_string(), xet_hash: None })
    }
}

impl HubSource for Hub {
    fn resolve(&self, repo: &Repo, revision: &str) -> Result<Pinned, HubError> {
        check_revision(revision)?;
        if let Some(commit) = Commit::from_hex(revision) {
            return Ok(Pinned { repo: repo.clone(), commit });
        }
        if self.options.offline {
            let what = || format!("{repo}@{revision}");
            return self.cached_commit(repo, revision).ok_or_else(|| HubError::Offline { what: what() });
        }
        let url = format!("{}/revision/{}", self.api(repo), encode(revision, false));
        let (info, _): (RevisionInfo, _) = self.ask(&url, None, About { repo, revision, path: None })?;
        let commit = Commit::from_hex(&info.sha).ok_or_else(|| HubError::Protocol {
            host: self.origin.host.clone(),
            reason: "a revision without a commit".to_owned(),
        })?;
        // A cache that cannot be written to can still be read.
        if let Err(error) = self.cache.write_ref(repo, revision, &commit) {
            tracing::warn!("{error}");
        }
        Ok(Pinned { repo: repo.clone(), commit })
    }

    fn list(&self, at: &Pinned, folder: &str) -> Result<Vec<FileInfo>, HubError> {
        if !folder.is_empty() {
            check_path(folder)?;
        }
        let below = |file: &FileInfo| {
            folder.is_empty() || file.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        };
        if let Some(files) = self.cache.read_tree(at) {
            self.remember(at, &files);
            return Ok(files.into_iter().filter(below).collect());
        }
        if self.options.offline {
            let cached = self.cache.files(at).into_iter();
            let files: Vec<_> = cached.filter_map(|(path, _)| self.cached_info(at, &path)).filter(below).collect();
            return if files.is_empty() { Err(HubError::Offline { what: at.to_string() }) } else { Ok(files) };
        }
        let files = self.ask_list(at, folder)?;
        self.remember(at, &files);
        if folder.is_empty()
            && let Err(error) = self.cache.write_tree(at, &files)
        {
            tracing::warn!("{error}");
        }
        Ok(files)
    }

    fn stat(&self, at: &Pinned, path: &str) -> Result<FileInfo, HubError> {
        check_path(path)?;
        let not_found = || HubError::FileNotFound { repo: at.repo.to_string(), path: path.to_owned() };
        let is_listed = match self.known().entry(at.clone()) {
            Entry::Occupied(known) => match known.get().get(path) {
                Some(file) => return Ok(file.clone()),
                None => false,
            },
            Entry::Vacant(_) => true,
        };
        if is_listed && let Some(files) = self.cache.read_tree(at) {
            self.remember(at, &files);
            return files.into_iter().find(|file| file.path == path).ok_or_else(not_found);
        }
        if self.options.offline {
            return match self.cached_info(at, path) {
                Some(file) => Ok(file),
                None if self.cache.is_absent(at, path) => Err(not_found()),
                None => Err(HubError::Offline { what: format!("{}/{path}", at.repo) }),
            };
        }
        let about = About { repo: &at.repo, revision: at.commit.as_str(), path: Some(path) };
        let url = format!("{}/paths-info/{}", self.api(&at.repo), at.commit);
        let json = serde_json::json!({ "paths": [path], "expand": false }).to_string();
        let (entries, _): (Vec<TreeEntry>, _) = self.ask(&url, Some(&json), about)?;
        let file = entries.into_iter().filter_map(TreeEntry::into_file).find(|file| file.path == path);
        match file {
            Some(file) => {
                self.remember(at, std::slice::from_ref(&file));
                Ok(file)
            }
            None => {
                if let Err(error) = self.cache.mark_absent(at, path) {
                    tracing::warn!("{error}");
                }
                Err(not_found())
            }
        }
    }

    fn cached_file(&self, at: &Pinned, path: &str, progress: &dyn Progress) -> Result<PathBuf, HubError> {
        check_path(path)?;
        if let Some(found) = self.find_cached(at, path) {
            return Ok(found);
        }
        let file = self.stat(at, path)?;
        self.online(|| format!("{}/{path}", at.repo))?;
        self.fetch(at, &file, progress)
    }

    fn read_at(&self, at: &Pinned, file: &FileInfo, offset: u64, buffer: &mut [u8]) -> Result<(), HubError> {
        self.read_range(at, file, offset, buffer)
    }
}

#[derive(Deserialize)]
struct RevisionInfo {
    sha: String,
}

/// An entry of a listing.
#[derive(Deserialize)]
struct TreeEntry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    oid: String,
    lfs: Option<LargeFile>,
    #[serde(rename = "xetHash")]
    xet_hash: Option<String>,
}

#[derive(Deserialize)]
struct LargeFile {
    oid: String,
    size: u64,
}

impl TreeEntry {
    /// The file, unless it is a folder. What has an impossible name or hash is named and left out.
    fn into_file(self) -> Option<FileInfo> {
        if self.kind != "file" {
            return None;
        }
        let (digest, size) = match &self.lfs {
            Some(large) => (large.oid.trim_start_matches("sha256:"), large.size),
            None => (self.oid.as_str(), self.size),
        };
        let digest = Digest::from_hex(digest);
        match (check_path(&self.path), digest) {
            (Ok(()), Some(digest)) => {
                Some(FileInfo { path: self.path, size, digest, git_id: self.oid, xet_hash: self.xet_hash })
            }
            _ => {
                tracing::warn!("a listed file is left out, as its name or hash cannot be one: {:?}", self.path);
                None
            }
        }
    }
}

/// The address in a `Link` header whose relation is `next`.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|part| {
        let (address, rest) = part.trim().strip_prefix('<')?.split_once('>')?;
        rest.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next")).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_links() {
        assert_eq!(next_page("<https://h/a?cursor=x>; rel=\"next\""), Some("https://h/a?cursor=x"));
        assert_eq!(next_page("<https://h/a>; rel=\"prev\", </b>; rel=\"next\""), Some("/b"));
        assert_eq!(next_page("<https://h/a>; rel=\"last\""), None);
        assert_eq!(next_page("nonsense"), None);
    }
}
