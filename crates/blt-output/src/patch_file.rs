//! The `blt_patches_v4` safetensors file.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use blt_core::Patch;
use half::{bf16, f16};
use serde_json::{Map, Value, json};
use tempfile::SpooledTempFile;

/// The `format` entry of the metadata.
pub const FORMAT: &str = "blt_patches_v4";

/// Up to this many bytes of each tensor are held in memory; more go to a temporary file.
const SPILL_BYTES: usize = 1 << 18;

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

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatchFileOptions {
    /// Which embeddings.
    pub embeddings: Embeddings,
    /// Their number type.
    pub dtype: EmbeddingDtype,
    /// Width of an embedding as the model makes it.
    pub model_dim: usize,
    /// How many of its first components are written.
    pub dims: usize,
}

impl PatchFileOptions {
    /// One whole float32 row a patch of `model_dim` components.
    pub fn new(model_dim: usize) -> Self {
        Self { embeddings: Embeddings::Patch, dtype: EmbeddingDtype::F32, model_dim, dims: model_dim }
    }
}

/// The strings in a file's header that do not follow from its tensors.
#[derive(Debug, Clone, Copy)]
pub struct PatchFileMetadata<'a> {
    /// The model, like `blt-mini@0123456789ab`.
    pub model: &'a str,
    /// Name of the sidecar beside the file.
    pub metadata_file: &'a str,
    /// The rule and its parameters.
    pub patching: &'a [(&'a str, String)],
}

/// Collects the patches of one source. Views come one after another: bytes and patches of a view in order, then
/// [`end_view`](Self::end_view).
#[derive(Debug)]
pub struct PatchFileWriter {
    options: PatchFileOptions,
    bytes: Spool,
    entropies: Spool,
    byte_prominence: Spool,
    patch_lengths: Spool,
    prominence: Spool,
    patch_entropies: Spool,
    patch_coherence: Spool,
    embeddings: Rows,
    byte_embeddings: Rows,
    views: Vec<ViewEntry>,
    n_bytes: u64,
    n_patches: u64,
}

#[derive(Debug)]
struct ViewEntry {
    label: String,
    modality: String,
    n_bytes: u64,
    n_patches: u64,
}

impl PatchFileWriter {
    /// An empty file in the making. Tensors too large for memory go to temporary files in `scratch`.
    pub fn new(scratch: &Path, options: PatchFileOptions) -> Self {
        let spool = || Spool::new(scratch);
        let rows = || Rows { values: spool(), scales: spool() };
        Self {
            options,
            bytes: spool(),
            entropies: spool(),
            byte_prominence: spool(),
            patch_lengths: spool(),
            prominence: spool(),
            patch_entropies: spool(),
            patch_coherence: spool(),
            embeddings: rows(),
            byte_embeddings: rows(),
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
        self.bytes.write(bytes)?;
        self.entropies.floats(entropies)?;
        self.byte_prominence.floats(prominence)?;
        if self.options.embeddings == Embeddings::Byte {
            assert_eq!(embeddings.len(), bytes.len() * self.options.model_dim, "one embedding a byte");
            for row in embeddings.chunks(self.options.model_dim) {
                self.byte_embeddings.push(&row[..self.options.dims], self.options.dtype)?;
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
        self.patch_lengths.write(&length.to_le_bytes())?;
        self.prominence.floats(&[patch.prominence])?;
        self.patch_entropies.floats(&[patch.entropy])?;
        self.patch_coherence.floats(&[patch.coherence])?;
        if self.options.embeddings != Embeddings::None {
            self.embeddings.push(&patch.embedding[..self.options.dims], self.options.dtype)?;
        }
        Ok(())
    }

    /// Ends the current view.
    pub fn end_view(&mut self, label: &str, modality: &str) {
        let before = |of: fn(&ViewEntry) -> u64, views: &[ViewEntry]| views.iter().map(of).sum::<u64>();
        let n_bytes = self.n_bytes - before(|view| view.n_bytes, &self.views);
        let n_patches = self.n_patches - before(|view| view.n_patches, &self.views);
        self.views.push(ViewEntry { label: label.to_owned(), modality: modality.to_owned(), n_bytes, n_patches });
    }

    /// Number of patches so far.
    pub fn n_patches(&self) -> u64 {
        self.n_patches
    }

    /// Which embeddings are written.
    pub fn embeddings(&self) -> Embeddings {
        self.options.embeddings
    }

    /// Writes the file at `path`, to be published once it is there.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be written.
    pub fn finish(self, path: &Path, metadata: &PatchFileMetadata<'_>) -> io::Result<()> {
        let strings = self.metadata(metadata);
        let mut tensors = self.tensors();
        // Wide elements first: every tensor then starts at a multiple of its element's size, without holes.
        tensors.sort_by_key(|tensor| (std::cmp::Reverse(element_bytes(tensor.dtype)), tensor.name));
        let header = header(&tensors, strings);
        let mut file = BufWriter::with_capacity(1 << 16, File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for tensor in tensors {
            tensor.data.copy_to(&mut file)?;
        }
        file.flush()
    }

    fn metadata(&self, metadata: &PatchFileMetadata<'_>) -> Map<String, Value> {
        let views: Vec<Value> = self
            .views
            .iter()
            .map(|view| json!({"label": view.label, "modality": view.modality, "n_bytes": view.n_bytes, "n_patches": view.n_patches}))
            .collect();
        let mut strings = Map::new();
        let mut put = |key: &str, value: String| strings.insert(key.to_owned(), Value::String(value));
        put("format", FORMAT.to_owned());
        put("num_patches", self.n_patches.to_string());
        put("total_bytes", self.n_bytes.to_string());
        put("embed_dim", self.options.dims.to_string());
        put("model", metadata.model.to_owned());
        put("metadata_file", metadata.metadata_file.to_owned());
        put("views", Value::Array(views).to_string());
        for (key, value) in metadata.patching {
            put(key, value.clone());
        }
        strings
    }

    fn tensors(self) -> Vec<Tensor> {
        let (n, p, dims) = (self.n_bytes, self.n_patches, self.options.dims as u64);
        let vector = |name, dtype, data, length| Tensor { name, dtype, shape: vec![length], data };
        let mut tensors = vec![
            vector("bytes", "U8", self.bytes, n),
            vector("patch_lengths", "I32", self.patch_lengths, p),
            vector("entropies", "F32", self.entropies, n),
            vector("byte_prominence", "F32", self.byte_prominence, n),
            vector("prominence", "F32", self.prominence, p),
            vector("patch_entropies", "F32", self.patch_entropies, p),
            vector("patch_coherence", "F32", self.patch_coherence, p),
        ];
        let dtype = match self.options.dtype {
            EmbeddingDtype::F32 => "F32",
            EmbeddingDtype::Bf16 => "BF16",
            EmbeddingDtype::F16 => "F16",
            EmbeddingDtype::Int8 => "I8",
        };
        let mut rows = |name, scales, rows: Rows, length| {
            tensors.push(Tensor { name, dtype, shape: vec![length, dims], data: rows.values });
            if self.options.dtype == EmbeddingDtype::Int8 {
                tensors.push(vector(scales, "F32", rows.scales, length));
            }
        };
        if self.options.embeddings != Embeddings::None {
            rows("embeddings", "embedding_scales", self.embeddings, p);
        }
        if self.options.embeddings == Embeddings::Byte {
            rows("byte_embeddings", "byte_embedding_scales", self.byte_embeddings, n);
        }
        if self.views.len() > 1 {
            let lengths: Vec<u8> = self.views.iter().flat_map(|view| (view.n_bytes as i64).to_le_bytes()).collect();
            tensors.push(vector("view_lengths", "I64", Spool::of(lengths), self.views.len() as u64));
        }
        tensors
    }
}

struct Tensor {
    name: &'static str,
    dtype: &'static str,
    shape: Vec<u64>,
    data: Spool,
}

fn element_bytes(dtype: &str) -> u64 {
    match dtype {
        "I64" => 8,
        "F32" | "I32" => 4,
        "BF16" | "F16" => 2,
        _ => 1,
    }
}

/// The JSON header, padded with spaces so that the tensors start at a multiple of 8.
fn header(tensors: &[Tensor], strings: Map<String, Value>) -> String {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), Value::Object(strings));
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.shape.iter().product::<u64>() * element_bytes(tensor.dtype);
        debug_assert_eq!(end - start, tensor.data.n_bytes, "{}", tensor.name);
        let entry = json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]});
        header.insert(tensor.name.to_owned(), entry);
        start = end;
    }
    let mut text = Value::Object(header).to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    text
}

/// Embeddings in their stored form.
#[derive(Debug)]
struct Rows {
    values: Spool,
    scales: Spool,
}

impl Rows {
    fn push(&mut self, row: &[f32], dtype: EmbeddingDtype) -> io::Result<()> {
        match dtype {
            EmbeddingDtype::F32 => self.values.floats(row),
            EmbeddingDtype::Bf16 => self.values.elements(row.iter().map(|&value| bf16::from_f32(value).to_le_bytes())),
            EmbeddingDtype::F16 => self.values.elements(row.iter().map(|&value| f16::from_f32(value).to_le_bytes())),
            EmbeddingDtype::Int8 => {
                let largest = row.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
                self.scales.floats(&[scale])?;
                self.values.elements(row.iter().map(|value| ((value / scale).round() as i8).to_le_bytes()))
            }
        }
    }
}

/// Bytes that grow: in memory while few, in a temporary file once many.
#[derive(Debug)]
struct Spool {
    file: SpooledTempFile,
    /// Small writes are gathered here.
    pending: Vec<u8>,
    n_bytes: u64,
}

impl Spool {
    fn new(scratch: &Path) -> Self {
        let file = tempfile::spooled_tempfile_in(SPILL_BYTES, PathBuf::from(scratch));
        Self { file, pending: Vec::new(), n_bytes: 0 }
    }

    fn of(bytes: Vec<u8>) -> Self {
        Self { file: tempfile::spooled_tempfile(SPILL_BYTES), n_bytes: bytes.len() as u64, pending: bytes }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        self.n_bytes += bytes.len() as u64;
        if self.pending.len() >= 1 << 14 {
            self.file.write_all(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }

    fn floats(&mut self, values: &[f32]) -> io::Result<()> {
        self.elements(values.iter().map(|value| value.to_le_bytes()))
    }

    fn elements<const N: usize>(&mut self, elements: impl Iterator<Item = [u8; N]>) -> io::Result<()> {
        let bytes: Vec<u8> = elements.flatten().collect();
        self.write(&bytes)
    }

    fn copy_to(mut self, out: &mut impl Write) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        let copied = io::copy(&mut self.file, out)?;
        out.write_all(&self.pending)?;
        debug_assert_eq!(copied + self.pending.len() as u64, self.n_bytes);
        Ok(())
    }
}
