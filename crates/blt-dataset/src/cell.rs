//! One value of a table, whatever file it came from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

/// A value in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text. Dates, times, decimals and numbers that JSON lacks are texts too.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Several values.
    List(Vec<Cell>),
    /// Named values, in their order.
    Struct(Vec<(String, Cell)>),
}

impl Cell {
    /// The value as JSON; bytes become base64, as JSON has none.
    pub fn into_json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(value) => Value::Number(value),
            Self::Text(value) => Value::String(value),
            Self::Bytes(value) => Value::String(STANDARD.encode(value)),
            Self::List(cells) => Value::Array(cells.into_iter().map(Self::into_json).collect()),
            Self::Struct(fields) => {
                Value::Object(fields.into_iter().map(|(name, cell)| (name, cell.into_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// The field of a struct, taken out of it.
    pub(crate) fn take_field(&mut self, name: &str) -> Option<Cell> {
        let Self::Struct(fields) = self else { return None };
        let field = fields.iter_mut().find(|(known, _)| known == name)?;
        Some(std::mem::replace(&mut field.1, Self::Null))
    }

    /// A number that may be none in JSON.
    pub(crate) fn float(value: f64) -> Self {
        Number::from_f64(value).map_or_else(|| Self::Text(value.to_string()), Self::Number)
    }
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(value) => Self::Number(value),
            Value::String(value) => Self::Text(value),
            Value::Array(values) => Self::List(values.into_iter().map(Self::from).collect()),
            Value::Object(fields) => {
                Self::Struct(fields.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_in_and_out() {
        let value: Value = serde_json::from_str(r#"{"a":[1,2.5,null,true,"x"],"b":{"c":-1}}"#).unwrap();
        assert_eq!(Cell::from(value.clone()).into_json(), value);
        assert_eq!(Cell::Bytes(vec![0, 255]).into_json(), "AP8=");
        assert_eq!(Cell::float(f64::NAN), Cell::Text("NaN".into()));
    }
}
