//! `fetch models|datasets OWNER/NAME [REVISION]`: fetches every file of a repository and prints where it is, its path inside first. The
//! hub, the cache and whether the network may be used are what the environment says (`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE`).

use std::error::Error;
use std::io::{self, Write};

use blt_hf::{Hub, HubSource, Repo, RepoKind};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, name, revision) = match &arguments[..] {
        [kind, name] => (kind, name, "main"),
        [kind, name, revision] => (kind, name, revision.as_str()),
        _ => return Err("usage: fetch models|datasets OWNER/NAME [REVISION]".into()),
    };
    let kind = if kind == "datasets" { RepoKind::Dataset } else { RepoKind::Model };
    let hub = Hub::from_env()?;
    let at = hub.resolve(&Repo::new(kind, name)?, revision)?;
    let files = hub.list(&at, "")?;
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for (path, fetched) in paths.iter().zip(hub.cached_files(&at, &paths, &())) {
        writeln!(io::stdout(), "{path}\t{}", fetched?.display())?;
    }
    Ok(())
}
