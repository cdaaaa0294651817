//! Drawings as pixels. Words are set in the sans serif among the standard fonts of PDF, which has the letters of Western Europe;
//! others are written as `\u{4e2d}`.

use std::f64::consts::FRAC_PI_2;
use std::sync::Arc;

use hayro_font::hayro_syntax::object::{Dict, FromBytes};
use hayro_font::{CMapResolverFn, Font, FontCache, FontGlyph, FontQuery, FontResolverFn, UNITS_PER_EM};
use vello_cpu::color::AlphaColor;
use vello_cpu::kurbo::{Affine, BezPath, Cap, Circle, Join, Rect, Shape, Stroke};
use vello_cpu::{Level, Pixmap, RenderContext, RenderSettings, Resources};

use crate::colours::Rgb;
use crate::drawing::{Anchor, Drawing, Ink, Mark};
use crate::picture::RenderError;
use crate::svg::is_invisible;

/// Pixels of a unit.
const SCALE: f64 = 2.0;
/// How far a curve may be from its outline, in units.
const TOLERANCE: f64 = 0.05;

/// The font as PDF names it, with the codes of its letters.
const FONT: &[u8] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>";

/// The drawing on white.
pub(crate) fn file(drawing: &Drawing) -> Result<Vec<u8>, RenderError> {
    let font = Letters::load().ok_or(RenderError::Font)?;
    let (width, height) = ((drawing.width * SCALE).ceil(), (drawing.height * SCALE).ceil());
    // The instructions that every processor of this kind has, so that all of them give the same pixels.
    let settings = RenderSettings { level: Level::baseline(), num_threads: 0 };
    let mut context = RenderContext::new_with(width as u16, height as u16, settings);
    let mut painter = Painter { context: &mut context, font };
    painter.fill(&Rect::new(0.0, 0.0, width, height).to_path(TOLERANCE), Affine::IDENTITY, [255, 255, 255]);
    drawing.marks.iter().for_each(|mark| painter.paint(mark));
    context.flush();
    let mut pixels = Pixmap::new(width as u16, height as u16);
    context.render(&mut pixels, &mut Resources::new());
    pixels.into_png().map_err(|error| RenderError::Pixels(Box::new(error)))
}

struct Painter<'c> {
    context: &'c mut RenderContext,
    font: Letters,
}

impl Painter<'_> {
    fn fill(&mut self, path: &BezPath, transform: Affine, colour: Rgb) {
        self.context.set_transform(transform);
        self.context.set_paint(opaque(colour));
        self.context.fill_path(path);
    }

    fn paint(&mut self, mark: &Mark) {
        let page = Affine::scale(SCALE);
        match mark {
            Mark::Bar { x, y, width, height, ink, .. } => {
                self.fill(&Rect::new(*x, *y, x + width, y + height).to_path(TOLERANCE), page, colour(*ink));
            }
            Mark::Dot { x, y, radius, ink, .. } => {
                self.fill(&Circle::new((*x, *y), *radius).to_path(TOLERANCE), page, colour(*ink));
            }
            Mark::Line { points, width, ink, dashed } => {
                let Some((first, rest)) = points.split_first() else { return };
                let mut path = BezPath::new();
                path.move_to(*first);
                rest.iter().for_each(|point| path.line_to(*point));
                let stroke = Stroke::new(*width).with_caps(Cap::Butt).with_join(Join::Round);
                let stroke = if *dashed { stroke.with_dashes(0.0, [5.0, 4.0]) } else { stroke };
                self.context.set_transform(page);
                self.context.set_paint(opaque(colour(*ink)));
                self.context.set_stroke(stroke);
                self.context.stroke_path(&path);
            }
            Mark::Text { x, y, size, ink, anchor, upward, text } => {
                let codes = codes(text);
                let length: f64 = codes.iter().map(|&code| self.font.advance(code)).sum();
                let mut pen = match anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => -length / 2.0,
                    Anchor::End => -length,
                };
                let turn = if *upward { -FRAC_PI_2 } else { 0.0 };
                // Outlines are in thousandths of the size, and go up.
                let unit = size / f64::from(UNITS_PER_EM);
                let line =
                    page * Affine::translate((*x, *y)) * Affine::rotate(turn) * Affine::scale_non_uniform(unit, -unit);
                for code in codes {
                    let outline = self.font.outline(code);
                    self.fill(&outline, line * Affine::translate((pen, 0.0)), colour(*ink));
                    pen += self.font.advance(code);
                }
            }
        }
    }
}

fn opaque([r, g, b]: Rgb) -> AlphaColor<vello_cpu::color::Srgb> {
    AlphaColor::from_rgba8(r, g, b, 255)
}

/// The inks on white, as the style sheet of SVG files has them.
fn colour(ink: Ink) -> Rgb {
    match ink {
        Ink::Text => [0x1B, 0x1B, 0x1B],
        Ink::Muted => [0x5C, 0x5C, 0x5C],
        Ink::Faint => [0xE3, 0xE3, 0xE3],
        Ink::Accent => [0x00, 0x72, 0xB2],
        Ink::Second => [0xD5, 0x5E, 0x00],
        Ink::Colour(colour) => colour,
    }
}

/// The outlines of the font.
struct Letters(Font<'static>);

impl Letters {
    fn load() -> Option<Self> {
        let fonts: FontResolverFn = Arc::new(|query| match query {
            FontQuery::Standard(font) => Some(font.get_font_data()),
            FontQuery::Fallback(_) => None,
        });
        let no_maps: CMapResolverFn = Arc::new(|_| None);
        FontCache::new().font(&Dict::from_bytes(FONT)?, &fonts, &no_maps).map(Self)
    }

    fn outline(&self, code: u8) -> BezPath {
        match self.0.glyph(self.0.map_code(code.into()), code.into()) {
            FontGlyph::Outline(glyph) => glyph.outline(),
            FontGlyph::Type3(_) => BezPath::new(), // no standard font is of this kind
        }
    }

    /// In thousandths of the size.
    fn advance(&self, code: u8) -> f64 {
        self.0.code_advance(code.into()).x
    }
}

/// A text in the codes of the font; letters that it does not have as escapes.
fn codes(text: &str) -> Vec<u8> {
    let mut codes = Vec::new();
    for character in text.chars() {
        match (character, u8::try_from(character)) {
            ('…', _) => codes.push(0x85),
            (_, Ok(code)) if !is_invisible(character) => codes.push(code),
            _ => codes.extend(character.escape_unicode().filter_map(|ascii| u8::try_from(ascii).ok())),
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_has_an_outline_and_a_width() {
        let font = Letters::load().unwrap();
        let letters = "!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~°·äÉß…";
        for code in codes(letters) {
            assert!(font.advance(code) > 100.0 && !font.outline(code).is_empty(), "{code:#x}");
        }
        assert_eq!((font.outline(b' ').is_empty(), codes("中\u{1b}")), (true, b"\\u{4e2d}\\u{1b}".to_vec()));
    }

    /// Numbers of pixels by what is drawn: nothing, a bar in the middle, a text.
    #[test]
    fn marks_become_pixels() {
        let dark = |draw: &dyn Fn(&mut Drawing)| {
            let mut drawing = Drawing::new(40.0, 20.0);
            draw(&mut drawing);
            let pixels = Pixmap::from_png(std::io::Cursor::new(file(&drawing).unwrap())).unwrap();
            assert_eq!((pixels.width(), pixels.height()), (80, 40));
            pixels.data().iter().filter(|pixel| pixel.r < 128 && pixel.a == 255).count()
        };
        assert_eq!(dark(&|_| {}), 0);
        assert_eq!(dark(&|drawing| drawing.bar([10.0, 5.0, 4.0, 2.0], Ink::Text, String::new())), 8 * 4);
        let text = dark(&|drawing| drawing.text((5.0, 15.0), 12.0, Ink::Text, Anchor::Start, "lamp"));
        assert!((100..600).contains(&text), "{text}");
        assert!(dark(&|drawing| drawing.line(vec![(0.0, 10.0), (40.0, 10.0)], 1.0, Ink::Text)) >= 80);
    }
}
