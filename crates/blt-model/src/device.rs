//! The compute devices compiled into this build.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

/// A kind of compute device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The processor, through Burn's Flex backend (feature `cpu`).
    Cpu,
    /// A GPU through Vulkan (feature `vulkan`).
    Vulkan,
    /// An Apple GPU (feature `metal`).
    Metal,
    /// A GPU through WebGPU's native form (feature `wgpu`).
    Wgpu,
}

impl Backend {
    /// Every backend this crate knows, compiled in or not.
    pub const ALL: [Backend; 4] = [Backend::Cpu, Backend::Vulkan, Backend::Metal, Backend::Wgpu];

    /// The name used in options and features.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Cpu => "cpu",
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Wgpu => "wgpu",
        }
    }

    /// Whether this build has it.
    pub fn is_compiled_in(self) -> bool {
        match self {
            Backend::Cpu => cfg!(feature = "cpu"),
            Backend::Vulkan => cfg!(feature = "vulkan"),
            Backend::Metal => cfg!(feature = "metal"),
            Backend::Wgpu => cfg!(feature = "wgpu"),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| format!("no backend is named `{name}`"))
    }
}

/// Why there is no such device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The backend is known but not in this build.
    #[error("backend `{0}` is not compiled into this program")]
    NotCompiledIn(Backend),
    /// The backend has no such device.
    #[error("backend `{backend}` has no device {index}")]
    NoSuchDevice {
        /// The backend.
        backend: Backend,
        /// The number asked for.
        index: usize,
    },
}

impl DeviceError {
    /// The next step for the user.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotCompiledIn(_) => Some("build with `--features vulkan`, `metal` or `wgpu`, or use `--backend cpu`"),
            Self::NoSuchDevice { .. } => Some("the processor is one device, number 0"),
        }
    }
}

/// A device to load a model onto.
#[derive(Debug, Clone)]
pub struct ComputeDevice {
    device: Device,
    backend: Backend,
    index: usize,
}

impl ComputeDevice {
    /// The device for Burn's tensors.
    pub fn tensor_device(&self) -> &Device {
        &self.device
    }

    /// Its backend.
    pub fn backend(&self) -> Backend {
        self.backend
    }
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.backend {
            Backend::Cpu => f.write_str("cpu (Burn Flex)"),
            gpu => write!(f, "{gpu}:{} (Burn)", self.index),
        }
    }
}

/// Device `index` of `backend`. The processor is one device, 0.
///
/// # Errors
///
/// Fails when the backend is not compiled in or has no such device.
pub fn device(backend: Backend, index: usize) -> Result<ComputeDevice, DeviceError> {
    let device = match backend {
        #[cfg(feature = "cpu")]
        Backend::Cpu if index == 0 => Device::flex(),
        #[cfg(feature = "cpu")]
        Backend::Cpu => return Err(DeviceError::NoSuchDevice { backend, index }),
        #[cfg(feature = "vulkan")]
        Backend::Vulkan => Device::vulkan(gpu(index)),
        #[cfg(feature = "metal")]
        Backend::Metal => Device::metal(gpu(index)),
        #[cfg(feature = "wgpu")]
        Backend::Wgpu => Device::wgpu(gpu(index)),
        #[allow(unreachable_patterns, reason = "with every feature on, every backend is handled above")]
        _ => return Err(DeviceError::NotCompiledIn(backend)),
    };
    Ok(ComputeDevice { device, backend, index })
}

#[cfg(any(feature = "vulkan", feature = "metal", feature = "wgpu"))]
fn gpu(index: usize) -> burn::tensor::DeviceKind {
    match index {
        0 => burn::tensor::DeviceKind::DefaultDevice,
        index => burn::tensor::DeviceKind::DiscreteGpu(index),
    }
}
