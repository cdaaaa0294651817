//! Members of zip archives, read by ranges: the directory at the end, then the members that are wanted.
//!
//! Source: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use flate2::Crc;

use super::store::Asset;
use super::{AssetError, AssetLimits, Cache, Matches, Wanted};
use crate::blocks::{BlockOptions, Blocks};
use crate::read_at::ReadAt;
use crate::tape::MAX_NAME_BYTES;

/// A directory is no longer than this.
const MAX_DIRECTORY_BYTES: u64 = 1 << 30;

/// The end record, and the longest comment behind it.
const END_BYTES: u64 = 22;
const MAX_COMMENT_BYTES: u64 = 65_535;

/// So many bytes may come out of a member before its ratio counts.
const FREE_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    method: u16,
    flags: u16,
    crc: u32,
    n_packed: u64,
    n_bytes: u64,
    header: u64,
    /// No folder, link or device.
    is_file: bool,
}

/// Takes the wanted members out of `file`.
pub(super) fn search(
    file: &Arc<dyn ReadAt>,
    wanted: &Wanted,
    cache: Cache<'_>,
    matches: &mut Matches,
) -> Result<(), AssetError> {
    let limits = cache.limits;
    let blocks = Blocks::new(Arc::clone(file), BlockOptions::scattered());
    let mut n_bytes = 0_u64;
    for entry in entries(&blocks, limits)? {
        let references = wanted.answered_by(&entry.name);
        if references.is_empty() {
            continue;
        }
        if !entry.is_file {
            matches.refuse(&references, &entry.name, "it is a link, a device or in another volume");
            continue;
        }
        n_bytes = n_bytes.saturating_add(entry.n_bytes);
        if n_bytes > limits.max_archive_bytes {
            return Err(AssetError::Limit { what: "bytes out of an archive", limit: limits.max_archive_bytes });
        }
        // One damaged member says nothing about the others; it stays wanted, and so is told as missing.
        match extract(&blocks, &entry, cache) {
            Ok(asset) => matches.offer(references, &entry.name, &asset),
            Err(error) if error.is_of_all() => return Err(error),
            Err(error) => matches.refuse(&references, &entry.name, &error.chain()),
        }
    }
    Ok(())
}

/// The directory, checked: no entry reaches out of the archive or into another, which is how small archives become huge.
fn entries(blocks: &Blocks, limits: &AssetLimits) -> Result<Vec<Entry>, AssetError> {
    let (start, n_directory, n_entries) = end_record(blocks)?;
    if n_entries > limits.max_members {
        return Err(AssetError::Limit { what: "members of an archive", limit: limits.max_members });
    }
    if n_directory > MAX_DIRECTORY_BYTES {
        return Err(AssetError::Limit { what: "bytes of a zip's directory", limit: MAX_DIRECTORY_BYTES });
    }
    let directory = blocks.bytes(start, n_directory as usize).map_err(AssetError::Fetch)?;
    let mut fields = Fields(&directory);
    let mut entries = Vec::new();
    for _ in 0..n_entries {
        entries.push(entry(&mut fields)?);
    }
    let mut extents: Vec<(u64, u64)> = Vec::with_capacity(entries.len());
    for entry in &entries {
        // Its own header has the name at least, and may have more.
        let n = (30 + entry.name.len() as u64).saturating_add(entry.n_packed);
        extents.push((entry.header, entry.header.saturating_add(n)));
    }
    extents.sort_unstable();
    let ends = extents.iter().skip(1).map(|extent| extent.0).chain([start]);
    if extents.iter().zip(ends).any(|(extent, next)| extent.1 > next) {
        return Err(bad("members overlap"));
    }
    Ok(entries)
}

/// Where the directory begins, how long it is, and how many entries it has.
fn end_record(blocks: &Blocks) -> Result<(u64, u64, u64), AssetError> {
    let n = blocks.n_bytes().min(END_BYTES + MAX_COMMENT_BYTES);
    let tail_start = blocks.n_bytes() - n;
    let tail = blocks.bytes(tail_start, n as usize).map_err(AssetError::Fetch)?;
    let is_end = |at: &usize| {
        let comment = tail.get(at + 20..at + 22).map(|n| usize::from(u16::from_le_bytes([n[0], n[1]])));
        tail[*at..].starts_with(b"PK\x05\x06") && comment.is_some_and(|n| at + 22 + n <= tail.len())
    };
    let at = (0..tail.len()).rev().find(is_end).ok_or_else(|| bad("it has no directory"))?;
    let mut fields = Fields(&tail[at + 4..]);
    let (disk, directory_disk) = (fields.u16()?, fields.u16()?);
    let (_, n_entries) = (fields.u16()?, u64::from(fields.u16()?));
    let (n_directory, start) = (u64::from(fields.u32()?), u64::from(fields.u32()?));
    let end = tail_start + at as u64;
    let (start, n_directory, n_entries, before) =
        if n_entries == 0xffff || n_directory == 0xffff_ffff || start == 0xffff_ffff {
            zip64_end(blocks, end)?
        } else if disk != 0 || directory_disk != 0 {
            return Err(bad("it is one of several volumes"));
        } else {
            (start, n_directory, n_entries, end)
        };
    let is_inside = start.checked_add(n_directory).is_some_and(|end| end <= before);
    if !is_inside || n_entries > n_directory / 46 {
        return Err(bad("its directory is impossible"));
    }
    Ok((start, n_directory, n_entries))
}

fn zip64_end(blocks: &Blocks, end: u64) -> Result<(u64, u64, u64, u64), AssetError> {
    let read = |start: u64, n: usize| blocks.bytes(start, n).map_err(AssetError::Fetch);
    let locator = read(end.checked_sub(20).ok_or_else(|| bad("it has no directory"))?, 20)?;
    let mut fields = Fields(&locator);
    if fields.u32()? != 0x0706_4b50 {
        return Err(bad("it has no directory"));
    }
    fields.skip(4)?;
    let at = fields.u64()?;
    let record = read(at, 56)?;
    let mut fields = Fields(&record);
    if fields.u32()? != 0x0606_4b50 {
        return Err(bad("it has no directory"));
    }
    fields.skip(28)?;
    let n_entries = fields.u64()?;
    let (n_directory, start) = (fields.u64()?, fields.u64()?);
    Ok((start, n_directory, n_entries, at))
}

fn entry(fields: &mut Fields<'_>) -> Result<Entry, AssetError> {
    if fields.u32()? != 0x0201_4b50 {
        return Err(bad("its directory is damaged"));
    }
    let made_by = fields.u16()?;
    fields.skip(2)?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.skip(4)?;
    let crc = fields.u32()?;
    let (packed, unpacked) = (fields.u32()?, fields.u32()?);
    let (n_name, n_extra, n_comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let disk = fields.u16()?;
    fields.skip(2)?;
    let (attributes, header) = (fields.u32()?, fields.u32()?);
    let name = fields.take(usize::from(n_name))?;
    if n_name as u64 > MAX_NAME_BYTES {
        return Err(AssetError::Limit { what: "bytes of a member's name", limit: MAX_NAME_BYTES });
    }
    let mut extra = Fields(fields.take(usize::from(n_extra))?);
    fields.skip(usize::from(n_comment))?;
    // Sizes that do not fit are in an extra field, in this order, each only where its place says so.
    let mut large = Fields(&[]);
    while extra.0.len() >= 4 {
        let (id, n) = (extra.u16()?, usize::from(extra.u16()?));
        let Ok(data) = extra.take(n) else { break };
        if id == 1 {
            large = Fields(data);
        }
    }
    let mut size = |small: u32| if small == u32::MAX { large.u64() } else { Ok(u64::from(small)) };
    let (n_bytes, n_packed) = (size(unpacked)?, size(packed)?);
    let header = size(header)?;
    // The upper half holds the mode where Unix made it: 0 and regular files are files.
    let kind = if made_by >> 8 == 3 { (attributes >> 28) & 0xf } else { 0 };
    let name = std::str::from_utf8(name).map(str::to_owned).unwrap_or_default(); // old code pages: nobody's path
    let is_file = matches!(kind, 0 | 8) && !name.is_empty() && !name.ends_with('/') && disk == 0;
    Ok(Entry { name, method, flags, crc, n_packed, n_bytes, header, is_file })
}

fn extract(blocks: &Blocks, entry: &Entry, cache: Cache<'_>) -> Result<Asset, AssetError> {
    let limits = cache.limits;
    if entry.flags & 0x2041 != 0 {
        return Err(bad("the member is encrypted"));
    }
    if entry.n_bytes > limits.max_bytes {
        return Err(AssetError::Limit { what: "bytes of one asset", limit: limits.max_bytes });
    }
    if entry.n_bytes > FREE_BYTES && entry.n_bytes / entry.n_packed.max(1) > limits.max_ratio {
        return Err(AssetError::Limit { what: "bytes that one packed byte becomes", limit: limits.max_ratio });
    }
    let local = blocks.bytes(entry.header, 30).map_err(AssetError::Fetch)?;
    let mut fields = Fields(&local);
    if fields.u32()? != 0x0403_4b50 {
        return Err(bad("a member does not begin where the directory says"));
    }
    fields.skip(22)?;
    let n_head = 30 + u64::from(fields.u16()?) + u64::from(fields.u16()?);
    let start = entry.header + n_head;
    let end = start.checked_add(entry.n_packed).filter(|&end| end <= blocks.n_bytes());
    let packed = blocks.reader(start, end.ok_or_else(|| bad("a member reaches out of the archive"))?);
    let unpacked: Box<dyn Read> = match entry.method {
        0 => Box::new(packed),
        8 => Box::new(flate2::bufread::DeflateDecoder::new(BufReader::new(packed))),
        93 => Box::new(zstd::stream::read::Decoder::new(packed).map_err(AssetError::Fetch)?),
        method => return Err(bad(&format!("the member is packed by method {method}"))),
    };
    let mut checked = Checked { inner: unpacked, crc: Crc::new(), left: entry.n_bytes, expected: entry.crc };
    cache.add(&mut checked)
}

/// Fails at the end when there were other bytes than the directory says.
struct Checked {
    inner: Box<dyn Read>,
    crc: Crc,
    left: u64,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why.to_owned()));
        let Some(left) = self.left.checked_sub(n as u64) else {
            return wrong("the member has more bytes than the directory says");
        };
        self.left = left;
        self.crc.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() {
            if left > 0 {
                return wrong("the member has fewer bytes than the directory says");
            }
            if self.crc.sum() != self.expected {
                return wrong("the member's checksum is wrong");
            }
        }
        Ok(n)
    }
}

/// Numbers of a record, one behind the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], AssetError> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(|| bad("its directory is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, n: usize) -> Result<(), AssetError> {
        self.take(n).map(drop)
    }

    fn u16(&mut self) -> Result<u16, AssetError> {
        Ok(u16::from_le_bytes(self.take(2)?.try_into().unwrap_or_default()))
    }

    fn u32(&mut self) -> Result<u32, AssetError> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default()))
    }

    fn u64(&mut self) -> Result<u64, AssetError> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default()))
    }
}

fn bad(why: &str) -> AssetError {
    AssetError::Archive(why.to_owned())
}
