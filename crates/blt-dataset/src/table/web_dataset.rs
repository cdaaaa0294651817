//! Tape archives whose neighbouring members `key.ext1`, `key.ext2` make a row, as the WebDataset library has it.

use std::io::Read;
use std::sync::Arc;

use super::lines::text;
use super::{Column, ColumnKind, Row, Rows, Table};
use crate::cell::Cell;
use crate::error::TableError;
use crate::tape::{Member, Tape};

/// The column with what a row's members have in common.
const KEY: &str = "__key__";

/// So many rows are looked at for the columns' names, or fewer where they have more bytes than these.
const SAMPLED_ROWS: usize = 5;
const SAMPLED_BYTES: u64 = 16 << 20;

/// The endings of the first rows' members, sorted, behind the key.
pub(super) fn columns(table: &Table) -> Result<Vec<Column>, TableError> {
    let mut samples = Samples::new(table);
    let mut found: Vec<(String, Vec<ColumnKind>)> = Vec::new();
    let mut n_bytes = 0_u64;
    for _ in 0..SAMPLED_ROWS {
        match samples.next_sample(None) {
            Some(Ok(sample)) => {
                for (name, cell) in sample.fields {
                    let kind = (cell != Cell::Null).then(|| ColumnKind::of_cell(&cell));
                    match found.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, kinds)) => kinds.extend(kind),
                        None => found.push((name, kind.into_iter().collect())),
                    }
                }
                n_bytes = n_bytes.saturating_add(sample.n_bytes);
                if n_bytes >= SAMPLED_BYTES {
                    break;
                }
            }
            Some(Err(error)) if error.is_of_one_row() => {}
            Some(Err(error)) => return Err(error),
            None => break,
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let key = Column { name: KEY.to_owned(), kind: ColumnKind::Text };
    let columns = found.into_iter().map(|(name, kinds)| Column { name, kind: ColumnKind::common(kinds.into_iter()) });
    Ok(std::iter::once(key).chain(columns).collect())
}

/// All rows.
pub(super) fn rows(table: &Table, names: Vec<String>) -> Rows {
    let mut samples = Samples::new(table);
    let mut number = 0;
    Box::new(std::iter::from_fn(move || {
        let sample = samples.next_sample(Some(&names))?;
        let row = number;
        number += 1;
        Some(sample.map(|mut sample| {
            let mut take = |name: &String| {
                if name == KEY {
                    return Cell::Text(sample.key.clone());
                }
                let field = sample.fields.iter_mut().find(|(known, _)| known == name);
                field.map_or(Cell::Null, |(_, cell)| std::mem::replace(cell, Cell::Null))
            };
            Row { number: row, cells: names.iter().map(&mut take).collect() }
        }))
    }))
}

struct Sample {
    key: String,
    fields: Vec<(String, Cell)>,
    /// Bytes of the members that were read.
    n_bytes: u64,
}

struct Samples {
    file: Arc<str>,
    max_bytes: u64,
    tape: Tape<Box<dyn Read + Send>>,
    /// The first member of the next sample.
    ahead: Option<Member>,
    number: u64,
    ended: bool,
}

impl Samples {
    fn new(table: &Table) -> Self {
        let tape = Tape::new(table.stream(0));
        let max_bytes = table.options.max_row_bytes;
        Self { file: Arc::clone(&table.file), max_bytes, tape, ahead: None, number: 0, ended: false }
    }

    /// The next row, with the fields that are in `wanted`.
    fn next_sample(&mut self, wanted: Option<&[String]>) -> Option<Result<Sample, TableError>> {
        if self.ended {
            return None;
        }
        let read = self.read(wanted).map_err(TableError::read(&self.file));
        let row = self.number;
        self.number += 1;
        match read {
            Ok(Some(Ok(sample))) => Some(Ok(sample)),
            Ok(Some(Err(why))) => Some(Err(TableError::Row { file: self.file.to_string(), row, why })),
            Ok(None) => None,
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }

    fn read(&mut self, wanted: Option<&[String]>) -> std::io::Result<Option<Result<Sample, String>>> {
        let mut sample: Option<Sample> = None;
        let mut wrong = None;
        loop {
            let member = match self.ahead.take() {
                Some(member) => Some(member),
                None => self.tape.next()?,
            };
            let Some(member) = member else {
                self.ended = true;
                break;
            };
            // Folders and hidden files are no members of a row, and neither is what has no ending.
            let Some((key, ending)) = key_and_ending(&member.name).filter(|_| member.is_file) else { continue };
            if sample.as_ref().is_some_and(|sample| sample.key != key) {
                self.ahead = Some(member);
                break;
            }
            let sample = sample.get_or_insert_with(|| Sample { key: key.to_owned(), fields: Vec::new(), n_bytes: 0 });
            if sample.fields.iter().any(|(known, _)| *known == ending) {
                wrong = Some(format!("`{key}` has two members `{ending}`"));
                continue;
            }
            if wanted.is_some_and(|wanted| !wanted.contains(&ending)) {
                continue;
            }
            sample.n_bytes = sample.n_bytes.saturating_add(member.n_bytes);
            if sample.n_bytes > self.max_bytes {
                wrong = Some(format!("it has more than {} bytes", self.max_bytes));
                sample.fields.clear();
                continue;
            }
            let mut bytes = Vec::new();
            self.tape.data(&member).read_to_end(&mut bytes)?;
            let cell = value(&ending, bytes);
            sample.fields.push((ending, cell));
        }
        Ok(sample.map(|sample| wrong.map_or(Ok(sample), Err)))
    }
}

/// What stands before and behind the first dot of a path's last name; endings are compared in lower case.
fn key_and_ending(path: &str) -> Option<(&str, String)> {
    let name_start = path.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name_start + path[name_start..].find('.')?;
    (dot > name_start).then(|| (&path[..dot], path[dot + 1..].to_lowercase()))
}

/// What is text becomes text, JSON becomes its values; everything else stays bytes.
fn value(ending: &str, bytes: Vec<u8>) -> Cell {
    match ending.rsplit('.').next().unwrap_or_default() {
        "txt" | "text" | "transcript" | "caption" | "cls" | "cls2" | "index" | "inx" | "id" => text(bytes),
        "json" | "jsn" => match serde_json::from_slice::<serde_json::Value>(&bytes) {
            Ok(value) => value.into(),
            Err(_) => text(bytes),
        },
        _ => Cell::Bytes(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_the_first_dot() {
        assert_eq!(key_and_ending("a/b.c/x.seg.PNG"), Some(("a/b.c/x", "seg.png".to_owned())));
        assert_eq!(key_and_ending("a/.hidden"), None);
        assert_eq!(key_and_ending("plain"), None);
    }
}
