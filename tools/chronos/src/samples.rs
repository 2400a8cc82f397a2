//! What `chronos label` and `chronos dataset` share: where prices come from, and the recipe of samples.

use crate::bars::told;
use crate::page::write_page;
use crate::progress::bar;
use crate::tables::listing;
use anyhow::{Context, Result, bail};
use chronos_research::bars::{HistoryOptions, TimeColumn, ZeroVolume, is_history, parse_rule, read_history};
use chronos_research::dataset::{
    BarSource, Built, CaptureSource, LabelRule, LookAheadOptions, Recipe, Source, SourceFile, SourceSection, WeightRule, build,
    source_files,
};
use chronos_research::html::{SamplesPage, samples_page};
use chronos_session::config::Config;
use chronos_session::format::count;
use clap::{Args, ValueEnum};
use std::fs;
use std::path::{Path, PathBuf};

/// How a history is read.
#[derive(Args)]
pub(crate) struct HistoryArguments {
    /// What the time column of a history says, where it has no `close_time`: when a bar began, or when it ended
    #[arg(long, value_enum, default_value = "open")]
    time: TimeArgument,
    /// What is done with bars of a history that have no volume
    #[arg(long, value_enum, default_value = "refuse")]
    zero_volume: ZeroVolumeArgument,
}

#[derive(Clone, Copy, ValueEnum)]
enum TimeArgument {
    Open,
    Close,
}

#[derive(Clone, Copy, ValueEnum)]
enum ZeroVolumeArgument {
    Refuse,
    Drop,
}

impl HistoryArguments {
    /// The options for reading, of one symbol at most.
    pub(crate) fn options(&self, symbols: Option<&[String]>) -> Result<HistoryOptions> {
        let symbol = match symbols {
            None | Some([]) => None,
            Some([symbol]) => Some(symbol.clone()),
            Some(_) => bail!("a history is read for one symbol at a time; name one with `--symbols`"),
        };
        let time = match self.time {
            TimeArgument::Open => TimeColumn::Open,
            TimeArgument::Close => TimeColumn::Close,
        };
        let zero_volume = match self.zero_volume {
            ZeroVolumeArgument::Refuse => ZeroVolume::Refuse,
            ZeroVolumeArgument::Drop => ZeroVolume::Drop,
        };
        Ok(HistoryOptions { symbol, time, zero_volume })
    }
}

/// The history among the paths, which must be the only one then.
pub(crate) fn first_history(paths: &[PathBuf]) -> Result<Option<&Path>> {
    for path in paths {
        if is_history(path)? {
            if paths.len() > 1 {
                bail!("{} is a history of bars, which is read alone; name one path", path.display());
            }
            return Ok(Some(path.as_path()));
        }
    }
    Ok(None)
}

/// Where samples come from and how they are made.
#[derive(Args)]
pub(crate) struct SampleArguments {
    /// Captures (files, and folders of files) of one instrument, or one history of bars
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Prices are the closes of such bars, as `chronos bars --rule` takes them [default: a history's own bars; the mid at each
    /// decision tick of captures]
    #[arg(long, value_name = "RULE")]
    bars: Option<String>,
    /// Configuration file; its sections `tick`, `features` and `instruments` are used for captures
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The symbol, where there are several
    #[arg(long, value_name = "SYMBOL", value_delimiter = ',')]
    symbols: Option<Vec<String>>,
    #[command(flatten)]
    history: HistoryArguments,
    /// A recipe to begin with, as the section `recipe` of a manifest has it; the options below change it
    #[arg(long, value_name = "FILE", help_heading = "Recipe")]
    recipe: Option<PathBuf>,
    /// `cusum:2`, where prices moved by so many targets; `every:10`, each tenth price
    #[arg(long, value_name = "RULE", help_heading = "Recipe")]
    events: Option<String>,
    /// Span of the volatility that is the target, the unit of every distance, in prices
    #[arg(long, value_name = "PRICES", help_heading = "Recipe")]
    volatility_span: Option<f64>,
    /// Targets to the profit, without a side to both barriers; 0 for no such barrier
    #[arg(long, value_name = "TARGETS", help_heading = "Recipe")]
    profit: Option<f64>,
    /// Targets to the stop, where there is a side; 0 for no such barrier
    #[arg(long, value_name = "TARGETS", help_heading = "Recipe")]
    stop: Option<f64>,
    /// When time is up: a number of prices, or a time such as 30s, 4h; `none` to wait for the barriers
    #[arg(long, value_name = "PRICES|TIME", help_heading = "Recipe")]
    horizon: Option<String>,
    /// Label events alone whose target is above this return
    #[arg(long, value_name = "RETURN", help_heading = "Recipe")]
    return_min: Option<f64>,
    /// Meta-labels: the bet is the sign of this feature, with a minus before its name the opposite (`--side=-return_5`); `strategy` for
    /// the bets of a replay's strategy without a model
    #[arg(long, value_name = "FEATURE|strategy", help_heading = "Recipe", allow_hyphen_values = true)]
    side: Option<String>,
    /// Bet only where the signal whose sign is the side is at least so large; 0.35 is where the strategy begins by default
    #[arg(long, value_name = "SIGNAL", help_heading = "Recipe")]
    side_min: Option<f64>,
    /// What a label says
    #[arg(long, value_enum, help_heading = "Recipe")]
    label: Option<LabelArgument>,
    /// What weights follow
    #[arg(long, value_enum, help_heading = "Recipe")]
    weight: Option<WeightArgument>,
    /// Factor of the oldest label, 1 for no decay; negative to leave out the oldest share
    #[arg(long, value_name = "FACTOR", help_heading = "Recipe", allow_hyphen_values = true)]
    decay: Option<f64>,
    /// How often the future is cut off to check for look-ahead
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    cuts: u32,
    /// Where it is cut off
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write a self-contained HTML page with plots
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Print what came of it as one JSON object on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum LabelArgument {
    /// The barrier that was touched
    Barrier,
    /// The sign of the return
    Return,
}

#[derive(Clone, Copy, ValueEnum)]
enum WeightArgument {
    /// Average uniqueness
    Uniqueness,
    /// Return attribution
    Return,
    /// Each the same
    Equal,
}

/// Samples, and from what they were made.
pub(crate) struct Samples {
    pub(crate) built: Built,
    pub(crate) source: SourceSection,
    pub(crate) recipe: Recipe,
    pub(crate) seed: u64,
    pub(crate) notices: Vec<String>,
}

impl SampleArguments {
    /// Makes the samples, with a progress bar.
    pub(crate) fn make(&self) -> Result<Samples> {
        let recipe = self.recipe()?;
        let rule = self.bars.as_deref().map(parse_rule).transpose()?;
        let mut notices = Vec::new();
        let (source, kind, files, config_hash): (Box<dyn Source>, &str, Vec<SourceFile>, Option<String>) =
            match first_history(&self.paths)? {
                Some(path) => {
                    let history = read_history(path, &self.history.options(self.symbols.as_deref())?)?;
                    notices.extend(told(&history));
                    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                    let instrument = self.symbols.as_ref().and_then(|symbols| symbols.first()).unwrap_or(&name).clone();
                    let file = SourceFile { name, bytes: history.bytes, sha256: history.sha256 };
                    (Box::new(BarSource { instrument, bars: history.bars, rule }), "history", vec![file], None)
                }
                None => {
                    let mut config = match &self.config {
                        Some(path) => Config::load(path)?,
                        None => Config::default(),
                    };
                    if let Some(symbols) = &self.symbols {
                        config.source.symbols.clone_from(symbols);
                    }
                    let hash = config.hash();
                    let source = CaptureSource { paths: self.paths.clone(), config, rule };
                    (Box::new(source), "capture", source_files(&self.paths)?, Some(hash))
                }
            };
        let bar = bar(0, "{bar:40} {percent} %  {msg}  {eta} left");
        let check = LookAheadOptions { cuts: self.cuts, seed: self.seed };
        let built = build(source.as_ref(), &recipe, check, &mut |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.done);
            bar.set_message(progress.step);
        });
        bar.finish_and_clear();
        let built = built?;
        let instrument = built.observed.instrument.clone();
        let source = SourceSection { kind: kind.to_owned(), instrument, bars: self.bars.clone(), config_hash, files };
        Ok(Samples { built, source, recipe, seed: self.seed, notices })
    }

    /// Writes the page, where one was asked for.
    pub(crate) fn write_page(&self, samples: &Samples, kind: &'static str, with_features: bool) -> Result<()> {
        let Some(path) = &self.html else { return Ok(()) };
        let Samples { built, source, recipe, notices, .. } = samples;
        write_page(path, &samples_page(&SamplesPage { kind, built, source, recipe, with_features, notices }))
    }

    fn recipe(&self) -> Result<Recipe> {
        let mut recipe = match &self.recipe {
            Some(path) => {
                let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                toml::from_str(&text).with_context(|| path.display().to_string())?
            }
            None => Recipe::default(),
        };
        let barrier = |multiple: f64| if multiple == 0.0 { None } else { Some(multiple) };
        if let Some(events) = &self.events {
            recipe.events.clone_from(events);
        }
        if let Some(profit) = self.profit {
            recipe.profit = barrier(profit);
        }
        if let Some(stop) = self.stop {
            recipe.stop = barrier(stop);
        }
        if let Some(horizon) = &self.horizon {
            recipe.horizon = Some(horizon.clone()).filter(|horizon| horizon != "none");
        }
        if self.side.is_some() {
            recipe.side.clone_from(&self.side);
        }
        recipe.side_min = self.side_min.unwrap_or(recipe.side_min);
        recipe.volatility_span = self.volatility_span.unwrap_or(recipe.volatility_span);
        recipe.return_min = self.return_min.unwrap_or(recipe.return_min);
        recipe.decay = self.decay.unwrap_or(recipe.decay);
        recipe.label = match self.label {
            None => recipe.label,
            Some(LabelArgument::Barrier) => LabelRule::Barrier,
            Some(LabelArgument::Return) => LabelRule::Return,
        };
        recipe.weight = match self.weight {
            None => recipe.weight,
            Some(WeightArgument::Uniqueness) => WeightRule::Uniqueness,
            Some(WeightArgument::Return) => WeightRule::Return,
            Some(WeightArgument::Equal) => WeightRule::Equal,
        };
        Ok(recipe)
    }
}

impl Samples {
    /// Prints counts, labels, barriers and what was checked.
    pub(crate) fn print(&self) {
        let Built { dataset, counts, look_ahead, .. } = &self.built;
        let rows = [
            ("prices", counts.prices),
            ("rows of features", counts.feature_rows),
            ("events", counts.events),
            ("  before every feature was known", counts.warming_up),
            ("  without a side", counts.without_side),
            ("  target not above the least return", counts.small),
            ("  not ended by the last price", counts.unfinished),
            ("samples", counts.samples),
        ];
        let row = |(what, number): (&str, u64)| [what.to_owned(), count(number)];
        println!("{}", self.source.instrument);
        print!("{}", listing(["", "Count"], rows.into_iter().map(row), &[1]));
        let share = |number: u64| format!("{:.1} %", 100.0 * number as f64 / counts.samples.max(1) as f64);
        let of = |name: &str, (key, number): (&String, &u64)| [format!("{name} {key}"), count(*number), share(*number)];
        let labels = counts.labels.iter().map(|entry| of("label", entry));
        let barriers = counts.barriers.iter().map(|entry| of("barrier", entry));
        print!("{}", listing(["", "Samples", "Share"], labels.chain(barriers), &[1, 2]));
        println!("mean uniqueness {:.3}", mean_uniqueness(&dataset.uniqueness));
        println!(
            "no look-ahead: the future was cut off {} times, {} rows computed again were the same",
            look_ahead.cuts,
            count(look_ahead.rows)
        );
        for notice in &self.notices {
            println!("note: {notice}");
        }
    }
}

/// Mean of the labels' average uniqueness.
pub(crate) fn mean_uniqueness(uniqueness: &[f64]) -> f64 {
    uniqueness.iter().sum::<f64>() / uniqueness.len().max(1) as f64
}
