//! The arguments of the sphere's commands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::args::{EngineArgs, ReportFormat};
use crate::dataset::DatasetArgs;
use crate::decoding::DecodingArgs;
use crate::patching::PatchingArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum SphereCommand {
    /// Place the patches of outputs: directions, radii, zones
    Fill(Box<FillCommand>),
    /// Index placed patches, for queries
    Index(IndexArgs),
    /// Find patches near a text or a patch, in a cone, or in a region
    Query(Box<QueryArgs>),
    /// Walk from patch to patch, to the most coherent neighbour again and again
    Walk(Box<WalkArgs>),
    /// How patches are distributed over the sphere, by angular scale
    Harmonics(HarmonicsArgs),
    /// Draw a sphere: a page to turn it in, SVG or PNG
    Render(RenderArgs),
    /// Check what has to hold of spheres, indexes, corpora and patch files
    Verify(VerifyArgs),
    /// From sources to a corpus: encode, hypergraph, sphere, roots, harmonics; goes on where it stopped
    Ingest(Box<SphereIngestArgs>),
}

/// Numbers or `auto`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OrAuto {
    Auto,
    Number(f64),
}

impl std::str::FromStr for OrAuto {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            number => number.parse().map(Self::Number).map_err(|_| "expected a number, or `auto`"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodArg {
    /// Every shell filled to its capacity, in order of prominence
    Osmotic,
    /// Shells drawn by Boltzmann's law around each patch's prominence
    Thrml,
    /// Shares of the volume by prominence and entropy: `p^2 exp(-H / T)`
    Entropy,
    /// Water-filling over parallel channels, exactly
    Classic,
    /// As `osmotic`, then moved by forces: the same as `--ebm`
    Ebm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompatArg {
    /// The formulas of blt-burn 0.7's scripts as they stood, made safe from NaN
    #[value(name = "seed-v0.7")]
    SeedV07,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderArg {
    /// What has most lies nearest to the core
    Core,
    /// It lies at the rim
    Rim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpacingArg {
    /// Shells of one volume
    Volume,
    /// Shells of one width
    Width,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScaleArg {
    /// 32 to 512
    Dev,
    /// 64 to 2048
    Medium,
    /// 96 to 8192
    Large,
    /// 128 to 32768
    Planetary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChartArg {
    /// The three principal components, weighted by prominence
    Pca,
    /// Three random directions
    Random,
    /// The first three numbers
    Axes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetZoneArg {
    /// By the role or the columns of each document; without these, content
    Auto,
    /// All around the north pole
    Instruction,
    /// All in the band between
    Content,
    /// All around the south pole
    Qa,
    /// Wherever the chart puts them
    Natural,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnsembleArg {
    /// Shells get as many as come
    Free,
    /// Shells get as many as they have room for
    Canonical,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelsArg {
    /// The original's, `sqrt(s) + s^1.5`
    Seed,
    /// The shells' radii
    Radii,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForcesArg {
    /// Between the two below
    Balanced,
    /// The original's strengths for source code
    Code,
    /// The original's strengths for prose
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FilePoolArg {
    /// The largest of its bytes
    Max,
    /// The mean of its bytes
    Mean,
    /// The norm of its embedding
    L2OfMean,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum ExportArg {
    /// NumPy arrays
    Npz,
    /// Safetensors
    Safetensors,
    /// JSON without embeddings
    Json,
}

/// How patches are placed.
#[derive(Debug, Args)]
pub(crate) struct FillArgs {
    /// How the volume is shared out
    #[arg(long, value_enum, default_value = "osmotic", help_heading = "Radii")]
    pub(crate) method: MethodArg,
    /// Compute as another program did
    #[arg(long, value_enum, help_heading = "Radii")]
    pub(crate) compat: Option<CompatArg>,
    /// For `entropy` and `classic` in nats, for `thrml` in units of prominence; `auto` for `entropy` only [default: 1]
    #[arg(long, value_name = "T", help_heading = "Radii")]
    pub(crate) temperature: Option<OrAuto>,
    /// With `--temperature auto`: how far, in nats, shares are to be from those by prominence alone [default: 1]
    #[arg(long, value_name = "NATS", help_heading = "Radii")]
    pub(crate) kappa: Option<f64>,
    /// For `classic`: what is shared out, in units of the median noise [default: 1]
    #[arg(long, value_name = "B", help_heading = "Radii")]
    pub(crate) budget: Option<f64>,
    /// For `classic`: the most that a patch gets, as a part of the budget
    #[arg(long, value_name = "PART", help_heading = "Radii")]
    pub(crate) cap: Option<f64>,
    /// For `classic`: the volume of patches that get nothing, as a part of all [default: 0.05]
    #[arg(long, value_name = "PART", help_heading = "Radii")]
    pub(crate) dry_fraction: Option<f64>,
    /// For `thrml`: whether shells fill up [default: canonical]
    #[arg(long, value_enum, help_heading = "Radii")]
    pub(crate) ensemble: Option<EnsembleArg>,
    /// For `thrml`: energies of the shells [default: seed]
    #[arg(long, value_enum, help_heading = "Radii")]
    pub(crate) levels: Option<LevelsArg>,
    /// For `thrml`: the likeliest shell instead of a drawn one
    #[arg(long, help_heading = "Radii")]
    pub(crate) deterministic_map: bool,
    /// For `osmotic`: let patches flow between shells until pressures are equal, instead of computing the end
    #[arg(long, help_heading = "Radii")]
    pub(crate) dynamic: bool,
    /// With `--dynamic`: let patches evade pressure sideways
    #[arg(long, requires = "dynamic", help_heading = "Radii")]
    pub(crate) lateral: bool,
    /// Let radii then follow coherence: inwards where it is high, with this rate
    #[arg(long, value_name = "RATE", num_args = 0..=1, default_missing_value = "0.1", help_heading = "Radii")]
    pub(crate) lasing: Option<f64>,
    /// Which way prominence goes
    #[arg(long, value_enum, default_value = "core", help_heading = "Radii")]
    pub(crate) radial_order: OrderArg,
    /// Radii of core and rim, and with `--ebm` steps and temperatures, that belong together [default: dev]
    #[arg(long, value_enum, help_heading = "Radii")]
    pub(crate) scale: Option<ScaleArg>,
    /// Radius of the hollow core, `auto` by the number of patches [default: that of the scale]
    #[arg(long, value_name = "R", help_heading = "Radii")]
    pub(crate) min_radius: Option<OrAuto>,
    /// Radius of the rim [default: that of the scale]
    #[arg(long, value_name = "R", help_heading = "Radii")]
    pub(crate) max_radius: Option<f64>,
    /// How volume grows with the radius [default: 3]
    #[arg(long, value_name = "G", help_heading = "Radii")]
    pub(crate) volume_exponent: Option<f64>,
    /// Number of shells [default: 256, for `thrml` 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20), help_heading = "Radii")]
    pub(crate) shells: Option<u32>,
    /// Where the bounds of shells lie [default: volume]
    #[arg(long, value_enum, help_heading = "Radii")]
    pub(crate) shell_spacing: Option<SpacingArg>,

    /// Which three numbers of an embedding give its direction [default: pca]
    #[arg(long, value_enum, conflicts_with = "chart_from", help_heading = "Directions")]
    pub(crate) chart: Option<ChartArg>,
    /// Do not spread directions evenly over the sphere
    #[arg(long, conflicts_with = "chart_from", help_heading = "Directions")]
    pub(crate) no_equalize: bool,
    /// Use the chart of this sphere file, so that the patches of both can be compared
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Directions")]
    pub(crate) chart_from: Option<PathBuf>,
    /// Half-angle of the polar zones in degrees
    #[arg(long, value_name = "DEGREES", default_value_t = 15.0, help_heading = "Directions")]
    pub(crate) zone_angle: f64,
    /// How much of a patch's own direction shows through its zone, from 0 to 1
    #[arg(long, value_name = "PART", default_value_t = 0.0, help_heading = "Directions")]
    pub(crate) translucency: f64,
    /// Which zone patches are brought into [default: auto]
    #[arg(long, value_enum, help_heading = "Directions")]
    pub(crate) target_zone: Option<TargetZoneArg>,

    /// Then let forces move the patches: joined ones together, all apart, each near its radius
    #[arg(long, help_heading = "Forces")]
    pub(crate) ebm: bool,
    /// With `--ebm`: strengths that belong together [default: balanced]
    #[arg(long, value_enum, help_heading = "Forces")]
    pub(crate) forces: Option<ForcesArg>,
    /// With `--ebm`: number of steps [default: that of the scale, 120]
    #[arg(long, value_name = "N", help_heading = "Forces")]
    pub(crate) steps: Option<u32>,
    /// With `--ebm`: temperatures of the first and last step [default: those of the scale, 0.01,0.0001]
    #[arg(long, value_name = "FIRST,LAST", value_delimiter = ',', num_args = 1, help_heading = "Forces")]
    pub(crate) annealing: Vec<f64>,
    /// With `--ebm`: accept or refuse each step, so that temperatures are kept exactly
    #[arg(long, help_heading = "Forces")]
    pub(crate) metropolis: bool,
    /// With `--ebm`: neighbours that attract each other [default: 16]
    #[arg(long, value_name = "N", help_heading = "Forces")]
    pub(crate) neighbours: Option<u32>,

    /// Seed of all random numbers
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FillCommand {
    /// Outputs of `ingest`, of older versions too (`blt_patches_v3`, token files), Parquet, or folders of such
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Folder of the spheres
    #[arg(long, short, value_name = "DIR", default_value = "sphere_output", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// Place all documents on one sphere of this name, instead of each on its own
    #[arg(long, value_name = "NAME")]
    pub(crate) together: Option<String>,
    /// Forms that are written
    #[arg(long, value_enum, value_delimiter = ',', default_value = "npz")]
    pub(crate) export: Vec<ExportArg>,
    /// How prominence is pooled [default: as the files have it; of token files the largest]
    #[arg(long, value_enum)]
    pub(crate) prominence_pool: Option<FilePoolArg>,
    /// Processor threads [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    #[command(flatten)]
    pub(crate) fill: FillArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartitionArg {
    /// Spherical 2-means
    Caps,
    /// Balanced halves that are similar inside
    Maxcut,
    /// At the median of the widest coordinate
    Axis,
    /// `axis` for large nodes, `maxcut` for small ones
    Hybrid,
}

/// How an index is built.
#[derive(Debug, Args)]
pub(crate) struct RootsArgs {
    /// Number of partitions
    #[arg(long, value_name = "K", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 20), help_heading = "Index")]
    pub(crate) partitions: u32,
    /// Fewest patches of a partition
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Index")]
    pub(crate) min_partition: u32,
    /// Most patches of a leaf
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Index")]
    pub(crate) leaf_size: u32,
    /// How a node is cut in two
    #[arg(long, value_enum, default_value = "caps", help_heading = "Index")]
    pub(crate) partition: PartitionArg,
}

#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// Sphere files, or folders of such
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Folder of the indexes [default: beside each sphere]
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
    /// Processor threads [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    #[command(flatten)]
    pub(crate) roots: RootsArgs,
}

/// A sphere and what is looked for in it.
#[derive(Debug, Args)]
pub(crate) struct SphereArgs {
    /// A sphere file, or a corpus folder
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Its index [default: the file of its name beside it; else it is built and not kept]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) index: Option<PathBuf>,
    /// A text, read by the model
    #[arg(long, value_name = "TEXT", conflicts_with = "patch")]
    pub(crate) text: Option<String>,
    /// A patch of the sphere, by its number
    #[arg(long, value_name = "N")]
    pub(crate) patch: Option<u32>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(crate) sphere: SphereArgs,
    /// How many patches are shown
    #[arg(short, long = "count", value_name = "K", default_value_t = 10)]
    pub(crate) k: usize,
    /// All patches within this angle of it in the space of embeddings, in degrees
    #[arg(long, value_name = "DEGREES", conflicts_with_all = ["beam", "navigate", "around"])]
    pub(crate) cone: Option<f64>,
    /// Look at this many leaves of the index at most: faster, and may miss some
    #[arg(long, value_name = "LEAVES", conflicts_with_all = ["navigate", "around"], value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) beam: Option<u32>,
    /// Look at every patch, without an index
    #[arg(long, conflicts_with_all = ["index", "beam", "navigate", "around"])]
    pub(crate) brute_force: bool,
    /// Lay cones around the partitions that are most active, and rank patches by energy
    #[arg(long, conflicts_with = "around")]
    pub(crate) navigate: bool,
    /// With `--navigate`: most cones [default: 32]
    #[arg(long, value_name = "N", requires = "navigate")]
    pub(crate) max_cones: Option<usize>,
    /// With `--navigate`: half-angle of a cone in degrees [default: 45]
    #[arg(long, value_name = "DEGREES", requires = "navigate")]
    pub(crate) cone_angle: Option<f64>,
    /// With `--navigate`: least activation of a partition [default: 0.2]
    #[arg(long, value_name = "COSINE", requires = "navigate", allow_negative_numbers = true)]
    pub(crate) threshold: Option<f32>,
    /// Instead: patches around this point of the sphere, in degrees from the north pole and around it
    #[arg(long, value_name = "THETA,PHI", value_delimiter = ',', num_args = 1, requires = "within", conflicts_with_all = ["text", "patch", "index"])]
    pub(crate) around: Vec<f64>,
    /// With `--around`: how far, in degrees
    #[arg(long, value_name = "DEGREES", requires = "around")]
    pub(crate) within: Option<f64>,
    /// With `--around`: only between these radii
    #[arg(long, value_name = "LEAST,MOST", value_delimiter = ',', num_args = 1, requires = "around")]
    pub(crate) radius: Vec<f64>,
    /// With `--around`: only of at least this prominence
    #[arg(long, value_name = "P", requires = "around")]
    pub(crate) min_prominence: Option<f64>,
    /// With `--around`: only of this zone
    #[arg(long, value_enum, requires = "around")]
    pub(crate) zone: Option<ZoneArg>,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ZoneArg {
    /// Around the north pole
    Instruction,
    /// The band between
    Content,
    /// Around the south pole
    Qa,
}

#[derive(Debug, Args)]
pub(crate) struct WalkArgs {
    #[command(flatten)]
    pub(crate) sphere: SphereArgs,
    /// The patch to start from, by its number; the same as `--patch`
    #[arg(long, value_name = "N", conflicts_with_all = ["text", "patch"])]
    pub(crate) start: Option<u32>,
    /// Least coherence, from 0 to 1, of a patch that is stepped on
    #[arg(long, value_name = "C", default_value_t = 0.5)]
    pub(crate) threshold: f64,
    /// Neighbours that are looked at
    #[arg(long, value_name = "K", default_value_t = 10)]
    pub(crate) top_k: usize,
    /// Most steps
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max_steps: usize,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightArg {
    /// Its prominence
    Prominence,
    /// Its share of the volume
    Alloc,
    /// 1
    One,
}

#[derive(Debug, Args)]
pub(crate) struct HarmonicsArgs {
    /// A sphere file, or a corpus folder
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// The highest degree
    #[arg(long, value_name = "L", default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=2000))]
    pub(crate) band_limit: u32,
    /// What a patch weighs
    #[arg(long, value_enum, default_value = "prominence")]
    pub(crate) weight: WeightArg,
    /// Of each shell, too
    #[arg(long)]
    pub(crate) shells: bool,
    /// Show so many peaks of the smoothed density
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) peaks: usize,
    /// With `--peaks`: how far it is smoothed, in degrees [default: 10]
    #[arg(long, value_name = "DEGREES", requires = "peaks")]
    pub(crate) smooth: Option<f64>,
    /// Write coefficients and spectra to this file, `.npz` or `.safetensors`
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Processor threads [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PictureFormat {
    /// A page that needs nothing else: the sphere turns, and a patch that is pointed at is read
    Html,
    /// A drawing that scales
    Svg,
    /// Pixels
    Png,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColourArg {
    /// Their zones
    Zone,
    /// Their distance from the centre
    Radius,
    /// Their shells
    Shell,
    /// Their mean entropy
    Entropy,
    /// Their prominence
    Prominence,
    /// Their documents: the six largest, and all others
    Document,
}

#[derive(Debug, Args)]
pub(crate) struct RenderArgs {
    /// A sphere file, or a corpus folder
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// The picture's file; its ending says its form [default: beside the sphere]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// The picture's form, whatever its file is called [default: html]
    #[arg(long, value_enum)]
    pub(crate) format: Option<PictureFormat>,
    /// Draw at most so many patches, evenly chosen [default: 100000 in a page, 20000 in a drawing]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub(crate) max_points: Option<u32>,
    /// What patches are coloured by, in a page at first [default: zone if there are several, else entropy]
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) colour_by: Option<ColourArg>,
    /// The highest degree of the spectrum
    #[arg(long, value_name = "L", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=2000))]
    pub(crate) band_limit: u32,
    /// Processor threads [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Spheres, indexes, harmonics, patch files, corpus databases, or folders of such
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// How it is reported
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum StageArg {
    /// Sources become patches
    Encode,
    /// Their hypergraphs become one
    Hypergraph,
    /// Patches get their places
    Sphere,
    /// Places get an index
    Roots,
    /// And harmonics
    Harmonics,
}

#[derive(Debug, Args)]
pub(crate) struct SphereIngestArgs {
    /// Files and folders
    #[arg(value_name = "PATH", required_unless_present_any = ["local_dir", "text", "huggingface_dataset", "preset", "stages"], value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// A folder, with everything below it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) local_dir: Vec<PathBuf>,
    /// Text
    #[arg(long, value_name = "TEXT")]
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
    /// The corpus folder
    #[arg(long, short, value_name = "DIR", default_value = "corpus", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// Bring only these stages up to date [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STAGE,...")]
    pub(crate) stages: Vec<StageArg>,
    /// Go on where an earlier run stopped (the default)
    #[arg(long)]
    pub(crate) resume: bool,
    /// Forms of the sphere that are written
    #[arg(long, value_enum, value_delimiter = ',', default_value = "npz")]
    pub(crate) export: Vec<ExportArg>,
    /// The highest degree of the harmonics
    #[arg(long, value_name = "L", default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=2000))]
    pub(crate) band_limit: u32,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) dataset: DatasetArgs,
    #[command(flatten)]
    pub(crate) decoding: DecodingArgs,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) patching: PatchingArgs,
    #[command(flatten)]
    pub(crate) fill: FillArgs,
    #[command(flatten)]
    pub(crate) roots: RootsArgs,
}
