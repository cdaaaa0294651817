//! Faults on demand.

use std::time::Duration;

/// Which of the stub's two ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The hub.
    Hub,
    /// The storage behind it.
    Storage,
}

/// Something that goes wrong with the next requests of a kind.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Where.
    pub port: Port,
    /// What the request's path holds.
    pub path: String,
    /// `GET` or another method; all when empty.
    pub method: String,
    /// So many such requests go well first.
    pub skip: u32,
    /// Then so many go wrong.
    pub times: u32,
    /// How.
    pub what: What,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum What {
    /// Another status, with `Retry-After` in seconds.
    Status(u16, Option<u64>),
    /// The body ends after so many bytes, though more are announced.
    Truncate(usize),
    /// The announced length is wrong by so many bytes; the body is as long as announced.
    Lengthen(i64),
    /// The range asked for is not heeded: everything comes, with status 200.
    IgnoreRange,
    /// The range that comes begins so many bytes later than asked for.
    ShiftRange(u64),
    /// Pieces of so many bytes with a pause after each.
    Drip(usize, Duration),
    /// Another ETag.
    Etag(String),
    /// Another hash of the file behind a redirection.
    LinkedEtag(String),
    /// Right length, wrong bytes.
    Garble,
    /// A redirection, to an address or a path.
    Redirect(String),
    /// The connection is closed without an answer.
    Close,
}

impl Fault {
    /// `what` happens to the next request for a path with `path` in it.
    pub fn once(port: Port, path: &str, what: What) -> Self {
        Self { port, path: path.to_owned(), method: String::new(), skip: 0, times: 1, what }
    }

    /// `what` happens to all of them.
    pub fn always(port: Port, path: &str, what: What) -> Self {
        Self { times: u32::MAX, ..Self::once(port, path, what) }
    }

    /// Only after `skip` of them.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// To `times` of them.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// Whether this request is to fail so; counts it.
    pub(crate) fn strikes(&mut self, port: Port, method: &str, path: &str) -> bool {
        let is_meant = self.port == port
            && path.contains(&self.path)
            && (self.method.is_empty() || self.method == method)
            && self.times > 0;
        if !is_meant {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if self.times != u32::MAX {
            self.times -= 1;
        }
        true
    }
}
