//! `blt-cli formats`: what is known, how it is recognised, and what a file looks like.

use std::fmt::Write as _;
use std::fs::File;

use blt_ingest::path_text;
use blt_modalities::{Format, detect, formats};
use serde_json::{Value, json};

use crate::Ending;
use crate::args::{FormatsArgs, ReportFormat};
use crate::failure::Failure;
use crate::output::{to_stderr, write_all};

pub(crate) fn run(args: &FormatsArgs) -> Result<Ending, Failure> {
    if !args.detect.is_empty() {
        return detect_files(args);
    }
    let formats = formats();
    let mut report = String::new();
    match args.format {
        ReportFormat::Json => {
            let rows: Vec<Value> = formats.iter().map(row).collect();
            let _ = writeln!(report, "{:#}", json!(rows));
        }
        ReportFormat::Text => {
            let _ = writeln!(
                report,
                "{:<14}{:<10}{:<9}{:<9}{:<28}media type",
                "format", "modality", "known by", "read as", "names"
            );
            for format in &formats {
                let known_by = if format.by_content { "content" } else { "name" };
                let read_as = if format.is_decoded { "decoded" } else { "bytes" };
                let names: Vec<String> = format.extensions.iter().map(|extension| format!(".{extension}")).collect();
                let (id, modality) = (format.id, format.modality.name());
                let _ = writeln!(
                    report,
                    "{id:<14}{modality:<10}{known_by:<9}{read_as:<9}{:<28}{}",
                    names.join(" "),
                    format.media_type
                );
            }
        }
    }
    write_all(report.as_bytes())
}

fn row(format: &Format) -> Value {
    json!({"format": format.id, "modality": format.modality.name(), "media_type": format.media_type,
        "extensions": format.extensions, "known_by": if format.by_content { "content" } else { "name" },
        "decoded": format.is_decoded})
}

/// One line a file. What cannot be read is named and passed over.
fn detect_files(args: &FormatsArgs) -> Result<Ending, Failure> {
    let (mut rows, mut report, mut ending) = (Vec::new(), String::new(), Ending::Complete);
    for path in &args.detect {
        let name = path_text(path);
        match File::open(path).and_then(|mut file| detect(&mut file, &name)) {
            Ok(format) => {
                let (id, modality, media_type) = (format.id, format.modality.name(), format.media_type);
                let _ = writeln!(report, "{name}\t{modality}\t{id}\t{media_type}");
                rows.push(json!({"path": name, "format": id, "modality": modality, "media_type": media_type}));
            }
            Err(error) => {
                to_stderr(&format!("failed: {name}: {error}"));
                ending = Ending::SomeFailed;
            }
        }
    }
    match args.format {
        ReportFormat::Json => write_all(format!("{:#}\n", json!(rows)).as_bytes())?,
        ReportFormat::Text => write_all(report.as_bytes())?,
    };
    Ok(ending)
}
