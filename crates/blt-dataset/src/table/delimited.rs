//! Comma and tab separated values (RFC 4180), with the names of the columns in the first row.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lines::text;
use super::{Column, ColumnKind, Cutter, Piece, Row, Rows, Table};
use crate::cell::Cell;
use crate::error::TableError;
use crate::format::Format;

/// Rows of a stream, each up to a limit: a quote that does not end would otherwise take in the rest of the file.
struct Records {
    reader: csv::Reader<Box<dyn Read + Send>>,
    record: csv::ByteRecord,
    /// What may still be read before the row has to end.
    allowed: Arc<AtomicU64>,
    max_bytes: u64,
    /// Whether rows end with a carriage return and a line feed.
    ends_with_cr: bool,
}

/// Bytes that are read at once, and so may lie behind the row.
const BUFFER_BYTES: usize = 256 << 10;

impl Records {
    fn new(table: &Table, first_byte: u64, ends_with_cr: bool) -> Self {
        let max_bytes = table.options.max_row_bytes.saturating_add(BUFFER_BYTES as u64);
        let allowed = Arc::new(AtomicU64::new(max_bytes));
        let bounded = Bounded { inner: table.stream(first_byte), allowed: Arc::clone(&allowed) };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(if table.format == Format::Tsv { b'\t' } else { b',' })
            .buffer_capacity(BUFFER_BYTES)
            // A row ends behind its line feed; the default would leave that of a CRLF to the next row.
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(Box::new(bounded) as Box<dyn Read + Send>);
        Self { reader, record: csv::ByteRecord::new(), allowed, max_bytes, ends_with_cr }
    }

    /// The next row is then in `record`; false at the end.
    fn next(&mut self) -> Result<bool, csv::Error> {
        self.allowed.store(self.max_bytes, Ordering::Relaxed);
        self.reader.read_byte_record(&mut self.record)
    }

    /// The fields, without the carriage return that ends the row.
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let last = if self.ends_with_cr { self.record.len().checked_sub(1) } else { None };
        self.record
            .iter()
            .enumerate()
            .map(move |(i, field)| if Some(i) == last { field.strip_suffix(b"\r").unwrap_or(field) } else { field })
    }

    /// A carriage return alone is blank whatever ends the other rows, for whoever counts rows and whoever reads them.
    fn is_blank(&self) -> bool {
        self.record.len() <= 1 && self.record.iter().all(|field| matches!(field, b"" | b"\r"))
    }

    fn position(&self) -> u64 {
        self.reader.position().byte()
    }
}

struct Bounded {
    inner: Box<dyn Read + Send>,
    allowed: Arc<AtomicU64>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowed.load(Ordering::Relaxed);
        if allowed == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a row is too long; perhaps a quote does not end"));
        }
        let n = buffer.len().min(usize::try_from(allowed).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut buffer[..n])?;
        self.allowed.fetch_sub(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The columns' names, where the first row of values begins, and whether rows end with a carriage return too.
pub(super) fn header(table: &Table) -> Result<(Vec<Column>, u64, bool), TableError> {
    let mut records = Records::new(table, 0, true);
    if !records.next().map_err(failed(&table.file))? {
        return Ok((Vec::new(), 0, false));
    }
    let ends_with_cr = records.record.iter().next_back().is_some_and(|field| field.ends_with(b"\r"));
    let names = records.fields().map(|name| std::str::from_utf8(name).map(str::to_owned));
    let names = names.collect::<Result<Vec<_>, _>>().map_err(|_| table.malformed("a column's name is not UTF-8"))?;
    let columns = names.into_iter().map(|name| Column { name, kind: ColumnKind::Text }).collect();
    Ok((columns, records.position(), ends_with_cr))
}

/// Rows from the piece's first byte on; packed files are passed through up to there.
pub(super) fn rows(table: &Table, piece: &Piece, ends_with_cr: bool, wanted: Vec<usize>) -> Rows {
    let (file, n_columns) = (Arc::clone(&table.file), table.columns.len());
    let is_packed = table.packing != crate::format::Packing::Plain;
    let mut records = Records::new(table, piece.first_byte, ends_with_cr);
    let (mut number, mut ended, mut at_header) = (piece.first_row, n_columns == 0, is_packed);
    Box::new(std::iter::from_fn(move || {
        loop {
            if ended {
                return None;
            }
            match records.next() {
                Err(error) => {
                    ended = true;
                    return Some(Err(failed(&file)(error)));
                }
                Ok(false) => return None,
                Ok(true) if std::mem::take(&mut at_header) || records.is_blank() => {}
                Ok(true) => {
                    let row = number;
                    number += 1;
                    if records.record.len() != n_columns {
                        let why = format!("it has {} fields instead of {n_columns}", records.record.len());
                        return Some(Err(TableError::Row { file: file.to_string(), row, why }));
                    }
                    let fields: Vec<&[u8]> = records.fields().collect();
                    let cell = |&i: &usize| fields.get(i).map_or(Cell::Null, |field| text(field.to_vec()));
                    return Some(Ok(Row { number: row, cells: wanted.iter().map(cell).collect() }));
                }
            }
        }
    }))
}

/// Where rows begin, found by reading all.
pub(super) fn pieces(
    table: &Table,
    first_byte: u64,
    ends_with_cr: bool,
    target_bytes: u64,
    n_wanted: u64,
) -> Result<Vec<Piece>, TableError> {
    let mut records = Records::new(table, first_byte, ends_with_cr);
    let mut cutter = Cutter::new(target_bytes);
    while cutter.n_rows() < n_wanted {
        let start = records.position();
        if !records.next().map_err(failed(&table.file))? {
            break;
        }
        if !records.is_blank() {
            cutter.push(1, first_byte + start, records.position() - start);
        }
    }
    Ok(cutter.pieces)
}

fn failed(file: &str) -> impl Fn(csv::Error) -> TableError + '_ {
    move |error| match error.into_kind() {
        csv::ErrorKind::Io(source) => TableError::Read { file: file.to_owned(), source },
        kind => TableError::Malformed { file: file.to_owned(), format: "CSV", why: format!("{kind:?}") },
    }
}
