//! The files of a table as Polars reads them: by their own names, never as patterns, and with the columns that they all have.

use std::path::{Path, PathBuf};

use polars::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{QueryError, sentence};

/// How rows lie in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Arrow's own format as a file (Feather 2), not as a stream.
    Arrow,
    /// A JSON object a line, packed or not. Types are those of all lines.
    JsonLines,
    /// Values between such separators, packed or not; the first row names the columns, all of which are text.
    Delimited(u8),
}

/// The rows of files, one behind the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// That of all files.
    pub format: Format,
    /// In order.
    pub files: Vec<TableFile>,
}

/// A file of a table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TableFile {
    /// What it is called in messages.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Tells its bytes from those of all others: an etag, a digest, or its path, size and time of change.
    pub identity: String,
}

impl Table {
    /// All rows, not yet read, and the columns.
    pub(crate) fn scan(&self) -> Result<(LazyFrame, SchemaRef), QueryError> {
        let mut schemas = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let frame = self.frame(&[path(file)?], None).and_then(|mut frame| frame.collect_schema());
            schemas.push(frame.map_err(QueryError::file(&file.name))?);
        }
        let paths = self.files.iter().map(path).collect::<Result<Vec<_>, _>>()?;
        let schema = self.common(schemas)?;
        let frame = self.frame(&paths, Some(&schema)).map_err(|error| QueryError::Rows(sentence(&error)))?;
        Ok((frame, schema))
    }

    /// The rows of files at `paths`, whose columns are `schema` where the format itself does not say.
    fn frame(&self, paths: &[PlRefPath], schema: Option<&SchemaRef>) -> PolarsResult<LazyFrame> {
        let sources = ScanSources::Paths(paths.iter().cloned().collect());
        let frame = match self.format {
            Format::Parquet => LazyFrame::scan_parquet_sources(sources, ScanArgsParquet::default()),
            Format::Arrow => {
                LazyFrame::scan_ipc_sources(sources, IpcScanOptions::default(), UnifiedScanArgs::default())
            }
            Format::JsonLines => LazyJsonLineReader::new_with_sources(sources)
                .with_infer_schema_length(None)
                .with_schema(schema.cloned())
                .finish(),
            Format::Delimited(separator) => LazyCsvReader::new_with_sources(sources)
                .with_separator(separator)
                .with_infer_schema_length(Some(0))
                .with_missing_is_null(false)
                .finish(),
        };
        frame.map(literally)
    }

    /// The columns of all files. JSON has what any file has, in the wider of two types; elsewhere files have to agree on names.
    fn common(&self, schemas: Vec<SchemaRef>) -> Result<SchemaRef, QueryError> {
        let mut files = self.files.iter().zip(schemas);
        let Some((first, mut all)) = files.next() else { return Ok(SchemaRef::default()) };
        for (file, schema) in files {
            let differs = |why: String| {
                let (file, first) = (file.name.clone(), first.name.clone());
                QueryError::OtherColumns { file, first, why }
            };
            if self.format == Format::JsonLines {
                all = wider(&all, &schema).map_err(|error| differs(sentence(&error)))?;
            } else if let Some((found, expected)) = difference(&schema, &all) {
                let shown = |name: Option<&PlSmallStr>| name.map_or("none".to_owned(), |name| format!("`{name}`"));
                return Err(differs(format!("there is {} where there should be {}", shown(found), shown(expected))));
            }
        }
        Ok(all)
    }
}

/// The columns of both, each of a type that holds the values of both.
fn wider(a: &SchemaRef, b: &SchemaRef) -> PolarsResult<SchemaRef> {
    let both = [a, b].map(|schema| DataFrame::empty_with_schema(schema).lazy());
    concat(both, UnionArgs { diagonal: true, to_supertypes: true, ..UnionArgs::default() })?.collect_schema()
}

/// The first names that are not the same; none where one of the two ends.
fn difference<'a>(a: &'a Schema, b: &'a Schema) -> Option<(Option<&'a PlSmallStr>, Option<&'a PlSmallStr>)> {
    let (mut a, mut b) = (a.iter_names(), b.iter_names());
    loop {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (a, b) if a != b => return Some((a, b)),
            _ => {}
        }
    }
}

/// Paths are no patterns, and folders in them no columns.
fn literally(mut frame: LazyFrame) -> LazyFrame {
    if let DslPlan::Scan { unified_scan_args, .. } = &mut frame.logical_plan {
        unified_scan_args.glob = false;
        unified_scan_args.hive_options = polars::io::HiveOptions::new_disabled();
    }
    frame
}

fn path(file: &TableFile) -> Result<PlRefPath, QueryError> {
    PlRefPath::try_from_path(Path::new(&file.path)).map_err(QueryError::file(&file.name))
}
