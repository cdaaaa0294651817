//! A file of named arrays: safetensors or `.npz`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blt_checkpoint::SafetensorsFile;

use crate::arrays::{ArrayInfo, extend_f32, extend_f64, integers};
use crate::error::ReadError;
use crate::npz::NpzFile;

/// Bytes read at once; a multiple of every element's size.
const PIECE_BYTES: usize = 1 << 20;
/// The array of an `.npz` file that holds the strings safetensors has in its header, as a JSON object.
pub(crate) const METADATA: &str = "meta";
/// Longer metadata are refused.
const MAX_METADATA_BYTES: u64 = 1 << 28;

/// A file of named arrays whose headers agree with its size. Arrays are read when they are asked for.
#[derive(Debug)]
pub struct ArrayFile {
    path: PathBuf,
    form: Form,
    infos: BTreeMap<String, ArrayInfo>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
enum Form {
    Safetensors(SafetensorsFile),
    Npz(NpzFile),
}

impl ArrayFile {
    /// Opens the file at `path`: NumPy arrays if it ends in `.npz`, else safetensors. Arrays of number types that neither
    /// we nor NumPy have are left out.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read or is malformed.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let mut file =
            if path.extension().is_some_and(|end| end == "npz") { Self::npz(path)? } else { Self::safetensors(path)? };
        file.path = path.to_owned();
        Ok(file)
    }

    fn safetensors(path: &Path) -> Result<Self, ReadError> {
        let file = SafetensorsFile::open(path)?;
        let infos = file.tensors().iter().filter_map(|(name, info)| {
            let dtype = crate::arrays::Dtype::from_safetensors(info.dtype)?;
            Some((name.clone(), ArrayInfo { dtype, shape: info.shape.iter().map(|&size| size as u64).collect() }))
        });
        let (infos, metadata) = (infos.collect(), file.metadata().clone());
        Ok(Self { path: PathBuf::new(), form: Form::Safetensors(file), infos, metadata })
    }

    fn npz(path: &Path) -> Result<Self, ReadError> {
        let file = NpzFile::open(path)?;
        let infos = file.names().filter_map(|name| Some((name.to_owned(), file.info(name)?.clone()))).collect();
        let mut opened = Self { path: path.to_owned(), form: Form::Npz(file), infos, metadata: BTreeMap::new() };
        if let Some(info) = opened.infos.remove(METADATA) {
            if info.n_bytes().is_none_or(|n_bytes| n_bytes > MAX_METADATA_BYTES) {
                return Err(ReadError::content(path, "its metadata are too long"));
            }
            let mut text = Vec::new();
            opened.pieces(METADATA, &mut |piece| {
                text.extend_from_slice(piece);
                Ok(())
            })?;
            opened.metadata = serde_json::from_slice(&text)
                .map_err(|error| ReadError::content(path, format!("its metadata are malformed ({error})")))?;
        }
        Ok(opened)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The arrays by name.
    pub fn arrays(&self) -> &BTreeMap<String, ArrayInfo> {
        &self.infos
    }

    /// The strings of its header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// What the array `name` is, if there is one.
    pub fn info(&self, name: &str) -> Option<&ArrayInfo> {
        self.infos.get(name)
    }

    /// Number of elements of the array `name`, if there is one.
    pub(crate) fn len_of(&self, name: &str) -> Option<u64> {
        self.info(name)?.n_elements()
    }

    /// The array `name` as float32, row-major; 64-bit and large 32-bit numbers are rounded.
    ///
    /// # Errors
    ///
    /// Fails when there is none or it cannot be read.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, ReadError> {
        let mut values = Vec::new();
        self.append_floats(name, &mut values)?;
        Ok(values)
    }

    /// As [`floats`](Self::floats), behind what is in `values`. Memory for them is asked for once.
    pub(crate) fn append_floats(&self, name: &str, values: &mut Vec<f32>) -> Result<(), ReadError> {
        let dtype = self.required(name)?.dtype;
        self.reserve(name, values)?;
        self.pieces(name, &mut |piece| {
            extend_f32(values, dtype, piece);
            Ok(())
        })
    }

    /// The array `name` as float64.
    ///
    /// # Errors
    ///
    /// As [`floats`](Self::floats).
    pub fn doubles(&self, name: &str) -> Result<Vec<f64>, ReadError> {
        let dtype = self.required(name)?.dtype;
        let mut values = Vec::new();
        self.reserve(name, &mut values)?;
        self.pieces(name, &mut |piece| {
            extend_f64(&mut values, dtype, piece);
            Ok(())
        })?;
        Ok(values)
    }

    /// The array `name` of integers.
    ///
    /// # Errors
    ///
    /// As [`floats`](Self::floats), and when it is of floats.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, ReadError> {
        let dtype = self.required(name)?.dtype;
        let mut values = Vec::new();
        self.reserve(name, &mut values)?;
        self.pieces(name, &mut |piece| {
            let piece = integers(dtype, piece);
            values.extend(piece.ok_or_else(|| self.wrong(format!("its `{name}` are {}, not integers", dtype.name())))?);
            Ok(())
        })?;
        Ok(values)
    }

    /// The array `name` of bytes.
    ///
    /// # Errors
    ///
    /// As [`floats`](Self::floats), and when its elements are no bytes.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        let dtype = self.required(name)?.dtype;
        if dtype != crate::arrays::Dtype::U8 {
            return Err(self.wrong(format!("its `{name}` are {}, not bytes", dtype.name())));
        }
        let mut values = Vec::new();
        self.reserve(name, &mut values)?;
        self.pieces(name, &mut |piece| {
            values.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(values)
    }

    /// Calls `visit` with the bytes of the array `name`, some whole elements at a time.
    pub(crate) fn pieces(
        &self,
        name: &str,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        match &self.form {
            Form::Safetensors(file) => file.for_each_piece(name, PIECE_BYTES, visit),
            Form::Npz(file) => file.for_each_piece(name, PIECE_BYTES, visit),
        }
    }

    fn required(&self, name: &str) -> Result<&ArrayInfo, ReadError> {
        self.info(name).ok_or_else(|| self.wrong(format!("it has no `{name}`")))
    }

    fn reserve<T>(&self, name: &str, values: &mut Vec<T>) -> Result<(), ReadError> {
        let n_bytes = |n: u64| n.saturating_mul(size_of::<T>() as u64);
        let n = self.len_of(name).unwrap_or(u64::MAX);
        let reserved = usize::try_from(n).ok().and_then(|n| values.try_reserve_exact(n).ok());
        reserved.ok_or_else(|| ReadError::Memory { path: self.path.clone(), n_bytes: n_bytes(n) })
    }

    pub(crate) fn wrong(&self, reason: impl Into<String>) -> ReadError {
        ReadError::content(&self.path, reason)
    }
}
