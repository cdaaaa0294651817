//! Reading parts of files without fetching the rest.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::{MutexGuard, PoisonError};

use crate::http::Answer;
use crate::source::{FileInfo, HubSource};
use crate::{Hub, HubError, Pinned};

/// Where a file's bytes come from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// The signed address of the storage behind the hub, while it is good.
    url: Option<String>,
    /// What the storage calls the content. All pieces must come from the same.
    etag: Option<String>,
}

impl Hub {
    pub(crate) fn read_range(
        &self,
        at: &Pinned,
        file: &FileInfo,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), HubError> {
        let n = buffer.len() as u64;
        let end = offset.checked_add(n).filter(|end| *end <= file.size);
        let Some(end) = end else {
            let (host, path) = (crate::address::host(&self.options.endpoint), file.path.clone());
            return Err(HubError::Length { host, path, found: file.size, expected: offset.saturating_add(n) });
        };
        if buffer.is_empty() {
            return Ok(());
        }
        if let Some(path) = self.cache.find(at, &file.path, Some(file.size)) {
            let mut read = || {
                let mut found = File::open(&path)?;
                found.seek(SeekFrom::Start(offset))?;
                found.read_exact(buffer)
            };
            return read().map_err(|source| HubError::Cache { path, source });
        }
        self.online(|| format!("{}/{}", at.repo, file.path))?;
        let key = (at.clone(), file.path.clone());
        let mut failures = 0;
        loop {
            let place = self.places().get(&key).cloned().unwrap_or_default();
            let had_address = place.url.is_some();
            match self.read_from(&place, at, file, (offset, end - 1), buffer) {
                Ok(place) => {
                    self.places().insert(key, place);
                    return Ok(());
                }
                Err(error) => {
                    // The hub is asked for the address anew; what the content is called stays.
                    self.places().insert(key.clone(), Place { url: None, etag: place.etag });
                    let is_stale = had_address && matches!(error, HubError::Forbidden { .. } | HubError::Status { .. });
                    if !is_stale {
                        failures += 1;
                        self.pause(failures, error, &())?;
                    }
                }
            }
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<(Pinned, String), Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills `buffer` with the bytes of `range`, both ends included.
    fn read_from(
        &self,
        place: &Place,
        at: &Pinned,
        file: &FileInfo,
        range: (u64, u64),
        buffer: &mut [u8],
    ) -> Result<Place, HubError> {
        let ask = Some((range.0, Some(range.1)));
        let (mut answer, url) = match &place.url {
            Some(url) => {
                let (answer, url) = self.open(url, ask, None, |_| Ok(()))?;
                if answer.status != 206 && answer.status != 200 {
                    let about =
                        crate::hub::About { repo: &at.repo, revision: at.commit.as_str(), path: Some(&file.path) };
                    return Err(self.refusal(&answer, &url, about));
                }
                (answer, url)
            }
            None => self.locate_content(at, file, ask)?,
        };
        let other = || HubError::Range { host: answer.host.clone(), path: file.path.clone() };
        let is_all = answer.status == 200 && range == (0, file.size - 1) && answer.length() == Some(file.size);
        if !is_all && (answer.status != 206 || answer.range() != Some((range.0, range.1, file.size))) {
            return Err(other());
        }
        let etag = answer.etag("etag");
        if place.etag.is_some() && etag != place.etag {
            return Err(HubError::Changed { path: file.path.clone() });
        }
        fill(&mut answer, file, buffer)?;
        // The hub's own address needs no remembering.
        let is_elsewhere =
            url != self.content_url(at, &file.path) && !url.starts_with(&format!("{}/", self.options.endpoint));
        Ok(Place { url: is_elsewhere.then_some(url), etag })
    }
}

/// Reads the body into `buffer`, which it must fill exactly.
fn fill(answer: &mut Answer, file: &FileInfo, buffer: &mut [u8]) -> Result<(), HubError> {
    let expected = buffer.len() as u64;
    let mut filled = 0;
    let wrong = |found: usize, answer: &Answer| HubError::Length {
        host: answer.host.clone(),
        path: file.path.clone(),
        found: found as u64,
        expected,
    };
    while filled < buffer.len() {
        match answer.read(&mut buffer[filled..])? {
            0 => return Err(wrong(filled, answer)),
            n => filled += n,
        }
    }
    match answer.read(&mut [0])? {
        0 => Ok(()),
        n => Err(wrong(filled + n, answer)),
    }
}

/// One file of a hub, read piece by piece.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    hub: Arc<Hub>,
    at: Pinned,
    file: FileInfo,
}

impl RemoteFile {
    /// The file `file` of the commit `at`.
    pub fn new(hub: Arc<Hub>, at: Pinned, file: FileInfo) -> Self {
        Self { hub, at, file }
    }

    /// Path, size and hash.
    pub fn info(&self) -> &FileInfo {
        &self.file
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// Fails as [`HubSource::read_at`]; the hub's error is inside.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        Ok(self.hub.read_at(&self.at, &self.file, offset, buffer)?)
    }
}
