//! The programs `ffmpeg` and `ffprobe`, of FFmpeg 5 or newer, as they are started for untrusted files.

use std::ffi::OsString;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use blt_core::{DecodeError, Hint, Limits, Modality, SourceReader};
use serde::Deserialize;
use tempfile::NamedTempFile;

use crate::child::{Deadline, Group, Output, run};

/// Containers that hold their sound and pictures themselves. Playlists (`hls`, `concat`, `dash`) are not among them:
/// they would let a file name other files of the machine. Names are those of `ffmpeg -demuxers`.
const CONTAINERS: &str = "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dff,dsf,dts,dtshd,dv,eac3,ea,flac,flv,gif,\
    h261,h263,h264,hevc,iff,ircam,iss,ivf,m4v,matroska,mjpeg,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nsv,nut,ogg,\
    oma,qcp,rm,rso,smjpeg,shn,smk,swf,tak,thp,truehd,tta,vc1,vivo,voc,w64,wav,webm,webp,wsaud,wsvqa,wtv,wv,xa,xwma,\
    yuv4mpegpipe,apng,bink,bfi,c93,cdxl,film_cpk,flic,fsb,gxf,4xm,adx,aea,acm,act,aptx,g722,g723_1,g726,g729,gsm,\
    ilbc,loas,nistsphere,pvf,sox,smush,svx,vag,vqf,wve,codec2,roq,rpl,sol,str,avs,avs2,avs3,av1,obu";

/// Codecs that lose nothing, by FFmpeg's names, beside those that begin with `pcm_` or `dsd_`.
const LOSSLESS: [&str; 13] = [
    "alac",
    "ape",
    "flac",
    "mlp",
    "mp4als",
    "shorten",
    "tak",
    "truehd",
    "tta",
    "wavpack",
    "wmalossless",
    "ralf",
    "dst",
];

/// The longest description of a file that is read.
const MAX_DESCRIPTION: u64 = 4 << 20;

/// So much of a complaint is passed on.
const MAX_SENTENCE: usize = 200;

/// A source as a file that another program may read.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    /// Keeps the file that was made for a source without a path.
    _copy: Option<NamedTempFile>,
}

impl Input {
    /// The file at [`Hint::path`], or a temporary copy of `source` that goes with this value.
    ///
    /// # Errors
    ///
    /// Fails when the source cannot be read or the copy not be written.
    pub fn new(source: &mut dyn SourceReader, hint: &Hint<'_>) -> Result<Self, DecodeError> {
        if let Some(path) = hint.path {
            return Ok(Self { path: path.to_path_buf(), _copy: None });
        }
        let mut copy = NamedTempFile::new()?;
        source.seek(SeekFrom::Start(0))?;
        io::copy(source, &mut copy)?;
        Ok(Self { path: copy.path().to_path_buf(), _copy: Some(copy) })
    }

    /// Its name with the protocol before it, so that no part of the name is taken for one, or for an option.
    fn url(&self) -> OsString {
        let mut url = OsString::from("file:");
        url.push(&self.path);
        url
    }
}

/// What `ffprobe` says of a file. All of it is the file's own claim.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// Its tracks.
    pub streams: Vec<Stream>,
    /// The file as a whole.
    pub format: Format,
}

/// One track of a [`Probe`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Stream {
    /// Its number in the file.
    pub index: u32,
    /// `video`, `audio`, `subtitle` or another.
    pub codec_type: String,
    /// Its codec, by FFmpeg's name.
    pub codec_name: String,
    /// Samples a second.
    pub sample_rate: Option<String>,
    /// Number of channels of sound.
    pub channels: u32,
    /// How a decoded sample is kept, like `s16` or `fltp`.
    pub sample_fmt: String,
    /// Bits of a sample that count.
    pub bits_per_raw_sample: Option<String>,
    /// Width in pixels, before rotation.
    pub width: u64,
    /// Height in pixels.
    pub height: u64,
    /// Length in seconds.
    pub duration: Option<String>,
    /// Number of frames, where the container says it.
    pub nb_frames: Option<String>,
    /// Frames a second, as a fraction.
    pub avg_frame_rate: Option<String>,
    /// What the track is for.
    pub disposition: Disposition,
}

/// How the sound of a [`Stream`] is written as raw samples, little-endian, the channels of one moment side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSound {
    /// FFmpeg's name of the raw format, like `s16le`.
    pub format: &'static str,
    /// Bytes of one sample.
    pub width: u8,
    /// Samples a second, not 0.
    pub rate: u32,
    /// Number of channels, not 0.
    pub channels: u32,
    /// Whether a lossy codec's floats are rounded to integers.
    pub is_rounded: bool,
}

impl Stream {
    /// The raw format that holds the samples of a lossless codec exactly, or integers of 16 bits for a lossy one. `None`
    /// when the rate or the number of channels is not known.
    pub fn raw_sound(&self) -> Option<RawSound> {
        let rate = self.sample_rate.as_ref()?.parse().ok().filter(|rate| *rate > 0)?;
        let codec = self.codec_name.as_str();
        let is_lossless = LOSSLESS.contains(&codec) || codec.starts_with("pcm_") || codec.starts_with("dsd_");
        let is_float = self.sample_fmt.starts_with("flt") || self.sample_fmt.starts_with("dbl");
        let raw_bits = self.bits_per_raw_sample.as_ref().and_then(|bits| bits.parse().ok()).filter(|bits| *bits > 0);
        let n_bits = raw_bits.unwrap_or(if self.sample_fmt.starts_with("s32") { 32 } else { 16 });
        let (format, width) = match (is_lossless, is_float) {
            (true, true) if self.sample_fmt.starts_with("dbl") => ("f64le", 8),
            (true, true) => ("f32le", 4),
            (true, false) if n_bits > 24 => ("s32le", 4),
            (true, false) if n_bits > 16 => ("s24le", 3),
            _ => ("s16le", 2),
        };
        let is_rounded = !is_lossless && is_float;
        (self.channels > 0).then_some(RawSound { format, width, rate, channels: self.channels, is_rounded })
    }
}

impl RawSound {
    /// Bytes of one sample of every channel.
    pub fn block(&self) -> u64 {
        u64::from(self.width) * u64::from(self.channels)
    }
}

/// All samples of a track of sound, at most `max_bytes`, and the sentence in which `ffmpeg` complained, if it did.
///
/// # Errors
///
/// As [`ffmpeg`].
pub fn raw_samples(
    input: &Input,
    track: u32,
    sound: &RawSound,
    max_bytes: u64,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<(Output, Option<String>), DecodeError> {
    let (track, codec) = (format!("0:{track}"), format!("pcm_{}", sound.format));
    let (rate, channels) = (sound.rate.to_string(), sound.channels.to_string());
    // Rate and channels are fixed, so that a change inside the file cannot make the samples something else.
    let outputs = ["-map", &track, "-f", sound.format, "-c:a", &codec, "-ar", &rate, "-ac", &channels];
    ffmpeg(input, &outputs, max_bytes, limits, deadline)
}

/// What a [`Stream`] is for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Disposition {
    /// 1 for a picture such as a record's cover.
    pub attached_pic: u8,
}

/// The file as a whole, in a [`Probe`].
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Format {
    /// Its container, by FFmpeg's name.
    pub format_name: String,
    /// Length in seconds.
    pub duration: Option<String>,
}

/// What `ffprobe` says of a file's format and its tracks.
///
/// # Errors
///
/// Fails with [`DecodeError::Program`] when it is not installed, with [`DecodeError::Timeout`] at the deadline, and with
/// [`DecodeError::Content`] when it does not know the file.
pub fn probe(input: &Input, modality: Modality, limits: &Limits, deadline: &Deadline) -> Result<Probe, DecodeError> {
    let options = ["-of", "json", "-show_format", "-show_streams"];
    let (output, complaint) = ffprobe(input, &options, MAX_DESCRIPTION, limits, deadline)?;
    let unknown = |reason: String| DecodeError::Content { modality, reason };
    if !output.succeeded {
        return Err(unknown(complaint.unwrap_or_else(|| "ffprobe does not know it".into())));
    }
    serde_json::from_slice(&output.bytes)
        .map_err(|error| unknown(format!("the answer of ffprobe is malformed: {error}")))
}

/// What `ffprobe` prints with these `options`, at most `max_bytes`, and the sentence in which it complained, if it did.
///
/// # Errors
///
/// Fails with [`DecodeError::Program`] when it is not installed and with [`DecodeError::Timeout`] at the deadline.
pub fn ffprobe(
    input: &Input,
    options: &[&str],
    max_bytes: u64,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<(Output, Option<String>), DecodeError> {
    let mut arguments = guards(limits);
    arguments.extend(options.iter().map(OsString::from));
    arguments.extend([OsString::from("-i"), input.url()]);
    let output = run("ffprobe", &arguments, max_bytes, deadline, Group::Parents)?;
    let complaint = complaint(&output, input);
    Ok((output, complaint))
}

/// What `ffmpeg` writes to its standard output with these `outputs` arguments, at most `max_bytes`, and the sentence in
/// which it complained, if it did.
///
/// # Errors
///
/// Fails with [`DecodeError::Program`] when it is not installed and with [`DecodeError::Timeout`] at the deadline.
pub fn ffmpeg(
    input: &Input,
    outputs: &[&str],
    max_bytes: u64,
    limits: &Limits,
    deadline: &Deadline,
) -> Result<(Output, Option<String>), DecodeError> {
    let mut arguments = vec![OsString::from("-nostdin")];
    arguments.extend(guards(limits));
    arguments.extend([OsString::from("-i"), input.url()]);
    arguments.extend(outputs.iter().map(OsString::from));
    arguments.push("pipe:1".into());
    let output = run("ffmpeg", &arguments, max_bytes, deadline, Group::Parents)?;
    let complaint = complaint(&output, input);
    Ok((output, complaint))
}

/// Options before the input that keep both programs to this one file, one thread and an allocation of bounded size.
fn guards(limits: &Limits) -> Vec<OsString> {
    let max_allocation = limits.max_memory.min(1 << 30).to_string();
    let options = ["-v", "error", "-max_alloc", &max_allocation, "-protocol_whitelist", "file,pipe"];
    let more = ["-format_whitelist", CONTAINERS, "-threads", "1"];
    options.iter().chain(&more).map(OsString::from).collect()
}

/// The first line of what the program said, without what differs from run to run: addresses and the file's path.
fn complaint(output: &Output, input: &Input) -> Option<String> {
    let path: &Path = &input.path;
    let path = path.as_os_str().as_encoded_bytes().escape_ascii().to_string();
    let n_lines = output.complaint.lines().count();
    let line = output.complaint.lines().next()?.replace(&format!("file:{path}"), "the file").replace(&path, "the file");
    let mut line = without_addresses(&line);
    if line.len() > MAX_SENTENCE {
        line.truncate(MAX_SENTENCE); // it is ASCII
        line.push_str("..");
    }
    Some(if n_lines > 1 { format!("{line} (and {} more lines)", n_lines - 1) } else { line })
}

/// `[mov @ 0x55d0c0ffee]` becomes `[mov]`.
fn without_addresses(line: &str) -> String {
    let mut parts = line.split(" @ 0x");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_hexdigit()));
    }
    clean
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn complaints_are_the_same_in_every_run() {
        let input = Input { path: "/tmp/x".into(), _copy: None };
        let said = "[mov,mp4 @ 0x55d0c0ffee] no moov\nfile:/tmp/x: Invalid data".to_owned();
        let output = Output { bytes: Vec::new(), is_cut: false, complaint: said, succeeded: false };
        assert_eq!(complaint(&output, &input).unwrap(), "[mov,mp4] no moov (and 1 more lines)");
    }

    #[test]
    fn a_source_without_a_path_is_copied_and_the_copy_removed() {
        let input = Input::new(&mut Cursor::new(b"abc"), &Hint::default()).unwrap();
        let path = input.path.clone();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        drop(input);
        assert!(!path.exists());
    }
}
