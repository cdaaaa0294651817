//! Files of one document.

use blt_output::{EmbeddingDtype, EmbeddingOptions, Embeddings, publish, write_safetensors};
use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use crate::{DIM, about, document};

fn write(options: EmbeddingOptions, views: &[Vec<usize>]) -> Vec<u8> {
    let scratch = tempfile::tempdir().unwrap();
    let patching = [("rule", "global".to_owned()), ("threshold", "1.5".to_owned())];
    let (partial, path) = (scratch.path().join("x.partial"), scratch.path().join("x.safetensors"));
    let document = document(scratch.path(), options, views, 0);
    let receipt = write_safetensors(document, &partial, &about("x", &patching)).unwrap();
    publish(&partial, &path).unwrap();
    assert!(!partial.exists());
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(receipt.n_bytes, bytes.len() as u64);
    assert_eq!(receipt.sha256.as_slice(), Sha256::digest(&bytes).as_slice());
    bytes
}

fn shape(file: &SafeTensors<'_>, name: &str) -> Vec<usize> {
    file.tensor(name).unwrap().shape().to_vec()
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    crate::floats(file.tensor(name).unwrap().data())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_read_back_is_what_was_written(views in prop::collection::vec(prop::collection::vec(1usize..40, 0..30), 1..4)) {
        let bytes = write(EmbeddingOptions { embeddings: Embeddings::Byte, ..EmbeddingOptions::new(DIM) }, &views);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let n: usize = views.iter().flatten().sum();
        let lengths: Vec<usize> = file.tensor("patch_lengths").unwrap().data().as_chunks::<4>().0.iter()
            .map(|&b| i32::from_le_bytes(b) as usize).collect();
        prop_assert_eq!(lengths, views.concat());
        prop_assert_eq!(file.tensor("bytes").unwrap().data(), (0..n).map(|i| b"text \xc3\xa9\xff"[i * i % 7]).collect::<Vec<_>>());
        prop_assert_eq!(floats(&file, "entropies"), (0..n).map(|i| i as f32 * 0.5).collect::<Vec<_>>());
        prop_assert_eq!(shape(&file, "byte_embeddings"), [n, DIM]);
        prop_assert_eq!(shape(&file, "embeddings"), [views.concat().len(), DIM]);
        if views.len() > 1 {
            let lengths: Vec<usize> = file.tensor("view_lengths").unwrap().data().as_chunks::<8>().0.iter()
                .map(|&b| i64::from_le_bytes(b) as usize).collect();
            prop_assert_eq!(lengths, views.iter().map(|view| view.iter().sum::<usize>()).collect::<Vec<_>>());
        } else {
            prop_assert!(file.tensor("view_lengths").is_err());
        }
        for (name, tensor) in file.tensors() {
            let size = tensor.data().len() / tensor.shape().iter().product::<usize>().max(1);
            let offset = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
            prop_assert!(size == 0 || offset.is_multiple_of(size), "{} starts at {}", name, offset);
        }
    }
}

#[test]
fn large_tensors_go_through_files_and_come_back() {
    let bytes =
        write(EmbeddingOptions { embeddings: Embeddings::Byte, ..EmbeddingOptions::new(DIM) }, &[vec![300; 1000]]);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let expected: Vec<f32> = (0..300_000 * DIM).map(|i| (i as f32 * 0.1).sin()).collect();
    assert_eq!(floats(&file, "byte_embeddings"), expected);
}

#[test]
fn the_header_says_what_the_file_is() {
    let bytes = write(EmbeddingOptions::new(DIM), &[vec![3, 2]]);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let strings = header.metadata().clone().unwrap();
    for (key, value) in [
        ("format", "blt_patches_v4"),
        ("num_patches", "2"),
        ("total_bytes", "5"),
        ("embed_dim", "6"),
        ("model", "m@0"),
        ("metadata_file", "x.hypergraph.db"),
        ("rule", "global"),
        ("threshold", "1.5"),
        ("views", r#"[{"label":"view 0","modality":"text","n_bytes":5,"n_patches":2}]"#),
    ] {
        assert_eq!(strings.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert_eq!(SafeTensors::deserialize(&bytes).unwrap().tensor("embeddings").unwrap().shape(), [2, DIM]);
}

#[test]
fn narrow_embeddings_stay_within_their_rounding() {
    let with = |dtype| write(EmbeddingOptions { dtype, ..EmbeddingOptions::new(DIM) }, &[vec![2; 50]]);
    let exact = floats(&SafeTensors::deserialize(&with(EmbeddingDtype::F32)).unwrap(), "embeddings");
    for (dtype, to_f32) in [
        (EmbeddingDtype::Bf16, (|b| bf16::from_le_bytes(b).to_f32()) as fn([u8; 2]) -> f32),
        (EmbeddingDtype::F16, |b| f16::from_le_bytes(b).to_f32()),
    ] {
        let bytes = with(dtype);
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let found = file.tensor("embeddings").unwrap().data().as_chunks::<2>().0.iter().map(|&b| to_f32(b));
        assert!(found.zip(&exact).all(|(a, b)| (a - b).abs() <= b.abs() / 128.0 + 1e-6), "{dtype:?}");
    }
    let bytes = with(EmbeddingDtype::Int8);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let scales = floats(&file, "embedding_scales");
    let rows = file.tensor("embeddings").unwrap();
    assert_eq!(scales.len(), 50);
    for (i, (&value, expected)) in rows.data().iter().zip(&exact).enumerate() {
        let scale = scales[i / DIM];
        assert!((f32::from(value as i8) * scale - expected).abs() <= scale * 0.501);
    }
}

#[test]
fn no_bytes_make_a_valid_file() {
    let bytes = write(EmbeddingOptions::new(DIM), &[vec![]]);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("bytes").unwrap().shape(), [0]);
    assert_eq!(file.tensor("embeddings").unwrap().shape(), [0, DIM]);
}

#[test]
fn embeddings_can_be_left_out() {
    let bytes = write(EmbeddingOptions { embeddings: Embeddings::None, ..EmbeddingOptions::new(DIM) }, &[vec![1, 2]]);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.tensor("embeddings").is_err());
    assert_eq!(file.tensor("prominence").unwrap().shape(), [2]);
}
