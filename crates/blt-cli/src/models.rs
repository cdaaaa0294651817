//! Models on the Hugging Face Hub: `--model ORG/NAME[@REV]`, `model pull`, `model list`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use blt_checkpoint::ModelConfig;
use blt_hf::{CachedSnapshot, FileInfo, Hub, HubError, HubSource, Licence, Pinned, Progress, Repo, RepoKind, Waiting};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::Ending;
use crate::args::{ModelListArgs, ModelPullArgs, ReportFormat};
use crate::failure::Failure;
use crate::hub::HubArgs;
use crate::output::{to_stderr, write_all};
use crate::render::printable;

/// Largest card that is read, in bytes.
const MAX_CARD: u64 = 1 << 20;

/// A model on the Hub.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ModelName {
    repo: Repo,
    revision: String,
}

impl ModelName {
    /// `text` as `ORG/NAME[@REV]`, if it has that form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let repo = Repo::new(RepoKind::Model, name).ok().filter(|_| name.contains('/'))?;
        (!revision.is_empty()).then(|| Self { repo, revision: revision.to_owned() })
    }

    /// The name without its owner.
    pub(crate) fn short(&self) -> &str {
        self.repo.name().rsplit('/').next().unwrap_or_default()
    }
}

/// The model's folder or weights on disk: from the cache without asking anybody, else fetched.
pub(crate) fn locate(name: &ModelName, args: &HubArgs) -> Result<PathBuf, Failure> {
    let hub = args.hub_in(None)?;
    if let Some(at) = hub.cached_commit(&name.repo, &name.revision) {
        let cached: Vec<String> = hub.cached_paths(&at).into_iter().map(|(path, _)| path).collect();
        if let Some(weights) = weights_among(cached.iter().map(String::as_str))
            && (is_record(weights) || cached.iter().any(|path| path == "config.json"))
        {
            return Ok(hub.snapshot(&at).join(weights));
        }
    }
    let model = RemoteModel::find(&hub, name)?;
    if let Some(licence) = &model.licence {
        to_stderr(&format!("fetching {}; its licence: {licence}", name.repo));
    }
    model.fetch(&hub)
}

/// Which of these files are the weights: `model.safetensors`, else the only Burn record.
fn weights_among<'a>(paths: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let mut records = paths.clone().filter(|path| is_record(path) && !path.contains('/'));
    let mut all = paths;
    let record = records.next().filter(|_| records.next().is_none());
    all.find(|path| *path == "model.safetensors").or(record)
}

fn is_record(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "mpk")
}

/// A model as the Hub lists it.
struct RemoteModel {
    at: Pinned,
    weights: String,
    /// What is fetched: weights, configuration, card and licence.
    files: Vec<FileInfo>,
    licence: Option<Licence>,
}

impl RemoteModel {
    /// Asks the Hub; nothing but the card is read.
    fn find(hub: &Hub, name: &ModelName) -> Result<Self, Failure> {
        let failed = |error: HubError| {
            let hint = error.hint();
            Failure::new(format!("cannot fetch the model `{}`", name.repo), error).hint(hint)
        };
        let at = hub.resolve(&name.repo, &name.revision).map_err(failed)?;
        let mut files = hub.list(&at, "").map_err(failed)?;
        let weights = weights_among(files.iter().map(|file| file.path.as_str())).map(str::to_owned);
        let weights = weights.ok_or_else(|| {
            Failure::usage(format!("`{}` has no weights of an entropy model", name.repo))
                .hint(Some("expected is `model.safetensors` with `config.json`, or one Burn record (`.mpk`)"))
        })?;
        let is_wanted = |path: &str| {
            path == weights
                || path == "config.json"
                || path == "README.md"
                || path.to_ascii_uppercase().starts_with("LICENSE")
        };
        files.retain(|file| is_wanted(&file.path));
        let mut licence = None;
        if let Some(card) = files.iter().find(|file| file.path == "README.md" && file.size <= MAX_CARD) {
            let mut text = vec![0; card.size as usize];
            match hub.read_at(&at, card, 0, &mut text) {
                Ok(()) => licence = std::str::from_utf8(&text).ok().and_then(Licence::from_card),
                // Offline, the weights are of use without it.
                Err(error) => tracing::warn!("the model's card cannot be read: {error}"),
            }
        }
        Ok(Self { at, weights, files, licence })
    }

    /// Fetches what is not here yet, and gives the path of the weights.
    fn fetch(&self, hub: &Hub) -> Result<PathBuf, Failure> {
        let bars = Bars::new();
        let paths: Vec<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        for (path, fetched) in paths.iter().zip(hub.cached_files(&self.at, &paths, &bars)) {
            let is_needed = *path == self.weights || *path == "config.json";
            match fetched {
                Ok(_) => {}
                Err(error) if is_needed => {
                    let hint = error.hint();
                    return Err(Failure::new(format!("cannot fetch `{}/{path}`", self.at.repo), error).hint(hint));
                }
                Err(error) => tracing::warn!("{path} was not fetched: {error}"),
            }
        }
        Ok(hub.snapshot(&self.at).join(&self.weights))
    }

    fn licence(&self) -> String {
        self.licence.as_ref().map_or_else(|| "not stated in the model's card".to_owned(), Licence::to_string)
    }
}

/// `model pull`.
pub(crate) fn pull(args: &ModelPullArgs) -> Result<Ending, Failure> {
    let name = ModelName::parse(&args.model).ok_or_else(|| {
        Failure::usage(format!("`{}` is not a model on the hub", args.model))
            .hint(Some("name it as `ORG/NAME` or `ORG/NAME@REVISION`"))
    })?;
    let hub = args.hub.hub_in(None)?;
    let model = RemoteModel::find(&hub, &name)?;
    let is_here: Vec<bool> = model.files.iter().map(|file| hub.find_cached(&model.at, &file.path).is_some()).collect();
    let folder = if args.dry_run { hub.snapshot(&model.at) } else { parent(&model.fetch(&hub)?) };
    let mut report = String::new();
    match args.format {
        ReportFormat::Json => {
            let files: Vec<_> = model
                .files
                .iter()
                .zip(&is_here)
                .map(|(file, here)| json!({ "path": file.path, "bytes": file.size, "digest": file.digest.to_string(), "was_cached": here }))
                .collect();
            let value = json!({
                "model": name.repo.name(), "revision": name.revision, "commit": model.at.commit.as_str(),
                "licence": model.licence.as_ref().map(Licence::to_string), "files": files,
                "folder": folder.display().to_string(), "dry_run": args.dry_run,
            });
            let _ = writeln!(report, "{value:#}");
        }
        ReportFormat::Text => {
            let _ = writeln!(report, "{} at {}", name.repo, model.at.commit);
            for (file, here) in model.files.iter().zip(is_here) {
                let state = match (here, args.dry_run) {
                    (true, _) => "in the cache",
                    (false, true) => "to be fetched",
                    (false, false) => "fetched",
                };
                let _ = writeln!(report, "  {:<24} {:>14} bytes  {state}", printable(file.path.as_bytes()), file.size);
            }
            let _ = writeln!(report, "licence: {}", printable(model.licence().as_bytes()));
            let _ = writeln!(report, "folder: {}", folder.display());
        }
    }
    write_all(report.as_bytes())
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

/// `model list`: the entropy models in the cache, and the one inside the program.
pub(crate) fn list(args: &ModelListArgs) -> Result<Ending, Failure> {
    let hub = args.hub.hub_in(None)?;
    let mut rows = vec![("embedded".to_owned(), blt_mini::NAME.to_owned(), blt_mini::WEIGHTS.len() as u64, None)];
    for cached in hub.cached_repos().into_iter().filter(|cached| cached.repo.kind() == RepoKind::Model) {
        for CachedSnapshot { commit, files } in &cached.snapshots {
            let at = Pinned { repo: cached.repo.clone(), commit: commit.clone() };
            let folder = hub.snapshot(&at);
            let Some(weights) = weights_among(files.iter().map(|(path, _)| path.as_str())) else { continue };
            // Most models in a cache are others.
            let config = std::fs::read_to_string(folder.join("config.json")).unwrap_or_default();
            if !is_record(weights) && ModelConfig::from_json(&config, "config.json").is_err() {
                continue;
            }
            let name = cached.refs.iter().find(|(_, named)| *named == commit).map_or(commit.as_str(), |(name, _)| name);
            let size = files.iter().find(|(path, _)| path == weights).map_or(0, |(_, size)| *size);
            rows.push((format!("{}@{name}", cached.repo), commit.to_string(), size, Some(folder)));
        }
    }
    let mut report = String::new();
    match args.format {
        ReportFormat::Json => {
            let values: Vec<_> = rows
                .iter()
                .map(|(model, commit, size, folder)| {
                    let folder = folder.as_ref().map(|folder| folder.display().to_string());
                    json!({ "model": model, "version": commit, "weights_bytes": size, "folder": folder })
                })
                .collect();
            let _ = writeln!(report, "{:#}", json!(values));
        }
        ReportFormat::Text => {
            for (model, commit, size, _) in &rows {
                let _ = writeln!(report, "{model:<40} {:>12} bytes  {}", size, commit.get(..12).unwrap_or(commit));
            }
        }
    }
    write_all(report.as_bytes())
}

/// Bars on standard error, one a file, when that is a terminal.
struct Bars {
    all: MultiProgress,
    files: std::sync::Mutex<Vec<(String, ProgressBar)>>,
}

impl Bars {
    /// Shown unless the user wants to hear of errors only.
    fn new() -> Self {
        let shown = tracing::enabled!(tracing::Level::WARN) && io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        Self { all: MultiProgress::with_draw_target(target), files: std::sync::Mutex::default() }
    }

    fn with(&self, file: &FileInfo, act: impl FnOnce(&ProgressBar)) {
        let files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, bar)) = files.iter().find(|(path, _)| *path == file.path) {
            act(bar);
        }
    }
}

impl Progress for Bars {
    fn started(&self, file: &FileInfo, present: u64) {
        let bar = self.all.add(ProgressBar::new(file.size));
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is valid").progress_chars("=> "));
        bar.set_message(printable(file.path.as_bytes()));
        bar.set_position(present);
        let mut files = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        files.push((file.path.clone(), bar));
    }

    fn advanced(&self, file: &FileInfo, n_bytes: u64) {
        self.with(file, |bar| bar.inc(n_bytes));
    }

    fn restarted(&self, file: &FileInfo, present: u64) {
        self.with(file, |bar| bar.set_position(present));
    }

    fn finished(&self, file: &FileInfo) {
        self.with(file, ProgressBar::finish_and_clear);
    }

    fn waiting(&self, why: &Waiting<'_>) {
        let text = match why {
            Waiting::Retry { error, pause } => format!("{error}; trying again in {:.0} s", pause.as_secs_f64().ceil()),
            Waiting::Lock { file } => format!("another process is fetching `{}`; waiting for it", file.path),
            _ => return,
        };
        tracing::warn!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_hub_are_told_from_paths() {
        let name = |text| ModelName::parse(text).map(|name| (name.repo.name().to_owned(), name.revision));
        assert_eq!(name("facebook/blt-entropy"), Some(("facebook/blt-entropy".to_owned(), "main".to_owned())));
        assert_eq!(name("o/n@refs/pr/1"), Some(("o/n".to_owned(), "refs/pr/1".to_owned())));
        for path in ["embedded", "model", "./models/x", "/models/x", "a/b/c", "../x", "o/n@", "", "a\\b"] {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[test]
    fn weights_are_found_among_other_files() {
        let weights = |paths: &[&'static str]| weights_among(paths.iter().copied());
        assert_eq!(weights(&["README.md", "a.mpk", "model.safetensors"]), Some("model.safetensors"));
        assert_eq!(weights(&["README.md", "blt_entropy_model.mpk"]), Some("blt_entropy_model.mpk"));
        assert_eq!(weights(&["a.mpk", "b.mpk"]), None);
        assert_eq!(weights(&["old/a.mpk", "pytorch_model.bin"]), None);
    }
}
