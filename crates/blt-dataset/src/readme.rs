//! The head of a README: YAML between two lines `---`.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// A head is no longer than this.
const MAX_BYTES: usize = 16 << 20;
const MAX_DEPTH: usize = 64;

/// Why the head of a README could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadmeError {
    /// It is no YAML.
    #[error("it is not YAML: {0}")]
    Yaml(String),
    /// It refers to parts of itself, by which a small head can become a huge one.
    #[error("it has aliases, which are not read")]
    Alias,
    /// It is larger or deeper than heads are.
    #[error("it is larger than any")]
    TooLarge,
}

/// The head as JSON; null where there is none.
pub(crate) fn front_matter(readme: &str) -> Result<Value, ReadmeError> {
    let readme = readme.strip_prefix('\u{feff}').unwrap_or(readme);
    let Some(rest) = readme.strip_prefix("---").filter(|rest| rest.starts_with(['\n', '\r'])) else {
        return Ok(Value::Null);
    };
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return yaml(&rest[..end]);
        }
        end += line.len();
    }
    Ok(Value::Null) // a rule, not a head
}

fn yaml(text: &str) -> Result<Value, ReadmeError> {
    if text.len() > MAX_BYTES {
        return Err(ReadmeError::TooLarge);
    }
    let mut stack: Vec<Open> = Vec::new();
    let mut root = Value::Null;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| ReadmeError::Yaml(error.to_string()))?;
        let value = match event {
            Event::Alias(_) => return Err(ReadmeError::Alias),
            Event::SequenceStart(..) | Event::MappingStart(..) if stack.len() == MAX_DEPTH => {
                return Err(ReadmeError::TooLarge);
            }
            Event::SequenceStart(..) => {
                stack.push(Open::Sequence(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                stack.push(Open::Mapping(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::Sequence(items)) => Value::Array(items),
                Some(Open::Mapping(fields, _)) => Value::Object(fields),
                None => Value::Null,
            },
            Event::Scalar(text, style, ..) => scalar(text.into_owned(), style),
            _ => continue,
        };
        match stack.last_mut() {
            None => root = value,
            Some(Open::Sequence(items)) => items.push(value),
            Some(Open::Mapping(fields, key)) => match key.take() {
                Some(key) => drop(fields.insert(key, value)),
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            },
        }
    }
    Ok(root)
}

/// A sequence or mapping whose end has not come, the latter with a key that waits for its value.
enum Open {
    Sequence(Vec<Value>),
    Mapping(Map<String, Value>, Option<String>),
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text);
    }
    match text.as_str() {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text), |number| Value::Number(Number::from(number))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn heads_are_read_and_texts_without_one_have_none() {
        let readme = "---\nlicense: mit\nconfigs:\n- config_name: 'a'\n  data_files: [x, \"y\"]\n  default: true\nn: 3\n---\ntext\n---\n";
        let expected = json!({"license": "mit", "configs": [{"config_name": "a", "data_files": ["x", "y"], "default": true}], "n": 3});
        assert_eq!(front_matter(readme).unwrap(), expected);
        for none in ["", "# Title\n---\na: 1\n---\n", "---\nno end", "----\n---\n"] {
            assert_eq!(front_matter(none).unwrap(), Value::Null);
        }
    }

    #[test]
    fn hostile_heads_are_refused() {
        let laughs = "---\na: &a [x, x]\nb: &b [*a, *a]\n---\n";
        assert!(matches!(front_matter(laughs), Err(ReadmeError::Alias)));
        let deep = format!("---\n{}\n---\n", "[".repeat(1000));
        assert!(front_matter(&deep).is_err());
        assert!(matches!(front_matter("---\na: [\n---\n"), Err(ReadmeError::Yaml(_))));
    }
}
