#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Cursor, Write};

use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::*;

fn decode(bytes: &[u8], format: &str, name: &str, views: Views) -> Result<Document, DecodeError> {
    let hint = Hint { format, name, ..Hint::default() };
    ArchiveDecoder { views }.decode(&mut Cursor::new(bytes), &hint, &Limits::default())
}

fn zipped(files: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, method) in files {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(*method)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

use zip::CompressionMethod;

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn members_of_a_zip_have_names_places_and_bytes() {
    let archive = zipped(&[
        ("a.txt", b"stored", CompressionMethod::Stored),
        ("dir/b.txt", &[b'x'; 1000], CompressionMethod::Deflated),
    ]);
    let document = decode(&archive, "zip", "", Views::Both).unwrap();
    assert_eq!(document.problems, Vec::<String>::new());
    let [a, b] = &document.embedded[..] else { panic!("two members") };
    assert_eq!((&*a.name, &a.bytes[..], &*b.name, b.bytes.len()), ("a.txt", &b"stored"[..], "dir/b.txt", 1000));
    let Some(Origin::SourceBytes(place)) = &a.origin else { panic!("a stored member lies in the archive as it is") };
    assert_eq!(&archive[place.start as usize..place.end as usize], b"stored");
    assert_eq!(b.origin, None);
    let view = &document.views[0];
    assert_eq!(view.check_units(archive.len() as u64), Ok(()));
    let labels: Vec<&str> = view.units.iter().map(|unit| &*unit.label).collect();
    assert_eq!(labels, ["local header", "member", "local header", "member", "central directory"]);
}

#[test]
fn a_path_that_leads_out_is_shortened_and_told() {
    let archive = zipped(&[("../../etc/x", b"1", CompressionMethod::Stored)]);
    let document = decode(&archive, "zip", "", Views::Decoded).unwrap();
    assert_eq!(&*document.embedded[0].name, "etc/x");
    assert_eq!(document.problems, ["the member `../../etc/x` has a path that leads outside"]);
}

#[test]
fn a_bomb_is_refused_with_a_sentence() {
    let bomb = gzipped(&vec![0; 32 << 20]);
    let error = decode(&bomb, "gzip", "bomb.gz", Views::Decoded).unwrap_err().to_string();
    assert!(
        error.ends_with("inflated bytes for each compressed one, more than the limit of 200 (`--max-ratio`)"),
        "{error}"
    );
}

#[test]
fn all_members_of_a_gzip_file_are_one_content() {
    let two = [gzipped(b"first "), gzipped(b"second")].concat();
    let document = decode(&two, "gzip", "dir/words.txt.gz", Views::Both).unwrap();
    assert_eq!((&*document.embedded[0].name, &document.embedded[0].bytes[..]), ("words.txt", &b"first second"[..]));
    assert_eq!(document.views[0].check_units(two.len() as u64), Ok(()));
    assert_eq!(document.views[0].units.len(), 2);
    assert_eq!(&*decode(&two, "gzip", "x.TGZ", Views::Both).unwrap().embedded[0].name, "x.tar");
}

/// Wherever a member begins in what is buffered.
#[test]
fn thousands_of_gzip_members_are_all_read() {
    let members: Vec<Vec<u8>> = (0..9000u32).map(|i| gzipped(&vec![b'x'; 1 + i as usize % 7])).collect();
    let document = decode(&members.concat(), "gzip", "x.gz", Views::Both).unwrap();
    assert_eq!(document.embedded[0].bytes.len(), (0..9000).map(|i| 1 + i % 7).sum::<usize>());
    assert_eq!(document.views[0].units.len(), 9000);
}

#[test]
fn what_breaks_off_is_kept_up_to_there() {
    let text: Vec<u8> = (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let mut cut = gzipped(&text);
    cut.truncate(cut.len() / 2);
    let document = decode(&cut, "gzip", "a.gz", Views::Decoded).unwrap();
    let content = &document.embedded[0].bytes;
    assert!(content.len() > 100_000 && text.starts_with(content));
    assert!(document.problems[0].contains("breaks off after"), "{:?}", document.problems);
}

#[test]
fn zstandard_is_read_and_a_cut_seven_zip_refused() {
    let frame = zstd::encode_all(&b"zstandard"[..], 3).unwrap();
    let document = decode(&frame, "zstd", "a.zst", Views::Decoded).unwrap();
    assert_eq!(document.embedded[0].bytes, b"zstandard");
    // A header and nothing behind it; whole files are compared with the program 7z in `tests/decoders`.
    assert!(decode(b"7z\xBC\xAF\x27\x1C\0\x04", "7z", "x.7z", Views::Decoded).is_err());
}

#[test]
fn members_of_a_tar_lie_where_they_are_said_to() {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in [("one", &b"111"[..]), (&"long/".repeat(40), b""), ("two", &[7; 600])] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        builder.append_data(&mut header, name, content).unwrap();
    }
    let archive = builder.into_inner().unwrap();
    let document = decode(&archive, "tar", "", Views::Both).unwrap();
    assert_eq!(document.embedded.len(), 2);
    for file in &document.embedded {
        let Some(Origin::SourceBytes(place)) = &file.origin else { panic!("tar stores files as they are") };
        assert_eq!(&archive[place.start as usize..place.end as usize], &file.bytes[..]);
    }
    assert_eq!(document.views[0].check_units(archive.len() as u64), Ok(()));
}

proptest! {
    #[test]
    fn damaged_archives_are_errors_or_tile(
        changes in prop::collection::vec((0usize..2000, any::<u8>()), 1..20),
        format in prop::sample::select(vec!["zip", "tar", "gzip", "zstd", "7z"]),
        cut in 0usize..3000,
    ) {
        let noise: Vec<u8> = (0..800u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        let mut bytes = match format {
            "zip" => zipped(&[("a", &noise, CompressionMethod::Deflated), ("b", b"b", CompressionMethod::Stored)]),
            "gzip" => gzipped(&noise),
            "zstd" => zstd::encode_all(&noise[..], 3).unwrap(),
            "tar" => {
                let mut builder = tar::Builder::new(Vec::new());
                let mut header = tar::Header::new_gnu();
                header.set_size(noise.len() as u64);
                builder.append_data(&mut header, "a", &noise[..]).unwrap();
                builder.into_inner().unwrap()
            }
            _ => [b"7z\xBC\xAF\x27\x1C\0\x04", &noise[..]].concat(),
        };
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(cut);
        if let Ok(document) = decode(&bytes, format, "x", Views::Both) {
            prop_assert_eq!(document.views[0].check_units(bytes.len() as u64), Ok(()));
        }
    }
}
