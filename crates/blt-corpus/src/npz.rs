//! `.npz` files: zip archives of `.npy` arrays.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use zip::{CompressionMethod, ZipArchive};

use crate::arrays::ArrayInfo;
use crate::error::ReadError;
use crate::npy;

/// Archives with more members are refused.
const MAX_MEMBERS: usize = 10_000;
/// Compressed members that claim to be larger than this many times the whole file are refused.
const MAX_RATIO: u64 = 100;

/// An archive whose members' headers have been checked.
#[derive(Debug)]
pub(crate) struct NpzFile {
    path: PathBuf,
    archive: Mutex<ZipArchive<BufReader<File>>>,
    arrays: BTreeMap<String, Member>,
}

#[derive(Debug)]
struct Member {
    info: ArrayInfo,
    index: usize,
    header_bytes: usize,
    n_bytes: u64,
}

impl NpzFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let open = |source| ReadError::Open { path: path.to_owned(), source };
        let invalid = |reason: String| ReadError::Npz { path: path.to_owned(), reason };
        let file = File::open(path).map_err(open)?;
        let file_bytes = file.metadata().map_err(open)?.len();
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| invalid(error.to_string()))?;
        if archive.len() > MAX_MEMBERS {
            return Err(invalid(format!("it has {} members", archive.len())));
        }
        let mut arrays = BTreeMap::new();
        for index in 0..archive.len() {
            let member = archive.by_index(index).map_err(|error| invalid(error.to_string()))?;
            let name = member.name().map_err(|error| invalid(error.to_string()))?.into_owned();
            let Some(name) = name.strip_suffix(".npy").map(str::to_owned) else { continue };
            let wrong = |reason: &str| invalid(format!("of `{}`, {reason}", name.escape_default()));
            let size = member.size();
            if !matches!(member.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
                return Err(wrong("the compression is unknown"));
            }
            if size > file_bytes && size / MAX_RATIO > file_bytes {
                return Err(wrong(&format!("the claimed size of {size} bytes is out of proportion")));
            }
            let mut prefix = Vec::new();
            let read = member.take(npy::MAX_PREFIX_BYTES as u64).read_to_end(&mut prefix);
            read.map_err(|error| wrong(&error.to_string()))?;
            let (info, header_bytes) = npy::parse(&prefix).map_err(|reason| wrong(&reason))?;
            let n_bytes = info.n_bytes().filter(|&n| n.checked_add(header_bytes as u64) == Some(size));
            let n_bytes = n_bytes.ok_or_else(|| wrong(&format!("{size} bytes do not hold {:?}", info.shape)))?;
            arrays.insert(name, Member { info, index, header_bytes, n_bytes });
        }
        Ok(Self { path: path.to_owned(), archive: Mutex::new(archive), arrays })
    }

    pub(crate) fn info(&self, name: &str) -> Option<&ArrayInfo> {
        self.arrays.get(name).map(|member| &member.info)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// Calls `visit` with the bytes of the array `name`, `piece_bytes` at a time. There is such an array.
    pub(crate) fn for_each_piece(
        &self,
        name: &str,
        piece_bytes: usize,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let invalid =
            |reason: String| ReadError::Npz { path: self.path.clone(), reason: format!("of `{name}`, {reason}") };
        let member = &self.arrays[name];
        let mut archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = archive.by_index(member.index).map_err(|error| invalid(error.to_string()))?;
        let mut piece = vec![0; member.header_bytes];
        reader.read_exact(&mut piece).map_err(|error| invalid(error.to_string()))?;
        let mut left = member.n_bytes;
        while left > 0 {
            piece.resize(piece_bytes.min(usize::try_from(left).unwrap_or(usize::MAX)), 0);
            reader.read_exact(&mut piece).map_err(|error| invalid(error.to_string()))?;
            visit(&piece)?;
            left -= piece.len() as u64;
        }
        // Reading the end makes the archive check the member's sum.
        match reader.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(invalid("there is more than the header says".to_owned())),
            Err(error) => Err(invalid(error.to_string())),
        }
    }
}
