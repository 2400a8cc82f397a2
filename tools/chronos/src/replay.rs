//! `chronos replay`.

use crate::page::write_page;
use crate::progress::with_capture_bar;
use crate::session::SessionArguments;
use crate::summary;
use anyhow::Result;
use chronos_session::config::{Config, default_toml};
use chronos_session::wire::{Speed, Transport, WireOptions};
use chronos_session::{ReplayOptions, Replayed, html, replay};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

const CONTROLS_HELP: &str = "Do by hand what this file says, a TOML file of entries in order:

  [[control]]
  at = 5000                     # after so many lines; or a time, as 2024-08-08T23:54:20.5Z: before the next message after it
  do = \"halt\"                 # halt: no new orders; reduce: only smaller positions; resume: lifts either, and what latched

  [[control]]
  at = 9000
  do = \"kill\"                 # no new orders in a part; restore: trade there again
  symbol = \"BTCUSDT\"          # or venue, or both; or strategy = 0

  [[control]]
  at = 12000
  limits = { collar_bps = 20 }  # keys of [risk]; the others stay as they are then

All of it is journaled, so that `--journal` does it again; a file that makes no sense is refused with the line.";

/// Arguments of `chronos replay`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos replay capture.gz --verify
  chronos replay capture.gz --record session/ && chronos replay capture.gz --journal session/journal
  chronos replay day1.gz day2.gz --model models/mine --html report.html
  chronos replay captures/ --model none --json | jq .latency_ns.tick_to_trade
  chronos replay capture.gz --controls controls.toml
  chronos replay capture.gz --over udp --speed 10 --loss 0.001 --reorder 0.01

Files with the same venue and symbols continue each other; different instruments are merged by receive time. Lines are
`<receive time> <message>`, the time in s, ms, us or ns, the message as Binance (spot, USD-M, COIN-M) sent it; gzip, zstd or plain.
A line that cannot be used is counted and told, and never stops the replay.

`--over` sends the capture through sockets on loopback: one thread sends each message at its time, this one receives it by the same
ingress a live session has, and orders leave signed (for an account that does not exist) by a socket to a third that counts them. Of
packet captures the payloads of the datagrams are sent. Receive times of the capture stay the logical time, so without `--loss` and
`--reorder` the digest is that of the replay from the file. Latency is then measured from socket to socket, beside that of the two
crossings alone. Exit status: 0 done, 2 an error.")]
pub(crate) struct Arguments {
    /// Capture files, or folders of them
    #[arg(required_unless_present = "print_config")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    session: SessionArguments,
    /// Folder of a meta model, which judges each order that would open a position; `none` for none [default: none]
    #[arg(long, value_name = "DIR|none")]
    meta: Option<String>,
    /// Run everything on one core, or ingest and trade on one each [default: fused]
    #[arg(long, value_enum)]
    topology: Option<Topology>,
    /// Cores to pin to: one when fused, two different ones (ingest, trade) when split
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    cores: Option<Vec<usize>>,
    /// Run the hot threads under SCHED_FIFO at this priority, 1 to 99 [default: the ordinary scheduler]
    #[arg(long, value_name = "PRIORITY")]
    fifo: Option<u8>,
    /// Keep all memory in RAM
    #[arg(long)]
    lock_memory: bool,
    /// How hot threads wait [default: auto, which spins where there is a core for every thread]
    #[arg(long, value_enum)]
    waiting: Option<Waiting>,
    /// Let a copy of the hot path take so many lines before the first one counts, so that its code is warm [default: 0]
    #[arg(long, value_name = "LINES")]
    warm_up: Option<u64>,
    /// Compare books with every quote at an equal update id
    #[arg(long)]
    verify: bool,
    /// Stop after so many lines
    #[arg(long, value_name = "LINES")]
    limit: Option<u64>,
    /// Play the capture through sockets on loopback: a UDP datagram or a WebSocket message for each
    #[arg(long, value_enum, value_name = "udp|ws")]
    over: Option<Over>,
    /// Times the capture's own pace, or `max` for as fast as it is taken [default: 1]
    #[arg(long, value_name = "X|max", requires = "over", value_parser = speed)]
    speed: Option<Speed>,
    /// Lose this part of the messages, 0 to below 1
    #[arg(long, value_name = "P", requires = "over", default_value_t = 0.0, hide_default_value = true)]
    loss: f64,
    /// Let this part of the messages be overtaken by the next, 0 to below 1
    #[arg(long, value_name = "P", requires = "over", default_value_t = 0.0, hide_default_value = true)]
    reorder: f64,
    /// Send messages in bursts of so many, back to back
    #[arg(long, value_name = "N", requires = "over", default_value_t = 1, hide_default_value = true)]
    burst: u32,
    /// Print the configuration with every default, and stop
    #[arg(long)]
    print_config: bool,
    /// Do by hand what this file says (TOML): `[[control]]` entries with `at`, a number of lines or a time, and either `do` (halt,
    /// reduce, resume, kill, restore) or `limits` (keys of `[risk]`)
    #[arg(long, value_name = "FILE", long_help = CONTROLS_HELP)]
    controls: Option<PathBuf>,
    /// Follow the journal of an earlier session of the same captures: reports, orders to the system, other limits and skipped
    /// ticks come from it, and every order must be the one it holds
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
    /// Record events, orders and reports as Parquet, the journal, and malformed lines to this folder
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Write a self-contained HTML report
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the report as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Topology {
    Fused,
    Split,
}

#[derive(Clone, Copy, ValueEnum)]
enum Waiting {
    Auto,
    Spin,
    Yield,
    Park,
}

#[derive(Clone, Copy, ValueEnum)]
enum Over {
    Udp,
    Ws,
}

/// Reads a speed.
fn speed(text: &str) -> Result<Speed, String> {
    match text {
        "max" => Ok(Speed::Max),
        number => number.parse().map(Speed::Times).map_err(|_| "expected a number above 0, or `max`".into()),
    }
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.print_config {
        print!("{}", default_toml());
        return Ok(());
    }
    let options = ReplayOptions {
        paths: arguments.paths.clone(),
        config: config(arguments)?,
        verify: arguments.verify,
        limit: arguments.limit,
        record: arguments.record.clone(),
        resyncs: Vec::new(),
        by_hand: Vec::new(),
        controls: arguments.controls.clone(),
        over: over(arguments),
        journal: arguments.journal.clone(),
        cold_delay: None,
    };
    let replayed = replay_with_progress(&options)?;
    if let Some(path) = &arguments.html {
        write_html(path, &replayed)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&replayed.report)?);
    } else {
        print!("{}", summary::render(&replayed.report));
        if let Some(path) = &arguments.html {
            println!("report: {}", path.display());
        }
    }
    Ok(())
}

/// Replays with a bar on a terminal.
pub(crate) fn replay_with_progress(options: &ReplayOptions) -> Result<Replayed> {
    Ok(with_capture_bar("lines", |progress| replay(options, progress))?)
}

/// Writes the HTML report of a replay.
pub(crate) fn write_html(path: &std::path::Path, replayed: &Replayed) -> Result<()> {
    write_page(path, &html::render(&replayed.report, &replayed.series, &replayed.latency_curves))
}

/// The sockets to go over, if any.
fn over(arguments: &Arguments) -> Option<WireOptions> {
    let transport = match arguments.over? {
        Over::Udp => Transport::Udp,
        Over::Ws => Transport::WebSocket,
    };
    Some(WireOptions {
        transport,
        speed: arguments.speed.unwrap_or(Speed::Times(1.0)),
        loss: arguments.loss,
        reorder: arguments.reorder,
        burst: arguments.burst,
        seed: arguments.session.seed.unwrap_or(1),
    })
}

/// The configuration file, and over it what the command line says.
fn config(arguments: &Arguments) -> Result<Config> {
    let mut config = arguments.session.config()?;
    if let Some(meta) = &arguments.meta {
        config.model.meta.clone_from(meta);
    }
    if let Some(topology) = arguments.topology {
        config.topology.mode = match topology {
            Topology::Fused => "fused",
            Topology::Split => "split",
        }
        .into();
    }
    if let Some(cores) = &arguments.cores {
        config.topology.cores.clone_from(cores);
    }
    if let Some(priority) = arguments.fifo {
        config.topology.fifo_priority = priority;
    }
    config.topology.lock_memory |= arguments.lock_memory;
    if let Some(waiting) = arguments.waiting {
        config.topology.waiting = match waiting {
            Waiting::Auto => "auto",
            Waiting::Spin => "spin",
            Waiting::Yield => "yield",
            Waiting::Park => "park",
        }
        .into();
    }
    if let Some(lines) = arguments.warm_up {
        config.topology.warm_up_lines = lines;
    }
    config.validate()?;
    Ok(config)
}
