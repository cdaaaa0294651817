//! Standard output and standard error.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use crate::Ending;
use crate::failure::Failure;
use crate::render::printable;

/// Writes a whole result to standard output. That its reader has gone away changes nothing.
pub(crate) fn write_all(bytes: &[u8]) -> Result<Ending, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Ending::Complete),
    }
}

/// Writes a line to standard error, without what could move the cursor. When it is closed there is nobody left to tell.
pub(crate) fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text.trim_end_matches('\n').as_bytes()));
}

/// Writes a file whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = std::fs::write(&partial, bytes)
        .and_then(|()| blt_output::publish(Path::new(&partial), path))
        .and_then(|()| blt_output::sync_directory(folder));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial); // what is left of a failure is in nobody's way, but in the user's sight
    }
    written.map_err(|error| Failure::new(format!("cannot write `{}`", path.display()), error))
}

/// Whether results may be coloured: standard output is a terminal and `NO_COLOR` is not set.
pub(crate) fn stdout_has_colour() -> bool {
    io::stdout().is_terminal() && colour_allowed()
}

/// Whether messages may be coloured.
pub(crate) fn stderr_has_colour() -> bool {
    io::stderr().is_terminal() && colour_allowed()
}

fn colour_allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
