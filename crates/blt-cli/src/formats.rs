//! `blt-cli formats`: what is known and how it is recognised.

use std::fmt::Write as _;

use serde_json::json;

use crate::Ending;
use crate::args::{ReportArgs, ReportFormat};
use crate::failure::Failure;
use crate::output::write_all;

/// `(modality, formats, how it is detected, decoder)`.
const FORMATS: [(&str, &str, &str, &str); 2] = [
    (
        "text",
        "any text, in any charset of the WHATWG Encoding Standard",
        "a UTF-16 byte order mark, or no NUL byte and at most one control character in 100 bytes",
        "blt-modalities-text: raw bytes; words, lines, paragraphs; decoded view",
    ),
    ("binary", "everything else", "not text", "raw bytes in one piece"),
];

pub(crate) fn run(args: &ReportArgs) -> Result<Ending, Failure> {
    let mut report = String::new();
    match args.format {
        ReportFormat::Json => {
            let rows = FORMATS.map(|(modality, formats, detection, decoder)| {
                json!({"modality": modality, "formats": formats, "detection": detection, "decoder": decoder})
            });
            let _ = writeln!(report, "{:#}", json!(rows));
        }
        ReportFormat::Text => {
            for (modality, formats, detection, decoder) in FORMATS {
                let _ = writeln!(
                    report,
                    "{modality}\n  formats   {formats}\n  detected  {detection}\n  decoder   {decoder}"
                );
            }
        }
    }
    write_all(report.as_bytes())
}
