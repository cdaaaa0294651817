//! Damaged and hostile files are errors with a sentence: no panic, no allocation of their choosing, no end that does not come.

use std::io::Read;
use std::sync::Arc;

use blt_dataset::{Table, TableError, TableOptions};
use proptest::prelude::*;

use crate::rows::{fixture, table};

/// Reads all rows of all columns, if the file opens at all. Rows behind the thousandth are not asked for.
fn read(name: &str, bytes: Vec<u8>) -> Result<usize, TableError> {
    let table = table(name, bytes)?;
    let all: Vec<usize> = (0..table.columns().len()).collect();
    table.pieces(&all, 1000, 1000)?;
    let mut n = 0;
    for row in table.rows(0..1000, &all)? {
        match row {
            Err(error) if !error.is_of_one_row() => return Err(error),
            _ => n += 1,
        }
    }
    Ok(n)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_is_an_error_or_harmless(
        name in prop::sample::select(vec![
            "rows.parquet", "paged.parquet", "types.parquet", "rows.arrow", "stream.arrow", "rows.jsonl", "rows.json", "rows.csv", "rows.tar",
        ]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = fixture(name);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(error) = read(name, bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn lengths_beyond_the_file_are_refused_before_they_are_believed() {
    // A Parquet footer, and an Arrow message, of gigabytes.
    let mut parquet = fixture("rows.parquet");
    let n = parquet.len();
    parquet[n - 8..n - 4].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    assert!(matches!(read("rows.parquet", parquet), Err(TableError::Malformed { .. })));
    let mut arrow = fixture("stream.arrow");
    arrow[4..8].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    let error = read("stream.arrow", arrow).unwrap_err();
    assert_eq!(error.to_string(), "`stream.arrow` is not a sound Arrow file: the head of a message is longer than any");
}

/// The size that a packed buffer claims to have is a number in front of it; it is searched for and raised.
#[test]
fn a_packed_buffer_that_claims_terabytes_is_refused() {
    let bytes = fixture("rows.arrow");
    let mut n_refused = 0;
    for at in (0..bytes.len() - 8).step_by(8) {
        let value = i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        // LZ4's frames begin with this, eight bytes behind the claim.
        if (1..100_000).contains(&value) && bytes.get(at + 8..at + 12) == Some(&[0x04, 0x22, 0x4d, 0x18]) {
            let mut claimed = bytes.clone();
            claimed[at..at + 8].copy_from_slice(&(1_i64 << 42).to_le_bytes());
            assert!(matches!(read("rows.arrow", claimed), Err(TableError::Limit { .. })));
            n_refused += 1;
        }
    }
    assert!(n_refused > 5);
}

#[test]
fn rows_without_an_end_are_bounded() {
    let options = TableOptions { max_row_bytes: 1 << 20, ..TableOptions::default() };
    let open = |name: &str, bytes: Vec<u8>| Table::open(name, Arc::new(bytes), &options).unwrap();
    // A quote that does not end takes in the file; JSON without an end, and a line of two megabytes.
    let csv = [&b"a,b\n1,2\n\"x,"[..], &vec![b'x'; 3 << 20]].concat();
    let error = open("a.csv", csv).rows(0..9, &[0]).unwrap().nth(1).unwrap().unwrap_err();
    assert!(
        !error.is_of_one_row() && std::error::Error::source(&error).unwrap().to_string().contains("a row is too long")
    );
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20));
    let lines = format!("{{\"a\":1}}\n{long}\n{{\"a\":2}}\n");
    let array = format!("[{{\"a\":1}},{long},{{\"a\":2}}]");
    for (name, text) in [("a.jsonl", lines), ("a.json", array)] {
        let told: Vec<bool> = open(name, text.into_bytes()).rows(0..9, &[0]).unwrap().map(|row| row.is_ok()).collect();
        assert_eq!(told, [true, false, true], "{name}");
    }
}

#[test]
fn a_packed_file_that_becomes_gigabytes_is_stopped() {
    let mut packed = Vec::new();
    let rows = format!("{{\"text\":\"{}\"}}\n", "x".repeat(10_000)).repeat(10_000);
    zstd::stream::read::Encoder::new(rows.as_bytes(), 1).unwrap().read_to_end(&mut packed).unwrap();
    let table = table("a.jsonl.zst", packed).unwrap();
    let error = table.rows(0..u64::MAX, &[0]).unwrap().find_map(Result::err).unwrap();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("more than 200 for each"), "{cause}");
}
