//! The columns of our Parquet files.

use std::io;
use std::sync::Arc;

use ::parquet::basic::{LogicalType, Repetition, Type as Physical};
use ::parquet::errors::ParquetError;
use ::parquet::schema::types::{Type, TypePtr};
use serde_json::{Value, json};

use crate::collector::{EmbeddingDtype, EmbeddingOptions, Embeddings};

/// What a value of a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    Text,
    Binary,
    I32,
    F32,
    F16,
    /// Parquet has no such number: written as the 32-bit float it is the upper half of.
    Bf16,
    I8,
}

impl Values {
    /// Bytes of a value as it is collected; `None` when they differ.
    pub(crate) fn n_bytes(self) -> Option<usize> {
        match self {
            Self::Text | Self::Binary => None,
            Self::I32 | Self::F32 => Some(4),
            Self::F16 | Self::Bf16 => Some(2),
            Self::I8 => Some(1),
        }
    }
}

/// What a row holds of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One value.
    One,
    /// One value, or none.
    Optional,
    /// Any number of values.
    List,
    /// Any number of lists of so many values.
    ListOf(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) values: Values,
    pub(crate) shape: Shape,
    /// Said about it in the data set's card.
    pub(crate) meaning: &'static str,
}

/// The columns that a document has with these options, in order.
pub(crate) fn columns(options: &EmbeddingOptions) -> Vec<Column> {
    use Shape::{List, ListOf, One, Optional};
    use Values::{Binary, F32, I32, Text};
    let column = |name, values, shape, meaning| Column { name, values, shape, meaning };
    let mut columns = vec![
        column("id", Text, One, "the document, unique in the data set"),
        column("part", I32, One, "the row within its document: long documents have several, one after another"),
        column("source", Text, One, "where the document comes from"),
        column("view", Text, One, "what of the document was read; a row has one view or a part of one"),
        column("modality", Text, One, "what the view is, like `text`"),
        column("bytes", Binary, One, "what the model read"),
        column("text", Text, Optional, "the same, where it is UTF-8"),
        column("patch_lengths", I32, List, "bytes of each patch; their sum is the length of `bytes`"),
        column("entropies", F32, List, "of each byte, in nats"),
        column("byte_prominence", F32, List, "of each byte"),
        column("prominence", F32, List, "of each patch"),
        column("patch_entropies", F32, List, "of each patch"),
        column("patch_coherence", F32, List, "of each patch"),
    ];
    let values = match options.dtype {
        EmbeddingDtype::F32 => F32,
        EmbeddingDtype::Bf16 => Values::Bf16,
        EmbeddingDtype::F16 => Values::F16,
        EmbeddingDtype::Int8 => Values::I8,
    };
    let mut rows = |name, scales, meaning| {
        columns.push(column(name, values, ListOf(options.dims), meaning));
        if options.dtype == EmbeddingDtype::Int8 {
            columns.push(column(scales, F32, List, "what each embedding is to be multiplied by"));
        }
    };
    if options.embeddings != Embeddings::None {
        rows("embeddings", "embedding_scales", "of each patch");
    }
    if options.embeddings == Embeddings::Byte {
        rows("byte_embeddings", "byte_embedding_scales", "of each byte");
    }
    columns
}

impl Column {
    fn leaf(&self, name: &str, repetition: Repetition) -> Result<Type, ParquetError> {
        let (physical, logical, length) = match self.values {
            Values::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), -1),
            Values::Binary => (Physical::BYTE_ARRAY, None, -1),
            Values::I32 => (Physical::INT32, None, -1),
            Values::F32 | Values::Bf16 => (Physical::FLOAT, None, -1),
            Values::F16 => (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Float16), 2),
            Values::I8 => (Physical::INT32, Some(LogicalType::integer(8, true)), -1),
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .with_length(length)
            .build()
    }

    fn field(&self) -> Result<Type, ParquetError> {
        match self.shape {
            Shape::One => self.leaf(self.name, Repetition::REQUIRED),
            Shape::Optional => self.leaf(self.name, Repetition::OPTIONAL),
            Shape::List => list(self.name, self.leaf("element", Repetition::REQUIRED)?),
            Shape::ListOf(_) => list(self.name, list("element", self.leaf("element", Repetition::REQUIRED)?)?),
        }
    }

    /// Its type as `datasets` writes it.
    pub(crate) fn feature(&self) -> Value {
        let dtype = match self.values {
            Values::Text => "string",
            Values::Binary => "binary",
            Values::I32 => "int32",
            Values::F32 | Values::Bf16 => "float32",
            Values::F16 => "float16",
            Values::I8 => "int8",
        };
        let value = json!({"dtype": dtype, "_type": "Value"});
        match self.shape {
            Shape::One | Shape::Optional => value,
            Shape::List => json!({"feature": value, "_type": "Sequence"}),
            Shape::ListOf(length) => {
                let inner = json!({"feature": value, "length": length, "_type": "Sequence"});
                json!({"feature": inner, "_type": "Sequence"})
            }
        }
    }

    /// Largest definition and repetition levels.
    pub(crate) fn max_levels(&self) -> (u32, u32) {
        match self.shape {
            Shape::One => (0, 0),
            Shape::Optional => (1, 0),
            Shape::List => (1, 1),
            Shape::ListOf(_) => (2, 2),
        }
    }
}

/// The standard's three-level list, of which nothing may be null.
fn list(name: &str, element: Type) -> Result<Type, ParquetError> {
    let repeated = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![Arc::new(element)])
        .build()?;
    Type::group_type_builder(name)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(repeated)])
        .build()
}

pub(crate) fn schema(columns: &[Column]) -> io::Result<TypePtr> {
    let build = || {
        let fields = columns.iter().map(|column| column.field().map(TypePtr::from)).collect::<Result<_, _>>()?;
        Type::group_type_builder("schema").with_fields(fields).build()
    };
    Ok(Arc::new(build().map_err(io::Error::other)?))
}
