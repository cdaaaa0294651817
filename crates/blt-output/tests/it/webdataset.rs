//! WebDataset shards, read with `tar`, `flate2` and `zstd`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use blt_output::{
    EmbeddingDtype, EmbeddingOptions, Embeddings, ShardCompression, ShardReceipt, ShardWriter, WebDatasetWriter,
    wids_index,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::{DIM, about, any_documents, any_options, document, tensors};

type Documents = [Vec<Vec<usize>>];

fn write(
    path: &Path,
    compression: ShardCompression,
    n_threads: usize,
    options: EmbeddingOptions,
    documents: &Documents,
) -> ShardReceipt {
    let mut writer = Box::new(WebDatasetWriter::create(path, compression, n_threads).unwrap());
    for (i, views) in documents.iter().enumerate() {
        let patching = [("rule", "global".to_owned())];
        let document = document(path.parent().unwrap(), options, views, i);
        writer.append(document, &about(&format!("../a.b~{i}.txt"), &patching)).unwrap();
    }
    writer.finish().unwrap()
}

/// Members in order, with their bytes.
fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    });
    entries.collect()
}

/// What follows a `.npy` file's header, and the header.
fn npy(bytes: &[u8]) -> (&str, &[u8]) {
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert!(end.is_multiple_of(64) && bytes[end - 1] == b'\n');
    (std::str::from_utf8(&bytes[10..end]).unwrap(), &bytes[end..])
}

fn unpacked(path: &Path, compression: ShardCompression) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let mut plain = Vec::new();
    match compression {
        ShardCompression::None => plain = bytes,
        ShardCompression::Gzip => drop(flate2::bufread::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap()),
        ShardCompression::Zstd => {
            let decoder = zstd::Decoder::with_buffer(&bytes[..]).unwrap();
            decoder.single_frame().read_to_end(&mut plain).unwrap();
        }
    }
    plain
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Each sample has the document's tensors, and all samples have the same members in the same order.
    #[test]
    fn samples_are_the_documents(options in any_options(), documents in any_documents()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shard.tar");
        let receipt = write(&path, ShardCompression::None, 1, options, &documents);
        let bytes = std::fs::read(&path).unwrap();
        prop_assert_eq!(receipt.n_rows, documents.len() as u64);
        prop_assert_eq!(receipt.n_bytes, bytes.len() as u64);
        prop_assert_eq!(receipt.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));

        let members = members(&bytes);
        let mut samples: Vec<(String, BTreeMap<String, Vec<u8>>)> = Vec::new();
        for (name, bytes) in members {
            let (key, suffix) = name.split_once('.').unwrap();
            if samples.last().is_none_or(|(last, _)| last != key) {
                samples.push((key.to_owned(), BTreeMap::new()));
            }
            let sample = &mut samples.last_mut().unwrap().1;
            prop_assert!(sample.last_key_value().is_none_or(|(last, _)| last.as_str() < suffix), "sorted");
            sample.insert(suffix.to_owned(), bytes);
        }
        prop_assert_eq!(samples.len(), documents.len());
        for (i, (key, sample)) in samples.iter().enumerate() {
            prop_assert_eq!(key, &format!("%2E%2E%2Fa%2Eb~{i}%2Etxt"));
            let expected = tensors(document(folder.path(), options, &documents[i], i));
            let names: Vec<&str> = sample.keys().map(String::as_str).collect();
            let mut wanted = vec!["bytes.bin", "entropies.npy", "json", "patch_entropies.npy", "patch_lengths.npy", "prominence.npy"];
            let is_int8 = options.dtype == EmbeddingDtype::Int8;
            if options.embeddings != Embeddings::None {
                wanted.push("embeddings.npy");
                wanted.extend(is_int8.then_some("embedding_scales.npy"));
            }
            if options.embeddings == Embeddings::Byte {
                wanted.push("byte_embeddings.npy");
                wanted.extend(is_int8.then_some("byte_embedding_scales.npy"));
            }
            wanted.sort_unstable();
            prop_assert_eq!(names, wanted);
            prop_assert_eq!(&sample["bytes.bin"], &expected["bytes"]);
            for (suffix, bytes) in sample.iter().filter(|(suffix, _)| suffix.ends_with(".npy")) {
                let (header, data) = npy(bytes);
                let name = suffix.trim_end_matches(".npy");
                prop_assert!(data == expected[name], "{}", name);
                let n_patches = documents[i].concat().len();
                if name == "embeddings" {
                    let shape = format!("'shape': ({n_patches},{DIM},)");
                    prop_assert!(header.contains(&shape), "{}", header);
                }
            }
            let json: serde_json::Value = serde_json::from_slice(&sample["json"]).unwrap();
            prop_assert_eq!(&json["id"], &format!("../a.b~{i}.txt"));
            prop_assert_eq!(&json["rule"], "global");
            prop_assert_eq!(json["views"].as_array().unwrap().len(), documents[i].len());
        }
    }
}

/// Several times what is compressed at once.
#[test]
fn threads_change_no_byte_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddingOptions { embeddings: Embeddings::Byte, ..EmbeddingOptions::new(DIM) };
    let documents = vec![vec![vec![100; 4000]], vec![vec![]], vec![vec![77; 3000], vec![1; 500]]];
    let plain = folder.path().join("plain");
    write(&plain, ShardCompression::None, 1, options, &documents);
    let plain = std::fs::read(plain).unwrap();
    for compression in [ShardCompression::Gzip, ShardCompression::Zstd] {
        let packed = [1, 2, 4].map(|n_threads| {
            let path = folder.path().join(format!("{n_threads}.{}", compression.extension()));
            let receipt = write(&path, compression, n_threads, options, &documents);
            assert!(unpacked(&path, compression) == plain, "{compression:?}");
            receipt.sha256
        });
        assert!(packed.iter().all(|sha256| *sha256 == packed[0]), "{compression:?}");
    }
}

#[test]
fn two_documents_of_one_id_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = WebDatasetWriter::create(&folder.path().join("x.tar"), ShardCompression::None, 1).unwrap();
    let mut append =
        || writer.append(document(folder.path(), EmbeddingOptions::new(DIM), &[vec![2]], 0), &about("a", &[]));
    append().unwrap();
    assert!(append().unwrap_err().to_string().contains("`a`"));
}

#[test]
fn the_index_names_every_shard() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddingOptions::new(DIM);
    let receipt = write(&folder.path().join("x.tar"), ShardCompression::None, 1, options, &[vec![vec![3]]]);
    let index: serde_json::Value =
        serde_json::from_str(&wids_index(&["shard_000000.tar"], std::slice::from_ref(&receipt))).unwrap();
    assert_eq!(index["__kind__"], "wids-shard-index-v1");
    let shard = &index["shardlist"][0];
    assert_eq!((&shard["url"], &shard["nsamples"]), (&"shard_000000.tar".into(), &1.into()));
    assert_eq!(shard["filesize"], receipt.n_bytes);
}
