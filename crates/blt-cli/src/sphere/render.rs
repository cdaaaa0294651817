//! `blt-cli sphere render`: pictures of a sphere.

use std::path::{Path, PathBuf};

use blt_corpus::PlacedFile;
use blt_render::{ColourBy, Picture, RenderError, RenderOptions};

use super::args::{ColourArg, PictureFormat, RenderArgs};
use super::open::{sphere_path, unreadable};
use crate::Ending;
use crate::failure::Failure;
use crate::output::{to_stderr, write_file};

pub(super) fn run(args: &RenderArgs, quiet: bool) -> Result<Ending, Failure> {
    super::use_threads(args.threads.map_or(0, usize::from));
    let sphere = sphere_path(&args.path)?;
    let (format, output) = target(args, &sphere)?;
    let placed = PlacedFile::open(&sphere).and_then(|file| file.read()).map_err(unreadable)?;
    let most = args.max_points.unwrap_or(if format == PictureFormat::Html { 100_000 } else { 20_000 });
    let options = RenderOptions {
        max_points: most as usize,
        band_limit: args.band_limit as usize,
        colour_by: args.colour_by.map(ColourArg::colour_by),
    };
    let undrawn = |error: RenderError| {
        let hint = error.hint();
        Failure::new("cannot draw the sphere", error).hint(hint)
    };
    let name = blt_corpus::id_of_file(&sphere);
    let picture = Picture::new(&name, &placed, &options).map_err(undrawn)?;
    let bytes = match format {
        PictureFormat::Html => picture.html().into_bytes(),
        PictureFormat::Svg => picture.svg().into_bytes(),
        PictureFormat::Png => picture.png().map_err(undrawn)?,
    };
    write_file(&output, &bytes)?;
    // That something is missing is said even where nobody wants to be told that something is done.
    if let Some(left_out) = picture.left_out() {
        to_stderr(&format!("incomplete: {left_out}"));
    }
    if !quiet {
        to_stderr(&format!("{} patches ({} bytes) -> {}", placed.len(), bytes.len(), output.display()));
    }
    Ok(Ending::Complete)
}

/// The form of the picture and its file.
fn target(args: &RenderArgs, sphere: &Path) -> Result<(PictureFormat, PathBuf), Failure> {
    let Some(output) = &args.output else {
        let format = args.format.unwrap_or(PictureFormat::Html);
        let name = format!("{}.sphere.{}", blt_corpus::id_of_file(sphere), format.ending());
        return Ok((format, sphere.with_file_name(name)));
    };
    let ending = output.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let by_ending = PictureFormat::ALL.into_iter().find(|format| format.ending() == ending);
    let format = args.format.or(by_ending).ok_or_else(|| {
        Failure::usage(format!("the ending of `{}` names no form of a picture", output.display()))
            .hint(Some("name a file that ends in `.html`, `.svg` or `.png`, or pass `--format`"))
    })?;
    let is_same = |a: &Path, b: &Path| a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b));
    if is_same(output, sphere) {
        return Err(Failure::usage("the picture would take the place of the sphere")
            .hint(Some("name another file with `--output`")));
    }
    Ok((format, output.clone()))
}

impl PictureFormat {
    const ALL: [Self; 3] = [Self::Html, Self::Svg, Self::Png];

    fn ending(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Svg => "svg",
            Self::Png => "png",
        }
    }
}

impl ColourArg {
    fn colour_by(self) -> ColourBy {
        match self {
            Self::Zone => ColourBy::Zone,
            Self::Radius => ColourBy::Radius,
            Self::Shell => ColourBy::Shell,
            Self::Entropy => ColourBy::Entropy,
            Self::Prominence => ColourBy::Prominence,
            Self::Document => ColourBy::Document,
        }
    }
}
