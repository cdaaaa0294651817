//! Names of rows that are safe as names of files.

use crate::hash::sha256_hex;

/// Longer ids are cut and end with a hash; with prefix and suffix a name then still fits any file system.
const MAX_ID_BYTES: usize = 150;

/// The id of the document made of a row whose own id is `row_id`: `item_` and that id.
///
/// Small letters of ASCII, digits, `.`, `_` and `-` stand for themselves and everything else is percent-encoded, so it is
/// one plain file name. Ids with capital letters end with a hash, so that no two ids are the same where names differ only
/// in case; so do long ones.
pub fn id_of_row(row_id: &str) -> String {
    let mut id = String::from("item_");
    for byte in row_id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            id.push(char::from(byte));
        } else {
            id.push_str(&format!("%{byte:02X}"));
        }
    }
    let is_long = id.len() > MAX_ID_BYTES;
    if is_long || row_id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        id.truncate(MAX_ID_BYTES - 17); // ASCII alone
        id.push('@'); // which no other id has
        id.push_str(&sha256_hex(&[row_id.as_bytes()])[..16]);
    }
    id
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_read_naturally() {
        assert_eq!(id_of_row("17"), "item_17");
        assert_eq!(id_of_row("<urn:uuid:0a-b>"), "item_%3Curn%3Auuid%3A0a-b%3E");
        assert_eq!(id_of_row(""), "item_");
    }

    #[test]
    fn hostile_ids_stay_names() {
        let long = "x".repeat(10_000);
        for hostile in ["../../etc/x", "/etc/passwd", "C:\\x", "..", "a\0b", "ü", "CON", &long] {
            let id = id_of_row(hostile);
            let components: Vec<_> = Path::new(&id).components().collect();
            assert!(matches!(components[..], [Component::Normal(name)] if name == id.as_str()), "{id}");
            assert!(id.len() <= MAX_ID_BYTES && id.is_ascii());
        }
    }

    proptest! {
        #[test]
        fn different_ids_have_different_names_in_any_case(a in "[a-cA-C%@/~é.]{0,6}", b in "[a-cA-C%@/~é.]{0,6}") {
            prop_assert_eq!(a == b, id_of_row(&a).to_lowercase() == id_of_row(&b).to_lowercase());
        }
    }
}
