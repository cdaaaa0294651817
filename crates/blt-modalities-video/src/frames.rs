//! The pictures of a film: every frame, in scenes that begin at a cut.

use std::borrow::Cow;

use blt_child::{Output, Stream, ffmpeg, ffprobe};
use blt_core::{ByteRange, DecodeError, Document, Modality, Origin, Unit, View};

use crate::{Film, VideoDecoder, content};

/// A cut is where the bytes of two frames differ by more than this in the mean. Motion stays well below it, and two
/// unrelated pictures differ by 40 to 80.
const CUT: f64 = 25.0;

/// So many bytes hold one line of `ffprobe` about a frame.
const LINE: u64 = 128;

/// A film whose pictures change their size more often than this is hostile.
const MAX_SIZES: usize = 64;

/// When a frame is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Time {
    /// Seconds from the start.
    start: f64,
    /// Seconds that it is shown, where that is known.
    length: Option<f64>,
    is_key: bool,
}

/// Frames of one size, one after the other.
struct Run<'a> {
    width: u32,
    height: u32,
    frames: Vec<&'a [u8]>,
}

/// Adds the view `frames` of the track `stream`; several, if the size of the pictures changes in it.
pub(crate) fn add(
    options: &VideoDecoder,
    film: &Film<'_>,
    stream: &Stream,
    document: &mut Document,
) -> Result<(), DecodeError> {
    let limits = film.limits;
    limits.check_pixels(stream.width, stream.height)?;
    let seconds = stream.duration.as_deref().and_then(|seconds| seconds.parse::<f64>().ok()).unwrap_or(0.0);
    limits.check("seconds", seconds.ceil() as u64, limits.max_seconds, "--max-seconds")?;
    if options.fps.is_some_and(|fps| !(fps > 0.0 && fps <= 1000.0)) {
        return Err(content("the option for frames a second is not between 0 and 1000"));
    }

    let mut times = if options.fps.is_none() { packet_times(film, stream)? } else { Vec::new() };
    check_size(options, film, stream, times.len() as u64)?;
    let (output, complaint) = pictures(options, film, stream)?;
    let too_large = |found| {
        limits.check("bytes of frames", found, limits.max_view_bytes, "the options for the size and number of frames")
    };
    if output.is_cut {
        too_large(limits.max_view_bytes.saturating_add(1))?;
    }
    let runs = runs(&output.bytes)?;
    let n_frames: usize = runs.iter().map(|run| run.frames.len()).sum();
    limits.check("frames", n_frames as u64, limits.max_frames, "--max-frames")?;
    if n_frames == 0 {
        return Err(content(complaint.unwrap_or_else(|| "it has no frames".into())));
    }
    document.problems.extend(complaint.map(|said| format!("ffmpeg says of the frames: {said}")));
    match options.fps {
        Some(fps) => times = even_times(n_frames, fps),
        // Some codecs have packets that show nothing, or two to a frame.
        None if times.len() != n_frames => times = frame_times(film, stream)?,
        None => {}
    }
    if times.len() != n_frames {
        let n_times = times.len();
        document
            .problems
            .push(format!("{n_frames} frames have been decoded and {n_times} have a time, so none is given"));
        times.clear();
    }
    let is_divided = runs.len() > 1;
    let mut first = 0;
    for (i, run) in runs.iter().enumerate() {
        let n_run = run.frames.len();
        let times = times.get(first..).unwrap_or_default();
        let mut view = view(run, stream, times, first as u64, seconds);
        view.name = is_divided.then(|| format!("part {i}").into());
        document.views.push(view);
        first += n_run;
    }
    Ok(())
}

/// Fails when so many frames of the size that the options ask for are more than the limits allow.
fn check_size(options: &VideoDecoder, film: &Film<'_>, stream: &Stream, n_frames: u64) -> Result<(), DecodeError> {
    let limits = film.limits;
    limits.check("frames", n_frames, limits.max_frames, "--max-frames")?;
    let longer = stream.width.max(stream.height).max(1);
    let side = options.max_side.map_or(longer, u64::from).min(longer);
    let pixels =
        u128::from(stream.width) * u128::from(stream.height) * u128::from(side).pow(2) / u128::from(longer).pow(2);
    let n_bytes = u64::try_from(pixels * 3 * u128::from(n_frames)).unwrap_or(u64::MAX);
    limits.check("bytes of frames", n_bytes, limits.max_view_bytes, "the options for the size and number of frames")
}

/// All frames, each as a picture in the PPM format, which says its own size: the one after rotation, and the one that it
/// has where the film changes its size.
fn pictures(options: &VideoDecoder, film: &Film<'_>, stream: &Stream) -> Result<(Output, Option<String>), DecodeError> {
    let mut filters = Vec::new();
    filters.extend(options.fps.map(|fps| format!("fps={fps}")));
    filters.extend(options.max_side.map(|side| {
        let side = side.max(1);
        format!("scale=w='min({side},iw)':h='min({side},ih)':force_original_aspect_ratio=decrease:flags=area")
    }));
    filters.push("format=rgb24".into());
    let (track, filters) = (format!("0:{}", stream.index), filters.join(","));
    let n_frames = film.limits.max_frames.saturating_add(1).to_string();
    let end = ["-frames:v", &n_frames, "-c:v", "ppm", "-f", "image2pipe"];
    let passthrough = |option| {
        let begin = ["-map", &track, "-vf", &filters, option, "passthrough"];
        let outputs: Vec<&str> = begin.iter().chain(&end).copied().collect();
        ffmpeg(film.input, &outputs, film.limits.max_view_bytes, film.limits, &film.deadline)
    };
    let (output, complaint) = passthrough("-fps_mode")?;
    match complaint {
        // Before FFmpeg 5.1 the option had another name.
        Some(said) if output.bytes.is_empty() && said.contains("fps_mode") => passthrough("-vsync"),
        complaint => Ok((output, complaint)),
    }
}

/// The pictures in `bytes`, without their headers.
fn runs(bytes: &[u8]) -> Result<Vec<Run<'_>>, DecodeError> {
    let mut runs: Vec<Run<'_>> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (width, height, n_header) =
            picture_header(rest).ok_or_else(|| content("the answer of ffmpeg is damaged"))?;
        let n_bytes = (width as usize).saturating_mul(height as usize).saturating_mul(3);
        // The last picture is incomplete when the program was stopped.
        let Some(frame) = rest[n_header..].get(..n_bytes) else { break };
        rest = &rest[n_header + n_bytes..];
        if runs.last().is_none_or(|run| (run.width, run.height) != (width, height)) {
            if runs.len() == MAX_SIZES {
                return Err(content(format!("its pictures change their size more than {MAX_SIZES} times")));
            }
            runs.push(Run { width, height, frames: Vec::new() });
        }
        runs.last_mut().expect("one has just been made").frames.push(frame);
    }
    Ok(runs)
}

/// Width, height and number of bytes of a header such as `P6\n128 96\n255\n`.
fn picture_header(bytes: &[u8]) -> Option<(u32, u32, usize)> {
    let mut fields = [0; 3];
    let mut at = bytes.strip_prefix(b"P6").map(|_| 2)?;
    for field in &mut fields {
        at += bytes.get(at..)?.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let n_digits = bytes.get(at..)?.iter().take(10).take_while(|byte| byte.is_ascii_digit()).count();
        *field = str::from_utf8(&bytes[at..at + n_digits]).ok()?.parse::<u32>().ok()?;
        at += n_digits;
    }
    let [width, height, depth] = fields;
    let is_sound = depth == 255 && width > 0 && height > 0 && bytes.get(at)?.is_ascii_whitespace();
    is_sound.then_some((width, height, at + 1))
}

/// The times of the track's packets in the order of showing, which is quick and, for most codecs, one for each frame.
fn packet_times(film: &Film<'_>, stream: &Stream) -> Result<Vec<Time>, DecodeError> {
    let lines = ask(film, stream, "packet=pts_time,duration_time,flags")?;
    let mut times: Vec<Time> = lines.lines().filter(|line| !line.contains('D')).map_while(time).collect();
    times.sort_by(|a, b| a.start.total_cmp(&b.start));
    Ok(times)
}

/// The times of the frames themselves, for which the film is decoded once more.
fn frame_times(film: &Film<'_>, stream: &Stream) -> Result<Vec<Time>, DecodeError> {
    // Newer versions call the duration by the last of these names; older ones know only the one before.
    let entries = "frame=key_frame,best_effort_timestamp_time,pkt_duration_time,duration_time";
    let lines = ask(film, stream, entries)?;
    let mut times: Vec<Time> = Vec::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(',').collect();
        let [key, start, length, ..] = fields[..] else { continue };
        let flags = if key == "1" { "K" } else { "_" };
        // The last frame of an AVI file has no time of its own; it follows the one before.
        let follows = times.last().and_then(|last| Some((last.start + last.length?).to_string()));
        let start = if start == "N/A" { follows.as_deref().unwrap_or(start) } else { start };
        times.extend(time(&format!("{start},{length},{flags}")));
    }
    Ok(times)
}

/// The line `START,LENGTH,FLAGS` of a frame, or `None` when it has no start.
fn time(line: &str) -> Option<Time> {
    let mut fields = line.split(',');
    let start = fields.next()?.parse::<f64>().ok().filter(|start| start.is_finite())?;
    let length = fields.next()?.parse::<f64>().ok().filter(|length| length.is_finite());
    Some(Time { start, length, is_key: fields.next()?.contains('K') })
}

/// The lines that `ffprobe` prints with these entries.
fn ask(film: &Film<'_>, stream: &Stream, entries: &str) -> Result<String, DecodeError> {
    let limits = film.limits;
    let track = stream.index.to_string();
    let options = ["-select_streams", &track, "-show_entries", entries, "-of", "csv=p=0"];
    let max_bytes = limits.max_frames.saturating_add(1).saturating_mul(LINE);
    let (output, _) = ffprobe(film.input, &options, max_bytes, limits, &film.deadline)?;
    if output.is_cut {
        limits.check("frames", limits.max_frames.saturating_add(1), limits.max_frames, "--max-frames")?;
    }
    String::from_utf8(output.bytes).map_err(|_| content("the answer of ffprobe is damaged"))
}

fn even_times(n_frames: usize, fps: f32) -> Vec<Time> {
    let length = 1.0 / f64::from(fps);
    (0..n_frames).map(|i| Time { start: i as f64 * length, length: Some(length), is_key: false }).collect()
}

/// The view of frames of one size. `times` begin with that of its first, which is the film's frame `first`.
fn view(run: &Run<'_>, stream: &Stream, times: &[Time], first: u64, seconds: f64) -> View {
    let mut media_type = format!("image/x-raw; format=rgb8; width={}; height={}", run.width, run.height);
    media_type.push_str(&format!("; frames={}; codec={}", run.frames.len(), stream.codec_name));
    let (from, to) = ((stream.width, stream.height), (u64::from(run.width), u64::from(run.height)));
    if from != to && from != (to.1, to.0) {
        media_type.push_str(&format!("; scaled-from={}x{}", from.0, from.1));
    }
    let n_bytes = run.frames.first().map_or(0, |frame| frame.len() as u64);
    let end_of = |i: usize| -> Option<f64> {
        let time = times.get(i)?;
        let next = times.get(i + 1).map(|next| next.start);
        let own = time.length.map(|length| time.start + length);
        Some(next.or(own).unwrap_or(seconds).max(time.start))
    };
    let place = |from: usize, to: usize| -> Option<Origin> {
        Some(Origin::Time { frame: first + from as u64, start: times.get(from)?.start, end: end_of(to - 1)? })
    };
    let range = |from: usize, to: usize| ByteRange::new(from as u64 * n_bytes, to as u64 * n_bytes);
    let unit = |label: &'static str, from, to| Unit {
        label: Cow::Borrowed(label),
        name: None,
        range: range(from, to),
        origin: place(from, to),
        parent: None,
    };
    let mut units = Vec::new();
    let mut cuts: Vec<usize> = (0..run.frames.len()).filter(|i| *i == 0 || is_cut(run, *i)).collect();
    cuts.push(run.frames.len());
    for scene in cuts.windows(2) {
        let parent = units.len();
        units.push(unit("scene", scene[0], scene[1]));
        for i in scene[0]..scene[1] {
            let is_key = times.get(i).is_some_and(|time| time.is_key);
            units.push(Unit { name: is_key.then(|| "key".into()), ..unit("frame", i, i + 1).inside(parent) });
        }
    }
    let mut view = View::owned("frames", Modality::Video, media_type, run.frames.concat());
    view.units = units;
    view
}

/// Whether frame `i` is the first after a cut.
fn is_cut(run: &Run<'_>, i: usize) -> bool {
    let (before, here) = (run.frames[i - 1], run.frames[i]);
    let difference: u64 = before.iter().zip(here).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    difference as f64 > CUT * here.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_taken_out_of_their_headers() {
        let bytes = [&b"P6\n1 2\n255\n"[..], &[1; 6], b"P6\n1 2\n255\n", &[2; 6], b"P6\n2 2\n255\n", &[3; 12]].concat();
        let found = runs(&bytes).unwrap();
        let shapes: Vec<_> = found.iter().map(|run| (run.width, run.height, run.frames.len())).collect();
        assert_eq!(shapes, [(1, 2, 2), (2, 2, 1)]);
        assert_eq!(found[0].frames, [[1; 6], [2; 6]]);
        assert_eq!(runs(&bytes[..bytes.len() - 1]).unwrap().len(), 1, "half a picture is none");
        assert!(runs(b"P6\n99999999999 1\n255\n").is_err());
        assert!(runs(b"P5\n1 1\n255\n1").is_err());
    }

    #[test]
    fn scenes_begin_at_cuts_and_frames_end_where_the_next_begins() {
        let (dark, light) = ([10; 3], [200; 3]);
        let run = Run { width: 1, height: 1, frames: vec![&dark, &dark, &light] };
        let times: Vec<Time> =
            ["0.0,0.5,K__", "0.5,0.5,___", "1.0,0.25,K__"].iter().filter_map(|line| time(line)).collect();
        let view = view(&run, &Stream::default(), &times, 0, 9.0);
        assert_eq!(view.check_units(9), Ok(()));
        let labels: Vec<_> = view.units.iter().map(|unit| (&*unit.label, unit.name.as_deref())).collect();
        let key = Some("key");
        assert_eq!(labels, [("scene", None), ("frame", key), ("frame", None), ("scene", None), ("frame", key)]);
        assert_eq!(view.units[0].origin, Some(Origin::Time { frame: 0, start: 0.0, end: 1.0 }));
        assert_eq!(view.units[4].origin, Some(Origin::Time { frame: 2, start: 1.0, end: 1.25 }));
    }
}
