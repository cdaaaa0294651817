//! A source as the model sees it: views (byte strings) and the units inside them.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
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
    /// Bytes of no known structure.
    Binary,
}

impl Modality {
    /// Every modality, in the order of their names in the documentation.
    pub const ALL: [Modality; 2] = [Modality::Text, Modality::Binary];

    /// The name used in options, outputs and the journal.
    pub fn name(self) -> &'static str {
        match self {
            Modality::Text => "text",
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

/// Where a unit of a view lies in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// These bytes of the source.
    SourceBytes(ByteRange),
}

/// A named stretch of a view: a line, a page, a function. Units of one level tile their parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// What it is, like `line` or `paragraph`.
    pub label: &'static str,
    /// Its bytes in the view.
    pub range: ByteRange,
    /// Its place in the source, where it has one.
    pub origin: Option<Origin>,
    /// Index of the enclosing unit in [`View::units`], `None` directly below the view.
    pub parent: Option<usize>,
}

/// The bytes of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewData {
    /// The source's own bytes, all of them, read when they are needed.
    Source,
    /// Bytes made by a decoder.
    Owned(Vec<u8>),
}

/// One byte string that the model reads from start to end. Patches never cross a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What it is, like `raw` or `decoded`.
    pub label: &'static str,
    /// What it holds.
    pub modality: Modality,
    /// Its bytes.
    pub data: ViewData,
    /// Units in order of their start, parents before children. They tile the view level by level, or there are none.
    pub units: Vec<Unit>,
}

impl View {
    /// The source's own bytes with no units.
    pub fn raw(modality: Modality) -> Self {
        Self { label: "raw", modality, data: ViewData::Source, units: Vec::new() }
    }
}

/// A decoded source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What the source holds.
    pub modality: Modality,
    /// Its media type with parameters, like `text/plain; charset=utf-8`.
    pub media_type: String,
    /// Its views, at least one.
    pub views: Vec<View>,
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
    fn decode(&self, source: &mut dyn SourceReader, limits: &Limits) -> Result<Document, DecodeError>;
}
