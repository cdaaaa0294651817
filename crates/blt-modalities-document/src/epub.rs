//! Books in the EPUB format (EPUB 3.3; Open Container Format).

use std::collections::HashMap;

use blt_core::{ByteRange, DecodeError, Document, Limits, Origin, SourceReader};

use crate::content;
use crate::html;
use crate::parts::Parts;
use crate::text::TextBuilder;
use crate::xml::{attributes, resolve};

/// The chapters in reading order.
pub(crate) fn read(source: &mut dyn SourceReader, document: &mut Document, limits: &Limits) -> Result<(), DecodeError> {
    let mut parts = Parts::open(source, limits)?;
    let container = parts.read_xml("META-INF/container.xml")?;
    let package = attributes(&container, "rootfile", ["full-path"])?.into_iter().find_map(|[path]| path);
    let package = package.ok_or_else(|| content("its container names no package"))?;
    let xml = parts.read_xml(&package)?;
    let items: HashMap<String, String> = attributes(&xml, "item", ["id", "href"])?
        .into_iter()
        .filter_map(|[id, href]| Some((id?, resolve(&package, &unescaped(&href?)))))
        .collect();
    let mut text = TextBuilder::new(limits);
    for [id] in attributes(&xml, "itemref", ["idref"])? {
        let path = id.as_ref().and_then(|id| items.get(id));
        let bytes = match path {
            Some(path) => parts.read(path)?,
            None => None,
        };
        let (Some(path), Some(bytes)) = (path, bytes) else {
            document.problems.push(format!("the chapter `{}` is not there", id.unwrap_or_default()));
            continue;
        };
        text.part("chapter", path)?;
        html::blocks(&bytes, &mut |block, range: ByteRange| {
            text.add("paragraph", &block, Some(Origin::Member { name: path.as_str().into(), range }))
        })?;
    }
    document.views.push(text.view("text", "text/plain; charset=utf-8"));
    let is_picture = |name: &str| {
        let extension = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        matches!(extension.as_str(), "jpg" | "jpeg" | "png" | "gif" | "webp")
    };
    parts.embed(document, is_picture)
}

/// A reference without its percent escapes.
fn unescaped(reference: &str) -> String {
    let bytes = reference.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let digits = bytes.get(i + 1..i + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| bytes[i] == b'%') {
            Some(byte) => {
                plain.push(byte);
                i += 3;
            }
            None => {
                plain.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| reference.to_owned())
}
