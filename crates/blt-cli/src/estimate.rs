//! What a run will take, before it begins: patches, bytes of outputs, time.

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use blt_core::{EntropyEngine, Modality, Patch};
use blt_ingest::{EmbeddingsOf, EncodeError, IngestOptions, PatchSink, encode_view};
use blt_output::{EmbeddingDtype, Embeddings};

/// A leaf of a hypergraph with its share of the indices, in bytes.
const LEAF_BYTES: f64 = 60.0;

/// About what `n_bytes` of sources become.
pub(crate) struct Estimate {
    n_patches: f64,
    output_bytes: f64,
    seconds: f64,
    bytes_per_second: f64,
}

impl Estimate {
    /// Encodes `sample` once to learn how long patches are and how fast they come. Views that decoders make are not counted,
    /// and neither is decoding.
    ///
    /// # Errors
    ///
    /// Fails when the model does.
    pub(crate) fn new(
        engine: &dyn EntropyEngine,
        options: &IngestOptions,
        sample: &[u8],
        n_bytes: u64,
    ) -> Result<Self, EncodeError> {
        let start = Instant::now();
        let mut sink = Counter { wants: wanted(options.embeddings.embeddings), n_patches: 0 };
        let running = AtomicBool::new(false);
        // A tokenizer's tokens are about as long as words.
        let starts: Vec<usize> = (0..sample.len()).step_by(4).collect();
        let encoding = options.encoding.of(Modality::Text);
        encode_view(engine, &encoding, || Ok(sample), &starts, &mut sink, &running)?;
        // Documents on several threads do not disturb each other, or share one device.
        let at_once = options.n_workers.min(engine.info().documents_at_once.max(1)) as f64;
        let bytes_per_second = at_once * sample.len() as f64 / start.elapsed().as_secs_f64().max(1e-9);
        let n_bytes = n_bytes as f64;
        let n_patches = n_bytes * sink.n_patches as f64 / sample.len() as f64;
        let embeddings = &options.embeddings;
        let row_bytes = match embeddings.dtype {
            EmbeddingDtype::F32 => 4 * embeddings.dims,
            EmbeddingDtype::Bf16 | EmbeddingDtype::F16 => 2 * embeddings.dims,
            EmbeddingDtype::Int8 => embeddings.dims + 4,
        } as f64;
        let rows = match embeddings.embeddings {
            Embeddings::None => 0.0,
            Embeddings::Patch => n_patches,
            Embeddings::Byte => n_patches + n_bytes,
        };
        // The byte itself, its entropy and its prominence; of a patch its length and three signals.
        let output_bytes = 9.0 * n_bytes + (16.0 + LEAF_BYTES) * n_patches + row_bytes * rows;
        Ok(Self { n_patches, output_bytes, seconds: n_bytes / bytes_per_second, bytes_per_second })
    }

    /// In one line.
    pub(crate) fn text(&self) -> String {
        format!(
            "about {:.0} patches, {} of outputs before compression, {} at {}/s (measured on a sample; decoding not counted)",
            self.n_patches,
            bytes(self.output_bytes),
            duration(self.seconds),
            bytes(self.bytes_per_second)
        )
    }
}

fn wanted(embeddings: Embeddings) -> EmbeddingsOf {
    match embeddings {
        Embeddings::None => EmbeddingsOf::Nothing,
        Embeddings::Patch => EmbeddingsOf::Patches,
        Embeddings::Byte => EmbeddingsOf::Bytes,
    }
}

/// With a unit that leaves up to three digits before the point.
fn bytes(n: f64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut value = n;
    for unit in &units[..5] {
        if value < 1000.0 {
            return if *unit == "bytes" { format!("{value:.0} bytes") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} {}", units[5])
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

struct Counter {
    wants: EmbeddingsOf,
    n_patches: u64,
}

impl PatchSink for Counter {
    fn bytes(&mut self, _: &[u8], _: &[f32], _: &[f32], _: &[f32]) -> io::Result<()> {
        Ok(())
    }

    fn patch(&mut self, _: &Patch<'_>) -> io::Result<()> {
        self.n_patches += 1;
        Ok(())
    }

    fn wants_embeddings(&self) -> EmbeddingsOf {
        self.wants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(
            [bytes(12.0), bytes(999.6), bytes(1500.0), bytes(2.5e9)],
            ["12 bytes", "1000 bytes", "1.5 kB", "2.5 GB"]
        );
        assert_eq!([duration(3.2), duration(600.0), duration(9000.0)], ["3 s", "10 min", "2.5 h"]);
    }
}
