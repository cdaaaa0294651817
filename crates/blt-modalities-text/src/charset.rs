//! Which charset a text is in, and the text in UTF-8 with its way back to the source.

use std::io::{self, Read, SeekFrom};

use blt_core::{ByteRange, SourceReader};
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{DecoderResult, Encoding, UTF_16BE, UTF_16LE};

/// How much of a text is looked at to tell legacy charsets apart.
const DETECT_BYTES: usize = 1 << 20;

/// The charset of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8, of which ASCII is a part.
    Utf8,
    /// Any other charset of the WHATWG Encoding Standard.
    Other(&'static Encoding),
}

impl Charset {
    /// Its name in a media type, lower case.
    pub fn name(self) -> String {
        match self {
            Charset::Utf8 => "utf-8".to_owned(),
            Charset::Other(encoding) => encoding.name().to_ascii_lowercase(),
        }
    }

    /// The text in UTF-8, without a byte order mark. The error is the offset of the first malformed byte.
    pub(crate) fn decode(self, bytes: &[u8]) -> Result<Decoded, u64> {
        match self {
            Charset::Utf8 => {
                let mark = if bytes.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
                let text = std::str::from_utf8(&bytes[mark..]).map_err(|error| (mark + error.valid_up_to()) as u64)?;
                Ok(Decoded {
                    text: text.to_owned(),
                    offsets: Offsets::Shifted(mark as u64),
                    n_source: bytes.len() as u64,
                })
            }
            Charset::Other(encoding) => decode_other(encoding, bytes),
        }
    }
}

/// A text and, for each of its characters, where it was in the source.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) text: String,
    offsets: Offsets,
    n_source: u64,
}

#[derive(Debug)]
enum Offsets {
    /// The text is the source without its first bytes.
    Shifted(u64),
    /// `(offset in the text, offset in the source)` of each character, ascending.
    Mapped(Vec<(u64, u64)>),
}

impl Decoded {
    /// The source bytes of the text's bytes `range`, whose ends lie between characters. The first range of a text also
    /// takes what precedes it: the byte order mark.
    pub(crate) fn source_range(&self, range: ByteRange) -> ByteRange {
        let start = if range.start == 0 { 0 } else { self.source_offset(range.start) };
        ByteRange::new(start, self.source_offset(range.end))
    }

    fn source_offset(&self, offset: u64) -> u64 {
        if offset == self.text.len() as u64 {
            return self.n_source;
        }
        match &self.offsets {
            Offsets::Shifted(by) => offset + by,
            Offsets::Mapped(map) => match map.binary_search_by_key(&offset, |&(text, _)| text) {
                Ok(index) => map[index].1,
                Err(index) => map.get(index).map_or(self.n_source, |&(_, source)| source),
            },
        }
    }
}

/// Decodes byte by byte: a character belongs to the bytes since the last one came out.
fn decode_other(encoding: &'static Encoding, bytes: &[u8]) -> Result<Decoded, u64> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mark = Encoding::for_bom(bytes).filter(|&(marked, _)| marked == encoding).map_or(0, |(_, length)| length);
    let mut text = String::new();
    let mut map = Vec::new();
    let mut char_start = mark;
    let mut buffer = [0; 16]; // more than any one byte can complete
    for end in mark + 1..=bytes.len() + 1 {
        let is_last = end > bytes.len();
        let piece = if is_last { &[] } else { &bytes[end - 1..end] };
        let (result, _, n_written) = decoder.decode_to_utf8_without_replacement(piece, &mut buffer, is_last);
        if let DecoderResult::Malformed(n_bytes, n_after) = result {
            let n_read = end.min(bytes.len());
            return Err((n_read - usize::from(n_bytes) - usize::from(n_after)) as u64);
        }
        let decoded = std::str::from_utf8(&buffer[..n_written]).expect("the decoder writes UTF-8");
        for character in decoded.chars() {
            map.push((text.len() as u64, char_start as u64));
            text.push(character);
        }
        if n_written > 0 {
            char_start = end.min(bytes.len());
        }
    }
    Ok(Decoded { text, offsets: Offsets::Mapped(map), n_source: bytes.len() as u64 })
}

/// The charset of `source`: by its byte order mark, else UTF-8 if all of it is, else a guess from its first megabyte.
pub(crate) fn detect(source: &mut dyn SourceReader) -> io::Result<Charset> {
    source.seek(SeekFrom::Start(0))?;
    let mut head = Vec::new();
    source.take(DETECT_BYTES as u64).read_to_end(&mut head)?;
    if head.starts_with(b"\xFF\xFE") {
        return Ok(Charset::Other(UTF_16LE));
    }
    if head.starts_with(b"\xFE\xFF") {
        return Ok(Charset::Other(UTF_16BE));
    }
    if is_utf8(source)? {
        return Ok(Charset::Utf8);
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&head, true);
    Ok(Charset::Other(detector.guess(None, Utf8Detection::Deny)))
}

/// Whether all of `source` is UTF-8, read in pieces.
fn is_utf8(source: &mut dyn SourceReader) -> io::Result<bool> {
    source.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 1 << 16];
    let mut held = 0; // bytes of an unfinished character at the start of the buffer
    loop {
        let n_read = source.read(&mut buffer[held..])?;
        let filled = held + n_read;
        match std::str::from_utf8(&buffer[..filled]) {
            Ok(_) => held = 0,
            Err(error) if error.error_len().is_some() => return Ok(false),
            Err(error) => {
                buffer.copy_within(error.valid_up_to()..filled, 0);
                held = filled - error.valid_up_to();
            }
        }
        if n_read == 0 {
            return Ok(held == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn utf8_is_recognised_across_buffer_ends() {
        for shift in 0..4 {
            let text = "x".repeat((1 << 16) - shift) + &"é漢🙂".repeat(20_000);
            assert!(is_utf8(&mut Cursor::new(text.as_bytes())).unwrap());
            assert!(!is_utf8(&mut Cursor::new(&text.as_bytes()[..text.len() - 1])).unwrap());
        }
        assert!(is_utf8(&mut Cursor::new(b"")).unwrap());
    }

    #[test]
    fn each_character_has_its_place_in_any_charset() {
        let text = "a漢b字, ｶﾀ.\n漢";
        for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP, encoding_rs::GB18030] {
            let (bytes, _, unmappable) = encoding.encode(text);
            assert!(!unmappable);
            let decoded = Charset::Other(encoding).decode(&bytes).unwrap();
            assert_eq!(decoded.text, text);
            for (start, character) in text.char_indices() {
                let range = decoded.source_range(ByteRange::new(start as u64, (start + character.len_utf8()) as u64));
                let there = &bytes[range.start as usize..range.end as usize];
                assert_eq!(encoding.decode_without_bom_handling(there).0, character.to_string(), "{}", encoding.name());
            }
        }
    }

    #[test]
    fn malformed_bytes_are_named_by_their_offset() {
        assert_eq!(Charset::Other(encoding_rs::SHIFT_JIS).decode(b"ab\x81\xFFcd").unwrap_err(), 2);
        assert_eq!(Charset::Utf8.decode(b"ab\xFF").unwrap_err(), 2);
    }
}
