//! Arrow's own format. A file is a stream between two marks, so both are walked from message to message; its footer is
//! not needed. Sizes are checked here, since the library believes them.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::FileDecoder;
use arrow_ipc::{Block, MessageHeader, MetadataVersion, root_as_message};
use arrow_schema::SchemaRef;

use super::arrow_cells::{cells, kind_of, row, unsupported};
use super::{Column, Cutter, Piece, Row, Rows, Table};
use crate::blocks::Blocks;
use crate::error::TableError;
use crate::features::Features;

/// A schema or the head of a batch has no more bytes than this.
const MAX_HEAD_BYTES: u64 = 64 << 20;

/// So much may become of a packed batch whatever its size, and of each of its bytes.
const FREE_UNPACKED_BYTES: u64 = 64 << 20;
const MAX_RATIO: u64 = 250;

/// Where batches lie in a file.
pub(super) struct Index {
    schema: SchemaRef,
    version: MetadataVersion,
    messages: Vec<Message>,
    n_rows: u64,
}

/// A batch of rows, or of a dictionary's values.
#[derive(Clone, Copy)]
struct Message {
    start: u64,
    n_head: u64,
    n_body: u64,
    /// The rows it holds; none for a dictionary.
    rows: Option<(u64, u64)>,
}

impl Index {
    pub(super) fn read(file: &str, blocks: &Blocks) -> Result<Self, TableError> {
        let read = |start, n| blocks.bytes(start, n).map_err(TableError::read(file));
        let bad = |why: &str| malformed(file)(why);
        let is_file = blocks.n_bytes() >= 8 && read(0, 6)?.as_ref() == b"ARROW1";
        let mut start = if is_file { 8 } else { 0 };
        let mut index: Option<Self> = None;
        while blocks.n_bytes() - start >= 4 {
            let word = |offset: u64| Ok(u32::from_le_bytes(read(offset, 4)?.as_ref().try_into().unwrap_or_default()));
            // Before version 0.15 there was no mark before the length.
            let n_mark = if word(start)? == u32::MAX { 8 } else { 4 };
            if start + n_mark > blocks.n_bytes() {
                return Err(bad("it ends within a message"));
            }
            let n_message = u64::from(word(start + n_mark - 4)?);
            if n_message == 0 {
                break;
            }
            if n_message > MAX_HEAD_BYTES {
                return Err(bad("the head of a message is longer than any"));
            }
            let head = read(start + n_mark, n_message as usize)?;
            let message = root_as_message(&head).map_err(malformed(file))?;
            let n_head = n_mark + n_message;
            let n_body = u64::try_from(message.bodyLength()).map_err(malformed(file))?;
            let end = start.checked_add(n_head).and_then(|end| end.checked_add(n_body));
            let end = end.filter(|&end| end <= blocks.n_bytes()).ok_or_else(|| bad("it ends within a message"))?;
            let here = Message { start, n_head, n_body, rows: None };
            match message.header_type() {
                MessageHeader::Schema if index.is_none() => {
                    let schema = message.header_as_schema().ok_or_else(|| bad("a schema is empty"))?;
                    let schema = guarded(|| try_fb_to_schema(schema)).map_err(malformed(file))?;
                    index = Some(Self {
                        schema: Arc::new(schema),
                        version: message.version(),
                        messages: Vec::new(),
                        n_rows: 0,
                    });
                }
                MessageHeader::RecordBatch => {
                    let batch = message.header_as_record_batch().ok_or_else(|| bad("a batch is empty"))?;
                    let n_rows = u64::try_from(batch.length()).map_err(malformed(file))?;
                    let index = index.as_mut().ok_or_else(|| bad("a batch comes before the schema"))?;
                    index.messages.push(Message { rows: Some((index.n_rows, n_rows)), ..here });
                    index.n_rows = index.n_rows.checked_add(n_rows).ok_or_else(|| bad("it has too many rows"))?;
                }
                MessageHeader::DictionaryBatch => {
                    index.as_mut().ok_or_else(|| bad("a dictionary comes before the schema"))?.messages.push(here);
                }
                _ => return Err(bad("a message is neither schema nor batch")),
            }
            start = end;
        }
        let index = index.ok_or_else(|| bad("it has no schema"))?;
        for field in index.schema.fields() {
            if let Some(what) = unsupported(field.data_type()) {
                let what = format!("the column `{}` of type {what}", field.name());
                return Err(TableError::Unsupported { file: file.to_owned(), what });
            }
        }
        Ok(index)
    }

    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    pub(super) fn columns(&self) -> Vec<Column> {
        let fields = self.schema.fields().iter();
        fields.map(|field| Column { name: field.name().clone(), kind: kind_of(field.data_type()) }).collect()
    }

    pub(super) fn features(&self) -> Features {
        self.schema.metadata().get("huggingface").map(|json| Features::of_schema_metadata(json)).unwrap_or_default()
    }

    pub(super) fn pieces(&self, target_bytes: u64, n_wanted: u64) -> Vec<Piece> {
        let mut cutter = Cutter::new(target_bytes);
        for message in &self.messages {
            if cutter.n_rows() >= n_wanted {
                break;
            }
            if let Some((_, n @ 1..)) = message.rows {
                cutter.push(n, 0, message.n_body);
            }
        }
        cutter.pieces
    }
}

/// The rows numbered `range`.
pub(super) fn rows(index: &Arc<Index>, table: &Table, range: Range<u64>, wanted: &[usize]) -> Rows {
    let mut columns = wanted.to_vec();
    columns.sort_unstable();
    columns.dedup();
    let places = wanted.iter().filter_map(|column| columns.binary_search(column).ok()).collect();
    let decoder = FileDecoder::new(Arc::clone(&index.schema), index.version).with_projection(columns);
    let range = range.start..range.end.min(index.n_rows);
    Box::new(BatchRows {
        file: Arc::clone(&table.file),
        index: Arc::clone(index),
        blocks: table.blocks.clone(),
        decoder,
        next: 0,
        batch: None,
        places,
        range,
        max_row_bytes: table.options.max_row_bytes,
    })
}

struct BatchRows {
    file: Arc<str>,
    index: Arc<Index>,
    blocks: Blocks,
    decoder: FileDecoder,
    /// The next message to look at.
    next: usize,
    /// The batch that is being read, and the number of its first row.
    batch: Option<(u64, RecordBatch)>,
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
            if let Some((first, batch)) = &self.batch {
                let i = (self.range.start - first) as usize;
                if i < batch.num_rows() {
                    let cells = cells(batch, i, &self.places, self.max_row_bytes);
                    return self.range.next().map(|number| row(&self.file, number, cells, self.max_row_bytes));
                }
            }
            self.batch = None;
            let message = *self.index.messages.get(self.next)?;
            self.next += 1;
            // Dictionaries are read in order; batches before the range are not.
            if message.rows.is_none_or(|(first, n)| first + n > self.range.start)
                && let Err(error) = self.read(message)
            {
                self.range = 0..0;
                return Some(Err(error));
            }
        }
    }
}

impl BatchRows {
    fn read(&mut self, message: Message) -> Result<(), TableError> {
        let file = &*self.file;
        let n = usize::try_from(message.n_head + message.n_body).map_err(malformed(file))?;
        let bytes = self.blocks.bytes(message.start, n).map_err(TableError::read(file))?;
        check_unpacked(file, &bytes, message)?;
        let head = i32::try_from(message.n_head).map_err(malformed(file))?;
        let block = Block::new(0, head, message.n_body as i64);
        let buffer = Buffer::from(bytes);
        let decoder = &mut self.decoder;
        match message.rows {
            None => guarded(|| decoder.read_dictionary(&block, &buffer)).map_err(malformed(file)),
            Some((first, n_rows)) => {
                let batch = guarded(|| decoder.read_record_batch(&block, &buffer)).map_err(malformed(file))?;
                let batch = batch.filter(|batch| batch.num_rows() as u64 == n_rows);
                self.batch = Some((first, batch.ok_or_else(|| malformed(file)("a batch has too few rows"))?));
                Ok(())
            }
        }
    }
}

/// Refuses a batch whose packed buffers claim to become more than they may, before anything is made for them.
fn check_unpacked(file: &str, bytes: &[u8], message: Message) -> Result<(), TableError> {
    let bad = || malformed(file)("a buffer lies outside its message");
    let (head, body) = bytes.split_at_checked(message.n_head as usize).ok_or_else(bad)?;
    let n_mark = if head.starts_with(&[0xff; 4]) { 8 } else { 4 };
    let parsed = root_as_message(head.get(n_mark..).ok_or_else(bad)?).map_err(malformed(file))?;
    let batch = parsed.header_as_record_batch().or_else(|| parsed.header_as_dictionary_batch()?.data());
    let Some(batch) = batch.filter(|batch| batch.compression().is_some()) else { return Ok(()) };
    let mut n_unpacked = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        if buffer.length() == 0 {
            continue;
        }
        let start = usize::try_from(buffer.offset()).map_err(malformed(file))?;
        let size = start.checked_add(8).and_then(|end| body.get(start..end)).ok_or_else(bad)?;
        let size = i64::from_le_bytes(size.try_into().unwrap_or_default());
        n_unpacked = n_unpacked.saturating_add(u64::try_from(size).unwrap_or(0)); // -1 says that it is not packed
    }
    let limit = FREE_UNPACKED_BYTES.saturating_add(message.n_body.saturating_mul(MAX_RATIO));
    if n_unpacked > limit {
        let what = "bytes in a packed batch";
        return Err(TableError::Limit { file: file.to_owned(), what, found: n_unpacked, limit });
    }
    Ok(())
}

/// A damaged file is an error, whether the library notices it in time or not.
fn guarded<T>(read: impl FnOnce() -> Result<T, arrow_schema::ArrowError>) -> Result<T, arrow_schema::ArrowError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(arrow_schema::ArrowError::IpcError("it breaks the reading library".to_owned())))
}

fn malformed<T: ToString>(file: &str) -> impl Fn(T) -> TableError + '_ {
    move |why| TableError::Malformed { file: file.to_owned(), format: "Arrow", why: why.to_string() }
}
