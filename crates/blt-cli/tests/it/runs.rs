//! `blt-cli runs` on a folder that `ingest` made.

use std::fs;

use crate::{blt_cli, golden, text};

#[test]
fn a_run_is_described_checked_and_completed() {
    let scratch = tempfile::tempdir().unwrap();
    let (input, out) = (scratch.path().join("input"), scratch.path().join("out"));
    fs::create_dir(&input).unwrap();
    fs::write(input.join("good.txt"), "good").unwrap();
    fs::write(input.join("large.txt"), "x".repeat(3000)).unwrap();
    let run = |args: &[&str]| {
        let output = blt_cli().current_dir(scratch.path()).args(args).output().unwrap();
        let both = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(both).unwrap())
    };
    let model = golden("model-tiny");
    let (code, _) = run(&["ingest", "input", "-o", "out", "--model", &model, "--max-bytes", "1000"]);
    assert_eq!(code, Some(1));
    let (code, said) = run(&["runs", "status", text(&out)]);
    assert!(code == Some(1) && said.starts_with("1 done, 1 failed, 0 skipped"), "{said}");
    assert!(said.contains("large.txt: the source has 3000 bytes"), "{said}");

    // The limit still stands when it is tried again as it was started; a smaller file passes.
    assert_eq!(run(&["runs", "retry", text(&out)]).0, Some(1));
    fs::write(input.join("large.txt"), "small").unwrap();
    fs::write(input.join("good.txt"), "changed, and not looked at").unwrap();
    let (code, said) = run(&["runs", "retry", text(&out)]);
    assert!(code == Some(0) && said.contains("1 done (5 bytes"), "{said}");

    let (code, said) = run(&["runs", "verify", text(&out)]);
    assert!(code == Some(0) && said.contains("4 files") && said.contains("0 problems"), "{said}");
    let file = out.join("good.txt.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    fs::write(out.join("stray.safetensors"), "").unwrap();
    fs::remove_file(out.join("large.txt.hypergraph.db")).unwrap();
    let (code, said) = run(&["runs", "verify", "--format", "json", text(&out)]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, report["problems"].as_array().unwrap().len()), (Some(1), 3), "{said}");

    let statistics: serde_json::Value = serde_json::from_slice(&fs::read(out.join("stats.json")).unwrap()).unwrap();
    assert_eq!(statistics["done"], 1);
    assert_eq!(run(&["runs", "status", text(&input)]).0, Some(2));
}
