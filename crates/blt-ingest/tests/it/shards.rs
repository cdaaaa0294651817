//! Outputs that many sources share.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};

use blt_ingest::{Form, IngestOptions, Journal, Row, ShardFormat, Shards, Silent, Status, run};
use blt_output::ShardCompression;
use blt_sidecar::Sidecar;
use blt_testkit::{files_below, noise, prose};

use crate::MODEL;
use crate::runs::{Folders, StopAfter, ingest};

fn sharded(folders: &Folders, output: &str, compression: ShardCompression) -> IngestOptions {
    let form = Form::Shards(Shards { format: ShardFormat::WebDataset(compression), sources_per_shard: 4 });
    IngestOptions { form, ..folders.options(output) }
}

fn eleven_files(folders: &Folders) {
    for i in 0..11u64 {
        // The first of each shard takes longest.
        folders.write(&format!("{i:02}.v2.txt"), &prose(if i % 4 == 0 { 6000 } else { 100 * i as usize }, i));
    }
    folders.write("05.v2.txt", &noise(900, 5));
}

/// Members of the samples in a shard, by name.
fn members(shard: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(fs::File::open(shard).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

fn rows(folders: &Folders, output: &str) -> Vec<Row> {
    Journal::open_existing(&folders.output(output)).unwrap().rows().unwrap()
}

#[test]
fn shards_hold_consecutive_sources_with_every_byte() {
    let folders = Folders::new();
    eleven_files(&folders);
    let options = IngestOptions { n_workers: 3, ..sharded(&folders, "out", ShardCompression::None) };
    assert_eq!(ingest(&options).n_done, 11);
    for (i, row) in rows(&folders, "out").iter().enumerate() {
        let shard = format!("shard_{:06}.tar", i / 4);
        assert_eq!(row.outputs, [shard.clone(), shard.replace(".tar", ".hypergraph.db")]);
        let members = members(&folders.output("out").join(&shard));
        let bytes =
            members.iter().find(|(name, _)| name.starts_with(&format!("{i:02}")) && name.ends_with(".bytes.bin"));
        assert_eq!(bytes.unwrap().1, &fs::read(&row.source).unwrap());
    }
    let graph = Sidecar::open(&folders.output("out/shard_000001.hypergraph.db")).unwrap();
    assert_eq!(graph.n_trunks().unwrap(), 4);
    let ids: String = graph
        .connection()
        .query_row("SELECT group_concat(output_id, ' ') FROM (SELECT output_id FROM trunk ORDER BY id)", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(ids, "04.v2.txt 05.v2.txt 06.v2.txt 07.v2.txt");
    let index = fs::read_to_string(folders.output("out/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(index["shardlist"][2]["nsamples"], 3);
}

#[test]
fn workers_and_stops_change_no_byte_of_a_shard() {
    let folders = Folders::new();
    eleven_files(&folders);
    for compression in [ShardCompression::None, ShardCompression::Gzip, ShardCompression::Zstd] {
        let name = compression.extension();
        ingest(&sharded(&folders, &format!("clean.{name}"), compression));
        let stopped = IngestOptions { n_workers: 4, ..sharded(&folders, &format!("stopped.{name}"), compression) };
        for n_bytes in [1, 6500, 9000] {
            let flag = AtomicBool::new(false);
            let observer = StopAfter { n_bytes, seen: AtomicU64::new(0), flag: &flag };
            assert!(run(&*MODEL, &stopped, &observer, &flag).unwrap().interrupted);
        }
        ingest(&stopped);
        let clean = files_below(&folders.output(&format!("clean.{name}")));
        assert_eq!(files_below(&folders.output(&format!("stopped.{name}"))), clean);
        let again = ingest(&stopped);
        assert_eq!((again.n_done, again.n_resumed), (0, 11));
        assert_eq!(files_below(&folders.output(&format!("stopped.{name}"))), clean);
    }
}

/// Killed behind the last shard, when the index was published but not in the journal, and while SQLite began a journal of its own.
#[test]
fn a_run_that_was_killed_at_its_very_end_ends_the_same() {
    let folders = Folders::new();
    eleven_files(&folders);
    let options = sharded(&folders, "out", ShardCompression::None);
    ingest(&options);
    let clean = files_below(&folders.output("out"));
    let journal = rusqlite::Connection::open(folders.output("out/manifest.db")).unwrap();
    assert_eq!(journal.execute("DELETE FROM output WHERE name = 'index.json'", []).unwrap(), 1);
    drop(journal);
    fs::write(folders.output("out/manifest.db-journal"), [0; 512]).unwrap();
    assert_eq!(ingest(&options).n_resumed, 11);
    assert_eq!(files_below(&folders.output("out")), clean);
}

#[test]
fn a_changed_source_makes_its_shard_anew_and_a_lost_one_leaves_it() {
    let folders = Folders::new();
    eleven_files(&folders);
    let options = sharded(&folders, "out", ShardCompression::None);
    ingest(&options);
    folders.write("05.v2.txt", b"something else");
    let summary = ingest(&options);
    assert_eq!((summary.n_done, summary.n_resumed), (4, 7));
    fs::remove_file(folders.input().join("00.v2.txt")).unwrap();
    fs::remove_file(folders.input().join("01.v2.txt")).unwrap();
    fs::remove_file(folders.input().join("10.v2.txt")).unwrap();
    ingest(&options);
    assert!(!folders.output("out/shard_000002.tar").exists());
    ingest(&sharded(&folders, "clean", ShardCompression::None));
    assert_eq!(files_below(&folders.output("out")), files_below(&folders.output("clean")));
}

/// A source that is gone leaves no copy of another behind, whichever shard it was in.
#[test]
fn sources_that_move_between_shards_are_in_one_of_them() {
    for lost in ["00.v2.txt", "06.v2.txt", "10.v2.txt"] {
        let folders = Folders::new();
        eleven_files(&folders);
        let options = sharded(&folders, "out", ShardCompression::None);
        ingest(&options);
        fs::remove_file(folders.input().join(lost)).unwrap();
        ingest(&IngestOptions { limit: Some(2), ..options.clone() });
        ingest(&options);
        ingest(&sharded(&folders, "clean", ShardCompression::None));
        assert_eq!(files_below(&folders.output("out")), files_below(&folders.output("clean")), "{lost}");
    }
}

#[test]
fn what_the_user_wrote_beside_the_data_set_stays() {
    let folders = Folders::new();
    eleven_files(&folders);
    let form = Form::Shards(Shards { format: ShardFormat::Parquet, sources_per_shard: 4 });
    let options = IngestOptions { form, ..folders.options("out") };
    ingest(&options);
    fs::write(folders.output("out/README.md"), "my own words").unwrap();
    ingest(&options);
    assert_eq!(fs::read_to_string(folders.output("out/README.md")).unwrap(), "my own words");
}

#[test]
fn overwriting_leaves_nothing_of_the_run_before() {
    let folders = Folders::new();
    eleven_files(&folders);
    let shards = |n| Some(blt_output::ShardCount::Shards(n));
    ingest(&IngestOptions { equal_shards: shards(3), ..folders.options("out") });
    ingest(&IngestOptions { overwrite: true, equal_shards: None, ..folders.options("out") });
    ingest(&folders.options("clean"));
    assert_eq!(files_below(&folders.output("out")), files_below(&folders.output("clean")));
}

#[test]
fn a_shard_whose_sources_all_fail_is_no_more() {
    let folders = Folders::new();
    folders.write("a.txt", &prose(500, 1));
    folders.write("b.txt", &prose(500, 2));
    let options = sharded(&folders, "out", ShardCompression::Gzip);
    ingest(&options);
    let limits = blt_core::Limits { max_bytes: 100, ..blt_core::Limits::default() };
    let summary = ingest(&IngestOptions { limits, ..options });
    assert_eq!((summary.n_failed, summary.n_done), (2, 0));
    let left = files_below(&folders.output("out"));
    assert!(left.keys().all(|name| !name.starts_with("shard_")), "{:?}", left.keys());
    let journal = Journal::open_existing(&folders.output("out")).unwrap();
    assert!(journal.output_files().unwrap().is_empty());
}

#[test]
fn parquet_files_make_a_data_set_that_stops_do_not_change() {
    let folders = Folders::new();
    eleven_files(&folders);
    let form = Form::Shards(Shards { format: ShardFormat::Parquet, sources_per_shard: 4 });
    ingest(&IngestOptions { form, ..folders.options("clean") });
    let stopped = IngestOptions { form, n_workers: 3, ..folders.options("stopped") };
    let flag = AtomicBool::new(false);
    let observer = StopAfter { n_bytes: 7000, seen: AtomicU64::new(0), flag: &flag };
    assert!(run(&*MODEL, &stopped, &observer, &flag).unwrap().interrupted);
    ingest(&stopped);
    let clean = files_below(&folders.output("clean"));
    assert_eq!(files_below(&folders.output("stopped")), clean);
    let names: Vec<&String> = clean.keys().collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".parquet")).count(), 3, "{names:?}");
    let card = fs::read_to_string(folders.output("clean/README.md")).unwrap();
    assert!(card.contains("path: data/train-*.parquet"));
}

#[test]
fn equal_shards_hold_every_patch_once() {
    let folders = Folders::new();
    eleven_files(&folders);
    folders.write("shards.txt", b"its outputs are no shards");
    let options = IngestOptions { equal_shards: Some(blt_output::ShardCount::Shards(4)), ..folders.options("out") };
    ingest(&options);
    let manifest = fs::read(folders.output("out/shards/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["shards"].as_array().unwrap().len(), 4);
    let n_patches: u64 = rows(&folders, "out").iter().filter_map(|row| row.n_patches).sum();
    let rows: u64 =
        manifest["shards"].as_array().unwrap().iter().map(|shard| shard["valid_rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, n_patches, "{manifest:#}");
    // Another number replaces them.
    ingest(&IngestOptions { equal_shards: Some(blt_output::ShardCount::Shards(2)), ..folders.options("out") });
    let shards = fs::read_dir(folders.output("out/shards")).unwrap().count();
    assert_eq!(shards, 2 + 2);
    assert!(folders.output("out/shards.txt.safetensors").exists());
}

#[test]
fn what_cannot_be_read_leaves_the_others_in_their_shard() {
    let folders = Folders::new();
    eleven_files(&folders);
    let limits = blt_core::Limits { max_bytes: 5000, ..blt_core::Limits::default() };
    let options = IngestOptions { limits, ..sharded(&folders, "out", ShardCompression::None) };
    let summary = run(&*MODEL, &options, &Silent, &AtomicBool::new(false)).unwrap();
    assert_eq!((summary.n_done, summary.n_failed), (8, 3));
    let failed: Vec<Row> = rows(&folders, "out").into_iter().filter(|row| row.status == Status::Failed).collect();
    assert!(failed.iter().all(|row| row.outputs.is_empty()));
    assert_eq!(
        members(&folders.output("out/shard_000002.tar")).keys().filter(|name| name.ends_with(".json")).count(),
        2
    );
}
