//! Word and PowerPoint documents (ECMA-376, Office Open XML).

use std::collections::HashMap;

use blt_core::{DecodeError, Document, Limits, Origin, SourceReader};

use crate::content;
use crate::parts::Parts;
use crate::text::TextBuilder;
use crate::xml::{Dialect, attributes, paragraphs, resolve};

const WORD: Dialect = Dialect {
    paragraphs: &["p"],
    text: Some("t"),
    tabs: &["tab", "ptab"],
    breaks: &["br", "cr"],
    spaces: None,
    // Properties list tab stops; a fallback repeats what the choice before it says.
    skipped: &["pPr", "Fallback"],
};

const SLIDE: Dialect = Dialect {
    paragraphs: &["p"],
    text: Some("t"),
    tabs: &["tab"],
    breaks: &["br"],
    spaces: None,
    skipped: &["Fallback"],
};

/// The text of a Word document: the body, then notes, comments, headers and footers.
pub(crate) fn read_docx(
    source: &mut dyn SourceReader,
    document: &mut Document,
    limits: &Limits,
) -> Result<(), DecodeError> {
    let mut parts = Parts::open(source, limits)?;
    let names = parts.names();
    let main = main_part(&mut parts)?.unwrap_or_else(|| "word/document.xml".to_owned());
    if !names.contains(&main) {
        return Err(content(format!("it has no part `{main}`")));
    }
    let mut text = TextBuilder::new(limits);
    add_part(&mut parts, &main, &WORD, "body", &mut text, document)?;
    for kind in ["footnotes", "endnotes", "comments", "header", "footer"] {
        let is_kind = |name: &&String| {
            name.strip_prefix("word/").is_some_and(|name| name.starts_with(kind) && name.ends_with(".xml"))
        };
        let mut of_kind: Vec<&String> = names.iter().filter(is_kind).collect();
        of_kind.sort();
        for name in of_kind {
            add_part(&mut parts, name, &WORD, kind, &mut text, document)?;
        }
    }
    document.views.push(text.view("text", "text/plain; charset=utf-8"));
    parts.embed(document, |name| name.starts_with("word/media/") || name.starts_with("word/embeddings/"))
}

/// The text of a presentation: each slide in the order of the show, with its notes.
pub(crate) fn read_pptx(
    source: &mut dyn SourceReader,
    document: &mut Document,
    limits: &Limits,
) -> Result<(), DecodeError> {
    let mut parts = Parts::open(source, limits)?;
    let main = main_part(&mut parts)?.unwrap_or_else(|| "ppt/presentation.xml".to_owned());
    let presentation = parts.read_xml(&main)?;
    let related = relations(&mut parts, &main)?;
    let mut text = TextBuilder::new(limits);
    // `r:id`, not the slide's own `id`, which comes first in no particular order: both are looked up.
    for id in slide_ids(&presentation)? {
        let Some((_, slide)) = related.get(&id) else {
            document.problems.push(format!("the slide `{id}` is not there"));
            continue;
        };
        add_part(&mut parts, slide, &SLIDE, "slide", &mut text, document)?;
        let notes = relations(&mut parts, slide)?.into_values().find(|(kind, _)| kind.ends_with("/notesSlide"));
        if let Some((_, notes)) = notes {
            add_part(&mut parts, &notes, &SLIDE, "notes", &mut text, document)?;
        }
    }
    document.views.push(text.view("text", "text/plain; charset=utf-8"));
    parts.embed(document, |name| name.starts_with("ppt/media/") || name.starts_with("ppt/embeddings/"))
}

/// Relation ids of the slides. The prefix tells them from the slides' numbers.
fn slide_ids(presentation: &str) -> Result<Vec<String>, DecodeError> {
    let mut reader = quick_xml::Reader::from_str(presentation);
    let mut ids = Vec::new();
    loop {
        use quick_xml::events::Event;
        match reader.read_event().map_err(content)? {
            Event::Eof => return Ok(ids),
            Event::Start(slide) | Event::Empty(slide) if slide.local_name().as_ref() == "sldId" => {
                let id = slide
                    .attributes()
                    .flatten()
                    .find(|attribute| attribute.key.0.contains(':') && attribute.key.local_name().as_ref() == "id");
                ids.extend(id.map(|id| id.value.into_owned()));
            }
            _ => {}
        }
    }
}

/// The part that the package is about.
fn main_part(parts: &mut Parts<'_>) -> Result<Option<String>, DecodeError> {
    let related = relations(parts, "")?;
    Ok(related.into_values().find(|(kind, _)| kind.ends_with("/officeDocument")).map(|(_, target)| target))
}

/// What a part refers to: kind and path by id.
fn relations(parts: &mut Parts<'_>, part: &str) -> Result<HashMap<String, (String, String)>, DecodeError> {
    let (folder, name) = part.rsplit_once('/').unwrap_or(("", part));
    let path = if folder.is_empty() { format!("_rels/{name}.rels") } else { format!("{folder}/_rels/{name}.rels") };
    let xml = parts.read_xml(&path)?;
    let mut found = HashMap::new();
    for [id, kind, target] in attributes(&xml, "Relationship", ["Id", "Type", "Target"])? {
        if let (Some(id), Some(kind), Some(target)) = (id, kind, target) {
            found.insert(id, (kind, resolve(part, &target)));
        }
    }
    Ok(found)
}

/// Appends the paragraphs of a part. Malformed XML ends it, which is a problem of the document.
fn add_part(
    parts: &mut Parts<'_>,
    name: &str,
    dialect: &Dialect,
    label: &'static str,
    text: &mut TextBuilder<'_>,
    document: &mut Document,
) -> Result<(), DecodeError> {
    let xml = parts.read_xml(name)?;
    text.part(label, name)?;
    let added = paragraphs(&xml, dialect, &mut |paragraph, range| {
        text.add("paragraph", paragraph.as_bytes(), Some(Origin::Member { name: name.into(), range }))
    });
    match added {
        Err(DecodeError::Content { reason, .. }) => {
            document.problems.push(format!("{name}: {reason}"));
            Ok(())
        }
        other => other,
    }
}
