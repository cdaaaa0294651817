//! All panels on one sheet, for SVG and PNG.

use crate::ball::{ball, dot_radius, map};
use crate::colours::Theme;
use crate::drawing::{Anchor, Drawing, Ink};
use crate::panels::{HEIGHT, Scatter, WIDTH, scatters, shells, spectrum};
use crate::picture::{Picture, RenderError, shortened};
use crate::scale::{ColourBy, category_colour};
use crate::{png, svg};

const MARGIN: f64 = 20.0;
const GAP: f64 = 20.0;
const HEAD: f64 = 64.0;
/// Characters of a line across the sheet; more would leave it.
const LINE: usize = 165;

impl Picture<'_> {
    /// The sheet as SVG.
    pub fn svg(&self) -> String {
        svg::file(&self.sheet(), self.name)
    }

    /// The sheet as PNG, in twice as many pixels as the SVG has units.
    ///
    /// # Errors
    ///
    /// Fails when the renderer does; nothing in a sphere makes it.
    pub fn png(&self) -> Result<Vec<u8>, RenderError> {
        png::file(&self.sheet())
    }

    fn sheet(&self) -> Drawing {
        let (left, right) = (MARGIN, MARGIN + WIDTH + GAP);
        let points = |scatter: Scatter| {
            let mut panel = scatter.frame();
            let radius = 0.7 * dot_radius(self.chosen.len());
            for &i in &self.chosen {
                let i = i as usize;
                if let Some(place) = scatter.place(self.placed, i) {
                    panel.dot(place, radius, Ink::Colour(self.colour(i, Theme::Light)), String::new());
                }
            }
            panel
        };
        let plots: Vec<Drawing> = scatters(self).into_iter().map(points).collect();
        let rows = HEAD + WIDTH + GAP;
        let height = rows + (HEIGHT + GAP) * (1 + plots.len().div_ceil(2)) as f64;
        let mut sheet = Drawing::new(2.0 * MARGIN + 2.0 * WIDTH + GAP, height);
        sheet.text((left, 30.0), 18.0, Ink::Text, Anchor::Start, shortened(self.name, LINE / 2));
        sheet.text((left, 50.0), 12.0, Ink::Muted, Anchor::Start, shortened(&self.summary(), LINE));
        if let Some(left_out) = self.left_out() {
            sheet.text((left, 68.0), 12.0, Ink::Second, Anchor::Start, shortened(&left_out, LINE));
        }
        sheet.place(ball(self, WIDTH), left, HEAD);
        sheet.text(
            (right, HEAD + 30.0),
            14.0,
            Ink::Text,
            Anchor::Start,
            "Directions of all, equal areas equally large",
        );
        sheet.place(map(self, WIDTH), right, HEAD + 46.0);
        sheet.place(self.legend(), right, HEAD + WIDTH / 2.0 + 76.0);
        sheet.place(shells(self), left, rows);
        sheet.place(spectrum(self), right, rows);
        for (k, plot) in plots.into_iter().enumerate() {
            let x = if k % 2 == 0 { left } else { right };
            sheet.place(plot, x, rows + (HEIGHT + GAP) * (1 + k / 2) as f64);
        }
        sheet
    }

    /// What colours mean.
    fn legend(&self) -> Drawing {
        let mut drawing = Drawing::new(WIDTH, 200.0);
        drawing.text((0.0, 14.0), 14.0, Ink::Text, Anchor::Start, format!("Colour: {}", self.colour_by.label()));
        let categories = match self.colour_by {
            ColourBy::Zone => &self.zones,
            ColourBy::Document => &self.documents,
            by => {
                self.ramp(by, &mut drawing);
                return drawing;
            }
        };
        for (k, category) in categories.iter().enumerate() {
            let y = 38.0 + 22.0 * k as f64;
            let colour = category_colour(Theme::Light, category.colour);
            drawing.dot((7.0, y - 4.0), 6.0, Ink::Colour(colour), String::new());
            let text = format!("{} ({} patches)", shortened(&category.name, 60), category.n_patches);
            drawing.text((20.0, y), 13.0, Ink::Text, Anchor::Start, text);
        }
        drawing
    }

    fn ramp(&self, by: ColourBy, drawing: &mut Drawing) {
        const STEPS: usize = 64;
        let width = 0.75 * WIDTH;
        let Some(shades) = self.shades_of(by) else { return };
        for (k, colour) in Theme::Light.ramp_steps(STEPS).into_iter().enumerate() {
            // Half a pixel over the next step, so that no seam shows.
            let step = width / STEPS as f64;
            drawing.bar([k as f64 * step, 28.0, step + 0.5, 18.0], Ink::Colour(colour), String::new());
        }
        let places = if shades.high - shades.low > 50.0 { 0 } else { 2 };
        let ticks = [
            (0.0, shades.low, Anchor::Start),
            (0.5, (shades.low + shades.high) / 2.0, Anchor::Middle),
            (1.0, shades.high, Anchor::End),
        ];
        for (part, value, anchor) in ticks {
            drawing.text((part * width, 62.0), 12.0, Ink::Muted, anchor, format!("{value:.places$}"));
        }
        let note = format!(
            "half of the patches have less than {:.places$}; the hundredth at either end has the end's colour",
            shades.middle
        );
        drawing.text((0.0, 82.0), 11.0, Ink::Muted, Anchor::Start, note);
    }
}
