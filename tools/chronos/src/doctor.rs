//! `chronos doctor`.

use crate::page::write_page;
use crate::tables::{listing, printable};
use anyhow::{Result, bail};
use chronos_session::doctor::{Diagnosis, Finding, Host, Level, diagnose};
use chronos_session::format::duration_ns;
use chronos_session::html::render_diagnosis;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Longest measurement, in seconds.
const SECONDS_MAX: f64 = 3_600.0;

/// Arguments of `chronos doctor`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos doctor
  chronos doctor --core 3 --seconds 60
  chronos doctor --core 3 --seconds 60 --html doctor.html
  chronos doctor --json --strict > doctor.json

Only reads and measures; nothing of the host is changed. The score is 0 to 100: of the weights of all that could be read, the part that
is well (ok counts whole, warn half, bad not at all). Exit status: 0 done, 1 something is bad and --strict was given, 2 an error.")]
pub(crate) struct Arguments {
    /// Measure jitter for so long; 0 does not measure
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    seconds: f64,
    /// The core a hot thread would have [default: the first isolated one, or the last this process may use]
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Fail where anything is bad
    #[arg(long)]
    strict: bool,
    /// Read a copy of /proc and /sys below this folder, and measure nothing
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Write a self-contained HTML page, the histogram of the gaps among it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the diagnosis as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if !(0.0..=SECONDS_MAX).contains(&arguments.seconds) {
        bail!("--seconds must be 0 to {SECONDS_MAX}");
    }
    if !arguments.root.is_dir() {
        bail!("--root {}: there is no such folder", arguments.root.display());
    }
    let diagnosis = diagnose(&Host::new(&arguments.root), arguments.core, arguments.seconds)?;
    if let Some(path) = &arguments.html {
        write_page(path, &render_diagnosis(&diagnosis))?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&diagnosis)?);
    } else {
        print!("{}", printable(&render(&diagnosis)));
        if let Some(path) = &arguments.html {
            println!("page: {}", path.display());
        }
    }
    let is_bad = diagnosis.count(Level::Bad) > 0;
    Ok(ExitCode::from(u8::from(arguments.strict && is_bad)))
}

fn render(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    if let Some(jitter) = &diagnosis.jitter {
        let row = |gap: &chronos_session::doctor::GapCount| {
            [duration_ns(1_000 * gap.over_us), gap.count.to_string(), format!("{:.1}", gap.per_second)]
        };
        text.push_str(&listing(["Gaps from", "Count", "A second"], jitter.gaps.iter().map(row), &[1, 2]));
        text.push_str(&format!("core {}, {:.1} s, longest gap {}\n\n", jitter.core, jitter.seconds, duration_ns(jitter.max_ns)));
    }
    let row = |finding: &Finding| {
        let told = match finding.remedy.as_str() {
            "" => finding.observed.clone(),
            remedy => format!("{}. Remedy: {remedy}; tuning.md, \"{}\"", finding.observed, finding.section),
        };
        [finding.level.name().to_owned(), finding.weight.to_string(), finding.id.replace('_', " "), told]
    };
    text.push_str(&listing(["Level", "Weight", "What", "Found"], diagnosis.worst_first().into_iter().map(row), &[1]));
    let count = |level| diagnosis.count(level);
    text.push_str(&format!(
        "score {} of 100 for core {} ({}): {} ok, {} warn, {} bad, {} unknown\n",
        diagnosis.score.map_or("unknown".to_owned(), |score| score.to_string()),
        diagnosis.core,
        diagnosis.core_choice,
        count(Level::Ok),
        count(Level::Warn),
        count(Level::Bad),
        count(Level::Unknown)
    ));
    text
}
