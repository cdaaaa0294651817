//! 7z archives (7-Zip, `7zFormat.txt`).

use blt_core::{DecodeError, Region, SourceReader};
use sevenz_rust2::{ArchiveReader, Error, Password};

use crate::{Members, content};

/// Bytes of the signature header.
const HEADER_BYTES: u64 = 32;

pub(crate) fn read(source: &mut dyn SourceReader, members: &mut Members<'_>) -> Result<(), DecodeError> {
    let mut reader = ArchiveReader::new(source, Password::empty()).map_err(refused)?;
    reader.set_thread_count(1);
    members.regions.push(Region::new("header", 0, HEADER_BYTES));
    let mut start = HEADER_BYTES.saturating_add(reader.archive().pack_pos());
    for &size in reader.archive().pack_sizes() {
        members.regions.push(Region::new("packed stream", start, size));
        start = start.saturating_add(size);
    }
    members.regions.push(Region::new("index", start, members.n_bytes.saturating_sub(start)));
    if !members.wanted {
        return Ok(());
    }
    let mut failure = None;
    let read = reader.for_each_entries(|entry, content| {
        if failure.is_some() {
            return Ok(false); // the library goes on with the next block
        }
        if entry.is_directory() || entry.is_anti_item() {
            return Ok(true);
        }
        let added = members.count().and_then(|()| members.add(entry.name(), content, None));
        failure = added.err();
        Ok(failure.is_none())
    });
    match (failure, read) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) if members.files.is_empty() => Err(refused(error)),
        (None, Err(error)) => {
            members.problems.push(format!("after {} members: {error}", members.n_members));
            Ok(())
        }
        (None, Ok(())) => Ok(()),
    }
}

fn refused(error: Error) -> DecodeError {
    match error {
        Error::PasswordRequired | Error::MaybeBadPassword(_) => content("it is encrypted"),
        error => content(error),
    }
}
