//! Every command on real input.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::{blt_cli, golden, run, samples, snapshot, stdout_of, text};

const SENTENCE: &str = "The committee announced on Tuesday that the conference would be postponed.";

#[test]
fn patches_of_a_sentence() {
    snapshot(
        &["patch", "--dtype", "f32", "--text", SENTENCE],
        "exit: 0
--- stdout
T|he |committee |a|nnounced |on |T|uesday |that |the |con|ference |would |be |post|poned.
--- stderr
",
    );
}

#[test]
fn patches_as_json_follow_the_contract() {
    let object: Value = serde_json::from_str(&stdout_of(&["patch", "--text", SENTENCE, "--format", "json"])).unwrap();
    let keys: Vec<&String> = object.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "entropies",
            "model",
            "n_bytes",
            "patch_entropies",
            "patch_lengths",
            "prominence",
            "rule",
            "source",
            "threshold"
        ]
    );
    assert_eq!(object["n_bytes"], SENTENCE.len());
    assert_eq!(object["threshold"].to_string(), "1.769");
    let numbers =
        |key: &str| object[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>();
    let (entropies, lengths) = (numbers("entropies"), numbers("patch_lengths"));
    assert_eq!(entropies.len(), SENTENCE.len());
    // The default rule, applied to the entropies that are printed.
    let starts: Vec<usize> = (0..SENTENCE.len()).filter(|&i| i == 0 || entropies[i] > 1.769).collect();
    let mut end = 0;
    let found: Vec<usize> = lengths
        .iter()
        .map(|&length| {
            let start = end;
            end += length as usize;
            start
        })
        .collect();
    assert_eq!(found, starts);
    assert_eq!(numbers("prominence").len(), starts.len());
}

#[test]
fn patches_as_lines_hold_every_byte() {
    let path = samples().join("binary/tone.wav");
    let lines = stdout_of(&["patch", text(&path), "--format", "jsonl", "--model", &golden("model-tiny")]);
    let mut bytes = Vec::new();
    for (index, line) in lines.lines().enumerate() {
        let patch: Value = serde_json::from_str(line).unwrap();
        assert_eq!(patch["index"], index);
        assert_eq!(patch["start"], bytes.len());
        let decoded =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, patch["bytes_b64"].as_str().unwrap());
        bytes.extend(decoded.unwrap());
        assert_eq!(patch["end"], bytes.len());
    }
    assert_eq!(bytes, fs::read(path).unwrap());
}

#[test]
fn patches_as_pictures() {
    let page = stdout_of(&["patch", "--text", "<b>hello</b> world", "--format", "html"]);
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n") && page.contains("&lt;"));
    assert!(!page.contains("<b>"));
    assert!(page.contains("<span style") && page.contains("nats"));
    let drawing = stdout_of(&["patch", "--text", "hello world", "--format", "svg"]);
    assert!(drawing.starts_with("<svg") && drawing.ends_with("</svg>\n"));
    assert_eq!(drawing.matches("<rect").count(), 11);
}

#[test]
fn standard_input_and_several_files() {
    let mut child = blt_cli()
        .args(["patch", "-", "--rule", "static", "--patch-size", "4"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"0123456789").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"0123|4567|89\n");
    let file = samples().join("data/empty.txt");
    let output = run(&["patch", "--text", "ab", text(&file), "/nowhere/x", "--rule", "byte"]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.starts_with("==> --text (2 bytes, 2 patches) <==\na|b\n==> "), "{stdout}");
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("failed: /nowhere/x: No such file"));
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = blt_cli()
        .args([
            "patch",
            text(&samples().join("prose/lighthouse.txt")),
            "--format",
            "json",
            "--model",
            &golden("model-tiny"),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

/// The README's first command, and what its outputs must hold.
#[test]
fn the_samples_are_ingested_whole() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    // As bytes, so that every output can be compared with its file; `--views` has tests of its own.
    let views = ["--views", "raw"];
    let output =
        run(&[&["ingest", text(&samples()), "-o", text(&out), "--entropy-histogram", "--export-json"], &views[..]]
            .concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let n_samples = blt_testkit::files_below(&samples()).len();
    assert!(stderr.starts_with(&format!("{n_samples} done (")), "{stderr}");

    let journal = rusqlite::Connection::open(out.join("manifest.db")).unwrap();
    let mut rows =
        journal.prepare("SELECT id, source, n_bytes, n_patches, modality FROM source WHERE status = 'done'").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))).unwrap();
    let rows: Vec<(String, String, i64, i64, String)> = rows.collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), n_samples);
    for (id, source, n_bytes, n_patches, modality) in &rows {
        let file = fs::read(out.join(format!("{id}.safetensors"))).unwrap();
        let (_, header) = SafeTensors::read_metadata(&file).unwrap();
        let strings = header.metadata().clone().unwrap();
        assert_eq!(strings["format"], "blt_patches_v4");
        assert_eq!(strings["total_bytes"], n_bytes.to_string());
        assert_eq!(strings["metadata_file"], format!("{id}.hypergraph.db"));
        assert!(
            strings["model"].starts_with("blt-mini@") && strings["threshold"] == "1.769" && strings["rule"] == "global"
        );
        let file = SafeTensors::deserialize(&file).unwrap();
        let bytes = fs::read(source).unwrap();
        assert_eq!(file.tensor("bytes").unwrap().data(), bytes);
        assert_eq!(file.tensor("embeddings").unwrap().shape(), [*n_patches as usize, 320]);
        let expected = match source.rsplit('.').next().unwrap() {
            "py" | "rs" | "json" | "md" => "code",
            "wav" => "audio",
            "bmp" => "image",
            "elf" => "binary",
            _ => "text",
        };
        assert_eq!(modality, expected, "{source}");

        // The leaf at a byte, its branch and trunk, and the next leaf, in plain SQL.
        let sidecar = rusqlite::Connection::open(out.join(format!("{id}.hypergraph.db"))).unwrap();
        let n_leaves: i64 = sidecar.query_row("SELECT count(*) FROM leaf", [], |row| row.get(0)).unwrap();
        assert_eq!(n_leaves, *n_patches);
        if *n_bytes > 0 {
            let middle = n_bytes / 2;
            let sql = "SELECT leaf.byte_start, leaf.byte_start + leaf.byte_len, branch.label, trunk.n_bytes
                FROM leaf JOIN branch ON branch.id = leaf.branch JOIN trunk ON trunk.id = branch.trunk
                WHERE leaf.view = 1 AND leaf.byte_start <= ?1 ORDER BY leaf.byte_start DESC LIMIT 1";
            let (start, end, label, total): (i64, i64, String, i64) = sidecar
                .query_row(sql, [middle], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
                .unwrap();
            assert!(start <= middle && middle < end && total == *n_bytes);
            assert_eq!(label == "raw", !matches!(expected, "code" | "audio" | "binary"), "{source}: {label}");
            let next = sidecar.query_row(
                "SELECT next_byte_start FROM v_next WHERE view = 1 AND byte_start = ?1",
                [start],
                |row| row.get::<_, i64>(0),
            );
            assert_eq!(next.ok(), (end < *n_bytes).then_some(end));
        }
        let json: Value =
            serde_json::from_slice(&fs::read(out.join(format!("{id}.hypergraph.json"))).unwrap()).unwrap();
        let n_branches: i64 = sidecar.query_row("SELECT count(*) FROM branch", [], |row| row.get(0)).unwrap();
        assert_eq!(json["nodes"].as_array().unwrap().len() as i64, 1 + n_branches + n_patches);
    }
    let histogram: Value = serde_json::from_slice(&fs::read(out.join("entropy_histogram.json")).unwrap()).unwrap();
    let total: i64 = rows.iter().map(|row| row.2).sum();
    assert_eq!(histogram["statistics"]["total_bytes"], total);
    assert_eq!(histogram["histogram"]["counts"].as_array().unwrap().len(), 50);

    let report: Value = serde_json::from_str(&stdout_of(&["inspect", text(&out), "--format", "json"])).unwrap();
    assert_eq!((report["done"].as_u64(), report["n_bytes"].as_i64()), (Some(n_samples as u64), Some(total)));
    let report = stdout_of(&["inspect", text(&out.join("prose~lighthouse.txt.safetensors"))]);
    assert!(report.contains("kind                 patches") && report.contains("first_patches"), "{report}");
    let report = stdout_of(&["inspect", text(&out.join("prose~lighthouse.txt.hypergraph.db"))]);
    assert!(report.contains("hypergraph sidecar") && report.contains("text/plain; charset=utf-8"), "{report}");
    let page = stdout_of(&["inspect", text(&out.join("code~ring.py.safetensors")), "--html"]);
    assert!(page.contains("def|") || page.contains("class"), "{page}");
}

#[test]
fn reports_before_and_after_a_run() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let base = ["ingest", "--text", "some words", "-o", text(&out), "--model"].map(str::to_owned);
    let model = golden("model-tiny");
    let with = |more: &[&str]| {
        let args: Vec<&str> =
            base.iter().map(String::as_str).chain([model.as_str()]).chain(more.iter().copied()).collect();
        stdout_of(&args)
    };
    assert_eq!(with(&["--dry-run"]), "todo\t10\tmanual_input\t--text #1\n");
    assert!(!out.exists(), "a dry run does nothing");
    assert!(with(&["--batch-stats"]).starts_with("sources 1, bytes 10\n"));
    assert_eq!(with(&["--dry-run"]), "done\t10\tmanual_input\t--text #1\n");
    assert_eq!(with(&["--dry-run", "--overwrite"]), "todo\t10\tmanual_input\t--text #1\n");
    let profile = with(&["--profile"]);
    assert_eq!(
        profile.lines().map(|line| line.split_whitespace().next().unwrap()).collect::<Vec<_>>(),
        ["read", "decode", "encode", "write", "wall"]
    );
}

#[test]
fn standard_input_is_ingested_like_a_file() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let mut child = blt_cli()
        .args(["ingest", "-", "--text", "one", "--text", "two", "-o", text(&out), "--model", &golden("model-tiny")])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"from a pipe").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("3 done (17 bytes, "));
    for (id, bytes) in [("stdin", &b"from a pipe"[..]), ("manual_input", b"one"), ("manual_input_2", b"two")] {
        let file = fs::read(out.join(format!("{id}.safetensors"))).unwrap();
        assert_eq!(SafeTensors::deserialize(&file).unwrap().tensor("bytes").unwrap().data(), bytes);
    }
}

#[test]
fn embeddings_as_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let model = golden("model-tiny");
    for (i, (options, dtype, shape)) in [
        (&["--embeddings", "byte", "--embedding-dtype", "f16"][..], "F16", Some(64)),
        (&["--embedding-dtype", "int8", "--embedding-dims", "8"], "I8", Some(8)),
        (&["--embeddings", "none"], "", None),
    ]
    .into_iter()
    .enumerate()
    {
        let out = scratch.path().join(i.to_string());
        let words = "some words and more, ".repeat(20); // patches enough for a projection
        let args: Vec<&str> = ["ingest", "--text", &words, "-o", text(&out), "--model", &model]
            .into_iter()
            .chain(options.iter().copied())
            .collect();
        stdout_of(&args);
        let file = fs::read(out.join("manual_input.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&file).unwrap();
        let found = file.tensor("embeddings").ok();
        assert_eq!(found.as_ref().map(|tensor| tensor.shape()[1]), shape);
        assert!(found.is_none_or(|tensor| format!("{:?}", tensor.dtype()) == dtype));
        assert_eq!(file.tensor("byte_embeddings").is_ok(), i == 0);
        assert_eq!(file.tensor("embedding_scales").is_ok(), i == 1);
    }
}

#[test]
fn models_are_described_converted_and_verified() {
    let info = stdout_of(&["model", "info"]);
    assert!(info.contains("parameters    8855360") && info.contains("threshold     1.769\n"), "{info}");

    let scratch = tempfile::tempdir().unwrap();
    let expected = golden("model-tiny-gqa/expected.safetensors");
    let burnpack = scratch.path().join("burn/model.bpk");
    let back = scratch.path().join("back/model.safetensors");
    fs::create_dir(burnpack.parent().unwrap()).unwrap();
    fs::create_dir(back.parent().unwrap()).unwrap();
    let mut models = vec![golden("model-tiny-gqa"), text(back.parent().unwrap()).to_owned()];
    if cfg!(feature = "burn-cpu") {
        stdout_of(&["model", "convert", &golden("model-tiny-gqa"), text(&burnpack)]);
        stdout_of(&["model", "convert", text(burnpack.parent().unwrap()), text(&back)]);
        models.push(text(&burnpack).to_owned());
    } else {
        let refused = run(&["model", "convert", &golden("model-tiny-gqa"), text(&burnpack)]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8(refused.stderr).unwrap().contains("built without Burn"));
        stdout_of(&["model", "convert", &golden("model-tiny-gqa"), text(&back)]);
    }
    for model in &models {
        let report = stdout_of(&["model", "verify", model, "--against", &expected]);
        assert!(report.contains("eos             entropies") && !report.contains("DIFFERS"), "{report}");
    }
    let other =
        run(&["model", "verify", &golden("model-tiny"), "--against", &golden("model-tiny-gqa/expected.safetensors")]);
    assert_eq!(other.status.code(), Some(1), "another model's values differ");
}

/// Our engine with every instruction set that is here, and Burn where it is compiled in.
#[test]
fn every_way_to_compute_matches_the_reference() {
    let sets: Value = serde_json::from_str(&stdout_of(&["doctor", "--format", "json"])).unwrap();
    let mut ways: Vec<Vec<String>> = sets
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["what"].as_str().unwrap().starts_with("  ") && finding["state"] == "can be used")
        .map(|finding| {
            let set = finding["what"].as_str().unwrap().trim();
            let mut way = vec!["--instructions".to_owned(), set.to_owned()];
            if set.ends_with("bf16") {
                // The original's own bfloat16 run is up to 0.14 nats off.
                let bounds = ["--dtype", "bf16", "--max-entropy-error", "0.15", "--max-state-error", "1"];
                way.extend(bounds.map(str::to_owned));
            }
            way
        })
        .collect();
    assert!(!ways.is_empty());
    if cfg!(feature = "burn-cpu") {
        ways.push(vec!["--backend".to_owned(), "burn-cpu".to_owned()]);
    }
    for way in ways {
        let (model, expected) = (golden("model-tiny"), golden("model-tiny/expected.safetensors"));
        let mut args = vec!["model", "verify", &model, "--against", &expected];
        args.extend(way.iter().map(String::as_str));
        let report = stdout_of(&args);
        assert!(report.contains("entropies") && !report.contains("DIFFERS"), "{way:?}: {report}");
    }
}

#[test]
fn quantization_is_described() {
    // The weights are stored in 8 bits, which therefore lose nothing of them, but of the activations.
    for (bits, n_bytes, n_changed) in [("int8", 9_500_000, 0), ("int4", 6_000_000, 8 * 7)] {
        let report = stdout_of(&["model", "stats", "--quantize", bits, "--format", "json"]);
        let report: Value = serde_json::from_str(&report).unwrap();
        assert!(report["bytes"].as_u64().unwrap() < n_bytes, "{report}");
        assert!(report["mean_entropy_drift_nats"].as_f64().unwrap() > 0.0, "{report}");
        let tensors = report["tensors"].as_array().unwrap();
        let changed = tensors.iter().filter(|tensor| tensor["relative_error"].as_f64().unwrap() > 0.0);
        assert_eq!(changed.count(), n_changed, "every matrix of every layer");
    }
    assert_eq!(
        stdout_of(&["ingest", "--quantize", "int8", "--quant-stats"]),
        stdout_of(&["model", "stats", "--quantize", "int8"])
    );
    let exact = stdout_of(&["patch", "--format", "json", "--text", SENTENCE]);
    assert_ne!(stdout_of(&["patch", "--format", "json", "--quantize", "int8", "--text", SENTENCE]), exact);
    assert_eq!(run(&["model", "stats", "--quantize", "none"]).status.code(), Some(2));
}

/// The form of the original repository's fixture, with values of the tiny reference model.
#[test]
fn a_published_table_is_compared() {
    let case = blt_testkit::model_cases("model-tiny").into_iter().find(|case| case.name == "plain").unwrap();
    let indexed = |values: Vec<Value>| {
        values.into_iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect::<serde_json::Map<_, _>>()
    };
    let table = serde_json::json!({
        "token_ids": indexed(case.tokens[0].iter().map(|&id| id.into()).collect()),
        "entropies": indexed(case.entropies[0].iter().map(|&h| h.into()).collect()),
    });
    let scratch = tempfile::tempdir().unwrap();
    for (name, table) in [
        ("columns.json", table.clone()),
        ("wrapped.json", serde_json::json!({"dataframe_json": table.to_string()})),
        ("lists.json", serde_json::json!({"token_ids": case.tokens[0], "entropies": case.entropies[0]})),
    ] {
        let path = scratch.path().join(name);
        fs::write(&path, table.to_string()).unwrap();
        let report = stdout_of(&[
            "model",
            "verify",
            &golden("model-tiny"),
            "--against",
            text(&path),
            "--max-entropy-error",
            "2e-4",
        ]);
        assert!(report.contains("0 patch starts moved"), "{report}");
    }
}

#[test]
fn the_doctor_and_the_generated_pages_answer() {
    let report = stdout_of(&["doctor"]);
    assert!(report.contains("  portable      can be used") && report.contains("hash verified"), "{report}");
    assert!(serde_json::from_str::<Value>(&stdout_of(&["doctor", "--format", "json"])).unwrap().is_array());
    assert!(stdout_of(&["formats"]).contains(" image/png\n"));
    assert!(stdout_of(&["completions", "bash"]).contains("_blt__cli()"));
    assert!(stdout_of(&["man"]).starts_with(".ie"));
    assert!(stdout_of(&["--version"]).starts_with("blt-cli 0."));
}

#[test]
fn formats_are_recognised_by_content_and_name() {
    let samples = samples();
    let path = |name: &str| samples.join(name).display().to_string();
    let (bmp, rust, prose) = (path("binary/disc.bmp"), path("code/tide.rs"), path("prose/lighthouse.txt"));
    let report = stdout_of(&["formats", "--format", "json", "--detect", &bmp, &rust, &prose]);
    let rows: Value = serde_json::from_str(&report).unwrap();
    let found: Vec<&str> = rows.as_array().unwrap().iter().map(|row| row["format"].as_str().unwrap()).collect();
    assert_eq!(found, ["bmp", "rust", "text"]);
}

/// Decoders run in processes of their own here, as they do for users.
#[test]
fn samples_are_decoded_and_checked_without_a_model() {
    let samples = samples().display().to_string();
    for isolate in ["always", "never"] {
        let report = stdout_of(&["ingest", "--decode-only", "--views", "both", "--isolate", isolate, &samples]);
        let rows: Vec<Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 14);
        assert!(rows.iter().all(|row| row["status"] == "done" && row["problems"] == serde_json::json!([])), "{report}");
        let of = |name: &str| rows.iter().find(|row| row["path"].as_str().unwrap().ends_with(name)).unwrap();
        assert_eq!((&of("disc.bmp")["modality"], &of("disc.bmp")["n_views"]), (&"image".into(), &2.into()));
        assert!(of("round.elf")["n_units"] == 9);
    }
}

/// Nothing is left in the folder for temporary files, where somebody else's `stdin` may lie.
#[test]
fn standard_input_is_decoded_without_a_trace() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("stdin"), "not ours").unwrap();
    let mut child = blt_cli()
        .args(["ingest", "--decode-only", "-"])
        .env("TMPDIR", scratch.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"P6 2 1 255\n\x01\x02\x03\x04\x05\x06").unwrap();
    let output = child.wait_with_output().unwrap();
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&row["path"], &row["modality"], &row["status"]), (&"-".into(), &"image".into(), &"done".into()));
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((left, fs::read(scratch.path().join("stdin")).unwrap()), (vec!["stdin".into()], b"not ours".to_vec()));
}

/// A path that is no text, of a file too large to be handed over in memory.
#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_name_is_no_text_is_decoded_in_a_process_of_its_own() {
    use std::os::unix::ffi::OsStrExt;
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(std::ffi::OsStr::from_bytes(b"\xFF.ppm"));
    fs::write(&path, [&b"P5 3000 3000 255\n"[..], &vec![7; 9_000_000]].concat()).unwrap();
    let arguments = ["ingest", "--decode-only", "--isolate", "always"];
    let output = blt_cli().args(arguments).arg(&path).output().unwrap();
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&row["status"], &row["n_views"]), (&"done".into(), &1.into()), "{row}");
}

#[test]
fn a_source_that_cannot_be_decoded_fails_and_leaves_its_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name).display().to_string();
    fs::write(path("broken.png"), b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0").unwrap();
    let output = run(&["ingest", &path("broken.png"), "-o", &path("out")]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("broken.png: not decodable as image: "), "{told}");
    let bytes = fs::read(path("out/broken.png.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("bytes").unwrap().data(), fs::read(path("broken.png")).unwrap());
    let report: Value = serde_json::from_str(&stdout_of(&["inspect", "--format", "json", &path("out")])).unwrap();
    assert_eq!((&report["failed"], &report["done"]), (&1.into(), &0.into()));
    let sidecar = stdout_of(&["inspect", &path("out/broken.png.hypergraph.db")]);
    assert!(sidecar.contains("not decodable as image"), "{sidecar}");
}

#[test]
fn inspect_shows_units_with_their_places() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out").display().to_string();
    let bmp = samples().join("binary/disc.bmp").display().to_string();
    stdout_of(&["ingest", &bmp, "-o", &out, "--rule", "static", "--patch-size", "512", "--embeddings", "none"]);
    let report = stdout_of(&["inspect", &format!("{out}/disc.bmp.hypergraph.db")]);
    assert!(report.contains("tile 0..") && report.contains("frame 0 (0, 0) to (16, 16)"), "{report}");
}

/// `--threshold auto` patches each view with the calibrated threshold of what it holds, and says so.
#[test]
fn automatic_thresholds_are_those_of_the_modality() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let samples = samples();
    let ingest = ["ingest", text(&samples), "-o", text(&out), "--dtype", "f32", "--threshold", "auto:6"];
    assert_eq!(run(&ingest).status.code(), Some(0));
    for (id, threshold) in [("prose~lighthouse.txt", 2.141), ("code~tide.rs", 1.568)] {
        let file = fs::read(out.join(format!("{id}.safetensors"))).unwrap();
        let (_, header) = SafeTensors::read_metadata(&file).unwrap();
        let strings = header.metadata().clone().unwrap();
        assert_eq!(strings["threshold"], "auto:6");
        assert!(strings["thresholds"].starts_with("text 2.141, code 1.568,"), "{}", strings["thresholds"]);
        let file = SafeTensors::deserialize(&file).unwrap();
        let words = |name: &str| file.tensor(name).unwrap().data().as_chunks::<4>().0.to_vec();
        let entropies: Vec<f32> = words("entropies").into_iter().map(f32::from_le_bytes).collect();
        let starts = (0..entropies.len()).filter(|&i| i == 0 || entropies[i] > threshold).count();
        assert_eq!(words("patch_lengths").len(), starts, "{id}");
    }
    // Another threshold is another run.
    let other = ["ingest", text(&samples), "-o", text(&out), "--dtype", "f32", "--threshold", "auto:8"];
    assert_eq!(run(&other).status.code(), Some(2));
}

#[test]
fn automatic_thresholds_are_refused_beyond_the_calibration() {
    for (threshold, reason) in [
        ("auto:3", "for patches of 4.5 to 8 bytes, not 3"),
        ("auto:", "neither a number nor `auto[:SIZE]`"),
        ("automatic", "neither a number nor `auto[:SIZE]`"),
    ] {
        let output = run(&["patch", "--text", SENTENCE, "--threshold", threshold]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && stderr.contains(reason), "{threshold}: {stderr}");
    }
}
