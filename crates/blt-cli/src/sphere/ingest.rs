//! `blt-cli sphere ingest`: from sources to a corpus, stage by stage.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use blt_corpus::{
    ENCODE_FOLDER, Encoded, EncodedDocument, Encoder, HarmonicsOptions, LeftOut, PipelineError, PipelineObserver,
    PipelineOptions, PipelineSummary, ReadOptions, Stage, Step, outdated, run_pipeline,
};
use blt_ingest::{IngestError, IngestOptions, Input, Journal, Status};
use clap::{Args, FromArgMatches};

use super::args::{SphereIngestArgs, StageArg};
use super::fill::tell_left_out;
use super::placing::exports;
use crate::Ending;
use crate::engine::LoadedModel;
use crate::failure::Failure;
use crate::ingest::{Progress, describe_plan, engine_settings, stop_on_ctrl_c};
use crate::output::{to_stderr, write_all};

pub(super) fn run(args: &SphereIngestArgs, quiet: bool) -> Result<Ending, Failure> {
    let options = options(args)?;
    refuse_unused(args, &options.stages)?;
    let encodes = options.stages.contains(&Stage::Encode);
    let sources = sources(args, encodes)?;
    super::use_threads(args.engine.threads.map_or(0, usize::from));
    let work = encodes
        .then(|| {
            let model = args.engine.load()?;
            let ingest = ingest_options(args, &model, sources, &options.output)?;
            Ok::<_, Failure>((model, ingest))
        })
        .transpose()?;
    if args.dry_run {
        return dry_run(&options, work.as_ref());
    }
    let cancelled = stop_on_ctrl_c();
    let mut encoder = Sources { work, quiet, cancelled: Arc::clone(&cancelled) };
    let mut watcher = Watcher { quiet };
    let summary = run_pipeline(&options, &mut encoder, &mut watcher, &cancelled).map_err(failure)?;
    if !quiet {
        to_stderr(&summary_line(&summary, &options.output));
    }
    Ok(match summary {
        PipelineSummary { interrupted: true, .. } => Ending::Interrupted,
        PipelineSummary { n_failed: 0, .. } => Ending::Complete,
        _ => Ending::SomeFailed,
    })
}

fn failure(error: PipelineError) -> Failure {
    let hint = match &error {
        PipelineError::Encode(source) => source.downcast_ref::<IngestError>().and_then(IngestError::hint),
        other => other.hint(),
    };
    Failure::new("cannot make the corpus", error).hint(hint)
}

fn options(args: &SphereIngestArgs) -> Result<PipelineOptions, Failure> {
    let exports = exports(&args.export);
    if !exports.npz && !exports.safetensors {
        return Err(Failure::usage("`--export json` alone leaves no embeddings for an index")
            .hint(Some("add `npz` or `safetensors`")));
    }
    let mut stages: Vec<Stage> = args.stages.iter().map(|stage| stage.stage()).collect();
    if stages.is_empty() {
        stages = Stage::ALL.to_vec();
    }
    Ok(PipelineOptions {
        output: args.output.clone(),
        stages,
        read: ReadOptions::default(),
        place: args.fill.options()?,
        exports,
        roots: args.roots.options(),
        harmonics: HarmonicsOptions { band_limit: args.band_limit as usize, ..HarmonicsOptions::default() },
    })
}

/// Options of stages that are not asked for would have no effect, and are refused.
fn refuse_unused(args: &SphereIngestArgs, stages: &[Stage]) -> Result<(), Failure> {
    let command = SphereIngestArgs::augment_args(clap::Command::new("ingest"));
    let matches = command.get_matches_from(["ingest", "--stages", "encode"]);
    let mut defaults = SphereIngestArgs::from_arg_matches(&matches).expect("no other argument is required");
    // All stages use threads.
    defaults.engine.threads = args.engine.threads;
    for (stage, is_default, what) in [
        (Stage::Encode, is_same(&args.engine, &defaults.engine), "options of the model"),
        (Stage::Encode, is_same(&args.patching, &defaults.patching), "options of patching"),
        (Stage::Encode, is_same(&args.decoding, &defaults.decoding), "options of decoding"),
        (Stage::Sphere, is_same(&args.fill, &defaults.fill), "options of radii, directions, forces and the seed"),
        (Stage::Sphere, is_same(&args.export, &defaults.export), "forms of the sphere"),
        (Stage::Roots, is_same(&args.roots, &defaults.roots), "options of the index"),
        (Stage::Harmonics, args.band_limit == defaults.band_limit, "band limits"),
    ] {
        if !stages.contains(&stage) && !is_default {
            return Err(Failure::usage(format!("{what} have no effect without the stage `{}`", stage.name()))
                .hint(Some("add it to `--stages`, or leave the options out")));
        }
    }
    Ok(())
}

/// Whether arguments say the same: what they print as tells all of them.
fn is_same<T: std::fmt::Debug>(a: &T, b: &T) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

impl StageArg {
    fn stage(self) -> Stage {
        Stage::ALL[self as usize]
    }
}

/// What is encoded, if anything is.
fn sources(args: &SphereIngestArgs, encodes: bool) -> Result<Vec<Input>, Failure> {
    let mut inputs: Vec<Input> = args
        .paths
        .iter()
        .chain(&args.local_dir)
        .map(|path| if path == Path::new("-") { Input::Stdin } else { Input::Path(path.clone()) })
        .collect();
    inputs.extend(args.text.iter().cloned().map(Input::Text));
    if let Some(option) = args.dataset.idle() {
        return Err(Failure::usage(format!("`{option}` has no effect without `--huggingface-dataset`")));
    }
    let has_sources = !inputs.is_empty() || args.dataset.is_named();
    let has_options = !args.exclude.is_empty() || args.follow || args.limit.is_some();
    if !encodes && (has_sources || has_options) {
        return Err(Failure::usage("sources have no effect without the stage `encode`")
            .hint(Some("add `encode` to `--stages`, or leave the sources out")));
    }
    if encodes && !has_sources {
        return Err(Failure::usage("the stage `encode` needs sources")
            .hint(Some("pass files, `--local-dir`, `--text` or `--hf-dataset`")));
    }
    Ok(inputs)
}

fn ingest_options(
    args: &SphereIngestArgs,
    model: &LoadedModel,
    sources: Vec<Input>,
    output: &Path,
) -> Result<IngestOptions, Failure> {
    let encoding = args.patching.encoding(&model.config)?;
    let folder = output.join(ENCODE_FOLDER);
    let (mut sources, mut settings) = (sources, engine_settings(model));
    if let Some(found) = args.dataset.find(&args.engine.hub, args.limit, None)? {
        sources.push(Input::Dataset(found.input));
        settings.extend(found.settings);
    }
    Ok(IngestOptions {
        modalities: args.decoding.modalities()?,
        modality: args.decoding.modality.modality(),
        limits: args.decoding.limits(),
        exclude: args.exclude.clone(),
        follow_links: args.follow,
        limit: args.limit,
        n_workers: match args.engine.threads {
            Some(threads) => usize::from(threads),
            None => args.engine.n_threads().max(model.engine.info().documents_at_once),
        },
        settings,
        ..IngestOptions::new(sources, &folder, encoding, model.engine.info().dim)
    })
}

/// What encoding would look at, one line a source, and which stages would follow.
fn dry_run(options: &PipelineOptions, work: Option<&(LoadedModel, IngestOptions)>) -> Result<Ending, Failure> {
    let mut report = String::new();
    if let Some((model, ingest)) = work {
        let (plan, journal) = blt_ingest::preview(&*model.engine, ingest)
            .map_err(|error| failure(PipelineError::Encode(Box::new(error))))?;
        describe_plan(&mut report, &plan, journal.as_ref())?;
    }
    let outdated = outdated(options).map_err(failure)?;
    for stage in options.stages.iter().filter(|stage| **stage != Stage::Encode) {
        let state = if outdated.contains(stage) { "todo" } else { "done" };
        report.push_str(&format!("{state}\tstage\t{}\n", stage.name()));
    }
    write_all(report.as_bytes())
}

fn summary_line(summary: &PipelineSummary, output: &Path) -> String {
    let PipelineSummary { n_documents, n_failed, n_patches, interrupted } = summary;
    let failed = if *n_failed > 0 { format!(", {n_failed} failed") } else { String::new() };
    let stopped = if *interrupted { "; stopped, run again to go on" } else { "" };
    format!("{n_documents} documents ({n_patches} patches){failed} -> {}{stopped}", output.display())
}

/// Encodes sources with a model, if there is one.
struct Sources {
    work: Option<(LoadedModel, IngestOptions)>,
    quiet: bool,
    cancelled: Arc<AtomicBool>,
}

impl Encoder for Sources {
    fn encode(&mut self, _: &Path) -> Result<Encoded, Box<dyn Error>> {
        let Some((model, options)) = &mut self.work else { return Ok(Encoded::All) };
        let progress = Progress::new(self.quiet);
        let run = |options: &IngestOptions| blt_ingest::run(&*model.engine, options, &progress, &self.cancelled);
        let mut summary = run(options);
        if let Err(IngestError::Settings(differences)) = &summary {
            // What other settings made is of no use to this corpus.
            tracing::warn!("everything is encoded anew: {}", differences.join(", "));
            options.overwrite = true;
            summary = run(options);
            options.overwrite = false;
        }
        progress.bar.finish_and_clear();
        Ok(if summary?.interrupted { Encoded::Stopped } else { Encoded::All })
    }

    fn settings(&mut self, folder: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
        Ok(Journal::open_existing(folder)?.settings()?.into_iter().collect())
    }

    fn documents(&mut self, folder: &Path) -> Result<Vec<EncodedDocument>, Box<dyn Error>> {
        let rows = Journal::open_existing(folder)?.rows()?;
        let wanted = rows.into_iter().filter(|row| row.status != Status::Skipped);
        let document = |row: blt_ingest::Row| EncodedDocument {
            id: row.id,
            sha256: row.sha256,
            n_bytes: row.n_bytes,
            n_patches: row.n_patches,
            error: (row.status == Status::Failed).then(|| row.error.unwrap_or_else(|| "unknown".to_owned())),
        };
        Ok(wanted.map(document).collect())
    }
}

struct Watcher {
    quiet: bool,
}

impl PipelineObserver for Watcher {
    fn at(&mut self, step: Step) {
        match step {
            Step::Begun(stage) => tracing::info!(stage = stage.name(), "begun"),
            Step::Kept(stage) => tracing::info!(stage = stage.name(), "up to date"),
            Step::Written(stage) => tracing::debug!(stage = stage.name(), "written"),
            Step::Done(stage) => tracing::info!(stage = stage.name(), "done"),
            Step::Assembled => tracing::info!("database written"),
        }
    }

    fn left_out(&mut self, patches: &[LeftOut]) {
        if !self.quiet {
            tell_left_out(patches);
        }
    }
}
