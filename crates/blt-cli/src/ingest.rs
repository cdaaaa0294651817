//! `blt-cli ingest`: files and folders to outputs.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blt_cpu::CpuOptions;
use blt_ingest::{
    Encoding, Form, IngestError, IngestOptions, Input, Journal, Observer, Outcome, Plan, PlannedSource, ShardFormat,
    Shards, SourceKind, Status, Summary,
};
use blt_output::{EmbeddingDtype, EmbeddingOptions, Embeddings, Fidelity, Projection, ShardCompression, ShardCount};
use blt_patcher::EntropyStatistics;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::Ending;
use crate::args::{
    BackendArg, CompressionArg, DeviceArg, DtypeArg, EmbeddingDtypeArg, EmbeddingsArg, IngestArgs, OutputFormat,
    ReportFormat,
};
use crate::decoding::ModalityArg;
#[cfg(feature = "tokenizers")]
use crate::decoding::SegmentsArg;
use crate::engine::LoadedModel;
use crate::estimate::Estimate;
use crate::failure::Failure;
use crate::output::{to_stderr, write_all, write_file};

pub(crate) fn run(args: &IngestArgs, quiet: bool) -> Result<Ending, Failure> {
    if args.quant_stats {
        return quant_stats(args);
    }
    if args.decode_only {
        return decode_only(args);
    }
    ingest(args, Sources::All, quiet)
}

/// Runs it for the sources that failed before; `output` is where its outputs are now.
pub(crate) fn run_again(args: &IngestArgs, output: PathBuf, quiet: bool) -> Result<Ending, Failure> {
    ingest(args, Sources::Failed { output }, quiet)
}

/// Which sources are worked on.
#[derive(Debug)]
enum Sources {
    All,
    Failed { output: PathBuf },
}

fn ingest(args: &IngestArgs, sources: Sources, quiet: bool) -> Result<Ending, Failure> {
    let model = args.engine.load()?;
    let mut options = options(args, &model)?;
    let is_first = matches!(sources, Sources::All);
    if let Sources::Failed { output } = sources {
        (options.output, options.only_failed) = (output, true);
    }
    let mut query = None;
    if let Some(found) = args.dataset.find(&args.engine.hub, args.limit, args.external_drive.as_deref())? {
        options.inputs.push(Input::Dataset(found.input));
        options.settings.extend(found.settings);
        query = found.query;
    }
    if args.batch_stats || args.dry_run {
        let (plan, journal) = blt_ingest::preview(&*model.engine, &options).map_err(failure)?;
        let mut report = String::new();
        if args.batch_stats {
            describe_sizes(&mut report, &plan);
        }
        let n_bytes = if args.dry_run { describe_plan(&mut report, &plan, journal.as_ref())? } else { 0 };
        if let Some(query) = query.filter(|_| args.dry_run) {
            let _ = writeln!(report, "query\t{query}");
        }
        write_all(report.as_bytes())?;
        if args.dry_run {
            let sample = crate::stats::TEXT.as_bytes();
            let estimate = Estimate::new(&*model.engine, &options, sample, n_bytes)
                .map_err(|error| Failure::new("cannot estimate the run", error))?;
            if !quiet {
                to_stderr(&estimate.text());
            }
            return Ok(Ending::Complete);
        }
    }
    let cancelled = stop_on_ctrl_c();
    let mut progress = Progress::new(quiet);
    progress.record_in = is_first.then(|| options.output.clone());
    let summary = blt_ingest::run(&*model.engine, &options, &progress, &cancelled).map_err(failure)?;
    progress.bar.finish_and_clear();
    let fidelity = progress.fidelity.lock().unwrap_or_else(PoisonError::into_inner).take();
    write_statistics(&summary, fidelity, &options.output)?;
    if args.entropy_histogram {
        write_histogram(args, &options.output)?;
    }
    if !quiet {
        to_stderr(&summary_line(&summary, &options.output));
    }
    if args.profile {
        write_all(profile(&summary).as_bytes())?;
    }
    if summary.interrupted {
        return Ok(Ending::Interrupted);
    }
    let placed = if args.sphere {
        crate::sphere::after_ingest(&options.output, args.target_zone, quiet)?
    } else {
        Ending::Complete
    };
    Ok(if summary.n_failed == 0 { placed } else { Ending::SomeFailed })
}

/// Decodes and checks every source, without a model and without outputs.
fn decode_only(args: &IngestArgs) -> Result<Ending, Failure> {
    if args.dataset.is_named() {
        return Err(Failure::usage("`--decode-only` is for files and text, not for datasets"));
    }
    refuse_unused(args)?;
    let mut options = IngestOptions::new(inputs(args), Path::new(""), Encoding::global(0.0), 0);
    options.modalities = args.decoding.modalities()?;
    options.modality = args.decoding.modality.modality();
    options.limits = args.decoding.limits();
    options.exclude.clone_from(&args.exclude);
    options.follow_links = args.follow;
    options.limit = args.limit;
    options.n_workers = args.engine.n_threads();
    let n_failed = AtomicU64::new(0);
    let printed = Mutex::new(Ok(()));
    let cancelled = stop_on_ctrl_c();
    blt_ingest::decode_all(&options, &cancelled, &|source, result, seconds| {
        let line = match result {
            Ok(decoded) => {
                let document = &decoded.document;
                let error = decoded.error.as_ref().map(ToString::to_string);
                n_failed.fetch_add(u64::from(error.is_some()), Ordering::Relaxed);
                json!({"path": source.source, "modality": document.modality.name(), "media_type": document.media_type,
                    "status": if error.is_some() { "failed" } else { "done" }, "error": error,
                    "problems": document.problems, "n_views": document.views.len(),
                    "n_units": document.views.iter().map(|view| view.units.len()).sum::<usize>(), "seconds": seconds})
            }
            Err(error) => {
                n_failed.fetch_add(1, Ordering::Relaxed);
                json!({"path": source.source, "modality": null, "media_type": null, "status": "failed",
                    "error": error.chain(), "problems": [], "n_views": 0, "n_units": 0, "seconds": seconds})
            }
        };
        let mut printed = printed.lock().unwrap_or_else(PoisonError::into_inner);
        if printed.is_ok() {
            *printed = writeln!(io::stdout().lock(), "{line}");
        }
    })
    .map_err(failure)?;
    printed.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    Ok(match n_failed.into_inner() {
        _ if cancelled.load(Ordering::SeqCst) => Ending::Interrupted,
        0 => Ending::Complete,
        _ => Ending::SomeFailed,
    })
}

/// What the arguments name, in order.
fn inputs(args: &IngestArgs) -> Vec<Input> {
    let paths = args.paths.iter().chain(&args.files).chain(&args.inputs);
    let mut inputs: Vec<Input> =
        paths.map(|path| if path == Path::new("-") { Input::Stdin } else { Input::Path(path.clone()) }).collect();
    inputs.extend(args.text.iter().cloned().map(Input::Text));
    inputs
}

/// The report of `model stats` in place of a run.
fn quant_stats(args: &IngestArgs) -> Result<Ending, Failure> {
    let engine = &args.engine;
    let is_run = !(args.paths.is_empty() && args.files.is_empty() && args.inputs.is_empty() && args.text.is_empty());
    if is_run || args.dry_run || args.batch_stats {
        return Err(Failure::usage("`--quant-stats` is instead of a run: it takes no inputs and no other report"));
    }
    let on_processor = matches!(engine.backend, BackendArg::Auto | BackendArg::Cpu);
    if !on_processor || engine.device != DeviceArg::One(0) || !matches!(engine.dtype, DtypeArg::Auto | DtypeArg::F32) {
        return Err(Failure::usage("`--quant-stats` computes on the processor in f32"));
    }
    let options = CpuOptions {
        instructions: engine.instructions,
        quantization: engine.quantize.quantization(),
        threads: engine.n_threads(),
        ..CpuOptions::default()
    };
    crate::stats::report(engine.named(), options, None, ReportFormat::Text)
}

fn failure(error: IngestError) -> Failure {
    let hint = error.hint();
    Failure::new("cannot ingest", error).hint(hint)
}

fn options(args: &IngestArgs, model: &LoadedModel) -> Result<IngestOptions, Failure> {
    refuse_unused(args)?;
    let output = args.external_drive.as_ref().map_or_else(|| args.output.clone(), |drive| drive.join("output"));
    let dim = model.engine.info().dim;
    let dims = args.embedding_dims.map_or(dim, |dims| dims as usize);
    if dims > dim {
        return Err(Failure::usage(format!("`--embedding-dims {dims}` is more than the model's {dim}")));
    }
    Ok(IngestOptions {
        embeddings: EmbeddingOptions {
            embeddings: match args.embeddings {
                EmbeddingsArg::Patch => Embeddings::Patch,
                EmbeddingsArg::Byte => Embeddings::Byte,
                EmbeddingsArg::None => Embeddings::None,
            },
            dtype: match args.embedding_dtype.unwrap_or(EmbeddingDtypeArg::F32) {
                EmbeddingDtypeArg::F32 => EmbeddingDtype::F32,
                EmbeddingDtypeArg::Bf16 => EmbeddingDtype::Bf16,
                EmbeddingDtypeArg::F16 => EmbeddingDtype::F16,
                EmbeddingDtypeArg::Int8 => EmbeddingDtype::Int8,
            },
            model_dim: dim,
            dims,
        },
        form: form(args),
        equal_shards: match (args.num_shards, args.shard_size) {
            (Some(n), _) => Some(ShardCount::Shards(u64::from(n))),
            (None, size) => size.map(ShardCount::Tokens),
        },
        modalities: args.decoding.modalities()?,
        modality: args.decoding.modality.modality(),
        limits: args.decoding.limits(),
        exclude: args.exclude.clone(),
        follow_links: args.follow,
        export_json: args.export_json,
        overwrite: args.overwrite,
        limit: args.limit,
        n_workers: match args.engine.threads {
            Some(threads) => usize::from(threads),
            None => args.engine.n_threads().max(model.engine.info().documents_at_once),
        },
        prefetch: usize::from(args.prefetch_buffer),
        settings: settings(args, model)?,
        ..IngestOptions::new(inputs(args), &output, args.patching.encoding(&model.config)?, dim)
    })
}

/// How outputs hold sources.
fn form(args: &IngestArgs) -> Form {
    match args.output_format {
        OutputFormat::Safetensors => Form::Documents,
        OutputFormat::WebDataset => Form::Shards(Shards {
            format: ShardFormat::WebDataset(match args.webdataset_compression {
                Some(CompressionArg::None) => ShardCompression::None,
                Some(CompressionArg::Zstd) => ShardCompression::Zstd,
                Some(CompressionArg::Gzip) | None => ShardCompression::Gzip,
            }),
            sources_per_shard: args.webdataset_shard_size.unwrap_or(1000) as usize,
        }),
        OutputFormat::Parquet => Form::Shards(Shards {
            format: ShardFormat::Parquet,
            sources_per_shard: args.webdataset_shard_size.unwrap_or(10_000) as usize,
        }),
    }
}

/// Options that would have no effect are refused.
fn refuse_unused(args: &IngestArgs) -> Result<(), Failure> {
    const OTHER_FORMAT: &str = "an `--output-format` that is not `webdataset`";
    let webdataset = args.output_format == OutputFormat::WebDataset;
    let shards = args.output_format != OutputFormat::Safetensors;
    let no_embeddings = args.embeddings == EmbeddingsArg::None;
    let decoding = &args.decoding;
    let no_text = !matches!(
        decoding.modality,
        ModalityArg::Auto | ModalityArg::Text | ModalityArg::Archive | ModalityArg::Document
    );
    #[cfg(feature = "tokenizers")]
    let idle_tokenizer = decoding.tokenizer.is_some() && decoding.text_segments != Some(SegmentsArg::Tokens);
    #[cfg(not(feature = "tokenizers"))]
    let idle_tokenizer = false;
    if let Some(option) = args.dataset.idle() {
        return Err(Failure::usage(format!("`{option}` has no effect without `--huggingface-dataset`")));
    }
    for (is_unused, option, reason) in [
        (no_embeddings && args.embedding_dtype.is_some(), "--embedding-dtype", "`--embeddings none`"),
        (no_embeddings && args.embedding_dims.is_some(), "--embedding-dims", "`--embeddings none`"),
        (no_embeddings && args.sphere, "--sphere", "`--embeddings none`: there is nothing to place"),
        (no_text && decoding.text_segments.is_some(), "--text-segments", "a `--modality` that is no text"),
        (no_text && decoding.text_views.is_some(), "--text-views", "a `--modality` that is no text"),
        (!shards && args.webdataset_shard_size.is_some(), "--webdataset-shard-size", "`--output-format safetensors`"),
        (shards && args.num_shards.is_some(), "--num-shards", "an `--output-format` that is not `safetensors`"),
        (shards && args.shard_size.is_some(), "--shard-size", "an `--output-format` that is not `safetensors`"),
        (!webdataset && args.webdataset_compression.is_some(), "--webdataset-compression", OTHER_FORMAT),
        (shards && args.export_json, "--export-json", "outputs that hold many sources"),
        (shards && args.sphere, "--sphere", "outputs that hold many sources; run `sphere fill` on files of one each"),
        (shards && args.entropy_histogram, "--entropy-histogram", "outputs that hold many sources"),
        (idle_tokenizer, "--tokenizer", "any segments but `--text-segments tokens`"),
    ] {
        if is_unused {
            return Err(Failure::usage(format!("`{option}` has no effect with {reason}")));
        }
    }
    Ok(())
}

/// What else decides about the bytes of the outputs: where and in which number type the model computes.
#[cfg(not(feature = "tokenizers"))]
fn settings(_: &IngestArgs, model: &LoadedModel) -> Result<Vec<(String, String)>, Failure> {
    Ok(engine_settings(model))
}

/// What else decides about the bytes of the outputs: where and in which number type the model computes, and the tokenizer.
#[cfg(feature = "tokenizers")]
fn settings(args: &IngestArgs, model: &LoadedModel) -> Result<Vec<(String, String)>, Failure> {
    use sha2::{Digest, Sha256};
    let mut settings = engine_settings(model);
    if let Some(path) = &args.decoding.tokenizer {
        let bytes = std::fs::read(path).map_err(|error| Failure::new("cannot read the tokenizer", error))?;
        let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        settings.push(("tokenizer_sha256".to_owned(), hash));
    }
    Ok(settings)
}

pub(crate) fn engine_settings(model: &LoadedModel) -> Vec<(String, String)> {
    let config = &model.config;
    // The model's name tells its weights apart, but not what they are computed with.
    let constants = format!(
        "{:?} window {} max_seqlen {} theta {} eps {}",
        config.attention,
        config.window(),
        config.max_seqlen,
        config.rope_theta,
        config.norm_eps
    );
    vec![("device".to_owned(), model.engine.info().device.clone()), ("model_constants".to_owned(), constants)]
}

/// The first Ctrl-C ends the run cleanly, the second at once.
pub(crate) fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancelled);
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            #[expect(clippy::exit, reason = "the user asked twice")]
            std::process::exit(130);
        }
        to_stderr("stopping after the current pieces; once more to stop at once");
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!(%error, "Ctrl-C will stop the run at once");
    }
    cancelled
}

/// Progress on standard error, as a bar when that is a terminal; failures always.
pub(crate) struct Progress {
    pub(crate) bar: ProgressBar,
    /// Where to leave how the run was started, once it is known that it can.
    record_in: Option<PathBuf>,
    n_ended: AtomicU64,
    n_sources: AtomicU64,
    quiet: bool,
    /// What written embeddings lose, for the statistics.
    fidelity: Mutex<Option<serde_json::Value>>,
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let shown = !quiet && io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr_with_hz(10) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} ETA {eta}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is valid").progress_chars("=> "));
        if shown {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self {
            bar,
            record_in: None,
            n_ended: AtomicU64::new(0),
            n_sources: AtomicU64::new(0),
            quiet,
            fidelity: Mutex::default(),
        }
    }
}

impl Observer for Progress {
    fn planned(&self, n_sources: Option<u64>, n_bytes: u64) {
        self.n_sources.store(n_sources.unwrap_or(0), Ordering::Relaxed);
        self.bar.set_length(n_bytes);
        if let Some(folder) = &self.record_in
            && let Err(failure) = crate::runs::record_start(folder)
        {
            self.bar.suspend(|| to_stderr(&format!("`runs retry` will not work: {failure}")));
        }
    }

    fn advanced(&self, n_bytes: u64) {
        self.bar.inc(n_bytes);
    }

    fn reduced(&self, projection: Option<&Projection>, fidelity: &Fidelity) {
        let report = json!({
            "dims": projection.map(Projection::dims), "kept_variance": projection.map(Projection::kept_variance),
            "lost_variance": fidelity.lost_variance, "recall_at_10": fidelity.recall_at_10, "n_rows": fidelity.n_rows,
        });
        *self.fidelity.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        if !self.quiet {
            let how = projection.map_or_else(String::new, |projection| format!(" in {} components", projection.dims()));
            let (lost, kept) = (100.0 * fidelity.lost_variance, 100.0 * fidelity.recall_at_10);
            let line = format!(
                "embeddings{how}: {lost:.2} % of the variance lost, {kept:.1} % of the ten nearest neighbours kept \
                 (of {} patches)",
                fidelity.n_rows
            );
            self.bar.suspend(|| to_stderr(&line));
        }
    }

    fn ended(&self, source: &PlannedSource, outcome: &Outcome) {
        let n_ended = self.n_ended.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_message(match self.n_sources.load(Ordering::Relaxed) {
            0 => n_ended.to_string(),
            n => format!("{n_ended}/{n}"),
        });
        match outcome {
            Outcome::Failed(error) => {
                self.bar.suspend(|| to_stderr(&format!("failed: {}: {}", source.source, error.chain())));
            }
            Outcome::Skipped(reason) => self.bar.suspend(|| tracing::info!(source = source.source, reason, "skipped")),
            Outcome::Done { problems, .. } => {
                if let Some(first) = problems.first() {
                    let more = problems.len() - 1;
                    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
                    self.bar.suspend(|| to_stderr(&format!("incomplete: {}: {first}{more}", source.source)));
                }
            }
            Outcome::Resumed => {}
        }
    }
}

fn summary_line(summary: &Summary, output: &Path) -> String {
    let Summary { n_done, n_resumed, n_skipped, n_failed, n_bytes, n_patches, interrupted, .. } = summary;
    let mut line = format!("{n_done} done ({n_bytes} bytes, {n_patches} patches)");
    for (count, what) in [(n_resumed, "done before"), (n_skipped, "skipped"), (n_failed, "failed")] {
        if *count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    let stopped = if *interrupted { "; stopped, run again to go on" } else { "" };
    format!("{line} -> {}{stopped}", output.display())
}

/// Seconds of each stage over all threads, and how much of that went on at once.
fn profile(summary: &Summary) -> String {
    let seconds = &summary.seconds;
    let stages =
        [("read", seconds.read), ("decode", seconds.decode), ("encode", seconds.encode), ("write", seconds.write)];
    let mut text = stages.map(|(stage, value)| format!("{stage:<8}{value:>10.3} s\n")).concat();
    let busy: f64 = stages.iter().map(|(_, value)| value).sum();
    let overlap = busy / seconds.wall.max(1e-9);
    let _ = writeln!(text, "{:<8}{:>10.3} s, {overlap:.2} stages at once", "wall", seconds.wall);
    text
}

/// `stats.json`: what the run did and how fast, for people and dashboards. It is no output: it holds times.
fn write_statistics(summary: &Summary, fidelity: Option<serde_json::Value>, output: &Path) -> Result<(), Failure> {
    let Summary { n_done, n_resumed, n_skipped, n_failed, n_bytes, n_patches, interrupted, seconds } = summary;
    let rate = |n: u64| n as f64 / seconds.wall.max(1e-9);
    let report = json!({
        "done": n_done, "done_before": n_resumed, "skipped": n_skipped, "failed": n_failed, "interrupted": interrupted,
        "n_bytes": n_bytes, "n_patches": n_patches,
        "mean_patch_bytes": (*n_patches > 0).then(|| *n_bytes as f64 / *n_patches as f64),
        "seconds": {"wall": seconds.wall, "read": seconds.read, "decode": seconds.decode, "encode": seconds.encode,
            "write": seconds.write},
        "bytes_per_second": rate(*n_bytes), "patches_per_second": rate(*n_patches), "embedding_fidelity": fidelity,
    });
    write_file(&output.join("stats.json"), format!("{report:#}\n").as_bytes())
}

/// One line a source, and how many bytes are still to be worked on: what the journal says of it (a file that changed since is seen only when it is read), its size, the
/// name of its outputs, and where it is.
pub(crate) fn describe_plan(report: &mut String, plan: &Plan, journal: Option<&Journal>) -> Result<u64, Failure> {
    let mut n_bytes_left = 0;
    let rows = journal.map(Journal::rows).transpose().map_err(failure)?.unwrap_or_default();
    let done: HashSet<&str> = rows.iter().filter(|row| row.status == Status::Done).map(|row| row.id.as_str()).collect();
    for source in &plan.sources {
        let state = match &source.kind {
            SourceKind::Skip(_) => "skip",
            SourceKind::Unreadable(_) => "fail",
            _ if done.contains(source.id.as_str()) => "done",
            _ => "todo",
        };
        n_bytes_left += if state == "todo" { source.n_bytes } else { 0 };
        let _ = writeln!(report, "{state}\t{}\t{}\t{}", source.n_bytes, source.id, source.source);
    }
    for input in &plan.datasets {
        let plan = input.dataset().plan();
        let rows = plan.n_rows().map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string());
        let (files, bytes) = (plan.files.len(), plan.n_bytes());
        n_bytes_left += bytes;
        let _ = writeln!(report, "dataset\t{bytes}\t{rows} rows in {files} files\t{}", input.name());
    }
    Ok(n_bytes_left)
}

fn describe_sizes(report: &mut String, plan: &Plan) {
    let mut sizes: Vec<u64> = plan.sources.iter().map(|source| source.n_bytes).collect();
    sizes.sort_unstable();
    let n = sizes.len();
    let _ = writeln!(report, "sources {n}, bytes {}", sizes.iter().sum::<u64>());
    if n == 0 {
        return;
    }
    let at = |percent: usize| sizes[(n - 1) * percent / 100];
    let _ = writeln!(
        report,
        "bytes a source: min {}, median {}, p90 {}, p99 {}, max {}, mean {:.1}",
        at(0),
        at(50),
        at(90),
        at(99),
        at(100),
        plan.n_bytes() as f64 / n as f64
    );
    let mut lower = 0;
    for upper in [0, 1 << 10, 1 << 13, 1 << 16, 1 << 20, 1 << 24, u64::MAX] {
        let count = sizes.iter().filter(|&&size| lower <= size && size <= upper).count();
        let range = if upper == u64::MAX { format!("{lower} and more") } else { format!("{lower} to {upper}") };
        let _ = writeln!(report, "{count:>10}  {range}");
        lower = upper.saturating_add(1);
    }
}

/// Over all finished outputs in the folder, those of earlier runs too.
fn write_histogram(args: &IngestArgs, output: &Path) -> Result<(), Failure> {
    let path: PathBuf = args.histogram_output.clone().unwrap_or_else(|| output.join("entropy_histogram.json"));
    let journal = Journal::open_existing(output).map_err(failure)?;
    let mut statistics = EntropyStatistics::default();
    for row in journal.rows().map_err(failure)?.iter().filter(|row| row.status == Status::Done) {
        for name in row.outputs.iter().filter(|name| name.ends_with(".safetensors")) {
            let unreadable = |error| Failure::new(format!("cannot read the entropies of `{name}`"), error);
            statistics.merge(&blt_ingest::output_entropies(&output.join(name)).map_err(unreadable)?);
        }
    }
    let (min, max) = statistics.range().unzip();
    let (mean, deviation) = statistics.mean_and_deviation().unzip();
    let percentiles: serde_json::Map<String, serde_json::Value> = [25, 50, 75, 90, 95, 99]
        .map(|p| (format!("p{p}"), json!(statistics.percentile(f64::from(p)))))
        .into_iter()
        .collect();
    let histogram = statistics.histogram(args.histogram_bins.unwrap_or(50) as usize).map(|histogram| {
        json!({"num_bins": histogram.counts.len(), "bin_width": histogram.bin_edges[1] - histogram.bin_edges[0],
            "bin_edges": histogram.bin_edges, "counts": histogram.counts})
    });
    let report = json!({
        "statistics": {"min": min, "max": max, "mean": mean, "std": deviation, "total_bytes": statistics.count()},
        "percentiles": percentiles, "histogram": histogram,
    });
    write_file(&path, format!("{report:#}\n").as_bytes())
}
