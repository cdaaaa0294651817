//! `--filter` and `--sql`, from a folder and from a Hub of our own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use blt_hub_stub::{Kind, Stub, World};
use blt_testkit::{files_below, prose};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::{blt_cli, golden, text};

/// A folder with a dataset, a cache and outputs.
struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, output: &str, more: &[&str]) -> Command {
        let mut command = blt_cli();
        command.args(["ingest", "--model", &golden("model-tiny")]);
        command.args(["--cache-dir", text(&self.path("cache")), "-o", text(&self.path(output))]);
        command.args(more);
        command
    }

    fn of_folder(&self, output: &str, more: &[&str]) -> Output {
        let data = self.path("data");
        self.command(output, &[&["--huggingface-dataset", text(&data)], more].concat()).output().unwrap()
    }

    /// Runs it on the folder `data`, which has to do, and gives what it says.
    #[track_caller]
    fn ingest(&self, output: &str, more: &[&str]) -> String {
        let result = self.of_folder(output, more);
        let said = String::from_utf8(result.stderr).unwrap();
        assert_eq!(result.status.code(), Some(0), "{said}");
        said
    }

    /// Runs it on the folder `data`, which has to be refused, and gives why.
    #[track_caller]
    fn refused(&self, output: &str, more: &[&str]) -> String {
        let result = self.of_folder(output, more);
        let said = String::from_utf8(result.stderr).unwrap();
        assert_eq!(result.status.code(), Some(2), "{said}");
        said
    }

    /// Outputs but for what tells of the run itself.
    fn outputs(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = files_below(&self.path(name));
        files.retain(|name, _| !name.ends_with("stats.json") && !name.ends_with("run.json"));
        files
    }

    /// The names of the sources of an output folder.
    fn sources(&self, name: &str) -> Vec<String> {
        let names = self.outputs(name).into_keys();
        names.filter_map(|name| Some(name.strip_suffix(".safetensors")?.to_owned())).collect()
    }
}

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>, features: Option<&str>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let metadata = features.map(|features| vec![KeyValue::new("huggingface".to_owned(), features.to_owned())]);
    let properties = WriterProperties::builder().set_key_value_metadata(metadata).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Texts with scores and ids, or those of them that `is_wanted`.
fn documents(n: i64, is_wanted: impl Fn(i64) -> bool) -> Vec<(&'static str, ArrayRef)> {
    let rows: Vec<i64> = (0..n).filter(|&row| is_wanted(row * 37 % 101)).collect();
    let texts = rows.iter().map(|&row| String::from_utf8(prose(30 + row as usize % 50, row as u64)).unwrap());
    let ids = rows.iter().map(|row| format!("doc-{row}"));
    vec![
        ("id", Arc::new(StringArray::from_iter_values(ids))),
        ("score", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row * 37 % 101)))),
        ("text", Arc::new(StringArray::from_iter_values(texts))),
    ]
}

/// The plain twin: what a loop leaves of the rows is, byte for byte, what the filter leaves.
#[test]
fn a_filter_has_the_outputs_of_a_loop() {
    let scratch = Scratch::new();
    let data = scratch.path("data/train.parquet");
    write_parquet(&data, documents(400, |_| true), None);
    let said = scratch.ingest("queried", &["--filter", "score > 70 AND text IS NOT NULL"]);
    assert!(said.contains("119 done"), "{said}");
    let said = scratch.ingest("named", &["--filter", "score > 70", "--id-column", "id"]);
    assert!(said.contains("119 done"), "{said}");

    fs::remove_file(data).unwrap();
    write_parquet(&scratch.path("data/train.query.parquet"), documents(400, |score| score > 70), None);
    for (queried, plain, more) in [("queried", "plain", &[][..]), ("named", "plainly-named", &["--id-column", "id"])] {
        scratch.ingest(plain, more);
        let (queried, plain) = (scratch.outputs(queried), scratch.outputs(plain));
        assert_eq!(queried.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>());
        // The journal tells what was asked.
        for (name, bytes) in plain.iter().filter(|(name, _)| !name.contains("manifest")) {
            assert!(*bytes == queried[name], "{name}");
        }
    }
}

/// A run is resumed with its query alone, also where the answer has to be computed anew.
#[test]
fn a_run_goes_on_with_the_same_query() {
    let scratch = Scratch::new();
    write_parquet(&scratch.path("data/train.parquet"), documents(60, |_| true), None);
    let query = ["--sql", "SELECT text FROM self WHERE score >= 50 ORDER BY score DESC"];
    let said = scratch.ingest("out", &query);
    assert!(said.contains("30 done"), "{said}");
    let before = scratch.outputs("out");
    fs::remove_dir_all(scratch.path("cache")).unwrap();
    let said = scratch.ingest("out", &query);
    assert!(said.contains("0 done") && said.contains("30 done before"), "{said}");
    assert!(scratch.outputs("out") == before);
    for other in [&["--filter", "score >= 50"][..], &["--sql", "SELECT text FROM self"], &[]] {
        let said = scratch.refused("out", other);
        assert!(said.contains("made with other settings") && said.contains("dataset_query"), "{said}");
    }
    // Other rows are another answer.
    write_parquet(&scratch.path("data/train.parquet"), documents(61, |_| true), None);
    scratch.ingest("out", &query);
    assert_eq!(scratch.sources("out").len(), 31);
}

#[test]
fn slices_and_limits_are_of_the_answer_and_splits_are_asked_one_by_one() {
    let scratch = Scratch::new();
    write_parquet(&scratch.path("data/train.parquet"), documents(100, |_| true), None);
    write_parquet(&scratch.path("data/test.parquet"), documents(40, |_| true), None);
    let filter = ["--filter", "id LIKE '%5'", "--id-column", "id"];
    scratch.ingest("all", &filter);
    assert_eq!(scratch.sources("all").len(), 10);
    scratch.ingest("few", &[&filter[..], &["--skip", "1", "--limit", "2"]].concat());
    assert_eq!(scratch.sources("few"), ["item_doc-15", "item_doc-25"]);
    scratch.ingest("slices", &[&filter[..], &["--split", "train[-10%:]+test[:2]"]].concat());
    assert_eq!(scratch.sources("slices"), ["item_doc-15", "item_doc-5", "item_doc-95"]);
    scratch.ingest(
        "counts",
        &["--sql", "SELECT COUNT(*) AS text FROM self", "--text-column", "text", "--split", "train+test"],
    );
    assert_eq!(scratch.sources("counts"), ["item_test-0", "item_train-0"]);

    let result = scratch.of_folder("dry", &[&filter[..], &["--dry-run", "--limit", "3"]].concat());
    let said = String::from_utf8(result.stdout).unwrap();
    assert!(said.contains("3 rows in 1 files") && said.contains("query\tWHERE id LIKE '%5'"), "{said}");
    assert!(!scratch.path("dry").exists());
}

/// That a column holds pictures is known from the file, or from the README, whatever it is called.
#[test]
fn what_is_known_of_columns_stays_known() {
    let scratch = Scratch::new();
    let picture = BASE64_STANDARD.decode(PICTURE).unwrap();
    let columns = || -> Vec<(&str, ArrayRef)> {
        vec![
            ("scan", Arc::new(BinaryArray::from_iter_values([&picture, &picture]))),
            ("good", Arc::new(BooleanArray::from(vec![false, true]))),
        ]
    };
    let features = r#"{"info": {"features": {"scan": {"_type": "Image"}}}}"#;
    write_parquet(&scratch.path("data/train.parquet"), columns(), Some(features));
    scratch.ingest("of-file", &["--filter", "good"]);
    assert_eq!(scratch.sources("of-file"), ["item_0"]);
    write_parquet(&scratch.path("data/train.parquet"), columns(), None);
    assert!(scratch.refused("none", &["--filter", "good"]).contains("looks like content"));
    let readme = "---\ndataset_info:\n  features:\n  - name: scan\n    dtype: image\n---\n";
    fs::write(scratch.path("data/README.md"), readme).unwrap();
    scratch.ingest("of-readme", &["--sql", "SELECT scan FROM self WHERE good"]);
    assert_eq!(scratch.sources("of-readme"), ["item_0"]);
}

/// One pixel as PNG.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Rows name files beside the data, wherever their answer lies.
#[test]
fn files_that_rows_name_are_found_beside_the_data() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path("data/en/files")).unwrap();
    fs::write(scratch.path("data/en/files/one.bin"), "a file that a row names").unwrap();
    fs::write(scratch.path("data/en/train.csv"), "n,file\n1,files/one.bin\n2,files/none.bin\n").unwrap();
    scratch.ingest("out", &["--filter", "n = '1'", "--file-column", "file"]);
    assert_eq!(scratch.sources("out"), ["item_0"]);
}

#[test]
fn files_of_a_hub_are_queried_in_its_cache() {
    let scratch = Scratch::new();
    let lines = |n: u64| (0..n).map(|i| format!("{{\"text\": \"text {i}\", \"n\": {i}}}\n")).collect::<String>();
    let files = [("data/train-0.jsonl", lines(20)), ("data/train-1.jsonl", lines(30)), ("data/test.txt", lines(1))];
    let mut world = World::default();
    let files = files.iter().map(|(name, text)| (*name, text.as_bytes()));
    world.add(Kind::Datasets, "owner/prose", "main", files);
    let stub = Stub::start(world).unwrap();
    let of_hub = |endpoint: &str, output: &str, more: &[&str]| {
        let args = ["--huggingface-dataset", "owner/prose", "--filter", "n >= 18", "--hf-endpoint", endpoint];
        let result = scratch.command(output, &[&args[..], more].concat()).output().unwrap();
        (result.status.code(), String::from_utf8(result.stderr).unwrap())
    };
    let (code, said) = of_hub(stub.endpoint(), "out", &[]);
    assert!(code == Some(0) && said.contains("14 done"), "{said}");
    let (code, said) = of_hub(stub.endpoint(), "text", &["--data-files", "data/*.txt"]);
    assert!(code == Some(2) && said.contains("`data/test.txt` is text") && said.contains("Parquet"), "{said}");
    let (code, said) = of_hub(stub.endpoint(), "stream", &["--stream"]);
    assert!(code == Some(2) && said.contains("--stream"), "{said}");
    drop(stub);
    fs::remove_dir_all(scratch.path("cache/hub/blt-queries")).unwrap();
    let (code, said) = of_hub("http://127.0.0.1:9", "offline", &["--offline"]);
    assert!(code == Some(0) && said.contains("14 done"), "{said}");
    assert!(scratch.outputs("offline") == scratch.outputs("out"));
}

#[test]
fn a_query_that_cannot_be_answered_says_why() {
    let scratch = Scratch::new();
    write_parquet(&scratch.path("data/train.parquet"), documents(10, |_| true), None);
    let said = scratch.refused("out", &["--filter", "scor > 3"]);
    assert!(said.contains("`score` (i64)") && said.contains("hint: ") && !said.contains("plan"), "{said}");
    let said = scratch.refused("out", &["--sql", "SELECT * FROM read_parquet('x')"]);
    assert!(said.contains("knows the table `self` alone"), "{said}");
    assert!(scratch.refused("out", &["--filter", "true", "--sql", "SELECT 1"]).contains("cannot be used with"));
    assert!(scratch.refused("out", &["--filter", "true", "--split", "dev"]).contains("`train`"));
    fs::write(scratch.path("data/train.parquet"), "PAR1 PAR1").unwrap();
    let said = scratch.refused("out", &["--filter", "score > 3"]);
    assert!(said.contains("train.parquet") && !said.contains("panicked"), "{said}");
}

/// Killed at any moment, a run leaves a whole answer or none.
#[test]
fn a_killed_query_leaves_no_half_answer() {
    let scratch = Scratch::new();
    write_parquet(&scratch.path("data/train.parquet"), documents(150_000, |_| true), None);
    let data = scratch.path("data");
    let args = ["--huggingface-dataset", text(&data), "--filter", "score > 5", "--limit", "3"];
    let answers = || {
        let files = files_below(&scratch.path("cache/hub/blt-queries"));
        files.into_iter().filter(|(name, _)| name.ends_with(".parquet")).collect::<BTreeMap<_, _>>()
    };
    for milliseconds in [50, 100, 150, 200, 300] {
        let mut child = scratch.command("killed", &args).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        let left = answers();
        let whole = |bytes: &[u8]| bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1");
        assert!(left.len() <= 1 && left.values().all(|bytes| whole(bytes)), "after {milliseconds} ms");
    }
    scratch.ingest("killed", &args[2..]);
    let answered = answers();
    fs::remove_dir_all(scratch.path("cache")).unwrap();
    scratch.ingest("clean", &args[2..]);
    assert!(answered == answers() && scratch.outputs("killed") == scratch.outputs("clean"));
}

/// Whatever Polars does with a damaged file, the user gets an answer or a sentence.
#[test]
fn damage_anywhere_is_a_sentence_or_nothing() {
    let scratch = Scratch::new();
    let data = scratch.path("data/train.parquet");
    write_parquet(&data, documents(200, |_| true), None);
    let whole = fs::read(&data).unwrap();
    for place in (0..whole.len()).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        fs::write(&data, &bytes).unwrap();
        let result = scratch.of_folder("out", &["--filter", "score > 50 AND text <> id", "--dry-run"]);
        let said = String::from_utf8(result.stderr).unwrap();
        assert!(matches!(result.status.code(), Some(0 | 2)) && !said.contains("panicked"), "{place}: {said}");
    }
}
