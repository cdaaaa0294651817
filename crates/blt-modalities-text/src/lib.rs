//! Text for byte models. The bytes stay as they are: the `raw` view is the file itself, in whatever charset. Words, lines
//! and paragraphs are units inside it, and a `decoded` view in UTF-8 can be had beside it or instead of it.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits, Views};
//! use blt_modalities_text::{TextDecoder, TextSegments};
//!
//! let decoder = TextDecoder { segments: TextSegments::Lines, views: Views::Raw };
//! let document = decoder.decode(&mut std::io::Cursor::new("one\ntwo\n"), &Hint::default(), &Limits::default())?;
//! assert_eq!(document.media_type, "text/plain; charset=utf-8");
//! let lines: Vec<_> = document.views[0].units.iter().map(|unit| (unit.range.start, unit.range.end)).collect();
//! assert_eq!(lines, [(0, 4), (4, 8)]);
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! It does not decide whether a file is text; `blt-modalities` does. Feature `tokenizers`: units by a Hugging Face
//! tokenizer file.

mod charset;
mod segments;

use blt_core::{
    ByteRange, DecodeError, Decoder, Document, Hint, Limits, Modality, Origin, SourceReader, Unit, View, Views,
    read_whole,
};

pub use charset::Charset;
pub use segments::TextSegments;
#[cfg(feature = "tokenizers")]
pub use segments::TokenizerFile;

use charset::{Decoded, detect};
use segments::segment;

/// Makes documents of text in any charset.
#[derive(Debug, Clone)]
pub struct TextDecoder {
    /// Units inside the views. The decoded view has at least lines, so that its parts lead back to the source.
    pub segments: TextSegments,
    /// Which views; the decoded one is the text in UTF-8.
    pub views: Views,
}

impl Default for TextDecoder {
    /// The raw view without units: a text is read as it is.
    fn default() -> Self {
        Self { segments: TextSegments::None, views: Views::Raw }
    }
}

impl Decoder for TextDecoder {
    fn modality(&self) -> Modality {
        Modality::Text
    }

    fn decode(&self, source: &mut dyn SourceReader, _: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let n_bytes = source.n_bytes()?;
        if n_bytes > limits.max_bytes {
            return Err(DecodeError::TooLarge { found: n_bytes, limit: limits.max_bytes });
        }
        let charset = detect(source)?;
        let media_type = format!("text/plain; charset={}", charset.name());
        let wants_units = self.segments != TextSegments::None;
        let mut views = Vec::new();
        if self.views == Views::Raw && !wants_units {
            views.push(View::raw(Modality::Text, media_type.clone())); // nothing has to be held in memory
            return Ok(Document::new(Modality::Text, media_type, views));
        }

        let bytes = read_whole(source, limits)?;
        // UTF-8 is segmented in place, bad bytes included; every other charset through its decoded text.
        let needs_text = self.views != Views::Raw || charset != Charset::Utf8;
        let decoded =
            needs_text.then(|| charset.decode(&bytes)).transpose().map_err(|offset| DecodeError::Content {
                modality: Modality::Text,
                reason: format!("malformed {} at byte {offset}", charset.name()),
            })?;
        if self.views != Views::Decoded {
            let mut view = View::raw(Modality::Text, media_type.clone());
            let ranges = match &decoded {
                Some(decoded) if charset != Charset::Utf8 => {
                    let ranges = segment(&self.segments, decoded.text.as_bytes())?;
                    ranges.into_iter().map(|range| decoded.source_range(range)).collect()
                }
                _ => segment(&self.segments, &bytes)?,
            };
            view.units = units(self.segments.label(), ranges, limits, |_| None)?;
            views.push(view);
        }
        if let Some(decoded) = decoded.filter(|_| self.views != Views::Raw) {
            views.push(self.decoded_view(decoded, limits)?);
        }
        Ok(Document::new(Modality::Text, media_type, views))
    }
}

impl TextDecoder {
    fn decoded_view(&self, decoded: Decoded, limits: &Limits) -> Result<View, DecodeError> {
        if decoded.text.len() as u64 > limits.max_view_bytes {
            return Err(DecodeError::ViewTooLarge { view: "decoded", limit: limits.max_view_bytes });
        }
        let segments = if self.segments == TextSegments::None { &TextSegments::Lines } else { &self.segments };
        let ranges = segment(segments, decoded.text.as_bytes())?;
        let origin = |range| Some(Origin::SourceBytes(decoded.source_range(range)));
        let units = units(segments.label(), ranges, limits, origin)?;
        let view = View::owned("decoded", Modality::Text, "text/plain; charset=utf-8", decoded.text.into_bytes());
        Ok(View { units, ..view })
    }
}

fn units(
    label: &'static str,
    ranges: Vec<ByteRange>,
    limits: &Limits,
    origin: impl Fn(ByteRange) -> Option<Origin>,
) -> Result<Vec<Unit>, DecodeError> {
    if ranges.len() > limits.max_units {
        return Err(DecodeError::TooManyUnits { label, limit: limits.max_units });
    }
    Ok(ranges.into_iter().map(|range| Unit { origin: origin(range), ..Unit::new(label, range) }).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use blt_core::ViewData;

    use proptest::prelude::*;

    use super::*;

    fn decode(segments: TextSegments, views: Views, bytes: &[u8]) -> Result<Document, DecodeError> {
        TextDecoder { segments, views }.decode(&mut Cursor::new(bytes), &Hint::default(), &Limits::default())
    }

    #[track_caller]
    fn assert_tiled(view: &View, n_bytes: usize) {
        let mut end = 0;
        for unit in &view.units {
            assert_eq!(unit.range.start, end);
            assert!(!unit.range.is_empty());
            end = unit.range.end;
        }
        if !view.units.is_empty() || n_bytes == 0 {
            assert_eq!(end, n_bytes as u64);
        }
    }

    proptest! {
        #[test]
        fn units_tile_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for segments in [TextSegments::Words, TextSegments::Lines, TextSegments::Paragraphs] {
                // Bytes that malform their own charset have no decoded text; the file is then refused, not altered.
                let Ok(document) = decode(segments, Views::Raw, &bytes) else { continue };
                prop_assert_eq!(document.views.len(), 1);
                prop_assert_eq!(&document.views[0].data, &ViewData::Source);
                assert_tiled(&document.views[0], bytes.len());
            }
        }

        #[test]
        fn decoded_text_is_the_text_and_leads_back(text in "\\PC{0,40}(\r?\n\\PC{0,40}){0,6}", big_endian: bool) {
            let mut bytes = if big_endian { vec![0xFE, 0xFF] } else { vec![0xFF, 0xFE] };
            for unit in text.encode_utf16() {
                bytes.extend(if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() });
            }
            let document = decode(TextSegments::None, Views::Both, &bytes).unwrap();
            let [raw, decoded] = &document.views[..] else { panic!("two views") };
            prop_assert_eq!(&raw.data, &ViewData::Source);
            prop_assert_eq!(&decoded.data, &ViewData::Owned(text.clone().into_bytes()));
            assert_tiled(decoded, text.len());
            for unit in &decoded.units {
                let Some(Origin::SourceBytes(origin)) = &unit.origin else { panic!("an origin") };
                let there: Vec<u16> = bytes[origin.start as usize..origin.end as usize]
                    .chunks(2)
                    .map(|pair| if big_endian { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) })
                    .collect();
                let line = &text[unit.range.start as usize..unit.range.end as usize];
                let there = String::from_utf16(&there).unwrap();
                prop_assert_eq!(there.trim_start_matches('\u{feff}'), line.trim_start_matches('\u{feff}'));
            }
        }
    }

    #[test]
    fn plain_text_is_never_held_in_memory() {
        let document = decode(TextSegments::None, Views::Raw, "naïve café\n".as_bytes()).unwrap();
        assert_eq!(document.views, [View::raw(Modality::Text, "text/plain; charset=utf-8")]);
        assert_eq!(document.media_type, "text/plain; charset=utf-8");
    }

    #[test]
    fn a_legacy_charset_is_decoded_beside_the_raw_bytes() {
        // windows-1251: "Привет, мир! Как дела сегодня?"
        let text = "Привет, мир! Как дела сегодня?\nХорошо, спасибо.\n";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(text);
        let document = decode(TextSegments::Lines, Views::Both, &bytes).unwrap();
        assert_eq!(document.media_type, "text/plain; charset=windows-1251");
        assert_eq!(document.views[1].data, ViewData::Owned(text.as_bytes().to_vec()));
        let raw: Vec<_> = document.views[0].units.iter().map(|unit| unit.range).collect();
        assert_eq!(raw, [ByteRange::new(0, 31), ByteRange::new(31, 48)]);
        assert_eq!(document.views[1].units[1].origin, Some(Origin::SourceBytes(raw[1])));
    }

    #[test]
    fn limits_are_kept() {
        let limits = Limits { max_bytes: 3, ..Limits::default() };
        let decoder = TextDecoder::default();
        let error = decoder.decode(&mut Cursor::new(b"four"), &Hint::default(), &limits).unwrap_err();
        assert_eq!(error.to_string(), "the source has 4 bytes, more than the limit of 3 (`--max-bytes`)");
        let limits = Limits { max_units: 2, ..Limits::default() };
        let decoder = TextDecoder { segments: TextSegments::Lines, views: Views::Raw };
        assert!(decoder.decode(&mut Cursor::new(b"a\nb\nc\n"), &Hint::default(), &limits).is_err());
    }
}
