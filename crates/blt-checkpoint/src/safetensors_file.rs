//! A checked safetensors file and the checkpoint inside it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};

use crate::{CheckpointError, Layout, ModelConfig, expected_tensors};

/// Largest safetensors header that is read, in bytes; the format's own limit.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Where the bytes of a safetensors file are.
#[derive(Debug)]
pub enum Storage {
    /// Inside the program.
    Static(&'static [u8]),
    /// Made from a file of another format.
    Converted {
        /// Safetensors bytes.
        bytes: Vec<u8>,
        /// Hash of that file.
        sha256: [u8; 32],
    },
    /// On disk; read piece by piece, so no more than one tensor is held at a time.
    File(Mutex<File>),
}

impl Storage {
    fn n_bytes(&self) -> io::Result<u64> {
        match self {
            Storage::Static(bytes) => Ok(bytes.len() as u64),
            Storage::Converted { bytes, .. } => Ok(bytes.len() as u64),
            Storage::File(file) => Ok(lock(file).metadata()?.len()),
        }
    }

    fn read_at(&self, offset: u64, n_bytes: usize) -> io::Result<Vec<u8>> {
        match self {
            Storage::Static(bytes) => part(bytes, offset, n_bytes),
            Storage::Converted { bytes, .. } => part(bytes, offset, n_bytes),
            Storage::File(file) => {
                let mut file = lock(file);
                file.seek(SeekFrom::Start(offset))?;
                let mut bytes = vec![0; n_bytes];
                file.read_exact(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    fn sha256(&self) -> io::Result<[u8; 32]> {
        let mut hasher = Sha256::new();
        match self {
            Storage::Static(bytes) => hasher.update(bytes),
            Storage::Converted { sha256, .. } => return Ok(*sha256),
            Storage::File(file) => {
                let mut file = lock(file);
                file.seek(SeekFrom::Start(0))?;
                let mut buffer = vec![0; 1 << 20];
                loop {
                    match file.read(&mut buffer)? {
                        0 => break,
                        n => hasher.update(&buffer[..n]),
                    }
                }
            }
        }
        Ok(hasher.finalize().into())
    }
}

/// `n_bytes` of `bytes` from `offset` on.
fn part(bytes: &[u8], offset: u64, n_bytes: usize) -> io::Result<Vec<u8>> {
    let start = usize::try_from(offset).ok();
    let part = start.and_then(|start| bytes.get(start..start.checked_add(n_bytes)?));
    part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn lock(file: &Mutex<File>) -> std::sync::MutexGuard<'_, File> {
    file.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A tensor of a safetensors file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Number type.
    pub dtype: Dtype,
    /// Shape, row-major.
    pub shape: Vec<usize>,
    offset: u64,
    n_bytes: usize,
}

/// A safetensors file whose header has been checked against the file's size.
#[derive(Debug)]
pub struct SafetensorsFile {
    origin: String,
    storage: Storage,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

impl SafetensorsFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, is cut short, or its header is not that of a safetensors file of its size.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let open = |source| CheckpointError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(open)?;
        if !file.metadata().map_err(open)?.is_file() {
            return Err(open(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        Self::new(Storage::File(Mutex::new(file)), path.display().to_string())
    }

    /// Checks the header in `storage`; `origin` names it in errors.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn new(storage: Storage, origin: String) -> Result<Self, CheckpointError> {
        let invalid = |reason: String| CheckpointError::Safetensors { origin: origin.clone(), reason };
        let read = |source| CheckpointError::Read { origin: origin.clone(), source };
        let n_bytes = storage.n_bytes().map_err(read)?;
        if n_bytes < 8 {
            return Err(invalid(format!("it has only {n_bytes} bytes")));
        }
        let prefix = storage.read_at(0, 8).map_err(read)?;
        let header_bytes = u64::from_le_bytes(prefix.try_into().expect("eight bytes were read"));
        if header_bytes > MAX_HEADER_BYTES || header_bytes > n_bytes - 8 {
            return Err(invalid(format!("its header claims {header_bytes} bytes of a file of {n_bytes}")));
        }
        let header = storage.read_at(8, header_bytes as usize).map_err(read)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| invalid(format!("its header is malformed ({error})")))?;
        let data_start = 8 + header_bytes;
        let data_bytes = metadata.data_len() as u64;
        if data_start.checked_add(data_bytes) != Some(n_bytes) {
            return Err(invalid(format!(
                "its header describes {data_bytes} bytes of tensors, the file holds {}",
                n_bytes - data_start
            )));
        }
        let tensors = metadata
            .tensors()
            .into_iter()
            .map(|(name, info)| {
                let (start, end) = info.data_offsets;
                let info = TensorInfo {
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                    offset: data_start + start as u64,
                    n_bytes: end - start,
                };
                (name, info)
            })
            .collect();
        let metadata = metadata.metadata().clone().map(HashMap::into_iter).map(Iterator::collect).unwrap_or_default();
        Ok(Self { origin, storage, tensors, metadata })
    }

    /// Name of the source, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorInfo> {
        &self.tensors
    }

    /// The `__metadata__` strings.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The stored bytes of the tensor `name`, little endian, row-major.
    ///
    /// # Errors
    ///
    /// Fails when there is no such tensor or it cannot be read.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, CheckpointError> {
        let info = self.tensors.get(name).ok_or_else(|| self.missing(name, 1))?;
        self.storage
            .read_at(info.offset, info.n_bytes)
            .map_err(|source| CheckpointError::Read { origin: self.origin.clone(), source })
    }

    /// The tensor `name` as float32, row-major. F32, F16 and BF16 are exact; F64 and I32 are rounded.
    ///
    /// # Errors
    ///
    /// Fails when there is no such tensor, it cannot be read, or its number type is another one.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let bytes = self.bytes(name)?;
        let dtype = self.tensors[name].dtype;
        floats_from_le(&bytes, dtype)
            .ok_or_else(|| CheckpointError::Dtype { name: name.to_owned(), found: format!("{dtype:?}") })
    }

    fn missing(&self, name: &str, count: usize) -> CheckpointError {
        CheckpointError::Missing { origin: self.origin.clone(), name: name.to_owned(), count }
    }
}

fn floats_from_le(bytes: &[u8], dtype: Dtype) -> Option<Vec<f32>> {
    fn collect<const N: usize>(bytes: &[u8], to_f32: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| to_f32(chunk)).collect()
    }
    Some(match dtype {
        Dtype::F32 => collect(bytes, f32::from_le_bytes),
        Dtype::F16 => collect(bytes, |chunk| f16::from_le_bytes(chunk).to_f32()),
        Dtype::BF16 => collect(bytes, |chunk| bf16::from_le_bytes(chunk).to_f32()),
        Dtype::F64 => collect(bytes, |chunk| f64::from_le_bytes(chunk) as f32),
        Dtype::I32 => collect(bytes, |chunk| i32::from_le_bytes(chunk) as f32),
        _ => return None,
    })
}

/// The weights and configuration of an entropy model. Every tensor it needs is present with the right shape and type.
#[derive(Debug)]
pub struct Checkpoint {
    config: ModelConfig,
    file: SafetensorsFile,
    layout: Layout,
    name: String,
}

impl Checkpoint {
    /// Opens a directory with `config.json` and `model.safetensors`, or without the latter a record ([`open_record`](Self::open_record))
    /// called `model.mpk` or the only one there; or a weights file with `config.json` beside it, by its ending.
    ///
    /// # Errors
    ///
    /// Fails when a file is absent or malformed and when a tensor is missing or does not fit the configuration.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let weights = if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() };
        if weights.extension().is_some_and(|extension| extension == "mpk") {
            return Self::open_record(&weights);
        }
        if path.is_dir()
            && !weights.exists()
            && let Some(record) = record_in(path)
        {
            return Self::open_record(&record);
        }
        // The weights come first: naming a missing directory is more use than naming the file in it.
        let file = SafetensorsFile::open(&weights)?;
        let config = read_config(&weights)?.ok_or_else(|| CheckpointError::NoConfig { path: weights.clone() })?;
        let fallback = weights.parent().and_then(Path::file_name).map_or_else(
            || PathBuf::from(&weights).display().to_string(),
            |directory| PathBuf::from(directory).display().to_string(),
        );
        Self::new(file, config, fallback)
    }

    /// The checkpoint under another name, unless its configuration gives one.
    #[must_use]
    pub fn or_named(mut self, name: &str) -> Self {
        if self.config.name.is_none() {
            name.clone_into(&mut self.name);
        }
        self
    }

    /// A checkpoint inside the program: safetensors bytes whose sha256 must be `sha256` (64 hexadecimal digits) and the
    /// text of its `config.json`.
    ///
    /// # Errors
    ///
    /// Fails when the hash differs, and as [`open`](Self::open).
    pub fn embedded(name: &str, weights: &'static [u8], config: &str, sha256: &str) -> Result<Self, CheckpointError> {
        let file = SafetensorsFile::new(Storage::Static(weights), name.to_owned())?;
        let checkpoint = Self::new(file, ModelConfig::from_json(config, name)?, name.to_owned())?;
        let found = checkpoint.sha256()?;
        if found != sha256 {
            return Err(CheckpointError::Hash { origin: name.to_owned(), found, expected: sha256.to_owned() });
        }
        Ok(checkpoint)
    }

    pub(crate) fn new(
        file: SafetensorsFile,
        config: ModelConfig,
        fallback_name: String,
    ) -> Result<Self, CheckpointError> {
        let transformers = file.tensors.keys().any(|name| name.starts_with(Layout::Transformers.prefix()));
        let layout = if transformers { Layout::Transformers } else { Layout::Original };
        let expected = expected_tensors(&config);
        let stored: Vec<_> = expected.iter().map(|tensor| layout.stored_name(&tensor.name)).collect();
        let missing: Vec<_> = stored.iter().filter(|name| !file.tensors.contains_key(*name)).collect();
        if let Some(first) = missing.first() {
            return Err(file.missing(first, missing.len()));
        }
        for (spec, name) in expected.iter().zip(&stored) {
            let info = &file.tensors[name];
            if info.shape != spec.shape {
                let (found, expected) = (info.shape.clone(), spec.shape.clone());
                return Err(CheckpointError::Shape { name: name.clone(), found, expected });
            }
            if !matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16) {
                return Err(CheckpointError::Dtype { name: name.clone(), found: format!("{:?}", info.dtype) });
            }
        }
        let unused = file.tensors.keys().filter(|name| name.starts_with(layout.prefix()) && !stored.contains(name));
        for name in unused {
            tracing::warn!(name, origin = file.origin(), "tensor is not part of this model and is not used");
        }
        let name = config.name.clone().unwrap_or(fallback_name);
        Ok(Self { config, file, layout, name })
    }

    /// The model's sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// How the file names its tensors.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The model's name: that of its configuration, else of its directory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The format of the file that was opened.
    pub fn format(&self) -> &'static str {
        match self.file.storage {
            Storage::Converted { .. } => "Burn record (named MessagePack)",
            Storage::Static(_) | Storage::File(_) => "safetensors",
        }
    }

    /// The file; of a record, what was made of it.
    pub fn file(&self) -> &SafetensorsFile {
        &self.file
    }

    /// Hash of the whole safetensors file, 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn sha256(&self) -> Result<String, CheckpointError> {
        let digest = self
            .file
            .storage
            .sha256()
            .map_err(|source| CheckpointError::Read { origin: self.file.origin.clone(), source })?;
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The model's name and which weights they are: `NAME@` and the first twelve digits of [`sha256`](Self::sha256).
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn identity(&self) -> Result<String, CheckpointError> {
        Ok(format!("{}@{}", self.name(), &self.sha256()?[..12]))
    }

    /// The tensor that the original calls `name`, as float32, row-major.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read or holds a value that is not finite.
    pub fn tensor_f32(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        let stored = self.layout.stored_name(name);
        let values = self.file.floats(&stored)?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(CheckpointError::NotFinite { name: stored, index }),
            None => Ok(values),
        }
    }
}

/// The `config.json` beside `weights`, if there is one.
pub(crate) fn read_config(weights: &Path) -> Result<Option<ModelConfig>, CheckpointError> {
    let path = weights.with_file_name("config.json");
    match std::fs::read_to_string(&path) {
        Ok(text) => ModelConfig::from_json(&text, &path.display().to_string()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CheckpointError::Open { path, source }),
    }
}

/// The record in a folder: `model.mpk`, else the only one.
pub fn record_in(folder: &Path) -> Option<PathBuf> {
    let usual = folder.join("model.mpk");
    if usual.exists() {
        return Some(usual);
    }
    let entries = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut records = entries.filter(|path| path.extension().is_some_and(|extension| extension == "mpk"));
    records.next().filter(|_| records.next().is_none())
}
