//! Sidecars written, read back and queried with plain SQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use blt_core::{ByteRange, Modality, Origin, Patch, Unit, View};
use blt_sidecar::{Sidecar, SidecarError, SidecarRecord, SidecarWriter, TrunkInfo, write_json};
use proptest::prelude::*;

const TRUNK: TrunkInfo<'static> = TrunkInfo {
    output_id: "name.txt",
    path: "dir/name.txt",
    sha256: [7; 32],
    n_bytes: 12,
    media_type: "text/plain; charset=utf-16le",
    modality: Modality::Text,
    problems: &[],
};

fn unit(label: &'static str, start: u64, end: u64, parent: Option<usize>) -> Unit {
    let origin = Origin::SourceBytes(ByteRange::new(start * 2, end * 2));
    Unit::new(label, ByteRange::new(start, end)).at(origin).inside(parent)
}

/// A view that is not the source's bytes.
fn decoded(units: Vec<Unit>) -> View {
    View { units, ..View::owned("decoded", Modality::Text, "text/plain", Vec::new()) }
}

fn leaves(lengths: &[u64], mut add: impl FnMut(&Patch<'_>) -> Result<(), SidecarError>) {
    let mut start = 0;
    for (i, length) in lengths.iter().enumerate() {
        let range = ByteRange::new(start, start + length);
        let value = i as f32;
        add(&Patch { range, entropy: value, prominence: 10.0 + value, coherence: 0.5, embedding: &[] }).unwrap();
        start += length;
    }
}

fn units() -> Vec<Unit> {
    vec![
        unit("paragraph", 0, 4, None),
        unit("line", 0, 2, Some(0)),
        unit("line", 2, 4, Some(0)),
        unit("paragraph", 4, 6, None),
    ]
}

/// A raw view of 12 bytes and a decoded one of 6 with nested units.
fn two_views(path: &std::path::Path) -> (i64, i64) {
    let mut writer = SidecarWriter::create(path).unwrap();
    let raw = writer.view(&View::raw(Modality::Text, "text/plain")).unwrap();
    leaves(&[5, 1, 6], |patch| writer.leaf(patch));
    let decoded = writer.view(&decoded(units())).unwrap();
    leaves(&[1, 2, 1, 2], |patch| writer.leaf(patch));
    writer.finish(&TRUNK).unwrap();
    (raw, decoded)
}

#[test]
fn every_byte_leads_to_its_leaf_branch_and_trunk() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.hypergraph.db");
    let (raw, decoded) = two_views(&path);
    let sidecar = Sidecar::open(&path).unwrap();

    let leaf = sidecar.leaf_at(raw, 5).unwrap().unwrap();
    assert_eq!((leaf.range, leaf.source), (ByteRange::new(5, 6), Some(ByteRange::new(5, 6))));
    assert_eq!((leaf.ordinal, leaf.tensor_row, leaf.prominence), (1, 1, 11.0));
    let next = sidecar.next_leaf(&leaf).unwrap().unwrap();
    assert_eq!(next.range, ByteRange::new(6, 12));
    assert_eq!(sidecar.next_leaf(&next).unwrap(), None);
    assert_eq!(sidecar.leaf_at(raw, 12).unwrap(), None);
    assert_eq!(sidecar.leaf_at(raw, u64::MAX).unwrap(), None);

    // Byte 3 of the decoded view: the leaf 3..4, tensor row 3 + 2, in the second line of the first paragraph.
    let leaf = sidecar.leaf_at(decoded, 3).unwrap().unwrap();
    assert_eq!((leaf.range, leaf.tensor_row, leaf.source), (ByteRange::new(3, 4), 5, None));
    let line = sidecar.branch(leaf.branch).unwrap().unwrap();
    assert_eq!(
        (line.label.as_str(), line.range, line.source),
        ("line", ByteRange::new(2, 4), Some(ByteRange::new(4, 8)))
    );
    let paragraph = sidecar.branch(line.parent.unwrap()).unwrap().unwrap();
    assert_eq!(paragraph.label, "paragraph");
    assert_eq!(sidecar.branch(paragraph.parent.unwrap()).unwrap().unwrap().label, "decoded");
    assert_eq!(sidecar.trunk().unwrap().n_bytes, 12);
}

#[test]
fn plain_sql_answers_too() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.hypergraph.db");
    let (raw, decoded) = two_views(&path);
    let sidecar = Sidecar::open(&path).unwrap();
    let sql = sidecar.connection();
    let one = |query: &str| sql.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(one(&format!("SELECT next_byte_start FROM v_next WHERE view = {raw} AND byte_start = 0")), 5);
    assert_eq!(one("SELECT count(*) FROM v_next"), 2 + 3);
    assert_eq!(one("SELECT count(*) FROM v_contains"), 2 + 4 + 7);
    assert_eq!(one("SELECT count(*) FROM v_contains WHERE parent_kind = 'trunk' AND kind = 'branch'"), 2);
    let same: Vec<i64> = sql
        .prepare("SELECT node FROM incidence JOIN hyperedge ON edge = id WHERE label = 'same_source' ORDER BY ordinal")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(same, [raw, decoded]);
    assert_eq!(sql.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    assert!(sql.prepare("PRAGMA foreign_key_check").unwrap().query([]).unwrap().next().unwrap().is_none());
    // One search in the leaf table, no scan.
    let plan: String = sql
        .query_row("EXPLAIN QUERY PLAN SELECT ordinal FROM leaf WHERE view = 1 AND byte_start <= 7 ORDER BY byte_start DESC LIMIT 1", [], |row| row.get(3))
        .unwrap();
    assert_eq!(plan, "SEARCH leaf USING PRIMARY KEY (view=? AND byte_start<?)");
}

#[test]
fn the_json_form_joins_nodes_by_index() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("a.hypergraph.db");
    two_views(&path);
    let mut text = Vec::new();
    write_json(&Sidecar::open(&path).unwrap(), &mut text).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let nodes = json["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 1 + 6 + 7);
    assert_eq!(nodes[0]["Trunk"]["total_bytes"], 12);
    assert_eq!(nodes[7]["Leaf"]["metadata"]["end_offset"], 5);
    let labels: Vec<&str> =
        json["edges"].as_array().unwrap().iter().map(|edge| edge["label"].as_str().unwrap()).collect();
    assert_eq!(labels.iter().filter(|&&label| label == "contains").count(), 1 + 2 + 1 + 3);
    let (edge, chain) =
        labels.iter().position(|&label| label == "next").map(|i| (i, &json["topology"]["edges"][i])).unwrap();
    assert_eq!(chain, &serde_json::json!([edge, [7, 8, 9]]));
    assert_eq!(json["topology"]["edges"][labels.len() - 1][1], serde_json::json!([1, 2]));
}

#[test]
fn other_files_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(Sidecar::open(&path), Err(SidecarError::NotASidecar { application_id: 0, version: 0, .. })));
    // The right numbers, but a table that is a view without end.
    let endless = scratch.path().join("endless.db");
    two_views(&endless);
    let tampered = rusqlite::Connection::open(&endless).unwrap();
    let view = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    tampered
        .execute_batch(&format!("PRAGMA foreign_keys = OFF; DROP TABLE branch; CREATE VIEW branch AS {view}"))
        .unwrap();
    drop(tampered);
    assert!(matches!(
        Sidecar::open(&endless),
        Err(SidecarError::NotASidecar { version: blt_sidecar::SCHEMA_VERSION, .. })
    ));
    std::fs::write(&path, b"not a database at all, but long enough to look").unwrap();
    assert!(matches!(Sidecar::open(&path), Err(SidecarError::Sqlite(_))));
    assert!(matches!(SidecarWriter::create(&path), Err(SidecarError::Exists(_))));
    assert!(Sidecar::open(&scratch.path().join("absent.db")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_same_rows_make_the_same_file_and_every_byte_has_its_leaf(lengths in prop::collection::vec(1u64..50, 0..200)) {
        let scratch = tempfile::tempdir().unwrap();
        let paths = [scratch.path().join("a.db"), scratch.path().join("b.db")];
        for path in &paths {
            let mut writer = SidecarWriter::create(path).unwrap();
            writer.view(&View::raw(Modality::Binary, "")).unwrap();
            leaves(&lengths, |patch| writer.leaf(patch));
            writer.finish(&TRUNK).unwrap();
        }
        prop_assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap());
        let sidecar = Sidecar::open(&paths[0]).unwrap();
        prop_assert_eq!(sidecar.n_leaves().unwrap(), lengths.len() as u64);
        let mut offset = 0;
        for (i, length) in lengths.iter().enumerate() {
            for byte in offset..offset + length {
                prop_assert_eq!(sidecar.leaf_at(1, byte).unwrap().unwrap().ordinal, i as u64);
            }
            offset += length;
        }
        prop_assert_eq!(sidecar.leaf_at(1, offset).unwrap(), None);
    }
}

/// A file that has several sources, from records, says of each what a file of its own says.
#[test]
fn sources_one_behind_the_other_are_as_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str| scratch.path().join(name);
    let (first, second, joined) = (file("a.db"), file("b.db"), file("joined.db"));
    two_views(&first);
    let other = TrunkInfo { output_id: "b", path: "b", n_bytes: 7, problems: &["a part".to_owned()], ..TRUNK };
    let mut writer = SidecarWriter::create(&second).unwrap();
    writer.view(&View::raw(Modality::Text, "text/plain")).unwrap();
    leaves(&[3, 4], |patch| writer.leaf(patch));
    writer.finish(&other).unwrap();

    let mut writer = SidecarWriter::create(&joined).unwrap();
    for source in 0..3 {
        let mut record = SidecarRecord::new(scratch.path());
        record.view(&View::raw(Modality::Text, "text/plain"));
        if source == 1 {
            leaves(&[3, 4], |patch| record.leaf(patch));
            record.write(&other, &mut writer).unwrap();
        } else {
            leaves(&[5, 1, 6], |patch| record.leaf(patch));
            record.view(&decoded(units()));
            leaves(&[1, 2, 1, 2], |patch| record.leaf(patch));
            record.write(&TRUNK, &mut writer).unwrap();
        }
    }
    writer.close().unwrap();

    let joined = Sidecar::open(&joined).unwrap();
    let (a, b) = (Sidecar::open(&first).unwrap(), Sidecar::open(&second).unwrap());
    assert_eq!(joined.n_trunks().unwrap(), 3);
    assert_eq!(joined.n_leaves().unwrap(), 2 * a.n_leaves().unwrap() + b.n_leaves().unwrap());
    let leaf_sums =
        "SELECT group_concat(v.byte_start || ' ' || v.byte_end || ' ' || v.tensor_row || ' ' || b.label, ',')
        FROM v_leaf AS v JOIN branch AS b ON b.id = v.branch WHERE v.trunk = ?1";
    let of = |sidecar: &Sidecar, trunk: i64| -> String {
        sidecar.connection().query_row(leaf_sums, [trunk], |row| row.get(0)).unwrap()
    };
    assert_eq!((of(&joined, 1), of(&joined, 2), of(&joined, 3)), (of(&a, 1), of(&b, 1), of(&a, 1)));
    let one = |sql: &str| joined.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(one("SELECT trunk FROM problem"), 2);
    assert_eq!(one("SELECT count(*) FROM hyperedge"), 2);
    assert_eq!(one("SELECT count(*) FROM incidence JOIN branch ON branch.id = node WHERE branch.trunk IN (1, 3)"), 4);
    assert_eq!(one("SELECT count(*) FROM pragma_foreign_key_check"), 0);
}
