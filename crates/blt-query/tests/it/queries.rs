//! What is answered.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use blt_query::{Format, QueryError};

use crate::{World, filter, rows, sql, write_parquet};

/// Rows with a text, a language, a number that may be missing, and a picture.
struct Columns {
    id: Vec<String>,
    language: Vec<&'static str>,
    score: Vec<Option<i64>>,
}

impl Columns {
    fn new(n: usize) -> Self {
        let score = |i: usize| (i % 7 != 3).then_some((i * 37 % 101) as i64);
        let language = |i: usize| ["en", "de", "d'oc"][i % 3];
        Self {
            id: (0..n).map(|i| format!("row {i}")).collect(),
            language: (0..n).map(language).collect(),
            score: (0..n).map(score).collect(),
        }
    }

    fn arrays(&self) -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("id", Arc::new(StringArray::from(self.id.clone()))),
            ("language", Arc::new(StringArray::from(self.language.clone()))),
            ("score", Arc::new(Int64Array::from(self.score.clone()))),
        ]
    }

    /// The rows for which `is_wanted`, as they are shown.
    fn shown(&self, is_wanted: impl Fn(&str, Option<i64>) -> bool) -> Vec<Vec<String>> {
        let header = vec!["id".to_owned(), "language".to_owned(), "score".to_owned()];
        let row = |i: usize| {
            let score = self.score[i].map_or("null".to_owned(), |score| score.to_string());
            vec![self.id[i].clone(), self.language[i].to_owned(), score]
        };
        let wanted = (0..self.id.len()).filter(|&i| is_wanted(self.language[i], self.score[i])).map(row);
        std::iter::once(header).chain(wanted).collect()
    }
}

#[test]
fn a_filter_gives_the_rows_that_a_loop_gives() {
    let world = World::new();
    let columns = Columns::new(5000);
    write_parquet(&world.path("a.parquet"), &columns.arrays(), 700);
    let more = Columns::new(300);
    write_parquet(&world.path("b.parquet"), &more.arrays(), 1000);
    let found = world.rows(&filter("score > 50 AND language = 'd''oc'"), Format::Parquet, &["a.parquet", "b.parquet"]);
    let is_wanted = |language: &str, score: Option<i64>| language == "d'oc" && score.is_some_and(|score| score > 50);
    let mut expected = columns.shown(is_wanted);
    expected.extend(more.shown(is_wanted).into_iter().skip(1));
    assert!(expected.len() > 500 && found == expected);

    let found = world.rows(&filter("score IS NULL OR language LIKE '%e%' -- or both"), Format::Parquet, &["b.parquet"]);
    assert_eq!(found, more.shown(|language, score| score.is_none() || language.contains('e')));
    let none = world.rows(&filter("score > 1000"), Format::Parquet, &["b.parquet"]);
    assert_eq!(none, [["id", "language", "score"]]);
}

/// Groups are in the order of their first rows, ties in that of the table; so a query has one answer.
#[test]
fn the_same_query_has_the_same_bytes() {
    let world = World::new();
    let columns = Columns::new(30_000);
    write_parquet(&world.path("a.parquet"), &columns.arrays(), 900);
    for (query, n_rows) in [
        ("SELECT language, COUNT(*) AS n, SUM(score) AS total FROM self GROUP BY language", 3),
        ("SELECT id, MIN(score) AS low FROM self GROUP BY id", 30_000),
        ("SELECT id, language FROM self ORDER BY score DESC LIMIT 5000", 5000),
        ("SELECT DISTINCT language, score FROM self", 306),
        (
            "SELECT a.id, b.n FROM self AS a JOIN (SELECT score, COUNT(*) AS n FROM self GROUP BY score) AS b ON a.score = b.score",
            25_714,
        ),
        ("SELECT language FROM self UNION SELECT id FROM self", 30_003),
        ("WITH best AS (SELECT * FROM self WHERE score > 90) SELECT * FROM best ORDER BY language", 2546),
    ] {
        let first = world.ask(&sql(query), Format::Parquet, &["a.parquet"]).unwrap();
        let bytes = fs::read(&first.path).unwrap();
        for _ in 0..3 {
            fs::remove_file(&first.path).unwrap();
            let again = world.ask(&sql(query), Format::Parquet, &["a.parquet"]).unwrap();
            assert!(again == first && fs::read(&again.path).unwrap() == bytes, "{query}");
        }
        assert_eq!(rows(&first.path).len() - 1, n_rows, "{query}");
    }
    let groups = world.rows(
        &sql("SELECT language, COUNT(*) AS n, SUM(score) AS total FROM self GROUP BY language"),
        Format::Parquet,
        &["a.parquet"],
    );
    let total = |wanted: &str| {
        let rows = columns.language.iter().zip(&columns.score).filter(|(language, _)| **language == wanted);
        rows.map(|(_, score)| score.unwrap_or(0)).sum::<i64>().to_string()
    };
    let expected = ["en", "de", "d'oc"].map(|language| [language.to_owned(), "10000".to_owned(), total(language)]);
    assert_eq!(groups[1..], expected);
}

/// Files inside columns come through as they are.
#[test]
fn bytes_and_structs_and_lists_stay_what_they_are() {
    let world = World::new();
    let bytes: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"\x89PNG", b"", b"\xff\x00"]));
    let paths: ArrayRef = Arc::new(StringArray::from(vec![Some("a.png"), None, Some("c.png")]));
    let image: ArrayRef = Arc::new(StructArray::from(vec![
        (Arc::new(Field::new("bytes", DataType::Binary, true)), bytes),
        (Arc::new(Field::new("path", DataType::Utf8, true)), paths),
    ]));
    let n: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let columns = [("image", image), ("n", n)];
    write_parquet(&world.path("a.parquet"), &columns, 10);
    let all = world.rows(&filter("n <> 2"), Format::Parquet, &["a.parquet"]);
    assert!(all.len() == 3 && all[1][0].contains("a.png") && all[2][0].contains("c.png"), "{all:?}");
    assert!(all[1][0].contains("bytes") && all[1][0].contains("137"), "{all:?}");
}

#[test]
fn columns_of_csv_are_text_and_stay_as_they_are_written() {
    let world = World::new();
    world.write("a.csv", "id,score,text\n007,1.50,\"two\nlines, \"\"quoted\"\"\"\n008,,plain\r\n9,30,\n");
    let columns = ["id", "score", "text"];
    let all = world.rows(&filter("true"), Format::Delimited(b','), &["a.csv"]);
    let first = ["007", "1.50", "two\nlines, \"quoted\""];
    assert_eq!(all, [columns, first, ["008", "", "plain"], ["9", "30", ""]]);
    let some = world.rows(&filter("TRY_CAST(score AS DOUBLE) > 1"), Format::Delimited(b','), &["a.csv"]);
    assert_eq!(some, [columns, first, ["9", "30", ""]]);
    let error = world.ask(&filter("score > 1"), Format::Delimited(b','), &["a.csv"]).unwrap_err();
    assert!(error.hint().unwrap().contains("CAST"), "{error}");

    world.write("a.tsv", "id\ttext\n1\ta,b\n");
    assert_eq!(world.rows(&filter("id = '1'"), Format::Delimited(b'\t'), &["a.tsv"]), [["id", "text"], ["1", "a,b"]]);
}

/// Fields that come late, and types that become wider late, are there from the first row on.
#[test]
fn json_lines_have_the_columns_of_all_lines() {
    let world = World::new();
    let mut lines: String = (0..1000).map(|i| format!("{{\"id\": {i}, \"text\": \"text {i}\"}}\n")).collect();
    lines.push_str("{\"id\": 1000, \"text\": \"the last\", \"score\": 1.5}\n");
    world.write("a.jsonl", &lines);
    world.write("b.jsonl", "{\"id\": 1001, \"text\": null, \"score\": 2, \"more\": true}\n");
    let names = ["a.jsonl", "b.jsonl"];
    let found = world.rows(&filter("id % 500 = 0 OR id > 1000"), Format::JsonLines, &names);
    let expected = [
        ["id", "text", "score", "more"],
        ["0", "text 0", "null", "null"],
        ["500", "text 500", "null", "null"],
        ["1000", "the last", "1.5", "null"],
        ["1001", "null", "2", "true"],
    ];
    assert_eq!(found, expected);
}

#[test]
fn packed_files_are_read_to_their_ends() {
    let world = World::new();
    let lines: String = (0..5000).map(|i| format!("{{\"id\": {i}, \"text\": \"text {i}\"}}\n")).collect();
    let (first, second) = lines.split_at(lines.find("{\"id\": 2500").unwrap());
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    world.write("a.jsonl.gz", [gzip(first), gzip(second)].concat());
    world.write("a.jsonl.zst", [zstd(first), zstd(second)].concat());
    let csv: String = (0..5000).map(|i| format!("{i},text {i}\n")).collect();
    let (first, second) = csv.split_at(20_000);
    let first = format!("id,text\n{first}");
    world.write("a.csv.gz", [gzip(&first), gzip(second)].concat());
    world.write("a.csv.zst", [zstd(&first), zstd(second)].concat());
    for (format, name) in [
        (Format::JsonLines, "a.jsonl.gz"),
        (Format::JsonLines, "a.jsonl.zst"),
        (Format::Delimited(b','), "a.csv.gz"),
        (Format::Delimited(b','), "a.csv.zst"),
    ] {
        let found = world.rows(&filter("text IN ('text 1', 'text 2499', 'text 2500', 'text 4999')"), format, &[name]);
        let ids: Vec<&str> = found.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(ids, ["id", "1", "2499", "2500", "4999"], "{name}");
    }
}

#[test]
fn arrow_files_are_queried() {
    let world = World::new();
    let columns = Columns::new(100);
    let batch = RecordBatch::try_from_iter(columns.arrays()).unwrap();
    let mut writer = arrow_ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    world.write("a.arrow", writer.into_inner().unwrap());
    let found = world.rows(&filter("score < 10"), Format::Arrow, &["a.arrow"]);
    assert_eq!(found, columns.shown(|_, score| score.is_some_and(|score| score < 10)));
}

/// Names of files and folders are names: neither patterns nor columns.
#[test]
fn names_mean_nothing() {
    let world = World::new();
    for folder in ["[ab]*", "language=en", "a?b"] {
        let name = |ending: &str| format!("{folder}/_{{x}}.{ending}");
        world.write(&name("jsonl"), "{\"id\": 1}\n");
        world.write(&name("csv"), "id\n1\n");
        write_parquet(&world.path(&name("parquet")), &[("id", Arc::new(Int64Array::from(vec![1])))], 10);
        for (format, ending) in
            [(Format::JsonLines, "jsonl"), (Format::Delimited(b','), "csv"), (Format::Parquet, "parquet")]
        {
            assert_eq!(world.rows(&filter("true"), format, &[&name(ending)]), [["id"], ["1"]], "{folder} {ending}");
        }
    }
}

#[test]
fn an_answer_is_used_again_until_a_file_changes() {
    let world = World::new();
    world.write("a.jsonl", "{\"id\": 1}\n{\"id\": 2}\n");
    let query = filter("id > 1");
    let first = world.ask(&query, Format::JsonLines, &["a.jsonl"]).unwrap();
    fs::write(&first.path, "what stands there").unwrap();
    assert_eq!(world.ask(&query, Format::JsonLines, &["a.jsonl"]).unwrap(), first);
    assert_eq!(fs::read(&first.path).unwrap(), b"what stands there");

    world.write("a.jsonl", "{\"id\": 1}\n{\"id\": 3}\n");
    let second = world.ask(&query, Format::JsonLines, &["a.jsonl"]).unwrap();
    assert!(second.key != first.key && rows(&second.path) == [["id"], ["3"]]);
    let third = world.ask(&filter("id > 2"), Format::JsonLines, &["a.jsonl"]).unwrap();
    let reversed = world.ask(&sql("SELECT * FROM self WHERE (id > 1)"), Format::JsonLines, &["a.jsonl"]).unwrap();
    assert!(third.key != second.key && reversed.key != second.key);
    assert_eq!(rows(&second.path), rows(&reversed.path));
}

/// What is written to when a process is killed has no name that counts, and goes away in time.
#[test]
fn what_a_killed_process_leaves_is_no_answer() {
    let world = World::new();
    world.write("a.jsonl", "{\"id\": 1}\n");
    let (old, new) = (world.write("answers/.old.partial", "PAR1"), world.write("answers/.new.partial", "PAR1"));
    let yesterday = SystemTime::now() - Duration::from_secs(25 * 3600);
    fs::File::options().write(true).open(&old).unwrap().set_modified(yesterday).unwrap();
    let answer = world.ask(&filter("true"), Format::JsonLines, &["a.jsonl"]).unwrap();
    assert!(!old.exists() && new.exists());
    assert_eq!(rows(&answer.path), [["id"], ["1"]]);

    let error = world.ask(&filter("no"), Format::JsonLines, &["a.jsonl"]).unwrap_err();
    assert!(matches!(error, QueryError::Unfit { .. }), "{error}");
    let left = fs::read_dir(world.answers()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut left: Vec<String> = left.collect();
    left.sort();
    assert_eq!(left, [".new.partial".to_owned(), format!("{}.parquet", answer.key)]);
}
