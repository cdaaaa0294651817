//! What a file is: by its name, and where that says nothing by its first bytes.

use serde::{Deserialize, Serialize};

/// How rows lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Arrow's own format, as a file (Feather 2) or a stream.
    Arrow,
    /// A JSON object a line.
    JsonLines,
    /// One JSON array of objects.
    JsonArray,
    /// Comma separated values; the first row names the columns.
    Csv,
    /// Tab separated values; the first row names the columns.
    Tsv,
    /// Text; a row is a line, or the whole file where that is asked for.
    Text,
    /// A tape archive whose neighbouring members of one name make a row.
    WebDataset,
}

/// What a file is packed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// Nothing.
    Plain,
    /// Gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstandard,
}

impl Format {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Arrow => "Arrow",
            Self::JsonLines => "JSON lines",
            Self::JsonArray => "JSON",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Text => "text",
            Self::WebDataset => "WebDataset",
        }
    }

    /// What a name such as `data/train.jsonl.zst` says. `.json` is either of two formats; the first bytes tell.
    pub fn of_name(path: &str) -> Option<(Self, Packing)> {
        let lower = path.to_ascii_lowercase();
        if let Some(bare) = lower.strip_suffix(".tgz") {
            return Self::of_name(&format!("{bare}.tar.gz"));
        }
        let packings = [(".gz", Packing::Gzip), (".zst", Packing::Zstandard), (".zstd", Packing::Zstandard)];
        let packed = packings.into_iter().find_map(|(ending, packing)| Some((lower.strip_suffix(ending)?, packing)));
        let (bare, packing) = packed.unwrap_or((&lower, Packing::Plain));
        let (stem, extension) = bare.rsplit_once('.')?;
        if stem.is_empty() || stem.ends_with('/') {
            return None; // a hidden file that has no extension
        }
        let format = match extension {
            "parquet" | "pq" => Self::Parquet,
            "arrow" | "feather" | "ipc" => Self::Arrow,
            "jsonl" | "ndjson" => Self::JsonLines,
            "json" => Self::JsonArray,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "txt" | "text" => Self::Text,
            "tar" => Self::WebDataset,
            _ => return None,
        };
        // Both have compression inside and are read by ranges; nobody packs them once more.
        let is_random = matches!(format, Self::Parquet | Self::Arrow);
        (!is_random || packing == Packing::Plain).then_some((format, packing))
    }

    /// What the first bytes of an unpacked file say, with what its name said.
    pub(crate) fn of_bytes(start: &[u8], named: Option<Self>) -> Option<Self> {
        if start.starts_with(b"PAR1") {
            return Some(Self::Parquet);
        }
        if start.starts_with(b"ARROW1") || (start.starts_with(&[0xff; 4]) && named == Some(Self::Arrow)) {
            return Some(Self::Arrow);
        }
        let first =
            start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).iter().find(|byte| !byte.is_ascii_whitespace());
        match (named, first) {
            (Some(Self::JsonArray | Self::JsonLines), Some(b'{')) => Some(Self::JsonLines),
            (Some(Self::JsonArray | Self::JsonLines), Some(b'[')) => Some(Self::JsonArray),
            (None, Some(b'{')) => Some(Self::JsonLines),
            (None, Some(b'[')) => Some(Self::JsonArray),
            (None, _) if start.get(257..262) == Some(b"ustar") => Some(Self::WebDataset),
            (named, _) => named,
        }
    }

    /// Whether the number of rows is known without unpacking or parsing all of them.
    pub fn counts_rows(self, packing: Packing) -> bool {
        match self {
            Self::Parquet | Self::Arrow => true,
            Self::JsonLines | Self::Csv | Self::Tsv | Self::Text => packing == Packing::Plain,
            Self::JsonArray | Self::WebDataset => false,
        }
    }
}

impl Packing {
    /// What the first bytes of a file say.
    pub(crate) fn of_bytes(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstandard,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats_and_packings() {
        for (path, expected) in [
            ("data/train-00000-of-00001.parquet", Some((Format::Parquet, Packing::Plain))),
            ("a.JSONL.zst", Some((Format::JsonLines, Packing::Zstandard))),
            ("a.b/c.tgz", Some((Format::WebDataset, Packing::Gzip))),
            ("x.csv.gz", Some((Format::Csv, Packing::Gzip))),
            ("x.parquet.gz", None),
            ("README.md", None),
            ("a.csv/x", None),
            ("data/.csv", None),
            (".gz", None),
        ] {
            assert_eq!(Format::of_name(path), expected, "{path}");
        }
    }

    #[test]
    fn first_bytes_tell_the_two_kinds_of_json_apart() {
        let json = Some(Format::JsonArray);
        assert_eq!(Format::of_bytes(b"\xef\xbb\xbf \n{", json), Some(Format::JsonLines));
        assert_eq!(Format::of_bytes(b" [", json), json);
        assert_eq!(Format::of_bytes(b"PAR1", None), Some(Format::Parquet));
        assert_eq!(Format::of_bytes(b"{\"a\",\"b\"", Some(Format::Csv)), Some(Format::Csv));
        assert_eq!(Format::of_bytes(b"hello", None), None);
    }
}
