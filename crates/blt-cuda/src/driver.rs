//! The driver's interface, as much of it as the engine needs. All of a card's memory is behind [`Memory`], which frees it.

#![allow(unsafe_code, reason = "the driver is a library in C")]

use std::ffi::{CString, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use cudarc::driver::{DriverError, result, sys};

use crate::error::CudaError;

/// The version of CUDA whose drivers take the PTX that the crate carries.
const MIN_VERSION: i32 = 12_040;

impl From<DriverError> for CudaError {
    fn from(error: DriverError) -> Self {
        let text = error.error_string().ok().and_then(|text| text.to_str().ok().map(str::to_owned));
        Self::Driver(text.unwrap_or_else(|| format!("{:?}", error.0)))
    }
}

/// A card and the context that this process has on it.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) capability: (i32, i32),
    pub(crate) n_multiprocessors: usize,
    pub(crate) memory: usize,
    raw: sys::CUdevice,
    context: sys::CUcontext,
}

// SAFETY: contexts may be made current on any thread, and handles are numbers.
unsafe impl Send for Device {}
// SAFETY: as above; the driver's functions are thread-safe.
unsafe impl Sync for Device {}

impl Device {
    /// How many there are.
    pub(crate) fn count() -> Result<usize, CudaError> {
        // SAFETY: looks for a library and takes nothing.
        if !unsafe { sys::is_culib_present() } {
            return Err(CudaError::NoDriver);
        }
        match result::init() {
            Err(DriverError(sys::cudaError_enum::CUDA_ERROR_NO_DEVICE)) => return Ok(0),
            other => other?,
        }
        let mut version = 0;
        // SAFETY: the function writes one number.
        unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
        if version < MIN_VERSION {
            return Err(CudaError::OldDriver { major: version / 1000, minor: version % 1000 / 10 });
        }
        Ok(usize::try_from(result::device::get_count()?).unwrap_or(0))
    }

    /// Device `index`.
    pub(crate) fn open(index: usize) -> Result<Arc<Self>, CudaError> {
        let count = Self::count()?;
        if count == 0 {
            return Err(CudaError::NoDevice);
        }
        if index >= count {
            return Err(CudaError::NoSuchDevice { index, count });
        }
        let raw = result::device::get(index as i32)?;
        use sys::CUdevice_attribute_enum as Attribute;
        // SAFETY: the device is one that the driver gave.
        let attribute = |attribute| unsafe { result::device::get_attribute(raw, attribute) };
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        let n_multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize;
        let name = result::device::get_name(raw)?;
        // SAFETY: as above; the context is released once, when the device is dropped.
        let (memory, context) = unsafe { (result::device::total_mem(raw)?, result::primary_ctx::retain(raw)?) };
        Ok(Arc::new(Self { name, capability, n_multiprocessors, memory, raw, context }))
    }

    /// Makes the context this thread's; what follows needs that.
    pub(crate) fn bind(&self) -> Result<(), CudaError> {
        // SAFETY: the context lives as long as `self`.
        Ok(unsafe { result::ctx::set_current(self.context) }?)
    }

    /// Bytes of memory that are free.
    pub(crate) fn free_memory(&self) -> Result<usize, CudaError> {
        self.bind()?;
        Ok(result::mem_get_info()?.0)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: retained once, in `open`.
        let _ = unsafe { result::primary_ctx::release(self.raw) };
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("name", &self.name).field("capability", &self.capability).finish()
    }
}

/// Work in order.
pub(crate) struct Stream {
    pub(crate) device: Arc<Device>,
    raw: sys::CUstream,
}

// SAFETY: the driver takes streams from any thread on which the context is current.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    pub(crate) fn new(device: &Arc<Device>) -> Result<Arc<Self>, CudaError> {
        device.bind()?;
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        Ok(Arc::new(Self { device: device.clone(), raw }))
    }

    /// A stream whose kernels come before those of others that have not begun.
    pub(crate) fn urgent(device: &Arc<Device>) -> Result<Arc<Self>, CudaError> {
        device.bind()?;
        let (mut least, mut greatest, mut raw) = (0, 0, std::ptr::null_mut());
        let flags = sys::CUstream_flags_enum::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: the context is current, and all pointers are to locals.
        unsafe {
            sys::cuCtxGetStreamPriorityRange(&mut least, &mut greatest).result()?;
            sys::cuStreamCreateWithPriority(&mut raw, flags, greatest).result()?;
        }
        Ok(Arc::new(Self { device: device.clone(), raw }))
    }

    /// Waits for everything in it.
    pub(crate) fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: the stream lives as long as `self`.
        Ok(unsafe { result::stream::synchronize(self.raw) }?)
    }

    /// A mark behind everything that is in it now.
    pub(crate) fn mark(&self) -> Result<Event, CudaError> {
        let event = Event { raw: result::event::create(sys::CUevent_flags_enum::CU_EVENT_DEFAULT)? };
        // SAFETY: both live.
        unsafe { result::event::record(event.raw, self.raw) }?;
        Ok(event)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: created by us, destroyed once.
            let _ = unsafe { result::stream::destroy(self.raw) };
        }
    }
}

/// A point in a stream.
pub(crate) struct Event {
    raw: sys::CUevent,
}

// SAFETY: the driver takes events from any thread.
unsafe impl Send for Event {}

impl Event {
    pub(crate) fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: the event lives as long as `self`.
        Ok(unsafe { result::event::synchronize(self.raw) }?)
    }

    /// Seconds from `earlier` to this one; both must have been waited for.
    pub(crate) fn seconds_since(&self, earlier: &Event) -> Result<f64, CudaError> {
        // SAFETY: both live.
        Ok(f64::from(unsafe { result::event::elapsed(earlier.raw, self.raw) }?) / 1000.0)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created by us, destroyed once.
        let _ = unsafe { result::event::destroy(self.raw) };
    }
}

/// Memory of a card.
pub(crate) struct Memory {
    stream: Arc<Stream>,
    address: sys::CUdeviceptr,
    n_bytes: usize,
}

impl Memory {
    /// `n_bytes` zeros, there for what comes later in `stream`.
    pub(crate) fn zeroed(stream: &Arc<Stream>, n_bytes: usize) -> Result<Self, CudaError> {
        let memory = Self::uninitialized(stream, n_bytes)?;
        // SAFETY: the memory is as long as that.
        unsafe { result::memset_d8_async(memory.address, 0, n_bytes.max(1), stream.raw) }?;
        Ok(memory)
    }

    /// Memory that is written before it is read.
    pub(crate) fn uninitialized(stream: &Arc<Stream>, n_bytes: usize) -> Result<Self, CudaError> {
        stream.device.bind()?;
        // SAFETY: the context is current.
        let address = unsafe { result::malloc_async(stream.raw, n_bytes.max(1)) }?;
        Ok(Self { stream: stream.clone(), address, n_bytes })
    }

    /// A copy of `values`.
    pub(crate) fn from_slice<T: Copy>(stream: &Arc<Stream>, values: &[T]) -> Result<Self, CudaError> {
        let memory = Self::uninitialized(stream, size_of_val(values))?;
        if !values.is_empty() {
            // SAFETY: the memory is as long as the slice; a copy from memory that is not pinned returns when it was read.
            unsafe { result::memcpy_htod_async(memory.address, values, stream.raw) }?;
        }
        Ok(memory)
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Copies pinned memory here, when the stream gets there. `values` must not change before.
    pub(crate) fn copy_from<T: Copy>(&self, stream: &Stream, values: &Pinned<T>, n: usize) -> Result<(), CudaError> {
        assert!(size_of::<T>() * n <= self.n_bytes, "the memory is long enough");
        // SAFETY: both are as long as that; the worker waits for the step before it touches its pinned memory again.
        unsafe { result::memcpy_htod_async(self.address, &values[..n], stream.raw) }?;
        Ok(())
    }

    /// Copies the first of this to pinned memory, when the stream gets there.
    pub(crate) fn copy_to<T: Copy>(&self, stream: &Stream, values: &mut Pinned<T>, n: usize) -> Result<(), CudaError> {
        assert!(size_of::<T>() * n <= self.n_bytes, "the memory is long enough");
        // SAFETY: as above.
        unsafe { result::memcpy_dtoh_async(&mut values[..n], self.address, stream.raw) }?;
        Ok(())
    }

    /// The first `n` values, once the stream gets there; waits for that.
    pub(crate) fn read<T: Copy + Default>(&self, stream: &Stream, n: usize) -> Result<Vec<T>, CudaError> {
        assert!(size_of::<T>() * n <= self.n_bytes, "the memory is long enough");
        let mut values = vec![T::default(); n];
        let copied = match n {
            0 => Ok(()),
            // SAFETY: both are as long as that, and the values live until the stream has been waited for.
            _ => unsafe { result::memcpy_dtoh_async(&mut values, self.address, stream.raw) },
        };
        // Whatever came of the copy: nothing may be freed that the stream still uses.
        stream.wait()?;
        copied?;
        Ok(values)
    }

    /// New memory with `n_bytes` from `offset` on of this.
    pub(crate) fn copy_of(&self, stream: &Arc<Stream>, offset: usize, n_bytes: usize) -> Result<Self, CudaError> {
        assert!(offset + n_bytes <= self.n_bytes, "the memory is long enough");
        let copy = Self::uninitialized(stream, n_bytes)?;
        if n_bytes > 0 {
            // SAFETY: both are as long as that.
            unsafe { result::memcpy_dtod_async(copy.address, self.address + offset as u64, n_bytes, stream.raw) }?;
        }
        Ok(copy)
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.stream.device.bind().is_ok() {
            // SAFETY: allocated by us, freed once; the stream frees it behind what still uses it.
            let _ = unsafe { result::free_async(self.address, self.stream.raw) };
        }
    }
}

/// Memory of this machine that cards copy from and to while the processor goes on.
pub(crate) struct Pinned<T> {
    pointer: *mut T,
    len: usize,
    /// Whose context the memory belongs to and must not outlive.
    device: Arc<Device>,
    _values: PhantomData<T>,
}

// SAFETY: it is owned memory.
unsafe impl<T: Send> Send for Pinned<T> {}
// SAFETY: as above; shared, it is only read.
unsafe impl<T: Sync> Sync for Pinned<T> {}

impl<T: Copy + Default> Pinned<T> {
    /// `len` default values.
    pub(crate) fn new(device: &Arc<Device>, len: usize) -> Result<Self, CudaError> {
        device.bind()?;
        // SAFETY: the memory is filled before anything reads it, and freed once.
        unsafe {
            let pointer = result::malloc_host((size_of::<T>() * len).max(1), 0)?.cast::<T>();
            for i in 0..len {
                pointer.add(i).write(T::default());
            }
            Ok(Self { pointer, len, device: device.clone(), _values: PhantomData })
        }
    }
}

impl<T> Deref for Pinned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: allocated with that length and filled.
        unsafe { std::slice::from_raw_parts(self.pointer, self.len) }
    }
}

impl<T> DerefMut for Pinned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and `self` is borrowed uniquely.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.len) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: allocated by us, freed once.
            let _ = unsafe { result::free_host(self.pointer.cast()) };
        }
    }
}

/// Compiled code on a card.
pub(crate) struct Module {
    raw: sys::CUmodule,
    device: Arc<Device>,
}

// SAFETY: the driver takes modules from any thread.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// A function of a module, which must outlive it.
#[derive(Clone, Copy)]
pub(crate) struct Kernel(sys::CUfunction);

// SAFETY: as for modules.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

impl Module {
    /// Has the driver compile `ptx` for the device.
    pub(crate) fn load(device: &Arc<Device>, ptx: &str) -> Result<Self, CudaError> {
        device.bind()?;
        let ptx = CString::new(ptx).map_err(|_| CudaError::Driver("the PTX has a zero in it".into()))?;
        // SAFETY: the text ends with a zero.
        let raw = unsafe { result::module::load_data(ptx.as_ptr().cast()) }?;
        Ok(Self { raw, device: device.clone() })
    }

    /// The function `name`, which may use `shared` bytes of shared memory.
    pub(crate) fn kernel(&self, name: &str, shared: usize) -> Result<Kernel, CudaError> {
        let c_name = CString::new(name).map_err(|_| CudaError::Driver(format!("`{name}` is no name")))?;
        // SAFETY: the module lives.
        let raw = unsafe { result::module::get_function(self.raw, c_name) }?;
        if shared > 48 << 10 {
            let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function lives.
            unsafe { result::function::set_function_attribute(raw, attribute, shared as i32) }?;
        }
        Ok(Kernel(raw))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: loaded by us, unloaded once.
            let _ = unsafe { result::module::unload(self.raw) };
        }
    }
}

/// How a part of the card's memory lies, for the bulk copy engine: tiles of 64 columns in the 128-byte swizzle.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct TensorMap(sys::CUtensorMap);

// SAFETY: plain bytes.
unsafe impl Send for TensorMap {}
// SAFETY: plain bytes.
unsafe impl Sync for TensorMap {}

impl TensorMap {
    /// Of `memory` as `[rows, columns]` 16-bit numbers, tiles of `tile_rows` rows. What a tile reads outside is 0.
    pub(crate) fn new(
        memory: &Memory,
        rows: usize,
        columns: usize,
        tile_rows: u32,
        is_bf16: bool,
    ) -> Result<Self, CudaError> {
        assert!(2 * rows * columns <= memory.n_bytes, "the memory is long enough");
        let mut map = std::mem::MaybeUninit::<sys::CUtensorMap>::zeroed();
        let element = if is_bf16 {
            sys::CUtensorMapDataType_enum::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
        } else {
            sys::CUtensorMapDataType_enum::CU_TENSOR_MAP_DATA_TYPE_FLOAT16
        };
        let (sizes, strides) = ([columns as u64, rows as u64], [2 * columns as u64]);
        let (tile, steps) = ([64u32, tile_rows], [1u32, 1]);
        // SAFETY: all arrays have the lengths that the rank asks for.
        unsafe {
            sys::cuTensorMapEncodeTiled(
                map.as_mut_ptr(),
                element,
                2,
                memory.address as *mut c_void,
                sizes.as_ptr(),
                strides.as_ptr(),
                tile.as_ptr(),
                steps.as_ptr(),
                sys::CUtensorMapInterleave_enum::CU_TENSOR_MAP_INTERLEAVE_NONE,
                sys::CUtensorMapSwizzle_enum::CU_TENSOR_MAP_SWIZZLE_128B,
                sys::CUtensorMapL2promotion_enum::CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                sys::CUtensorMapFloatOOBfill_enum::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
            .result()?;
            Ok(Self(map.assume_init()))
        }
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub(crate) enum Argument<'a> {
    Memory(&'a Memory),
    Null,
    I32(i32),
    I64(i64),
    F32(f32),
    Map(&'a TensorMap),
    /// A structure that is laid out as the kernel's.
    Structure(*const c_void),
}

/// How many threads: blocks in two dimensions, threads in each, and bytes of shared memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Launch {
    pub(crate) blocks: (usize, usize),
    pub(crate) threads: usize,
    pub(crate) shared: usize,
    /// Whether blocks may start before the kernel before has ended; the kernel itself then waits for that.
    pub(crate) overlaps: bool,
}

impl Stream {
    /// Starts `kernel` behind what is in the stream.
    ///
    /// # Safety
    ///
    /// The arguments must be those of the kernel, and their memory as long as it takes it to be.
    pub(crate) unsafe fn launch(
        &self,
        kernel: Kernel,
        launch: Launch,
        arguments: &[Argument<'_>],
    ) -> Result<(), CudaError> {
        let mut values = [0u64; 16];
        let mut pointers = [std::ptr::null_mut::<c_void>(); 16];
        for ((argument, value), pointer) in arguments.iter().zip(&mut values).zip(&mut pointers) {
            let by_value = match *argument {
                Argument::Memory(memory) => memory.address,
                Argument::Null => 0,
                Argument::I32(number) => u64::from(number.cast_unsigned()),
                Argument::I64(number) => number.cast_unsigned(),
                Argument::F32(number) => u64::from(number.to_bits()),
                Argument::Map(map) => {
                    *pointer = std::ptr::from_ref(map).cast_mut().cast();
                    continue;
                }
                Argument::Structure(structure) => {
                    *pointer = structure.cast_mut();
                    continue;
                }
            };
            *value = by_value;
            *pointer = std::ptr::from_mut(value).cast();
        }
        let (x, y) = launch.blocks;
        let mut attributes = [sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID_enum::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        }];
        let config = sys::CUlaunchConfig {
            gridDimX: x as u32,
            gridDimY: y as u32,
            gridDimZ: 1,
            blockDimX: launch.threads as u32,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: launch.shared as u32,
            hStream: self.raw,
            attrs: attributes.as_mut_ptr(),
            numAttrs: u32::from(launch.overlaps),
        };
        // SAFETY: the caller's promise; the driver copies arguments and configuration before it returns.
        unsafe { sys::cuLaunchKernelEx(&config, kernel.0, pointers.as_mut_ptr(), std::ptr::null_mut()) }.result()?;
        Ok(())
    }
}
