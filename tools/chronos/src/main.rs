//! The `chronos` command: arguments and printing only, one file a subcommand.

mod demo;
mod exchange;
mod features;
mod inspect;
mod journal;
mod model;
mod progress;
mod replay;
mod summary;
mod tables;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Replay captures through a low-latency trading pipeline: books, features, a model, orders, risk, fills.
#[derive(Parser)]
#[command(name = "chronos", version, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replay captures: rebuild the market, ask the model, decide, check, fill, and report
    Replay(Box<replay::Arguments>),
    /// Generate a small market, replay it and write a report: what there is to see, in one command
    Demo(demo::Arguments),
    /// Tell what captures hold: format, instruments, spans, counts, gaps, clocks, and what is wrong with them
    Inspect(inspect::Arguments),
    /// Look into the journal of a session: list its records, or tell whether it is whole
    Journal(journal::Arguments),
    /// List the features, or compute those of captures as a table
    Features(features::Arguments),
    /// Make model directories
    Model(model::Arguments),
    /// The simulated exchange
    Exchange(exchange::Arguments),
}

/// tract allocates at every step: with this a step takes a sixteenth less, and its slowest ones much less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Journal(arguments) => match journal::run(&arguments) {
            Ok(is_whole) => return if is_whole { ExitCode::SUCCESS } else { ExitCode::from(1) },
            Err(error) => Err(error),
        },
        Command::Features(arguments) => features::run(&arguments),
        Command::Model(arguments) => model::run(&arguments),
        Command::Exchange(arguments) => exchange::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", explained(&error));
            ExitCode::from(2)
        }
    }
}

/// An error and its causes, each said once.
fn explained(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        _ if text.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}
