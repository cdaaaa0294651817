//! Addresses that data sets name.

use std::time::Duration;

use blt_hf::{Fetched, UrlError, UrlFetcher, UrlPolicy};
use blt_hub_stub::{Fault, Port, Stub, What, World};

fn stub() -> Stub {
    let mut world = World::default();
    world.add_page("/picture.png", &[7; 1000]);
    Stub::start(world).unwrap()
}

fn policy() -> UrlPolicy {
    UrlPolicy { allow_private_hosts: true, ..UrlPolicy::new(vec!["127.0.0.1".to_owned()]) }
}

fn fetch(policy: UrlPolicy, url: &str) -> Result<Vec<u8>, UrlError> {
    let mut bytes = Vec::new();
    let Fetched { n_bytes, .. } = UrlFetcher::new(policy).fetch(url, &mut bytes)?;
    assert_eq!(n_bytes, bytes.len() as u64);
    Ok(bytes)
}

#[test]
fn allowed_content_is_fetched() {
    let stub = stub();
    let url = format!("{}/picture.png", stub.endpoint());
    assert_eq!(fetch(policy(), &url).unwrap(), [7; 1000]);
    stub.fail(Fault::once(Port::Hub, "picture", What::Status(503, None)));
    assert_eq!(fetch(policy(), &url).unwrap(), [7; 1000]);
    stub.fail(Fault::once(Port::Hub, "picture", What::Redirect("/picture.png?again".to_owned())));
    assert_eq!(fetch(policy(), &url).unwrap(), [7; 1000]);
}

/// Without the switch for tests the own machine cannot be reached, whatever it is called.
#[test]
fn the_own_machine_and_network_are_out_of_reach() {
    let hosts =
        ["localhost", "127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:169.254.169.254]", "0x7f.1"];
    let strict = || UrlPolicy::new(hosts.map(str::to_owned).to_vec());
    for host in hosts {
        match fetch(strict(), &format!("https://{host}/latest/meta-data")).unwrap_err() {
            UrlError::Private { .. } => {}
            UrlError::Connection { .. } if host == "0x7f.1" => {} // not every system takes it for an address
            other => panic!("{host}: {other:?}"),
        }
    }
}

#[test]
fn only_plain_https_addresses_are_fetched() {
    let strict = || UrlPolicy::new(vec!["example.org".to_owned()]);
    for url in [
        "http://example.org/",
        "https://example.org:8443/",
        "https://user:secret@example.org/",
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://example.org/",
        "https://",
        "/picture.png",
        "",
    ] {
        let error = fetch(strict(), url).unwrap_err();
        assert!(matches!(error, UrlError::Address { .. }), "{url}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("secret"));
    }
    let error = fetch(strict(), "https://example.org.evil.example/").unwrap_err();
    assert!(matches!(error, UrlError::Host { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--allow-url-host"));
}

#[test]
fn redirections_are_checked_as_the_first_address_was() {
    let stub = stub();
    let url = format!("{}/picture.png", stub.endpoint());
    let redirected = |location: &str| {
        stub.heal();
        stub.fail(Fault::always(Port::Hub, "picture", What::Redirect(location.to_owned())));
        fetch(policy(), &url).unwrap_err()
    };
    assert!(matches!(redirected("https://elsewhere.example/"), UrlError::Host { .. }));
    assert!(matches!(redirected("file:///etc/passwd"), UrlError::Redirect { .. }));
    assert!(matches!(redirected("/picture.png"), UrlError::Redirect { .. }));
}

#[test]
fn size_and_time_have_limits() {
    let stub = stub();
    let url = format!("{}/picture.png", stub.endpoint());
    let small = || UrlPolicy { max_bytes: 999, ..policy() };
    assert!(matches!(fetch(small(), &url), Err(UrlError::TooLarge { limit: 999, .. })));
    assert_eq!(fetch(UrlPolicy { max_bytes: 1000, ..policy() }, &url).unwrap().len(), 1000);
    stub.fail(Fault::once(Port::Hub, "picture", What::Truncate(500)));
    assert!(matches!(fetch(policy(), &url), Err(UrlError::Truncated { .. } | UrlError::Connection { .. })));
    stub.fail(Fault::once(Port::Hub, "picture", What::Drip(1, Duration::from_millis(50))));
    let hasty = UrlPolicy { timeout: Duration::from_millis(200), ..policy() };
    assert!(matches!(fetch(hasty, &url), Err(UrlError::Timeout { .. })));
    assert!(matches!(fetch(policy(), &format!("{url}x")), Err(UrlError::Status { status: 404, .. })));
}
