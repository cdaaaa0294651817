//! Streams out of packed files.

use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::Packing;

/// So many bytes may come out of a packed stream before its ratio counts.
const FREE_BYTES: u64 = 64 << 20;

/// Largest window of a zstandard frame, as a power of two: what decoders have to accept, and what they default to.
const MAX_WINDOW_LOG: u32 = 27;

/// What is packed in `packed`. Fails while reading once more than `max_ratio` bytes have come out for each that went in.
pub(crate) fn unpacked(packed: Box<dyn Read + Send>, packing: Packing, max_ratio: u64) -> Box<dyn Read + Send> {
    let n_packed = Arc::new(AtomicU64::new(0));
    let counted = BufReader::with_capacity(256 << 10, Counted { inner: packed, n: Arc::clone(&n_packed) });
    let inner: Box<dyn Read + Send> = match packing {
        Packing::Plain => return Box::new(counted),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(counted)),
        Packing::Zstandard => match zstd::stream::read::Decoder::with_buffer(counted) {
            Ok(mut decoder) => match decoder.window_log_max(MAX_WINDOW_LOG) {
                Ok(()) => Box::new(decoder),
                Err(error) => Box::new(Failed(Some(error))),
            },
            Err(error) => Box::new(Failed(Some(error))),
        },
    };
    Box::new(Guarded { inner, n_packed, n_unpacked: 0, max_ratio })
}

struct Counted {
    inner: Box<dyn Read + Send>,
    n: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.n.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

struct Guarded {
    inner: Box<dyn Read + Send>,
    n_packed: Arc<AtomicU64>,
    n_unpacked: u64,
    max_ratio: u64,
}

impl Read for Guarded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.n_unpacked += n as u64;
        let n_packed = self.n_packed.load(Ordering::Relaxed).max(1);
        if self.n_unpacked > FREE_BYTES && self.n_unpacked / n_packed > self.max_ratio {
            let why = format!(
                "{} packed bytes became {} bytes, more than {} for each",
                n_packed, self.n_unpacked, self.max_ratio
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(n)
    }
}

/// A decoder that could not be made; reading tells why.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn members_and_frames_follow_each_other() {
        let mut packed = Vec::new();
        for part in ["ab", "cd"] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(part.as_bytes()).unwrap();
            packed.extend(encoder.finish().unwrap());
        }
        let read = |packed: Vec<u8>, packing| {
            let mut text = String::new();
            unpacked(Box::new(io::Cursor::new(packed)), packing, 200).read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read(packed.clone(), Packing::Gzip).unwrap(), "abcd");
        packed.truncate(packed.len() - 1);
        assert!(read(packed, Packing::Gzip).is_err());
        let frames = [zstd::encode_all(&b"ab"[..], 1).unwrap(), zstd::encode_all(&b"cd"[..], 1).unwrap()].concat();
        assert_eq!(read(frames, Packing::Zstandard).unwrap(), "abcd");
    }

    #[test]
    fn a_bomb_is_stopped_by_its_ratio() {
        let mut encoder = zstd::stream::read::Encoder::new(io::repeat(b'x').take(300 << 20), 1).unwrap();
        let mut packed = Vec::new();
        encoder.read_to_end(&mut packed).unwrap();
        let mut stream = unpacked(Box::new(io::Cursor::new(packed)), Packing::Zstandard, 200);
        let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("more than 200 for each"), "{error}");
    }
}
