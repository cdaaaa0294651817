//! Tables that are text: their rows are units of the file itself, found in one pass, whatever its size.

use std::io::{BufRead, BufReader, Read};

use blt_core::{ByteRange, DecodeError, Origin, SourceReader, Unit};

use crate::content;

/// More units than this are halved by making each twice as long.
const MAX_UNITS: usize = 1 << 18;

/// Rows of comma or tab separated values (RFC 4180). Without tabs the separator is what the first line has most of.
pub(crate) fn delimited(source: &mut dyn SourceReader, is_tabbed: bool) -> Result<Vec<Unit>, DecodeError> {
    let n_bytes = source.n_bytes()?;
    let delimiter = if is_tabbed { b'\t' } else { delimiter(source)? };
    source.rewind()?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        // A row ends behind its line feed; the default would leave that of a CRLF to the next row.
        .terminator(csv::Terminator::Any(b'\n'))
        .buffer_capacity(1 << 16)
        .from_reader(source);
    let mut rows = Rows::default();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(content)? {
        rows.push(record.position().map_or(0, csv::Position::byte));
    }
    Ok(rows.units(n_bytes))
}

/// Lines, each a row.
pub(crate) fn lines(source: &mut dyn SourceReader) -> Result<Vec<Unit>, DecodeError> {
    let n_bytes = source.n_bytes()?;
    let mut reader = BufReader::with_capacity(1 << 16, source);
    let (mut rows, mut position, mut starts_line) = (Rows::default(), 0, true);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(rows.units(n_bytes));
        }
        for &byte in buffer {
            if starts_line {
                rows.push(position);
            }
            starts_line = byte == b'\n';
            position += 1;
        }
        let n = buffer.len();
        reader.consume(n);
    }
}

fn delimiter(source: &mut dyn SourceReader) -> Result<u8, DecodeError> {
    let mut line = Vec::new();
    BufReader::new((&mut *source).take(1 << 16)).read_until(b'\n', &mut line)?;
    let count = |delimiter: u8| line.iter().filter(|&&byte| byte == delimiter).count();
    // The last of equals is taken, so the comma comes last.
    Ok([b'|', b'\t', b';', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b','))
}

/// Where rows begin, or every second one, or every fourth, so that they fit.
#[derive(Default)]
struct Rows {
    starts: Vec<u64>,
    n_rows: u64,
    /// A start is kept for every so many rows, as a power of two.
    shift: u32,
}

impl Rows {
    fn push(&mut self, start: u64) {
        if self.n_rows.is_multiple_of(1 << self.shift) {
            self.starts.push(start);
        }
        self.n_rows += 1;
        if self.starts.len() > MAX_UNITS {
            let mut index = 0;
            self.starts.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.shift += 1;
        }
    }

    fn units(mut self, n_bytes: u64) -> Vec<Unit> {
        // Empty lines before the first row are its.
        if let Some(first) = self.starts.first_mut() {
            *first = 0;
        }
        let ends = self.starts.iter().skip(1).copied().chain([n_bytes]);
        let rows = self.starts.iter().zip(ends).enumerate();
        rows.map(|(index, (&start, end))| {
            let row = (index as u64) << self.shift;
            let label = if self.shift == 0 { "row" } else { "rows" };
            let unit = Unit::new(label, ByteRange::new(start, end)).at(Origin::Row { table: 0, row });
            let last = (row + (1 << self.shift)).min(self.n_rows) - 1;
            if self.shift == 0 { unit } else { unit.named(format!("{row}-{last}")) }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_become_coarser_and_still_tile() {
        let mut rows = Rows::default();
        let n_rows = MAX_UNITS as u64 * 5 + 3;
        (0..n_rows).for_each(|row| rows.push(row * 10));
        let units = rows.units(n_rows * 10);
        assert!(units.len() <= MAX_UNITS + 1 && units.len() > MAX_UNITS / 4);
        assert_eq!(units[1].range.start, units[0].range.end);
        assert_eq!(units[1].origin, Some(Origin::Row { table: 0, row: 8 }));
        let last = units.last().expect("there are units");
        assert_eq!((last.range.end, last.name.as_deref()), (n_rows * 10, Some("1310720-1310722")));
    }
}
