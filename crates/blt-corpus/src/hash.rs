//! Hashes of arrays, the same whatever file the arrays are in.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use crate::arrays::ArrayInfo;
use crate::error::ReadError;
use crate::file::ArrayFile;
use crate::write::Array;

/// A hash of names, number types, shapes and elements, as 64 hexadecimal digits.
pub(crate) fn sha256_of_arrays(arrays: &[Array<'_>]) -> io::Result<String> {
    let mut sorted: Vec<&Array<'_>> = arrays.iter().collect();
    sorted.sort_by_key(|array| array.name);
    let mut hasher = Hasher(Sha256::new());
    for array in sorted {
        hasher.begin(array.name, &array.info);
        let mut buffered = io::BufWriter::with_capacity(1 << 16, &mut hasher);
        (array.data)(&mut buffered)?;
        buffered.flush()?;
    }
    Ok(hasher.digits())
}

/// The same hash of what is in a file.
pub(crate) fn sha256_of_file(file: &ArrayFile) -> Result<String, ReadError> {
    let mut hasher = Hasher(Sha256::new());
    for (name, info) in file.arrays() {
        hasher.begin(name, info);
        file.pieces(name, &mut |piece| {
            hasher.0.update(piece);
            Ok(())
        })?;
    }
    Ok(hasher.digits())
}

/// The hash of some bytes, as 64 hexadecimal digits.
pub(crate) fn sha256_of_bytes(bytes: &[u8]) -> String {
    let mut hasher = Hasher(Sha256::new());
    hasher.0.update(bytes);
    hasher.digits()
}

struct Hasher(Sha256);

impl Hasher {
    fn begin(&mut self, name: &str, info: &ArrayInfo) {
        self.0.update(format!("{name} {} {:?}\n", info.dtype.name(), info.shape));
    }

    fn digits(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
