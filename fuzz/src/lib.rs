//! What every fuzz target does: decode the bytes as one modality, within small limits, and check what comes of it. The decoders run
//! inside the fuzzer, so that it sees what they do.

use std::io::Cursor;

use blt_core::{Hint, Limits, Modality, ViewData, Views};
use blt_modalities::{Isolate, Isolation, Modalities};

/// Decodes `bytes` as `modality`, with the format that detection finds.
///
/// # Panics
///
/// Panics when a decoder breaks down or breaks its promise: those are the findings.
pub fn decode(modality: Modality, bytes: &[u8]) {
    let limits = Limits {
        max_view_bytes: 1 << 24,
        max_pixels: 1 << 22,
        max_inflated: 1 << 24,
        max_units: 1 << 16,
        max_pages: 50,
        max_seconds: 60,
        timeout: 5,
        ..Limits::default()
    };
    let mut modalities = Modalities {
        isolation: Isolation { isolate: Isolate::Never, command: None },
        ..Modalities::default()
    };
    modalities.pdf.mode = blt_modalities::PdfMode::Multi;
    modalities.archive.views = Views::Both;
    let hint = Hint { name: "fuzz", ..Hint::default() };
    let decoded = modalities
        .decode(&mut Cursor::new(bytes), &hint, Some(modality), &limits)
        .expect("memory can be read");
    if let Some(error) = &decoded.error {
        let told = error.to_string();
        assert!(!told.contains("broke down") && !told.contains(" of view `"), "{told}");
    }
    for view in &decoded.document.views {
        let n_bytes = match &view.data {
            ViewData::Source => bytes.len(),
            ViewData::Owned(bytes) => bytes.len(),
        };
        assert_eq!(view.check_units(n_bytes as u64), Ok(()));
    }
}
