//! The pipeline on real files, with the tiny reference model.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod encoding;
mod runs;

use std::sync::LazyLock;

use blt_checkpoint::Checkpoint;
use blt_model::{Backend, EntropyModel, FloatType, device};

/// Window 8, width 64, `max_seqlen` 128.
static MODEL: LazyLock<EntropyModel> = LazyLock::new(|| {
    let checkpoint = Checkpoint::open(&blt_testkit::golden_dir().join("model-tiny")).unwrap();
    EntropyModel::load(&checkpoint, &device(Backend::Cpu, 0).unwrap(), FloatType::F32).unwrap()
});
