//! One view through the model and the patcher. This is the one place where positions of the model become bytes.
//!
//! A view of `n` bytes is fed as BOS, byte 0, ... byte n-1, positions 0 to n. The entropy at position `i` is the
//! uncertainty about byte `i`; the state after reading byte `i` is at position `i + 1`. So `entropies[i]` comes from
//! position `i`, and prominence, coherence and embedding of byte `i` from position `i + 1`.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use blt_core::{
    BOS_ID, BYTE_OFFSET, ByteRange, EngineError, EntropyEngine, Patch, Session, Signals, TokenId, Want, coherence,
};
use blt_patcher::{DocumentPatcher, NotIncremental, Patcher, Rule, document_starts};

/// How a view longer than the original's rows is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// With the exact window across all of it.
    Continuous,
    /// Anew every `max_seqlen` tokens, as the original's data flow does.
    Chunked,
}

/// How the norms of a patch's bytes become its prominence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProminencePool {
    /// The largest.
    Max,
    /// Their mean.
    Mean,
    /// The norm of the patch's embedding.
    NormOfMean,
}

/// How bytes become patches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoding {
    /// Where patches start.
    pub patcher: Patcher,
    /// How long views are read.
    pub mode: Mode,
    /// How prominence is pooled.
    pub prominence: ProminencePool,
}

impl Encoding {
    /// The default rule with `threshold` nats.
    pub fn global(threshold: f32) -> Self {
        let patcher = Patcher::new(Rule::Global { threshold });
        Self { patcher, mode: Mode::Continuous, prominence: ProminencePool::Max }
    }
}

/// Takes the bytes and patches of a view, each in order. A patch comes after its bytes.
pub trait PatchSink {
    /// The next bytes: `entropies[i]` and `prominence[i]` belong to `bytes[i]`, and so does row `i` of `embeddings`
    /// (`[bytes, dim]`, empty unless wanted).
    ///
    /// # Errors
    ///
    /// An error ends the encoding.
    fn bytes(&mut self, bytes: &[u8], entropies: &[f32], prominence: &[f32], embeddings: &[f32]) -> io::Result<()>;

    /// The next patch.
    ///
    /// # Errors
    ///
    /// An error ends the encoding.
    fn patch(&mut self, patch: &Patch<'_>) -> io::Result<()>;

    /// Whether patches need their embeddings.
    fn wants_embeddings(&self) -> bool;
}

/// Why a view could not be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Its bytes could not be read.
    #[error("cannot read the source")]
    Read(#[source] io::Error),
    /// The model failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The sink failed.
    #[error("cannot write the output")]
    Write(#[source] io::Error),
    /// The caller asked to stop.
    #[error("stopped before the end")]
    Cancelled,
}

/// What came of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ViewSummary {
    /// Its size in bytes.
    pub n_bytes: u64,
    /// How many patches it has.
    pub n_patches: u64,
}

/// Encodes the view that `open` gives a reader for and passes its bytes and patches to `sink`. Memory does not depend on
/// the view's length, except under the rules `top-k`, which keeps about 20 bytes a byte and computes the view twice, and
/// `bpe`, which holds the view.
///
/// `delimiters` are the starts of a tokenizer's tokens, for the rule `bpe`. Between pieces `cancelled` is looked at.
///
/// # Errors
///
/// Fails when the view cannot be read, the model or the sink fails, or `cancelled` is set.
pub fn encode_view<R: Read>(
    engine: &dyn EntropyEngine,
    encoding: &Encoding,
    mut open: impl FnMut() -> io::Result<R>,
    delimiters: &[usize],
    sink: &mut dyn PatchSink,
    cancelled: &AtomicBool,
) -> Result<ViewSummary, EncodeError> {
    let boundaries = match DocumentPatcher::new(encoding.patcher) {
        Ok(patcher) => Boundaries::Found(patcher),
        Err(NotIncremental(Rule::Bpe)) => {
            let mut bytes = Vec::new();
            open().and_then(|mut reader| reader.read_to_end(&mut bytes)).map_err(EncodeError::Read)?;
            Boundaries::Given { starts: document_starts(&encoding.patcher, &bytes, &[], delimiters), next: 0 }
        }
        Err(_) => {
            let mut all = Positions::new(engine, encoding.mode, Want::Entropies);
            let (mut bytes, mut entropies) = (Vec::new(), Vec::new());
            all.read(open().map_err(EncodeError::Read)?, cancelled, |piece, first, signals| {
                bytes.extend_from_slice(piece);
                entropies.extend(first);
                entropies.extend_from_slice(&signals.entropies);
                Ok(())
            })?;
            Boundaries::Given { starts: document_starts(&encoding.patcher, &bytes, &entropies, delimiters), next: 0 }
        }
    };
    let wants_states = sink.wants_embeddings() || encoding.prominence == ProminencePool::NormOfMean;
    let want = if wants_states { Want::All } else { Want::EntropiesAndNorms };
    let mut patches = PatchBuilder {
        boundaries,
        pool: encoding.prominence,
        dim: if wants_states { engine.info().dim } else { 0 },
        entropy: 0.0,
        n_bytes: 0,
        n_patches: 0,
        open: None,
    };
    let mut positions = Positions::new(engine, encoding.mode, want);
    positions.read(open().map_err(EncodeError::Read)?, cancelled, |bytes, first, signals| {
        patches.push(bytes, first, signals, sink).map_err(EncodeError::Write)
    })?;
    patches.finish(sink).map_err(EncodeError::Write)?;
    Ok(ViewSummary { n_bytes: patches.n_bytes, n_patches: patches.n_patches })
}

/// Feeds a byte stream to the model piece by piece.
struct Positions<'a> {
    session: Box<dyn Session + 'a>,
    want: Want,
    /// Tokens given to the model at once.
    tokens_at_once: usize,
    /// In chunked mode: tokens of a row, and how many are left of the current one.
    row: Option<(usize, usize)>,
}

impl<'a> Positions<'a> {
    fn new(engine: &'a dyn EntropyEngine, mode: Mode, want: Want) -> Self {
        let row = (mode == Mode::Chunked).then_some((engine.info().max_seqlen, engine.info().max_seqlen));
        Self { session: engine.session(), want, tokens_at_once: engine.info().tokens_at_once, row }
    }

    /// Calls `take` with each piece of bytes and the signals of their positions; the first call also has the entropy at
    /// position 0, which is BOS. An empty stream gives one call without bytes.
    fn read(
        &mut self,
        mut reader: impl Read,
        cancelled: &AtomicBool,
        mut take: impl FnMut(&[u8], Option<f32>, &Signals) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut buffer = vec![0; self.tokens_at_once];
        let mut is_first = true;
        loop {
            if cancelled.load(Ordering::Relaxed) {
                return Err(EncodeError::Cancelled);
            }
            let room = self.tokens_at_once - usize::from(is_first);
            let n_read = fill(&mut reader, &mut buffer[..room]).map_err(EncodeError::Read)?;
            if n_read == 0 && !is_first {
                return Ok(());
            }
            let bytes = &buffer[..n_read];
            let bos = is_first.then_some(BOS_ID);
            let tokens: Vec<TokenId> =
                bos.into_iter().chain(bytes.iter().map(|&byte| TokenId::from(byte) + BYTE_OFFSET)).collect();
            let mut signals = self.push(&tokens)?;
            let first = is_first.then(|| {
                signals.norms.drain(..signals.norms.len().min(1));
                let dim = signals.embeddings.len() / tokens.len();
                signals.embeddings.drain(..dim);
                signals.entropies.remove(0)
            });
            take(bytes, first, &signals)?;
            is_first = false;
        }
    }

    fn push(&mut self, mut tokens: &[TokenId]) -> Result<Signals, EngineError> {
        let mut signals = Signals::default();
        while let Some((length, left)) = self.row.as_mut().filter(|(_, left)| *left <= tokens.len()) {
            let (row, rest) = tokens.split_at(*left);
            *left = *length;
            signals.append(self.session.push(row, self.want)?);
            self.session.reset();
            tokens = rest;
        }
        if let Some((_, left)) = &mut self.row {
            *left -= tokens.len();
        }
        signals.append(self.session.push(tokens, self.want)?);
        Ok(signals)
    }
}

/// Reads until `buffer` is full or the stream ends, so that pieces do not depend on how the stream comes in.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

enum Boundaries {
    /// Found byte by byte.
    Found(DocumentPatcher),
    /// Known beforehand, ascending.
    Given { starts: Vec<usize>, next: usize },
}

impl Boundaries {
    fn starts_at(&mut self, offset: u64, byte: u8, entropy: f32) -> bool {
        match self {
            Boundaries::Found(patcher) => patcher.push(byte, entropy),
            Boundaries::Given { starts, next } => {
                let starts = starts.get(*next).is_some_and(|&start| start as u64 == offset);
                *next += usize::from(starts);
                starts
            }
        }
    }
}

/// Pools the signals of bytes into patches.
struct PatchBuilder {
    boundaries: Boundaries,
    pool: ProminencePool,
    /// Width of an embedding, 0 when none are pooled.
    dim: usize,
    /// Of the position before the next byte.
    entropy: f32,
    n_bytes: u64,
    n_patches: u64,
    open: Option<OpenPatch>,
}

struct OpenPatch {
    start: u64,
    n_bytes: u32,
    entropy: f64,
    coherence: f64,
    norm: f64,
    largest_norm: f32,
    embedding: Vec<f64>,
}

impl PatchBuilder {
    fn push(
        &mut self,
        bytes: &[u8],
        first: Option<f32>,
        signals: &Signals,
        sink: &mut dyn PatchSink,
    ) -> io::Result<()> {
        self.entropy = first.unwrap_or(self.entropy);
        // The entropies of these bytes: shifted by one against the positions.
        let mut entropies = Vec::with_capacity(bytes.len());
        for i in 0..bytes.len() {
            entropies.push(self.entropy);
            self.entropy = signals.entropies[i];
        }
        sink.bytes(bytes, &entropies, &signals.norms, &signals.embeddings)?;
        for (i, &byte) in bytes.iter().enumerate() {
            if self.boundaries.starts_at(self.n_bytes, byte, entropies[i]) {
                self.close(sink)?;
            }
            let start = self.n_bytes;
            let patch = self.open.get_or_insert_with(|| OpenPatch::new(start, self.dim));
            let state = &signals.embeddings[i * self.dim..(i + 1) * self.dim];
            patch.add(entropies[i], signals.norms[i], coherence(signals.norms[i], signals.entropies[i]), state);
            self.n_bytes += 1;
            if patch.n_bytes == i32::MAX as u32 {
                self.close(sink)?; // longer patches would not fit the outputs
            }
        }
        Ok(())
    }

    fn finish(&mut self, sink: &mut dyn PatchSink) -> io::Result<()> {
        self.close(sink)
    }

    fn close(&mut self, sink: &mut dyn PatchSink) -> io::Result<()> {
        let Some(patch) = self.open.take() else { return Ok(()) };
        let n = f64::from(patch.n_bytes);
        let embedding: Vec<f32> = patch.embedding.iter().map(|sum| (sum / n) as f32).collect();
        let prominence = match self.pool {
            ProminencePool::Max => patch.largest_norm,
            ProminencePool::Mean => (patch.norm / n) as f32,
            ProminencePool::NormOfMean => {
                embedding.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32
            }
        };
        self.n_patches += 1;
        sink.patch(&Patch {
            range: ByteRange::new(patch.start, patch.start + u64::from(patch.n_bytes)),
            entropy: (patch.entropy / n) as f32,
            prominence,
            coherence: (patch.coherence / n) as f32,
            embedding: &embedding,
        })
    }
}

impl OpenPatch {
    fn new(start: u64, dim: usize) -> Self {
        Self {
            start,
            n_bytes: 0,
            entropy: 0.0,
            coherence: 0.0,
            norm: 0.0,
            largest_norm: 0.0,
            embedding: vec![0.0; dim],
        }
    }

    fn add(&mut self, entropy: f32, norm: f32, coherence: f32, state: &[f32]) {
        self.n_bytes += 1;
        self.entropy += f64::from(entropy);
        self.coherence += f64::from(coherence);
        self.norm += f64::from(norm);
        self.largest_norm = self.largest_norm.max(norm);
        self.embedding.iter_mut().zip(state).for_each(|(sum, &value)| *sum += f64::from(value));
    }
}
