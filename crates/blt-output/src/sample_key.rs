//! Names of samples in a WebDataset.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// With the longest member's suffix a name still fits into the 100 bytes that every tar reader knows.
const MAX_BYTES: usize = 72;
/// Of a longer key so many bytes are kept, and a hash of the whole id.
const KEPT_BYTES: usize = 48;

/// The key of the document `id`: letters, digits, `_`, `~` and `-` stand for themselves, every other byte is `%` and two hex
/// digits. So no two short ids share a key, and it has no dot, at which readers end it, and no separator.
pub(crate) fn sample_key(id: &str) -> String {
    let mut key = String::with_capacity(id.len());
    for &byte in id.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"_~-".contains(&byte) {
            key.push(char::from(byte));
        } else {
            let _ = write!(key, "%{byte:02X}");
        }
    }
    if key.is_empty() || key.len() > MAX_BYTES {
        key.truncate(KEPT_BYTES);
        key.push('~');
        for byte in &Sha256::digest(id.as_bytes())[..10] {
            let _ = write!(key, "{byte:02x}");
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_of_hostile_ids_are_plain_short_and_distinct() {
        let long = "x".repeat(10_000);
        let ids = [
            "",
            ".",
            "..",
            "../../etc/x",
            "/etc/x",
            "a/b",
            "a~b",
            "a.b",
            "a%2Eb",
            "A.b",
            "a\0b",
            "a\nb",
            "é",
            "con",
            "C:\\x",
            &long,
            &format!("{long}y"),
            &"é".repeat(40),
            &"é".repeat(41),
        ];
        let keys: HashSet<String> = ids.iter().map(|id| sample_key(id)).collect();
        assert_eq!(keys.len(), ids.len());
        for key in keys {
            assert!(!key.is_empty() && key.len() <= MAX_BYTES, "{key}");
            assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_~-%".contains(&byte)), "{key}");
        }
        assert_eq!(sample_key("prose~lighthouse.txt"), "prose~lighthouse%2Etxt");
    }
}
