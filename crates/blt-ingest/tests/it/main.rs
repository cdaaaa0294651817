//! The pipeline on real files, with the tiny reference model.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod datasets;
mod encoding;
mod reduction;
mod runs;
mod shards;

use std::sync::LazyLock;

use blt_checkpoint::Checkpoint;
use blt_cpu::{CpuEngine, CpuOptions, FloatType};

/// Window 8, width 64, `max_seqlen` 128.
static MODEL: LazyLock<CpuEngine> = LazyLock::new(|| {
    let checkpoint = Checkpoint::open(&blt_testkit::golden_dir().join("model-tiny")).unwrap();
    let options = CpuOptions { float: Some(FloatType::F32), ..CpuOptions::default() };
    CpuEngine::load(&checkpoint, &options).unwrap()
});
