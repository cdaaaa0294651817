//! Fetching addresses that a data set names. Nobody vouches for them: they may point into the own network, or at files without end.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::config::{AutoHeaderValue, Config};
use ureq::http::{Request, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use crate::address;
use crate::http::USER_AGENT;

/// Most redirections in a row.
const MAX_REDIRECTS: usize = 5;
/// Attempts before the first byte of the content is there.
const ATTEMPTS: u32 = 3;

/// Which addresses may be fetched, and how much of them.
#[derive(Debug, Clone)]
pub struct UrlPolicy {
    /// Hosts that may be asked: `example.org` is that host alone, `*.example.org` everything below it.
    pub hosts: Vec<String>,
    /// Most bytes of one content.
    pub max_bytes: u64,
    /// Longest time for one content, redirections included.
    pub timeout: Duration,
    /// Lets through hosts of the own machine and network, any port, and no encryption. For tests.
    pub allow_private_hosts: bool,
}

impl UrlPolicy {
    /// These hosts, up to 1 GiB in up to five minutes.
    pub fn new(hosts: Vec<String>) -> Self {
        Self { hosts, max_bytes: 1 << 30, timeout: Duration::from_secs(300), allow_private_hosts: false }
    }

    fn allows(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| match allowed.strip_prefix("*.") {
            Some(domain) => {
                let below = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at));
                below.is_some_and(|(name, end)| name.ends_with('.') && end.eq_ignore_ascii_case(domain))
            }
            None => host.eq_ignore_ascii_case(allowed),
        })
    }
}

/// Why an address was not fetched. Queries of addresses are left out, as they may be secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Not an `https` address without a user and with the usual port.
    #[error("`{url}` is not a plain https address")]
    Address {
        /// The address.
        url: String,
    },
    /// The host is not one of those that may be asked.
    #[error("`{host}` is not among the hosts that may be asked")]
    Host {
        /// The host.
        host: String,
    },
    /// The host's name leads into the own machine or network.
    #[error("`{host}` leads to {address}, which is not public")]
    Private {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// A redirection without a place, or too many of them.
    #[error("`{url}` redirects too often, or nowhere")]
    Redirect {
        /// The address.
        url: String,
    },
    /// A status that is no success.
    #[error("`{url}` gives status {status}")]
    Status {
        /// The address.
        url: String,
        /// The status of the answer.
        status: u16,
    },
    /// More bytes than are allowed.
    #[error("`{url}` has more than {limit} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// How many are allowed.
        limit: u64,
    },
    /// The content ended early.
    #[error("`{url}` ended after {found} of {expected} bytes")]
    Truncated {
        /// The address.
        url: String,
        /// Bytes that came.
        found: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// Not done in the time allowed.
    #[error("`{url}` took longer than {} s", limit.as_secs())]
    Timeout {
        /// The address.
        url: String,
        /// The time allowed.
        limit: Duration,
    },
    /// The host cannot be reached, or the connection broke.
    #[error("no connection to `{host}`")]
    Connection {
        /// The host.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The content could not be written.
    #[error("cannot write what was fetched")]
    Write {
        /// What the system said.
        source: io::Error,
    },
}

impl UrlError {
    /// The next step for the user, when it is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Host { .. } => Some("name the host with `--allow-url-host` if it may be asked"),
            Self::TooLarge { .. } => Some("raise the limit if the content is wanted"),
            _ => None,
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Status { status: 408 | 429 | 500..=599, .. })
    }
}

/// For readers that speak `std::io`; the error is inside. What is gone is not found.
impl From<UrlError> for io::Error {
    fn from(error: UrlError) -> Self {
        let kind = match error {
            UrlError::Status { status: 404 | 410, .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Number of bytes.
    pub n_bytes: u64,
    /// What the host says it is.
    pub media_type: Option<String>,
}

/// Fetches addresses as a policy allows. It uses no proxy, which would look up names itself, and sends no token.
#[derive(Debug)]
pub struct UrlFetcher {
    policy: UrlPolicy,
    agent: Agent,
}

impl UrlFetcher {
    /// Fetches as `policy` allows.
    pub fn new(policy: UrlPolicy) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .https_only(!policy.allow_private_hosts)
            .proxy(None)
            .user_agent(AutoHeaderValue::Provided(Arc::new(USER_AGENT.to_owned())))
            .accept_encoding(AutoHeaderValue::None)
            .max_response_header_size(64 << 10)
            .build();
        let resolver = PublicOnly { allow_private_hosts: policy.allow_private_hosts };
        let agent = Agent::with_parts(config, DefaultConnector::default(), resolver);
        Self { policy, agent }
    }

    /// Writes the content at `url` to `sink`. After an error `sink` may hold a part of it.
    ///
    /// # Errors
    ///
    /// Fails when the policy forbids it, the content cannot be had, or `sink` fails.
    pub fn fetch(&self, url: &str, sink: &mut dyn Write) -> Result<Fetched, UrlError> {
        let deadline = Instant::now() + self.policy.timeout;
        let mut failures = 0;
        let (url, media_type, mut body) = loop {
            match self.open(url, deadline) {
                Ok(answer) => break answer,
                Err(error) => {
                    failures += 1;
                    let pause = Duration::from_millis(500) * failures;
                    if !error.is_transient() || failures >= ATTEMPTS || Instant::now() + pause >= deadline {
                        return Err(error);
                    }
                    std::thread::sleep(pause);
                }
            }
        };
        let limit = self.policy.max_bytes;
        let expected = body.content_length();
        if expected.is_some_and(|expected| expected > limit) {
            return Err(UrlError::TooLarge { url: shown(&url), limit });
        }
        let mut reader = body.as_reader();
        let mut buffer = vec![0; 64 << 10];
        let mut n_bytes = 0;
        loop {
            let n = reader.read(&mut buffer).map_err(|error| self.broken(&url, ureq::Error::from(error)))?;
            if n == 0 {
                break;
            }
            n_bytes += n as u64;
            if n_bytes > limit {
                return Err(UrlError::TooLarge { url: shown(&url), limit });
            }
            sink.write_all(&buffer[..n]).map_err(|source| UrlError::Write { source })?;
        }
        match expected {
            Some(expected) if expected != n_bytes => {
                Err(UrlError::Truncated { url: shown(&url), found: n_bytes, expected })
            }
            _ => Ok(Fetched { n_bytes, media_type }),
        }
    }

    /// Follows redirections to the content. Each place is checked as the first was.
    fn open(&self, url: &str, deadline: Instant) -> Result<(String, Option<String>, Body), UrlError> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            self.check(&url)?;
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let wrong = |_| UrlError::Address { url: shown(&url) };
            let request = Request::get(&url).body(()).map_err(wrong)?;
            let request = self.agent.configure_request(request).timeout_global(Some(left)).build();
            let answer = self.agent.run(request).map_err(|error| self.broken(&url, error))?;
            let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
            match answer.status().as_u16() {
                200 => {
                    let media_type = header("content-type").map(str::to_owned);
                    return Ok((url, media_type, answer.into_body()));
                }
                301 | 302 | 303 | 307 | 308 => {
                    let next = header("location").and_then(|location| address::join(&url, location));
                    url = next.ok_or_else(|| UrlError::Redirect { url: shown(&url) })?;
                }
                status => return Err(UrlError::Status { url: shown(&url), status }),
            }
        }
        Err(UrlError::Redirect { url: shown(&url) })
    }

    /// Whether the policy allows to ask for `url`. The address of its host is checked only when it is looked up.
    ///
    /// # Errors
    ///
    /// Fails with [`UrlError::Address`] or [`UrlError::Host`] when the policy forbids it.
    pub fn check(&self, url: &str) -> Result<(), UrlError> {
        let origin = address::origin(url).ok_or_else(|| UrlError::Address { url: shown(url) })?;
        let is_plain = origin.is_https && origin.port == 443;
        if !is_plain && !self.policy.allow_private_hosts {
            return Err(UrlError::Address { url: shown(url) });
        }
        let host = origin.host.trim_end_matches('.');
        if self.policy.allows(host) { Ok(()) } else { Err(UrlError::Host { host: host.to_owned() }) }
    }

    fn broken(&self, url: &str, error: ureq::Error) -> UrlError {
        let host = address::host(url);
        match error {
            ureq::Error::Timeout(_) => UrlError::Timeout { url: shown(url), limit: self.policy.timeout },
            ureq::Error::Other(cause) => match cause.downcast::<PrivateAddress>() {
                Ok(private) => UrlError::Private { host, address: private.0 },
                Err(cause) => UrlError::Connection { host, source: io::Error::other(cause) },
            },
            error => UrlError::Connection { host, source: error.into_io() },
        }
    }
}

/// An address for messages: no query, no user, not without end, nothing that moves a cursor.
fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let plain = match (plain.split_once("://"), plain.find('@')) {
        (Some((scheme, rest)), Some(_)) => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default()),
        _ => plain.to_owned(),
    };
    plain.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).take(200).collect()
}

/// Looks up names, and refuses those that lead elsewhere than into the public network. The connection is made to the very
/// addresses that were checked.
#[derive(Debug)]
struct PublicOnly {
    allow_private_hosts: bool,
}

impl Resolver for PublicOnly {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let addresses = DefaultResolver::default().resolve(uri, config, timeout)?;
        let private = addresses.iter().map(|address| address.ip()).find(|address| !is_public(*address));
        match private {
            Some(address) if !self.allow_private_hosts => Err(ureq::Error::Other(Box::new(PrivateAddress(address)))),
            _ => Ok(addresses),
        }
    }
}

/// An address that is refused.
#[derive(Debug)]
struct PrivateAddress(IpAddr);

impl fmt::Display for PrivateAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not public", self.0)
    }
}

impl std::error::Error for PrivateAddress {}

/// Whether an address is one of the public network, by IANA's registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match (embedded(address), address.segments()) {
            (Some(inside), _) => is_public_v4(inside),
            // Global unicast but for what is reserved in it: protocol assignments with Teredo, documentation.
            (None, [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..]) => false,
            (None, [first, ..]) => first >> 13 == 1,
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127, ..]
            | [100, 64..=127, ..]
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _]
            | [192, 168, ..]
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
            | [224..=255, ..]
    )
}

/// The version 4 address inside a version 6 one: mapped, translated, or 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for public in
            ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1", "2a00::1", "::ffff:8.8.8.8", "2002:808:808::"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "192.0.0.192",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
            "fec0::1",
            "3fff::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn hosts_are_allowed_by_whole_labels() {
        let policy = UrlPolicy::new(vec!["example.org".to_owned(), "*.example.net".to_owned()]);
        for host in ["example.org", "EXAMPLE.org", "a.example.net", "a.b.Example.net"] {
            assert!(policy.allows(host), "{host}");
        }
        for host in
            ["a.example.org", "example.net", "evilexample.net", "example.net.evil.org", "", ".", "ü.example.org"]
        {
            assert!(!policy.allows(host), "{host}");
        }
    }

    #[test]
    fn messages_hold_no_secrets() {
        assert_eq!(shown("https://me:word@h/p\n?token=x#y"), "https://h/p\u{fffd}");
        assert_eq!(shown(&format!("https://h/{}", "x".repeat(1000))).len(), 200);
    }
}
