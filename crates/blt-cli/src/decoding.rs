//! The arguments that say how sources are decoded, and the decoders and limits they make.

use std::path::PathBuf;

use blt_core::{Limits, Modality, Views};
use blt_modalities::{
    ArchiveDecoder, AudioDecoder, Channels, DocumentDecoder, ImageDecoder, Isolate, Isolation, Modalities, PdfDecoder,
    PdfMode, TextDecoder, TextSegments, VideoDecoder,
};
use clap::{Args, ValueEnum};

use crate::failure::Failure;

/// What the decoders are when nothing is asked for; the help shows these numbers.
fn defaults() -> Limits {
    Limits::default()
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Decoding")]
pub(crate) struct DecodingArgs {
    /// Read every source as this
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) modality: ModalityArg,
    /// What the model reads of everything but text and PDF: the file's bytes, what the decoder makes of them, or both
    #[arg(long, value_enum, default_value = "decoded")]
    pub(crate) views: ViewsArg,
    /// Units inside texts [default: none]
    #[arg(long, value_enum)]
    pub(crate) text_segments: Option<SegmentsArg>,
    /// Tokenizer file for `--text-segments tokens` and `--rule bpe`
    #[cfg(feature = "tokenizers")]
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Views of texts: the file's bytes, the text in UTF-8, or both [default: raw]
    #[arg(long, value_enum)]
    pub(crate) text_views: Option<ViewsArg>,
    /// What the model reads of a PDF [default: text_only]
    #[arg(long, value_enum, conflicts_with = "multiview_pdf")]
    pub(crate) pdf_mode: Option<PdfModeArg>,
    /// Read PDF files as bytes, text, pages and pictures
    #[arg(long)]
    pub(crate) multiview_pdf: bool,
    /// Try this for encrypted PDF files
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) password: Vec<String>,
    /// Read sound and films as bytes
    #[arg(long)]
    pub(crate) no_audio_video: bool,
    /// Layout of the channels of sound
    #[arg(long, value_enum, default_value = "interleaved")]
    pub(crate) audio_channels: ChannelsArg,
    /// Bring sound to so many samples a second
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1_000..=768_000))]
    pub(crate) sample_rate: Option<u32>,
    /// Read so many frames of a film a second instead of all
    #[arg(long, value_name = "N", value_parser = fps)]
    pub(crate) video_fps: Option<f32>,
    /// Scale pictures and films down until no side is longer [default: none for pictures, 128 for films]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub(crate) max_side: Option<u32>,
    /// Do not decode the pictures and attachments inside documents
    #[arg(long)]
    pub(crate) no_embedded: bool,
    /// Which decoders run in a process of their own, with limits on memory and time
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) isolate: IsolateArg,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Refuse sources larger than this
    #[arg(long, value_name = "BYTES", default_value_t = defaults().max_bytes)]
    pub(crate) max_bytes: u64,
    /// Refuse views larger than this that are made in memory
    #[arg(long, value_name = "BYTES", default_value_t = defaults().max_view_bytes)]
    pub(crate) max_view_bytes: u64,
    /// Refuse pictures with more pixels
    #[arg(long, value_name = "N", default_value_t = defaults().max_pixels)]
    pub(crate) max_pixels: u64,
    /// Refuse films and animations with more frames
    #[arg(long, value_name = "N", default_value_t = defaults().max_frames)]
    pub(crate) max_frames: u64,
    /// Refuse documents with more pages
    #[arg(long, value_name = "N", default_value_t = defaults().max_pages)]
    pub(crate) max_pages: u64,
    /// Refuse sounds and films that are longer
    #[arg(long, value_name = "SECONDS", default_value_t = defaults().max_seconds)]
    pub(crate) max_seconds: u64,
    /// Refuse archives with more files inside
    #[arg(long, value_name = "N", default_value_t = defaults().max_members)]
    pub(crate) max_members: u64,
    /// Refuse archives that inflate to more than this
    #[arg(long, value_name = "BYTES", default_value_t = defaults().max_inflated)]
    pub(crate) max_inflated: u64,
    /// Refuse archives that inflate to more than so many times their size
    #[arg(long, value_name = "N", default_value_t = defaults().max_ratio)]
    pub(crate) max_ratio: u64,
    /// Refuse archives with files deeper inside files than this
    #[arg(long, value_name = "N", default_value_t = defaults().max_depth)]
    pub(crate) max_depth: u32,
    /// Give up decoding a file after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = defaults().timeout, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: u64,
    /// Memory of a decoding process
    #[arg(long, value_name = "BYTES", default_value_t = defaults().max_memory, value_parser = clap::value_parser!(u64).range(1 << 26..))]
    pub(crate) max_memory: u64,
}

/// A rate that a film can have.
fn fps(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(rate) if rate > 0.0 && rate <= 1000.0 => Ok(rate),
        _ => Err("not a number above 0 and up to 1000".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModalityArg {
    /// What it looks like
    Auto,
    /// Text in any charset
    Text,
    /// Source code
    Code,
    /// Office documents, web pages, mail, tables
    Document,
    /// PDF
    Pdf,
    /// Pictures
    Image,
    /// Sound
    Audio,
    /// Films
    Video,
    /// Files of files
    Archive,
    /// Executables, and bytes of no known structure
    Binary,
}

impl ModalityArg {
    /// The modality, `None` for what it looks like.
    pub(crate) fn modality(self) -> Option<Modality> {
        Some(match self {
            ModalityArg::Auto => return None,
            ModalityArg::Text => Modality::Text,
            ModalityArg::Code => Modality::Code,
            ModalityArg::Document => Modality::Document,
            ModalityArg::Pdf => Modality::Pdf,
            ModalityArg::Image => Modality::Image,
            ModalityArg::Audio => Modality::Audio,
            ModalityArg::Video => Modality::Video,
            ModalityArg::Archive => Modality::Archive,
            ModalityArg::Binary => Modality::Binary,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SegmentsArg {
    /// None
    None,
    /// Words and what is between them
    Words,
    /// Lines
    Lines,
    /// Paragraphs
    Paragraphs,
    /// Tokens of `--tokenizer`
    #[cfg(feature = "tokenizers")]
    Tokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ViewsArg {
    /// The file's bytes
    Raw,
    /// What the decoder makes of them
    Decoded,
    /// Both
    Both,
}

impl ViewsArg {
    fn views(self) -> Views {
        match self {
            ViewsArg::Raw => Views::Raw,
            ViewsArg::Decoded => Views::Decoded,
            ViewsArg::Both => Views::Both,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PdfModeArg {
    /// The file's bytes
    #[value(name = "raw_only")]
    Raw,
    /// The text of its pages
    #[value(name = "text_only")]
    Text,
    /// Its pages as pixels
    #[value(name = "image_only")]
    Image,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChannelsArg {
    /// The samples of one moment side by side
    Interleaved,
    /// One channel after the other
    Planar,
    /// Their mean
    Mixed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolateArg {
    /// All but that for text, where the program can start itself
    Auto,
    /// All but that for text
    Always,
    /// None
    Never,
}

impl DecodingArgs {
    /// The decoders.
    pub(crate) fn modalities(&self) -> Result<Modalities, Failure> {
        let views = self.views.views();
        let embedded = !self.no_embedded;
        let mut modalities = Modalities {
            text: TextDecoder {
                segments: self.segments()?,
                views: self.text_views.map_or(Views::Raw, ViewsArg::views),
            },
            document: DocumentDecoder { views, embedded },
            pdf: PdfDecoder { mode: self.pdf_mode(), passwords: self.password.clone(), ..PdfDecoder::default() },
            image: ImageDecoder { views, max_side: self.max_side, ..ImageDecoder::default() },
            audio: AudioDecoder {
                views,
                channels: match self.audio_channels {
                    ChannelsArg::Interleaved => Channels::Interleaved,
                    ChannelsArg::Planar => Channels::Planar,
                    ChannelsArg::Mixed => Channels::Mixed,
                },
                sample_rate: self.sample_rate,
                ..AudioDecoder::default()
            },
            archive: ArchiveDecoder { views },
            isolation: self.isolation(),
            ..Modalities::default()
        };
        modalities.video = VideoDecoder { views, fps: self.video_fps, ..VideoDecoder::default() };
        if self.max_side.is_some() {
            modalities.video.max_side = self.max_side;
        }
        if self.no_audio_video {
            modalities.as_bytes = vec![Modality::Audio, Modality::Video];
        }
        Ok(modalities)
    }

    /// The bounds on hostile input.
    pub(crate) fn limits(&self) -> Limits {
        let LimitArgs {
            max_bytes,
            max_view_bytes,
            max_pixels,
            max_frames,
            max_pages,
            max_seconds,
            max_members,
            max_inflated,
            max_ratio,
            max_depth,
            timeout,
            max_memory,
        } = self.limits;
        Limits {
            max_bytes,
            max_view_bytes,
            max_pixels,
            max_frames,
            max_pages,
            max_seconds,
            max_members,
            max_inflated,
            max_ratio,
            max_depth,
            timeout,
            max_memory,
            ..Limits::default()
        }
    }

    fn pdf_mode(&self) -> PdfMode {
        match (self.pdf_mode, self.views) {
            _ if self.multiview_pdf => PdfMode::Multi,
            (Some(PdfModeArg::Raw), _) => PdfMode::Raw,
            (Some(PdfModeArg::Text), _) => PdfMode::Text,
            (Some(PdfModeArg::Image), _) => PdfMode::Image,
            (None, ViewsArg::Raw) => PdfMode::Raw,
            (None, ViewsArg::Decoded) => PdfMode::Text,
            (None, ViewsArg::Both) => PdfMode::Multi,
        }
    }

    fn segments(&self) -> Result<TextSegments, Failure> {
        Ok(match self.text_segments.unwrap_or(SegmentsArg::None) {
            SegmentsArg::None => TextSegments::None,
            SegmentsArg::Words => TextSegments::Words,
            SegmentsArg::Lines => TextSegments::Lines,
            SegmentsArg::Paragraphs => TextSegments::Paragraphs,
            #[cfg(feature = "tokenizers")]
            SegmentsArg::Tokens => TextSegments::Tokens(self.open_tokenizer()?),
        })
    }

    #[cfg(feature = "tokenizers")]
    fn open_tokenizer(&self) -> Result<blt_modalities::TokenizerFile, Failure> {
        let path =
            self.tokenizer.as_ref().ok_or_else(|| Failure::usage("`--text-segments tokens` needs `--tokenizer`"))?;
        blt_modalities::TokenizerFile::open(path).map_err(|error| {
            let what = format!("cannot load the tokenizer `{}`", path.display());
            Failure::new(what, std::io::Error::other(error))
        })
    }

    /// Decoders run in this program, started anew.
    fn isolation(&self) -> Isolation {
        let isolate = match self.isolate {
            IsolateArg::Auto => Isolate::Auto,
            IsolateArg::Always => Isolate::Always,
            IsolateArg::Never => Isolate::Never,
        };
        let program: Option<PathBuf> = std::env::current_exe().ok();
        if program.is_none() && isolate != Isolate::Never {
            tracing::warn!("this program does not know where it lies: decoders run inside it");
        }
        Isolation {
            isolate,
            command: program.map(|program| (program, vec!["decode-worker".to_owned()])),
            scratch: None,
        }
    }
}
