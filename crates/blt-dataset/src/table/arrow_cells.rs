//! Arrow's arrays as cells.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, ArrowTemporalType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use arrow_schema::{DataType, FieldRef, TimeUnit};
use serde_json::Number;

use super::lines::too_long;
use super::{ColumnKind, Row, is_file};
use crate::cell::Cell;
use crate::error::TableError;

/// What is left of the bytes that a row may have. A few bytes of a file may say that a long value stands there a million times.
struct Budget(u64);

impl Budget {
    fn spend(&mut self, n_bytes: usize) -> Result<(), TooLong> {
        self.0 = self.0.checked_sub(n_bytes as u64).ok_or(TooLong)?;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<Cell, TooLong> {
        self.spend(text.len())?;
        Ok(Cell::Text(text.to_owned()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<Cell, TooLong> {
        self.spend(bytes.len())?;
        Ok(Cell::Bytes(bytes.to_owned()))
    }
}

/// A row would have more bytes than it may.
#[derive(Debug)]
pub(super) struct TooLong;

/// The values at `i` of the columns at `places`, unless they have more than `max_bytes`.
pub(super) fn cells(batch: &RecordBatch, i: usize, places: &[usize], max_bytes: u64) -> Result<Vec<Cell>, TooLong> {
    let mut budget = Budget(max_bytes);
    places.iter().map(|&place| cell(batch.column(place), i, &mut budget)).collect()
}

/// A row of these cells.
pub(super) fn row(file: &str, number: u64, cells: Result<Vec<Cell>, TooLong>, max: u64) -> Result<Row, TableError> {
    cells.map(|cells| Row { number, cells }).map_err(|TooLong| too_long(file, number, max))
}

/// The value at `i`.
fn cell(array: &dyn Array, i: usize, budget: &mut Budget) -> Result<Cell, TooLong> {
    budget.spend(size_of::<Cell>())?;
    if array.is_null(i) {
        return Ok(Cell::Null);
    }
    Ok(match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(i)),
        DataType::Int8 => integer::<Int8Type>(array, i),
        DataType::Int16 => integer::<Int16Type>(array, i),
        DataType::Int32 => integer::<Int32Type>(array, i),
        DataType::Int64 => integer::<Int64Type>(array, i),
        DataType::UInt8 => integer::<UInt8Type>(array, i),
        DataType::UInt16 => integer::<UInt16Type>(array, i),
        DataType::UInt32 => integer::<UInt32Type>(array, i),
        DataType::UInt64 => integer::<UInt64Type>(array, i),
        DataType::Float16 => Cell::float(array.as_primitive::<Float16Type>().value(i).to_f64()),
        // Through the shortest text, so that 0.1 stays 0.1.
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(i);
            Cell::float(value.to_string().parse().unwrap_or(f64::from(value)))
        }
        DataType::Float64 => Cell::float(array.as_primitive::<Float64Type>().value(i)),
        DataType::Utf8 => budget.text(array.as_string::<i32>().value(i))?,
        DataType::LargeUtf8 => budget.text(array.as_string::<i64>().value(i))?,
        DataType::Utf8View => budget.text(array.as_string_view().value(i))?,
        DataType::Binary => budget.bytes(array.as_binary::<i32>().value(i))?,
        DataType::LargeBinary => budget.bytes(array.as_binary::<i64>().value(i))?,
        DataType::BinaryView => budget.bytes(array.as_binary_view().value(i))?,
        DataType::FixedSizeBinary(_) => budget.bytes(array.as_fixed_size_binary().value(i))?,
        DataType::Date32 => moment::<Date32Type>(array, i),
        DataType::Date64 => moment::<Date64Type>(array, i),
        DataType::Timestamp(TimeUnit::Second, _) => moment::<TimestampSecondType>(array, i),
        DataType::Timestamp(TimeUnit::Millisecond, _) => moment::<TimestampMillisecondType>(array, i),
        DataType::Timestamp(TimeUnit::Microsecond, _) => moment::<TimestampMicrosecondType>(array, i),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => moment::<TimestampNanosecondType>(array, i),
        DataType::Time32(TimeUnit::Second) => time::<Time32SecondType>(array, i),
        DataType::Time32(_) => time::<Time32MillisecondType>(array, i),
        DataType::Time64(TimeUnit::Microsecond) => time::<Time64MicrosecondType>(array, i),
        DataType::Time64(_) => time::<Time64NanosecondType>(array, i),
        DataType::Duration(TimeUnit::Second) => integer::<DurationSecondType>(array, i),
        DataType::Duration(TimeUnit::Millisecond) => integer::<DurationMillisecondType>(array, i),
        DataType::Duration(TimeUnit::Microsecond) => integer::<DurationMicrosecondType>(array, i),
        DataType::Duration(TimeUnit::Nanosecond) => integer::<DurationNanosecondType>(array, i),
        DataType::Decimal32(..) => Cell::Text(array.as_primitive::<Decimal32Type>().value_as_string(i)),
        DataType::Decimal64(..) => Cell::Text(array.as_primitive::<Decimal64Type>().value_as_string(i)),
        DataType::Decimal128(..) => Cell::Text(array.as_primitive::<Decimal128Type>().value_as_string(i)),
        DataType::Decimal256(..) => Cell::Text(array.as_primitive::<Decimal256Type>().value_as_string(i)),
        DataType::List(_) => list(&array.as_list::<i32>().value(i), budget)?,
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(i), budget)?,
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(i), budget)?,
        DataType::Map(..) => list(&array.as_map().value(i), budget)?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            let mut named = |(field, column): (&FieldRef, &ArrayRef)| {
                budget.spend(size_of::<String>() + field.name().len())?;
                Ok((field.name().clone(), cell(column, i, budget)?))
            };
            Cell::Struct(fields.iter().zip(columns).map(&mut named).collect::<Result<_, TooLong>>()?)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            // Null keys were looked for above; normalized keys would be made for all rows, so one key is sliced out.
            let key = dictionary.keys().slice(i, 1);
            let index = match cell(&key, 0, budget)? {
                Cell::Number(number) => number.as_u64().and_then(|index| usize::try_from(index).ok()),
                _ => None,
            };
            let values = dictionary.values();
            match index.filter(|&index| index < values.len()) {
                Some(index) => cell(values, index, budget)?,
                None => Cell::Null,
            }
        }
        _ => Cell::Null, // none of these gets here: see `unsupported`
    })
}

/// The first type within `data_type` that [`cell`] does not know.
pub(super) fn unsupported(data_type: &DataType) -> Option<String> {
    match data_type {
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => unsupported(field.data_type()),
        DataType::Struct(fields) => fields.iter().find_map(|field| unsupported(field.data_type())),
        DataType::Dictionary(_, values) => unsupported(values),
        DataType::Union(..)
        | DataType::Interval(_)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => Some(data_type.to_string()),
        _ => None,
    }
}

fn integer<T>(array: &dyn Array, i: usize) -> Cell
where
    T: ArrowPrimitiveType,
    T::Native: Into<Number>,
{
    Cell::Number(array.as_primitive::<T>().value(i).into())
}

/// A date or a time on a date, as ISO 8601 has it; with `Z` where the column says that its zero is in UTC.
fn moment<T>(array: &dyn Array, i: usize) -> Cell
where
    T: ArrowTemporalType,
    i64: From<T::Native>,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    let Some(moment) = array.value_as_datetime(i) else { return Cell::Number(i64::from(array.value(i)).into()) };
    let text = format!("{moment:?}");
    Cell::Text(match array.data_type() {
        DataType::Date32 | DataType::Date64 => text.split('T').next().unwrap_or_default().to_owned(),
        DataType::Timestamp(_, Some(_)) => text + "Z",
        _ => text,
    })
}

fn time<T>(array: &dyn Array, i: usize) -> Cell
where
    T: ArrowTemporalType,
    i64: From<T::Native>,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    array
        .value_as_time(i)
        .map_or_else(|| Cell::Number(i64::from(array.value(i)).into()), |time| Cell::Text(format!("{time:?}")))
}

fn list(values: &dyn Array, budget: &mut Budget) -> Result<Cell, TooLong> {
    Ok(Cell::List((0..values.len()).map(|i| cell(values, i, budget)).collect::<Result<_, _>>()?))
}

/// What lies in a column of this type, as far as it matters for finding content.
pub(super) fn kind_of(data_type: &DataType) -> ColumnKind {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnKind::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnKind::Bytes
        }
        DataType::Dictionary(_, values) => kind_of(values),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            ColumnKind::List(Box::new(kind_of(field.data_type())))
        }
        DataType::Struct(fields) if is_file(fields.iter().map(|field| field.name().as_str())) => ColumnKind::File,
        _ => ColumnKind::Other,
    }
}
