//! Rows come out of every format as they went in.

use std::io::Write;

use blt_dataset::{Cell, ColumnKind, Format, Packing, Piece, Table};
use serde_json::json;

use crate::rows::{N_ROWS, fixture, row, table};

const FIXTURES: &[(&str, Format)] = &[
    ("rows.parquet", Format::Parquet),
    ("paged.parquet", Format::Parquet),
    ("rows.arrow", Format::Arrow),
    ("stream.arrow", Format::Arrow),
    ("rows.jsonl", Format::JsonLines),
    ("rows.json", Format::JsonArray),
    ("rows.csv", Format::Csv),
    ("rows.tsv", Format::Tsv),
    ("rows.tar", Format::WebDataset),
];

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The columns `id`, `text` and `n` of a fixture, whatever they are called in it.
fn wanted(table: &Table) -> Vec<usize> {
    let find = |name: &str| {
        let is_named = |column: &str| column == name || column.split('.').next() == Some(name);
        table.columns().iter().position(|column| is_named(&column.name)).unwrap()
    };
    ["id", "text", "n"].map(find).to_vec()
}

/// Everything is text in CSV, and a number alone in a file of WebDataset is JSON.
fn cells(cells: Vec<Cell>) -> Vec<Cell> {
    let number = |cell| match cell {
        Cell::Text(text) if text.parse::<i64>().is_ok() => Cell::Number(text.parse::<i64>().unwrap().into()),
        other => other,
    };
    cells.into_iter().map(number).collect()
}

#[track_caller]
fn check_rows(table: &Table, piece: Option<&Piece>, range: std::ops::Range<u64>) {
    let wanted = wanted(table);
    let rows = match piece {
        Some(piece) => table.rows_of(piece, range.clone(), &wanted),
        None => table.rows(range.clone(), &wanted),
    };
    let found: Vec<(u64, Vec<Cell>)> =
        rows.unwrap().map(|row| row.unwrap()).map(|row| (row.number, cells(row.cells))).collect();
    let expected: Vec<(u64, Vec<Cell>)> = (range.start..range.end.min(N_ROWS)).map(|i| (i, row(i).to_vec())).collect();
    assert_eq!(found, expected, "{}", table.file());
}

#[test]
fn every_format_gives_the_rows_that_went_in() {
    for (name, format) in FIXTURES {
        let table = table(name, fixture(name)).unwrap();
        assert_eq!((table.format(), table.packing()), (*format, Packing::Plain));
        check_rows(&table, None, 0..u64::MAX);
        // Any stretch is that of the whole, and stretches one behind the other are all rows.
        for start in (0..N_ROWS).step_by(9) {
            check_rows(&table, None, start..start + 9);
        }
        check_rows(&table, None, 3..3);
        check_rows(&table, None, N_ROWS - 1..N_ROWS + 5);
        assert_eq!(table.rows(N_ROWS..N_ROWS + 3, &[0]).unwrap().count(), 0);
    }
}

#[test]
fn packed_files_are_those_that_were_packed() {
    for (name, _) in FIXTURES.iter().filter(|(_, format)| !matches!(format, Format::Parquet | Format::Arrow)) {
        let plain = fixture(name);
        for (ending, bytes) in [("gz", gzipped(&plain)), ("zst", zstd::encode_all(&plain[..], 1).unwrap())] {
            let table = table(&format!("{name}.{ending}"), bytes).unwrap();
            assert_ne!(table.packing(), Packing::Plain);
            check_rows(&table, None, 0..u64::MAX);
            check_rows(&table, None, 7..12);
        }
    }
}

#[test]
fn pieces_tile_the_rows_and_are_read_alone() {
    for (name, format) in FIXTURES {
        let table = table(name, fixture(name)).unwrap();
        let wanted = wanted(&table);
        for target in [1, 300, 1 << 20] {
            let pieces = table.pieces(&wanted, target, u64::MAX).unwrap();
            let mut next = 0;
            for piece in &pieces {
                assert_eq!(piece.first_row, next, "{name}");
                let Some(n_rows) = piece.n_rows else { break };
                next += n_rows;
                check_rows(&table, Some(piece), piece.first_row..next);
                check_rows(&table, Some(piece), piece.first_row + 1..next.max(piece.first_row + 1));
            }
            let counted = !matches!(format, Format::JsonArray | Format::WebDataset);
            assert_eq!(next, if counted { N_ROWS } else { 0 }, "{name}");
            let is_one_group = *name == "paged.parquet"; // and a small one
            assert!(target > 1 || !counted || is_one_group || pieces.len() > 3, "{name} is cut into {}", pieces.len());
            // Looking for few rows finds the same pieces, but for where the last one ends.
            let first = table.pieces(&wanted, target, 2).unwrap();
            assert_eq!(first[..first.len() - 1], pieces[..first.len() - 1]);
            assert_eq!(first[first.len() - 1].first_row, pieces[first.len() - 1].first_row);
        }
    }
}

#[test]
fn lines_and_whole_files_of_text() {
    let bytes = "one\r\n\ntwo ü\nlast".as_bytes().to_vec();
    let lines = table("a.txt", bytes.clone()).unwrap();
    let texts = |table: &Table| {
        table.rows(0..u64::MAX, &[0]).unwrap().map(|row| row.unwrap().cells[0].clone()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&lines), ["one", "", "two ü", "last"].map(|line| Cell::Text(line.into())));
    let options = blt_dataset::TableOptions { text_rows: blt_dataset::TextRows::File, ..Default::default() };
    let whole = Table::open("a.txt", std::sync::Arc::new(bytes.clone()), &options).unwrap();
    assert_eq!(texts(&whole), [Cell::Text(String::from_utf8(bytes).unwrap())]);
    let latin = table("a.txt", b"caf\xe9\nnext".to_vec()).unwrap();
    assert_eq!(texts(&latin), [Cell::Bytes(b"caf\xe9".to_vec()), Cell::Text("next".into())]);
}

#[test]
fn values_of_all_types_become_json() {
    let table = table("types.parquet", fixture("types.parquet")).unwrap();
    let all: Vec<usize> = (0..table.columns().len()).collect();
    let rows: Vec<Vec<serde_json::Value>> = table
        .rows(0..2, &all)
        .unwrap()
        .map(|row| row.unwrap().cells.into_iter().map(Cell::into_json).collect())
        .collect();
    let first = json!([
        "a", "1970-01-01T00:00:00Z", "1970-01-02", "1.50", 0.5, ["a", "b"], {"x": 1, "name": "n"}, "AP8=",
        [{"key": "k", "value": 1}],
    ]);
    assert_eq!(json!(rows[0]), first);
    assert_eq!(
        json!(rows[1]),
        json!([null, "1970-01-01T00:00:00.000001Z", "1970-01-03", "2.00", "NaN", [], null, "", []])
    );
    assert_eq!(table.columns()[5].kind, ColumnKind::List(Box::new(ColumnKind::Text)));
}

#[test]
fn rows_that_are_none_are_told_and_passed_over() {
    let bad_line = table("a.jsonl", b"{\"text\": 1}\nnonsense\n[2]\n\n{\"text\": 3}\n".to_vec()).unwrap();
    let told: Vec<String> = bad_line
        .rows(0..10, &[0])
        .unwrap()
        .map(|row| row.map_or_else(|error| error.to_string(), |row| format!("{row:?}")))
        .collect();
    assert_eq!(told.len(), 4);
    assert!(told[1].starts_with("row 1 of `a.jsonl`: it is not JSON"), "{}", told[1]);
    assert_eq!(told[2], "row 2 of `a.jsonl`: it is no JSON object");
    assert!(told[3].contains("number: 3"));
    let short = table("a.csv", b"a,b\n1,2\n3\n4,5\n".to_vec()).unwrap();
    let told: Vec<bool> = short.rows(0..10, &[1]).unwrap().map(|row| row.is_ok()).collect();
    assert_eq!(told, [true, false, true]);
}

#[test]
fn pretty_printed_and_concatenated_json() {
    for text in ["{\n \"a\": 1\n}\n{\n \"a\": 2\n}", "[{\"a\": 1}, {\"a\":\n2}]", "\u{feff}[\n]"] {
        let table = table("a.json", text.as_bytes().to_vec());
        let Ok(table) = table else {
            assert!(text.ends_with(']') && text.len() < 8, "only an empty array has no columns");
            continue;
        };
        let numbers: Vec<Cell> = table.rows(0..9, &[0]).unwrap().map(|row| row.unwrap().cells[0].clone()).collect();
        assert_eq!(numbers, [Cell::Number(1.into()), Cell::Number(2.into())]);
    }
}
