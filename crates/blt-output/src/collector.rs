//! The tensors of one document, gathered while it is encoded.

use std::io;
use std::path::Path;
use std::sync::Arc;

use blt_core::Patch;
use serde_json::{Value, json};

use crate::projection::Projection;
use crate::spool::Spool;
use crate::stored_rows::StoredRows;

/// Which embeddings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Embeddings {
    /// One row a patch, `embeddings` `[P, D]`.
    Patch,
    /// That, and one row a byte, `byte_embeddings` `[n, D]`.
    Byte,
    /// None.
    None,
}

/// Number type of written embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingDtype {
    /// 32-bit floats, as computed.
    F32,
    /// 16-bit floats with 8 bits of exponent.
    Bf16,
    /// 16-bit floats with 5 bits of exponent; larger values become infinite.
    F16,
    /// 8-bit integers; a row times its scale in `embedding_scales` (`byte_embedding_scales`) gives the values back to
    /// within half a scale.
    Int8,
}

impl EmbeddingDtype {
    /// Its name, as in `--embedding-dtype`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Int8 => "int8",
        }
    }

    pub(crate) fn element(self) -> Element {
        match self {
            Self::F32 => Element::F32,
            Self::Bf16 => Element::Bf16,
            Self::F16 => Element::F16,
            Self::Int8 => Element::I8,
        }
    }
}

/// What is written of the embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddingOptions {
    /// Which embeddings.
    pub embeddings: Embeddings,
    /// Their number type.
    pub dtype: EmbeddingDtype,
    /// Width of an embedding as the model makes it.
    pub model_dim: usize,
    /// Width of what is written of it: `model_dim`, or fewer with a [`Projection`].
    pub dims: usize,
}

impl EmbeddingOptions {
    /// One whole float32 row a patch of `model_dim` components.
    pub fn new(model_dim: usize) -> Self {
        Self { embeddings: Embeddings::Patch, dtype: EmbeddingDtype::F32, model_dim, dims: model_dim }
    }
}

/// Gathers the tensors of one document; memory does not grow with it. Views come one after another: bytes and patches of a
/// view in order, then [`end_view`](Self::end_view).
#[derive(Debug)]
pub struct DocumentCollector {
    options: EmbeddingOptions,
    bytes: Spool,
    entropies: Spool,
    byte_prominence: Spool,
    patch_lengths: Spool,
    prominence: Spool,
    patch_entropies: Spool,
    patch_coherence: Spool,
    embeddings: StoredRows,
    byte_embeddings: StoredRows,
    projection: Option<Arc<Projection>>,
    /// The last reduced row.
    reduced: Vec<f32>,
    views: Vec<CollectedView>,
    n_bytes: u64,
    n_patches: u64,
}

impl DocumentCollector {
    /// An empty document. Tensors too large for memory go to temporary files in `scratch`.
    ///
    /// # Panics
    ///
    /// Panics if `projection` does not take embeddings of `model_dim` to such of `dims`, or is missing where these differ.
    pub fn new(scratch: &Path, options: EmbeddingOptions, projection: Option<Arc<Projection>>) -> Self {
        let dims = projection.as_ref().map(|projection| (projection.model_dim(), projection.dims()));
        assert_eq!(
            dims.unwrap_or((options.dims, options.dims)),
            (options.model_dim, options.dims),
            "a projection that fits"
        );
        let spool = || Spool::new(scratch);
        Self {
            options,
            bytes: spool(),
            entropies: spool(),
            byte_prominence: spool(),
            patch_lengths: spool(),
            prominence: spool(),
            patch_entropies: spool(),
            patch_coherence: spool(),
            embeddings: StoredRows::new(scratch),
            byte_embeddings: StoredRows::new(scratch),
            projection,
            reduced: Vec::new(),
            views: Vec::new(),
            n_bytes: 0,
            n_patches: 0,
        }
    }

    /// Adds the next bytes with their signals, one value a byte. `embeddings` are `[bytes, model_dim]` and looked at only
    /// with [`Embeddings::Byte`].
    ///
    /// # Errors
    ///
    /// Fails when a temporary file cannot be written.
    ///
    /// # Panics
    ///
    /// Panics if the lengths do not agree.
    pub fn bytes(&mut self, bytes: &[u8], entropies: &[f32], prominence: &[f32], embeddings: &[f32]) -> io::Result<()> {
        assert!(bytes.len() == entropies.len() && bytes.len() == prominence.len(), "one signal a byte");
        self.n_bytes += bytes.len() as u64;
        self.bytes.push(bytes)?;
        self.entropies.floats(entropies)?;
        self.byte_prominence.floats(prominence)?;
        if self.options.embeddings == Embeddings::Byte {
            assert_eq!(embeddings.len(), bytes.len() * self.options.model_dim, "one embedding a byte");
            for row in embeddings.chunks(self.options.model_dim) {
                let row = reduced(self.projection.as_deref(), row, &mut self.reduced);
                self.byte_embeddings.push(row, self.options.dtype)?;
            }
        }
        Ok(())
    }

    /// Adds the next patch of the current view.
    ///
    /// # Errors
    ///
    /// Fails when a temporary file cannot be written, or the patch is 2 GiB long or longer.
    pub fn patch(&mut self, patch: &Patch<'_>) -> io::Result<()> {
        let too_long = |_| io::Error::other("a patch of more than 2147483647 bytes does not fit `patch_lengths`");
        let length = i32::try_from(patch.range.len()).map_err(too_long)?;
        self.n_patches += 1;
        self.patch_lengths.push(&length.to_le_bytes())?;
        self.prominence.floats(&[patch.prominence])?;
        self.patch_entropies.floats(&[patch.entropy])?;
        self.patch_coherence.floats(&[patch.coherence])?;
        if self.options.embeddings != Embeddings::None {
            let row = reduced(self.projection.as_deref(), patch.embedding, &mut self.reduced);
            self.embeddings.push(row, self.options.dtype)?;
        }
        Ok(())
    }

    /// Ends the current view.
    pub fn end_view(&mut self, label: &str, modality: &str) {
        let before = |of: fn(&CollectedView) -> u64, views: &[CollectedView]| views.iter().map(of).sum::<u64>();
        let n_bytes = self.n_bytes - before(|view| view.n_bytes, &self.views);
        let n_patches = self.n_patches - before(|view| view.n_patches, &self.views);
        self.views.push(CollectedView { label: label.to_owned(), modality: modality.to_owned(), n_bytes, n_patches });
    }

    /// Number of patches so far.
    pub fn n_patches(&self) -> u64 {
        self.n_patches
    }

    /// Which embeddings are written.
    pub fn embeddings(&self) -> Embeddings {
        self.options.embeddings
    }

    /// The document, for a writer.
    pub fn finish(self) -> CollectedDocument {
        let Self { options, n_bytes: n, n_patches: p, .. } = self;
        let vector = |name, element, data, length| Tensor { name, element, shape: vec![length], data };
        let mut tensors = vec![
            vector("bytes", Element::U8, self.bytes, n),
            vector("patch_lengths", Element::I32, self.patch_lengths, p),
            vector("entropies", Element::F32, self.entropies, n),
            vector("byte_prominence", Element::F32, self.byte_prominence, n),
            vector("prominence", Element::F32, self.prominence, p),
            vector("patch_entropies", Element::F32, self.patch_entropies, p),
            vector("patch_coherence", Element::F32, self.patch_coherence, p),
        ];
        let mut rows = |name, scales, rows: StoredRows, length| {
            let (element, shape) = (options.dtype.element(), vec![length, options.dims as u64]);
            tensors.push(Tensor { name, element, shape, data: rows.values });
            if options.dtype == EmbeddingDtype::Int8 {
                tensors.push(vector(scales, Element::F32, rows.scales, length));
            }
        };
        if options.embeddings != Embeddings::None {
            rows("embeddings", "embedding_scales", self.embeddings, p);
        }
        if options.embeddings == Embeddings::Byte {
            rows("byte_embeddings", "byte_embedding_scales", self.byte_embeddings, n);
        }
        CollectedDocument { options, tensors, views: self.views, n_bytes: n, n_patches: p }
    }
}

/// What is written of an embedding.
fn reduced<'r>(projection: Option<&Projection>, row: &'r [f32], buffer: &'r mut Vec<f32>) -> &'r [f32] {
    let Some(projection) = projection else { return row };
    buffer.clear();
    projection.reduce(row, buffer);
    buffer
}

/// The tensors of one document, in memory or in temporary files, for one of the writers.
#[derive(Debug)]
pub struct CollectedDocument {
    pub(crate) options: EmbeddingOptions,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) views: Vec<CollectedView>,
    pub(crate) n_bytes: u64,
    pub(crate) n_patches: u64,
}

impl CollectedDocument {
    /// Bytes of all views.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Patches of all views.
    pub fn n_patches(&self) -> u64 {
        self.n_patches
    }

    /// Bytes of all tensors: about what a file of them takes.
    pub fn n_tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.data.n_bytes()).sum()
    }

    /// The views as they stand in metadata.
    pub(crate) fn views_json(&self) -> Value {
        let entry = |view: &CollectedView| json!({"label": view.label, "modality": view.modality, "n_bytes": view.n_bytes, "n_patches": view.n_patches});
        Value::Array(self.views.iter().map(entry).collect())
    }

    /// Takes the tensor of that name out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Tensor> {
        let i = self.tensors.iter().position(|tensor| tensor.name == name)?;
        Some(self.tensors.swap_remove(i))
    }
}

#[derive(Debug)]
pub(crate) struct CollectedView {
    pub(crate) label: String,
    pub(crate) modality: String,
    pub(crate) n_bytes: u64,
    pub(crate) n_patches: u64,
}

#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) name: &'static str,
    pub(crate) element: Element,
    pub(crate) shape: Vec<u64>,
    pub(crate) data: Spool,
}

impl Tensor {
    /// Bytes of a row: of all but its first dimension.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.shape[1..].iter().product::<u64>() * self.element.n_bytes()
    }
}

/// Whether the tensor of that name has a row a byte; else, it has one a patch.
pub(crate) fn is_of_bytes(name: &str) -> bool {
    matches!(name, "bytes" | "entropies") || name.starts_with("byte_")
}

/// Number types of tensors, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    I64,
    F32,
    I32,
    Bf16,
    F16,
    I8,
    U8,
}

impl Element {
    /// Its name in safetensors files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::I64 => "I64",
            Self::F32 => "F32",
            Self::I32 => "I32",
            Self::Bf16 => "BF16",
            Self::F16 => "F16",
            Self::I8 => "I8",
            Self::U8 => "U8",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        use Element::{Bf16, F16, F32, I8, I32, I64, U8};
        [I64, F32, I32, Bf16, F16, I8, U8].into_iter().find(|element| element.name() == name)
    }

    pub(crate) fn n_bytes(self) -> u64 {
        match self {
            Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::Bf16 | Self::F16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }
}
