//! What no compiler checks: who depends on whom, and what may stand in a file.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::{root, say};

/// Which of our crates each of our crates may use, tests aside. ARCHITECTURE.md draws the same.
const ALLOWED: &[(&str, &[&str])] = &[
    ("blt-core", &[]),
    ("blt-checkpoint", &[]),
    ("blt-mini", &[]),
    ("blt-model", &["blt-core", "blt-checkpoint"]),
    ("blt-cpu", &["blt-core", "blt-checkpoint"]),
    ("blt-cuda", &["blt-core", "blt-checkpoint"]),
    ("blt-gpu", &["blt-core", "blt-checkpoint"]),
    ("blt-patcher", &["blt-core"]),
    ("blt-child", &["blt-core"]),
    ("blt-modalities-archive", &["blt-core"]),
    ("blt-modalities-audio", &["blt-child", "blt-core"]),
    ("blt-modalities-binary", &["blt-core"]),
    ("blt-modalities-code", &["blt-core"]),
    ("blt-modalities-document", &["blt-core"]),
    ("blt-modalities-image", &["blt-core"]),
    ("blt-modalities-pdf", &["blt-core"]),
    ("blt-modalities-text", &["blt-core"]),
    ("blt-modalities-video", &["blt-child", "blt-core"]),
    (
        "blt-modalities",
        &[
            "blt-child",
            "blt-core",
            "blt-modalities-archive",
            "blt-modalities-audio",
            "blt-modalities-binary",
            "blt-modalities-code",
            "blt-modalities-document",
            "blt-modalities-image",
            "blt-modalities-pdf",
            "blt-modalities-text",
            "blt-modalities-video",
        ],
    ),
    ("blt-sidecar", &["blt-core"]),
    ("blt-dataset", &[]),
    ("blt-query", &[]),
    ("blt-sphere", &[]),
    ("blt-hf", &[]),
    ("blt-output", &["blt-core"]),
    ("blt-corpus", &["blt-checkpoint", "blt-core", "blt-output", "blt-sidecar", "blt-sphere"]),
    ("blt-render", &["blt-corpus", "blt-sphere"]),
    ("blt-ingest", &["blt-core", "blt-dataset", "blt-modalities", "blt-output", "blt-patcher", "blt-sidecar"]),
    (
        "blt-cli",
        &[
            "blt-checkpoint",
            "blt-core",
            "blt-corpus",
            "blt-cpu",
            "blt-cuda",
            "blt-dataset",
            "blt-gpu",
            "blt-hf",
            "blt-ingest",
            "blt-mini",
            "blt-modalities",
            "blt-model",
            "blt-output",
            "blt-patcher",
            "blt-query",
            "blt-render",
            "blt-sidecar",
            "blt-sphere",
        ],
    ),
    ("blt-testkit", &[]),
    ("blt-hub-stub", &[]),
    (
        "blt-bench",
        &[
            "blt-checkpoint",
            "blt-core",
            "blt-cpu",
            "blt-cuda",
            "blt-dataset",
            "blt-gpu",
            "blt-ingest",
            "blt-mini",
            "blt-model",
            "blt-output",
            "blt-patcher",
        ],
    ),
    ("xtask", &[]),
];

/// Crates with a dependency that the others must not have.
const OWNERS: &[(&str, &[&str])] = &[
    ("burn", &["blt-model"]),
    ("cubecl", &["blt-gpu"]),
    ("cudarc", &["blt-cuda"]),
    ("rusqlite", &["blt-sidecar", "blt-ingest", "blt-corpus"]),
    ("ureq", &["blt-hf"]),
    ("polars", &["blt-query"]),
    ("clap", &["blt-cli", "blt-bench", "xtask"]),
];

/// `(what may not stand in library code, why)`.
const FORBIDDEN_IN_LIBRARIES: &[(&str, &str)] = &[
    ("println!", "libraries do not print"),
    ("process::exit", "libraries do not exit"),
    ("from_utf8_lossy", "bytes stay bytes"),
];

/// `(what may not stand in any file, why)`; written apart so that this file is none of them.
const FORBIDDEN_ANYWHERE: &[(&[&str], &str)] = &[
    (&["/ho", "me/"], "a path of one machine"),
    (&["/Us", "ers/"], "a path of one machine"),
    (&["to", "do!("], "unfinished code"),
    (&["unimple", "mented!("], "unfinished code"),
    (&["#[ig", "nore"], "a test that does not run"),
];

/// A file with more lines than this wants to be two.
const MAX_LINES: usize = 700;

/// Checks everything and reports every violation.
pub(crate) fn check() -> Result<(), String> {
    let mut violations = dependencies()?;
    for file in tracked_files()? {
        violations.extend(in_file(&file));
    }
    for violation in &violations {
        say(&format!("tidy: {violation}"));
    }
    if violations.is_empty() { Ok(()) } else { Err(format!("{} invariant(s) violated", violations.len())) }
}

fn dependencies() -> Result<Vec<String>, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    let mut violations = Vec::new();
    for package in packages {
        let name = text(&package["name"]);
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            violations.push(format!("crate `{name}` is not in the dependency table of xtask/src/tidy.rs"));
            continue;
        };
        if package["description"].as_str().is_none_or(str::is_empty) {
            violations.push(format!("crate `{name}` has no description"));
        }
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        for dependency in dependencies.filter(|dependency| dependency["kind"].is_null()) {
            let used = text(&dependency["name"]);
            if ours.contains(&used) && !allowed.contains(&used.as_str()) {
                violations.push(format!("crate `{name}` must not depend on `{used}`"));
            }
            if OWNERS.iter().any(|(owned, owners)| *owned == used && !owners.contains(&name.as_str())) {
                violations.push(format!("crate `{name}` must not depend on `{used}`, which belongs to others"));
            }
        }
    }
    Ok(violations)
}

fn tracked_files() -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cannot run git: {error}"))?;
    let names = output.stdout.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
}

fn in_file(name: &str) -> Vec<String> {
    let Ok(text) = fs::read_to_string(root().join(name)) else { return Vec::new() }; // binary, or gone
    let mut violations = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let mut found = |what: &str, why: &str| {
            if line.contains(what) {
                violations.push(format!("{name}:{}: `{what}`: {why}", i + 1));
            }
        };
        FORBIDDEN_ANYWHERE.iter().for_each(|(parts, why)| found(&parts.concat(), why));
        let is_library = name.starts_with("crates/") && name.contains("/src/") && !name.starts_with("crates/blt-cli/");
        if is_library {
            FORBIDDEN_IN_LIBRARIES.iter().for_each(|(what, why)| found(what, why));
        }
    }
    let is_code = Path::new(name).extension().is_some_and(|extension| extension == "rs");
    if is_code && text.lines().count() > MAX_LINES {
        violations
            .push(format!("{name} has {} lines; more than {MAX_LINES} want to be two files", text.lines().count()));
    }
    let is_own_workspace = text.lines().any(|line| line == "[workspace]"); // the fuzz targets
    let is_member = name.ends_with("/Cargo.toml") && text.contains("[package]") && !is_own_workspace;
    if is_member && !text.contains("[lints]\nworkspace = true") {
        violations.push(format!("{name} does not take the workspace's lints"));
    }
    violations
}
