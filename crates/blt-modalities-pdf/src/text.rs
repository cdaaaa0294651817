//! The text view: pages, blocks and lines with their places.

use blt_core::{ByteRange, DecodeError, Limits, Modality, Origin, Rect, Unit, View};
use hayro::hayro_interpret::InterpreterCache;
use hayro::hayro_syntax::page::{Page, Pages};

use crate::figures::Figures;
use crate::glyphs::{PageContent, read_page};
use crate::lines::{Line, layout};
use crate::page_rect;

/// A page with fewer characters than this, and a picture on at least this share of it, is probably a scan.
const SCAN_CHARS: usize = 16;
const SCAN_SHARE: f64 = 0.25;

/// The text of all pages, and sentences about what is missing.
pub(crate) fn text_view(
    pages: &Pages<'_>,
    limits: &Limits,
    mut figures: Option<&mut Figures>,
) -> Result<(View, Vec<String>), DecodeError> {
    let cache = InterpreterCache::new();
    let mut builder = Builder { text: String::new(), units: Vec::new(), only_pages: false, limits };
    let mut problems = Vec::new();
    let mut n_glyphs = 0;
    for (i, page) in pages.iter().enumerate() {
        if let Some(figures) = &mut figures {
            figures.page = i as u32;
        }
        let content = read_page(page, &cache, limits.max_units.saturating_sub(n_glyphs), figures.as_deref_mut());
        n_glyphs += content.glyphs.len();
        problems.extend(page_problems(i + 1, &content));
        builder.page(i as u32, whole_page(page), layout(&content.glyphs))?;
    }
    if builder.only_pages {
        problems.push(format!(
            "the text has units for its pages only, because there are more than {} lines",
            limits.max_units
        ));
    }
    let mut view = View::owned("text", Modality::Text, "text/plain; charset=utf-8", builder.text.into_bytes());
    view.units = builder.units;
    Ok((view, problems))
}

/// The whole of a page as shown, in points.
pub(crate) fn whole_page(page: &Page<'_>) -> Rect {
    let (width, height) = page.render_dimensions();
    Rect { x0: 0.0, y0: 0.0, x1: width, y1: height }
}

fn page_problems(number: usize, content: &PageContent) -> Vec<String> {
    let mut problems = Vec::new();
    let n_chars = content.glyphs.iter().map(|glyph| glyph.text.chars().count()).sum::<usize>();
    if content.n_unknown > 0 {
        let (n_unknown, n_all) = (content.n_unknown, content.glyphs.len());
        problems.push(format!("page {number}: {n_unknown} of {n_all} glyphs have no Unicode value"));
    }
    if content.n_outside > 0 {
        problems.push(format!("page {number}: {} glyphs outside the page are left out", content.n_outside));
    }
    if n_chars < SCAN_CHARS && content.picture_share >= SCAN_SHARE {
        problems.push(format!("page {number} needs OCR"));
    }
    if content.too_many {
        problems.push(format!("page {number} has more glyphs than allowed, and its text is cut off"));
    }
    problems
}

struct Builder<'l> {
    text: String,
    units: Vec<Unit>,
    /// Whether there are too many lines for units of their own.
    only_pages: bool,
    limits: &'l Limits,
}

impl Builder<'_> {
    /// Every line ends with a line feed, every block with another, every page with a form feed.
    fn page(&mut self, page: u32, whole: Rect, blocks: Vec<Vec<Line>>) -> Result<(), DecodeError> {
        let page_idx = self.units.len();
        let start = self.text.len();
        self.units.push(
            Unit::new("page", range(start, start)).named((page + 1).to_string()).at(Origin::Page { page, rect: whole }),
        );
        let n_lines = blocks.iter().map(Vec::len).sum::<usize>();
        if self.units.len() + blocks.len() + n_lines > self.limits.max_units {
            self.only_pages = true;
            self.units.retain(|unit| unit.label == "page");
            self.units.iter_mut().for_each(|unit| unit.parent = None);
        }
        let page_idx = if self.only_pages { self.units.len() - 1 } else { page_idx };
        for block in blocks {
            self.block(page, page_idx, block)?;
        }
        self.text.push('\x0C');
        let end = self.text.len() as u64;
        // The form feed belongs to the last line and block too.
        let mut last = self.units.len() - 1;
        self.units[last].range.end = end;
        while let Some(parent) = self.units[last].parent {
            self.units[parent].range.end = end;
            last = parent;
        }
        self.units[page_idx].range.end = end;
        Ok(())
    }

    fn block(&mut self, page: u32, page_idx: usize, lines: Vec<Line>) -> Result<(), DecodeError> {
        let start = self.text.len();
        let rect = lines.iter().map(|line| line.rect).reduce(|one, other| one.union(other)).unwrap_or_default();
        let block_idx = self.units.len();
        let place = |rect| Origin::Page { page, rect: page_rect(rect) };
        if !self.only_pages {
            self.units.push(Unit::new("block", range(start, start)).at(place(rect)).inside(page_idx));
        }
        for line in lines {
            let start = self.text.len();
            self.text.push_str(&line.text);
            self.text.push('\n');
            if !self.only_pages {
                let unit = Unit::new("line", range(start, self.text.len()));
                self.units.push(unit.at(place(line.rect)).inside(block_idx));
            }
        }
        self.text.push('\n');
        if !self.only_pages {
            let end = self.text.len() as u64;
            self.units[block_idx].range.end = end;
            if let Some(last) = self.units.last_mut() {
                last.range.end = end;
            }
        }
        let limit = self.limits.max_view_bytes;
        if self.text.len() as u64 > limit { Err(DecodeError::ViewTooLarge { view: "text", limit }) } else { Ok(()) }
    }
}

fn range(start: usize, end: usize) -> ByteRange {
    ByteRange { start: start as u64, end: end as u64 }
}
