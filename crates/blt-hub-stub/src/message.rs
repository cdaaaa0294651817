//! HTTP/1.1 as far as it is needed.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::fault::What;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query, as sent.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The next request of a connection; `None` when the other side has closed it.
    pub(crate) fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let mut head = Vec::new();
        loop {
            let before = head.len();
            if stream.by_ref().take(64 << 10).read_until(b'\n', &mut head)? == 0 {
                return Ok(None);
            }
            if head.len() > 64 << 10 {
                return Err(wrong());
            }
            if head[before..].trim_ascii().is_empty() {
                break;
            }
        }
        let head = String::from_utf8(head).map_err(|_| wrong())?;
        let mut lines = head.lines();
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(wrong()) };
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let mut request = Self { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
        let length: u64 = request.header("content-length").map_or(Ok(0), str::parse).map_err(|_| wrong())?;
        stream.by_ref().take(length.min(16 << 20)).read_to_end(&mut request.body)?;
        Ok(Some(request))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The path, decoded, and the query.
    pub(crate) fn path(&self) -> (String, &str) {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        (decode(path), query)
    }
}

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// The length announced to a HEAD request, which gets no body.
    pub(crate) length: Option<u64>,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn set(&mut self, name: &'static str, value: String) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value));
    }

    /// Sends it, failing as told. Says whether the connection is still good.
    pub(crate) fn write(self, stream: &mut TcpStream, is_head: bool, faults: &[What]) -> io::Result<bool> {
        let mut body = if is_head { Vec::new() } else { self.body };
        let mut announced = self.length.filter(|_| is_head).unwrap_or(body.len() as u64);
        let mut end = body.len();
        for fault in faults {
            match fault {
                What::Truncate(n) => end = end.min(*n),
                What::Lengthen(by) => {
                    announced = announced.saturating_add_signed(*by);
                    body.resize(announced as usize, b'+');
                    end = body.len();
                }
                What::Garble => body.iter_mut().for_each(|byte| *byte ^= 0x55),
                _ => {}
            }
        }
        let mut head = format!("HTTP/1.1 {} Status\r\nContent-Length: {announced}\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        let drip = faults.iter().find_map(|fault| match fault {
            What::Drip(n, pause) => Some((*n, *pause)),
            _ => None,
        });
        match drip {
            None => stream.write_all(&body[..end])?,
            Some((n, pause)) => {
                for piece in body[..end].chunks(n.max(1)) {
                    stream.write_all(piece)?;
                    thread::sleep(pause);
                }
            }
        }
        stream.flush()?;
        Ok(end == body.len())
    }
}

/// Undoes `%XX`.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Does `%XX`.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
