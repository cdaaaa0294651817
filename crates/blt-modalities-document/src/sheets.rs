//! Spreadsheets as rows of comma separated values.

use std::io::Cursor;

use blt_core::{DecodeError, Document, Limits, Origin};
use calamine::{Data, Reader, open_workbook_auto_from_rs};

use crate::content;
use crate::text::TextBuilder;

/// Every sheet with its cells as they are shown, except that dates are ISO 8601 and numbers have all digits. Rows count from
/// the top of the sheet, whether or not they are empty.
pub(crate) fn read(bytes: Vec<u8>, document: &mut Document, limits: &Limits) -> Result<(), DecodeError> {
    let mut workbook = open_workbook_auto_from_rs(Cursor::new(bytes)).map_err(content)?;
    let mut text = TextBuilder::new(limits);
    for (table, name) in workbook.sheet_names().into_iter().enumerate() {
        text.part("sheet", &name)?;
        let sheet = match workbook.worksheet_range(&name) {
            Ok(sheet) => sheet,
            Err(error) => {
                document.problems.push(format!("the sheet `{name}`: {error}"));
                continue;
            }
        };
        let first = sheet.start().map_or(0, |(row, _)| u64::from(row));
        for (index, cells) in sheet.rows().enumerate() {
            let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
            writer.write_record(cells.iter().map(shown)).map_err(content)?;
            let mut line = writer.into_inner().map_err(content)?;
            line.pop();
            let origin = Origin::Row { table: table as u32, row: first + index as u64 };
            text.add("row", &line, Some(origin))?;
        }
    }
    document.views.push(text.view("rows", "text/csv; charset=utf-8"));
    Ok(())
}

fn shown(cell: &Data) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::DateTime(date) => match date.is_duration() {
            true => date.as_f64().to_string(),
            false => {
                let (year, month, day, hour, minute, second, milliseconds) = date.to_ymd_hms_milli();
                let day = format!("{year:04}-{month:02}-{day:02}");
                match (hour, minute, second, milliseconds) {
                    (0, 0, 0, 0) => day,
                    (_, _, _, 0) => format!("{day}T{hour:02}:{minute:02}:{second:02}"),
                    _ => format!("{day}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}"),
                }
            }
        },
        cell => cell.to_string(),
    }
}
