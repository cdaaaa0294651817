//! `blt-cli doctor`: what this machine and this build can do, and what to do about what is missing.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use blt_model::Backend;
use serde_json::{Value, json};

use crate::Ending;
use crate::args::{BackendArg, DtypeArg};
use crate::args::{ReportArgs, ReportFormat, load_engine};
use crate::failure::Failure;
use crate::output::write_all;

/// One line of the report: what, how it is, and what to do about it.
struct Finding {
    what: &'static str,
    state: String,
    advice: Option<String>,
}

pub(crate) fn run(args: &ReportArgs) -> Result<Ending, Failure> {
    let mut findings = vec![
        Finding { what: "version", state: env!("CARGO_PKG_VERSION").to_owned(), advice: None },
        Finding {
            what: "machine",
            state: format!(
                "{} {}, {} threads",
                std::env::consts::OS,
                std::env::consts::ARCH,
                std::thread::available_parallelism().map_or(1, usize::from)
            ),
            advice: None,
        },
        Finding { what: "instructions", state: instructions(), advice: None },
    ];
    findings.extend(Backend::ALL.map(backend));
    findings.push(embedded_model());
    findings.push(ffmpeg());
    findings.push(hub_cache());
    let mut report = String::new();
    match args.format {
        ReportFormat::Json => {
            let values: Vec<Value> = findings
                .iter()
                .map(|finding| json!({"what": finding.what, "state": finding.state, "advice": finding.advice}))
                .collect();
            let _ = writeln!(report, "{:#}", Value::Array(values));
        }
        ReportFormat::Text => {
            for Finding { what, state, advice } in &findings {
                let _ = writeln!(report, "{what:<16}{state}");
                if let Some(advice) = advice {
                    let _ = writeln!(report, "{:<16}-> {advice}", "");
                }
            }
        }
    }
    write_all(report.as_bytes())
}

/// The vector extensions that the matrix products choose from.
fn instructions() -> String {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let known: [(&str, bool); 0] = [];
    let found: Vec<&str> = known.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
    if found.is_empty() { "baseline".to_owned() } else { found.join(" ") }
}

fn backend(backend: Backend) -> Finding {
    let what = match backend {
        Backend::Cpu => "backend cpu",
        Backend::Vulkan => "backend vulkan",
        Backend::Metal => "backend metal",
        Backend::Wgpu => "backend wgpu",
    };
    if backend.is_compiled_in() {
        return Finding { what, state: "in this build".to_owned(), advice: None };
    }
    let advice = Some(format!("build with `--features {backend}` to use it"));
    Finding { what, state: "not in this build".to_owned(), advice }
}

fn embedded_model() -> Finding {
    let what = "embedded model";
    match load_engine("embedded", BackendArg::Cpu, 0, DtypeArg::F32) {
        Ok(engine) => {
            Finding { what, state: format!("{} loads, hash verified", crate::args::model_name(&engine)), advice: None }
        }
        Err(failure) => {
            Finding { what, state: failure.to_string(), advice: Some("install the program anew".to_owned()) }
        }
    }
}

fn ffmpeg() -> Finding {
    let runs = Command::new("ffmpeg")
        .arg("-version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = runs.is_ok_and(|status| status.success());
    Finding {
        what: "ffmpeg",
        state: if found { "found" } else { "not found; nothing in this build needs it" }.to_owned(),
        advice: None,
    }
}

/// Where the Hugging Face clients keep what they fetched.
fn hub_cache() -> Finding {
    let from_env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = from_env("HF_HUB_CACHE")
        .or_else(|| from_env("HF_HOME").map(|home| home.join("hub")))
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache/huggingface/hub")));
    let state = match folder {
        Some(folder) if folder.is_dir() => format!("{}", folder.display()),
        Some(folder) => format!("{} (not there)", folder.display()),
        None => "no home directory".to_owned(),
    };
    Finding { what: "hub cache", state, advice: None }
}
