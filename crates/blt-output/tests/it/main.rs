//! Files written here, read back with other people's crates.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod jax;
mod parquet_files;
mod projection;
mod safetensors_files;
mod webdataset;

use std::collections::BTreeMap;
use std::path::Path;

use blt_core::{ByteRange, Patch};
use blt_output::{
    CollectedDocument, DocumentCollector, DocumentInfo, EmbeddingDtype, EmbeddingOptions, Embeddings, write_safetensors,
};
use proptest::prelude::*;
use safetensors::SafeTensors;

const DIM: usize = 6;

/// A document of views, each given by the lengths of its patches; every value follows from its index and `seed`.
fn document(scratch: &Path, options: EmbeddingOptions, views: &[Vec<usize>], seed: usize) -> CollectedDocument {
    let mut collector = DocumentCollector::new(scratch, options, None);
    let mut byte = seed;
    for (i, lengths) in views.iter().enumerate() {
        let mut start = 0;
        for &length in lengths {
            let bytes: Vec<u8> = (byte..byte + length).map(|i| b"text \xc3\xa9\xff"[i * i % (7 + seed % 2)]).collect();
            let signal: Vec<f32> = (byte..byte + length).map(|i| i as f32 * 0.5).collect();
            let rows: Vec<f32> = (byte * DIM..(byte + length) * DIM).map(|i| (i as f32 * 0.1).sin()).collect();
            collector.bytes(&bytes, &signal, &signal, &rows).unwrap();
            let range = ByteRange::new(start, start + length as u64);
            let value = byte as f32;
            let embedding: Vec<f32> = (0..DIM).map(|i| (value + i as f32).cos() * 3.0).collect();
            let (prominence, coherence) = (value + 1.0, value + 2.0);
            let patch = Patch { range, entropy: value, prominence, coherence, embedding: &embedding };
            collector.patch(&patch).unwrap();
            start = range.end;
            byte += length;
        }
        collector.end_view(&format!("view {i}"), if i == 0 { "text" } else { "binary" });
    }
    collector.finish()
}

fn about<'a>(id: &'a str, patching: &'a [(&'a str, String)]) -> DocumentInfo<'a> {
    DocumentInfo { id, source: "x.bin", modality: "binary", model: "m@0", sidecar: Some("x.hypergraph.db"), patching }
}

/// The tensors of a document by name, as they stand in its safetensors file.
fn tensors(document: CollectedDocument) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    write_safetensors(document, &path, &about("x", &[])).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.tensors().into_iter().map(|(name, tensor)| (name, tensor.data().to_vec())).collect()
}

/// Every way to write embeddings.
fn any_options() -> impl Strategy<Value = EmbeddingOptions> {
    use EmbeddingDtype::{Bf16, F16, F32, Int8};
    let embeddings = prop::sample::select(vec![Embeddings::Patch, Embeddings::Byte, Embeddings::None]);
    (embeddings, prop::sample::select(vec![F32, Bf16, F16, Int8])).prop_map(|(embeddings, dtype)| EmbeddingOptions {
        embeddings,
        dtype,
        ..EmbeddingOptions::new(DIM)
    })
}

/// Documents of up to three views, some of them empty.
fn any_documents() -> impl Strategy<Value = Vec<Vec<Vec<usize>>>> {
    let view = prop::collection::vec(1usize..40, 0..30);
    prop::collection::vec(prop::collection::vec(view, 1..4), 0..5)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}
