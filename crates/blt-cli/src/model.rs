//! `blt-cli model info` and `model convert`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use blt_checkpoint::{Checkpoint, CheckpointError, ModelConfig, StoredDtype, expected_tensors, safetensors_bytes};
use serde_json::{Value, json};

use crate::Ending;
use crate::args::{ModelConvertArgs, ModelInfoArgs, ReportFormat, StoredDtypeArg};
use crate::engine::{ModelSource, NamedModel, burn, open_model};
use crate::failure::Failure;
use crate::output::{write_all, write_file};
use crate::render::shortest;

pub(crate) fn info(args: &ModelInfoArgs) -> Result<Ending, Failure> {
    let facts = match open_model(NamedModel::on(&args.hub, &args.model))? {
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
    facts.push((
        "format",
        json!(format!("{}, {} layout", checkpoint.format(), format!("{:?}", checkpoint.layout()).to_lowercase())),
    ));
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
    let failed = |error: CheckpointError| {
        let hint = error.hint();
        Failure::new(format!("cannot convert `{}`", args.model), error).hint(hint)
    };
    let dtype = match args.dtype {
        StoredDtypeArg::F32 => StoredDtype::F32,
        StoredDtypeArg::Bf16 => StoredDtype::Bf16,
        StoredDtypeArg::F16 => StoredDtype::F16,
        StoredDtypeArg::Int8 => StoredDtype::Int8,
    };
    let (config, bytes) = match (open_model(NamedModel::on(&args.hub, &args.model))?, extension) {
        (source, Some("safetensors")) => {
            let (config, tensors) = source.into_tensors()?;
            let bytes = safetensors_bytes(&config, dtype, tensors).map_err(failed)?;
            (config, bytes)
        }
        (_, Some("bpk")) if args.dtype == StoredDtypeArg::Int8 => {
            return Err(Failure::usage("Burn's records hold no 8-bit matrices; write a `.safetensors` file"));
        }
        (source, Some("bpk")) => record(source, args.dtype)?,
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

#[cfg(feature = "burn-cpu")]
fn record(source: ModelSource, dtype: StoredDtypeArg) -> Result<(ModelConfig, Vec<u8>), Failure> {
    use blt_model::FloatType;
    let float = match dtype {
        StoredDtypeArg::F32 => FloatType::F32,
        StoredDtypeArg::Bf16 => FloatType::Bf16,
        StoredDtypeArg::F16 => FloatType::F16,
        StoredDtypeArg::Int8 => unreachable!("a record in 8 bits was refused before"),
    };
    burn::record(source, float)
}

#[cfg(not(feature = "burn-cpu"))]
fn record(_: ModelSource, _: StoredDtypeArg) -> Result<(ModelConfig, Vec<u8>), Failure> {
    Err(burn::no_records())
}
