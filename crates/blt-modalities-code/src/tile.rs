//! From pieces to units that tile the source.

use std::ops::Range;

use blt_core::{ByteRange, Unit};

use crate::syntax::Piece;

/// Pieces shorter than this, in bytes, are not divided.
const MIN_DIVIDED: usize = 64;
/// Bytes of a run of lines, where there is no syntax to go by.
const RUN_BYTES: usize = 4096;

/// The units of `bytes`, whose pieces are those of `root`; none if there would be more than `max_units`.
pub(crate) fn units(bytes: &[u8], root: Piece, max_units: usize) -> Option<Vec<Unit>> {
    let mut tiling = Tiling { bytes, units: Vec::new(), max_units };
    if !bytes.is_empty() {
        tiling.tile(0..bytes.len(), root.children, None, root.rest)?;
    }
    Some(tiling.units)
}

/// Runs of whole lines, of 4 KiB or more, that tile `bytes`.
pub(crate) fn runs_of_lines(bytes: &[u8], max_units: usize) -> Vec<Unit> {
    let run_bytes = RUN_BYTES.max(bytes.len() / max_units.max(1) + 1);
    let mut units = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let least = (start + run_bytes).min(bytes.len());
        let rest = bytes[least..].iter().position(|byte| *byte == b'\n');
        let end = if bytes[least - 1] == b'\n' { least } else { rest.map_or(bytes.len(), |rest| least + rest + 1) };
        units.push(Unit::new("lines", byte_range(start..end)));
        start = end;
    }
    units
}

struct Tiling<'a> {
    bytes: &'a [u8],
    units: Vec<Unit>,
    max_units: usize,
}

impl Tiling<'_> {
    /// Tiles `range` with the pieces and what lies between them. The depth of pieces, and so of this, is bounded.
    fn tile(
        &mut self,
        range: Range<usize>,
        pieces: Vec<Piece>,
        parent: Option<usize>,
        rest: &'static str,
    ) -> Option<()> {
        let mut at = range.start;
        for piece in self.placed(&range, pieces) {
            self.rest(at..piece.range.start, parent, rest)?;
            at = piece.range.end;
            self.piece(piece, parent)?;
        }
        self.rest(at..range.end, parent, rest)
    }

    /// The pieces with ranges that follow one another inside `range`, whole lines where they stand alone in them.
    fn placed(&self, range: &Range<usize>, pieces: Vec<Piece>) -> Vec<Piece> {
        let mut placed: Vec<Piece> = Vec::new();
        let mut at = range.start;
        for mut piece in pieces {
            let start = self.line_start(piece.range.start.clamp(at, range.end), at);
            let end = self.line_end(piece.range.end.clamp(start, range.end), range.end);
            if start == end {
                continue;
            }
            at = end;
            // Imports and comments in successive lines are one.
            match placed.last_mut() {
                Some(last) if last.range.end == start && last.label == piece.label && is_mergeable(last, &piece) => {
                    last.range.end = end;
                }
                _ => {
                    piece.range = start..end;
                    placed.push(piece);
                }
            }
        }
        placed
    }

    fn piece(&mut self, piece: Piece, parent: Option<usize>) -> Option<()> {
        let Piece { label, name, range, body, is_function, rest, children } = piece;
        let index = Some(self.unit(label, name, range.clone(), parent)?);
        let body = body.filter(|body| range.contains(body)).map(|body| self.line_start(body, range.start));
        let header = match body {
            Some(body) if is_function => body,
            Some(body) => self.opening_end(body, &range),
            None => range.start,
        };
        let in_body: Vec<Piece> = children.into_iter().filter(|child| child.range.start >= header).collect();
        if range.len() < MIN_DIVIDED || in_body.is_empty() && !is_function {
            return Some(());
        }
        let has_header = range.start < header && header < range.end;
        if has_header {
            self.unit("signature", None, range.start..header, index)?;
        }
        let after = if has_header { header..range.end } else { range };
        if !is_function {
            return self.tile(after, in_body, index, rest);
        }
        if !has_header {
            return Some(());
        }
        let block = self.unit("block", None, after.clone(), index)?;
        if in_body.is_empty() { Some(()) } else { self.tile(after, in_body, Some(block), rest) }
    }

    fn rest(&mut self, range: Range<usize>, parent: Option<usize>, label: &'static str) -> Option<()> {
        if !range.is_empty() {
            let is_space = self.bytes[range.clone()].trim_ascii().is_empty();
            self.unit(if is_space { "space" } else { label }, None, range, parent)?;
        }
        Some(())
    }

    fn unit(
        &mut self,
        label: &'static str,
        name: Option<Box<str>>,
        range: Range<usize>,
        parent: Option<usize>,
    ) -> Option<usize> {
        if self.units.len() >= self.max_units {
            return None;
        }
        self.units.push(Unit { name, ..Unit::new(label, byte_range(range)).inside(parent) });
        Some(self.units.len() - 1)
    }

    /// The start of the line if only blanks lie between, not before `least`.
    fn line_start(&self, offset: usize, least: usize) -> usize {
        let blanks = self.bytes[least..offset].iter().rev().take_while(|byte| is_blank(**byte)).count();
        let start = offset - blanks;
        if start == least || self.bytes[start - 1] == b'\n' { start } else { offset }
    }

    /// The start of the next line if only blanks, and one `;` or `,`, lie between, not after `most`.
    fn line_end(&self, offset: usize, most: usize) -> usize {
        let skip_blanks = |at: usize| at + self.bytes[at..most].iter().take_while(|byte| is_blank(**byte)).count();
        let end = skip_blanks(offset);
        let mark = self.bytes[..most].get(end).is_some_and(|byte| matches!(byte, b';' | b','));
        let offset = if mark { end + 1 } else { offset };
        let end = skip_blanks(offset);
        match self.bytes[end..most] {
            [] => most,
            [b'\n', ..] => end + 1,
            [b'\r', b'\n', ..] => end + 2,
            _ => offset,
        }
    }

    /// The end of the bracket that a body begins with, or else its begin.
    fn opening_end(&self, body: usize, range: &Range<usize>) -> usize {
        let blanks = self.bytes[body..range.end].iter().take_while(|byte| is_blank(**byte)).count();
        let opening = body + blanks;
        if matches!(self.bytes[opening..range.end], [b'{' | b'[' | b'(' | b':', ..]) {
            self.line_end(opening + 1, range.end)
        } else {
            body
        }
    }
}

fn is_mergeable(one: &Piece, next: &Piece) -> bool {
    let is_plain = |piece: &Piece| piece.name.is_none() && piece.children.is_empty();
    matches!(one.label, "import" | "comment") && is_plain(one) && is_plain(next)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn byte_range(range: Range<usize>) -> ByteRange {
    ByteRange::new(range.start as u64, range.end as u64)
}
