//! Mail (RFC 5322 and MIME, RFC 2045 to 2049).

use blt_core::{ByteRange, DecodeError, Document, Embedded, Limits, Origin, Region, Tiling, View, Views};
use mail_parser::{Encoding, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use crate::content;
use crate::html;
use crate::text::TextBuilder;

/// The header fields that people read.
const SHOWN: [&str; 5] = ["From", "To", "Cc", "Date", "Subject"];

/// Headers and bodies of the parts as units of the raw view, what people read as text, attachments as files inside.
pub(crate) fn read(
    bytes: &[u8],
    raw: &mut View,
    document: &mut Document,
    views: Views,
    limits: &Limits,
) -> Result<(), DecodeError> {
    if u32::try_from(bytes.len()).is_err() {
        return Err(content("it is larger than 4 GiB")); // the library's offsets have 32 bits
    }
    let message = MessageParser::default().parse(bytes).ok_or_else(|| content("it has no header"))?;
    let mut regions = Vec::new();
    for part in &message.parts {
        let (header, body, end) = offsets(part);
        regions.push(Region::new("header", header, body.saturating_sub(header)));
        if !matches!(part.body, PartType::Multipart(_)) {
            regions.push(Region::new("body", body, end.saturating_sub(body)));
        }
    }
    let mut tiling = Tiling::default();
    tiling.add(regions, ByteRange::new(0, bytes.len() as u64), None, limits)?;
    raw.units = tiling.units;
    if views != Views::Raw {
        document.views.push(text(&message, limits)?);
        for (index, part) in message.attachments().enumerate() {
            match attachment(part, bytes, index) {
                Some(file) => document.embedded.push(file),
                None => document.problems.push(format!("the attachment {} has no content", index + 1)),
            }
        }
        if message.parts.iter().any(|part| part.is_encoding_problem) {
            document.problems.push("a part does not keep to its encoding".to_owned());
        }
        // The library puts it where a charset has no character.
        let is_replaced = |part: &MessagePart<'_>| match &part.body {
            PartType::Text(text) | PartType::Html(text) => text.contains('\u{FFFD}'),
            _ => false,
        };
        if message.parts.iter().any(is_replaced) {
            document.problems.push("a part has bytes that its charset does not know, read as U+FFFD".to_owned());
        }
    }
    Ok(())
}

fn text(message: &Message<'_>, limits: &Limits) -> Result<View, DecodeError> {
    let mut text = TextBuilder::new(limits);
    let root = message.root_part();
    let (start, end, _) = offsets(root);
    text.part("header", "")?;
    for name in SHOWN {
        if let Some(value) = message.header_raw(name) {
            let unfolded: Vec<&str> = value.split_whitespace().collect();
            let origin = Origin::SourceBytes(ByteRange::new(start, end.max(start)));
            // The subject is the one field whose encoded words are prose.
            let value = match message.subject().filter(|_| name == "Subject") {
                Some(subject) => subject.to_owned(),
                None => unfolded.join(" "),
            };
            text.add("field", format!("{name}: {value}").as_bytes(), Some(origin))?;
        }
    }
    for part in message.text_bodies() {
        let (_, start, end) = offsets(part);
        let origin = Origin::SourceBytes(ByteRange::new(start, end.max(start)));
        text.part("body", "")?;
        match &part.body {
            PartType::Text(body) => {
                for line in body.lines() {
                    text.add("line", line.as_bytes(), Some(origin.clone()))?;
                }
            }
            PartType::Html(body) => {
                html::blocks(body.as_bytes(), &mut |block, _| text.add("paragraph", &block, Some(origin.clone())))?;
            }
            _ => {}
        }
    }
    Ok(text.view("text", "text/plain; charset=utf-8"))
}

fn attachment(part: &MessagePart<'_>, bytes: &[u8], index: usize) -> Option<Embedded> {
    let (_, start, end) = offsets(part);
    let as_it_is = |range: ByteRange| bytes.get(range.start as usize..range.end as usize);
    let place = ByteRange::new(start, end.max(start));
    let content: &[u8] = match &part.body {
        PartType::Message(_) if part.encoding == Encoding::None => as_it_is(place)?,
        PartType::Message(message) => message.raw_message(),
        PartType::Multipart(_) => return None,
        _ => part.contents(),
    };
    let fallback = if matches!(part.body, PartType::Message(_)) { "message.eml" } else { "attachment" };
    let name = match part.attachment_name() {
        Some(name) => name.into(),
        None => format!("{} {fallback}", index + 1).into(),
    };
    let is_plain = part.encoding == Encoding::None && as_it_is(place) == Some(content);
    Some(Embedded { name, origin: is_plain.then_some(Origin::SourceBytes(place)), bytes: content.to_vec() })
}

/// Where a part's header begins, its body begins, and it ends.
fn offsets(part: &MessagePart<'_>) -> (u64, u64, u64) {
    (u64::from(part.offset_header), u64::from(part.offset_body), u64::from(part.offset_end))
}
