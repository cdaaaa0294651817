//! The entropy model of the Byte Latent Transformer on any GPU, through Vulkan, Metal or WebGPU.
//!
//! `GpuEngine` gives the signals of [`blt_core::EntropyEngine`]. Its kernels are written once, in CubeCL, and become SPIR-V,
//! MSL or WGSL when an engine is made. Their shapes are fixed, so nothing is timed and chosen at the start.
//!
//! For each adapter one thread takes what sessions and batches have queued and packs it into one step, documents one behind the other, so
//! many threads with one small document each are as fast as one large batch.
//!
//! Where an adapter multiplies 16 by 16 matrices of float16, products and attention run on those; elsewhere, and in float32, they
//! run as the formulas read, and the fast kernels are compared with that.
//!
//! Features: `vulkan`, `metal`, `wgpu`. Without any the crate is empty.

#![cfg(any(feature = "vulkan", feature = "metal", feature = "wgpu"))]

mod adapter;
mod engine;
mod error;
mod kernels;
mod layout;
mod model;
mod step;
mod worker;

pub use adapter::{AdapterInfo, Backend, adapters};
pub use engine::{Devices, FloatType, GpuEngine, GpuOptions};
pub use error::GpuError;
