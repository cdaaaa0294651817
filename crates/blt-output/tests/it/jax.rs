//! Equal shards of the patches of many files.

use std::path::{Path, PathBuf};

use blt_output::{EmbeddingDtype, EmbeddingOptions, EqualShards, ShardCount, write_equal_shards, write_safetensors};
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{DIM, about, any_documents, any_options, document, tensors};

fn parts(folder: &Path, options: EmbeddingOptions, documents: &[Vec<Vec<usize>>]) -> Vec<(String, PathBuf)> {
    let part = |(i, views): (usize, &Vec<Vec<usize>>)| {
        let path = folder.join(format!("{i}.safetensors"));
        let patching = [("rule", "global".to_owned())];
        write_safetensors(document(folder, options, views, i), &path, &about(&format!("d{i}"), &patching)).unwrap();
        (format!("d{i}"), path)
    };
    documents.iter().enumerate().map(part).collect()
}

fn manifest(written: &EqualShards) -> Value {
    serde_json::from_slice(&std::fs::read(&written.manifest.path).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Shards are equal, their valid rows one behind the other are the documents', and what pads them is zeros.
    #[test]
    fn shards_are_the_documents(options in any_options(), documents in any_documents(), n_shards in 1u64..6) {
        prop_assume!(!documents.is_empty());
        let folder = tempfile::tempdir().unwrap();
        let parts = parts(folder.path(), options, &documents);
        let written = write_equal_shards(&parts, ShardCount::Shards(n_shards), folder.path()).unwrap();
        let manifest = manifest(&written);
        prop_assert_eq!(written.shards.len() as u64, n_shards);
        prop_assert_eq!(&manifest["run"]["rule"], "global");
        let files: Vec<Vec<u8>> = written.shards.iter().map(|shard| std::fs::read(&shard.path).unwrap()).collect();
        let shards: Vec<SafeTensors<'_>> = files.iter().map(|file| SafeTensors::deserialize(file).unwrap()).collect();
        for (name, entry) in manifest["tensors"].as_object().unwrap() {
            let of_bytes = entry["axis"] == "bytes";
            let expected: Vec<u8> = documents.iter().enumerate()
                .flat_map(|(i, views)| tensors(document(folder.path(), options, views, i))[name].clone()).collect();
            let mut found = Vec::new();
            for (i, shard) in shards.iter().enumerate() {
                let tensor = shard.tensor(name).unwrap();
                let about = &manifest["shards"][i];
                let (rows, valid) = if of_bytes { ("bytes", "valid_bytes") } else { ("rows", "valid_rows") };
                let [start, end] = [0, 1].map(|end| about[rows][end].as_u64().unwrap());
                prop_assert_eq!(tensor.shape()[0] as u64, end - start);
                prop_assert_eq!(start, i as u64 * (end - start));
                let row_bytes = tensor.data().len() / (end - start).max(1) as usize;
                let (kept, padding) = tensor.data().split_at(about[valid].as_u64().unwrap() as usize * row_bytes);
                found.extend_from_slice(kept);
                prop_assert!(padding.iter().all(|&byte| byte == 0));
                if !of_bytes {
                    let mut shape: Vec<u64> = tensor.shape().iter().map(|&length| length as u64).collect();
                    shape[0] *= n_shards;
                    prop_assert_eq!(&entry["global_shape"], &Value::from(shape));
                }
            }
            prop_assert!(found == expected, "{}", name);
        }
        for (i, shard) in shards.iter().enumerate() {
            // Bytes and patches of a shard belong together.
            let lengths = shard.tensor("patch_lengths").unwrap();
            let sum: i32 = lengths.data().as_chunks::<4>().0.iter().map(|&bytes| i32::from_le_bytes(bytes)).sum();
            prop_assert_eq!(sum as u64, manifest["shards"][i]["valid_bytes"].as_u64().unwrap());
            let sha256: String = Sha256::digest(&files[i]).iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(&manifest["shards"][i]["sha256"], &sha256);
        }
        let lines = std::fs::read_to_string(&written.documents.path).unwrap();
        prop_assert_eq!(lines.lines().count(), documents.len());
    }
}

#[test]
fn so_many_tokens_to_a_shard() {
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path(), EmbeddingOptions::new(DIM), &[vec![vec![10; 50]], vec![vec![10; 51]]]);
    let shards = |n| write_equal_shards(&parts, ShardCount::Tokens(n), folder.path()).unwrap().shards.len();
    assert_eq!([shards(1_010), shards(1_009), shards(100), shards(1_000_000)], [1, 2, 11, 1]);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mixed = folder.path().join("other");
    std::fs::create_dir(&mixed).unwrap();
    let int8 = EmbeddingOptions { dtype: EmbeddingDtype::Int8, ..EmbeddingOptions::new(DIM) };
    let mut parts = parts(folder.path(), EmbeddingOptions::new(DIM), &[vec![vec![1]]]);
    let write = |parts: &[_]| write_equal_shards(parts, ShardCount::Shards(2), folder.path());
    assert!(write(&parts).is_ok());
    assert!(write(&[]).is_err());
    parts.extend(self::parts(&mixed, int8, &[vec![vec![1]]]));
    assert!(write(&parts).unwrap_err().to_string().contains("not those of the first file"));
    std::fs::write(&parts[1].1, b"no tensors").unwrap();
    assert!(write(&parts).is_err());
}
