//! Memory that the steps of a model use one after the other, on the card and on this machine.

use std::sync::Arc;

use crate::driver::{Device, Memory, Pinned, Stream, TensorMap};
use crate::engine::FloatType;
use crate::error::CudaError;
use crate::layout::Layout;
use crate::model::MAX_PIECES;
use crate::program::Path;

/// Memory that every step uses anew. Letters: `m` rows, `d` model width, `f` feed-forward width.
pub(crate) struct Room {
    pub(crate) tokens: Memory,
    pub(crate) positions: Memory,
    pub(crate) first_visible: Memory,
    pub(crate) segments: Memory,
    pub(crate) angles: Memory,
    /// Residual stream, `[m, d]`.
    pub(crate) x: Memory,
    /// `[m, heads]`.
    pub(crate) qkv: Memory,
    pub(crate) attended: Memory,
    /// `[m, f]`.
    pub(crate) hidden: Memory,
    /// Parts of the sums of squares of `x`; unfused, `x` after its norm.
    pub(crate) parts: Memory,
    /// Unfused, gates and ups.
    pub(crate) gates: Memory,
    pub(crate) logits: Memory,
    pub(crate) entropies: Memory,
    pub(crate) norms: Memory,
}

/// For the copy engine: what is read as the left side of a product, and what is written.
pub(crate) struct Maps {
    pub(crate) x_in: TensorMap,
    pub(crate) x_out: TensorMap,
    pub(crate) qkv: TensorMap,
    pub(crate) attended_in: TensorMap,
    pub(crate) attended_out: TensorMap,
    pub(crate) hidden_in: TensorMap,
    pub(crate) hidden_out: TensorMap,
}

/// `Segment` of the kernels.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Segment {
    pub(crate) kept: u64,
    pub(crate) row: i32,
    pub(crate) n_kept: i32,
    pub(crate) n_rows: i32,
}

/// `Product` of the kernels.
#[repr(C)]
pub(crate) struct Product {
    pub(crate) m_tiles: i32,
    pub(crate) n: i32,
    pub(crate) k: i32,
    pub(crate) parts: u64,
    pub(crate) n_parts: i32,
    pub(crate) n_columns: f32,
    pub(crate) eps: f32,
    pub(crate) angles: u64,
    pub(crate) half: i32,
    pub(crate) n_rotated: i32,
    pub(crate) n_queries: i32,
    pub(crate) query_scale: f32,
    pub(crate) residual: u64,
    pub(crate) new_parts: u64,
    pub(crate) n_new_parts: i32,
    pub(crate) logits: u64,
    pub(crate) n_logits: i32,
}

/// Where the rows of a step are on this machine, and what comes of them.
pub(crate) struct Host {
    pub(crate) tokens: Pinned<u16>,
    pub(crate) positions: Pinned<i64>,
    pub(crate) first_visible: Pinned<i32>,
    pub(crate) segments: Pinned<Segment>,
    pub(crate) entropies: Pinned<f32>,
    pub(crate) norms: Pinned<f32>,
}

impl Host {
    pub(crate) fn new(device: &Arc<Device>, capacity: usize) -> Result<Self, CudaError> {
        Ok(Self {
            tokens: Pinned::new(device, capacity)?,
            positions: Pinned::new(device, capacity)?,
            first_visible: Pinned::new(device, capacity)?,
            segments: Pinned::new(device, MAX_PIECES)?,
            entropies: Pinned::new(device, capacity)?,
            norms: Pinned::new(device, capacity)?,
        })
    }
}

impl Room {
    pub(crate) fn n_parts(layout: &Layout, path: Path) -> usize {
        match path {
            Path::Plain => 1,
            Path::Ampere => layout.model.div_ceil(32),
            // Kernels take them by fours.
            Path::Hopper => layout.model.div_ceil(64).next_multiple_of(4),
        }
    }

    /// Bytes that a row takes.
    pub(crate) fn bytes_a_row(layout: &Layout, float: FloatType) -> usize {
        let plain = usize::from(!layout.is_fused);
        let elements = layout.model + layout.qkv() + layout.queries() + layout.feed_forward * (1 + 2 * plain);
        let parts = if layout.is_fused { layout.model.div_ceil(32).next_multiple_of(4) } else { layout.model };
        elements * float.n_bytes() + 4 * (layout.head + parts + layout.logits) + 32
    }

    pub(crate) fn new(
        stream: &Arc<Stream>,
        layout: &Layout,
        float: FloatType,
        capacity: usize,
    ) -> Result<Self, CudaError> {
        let zeroed = |bytes: usize| Memory::zeroed(stream, capacity * bytes);
        let elements = |n: usize| zeroed(n * float.n_bytes());
        let plain = usize::from(!layout.is_fused);
        Ok(Self {
            tokens: zeroed(2)?,
            positions: zeroed(8)?,
            first_visible: zeroed(4)?,
            segments: Memory::zeroed(stream, MAX_PIECES * size_of::<Segment>())?,
            angles: zeroed(4 * layout.head)?,
            x: elements(layout.model)?,
            qkv: elements(layout.qkv())?,
            attended: elements(layout.queries())?,
            hidden: elements(layout.feed_forward)?,
            parts: zeroed(
                4 * if layout.is_fused { layout.model.div_ceil(32).next_multiple_of(4) } else { layout.model },
            )?,
            gates: elements(plain * 2 * layout.feed_forward)?,
            logits: zeroed(4 * layout.logits)?,
            entropies: zeroed(4)?,
            norms: zeroed(4)?,
        })
    }
}

impl Maps {
    pub(crate) fn new(room: &Room, layout: &Layout, float: FloatType, capacity: usize) -> Result<Self, CudaError> {
        let map = |memory, width, rows| TensorMap::new(memory, capacity, width, rows, float == FloatType::Bf16);
        Ok(Self {
            x_in: map(&room.x, layout.model, 128)?,
            x_out: map(&room.x, layout.model, 64)?,
            qkv: map(&room.qkv, layout.qkv(), 64)?,
            attended_in: map(&room.attended, layout.queries(), 128)?,
            attended_out: map(&room.attended, layout.queries(), 64)?,
            hidden_in: map(&room.hidden, layout.feed_forward, 128)?,
            hidden_out: map(&room.hidden, layout.feed_forward, 64)?,
        })
    }
}
