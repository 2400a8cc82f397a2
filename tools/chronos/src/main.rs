//! The `chronos` command: arguments and printing only, one file a subcommand.

mod bars;
mod dataset;
mod demo;
mod doctor;
mod evaluate;
#[cfg(feature = "train")]
mod evaluate_paper;
mod evaluate_ticks;
mod exchange;
mod explain;
mod export;
mod features;
mod inspect;
mod journal;
mod label;
mod meta;
mod model;
#[cfg(feature = "train")]
mod model_inspect;
mod page;
mod progress;
mod promote;
#[cfg(not(feature = "train"))]
mod rebuild;
mod replay;
mod samples;
mod scores;
mod session;
mod summary;
mod tables;
#[cfg(feature = "train")]
mod train;
mod validate;

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
    /// Sum trades, or finer bars, up to bars
    Bars(bars::Arguments),
    /// Label events by the triple barrier, and tell what came of them
    Label(label::Arguments),
    /// Make a dataset: features as of each event, labels, weights, checked for look-ahead
    Dataset(dataset::Arguments),
    /// Make model directories
    Model(model::Arguments),
    /// Write a model as ONNX files for other tools: step and window graphs, and how to call them
    Export(export::Arguments),
    /// Train a model of the hot path on captures or a dataset; judged beside baselines, and a trial in the ledger
    #[cfg(feature = "train")]
    Train(Box<train::Arguments>),
    /// Train a model of the hot path on captures or a dataset: needs a build with `--features train`
    #[cfg(not(feature = "train"))]
    Train(rebuild::Arguments),
    /// Judge trained models on other data; and the published model on its own
    Evaluate(evaluate::Arguments),
    /// Try models on a dataset by cross-validation that does not leak; every one goes to the trial ledger
    Validate(validate::Arguments),
    /// Let a validated model trade, or refuse it: probability of overfitting, and Sharpe ratio deflated by every trial
    ///
    /// Exit code 0: promoted, and the evidence stands in the manifest; 1: refused; 2: an error.
    Promote(promote::Arguments),
    /// Train meta models, which judge the bets of a strategy
    Meta(meta::Arguments),
    /// Tell why a meta model says what it says: of every bet of a dataset, or of one order of a replay
    Explain(explain::Arguments),
    /// The simulated exchange
    Exchange(exchange::Arguments),
    /// Look at this host: jitter, and what disturbs a hot thread, with a remedy for each
    Doctor(doctor::Arguments),
}

/// tract allocates at every step: with this a step takes a sixteenth less, and its slowest ones much less.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let done = |result: anyhow::Result<()>| result.map(|()| ExitCode::SUCCESS);
    let result = match Arguments::parse().command {
        Command::Replay(arguments) => done(replay::run(&arguments)),
        Command::Demo(arguments) => done(demo::run(&arguments)),
        Command::Inspect(arguments) => done(inspect::run(&arguments)),
        Command::Model(arguments) => {
            model::run(&arguments).map(|is_written| if is_written { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Journal(arguments) => {
            journal::run(&arguments).map(|is_whole| if is_whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
        Command::Features(arguments) => done(features::run(&arguments)),
        Command::Bars(arguments) => done(bars::run(&arguments)),
        Command::Label(arguments) => done(label::run(&arguments)),
        Command::Dataset(arguments) => done(dataset::run(&arguments)),
        Command::Exchange(arguments) => done(exchange::run(&arguments)),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Export(arguments) => done(export::run(&arguments)),
        Command::Meta(arguments) => done(meta::run(&arguments)),
        Command::Explain(arguments) => done(explain::run(&arguments)),
        #[cfg(feature = "train")]
        Command::Train(arguments) => done(train::run(&arguments)),
        #[cfg(not(feature = "train"))]
        Command::Train(_) => done(rebuild::run("chronos train")),
        Command::Evaluate(arguments) => done(evaluate::run(&arguments)),
        Command::Validate(arguments) => done(validate::run(&arguments)),
        Command::Promote(arguments) => {
            promote::run(&arguments).map(|is_promoted| if is_promoted { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
    };
    match result {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {}", explained(&error));
            ExitCode::from(2)
        }
    }
}

/// Exit code of a command whose output nobody reads any more: what a shell gives for one that SIGPIPE ended.
const NO_READER: i32 = 141;

/// Where whoever reads the output has left, as `head` does, there is nothing more to say and nothing went wrong here. (SIGPIPE itself stays
/// ignored: a socket that breaks must not end a session.)
fn end_quietly_without_a_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        if text.is_some_and(|text| text.starts_with("failed printing to stdout") && text.contains("Broken pipe")) {
            std::process::exit(NO_READER);
        }
        usual(panic);
    }));
}

/// An error and its causes, each said once.
fn explained(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        _ if text.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}
