//! The parts of an office document: members of a zip archive.

use std::io::Read;

use blt_core::{DecodeError, Document, Embedded, Limits, SourceReader};
use zip::read::ZipArchive;

use crate::content;

/// An office document's archive, read part by part within the limits.
pub(crate) struct Parts<'a> {
    archive: ZipArchive<&'a mut dyn SourceReader>,
    n_bytes: u64,
    n_inflated: u64,
    limits: &'a Limits,
}

impl<'a> Parts<'a> {
    pub(crate) fn open(source: &'a mut dyn SourceReader, limits: &'a Limits) -> Result<Self, DecodeError> {
        let n_bytes = source.n_bytes()?;
        let archive = ZipArchive::new(source).map_err(content)?;
        limits.check("files inside", archive.len() as u64, limits.max_members, "--max-members")?;
        Ok(Self { archive, n_bytes, n_inflated: 0, limits })
    }

    /// Names of all parts, in the order of the archive.
    pub(crate) fn names(&self) -> Vec<String> {
        self.archive.file_names().filter_map(Result::ok).map(|name| name.into_owned()).collect()
    }

    /// The bytes of a part, `None` if there is none of that name.
    pub(crate) fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>, DecodeError> {
        let Some(index) = self.archive.index_for_name(name) else { return Ok(None) };
        let mut part = self.archive.by_index(index).map_err(|error| content(format!("{name}: {error}")))?;
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            let n = part.read(&mut buffer).map_err(|error| content(format!("{name}: {error}")))?;
            if n == 0 {
                return Ok(Some(bytes));
            }
            self.n_inflated += n as u64;
            self.limits.check_inflated(self.n_inflated, self.n_bytes)?;
            bytes.extend_from_slice(&buffer[..n]);
        }
    }

    /// The text of an XML part, empty if there is none of that name.
    pub(crate) fn read_xml(&mut self, name: &str) -> Result<String, DecodeError> {
        let bytes = self.read(name)?.unwrap_or_default();
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").map(<[u8]>::to_vec).unwrap_or(bytes);
        String::from_utf8(bytes).map_err(|_| content(format!("{name} is not UTF-8")))
    }

    /// Adds the parts whose names `is_wanted` to the files inside `document`. One that cannot be read is a problem.
    pub(crate) fn embed(
        &mut self,
        document: &mut Document,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<(), DecodeError> {
        for name in self.names().into_iter().filter(|name| is_wanted(name) && !name.ends_with('/')) {
            match self.read(&name) {
                Ok(bytes) => {
                    let bytes = bytes.unwrap_or_default();
                    document.embedded.push(Embedded { name: name.into(), origin: None, bytes });
                }
                Err(error @ DecodeError::Limit { .. }) => return Err(error),
                Err(error) => document.problems.push(error.to_string()),
            }
        }
        Ok(())
    }
}
