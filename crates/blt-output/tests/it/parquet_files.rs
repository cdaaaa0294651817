//! Parquet files, read with the record reader of the `parquet` crate.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use blt_output::{
    EmbeddingDtype, EmbeddingOptions, Embeddings, ParquetOptions, ParquetWriter, ShardReceipt, ShardWriter,
    dataset_card, parquet_name,
};
use half::{bf16, f16};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use proptest::prelude::*;

use crate::{DIM, about, any_documents, any_options, document, floats, tensors};

/// Small enough for documents of these tests to have several rows and files several row groups.
const SMALL: ParquetOptions = ParquetOptions { row_group_bytes: 9_000, row_bytes: 2_500, n_threads: 2 };

fn write(path: &Path, options: EmbeddingOptions, sizes: ParquetOptions, documents: &[Vec<Vec<usize>>]) -> ShardReceipt {
    let mut writer = Box::new(ParquetWriter::create(path, &options, sizes).unwrap());
    for (i, views) in documents.iter().enumerate() {
        let patching = [("rule", "global".to_owned())];
        let document = document(path.parent().unwrap(), options, views, i);
        writer.append(document, &about(&format!("document {i}"), &patching)).unwrap();
    }
    writer.finish().unwrap()
}

fn rows(path: &Path) -> Vec<BTreeMap<String, Field>> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let row = |row: Row| row.into_columns().into_iter().collect();
    reader.get_row_iter(None).unwrap().map(|found| row(found.unwrap())).collect()
}

fn text(field: &Field) -> &str {
    let Field::Str(text) = field else { panic!("{field:?}") };
    text
}

/// The values of a field, lists of them, and lists of lists of them, in the form of the safetensors file.
fn bytes_of(field: &Field, dtype: EmbeddingDtype, out: &mut Vec<u8>) {
    match field {
        Field::ListInternal(list) => list.elements().iter().for_each(|field| bytes_of(field, dtype, out)),
        Field::Bytes(bytes) => out.extend_from_slice(bytes.data()),
        Field::Int(value) => out.extend(value.to_le_bytes()),
        Field::Byte(value) => out.extend(value.to_le_bytes()),
        Field::Float16(value) => out.extend(value.to_le_bytes()),
        Field::Float(value) if dtype == EmbeddingDtype::Bf16 => {
            let narrow = bf16::from_f32(*value);
            assert_eq!(narrow.to_f32(), *value, "widened without loss");
            out.extend(narrow.to_le_bytes());
        }
        Field::Float(value) => out.extend(value.to_le_bytes()),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The rows of a document, one behind the other, are its tensors; no row ends inside a patch or a view.
    #[test]
    fn rows_are_the_documents(options in any_options(), documents in any_documents()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let receipt = write(&path, options, SMALL, &documents);
        let rows = rows(&path);
        prop_assert_eq!(receipt.n_rows, rows.len() as u64);
        for (i, views) in documents.iter().enumerate() {
            let expected = tensors(document(folder.path(), options, views, i));
            let mine: Vec<_> = rows.iter().filter(|row| text(&row["id"]) == format!("document {i}")).collect();
            prop_assert!(mine.len() >= views.len());
            for (part, row) in mine.iter().enumerate() {
                prop_assert_eq!(&row["part"], &Field::Int(part as i32));
                let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
                bytes_of(&row["bytes"], EmbeddingDtype::F32, &mut bytes);
                bytes_of(&row["patch_lengths"], EmbeddingDtype::F32, &mut lengths);
                let sum: i32 = lengths.as_chunks::<4>().0.iter().map(|&bytes| i32::from_le_bytes(bytes)).sum();
                prop_assert_eq!(sum as usize, bytes.len());
                match std::str::from_utf8(&bytes) {
                    Ok(expected) => prop_assert_eq!(text(&row["text"]), expected),
                    Err(_) => prop_assert_eq!(&row["text"], &Field::Null),
                }
            }
            let labels: Vec<&str> = mine.iter().map(|row| text(&row["view"])).collect();
            prop_assert!(labels.is_sorted(), "{:?}", labels);
            for (name, expected) in expected.iter().filter(|(name, _)| *name != "view_lengths") {
                let dtype = if name.ends_with("embeddings") { options.dtype } else { EmbeddingDtype::F32 };
                let mut found = Vec::new();
                mine.iter().for_each(|row| bytes_of(&row[name.as_str()], dtype, &mut found));
                prop_assert!(&found == expected, "{}", name);
            }
            let n_columns = 7 + expected.keys().filter(|name| *name != "view_lengths" && *name != "bytes").count();
            prop_assert!(mine.iter().all(|row| row.len() == n_columns));
        }
    }
}

#[test]
fn sizes_are_kept_and_pages_are_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let options = EmbeddingOptions::new(DIM);
    let documents = vec![vec![vec![5; 600]], vec![vec![]], vec![vec![3; 40], vec![9; 300]]];
    let receipt = write(&path, options, SMALL, &documents);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), receipt.n_bytes);
    let file = File::open(&path).unwrap();
    let metadata = ParquetMetaDataReader::new()
        .with_offset_index_policy(PageIndexPolicy::Required)
        .parse_and_finish(&file)
        .unwrap();
    assert!(metadata.num_row_groups() > 3);
    let index = metadata.page_index().unwrap();
    for (group, row_group) in metadata.row_groups().iter().enumerate() {
        for column in 0..row_group.num_columns() {
            let pages = index.offset_index(group, column).unwrap().page_locations();
            assert_eq!(pages[0].offset, row_group.column(column).data_page_offset());
            assert_eq!(pages[0].first_row_index, 0);
        }
    }
    for row in rows(&path) {
        let mut values = Vec::new();
        bytes_of(&row["embeddings"], EmbeddingDtype::F32, &mut values);
        assert!(values.len() as u64 <= SMALL.row_bytes);
    }
}

#[test]
fn large_rows_fill_several_pages_and_threads_change_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    for dtype in [EmbeddingDtype::F32, EmbeddingDtype::F16, EmbeddingDtype::Int8] {
        let options = EmbeddingOptions { embeddings: Embeddings::Byte, dtype, ..EmbeddingOptions::new(DIM) };
        let documents = vec![vec![vec![64; 2000]], vec![vec![32; 1000]]];
        let receipts = [("a", 1), ("b", 3)].map(|(name, n_threads)| {
            let sizes = ParquetOptions { n_threads, ..ParquetOptions::default() };
            write(&folder.path().join(name), options, sizes, &documents)
        });
        assert_eq!(receipts[0].sha256, receipts[1].sha256);
        assert_eq!(receipts[0].n_rows, 2);
        let expected = tensors(document(folder.path(), options, &documents[0], 0));
        let mut found = Vec::new();
        bytes_of(&rows(&folder.path().join("a"))[0]["byte_embeddings"], dtype, &mut found);
        assert!(found == expected["byte_embeddings"], "{dtype:?}");
    }
}

#[test]
fn the_footer_says_what_the_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let options = EmbeddingOptions { dtype: EmbeddingDtype::F16, ..EmbeddingOptions::new(DIM) };
    write(&path, options, ParquetOptions::default(), &[vec![vec![2, 3]]]);
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let strings = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let string = |key: &str| strings.iter().find(|entry| entry.key == key).unwrap().value.clone().unwrap();
    assert_eq!((string("model"), string("rule")), ("m@0".to_owned(), "global".to_owned()));
    let features: serde_json::Value = serde_json::from_str(&string("huggingface")).unwrap();
    let embeddings = &features["info"]["features"]["embeddings"];
    assert_eq!(embeddings["feature"]["length"], DIM);
    assert_eq!(embeddings["feature"]["feature"]["dtype"], "float16");
}

#[test]
fn half_precision_is_read_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let options = EmbeddingOptions { dtype: EmbeddingDtype::F16, ..EmbeddingOptions::new(DIM) };
    write(&path, options, ParquetOptions::default(), &[vec![vec![2, 3]]]);
    let exact = floats(&tensors(document(folder.path(), EmbeddingOptions::new(DIM), &[vec![2, 3]], 0))["embeddings"]);
    let Field::ListInternal(patches) = &rows(&path)[0]["embeddings"] else { panic!("no list") };
    let Field::ListInternal(second) = &patches.elements()[1] else { panic!("no list") };
    let expected: Vec<Field> = exact[DIM..].iter().map(|&value| Field::Float16(f16::from_f32(value))).collect();
    assert_eq!(second.elements(), expected);
}

#[test]
fn a_document_with_other_embeddings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let mut writer = ParquetWriter::create(&path, &EmbeddingOptions::new(DIM), ParquetOptions::default()).unwrap();
    let options = EmbeddingOptions { dtype: EmbeddingDtype::Int8, ..EmbeddingOptions::new(DIM) };
    assert!(writer.append(document(folder.path(), options, &[vec![1]], 0), &about("a", &[])).is_err());
}

#[test]
fn the_card_lists_the_files_and_every_column() {
    let options =
        EmbeddingOptions { embeddings: Embeddings::Byte, dtype: EmbeddingDtype::Int8, ..EmbeddingOptions::new(DIM) };
    let card = dataset_card(&options, "m@0", &[("rule", "global".to_owned())]);
    assert!(card.starts_with("---\nconfigs:\n"));
    assert!(card.contains("path: data/train-*.parquet"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, options, ParquetOptions::default(), &[vec![vec![1]]]);
    for name in rows(&path)[0].keys() {
        assert!(card.contains(&format!("| `{name}` |")), "{name}");
    }
    assert_eq!(parquet_name(7), "data/train-00007.parquet");
}
