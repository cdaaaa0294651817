//! Films that `ffmpeg` makes, decoded and compared with what `ffprobe` counts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "what is left out is told")]

use std::path::{Path, PathBuf};
use std::process::Command;

use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Origin, View, ViewData};
use blt_modalities_video::VideoDecoder;

const PATTERN: [&str; 4] = ["-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=2"];
const TONE: [&str; 4] = ["-f", "lavfi", "-i", "sine=440:duration=2"];

/// False when tests that need `ffmpeg` are to be left out, which has to be said: a missing program fails the test.
fn has_ffmpeg() -> bool {
    if std::env::var_os("BLT_TESTS_WITHOUT_FFMPEG").is_some() {
        eprintln!("left out: BLT_TESTS_WITHOUT_FFMPEG is set");
        return false;
    }
    let found = ["ffmpeg", "ffprobe"].iter().all(|program| Command::new(program).arg("-version").output().is_ok());
    assert!(found, "this test needs ffmpeg and ffprobe; set BLT_TESTS_WITHOUT_FFMPEG to leave such tests out");
    true
}

/// A film in `folder`, made with these arguments.
#[track_caller]
fn make(folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    let status = command.args(["-nostdin", "-y", "-v", "error"]).args(arguments).arg(&path).status();
    assert!(status.unwrap().success(), "ffmpeg makes {name}");
    path
}

#[track_caller]
fn decode(decoder: &VideoDecoder, path: &Path) -> Document {
    decode_within(decoder, path, &Limits::default()).unwrap()
}

fn decode_within(decoder: &VideoDecoder, path: &Path, limits: &Limits) -> Result<Document, DecodeError> {
    let mut file = std::fs::File::open(path).unwrap();
    let document = decoder.decode(&mut file, &Hint { path: Some(path), ..Hint::default() }, limits)?;
    for view in &document.views {
        if let ViewData::Owned(bytes) = &view.data {
            assert_eq!(view.check_units(bytes.len() as u64), Ok(()));
        }
    }
    Ok(document)
}

fn frames(view: &View) -> Vec<&blt_core::Unit> {
    view.units.iter().filter(|unit| unit.label == "frame").collect()
}

fn counted(path: &Path) -> usize {
    let entries = ["-v", "quiet", "-count_frames", "-select_streams", "v:0", "-show_entries", "stream=nb_read_frames"];
    let output = Command::new("ffprobe").args(entries).args(["-of", "csv=p=0"]).arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().trim_end_matches(',').parse().unwrap()
}

#[test]
fn every_frame_is_there_with_its_time() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clips: [(&str, &[&str]); 6] = [
        ("b-frames.mp4", &["-c:v", "libx264", "-bf", "3", "-g", "10", "-pix_fmt", "yuv420p"]),
        ("hidden.webm", &["-c:v", "libvpx-vp9", "-auto-alt-ref", "1", "-lag-in-frames", "25", "-b:v", "100k"]),
        ("hevc.mkv", &["-c:v", "libx265", "-x265-params", "log-level=error"]),
        ("b-frames.avi", &["-c:v", "mpeg4", "-bf", "2"]),
        ("animation.gif", &[]),
        ("interlaced.mpg", &["-c:v", "mpeg2video", "-flags", "+ilme+ildct"]),
    ];
    for (name, arguments) in clips {
        let path = make(folder.path(), name, &[&PATTERN, arguments].concat());
        let document = decode(&VideoDecoder::default(), &path);
        assert_eq!(document.problems, [""; 0], "{name}");
        let [view] = &document.views[..] else { panic!("one view of {name}") };
        assert_eq!(frames(view).len(), counted(&path), "{name}");
        assert!(view.media_type.contains("width=128; height=96"), "{}", view.media_type);
        assert_eq!(frames(view)[0].name.as_deref(), Some("key"), "{name}");
        let mut end_before = f64::NEG_INFINITY;
        for frame in frames(view) {
            let Some(Origin::Time { start, end, .. }) = frame.origin else { panic!("a time in {name}") };
            assert!(start >= end_before && end > start && end - start < 0.3, "{name}: {start} to {end}");
            end_before = end;
        }
    }
}

#[test]
fn frames_are_the_pictures_that_ffmpeg_decodes() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), "a.mp4", &[&PATTERN[..], &["-c:v", "libx264", "-pix_fmt", "yuv420p"]].concat());
    let document = decode(&VideoDecoder { max_side: None, ..VideoDecoder::default() }, &path);
    let raw = make(folder.path(), "a.rgb", &["-i", path.to_str().unwrap(), "-f", "rawvideo", "-pix_fmt", "rgb24"]);
    assert_eq!(document.views[0].data, ViewData::Owned(std::fs::read(raw).unwrap()));
}

#[test]
fn sound_and_subtitles_are_views_of_their_own() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let text = "1\n00:00:00,500 --> 00:00:01,000\nHello\n\n2\n00:00:01,250 --> 00:00:01,500\nWorld\n\n";
    let subtitles = folder.path().join("text.srt");
    std::fs::write(&subtitles, text).unwrap();
    let inputs = [&PATTERN[..], &TONE, &TONE, &["-i", subtitles.to_str().unwrap()]].concat();
    let maps = ["-map", "0", "-map", "1", "-map", "2", "-map", "3", "-c:v", "mpeg4", "-c:a", "flac", "-c:s", "srt"];
    let path = make(folder.path(), "a.mkv", &[inputs, maps.to_vec()].concat());
    let document = decode(&VideoDecoder::default(), &path);
    let names: Vec<_> = document.views.iter().map(|view| (&*view.label, view.name.as_deref())).collect();
    let expected = [("frames", None), ("pcm", Some("audio 0")), ("pcm", Some("audio 1")), ("text", Some("subtitle 0"))];
    assert_eq!(names, expected);
    assert_eq!(document.views[1].units[1].origin, Some(Origin::Samples { start: 4410, end: 8820, rate: 44_100 }));
    let ViewData::Owned(sound) = &document.views[1].data else { panic!("a view of its own") };
    assert_eq!(sound.len(), 2 * 88_200);
    assert_eq!(document.views[3].data, ViewData::Owned(text.as_bytes().to_vec()));
    assert_eq!(document.views[3].units[1].origin, Some(Origin::Time { frame: 1, start: 1.25, end: 1.5 }));
    let pictures = VideoDecoder { sound: false, subtitles: false, ..VideoDecoder::default() };
    assert_eq!(decode(&pictures, &path).views.len(), 1);
}

#[test]
fn scenes_rotation_rate_and_changing_sizes() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cut = "color=black:size=64x48:rate=25:duration=1[a];color=white:size=64x48:rate=25:duration=1[b];[a][b]concat";
    let path = make(folder.path(), "cut.mp4", &["-filter_complex", cut, "-c:v", "libx264", "-pix_fmt", "yuv420p"]);
    let view = &decode(&VideoDecoder::default(), &path).views[0];
    let scenes: Vec<_> = view.units.iter().filter(|unit| unit.label == "scene").map(|unit| unit.range.len()).collect();
    assert_eq!(scenes, [25 * 64 * 48 * 3; 2]);
    let slow = decode(&VideoDecoder { fps: Some(5.0), ..VideoDecoder::default() }, &path);
    assert_eq!(frames(&slow.views[0]).len(), 10);

    let turned = ["-i", path.to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"];
    let turned = make(folder.path(), "turned.mov", &turned);
    assert!(decode(&VideoDecoder::default(), &turned).views[0].media_type.contains("width=48; height=64"));

    let small = make(folder.path(), "1.ts", &[&PATTERN[..], &["-t", "1", "-s", "64x48", "-c:v", "libx264"]].concat());
    let large = make(folder.path(), "2.ts", &[&PATTERN[..], &["-t", "1", "-c:v", "libx264"]].concat());
    let both = folder.path().join("both.ts");
    std::fs::write(&both, [std::fs::read(small).unwrap(), std::fs::read(large).unwrap()].concat()).unwrap();
    let document = decode(&VideoDecoder { max_side: None, ..VideoDecoder::default() }, &both);
    let n_frames: usize = document.views.iter().map(|view| frames(view).len()).sum();
    assert_eq!(n_frames, 50);
}

#[test]
fn limits_and_damage_are_named() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let encoding = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-movflags", "faststart"];
    let path = make(folder.path(), "a.mp4", &[&PATTERN[..], &encoding].concat());
    let told = |limits: &Limits| decode_within(&VideoDecoder::default(), &path, limits).unwrap_err().to_string();
    let usual = Limits::default();
    let expected = "it has 50 frames, more than the limit of 10 (`--max-frames`)";
    assert_eq!(told(&Limits { max_frames: 10, ..usual }), expected);
    let expected = "it has 19200 pixels, more than the limit of 1000 (`--max-pixels`)";
    assert_eq!(told(&Limits { max_pixels: 1000, ..usual }), expected);
    assert_eq!(
        told(&Limits { max_seconds: 1, ..usual }),
        "it has 2 seconds, more than the limit of 1 (`--max-seconds`)"
    );
    assert!(told(&Limits { max_view_bytes: 1 << 20, ..usual }).contains("bytes of frames"));
    assert!(told(&Limits { timeout: 0, ..usual }).contains("--timeout"));

    let bytes = std::fs::read(&path).unwrap();
    let cut = folder.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let document = decode(&VideoDecoder::default(), &cut);
    assert!(!document.problems.is_empty());
    let n_frames = frames(&document.views[0]).len();
    assert!(n_frames > 0 && n_frames == counted(&cut), "{n_frames}");
    // The index of this one is cut off: nothing can be decoded.
    std::fs::write(&cut, &bytes[..200]).unwrap();
    assert!(decode_within(&VideoDecoder::default(), &cut, &usual).is_err());
}

#[test]
fn options_cross_a_process_boundary() {
    let options = VideoDecoder { fps: Some(2.5), max_side: None, ..VideoDecoder::default() };
    let text = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<VideoDecoder>(&text).unwrap(), options);
    assert_eq!(serde_json::from_str::<VideoDecoder>("{}").unwrap(), VideoDecoder::default());
}
