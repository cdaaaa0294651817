//! What writers of many documents have in common.

use std::io;

use serde_json::{Map, Value};

use crate::collector::CollectedDocument;
use crate::receipt::ShardReceipt;

/// What is said about a document beside its tensors.
#[derive(Debug, Clone, Copy)]
pub struct DocumentInfo<'a> {
    /// Its name in the outputs, unique in a run.
    pub id: &'a str,
    /// Where it comes from: a path inside the input, or a data set's row.
    pub source: &'a str,
    /// What it was read as, like `text`.
    pub modality: &'a str,
    /// The model, like `blt-mini@0123456789ab`.
    pub model: &'a str,
    /// Name of the sidecar that describes it, if there is one.
    pub sidecar: Option<&'a str>,
    /// The patching rule and its parameters.
    pub patching: &'a [(&'a str, String)],
}

/// Writes many documents to one file, one after another; memory does not grow with their number or size. The same
/// documents in the same order make the same bytes.
pub trait ShardWriter: Send {
    /// Adds a document.
    ///
    /// # Errors
    ///
    /// Fails with [`io::ErrorKind::InvalidInput`] when the format cannot hold the document, and the file is then as it was;
    /// otherwise when the file cannot be written, and it is then of no use.
    fn append(&mut self, document: CollectedDocument, about: &DocumentInfo<'_>) -> io::Result<()>;

    /// Completes the file, to be published once it is there.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    fn finish(self: Box<Self>) -> io::Result<ShardReceipt>;
}

/// The document as JSON, without its tensors.
pub(crate) fn document_json(document: &CollectedDocument, about: &DocumentInfo<'_>) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("id", about.id.into());
    put("source", about.source.into());
    put("modality", about.modality.into());
    put("model", about.model.into());
    put("n_bytes", document.n_bytes.into());
    put("n_patches", document.n_patches.into());
    put("embed_dim", document.options.dims.into());
    put("embedding_dtype", document.options.dtype.name().into());
    put("views", document.views_json());
    if let Some(sidecar) = about.sidecar {
        put("metadata_file", sidecar.into());
    }
    for (key, value) in about.patching {
        put(key, value.as_str().into());
    }
    object
}
