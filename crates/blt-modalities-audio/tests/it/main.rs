//! Sound that `ffmpeg` makes, decoded and compared with what `ffmpeg` decodes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "what is left out is told")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Unit, View, ViewData, Views};
use blt_modalities_audio::{AudioDecoder, Channels};

const TONE: [&str; 4] = ["-f", "lavfi", "-i", "sine=440:sample_rate=44100:duration=1.037"];
/// Samples of it.
const N_SAMPLES: usize = 45_732;

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

/// The tone as a file in `folder`, made with these arguments.
#[track_caller]
fn make(folder: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ffmpeg");
    let status = command.args(["-nostdin", "-y", "-v", "error"]).args(TONE).args(arguments).arg(&path).status();
    assert!(status.unwrap().success(), "ffmpeg makes {name}");
    path
}

/// The samples in `path` as `ffmpeg` decodes them.
fn reference(path: &Path, format: &str) -> Vec<u8> {
    let codec = format!("pcm_{format}");
    let mut command = Command::new("ffmpeg");
    let output = command.args(["-nostdin", "-v", "quiet", "-i"]).arg(path).args(["-c:a", &codec, "-f", format, "-"]);
    output.output().unwrap().stdout
}

fn decode_within(decoder: &AudioDecoder, path: &Path, limits: &Limits) -> Result<Document, DecodeError> {
    let mut file = std::fs::File::open(path).unwrap();
    let n_bytes = file.metadata().unwrap().len();
    let document = decoder.decode(&mut file, &Hint { path: Some(path), ..Hint::default() }, limits)?;
    for view in &document.views {
        let n_bytes = if let ViewData::Owned(bytes) = &view.data { bytes.len() as u64 } else { n_bytes };
        assert_eq!(view.check_units(n_bytes), Ok(()));
    }
    Ok(document)
}

#[track_caller]
fn decode(decoder: &AudioDecoder, path: &Path) -> Document {
    decode_within(decoder, path, &Limits::default()).unwrap()
}

fn bytes(view: &View) -> &[u8] {
    let ViewData::Owned(bytes) = &view.data else { panic!("a view of its own") };
    bytes
}

#[test]
fn lossless_formats_give_the_samples_of_ffmpeg() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let both = AudioDecoder { views: Views::Both, ..AudioDecoder::default() };
    let files: [(&str, &[&str], &str); 20] = [
        ("u8.wav", &["-c:a", "pcm_u8"], "s16le"),
        ("s16.wav", &["-ac", "2"], "s16le"),
        ("s24.wav", &["-c:a", "pcm_s24le", "-ac", "2"], "s24le"),
        ("s32.wav", &["-c:a", "pcm_s32le"], "s32le"),
        ("f32.wav", &["-c:a", "pcm_f32le"], "f32le"),
        ("f64.wav", &["-c:a", "pcm_f64le"], "f64le"),
        ("rf64.wav", &["-rf64", "always"], "s16le"),
        ("alaw.wav", &["-c:a", "pcm_alaw"], "s16le"),
        ("adpcm.wav", &["-c:a", "adpcm_ima_wav"], "s16le"),
        ("s16.aiff", &["-ac", "2"], "s16le"),
        ("s24.aiff", &["-c:a", "pcm_s24be"], "s24le"),
        ("f32.aiff", &["-c:a", "pcm_f32be"], "f32le"),
        ("sowt.aiff", &["-c:a", "pcm_s16le"], "s16le"),
        ("s16.caf", &["-c:a", "pcm_s16le"], "s16le"),
        ("s16.flac", &[], "s16le"),
        ("s24.flac", &["-sample_fmt", "s32"], "s24le"),
        ("alac.m4a", &["-c:a", "alac"], "s16le"),
        ("flac.mka", &["-c:a", "flac"], "s16le"),
        ("a.wv", &[], "s16le"),
        ("a.tta", &[], "s16le"),
    ];
    for (name, arguments, format) in files {
        let path = make(folder.path(), name, arguments);
        let document = decode(&both, &path);
        assert_eq!(document.problems, [""; 0], "{name}");
        let [_, pcm] = &document.views[..] else { panic!("two views of {name}") };
        assert!(pcm.media_type.contains(&format!("format={format};")), "{name}: {}", pcm.media_type);
        assert!(bytes(pcm) == reference(&path, format), "{name} differs from what ffmpeg decodes");
    }
}

#[test]
fn lossy_formats_have_as_many_samples_as_the_tone() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[&str], usize); 8] = [
        ("a.mp3", &[], N_SAMPLES),
        ("a.ogg", &["-c:a", "libvorbis"], N_SAMPLES),
        ("a.m4a", &["-c:a", "aac"], N_SAMPLES),
        ("mp3.mp4", &["-c:a", "libmp3lame"], N_SAMPLES),
        // These two have no note of what the encoder added; the raw stream keeps whole packets.
        ("a.aac", &[], 46 * 1024),
        ("a.mp2", &[], 40 * 1152),
        ("a.opus", &["-c:a", "libopus"], (N_SAMPLES * 48_000).div_ceil(44_100)),
        ("a.ac3", &[], 30 * 1536),
    ];
    for (name, arguments, n_samples) in files {
        let path = make(folder.path(), name, arguments);
        let document = decode(&AudioDecoder::default(), &path);
        assert_eq!(document.problems, [""; 0], "{name}");
        assert_eq!(bytes(&document.views[0]).len() / 2, n_samples, "{name}");
    }
}

#[test]
fn uncompressed_files_are_their_own_view() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = make(folder.path(), "a.wav", &[]);
    let document = decode(&AudioDecoder::default(), &path);
    let [raw] = &document.views[..] else { panic!("one view") };
    assert_eq!(raw.data, ViewData::Source);
    let in_samples = |unit: &&Unit| unit.label == "frame";
    assert_eq!(raw.units.iter().filter(in_samples).count(), 11);
    let planar = AudioDecoder { channels: Channels::Mixed, sample_rate: Some(16_000), ..AudioDecoder::default() };
    let made = decode(&planar, &path);
    assert_eq!(bytes(&made.views[0]).len() / 2, (N_SAMPLES * 16_000).div_ceil(44_100));
}

#[test]
fn a_file_of_two_gigabytes_is_not_read_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.wav");
    let size: u32 = 2_000_000_000;
    let format = [1, 0, 2, 0, 0x44, 0xAC, 0, 0, 0x10, 0xB1, 2, 0, 4, 0, 16, 0];
    let mut file = std::fs::File::create(&path).unwrap();
    let sizes = [(size + 36).to_le_bytes(), size.to_le_bytes()];
    file.write_all(&[b"RIFF", &sizes[0][..], b"WAVEfmt \x10\0\0\0", &format, b"data", &sizes[1]].concat()).unwrap();
    file.set_len(u64::from(size) + 44).unwrap(); // a hole, which takes no space
    let limits = Limits { max_view_bytes: 1 << 20, ..Limits::default() };
    let document = decode_within(&AudioDecoder::default(), &path, &limits).unwrap();
    assert_eq!(document.problems, [""; 0]);
    assert_eq!(document.views[0].units.iter().filter(|unit| unit.label == "frame").count(), 113_379);
    let both = decode_within(&AudioDecoder { views: Views::Both, ..AudioDecoder::default() }, &path, &limits);
    assert_eq!(both.unwrap_err().to_string(), "the pcm view would exceed 1048576 bytes in memory");
}

#[test]
fn damage_and_limits_are_named() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let whole = make(folder.path(), "a.mp3", &[]);
    let whole = std::fs::read(whole).unwrap();
    let path = folder.path().join("damaged.mp3");
    let garbage: Vec<u8> = (0..1000).map(|i| (i * 7 % 251) as u8).collect();
    std::fs::write(&path, [garbage, whole.clone()].concat()).unwrap();
    assert_eq!(bytes(&decode(&AudioDecoder::default(), &path).views[0]).len() / 2, N_SAMPLES);
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let document = decode(&AudioDecoder::default(), &path);
    assert!(document.problems[0].starts_with("it should have 45732 samples"), "{:?}", document.problems);
    std::fs::write(&path, b"").unwrap();
    assert!(decode_within(&AudioDecoder::default(), &path, &Limits::default()).is_err());
    std::fs::write(&path, &whole).unwrap();
    for limits in [
        Limits { max_seconds: 1, ..Limits::default() },
        Limits { max_view_bytes: 10_000, ..Limits::default() },
        Limits { timeout: 0, ..Limits::default() },
    ] {
        let error = decode_within(&AudioDecoder::default(), &path, &limits).unwrap_err();
        assert!(!matches!(error, DecodeError::Content { .. }), "{error}");
    }
    let opus = make(folder.path(), "a.opus", &["-c:a", "libopus"]);
    let limits = Limits { max_seconds: 1, ..Limits::default() };
    assert!(matches!(decode_within(&AudioDecoder::default(), &opus, &limits), Err(DecodeError::Limit { .. })));
}

#[test]
fn a_header_at_which_the_library_panics_is_an_error() {
    if !has_ffmpeg() {
        return;
    }
    // PCM with a block that is no multiple of its 60,000 channels, which only the library looks at.
    let format = [1, 0, 0x60, 0xEA, 0x44, 0xAC, 0, 0, 0x10, 0xB1, 2, 0, 4, 0, 16, 0];
    let file = [&b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0"[..], &format, b"data\x04\0\0\0", &[1, 0, 2, 0]].concat();
    let result = AudioDecoder::default().decode(&mut std::io::Cursor::new(file), &Hint::default(), &Limits::default());
    assert!(matches!(result, Err(DecodeError::Content { .. })));
}

#[test]
fn options_cross_a_process_boundary() {
    let options = AudioDecoder { sample_rate: Some(16_000), channels: Channels::Planar, ..AudioDecoder::default() };
    let text = serde_json::to_string(&options).unwrap();
    assert_eq!(serde_json::from_str::<AudioDecoder>(&text).unwrap(), options);
}
