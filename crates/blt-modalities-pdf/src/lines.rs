//! The text of a page: chunks become lines, lines become blocks.

use hayro::kurbo::Rect;

use crate::columns;
use crate::glyphs::Glyph;
use crate::strings::{is_digit, is_right_to_left};
use crate::words::{Chunk, frames};

/// A gap between chunks of a line is a space from this width on, in font sizes.
const MIN_SPACE: f64 = 0.15;
/// A block ends where this much is free between two lines, in font sizes.
const MIN_BLOCK_GAP: f64 = 0.9;

/// One line of text.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its words with one space between them, in the order in which they are read.
    pub(crate) text: String,
    /// Its box on the page.
    pub(crate) rect: Rect,
}

/// The blocks of a page in reading order, each a list of lines.
pub(crate) fn layout(glyphs: &[Glyph]) -> Vec<Vec<Line>> {
    let mut blocks = Vec::new();
    for (_, chunks) in frames(glyphs) {
        let texts = chunks.iter().flat_map(|chunk| &glyphs[chunk.glyphs.clone()]).map(|glyph| &*glyph.text);
        let right_to_left = runs_right_to_left(texts);
        for block in columns::blocks(chunks, right_to_left) {
            blocks.extend(split(rows(block)).into_iter().map(|rows| to_lines(rows, glyphs)));
        }
    }
    blocks
}

/// Chunks on one baseline, from top to bottom; raised and lowered ones go with the row beside them.
fn rows(chunks: Vec<Chunk>) -> Vec<Vec<Chunk>> {
    let mut rows: Vec<Row> = Vec::new();
    for row in baselines(chunks) {
        match rows.last_mut() {
            Some(last) if last.takes(&row) => last.join(row),
            _ => rows.push(row),
        }
    }
    rows.into_iter().map(|row| row.chunks).collect()
}

/// Chunks from left to right, with the baseline and size of the largest.
struct Row {
    chunks: Vec<Chunk>,
    v: f64,
    size: f64,
}

impl Row {
    fn takes(&self, below: &Row) -> bool {
        let (small, large) = (self.size.min(below.size), self.size.max(below.size));
        let reach = match large / small {
            ratio if ratio < 1.2 => 0.4 * small,
            ratio if ratio < 2.5 => 0.5 * large,
            _ => 0.6 * small,
        };
        below.v - self.v <= reach && self.overlap(below) < 0.5 * small
    }

    /// How much of the two lies at the same place along the line.
    fn overlap(&self, other: &Row) -> f64 {
        let (mut one, mut two) = (self.chunks.iter().peekable(), other.chunks.iter().peekable());
        let mut overlap = 0.0;
        while let (Some(a), Some(b)) = (one.peek(), two.peek()) {
            overlap += (a.u1.min(b.u1) - a.u0.max(b.u0)).max(0.0);
            if a.u1 < b.u1 {
                one.next()
            } else {
                two.next()
            };
        }
        overlap
    }

    fn join(&mut self, other: Row) {
        if other.size > self.size {
            (self.v, self.size) = (other.v, other.size);
        }
        self.chunks.extend(other.chunks);
        self.chunks.sort_by(|one, other| one.u0.total_cmp(&other.u0));
    }
}

/// Chunks whose baselines are the same, from top to bottom.
fn baselines(mut chunks: Vec<Chunk>) -> Vec<Row> {
    chunks.sort_by(|one, other| one.v.total_cmp(&other.v));
    let mut rows: Vec<Row> = Vec::new();
    for chunk in chunks {
        match rows.last_mut() {
            Some(row) if chunk.v - row.v <= 0.1 * row.size.min(chunk.size) => row.chunks.push(chunk),
            _ => rows.push(Row { v: chunk.v, size: chunk.size, chunks: vec![chunk] }),
        }
    }
    for row in &mut rows {
        row.chunks.sort_by(|one, other| one.u0.total_cmp(&other.u0));
        row.size = row.chunks.iter().map(|chunk| chunk.size).fold(0.0, f64::max);
    }
    rows
}

/// Rows become blocks where there is a gap between them.
fn split(rows: Vec<Vec<Chunk>>) -> Vec<Vec<Vec<Chunk>>> {
    let mut blocks: Vec<Vec<Vec<Chunk>>> = Vec::new();
    let mut bottom = f64::NEG_INFINITY;
    for row in rows {
        let top = row.iter().map(Chunk::top).fold(f64::INFINITY, f64::min);
        let size = row.iter().map(|chunk| chunk.size).fold(0.0, f64::max);
        let apart = top - bottom > MIN_BLOCK_GAP * size;
        bottom = row.iter().map(Chunk::bottom).fold(f64::NEG_INFINITY, f64::max);
        match blocks.last_mut() {
            Some(block) if !apart => block.push(row),
            _ => blocks.push(vec![row]),
        }
    }
    blocks
}

fn to_lines(rows: Vec<Vec<Chunk>>, glyphs: &[Glyph]) -> Vec<Line> {
    let to_line = |row: Vec<Chunk>| {
        let rect = row.iter().map(|chunk| chunk.rect).reduce(|one, other| one.union(other)).unwrap_or_default();
        Line { text: in_reading_order(words(&row, glyphs)).join(" "), rect }
    };
    rows.into_iter().map(to_line).collect()
}

/// The words of a row from left to right, each the texts of its glyphs from left to right.
fn words<'g>(row: &[Chunk], glyphs: &'g [Glyph]) -> Vec<Vec<&'g str>> {
    let mut words: Vec<Vec<&str>> = Vec::new();
    let mut before: Option<&Chunk> = None;
    for chunk in row {
        let texts = glyphs[chunk.glyphs.clone()].iter().map(|glyph| &*glyph.text);
        match words.last_mut() {
            Some(word) if before.is_some_and(|before| !is_space_between(before, chunk)) => word.extend(texts),
            _ => words.push(texts.collect()),
        }
        before = Some(chunk);
    }
    words
}

fn is_space_between(left: &Chunk, right: &Chunk) -> bool {
    let drawn = (left.glyphs.end == right.glyphs.start && right.space_before)
        || (right.glyphs.end == left.glyphs.start && left.space_before);
    drawn || right.u0 - left.u1 > MIN_SPACE * left.size.min(right.size)
}

/// Words that lie from left to right, in the order in which they are read.
///
/// A simple form of the Unicode bidirectional algorithm (UAX 9), backwards: what is drawn is in visual order.
fn in_reading_order(mut words: Vec<Vec<&str>>) -> Vec<String> {
    let is_rtl = |word: &Vec<&str>| word.iter().any(|text| text.chars().any(is_right_to_left));
    if words.iter().any(is_rtl) {
        let whole = runs_right_to_left(words.iter().flatten().copied());
        if whole {
            words.reverse();
        }
        // Words of the other direction come in runs, which lie the other way round.
        let mut start = 0;
        while start < words.len() {
            let turned = |word: &Vec<&str>| is_rtl(word) != whole && word.iter().any(|text| has_direction(text));
            let neutral = |word: &Vec<&str>| !word.iter().any(|text| has_direction(text));
            let n_run = words[start..].iter().take_while(|word| turned(word) || neutral(word)).count();
            let run = &mut words[start..start + n_run];
            let first = run.iter().position(turned).unwrap_or(n_run);
            let last = run.iter().rposition(turned).map_or(n_run, |last| last + 1);
            run[first..last.max(first)].reverse();
            start += n_run.max(1);
        }
        words.iter_mut().filter(|word| is_rtl(word)).for_each(|word| turn(word));
    }
    words.into_iter().map(|word| word.concat()).collect()
}

/// Turns the glyphs of a word round, all but its numbers.
fn turn(word: &mut [&str]) {
    let is_number = |text: &&str| text.chars().all(is_digit);
    word.reverse();
    let mut start = 0;
    while start < word.len() {
        let n_digits = word[start..].iter().take_while(|text| is_number(text)).count();
        word[start..start + n_digits].reverse();
        start += n_digits.max(1);
    }
}

fn has_direction(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// Whether most letters are written from right to left.
fn runs_right_to_left<'t>(texts: impl Iterator<Item = &'t str>) -> bool {
    let letters = texts.flat_map(str::chars).filter(|char| char.is_alphabetic());
    let (mut n_rtl, mut n_all) = (0, 0);
    for letter in letters {
        n_rtl += usize::from(is_right_to_left(letter));
        n_all += 1;
    }
    n_rtl * 2 > n_all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shown: &str, read: &str) {
        let words = shown.split(' ').map(|word| word.split_inclusive(|_: char| true).collect()).collect();
        assert_eq!(in_reading_order(words).join(" "), read);
    }

    #[test]
    fn right_to_left_words_are_read_from_the_right() {
        check("one two", "one two");
        check("\u{5D3}\u{5D2} \u{5D1}\u{5D0}", "\u{5D0}\u{5D1} \u{5D2}\u{5D3}");
        // Numbers and foreign words keep their direction.
        check("12 \u{5D1}\u{5D0}", "\u{5D0}\u{5D1} 12");
        check("\u{5D3}\u{5D2} a b \u{5D1}\u{5D0}", "\u{5D0}\u{5D1} a b \u{5D2}\u{5D3}");
        check("see \u{5D3}\u{5D2} \u{5D1}\u{5D0} there", "see \u{5D0}\u{5D1} \u{5D2}\u{5D3} there");
        check("12\u{5D1}\u{5D0}", "\u{5D0}\u{5D1}12");
    }
}
