//! WAV and AIFF: where their chunks and samples lie in the file. Nothing is held in memory but the units.
//!
//! Sources: Multimedia Programming Interface and Data Specifications 1.0 (RIFF, WAVE), EBU Tech 3306 (RF64) and ITU-R
//! BS.2088 (BW64), Audio Interchange File Format 1.3 and AIFF-C.

use std::io::{self, BufReader, Read, SeekFrom};

use blt_child::Deadline;
use blt_core::{ByteRange, DecodeError, Limits, SourceReader, Unit};

use crate::pcm::{Frames, Pcm, SampleFormat, check_size, max_frames};
use crate::read::{bytes_at, field, up_to};

/// A file with more chunks is hostile; the rest of it becomes one unit.
const MAX_CHUNKS: usize = 10_000;

/// So much of a `fmt ` or `COMM` chunk is read.
const MAX_HEADER: u64 = 128;

/// A WAV or AIFF file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wave {
    pub(crate) media_type: String,
    /// Units that tile the file.
    pub(crate) units: Vec<Unit>,
    /// Its samples, if they are not compressed.
    pub(crate) samples: Option<Samples>,
    pub(crate) problems: Vec<String>,
}

/// Samples that lie in a file as they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Samples {
    /// All of them; a part of one at the end is not in it.
    range: ByteRange,
    encoding: Encoding,
    pub(crate) rate: u32,
    pub(crate) channels: u32,
}

/// How one sample is written.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Encoding {
    kind: Kind,
    /// Bytes of one sample.
    width: u8,
    is_big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Unsigned,
    Signed,
    Float,
}

/// What a file's own description says of its samples.
struct Description {
    encoding: Option<Encoding>,
    /// The codec, where it is not a plain encoding.
    codec: String,
    rate: u32,
    channels: u32,
}

/// A part of the file with a name.
struct Chunk {
    id: [u8; 4],
    start: u64,
    body: ByteRange,
}

/// `source` as a WAV or AIFF file with frames of `frame_ms`, or `None` when it is neither.
pub(crate) fn read_wave(source: &mut dyn SourceReader, frame_ms: u32, limits: &Limits) -> io::Result<Option<Wave>> {
    let n_bytes = source.n_bytes()?;
    let Some(header) = bytes_at::<12>(source, 0)? else { return Ok(None) };
    let is_riff = match (&header[..4], &header[8..]) {
        (b"RIFF" | b"RF64" | b"BW64", b"WAVE") => true,
        (b"FORM", b"AIFF" | b"AIFC") => false,
        _ => return Ok(None),
    };
    let mut problems = Vec::new();
    let chunks = chunks(source, is_riff, stated_end(&header, is_riff, n_bytes), n_bytes, &mut problems)?;
    let (description_id, data_id) = if is_riff { (b"fmt ", b"data") } else { (b"COMM", b"SSND") };
    let description = match chunks.iter().find(|chunk| &chunk.id == description_id) {
        Some(chunk) => {
            let body = up_to(source, chunk.body.start, chunk.body.len().min(MAX_HEADER))?;
            if is_riff { describe_wave(&body) } else { describe_aiff(&body, &header[8..] == b"AIFC") }
        }
        None => None,
    };
    let data = chunks.iter().position(|chunk| &chunk.id == data_id);
    // AIFF may leave a gap before the first sample.
    let gap = match data.filter(|_| !is_riff).map(|data| chunks[data].body) {
        Some(body) => 8 + bytes_at::<4>(source, body.start)?.map_or(0, u32::from_be_bytes) as u64,
        None => 0,
    };
    let data_range = data
        .map(|data| chunks[data].body)
        .map(|body| ByteRange { start: body.start.saturating_add(gap).min(body.end), end: body.end });
    let samples = description.as_ref().zip(data_range).and_then(|(description, range)| description.samples(range));
    if data.is_none() {
        problems.push("it has no chunk of samples".into());
    } else if description.is_none() {
        problems.push("the description of its samples is missing or damaged".into());
    }
    let mut units = vec![Unit::new("header", ByteRange::new(0, 12))];
    for (i, chunk) in chunks.iter().enumerate() {
        let name: String = chunk.id.iter().map(|byte| char::from(*byte)).collect();
        let parent = units.len();
        units.push(Unit::new("chunk", ByteRange::new(chunk.start, chunk.body.end)).named(name));
        if let Some(range) = data_range.filter(|_| Some(i) == data) {
            units.push(Unit::new("header", ByteRange::new(chunk.start, range.start)).inside(parent));
            push_samples(&mut units, parent, range, samples.as_ref(), frame_ms, limits);
        }
        let next = chunks.get(i + 1).map(|next| next.start);
        if let Some(end) = next.filter(|next| *next > chunk.body.end) {
            units.push(Unit::new("padding", ByteRange::new(chunk.body.end, end)));
        }
    }
    let end = chunks.last().map_or(12, |chunk| chunk.body.end);
    if end < n_bytes {
        let is_padding = n_bytes - end == 1 && chunks.last().is_some_and(|chunk| chunk.body.len() % 2 == 1);
        units.push(Unit::new(if is_padding { "padding" } else { "trailer" }, ByteRange::new(end, n_bytes)));
    }
    let mut media_type = String::from(if is_riff { "audio/vnd.wave" } else { "audio/aiff" });
    if let Some(Description { codec, rate, channels, .. }) = &description {
        media_type.push_str(&format!("; format={codec}; rate={rate}; channels={channels}"));
    }
    Ok(Some(Wave { media_type, units, samples, problems }))
}

impl Samples {
    /// The samples in little-endian order, in a format that holds each exactly.
    pub(crate) fn read(
        &self,
        source: &mut dyn SourceReader,
        limits: &Limits,
        deadline: &Deadline,
    ) -> Result<Pcm, DecodeError> {
        let width = usize::from(self.encoding.width);
        let format = match (self.encoding.kind, width) {
            (Kind::Float, 8) => SampleFormat::F64,
            (Kind::Float, _) => SampleFormat::F32,
            _ => SampleFormat::of_bits(8 * u32::from(self.encoding.width)),
        };
        let n_samples = self.range.len() / width as u64;
        let n_bytes = n_samples * format.width() as u64;
        check_size(n_samples / u64::from(self.channels), self.rate, n_bytes, limits)?;
        let codec = self.encoding.name();
        let mut pcm =
            Pcm { format, rate: self.rate, channels: self.channels, codec, is_rounded: false, bytes: Vec::new() };
        source.seek(SeekFrom::Start(self.range.start))?;
        let mut reader = BufReader::with_capacity(1 << 16, source.take(self.range.len()));
        let mut sample = [0; 8];
        for i in 0..n_samples {
            if i % (1 << 20) == 0 {
                deadline.check()?;
            }
            let sample = &mut sample[..width];
            reader.read_exact(sample)?;
            if self.encoding.is_big_endian {
                sample.reverse();
            }
            match (self.encoding.kind, width) {
                (Kind::Unsigned, 1) => pcm.bytes.extend_from_slice(&[0, sample[0] ^ 0x80]),
                (Kind::Signed, 1) => pcm.bytes.extend_from_slice(&[0, sample[0]]),
                _ => pcm.bytes.extend_from_slice(sample),
            }
        }
        Ok(pcm)
    }
}

impl Encoding {
    fn name(self) -> String {
        let kind = match self.kind {
            Kind::Unsigned => 'u',
            Kind::Signed => 's',
            Kind::Float => 'f',
        };
        let order = match (self.width, self.is_big_endian) {
            (1, _) => "",
            (_, true) => "be",
            (_, false) => "le",
        };
        format!("{kind}{}{order}", 8 * u32::from(self.width))
    }
}

impl Description {
    fn new(encoding: Option<Encoding>, codec: String, rate: u32, channels: u16) -> Self {
        Self { encoding, codec: encoding.map_or(codec, Encoding::name), rate, channels: channels.into() }
    }

    /// The samples in `range`, if they are plain ones.
    fn samples(&self, range: ByteRange) -> Option<Samples> {
        let encoding = self.encoding.filter(|_| self.rate > 0 && self.channels > 0)?;
        let block = u64::from(encoding.width) * u64::from(self.channels);
        let range = ByteRange::new(range.start, range.start + range.len() / block * block);
        Some(Samples { range, encoding, rate: self.rate, channels: self.channels })
    }
}

/// The chunks up to the end of the file, or up to where there is none any more.
fn chunks(
    source: &mut dyn SourceReader,
    is_riff: bool,
    stated_end: u64,
    n_bytes: u64,
    problems: &mut Vec<String>,
) -> io::Result<Vec<Chunk>> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut start = 12;
    // The size of the samples in an RF64 file, whose own chunk has no room for it.
    let mut large_size = None;
    while start < stated_end && chunks.len() < MAX_CHUNKS {
        let Some(header) = bytes_at::<8>(source, start)? else { break };
        let [a, b, c, d, sizes @ ..] = header;
        let id = [a, b, c, d];
        if !id.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            break;
        }
        let size = if is_riff { u32::from_le_bytes(sizes) } else { u32::from_be_bytes(sizes) };
        let to_end = n_bytes - start - 8;
        // A program that writes to a pipe cannot go back to fill in the size.
        let size = match (&id, size) {
            (b"data", u32::MAX) => large_size.unwrap_or(to_end),
            (b"data", 0) if stated_end == n_bytes && to_end > 0 && chunks.len() < 8 && is_unfinished(source)? => to_end,
            _ => u64::from(size),
        };
        if size > to_end {
            let name = id.escape_ascii();
            problems.push(format!("the file ends {} bytes before its chunk `{name}` does", size - to_end));
        }
        let body = ByteRange::new(start + 8, start + 8 + size.min(to_end));
        if &id == b"ds64" {
            large_size = bytes_at::<8>(source, body.start.saturating_add(8))?.map(u64::from_le_bytes);
        }
        chunks.push(Chunk { id, start, body });
        start = body.end + body.len() % 2;
    }
    Ok(chunks)
}

/// Whether the size of the whole file was never filled in.
fn is_unfinished(source: &mut dyn SourceReader) -> io::Result<bool> {
    Ok(matches!(bytes_at::<4>(source, 4)?, Some([0, 0, 0, 0] | [0xFF, 0xFF, 0xFF, 0xFF])))
}

/// Where the chunks end by the file's header, or the end of the file if that is no use.
fn stated_end(header: &[u8; 12], is_riff: bool, n_bytes: u64) -> u64 {
    let size = [header[4], header[5], header[6], header[7]];
    match if is_riff { u32::from_le_bytes(size) } else { u32::from_be_bytes(size) } {
        0 | u32::MAX => n_bytes,
        size => n_bytes.min(8 + u64::from(size)),
    }
}

fn push_samples(
    units: &mut Vec<Unit>,
    parent: usize,
    range: ByteRange,
    samples: Option<&Samples>,
    frame_ms: u32,
    limits: &Limits,
) {
    let parent = Some(parent);
    let Some(samples) = samples else {
        units.push(Unit::new("samples", range).inside(parent));
        return;
    };
    let inside = units.len();
    units.push(Unit::new("samples", range).inside(parent));
    let block = u64::from(samples.encoding.width) * u64::from(samples.channels);
    let n_samples = samples.range.len() / block;
    let frames = Frames::new(n_samples, samples.rate, frame_ms, max_frames(limits));
    frames.push_units(units, Some(inside), range.start, block);
    if samples.range.end < range.end {
        units.push(Unit::new("remainder", ByteRange::new(samples.range.end, range.end)).inside(inside));
    }
}

/// The chunk `fmt ` of a WAV file.
fn describe_wave(body: &[u8]) -> Option<Description> {
    let short = |offset| field(body, offset).map(u16::from_le_bytes);
    let mut tag = short(0)?;
    let channels = short(2)?;
    let rate = field(body, 4).map(u32::from_le_bytes)?;
    if tag == 0xFFFE {
        tag = short(24)?; // WAVE_FORMAT_EXTENSIBLE: the real one begins the sub-format's identifier
    }
    let width = sample_width(short(12)?, channels);
    let kind = match (tag, width) {
        (1, 1) => Some(Kind::Unsigned),
        (1, 2..=4) => Some(Kind::Signed),
        (3, 4 | 8) => Some(Kind::Float),
        _ => None,
    };
    let encoding = kind.map(|kind| Encoding { kind, width, is_big_endian: false });
    Some(Description::new(encoding, format!("0x{tag:04X}"), rate, channels))
}

/// Bytes of one sample in blocks of `block` bytes; 0 if that does not come out even.
fn sample_width(block: u16, channels: u16) -> u8 {
    match block.checked_rem(channels) {
        Some(0) => u8::try_from(block / channels).unwrap_or(0),
        _ => 0,
    }
}

/// The chunk `COMM` of an AIFF file.
fn describe_aiff(body: &[u8], is_compressed: bool) -> Option<Description> {
    let channels = field(body, 0).map(u16::from_be_bytes)?;
    let width = field(body, 6).map(u16::from_be_bytes)?.div_ceil(8);
    let rate = extended_to_integer(field(body, 8)?);
    let codec = if is_compressed { field::<4>(body, 18)? } else { *b"NONE" };
    let (kind, width, is_big_endian) = match (&codec, width) {
        (b"NONE" | b"twos", 1..=4) => (Some(Kind::Signed), width, true),
        (b"sowt", 1..=4) => (Some(Kind::Signed), width, false),
        (b"raw ", 1) => (Some(Kind::Unsigned), 1, true),
        (b"in24", _) => (Some(Kind::Signed), 3, true),
        (b"in32", _) => (Some(Kind::Signed), 4, true),
        (b"fl32" | b"FL32", _) => (Some(Kind::Float), 4, true),
        (b"fl64" | b"FL64", _) => (Some(Kind::Float), 8, true),
        _ => (None, 0, true),
    };
    let encoding = kind.map(|kind| Encoding { kind, width: width as u8, is_big_endian });
    Some(Description::new(encoding, codec.escape_ascii().to_string(), rate, channels))
}

/// A number of 80 bits (sign and exponent in 16, then a mantissa of 64 with its leading one) to the nearest integer; 0 if
/// it is none of 32 bits.
fn extended_to_integer(bytes: [u8; 10]) -> u32 {
    let [a, b, mantissa @ ..] = bytes;
    let (exponent, mantissa) = (u16::from_be_bytes([a, b]), u64::from_be_bytes(mantissa));
    let Some(shift) = 16_383_u16.saturating_add(63).checked_sub(exponent).filter(|shift| (32..64).contains(shift))
    else {
        return 0;
    };
    u32::try_from((u128::from(mantissa) + (1 << (shift - 1))) >> shift).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut bytes = [&id[..], &(body.len() as u32).to_le_bytes(), body].concat();
        bytes.extend(std::iter::repeat_n(0, body.len() % 2));
        bytes
    }

    fn wave(tag: u16, channels: u16, rate: u32, width: u16, samples: &[u8]) -> Vec<u8> {
        let mut format = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
        format.extend(rate.to_le_bytes());
        format.extend((rate * u32::from(channels * width)).to_le_bytes());
        format.extend((channels * width).to_le_bytes());
        format.extend((8 * width).to_le_bytes());
        let body = [b"WAVE".to_vec(), chunk(b"fmt ", &format), chunk(b"data", samples)].concat();
        chunk(b"RIFF", &body)
    }

    #[track_caller]
    fn read(bytes: &[u8], frame_ms: u32) -> Wave {
        let mut wave = read_wave(&mut Cursor::new(bytes), frame_ms, &Limits::default()).unwrap().unwrap();
        let units = std::mem::take(&mut wave.units);
        let mut view = blt_core::View::raw(blt_core::Modality::Audio, "audio/vnd.wave");
        view.units = units;
        assert_eq!(view.check_units(bytes.len() as u64), Ok(()));
        wave.units = view.units;
        wave
    }

    fn shapes(wave: &Wave) -> Vec<String> {
        wave.units
            .iter()
            .map(|unit| format!("{} {}", unit.name.as_deref().unwrap_or(&unit.label), unit.range))
            .collect()
    }

    #[test]
    fn frames_lie_in_the_samples_of_the_file() {
        let mut bytes = wave(1, 2, 1000, 2, &[7; 27]);
        bytes.extend(b"tail");
        let wave = read(&bytes, 3);
        let expected = [
            "header 0..12",
            "fmt  12..36",
            "data 36..71",
            "header 36..44",
            "samples 44..71",
            "frame 44..56",
            "frame 56..68",
            "remainder 68..71",
            "padding 71..72",
            "trailer 72..76",
        ];
        // The pad byte and the tail are one trailer only where nothing tells them apart.
        assert_eq!(shapes(&wave)[..8], expected[..8]);
        assert_eq!(wave.media_type, "audio/vnd.wave; format=s16le; rate=1000; channels=2");
        assert_eq!(wave.problems, [""; 0]);
    }

    #[test]
    fn a_cut_file_keeps_what_it_has() {
        let bytes = wave(1, 1, 8000, 2, &[7; 1000]);
        let wave = read(&bytes[..544], 10);
        assert_eq!(wave.problems, ["the file ends 500 bytes before its chunk `data` does"]);
        assert_eq!(wave.samples.unwrap().range.len(), 500);
    }

    #[test]
    fn samples_of_every_encoding_become_little_endian() {
        let pcm = |bytes: &[u8]| {
            let samples = read(bytes, 10).samples.unwrap();
            samples.read(&mut Cursor::new(bytes), &Limits::default(), &Deadline::new(&Limits::default())).unwrap()
        };
        assert_eq!(pcm(&wave(1, 1, 8000, 1, &[0x80, 0xFF])).bytes, [0, 0, 0, 0x7F]);
        assert_eq!(pcm(&wave(1, 1, 8000, 3, &[1, 2, 3])).bytes, [1, 2, 3]);
        let float = pcm(&wave(3, 1, 8000, 4, &0.5f32.to_le_bytes()));
        assert_eq!((float.format, float.bytes), (SampleFormat::F32, 0.5f32.to_le_bytes().to_vec()));
        assert_eq!(read(&wave(2, 1, 8000, 1, &[1, 2]), 10).samples, None, "ADPCM is compressed");
    }

    #[test]
    fn rates_of_80_bits() {
        assert_eq!(extended_to_integer([0x40, 0x0E, 0xAC, 0x44, 0, 0, 0, 0, 0, 0]), 44_100);
        assert_eq!(extended_to_integer([0x3F, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1);
        assert_eq!(extended_to_integer([0xFF; 10]), 0);
    }

    proptest! {
        #[test]
        fn units_tile_damaged_files(
            samples in prop::collection::vec(any::<u8>(), 0..100), tag in 0u16..4, channels in 0u16..4,
            width in 0u16..9, rate in 0u32..70_000, cut in 12usize..144, at in 12usize..144, byte: u8, form: bool,
        ) {
            let mut bytes = wave(tag, channels, rate, width, &samples);
            if form {
                bytes[..4].copy_from_slice(b"FORM");
                bytes[8..12].copy_from_slice(b"AIFC");
            }
            if let Some(damaged) = bytes.get_mut(at) { *damaged = byte; }
            bytes.truncate(cut);
            read(&bytes, 1);
        }
    }
}
