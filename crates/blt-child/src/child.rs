//! A program that is read up to a limit and killed at a deadline.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use blt_core::{DecodeError, Limits};

/// So much of what a program says on its standard error is kept, from its begin.
const MAX_COMPLAINT: u64 = 16 << 10;

/// How often it is looked whether the caller still wants the output.
const PATIENCE: Duration = Duration::from_millis(50);

/// When decoding has to be done.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    /// `None` for a time that no clock can show.
    at: Option<Instant>,
    seconds: u64,
}

impl Deadline {
    /// [`Limits::timeout`] from now.
    pub fn new(limits: &Limits) -> Self {
        let seconds = limits.timeout;
        Self { at: Instant::now().checked_add(Duration::from_secs(seconds)), seconds }
    }

    /// Fails when it has passed.
    ///
    /// # Errors
    ///
    /// Fails with [`DecodeError::Timeout`].
    pub fn check(&self) -> Result<(), DecodeError> {
        if self.left().is_zero() { Err(self.error()) } else { Ok(()) }
    }

    /// What [`Deadline::check`] fails with.
    pub fn error(&self) -> DecodeError {
        DecodeError::Timeout(self.seconds)
    }

    /// Time until then, at most a day.
    fn left(&self) -> Duration {
        let day = Duration::from_secs(24 * 3600);
        self.at.map_or(day, |at| at.saturating_duration_since(Instant::now()).min(day))
    }
}

/// What a program printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its standard output, no more of it than was allowed.
    pub bytes: Vec<u8>,
    /// Whether it printed more than that; it was killed then.
    pub is_cut: bool,
    /// The begin of its standard error, with every byte that is not printable ASCII escaped except line feeds.
    pub complaint: String,
    /// Whether it ended by itself and was content.
    pub succeeded: bool,
}

/// Whose signals a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Those of its parent: Ctrl-C in a terminal ends both.
    Parents,
    /// Its own. What becomes of it is its parent's to say, and what it has started ends with it.
    Own,
}

/// Runs `program`, found as the shell finds it, with no standard input, until it ends.
///
/// # Errors
///
/// Fails with [`DecodeError::Program`] when it is not installed, and with [`DecodeError::Timeout`] at the deadline.
pub fn run(
    program: impl AsRef<OsStr>,
    arguments: &[OsString],
    max_bytes: u64,
    deadline: &Deadline,
    group: Group,
) -> Result<Output, DecodeError> {
    run_unless(&AtomicBool::new(false), program, arguments, max_bytes, deadline, group)
}

/// As [`run`], but kills the program soon after `cancelled` is set.
///
/// # Errors
///
/// As [`run`], and fails with [`DecodeError::Cancelled`].
pub fn run_unless(
    cancelled: &AtomicBool,
    program: impl AsRef<OsStr>,
    arguments: &[OsString],
    max_bytes: u64,
    deadline: &Deadline,
    group: Group,
) -> Result<Output, DecodeError> {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    if group == Group::Own {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let child = command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DecodeError::Program(program.display().to_string()),
        _ => DecodeError::Read(error),
    })?;
    let mut child = Running(child, group);
    // A pipe that nobody reads blocks the program, so each has a thread; both end when the program does.
    let complaint = read_up_to(child.0.stderr.take(), MAX_COMPLAINT, Rest::Drained);
    let output = read_up_to(child.0.stdout.take(), max_bytes, Rest::Left);
    let (bytes, is_cut) = wait_for(&output, deadline, cancelled)?;
    if is_cut {
        child.end()?;
    }
    let (complaint, _) = wait_for(&complaint, deadline, cancelled)?;
    let status = child.wait(deadline, cancelled)?;
    Ok(Output { bytes, is_cut, complaint: printable(&complaint), succeeded: status.success() && !is_cut })
}

/// What becomes of output beyond the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It is read and forgotten.
    Drained,
    /// It is not read.
    Left,
}

/// A program that does not outlive this value.
struct Running(Child, Group);

impl Running {
    fn end(&mut self) -> io::Result<ExitStatus> {
        #[cfg(unix)]
        if self.1 == Group::Own && self.0.try_wait()?.is_none() {
            let leader = rustix::process::Pid::from_child(&self.0);
            rustix::process::kill_process_group(leader, rustix::process::Signal::KILL)?;
        }
        self.0.kill()?;
        self.0.wait()
    }

    /// A program may close its outputs and go on; that is not waited for longer than for its output.
    fn wait(&mut self, deadline: &Deadline, cancelled: &AtomicBool) -> Result<ExitStatus, DecodeError> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            go_on(deadline, cancelled)?;
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a program that has already been waited for.
        let _ = self.end();
    }
}

/// The first `limit` bytes of `pipe` and whether there were more, once the pipe ends or the limit is passed.
fn read_up_to(
    pipe: Option<impl Read + Send + 'static>,
    limit: u64,
    rest: Rest,
) -> Receiver<io::Result<(Vec<u8>, bool)>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut pipe = pipe.expect("both outputs are asked for as pipes");
        let mut bytes = Vec::new();
        let result = (&mut pipe).take(limit.saturating_add(1)).read_to_end(&mut bytes).and_then(|_| {
            if rest == Rest::Drained {
                io::copy(&mut pipe, &mut io::sink())?;
            }
            let is_cut = bytes.len() as u64 > limit;
            bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok((bytes, is_cut))
        });
        // The receiver is gone after a timeout; then nobody asks.
        let _ = sender.send(result);
    });
    receiver
}

fn wait_for(
    output: &Receiver<io::Result<(Vec<u8>, bool)>>,
    deadline: &Deadline,
    cancelled: &AtomicBool,
) -> Result<(Vec<u8>, bool), DecodeError> {
    loop {
        match output.recv_timeout(deadline.left().min(PATIENCE)) {
            Ok(result) => return Ok(result?),
            Err(RecvTimeoutError::Timeout) => go_on(deadline, cancelled)?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the thread that reads a program's output has ended").into());
            }
        }
    }
}

/// Fails when a program is not waited for any longer.
fn go_on(deadline: &Deadline, cancelled: &AtomicBool) -> Result<(), DecodeError> {
    if cancelled.load(Ordering::Relaxed) { Err(DecodeError::Cancelled) } else { deadline.check() }
}

fn printable(bytes: &[u8]) -> String {
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii().escape_ascii().to_string());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, max_bytes: u64, timeout: u64) -> Result<Output, DecodeError> {
        let arguments = ["-c", script].map(OsString::from);
        run("sh", &arguments, max_bytes, &Deadline::new(&Limits { timeout, ..Limits::default() }), Group::Own)
    }

    #[test]
    fn output_complaint_and_exit_code_are_kept() {
        let output = shell("printf abc; printf 'no\\001\\n' >&2; exit 3", 10, 10).unwrap();
        let expected = Output { bytes: b"abc".to_vec(), is_cut: false, complaint: "no\\x01".into(), succeeded: false };
        assert_eq!(output, expected);
    }

    #[test]
    fn a_program_that_prints_too_much_is_killed() {
        let output = shell("yes", 10, 10).unwrap();
        assert_eq!((output.bytes.as_slice(), output.is_cut, output.succeeded), (&b"y\ny\ny\ny\ny\n"[..], true, false));
    }

    #[test]
    fn exactly_as_much_as_allowed_is_not_too_much() {
        let output = shell("printf 0123456789", 10, 10).unwrap();
        assert_eq!((output.bytes.len(), output.is_cut, output.succeeded), (10, false, true));
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        let begin = Instant::now();
        assert!(matches!(shell("exec sleep 30", 10, 1), Err(DecodeError::Timeout(1))));
        assert!(matches!(shell("exec >&- 2>&-; exec sleep 30", 10, 1), Err(DecodeError::Timeout(1))));
        assert!(begin.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_program_whose_output_nobody_wants_any_more_is_killed() {
        let cancelled = AtomicBool::new(false);
        let arguments = ["-c", "exec sleep 600"].map(OsString::from);
        let deadline = Deadline::new(&Limits { timeout: 600, ..Limits::default() });
        thread::scope(|scope| {
            let running = scope.spawn(|| run_unless(&cancelled, "sh", &arguments, 10, &deadline, Group::Own));
            cancelled.store(true, Ordering::Relaxed);
            assert!(matches!(running.join().unwrap(), Err(DecodeError::Cancelled)));
        });
    }

    /// The program that it started would write the file after two seconds.
    #[cfg(unix)]
    #[test]
    fn what_a_killed_program_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("written");
        let script = format!("(sleep 2; : > '{}') & sleep 30", file.display());
        assert!(matches!(shell(&script, 10, 1), Err(DecodeError::Timeout(1))));
        thread::sleep(Duration::from_millis(2500));
        assert!(!file.exists());
    }

    #[test]
    fn much_complaining_does_not_block() {
        let output = shell("yes no | head -c 300000 >&2; printf done", 10, 10).unwrap();
        assert_eq!(output.bytes, b"done");
        assert!(output.complaint.len() as u64 <= MAX_COMPLAINT);
    }

    #[test]
    fn an_absent_program_is_named() {
        let error = run("no-such-program", &[], 10, &Deadline::new(&Limits::default()), Group::Own).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program` is needed and was not found");
    }
}
