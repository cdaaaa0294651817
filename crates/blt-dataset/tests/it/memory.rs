//! How much is asked of a file, and at once: neither a large row group nor many small ones are ever in memory as a whole.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow_array::{RecordBatch, StringArray};
use blt_dataset::{BlockOptions, ReadAt, Table, TableOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// Counts what is asked of it.
struct Counting {
    bytes: Vec<u8>,
    n_asked: AtomicU64,
    longest: AtomicU64,
    asked: Mutex<Vec<(u64, u64)>>,
}

impl ReadAt for Counting {
    fn n_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn identity(&self) -> String {
        "counted".to_owned()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.n_asked.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.longest.fetch_max(buffer.len() as u64, Ordering::Relaxed);
        self.asked.lock().unwrap().push((offset, buffer.len() as u64));
        self.bytes.read_at(offset, buffer)
    }
}

/// 20 MB of text that does not pack, in row groups of `rows_a_group`, with a column beside it that nobody wants.
fn corpus(rows_a_group: usize) -> Arc<Counting> {
    let text = |i: usize| -> String {
        let mut state = i as u64 + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'a' + (state >> 59) as u8 % 26)
        };
        (0..2000).map(|_| next()).collect()
    };
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(rows_a_group))
        .set_data_page_size_limit(64 << 10)
        .set_dictionary_enabled(false)
        .build();
    let batch = |from: usize, to: usize| {
        let texts = StringArray::from_iter_values((from..to).map(text));
        let other = StringArray::from_iter_values((from..to).map(|i| text(i + 1_000_000)));
        RecordBatch::try_from_iter([("other", Arc::new(other) as _), ("text", Arc::new(texts) as _)]).unwrap()
    };
    let mut writer = ArrowWriter::try_new(Vec::new(), batch(0, 0).schema(), Some(properties)).unwrap();
    for from in (0..5000).step_by(100) {
        writer.write(&batch(from, from + 100)).unwrap();
    }
    let bytes = writer.into_inner().unwrap();
    Arc::new(Counting { bytes, n_asked: AtomicU64::new(0), longest: AtomicU64::new(0), asked: Mutex::default() })
}

const BLOCK: usize = 256 << 10;

fn open(file: &Arc<Counting>) -> Table {
    let blocks = BlockOptions { block_bytes: BLOCK, n_ahead: 2, max_kept_bytes: 4 * BLOCK };
    let options = TableOptions { blocks, ..TableOptions::default() };
    Table::open("a.parquet", Arc::clone(file) as Arc<dyn ReadAt>, &options).unwrap()
}

#[test]
fn either_shape_is_asked_for_once_and_in_blocks() {
    for rows_a_group in [5000, 10] {
        let file = corpus(rows_a_group);
        let table = open(&file);
        let n = table.rows(0..u64::MAX, &[1]).unwrap().inspect(|row| assert!(row.is_ok())).count();
        assert_eq!(n, 5000);
        assert!(file.longest.load(Ordering::Relaxed) <= 2 * BLOCK as u64);
        let n_asked = file.n_asked.load(Ordering::Relaxed);
        let n_bytes = file.n_bytes();
        // In one row group the column is half of the file, in many small ones blocks hold both columns.
        let most = if rows_a_group == 5000 { n_bytes * 6 / 10 } else { n_bytes * 11 / 10 };
        assert!(n_asked < most, "{n_asked} of {n_bytes} bytes were asked for");
    }
}

#[test]
fn a_few_rows_ask_for_little() {
    for rows_a_group in [5000, 10] {
        let file = corpus(rows_a_group);
        let table = open(&file);
        let opened = file.n_asked.load(Ordering::Relaxed);
        assert!(opened < file.n_bytes() / 5, "opening asks for {opened} bytes");
        assert_eq!(table.rows(10..20, &[1]).unwrap().count(), 10);
        let asked = file.n_asked.load(Ordering::Relaxed) - opened;
        assert!(asked <= 8 * BLOCK as u64, "ten rows ask for {asked} bytes");
    }
}

/// The writer leaves an index of pages, so a row group is cut into pieces that are read without those before.
#[test]
fn a_large_row_group_is_cut_at_its_pages() {
    let file = corpus(5000);
    let table = open(&file);
    let pieces = table.pieces(&[1], 1 << 20, u64::MAX).unwrap();
    assert_eq!(pieces.len(), 10);
    let mut next = 0;
    for piece in &pieces {
        let before = file.n_asked.load(Ordering::Relaxed);
        let rows: Vec<u64> = table.rows_of(piece, 0..u64::MAX, &[1]).unwrap().map(|row| row.unwrap().number).collect();
        assert_eq!(rows, (next..next + piece.n_rows.unwrap()).collect::<Vec<_>>());
        next += rows.len() as u64;
        let asked = file.n_asked.load(Ordering::Relaxed) - before;
        assert!(asked <= 12 * BLOCK as u64, "a piece of 1 MiB asks for {asked} bytes");
    }
    assert_eq!(next, 5000);
}
