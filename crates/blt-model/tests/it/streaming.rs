//! How tokens are cut, batched or placed must not change what the model says about them.

use blt_core::{BltTokenizer, EOS_ID, EntropyEngine, Signals, TokenId, Want};
use blt_model::EntropyModel;
use proptest::prelude::*;

use crate::{largest_difference, reference_model};

/// Rounding differs with the shapes of the matrix products, nothing else may.
const TOLERANCE: f32 = 1e-5;

fn in_pieces(model: &EntropyModel, tokens: &[TokenId], cut: impl Fn(usize) -> usize) -> Signals {
    let mut session = model.session();
    let mut signals = Signals::default();
    let (mut start, mut piece) = (0, 0);
    while start < tokens.len() {
        let end = tokens.len().min(start + cut(piece));
        signals.append(session.push(&tokens[start..end], Want::All).unwrap());
        (start, piece) = (end, piece + 1);
    }
    signals
}

#[track_caller]
fn assert_same(found: &Signals, expected: &Signals, context: &str) {
    for (what, found, expected, scale) in [
        ("entropies", &found.entropies, &expected.entropies, 1.0),
        ("norms", &found.norms, &expected.norms, 10.0),
        ("embeddings", &found.embeddings, &expected.embeddings, 10.0),
    ] {
        let difference = largest_difference(found, expected);
        assert!(difference < TOLERANCE * scale, "{context}: {what} differ by {difference:e}");
    }
}

#[test]
fn any_chunking_gives_the_answer_of_one_pass() {
    let model = reference_model("model-tiny");
    let mut tokens = BltTokenizer::default().encode_bytes(&blt_testkit::prose(3000, 1));
    tokens[1777] = EOS_ID; // a document boundary in the middle of the stream
    let whole = in_pieces(&model, &tokens, |_| usize::MAX);
    for size in [1, 7, 17, 128, 512, 1024, 2999] {
        assert_same(&in_pieces(&model, &tokens, |_| size), &whole, &format!("pieces of {size}"));
    }
    assert_same(&in_pieces(&model, &tokens, |piece| 1 + piece * 37 % 300), &whole, "mixed pieces");
}

/// Window 512, which is longer than a band of queries and shorter than a piece.
#[test]
fn chunks_of_the_wide_window_give_the_answer_of_one_pass() {
    let model = reference_model("model-small");
    let tokens = BltTokenizer::default().encode_bytes(&blt_testkit::prose(2100, 2));
    let whole = in_pieces(&model, &tokens, |_| usize::MAX);
    for size in [100, 511, 700] {
        // These random weights amplify rounding; PyTorch's float32 run is up to 9e-5 off float64.
        let found = in_pieces(&model, &tokens, |_| size);
        let difference = largest_difference(&found.entropies, &whole.entropies);
        assert!(difference < 1e-4, "pieces of {size}: entropies differ by {difference:e}");
    }
}

#[test]
fn a_reset_session_starts_anew() {
    let model = reference_model("model-tiny");
    let tokens = BltTokenizer::default().encode_bytes(b"the same text twice");
    let mut session = model.session();
    let first = session.push(&tokens, Want::All).unwrap();
    session.reset();
    assert_eq!(session.push(&tokens, Want::All).unwrap(), first);
}

/// A text far into a stream reads as it does near its beginning: rotary angles are relative.
#[test]
fn a_text_reads_the_same_at_any_position() {
    let model = reference_model("model-tiny");
    let text = BltTokenizer { add_bos: false, add_eos: false }.encode_bytes(&blt_testkit::prose(64, 3));
    let mut session = model.session();
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
    let model = reference_model("model-tiny");
    let error = model.session().push(&[1, 300], Want::Entropies).unwrap_err();
    assert_eq!(error.to_string(), "token id 300 at position 1 is outside the vocabulary of 260");
}

#[test]
fn nothing_in_nothing_out() {
    let model = reference_model("model-tiny");
    assert_eq!(model.session().push(&[], Want::All).unwrap(), Signals::default());
    assert_eq!(model.batch(&[], Want::All).unwrap(), []);
    assert_eq!(model.batch(&[&[], &[]], Want::All).unwrap(), [Signals::default(), Signals::default()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_document_of_a_batch_affects_another(lengths in prop::collection::vec(0usize..400, 1..12), seed: u64) {
        let model = reference_model("model-tiny");
        let documents: Vec<Vec<TokenId>> = lengths
            .iter()
            .enumerate()
            .map(|(i, &length)| BltTokenizer::default().encode_bytes(&blt_testkit::noise(length, seed ^ i as u64)))
            .collect();
        let slices: Vec<&[TokenId]> = documents.iter().map(Vec::as_slice).collect();
        let together = model.batch(&slices, Want::All).unwrap();
        prop_assert_eq!(together.len(), documents.len());
        for (document, together) in slices.iter().zip(&together) {
            assert_same(together, &model.session().push(document, Want::All).unwrap(), "batch");
        }
    }
}
