//! A source as the model sees it: views (byte strings) and the units inside them.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ByteRange, Limits};

/// What kind of content a source or view holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Modality {
    /// Text in any charset.
    Text,
    /// Programs and other text with a grammar.
    Code,
    /// Office documents, web pages, mail, tables.
    Document,
    /// PDF.
    Pdf,
    /// Pictures, moving ones too.
    Image,
    /// Sound.
    Audio,
    /// Pictures and sound on one clock.
    Video,
    /// Files inside a file.
    Archive,
    /// Executables, and bytes of no known structure.
    Binary,
}

impl Modality {
    /// Every modality, in the order of their names in the documentation.
    pub const ALL: [Modality; 9] = [
        Modality::Text,
        Modality::Code,
        Modality::Document,
        Modality::Pdf,
        Modality::Image,
        Modality::Audio,
        Modality::Video,
        Modality::Archive,
        Modality::Binary,
    ];

    /// The name used in options, outputs and the journal.
    pub fn name(self) -> &'static str {
        match self {
            Modality::Text => "text",
            Modality::Code => "code",
            Modality::Document => "document",
            Modality::Pdf => "pdf",
            Modality::Image => "image",
            Modality::Audio => "audio",
            Modality::Video => "video",
            Modality::Archive => "archive",
            Modality::Binary => "binary",
        }
    }
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Modality {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|modality| modality.name() == name)
            .ok_or_else(|| format!("no modality is named `{name}`"))
    }
}

/// A rectangle in pixels, or in points of a page, from the upper left corner as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Lower edge.
    pub y1: f32,
}

/// Where a unit of a view lies in the source, in the terms that are natural there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Origin {
    /// These bytes of the source.
    SourceBytes(ByteRange),
    /// These bytes of a part of the source that lies in it compressed, such as a member of a zip archive.
    Member {
        /// The part's name.
        name: Box<str>,
        /// Its bytes, inflated.
        range: ByteRange,
    },
    /// A place on a page.
    Page {
        /// Number of the page, from 0.
        page: u32,
        /// In points of 1/72 inch.
        rect: Rect,
    },
    /// A place in a picture.
    Pixels {
        /// Number of the frame, from 0.
        frame: u32,
        /// In pixels, after the orientation that the file asks for.
        rect: Rect,
    },
    /// A stretch of sound.
    Samples {
        /// First sample of every channel, from 0.
        start: u64,
        /// One past the last.
        end: u64,
        /// Samples a second.
        rate: u32,
    },
    /// A frame of a film, or a subtitle.
    Time {
        /// Number of the frame or the subtitle, from 0.
        frame: u64,
        /// Begin in seconds from the start.
        start: f64,
        /// End in seconds.
        end: f64,
    },
    /// A row of a table.
    Row {
        /// Number of the table, from 0.
        table: u32,
        /// Number of the row, from 0.
        row: u64,
    },
}

/// A named stretch of a view: a line, a page, a function. Units of one level tile their parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    /// What it is, like `line` or `function`.
    pub label: Cow<'static, str>,
    /// What it is called in the source, like a section's name.
    pub name: Option<Box<str>>,
    /// Its bytes in the view.
    pub range: ByteRange,
    /// Its place in the source, where that is not the same bytes.
    pub origin: Option<Origin>,
    /// Index of the enclosing unit in [`View::units`], `None` directly below the view.
    pub parent: Option<usize>,
}

impl Unit {
    /// A unit without a name of its own, directly below the view.
    pub fn new(label: impl Into<Cow<'static, str>>, range: ByteRange) -> Self {
        Self { label: label.into(), name: None, range, origin: None, parent: None }
    }

    /// The same with a name.
    pub fn named(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same with a place in the source.
    pub fn at(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// The same inside another unit.
    pub fn inside(mut self, parent: impl Into<Option<usize>>) -> Self {
        self.parent = parent.into();
        self
    }
}

/// The bytes of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewData {
    /// The source's own bytes, all of them, read when they are needed.
    Source,
    /// Bytes made by a decoder.
    Owned(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// Which views a source gets from a decoder that makes some of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Views {
    /// The source's bytes.
    Raw,
    /// What the decoder makes of them.
    #[default]
    Decoded,
    /// Both, the source's bytes first.
    Both,
}

/// One byte string that the model reads from start to end. Patches never cross a view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    /// What it is, like `raw`, `text` or `pixels`.
    pub label: Cow<'static, str>,
    /// Which one it is where there may be several: a member's path, a track.
    pub name: Option<Box<str>>,
    /// What it holds.
    pub modality: Modality,
    /// How its bytes are to be read, as a media type with parameters, like `audio/x-raw; format=s16le; rate=44100`.
    pub media_type: String,
    /// Its bytes.
    pub data: ViewData,
    /// Where it lies in the source as a whole; [`Origin::SourceBytes`] only if it is those very bytes.
    pub origin: Option<Origin>,
    /// Units in order of their start, parents before children. They tile the view level by level, or there are none.
    pub units: Vec<Unit>,
}

impl View {
    /// The source's own bytes with no units.
    pub fn raw(modality: Modality, media_type: impl Into<String>) -> Self {
        let media_type = media_type.into();
        Self {
            label: "raw".into(),
            name: None,
            modality,
            media_type,
            data: ViewData::Source,
            origin: None,
            units: Vec::new(),
        }
    }

    /// Bytes made by a decoder, with no units.
    pub fn owned(
        label: impl Into<Cow<'static, str>>,
        modality: Modality,
        media_type: impl Into<String>,
        bytes: Vec<u8>,
    ) -> Self {
        Self { label: label.into(), data: ViewData::Owned(bytes), ..Self::raw(modality, media_type) }
    }

    /// Whether the units tile the view, of `n_bytes`, level by level; the first fault if they do not.
    ///
    /// # Errors
    ///
    /// Fails with a sentence that names the unit.
    pub fn check_units(&self, n_bytes: u64) -> Result<(), String> {
        // Where the units seen so far end, for the view and for every unit that has children.
        let mut ends: Vec<Option<u64>> = vec![None; self.units.len() + 1];
        let top = self.units.len();
        let mut last_start = 0;
        for (i, unit) in self.units.iter().enumerate() {
            let fault =
                |what: &str| format!("unit {i} (`{}`, {}) of view `{}` {what}", unit.label, unit.range, self.label);
            let parent = unit.parent.unwrap_or(top);
            if parent != top && parent >= i {
                return Err(fault("comes before its parent"));
            }
            let within = self.units.get(parent).map_or(ByteRange { start: 0, end: n_bytes }, |parent| parent.range);
            if unit.range.start > unit.range.end || unit.range.start < last_start {
                return Err(fault("is out of order"));
            }
            if unit.range.start != ends[parent].unwrap_or(within.start) || unit.range.end > within.end {
                return Err(fault("does not begin where the one before it ends, or leaves its parent"));
            }
            last_start = unit.range.start;
            ends[parent] = Some(unit.range.end);
        }
        for (i, end) in ends.iter().enumerate() {
            let whole = self.units.get(i).map_or(n_bytes, |unit| unit.range.end);
            if end.is_some_and(|end| end != whole) {
                return Err(format!("the units of view `{}` leave a rest", self.label));
            }
        }
        Ok(())
    }
}

/// A file inside a source, for the decoder that its content asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedded {
    /// Its name or path inside the source.
    pub name: Box<str>,
    /// Where it lies in the source, if it lies there as it is.
    pub origin: Option<Origin>,
    /// Its bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// A decoded source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// What the source holds.
    pub modality: Modality,
    /// Its media type with parameters, like `text/plain; charset=utf-8`.
    pub media_type: String,
    /// Its views.
    pub views: Vec<View>,
    /// Files inside it, which become views of their own.
    pub embedded: Vec<Embedded>,
    /// What could not be decoded, in sentences without a full stop; everything else is in the views.
    pub problems: Vec<String>,
}

impl Document {
    /// A document with these views and nothing else to say.
    pub fn new(modality: Modality, media_type: impl Into<String>, views: Vec<View>) -> Self {
        Self { modality, media_type: media_type.into(), views, embedded: Vec::new(), problems: Vec::new() }
    }
}

/// What is known of a source beside its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hint<'a> {
    /// Its format, by the id that detection gives; empty when nothing is known.
    pub format: &'a str,
    /// Its media type, by detection.
    pub media_type: &'a str,
    /// Its file name or path; empty when it has none.
    pub name: &'a str,
    /// Where another program may read it.
    pub path: Option<&'a Path>,
}

/// A source that can be read from any offset: a file, or bytes in memory.
pub trait SourceReader: Read + Seek + Send {
    /// Total number of bytes.
    ///
    /// # Errors
    ///
    /// Fails when the source cannot be sought.
    fn n_bytes(&mut self) -> io::Result<u64> {
        let position = self.stream_position()?;
        let end = self.seek(SeekFrom::End(0))?;
        self.seek(SeekFrom::Start(position))?;
        Ok(end)
    }
}

impl<T: Read + Seek + Send> SourceReader for T {}

/// Why a source did not become a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The source could not be read.
    #[error("cannot read the source")]
    Read(#[from] io::Error),
    /// The source is larger than allowed.
    #[error("the source has {found} bytes, more than the limit of {limit} (`--max-bytes`)")]
    TooLarge {
        /// Its size in bytes.
        found: u64,
        /// [`Limits::max_bytes`].
        limit: u64,
    },
    /// A view would be larger than may be held in memory.
    #[error("the {view} view would exceed {limit} bytes in memory")]
    ViewTooLarge {
        /// The view's label.
        view: &'static str,
        /// [`Limits::max_view_bytes`].
        limit: u64,
    },
    /// The source has more units than allowed.
    #[error("the source has more than {limit} units of kind `{label}`")]
    TooManyUnits {
        /// The unit's label.
        label: &'static str,
        /// [`Limits::max_units`].
        limit: usize,
    },
    /// Something inside the source is larger than allowed, or there is more of it.
    #[error("it has {found} {what}, more than the limit of {limit} (`{option}`)")]
    Limit {
        /// What is counted, in the plural, like `pixels`.
        what: Cow<'static, str>,
        /// How many the source has, or says it has.
        found: u64,
        /// How many are allowed.
        limit: u64,
        /// The option that changes the limit.
        option: Cow<'static, str>,
    },
    /// It took longer than allowed.
    #[error("decoding took longer than {0} seconds (`--timeout`)")]
    Timeout(u64),
    /// The caller asked to stop.
    #[error("stopped before the end")]
    Cancelled,
    /// A program that the format needs is not there.
    #[error("`{0}` is needed and was not found")]
    Program(String),
    /// It is encrypted, and none of the passwords opens it.
    #[error("it is encrypted, and no `--password` opens it")]
    Encrypted,
    /// What a decoder in another process said.
    #[error("{0}")]
    Told(String),
    /// The content is not what the decoder reads.
    #[error("not decodable as {modality}: {reason}")]
    Content {
        /// The decoder's modality.
        modality: Modality,
        /// What is wrong, without a full stop.
        reason: String,
    },
}

/// Turns a source into a document.
///
/// Each view that preserves bytes is tiled exactly by its units, in order, without gap or overlap; nothing is dropped.
pub trait Decoder: Send + Sync + fmt::Debug {
    /// What it decodes.
    fn modality(&self) -> Modality;

    /// The document in `source`.
    ///
    /// # Errors
    ///
    /// Fails when the source cannot be read, is not of this modality, or exceeds `limits`.
    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError>;
}

/// All bytes of `source`, for a decoder that needs them at once.
///
/// # Errors
///
/// Fails when the source cannot be read or is larger than [`Limits::max_view_bytes`].
pub fn read_whole(source: &mut dyn SourceReader, limits: &Limits) -> Result<Vec<u8>, DecodeError> {
    let too_large = DecodeError::ViewTooLarge { view: "raw", limit: limits.max_view_bytes };
    if source.n_bytes()? > limits.max_view_bytes {
        return Err(too_large);
    }
    source.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    // One byte more than allowed shows a file that grew meanwhile.
    source.take(limits.max_view_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits.max_view_bytes { Err(too_large) } else { Ok(bytes) }
}
