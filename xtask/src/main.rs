//! The project's own tasks. `cargo xtask test` is everything that must pass; `tidy` and `bench` are parts of the work.

mod bench;
mod tidy;

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

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
    /// Measure speed and memory
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Test => test(),
        Task::Tidy => tidy::check(),
        Task::Bench(args) => bench::run(&args),
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
    cargo(&["test", "--workspace", "--features", FEATURES])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--features", FEATURES, "--", "-D", "warnings"])?;
    cargo(&["clippy", "-p", "blt-cli", "-p", "blt-bench", "--", "-D", "warnings"])?;
    cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--features", FEATURES])
}

/// Runs cargo in the root of the repository.
fn cargo(args: &[&str]) -> Result<(), String> {
    say(&format!("$ cargo {}", args.join(" ")));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(args)
        .current_dir(root())
        .env("RUSTDOCFLAGS", "-D warnings")
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {}` failed", args.join(" "))) }
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_owned()
}

/// Writes a line to standard error.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
