//! Answering: from the folder of answers, or by Polars.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use polars::prelude::*;
use polars::sql::SQLContext;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{QueryError, sentence};
use crate::order;
use crate::query::Query;
use crate::table::{Format, Table};

/// Written into every name: another version of the answers' form, or of what computes them, is another file.
const FORM: &str = "blt-query 1, Polars ";

/// Rows of a row group. Whoever writes one holds it in memory; readers go through it page by page.
const GROUP_ROWS: usize = 1024;

/// What a process that was killed has left behind is removed when nobody has written to it for so long.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The end of the names of answers that are being written.
const PARTIAL: &str = ".partial";

/// The rows that a query gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// A Parquet file.
    pub path: PathBuf,
    /// Names its rows: a hash of the query and of the identities of the table's files.
    pub key: String,
}

/// Answers `query` about `table`, from `folder` if the answer is there. Otherwise it is written there, under its final name
/// only when it is whole and on disk. The same query about the same files gives the same bytes.
///
/// Polars trusts Parquet and Arrow files: a damaged one may end the process. Whoever does not know where files are from asks
/// in a process of its own.
///
/// ```
/// use blt_query::{Format, Query, Table, TableFile, answer};
///
/// # let folder = std::env::temp_dir().join(format!("blt-query-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// let path = folder.join("train.jsonl");
/// std::fs::write(&path, "{\"text\": \"one\", \"score\": 1}\n{\"text\": \"two\", \"score\": 2}\n")?;
///
/// let file = TableFile { name: "train.jsonl".to_owned(), path, identity: "its etag, digest, or path, size and time".to_owned() };
/// let table = Table { format: Format::JsonLines, files: vec![file] };
/// let answer = answer(&Query::Filter("score > 1".to_owned()), &table, &folder.join("answers"))?;
/// assert!(answer.path.is_file());
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Fails when the query is not understood, does not fit the columns, or reads more than the table; when files of the table
/// are damaged or differ in their columns; and when `folder` cannot be written to.
pub fn answer(query: &Query, table: &Table, folder: &Path) -> Result<Answer, QueryError> {
    let select = query.select()?;
    let key = key(&select, table);
    let path = folder.join(format!("{key}.parquet"));
    if path.is_file() {
        return Ok(Answer { path, key });
    }
    let written = |path: &Path| {
        let path = path.to_owned();
        move |source| QueryError::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(written(folder))?;
    remove_abandoned(folder);
    let partial = tempfile::Builder::new().prefix(".").suffix(PARTIAL).tempfile_in(folder).map_err(written(folder))?;
    // Polars panics at some damaged files.
    catch_unwind(AssertUnwindSafe(|| write(&select, table, partial.path()))).unwrap_or_else(|_| {
        Err(QueryError::Rows("a file is damaged in a way that breaks the reading library".to_owned()))
    })?;
    partial.as_file().sync_all().map_err(written(partial.path()))?;
    partial.persist(&path).map_err(|error| QueryError::Write { path: path.clone(), source: error.error })?;
    sync(folder).map_err(written(folder))?;
    Ok(Answer { path, key })
}

/// Each part behind its length, so that no two lists of parts are the same bytes.
fn key(select: &str, table: &Table) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(FORM);
    add(polars::VERSION);
    add(select);
    add(&format!("{:?}", table.format));
    table.files.iter().for_each(|file| add(&file.identity));
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(select: &str, table: &Table, path: &Path) -> Result<(), QueryError> {
    let (rows, schema) = table.scan()?;
    let columns: Vec<(String, String)> =
        schema.iter().map(|(name, kind)| (name.to_string(), kind.to_string())).collect();
    let is_untyped = matches!(table.format, Format::Delimited(_));
    let unfit = QueryError::unfit(&columns, is_untyped);
    // Asked about no rows first: what is wrong then is wrong with the query.
    let empty =
        ask(select, DataFrame::empty_with_schema(&schema).lazy()).and_then(LazyFrame::collect).map_err(&unfit)?;
    if empty.width() == 0 {
        return Err(QueryError::Answer("it has no column".to_owned()));
    }
    let answer = ask(select, rows).map_err(&unfit)?;
    let options = ParquetWriteOptions { row_group_size: Some(GROUP_ROWS), ..ParquetWriteOptions::default() };
    let target = PlRefPath::try_from_path(path).map_err(|error| QueryError::Answer(sentence(&error)))?;
    let sink = answer.sink(
        SinkDestination::File { target: SinkTarget::Path(target) },
        FileWriteFormat::Parquet(std::sync::Arc::new(options)),
        UnifiedSinkArgs { maintain_order: true, ..UnifiedSinkArgs::default() },
    );
    let sink = sink.map_err(|error| QueryError::Answer(sentence(&error)))?;
    match sink.collect_with_engine(Engine::Streaming) {
        Ok(_) => Ok(()),
        Err(PolarsError::IO { error, .. }) if error.kind() == io::ErrorKind::StorageFull => {
            Err(QueryError::Write { path: path.to_owned(), source: error.kind().into() })
        }
        Err(error) => Err(QueryError::Rows(sentence(&error))),
    }
}

/// What `select` gives, not yet computed, where the table has these rows.
fn ask(select: &str, rows: LazyFrame) -> PolarsResult<LazyFrame> {
    let mut context = SQLContext::new();
    context.register("self", rows);
    let mut answer = context.execute(select)?;
    order::keep(&mut answer.logical_plan);
    Ok(answer)
}

/// Nothing depends on whether it succeeds.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_partial = entry.file_name().to_str().is_some_and(|name| name.ends_with(PARTIAL));
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED));
        if is_partial && is_old {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A renamed file stays renamed after a power cut.
fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
