//! Entropies of finished outputs, read back.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use blt_patcher::EntropyStatistics;

/// Longest header that is read, in bytes; the format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Statistics of the `entropies` of the safetensors file at `path`, read piece by piece.
///
/// # Errors
///
/// Fails when the file cannot be read or has no float32 tensor of that name.
pub fn output_entropies(path: &Path) -> io::Result<EntropyStatistics> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut file = File::open(path)?;
    let n_bytes = file.metadata()?.len();
    let mut prefix = [0; 8];
    file.read_exact(&mut prefix)?;
    let header_bytes = u64::from_le_bytes(prefix);
    if header_bytes > MAX_HEADER_BYTES || header_bytes + 8 > n_bytes {
        return Err(invalid("its header is longer than the file"));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_exact(&mut header)?;
    let header: serde_json::Value = serde_json::from_slice(&header)?;
    let tensor = &header["entropies"];
    let (Some(start), Some(end)) = (tensor["data_offsets"][0].as_u64(), tensor["data_offsets"][1].as_u64()) else {
        return Err(invalid("it has no `entropies`"));
    };
    if tensor["dtype"] != "F32" || start > end || end > n_bytes - 8 - header_bytes {
        return Err(invalid("its `entropies` are malformed"));
    }
    file.seek(SeekFrom::Start(8 + header_bytes + start))?;
    let mut statistics = EntropyStatistics::default();
    let mut rest = file.take(end - start);
    let mut piece = Vec::with_capacity(1 << 16);
    loop {
        piece.clear();
        (&mut rest).take(1 << 16).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(statistics);
        }
        let values: Vec<f32> = piece.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        statistics.add(&values);
    }
}
