//! Tells what a file holds and turns it into a document with the decoder for that. Files inside files are decoded in turn.
//!
//! ```
//! use blt_core::{Limits, Modality};
//! use blt_modalities::{Modalities, detect};
//!
//! assert_eq!(detect(&mut std::io::Cursor::new(b"plain words\n"), "")?.modality, Modality::Text);
//! let source = &mut std::io::Cursor::new("words");
//! let decoded = Modalities::default().decode(source, &Default::default(), None, &Limits::default())?;
//! assert_eq!(decoded.document.modality, Modality::Text);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Features: one for each modality, `text` by default, `all` for all; `tokenizers` for text segments by a tokenizer file.
//! What no decoder is compiled in for is read as bytes of no known structure, which loses nothing. Hostile formats are
//! decoded in a process of their own if the program says how to start one: [`Isolation`].

mod detect;
mod embedded;
mod formats;
mod isolation;

use std::io::SeekFrom;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Modality, SourceReader, View, ViewData};
use serde::{Deserialize, Serialize};

#[cfg(feature = "archive")]
pub use blt_modalities_archive::ArchiveDecoder;
#[cfg(feature = "audio")]
pub use blt_modalities_audio::{AudioDecoder, Channels};
#[cfg(feature = "binary")]
pub use blt_modalities_binary::BinaryDecoder;
#[cfg(feature = "code")]
pub use blt_modalities_code::CodeDecoder;
#[cfg(feature = "document")]
pub use blt_modalities_document::DocumentDecoder;
#[cfg(feature = "image")]
pub use blt_modalities_image::ImageDecoder;
#[cfg(feature = "pdf")]
pub use blt_modalities_pdf::{PdfDecoder, PdfMode};
#[cfg(feature = "tokenizers")]
pub use blt_modalities_text::TokenizerFile;
#[cfg(feature = "text")]
pub use blt_modalities_text::{Charset, TextDecoder, TextSegments};
#[cfg(feature = "video")]
pub use blt_modalities_video::VideoDecoder;
pub use detect::detect;
pub use formats::{Format, formats};
pub use isolation::{Isolate, Isolation, serve};

/// The decoders, with their options.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Modalities {
    /// For text. It is never decoded in another process.
    #[cfg(feature = "text")]
    #[serde(skip)]
    pub text: TextDecoder,
    /// For source code.
    #[cfg(feature = "code")]
    pub code: CodeDecoder,
    /// For office documents, web pages, mail and tables.
    #[cfg(feature = "document")]
    pub document: DocumentDecoder,
    /// For PDF.
    #[cfg(feature = "pdf")]
    pub pdf: PdfDecoder,
    /// For pictures.
    #[cfg(feature = "image")]
    pub image: ImageDecoder,
    /// For sound.
    #[cfg(feature = "audio")]
    pub audio: AudioDecoder,
    /// For films.
    #[cfg(feature = "video")]
    pub video: VideoDecoder,
    /// For files of files.
    #[cfg(feature = "archive")]
    pub archive: ArchiveDecoder,
    /// For executables.
    #[cfg(feature = "binary")]
    pub binary: BinaryDecoder,
    /// What is decoded in a process of its own.
    pub isolation: Isolation,
    /// What is read as it is, whatever it holds.
    pub as_bytes: Vec<Modality>,
}

/// What became of a source.
#[derive(Debug)]
pub struct Decoded {
    /// Its views; the source's own bytes alone if decoding failed as a whole.
    pub document: Document,
    /// Why decoding failed, or failed for a file inside that may be decoded another time: with a program that is missing, a
    /// password, or more time.
    pub error: Option<DecodeError>,
}

impl Modalities {
    /// The document in `source`, read as `modality`, or as what it looks like when that is `None`. If the decoder fails, it
    /// is the source's bytes, and the error says why.
    ///
    /// # Errors
    ///
    /// Fails when the source cannot be read or has more than [`Limits::max_bytes`].
    pub fn decode(
        &self,
        source: &mut dyn SourceReader,
        hint: &Hint<'_>,
        modality: Option<Modality>,
        limits: &Limits,
    ) -> Result<Decoded, DecodeError> {
        self.decode_unless(&AtomicBool::new(false), source, hint, modality, limits)
    }

    /// As [`Modalities::decode`], but gives up soon after `cancelled` is set: between files inside, and when it waits for
    /// another process, which it ends.
    ///
    /// # Errors
    ///
    /// As [`Modalities::decode`], and fails with [`DecodeError::Cancelled`].
    pub fn decode_unless(
        &self,
        cancelled: &AtomicBool,
        source: &mut dyn SourceReader,
        hint: &Hint<'_>,
        modality: Option<Modality>,
        limits: &Limits,
    ) -> Result<Decoded, DecodeError> {
        let n_bytes = source.n_bytes()?;
        if n_bytes > limits.max_bytes {
            return Err(DecodeError::TooLarge { found: n_bytes, limit: limits.max_bytes });
        }
        let mut format = detect(source, hint.name)?;
        if let Some(modality) = modality.filter(|modality| *modality != format.modality) {
            format = Format { id: "", modality, media_type: "application/octet-stream", ..format };
        }
        let decoded = self.decode_one(source, hint, &format, n_bytes, limits, cancelled);
        let mut budget = embedded::Budget::new(limits, cancelled);
        let decoded = decoded.and_then(|document| self.with_embedded(document, 1, &mut budget));
        Ok(match decoded {
            Ok(document) => Decoded { document, error: budget.to_retry },
            Err(DecodeError::Cancelled) => return Err(DecodeError::Cancelled),
            // Libraries tell of damage by errors of reading, too. A source that cannot be read fails again as bytes.
            Err(error) => {
                let view = View::raw(format.modality, format.media_type);
                Decoded { document: Document::new(format.modality, format.media_type, vec![view]), error: Some(error) }
            }
        })
    }

    /// Everything that decides about views and units, in one line, without passwords.
    pub fn settings(&self) -> String {
        #[cfg_attr(not(feature = "pdf"), expect(unused_mut, reason = "only PDF has passwords"))]
        let mut decoders = Self { isolation: Isolation::default(), ..self.clone() };
        #[cfg(feature = "pdf")]
        decoders.pdf.passwords.clear();
        serde_json::to_string(&decoders).unwrap_or_default()
    }

    /// What the decoder for `format` makes of the source, with the files inside it as they are.
    fn decode_one(
        &self,
        source: &mut dyn SourceReader,
        hint: &Hint<'_>,
        format: &Format,
        n_bytes: u64,
        limits: &Limits,
        cancelled: &AtomicBool,
    ) -> Result<Document, DecodeError> {
        let hint = Hint { format: format.id, media_type: format.media_type, ..*hint };
        source.seek(SeekFrom::Start(0))?;
        if n_bytes == 0 && format.modality != Modality::Text {
            // Of whatever it would be, there is nothing of it.
            let view = View::raw(format.modality, format.media_type);
            return Ok(Document::new(format.modality, format.media_type, vec![view]));
        }
        let decoder = match self.decoder(format.modality) {
            // A format that is known but not decoded is told apart from one that is damaged.
            Some(decoder) if format.is_decoded || format.id.is_empty() => decoder,
            _ => {
                let mut document = BytesDecoder.decode(source, &hint, limits)?;
                document.modality = format.modality;
                document.views[0].modality = format.modality;
                let is_wanted = self.as_bytes.contains(&format.modality);
                if !is_wanted && !matches!(format.modality, Modality::Binary | Modality::Text | Modality::Code) {
                    document.problems.push(format!("no decoder for {} in this build", format.media_type));
                }
                return Ok(document);
            }
        };
        let document = if self.isolation.applies(format.modality) {
            self.isolation.decode(self, format.modality, source, &hint, limits, cancelled)?
        } else {
            guarded(format.modality, || decoder.decode(source, &hint, limits))?
        };
        check(&document, n_bytes)?;
        Ok(document)
    }

    /// The decoder for `modality`, if this build has one and it is wanted.
    fn decoder(&self, modality: Modality) -> Option<&dyn Decoder> {
        match modality {
            _ if self.as_bytes.contains(&modality) => None,
            #[cfg(feature = "text")]
            Modality::Text => Some(&self.text),
            #[cfg(feature = "code")]
            Modality::Code => Some(&self.code),
            #[cfg(feature = "document")]
            Modality::Document => Some(&self.document),
            #[cfg(feature = "pdf")]
            Modality::Pdf => Some(&self.pdf),
            #[cfg(feature = "image")]
            Modality::Image => Some(&self.image),
            #[cfg(feature = "audio")]
            Modality::Audio => Some(&self.audio),
            #[cfg(feature = "video")]
            Modality::Video => Some(&self.video),
            #[cfg(feature = "archive")]
            Modality::Archive => Some(&self.archive),
            #[cfg(feature = "binary")]
            Modality::Binary => Some(&self.binary),
            _ => None,
        }
    }
}

/// Runs a decoder; a panic inside it is a failure of the source.
fn guarded(modality: Modality, work: impl FnOnce() -> Result<Document, DecodeError>) -> Result<Document, DecodeError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let reason = format!("the decoder broke down: {}", text.unwrap_or("unknown"));
        Err(DecodeError::Content { modality, reason })
    })
}

/// Holds a decoder to its promise: units tile their views.
fn check(document: &Document, n_bytes: u64) -> Result<(), DecodeError> {
    for view in &document.views {
        let n_bytes = match &view.data {
            ViewData::Source => n_bytes,
            ViewData::Owned(bytes) => bytes.len() as u64,
        };
        view.check_units(n_bytes).map_err(|reason| DecodeError::Content { modality: document.modality, reason })?;
    }
    Ok(())
}

/// Reads anything as bytes of no known structure.
#[derive(Debug, Clone, Copy)]
pub struct BytesDecoder;

impl Decoder for BytesDecoder {
    fn modality(&self) -> Modality {
        Modality::Binary
    }

    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let n_bytes = source.n_bytes()?;
        if n_bytes > limits.max_bytes {
            return Err(DecodeError::TooLarge { found: n_bytes, limit: limits.max_bytes });
        }
        let media_type = if hint.media_type.is_empty() { "application/octet-stream" } else { hint.media_type };
        Ok(Document::new(Modality::Binary, media_type, vec![View::raw(Modality::Binary, media_type)]))
    }
}
