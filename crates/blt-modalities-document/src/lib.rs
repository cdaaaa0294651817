//! Documents for byte models: what people read or tabulate, as text and rows, each with its place in the file.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits, Origin, ViewData};
//! use blt_modalities_document::DocumentDecoder;
//!
//! let page = "<html><head><title>T</title></head><body><p>One <b>word</b>.<p>Two</body></html>";
//! let hint = Hint { format: "html", ..Hint::default() };
//! let document = DocumentDecoder::default().decode(&mut std::io::Cursor::new(page), &hint, &Limits::default())?;
//! let view = &document.views[0];
//! assert_eq!(view.data, ViewData::Owned(b"T\nOne word.\nTwo\n".to_vec()));
//! let Some(Origin::SourceBytes(place)) = &view.units[2].origin else { panic!("a paragraph has a place") };
//! assert_eq!(&page[place.start as usize..place.end as usize], "Two");
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! | formats | views |
//! | --- | --- |
//! | docx, pptx, odt, odp, EPUB, HTML, RTF | `text`: paragraphs, in slides or chapters |
//! | mail | `text`; the raw view has headers and parts; attachments are files inside |
//! | xlsx, xls, ods | `rows` as CSV, in sheets |
//! | Parquet | `rows` as JSON lines, in row groups |
//! | CSV, TSV, JSON lines | the raw view with rows |
//! | WARC | the raw view with records; what was fetched are files inside |
//!
//! Layout, formulas, styles and macros are not read. Pictures of office documents are files inside.

mod epub;
mod html;
mod mail;
mod odf;
mod office;
mod parquet_rows;
mod parts;
mod rows;
mod rtf;
mod sheets;
mod text;
mod warc;
mod xml;

use blt_core::{DecodeError, Decoder, Document, Hint, Limits, Modality, SourceReader, View, Views, read_whole};
use serde::{Deserialize, Serialize};

/// Makes documents of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentDecoder {
    /// Which views; tables of text have the raw one only.
    pub views: Views,
    /// Whether files inside (pictures, attachments, what a WARC file archives) are decoded in turn.
    pub embedded: bool,
}

impl Default for DocumentDecoder {
    fn default() -> Self {
        Self { views: Views::Decoded, embedded: true }
    }
}

impl Decoder for DocumentDecoder {
    fn modality(&self) -> Modality {
        Modality::Document
    }

    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let media_type = if hint.media_type.is_empty() { "application/octet-stream" } else { hint.media_type };
        let mut document = Document::new(Modality::Document, media_type, Vec::new());
        let mut raw = View::raw(Modality::Document, media_type);
        source.rewind()?;
        match hint.format {
            "csv" | "tsv" => raw.units = rows::delimited(source, hint.format == "tsv")?,
            "jsonl" => raw.units = rows::lines(source)?,
            "warc" => warc::read(source, &mut raw, &mut document, limits)?,
            "eml" => mail::read(&read_whole(source, limits)?, &mut raw, &mut document, self.views, limits)?,
            format if self.views != Views::Raw => match format {
                "html" => document.views.push(html::view(&read_whole(source, limits)?, limits)?),
                "docx" => office::read_docx(source, &mut document, limits)?,
                "pptx" => office::read_pptx(source, &mut document, limits)?,
                "odt" | "odp" => odf::read(source, &mut document, limits)?,
                "rtf" => rtf::read(&read_whole(source, limits)?, &mut document, limits)?,
                "epub" => epub::read(source, &mut document, limits)?,
                "xlsx" | "xls" | "ods" => sheets::read(read_whole(source, limits)?, &mut document, limits)?,
                "parquet" => parquet_rows::read(read_whole(source, limits)?, &mut document, limits)?,
                _ => return Err(content(format!("no document format is called `{format}`"))),
            },
            _ => {}
        }
        if !self.embedded || self.views == Views::Raw {
            document.embedded.clear();
        }
        let is_its_own_text = matches!(hint.format, "csv" | "tsv" | "jsonl");
        let has_more = !document.views.is_empty() || !document.embedded.is_empty();
        if self.views != Views::Decoded || is_its_own_text || !has_more {
            document.views.insert(0, raw);
        }
        Ok(document)
    }
}

fn content(reason: impl ToString) -> DecodeError {
    DecodeError::Content { modality: Modality::Document, reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
