//! Whole runs: what is written, what is recorded, and what a stop changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use blt_core::EntropyEngine;
use blt_core::Views;
use blt_ingest::{
    Encoding, IngestError, IngestOptions, Input, Journal, Observer, Outcome, PlannedSource, Silent, Status, Summary,
    run,
};
use blt_modalities::{TextDecoder, TextSegments};
use blt_sidecar::Sidecar;
use blt_testkit::{files_below, noise, prose};
use safetensors::SafeTensors;

use crate::MODEL;

pub(crate) struct Folders {
    scratch: tempfile::TempDir,
}

impl Folders {
    pub(crate) fn new() -> Self {
        let folders = Self { scratch: tempfile::tempdir().unwrap() };
        fs::create_dir(folders.input()).unwrap();
        folders
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.scratch.path().join("input")
    }

    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.input().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn options(&self, output: &str) -> IngestOptions {
        let input = vec![Input::Path(self.input())];
        IngestOptions::new(input, &self.output(output), Encoding::global(1.5), MODEL.info().dim)
    }
}

pub(crate) fn ingest(options: &IngestOptions) -> Summary {
    run(&*MODEL, options, &Silent, &AtomicBool::new(false)).unwrap()
}

fn mixed_files(folders: &Folders) {
    folders.write("empty", b"");
    folders.write("one", b"x");
    folders.write("prose.txt", &prose(5000, 1));
    folders.write("noise.bin", &noise(3000, 2));
    folders.write("deep/er/ünï cödé.txt", "größer\n".as_bytes());
    folders.write("bad-utf8.txt", b"caf\xE9 \xFF\xFE");
    folders.write("same/name.txt", b"1");
    folders.write("same~name.txt", b"2");
    for i in 0..20 {
        folders.write(&format!("many/{i:02}.txt"), &prose(100 * i, i as u64));
    }
}

#[test]
fn outputs_hold_exactly_what_was_read() {
    let folders = Folders::new();
    mixed_files(&folders);
    let summary = ingest(&folders.options("out"));
    assert_eq!((summary.n_done, summary.n_failed, summary.n_skipped), (28, 0, 0));
    let journal = Journal::open_existing(&folders.output("out")).unwrap();
    let rows = journal.rows().unwrap();
    assert_eq!(rows.len(), 28);
    for row in rows {
        assert_eq!(row.status, Status::Done);
        let bytes = fs::read(&row.source).unwrap();
        let file = fs::read(folders.output("out").join(format!("{}.safetensors", row.id))).unwrap();
        let file = SafeTensors::deserialize(&file).unwrap();
        assert_eq!(file.tensor("bytes").unwrap().data(), bytes, "{}", row.id);
        let lengths = file.tensor("patch_lengths").unwrap();
        let lengths: Vec<i32> = lengths.data().as_chunks::<4>().0.iter().map(|&b| i32::from_le_bytes(b)).collect();
        assert_eq!(lengths.iter().sum::<i32>() as usize, bytes.len());
        assert!(lengths.iter().all(|&length| length > 0));
        assert_eq!(row.n_patches, Some(lengths.len() as u64));

        let sidecar = Sidecar::open(&folders.output("out").join(format!("{}.hypergraph.db", row.id))).unwrap();
        assert_eq!(sidecar.trunk().unwrap().n_bytes, bytes.len() as u64);
        assert_eq!(sidecar.n_leaves().unwrap(), lengths.len() as u64);
        let mut offset = 0;
        for (ordinal, length) in lengths.into_iter().enumerate() {
            let leaf = sidecar.leaf_at(1, offset).unwrap().unwrap();
            assert_eq!((leaf.ordinal, leaf.range.start, leaf.range.len()), (ordinal as u64, offset, length as u64));
            assert_eq!(sidecar.branch(leaf.branch).unwrap().unwrap().label, "raw");
            offset = leaf.range.end;
        }
    }
}

/// Sets its flag after so many bytes.
pub(crate) struct StopAfter<'a> {
    pub(crate) n_bytes: u64,
    pub(crate) seen: AtomicU64,
    pub(crate) flag: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn advanced(&self, n_bytes: u64) {
        if self.seen.fetch_add(n_bytes, Ordering::Relaxed) + n_bytes >= self.n_bytes {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_run_that_was_stopped_ends_as_a_clean_one() {
    let folders = Folders::new();
    mixed_files(&folders);
    ingest(&folders.options("clean"));
    let clean = files_below(&folders.output("clean"));
    assert_eq!(clean.len(), 28 * 2 + 1);
    let options = IngestOptions { n_workers: 2, ..folders.options("stopped") };
    for n_bytes in [1, 2000, 6000, 12_000] {
        let flag = AtomicBool::new(false);
        let observer = StopAfter { n_bytes, seen: AtomicU64::new(0), flag: &flag };
        let summary = run(&*MODEL, &options, &observer, &flag).unwrap();
        assert!(summary.interrupted);
    }
    // What a killed process leaves behind is swept away too.
    fs::create_dir_all(folders.output("stopped/.partial")).unwrap();
    fs::write(folders.output("stopped/.partial/one.safetensors"), b"half").unwrap();
    let summary = ingest(&options);
    assert!(!summary.interrupted && summary.n_resumed > 0 && summary.n_failed == 0);
    assert_eq!(files_below(&folders.output("stopped")), clean);
    // And once more changes nothing.
    let summary = ingest(&options);
    assert_eq!((summary.n_done, summary.n_resumed), (0, 28));
    assert_eq!(files_below(&folders.output("stopped")), clean);
}

#[test]
fn the_number_of_workers_changes_nothing() {
    let folders = Folders::new();
    mixed_files(&folders);
    ingest(&folders.options("one"));
    ingest(&IngestOptions { n_workers: 5, prefetch: 1, ..folders.options("five") });
    assert_eq!(files_below(&folders.output("one")), files_below(&folders.output("five")));
}

#[test]
fn a_large_source_is_read_from_disk_and_comes_out_the_same() {
    let folders = Folders::new();
    let bytes = prose(100_000, 3);
    folders.write("large.txt", &bytes);
    ingest(&folders.options("memory"));
    let summary = ingest(&IngestOptions { in_memory_bytes: 99_999, ..folders.options("disk") });
    assert_eq!(summary.n_bytes, 100_000);
    assert_eq!(files_below(&folders.output("memory")), files_below(&folders.output("disk")));
}

#[test]
fn one_bad_source_is_recorded_and_the_others_are_done() {
    let folders = Folders::new();
    folders.write("good.txt", b"good");
    folders.write("large.txt", &prose(5000, 1));
    let mut options = folders.options("out");
    options.inputs.push(Input::Path(folders.output("nowhere")));
    options.limits.max_bytes = 1000;
    let summary = ingest(&options);
    assert_eq!((summary.n_done, summary.n_failed), (1, 2));
    let rows = Journal::open_existing(&folders.output("out")).unwrap().rows().unwrap();
    let error = |id: &str| rows.iter().find(|row| row.id == id).unwrap().error.clone().unwrap();
    assert_eq!(error("large.txt"), "the source has 5000 bytes, more than the limit of 1000 (`--max-bytes`)");
    assert!(error("nowhere").contains("No such file"), "{}", error("nowhere"));
    // A failed source is tried again, and may then be done.
    options.limits.max_bytes = 10_000;
    assert_eq!(ingest(&options).n_done, 1);
    // One that was done and no longer can be leaves nothing behind.
    assert!(folders.output("out").join("large.txt.safetensors").exists());
    options.limits.max_bytes = 1000;
    assert_eq!(ingest(&options).n_failed, 2);
    assert!(!folders.output("out").join("large.txt.safetensors").exists());
}

#[cfg(unix)]
#[test]
fn links_and_special_files_are_skipped_by_name() {
    let folders = Folders::new();
    folders.write("real/file.txt", b"content");
    std::os::unix::fs::symlink("..", folders.input().join("real/loop")).unwrap();
    std::os::unix::fs::symlink("file.txt", folders.input().join("real/link.txt")).unwrap();
    std::os::unix::fs::symlink("gone", folders.input().join("broken")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folders.input().join("socket")).unwrap();
    let summary = ingest(&folders.options("out"));
    assert_eq!((summary.n_done, summary.n_skipped, summary.n_failed), (1, 4, 0));
    let summary = ingest(&IngestOptions { follow_links: true, ..folders.options("followed") });
    assert_eq!((summary.n_done, summary.n_skipped, summary.n_failed), (2, 2, 1)); // the broken link cannot be read
}

#[test]
fn changed_bytes_are_done_again_and_other_settings_refused() {
    let folders = Folders::new();
    folders.write("a.txt", b"first");
    folders.write("b.txt", b"same");
    ingest(&folders.options("out"));
    folders.write("a.txt", b"second");
    let summary = ingest(&folders.options("out"));
    assert_eq!((summary.n_done, summary.n_resumed), (1, 1));

    fs::write(folders.output("out").join("mine.txt"), b"not ours").unwrap();
    let other = IngestOptions { encoding: Encoding::global(2.0), ..folders.options("out") };
    let error = run(&*MODEL, &other, &Silent, &AtomicBool::new(false)).unwrap_err();
    let IngestError::Settings(differences) = error else { panic!("{error}") };
    assert_eq!(differences, ["threshold was 1.5, now 2"]);
    // An option at its default differs from one that was set, too.
    let mut limited = folders.options("out");
    limited.encoding.patcher.max_patch_length = Some(3);
    let error = run(&*MODEL, &limited, &Silent, &AtomicBool::new(false)).unwrap_err();
    let IngestError::Settings(differences) = error else { panic!("{error}") };
    assert_eq!(differences, ["max_patch_length was not set, now 3"]);

    // What cannot be replaced is not removed.
    let typo = IngestOptions { inputs: vec![Input::Path("/nowhere/at/all".into())], overwrite: true, ..other.clone() };
    assert!(run(&*MODEL, &typo, &Silent, &AtomicBool::new(false)).is_err());
    assert!(folders.output("out").join("a.txt.safetensors").is_file());
    let summary = ingest(&IngestOptions { overwrite: true, ..other.clone() });
    assert_eq!(summary.n_done, 2);
    fs::write(folders.output("out").join("manifest.db"), b"").unwrap();
    assert_eq!(ingest(&IngestOptions { overwrite: true, ..other }).n_done, 2, "a broken journal is replaced");
    assert_eq!(fs::read(folders.output("out").join("mine.txt")).unwrap(), b"not ours");
}

/// What failed to decode is there as its bytes, which depend on the settings as all outputs do.
#[test]
fn outputs_of_failed_sources_hold_the_settings_too() {
    let folders = Folders::new();
    folders.write("lone-surrogate.txt", b"\xFF\xFEx\0\x00\xD8y\0");
    let mut options = folders.options("out");
    options.modalities.text.views = Views::Decoded;
    assert_eq!(ingest(&options).n_failed, 1);
    assert!(folders.output("out").join("lone-surrogate.txt.safetensors").is_file());
    options.encoding = Encoding::global(2.0);
    let error = run(&*MODEL, &options, &Silent, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, IngestError::Settings(_)), "{error}");
}

/// A journal can be anybody's: what it names must not lead out of the folder.
#[test]
fn a_tampered_journal_reaches_nothing_outside() {
    let folders = Folders::new();
    folders.write("a.txt", b"text");
    ingest(&folders.options("out"));
    let outside = folders.output("outside.safetensors");
    fs::write(&outside, b"precious").unwrap();
    let journal = rusqlite::Connection::open(folders.output("out").join("manifest.db")).unwrap();
    let tamper = r#"UPDATE source SET id = '../outside', outputs = '["../outside.safetensors"]', sha256 = 'x'"#;
    assert_eq!(journal.execute(tamper, []).unwrap(), 1);
    drop(journal);
    assert_eq!(ingest(&folders.options("out")).n_done, 1);
    ingest(&IngestOptions { overwrite: true, ..folders.options("out") });
    assert_eq!(fs::read(outside).unwrap(), b"precious");
    assert!(folders.output("out").join("a.txt.safetensors").is_file());
}

#[test]
fn a_missing_output_is_made_again() {
    let folders = Folders::new();
    folders.write("a.txt", b"text");
    ingest(&folders.options("out"));
    let before = files_below(&folders.output("out"));
    fs::remove_file(folders.output("out").join("a.txt.safetensors")).unwrap();
    assert_eq!(ingest(&folders.options("out")).n_done, 1);
    assert_eq!(files_below(&folders.output("out")), before);
}

#[test]
fn equal_names_from_two_inputs_stay_apart_and_keep_their_ids() {
    let folders = Folders::new();
    folders.write("left/x.txt", b"left");
    folders.write("right/x.txt", b"right");
    let options = |inputs: &[&str]| IngestOptions {
        inputs: inputs.iter().map(|input| Input::Path(folders.input().join(input))).collect(),
        ..folders.options("out")
    };
    ingest(&options(&["left"]));
    let summary = ingest(&options(&["right", "left"]));
    assert_eq!((summary.n_done, summary.n_resumed), (1, 1));
    let rows = Journal::open_existing(&folders.output("out")).unwrap().rows().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].id == "x.txt" && rows[0].source.contains("left"));
    assert!(rows[1].id.starts_with("x.txt@"));
    // The same folder under another spelling is the same source.
    assert_eq!(ingest(&options(&["right/.", "./left"])).n_resumed, 2);
    assert_eq!(ingest(&options(&["left/../left", "left"])).n_resumed, 1);
}

#[test]
fn exclusions_and_the_output_folder_itself_are_left_out() {
    let folders = Folders::new();
    folders.write("keep/a.txt", b"a");
    folders.write("keep/b.log", b"b");
    folders.write("cache/c.txt", b"c");
    folders.write(".hidden", b"d");
    let options = IngestOptions {
        output: folders.input().join("out"),
        exclude: vec!["*.log".to_owned(), "/cache".to_owned()],
        ..folders.options("")
    };
    assert_eq!(ingest(&options).n_done, 2);
    assert_eq!(ingest(&options).n_resumed, 2);
    fs::remove_dir_all(folders.input().join("out")).unwrap();
    let but =
        IngestOptions { exclude: vec!["*".to_owned(), "!*.log".to_owned(), "!keep".to_owned()], ..options.clone() };
    assert_eq!(ingest(&but).n_done, 1, "a later `!` takes back what an earlier pattern excluded");
    let itself = IngestOptions { inputs: vec![Input::Path(but.output.clone())], ..but };
    assert_eq!(ingest(&IngestOptions { overwrite: true, ..itself }).n_skipped, 1);
    let bad = IngestOptions { exclude: vec!["a{b".to_owned()], ..options };
    assert!(matches!(run(&*MODEL, &bad, &Silent, &AtomicBool::new(false)), Err(IngestError::Pattern { .. })));
}

#[test]
fn views_and_units_reach_the_outputs() {
    let folders = Folders::new();
    let text = "one line\nand another\n";
    let utf16: Vec<u8> = [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    folders.write("utf16.txt", &utf16);
    let mut options = IngestOptions { export_json: true, ..folders.options("out") };
    options.modalities.text = TextDecoder { segments: TextSegments::Lines, views: Views::Both };
    ingest(&options);
    let file = fs::read(folders.output("out").join("utf16.txt.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&file).unwrap();
    assert_eq!(file.tensor("bytes").unwrap().data(), [&utf16, text.as_bytes()].concat());
    let lengths = file.tensor("view_lengths").unwrap();
    let lengths: Vec<i64> = lengths.data().as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b)).collect();
    assert_eq!(lengths, [utf16.len() as i64, text.len() as i64]);
    let sidecar = Sidecar::open(&folders.output("out").join("utf16.txt.hypergraph.db")).unwrap();
    let branches = sidecar.branches().unwrap();
    let labels: Vec<&str> = branches.iter().map(|branch| branch.label.as_str()).collect();
    assert_eq!(labels, ["raw", "line", "line", "decoded", "line", "line"]);
    assert_eq!(branches[4].source.unwrap().end, 20); // BOM and nine characters
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(folders.output("out").join("utf16.txt.hypergraph.json")).unwrap()).unwrap();
    assert!(json["edges"].as_array().unwrap().iter().any(|edge| edge["label"] == "same_source"));
}

/// The rule `bpe` starts a patch with each unit; a view without units has nothing to start one at.
#[test]
fn byte_pair_patches_follow_the_units() {
    let folders = Folders::new();
    folders.write("a.txt", b"two words");
    let mut options = folders.options("out");
    options.encoding.patcher.rule = blt_patcher::Rule::Bpe;
    assert_eq!(ingest(&options).n_failed, 1);
    options.modalities.text.segments = TextSegments::Words;
    assert_eq!(ingest(&options).n_done, 1);
    let file = fs::read(folders.output("out").join("a.txt.safetensors")).unwrap();
    let lengths = SafeTensors::deserialize(&file).unwrap().tensor("patch_lengths").unwrap().data().to_vec();
    assert_eq!(lengths, [3i32, 1, 5].iter().flat_map(|length| length.to_le_bytes()).collect::<Vec<_>>());
}

#[test]
fn two_runs_in_one_folder_are_refused() {
    let folders = Folders::new();
    folders.write("a.txt", b"text");
    fs::create_dir(folders.output("out")).unwrap();
    let lock = fs::File::create(folders.output("out").join(".lock")).unwrap();
    lock.lock().unwrap();
    let result = run(&*MODEL, &folders.options("out"), &Silent, &AtomicBool::new(false));
    assert!(matches!(result, Err(IngestError::Locked(_))));
}

#[test]
fn nothing_to_find_is_an_error_before_anything_is_done() {
    let folders = Folders::new();
    let options = IngestOptions { inputs: vec![Input::Path(folders.output("nowhere"))], ..folders.options("out") };
    assert!(matches!(run(&*MODEL, &options, &Silent, &AtomicBool::new(false)), Err(IngestError::NoInput { .. })));
}

/// An engine that panics on one source must not take the run with it.
#[test]
fn a_defect_in_one_source_is_its_own() {
    #[derive(Debug)]
    struct Fragile;
    impl EntropyEngine for Fragile {
        fn info(&self) -> &blt_core::EngineInfo {
            MODEL.info()
        }
        fn session(&self) -> Box<dyn blt_core::Session + '_> {
            struct Session<'a>(Box<dyn blt_core::Session + 'a>);
            impl blt_core::Session for Session<'_> {
                fn push(
                    &mut self,
                    tokens: &[u16],
                    want: blt_core::Want,
                ) -> Result<blt_core::Signals, blt_core::EngineError> {
                    assert!(!tokens.contains(&(u16::from(b'!') + 4)), "an exclamation mark");
                    self.0.push(tokens, want)
                }
                fn reset(&mut self) {
                    self.0.reset();
                }
            }
            Box::new(Session(MODEL.session()))
        }
        fn row(&self, tokens: &[u16]) -> Result<blt_core::RowOutput, blt_core::EngineError> {
            MODEL.row(tokens)
        }
        fn batch(
            &self,
            documents: &[&[u16]],
            want: blt_core::Want,
        ) -> Result<Vec<blt_core::Signals>, blt_core::EngineError> {
            MODEL.batch(documents, want)
        }
    }
    #[derive(Default)]
    struct Failures(std::sync::Mutex<Vec<String>>);
    impl Observer for Failures {
        fn ended(&self, source: &PlannedSource, outcome: &Outcome) {
            if let Outcome::Failed(error) = outcome {
                self.0.lock().unwrap().push(format!("{}: {}", source.id, error.chain()));
            }
        }
    }
    let folders = Folders::new();
    folders.write("calm.txt", b"calm");
    folders.write("loud.txt", b"loud!");
    folders.write("quiet.txt", b"quiet");
    let failures = Failures::default();
    let summary = run(&Fragile, &folders.options("out"), &failures, &AtomicBool::new(false)).unwrap();
    assert_eq!((summary.n_done, summary.n_failed), (2, 1));
    assert_eq!(*failures.0.lock().unwrap(), ["loud.txt: internal error: an exclamation mark"]);
    assert!(!Path::new(&folders.output("out").join("loud.txt.safetensors")).exists());
}
