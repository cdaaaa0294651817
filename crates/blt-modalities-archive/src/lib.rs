//! Files of files for byte models: the files inside come out, each for the decoder of what it is. The `raw` view, where it is
//! wanted, is the archive itself with its headers and members as units.
//!
//! ```
//! use blt_core::{Decoder, Hint, Limits};
//! use blt_modalities_archive::ArchiveDecoder;
//!
//! let mut tar = tar::Builder::new(Vec::new());
//! let mut header = tar::Header::new_gnu();
//! header.set_size(5);
//! tar.append_data(&mut header, "a/hello.txt", &b"hello"[..])?;
//! let tar = tar.into_inner()?;
//!
//! let hint = Hint { format: "tar", ..Hint::default() };
//! let document = ArchiveDecoder::default().decode(&mut std::io::Cursor::new(tar), &hint, &Limits::default())?;
//! assert_eq!((&*document.embedded[0].name, &document.embedded[0].bytes[..]), ("a/hello.txt", &b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Formats: zip and 7z with the codecs that are usual in them, tar, gzip, bzip2, xz, zstandard, LZ4. Nothing is written anywhere; a name that leads out of the
//! archive is shortened and told. Encrypted members, links and devices are told and left out. All members are in memory at
//! once, within [`Limits::max_inflated`](blt_core::Limits).

mod compressed;
mod seven_zip;
mod tape;
mod zip_file;

use std::io::{self, Read};

use blt_core::{
    ByteRange, DecodeError, Decoder, Document, Embedded, Hint, Limits, Modality, Origin, Region, SourceReader, Tiling,
    View, Views,
};
use serde::{Deserialize, Serialize};

/// Makes documents of archives and of compressed files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ArchiveDecoder {
    /// Which views: the archive's bytes, those of the files inside, or both.
    pub views: Views,
}

impl Decoder for ArchiveDecoder {
    fn modality(&self) -> Modality {
        Modality::Archive
    }

    fn decode(&self, source: &mut dyn SourceReader, hint: &Hint<'_>, limits: &Limits) -> Result<Document, DecodeError> {
        let n_bytes = source.n_bytes()?;
        source.rewind()?;
        let mut members = Members { wanted: self.views != Views::Raw, n_bytes, limits, ..Members::new(limits) };
        match hint.format {
            "tar" => tape::read(source, &mut members)?,
            "gzip" => compressed::read_gzip(source, hint.name, &mut members)?,
            "bzip2" => compressed::read_bzip2(source, hint.name, &mut members)?,
            "xz" => compressed::read_xz(source, hint.name, &mut members)?,
            "zstd" => compressed::read_zstandard(source, hint.name, &mut members)?,
            "lz4" => compressed::read_lz4(source, hint.name, &mut members)?,
            "7z" => seven_zip::read(source, &mut members)?,
            _ => zip_file::read(source, &mut members)?,
        }
        let media_type = if hint.media_type.is_empty() { "application/octet-stream" } else { hint.media_type };
        let mut document = Document::new(Modality::Archive, media_type, Vec::new());
        document.problems = members.problems;
        // An archive with nothing in it is still its bytes.
        if self.views != Views::Decoded || members.files.is_empty() {
            let mut tiling = Tiling::default();
            if !members.regions.is_empty() {
                tiling.add(members.regions, ByteRange::new(0, n_bytes), None, limits)?;
            }
            document.problems.extend(tiling.problems);
            document.views.push(View { units: tiling.units, ..View::raw(Modality::Archive, media_type) });
        }
        document.embedded = members.files;
        Ok(document)
    }
}

/// What is found in an archive, within the limits.
#[derive(Debug)]
struct Members<'a> {
    files: Vec<Embedded>,
    regions: Vec<Region>,
    problems: Vec<String>,
    /// Whether the files are wanted, or only their places.
    wanted: bool,
    /// Size of the archive.
    n_bytes: u64,
    n_inflated: u64,
    n_members: u64,
    limits: &'a Limits,
}

impl<'a> Members<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            files: Vec::new(),
            regions: Vec::new(),
            problems: Vec::new(),
            wanted: true,
            n_bytes: 0,
            n_inflated: 0,
            n_members: 0,
            limits,
        }
    }

    /// Counts a member before it is looked at.
    fn count(&mut self) -> Result<(), DecodeError> {
        self.n_members += 1;
        self.limits.check("files inside", self.n_members, self.limits.max_members, "--max-members")
    }

    /// Reads a member. `stored` is where its bytes lie as they are, if they do. One that breaks off is kept up to there.
    fn add(&mut self, name: &str, mut content: impl Read, stored: Option<ByteRange>) -> Result<(), DecodeError> {
        if !self.wanted {
            return Ok(());
        }
        let name = self.inner_name(name);
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    self.n_inflated += n as u64;
                    self.limits.check_inflated(self.n_inflated, self.n_bytes)?;
                    bytes.extend_from_slice(&buffer[..n]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if bytes.is_empty() => {
                    self.problems.push(format!("{name}: {error}"));
                    return Ok(());
                }
                Err(error) => {
                    self.problems.push(format!("{name}: it breaks off after {} bytes: {error}", bytes.len()));
                    break;
                }
            }
        }
        let origin = stored.filter(|range| range.len() == bytes.len() as u64).map(Origin::SourceBytes);
        self.files.push(Embedded { name, origin, bytes });
        Ok(())
    }

    /// A path that stays inside the archive: without a root, a drive, and steps upwards.
    fn inner_name(&mut self, name: &str) -> Box<str> {
        let parts: Vec<&str> =
            name.split(['/', '\\']).filter(|part| !matches!(*part, "" | "." | "..") && !part.ends_with(':')).collect();
        let inner = parts.join("/");
        let leads_out = name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..");
        if leads_out || name.contains(':') && inner.len() < name.len() {
            self.problems.push(format!("the member `{}` has a path that leads outside", name.escape_debug()));
        }
        if inner.is_empty() { format!("member {}", self.n_members).into() } else { inner.into() }
    }
}

fn content(reason: impl ToString) -> DecodeError {
    DecodeError::Content { modality: Modality::Archive, reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
