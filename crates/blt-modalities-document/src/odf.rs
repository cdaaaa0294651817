//! OpenDocument texts and presentations (ISO/IEC 26300).

use blt_core::{DecodeError, Document, Limits, Origin, SourceReader};

use crate::content;
use crate::parts::Parts;
use crate::text::TextBuilder;
use crate::xml::{Dialect, paragraphs};

const PART: &str = "content.xml";

const TEXT: Dialect = Dialect {
    paragraphs: &["p", "h"],
    text: None,
    tabs: &["tab"],
    breaks: &["line-break"],
    spaces: Some(("s", "c")),
    skipped: &["tracked-changes"],
};

pub(crate) fn read(source: &mut dyn SourceReader, document: &mut Document, limits: &Limits) -> Result<(), DecodeError> {
    let mut parts = Parts::open(source, limits)?;
    let xml = parts.read_xml(PART)?;
    if xml.is_empty() {
        return Err(content(format!("it has no part `{PART}`")));
    }
    let mut text = TextBuilder::new(limits);
    paragraphs(&xml, &TEXT, &mut |paragraph, range| {
        text.add("paragraph", paragraph.as_bytes(), Some(Origin::Member { name: PART.into(), range }))
    })?;
    document.views.push(text.view("text", "text/plain; charset=utf-8"));
    parts.embed(document, |name| name.starts_with("Pictures/"))
}
