//! Runs that write embeddings with fewer numbers.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use blt_core::EntropyEngine;
use blt_ingest::{Encoding, IngestError, IngestOptions, Input, Journal, PROJECTION_FILE, Silent, run};
use blt_output::{FitError, Projection};
use blt_testkit::prose;
use safetensors::SafeTensors;

use crate::MODEL;

fn options(input: &Path, output: &Path, dims: usize) -> IngestOptions {
    let dim = MODEL.info().dim;
    let mut options = IngestOptions::new(vec![Input::Path(input.to_owned())], output, Encoding::global(1.5), dim);
    options.embeddings.dims = dims;
    options
}

fn embeddings(file: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = fs::read(file).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("embeddings").unwrap();
    let values = tensor.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    (tensor.shape().to_vec(), values)
}

/// What a run writes is what its own projection makes of the whole embeddings, on any number of threads, and a run that goes
/// on later uses the projection that is there.
#[test]
fn embeddings_are_reduced_by_the_projection_that_is_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let input = scratch.path().join("input");
    fs::create_dir(&input).unwrap();
    for i in 0..5u64 {
        fs::write(input.join(format!("{i}.txt")), prose(800 + 100 * i as usize, i)).unwrap();
    }
    fs::write(input.join("empty"), b"").unwrap();
    let dim = MODEL.info().dim;
    let [whole, reduced, threaded] = ["whole", "reduced", "threaded"].map(|name| scratch.path().join(name));
    let ingest = |options: &IngestOptions| run(&*MODEL, options, &Silent, &AtomicBool::new(false)).unwrap();
    ingest(&options(&input, &whole, dim));
    assert!(!whole.join(PROJECTION_FILE).exists());
    assert_eq!(ingest(&options(&input, &reduced, 3)).n_done, 6);
    ingest(&IngestOptions { n_workers: 3, ..options(&input, &threaded, 3) });

    let projection = Projection::read(&reduced.join(PROJECTION_FILE)).unwrap();
    for name in ["0.txt", "4.txt", "empty"].map(|id| format!("{id}.safetensors")) {
        let ((shape, found), (_, exact)) = (embeddings(&reduced.join(&name)), embeddings(&whole.join(&name)));
        assert_eq!(shape[1], 3);
        let mut expected = Vec::new();
        exact.chunks(dim).for_each(|row| projection.reduce(row, &mut expected));
        assert_eq!(found, expected, "{name}");
    }
    for entry in fs::read_dir(&reduced).unwrap() {
        let name = entry.unwrap().file_name();
        assert_eq!(fs::read(reduced.join(&name)).ok(), fs::read(threaded.join(&name)).ok(), "{name:?}");
    }
    let files = Journal::open_existing(&reduced).unwrap().output_files().unwrap();
    assert!(files.iter().any(|file| file.name == PROJECTION_FILE));

    let before = fs::read(reduced.join(PROJECTION_FILE)).unwrap();
    fs::write(input.join("more.txt"), prose(3000, 9)).unwrap();
    assert_eq!(ingest(&options(&input, &reduced, 3)).n_resumed, 6);
    assert!(fs::read(reduced.join(PROJECTION_FILE)).unwrap() == before);
    // Anew it is another, of what is there now.
    ingest(&IngestOptions { overwrite: true, ..options(&input, &reduced, 3) });
    assert!(fs::read(reduced.join(PROJECTION_FILE)).unwrap() != before);
}

#[test]
fn too_little_to_fit_is_said_before_anything_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let input = scratch.path().join("input");
    fs::write(&input, b"x").unwrap();
    let output = scratch.path().join("out");
    let error = run(&*MODEL, &options(&input, &output, 3), &Silent, &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, IngestError::Projection(FitError::TooFew { n_rows: 1, dims: 3 })), "{error:?}");
    assert!(error.hint().is_some());
}
