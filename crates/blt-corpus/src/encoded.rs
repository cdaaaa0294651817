//! What the encode stage leaves: a folder with one patch file and one hypergraph a document.

use std::path::{Path, PathBuf};

/// A document that was encoded, or could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedDocument {
    /// Name of its files.
    pub id: String,
    /// Hash of its source's bytes, where they were read.
    pub sha256: Option<String>,
    /// Bytes of the source.
    pub n_bytes: Option<u64>,
    /// Its patches; `None` when it was not done.
    pub n_patches: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
}

impl EncodedDocument {
    /// Whether its files are there and whole.
    pub fn is_done(&self) -> bool {
        self.n_patches.is_some() && self.error.is_none()
    }

    /// Its patch file in `folder`.
    pub(crate) fn patch_file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.safetensors", self.id))
    }
}
