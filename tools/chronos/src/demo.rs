//! `chronos demo`.

use crate::replay::{replay_with_progress, write_html};
use crate::{exchange, summary};
use anyhow::{Context, Result};
use chronos_exchange::GeneratorConfig;
use chronos_session::ReplayOptions;
use chronos_session::config::Config;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `chronos demo`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder for the capture and the report
    #[arg(long, value_name = "DIR", default_value = "chronos-demo")]
    out: PathBuf,
    /// Seed of the market and of the untrained model
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of the session in seconds
    #[arg(long, default_value_t = 120)]
    seconds: u32,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let out = &arguments.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let (capture, report) = (out.join("session.gz"), out.join("report.html"));
    println!("1. A simulated exchange trades for {} seconds and is captured as Binance USD-M would send it.", arguments.seconds);
    let generator = GeneratorConfig { seed: arguments.seed, seconds: arguments.seconds, ..GeneratorConfig::default() };
    exchange::generate_with_progress(&generator, &capture)?;
    println!("2. The capture is replayed through the whole pipeline, with an untrained model.\n");
    let mut config = Config::default();
    config.model.seed = arguments.seed;
    let options = ReplayOptions { paths: vec![capture.clone()], config, verify: true, ..ReplayOptions::default() };
    let replayed = replay_with_progress(&options)?;
    print!("{}", summary::render(&replayed.report));
    write_html(&report, &replayed)?;
    println!("\ncapture: {}\nreport:  {}", capture.display(), report.display());
    println!("again, with options of your own: chronos replay {} --help", capture.display());
    Ok(())
}
