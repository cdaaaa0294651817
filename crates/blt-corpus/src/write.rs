//! Writing files of named arrays: the same arrays make the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use blt_output::{publish, sync_directory};
use serde_json::{Map, Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use crate::arrays::{ArrayInfo, Dtype};
use crate::file::METADATA;
use crate::npy;

/// Members of this size and more get the long form of sizes.
const LARGE_BYTES: u64 = 0xFFFF_0000;

/// An array to be written.
pub(crate) struct Array<'a> {
    pub(crate) name: &'a str,
    pub(crate) info: ArrayInfo,
    pub(crate) data: Data<'a>,
}

/// Writes the elements of an array, little endian.
pub(crate) type Data<'a> = Box<dyn Fn(&mut dyn Write) -> io::Result<()> + 'a>;

impl<'a> Array<'a> {
    /// An array whose elements `data` writes.
    pub(crate) fn streamed(
        name: &'a str,
        dtype: Dtype,
        shape: &[usize],
        data: impl Fn(&mut dyn Write) -> io::Result<()> + 'a,
    ) -> Self {
        let shape = shape.iter().map(|&size| size as u64).collect();
        Self { name, info: ArrayInfo { dtype, shape }, data: Box::new(data) }
    }

    pub(crate) fn bytes(name: &'a str, values: &'a [u8]) -> Self {
        Self::streamed(name, Dtype::U8, &[values.len()], move |out| out.write_all(values))
    }

    pub(crate) fn i32(name: &'a str, values: &'a [i32]) -> Self {
        Self::streamed(name, Dtype::I32, &[values.len()], move |out| elements(out, values, |x| x.to_le_bytes()))
    }

    pub(crate) fn i64(name: &'a str, values: &'a [i64]) -> Self {
        Self::streamed(name, Dtype::I64, &[values.len()], move |out| elements(out, values, |x| x.to_le_bytes()))
    }

    pub(crate) fn f32(name: &'a str, shape: &[usize], values: &'a [f32]) -> Self {
        Self::streamed(name, Dtype::F32, shape, move |out| elements(out, values, |x| x.to_le_bytes()))
    }

    pub(crate) fn f64(name: &'a str, shape: &[usize], values: &'a [f64]) -> Self {
        Self::streamed(name, Dtype::F64, shape, move |out| elements(out, values, |x| x.to_le_bytes()))
    }

    /// The same elements in another shape.
    pub(crate) fn shaped(mut self, shape: &[usize]) -> Self {
        self.info.shape = shape.iter().map(|&size| size as u64).collect();
        self
    }

    fn n_bytes(&self) -> u64 {
        self.info.n_bytes().expect("an array in memory has a size")
    }
}

/// Writes values in pieces, so that no array is held twice.
pub(crate) fn elements<T: Copy, const N: usize>(
    out: &mut dyn Write,
    values: &[T],
    to_bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut piece = Vec::with_capacity(N * 4096);
    for values in values.chunks(4096) {
        piece.clear();
        values.iter().for_each(|&value| piece.extend(to_bytes(value)));
        out.write_all(&piece)?;
    }
    Ok(())
}

/// Writes `arrays` and `metadata` at `path`, whole or not at all: NumPy arrays if it ends in `.npz`, else safetensors.
pub(crate) fn write_arrays(path: &Path, arrays: &[Array<'_>], metadata: &BTreeMap<String, String>) -> io::Result<()> {
    publish_with(path, |partial| {
        let file = BufWriter::with_capacity(1 << 20, File::create(partial)?);
        if path.extension().is_some_and(|end| end == "npz") {
            npz(file, arrays, metadata)
        } else {
            safetensors(file, arrays, metadata)
        }
    })
}

/// Lets `write` make a file beside `path`, then gives it that name.
pub(crate) fn publish_with(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let partial = partial_path(path);
    let written = write(&partial).and_then(|()| publish(&partial, path)).and_then(|()| sync_directory(folder));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial); // what is left of a failure is in nobody's way, but in the user's sight
    }
    written
}

/// Where `path` is while it is in the making: a hidden file beside it.
pub(crate) fn partial_path(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}.partial"))
}

fn npz(out: BufWriter<File>, arrays: &[Array<'_>], metadata: &BTreeMap<String, String>) -> io::Result<()> {
    let mut archive = ZipWriter::new(out);
    let text = serde_json::to_vec(metadata)?;
    let described = Array::bytes(METADATA, &text);
    for array in std::iter::once(&described).chain(arrays) {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .system(System::Unix)
            .unix_permissions(0o644)
            .large_file(array.n_bytes() >= LARGE_BYTES);
        archive.start_file(format!("{}.npy", array.name), options)?;
        archive.write_all(&npy::header(&array.info))?;
        (array.data)(&mut archive)?;
    }
    archive.finish()?.flush()
}

fn safetensors(mut out: BufWriter<File>, arrays: &[Array<'_>], metadata: &BTreeMap<String, String>) -> io::Result<()> {
    // Wide elements first: every array then starts at a multiple of its element's size, without holes.
    let mut arrays: Vec<&Array<'_>> = arrays.iter().collect();
    arrays.sort_by_key(|array| (std::cmp::Reverse(array.info.dtype.n_bytes()), array.name));
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut start = 0;
    for array in &arrays {
        let end = start + array.n_bytes();
        let (dtype, shape) = (array.info.dtype.name(), &array.info.shape);
        header.insert(array.name.to_owned(), json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}));
        start = end;
    }
    let mut text = Value::Object(header).to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(8) - text.len()));
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(text.as_bytes())?;
    arrays.iter().try_for_each(|array| (array.data)(&mut out))?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::ArrayFile;

    #[test]
    fn both_forms_hold_the_same_and_are_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let metadata = BTreeMap::from([("format".to_owned(), "a \"test\"".to_owned())]);
        for end in ["npz", "safetensors"] {
            let path = folder.path().join("x").with_extension(end);
            let arrays = || {
                vec![
                    Array::bytes("bytes", b"abc"),
                    Array::f64("y", &[3], &[1.5, -2.0, f64::MAX]),
                    Array::f32("x", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
                    Array::i32("none", &[]),
                    Array::i64("z", &[i64::MIN, 7]),
                ]
            };
            write_arrays(&path, &arrays(), &metadata).unwrap();
            let first = std::fs::read(&path).unwrap();
            write_arrays(&path, &arrays(), &metadata).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), first);
            let file = ArrayFile::open(&path).unwrap();
            assert_eq!(file.metadata(), &metadata);
            assert_eq!(file.info("x").unwrap().shape, [2, 2]);
            assert_eq!(file.floats("x").unwrap(), [1.0, 2.0, 3.0, 4.0]);
            assert_eq!(file.doubles("y").unwrap(), [1.5, -2.0, f64::MAX]);
            assert_eq!(file.integers("z").unwrap(), [i64::MIN, 7]);
            assert_eq!(file.bytes("bytes").unwrap(), b"abc");
            assert!(file.integers("none").unwrap().is_empty());
            assert!(file.integers("x").is_err() && file.bytes("z").is_err() && file.floats("absent").is_err());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), if end == "npz" { 1 } else { 2 });
        }
    }

    #[test]
    fn damaged_archives_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        write_arrays(&path, &[Array::f32("x", &[4], &[1.0; 4])], &BTreeMap::new()).unwrap();
        let good = std::fs::read(&path).unwrap();
        let place = good.windows(16).position(|window| window == [0, 0, 128, 63].repeat(4)).unwrap();
        let mut flipped = good.clone();
        flipped[place] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert!(ArrayFile::open(&path).and_then(|file| file.floats("x")).is_err(), "the sum is checked");
        for n in [0, 10, place, good.len() - 1] {
            std::fs::write(&path, &good[..n]).unwrap();
            assert!(ArrayFile::open(&path).is_err());
        }
        let shape = good.windows(4).position(|window| window == b"(4,)").unwrap();
        let mut larger = good.clone();
        larger[shape + 1] = b'9';
        std::fs::write(&path, &larger).unwrap();
        assert!(ArrayFile::open(&path).is_err(), "nine numbers are not in there");
    }
}
