//! What is kept, and found again.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use blt_hf::{FileInfo, HubError, HubOptions, HubSource, Progress};
use blt_hub_stub::Port;

use crate::{BIG, Fixture, assert_holds, noise, pin, repo};

#[test]
fn files_are_kept_where_the_python_client_keeps_them() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    let path = hub.cached_file(&at, "data/big.parquet", &()).unwrap();
    let folder = fixture.cache.path().join("datasets--o--data");
    assert_eq!(path, folder.join("snapshots").join(&fixture.commit).join("data/big.parquet"));
    let digest = hub.stat(&at, "data/big.parquet").unwrap().digest.to_string();
    assert_holds(&folder.join("blobs").join(&digest), &noise(BIG));
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), fixture.commit);
    if cfg!(unix) {
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("../../../blobs").join(digest));
    }
    assert!(matches!(hub.cached_file(&at, "no.txt", &()), Err(HubError::FileNotFound { .. })));
    assert!(folder.join(".no_exist").join(&fixture.commit).join("no.txt").is_file());
    let leftovers = fs::read_dir(folder.join("blobs")).unwrap().count();
    assert_eq!(leftovers, 1, "nothing but the blob");
}

#[test]
fn what_is_cached_is_not_asked_for_again() {
    let fixture = Fixture::new();
    let at = pin(&fixture.hub());
    let path = fixture.hub().cached_file(&at, "data/big.parquet", &()).unwrap();
    fixture.stub.forget();
    let hub = fixture.hub();
    assert_eq!(hub.cached_commit(&repo(), "main").as_ref(), Some(&at));
    assert_eq!(hub.find_cached(&at, "data/big.parquet"), Some(path.clone()));
    assert_eq!(hub.find_cached(&at, "README.md"), None);
    assert_eq!(hub.cached_file(&at, "data/big.parquet", &()).unwrap(), path);
    assert_eq!(fixture.requests(), [""; 0]);
}

#[test]
fn offline_everything_that_was_fetched_is_there_and_nothing_is_sent() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    let files = hub.list(&at, "").unwrap();
    hub.cached_file(&at, "data/big.parquet", &()).unwrap();
    fixture.stub.forget();

    let hub = fixture.offline();
    assert_eq!(pin(&hub), at);
    assert_eq!(hub.list(&at, "").unwrap(), files);
    assert_eq!(hub.list(&at, "data").unwrap(), files[1..]);
    hub.cached_file(&at, "data/big.parquet", &()).unwrap();
    let mut bytes = [0; 100];
    hub.read_at(&at, &files[2], 77, &mut bytes).unwrap();
    assert_eq!(bytes, noise(BIG)[77..177]);
    let error = hub.cached_file(&at, "README.md", &()).unwrap_err();
    assert!(matches!(error, HubError::Offline { .. }), "{error}");
    assert!(error.hint().is_some());
    assert!(matches!(hub.resolve(&repo(), "v2"), Err(HubError::Offline { .. })));
    assert!(matches!(hub.read_at(&at, &files[0], 0, &mut bytes[..3]), Err(HubError::Offline { .. })));
    assert_eq!(fixture.requests(), [""; 0]);
}

/// As Python's cache is when the commit was never listed.
#[test]
fn offline_without_a_listing_what_is_there_is_listed() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    hub.cached_file(&at, "data/a b#c.txt", &()).unwrap();
    let hub = fixture.offline();
    let files = hub.list(&at, "").unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!((&*files[0].path, files[0].size), ("data/a b#c.txt", 3));
    assert_eq!(hub.stat(&at, "data/a b#c.txt").unwrap(), files[0]);
}

#[test]
fn content_that_two_commits_share_is_fetched_once() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    hub.cached_file(&pin(&hub), "data/big.parquet", &()).unwrap();
    fixture.stub.change(|world| {
        world.add(blt_hub_stub::Kind::Datasets, "o/data", "main", [("moved.parquet", &noise(BIG)[..])]);
    });
    fixture.stub.forget();
    let path = hub.cached_file(&pin(&hub), "moved.parquet", &()).unwrap();
    assert_holds(&path, &noise(BIG));
    assert!(fixture.stub.seen().iter().all(|seen| seen.port == Port::Hub), "no content is fetched");
}

/// Other clients have left error messages under the names of files.
#[test]
fn a_cached_file_of_the_wrong_size_is_fetched_anew() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    let path = hub.cached_file(&at, "data/big.parquet", &()).unwrap();
    fs::write(fs::canonicalize(&path).unwrap(), "<Error>").unwrap();
    let hub = fixture.hub();
    hub.list(&at, "").unwrap();
    assert_holds(&hub.cached_file(&at, "data/big.parquet", &()).unwrap(), &noise(BIG));
}

#[test]
fn what_an_earlier_attempt_left_is_gone_on_with() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    let digest = hub.stat(&at, "data/big.parquet").unwrap().digest;
    let blobs = fixture.cache.path().join("datasets--o--data/blobs");
    fs::create_dir_all(&blobs).unwrap();
    let partial = blobs.join(format!("{digest}.incomplete"));
    for (left, range) in [
        (noise(BIG)[..1_000_000].to_vec(), Some("bytes=1000000-")),
        (noise(BIG), None),
        (vec![0; BIG + 1], Some("")), // too long to be of any use
    ] {
        let _ = fs::remove_file(blobs.join(digest.to_string()));
        let _ = fs::remove_file(hub.find_cached(&at, "data/big.parquet").unwrap_or_default());
        fs::write(&partial, left).unwrap();
        fixture.stub.forget();
        assert_holds(&hub.cached_file(&at, "data/big.parquet", &()).unwrap(), &noise(BIG));
        let content = fixture.stub.seen().into_iter().find(|seen| seen.port == Port::Storage);
        assert_eq!(content.map(|seen| seen.range.unwrap_or_default()).as_deref(), range);
        assert!(!partial.exists());
    }
}

/// Right length so far, wrong bytes.
#[test]
fn wrong_leftovers_are_thrown_away() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    let digest = hub.stat(&at, "data/big.parquet").unwrap().digest;
    let blobs = fixture.cache.path().join("datasets--o--data/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{digest}.incomplete")), [7; 1000]).unwrap();
    assert_holds(&hub.cached_file(&at, "data/big.parquet", &()).unwrap(), &noise(BIG));
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Progress for Log {
    fn started(&self, file: &FileInfo, present: u64) {
        self.0.lock().unwrap().push(format!("{} {present}", file.path));
    }
    fn finished(&self, file: &FileInfo) {
        self.0.lock().unwrap().push(format!("{} done", file.path));
    }
    fn waiting(&self, why: &blt_hf::Waiting<'_>) {
        self.0.lock().unwrap().push(format!("{why:?}").split(' ').next().unwrap().to_owned());
    }
}

#[test]
fn many_files_come_in_order_over_few_connections() {
    let names: Vec<String> = (0..20).map(|i| format!("{i:02}.parquet")).collect();
    let contents: Vec<Vec<u8>> = (0..20).map(|i| noise(1000 * i)).collect();
    let fixture = Fixture::with(|world| {
        let files = names.iter().zip(&contents).map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        world.add(blt_hub_stub::Kind::Datasets, "o/data", "main", files);
    });
    let hub = blt_hf::Hub::new(HubOptions { connections: 3, ..fixture.options() }).unwrap();
    let at = pin(&hub);
    hub.list(&at, "").unwrap();
    let log = Log::default();
    let mut paths: Vec<&str> = names.iter().map(String::as_str).collect();
    paths.push("missing");
    let mut results = hub.cached_files(&at, &paths, &log);
    assert!(matches!(results.pop(), Some(Err(HubError::FileNotFound { .. }))));
    for (result, bytes) in results.into_iter().zip(&contents) {
        assert_holds(&result.unwrap(), bytes);
    }
    let log = log.0.into_inner().unwrap();
    assert_eq!(log.iter().filter(|line| line.ends_with(" done")).count(), 20);
}

#[test]
fn two_who_want_the_same_file_fetch_it_once() {
    let fixture = Fixture::new();
    let at = pin(&fixture.hub());
    fixture.stub.forget();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope
                .spawn(|| assert_holds(&fixture.hub().cached_file(&at, "data/big.parquet", &()).unwrap(), &noise(BIG)));
        }
    });
    assert_eq!(fixture.stub.seen().iter().filter(|seen| seen.port == Port::Storage).count(), 1);
}

#[test]
fn a_lock_that_nobody_lets_go_of_is_given_up_with_a_word() {
    let fixture = Fixture::new();
    let hub = blt_hf::Hub::new(HubOptions { lock_patience: std::time::Duration::ZERO, ..fixture.options() }).unwrap();
    let at = pin(&hub);
    let digest = hub.stat(&at, "data/big.parquet").unwrap().digest;
    let folder = fixture.cache.path().join(".locks/datasets--o--data");
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::File::create(folder.join(format!("{digest}.lock"))).unwrap();
    lock.lock().unwrap();
    let log = Log::default();
    let error = hub.cached_file(&at, "data/big.parquet", &log).unwrap_err();
    assert!(matches!(error, HubError::Locked { .. }), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(*log.0.lock().unwrap(), ["Lock"]);
    lock.unlock().unwrap();
    hub.cached_file(&at, "data/big.parquet", &()).unwrap();
}

#[test]
fn the_cache_can_be_listed() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    assert_eq!(hub.cached_repos(), []);
    let at = pin(&hub);
    hub.cached_file(&at, "data/a b#c.txt", &()).unwrap();
    fs::create_dir_all(fixture.cache.path().join("models--nobody--empty")).unwrap();
    let repos = hub.cached_repos();
    assert_eq!(repos.len(), 1);
    assert_eq!(repos[0].repo, repo());
    assert_eq!(repos[0].refs["main"], at.commit);
    assert_eq!(repos[0].snapshots[0].files, [("data/a b#c.txt".to_owned(), 3)]);
}
