//! Revisions, listings, and who may see them.

use blt_hf::{HubError, HubOptions, HubSource, Repo, RepoKind};
use blt_hub_stub::{Access, Fault, Kind, Port, What};

use crate::{BIG, Fixture, pin, repo};

#[test]
fn a_branch_is_pinned_once_and_stays() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    assert_eq!(at.commit.as_str(), fixture.commit);
    fixture.stub.change(|world| {
        world.add(Kind::Datasets, "o/data", "main", [("data/a b#c.txt", &b"newer"[..])]);
    });
    let path = hub.cached_file(&at, "data/a b#c.txt", &()).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"odd");
    assert_ne!(pin(&hub), at);
    fixture.stub.forget();
    assert_eq!(hub.resolve(&repo(), &fixture.commit).unwrap(), at);
    assert_eq!(fixture.requests(), [""; 0], "a commit needs no pinning");
}

#[test]
fn revisions_with_slashes_are_found() {
    let fixture = Fixture::with(|world| {
        world.add(Kind::Datasets, "o/data", "refs/convert/parquet", [("default/train/0000.parquet", &b"PAR1"[..])]);
    });
    let hub = fixture.hub();
    let at = hub.resolve(&repo(), "refs/convert/parquet").unwrap();
    let files = hub.list(&at, "").unwrap();
    assert_eq!(files.iter().map(|file| &*file.path).collect::<Vec<_>>(), ["default/train/0000.parquet"]);
    assert_eq!(fixture.offline().resolve(&repo(), "refs/convert/parquet").unwrap(), at);
}

#[test]
fn listings_come_in_pages_and_are_whole() {
    let fixture = Fixture::with(|world| {
        world.list_in_pages_of(3);
        let names: Vec<String> = (0..10).map(|i| format!("deep/er/{i}.txt")).collect();
        world.add(Kind::Datasets, "o/many", "main", names.iter().map(|name| (name.as_str(), name.as_bytes())));
    });
    let hub = fixture.hub();
    let at = hub.resolve(&Repo::new(RepoKind::Dataset, "o/many").unwrap(), "main").unwrap();
    let files = hub.list(&at, "").unwrap();
    assert_eq!(files.len(), 10);
    assert!(files.is_sorted_by_key(|file| file.path.clone()));
    assert_eq!(hub.list(&at, "deep/er").unwrap(), files);
    assert_eq!(hub.list(&at, "deep/e").unwrap(), []);
    let pages = fixture.requests().iter().filter(|request| request.contains("/tree/")).count();
    assert_eq!(pages, 4, "12 entries, and never again");
}

#[test]
fn sizes_and_hashes_are_the_hub_s() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    let file = hub.stat(&at, "data/big.parquet").unwrap();
    assert_eq!(file.size, BIG as u64);
    assert_eq!(file.digest.to_string().len(), 64);
    assert_eq!(hub.stat(&at, "README.md").unwrap().digest.to_string().len(), 40);
    assert!(matches!(hub.stat(&at, "data"), Err(HubError::FileNotFound { .. })), "a folder is no file");
}

#[test]
fn what_is_not_there_is_named() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let nobody = Repo::new(RepoKind::Dataset, "o/nothing").unwrap();
    let error = hub.resolve(&nobody, "main").unwrap_err();
    assert!(matches!(error, HubError::RepoNotFound { with_token: false, .. }), "{error}");
    assert!(error.hint().unwrap().contains("HF_TOKEN"));
    let error = hub.resolve(&repo(), "v9").unwrap_err();
    assert!(matches!(error, HubError::RevisionNotFound { .. }), "{error}");
    let at = pin(&hub);
    assert!(matches!(hub.cached_file(&at, "no.txt", &()), Err(HubError::FileNotFound { .. })));
    for path in ["../x", "/etc/passwd", "a/../../b", ""] {
        assert!(matches!(hub.cached_file(&at, path, &()), Err(HubError::Path { .. })), "{path}");
    }
}

#[test]
fn gates_and_privacy_are_told_apart_and_open_for_members() {
    let fixture = Fixture::with(|world| {
        world.know_token("hf_stranger");
        world.add(Kind::Models, "o/gated", "main", [("config.json", &b"{}"[..])]);
        world.add(Kind::Models, "o/private", "main", [("config.json", &b"{}"[..])]);
        world.restrict(Kind::Models, "o/gated", Access::Gated(vec!["hf_member".to_owned()]));
        world.restrict(Kind::Models, "o/private", Access::Private(vec!["hf_member".to_owned()]));
    });
    let get = |hub: &blt_hf::Hub, name: &str| {
        let at = hub.resolve(&Repo::new(RepoKind::Model, name).unwrap(), "main")?;
        hub.cached_file(&at, "config.json", &())
    };
    for (token, with_token) in [("", false), ("hf_stranger", true)] {
        let hub = fixture.hub_as(token);
        match get(&hub, "o/gated").unwrap_err() {
            HubError::Gated { with_token: found, repo } => assert_eq!((found, &*repo), (with_token, "o/gated")),
            other => panic!("{other:?}"),
        }
        match get(&hub, "o/private").unwrap_err() {
            HubError::RepoNotFound { with_token: found, .. } => assert_eq!(found, with_token),
            other => panic!("{other:?}"),
        }
    }
    let error = get(&fixture.hub_as("hf_wrong"), "o/gated").unwrap_err();
    assert!(matches!(error, HubError::Unauthorized { with_token: true, .. }), "{error:?}");
    assert!(error.hint().is_some());
    assert!(!format!("{error:?} {error}").contains("hf_wrong"));
    let member = fixture.hub_as("hf_member");
    get(&member, "o/gated").unwrap();
    get(&member, "o/private").unwrap();
}

#[test]
fn a_token_stays_at_the_hub() {
    let fixture = Fixture::with(|world| world.know_token("hf_secret"));
    let hub = fixture.hub_as("hf_secret");
    let at = pin(&hub);
    let file = hub.stat(&at, "data/big.parquet").unwrap();
    hub.read_at(&at, &file, 5, &mut [0; 5]).unwrap();
    hub.cached_file(&at, "data/big.parquet", &()).unwrap();
    let seen = fixture.stub.seen();
    assert!(seen.iter().any(|seen| seen.port == Port::Storage));
    for seen in seen {
        assert_eq!(seen.authorization.is_some(), seen.port == Port::Hub, "{seen:?}");
    }
}

#[test]
fn a_token_does_not_come_back_from_elsewhere() {
    let fixture = Fixture::with(|world| world.know_token("hf_secret"));
    let hub = fixture.hub_as("hf_secret");
    let at = pin(&hub);
    let home = format!("{}/api/datasets/o/data/refs", fixture.stub.endpoint());
    fixture.stub.fail(Fault::once(Port::Storage, "big", What::Redirect(home)));
    fixture.stub.forget();
    let _ = hub.cached_file(&at, "data/big.parquet", &());
    let back = fixture.stub.seen().into_iter().find(|seen| seen.target.ends_with("/refs")).unwrap();
    assert_eq!(back.authorization, None);
}

#[test]
fn a_name_in_another_case_is_followed() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = hub.resolve(&Repo::new(RepoKind::Dataset, "O/Data").unwrap(), "main").unwrap();
    assert_eq!(at.commit.as_str(), fixture.commit);
    assert_eq!(hub.list(&at, "data").unwrap().len(), 2);
    hub.cached_file(&at, "data/big.parquet", &()).unwrap();
    assert!(fixture.requests().iter().any(|request| request.ends_with(" 307")));
}

#[test]
fn endless_redirections_end() {
    let fixture = Fixture::new();
    fixture.stub.fail(Fault::always(Port::Hub, "/api/", What::Redirect("/api/again".to_owned())));
    assert!(matches!(fixture.hub().resolve(&repo(), "main"), Err(HubError::Redirect { .. })));
}

#[test]
fn only_addresses_are_endpoints() {
    let fixture = Fixture::new();
    for endpoint in ["", "huggingface.co", "ftp://x", "https://me:secret@hub.example.org", "https://h/?token=secret"] {
        let options = HubOptions { endpoint: endpoint.to_owned(), ..fixture.options() };
        let error = blt_hf::Hub::new(options).unwrap_err();
        assert!(matches!(error, HubError::Endpoint { .. }), "{endpoint}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}
