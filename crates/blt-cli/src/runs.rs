//! `blt-cli runs`: what a journal says, whether its files are still what it says, and another try for what failed.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use blt_ingest::{Journal, OutputFile, Row, Status};
use clap::Parser;
use serde_json::json;

use crate::Ending;
use crate::args::{Cli, Command, ReportFormat, RetryArgs, RunArgs};
use crate::failure::Failure;
use crate::output::{write_all, write_file};
use crate::render::printable;

/// How the run of a folder was started, for `runs retry`.
const RUN_FILE: &str = "run.json";

/// Counts by status, the settings, and every failure with its reason.
pub(crate) fn status(args: &RunArgs) -> Result<Ending, Failure> {
    let journal = open(&args.folder)?;
    let rows = journal.rows().map_err(|error| unreadable(&args.folder, error))?;
    let settings = journal.settings().map_err(|error| unreadable(&args.folder, error))?;
    let count = |status: Status| rows.iter().filter(|row| row.status == status).count();
    let total = |of: fn(&Row) -> Option<u64>| rows.iter().filter_map(of).sum::<u64>();
    let failed = || rows.iter().filter(|row| row.status == Status::Failed);
    let reason = |row: &Row| row.error.clone().unwrap_or_else(|| "unknown".to_owned());
    let text = match args.format {
        ReportFormat::Json => {
            let settings: serde_json::Map<String, serde_json::Value> =
                settings.into_iter().map(|(key, value)| (key, value.into())).collect();
            let failures: Vec<_> =
                failed().map(|row| json!({"id": row.id, "source": row.source, "error": reason(row)})).collect();
            let report = json!({
                "done": count(Status::Done), "failed": count(Status::Failed), "skipped": count(Status::Skipped),
                "n_bytes": total(|row| row.n_bytes), "n_patches": total(|row| row.n_patches),
                "settings": settings, "failures": failures,
            });
            format!("{report:#}\n")
        }
        ReportFormat::Text => {
            let mut text = format!(
                "{} done, {} failed, {} skipped; {} bytes, {} patches\n",
                count(Status::Done),
                count(Status::Failed),
                count(Status::Skipped),
                total(|row| row.n_bytes),
                total(|row| row.n_patches)
            );
            for row in failed() {
                text.push_str(&format!("failed: {}: {}\n", printable(row.source.as_bytes()), reason(row)));
            }
            text
        }
    };
    write_all(text.as_bytes())?;
    Ok(if count(Status::Failed) == 0 { Ending::Complete } else { Ending::SomeFailed })
}

/// Compares every file with what the journal says of it, and names files that no source of the journal owns.
pub(crate) fn verify(args: &RunArgs) -> Result<Ending, Failure> {
    let journal = open(&args.folder)?;
    let rows = journal.rows().map_err(|error| unreadable(&args.folder, error))?;
    let files = journal.output_files().map_err(|error| unreadable(&args.folder, error))?;
    let mut problems = Vec::new();
    for file in &files {
        if let Some(problem) = problem_of(&args.folder, file) {
            problems.push((file.name.clone(), problem));
        }
    }
    let known: HashSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    for name in rows.iter().flat_map(|row| &row.outputs).filter(|name| !known.contains(name.as_str())) {
        problems.push((name.clone(), "the journal has a source with this file, but no file of this name".to_owned()));
    }
    let strays = strays(&args.folder, &known).map_err(|error| unreadable(&args.folder, error))?;
    problems.extend(strays.into_iter().map(|name| (name, "no source of the journal has this file".to_owned())));
    let text = match args.format {
        ReportFormat::Json => {
            let problems: Vec<_> =
                problems.iter().map(|(name, problem)| json!({"file": name, "problem": problem})).collect();
            format!("{:#}\n", json!({"n_sources": rows.len(), "n_files": files.len(), "problems": problems}))
        }
        ReportFormat::Text => {
            let mut text: String =
                problems.iter().map(|(name, problem)| format!("{}: {problem}\n", printable(name.as_bytes()))).collect();
            let (n_bytes, n_files): (u64, _) = (files.iter().map(|file| file.n_bytes).sum(), files.len());
            text.push_str(&format!("{n_files} files, {n_bytes} bytes, {} problems\n", problems.len()));
            text
        }
    };
    write_all(text.as_bytes())?;
    Ok(if problems.is_empty() { Ending::Complete } else { Ending::SomeFailed })
}

/// Runs `ingest` again as it was started, for the sources that failed.
pub(crate) fn retry(args: &RetryArgs, quiet: bool) -> Result<Ending, Failure> {
    let path = args.folder.join(RUN_FILE);
    let again = "run `blt-cli ingest` with the arguments of the first time: it tries again what failed";
    let unusable = |what: &str| Failure::usage(format!("`{}` {what}", path.display())).hint(Some(again));
    let bytes = fs::read(&path).map_err(|error| unreadable(&path, error).hint(Some(again)))?;
    let run: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&path, error))?;
    let strings = |key: &str| -> Option<Vec<String>> {
        run[key].as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let arguments = strings("arguments").ok_or_else(|| unusable("does not say how the run was started"))?;
    let output = fs::canonicalize(&args.folder).map_err(|error| unreadable(&args.folder, error))?;
    let cli = Cli::try_parse_from(std::iter::once("blt-cli".to_owned()).chain(arguments))
        .map_err(|_| unusable("was written by another version"))?;
    let Command::Ingest(mut ingest) = cli.command else { return Err(unusable("is not of `ingest`")) };
    if let Some(directory) = run["directory"].as_str() {
        // Relative paths are meant from where the run was started.
        std::env::set_current_dir(directory)
            .map_err(|error| Failure::new(format!("cannot go to `{directory}`, where the run was started"), error))?;
    }
    ingest.overwrite = false;
    crate::ingest::run_again(&ingest, output, quiet)
}

/// Leaves in `folder` how this process was started, without secrets. What cannot be written as text is left out, and the
/// run cannot be started again by itself.
pub(crate) fn record_start(folder: &Path) -> Result<(), Failure> {
    let directory = std::env::current_dir().ok().and_then(|path| path.into_os_string().into_string().ok());
    let arguments: Option<Vec<String>> =
        std::env::args_os().skip(1).map(|argument| argument.into_string().ok()).collect();
    let run = json!({
        "program": concat!("blt-cli ", env!("CARGO_PKG_VERSION")),
        "arguments": arguments.map(without_secrets), "directory": directory,
    });
    fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot write to `{}`", folder.display()), error))?;
    write_file(&folder.join(RUN_FILE), format!("{run:#}\n").as_bytes())
}

/// Arguments whose values nobody else should read.
const SECRETS: [&str; 2] = ["--hf-token", "--password"];

fn without_secrets(arguments: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if SECRETS.contains(&argument.as_str()) {
            arguments.next();
        } else if !SECRETS.iter().any(|secret| argument.strip_prefix(secret).is_some_and(|rest| rest.starts_with('=')))
        {
            kept.push(argument);
        }
    }
    kept
}

fn open(folder: &Path) -> Result<Journal, Failure> {
    let hint = "give the folder that `ingest` wrote to";
    Journal::open_existing(folder).map_err(|error| unreadable(folder, error).hint(Some(hint)))
}

fn unreadable(path: &Path, error: impl std::error::Error + 'static) -> Failure {
    Failure::new(format!("cannot read `{}`", path.display()), error)
}

/// What is wrong with a file, if anything.
fn problem_of(folder: &Path, file: &OutputFile) -> Option<String> {
    // A journal may come from anyone: it is not led out of the folder.
    if !Path::new(&file.name).components().all(|part| matches!(part, Component::Normal(_))) {
        return Some("its name leads out of the folder".to_owned());
    }
    match OutputFile::read(&folder.join(&file.name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("it is missing".to_owned()),
        Err(error) => Some(format!("it cannot be read: {error}")),
        Ok(found) if found.n_bytes != file.n_bytes => {
            Some(format!("it has {} bytes, and had {} when it was written", found.n_bytes, file.n_bytes))
        }
        Ok(found) if found.sha256 != file.sha256 => Some("its bytes have changed since it was written".to_owned()),
        Ok(_) => None,
    }
}

/// Files that look like outputs and are none of the journal's.
fn strays(folder: &Path, known: &HashSet<&str>) -> io::Result<Vec<String>> {
    const ENDINGS: [&str; 8] =
        [".safetensors", ".hypergraph.db", ".hypergraph.json", ".parquet", ".tar", ".tar.gz", ".tar.zst", ".partial"];
    let mut strays = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = PathBuf::from(entry?.file_name());
        let Some(name) = name.to_str() else { continue };
        // Beside the journal's own there is the projection of embeddings, which belongs to the run.
        if !known.contains(name) && ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            strays.push(name.to_owned());
        }
    }
    strays.sort_unstable();
    Ok(strays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_written_down() {
        let arguments = ["ingest", "x", "--hf-token", "hf_abc", "--password=secret", "--text", "--hf-token"];
        let kept = without_secrets(arguments.map(str::to_owned).to_vec());
        assert_eq!(kept, ["ingest", "x", "--text"]);
    }
}
