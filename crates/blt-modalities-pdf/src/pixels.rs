//! The image view: every page rendered.

use blt_core::{ByteRange, DecodeError, Limits, Modality, Origin, Unit, View};
use hayro::hayro_interpret::InterpreterSettings;
use hayro::hayro_syntax::page::{Page, Pages};
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::{PixmapSettings, RenderCache, RenderSettings, render};

use crate::text::whole_page;

/// The renderer cannot make more pixels in a row or column.
const MAX_SIDE: f32 = 65_535.0;

/// All pages as pixels at `dpi`, and sentences about those that are left out.
pub(crate) fn image_view(pages: &Pages<'_>, dpi: u32, limits: &Limits) -> Result<(View, Vec<String>), DecodeError> {
    let cache = RenderCache::new();
    let scale = dpi as f32 / 72.0;
    let mut bytes: Vec<u8> = Vec::new();
    let mut units = Vec::new();
    let mut problems = Vec::new();
    for (i, page) in pages.iter().enumerate() {
        let (width, height) = match pixel_size(page, scale, limits) {
            Ok(size) => size,
            Err(reason) => {
                problems.push(format!("page {} is not rendered: {reason}", i + 1));
                continue;
            }
        };
        let n_bytes = u64::from(width) * u64::from(height) * 3;
        if bytes.len() as u64 + n_bytes > limits.max_view_bytes {
            return Err(DecodeError::ViewTooLarge { view: "image", limit: limits.max_view_bytes });
        }
        let settings = PixmapSettings { x_scale: scale, y_scale: scale, bg_color: WHITE };
        let pixmap = render(page, &cache, &InterpreterSettings::default(), &RenderSettings::default(), &settings);
        let start = bytes.len() as u64;
        // The page is white to begin with, so that every pixel is opaque.
        bytes.extend(pixmap.data_as_u8_slice().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]));
        let name = format!("{} width={} height={}", i + 1, pixmap.width(), pixmap.height());
        let origin = Origin::Page { page: i as u32, rect: whole_page(page) };
        units.push(Unit::new("page", ByteRange { start, end: bytes.len() as u64 }).named(name).at(origin));
    }
    let mut view = View::owned("image", Modality::Image, "image/x-raw; format=rgb8", bytes);
    view.units = units;
    Ok((view, problems))
}

/// Width and height of a page in pixels, rounded down as the renderer does.
fn pixel_size(page: &Page<'_>, scale: f32, limits: &Limits) -> Result<(u32, u32), String> {
    let (width, height) = page.render_dimensions();
    let (width, height) = (width * scale, height * scale);
    let sound = |side: f32| (1.0..=MAX_SIDE).contains(&side);
    if !sound(width) || !sound(height) {
        return Err(format!("it would be {width} by {height} pixels"));
    }
    let (width, height) = (width as u32, height as u32);
    limits.check_pixels(width.into(), height.into()).map_err(|error| error.to_string())?;
    Ok((width, height))
}
