//! Zip archives (PKWARE, APPNOTE 6.3).

use blt_core::{ByteRange, DecodeError, Region, SourceReader};
use zip::CompressionMethod;
use zip::read::ZipArchive;

use crate::{Members, content};

pub(crate) fn read(source: &mut dyn SourceReader, members: &mut Members<'_>) -> Result<(), DecodeError> {
    let mut archive = ZipArchive::new(source).map_err(content)?;
    members.limits.check("files inside", archive.len() as u64, members.limits.max_members, "--max-members")?;
    for index in 0..archive.len() {
        members.count()?;
        // Raw first: what cannot be inflated has a place all the same.
        let (name, start, size, stored, is_file) = match archive.by_index_raw(index) {
            Ok(file) => {
                let name = name_of(file.name_raw());
                let start = file.data_start().unwrap_or(file.header_start());
                let size = file.compressed_size();
                let header = start.saturating_sub(file.header_start());
                members.regions.push(Region::new("local header", file.header_start(), header).named(&name));
                members.regions.push(Region::new("member", start, size).named(&name));
                if file.encrypted() {
                    members.problems.push(format!("{name}: it is encrypted"));
                    continue;
                }
                (name, start, size, file.compression() == CompressionMethod::Stored, !file.is_dir())
            }
            Err(error) => {
                members.problems.push(format!("member {}: {error}", index + 1));
                continue;
            }
        };
        if !is_file {
            continue;
        }
        match archive.by_index(index) {
            Ok(file) => {
                let place = stored.then(|| ByteRange::new(start, start.saturating_add(size)));
                members.add(&name, file, place)?;
            }
            Err(error) => members.problems.push(format!("{name}: {error}")),
        }
    }
    let directory = archive.central_directory_start();
    let rest = members.n_bytes.saturating_sub(directory);
    members.regions.push(Region::new("central directory", directory, rest));
    Ok(())
}

/// A member's name as it is, or with what is not UTF-8 escaped.
fn name_of(raw: &[u8]) -> String {
    std::str::from_utf8(raw).map_or_else(|_| raw.escape_ascii().to_string(), str::to_owned)
}
