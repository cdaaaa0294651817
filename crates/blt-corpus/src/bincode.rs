//! The encoding that the original's readers expect of nodes and edges: bincode 2 in its standard configuration. Integers are of
//! variable length, floats little endian, strings and lists have their length before them, an option has a byte before it.
//!
//! Source: the bincode specification, version 2.

/// Bytes in the making.
#[derive(Debug, Default)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn integer(mut self, value: u64) -> Self {
        if value < 251 {
            self.0.push(value as u8);
        } else if let Ok(value) = u16::try_from(value) {
            self.0.push(251);
            self.0.extend(value.to_le_bytes());
        } else if let Ok(value) = u32::try_from(value) {
            self.0.push(252);
            self.0.extend(value.to_le_bytes());
        } else {
            self.0.push(253);
            self.0.extend(value.to_le_bytes());
        }
        self
    }

    pub(crate) fn float(mut self, value: f32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn string(self, value: &str) -> Self {
        let mut encoder = self.integer(value.len() as u64);
        encoder.0.extend(value.as_bytes());
        encoder
    }

    /// The byte before a value that may be missing.
    pub(crate) fn present(mut self, is_present: bool) -> Self {
        self.0.push(u8::from(is_present));
        self
    }

    pub(crate) fn integers(self, values: &[u64]) -> Self {
        let encoder = self.integer(values.len() as u64);
        values.iter().fold(encoder, |encoder, &value| encoder.integer(value))
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected bytes by the specification's own examples and by hand.
    #[test]
    fn values_are_encoded_as_specified() {
        let of = |value: u64| Encoder::default().integer(value).finish();
        assert_eq!(of(0), [0]);
        assert_eq!(of(250), [250]);
        assert_eq!(of(251), [251, 251, 0]);
        assert_eq!(of(0xFFFF), [251, 0xFF, 0xFF]);
        assert_eq!(of(0x1_0000), [252, 0, 0, 1, 0]);
        assert_eq!(of(1 << 32), [253, 0, 0, 0, 0, 1, 0, 0, 0]);
        let composed =
            Encoder::default().integer(1).string("ab").present(false).present(true).float(1.0).integers(&[3, 300]);
        assert_eq!(composed.finish(), [1, 2, b'a', b'b', 0, 1, 0, 0, 0x80, 0x3F, 2, 3, 251, 44, 1]);
    }
}
