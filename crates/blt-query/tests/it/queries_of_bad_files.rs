//! What is not answered: each is a sentence that says what to do.

use std::sync::Arc;

use arrow_array::{Int64Array, StringArray};
use blt_query::{Format, Query};

use crate::{World, filter, sql, write_parquet};

#[track_caller]
fn refused(world: &World, query: &Query, format: Format, names: &[&str]) -> String {
    let error = world.ask(query, format, names).unwrap_err();
    let text = error.to_string();
    assert!(!text.contains('\n') && text.len() < 600, "{text}");
    format!("{text} [{}]", error.hint().unwrap_or_default())
}

#[test]
fn a_wrong_query_is_told_what_there_is() {
    let world = World::new();
    world.write("a.jsonl", "{\"id\": 1, \"text\": \"one\"}\n");
    let ask = |query: &Query| refused(&world, query, Format::JsonLines, &["a.jsonl"]);
    for query in [filter("ids > 1"), sql("SELECT ids FROM self"), sql("SELECT id FROM self ORDER BY ids")] {
        let said = ask(&query);
        assert!(said.contains("ids") && said.contains("`id` (i64), `text` (str)"), "{said}");
    }
    assert!(ask(&filter("text > 1")).contains("does not fit the columns"));
    assert!(ask(&filter("id")).contains("does not fit the columns"));
    assert!(ask(&filter("nothing(id)")).contains("nothing"));
    assert!(ask(&sql("SELECT * FROM other")).contains("other"));
    assert!(ask(&filter("id >")).starts_with("it is not understood"));
    assert!(ask(&sql("SELECT * FROM read_csv('/etc/passwd')")).contains("knows the table `self` alone"));
    assert!(ask(&sql("SELECT CAST(text AS INT) AS n FROM self")).contains("TRY_CAST"));
}

#[test]
fn files_that_do_not_go_together_are_named() {
    let world = World::new();
    world.write("a.csv", "id,text\n1,one\n");
    world.write("b.csv", "text,id\ntwo,2\n");
    let said = refused(&world, &filter("true"), Format::Delimited(b','), &["a.csv", "b.csv"]);
    assert!(
        said.starts_with("`b.csv` has not the columns of `a.csv`: there is `text` where there should be `id`"),
        "{said}"
    );
    world.write("a.jsonl", "{\"id\": 1}\n");
    world.write("b.jsonl", "{\"id\": {\"a\": 2}}\n");
    let said = refused(&world, &filter("true"), Format::JsonLines, &["a.jsonl", "b.jsonl"]);
    assert!(said.contains("Struct"), "{said}");
    write_parquet(&world.path("a.parquet"), &[("id", Arc::new(Int64Array::from(vec![1])))], 10);
    write_parquet(&world.path("b.parquet"), &[("id", Arc::new(StringArray::from(vec!["1"])))], 10);
    let said = refused(&world, &filter("true"), Format::Parquet, &["a.parquet", "b.parquet"]);
    assert!(said.contains("type"), "{said}");
}

#[test]
fn damaged_files_are_named() {
    let world = World::new();
    world.write("a.jsonl", "{\"id\": 1}\nnot json\n");
    world.write("a.csv", b"id,text\n1,\xff\xfe\n");
    world.write("ragged.csv", "id,text\n1,a,b,c\n");
    world.write("a.parquet", "PAR1 and no more PAR1");
    world.write("empty.parquet", "");
    for (format, name) in [
        (Format::JsonLines, "a.jsonl"),
        (Format::Delimited(b','), "a.csv"),
        (Format::Delimited(b','), "ragged.csv"),
        (Format::Parquet, "a.parquet"),
        (Format::Parquet, "empty.parquet"),
        (Format::Arrow, "a.parquet"),
    ] {
        let said = refused(&world, &filter("true"), format, &[name]);
        assert!(said.contains(name) || said.contains("rows"), "{name}: {said}");
    }
}
