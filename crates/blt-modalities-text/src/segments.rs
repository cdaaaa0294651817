//! Words, lines and paragraphs as byte ranges that tile the text.

use blt_core::{ByteRange, DecodeError};
use unicode_segmentation::UnicodeSegmentation;

/// Units inside a text.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum TextSegments {
    /// None: the view is one piece.
    #[default]
    None,
    /// Words and what is between them, by the word boundaries of Unicode (UAX #29).
    Words,
    /// Lines with their ends: `\n`, `\r\n` or `\r`.
    Lines,
    /// Lines up to and including the blank ones that follow them.
    Paragraphs,
    /// Tokens of a Hugging Face tokenizer.
    #[cfg(feature = "tokenizers")]
    Tokens(TokenizerFile),
}

impl TextSegments {
    /// The label of one unit.
    pub fn label(&self) -> &'static str {
        match self {
            TextSegments::None => "text",
            TextSegments::Words => "word",
            TextSegments::Lines => "line",
            TextSegments::Paragraphs => "paragraph",
            #[cfg(feature = "tokenizers")]
            TextSegments::Tokens(_) => "token",
        }
    }
}

/// The units of `text`, which need not be valid UTF-8. They tile it; there are none in `None`.
pub(crate) fn segment(segments: &TextSegments, text: &[u8]) -> Result<Vec<ByteRange>, DecodeError> {
    let starts = match segments {
        TextSegments::None => return Ok(Vec::new()),
        TextSegments::Words => word_starts(text),
        TextSegments::Lines => line_starts(text),
        TextSegments::Paragraphs => paragraph_starts(text),
        #[cfg(feature = "tokenizers")]
        TextSegments::Tokens(tokenizer) => tokenizer.token_starts(text)?,
    };
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    Ok(starts.iter().zip(ends).map(|(&start, end)| ByteRange::new(start as u64, end as u64)).collect())
}

fn word_starts(text: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut offset = 0;
    for chunk in text.utf8_chunks() {
        starts.extend(chunk.valid().split_word_bound_indices().map(|(start, _)| offset + start));
        offset += chunk.valid().len();
        if !chunk.invalid().is_empty() {
            starts.push(offset);
            offset += chunk.invalid().len();
        }
    }
    starts
}

fn line_starts(text: &[u8]) -> Vec<usize> {
    let ends_line = |i: usize| text[i] == b'\n' || (text[i] == b'\r' && text.get(i + 1) != Some(&b'\n'));
    let first = (!text.is_empty()).then_some(0);
    first.into_iter().chain((0..text.len().saturating_sub(1)).filter(|&i| ends_line(i)).map(|i| i + 1)).collect()
}

fn paragraph_starts(text: &[u8]) -> Vec<usize> {
    let lines = line_starts(text);
    let ends = lines.iter().skip(1).copied().chain([text.len()]);
    let mut after_blank = false;
    let mut starts = Vec::new();
    for (&start, end) in lines.iter().zip(ends) {
        let blank = text[start..end].iter().all(u8::is_ascii_whitespace);
        if starts.is_empty() || (after_blank && !blank) {
            starts.push(start);
        }
        after_blank = blank;
    }
    starts
}

#[cfg(feature = "tokenizers")]
mod tokenizer_file {
    use std::path::Path;
    use std::sync::Arc;

    use blt_core::{DecodeError, Modality};

    /// A Hugging Face `tokenizer.json`.
    #[derive(Debug, Clone)]
    pub struct TokenizerFile(Arc<tokenizers::Tokenizer>);

    impl PartialEq for TokenizerFile {
        /// The same loaded file.
        fn eq(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.0, &other.0)
        }
    }

    impl TokenizerFile {
        /// Reads the tokenizer at `path`.
        ///
        /// # Errors
        ///
        /// Fails with what the library says of the file.
        pub fn open(path: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
            Ok(Self(Arc::new(tokenizers::Tokenizer::from_file(path)?)))
        }

        /// Where tokens start. What a tokenizer skips belongs to the token before it.
        pub(super) fn token_starts(&self, text: &[u8]) -> Result<Vec<usize>, DecodeError> {
            let content = |reason: String| DecodeError::Content { modality: Modality::Text, reason };
            let text = std::str::from_utf8(text).map_err(|error| {
                content(format!("a tokenizer needs UTF-8, which ends at byte {}", error.valid_up_to()))
            })?;
            let encoding =
                self.0.encode(text, false).map_err(|error| content(format!("the tokenizer failed: {error}")))?;
            let mut starts: Vec<usize> = encoding.get_offsets().iter().map(|&(start, _)| start).collect();
            starts.retain(|&start| start < text.len());
            if !text.is_empty() {
                starts.push(0);
            }
            starts.sort_unstable();
            starts.dedup();
            Ok(starts)
        }
    }
}

#[cfg(feature = "tokenizers")]
pub use tokenizer_file::TokenizerFile;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(segments: TextSegments, text: &[u8], expected: &[&[u8]]) {
        let ranges = segment(&segments, text).unwrap();
        let found: Vec<&[u8]> = ranges.iter().map(|range| &text[range.start as usize..range.end as usize]).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_keep_their_ends() {
        check(TextSegments::Lines, b"a\r\nb\rc\n\nd", &[b"a\r\n", b"b\r", b"c\n", b"\n", b"d"]);
        check(TextSegments::Lines, b"a\n", &[b"a\n"]);
        check(TextSegments::Lines, b"", &[]);
    }

    #[test]
    fn paragraphs_end_behind_blank_lines() {
        check(TextSegments::Paragraphs, b"\na\nb\n \n\nc", &[b"\n", b"a\nb\n \n\n", b"c"]);
    }

    #[test]
    fn words_follow_unicode_and_bad_bytes_stand_alone() {
        check(TextSegments::Words, "can't stop".as_bytes(), &[b"can't", b" ", b"stop"]);
        check(TextSegments::Words, b"ab\xFF\xC3cd", &[b"ab", b"\xFF", b"\xC3", b"cd"]);
    }

    #[cfg(feature = "tokenizers")]
    #[test]
    fn a_tokenizer_file_gives_its_tokens() {
        let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
            "pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":null,"decoder":null,
            "model":{"type":"WordLevel","vocab":{"hello":0,"world":1,"[UNK]":2},"unk_token":"[UNK]"}}"#;
        let path = std::env::temp_dir().join(format!("blt-tokenizer-{}.json", std::process::id()));
        std::fs::write(&path, json).unwrap();
        let tokenizer = TokenizerFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        check(TextSegments::Tokens(tokenizer), b"hello  world x", &[b"hello  ", b"world ", b"x"]);
    }
}
