//! Building a text view.

use blt_core::{ByteRange, DecodeError, Limits, Modality, Origin, Unit, View};

/// A text in the making: paragraphs, and parts (chapters, slides, sheets) around them.
pub(crate) struct TextBuilder<'a> {
    text: Vec<u8>,
    units: Vec<Unit>,
    part: Option<usize>,
    limits: &'a Limits,
}

impl<'a> TextBuilder<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { text: Vec::new(), units: Vec::new(), part: None, limits }
    }

    /// Begins a part; it ends where the next one begins.
    pub(crate) fn part(&mut self, label: &'static str, name: &str) -> Result<(), DecodeError> {
        self.end_part();
        self.part = Some(self.units.len());
        let position = self.text.len() as u64;
        self.push(Unit::new(label, ByteRange::new(position, position)).named(name))
    }

    /// Appends `text` and a line feed as a unit.
    pub(crate) fn add(&mut self, label: &'static str, text: &[u8], origin: Option<Origin>) -> Result<(), DecodeError> {
        let start = self.text.len() as u64;
        if start + text.len() as u64 >= self.limits.max_view_bytes {
            return Err(DecodeError::ViewTooLarge { view: "text", limit: self.limits.max_view_bytes });
        }
        self.text.extend_from_slice(text);
        self.text.push(b'\n');
        let range = ByteRange::new(start, self.text.len() as u64);
        self.push(Unit { origin, ..Unit::new(label, range).inside(self.part) })
    }

    pub(crate) fn view(mut self, label: &'static str, media_type: &str) -> View {
        self.end_part();
        let view = View::owned(label, Modality::Text, media_type, self.text);
        View { units: self.units, ..view }
    }

    fn end_part(&mut self) {
        if let Some(part) = self.part.take() {
            self.units[part].range.end = self.text.len() as u64;
        }
    }

    fn push(&mut self, unit: Unit) -> Result<(), DecodeError> {
        if self.units.len() >= self.limits.max_units {
            return Err(DecodeError::TooManyUnits { label: "paragraph", limit: self.limits.max_units });
        }
        self.units.push(unit);
        Ok(())
    }
}
