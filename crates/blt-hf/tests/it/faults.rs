//! A hub that fails: the right bytes in the end, or an error that says why not. Never other bytes.

use std::time::Duration;

use blt_hf::{Hub, HubError, HubOptions, HubSource};
use blt_hub_stub::{Fault, Port, What};

use crate::{BIG, Fixture, assert_holds, noise, pin, repo};

const BIG_FILE: &str = "data/big.parquet";

/// The file is right after this fault, and after no more than `requests` requests for its content.
#[track_caller]
fn survives(fault: Fault, requests: usize) {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    hub.list(&at, "").unwrap();
    fixture.stub.forget();
    fixture.stub.fail(fault.clone());
    let path = hub.cached_file(&at, BIG_FILE, &()).unwrap();
    assert_holds(&path, &noise(BIG));
    let sent = fixture.stub.seen().iter().filter(|seen| seen.target.contains("big")).count();
    assert!(sent <= requests, "{fault:?}: {sent} requests");
}

/// With this fault for good there is an error, and no file.
#[track_caller]
fn fails(fault: Fault, is_expected: impl Fn(&HubError) -> bool) {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    hub.list(&at, "").unwrap();
    fixture.stub.fail(fault);
    let error = hub.cached_file(&at, BIG_FILE, &()).unwrap_err();
    assert!(is_expected(&error), "{error:?}");
    assert_eq!(hub.find_cached(&at, BIG_FILE), None);
    fixture.stub.heal();
    assert_holds(&hub.cached_file(&at, BIG_FILE, &()).unwrap(), &noise(BIG));
}

#[test]
fn what_passes_is_survived() {
    for what in [
        What::Status(500, None),
        What::Status(503, Some(0)),
        What::Status(429, Some(0)),
        What::Status(429, None),
        What::Truncate(0),
        What::Truncate(1_000_000),
        What::Lengthen(1),
        What::Lengthen(-1),
        What::Garble,
        What::Close,
    ] {
        survives(Fault::once(Port::Storage, "big", what), 4);
    }
    survives(Fault::once(Port::Hub, "resolve", What::Status(502, None)), 3);
    survives(Fault::once(Port::Hub, "resolve", What::Status(429, Some(0))), 3);
    survives(Fault::once(Port::Hub, "resolve", What::Close), 3);
}

#[test]
fn an_address_whose_signature_ran_out_is_asked_for_anew() {
    // The hub has said yes, its storage says no.
    fails(
        Fault::always(Port::Storage, "big", What::Status(403, None)),
        |error| matches!(error, HubError::Forbidden { host, .. } if host == "127.0.0.1"),
    );
}

#[test]
fn what_stays_is_an_error_of_its_kind() {
    let storage = |what| Fault::always(Port::Storage, "big", what);
    fails(storage(What::Status(500, None)), |error| matches!(error, HubError::Status { status: 500, .. }));
    fails(storage(What::Status(410, None)), |error| matches!(error, HubError::Status { status: 410, .. }));
    fails(storage(What::Lengthen(9)), |error| matches!(error, HubError::Length { .. }));
    fails(storage(What::Garble), |error| matches!(error, HubError::Corrupt { .. }));
    fails(storage(What::Truncate(0)), |error| matches!(error, HubError::Connection { .. } | HubError::Length { .. }));
    fails(storage(What::Close), |error| matches!(error, HubError::Connection { .. }));
    let hub = |what| Fault::always(Port::Hub, "resolve", what);
    fails(hub(What::Status(403, None)), |error| matches!(error, HubError::Forbidden { .. }));
    fails(hub(What::LinkedEtag("0".repeat(64))), |error| matches!(error, HubError::Changed { .. }));
}

#[test]
fn a_long_pause_is_not_made() {
    fails(
        Fault::always(Port::Storage, "big", What::Status(429, Some(100_000))),
        |error| matches!(error, HubError::RateLimited { retry_after: Some(pause), .. } if pause.as_secs() == 100_000),
    );
}

/// Every attempt brings a part; together they bring all.
#[test]
fn a_line_that_keeps_breaking_gets_there() {
    let fixture = Fixture::new();
    let hub = Hub::new(HubOptions { attempts: 2, ..fixture.options() }).unwrap();
    let at = pin(&hub);
    fixture.stub.fail(Fault::always(Port::Storage, "big", What::Truncate(1_100_000)));
    assert_holds(&hub.cached_file(&at, BIG_FILE, &()).unwrap(), &noise(BIG));
    let ranges: Vec<_> =
        fixture.stub.seen().into_iter().filter(|seen| seen.port == Port::Storage).map(|seen| seen.range).collect();
    assert_eq!(ranges.len(), 3);
    assert!(ranges[1..].iter().all(Option::is_some), "{ranges:?}");
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    fixture.stub.fail(Fault::once(Port::Storage, "big", What::Truncate(1_000_000)));
    fixture.stub.fail(Fault::always(Port::Storage, "big", What::IgnoreRange));
    assert_holds(&hub.cached_file(&at, BIG_FILE, &()).unwrap(), &noise(BIG));
}

#[test]
fn another_range_than_asked_for_is_not_taken() {
    let fixture = Fixture::new();
    let hub = fixture.hub();
    let at = pin(&hub);
    fixture.stub.fail(Fault::once(Port::Storage, "big", What::Truncate(1_000_000)));
    fixture.stub.fail(Fault::always(Port::Storage, "big", What::ShiftRange(10)).times(2));
    assert_holds(&hub.cached_file(&at, BIG_FILE, &()).unwrap(), &noise(BIG));
}

/// Ten bytes every fiftieth of a second would take hours; the patience is a fifth of a second.
#[test]
fn a_drip_is_cut_off() {
    let fixture = Fixture::new();
    let hub = Hub::new(HubOptions { timeout: Duration::from_millis(200), attempts: 2, ..fixture.options() }).unwrap();
    let at = pin(&hub);
    let drip = What::Drip(10, Duration::from_millis(20));
    fixture.stub.fail(Fault::always(Port::Storage, "big", drip));
    let error = hub.cached_file(&at, BIG_FILE, &()).unwrap_err();
    assert!(matches!(error, HubError::Stalled { .. }), "{error:?}");
    fixture.stub.heal();
    assert_holds(&hub.cached_file(&at, BIG_FILE, &()).unwrap(), &noise(BIG));
}

#[test]
fn the_interface_s_faults_are_survived_too() {
    let fixture = Fixture::new();
    for what in [What::Status(500, None), What::Status(429, Some(0)), What::Close, What::Truncate(10)] {
        let hub = fixture.hub();
        fixture.stub.fail(Fault::once(Port::Hub, "/revision/", what.clone()));
        let at = pin(&hub);
        fixture.stub.fail(Fault::once(Port::Hub, "/paths-info/", what));
        assert_eq!(hub.stat(&at, BIG_FILE).unwrap().size, BIG as u64);
    }
    fixture.stub.fail(Fault::always(Port::Hub, "/revision/", What::Garble));
    assert!(matches!(fixture.hub().resolve(&repo(), "main"), Err(HubError::Protocol { .. })));
}

#[test]
fn nobody_there_is_said_so() {
    let fixture = Fixture::new();
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = Hub::new(HubOptions { endpoint: format!("http://{unused}"), ..fixture.options() }).unwrap();
    let error = hub.resolve(&repo(), "main").unwrap_err();
    assert!(matches!(error, HubError::Connection { .. }), "{error:?}");
    assert!(error.hint().is_some());
}
