//! Safetensors files as they are found: every number in them is checked before it is used.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::collector::Element;

/// No header of ours comes near this.
const MAX_HEADER_BYTES: u64 = 1 << 24;

/// An open file and where its tensors lie.
#[derive(Debug)]
pub(crate) struct SafetensorsReader {
    file: File,
    pub(crate) strings: BTreeMap<String, String>,
    pub(crate) tensors: BTreeMap<String, FoundTensor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundTensor {
    pub(crate) element: Element,
    pub(crate) shape: Vec<u64>,
    start: u64,
    n_bytes: u64,
}

impl FoundTensor {
    /// Bytes of a row: of all but the first dimension.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.shape[1..].iter().product::<u64>() * self.element.n_bytes()
    }
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl SafetensorsReader {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER_BYTES.min(file_bytes.saturating_sub(8)) {
            return Err(invalid(path, "its header is longer than it"));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header)?;
        let header: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&header).map_err(|_| invalid(path, "its header is no JSON"))?;
        let (mut strings, mut tensors) = (BTreeMap::new(), BTreeMap::new());
        for (name, entry) in header {
            if name == "__metadata__" {
                strings = serde_json::from_value(entry).map_err(|_| invalid(path, "its metadata are no strings"))?;
                continue;
            }
            let entry: Entry = serde_json::from_value(entry).map_err(|_| invalid(path, "a tensor is not described"))?;
            let element = Element::named(&entry.dtype).ok_or_else(|| invalid(path, "a number type is unknown"))?;
            let expected =
                entry.shape.iter().try_fold(element.n_bytes(), |product, &length| product.checked_mul(length));
            let [start, end] = entry.data_offsets;
            let lies_inside = start <= end && end <= file_bytes - 8 - header_bytes;
            if !lies_inside || entry.shape.is_empty() || expected != Some(end - start) {
                return Err(invalid(path, "a tensor does not fit its place"));
            }
            let start = 8 + header_bytes + start;
            tensors
                .insert(name, FoundTensor { element, shape: entry.shape, start, n_bytes: end - entry.data_offsets[0] });
        }
        Ok(Self { file, strings, tensors })
    }

    /// A tensor's bytes from row `row` to its end.
    pub(crate) fn rows(&self, name: &str, row: u64) -> io::Result<io::Take<&File>> {
        let tensor = self.tensors.get(name).ok_or_else(|| io::Error::other(format!("no tensor `{name}`")))?;
        let skipped = row.saturating_mul(tensor.row_bytes()).min(tensor.n_bytes);
        let mut file = &self.file;
        file.seek(SeekFrom::Start(tensor.start + skipped))?;
        Ok(file.take(tensor.n_bytes - skipped))
    }

    /// All values of a float32 tensor.
    pub(crate) fn floats(&self, name: &str) -> io::Result<Vec<f32>> {
        if self.tensors.get(name).is_none_or(|tensor| tensor.element != Element::F32) {
            return Err(io::Error::other(format!("no float32 tensor `{name}`")));
        }
        let mut bytes = Vec::new();
        self.rows(name, 0)?.read_to_end(&mut bytes)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }
}

pub(crate) fn invalid(path: &Path, reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is no such file: {reason}", path.display()))
}
