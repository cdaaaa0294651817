//! Headers of `.npy` files, version 1.0 (NEP 1).

use crate::collector::Element;

/// What stands before the elements of an array, 64 bytes or a multiple of them. NumPy has no bfloat16: its bits are told as
/// unsigned 16-bit integers.
pub(crate) fn npy_header(element: Element, shape: &[u64]) -> Vec<u8> {
    let dtype = match element {
        Element::I64 => "<i8",
        Element::F32 => "<f4",
        Element::I32 => "<i4",
        Element::Bf16 => "<u2",
        Element::F16 => "<f2",
        Element::I8 => "|i1",
        Element::U8 => "|u1",
    };
    let shape: String = shape.iter().map(|length| format!("{length},")).collect();
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = 10; // magic, version and length
    let padding = (before + header.len() + 1).next_multiple_of(64) - (before + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let length = u16::try_from(header.len()).expect("a few numbers take less than 64 KiB");
    [b"\x93NUMPY\x01\x00".as_slice(), &length.to_le_bytes(), header.as_bytes()].concat()
}
