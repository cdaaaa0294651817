//! Logits, states, entropies and norms against values that the original's code computed in float64.

use blt_checkpoint::Checkpoint;
use blt_core::{EntropyEngine, Want};
use blt_cpu::{CpuEngine, CpuOptions, FloatType, Quantization};
use blt_testkit::{REFERENCE_MODELS, expected_rows, model_cases};

use crate::{engine, largest_difference, ways};

/// PyTorch's own float32 run is up to 9e-5 off the float64 reference on these models.
const ENTROPY_TOLERANCE: f64 = 2e-4;
/// For logits and pre-norm states.
const STATE_TOLERANCE: f32 = 1e-3;

#[test]
fn float32_matches_the_reference() {
    for name in REFERENCE_MODELS.into_iter().chain(["model-tiny-transformers"]) {
        let cases = model_cases(if name == "model-tiny-transformers" { "model-tiny" } else { name });
        for way in ways().into_iter().filter(|(float, _)| *float == FloatType::F32) {
            let engine = engine(name, way, 1);
            for case in &cases {
                let context = format!("{name} {} {way:?}", case.name);
                for (b, tokens) in case.tokens.iter().enumerate() {
                    let output = engine.row(tokens).unwrap();
                    let kept = |values: &[f32]| -> Vec<f32> {
                        let width = values.len() / tokens.len();
                        case.positions.iter().flat_map(|&p| values[p * width..(p + 1) * width].to_vec()).collect()
                    };
                    let (logits, states) = (kept(&output.logits), kept(&output.signals.embeddings));
                    let logits_off = largest_difference(&logits, &case.logits[b * logits.len()..][..logits.len()]);
                    assert!(logits_off < STATE_TOLERANCE, "{context}: logits off by {logits_off}");
                    let states_off = largest_difference(&states, &case.prenorm[b * states.len()..][..states.len()]);
                    assert!(states_off < STATE_TOLERANCE, "{context}: pre-norm states off by {states_off}");
                    check(&output.signals.entropies, &case.entropies[b], ENTROPY_TOLERANCE, &context);
                    check(&output.signals.norms, &case.prenorm_l2[b], f64::from(STATE_TOLERANCE), &context);
                }
            }
        }
    }
}

#[track_caller]
fn check(found: &[f32], expected: &[f64], tolerance: f64, context: &str) {
    assert_eq!(found.len(), expected.len(), "{context}");
    let worst = found.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
    assert!(worst < tolerance, "{context} off by {worst:.2e}");
}

/// No further off than PyTorch's own bfloat16 run of the original, whose largest errors over the cases of a model are the
/// bounds. These random weights amplify rounding; trained ones are two orders of magnitude calmer.
#[test]
fn bfloat16_is_no_further_off_than_the_original() {
    for way in ways().into_iter().filter(|(float, _)| *float == FloatType::Bf16) {
        let tiny = engine("model-tiny", way, 1);
        for case in model_cases("model-tiny") {
            // The weights are rounded in both; what is compared is the arithmetic.
            let expected = expected_rows("model-tiny", &format!("{}.entropies_bf16_weights", case.name)).unwrap();
            check_rows(&tiny, &case.tokens, &expected, 0.133, &format!("tiny {} {way:?}", case.name));
        }
        let small = engine("model-small", way, 1);
        for case in model_cases("model-small") {
            check_rows(&small, &case.tokens, &case.entropies, 0.557, &format!("small {} {way:?}", case.name));
        }
    }
}

#[track_caller]
fn check_rows(engine: &CpuEngine, tokens: &[Vec<u16>], expected: &[Vec<f64>], bound: f64, context: &str) {
    let rows: Vec<&[u16]> = tokens.iter().map(Vec::as_slice).collect();
    let found = engine.batch(&rows, Want::Entropies).unwrap();
    for (found, expected) in found.iter().zip(expected) {
        check(&found.entropies, expected, bound, context);
    }
}

/// The window and the cut at EOS are the configuration's, and each can be switched off.
#[test]
fn every_attention_scope_matches_the_reference() {
    let directory = blt_testkit::golden_dir().join("model-tiny");
    let text = std::fs::read_to_string(directory.join("config.json")).unwrap();
    let stored = Checkpoint::open(&directory).unwrap();
    for scope in ["causal", "block_causal", "local_causal"] {
        let config = text.replace("local_block_causal", scope);
        assert_ne!(config, text);
        let config = blt_checkpoint::ModelConfig::from_json(&config, scope).unwrap();
        let options = CpuOptions { float: Some(FloatType::F32), ..CpuOptions::default() };
        let engine = CpuEngine::from_tensors(&config, scope, &options, |name| stored.tensor_f32(name)).unwrap();
        for case in model_cases("model-tiny") {
            let Some(expected) = expected_rows("model-tiny", &format!("{}.entropies_{scope}", case.name)) else {
                continue;
            };
            for (tokens, expected) in case.tokens.iter().zip(expected) {
                let found = engine.session().push(tokens, Want::Entropies).unwrap().entropies;
                check(&found, &expected, ENTROPY_TOLERANCE, &format!("{scope} {}", case.name));
            }
        }
    }
}

/// Drift of quantized weights on real text and real weights: small for 8 bits, larger for 4, and never nothing.
#[test]
fn quantized_weights_stay_near() {
    let checkpoint =
        Checkpoint::embedded(blt_mini::NAME, blt_mini::WEIGHTS, blt_mini::CONFIG, blt_mini::SHA256).unwrap();
    let tokens = blt_core::BltTokenizer::default().encode_bytes(&blt_testkit::prose(1500, 9));
    let entropies = |quantization| {
        let options = CpuOptions { float: Some(FloatType::F32), quantization, ..CpuOptions::default() };
        let engine = CpuEngine::load(&checkpoint, &options).unwrap();
        (engine.session().push(&tokens, Want::Entropies).unwrap().entropies, engine.weight_bytes())
    };
    let (exact, bytes) = entropies(Quantization::None);
    for (quantization, mean, smaller) in [(Quantization::Int8, 0.05, 3), (Quantization::Int4, 0.3, 5)] {
        let (found, quantized_bytes) = entropies(quantization);
        let drift = found.iter().zip(&exact).map(|(a, b)| (a - b).abs()).sum::<f32>() / exact.len() as f32;
        assert!(drift > 0.001 && drift < mean, "{quantization:?}: {drift}");
        assert!(quantized_bytes * smaller < bytes, "{quantization:?}: {quantized_bytes} of {bytes}");
    }
}
