//! Sound for byte models. The samples of a WAV or AIFF file are units of the file's own bytes; those of a compressed file
//! become a view `pcm`, exact to the sample: what encoders add at the begin and the end is left out.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits};
//! use blt_modalities_audio::AudioDecoder;
//!
//! let format = [1, 0, 1, 0, 0x40, 0x1F, 0, 0, 0x80, 0x3E, 0, 0, 2, 0, 16, 0]; // 8000 samples a second of 16 bits
//! let file = [&b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0"[..], &format, b"data\x04\0\0\0", &[1, 0, 2, 0]].concat();
//! let document = AudioDecoder::default().decode(&mut std::io::Cursor::new(file), &Hint::default(), &Limits::default())?;
//! assert_eq!(document.media_type, "audio/vnd.wave; format=s16le; rate=8000; channels=1");
//! let frame = document.views[0].units.last().expect("a frame of two samples");
//! assert_eq!((&*frame.label, frame.range.start, frame.range.end), ("frame", 44, 48));
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! It does not decide whether a file is sound; `blt-modalities` does. Formats that the `symphonia` crate lacks (Opus,
//! AC-3, WMA, WavPack and others) need the program `ffmpeg`, which is started as a child and killed at the deadline.

mod mp4;
mod native;
mod pcm;
mod program;
mod read;
mod resample;
mod wave;

use std::panic::{AssertUnwindSafe, catch_unwind};

use blt_child::Deadline;
use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Modality, SourceReader, View, Views};
use serde::{Deserialize, Serialize};

use native::NativeError;
use pcm::Pcm;
use wave::{Wave, read_wave};

/// How the channels of a view `pcm` are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Channels {
    /// The samples of one moment side by side.
    #[default]
    Interleaved,
    /// One channel after the other.
    Planar,
    /// One channel, the mean of all.
    Mixed,
}

/// Makes documents of sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudioDecoder {
    /// Which views. Uncompressed samples are their own decoding, so that [`Views::Decoded`] gives the file's bytes with
    /// units where nothing else asks for other ones.
    pub views: Views,
    /// Layout of the channels.
    pub channels: Channels,
    /// Samples a second; `None` for as many as the source has.
    pub sample_rate: Option<u32>,
    /// Length of a frame in milliseconds. The frames of very long sounds are longer.
    pub frame_ms: u32,
}

impl Default for AudioDecoder {
    fn default() -> Self {
        Self { views: Views::default(), channels: Channels::default(), sample_rate: None, frame_ms: 100 }
    }
}

impl Decoder for AudioDecoder {
    fn modality(&self) -> Modality {
        Modality::Audio
    }

    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let n_bytes = source.n_bytes()?;
        if n_bytes > limits.max_bytes {
            return Err(DecodeError::TooLarge { found: n_bytes, limit: limits.max_bytes });
        }
        if n_bytes == 0 {
            return Err(DecodeError::Content { modality: Modality::Audio, reason: "it is empty".into() });
        }
        let deadline = Deadline::new(limits);
        let wave = read_wave(source, self.frame_ms, limits)?;
        let is_decoded = wave.as_ref().is_some_and(|wave| self.takes_as_it_is(wave));
        let mut document = Document::new(Modality::Audio, media_type(wave.as_ref(), hint), Vec::new());
        let samples = wave.as_ref().and_then(|wave| wave.samples);
        if self.views != Views::Decoded || is_decoded {
            let mut view = View::raw(Modality::Audio, document.media_type.clone());
            if let Some(wave) = wave {
                view.units = wave.units;
                document.problems = wave.problems;
            }
            document.views.push(view);
        }
        if self.views == Views::Raw || (self.views == Views::Decoded && is_decoded) {
            return Ok(document);
        }

        let sound = match samples {
            Some(samples) => samples.read(source, limits, &deadline).map(Sound::from),
            None => decode_compressed(source, hint, limits, &deadline),
        };
        sound.and_then(|sound| self.add(sound, limits, &mut document))?;
        Ok(document)
    }
}

impl AudioDecoder {
    /// Whether the samples lie in the file just as these options want them.
    fn takes_as_it_is(&self, wave: &Wave) -> bool {
        wave.samples.is_some_and(|samples| {
            (samples.channels == 1 || self.channels == Channels::Interleaved)
                && self.sample_rate.is_none_or(|rate| rate == samples.rate)
        })
    }

    /// Adds a view for each part of the sound.
    fn add(&self, sound: Sound, limits: &Limits, document: &mut Document) -> Result<(), DecodeError> {
        let is_divided = sound.parts.len() > 1;
        let n_before = document.views.len();
        for (i, part) in sound.parts.into_iter().enumerate() {
            part.check(limits)?;
            let mut view = part.into_view(self, limits)?;
            view.name = is_divided.then(|| format!("part {i}").into());
            document.views.push(view);
        }
        document.problems.extend(sound.problems);
        if document.views.len() == n_before {
            let reason = "it has no samples".into();
            return Err(DecodeError::Content { modality: Modality::Audio, reason });
        }
        Ok(())
    }
}

/// The samples of a source, in more than one part where their rate or their channels change.
struct Sound {
    parts: Vec<Pcm>,
    problems: Vec<String>,
}

impl From<Pcm> for Sound {
    fn from(pcm: Pcm) -> Self {
        Self { parts: vec![pcm], problems: Vec::new() }
    }
}

fn decode_compressed(
    source: &mut dyn SourceReader,
    hint: &Hint<'_>,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Sound, DecodeError> {
    // The library panics at some damaged headers where overflow is checked; such a file is one that it does not know.
    let native = catch_unwind(AssertUnwindSafe(|| native::decode(source, limits, deadline)))
        .unwrap_or_else(|_| Err(NativeError::Unknown("its headers are damaged".into())));
    match native {
        Ok(sound) => Ok(sound),
        Err(NativeError::Fatal(error)) => Err(error),
        Err(NativeError::Doubtful(sound)) => {
            program::decode(source, hint, "most packets are damaged", limits, deadline).or(Ok(sound))
        }
        Err(NativeError::Unknown(reason)) => program::decode(source, hint, &reason, limits, deadline),
    }
}

fn media_type(wave: Option<&Wave>, hint: &Hint<'_>) -> String {
    match wave {
        Some(wave) => wave.media_type.clone(),
        None if hint.media_type.is_empty() => "application/octet-stream".into(),
        None => hint.media_type.into(),
    }
}
