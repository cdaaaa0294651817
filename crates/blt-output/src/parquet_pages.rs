//! One column chunk: rows to pages to bytes.
//!
//! The collected values are already what Parquet's plain encoding is, and all levels of a row follow from one length. So
//! pages are put together here, values copied as they are, and only framed by the `parquet` crate, whose column writer
//! would take every value, and two levels for each, as objects of their own.
//!
//! Source: the Apache Parquet format, `Encodings.md` and `README.md` (Nested Encoding, Data Pages).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::column::page::{CompressedPage, Page, PageWriter};
use ::parquet::column::writer::ColumnCloseResult;
use ::parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder};
use ::parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use ::parquet::schema::types::ColumnDescPtr;

use crate::in_order::InOrder;
use crate::parquet_columns::{Column, Shape, Values};

/// Pages end with the row that brings them to this many bytes.
const PAGE_BYTES: usize = 1 << 20;
const ZSTD_LEVEL: i32 = 3;

/// A page as it was collected: its values, and its levels as they are written, each behind its length.
pub(crate) struct PlainPage {
    values_are: Values,
    values: Vec<u8>,
    levels: [Vec<u8>; 2],
}

/// A page as it is written.
pub(crate) struct PackedPage {
    bytes: Vec<u8>,
    encoding: Encoding,
    n_uncompressed: usize,
}

/// Threads that encode and compress pages.
pub(crate) type PagePackers = InOrder<PlainPage, io::Result<PackedPage>>;

/// So many of them.
pub(crate) fn page_packers(n_threads: usize) -> io::Result<PagePackers> {
    InOrder::new("parquet", n_threads, || {
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        Ok(move |plain: PlainPage| pack(plain, &mut compressor))
    })
}

fn pack(plain: PlainPage, compressor: &mut zstd::bulk::Compressor<'_>) -> io::Result<PackedPage> {
    let PlainPage { values_are, values, levels } = plain;
    let mut page = Vec::with_capacity(2 * values.len() + levels.iter().map(Vec::len).sum::<usize>() + 16);
    for levels in levels.iter().filter(|levels| !levels.is_empty()) {
        page.extend_from_slice(&(levels.len() as u32).to_le_bytes());
        page.extend_from_slice(levels);
    }
    let encoding = encode(values_are, &values, &mut page);
    Ok(PackedPage { bytes: compressor.compress(&page)?, encoding, n_uncompressed: page.len() })
}

/// A chunk in the making, in a file of its own: its length is known only at its end.
pub(crate) struct ChunkWriter<'a> {
    column: &'a Column,
    descriptor: ColumnDescPtr,
    out: TrackedWrite<File>,
    packers: &'a mut PagePackers,
    /// Levels and rows of each page that is being packed.
    on_the_way: VecDeque<(u32, u64)>,
    repetition: Levels,
    definition: Levels,
    /// Values of the page in the making, as they were collected; byte arrays with their lengths before them.
    values: Vec<u8>,
    n_levels: u64,
    n_rows: u64,
    /// Sums over the finished pages.
    total: Total,
    index: OffsetIndexBuilder,
}

#[derive(Default)]
struct Total {
    n_levels: i64,
    n_rows: u64,
    n_compressed: i64,
    n_uncompressed: i64,
    dictionary_offset: Option<i64>,
    first_page_offset: Option<i64>,
}

impl<'a> ChunkWriter<'a> {
    /// The file is made in `scratch` and has no name.
    pub(crate) fn new(
        column: &'a Column,
        descriptor: ColumnDescPtr,
        scratch: &Path,
        packers: &'a mut PagePackers,
    ) -> io::Result<Self> {
        assert!(packers.is_idle(), "the chunk before was finished");
        let (max_definition, max_repetition) = column.max_levels();
        let mut chunk = Self {
            column,
            descriptor,
            out: TrackedWrite::new(tempfile::tempfile_in(scratch)?),
            packers,
            on_the_way: VecDeque::new(),
            repetition: Levels::new(max_repetition),
            definition: Levels::new(max_definition),
            values: Vec::new(),
            n_levels: 0,
            n_rows: 0,
            total: Total::default(),
            index: OffsetIndexBuilder::new(),
        };
        if column.values == Values::I8 {
            chunk.write_dictionary()?;
        }
        Ok(chunk)
    }

    /// The next row of a column of [`Shape::One`] or [`Shape::Optional`].
    pub(crate) fn row(&mut self, value: Option<&[u8]>) -> io::Result<()> {
        if let Some(value) = value {
            if self.column.values.n_bytes().is_none() {
                self.values.extend_from_slice(&u32::try_from(value.len()).map_err(too_large)?.to_le_bytes());
            }
            self.values.extend_from_slice(value);
        }
        self.definition.push(u32::from(value.is_some()), 1);
        self.end_row(1)
    }

    /// The next row of a column of [`Shape::List`] or [`Shape::ListOf`]: `length` values or lists, from `values`.
    pub(crate) fn list_row(&mut self, length: u64, values: &mut impl Read) -> io::Result<()> {
        let (width, max_definition) = match self.column.shape {
            Shape::ListOf(width) => (width as u64, 2),
            _ => (1, 1),
        };
        if length == 0 {
            self.repetition.push(0, 1);
            self.definition.push(0, 1);
            return self.end_row(1);
        }
        if let Shape::ListOf(_) = self.column.shape {
            for i in 0..length {
                self.repetition.push(u32::from(i > 0), 1);
                self.repetition.push(2, width - 1);
            }
        } else {
            self.repetition.push(0, 1);
            self.repetition.push(1, length - 1);
        }
        let n_values = length * width;
        self.definition.push(max_definition, n_values);
        let value_bytes = self.column.values.n_bytes().expect("lists are of numbers") as u64;
        let n_bytes = usize::try_from(n_values * value_bytes).map_err(too_large)?;
        let start = self.values.len();
        self.values.resize(start + n_bytes, 0);
        values.read_exact(&mut self.values[start..])?;
        self.end_row(n_values)
    }

    fn end_row(&mut self, n_levels: u64) -> io::Result<()> {
        self.n_levels += n_levels;
        self.n_rows += 1;
        if self.values.len() + self.repetition.runs.len() >= PAGE_BYTES { self.end_page() } else { Ok(()) }
    }

    fn end_page(&mut self) -> io::Result<()> {
        let num_values = u32::try_from(std::mem::take(&mut self.n_levels)).map_err(too_large)?;
        self.on_the_way.push_back((num_values, std::mem::take(&mut self.n_rows)));
        let levels = [self.repetition.take(), self.definition.take()];
        let values = std::mem::take(&mut self.values);
        match self.packers.push(PlainPage { values_are: self.column.values, values, levels })? {
            Some(packed) => self.write_packed(packed?),
            None => Ok(()),
        }
    }

    /// Writes the oldest page that was on the way.
    fn write_packed(&mut self, packed: PackedPage) -> io::Result<()> {
        let (num_values, n_rows) = self.on_the_way.pop_front().expect("it was on the way");
        let levels = Encoding::RLE;
        let data = Page::DataPage {
            buf: packed.bytes.into(),
            num_values,
            encoding: packed.encoding,
            def_level_encoding: levels,
            rep_level_encoding: levels,
            statistics: None,
        };
        let (offset, n_bytes) = self.write_page(data, packed.n_uncompressed)?;
        self.total.n_levels += i64::from(num_values);
        self.total.first_page_offset.get_or_insert(offset);
        self.total.n_rows += n_rows;
        self.index.append_row_count(n_rows as i64);
        self.index.append_offset_and_size(offset, i32::try_from(n_bytes).map_err(too_large)?);
        Ok(())
    }

    /// All 8-bit numbers in order, so that an index is the number with its sign bit turned.
    fn write_dictionary(&mut self) -> io::Result<()> {
        let values: Vec<u8> = (-128i32..128).flat_map(i32::to_le_bytes).collect();
        let buf = zstd::bulk::compress(&values, ZSTD_LEVEL)?.into();
        let page = Page::DictionaryPage { buf, num_values: 256, encoding: Encoding::PLAIN, is_sorted: true };
        let (offset, _) = self.write_page(page, values.len())?;
        self.total.dictionary_offset = Some(offset);
        Ok(())
    }

    /// Where the page was written, and how many bytes with its header.
    fn write_page(&mut self, page: Page, n_uncompressed: usize) -> io::Result<(i64, u64)> {
        // The header has 32 bits for both sizes.
        i32::try_from(n_uncompressed.max(page.buffer().len())).map_err(too_large)?;
        let page = CompressedPage::new(page, n_uncompressed);
        let written = SerializedPageWriter::new(&mut self.out).write_page(page).map_err(io::Error::other)?;
        self.total.n_compressed += written.compressed_size as i64;
        self.total.n_uncompressed += written.uncompressed_size as i64;
        Ok((written.offset as i64, written.bytes_written))
    }

    /// The chunk's bytes and what is to be said of them.
    pub(crate) fn finish(mut self) -> io::Result<(File, ColumnCloseResult)> {
        if self.n_rows > 0 {
            self.end_page()?;
        }
        while let Some(packed) = self.packers.next()? {
            self.write_packed(packed?)?;
        }
        let mut encodings = vec![Encoding::RLE, encoding_of(self.column.values)];
        if self.total.dictionary_offset.is_some() {
            encodings.push(Encoding::PLAIN);
        }
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(io::Error::other)?;
        let metadata = ColumnChunkMetaData::builder(self.descriptor)
            .set_encodings(encodings)
            .set_compression(Compression::ZSTD(level))
            .set_num_values(self.total.n_levels)
            .set_total_compressed_size(self.total.n_compressed)
            .set_total_uncompressed_size(self.total.n_uncompressed)
            .set_data_page_offset(self.total.first_page_offset.unwrap_or(0))
            .set_dictionary_page_offset(self.total.dictionary_offset)
            .build()
            .map_err(io::Error::other)?;
        let closed = ColumnCloseResult {
            bytes_written: self.total.n_compressed as u64,
            rows_written: self.total.n_rows,
            bloom_filter: None,
            metadata,
            column_index: None,
            offset_index: Some(self.index.build()),
        };
        Ok((self.out.into_inner().map_err(io::Error::other)?, closed))
    }
}

fn encoding_of(values_are: Values) -> Encoding {
    match values_are {
        Values::F32 | Values::Bf16 => Encoding::BYTE_STREAM_SPLIT,
        Values::I8 => Encoding::RLE_DICTIONARY,
        Values::Text | Values::Binary | Values::I32 | Values::F16 => Encoding::PLAIN,
    }
}

/// Appends `values` to a page.
fn encode(values_are: Values, values: &[u8], page: &mut Vec<u8>) -> Encoding {
    match values_are {
        Values::F32 => {
            let values = values.as_chunks::<4>().0;
            (0..4).for_each(|i| page.extend(values.iter().map(|value| value[i])));
        }
        Values::Bf16 => {
            let values = values.as_chunks::<2>().0;
            page.resize(page.len() + 2 * values.len(), 0);
            (0..2).for_each(|i| page.extend(values.iter().map(|value| value[i])));
        }
        Values::I8 => {
            // Indices of 8 bits in one run of groups of eight are the bytes themselves.
            let n_groups = values.len().div_ceil(8);
            page.push(8);
            push_varint(page, (n_groups as u64) << 1 | 1);
            page.extend(values.iter().map(|value| value ^ 0x80));
            page.resize(page.len() + n_groups * 8 - values.len(), 0);
        }
        Values::Text | Values::Binary | Values::I32 | Values::F16 => page.extend_from_slice(values),
    }
    encoding_of(values_are)
}

fn too_large(_: std::num::TryFromIntError) -> io::Error {
    io::Error::other("a row is too large for a Parquet file")
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Levels in runs of equal ones: Parquet's hybrid encoding, of which only the run-length half is used.
struct Levels {
    max: u32,
    runs: Vec<u8>,
    level: u32,
    n_equal: u64,
}

impl Levels {
    fn new(max: u32) -> Self {
        Self { max, runs: Vec::new(), level: 0, n_equal: 0 }
    }

    fn push(&mut self, level: u32, count: u64) {
        if level != self.level {
            self.end_run();
            self.level = level;
        }
        self.n_equal += count;
    }

    fn end_run(&mut self) {
        // Readers count runs in 32 bits.
        while self.max > 0 && self.n_equal > 0 {
            let n = self.n_equal.min(1 << 30);
            push_varint(&mut self.runs, n << 1);
            self.runs.push(self.level as u8);
            self.n_equal -= n;
        }
        self.n_equal = 0;
    }

    /// What was pushed since the last call; nothing when all levels are 0.
    fn take(&mut self) -> Vec<u8> {
        self.end_run();
        std::mem::take(&mut self.runs)
    }
}
