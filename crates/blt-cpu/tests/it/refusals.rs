//! What the engine does not take.

use blt_checkpoint::ModelConfig;
use blt_cpu::{CpuEngine, CpuOptions, FloatType, InstructionSet, LoadError};

use crate::open;

#[test]
fn instructions_that_cannot_compute_it_are_refused() {
    let options = CpuOptions {
        float: Some(FloatType::F32),
        instructions: Some(InstructionSet::AmxBf16),
        ..CpuOptions::default()
    };
    let error = CpuEngine::load(&open("model-tiny"), &options).unwrap_err();
    assert!(matches!(error, LoadError::Instructions { .. }) && error.hint().is_some(), "{error}");
}

/// Seventeen megabytes of weights whose panels would take seventeen gigabytes.
#[test]
fn a_model_of_slivers_is_refused_before_its_tensors_are_read() {
    let args = r#"{"args": {"dim": 2, "n_layers": 1024, "n_heads": 1024, "head_dim": 2, "max_seqlen": 64}}"#;
    let config = ModelConfig::from_json(args, "slivers").unwrap();
    let error = CpuEngine::from_tensors(&config, "slivers", &CpuOptions::default(), |name| panic!("{name} is read"))
        .unwrap_err();
    assert!(matches!(error, LoadError::Padding { .. }), "{error}");
}

#[test]
#[should_panic(expected = "`layers.0.attention.wk.weight` does not fit the configuration")]
fn a_tensor_of_another_size_is_a_defect() {
    let checkpoint = open("model-tiny");
    let tensor = |name: &str| {
        let mut values = checkpoint.tensor_f32(name)?;
        if name == "layers.0.attention.wk.weight" {
            values.pop();
        }
        Ok(values)
    };
    let _ = CpuEngine::from_tensors(checkpoint.config(), "short", &CpuOptions::default(), tensor);
}
