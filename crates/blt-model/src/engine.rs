//! The model as an engine: token slices in, signals on host slices out.

use blt_checkpoint::{Checkpoint, ModelConfig, Visibility};
use blt_core::{EngineError, EngineInfo, EntropyEngine, RowOutput, Session, Signals, TokenId, Want};
use burn::tensor::Tensor;

use crate::attention::{KeyValueWindow, n_kept};
use crate::device::ComputeDevice;
use crate::load::{FloatType, LoadError};
use crate::model::{LMTransformer, entropies, norms};

/// Most tokens computed at once; a session cuts longer pushes, a batch is packed up to it.
const MAX_TOKENS_AT_ONCE: usize = 1024;

/// An entropy model on a Burn device.
#[derive(Debug)]
pub struct EntropyModel {
    transformer: LMTransformer,
    config: ModelConfig,
    info: EngineInfo,
}

impl EntropyModel {
    /// Loads `checkpoint` onto `device`, computing in `float`.
    ///
    /// # Errors
    ///
    /// Fails when the checkpoint cannot be read or the device lacks the number type.
    pub fn load(checkpoint: &Checkpoint, device: &ComputeDevice, float: FloatType) -> Result<Self, LoadError> {
        let transformer = LMTransformer::load(checkpoint, device.tensor_device(), float)?;
        let name = checkpoint.identity()?;
        Ok(Self::new(transformer, checkpoint.config().clone(), name, format!("{device} {}", float.name())))
    }

    /// Loads a Burn record (burnpack bytes) of the sizes in `config` onto `device`; `name` names it in outputs.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are no record of such a model or the device lacks the number type.
    pub fn load_burnpack(
        bytes: Vec<u8>,
        config: &ModelConfig,
        name: &str,
        device: &ComputeDevice,
        float: FloatType,
    ) -> Result<Self, LoadError> {
        let name = record_identity(name, &bytes);
        let transformer = LMTransformer::from_burnpack(bytes, config, device.tensor_device(), float)?;
        Ok(Self::new(transformer, config.clone(), name, format!("{device} {}", float.name())))
    }

    /// An engine around a model that is already on its device; `model` names it in outputs, `device` names where it
    /// computes in reports.
    pub fn new(transformer: LMTransformer, config: ModelConfig, model: String, device: String) -> Self {
        let (dim, max_seqlen, window) = (config.dim, config.max_seqlen, config.window());
        Self {
            transformer,
            config,
            info: EngineInfo {
                model,
                dim,
                max_seqlen,
                window,
                device,
                tokens_at_once: MAX_TOKENS_AT_ONCE,
                documents_at_once: 1,
            },
        }
    }

    /// The tensors.
    pub fn transformer(&self) -> &LMTransformer {
        &self.transformer
    }

    /// The sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn check(&self, tokens: &[TokenId]) -> Result<(), EngineError> {
        blt_core::check_tokens(tokens, self.config.vocab_size)
    }

    /// Signals of pre-norm states `[t, d]`, brought to the host.
    fn signals(&self, hidden: Tensor<2>, want: Want) -> Result<Signals, EngineError> {
        let entropies = host(entropies(self.transformer.logits(hidden.clone())))?;
        Ok(match want {
            Want::Entropies => Signals { entropies, ..Signals::default() },
            Want::EntropiesAndNorms => Signals { entropies, norms: host(norms(hidden))?, embeddings: Vec::new() },
            Want::All => {
                let norms = host(norms(hidden.clone()))?;
                Signals { entropies, norms, embeddings: host(hidden.flatten::<1>(0, 1))? }
            }
        })
    }
}

/// The model's name and which weights a Burn record holds: `NAME@` and the first twelve digits of its sha256.
pub fn record_identity(name: &str, record: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    let digest: String = Sha256::digest(record).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{name}@{digest}")
}

fn host(values: Tensor<1>) -> Result<Vec<f32>, EngineError> {
    let device = |error: String| EngineError::Device(error);
    let data = values.try_into_data().map_err(|error| device(format!("{error:?}")))?;
    data.convert::<f32>().try_to_vec().map_err(|error| device(format!("{error:?}")))
}

impl EntropyEngine for EntropyModel {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(BurnSession {
            model: self,
            windows: self.transformer.windows(),
            visibility: self.transformer.visibility.clone(),
        })
    }

    fn row(&self, tokens: &[TokenId]) -> Result<RowOutput, EngineError> {
        self.check(tokens)?;
        if tokens.is_empty() {
            return Ok(RowOutput::default());
        }
        let hidden = self.transformer.hidden_of_documents(&[tokens]);
        let logits = host(self.transformer.logits(hidden.clone()).flatten(0, 1))?;
        Ok(RowOutput { logits, signals: self.signals(hidden, Want::All)? })
    }

    fn batch(&self, documents: &[&[TokenId]], want: Want) -> Result<Vec<Signals>, EngineError> {
        for document in documents {
            self.check(document)?;
        }
        let mut results = Vec::with_capacity(documents.len());
        let mut rest = documents;
        while let Some(first) = rest.first() {
            if first.is_empty() || first.len() > MAX_TOKENS_AT_ONCE {
                results.push(self.session().push(first, want)?);
                rest = &rest[1..];
                continue;
            }
            let (packed, after) = rest.split_at(packable(rest));
            let mut all = self.signals(self.transformer.hidden_of_documents(packed), want)?;
            for document in packed {
                results.push(split_front(&mut all, document.len(), self.config.dim));
            }
            rest = after;
        }
        Ok(results)
    }
}

/// How many documents from the front fit into one packed row; at least one.
fn packable(documents: &[&[TokenId]]) -> usize {
    let mut n_tokens = 0;
    let fits = |document: &&&[TokenId]| {
        n_tokens += document.len();
        !document.is_empty() && n_tokens <= MAX_TOKENS_AT_ONCE
    };
    documents.iter().take_while(fits).count().max(1)
}

/// Takes the signals of the first `n_tokens` positions off the front.
fn split_front(signals: &mut Signals, n_tokens: usize, dim: usize) -> Signals {
    fn take(values: &mut Vec<f32>, n: usize) -> Vec<f32> {
        let n = n.min(values.len());
        values.drain(..n).collect()
    }
    Signals {
        entropies: take(&mut signals.entropies, n_tokens),
        norms: take(&mut signals.norms, n_tokens),
        embeddings: take(&mut signals.embeddings, n_tokens * dim),
    }
}

struct BurnSession<'a> {
    model: &'a EntropyModel,
    windows: Vec<KeyValueWindow>,
    /// Where the next token is, and what it sees.
    visibility: Visibility,
}

impl Session for BurnSession<'_> {
    fn push(&mut self, tokens: &[TokenId], want: Want) -> Result<Signals, EngineError> {
        self.model.check(tokens)?;
        let mut signals = Signals::default();
        for tokens in tokens.chunks(MAX_TOKENS_AT_ONCE) {
            signals.append(self.push_piece(tokens, want)?);
        }
        Ok(signals)
    }

    fn reset(&mut self) {
        self.windows = self.model.transformer.windows();
        self.visibility.restart();
    }
}

impl BurnSession<'_> {
    fn push_piece(&mut self, tokens: &[TokenId], want: Want) -> Result<Signals, EngineError> {
        let transformer = &self.model.transformer;
        let position = self.visibility.position();
        let n_past = position.min(n_kept(transformer.window) as u64) as usize;
        let first_visible = self.visibility.read(tokens);
        let positions = position..self.visibility.position();
        let frame = transformer.frame(std::slice::from_ref(&positions), position, n_past, &first_visible);
        let hidden = transformer.hidden(tokens, &frame, &mut self.windows);
        self.model.signals(hidden, want)
    }
}
