//! Files that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Gives the finished file `partial` its final name: its bytes reach the disk first, then the name changes in one step.
/// Both paths must be on one file system. [`sync_directory`] makes the new name itself last.
///
/// # Errors
///
/// Fails when the file cannot be flushed or renamed.
pub fn publish(partial: &Path, path: &Path) -> io::Result<()> {
    // Flushing needs a handle that may write on some systems.
    OpenOptions::new().append(true).open(partial)?.sync_all()?;
    fs::rename(partial, path)
}

/// Makes renames in `directory` survive a power cut. Systems that cannot flush a directory are let off.
///
/// # Errors
///
/// Fails when the directory cannot be opened or the flush fails.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}
