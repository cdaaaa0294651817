//! What we write, read by the libraries that users have; pages of spheres, looked at in a browser; the Hub's Python clients and ours
//! on one hub and one cache; and runs that are killed, counted by a script of its own. All are installed into a virtual environment
//! below the target folder, but the browser (Chromium), which is installed where the system keeps its programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{cargo, installed, root, say};

/// What is installed, by pip's lists.
const REQUIREMENTS: &[&str] =
    &["tests/outputs/requirements.txt", "tests/hub/requirements.txt", "tests/pages/requirements.txt"];

/// Writes the samples in every form and has every client read them; then pages for a browser, the clients of the Hub, and runs that
/// are killed.
pub(crate) fn run() -> Result<(), String> {
    let target = target_folder()?;
    let folder = target.join("clients");
    let python = environment(&folder.join("venv"))?;
    let (samples, outputs) = (root().join("samples"), folder.join("outputs"));
    match std::fs::remove_dir_all(&outputs) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("cannot remove {}: {error}", outputs.display()));
        }
        _ => {}
    }
    let (samples, outputs) = (text(&samples)?, text(&outputs)?);
    cargo(&["run", "--quiet", "-p", "blt-output", "--example", "sample_outputs", "--", samples, outputs])?;
    if !installed("chromium", "--version", "chromium") {
        return Err("chromium is not here, in which pages are looked at (Debian: apt-get install chromium)".to_owned());
    }
    let pages = folder.join("pages");
    cargo(&["run", "--quiet", "-p", "blt-render", "--example", "sample_pages", "--", text(&pages)?])?;
    cargo(&["build", "--quiet", "-p", "blt-hub-stub", "-p", "blt-cli"])?;
    cargo(&["build", "--quiet", "-p", "blt-hf", "--example", "fetch"])?;
    let program = |name: &str| target.join("debug").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let (stub, fetch, hub) = (program("blt-hub-stub"), program("examples/fetch"), folder.join("hub"));
    let cli = program("blt-cli");
    let scripts: &[&[&str]] = &[
        &["tests/outputs/clients.py", samples, outputs],
        &["tests/outputs/jax_processes.py", outputs],
        &["tests/pages/look.py", text(&pages)?],
        &["tests/hub/clients.py", text(&stub)?, text(&fetch)?, text(&hub)?],
        &["tests/interruptions/kill.py", text(&cli)?],
    ];
    scripts.iter().try_for_each(|script| started(Command::new(&python).args(*script)))
}

/// The Python of an environment in `folder` that has everything.
fn environment(folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if !python.exists() {
        started(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    for list in REQUIREMENTS {
        install.args(["-r", list]);
    }
    started(&mut install)?;
    Ok(python)
}

fn target_folder() -> Result<PathBuf, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let folder = metadata["target_directory"].as_str().ok_or("cargo metadata names no target folder")?;
    Ok(PathBuf::from(folder))
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))
}

/// Runs a command in the root of the repository.
fn started(command: &mut Command) -> Result<(), String> {
    say(&format!("$ {command:?}"));
    let status = command.current_dir(root()).status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed")) }
}
