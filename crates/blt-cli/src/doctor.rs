//! `blt-cli doctor`: what this machine and this build can do, and what to do about what is missing.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use blt_cpu::{CpuOptions, InstructionSet};
use blt_hf::{Hub, HubOptions};
use serde_json::{Value, json};

use crate::Ending;
use crate::args::{BackendArg, DeviceArg, DtypeArg, QuantizeArg, ReportArgs, ReportFormat};
use crate::engine::{NamedModel, Placement, load};
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
        processor(),
    ];
    findings.extend(InstructionSet::ALL.map(instructions));
    findings.extend(cuda());
    findings.extend(gpus());
    findings.push(burn_on_the_processor());
    findings.push(embedded_model());
    findings.push(ffmpeg());
    findings.extend(hub());
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

/// What `--backend cpu` computes with unless told otherwise.
fn processor() -> Finding {
    let state = match CpuOptions::default().resolve() {
        Ok((float, instructions)) => {
            let why = if instructions.has_bf16() {
                "the fastest here, as it multiplies bf16 numbers"
            } else {
                "the fastest here: nothing that multiplies bf16 numbers faster can be used"
            };
            format!("{} with {instructions} instructions, {why}", float.name())
        }
        Err(error) => error.to_string(),
    };
    Finding { what: "backend cpu", state, advice: None }
}

fn instructions(set: InstructionSet) -> Finding {
    let state = match set.check() {
        Ok(()) if set.has_bf16() && !set.is_fast() => "can be used, no faster than f32 on this processor".to_owned(),
        Ok(()) => "can be used".to_owned(),
        Err(reason) => format!("cannot be used: {reason}"),
    };
    let what = match set {
        InstructionSet::Portable => "  portable",
        InstructionSet::Avx2 => "  avx2",
        InstructionSet::Avx512 => "  avx512",
        InstructionSet::Avx512Bf16 => "  avx512-bf16",
        InstructionSet::AmxBf16 => "  amx-bf16",
        _ => "  other",
    };
    Finding { what, state, advice: None }
}

/// The NVIDIA cards, or why there are none.
#[cfg(feature = "cuda")]
fn cuda() -> Vec<Finding> {
    let what = "backend cuda";
    match blt_cuda::devices() {
        Ok(devices) if devices.is_empty() => {
            vec![Finding { what, state: "the NVIDIA driver shows no card".to_owned(), advice: None }]
        }
        Ok(devices) => devices
            .into_iter()
            .map(|device| {
                let (major, minor) = device.capability;
                let state = format!(
                    "device {}: {}, compute capability {major}.{minor}, {} multiprocessors, {} GiB, bf16 by {}",
                    device.index,
                    device.name,
                    device.n_multiprocessors,
                    device.memory >> 30,
                    device.path
                );
                Finding { what, state, advice: None }
            })
            .collect(),
        Err(error) => {
            let advice = match &error {
                // Nothing is amiss on a machine that never had a card.
                blt_cuda::CudaError::NoDriver => None,
                _ => error.hint().map(str::to_owned),
            };
            vec![Finding { what, state: format!("not used: {error}"), advice }]
        }
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Vec<Finding> {
    let advice = Some("build with `--features cuda` to use it".to_owned());
    vec![Finding { what: "backend cuda", state: "not in this build".to_owned(), advice }]
}

/// The adapters of each GPU backend, or why there are none.
#[cfg(any(feature = "vulkan", feature = "metal", feature = "wgpu"))]
fn gpus() -> Vec<Finding> {
    let of_backend = |backend: blt_gpu::Backend| {
        let what = match backend {
            blt_gpu::Backend::Vulkan => "backend vulkan",
            blt_gpu::Backend::Metal => "backend metal",
            blt_gpu::Backend::Wgpu => "backend wgpu",
        };
        if !backend.is_compiled_in() {
            return vec![not_compiled_in(what, backend.name())];
        }
        match blt_gpu::adapters(backend) {
            Ok(adapters) if adapters.is_empty() => {
                vec![Finding { what, state: "no adapter is there".to_owned(), advice: None }]
            }
            Ok(adapters) => adapters
                .iter()
                .map(|adapter| {
                    let state = format!(
                        "device {}: {}{}, {}, {}, {}, planes of {} to {}, {} kB shared, buffers up to {} MB",
                        adapter.index,
                        adapter.name,
                        if adapter.is_software { " (software)" } else { "" },
                        adapter.compiler,
                        if adapter.has_f16 { "f16" } else { "no f16" },
                        if adapter.has_matrices { "cooperative matrices" } else { "no cooperative matrices" },
                        adapter.plane.0,
                        adapter.plane.1,
                        adapter.shared_kilobytes,
                        adapter.max_buffer >> 20
                    );
                    Finding { what, state, advice: None }
                })
                .collect(),
            Err(error) => {
                vec![Finding {
                    what,
                    state: format!("cannot be used: {error}"),
                    advice: error.hint().map(str::to_owned),
                }]
            }
        }
    };
    blt_gpu::Backend::ALL.into_iter().flat_map(of_backend).collect()
}

#[cfg(not(any(feature = "vulkan", feature = "metal", feature = "wgpu")))]
fn gpus() -> Vec<Finding> {
    let backends = [("backend vulkan", "vulkan"), ("backend metal", "metal"), ("backend wgpu", "wgpu")];
    backends.into_iter().map(|(what, feature)| not_compiled_in(what, feature)).collect()
}

fn burn_on_the_processor() -> Finding {
    let what = "burn on the cpu";
    if cfg!(feature = "burn-cpu") {
        Finding { what, state: "in this build".to_owned(), advice: None }
    } else {
        not_compiled_in(what, "burn-cpu")
    }
}

fn not_compiled_in(what: &'static str, feature: &str) -> Finding {
    let advice = Some(format!("build with `--features {feature}` to use it"));
    Finding { what, state: "not in this build".to_owned(), advice }
}

fn embedded_model() -> Finding {
    let what = "embedded model";
    let (backend, dtype, quantize) = (BackendArg::Cpu, DtypeArg::Auto, QuantizeArg::None);
    let placement = Placement { backend, device: DeviceArg::One(0), dtype, instructions: None, quantize, threads: 1 };
    match load(NamedModel { model: "embedded", use_mpk: false, hub: None }, placement) {
        Ok(model) => Finding { what, state: format!("{} loads, hash verified", model.name()), advice: None },
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
        state: if found { "found" } else { "not found; films, and sounds in rarer codecs, are read as bytes" }
            .to_owned(),
        advice: (!found).then(|| "install ffmpeg (with ffprobe) to decode them".to_owned()),
    }
}

/// The Hugging Face Hub and what is kept of it, as the environment says.
fn hub() -> Vec<Finding> {
    let what = "hub";
    let hub = match HubOptions::from_env().and_then(Hub::new) {
        Ok(hub) => hub,
        Err(error) => {
            let advice = error.hint().map(str::to_owned);
            return vec![Finding { what, state: format!("cannot be used: {error}"), advice }];
        }
    };
    let options = hub.options();
    let token = if options.token.is_some() { "with a token" } else { "without a token" };
    let use_of = if options.offline { "not asked, as HF_HUB_OFFLINE says" } else { token };
    let cache = if options.cache.is_dir() {
        let repos = hub.cached_repos();
        let n_bytes: u64 =
            repos.iter().flat_map(|repo| &repo.snapshots).flat_map(|s| &s.files).map(|(_, size)| size).sum();
        format!("{}, {} repositories, {} MB", options.cache.display(), repos.len(), n_bytes / 1_000_000)
    } else {
        format!("{} (not there yet)", options.cache.display())
    };
    vec![
        Finding { what, state: format!("{}, {use_of}", options.endpoint), advice: None },
        Finding { what: "hub cache", state: cache, advice: None },
    ]
}
