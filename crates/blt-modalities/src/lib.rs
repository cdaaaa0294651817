//! Tells what a file holds and turns it into a document with the decoder for that.
//!
//! ```
//! use blt_core::{Limits, Modality};
//! use blt_modalities::{Modalities, detect_modality};
//!
//! assert_eq!(detect_modality(b"plain words\n"), Modality::Text);
//! assert_eq!(detect_modality(b"\x7FELF\x02\x01\x01\0\0"), Modality::Binary);
//! let document = Modalities::default().decode(&mut std::io::Cursor::new("words"), None, &Limits::default())?;
//! assert_eq!(document.modality, Modality::Text);
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! Features: `text` (default); `tokenizers` for text segments by a tokenizer file. What no decoder is compiled in for is
//! read as bytes of no known structure, which loses nothing.

mod detect;

use std::io::{Read, SeekFrom};

use blt_core::{DecodeError, Decoder, Document, Limits, Modality, SourceReader, View};

#[cfg(feature = "tokenizers")]
pub use blt_modalities_text::TokenizerFile;
#[cfg(feature = "text")]
pub use blt_modalities_text::{Charset, TextDecoder, TextSegments, TextViews};
pub use detect::{DETECT_BYTES, detect_modality};

/// The decoders, with their options.
#[derive(Debug, Clone, Default)]
pub struct Modalities {
    /// For text.
    #[cfg(feature = "text")]
    pub text: TextDecoder,
}

impl Modalities {
    /// The document in `source`, read as `modality`, or as what it looks like when that is `None`.
    ///
    /// # Errors
    ///
    /// Fails when the source cannot be read, is not of the modality asked for, or exceeds `limits`.
    pub fn decode(
        &self,
        source: &mut dyn SourceReader,
        modality: Option<Modality>,
        limits: &Limits,
    ) -> Result<Document, DecodeError> {
        let modality = match modality {
            Some(modality) => modality,
            None => {
                source.seek(SeekFrom::Start(0))?;
                let mut head = Vec::new();
                source.take(DETECT_BYTES as u64).read_to_end(&mut head)?;
                detect_modality(&head)
            }
        };
        self.decoder(modality).decode(source, limits)
    }

    fn decoder(&self, modality: Modality) -> &dyn Decoder {
        match modality {
            #[cfg(feature = "text")]
            Modality::Text => &self.text,
            _ => &BytesDecoder,
        }
    }
}

/// Reads anything as bytes of no known structure.
#[derive(Debug, Clone, Copy)]
pub struct BytesDecoder;

impl Decoder for BytesDecoder {
    fn modality(&self) -> Modality {
        Modality::Binary
    }

    fn decode(&self, source: &mut dyn SourceReader, limits: &Limits) -> Result<Document, DecodeError> {
        let n_bytes = source.n_bytes()?;
        if n_bytes > limits.max_bytes {
            return Err(DecodeError::TooLarge { found: n_bytes, limit: limits.max_bytes });
        }
        let views = vec![View::raw(Modality::Binary)];
        Ok(Document { modality: Modality::Binary, media_type: "application/octet-stream".to_owned(), views })
    }
}
