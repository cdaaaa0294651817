//! One benchmark case a process, so that peak memory and threads belong to it alone. Prints one JSON object.
//! `cargo xtask bench` runs the cases and makes the table.

mod dataset;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use blt_checkpoint::{Checkpoint, CheckpointError, ModelConfig};
use blt_core::{BltTokenizer, EntropyEngine, TokenId, Want};
use blt_cpu::{CpuEngine, CpuOptions, FloatType, InstructionSet, Quantization};
use blt_patcher::{Patcher, Rule, document_starts, moved_starts};
use clap::{Parser, Subcommand};
use cpu_time::ProcessTime;
use serde_json::{Value, json};

#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    case: Case,
}

#[derive(Debug, Subcommand)]
enum Case {
    /// The speed of a model
    Model {
        #[command(flatten)]
        subject: Subject,
        /// Bytes of a document
        #[arg(long)]
        bytes: usize,
        /// Documents of that length at once
        #[arg(long, default_value_t = 1)]
        documents: usize,
        #[arg(long, default_value_t = 3)]
        repetitions: usize,
        /// Lengths that real documents have, log-normal with `--bytes` as their mean, instead of equal ones
        #[arg(long)]
        ragged: bool,
        /// Entropies, norms and the sums of the states of each patch, instead of entropies alone
        #[arg(long)]
        pooled: bool,
        /// With `--pooled`: documents at once [default: as many as the engine has use for]
        #[arg(long)]
        at_once: Option<usize>,
        /// Where a card's time goes
        #[arg(long)]
        profile: bool,
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
    /// The entropies of a text, and patch starts, of one engine against those of another
    Compare {
        #[command(flatten)]
        subject: Subject,
        /// Bytes to read
        #[arg(long)]
        bytes: usize,
        /// What it is compared with, in the form of `--dtype`, or of `--engine` and `--dtype` as in `native/f32`
        #[arg(long, default_value = "f32")]
        with: String,
    },
    /// The speed of everything but the model, over the split `train` of a dataset in a folder
    Dataset {
        /// The folder
        folder: PathBuf,
        /// Ingest into this folder, with a model that computes nothing, instead of reading only
        #[arg(long)]
        output: Option<PathBuf>,
        /// Documents at once
        #[arg(long, default_value_t = 2)]
        threads: usize,
    },
    /// The most that each instruction set can do on one thread
    Peak,
    /// Writes a checkpoint with random weights of the sizes of the published 100M model
    Random {
        /// Folder to make
        folder: PathBuf,
    },
}

/// A model and what it reads.
#[derive(Debug, Clone, Parser)]
struct Subject {
    /// `embedded`, `random-100m` or a directory
    model: String,
    /// `native` for our own kernels on the processor, `cuda`, `cuda:portable` (without Hopper's instructions) or `cuda:all`
    /// (every card), or in a build with it `vulkan`, `metal` or `wgpu`, each perhaps with `:plain` (without cooperative
    /// matrices) or `:all`, or `cpu` for Burn on the processor
    #[arg(long, default_value = "native")]
    engine: String,
    /// `auto`, or a number type, perhaps with instructions and quantization, like `f32`, `bf16:avx512` or `bf16+int8`
    #[arg(long, default_value = "auto")]
    dtype: String,
    /// Processor threads; 0 for all
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Text to read; repeated as needed
    #[arg(long)]
    text: PathBuf,
    #[arg(skip)]
    profile: bool,
}

/// A model on its device.
struct Loaded {
    engine: std::sync::Arc<dyn EntropyEngine>,
    config: ModelConfig,
    weight_bytes: Option<usize>,
    /// Seconds of a card's time by part, if it was asked for.
    profile: Option<ProfileReader>,
}

/// Gives the seconds by part, of all that was computed so far.
type ProfileReader = Box<dyn Fn() -> Result<Value, Box<dyn Error>>>;

fn main() -> Result<(), Box<dyn Error>> {
    let report = match Args::parse().case {
        Case::Model { mut subject, bytes, documents, repetitions, ragged, pooled, at_once, profile } => {
            subject.profile = profile;
            let lengths = if ragged { log_normal(bytes, documents) } else { vec![bytes; documents] };
            model_speed(&subject, &lengths, repetitions, pooled, at_once)?
        }
        Case::Pieces { subject, bytes, pieces } => {
            compare_pieces(&subject.load(&subject.dtype)?, &subject.text(bytes)?, &pieces)?
        }
        Case::Compare { subject, bytes, with } => compare(&subject, &subject.text(bytes)?, &with)?,
        Case::Dataset { folder, output, threads } => dataset::speed(&folder, output, threads)?,
        Case::Peak => peaks(),
        Case::Random { folder } => write_random(&folder)?,
    };
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}

impl Subject {
    /// The first `n_bytes` of the text repeated.
    fn text(&self, n_bytes: usize) -> Result<Vec<u8>, Box<dyn Error>> {
        let text = std::fs::read(&self.text)?;
        Ok(text.iter().copied().cycle().take(n_bytes).collect())
    }

    fn load(&self, dtype: &str) -> Result<Loaded, Box<dyn Error>> {
        match self.model.as_str() {
            "random-100m" => {
                let config = random_config()?;
                let mut tensor = random_tensors(&config);
                self.load_from(&config, "random-100m", dtype, &mut tensor)
            }
            "embedded" => self.load_checkpoint(
                &Checkpoint::embedded(blt_mini::NAME, blt_mini::WEIGHTS, blt_mini::CONFIG, blt_mini::SHA256)?,
                dtype,
            ),
            path => self.load_checkpoint(&Checkpoint::open(path.as_ref())?, dtype),
        }
    }

    fn load_checkpoint(&self, checkpoint: &Checkpoint, dtype: &str) -> Result<Loaded, Box<dyn Error>> {
        let mut tensor = |name: &str| checkpoint.tensor_f32(name);
        self.load_from(checkpoint.config(), checkpoint.name(), dtype, &mut tensor)
    }

    fn load_from(
        &self,
        config: &ModelConfig,
        name: &str,
        dtype: &str,
        tensor: &mut dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
    ) -> Result<Loaded, Box<dyn Error>> {
        if self.engine.starts_with("cuda") {
            return cuda_engine(self, config, name, dtype, tensor);
        }
        if self.engine == "cpu" {
            return burn_engine(self, config, name, dtype, tensor);
        }
        if self.engine != "native" {
            return gpu_engine(self, config, name, dtype, tensor);
        }
        let (dtype, quantization) = match dtype.split_once('+') {
            None => (dtype, Quantization::None),
            Some((dtype, "int8")) => (dtype, Quantization::Int8),
            Some((dtype, "int4")) => (dtype, Quantization::Int4),
            Some((_, other)) => return Err(format!("no quantization is named `{other}`").into()),
        };
        let (float, instructions) = match dtype.split_once(':') {
            Some((float, instructions)) => (float, Some(instructions.parse()?)),
            None => (dtype, None),
        };
        let float = match float {
            "auto" => None,
            "f32" => Some(FloatType::F32),
            "bf16" => Some(FloatType::Bf16),
            other => return Err(format!("no number type is named `{other}`").into()),
        };
        let options = CpuOptions { float, instructions, quantization, threads: self.threads };
        let engine = CpuEngine::from_tensors(config, name, &options, tensor)?;
        let weight_bytes = Some(engine.weight_bytes());
        Ok(Loaded { engine: std::sync::Arc::new(engine), config: config.clone(), weight_bytes, profile: None })
    }
}

#[cfg(feature = "cuda")]
fn cuda_engine(
    subject: &Subject,
    config: &ModelConfig,
    name: &str,
    dtype: &str,
    tensor: &mut dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<Loaded, Box<dyn Error>> {
    use blt_cuda::{CudaEngine, CudaOptions, Devices, FloatType};
    let (devices, portable) = match subject.engine.as_str() {
        "cuda" => (Devices::One(0), false),
        "cuda:portable" => (Devices::One(0), true),
        "cuda:all" => (Devices::All, false),
        other => return Err(format!("no engine is named `{other}`").into()),
    };
    let float = match dtype {
        "auto" | "bf16" => FloatType::Bf16,
        "f16" => FloatType::F16,
        "f32" => FloatType::F32,
        other => return Err(format!("no number type is named `{other}`").into()),
    };
    let options = CudaOptions { devices, float, portable, profiled: subject.profile };
    let engine = std::sync::Arc::new(CudaEngine::from_tensors(config, name, &options, tensor)?);
    let profile: Option<ProfileReader> = subject.profile.then(|| {
        let engine = engine.clone();
        Box::new(move || Ok(json!(engine.profile()?))) as ProfileReader
    });
    Ok(Loaded { engine, config: config.clone(), weight_bytes: None, profile })
}

#[cfg(not(feature = "cuda"))]
fn cuda_engine(
    subject: &Subject,
    _: &ModelConfig,
    _: &str,
    _: &str,
    _: &mut dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<Loaded, Box<dyn Error>> {
    Err(format!("this build has no engine `{}`", subject.engine).into())
}

#[cfg(any(feature = "vulkan", feature = "metal", feature = "wgpu"))]
fn gpu_engine(
    subject: &Subject,
    config: &ModelConfig,
    name: &str,
    dtype: &str,
    tensor: &mut dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<Loaded, Box<dyn Error>> {
    use blt_gpu::{Devices, FloatType, GpuEngine, GpuOptions};
    let (backend, devices, plain) = match subject.engine.split_once(':') {
        None => (subject.engine.as_str(), Devices::One(0), false),
        Some((backend, "plain")) => (backend, Devices::One(0), true),
        Some((backend, "all")) => (backend, Devices::All, false),
        Some(_) => return Err(format!("no engine is named `{}`", subject.engine).into()),
    };
    let float = match dtype {
        "auto" => None,
        "f16" => Some(FloatType::F16),
        "f32" => Some(FloatType::F32),
        other => return Err(format!("no number type of GPUs is named `{other}`").into()),
    };
    let options = GpuOptions { backend: backend.parse()?, devices, float, plain, profiled: subject.profile };
    let engine = std::sync::Arc::new(GpuEngine::from_tensors(config, name, &options, tensor)?);
    let profile: Option<ProfileReader> = subject.profile.then(|| {
        let engine = engine.clone();
        Box::new(move || Ok(json!(engine.profile()))) as ProfileReader
    });
    Ok(Loaded { engine, config: config.clone(), weight_bytes: None, profile })
}

#[cfg(not(any(feature = "vulkan", feature = "metal", feature = "wgpu")))]
fn gpu_engine(
    subject: &Subject,
    _: &ModelConfig,
    _: &str,
    _: &str,
    _: &mut dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<Loaded, Box<dyn Error>> {
    Err(format!("this build has no engine `{}`", subject.engine).into())
}

#[cfg(feature = "burn-cpu")]
fn burn_engine(
    subject: &Subject,
    config: &ModelConfig,
    name: &str,
    dtype: &str,
    tensor: &mut dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<Loaded, Box<dyn Error>> {
    use blt_model::{EntropyModel, FloatType, LMTransformer};
    // Only the first call of a process can set the pool; all want the same.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(subject.threads).build_global();
    let float = match dtype {
        "auto" | "f32" => FloatType::F32,
        "bf16" => FloatType::Bf16,
        "f16" => FloatType::F16,
        other => return Err(format!("no number type is named `{other}`").into()),
    };
    let device = blt_model::device(0)?;
    let transformer = LMTransformer::from_tensors(config, device.tensor_device(), float, |name| Ok(tensor(name)?))?;
    let device = format!("{device} {}", float.name());
    let engine = EntropyModel::new(transformer, config.clone(), name.to_owned(), device);
    Ok(Loaded { engine: std::sync::Arc::new(engine), config: config.clone(), weight_bytes: None, profile: None })
}

#[cfg(not(feature = "burn-cpu"))]
fn burn_engine(
    subject: &Subject,
    _: &ModelConfig,
    _: &str,
    _: &str,
    _: &mut dyn FnMut(&str) -> Result<Vec<f32>, CheckpointError>,
) -> Result<Loaded, Box<dyn Error>> {
    Err(format!("this build has no engine `{}`", subject.engine).into())
}

fn random_config() -> Result<ModelConfig, CheckpointError> {
    let json = r#"{"args": {"dim": 768, "n_layers": 14, "n_heads": 12, "max_seqlen": 8192, "sliding_window": 512}}"#;
    ModelConfig::from_json(json, "random-100m")
}

/// Uniform weights of variance `1 / fan_in`; norms of 1.
fn random_tensors(config: &ModelConfig) -> impl FnMut(&str) -> Result<Vec<f32>, CheckpointError> {
    let shapes = blt_checkpoint::expected_tensors(config);
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    move |name| {
        let shape = &shapes.iter().find(|tensor| tensor.name == name).expect("a tensor of the model").shape;
        let scale = if shape.len() == 1 { 0.0 } else { (3.0 / shape[1] as f32).sqrt() };
        Ok((0..shape.iter().product()).map(|_| if scale == 0.0 { 1.0 } else { next() * scale }).collect())
    }
}

fn write_random(folder: &std::path::Path) -> Result<Value, Box<dyn Error>> {
    let config = random_config()?;
    let bytes = blt_checkpoint::safetensors_bytes(&config, blt_checkpoint::StoredDtype::Bf16, random_tensors(&config))?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("model.safetensors"), &bytes)?;
    std::fs::write(folder.join("config.json"), config.to_json())?;
    Ok(json!({"folder": folder, "n_bytes": bytes.len()}))
}

/// `n` lengths of mean `mean`, log-normal with a standard deviation of 1.2 in the logarithm, always the same.
fn log_normal(mean: usize, n: usize) -> Vec<usize> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let sigma = 1.2f64;
    let mut lengths: Vec<f64> = (0..n)
        .map(|_| (sigma * (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()).exp())
        .collect();
    let scale = (mean * n) as f64 / lengths.iter().sum::<f64>();
    lengths.iter_mut().for_each(|length| *length *= scale);
    lengths.into_iter().map(|length| (length as usize).max(1)).collect()
}

/// Reads all documents, each in a session of its own, on `at_once` threads or as many as the engine has use for, and sums the
/// states of their patches.
fn read_pooled(
    engine: &dyn EntropyEngine,
    threshold: f32,
    documents: &[&[TokenId]],
    at_once: Option<usize>,
) -> Result<(), blt_core::EngineError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut session = engine.session();
        while let Some(document) = documents.get(next.fetch_add(1, Ordering::Relaxed)) {
            session.reset();
            for piece in document.chunks(engine.info().tokens_at_once) {
                session.push_summed(piece, &mut |signals| {
                    let over = signals.entropies.iter().enumerate().filter(|&(_, &entropy)| entropy > threshold);
                    let mut ends: Vec<u32> = over.map(|(i, _)| i as u32 + 1).collect();
                    ends.push(signals.entropies.len() as u32);
                    ends
                })?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let n = at_once.unwrap_or(engine.info().documents_at_once).min(documents.len());
        let threads: Vec<_> = (0..n).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a benchmark does not panic"))
    })
}

fn model_speed(
    subject: &Subject,
    lengths: &[usize],
    repetitions: usize,
    pooled: bool,
    at_once: Option<usize>,
) -> Result<Value, Box<dyn Error>> {
    let started = Instant::now();
    let Loaded { engine, config, weight_bytes, profile } = subject.load(&subject.dtype)?;
    let load = started.elapsed();
    let text = subject.text(lengths.iter().sum())?;
    let mut rest = &text[..];
    let documents: Vec<Vec<TokenId>> = lengths
        .iter()
        .map(|&length| {
            let (document, after) = rest.split_at(length);
            rest = after;
            // No BOS: as many tokens as bytes, as the peers count them.
            BltTokenizer { add_bos: false, add_eos: false }.encode_bytes(document)
        })
        .collect();
    let started = Instant::now();
    engine.session().push(&documents[0][..1], Want::Entropies)?;
    let first_entropy = started.elapsed();
    let slices: Vec<&[TokenId]> = documents.iter().map(Vec::as_slice).collect();
    // Patches of 4.5 bytes, whatever the weights.
    let mut entropies = engine.session().push(&documents[0], Want::Entropies)?.entropies;
    entropies.sort_by(f32::total_cmp);
    let threshold = entropies[entropies.len() * 7 / 9];
    let read = || {
        if pooled {
            return read_pooled(&*engine, threshold, &slices, at_once);
        }
        engine.batch(&slices, Want::Entropies).map(drop)
    };
    read()?; // warm
    let parts = |profile: &Option<ProfileReader>| profile.as_ref().map(|read| read()).transpose();
    let before = parts(&profile)?;
    let (mut walls, mut processors) = (Vec::new(), Vec::new());
    for _ in 0..repetitions {
        let (started, processor) = (Instant::now(), ProcessTime::now());
        read()?;
        walls.push(started.elapsed());
        processors.push(processor.elapsed());
    }
    let seconds_by_part = parts(&profile)?.map(|mut after| {
        for (part, seconds) in after.as_object_mut().into_iter().flatten() {
            let earlier = before.as_ref().and_then(|before| before[part].as_f64()).unwrap_or(0.0);
            *seconds = json!((seconds.as_f64().unwrap_or(0.0) - earlier) / repetitions as f64);
        }
        after
    });
    let (cpu_seconds, wall_seconds) = (median(&mut processors).as_secs_f64(), median(&mut walls).as_secs_f64());
    let n_bytes = text.len() as f64;
    let gflop = n_bytes * flop_per_byte(&config) / 1e9;
    Ok(json!({
        "model": engine.info().model, "device": engine.info().device, "n_bytes": text.len(), "documents": documents.len(),
        "bytes_per_second": n_bytes / wall_seconds, "bytes_per_cpu_second": n_bytes / cpu_seconds,
        "gflop_per_cpu_second": gflop / cpu_seconds, "load_seconds": load.as_secs_f64(),
        "first_entropy_seconds": first_entropy.as_secs_f64(), "weight_bytes": weight_bytes, "peak_bytes": peak_bytes(),
        "dim": config.dim, "n_layers": config.n_layers, "n_heads": config.n_heads, "ffn_dim": config.ffn_dim,
        "window": config.window(), "seconds_by_part": seconds_by_part, "threshold_nats": threshold,
    }))
}

/// Entropies of all tokens, continuously.
fn entropies(loaded: &Loaded, tokens: &[TokenId]) -> Result<Vec<f32>, blt_core::EngineError> {
    Ok(loaded.engine.session().push(tokens, Want::Entropies)?.entropies)
}

fn compare(subject: &Subject, text: &[u8], with: &str) -> Result<Value, Box<dyn Error>> {
    let tokens = BltTokenizer::default().encode_bytes(text);
    let one = subject.load(&subject.dtype)?;
    let other = match with.split_once('/') {
        Some((engine, dtype)) => Subject { engine: engine.to_owned(), ..subject.clone() }.load(dtype)?,
        None => subject.load(with)?,
    };
    let (found, expected) = (entropies(&one, &tokens)?, entropies(&other, &tokens)?);
    let differences: Vec<f32> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect();
    let patcher = Patcher::new(Rule::Global { threshold: one.config.patching.threshold });
    let (a, b) = (document_starts(&patcher, text, &found, &[]), document_starts(&patcher, text, &expected, &[]));
    let moved = moved_starts(&a, &b);
    Ok(json!({
        "model": one.engine.info().model, "device": one.engine.info().device, "with": other.engine.info().device,
        "n_bytes": text.len(), "n_patches": b.len(), "moved_starts": moved,
        "mean_difference_nats": differences.iter().sum::<f32>() / differences.len() as f32,
        "largest_difference_nats": differences.iter().fold(0.0f32, |a, &b| a.max(b)),
    }))
}

/// Billions of operations a CPU second of the bare multiply-add loops.
fn peaks() -> Value {
    let mut peaks = Vec::new();
    for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        for float in [FloatType::F32, FloatType::Bf16] {
            let speed = |n: u64| {
                let processor = ProcessTime::now();
                let flop = instructions.multiply_add_loop(float, n)?;
                Some(flop as f64 / processor.elapsed().as_secs_f64() / 1e9)
            };
            let mut speeds: Vec<f64> = (0..15).filter_map(|_| speed(2_000_000)).collect();
            speeds.sort_by(f64::total_cmp);
            if let Some(median) = speeds.get(speeds.len() / 2) {
                peaks.push(
                    json!({"instructions": instructions.name(), "dtype": float.name(), "gflop_per_cpu_second": median}),
                );
            }
        }
    }
    Value::Array(peaks)
}

/// For each piece length: the largest difference of an entropy, and how many patch starts moved at the model's threshold.
fn compare_pieces(subject: &Loaded, text: &[u8], pieces: &[usize]) -> Result<Value, blt_core::EngineError> {
    let tokens = BltTokenizer::default().encode_bytes(text);
    let in_pieces = |length: usize| {
        let mut session = subject.engine.session();
        let entropies: Result<Vec<_>, _> = tokens
            .chunks(length)
            .map(|piece| session.push(piece, Want::Entropies).map(|signals| signals.entropies))
            .collect();
        entropies.map(|entropies| entropies.concat())
    };
    let patcher = Patcher::new(Rule::Global { threshold: subject.config.patching.threshold });
    let starts = |entropies: &[f32]| document_starts(&patcher, text, entropies, &[]);
    let whole = in_pieces(tokens.len())?;
    let rows: Result<Vec<_>, blt_core::EngineError> = pieces
        .iter()
        .map(|&length| {
            let found = in_pieces(length)?;
            let largest = found.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let (a, b) = (starts(&found), starts(&whole));
            let moved = moved_starts(&a, &b);
            Ok(serde_json::json!({"piece": length, "largest_difference_nats": largest, "moved_starts": moved}))
        })
        .collect();
    Ok(
        serde_json::json!({"model": subject.engine.info().model, "n_bytes": text.len(), "n_patches": starts(&whole).len(), "pieces": rows?}),
    )
}

/// Products and sums of the matrices and of exact window attention, for one byte deep in a text.
fn flop_per_byte(config: &ModelConfig) -> f64 {
    let matrices = config.n_params() - config.vocab_size * config.dim;
    let attention = 2 * config.n_layers * config.window() * config.n_heads * config.head_dim;
    2.0 * (matrices + attention) as f64
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
