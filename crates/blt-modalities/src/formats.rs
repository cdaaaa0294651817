//! The formats that are known, and how each is recognised.

use blt_core::Modality;
use file_format::FileFormat;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// A short name that does not change, like `png`.
    pub id: &'static str,
    /// What it holds.
    pub modality: Modality,
    /// Its media type.
    pub media_type: &'static str,
    /// Extensions of its files, without the dot.
    pub extensions: &'static [&'static str],
    /// Whether its files are recognised by their content; if not, by name.
    pub by_content: bool,
    /// Whether this build decodes it, or reads its bytes as they are.
    pub is_decoded: bool,
}

/// `(what the signature library calls it, format)`.
type Signature = (FileFormat, Format);

const fn decoded(
    id: &'static str,
    modality: Modality,
    media_type: &'static str,
    extensions: &'static [&'static str],
) -> Format {
    Format { id, modality, media_type, extensions, by_content: true, is_decoded: is_built_in(modality) }
}

const fn raw(
    id: &'static str,
    modality: Modality,
    media_type: &'static str,
    extensions: &'static [&'static str],
) -> Format {
    Format { is_decoded: false, ..decoded(id, modality, media_type, extensions) }
}

/// Whether this build has a decoder for the modality.
#[expect(clippy::match_like_matches_macro, reason = "which arms are true depends on the features")]
const fn is_built_in(modality: Modality) -> bool {
    match modality {
        Modality::Text => cfg!(feature = "text"),
        Modality::Code => cfg!(feature = "code"),
        Modality::Document => cfg!(feature = "document"),
        Modality::Pdf => cfg!(feature = "pdf"),
        Modality::Image => cfg!(feature = "image"),
        Modality::Audio => cfg!(feature = "audio"),
        Modality::Video => cfg!(feature = "video"),
        Modality::Archive => cfg!(feature = "archive"),
        Modality::Binary => cfg!(feature = "binary"),
        _ => false,
    }
}

use FileFormat as F;
use Modality::{Archive, Audio, Binary, Document, Image, Pdf, Text, Video};

/// Formats with a signature. What the library knows and this table does not is read as it is.
pub(crate) const SIGNATURES: &[Signature] = &[
    (F::PortableNetworkGraphics, decoded("png", Image, "image/png", &["png"])),
    (F::AnimatedPortableNetworkGraphics, decoded("apng", Image, "image/apng", &["apng", "png"])),
    (F::JointPhotographicExpertsGroup, decoded("jpeg", Image, "image/jpeg", &["jpg", "jpeg", "jpe", "jfif"])),
    (F::GraphicsInterchangeFormat, decoded("gif", Image, "image/gif", &["gif"])),
    (F::Webp, decoded("webp", Image, "image/webp", &["webp"])),
    (F::WindowsBitmap, decoded("bmp", Image, "image/bmp", &["bmp", "dib"])),
    (F::TagImageFileFormat, decoded("tiff", Image, "image/tiff", &["tif", "tiff"])),
    (F::WindowsIcon, decoded("ico", Image, "image/x-icon", &["ico"])),
    (F::PortableBitmap, decoded("pnm", Image, "image/x-portable-anymap", &["pbm", "pnm"])),
    (F::PortableGraymap, decoded("pnm", Image, "image/x-portable-anymap", &["pgm", "pnm"])),
    (F::PortablePixmap, decoded("pnm", Image, "image/x-portable-anymap", &["ppm", "pnm"])),
    (F::PortableArbitraryMap, decoded("pnm", Image, "image/x-portable-anymap", &["pam", "pnm"])),
    (F::QuiteOkImage, decoded("qoi", Image, "image/x-qoi", &["qoi"])),
    (F::RadianceHdr, decoded("hdr", Image, "image/vnd.radiance", &["hdr"])),
    (F::Farbfeld, decoded("farbfeld", Image, "image/x-farbfeld", &["ff"])),
    (F::MicrosoftDirectdrawSurface, decoded("dds", Image, "image/vnd-ms.dds", &["dds"])),
    (F::Openexr, decoded("exr", Image, "image/x-exr", &["exr"])),
    (F::JpegXl, decoded("jxl", Image, "image/jxl", &["jxl"])),
    (F::Av1ImageFileFormat, raw("avif", Image, "image/avif", &["avif"])),
    (F::Av1ImageFileFormatSequence, raw("avif", Image, "image/avif", &["avifs"])),
    (F::HighEfficiencyImageCoding, raw("heic", Image, "image/heic", &["heic"])),
    (F::HighEfficiencyImageFileFormat, raw("heif", Image, "image/heif", &["heif", "hif"])),
    (F::Jpeg2000Part1, raw("jp2", Image, "image/jp2", &["jp2", "jpx"])),
    (F::Jpeg2000Codestream, raw("j2k", Image, "image/x-jp2-codestream", &["j2k", "j2c"])),
    (F::AdobePhotoshopDocument, raw("psd", Image, "image/vnd.adobe.photoshop", &["psd"])),
    (F::EnhancedMetafile, raw("emf", Image, "image/emf", &["emf"])),
    (F::WindowsMetafile, raw("wmf", Image, "image/wmf", &["wmf"])),
    (F::AppleIconImage, raw("icns", Image, "image/x-icns", &["icns"])),
    (F::WaveformAudio, decoded("wav", Audio, "audio/wav", &["wav", "wave", "rf64"])),
    (F::AudioInterchangeFileFormat, decoded("aiff", Audio, "audio/aiff", &["aif", "aiff", "aifc"])),
    (F::FreeLosslessAudioCodec, decoded("flac", Audio, "audio/flac", &["flac"])),
    (F::Mpeg12AudioLayer3, decoded("mp3", Audio, "audio/mpeg", &["mp3"])),
    (F::Mpeg12AudioLayer2, decoded("mp2", Audio, "audio/mpeg", &["mp2", "mpa"])),
    (F::Id3v2, decoded("mp3", Audio, "audio/mpeg", &["mp3"])),
    (F::OggVorbis, decoded("ogg", Audio, "audio/ogg", &["ogg", "oga"])),
    (F::OggFlac, decoded("ogg", Audio, "audio/ogg", &["oga", "ogg"])),
    (F::OggOpus, decoded("opus", Audio, "audio/opus", &["opus"])),
    (F::OggSpeex, decoded("speex", Audio, "audio/x-speex", &["spx"])),
    (F::AppleItunesAudio, decoded("m4a", Audio, "audio/mp4", &["m4a"])),
    (F::AppleItunesAudiobook, decoded("m4a", Audio, "audio/mp4", &["m4b"])),
    (F::Mpeg4Part14Audio, decoded("m4a", Audio, "audio/mp4", &["m4a", "mp4"])),
    (F::AdvancedAudioCoding, decoded("aac", Audio, "audio/aac", &["aac"])),
    (F::MatroskaAudio, decoded("mka", Audio, "audio/x-matroska", &["mka"])),
    (F::AudioCodec3, decoded("ac3", Audio, "audio/ac3", &["ac3", "eac3"])),
    (F::WindowsMediaAudio, decoded("wma", Audio, "audio/x-ms-wma", &["wma"])),
    (F::Wavpack, decoded("wavpack", Audio, "audio/x-wavpack", &["wv"])),
    (F::MonkeysAudio, decoded("ape", Audio, "audio/x-ape", &["ape"])),
    (F::Musepack, decoded("musepack", Audio, "audio/x-musepack", &["mpc"])),
    (F::SonyDsdStreamFile, decoded("dsf", Audio, "audio/x-dsf", &["dsf"])),
    (F::AdaptiveMultiRate, decoded("amr", Audio, "audio/amr", &["amr"])),
    (F::Au, decoded("au", Audio, "audio/basic", &["au", "snd"])),
    (F::MusicalInstrumentDigitalInterface, raw("midi", Audio, "audio/midi", &["mid", "midi"])),
    (F::Mpeg4Part14Video, decoded("mp4", Video, "video/mp4", &["mp4", "m4v"])),
    (F::Mpeg4Part14, decoded("mp4", Video, "video/mp4", &["mp4", "m4v"])),
    (F::AppleItunesVideo, decoded("mp4", Video, "video/mp4", &["m4v"])),
    (F::AppleQuicktime, decoded("mov", Video, "video/quicktime", &["mov", "qt"])),
    (F::MatroskaVideo, decoded("mkv", Video, "video/x-matroska", &["mkv"])),
    (F::Webm, decoded("webm", Video, "video/webm", &["webm"])),
    (F::AudioVideoInterleave, decoded("avi", Video, "video/x-msvideo", &["avi"])),
    (F::Mpeg12Video, decoded("mpeg", Video, "video/mpeg", &["mpg", "mpeg"])),
    (F::Mpeg2TransportStream, decoded("mpegts", Video, "video/mp2t", &["ts", "mts"])),
    (F::BdavMpeg2TransportStream, decoded("mpegts", Video, "video/mp2t", &["m2ts", "mts"])),
    (F::OggTheora, decoded("ogv", Video, "video/ogg", &["ogv"])),
    (F::OggMedia, decoded("ogv", Video, "video/ogg", &["ogm"])),
    (F::FlashVideo, decoded("flv", Video, "video/x-flv", &["flv"])),
    (F::WindowsMediaVideo, decoded("wmv", Video, "video/x-ms-asf", &["wmv"])),
    (F::AdvancedSystemsFormat, decoded("wmv", Video, "video/x-ms-asf", &["asf"])),
    (F::ThirdGenerationPartnershipProject, decoded("3gp", Video, "video/3gpp", &["3gp"])),
    (F::ThirdGenerationPartnershipProject2, decoded("3gp", Video, "video/3gpp2", &["3g2"])),
    (F::PortableDocumentFormat, decoded("pdf", Pdf, "application/pdf", &["pdf"])),
    (F::ExecutableAndLinkableFormat, decoded("elf", Binary, "application/x-executable", &["elf", "o", "so"])),
    (F::PortableExecutable, decoded("pe", Binary, "application/vnd.microsoft.portable-executable", &["exe", "sys"])),
    (F::DynamicLinkLibrary, decoded("pe", Binary, "application/vnd.microsoft.portable-executable", &["dll"])),
    (F::MachO, decoded("mach-o", Binary, "application/x-mach-binary", &["dylib", "macho"])),
    (F::CommonObjectFileFormat, decoded("coff", Binary, "application/x-coff", &["obj"])),
    (F::UnixArchiver, decoded("ar", Binary, "application/x-archive", &["a", "lib"])),
    (F::WebassemblyBinary, decoded("wasm", Binary, "application/wasm", &["wasm"])),
    (F::JavaClass, raw("class", Binary, "application/java-vm", &["class"])),
    (F::Truetype, raw("ttf", Binary, "font/ttf", &["ttf"])),
    (F::Opentype, raw("otf", Binary, "font/otf", &["otf"])),
    (F::WebOpenFontFormat, raw("woff", Binary, "font/woff", &["woff"])),
    (F::WebOpenFontFormat2, raw("woff2", Binary, "font/woff2", &["woff2"])),
    (F::Sqlite3, raw("sqlite", Binary, "application/vnd.sqlite3", &["sqlite", "db"])),
    (F::Zip, decoded("zip", Archive, "application/zip", &["zip"])),
    (F::JavaArchive, decoded("zip", Archive, "application/java-archive", &["jar"])),
    (F::AndroidPackage, decoded("zip", Archive, "application/vnd.android.package-archive", &["apk"])),
    (F::Xpinstall, decoded("zip", Archive, "application/x-xpinstall", &["xpi"])),
    (F::TapeArchive, decoded("tar", Archive, "application/x-tar", &["tar"])),
    (F::Gzip, decoded("gzip", Archive, "application/gzip", &["gz", "tgz"])),
    (F::Zstandard, decoded("zstd", Archive, "application/zstd", &["zst"])),
    (F::SevenZip, decoded("7z", Archive, "application/x-7z-compressed", &["7z"])),
    (F::Iso9660, raw("iso", Archive, "application/x-iso9660-image", &["iso"])),
    (F::Bzip2, decoded("bzip2", Archive, "application/x-bzip2", &["bz2", "tbz2", "tbz"])),
    (F::Xz, decoded("xz", Archive, "application/x-xz", &["xz", "txz"])),
    (F::Lz4, decoded("lz4", Archive, "application/x-lz4", &["lz4"])),
    (F::RoshalArchive, raw("rar", Archive, "application/vnd.rar", &["rar"])),
    (F::Cabinet, raw("cab", Archive, "application/vnd.ms-cab-compressed", &["cab"])),
    (F::OfficeOpenXmlDocument, decoded("docx", Document, DOCX, &["docx"])),
    (F::OfficeOpenXmlPresentation, decoded("pptx", Document, PPTX, &["pptx"])),
    (F::OfficeOpenXmlSpreadsheet, decoded("xlsx", Document, XLSX, &["xlsx", "xlsm"])),
    (F::OpendocumentText, decoded("odt", Document, "application/vnd.oasis.opendocument.text", &["odt"])),
    (
        F::OpendocumentPresentation,
        decoded("odp", Document, "application/vnd.oasis.opendocument.presentation", &["odp"]),
    ),
    (F::OpendocumentSpreadsheet, decoded("ods", Document, "application/vnd.oasis.opendocument.spreadsheet", &["ods"])),
    (F::MicrosoftExcelSpreadsheet, decoded("xls", Document, "application/vnd.ms-excel", &["xls"])),
    (F::ElectronicPublication, decoded("epub", Document, "application/epub+zip", &["epub"])),
    (F::ApacheParquet, decoded("parquet", Document, "application/vnd.apache.parquet", &["parquet"])),
    (F::MicrosoftWordDocument, raw("doc", Document, "application/msword", &["doc"])),
    (F::MicrosoftPowerpointPresentation, raw("ppt", Document, "application/vnd.ms-powerpoint", &["ppt"])),
    (F::RichTextFormat, decoded("rtf", Document, "application/rtf", &["rtf"])),
    (F::ApacheArrowColumnar, raw("arrow", Document, "application/vnd.apache.arrow.file", &["arrow", "feather"])),
];

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Formats that are text and have a structure of their own. Those that are not told by their content are told by name.
pub(crate) const TEXT_DOCUMENTS: &[Format] = &[
    decoded("html", Document, "text/html", &["html", "htm", "xhtml"]),
    decoded("eml", Document, "message/rfc822", &["eml"]),
    decoded("warc", Document, "application/warc", &["warc"]),
    Format { by_content: false, ..decoded("csv", Document, "text/csv", &["csv"]) },
    Format { by_content: false, ..decoded("tsv", Document, "text/tab-separated-values", &["tsv", "tab"]) },
    Format { by_content: false, ..decoded("jsonl", Document, "application/jsonl", &["jsonl", "ndjson"]) },
];

/// Formats without a signature that tell themselves by their name alone.
pub(crate) const NAMED: &[Format] =
    &[Format { by_content: false, ..decoded("tga", Image, "image/x-tga", &["tga", "icb", "vda", "vst"]) }];

/// Text of no other format.
pub(crate) const TEXT: Format = decoded("text", Text, "text/plain", &["txt", "text", "log"]);

/// Bytes of no other format.
pub(crate) const BYTES: Format =
    Format { by_content: true, is_decoded: false, ..decoded("bytes", Binary, "application/octet-stream", &[]) };

/// Every format, languages of source code last. A format that has several signatures comes once, with all its extensions'
/// first row.
pub fn formats() -> Vec<Format> {
    let mut formats: Vec<Format> = vec![TEXT];
    let tables = SIGNATURES.iter().map(|(_, format)| format).chain(TEXT_DOCUMENTS).chain(NAMED);
    for format in tables {
        if !formats.iter().any(|known| known.id == format.id) {
            formats.push(*format);
        }
    }
    #[cfg(feature = "code")]
    formats.extend(blt_modalities_code::LANGUAGES.iter().map(language_format));
    formats.push(BYTES);
    formats
}

/// A language of source code as a format.
#[cfg(feature = "code")]
pub(crate) fn language_format(language: &blt_modalities_code::Language) -> Format {
    Format { by_content: false, ..decoded(language.id, Modality::Code, language.media_type, language.extensions) }
}
