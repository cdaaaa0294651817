//! Where Burn computes: the processor. GPUs have kernels of their own in `blt-gpu` and `blt-cuda`.

use std::fmt;

use burn::tensor::Device;

/// Why there is no such device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The processor is one device, number 0.
    #[error("there is no device {index}")]
    NoSuchDevice {
        /// The number asked for.
        index: usize,
    },
}

impl DeviceError {
    /// The next step for the user.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoSuchDevice { .. } => Some("the processor is one device, number 0"),
        }
    }
}

/// A device to load a model onto.
#[derive(Debug, Clone)]
pub struct ComputeDevice {
    device: Device,
}

impl ComputeDevice {
    /// The device for Burn's tensors.
    pub fn tensor_device(&self) -> &Device {
        &self.device
    }
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpu (Burn Flex)")
    }
}

/// The processor, which is device 0, through Burn's Flex backend.
///
/// # Errors
///
/// Fails for any other number.
pub fn device(index: usize) -> Result<ComputeDevice, DeviceError> {
    match index {
        0 => Ok(ComputeDevice { device: Device::flex() }),
        index => Err(DeviceError::NoSuchDevice { index }),
    }
}
