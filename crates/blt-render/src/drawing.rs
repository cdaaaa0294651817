//! A drawing as a list of marks, before it is SVG or pixels. Lengths are in CSS pixels, y goes down.

use crate::colours::Rgb;

/// What a mark is drawn with. In a page, all but `Colour` follow its theme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Words.
    Text,
    /// Words that matter less, and axes.
    Muted,
    /// Lines of a grid.
    Faint,
    /// What is measured, where it has no colour of its own.
    Accent,
    /// What it is compared with.
    Second,
    Colour(Rgb),
}

/// Which end of a text lies at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mark {
    /// A bar; `title` is shown when the pointer rests on it.
    Bar { x: f64, y: f64, width: f64, height: f64, ink: Ink, title: String },
    /// A disc.
    Dot { x: f64, y: f64, radius: f64, ink: Ink, title: String },
    /// A line through points.
    Line { points: Vec<(f64, f64)>, width: f64, ink: Ink, dashed: bool },
    /// One line of text on its base line; `upward` turns it by a quarter.
    Text { x: f64, y: f64, size: f64, ink: Ink, anchor: Anchor, upward: bool, text: String },
}

/// Marks, the later above the earlier.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) marks: Vec<Mark>,
}

impl Drawing {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, marks: Vec::new() }
    }

    pub(crate) fn bar(&mut self, [x, y, width, height]: [f64; 4], ink: Ink, title: String) {
        self.marks.push(Mark::Bar { x, y, width, height, ink, title });
    }

    pub(crate) fn dot(&mut self, (x, y): (f64, f64), radius: f64, ink: Ink, title: String) {
        self.marks.push(Mark::Dot { x, y, radius, ink, title });
    }

    pub(crate) fn line(&mut self, points: Vec<(f64, f64)>, width: f64, ink: Ink) {
        self.marks.push(Mark::Line { points, width, ink, dashed: false });
    }

    pub(crate) fn dashes(&mut self, points: Vec<(f64, f64)>, width: f64, ink: Ink) {
        self.marks.push(Mark::Line { points, width, ink, dashed: true });
    }

    pub(crate) fn text(&mut self, (x, y): (f64, f64), size: f64, ink: Ink, anchor: Anchor, text: impl Into<String>) {
        self.marks.push(Mark::Text { x, y, size, ink, anchor, upward: false, text: text.into() });
    }

    pub(crate) fn upward_text(&mut self, (x, y): (f64, f64), size: f64, ink: Ink, text: impl Into<String>) {
        self.marks.push(Mark::Text { x, y, size, ink, anchor: Anchor::Middle, upward: true, text: text.into() });
    }

    /// Puts `other` on top, its upper left corner at `(dx, dy)`.
    pub(crate) fn place(&mut self, other: Self, dx: f64, dy: f64) {
        self.marks.extend(other.marks.into_iter().map(|mut mark| {
            match &mut mark {
                Mark::Bar { x, y, .. } | Mark::Dot { x, y, .. } | Mark::Text { x, y, .. } => {
                    *x += dx;
                    *y += dy;
                }
                Mark::Line { points, .. } => points.iter_mut().for_each(|(x, y)| {
                    *x += dx;
                    *y += dy;
                }),
            }
            mark
        }));
    }
}
