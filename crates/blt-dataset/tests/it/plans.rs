//! Plans, ids and documents.

use std::collections::BTreeSet;

use blt_dataset::{ColumnOptions, Content, Medium, Plan, PlanError, PlanOptions, SplitSlice};
use proptest::prelude::*;

use crate::rows::{Files, N_ROWS, documents, fixture, ids, text};

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|i| format!("item_{i}")).collect()
}

fn jsonl(texts: &[&str]) -> Vec<u8> {
    texts
        .iter()
        .map(|text| format!("{}\n", serde_json::json!({"id": text, "text": text})))
        .collect::<String>()
        .into_bytes()
}

#[test]
fn rows_are_numbered_through_the_files_of_a_split() {
    let files = Files::of([
        ("data/train-00000-of-00002.parquet", fixture("rows.parquet")),
        ("data/train-00001-of-00002.parquet", fixture("paged.parquet")),
    ]);
    let dataset = files.dataset(&PlanOptions::default());
    assert_eq!(dataset.plan().n_rows(), Some(2 * N_ROWS));
    let found = documents(&dataset);
    for (i, document) in found.into_iter().enumerate() {
        let document = document.unwrap();
        assert_eq!(document.id, format!("item_{i}"));
        assert_eq!((document.parts.len(), document.parts[0].medium), (1, Medium::Text));
        assert_eq!(document.parts[0].content, Content::Text(text(i as u64 % N_ROWS)));
    }
}

#[test]
fn slices_skip_and_limit_take_the_same_rows_from_every_format() {
    let check = |name: &str, slices: &str, skip, limit, expected: Vec<String>| {
        let files = Files::of([(name, fixture(name))]);
        for unit_bytes in [1, 1 << 30] {
            let slices = SplitSlice::parse(slices).unwrap();
            let options = PlanOptions { slices, skip, limit, unit_bytes, ..PlanOptions::default() };
            assert_eq!(ids(&files.dataset(&options)), expected, "{name}");
        }
    };
    for name in ["rows.parquet", "paged.parquet", "rows.arrow", "rows.jsonl", "rows.json", "rows.csv"] {
        check(name, "train", 0, None, numbers(0..40));
        check(name, "train", 3, Some(4), numbers(3..7));
        check(name, "train[10:20]", 0, None, numbers(10..20));
        check(name, "train[-5:]", 1, Some(100), numbers(36..40));
        check(name, "train[:25%]+train[5:12]", 0, None, numbers(0..12));
        check(name, "train[30:]+train[:2]", 9, None, ["item_39", "item_0", "item_1"].map(String::from).to_vec());
        check(name, "train[50:60]", 0, None, vec![]);
    }
}

#[test]
fn shards_share_the_units() {
    let files = Files::of([("rows.parquet", fixture("rows.parquet"))]);
    let options = |shard| PlanOptions { shard, unit_bytes: 1, ..PlanOptions::default() };
    let shards: Vec<String> = (0..3).flat_map(|i| ids(&files.dataset(&options((i, 3))))).collect();
    assert_eq!(shards.iter().cloned().collect::<BTreeSet<_>>(), numbers(0..40).into_iter().collect());
    assert_eq!(shards.len(), 40);
    assert!(matches!(Plan::new(&files, &files.config(), &options((3, 3))), Err(PlanError::Shard(3, 3))));
}

#[test]
fn plans_are_the_same_and_go_through_json() {
    let files = Files::of([("a.jsonl", fixture("rows.jsonl")), ("b.jsonl", fixture("rows.jsonl"))]);
    let options = PlanOptions { unit_bytes: 500, ..PlanOptions::default() };
    let plan = Plan::new(&files, &files.config(), &options).unwrap();
    assert_eq!(plan, Plan::new(&files, &files.config(), &options).unwrap());
    assert_eq!(plan, serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap());
    let unit_ids: BTreeSet<&String> = plan.units.iter().map(|unit| &unit.id).collect();
    assert_eq!(unit_ids.len(), plan.units.len());
}

#[test]
fn files_that_cannot_be_counted_are_numbered_one_by_one() {
    let packed = |texts: &[&str]| zstd::encode_all(&jsonl(texts)[..], 1).unwrap();
    let files = Files::of([("a.jsonl.zst", packed(&["x", "y"])), ("b.jsonl.zst", packed(&["z"]))]);
    let dataset = files.dataset(&PlanOptions::default());
    assert_eq!(dataset.plan().n_rows(), None);
    assert_eq!(ids(&dataset), ["item_0-0", "item_0-1", "item_1-0"]);
    let limited = files.dataset(&PlanOptions { limit: Some(1), ..PlanOptions::default() });
    assert_eq!((limited.plan().n_rows(), limited.plan().files.len()), (Some(1), 1));
}

#[test]
fn splits_together_name_their_rows_apart() {
    let files = Files::of([("train.jsonl", jsonl(&["x"])), ("test.jsonl", jsonl(&["y"]))]);
    let slices = SplitSlice::parse("test+train").unwrap();
    assert_eq!(ids(&files.dataset(&PlanOptions { slices, ..PlanOptions::default() })), ["item_test-0", "item_train-0"]);
}

#[test]
fn a_file_that_changed_is_not_read() {
    let files = Files::of([("a.jsonl", jsonl(&["x"]))]);
    let plan = Plan::new(&files, &files.config(), &PlanOptions::default()).unwrap();
    let changed = Files::of([("a.jsonl", jsonl(&["other"]))]);
    let dataset = blt_dataset::Dataset::new(std::sync::Arc::new(changed), plan, Default::default(), Default::default());
    let error = dataset.documents(&dataset.plan().units[0]).err().unwrap();
    assert_eq!(error.to_string(), "`a.jsonl` has changed since the run was planned");
}

#[test]
fn a_missing_column_names_those_there_are() {
    let files = Files::of([("rows.parquet", fixture("rows.parquet"))]);
    let columns = ColumnOptions { text: vec!["body".to_owned()], ..ColumnOptions::default() };
    let error = Plan::new(&files, &files.config(), &PlanOptions { columns, ..PlanOptions::default() }).unwrap_err();
    assert_eq!(error.to_string(), "there is no column `body` in `rows.parquet`; there are `id`, `text`, `n`");
    assert!(error.hint().is_some());
}

#[test]
fn pictures_come_as_bytes_or_references_with_their_captions() {
    let files = Files::of([("pictures.parquet", fixture("pictures.parquet"))]);
    let columns = ColumnOptions { with_metadata: true, ..ColumnOptions::default() };
    let dataset = files.dataset(&PlanOptions { columns, ..PlanOptions::default() });
    let found: Vec<_> = documents(&dataset).into_iter().map(Result::unwrap).collect();
    let parts = |i: usize| -> Vec<(String, Medium, Content)> {
        found[i].parts.iter().map(|part| (part.name.clone(), part.medium, part.content.clone())).collect()
    };
    let bytes = |bytes: &[u8]| Content::Bytes(bytes.to_vec());
    let caption = |text: &str| ("caption".to_owned(), Medium::Text, Content::Text(text.to_owned()));
    let image = |name: &str, content| (name.to_owned(), Medium::Image, content);
    assert_eq!(
        parts(0),
        [
            image("pic", bytes(b"PNG1")),
            image("more~0", bytes(b"PNG2")),
            image("more~1", bytes(b"PNG3")),
            caption("one")
        ]
    );
    assert_eq!(parts(1), [image("pic", Content::Reference("images/b.png".to_owned())), caption("two")]);
    assert_eq!(parts(2), [caption("three")]);
    assert_eq!(found[0].part_id(2), "item_0~more%7E1");
    assert_eq!(found[2].part_id(0), "item_2");
    assert_eq!(found[0].parts[0].file_name.as_deref(), Some("a.png"));
    assert_eq!(found[0].metadata, None, "all columns are content");
}

#[test]
fn other_columns_come_along_when_asked_for() {
    let files = Files::of([("rows.parquet", fixture("rows.parquet"))]);
    let columns = ColumnOptions { with_metadata: true, id: Some("id".to_owned()), ..ColumnOptions::default() };
    let dataset = files.dataset(&PlanOptions { columns, limit: Some(1), ..PlanOptions::default() });
    let document = documents(&dataset).remove(0).unwrap();
    assert_eq!(document.id, "item_row-0");
    assert_eq!(serde_json::json!(document.metadata), serde_json::json!({"id": "row-0", "n": -5}));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Hostile, repeated, long ids, and ids that differ in case: every row has a name of its own that is a plain name.
    #[test]
    fn ids_never_collide_and_never_escape(
        texts in prop::collection::vec(prop_oneof!["[abAB]{1,2}", "\\.\\./[a-b]", "/[a-b]", Just("x".repeat(10_000)), "[a-b]@1", "\\PC{0,5}"], 1..30)
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let files = Files::of([("a.jsonl", jsonl(&texts))]);
        let columns = ColumnOptions { id: Some("id".to_owned()), text: vec!["text".to_owned()], ..ColumnOptions::default() };
        let found = ids(&files.dataset(&PlanOptions { columns, unit_bytes: 50, ..PlanOptions::default() }));
        let distinct: BTreeSet<String> = found.iter().map(|id| id.to_lowercase()).collect();
        prop_assert_eq!(distinct.len(), texts.len());
        for id in &found {
            prop_assert!(id.starts_with("item_") && !id.contains(['/', '\\', '\0']) && id.len() < 200, "{}", id);
        }
    }
}
