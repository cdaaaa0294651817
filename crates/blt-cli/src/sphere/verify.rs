//! `blt-cli sphere verify`: checks outputs, one sentence a check.

use std::fmt::Write as _;

use blt_corpus::Report;
use serde_json::Value;

use super::args::VerifyArgs;
use crate::Ending;
use crate::args::ReportFormat;
use crate::failure::Failure;
use crate::output::{to_stderr, write_all};
use crate::render::printable;

pub(super) fn run(args: &VerifyArgs) -> Result<Ending, Failure> {
    super::use_threads(0);
    let mut reports = Vec::new();
    let mut n_unreadable = 0;
    for path in &args.paths {
        match blt_corpus::verify(path) {
            Ok(found) => reports.extend(found),
            Err(error) if args.paths.len() == 1 => {
                let hint = error.hint();
                return Err(Failure::new(format!("cannot check `{}`", path.display()), error).hint(hint));
            }
            Err(error) => {
                to_stderr(&format!("failed: {error}"));
                n_unreadable += 1;
            }
        }
    }
    if reports.is_empty() {
        return Err(Failure::usage("none of the files could be read"));
    }
    let text = match args.format {
        ReportFormat::Json => format!("{:#}\n", Value::from(reports.iter().map(Report::to_json).collect::<Vec<_>>())),
        ReportFormat::Text => printable(text_report(&reports).as_bytes()),
    };
    write_all(text.as_bytes())?;
    Ok(if n_unreadable == 0 && reports.iter().all(Report::holds) { Ending::Complete } else { Ending::SomeFailed })
}

fn text_report(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        let _ = writeln!(text, "{}: {}", report.path.display(), report.kind);
        for check in &report.checks {
            let verdict = if check.holds { "ok" } else { "WRONG" };
            let _ = writeln!(text, "  {verdict:<6} {:<14} {}", check.name, check.sentence);
        }
    }
    text
}
