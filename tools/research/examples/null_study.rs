//! How often the promotion gate errs: 200 markets without a signal, and 200 at each strength of a planted one.
//!
//! `cargo run --release -p chronos-research --example null_study [SEEDS] [BARS] [FIRST_SEED]`

use chronos_research::promotion::study::{Outcome, Search, Truth, run, splitter};
use chronos_research::validation::Splitter;
use std::time::Instant;

/// Correlations of the planted feature with the next bar's return.
const STRENGTHS: [f64; 8] = [0.0, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.40];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let bars: usize = arguments.next().map_or(Ok(3_000), |text| text.parse())?;
    let first: u64 = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let seeds = first..first + seeds;
    let walk = Splitter::WalkForward { train_rows: 300, test_rows: 50, purge_bars: 0, expanding: true };
    println!(
        "{} seeds from {first}, {bars} bars each; z is the Sharpe ratio times the root of the number of bets\n",
        seeds.end - seeds.start
    );
    println!(
        "| market | search | splits | bets | mean z (se) | sd z | PBO mean (se) | PBO < 0.5 | DSR > 0.95 | promoted | promoted, bets as independent |"
    );
    println!("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (splits, splitter) in [("CPCV 8, 2", splitter()), ("walk-forward", walk)] {
        for search in [Search::Mixed, Search::Penalties, Search::Pair] {
            for truth in [Truth::RandomWalk, Truth::ShuffledLabels] {
                let outcomes = outcomes(truth, search, bars, &splitter, seeds.clone())?;
                println!("| {truth:?} | {search:?} | {splits} | {} |", row(&outcomes));
            }
        }
    }
    for search in [Search::Mixed, Search::Penalties] {
        println!("\n{search:?}:\n\n| correlation a bar | with labels | mean annual Sharpe | PBO mean | DSR mean | promoted |");
        println!("| ---: | ---: | ---: | ---: | ---: | ---: |");
        for strength in STRENGTHS {
            let start = Instant::now();
            let outcomes = outcomes(Truth::Signal(strength), search, bars, &splitter(), seeds.clone())?;
            let mean = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
            println!(
                "| {strength:.2} | {:.3} | {:.2} | {:.3} | {:.3} | {:.1} % |",
                mean(&|outcome| outcome.information),
                mean(&|outcome| outcome
                    .verdict
                    .sharpe
                    .map_or(0.0, |sharpe| sharpe.sharpe * outcome.verdict.periods_per_year.sqrt())),
                mean(&|outcome| outcome.verdict.pbo.unwrap_or(1.0)),
                mean(&|outcome| outcome.verdict.deflated.map_or(0.0, |deflated| deflated.probability)),
                100.0 * mean(&|outcome| f64::from(u8::from(outcome.verdict.is_promoted))),
            );
            eprintln!("{:.1} s", start.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

fn outcomes(
    truth: Truth,
    search: Search,
    bars: usize,
    splitter: &Splitter,
    seeds: std::ops::Range<u64>,
) -> Result<Vec<Outcome>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    seeds.map(|seed| Ok(run(truth, search, bars, splitter, seed, &folder.path().join(seed.to_string()))?)).collect()
}

fn row(outcomes: &[Outcome]) -> String {
    let count = outcomes.len() as f64;
    let spread = |values: &[f64]| {
        let mean = values.iter().sum::<f64>() / count;
        let sd = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0)).sqrt();
        (mean, sd)
    };
    let share = |holds: &dyn Fn(&Outcome) -> bool| 100.0 * outcomes.iter().filter(|outcome| holds(outcome)).count() as f64 / count;
    // The mean over configurations and paths: no choice has been made, so nothing but chance moves it.
    let mean_score = |outcome: &Outcome| {
        let scores: Vec<f64> = outcome.scores.iter().flatten().copied().collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    };
    let (mean, sd) = spread(&outcomes.iter().map(mean_score).collect::<Vec<f64>>());
    let (_, sd_of_last) = spread(&outcomes.iter().map(|outcome| outcome.scores[outcome.scores.len() - 2][0]).collect::<Vec<f64>>());
    let (pbo, pbo_sd) = spread(&outcomes.iter().map(|outcome| outcome.verdict.pbo.unwrap_or(1.0)).collect::<Vec<f64>>());
    format!(
        "{:.0} | {mean:.3} ({:.3}) | {sd_of_last:.2} | {pbo:.3} ({:.3}) | {:.1} % | {:.1} % | {:.1} % | {:.1} %",
        outcomes.iter().map(|outcome| outcome.verdict.bets).sum::<usize>() as f64 / count,
        sd / count.sqrt(),
        pbo_sd / count.sqrt(),
        share(&|outcome| outcome.verdict.pbo.is_some_and(|pbo| pbo < 0.5)),
        share(&|outcome| outcome.verdict.deflated.is_some_and(|deflated| deflated.probability > 0.95)),
        share(&|outcome| outcome.verdict.is_promoted),
        share(&|outcome| {
            let is_above = outcome.verdict.deflated_plain.is_some_and(|deflated| deflated.probability > 0.95);
            is_above && outcome.verdict.pbo.is_some_and(|pbo| pbo < 0.5)
        }),
    )
}
