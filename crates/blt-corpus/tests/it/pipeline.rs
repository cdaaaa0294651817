//! The pipeline, stopped at every step and started again.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use blt_core::{ByteRange, Modality, Patch, View};
use blt_corpus::{
    ENCODE_FOLDER, Encoded, EncodedDocument, Encoder, Exports, HarmonicsOptions, PipelineError, PipelineObserver,
    PipelineOptions, PlaceOptions, ReadOptions, RootsOptions, Stage, Step, run_pipeline, verify,
};
use blt_sidecar::{SidecarWriter, TrunkInfo};
use blt_sphere::{FillOptions, Method, Temperature};
use blt_testkit::files_below;
use rusqlite::Connection;

use crate::write_patch_file;

/// Writes three documents: of one view, of two, and without patches.
struct Made {
    threshold: &'static str,
}

const DOCUMENTS: [(&str, usize, usize); 3] = [("a", 30, 1), ("b~c", 41, 2), ("empty", 0, 1)];

impl Encoder for Made {
    fn encode(&mut self, folder: &Path) -> Result<Encoded, Box<dyn Error>> {
        fs::create_dir_all(folder)?;
        for (id, n, n_views) in DOCUMENTS {
            let path = folder.join(format!("{id}.safetensors"));
            let lengths = write_patch_file(&path, n, n_views, self.threshold.len() as u64);
            let database = folder.join(format!("{id}.hypergraph.db"));
            let _ = fs::remove_file(&database);
            let mut writer = SidecarWriter::create(&database)?;
            for view in lengths.chunks(n.div_ceil(n_views).max(1)) {
                writer.view(&View::raw(Modality::Text, "text/plain"))?;
                let mut start = 0;
                for &length in view {
                    let range = ByteRange::new(start, start + length as u64);
                    start = range.end;
                    writer.leaf(&Patch { range, entropy: 1.0, prominence: 2.0, coherence: 3.0, embedding: &[] })?;
                }
            }
            let trunk = TrunkInfo {
                output_id: id,
                path: id,
                sha256: [7; 32],
                n_bytes: 1,
                media_type: "text/plain",
                modality: Modality::Text,
                problems: &[],
            };
            writer.finish(&trunk)?;
        }
        Ok(Encoded::All)
    }

    fn settings(&mut self, _: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
        Ok(BTreeMap::from([("threshold".to_owned(), self.threshold.to_owned())]))
    }

    fn documents(&mut self, _: &Path) -> Result<Vec<EncodedDocument>, Box<dyn Error>> {
        let done = DOCUMENTS.iter().map(|&(id, n, _)| EncodedDocument {
            id: id.to_owned(),
            sha256: Some("07".repeat(32)),
            n_bytes: Some(1),
            n_patches: Some(n as u64),
            error: None,
        });
        let failed = EncodedDocument {
            id: "broken".to_owned(),
            sha256: None,
            n_bytes: None,
            n_patches: None,
            error: Some("cannot read it".to_owned()),
        };
        Ok(done.chain([failed]).collect())
    }
}

fn options(output: &Path) -> PipelineOptions {
    let method = Method::Entropy { temperature: Temperature::default() };
    PipelineOptions {
        output: output.to_owned(),
        stages: Stage::ALL.to_vec(),
        read: ReadOptions::default(),
        place: PlaceOptions { fill: FillOptions { method, ..FillOptions::default() }, ..PlaceOptions::default() },
        exports: Exports { npz: true, safetensors: false, json: true },
        roots: RootsOptions { n_partitions: 4, ..RootsOptions::default() },
        harmonics: HarmonicsOptions { band_limit: 4, ..HarmonicsOptions::default() },
    }
}

/// Notes all steps, and panics at one of them, as abruptly as a test can.
#[derive(Default)]
struct Watcher {
    steps: Vec<Step>,
    dies_at: Option<usize>,
}

impl PipelineObserver for Watcher {
    fn at(&mut self, step: Step) {
        self.steps.push(step);
        assert_ne!(Some(self.steps.len()), self.dies_at, "killed at {step:?}");
    }
}

fn run(options: &PipelineOptions, threshold: &'static str, dies_at: Option<usize>) -> Result<Vec<Step>, PipelineError> {
    let mut watcher = Watcher { dies_at, ..Watcher::default() };
    run_pipeline(options, &mut Made { threshold }, &mut watcher, &AtomicBool::new(false))?;
    Ok(watcher.steps)
}

#[track_caller]
fn assert_same(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (files_below(found), files_below(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in expected {
        assert!(found[&name] == bytes, "{what}: {name} differs");
    }
}

#[test]
fn killed_at_any_step_it_ends_as_one_clean_run() {
    let scratch = tempfile::tempdir().unwrap();
    let clean = scratch.path().join("clean");
    let steps = run(&options(&clean), "1.5", None).unwrap();
    assert_eq!(steps.len(), 3 * 5 + 1, "{steps:?}");
    for step in 1..=steps.len() {
        let killed = scratch.path().join(format!("killed{step}"));
        let died = catch_unwind(AssertUnwindSafe(|| run(&options(&killed), "1.5", Some(step))));
        assert!(died.is_err(), "step {step}");
        // What a writer leaves when it dies in the middle of a file.
        fs::write(killed.join(".corpus.db.partial"), b"half").unwrap();
        fs::write(killed.join(".corpus.db.partial-journal"), b"half").unwrap();
        run(&options(&killed), "1.5", None).unwrap();
        assert_same(&killed, &clean, &format!("killed at step {step}"));
        assert!(!killed.join(".corpus.db.partial").exists());
    }
    let again = run(&options(&clean), "1.5", None).unwrap();
    let kept = again.iter().filter(|step| matches!(step, Step::Kept(_))).count();
    assert_eq!((kept, again.contains(&Step::Assembled)), (4, false), "{again:?}");
}

/// A killed run has forgotten nothing of the files that an earlier one left.
#[test]
fn killed_at_any_step_of_a_run_with_other_exports_it_leaves_no_other_files() {
    let scratch = tempfile::tempdir().unwrap();
    let (before, clean) = (scratch.path().join("before"), scratch.path().join("clean"));
    run(&options(&before), "1.5", None).unwrap();
    let other = |output: &Path| PipelineOptions {
        exports: Exports { npz: false, safetensors: true, json: false },
        ..options(output)
    };
    run(&other(&clean), "1.5", None).unwrap();
    for step in 1.. {
        let killed = scratch.path().join(format!("killed{step}"));
        for (name, bytes) in files_below(&before) {
            let path = killed.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let died = catch_unwind(AssertUnwindSafe(|| run(&other(&killed), "1.5", Some(step))));
        run(&other(&killed), "1.5", None).unwrap();
        assert_same(&killed, &clean, &format!("killed at step {step}"));
        if died.is_ok() {
            // The sphere is the same in another form, so that what follows it is kept.
            assert_eq!(step, 3 + 1 + 3 + 2 + 1 + 1, "it was killed at every step there is");
            break;
        }
    }
}

#[test]
fn another_stored_chart_places_anew() {
    let scratch = tempfile::tempdir().unwrap();
    let mut stored = options(&scratch.path().join("out"));
    run(&stored, "1.5", None).unwrap();
    let chart = blt_corpus::PlacedFile::open(&stored.output.join("corpus.sphere.npz")).unwrap().chart().unwrap();
    stored.place.fill.chart = blt_sphere::ChartSource::Stored(chart.clone());
    run(&stored, "1.5", None).unwrap();
    assert_eq!(blt_corpus::outdated(&stored).unwrap(), []);
    let mut turned = chart.clone();
    turned.axes.rotate_left(8);
    let mut shifted = chart;
    shifted.equalizer.as_mut().unwrap().phi[0] = 0.0;
    for other in [turned, shifted] {
        stored.place.fill.chart = blt_sphere::ChartSource::Stored(other);
        assert_eq!(blt_corpus::outdated(&stored).unwrap(), [Stage::Sphere, Stage::Roots, Stage::Harmonics]);
    }
}

#[test]
fn only_what_a_change_concerns_is_done_again() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    run(&options(&out), "1.5", None).unwrap();
    let begun = |options: &PipelineOptions, threshold| -> Vec<Stage> {
        let steps = run(options, threshold, None).unwrap();
        steps.into_iter().filter_map(|step| if let Step::Begun(stage) = step { Some(stage) } else { None }).collect()
    };
    let mut changed = options(&out);
    changed.harmonics.band_limit = 5;
    assert_eq!(blt_corpus::outdated(&changed).unwrap(), [Stage::Harmonics]);
    assert_eq!(begun(&changed, "1.5"), [Stage::Encode, Stage::Harmonics]);
    changed.place.fill.seed = 43;
    changed.place.fill.chart = blt_sphere::ChartSource::Fit { kind: blt_sphere::ChartKind::Random, equalize: true };
    changed.exports = Exports { npz: false, safetensors: true, json: false };
    assert_eq!(blt_corpus::outdated(&changed).unwrap(), [Stage::Sphere, Stage::Roots, Stage::Harmonics]);
    assert_eq!(begun(&changed, "1.5"), [Stage::Encode, Stage::Sphere, Stage::Roots, Stage::Harmonics]);
    assert!(!out.join("corpus.sphere.npz").exists(), "forms that are not asked for any more are gone");
    fs::remove_file(out.join("corpus.roots.safetensors")).unwrap();
    assert_eq!(begun(&changed, "1.5"), [Stage::Encode, Stage::Roots]);
    fs::copy(out.join("corpus.harmonics.safetensors"), out.join("corpus.roots.safetensors")).unwrap();
    assert_eq!(begun(&changed, "1.5"), [Stage::Encode, Stage::Roots], "another file in its place");
    assert_eq!(begun(&changed, "1.25"), Stage::ALL);
    let clean = scratch.path().join("clean");
    run(&PipelineOptions { output: clean.clone(), ..changed }, "1.25", None).unwrap();
    assert_same(&out, &clean, "after all these changes");
}

#[test]
fn stages_can_be_named_and_what_they_leave_behind_is_stale() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let mut some = options(&out);
    some.stages = vec![Stage::Sphere];
    let error = run(&some, "1.5", None).unwrap_err();
    assert!(error.to_string().contains("needs the stage `encode`") && error.hint().is_some(), "{error}");
    some.stages = vec![Stage::Encode, Stage::Harmonics];
    let error = run(&some, "1.5", None).unwrap_err();
    assert!(error.to_string().contains("the stage `harmonics` needs the stage `sphere`"), "{error}");

    run(&options(&out), "1.5", None).unwrap();
    assert!(verify(&out).unwrap().iter().all(blt_corpus::Report::holds));
    some.stages = vec![Stage::Sphere];
    some.place.fill.radial.r_max = 1000.0;
    run(&some, "1.5", None).unwrap();
    let database = Connection::open(out.join("corpus.db")).unwrap();
    let stale: String =
        database.query_row("SELECT value FROM roots_meta WHERE key = 'tree_stale'", [], |row| row.get(0)).unwrap();
    let statuses: Vec<String> = database
        .prepare("SELECT status FROM pipeline_stages ORDER BY rowid")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(stale, "1");
    assert_eq!(statuses, ["complete", "complete", "complete", "pending", "pending"]);
    let wrong: Vec<_> = verify(&out).unwrap().into_iter().filter(|report| !report.holds()).collect();
    assert!(wrong.len() >= 2, "{wrong:?}");
}

#[test]
fn a_stage_that_fails_says_why_and_is_done_by_the_next_run() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let mut wrong = options(&out);
    wrong.place.fill.radial.r_max = 1.0;
    assert!(matches!(run(&wrong, "1.5", None), Err(PipelineError::Fill(_))));
    let record = fs::read_to_string(out.join("pipeline.json")).unwrap();
    assert!(record.contains("\"status\": \"failed\"") && record.contains("cannot place the patches: "), "{record}");
    run(&options(&out), "1.5", None).unwrap();
    let clean = scratch.path().join("clean");
    run(&options(&clean), "1.5", None).unwrap();
    assert_same(&out, &clean, "after a failure");
}

/// The queries of the original's readers and exporters.
#[test]
fn the_database_has_the_documented_tables() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    run(&options(&out), "1.5", None).unwrap();
    let database = Connection::open(out.join("corpus.db")).unwrap();
    let one = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(one("SELECT count(*) FROM documents WHERE status = 'complete'"), 3);
    assert_eq!(one("SELECT count(*) FROM embeddings"), 71);
    assert_eq!(one("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'embed_dim'"), 8);
    assert_eq!(one("SELECT count(*) FROM meta WHERE key = 'error:broken'"), 1);
    let row: (Vec<u8>, f64, f64) = database
        .query_row("SELECT embedding, prominence, r FROM embeddings ORDER BY doc_id, patch_idx LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert!(row.0.len() == 32 && row.1 > 0.0 && (32.0..=512.0).contains(&row.2));
    let lengths: Vec<u8> = database
        .query_row("SELECT patch_lengths FROM patch_bytes WHERE doc_id = 'a' ORDER BY id", [], |row| row.get(0))
        .unwrap();
    assert_eq!(lengths[..8], [1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(one("SELECT sum(n_members) FROM partitions"), 71);
    assert_eq!(one("SELECT point_count FROM roots_tree WHERE parent_id IS NULL"), 71);
    assert_eq!(one("SELECT count(*) FROM roots_tree WHERE is_leaf"), one("SELECT count(*) FROM partitions"));
    assert_eq!(one("SELECT count(*) FROM embeddings JOIN zones ON zones.patch_id = embeddings.id"), 71);
    assert_eq!(one("SELECT length(a_lm) FROM harmonics WHERE kind = 'all'"), 25 * 8);
    assert_eq!(one("SELECT count(*) FROM patch_metadata WHERE doc_id = 'b~c' AND patch_index < 41"), 41);
    // Trunk, two views, and 41 leaves; node 0 decodes as a trunk: variant 0, then 64 hexadecimal digits.
    assert_eq!(one("SELECT count(*) FROM hypergraph_nodes WHERE doc_id = 'b~c'"), 44);
    let node: Vec<u8> = database
        .query_row("SELECT data FROM hypergraph_nodes WHERE doc_id = 'b~c' AND node_idx = 0", [], |row| row.get(0))
        .unwrap();
    assert_eq!((&node[..2], &node[2..4], node[66]), (&[0, 64][..], &b"07"[..], 1));

    let graph = Connection::open(out.join("corpus.hypergraph.db")).unwrap();
    let one = |sql: &str| -> i64 { graph.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(one("SELECT count(*) FROM sphere_patches"), 71);
    assert_eq!(one("SELECT max(patch_idx) FROM sphere_patches"), 70);
    assert_eq!(one("SELECT count(*) FROM sphere_edges WHERE label = 'next'"), 29 + 20 + 19);
    assert_eq!(one("SELECT count(*) FROM sphere_edges WHERE label = 'same_source'"), 21);
    assert_eq!(one("SELECT min(src_patch) FROM sphere_edges WHERE label = 'same_source'"), 30);
    assert!(out.join(ENCODE_FOLDER).is_dir());
}
