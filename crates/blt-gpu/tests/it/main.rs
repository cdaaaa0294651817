//! The engine against the reference on the adapters of this machine, and what must not change its answers.
//!
//! Mesa's `llvmpipe` is an adapter too, so with the feature `wgpu` this needs no GPU: only a Vulkan driver. In SPIR-V, that of
//! Mesa 22.3 ends the process while it reads the kernels, those of Burn as well.

#![cfg(any(feature = "vulkan", feature = "wgpu"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use blt_checkpoint::Checkpoint;
use blt_core::{BltTokenizer, EntropyEngine, Want};
use blt_gpu::{AdapterInfo, Backend, Devices, FloatType, GpuEngine, GpuError, GpuOptions, adapters};
use blt_testkit::{REFERENCE_MODELS, golden_dir, model_cases};

/// Kernels in SPIR-V where they are in this build, else in WGSL.
const BACKEND: Backend = if cfg!(feature = "vulkan") { Backend::Vulkan } else { Backend::Wgpu };

fn options(float: FloatType, plain: bool) -> GpuOptions {
    GpuOptions { backend: BACKEND, devices: Devices::One(0), float: Some(float), plain, profiled: false }
}

/// Every way to compute that the first adapter has, and how far entropies may be off.
fn ways(adapter: &AdapterInfo) -> Vec<(GpuOptions, f64)> {
    let mut ways = vec![(options(FloatType::F32, true), 2e-4)];
    if adapter.has_f16 {
        ways.push((options(FloatType::F16, true), 0.1));
        if adapter.has_matrices {
            ways.push((options(FloatType::F16, false), 0.1));
        }
    }
    ways
}

fn adapter() -> AdapterInfo {
    let adapters = adapters(BACKEND).unwrap();
    adapters.into_iter().next().expect("a Vulkan driver; Mesa's llvmpipe will do")
}

fn engine(model: &str, options: &GpuOptions) -> GpuEngine {
    GpuEngine::load(&Checkpoint::open(&golden_dir().join(model)).unwrap(), options).unwrap()
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn largest_error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max)
}

#[test]
fn every_way_matches_the_reference() {
    for (options, tolerance) in ways(&adapter()) {
        for name in REFERENCE_MODELS {
            let engine = engine(name, &options);
            let cases = model_cases(name);
            for case in &cases {
                let positions = |values: &[f32], width: usize| {
                    let kept = case.positions.iter().flat_map(|p| values[p * width..(p + 1) * width].to_vec());
                    kept.collect::<Vec<f32>>()
                };
                let (logits_width, dim) =
                    (case.logits.len() / case.positions.len() / case.tokens.len(), engine.info().dim);
                for (row, tokens) in case.tokens.iter().enumerate() {
                    let found = engine.row(tokens).unwrap();
                    let context = format!("{name} {} row {row} {options:?}", case.name);
                    let error = largest_error(&found.signals.entropies, &case.entropies[row]);
                    assert!(error < tolerance, "{context}: entropies off by {error}");
                    if options.float == Some(FloatType::F32) {
                        let of_row = |values: &[f32], width: usize| {
                            let n = case.positions.len() * width;
                            values[row * n..(row + 1) * n].to_vec()
                        };
                        let logits = positions(&found.logits, logits_width);
                        assert!(largest_difference(&logits, &of_row(&case.logits, logits_width)) < 1e-3, "{context}");
                        let states = positions(&found.signals.embeddings, dim);
                        assert!(largest_difference(&states, &of_row(&case.prenorm, dim)) < 1e-3, "{context}");
                        assert!(largest_error(&found.signals.norms, &case.prenorm_l2[row]) < 1e-3, "{context}");
                    }
                }
            }
            let rows: Vec<&[u16]> = cases.iter().flat_map(|case| case.tokens.iter().map(Vec::as_slice)).collect();
            let batch = engine.batch(&rows, Want::Entropies).unwrap();
            for (signals, tokens) in batch.iter().zip(rows) {
                let alone = engine.session().push(tokens, Want::Entropies).unwrap();
                assert_eq!(signals.entropies, alone.entropies, "{name} {options:?}: a batch changes nothing");
            }
        }
    }
}

#[test]
fn pieces_change_no_bit() {
    let text = blt_testkit::prose(700, 7);
    let tokens = BltTokenizer::default().encode_bytes(&text);
    for (options, _) in ways(&adapter()) {
        let engine = engine("model-tiny", &options);
        let whole = engine.session().push(&tokens, Want::All).unwrap();
        for length in [1, 170, 500] {
            let mut session = engine.session();
            let n = if length == 1 { 4 } else { tokens.len() };
            let mut found = blt_core::Signals::default();
            for piece in tokens[..n].chunks(length) {
                found.append(session.push(piece, Want::All).unwrap());
            }
            assert_eq!(found.entropies, whole.entropies[..n], "{length} {options:?}");
            assert_eq!(found.norms, whole.norms[..n]);
            assert_eq!(found.embeddings, whole.embeddings[..n * engine.info().dim]);
        }
        let ends = [3, 3, 600, tokens.len() as u32];
        let summed = engine.session().push_summed(&tokens, &mut |_| ends.to_vec()).unwrap();
        let (sums, expected) = (summed.sums.as_ref().as_ref().to_vec(), whole.sum_states(&ends));
        assert_eq!(summed.signals.entropies, whole.entropies);
        assert_eq!(sums.len(), expected.len());
        for (a, b) in sums.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-3 * b.abs().max(1.0), "{a} is not {b}");
        }
    }
}

#[test]
fn all_adapters_give_what_one_gives() {
    let texts: Vec<Vec<u16>> = (1..9u64)
        .map(|seed| BltTokenizer::default().encode_bytes(&blt_testkit::prose(90 * seed as usize, seed)))
        .collect();
    let texts: Vec<&[u16]> = texts.iter().map(Vec::as_slice).collect();
    let one = options(FloatType::F32, true);
    let expected = engine("model-tiny", &one).batch(&texts, Want::All).unwrap();
    let all = engine("model-tiny", &GpuOptions { devices: Devices::All, ..one });
    for (found, expected) in all.batch(&texts, Want::All).unwrap().iter().zip(&expected) {
        assert_eq!(found.entropies, expected.entropies);
        assert_eq!(found.embeddings, expected.embeddings);
    }
    // Documents that are open at once, each in two pieces.
    let mut sessions: Vec<_> = texts.iter().map(|text| (all.session(), text.split_at(text.len() / 2))).collect();
    let firsts: Vec<_> = sessions.iter_mut().map(|(session, (first, _))| session.push(first, Want::All)).collect();
    for (((mut session, (_, second)), first), expected) in sessions.into_iter().zip(firsts).zip(&expected) {
        let mut found = first.unwrap();
        found.append(session.push(second, Want::All).unwrap());
        assert_eq!(found.entropies, expected.entropies);
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let checkpoint = Checkpoint::open(&golden_dir().join("model-tiny")).unwrap();
    let far = GpuOptions { devices: Devices::One(99), ..options(FloatType::F32, true) };
    assert!(matches!(GpuEngine::load(&checkpoint, &far), Err(GpuError::NoSuchDevice { index: 99, .. })));
    let engine = engine("model-tiny", &options(FloatType::F32, true));
    assert!(matches!(
        engine.session().push(&[1, 999], Want::Entropies),
        Err(blt_core::EngineError::Token { token: 999, position: 1, .. })
    ));
    assert!(engine.session().push(&[], Want::All).unwrap().entropies.is_empty());
}
