//! WebDataset shards: tar archives in which the members of one sample follow each other and share what precedes the first
//! dot of their names.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::collector::{CollectedDocument, Tensor};
use crate::gzip::GzipWriter;
use crate::npy::npy_header;
use crate::receipt::{ReceiptWriter, ShardReceipt};
use crate::sample_key::sample_key;
use crate::shard::{DocumentInfo, ShardWriter, document_json};

/// Tensors that become members, beside those of embeddings.
const MEMBERS: [&str; 4] = ["entropies", "patch_entropies", "patch_lengths", "prominence"];
const EMBEDDING_MEMBERS: [&str; 4] = ["byte_embedding_scales", "byte_embeddings", "embedding_scales", "embeddings"];
const TAR_BLOCK: usize = 512;
const ZSTD_LEVEL: i32 = 3;

/// How shards are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardCompression {
    /// Not at all: `.tar`, the only kind whose samples can be read in any order.
    None,
    /// `.tar.gz`
    Gzip,
    /// `.tar.zst`
    Zstd,
}

impl ShardCompression {
    /// What the names of such shards end with.
    pub fn extension(self) -> &'static str {
        match self {
            Self::None => "tar",
            Self::Gzip => "tar.gz",
            Self::Zstd => "tar.zst",
        }
    }
}

/// Writes documents as the samples of one WebDataset shard.
///
/// Every sample has the same members, in the order of their names: `.bytes.bin`, `.json`, and as `.npy` those of
/// `byte_embeddings`, `byte_embedding_scales`, `embeddings`, `embedding_scales`, `entropies`, `patch_entropies`,
/// `patch_lengths` and `prominence` that are collected.
pub struct WebDatasetWriter {
    archive: Archive,
    keys: HashSet<String>,
}

impl std::fmt::Debug for WebDatasetWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebDatasetWriter").field("n_rows", &self.keys.len()).finish_non_exhaustive()
    }
}

impl WebDatasetWriter {
    /// An empty shard in the making at `path`, compressed on `n_threads` threads of its own; their number changes no byte.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be created, or no thread.
    pub fn create(path: &Path, compression: ShardCompression, n_threads: usize) -> io::Result<Self> {
        let file = ReceiptWriter::create(path)?;
        let archive = match compression {
            ShardCompression::None => Archive::Plain(file),
            ShardCompression::Gzip => Archive::Gzip(GzipWriter::new(file, n_threads)?),
            ShardCompression::Zstd => {
                let mut encoder = zstd::Encoder::new(file, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                // One thread, too, is one beside ours: a stream without any is cut differently.
                encoder.multithread(u32::try_from(n_threads.max(1)).unwrap_or(1))?;
                Archive::Zstd(encoder)
            }
        };
        Ok(Self { archive, keys: HashSet::new() })
    }

    fn member(&mut self, name: &str, n_bytes: u64) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(n_bytes);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        self.archive.write_all(header.as_bytes())
    }

    fn end_member(&mut self, n_bytes: u64) -> io::Result<()> {
        let n_over = (n_bytes % TAR_BLOCK as u64) as usize;
        if n_over == 0 { Ok(()) } else { self.archive.write_all(&[0; TAR_BLOCK][n_over..]) }
    }

    fn small_member(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.member(name, bytes.len() as u64)?;
        self.archive.write_all(bytes)?;
        self.end_member(bytes.len() as u64)
    }

    fn tensor(&mut self, name: &str, header: &[u8], mut tensor: Tensor) -> io::Result<()> {
        let n_bytes = header.len() as u64 + tensor.data.n_bytes();
        self.member(name, n_bytes)?;
        self.archive.write_all(header)?;
        tensor.data.copy_to(&mut self.archive)?;
        self.end_member(n_bytes)
    }
}

impl ShardWriter for WebDatasetWriter {
    fn append(&mut self, mut document: CollectedDocument, about: &DocumentInfo<'_>) -> io::Result<()> {
        let key = sample_key(about.id);
        if !self.keys.insert(key.clone()) {
            let reason = format!("two documents of one shard have the id `{}`", about.id);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let json = Value::Object(document_json(&document, about)).to_string();
        let mut names = [&MEMBERS[..], &EMBEDDING_MEMBERS].concat();
        names.extend(["bytes", "json"]);
        names.sort_unstable();
        for name in names {
            match (name, document.take(name)) {
                ("json", _) => self.small_member(&format!("{key}.json"), json.as_bytes())?,
                ("bytes", Some(tensor)) => self.tensor(&format!("{key}.bytes.bin"), &[], tensor)?,
                (_, Some(tensor)) => {
                    let header = npy_header(tensor.element, &tensor.shape);
                    self.tensor(&format!("{key}.{name}.npy"), &header, tensor)?;
                }
                (_, None) => {} // embeddings that were not asked for
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<ShardReceipt> {
        self.archive.write_all(&[0; 2 * TAR_BLOCK])?;
        let file = match self.archive {
            Archive::Plain(file) => file,
            Archive::Gzip(gzip) => gzip.finish()?,
            Archive::Zstd(zstd) => zstd.finish()?,
        };
        file.finish(self.keys.len() as u64)
    }
}

/// The index by which `wids` opens plain `.tar` shards. `names` are those they were published under, relative to the index.
pub fn wids_index(names: &[&str], shards: &[ShardReceipt]) -> String {
    let entry = |(name, shard): (&&str, &ShardReceipt)| json!({"url": name, "nsamples": shard.n_rows, "filesize": shard.n_bytes});
    let list: Vec<Value> = names.iter().zip(shards).map(entry).collect();
    let index = json!({"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": list});
    format!("{index:#}\n")
}

enum Archive {
    Plain(ReceiptWriter),
    Gzip(GzipWriter<ReceiptWriter>),
    Zstd(zstd::Encoder<'static, ReceiptWriter>),
}

impl Write for Archive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(gzip) => gzip.write(bytes),
            Self::Zstd(zstd) => zstd.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // only the end of the shard flushes
    }
}
