//! WebAssembly modules (WebAssembly Core Specification 2.0, section 5.5).

use blt_core::Region;

/// Names of the sections by id.
const NAMES: [&str; 13] = [
    "custom",
    "type",
    "import",
    "function",
    "table",
    "memory",
    "global",
    "export",
    "start",
    "element",
    "code",
    "data",
    "data count",
];

/// The header and the sections.
pub(crate) fn regions(bytes: &[u8]) -> Result<Vec<Region>, String> {
    if bytes.len() < 8 {
        return Err("the header is cut short".to_owned());
    }
    let mut regions = vec![Region::new("header", 0, 8)];
    let mut position = 8;
    while let Some(&id) = bytes.get(position) {
        let Some((size, n_bytes)) = leb128(&bytes[position + 1..]) else {
            return Err(format!("the size of the section at byte {position} is malformed"));
        };
        let content = position + 1 + n_bytes;
        let name = NAMES.get(usize::from(id)).copied().unwrap_or("unknown");
        let name = match custom_name(&bytes[content..]).filter(|_| id == 0) {
            Some(custom) => format!("{name} {custom}"),
            None => name.to_owned(),
        };
        let whole = (1 + n_bytes as u64).saturating_add(u64::from(size));
        regions.push(Region::new("section", position as u64, whole).named(&name));
        position = content.saturating_add(size as usize);
    }
    Ok(regions)
}

/// An unsigned number of at most 32 bits and its length in bytes.
fn leb128(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, i + 1));
        }
    }
    None
}

fn custom_name(content: &[u8]) -> Option<&str> {
    let (length, n_bytes) = leb128(content)?;
    std::str::from_utf8(content.get(n_bytes..n_bytes.checked_add(length as usize)?)?).ok()
}
