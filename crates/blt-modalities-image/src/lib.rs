//! Pictures for byte models. The `pixels` view holds every frame, cut into tiles by a quad-tree: small where the picture is
//! busy, large where it is plain. Pixels keep the number type and the channels that the decoder gives; nothing is padded.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits, Origin};
//! use blt_modalities_image::ImageDecoder;
//!
//! let picture = b"P6 2 1 255\n\x01\x02\x03\x04\x05\x06";
//! let hint = Hint { format: "pnm", ..Hint::default() };
//! let document = ImageDecoder::default().decode(&mut std::io::Cursor::new(picture), &hint, &Limits::default())?;
//! let view = &document.views[0];
//! assert_eq!((&*view.label, view.media_type.as_str()), ("pixels", "image/x-raw; format=rgb8; width=2; height=1; frames=1"));
//! assert!(matches!(view.units[1].origin, Some(Origin::Pixels { frame: 0, .. })));
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! Colour profiles are not applied, and a palette is resolved. Orientation of EXIF is applied and named in the media type.
//! The pages of a TIFF are frames; where they differ in their kind of pixels they make several views.

mod jxl;
mod read;
mod tiles;

use blt_core::{
    ByteRange, DecodeError, Decoder, Document, Hint, Limits, Modality, Origin, Rect, SourceReader, Unit, View, Views,
};
use serde::{Deserialize, Serialize};

use read::{Frame, Picture, read};
use tiles::tiles;

/// Makes documents of pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageDecoder {
    /// Which views; the decoded one is `pixels`.
    pub views: Views,
    /// Side of the smallest tile in pixels.
    pub min_tile: u32,
    /// Side of the largest tile in pixels: `min_tile` doubled some times.
    pub max_tile: u32,
    /// Four neighbouring tiles become one while the Shannon entropy of its bytes is below this, in bits a byte.
    pub merge_entropy: f32,
    /// Larger pictures are scaled down until no side is longer, in pixels.
    pub max_side: Option<u32>,
}

impl Default for ImageDecoder {
    /// Tiles of 16 to 256 pixels, merged below 1.5 bits; no scaling.
    fn default() -> Self {
        Self { views: Views::Decoded, min_tile: 16, max_tile: 256, merge_entropy: 1.5, max_side: None }
    }
}

impl Decoder for ImageDecoder {
    fn modality(&self) -> Modality {
        Modality::Image
    }

    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let media_type = if hint.media_type.is_empty() { "image/*" } else { hint.media_type };
        let mut document = Document::new(Modality::Image, media_type, Vec::new());
        if self.views != Views::Decoded {
            document.views.push(View::raw(Modality::Image, media_type));
        }
        if self.views != Views::Raw {
            let mut n_frames = 0;
            for picture in read(source, hint.format, self.max_side, limits)? {
                let view = self.pixels(&picture, n_frames, limits)?;
                let name = (n_frames > 0).then(|| format!("from page {}", n_frames + 1).into());
                document.views.push(View { name, ..view });
                n_frames += picture.frames.len();
                document.problems.extend(picture.problems);
            }
        }
        Ok(document)
    }
}

impl ImageDecoder {
    /// The frames of a picture, the first of which is frame `first` of the file.
    fn pixels(&self, picture: &Picture, first: usize, limits: &Limits) -> Result<View, DecodeError> {
        let Picture { frames, format, bytes_per_pixel, conversion, .. } = picture;
        let (width, height) = frames.first().map_or((0, 0), |frame| (frame.width, frame.height));
        let n_bytes: u64 = frames.iter().map(|frame| frame.pixels.len() as u64).sum();
        if n_bytes > limits.max_view_bytes {
            return Err(DecodeError::ViewTooLarge { view: "pixels", limit: limits.max_view_bytes });
        }
        let mut bytes = Vec::with_capacity(n_bytes as usize);
        let mut units = Vec::new();
        for (number, frame) in frames.iter().enumerate() {
            let Frame { width, height, pixels, delay_ms } = frame;
            let origin = |(x, y, width, height): (u32, u32, u32, u32)| Origin::Pixels {
                frame: (first + number) as u32,
                rect: Rect { x0: x as f32, y0: y as f32, x1: (x + width) as f32, y1: (y + height) as f32 },
            };
            let start = bytes.len() as u64;
            let range = ByteRange::new(start, start + pixels.len() as u64);
            let parent = units.len();
            let unit = Unit::new("frame", range).at(origin((0, 0, *width, *height)));
            units.push(match delay_ms {
                Some(delay) => unit.named(format!("delay={delay}ms")),
                None => unit,
            });
            for tile in tiles(pixels, *width, *height, *bytes_per_pixel, self) {
                let start = bytes.len() as u64;
                for row in tile.y..tile.y + tile.height {
                    let first = (row as usize * *width as usize + tile.x as usize) * bytes_per_pixel;
                    bytes.extend_from_slice(&pixels[first..first + tile.width as usize * bytes_per_pixel]);
                }
                let range = ByteRange::new(start, bytes.len() as u64);
                let origin = origin((tile.x, tile.y, tile.width, tile.height));
                units.push(Unit::new("tile", range).at(origin).inside(parent));
            }
        }
        let n_frames = frames.len();
        let media_type = format!("image/x-raw; format={format}; width={width}; height={height}; frames={n_frames}");
        let view = View::owned("pixels", Modality::Image, media_type + conversion, bytes);
        Ok(View { units, ..view })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use blt_core::ViewData;
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8], format: &str) -> Result<Document, DecodeError> {
        let hint = Hint { format, ..Hint::default() };
        ImageDecoder::default().decode(&mut Cursor::new(bytes), &hint, &Limits::default())
    }

    /// The picture that the tiles of a frame make when each is put where it came from.
    fn reassembled(view: &View, width: usize, height: usize, bytes_per_pixel: usize) -> Vec<u8> {
        let ViewData::Owned(bytes) = &view.data else { panic!("pixels are made") };
        let mut picture = vec![0; width * height * bytes_per_pixel];
        for tile in view.units.iter().filter(|unit| unit.label == "tile") {
            let Some(Origin::Pixels { rect, .. }) = &tile.origin else { panic!("tiles have a place") };
            let (x, y, tile_width) = (rect.x0 as usize, rect.y0 as usize, (rect.x1 - rect.x0) as usize);
            let tile_bytes = &bytes[tile.range.start as usize..tile.range.end as usize];
            for (row, line) in tile_bytes.chunks(tile_width * bytes_per_pixel).enumerate() {
                let start = ((y + row) * width + x) * bytes_per_pixel;
                picture[start..start + line.len()].copy_from_slice(line);
            }
        }
        picture
    }

    proptest! {
        #[test]
        fn tiles_are_the_picture(width in 1usize..90, height in 1usize..90, seed: u64, plain: bool) {
            let pixels: Vec<u8> = (0..width * height * 3)
                .map(|i| if plain { 7 } else { (seed.wrapping_mul(i as u64 + 1) >> 32) as u8 })
                .collect();
            let mut file = format!("P6 {width} {height} 255\n").into_bytes();
            file.extend(&pixels);
            let document = decode(&file, "pnm").unwrap();
            let view = &document.views[0];
            prop_assert_eq!(view.check_units(pixels.len() as u64), Ok(()));
            prop_assert_eq!(reassembled(view, width, height, 3), pixels);
        }
    }

    #[test]
    fn plain_quarters_merge_and_busy_ones_do_not() {
        // 64 x 32: the left half is one colour, the right half is noise.
        let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
        let pixels =
            (0..64 * 32).flat_map(|i| if i % 64 < 32 { [9; 3] } else { [noise(i), noise(i + 7), noise(i * 3)] });
        let file: Vec<u8> = b"P6 64 32 255\n".iter().copied().chain(pixels).collect();
        let document = decode(&file, "pnm").unwrap();
        let mut sides: Vec<u32> = Vec::new();
        for tile in document.views[0].units.iter().filter(|unit| unit.label == "tile") {
            let Some(Origin::Pixels { rect, .. }) = &tile.origin else { panic!("tiles have a place") };
            sides.push((rect.x1 - rect.x0) as u32);
        }
        assert_eq!(sides, [32, 16, 16, 16, 16]);
    }

    #[test]
    fn sixteen_bits_stay_sixteen() {
        let file = b"P5 2 1 65535\n\x12\x34\xAB\xCD";
        let document = decode(file, "pnm").unwrap();
        assert!(document.views[0].media_type.contains("format=gray16le"), "{}", document.views[0].media_type);
        assert_eq!(document.views[0].data, ViewData::Owned(vec![0x34, 0x12, 0xCD, 0xAB]));
    }

    /// Three pictures of 2 x 1 pixels, each shown for a quarter of a second, by cjxl 0.7.
    const MOVING_JXL: &[u8] = b"\
        \xff\x0a\x00\x70\xc1\x00\x02\x8a\x4b\x02\x08\x02\xea\x0b\x00\x00\x54\x00\x4b\x12\xc5\x82\x85\x24\
        \x96\x80\x8d\x03\x20\x00\xb1\x81\x7d\x00\x54\x39\x7b\xcd\x0e\x08\x02\xea\x0b\x00\x00\x48\x00\x4b\
        \x12\xc5\x82\x85\x24\x56\xe9\x2a\xe3\x4a\x07\x40\xc2\xb1\x0f\x66\x0f\x08\x02\xea\x07\x00\x58\x00\
        \x4b\x12\xc5\x82\x85\x24\x96\x81\x8d\x13\x00\x10\x00\x1e\xc3\x07\x20\x86\x51\x6f\xb6\x3b";

    #[test]
    fn every_frame_of_a_jpeg_xl_animation_is_decoded() {
        let document = decode(MOVING_JXL, "jxl").unwrap();
        let view = &document.views[0];
        assert_eq!(view.media_type, "image/x-raw; format=rgb8; width=2; height=1; frames=3");
        let expected: Vec<u8> = (0..3).flat_map(|i| [100 * i, 20, 30, i, 2 * i, 255]).collect();
        assert_eq!(view.data, ViewData::Owned(expected));
        let frames = view.units.iter().filter(|unit| unit.label == "frame");
        assert_eq!(frames.map(|unit| unit.name.as_deref()).collect::<Vec<_>>(), [Some("delay=250ms"); 3]);
        // What is there of one that breaks off is kept, and that it does is told.
        let cut = decode(&MOVING_JXL[..MOVING_JXL.len() - 2], "jxl").unwrap();
        assert!(cut.views[0].media_type.ends_with("frames=2"), "{}", cut.views[0].media_type);
        assert_eq!(cut.problems, ["it ends before its last frame"]);
    }

    #[test]
    fn a_jpeg_xl_beyond_the_limits_is_refused() {
        for limits in [Limits { max_frames: 2, ..Limits::default() }, Limits { max_pixels: 1, ..Limits::default() }] {
            let hint = Hint { format: "jxl", ..Hint::default() };
            let refused = ImageDecoder::default().decode(&mut Cursor::new(MOVING_JXL), &hint, &limits);
            assert!(matches!(refused, Err(DecodeError::Limit { .. })), "{refused:?}");
        }
    }

    #[test]
    fn a_picture_with_too_many_pixels_is_refused_before_it_is_decoded() {
        // A PNG header of 60,000 x 60,000 pixels and no data.
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend(60_000u32.to_be_bytes());
        png.extend(60_000u32.to_be_bytes());
        png.extend([8, 2, 0, 0, 0]);
        let crc = {
            let mut crc = !0u32;
            for &byte in &png[12..] {
                crc ^= u32::from(byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
                }
            }
            !crc
        };
        png.extend(crc.to_be_bytes());
        png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
        let error = decode(&png, "png").unwrap_err().to_string();
        assert_eq!(error, "it has 3600000000 pixels, more than the limit of 100000000 (`--max-pixels`)");
    }

    #[test]
    fn damage_is_an_error() {
        assert!(decode(b"P6 20 20 255\nshort", "pnm").is_err());
        assert!(decode(b"", "png").is_err());
        assert!(decode(b"nothing", "").is_err());
    }
}
