//! Films for byte models, by the programs `ffmpeg` and `ffprobe`: a view `frames` with every picture, scaled down, in
//! scenes; a view `pcm` for each track of sound; a view `text` for each track of subtitles in text.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits, Modality};
//! use blt_modalities_video::VideoDecoder;
//!
//! let decoder = VideoDecoder { max_side: Some(64), ..VideoDecoder::default() };
//! assert_eq!(decoder.modality(), Modality::Video);
//! // Without the programs, or with no film in the bytes, there is an error and no document.
//! let no_film = decoder.decode(&mut std::io::Cursor::new(b"no film"), &Hint::default(), &Limits::default());
//! assert!(no_film.is_err());
//! ```
//!
//! It does not decide whether a file is a film; `blt-modalities` does. Both programs are children that are killed at the
//! deadline, and nothing is allocated by what they say of the file.

mod frames;
mod sound;
mod subtitles;

use blt_child::{Deadline, Input, Probe, Stream, probe};
use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Modality, SourceReader, View, Views};
use serde::{Deserialize, Serialize};

/// Makes documents of films.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VideoDecoder {
    /// Which views.
    pub views: Views,
    /// Frames a second; `None` for every frame that the film has, at its own times.
    pub fps: Option<f32>,
    /// Longer side of a frame in pixels. Larger frames are scaled down to it, smaller ones stay; `None` for all as they
    /// are.
    pub max_side: Option<u32>,
    /// Whether the tracks of sound become views.
    pub sound: bool,
    /// Whether the tracks of subtitles become views.
    pub subtitles: bool,
    /// Length of a frame of sound in milliseconds.
    pub frame_ms: u32,
}

impl Default for VideoDecoder {
    fn default() -> Self {
        Self { views: Views::default(), fps: None, max_side: Some(128), sound: true, subtitles: true, frame_ms: 100 }
    }
}

impl Decoder for VideoDecoder {
    fn modality(&self) -> Modality {
        Modality::Video
    }

    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let n_bytes = source.n_bytes()?;
        if n_bytes > limits.max_bytes {
            return Err(DecodeError::TooLarge { found: n_bytes, limit: limits.max_bytes });
        }
        if n_bytes == 0 {
            return Err(content("it is empty"));
        }
        let media_type = if hint.media_type.is_empty() { "application/octet-stream" } else { hint.media_type };
        let mut document = Document::new(Modality::Video, media_type, Vec::new());
        if self.views != Views::Decoded {
            document.views.push(View::raw(Modality::Video, media_type));
        }
        if self.views == Views::Raw {
            return Ok(document);
        }
        let input = Input::new(source, hint)?;
        let film = Film { input: &input, limits, deadline: Deadline::new(limits) };
        self.add_views(&film, &mut document)?;
        Ok(document)
    }
}

impl VideoDecoder {
    fn add_views(&self, film: &Film<'_>, document: &mut Document) -> Result<(), DecodeError> {
        let probe = probe(film.input, Modality::Video, film.limits, &film.deadline)?;
        let mut pictures = tracks(&probe, "video").filter(|stream| stream.disposition.attached_pic == 0);
        let main = pictures.next().ok_or_else(|| content("it has no track of pictures"))?;
        let n_more = pictures.count();
        if n_more > 0 {
            document.problems.push(format!("{n_more} more tracks of pictures are not decoded"));
        }
        let n_attached = tracks(&probe, "video").filter(|stream| stream.disposition.attached_pic != 0).count();
        if n_attached > 0 {
            document.problems.push(format!("{n_attached} attached pictures are not decoded"));
        }
        frames::add(self, film, main, document)?;
        let sound = tracks(&probe, "audio").filter(|_| self.sound).enumerate();
        for (number, stream) in sound {
            let result = sound::view(self, film, stream, number, &mut document.problems);
            keep(result, document, &format!("audio {number}"))?;
        }
        let subtitles = tracks(&probe, "subtitle").filter(|_| self.subtitles).enumerate();
        for (number, stream) in subtitles {
            let result = subtitles::view(film, stream, number, &mut document.problems);
            keep(result, document, &format!("subtitle {number}"))?;
        }
        Ok(())
    }
}

/// A file that is being decoded.
struct Film<'a> {
    input: &'a Input,
    limits: &'a Limits,
    deadline: Deadline,
}

fn tracks<'a>(probe: &'a Probe, kind: &'a str) -> impl Iterator<Item = &'a Stream> {
    probe.streams.iter().filter(move |stream| stream.codec_type == kind)
}

/// Adds the view of a track. A track that cannot be decoded does not take the others with it, unless time is up.
fn keep(view: Result<View, DecodeError>, document: &mut Document, track: &str) -> Result<(), DecodeError> {
    match view {
        Ok(view) => document.views.push(View { name: Some(track.into()), ..view }),
        Err(error @ DecodeError::Timeout(_)) => return Err(error),
        Err(error) => document.problems.push(format!("the track `{track}` is not decoded: {error}")),
    }
    Ok(())
}

fn content(reason: impl Into<String>) -> DecodeError {
    DecodeError::Content { modality: Modality::Video, reason: reason.into() }
}
