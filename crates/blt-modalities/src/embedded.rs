//! Files inside a source: each becomes views of its own, after those of the file that holds it.

use std::io::Cursor;

use blt_core::{ByteRange, DecodeError, Document, Embedded, Hint, Limits, Origin, View, ViewData};

use crate::{Modalities, detect};

/// What is counted over all files inside a source. One that goes beyond fails the source; beyond other limits, its member.
const SHARED: [&str; 5] = [LEVELS, FILES, INFLATED, "inflated bytes for each compressed one", VIEW_BYTES];
const LEVELS: &str = "levels of files inside files";
const FILES: &str = "files inside";
const INFLATED: &str = "inflated bytes";
const VIEW_BYTES: &str = "bytes in the views of files inside";
/// So many members may take longer than allowed before the source does.
const MAX_TIMEOUTS: u32 = 3;

/// What is left of a source's allowance for files inside it, over all depths.
#[derive(Debug)]
pub(crate) struct Budget {
    members: u64,
    bytes: u64,
    /// Bytes that decoders may make of the files inside; they are in memory together.
    view_bytes: u64,
    n_timeouts: u32,
    /// The first member that could be decoded another time: with a program, a password, or more time.
    pub(crate) to_retry: Option<DecodeError>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            members: limits.max_members,
            bytes: limits.max_inflated,
            view_bytes: limits.max_view_bytes,
            n_timeouts: 0,
            to_retry: None,
        }
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
        limits.check(INFLATED, n_inflated, limits.max_inflated, "--max-inflated")?;
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
            limits.check(LEVELS, u64::from(depth), u64::from(limits.max_depth), "--max-depth")?;
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
                Err(error) => {
                    let is_shared = matches!(&error, DecodeError::Limit { what, .. } if SHARED.contains(&&**what));
                    budget.n_timeouts += u32::from(matches!(error, DecodeError::Timeout(_)));
                    if is_shared || budget.n_timeouts > MAX_TIMEOUTS {
                        return Err(error);
                    }
                    let raw = View::raw(format.modality, format.media_type);
                    let mut inner = Document::new(format.modality, format.media_type, vec![raw]);
                    inner.problems.push(told(&error));
                    if matches!(error, DecodeError::Timeout(_) | DecodeError::Program(_) | DecodeError::Encrypted) {
                        let text = format!("{name}: {error}");
                        budget.to_retry.get_or_insert(DecodeError::Told(text));
                    }
                    inner
                }
            };
            document.problems.extend(inner.problems.into_iter().map(|problem| format!("{name}: {problem}")));
            let place = Place { name: &name, origin: origin.filter(|_| depth == 1) };
            let mut own_bytes = Some(bytes);
            for mut view in inner.views {
                let is_the_file = view.data == ViewData::Source;
                if is_the_file {
                    view.data = ViewData::Owned(own_bytes.take().unwrap_or_default());
                }
                view.origin =
                    if is_the_file { place.origin.clone() } else { view.origin.map(|origin| place.outer(origin)) };
                for unit in &mut view.units {
                    let in_the_file = is_the_file.then_some(Origin::SourceBytes(unit.range));
                    unit.origin = unit.origin.take().or(in_the_file).map(|origin| place.outer(origin));
                }
                view.name = Some(match view.name {
                    Some(inner_name) => format!("{name}!/{inner_name}").into(),
                    None => name.clone(),
                });
                document.views.push(view);
            }
        }
        Ok(document)
    }
}

/// Where a file lies inside another.
struct Place<'a> {
    name: &'a str,
    /// Its bytes in the source, if it lies there as it is.
    origin: Option<Origin>,
}

impl Place<'_> {
    /// A place in the file in terms of what the file lies in: so much further on, or in the member of that name.
    fn outer(&self, origin: Origin) -> Origin {
        match (origin, &self.origin) {
            (Origin::SourceBytes(range), Some(Origin::SourceBytes(whole))) if range.end <= whole.len() => {
                Origin::SourceBytes(ByteRange::new(whole.start + range.start, whole.start + range.end))
            }
            (Origin::SourceBytes(range), _) => Origin::Member { name: self.name.into(), range },
            (Origin::Member { name, range }, _) => {
                Origin::Member { name: format!("{}!/{name}", self.name).into(), range }
            }
            (origin, _) => origin,
        }
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
