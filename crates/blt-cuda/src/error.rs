//! What can go wrong before the first token.

use blt_checkpoint::CheckpointError;

/// Why an engine could not be made, or a card not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// The checkpoint's tensors could not be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// There is no NVIDIA driver.
    #[error("no NVIDIA driver is installed: its library was not found")]
    NoDriver,
    /// The driver shows no card.
    #[error("the NVIDIA driver shows no card")]
    NoDevice,
    /// There are fewer cards.
    #[error("there is no CUDA device {index}: the driver shows {count}")]
    NoSuchDevice {
        /// What was asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The driver does not take our kernels.
    #[error("the NVIDIA driver (CUDA {major}.{minor}) is too old")]
    OldDriver {
        /// CUDA version of the driver.
        major: i32,
        /// Its second part.
        minor: i32,
    },
    /// The card lacks what is needed.
    #[error("{name} (compute capability {}.{}) cannot compute {what}", capability.0, capability.1)]
    Unsupported {
        /// The card.
        name: String,
        /// Its compute capability.
        capability: (i32, i32),
        /// What was asked for.
        what: String,
    },
    /// The model does not fit.
    #[error("{name} has {free} MB of memory free, and the model needs at least {needed} MB")]
    Memory {
        /// The card.
        name: String,
        /// Megabytes free.
        free: usize,
        /// Megabytes needed.
        needed: usize,
    },
    /// The driver reported a failure.
    #[error("CUDA: {0}")]
    Driver(String),
}

impl CudaError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Checkpoint(error) => return error.hint(),
            Self::NoDriver | Self::NoDevice => "use `--backend cpu`, or look at what `nvidia-smi` says",
            Self::NoSuchDevice { .. } => "`blt-cli doctor` lists the devices",
            Self::OldDriver { .. } => "install driver 550 or newer, or use `--backend cpu`",
            Self::Unsupported { .. } => "use `--backend cpu`; cards before Ampere compute with `--dtype f32`",
            Self::Memory { .. } => "stop what else uses the card, or use `--backend cpu`",
            Self::Driver(_) => "look at what `nvidia-smi` says, or use `--backend cpu`",
        })
    }
}
