//! What decides how a session runs, shared by the commands that run one: the configuration file and the options over it.

use anyhow::Result;
use chronos_session::config::Config;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Options that decide what a session does with its captures.
#[derive(Args)]
pub(crate) struct SessionArguments {
    /// Model folder, `untrained` (made from the seed) or `none` (no inference) [default: untrained]
    #[arg(long, value_name = "DIR|untrained|none")]
    pub(crate) model: Option<String>,
    /// What runs the model [default: auto, which is native where it knows the graph]
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Follow these symbols alone, as the venue writes them [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    symbols: Option<Vec<String>>,
    /// Day in New York of files that name none, as a NASDAQ BinaryFILE: `2019-12-30`
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
    /// Latency of the simulated venue, one way, for orders and for reports, in microseconds [default: 2000]
    #[arg(long, value_name = "US")]
    latency_us: Option<f64>,
    /// Configuration file (TOML); options given here win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed of the untrained model, and of whatever else is drawn at random [default: 1]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    Auto,
    Native,
    Tract,
}

impl SessionArguments {
    /// The configuration file, and over it what the command line says. To be validated once everything is in it.
    pub(crate) fn config(&self) -> Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        if let Some(model) = &self.model {
            config.model.path.clone_from(model);
        }
        if let Some(engine) = self.engine {
            config.model.engine = match engine {
                Engine::Auto => "auto",
                Engine::Native => "native",
                Engine::Tract => "tract",
            }
            .into();
        }
        if let Some(symbols) = &self.symbols {
            config.source.symbols.clone_from(symbols);
        }
        if let Some(date) = &self.date {
            config.source.date.clone_from(date);
        }
        if let Some(latency_us) = self.latency_us {
            config.venue.order_latency_us = latency_us;
            config.venue.report_latency_us = latency_us;
        }
        if let Some(seed) = self.seed {
            config.model.seed = seed;
        }
        Ok(config)
    }
}
