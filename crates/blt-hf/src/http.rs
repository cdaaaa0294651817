//! Single requests: bounded in number, without redirections, each failure with its kind.

use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::AutoHeaderValue;
use ureq::http::{HeaderMap, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, BodyReader, Timeout};

use crate::address;
use crate::{HubError, HubOptions};

/// How we introduce ourselves.
pub(crate) const USER_AGENT: &str = concat!("blt-hf/", env!("CARGO_PKG_VERSION"));

/// What is asked for.
pub(crate) struct Ask<'a> {
    pub(crate) url: &'a str,
    /// Bytes of the body that are wanted: first and, unless all from there on, last.
    pub(crate) range: Option<(u64, Option<u64>)>,
    /// The `Authorization` header.
    pub(crate) authorization: Option<String>,
    /// JSON to send; the request is a POST then.
    pub(crate) json: Option<String>,
}

/// An answer whose body is still to be read. It takes one of the connections until it is dropped.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) host: String,
    headers: HeaderMap,
    body: BodyReader<'static>,
    timeout: Duration,
    window: (Instant, u64),
    _slot: Slot,
}

/// Sends requests, only so many at a time.
#[derive(Debug)]
pub(crate) struct Http {
    agent: Agent,
    slots: Arc<Slots>,
    timeout: Duration,
}

impl Http {
    pub(crate) fn new(options: &HubOptions) -> Result<Self, HubError> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &options.certificates {
            let failed = |source| HubError::Cache { path: path.clone(), source };
            let pem = std::fs::read(path).map_err(failed)?;
            let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    _ => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it holds no certificate")));
            }
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(AutoHeaderValue::Provided(Arc::new(USER_AGENT.to_owned())))
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(256 << 10)
            .max_idle_connections_per_host(options.connections.max(1))
            .timeout_resolve(Some(options.timeout))
            .timeout_connect(Some(options.timeout))
            .timeout_per_read(Some(options.timeout))
            .timeout_per_write(Some(options.timeout))
            .timeout_recv_response(Some(options.timeout))
            .tls_config(tls.build())
            .build();
        let slots = Slots { free: Mutex::new(options.connections.max(1)), freed: Condvar::new() };
        Ok(Self { agent: config.new_agent(), slots: Arc::new(slots), timeout: options.timeout })
    }

    /// Sends one request. Any status is an answer.
    pub(crate) fn send(&self, ask: &Ask<'_>) -> Result<Answer, HubError> {
        let slot = Slots::take(&self.slots);
        let host = address::host(ask.url);
        let mut request = Request::builder().uri(ask.url);
        if let Some((first, last)) = ask.range {
            let last = last.map_or_else(String::new, |last| last.to_string());
            request = request.header("Range", format!("bytes={first}-{last}"));
        }
        if let Some(authorization) = &ask.authorization {
            request = request.header("Authorization", authorization);
        }
        // A request that cannot be built has an address that cannot be one.
        let no_address = |_| HubError::Endpoint { endpoint: host.clone() };
        let answer = match &ask.json {
            None => self.agent.run(request.method("GET").body(()).map_err(no_address)?),
            Some(json) => {
                let request = request.method("POST").header("Content-Type", "application/json");
                self.agent.run(request.body(json.as_str()).map_err(no_address)?)
            }
        };
        let answer = answer.map_err(|error| broken(&host, error.into_io()))?;
        let (parts, body) = answer.into_parts();
        Ok(Answer {
            status: parts.status.as_u16(),
            host,
            headers: parts.headers,
            body: Body::into_reader(body),
            timeout: self.timeout,
            window: (Instant::now(), 0),
            _slot: slot,
        })
    }
}

impl Answer {
    /// A header of the answer, when it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A hash in a header, as ETags carry it: in quotes, perhaps marked as weak.
    pub(crate) fn etag(&self, name: &str) -> Option<String> {
        let text = self.header(name)?;
        Some(text.trim().trim_start_matches("W/").trim_matches('"').to_owned())
    }

    /// The length that the answer announces.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// First and last byte and whole length, of a partial answer.
    pub(crate) fn range(&self) -> Option<(u64, u64, u64)> {
        let (range, total) = self.header("content-range")?.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?, total.parse().ok()?))
    }

    /// The pause that the answer asks for, when it says so in seconds.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }

    /// The next piece of the body; 0 bytes at its end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, HubError> {
        let n = self.body.read(buffer).map_err(|error| broken(&self.host, error))?;
        let (start, bytes) = &mut self.window;
        *bytes += n as u64;
        if start.elapsed() > self.timeout {
            // A kilobyte a second is less than any line carries: who sends less sends on purpose, or not at all.
            if (*bytes as f64) < 1024.0 * start.elapsed().as_secs_f64() {
                return Err(HubError::Stalled { host: self.host.clone() });
            }
            (*start, *bytes) = (Instant::now(), 0);
        }
        Ok(n)
    }

    /// The whole body, which may have up to `limit` bytes.
    pub(crate) fn read_all(&mut self, limit: usize) -> Result<Vec<u8>, HubError> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.read(&mut buffer)? {
                0 => return Ok(bytes),
                n if bytes.len() + n > limit => {
                    return Err(HubError::Protocol {
                        host: self.host.clone(),
                        reason: "the answer is too long".into(),
                    });
                }
                n => bytes.extend_from_slice(&buffer[..n]),
            }
        }
    }
}

/// What a broken connection is called.
pub(crate) fn broken(host: &str, source: io::Error) -> HubError {
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    let is_slow = matches!(inner, Some(ureq::Error::Timeout(Timeout::RecvBody | Timeout::PerRead)));
    if is_slow {
        HubError::Stalled { host: host.to_owned() }
    } else {
        HubError::Connection { host: host.to_owned(), source }
    }
}

/// How many more requests may be sent now.
#[derive(Debug)]
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One request's place.
struct Slot(Arc<Slots>);

impl Slots {
    fn lock(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(slots: &Arc<Self>) -> Slot {
        let free = slots.lock();
        let mut free = slots.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Slot(Arc::clone(slots))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *self.0.lock() += 1;
        self.0.freed.notify_one();
    }
}
