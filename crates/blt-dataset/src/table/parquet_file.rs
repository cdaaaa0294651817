//! Parquet, read page by page: neither a row group nor a column of one is ever in memory as a whole.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};

use super::arrow_cells::{cells, kind_of, row, unsupported};
use super::{Column, Cutter, Piece, Row, Rows, Table};
use crate::blocks::{BlockOptions, Blocks};
use crate::error::TableError;
use crate::features::Features;
use crate::read_at::ReadAt;

/// Rows are decoded in batches of about so many bytes.
const BATCH_BYTES: u64 = 4 << 20;
const MAX_BATCH_ROWS: u64 = 1024;

/// A larger row group can be cut at its pages, where the file has an index of them.
const LARGE_ROW_GROUP_BYTES: u64 = 8 << 20;

/// The footer of a file.
pub(super) struct Index {
    metadata: ArrowReaderMetadata,
    /// Where row groups begin, and behind the last how many rows there are.
    first_rows: Vec<u64>,
}

impl Index {
    pub(super) fn read(file: &str, source: &Arc<dyn ReadAt>) -> Result<Self, TableError> {
        let blocks = Blocks::new(Arc::clone(source), BlockOptions::scattered());
        let read = |policy| {
            let reader = ParquetMetaDataReader::new().with_column_index_policy(PageIndexPolicy::Skip);
            reader.with_offset_index_policy(policy).parse_and_finish(&blocks)
        };
        let read = |policy| guarded(|| read(policy)).map_err(malformed(file));
        let mut footer = read(PageIndexPolicy::Skip)?;
        if footer.row_groups().iter().any(|group| size(group, None) > LARGE_ROW_GROUP_BYTES) {
            footer = read(PageIndexPolicy::Optional)?;
        }
        let mut first_rows = vec![0_u64];
        for group in footer.row_groups() {
            let n_rows = u64::try_from(group.num_rows()).ok();
            let next = n_rows.and_then(|n| first_rows.last()?.checked_add(n));
            first_rows.push(next.ok_or_else(|| malformed(file)("a row group has an impossible number of rows"))?);
        }
        let metadata = guarded(|| with_views(Arc::new(footer))).map_err(malformed(file))?;
        for field in metadata.schema().fields() {
            if let Some(what) = unsupported(field.data_type()) {
                let what = format!("the column `{}` of type {what}", field.name());
                return Err(TableError::Unsupported { file: file.to_owned(), what });
            }
        }
        Ok(Self { metadata, first_rows })
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.first_rows.last().copied().unwrap_or(0)
    }

    pub(super) fn columns(&self) -> Vec<Column> {
        let fields = self.metadata.schema().fields().iter();
        fields.map(|field| Column { name: field.name().clone(), kind: kind_of(field.data_type()) }).collect()
    }

    pub(super) fn features(&self) -> Features {
        let entries = self.metadata.metadata().file_metadata().key_value_metadata().into_iter().flatten();
        let json = entries.filter(|entry| entry.key == "huggingface").find_map(|entry| entry.value.as_deref());
        json.map(Features::of_schema_metadata).unwrap_or_default()
    }

    /// Row groups together, or one of them in parts where it can be entered in the middle.
    pub(super) fn pieces(&self, wanted: &[usize], target_bytes: u64, n_wanted: u64) -> Vec<Piece> {
        let mut cutter = Cutter::new(target_bytes);
        let groups = self.metadata.metadata().row_groups();
        for (i, group) in groups.iter().enumerate() {
            if cutter.n_rows() >= n_wanted {
                break;
            }
            let (n_rows, n_bytes) = (self.first_rows[i + 1] - self.first_rows[i], size(group, Some(wanted)));
            let has_pages = self.metadata.metadata().page_index().is_some() && has_page_index(group, wanted);
            let n_parts = if has_pages { n_bytes.div_ceil(target_bytes).min(n_rows).max(1) } else { 1 };
            for part in 0..n_parts {
                let share = |whole: u64| {
                    let upto = |part: u64| (u128::from(whole) * u128::from(part) / u128::from(n_parts)) as u64;
                    upto(part + 1) - upto(part)
                };
                cutter.push(share(n_rows), 0, share(n_bytes));
            }
        }
        cutter.pieces.retain(|piece| piece.n_rows != Some(0));
        cutter.pieces
    }

    pub(super) fn rows(&self, table: &Table, range: Range<u64>, wanted: &[usize]) -> Result<Rows, TableError> {
        let (file, blocks) = (&*table.file, &table.blocks);
        let range = range.start..range.end.min(self.n_rows());
        if range.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        let overlaps = |&i: &usize| self.first_rows[i] < range.end && range.start < self.first_rows[i + 1];
        let groups: Vec<usize> = (0..self.first_rows.len() - 1).filter(overlaps).collect();
        let first_row = groups.first().map_or(0, |&first| self.first_rows[first]);
        let metadata = self.metadata.metadata();
        let sizes = groups.iter().map(|&i| size(metadata.row_group(i), Some(wanted)));
        let n_rows: u64 = groups.iter().map(|&i| self.first_rows[i + 1] - self.first_rows[i]).sum();
        let row_bytes = sizes.fold(0, u64::saturating_add) / n_rows.max(1);
        let batch_rows = (BATCH_BYTES / row_bytes.max(1)).clamp(1, MAX_BATCH_ROWS) as usize;
        let mask = ProjectionMask::roots(metadata.file_metadata().schema_descr(), wanted.iter().copied());
        let skipped = usize::try_from(range.start - first_row).map_err(malformed(file))?;
        let limit = usize::try_from(range.end - range.start).map_err(malformed(file))?;
        let reader = guarded(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(blocks.clone(), self.metadata.clone())
                .with_row_groups(groups)
                .with_projection(mask)
                .with_batch_size(batch_rows)
                .with_offset(skipped)
                .with_limit(limit)
                .build()
        });
        let reader = reader.map_err(malformed(file))?;
        // The batch has the columns in the file's order, each once.
        let schema = reader.schema();
        let name = |&i: &usize| self.metadata.schema().field(i).name();
        let places = wanted.iter().map(|i| schema.fields().iter().position(|field| field.name() == name(i)));
        let places = places.collect::<Option<Vec<usize>>>().ok_or_else(|| malformed(file)("a column is missing"))?;
        Ok(Box::new(BatchRows {
            file: file.into(),
            reader: Some(reader),
            batch: None,
            i: 0,
            places,
            range,
            max_row_bytes: table.options.max_row_bytes,
        }))
    }
}

/// Rows of one batch after the other.
struct BatchRows {
    file: Arc<str>,
    /// None once it has failed or ended.
    reader: Option<ParquetRecordBatchReader>,
    batch: Option<RecordBatch>,
    /// The next row in the batch.
    i: usize,
    /// Where each wanted column lies in a batch.
    places: Vec<usize>,
    /// Rows that are still to come.
    range: Range<u64>,
    max_row_bytes: u64,
}

impl Iterator for BatchRows {
    type Item = Result<Row, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.range.is_empty() {
            return None;
        }
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.i < batch.num_rows()) {
                let cells = cells(batch, self.i, &self.places, self.max_row_bytes);
                self.i += 1;
                return self.range.next().map(|number| row(&self.file, number, cells, self.max_row_bytes));
            }
            self.batch = None; // before the next one is made, so that there are never two
            let reader = self.reader.as_mut()?;
            match guarded(|| reader.next().transpose().map_err(ParquetError::from)) {
                Ok(Some(batch)) => (self.batch, self.i) = (Some(batch), 0),
                ended => {
                    self.reader = None;
                    let missing = || format!("{} rows are missing", self.range.end - self.range.start);
                    let why = ended.map_or_else(|error| error.to_string(), |_| missing());
                    return Some(Err(malformed(&self.file)(why)));
                }
            }
        }
    }
}

/// The parts of a row group that belong to the columns `wanted`, or all.
fn chunks<'a>(
    group: &'a RowGroupMetaData,
    wanted: Option<&'a [usize]>,
) -> impl Iterator<Item = &'a ColumnChunkMetaData> {
    let schema = group.schema_descr();
    let is_wanted = move |i: usize| wanted.is_none_or(|wanted| wanted.contains(&schema.get_column_root_idx(i)));
    group.columns().iter().enumerate().filter(move |(i, _)| is_wanted(*i)).map(|(_, column)| column)
}

/// Bytes of a row group's columns, unpacked; of all, or of those `wanted`.
fn size(group: &RowGroupMetaData, wanted: Option<&[usize]>) -> u64 {
    let sizes = chunks(group, wanted).map(|column| u64::try_from(column.uncompressed_size()).unwrap_or(0));
    sizes.fold(0, u64::saturating_add)
}

/// Whether the file says where each page of the columns `wanted` lies, so that reading can begin at any of them.
fn has_page_index(group: &RowGroupMetaData, wanted: &[usize]) -> bool {
    chunks(group, Some(wanted)).all(|column| column.offset_index_offset().is_some())
}

/// The footer with a schema in which texts and bytes are views into pages. Otherwise a page whose dictionary holds one long
/// value, named by thousands of rows, would be thousands of long values in memory.
fn with_views(footer: Arc<ParquetMetaData>) -> Result<ArrowReaderMetadata, ParquetError> {
    let plain = ArrowReaderMetadata::try_new(Arc::clone(&footer), ArrowReaderOptions::new())?;
    let fields: Vec<Field> = plain.schema().fields().iter().map(|field| view_of(field)).collect();
    let views: SchemaRef = Arc::new(Schema::new_with_metadata(fields, plain.schema().metadata().clone()));
    match ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new().with_schema(views)) {
        Ok(metadata) => Ok(metadata),
        Err(error) => {
            tracing::debug!(%error, "the schema cannot be read as views");
            Ok(plain)
        }
    }
}

fn view_of(field: &Field) -> Field {
    let inner = |field: &Arc<Field>| Arc::new(view_of(field));
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, values) => {
            return view_of(&field.clone().with_data_type(values.as_ref().clone()));
        }
        DataType::List(items) => DataType::List(inner(items)),
        DataType::LargeList(items) => DataType::LargeList(inner(items)),
        DataType::FixedSizeList(items, n) => DataType::FixedSizeList(inner(items), *n),
        DataType::Map(entries, is_sorted) => DataType::Map(inner(entries), *is_sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    };
    field.clone().with_data_type(data_type)
}

/// A damaged file is an error, whether the library notices it in time or not.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ParquetError::General("it breaks the reading library".to_owned())))
}

fn malformed<T: ToString>(file: &str) -> impl Fn(T) -> TableError + '_ {
    move |why| TableError::Malformed { file: file.to_owned(), format: "Parquet", why: why.to_string() }
}
