//! Text strings of PDF, and the few properties of characters that layout asks for.

/// The characters of a PDF text string: UTF-16 or UTF-8 behind their marks, else PDFDocEncoding.
///
/// Source: ISO 32000-2 clause 7.9.2.2 and annex D.3.
pub(crate) fn decode_text_string(bytes: &[u8]) -> String {
    match bytes {
        [0xFE, 0xFF, rest @ ..] => decode_utf16(rest, u16::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => decode_utf16(rest, u16::from_le_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] if let Ok(text) = str::from_utf8(rest) => text.to_owned(),
        _ => bytes.iter().map(|&byte| pdf_doc_char(byte)).collect(),
    }
}

/// Whether a character belongs to the one before it and has no width of its own.
pub(crate) fn is_mark(char: char) -> bool {
    matches!(char,
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{0591}'..='\u{05BD}' | '\u{05BF}'
        | '\u{05C1}' | '\u{05C2}' | '\u{05C4}' | '\u{05C5}' | '\u{05C7}' | '\u{0610}'..='\u{061A}'
        | '\u{064B}'..='\u{065F}' | '\u{0670}' | '\u{06D6}'..='\u{06DC}' | '\u{0E31}' | '\u{0E34}'..='\u{0E3A}'
        | '\u{0E47}'..='\u{0E4E}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}'
        | '\u{FE20}'..='\u{FE2F}')
}

/// Whether a character is written from right to left.
pub(crate) fn is_right_to_left(char: char) -> bool {
    matches!(char,
        '\u{0590}'..='\u{08FF}' | '\u{200F}' | '\u{FB1D}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}'
        | '\u{10800}'..='\u{10FFF}' | '\u{1E800}'..='\u{1EFFF}')
        && !is_digit(char)
}

/// Whether a character is a digit, or one of the Arabic scripts, whose numbers run from left to right too.
pub(crate) fn is_digit(char: char) -> bool {
    char.is_ascii_digit() || matches!(char, '\u{0660}'..='\u{0669}' | '\u{06F0}'..='\u{06F9}')
}

fn decode_utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// A character of PDFDocEncoding, which is Latin-1 but for two stretches.
fn pdf_doc_char(byte: u8) -> char {
    const FROM_18: [char; 8] = ['˘', 'ˇ', 'ˆ', '˙', '˝', '˛', '˚', '˜'];
    const FROM_80: [char; 33] = [
        '•',
        '†',
        '‡',
        '…',
        '—',
        '–',
        'ƒ',
        '⁄',
        '‹',
        '›',
        '−',
        '‰',
        '„',
        '“',
        '”',
        '‘',
        '’',
        '‚',
        '™',
        'ﬁ',
        'ﬂ',
        'Ł',
        'Œ',
        'Š',
        'Ÿ',
        'Ž',
        'ı',
        'ł',
        'œ',
        'š',
        'ž',
        char::REPLACEMENT_CHARACTER,
        '€',
    ];
    match byte {
        0x18..=0x1F => FROM_18[usize::from(byte - 0x18)],
        0x80..=0xA0 => FROM_80[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_strings_say_their_encoding() {
        assert_eq!(decode_text_string(b"\xFE\xFF\x20\xAC\xD8\x3D\xDE\x00"), "€😀");
        assert_eq!(decode_text_string(b"\xFF\xFE\xAC\x20"), "€");
        assert_eq!(decode_text_string("\u{FEFF}é".as_bytes()), "é");
        assert_eq!(decode_text_string(b"caf\xE9 \x93\xA0"), "caf\u{E9} \u{FB01}€");
    }

    #[test]
    fn digits_are_never_right_to_left() {
        assert!(is_right_to_left('ש') && is_right_to_left('ب'));
        assert!(!is_right_to_left('٣') && is_digit('٣') && !is_right_to_left('a'));
    }
}
