//! Names of outputs, and paths as text.

use std::path::{Component, Path};

use sha2::{Digest, Sha256};

/// Longer ids are cut and end with a hash; with its longest suffix an output's name still fits any file system.
const MAX_ID_BYTES: usize = 180;

/// The output name for a source at `relative`, its path inside the input: `src/main.rs` gives `src~main.rs`.
///
/// Letters, digits, `.`, `_` and `-` stand for themselves, `~` for a separator, and everything else is percent-encoded, so
/// two paths never share an id. It is a single plain file name: not empty, not hidden, without separators.
pub fn id_of_path(relative: &Path) -> String {
    let mut id = String::new();
    for component in relative.components() {
        let Component::Normal(name) = component else { continue };
        if !id.is_empty() {
            id.push('~');
        }
        for chunk in name.as_encoded_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                let hides = id.is_empty() && matches!(character, '.' | '-');
                if (character.is_alphanumeric() || matches!(character, '.' | '_' | '-')) && !hides {
                    id.push(character);
                } else {
                    let mut buffer = [0; 4];
                    push_percent(&mut id, character.encode_utf8(&mut buffer).as_bytes());
                }
            }
            push_percent(&mut id, chunk.invalid());
        }
    }
    if id.is_empty() {
        return "%".to_owned(); // the path of an input itself; no name encodes to this
    }
    shorten(id)
}

fn push_percent(id: &mut String, bytes: &[u8]) {
    for byte in bytes {
        id.push_str(&format!("%{byte:02X}"));
    }
}

fn shorten(id: String) -> String {
    if id.len() <= MAX_ID_BYTES {
        return id;
    }
    let kept = id.floor_char_boundary(MAX_ID_BYTES - 17);
    with_hash(&id[..kept], &id, 8)
}

/// `id` told apart from another source's equal id by a hash of its own `source`.
pub(crate) fn id_of_other_source(id: &str, source: &str) -> String {
    with_hash(&id[..id.floor_char_boundary(MAX_ID_BYTES)], source, 6)
}

/// `@` occurs in no id of a path, so this one is none.
fn with_hash(start: &str, hashed: &str, n_bytes: usize) -> String {
    let digest = Sha256::digest(hashed.as_bytes());
    let hash: String = digest.iter().take(n_bytes).map(|byte| format!("{byte:02x}")).collect();
    format!("{start}@{hash}")
}

/// Whether `name` names something inside a folder, with `/` between names.
pub(crate) fn is_inside(name: &str) -> bool {
    let is_plain = |part: &str| {
        let mut components = Path::new(part).components();
        matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == part)
    };
    name.split('/').all(is_plain)
}

/// `path` as text, the same for the same path and for no other: control characters and bytes that are not UTF-8 as
/// `\xFF`, a backslash as `\\` where it is not a separator.
pub fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' if !cfg!(windows) => text.push_str("\\\\"),
                character if character.is_control() => {
                    let mut buffer = [0; 4];
                    character
                        .encode_utf8(&mut buffer)
                        .bytes()
                        .for_each(|byte| text.push_str(&format!("\\x{byte:02X}")));
                }
                character => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_read_naturally() {
        for (path, id) in [
            ("notes.txt", "notes.txt"),
            ("src/main.rs", "src~main.rs"),
            ("a b/ü.md", "a%20b~ü.md"),
            (".hidden/x", "%2Ehidden~x"),
            ("-o", "%2Do"),
            ("back~up", "back%7Eup"),
            ("../up", "up"),
            ("", "%"),
        ] {
            assert_eq!(id_of_path(Path::new(path)), id);
        }
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let long = "x".repeat(300);
        let (a, b) = (id_of_path(Path::new(&format!("{long}a"))), id_of_path(Path::new(&format!("{long}b"))));
        assert_ne!(a, b);
        assert!(a.len() <= MAX_ID_BYTES && b.len() <= MAX_ID_BYTES);
    }

    proptest! {
        #[test]
        fn different_paths_have_different_safe_ids(
            a in prop::collection::vec("[ -~é漢]{1,12}", 1..4),
            b in prop::collection::vec("[ -~é漢]{1,12}", 1..4),
        ) {
            let path = |parts: &[String]| parts.iter().map(|part| part.replace('/', "_")).filter(|part| part != "." && part != "..").collect::<std::path::PathBuf>();
            let (a, b) = (path(&a), path(&b));
            let id = id_of_path(&a);
            prop_assert!(!id.contains(['/', '\\', '\0']) && !id.starts_with('.') && !id.is_empty());
            prop_assert_eq!(a == b, id == id_of_path(&b));
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf8_stay_apart() {
        use std::os::unix::ffi::OsStrExt;
        let path = |bytes: &'static [u8]| Path::new(std::ffi::OsStr::from_bytes(bytes));
        assert_eq!(id_of_path(path(b"a\xFF")), "a%FF");
        assert_eq!(path_text(path(b"a\xFF")), "a\\xFF");
        assert_ne!(path_text(path(b"a\\xFF")), path_text(path(b"a\xFF")));
    }
}
