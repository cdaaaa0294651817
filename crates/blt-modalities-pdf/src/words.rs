//! Glyphs that follow each other closely make a chunk: a word, or a part of one.

use std::ops::Range;

use hayro::kurbo::{Point, Rect, Vec2};

use crate::glyphs::Glyph;

/// A frame that lies along the baselines of some text: `u` grows with reading, `v` from line to line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    along: Vec2,
}

impl Frame {
    /// The frame of text that reads in the direction `along`, of length 1.
    pub(crate) fn new(along: Vec2) -> Self {
        Self { along }
    }

    fn u(self, point: Point) -> f64 {
        point.to_vec2().dot(self.along)
    }

    fn v(self, point: Point) -> f64 {
        point.to_vec2().dot(Vec2::new(-self.along.y, self.along.x))
    }
}

/// Glyphs next to each other, in the order in which they are drawn, with no space between them.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    /// Its glyphs, as indices into those of the page.
    pub(crate) glyphs: Range<usize>,
    /// Begin and end along the line.
    pub(crate) u0: f64,
    pub(crate) u1: f64,
    /// Its baseline.
    pub(crate) v: f64,
    /// Font size.
    pub(crate) size: f64,
    /// Whether the page shows a space before it.
    pub(crate) space_before: bool,
    /// Its box on the page.
    pub(crate) rect: Rect,
}

impl Chunk {
    /// The upper edge of its small letters' space, along `v`.
    pub(crate) fn top(&self) -> f64 {
        self.v - 0.7 * self.size
    }

    /// The lower edge, a little below the baseline.
    pub(crate) fn bottom(&self) -> f64 {
        self.v + 0.15 * self.size
    }
}

/// Groups the glyphs of a page by the direction of their baselines; the direction with most glyphs comes first.
pub(crate) fn frames(glyphs: &[Glyph]) -> Vec<(Frame, Vec<Chunk>)> {
    let mut groups: Vec<(i32, Vec<f64>, Vec<Range<usize>>)> = Vec::new();
    let mut start = 0;
    while start < glyphs.len() {
        let end = chunk_end(glyphs, start);
        let angle = glyphs[start].direction.atan2().to_degrees();
        let bin = angle_bin(angle);
        let group = match groups.iter().position(|group| group.0 == bin) {
            Some(found) => &mut groups[found],
            None => {
                groups.push((bin, Vec::new(), Vec::new()));
                let last = groups.len() - 1;
                &mut groups[last]
            }
        };
        // How far it is turned away from the middle of the bin, which must not jump at 180 degrees.
        group.1.push((angle - f64::from(bin) + 540.0).rem_euclid(360.0) - 180.0);
        group.2.push(start..end);
        start = end;
    }
    groups.sort_by_key(|(_, _, chunks)| std::cmp::Reverse(chunks.iter().map(Range::len).sum::<usize>()));
    let to_frame = |(bin, turns, chunks): (i32, Vec<f64>, Vec<Range<usize>>)| {
        let angle = f64::from(bin) + median(turns);
        let exact =
            if angle.rem_euclid(90.0) == 0.0 { quarter_turn(angle) } else { Vec2::from_angle(angle.to_radians()) };
        let frame = Frame::new(exact);
        (frame, chunks.into_iter().map(|range| chunk(glyphs, range, frame)).collect())
    };
    groups.into_iter().map(to_frame).collect()
}

/// The middle value; 0 when there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(middle, f64::total_cmp).1 }
}

fn chunk_end(glyphs: &[Glyph], start: usize) -> usize {
    let follows = |pair: &[Glyph]| {
        let (one, next) = (&pair[0], &pair[1]);
        let size = one.size.min(next.size);
        let step = next.origin - one.end();
        let (gap, rise) = (step.dot(one.direction), step.cross(one.direction).abs());
        !next.space_before
            && one.direction.dot(next.direction) > 0.98
            && one.size.max(next.size) < 1.5 * size
            && rise < 0.1 * size
            && (-0.3 * size..0.1 * size).contains(&gap)
    };
    glyphs[start..].windows(2).position(|pair| !follows(pair)).map_or(glyphs.len(), |i| start + i + 1)
}

fn chunk(glyphs: &[Glyph], range: Range<usize>, frame: Frame) -> Chunk {
    let (first, last) = (&glyphs[range.start], &glyphs[range.end - 1]);
    let rect = glyphs[range.clone()].iter().map(Glyph::rect).reduce(|one, other| one.union(other));
    let (start, end) = (frame.u(first.origin), frame.u(last.end()));
    Chunk {
        glyphs: range,
        u0: start.min(end),
        u1: start.max(end),
        v: (frame.v(first.origin) + frame.v(last.origin)) / 2.0,
        size: first.size,
        space_before: first.space_before,
        rect: rect.unwrap_or_default(),
    }
}

/// Text that is about upright, or turned by about a quarter, shares a bin even when a scan is askew.
fn angle_bin(degrees: f64) -> i32 {
    let quarter = (degrees / 90.0).round() * 90.0;
    let bin = if (degrees - quarter).abs() <= 12.0 { quarter } else { (degrees / 5.0).round() * 5.0 };
    (bin as i32).rem_euclid(360)
}

fn quarter_turn(degrees: f64) -> Vec2 {
    match (degrees.rem_euclid(360.0) / 90.0).round() as i32 {
        1 => Vec2::new(0.0, 1.0),
        2 => Vec2::new(-1.0, 0.0),
        3 => Vec2::new(0.0, -1.0),
        _ => Vec2::new(1.0, 0.0),
    }
}
