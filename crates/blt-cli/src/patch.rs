//! `blt-cli patch`: shows the patches of files and texts.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use blt_core::{EntropyEngine, Modality, Patch};
use blt_ingest::{EmbeddingsOf, Encoding, PatchSink, encode_view};

use crate::Ending;
use crate::args::PatchArgs;
use crate::failure::Failure;
use crate::output::to_stderr;
use crate::render::{Renderer, Segmented};

pub(crate) fn run(args: &PatchArgs) -> Result<Ending, Failure> {
    let model = args.engine.load()?;
    // Bytes on their own are taken for text.
    let encoding = args.patching.encoding(&model.config)?.of(Modality::Text);
    #[cfg(feature = "tokenizers")]
    if encoding.patcher.rule == blt_patcher::Rule::Bpe {
        return Err(Failure::usage("the rule `bpe` needs a tokenizer's segments")
            .hint(Some("use `ingest --rule bpe --text-segments tokens`")));
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    let n_inputs = args.text.len() + args.files.len();
    let mut renderer = Renderer::new(args.format, model.name(), &encoding, n_inputs > 1);
    renderer.begin(&mut out)?;
    let mut n_failed = 0;
    let texts = args.text.iter().map(|text| ("--text".to_owned(), Ok(text.as_bytes().to_vec())));
    let files = args.files.iter().map(|path| (blt_ingest::path_text(path), read(path)));
    for (source, bytes) in texts.chain(files) {
        let segmented = bytes
            .map_err(|error| error.to_string())
            .and_then(|bytes| segment(&*model.engine, &encoding, &source, bytes));
        match segmented {
            Ok(segmented) => renderer.show(&mut out, &segmented)?,
            Err(reason) => {
                n_failed += 1;
                to_stderr(&format!("failed: {source}: {reason}"));
            }
        }
    }
    renderer.end(&mut out)?;
    out.flush()?;
    if n_failed == n_inputs {
        return Err(Failure::usage("none of the inputs could be read"));
    }
    Ok(if n_failed > 0 { Ending::SomeFailed } else { Ending::Complete })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn segment(engine: &dyn EntropyEngine, encoding: &Encoding, source: &str, bytes: Vec<u8>) -> Result<Segmented, String> {
    let mut collected = Collected::default();
    encode_view(engine, encoding, || Ok(&bytes[..]), &[], &mut collected, &AtomicBool::new(false))
        .map_err(|error| error.to_string())?;
    let Collected { entropies, lengths, prominence, patch_entropies } = collected;
    Ok(Segmented { source: source.to_owned(), bytes, entropies, lengths, prominence, patch_entropies })
}

/// The signals of one input, in memory.
#[derive(Default)]
struct Collected {
    entropies: Vec<f32>,
    lengths: Vec<usize>,
    prominence: Vec<f32>,
    patch_entropies: Vec<f32>,
}

impl PatchSink for Collected {
    fn bytes(&mut self, _: &[u8], entropies: &[f32], _: &[f32], _: &[f32]) -> io::Result<()> {
        self.entropies.extend_from_slice(entropies);
        Ok(())
    }

    fn patch(&mut self, patch: &Patch<'_>) -> io::Result<()> {
        self.lengths.push(patch.range.len() as usize);
        self.prominence.push(patch.prominence);
        self.patch_entropies.push(patch.entropy);
        Ok(())
    }

    fn wants_embeddings(&self) -> EmbeddingsOf {
        EmbeddingsOf::Nothing
    }
}
