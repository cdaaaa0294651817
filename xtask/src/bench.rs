//! `cargo xtask bench`: runs each case in a process of its own and prints a table.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::Value;

use crate::{root, say};

/// What the models read, over and over.
const TEXT: &str = "samples/prose/lighthouse.txt";

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Where to compute: cpu, vulkan, metal or wgpu
    #[arg(long, default_value = "cpu")]
    backend: String,
    /// Number type: f32, bf16 or f16
    #[arg(long, default_value = "f32")]
    dtype: String,
    /// Models: `embedded`, `random-100m` or directories
    #[arg(long, default_values = ["embedded", "random-100m"])]
    model: Vec<String>,
    /// Timed repetitions of each case; the median counts
    #[arg(long, default_value_t = 5)]
    repetitions: usize,
}

pub(crate) fn run(args: &BenchArgs) -> Result<(), String> {
    let cpu = args.backend == "cpu";
    let program = build(&args.backend)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let ceiling = if cpu { Some(gemm(&program)?) } else { None };
    let shapes = if cpu && threads > 1 { vec![(1, 1), (threads, 1), (threads, threads)] } else { vec![(threads, 1)] };
    let mut table = String::from(
        "| model | threads x documents | bytes/s | bytes/CPU s | GFLOP/CPU s | of gemm | first entropy | peak memory |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for model in &args.model {
        for &(threads, documents) in &shapes {
            say(&format!("{model}, {threads} thread(s), {documents} document(s)"));
            let bytes = if model == "random-100m" { 1024 } else { 8192 };
            let mut case = Command::new(&program);
            case.args(["model", model, "--backend", &args.backend, "--dtype", &args.dtype, "--text", TEXT]);
            for (option, value) in [
                ("--threads", threads),
                ("--bytes", bytes),
                ("--documents", documents),
                ("--repetitions", args.repetitions),
            ] {
                case.arg(option).arg(value.to_string());
            }
            table.push_str(&row(&report(case)?, threads, documents, ceiling));
        }
    }
    if let Some(ceiling) = ceiling {
        table.push_str(&format!("\nThe gemm crate alone, float32, one thread: {ceiling:.0} GFLOP/CPU s.\n"));
    }
    io::stdout().write_all(table.as_bytes()).map_err(|error| error.to_string())
}

/// Builds the benchmark program together with `blt-cli`, so that both share every dependency, and gives its path.
fn build(backend: &str) -> Result<PathBuf, String> {
    let cargo = || Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let mut build = cargo();
    build.args(["build", "--release", "--package", "blt-bench", "--package", "blt-cli"]);
    if backend != "cpu" {
        build.args(["--no-default-features", "--features", backend]);
    }
    if !build.current_dir(root()).status().map_err(|error| error.to_string())?.success() {
        return Err("the benchmark could not be built".to_owned());
    }
    let mut metadata = cargo();
    metadata.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(root());
    let folder = report(metadata)?["target_directory"].as_str().map(PathBuf::from);
    let program = Path::new("release").join(format!("blt-bench{}", env::consts::EXE_SUFFIX));
    Ok(folder.ok_or("cargo metadata names no target directory")?.join(program))
}

/// The speed of the matrix product alone on one thread: the better of the embedded and the 100M model's shapes.
fn gemm(program: &Path) -> Result<f64, String> {
    [["256", "640"], ["768", "2048"]].into_iter().try_fold(0.0, |best: f64, [k, n]| {
        let mut case = Command::new(program);
        case.args(["--threads", "1", "gemm", "--k", k, "--n", n]);
        Ok(best.max(report(case)?["gflop_per_cpu_second"].as_f64().unwrap_or(0.0)))
    })
}

/// Runs a program that prints one JSON value.
fn report(mut command: Command) -> Result<Value, String> {
    let output = command.current_dir(root()).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{command:?} failed: {}", output.stderr.escape_ascii()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

fn row(report: &Value, threads: usize, documents: usize, ceiling: Option<f64>) -> String {
    let number = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
    let gflop = number("gflop_per_cpu_second");
    let share = ceiling.map_or_else(|| "-".to_owned(), |ceiling| format!("{:.0} %", 100.0 * gflop / ceiling));
    format!(
        "| {} | {threads} x {documents} | {:.0} | {:.0} | {gflop:.1} | {share} | {:.1} ms | {:.0} MB |\n",
        report["model"].as_str().unwrap_or("?"),
        number("bytes_per_second"),
        number("bytes_per_cpu_second"),
        1000.0 * number("first_entropy_seconds"),
        number("peak_bytes") / 1e6,
    )
}
