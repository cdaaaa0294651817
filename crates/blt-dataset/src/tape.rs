//! Tape archives, read from front to back. Every size and name is checked before anything is made for it.
//!
//! Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar, "Basic Tar Format".

use std::io::{self, Read};

const BLOCK: u64 = 512;

/// Longest name of a member.
pub(crate) const MAX_NAME_BYTES: u64 = 4096;

/// Longest extended header.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;

/// A member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// As the archive has it; only ever compared.
    pub(crate) name: String,
    /// Where its bytes begin in the archive.
    pub(crate) offset: u64,
    pub(crate) n_bytes: u64,
    /// Folders, links and devices are none.
    pub(crate) is_file: bool,
}

/// An archive being read.
pub(crate) struct Tape<R> {
    reader: R,
    position: u64,
    /// Where the member that was told last, and its padding, end.
    next: u64,
}

impl<R: Read> Tape<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, position: 0, next: 0 }
    }

    /// The next member; its bytes come out of [`Tape::data`] before the next call.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let (mut long_name, mut long_size) = (None, None);
        loop {
            self.skip_to(self.next)?;
            let mut header = [0; BLOCK as usize];
            if !self.read_header(&mut header)? {
                return Ok(None);
            }
            let n_bytes = number(&header[124..136])?;
            let flag = header[156];
            let n_bytes =
                if matches!(flag, b'x' | b'g' | b'L' | b'K') { n_bytes } else { long_size.unwrap_or(n_bytes) };
            // What is no file has no bytes, whatever its header says about its size.
            let has_data = !matches!(flag, b'1'..=b'6');
            let offset = self.position;
            let n_data = if has_data { n_bytes } else { 0 };
            let padded = n_data.checked_next_multiple_of(BLOCK).and_then(|n| offset.checked_add(n));
            self.next = padded.ok_or_else(|| bad("a member has an impossible size"))?;
            match flag {
                b'L' => {
                    let name = self.extension(n_bytes, MAX_NAME_BYTES + 1)?;
                    long_name = Some(text(name.split(|&byte| byte == 0).next().unwrap_or_default())?);
                }
                b'x' => {
                    let (name, size) = pax(&self.extension(n_bytes, MAX_EXTENSION_BYTES)?)?;
                    (long_name, long_size) = (name.or(long_name), size.or(long_size));
                }
                b'g' | b'K' => {}
                _ => {
                    let name = match long_name {
                        Some(name) => name,
                        None => ustar_name(&header)?,
                    };
                    let is_file = matches!(flag, 0 | b'0' | b'7') && !name.ends_with('/');
                    return Ok(Some(Member { name, offset, n_bytes: n_data, is_file }));
                }
            }
        }
    }

    /// The bytes of the member that was told last, or what is left of them.
    pub(crate) fn data(&mut self, member: &Member) -> Data<'_, R> {
        let end = member.offset + member.n_bytes;
        Data { tape: self, end }
    }

    /// False at the end: two blocks of zeros, of which one is enough, or no more bytes.
    fn read_header(&mut self, header: &mut [u8; BLOCK as usize]) -> io::Result<bool> {
        let mut n = 0;
        while n < header.len() {
            match self.reader.read(&mut header[n..])? {
                0 if n == 0 => return Ok(false),
                0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within a header")),
                more => n += more,
            }
        }
        self.position += BLOCK;
        if header.iter().all(|&byte| byte == 0) {
            return Ok(false);
        }
        let sum: u64 = header
            .iter()
            .enumerate()
            .map(|(i, &byte)| if (148..156).contains(&i) { 32 } else { u64::from(byte) })
            .sum();
        if number(&header[148..156])? != sum {
            return Err(bad("a header's checksum is wrong"));
        }
        Ok(true)
    }

    fn extension(&mut self, n_bytes: u64, max: u64) -> io::Result<Vec<u8>> {
        if n_bytes > max {
            return Err(bad("a member's name or extended header is longer than any"));
        }
        let mut bytes = vec![0; n_bytes as usize];
        self.reader.read_exact(&mut bytes)?;
        self.position += n_bytes;
        Ok(bytes)
    }

    fn skip_to(&mut self, position: u64) -> io::Result<()> {
        let n = position - self.position;
        let skipped = io::copy(&mut (&mut self.reader).take(n), &mut io::sink())?;
        self.position += skipped;
        // Some writers leave out the padding of the last member.
        if n - skipped >= BLOCK {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within a member"));
        }
        Ok(())
    }
}

/// Bytes of one member. Reading fails when the archive ends before they do.
pub(crate) struct Data<'a, R> {
    tape: &'a mut Tape<R>,
    end: u64,
}

impl<R: Read> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.tape.position);
        let n = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.tape.reader.read(&mut buffer[..n])?;
        if read == 0 && n > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends within a member"));
        }
        self.tape.position += read as u64;
        Ok(read)
    }
}

/// Octal digits, or where the highest bit is set a number of base 256.
fn number(field: &[u8]) -> io::Result<u64> {
    if let Some((first, rest)) = field.split_first()
        && first & 0x80 != 0
    {
        let first = u64::from(first & 0x7f);
        let value = rest.iter().try_fold(first, |value, &byte| value.checked_mul(256)?.checked_add(u64::from(byte)));
        return value.ok_or_else(|| bad("a number in a header is too large"));
    }
    let digits = field.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    let digit = |value: u64, &byte: &u8| matches!(byte, b'0'..=b'7').then(|| value * 8 + u64::from(byte - b'0'));
    digits.iter().try_fold(0, digit).ok_or_else(|| bad("a number in a header is none"))
}

/// A name that has to be UTF-8, as everything it could be compared with is.
fn text(bytes: &[u8]) -> io::Result<String> {
    if bytes.len() as u64 > MAX_NAME_BYTES {
        return Err(bad("a member's name is longer than any"));
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| bad("a member's name is not UTF-8"))
}

fn ustar_name(header: &[u8; BLOCK as usize]) -> io::Result<String> {
    let until_zero = |field: &[u8]| text(field.split(|&byte| byte == 0).next().unwrap_or_default());
    let name = until_zero(&header[..100])?;
    // GNU tar has something else where POSIX has the prefix, and says so by another version.
    let prefix = if &header[257..263] == b"ustar\0" { until_zero(&header[345..500])? } else { String::new() };
    Ok(if prefix.is_empty() { name } else { format!("{prefix}/{name}") })
}

/// `path` and `size` out of records of the form `length key=value\n`.
fn pax(mut records: &[u8]) -> io::Result<(Option<String>, Option<u64>)> {
    let wrong = || bad("an extended header is malformed");
    let (mut path, mut size) = (None, None);
    while !records.is_empty() {
        let space = records.iter().position(|&byte| byte == b' ').ok_or_else(wrong)?;
        let length = std::str::from_utf8(&records[..space]).ok().and_then(|digits| digits.parse::<usize>().ok());
        let record = length.and_then(|length| records.get(space + 1..length)).ok_or_else(wrong)?;
        records = &records[length.unwrap_or_default()..];
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(wrong)?;
        let value = &record[equals + 1..];
        match &record[..equals] {
            b"path" => path = Some(text(value)?),
            b"size" => size = Some(std::str::from_utf8(value).ok().and_then(|n| n.parse().ok()).ok_or_else(wrong)?),
            _ => {}
        }
    }
    Ok((path, size))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            builder.append_data(&mut header, name, *data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn all(bytes: &[u8]) -> io::Result<Vec<(Member, Vec<u8>)>> {
        let mut tape = Tape::new(bytes);
        let mut found = Vec::new();
        while let Some(member) = tape.next()? {
            let mut data = Vec::new();
            tape.data(&member).read_to_end(&mut data)?;
            found.push((member, data));
        }
        Ok(found)
    }

    #[test]
    fn members_come_out_as_they_went_in() {
        let long = format!("{}/x.jpg", "d".repeat(300));
        let bytes = archive(&[("a.txt", b"hello"), (&long, &[7; 1000]), ("empty", b"")]);
        let found = all(&bytes).unwrap();
        assert_eq!(found.iter().map(|(member, _)| member.name.as_str()).collect::<Vec<_>>(), ["a.txt", &long, "empty"]);
        assert_eq!(found[1].1, [7; 1000]);
        for (member, data) in &found {
            assert_eq!(bytes[member.offset as usize..][..member.n_bytes as usize], **data);
        }
    }

    #[test]
    fn impossible_sizes_and_names_are_errors() {
        let mut huge = archive(&[("a", b"x")]);
        huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        fix_checksum(&mut huge);
        assert!(all(&huge).is_err());
        let mut long_name = archive(&[("a", b"x")]);
        (long_name[156], long_name[124]) = (b'L', b'7'); // a name of gigabytes
        fix_checksum(&mut long_name);
        assert!(all(&long_name).unwrap_err().to_string().contains("longer than any"));
    }

    fn fix_checksum(bytes: &mut [u8]) {
        bytes[148..156].fill(b' ');
        let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    proptest! {
        #[test]
        fn any_damage_is_an_error_or_harmless(at in 0_usize..3000, byte: u8) {
            let mut bytes = archive(&[("a.txt", b"hello"), (&"long/".repeat(40), &[7; 600])]);
            let at = at % bytes.len();
            bytes[at] = byte;
            if at < 512 {
                fix_checksum(&mut bytes);
            }
            let _ = all(&bytes);
        }
    }
}
