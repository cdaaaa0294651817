//! Killing the program at any moment and running it again gives the files of one clean run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use blt_testkit::{files_below, noise, prose};

use crate::{blt_cli, golden, text};

/// Files that take the tiny model about two seconds in all.
fn inputs(folder: &Path) {
    for i in 0..60u64 {
        let bytes = match i % 4 {
            0 => prose(30_000, i),
            1 => noise(9000, i),
            2 => prose(i as usize, i),
            _ => Vec::new(),
        };
        let folder = folder.join(format!("{}", i % 7));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{i}.dat")), bytes).unwrap();
    }
}

#[test]
fn killed_anywhere_it_ends_as_one_clean_run() {
    let scratch = tempfile::tempdir().unwrap();
    let input = scratch.path().join("input");
    inputs(&input);
    let (clean, killed) = (scratch.path().join("clean"), scratch.path().join("killed"));
    let model = golden("model-tiny");
    let ingest = |output: &Path| {
        let mut command = blt_cli();
        command.args(["ingest", text(&input), "-o", text(output), "--model", &model, "--export-json"]);
        command
    };
    assert!(ingest(&clean).output().unwrap().status.success());
    let mut n_killed = 0;
    for milliseconds in [5, 40, 90, 150, 210, 260, 330, 410, 470, 560] {
        let mut child = ingest(&killed).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        n_killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    assert!(n_killed >= 3, "only {n_killed} of 10 kills came before the end");
    let output = ingest(&killed).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outputs = |folder: &Path| {
        let mut files = files_below(folder);
        // What tells of the run itself: how it was started and how long it took.
        files.retain(|name, _| name != "run.json" && name != "stats.json");
        files
    };
    let (clean, killed) = (outputs(&clean), outputs(&killed));
    assert_eq!(clean.keys().collect::<Vec<_>>(), killed.keys().collect::<Vec<_>>());
    for (name, bytes) in &clean {
        assert!(bytes == &killed[name], "{name} differs");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_cleanly_and_the_next_run_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let input = scratch.path().join("input.txt");
    fs::write(&input, prose(3_000_000, 9)).unwrap();
    let out = scratch.path().join("out");
    let child = blt_cli()
        .args(["ingest", text(&input), "-o", text(&out), "--model", &golden("model-tiny")])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Until it works on the file: its folder for unfinished files is there.
    while !out.join(".partial").is_dir() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    let interrupted = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("stopped, run again to go on"), "{stderr}");
    assert!(!out.join(".partial").exists() && out.join("manifest.db").is_file());
}

/// Each member is decoded in a process of its own, so there are seconds of work between the signal and the end.
#[cfg(unix)]
#[test]
fn ctrl_c_is_seen_between_the_files_of_an_archive() {
    let scratch = tempfile::tempdir().unwrap();
    let (archive, out) = (scratch.path().join("many.tar"), scratch.path().join("out"));
    let member = {
        let mut header = [0u8; 512];
        header[..5].copy_from_slice(b"a.ppm");
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(b"00000000021");
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let mut content = [0u8; 512];
        content[..17].copy_from_slice(b"P6 2 1 255\n123456");
        [header, content].concat()
    };
    fs::write(&archive, [member.repeat(50_000), vec![0; 1024]].concat()).unwrap();
    let child = blt_cli()
        .args(["ingest", text(&archive), "-o", text(&out), "--model", &golden("model-tiny")])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Until it decodes: a request or a copy is there.
    while fs::read_dir(out.join(".partial")).map_or(0, Iterator::count) == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let interrupted = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    // It was given up, not finished.
    assert!(stderr.contains("0 done") && !out.join("many.tar.safetensors").exists(), "{stderr}");
    assert!(!out.join(".partial").exists());
}
