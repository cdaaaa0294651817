//! Lines, and text files of which each line, or all, is a row.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use super::{Cutter, Piece, Row, Rows, Table, TextRows};
use crate::cell::Cell;
use crate::error::TableError;
use crate::format::Format;

/// Lines of a stream, each up to a limit.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    max_bytes: u64,
}

/// What [`Lines::next`] found.
pub(super) enum Found {
    /// A line, without its end, and how many bytes of the stream it took.
    Line(u64),
    /// A line that is too long; it was passed over.
    TooLong(u64),
    End,
}

impl Lines {
    pub(super) fn new(stream: Box<dyn Read + Send>, max_bytes: u64) -> Self {
        Self { reader: BufReader::with_capacity(256 << 10, stream), line: Vec::new(), max_bytes }
    }

    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The next line is then in [`Lines::line`].
    pub(super) fn next(&mut self) -> io::Result<Found> {
        self.line.clear();
        let limit = self.max_bytes.saturating_add(2);
        let n = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)? as u64;
        if n == 0 {
            return Ok(Found::End);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            self.line.pop_if(|byte| *byte == b'\r');
        } else if n == limit {
            self.line = Vec::new();
            return Ok(Found::TooLong(n + self.reader.skip_until(b'\n')? as u64));
        }
        Ok(Found::Line(n))
    }
}

/// Whether a line is no row: JSON lines may have blank ones between.
pub(super) fn is_blank(format: Format, line: &[u8]) -> bool {
    format == Format::JsonLines && line.trim_ascii().is_empty()
}

/// Rows of a text file.
pub(super) fn rows(table: &Table, piece: &Piece) -> Rows {
    let (file, max) = (Arc::clone(&table.file), table.options.max_row_bytes);
    let mut stream = table.stream(piece.first_byte);
    if table.options.text_rows == TextRows::File {
        let read = move || {
            let mut all = Vec::new();
            (&mut stream).take(max.saturating_add(1)).read_to_end(&mut all).map_err(TableError::read(&file))?;
            if all.len() as u64 > max {
                return Err(too_long(&file, 0, max));
            }
            Ok(Row { number: 0, cells: vec![text(all)] })
        };
        return Box::new(std::iter::once_with(read));
    }
    rows_of_lines(table, piece, move |_, line| Ok(vec![text(line.to_vec())]))
}

/// Rows made of lines by `cells`, which says why a line is none.
pub(super) fn rows_of_lines(
    table: &Table,
    piece: &Piece,
    mut cells: impl FnMut(u64, &[u8]) -> Result<Vec<Cell>, String> + Send + 'static,
) -> Rows {
    let (file, format, max) = (Arc::clone(&table.file), table.format, table.options.max_row_bytes);
    let mut lines = Lines::new(table.stream(piece.first_byte), max);
    let (mut number, mut ended, mut at_start) = (piece.first_row, false, piece.first_byte == 0);
    Box::new(std::iter::from_fn(move || {
        loop {
            if ended {
                return None;
            }
            let row = number;
            match lines.next() {
                Err(error) => {
                    ended = true;
                    return Some(Err(TableError::read(&file)(error)));
                }
                Ok(Found::End) => return None,
                Ok(Found::TooLong(_)) => {
                    (number, at_start) = (number + 1, false);
                    return Some(Err(too_long(&file, row, max)));
                }
                Ok(Found::Line(_)) => {
                    let mut line = lines.line();
                    if std::mem::take(&mut at_start) {
                        line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
                    }
                    if is_blank(format, line) {
                        continue;
                    }
                    number += 1;
                    let made = cells(row, line).map(|cells| Row { number: row, cells });
                    return Some(made.map_err(|why| TableError::Row { file: file.to_string(), row, why }));
                }
            }
        }
    }))
}

/// Where rows of a plain text begin, found by reading it.
pub(super) fn pieces(table: &Table, target_bytes: u64, n_wanted: u64) -> Result<Vec<Piece>, TableError> {
    let mut lines = Lines::new(table.stream(0), table.options.max_row_bytes);
    let (mut cutter, mut position) = (Cutter::new(target_bytes), 0);
    while cutter.n_rows() < n_wanted {
        let (n, is_row) = match lines.next().map_err(TableError::read(&table.file))? {
            Found::End => break,
            Found::TooLong(n) => (n, true),
            Found::Line(n) => {
                let line = lines.line();
                let bom = if position == 0 { line.strip_prefix(b"\xef\xbb\xbf") } else { None };
                (n, !is_blank(table.format, bom.unwrap_or(line)))
            }
        };
        if is_row {
            cutter.push(1, position, n);
        }
        position += n;
    }
    Ok(cutter.pieces)
}

pub(super) fn too_long(file: &str, row: u64, max: u64) -> TableError {
    TableError::Row { file: file.to_owned(), row, why: format!("it has more than {max} bytes") }
}

/// Text where it is UTF-8; anything else stays bytes.
pub(super) fn text(bytes: Vec<u8>) -> Cell {
    String::from_utf8(bytes).map_or_else(|error| Cell::Bytes(error.into_bytes()), Cell::Text)
}
