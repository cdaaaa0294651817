//! What a file looks like from its first bytes.

use blt_core::Modality;

/// How many bytes of a source are looked at.
pub const DETECT_BYTES: usize = 1 << 16;

/// One control character in so many bytes still makes a text.
const BYTES_PER_CONTROL: usize = 100;

/// The modality that the first bytes of a source suggest. Text has no NUL byte (unless it starts with a UTF-16 byte order
/// mark) and next to no control characters; everything else is binary. An empty source is text.
pub fn detect_modality(head: &[u8]) -> Modality {
    if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
        return Modality::Text;
    }
    // Tabs, line ends, form feeds, backspaces and escape sequences occur in text.
    let is_control = |byte: &&u8| matches!(byte, 0x01..=0x07 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F | 0x7F);
    let n_controls = head.iter().filter(is_control).count();
    if head.contains(&0) || n_controls * BYTES_PER_CONTROL > head.len() { Modality::Binary } else { Modality::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_binaries_are_told_apart() {
        for text in
            ["", "x", "a,b\r\n1,2\r\n", "#!/bin/sh\necho hi\n", "日本語のテキスト", "\u{1b}[1mbold\u{1b}[0m log line"]
        {
            assert_eq!(detect_modality(text.as_bytes()), Modality::Text, "{text:?}");
        }
        assert_eq!(detect_modality(b"caf\xE9 in latin-1"), Modality::Text);
        assert_eq!(detect_modality(b"\xFF\xFEh\0i\0"), Modality::Text);
        for binary in
            [&b"\x7FELF\x02\x01\x01\0"[..], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"PK\x03\x04\x14\0", b"\x1f\x8b\x08"]
        {
            assert_eq!(detect_modality(binary), Modality::Binary, "{binary:?}");
        }
        assert_eq!(detect_modality(&blt_testkit::noise(4096, 1)), Modality::Binary);
    }
}
