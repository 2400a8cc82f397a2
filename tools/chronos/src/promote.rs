//! `chronos promote`.

use anyhow::{Context, Result};
use chronos_research::ledger::Ledger;
use chronos_research::promotion::{Candidate, Evidence, Gate, Verdict, judge};
use chronos_research::validation::{Deflated, Validation};
use chronos_session::model::ModelDirectory;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Arguments of `chronos promote`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Folder of the model: model.onnx, manifest.toml, and the validation.json that `chronos validate` writes
    #[arg(value_name = "MODEL_DIR")]
    model: PathBuf,
    /// Folder of the trial ledger that the validation was appended to
    #[arg(long, value_name = "DIR", default_value = "ledger")]
    ledger: PathBuf,
    /// The probability of backtest overfitting has to be below this
    #[arg(long, value_name = "SHARE", default_value_t = Gate::default().pbo_below)]
    pbo_below: f64,
    /// The probability of the deflated Sharpe ratio has to be above this
    #[arg(long, value_name = "SHARE", default_value_t = Gate::default().dsr_above)]
    dsr_above: f64,
    /// Print the verdict as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command; false where the model was refused.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let gate = Gate { pbo_below: arguments.pbo_below, dsr_above: arguments.dsr_above, ..Gate::default() };
    let mut model = ModelDirectory::open(&arguments.model)?;
    let (validation, validation_sha256) = Validation::read(&arguments.model)?;
    let history = Ledger::in_folder(&arguments.ledger).read()?;
    let earlier: Option<Evidence> = match model.is_promoted() {
        true => Some(model.manifest.evidence.clone().try_into().context("the manifest's [evidence]")?),
        false => None,
    };
    let candidate = Candidate {
        validation: &validation,
        trained_on: &model.manifest.data.sha256,
        promoted_with: earlier.as_ref().map(Evidence::ledger),
    };
    let verdict = judge(&candidate, &history, &gate)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    if let Some(evidence) = verdict.evidence(&validation_sha256, i64::try_from(now.as_nanos())?) {
        model.record_evidence(&evidence)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "model_dir": arguments.model, "verdict": verdict }))?);
    } else {
        print(arguments, &verdict);
    }
    Ok(verdict.is_promoted)
}

fn print(arguments: &Arguments, verdict: &Verdict) {
    println!("{}: best configuration {}", arguments.model.display(), verdict.model);
    let mut sharpes = verdict.annual_path_sharpes.clone();
    sharpes.sort_by(f64::total_cmp);
    if let (Some(lowest), Some(highest)) = (sharpes.first(), sharpes.last()) {
        println!("Sharpe ratio a year over {} paths: {lowest:.2} to {highest:.2}", sharpes.len());
    }
    println!("{} bets, {:.1} a year", verdict.bets, verdict.periods_per_year);
    match verdict.pbo {
        Some(pbo) => println!("PBO {pbo:.3} (below {})", verdict.gate.pbo_below),
        None => println!("PBO n/a"),
    }
    let deflated = |name: &str, deflated: Option<Deflated>| match deflated {
        Some(Deflated { hurdle, z, probability }) => println!(
            "{name} probability {probability:.4}, z {z:.3}, over a hurdle of {:.3} a year",
            hurdle * verdict.periods_per_year.sqrt()
        ),
        None => println!("{name} n/a"),
    };
    deflated(&format!("DSR (above {})", verdict.gate.dsr_above), verdict.deflated);
    deflated("DSR, were all bets independent:", verdict.deflated_plain);
    println!("{} trials in the ledger", verdict.trials.count);
    for reason in &verdict.reasons {
        println!("refused: {reason}");
    }
    if verdict.is_promoted {
        println!("promoted: the evidence stands in the manifest");
    }
}
