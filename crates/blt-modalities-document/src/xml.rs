//! Text and relations out of XML.

use blt_core::{ByteRange, DecodeError};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::content;

/// How a vocabulary writes text. Names are those of elements without their prefix.
pub(crate) struct Dialect {
    /// Elements that are a paragraph.
    pub(crate) paragraphs: &'static [&'static str],
    /// The element whose text counts; `None`: all text inside a paragraph.
    pub(crate) text: Option<&'static str>,
    /// Elements that are a tabulator.
    pub(crate) tabs: &'static [&'static str],
    /// Elements that end a line.
    pub(crate) breaks: &'static [&'static str],
    /// The element that stands for several spaces, and the attribute with their number.
    pub(crate) spaces: Option<(&'static str, &'static str)>,
    /// Elements that are passed over with everything in them.
    pub(crate) skipped: &'static [&'static str],
}

/// Calls `emit` with the text of each paragraph and the bytes of its element. A paragraph inside another comes first.
pub(crate) fn paragraphs(
    xml: &str,
    dialect: &Dialect,
    emit: &mut dyn FnMut(String, ByteRange) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    let mut open: Vec<(u64, String)> = Vec::new();
    let (mut n_skipped, mut n_text) = (0u32, 0u32);
    loop {
        let start = reader.buffer_position();
        let event = reader.read_event().map_err(|error| content(format!("at byte {start}: {error}")))?;
        match event {
            Event::Eof => break,
            Event::Start(element) => {
                let name = element.local_name();
                let name = name.as_ref();
                if n_skipped > 0 || dialect.skipped.contains(&name) {
                    n_skipped += 1;
                } else if dialect.paragraphs.contains(&name) {
                    open.push((start, String::new()));
                } else {
                    n_text += u32::from(dialect.text == Some(name));
                    inline(&element, name, dialect, &mut open);
                }
            }
            Event::Empty(element) if n_skipped == 0 => {
                let name = element.local_name();
                let name = name.as_ref();
                if dialect.paragraphs.contains(&name) {
                    emit(String::new(), ByteRange::new(start, reader.buffer_position()))?;
                } else {
                    inline(&element, name, dialect, &mut open);
                }
            }
            Event::End(element) => {
                let name = element.local_name();
                let name = name.as_ref();
                if n_skipped > 0 {
                    n_skipped -= 1;
                } else if dialect.paragraphs.contains(&name) {
                    if let Some((start, text)) = open.pop() {
                        emit(text, ByteRange::new(start, reader.buffer_position()))?;
                    }
                } else if dialect.text == Some(name) {
                    n_text = n_text.saturating_sub(1);
                }
            }
            Event::Text(text) if n_skipped == 0 && (dialect.text.is_none() || n_text > 0) => {
                if let Some((_, paragraph)) = open.last_mut() {
                    paragraph.push_str(&text.xml10_content());
                }
            }
            Event::CData(text) if n_skipped == 0 && (dialect.text.is_none() || n_text > 0) => {
                if let Some((_, paragraph)) = open.last_mut() {
                    paragraph.push_str(&text.xml10_content());
                }
            }
            Event::GeneralRef(reference) if n_skipped == 0 && (dialect.text.is_none() || n_text > 0) => {
                if let Some((_, paragraph)) = open.last_mut() {
                    match reference.resolve_char_ref() {
                        Ok(Some(character)) => paragraph.push(character),
                        _ => paragraph.push_str(named_character(&reference.xml10_content())),
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn inline(element: &BytesStart<'_>, name: &str, dialect: &Dialect, open: &mut [(u64, String)]) {
    let Some((_, paragraph)) = open.last_mut() else { return };
    if dialect.tabs.contains(&name) {
        paragraph.push('\t');
    } else if dialect.breaks.contains(&name) {
        paragraph.push('\n');
    } else if let Some((spaces, count)) = dialect.spaces
        && spaces == name
    {
        let count = attribute(element, count).and_then(|count| count.parse::<usize>().ok()).unwrap_or(1);
        paragraph.extend(std::iter::repeat_n(' ', count.min(1000)));
    }
}

/// The five names that XML itself defines; a document's own are passed over.
fn named_character(name: &str) -> &'static str {
    match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    }
}

/// The value of an attribute by its name without prefix.
fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.attributes().flatten().find(|attribute| attribute.key.local_name().as_ref() == name)?;
    attribute.normalized_value(XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
}

/// For every element called `name`, the values of these attributes, in the order of the document.
pub(crate) fn attributes<const N: usize>(
    xml: &str,
    name: &str,
    wanted: [&str; N],
) -> Result<Vec<[Option<String>; N]>, DecodeError> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = false;
    let mut found = Vec::new();
    loop {
        match reader.read_event().map_err(content)? {
            Event::Eof => return Ok(found),
            Event::Start(element) | Event::Empty(element) if element.local_name().as_ref() == name => {
                found.push(wanted.map(|wanted| attribute(&element, wanted)));
            }
            _ => {}
        }
    }
}

/// The path that `target` names, seen from the part `from`.
pub(crate) fn resolve(from: &str, target: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let joined = if target.starts_with('/') { target.to_owned() } else { format!("{folder}/{target}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
