//! The entropy model of the Byte Latent Transformer on NVIDIA cards.
//!
//! [`CudaEngine`] gives the signals of [`blt_core::EntropyEngine`]. It needs the driver and nothing else of CUDA: the
//! kernels are compiled ahead and carried as PTX, the driver's library is loaded when an engine is made.
//!
//! One thread a card takes what sessions and batches have queued, packs it into one step, documents one behind the other at
//! multiples of 64 rows, and keeps the card busy with the next step while the last one's answers go out. So many threads with one
//! small document each are as fast as one large batch.
//!
//! In bfloat16 or float16 a step runs on the tensor cores: by wgmma and the bulk copy engine on Hopper, by mma.sync on
//! every card since Ampere. In float32 it runs as the formulas read; the fast paths are compared with that.

mod driver;
mod engine;
mod error;
mod layout;
mod model;
mod program;
mod room;
mod step;
mod worker;

pub use engine::{CudaEngine, CudaOptions, Devices, FloatType};
pub use error::CudaError;

/// What is known of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number.
    pub index: usize,
    /// Its name, by the driver.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
    /// Bytes of memory.
    pub memory: usize,
    /// Number of multiprocessors.
    pub n_multiprocessors: usize,
    /// How a model in bfloat16 would be computed.
    pub path: &'static str,
}

/// How many cards the driver shows.
///
/// # Errors
///
/// Fails when there is no driver, or it is too old.
pub fn device_count() -> Result<usize, CudaError> {
    driver::Device::count()
}

/// The cards that the driver shows.
///
/// # Errors
///
/// Fails when there is no driver or it does not answer.
pub fn devices() -> Result<Vec<DeviceInfo>, CudaError> {
    (0..driver::Device::count()?)
        .map(|index| {
            let device = driver::Device::open(index)?;
            Ok(DeviceInfo {
                index,
                name: device.name.clone(),
                capability: device.capability,
                memory: device.memory,
                n_multiprocessors: device.n_multiprocessors,
                path: program::Path::best(&device, FloatType::Bf16).map_or("float32 only", program::Path::name),
            })
        })
        .collect()
}
