//! The text of web pages (WHATWG HTML, section 13.2.5).

use blt_core::{ByteRange, DecodeError, Limits, Origin, View};
use html5gum::{DefaultEmitter, Token, Tokenizer};

use crate::content;
use crate::text::TextBuilder;

/// Elements whose text nobody reads.
const UNREAD: [&[u8]; 5] = [b"script", b"style", b"template", b"noscript", b"svg"];

/// Elements that stand in a line; all others begin and end a block.
const INLINE: [&[u8]; 38] = [
    b"a", b"abbr", b"acronym", b"b", b"bdi", b"bdo", b"big", b"cite", b"code", b"data", b"del", b"dfn", b"em", b"font",
    b"i", b"img", b"input", b"ins", b"kbd", b"label", b"map", b"mark", b"q", b"ruby", b"rt", b"rp", b"s", b"samp",
    b"small", b"span", b"strike", b"strong", b"sub", b"sup", b"time", b"tt", b"u", b"var",
];

/// The page's text, block by block, with the bytes each comes from.
pub(crate) fn view(page: &[u8], limits: &Limits) -> Result<View, DecodeError> {
    if page.starts_with(b"\xFF\xFE") || page.starts_with(b"\xFE\xFF") {
        return Err(content("it is in UTF-16, of which no text is made"));
    }
    let mut text = TextBuilder::new(limits);
    blocks(page, &mut |block, range| text.add("paragraph", &block, Some(Origin::SourceBytes(range))))?;
    // Bytes stay bytes: a page in another charset gives text in that charset.
    let charset = if std::str::from_utf8(page).is_ok() { "utf-8" } else { "unknown-8bit" };
    Ok(text.view("text", &format!("text/plain; charset={charset}")))
}

/// Calls `emit` with the text of each block, white space collapsed as a browser does, and the bytes from its first to its
/// last character.
pub(crate) fn blocks(
    page: &[u8],
    emit: &mut dyn FnMut(Vec<u8>, ByteRange) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut emitter = DefaultEmitter::<usize>::new_with_span();
    emitter.naively_switch_states(true);
    let mut block = Block::default();
    let mut unread: Option<(Vec<u8>, usize)> = None;
    let mut n_preformatted = 0usize;
    for token in Tokenizer::new_with_emitter(page, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let name: &[u8] = &tag.name;
                match &mut unread {
                    Some((unread, depth)) if unread == name => *depth += usize::from(!tag.self_closing),
                    Some(_) => {}
                    None if UNREAD.contains(&name) && !tag.self_closing => unread = Some((name.to_vec(), 1)),
                    None => {
                        n_preformatted += usize::from(name == b"pre" && !tag.self_closing);
                        if !INLINE.contains(&name) {
                            block.end(emit)?;
                        }
                    }
                }
            }
            Token::EndTag(tag) => {
                let name: &[u8] = &tag.name;
                match &mut unread {
                    Some((unread_name, depth)) if unread_name == name => {
                        *depth -= 1;
                        if *depth == 0 {
                            unread = None;
                        }
                    }
                    Some(_) => {}
                    None => {
                        n_preformatted = n_preformatted.saturating_sub(usize::from(name == b"pre"));
                        if !INLINE.contains(&name) {
                            block.end(emit)?;
                        }
                    }
                }
            }
            Token::String(text) if unread.is_none() => {
                block.add(&text.value, text.span.start, text.span.end, n_preformatted > 0);
            }
            _ => {}
        }
    }
    block.end(emit)
}

/// The text of a block in the making.
#[derive(Default)]
struct Block {
    text: Vec<u8>,
    range: Option<(usize, usize)>,
    is_space_due: bool,
}

impl Block {
    fn add(&mut self, text: &[u8], start: usize, end: usize, is_preformatted: bool) {
        if text.iter().all(u8::is_ascii_whitespace) && !is_preformatted {
            self.is_space_due |= !text.is_empty();
            return;
        }
        for &byte in text {
            if byte.is_ascii_whitespace() && !is_preformatted {
                self.is_space_due = true;
                continue;
            }
            if std::mem::take(&mut self.is_space_due) && !self.text.is_empty() {
                self.text.push(b' ');
            }
            self.text.push(byte);
        }
        let first = self.range.map_or(start, |(first, _)| first);
        self.range = Some((first, end.max(first)));
    }

    fn end(&mut self, emit: &mut dyn FnMut(Vec<u8>, ByteRange) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        let block = std::mem::take(self);
        match block.range {
            Some((start, end)) if !block.text.is_empty() => emit(block.text, ByteRange::new(start as u64, end as u64)),
            _ => Ok(()),
        }
    }
}
