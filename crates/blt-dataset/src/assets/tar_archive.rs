//! Members of tape archives: one pass for all that are wanted, and a note of what lies where for the next time.

use std::io::Read;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::store::Store;
use super::{AssetError, AssetLimits, Matches, Wanted};
use crate::blocks::{BlockOptions, Blocks};
use crate::format::Packing;
use crate::read_at::ReadAt;
use crate::table::unpacked;
use crate::tape::Tape;

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
    store: &Store,
    limits: &AssetLimits,
    matches: &mut Matches,
) -> Result<(), AssetError> {
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
            let kept = member.sha256.as_ref().and_then(|sha256| store.has(sha256, member.n_bytes));
            let asset = match kept {
                Some(asset) => asset,
                None if packing == Packing::Plain => {
                    let end = member.offset.saturating_add(member.n_bytes);
                    store.add(&mut blocks.reader(member.offset, end), limits.max_bytes)?
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
    let index = pass(unpacked(stream, packing, limits.max_ratio), wanted, store, limits, matches)?;
    store.write_index(&key, &serde_json::to_vec(&index).unwrap_or_default())
}

fn pass(
    stream: Box<dyn Read + Send>,
    wanted: &Wanted,
    store: &Store,
    limits: &AssetLimits,
    matches: &mut Matches,
) -> Result<Index, AssetError> {
    let mut tape = Tape::new(stream);
    let mut index = Index::default();
    let (mut n_members, mut n_bytes) = (0, 0_u64);
    while let Some(member) = tape.next().map_err(|error| AssetError::Archive(error.to_string()))? {
        n_members += 1;
        if n_members > limits.max_members {
            return Err(AssetError::Limit { what: "members of an archive", limit: limits.max_members });
        }
        let references = wanted.answered_by(&member.name);
        if !member.is_file {
            if !references.is_empty() {
                matches.refuse(&member.name, "it is a link, a device or a folder");
            }
            continue;
        }
        let mut sha256 = None;
        if !references.is_empty() {
            n_bytes = n_bytes.saturating_add(member.n_bytes);
            if n_bytes > limits.max_archive_bytes {
                return Err(AssetError::Limit { what: "bytes out of an archive", limit: limits.max_archive_bytes });
            }
            let asset = store.add(&mut tape.data(&member), limits.max_bytes)?;
            matches.offer(references, &member.name, &asset);
            sha256 = Some(asset.sha256);
        }
        index.members.push(IndexedMember { name: member.name, offset: member.offset, n_bytes: member.n_bytes, sha256 });
    }
    Ok(index)
}
