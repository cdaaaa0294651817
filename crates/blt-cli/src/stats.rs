//! `blt-cli model stats`: what quantization makes of a model's weights and entropies.

use std::fmt::Write as _;
use std::path::Path;

use blt_core::{BltTokenizer, EntropyEngine, Want};
use blt_cpu::{CpuEngine, CpuOptions, FloatType, Quantization, TensorStatistics, quantize_model};
use blt_patcher::{Patcher, Rule, document_starts, moved_starts};
use serde_json::json;

use crate::Ending;
use crate::args::{ModelStatsArgs, ReportFormat};
use crate::engine::{NamedModel, open_model};
use crate::failure::Failure;
use crate::output::write_all;

/// What is read when no text is given: prose, code, a table and another script.
pub(crate) const TEXT: &str = "The lamp on the pier had been lit by hand for forty years, and nobody in the village could say who paid \
for the oil. \u{201c}It burns,\u{201d} said the ferryman, \u{201c}because someone remembers it.\u{201d} In spring the \
harbour filled with boats again, and the letters that had waited all winter went out on the first of them.\n\n\
def mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n    return total / len(values)\n\n\
{\"name\": \"pier\", \"height\": 4.25, \"lamps\": [1, 2, 3], \"lit\": true}\n\
id,town,visitors\n1,Nordhaven,1203\n2,Kastel,981\n3,Brynsund,1544\n\n\
\u{041b}\u{0430}\u{043c}\u{043f}\u{0430} \u{0433}\u{043e}\u{0440}\u{0438}\u{0442}, \u{043f}\u{043e}\u{043a}\u{0430} \
\u{043a}\u{0442}\u{043e}-\u{0442}\u{043e} \u{043f}\u{043e}\u{043c}\u{043d}\u{0438}\u{0442} \u{043e} \u{043d}\u{0435}\u{0439}.\n";

pub(crate) fn run(args: &ModelStatsArgs) -> Result<Ending, Failure> {
    let options = CpuOptions { quantization: args.quantize.quantization(), ..CpuOptions::default() };
    report(NamedModel::on(&args.hub, &args.model), options, args.text.as_deref(), args.format)
}

/// Writes the report about a model; entropies are computed in f32 as `options` say and compared on `text`, or on a text of
/// our own.
pub(crate) fn report(
    named: NamedModel<'_>,
    options: CpuOptions,
    text: Option<&Path>,
    format: ReportFormat,
) -> Result<Ending, Failure> {
    let how = options.quantization;
    if how == Quantization::None {
        return Err(Failure::usage("statistics are about `--quantize int8` or `--quantize int4`"));
    }
    let text = match text {
        Some(path) => {
            std::fs::read(path).map_err(|error| Failure::new(format!("cannot read `{}`", path.display()), error))?
        }
        None => TEXT.as_bytes().to_vec(),
    };
    let (config, tensor) = open_model(named)?.into_tensors()?;
    let failed = |error| Failure::new("cannot load the entropy model", error);
    let tensors = quantize_model(&config, how, &tensor).map_err(failed)?;

    let tokens = BltTokenizer::default().encode_bytes(&text);
    let entropies = |quantization| -> Result<Vec<f32>, Failure> {
        let options = CpuOptions { float: Some(FloatType::F32), quantization, ..options };
        let engine = CpuEngine::from_tensors(&config, named.model, &options, &tensor)
            .map_err(|error| Failure::new("cannot load the entropy model", error))?;
        let signals = engine.session().push(&tokens, Want::Entropies);
        Ok(signals.map_err(|error| Failure::new("cannot compute entropies", error))?.entropies)
    };
    let drift = Drift::new(&text, &entropies(how)?, &entropies(Quantization::None)?, config.patching.threshold);
    let sum = |bytes: fn(&TensorStatistics) -> usize| tensors.iter().map(bytes).sum::<usize>();
    let (n_weights, bf16_bytes, bytes) = (sum(|t| t.n_weights), sum(|t| t.bf16_bytes), sum(|t| t.bytes));

    let mut report = String::new();
    match format {
        ReportFormat::Json => {
            let rows: Vec<_> = tensors
                .iter()
                .map(|tensor| {
                    json!({"name": tensor.name, "n_weights": tensor.n_weights, "bf16_bytes": tensor.bf16_bytes,
                        "bytes": tensor.bytes, "relative_error": tensor.relative_error,
                        "largest_error": tensor.largest_error})
                })
                .collect();
            let value = json!({
                "model": named.model, "quantize": how.name(), "n_weights": n_weights, "bf16_bytes": bf16_bytes, "bytes": bytes,
                "n_bytes_read": text.len(), "n_patches": drift.n_patches, "moved_starts": drift.moved_starts,
                "mean_entropy_drift_nats": drift.mean, "largest_entropy_drift_nats": drift.largest, "tensors": rows,
            });
            let _ = writeln!(report, "{value:#}");
        }
        ReportFormat::Text => {
            let _ = writeln!(
                report,
                "{:<36}{:>10}{:>12}{:>12}{:>10}{:>12}",
                "tensor", "weights", "bf16 bytes", "bytes", "rms error", "largest"
            );
            for tensor in &tensors {
                let _ = writeln!(
                    report,
                    "{:<36}{:>10}{:>12}{:>12}{:>9.2}%{:>12.2e}",
                    tensor.name,
                    tensor.n_weights,
                    tensor.bf16_bytes,
                    tensor.bytes,
                    100.0 * tensor.relative_error,
                    tensor.largest_error
                );
            }
            let _ = writeln!(report, "{:<36}{n_weights:>10}{bf16_bytes:>12}{bytes:>12}", "all");
            let _ = writeln!(
                report,
                "\nentropies of {} bytes against f32: mean drift {:.4} nats, largest {:.3}; {} patch starts moved of {}",
                text.len(),
                drift.mean,
                drift.largest,
                drift.moved_starts,
                drift.n_patches
            );
        }
    }
    write_all(report.as_bytes())
}

/// How far entropies are from those they should be, and what that does to patches.
struct Drift {
    mean: f32,
    largest: f32,
    moved_starts: usize,
    n_patches: usize,
}

impl Drift {
    fn new(text: &[u8], found: &[f32], expected: &[f32], threshold: f32) -> Self {
        let differences = || found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        let patcher = Patcher::new(Rule::Global { threshold });
        let starts = |entropies: &[f32]| document_starts(&patcher, text, entropies, &[]);
        let (a, b) = (starts(found), starts(expected));
        Self {
            mean: differences().sum::<f32>() / expected.len() as f32,
            largest: differences().fold(0.0, f32::max),
            moved_starts: moved_starts(&a, &b),
            n_patches: b.len(),
        }
    }
}
