//! The tracks of sound of a film.

use blt_child::{Stream, raw_samples};
use blt_core::{ByteRange, DecodeError, Modality, Origin, Unit, View};

use crate::{Film, VideoDecoder, content};

/// A view has at most so many frames of sound; those of a longer track are longer.
const MAX_FRAMES: u64 = 200_000;

/// The view `pcm` of track number `number`.
pub(crate) fn view(
    options: &VideoDecoder,
    film: &Film<'_>,
    stream: &Stream,
    number: usize,
    problems: &mut Vec<String>,
) -> Result<View, DecodeError> {
    let limits = film.limits;
    let raw = stream.raw_sound();
    let raw = raw.ok_or_else(|| content(format!("rate and channels of its {} are not known", stream.codec_name)))?;
    let max_bytes = limits.max_seconds.saturating_mul(raw.rate.into()).saturating_mul(raw.block());
    let max_bytes = max_bytes.min(limits.max_view_bytes);
    let (output, complaint) = raw_samples(film.input, stream.index, &raw, max_bytes, limits, &film.deadline)?;
    if output.is_cut {
        return Err(DecodeError::ViewTooLarge { view: "pcm", limit: max_bytes });
    }
    if output.bytes.is_empty() {
        return Err(content(complaint.unwrap_or_else(|| "it has no samples".into())));
    }
    problems.extend(complaint.map(|said| format!("ffmpeg says of the track `audio {number}`: {said}")));
    let mut bytes = output.bytes;
    let block = raw.block();
    let n_samples = bytes.len() as u64 / block;
    bytes.truncate((n_samples * block) as usize);
    let rounded = if raw.is_rounded { "; rounded=yes" } else { "" };
    let media_type = format!(
        "audio/x-raw; format={}; rate={}; channels={}; layout=interleaved; codec={}{rounded}",
        raw.format, raw.rate, raw.channels, stream.codec_name
    );
    let mut view = View::owned("pcm", Modality::Audio, media_type, bytes);
    let step = (u64::from(raw.rate) * u64::from(options.frame_ms) / 1000).max(1).max(n_samples.div_ceil(MAX_FRAMES));
    let mut start = 0;
    while start < n_samples {
        let end = start.saturating_add(step).min(n_samples);
        let origin = Origin::Samples { start, end, rate: raw.rate };
        view.units.push(Unit::new("frame", ByteRange::new(start * block, end * block)).at(origin));
        start = end;
    }
    Ok(view)
}
