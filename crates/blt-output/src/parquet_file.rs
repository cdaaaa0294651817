//! Parquet files in the form of a Hugging Face data set.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use serde_json::json;

use crate::collector::{CollectedDocument, EmbeddingOptions, is_of_bytes};
use crate::parquet_columns::{Column, Shape, columns, schema};
use crate::parquet_pages::{ChunkWriter, PagePackers, page_packers};
use crate::receipt::{ReceiptWriter, ShardReceipt};
use crate::shard::{DocumentInfo, ShardWriter};
use crate::spool::{Spool, copy_exactly};

/// How large the parts of a Parquet file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParquetOptions {
    /// Bytes of tensors after which a row group ends; those on the disk are fewer.
    pub row_group_bytes: u64,
    /// Bytes of tensors in a row: a longer document goes on in the next. No row ends inside a patch, and a writer holds
    /// about four times as much in memory.
    pub row_bytes: u64,
    /// Threads that compress; they change no byte.
    pub n_threads: usize,
}

impl Default for ParquetOptions {
    fn default() -> Self {
        Self { row_group_bytes: 128 << 20, row_bytes: 32 << 20, n_threads: 1 }
    }
}

/// Bytes of tensors of the longest patch that is written: a row holds it whole, and so does whoever reads it.
const MAX_PATCH_BYTES: u64 = 1 << 29;

/// Writes documents as the rows of one Parquet file.
///
/// A row is a view of a document, or a part of one. The file has offset indices, so that readers find pages, and says the
/// types of its columns the way `datasets` does. Sizes are bounded, so memory is; see [`ParquetOptions`].
pub struct ParquetWriter {
    scratch: PathBuf,
    embeddings: EmbeddingOptions,
    options: ParquetOptions,
    columns: Vec<Column>,
    file: SerializedFileWriter<ReceiptWriter>,
    packers: PagePackers,
    n_rows: u64,
    /// The row group in the making.
    rows: Vec<RowInfo>,
    values: Vec<(&'static str, Spool)>,
    group_bytes: u64,
}

impl std::fmt::Debug for ParquetWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetWriter")
            .field("scratch", &self.scratch)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What a row holds beside tensors.
struct RowInfo {
    /// Shared by the rows of a document.
    document: Arc<DocumentNames>,
    part: i32,
    view: String,
    modality: String,
    n_bytes: u64,
    n_patches: u64,
}

struct DocumentNames {
    id: String,
    source: String,
}

impl ParquetWriter {
    /// An empty file in the making at `path`, for documents collected with these `embeddings`. Row groups too large for
    /// memory wait in temporary files beside it.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be created.
    pub fn create(path: &Path, embeddings: &EmbeddingOptions, options: ParquetOptions) -> io::Result<Self> {
        let columns = columns(embeddings);
        let schema = schema(&columns)?;
        let created_by = format!("blt-output {}", env!("CARGO_PKG_VERSION"));
        let properties = Arc::new(WriterProperties::builder().set_created_by(created_by).build());
        let file =
            SerializedFileWriter::new(ReceiptWriter::create(path)?, schema, properties).map_err(io::Error::other)?;
        Ok(Self {
            scratch: path.parent().unwrap_or(Path::new(".")).to_owned(),
            embeddings: *embeddings,
            options,
            columns,
            file,
            packers: page_packers(options.n_threads)?,
            n_rows: 0,
            rows: Vec::new(),
            values: Vec::new(),
            group_bytes: 0,
        })
    }

    /// Moves the next row's tensors into the row group.
    fn add(&mut self, row: RowInfo, tensors: &mut [TensorReader<impl Read>]) -> io::Result<()> {
        for tensor in tensors {
            let n_rows = if tensor.is_of_bytes { row.n_bytes } else { row.n_patches };
            let n_bytes = n_rows * tensor.row_bytes;
            let i = match self.values.iter().position(|(name, _)| *name == tensor.name) {
                Some(i) => i,
                None => {
                    self.values.push((tensor.name, Spool::new(&self.scratch)));
                    self.values.len() - 1
                }
            };
            copy_exactly(&mut tensor.reader, &mut self.values[i].1, n_bytes)?;
            self.group_bytes += n_bytes;
        }
        self.rows.push(row);
        if self.group_bytes >= self.options.row_group_bytes { self.end_row_group() } else { Ok(()) }
    }

    fn end_row_group(&mut self) -> io::Result<()> {
        let (rows, mut values) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.values));
        self.group_bytes = 0;
        let descriptors = self.file.schema_descr().columns().to_vec();
        let mut group = self.file.next_row_group().map_err(io::Error::other)?;
        for (column, descriptor) in self.columns.iter().zip(descriptors) {
            let mut chunk = ChunkWriter::new(column, descriptor, &self.scratch, &mut self.packers)?;
            match column.name {
                "id" => rows.iter().try_for_each(|row| chunk.row(Some(row.document.id.as_bytes())))?,
                "part" => rows.iter().try_for_each(|row| chunk.row(Some(&row.part.to_le_bytes())))?,
                "source" => rows.iter().try_for_each(|row| chunk.row(Some(row.document.source.as_bytes())))?,
                "view" => rows.iter().try_for_each(|row| chunk.row(Some(row.view.as_bytes())))?,
                "modality" => rows.iter().try_for_each(|row| chunk.row(Some(row.modality.as_bytes())))?,
                "bytes" | "text" => {
                    let mut reader = spool(&mut values, "bytes")?.reader()?;
                    let mut bytes = Vec::new();
                    for row in &rows {
                        bytes.resize(usize::try_from(row.n_bytes).map_err(io::Error::other)?, 0);
                        reader.read_exact(&mut bytes)?;
                        let is_shown = column.name == "bytes" || std::str::from_utf8(&bytes).is_ok();
                        chunk.row(is_shown.then_some(bytes.as_slice()))?;
                    }
                }
                name => {
                    debug_assert!(matches!(column.shape, Shape::List | Shape::ListOf(_)));
                    let mut reader = spool(&mut values, name)?.reader()?;
                    let length = |row: &RowInfo| if is_of_bytes(name) { row.n_bytes } else { row.n_patches };
                    rows.iter().try_for_each(|row| chunk.list_row(length(row), &mut reader))?;
                }
            }
            let (bytes, closed) = chunk.finish()?;
            group.append_column(&bytes, closed).map_err(io::Error::other)?;
        }
        group.close().map_err(io::Error::other)?;
        self.n_rows += rows.len() as u64;
        Ok(())
    }

    /// Says in the footer what the columns are and how the patches were made.
    fn describe(&mut self, about: &DocumentInfo<'_>) {
        let features: serde_json::Map<_, _> =
            self.columns.iter().map(|column| (column.name.to_owned(), column.feature())).collect();
        let mut put = |key: &str, value: String| {
            self.file.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        };
        put("huggingface", json!({"info": {"features": features}}).to_string());
        put("format", crate::FORMAT.to_owned());
        put("model", about.model.to_owned());
        put("embedding_dtype", self.embeddings.dtype.name().to_owned());
        about.patching.iter().for_each(|(key, value)| put(key, value.clone()));
    }
}

impl ShardWriter for ParquetWriter {
    fn append(&mut self, mut document: CollectedDocument, about: &DocumentInfo<'_>) -> io::Result<()> {
        if document.options != self.embeddings {
            return Err(refused("the document has other embeddings than the file"));
        }
        let parts = parts(&mut document, self.options.row_bytes)?;
        if self.n_rows == 0 && self.rows.is_empty() {
            self.describe(about); // it is the same for all documents of a run
        }
        let names = Arc::new(DocumentNames { id: about.id.to_owned(), source: about.source.to_owned() });
        let mut tensors = Vec::new();
        for tensor in &mut document.tensors {
            let (name, is_of_bytes, row_bytes) = (tensor.name, is_of_bytes(tensor.name), tensor.row_bytes());
            tensors.push(TensorReader { name, is_of_bytes, row_bytes, reader: tensor.data.reader()? });
        }
        for (i, part) in parts.into_iter().enumerate() {
            let (view, modality) = match document.views.get(part.view) {
                Some(view) => (view.label.clone(), view.modality.clone()),
                None => (String::new(), about.modality.to_owned()),
            };
            let row = RowInfo {
                document: Arc::clone(&names),
                part: i32::try_from(i).map_err(io::Error::other)?,
                view,
                modality,
                n_bytes: part.n_bytes,
                n_patches: part.n_patches,
            };
            self.add(row, &mut tensors)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<ShardReceipt> {
        if !self.rows.is_empty() {
            self.end_row_group()?;
        }
        self.file.into_inner().map_err(io::Error::other)?.finish(self.n_rows)
    }
}

fn spool<'v>(values: &'v mut [(&'static str, Spool)], name: &str) -> io::Result<&'v mut Spool> {
    let found = values.iter_mut().find(|(known, _)| *known == name).map(|(_, spool)| spool);
    found.ok_or_else(|| io::Error::other(format!("a document without `{name}`")))
}

/// A tensor of a document on its way into rows.
struct TensorReader<R> {
    name: &'static str,
    /// Whether it has a row a byte; else, one a patch.
    is_of_bytes: bool,
    /// Bytes of a row.
    row_bytes: u64,
    reader: R,
}

/// A row's share of a document.
struct Part {
    view: usize,
    n_bytes: u64,
    n_patches: u64,
}

/// Cuts a document into rows: at views, and where the tensors of a row would become larger than `row_bytes`. There is at least
/// one.
fn parts(document: &mut CollectedDocument, row_bytes: u64) -> io::Result<Vec<Part>> {
    let (mut a_byte, mut a_patch) = (0, 0);
    for tensor in &document.tensors {
        *(if is_of_bytes(tensor.name) { &mut a_byte } else { &mut a_patch }) += tensor.row_bytes();
    }
    let lengths = document.tensors.iter_mut().find(|tensor| tensor.name == "patch_lengths");
    let lengths = lengths.ok_or_else(|| io::Error::other("a document without `patch_lengths`"))?;
    let mut lengths = io::BufReader::new(lengths.data.reader()?);
    let mut parts = Vec::new();
    for (view_idx, view) in document.views.iter().enumerate() {
        let empty = || Part { view: view_idx, n_bytes: 0, n_patches: 0 };
        let (mut part, mut n_left) = (empty(), view.n_bytes);
        for _ in 0..view.n_patches {
            let mut length = [0; 4];
            lengths.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            if length * a_byte > MAX_PATCH_BYTES {
                let reason =
                    format!("a patch of {length} bytes is too long for a Parquet file; `--max-patch-length` cuts it");
                return Err(refused(&reason));
            }
            let would_be = (part.n_bytes + length) * a_byte + (part.n_patches + 1) * a_patch;
            if part.n_patches > 0 && would_be > row_bytes {
                parts.push(std::mem::replace(&mut part, empty()));
            }
            part.n_bytes += length;
            part.n_patches += 1;
            n_left = n_left.checked_sub(length).ok_or_else(not_tiled)?;
        }
        if n_left > 0 {
            return Err(not_tiled());
        }
        parts.push(part);
    }
    if parts.is_empty() {
        parts.push(Part { view: 0, n_bytes: 0, n_patches: 0 });
    }
    Ok(parts)
}

fn not_tiled() -> io::Error {
    refused("the patches of a view are not its bytes")
}

/// The file is as it was before the document came.
fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
