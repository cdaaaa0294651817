//! Rows of datasets as sources.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use blt_core::EntropyEngine;
use blt_dataset::{Dataset, LocalFolder, Plan, PlanOptions, TableOptions, resolve};
use blt_ingest::{DatasetInput, Encoding, Form, IngestOptions, Input, Journal, ShardFormat, Shards, Status};
use blt_output::ShardCompression;
use blt_testkit::files_below;

use crate::MODEL;
use crate::runs::{Folders, ingest};

/// The rows of the folder, planned now.
fn dataset(folder: &Path) -> Input {
    let files = Arc::new(LocalFolder::new(folder));
    let config = resolve(&files.list().unwrap(), "", None).unwrap();
    let plan = Plan::new(&*files, &config, &PlanOptions::default()).unwrap();
    let dataset = Dataset::new(files, plan, config.features, TableOptions::default());
    Input::Dataset(Arc::new(DatasetInput::new("data", dataset, None)))
}

fn two_files(folders: &Folders) {
    folders.write("train-0.jsonl", b"{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
    folders.write("train-1.jsonl", b"{\"text\": \"three\"}\n");
}

fn options(folders: &Folders, input: Input, output: &str) -> IngestOptions {
    IngestOptions::new(vec![input], &folders.output(output), Encoding::global(1.5), MODEL.info().dim)
}

#[test]
fn a_file_that_could_not_be_read_is_forgotten_once_it_could() {
    let folders = Folders::new();
    two_files(&folders);
    for (i, form) in [
        Form::Documents,
        Form::Shards(Shards { format: ShardFormat::WebDataset(ShardCompression::None), sources_per_shard: 2 }),
    ]
    .into_iter()
    .enumerate()
    {
        two_files(&folders);
        let with =
            |input: Input, output: &str| IngestOptions { form, ..options(&folders, input, &format!("{output}-{i}")) };
        assert_eq!(ingest(&with(dataset(&folders.input()), "clean")).n_done, 3);

        let planned = dataset(&folders.input());
        fs::write(folders.input().join("train-1.jsonl"), b"{\"text\": \"another file\"}\n").unwrap();
        let summary = ingest(&with(planned, "healed"));
        assert_eq!((summary.n_done, summary.n_failed), (2, 1));
        let journal = Journal::open_existing(&folders.output(&format!("healed-{i}"))).unwrap();
        let failed = journal.rows().unwrap().into_iter().find(|row| row.status == Status::Failed).unwrap();
        assert!(failed.source.starts_with("data/train-1.jsonl#0"), "{failed:?}");
        drop(journal);

        two_files(&folders);
        // Rows that were never seen are tried again with what failed.
        let retried = IngestOptions { only_failed: true, ..with(dataset(&folders.input()), "healed") };
        let summary = ingest(&retried);
        assert!(summary.n_failed == 0 && summary.n_done > 0, "{summary:?}");
        let (healed, clean) = (folders.output(&format!("healed-{i}")), folders.output(&format!("clean-{i}")));
        assert_eq!(files_below(&healed), files_below(&clean));
    }
}
