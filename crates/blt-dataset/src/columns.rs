//! Which columns are content, which one names a row.

use serde::{Deserialize, Serialize};

use crate::error::TableError;
use crate::features::{Features, Medium};
use crate::table::{Column, ColumnKind, Table};

/// Which columns are wanted. Nothing named: they are found by what files say about themselves, then by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnOptions {
    /// Columns of text. What is no text in them is written as JSON.
    pub text: Vec<String>,
    /// Columns of pictures, or of paths and addresses of pictures.
    pub image: Vec<String>,
    /// Columns of other files, or of their paths and addresses.
    pub file: Vec<String>,
    /// The column that names a row; without it a row is named by its number.
    pub id: Option<String>,
    /// Whether all other columns come along as JSON.
    pub with_metadata: bool,
}

/// Columns of one table by what they are for, as places in `wanted`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The columns to read, by their indices in the table, each once.
    pub(crate) wanted: Vec<usize>,
    pub(crate) contents: Vec<Content>,
    pub(crate) id: Option<usize>,
    pub(crate) metadata: Vec<(usize, String)>,
}

/// A column of content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) place: usize,
    pub(crate) name: String,
    pub(crate) medium: Medium,
    /// Whether it was named, and not found by what it is called.
    pub(crate) is_named: bool,
}

/// Columns whose name says that they are the text of a row; earlier ones are taken first.
const TEXT_NAMES: &[&str] = &[
    "text",
    "content",
    "contents",
    "document",
    "raw_content",
    "body",
    "code",
    "markdown",
    "html",
    "article",
    "story",
    "passage",
    "paragraph",
    "sentence",
    "txt",
    "abstract",
    "transcript",
    "transcription",
    "response",
    "output",
    "completion",
    "answer",
    "conversations",
    "messages",
    "prompt",
    "instruction",
    "question",
    "caption",
];

/// Columns whose name says which medium they hold.
const MEDIA_NAMES: &[(Medium, &[&str])] = &[
    (
        Medium::Image,
        &["image", "images", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp"],
    ),
    (Medium::Audio, &["audio", "audios", "wav", "flac", "mp3", "ogg", "opus", "m4a"]),
    (Medium::Video, &["video", "videos", "mp4", "webm", "mkv", "avi", "mov"]),
    (Medium::Pdf, &["pdf", "pdfs"]),
];

impl ColumnOptions {
    /// Finds the columns in `table`. What the README says about columns, `declared`, counts where the file says nothing.
    pub(crate) fn select(&self, table: &Table, declared: &Features) -> Result<Selection, TableError> {
        let columns = table.columns();
        let find = |name: &String| {
            columns.iter().position(|column| column.name == *name).ok_or_else(|| TableError::NoColumn {
                file: table.file().to_owned(),
                wanted: name.clone(),
                columns: names(columns),
            })
        };
        let medium = |i: usize| {
            let name = &columns[i].name;
            table.features().medium(name).or_else(|| declared.medium(name)).or_else(|| medium_of_name(&columns[i]))
        };
        let mut contents: Vec<(usize, Medium)> = Vec::new();
        for name in &self.text {
            contents.push((find(name)?, Medium::Text));
        }
        for name in &self.image {
            contents.push((find(name)?, Medium::Image));
        }
        for name in &self.file {
            let i = find(name)?;
            contents.push((i, medium(i).unwrap_or(Medium::Unknown)));
        }
        let id = self.id.as_ref().map(find).transpose()?;
        let is_named = !contents.is_empty();
        if !is_named {
            contents.extend((0..columns.len()).filter_map(|i| Some((i, medium(i)?))));
            contents.extend(text_column(columns).map(|i| (i, Medium::Text)));
            contents.dedup_by_key(|content| content.0);
        }
        if contents.is_empty() {
            return Err(TableError::NoContent { file: table.file().to_owned(), columns: names(columns) });
        }
        let mut wanted = Vec::new();
        let mut place = |i: usize| {
            wanted.iter().position(|&known| known == i).unwrap_or_else(|| {
                wanted.push(i);
                wanted.len() - 1
            })
        };
        let contents: Vec<Content> = contents
            .into_iter()
            .map(|(i, medium)| Content { place: place(i), name: columns[i].name.clone(), medium, is_named })
            .collect();
        let id = id.map(&mut place);
        let is_other = |column: &Column| !contents.iter().any(|content| content.name == column.name);
        let others = columns.iter().enumerate().filter(|(_, column)| self.with_metadata && is_other(column));
        let metadata = others.map(|(i, column)| (place(i), column.name.clone())).collect();
        Ok(Selection { wanted, contents, id, metadata })
    }
}

/// A column that can hold files and is called like them, or is a struct made for files.
fn medium_of_name(column: &Column) -> Option<Medium> {
    let kind = match &column.kind {
        ColumnKind::List(items) => items,
        kind => kind,
    };
    let name = column.name.to_ascii_lowercase();
    let ending = name.rsplit('.').next().unwrap_or_default(); // `seg.png` of a WebDataset
    let named = MEDIA_NAMES.iter().find(|(_, names)| names.contains(&name.as_str()) || names.contains(&ending));
    match kind {
        ColumnKind::File => Some(named.map_or(Medium::Unknown, |(medium, _)| *medium)),
        ColumnKind::Bytes | ColumnKind::Text => named.map(|(medium, _)| *medium),
        _ => None,
    }
}

/// The first of the known names, or the only column of text.
fn text_column(columns: &[Column]) -> Option<usize> {
    let named = |name: &&str| columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    TEXT_NAMES.iter().find_map(named).or_else(|| {
        let mut texts = columns.iter().enumerate().filter(|(_, column)| column.kind == ColumnKind::Text);
        let only =
            texts.next().filter(|(_, column)| !column.name.starts_with("__") && medium_of_name(column).is_none())?;
        texts.next().is_none().then_some(only.0)
    })
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}
