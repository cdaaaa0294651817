//! The model on one card: weights, room for a step, and the step.

#![allow(unsafe_code, reason = "kernels are started here")]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use blt_checkpoint::{ModelConfig, RotaryTable};

use crate::driver::Argument::{F32, I32, I64, Map, Null, Structure};
use crate::driver::{Argument, Device, Event, Launch, Memory, Pinned, Stream, TensorMap};
use crate::engine::FloatType;
use crate::error::CudaError;
use crate::layout::{Layout, Weights};
use crate::program::{
    AMPERE_SHARED, HOPPER_ATTENTION_SHARED, HOPPER_SHARED, Path, Program, ampere_attention_shared, hopper_widths,
    plain_attention_shared,
};
use crate::room::{Host, Maps, Product, Room, Segment};
use crate::step::{ROWS, Rows, TILE};

/// Most rows of a step; more are no faster.
const MAX_ROWS: usize = 1 << 17;
/// A step of fewer is no model on a card.
const MIN_ROWS: usize = 1 << 11;
/// Pieces of a step.
pub(crate) const MAX_PIECES: usize = 4096;

/// What a tile costs beside its columns, in columns.
const WIDTH_OF_AN_EPILOGUE: usize = 32;

/// The model on a card.
pub(crate) struct Model {
    pub(crate) stream: Arc<Stream>,
    pub(crate) layout: Layout,
    pub(crate) path: Path,
    /// Rows there is room for.
    pub(crate) capacity: usize,
    float: FloatType,
    config: ModelConfig,
    program: Program,
    embeddings: Memory,
    layers: Vec<Layer>,
    norm: Memory,
    output: Matrix,
    angle_table: Memory,
    n_angle_table: usize,
    frequencies: Memory,
    room: Room,
    maps: Option<Maps>,
    /// Seconds that kernels took, if they are to be known.
    profile: Option<Mutex<Profile>>,
}

/// Where the time of steps goes.
#[derive(Default)]
struct Profile {
    /// Of the step under way: what began, and when.
    marks: Vec<(&'static str, Event)>,
    seconds: BTreeMap<&'static str, f64>,
}

struct Layer {
    attention_norm: Memory,
    wqkv: Matrix,
    wo: Matrix,
    ffn_norm: Memory,
    w13: Matrix,
    w2: Matrix,
}

/// A matrix, `[columns of the result, depth]`.
struct Matrix {
    memory: Memory,
    /// For tiles of each width.
    maps: BTreeMap<usize, TensorMap>,
}

/// What a piece leaves for its document's next piece, and takes from the one before.
#[derive(Clone, Copy)]
pub(crate) struct KeptRows<'a> {
    pub(crate) memory: &'a Memory,
    /// Positions that are in it.
    pub(crate) n_kept: usize,
    /// Rows of the piece, those included.
    pub(crate) n_rows: usize,
}

impl FloatType {
    pub(crate) fn n_bytes(self) -> usize {
        if self == FloatType::F32 { 4 } else { 2 }
    }

    /// `values` as the card has them.
    fn upload(self, stream: &Arc<Stream>, values: &[f32]) -> Result<Memory, CudaError> {
        match self {
            Self::F32 => Memory::from_slice(stream, values),
            Self::Bf16 => {
                let bits: Vec<u16> = values.iter().map(|&value| half::bf16::from_f32(value).to_bits()).collect();
                Memory::from_slice(stream, &bits)
            }
            Self::F16 => {
                let bits: Vec<u16> = values.iter().map(|&value| half::f16::from_f32(value).to_bits()).collect();
                Memory::from_slice(stream, &bits)
            }
        }
    }
}

impl Model {
    /// Brings `weights`, which are in `layout`, to `device`.
    pub(crate) fn new(
        device: &Arc<Device>,
        path: Path,
        float: FloatType,
        config: &ModelConfig,
        layout: Layout,
        weights: &Weights,
        profiled: bool,
    ) -> Result<Self, CudaError> {
        let stream = Stream::new(device)?;
        let program = Program::load(device, path, float, &layout)?;
        let upload = |values: &[f32]| float.upload(&stream, values);
        let matrix = |values: &[f32], depth: usize| {
            let memory = upload(values)?;
            let map = |width: &usize| {
                // Each of two blocks brings half of a tile's columns, for both.
                let map =
                    TensorMap::new(&memory, values.len() / depth, depth, *width as u32 / 2, float == FloatType::Bf16)?;
                Ok::<_, CudaError>((*width, map))
            };
            let widths: &[usize] = if path == Path::Hopper { &[192, 256] } else { &[] };
            let maps = widths.iter().map(map).collect::<Result<_, _>>()?;
            Ok::<_, CudaError>(Matrix { memory, maps })
        };
        let layers = weights.layers.iter().map(|layer| {
            Ok::<_, CudaError>(Layer {
                attention_norm: Memory::from_slice(&stream, &padded(&layer.attention_norm, layout.model))?,
                wqkv: matrix(&layer.wqkv, layout.model)?,
                wo: matrix(&layer.wo, layout.queries())?,
                ffn_norm: Memory::from_slice(&stream, &padded(&layer.ffn_norm, layout.model))?,
                w13: matrix(&layer.w13, layout.model)?,
                w2: matrix(&layer.w2, layout.feed_forward)?,
            })
        });
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let (embeddings, output) = (upload(&weights.embeddings)?, matrix(&weights.output, layout.model)?);
        let norm = Memory::from_slice(&stream, &padded(&weights.norm, layout.model))?;

        let rotary = RotaryTable::new(config.head_dim, config.rope_theta, config.max_seqlen);
        let half = layout.head / 2;
        let mut frequencies: Vec<f64> = rotary.inv_freq().iter().map(|&frequency| f64::from(frequency)).collect();
        frequencies.resize(half, 0.0);
        // As far as the table is float32 by definition; what is further the card computes.
        let n_angle_table = rotary.n_defined();
        let (mut cos, mut sin) = (vec![1.0; n_angle_table * half], vec![0.0; n_angle_table * half]);
        rotary.fill(0..n_angle_table as u64, half, &mut cos, &mut sin);
        let angles: Vec<f32> = cos.into_iter().zip(sin).flat_map(|(cos, sin)| [cos, sin]).collect();
        let (angle_table, frequencies) =
            (Memory::from_slice(&stream, &angles)?, Memory::from_slice(&stream, &frequencies)?);

        stream.wait()?;
        let a_row = Room::bytes_a_row(&layout, float);
        // A quarter of what is free is left to documents and to others.
        let free = device.free_memory()? / 4 * 3;
        let capacity = (free / a_row / ROWS * ROWS).min(MAX_ROWS);
        let least = MIN_ROWS.max((config.window() + 2 * TILE).next_multiple_of(ROWS) + ROWS);
        if capacity < least {
            let (free, needed) = (device.free_memory()? >> 20, (least * a_row / 3 * 4) >> 20);
            return Err(CudaError::Memory { name: device.name.clone(), free, needed });
        }
        let room = Room::new(&stream, &layout, float, capacity)?;
        let maps = (path == Path::Hopper).then(|| Maps::new(&room, &layout, float, capacity)).transpose()?;
        Ok(Self {
            stream,
            layout,
            path,
            capacity,
            float,
            config: config.clone(),
            program,
            embeddings,
            layers,
            norm,
            output,
            angle_table,
            n_angle_table,
            frequencies,
            room,
            maps,
            profile: profiled.then(Mutex::default),
        })
    }

    /// Notes that what follows in the stream is `what`.
    fn note(&self, what: &'static str) -> Result<(), CudaError> {
        if let Some(profile) = &self.profile {
            let mark = self.stream.mark()?;
            profile.lock().unwrap_or_else(PoisonError::into_inner).marks.push((what, mark));
        }
        Ok(())
    }

    /// Seconds that all steps so far spent in each part, if the model was made to know.
    pub(crate) fn profile(&self) -> Result<BTreeMap<&'static str, f64>, CudaError> {
        let Some(profile) = &self.profile else { return Ok(BTreeMap::new()) };
        let mut profile = profile.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = std::mem::take(&mut profile.marks);
        if let Some((_, last)) = marks.last() {
            last.wait()?;
        }
        for pair in marks.windows(2) {
            if pair[0].0 != "end" {
                *profile.seconds.entry(pair[0].0).or_default() += pair[1].1.seconds_since(&pair[0].1)?;
            }
        }
        Ok(profile.seconds.clone())
    }

    /// Room for what a document keeps: the keys and values of the last `window - 1` positions, of every layer.
    pub(crate) fn new_kept(&self) -> Result<Memory, CudaError> {
        Memory::uninitialized(&self.stream, self.kept_bytes())
    }

    fn kept_bytes(&self) -> usize {
        let positions = self.config.window().saturating_sub(1).max(1);
        self.layers.len() * positions * self.layout.keys_and_values() * self.float.n_bytes()
    }

    /// How many documents there is memory for at once, each with what it keeps and, of a piece of `tokens`, its states and
    /// their sums.
    pub(crate) fn room_for_documents(&self, tokens: usize) -> Result<usize, CudaError> {
        let states = tokens * (self.layout.model * self.float.n_bytes() + self.config.dim * 8 / 2);
        Ok(self.stream.device.free_memory()? / (self.kept_bytes() + states))
    }

    /// Starts a step: `rows` go through all layers; entropies, and norms if wanted, come to `host`. `kept` is of the pieces
    /// that have something to keep, each with its place in `rows`. Nothing has happened yet when this returns.
    pub(crate) fn start(
        &self,
        rows: &Rows,
        kept: &[(usize, KeptRows<'_>)],
        wants_norms: bool,
        host: &mut Host,
    ) -> Result<(), CudaError> {
        let m = rows.tokens.len();
        assert!(m <= self.capacity && m.is_multiple_of(ROWS) && kept.len() <= MAX_PIECES, "a step fits the room");
        let (stream, room) = (&*self.stream, &self.room);
        host.tokens[..m].copy_from_slice(&rows.tokens);
        host.positions[..m].copy_from_slice(&rows.positions);
        host.first_visible[..m].copy_from_slice(&rows.first_visible);
        for (to, (piece, kept)) in host.segments.iter_mut().zip(kept) {
            let row = rows.starts[*piece] as i32;
            *to = Segment { kept: kept.memory.address(), row, n_kept: kept.n_kept as i32, n_rows: kept.n_rows as i32 };
        }
        self.note("transfer")?;
        room.tokens.copy_from(stream, &host.tokens, m)?;
        room.positions.copy_from(stream, &host.positions, m)?;
        room.first_visible.copy_from(stream, &host.first_visible, m)?;
        room.segments.copy_from(stream, &host.segments, kept.len())?;
        let most_kept = kept.iter().map(|(_, kept)| kept.n_kept).max().unwrap_or(0);
        let most_rows = kept.iter().map(|(_, kept)| kept.n_rows).max().unwrap_or(0);

        let (d, half, n_parts) = (self.layout.model as i32, self.layout.head as i32 / 2, self.n_parts() as i32);
        let parts = if self.path == Path::Plain { Null } else { Argument::Memory(&room.parts) };
        self.note("embedding")?;
        // SAFETY: here and below, the arguments are those of the kernels in `kernels/`, the memory is laid out for `capacity`
        // rows by `Room`, `m` is at most that, tokens are below the vocabulary, and rows see rows of the step alone.
        unsafe {
            let arguments =
                [mem(&room.tokens), mem(&self.embeddings), mem(&room.x), parts, I32(n_parts), I32(d), I32(m as i32)];
            stream.launch(self.program.kernel("embed"), a_warp_each(m), &arguments)?;
            let arguments = [
                mem(&room.positions),
                mem(&self.angle_table),
                I64(self.n_angle_table as i64),
                mem(&self.frequencies),
                mem(&room.angles),
                I32(half),
                I32(m as i32),
            ];
            stream.launch(self.program.kernel("fill_angles"), a_thread_each(m * half as usize), &arguments)?;
        }
        for (i, layer) in self.layers.iter().enumerate() {
            self.note("qkv")?;
            self.project(layer, m)?;
            self.note("kept keys and values")?;
            self.move_kept("restore_kept", kept.len(), most_kept, i)?;
            self.note("attention")?;
            self.attend(m)?;
            self.note("kept keys and values")?;
            self.move_kept("save_kept", kept.len(), most_rows.min(self.config.window().saturating_sub(1)), i)?;
            self.rest_of_layer(layer, m)?;
        }
        self.note("signals")?;
        self.signals(m, wants_norms, host)?;
        self.note("end")
    }

    /// Queries, keys and values.
    fn project(&self, layer: &Layer, m: usize) -> Result<(), CudaError> {
        let (room, layout) = (&self.room, &self.layout);
        let scale = 1.0 / (self.config.head_dim as f32).sqrt();
        if self.path == Path::Plain {
            self.rms_norm(&layer.attention_norm, m)?;
            self.gemm(&room.parts, &layer.wqkv, &room.qkv, (m, layout.qkv(), layout.model), false)?;
            let n_rotated = layout.queries() + layout.keys_and_values() / 2;
            let (stride, half) = (I32(layout.qkv() as i32), I32(layout.head as i32 / 2));
            let arguments = [mem(&room.qkv), stride, I32(n_rotated as i32), mem(&room.angles), half, I32(m as i32)];
            // SAFETY: see `start`.
            return unsafe {
                self.stream.launch(self.program.kernel("rotate"), a_thread_each(m * n_rotated / 2), &arguments)
            };
        }
        let product = Product {
            half: layout.head as i32 / 2,
            angles: room.angles.address(),
            n_rotated: (layout.queries() + layout.keys_and_values() / 2) as i32,
            n_queries: layout.queries() as i32,
            query_scale: scale * std::f32::consts::LOG2_E,
            ..self.product(m, layout.qkv(), layout.model, true)
        };
        let maps = self.maps.as_ref().map(|maps| (&maps.x_in, &maps.qkv));
        self.multiply("qkv", &room.x, &layer.wqkv, &room.qkv, layout.qkv(), maps, &product)
    }

    /// Keys and values between the rows and where they are kept.
    fn move_kept(
        &self,
        kernel: &'static str,
        n_pieces: usize,
        most_rows: usize,
        layer: usize,
    ) -> Result<(), CudaError> {
        if n_pieces == 0 || most_rows == 0 {
            return Ok(());
        }
        let (layout, window) = (&self.layout, self.config.window());
        let at = layer * window.saturating_sub(1) * layout.keys_and_values();
        let mut arguments = vec![
            mem(&self.room.segments),
            mem(&self.room.qkv),
            I32(layout.qkv() as i32),
            I32(layout.queries() as i32),
            I32(layout.keys_and_values() as i32),
            I64(at as i64),
        ];
        if kernel == "save_kept" {
            arguments.push(I32(window as i32));
        }
        let launch = Launch { blocks: (most_rows, n_pieces), threads: 256, shared: 0, overlaps: false };
        // SAFETY: see `start`; the segments' memory is of `new_kept`.
        unsafe { self.stream.launch(self.program.kernel(kernel), launch, &arguments) }
    }

    fn attend(&self, m: usize) -> Result<(), CudaError> {
        let (room, layout) = (&self.room, &self.layout);
        let (heads, kv_heads) = (I32(layout.n_heads as i32), I32(layout.n_kv_heads as i32));
        let stride = I32(layout.qkv() as i32);
        let (first, m_rows) = (mem(&room.first_visible), I32(m as i32));
        let (kernel, launch, arguments) = match (self.path, &self.maps) {
            (Path::Hopper, Some(maps)) => {
                let launch = Launch {
                    blocks: (layout.n_heads, m / 128),
                    threads: 256,
                    shared: HOPPER_ATTENTION_SHARED,
                    overlaps: true,
                };
                (
                    "hopper_attention",
                    launch,
                    vec![Map(&maps.qkv), Map(&maps.attended_out), heads, kv_heads, first, m_rows],
                )
            }
            (Path::Plain, _) => {
                let shared = plain_attention_shared(layout.head);
                let launch = Launch { blocks: (m / 32, layout.n_heads), threads: 256, shared, overlaps: false };
                let scale = F32(1.0 / (self.config.head_dim as f32).sqrt());
                let width = I32(layout.head as i32);
                let arguments =
                    vec![mem(&room.qkv), stride, heads, kv_heads, width, scale, first, mem(&room.attended), m_rows];
                ("attention", launch, arguments)
            }
            _ => {
                let shared = ampere_attention_shared(layout.head);
                let launch = Launch { blocks: (layout.n_heads, m / 64), threads: 128, shared, overlaps: false };
                let name = if layout.head == 64 { "ampere_attention_64" } else { "ampere_attention_128" };
                (name, launch, vec![mem(&room.qkv), stride, heads, kv_heads, first, mem(&room.attended), m_rows])
            }
        };
        // SAFETY: see `start`.
        unsafe { self.stream.launch(self.program.kernel(kernel), launch, &arguments) }
    }

    /// From what attention gave to the residual stream after the layer.
    fn rest_of_layer(&self, layer: &Layer, m: usize) -> Result<(), CudaError> {
        let (room, layout) = (&self.room, &self.layout);
        let (d, f, q) = (layout.model, layout.feed_forward, layout.queries());
        if self.path == Path::Plain {
            self.note("wo, w13 and w2")?;
            self.gemm(&room.attended, &layer.wo, &room.x, (m, d, q), true)?;
            self.rms_norm(&layer.ffn_norm, m)?;
            self.gemm(&room.parts, &layer.w13, &room.gates, (m, 2 * f, d), false)?;
            let arguments = [mem(&room.gates), mem(&room.hidden), I32(f as i32), I32(m as i32)];
            // SAFETY: see `start`.
            unsafe { self.stream.launch(self.program.kernel("swiglu"), a_thread_each(m * f), &arguments) }?;
            return self.gemm(&room.hidden, &layer.w2, &room.x, (m, d, f), true);
        }
        let maps = self.maps.as_ref();
        self.note("wo")?;
        let product = self.residual_product(m, q);
        let in_out = maps.map(|maps| (&maps.attended_in, &maps.x_out));
        self.multiply("residual", &room.attended, &layer.wo, &room.x, d, in_out, &product)?;
        self.note("w13")?;
        let product = self.product(m, 2 * f, d, true);
        let in_out = maps.map(|maps| (&maps.x_in, &maps.hidden_out));
        self.multiply("swiglu", &room.x, &layer.w13, &room.hidden, f, in_out, &product)?;
        self.note("w2")?;
        let product = self.residual_product(m, f);
        let in_out = maps.map(|maps| (&maps.hidden_in, &maps.x_out));
        self.multiply("residual", &room.hidden, &layer.w2, &room.x, d, in_out, &product)
    }

    /// The last matrix, entropies and norms.
    fn signals(&self, m: usize, wants_norms: bool, host: &mut Host) -> Result<(), CudaError> {
        let (room, layout, stream) = (&self.room, &self.layout, &self.stream);
        let (d, n) = (layout.model, layout.logits);
        if self.path == Path::Plain {
            self.rms_norm(&self.norm, m)?;
            self.gemm(&room.parts, &self.output, &room.logits, (m, n, d), false)?;
        } else {
            let (logits, n_logits) = (room.logits.address(), n as i32);
            let product = Product { logits, n_logits, ..self.product(m, n, d, true) };
            let maps = self.maps.as_ref().map(|maps| (&maps.x_in, &maps.x_out));
            self.multiply("logits", &room.x, &self.output, &room.logits, n, maps, &product)?;
        }
        let vocab_size = I32(self.config.vocab_size as i32);
        let arguments = [mem(&room.logits), I32(n as i32), vocab_size, mem(&room.entropies), I32(m as i32)];
        // SAFETY: see `start`.
        unsafe { stream.launch(self.program.kernel("entropy"), a_warp_each(m), &arguments) }?;
        room.entropies.copy_to(stream, &mut host.entropies, m)?;
        if wants_norms {
            let arguments = [mem(&room.x), I32(d as i32), mem(&room.norms), I32(m as i32)];
            // SAFETY: see `start`.
            unsafe { stream.launch(self.program.kernel("norms"), a_warp_each(m), &arguments) }?;
            room.norms.copy_to(stream, &mut host.norms, m)?;
        }
        Ok(())
    }

    /// A copy of the pre-norm states of `n` rows from `row` on, once the step is there.
    pub(crate) fn states(&self, row: usize, n: usize) -> Result<Memory, CudaError> {
        let a_row = self.layout.model * self.float.n_bytes();
        self.room.x.copy_of(&self.stream, row * a_row, n * a_row)
    }

    /// The same of the logits.
    pub(crate) fn logits(&self, row: usize, n: usize) -> Result<Memory, CudaError> {
        let a_row = self.layout.logits * 4;
        self.room.logits.copy_of(&self.stream, row * a_row, n * a_row)
    }

    /// The first `vocab_size` columns of logits on this machine, `[n, vocab_size]`.
    pub(crate) fn read_logits(&self, stream: &Stream, logits: &Memory, n: usize) -> Result<Vec<f32>, CudaError> {
        let padded: Vec<f32> = logits.read(stream, n * self.layout.logits)?;
        Ok(padded.chunks(self.layout.logits).flat_map(|row| &row[..self.config.vocab_size]).copied().collect())
    }

    /// States as float32 on this machine, `[n, dim]`.
    pub(crate) fn read_states(&self, stream: &Arc<Stream>, states: &Memory, n: usize) -> Result<Vec<f32>, CudaError> {
        let dim = self.config.dim;
        let wide = Memory::uninitialized(stream, 4 * n * dim)?;
        let stride = I32(self.layout.model as i32);
        let arguments = [mem(states), stride, I32(dim as i32), mem(&wide), I64(n as i64)];
        if n > 0 {
            assert!(states.n_bytes() >= n * self.layout.model * self.float.n_bytes(), "the states are that many");
            // SAFETY: see `start`; the lengths were looked at just now.
            unsafe { stream.launch(self.program.kernel("widen_rows"), a_thread_each(n * dim), &arguments) }?;
        }
        wide.read(stream, n * dim)
    }

    /// Sums of the states of the rows up to each of `ends`, from the one before, to the first of `numbers`, `[ends, dim]`.
    pub(crate) fn sum_states(
        &self,
        stream: &Arc<Stream>,
        states: &Memory,
        ends: &[u32],
        numbers: &mut Pinned<f64>,
    ) -> Result<(), CudaError> {
        let dim = self.config.dim;
        let last = ends.last().copied().unwrap_or(0) as usize;
        let a_row = self.layout.model * self.float.n_bytes();
        assert!(ends.is_sorted() && last * a_row <= states.n_bytes(), "ranges of the states");
        if ends.is_empty() {
            return Ok(());
        }
        let sums = Memory::uninitialized(stream, 8 * ends.len() * dim)?;
        let on_card = Memory::from_slice(stream, ends)?;
        let stride = I32(self.layout.model as i32);
        let arguments = [mem(states), stride, I32(dim as i32), mem(&on_card), mem(&sums)];
        let launch = Launch { blocks: (ends.len(), 1), threads: 256, shared: 0, overlaps: false };
        // SAFETY: see `start`; the lengths were looked at just now.
        let launched = unsafe { stream.launch(self.program.kernel("sum_ranges"), launch, &arguments) };
        let copied = sums.copy_to(stream, numbers, ends.len() * dim);
        // Whatever came of these: nothing may be freed that the stream still uses.
        stream.wait().and(launched).and(copied)
    }

    /// Parts of a row's sum of squares: one for each group of columns that a block of the residual product writes.
    fn n_parts(&self) -> usize {
        Room::n_parts(&self.layout, self.path)
    }

    /// A product of `m` rows, `n` columns and depth `k`, with rows scaled if `is_normed`.
    fn product(&self, m: usize, n: usize, k: usize, is_normed: bool) -> Product {
        Product {
            m_tiles: (m / 128) as i32,
            n: n as i32,
            k: k as i32,
            parts: if is_normed { self.room.parts.address() } else { 0 },
            n_parts: self.n_parts() as i32,
            n_columns: self.config.dim as f32,
            eps: self.config.norm_eps as f32,
            angles: 0,
            half: 1,
            n_rotated: 0,
            n_queries: 0,
            query_scale: 1.0,
            residual: 0,
            new_parts: 0,
            n_new_parts: 0,
            logits: 0,
            n_logits: 0,
        }
    }

    /// A product of depth `k` that is added to the residual stream.
    fn residual_product(&self, m: usize, k: usize) -> Product {
        let (residual, new_parts) = (self.room.x.address(), self.room.parts.address());
        let n_new_parts = self.n_parts() as i32;
        Product { residual, new_parts, n_new_parts, ..self.product(m, self.layout.model, k, false) }
    }

    /// A fused product; `maps` are those of the left side and the result.
    #[expect(clippy::too_many_arguments, reason = "what a product is made of")]
    fn multiply(
        &self,
        epilogue: &str,
        a: &Memory,
        w: &Matrix,
        out: &Memory,
        out_stride: usize,
        maps: Option<(&TensorMap, &TensorMap)>,
        product: &Product,
    ) -> Result<(), CudaError> {
        let structure = Structure(std::ptr::from_ref(product).cast::<c_void>());
        // SAFETY: see `start`.
        unsafe {
            if let Some((a, out)) = maps {
                // Pairs of blocks; all of a round end together.
                let n_pairs = self.stream.device.n_multiprocessors / 2;
                let tiles = |width: usize| product.m_tiles as usize / 2 * (product.n as usize).div_ceil(width);
                let cost = |width: usize| tiles(width).div_ceil(n_pairs) * (width + WIDTH_OF_AN_EPILOGUE);
                let widths = hopper_widths(epilogue).iter().copied();
                let width = widths.min_by_key(|&width| cost(width)).expect("every product has a width");
                let launch = Launch {
                    blocks: (2 * tiles(width).min(n_pairs), 1),
                    threads: 384,
                    shared: HOPPER_SHARED,
                    overlaps: true,
                };
                let kernel = self.program.kernel(&format!("hopper_{epilogue}_{width}"));
                return self.stream.launch(kernel, launch, &[Map(a), Map(&w.maps[&width]), Map(out), structure]);
            }
            let blocks = ((product.n as usize).div_ceil(128), product.m_tiles as usize);
            let launch = Launch { blocks, threads: 256, shared: AMPERE_SHARED, overlaps: false };
            let arguments = [mem(a), mem(&w.memory), mem(out), I32(out_stride as i32), structure];
            self.stream.launch(self.program.kernel(&format!("ampere_{epilogue}")), launch, &arguments)
        }
    }

    /// Unfused: `x` after a norm, to `parts`.
    fn rms_norm(&self, gamma: &Memory, m: usize) -> Result<(), CudaError> {
        let d = I32(self.layout.model as i32);
        let (columns, eps) = (F32(self.config.dim as f32), F32(self.config.norm_eps as f32));
        let arguments = [mem(&self.room.x), mem(gamma), mem(&self.room.parts), d, columns, eps, I32(m as i32)];
        // SAFETY: see `start`.
        unsafe { self.stream.launch(self.program.kernel("rms_norm"), a_warp_each(m), &arguments) }
    }

    /// Unfused: `out[m, n] = a[m, k] * w^T`, or `+=`.
    fn gemm(
        &self,
        a: &Memory,
        w: &Matrix,
        out: &Memory,
        (m, n, k): (usize, usize, usize),
        accumulate: bool,
    ) -> Result<(), CudaError> {
        let arguments = [mem(a), mem(&w.memory), mem(out), I32(n as i32), I32(k as i32), I32(i32::from(accumulate))];
        let launch = Launch { blocks: (n.div_ceil(128), m / 128), threads: 256, shared: 0, overlaps: false };
        // SAFETY: see `start`.
        unsafe { self.stream.launch(self.program.kernel("gemm"), launch, &arguments) }
    }
}

fn mem(memory: &Memory) -> Argument<'_> {
    Argument::Memory(memory)
}

fn padded(values: &[f32], width: usize) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(width, 0.0);
    padded
}

fn a_warp_each(rows: usize) -> Launch {
    Launch { blocks: (rows.div_ceil(8), 1), threads: 256, shared: 0, overlaps: false }
}

fn a_thread_each(n: usize) -> Launch {
    Launch { blocks: (n.div_ceil(256), 1), threads: 256, shared: 0, overlaps: false }
}
