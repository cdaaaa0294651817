//! Reading strings and tables that a file points at.

use blt_core::Region;

/// Symbols without a size end where the next one begins, the last one where its section does.
pub(crate) fn symbols_without_sizes(mut symbols: Vec<(u64, Box<str>)>, section_end: u64) -> Vec<Region> {
    symbols.sort();
    symbols.dedup_by_key(|(start, _)| *start);
    let ends: Vec<u64> = symbols.iter().skip(1).map(|(start, _)| *start).chain([section_end]).collect();
    let region = |((start, name), end): ((u64, Box<str>), u64)| Region {
        label: "symbol",
        name: Some(name),
        start,
        end: end.max(start),
        children: Vec::new(),
    };
    symbols.into_iter().zip(ends).map(region).collect()
}

/// The string that begins at `offset` and ends at the first zero byte, if it is UTF-8.
pub(crate) fn string_at(table: &[u8], offset: u64) -> Option<&str> {
    let rest = table.get(usize::try_from(offset).ok()?..)?;
    let end = rest.iter().position(|&byte| byte == 0)?;
    std::str::from_utf8(&rest[..end]).ok()
}

/// `size` bytes at `offset`, if the file has them.
pub(crate) fn bytes_at(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
}
