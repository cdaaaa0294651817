//! The pictures that pages show, as views of their own.

use std::collections::HashSet;

use blt_core::{Limits, Modality, Origin, View};
use hayro::hayro_interpret::{CacheKey, Image, ImageData, LumaData};
use hayro::kurbo;

use crate::page_rect;

/// Collects the pictures of a document. One that is shown again is kept once, at its first place.
#[derive(Debug)]
pub(crate) struct Figures {
    /// The views so far, with label `figure`.
    pub(crate) views: Vec<View>,
    /// What could not be kept, in sentences.
    pub(crate) problems: Vec<String>,
    /// Number of the page that is read now, from 0.
    pub(crate) page: u32,
    seen: HashSet<u128>,
    limits: Limits,
    /// How many bytes the views may still have.
    bytes_left: u64,
}

impl Figures {
    pub(crate) fn new(limits: &Limits) -> Self {
        let (views, problems, seen) = (Vec::new(), Vec::new(), HashSet::new());
        Self { views, problems, page: 0, seen, limits: *limits, bytes_left: limits.max_view_bytes }
    }

    /// Decodes `image`, which lies in `rect` of the page, and keeps its pixels.
    pub(crate) fn add(&mut self, image: &Image<'_, '_>, rect: kurbo::Rect) {
        if !self.seen.insert(image.cache_key()) {
            return;
        }
        let page = self.page + 1;
        let (width, height) = (u64::from(image.width()), u64::from(image.height()));
        let n_bytes = width.saturating_mul(height).saturating_mul(3);
        if let Err(error) = self.limits.check_pixels(width, height) {
            self.problems.push(format!("page {page}: a picture is left out: {error}"));
            return;
        }
        if n_bytes > self.bytes_left || self.views.len() as u64 >= self.limits.max_members {
            self.problems.push(format!("page {page}: a picture is left out, because there are too many"));
            return;
        }
        let Some((bytes, width, height)) = rgb8(image) else {
            self.problems.push(format!("page {page}: a picture cannot be decoded"));
            return;
        };
        self.bytes_left = self.bytes_left.saturating_sub(bytes.len() as u64);
        let media_type = format!("image/x-raw; format=rgb8; width={width}; height={height}");
        let mut view = View::owned("figure", Modality::Image, media_type, bytes);
        view.name = Some(format!("page {page}, figure {}", self.views.len() + 1).into());
        view.origin = Some(Origin::Page { page: self.page, rect: page_rect(rect) });
        self.views.push(view);
    }
}

/// The pixels row by row with their width and height, without transparency. A stencil comes out black on white.
fn rgb8(image: &Image<'_, '_>) -> Option<(Vec<u8>, u32, u32)> {
    let mut pixels = None;
    match image {
        Image::Raster(raster) => raster.with_rgba(
            |data, _| {
                pixels = Some(match data {
                    ImageData::Rgb(rgb) => (rgb.data, rgb.width, rgb.height),
                    ImageData::Luma(luma) => gray(&luma, |value| value),
                });
            },
            None,
        ),
        Image::Stencil(stencil) => {
            stencil.with_stencil(|luma, _| pixels = Some(gray(&luma, |value| 255 - value)), None);
        }
    }
    pixels.filter(|(bytes, width, height)| bytes.len() as u64 == u64::from(*width) * u64::from(*height) * 3)
}

fn gray(luma: &LumaData, value: impl Fn(u8) -> u8) -> (Vec<u8>, u32, u32) {
    let bytes = luma.data.iter().flat_map(|&pixel| [value(pixel); 3]).collect();
    (bytes, luma.width, luma.height)
}
