//! Compressed sound by the `symphonia` crate.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Mutex, PoisonError};

use blt_child::Deadline;
use blt_core::{DecodeError, Limits, SourceReader};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder as PacketDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackFlags};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::Sound;
use crate::mp4::{Edit, read_edits};
use crate::pcm::{Pcm, SampleFormat, check_size};
use crate::read::up_to;

/// A file that changes its rate or its channels more often than this is not decoded further.
const MAX_PARTS: usize = 64;

/// The stated number of samples is often an estimate that is wrong by some packets.
const STATED_SLACK: u64 = 8192;

/// Why there is no sound.
pub(crate) enum NativeError {
    /// Another program may know the format.
    Unknown(String),
    /// Another program may know the format better: most packets could not be decoded.
    Doubtful(Sound),
    /// No program will help.
    Fatal(DecodeError),
}

impl<E: Into<DecodeError>> From<E> for NativeError {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

/// All samples of the first track of sound in `source` that can be decoded.
pub(crate) fn decode(
    source: &mut dyn SourceReader,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Sound, NativeError> {
    let edits = read_edits(source)?;
    let n_bytes = source.n_bytes()?;
    let begin = begin(source)?;
    source.seek(SeekFrom::Start(0))?;
    let stream = MediaSourceStream::new(
        Box::new(Stream { source: Mutex::new(source), n_bytes, deadline: *deadline }),
        Default::default(),
    );
    let (format_options, meta_options) = (FormatOptions::default(), MetadataOptions::default());
    let unknown = |error: Error| match deadline.check() {
        Ok(()) => NativeError::Unknown(error.to_string()),
        Err(error) => NativeError::Fatal(error),
    };
    let probe = symphonia::default::get_probe();
    let mut reader = probe.probe(&Hint::new(), stream, format_options, meta_options).map_err(unknown)?;
    let container = reader.format_info().short_name;
    if !begins_as(&begin, container) {
        return Err(NativeError::Unknown(format!("there is {container} inside it, but not at its begin")));
    }
    let mut problems = Vec::new();
    let opened = open(&*reader).map_err(unknown)?;
    let (mut track, mut decoder) = (opened.track, opened.decoder);
    if opened.n_others > 0 {
        problems.push(format!("{} more tracks of sound are not decoded", opened.n_others));
    }
    let edit = edits.into_iter().find(|edit| edit.track == track.id);
    if edit.is_some_and(|edit| edit.is_partial) {
        problems.push("the cuts of its edit list are not made except the first".into());
    }
    let mut sink = Sink { parts: Vec::new(), n_bytes: 0, cut: cut(container, &track, edit), limits };
    let mut packets = Packets::default();
    loop {
        deadline.check()?;
        let packet = match reader.next_packet() {
            Ok(Some(packet)) if packet.track_id == track.id => packet,
            Ok(Some(_)) => continue,
            Ok(None) => break,
            // The tracks have changed, as they do between the parts of a chained Ogg file.
            Err(Error::ResetRequired) => match open(&*reader) {
                Ok(opened) => {
                    (track, decoder) = (opened.track, opened.decoder);
                    continue;
                }
                Err(error) => {
                    problems.push(format!("a later part of the sound cannot be decoded: {error}"));
                    break;
                }
            },
            Err(error) => {
                deadline.check()?;
                problems.push(format!("the sound ends early, after {} packets: {error}", packets.n_all));
                break;
            }
        };
        // Matroska tells its decoder's delay to the millisecond only by this; ffmpeg knows it to the sample.
        if container == "matroska" && packets.n_all == 0 && packet.pts.get() < 0 {
            return Err(NativeError::Unknown("Matroska with a codec delay".into()));
        }
        packets.n_all += 1;
        let (codec, params) = (decoder.codec_info().short_name, decoder.codec_params());
        let bits = bits_of_sample(codec, params);
        match decoder.decode(&packet) {
            Ok(samples) => {
                if !sink.push(&samples, codec, bits)? {
                    problems.push(format!("rate or channels change more than {MAX_PARTS} times; the rest is left out"));
                    break;
                }
            }
            Err(error) => {
                deadline.check()?;
                packets.n_bad += 1;
                packets.first_fault.get_or_insert_with(|| error.to_string());
                if matches!(error, Error::ResetRequired) {
                    decoder.reset();
                }
            }
        }
    }
    let n_decoded: u64 = sink.parts.iter().map(Pcm::n_samples).sum();
    if let Some(n_stated) = track.num_frames.filter(|n| *n > n_decoded + STATED_SLACK && container != "isomp4") {
        problems.push(format!("it should have {n_stated} samples and has {n_decoded}"));
    }
    problems.extend(packets.problem());
    if sink.parts.is_empty() && (packets.n_bad > 0 || packets.n_all == 0) {
        return Err(NativeError::Unknown(problems.pop().unwrap_or_else(|| "it has no packets".into())));
    }
    let sound = Sound { parts: sink.parts, problems };
    // Bytes of a format that the library does not know can look like a few packets of MP3.
    if packets.n_bad > packets.n_all / 2 { Err(NativeError::Doubtful(sound)) } else { Ok(sound) }
}

/// The first bytes after a tag of ID3.
fn begin(source: &mut dyn SourceReader) -> io::Result<Vec<u8>> {
    let tag = up_to(source, 0, 10)?;
    let offset = match tag[..] {
        [b'I', b'D', b'3', _, _, _, a, b, c, d] => {
            10 + [a, b, c, d].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7F))
        }
        _ => 0,
    };
    up_to(source, offset, 12)
}

/// Whether a file that begins like this is in the container that the library found. It looks for one anywhere in the first
/// megabyte, and the headers of WavPack, TAK and Monkey's Audio have that of the WAV file inside them.
fn begins_as(begin: &[u8], container: &str) -> bool {
    match container {
        "wave" => begin.starts_with(b"RIFF"),
        "aiff" => begin.starts_with(b"FORM"),
        "caf" => begin.starts_with(b"caff"),
        "ogg" => begin.starts_with(b"OggS"),
        "flac" => begin.starts_with(b"fLaC"),
        "matroska" => begin.starts_with(&[0x1A, 0x45, 0xDF, 0xA3]),
        "isomp4" => begin.get(4..8).is_some_and(|kind| kind.is_ascii()),
        _ => true, // streams of packets, which can be met in their middle
    }
}

/// A track and what decodes it.
struct Opened {
    track: Track,
    decoder: Box<dyn PacketDecoder>,
    /// Number of the other tracks of sound.
    n_others: usize,
}

/// The default track of sound, or the first that can be decoded.
fn open(reader: &dyn FormatReader) -> Result<Opened, Error> {
    let sound = |track: &&Track| matches!(track.codec_params, Some(CodecParameters::Audio(_)));
    let mut tracks: Vec<&Track> = reader.tracks().iter().filter(sound).collect();
    tracks.sort_by_key(|track| !track.flags.contains(TrackFlags::DEFAULT));
    let mut fault = Error::Unsupported("no track of sound");
    for track in &tracks {
        let Some(CodecParameters::Audio(params)) = &track.codec_params else { continue };
        match symphonia::default::get_codecs().make_audio_decoder(params, &AudioDecoderOptions::default()) {
            Ok(decoder) => return Ok(Opened { track: (*track).clone(), decoder, n_others: tracks.len() - 1 }),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

/// Which samples are kept; `None` for all.
#[derive(Clone, Copy)]
enum Cut {
    Edit(Edit),
    /// By numbers of samples.
    Samples {
        start: u64,
        length: Option<u64>,
    },
}

/// The cuts that the decoders do not make themselves: MP3 and Vorbis come without their delay already.
fn cut(container: &str, track: &Track, edit: Option<Edit>) -> Option<Cut> {
    match (container, track.delay) {
        ("isomp4", _) => edit.map(Cut::Edit),
        ("caf", Some(delay)) => Some(Cut::Samples { start: delay.into(), length: track.num_frames }),
        _ => None,
    }
}

/// Bits of a decoded sample that count, where that is known.
fn bits_of_sample(codec: &str, params: &AudioCodecParameters) -> Option<u32> {
    match codec {
        // The sixth byte of the codec's own header; MP4 does not repeat it.
        "alac" => params.extra_data.as_ref().and_then(|header| header.get(5)).map(|bits| u32::from(*bits)),
        codec if codec.starts_with("adpcm") => Some(16),
        _ => params.bits_per_sample.or(params.bits_per_coded_sample),
    }
}

/// How the packets fared.
#[derive(Default)]
struct Packets {
    n_all: u64,
    n_bad: u64,
    first_fault: Option<String>,
}

impl Packets {
    fn problem(&self) -> Option<String> {
        let (n_bad, n_all) = (self.n_bad, self.n_all);
        let first = self.first_fault.as_ref()?;
        Some(format!("{n_bad} of {n_all} packets could not be decoded; the first: {first}"))
    }
}

/// Collects samples in parts of one rate and number of channels.
struct Sink<'a> {
    parts: Vec<Pcm>,
    /// Bytes in all parts.
    n_bytes: u64,
    /// For the first part.
    cut: Option<Cut>,
    limits: &'a Limits,
}

impl Sink<'_> {
    /// Adds decoded samples of `codec` with so many `bits` that count. False when there are too many parts.
    fn push(
        &mut self,
        samples: &GenericAudioBufferRef<'_>,
        codec: &str,
        bits: Option<u32>,
    ) -> Result<bool, DecodeError> {
        let (rate, channels) = (samples.spec().rate(), samples.spec().channels().count() as u32);
        if samples.frames() == 0 || rate == 0 || channels == 0 {
            return Ok(true);
        }
        let (format, is_rounded) = format_of(samples, codec, bits);
        let fits = |part: &Pcm| (part.rate, part.channels, part.format) == (rate, channels, format);
        if !self.parts.last().is_some_and(fits) {
            if self.parts.len() == MAX_PARTS {
                return Ok(false);
            }
            let pcm = Pcm { format, rate, channels, codec: codec.to_owned(), is_rounded, bytes: Vec::new() };
            if let Some(Cut::Edit(edit)) = self.cut {
                let (start, length) = edit.samples(rate);
                self.cut = Some(Cut::Samples { start, length });
            }
            self.parts.push(pcm);
        }
        let n_parts = self.parts.len();
        let part = self.parts.last_mut().expect("one has just been made");
        let mut kept = 0..samples.frames();
        if let (1, Some(Cut::Samples { start, length })) = (n_parts, &mut self.cut) {
            let n_skipped = (*start).min(kept.len() as u64) as usize;
            *start -= n_skipped as u64;
            kept.start = n_skipped;
            if let Some(length) = length {
                let n_kept = (*length).min(kept.len() as u64) as usize;
                *length -= n_kept as u64;
                kept.end = kept.start + n_kept;
            }
        }
        // Checked before the bytes are made, so that no more than the limit is ever held.
        let n_new = (kept.len() * part.block()) as u64;
        self.n_bytes += n_new;
        let n_samples = part.n_samples() + kept.len() as u64;
        check_size(n_samples, rate, self.n_bytes, self.limits)?;
        append(part, samples, kept.start * channels as usize..kept.end * channels as usize);
        Ok(true)
    }
}

/// The format that holds the samples exactly, but integers of 16 bits for what a lossy codec gives as floats.
fn format_of(samples: &GenericAudioBufferRef<'_>, codec: &str, bits: Option<u32>) -> (SampleFormat, bool) {
    let (n_bits, float) = match samples {
        GenericAudioBufferRef::F32(_) => (32, Some(SampleFormat::F32)),
        GenericAudioBufferRef::F64(_) => (64, Some(SampleFormat::F64)),
        GenericAudioBufferRef::U8(_) | GenericAudioBufferRef::S8(_) => (8, None),
        GenericAudioBufferRef::U16(_) | GenericAudioBufferRef::S16(_) => (16, None),
        GenericAudioBufferRef::U24(_) | GenericAudioBufferRef::S24(_) => (24, None),
        GenericAudioBufferRef::U32(_) | GenericAudioBufferRef::S32(_) => (32, None),
    };
    match float {
        Some(float) if codec.starts_with("pcm") => (float, false),
        Some(_) => (SampleFormat::S16, true),
        None => (SampleFormat::of_bits(bits.unwrap_or(n_bits).min(n_bits)), false),
    }
}

/// Adds the samples in `kept`, counted over all channels.
fn append(part: &mut Pcm, samples: &GenericAudioBufferRef<'_>, kept: std::ops::Range<usize>) {
    let format = part.format;
    match samples {
        GenericAudioBufferRef::F32(_) | GenericAudioBufferRef::F64(_) => {
            let mut values: Vec<f64> = Vec::new();
            samples.copy_to_vec_interleaved(&mut values);
            values[kept].iter().for_each(|value| format.write(*value, &mut part.bytes));
        }
        _ => {
            let mut values: Vec<i32> = Vec::new();
            samples.copy_to_vec_interleaved(&mut values);
            values[kept].iter().for_each(|value| format.write_integer(*value, &mut part.bytes));
        }
    }
}

/// A source as `symphonia` reads it. Its reads fail after the deadline, which ends every loop inside the library.
struct Stream<'a> {
    /// The library asks for a type that threads may share; nothing ever waits for this lock.
    source: Mutex<&'a mut dyn SourceReader>,
    n_bytes: u64,
    deadline: Deadline,
}

impl<'a> Stream<'a> {
    fn source(&mut self) -> &mut (dyn SourceReader + 'a) {
        *self.source.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.deadline.check().map_err(io::Error::other)?;
        self.source().read(buffer)
    }
}

impl Seek for Stream<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.source().seek(position)
    }
}

impl MediaSource for Stream<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.n_bytes)
    }
}
