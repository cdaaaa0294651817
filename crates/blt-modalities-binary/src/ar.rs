//! `ar`, the archives of linkers; the objects in them keep their own sections.

use blt_core::Region;
use goblin::archive::Archive;

use crate::regions::bytes_at;

/// Bytes of a member's header.
const HEADER_BYTES: u64 = 60;

/// The signature, then header and content of each member, content with regions of its own.
pub(crate) fn regions(bytes: &[u8]) -> Result<Vec<Region>, String> {
    let archive = Archive::parse(bytes).map_err(|error| error.to_string())?;
    let mut regions = vec![Region::new("signature", 0, 8)];
    for member in (0..archive.len()).filter_map(|index| archive.get_at(index)) {
        let (start, size) = (member.offset, member.size() as u64);
        let name = member.extended_name();
        regions.push(Region::new("header", member.header_offset, HEADER_BYTES).named(name));
        let mut region = Region::new("member", start, size).named(name);
        let content = bytes_at(bytes, start, size).filter(|content| !content.starts_with(b"!<arch>"));
        if let Some(Ok(inner)) = content.and_then(crate::regions_of) {
            region.children = inner.into_iter().map(|inner| inner.moved(start)).collect();
        }
        regions.push(region);
    }
    Ok(regions)
}
