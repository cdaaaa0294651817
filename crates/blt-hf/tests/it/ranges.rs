//! Parts of files.

use std::sync::Arc;

use blt_hf::{FileInfo, Hub, HubError, HubSource, Pinned, RemoteFile};
use blt_hub_stub::{Fault, Port, What};

use crate::{BIG, Fixture, noise, pin};

fn big(fixture: &Fixture) -> (Hub, Pinned, FileInfo) {
    let hub = fixture.hub();
    let at = pin(&hub);
    let file = hub.stat(&at, "data/big.parquet").unwrap();
    fixture.stub.forget();
    (hub, at, file)
}

#[track_caller]
fn check(hub: &Hub, at: &Pinned, file: &FileInfo, offset: usize, n: usize) {
    let mut bytes = vec![0; n];
    hub.read_at(at, file, offset as u64, &mut bytes).unwrap();
    assert!(bytes == noise(BIG)[offset..offset + n], "{n} bytes at {offset}");
}

#[test]
fn ranges_hold_the_file_s_bytes() {
    let fixture = Fixture::new();
    let (hub, at, file) = big(&fixture);
    for (offset, n) in [(0, 1), (BIG - 1, 1), (BIG / 2, 100_000), (0, BIG), (7, 0), (BIG, 0)] {
        check(&hub, &at, &file, offset, n);
    }
    let small = hub.stat(&at, "data/a b#c.txt").unwrap();
    let mut bytes = [0; 2];
    hub.read_at(&at, &small, 1, &mut bytes).unwrap();
    assert_eq!(&bytes, b"dd");
    for (offset, n) in [(BIG, 1), (BIG - 1, 2), (usize::MAX, 2)] {
        let error = hub.read_at(&at, &file, offset as u64, &mut vec![0; n]).unwrap_err();
        assert!(matches!(error, HubError::Length { .. }), "{error:?}");
    }
    let remote = RemoteFile::new(Arc::new(hub), at, file);
    let mut bytes = [0; 10];
    remote.read_exact_at(3, &mut bytes).unwrap();
    assert_eq!(bytes, noise(13)[3..]);
    assert!(remote.read_exact_at(BIG as u64, &mut bytes).is_err());
}

#[test]
fn the_hub_is_asked_once_for_the_address() {
    let fixture = Fixture::new();
    let (hub, at, file) = big(&fixture);
    for i in 0..10 {
        check(&hub, &at, &file, i * 1000, 1000);
    }
    let seen = fixture.stub.seen();
    assert_eq!(seen.iter().filter(|seen| seen.port == Port::Hub).count(), 1);
    assert_eq!(seen.iter().filter(|seen| seen.port == Port::Storage).count(), 10);
}

#[test]
fn what_passes_is_survived() {
    for what in [
        What::Status(500, None),
        What::Status(429, Some(0)),
        What::Truncate(500),
        What::Truncate(0),
        What::Lengthen(1),
        What::Lengthen(-1),
        What::IgnoreRange,
        What::ShiftRange(1),
        What::Etag("another".to_owned()),
        What::Close,
    ] {
        let fixture = Fixture::new();
        let (hub, at, file) = big(&fixture);
        check(&hub, &at, &file, 0, 1000);
        fixture.stub.fail(Fault::once(Port::Storage, "big", what));
        check(&hub, &at, &file, 1000, 1000);
    }
}

#[test]
fn an_address_whose_signature_ran_out_is_asked_for_anew() {
    let fixture = Fixture::new();
    let (hub, at, file) = big(&fixture);
    check(&hub, &at, &file, 0, 1000);
    fixture.stub.fail(Fault::once(Port::Storage, "big", What::Status(403, None)));
    check(&hub, &at, &file, 5000, 1000);
    fixture.stub.fail(Fault::always(Port::Storage, "big", What::Status(403, None)));
    let error = hub.read_at(&at, &file, 0, &mut [0; 10]).unwrap_err();
    assert!(matches!(error, HubError::Forbidden { .. }), "{error:?}");
}

#[test]
fn what_stays_is_an_error_of_its_kind() {
    let fails = |what: What, is_expected: &dyn Fn(&HubError) -> bool| {
        let fixture = Fixture::new();
        let (hub, at, file) = big(&fixture);
        check(&hub, &at, &file, 0, 1000);
        fixture.stub.fail(Fault::always(Port::Storage, "big", what));
        let error = hub.read_at(&at, &file, 1000, &mut [0; 1000]).unwrap_err();
        assert!(is_expected(&error), "{error:?}");
        fixture.stub.heal();
        check(&hub, &at, &file, 1000, 1000);
    };
    fails(What::IgnoreRange, &|error| matches!(error, HubError::Range { .. }));
    fails(What::ShiftRange(5), &|error| matches!(error, HubError::Range { .. }));
    fails(What::Truncate(10), &|error| matches!(error, HubError::Length { .. } | HubError::Connection { .. }));
    fails(What::Lengthen(10), &|error| matches!(error, HubError::Length { .. }));
    fails(What::Etag("another".to_owned()), &|error| matches!(error, HubError::Changed { .. }));
    fails(What::Status(500, None), &|error| matches!(error, HubError::Status { status: 500, .. }));
}

#[test]
fn a_file_that_is_another_one_now_is_not_mixed_with_the_first() {
    let fixture = Fixture::new();
    let (hub, at, file) = big(&fixture);
    fixture.stub.fail(Fault::always(Port::Hub, "resolve", What::LinkedEtag("0".repeat(64))));
    let error = hub.read_at(&at, &file, 0, &mut [0; 10]).unwrap_err();
    assert!(matches!(error, HubError::Changed { .. }), "{error:?}");
}
