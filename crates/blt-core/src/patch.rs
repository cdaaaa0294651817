//! One patch with its pooled signals.

use crate::ByteRange;

/// A patch of a view. Entropies are in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patch<'a> {
    /// Its bytes in the view.
    pub range: ByteRange,
    /// Mean entropy of its bytes: how uncertain the model was about each before reading it.
    pub entropy: f32,
    /// Prominence: pooled L2 norm of the pre-norm states after its bytes; the largest by default.
    pub prominence: f32,
    /// Mean coherence of its bytes, see [`coherence`](crate::coherence).
    pub coherence: f32,
    /// Mean pre-norm state after its bytes, `[dim]`; empty when embeddings are not wanted.
    pub embedding: &'a [f32],
}
