//! Datasets as inputs, from a folder and from a Hub of our own that fails as it is told to.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use blt_hub_stub::{Fault, Kind, Port, Stub, What, World};
use blt_testkit::{files_below, prose};

use crate::{blt_cli, golden, text};

/// Outputs but for what tells of the run itself.
fn outputs(folder: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut files = files_below(folder);
    files.retain(|name, _| !name.ends_with("stats.json") && !name.ends_with("run.json"));
    files.into_iter().map(|(name, bytes)| (name.into(), bytes)).collect()
}

#[track_caller]
fn assert_same(found: &Path, expected: &Path) {
    let (found, expected) = (outputs(found), outputs(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(bytes == &found[name], "{} differs", name.display());
    }
}

fn lines(file: u64) -> Vec<u8> {
    let line = |row: u64| {
        let words = String::from_utf8(prose(40 + 13 * row as usize, 100 * file + row)).unwrap();
        format!("{}\n", serde_json::json!({"id": format!("doc/{file}/{row}"), "text": words}))
    };
    (0..6).map(line).collect::<String>().into_bytes()
}

/// Twenty files, half of them large ones that lie in the storage behind the hub.
fn world() -> World {
    let files: Vec<(String, Vec<u8>)> =
        (0..20).map(|i| (format!("data/train-{i:05}-of-00020.jsonl"), lines(i))).collect();
    let mut world = World::default();
    world.add(
        Kind::Datasets,
        "owner/prose",
        "main",
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
    );
    world
}

fn ingest(stub: &str, cache: &Path, output: &Path) -> Command {
    let mut command = blt_cli();
    command.args([
        "ingest",
        "--huggingface-dataset",
        "owner/prose",
        "--id-column",
        "id",
        "--model",
        &golden("model-tiny"),
    ]);
    command.args(["--hf-endpoint", stub, "--cache-dir", text(cache), "-o", text(output)]);
    command.env_remove("HF_TOKEN").env_remove("HF_ENDPOINT");
    command
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {stderr}");
    stderr
}

#[test]
fn a_failing_hub_changes_no_byte_and_none_is_needed_again() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = |name: &str| scratch.path().join(name);
    let stub = Stub::start(world()).unwrap();
    let said = succeed(&mut ingest(stub.endpoint(), &folder("cache-a"), &folder("clean")));
    assert!(said.contains("120 done"), "{said}");

    for i in [0, 3, 7, 11, 19] {
        let path = format!("train-{i:05}");
        let what = match i {
            0 => What::Status(503, None),
            3 => What::Truncate(40),
            7 => What::Status(500, None),
            11 => What::Status(429, Some(1)),
            _ => What::Lengthen(10),
        };
        stub.fail(Fault::once(Port::Hub, &path, what));
    }
    succeed(&mut ingest(stub.endpoint(), &folder("cache-b"), &folder("faulty")));
    assert_same(&folder("faulty"), &folder("clean"));

    drop(stub);
    let mut offline = ingest("http://127.0.0.1:9", &folder("cache-b"), &folder("offline"));
    succeed(offline.arg("--offline"));
    assert_same(&folder("offline"), &folder("clean"));
}

#[test]
fn shards_of_rows_are_the_same_however_often_the_run_was_killed() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = |name: &str| scratch.path().join(name);
    let stub = Stub::start(world()).unwrap();
    let sharded = |output: &Path| {
        let mut command = ingest(stub.endpoint(), &folder("cache"), output);
        command.args([
            "--output-format",
            "webdataset",
            "--webdataset-shard-size",
            "25",
            "--webdataset-compression",
            "none",
        ]);
        command
    };
    succeed(&mut sharded(&folder("clean")));
    for milliseconds in [60, 120, 200, 280, 350] {
        let mut child = sharded(&folder("killed")).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    succeed(&mut sharded(&folder("killed")));
    assert_same(&folder("killed"), &folder("clean"));
    assert!(folder("clean").join("shard_000004.tar").exists() && !folder("clean").join("shard_000005.tar").exists());
    let said = succeed(&mut sharded(&folder("killed")));
    assert!(said.contains("0 done") && said.contains("120 done before"), "{said}");
}

#[test]
fn rows_of_a_folder_are_sources_and_bad_ones_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    fs::create_dir(&data).unwrap();
    let rows =
        "{\"text\": \"one\", \"id\": \"../../etc/x\"}\nnot json\n{\"text\": \"three\", \"id\": \"../../etc/x\"}\n";
    fs::write(data.join("train.jsonl"), rows).unwrap();
    let out = scratch.path().join("out");
    let ingest = |more: &[&str]| {
        let mut command = blt_cli();
        command.args([
            "ingest",
            "--huggingface-dataset",
            text(&data),
            "-o",
            text(&out),
            "--model",
            &golden("model-tiny"),
        ]);
        command.args(more).output().unwrap()
    };
    let output = ingest(&["--id-column", "id"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let files: Vec<String> = outputs(&out).keys().map(|path| path.to_str().unwrap().to_owned()).collect();
    assert_eq!(files.iter().filter(|name| name.ends_with(".safetensors")).count(), 2, "{files:?}");
    assert!(files.iter().all(|name| !name.contains('/')), "{files:?}");

    let status = blt_cli().args(["runs", "status", text(&out)]).output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.starts_with("2 done, 1 failed") && status.contains("train.jsonl#1"), "{status}");
    // Another split of the data is another run.
    let output = ingest(&["--id-column", "id", "--split", "train[:1]"]);
    assert_eq!(output.status.code(), Some(2));
    let output = ingest(&["--text-column", "texts"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("texts") && said.contains("text"), "{said}");
}

#[test]
fn options_of_datasets_need_one() {
    let output = blt_cli().args(["ingest", "--text", "x", "--split", "test"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(not(feature = "polars"))]
#[test]
fn queries_need_a_build_with_polars() {
    for (option, value) in [("--filter", "score > 3"), ("--sql", "SELECT * FROM self")] {
        let output = blt_cli().args(["ingest", "--dataset", "owner/name", option, value]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(&format!("`{option}` is not compiled")), "{said}");
        assert!(said.contains("hint: build with `--features polars`"), "{said}");
    }
}

/// Whether a file that a row names is there changes nothing for the others of the row, not even their names.
#[test]
fn files_that_rows_name_are_read_or_named_or_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    let data = scratch.path().join("data");
    fs::create_dir_all(data.join("files")).unwrap();
    fs::write(data.join("train.jsonl"), "{\"id\": \"a\", \"file\": [\"files/one.bin\", \"files/two.bin\"]}\n").unwrap();
    fs::write(data.join("files/one.bin"), prose(40, 1)).unwrap();
    fs::write(data.join("files/two.bin"), prose(50, 2)).unwrap();
    let ingest = |output: &str, more: &[&str]| {
        let out = scratch.path().join(output);
        let mut command = blt_cli();
        command.args(["ingest", "--huggingface-dataset", text(&data), "--file-column", "file", "--id-column", "id"]);
        command.args(["--cache-dir", text(&scratch.path().join("cache")), "-o", text(&out)]);
        let output = command.args(["--model", &golden("model-tiny")]).args(more).output().unwrap();
        let names: Vec<String> = outputs(&out).keys().map(|path| path.to_str().unwrap().to_owned()).collect();
        let tensors = names.into_iter().filter(|name| name.ends_with(".safetensors")).collect::<Vec<_>>();
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), tensors)
    };
    let (code, said, whole) = ingest("whole", &[]);
    assert_eq!((code, whole.len()), (Some(0), 2), "{said}");
    fs::remove_file(data.join("files/one.bin")).unwrap();
    let (code, said, none) = ingest("strict", &[]);
    assert!(code == Some(1) && none.is_empty() && said.contains("files/one.bin"), "{said}");
    let (code, said, rest) = ingest("lenient", &["--skip-missing-files"]);
    assert!(code == Some(0) && said.contains("1 done") && said.contains("1 skipped"), "{said}");
    assert_eq!(rest, whole[1..]);
    // What is left out is a setting of the run.
    assert_eq!(ingest("lenient", &[]).0, Some(2));
}
