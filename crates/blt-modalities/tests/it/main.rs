//! Sources through detection, decoders, and the files inside them.

#![cfg(feature = "all")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Cursor, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use blt_core::{DecodeError, Hint, Limits, Modality, Origin, ViewData, Views};
use blt_modalities::{ArchiveDecoder, Decoded, Isolate, Isolation, Modalities, formats};

fn decode_with(modalities: &Modalities, bytes: &[u8], name: &str, limits: &Limits) -> Decoded {
    let hint = Hint { name, ..Hint::default() };
    modalities.decode(&mut Cursor::new(bytes), &hint, None, limits).unwrap()
}

fn decode(bytes: &[u8], name: &str) -> Decoded {
    decode_with(&Modalities::default(), bytes, name, &Limits::default())
}

fn zipped(name: &str, content: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    writer.start_file(name, stored).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().into_inner()
}

const PICTURE: &[u8] = b"P6 2 1 255\n\x01\x02\x03\x04\x05\x06";

#[test]
fn a_picture_in_an_archive_in_an_archive_is_a_view_with_its_path() {
    let archive = zipped("inner.zip", &zipped("a/b.ppm", PICTURE));
    let Decoded { document, error } = decode(&archive, "outer.zip");
    assert!(error.is_none() && document.problems.is_empty(), "{error:?} {:?}", document.problems);
    let [view] = &document.views[..] else { panic!("one view") };
    assert_eq!((&*view.label, view.name.as_deref()), ("pixels", Some("inner.zip!/a/b.ppm")));
    assert_eq!((view.modality, &view.data), (Modality::Image, &ViewData::Owned(vec![1, 2, 3, 4, 5, 6])));
    assert_eq!(document.modality, Modality::Archive);
}

#[test]
fn a_member_that_lies_in_the_source_as_it_is_leads_back_to_its_bytes() {
    let program = b"fn main() {\n    println();\n}\n\nfn other() {\n}\n";
    let archive = zipped("main.rs", program);
    let modalities = Modalities { archive: ArchiveDecoder { views: Views::Both }, ..Modalities::default() };
    let Decoded { document, .. } = decode_with(&modalities, &archive, "x.zip", &Limits::default());
    let [raw, code] = &document.views[..] else { panic!("the archive and its member") };
    assert_eq!((raw.modality, code.modality), (Modality::Archive, Modality::Code));
    let Some(Origin::SourceBytes(place)) = &code.origin else { panic!("a stored member has a place") };
    assert_eq!(&archive[place.start as usize..place.end as usize], program);
}

#[test]
fn places_inside_a_member_are_those_of_the_source_or_name_the_member() {
    let program = b"fn main() {\n    println();\n}\n\nfn other() {\n    main();\n}\n";
    let stored = zipped("main.rs", program);
    let deep = zipped("inner.zip", &stored);
    for (archive, is_deep) in [(stored, false), (deep, true)] {
        let Decoded { document, .. } = decode(&archive, "x.zip");
        let (view, mut n_functions) = (&document.views[0], 0);
        for unit in view.units.iter().filter(|unit| unit.label == "function") {
            n_functions += 1;
            let own = &program[unit.range.start as usize..unit.range.end as usize];
            match unit.origin.as_ref().unwrap() {
                Origin::SourceBytes(place) if !is_deep => {
                    assert_eq!(&archive[place.start as usize..place.end as usize], own);
                }
                Origin::Member { name, range } if is_deep => {
                    assert_eq!((&**name, *range), ("inner.zip!/main.rs", unit.range));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(n_functions, 2);
    }
}

#[test]
fn what_cannot_be_decoded_is_its_bytes_and_an_error() {
    let Decoded { document, error } = decode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "broken.png");
    assert_eq!((document.modality, &*document.views[0].label), (Modality::Image, "raw"));
    assert_eq!(document.views[0].data, ViewData::Source);
    assert!(error.unwrap().to_string().starts_with("not decodable as image: "));
}

#[test]
fn a_broken_member_is_its_bytes_and_a_problem() {
    let Decoded { document, error } = decode(&zipped("x.png", b"\x89PNG\r\n\x1a\n rest"), "x.zip");
    assert!(error.is_none());
    assert_eq!(document.views[0].data, ViewData::Owned(b"\x89PNG\r\n\x1a\n rest".to_vec()));
    assert!(document.problems[0].starts_with("x.png: not decodable as image: "), "{:?}", document.problems);
}

#[test]
fn a_hundred_archives_one_in_the_other_are_refused_with_a_sentence() {
    let nested = (0..100).fold(b"core".to_vec(), |inner, _| zipped("inner.zip", &inner));
    let Decoded { document, error } = decode(&nested, "deep.zip");
    assert_eq!(document.views.len(), 1);
    let error = error.unwrap().to_string();
    assert_eq!(error, "it has 9 levels of files inside files, more than the limit of 8 (`--max-depth`)");
}

#[test]
fn members_share_one_budget() {
    let limits = Limits { max_inflated: 1000, ..Limits::default() };
    let nested = zipped("inner.zip", &zipped("a", &[b'x'; 600]));
    let Decoded { error, .. } = decode_with(&Modalities::default(), &nested, "x.zip", &limits);
    assert!(error.unwrap().to_string().contains("inflated bytes, more than the limit of 1000"));
}

#[test]
fn what_decoders_make_of_members_is_bounded_together() {
    // Two pictures that are small as files and 3,000 bytes as pixels each.
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["a.ppm", "b.ppm"] {
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        writer.write_all(&[b"P6 50 20 255\n", &[7; 3000][..]].concat()).unwrap();
    }
    let archive = writer.finish().unwrap().into_inner();
    let limits = Limits { max_view_bytes: 5000, ..Limits::default() };
    let error = decode_with(&Modalities::default(), &archive, "x.zip", &limits).error.unwrap().to_string();
    assert!(
        error.starts_with("it has 6000 bytes in the views of files inside, more than the limit of 5000"),
        "{error}"
    );
    assert!(decode(&archive, "x.zip").error.is_none());
}

#[test]
fn units_of_members_and_their_names_are_bounded_together() {
    let rows = b"1\n".repeat(2000);
    let error_with = |max_memory, archive: &[u8]| {
        let limits = Limits { max_memory, ..Limits::default() };
        decode_with(&Modalities::default(), archive, "x.zip", &limits).error.map(|error| error.to_string())
    };
    let short = zipped("a.csv", &rows);
    assert_eq!(error_with(1 << 20, &short), None);
    // Every row would name the member it is in.
    let long = zipped("inner.zip", &zipped(&format!("{}.csv", "a".repeat(1000)), &rows));
    for (max_memory, archive) in [(1 << 20, long), (1 << 16, short)] {
        let error = error_with(max_memory, &archive).unwrap();
        assert!(error.contains("bytes in the names and units of files inside, more than the limit of"), "{error}");
    }
}

/// Two members that decode at once, and no time.
#[test]
fn files_inside_end_with_the_time_of_their_source_and_with_the_wish_for_them() {
    let archive = zipped("inner.zip", &zipped("a.ppm", PICTURE));
    let limits = Limits { timeout: 0, ..Limits::default() };
    let Decoded { document, error } = decode_with(&Modalities::default(), &archive, "x.zip", &limits);
    assert_eq!((document.views.len(), &document.views[0].data), (1, &ViewData::Source));
    assert!(matches!(error, Some(DecodeError::Timeout(_))), "{error:?}");
    let source = &mut Cursor::new(archive);
    let cancelled = AtomicBool::new(true);
    let decoded = Modalities::default().decode_unless(&cancelled, source, &Hint::default(), None, &Limits::default());
    assert!(matches!(decoded, Err(DecodeError::Cancelled)), "{decoded:?}");
}

/// The decoding process here is one that never answers.
#[cfg(unix)]
#[test]
fn a_decoding_process_ends_when_nobody_wants_what_it_does() {
    let command = ("sh".into(), vec!["-c".to_owned(), "exec sleep 600".to_owned()]);
    let isolation = Isolation { isolate: Isolate::Always, command: Some(command), scratch: None };
    let modalities = Modalities { isolation, ..Modalities::default() };
    let cancelled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let decoding = scope.spawn(|| {
            let source = &mut Cursor::new(PICTURE);
            modalities.decode_unless(&cancelled, source, &Hint::default(), None, &Limits::default())
        });
        cancelled.store(true, Ordering::Relaxed);
        assert!(matches!(decoding.join().unwrap(), Err(DecodeError::Cancelled)));
    });
}

#[test]
fn what_is_wanted_as_bytes_stays_bytes() {
    let modalities = Modalities { as_bytes: vec![Modality::Image], ..Modalities::default() };
    let Decoded { document, error } = decode_with(&modalities, PICTURE, "a.ppm", &Limits::default());
    assert!(error.is_none());
    assert_eq!((document.modality, &document.views[0].data), (Modality::Image, &ViewData::Source));
}

#[test]
fn every_format_is_listed_once() {
    let formats = formats();
    assert!(formats.len() > 150, "{}", formats.len());
    for (i, format) in formats.iter().enumerate() {
        let twin = formats[..i].iter().find(|other| other.id == format.id && other.modality == format.modality);
        assert_eq!(twin, None);
    }
}

#[test]
fn an_empty_source_of_any_name_is_an_empty_view() {
    for name in ["", "a.png", "a.pdf", "a.rs", "a.csv", "a.zip", "a.mp4", "a.eml"] {
        let Decoded { document, error } = decode(b"", name);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!(document.views.len(), 1, "{name}");
    }
    for modality in Modality::ALL {
        let empty = &mut Cursor::new(b"");
        let decoded = Modalities::default().decode(empty, &Hint::default(), Some(modality), &Limits::default());
        assert!(decoded.unwrap().error.is_none(), "{modality}");
    }
}
