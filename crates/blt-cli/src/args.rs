//! The arguments of every command, and their translation into what the libraries take.

use std::path::PathBuf;

use blt_cpu::InstructionSet;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::dataset::DatasetArgs;
use crate::decoding::DecodingArgs;
use crate::hub::HubArgs;
use crate::patching::PatchingArgs;
use crate::sphere::{SphereCommand, TargetZoneArg};

/// Segments any bytes into patches where a byte-level language model is uncertain.
#[derive(Debug, Parser)]
#[command(name = "blt-cli", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say nothing but errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more; twice for everything
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the patches of files or text
    Patch(PatchArgs),
    /// Write the patches, signals and hypergraph of files and folders
    Ingest(Box<IngestArgs>),
    /// Say what an output, sidecar, journal or checkpoint holds
    Inspect(InspectArgs),
    /// Say how far the run of an output folder is, check its files, or try again what failed
    #[command(subcommand)]
    Runs(RunsCommand),
    /// List the formats known and how each is recognised
    Formats(FormatsArgs),
    /// Place patches on a sphere, index and query them, and make corpora
    #[command(subcommand)]
    Sphere(SphereCommand),
    /// Describe, convert and check models
    #[command(subcommand)]
    Model(ModelCommand),
    /// Say what this machine and this build can do
    Doctor(ReportArgs),
    /// Print a completion script
    Completions {
        /// For this shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Decode one source as a request says; the program starts itself with this
    #[command(hide = true)]
    DecodeWorker {
        /// The file with the request
        request: PathBuf,
    },
    /// Answer a query as a request says; the program starts itself with this
    #[cfg(feature = "polars")]
    #[command(hide = true)]
    QueryWorker {
        /// The file with the request
        request: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// How many sources are done, and why the others are not
    Status(RunArgs),
    /// Compare every file with what the journal says of it
    Verify(RunArgs),
    /// Do again what failed, as the run was started
    Retry(RetryArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The output folder
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The output folder
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// The models at hand: the one inside the program, and those fetched from the hub
    List(ModelListArgs),
    /// Fetch a model from the hub
    Pull(ModelPullArgs),
    /// Sizes, number types, hash and threshold of a model
    Info(ModelInfoArgs),
    /// Convert between safetensors and Burn's format, by the ending of the target
    Convert(ModelConvertArgs),
    /// Compare a model with expected values
    Verify(ModelVerifyArgs),
    /// What fewer bits make of a model's size, weights and entropies
    Stats(ModelStatsArgs),
}

/// The model and where it runs.
#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    /// `embedded`, a directory with `config.json` and weights, a weights file, or `ORG/NAME[@REVISION]` on the hub
    #[arg(long, value_name = "MODEL", default_value = "embedded", help_heading = "Model")]
    pub(crate) model: String,
    /// Take the directory's Burn record (`.mpk`), or take the file for one whatever its name
    #[arg(long, help_heading = "Model")]
    pub(crate) use_mpk: bool,
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto", help_heading = "Model")]
    pub(crate) backend: BackendArg,
    /// Which device of the backend; `all` for every one that is like the first
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Model")]
    pub(crate) device: DeviceArg,
    /// Number type of weights and activations
    #[arg(long, value_enum, default_value = "auto", help_heading = "Model")]
    pub(crate) dtype: DtypeArg,
    /// Bits of the weights: 8 are faster where the processor multiplies bytes, 4 take less memory
    #[arg(long, value_enum, default_value = "none", help_heading = "Model")]
    pub(crate) quantize: QuantizeArg,
    /// Instructions of the processor: portable, avx2, avx512, avx512-bf16 or amx-bf16 [default: the best it has]
    #[arg(long, value_name = "SET", help_heading = "Model")]
    pub(crate) instructions: Option<InstructionSet>,
    /// Processor threads; with a card, how many documents are worked on at once [default: all, with a card 64]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), help_heading = "Model")]
    pub(crate) threads: Option<u16>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

/// Devices of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceArg {
    /// By its number.
    One(usize),
    /// All that there are.
    All,
}

impl std::str::FromStr for DeviceArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            number => number.parse().map(Self::One).map_err(|_| "expected a number, or `all`"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendArg {
    /// An NVIDIA card if there is one, else a GPU if this build has a backend for one, else the processor
    Auto,
    /// The processor
    Cpu,
    /// The processor through Burn: slow, the reference
    #[cfg(feature = "burn-cpu")]
    BurnCpu,
    /// NVIDIA cards, by kernels of our own
    Cuda,
    /// GPUs through Vulkan
    Vulkan,
    /// Apple GPUs
    Metal,
    /// GPUs through WebGPU
    Wgpu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtypeArg {
    /// The fastest: bf16 on an NVIDIA card and on a processor that multiplies such numbers, f16 on other GPUs, else f32
    Auto,
    /// 32-bit floats
    F32,
    /// 16-bit floats with 8 bits of exponent
    Bf16,
    /// 16-bit floats with 5 bits of exponent
    F16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QuantizeArg {
    /// As many as the number type has
    None,
    /// 8, one scale an output; activations too
    Int8,
    /// 4, one scale for 32 weights
    Int4,
}

#[derive(Debug, Args)]
pub(crate) struct PatchArgs {
    /// Files; `-` for standard input
    #[arg(value_name = "FILE", required_unless_present = "text", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Text to segment
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// How patches are shown
    #[arg(long, value_enum, default_value = "pretty")]
    pub(crate) format: PatchFormat,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) patching: PatchingArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PatchFormat {
    /// The text with `|` between patches
    Pretty,
    /// One object a file
    Json,
    /// One object a patch
    Jsonl,
    /// A page with patches coloured by entropy
    Html,
    /// A drawing of the entropies with the patch bounds
    Svg,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArgs {
    /// Files and folders; `-` for standard input
    #[arg(value_name = "PATH", required_unless_present_any = ["files", "inputs", "text", "huggingface_dataset", "preset", "quant_stats"], value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// A file
    #[arg(long = "file", short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// A folder, with everything below it
    #[arg(long = "input", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Text
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Leave out what matches, in the syntax of `.gitignore`
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// Follow symbolic links
    #[arg(long)]
    pub(crate) follow: bool,
    /// At most so many sources
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) dataset: DatasetArgs,

    /// Folder of the outputs
    #[arg(long, short, alias = "output-dir", value_name = "DIR", default_value = "ingest_output", value_hint = ValueHint::DirPath, help_heading = "Output")]
    pub(crate) output: PathBuf,
    /// Put the outputs below DIR/output
    #[arg(long, value_name = "DIR", conflicts_with = "output", value_hint = ValueHint::DirPath, help_heading = "Output")]
    pub(crate) external_drive: Option<PathBuf>,
    /// Form of the outputs
    #[arg(long, value_enum, default_value = "safetensors", help_heading = "Output")]
    pub(crate) output_format: OutputFormat,
    /// Sources in a WebDataset shard [default: 1000] or a Parquet file [default: 10000]
    #[arg(long, alias = "sources-per-shard", value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Output")]
    pub(crate) webdataset_shard_size: Option<u32>,
    /// Cut all patches into so many equal shards, too, for training on many devices (JAX)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99_999), help_heading = "Output")]
    pub(crate) num_shards: Option<u32>,
    /// ... or into as many as it takes for none to have more than about so many tokens
    #[arg(long, value_name = "TOKENS", conflicts_with = "num_shards", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Output")]
    pub(crate) shard_size: Option<u64>,
    /// How WebDataset shards are compressed [default: gzip]
    #[arg(long, value_enum, help_heading = "Output")]
    pub(crate) webdataset_compression: Option<CompressionArg>,
    /// Which embeddings are written
    #[arg(long, value_enum, default_value = "patch", help_heading = "Output")]
    pub(crate) embeddings: EmbeddingsArg,
    /// Their number type [default: f32]
    #[arg(long, value_enum, help_heading = "Output")]
    pub(crate) embedding_dtype: Option<EmbeddingDtypeArg>,
    /// Write only their first K components
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Output")]
    pub(crate) embedding_dims: Option<u32>,
    /// Write each hypergraph as JSON too
    #[arg(long, help_heading = "Output")]
    pub(crate) export_json: bool,
    /// Complete what an earlier run began (the default)
    #[arg(long, conflicts_with = "overwrite", help_heading = "Output")]
    pub(crate) resume: bool,
    /// Replace what earlier runs wrote
    #[arg(long, help_heading = "Output")]
    pub(crate) overwrite: bool,
    /// Place the patches of each output on a sphere afterwards, as `sphere fill` does: `<id>.sphere.npz`
    #[arg(long, help_heading = "Output")]
    pub(crate) sphere: bool,
    /// With `--sphere`: which zone patches are brought into [default: auto]
    #[arg(long, value_enum, requires = "sphere", help_heading = "Output")]
    pub(crate) target_zone: Option<TargetZoneArg>,
    /// List the sources and what the journal says of them, and do nothing
    #[arg(long, help_heading = "Output")]
    pub(crate) dry_run: bool,
    /// Decode and check every source without a model, print a JSON object for each, and write nothing
    #[arg(long, conflicts_with_all = ["output", "external_drive", "output_format", "webdataset_shard_size", "webdataset_compression", "num_shards", "shard_size", "embeddings", "embedding_dtype", "embedding_dims", "export_json", "resume", "overwrite", "dry_run", "sphere", "entropy_histogram", "batch_stats", "profile", "quant_stats", "prefetch_buffer", "model", "backend", "device", "dtype", "quantize", "instructions", "PatchingArgs"], help_heading = "Output")]
    pub(crate) decode_only: bool,

    /// Write the distribution of all entropies as JSON
    #[arg(long, help_heading = "Reports")]
    pub(crate) entropy_histogram: bool,
    /// Where to [default: entropy_histogram.json in the output folder]
    #[arg(long, value_name = "FILE", requires = "entropy_histogram", help_heading = "Reports")]
    pub(crate) histogram_output: Option<PathBuf>,
    /// Number of its bins [default: 50]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), requires = "entropy_histogram", help_heading = "Reports")]
    pub(crate) histogram_bins: Option<u32>,
    /// Print the distribution of source sizes
    #[arg(long, help_heading = "Reports")]
    pub(crate) batch_stats: bool,
    /// Print where the time went
    #[arg(long, help_heading = "Reports")]
    pub(crate) profile: bool,
    /// Print what `--quantize` makes of the model, and do nothing, as `model stats`
    #[arg(long, help_heading = "Reports")]
    pub(crate) quant_stats: bool,

    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    /// Sources to read ahead
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=4096), help_heading = "Decoding")]
    pub(crate) prefetch_buffer: u16,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) patching: PatchingArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// One safetensors file and one hypergraph a source
    Safetensors,
    /// Tar shards of many sources, and one hypergraph a shard
    #[value(name = "webdataset")]
    WebDataset,
    /// Parquet files in the form of a Hugging Face data set, and one hypergraph a file
    Parquet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionArg {
    /// None, `.tar`: samples can be read in any order
    None,
    /// `.tar.gz`
    Gzip,
    /// `.tar.zst`
    Zstd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EmbeddingsArg {
    /// One a patch
    Patch,
    /// One a patch and one a byte
    Byte,
    /// None
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EmbeddingDtypeArg {
    /// 32-bit floats
    F32,
    /// 16-bit floats with 8 bits of exponent
    Bf16,
    /// 16-bit floats with 5 bits of exponent
    F16,
    /// 8-bit integers with one scale a row
    Int8,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// A file or folder
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text", conflicts_with = "html")]
    pub(crate) format: ReportFormat,
    /// Print a page with the patches coloured by entropy
    #[arg(long)]
    pub(crate) html: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FormatsArgs {
    /// Say what these files look like instead
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub(crate) detect: Vec<PathBuf>,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ModelListArgs {
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ModelPullArgs {
    /// `ORG/NAME`, or `ORG/NAME@REVISION` for another branch, tag or commit than `main`
    pub(crate) model: String,
    /// Say what would be fetched, and its licence, and fetch nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ModelInfoArgs {
    /// `embedded`, a directory, a weights file, or `ORG/NAME[@REVISION]`
    #[arg(default_value = "embedded")]
    pub(crate) model: String,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ModelConvertArgs {
    /// `embedded`, a directory, a weights file, or `ORG/NAME[@REVISION]`
    pub(crate) model: String,
    /// File to write, ending in `.safetensors` (original layout) or `.bpk`; its `config.json` goes beside it
    pub(crate) target: PathBuf,
    /// Number type of the stored weights
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) dtype: StoredDtypeArg,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoredDtypeArg {
    /// 32-bit floats
    F32,
    /// 16-bit floats with 8 bits of exponent
    Bf16,
    /// 16-bit floats with 5 bits of exponent
    F16,
    /// matrices in 8 bits with one 32-bit scale a row
    Int8,
}

#[derive(Debug, Args)]
pub(crate) struct ModelStatsArgs {
    /// `embedded`, a directory, a weights file, or `ORG/NAME[@REVISION]`
    #[arg(default_value = "embedded")]
    pub(crate) model: String,
    /// Bits of the weights
    #[arg(long, value_enum, default_value = "int8")]
    pub(crate) quantize: QuantizeArg,
    /// Text whose entropies are compared [default: a few lines of prose, code and tables]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) text: Option<PathBuf>,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ModelVerifyArgs {
    /// `embedded`, a directory, a weights file, or `ORG/NAME[@REVISION]`
    pub(crate) model: String,
    /// Expected values: `expected.safetensors`, or the original's `tokens_with_entropies.json`
    #[arg(long, value_name = "FILE")]
    pub(crate) against: PathBuf,
    /// Largest error of an entropy in nats [default: 2e-4, for JSON 0.1]
    #[arg(long, value_name = "NATS")]
    pub(crate) max_entropy_error: Option<f64>,
    /// Largest error of a logit, pre-norm state or norm
    #[arg(long, value_name = "X", default_value_t = 1e-3)]
    pub(crate) max_state_error: f64,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
    /// Where to compute
    #[arg(long, value_enum, default_value = "cpu")]
    pub(crate) backend: BackendArg,
    /// Number type of weights and activations
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) dtype: DtypeArg,
    /// Bits of the weights, as in `patch`
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) quantize: QuantizeArg,
    /// Instructions of the processor, as in `patch`
    #[arg(long, value_name = "SET")]
    pub(crate) instructions: Option<InstructionSet>,
    #[command(flatten)]
    pub(crate) hub: HubArgs,
}
