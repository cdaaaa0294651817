"""How far a decoder may differ from the independent tools, and why. The only place to loosen a check."""

# Modalities that are as good as the one in `expected.json`, by the name of the check or of the file.
ALSO = {
    "markup": {"text", "document"},
    "json": {"code", "text"},
    "jsonl": {"code", "text"},
    "xml": {"code", "text"},
    "html": {"code"},
    "warc": {"archive"},
    "empty": {"binary", "document"},
    "compressed": {"binary", "text"},
}

# Languages whose grammars are not in the default build.
NO_GRAMMAR = {".cs", ".kt", ".swift"}

# Mean difference of pixels in steps of 8 bits, where the format is not lossless: decoders differ in how they upsample and
# round. Measured between the tools here it is below 1 for JPEG and WebP.
LOSSY_PIXELS = 2.0
FILM_PIXELS = 6.0  # the matrix from YUV to RGB is a choice of the decoder where the file names none
COMPOSED_PIXELS = 0.2  # the library rounds where it lays one frame of a WebP animation over another
# Largest share by which light (HDR, EXR) may differ; RGBE has 8 bits of mantissa.
LIGHT = 0.01

# How many samples a decoder may give more or less than the sound has or ffmpeg gives; either is accepted. Codecs with frames of
# 1024 or more samples add silence at the end (and the start) that not every container lets a decoder cut.
SAMPLES = {"m4a": 1023, "aac": 1024, "ac3": 1792, "wma": 4096, "opus": 960, "mp4": 1023, "mov": 1023, "avi": 2400, "webm": 960}
LOSSLESS_SOUND = 1 / 32768  # largest difference of a sample where 16 bits or more survive
LOSSY_SOUND = 0.02  # mean difference of a lossy sound, of tones with amplitudes 0.3 and 0.4

PDF_F1 = 0.9
# (least recall, least precision) of words against the other reader. Less precision where ours may say more than it: titles,
# mail headers, names of sheets.
WORDS = {
    "rtf": (1.0, 1.0),
    "docx": (0.98, 0.9),
    "pptx": (0.98, 0.8),
    "odt": (0.98, 0.8),
    "epub": (0.98, 0.7),
    "html": (0.95, 0.9),
    "eml": (0.98, 0.0),
    "xml": (0.9, 0.0),
    "json": (1.0, 0.0),
}

FUNCTIONS = 0.9  # least share of an ELF file's functions that are units
FILE_ALIGNMENT = 512  # a PE section ends at its own size or at the next multiple
