//! Members of tape archives: one pass for all that are wanted, and a note of what lies where for the next time.

use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AssetError, AssetLimits, Cache, Matches, Reference, Wanted};
use crate::blocks::{BlockOptions, Blocks};
use crate::format::Packing;
use crate::read_at::ReadAt;
use crate::table::unpacked;
use crate::tape::{Member, Tape};

/// Most bytes of an index in memory. An archive with more and longer names is passed through anew instead.
const MAX_INDEX_BYTES: usize = 256 << 20;

/// What an archive holds.
#[derive(Default, Serialize, Deserialize)]
struct Index {
    members: Vec<IndexedMember>,
}

#[derive(Serialize, Deserialize)]
struct IndexedMember {
    name: String,
    offset: u64,
    n_bytes: u64,
    /// Known for members that were taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// Takes the wanted members out of `file`.
pub(super) fn search(
    file: &Arc<dyn ReadAt>,
    path: &str,
    wanted: &Wanted,
    cache: Cache<'_>,
    matches: &mut Matches,
) -> Result<(), AssetError> {
    let Cache { store, limits, .. } = cache;
    let mut start = vec![0; file.n_bytes().min(512) as usize];
    file.read_at(0, &mut start).map_err(AssetError::Fetch)?;
    let packing = Packing::of_bytes(&start);
    if packing == Packing::Plain && start.get(257..262) != Some(b"ustar") {
        return Err(AssetError::Archive(format!("`{path}` is neither zip nor tar")));
    }
    let key = format!("archive\0{path}\0{}", file.identity());
    let known = store.read_index(&key).and_then(|index| serde_json::from_slice::<Index>(&index).ok());
    let blocks = Blocks::new(Arc::clone(file), BlockOptions::default());
    if let Some(index) = known {
        let mut is_needed = false;
        for member in &index.members {
            let references = wanted.answered_by(&member.name);
            if references.is_empty() {
                continue;
            }
            if is_too_large(&member.name, member.n_bytes, &references, limits, matches) {
                continue;
            }
            let kept = member.sha256.as_ref().and_then(|sha256| store.has(sha256, member.n_bytes));
            let asset = match kept {
                Some(asset) => asset,
                None if packing == Packing::Plain => {
                    let end = member.offset.saturating_add(member.n_bytes);
                    cache.add(&mut blocks.reader(member.offset, end))?
                }
                None => {
                    is_needed = true;
                    continue;
                }
            };
            matches.offer(references, &member.name, &asset);
        }
        if !is_needed {
            return Ok(());
        }
    }
    let stream: Box<dyn Read + Send> = Box::new(blocks.reader(0, u64::MAX));
    match pass(unpacked(stream, packing, limits.max_ratio), wanted, cache, matches)? {
        Some(index) => store.write_index(&key, &serde_json::to_vec(&index).unwrap_or_default()),
        None => Ok(()),
    }
}

/// Refuses a member that is too large; it says nothing about the others.
fn is_too_large(
    member: &str,
    n_bytes: u64,
    references: &[Reference],
    limits: &AssetLimits,
    matches: &mut Matches,
) -> bool {
    let is_too_large = n_bytes > limits.max_bytes;
    if is_too_large {
        let error = AssetError::Limit { what: "bytes of one asset", limit: limits.max_bytes };
        matches.refuse(references, member, &error.to_string());
    }
    is_too_large
}

/// Reads all of an archive. Its index, unless that has no end.
fn pass(
    stream: Box<dyn Read + Send>,
    wanted: &Wanted,
    cache: Cache<'_>,
    matches: &mut Matches,
) -> Result<Option<Index>, AssetError> {
    let limits = cache.limits;
    let mut tape = Tape::new(stream);
    let (mut index, mut n_index_bytes) = (Some(Index::default()), 0);
    let (mut n_members, mut n_bytes) = (0, 0_u64);
    while let Some(member) = tape.next().map_err(|error| AssetError::Archive(error.to_string()))? {
        cache.check_cancelled()?;
        n_members += 1;
        if n_members > limits.max_members {
            return Err(AssetError::Limit { what: "members of an archive", limit: limits.max_members });
        }
        let references = wanted.answered_by(&member.name);
        if !member.is_file {
            if !references.is_empty() {
                matches.refuse(&references, &member.name, "it is a link, a device or a folder");
            }
            continue;
        }
        let mut sha256 = None;
        let is_wanted =
            !references.is_empty() && !is_too_large(&member.name, member.n_bytes, &references, limits, matches);
        if is_wanted {
            n_bytes = n_bytes.saturating_add(member.n_bytes);
            if n_bytes > limits.max_archive_bytes {
                return Err(AssetError::Limit { what: "bytes out of an archive", limit: limits.max_archive_bytes });
            }
            let asset = cache.add(&mut tape.data(&member))?;
            matches.offer(references, &member.name, &asset);
            sha256 = Some(asset.sha256);
        }
        n_index_bytes += size_of::<IndexedMember>() + member.name.len();
        index = index.filter(|_| n_index_bytes <= MAX_INDEX_BYTES);
        if let Some(index) = &mut index {
            let Member { name, offset, n_bytes, .. } = member;
            index.members.push(IndexedMember { name, offset, n_bytes, sha256 });
        }
    }
    Ok(index)
}
