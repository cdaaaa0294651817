//! An error as the user sees it: one sentence, its causes, and the next step.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a command could not be done.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    cause: Option<Box<dyn Error>>,
    hint: Option<String>,
}

impl Failure {
    /// `what` could not be done because of `cause`.
    pub(crate) fn new(what: impl Into<String>, cause: impl Error + 'static) -> Self {
        Self { what: what.into(), cause: Some(Box::new(cause)), hint: None }
    }

    /// `what` is wrong with what the user asked for.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, hint: None }
    }

    /// Adds the next step, when there is one.
    pub(crate) fn hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    /// Whether the reader of the output has gone away.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        let cause = self.cause.as_deref().and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        let mut cause = self.cause.as_deref();
        while let Some(error) = cause {
            writeln!(f, "  cause: {error}")?;
            cause = error.source();
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// A failure to write the results.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new("cannot write to standard output", error)
    }
}
