//! The Hugging Face Hub as the arguments name it.

use std::path::{Path, PathBuf};

use blt_hf::{Hub, HubError, HubOptions, Token};
use clap::{Args, ValueHint};

use crate::failure::Failure;

/// Where models and datasets come from. The environment variables of the Python client count where nothing is given.
#[derive(Debug, Clone, Args)]
pub(crate) struct HubArgs {
    /// Token of the Hugging Face Hub [env: HF_TOKEN]
    #[arg(long, value_name = "TOKEN", help_heading = "Hub")]
    pub(crate) hf_token: Option<String>,
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

impl HubArgs {
    /// How the Hub is used.
    pub(crate) fn options(&self) -> Result<HubOptions, Failure> {
        let mut options = match &self.cache_dir {
            // Without a home directory a folder that is named is enough.
            Some(folder) => HubOptions::from_variables(|name| std::env::var_os(name), Some(folder))
                .map(|options| HubOptions { cache: folder.join("hub"), ..options }),
            None => HubOptions::from_env(),
        }
        .map_err(failure)?;
        if let Some(endpoint) = &self.hf_endpoint {
            options.endpoint.clone_from(endpoint);
        }
        if let Some(token) = &self.hf_token {
            let unusable = || Failure::usage("`--hf-token` is not a token: it has spaces or control characters");
            options.token = Some(Token::new(token).ok_or_else(unusable)?);
        }
        options.offline |= self.offline;
        Ok(options)
    }

    /// The Hub, with its cache in `default_cache` where nothing else is said.
    pub(crate) fn hub(&self, default_cache: Option<&Path>) -> Result<Hub, Failure> {
        let mut options = self.options()?;
        if let (Some(cache), None) = (default_cache, &self.cache_dir) {
            options.cache = cache.to_owned();
        }
        Hub::new(options).map_err(failure)
    }
}

/// An error of the Hub, with what to do about it.
pub(crate) fn failure(error: HubError) -> Failure {
    let hint = error.hint();
    Failure::new("cannot use the Hugging Face Hub", error).hint(hint)
}
