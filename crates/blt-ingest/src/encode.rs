//! One view through the model and the patcher. This is the one place where positions of the model become bytes.
//!
//! A view of `n` bytes is fed as BOS, byte 0, ... byte n-1, positions 0 to n. The entropy at position `i` is the
//! uncertainty about byte `i`; the state after reading byte `i` is at position `i + 1`. So `entropies[i]` comes from
//! position `i`, and prominence, coherence and embedding of byte `i` from position `i + 1`.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use blt_core::{
    BOS_ID, BYTE_OFFSET, ByteRange, EngineError, EngineInfo, EntropyEngine, Modality, Patch, Session, Signals, TokenId,
    Want, coherence,
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

/// Thresholds in nats by what a view holds, for patches of one mean size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// The mean size in bytes that they were calibrated for.
    pub size: f32,
    /// Of text, office documents and the text of PDF.
    pub text: f32,
    /// Of source code, markup and data with a grammar.
    pub code: f32,
    /// Of pixels.
    pub image: f32,
    /// Of samples.
    pub audio: f32,
    /// Of everything else.
    pub binary: f32,
}

impl Thresholds {
    /// The one for a view.
    pub fn of(&self, modality: Modality) -> f32 {
        match modality {
            Modality::Text | Modality::Document | Modality::Pdf => self.text,
            Modality::Code => self.code,
            Modality::Image | Modality::Video => self.image,
            Modality::Audio => self.audio,
            _ => self.binary,
        }
    }
}

/// How bytes become patches.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Encoding {
    /// Where patches start.
    pub patcher: Patcher,
    /// What takes the place of the rule's threshold, by what a view holds.
    pub thresholds: Option<Thresholds>,
    /// How long views are read.
    pub mode: Mode,
    /// How prominence is pooled.
    pub prominence: ProminencePool,
}

impl Encoding {
    /// The default rule with `threshold` nats.
    pub fn global(threshold: f32) -> Self {
        let patcher = Patcher::new(Rule::Global { threshold });
        Self { patcher, thresholds: None, mode: Mode::Continuous, prominence: ProminencePool::Max }
    }

    /// The encoding of a view of this modality: with its threshold in the rule.
    pub fn of(&self, modality: Modality) -> Self {
        let mut encoding = Self { thresholds: None, ..*self };
        if let Some(thresholds) = self.thresholds
            && let Rule::Global { threshold } | Rule::Monotonic { threshold } | Rule::GlobalMonotonic { threshold, .. } =
                &mut encoding.patcher.rule
        {
            *threshold = thresholds.of(modality);
        }
        encoding
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

    /// Which embeddings it takes.
    fn wants_embeddings(&self) -> EmbeddingsOf;
}

/// What has embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EmbeddingsOf {
    /// Nothing: the states stay where they are computed.
    Nothing,
    /// Patches: their sums leave the device.
    Patches,
    /// Patches and bytes: all states leave the device.
    Bytes,
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
            let mut pieces = Pieces::new(engine, encoding.mode, open().map_err(EncodeError::Read)?);
            let (mut bytes, mut entropies) = (Vec::new(), Vec::new());
            while let Some(piece) = pieces.next(cancelled)? {
                bytes.extend_from_slice(&piece.bytes);
                entropies.extend(pieces.session.push(&piece.tokens, Want::Entropies)?.checked()?.entropies);
            }
            Boundaries::Given { starts: document_starts(&encoding.patcher, &bytes, &entropies, delimiters), next: 0 }
        }
    };
    let pools_states = encoding.prominence == ProminencePool::NormOfMean;
    let wanted = sink.wants_embeddings().max(if pools_states { EmbeddingsOf::Patches } else { EmbeddingsOf::Nothing });
    let mut patches = PatchBuilder {
        boundaries,
        pool: encoding.prominence,
        dim: if wanted == EmbeddingsOf::Nothing { 0 } else { engine.info().dim },
        entropy: 0.0,
        entropies: Vec::new(),
        starts: Vec::new(),
        n_cut: 0,
        cut_length: 0,
        n_bytes: 0,
        n_patches: 0,
        open: None,
    };
    let mut pieces = Pieces::new(engine, encoding.mode, open().map_err(EncodeError::Read)?);
    while let Some(piece) = pieces.next(cancelled)? {
        let added = match wanted {
            EmbeddingsOf::Nothing => {
                let signals = pieces.session.push(&piece.tokens, Want::EntropiesAndNorms)?.checked()?;
                patches.cut(&piece, &signals);
                patches.add(&piece, &signals, &[], sink)
            }
            EmbeddingsOf::Patches => {
                let summed = pieces.session.push_summed(&piece.tokens, &mut |signals| patches.cut(&piece, signals))?;
                patches.add(&piece, &summed.signals.checked()?, (*summed.sums).as_ref(), sink)
            }
            EmbeddingsOf::Bytes => {
                let signals = pieces.session.push(&piece.tokens, Want::All)?.checked()?;
                let ends = patches.cut(&piece, &signals);
                patches.add(&piece, &signals, &signals.sum_states(&ends), sink)
            }
        };
        added.map_err(EncodeError::Write)?;
    }
    patches.close(sink).map_err(EncodeError::Write)?;
    Ok(ViewSummary { n_bytes: patches.n_bytes, n_patches: patches.n_patches })
}

/// A byte stream cut for the model.
struct Pieces<'a, R> {
    session: Box<dyn Session + 'a>,
    reader: R,
    /// Tokens given to the model at once.
    tokens_at_once: usize,
    /// In chunked mode: tokens of a row, and how many are left of the current one.
    row: Option<(usize, usize)>,
    is_first: bool,
}

/// Consecutive bytes and their tokens, before which the first piece has BOS.
struct Piece {
    bytes: Vec<u8>,
    tokens: Vec<TokenId>,
}

impl Piece {
    /// Tokens before the first byte.
    fn n_before(&self) -> usize {
        self.tokens.len() - self.bytes.len()
    }
}

impl<'a, R: Read> Pieces<'a, R> {
    fn new(engine: &'a dyn EntropyEngine, mode: Mode, reader: R) -> Self {
        let EngineInfo { max_seqlen, tokens_at_once, .. } = *engine.info();
        let row = (mode == Mode::Chunked).then_some((max_seqlen, max_seqlen));
        Self { session: engine.session(), reader, tokens_at_once, row, is_first: true }
    }

    /// The next piece, for `session`; the first even if there are no bytes.
    fn next(&mut self, cancelled: &AtomicBool) -> Result<Option<Piece>, EncodeError> {
        if cancelled.load(Ordering::Relaxed) {
            return Err(EncodeError::Cancelled);
        }
        let mut room = self.tokens_at_once;
        if let Some((length, left)) = &mut self.row {
            if *left == 0 {
                self.session.reset();
                *left = *length;
            }
            room = room.min(*left);
        }
        let bos = self.is_first.then_some(BOS_ID);
        let mut bytes = vec![0; room - usize::from(self.is_first)];
        let n_read = fill(&mut self.reader, &mut bytes).map_err(EncodeError::Read)?;
        bytes.truncate(n_read);
        if n_read == 0 && !self.is_first {
            return Ok(None);
        }
        self.is_first = false;
        let tokens: Vec<TokenId> =
            bos.into_iter().chain(bytes.iter().map(|&byte| TokenId::from(byte) + BYTE_OFFSET)).collect();
        if let Some((_, left)) = &mut self.row {
            *left -= tokens.len();
        }
        Ok(Some(Piece { bytes, tokens }))
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
    /// Of the bytes of the piece that was cut last: shifted by one against the positions.
    entropies: Vec<f32>,
    /// Which bytes of that piece start a patch.
    starts: Vec<usize>,
    /// Bytes cut so far, and how many of them are in the last patch.
    n_cut: u64,
    cut_length: u32,
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
    /// Finds where patches start in a piece. Returns where the ranges of its positions end that belong to one patch each;
    /// before the first byte's there may be one of its own.
    fn cut(&mut self, piece: &Piece, signals: &Signals) -> Vec<u32> {
        let n_before = piece.n_before();
        self.entropies.clear();
        self.starts.clear();
        for (i, &entropy) in signals.entropies.iter().enumerate() {
            if i >= n_before {
                self.entropies.push(self.entropy);
            }
            self.entropy = entropy;
        }
        let mut ends: Vec<u32> = (n_before > 0).then_some(n_before as u32).into_iter().collect();
        for (i, &byte) in piece.bytes.iter().enumerate() {
            let starts = self.boundaries.starts_at(self.n_cut, byte, self.entropies[i]);
            // Longer patches would not fit the outputs.
            if starts || self.cut_length == i32::MAX as u32 {
                self.starts.push(i);
                self.cut_length = 0;
                if i > 0 {
                    ends.push((n_before + i) as u32);
                }
            }
            self.cut_length += 1;
            self.n_cut += 1;
        }
        if !piece.bytes.is_empty() {
            ends.push(piece.tokens.len() as u32);
        }
        ends
    }

    /// Adds the piece that was cut last; `sums` are those of its states over the ranges.
    fn add(&mut self, piece: &Piece, signals: &Signals, sums: &[f64], sink: &mut dyn PatchSink) -> io::Result<()> {
        let n_before = piece.n_before();
        let (norms, entropies_behind) = (&signals.norms[n_before..], &signals.entropies[n_before..]);
        let embeddings = signals.embeddings.get(n_before * self.dim..).unwrap_or(&[]);
        sink.bytes(&piece.bytes, &self.entropies, norms, embeddings)?;
        let mut sums = sums.chunks_exact(self.dim.max(1)).skip(usize::from(n_before > 0));
        let mut starts = std::mem::take(&mut self.starts).into_iter().peekable();
        for i in 0..piece.bytes.len() {
            let starts_here = starts.next_if_eq(&i).is_some();
            if starts_here {
                self.close(sink)?;
            }
            let start = self.n_bytes;
            let patch = self.open.get_or_insert_with(|| OpenPatch::new(start, self.dim));
            if (starts_here || i == 0)
                && let Some(sum) = sums.next()
            {
                patch.embedding.iter_mut().zip(sum).for_each(|(whole, part)| *whole += part);
            }
            patch.add(self.entropies[i], norms[i], coherence(norms[i], entropies_behind[i]));
            self.n_bytes += 1;
        }
        Ok(())
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

    fn add(&mut self, entropy: f32, norm: f32, coherence: f32) {
        self.n_bytes += 1;
        self.entropy += f64::from(entropy);
        self.coherence += f64::from(coherence);
        self.norm += f64::from(norm);
        self.largest_norm = self.largest_norm.max(norm);
    }
}
