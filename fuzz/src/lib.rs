//! What every fuzz target does: decode the bytes as one modality, within small limits, and check what comes of it. The decoders run
//! inside the fuzzer, so that it sees what they do. A panic of a library is caught, as it is in the program; one of ours is a finding.

use std::io::Cursor;
use std::sync::{LazyLock, Once};

use blt_core::{Hint, Limits, Modality, ViewData, Views};
use blt_modalities::{Format, Isolate, Isolation, Modalities, formats};

/// Decodes `bytes` as `modality`, with the format that detection finds. Source code is what its first byte says, which is not
/// part of it; tables, which only their names tell, are what their length says.
///
/// # Panics
///
/// Panics when a decoder breaks its promise: those are the findings.
pub fn decode(modality: Modality, bytes: &[u8]) {
    static LANGUAGES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let of_code = |format: &Format| format.modality == Modality::Code;
        formats().into_iter().filter(of_code).filter_map(|format| format.extensions.first().copied()).collect()
    });
    let (extension, bytes) = match (modality, bytes) {
        (Modality::Code, [language, rest @ ..]) => (LANGUAGES[usize::from(*language) % LANGUAGES.len()], rest),
        (Modality::Document, _) => (["", "csv", "tsv", "jsonl"][bytes.len() % 4], bytes),
        _ => ("", bytes),
    };
    let name = format!("fuzz.{extension}");
    static HOOK: Once = Once::new();
    // In place of the fuzzer's own, which ends the process for every panic.
    HOOK.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            if panic.location().is_some_and(|place| place.file().contains("blt-") || place.file().starts_with("src/")) {
                eprintln!("{panic}");
                std::process::abort();
            }
        }));
    });
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
        isolation: Isolation { isolate: Isolate::Never, ..Isolation::default() },
        ..Modalities::default()
    };
    modalities.pdf.mode = blt_modalities::PdfMode::Multi;
    modalities.archive.views = Views::Both;
    let hint = Hint { name: &name, ..Hint::default() };
    let decoded =
        modalities.decode(&mut Cursor::new(bytes), &hint, Some(modality), &limits).expect("memory can be read");
    if let Some(error) = &decoded.error {
        let told = error.to_string();
        assert!(!told.contains(" of view `"), "{told}");
    }
    for view in &decoded.document.views {
        let n_bytes = match &view.data {
            ViewData::Source => bytes.len(),
            ViewData::Owned(bytes) => bytes.len(),
        };
        assert_eq!(view.check_units(n_bytes as u64), Ok(()));
    }
}
