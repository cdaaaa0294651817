//! Single files that are compressed: gzip (RFC 1952), bzip2, xz (The .xz File Format, 1.2.1), zstandard (RFC 8878), LZ4
//! (LZ4 Frame Format, 1.6).

use std::io::{BufRead, BufReader, Read};

use blt_core::{DecodeError, Region, SourceReader};
use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzReader;

use crate::Members;

/// A gzip file has members that are inflated one behind the other into one file.
pub(crate) fn read_gzip(
    source: &mut dyn SourceReader,
    name: &str,
    members: &mut Members<'_>,
) -> Result<(), DecodeError> {
    let inner = inner_name(name, &[("tgz", "tar"), ("gz", ""), ("gzip", "")]);
    let mut chain = GzipChain { current: None, rest: Some(Counted::new(BufReader::new(source))), starts: vec![0] };
    members.count()?;
    let is_wanted = std::mem::replace(&mut members.wanted, true);
    members.add(&inner, &mut chain, None)?;
    members.wanted = is_wanted;
    if !is_wanted {
        members.files.clear();
    }
    let ends = chain.starts.iter().skip(1).copied().chain([members.n_bytes]);
    let regions =
        chain.starts.iter().zip(ends).map(|(start, end)| Region::new("member", *start, end.saturating_sub(*start)));
    members.regions.extend(regions);
    Ok(())
}

/// The streams of a bzip2 file are inflated one behind the other into one file.
pub(crate) fn read_bzip2(
    source: &mut dyn SourceReader,
    name: &str,
    members: &mut Members<'_>,
) -> Result<(), DecodeError> {
    members.count()?;
    let inner = inner_name(name, &[("tbz2", "tar"), ("tbz", "tar"), ("bz2", ""), ("bz", "")]);
    members.add(&inner, MultiBzDecoder::new(BufReader::new(source)), None)
}

/// The streams of an xz file are inflated one behind the other into one file.
pub(crate) fn read_xz(source: &mut dyn SourceReader, name: &str, members: &mut Members<'_>) -> Result<(), DecodeError> {
    members.count()?;
    let inner = inner_name(name, &[("txz", "tar"), ("xz", "")]);
    // A stream may ask for a dictionary of 4 GiB.
    let max_kibibytes = u32::try_from(members.limits.max_memory / 2 / 1024).unwrap_or(u32::MAX - 1);
    members.add(&inner, XzReader::new_mem_limit(BufReader::new(source), true, max_kibibytes), None)
}

/// LZ4 frames are inflated one behind the other into one file.
pub(crate) fn read_lz4(
    source: &mut dyn SourceReader,
    name: &str,
    members: &mut Members<'_>,
) -> Result<(), DecodeError> {
    members.count()?;
    let inner = inner_name(name, &[("tlz4", "tar"), ("lz4", "")]);
    let counted = Counted::new(BufReader::new(source));
    members.add(&inner, Lz4Chain { decoder: FrameDecoder::new(counted), start: 0 }, None)
}

/// Zstandard frames are inflated one behind the other into one file.
pub(crate) fn read_zstandard(
    source: &mut dyn SourceReader,
    name: &str,
    members: &mut Members<'_>,
) -> Result<(), DecodeError> {
    members.count()?;
    let inner = inner_name(name, &[("tzst", "tar"), ("zst", ""), ("zstd", "")]);
    let mut decoder = zstd::stream::read::Decoder::new(source)?;
    // A frame may ask for a window of any size.
    decoder.window_log_max(27)?;
    members.add(&inner, decoder, None)
}

/// What the file inside is called: the name without the extension of the compression.
fn inner_name(name: &str, extensions: &[(&str, &str)]) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
    for (extension, becomes) in extensions {
        let stem = name.len().checked_sub(extension.len() + 1).and_then(|at| name.split_at_checked(at));
        if let Some((stem, end)) = stem
            && !stem.is_empty()
            && end.starts_with('.')
            && end[1..].eq_ignore_ascii_case(extension)
        {
            return if becomes.is_empty() { stem.to_owned() } else { format!("{stem}.{becomes}") };
        }
    }
    "content".to_owned()
}

/// The members of a gzip file as one stream. Noise behind the last member ends it, as it does for the gzip program.
struct GzipChain<R> {
    current: Option<GzDecoder<Counted<R>>>,
    rest: Option<Counted<R>>,
    /// Where each member begins.
    starts: Vec<u64>,
}

impl<R: BufRead> Read for GzipChain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some(decoder) = &mut self.current {
                match decoder.read(buffer)? {
                    0 if !buffer.is_empty() => self.rest = self.current.take().map(GzDecoder::into_inner),
                    n => return Ok(n),
                }
            }
            let Some(mut rest) = self.rest.take() else { return Ok(0) };
            if rest.n_read > 0 {
                // The first byte tells: it may be the last one that is buffered.
                if rest.fill_buf()?.first() != Some(&0x1F) {
                    return Ok(0);
                }
                self.starts.push(rest.n_read);
            }
            self.current = Some(GzDecoder::new(rest));
        }
    }
}

/// The frames of an LZ4 file as one stream.
struct Lz4Chain<R: BufRead> {
    decoder: FrameDecoder<Counted<R>>,
    /// Where the current frame begins.
    start: u64,
}

impl<R: BufRead> Read for Lz4Chain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.decoder.read(buffer)? {
                0 if !buffer.is_empty() => {}
                n => return Ok(n),
            }
            // The end of a frame, or of the file, which the decoder takes for the former.
            let rest = self.decoder.get_mut();
            if rest.is_at_end && rest.n_read > self.start {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.start = rest.n_read;
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
        }
    }
}

/// A reader that knows how much was read of it, and whether more was asked for than there is.
struct Counted<R> {
    inner: R,
    n_read: u64,
    is_at_end: bool,
}

impl<R> Counted<R> {
    fn new(inner: R) -> Self {
        Self { inner, n_read: 0, is_at_end: false }
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.n_read += n as u64;
        self.is_at_end |= n == 0 && !buffer.is_empty();
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.n_read += amount as u64;
        self.inner.consume(amount);
    }
}
