//! The rules on rows of tokens, as the original's `Patcher` applies them.

use blt_core::{BPE_ID, BYTE_OFFSET, TokenId, byte_of_token};

/// Where patches start.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// Where the entropy exceeds `threshold` (nats).
    Global {
        /// Strictly above it starts a patch.
        threshold: f32,
    },
    /// Where the entropy rises by more than `threshold` (nats) from one position to the next.
    Monotonic {
        /// Strictly above it starts a patch.
        threshold: f32,
    },
    /// Where the entropy exceeds `threshold` and rises by more than `threshold_add`, both in nats.
    GlobalMonotonic {
        /// For the entropy.
        threshold: f32,
        /// For its rise.
        threshold_add: f32,
    },
    /// At the largest entropies, as many as make patches of `patch_size` tokens on average.
    TopK {
        /// Mean patch length in tokens.
        patch_size: usize,
    },
    /// After each run of letters, digits and UTF-8 continuation bytes, behind the space-like byte that ends it.
    Space,
    /// Every `patch_size` tokens.
    Static {
        /// Patch length in tokens.
        patch_size: usize,
    },
    /// Everywhere.
    Byte,
    /// After each byte-pair delimiter (token 3).
    Bpe,
}

impl Rule {
    /// The rule's name in options and outputs.
    pub fn name(&self) -> &'static str {
        match self {
            Rule::Global { .. } => "global",
            Rule::Monotonic { .. } => "monotonic",
            Rule::GlobalMonotonic { .. } => "global+monotonic",
            Rule::TopK { .. } => "top-k",
            Rule::Space => "space",
            Rule::Static { .. } => "static",
            Rule::Byte => "byte",
            Rule::Bpe => "bpe",
        }
    }

    /// Whether the rule looks at entropies; the others need no model to find the patches.
    pub fn needs_entropies(&self) -> bool {
        matches!(self, Rule::Global { .. } | Rule::Monotonic { .. } | Rule::GlobalMonotonic { .. } | Rule::TopK { .. })
    }
}

/// A rule and the longest patch it may make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patcher {
    /// Where patches start.
    pub rule: Rule,
    /// Longer patches are cut into pieces of this length from their start, the rest last. `None`: any length.
    pub max_patch_length: Option<usize>,
}

impl Patcher {
    /// `rule` with patches of any length.
    pub fn new(rule: Rule) -> Self {
        Self { rule, max_patch_length: None }
    }
}

/// Whether a row's patches cover the token after its last one (`include_next_token` of the original).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextToken {
    /// The lengths sum to the row's length plus one.
    Include,
    /// The lengths sum to the row's length.
    Exclude,
}

/// The start of each patch of a row, ascending, before `max_patch_length` is applied.
///
/// `entropies[i]` says how uncertain the model is about token `i + 1`, so passing a rule's test at `i` starts a patch at
/// `i + 1`. Positions 0 and 1 always start one, except under `static`. `entropies` has one value a token under the rules
/// that look at entropies and is not looked at under the others.
pub fn patch_starts(rule: &Rule, tokens: &[TokenId], entropies: &[f32], next: NextToken) -> Vec<usize> {
    let n_total = tokens.len() + usize::from(next == NextToken::Include);
    if tokens.is_empty() {
        return (0..n_total).collect();
    }
    let mut starts: Vec<usize> = match *rule {
        Rule::Static { patch_size } => (0..n_total).step_by(patch_size.max(1)).collect(),
        Rule::Byte => (0..n_total).collect(),
        Rule::Bpe => {
            let delimiters = (1..tokens.len() - 1).filter(|&i| tokens[i] == BPE_ID);
            [0, 1].into_iter().chain(delimiters.map(|i| i + 1)).collect()
        }
        Rule::Space => {
            let ends = (1..tokens.len()).filter(|&i| ends_space_patch(tokens[i - 1], tokens[i]));
            [0, 1].into_iter().chain(ends.map(|i| i + 1)).collect()
        }
        Rule::TopK { patch_size } => top_k_starts(tokens.len() / patch_size.max(1), entropies),
        Rule::Global { .. } | Rule::Monotonic { .. } | Rule::GlobalMonotonic { .. } => {
            let passing = (1..entropies.len()).filter(|&i| passes(rule, i, entropies[i - 1], entropies[i]));
            [0, 1].into_iter().chain(passing.map(|i| i + 1)).collect()
        }
    };
    starts.retain(|&start| start < n_total);
    starts
}

/// The length of each patch of a row, after `max_patch_length` is applied. They sum to the row's length, plus one with
/// [`NextToken::Include`].
pub fn patch_lengths(patcher: &Patcher, tokens: &[TokenId], entropies: &[f32], next: NextToken) -> Vec<usize> {
    let n_total = tokens.len() + usize::from(next == NextToken::Include);
    let starts = patch_starts(&patcher.rule, tokens, entropies, next);
    lengths_of_starts(&split_long_patches(&starts, n_total, patcher.max_patch_length), n_total)
}

/// Patch starts with a start added wherever a patch of a row of `n_total` tokens would be longer than `max_patch_length`.
pub fn split_long_patches(starts: &[usize], n_total: usize, max_patch_length: Option<usize>) -> Vec<usize> {
    let Some(max) = max_patch_length.filter(|&max| max > 0) else { return starts.to_vec() };
    let ends = starts.iter().skip(1).copied().chain([n_total]);
    starts.iter().zip(ends).flat_map(|(&start, end)| (start..end).step_by(max)).collect()
}

/// The length of each patch, given ascending starts in a row of `n_total` tokens.
pub fn lengths_of_starts(starts: &[usize], n_total: usize) -> Vec<usize> {
    let ends = starts.iter().skip(1).copied().chain([n_total]);
    starts.iter().zip(ends).map(|(&start, end)| end - start).collect()
}

/// Whether the entropy `now` at index `i >= 1`, after `before` at `i - 1`, starts a patch one position later.
pub(crate) fn passes(rule: &Rule, i: usize, before: f32, now: f32) -> bool {
    match *rule {
        Rule::Global { threshold } => now > threshold,
        Rule::Monotonic { threshold } => i == 1 || now - before > threshold,
        // The original compares with neighbours it has just forced: i = 1 always passes, and i = 2 then never does.
        Rule::GlobalMonotonic { threshold, threshold_add } => {
            i == 1 || (i >= 3 && now - before > threshold_add && now > threshold)
        }
        _ => false,
    }
}

fn top_k_starts(n_patches: usize, entropies: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (1..entropies.len()).collect();
    order.sort_by(|&a, &b| entropies[b].total_cmp(&entropies[a]).then(a.cmp(&b)));
    let mut starts: Vec<usize> =
        order.into_iter().take(n_patches.saturating_sub(2)).map(|i| i + 1).chain([0, 1]).collect();
    starts.sort_unstable();
    starts
}

/// Whether a `space` patch ends with `token`, which follows `before`.
fn ends_space_patch(before: TokenId, token: TokenId) -> bool {
    token < BYTE_OFFSET || (is_space_like(token) && !is_space_like(before))
}

/// Neither an ASCII letter or digit nor a UTF-8 continuation byte; special tokens count as space-like.
pub(crate) fn is_space_like(token: TokenId) -> bool {
    !byte_of_token(token).is_some_and(|byte| byte.is_ascii_alphanumeric() || (0x80..0xC0).contains(&byte))
}

#[cfg(test)]
mod tests {
    use blt_testkit::{PatcherCase, patcher_cases};

    use super::*;

    fn rule_of(case: &PatcherCase) -> Rule {
        let threshold = case.threshold.map_or(f32::NAN, |threshold| threshold as f32);
        let patch_size = case.patch_size.unwrap_or(0);
        match case.mode.as_str() {
            "entropy" if case.monotonicity => Rule::Monotonic { threshold },
            "entropy" => match case.threshold_add {
                Some(add) => Rule::GlobalMonotonic { threshold, threshold_add: add as f32 },
                None => Rule::Global { threshold },
            },
            "entropy_topk" => Rule::TopK { patch_size },
            "space" => Rule::Space,
            "static" => Rule::Static { patch_size },
            "byte" => Rule::Byte,
            "bpe" => Rule::Bpe,
            mode => panic!("unknown mode {mode}"),
        }
    }

    /// All 250 cases computed with the original's code.
    #[test]
    fn every_reference_case_is_equal() {
        let mut n_rows = 0;
        for case in patcher_cases() {
            let patcher = Patcher { rule: rule_of(&case), max_patch_length: case.max_patch_length };
            let next = if case.include_next_token { NextToken::Include } else { NextToken::Exclude };
            for (row, tokens) in case.tokens.iter().enumerate() {
                let entropies = case.entropies.as_ref().map_or(&[][..], |rows| &rows[row]);
                let lengths = patch_lengths(&patcher, tokens, entropies, next);
                assert_eq!(
                    lengths.iter().sum::<usize>(),
                    tokens.len() + usize::from(case.include_next_token),
                    "{}: lengths tile the row",
                    case.id
                );
                let Some(expected) = &case.patch_lengths else { continue };
                let expected: Vec<usize> = expected[row].iter().map(|&n| n as usize).filter(|&n| n > 0).collect();
                assert_eq!(lengths, expected, "{} row {row}", case.id);
                if let Some(starts) = &case.patch_starts {
                    let found = patch_starts(&patcher.rule, tokens, entropies, next);
                    let found = split_long_patches(&found, lengths.iter().sum(), case.max_patch_length);
                    assert_eq!(found, starts[row], "{} row {row}", case.id);
                }
                n_rows += 1;
            }
        }
        assert!(n_rows > 246, "only {n_rows} rows were compared");
    }

    #[track_caller]
    fn check(entropies: &[f32], rule: Rule, starts: &[usize]) {
        let tokens = vec![BYTE_OFFSET; entropies.len()];
        assert_eq!(patch_starts(&rule, &tokens, entropies, NextToken::Exclude), starts);
    }

    /// Tokens 0 and 1 always start a patch; token `i + 1` does when the prediction made after `i` was uncertain.
    #[test]
    fn a_patch_starts_after_an_uncertain_prediction() {
        check(&[0.1, 0.2, 2.0, 0.3], Rule::Global { threshold: 1.3 }, &[0, 1, 3]);
        check(&[0.1, 0.2, 1.3, 0.3], Rule::Global { threshold: 1.3 }, &[0, 1]); // strictly above
        check(&[9.0], Rule::Global { threshold: 1.3 }, &[0]);
        check(&[], Rule::Global { threshold: 1.3 }, &[]);
    }

    #[test]
    fn values_that_are_not_numbers_start_nothing() {
        check(&[0.0, f32::NAN, f32::NAN, 0.0], Rule::Global { threshold: 1.0 }, &[0, 1]);
    }
}
