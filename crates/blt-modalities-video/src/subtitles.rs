//! The tracks of subtitles of a film, as SubRip text.

use blt_child::{Stream, ffmpeg};
use blt_core::{ByteRange, DecodeError, Modality, Origin, Unit, View};

use crate::{Film, content};

/// Codecs of subtitles that are pictures, by FFmpeg's names.
const PICTURES: [&str; 4] = ["dvd_subtitle", "dvb_subtitle", "hdmv_pgs_subtitle", "xsub"];

/// The view `text` of track number `number`.
pub(crate) fn view(
    film: &Film<'_>,
    stream: &Stream,
    number: usize,
    problems: &mut Vec<String>,
) -> Result<View, DecodeError> {
    if PICTURES.contains(&stream.codec_name.as_str()) {
        return Err(content(format!("its subtitles are pictures ({})", stream.codec_name)));
    }
    let limits = film.limits;
    let track = format!("0:{}", stream.index);
    let outputs = ["-map", &track, "-c:s", "srt", "-f", "srt"];
    let (output, complaint) = ffmpeg(film.input, &outputs, limits.max_view_bytes, limits, &film.deadline)?;
    if output.is_cut {
        return Err(DecodeError::ViewTooLarge { view: "text", limit: limits.max_view_bytes });
    }
    if output.bytes.is_empty() && !output.succeeded {
        return Err(content(complaint.unwrap_or_else(|| format!("ffmpeg does not know {}", stream.codec_name))));
    }
    problems.extend(complaint.map(|said| format!("ffmpeg says of the track `subtitle {number}`: {said}")));
    let media_type = format!("application/x-subrip; charset=utf-8; codec={}", stream.codec_name);
    let units = cues(&output.bytes);
    if units.len() > limits.max_units {
        return Err(DecodeError::TooManyUnits { label: "cue", limit: limits.max_units });
    }
    let mut view = View::owned("text", Modality::Text, media_type, output.bytes);
    view.units = units;
    Ok(view)
}

/// The cues of a SubRip text. One begins at a line with a number before a line with times, wherever blank lines are.
fn cues(text: &[u8]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut previous: &[u8] = b"";
    let (mut at, mut previous_at) = (0, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let is_number = !previous.is_empty() && previous.iter().all(u8::is_ascii_digit);
        let stripped = line.trim_ascii();
        if let Some((start, end)) = times(stripped).filter(|_| is_number) {
            // What lies before the first cue is part of it.
            let begin = if units.is_empty() { 0 } else { previous_at };
            if let Some(last) = units.last_mut() {
                last.range.end = begin;
            }
            let origin = Origin::Time { frame: units.len() as u64, start, end };
            units.push(Unit::new("cue", ByteRange::new(begin, text.len() as u64)).at(origin));
        }
        (previous, previous_at) = (stripped, at);
        at += line.len() as u64;
    }
    units
}

/// The seconds in `00:00:01,000 --> 00:00:02,500`.
fn times(line: &[u8]) -> Option<(f64, f64)> {
    let (start, end) = str::from_utf8(line).ok()?.split_once(" --> ")?;
    Some((seconds(start)?, seconds(end.split(' ').next()?)?))
}

fn seconds(time: &str) -> Option<f64> {
    let (whole, thousandths) = time.split_once(',')?;
    let whole = whole.split(':').try_fold(0_u64, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))?;
    Some(whole as f64 + thousandths.parse::<u16>().ok()? as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_tile_the_text_and_keep_blank_lines() {
        let text = "1\n00:00:00,500 --> 00:00:01,000\nfirst\n\n42\n\n2\n01:00:02,000 --> 01:00:03,250\nsecond\n\n";
        let units = cues(text.as_bytes());
        let second = text.find("2\n01:").unwrap() as u64;
        assert_eq!(units[0].range, ByteRange::new(0, second));
        assert_eq!(units[1].range, ByteRange::new(second, text.len() as u64));
        assert_eq!(units[1].origin, Some(Origin::Time { frame: 1, start: 3602.0, end: 3603.25 }));
        assert_eq!(cues(b"no cues"), []);
    }
}
