//! What a page shows, as hayro hands it out: glyphs with their places, and how much of the page pictures cover.

use std::collections::HashSet;

use hayro::hayro_interpret::font::{Glyph as FontGlyph, GlyphRun};
use hayro::hayro_interpret::hayro_cmap::{BfString, WritingMode};
use hayro::hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps, InterpreterCache,
    InterpreterSettings, RectExt, SoftMask, TransformExt, interpret_page,
};
use hayro::hayro_syntax::object::{Dict, String as PdfString};
use hayro::hayro_syntax::page::Page;
use hayro::kurbo::{Affine, BezPath, Point, Rect, Vec2};

use crate::figures::Figures;
use crate::strings::{decode_text_string, is_mark};
use crate::words::median;

/// Stands for a glyph that has no Unicode value.
pub(crate) const UNKNOWN: &str = "\u{FFFD}";

/// One glyph, in points from the upper left corner of the page as shown.
#[derive(Debug, Clone)]
pub(crate) struct Glyph {
    /// What it says; never empty, without spaces at its ends.
    pub(crate) text: Box<str>,
    /// Where its baseline begins; for vertical writing the middle of its upper edge.
    pub(crate) origin: Point,
    /// Direction of reading, of length 1.
    pub(crate) direction: Vec2,
    /// How far the next glyph is.
    pub(crate) advance: f64,
    /// Font size.
    pub(crate) size: f64,
    /// How much of the size lies above the baseline.
    pub(crate) ascent: f64,
    /// Whether the page shows a space between the glyph before and this one.
    pub(crate) space_before: bool,
}

impl Glyph {
    /// Where the next glyph would begin.
    pub(crate) fn end(&self) -> Point {
        self.origin + self.direction * self.advance
    }

    /// Its box on the page.
    pub(crate) fn rect(&self) -> Rect {
        let up = Vec2::new(self.direction.y, -self.direction.x) * self.size;
        let down = up * (self.ascent - 1.0);
        let up = up * self.ascent;
        let (start, end) = (self.origin, self.end());
        Rect::from_points(start + up, end + down).union(Rect::from_points(start + down, end + up))
    }
}

/// What one page shows.
#[derive(Debug, Default)]
pub(crate) struct PageContent {
    /// Its glyphs in the order in which they are drawn.
    pub(crate) glyphs: Vec<Glyph>,
    /// How many glyphs have no Unicode value.
    pub(crate) n_unknown: usize,
    /// How many glyphs lie outside the page or are too small to see, and are left out.
    pub(crate) n_outside: usize,
    /// Whether there were more glyphs than allowed.
    pub(crate) too_many: bool,
    /// How much of the page the largest picture covers, from 0 to 1.
    pub(crate) picture_share: f64,
}

/// Reads a page: at most `max_glyphs` glyphs, and its pictures into `figures` where they are wanted.
pub(crate) fn read_page<'a>(
    page: &Page<'a>,
    cache: &InterpreterCache<'a>,
    max_glyphs: usize,
    figures: Option<&mut Figures>,
) -> PageContent {
    let transform = page.initial_transform(true).to_kurbo();
    let media = transform.transform_rect_bbox(page.media_box().to_kurbo());
    let (width, height) = page.render_dimensions();
    let shown = Rect::new(0.0, 0.0, width.into(), height.into());
    let mut context = Context::new(transform, shown, cache, page.xref(), InterpreterSettings::default());
    let mut collector = Collector {
        content: PageContent::default(),
        media: media.union(shown),
        shown,
        max_glyphs,
        spaced: false,
        drawn: HashSet::new(),
        replacements: Vec::new(),
        figures,
    };
    interpret_page(page, &mut context, &mut collector);
    collector.content
}

/// Receives the drawing operations of one page.
struct Collector<'f> {
    content: PageContent,
    /// Glyphs that lie outside are never shown, whatever box a viewer uses.
    media: Rect,
    shown: Rect,
    max_glyphs: usize,
    /// A space was drawn since the last glyph.
    spaced: bool,
    /// Places of the glyphs so far, to know those that are drawn twice: filled and outlined, or with a shadow.
    drawn: HashSet<(char, i64, i64, i64)>,
    /// The marked content around the next glyph, innermost last.
    replacements: Vec<Option<Replacement>>,
    figures: Option<&'f mut Figures>,
}

/// The text that marked content says its glyphs stand for (`ActualText`, ISO 32000-1 clause 14.9.4).
struct Replacement {
    text: Box<str>,
    /// Index of the glyph that carries it, once there is one.
    glyph: Option<usize>,
}

impl Collector<'_> {
    fn add(&mut self, mut glyph: Glyph, known: bool) {
        let rect = glyph.rect();
        let sound = rect.is_finite() && glyph.size > 0.01 && rect.overlaps(self.media.inflate(1.0, 1.0));
        if !sound {
            self.content.n_outside += usize::from(!glyph.text.trim().is_empty());
            return;
        }
        if self.is_drawn_twice(&glyph) {
            return;
        }
        if let Some(replacement) = self.replacements.iter_mut().flatten().next() {
            if let Some(first) = replacement.glyph {
                let first = &mut self.content.glyphs[first];
                first.advance = first.advance.max((glyph.end() - first.origin).dot(first.direction));
                return;
            }
            glyph.text = replacement.text.clone();
        }
        let text = glyph.text.trim();
        if text.is_empty() {
            self.spaced = true;
            return;
        }
        if self.content.glyphs.len() >= self.max_glyphs {
            self.content.too_many = true;
            return;
        }
        let spaced_after = glyph.text.ends_with(char::is_whitespace);
        if text.chars().all(is_mark)
            && let Some(base) = self.content.glyphs.last_mut()
            && !self.spaced
            && (glyph.origin - base.origin).hypot() < base.size.max(base.advance * 1.2)
        {
            base.text = format!("{}{text}", base.text).into();
            return;
        }
        glyph.space_before = self.spaced || glyph.text.starts_with(char::is_whitespace);
        glyph.text = text.into();
        self.spaced = spaced_after;
        if let Some(replacement) = self.replacements.iter_mut().flatten().next() {
            replacement.glyph = Some(self.content.glyphs.len());
        }
        self.content.n_unknown += usize::from(!known && &*glyph.text == UNKNOWN);
        self.content.glyphs.push(glyph);
    }

    /// Whether the same glyph is already there, at most 0.08 to 0.16 of its size away; if not, it is from now on.
    fn is_drawn_twice(&mut self, glyph: &Glyph) -> bool {
        let Some(first) = glyph.text.chars().next().filter(|first| !first.is_whitespace()) else { return false };
        let cell = glyph.size * 0.08;
        let size = (glyph.size * 8.0).round() as i64;
        let (x, y) = ((glyph.origin.x / cell).floor() as i64, (glyph.origin.y / cell).floor() as i64);
        let near = |step: i64| (x.saturating_add(step % 3 - 1), y.saturating_add(step / 3 - 1));
        if (0..9).map(near).any(|(x, y)| self.drawn.contains(&(first, size, x, y))) {
            return true;
        }
        self.drawn.insert((first, size, x, y));
        false
    }
}

impl<'a> Device<'a> for Collector<'_> {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, _: &DrawMode) {
        let transforms: Vec<Affine> = run.glyphs().iter().map(|glyph| props.transform * glyph.transform()).collect();
        let vertical = run.writing_mode() == WritingMode::Vertical;
        let advances: Vec<f64> = run.glyphs().iter().map(|glyph| advance_units(glyph).unwrap_or(500.0)).collect();
        let stretched = stretched_unit(&transforms, &advances);
        for ((glyph, transform), units) in run.glyphs().iter().zip(transforms).zip(advances) {
            let (x_axis, y_axis) = (x_axis(transform), y_axis(transform));
            let unit = if vertical { y_axis.hypot() } else { stretched.unwrap_or(x_axis.hypot()) };
            let units = if vertical { 1000.0 } else { units };
            let axis = if vertical { -y_axis } else { x_axis };
            let text = unicode(glyph);
            let known = text.is_some();
            let glyph = Glyph {
                text: text.unwrap_or_else(|| UNKNOWN.into()),
                origin: if vertical { transform * Point::new(500.0, 880.0) } else { transform * Point::ORIGIN },
                direction: axis / axis.hypot(),
                advance: units * unit,
                size: y_axis.hypot() * 1000.0,
                ascent: if vertical { 0.5 } else { 0.76 },
                space_before: false,
            };
            self.add(glyph, known);
        }
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        let pixels = Rect::new(0.0, 0.0, image.width().into(), image.height().into());
        let rect = props.transform.transform_rect_bbox(pixels);
        let share = rect.intersect(self.shown).area() / self.shown.area();
        if share.is_finite() {
            self.content.picture_share = self.content.picture_share.max(share);
            if let Some(figures) = &mut self.figures {
                figures.add(&image, rect);
            }
        }
    }

    fn begin_marked_content(&mut self, _: &[u8], properties: Option<&Dict<'_>>) {
        let text = properties.and_then(|properties| properties.get::<PdfString<'_>>(b"ActualText"));
        let text = text.map(|text| decode_text_string(text.as_bytes()));
        self.replacements.push(text.map(|text| Replacement { text: text.into(), glyph: None }));
    }

    fn end_marked_content(&mut self) {
        self.replacements.pop();
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'a>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_clip_rect(&mut self, _: &Rect) {}
    fn pop_clip(&mut self) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn pop_transparency_group(&mut self) {}
    fn draw_rect(&mut self, _: &Rect, _: DrawProps<'a>, _: &DrawMode) {}
}

/// What a glyph says, if the file lets know.
fn unicode(glyph: &FontGlyph<'_>) -> Option<Box<str>> {
    let text = match glyph.as_unicode()? {
        BfString::Char(char) => String::from(char),
        BfString::String(text) => text,
    };
    let text: String = text.chars().filter(|char| char.is_whitespace() || !char.is_control()).collect();
    (!text.is_empty()).then(|| text.into())
}

/// The length of one glyph unit along the line, where the glyphs' own x axes do not tell it.
///
/// The library stretches every glyph of a substituted font to the width that the file gives, each by its own factor.
/// The middle of what the places of neighbours say is then the better measure.
fn stretched_unit(transforms: &[Affine], advances: &[f64]) -> Option<f64> {
    let lengths: Vec<f64> = transforms.iter().map(|transform| x_axis(*transform).hypot()).collect();
    if lengths.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 0.005 * pair[0].max(pair[1])) {
        return None;
    }
    let places = transforms.windows(2).map(|pair| (pair[1].translation() - pair[0].translation()).hypot());
    let units = places.zip(advances).filter(|(_, advance)| **advance > 0.0).map(|(step, advance)| step / advance);
    let (unit, length) = (median(units.collect()), median(lengths));
    Some(unit.clamp(0.5 * length, 2.0 * length))
}

/// The advance in thousandths of the font size.
fn advance_units(glyph: &FontGlyph<'_>) -> Option<f64> {
    let advance = match glyph {
        FontGlyph::Outline(glyph) => glyph.advance_width(),
        FontGlyph::Type3(glyph) => glyph.advance_width(),
    };
    advance.map(f64::from).filter(|advance| advance.is_finite() && *advance >= 0.0)
}

fn x_axis(transform: Affine) -> Vec2 {
    let [a, b, ..] = transform.as_coeffs();
    Vec2::new(a, b)
}

fn y_axis(transform: Affine) -> Vec2 {
    let [_, _, c, d, ..] = transform.as_coeffs();
    Vec2::new(c, d)
}
