//! The patches of all sources in equal shards, once all sources are done: a second pass over their files.

use std::path::Path;

use blt_output::{ShardCount, ShardReceipt, sync_directory, write_equal_shards};

use crate::error::IngestError;
use crate::journal::{Journal, OutputFile};
use crate::options::IngestOptions;
use crate::work::{hex, publish_at, remove_files};

/// Where they lie in the output folder: no source has a name with a folder in it.
const FOLDER: &str = "shards";

/// Cuts the patches of every source that has outputs, in the order of their ids, and publishes the shards, the manifest last.
/// Shards of another number go.
///
/// # Errors
///
/// Fails when an output cannot be read, or a shard not be written.
pub(crate) fn write(
    options: &IngestOptions,
    count: ShardCount,
    journal: &Journal,
    partial: &Path,
) -> Result<(), IngestError> {
    let output = |source| IngestError::Output { path: options.output.join(FOLDER), source };
    let parts = journal.outputs_ending(".safetensors")?;
    let parts: Vec<_> = parts.into_iter().map(|(id, name)| (id, options.output.join(name))).collect();
    if parts.is_empty() {
        return Ok(()); // every source failed, and that was told
    }
    let written = write_equal_shards(&parts, count, partial).map_err(output)?;
    let mut files = Vec::new();
    for ShardReceipt { path, n_bytes, sha256, .. } in
        written.shards.into_iter().chain([written.documents, written.manifest])
    {
        let name = format!("{FOLDER}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        publish_at(&path, &options.output, &name).map_err(output)?;
        files.push(OutputFile { name, n_bytes, sha256: hex(&sha256) });
    }
    let is_of_another_number =
        |file: &OutputFile| file.name.starts_with(FOLDER) && !files.iter().any(|now| now.name == file.name);
    let earlier = journal.output_files()?;
    let gone: Vec<String> = earlier.into_iter().filter(is_of_another_number).map(|file| file.name).collect();
    remove_files(&options.output, &gone);
    sync_directory(&options.output).map_err(output)?;
    journal.record(&[], &files, &gone)
}
