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

fn bzip2ed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lz4ed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `first ` as xz compresses it.
const FIRST_XZ: &[u8] = &[
    0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00, 0x00, 0x04, 0xE6, 0xD6, 0xB4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x16, 0x00, 0x00,
    0x00, 0x74, 0x2F, 0xE5, 0xA3, 0x01, 0x00, 0x05, 0x66, 0x69, 0x72, 0x73, 0x74, 0x20, 0x00, 0x00, 0x00, 0xE6, 0xF5,
    0x1B, 0x51, 0x24, 0x79, 0x10, 0x72, 0x00, 0x01, 0x1E, 0x06, 0xC1, 0x2F, 0xA4, 0x1D, 0x1F, 0xB6, 0xF3, 0x7D, 0x01,
    0x00, 0x00, 0x00, 0x00, 0x04, 0x59, 0x5A,
];

#[test]
fn streams_and_frames_behind_each_other_are_one_content() {
    let bzip2 = [bzip2ed(b"first "), bzip2ed(b""), bzip2ed(b"first ")].concat();
    let lz4 = [lz4ed(b"first "), lz4ed(b""), lz4ed(b"first ")].concat();
    for (format, name, file) in
        [("bzip2", "a/b.tar.bz2", bzip2), ("lz4", "b.tlz4", lz4), ("xz", "b.txz", [FIRST_XZ, FIRST_XZ].concat())]
    {
        let document = decode(&file, format, name, Views::Both).unwrap();
        assert_eq!(document.problems, Vec::<String>::new(), "{format}");
        let [inner] = &document.embedded[..] else { panic!("one file inside {format}") };
        assert_eq!((&*inner.name, &inner.bytes[..]), ("b.tar", &b"first first "[..]), "{format}");
        // Noise behind the end, and an end that is missing, are told.
        for (damaged, expected) in [([&file[..], b"noise"].concat(), 12), (file[..file.len() - 12].to_vec(), 0)] {
            let document = decode(&damaged, format, name, Views::Decoded).unwrap();
            assert_eq!(document.problems.len(), 1, "{format}");
            assert!(document.embedded.iter().all(|inner| inner.bytes.len() >= expected), "{format}");
        }
    }
}

#[test]
fn an_xz_stream_with_a_dictionary_beyond_the_memory_is_refused() {
    let limits = Limits { max_memory: 1 << 20, ..Limits::default() };
    let hint = Hint { format: "xz", name: "x.xz", ..Hint::default() };
    let document = ArchiveDecoder::default().decode(&mut Cursor::new(FIRST_XZ), &hint, &limits).unwrap();
    assert!(document.embedded.is_empty() && document.problems[0].contains("memory"), "{:?}", document.problems);
}

/// `a` of 20 bytes and `b` of one, each in a block of its own, by 7-Zip.
const TWO_BLOCKS_7Z: &[u8] = b"\
    \x37\x7a\xbc\xaf\x27\x1c\x00\x04\x33\x6c\xed\xf7\x52\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\
    \x00\x00\x00\x00\xe4\x37\x32\x11\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\x61\
    \x61\x61\x61\x61\x62\x00\x00\x81\x33\x07\xae\x31\x99\x95\x0a\x72\xba\x78\x78\x1f\x1b\xd3\xad\x11\
    \xa5\x06\x0a\x5e\xb5\x98\xa3\x6a\x7e\x2d\xda\xa4\x7a\x3f\x40\x89\x2a\xe1\x3e\xb3\xb3\xd6\x88\x05\
    \xe5\xb7\x61\x10\xd8\x35\x9c\xa6\xfb\xc3\x87\xdc\x6e\x26\x39\x59\x00\x00\x17\x06\x15\x01\x09\x3d\
    \x00\x07\x0b\x01\x00\x01\x23\x03\x01\x01\x05\x5d\x00\x10\x00\x00\x0c\x46\x0a\x01\x42\x64\xc2\xdf\
    \x00\x00";

/// The library goes on with the next block whatever becomes of one.
#[test]
fn a_limit_that_one_block_of_a_seven_zip_exceeds_is_not_forgotten_with_the_next() {
    let hint = Hint { format: "7z", ..Hint::default() };
    let with = |max_inflated| {
        let limits = Limits { max_inflated, ..Limits::default() };
        ArchiveDecoder::default().decode(&mut Cursor::new(TWO_BLOCKS_7Z), &hint, &limits)
    };
    assert_eq!(with(21).unwrap().embedded.len(), 2);
    assert!(matches!(with(10), Err(DecodeError::Limit { found: 20, limit: 10, .. })));
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
        format in prop::sample::select(vec!["zip", "tar", "gzip", "zstd", "7z", "bzip2", "xz", "lz4"]),
        cut in 0usize..3000,
    ) {
        let noise: Vec<u8> = (0..800u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        let mut bytes = match format {
            "zip" => zipped(&[("a", &noise, CompressionMethod::Deflated), ("b", b"b", CompressionMethod::Stored)]),
            "gzip" => gzipped(&noise),
            "zstd" => zstd::encode_all(&noise[..], 3).unwrap(),
            "bzip2" => bzip2ed(&noise),
            "lz4" => lz4ed(&noise),
            "xz" => FIRST_XZ.to_vec(),
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
