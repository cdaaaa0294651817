//! `--embedding-dims`: a projection fitted on a sample of the run's own patches and kept with its outputs.

use std::io;
use std::path::Path;
use std::sync::Arc;

use blt_core::{Patch, ViewData};
use blt_output::{EmbeddingDtype, Embeddings, Projection, ProjectionFit, fidelity, publish, sync_directory};

use crate::decoding::{decode, guarded, load};
use crate::encode::{EmbeddingsOf, PatchSink};
use crate::error::{IngestError, SourceError};
use crate::journal::{Journal, OutputFile};
use crate::plan::{Plan, PlannedSource};
use crate::sequence::{Item, Sequence};
use crate::work::{Work, hex};

/// Where the projection of a run lies in its output folder. No output of a source begins with `@`.
pub const PROJECTION_FILE: &str = "@projection.safetensors";

/// The sample is of so many sources at most, spread over the plan.
const N_SAMPLED_SOURCES: usize = 64;
/// So many patches at most, the same number of each source, from its start.
const N_SAMPLED_PATCHES: usize = 1 << 14;
/// With so many of them the result is compared.
const N_COMPARED_PATCHES: usize = 1 << 10;

/// The projection of a run, if it has one: the one that is there already, or one that is fitted and published now.
pub(crate) fn projection(
    work: &Work<'_>,
    plan: &Plan,
    journal: &Journal,
) -> Result<Option<Arc<Projection>>, IngestError> {
    let options = &work.options.embeddings;
    if options.embeddings == Embeddings::None {
        return Ok(None);
    }
    if options.dims == options.model_dim {
        // Each row has its own scale, so there is nothing to fit; but what 8 bits lose is told once.
        if options.dtype == EmbeddingDtype::Int8 && journal.output_files()?.is_empty() {
            let compared = sample(work, plan).compared;
            let unfit = |source| IngestError::Output { path: work.options.output.clone(), source };
            if !compared.is_empty() && !work.is_stopped() {
                let lost = fidelity(&compared, options.model_dim, options.dtype, None).map_err(unfit)?;
                work.observer.reduced(None, &lost);
            }
        }
        return Ok(None);
    }
    let path = work.options.output.join(PROJECTION_FILE);
    let output = |source| IngestError::Output { path: path.clone(), source };
    if journal.output_file(PROJECTION_FILE)?.is_some() {
        let found = Projection::read(&path).map_err(output)?;
        if (found.model_dim(), found.dims()) != (options.model_dim, options.dims) {
            return Err(output(io::Error::other("the projection is of another run")));
        }
        return Ok(Some(Arc::new(found)));
    }
    let sampled = sample(work, plan);
    if work.is_stopped() {
        return Ok(None);
    }
    let projection = sampled.fit.finish(options.dims).map_err(IngestError::Projection)?;
    let fidelity = fidelity(&sampled.compared, options.model_dim, options.dtype, Some(&projection)).map_err(output)?;
    work.observer.reduced(Some(&projection), &fidelity);
    let receipt = projection.write(&work.partial.join(PROJECTION_FILE)).map_err(output)?;
    publish(&receipt.path, &path).and_then(|()| sync_directory(&work.options.output)).map_err(output)?;
    let file = OutputFile { name: PROJECTION_FILE.to_owned(), n_bytes: receipt.n_bytes, sha256: hex(&receipt.sha256) };
    journal.record(&[], &[file], &[])?;
    Ok(Some(Arc::new(projection)))
}

/// Patches of sources that are spread over the plan. What fails here fails again, and is told, when it is worked on.
fn sample(work: &Work<'_>, plan: &Plan) -> Sample {
    let dim = work.options.embeddings.model_dim;
    let mut sample = Sample { fit: ProjectionFit::new(dim), compared: Vec::new(), n_left: 0, n_compared_left: 0 };
    let listed = spread(&plan.sources);
    // Rows are read in order, so the first ones stand for all.
    let rows =
        Sequence::of_rows(plan, work.cancelled).take(if plan.datasets.is_empty() { 0 } else { N_SAMPLED_SOURCES });
    let items = listed.map(|planned| Item { planned: Arc::clone(planned), content: None }).chain(rows);
    let n_sources =
        plan.sources.len().min(N_SAMPLED_SOURCES) + if plan.datasets.is_empty() { 0 } else { N_SAMPLED_SOURCES };
    for item in items {
        if work.is_stopped() {
            break;
        }
        (sample.n_left, sample.n_compared_left) = (N_SAMPLED_PATCHES / n_sources, N_COMPARED_PATCHES / n_sources);
        let _ = guarded(|| encode_start(work, item, work.partial, &mut sample));
    }
    sample
}

/// At most [`N_SAMPLED_SOURCES`] of them, from all over.
fn spread(sources: &[Arc<PlannedSource>]) -> impl Iterator<Item = &Arc<PlannedSource>> {
    let n = sources.len().min(N_SAMPLED_SOURCES);
    (0..n).map(move |i| &sources[i * sources.len() / n])
}

/// Hands patches of a source to `sample` until that has enough.
fn encode_start(
    work: &Work<'_>,
    Item { planned, content }: Item,
    scratch: &Path,
    sample: &mut Sample,
) -> Result<(), SourceError> {
    let mut content = match content {
        Some(content) => content?,
        None => match load(work.options, &planned, scratch)? {
            Ok(content) => content,
            Err(_) => return Ok(()),
        },
    };
    let document = decode(work.options, &planned, &mut content, work.cancelled)?.document;
    for view in &document.views {
        let is_empty = matches!(&view.data, ViewData::Owned(bytes) if bytes.is_empty());
        if sample.n_left > 0 && !is_empty {
            work.encode_view_into(view, &mut content, sample)?;
        }
    }
    Ok(())
}

struct Sample {
    fit: ProjectionFit,
    /// Rows of some of the patches.
    compared: Vec<f32>,
    /// How many more patches of the source are taken.
    n_left: usize,
    n_compared_left: usize,
}

impl PatchSink for Sample {
    fn bytes(&mut self, _: &[u8], _: &[f32], _: &[f32], _: &[f32]) -> io::Result<()> {
        Ok(())
    }

    fn patch(&mut self, patch: &Patch<'_>) -> io::Result<()> {
        self.n_left = self.n_left.checked_sub(1).ok_or_else(|| io::Error::other("enough"))?;
        self.fit.add(patch.embedding);
        if self.n_compared_left > 0 {
            self.n_compared_left -= 1;
            self.compared.extend_from_slice(patch.embedding);
        }
        Ok(())
    }

    fn wants_embeddings(&self) -> EmbeddingsOf {
        EmbeddingsOf::Patches
    }
}
