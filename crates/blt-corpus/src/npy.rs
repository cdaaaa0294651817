//! The header of a `.npy` array: version 1.0, little endian, row-major.
//!
//! Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays".

use crate::arrays::{ArrayInfo, Dtype};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longer headers are refused: ours have less than 200 bytes.
const MAX_HEADER_BYTES: usize = 1 << 16;
/// Values start at a multiple of this.
const ALIGNMENT: usize = 64;

/// The bytes before the values of an array.
pub(crate) fn header(info: &ArrayInfo) -> Vec<u8> {
    let sizes: Vec<String> = info.shape.iter().map(u64::to_string).collect();
    let shape = match sizes.as_slice() {
        [one] => format!("({one},)"),
        sizes => format!("({})", sizes.join(", ")),
    };
    let descr = match info.dtype {
        Dtype::U8 => "|u1",
        Dtype::I8 => "|i1",
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
        Dtype::F16 => "<f2",
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        Dtype::Bf16 => unreachable!("NumPy has no such number type, and no array of ours that goes into one is of it"),
    };
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let before = MAGIC.len() + 4;
    let length = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - before;
    text.extend(std::iter::repeat_n(' ', length - 1 - text.len()));
    text.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

/// Reads a header from the front of `bytes`: the array, and how many bytes the header has. `Err` says what is wrong.
pub(crate) fn parse(bytes: &[u8]) -> Result<(ArrayInfo, usize), String> {
    if bytes.len() < 10 || &bytes[..6] != MAGIC {
        return Err("it is no NumPy array".to_owned());
    }
    let (length, before) = match bytes[6] {
        1 => (usize::from(u16::from_le_bytes([bytes[8], bytes[9]])), 10),
        2 | 3 if bytes.len() >= 12 => (u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize, 12),
        version => return Err(format!("its NumPy format version is {version}")),
    };
    if length > MAX_HEADER_BYTES {
        return Err(format!("its header claims {length} bytes"));
    }
    let text = bytes.get(before..before + length).ok_or("its header is cut short")?;
    let text = std::str::from_utf8(text).map_err(|_| "its header is no text")?;
    Ok((ArrayInfo { dtype: dtype(text)?, shape: shape(text)? }, before + length))
}

/// The longest prefix of a file that [`parse`] looks at.
pub(crate) const MAX_PREFIX_BYTES: usize = MAX_HEADER_BYTES + 12;

/// What stands after `'key':` in the dictionary.
fn value<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    let (_, after) = text.split_once(&format!("'{key}'")).ok_or_else(|| format!("its header has no `{key}`"))?;
    Ok(after.trim_start().strip_prefix(':').ok_or("its header is malformed")?.trim_start())
}

fn dtype(text: &str) -> Result<Dtype, String> {
    if !value(text, "fortran_order")?.starts_with("False") {
        return Err("it is stored column by column".to_owned());
    }
    let descr = value(text, "descr")?.strip_prefix('\'').and_then(|rest| rest.split_once('\''));
    let (descr, _) = descr.ok_or("its number type is no simple one")?;
    Ok(match descr {
        "|u1" | "|b1" => Dtype::U8,
        "|i1" => Dtype::I8,
        "<i4" => Dtype::I32,
        "<i8" => Dtype::I64,
        "<f2" => Dtype::F16,
        "<f4" => Dtype::F32,
        "<f8" => Dtype::F64,
        other => return Err(format!("its number type is `{}`", other.escape_default())),
    })
}

fn shape(text: &str) -> Result<Vec<u64>, String> {
    let inside = value(text, "shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')'));
    let (inside, _) = inside.ok_or("its shape is malformed")?;
    let sizes = inside.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes.map(|size| size.parse().map_err(|_| "its shape is malformed".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_back() {
        for (dtype, shape) in [
            (Dtype::F32, vec![3, 4]),
            (Dtype::F64, vec![0]),
            (Dtype::U8, vec![]),
            (Dtype::I32, vec![7]),
            (Dtype::I64, vec![1, 2, 3]),
            (Dtype::F16, vec![u64::MAX, 1]),
        ] {
            let info = ArrayInfo { dtype, shape };
            let bytes = header(&info);
            assert!(bytes.len().is_multiple_of(ALIGNMENT) && bytes.ends_with(b"\n"));
            assert_eq!(parse(&bytes), Ok((info, bytes.len())));
        }
    }

    #[test]
    fn what_numpy_writes_is_read() {
        // numpy.save of numpy.zeros((2, 3), "<f4"), version 2.1.
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        let header = format!("{text}{}\n", " ".repeat(117 - text.len()));
        let bytes = [b"\x93NUMPY\x01\x00".as_slice(), &118u16.to_le_bytes(), header.as_bytes()].concat();
        assert_eq!(parse(&bytes), Ok((ArrayInfo { dtype: Dtype::F32, shape: vec![2, 3] }, 128)));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let good = header(&ArrayInfo { dtype: Dtype::F32, shape: vec![2, 3] });
        let with = |from: &str, to: &str| {
            let text: Vec<u8> = good[10..].to_vec();
            let text = String::from_utf8(text).unwrap().replace(from, to);
            [&good[..8], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
        };
        for bytes in [
            good[..9].to_vec(),
            good[..50].to_vec(),
            with("False", "True"),
            with("<f4", "|O"),
            with("<f4", ">f4"),
            with("(2, 3)", "(2, -3)"),
            with("(2, 3)", "(99999999999999999999,)"),
            with("shape", "form"),
            [b"\x93NUMPY\x02\x00".as_slice(), &u32::MAX.to_le_bytes(), b"{}"].concat(),
            b"PK\x03\x04 not an array".to_vec(),
        ] {
            assert!(parse(&bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
