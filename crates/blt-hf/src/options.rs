//! Where the hub and the cache are, who asks, and how patient to be.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::HubError;

/// The hub that is used unless another is named.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// A secret that says who asks. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token in `text`, white space around it left out; none when nothing remains, or when it cannot stand in a header.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self(text.to_owned()))
    }

    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// How a hub is used.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// Address of the hub.
    pub endpoint: String,
    /// Folder of the cache, in the layout of the Python client.
    pub cache: PathBuf,
    /// Who asks; sent to the endpoint's own origin and nowhere else.
    pub token: Option<Token>,
    /// Use the cache only.
    pub offline: bool,
    /// Certificates to trust instead of Mozilla's: a PEM file.
    pub certificates: Option<PathBuf>,
    /// Most requests at a time.
    pub connections: usize,
    /// How often in a row a request may fail before it is given up.
    pub attempts: u32,
    /// Pause after the first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause that is made because the hub asks for it.
    pub longest_pause: Duration,
    /// How long a host may be silent.
    pub timeout: Duration,
    /// How long another process that downloads the same file may get no further.
    pub lock_patience: Duration,
}

impl HubOptions {
    /// The defaults with this cache, as if no environment variable were set.
    pub fn new(cache: PathBuf) -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            cache,
            token: None,
            offline: false,
            certificates: None,
            connections: 8,
            attempts: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(300),
            timeout: Duration::from_secs(30),
            lock_patience: Duration::from_secs(600),
        }
    }

    /// As the environment says, with the variables of the Python client: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`,
    /// `HF_HOME`, `XDG_CACHE_HOME`, `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`,
    /// `HF_HUB_OFFLINE`, `TRANSFORMERS_OFFLINE`; and `SSL_CERT_FILE`.
    ///
    /// # Errors
    ///
    /// Fails when no cache folder is named and there is no home directory.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_variables(|name| std::env::var_os(name), std::env::home_dir().as_deref())
    }

    /// As [`from_env`](Self::from_env), from variables that `variable` gives.
    ///
    /// # Errors
    ///
    /// Fails when no cache folder is named and there is no `home`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Result<Self, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).and_then(|value| value.into_string().ok());
        let folder = |name: &str| set(name).map(PathBuf::from).map(|path| expand(path, home));
        let is_true = |name: &str| {
            let value = text(name).unwrap_or_default().to_ascii_uppercase();
            ["1", "ON", "YES", "TRUE"].contains(&value.as_str())
        };
        let hub_home = folder("HF_HOME")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| home.map(|home| home.join(".cache/huggingface")));
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| hub_home.as_ref().map(|home| home.join("hub")))
            .ok_or(HubError::NoCacheFolder)?;
        let token = || {
            if is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
                return None;
            }
            let given = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
            given.and_then(|text| Token::new(&text)).or_else(|| {
                let file = folder("HF_TOKEN_PATH").or_else(|| hub_home.map(|home| home.join("token")))?;
                Token::new(&std::fs::read_to_string(file).ok()?)
            })
        };
        Ok(Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: token(),
            offline: is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"),
            certificates: folder("SSL_CERT_FILE"),
            ..Self::new(cache)
        })
    }
}

/// `~/x` below the home directory.
fn expand(path: PathBuf, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~"), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> HubOptions {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        HubOptions::from_variables(find, Some(Path::new("/nobody"))).unwrap()
    }

    #[test]
    fn the_cache_is_where_the_python_client_looks() {
        for (variables, cache) in [
            (&[][..], "/nobody/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/h/hub"),
            (&[("HF_HOME", "~/h")], "/nobody/h/hub"),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")], "/old"),
            (&[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/c"),
        ] {
            assert_eq!(options(variables).cache, Path::new(cache), "{variables:?}");
        }
    }

    #[test]
    fn tokens_come_from_the_environment_and_are_never_shown() {
        let token = |variables: &[(&str, &str)]| options(variables).token.map(|token| token.header());
        assert_eq!(token(&[("HF_TOKEN", " hf_secret\n")]).as_deref(), Some("Bearer hf_secret"));
        assert_eq!(token(&[("HF_TOKEN", "hf_secret"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(token(&[("HF_TOKEN", "two words")]), None);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "hf_file\n").unwrap();
        assert_eq!(token(&[("HF_TOKEN_PATH", file.to_str().unwrap())]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(token(&[("HF_HOME", folder.path().to_str().unwrap())]).as_deref(), Some("Bearer hf_file"));
        let shown = format!("{:?}", options(&[("HF_TOKEN", "hf_secret")]));
        assert!(!shown.contains("hf_secret"), "{shown}");
    }

    #[test]
    fn offline_is_what_python_takes_for_true() {
        for (value, offline) in [("1", true), ("true", true), ("YES", true), ("0", false), ("", false), ("no", false)] {
            assert_eq!(options(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
    }
}
