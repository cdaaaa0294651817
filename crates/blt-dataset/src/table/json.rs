//! Rows that are JSON objects: one a line, or one behind the other, in an array or not.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::lines::{rows_of_lines, too_long};
use super::{Column, ColumnKind, Piece, Row, Rows, Table};
use crate::cell::Cell;
use crate::error::TableError;
use crate::format::Format;

/// So many rows, and bytes of the file, are looked at for the names of columns.
const SAMPLED_ROWS: usize = 100;
const SAMPLED_BYTES: u64 = 16 << 20;

/// Whether a file that begins with an object has one on each line, so that the first line is a whole one.
pub(super) fn is_lines(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let mut lines = start.split_inclusive(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let Some(line) = lines.next() else { return true };
    // A first line that is longer than what was looked at: nobody pretty-prints like that.
    line.last() != Some(&b'\n') || serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}

/// The names that the first rows have, in order of appearance, and what lies there.
pub(super) fn columns(table: &Table) -> Result<Vec<Column>, TableError> {
    let mut found: Vec<(String, Vec<Cell>)> = Vec::new();
    let whole = table.whole();
    let stream = Box::new(table.stream(0).take(SAMPLED_BYTES));
    let objects: Box<dyn Iterator<Item = Result<Map<String, Value>, String>>> = match table.format {
        Format::JsonLines => {
            let mut lines = super::lines::Lines::new(stream, table.options.max_row_bytes);
            Box::new(std::iter::from_fn(move || match lines.next() {
                Ok(super::lines::Found::Line(_)) => Some(object(lines.line())),
                Ok(super::lines::Found::TooLong(_)) => Some(Err(String::new())),
                // What stops the reading of rows is told there.
                Ok(super::lines::Found::End) | Err(_) => None,
            }))
        }
        _ => {
            let mut values = Values::new(stream, table.options.max_row_bytes);
            Box::new(std::iter::from_fn(move || {
                values.next().ok().flatten().map(|value| value.and_then(|bytes| object(&bytes)))
            }))
        }
    };
    for object in objects.take(SAMPLED_ROWS).flatten() {
        for (name, value) in object {
            match found.iter_mut().find(|(known, _)| *known == name) {
                Some((_, cells)) => cells.push(value.into()),
                None => found.push((name, vec![value.into()])),
            }
        }
    }
    if found.is_empty() && whole.n_bytes > 0 {
        return Err(table.malformed("no object is found in its first rows"));
    }
    let kind = |cells: &[Cell]| ColumnKind::of_cells(cells.iter());
    Ok(found.into_iter().map(|(name, cells)| Column { kind: kind(&cells), name }).collect())
}

/// Rows of JSON lines.
pub(super) fn lines(table: &Table, piece: &Piece, names: Vec<String>) -> Rows {
    rows_of_lines(table, piece, move |_, line| Ok(cells(object(line)?, &names)))
}

/// Rows of a file of values that need not keep to lines.
pub(super) fn array(table: &Table, names: Vec<String>) -> Rows {
    let (file, max) = (Arc::clone(&table.file), table.options.max_row_bytes);
    let mut values = Values::new(table.stream(0), max);
    let mut number = 0;
    let mut ended = false;
    Box::new(std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let row = number;
        number += 1;
        let value = match values.next() {
            Ok(value) => value?,
            Err(source) => {
                ended = true;
                return Some(Err(TableError::Read { file: file.to_string(), source }));
            }
        };
        let made = match value {
            Ok(bytes) => object(&bytes).map(|object| Row { number: row, cells: cells(object, &names) }),
            Err(_) => return Some(Err(too_long(&file, row, max))),
        };
        Some(made.map_err(|why| TableError::Row { file: file.to_string(), row, why }))
    }))
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("it is no JSON object".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

fn cells(mut object: Map<String, Value>, names: &[String]) -> Vec<Cell> {
    names.iter().map(|name| object.get_mut(name).map_or(Cell::Null, |value| value.take().into())).collect()
}

/// Cuts a stream into JSON values, by brackets and strings alone: `[{..}, {..}]` and `{..} {..}` are the same.
struct Values {
    reader: BufReader<Box<dyn Read + Send>>,
    max_bytes: u64,
    in_array: bool,
    at_start: bool,
}

impl Values {
    fn new(stream: Box<dyn Read + Send>, max_bytes: u64) -> Self {
        Self { reader: BufReader::with_capacity(256 << 10, stream), max_bytes, in_array: false, at_start: true }
    }

    /// The next value, or that it is too long and was passed over; nothing at the end.
    fn next(&mut self) -> io::Result<Option<Result<Vec<u8>, String>>> {
        loop {
            let next = self.reader.fill_buf()?.first().copied();
            let Some(byte) = next else {
                if self.in_array {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the array does not end"));
                }
                return Ok(None);
            };
            match byte {
                0xef | 0xbb | 0xbf if self.at_start => {}
                b' ' | b'\t' | b'\r' | b'\n' => {}
                b'[' if self.at_start => (self.in_array, self.at_start) = (true, false),
                b',' if self.in_array => {}
                b']' if self.in_array => self.in_array = false,
                _ => {
                    self.at_start = false;
                    return self.value().map(Some);
                }
            }
            self.reader.consume(1);
        }
    }

    fn value(&mut self) -> io::Result<Result<Vec<u8>, String>> {
        let mut value = Vec::new();
        let (mut depth, mut in_string, mut escaped, mut n_bytes) = (0_u64, false, false, 0_u64);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                if depth > 0 || in_string {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the last value does not end"));
                }
                break;
            }
            let mut end = None;
            for (i, &byte) in buffer.iter().enumerate() {
                if in_string {
                    match byte {
                        _ if escaped => escaped = false,
                        b'\\' => escaped = true,
                        b'"' => {
                            in_string = false;
                            if depth == 0 {
                                end = Some(i + 1);
                                break;
                            }
                        }
                        _ => {}
                    }
                    continue;
                }
                match byte {
                    b'"' => in_string = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth > 1 => depth -= 1,
                    b'}' | b']' if depth == 1 => {
                        end = Some(i + 1);
                        break;
                    }
                    // Numbers and words end before what follows them.
                    b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' if depth == 0 && n_bytes + i as u64 > 0 => {
                        end = Some(i);
                        break;
                    }
                    _ => {}
                }
            }
            let n = end.unwrap_or(buffer.len());
            n_bytes += n as u64;
            if n_bytes <= self.max_bytes {
                value.extend_from_slice(&buffer[..n]);
            } else {
                value = Vec::new();
            }
            self.reader.consume(n);
            if end.is_some() {
                break;
            }
        }
        Ok(if n_bytes > self.max_bytes { Err("too long".to_owned()) } else { Ok(value) })
    }
}
