//! Files inside a source: each becomes views of its own, after those of the file that holds it.

use std::io::Cursor;

use blt_core::{DecodeError, Document, Embedded, Hint, Limits, Origin, View, ViewData};

use crate::{Modalities, detect};

/// What [`Budget::take_views`] counts.
const VIEW_BYTES: &str = "bytes in the views of files inside";

/// What is left of a source's allowance for files inside it, over all depths.
#[derive(Debug)]
pub(crate) struct Budget {
    members: u64,
    bytes: u64,
    /// Bytes that decoders may make of the files inside; they are in memory together.
    view_bytes: u64,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { members: limits.max_members, bytes: limits.max_inflated, view_bytes: limits.max_view_bytes }
    }

    /// Takes one file of `n_bytes` off.
    fn take(&mut self, n_bytes: u64, limits: &Limits) -> Result<(), DecodeError> {
        let spent = |limit: u64, left: u64| limit.saturating_sub(left);
        limits.check(
            "files inside",
            spent(limits.max_members, self.members) + 1,
            limits.max_members,
            "--max-members",
        )?;
        let n_inflated = spent(limits.max_inflated, self.bytes).saturating_add(n_bytes);
        limits.check("inflated bytes", n_inflated, limits.max_inflated, "--max-inflated")?;
        self.members -= 1;
        self.bytes -= n_bytes;
        Ok(())
    }

    /// Takes off what a decoder made of a file.
    fn take_views(&mut self, document: &Document, limits: &Limits) -> Result<(), DecodeError> {
        for view in &document.views {
            let ViewData::Owned(bytes) = &view.data else { continue };
            let spent = (limits.max_view_bytes - self.view_bytes).saturating_add(bytes.len() as u64);
            limits.check(VIEW_BYTES, spent, limits.max_view_bytes, "--max-view-bytes")?;
            self.view_bytes -= bytes.len() as u64;
        }
        Ok(())
    }
}

impl Modalities {
    /// `document` with the files inside it decoded; they lie `depth` files deep. A file that cannot be decoded is its bytes
    /// and a problem; one that goes beyond the limits fails the source.
    pub(crate) fn with_embedded(
        &self,
        mut document: Document,
        depth: u32,
        budget: &mut Budget,
        limits: &Limits,
    ) -> Result<Document, DecodeError> {
        for file in std::mem::take(&mut document.embedded) {
            limits.check(
                "levels of files inside files",
                u64::from(depth),
                u64::from(limits.max_depth),
                "--max-depth",
            )?;
            budget.take(file.bytes.len() as u64, limits)?;
            let Embedded { name, origin, bytes } = file;
            let format = detect(&mut Cursor::new(&bytes), &name)?;
            let hint = Hint { name: &name, ..Hint::default() };
            let inner = self.decode_one(&mut Cursor::new(&bytes), &hint, &format, bytes.len() as u64, limits);
            let whole = inner.and_then(|inner| {
                budget.take_views(&inner, limits)?;
                self.with_embedded(inner, depth + 1, budget, limits)
            });
            let inner = match whole {
                Ok(inner) => inner,
                Err(
                    error @ DecodeError::Limit {
                        what: "levels of files inside files" | "inflated bytes" | VIEW_BYTES,
                        ..
                    },
                ) => {
                    return Err(error);
                }
                Err(error) => {
                    let raw = View::raw(format.modality, format.media_type);
                    let mut inner = Document::new(format.modality, format.media_type, vec![raw]);
                    inner.problems.push(told(&error));
                    inner
                }
            };
            document.problems.extend(inner.problems.into_iter().map(|problem| format!("{name}: {problem}")));
            let mut own_bytes = Some(bytes);
            for mut view in inner.views {
                view.name = Some(match view.name {
                    Some(inner_name) => format!("{name}!/{inner_name}").into(),
                    None => name.clone(),
                });
                if view.data == ViewData::Source {
                    view.data = ViewData::Owned(own_bytes.take().unwrap_or_default());
                    // Deeper down the place is one in bytes that are not the source's.
                    view.origin = origin.clone().filter(|_| depth == 1);
                } else if matches!(view.origin, Some(Origin::SourceBytes(_))) {
                    view.origin = None;
                }
                forget_bytes_of_the_member(&mut view, &origin, depth);
                document.views.push(view);
            }
        }
        Ok(document)
    }
}

/// Ranges that a decoder gave are ranges of the file inside. In terms of the source they are so much further on if the file
/// lies there as it is; else they are ranges of the member.
fn forget_bytes_of_the_member(view: &mut View, origin: &Option<Origin>, depth: u32) {
    let name = view.name.clone().unwrap_or_default();
    for unit in &mut view.units {
        let Some(Origin::SourceBytes(range)) = &unit.origin else { continue };
        unit.origin = Some(match origin {
            Some(Origin::SourceBytes(whole)) if depth == 1 && range.end <= whole.len() => {
                Origin::SourceBytes(blt_core::ByteRange::new(whole.start + range.start, whole.start + range.end))
            }
            _ => Origin::Member { name: name.clone(), range: *range },
        });
    }
}

/// An error and its causes in one line.
pub(crate) fn told(error: &DecodeError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
