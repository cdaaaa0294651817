//! `cargo xtask corpus`: the decoders against foreign tools, on files of every format, public ones and damaged ones. The work
//! is done by the scripts in `tests/decoders/`, which fetch what they need into a folder of their own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::{cargo, root, say};

#[derive(Debug, Args)]
pub(crate) struct CorpusArgs {
    /// Where fixtures and public files are kept
    #[arg(long, value_name = "DIR", default_value = "target/decoders")]
    folder: PathBuf,
    /// Number of damaged files
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    mutants: u32,
    /// Leave out what is fetched from the package registries
    #[arg(long)]
    no_fetch: bool,
}

pub(crate) fn run(args: &CorpusArgs) -> Result<(), String> {
    cargo(&["build", "--release", "-p", "blt-cli"])?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let program = target.join("release/blt-cli");
    let folder = root().join(&args.folder);
    let (fixtures, public) = (folder.join("fixtures"), folder.join("public"));
    let mut failed = Vec::new();
    if !fixtures.join("expected.json").is_file() {
        python("fixtures.py", &[&fixtures], &[])?;
    }
    failed.extend(python("check.py", &[&program, &fixtures], &[]).err());
    let count = args.mutants.to_string();
    failed.extend(python("mutate.py", &[&program, &fixtures], &["--count", &count]).err());
    if !args.no_fetch {
        if !public.join("files.json").is_file() {
            python("corpus.py", &[&public], &[])?;
        }
        failed.extend(python("corpus_report.py", &[&program, &public], &[]).err());
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// Runs one of the scripts.
fn python(script: &str, paths: &[&Path], options: &[&str]) -> Result<(), String> {
    say(&format!("$ {script} {}", options.join(" ")));
    let status = Command::new("python3")
        .arg(root().join("tests/decoders").join(script))
        .args(paths)
        .args(options)
        .status()
        .map_err(|error| format!("cannot run python3: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{script} found faults")) }
}
