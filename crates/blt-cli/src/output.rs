//! Standard output and standard error.

use std::io::{self, IsTerminal, Write};

use crate::Ending;
use crate::failure::Failure;

/// Writes a whole result to standard output.
pub(crate) fn write_all(bytes: &[u8]) -> Result<Ending, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(Ending::Complete)
}

/// Writes a line to standard error. When that is closed there is nobody left to tell.
pub(crate) fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr(), "{}", text.trim_end_matches('\n'));
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
