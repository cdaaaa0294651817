"""Pictures. Odd sizes, so that tiles at the right and lower edges are smaller than the others."""

import io
import struct

import numpy
from PIL import Image

from environment import output

WIDTH, HEIGHT = 61, 45


def picture(phase=0):
    """Smooth colours, which lossy codecs keep well, with one hard edge: `[45, 61, 4]` bytes, alpha from 0 to 255."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    red = 40 + 3 * x
    green = 30 + 4 * y
    blue = 128 + 60 * numpy.sin((x + y + 9 * phase) / 9)
    alpha = numpy.where(x + phase < WIDTH // 3, 0, 255 - y)
    return numpy.stack([red, green, blue, alpha], axis=-1).clip(0, 255).astype(numpy.uint8)


def shown(phase=0, mode="RGB"):
    return Image.fromarray(picture(phase), "RGBA").convert(mode)


def saved(image, **options):
    return lambda path: image.save(path, **options)


def gray16():
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    return (x * 1000 + y * 37).astype(numpy.uint16)


def rgb16():
    base = gray16()
    return numpy.stack([base, base[::-1], base[:, ::-1]], axis=-1)


def clip(n_frames):
    """Frames with a moving square on a see-through ground, for GIF: no more than two kinds of alpha."""
    frames = []
    for number in range(n_frames):
        frame = Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0))
        frame.paste((200, 40 + 50 * number, 90, 255), (5 + 10 * number, 8, 20 + 10 * number, 30))
        frames.append(frame)
    return frames


def animation(frames, **options):
    return lambda path: frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, loop=0, **options)


def oriented_jpeg(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise to show
    shown().save(path, quality=95, subsampling=0, exif=exif)


def farbfeld(_):
    rgba = picture().astype(">u2") * 257
    return b"farbfeld" + struct.pack(">II", WIDTH, HEIGHT) + rgba.tobytes()


def radiance(_):
    """RGBE without run lengths; each pixel is a mantissa of 8 bits a channel and one exponent."""
    light = picture()[..., :3].astype(numpy.float64) / 64
    fraction, exponent = numpy.frexp(light.max(axis=-1))
    mantissa = (light * (256 * fraction / light.max(axis=-1))[..., None]).astype(numpy.uint8)
    rgbe = numpy.concatenate([mantissa, (exponent + 128).astype(numpy.uint8)[..., None]], axis=-1)
    return f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {HEIGHT} +X {WIDTH}\n".encode() + rgbe.tobytes()


def exr(path):
    import OpenEXR

    light = numpy.ascontiguousarray(picture()[..., :3].astype(numpy.float32) / 64)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": light}).write(str(path))


def tiff(pixels, **options):
    import tifffile

    return lambda path: tifffile.imwrite(path, pixels, metadata=None, **options)


def by_program(ending, *command):
    """Made of a PNG by a program; `IN` and `OUT` stand for the files."""

    def make(path):
        source = path.with_suffix(".source.png")
        shown().save(source)
        names = {"IN": source, "OUT": path}
        try:
            output(*[names.get(part, part) for part in command])
        finally:
            source.unlink()

    return make


def moving_jxl(path):
    source = path.with_suffix(".source.png")
    animation([frame.convert("RGB") for frame in clip(4)])(source)
    try:
        output("cjxl", source, path, "-d", "0")
    finally:
        source.unlink()


def make(fixtures):
    def add(name, maker, frames=1, width=WIDTH, height=HEIGHT, **facts):
        fixtures.add(name, "image", facts.pop("check", "image"), maker, frames=frames, width=width, height=height, **facts)

    palette = shown().quantize(16, dither=Image.Dither.NONE)
    pages = tiff(numpy.stack([picture(i)[..., :3] for i in range(3)]), photometric="rgb")
    add("rgb8.png", saved(shown()), exact=True)
    add("rgba8.png", saved(shown(mode="RGBA")), exact=True)
    add("gray8.png", saved(shown(mode="L")), exact=True)
    add("gray16.png", saved(Image.fromarray(gray16())), exact=True)
    add("palette.png", saved(palette), exact=True)
    add("animated.png", animation(clip(3)), frames=3, exact=True)
    add("rgb8.jpg", saved(shown(), quality=90), exact=False)
    add("gray8.jpg", saved(shown(mode="L"), quality=90), exact=False)
    add("oriented.jpg", oriented_jpeg, width=HEIGHT, height=WIDTH, exact=False)
    add("animated.gif", animation(clip(4), disposal=2), frames=4, exact=True)
    add("lossy.webp", saved(shown(), quality=90), exact=False)
    add("lossless.webp", saved(shown(mode="RGBA"), lossless=True, exact=True), exact=True)
    add("animated.webp", animation(clip(4), lossless=True), frames=4, exact=True)
    add("rgb8.bmp", saved(shown()), exact=True)
    add("rgb8.tiff", tiff(picture()[..., :3], photometric="rgb"), exact=True)
    add("rgb16.tiff", tiff(rgb16(), photometric="rgb", compression="zlib"), exact=True)
    add("pages.tiff", pages, frames=3, exact=True)
    add("rgba8.tga", saved(shown(mode="RGBA")), exact=True)
    icon = shown(mode="RGBA").resize((32, 32))
    add("icon.ico", saved(icon, sizes=[(16, 16), (32, 32)]), width=32, height=32, exact=True)
    add("rgb8.ppm", saved(shown()), exact=True)
    add("gray8.pgm", saved(shown(mode="L")), exact=True)
    add("rgba8.qoi", saved(shown(mode="RGBA")), exact=True)
    add("rgba16.ff", farbfeld, exact=True)
    add("light.hdr", radiance, exact=True)
    add("light.exr", exr, exact=True)
    # Blocks of 4 by 4 pixels; decoders of DXT1 and DXT5 may round the two colours between differently.
    block = shown(mode="RGBA").resize((64, 48))
    add("dxt5.dds", saved(block, pixel_format="DXT5"), width=64, height=48, exact=False)
    add("animated.jxl", moving_jxl, frames=4, exact=True)
    add("lossless.jxl", by_program("jxl", "cjxl", "IN", "OUT", "-d", "0"), exact=True)
    # No decoder of these two is promised: they must be known and keep their bytes.
    add("picture.avif", by_program("avif", "avifenc", "-j", "1", "IN", "OUT"), check="raw")
    add("picture.heic", by_program("heic", "heif-enc", "IN", "-o", "OUT"), check="raw")


def png_bytes(phase=0):
    """A small picture for other files to hold."""
    buffer = io.BytesIO()
    shown(phase).save(buffer, "PNG")
    return buffer.getvalue()
