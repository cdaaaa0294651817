//! Positions of the model against bytes of the outputs.

use std::io;
use std::sync::atomic::AtomicBool;

use blt_core::{BltTokenizer, ByteRange, EntropyEngine, Patch, Signals, Want, coherence};
use blt_ingest::{EmbeddingsOf, EncodeError, Encoding, Mode, PatchSink, ProminencePool, ViewSummary, encode_view};
use blt_patcher::{Patcher, Rule, document_starts};
use proptest::prelude::*;

use crate::MODEL;

#[derive(Debug, Default)]
struct Collected {
    /// Without embeddings of bytes.
    is_for_patches: bool,
    bytes: Vec<u8>,
    entropies: Vec<f32>,
    prominence: Vec<f32>,
    embeddings: Vec<f32>,
    patches: Vec<(ByteRange, f32, f32, f32, Vec<f32>)>,
}

impl PatchSink for Collected {
    fn bytes(&mut self, bytes: &[u8], entropies: &[f32], prominence: &[f32], embeddings: &[f32]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        self.entropies.extend_from_slice(entropies);
        self.prominence.extend_from_slice(prominence);
        self.embeddings.extend_from_slice(embeddings);
        Ok(())
    }

    fn patch(&mut self, patch: &Patch<'_>) -> io::Result<()> {
        assert!(patch.range.end <= self.bytes.len() as u64, "a patch comes after its bytes");
        self.patches.push((patch.range, patch.entropy, patch.prominence, patch.coherence, patch.embedding.to_vec()));
        Ok(())
    }

    fn wants_embeddings(&self) -> EmbeddingsOf {
        if self.is_for_patches { EmbeddingsOf::Patches } else { EmbeddingsOf::Bytes }
    }
}

fn encode(bytes: &[u8], encoding: &Encoding) -> (Collected, ViewSummary) {
    let mut sink = Collected::default();
    let summary = encode_view(&*MODEL, encoding, || Ok(bytes), &[], &mut sink, &AtomicBool::new(false)).unwrap();
    (sink, summary)
}

/// Sums of states that never leave their device are those of the states that do.
#[test]
fn embeddings_of_patches_need_none_of_bytes() {
    // Longer than a piece, so that patches lie across.
    let bytes = blt_testkit::prose(2 * MODEL.info().tokens_at_once + 777, 8);
    let encoding = Encoding { prominence: ProminencePool::NormOfMean, ..Encoding::global(2.0) };
    let (with_bytes, _) = encode(&bytes, &encoding);
    let mut sink = Collected { is_for_patches: true, ..Collected::default() };
    encode_view(&*MODEL, &encoding, || Ok(&bytes[..]), &[], &mut sink, &AtomicBool::new(false)).unwrap();
    assert!(sink.embeddings.is_empty() && !with_bytes.embeddings.is_empty());
    assert_eq!(sink.patches, with_bytes.patches);
}

/// The definitions of the contract, applied plainly to the signals of one pass.
fn plainly(bytes: &[u8], signals: &Signals, encoding: &Encoding) -> Collected {
    let (n, dim) = (bytes.len(), MODEL.info().dim);
    let row = |i: usize| &signals.embeddings[(i + 1) * dim..(i + 2) * dim];
    let starts = document_starts(&encoding.patcher, bytes, &signals.entropies, &[]);
    let ends = starts.iter().skip(1).copied().chain([n]);
    let patches = starts.iter().zip(ends).map(|(&start, end)| {
        let mean =
            |of: &dyn Fn(usize) -> f32| (start..end).map(|i| f64::from(of(i))).sum::<f64>() / (end - start) as f64;
        let prominence = (start..end).map(|i| signals.norms[i + 1]).fold(0.0, f32::max);
        let coherence = mean(&|i| coherence(signals.norms[i + 1], signals.entropies[i + 1]));
        let embedding = (0..dim).map(|d| mean(&|i| row(i)[d]) as f32).collect();
        let range = ByteRange::new(start as u64, end as u64);
        (range, mean(&|i| signals.entropies[i]) as f32, prominence, coherence as f32, embedding)
    });
    Collected {
        is_for_patches: false,
        bytes: bytes.to_vec(),
        entropies: signals.entropies[..n].to_vec(),
        prominence: signals.norms[1..].to_vec(),
        embeddings: signals.embeddings[dim..].to_vec(),
        patches: patches.collect(),
    }
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-4 * b.abs().max(1.0), "{what} {i}: {a} {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn signals_line_up_with_bytes_as_defined(n_bytes in 0usize..3000, seed: u64, max in prop::option::of(1usize..9)) {
        let bytes = blt_testkit::noise(n_bytes, seed);
        let encoding = Encoding {
            patcher: Patcher { rule: Rule::Global { threshold: 1.5 }, max_patch_length: max },
            ..Encoding::global(1.5)
        };
        let signals = MODEL.session().push(&BltTokenizer::default().encode_bytes(&bytes), Want::All).unwrap();
        let expected = plainly(&bytes, &signals, &encoding);
        let (found, summary) = encode(&bytes, &encoding);
        prop_assert_eq!(&found.bytes, &expected.bytes);
        assert_close(&found.entropies, &expected.entropies, "entropies");
        assert_close(&found.prominence, &expected.prominence, "prominence");
        assert_close(&found.embeddings, &expected.embeddings, "embeddings");
        let ranges = |collected: &Collected| collected.patches.iter().map(|patch| patch.0).collect::<Vec<_>>();
        prop_assert_eq!(ranges(&found), ranges(&expected));
        for (a, b) in found.patches.iter().zip(&expected.patches) {
            assert_close(&[a.1, a.2, a.3], &[b.1, b.2, b.3], "patch");
            assert_close(&a.4, &b.4, "patch embedding");
        }
        prop_assert_eq!(summary, ViewSummary { n_bytes: n_bytes as u64, n_patches: expected.patches.len() as u64 });
    }
}

/// `chunked` restarts the model every `max_seqlen` tokens, BOS being the first of the first row.
#[test]
fn chunked_mode_restarts_every_row() {
    let bytes = blt_testkit::prose(1000, 5);
    let tokens = BltTokenizer::default().encode_bytes(&bytes);
    let rows = tokens.chunks(MODEL.info().max_seqlen);
    let expected: Vec<f32> =
        rows.flat_map(|row| MODEL.session().push(row, Want::Entropies).unwrap().entropies).collect();
    let (found, _) = encode(&bytes, &Encoding { mode: Mode::Chunked, ..Encoding::global(1.5) });
    assert_close(&found.entropies, &expected[..1000], "entropies");
    let (continuous, _) = encode(&bytes, &Encoding::global(1.5));
    assert_ne!(found.entropies, continuous.entropies);
}

#[test]
fn every_rule_tiles_the_view_and_matches_the_whole_document() {
    let bytes = blt_testkit::prose(2500, 7);
    let signals = MODEL.session().push(&BltTokenizer::default().encode_bytes(&bytes), Want::All).unwrap();
    for rule in [
        Rule::Global { threshold: 1.0 },
        Rule::Monotonic { threshold: 0.4 },
        Rule::GlobalMonotonic { threshold: 1.0, threshold_add: 0.2 },
        Rule::TopK { patch_size: 5 },
        Rule::Space,
        Rule::Static { patch_size: 7 },
        Rule::Byte,
    ] {
        let encoding = Encoding { patcher: Patcher::new(rule), ..Encoding::global(0.0) };
        let (found, _) = encode(&bytes, &encoding);
        let expected = plainly(&bytes, &signals, &encoding);
        assert_eq!(found.patches.len(), expected.patches.len(), "{rule:?}");
        let mut end = 0;
        for (patch, expected) in found.patches.iter().zip(&expected.patches) {
            assert_eq!(patch.0, expected.0, "{rule:?}");
            assert_eq!(patch.0.start, end, "{rule:?}");
            end = patch.0.end;
        }
        assert_eq!(end, 2500, "{rule:?}");
    }
}

#[test]
fn prominence_pools_as_asked() {
    let bytes = blt_testkit::prose(300, 8);
    let pooled = |prominence| encode(&bytes, &Encoding { prominence, ..Encoding::global(1.0) }).0;
    let (max, mean, norm) =
        (pooled(ProminencePool::Max), pooled(ProminencePool::Mean), pooled(ProminencePool::NormOfMean));
    for i in 0..max.patches.len() {
        let range = max.patches[i].0;
        let norms = &max.prominence[range.start as usize..range.end as usize];
        assert_close(&[mean.patches[i].2], &[norms.iter().sum::<f32>() / norms.len() as f32], "mean");
        let embedding = &norm.patches[i].4;
        assert_close(&[norm.patches[i].2], &[embedding.iter().map(|x| x * x).sum::<f32>().sqrt()], "norm of mean");
        assert!(norm.patches[i].2 <= mean.patches[i].2 * 1.0001 && mean.patches[i].2 <= max.patches[i].2 * 1.0001);
    }
}

#[test]
fn a_cancelled_encoding_stops() {
    let bytes = blt_testkit::prose(300, 8);
    let result = encode_view(
        &*MODEL,
        &Encoding::global(1.0),
        || Ok(&bytes[..]),
        &[],
        &mut Collected::default(),
        &AtomicBool::new(true),
    );
    assert!(matches!(result, Err(EncodeError::Cancelled)));
}
