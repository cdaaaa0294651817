//! What a cell may name: a file of the dataset, a file of a repository, an address.

use std::fmt;
use std::net::IpAddr;

use super::AssetError;

/// A file that a cell names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A path in the dataset: beside the data file, otherwise from the dataset's root. The second is the path as written.
    Relative(Vec<String>),
    /// `hf://`: a file of a repository.
    Repository(RepoFile),
    /// `http://` or `https://`.
    Url(String),
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoFile {
    /// The repository; none is that of the dataset itself.
    pub repository: Option<Repository>,
    /// The file's path in it.
    pub path: String,
}

/// A repository on the Hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    /// `datasets`, `models` or `spaces`.
    pub kind: String,
    /// `owner/name`.
    pub name: String,
    /// A branch, tag or commit, where one is named.
    pub revision: Option<String>,
}

pub(super) const HOST_NOT_ALLOWED: &str = "its host is not allowed";

/// Longest path or address.
const MAX_BYTES: usize = 4096;

impl Reference {
    /// Reads what a cell of a row of `data_file` says.
    ///
    /// # Errors
    ///
    /// Fails with [`AssetError::Refused`] for what leads out of the dataset, and for schemes that are not followed.
    pub fn parse(text: &str, data_file: &str) -> Result<Self, AssetError> {
        if text.len() > MAX_BYTES {
            return Err(refused(text, "it is longer than any path"));
        }
        if text.chars().any(char::is_control) {
            return Err(refused(text, "it has control characters"));
        }
        if let Some(rest) = text.strip_prefix("hf://") {
            return repository_file(rest)
                .ok_or_else(|| refused(text, "it is no `hf://[datasets/]owner/name[@revision]/path`"));
        }
        let scheme = text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
        match scheme.map(str::to_ascii_lowercase).as_deref() {
            Some("http" | "https") => {
                host_of(text)?;
                return Ok(Self::Url(text.to_owned()));
            }
            Some(_) => return Err(refused(text, "only paths, `hf://` and `https://` are")),
            None => {}
        }
        let path = plain_path(text).ok_or_else(|| refused(text, "the path leads out of the dataset"))?;
        let beside = data_file.rsplit_once('/').map(|(folder, _)| format!("{folder}/{path}"));
        Ok(Self::Relative(beside.into_iter().chain([path]).collect()))
    }

    /// The path in the dataset or the repository, or the address.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Relative(candidates) => candidates.last().map_or("", String::as_str),
            Self::Repository(file) => &file.path,
            Self::Url(url) => url,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative(candidates) => write!(formatter, "{}", candidates.join("|")),
            Self::Repository(file) => file.fmt(formatter),
            Self::Url(url) => write!(formatter, "{url}"),
        }
    }
}

impl fmt::Display for RepoFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(repository) = &self.repository {
            write!(formatter, "hf://{}/{}", repository.kind, repository.name)?;
            repository.revision.iter().try_for_each(|revision| write!(formatter, "@{revision}"))?;
            write!(formatter, "/")?;
        }
        write!(formatter, "{}", self.path)
    }
}

/// Whether a text in a cell is likely to name a file: an address, a path below `images/` or `files/`, or a line that ends like
/// the name of a picture, sound, film or document.
pub fn looks_like_reference(text: &str) -> bool {
    const ENDINGS: &[&str] = &[
        "jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "wav", "flac", "mp3", "ogg", "opus", "m4a", "mp4",
        "webm", "mkv", "mov", "avi", "pdf", "docx", "xlsx", "pptx",
    ];
    if text.is_empty() || text.len() > MAX_BYTES || text.contains(char::is_control) {
        return false;
    }
    let is_word = !text.contains(char::is_whitespace);
    let is_address = ["hf://", "http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
    let is_below = text.starts_with("images/") || text.starts_with("files/");
    let ending = text.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    (is_word && (is_address || is_below)) || ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// `[datasets/]owner/name[@revision]/path`; without a kind it is a model.
fn repository_file(rest: &str) -> Option<Reference> {
    let (kind, rest) = ["datasets", "models", "spaces"]
        .into_iter()
        .find_map(|kind| Some((kind, rest.strip_prefix(kind)?.strip_prefix('/')?)))
        .unwrap_or(("models", rest));
    let (owner, rest) = rest.split_once('/')?;
    let (name, path) = rest.split_once('/')?;
    let (name, revision) = match name.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (name, None),
    };
    let is_name = |name: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !name.is_empty() && name.chars().all(is_plain) && !name.starts_with('.') && !name.contains("..")
    };
    let (revision, path) = match revision {
        // `refs/convert/parquet` is one name with slashes, which stand percent-encoded in an address.
        Some(revision) => (Some(revision.replace("%2F", "/").replace("%2f", "/")), path),
        None => (None, path),
    };
    let is_revision = |revision: &String| revision.split('/').all(is_name);
    (is_name(owner) && is_name(name) && revision.as_ref().is_none_or(is_revision)).then_some(())?;
    let repository = Some(Repository { kind: kind.to_owned(), name: format!("{owner}/{name}"), revision });
    Some(Reference::Repository(RepoFile { repository, path: plain_path(path)? }))
}

/// `path` without `.`; nothing for what is empty, absolute, or goes up, also on Windows.
fn plain_path(path: &str) -> Option<String> {
    let is_absolute = path.starts_with('/') || path.contains(['\\', '\0']) || path.as_bytes().get(1) == Some(&b':');
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    (!is_absolute && !parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

fn is_scheme(text: &str) -> bool {
    // One letter is a drive of Windows, which is no path either.
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// The host of an address; refuses what should not stand in a dataset.
fn host_of(url: &str) -> Result<String, AssetError> {
    let rest = url.split_once("://").map(|(_, rest)| rest).ok_or_else(|| refused(url, "it is no address"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains(['@', '\\', ' ']) {
        return Err(refused(url, "it has a user or characters that addresses do not have"));
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() {
        return Err(refused(url, "it has no host"));
    }
    Ok(host.trim_end_matches('.').to_ascii_lowercase())
}

/// Fails unless the address's host is in `allowed`, or below one that is in it as `*.example.org`.
pub(super) fn check_host(url: &str, allowed: &[String]) -> Result<(), AssetError> {
    let host = host_of(url)?;
    let is_number = host.parse::<IpAddr>().is_ok(); // nothing is below an address in numbers
    let is_allowed =
        allowed.iter().map(|allowed| allowed.to_ascii_lowercase()).any(|allowed| match allowed.strip_prefix("*.") {
            Some(domain) => !is_number && host.strip_suffix(domain).is_some_and(|start| start.ends_with('.')),
            None => host == allowed,
        });
    if is_allowed { Ok(()) } else { Err(refused(url, HOST_NOT_ALLOWED)) }
}

fn refused(reference: &str, why: &'static str) -> AssetError {
    let shown: String = reference.chars().take(200).flat_map(char::escape_default).collect();
    AssetError::Refused { reference: shown, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_repositories_and_addresses() {
        let parse = |text: &str| Reference::parse(text, "data/train.jsonl");
        assert_eq!(
            parse("./images//a.jpg").unwrap(),
            Reference::Relative(vec!["data/images/a.jpg".into(), "images/a.jpg".into()])
        );
        assert_eq!(Reference::parse("a.jpg", "x.csv").unwrap(), Reference::Relative(vec!["a.jpg".into()]));
        for text in ["hf://datasets/o/n@abc/p/q.zip", "hf://datasets/o/n/p", "https://example.org/a?b"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let Reference::Repository(file) = parse("hf://o/n@refs%2Fpr%2F1/p").unwrap() else { panic!("a repository") };
        assert_eq!(file.repository.unwrap().revision.as_deref(), Some("refs/pr/1"));
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for hostile in [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "C:\\x",
            "c:/x",
            "a\\b",
            "a\nb",
            "",
            ".",
            "file:///etc/passwd",
            "data:text/plain,x",
            "ftp://x/y",
            "hf://o/n",
            "hf://datasets/../n/x",
            "hf://o/n@../x/y",
            "hf://o/n/../x",
            "http://user@host/x",
            "http:///x",
            &"x".repeat(5000),
        ] {
            assert!(matches!(Reference::parse(hostile, "f"), Err(AssetError::Refused { .. })), "{hostile}");
        }
    }

    #[test]
    fn words_about_pictures_are_no_references() {
        for text in ["images/x", "files/y.bin", "hf://a/b/c", "https://x.org", "a/b.JPG", "my picture.png"] {
            assert!(looks_like_reference(text), "{text}");
        }
        for text in ["", "a cat", "see https://x.org", "images of cats", "a.b", "two\nlines.jpg"] {
            assert!(!looks_like_reference(text), "{text}");
        }
    }

    #[test]
    fn only_allowed_hosts_are_asked() {
        let allowed = ["example.org", "*.Example.net", "1.2.3.4", "*.0.0.1"].map(str::to_owned);
        for url in ["https://EXAMPLE.org:443/x", "https://cdn.example.net/x", "http://1.2.3.4/x"] {
            check_host(url, &allowed).unwrap();
        }
        for url in [
            "https://cdn.example.org/x",
            "https://example.net/x",
            "https://badexample.net/x",
            "http://127.0.0.1/",
            "http://169.254.169.254/latest",
            "http://[::1]/x",
            "http://9.1.2.3.4/",
        ] {
            assert!(check_host(url, &allowed).is_err(), "{url}");
        }
    }
}
