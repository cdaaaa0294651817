//! Another number of samples a second.

use blt_core::{DecodeError, Limits, Modality};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler, WindowFunction};

use crate::pcm::{Pcm, check_size};

/// The highest rate there is: the resampler's memory grows with it.
const MAX_RATE: u32 = 768_000;

/// The resampler keeps a spectrum for every channel.
const MAX_CHANNELS: u32 = 64;

/// At least so many samples go through the resampler at once.
const CHUNK: usize = 1024;

/// `pcm` with `rate` samples a second, by a band-limited filter over blocks of a Fourier transform. The filter's delay is
/// taken off again, so that the sound begins where it began.
pub(crate) fn resample(pcm: &Pcm, rate: u32, limits: &Limits) -> Result<Pcm, DecodeError> {
    limits.check("samples a second", pcm.rate.max(rate).into(), MAX_RATE.into(), "the resampler")?;
    limits.check("channels", pcm.channels.into(), MAX_CHANNELS.into(), "the resampler")?;
    let fault = |reason: String| DecodeError::Content { modality: Modality::Audio, reason };
    let (block, channels) = (pcm.block() as u64, pcm.channels as usize);
    let expected = (u128::from(pcm.n_samples()) * u128::from(rate)).div_ceil(u128::from(pcm.rate));
    let expected = u64::try_from(expected).unwrap_or(u64::MAX);
    check_size(expected, rate, expected.saturating_mul(block), limits)?;

    // Blocks hold an even multiple of the smallest number of samples that has a whole number of samples at the other rate;
    // at an odd one the filter's delay would be half a sample off.
    let smallest = pcm.rate / greatest_common_divisor(pcm.rate, rate);
    let chunk = smallest as usize * (CHUNK.div_ceil(smallest as usize)).next_multiple_of(2);
    let window = WindowFunction::BlackmanHarris2;
    let (from, to) = (pcm.rate as usize, rate as usize);
    let mut resampler = Fft::<f64>::new_custom(from, to, chunk, 1, channels, window, FixedSync::Input)
        .map_err(|error| fault(format!("it cannot be resampled: {error}")))?;
    let fault = |error: &dyn std::fmt::Display| fault(format!("resampling failed: {error}"));
    let mut input = vec![0.0; resampler.input_frames_max() * channels];
    let mut output = vec![0.0; resampler.output_frames_max() * channels];
    let (n_in, n_out) = (resampler.input_frames_max(), resampler.output_frames_max());
    let n_expected_bytes = usize::try_from(expected.saturating_mul(block)).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(n_expected_bytes);
    let mut n_delay = resampler.output_delay() * channels;
    let mut rest = pcm.bytes.chunks_exact(pcm.format.width());
    while bytes.len() < n_expected_bytes {
        let n_wanted = resampler.input_frames_next() * channels;
        let mut n_read = 0;
        for (to, sample) in input[..n_wanted].iter_mut().zip(&mut rest) {
            *to = pcm.format.read(sample);
            n_read += 1;
        }
        let from = InterleavedSlice::new(&input, channels, n_in).map_err(|error| fault(&error))?;
        let mut to = InterleavedSlice::new_mut(&mut output, channels, n_out).map_err(|error| fault(&error))?;
        // Behind the last sample the resampler makes silence, of which only what the filter still holds is kept.
        let part = Indexing::new().partial_len(n_read / channels);
        let (_, n_made) = resampler.process_into_buffer(&from, &mut to, Some(&part)).map_err(|error| fault(&error))?;
        let made = &output[..n_made * channels];
        let n_dropped = n_delay.min(made.len());
        n_delay -= n_dropped;
        let n_left = (n_expected_bytes - bytes.len()) / pcm.format.width();
        for sample in made[n_dropped..].iter().take(n_left) {
            pcm.format.write(*sample, &mut bytes);
        }
    }
    Ok(Pcm { rate, bytes, codec: pcm.codec.clone(), ..*pcm })
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcm::SampleFormat;

    fn tone(rate: u32, n_samples: u32, format: SampleFormat) -> Pcm {
        let mut bytes = Vec::new();
        for i in 0..n_samples {
            let left = 0.5 * (f64::from(i) * 440.0 * std::f64::consts::TAU / f64::from(rate)).sin();
            format.write(left, &mut bytes);
            format.write(-left, &mut bytes);
        }
        Pcm { format, rate, channels: 2, codec: "test".into(), is_rounded: false, bytes }
    }

    #[test]
    fn a_tone_stays_that_tone() {
        for (from, to) in [(44_100, 16_000), (8_000, 48_000), (44_100, 48_000), (96_000, 44_100)] {
            let made = resample(&tone(from, from, SampleFormat::F32), to, &Limits::default()).unwrap();
            let expected = tone(to, to, SampleFormat::F32);
            assert_eq!(made.bytes.len(), expected.bytes.len());
            // The filter sees silence before the first sample and after the last.
            let inner = made.bytes.len() / 8..made.bytes.len() * 7 / 8;
            let samples = |pcm: &Pcm| -> Vec<f64> {
                pcm.bytes[inner.start / 8 * 8..inner.end / 8 * 8]
                    .chunks(4)
                    .map(|sample| pcm.format.read(sample))
                    .collect()
            };
            let difference =
                samples(&made).iter().zip(&samples(&expected)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(difference < 1e-3, "{from} to {to}: {difference}");
        }
    }

    #[test]
    fn hardly_any_samples_and_odd_rates_are_resampled_too() {
        for n_samples in [0, 1, 2, 100] {
            let made = resample(&tone(44_101, n_samples, SampleFormat::S16), 8_009, &Limits::default()).unwrap();
            assert_eq!(made.n_samples(), (u64::from(n_samples) * 8_009).div_ceil(44_101));
        }
    }

    #[test]
    fn rates_beyond_reason_are_refused() {
        assert!(resample(&tone(8_000, 10, SampleFormat::S16), u32::MAX, &Limits::default()).is_err());
        assert!(resample(&tone(u32::MAX, 10, SampleFormat::S16), 8_000, &Limits::default()).is_err());
    }
}
