//! Other programs as decoders. [`run`] starts a program, reads what it prints up to a limit and kills it at a
//! [`Deadline`]; [`Input`] is a file that such a program may read, and [`ffmpeg()`] and [`ffprobe`] are the two that the
//! sound and film decoders need.
//!
//! ```
//! use std::ffi::OsString;
//!
//! use blt_child::{Deadline, Group, run};
//! use blt_core::Limits;
//!
//! let deadline = Deadline::new(&Limits::default());
//! let output = run("echo", &[OsString::from("hello")], 1 << 10, &deadline, Group::Own)?;
//! assert_eq!(output.bytes, b"hello\n");
//! # Ok::<(), blt_core::DecodeError>(())
//! ```
//!
//! It knows nothing of what the programs print, and sets no memory limit: a child inherits the one of its parent.

mod child;
mod ffmpeg;

pub use child::{Deadline, Group, Output, run, run_unless};
pub use ffmpeg::{Disposition, Format, Input, Probe, RawSound, Stream, ffmpeg, ffprobe, probe, raw_samples};
