//! Tar archives (POSIX.1-2017, pax interchange format, and GNU's).

use blt_core::{ByteRange, DecodeError, Region, SourceReader};
use tar::EntryType;

use crate::Members;

pub(crate) fn read(source: &mut dyn SourceReader, members: &mut Members<'_>) -> Result<(), DecodeError> {
    let mut archive = tar::Archive::new(source);
    for entry in archive.entries_with_seek()? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                members.problems.push(format!("after {} members: {error}", members.n_members));
                break;
            }
        };
        members.count()?;
        let name = entry.path_bytes();
        let name = std::str::from_utf8(&name).map_or_else(|_| name.escape_ascii().to_string(), str::to_owned);
        let (header, start) = (entry.raw_header_position(), entry.raw_file_position());
        members.regions.push(Region::new("header", header, start.saturating_sub(header)).named(&name));
        let kind = entry.header().entry_type();
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                let size = entry.size();
                members.regions.push(Region::new("member", start, size).named(&name));
                let end = start.saturating_add(size);
                if end > members.n_bytes {
                    let missing = end - members.n_bytes;
                    members.problems.push(format!("{name}: its last {missing} bytes are missing"));
                }
                members.add(&name, entry, Some(ByteRange::new(start, end)))?;
            }
            EntryType::GNUSparse => members.add(&name, entry, None)?,
            EntryType::Directory | EntryType::XGlobalHeader => {}
            _ => members.problems.push(format!("{name}: it is a link or a device, not a file")),
        }
    }
    Ok(())
}
