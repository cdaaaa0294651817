//! Parquet files as rows of JSON.

use blt_core::{DecodeError, Document, Limits, Origin};
use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::content;
use crate::text::TextBuilder;

/// Every row group with its rows; binary columns are base64, as JSON has no bytes.
pub(crate) fn read(bytes: Vec<u8>, document: &mut Document, limits: &Limits) -> Result<(), DecodeError> {
    let reader = SerializedFileReader::new(Bytes::from(bytes)).map_err(content)?;
    let mut text = TextBuilder::new(limits);
    let mut number = 0;
    for group in 0..reader.num_row_groups() {
        text.part("row group", &group.to_string())?;
        let rows = reader.get_row_group(group).map_err(content)?;
        for row in rows.get_row_iter(None).map_err(content)? {
            let row = row.map_err(content)?.to_json_value().to_string();
            text.add("row", row.as_bytes(), Some(Origin::Row { table: 0, row: number }))?;
            number += 1;
        }
    }
    document.views.push(text.view("rows", "application/jsonl; charset=utf-8"));
    Ok(())
}
