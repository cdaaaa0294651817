//! `cargo xtask bench`: runs each case in a process of its own, turn by turn with the others, and prints a table.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{root, say};

/// What the models read, over and over.
const TEXT: &str = "samples/prose/lighthouse.txt";

/// Backends that `benches/gpu.py` checks and times.
const ON_CARDS: [&str; 4] = ["cuda", "vulkan", "metal", "wgpu"];

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// `cpu` for our own engine, `burn-cpu` for Burn, or one of `cuda`, `vulkan`, `metal` and `wgpu` alone for checks and times on
    /// a GPU
    #[arg(long, value_delimiter = ',', default_values = ["cpu"])]
    backend: Vec<String>,
    /// Number types, perhaps with instructions and quantization: `auto`, `f32`, `bf16`, `f32:avx2`, `bf16+int8`, ...
    #[arg(long, value_delimiter = ',', default_values = ["f32", "bf16", "bf16+int8"])]
    dtype: Vec<String>,
    /// Models: `embedded`, `random-100m` or directories
    #[arg(long, value_delimiter = ',', default_values = ["embedded", "random-100m"])]
    model: Vec<String>,
    /// Documents on threads, like `2x1`: one document on two threads [default: 1x1, and all threads with one document]
    #[arg(long, value_delimiter = ',')]
    shape: Vec<String>,
    /// Bytes of a document [default: 2048 for the 100M model, 8192 for others]
    #[arg(long)]
    bytes: Option<usize>,
    /// Timed repetitions of each turn
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
    /// Turns; the median of their medians counts
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Run this peer in the same turns, and print ratios
    #[arg(long, value_enum)]
    against: Option<Peer>,
    /// On GPUs: spread documents over so many cards, or `all`
    #[arg(long, value_name = "N", default_value = "1")]
    devices: String,
    /// Use the programs that are built already
    #[arg(long)]
    no_build: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// transformers' BltPatcher; installed into a virtual environment when it is missing
    Torch,
}

/// One row of the table.
struct Case {
    model: String,
    backend: String,
    dtype: String,
    threads: usize,
    documents: usize,
    bytes: usize,
    reports: Vec<Value>,
}

/// The peer beside a row.
struct PeerCase {
    dtype: &'static str,
    reports: Vec<Value>,
}

pub(crate) fn run(args: &BenchArgs) -> Result<(), String> {
    if let [backend] = &args.backend[..]
        && ON_CARDS.contains(&backend.as_str())
    {
        return on_cards(args, backend);
    }
    if args.devices != "1" || args.backend.iter().any(|backend| ON_CARDS.contains(&backend.as_str())) {
        return Err("GPUs stand alone in `--backend`, and `--devices` is for them".to_owned());
    }
    let program = build(args)?;
    let python = args.against.map(|Peer::Torch| python()).transpose()?;
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let shapes = if args.shape.is_empty() {
        let mut shapes = vec![(1, 1)];
        shapes.extend((all > 1).then_some((all, 1)));
        shapes
    } else {
        args.shape.iter().map(|shape| parse_shape(shape)).collect::<Result<_, _>>()?
    };
    let mut table = String::from(
        "| model | engine | threads x documents | B/CPU s | B/s | GFLOP/CPU s | of peak | peak memory | first entropy | peer B/CPU s | ratio |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut peaks = Vec::new();
    let mut peer_name = None;
    for model in &args.model {
        for &(threads, documents) in &shapes {
            let bytes = args.bytes.unwrap_or(if model == "random-100m" { 2048 } else { 8192 });
            let row = |backend: &String, dtype: &String| Case {
                model: model.clone(),
                backend: backend.clone(),
                dtype: dtype.clone(),
                threads,
                documents,
                bytes,
                reports: Vec::new(),
            };
            let mut cases: Vec<Case> =
                args.backend.iter().flat_map(|b| args.dtype.iter().map(move |d| row(b, d))).collect();
            let mut peers = ["f32", "bf16"].map(|dtype| PeerCase { dtype, reports: Vec::new() });
            for turn in 0..args.turns {
                say(&format!("{model}, {threads} x {documents}, turn {} of {}", turn + 1, args.turns));
                peaks.push(measure_peaks(&program)?);
                for case in &mut cases {
                    match case.measure(&program, args.repetitions) {
                        Ok(report) => case.reports.push(report),
                        Err(reason) if turn == 0 => say(&format!("left out: {reason}")),
                        Err(_) => {}
                    }
                }
                let Some(python) = &python else { continue };
                let Some(sizes) = cases.iter().find_map(|case| case.reports.first()).cloned() else { continue };
                for rival in &mut peers {
                    let report = peer(python, &sizes, rival.dtype, &cases[0], args.repetitions)?;
                    peer_name = report["peer"].as_str().map(str::to_owned);
                    rival.reports.push(report);
                }
            }
            for case in cases.iter().filter(|case| !case.reports.is_empty()) {
                table.push_str(&case.row(&peaks, &peers));
            }
        }
    }
    table.push_str(&peak_lines(&peaks));
    if let Some(name) = peer_name {
        table.push_str(&format!("Peer: {name}, the same sizes, number type and threads, in the same turns.\n"));
    }
    io::stdout().write_all(table.as_bytes()).map_err(|error| error.to_string())
}

/// Checks and times on a GPU; the script also runs where there is no cargo.
fn on_cards(args: &BenchArgs, backend: &str) -> Result<(), String> {
    let bench = build(args)?;
    let mut script = Command::new("python3");
    script.arg(root().join("benches/gpu.py")).arg("--bench").arg(&bench);
    script.arg("--cli").arg(bench.with_file_name(format!("blt-cli{}", env::consts::EXE_SUFFIX)));
    script
        .args(["--backend", backend, "--repetitions", &args.repetitions.to_string()])
        .arg("--model")
        .args(&args.model);
    script.args(["--devices", &args.devices]);
    if let Some(Peer::Torch) = args.against {
        script.args(["--against", "torch"]);
    }
    match script.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("a check failed, or the script did: {status}")),
        Err(error) => Err(format!("cannot run python3: {error}")),
    }
}

fn parse_shape(shape: &str) -> Result<(usize, usize), String> {
    let parts = shape.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    parts.filter(|&(a, b)| a > 0 && b > 0).ok_or_else(|| format!("`{shape}` is not THREADSxDOCUMENTS"))
}

/// Builds the benchmark program and gives its path.
fn build(args: &BenchArgs) -> Result<PathBuf, String> {
    let cargo = || Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if !args.no_build {
        let mut build = cargo();
        build.args(["build", "--release", "--package", "blt-bench", "--package", "blt-cli"]);
        let ours = ["cpu", "cuda"];
        let optional = args.backend.iter().filter(|backend| !ours.contains(&backend.as_str()));
        let features: Vec<String> = optional
            .flat_map(|backend| ["blt-bench", "blt-cli"].map(|package| format!("{package}/{backend}")))
            .collect();
        if !features.is_empty() {
            build.args(["--features", &features.join(",")]);
        }
        if !build.current_dir(root()).status().map_err(|error| error.to_string())?.success() {
            return Err("the benchmark could not be built".to_owned());
        }
    }
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(root());
    let folder = report(metadata)?["target_directory"].as_str().map(PathBuf::from);
    let program = Path::new("release").join(format!("blt-bench{}", env::consts::EXE_SUFFIX));
    Ok(folder.ok_or("cargo metadata names no target directory")?.join(program))
}

/// A Python with torch and transformers: the user's own, or one in a virtual environment below `target/`.
fn python() -> Result<PathBuf, String> {
    let has_peer = |python: &Path| {
        let mut check = Command::new(python);
        check.args(["-c", "import torch, transformers"]).stdout(Stdio::null()).stderr(Stdio::null());
        check.status().is_ok_and(|status| status.success())
    };
    let environment = root().join("target/peers");
    let own = environment.join("bin/python");
    for python in [Path::new("python3"), &own] {
        if has_peer(python) {
            return Ok(python.to_owned());
        }
    }
    say("installing torch and transformers into target/peers");
    let succeed = |command: &mut Command| match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed: {status}")),
        Err(error) => Err(format!("cannot run {command:?}: {error}")),
    };
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    succeed(Command::new(&own).args(["-m", "pip", "install", "--quiet", "torch", "transformers", "numpy"]))?;
    if has_peer(&own) { Ok(own) } else { Err("torch and transformers do not load after installation".to_owned()) }
}

impl Case {
    fn measure(&self, program: &Path, repetitions: usize) -> Result<Value, String> {
        let engine = match self.backend.as_str() {
            "cpu" => "native",
            "burn-cpu" => "cpu",
            other => other,
        };
        let mut case = Command::new(program);
        case.args(["model", &self.model, "--engine", engine, "--dtype", &self.dtype, "--text", TEXT]);
        for (option, value) in [
            ("--threads", self.threads),
            ("--bytes", self.bytes),
            ("--documents", self.documents),
            ("--repetitions", repetitions),
        ] {
            case.arg(option).arg(value.to_string());
        }
        report(case)
    }

    fn row(&self, peaks: &[Value], peers: &[PeerCase]) -> String {
        let number = |key: &str| median(self.reports.iter().filter_map(|report| report[key].as_f64()));
        let device = self.reports[0]["device"].as_str().unwrap_or("?");
        let gflop = number("gflop_per_cpu_second");
        // Only the native engine on one number type has a loop of its own to compare with.
        let peak = match device.split(' ').collect::<Vec<_>>()[..] {
            ["cpu", instructions, dtype] => peak_of(peaks, instructions, dtype),
            _ => None,
        };
        let share = peak.map_or_else(|| "-".to_owned(), |peak| format!("{:.0} %", 100.0 * gflop / peak));
        let dtype = if device.contains("f32") { "f32" } else { "bf16" };
        let peer = peers.iter().find(|peer| peer.dtype == dtype && !peer.reports.is_empty());
        let per_second = number("bytes_per_cpu_second");
        let (peer, ratio) = peer.map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |peer| {
                let speed = median(peer.reports.iter().filter_map(|report| report["bytes_per_cpu_second"].as_f64()));
                (format!("{speed:.0}"), format!("{:.2}", per_second / speed))
            },
        );
        format!(
            "| {} | {device} | {} x {} | {per_second:.0} | {:.0} | {gflop:.1} | {share} | {:.0} MB | {:.1} ms | {peer} | {ratio} |\n",
            self.reports[0]["model"].as_str().unwrap_or("?"),
            self.threads,
            self.documents,
            number("bytes_per_second"),
            number("peak_bytes") / 1e6,
            1000.0 * number("first_entropy_seconds"),
        )
    }
}

/// transformers' BltPatcher with the sizes of `sizes`.
fn peer(python: &Path, sizes: &Value, dtype: &str, case: &Case, repetitions: usize) -> Result<Value, String> {
    let mut command = Command::new(python);
    command.arg("benches/peers/bltpatcher.py").args(["--dtype", dtype]);
    for (option, key) in [
        ("--dim", "dim"),
        ("--layers", "n_layers"),
        ("--heads", "n_heads"),
        ("--ffn-dim", "ffn_dim"),
        ("--window", "window"),
    ] {
        command.arg(option).arg(sizes[key].to_string());
    }
    // Rows of at most 2048 bytes, where the peer is at its best: without a window its cost grows with the square.
    let row = case.bytes.min(2048);
    let rows = case.documents * case.bytes / row;
    for (option, value) in
        [("--threads", case.threads), ("--bytes", row), ("--documents", rows), ("--repetitions", repetitions)]
    {
        command.arg(option).arg(value.to_string());
    }
    report(command)
}

/// The register-only loops of each instruction set, on one thread.
fn measure_peaks(program: &Path) -> Result<Value, String> {
    let mut command = Command::new(program);
    command.arg("peak");
    report(command)
}

/// The median peak of a set over all turns, in GFLOP a CPU second.
fn peak_of(peaks: &[Value], instructions: &str, dtype: &str) -> Option<f64> {
    let of_turn = |turn: &Value| {
        let rows = turn.as_array()?;
        let row = rows.iter().find(|row| row["instructions"] == instructions && row["dtype"] == dtype)?;
        row["gflop_per_cpu_second"].as_f64()
    };
    let values: Vec<f64> = peaks.iter().filter_map(of_turn).collect();
    (!values.is_empty()).then(|| median(values.into_iter()))
}

fn peak_lines(peaks: &[Value]) -> String {
    let mut text = String::from("\nPeaks (multiply-add loops on registers, one thread, GFLOP/CPU s):");
    for row in peaks.first().and_then(Value::as_array).into_iter().flatten() {
        let (instructions, dtype) = (row["instructions"].as_str(), row["dtype"].as_str());
        if let (Some(instructions), Some(dtype)) = (instructions, dtype)
            && let Some(peak) = peak_of(peaks, instructions, dtype)
        {
            text.push_str(&format!(" {instructions} {dtype} {peak:.0};"));
        }
    }
    text.push('\n');
    text
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Runs a program that prints one JSON value on its last line.
fn report(mut command: Command) -> Result<Value, String> {
    let output = command.current_dir(root()).output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", output.stderr.escape_ascii()));
    }
    let last = output.stdout.rsplit(|&byte| byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    serde_json::from_slice(last).map_err(|error| error.to_string())
}
