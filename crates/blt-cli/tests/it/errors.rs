//! Bad usage and bad files: one clear sentence and exit code 2.

use std::fs;
use std::path::Path;

use crate::{golden, run, snapshot, text};

#[test]
fn options_that_the_rule_does_not_use_are_refused() {
    snapshot(
        &["patch", "--text", "x", "--rule", "space", "--threshold", "2"],
        "exit: 2
--- stdout
--- stderr
error: the rule `space` does not use `--threshold`
",
    );
    snapshot(
        &["patch", "--text", "x", "--rule", "top-k"],
        "exit: 2
--- stdout
--- stderr
error: the rule `top-k` needs `--patch-size`
",
    );
    for args in [
        &["patch"][..],
        &["patch", "--text", "x", "--patch-size", "0", "--rule", "static"],
        &["patch", "--text", "x", "--threshold", "nan"],
        &["patch", "--text", "x", "--patch-size", "4"],
        &["patch", "--text", "x", "--backend", "cuda"],
        &["patch", "--text", "x", "--backend", "vulkan"],
        &["patch", "--text", "x", "--device", "3"],
        &["patch", "--text", "x", "--device", "all"],
        &["patch", "--text", "x", "--device", "first"],
        &["patch", "--text", "x", "--backend", "cuda", "--instructions", "avx2"],
        &["patch", "--text", "x", "--backend", "cuda", "--quantize", "int8"],
        &["patch", "--text", "x", "--quantize", "int2"],
        &["patch", "--text", "x", "--dtype", "f16"],
        &["patch", "--text", "x", "--instructions", "mmx"],
        &["ingest"],
        &["ingest", "--text", "x", "--embedding-dims", "321"],
        &["ingest", "/nowhere/at/all", "--dry-run"],
        &["ingest", "--text", "x", "--embeddings", "none", "--embedding-dtype", "f16"],
        &["ingest", "--text", "x", "--modality", "binary", "--text-segments", "lines"],
        &["ingest", "--text", "x", "--histogram-bins", "7"],
        &["ingest", "--text", "x", "--prefetch-buffer", "0"],
        &["ingest", "--text", "x", "--decode-only", "-o", "out"],
        &["ingest", "--text", "x", "--decode-only", "--model", "tiny"],
        &["ingest", "--text", "x", "--decode-only", "--rule", "byte"],
        &["ingest", "--text", "x", "--decode-only", "--modality", "binary", "--text-segments", "lines"],
        &["frobnicate"],
    ] {
        let output = run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && output.stdout.is_empty(), "{args:?}: {stderr}");
    }
}

/// With or without a driver, none of the tests sees a card.
#[test]
fn a_missing_card_is_named_and_only_auto_does_without() {
    let output = run(&["patch", "--text", "x", "--backend", "cuda"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("NVIDIA driver") && stderr.contains("hint: use `--backend cpu`"), "{stderr}");
    assert!(run(&["patch", "--text", "x", "--backend", "auto"]).status.success());
    assert!(crate::stdout_of(&["doctor"]).contains("backend cuda"));
}

#[test]
fn a_missing_model_says_what_to_do() {
    snapshot(
        &["patch", "--text", "x", "--model", "no/such/model"],
        "exit: 2
--- stdout
--- stderr
error: cannot load the entropy model
  cause: cannot open `no/such/model`
  cause: No such file or directory (os error 2)

hint: pass `--model DIR` with `model.safetensors` and `config.json` in it, or `--model embedded` for the model inside the program
",
    );
}

/// A copy of the tiny model with something done to one of its files.
fn damaged(folder: &Path, change: impl Fn(&mut Vec<u8>, &mut String)) -> String {
    let original = golden("model-tiny");
    let mut weights = fs::read(Path::new(&original).join("model.safetensors")).unwrap();
    let mut config = fs::read_to_string(Path::new(&original).join("config.json")).unwrap();
    change(&mut weights, &mut config);
    fs::write(folder.join("model.safetensors"), weights).unwrap();
    fs::write(folder.join("config.json"), config).unwrap();
    text(folder).to_owned()
}

/// Replaces the JSON header of a safetensors file, padding included.
fn with_header(weights: &mut Vec<u8>, change: impl Fn(String) -> String) {
    let length = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    let header = change(String::from_utf8(weights[8..8 + length].to_vec()).unwrap());
    let rest = weights.split_off(8 + length);
    *weights = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &rest].concat();
}

#[test]
fn every_kind_of_damaged_checkpoint_gives_one_sentence() {
    type Change = fn(&mut Vec<u8>, &mut String);
    let cases: [(&str, Change, &str); 13] = [
        ("empty", |w, _| w.clear(), "is not a valid safetensors file: it has only 0 bytes"),
        (
            "truncated",
            |w, _| w.truncate(w.len() - 10),
            "its header describes 535808 bytes of tensors, the file holds 535798",
        ),
        ("overlong", |w, _| w.extend([0; 10]), "the file holds 535818"),
        (
            "huge header",
            |w, _| w[..8].copy_from_slice(&u64::MAX.to_le_bytes()),
            "its header claims 18446744073709551615 bytes",
        ),
        ("garbage header", |w, _| w[8..40].fill(b'?'), "its header is malformed"),
        (
            "offsets outside",
            |w, _| with_header(w, |h| h.replacen("\"data_offsets\":[0,", "\"data_offsets\":[9999999999,", 1)),
            "its header is malformed",
        ),
        (
            "shape overflow",
            |w, _| with_header(w, |h| h.replacen("\"shape\":[260,64]", "\"shape\":[4611686018427387904,64]", 1)),
            "its header is malformed",
        ),
        ("wrong shape", |_, c| *c = c.replace("\"dim\": 64", "\"dim\": 32"), "has shape [260, 64], expected [260, 32]"),
        (
            "missing layer",
            |_, c| *c = c.replace("\"n_layers\": 2", "\"n_layers\": 3"),
            "lacks 9 tensor(s) of this model, first `layers.2.attention_norm.weight`",
        ),
        (
            "wrong dtype",
            |w, _| with_header(w, |h| h.replace("\"F32\"", "\"I32\"")),
            "has dtype I32, expected F32, F16, BF16",
        ),
        (
            "not a number",
            |w, _| {
                let n = w.len();
                w[n - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
            },
            "holds a value that is not finite",
        ),
        ("config not JSON", |_, c| c.truncate(20), "is not a model configuration"),
        ("config of something else", |_, c| *c = "{}".to_owned(), "it has neither `args`"),
    ];
    for (name, change, reason) in cases {
        let scratch = tempfile::tempdir().unwrap();
        let model = damaged(scratch.path(), change);
        for args in [
            &["patch", "--text", "x", "--model", &model][..],
            &["ingest", "--text", "x", "-o", &format!("{model}/out"), "--model", &model],
        ] {
            let output = run(args);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
            assert!(stderr.starts_with("error: cannot load the entropy model\n  cause: "), "{name}: {stderr}");
            assert!(stderr.contains(reason), "{name}: {stderr}");
        }
        assert!(!Path::new(&model).join("out").exists(), "{name}: nothing is written");
    }
}

#[test]
fn a_model_without_configuration_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let model = damaged(scratch.path(), |_, _| {});
    fs::remove_file(scratch.path().join("config.json")).unwrap();
    let stderr = String::from_utf8(run(&["patch", "--text", "x", "--model", &model]).stderr).unwrap();
    assert!(stderr.contains("has no `config.json` beside it") && stderr.contains("hint: put the model's"), "{stderr}");
}

#[test]
fn inspecting_anything_else_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("notes.txt");
    fs::write(&path, "just notes, long enough to have a header").unwrap();
    for arguments in [&["inspect", text(&path)][..], &["inspect", text(scratch.path())], &["inspect", "/nowhere"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: cannot inspect"), "{arguments:?}");
    }
}
