//! Reading a dataset, without a model: what is left are files, rows, and, if outputs are wanted, everything that `ingest`
//! does but the model's part.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use blt_core::{EngineError, EngineInfo, EntropyEngine, RowOutput, Session, Signals, TokenId, Want};
use blt_dataset::{Content, Dataset, LocalFolder, Plan, PlanOptions, TableOptions, resolve};
use blt_ingest::{DatasetInput, Encoding, Form, IngestOptions, Input, ShardFormat, Shards, Silent};
use cpu_time::ProcessTime;
use serde_json::{Value, json};

use crate::peak_bytes;

/// Reads the text of all rows of the split `train` in `folder`. With `output`, what is read becomes Parquet without
/// embeddings there, with the entropies of [`NullEngine`].
pub(crate) fn speed(folder: &Path, output: Option<PathBuf>, threads: usize) -> Result<Value, Box<dyn Error>> {
    let files = LocalFolder::new(folder);
    let config = resolve(&files.list()?, "", None)?;
    let plan = Plan::new(&files, &config, &PlanOptions::default())?;
    let dataset = Dataset::new(Arc::new(files), plan, config.features, TableOptions::default());
    let (started, processor) = (Instant::now(), ProcessTime::now());
    let (n_rows, n_bytes) = match output {
        None => read(&dataset)?,
        Some(output) => {
            let input = DatasetInput::new("dataset", dataset, None);
            let mut options =
                IngestOptions::new(vec![Input::Dataset(Arc::new(input))], &output, Encoding::global(1.0), DIM);
            options.form = Form::Shards(Shards { format: ShardFormat::Parquet, sources_per_shard: 10_000 });
            options.embeddings.embeddings = blt_output::Embeddings::None;
            options.n_workers = threads.max(1);
            let engine = NullEngine::new();
            let summary = blt_ingest::run(&engine, &options, &Silent, &AtomicBool::new(false))?;
            (summary.n_done, summary.n_bytes)
        }
    };
    Ok(json!({
        "n_rows": n_rows, "n_bytes": n_bytes, "seconds": started.elapsed().as_secs_f64(),
        "cpu_seconds": processor.elapsed().as_secs_f64(), "peak_bytes": peak_bytes(),
    }))
}

fn read(dataset: &Dataset) -> Result<(u64, u64), Box<dyn Error>> {
    let (mut n_rows, mut n_bytes) = (0, 0);
    for unit in &dataset.plan().units {
        for document in dataset.documents(unit)? {
            n_rows += 1;
            for part in document?.parts {
                n_bytes += match part.content {
                    Content::Text(text) => text.len() as u64,
                    Content::Bytes(bytes) => bytes.len() as u64,
                    Content::Reference(_) => 0,
                };
            }
        }
    }
    Ok((n_rows, n_bytes))
}

const DIM: usize = 8;

/// Computes nothing: entropies are 2 nats behind a full stop and 0 elsewhere, so that patches are sentences; states are zeros.
#[derive(Debug)]
struct NullEngine(EngineInfo);

impl NullEngine {
    fn new() -> Self {
        Self(EngineInfo {
            model: "null".to_owned(),
            dim: DIM,
            max_seqlen: 8192,
            window: 512,
            device: "none".to_owned(),
            tokens_at_once: 8192,
            documents_at_once: 1,
        })
    }
}

impl EntropyEngine for NullEngine {
    fn info(&self) -> &EngineInfo {
        &self.0
    }

    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(NullSession)
    }

    fn row(&self, tokens: &[TokenId]) -> Result<RowOutput, EngineError> {
        Ok(RowOutput { logits: Vec::new(), signals: signals(tokens, Want::All) })
    }

    fn batch(&self, documents: &[&[TokenId]], want: Want) -> Result<Vec<Signals>, EngineError> {
        Ok(documents.iter().map(|tokens| signals(tokens, want)).collect())
    }
}

struct NullSession;

impl Session for NullSession {
    fn push(&mut self, tokens: &[TokenId], want: Want) -> Result<Signals, EngineError> {
        Ok(signals(tokens, want))
    }

    fn reset(&mut self) {}
}

fn signals(tokens: &[TokenId], want: Want) -> Signals {
    let stop = blt_core::BltTokenizer::default().encode_bytes(b".")[1]; // behind the start of the text
    let n_norms = if want == Want::Entropies { 0 } else { tokens.len() };
    let n_states = if want == Want::All { tokens.len() * DIM } else { 0 };
    Signals {
        entropies: tokens.iter().map(|&token| if token == stop { 2.0 } else { 0.0 }).collect(),
        norms: vec![1.0; n_norms],
        embeddings: vec![0.0; n_states],
    }
}
