//! The rules on the bytes of a document.
//!
//! A document of `n` bytes is the row BOS, byte 0, ... byte n-1 without its first patch, which is BOS alone. With
//! `entropies[i]` the uncertainty about byte `i` before it was read, the indices fall together: byte `i` is token
//! `i + 1`, and what decides about it is `entropies[i]`. Only `static` counts bytes, not tokens.

use blt_core::{BPE_ID, BltTokenizer, TokenId};

use crate::rules::{NextToken, Patcher, Rule, is_space_like, passes, patch_starts, split_long_patches};

/// The rule cannot be applied byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the rule `{}` needs the whole document at once", .0.name())]
pub struct NotIncremental(pub Rule);

/// Finds the patches of one document byte by byte.
#[derive(Debug, Clone)]
pub struct DocumentPatcher {
    patcher: Patcher,
    /// Index of the next byte.
    index: u64,
    /// Length so far of the patch that the last byte belongs to.
    length: usize,
    last_entropy: f32,
    /// The last two bytes' tokens, BOS before the first byte.
    last_tokens: [TokenId; 2],
}

impl DocumentPatcher {
    /// A patcher at the start of a document.
    ///
    /// # Errors
    ///
    /// Fails for `top-k`, which ranks all entropies, and `bpe`, which needs a tokenizer's delimiters:
    /// [`document_starts`] does these.
    pub fn new(patcher: Patcher) -> Result<Self, NotIncremental> {
        if matches!(patcher.rule, Rule::TopK { .. } | Rule::Bpe) {
            return Err(NotIncremental(patcher.rule));
        }
        Ok(Self { patcher, index: 0, length: 0, last_entropy: 0.0, last_tokens: [blt_core::BOS_ID; 2] })
    }

    /// Whether a patch starts at the next byte, which is `byte`; `entropy` is the uncertainty about it in nats.
    pub fn push(&mut self, byte: u8, entropy: f32) -> bool {
        let starts = self.index == 0
            || self.patcher.max_patch_length.is_some_and(|max| max > 0 && self.length >= max)
            || self.rule_starts(entropy);
        self.length = if starts { 1 } else { self.length + 1 };
        self.index += 1;
        self.last_entropy = entropy;
        self.last_tokens = [self.last_tokens[1], TokenId::from(byte) + blt_core::BYTE_OFFSET];
        starts
    }

    fn rule_starts(&self, entropy: f32) -> bool {
        match self.patcher.rule {
            Rule::Byte => true,
            Rule::Static { patch_size } => self.index.is_multiple_of(patch_size.max(1) as u64),
            Rule::Space => is_space_like(self.last_tokens[1]) && !is_space_like(self.last_tokens[0]),
            // Only the first few indices are special, so a saturated one means the same.
            ref rule => passes(rule, usize::try_from(self.index).unwrap_or(usize::MAX), self.last_entropy, entropy),
        }
    }
}

/// The first byte of each patch of a document.
///
/// `entropies` has one value a byte, and may have one more for what would follow the last byte; `top-k` then ranks that
/// too, as the original does. For `bpe`, `delimiters` are the offsets at which a tokenizer's tokens start; the other
/// rules ignore them.
///
/// # Panics
///
/// Panics under a rule that looks at entropies if there are fewer of them than bytes.
pub fn document_starts(patcher: &Patcher, bytes: &[u8], entropies: &[f32], delimiters: &[usize]) -> Vec<usize> {
    if let Ok(mut incremental) = DocumentPatcher::new(*patcher) {
        let entropy = |i: usize| if patcher.rule.needs_entropies() { entropies[i] } else { 0.0 };
        return bytes
            .iter()
            .enumerate()
            .filter(|&(i, &byte)| incremental.push(byte, entropy(i)))
            .map(|(i, _)| i)
            .collect();
    }
    let starts: Vec<usize> = if patcher.rule == Rule::Bpe {
        let inner = delimiters.iter().copied().filter(|&start| 0 < start && start < bytes.len());
        (!bytes.is_empty()).then_some(0).into_iter().chain(inner).collect()
    } else {
        let tokens = BltTokenizer::default().encode_bytes(bytes);
        debug_assert!(!tokens.contains(&BPE_ID));
        assert!(entropies.len() >= bytes.len(), "one entropy a byte");
        let starts = patch_starts(&patcher.rule, &tokens, entropies, NextToken::Exclude);
        starts.into_iter().filter_map(|start| start.checked_sub(1)).collect()
    };
    split_long_patches(&starts, bytes.len(), patcher.max_patch_length)
}

/// How many patch starts are in one of two lists and not in the other. Both must be ascending, as all lists here are.
pub fn moved_starts(a: &[usize], b: &[usize]) -> usize {
    let only_in = |a: &[usize], b: &[usize]| a.iter().filter(|start| b.binary_search(start).is_err()).count();
    only_in(a, b) + only_in(b, a)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::patch_lengths;

    fn any_rule() -> impl Strategy<Value = Rule> {
        let threshold = -0.5f32..4.0;
        prop_oneof![
            threshold.clone().prop_map(|threshold| Rule::Global { threshold }),
            threshold.clone().prop_map(|threshold| Rule::Monotonic { threshold }),
            (threshold.clone(), threshold)
                .prop_map(|(threshold, threshold_add)| Rule::GlobalMonotonic { threshold, threshold_add }),
            Just(Rule::Space),
            Just(Rule::Byte),
            (1usize..9).prop_map(|patch_size| Rule::TopK { patch_size }),
        ]
    }

    proptest! {
        /// On bytes as on the row with BOS in front, less the patch that BOS is.
        #[test]
        fn documents_are_rows_behind_bos(
            document in prop::collection::vec((any::<u8>(), 0f32..5.0), 1..200),
            rule in any_rule(),
            max_patch_length in prop::option::of(1usize..20),
        ) {
            let (bytes, entropies): (Vec<u8>, Vec<f32>) = document.into_iter().unzip();
            let patcher = Patcher { rule, max_patch_length };
            let tokens = BltTokenizer::default().encode_bytes(&bytes);
            let padded: Vec<f32> = entropies.iter().copied().chain([0.0]).collect();
            let row = patch_lengths(&patcher, &tokens, &padded, NextToken::Exclude);
            let starts = document_starts(&patcher, &bytes, &padded, &[]);
            let lengths = crate::lengths_of_starts(&starts, bytes.len());
            prop_assert_eq!(&lengths[..], if row[0] == 1 { &row[1..] } else { &row[..] });
            prop_assert_eq!(lengths.iter().sum::<usize>(), bytes.len());
            prop_assert_eq!(starts[0], 0);
        }

        #[test]
        fn static_patches_count_bytes(n_bytes in 0usize..100, patch_size in 1usize..10) {
            let starts = document_starts(&Patcher::new(Rule::Static { patch_size }), &vec![0; n_bytes], &[], &[]);
            prop_assert_eq!(starts, (0..n_bytes).step_by(patch_size).collect::<Vec<_>>());
        }
    }

    #[test]
    fn words_end_behind_their_space() {
        let text = b"two words, \xC3\xA9t\xC3\xA9!";
        let starts = document_starts(&Patcher::new(Rule::Space), text, &[], &[]);
        let patches: Vec<&[u8]> =
            starts.iter().zip(starts.iter().skip(1).chain([&text.len()])).map(|(&a, &b)| &text[a..b]).collect();
        assert_eq!(patches, [&b"two "[..], b"words,", b" \xC3\xA9t\xC3", b"\xA9!"]);
    }

    #[test]
    fn byte_pair_patches_start_at_the_tokens() {
        let patcher = Patcher { rule: Rule::Bpe, max_patch_length: Some(4) };
        assert_eq!(document_starts(&patcher, b"hello world", &[], &[0, 5]), [0, 4, 5, 9]);
        assert_eq!(document_starts(&patcher, b"", &[], &[0]), [0usize; 0]);
        assert!(DocumentPatcher::new(patcher).is_err());
    }

    #[test]
    fn starts_moved_are_counted_on_both_sides() {
        assert_eq!(moved_starts(&[0, 1, 5, 9], &[0, 1, 6, 9, 12]), 3);
        assert_eq!(moved_starts(&[0, 1], &[0, 1]), 0);
        assert_eq!(moved_starts(&[], &[0, 1, 2]), 3);
    }
}
