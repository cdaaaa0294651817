//! How a hub names the content of a file: sha256 of a large one, git's sha1 of a small one.

use std::fmt;

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// Hash of a whole file as the hub lists it. Its text is the file's ETag and the name of its blob in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Digest {
    /// Of a file in large file storage: sha256 of its bytes.
    Sha256([u8; 32]),
    /// Of a file in git itself: sha1 of `blob`, its length and its bytes.
    GitSha1([u8; 20]),
}

impl Digest {
    /// From 64 or 40 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
            let digit = |byte: u8| match byte {
                b'0'..=b'9' => Some(byte - b'0'),
                b'a'..=b'f' => Some(byte - b'a' + 10),
                _ => None,
            };
            let mut bytes = [0; N];
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            if pairs.len() != N || !rest.is_empty() {
                return None;
            }
            for (byte, pair) in bytes.iter_mut().zip(pairs) {
                *byte = digit(pair[0])? << 4 | digit(pair[1])?;
            }
            Some(bytes)
        }
        bytes(text).map(Self::Sha256).or_else(|| bytes(text).map(Self::GitSha1))
    }
}

/// Hexadecimal digits, lower case.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Sha256(bytes) => bytes,
            Self::GitSha1(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Computes a digest of the same kind as an expected one, piece by piece.
pub(crate) enum Hasher {
    Sha256(Sha256),
    GitSha1(Sha1),
}

impl Hasher {
    /// For a file of `size` bytes whose digest should be `expected`.
    pub(crate) fn new(expected: &Digest, size: u64) -> Self {
        match expected {
            Digest::Sha256(_) => Self::Sha256(Sha256::new()),
            Digest::GitSha1(_) => Self::GitSha1(Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitSha1(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
            Self::GitSha1(hasher) => Digest::GitSha1(hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `git hash-object` and `sha256sum` of an empty file and of "hello\n".
    #[test]
    fn digests_are_those_of_git_and_of_sha256() {
        for (bytes, expected) in [
            (&b""[..], "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
            (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
            (b"hello\n", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"),
        ] {
            let expected = Digest::from_hex(expected).unwrap();
            let mut hasher = Hasher::new(&expected, bytes.len() as u64);
            bytes.chunks(2).for_each(|piece| hasher.update(piece));
            assert_eq!(hasher.finish(), expected);
        }
    }

    #[test]
    fn only_whole_lower_case_digests_are_read() {
        let text = "ce013625030ba8dba906f756967f9e9ca394464a";
        assert_eq!(Digest::from_hex(text).unwrap().to_string(), text);
        for wrong in ["", "ce", &text[1..], &text.to_uppercase(), &format!("{text}0"), "../../etc/passwd"] {
            assert_eq!(Digest::from_hex(wrong), None, "{wrong}");
        }
    }
}
