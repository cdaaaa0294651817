//! `blt-cli sphere`: patches on a sphere.

mod args;
mod fill;
mod harmonics;
mod index;
mod ingest;
mod open;
mod placing;
mod query;
mod render;
mod verify;
mod walk;

pub(crate) use args::{SphereCommand, TargetZoneArg};
pub(crate) use fill::after_ingest;

use crate::Ending;
use crate::failure::Failure;

pub(crate) fn run(command: &SphereCommand, quiet: bool) -> Result<Ending, Failure> {
    match command {
        SphereCommand::Fill(args) => fill::run(args, quiet),
        SphereCommand::Index(args) => index::run(args, quiet),
        SphereCommand::Query(args) => query::run(args),
        SphereCommand::Walk(args) => walk::run(args),
        SphereCommand::Harmonics(args) => harmonics::run(args, quiet),
        SphereCommand::Render(args) => render::run(args, quiet),
        SphereCommand::Verify(args) => verify::run(args),
        SphereCommand::Ingest(args) => ingest::run(args, quiet),
    }
}

/// Makes all computation of this process use so many threads; 0 for all that there are.
fn use_threads(n_threads: usize) {
    // Only the first call of a process can set the pool, and there is one a command.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build_global();
}
