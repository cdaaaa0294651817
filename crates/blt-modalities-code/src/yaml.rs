//! YAML by its lines. The grammar that there is for it aborts the program on blocks nested 254 deep, and the units that
//! are wanted, what stands at the left edge, need none.

use std::ops::Range;

use crate::syntax::Piece;

/// The whole of `bytes[range]` as a piece, with its members, elements and comments at the left edge.
pub(crate) fn find(bytes: &[u8], range: Range<usize>) -> Piece {
    let mut root = piece("code", None, range.clone());
    // Where a comment begins of which it is open whether it lies inside what is before.
    let mut comment: Option<Range<usize>> = None;
    let mut is_inside = false;
    let mut start = range.start;
    for line in bytes[range].split_inclusive(|byte| *byte == b'\n') {
        let at = start..start + line.len();
        start = at.end;
        let text = line.trim_ascii_end();
        if text.is_empty() {
            continue;
        }
        if text[0] == b'#' {
            comment.get_or_insert(at.clone()).end = at.end;
            continue;
        }
        let is_element = text == b"-" || text.starts_with(b"- ");
        let is_more = matches!(text[0], b' ' | b'\t' | b']' | b'}')
            || is_element && root.children.last().is_some_and(|last| last.label == "member");
        if is_more && is_inside {
            comment = None;
            if let Some(last) = root.children.last_mut() {
                last.range.end = at.end;
            }
            continue;
        }
        root.children.extend(comment.take().map(|comment| piece("comment", None, comment)));
        let key = key(text);
        is_inside = is_element || key.is_some();
        if is_inside {
            let label = if is_element { "element" } else { "member" };
            root.children.push(piece(label, key.filter(|_| !is_element), at));
        }
    }
    root.children.extend(comment.map(|comment| piece("comment", None, comment)));
    root
}

/// What is before the colon; none for a line that is no member, such as `---`.
fn key(line: &[u8]) -> Option<Box<str>> {
    let is_end = |at: usize| line.get(at + 1).is_none_or(|next| matches!(next, b' ' | b'\t'));
    let colon = line.iter().enumerate().position(|(at, byte)| *byte == b':' && is_end(at))?;
    let key = str::from_utf8(&line[..colon]).ok()?.trim().trim_matches(['"', '\'']);
    (!key.is_empty() && !key.starts_with('%')).then(|| key[..key.floor_char_boundary(120)].into())
}

fn piece(label: &'static str, name: Option<Box<str>>, range: Range<usize>) -> Piece {
    Piece { label, name, range, body: None, is_function: false, rest: "code", children: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_hold_what_is_indented() {
        let text = b"%YAML 1.2\n---\n# One.\na: 1\nb:\n- x\n# inside\n- y\n\nc:\n  d: |\n    text: text\n# outside\n---\n- a: 1\n  b: 2\n- c\n";
        let root = find(text, 0..text.len());
        let found: Vec<_> = root
            .children
            .iter()
            .map(|piece| (piece.label, piece.name.as_deref().unwrap_or(""), &text[piece.range.clone()]))
            .collect();
        let expected: [(&str, &str, &[u8]); 7] = [
            ("comment", "", b"# One.\n"),
            ("member", "a", b"a: 1\n"),
            ("member", "b", b"b:\n- x\n# inside\n- y\n"),
            ("member", "c", b"c:\n  d: |\n    text: text\n"),
            ("comment", "", b"# outside\n"),
            ("element", "", b"- a: 1\n  b: 2\n"),
            ("element", "", b"- c\n"),
        ];
        assert_eq!(found, expected);
    }
}
