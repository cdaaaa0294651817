//! Queries about files that other libraries wrote, and answers as other libraries read them.

#![cfg(feature = "polars")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod queries;
mod queries_of_bad_files;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray};
use blt_query::{Answer, Format, Query, QueryError, Table, TableFile, answer};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

/// A folder of files and a folder of answers.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn answers(&self) -> PathBuf {
        self.path("answers")
    }

    /// Writes a file, with the folders it is in.
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The files `names` as a table. Their bytes are their identities.
    fn table(&self, format: Format, names: &[&str]) -> Table {
        let file = |name: &&str| {
            let path = self.path(name);
            TableFile { name: (*name).to_owned(), identity: format!("{name} {:?}", fs::read(&path).unwrap()), path }
        };
        Table { format, files: names.iter().map(file).collect() }
    }

    fn ask(&self, query: &Query, format: Format, names: &[&str]) -> Result<Answer, QueryError> {
        answer(query, &self.table(format, names), &self.answers())
    }

    #[track_caller]
    fn rows(&self, query: &Query, format: Format, names: &[&str]) -> Vec<Vec<String>> {
        rows(&self.ask(query, format, names).unwrap().path)
    }
}

fn filter(expression: &str) -> Query {
    Query::Filter(expression.to_owned())
}

fn sql(select: &str) -> Query {
    Query::Sql(select.to_owned())
}

fn write_parquet(path: &Path, columns: &[(&str, ArrayRef)], group_rows: usize) {
    let batch = RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (*name, Arc::clone(column)))).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The rows of a Parquet file as its reader shows them, behind the names of its columns.
fn rows(path: &Path) -> Vec<Vec<String>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut rows: Vec<Vec<String>> = vec![names];
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        for row in 0..batch.num_rows() {
            rows.push(batch.columns().iter().map(|column| cell(column, row)).collect());
        }
    }
    rows
}

fn cell(column: &ArrayRef, row: usize) -> String {
    let any = column.as_any();
    if column.is_null(row) {
        return "null".to_owned();
    }
    if let Some(texts) = any.downcast_ref::<StringArray>() {
        return texts.value(row).to_owned();
    }
    if let Some(texts) = any.downcast_ref::<StringViewArray>() {
        return texts.value(row).to_owned();
    }
    if let Some(texts) = any.downcast_ref::<arrow_array::LargeStringArray>() {
        return texts.value(row).to_owned();
    }
    if let Some(numbers) = any.downcast_ref::<Int64Array>() {
        return numbers.value(row).to_string();
    }
    if let Some(numbers) = any.downcast_ref::<arrow_array::UInt32Array>() {
        return numbers.value(row).to_string();
    }
    if let Some(numbers) = any.downcast_ref::<Float64Array>() {
        return numbers.value(row).to_string();
    }
    if let Some(truths) = any.downcast_ref::<BooleanArray>() {
        return truths.value(row).to_string();
    }
    format!("{:?}", column.slice(row, 1))
}
