//! Rows become documents.

use serde_json::{Map, Value};

use crate::assets::looks_like_reference;
use crate::cell::Cell;
use crate::columns::{Content as ContentColumn, Selection};
use crate::features::Medium;
use crate::id::id_of_row;
use crate::table::Row;

/// What one row holds.
#[derive(Debug, Clone, PartialEq)]
pub struct RowDocument {
    /// The file it is in, by its place in [`Plan::files`](crate::Plan::files).
    pub file: usize,
    /// Its number in the file, from 0.
    pub row: u64,
    /// `item_` and the row's id or number: a plain file name that no other row of the plan has.
    pub id: String,
    /// The content of each wanted column that is not empty, in order; at least one.
    pub parts: Vec<Part>,
    /// The other columns, where they are wanted.
    pub metadata: Option<Map<String, Value>>,
}

/// Content of one cell, or of one item of a list in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The column it is in, with `~` and its index where the cell holds a list.
    pub name: String,
    /// What the column holds.
    pub medium: Medium,
    /// The content itself.
    pub content: Content,
    /// What the row calls the file, where it says so: a hint about its format, never a path to open.
    pub file_name: Option<String>,
}

/// Content, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Text.
    Text(String),
    /// Bytes as they are in the file.
    Bytes(Vec<u8>),
    /// A path or an address; see [`Reference`](crate::Reference).
    Reference(String),
}

impl RowDocument {
    /// What the row names and does not hold, as it is written there.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match &part.content {
            Content::Reference(reference) => Some(reference.as_str()),
            _ => None,
        })
    }

    /// A document of its own for each part: the row's id where there is one part, otherwise the id with the part's name.
    pub fn part_id(&self, part: usize) -> String {
        match self.parts.get(part) {
            Some(part) if self.parts.len() > 1 => format!("{}~{}", self.id, &id_of_row(&part.name)["item_".len()..]),
            _ => self.id.clone(),
        }
    }
}

/// The parts of a row, and its metadata.
type Parts = (Vec<Part>, Option<Map<String, Value>>);

/// What becomes of `row`; otherwise why it is no document.
pub(crate) fn parts(row: Row, selection: &Selection) -> Result<Parts, String> {
    let mut cells = row.cells;
    // A column may be named twice, and metadata may hold the id.
    let mut take = |place: usize| cells.get_mut(place).map_or(Cell::Null, |cell| std::mem::replace(cell, Cell::Null));
    let mut parts = Vec::new();
    for column in &selection.contents {
        let cell = take(column.place);
        match cell {
            Cell::List(items) if column.medium != Medium::Text => {
                for (i, item) in items.into_iter().enumerate() {
                    parts.extend(part(item, column, Some(i))?);
                }
            }
            cell => parts.extend(part(cell, column, None)?),
        }
    }
    if parts.is_empty() {
        let names: Vec<String> = selection.contents.iter().map(|column| column.name.clone()).collect();
        return Err(format!("it has nothing in {}", crate::error::listed(&names)));
    }
    let metadata = selection.metadata.iter().map(|(place, name)| (name.clone(), take(*place).into_json()));
    let metadata: Map<String, Value> = metadata.collect();
    Ok((parts, (!selection.metadata.is_empty()).then_some(metadata)))
}

fn part(mut cell: Cell, column: &ContentColumn, item: Option<usize>) -> Result<Option<Part>, String> {
    let name = item.map_or_else(|| column.name.clone(), |item| format!("{}~{item}", column.name));
    let medium = column.medium;
    let made = |content, file_name| Ok(Some(Part { name: name.clone(), medium, content, file_name }));
    if medium == Medium::Text {
        return match cell {
            Cell::Null => Ok(None),
            Cell::Text(text) => made(Content::Text(text), None),
            Cell::Bytes(bytes) => made(Content::Bytes(bytes), None),
            other => made(Content::Text(other.into_json().to_string()), None),
        };
    }
    match cell {
        Cell::Null => Ok(None),
        Cell::Bytes(bytes) => made(Content::Bytes(bytes), None),
        Cell::Text(path) if path.is_empty() => Ok(None),
        // A column that is only called `image` may hold words about one.
        Cell::Text(text) if !column.is_named && !looks_like_reference(&text) => {
            Ok(Some(Part { name, medium: Medium::Text, content: Content::Text(text), file_name: None }))
        }
        Cell::Text(path) => made(Content::Reference(path), None),
        Cell::Struct(_) => {
            let path = match cell.take_field("path") {
                Some(Cell::Text(path)) if !path.is_empty() => Some(path),
                _ => None,
            };
            match (cell.take_field("bytes"), path) {
                (Some(Cell::Bytes(bytes)), path) => made(Content::Bytes(bytes), path),
                (_, Some(path)) => made(Content::Reference(path), None),
                _ => Ok(None),
            }
        }
        _ => Err(format!("`{name}` holds neither bytes nor a path")),
    }
}

/// The text by which `cell` names its row.
pub(crate) fn id_text(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text.clone()),
        Cell::Number(number) => Some(number.to_string()),
        Cell::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
