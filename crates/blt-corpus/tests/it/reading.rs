//! Every format of patch files that there is and was.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use blt_corpus::{PatchArrays, ProminencePool, ReadError, ReadOptions};
use half::{bf16, f16};
use parquet::data_type::{
    ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, FloatType, Int32Type,
};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use safetensors::Dtype::{BF16, F16, F32, I8, I32, U8};

use crate::{Tensor, floats, ints, write_safetensors};

/// Two patches, of 3 and 1 bytes, with two dimensions.
fn version_4() -> Vec<Tensor<'static>> {
    vec![
        ("bytes", U8, vec![4], b"abcd".to_vec()),
        ("patch_lengths", I32, vec![2], ints(&[3, 1])),
        ("entropies", F32, vec![4], floats(&[1.0, 2.0, 3.0, 4.0])),
        ("byte_prominence", F32, vec![4], floats(&[5.0, 7.0, 6.0, 2.0])),
        ("embeddings", F32, vec![2, 2], floats(&[3.0, 4.0, -1.0, 0.0])),
        ("prominence", F32, vec![2], floats(&[7.0, 2.0])),
        ("patch_entropies", F32, vec![2], floats(&[2.0, 4.0])),
        ("patch_coherence", F32, vec![2], floats(&[10.0, 1.0])),
    ]
}

fn without(mut tensors: Vec<Tensor<'static>>, names: &[&str]) -> Vec<Tensor<'static>> {
    tensors.retain(|tensor| !names.contains(&tensor.0));
    tensors
}

fn with(mut tensors: Vec<Tensor<'static>>, tensor: Tensor<'static>) -> Vec<Tensor<'static>> {
    tensors.retain(|old| old.0 != tensor.0);
    tensors.push(tensor);
    tensors
}

fn read_all(paths: &[&Path], options: ReadOptions) -> Result<PatchArrays, ReadError> {
    let mut patches = PatchArrays::default();
    paths.iter().try_for_each(|path| patches.append_file(path, options))?;
    Ok(patches)
}

fn read(tensors: &[Tensor<'_>], pool: Option<ProminencePool>) -> Result<PatchArrays, ReadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prose~note.txt.safetensors");
    write_safetensors(&path, tensors, &[("model", "m@1")]);
    read_all(&[&path], ReadOptions { pool })
}

#[test]
fn version_4_with_all_its_number_types() {
    let patches = read(&version_4(), None).unwrap();
    assert_eq!((patches.documents[0].id.as_str(), patches.documents[0].n_patches), ("prose~note.txt", 2));
    assert_eq!((patches.dim, patches.model.as_deref()), (2, Some("m@1")));
    assert_eq!(patches.embeddings, [3.0, 4.0, -1.0, 0.0]);
    assert_eq!(patches.prominence, [7.0, 2.0]);
    assert_eq!(patches.entropies.as_deref(), Some(&[2.0, 4.0][..]), "of patches, not of bytes");
    assert_eq!(patches.coherence.as_deref(), Some(&[10.0, 1.0][..]));
    assert_eq!((patches.patch_lengths.as_slice(), patches.bytes.as_slice()), (&[3, 1][..], &b"abcd"[..]));

    let halves: Vec<u8> = [3.0, 4.0, -1.0, 0.0].iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
    let brains: Vec<u8> = [3.0, 4.0, -1.0, 0.0].iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect();
    for stored in [("embeddings", F16, vec![2, 2], halves), ("embeddings", BF16, vec![2, 2], brains)] {
        assert_eq!(read(&with(version_4(), stored), None).unwrap().embeddings, [3.0, 4.0, -1.0, 0.0]);
    }
    let bytes = with(version_4(), ("embeddings", I8, vec![2, 2], vec![6, 8, 0xFE, 0]));
    assert!(read(&bytes, None).is_err(), "without scales");
    let scaled = with(bytes, ("embedding_scales", F32, vec![2], floats(&[0.5, 0.25])));
    assert_eq!(read(&scaled, None).unwrap().embeddings, [3.0, 4.0, -0.5, 0.0]);
}

#[test]
fn prominence_is_pooled_as_asked() {
    let prominence = |pool| read(&version_4(), pool).unwrap().prominence;
    assert_eq!(prominence(Some(ProminencePool::Max)), [7.0, 2.0]);
    assert_eq!(prominence(Some(ProminencePool::Mean)), [6.0, 2.0]);
    assert_eq!(prominence(Some(ProminencePool::L2OfMean)), [5.0, 1.0]);
    // A coherence that was stored is of another prominence.
    let coherence = read(&version_4(), Some(ProminencePool::L2OfMean)).unwrap().coherence.unwrap();
    assert!((coherence[0] - 25.0 / 2.0).abs() < 1e-4 && (coherence[1] - 0.25).abs() < 1e-4, "{coherence:?}");
}

/// `blt_patches_v3` has no prominence of bytes, and its `entropies` are of bytes.
#[test]
fn version_3_and_the_corpus_export() {
    let version_3 = without(version_4(), &["byte_prominence", "patch_coherence"]);
    let patches = read(&version_3, None).unwrap();
    assert_eq!(patches.entropies.as_deref(), Some(&[2.0, 4.0][..]));
    assert!((patches.coherence.unwrap()[0] - 49.0 / 2.0).abs() < 1e-4);
    let error = read(&version_3, Some(ProminencePool::Mean)).unwrap_err();
    assert!(error.to_string().contains("no `byte_prominence` to pool by `mean`"), "{error}");
    assert!(error.hint().unwrap().contains("l2-of-mean"));
    assert!(read(&version_3, Some(ProminencePool::L2OfMean)).is_ok());

    let by_byte_only = without(version_3.clone(), &["patch_entropies"]);
    assert_eq!(read(&by_byte_only, None).unwrap().entropies.as_deref(), Some(&[2.0, 4.0][..]));
    let export = without(version_3.clone(), &["entropies"]);
    assert_eq!(read(&export, None).unwrap().entropies.as_deref(), Some(&[2.0, 4.0][..]));
    let none = without(version_3, &["entropies", "patch_entropies", "prominence"]);
    let patches = read(&none, None).unwrap();
    assert_eq!((patches.prominence, patches.entropies, patches.coherence), (vec![5.0, 1.0], None, None));
}

#[test]
fn version_2_has_nothing_to_place() {
    let version_2 = without(version_4(), &["byte_prominence", "embeddings", "prominence", "patch_entropies"]);
    let error = read(&version_2, None).unwrap_err();
    assert!(error.to_string().contains("it has no `embeddings`") && error.hint().is_some(), "{error}");
}

#[test]
fn token_files_are_pooled_into_patches() {
    let tokens = vec![
        ("embeddings", F32, vec![1, 3, 2], floats(&[1.0, 0.0, 3.0, 4.0, 0.0, 2.0])),
        ("prominence", F32, vec![1, 3], floats(&[1.0, 5.0, 2.0])),
        ("entropies", F32, vec![1, 3], floats(&[0.5, 1.5, 3.0])),
        ("coherence_scores", F32, vec![1, 3], floats(&[2.0, 4.0, 9.0])),
        ("patch_indices", I32, vec![2], ints(&[0, 2])),
        ("patch_mask", I32, vec![1, 3], ints(&[1, 1, 0])),
    ];
    let patches = read(&tokens, None).unwrap();
    assert_eq!(patches.embeddings, [2.0, 2.0, 0.0, 2.0]);
    assert_eq!(patches.prominence, [5.0, 2.0]);
    assert_eq!(patches.entropies.as_deref(), Some(&[1.0, 3.0][..]));
    assert_eq!(patches.coherence.as_deref(), Some(&[3.0, 9.0][..]));
    assert_eq!((patches.patch_lengths.as_slice(), patches.bytes.len()), (&[0, 0][..], 0));
    assert_eq!(read(&tokens, Some(ProminencePool::Mean)).unwrap().prominence, [3.0, 2.0]);
    let masked = without(tokens.clone(), &["patch_indices", "entropies", "prominence"]);
    let patches = read(&masked, None).unwrap();
    assert_eq!(patches.embeddings, [1.0, 0.0, 1.5, 3.0]);
    assert_eq!((patches.prominence[0], patches.entropies), (1.0, None));
    for indices in [&[1, 2][..], &[0, 3], &[0, 0], &[0, -1]] {
        let wrong = with(tokens.clone(), ("patch_indices", I32, vec![2], ints(indices)));
        assert!(read(&wrong, None).unwrap_err().to_string().contains("do not cut its 3 tokens"), "{indices:?}");
    }
    assert!(read(&without(masked, &["patch_mask"]), None).is_err());
}

#[test]
fn lengths_and_shapes_that_lie_are_refused_and_leave_nothing() {
    let cases: Vec<(&str, Vec<Tensor<'_>>)> = vec![
        ("lengths of other bytes", with(version_4(), ("patch_lengths", I32, vec![2], ints(&[3, 2])))),
        ("negative length", with(version_4(), ("patch_lengths", I32, vec![2], ints(&[5, -1])))),
        ("too few lengths", with(version_4(), ("patch_lengths", I32, vec![1], ints(&[4])))),
        ("lengths of floats", with(version_4(), ("patch_lengths", F32, vec![2], floats(&[3.0, 1.0])))),
        ("no width", with(version_4(), ("embeddings", F32, vec![2, 0], vec![]))),
        ("many of no width", with(version_4(), ("embeddings", F32, vec![1 << 40, 0], vec![]))),
        ("more of no width", with(version_4(), ("embeddings", F32, vec![1 << 62, 0], vec![]))),
        ("bare and of no width", vec![("embeddings", F32, vec![1 << 62, 0], vec![])]),
        (
            "tokens of no width",
            vec![("embeddings", F32, vec![1, 1 << 62, 0], vec![]), ("patch_indices", I32, vec![2], ints(&[0, 2]))],
        ),
        ("too wide", with(version_4(), ("embeddings", U8, vec![2, 8193], vec![1; 2 * 8193]))),
        ("empty and too wide", vec![("embeddings", F32, vec![0, 1 << 40], vec![])]),
        ("a flat matrix", with(version_4(), ("embeddings", F32, vec![4], floats(&[0.0; 4])))),
        ("a batch of two", with(version_4(), ("embeddings", F32, vec![2, 2, 1], floats(&[0.0; 4])))),
    ];
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.safetensors"), folder.path().join("bad.safetensors"));
    write_safetensors(&good, &version_4(), &[]);
    for (name, tensors) in cases {
        write_safetensors(&bad, &tensors, &[]);
        let mut patches = read_all(&[&good], ReadOptions::default()).unwrap();
        let before = patches.clone();
        let error = patches.append_file(&bad, ReadOptions::default()).expect_err(name);
        assert!(!error.to_string().is_empty() && patches == before, "{name}");
    }
    std::fs::write(&bad, &std::fs::read(&good).unwrap()[..100]).unwrap();
    assert!(read_all(&[&bad], ReadOptions::default()).is_err(), "cut short");
}

#[test]
fn documents_follow_one_another_if_they_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_safetensors(&path("a.safetensors"), &version_4(), &[("model", "m@1")]);
    let empty = vec![
        ("bytes", U8, vec![0], vec![]),
        ("patch_lengths", I32, vec![0], vec![]),
        ("embeddings", F32, vec![0, 2], vec![]),
        ("prominence", F32, vec![0], vec![]),
        ("patch_entropies", F32, vec![0], vec![]),
    ];
    write_safetensors(&path("empty.safetensors"), &empty, &[("model", "m@1")]);
    let (a, empty) = (path("a.safetensors"), path("empty.safetensors"));
    let patches = read_all(&[&empty, &a, &empty, &a], ReadOptions::default()).unwrap();
    assert_eq!(patches.documents.iter().map(|document| document.n_patches).collect::<Vec<_>>(), [0, 2, 0, 2]);
    assert_eq!((patches.len(), patches.rows().len(), patches.bytes.as_slice()), (4, 4, &b"abcdabcd"[..]));
    let ranges: Vec<_> = patches.ranges().map(|(_, range)| range).collect();
    assert_eq!(ranges, [0..0, 0..2, 2..2, 2..4]);

    write_safetensors(&path("other.safetensors"), &version_4(), &[("model", "n@2")]);
    let error = read_all(&[&a, &path("other.safetensors")], ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("its model is n@2, of those before it m@1"), "{error}");
    let wide = with(version_4(), ("embeddings", F32, vec![2, 3], floats(&[1.0; 6])));
    write_safetensors(&path("wide.safetensors"), &wide, &[]);
    let error = read_all(&[&a, &path("wide.safetensors")], ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("have 3 dimensions, those before it 2"), "{error}");
    let silent = without(version_4(), &["entropies", "patch_entropies"]);
    write_safetensors(&path("silent.safetensors"), &silent, &[]);
    let error = read_all(&[&a, &path("silent.safetensors")], ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("it has no entropies, and the file before it does"), "{error}");
}

const SCHEMA: &str = "message schema {
    required binary id (STRING);
    required int32 part;
    required binary bytes;
    required group patch_lengths (LIST) { repeated group list { required int32 element; } }
    required group prominence (LIST) { repeated group list { required float element; } }
    optional group patch_entropies (LIST) { repeated group list { optional float element; } }
    required group embeddings (LIST) { repeated group list { required group element (LIST) {
        repeated group list { required fixed_len_byte_array(2) element (FLOAT16); } } } }
}";

/// Three rows: a document of two parts (2 patches and 1), and an empty one.
fn write_parquet(path: &Path, null_entropy: bool) {
    fn column<D: DataType>(
        group: &mut SerializedRowGroupWriter<'_, std::fs::File>,
        values: &[D::T],
        levels: [&[i16]; 2],
    ) {
        let mut column = group.next_column().unwrap().unwrap();
        let [definition, repetition] = levels.map(|levels| (!levels.is_empty()).then_some(levels));
        column.typed::<D>().write_batch(values, definition, repetition).unwrap();
        column.close().unwrap();
    }
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let none: [&[i16]; 2] = [&[], &[]];
    column::<ByteArrayType>(&mut group, &["a", "a", "b"].map(ByteArray::from), none);
    column::<Int32Type>(&mut group, &[0, 1, 0], none);
    column::<ByteArrayType>(&mut group, &["abcd", "ef", ""].map(ByteArray::from), none);
    column::<Int32Type>(&mut group, &[3, 1, 2], [&[1, 1, 1, 0], &[0, 1, 0, 0]]);
    column::<FloatType>(&mut group, &[7.0, 2.0, 4.0], [&[1, 1, 1, 0], &[0, 1, 0, 0]]);
    if null_entropy {
        column::<FloatType>(&mut group, &[2.0, 1.0], [&[3, 2, 3, 1], &[0, 1, 0, 0]]);
    } else {
        column::<FloatType>(&mut group, &[2.0, 4.0, 1.0], [&[3, 3, 3, 1], &[0, 1, 0, 0]]);
    }
    let halves: Vec<FixedLenByteArray> = [3.0, 4.0, -1.0, 0.0, 0.5, 0.25]
        .iter()
        .map(|&x| FixedLenByteArray::from(f16::from_f32(x).to_le_bytes().to_vec()))
        .collect();
    column::<FixedLenByteArrayType>(&mut group, &halves, [&[2, 2, 2, 2, 2, 2, 0], &[0, 2, 1, 2, 0, 2, 0]]);
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_rows_become_documents() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("train-00000-of-00001.parquet");
    write_parquet(&path, false);
    let patches = read_all(&[&path], ReadOptions::default()).unwrap();
    let documents: Vec<_> = patches.documents.iter().map(|d| (d.id.as_str(), d.n_patches, d.n_bytes)).collect();
    assert_eq!(documents, [("a", 3, 6), ("b", 0, 0)]);
    assert_eq!(patches.embeddings, [3.0, 4.0, -1.0, 0.0, 0.5, 0.25]);
    assert_eq!((patches.prominence.as_slice(), patches.bytes.as_slice()), (&[7.0, 2.0, 4.0][..], &b"abcdef"[..]));
    assert_eq!(patches.entropies.as_deref(), Some(&[2.0, 4.0, 1.0][..]));
    let pooled = read_all(&[&path], ReadOptions { pool: Some(ProminencePool::L2OfMean) }).unwrap();
    assert_eq!(pooled.prominence[..2], [5.0, 1.0]);
    assert!(read_all(&[&path], ReadOptions { pool: Some(ProminencePool::Max) }).is_err(), "there are none of bytes");

    write_parquet(&path, true);
    let mut patches = PatchArrays::default();
    assert!(patches.append_file(&path, ReadOptions::default()).is_err(), "a null is no number");
    assert_eq!(patches, PatchArrays::default());
    std::fs::write(&path, b"PAR1 nothing PAR1").unwrap();
    assert!(matches!(read_all(&[&path], ReadOptions::default()), Err(ReadError::Parquet { .. })));
}
