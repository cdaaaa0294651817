//! From a planned source to its document.

use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use blt_core::{DecodeError, Hint};
use blt_modalities::Decoded;

use crate::encode::EncodeError;
use crate::error::{IngestError, SourceError};
use crate::options::IngestOptions;
use crate::plan::{PlannedSource, SourceKind, plan};
use crate::source::LoadedSource;

/// Is told of a source, what came of it, and how many seconds that took.
pub type DecodedVisitor<'a> = &'a (dyn Fn(&PlannedSource, Result<Decoded, SourceError>, f64) + Sync);

/// Decodes every source of `options` and checks its views, and tells `visit` what came of it and how many seconds it took.
/// Nothing is written. Setting `cancelled` ends it; what was not decoded by then is not visited.
///
/// # Errors
///
/// Fails when no input exists.
pub fn decode_all(
    options: &IngestOptions,
    cancelled: &AtomicBool,
    visit: DecodedVisitor<'_>,
) -> Result<(), IngestError> {
    let plan = plan(options, None)?;
    let scratch = tempfile::tempdir().map_err(|source| IngestError::Output { path: std::env::temp_dir(), source })?;
    let mut options = options.clone();
    options.modalities.isolation.scratch = Some(scratch.path().to_owned());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..options.n_workers.clamp(1, plan.sources.len().max(1)) {
            scope.spawn(|| {
                while let Some(planned) = plan.sources.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let decoded = guarded(|| match load(&options, planned, scratch.path())? {
                        Ok(mut content) => Ok(Some(decode(&options, planned, &mut content, cancelled)?)),
                        Err(_) => Ok(None), // nothing to ingest
                    });
                    if cancelled.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Some(result) = decoded.transpose() {
                        visit(planned, result, start.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    Ok(())
}

/// The source's bytes, or why it is nothing to ingest.
pub(crate) fn load(
    options: &IngestOptions,
    planned: &PlannedSource,
    scratch: &Path,
) -> Result<Result<LoadedSource, &'static str>, SourceError> {
    let (max_bytes, in_memory) = (options.limits.max_bytes, options.in_memory_bytes);
    Ok(Ok(match &planned.kind {
        SourceKind::File(path) => LoadedSource::open(path, max_bytes, in_memory)?,
        SourceKind::Text(text) => LoadedSource::from_bytes(text.clone().into_bytes()),
        SourceKind::Stdin => {
            // Kept in a file, so that it can be loaded and read more than once whatever its size.
            let path = scratch.join("stdin");
            if !path.exists() {
                let partial = scratch.join("stdin.partial");
                let copied = File::create(&partial).and_then(|mut file| {
                    io::copy(&mut io::stdin().lock().take(max_bytes.saturating_add(1)), &mut file)?;
                    fs::rename(&partial, &path)
                });
                copied.map_err(SourceError::Read)?;
            }
            LoadedSource::open(&path, max_bytes, in_memory)?
        }
        // It was handed over with its bytes, or with an error.
        SourceKind::Row => return Err(SourceError::Read(io::Error::other("the row was not read"))),
        SourceKind::Skip(reason) => return Ok(Err(reason)),
        SourceKind::Unreadable(error) => return Err(retold(error)),
    }))
}

/// Decodes a planned source that was loaded.
pub(crate) fn decode(
    options: &IngestOptions,
    planned: &PlannedSource,
    content: &mut LoadedSource,
    cancelled: &AtomicBool,
) -> Result<Decoded, SourceError> {
    let path = content.path();
    let hint = Hint { name: &planned.name, path: path.as_deref(), ..Hint::default() };
    let modality = options.modality.or(planned.modality);
    options.modalities.decode_unless(cancelled, content.reader(), &hint, modality, &options.limits).map_err(|error| {
        match error {
            DecodeError::Cancelled => SourceError::Encode(EncodeError::Cancelled),
            error => SourceError::Decode(error),
        }
    })
}

/// Runs `work`; a panic inside it becomes an error of the source it was working on.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, SourceError>) -> Result<T, SourceError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(SourceError::Panic(text.unwrap_or("unknown").to_owned()))
    })
}

/// An error of the plan, for the source it belongs to; only its text can be had twice.
fn retold(error: &SourceError) -> SourceError {
    SourceError::Read(io::Error::other(innermost(error).to_string()))
}

fn innermost<'e>(error: &'e (dyn std::error::Error + 'static)) -> &'e (dyn std::error::Error + 'static) {
    error.source().map_or(error, innermost)
}
