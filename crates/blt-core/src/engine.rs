//! The interface of an entropy model: tokens in, signals out, on host slices.

use std::fmt;

use crate::TokenId;

/// What an engine is, for outputs and reports.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineInfo {
    /// Name of the model with the start of its weights' sha256, like `blt-mini@0123456789ab`.
    pub model: String,
    /// Width of the hidden state: the length of one embedding.
    pub dim: usize,
    /// Longest row of the original's data flow, in tokens; `chunked` mode restarts there.
    pub max_seqlen: usize,
    /// Attention window in tokens: a position sees itself and the `window - 1` before it.
    pub window: usize,
    /// Where the model computes, for people: backend, device, number type.
    pub device: String,
    /// Tokens to [`push`](Session::push) at once for the engine to be fast.
    pub tokens_at_once: usize,
    /// Documents to read at once, each in its own [`Session`] on its own thread, for the engine to be busy.
    pub documents_at_once: usize,
}

/// Which signals are computed and brought to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Only entropies: 4 bytes a token leave the device.
    Entropies,
    /// Entropies and L2 norms of the pre-norm states.
    EntropiesAndNorms,
    /// Entropies, norms and the pre-norm states themselves.
    All,
}

/// Signals of consecutive token positions. `entropies[k]` is the uncertainty about the token AFTER position `k`;
/// `norms[k]` and row `k` of `embeddings` are the state at position `k`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signals {
    /// Entropy of the next-token distribution in nats, `[t]`.
    pub entropies: Vec<f32>,
    /// L2 norm of the pre-norm state, `[t]`; empty unless asked for.
    pub norms: Vec<f32>,
    /// Hidden state after the last layer, before the final norm, `[t * dim]`, row by row; empty unless asked for.
    pub embeddings: Vec<f32>,
}

impl Signals {
    /// Itself, if all entropies are numbers.
    ///
    /// # Errors
    ///
    /// Fails when one is not finite.
    pub fn checked(self) -> Result<Self, EngineError> {
        match self.entropies.iter().position(|entropy| !entropy.is_finite()) {
            Some(position) => Err(EngineError::NotFinite { position }),
            None => Ok(self),
        }
    }

    /// Sums of the states over ranges of the positions, `[ends * dim]`: each begins where the one before ends, the first at
    /// 0. The numbers are added in order.
    ///
    /// # Panics
    ///
    /// When the ends fall, the last lies behind the last position, or there are no states.
    pub fn sum_states(&self, ends: &[u32]) -> Vec<f64> {
        let dim = self.embeddings.len() / self.entropies.len().max(1);
        let mut sums = vec![0.0; ends.len() * dim];
        let mut start = 0;
        for (sum, &end) in sums.chunks_exact_mut(dim.max(1)).zip(ends) {
            for state in self.embeddings[start * dim..end as usize * dim].chunks_exact(dim) {
                sum.iter_mut().zip(state).for_each(|(sum, &value)| *sum += f64::from(value));
            }
            start = end as usize;
        }
        sums
    }

    /// Appends the signals of the positions that follow.
    pub fn append(&mut self, mut next: Signals) {
        self.entropies.append(&mut next.entropies);
        self.norms.append(&mut next.norms);
        self.embeddings.append(&mut next.embeddings);
    }
}

/// Signals of consecutive positions without their states, and what was asked for of those.
pub struct StateSums {
    /// Entropies and norms; no embeddings.
    pub signals: Signals,
    /// Sums of the pre-norm states over the ranges asked for, `[ranges * dim]`, row by row. Engines that compute elsewhere
    /// give the memory into which their device wrote.
    pub sums: Box<dyn AsRef<[f64]> + Send>,
}

/// Everything a model says about one row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowOutput {
    /// Scores of the next token, `[t * vocab_size]`, row by row.
    pub logits: Vec<f32>,
    /// Entropies, norms and pre-norm states.
    pub signals: Signals,
}

/// How sure and how prominent a position is at once: `norm^2 / (entropy + 1e-6)`, state and entropy of the same position.
pub fn coherence(norm: f32, entropy: f32) -> f32 {
    norm * norm / (entropy + 1e-6)
}

/// Why an engine could not compute.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A token id is outside the vocabulary.
    #[error("token id {token} at position {position} is outside the vocabulary of {vocab_size}")]
    Token {
        /// The id found.
        token: TokenId,
        /// Its index in the tokens given.
        position: usize,
        /// Ids below this are valid.
        vocab_size: usize,
    },
    /// The model's numbers are none: its weights are damaged, or the number type is too narrow for them.
    #[error("the model's entropy at position {position} of a piece is not a finite number")]
    NotFinite {
        /// Index in the tokens given.
        position: usize,
    },
    /// The device failed: out of memory, lost, or an unsupported operation.
    #[error("the compute device failed: {0}")]
    Device(String),
}

/// Whether all tokens are in a vocabulary of `vocab_size`.
///
/// # Errors
///
/// Fails with the first that is not.
pub fn check_tokens(tokens: &[TokenId], vocab_size: usize) -> Result<(), EngineError> {
    match tokens.iter().position(|&token| usize::from(token) >= vocab_size) {
        Some(position) => Err(EngineError::Token { token: tokens[position], position, vocab_size }),
        None => Ok(()),
    }
}

/// An entropy model on some device. One engine serves many threads; each document gets its own [`Session`].
pub trait EntropyEngine: Send + Sync + fmt::Debug {
    /// What this engine is.
    fn info(&self) -> &EngineInfo;

    /// A fresh session: position 0, nothing seen.
    fn session(&self) -> Box<dyn Session + '_>;

    /// Everything about one row of tokens from position 0, held at once: for comparing models.
    ///
    /// # Errors
    ///
    /// Fails on a token outside the vocabulary and when the device fails.
    fn row(&self, tokens: &[TokenId]) -> Result<RowOutput, EngineError>;

    /// The signals of several whole documents of any lengths, computed together. No document affects another;
    /// the result equals one session each, up to rounding.
    ///
    /// # Errors
    ///
    /// Fails on a token outside the vocabulary and when the device fails.
    fn batch(&self, documents: &[&[TokenId]], want: Want) -> Result<Vec<Signals>, EngineError>;
}

/// One document on its way through the model. It holds each layer's exact key/value window, so the signals do not
/// depend on how the tokens are cut into calls, and its memory does not depend on how many there are.
pub trait Session: Send {
    /// Reads `tokens` and returns their signals, one position a token.
    ///
    /// # Errors
    ///
    /// Fails on a token outside the vocabulary and when the device fails; the session is then unchanged or must be
    /// [`reset`](Self::reset), respectively.
    fn push(&mut self, tokens: &[TokenId], want: Want) -> Result<Signals, EngineError>;

    /// Reads `tokens` as [`push`](Self::push) does and sums the states over ranges, where the states are: few numbers
    /// leave a device that has them. `ends` is told entropies and norms and says where the ranges end, ascending; each
    /// begins where the one before ends, the first at 0.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    fn push_summed(
        &mut self,
        tokens: &[TokenId],
        ends: &mut dyn FnMut(&Signals) -> Vec<u32>,
    ) -> Result<StateSums, EngineError> {
        let mut signals = self.push(tokens, Want::All)?;
        let ends = ends(&signals);
        let sums = Box::new(signals.sum_states(&ends));
        signals.embeddings.clear();
        Ok(StateSums { signals, sums })
    }

    /// Forgets everything: the next token is at position 0.
    fn reset(&mut self);
}
