//! The adapters of each graphics API, and what they can do.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use cubecl::Device;
use cubecl::client::Client;
use cubecl::device::WgpuDeviceKind;
use cubecl::features::MmaConfig;
use cubecl::ir::{ElemType, FloatKind};

use crate::error::GpuError;

/// A graphics API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Vulkan, with kernels in SPIR-V (feature `vulkan`).
    Vulkan,
    /// Metal, with kernels in its own language (feature `metal`).
    Metal,
    /// Whichever API of this machine wgpu prefers, with kernels in WGSL (feature `wgpu`).
    Wgpu,
}

impl Backend {
    /// Every backend this crate knows, compiled in or not.
    pub const ALL: [Backend; 3] = [Backend::Vulkan, Backend::Metal, Backend::Wgpu];

    /// The name used in options and features.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Wgpu => "wgpu",
        }
    }

    /// Whether this build has it.
    pub fn is_compiled_in(self) -> bool {
        match self {
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
            .ok_or_else(|| format!("no GPU backend is named `{name}`"))
    }
}

/// What is known of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterInfo {
    /// Its number: real cards first, software last.
    pub index: usize,
    /// Its name, by the driver.
    pub name: String,
    /// Whether it is a processor that plays a card.
    pub is_software: bool,
    /// How kernels reach it: `wgpu<spirv>`, `wgpu<msl>` or `wgpu<wgsl>`.
    pub compiler: &'static str,
    /// Whether it computes in float16.
    pub has_f16: bool,
    /// Whether it multiplies 16 by 16 matrices of float16 into float32.
    pub has_matrices: bool,
    /// Lanes that compute together, least and most.
    pub plane: (u32, u32),
    /// Kilobytes that the units of a cube share.
    pub shared_kilobytes: usize,
    /// Bytes of the largest buffer.
    pub max_buffer: u64,
}

/// The adapters of a backend.
///
/// # Errors
///
/// Fails when the backend is not compiled in, or an adapter cannot be opened.
pub fn adapters(backend: Backend) -> Result<Vec<AdapterInfo>, GpuError> {
    (0..count(backend)?).map(|index| Ok(Adapter::open(backend, index)?.info())).collect()
}

/// An adapter that is open.
pub(crate) struct Adapter {
    pub(crate) client: Client,
    index: usize,
    is_software: bool,
}

/// Those of a backend, real cards first. Each that is looked for costs a start of the driver.
fn devices(backend: Backend) -> impl Iterator<Item = Device> {
    let kinds: [fn(usize) -> WgpuDeviceKind; 4] =
        [WgpuDeviceKind::DiscreteGpu, WgpuDeviceKind::IntegratedGpu, WgpuDeviceKind::VirtualGpu, WgpuDeviceKind::Other];
    let named = move |kind| match backend {
        Backend::Vulkan => Device::vulkan(kind),
        Backend::Metal => Device::metal_msl(kind),
        Backend::Wgpu => Device::wgpu(kind),
    };
    let cards = kinds.into_iter().flat_map(move |kind| (0..).map_while(move |index| named(kind(index)).ok()));
    cards.chain(std::iter::once(WgpuDeviceKind::Cpu).filter_map(move |kind| named(kind).ok()))
}

fn count(backend: Backend) -> Result<usize, GpuError> {
    check_compiled_in(backend)?;
    guarded(backend.name(), || devices(backend).count())
}

fn check_compiled_in(backend: Backend) -> Result<(), GpuError> {
    if backend.is_compiled_in() { Ok(()) } else { Err(GpuError::NotCompiledIn(backend)) }
}

/// What `open` gives, unless it panics, as the runtime does where a driver refuses something.
pub(crate) fn guarded<R>(name: &str, open: impl FnOnce() -> R) -> Result<R, GpuError> {
    catch_unwind(AssertUnwindSafe(open))
        .map_err(|panic| GpuError::Device { name: name.to_owned(), reason: panic_text(&*panic) })
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}

impl Adapter {
    pub(crate) fn open(backend: Backend, index: usize) -> Result<Self, GpuError> {
        check_compiled_in(backend)?;
        let Some(device) = guarded(backend.name(), || devices(backend).nth(index))? else {
            return Err(GpuError::NoSuchDevice { backend, index, count: count(backend)? });
        };
        let client = guarded(backend.name(), || device.client())?;
        Ok(Self {
            client,
            index,
            is_software: matches!(device, Device::Wgpu(device) if device.kind == WgpuDeviceKind::Cpu),
        })
    }

    /// The first adapter, and all others of its name.
    pub(crate) fn open_alike(backend: Backend) -> Result<Vec<Self>, GpuError> {
        let mut alike = vec![Self::open(backend, 0)?];
        let name = alike[0].info().name;
        for index in 1..count(backend)? {
            let other = Self::open(backend, index)?;
            if other.info().name == name {
                alike.push(other);
            }
        }
        Ok(alike)
    }

    pub(crate) fn info(&self) -> AdapterInfo {
        let properties = self.client.properties();
        let hardware = &properties.hardware;
        let (f16, f32) = (ElemType::Float(FloatKind::F16), ElemType::Float(FloatKind::F32));
        let matrices = MmaConfig { a_type: f16, b_type: f16, cd_type: f32, m: 16, n: 16, k: 16 };
        AdapterInfo {
            index: self.index,
            name: properties.identity.name.clone(),
            is_software: self.is_software,
            compiler: self.client.name(),
            has_f16: properties.supports_type(f16),
            has_matrices: properties.features.matmul.cmma.contains(&matrices),
            plane: (hardware.plane_size_min, hardware.plane_size_max),
            shared_kilobytes: hardware.max_shared_memory_size >> 10,
            max_buffer: properties.memory.max_page_size,
        }
    }
}
