//! Decoded samples, and the view that is made of them.

use blt_core::{ByteRange, DecodeError, Limits, Modality, Origin, Unit, View};

use crate::resample::resample;
use crate::{AudioDecoder, Channels};

/// A view has at most about so many frames; those of a longer sound are longer, so that units stay few beside samples.
const MAX_FRAMES: u64 = 200_000;

/// How one sample is written, always little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleFormat {
    S16,
    S24,
    S32,
    F32,
    F64,
}

impl SampleFormat {
    const ALL: [Self; 5] = [Self::S16, Self::S24, Self::S32, Self::F32, Self::F64];

    /// The format with this [`SampleFormat::name`].
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its name in media types, which is also that of FFmpeg's raw format.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S16 => "s16le",
            Self::S24 => "s24le",
            Self::S32 => "s32le",
            Self::F32 => "f32le",
            Self::F64 => "f64le",
        }
    }

    /// Bytes of one sample.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::S16 => 2,
            Self::S24 => 3,
            Self::S32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The integer format for samples of `n_bits`.
    pub(crate) fn of_bits(n_bits: u32) -> Self {
        match n_bits {
            0..=16 => Self::S16,
            17..=24 => Self::S24,
            _ => Self::S32,
        }
    }

    /// Appends an integer sample that fills 32 bits; the bits that the format has no room for are dropped.
    pub(crate) fn write_integer(self, sample: i32, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&sample.to_le_bytes()[4 - self.width()..]);
    }

    /// Appends a sample of -1 to 1, rounded to the nearest step and clipped if the format is one of integers.
    pub(crate) fn write(self, sample: f64, bytes: &mut Vec<u8>) {
        // A float cast saturates, which is the clipping at 32 bits.
        let step = |n_bits: i32| (sample * 2f64.powi(n_bits - 1)).round_ties_even();
        match self {
            Self::S16 => bytes.extend_from_slice(&(step(16) as i16).to_le_bytes()),
            Self::S24 => {
                let clipped = step(24).clamp(-8_388_608.0, 8_388_607.0) as i32;
                bytes.extend_from_slice(&clipped.to_le_bytes()[..3]);
            }
            Self::S32 => bytes.extend_from_slice(&(step(32) as i32).to_le_bytes()),
            Self::F32 => bytes.extend_from_slice(&(sample as f32).to_le_bytes()),
            Self::F64 => bytes.extend_from_slice(&sample.to_le_bytes()),
        }
    }

    /// The sample in `bytes`, of -1 to 1 unless it is a float that leaves this range itself.
    pub(crate) fn read(self, bytes: &[u8]) -> f64 {
        let integer = |n_bits: i32| {
            let mut wide = [0; 4];
            wide[4 - bytes.len()..].copy_from_slice(bytes);
            f64::from(i32::from_le_bytes(wide) >> (32 - n_bits)) / 2f64.powi(n_bits - 1)
        };
        match self {
            Self::S16 => integer(16),
            Self::S24 => integer(24),
            Self::S32 => integer(32),
            Self::F32 => f64::from(f32::from_le_bytes(bytes.try_into().expect("a sample of four bytes"))),
            Self::F64 => f64::from_le_bytes(bytes.try_into().expect("a sample of eight bytes")),
        }
    }
}

/// Decoded samples of one rate and number of channels, the channels of one moment side by side.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pcm {
    pub(crate) format: SampleFormat,
    /// Samples a second of every channel; not 0.
    pub(crate) rate: u32,
    /// Not 0.
    pub(crate) channels: u32,
    /// What they were decoded from, for the media type.
    pub(crate) codec: String,
    /// Whether the decoder gave floats, which have been rounded to `format`.
    pub(crate) is_rounded: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Pcm {
    /// Bytes of one sample of every channel.
    pub(crate) fn block(&self) -> usize {
        self.format.width().saturating_mul(self.channels as usize).max(1)
    }

    /// Samples of every channel.
    pub(crate) fn n_samples(&self) -> u64 {
        (self.bytes.len() / self.block()) as u64
    }

    /// Fails when there are more samples than the limits allow.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), DecodeError> {
        check_size(self.n_samples(), self.rate, self.bytes.len() as u64, limits)
    }

    /// The view `pcm` with the channels and the rate that the options ask for.
    pub(crate) fn into_view(mut self, options: &AudioDecoder, limits: &Limits) -> Result<View, DecodeError> {
        let is_mixed = options.channels == Channels::Mixed && self.channels > 1;
        if is_mixed {
            self = self.mixed();
        }
        let source_rate = self.rate;
        if let Some(rate) = options.sample_rate.filter(|rate| *rate != source_rate) {
            self = resample(&self, rate, limits)?;
        }
        let is_planar = options.channels == Channels::Planar;
        let layout = if is_planar { "planar" } else { "interleaved" };
        let (format, rate, channels) = (self.format.name(), self.rate, self.channels);
        let mut media_type = format!("audio/x-raw; format={format}; rate={rate}; channels={channels}; layout={layout}");
        media_type.push_str(&format!("; codec={}", self.codec));
        for (holds, note) in [(self.is_rounded, "; rounded=yes"), (is_mixed, "; mixed=yes")] {
            media_type.push_str(if holds { note } else { "" });
        }
        if source_rate != rate {
            media_type.push_str(&format!("; resampled-from={source_rate}"));
        }
        let units =
            if is_planar { self.planar_units(options, limits) } else { self.interleaved_units(options, limits) };
        let bytes = if is_planar && self.channels > 1 { self.planes() } else { self.bytes };
        let mut view = View::owned("pcm", Modality::Audio, media_type, bytes);
        view.units = units;
        Ok(view)
    }

    fn interleaved_units(&self, options: &AudioDecoder, limits: &Limits) -> Vec<Unit> {
        let mut units = Vec::new();
        let frames = Frames::new(self.n_samples(), self.rate, options.frame_ms, max_frames(limits));
        frames.push_units(&mut units, None, 0, self.block() as u64);
        units
    }

    fn planar_units(&self, options: &AudioDecoder, limits: &Limits) -> Vec<Unit> {
        let mut units = Vec::new();
        let max_frames = max_frames(limits) / u64::from(self.channels);
        let frames = Frames::new(self.n_samples(), self.rate, options.frame_ms, max_frames);
        let width = self.format.width() as u64;
        let plane = self.n_samples() * width;
        for channel in 0..u64::from(self.channels) {
            let start = channel * plane;
            let parent = units.len();
            units.push(Unit::new("channel", ByteRange::new(start, start + plane)).named(channel.to_string()));
            frames.push_units(&mut units, Some(parent), start, width);
        }
        units
    }

    /// All samples of the first channel, then all of the second, and so on.
    fn planes(&self) -> Vec<u8> {
        let (block, width) = (self.block(), self.format.width());
        let mut planes = Vec::with_capacity(self.bytes.len());
        for offset in (0..block).step_by(width) {
            for samples in self.bytes.chunks_exact(block) {
                planes.extend_from_slice(&samples[offset..offset + width]);
            }
        }
        planes
    }

    /// One channel: the mean of all.
    fn mixed(&self) -> Pcm {
        let mut bytes = Vec::with_capacity(self.bytes.len() / self.channels as usize);
        for samples in self.bytes.chunks_exact(self.block()) {
            let sum: f64 = samples.chunks_exact(self.format.width()).map(|sample| self.format.read(sample)).sum();
            self.format.write(sum / f64::from(self.channels), &mut bytes);
        }
        Pcm { channels: 1, bytes, codec: self.codec.clone(), ..*self }
    }
}

/// Fails when so many samples of every channel, in so many bytes, are more than the limits allow.
pub(crate) fn check_size(n_samples: u64, rate: u32, n_bytes: u64, limits: &Limits) -> Result<(), DecodeError> {
    if n_bytes > limits.max_view_bytes {
        return Err(DecodeError::ViewTooLarge { view: "pcm", limit: limits.max_view_bytes });
    }
    limits.check("seconds", n_samples.div_ceil(u64::from(rate.max(1))), limits.max_seconds, "--max-seconds")
}

/// How a sound is cut into frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frames {
    n_samples: u64,
    rate: u32,
    /// Samples of every channel in a frame; the last frame may have fewer.
    step: u64,
}

impl Frames {
    /// Frames of `frame_ms` milliseconds, or longer ones if there would be more than `max_frames`.
    pub(crate) fn new(n_samples: u64, rate: u32, frame_ms: u32, max_frames: u64) -> Self {
        let step = (u64::from(rate) * u64::from(frame_ms) / 1000).max(1);
        Self { n_samples, rate, step: step.max(n_samples.div_ceil(max_frames.max(1))) }
    }

    /// Adds the frames as units of a stretch that begins at byte `start` and has `block` bytes for every sample.
    pub(crate) fn push_units(&self, units: &mut Vec<Unit>, parent: Option<usize>, start: u64, block: u64) {
        let mut sample = 0;
        while sample < self.n_samples {
            let end = sample.saturating_add(self.step).min(self.n_samples);
            let range = ByteRange::new(start + sample * block, start + end * block);
            let origin = Origin::Samples { start: sample, end, rate: self.rate };
            units.push(Unit::new("frame", range).at(origin).inside(parent));
            sample = end;
        }
    }
}

/// The most frames of one view.
pub(crate) fn max_frames(limits: &Limits) -> u64 {
    MAX_FRAMES.min(limits.max_units as u64)
}

#[cfg(test)]
mod tests {
    use blt_core::ViewData;
    use proptest::prelude::*;

    use super::*;

    fn stereo(samples: &[i16]) -> Pcm {
        let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        Pcm { format: SampleFormat::S16, rate: 1000, channels: 2, codec: "test".into(), is_rounded: false, bytes }
    }

    #[test]
    fn every_format_reads_what_it_wrote() {
        for format in SampleFormat::ALL {
            for sample in [-1.0, -0.5, 0.0, 0.25, 0.75] {
                let mut bytes = Vec::new();
                format.write(sample, &mut bytes);
                assert_eq!(format.read(&bytes), sample, "{}", format.name());
            }
        }
    }

    #[test]
    fn integers_are_clipped_and_floats_are_not() {
        let mut bytes = Vec::new();
        SampleFormat::S16.write(2.0, &mut bytes);
        SampleFormat::S24.write(-2.0, &mut bytes);
        SampleFormat::F32.write(2.0, &mut bytes);
        assert_eq!(bytes, [&[0xFF, 0x7F][..], &[0, 0, 0x80], &2f32.to_le_bytes()].concat());
    }

    #[test]
    fn planes_follow_each_other() {
        let options = AudioDecoder { channels: Channels::Planar, frame_ms: 2, ..AudioDecoder::default() };
        let view = stereo(&[1, -1, 2, -2, 3, -3]).into_view(&options, &Limits::default()).unwrap();
        let ViewData::Owned(bytes) = &view.data else { panic!("a view of its own") };
        assert_eq!(bytes, &stereo(&[1, 2, 3, -1, -2, -3]).bytes);
        let units: Vec<_> = view.units.iter().map(|unit| (&*unit.label, unit.range.start, unit.range.end)).collect();
        let expected = [("channel", 0, 6), ("frame", 0, 4), ("frame", 4, 6)];
        let second = [("channel", 6, 12), ("frame", 6, 10), ("frame", 10, 12)];
        assert_eq!(units, [expected, second].concat());
        assert_eq!(view.units[5].origin, Some(Origin::Samples { start: 2, end: 3, rate: 1000 }));
    }

    #[test]
    fn channels_are_mixed_to_their_mean() {
        let options = AudioDecoder { channels: Channels::Mixed, ..AudioDecoder::default() };
        let view = stereo(&[10, 20, -32768, -32768]).into_view(&options, &Limits::default()).unwrap();
        assert_eq!(view.data, ViewData::Owned([15i16.to_le_bytes(), (-32768i16).to_le_bytes()].concat()));
        let expected = "audio/x-raw; format=s16le; rate=1000; channels=1; layout=interleaved; codec=test; mixed=yes";
        assert_eq!(view.media_type, expected);
    }

    #[test]
    fn frames_of_a_long_sound_are_longer() {
        let mut units = Vec::new();
        Frames::new(1_000_000, 8000, 1, 1000).push_units(&mut units, None, 0, 2);
        assert_eq!(units.len(), 1000);
        assert_eq!(units[999].range, ByteRange::new(1_998_000, 2_000_000));
    }

    proptest! {
        #[test]
        fn units_tile_every_layout(samples in prop::collection::vec(any::<i16>(), 0..200), frame_ms in 0u32..50,
            channels in prop_oneof![Just(Channels::Interleaved), Just(Channels::Planar), Just(Channels::Mixed)]) {
            let samples = &samples[..samples.len() / 2 * 2];
            let options = AudioDecoder { channels, frame_ms, ..AudioDecoder::default() };
            let view = stereo(samples).into_view(&options, &Limits::default()).unwrap();
            let ViewData::Owned(bytes) = &view.data else { panic!("a view of its own") };
            prop_assert_eq!(view.check_units(bytes.len() as u64), Ok(()));
        }
    }
}
