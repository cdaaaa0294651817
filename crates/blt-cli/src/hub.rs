//! The Hugging Face Hub as the arguments name it.

use std::path::{Path, PathBuf};

use blt_hf::{Hub, HubError, HubOptions, Token};
use clap::{Args, ValueHint};

use crate::failure::Failure;

/// Where models and datasets come from. The environment variables of the Python client count where nothing is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct HubArgs {
    /// Token of the Hugging Face Hub; HF_TOKEN says it without showing it to other users of the machine
    #[arg(long, value_name = "TOKEN", help_heading = "Hub")]
    pub(crate) hf_token: Option<Secret>,
    /// Address of the Hub or of a mirror [env: HF_ENDPOINT]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "Hub")]
    pub(crate) hf_endpoint: Option<String>,
    /// Folder of the cache, shared with the Python client [env: HF_HOME]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Hub")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Use what is in the cache and never the network [env: HF_HUB_OFFLINE]
    #[arg(long, help_heading = "Hub")]
    pub(crate) offline: bool,
}

/// A value that is not shown.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl HubArgs {
    /// How the Hub is used; its cache is on `drive` where no folder is named.
    pub(crate) fn options_in(&self, drive: Option<&Path>) -> Result<HubOptions, Failure> {
        let mut options = self.options()?;
        if let (Some(drive), None) = (drive, &self.cache_dir) {
            options.cache = drive.join("cache/hub");
        }
        Ok(options)
    }

    /// How the Hub is used.
    pub(crate) fn options(&self) -> Result<HubOptions, Failure> {
        let mut options = match &self.cache_dir {
            // Without a home directory a folder that is named is enough.
            Some(folder) => {
                let home = std::env::home_dir().unwrap_or_else(|| folder.clone());
                HubOptions::from_variables(|name| std::env::var_os(name), Some(&home))
                    .map(|options| HubOptions { cache: folder.join("hub"), ..options })
            }
            None => HubOptions::from_env(),
        }
        .map_err(failure)?;
        if let Some(endpoint) = &self.hf_endpoint {
            options.endpoint.clone_from(endpoint);
        }
        if let Some(token) = &self.hf_token {
            let unusable = || Failure::usage("`--hf-token` is not a token: it has spaces or control characters");
            options.token = Some(Token::new(&token.0).ok_or_else(unusable)?);
        }
        options.offline |= self.offline;
        Ok(options)
    }

    /// The Hub; its cache is on `drive` where no folder is named.
    pub(crate) fn hub_in(&self, drive: Option<&Path>) -> Result<Hub, Failure> {
        Hub::new(self.options_in(drive)?).map_err(failure)
    }
}

/// An error of the Hub, with what to do about it.
pub(crate) fn failure(error: HubError) -> Failure {
    let hint = error.hint();
    Failure::new("cannot use the Hugging Face Hub", error).hint(hint)
}
