//! What can be wrong with a checkpoint.

use std::io;
use std::path::PathBuf;

/// Why a checkpoint was refused. One sentence each; causes are in `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A file is absent or unreadable.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There are weights but no configuration beside them.
    #[error("`{}` has no `config.json` beside it", path.display())]
    NoConfig {
        /// The weights.
        path: PathBuf,
    },
    /// The configuration is not JSON of a known form.
    #[error("`{origin}` is not a model configuration")]
    ConfigJson {
        /// File name or another name of the source.
        origin: String,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The configuration is well-formed but describes no model that can be run.
    #[error("`{origin}`: {reason}")]
    Config {
        /// File name or another name of the source.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is not safetensors, or its header lies about its content.
    #[error("`{origin}` is not a valid safetensors file: {reason}")]
    Safetensors {
        /// File name or another name of the source.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is no record of this model.
    #[error("`{origin}` is not a Burn record of an entropy model: {reason}")]
    Record {
        /// File name.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Tensors that the configuration asks for are not in the file.
    #[error("`{origin}` lacks {count} tensor(s) of this model, first `{name}`")]
    Missing {
        /// File name or another name of the source.
        origin: String,
        /// The first one, under the name expected in the file.
        name: String,
        /// How many are absent.
        count: usize,
    },
    /// A tensor does not fit the configuration; often a checkpoint of another model.
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name in the file.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape the configuration asks for.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a number type that weights do not come in.
    #[error("tensor `{name}` has dtype {found}, expected F32, F16 or BF16")]
    Dtype {
        /// Its name in the file.
        name: String,
        /// Its number type in the file.
        found: String,
    },
    /// A weight is infinite or not a number.
    #[error("tensor `{name}` holds a value that is not finite at element {index}")]
    NotFinite {
        /// Its name in the file.
        name: String,
        /// Row-major index of the first such element.
        index: usize,
    },
    /// The file's hash is not the one that was expected of it.
    #[error("`{origin}` has sha256 {found}, expected {expected}")]
    Hash {
        /// File name or another name of the source.
        origin: String,
        /// Hash of the bytes.
        found: String,
        /// Hash they should have.
        expected: String,
    },
    /// Reading failed in the middle of a file.
    #[error("cannot read `{origin}`")]
    Read {
        /// File name or another name of the source.
        origin: String,
        /// What the system said.
        source: io::Error,
    },
}

impl CheckpointError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { .. } => Some(
                "pass `--model DIR` with `model.safetensors` and `config.json` in it, or `--model embedded` for the model inside the program",
            ),
            Self::NoConfig { .. } => Some("put the model's `config.json` into the same directory as its weights"),
            Self::Missing { .. } | Self::Shape { .. } => Some("check that `config.json` belongs to these weights"),
            Self::Safetensors { .. } | Self::Record { .. } | Self::Hash { .. } => {
                Some("the file may be cut short or damaged; fetch it again")
            }
            _ => None,
        }
    }
}
