//! The model on one adapter: weights, room for a step, and the step.

#![allow(unsafe_code, reason = "kernels are started here, which look at no edges")]

mod states;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use blt_checkpoint::{ModelConfig, RotaryTable, Visibility};
use cubecl::bytes::Bytes;
use cubecl::client::Client;
use cubecl::prelude::*;
use cubecl::server::{Handle, ServerError};
use half::f16;

use crate::adapter::{AdapterInfo, panic_text};
use crate::engine::FloatType;
use crate::error::GpuError;
use crate::kernels::elementwise::{self, KeptLayoutLaunch, ROWS_A_CUBE, UNITS};
use crate::kernels::{Epilogue, FinishLaunch, cooperative, plain};
use crate::layout::{Layout, Weights};
use crate::step::{Piece, ROWS, Rows, TILE, angles};

/// Most rows of a step; more are no faster.
const MAX_ROWS: usize = 1 << 15;
/// Documents whose kept keys and values lie in one buffer, if it can be so large.
const SLOTS: usize = 16;

/// Seconds by part of a step.
pub(crate) type Profile = Arc<Mutex<BTreeMap<&'static str, f64>>>;

/// Memory of the adapter.
#[derive(Clone)]
pub(crate) struct Buffer {
    handle: Handle,
    /// Bytes.
    n_bytes: usize,
}

impl Buffer {
    /// As a kernel takes it that loads `n_bytes` at a time.
    fn by(&self, n_bytes: usize) -> BufferArg {
        // SAFETY: the buffer has that many.
        unsafe { BufferArg::from_raw_parts(self.handle.clone(), self.n_bytes / n_bytes) }
    }
}

/// How products and attention are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Path {
    /// Whether products run on cooperative matrices.
    products: bool,
    /// Whether attention does.
    attention: bool,
}

impl Path {
    /// As the formulas read.
    const PLAIN: Path = Path { products: false, attention: false };

    /// The best on an adapter, or the plain one.
    pub(crate) fn new(info: &AdapterInfo, float: FloatType, layout: &Layout, is_plain: bool) -> Self {
        let has_planes = info.plane == (cooperative::PLANE, cooperative::PLANE);
        let has_room = info.shared_kilobytes >= 45;
        if is_plain || float != FloatType::F16 || !info.has_matrices || !has_planes || !has_room {
            return Self::PLAIN;
        }
        Self { products: true, attention: layout.head == 64 }
    }

    /// For reports.
    pub(crate) fn name(self) -> &'static str {
        if self.products { "cooperative matrices" } else { "plain" }
    }
}

struct Layer {
    wqkv: Buffer,
    wo: Buffer,
    w13: Buffer,
    w2: Buffer,
}

/// Where a document keeps keys and values between its pieces; given back when nobody keeps it any more.
pub(crate) struct Slot {
    index: usize,
    free: Arc<Mutex<Vec<usize>>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
    }
}

/// A piece's part in what is kept.
pub(crate) struct KeptRows<'a> {
    pub(crate) slot: &'a Slot,
    /// Its first row in the step.
    pub(crate) row: usize,
    /// Rows that are kept ones.
    pub(crate) n_kept: usize,
    /// All its rows.
    pub(crate) n_rows: usize,
}

/// The model on an adapter. One thread uses it.
pub(crate) struct Model {
    client: Client,
    name: String,
    pub(crate) layout: Layout,
    path: Cell<Path>,
    /// Rows there is room for.
    pub(crate) capacity: usize,
    float: FloatType,
    config: ModelConfig,
    rotary: RotaryTable,
    embeddings: Buffer,
    layers: Vec<Layer>,
    output: Buffer,
    angles: Buffer,
    /// Residual stream, `[m, model]`.
    x: Buffer,
    qkv: Buffer,
    attended: Buffer,
    hidden: Buffer,
    logits: Buffer,
    scales: Buffer,
    norms: Buffer,
    entropies: Buffer,
    /// Each of `slots` slots.
    kept: RefCell<Vec<Buffer>>,
    slots: usize,
    free_slots: Arc<Mutex<Vec<usize>>>,
    /// Seconds that parts of steps took, if they are to be known.
    profile: Option<Profile>,
}

/// What is read of the adapter, once it is there.
pub(crate) type Reading<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Vec<Bytes>, ServerError>> + Send + 'a>>;

impl Model {
    /// Takes weights, which are in `layout`, to the adapter behind `client`.
    #[expect(clippy::too_many_arguments, reason = "what a model on an adapter is made of")]
    pub(crate) fn new(
        client: Client,
        info: &AdapterInfo,
        path: Path,
        float: FloatType,
        config: ModelConfig,
        layout: Layout,
        weights: Weights,
        profile: Option<Profile>,
    ) -> Result<Self, GpuError> {
        let upload =
            |bytes: Vec<u8>| Buffer { n_bytes: bytes.len(), handle: client.create(Bytes::from_bytes_vec(bytes)) };
        let (embeddings, output) = (upload(weights.embeddings), upload(weights.output));
        let layers = weights.layers.into_iter().map(|weights| Layer {
            wqkv: upload(weights.wqkv),
            wo: upload(weights.wo),
            w13: upload(weights.w13),
            w2: upload(weights.w2),
        });
        let layers = layers.collect();
        let largest = [layout.qkv(), layout.feed_forward, layout.attended(), layout.model]
            .map(|width| width * float.n_bytes())
            .into_iter()
            .chain([layout.logits * 4])
            .max()
            .unwrap_or(1);
        let capacity = (info.max_buffer as usize / largest / ROWS * ROWS).min(MAX_ROWS);
        let least = (config.window() + 2 * TILE).next_multiple_of(ROWS) + ROWS;
        if capacity < least {
            let what = format!("a model of this size: its buffers hold {} MB", info.max_buffer >> 20);
            return Err(GpuError::Unsupported { name: info.name.clone(), what });
        }
        let room = |n_bytes: usize| Buffer { handle: client.empty(n_bytes), n_bytes };
        let elements = |n: usize| room(capacity * n * float.n_bytes());
        let rotary = RotaryTable::new(config.head_dim, config.rope_theta, config.max_seqlen);
        let (half, n_near) = (layout.head / 2, rotary.n_defined());
        let angle_table = room((n_near + capacity) * half * 8);
        let near = angles(&rotary, 0..n_near as u64, half);
        client.write(&angle_table.handle.clone().offset_end((capacity * half * 8) as u64), bytes_of(&near));
        let kept_bytes = Self::slot_fours(&layout, &config) * 4 * float.n_bytes();
        let slots = (info.max_buffer as usize / kept_bytes.max(1)).clamp(1, SLOTS);
        Ok(Self {
            name: info.name.clone(),
            path: Cell::new(path),
            capacity,
            float,
            rotary,
            embeddings,
            layers,
            output,
            angles: angle_table,
            x: elements(layout.model),
            qkv: elements(layout.qkv()),
            attended: elements(layout.attended()),
            hidden: elements(layout.feed_forward),
            logits: room(capacity * layout.logits * 4),
            scales: room(capacity * 4),
            norms: room(capacity * 4),
            entropies: room(capacity * 4),
            kept: RefCell::default(),
            slots,
            free_slots: Arc::default(),
            profile,
            layout,
            config,
            client,
        })
    }

    /// Computes a text once, so that every kernel is compiled, and again without cooperative matrices: where the driver's give
    /// something else they are left aside. What is then computed with.
    pub(crate) fn settle(&self) -> Result<Path, String> {
        let best = self.path.get();
        if best != Path::PLAIN {
            let n = (self.capacity / 3).min(self.config.window().min(1024) + 100);
            let found = self.guarded(|| self.compute_sample(n));
            self.path.set(Path::PLAIN);
            let expected = self.guarded(|| self.compute_sample(n))?;
            match found.and_then(|found| agree(&found, &expected)) {
                Ok(()) => self.path.set(best),
                Err(reason) => tracing::warn!("the cooperative matrices of {} are left aside: {reason}", self.name),
            }
        } else {
            self.guarded(|| self.compute_sample(1))?;
        }
        if let Some(profile) = &self.profile {
            profile.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        Ok(self.path.get())
    }

    /// Entropies and norms of two documents of `n` tokens.
    fn compute_sample(&self, n: usize) -> Result<[Vec<f32>; 2], String> {
        let mut visibility = Visibility::new(&self.config);
        let tokens: Vec<u16> = (0..n).map(|i| (i * i % 61 % self.config.vocab_size) as u16).collect();
        let first_visible = visibility.read(&tokens);
        let piece = Piece { tokens, position: 0, n_kept: 0, first_visible };
        let rows = Rows::pack([&piece, &piece].into_iter(), &self.rotary, self.layout.head / 2);
        let read = cubecl::future::block_on(self.start(&rows, &[])).map_err(|error| brief(&error))?;
        let of_pieces = |bytes: &Bytes| {
            let values = floats(bytes);
            rows.starts.iter().flat_map(|&start| values[start..start + n].to_vec()).collect::<Vec<f32>>()
        };
        let (entropies, norms) = (of_pieces(&read[0]), of_pieces(&read[1]));
        // Drivers have been seen that compute nonsense without a word.
        let most = (self.config.vocab_size as f32).ln() * 1.001;
        match entropies.iter().find(|entropy| !(-0.01..=most).contains(*entropy)) {
            Some(entropy) => Err(format!("the driver computes an entropy of {entropy} nats, and none is above {most}")),
            None => Ok([entropies, norms]),
        }
    }

    /// The angles of positions.
    pub(crate) fn rotary(&self) -> &RotaryTable {
        &self.rotary
    }

    /// Room for what a document keeps: the keys and values of the last `window - 1` positions, of every layer.
    pub(crate) fn new_slot(&self) -> Slot {
        let mut free = self.free_slots.lock().unwrap_or_else(PoisonError::into_inner);
        if free.is_empty() {
            let mut kept = self.kept.borrow_mut();
            let first = kept.len() * self.slots;
            free.extend((first..first + self.slots).rev());
            let n_bytes = self.slots * Self::slot_fours(&self.layout, &self.config) * 4 * self.float.n_bytes();
            kept.push(Buffer { handle: self.client.empty(n_bytes), n_bytes });
        }
        Slot { index: free.pop().expect("slots were just added"), free: self.free_slots.clone() }
    }

    /// Fours of a slot.
    fn slot_fours(layout: &Layout, config: &ModelConfig) -> usize {
        config.n_layers * Self::n_kept_rows(config) * layout.keys_and_values() / 4
    }

    fn n_kept_rows(config: &ModelConfig) -> usize {
        config.window().saturating_sub(1).max(1)
    }

    /// Computes a step; entropies and norms of its rows are what the reading gives.
    pub(crate) fn start(&self, rows: &Rows, kept: &[KeptRows<'_>]) -> Reading<'_> {
        match self.float {
            FloatType::F32 => self.run::<f32>(rows, kept),
            FloatType::F16 => self.run::<f16>(rows, kept),
        }
    }

    fn run<F: Float>(&self, rows: &Rows, kept: &[KeptRows<'_>]) -> Reading<'_> {
        let m = rows.tokens.len();
        assert!(m <= self.capacity && m.is_multiple_of(ROWS), "a step fits the room");
        let tokens = self.upload(&rows.tokens);
        let angle_rows = self.upload(&rows.angle_rows);
        let first_visible = self.upload(&rows.first_visible);
        if !rows.far_angles.is_empty() {
            let start = (self.rotary.n_defined() * self.layout.head / 2 * 8) as u64;
            let unused = self.angles.n_bytes as u64 - start - rows.far_angles.len() as u64 * 4;
            self.client
                .write(&self.angles.handle.clone().offset_start(start).offset_end(unused), bytes_of(&rows.far_angles));
        }
        let segments = self.segments(kept);
        let by_row = |m: usize| CubeCount::Static(1, m as u32 / ROWS_A_CUBE, 1);
        let dim = CubeDim::new_2d(UNITS, ROWS_A_CUBE);
        let (fours, width) = (4 * self.float.n_bytes(), self.layout.model as u32 / 4);
        let measure = || {
            // SAFETY: here and below, buffers are laid out for `capacity` rows, `m` is at most that and whole tiles, widths
            // are multiples of those that kernels take at a time, tokens are below the vocabulary, and rows see rows of the step.
            unsafe {
                elementwise::measure_rows::launch_unchecked::<F>(
                    &self.client,
                    by_row(m),
                    dim,
                    self.x.by(fours),
                    self.scales.by(4),
                    self.norms.by(4),
                    width,
                    self.config.dim as f32,
                    self.config.norm_eps as f32,
                );
            }
        };
        self.part("embedding", || unsafe {
            elementwise::embed::launch_unchecked::<F>(
                &self.client,
                by_row(m),
                dim,
                tokens.by(4),
                self.embeddings.by(fours),
                self.x.by(fours),
                width,
            );
        });
        let layout = &self.layout;
        for (index, layer) in self.layers.iter().enumerate() {
            self.part("rms", measure);
            let multiply = |epilogue, a: &Buffer, w: &Buffer, out: &Buffer, columns, depth| {
                self.multiply::<F, F>(epilogue, a, w, out, &angle_rows, (m, columns, depth));
            };
            self.part("qkv", || {
                multiply(Epilogue::Qkv, &self.x, &layer.wqkv, &self.qkv, layout.qkv(), layout.model);
            });
            self.part("kept", || self.move_kept::<F>(&segments, index, Move::Restore));
            self.part("attention", || self.attend::<F>(&first_visible, m));
            self.part("kept", || self.move_kept::<F>(&segments, index, Move::Save));
            self.part("wo", || {
                multiply(Epilogue::Residual, &self.attended, &layer.wo, &self.x, layout.model, layout.attended());
            });
            self.part("rms", measure);
            self.part("w13", || {
                multiply(Epilogue::SwiGlu, &self.x, &layer.w13, &self.hidden, 2 * layout.feed_forward, layout.model);
            });
            self.part("w2", || {
                multiply(Epilogue::Residual, &self.hidden, &layer.w2, &self.x, layout.model, layout.feed_forward);
            });
        }
        self.part("signals", || {
            measure();
            let sizes = (m, layout.logits, layout.model);
            self.multiply::<F, f32>(Epilogue::Logits, &self.x, &self.output, &self.logits, &angle_rows, sizes);
            // SAFETY: see above.
            unsafe {
                elementwise::entropy::launch_unchecked(
                    &self.client,
                    by_row(m),
                    dim,
                    self.logits.by(4),
                    self.entropies.by(4),
                    layout.logits as u32,
                    self.config.vocab_size as u32,
                );
            }
        });
        let first = |buffer: &Buffer| buffer.handle.clone().offset_end((buffer.n_bytes - m * 4) as u64);
        Box::pin(self.client.read_async(vec![first(&self.entropies), first(&self.norms)]))
    }

    /// Runs a part of a step, and times it if that is wanted.
    fn part(&self, name: &'static str, run: impl FnOnce()) {
        let Some(profile) = &self.profile else { return run() };
        let window = self.client.profile_start();
        run();
        let ticks = window.and_then(|window| self.client.profile_end(window));
        if let Ok(ticks) = ticks.map(|ticks| cubecl::future::block_on(ticks.resolve()))
            && let Some(ticks) = ticks
        {
            *profile.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() +=
                ticks.duration().as_secs_f64();
        }
    }

    fn upload<T: Copy + ToBytes>(&self, values: &[T]) -> Buffer {
        let bytes = bytes_of(values);
        Buffer { n_bytes: bytes.len(), handle: self.client.create(bytes) }
    }

    /// `out = finish(a * w^T)` of `m` rows, `n` columns and depth `k`.
    fn multiply<F: Float, O: Float>(
        &self,
        epilogue: Epilogue,
        a: &Buffer,
        w: &Buffer,
        out: &Buffer,
        angle_rows: &Buffer,
        (m, n, k): (usize, usize, usize),
    ) {
        let layout = &self.layout;
        let out_fours = if epilogue == Epilogue::SwiGlu { n / 8 } else { n / 4 };
        let inputs = FinishLaunch::new(
            self.scales.by(4),
            self.angles.by(8),
            angle_rows.by(4),
            layout.head as u32 / 2,
            (layout.queries() + layout.keys_and_values() / 2) as u32,
            layout.queries() as u32,
            1.0 / (self.config.head_dim as f32).sqrt(),
            out_fours as u32,
        );
        let out = out.by(4 * size_of::<O>());
        let columns = (n / crate::layout::TILE) as u32;
        // SAFETY: see `run`.
        unsafe {
            if self.path.get().products {
                cooperative::multiply::launch_unchecked::<O>(
                    &self.client,
                    CubeCount::Static(columns, m as u32 / cooperative::TILE, 1),
                    CubeDim::new_2d(cooperative::PLANE, cooperative::PLANES),
                    a.by(16),
                    w.by(16),
                    out,
                    inputs,
                    k as u32 / 8,
                    epilogue,
                );
            } else {
                plain::multiply::launch_unchecked::<F, O>(
                    &self.client,
                    CubeCount::Static(columns, m as u32 / plain::TILE_ROWS, 1),
                    CubeDim::new_2d(plain::SIDE, plain::SIDE),
                    a.by(4 * size_of::<F>()),
                    w.by(4 * size_of::<F>()),
                    out,
                    inputs,
                    k as u32 / 4,
                    epilogue,
                );
            }
        }
    }

    fn attend<F: Float>(&self, first_visible: &Buffer, m: usize) {
        let layout = &self.layout;
        let (heads, kv_heads) = (layout.n_heads as u32, layout.n_kv_heads as u32);
        // SAFETY: see `run`.
        unsafe {
            match self.path.get().attention {
                true => cooperative::attend::launch_unchecked(
                    &self.client,
                    CubeCount::Static(heads, m as u32 / cooperative::QUERIES, 1),
                    CubeDim::new_2d(cooperative::PLANE, cooperative::PLANES),
                    self.qkv.by(16),
                    first_visible.by(4),
                    self.attended.by(8),
                    layout.qkv() as u32 / 8,
                    heads,
                    kv_heads,
                ),
                false => plain::attend::launch_unchecked::<F>(
                    &self.client,
                    CubeCount::Static(m as u32 / plain::QUERIES, heads, 1),
                    CubeDim::new_1d(plain::QUERIES),
                    self.qkv.by(4 * size_of::<F>()),
                    first_visible.by(4),
                    self.attended.by(4 * size_of::<F>()),
                    layout.qkv() as u32 / 4,
                    heads,
                    kv_heads,
                    layout.head as u32 / 4,
                ),
            }
        }
    }

    /// The segments of each buffer of slots that has any: which buffer, where they are, how many, the most rows kept, and the most
    /// rows of one.
    fn segments(&self, kept: &[KeptRows<'_>]) -> Vec<Segments> {
        let of_buffer = |index: usize| {
            let of_buffer: Vec<&KeptRows<'_>> =
                kept.iter().filter(|rows| rows.slot.index / self.slots == index).collect();
            let numbers: Vec<u32> = of_buffer
                .iter()
                .flat_map(|rows| [rows.slot.index % self.slots, rows.row, rows.n_kept, rows.n_rows])
                .map(|number| number as u32)
                .collect();
            let most = |of: fn(&KeptRows<'_>) -> usize| of_buffer.iter().map(|rows| of(rows)).max().unwrap_or(0) as u32;
            (!numbers.is_empty()).then(|| Segments {
                buffer: index,
                numbers: self.upload(&numbers),
                n: of_buffer.len() as u32,
                most_kept: most(|rows| rows.n_kept),
                most_rows: most(|rows| rows.n_rows),
            })
        };
        (0..self.kept.borrow().len()).filter_map(of_buffer).collect()
    }

    /// Keys and values between the rows and where they are kept.
    fn move_kept<F: Float>(&self, segments: &[Segments], layer: usize, direction: Move) {
        let (layout, n_rows) = (&self.layout, Self::n_kept_rows(&self.config));
        let (width, fours) = (layout.keys_and_values() / 4, 4 * self.float.n_bytes());
        let save = self.config.window() > 1;
        for segments in segments {
            let most_rows = match direction {
                Move::Restore => segments.most_kept,
                Move::Save if save => segments.most_rows.min(n_rows as u32),
                Move::Save => 0,
            };
            if most_rows == 0 {
                continue;
            }
            let kept_layout = KeptLayoutLaunch::new(
                Self::slot_fours(layout, &self.config) as u32,
                (layer * n_rows * width) as u32,
                width as u32,
                layout.qkv() as u32 / 4,
                layout.queries() as u32 / 4,
                n_rows as u32,
            );
            let (count, dim) = (CubeCount::Static(most_rows, segments.n, 1), CubeDim::new_1d(UNITS));
            let (numbers, kept) = (segments.numbers.by(4), self.kept.borrow()[segments.buffer].by(fours));
            // SAFETY: see `run`; slots are those of the buffer.
            unsafe {
                match direction {
                    Move::Restore => elementwise::restore_kept::launch_unchecked::<F>(
                        &self.client,
                        count,
                        dim,
                        numbers,
                        kept,
                        self.qkv.by(fours),
                        kept_layout,
                    ),
                    Move::Save => elementwise::save_kept::launch_unchecked::<F>(
                        &self.client,
                        count,
                        dim,
                        numbers,
                        kept,
                        self.qkv.by(fours),
                        kept_layout,
                    ),
                }
            }
        }
    }

    /// What `compute` gives; a panic of the runtime is an error.
    pub(crate) fn guarded<R>(&self, compute: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(compute));
        result.unwrap_or_else(|panic| Err(panic_text(&*panic))).map_err(|reason| format!("{}: {reason}", self.name))
    }
}

/// Segments of the step whose slots lie in one buffer.
struct Segments {
    buffer: usize,
    numbers: Buffer,
    n: u32,
    most_kept: u32,
    most_rows: u32,
}

#[derive(Clone, Copy)]
enum Move {
    Restore,
    Save,
}

/// Whether two ways to compute gave the same but for rounding: entropies within a tenth of a nat, norms within a fiftieth, both on
/// average.
fn agree(found: &[Vec<f32>; 2], expected: &[Vec<f32>; 2]) -> Result<(), String> {
    let mean = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / found[0].len() as f32;
    let pairs = |signal: usize| found[signal].iter().zip(&expected[signal]);
    let entropy = mean(&mut pairs(0).map(|(a, b)| (a - b).abs()));
    let norm = mean(&mut pairs(1).map(|(a, b)| (a - b).abs() / b.max(f32::MIN_POSITIVE)));
    // Not a number is no agreement.
    if entropy < 0.1 && norm < 0.02 {
        Ok(())
    } else {
        Err(format!("entropies are off by {entropy:.2e} nats, norms by {norm:.2e} of themselves"))
    }
}

/// An error's first lines: what follows is a backtrace.
pub(crate) fn brief(error: &ServerError) -> String {
    let text = error.to_string();
    text.split("Backtrace").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Numbers as they lie in memory.
pub(crate) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect()
}

/// Numbers of four bytes.
trait ToBytes {
    fn to_bytes(self) -> [u8; 4];
}

impl ToBytes for u32 {
    fn to_bytes(self) -> [u8; 4] {
        self.to_ne_bytes()
    }
}

impl ToBytes for f32 {
    fn to_bytes(self) -> [u8; 4] {
        self.to_ne_bytes()
    }
}

fn bytes_of<T: Copy + ToBytes>(values: &[T]) -> Bytes {
    Bytes::from_bytes_vec(values.iter().flat_map(|value| value.to_bytes()).collect())
}

impl FloatType {
    pub(crate) fn n_bytes(self) -> usize {
        if self == FloatType::F32 { 4 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_agreement_and_a_wrong_number_is_none() {
        let expected = [vec![1.0, 2.0], vec![30.0, 40.0]];
        assert!(agree(&[vec![1.01, 1.98], vec![30.1, 39.9]], &expected).is_ok());
        assert!(agree(&[vec![1.0, 2.5], vec![30.0, 40.0]], &expected).is_err());
        assert!(agree(&[vec![1.0, 2.0], vec![30.0, 50.0]], &expected).is_err());
        assert!(agree(&[vec![1.0, f32::NAN], vec![30.0, 40.0]], &expected).is_err());
    }
}
