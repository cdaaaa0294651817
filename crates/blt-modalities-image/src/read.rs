//! Reading picture files.

use std::collections::HashSet;
use std::io::{BufReader, Cursor, SeekFrom};

use blt_core::{DecodeError, Limits, Modality, SourceReader, read_whole};
use image::codecs::{dds::DdsDecoder, gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::metadata::Orientation;
use image::{AnimationDecoder, DynamicImage, Frames, ImageError, ImageFormat, ImageReader};

/// A decoded picture.
pub(crate) struct Picture {
    /// Of an animation all have one size, pages may differ.
    pub(crate) frames: Vec<Frame>,
    /// Channels and number type, like `rgb8`.
    pub(crate) format: &'static str,
    pub(crate) bytes_per_pixel: usize,
    /// What was changed, as parameters of a media type.
    pub(crate) conversion: String,
    /// What was left out.
    pub(crate) problems: Vec<String>,
}

/// One frame, row by row from the upper left.
pub(crate) struct Frame {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: Vec<u8>,
    /// How long it is shown, in a moving picture.
    pub(crate) delay_ms: Option<u32>,
}

/// Reads the pictures, whose format detection calls `format`. There are several only where pages differ in their pixels.
pub(crate) fn read(
    source: &mut dyn SourceReader,
    format: &str,
    max_side: Option<u32>,
    limits: &Limits,
) -> Result<Vec<Picture>, DecodeError> {
    if format == "tiff" {
        return pages(&read_whole(source, limits)?, max_side, limits);
    }
    if format == "jxl" {
        return Ok(vec![crate::jxl::read(&read_whole(source, limits)?, max_side, limits)?]);
    }
    source.seek(SeekFrom::Start(0))?;
    let source = BufReader::new(source);
    let picture = match format {
        "gif" => {
            let decoder = GifDecoder::new(source).map_err(refused)?;
            let size = checked_size(&decoder, limits)?;
            animation(decoder.into_frames(), size, max_side, limits)
        }
        "apng" => {
            let decoder = PngDecoder::with_limits(source, decoder_limits(limits)).map_err(refused)?;
            let size = checked_size(&decoder, limits)?;
            animation(decoder.apng().map_err(refused)?.into_frames(), size, max_side, limits)
        }
        "webp" => {
            let mut decoder = WebPDecoder::new(source).map_err(refused)?;
            let size = checked_size(&decoder, limits)?;
            if decoder.has_animation() {
                // Without one the decoder does not clear what a frame asks to be cleared.
                decoder.set_background_color(image::Rgba([0; 4])).map_err(refused)?;
                animation(decoder.into_frames(), size, max_side, limits)
            } else {
                still(decoder, max_side, limits)
            }
        }
        "dds" => still(DdsDecoder::new(source).map_err(refused)?, max_side, limits),
        _ => {
            let mut reader = match image_format(format) {
                Some(format) => ImageReader::with_format(source, format),
                None => ImageReader::new(source).with_guessed_format()?,
            };
            reader.limits(decoder_limits(limits));
            still(reader.into_decoder().map_err(refused)?, max_side, limits)
        }
    }?;
    Ok(vec![picture])
}

fn image_format(format: &str) -> Option<ImageFormat> {
    Some(match format {
        "png" => ImageFormat::Png,
        "jpeg" => ImageFormat::Jpeg,
        "bmp" => ImageFormat::Bmp,
        "tga" => ImageFormat::Tga,
        "ico" => ImageFormat::Ico,
        "pnm" => ImageFormat::Pnm,
        "qoi" => ImageFormat::Qoi,
        "hdr" => ImageFormat::Hdr,
        "farbfeld" => ImageFormat::Farbfeld,
        "exr" => ImageFormat::OpenExr,
        _ => return None,
    })
}

fn refused(error: ImageError) -> DecodeError {
    DecodeError::Content { modality: Modality::Image, reason: error.to_string() }
}

fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut decoder_limits = image::Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.max_memory / 2);
    decoder_limits
}

/// The size that the file claims, if it is within the limits.
fn checked_size(decoder: &impl image::ImageDecoder, limits: &Limits) -> Result<(u32, u32), DecodeError> {
    let (width, height) = decoder.dimensions();
    limits.check_pixels(u64::from(width), u64::from(height))?;
    if decoder.total_bytes() > limits.max_view_bytes {
        return Err(DecodeError::ViewTooLarge { view: "pixels", limit: limits.max_view_bytes });
    }
    Ok((width, height))
}

/// A picture that does not move.
fn still(
    mut decoder: impl image::ImageDecoder,
    max_side: Option<u32>,
    limits: &Limits,
) -> Result<Picture, DecodeError> {
    checked_size(&decoder, limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(refused)?;
    image.apply_orientation(orientation);
    let mut conversion = match orientation {
        Orientation::NoTransforms => String::new(),
        applied => format!("; orientation={}", applied.to_exif()),
    };
    let image = scaled(image, max_side, &mut conversion);
    let (format, bytes_per_pixel) = pixel_format(&image)?;
    let (width, height) = (image.width(), image.height());
    let frame = Frame { width, height, pixels: little_endian(image), delay_ms: None };
    Ok(Picture { frames: vec![frame], format, bytes_per_pixel, conversion, problems: Vec::new() })
}

/// A moving picture; its frames come composed, with an alpha channel. A frame that is damaged ends it.
fn animation(
    frames: Frames<'_>,
    size: (u32, u32),
    max_side: Option<u32>,
    limits: &Limits,
) -> Result<Picture, DecodeError> {
    let mut kept = Vec::new();
    let (mut conversion, mut problems) = (String::new(), Vec::new());
    let (mut n_bytes, mut scale) = (0, Some(String::new()));
    for frame in frames {
        let number = kept.len() as u64 + 1;
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if kept.is_empty() => return Err(refused(error)),
            Err(error) => {
                problems.push(format!("frame {number} and all after it could not be decoded: {error}"));
                break;
            }
        };
        limits.check("frames", number, limits.max_frames, "--max-frames")?;
        let (numerator, denominator) = frame.delay().numer_denom_ms();
        let image = DynamicImage::ImageRgba8(frame.into_buffer());
        if (image.width(), image.height()) != size {
            let reason = format!("frame {number} has another size than the picture");
            return Err(DecodeError::Content { modality: Modality::Image, reason });
        }
        let mut scaling = String::new();
        let image = scaled(image, max_side, &mut scaling);
        conversion.push_str(&scale.take().map(|_| scaling).unwrap_or_default());
        let (width, height) = (image.width(), image.height());
        let pixels = little_endian(image);
        n_bytes += pixels.len() as u64;
        if n_bytes > limits.max_view_bytes {
            return Err(DecodeError::ViewTooLarge { view: "pixels", limit: limits.max_view_bytes });
        }
        kept.push(Frame { width, height, pixels, delay_ms: Some(numerator / denominator.max(1)) });
    }
    if kept.is_empty() {
        return Err(DecodeError::Content { modality: Modality::Image, reason: "it has no frames".to_owned() });
    }
    Ok(Picture { frames: kept, format: "rgba8", bytes_per_pixel: 4, conversion, problems })
}

pub(crate) fn scaled(image: DynamicImage, max_side: Option<u32>, conversion: &mut String) -> DynamicImage {
    let (width, height) = (image.width(), image.height());
    match max_side {
        Some(side) if width.max(height) > side => {
            conversion.push_str(&format!("; scaled-from={width}x{height}"));
            image.thumbnail(side, side)
        }
        _ => image,
    }
}

pub(crate) fn pixel_format(image: &DynamicImage) -> Result<(&'static str, usize), DecodeError> {
    Ok(match image {
        DynamicImage::ImageLuma8(_) => ("gray8", 1),
        DynamicImage::ImageLumaA8(_) => ("graya8", 2),
        DynamicImage::ImageRgb8(_) => ("rgb8", 3),
        DynamicImage::ImageRgba8(_) => ("rgba8", 4),
        DynamicImage::ImageLuma16(_) => ("gray16le", 2),
        DynamicImage::ImageLumaA16(_) => ("graya16le", 4),
        DynamicImage::ImageRgb16(_) => ("rgb16le", 6),
        DynamicImage::ImageRgba16(_) => ("rgba16le", 8),
        DynamicImage::ImageRgb32F(_) => ("rgbf32le", 12),
        DynamicImage::ImageRgba32F(_) => ("rgbaf32le", 16),
        _ => {
            let reason = "its pixels are of an unknown kind".to_owned();
            return Err(DecodeError::Content { modality: Modality::Image, reason });
        }
    })
}

/// The picture's bytes; numbers of several bytes with the lowest first.
pub(crate) fn little_endian(image: DynamicImage) -> Vec<u8> {
    let n_bytes_a_number = usize::from(image.color().bytes_per_pixel() / image.color().channel_count());
    let mut bytes = image.into_bytes();
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(n_bytes_a_number.max(1)).for_each(<[u8]>::reverse);
    }
    bytes
}

/// The pages of a TIFF file. The decoder reads the first one, so it is shown the file as it would be if each page in turn
/// were that (TIFF 6.0, section 2).
fn pages(file: &[u8], max_side: Option<u32>, limits: &Limits) -> Result<Vec<Picture>, DecodeError> {
    let decode = |file: &[u8]| {
        let mut reader = ImageReader::with_format(Cursor::new(file), ImageFormat::Tiff);
        reader.limits(decoder_limits(limits));
        still(reader.into_decoder().map_err(refused)?, max_side, limits)
    };
    let mut pictures = vec![decode(file)?];
    let mut turned = file.to_vec();
    let mut n_bytes = 0;
    for (index, directory) in further_directories(file, limits)?.into_iter().enumerate() {
        turned[4..8].copy_from_slice(&directory);
        match decode(&turned) {
            Ok(page) => {
                n_bytes += page.frames.iter().map(|frame| frame.pixels.len() as u64).sum::<u64>();
                if n_bytes > limits.max_view_bytes {
                    return Err(DecodeError::ViewTooLarge { view: "pixels", limit: limits.max_view_bytes });
                }
                match pictures
                    .last_mut()
                    .filter(|last| (last.format, &last.conversion) == (page.format, &page.conversion))
                {
                    Some(last) => last.frames.extend(page.frames),
                    None => pictures.push(page),
                }
            }
            Err(error) => pictures[0].problems.push(format!("page {}: {error}", index + 2)),
        }
    }
    Ok(pictures)
}

/// Where the directories after the first lie, as the file writes it. A chain that comes back to itself ends there.
fn further_directories(file: &[u8], limits: &Limits) -> Result<Vec<[u8; 4]>, DecodeError> {
    let is_little = file.starts_with(b"II*\0");
    if !is_little && !file.starts_with(b"MM\0*") {
        return Ok(Vec::new()); // BigTIFF, whose places have eight bytes
    }
    let number = |bytes: &[u8]| {
        bytes.iter().enumerate().fold(0usize, |sum, (i, &byte)| {
            sum | usize::from(byte) << (8 * if is_little { i } else { bytes.len() - 1 - i })
        })
    };
    let next = |place: [u8; 4]| {
        let start = number(&place);
        let n_entries = number(file.get(start..start.checked_add(2)?)?);
        let end = start.checked_add(2 + n_entries * 12)?;
        file.get(end..end.checked_add(4)?)?.first_chunk::<4>().copied().filter(|next| *next != [0; 4])
    };
    let mut place = file.get(4..8).and_then(|place| place.first_chunk::<4>()).copied();
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    while let Some(here) = place.filter(|place| seen.insert(*place)) {
        limits.check("pages", seen.len() as u64, limits.max_pages, "--max-pages")?;
        found.push(here);
        place = next(here);
    }
    Ok(found.split_off(found.len().min(1)))
}
