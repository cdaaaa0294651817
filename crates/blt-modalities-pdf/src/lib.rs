//! PDF for byte models: the text in reading order with the place of every line, rendered pages, and figures.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits};
//! use blt_modalities_pdf::PdfDecoder;
//!
//! let bytes = "%PDF-1.4
//!     1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
//!     2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
//!     3 0 obj <</Type /Page /MediaBox [0 0 200 100] /Contents 4 0 R>> endobj
//!     4 0 obj <</Length 40>> stream
//!     BT /F 10 Tf 20 50 Td (hello) Tj ET
//!     endstream endobj
//!     trailer <</Root 1 0 R>>";
//! let decoder = PdfDecoder::default();
//! let document = decoder.decode(&mut std::io::Cursor::new(bytes), &Hint::default(), &Limits::default())?;
//! let labels: Vec<_> = document.views[0].units.iter().map(|unit| unit.label.as_ref()).collect();
//! assert_eq!(labels, ["page", "block", "line"]);
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! It reads what a page shows, invisible text and form fields included, and not what is attached to the file. Pictures
//! of text stay pictures: a page that needs OCR is named in [`Document::problems`]. A hostile file may still make the
//! PDF library panic or run out of stack, so it belongs into a process of its own.

mod columns;
mod figures;
mod glyphs;
mod lines;
mod pixels;
mod strings;
#[cfg(test)]
mod tests;
mod text;
mod words;

use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Modality, Rect, SourceReader, View, read_whole};
use hayro::hayro_syntax::{DecryptionError, LoadPdfError, Pdf, PdfData};
use hayro::kurbo;
use serde::{Deserialize, Serialize};

use figures::Figures;

const MEDIA_TYPE: &str = "application/pdf";

/// Which views a PDF gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PdfMode {
    /// The file's bytes.
    #[serde(rename = "raw_only")]
    Raw,
    /// The text of all pages.
    #[default]
    #[serde(rename = "text_only")]
    Text,
    /// All pages as pixels.
    #[serde(rename = "image_only")]
    Image,
    /// All of these, raw first, and every picture that pages show as a view `figure`.
    #[serde(rename = "multiview")]
    Multi,
}

/// Makes documents of PDF files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PdfDecoder {
    /// Which views.
    pub mode: PdfMode,
    /// Passwords to try after the empty one.
    pub passwords: Vec<String>,
    /// Pixels for each inch of a rendered page.
    pub render_dpi: u32,
}

impl Default for PdfDecoder {
    fn default() -> Self {
        Self { mode: PdfMode::default(), passwords: Vec::new(), render_dpi: 72 }
    }
}

impl Decoder for PdfDecoder {
    fn modality(&self) -> Modality {
        Modality::Pdf
    }

    fn decode(&self, source: &mut dyn SourceReader, _: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let found = source.n_bytes()?;
        if found > limits.max_bytes {
            return Err(DecodeError::TooLarge { found, limit: limits.max_bytes });
        }
        let raw = View::raw(Modality::Pdf, MEDIA_TYPE);
        if self.mode == PdfMode::Raw {
            return Ok(Document::new(Modality::Pdf, MEDIA_TYPE, vec![raw]));
        }

        let pdf = self.open(read_whole(source, limits)?.into())?;
        let pages = pdf.pages();
        limits.check("pages", pages.len() as u64, limits.max_pages, "--max-pages")?;
        let mut document = Document::new(Modality::Pdf, MEDIA_TYPE, Vec::new());
        let mut figures = (self.mode == PdfMode::Multi).then(|| Figures::new(limits));
        if self.mode == PdfMode::Multi {
            document.views.push(raw);
        }
        if self.mode != PdfMode::Image {
            let (view, problems) = text::text_view(pages, limits, figures.as_mut())?;
            document.views.push(view);
            document.problems.extend(problems);
        }
        if self.mode != PdfMode::Text {
            let (view, problems) = pixels::image_view(pages, self.render_dpi, limits)?;
            document.views.push(view);
            document.problems.extend(problems);
        }
        if let Some(figures) = figures {
            document.views.extend(figures.views);
            document.problems.extend(figures.problems);
        }
        Ok(document)
    }
}

impl PdfDecoder {
    fn open(&self, data: PdfData) -> Result<Pdf, DecodeError> {
        let content = |reason: &str| DecodeError::Content { modality: Modality::Pdf, reason: reason.to_owned() };
        for password in std::iter::once("").chain(self.passwords.iter().map(String::as_str)) {
            match Pdf::new_with_password(data.clone(), password) {
                Ok(pdf) if pdf.pages().is_empty() => return Err(content("it has no pages")),
                Ok(pdf) => return Ok(pdf),
                Err(LoadPdfError::Decryption(DecryptionError::PasswordProtected)) => {}
                Err(LoadPdfError::Decryption(DecryptionError::UnsupportedAlgorithm)) => {
                    return Err(content("it is encrypted in a way that is not known"));
                }
                Err(LoadPdfError::Decryption(_)) => return Err(content("its encryption is damaged")),
                Err(LoadPdfError::Invalid) => return Err(content("it has no page tree that can be read")),
            }
        }
        Err(DecodeError::Encrypted)
    }
}

/// A rectangle of a page, from the library's numbers.
fn page_rect(rect: kurbo::Rect) -> Rect {
    Rect { x0: rect.x0 as f32, y0: rect.y0 as f32, x1: rect.x1 as f32, y1: rect.y1 as f32 }
}
