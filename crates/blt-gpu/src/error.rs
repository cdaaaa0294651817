//! What can go wrong before the first token.

use blt_checkpoint::CheckpointError;

use crate::adapter::Backend;

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// The checkpoint's tensors could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The backend is known but not in this build.
    #[error("backend `{0}` is not compiled into this program")]
    NotCompiledIn(Backend),
    /// The backend has no such adapter.
    #[error("backend `{backend}` has no device {index}: there are {count}")]
    NoSuchDevice {
        /// The backend.
        backend: Backend,
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The adapter lacks what is needed.
    #[error("{name} cannot compute {what}")]
    Unsupported {
        /// The adapter.
        name: String,
        /// What was asked for.
        what: String,
    },
    /// The driver, or what compiles for it, failed.
    #[error("{name}: {reason}")]
    Device {
        /// The adapter, or the backend if it is not known yet.
        name: String,
        /// What was said.
        reason: String,
    },
}

impl GpuError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Checkpoint(error) => return error.hint(),
            Self::NotCompiledIn(_) => "build with `--features vulkan`, `metal` or `wgpu`, or use `--backend cpu`",
            Self::NoSuchDevice { .. } => "`blt-cli doctor` lists the devices; without one, use `--backend cpu`",
            Self::Unsupported { .. } => "use `--dtype f32`, or `--backend cpu`",
            Self::Device { .. } => "use `--backend cpu`, or update the graphics driver",
        })
    }
}
