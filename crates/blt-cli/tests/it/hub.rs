//! Models on a hub, which here is one on the loopback interface.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use blt_hub_stub::{Access, Kind, Stub, World};
use tempfile::TempDir;

use crate::{blt_cli, golden, text};

/// A hub with the tiny model as `o/tiny`, its old record as `o/record`, and a cache.
struct Fixture {
    stub: Stub,
    home: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut World)) -> Self {
        let read = |name: &str| fs::read(golden(name)).unwrap();
        let (weights, config) = (read("model-tiny/model.safetensors"), read("model-tiny/config.json"));
        let record = read("model-burn-0.19/tiny-f16.mpk");
        let card = b"---\nlicense: cc-by-nc-4.0\n---\n# Tiny\n".as_slice();
        let mut world = World::default();
        let files =
            [("README.md", card), ("config.json", &config), ("model.safetensors", &weights), ("big/other.bin", card)];
        world.add(Kind::Models, "o/tiny", "main", files);
        world.add(Kind::Models, "o/record", "v1", [("weights.mpk", record.as_slice()), ("config.json", &config)]);
        world.add(Kind::Models, "o/nothing", "main", [("README.md", card)]);
        change(&mut world);
        Self { stub: Stub::start(world).unwrap(), home: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = blt_cli();
        command.env("HF_HOME", self.home.path()).env("HF_ENDPOINT", self.stub.endpoint()).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    fn stdout_of(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that cannot run.
    #[track_caller]
    fn refusal_of(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }

    fn n_requests(&self) -> usize {
        let n = self.stub.seen().len();
        self.stub.forget();
        n
    }
}

const PATCH: [&str; 7] = ["patch", "--format", "json", "--dtype", "f32", "--text", "a tiny model reads"];

/// What `patch` says with this model.
#[track_caller]
fn patches(fixture: &Fixture, model: &[&str]) -> serde_json::Value {
    serde_json::from_str(&fixture.stdout_of(&[&PATCH[..], &["--model"], model].concat())).unwrap()
}

#[test]
fn a_model_is_fetched_once_and_then_found() {
    let fixture = Fixture::new();
    let output = fixture.run(&[&PATCH[..], &["--model", "o/tiny"]].concat());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("fetching o/tiny; its licence: cc-by-nc-4.0"), "{stderr}");
    assert!(fixture.n_requests() > 0);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["model"].as_str().unwrap().starts_with("tiny@"), "{found}");
    assert_eq!(patches(&fixture, &["o/tiny"]), found);
    assert_eq!(patches(&fixture, &["o/tiny@main", "--offline"]), found);
    assert_eq!(fixture.n_requests(), 0);
    let local = patches(&fixture, &[&golden("model-tiny")]);
    assert_eq!(found["entropies"], local["entropies"]);
}

#[test]
fn pull_shows_sizes_and_licence_and_fetches_what_the_model_needs() {
    let fixture = Fixture::new();
    let plan = fixture.stdout_of(&["model", "pull", "o/tiny", "--dry-run"]);
    assert!(plan.contains("model.safetensors") && plan.contains("537744 bytes  to be fetched"), "{plan}");
    assert!(plan.contains("licence: cc-by-nc-4.0") && !plan.contains("other.bin"), "{plan}");
    let seen = fixture.stub.seen();
    assert!(seen.iter().all(|seen| !seen.target.contains("resolve") || seen.target.contains("README")), "{seen:?}");
    let report: serde_json::Value =
        serde_json::from_str(&fixture.stdout_of(&["model", "pull", "o/tiny", "--format", "json"])).unwrap();
    assert_eq!(report["licence"], "cc-by-nc-4.0");
    let folder = Path::new(report["folder"].as_str().unwrap());
    assert!(folder.starts_with(fixture.home.path().join("hub")));
    assert_eq!(
        fs::read(folder.join("model.safetensors")).unwrap(),
        fs::read(golden("model-tiny/model.safetensors")).unwrap()
    );
    assert!(fixture.stdout_of(&["model", "pull", "o/tiny"]).contains("537744 bytes  in the cache"));
    let list = fixture.stdout_of(&["model", "list"]);
    let names: Vec<&str> = list.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["embedded", "o/tiny@main"]);
    let doctor = fixture.stdout_of(&["doctor"]);
    assert!(doctor.contains(fixture.stub.endpoint()) && doctor.contains("1 repositories"), "{doctor}");
}

#[test]
fn old_records_give_what_their_weights_give() {
    let fixture = Fixture::new();
    let found = patches(&fixture, &["o/record@v1"]);
    let folder = tempfile::tempdir().unwrap();
    fs::copy(golden("model-burn-0.19/tiny-f16.mpk"), folder.path().join("weights")).unwrap();
    fs::copy(golden("model-tiny/config.json"), folder.path().join("config.json")).unwrap();
    let by_flag = patches(&fixture, &[text(&folder.path().join("weights")), "--use-mpk"]);
    assert_eq!(found["entropies"], by_flag["entropies"]);
    let converted = tempfile::tempdir().unwrap();
    let halved = converted.path().join("model.safetensors");
    fixture.stdout_of(&["model", "convert", "o/record@v1", text(&halved), "--dtype", "f16"]);
    assert_eq!(found["entropies"], patches(&fixture, &[text(converted.path())])["entropies"]);
}

#[test]
fn what_cannot_be_had_is_said_with_what_to_do() {
    let fixture = Fixture::with(|world| {
        world.add(Kind::Models, "o/gated", "main", [("model.safetensors", &b"x"[..]), ("config.json", b"{}")]);
        world.restrict(Kind::Models, "o/gated", Access::Gated(vec!["hf_member".to_owned()]));
    });
    let refusal = fixture.refusal_of(&["model", "pull", "o/unknown"]);
    assert!(refusal.contains("has no repository `o/unknown`") && refusal.contains("hint: check the name"), "{refusal}");
    let refusal = fixture.refusal_of(&["model", "pull", "o/nothing"]);
    assert!(refusal.contains("has no weights of an entropy model"), "{refusal}");
    let refusal = fixture.refusal_of(&["model", "pull", "o/gated"]);
    assert!(refusal.contains("agreed to its terms"), "{refusal}");
    let refusal = fixture.refusal_of(&["model", "pull", "o/gated", "--hf-token", "hf_stranger"]);
    assert!(!refusal.contains("hf_stranger") && refusal.contains("the token was not accepted"), "{refusal}");
    let refusal = fixture.refusal_of(&["model", "pull", "o/gated", "--hf-token", "two words"]);
    assert!(!refusal.contains("two words"), "{refusal}");
    let refusal = fixture.refusal_of(&["model", "pull", "tiny"]);
    assert!(refusal.contains("is not a model on the hub"), "{refusal}");
    let refusal = fixture.refusal_of(&["patch", "--text", "x", "--model", "o/tiny", "--offline"]);
    assert!(refusal.contains("not in the cache") && refusal.contains("--offline"), "{refusal}");
    fixture.stdout_of(&["model", "pull", "o/gated", "--hf-token", "hf_member"]);
}

#[test]
fn options_go_before_the_environment() {
    let fixture = Fixture::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = fixture.command(&["model", "pull", "o/tiny", "--cache-dir", text(elsewhere.path())]);
    command.args(["--hf-endpoint", fixture.stub.endpoint()]).env("HF_ENDPOINT", "http://127.0.0.1:1");
    assert!(command.output().unwrap().status.success());
    assert!(elsewhere.path().join("hub/models--o--tiny").is_dir());
    assert!(!fixture.home.path().join("hub").exists());
}
