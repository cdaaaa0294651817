//! JPEG XL pictures, moving ones too (ISO/IEC 18181-1 and -2).

use blt_core::{DecodeError, Limits, Modality};
use image::{DynamicImage, ImageBuffer, Pixel};
use jxl_oxide::image::BitDepth;
use jxl_oxide::{
    AllocTracker, EnumColourEncoding, FrameBufferSample, InitializeResult, JxlImage, Render, RenderingIntent,
};

use crate::read::{Frame, Picture, little_endian, pixel_format, scaled};

/// So much of a file is parsed at once until its size is known.
const PIECE: usize = 4096;

/// All frames. The orientation that the codestream asks for is applied; that of EXIF says the same and does not count.
pub(crate) fn read(file: &[u8], max_side: Option<u32>, limits: &Limits) -> Result<Picture, DecodeError> {
    let mut image = load(file, limits)?;
    if image.pixel_format().has_black() {
        image.request_color_encoding(EnumColourEncoding::srgb(RenderingIntent::Relative));
    }
    let n_frames = image.num_loaded_keyframes();
    if n_frames == 0 {
        return Err(refused("it has no whole frame"));
    }
    limits.check("frames", n_frames as u64, limits.max_frames, "--max-frames")?;
    let depth = Depth::of(&image);
    let mut picture = Picture {
        frames: Vec::new(),
        format: "",
        bytes_per_pixel: 0,
        conversion: String::new(),
        problems: if image.is_loading_done() { Vec::new() } else { vec!["it ends before its last frame".to_owned()] },
    };
    let mut n_bytes = 0;
    for index in 0..n_frames {
        let frame =
            image.render_frame(index).map_err(refused).and_then(|render| Ok((dynamic(&render, depth)?, render)));
        let (decoded, render) = match frame {
            Ok(frame) => frame,
            Err(error) if index == 0 => return Err(error),
            Err(error) => {
                picture.problems.push(format!("frame {} and all after it: {error}", index + 1));
                break;
            }
        };
        let mut conversion = String::new();
        let decoded = scaled(decoded, max_side, &mut conversion);
        (picture.format, picture.bytes_per_pixel) = pixel_format(&decoded)?;
        picture.conversion = conversion;
        let (width, height, pixels) = (decoded.width(), decoded.height(), little_endian(decoded));
        n_bytes += pixels.len() as u64;
        if n_bytes > limits.max_view_bytes {
            return Err(DecodeError::ViewTooLarge { view: "pixels", limit: limits.max_view_bytes });
        }
        picture.frames.push(Frame { width, height, pixels, delay_ms: delay_ms(&image, render.duration()) });
    }
    Ok(picture)
}

/// The file with all frames that are whole, none of them rendered; its size is within the limits.
fn load(file: &[u8], limits: &Limits) -> Result<JxlImage, DecodeError> {
    let max_memory = usize::try_from(limits.max_memory / 2).unwrap_or(usize::MAX);
    let mut header = JxlImage::builder().alloc_tracker(AllocTracker::with_limit(max_memory)).build_uninit();
    let (mut n_fed, mut n_seen) = (0, 0);
    let mut image = loop {
        if n_seen == file.len() {
            return Err(refused("it ends inside its header"));
        }
        n_seen = (n_seen + PIECE).min(file.len());
        n_fed += header.feed_bytes(&file[n_fed..n_seen]).map_err(refused)?;
        match header.try_init().map_err(refused)? {
            InitializeResult::NeedMoreData(more) => header = more,
            InitializeResult::Initialized(image) => break image,
        }
    };
    limits.check_pixels(u64::from(image.width()), u64::from(image.height()))?;
    while !image.is_loading_done() && n_seen < file.len() {
        n_seen = (n_seen + PIECE).min(file.len());
        n_fed += image.feed_bytes(&file[n_fed..n_seen]).map_err(refused)?;
        // An animation is refused before all of it is in memory.
        limits.check("frames", image.num_loaded_keyframes() as u64, limits.max_frames, "--max-frames")?;
    }
    Ok(image)
}

/// How long a frame of so many ticks is shown; `None` in a picture that does not move.
fn delay_ms(image: &JxlImage, n_ticks: u32) -> Option<u32> {
    let animation = image.image_header().metadata.animation.as_ref()?;
    let numerator = u64::from(animation.tps_numerator.max(1));
    let ms = u64::from(n_ticks) * 1000 * u64::from(animation.tps_denominator) / numerator;
    Some(u32::try_from(ms).unwrap_or(u32::MAX))
}

/// The numbers that hold a sample.
#[derive(Clone, Copy)]
enum Depth {
    Eight,
    Sixteen,
    Float,
}

impl Depth {
    fn of(image: &JxlImage) -> Self {
        match image.image_header().metadata.bit_depth {
            BitDepth::IntegerSample { bits_per_sample: ..=8 } => Depth::Eight,
            BitDepth::IntegerSample { bits_per_sample: ..=16 } => Depth::Sixteen,
            // There are no pictures of grey floats.
            _ if image.pixel_format().is_grayscale() => Depth::Sixteen,
            _ => Depth::Float,
        }
    }
}

fn dynamic(render: &Render, depth: Depth) -> Result<DynamicImage, DecodeError> {
    use DynamicImage as Dynamic;
    let n_channels = render.stream().channels();
    match (depth, n_channels) {
        (Depth::Eight, 1) => buffer(render).map(Dynamic::ImageLuma8),
        (Depth::Eight, 2) => buffer(render).map(Dynamic::ImageLumaA8),
        (Depth::Eight, 3) => buffer(render).map(Dynamic::ImageRgb8),
        (Depth::Eight, 4) => buffer(render).map(Dynamic::ImageRgba8),
        (Depth::Sixteen, 1) => buffer(render).map(Dynamic::ImageLuma16),
        (Depth::Sixteen, 2) => buffer(render).map(Dynamic::ImageLumaA16),
        (Depth::Sixteen, 3) => buffer(render).map(Dynamic::ImageRgb16),
        (Depth::Sixteen, 4) => buffer(render).map(Dynamic::ImageRgba16),
        (Depth::Float, 3) => buffer(render).map(Dynamic::ImageRgb32F),
        (Depth::Float, 4) => buffer(render).map(Dynamic::ImageRgba32F),
        _ => Err(refused(format!("its {n_channels} channels have no form among ours"))),
    }
}

fn buffer<P>(render: &Render) -> Result<ImageBuffer<P, Vec<P::Subpixel>>, DecodeError>
where
    P: Pixel<Subpixel: FrameBufferSample + Default>,
{
    let mut stream = render.stream();
    let (width, height) = (stream.width(), stream.height());
    let mut samples = vec![P::Subpixel::default(); width as usize * height as usize * stream.channels() as usize];
    stream.write_to_buffer(&mut samples);
    ImageBuffer::from_raw(width, height, samples).ok_or_else(|| refused("a frame has another size than it says"))
}

fn refused(reason: impl ToString) -> DecodeError {
    DecodeError::Content { modality: Modality::Image, reason: reason.to_string() }
}
