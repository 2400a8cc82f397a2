//! `chronos evaluate paper`.

use crate::progress::bar;
use crate::tables::listing;
use anyhow::{Result, bail};
use chronos_training::published::{
    AgainstPersistence, BlocksAlive, Comparison, ComparisonRow, Evaluation, Recipe, Spread, Trained,
};
use clap::Args;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `chronos evaluate paper`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos evaluate paper --data data/cryptomamba --out evaluation/paper
  chronos evaluate paper --data data/cryptomamba --out evaluation/short --models live,gru --seeds 1 --epochs 5

The data are train.csv, val.csv and test.csv of https://github.com/MShahabSepehri/CryptoMamba (MIT), folder data/2018-09-17_2024-09-16_86400.
Models: published (the paper's recipe), live (the same network, trained so that its blocks stay alive), lstm, bilstm, gru.
A run that was stopped goes on where it was; each finished training is a line of runs.jsonl in the folder of --out.")]
pub(crate) struct Arguments {
    /// Folder of train.csv, val.csv and test.csv
    #[arg(long, value_name = "DIR", default_value = "data/cryptomamba")]
    data: PathBuf,
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "evaluation/paper")]
    out: PathBuf,
    /// Trainings of each model, from seed 1
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// Models to train
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "published,live,lstm,bilstm,gru")]
    models: Vec<String>,
    /// Epochs instead of the recipes' own, for a short run
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    epochs: Option<u64>,
    /// Print the table and every training as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut models = Vec::new();
    for name in &arguments.models {
        let Some(model) = Recipe::ALL.into_iter().find(|model| model.name() == name) else {
            bail!("there is no model `{name}`; choose from {}", Recipe::ALL.map(Recipe::name).join(", "));
        };
        if !models.contains(&model) {
            models.push(model);
        }
    }
    let evaluation = Evaluation {
        data: arguments.data.clone(),
        out: arguments.out.clone(),
        seeds: arguments.seeds,
        models,
        epochs: arguments.epochs,
    };
    let began = Instant::now();
    let bar = bar(0, "{bar:40} {pos}/{len} epochs  {msg}  {eta} left");
    let done = evaluation.run(&|| began.elapsed().as_secs_f64(), &mut |progress| {
        bar.set_length(progress.epochs_total);
        bar.set_position(progress.epochs_before + progress.training.epoch);
        bar.set_message(format!("{}, seed {}: {:.1}", progress.model.name(), progress.seed, progress.training.watched));
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    let Some((trained, comparison)) = done? else { return Ok(()) };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "comparison": comparison, "trained": trained }))?);
    } else {
        print(&trained, &comparison);
    }
    Ok(())
}

fn print(trained: &[Trained], comparison: &Comparison) {
    let persistence = comparison.persistence;
    let rows = comparison.models.iter().map(|row| {
        let published = row.published.map_or("-".to_owned(), |errors| format!("{:.1}", errors.rmse));
        [row.model.name().to_owned(), spread(row.rmse, 1), spread(row.mape_percent, 3), spread(row.mae, 1), published]
    });
    let rows = rows.chain([[
        "persistence".to_owned(),
        format!("{:.1}", persistence.rmse),
        format!("{:.3}", persistence.mape_percent),
        format!("{:.1}", persistence.mae),
        "-".to_owned(),
    ]]);
    print!("{}", listing(["Model", "RMSE $", "MAPE %", "MAE $", "Published RMSE"], rows, &[1, 2, 3, 4]));
    let rows = comparison.models.iter().map(|row| {
        let alive = |BlocksAlive { fewest, most, of, .. }| {
            if fewest == most { format!("{most} of {of}") } else { format!("{fewest} to {most} of {of}") }
        };
        [row.model.name().to_owned(), against(row.squared), against(row.absolute), row.blocks.map_or("-".to_owned(), alive)]
    });
    print!("{}", listing(["Beside persistence", "DM squared", "DM absolute", "Blocks alive"], rows, &[1, 2, 3]));
    let seeds = comparison.models.iter().map(|row| row.seeds).max().unwrap_or(0);
    let epochs: u64 = trained.iter().map(|one| one.epochs).sum();
    println!(
        "Test split, {} days; mean and standard deviation of {seeds} seeds, {epochs} epochs in all. DM: Diebold-Mariano statistic against \
         persistence (negative: the model errs less) and its p-value.",
        comparison.samples
    );
    for row in &comparison.models {
        println!("{}: {}.", row.model.name(), verdict(row, comparison));
    }
}

fn verdict(row: &ComparisonRow, comparison: &Comparison) -> String {
    let dead = match row.blocks {
        Some(blocks) if blocks.most == 0 => "; its blocks are dead, it is an affine map".to_owned(),
        Some(blocks) if blocks.dead_seeds > 0 => {
            format!("; with {} of {} seeds all its blocks are dead, it is an affine map", blocks.dead_seeds, row.seeds)
        }
        Some(blocks) if blocks.fewest < blocks.of => "; some of its blocks are dead".to_owned(),
        _ => String::new(),
    };
    format!("{}{dead}", row.verdict(&comparison.persistence))
}

fn spread(spread: Spread, digits: usize) -> String {
    match spread.deviation {
        Some(deviation) => format!("{:.digits$} ± {deviation:.digits$}", spread.mean),
        None => format!("{:.digits$}", spread.mean),
    }
}

fn against(test: Option<AgainstPersistence>) -> String {
    let chance = |p: f64| if p < 0.001 { "p < 0.001".to_owned() } else { format!("p {p:.3}") };
    test.map_or("-".to_owned(), |test| format!("{:+.2} ({})", test.statistic, chance(test.p_value)))
}
