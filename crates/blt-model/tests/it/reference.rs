//! Logits, states, entropies and norms against values that the original's code computed in float64.

use blt_checkpoint::Checkpoint;
use blt_core::{EntropyEngine, Want};
use blt_model::{EntropyModel, FloatType, LMTransformer, device};
use blt_testkit::{ModelCase, REFERENCE_MODELS, expected_rows, model_cases};
use burn::tensor::{Int, Tensor, TensorData};

use crate::{largest_difference, reference_model};

/// PyTorch's own float32 run is up to 9e-5 off the float64 reference on these models.
const ENTROPY_TOLERANCE: f64 = 2e-4;
/// For logits and pre-norm states.
const STATE_TOLERANCE: f32 = 1e-3;

#[test]
fn tensors_match_the_reference() {
    for name in REFERENCE_MODELS {
        let model = reference_model(name);
        for case in model_cases(name) {
            check_tensors(model.transformer(), &case, name);
        }
    }
}

#[test]
fn a_transformers_checkpoint_is_the_same_model() {
    let model = reference_model("model-tiny-transformers");
    for case in model_cases("model-tiny") {
        check_tensors(model.transformer(), &case, "model-tiny-transformers");
    }
}

fn check_tensors(model: &LMTransformer, case: &ModelCase, model_name: &str) {
    let context = format!("{model_name} {}", case.name);
    let (b, s) = (case.tokens.len(), case.tokens[0].len());
    let ids: Vec<i32> = case.tokens.concat().into_iter().map(i32::from).collect();
    let device = device(0).unwrap();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, [b, s]), device.tensor_device());
    let output = model.forward_with_embeddings(tokens.clone());

    let kept = |tensor: Tensor<3>| {
        let positions: Vec<i32> = case.positions.iter().map(|&p| p as i32).collect();
        let n = positions.len();
        let positions = Tensor::<1, Int>::from_data(TensorData::new(positions, [n]), device.tensor_device());
        tensor.select(1, positions).into_data().try_to_vec::<f32>().unwrap()
    };
    let state = largest_difference(&kept(output.pre_norm_embeddings), &case.prenorm);
    assert!(state < STATE_TOLERANCE, "{context}: pre-norm states off by {state}");
    let logits = largest_difference(&kept(output.logits), &case.logits);
    assert!(logits < STATE_TOLERANCE, "{context}: logits off by {logits}");

    let host = |tensor: Tensor<2>| tensor.into_data().try_to_vec::<f32>().unwrap();
    let entropies = host(output.entropies);
    check_rows(&entropies, &case.entropies, ENTROPY_TOLERANCE, &format!("{context}: entropies"));
    let norms = host(output.embedding_norms);
    check_rows(&norms, &case.prenorm_l2, f64::from(STATE_TOLERANCE), &format!("{context}: norms"));
    let only = host(model.entropies(tokens));
    assert_eq!(only, entropies, "{context}: the entropies-only path");

    let expected: Vec<f32> = norms.iter().zip(&entropies).map(|(&n, &h)| blt_core::coherence(n, h)).collect();
    let coherence = host(output.coherence);
    let relative = coherence.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
    assert!(relative < 1e-5, "{context}: coherence off by {relative}");
}

#[track_caller]
fn check_rows(found: &[f32], expected: &[Vec<f64>], tolerance: f64, context: &str) {
    let expected = expected.concat();
    assert_eq!(found.len(), expected.len(), "{context}");
    let worst = found.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
    assert!(worst < tolerance, "{context} off by {worst:.2e}");
}

/// The same rows through the engine: slices, one packed batch.
#[test]
fn a_batch_of_the_engine_matches_the_reference() {
    for name in REFERENCE_MODELS {
        let model = reference_model(name);
        let cases = model_cases(name);
        let rows: Vec<&[u16]> = cases.iter().flat_map(|case| case.tokens.iter().map(Vec::as_slice)).collect();
        let expected = cases.iter().flat_map(|case| &case.entropies);
        for (signals, expected) in model.batch(&rows, Want::EntropiesAndNorms).unwrap().iter().zip(expected) {
            check_rows(&signals.entropies, std::slice::from_ref(expected), ENTROPY_TOLERANCE, name);
        }
    }
}

/// The window and the cut at EOS are the configuration's, and each can be switched off.
#[test]
fn every_attention_scope_matches_the_reference() {
    let directory = blt_testkit::golden_dir().join("model-tiny");
    let text = std::fs::read_to_string(directory.join("config.json")).unwrap();
    for scope in ["causal", "block_causal", "local_causal"] {
        let scratch = tempfile::tempdir().unwrap();
        let config = text.replace("local_block_causal", scope);
        assert_ne!(config, text);
        std::fs::write(scratch.path().join("config.json"), config).unwrap();
        std::fs::copy(directory.join("model.safetensors"), scratch.path().join("model.safetensors")).unwrap();
        let checkpoint = Checkpoint::open(scratch.path()).unwrap();
        let model = EntropyModel::load(&checkpoint, &device(0).unwrap(), FloatType::F32).unwrap();
        for case in model_cases("model-tiny") {
            let Some(expected) = expected_rows("model-tiny", &format!("{}.entropies_{scope}", case.name)) else {
                continue;
            };
            for (tokens, expected) in case.tokens.iter().zip(expected) {
                let found = model.session().push(tokens, Want::Entropies).unwrap().entropies;
                check_rows(&found, &[expected], ENTROPY_TOLERANCE, &format!("{scope} {}", case.name));
            }
        }
    }
}

#[test]
fn half_precision_stays_near_the_reference() {
    let checkpoint = Checkpoint::open(&blt_testkit::golden_dir().join("model-tiny")).unwrap();
    for (float, tolerance) in [(FloatType::F16, 0.05), (FloatType::Bf16, 0.4)] {
        let model = EntropyModel::load(&checkpoint, &device(0).unwrap(), float).unwrap();
        for case in model_cases("model-tiny") {
            for (tokens, expected) in case.tokens.iter().zip(&case.entropies) {
                let found = model.session().push(tokens, Want::Entropies).unwrap().entropies;
                // The original's own bfloat16 run is up to 0.14 nats off on these peaky random weights.
                check_rows(&found, std::slice::from_ref(expected), tolerance, &format!("{float:?} {}", case.name));
            }
        }
    }
}

#[test]
fn a_burn_record_holds_the_same_weights() {
    let checkpoint = Checkpoint::open(&blt_testkit::golden_dir().join("model-tiny-gqa")).unwrap();
    let device = device(0).unwrap();
    let model = LMTransformer::load(&checkpoint, device.tensor_device(), FloatType::F32).unwrap();
    let record = model.to_burnpack().unwrap();
    let again =
        LMTransformer::from_burnpack(record.clone(), checkpoint.config(), device.tensor_device(), FloatType::F32)
            .unwrap();
    for spec in blt_checkpoint::expected_tensors(checkpoint.config()) {
        let stored = checkpoint.tensor_f32(&spec.name).unwrap();
        assert_eq!(again.tensor_f32(&spec.name), Some(stored), "{}", spec.name);
    }
    let other = Checkpoint::open(&blt_testkit::golden_dir().join("model-tiny")).unwrap();
    let error = LMTransformer::from_burnpack(record, other.config(), device.tensor_device(), FloatType::F32);
    assert!(error.is_err(), "a record of another model is refused");
    let garbage =
        LMTransformer::from_burnpack(vec![7; 99], checkpoint.config(), device.tensor_device(), FloatType::F32);
    assert!(garbage.is_err());
}
