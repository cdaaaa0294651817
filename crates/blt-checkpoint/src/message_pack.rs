//! MessagePack, as far as records use it. Source: the MessagePack specification, `msgpack/msgpack`, `spec.md`.

/// Most values of a file. A record of the largest model has some thousands.
const MAX_VALUES: usize = 1_000_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 32;

/// A value, its bytes left where they are.
#[derive(Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// A number without fraction, not below zero.
    Unsigned(u64),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Values in order.
    Array(Vec<Value<'a>>),
    /// Values by name, in the order of the file.
    Map(Vec<(&'a str, Value<'a>)>),
    /// Anything else: nothing, truth values, fractions, numbers below zero, extensions.
    Other,
}

impl<'a> Value<'a> {
    /// The value that is the whole of `bytes`; else what is wrong with them.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let mut reader = Reader { bytes, n_values: 0 };
        let value = reader.value(0)?;
        match reader.bytes.len() {
            0 => Ok(value),
            n => Err(format!("{n} bytes follow its end")),
        }
    }

    /// The value called `name` of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(known, _)| *known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'a> {
    /// What is still to be read.
    bytes: &'a [u8],
    n_values: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or("it is cut short")?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A number of `n` bytes, the first the highest.
    fn number(&mut self, n: usize) -> Result<u64, String> {
        Ok(self.take(n)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// The same, for a length.
    fn length(&mut self, n: usize) -> Result<usize, String> {
        usize::try_from(self.number(n)?).map_err(|_| "it is cut short".to_owned())
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, String> {
        self.n_values += 1;
        if depth > MAX_DEPTH || self.n_values > MAX_VALUES {
            return Err("it is nested too deeply, or has too many values".to_owned());
        }
        match self.number(1)? as u8 {
            small @ 0x00..=0x7f => Ok(Value::Unsigned(small.into())),
            head @ 0x80..=0x8f => self.map(usize::from(head & 0x0f), depth),
            head @ 0x90..=0x9f => self.array(usize::from(head & 0x0f), depth),
            head @ 0xa0..=0xbf => self.text(usize::from(head & 0x1f)),
            0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => Ok(Value::Other),
            0xc1 => Err("it holds a byte that means nothing".to_owned()),
            head @ 0xc4..=0xc6 => {
                let n = self.length(1 << (head - 0xc4))?;
                self.take(n).map(Value::Bytes)
            }
            head @ 0xc7..=0xc9 => {
                let n = self.length(1 << (head - 0xc7))?;
                self.skip(n.saturating_add(1))
            }
            0xca => self.skip(4),
            0xcb => self.skip(8),
            head @ 0xcc..=0xcf => self.number(1 << (head - 0xcc)).map(Value::Unsigned),
            head @ 0xd0..=0xd3 => self.skip(1 << (head - 0xd0)),
            head @ 0xd4..=0xd8 => self.skip((1 << (head - 0xd4)) + 1),
            head @ 0xd9..=0xdb => {
                let n = self.length(1 << (head - 0xd9))?;
                self.text(n)
            }
            head @ 0xdc..=0xdd => {
                let n = self.length(2 << (head - 0xdc))?;
                self.array(n, depth)
            }
            head @ 0xde..=0xdf => {
                let n = self.length(2 << (head - 0xde))?;
                self.map(n, depth)
            }
        }
    }

    fn skip(&mut self, n: usize) -> Result<Value<'a>, String> {
        self.take(n).map(|_| Value::Other)
    }

    fn text(&mut self, n: usize) -> Result<Value<'a>, String> {
        std::str::from_utf8(self.take(n)?).map(Value::Text).map_err(|_| "it holds a text that is none".to_owned())
    }

    /// Room is made as values come, never for as many as are claimed.
    fn array(&mut self, n: usize, depth: usize) -> Result<Value<'a>, String> {
        (0..n).map(|_| self.value(depth + 1)).collect::<Result<_, _>>().map(Value::Array)
    }

    fn map(&mut self, n: usize, depth: usize) -> Result<Value<'a>, String> {
        let entry = |_| {
            let name = self.value(depth + 1)?.text().ok_or("it holds a map whose keys are no names")?;
            Ok((name, self.value(depth + 1)?))
        };
        (0..n).map(entry).collect::<Result<_, String>>().map(Value::Map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let bytes = [
            &[0x87, 0xa1, b'u', 0x05, 0xa1, b'v', 0xcd, 0x01, 0x00, 0xa1, b'b', 0xc4, 2, 9, 8, 0xd9, 1, b'a'][..],
            &[0xdc, 0, 4, 0xc0, 0xe0, 0xca, 0, 0, 0, 0, 0xd4, 1, 2, 0xa1, b's', 0xda, 0, 1, b't', 0xa1, b'c', 0xc3],
            &[0xa1, b'd', 0xcf, 0, 0, 0, 1, 0, 0, 0, 0],
        ]
        .concat();
        let value = Value::parse(&bytes).expect("valid");
        assert_eq!(value.get("u"), Some(&Value::Unsigned(5)));
        assert_eq!(value.get("v"), Some(&Value::Unsigned(256)));
        assert_eq!(value.get("b"), Some(&Value::Bytes(&[9, 8])));
        let others = [Value::Other, Value::Other, Value::Other, Value::Other];
        assert_eq!(value.get("a"), Some(&Value::Array(others.into())));
        assert_eq!(value.get("s").and_then(Value::text), Some("t"));
        assert_eq!(value.get("d"), Some(&Value::Unsigned(1 << 32)));
        assert_eq!(value.get("e"), None);
    }

    #[test]
    fn lies_are_refused_without_making_room_for_them() {
        let nested = vec![0x91; 1000];
        let many = [&[0xdd, 0, 0x20, 0, 0][..], &vec![0xc0; 0x20_0000]].concat();
        for (bytes, reason) in [
            (&[][..], "cut short"),
            (&[0xdd, 0xff, 0xff, 0xff, 0xff], "cut short"),
            (&[0xdf, 0xff, 0xff, 0xff, 0xff, 0xa0], "cut short"),
            (&[0xc6, 0xff, 0xff, 0xff, 0xff, 1], "cut short"),
            (&[0xdb, 0, 0, 0, 9, b'x'], "cut short"),
            (&[0xa1, 0xff], "no"),
            (&[0x81, 0x01, 0x01], "no names"),
            (&[0xc1], "means nothing"),
            (&[0x01, 0x01], "follow"),
            (&nested, "nested"),
            (&many, "too many"),
        ] {
            let error = Value::parse(bytes).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
