//! Web archives (ISO 28500, WARC 1.1).

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use blt_core::{ByteRange, DecodeError, Document, Embedded, Limits, Origin, Region, SourceReader, Tiling, View};

/// The longest header that is read.
const MAX_HEADER: u64 = 1 << 20;

/// Records, with their header and block, as units; what was fetched as files inside, without the lines of HTTP before it.
pub(crate) fn read(
    source: &mut dyn SourceReader,
    raw: &mut View,
    document: &mut Document,
    limits: &Limits,
) -> Result<(), DecodeError> {
    let n_bytes = source.n_bytes()?;
    let mut reader = BufReader::with_capacity(1 << 16, source);
    let (mut regions, mut position, mut n_embedded) = (Vec::new(), 0, 0u64);
    while position < n_bytes {
        let start = position;
        let Some(header) = header(&mut reader)? else {
            document.problems.push(format!("what follows byte {start} is no record"));
            break;
        };
        let length = header.field("content-length").and_then(|length| length.parse::<u64>().ok());
        let Some(length) = length else {
            document.problems.push(format!("the record at byte {start} tells no length"));
            break;
        };
        let kind = header.field("warc-type").unwrap_or("record").to_owned();
        let block = start + header.n_bytes;
        let end = block.saturating_add(length);
        if regions.len() >= limits.max_units {
            return Err(DecodeError::TooManyUnits { label: "record", limit: limits.max_units });
        }
        let mut record = Region::new("record", start, header.n_bytes.saturating_add(length)).named(&kind);
        let address = header.field("warc-target-uri").unwrap_or_default();
        record.children =
            vec![Region::new("header", start, header.n_bytes), Region::new("block", block, length).named(address)];
        regions.push(record);
        if matches!(kind.as_str(), "response" | "resource") && end <= n_bytes {
            n_embedded += length;
            limits.check("inflated bytes", n_embedded, limits.max_inflated, "--max-inflated")?;
            limits.check("files inside", document.embedded.len() as u64 + 1, limits.max_members, "--max-members")?;
            let mut content = Vec::new();
            (&mut reader).take(length).read_to_end(&mut content)?;
            let is_http = header.field("content-type").is_some_and(|kind| kind.starts_with("application/http"));
            document.embedded.push(embedded(content, block, is_http, header.field("warc-target-uri"), start));
        } else {
            reader.seek(SeekFrom::Start(end.min(n_bytes)))?;
        }
        // Two line ends follow each record.
        let n_ends = skip_line_ends(&mut reader)?;
        position = end.saturating_add(n_ends);
    }
    let mut tiling = Tiling::default();
    tiling.add(regions, ByteRange::new(0, n_bytes), None, limits)?;
    raw.units = tiling.units;
    document.problems.extend(tiling.problems);
    Ok(())
}

/// Named fields, and their length with the empty line behind them.
struct Header {
    fields: Vec<(String, String)>,
    n_bytes: u64,
}

impl Header {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

/// The header that begins here, `None` if this is none.
fn header(reader: &mut impl BufRead) -> Result<Option<Header>, DecodeError> {
    let mut header = Header { fields: Vec::new(), n_bytes: 0 };
    loop {
        let mut line = Vec::new();
        let n = reader.take(MAX_HEADER.saturating_sub(header.n_bytes)).read_until(b'\n', &mut line)? as u64;
        if n == 0 || header.n_bytes == 0 && !line.starts_with(b"WARC/") {
            return Ok(None);
        }
        header.n_bytes += n;
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(Some(header));
        }
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if let Some((name, value)) = line.split_once(':') {
            header.fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

fn skip_line_ends(reader: &mut impl BufRead) -> Result<u64, DecodeError> {
    let mut n = 0;
    while n < 4 && matches!(reader.fill_buf()?.first(), Some(b'\r' | b'\n')) {
        reader.consume(1);
        n += 1;
    }
    Ok(n)
}

/// The file of a record: behind the lines of HTTP and without its chunks.
fn embedded(content: Vec<u8>, start: u64, is_http: bool, address: Option<&str>, record: u64) -> Embedded {
    let name = match address.and_then(file_of) {
        Some(name) => name.into(),
        None => format!("record at byte {record}").into(),
    };
    let body = if is_http { content.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4) } else { Some(0) };
    let Some(body) = body else {
        let origin = Some(Origin::SourceBytes(ByteRange::new(start, start + content.len() as u64)));
        return Embedded { name, origin, bytes: content };
    };
    let is_chunked = content[..body].split(|&byte| byte == b'\n').any(|line| {
        line.trim_ascii()
            .to_ascii_lowercase()
            .strip_prefix(b"transfer-encoding:")
            .is_some_and(|kind| kind.trim_ascii() == b"chunked")
    });
    if let Some(whole) = is_chunked.then(|| unchunked(&content[body..])).flatten() {
        return Embedded { name, origin: None, bytes: whole };
    }
    let origin = Some(Origin::SourceBytes(ByteRange::new(start + body as u64, start + content.len() as u64)));
    Embedded { name, origin, bytes: content[body..].to_vec() }
}

/// Host and path of an address, without what asks or points. A folder's page is its `index`, as the end of a host's name would
/// else be taken for that of a file's.
fn file_of(address: &str) -> Option<String> {
    let path = address.split_once("://")?.1.split(['?', '#']).next()?;
    Some(match path.split_once('/') {
        None => format!("{path}/index"),
        Some(_) if path.ends_with('/') => format!("{path}index"),
        Some(_) => path.to_owned(),
    })
}

/// The chunks put together (RFC 9112, section 7.1); `None` when they are not chunks after all.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line_end = body.windows(2).position(|end| end == b"\r\n")?;
        let digits = std::str::from_utf8(&body[..line_end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(digits, 16).ok()?;
        let chunk = body.get(line_end + 2..)?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(chunk.get(..size)?);
        body = chunk.get(size..)?.strip_prefix(b"\r\n")?;
    }
}
