//! How tokens are cut, batched, placed or spread over threads must not change a bit of what the model says about them.

use blt_core::{BltTokenizer, EOS_ID, EntropyEngine, Signals, TokenId, Want};
use blt_cpu::{CpuEngine, FloatType, InstructionSet};
use proptest::prelude::*;

use crate::{engine, largest_difference, ways};

const PLAIN: (FloatType, InstructionSet) = (FloatType::F32, InstructionSet::Portable);

fn in_pieces(engine: &CpuEngine, tokens: &[TokenId], cut: impl Fn(usize) -> usize) -> Signals {
    let mut session = engine.session();
    let mut signals = Signals::default();
    let (mut start, mut piece) = (0, 0);
    while start < tokens.len() {
        let end = tokens.len().min(start.saturating_add(cut(piece)));
        signals.append(session.push(&tokens[start..end], Want::All).unwrap());
        (start, piece) = (end, piece + 1);
    }
    signals
}

#[test]
fn any_chunking_gives_the_bits_of_one_pass() {
    for way in ways() {
        let engine = engine("model-tiny", way, 1);
        let mut tokens = BltTokenizer::default().encode_bytes(&blt_testkit::prose(1500, 1));
        tokens[777] = EOS_ID; // a document boundary in the middle of the stream
        let whole = in_pieces(&engine, &tokens, |_| usize::MAX);
        for size in [1, 7, 17, 128, 512, 1499] {
            assert_eq!(in_pieces(&engine, &tokens, |_| size), whole, "{way:?}, pieces of {size}");
        }
        assert_eq!(in_pieces(&engine, &tokens, |piece| 1 + piece * 37 % 300), whole, "{way:?}, mixed pieces");
    }
}

/// Window 512, which is longer than a chunk and shorter than a piece.
#[test]
fn chunks_of_the_wide_window_give_the_bits_of_one_pass() {
    for way in ways().into_iter().filter(|way| *way != PLAIN) {
        let engine = engine("model-small", way, 1);
        let tokens = BltTokenizer::default().encode_bytes(&blt_testkit::prose(2100, 2));
        let whole = in_pieces(&engine, &tokens, |_| usize::MAX);
        for size in [100, 511, 700] {
            assert_eq!(in_pieces(&engine, &tokens, |_| size), whole, "{way:?}, pieces of {size}");
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_bits_of_one() {
    for way in ways() {
        let tokens = BltTokenizer::default().encode_bytes(&blt_testkit::prose(6000, 3));
        let alone = in_pieces(&engine("model-tiny", way, 1), &tokens, |_| 2500);
        for threads in [2, 3, 5] {
            let engine = engine("model-tiny", way, threads);
            assert_eq!(in_pieces(&engine, &tokens, |_| 2500), alone, "{way:?}, {threads} threads");
            assert_eq!(in_pieces(&engine, &tokens, |piece| 100 + 1900 * piece), alone, "{way:?}, {threads} threads");
        }
    }
}

#[test]
fn a_reset_session_starts_anew() {
    let engine = engine("model-tiny", PLAIN, 2);
    let tokens = BltTokenizer::default().encode_bytes(&blt_testkit::prose(3000, 4));
    let mut session = engine.session();
    let first = session.push(&tokens, Want::All).unwrap();
    session.reset();
    assert_eq!(session.push(&tokens[..50], Want::All).unwrap().entropies, first.entropies[..50]);
    session.reset();
    assert_eq!(session.push(&tokens, Want::All).unwrap(), first);
}

/// A text far into a stream reads as it does near its beginning: rotary angles are relative.
#[test]
fn a_text_reads_the_same_at_any_position() {
    let engine = engine("model-tiny", PLAIN, 1);
    let text = BltTokenizer { add_bos: false, add_eos: false }.encode_bytes(&blt_testkit::prose(64, 3));
    let mut session = engine.session();
    let mut near = Vec::new();
    for repetition in 0..1600 {
        let entropies = session.push(&text, Want::Entropies).unwrap().entropies;
        match repetition {
            1 => near = entropies,
            // Position 102,400, past the table; the float32 angles near 0 are off by less than 1e-5.
            1599 => assert!(largest_difference(&entropies, &near) < 1e-3),
            _ => {}
        }
    }
}

#[test]
fn a_token_outside_the_vocabulary_is_refused() {
    let engine = engine("model-tiny", PLAIN, 1);
    let error = engine.session().push(&[1, 300], Want::Entropies).unwrap_err();
    assert_eq!(error.to_string(), "token id 300 at position 1 is outside the vocabulary of 260");
}

#[test]
fn nothing_in_nothing_out() {
    let engine = engine("model-tiny", PLAIN, 2);
    assert_eq!(engine.session().push(&[], Want::All).unwrap(), Signals::default());
    assert_eq!(engine.batch(&[], Want::All).unwrap(), []);
    assert_eq!(engine.batch(&[&[], &[]], Want::All).unwrap(), [Signals::default(), Signals::default()]);
    assert!(engine.row(&[]).unwrap().logits.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_document_of_a_batch_affects_another(lengths in prop::collection::vec(0usize..400, 1..12), seed: u64) {
        let engine = engine("model-tiny", PLAIN, 3);
        let documents: Vec<Vec<TokenId>> = lengths
            .iter()
            .enumerate()
            .map(|(i, &length)| BltTokenizer::default().encode_bytes(&blt_testkit::noise(length, seed ^ i as u64)))
            .collect();
        let slices: Vec<&[TokenId]> = documents.iter().map(Vec::as_slice).collect();
        let together = engine.batch(&slices, Want::All).unwrap();
        prop_assert_eq!(together.len(), documents.len());
        for (document, together) in slices.iter().zip(&together) {
            prop_assert_eq!(together, &engine.session().push(document, Want::All).unwrap());
        }
    }
}
