//! Against a hub on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cache;
mod faults;
mod names;
mod ranges;
mod urls;

use std::path::Path;
use std::time::Duration;

use blt_hf::{Hub, HubOptions, HubSource, Pinned, Repo, RepoKind, Token};
use blt_hub_stub::{Kind, Stub, World};
use tempfile::TempDir;

/// A hub with one data set, `o/data`, and a cache of its own.
struct Fixture {
    stub: Stub,
    cache: TempDir,
    /// The commit that `main` is.
    commit: String,
}

/// Bytes that no two places share.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..n).map(|_| next()).collect()
}

/// Length of `data/big.parquet`.
const BIG: usize = 3_000_000;

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut World)) -> Self {
        let mut world = World::default();
        let big = noise(BIG);
        let files =
            [("README.md", &b"---\nlicense: mit\n---\n"[..]), ("data/big.parquet", &big), ("data/a b#c.txt", b"odd")];
        let commit = world.add(Kind::Datasets, "o/data", "main", files);
        change(&mut world);
        Self { stub: Stub::start(world).unwrap(), cache: tempfile::tempdir().unwrap(), commit }
    }

    fn options(&self) -> HubOptions {
        HubOptions {
            endpoint: self.stub.endpoint().to_owned(),
            first_pause: Duration::from_millis(1),
            ..HubOptions::new(self.cache.path().to_owned())
        }
    }

    fn hub(&self) -> Hub {
        Hub::new(self.options()).unwrap()
    }

    fn hub_as(&self, token: &str) -> Hub {
        Hub::new(HubOptions { token: Token::new(token), ..self.options() }).unwrap()
    }

    fn offline(&self) -> Hub {
        Hub::new(HubOptions { offline: true, ..self.options() }).unwrap()
    }

    /// Address and status of every request so far, those of pages and signatures left out; then forgotten.
    fn requests(&self) -> Vec<String> {
        let seen = self.stub.seen();
        self.stub.forget();
        seen.into_iter()
            .map(|seen| format!("{} {} {}", seen.method, seen.target.split('?').next().unwrap(), seen.status))
            .collect()
    }
}

fn repo() -> Repo {
    Repo::new(RepoKind::Dataset, "o/data").unwrap()
}

/// `main`, pinned.
fn pin(hub: &Hub) -> Pinned {
    hub.resolve(&repo(), "main").unwrap()
}

#[track_caller]
fn assert_holds(path: &Path, expected: &[u8]) {
    assert!(std::fs::read(path).unwrap() == expected, "{} holds other bytes", path.display());
}
