//! One benchmark case a process, so that peak memory and thread pools belong to it alone. Prints one JSON object.
//! `cargo xtask bench` runs the cases and makes the table.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use blt_checkpoint::{Checkpoint, ModelConfig};
use blt_core::{BltTokenizer, EntropyEngine, TokenId, Want};
use blt_model::{Backend, EntropyModel, FloatType, LMTransformer, device};
use blt_patcher::{Patcher, Rule, document_starts};
use clap::{Parser, Subcommand};
use cpu_time::ProcessTime;
use gemm::Parallelism;

#[derive(Debug, Parser)]
struct Args {
    /// Processor threads; 0 for all
    #[arg(long, global = true, default_value_t = 0)]
    threads: usize,
    #[command(subcommand)]
    case: Case,
}

#[derive(Debug, Subcommand)]
enum Case {
    /// The speed of a model
    Model {
        #[command(flatten)]
        subject: Subject,
        /// Bytes a repetition
        #[arg(long)]
        bytes: usize,
        /// Documents of that length at once, one a thread
        #[arg(long, default_value_t = 1)]
        documents: usize,
        #[arg(long, default_value_t = 3)]
        repetitions: usize,
    },
    /// How far the entropies of a text cut into pieces are from those of one pass
    Pieces {
        #[command(flatten)]
        subject: Subject,
        /// Bytes to read
        #[arg(long)]
        bytes: usize,
        /// Tokens a piece
        #[arg(long, value_delimiter = ',', default_values_t = [1, 17, 512, 8191])]
        pieces: Vec<usize>,
    },
    /// The speed of the gemm crate's float32 product of `[1024, k]` and `[k, n]`
    Gemm {
        #[arg(long, default_value_t = 768)]
        k: usize,
        #[arg(long, default_value_t = 2048)]
        n: usize,
    },
}

/// A model and what it reads.
#[derive(Debug, Parser)]
struct Subject {
    /// `embedded`, `random-100m` or a directory
    model: String,
    #[arg(long, default_value = "cpu")]
    backend: Backend,
    #[arg(long, default_value = "f32")]
    dtype: String,
    /// Text to read; repeated as needed
    #[arg(long)]
    text: PathBuf,
}

impl Subject {
    /// The model, and the first `n_bytes` of the text repeated.
    fn load(&self, n_bytes: usize) -> Result<(EntropyModel, Vec<u8>), Box<dyn Error>> {
        let engine = load(&self.model, self.backend, &self.dtype)?;
        let text = std::fs::read(&self.text)?;
        Ok((engine, text.iter().copied().cycle().take(n_bytes).collect()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let report = match args.case {
        Case::Model { subject, bytes, documents, repetitions } => {
            let (engine, text) = subject.load(bytes * documents)?;
            model_speed(&engine, &text, bytes, repetitions)?
        }
        Case::Pieces { subject, bytes, pieces } => {
            let (engine, text) = subject.load(bytes)?;
            compare_pieces(&engine, &text, &pieces)?
        }
        Case::Gemm { k, n } => gemm_speed(k, n),
    };
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

fn load(model: &str, backend: Backend, dtype: &str) -> Result<EntropyModel, Box<dyn Error>> {
    let float = match dtype {
        "f32" => FloatType::F32,
        "bf16" => FloatType::Bf16,
        "f16" => FloatType::F16,
        other => return Err(format!("no number type is named `{other}`").into()),
    };
    let device = device(backend, 0)?;
    let checkpoint = match model {
        "random-100m" => return random_100m(&device, float),
        "embedded" => Checkpoint::embedded(blt_mini::NAME, blt_mini::WEIGHTS, blt_mini::CONFIG, blt_mini::SHA256)?,
        path => Checkpoint::open(path.as_ref())?,
    };
    Ok(EntropyModel::load(&checkpoint, &device, float)?)
}

/// The sizes of the published 100M model with random weights.
fn random_100m(device: &blt_model::ComputeDevice, float: FloatType) -> Result<EntropyModel, Box<dyn Error>> {
    let json = r#"{"args": {"dim": 768, "n_layers": 14, "n_heads": 12, "max_seqlen": 8192, "sliding_window": 512}}"#;
    let config = ModelConfig::from_json(json, "random-100m")?;
    let shapes = blt_checkpoint::expected_tensors(&config);
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let transformer = LMTransformer::from_tensors(&config, device.tensor_device(), float, |name| {
        let shape = &shapes.iter().find(|tensor| tensor.name == name).expect("a tensor of the model").shape;
        let scale = if shape.len() == 1 { 0.0 } else { (3.0 / shape[1] as f32).sqrt() };
        Ok((0..shape.iter().product()).map(|_| if scale == 0.0 { 1.0 } else { next() * scale }).collect())
    })?;
    Ok(EntropyModel::new(transformer, config, "random-100m".to_owned(), format!("{device} {}", float.name())))
}

fn model_speed(
    engine: &EntropyModel,
    text: &[u8],
    bytes: usize,
    repetitions: usize,
) -> Result<serde_json::Value, Box<dyn Error>> {
    let documents: Vec<Vec<TokenId>> =
        text.chunks(bytes).map(|text| BltTokenizer::default().encode_bytes(text)).collect();
    let started = Instant::now();
    engine.session().push(&documents[0][..1], Want::Entropies)?;
    let first_entropy = started.elapsed();
    let read = || -> Result<(), blt_core::EngineError> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = documents
                .iter()
                .map(|tokens| scope.spawn(|| engine.session().push(tokens, Want::Entropies).map(drop)))
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
        })
    };
    read()?; // warm
    let mut walls = Vec::new();
    let processor = ProcessTime::now();
    for _ in 0..repetitions {
        let started = Instant::now();
        read()?;
        walls.push(started.elapsed());
    }
    let cpu_seconds = processor.elapsed().as_secs_f64() / repetitions as f64;
    let wall_seconds = median(&mut walls).as_secs_f64();
    let n_bytes = text.len() as f64;
    let gflop = n_bytes * flop_per_byte(engine.config()) / 1e9;
    Ok(serde_json::json!({
        "model": engine.info().model, "device": engine.info().device, "n_bytes": text.len(), "documents": documents.len(),
        "bytes_per_second": n_bytes / wall_seconds, "bytes_per_cpu_second": n_bytes / cpu_seconds,
        "gflop_per_cpu_second": gflop / cpu_seconds, "first_entropy_seconds": first_entropy.as_secs_f64(),
        "peak_bytes": peak_bytes(),
    }))
}

/// For each piece length: the largest difference of an entropy, and how many patch starts moved at the model's threshold.
fn compare_pieces(
    engine: &EntropyModel,
    text: &[u8],
    pieces: &[usize],
) -> Result<serde_json::Value, blt_core::EngineError> {
    let tokens = BltTokenizer::default().encode_bytes(text);
    let in_pieces = |length: usize| {
        let mut session = engine.session();
        let entropies: Result<Vec<_>, _> = tokens
            .chunks(length)
            .map(|piece| session.push(piece, Want::Entropies).map(|signals| signals.entropies))
            .collect();
        entropies.map(|entropies| entropies.concat())
    };
    let patcher = Patcher::new(Rule::Global { threshold: engine.config().patching.threshold });
    let starts = |entropies: &[f32]| document_starts(&patcher, text, entropies, &[]);
    let whole = in_pieces(tokens.len())?;
    let rows: Result<Vec<_>, blt_core::EngineError> = pieces
        .iter()
        .map(|&length| {
            let found = in_pieces(length)?;
            let largest = found.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let (a, b) = (starts(&found), starts(&whole));
            let moved = a.iter().filter(|start| !b.contains(start)).count() + b.len().abs_diff(a.len());
            Ok(serde_json::json!({"piece": length, "largest_difference_nats": largest, "moved_starts": moved}))
        })
        .collect();
    Ok(
        serde_json::json!({"model": engine.info().model, "n_bytes": text.len(), "n_patches": starts(&whole).len(), "pieces": rows?}),
    )
}

/// Products and sums of the matrices and of exact window attention, for one byte deep in a text.
fn flop_per_byte(config: &ModelConfig) -> f64 {
    let matrices = config.n_params() - config.vocab_size * config.dim;
    let attention = 2 * config.n_layers * config.window() * config.n_heads * config.head_dim;
    2.0 * (matrices + attention) as f64
}

fn gemm_speed(k: usize, n: usize) -> serde_json::Value {
    const M: usize = 1024;
    let (a, b) = (vec![0.5f32; M * k], vec![0.25f32; k * n]);
    let mut c = vec![0f32; M * n];
    let threads = rayon::current_num_threads();
    let parallelism = if threads == 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
    let mut multiply = || {
        let started = Instant::now();
        // SAFETY: the three buffers have the sizes and row-major strides that are passed, and do not overlap.
        unsafe {
            gemm::gemm(
                M,
                n,
                k,
                c.as_mut_ptr(),
                1,
                n as isize,
                false,
                a.as_ptr(),
                1,
                k as isize,
                b.as_ptr(),
                1,
                n as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                parallelism,
            );
        }
        started.elapsed()
    };
    multiply();
    let processor = ProcessTime::now();
    let mut times: Vec<Duration> = (0..15).map(|_| multiply()).collect();
    let cpu_seconds = processor.elapsed().as_secs_f64() / 15.0;
    let gflop = (2 * M * k * n) as f64 / 1e9;
    serde_json::json!({
        "m": M, "k": k, "n": n, "gflop_per_second": gflop / median(&mut times).as_secs_f64(),
        "gflop_per_cpu_second": gflop / cpu_seconds,
    })
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Most memory this process has held, where the system says.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
