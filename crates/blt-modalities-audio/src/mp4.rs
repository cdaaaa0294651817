//! The part of an MP4 file's sound that is meant to be heard: AAC begins with samples that only prime the decoder and
//! ends with some that fill its last packet. The edit list, or Apple's note `iTunSMPB`, says which.
//!
//! Source: ISO/IEC 14496-12, 8.6.6 (edit list) and 4.2 (boxes).

use std::io;

use blt_core::{ByteRange, SourceReader};

use crate::read::{bytes_at, field, up_to};

/// More boxes than this in one box are not looked at.
const MAX_BOXES: usize = 4096;

/// So much of a box that is not a container is read.
const MAX_BODY: u64 = 4096;

/// The samples to keep of one track, in the ticks that the file counts them in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Number of the track.
    pub(crate) track: u32,
    /// First tick that is heard.
    pub(crate) start: u64,
    /// Ticks that are heard; `None` for all that follow.
    pub(crate) length: Option<u64>,
    /// Ticks a second.
    pub(crate) timescale: u32,
    /// Whether the file asks for more cuts than one begin and one end. They are not made.
    pub(crate) is_partial: bool,
}

impl Edit {
    /// First sample and number of samples to keep at `rate` samples a second.
    pub(crate) fn samples(&self, rate: u32) -> (u64, Option<u64>) {
        let scale = |ticks: u64| {
            let samples = u128::from(ticks) * u128::from(rate) + u128::from(self.timescale / 2);
            u64::try_from(samples / u128::from(self.timescale.max(1))).unwrap_or(u64::MAX)
        };
        (scale(self.start), self.length.map(scale))
    }
}

/// The edits of every track that has one. Empty for a file that is not MP4.
pub(crate) fn read_edits(source: &mut dyn SourceReader) -> io::Result<Vec<Edit>> {
    let whole = ByteRange { start: 0, end: source.n_bytes()? };
    let first = bytes_at::<8>(source, 0)?;
    if !first.is_some_and(|first| matches!(&first[4..], b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free" | b"skip")) {
        return Ok(Vec::new());
    }
    let Some(movie) = find(source, whole, &[b"moov"])? else { return Ok(Vec::new()) };
    let movie_scale = timescale(source, movie, &[b"mvhd"])?;
    let note = apple_note(source, movie)?;
    let mut edits = Vec::new();
    for (kind, track) in boxes(source, movie)? {
        if &kind == b"trak" {
            edits.extend(read_track(source, track, movie_scale, note)?);
        }
    }
    Ok(edits)
}

fn read_track(
    source: &mut dyn SourceReader,
    track: ByteRange,
    movie_scale: Option<u32>,
    note: Option<(u64, u64)>,
) -> io::Result<Option<Edit>> {
    let header = body(source, track, &[b"tkhd"])?;
    let Some(number) = field(&header, if header.first() == Some(&1) { 20 } else { 12 }).map(u32::from_be_bytes) else {
        return Ok(None);
    };
    let Some(timescale) = timescale(source, track, &[b"mdia", b"mdhd"])? else { return Ok(None) };
    let edit = Edit { track: number, start: 0, length: None, timescale, is_partial: false };
    if let Some((start, length)) = note {
        return Ok(Some(Edit { start, length: Some(length), ..edit }));
    }
    let list = body(source, track, &[b"edts", b"elst"])?;
    let entries = edit_entries(&list);
    let Some(&(duration, start)) = entries.first() else { return Ok(None) };
    let n_ticks = n_ticks(source, track)?;
    let stated = movie_scale.filter(|_| duration > 0).map(|scale| {
        let ticks = u128::from(duration) * u128::from(timescale) / u128::from(scale);
        // The movie's clock is often coarser than the track's, so that its durations are inexact by one of its ticks.
        (u64::try_from(ticks).unwrap_or(u64::MAX), u64::from(timescale / scale) + 1)
    });
    let rest = n_ticks.map(|n_ticks| n_ticks.saturating_sub(start));
    let length = match (stated, rest) {
        (Some((stated, slack)), Some(rest)) if stated.abs_diff(rest) <= slack => Some(rest),
        (Some((stated, _)), _) => Some(stated),
        (None, rest) => rest,
    };
    let is_partial = entries.len() > 1;
    Ok(Some(Edit { start, length: length.filter(|_| !is_partial), is_partial, ..edit }))
}

/// Duration in ticks of the movie and first tick in those of the track, of each edit that is not a pause.
fn edit_entries(list: &[u8]) -> Vec<(u64, u64)> {
    let is_long = list.first() == Some(&1);
    let entry_bytes = if is_long { 20 } else { 12 };
    let entry = |entry: &[u8]| {
        let (duration, start) = if is_long {
            (u64::from_be_bytes(field(entry, 0)?), i64::from_be_bytes(field(entry, 8)?))
        } else {
            (u64::from(u32::from_be_bytes(field(entry, 0)?)), i64::from(i32::from_be_bytes(field(entry, 4)?)))
        };
        u64::try_from(start).ok().map(|start| (duration, start))
    };
    let n_entries = field(list, 4).map_or(0, u32::from_be_bytes) as usize;
    list.get(8..).unwrap_or_default().chunks_exact(entry_bytes).take(n_entries).filter_map(entry).collect()
}

/// All ticks of a track by its table of packets, or `None` when the packets are listed elsewhere (fragments), or when the
/// table is longer than is read.
fn n_ticks(source: &mut dyn SourceReader, track: ByteRange) -> io::Result<Option<u64>> {
    let table = body(source, track, &[b"mdia", b"minf", b"stbl", b"stts"])?;
    let n_entries = field(&table, 4).map_or(0, u32::from_be_bytes) as usize;
    let entries = table.get(8..).unwrap_or_default().chunks_exact(8);
    if n_entries == 0 || n_entries > entries.len() {
        return Ok(None);
    }
    let ticks = entries.take(n_entries).map(|entry| {
        let (count, ticks) = (field(entry, 0).map(u32::from_be_bytes), field(entry, 4).map(u32::from_be_bytes));
        u64::from(count.unwrap_or(0)) * u64::from(ticks.unwrap_or(0))
    });
    Ok(Some(ticks.fold(0, u64::saturating_add)))
}

fn timescale(source: &mut dyn SourceReader, parent: ByteRange, path: &[&[u8; 4]]) -> io::Result<Option<u32>> {
    let header = body(source, parent, path)?;
    let offset = if header.first() == Some(&1) { 20 } else { 12 };
    Ok(field(&header, offset).map(u32::from_be_bytes).filter(|timescale| *timescale > 0))
}

/// First sample and number of samples by the note that Apple's encoders leave:
/// ` 00000000 00000840 000001CA 00000000003F31F6 ..`, the second number and the fourth.
fn apple_note(source: &mut dyn SourceReader, movie: ByteRange) -> io::Result<Option<(u64, u64)>> {
    let Some(meta) = find(source, movie, &[b"udta", b"meta"])? else { return Ok(None) };
    let after_version = ByteRange { start: meta.start.saturating_add(4).min(meta.end), end: meta.end };
    let Some(list) = find(source, after_version, &[b"ilst"])? else { return Ok(None) };
    for (kind, item) in boxes(source, list)? {
        if &kind != b"----" || !body(source, item, &[b"name"])?.ends_with(b"iTunSMPB") {
            continue;
        }
        let data = body(source, item, &[b"data"])?;
        let text = data.get(8..).and_then(|text| str::from_utf8(text).ok()).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map(|number| u64::from_str_radix(number, 16).ok());
        let (start, length) = (numbers.nth(1).flatten(), numbers.nth(1).flatten());
        return Ok(start.zip(length).filter(|(_, length)| *length > 0));
    }
    Ok(None)
}

/// Begin of what is in the box at the end of `path`; empty when there is none.
fn body(source: &mut dyn SourceReader, parent: ByteRange, path: &[&[u8; 4]]) -> io::Result<Vec<u8>> {
    match find(source, parent, path)? {
        Some(found) => up_to(source, found.start, found.len().min(MAX_BODY)),
        None => Ok(Vec::new()),
    }
}

/// What is in the first box of each name of `path`, each inside the one before.
fn find(source: &mut dyn SourceReader, parent: ByteRange, path: &[&[u8; 4]]) -> io::Result<Option<ByteRange>> {
    let mut inside = parent;
    for wanted in path {
        match boxes(source, inside)?.into_iter().find(|(kind, _)| kind == *wanted) {
            Some((_, found)) => inside = found,
            None => return Ok(None),
        }
    }
    Ok(Some(inside))
}

/// Kind and content of every box directly in `parent`, up to the first whose size makes no sense.
fn boxes(source: &mut dyn SourceReader, parent: ByteRange) -> io::Result<Vec<([u8; 4], ByteRange)>> {
    let mut found = Vec::new();
    let mut start = parent.start;
    while start < parent.end && found.len() < MAX_BOXES {
        let Some([a, b, c, d, kind @ ..]) = bytes_at::<8>(source, start)? else { break };
        let (n_header, end) = match u32::from_be_bytes([a, b, c, d]) {
            0 => (8, Some(parent.end)),
            1 => {
                let size = bytes_at::<8>(source, start + 8)?.map(u64::from_be_bytes);
                (16, size.and_then(|size| start.checked_add(size)))
            }
            size => (8, start.checked_add(size.into())),
        };
        let content = start + n_header;
        let Some(end) = end.map(|end| end.min(parent.end)).filter(|end| *end >= content) else { break };
        found.push((kind, ByteRange { start: content, end }));
        start = end;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn container(kind: &[u8; 4], content: &[Vec<u8>]) -> Vec<u8> {
        let content = content.concat();
        [&(content.len() as u32 + 8).to_be_bytes()[..], kind, &content].concat()
    }

    fn words(kind: &[u8; 4], words: &[u32]) -> Vec<u8> {
        container(kind, &words.iter().map(|word| word.to_be_bytes().to_vec()).collect::<Vec<_>>())
    }

    fn file(list: &[u32]) -> Vec<u8> {
        let table = words(b"stts", &[0, 2, 130, 1024, 1, 204]);
        let media = container(
            b"mdia",
            &[words(b"mdhd", &[0, 0, 0, 44_100, 0]), container(b"minf", &[container(b"stbl", &[table])])],
        );
        let track = [words(b"tkhd", &[7, 0, 0, 2, 0]), container(b"edts", &[words(b"elst", list)]), media];
        let movie = container(b"moov", &[words(b"mvhd", &[0, 0, 0, 1000, 0]), container(b"trak", &track)]);
        [words(b"ftyp", &[0]), movie].concat()
    }

    fn edits(bytes: &[u8]) -> Vec<Edit> {
        read_edits(&mut Cursor::new(bytes)).unwrap()
    }

    #[test]
    fn priming_and_padding_are_left_out() {
        // 133,324 ticks of which 1024 prime the decoder: 132,300, which the movie calls 3000 ms.
        let edit = Edit { track: 2, start: 1024, length: Some(132_300), timescale: 44_100, is_partial: false };
        assert_eq!(edits(&file(&[0, 1, 3000, 1024, 1 << 16])), [edit]);
        assert_eq!(edit.samples(88_200), (2048, Some(264_600)));
    }

    #[test]
    fn a_pause_is_no_cut_and_a_shorter_edit_is_one() {
        let edit = edits(&file(&[0, 2, 500, u32::MAX, 1 << 16, 1000, 1024, 1 << 16]))[0];
        assert_eq!((edit.start, edit.length, edit.is_partial), (1024, Some(44_100), false));
    }

    #[test]
    fn several_cuts_are_not_made() {
        let edit = edits(&file(&[0, 2, 500, 10, 1 << 16, 1000, 40_000, 1 << 16]))[0];
        assert_eq!((edit.start, edit.length, edit.is_partial), (10, None, true));
    }

    proptest! {
        #[test]
        fn damaged_files_are_read_without_fault(at in 0usize..300, byte: u8, cut in 0usize..300) {
            let mut bytes = file(&[0, 1, 3000, 1024, 1 << 16]);
            if let Some(damaged) = bytes.get_mut(at) { *damaged = byte; }
            bytes.truncate(cut);
            for edit in edits(&bytes) { edit.samples(u32::MAX); }
        }
    }
}
