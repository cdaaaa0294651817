//! Shards for training on many devices: the patches of many files, in order, cut into equal ones.
//!
//! Every device of a mesh has to hold an array of the same shape, so every tensor is cut into `n_shards` pieces of equal
//! length, of which the last rows may be padding. Shard `i` has the patches `[i * R, (i + 1) * R)` and the bytes that belong to
//! exactly these; since patches have different lengths, tensors of bytes are padded in every shard to the longest. Padding is
//! zeros, and the manifest says how many rows are none.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::collector::{Element, is_of_bytes};
use crate::receipt::{ReceiptWriter, ShardReceipt};
use crate::safetensors_file::{FORMAT, header};
use crate::safetensors_reader::{SafetensorsReader, invalid};
use crate::spool::copy_exactly;

/// What names with five digits hold.
const MAX_SHARDS: u64 = 99_999;
/// What headers say of their own document alone.
const OF_ONE_DOCUMENT: [&str; 5] = ["format", "num_patches", "total_bytes", "metadata_file", "views"];

/// Into how many shards patches are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardCount {
    /// So many.
    Shards(u64),
    /// As many as it takes for none to have more than about so many bytes, which are the model's tokens.
    Tokens(u64),
}

/// What [`write_equal_shards`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EqualShards {
    /// The shards in order, named as in the manifest.
    pub shards: Vec<ShardReceipt>,
    /// `documents.jsonl`: a line a document, with its place in the shards.
    pub documents: ShardReceipt,
    /// `manifest.json`: shapes, shards and their hashes. To be published last.
    pub manifest: ShardReceipt,
}

/// Cuts the patches of `parts`, safetensors files of [`write_safetensors`](crate::write_safetensors), into equal shards in
/// `folder`. Each part is given with the id of its document, in the order in which patches are to follow. Memory does not grow
/// with the parts.
///
/// # Errors
///
/// Fails when a part cannot be read, is no such file or has other tensors than the first; when there is no part; and when
/// nothing can be written.
pub fn write_equal_shards(parts: &[(String, PathBuf)], count: ShardCount, folder: &Path) -> io::Result<EqualShards> {
    let (parts, run) = open_parts(parts)?;
    let plan = Plan::new(&parts, run, count)?;
    let documents = write_documents(&parts, &plan, &folder.join("documents.jsonl"))?;
    let mut shards = Vec::new();
    for number in 0..plan.n_shards {
        let name = format!("shard-{number:05}-of-{:05}.safetensors", plan.n_shards);
        shards.push(plan.write_shard(&parts, number, &folder.join(name))?);
    }
    let mut file = ReceiptWriter::create(&folder.join("manifest.json"))?;
    writeln!(file, "{:#}", plan.manifest(parts.len(), &shards))?;
    Ok(EqualShards { shards, documents, manifest: file.finish(plan.n_shards)? })
}

/// A file whose patches go into shards. It is opened only while it is read.
struct Part {
    id: String,
    path: PathBuf,
    n_bytes: u64,
    n_patches: u64,
}

/// What all parts have in common.
#[derive(PartialEq, Eq)]
struct Run {
    layout: Vec<TensorLayout>,
    /// What their headers say of the model and the patching.
    strings: BTreeMap<String, String>,
}

/// A tensor but for its length.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TensorLayout {
    name: String,
    element: Element,
    /// Its shape but for the first dimension.
    row_shape: Vec<u64>,
}

impl TensorLayout {
    fn row_bytes(&self) -> u64 {
        self.row_shape.iter().product::<u64>() * self.element.n_bytes()
    }
}

fn open_parts(parts: &[(String, PathBuf)]) -> io::Result<(Vec<Part>, Run)> {
    let mut common = None;
    let mut opened = Vec::with_capacity(parts.len());
    for (id, path) in parts {
        let (part, run) = open_part(id, path)?;
        if *common.get_or_insert_with(|| Run { layout: run.layout.clone(), strings: run.strings.clone() }) != run {
            return Err(invalid(path, "its tensors or settings are not those of the first file"));
        }
        opened.push(part);
    }
    Ok((opened, common.ok_or_else(|| io::Error::other("there is nothing to put into shards"))?))
}

fn open_part(id: &str, path: &Path) -> io::Result<(Part, Run)> {
    let file = SafetensorsReader::open(path)?;
    if file.strings.get("format").is_none_or(|format| format != FORMAT) {
        return Err(invalid(path, "its format is another"));
    }
    let length = |name: &str| file.tensors.get(name).map(|tensor| tensor.shape[0]);
    let (Some(n_bytes), Some(n_patches)) = (length("bytes"), length("patch_lengths")) else {
        return Err(invalid(path, "it has no patches"));
    };
    if file.tensors["patch_lengths"].element != Element::I32 {
        return Err(invalid(path, "its `patch_lengths` are no 32-bit integers"));
    }
    let mut layout = Vec::new();
    for (name, tensor) in file.tensors.iter().filter(|(name, _)| *name != "view_lengths") {
        if tensor.shape[0] != if is_of_bytes(name) { n_bytes } else { n_patches } {
            return Err(invalid(path, "its tensors have different lengths"));
        }
        let (name, row_shape) = (name.clone(), tensor.shape[1..].to_vec());
        layout.push(TensorLayout { name, element: tensor.element, row_shape });
    }
    // Wide elements first: every tensor then starts at a multiple of its element's size.
    layout.sort_by_key(|tensor| Reverse(tensor.element.n_bytes()));
    let mut strings = file.strings.clone();
    strings.retain(|key, _| !OF_ONE_DOCUMENT.contains(&key.as_str()));
    Ok((Part { id: id.to_owned(), path: path.to_owned(), n_bytes, n_patches }, Run { layout, strings }))
}

/// Which rows go where.
struct Plan {
    n_shards: u64,
    run: Run,
    n_patches: u64,
    /// Rows of tensors of patches in a shard.
    rows_per_shard: u64,
    /// Rows of tensors of bytes in a shard.
    bytes_per_shard: u64,
    /// The first byte of each shard among all bytes, and the number of all bytes.
    byte_starts: Vec<u64>,
}

impl Plan {
    fn new(parts: &[Part], run: Run, count: ShardCount) -> io::Result<Self> {
        let (n_bytes, n_patches): (u64, u64) =
            parts.iter().fold((0, 0), |(bytes, patches), part| (bytes + part.n_bytes, patches + part.n_patches));
        let n_shards = match count {
            ShardCount::Shards(n) => n,
            ShardCount::Tokens(n) => n_bytes.div_ceil(n.max(1)),
        };
        if n_shards > MAX_SHARDS {
            return Err(io::Error::other(format!("{n_shards} shards are too many: their names hold {MAX_SHARDS}")));
        }
        let n_shards = n_shards.max(1);
        let rows_per_shard = n_patches.div_ceil(n_shards);
        let mut byte_starts = vec![0];
        let (mut byte, mut patch) = (0, 0);
        for part in parts {
            let file = SafetensorsReader::open(&part.path)?;
            let (before, mut lengths) = (byte, BufReader::new(file.rows("patch_lengths", 0)?));
            for _ in 0..part.n_patches {
                if patch > 0 && patch % rows_per_shard == 0 {
                    byte_starts.push(byte);
                }
                let mut length = [0; 4];
                lengths.read_exact(&mut length)?;
                byte += u64::from(u32::from_le_bytes(length));
                patch += 1;
            }
            if byte - before != part.n_bytes {
                return Err(invalid(&part.path, "its patches are not its bytes"));
            }
        }
        byte_starts.resize(n_shards as usize + 1, n_bytes);
        let bytes_per_shard = byte_starts.windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0);
        Ok(Self { n_shards, run, n_patches, rows_per_shard, bytes_per_shard, byte_starts })
    }

    /// The rows of shard `number`, among those of all documents, without padding.
    fn rows(&self, number: u64, of_bytes: bool) -> [u64; 2] {
        if of_bytes {
            return [self.byte_starts[number as usize], self.byte_starts[number as usize + 1]];
        }
        [number, number + 1].map(|shard| (shard * self.rows_per_shard).min(self.n_patches))
    }

    fn rows_in_shard(&self, of_bytes: bool) -> u64 {
        if of_bytes { self.bytes_per_shard } else { self.rows_per_shard }
    }

    fn write_shard(&self, parts: &[Part], number: u64, path: &Path) -> io::Result<ShardReceipt> {
        let shapes: Vec<Vec<u64>> = self
            .run
            .layout
            .iter()
            .map(|tensor| [&[self.rows_in_shard(is_of_bytes(&tensor.name))], tensor.row_shape.as_slice()].concat())
            .collect();
        let mut strings = Map::new();
        strings.insert("format".to_owned(), Value::from(FORMAT));
        for (key, of_bytes) in [("valid_rows", false), ("valid_bytes", true)] {
            let [start, end] = self.rows(number, of_bytes);
            strings.insert(key.to_owned(), (end - start).to_string().into());
        }
        let tensors = self.run.layout.iter().zip(&shapes);
        let header =
            header(tensors.map(|(tensor, shape)| (tensor.name.as_str(), tensor.element, shape.as_slice())), strings);
        let mut file = ReceiptWriter::create(path)?;
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for tensor in &self.run.layout {
            let of_bytes = is_of_bytes(&tensor.name);
            let [start, end] = self.rows(number, of_bytes);
            let mut first = 0; // the part's first row among all
            for part in parts {
                let last = first + if of_bytes { part.n_bytes } else { part.n_patches };
                let (from, to) = (start.max(first), end.min(last));
                if from < to {
                    let reader = SafetensorsReader::open(&part.path)?;
                    let mut rows = reader.rows(&tensor.name, from - first)?;
                    copy_exactly(&mut rows, &mut file, (to - from) * tensor.row_bytes())?;
                }
                first = last;
            }
            let n_padded = self.rows_in_shard(of_bytes) - (end - start);
            copy_exactly(&mut io::repeat(0), &mut file, n_padded * tensor.row_bytes())?;
        }
        file.finish(end_minus_start(self.rows(number, false)))
    }

    fn manifest(&self, n_documents: usize, shards: &[ShardReceipt]) -> Value {
        let mut tensors = Map::new();
        for tensor in &self.run.layout {
            let of_bytes = is_of_bytes(&tensor.name);
            let rows = self.n_shards * self.rows_in_shard(of_bytes);
            let shape = [&[rows], tensor.row_shape.as_slice()].concat();
            let axis = if of_bytes { "bytes" } else { "patches" };
            let entry = json!({"dtype": tensor.element.name(), "global_shape": shape, "axis": axis});
            tensors.insert(tensor.name.clone(), entry);
        }
        let entry = |(number, shard): (u64, &ShardReceipt)| {
            let of = |of_bytes| [number, number + 1].map(|shard| shard * self.rows_in_shard(of_bytes));
            json!({
                "file": shard.path.file_name().map(|name| name.display().to_string()),
                "rows": of(false),
                "valid_rows": end_minus_start(self.rows(number, false)),
                "bytes": of(true),
                "valid_bytes": end_minus_start(self.rows(number, true)),
                "n_bytes": shard.n_bytes,
                "sha256": hex(&shard.sha256),
            })
        };
        json!({
            "format": "blt_shards_v1",
            "run": self.run.strings,
            "n_documents": n_documents,
            "valid_rows": self.n_patches,
            "valid_bytes": self.byte_starts.last(),
            "tensors": tensors,
            "shards": (0..).zip(shards).map(entry).collect::<Vec<_>>(),
        })
    }
}

fn end_minus_start([start, end]: [u64; 2]) -> u64 {
    end - start
}

/// A line a document: its id, and its patches and bytes among those of all documents, padding left out.
fn write_documents(parts: &[Part], plan: &Plan, path: &Path) -> io::Result<ShardReceipt> {
    let mut file = ReceiptWriter::create(path)?;
    let (mut patch, mut byte) = (0, 0);
    for Part { id, n_patches, n_bytes, .. } in parts {
        let (patch_end, byte_end) = (patch + n_patches, byte + n_bytes);
        writeln!(file, "{}", json!({"id": id, "patches": [patch, patch_end], "bytes": [byte, byte_end]}))?;
        (patch, byte) = (patch_end, byte_end);
    }
    debug_assert_eq!(patch, plan.n_patches);
    file.finish(parts.len() as u64)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
