//! What a source looks like.

use std::io::{self, Read, SeekFrom};

use blt_core::{Modality, SourceReader};
use file_format::{FileFormat, Kind};

use crate::formats::{BYTES, Format, NAMED, SIGNATURES, TEXT, TEXT_DOCUMENTS};

/// How many bytes of a source are looked at for what has no signature.
const HEAD_BYTES: u64 = 1 << 16;

/// One control character in so many bytes still makes a text.
const BYTES_PER_CONTROL: usize = 100;

/// The format of a source: by its signature and structure first, then, if it is text, by its first words and its name.
///
/// # Errors
///
/// Fails when the source cannot be read.
pub fn detect(source: &mut dyn SourceReader, name: &str) -> io::Result<Format> {
    source.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    source.take(HEAD_BYTES).read_to_end(&mut head)?;
    if is_text(&head) {
        return Ok(text_format(&head, name));
    }
    source.seek(SeekFrom::Start(0))?;
    // The library reads containers; one that is damaged is what its first bytes say.
    let found = FileFormat::from_reader(&mut *source).unwrap_or_else(|_| FileFormat::from_bytes(&head));
    source.seek(SeekFrom::Start(0))?;
    if let Some((_, format)) = SIGNATURES.iter().find(|(signature, _)| *signature == found) {
        return Ok(*format);
    }
    // What the library does not know.
    let sound = |id, media_type, extensions| Format { id, media_type, extensions, ..format_of("wav") };
    match head.first_chunk::<4>() {
        Some(b"RF64" | b"BW64") => return Ok(format_of("wav")),
        Some(b"caff") => return Ok(sound("caf", "audio/x-caf", &["caf"])),
        Some(b"PK\x03\x04") => return Ok(format_of("zip")), // and nothing more that could be told
        Some(b"TTA1") => return Ok(sound("tta", "audio/x-tta", &["tta"])),
        _ => {}
    }
    let named = NAMED.iter().find(|format| has_extension(name, format));
    Ok(named.copied().unwrap_or(Format { modality: modality_of(&found), ..BYTES }))
}

/// The row of [`SIGNATURES`] with this id.
fn format_of(id: &str) -> Format {
    SIGNATURES.iter().map(|(_, format)| *format).find(|format| format.id == id).unwrap_or(BYTES)
}

/// What a format that we do not decode holds.
fn modality_of(format: &FileFormat) -> Modality {
    match format.kind() {
        Kind::Image => Modality::Image,
        Kind::Audio => Modality::Audio,
        Kind::Video => Modality::Video,
        Kind::Archive | Kind::Compressed | Kind::Disk | Kind::Package => Modality::Archive,
        Kind::Document | Kind::Ebook | Kind::Presentation | Kind::Spreadsheet => Modality::Document,
        _ => Modality::Binary,
    }
}

/// Text has no NUL byte (unless it starts with a UTF-16 byte order mark) and next to no control characters. An empty
/// source is text.
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
        return head.len().is_multiple_of(2) && !head[2..].starts_with(b"\0\0");
    }
    if head.starts_with(b"%PDF-") || head.starts_with(b"{\\rtf") || head.starts_with(b"!<arch>\n") {
        return false; // their signature says more
    }
    // Netpbm pictures of digits and radiance pictures begin as text.
    if matches!(head, [b'P', b'1'..=b'7', b' ' | b'\n' | b'\r' | b'\t', ..]) || head.starts_with(b"#?RADIANCE") {
        return false;
    }
    // Tabs, line ends, form feeds, backspaces and escape sequences occur in text.
    let is_control = |byte: &&u8| matches!(byte, 0x01..=0x07 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F);
    let n_controls = head.iter().filter(is_control).count();
    !head.contains(&0) && n_controls * BYTES_PER_CONTROL <= head.len() && !has_text_signature(head)
}

/// Formats that are no text although their first bytes may be all printable or high.
fn has_text_signature(head: &[u8]) -> bool {
    let signatures: [&[u8]; 9] = [
        b"\xFF\xD8\xFF",
        b"\x89PNG",
        b"GIF8",
        b"\x1F\x8B",
        b"PK\x03\x04",
        b"ID3",
        b"fLaC",
        b"OggS",
        b"\x28\xB5\x2F\xFD",
    ];
    signatures.iter().any(|signature| head.starts_with(signature))
}

/// What a text is: by its first words if they are unmistakable, else by its name, else by how it begins.
fn text_format(head: &[u8], name: &str) -> Format {
    let start = head.trim_ascii_start();
    let begins =
        |words: &str| start.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words.as_bytes()));
    let document = |id: &str| TEXT_DOCUMENTS.iter().find(|format| format.id == id).copied().unwrap_or(TEXT);
    if head.starts_with(b"WARC/1.") || head.starts_with(b"WARC/0.") {
        return document("warc");
    }
    if let Some(format) = TEXT_DOCUMENTS.iter().find(|format| has_extension(name, format)) {
        return *format;
    }
    if has_extension(name, &TEXT) {
        return TEXT;
    }
    #[cfg(feature = "code")]
    if let Some(language) = blt_modalities_code::language_of(name, head).and_then(blt_modalities_code::language) {
        return crate::formats::language_format(language);
    }
    if begins("<!doctype html") || begins("<html") {
        return document("html");
    }
    if is_mail(head) { document("eml") } else { TEXT }
}

/// Whether the text begins with the header lines of a message (RFC 5322): at least a sender, and a date or a subject.
fn is_mail(head: &[u8]) -> bool {
    let (mut n_lines, mut has_sender, mut has_more) = (0, false, false);
    for line in head.split(|&byte| byte == b'\n').map(|line| line.trim_ascii_end()).take(100) {
        if line.is_empty() {
            break;
        }
        if line[0].is_ascii_whitespace() && n_lines > 0 {
            continue; // a folded line
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
        let field = &line[..colon];
        if field.is_empty() || !field.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
            return false;
        }
        has_sender |= field.eq_ignore_ascii_case(b"from") || field.eq_ignore_ascii_case(b"received");
        has_more |= field.eq_ignore_ascii_case(b"date") || field.eq_ignore_ascii_case(b"subject");
        n_lines += 1;
    }
    has_sender && has_more && n_lines >= 3
}

/// Whether the last part of `name` ends with one of the format's extensions.
fn has_extension(name: &str, format: &Format) -> bool {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let Some((_, extension)) = name.rsplit_once('.') else { return false };
    format.extensions.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], name: &str, modality: Modality, id: &str) {
        let format = detect(&mut Cursor::new(bytes), name).expect("memory can be read");
        assert_eq!((format.modality, format.id), (modality, id), "{name} {:?}", &bytes[..bytes.len().min(20)]);
    }

    #[test]
    fn text_and_binaries_are_told_apart() {
        for text in
            ["", "x", "a,b\r\n1,2\r\n", "words\necho hi\n", "日本語のテキスト", "\u{1b}[1mbold\u{1b}[0m log line"]
        {
            check(text.as_bytes(), "", Modality::Text, "text");
        }
        check(b"caf\xE9 in latin-1", "", Modality::Text, "text");
        check(b"\xFF\xFEh\0i\0", "", Modality::Text, "text");
        check(&blt_testkit::noise(4096, 1), "", Modality::Binary, "bytes");
    }

    #[test]
    fn signatures_win_over_names() {
        check(b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "a.txt", Modality::Binary, "elf");
        check(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "a.jpg", Modality::Image, "png");
        check(b"PK\x03\x04\x14\0\0\0\0\0", "", Modality::Archive, "zip");
        check(b"\x1f\x8b\x08\0\0\0\0\0", "", Modality::Archive, "gzip");
        check(b"%PDF-1.4\n1 0 obj\n", "", Modality::Pdf, "pdf");
        check(b"P3\n1 1\n255\n1 2 3\n", "", Modality::Image, "pnm");
    }

    #[test]
    fn texts_with_a_structure_are_told_by_words_or_name() {
        check(b"<!DOCTYPE html><html></html>", "", Modality::Document, "html");
        check(b"From: a@b.c\r\nSubject: hi\r\nTo: d@e.f\r\n\r\nbody", "", Modality::Document, "eml");
        check(b"note: this\nis: prose\n", "", Modality::Text, "text");
        check(b"a,b\n", "table.CSV", Modality::Document, "csv");
        check(b"WARC/1.0\r\n", "", Modality::Document, "warc");
        check(b"a,b\n", "dir.csv/notes", Modality::Text, "text");
    }
}
