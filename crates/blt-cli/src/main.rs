//! `blt-cli`: segments any bytes into entropy patches. Arguments, printing and exit codes; the work is in the libraries.

mod args;
mod dataset;
mod decoding;
mod doctor;
mod engine;
mod estimate;
mod failure;
mod formats;
mod hub;
mod ingest;
mod inspect;
mod model;
mod models;
mod output;
mod patch;
mod patching;
mod query;
mod render;
mod runs;
mod sphere;
mod stats;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command, ModelCommand, RunsCommand};
use failure::Failure;

/// What a command ended with, short of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Every input was done.
    Complete,
    /// Some inputs failed.
    SomeFailed,
    /// The user stopped it.
    Interrupted,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(&cli);
    let ending = match &cli.command {
        Command::Patch(args) => patch::run(args),
        Command::Ingest(args) => ingest::run(args, cli.quiet),
        Command::Inspect(args) => inspect::run(args),
        Command::Runs(RunsCommand::Status(args)) => runs::status(args),
        Command::Runs(RunsCommand::Verify(args)) => runs::verify(args),
        Command::Runs(RunsCommand::Retry(args)) => runs::retry(args, cli.quiet),
        Command::Formats(args) => formats::run(args),
        Command::Sphere(command) => sphere::run(command, cli.quiet),
        Command::Model(ModelCommand::List(args)) => models::list(args),
        Command::Model(ModelCommand::Pull(args)) => models::pull(args),
        Command::Model(ModelCommand::Info(args)) => model::info(args),
        Command::Model(ModelCommand::Convert(args)) => model::convert(args),
        Command::Model(ModelCommand::Verify(args)) => verify::run(args),
        Command::Model(ModelCommand::Stats(args)) => stats::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "blt-cli", &mut script);
            output::write_all(&script)
        }
        Command::DecodeWorker { request } => {
            let served = std::fs::read_to_string(request)
                .and_then(|request| blt_modalities::serve(&request, &mut std::io::stdout().lock()));
            served.map(|()| Ending::Complete).map_err(|error| Failure::new("cannot decode", error))
        }
        #[cfg(feature = "polars")]
        Command::QueryWorker { request } => query::serve(request),
        Command::Man => {
            let mut program = Cli::command();
            program.build();
            let subcommands: Vec<clap::Command> = program.get_subcommands().cloned().collect();
            let mut page = Vec::new();
            let rendered = std::iter::once(program)
                .chain(subcommands)
                .try_for_each(|command| clap_mangen::Man::new(command).render(&mut page));
            rendered
                .map_err(|error| Failure::new("cannot render the manual page", error))
                .and_then(|()| output::write_all(&page))
        }
    };
    match ending {
        Ok(Ending::Complete) => ExitCode::SUCCESS,
        Ok(Ending::SomeFailed) => ExitCode::from(1),
        Ok(Ending::Interrupted) => ExitCode::from(130),
        // Whoever read the output has seen enough.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            output::to_stderr(&failure.to_string());
            ExitCode::from(2)
        }
    }
}

fn log_to_stderr(cli: &Cli) {
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => tracing::Level::ERROR,
        (false, 0) => tracing::Level::WARN,
        (false, 1) => tracing::Level::INFO,
        (false, _) => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(output::stderr_has_colour())
        .without_time()
        .with_target(false)
        .init();
}
