//! Decoding in a process of its own, with limits on memory and time: whatever a hostile file does there, the run goes on.
//!
//! The program that uses this library starts itself anew with arguments of its choice and calls [`serve`] there. The
//! request is in a file that the last argument names, as JSON; the document goes to standard output in the postcard format.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use blt_child::{Deadline, Group, run_unless};
use blt_core::{DecodeError, Document, Hint, Limits, Modality, SourceReader};
use serde::{Deserialize, Serialize};

use crate::{Modalities, guarded};

/// Which decoders get a process of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Isolate {
    /// All but that for text, if there is a program to start.
    #[default]
    Auto,
    /// All but that for text; without a program to start they fail.
    Always,
    /// None.
    Never,
}

/// How a decoder gets a process of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Which do.
    pub isolate: Isolate,
    /// The program to start and its arguments; it has to call [`serve`] with what the file holds that one more argument names. Without one nothing is isolated.
    pub command: Option<(PathBuf, Vec<String>)>,
    /// The folder for requests and for copies of what has no path; the system's own when it is `None`. What a killed program leaves
    /// there is the caller's to remove.
    pub scratch: Option<PathBuf>,
}

/// What a decoding process is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    modalities: Modalities,
    modality: Modality,
    path: PathBuf,
    format: String,
    media_type: String,
    name: String,
    scratch: PathBuf,
    limits: Limits,
}

/// Document and error, as they go from process to process.
type Answer = Result<Document, Refusal>;

/// A [`DecodeError`] that can be sent.
#[derive(Debug, Serialize, Deserialize)]
enum Refusal {
    Encrypted,
    Program(String),
    Timeout(u64),
    Limit { what: String, found: u64, limit: u64, option: String },
    Told(String),
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Encrypted => Refusal::Encrypted,
            DecodeError::Program(program) => Refusal::Program(program),
            DecodeError::Timeout(seconds) => Refusal::Timeout(seconds),
            DecodeError::Limit { what, found, limit, option } => {
                Refusal::Limit { what: what.into(), found, limit, option: option.into() }
            }
            error => Refusal::Told(blt_core::error_chain(&error)),
        }
    }
}

impl From<Refusal> for DecodeError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Encrypted => DecodeError::Encrypted,
            Refusal::Program(program) => DecodeError::Program(program),
            Refusal::Timeout(seconds) => DecodeError::Timeout(seconds),
            Refusal::Limit { what, found, limit, option } => {
                DecodeError::Limit { what: what.into(), found, limit, option: option.into() }
            }
            Refusal::Told(text) => DecodeError::Told(text),
        }
    }
}

impl Isolation {
    /// Whether sources of this modality are decoded in another process.
    pub(crate) fn applies(&self, modality: Modality) -> bool {
        modality != Modality::Text
            && match self.isolate {
                Isolate::Auto => self.command.is_some(),
                Isolate::Always => true,
                Isolate::Never => false,
            }
    }

    /// What another process makes of `source`.
    pub(crate) fn decode(
        &self,
        modalities: &Modalities,
        modality: Modality,
        source: &mut dyn SourceReader,
        hint: &Hint<'_>,
        limits: &Limits,
        cancelled: &AtomicBool,
    ) -> Result<Document, DecodeError> {
        let Some((program, arguments)) = &self.command else {
            let reason = "there is no program for a decoding process".to_owned();
            return Err(DecodeError::Content { modality, reason });
        };
        // Paths go to the other process as text. What has none that can gets one for as long as it is needed.
        let is_text = |path: &&Path| path.to_str().is_some();
        let scratch = self.scratch.as_deref().filter(is_text).map_or_else(std::env::temp_dir, Path::to_owned);
        let own = hint.path.filter(is_text);
        let copied = if own.is_none() { Some(copy_to_file(source, &scratch)?) } else { None };
        let path = match (&copied, own) {
            (Some(file), _) => file.path(),
            (None, Some(path)) => path,
            (None, None) => return Err(DecodeError::Read(io::Error::other("the source has no path"))),
        };
        let request = Request {
            modalities: Modalities { isolation: Isolation::default(), ..modalities.clone() },
            modality,
            path: path.to_owned(),
            format: hint.format.to_owned(),
            media_type: hint.media_type.to_owned(),
            name: hint.name.to_owned(),
            scratch: scratch.clone(),
            limits: *limits,
        };
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        // A file, as arguments are for all to see and the request may hold passwords.
        let mut request_file = tempfile::NamedTempFile::new_in(&scratch)?;
        serde_json::to_writer(&mut request_file, &request).map_err(io::Error::from)?;
        request_file.flush()?;
        arguments.push(request_file.path().into());
        // The decoder keeps the time itself, as it knows what it is doing; this is for one that does not.
        let deadline = Deadline::new(&Limits { timeout: limits.timeout.saturating_add(5), ..*limits });
        // The views and the units.
        let max_output = limits.max_view_bytes.saturating_mul(2);
        let output = match run_unless(cancelled, program, &arguments, max_output, &deadline, Group::Own) {
            Err(DecodeError::Timeout(_)) => return Err(DecodeError::Timeout(limits.timeout)),
            output => output?,
        };
        let content = |reason: String| DecodeError::Content { modality, reason };
        if output.is_cut {
            return Err(DecodeError::ViewTooLarge { view: "decoded", limit: limits.max_view_bytes });
        }
        if !output.succeeded {
            // Killed by the limits on memory or processor time, or by a fault.
            let last = output.complaint.lines().next_back().unwrap_or("no memory or time left");
            return Err(content(format!("the decoding process broke down: {last}")));
        }
        match postcard::from_bytes::<Answer>(&output.bytes) {
            Ok(answer) => answer.map_err(DecodeError::from),
            Err(error) => Err(content(format!("the decoding process gave no document: {error}"))),
        }
    }
}

fn copy_to_file(source: &mut dyn SourceReader, folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    source.rewind()?;
    io::copy(source, &mut file)?;
    file.flush()?;
    Ok(file)
}

/// The other process: decodes what `request` asks for under limits of memory and time, and writes the answer
/// to `output`.
///
/// # Errors
///
/// Fails when the request cannot be read or the answer not written; decoding errors are an answer.
pub fn serve(request: &str, output: &mut dyn Write) -> io::Result<()> {
    let request: Request = serde_json::from_str(request).map_err(io::Error::from)?;
    confine(&request.limits)?;
    let Request { modalities, modality, path, format, media_type, name, scratch, limits } = request;
    // For copies that decoders make; it can be set once, and this process has one request.
    let _ = tempfile::env::override_temp_dir(&scratch);
    let hint = Hint { format: &format, media_type: &media_type, name: &name, path: Some(&path) };
    let decoded = guarded(modality, || {
        let decoder = modalities
            .decoder(modality)
            .ok_or_else(|| DecodeError::Content { modality, reason: "there is no decoder in this build".to_owned() })?;
        decoder.decode(&mut File::open(&path)?, &hint, &limits)
    });
    let answer: Answer = decoded.map_err(Refusal::from);
    postcard::to_io(&answer, &mut *output).map_err(io::Error::other)?;
    output.flush()
}

/// Limits the memory and the processor time of this process, forbids core dumps, and where that can be had ends it with the
/// process that waits for it.
#[cfg(unix)]
fn confine(limits: &Limits) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let seconds = limits.timeout.saturating_mul(2);
    for (resource, limit) in [(Resource::As, limits.max_memory), (Resource::Cpu, seconds), (Resource::Core, 0)] {
        let allowed = getrlimit(resource).maximum;
        let limit = allowed.map_or(limit, |allowed| limit.min(allowed));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: allowed })?;
    }
    Ok(())
}

/// Elsewhere only time is limited, by the process that waits.
#[cfg(not(unix))]
fn confine(_: &Limits) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What happens to a source must not depend on where it was decoded.
    #[test]
    fn refusals_keep_their_kind_from_process_to_process() {
        let limit = Limits::default().check_pixels(1 << 20, 1 << 20).expect_err("that is too many");
        for error in [limit, DecodeError::Encrypted, DecodeError::Timeout(7), DecodeError::Program("ffmpeg".to_owned())]
        {
            let (debug, told) = (format!("{error:?}"), error.to_string());
            let sent = postcard::to_stdvec(&Refusal::from(error)).expect("refusals can be sent");
            let refusal: Refusal = postcard::from_bytes(&sent).expect("and read");
            let received = DecodeError::from(refusal);
            assert_eq!((format!("{received:?}"), received.to_string()), (debug, told));
        }
    }
}
