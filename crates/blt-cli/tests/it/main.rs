//! The program as a user runs it: exit code, standard output and standard error together.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod commands;
mod datasets;
mod errors;
mod hub;
mod interruption;
#[cfg(feature = "polars")]
mod queries;
mod runs;
mod sphere;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The built program, with nothing of the user's environment that could change its output, and no card: what that computes is
/// checked by `benches/gpu.py`.
fn blt_cli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blt-cli"));
    command.env("CUDA_VISIBLE_DEVICES", "");
    command.env("NO_COLOR", "1");
    let of_the_hub = [
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HF_TOKEN_PATH",
        "HF_HUB_OFFLINE",
    ];
    of_the_hub.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

fn run(args: &[&str]) -> Output {
    blt_cli().args(args).output().unwrap()
}

#[track_caller]
fn stdout_of(args: &[&str]) -> String {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks exit code, standard output and standard error at once; `[..]` and `...` match anything.
#[track_caller]
fn snapshot(args: &[&str], expected: &str) {
    let output = run(args);
    let found = format!(
        "exit: {}\n--- stdout\n{}--- stderr\n{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    snapbox::assert_data_eq!(found, snapbox::Data::text(expected.to_owned()));
}

fn golden(path: &str) -> String {
    blt_testkit::golden_dir().join(path).to_str().unwrap().to_owned()
}

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
