//! What a cell may name: a file of the dataset, a file of a repository, an address.

use std::fmt;

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

/// Why an address is refused whose host the user did not allow; see [`AssetSource::check_url`](super::AssetSource::check_url).
pub const HOST_NOT_ALLOWED: &str = "its host is not allowed";

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
                check_address(text)?;
                return Ok(Self::Url(text.to_owned()));
            }
            Some(_) => return Err(refused(text, "only paths, `hf://` and `https://` are")),
            None => {}
        }
        let path = plain_path(text).ok_or_else(|| refused(text, "the path leads out of the dataset"))?;
        let beside = data_file.rsplit_once('/').map(|(folder, _)| format!("{folder}/{path}"));
        Ok(Self::Relative(beside.into_iter().chain([path]).collect()))
    }

    /// Where it is looked for, for messages.
    pub(super) fn tried(&self) -> Vec<String> {
        match self {
            Self::Relative(candidates) => candidates.iter().map(|path| shown_reference(path)).collect(),
            other => vec![shown_reference(&other.to_string())],
        }
    }

    /// The path, or the address without what may be secret in it: a name for people, and a hint at what the file is.
    pub(super) fn file_name(&self) -> String {
        match self {
            Self::Url(url) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
            _ => self.path().to_owned(),
        }
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

/// What a cell says, for messages: without the query of an address, its fragment and its user, which may be secret, without
/// characters that move a cursor, and not without end.
pub fn shown_reference(text: &str) -> String {
    let plain = text.split(['?', '#']).next().unwrap_or_default();
    let scheme = plain.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| is_scheme(scheme));
    let (start, rest) = plain.split_at(scheme.map_or(0, |scheme| scheme.len() + 1));
    let slashes = rest.len() - rest.trim_start_matches(['/', '\\']).len();
    let (slashes, rest) = rest.split_at(slashes);
    let authority = rest.split(['/', '\\']).next().unwrap_or_default();
    let has_authority = scheme.is_some() || slashes.len() > 1;
    let user = if has_authority { authority.rfind('@').map_or(0, |at| at + 1) } else { 0 };
    let shown = start.chars().chain(slashes.chars()).chain(rest[user..].chars());
    shown.take(200).flat_map(char::escape_default).collect()
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

/// Refuses addresses that should not stand in a dataset.
fn check_address(url: &str) -> Result<(), AssetError> {
    let rest = url.split_once("://").map(|(_, rest)| rest).ok_or_else(|| refused(url, "it is no address"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains(['@', '\\', ' ']) {
        return Err(refused(url, "it has a user or characters that addresses do not have"));
    }
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() { Err(refused(url, "it has no host")) } else { Ok(()) }
}

pub(super) fn refused(reference: &str, why: &'static str) -> AssetError {
    AssetError::Refused { reference: shown_reference(reference), why }
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
    fn messages_hold_no_secrets_and_end() {
        for (text, shown) in [
            ("https://h/p?token=x#y", "https://h/p"),
            ("https://me:word@h/a@b#y", "https://h/a@b"),
            ("http:\\\\me:word@h\\p", "http:\\\\\\\\h\\\\p"),
            ("//me:word@h/p", "//h/p"),
            ("ftp:me:word@h", "ftp:h"),
            ("hf://datasets/o/n@main/p", "hf://datasets/o/n@main/p"),
            ("hf://o/n@main/p", "hf://o/n@main/p"),
            ("images/me@home.jpg?token=x", "images/me@home.jpg"),
            ("me@home.jpg", "me@home.jpg"),
            ("a\nb", "a\\nb"),
        ] {
            assert_eq!(shown_reference(text), shown);
        }
        let long = format!("data:image/png;base64,{}", "A".repeat(1 << 20));
        assert_eq!(shown_reference(&long).len(), 200);
        for text in [&long, "https://me:word@h/p?token=secret", "ftp://me:word@h/p?token=secret", "../a?token=secret"] {
            let told = Reference::parse(text, "f").unwrap_err().to_string();
            assert!(told.len() < 300 && !told.contains("word") && !told.contains("secret"), "{told}");
        }
    }
}
