//! The project's own tasks. `cargo xtask test` is everything that must pass; the others are parts of the work.

mod bench;
mod clients;
mod corpus;
mod tidy;

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::OnceLock;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "xtask", about = "The project's own tasks")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Check formatting, invariants, lints and documentation, and run all tests
    Test,
    /// Check the invariants of ARCHITECTURE.md
    Tidy,
    /// Lint, document and test the feature `polars` alone
    Polars,
    /// Measure speed and memory
    Bench(bench::BenchArgs),
    /// Have the libraries and the browser that users have read what we write
    Clients,
    /// Check the decoders: fixtures against foreign tools, public files, and damaged ones
    Corpus(corpus::CorpusArgs),
    /// Fetch an entropy model from the Hub, its licence shown
    Model {
        /// `ORG/NAME`, or `ORG/NAME@REVISION`
        #[arg(default_value = "facebook/blt-entropy")]
        name: String,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Test => test(),
        Task::Tidy => tidy::check(),
        Task::Polars => polars(),
        Task::Bench(args) => bench::run(&args),
        Task::Clients => clients::run(),
        Task::Corpus(args) => corpus::run(&args),
        Task::Model { name } => cargo(&["run", "--release", "-p", "blt-cli", "--", "model", "pull", &name]),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            say(&format!("error: {reason}"));
            ExitCode::FAILURE
        }
    }
}

/// What the tests and lints of the whole workspace are built with, beyond the defaults: one set, so that every dependency
/// is compiled once. Burn on the processor is the reference that our own engine is compared with.
const FEATURES: &str = "blt-cli/burn-cpu,blt-cli/tokenizers,blt-bench/burn-cpu";

/// The program with its default features alone comes last: it shares no dependency's features, but is light.
fn test() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    tidy::check()?;
    if !has_ffmpeg() {
        say("ffmpeg is not here: the tests of films and of rarer sounds are left out (Debian: apt-get install ffmpeg)");
    }
    cargo(&["test", "--workspace", "--features", FEATURES])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--features", FEATURES, "--", "-D", "warnings"])?;
    cargo(&["clippy", "-p", "blt-cli", "-p", "blt-bench", "--", "-D", "warnings"])?;
    cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--features", FEATURES])
}

/// What stands behind the feature `polars`. It is no part of [`test()`]: Polars is built for minutes. One set of packages, so that
/// it is built once.
fn polars() -> Result<(), String> {
    const ONLY: [&str; 6] = ["-p", "blt-query", "-p", "blt-cli", "--features", "blt-cli/polars"];
    cargo(&[&["test"][..], &ONLY, &["--lib"]].concat())?;
    cargo(&[&["test"][..], &ONLY, &["--test", "it", "queries"]].concat())?;
    cargo(&[&["test"][..], &ONLY, &["--doc"]].concat())?;
    cargo(&[&["clippy"][..], &ONLY, &["--all-targets", "--", "-D", "warnings"]].concat())?;
    cargo(&[&["doc"][..], &ONLY, &["--no-deps", "--document-private-items"]].concat())
}

/// Runs cargo in the root of the repository.
fn cargo(args: &[&str]) -> Result<(), String> {
    say(&format!("$ cargo {}", args.join(" ")));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(args)
        .current_dir(root())
        .env("RUSTDOCFLAGS", "-D warnings")
        .envs((!has_ffmpeg()).then_some(("BLT_TESTS_WITHOUT_FFMPEG", "1")))
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {}` failed", args.join(" "))) }
}

/// Whether films can be decoded here. Where packages can be installed without asking, it is.
fn has_ffmpeg() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| installed("ffprobe", "-version", "ffmpeg"))
}

/// Whether a program is here, by what it says to `version`. Where its package can be installed without asking, it is.
fn installed(program: &str, version: &str, package: &str) -> bool {
    let runs = |program: &str, args: &[&str]| {
        let quiet = || Stdio::null();
        let status = Command::new(program).args(args).stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
        status.is_ok_and(|status| status.success())
    };
    if runs(program, &[version]) {
        return true;
    }
    say(&format!("$ apt-get install {package}"));
    let install = || runs("apt-get", &["install", "-y", "--no-install-recommends", package]);
    // The lists of packages may be old, or not there at all.
    (install() || runs("apt-get", &["update"]) && install()) && runs(program, &[version])
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_owned()
}

/// Writes a line to standard error.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
