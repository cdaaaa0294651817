//! What a sidecar says of one source, held until it can be written behind those of other sources.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use blt_core::{ByteRange, Patch, Unit, View, ViewData};
use tempfile::SpooledTempFile;

use crate::read::SidecarError;
use crate::write::{SidecarWriter, TrunkInfo};

/// Up to this many bytes of leaves are held in memory; more go to a temporary file.
const SPILL_BYTES: usize = 1 << 18;
/// Bytes of a leaf: its length, entropy, prominence and coherence.
const LEAF_BYTES: usize = 20;

/// Views, each followed by its leaves, as [`SidecarWriter`] takes them.
#[derive(Debug)]
pub struct SidecarRecord {
    /// Without the bytes of those that have any of their own.
    views: Vec<RecordedView>,
    leaves: BufWriter<SpooledTempFile>,
}

#[derive(Debug)]
struct RecordedView {
    view: View,
    n_leaves: u64,
}

impl SidecarRecord {
    /// Nothing yet. What does not fit into memory goes to a file in `scratch` that has no name.
    pub fn new(scratch: &Path) -> Self {
        let leaves = BufWriter::new(tempfile::spooled_tempfile_in(SPILL_BYTES, scratch));
        Self { views: Vec::new(), leaves }
    }

    /// About how many bytes it takes, in memory and in its file.
    pub fn n_bytes(&self) -> usize {
        let of_view = |recorded: &RecordedView| {
            recorded.view.units.len() * size_of::<Unit>() + recorded.n_leaves as usize * LEAF_BYTES
        };
        size_of::<Self>() + self.views.iter().map(of_view).sum::<usize>()
    }

    /// Whether it has a file open.
    pub fn has_file(&self) -> bool {
        self.leaves.get_ref().is_rolled()
    }

    /// Begins a view.
    pub fn view(&mut self, view: &View) {
        let data = match view.data {
            ViewData::Source => ViewData::Source,
            ViewData::Owned(_) => ViewData::Owned(Vec::new()),
        };
        let View { label, name, modality, media_type, data: _, origin, units } = view;
        let view = View {
            label: label.clone(),
            name: name.clone(),
            modality: *modality,
            media_type: media_type.clone(),
            data,
            origin: origin.clone(),
            units: units.clone(),
        };
        self.views.push(RecordedView { view, n_leaves: 0 });
    }

    /// Adds the next leaf of the current view.
    ///
    /// # Errors
    ///
    /// Fails when a temporary file cannot be written.
    ///
    /// # Panics
    ///
    /// Panics if no view was begun.
    pub fn leaf(&mut self, patch: &Patch<'_>) -> Result<(), SidecarError> {
        self.views.last_mut().expect("a view was begun").n_leaves += 1;
        let mut leaf = [0; LEAF_BYTES];
        leaf[..8].copy_from_slice(&patch.range.len().to_le_bytes());
        for (bytes, value) in leaf[8..].chunks_exact_mut(4).zip([patch.entropy, patch.prominence, patch.coherence]) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        self.leaves.write_all(&leaf).map_err(SidecarError::Held)
    }

    /// Writes it to `writer`, as the next source there.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read back, or the database cannot be written.
    pub fn write(self, trunk: &TrunkInfo<'_>, writer: &mut SidecarWriter) -> Result<(), SidecarError> {
        let mut leaves = self.leaves.into_inner().map_err(|error| SidecarError::Held(error.into_error()))?;
        leaves.seek(SeekFrom::Start(0)).map_err(SidecarError::Held)?;
        let mut leaves = BufReader::with_capacity(1 << 16, leaves);
        for RecordedView { view, n_leaves } in self.views {
            writer.view(&view)?;
            let mut start = 0;
            for _ in 0..n_leaves {
                let patch = read_leaf(&mut leaves, start).map_err(SidecarError::Held)?;
                writer.leaf(&patch)?;
                start = patch.range.end;
            }
        }
        writer.end_source(trunk)
    }
}

fn read_leaf(leaves: &mut impl Read, start: u64) -> io::Result<Patch<'static>> {
    let mut leaf = [0; LEAF_BYTES];
    leaves.read_exact(&mut leaf)?;
    let [low, high, entropy, prominence, coherence] = *leaf.as_chunks().0 else { unreachable!("five parts") };
    let n_bytes = u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32;
    let [entropy, prominence, coherence] = [entropy, prominence, coherence].map(f32::from_le_bytes);
    Ok(Patch { range: ByteRange::new(start, start + n_bytes), entropy, prominence, coherence, embedding: &[] })
}
