//! Writes every file of a folder in every form, with made-up signals, for `tests/outputs/clients.py`:
//! `cargo run -p blt-output --example sample_outputs -- IN OUT`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use blt_core::{ByteRange, Patch};
use blt_output::{
    CollectedDocument, DocumentCollector, DocumentInfo, EmbeddingDtype, EmbeddingOptions, ParquetOptions,
    ParquetWriter, ShardCompression, ShardCount, ShardReceipt, ShardWriter, WebDatasetWriter, dataset_card,
    parquet_name, wids_index, write_equal_shards, write_safetensors,
};

const DIM: usize = 64;
const MODEL: &str = "made-up@0";

fn main() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(input), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: sample_outputs IN OUT"));
    };
    let mut files = Vec::new();
    files_below(&input, &mut files)?;
    files.sort();
    let patching = [("rule", "made-up".to_owned())];
    let documents = Documents { input, files, patching: &patching };

    for dtype in [EmbeddingDtype::F32, EmbeddingDtype::Bf16, EmbeddingDtype::F16, EmbeddingDtype::Int8] {
        let options = EmbeddingOptions { dtype, ..EmbeddingOptions::new(DIM) };
        let folder = output.join(dtype.name());
        let [safetensors, webdataset, parquet, jax] =
            ["safetensors", "webdataset", "parquet", "jax"].map(|name| folder.join(name));
        for folder in [&safetensors, &webdataset, &parquet.join("data"), &jax] {
            fs::create_dir_all(folder)?;
        }
        let mut parts = Vec::new();
        documents.each(&folder, options, 0, 1, &mut |document, about| {
            let path = safetensors.join(format!("{}.safetensors", about.id));
            write_safetensors(document, &path, about)?;
            parts.push((about.id.to_owned(), path));
            Ok(())
        })?;
        write_equal_shards(&parts, ShardCount::Shards(8), &jax)?;
        for compression in [ShardCompression::None, ShardCompression::Gzip, ShardCompression::Zstd] {
            let (mut names, mut shards) = (Vec::new(), Vec::new());
            for number in 0..2 {
                let name = format!("shard_{number:06}.{}", compression.extension());
                let writer = WebDatasetWriter::create(&webdataset.join(&name), compression, 2)?;
                shards.push(documents.shard(&folder, options, number, 2, Box::new(writer))?);
                names.push(name);
            }
            if compression == ShardCompression::None {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                fs::write(webdataset.join("index.json"), wids_index(&names, &shards))?;
            }
        }
        for number in 0..2 {
            // Small, so that documents have several rows and files several row groups.
            let sizes = ParquetOptions { row_group_bytes: 1 << 18, row_bytes: 1 << 16, n_threads: 2 };
            let writer = ParquetWriter::create(&parquet.join(parquet_name(number)), &options, sizes)?;
            documents.shard(&folder, options, number as usize, 2, Box::new(writer))?;
        }
        fs::write(parquet.join("README.md"), dataset_card(&options, MODEL, &patching))?;
    }
    Ok(())
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files_below(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

struct Documents<'a> {
    input: PathBuf,
    files: Vec<PathBuf>,
    patching: &'a [(&'a str, String)],
}

impl Documents<'_> {
    /// Shard `number` of `n_shards`.
    fn shard(
        &self,
        scratch: &Path,
        options: EmbeddingOptions,
        number: usize,
        n_shards: usize,
        mut writer: Box<dyn ShardWriter>,
    ) -> io::Result<ShardReceipt> {
        self.each(scratch, options, number, n_shards, &mut |document, about| writer.append(document, about))?;
        writer.finish()
    }

    fn each(
        &self,
        scratch: &Path,
        options: EmbeddingOptions,
        number: usize,
        n_shards: usize,
        write: &mut dyn FnMut(CollectedDocument, &DocumentInfo<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        for path in self.files.iter().skip(number).step_by(n_shards) {
            let source = path.strip_prefix(&self.input).map_err(io::Error::other)?.display().to_string();
            let id = source.replace(std::path::MAIN_SEPARATOR, "~");
            let about = DocumentInfo {
                id: &id,
                source: &source,
                modality: "text",
                model: MODEL,
                sidecar: None,
                patching: self.patching,
            };
            write(collected(scratch, options, &fs::read(path)?)?, &about)?;
        }
        Ok(())
    }
}

/// One view with patches of one to seven bytes.
fn collected(scratch: &Path, options: EmbeddingOptions, bytes: &[u8]) -> io::Result<CollectedDocument> {
    let mut collector = DocumentCollector::new(scratch, options, None);
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes.len().min(start + 1 + start % 7);
        let signals: Vec<f32> = (start..end).map(|i| (i % 1000) as f32 / 8.0).collect();
        collector.bytes(&bytes[start..end], &signals, &signals, &[])?;
        let embedding: Vec<f32> = (0..DIM).map(|i| ((start + i) % 1009) as f32 / 16.0 - 30.0).collect();
        let patch = Patch {
            range: ByteRange::new(start as u64, end as u64),
            entropy: signals[0],
            prominence: signals[0] + 1.0,
            coherence: signals[0] + 2.0,
            embedding: &embedding,
        };
        collector.patch(&patch)?;
        start = end;
    }
    collector.end_view("raw", "text");
    Ok(collector.finish())
}
