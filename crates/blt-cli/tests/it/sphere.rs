//! The commands of the sphere, on real outputs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use blt_hub_stub::{Kind, Stub, World};
use blt_testkit::{files_below, prose};
use serde_json::Value;

use crate::{blt_cli, golden, run, samples, stdout_of, text};

/// Patches of three texts, and their spheres.
fn spheres(folder: &Path) -> (String, String) {
    let input = folder.join("in");
    fs::create_dir_all(&input).unwrap();
    for i in 0..3 {
        fs::write(input.join(format!("{i}.txt")), prose(900 + 300 * i as usize, i)).unwrap();
    }
    let (out, spheres) = (folder.join("out"), folder.join("spheres"));
    stdout_of(&["ingest", text(&input), "-o", text(&out), "--model", &golden("model-tiny"), "-r", "2.2"]);
    (text(&out).to_owned(), text(&spheres).to_owned())
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&stdout_of(&[args, &["--format", "json"]].concat())).unwrap()
}

#[track_caller]
fn refused(args: &[&str], sentence: &str) {
    let output = run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert!(stderr.contains("error: ") && stderr.contains(sentence), "{args:?}: {stderr}");
}

#[test]
fn every_method_places_what_was_ingested_and_passes() {
    let scratch = tempfile::tempdir().unwrap();
    let (out, spheres) = spheres(scratch.path());
    let output = run(&["sphere", "fill", &out, "-o", &spheres, "--export", "npz,safetensors,json"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.starts_with("3 placed ("), "{stderr}");
    assert_eq!(files_below(Path::new(&spheres)).len(), 9);
    let methods: [&[&str]; 13] = [
        &["--method", "entropy"],
        &["--method", "entropy", "--temperature", "auto", "--kappa", "0.5", "--radial-order", "rim"],
        &["--method", "classic", "--temperature", "2", "--budget", "0.5", "--dry-fraction", "0.1"],
        &["--method", "thrml", "--temperature", "0.5", "--ensemble", "free", "--levels", "radii"],
        &["--method", "thrml", "--deterministic-map", "--shells", "16"],
        &["--dynamic", "--lateral", "--shells", "8", "--shell-spacing", "width"],
        &["--method", "ebm", "--steps", "3", "--forces", "text", "--neighbours", "4"],
        &["--method", "entropy", "--ebm", "--steps", "2", "--annealing", "0.1,0.01", "--metropolis"],
        &["--lasing", "0.2", "--scale", "large"],
        &["--min-radius", "auto", "--max-radius", "100", "--volume-exponent", "2"],
        &["--compat", "seed-v0.7", "--method", "entropy", "--temperature", "0.1"],
        &["--chart", "random", "--no-equalize", "--seed", "7", "--target-zone", "natural"],
        &["--target-zone", "qa", "--zone-angle", "30", "--translucency", "0.3", "--prominence-pool", "l2-of-mean"],
    ];
    for (i, method) in methods.iter().enumerate() {
        let target = format!("{spheres}/{i}");
        let output = run(&[&["sphere", "fill", &out, "--together", "all", "-o", &target], *method].concat());
        assert!(output.status.success(), "{method:?}: {}", String::from_utf8_lossy(&output.stderr));
        let sphere = format!("{target}/all.sphere.npz");
        let verified = run(&["sphere", "verify", &sphere]);
        let report = String::from_utf8(verified.stdout).unwrap();
        assert!(verified.status.success() && !report.contains("WRONG"), "{method:?}: {report}");
        assert!(report.contains("patches of 3 document(s), in order"), "{report}");
    }
}

#[test]
fn threads_change_no_byte() {
    let scratch = tempfile::tempdir().unwrap();
    let (out, spheres) = spheres(scratch.path());
    let filled = |threads: &str| {
        let target = format!("{spheres}/{threads}");
        stdout_of(&["sphere", "fill", &out, "--together", "all", "-o", &target, "--threads", threads]);
        stdout_of(&["sphere", "index", &target, "--partitions", "8", "--threads", threads]);
        files_below(Path::new(&target))
    };
    let one = filled("1");
    assert_eq!(one.keys().collect::<Vec<_>>(), ["all.roots.safetensors", "all.sphere.npz"]);
    assert!(one == filled("2") && one == filled("8"));
}

#[test]
fn queries_agree_with_looking_at_every_patch() {
    let scratch = tempfile::tempdir().unwrap();
    let (out, spheres) = spheres(scratch.path());
    stdout_of(&["sphere", "fill", &out, "--together", "all", "-o", &spheres]);
    let sphere = format!("{spheres}/all.sphere.npz");
    let query = |more: &[&str]| json(&[&["sphere", "query", &sphere], more].concat());
    let without_index = query(&["--patch", "17"]);
    stdout_of(&["sphere", "index", &sphere]);
    assert!(
        stdout_of(&["sphere", "verify", &spheres]).contains("have the neighbours that looking at every patch finds")
    );
    let exact = query(&["--patch", "17"]);
    assert_eq!(exact, without_index);
    assert_eq!(exact, query(&["--patch", "17", "--brute-force"]));
    assert_eq!((&exact["results"][0]["patch"], exact["results"].as_array().unwrap().len()), (&17.into(), 10));
    assert!(exact["results"][0]["cosine"].as_f64().unwrap() > 0.999_999);
    assert_eq!(query(&["--patch", "17", "--cone", "60"]), query(&["--patch", "17", "--cone", "60", "--brute-force"]));
    assert_eq!(query(&["--patch", "17", "--beam", "64", "-k", "3"])["results"][0]["patch"], 17);
    let model = golden("model-tiny");
    let by_text = query(&["--text", "etaoin", "--model", &model, "-k", "2"]);
    assert_eq!(by_text["results"].as_array().unwrap().len(), 2);
    assert!(by_text["results"][0]["text"].is_string());

    let place = &exact["results"][0];
    let around = format!("{},{}", place["theta"], place["phi"]);
    let region = query(&["--around", &around, "--within", "0.001", "--zone", "content", "--min-prominence", "0"]);
    assert_eq!(region["results"][0]["patch"], 17);
    assert_eq!(query(&["--around", &around, "--within", "0.001", "--radius", "0,1"])["found"], 0);
    let cones = query(&["--patch", "17", "--navigate", "--max-cones", "2", "--cone-angle", "60", "--threshold", "-1"]);
    assert!((1..=2).contains(&cones["cones"].as_array().unwrap().len()));
    let path =
        json(&["sphere", "walk", &sphere, "--start", "17", "--threshold", "0", "--max-steps", "5", "--top-k", "4"]);
    assert_eq!((&path["path"][0]["patch"], path["path"].as_array().unwrap().len()), (&17.into(), 6));
    let shown = stdout_of(&["sphere", "query", &sphere, "--patch", "17", "-k", "1"]);
    assert!(shown.starts_with("  1.0000        17  0.txt#17  r "), "{shown}");

    // An index of another sphere is refused, as is a model that did not make it.
    stdout_of(&["sphere", "fill", &out, "--together", "all", "-o", &spheres, "--seed", "1", "--chart", "random"]);
    refused(&["sphere", "query", &sphere, "--patch", "1"], "it is the index of another sphere");
    refused(&["sphere", "query", &sphere, "--text", "x"], "the sphere was made with ");
}

#[test]
fn harmonics_are_shown_and_written() {
    let scratch = tempfile::tempdir().unwrap();
    let (out, spheres) = spheres(scratch.path());
    stdout_of(&["sphere", "fill", &out, "--together", "all", "-o", &spheres]);
    let sphere = format!("{spheres}/all.sphere.npz");
    let file = format!("{spheres}/all.harmonics.npz");
    let report = json(&["sphere", "harmonics", &sphere, "--band-limit", "8", "--shells", "--peaks", "3", "-o", &file]);
    assert_eq!(report["parts"][0]["c_l"].as_array().unwrap().len(), 9);
    assert!(report["parts"].as_array().unwrap().len() > 20 && !report["peaks"].as_array().unwrap().is_empty());
    assert!(stdout_of(&["sphere", "verify", &file]).contains("every spectrum is that of its coefficients"));
    let table = stdout_of(&["sphere", "harmonics", &sphere, "--band-limit", "2", "--weight", "one"]);
    assert!(table.starts_with("all patches: ") && table.contains("zone content: "), "{table}");
}

#[test]
fn pictures_are_drawn_and_say_what_they_leave_out() {
    let scratch = tempfile::tempdir().unwrap();
    let (out, spheres) = spheres(scratch.path());
    stdout_of(&["sphere", "fill", &out, "--together", "all", "-o", &spheres]);
    let sphere = format!("{spheres}/all.sphere.npz");
    let render = |more: &[&str]| {
        let output = run(&[&["sphere", "render", &sphere], more].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{more:?}: {stderr}");
        stderr
    };
    // Beside the sphere, in the form that the name says, in the form that is asked for.
    let said = render(&[]);
    let page = fs::read_to_string(format!("{spheres}/all.sphere.html")).unwrap();
    assert!(said.contains(&format!("({} bytes) -> {spheres}/all.sphere.html", page.len())), "{said}");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    let file = |name: &str| format!("{spheres}/{name}");
    render(&["-o", &file("a.svg"), "--colour-by", "document", "--band-limit", "4"]);
    render(&["-o", &file("a.PNG"), "--threads", "2"]);
    render(&["-o", &file("a.picture"), "--format", "png", "--threads", "1"]);
    assert!(fs::read_to_string(file("a.svg")).unwrap().starts_with("<svg "));
    let png = fs::read(file("a.PNG")).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png == fs::read(file("a.picture")).unwrap());
    // The numbers are those of the sphere.
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    let harmonics = json(&["sphere", "harmonics", &sphere]);
    assert_eq!(data["spectrum"]["c_l"], harmonics["parts"][0]["c_l"]);
    assert_eq!(data["patches"], harmonics["parts"][0]["n_patches"]);
    assert_eq!(data["documents"], serde_json::json!(["0.txt", "1.txt", "2.txt"]));
    // Again over the same file, with fewer points and that said; nothing is left of writing.
    let said = render(&["--max-points", "50"]);
    assert!(said.starts_with("incomplete: 50 of ") && said.contains("shells and spectrum are of all"), "{said}");
    let smaller = fs::read_to_string(file("all.sphere.html")).unwrap();
    assert!(smaller.len() < page.len() && smaller.contains("50 of "));
    assert_eq!(render(&["-q", "--max-points", "100000"]), "");
    assert_eq!(fs::read_to_string(file("all.sphere.html")).unwrap(), page);
    assert_eq!(files_below(Path::new(&spheres)).len(), 5);

    refused(&["sphere", "render", &sphere, "-o", &file("a.gif")], "names no form of a picture");
    refused(&["sphere", "render", &sphere, "-o", &sphere, "--format", "svg"], "would take the place of the sphere");
    refused(&["sphere", "render", &spheres], "is no corpus folder");
    refused(&["sphere", "render", &file("a.svg")], "cannot read the sphere");
    refused(&["sphere", "render", &sphere, "-o", &file("nowhere/a.svg")], "cannot write `");
}

#[test]
fn bad_files_are_named_and_passed_over() {
    let scratch = tempfile::tempdir().unwrap();
    let (out, spheres) = spheres(scratch.path());
    fs::write(Path::new(&out).join("bad.safetensors"), b"nothing").unwrap();
    // Of an output folder what its journal says is done is placed; a file beside it has to be named.
    let bad = format!("{out}/bad.safetensors");
    let output = run(&["sphere", "fill", &bad, &out, "-o", &spheres]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.starts_with("failed: `") && stderr.contains("3 placed (") && stderr.contains(", 1 failed"),
        "{stderr}"
    );
    refused(&["sphere", "fill", &bad, "-o", &spheres], "none of the inputs could be placed");
    refused(&["sphere", "verify", &bad], "cannot check");
    let sphere = format!("{spheres}/0.txt.sphere.npz");
    let mut bytes = fs::read(&sphere).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&sphere, &bytes).unwrap();
    refused(&["sphere", "verify", &sphere], "is not a valid file of NumPy arrays");
}

#[test]
fn options_that_have_no_effect_are_refused() {
    for (args, sentence) in [
        (&["fill", "x", "--temperature", "2"][..], "`--temperature` has no effect with this `--method`"),
        (&["fill", "x", "--method", "classic", "--temperature", "auto"], "is for `--method entropy` only"),
        (&["fill", "x", "--kappa", "1"], "`--kappa` has no effect"),
        (&["fill", "x", "--method", "entropy", "--budget", "1"], "`--budget` has no effect"),
        (&["fill", "x", "--ensemble", "free"], "`--ensemble` has no effect"),
        (&["fill", "x", "--method", "thrml", "--dynamic"], "`--dynamic` has no effect"),
        (&["fill", "x", "--steps", "3"], "`--steps` has no effect with anything but `--ebm`"),
        (&["fill", "x", "--ebm", "--annealing", "1"], "takes two temperatures"),
        (&["fill", "x", "--compat", "seed-v0.7", "--method", "classic"], "has no such method"),
        (&["fill", "x", "--scale", "large", "--min-radius", "1", "--max-radius", "2"], "`--scale` has no effect"),
        (&["fill", "x", "--compat", "seed-v0.7", "--shell-spacing", "volume"], "`--shell-spacing` has no effect"),
        (&["fill", "x", "--compat", "seed-v0.7", "--volume-exponent", "2"], "`--volume-exponent` has no effect"),
        (
            &["fill", "x", "--compat", "seed-v0.7", "--method", "thrml", "--min-radius", "9"],
            "`--min-radius` has no effect",
        ),
        (&["fill", "x", "--together", "a/b"], "is no name of a file"),
        (&["fill", "/nowhere/x.safetensors"], "none of the inputs could be placed"),
        (&["fill", "x", "--chart-from", "/nowhere"], "cannot use the chart"),
        (&["fill", "x", "--chart-from", "y", "--chart", "pca"], "cannot be used with"),
        (&["query", "x", "--patch", "1", "--text", "a"], "cannot be used with"),
        (&["query", "/nowhere", "--patch", "1"], "cannot read the sphere"),
        (&["ingest", "--stages", "encode"], "the stage `encode` needs sources"),
        (&["ingest", "--stages", "roots", "--text", "x"], "sources have no effect without the stage `encode`"),
        (&["ingest", "--stages", "roots", "--threshold", "2"], "patching have no effect without the stage `encode`"),
        (&["ingest", "--stages", "roots", "--zone-angle", "9"], "the seed have no effect without the stage `sphere`"),
        (&["ingest", "--stages", "sphere", "--partitions", "9"], "the index have no effect without the stage `roots`"),
        (&["ingest", "--stages", "roots", "--band-limit", "9"], "have no effect without the stage `harmonics`"),
        (&["ingest", "--text", "x", "--split", "train"], "`--split` has no effect without"),
        (&["ingest", "--text", "x", "--export", "json"], "leaves no embeddings"),
        (&["ingest"], "required arguments were not provided"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let output = text(scratch.path());
        let target: &[&str] = if matches!(args[0], "fill" | "ingest") { &["-o", output] } else { &[] };
        refused(&[&["sphere"], args, target].concat(), sentence);
    }
    let scratch = tempfile::tempdir().unwrap();
    let (out, spheres) = spheres(scratch.path());
    stdout_of(&["sphere", "fill", &out, "-o", &spheres]);
    let sphere = format!("{spheres}/0.txt.sphere.npz");
    refused(&["sphere", "query", &sphere], "nothing to look for");
    refused(&["sphere", "query", &sphere, "--patch", "999999"], "there is no patch 999999");
    refused(&["sphere", "query", &sphere, "--patch", "1", "--model", "x"], "have no effect without `--text`");
    refused(&["sphere", "query", &sphere, "--around", "10", "--within", "3"], "takes two angles");
    refused(&["sphere", "query", &sphere, "--patch", "1", "--cone", "200"], "between 0 and pi");
    refused(&["sphere", "harmonics", &sphere, "--smooth", "3"], "--peaks");
    refused(&["ingest", "--text", "x", "--target-zone", "qa"], "--sphere");
    refused(&["ingest", "--text", "x", "--sphere", "--embeddings", "none"], "there is nothing to place");
}

#[test]
fn ingest_places_what_it_ingested() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let sample = samples().join("prose/lighthouse.txt");
    stdout_of(&["ingest", text(&sample), "-o", text(&out), "--sphere", "--target-zone", "instruction"]);
    let sphere = out.join("lighthouse.txt.sphere.npz");
    let report = stdout_of(&["sphere", "verify", text(&sphere)]);
    assert!(report.contains("0 content, 0 qa"), "{report}");
}

/// Corpus files; the encode stage's folder has nothing that tells of runs.
fn corpus(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    files_below(folder)
}

#[track_caller]
fn assert_same(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (corpus(found), corpus(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in &expected {
        assert!(bytes == &found[name], "{what}: {name} differs");
    }
}

#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {stderr}");
    stderr
}

/// Kills the command as soon as `is_there` says that it has come far enough; `false` when it was done before.
fn killed_once(mut command: Command, is_there: impl Fn() -> bool) -> bool {
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if is_there() {
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            return true;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn a_corpus_of_a_folder_killed_at_every_stage_ends_as_one_clean_run() {
    let scratch = tempfile::tempdir().unwrap();
    let input = scratch.path().join("in");
    fs::create_dir_all(&input).unwrap();
    for i in 0..8 {
        fs::write(input.join(format!("{i}.txt")), prose(700 * i as usize, i)).unwrap();
    }
    let model = golden("model-tiny");
    let ingest = |output: &Path| {
        let mut command = blt_cli();
        command.args(["sphere", "ingest", "--local-dir", text(&input), "-o", text(output), "--model", &model]);
        command.args([
            "-r",
            "5.3",
            "--method",
            "entropy",
            "--partitions",
            "8",
            "--band-limit",
            "6",
            "--export",
            "npz,safetensors",
        ]);
        command
    };
    let clean = scratch.path().join("clean");
    let said = succeed(&mut ingest(&clean));
    assert!(said.starts_with("8 documents ("), "{said}");
    let killed = scratch.path().join("killed");
    // One folder that is killed again and again, each time a stage further, and in the middle of files.
    let stages: [&[&str]; 9] = [
        &["encode/.partial"],
        &["encode/manifest.db"],
        &[".corpus.hypergraph.db.partial"],
        &["corpus.hypergraph.db"],
        &[".corpus.sphere.npz.partial", "corpus.sphere.npz"],
        &[".corpus.sphere.safetensors.partial", "corpus.sphere.safetensors"],
        &["corpus.roots.safetensors"],
        &["corpus.harmonics.safetensors"],
        &[".corpus.db.partial"],
    ];
    let n_killed = stages
        .iter()
        .filter(|names| {
            let is_there = || names.iter().any(|name| killed.join(name).exists());
            killed_once(ingest(&killed), is_there)
        })
        .count();
    assert!(n_killed >= 3, "only {n_killed} of 9 kills came before the end");
    succeed(&mut ingest(&killed));
    assert_same(&killed, &clean, "killed at every stage");
    let report = stdout_of(&["sphere", "verify", text(&clean)]);
    assert!(!report.contains("WRONG") && report.contains("corpus database of "), "{report}");
    let plan =
        stdout_of(&["sphere", "ingest", "-o", text(&clean), "--stages", "roots", "--partitions", "4", "--dry-run"]);
    assert_eq!(plan, "todo\tstage\troots\n");
    let found = json(&["sphere", "query", text(&clean), "--patch", "3", "-k", "1"]);
    assert_eq!(found["results"][0]["patch"], 3);
    // Other settings of the model encode everything anew.
    let mut other = ingest(&killed);
    other.args(["--max-patch-length", "3"]);
    assert!(succeed(&mut other).contains("everything is encoded anew: max_patch_length"));
}

#[test]
fn a_corpus_of_a_dataset_killed_and_gone_on_with_ends_as_one_clean_run() {
    let scratch = tempfile::tempdir().unwrap();
    let lines = |file: u64| -> String {
        let line = |row: u64| {
            let words = |seed| String::from_utf8(prose(60, seed)).unwrap();
            let (question, answer) = (words(10 * file + row), words(100 + 10 * file + row));
            format!("{}\n", serde_json::json!({"question": question, "answer": answer}))
        };
        (0..5).map(line).collect()
    };
    let files: Vec<(String, String)> = (0..3).map(|i| (format!("data/train-{i}.jsonl"), lines(i))).collect();
    let mut world = World::default();
    let contents = files.iter().map(|(name, text)| (name.as_str(), text.as_bytes()));
    world.add(Kind::Datasets, "owner/pairs", "main", contents);
    let stub = Stub::start(world).unwrap();
    let cache = scratch.path().join("cache");
    let model = golden("model-tiny");
    let ingest = |output: &Path| {
        let mut command = blt_cli();
        command.args(["sphere", "ingest", "--hf-dataset", "owner/pairs", "--text-column", "question,answer"]);
        command.args(["-o", text(output), "--model", &model, "-r", "2.2", "--partitions", "4", "--band-limit", "4"]);
        command.args(["--hf-endpoint", stub.endpoint(), "--cache-dir", text(&cache)]);
        command.env_remove("HF_TOKEN").env_remove("HF_ENDPOINT");
        command
    };
    let (clean, killed) = (scratch.path().join("clean"), scratch.path().join("killed"));
    succeed(&mut ingest(&clean));
    for name in ["encode/.partial", "corpus.hypergraph.db", "corpus.sphere.npz", "corpus.roots.safetensors"] {
        killed_once(ingest(&killed), || killed.join(name).exists());
    }
    succeed(&mut ingest(&killed));
    assert_same(&killed, &clean, "a data set");
    // Questions and answers belong together, and into their zone.
    let database = rusqlite::Connection::open(clean.join("corpus.db")).unwrap();
    let zones: String = database.query_row("SELECT DISTINCT zone FROM zones", [], |row| row.get(0)).unwrap();
    let n: i64 = database.query_row("SELECT count(*) FROM documents", [], |row| row.get(0)).unwrap();
    assert_eq!((zones.as_str(), n), ("qa", 30));
}
