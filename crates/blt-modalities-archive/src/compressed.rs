//! Single files that are compressed: gzip (RFC 1952) and zstandard (RFC 8878).

use std::io::{BufRead, BufReader, Read};

use blt_core::{DecodeError, Region, SourceReader};
use flate2::bufread::GzDecoder;

use crate::Members;

/// A gzip file has members that are inflated one behind the other into one file.
pub(crate) fn read_gzip(
    source: &mut dyn SourceReader,
    name: &str,
    members: &mut Members<'_>,
) -> Result<(), DecodeError> {
    let inner = inner_name(name, &[("tgz", "tar"), ("gz", ""), ("gzip", "")]);
    let mut chain =
        GzipChain { current: None, rest: Some(Counted { inner: BufReader::new(source), n_read: 0 }), starts: vec![0] };
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

/// A reader that knows how much was read of it.
struct Counted<R> {
    inner: R,
    n_read: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.n_read += n as u64;
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
