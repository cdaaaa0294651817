//! `blt-cli model info` and `model convert`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use blt_checkpoint::{Checkpoint, ModelConfig, StoredDtype, expected_tensors, safetensors_bytes};
use blt_model::{FloatType, LMTransformer};
use serde_json::{Value, json};

use crate::Ending;
use crate::args::{
    BackendArg, DtypeArg, ModelConvertArgs, ModelInfoArgs, ModelSource, ReportFormat, StoredDtypeArg, load_engine,
    open_model,
};
use crate::failure::Failure;
use crate::output::{write_all, write_file};
use crate::render::shortest;

pub(crate) fn info(args: &ModelInfoArgs) -> Result<Ending, Failure> {
    let facts = match open_model(&args.model)? {
        ModelSource::Checkpoint(checkpoint) => checkpoint_facts(&checkpoint)?,
        ModelSource::Burnpack { bytes, config, name } => {
            let mut facts = config_facts(&name, &config);
            facts.push(("format", json!("burnpack")));
            facts.push(("file bytes", json!(bytes.len())));
            facts
        }
    };
    let mut report = String::new();
    match args.format {
        ReportFormat::Json => {
            let object: serde_json::Map<_, _> =
                facts.into_iter().map(|(key, value)| (key.replace(' ', "_"), value)).collect();
            let _ = writeln!(report, "{:#}", Value::Object(object));
        }
        ReportFormat::Text => {
            for (key, value) in facts {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let _ = writeln!(report, "{key:<14}{value}");
            }
        }
    }
    write_all(report.as_bytes())
}

/// What is known of a checkpoint, in the order of the report.
pub(crate) fn checkpoint_facts(checkpoint: &Checkpoint) -> Result<Vec<(&'static str, Value)>, Failure> {
    let mut facts = config_facts(checkpoint.name(), checkpoint.config());
    let mut dtypes: BTreeMap<String, usize> = BTreeMap::new();
    for spec in expected_tensors(checkpoint.config()) {
        let stored = checkpoint.layout().stored_name(&spec.name);
        *dtypes.entry(format!("{:?}", checkpoint.file().tensors()[&stored].dtype)).or_default() += 1;
    }
    let sha256 = checkpoint.sha256().map_err(|error| Failure::new("cannot hash the weights", error))?;
    facts.push(("format", json!(format!("safetensors, {:?} layout", checkpoint.layout()).to_lowercase())));
    facts.push((
        "tensors",
        json!(dtypes.iter().map(|(dtype, n)| format!("{n} {dtype}")).collect::<Vec<_>>().join(", ")),
    ));
    facts.push(("sha256", json!(sha256)));
    Ok(facts)
}

fn config_facts(name: &str, config: &ModelConfig) -> Vec<(&'static str, Value)> {
    vec![
        ("name", json!(name)),
        ("parameters", json!(config.n_params())),
        ("dim", json!(config.dim)),
        ("layers", json!(config.n_layers)),
        ("heads", json!(config.n_heads)),
        ("kv heads", json!(config.n_kv_heads)),
        ("head dim", json!(config.head_dim)),
        ("ffn dim", json!(config.ffn_dim)),
        ("window", json!(config.window())),
        ("max seqlen", json!(config.max_seqlen)),
        ("attention", json!(config.attention)),
        ("rope theta", json!(config.rope_theta)),
        ("norm eps", json!(config.norm_eps)),
        ("threshold", shortest(config.patching.threshold)),
    ]
}

pub(crate) fn convert(args: &ModelConvertArgs) -> Result<Ending, Failure> {
    let extension = args.target.extension().and_then(|extension| extension.to_str());
    let float = match args.dtype {
        StoredDtypeArg::F32 => (StoredDtype::F32, FloatType::F32),
        StoredDtypeArg::Bf16 => (StoredDtype::Bf16, FloatType::Bf16),
        StoredDtypeArg::F16 => (StoredDtype::F16, FloatType::F16),
    };
    let failed = |error: &dyn std::error::Error| {
        Failure::new(format!("cannot convert `{}`", args.model), std::io::Error::other(error.to_string()))
    };
    let (config, bytes) = match (open_model(&args.model)?, extension) {
        (ModelSource::Checkpoint(checkpoint), Some("safetensors")) => {
            let bytes = safetensors_bytes(checkpoint.config(), float.0, |name| checkpoint.tensor_f32(name));
            (checkpoint.config().clone(), bytes.map_err(|error| failed(&error))?)
        }
        (ModelSource::Burnpack { bytes, config, .. }, Some("safetensors")) => {
            let device = cpu()?;
            let model = LMTransformer::from_burnpack(bytes, &config, device.tensor_device(), FloatType::F32)
                .map_err(|error| failed(&error))?;
            let tensor =
                |name: &str| Ok(model.tensor_f32(name).expect("the model has every tensor of its configuration"));
            let bytes = safetensors_bytes(&config, float.0, tensor).map_err(|error| failed(&error))?;
            (config, bytes)
        }
        (_, Some("bpk")) => {
            let dtype = match float.1 {
                FloatType::F32 => DtypeArg::F32,
                FloatType::Bf16 => DtypeArg::Bf16,
                FloatType::F16 => DtypeArg::F16,
            };
            let engine = load_engine(&args.model, BackendArg::Cpu, 0, dtype)?;
            let bytes = engine.transformer().to_burnpack().map_err(|error| failed(&error))?;
            (engine.config().clone(), bytes)
        }
        _ => return Err(Failure::usage("the target must end in `.safetensors` or `.bpk`")),
    };
    let config_path = args.target.with_file_name("config.json");
    let text = config.to_json();
    if std::fs::read(&config_path).is_ok_and(|existing| existing != text.as_bytes()) {
        return Err(Failure::usage(format!("`{}` exists and belongs to another model", config_path.display()))
            .hint(Some("write to a folder of its own")));
    }
    write_file(&config_path, text.as_bytes())?;
    write_file(&args.target, &bytes)?;
    Ok(Ending::Complete)
}

fn cpu() -> Result<blt_model::ComputeDevice, Failure> {
    blt_model::device(blt_model::Backend::Cpu, 0).map_err(|error| Failure::new("cannot use the compute device", error))
}
