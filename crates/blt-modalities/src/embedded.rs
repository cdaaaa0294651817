//! Files inside a source: each becomes views of its own, after those of the file that holds it.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};

use blt_child::Deadline;
use blt_core::{ByteRange, DecodeError, Document, Embedded, Hint, Limits, Origin, Unit, View, ViewData};

use crate::{Modalities, detect};

/// What is counted over all files inside a source. One that goes beyond fails the source; beyond other limits, its member.
const SHARED: [&str; 6] = [LEVELS, FILES, INFLATED, "inflated bytes for each compressed one", VIEW_BYTES, PLACE_BYTES];
const LEVELS: &str = "levels of files inside files";
const FILES: &str = "files inside";
const INFLATED: &str = "inflated bytes";
const VIEW_BYTES: &str = "bytes in the views of files inside";
const PLACE_BYTES: &str = "bytes in the names and units of files inside";
/// So many members may take longer than allowed before the source does, and all together as much longer.
const MAX_TIMEOUTS: u32 = 3;

/// What is left of a source's allowance for files inside it, over all depths.
#[derive(Debug)]
pub(crate) struct Budget<'a> {
    limits: &'a Limits,
    cancelled: &'a AtomicBool,
    /// When the files inside have to be done.
    deadline: Deadline,
    n_members: u64,
    n_bytes: u64,
    /// Bytes that decoders made of the files inside; they are in memory together.
    n_view_bytes: u64,
    /// Bytes of units, of names in them, and of what is told.
    n_place_bytes: u64,
    n_timeouts: u32,
    /// The first member that could be decoded another time: with a program, a password, or more time.
    pub(crate) to_retry: Option<DecodeError>,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(limits: &'a Limits, cancelled: &'a AtomicBool) -> Self {
        let seconds = limits.timeout.saturating_mul(u64::from(MAX_TIMEOUTS) + 1);
        Self {
            limits,
            cancelled,
            deadline: Deadline::new(&Limits { timeout: seconds, ..*limits }),
            n_members: 0,
            n_bytes: 0,
            n_view_bytes: 0,
            n_place_bytes: 0,
            n_timeouts: 0,
            to_retry: None,
        }
    }

    /// Fails when the files inside are not wanted any longer.
    fn go_on(&self) -> Result<(), DecodeError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(DecodeError::Cancelled) } else { self.deadline.check() }
    }

    /// Takes one file of `n_bytes` off, which lies `depth` files deep.
    fn take(&mut self, n_bytes: u64, depth: u32) -> Result<(), DecodeError> {
        let Limits { max_depth, max_members, max_inflated, .. } = *self.limits;
        self.limits.check(LEVELS, u64::from(depth), u64::from(max_depth), "--max-depth")?;
        self.n_members += 1;
        self.limits.check(FILES, self.n_members, max_members, "--max-members")?;
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        self.limits.check(INFLATED, self.n_bytes, max_inflated, "--max-inflated")
    }

    /// Takes off what a decoder made of a file.
    fn take_views(&mut self, document: &Document) -> Result<(), DecodeError> {
        for view in &document.views {
            if let ViewData::Owned(bytes) = &view.data {
                self.n_view_bytes = self.n_view_bytes.saturating_add(bytes.len() as u64);
            }
            self.limits.check(VIEW_BYTES, self.n_view_bytes, self.limits.max_view_bytes, "--max-view-bytes")?;
            self.take_places(view.units.len(), size_of::<Unit>())?;
        }
        Ok(())
    }

    /// Takes off what `n` units or sentences cost that have `n_bytes` each.
    fn take_places(&mut self, n: usize, n_bytes: usize) -> Result<(), DecodeError> {
        self.n_place_bytes = self.n_place_bytes.saturating_add((n as u64).saturating_mul(n_bytes as u64));
        self.limits.check(PLACE_BYTES, self.n_place_bytes, self.limits.max_memory / 2, "--max-memory")
    }

    /// Whether an error is one of the source as a whole.
    fn is_shared(&self, error: &DecodeError) -> bool {
        matches!(error, DecodeError::Limit { what, .. } if SHARED.contains(&&**what))
            || self.n_timeouts > MAX_TIMEOUTS
            || self.go_on().is_err()
    }
}

impl Modalities {
    /// `document` with the files inside it decoded; they lie `depth` files deep. A file that cannot be decoded is its bytes
    /// and a problem; one that goes beyond the limits fails the source.
    pub(crate) fn with_embedded(
        &self,
        mut document: Document,
        depth: u32,
        budget: &mut Budget<'_>,
    ) -> Result<Document, DecodeError> {
        for file in std::mem::take(&mut document.embedded) {
            budget.go_on()?;
            budget.take(file.bytes.len() as u64, depth)?;
            let Embedded { name, origin, bytes } = file;
            let format = detect(&mut Cursor::new(&bytes), &name)?;
            let hint = Hint { name: &name, ..Hint::default() };
            let source = &mut Cursor::new(&bytes);
            let inner = self.decode_one(source, &hint, &format, bytes.len() as u64, budget.limits, budget.cancelled);
            let whole = inner.and_then(|inner| {
                budget.take_views(&inner)?;
                self.with_embedded(inner, depth + 1, budget)
            });
            let inner = match whole {
                Ok(inner) => inner,
                Err(error) => {
                    budget.n_timeouts += u32::from(matches!(error, DecodeError::Timeout(_)));
                    if budget.is_shared(&error) {
                        return Err(error);
                    }
                    let raw = View::raw(format.modality, format.media_type);
                    let mut inner = Document::new(format.modality, format.media_type, vec![raw]);
                    inner.problems.push(blt_core::error_chain(&error));
                    if matches!(error, DecodeError::Timeout(_) | DecodeError::Program(_) | DecodeError::Encrypted) {
                        let text = format!("{name}: {error}");
                        budget.to_retry.get_or_insert(DecodeError::Told(text));
                    }
                    inner
                }
            };
            for problem in inner.problems {
                budget.take_places(1, name.len() + problem.len())?;
                document.problems.push(format!("{name}: {problem}"));
            }
            let place = Place { name: &name, origin: origin.filter(|_| depth == 1) };
            let mut own_bytes = Some(bytes);
            for mut view in inner.views {
                budget.take_places(1 + view.units.len(), name.len())?;
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
