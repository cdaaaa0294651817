//! Sound that only `ffmpeg` knows: Opus, AC-3, WMA, WavPack and many more.

use std::io;

use blt_child::{Deadline, Input, probe, raw_samples};
use blt_core::{DecodeError, Hint, Limits, Modality, SourceReader};

use crate::Sound;
use crate::mp4::read_edits;
use crate::pcm::{Pcm, SampleFormat};

/// All samples of the first track of sound in `source`. `reason` says why it was not decoded without the program.
pub(crate) fn decode(
    source: &mut dyn SourceReader,
    hint: &Hint<'_>,
    reason: &str,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<Sound, DecodeError> {
    let content = |reason: String| DecodeError::Content { modality: Modality::Audio, reason };
    let input = Input::new(source, hint)?;
    let probe = probe(&input, Modality::Audio, limits, deadline)?;
    let mut streams = probe.streams.iter().filter(|stream| stream.codec_type == "audio");
    let stream = streams.next().ok_or_else(|| content("it has no track of sound".into()))?;
    let n_others = streams.count();
    let raw = stream.raw_sound();
    let raw = raw.ok_or_else(|| content(format!("rate and channels of its {} are not known", stream.codec_name)))?;
    let format = SampleFormat::named(raw.format)
        .ok_or_else(|| content(format!("samples of the format {} are not known", raw.format)))?;
    let max_of_seconds = u128::from(limits.max_seconds) * u128::from(raw.rate) * u128::from(raw.block());
    let max_of_seconds = u64::try_from(max_of_seconds).unwrap_or(u64::MAX);
    let max_bytes = max_of_seconds.min(limits.max_view_bytes);
    let (output, complaint) = raw_samples(&input, stream.index, &raw, max_bytes, limits, deadline)?;
    if output.is_cut {
        let found = limits.max_seconds.saturating_add(u64::from(max_of_seconds == max_bytes));
        limits.check("seconds or more", found, limits.max_seconds, "--max-seconds")?;
        return Err(DecodeError::ViewTooLarge { view: "pcm", limit: limits.max_view_bytes });
    }
    if output.bytes.is_empty() {
        return Err(content(complaint.unwrap_or_else(|| format!("it has no samples ({reason})"))));
    }
    let mut problems: Vec<String> = complaint.map(|said| format!("ffmpeg says: {said}")).into_iter().collect();
    if !output.succeeded && problems.is_empty() {
        problems.push("ffmpeg stopped before the end of the sound".into());
    }
    if n_others > 0 {
        problems.push(format!("{n_others} more tracks of sound are not decoded"));
    }
    let (rate, channels, codec) = (raw.rate, raw.channels, stream.codec_name.clone());
    let mut pcm = Pcm { format, rate, channels, codec, is_rounded: raw.is_rounded, bytes: output.bytes };
    let n_heard = heard_samples(source, rate)?.unwrap_or(u64::MAX).min(pcm.n_samples());
    pcm.bytes.truncate(n_heard as usize * pcm.block());
    Ok(Sound { parts: vec![pcm], problems })
}

/// How many samples an MP4 file with one track of sound wants to be heard: ffmpeg leaves out those before the first, but
/// keeps what only fills the last packet.
fn heard_samples(source: &mut dyn SourceReader, rate: u32) -> io::Result<Option<u64>> {
    match read_edits(source)?.as_slice() {
        [edit] => Ok(edit.samples(rate).1),
        _ => Ok(None),
    }
}
