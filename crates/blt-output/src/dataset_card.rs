//! What turns a folder of Parquet files into a data set: their names, and the `README.md` that lists them.

use std::fmt::Write as _;

use crate::collector::EmbeddingOptions;
use crate::parquet_columns::{Shape, Values, columns};

/// Name of file `number` below the data set's folder, like `data/train-00000.parquet`. It does not say how many there are, so
/// that it is known before the last one is.
pub fn parquet_name(number: u64) -> String {
    format!("data/train-{number:05}.parquet")
}

/// The `README.md` of a data set of files named by [`parquet_name`]: the header that `datasets` and the Hub read, and what the
/// columns mean. `model` and `patching` are said as they stand in the files.
pub fn dataset_card(embeddings: &EmbeddingOptions, model: &str, patching: &[(&str, String)]) -> String {
    let mut card = String::from(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*.parquet\n---\n\n\
         # Patches\n\n\
         Documents cut into patches where a byte-level language model is uncertain, with that model's signals. A row is a \
         view of a document, or a part of a long one; the `bytes` of a document's rows, in the order of `part`, are all of it.\n\n",
    );
    let _ = write!(card, "Model: `{model}`.");
    for (key, value) in patching {
        let _ = write!(card, " {key}: `{value}`.");
    }
    card.push_str("\n\n| column | type | |\n| --- | --- | --- |\n");
    for column in columns(embeddings) {
        let value = match column.values {
            Values::Text => "string",
            Values::Binary => "binary",
            Values::I32 => "int32",
            Values::F32 => "float32",
            Values::F16 => "float16",
            Values::Bf16 => "float32, of which bfloat16 is the upper half",
            Values::I8 => "int8",
        };
        let kind = match column.shape {
            Shape::One => value.to_owned(),
            Shape::Optional => format!("{value} or null"),
            Shape::List => format!("list of {value}"),
            Shape::ListOf(length) => format!("list of lists of {length} {value}"),
        };
        let _ = writeln!(card, "| `{}` | {kind} | {} |", column.name, column.meaning);
    }
    card
}
