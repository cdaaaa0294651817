//! How fast documents are collected and written: `cargo run --release -p blt-output --example throughput -- [FOLDER]`.
//!
//! Embeddings of 768 numbers for patches of 4.5 bytes on average: in bf16 341 bytes for each byte of text. Every line says
//! megabytes of tensors a second, with one writer and with two at once, each on a thread of its own.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use blt_core::{ByteRange, Patch};
use blt_output::{
    CollectedDocument, DocumentCollector, DocumentInfo, EmbeddingDtype, EmbeddingOptions, ParquetOptions,
    ParquetWriter, ProjectionFit, ShardCompression, ShardWriter, WebDatasetWriter, write_safetensors,
};

const DIM: usize = 768;
const REDUCED_DIMS: usize = 128;
const N_DOCUMENTS: usize = 96;
const PATCHES_A_DOCUMENT: usize = 1800;

type MakeWriter<'a> = dyn Fn(&Path) -> io::Result<Box<dyn ShardWriter>> + Sync + 'a;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let folder = folder.path();
    reduce()?;
    for dtype in [EmbeddingDtype::Bf16, EmbeddingDtype::F32, EmbeddingDtype::Int8] {
        let options = EmbeddingOptions { dtype, ..EmbeddingOptions::new(DIM) };
        let (documents, seconds) = collected(folder, options)?;
        let n_bytes: u64 = documents.iter().map(CollectedDocument::n_tensor_bytes).sum();
        drop(documents);
        writeln!(
            io::stdout(),
            "{} {} MB, collected at {:.0} MB/s",
            dtype.name(),
            n_bytes / 1_000_000,
            n_bytes as f64 / 1e6 / seconds
        )?;
        compare(folder, options, "safetensors", &|path| Ok(Box::new(Files { folder: path.to_owned(), n_files: 0 })))?;
        for (compression, n_threads) in [
            (ShardCompression::None, 1),
            (ShardCompression::Gzip, 1),
            (ShardCompression::Gzip, 2),
            (ShardCompression::Zstd, 1),
            (ShardCompression::Zstd, 2),
        ] {
            let name = format!("webdataset {}, {n_threads} compressing", compression.extension());
            let make = |path: &Path| -> io::Result<Box<dyn ShardWriter>> {
                Ok(Box::new(WebDatasetWriter::create(path, compression, n_threads)?))
            };
            compare(folder, options, &name, &make)?;
        }
        for n_threads in [1, 2] {
            let sizes = ParquetOptions { n_threads, ..ParquetOptions::default() };
            let make = |path: &Path| -> io::Result<Box<dyn ShardWriter>> {
                Ok(Box::new(ParquetWriter::create(path, &options, sizes)?))
            };
            compare(folder, options, &format!("parquet, {n_threads} compressing"), &make)?;
        }
    }
    Ok(())
}

/// Fits a projection and applies it.
fn reduce() -> io::Result<()> {
    let mut state = 1u32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 - 0.5
    };
    let rows: Vec<f32> = (0..4096 * DIM).map(|_| random() + random()).collect();
    let start = Instant::now();
    let mut fit = ProjectionFit::new(DIM);
    rows.chunks_exact(DIM).for_each(|row| fit.add(row));
    let added = start.elapsed().as_secs_f64();
    let projection = fit.finish(REDUCED_DIMS).map_err(io::Error::other)?;
    let fitted = start.elapsed().as_secs_f64();
    let mut reduced = Vec::new();
    rows.chunks_exact(DIM).for_each(|row| projection.reduce(row, &mut reduced));
    let rows_a_second = 4096.0 / (start.elapsed().as_secs_f64() - fitted);
    let (sampled_a_second, eigenvectors) = (4096.0 / added, fitted - added);
    writeln!(
        io::stdout(),
        "{DIM} to {REDUCED_DIMS}: {sampled_a_second:.0} rows sampled a second, {eigenvectors:.1} s for the components, \
         {rows_a_second:.0} rows reduced a second"
    )
}

/// Writes with one writer and with two at once.
fn compare(folder: &Path, options: EmbeddingOptions, name: &str, make: &MakeWriter<'_>) -> io::Result<()> {
    let mut line = format!("  {name:<32}");
    for n_writers in [1, 2] {
        let documents: Vec<_> = (0..n_writers).map(|_| Ok(collected(folder, options)?.0)).collect::<io::Result<_>>()?;
        let n_bytes: u64 = documents.iter().flatten().map(CollectedDocument::n_tensor_bytes).sum();
        let start = Instant::now();
        let written: u64 = std::thread::scope(|scope| {
            let write = |(i, documents): (usize, Vec<CollectedDocument>)| {
                scope.spawn(move || write_all(&folder.join(format!("out-{i}")), documents, make))
            };
            let threads: Vec<_> = documents.into_iter().enumerate().map(write).collect();
            threads.into_iter().map(|thread| thread.join().expect("no writer panics")).sum::<io::Result<u64>>()
        })?;
        let speed = n_bytes as f64 / 1e6 / start.elapsed().as_secs_f64();
        line += &format!(" {speed:6.0} MB/s");
        if n_writers == 2 {
            line += &format!(", {:.2} of the size", written as f64 / n_bytes as f64);
        }
    }
    writeln!(io::stdout(), "{line}")
}

fn write_all(path: &Path, documents: Vec<CollectedDocument>, make: &MakeWriter<'_>) -> io::Result<u64> {
    let mut writer = make(path)?;
    for (i, document) in documents.into_iter().enumerate() {
        let id = i.to_string();
        let about =
            DocumentInfo { id: &id, source: &id, modality: "text", model: "none", sidecar: None, patching: &[] };
        writer.append(document, &about)?;
    }
    Ok(writer.finish()?.n_bytes)
}

/// A file a document, as `ingest` writes by default.
struct Files {
    folder: PathBuf,
    n_files: u64,
}

impl ShardWriter for Files {
    fn append(&mut self, document: CollectedDocument, about: &DocumentInfo<'_>) -> io::Result<()> {
        self.n_files += 1;
        let path = self.folder.with_extension(format!("{}.safetensors", self.n_files));
        write_safetensors(document, &path, about).map(drop)
    }

    fn finish(self: Box<Self>) -> io::Result<blt_output::ShardReceipt> {
        let n_bytes = (1..=self.n_files)
            .map(|i| Ok(self.folder.with_extension(format!("{i}.safetensors")).metadata()?.len()))
            .sum::<io::Result<u64>>()?;
        Ok(blt_output::ShardReceipt { path: self.folder, n_rows: self.n_files, n_bytes, sha256: [0; 32] })
    }
}

/// Documents whose embeddings are about as random as true ones, and the seconds that collecting them took.
fn collected(scratch: &Path, options: EmbeddingOptions) -> io::Result<(Vec<CollectedDocument>, f64)> {
    let mut state = 1u32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state as f32 / u32::MAX as f32 - 0.5) * 8.0
    };
    let (mut documents, mut seconds) = (Vec::new(), 0.0);
    for number in 0..N_DOCUMENTS {
        let rows: Vec<f32> = (0..PATCHES_A_DOCUMENT * DIM).map(|_| random() + random()).collect();
        let start_time = Instant::now();
        let mut collector = DocumentCollector::new(scratch, options, None);
        let mut start = 0;
        for (i, embedding) in rows.chunks_exact(DIM).enumerate() {
            let end = start + 4 + i % 2;
            let signals = &embedding[..end - start];
            let bytes: Vec<u8> = (start..end).map(|at| b"the committee announced "[(at * 7 + number) % 24]).collect();
            collector.bytes(&bytes, signals, signals, &[])?;
            let range = ByteRange::new(start as u64, end as u64);
            let (entropy, prominence, coherence) = (signals[0], signals[1], signals[2]);
            collector.patch(&Patch { range, entropy, prominence, coherence, embedding })?;
            start = end;
        }
        collector.end_view("raw", "text");
        documents.push(collector.finish());
        seconds += start_time.elapsed().as_secs_f64();
    }
    Ok((documents, seconds))
}
