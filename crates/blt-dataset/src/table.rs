//! A dataset file as a table: its columns, how many rows it has, and any stretch of them.

mod arrow_cells;
mod arrow_file;
mod delimited;
mod json;
mod lines;
mod parquet_file;
mod stream;
mod web_dataset;

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blocks::{BlockOptions, Blocks};
use crate::cell::Cell;
use crate::error::TableError;
use crate::features::Features;
use crate::format::{Format, Packing};
use crate::read_at::ReadAt;

pub(crate) use stream::unpacked;

/// How files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// Blocks in which a file is fetched.
    pub blocks: BlockOptions,
    /// Most bytes that one row may have. Of Parquet and Arrow those of its values count, and some for each value.
    pub max_row_bytes: u64,
    /// Most bytes that one packed byte may become, beyond the first 64 MiB.
    pub max_ratio: u64,
    /// What a row of a text file is.
    pub text_rows: TextRows,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            blocks: BlockOptions::default(),
            max_row_bytes: 256 << 20,
            max_ratio: 200,
            text_rows: TextRows::default(),
        }
    }
}

/// What a row of a text file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextRows {
    /// A line, without its end.
    #[default]
    Lines,
    /// The whole file.
    File,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As the file has it.
    pub name: String,
    /// What lies in it.
    pub kind: ColumnKind,
}

/// What lies in a column, as far as it matters for finding content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A file: a struct with `bytes`, with `path`, or with both.
    File,
    /// Several of a kind.
    List(Box<ColumnKind>),
    /// Anything else: numbers, times, structs.
    Other,
}

/// A row: one cell for each column that was asked for, in that order.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its number in the file, from 0.
    pub number: u64,
    /// Its values.
    pub cells: Vec<Cell>,
}

/// Rows, read while they are asked for. After an error that is not of one row there are none.
pub type Rows = Box<dyn Iterator<Item = Result<Row, TableError>> + Send>;

/// A stretch of a file that can be read without what lies before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its first row.
    pub first_row: u64,
    /// How many rows it has; unknown for files whose rows cannot be counted beforehand.
    pub n_rows: Option<u64>,
    /// Where its first row begins, for formats in which rows have a place.
    pub first_byte: u64,
    /// About how many bytes of the file it stands for.
    pub n_bytes: u64,
}

/// A dataset file, opened. Nothing of its rows is kept.
pub struct Table {
    file: Arc<str>,
    blocks: Blocks,
    format: Format,
    packing: Packing,
    columns: Vec<Column>,
    features: Features,
    options: TableOptions,
    index: Index,
}

/// What was learnt of a file's inside when it was opened.
enum Index {
    Parquet(parquet_file::Index),
    Arrow(Arc<arrow_file::Index>),
    /// Rows follow each other from this byte on.
    Sequence {
        first_byte: u64,
        /// Rows end with a carriage return and a line feed; matters for delimited values alone.
        ends_with_cr: bool,
    },
}

impl Table {
    /// Opens `source`, which is called `file` in the dataset: reads its footer or its first rows.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read, is of no known format, or is damaged where that shows already.
    pub fn open(file: &str, source: Arc<dyn ReadAt>, options: &TableOptions) -> Result<Self, TableError> {
        let named = Format::of_name(file);
        let mut start = vec![0; source.n_bytes().min(64 << 10) as usize];
        source.read_at(0, &mut start).map_err(TableError::read(file))?;
        let packing = Packing::of_bytes(&start);
        let blocks = Blocks::new(Arc::clone(&source), options.blocks);
        if packing != Packing::Plain {
            let packed = Box::new(std::io::Cursor::new(start));
            start = Vec::new();
            // Cut in the middle of the packed stream, so the end is an error that does not matter.
            let _ = unpacked(packed, packing, u64::MAX).take(64 << 10).read_to_end(&mut start);
        }
        let named = named.map(|(format, _)| format);
        let format = Format::of_bytes(&start, named).ok_or_else(|| TableError::UnknownFormat(file.to_owned()))?;
        let format = if format == Format::JsonLines && named == Some(Format::JsonArray) && !json::is_lines(&start) {
            Format::JsonArray
        } else {
            format
        };
        let mut table = Self {
            file: file.into(),
            blocks,
            format,
            packing,
            columns: Vec::new(),
            features: Features::default(),
            options: options.clone(),
            index: Index::Sequence { first_byte: 0, ends_with_cr: false },
        };
        match format {
            Format::Parquet => {
                let index = parquet_file::Index::read(file, &source)?;
                (table.columns, table.features) = (index.columns(), index.features());
                table.index = Index::Parquet(index);
            }
            Format::Arrow => {
                let index = arrow_file::Index::read(file, &table.blocks)?;
                (table.columns, table.features) = (index.columns(), index.features());
                table.index = Index::Arrow(Arc::new(index));
            }
            Format::Csv | Format::Tsv => {
                let (columns, first_byte, ends_with_cr) = delimited::header(&table)?;
                table.columns = columns;
                table.index = Index::Sequence { first_byte, ends_with_cr };
            }
            Format::JsonLines | Format::JsonArray => table.columns = json::columns(&table)?,
            Format::WebDataset => table.columns = web_dataset::columns(&table)?,
            Format::Text => {
                table.columns = vec![Column { name: "text".to_owned(), kind: ColumnKind::Text }];
            }
        }
        Ok(table)
    }

    /// Its path in the dataset.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How rows lie in it.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What it is packed in.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Its columns. Those of JSON and WebDataset are those of the first rows.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// What its schema says about pictures, sounds and films in it.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// How many rows it has, where its footer or index says it.
    pub fn n_rows(&self) -> Option<u64> {
        match &self.index {
            Index::Parquet(index) => Some(index.n_rows()),
            Index::Arrow(index) => Some(index.n_rows()),
            Index::Sequence { .. } => None,
        }
    }

    /// The rows numbered `range`, with the columns `wanted` (indices into [`Table::columns`]). A range that ends behind the
    /// last row ends with it.
    ///
    /// # Errors
    ///
    /// Fails when reading cannot begin; what goes wrong later is told by the rows.
    pub fn rows(&self, range: Range<u64>, wanted: &[usize]) -> Result<Rows, TableError> {
        let whole = Piece { first_row: 0, n_rows: None, first_byte: self.first_byte(), n_bytes: self.blocks.n_bytes() };
        self.rows_of(&whole, range, wanted)
    }

    /// The rows of `piece` that are numbered `range` in the file, with the columns `wanted`.
    ///
    /// # Errors
    ///
    /// As [`Table::rows`].
    pub fn rows_of(&self, piece: &Piece, range: Range<u64>, wanted: &[usize]) -> Result<Rows, TableError> {
        let end = piece.n_rows.map_or(range.end, |n| range.end.min(piece.first_row.saturating_add(n)));
        let range = range.start.max(piece.first_row)..end;
        if range.is_empty() {
            return Ok(Box::new(std::iter::empty()));
        }
        match &self.index {
            Index::Parquet(index) => index.rows(self, range, wanted),
            Index::Arrow(index) => Ok(arrow_file::rows(index, self, range, wanted)),
            &Index::Sequence { ends_with_cr, .. } => {
                let names: Vec<String> =
                    wanted.iter().filter_map(|&i| Some(self.columns.get(i)?.name.clone())).collect();
                let rows = self.sequence(piece, ends_with_cr, names, wanted);
                let skipped = range.start - piece.first_row;
                let n = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
                // Rows that are passed over are not reported, but what ends the file is.
                let mut left = skipped;
                let rows = rows.skip_while(move |row| {
                    let passes = left > 0 && row.as_ref().err().is_none_or(TableError::is_of_one_row);
                    left -= u64::from(passes);
                    passes
                });
                Ok(Box::new(rows.take(n)))
            }
        }
    }

    /// All rows from the piece's first byte on.
    fn sequence(&self, piece: &Piece, ends_with_cr: bool, names: Vec<String>, wanted: &[usize]) -> Rows {
        match self.format {
            Format::Csv | Format::Tsv => delimited::rows(self, piece, ends_with_cr, wanted.to_vec()),
            Format::JsonLines => json::lines(self, piece, names),
            Format::JsonArray => json::array(self, names),
            Format::WebDataset => web_dataset::rows(self, names),
            _ => lines::rows(self, piece),
        }
    }

    /// Cuts the file into pieces of about `target_bytes` that depend on its data alone, up to the one that holds row
    /// `n_wanted - 1`, which may end right behind that row. Sizes are those of the columns `wanted` in Parquet, unpacked, and otherwise those of the file.
    /// Plain texts are read once for this, to find where rows begin; what can only be read from the front is one piece.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn pieces(&self, wanted: &[usize], target_bytes: u64, n_wanted: u64) -> Result<Vec<Piece>, TableError> {
        let target_bytes = target_bytes.max(1);
        match &self.index {
            Index::Parquet(index) => Ok(index.pieces(wanted, target_bytes, n_wanted)),
            Index::Arrow(index) => Ok(index.pieces(target_bytes, n_wanted)),
            Index::Sequence { .. } if !self.format.counts_rows(self.packing) => Ok(vec![self.whole()]),
            &Index::Sequence { first_byte, ends_with_cr } => match self.format {
                Format::Text if self.options.text_rows == TextRows::File => {
                    Ok(vec![Piece { n_rows: Some(1), ..self.whole() }])
                }
                Format::Csv | Format::Tsv => delimited::pieces(self, first_byte, ends_with_cr, target_bytes, n_wanted),
                _ => lines::pieces(self, target_bytes, n_wanted),
            },
        }
    }

    fn whole(&self) -> Piece {
        Piece { first_row: 0, n_rows: self.n_rows(), first_byte: self.first_byte(), n_bytes: self.blocks.n_bytes() }
    }

    fn first_byte(&self) -> u64 {
        if let Index::Sequence { first_byte, .. } = self.index { first_byte } else { 0 }
    }

    /// The file's bytes from `first_byte` on, unpacked. Packed files are only read from the front.
    fn stream(&self, first_byte: u64) -> Box<dyn Read + Send> {
        match self.packing {
            Packing::Plain => Box::new(self.blocks.reader(first_byte, u64::MAX)),
            packing => unpacked(Box::new(self.blocks.reader(0, u64::MAX)), packing, self.options.max_ratio),
        }
    }

    fn malformed(&self, why: impl ToString) -> TableError {
        TableError::Malformed { file: self.file.to_string(), format: self.format.name(), why: why.to_string() }
    }
}

/// Gathers rows into pieces while a file is read through.
struct Cutter {
    pieces: Vec<Piece>,
    target_bytes: u64,
}

impl Cutter {
    fn new(target_bytes: u64) -> Self {
        Self { pieces: Vec::new(), target_bytes }
    }

    /// The next rows begin at `first_byte` and have `n_bytes`.
    fn push(&mut self, n_rows: u64, first_byte: u64, n_bytes: u64) {
        if let Some(last) = self.pieces.last_mut()
            && last.n_bytes.saturating_add(n_bytes) <= self.target_bytes
        {
            last.n_rows = last.n_rows.map(|n| n + n_rows);
            last.n_bytes += n_bytes;
            return;
        }
        let first_row = self.pieces.last().map_or(0, |last| last.first_row + last.n_rows.unwrap_or(0));
        self.pieces.push(Piece { first_row, n_rows: Some(n_rows), first_byte, n_bytes });
    }

    fn n_rows(&self) -> u64 {
        self.pieces.last().map_or(0, |last| last.first_row + last.n_rows.unwrap_or(0))
    }
}

impl ColumnKind {
    /// What these cells have in common; nothing is told by nulls.
    fn of_cells<'a>(cells: impl Iterator<Item = &'a Cell>) -> Self {
        Self::common(cells.filter(|cell| **cell != Cell::Null).map(Self::of_cell))
    }

    /// The one kind that all of `kinds` are.
    fn common(mut kinds: impl Iterator<Item = Self>) -> Self {
        let Some(first) = kinds.next() else { return Self::Other };
        if kinds.all(|kind| kind == first) { first } else { Self::Other }
    }

    fn of_cell(cell: &Cell) -> Self {
        match cell {
            Cell::Text(_) => Self::Text,
            Cell::Bytes(_) => Self::Bytes,
            Cell::List(cells) => Self::List(Box::new(Self::of_cells(cells.iter()))),
            Cell::Struct(fields) if is_file(fields.iter().map(|(name, _)| name.as_str())) => Self::File,
            _ => Self::Other,
        }
    }
}

/// Whether a struct with these fields holds a file, as Image and Audio do.
fn is_file<'a>(fields: impl Iterator<Item = &'a str>) -> bool {
    let mut n = 0;
    let all = fields.inspect(|_| n += 1).all(|name| matches!(name, "bytes" | "path"));
    all && n > 0
}
