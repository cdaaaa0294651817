//! From the arguments to a model on its device.

use std::path::Path;

use blt_checkpoint::{Checkpoint, CheckpointError, ModelConfig, record_in};
use blt_core::EntropyEngine;
use blt_cpu::{CpuEngine, CpuOptions, FloatType, InstructionSet, LoadError, Quantization};

use crate::args::{BackendArg, DeviceArg, DtypeArg, EngineArgs, QuantizeArg};
use crate::failure::Failure;
use crate::hub::HubArgs;
use crate::models::{self, ModelName};

/// A model that computes.
pub(crate) struct LoadedModel {
    pub(crate) engine: Box<dyn EntropyEngine>,
    pub(crate) config: ModelConfig,
}

impl LoadedModel {
    /// The model's name in outputs.
    pub(crate) fn name(&self) -> &str {
        &self.engine.info().model
    }
}

/// Where and how to compute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    pub(crate) backend: BackendArg,
    /// Which device of the backend.
    pub(crate) device: DeviceArg,
    pub(crate) dtype: DtypeArg,
    pub(crate) instructions: Option<InstructionSet>,
    pub(crate) quantize: QuantizeArg,
    /// Processor threads, 0 for all.
    pub(crate) threads: usize,
}

impl EngineArgs {
    /// The model on its device.
    pub(crate) fn load(&self) -> Result<LoadedModel, Failure> {
        let Self { backend, device, dtype, instructions, quantize, .. } = *self;
        let threads = self.threads.map_or(0, usize::from);
        load(self.named(), Placement { backend, device, dtype, instructions, quantize, threads })
    }

    /// The model asked for.
    pub(crate) fn named(&self) -> NamedModel<'_> {
        NamedModel { model: &self.model, use_mpk: self.use_mpk, hub: Some(&self.hub) }
    }

    /// Number of processor threads.
    pub(crate) fn n_threads(&self) -> usize {
        self.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
    }
}

/// Opens a model and loads it onto a device.
pub(crate) fn load(model: NamedModel<'_>, placement: Placement) -> Result<LoadedModel, Failure> {
    let source = open_model(model)?;
    let is_for_processor = placement.instructions.is_some() || placement.quantize != QuantizeArg::None;
    match placement.backend {
        BackendArg::Cpu => on_processor(source, placement),
        BackendArg::Auto if is_for_processor => on_processor(source, placement),
        BackendArg::Auto => {
            let mut source = source;
            if cuda::is_there() {
                match cuda::load(source, placement) {
                    Ok(model) => return Ok(model),
                    Err(failure) if placement.device == DeviceArg::One(0) => {
                        tracing::warn!("the NVIDIA card is not used: {failure}");
                    }
                    Err(failure) => return Err(failure),
                }
                source = open_model(model)?;
            }
            if let Some(backend) = gpu::automatic() {
                match gpu::load(source, Placement { backend, ..placement }) {
                    Ok(model) => return Ok(model),
                    Err(failure) if placement.device == DeviceArg::One(0) => {
                        tracing::warn!("the GPU is not used: {failure}");
                    }
                    Err(failure) => return Err(failure),
                }
                source = open_model(model)?;
            }
            on_processor(source, placement)
        }
        _ if placement.instructions.is_some() => Err(Failure::usage("`--instructions` is for `--backend cpu` only")),
        _ if placement.quantize != QuantizeArg::None => Err(Failure::usage("`--quantize` is for `--backend cpu` only")),
        BackendArg::Cuda => cuda::load(source, placement),
        #[cfg(feature = "burn-cpu")]
        BackendArg::BurnCpu => burn::load(source, placement),
        BackendArg::Vulkan | BackendArg::Metal | BackendArg::Wgpu => gpu::load(source, placement),
    }
}

/// Loads a model for our own engine on the processor.
fn on_processor(source: ModelSource, placement: Placement) -> Result<LoadedModel, Failure> {
    if placement.device != DeviceArg::One(0) {
        return Err(Failure::usage("the processor is one device").hint(Some("use `--device 0`, or leave it out")));
    }
    let float = match placement.dtype {
        DtypeArg::Auto => None,
        DtypeArg::F32 => Some(FloatType::F32),
        DtypeArg::Bf16 => Some(FloatType::Bf16),
        DtypeArg::F16 => {
            return Err(Failure::usage("the processor does not compute in f16")
                .hint(Some("use `--dtype bf16`, which is as small, or `--dtype f32`")));
        }
    };
    let Placement { instructions, quantize, threads, .. } = placement;
    let options = CpuOptions { float, instructions, quantization: quantize.quantization(), threads };
    let failed = |error: LoadError| {
        let hint = error.hint();
        Failure::new("cannot load the entropy model", error).hint(hint)
    };
    let name = source.identity().map_err(|error| failed(error.into()))?;
    let (config, tensors) = source.into_tensors()?;
    let engine = CpuEngine::from_tensors(&config, &name, &options, tensors).map_err(failed)?;
    Ok(LoadedModel { engine: Box::new(engine), config })
}

/// A model that was found, before it is on a device.
pub(crate) enum ModelSource {
    /// Safetensors, embedded or on disk.
    Checkpoint(Checkpoint),
    /// A Burn record.
    Burnpack {
        /// The file.
        bytes: Vec<u8>,
        /// From the `config.json` beside it.
        config: ModelConfig,
        /// Its configuration's name, else the file's.
        name: String,
    },
}

/// Gives the values of a tensor by its name in the original's layout.
pub(crate) type Tensors = Box<dyn Fn(&str) -> Result<Vec<f32>, CheckpointError>>;

impl ModelSource {
    /// The sizes and the tensors, wherever they are.
    pub(crate) fn into_tensors(self) -> Result<(ModelConfig, Tensors), Failure> {
        Ok(match self {
            Self::Checkpoint(checkpoint) => {
                (checkpoint.config().clone(), Box::new(move |name: &str| checkpoint.tensor_f32(name)))
            }
            Self::Burnpack { bytes, config, .. } => {
                let tensors = burn::tensors(&bytes, &config)?;
                (config, Box::new(move |name: &str| Ok(tensors(name))))
            }
        })
    }

    /// The model's name and which weights they are, for outputs.
    fn identity(&self) -> Result<String, CheckpointError> {
        match self {
            Self::Checkpoint(checkpoint) => checkpoint.identity(),
            Self::Burnpack { bytes, name, .. } => Ok(burn::identity(name, bytes)),
        }
    }
}

/// What the user calls a model, and where to look for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedModel<'a> {
    pub(crate) model: &'a str,
    /// Whether it is a Burn record whatever its name, or the record of its folder.
    pub(crate) use_mpk: bool,
    /// The hub, when the model may be there.
    pub(crate) hub: Option<&'a HubArgs>,
}

impl<'a> NamedModel<'a> {
    /// A model by its name alone, perhaps on the hub.
    pub(crate) fn on(hub: &'a HubArgs, model: &'a str) -> Self {
        Self { model, use_mpk: false, hub: Some(hub) }
    }
}

/// Finds what `--model` names: what is inside the program, what is on disk, and only then what is on the hub.
pub(crate) fn open_model(named: NamedModel<'_>) -> Result<ModelSource, Failure> {
    if named.model == "embedded" {
        if named.use_mpk {
            return Err(Failure::usage("the embedded model is no Burn record").hint(Some("name one with `--model`")));
        }
        return Checkpoint::embedded(blt_mini::NAME, blt_mini::WEIGHTS, blt_mini::CONFIG, blt_mini::SHA256)
            .map(ModelSource::Checkpoint)
            .map_err(failure);
    }
    let path = Path::new(named.model);
    let on_hub = ModelName::parse(named.model).filter(|_| !path.exists());
    match (on_hub, named.hub) {
        (Some(name), Some(hub)) => match open_path(&models::locate(&name, hub)?, named.use_mpk)? {
            ModelSource::Checkpoint(checkpoint) => Ok(ModelSource::Checkpoint(checkpoint.or_named(name.short()))),
            other => Ok(other),
        },
        _ => open_path(path, named.use_mpk),
    }
}

/// Opens a model's folder or its weights.
fn open_path(path: &Path, use_mpk: bool) -> Result<ModelSource, Failure> {
    if use_mpk {
        let record = if path.is_dir() { record_in(path) } else { Some(path.to_owned()) };
        let record = record.ok_or_else(|| {
            Failure::usage(format!("`{}` does not hold one Burn record", path.display()))
                .hint(Some("name the `.mpk` file itself with `--model`"))
        })?;
        return Checkpoint::open_record(&record).map(ModelSource::Checkpoint).map_err(failure);
    }
    let in_folder = path.join("model.bpk");
    let burnpack = if path.extension().is_some_and(|extension| extension == "bpk") {
        Some(path)
    } else if in_folder.is_file() && !path.join("model.safetensors").is_file() {
        Some(in_folder.as_path())
    } else {
        None
    };
    let Some(burnpack) = burnpack else {
        return Checkpoint::open(path).map(ModelSource::Checkpoint).map_err(failure);
    };
    let read = |path: &Path| {
        let open = |source| failure(CheckpointError::Open { path: path.to_owned(), source });
        std::fs::read(path).map_err(open)
    };
    let config_path = burnpack.with_file_name("config.json");
    let config = String::from_utf8(read(&config_path)?)
        .map_err(|error| Failure::new(format!("`{}` is not UTF-8", config_path.display()), error))?;
    let config = ModelConfig::from_json(&config, &config_path.display().to_string()).map_err(failure)?;
    let name = config.name.clone().unwrap_or_else(|| burnpack.file_stem().unwrap_or_default().display().to_string());
    Ok(ModelSource::Burnpack { bytes: read(burnpack)?, config, name })
}

fn failure(error: CheckpointError) -> Failure {
    let hint = error.hint();
    Failure::new("cannot load the entropy model", error).hint(hint)
}

impl QuantizeArg {
    /// As the engine takes it.
    pub(crate) fn quantization(self) -> Quantization {
        match self {
            Self::None => Quantization::None,
            Self::Int8 => Quantization::Int8,
            Self::Int4 => Quantization::Int4,
        }
    }
}

/// NVIDIA cards.
#[cfg(feature = "cuda")]
mod cuda {
    use blt_cuda::{CudaEngine, CudaError, CudaOptions, Devices, FloatType};

    use super::{LoadedModel, ModelSource, Placement};
    use crate::args::{DeviceArg, DtypeArg};
    use crate::failure::Failure;

    /// Whether the driver shows a card. A driver that is there and cannot be used is worth a word.
    pub(super) fn is_there() -> bool {
        match blt_cuda::device_count() {
            Ok(count) => count > 0,
            Err(CudaError::NoDriver) => false,
            Err(error) => {
                tracing::warn!("NVIDIA cards are not used: {error}");
                false
            }
        }
    }

    pub(super) fn load(source: ModelSource, placement: Placement) -> Result<LoadedModel, Failure> {
        let failed = |error: CudaError| {
            let hint = error.hint();
            Failure::new("cannot load the entropy model", error).hint(hint)
        };
        let devices = match placement.device {
            DeviceArg::One(index) => Devices::One(index),
            DeviceArg::All => Devices::All,
        };
        let float = match placement.dtype {
            DtypeArg::Auto | DtypeArg::Bf16 => FloatType::Bf16,
            DtypeArg::F16 => FloatType::F16,
            DtypeArg::F32 => FloatType::F32,
        };
        let name = source.identity().map_err(|error| failed(error.into()))?;
        let (config, tensors) = source.into_tensors()?;
        let options = CudaOptions { devices, float, portable: false, profiled: false };
        let engine = CudaEngine::from_tensors(&config, &name, &options, tensors).map_err(failed)?;
        Ok(LoadedModel { engine: Box::new(engine), config })
    }
}

/// NVIDIA cards, in builds without them.
#[cfg(not(feature = "cuda"))]
mod cuda {
    use super::{LoadedModel, ModelSource, Placement};
    use crate::failure::Failure;

    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn load(_: ModelSource, _: Placement) -> Result<LoadedModel, Failure> {
        Err(Failure::usage("backend `cuda` is not compiled into this program")
            .hint(Some("build with `--features cuda`, or use `--backend cpu`")))
    }
}

/// GPUs of any make.
#[cfg(any(feature = "vulkan", feature = "metal", feature = "wgpu"))]
mod gpu {
    use blt_gpu::{Backend, Devices, FloatType, GpuEngine, GpuError, GpuOptions};

    use super::{LoadedModel, ModelSource, Placement};
    use crate::args::{BackendArg, DeviceArg, DtypeArg};
    use crate::failure::Failure;

    /// The first backend of this build that has an adapter which is not software.
    pub(super) fn automatic() -> Option<BackendArg> {
        let backends = [
            (Backend::Metal, BackendArg::Metal),
            (Backend::Vulkan, BackendArg::Vulkan),
            (Backend::Wgpu, BackendArg::Wgpu),
        ];
        let has_card =
            |backend| blt_gpu::adapters(backend).is_ok_and(|found| found.iter().any(|card| !card.is_software));
        backends.into_iter().find(|&(backend, _)| has_card(backend)).map(|(_, argument)| argument)
    }

    pub(super) fn load(source: ModelSource, placement: Placement) -> Result<LoadedModel, Failure> {
        let failed = |error: GpuError| {
            let hint = error.hint();
            Failure::new("cannot load the entropy model", error).hint(hint)
        };
        let devices = match placement.device {
            DeviceArg::One(index) => Devices::One(index),
            DeviceArg::All => Devices::All,
        };
        let backend = match placement.backend {
            BackendArg::Metal => Backend::Metal,
            BackendArg::Wgpu => Backend::Wgpu,
            _ => Backend::Vulkan,
        };
        let float = match placement.dtype {
            DtypeArg::Auto => None,
            DtypeArg::F16 => Some(FloatType::F16),
            DtypeArg::F32 => Some(FloatType::F32),
            DtypeArg::Bf16 => {
                return Err(Failure::usage(format!("backend `{backend}` does not compute in bf16"))
                    .hint(Some("use `--dtype f16`, which is as small, or `--dtype f32`")));
            }
        };
        let name = source.identity().map_err(|error| failed(error.into()))?;
        let (config, tensors) = source.into_tensors()?;
        let options = GpuOptions { backend, devices, float, plain: false, profiled: false };
        let engine = GpuEngine::from_tensors(&config, &name, &options, tensors).map_err(failed)?;
        Ok(LoadedModel { engine: Box::new(engine), config })
    }
}

/// GPUs of any make, in builds without them.
#[cfg(not(any(feature = "vulkan", feature = "metal", feature = "wgpu")))]
mod gpu {
    use clap::ValueEnum;

    use super::{LoadedModel, ModelSource, Placement};
    use crate::args::BackendArg;
    use crate::failure::Failure;

    pub(super) fn automatic() -> Option<BackendArg> {
        None
    }

    pub(super) fn load(_: ModelSource, placement: Placement) -> Result<LoadedModel, Failure> {
        let name = placement.backend.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        Err(Failure::usage(format!("backend `{name}` is not compiled into this program"))
            .hint(Some("build with `--features vulkan`, `metal` or `wgpu`, or use `--backend cpu`")))
    }
}

/// What needs Burn, in builds with it.
#[cfg(feature = "burn-cpu")]
pub(crate) mod burn {
    use blt_checkpoint::ModelConfig;
    use blt_model::{ComputeDevice, EntropyModel, FloatType, LMTransformer};

    use super::{LoadedModel, ModelSource, Placement};
    use crate::args::{DeviceArg, DtypeArg};
    use crate::failure::Failure;

    /// Loads a model onto Burn's processor.
    pub(super) fn load(source: ModelSource, placement: Placement) -> Result<LoadedModel, Failure> {
        // Only the first call of a process can set the pool, and there is one.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(placement.threads).build_global();
        let DeviceArg::One(index) = placement.device else {
            return Err(Failure::usage("`--device all` is for GPUs only"));
        };
        let device = device(index)?;
        let float = match placement.dtype {
            DtypeArg::Auto | DtypeArg::F32 => FloatType::F32,
            DtypeArg::F16 => FloatType::F16,
            DtypeArg::Bf16 => FloatType::Bf16,
        };
        let loaded = match source {
            ModelSource::Checkpoint(checkpoint) => EntropyModel::load(&checkpoint, &device, float),
            ModelSource::Burnpack { bytes, config, name } => {
                EntropyModel::load_burnpack(bytes, &config, &name, &device, float)
            }
        };
        let model = loaded.map_err(|error| Failure::new("cannot load the entropy model", error))?;
        Ok(LoadedModel { config: model.config().clone(), engine: Box::new(model) })
    }

    /// The tensors of a Burn record by their names in the original's layout.
    pub(crate) fn tensors(bytes: &[u8], config: &ModelConfig) -> Result<impl Fn(&str) -> Vec<f32> + use<>, Failure> {
        let device = device(0)?;
        let model = LMTransformer::from_burnpack(bytes.to_vec(), config, device.tensor_device(), FloatType::F32)
            .map_err(|error| Failure::new("cannot load the entropy model", error))?;
        Ok(move |name: &str| model.tensor_f32(name).expect("the model has every tensor of its configuration"))
    }

    /// The model's name and which weights they are.
    pub(crate) fn identity(name: &str, bytes: &[u8]) -> String {
        blt_model::record_identity(name, bytes)
    }

    /// The Burn record of a checkpoint, its numbers stored as `float`.
    pub(crate) fn record(source: ModelSource, float: FloatType) -> Result<(ModelConfig, Vec<u8>), Failure> {
        let failed = |error| Failure::new("cannot load the entropy model", error);
        let device = device(0)?;
        let (config, model) = match source {
            ModelSource::Checkpoint(checkpoint) => {
                (checkpoint.config().clone(), LMTransformer::load(&checkpoint, device.tensor_device(), float))
            }
            ModelSource::Burnpack { bytes, config, .. } => {
                let model = LMTransformer::from_burnpack(bytes, &config, device.tensor_device(), float);
                (config, model)
            }
        };
        Ok((config, model.map_err(failed)?.to_burnpack().map_err(failed)?))
    }

    fn device(index: usize) -> Result<ComputeDevice, Failure> {
        blt_model::device(index).map_err(|error| {
            let hint = error.hint();
            Failure::new("cannot use the compute device", error).hint(hint)
        })
    }
}

/// What needs Burn, in builds without it: errors that say so.
#[cfg(not(feature = "burn-cpu"))]
pub(crate) mod burn {
    use blt_checkpoint::ModelConfig;

    use crate::failure::Failure;

    pub(crate) fn tensors(_: &[u8], _: &ModelConfig) -> Result<impl Fn(&str) -> Vec<f32> + use<>, Failure> {
        Err::<fn(&str) -> Vec<f32>, _>(no_records())
    }

    pub(crate) fn identity(name: &str, _: &[u8]) -> String {
        name.to_owned()
    }

    /// Burn's records are read and written by Burn.
    pub(crate) fn no_records() -> Failure {
        Failure::usage("this program was built without Burn, so it neither reads nor writes `.bpk` files")
            .hint(Some("build with `--features burn-cpu`, or use safetensors"))
    }
}
