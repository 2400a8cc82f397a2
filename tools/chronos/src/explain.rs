//! `chronos explain`.

use crate::page::write_page;
use crate::progress::with_capture_bar;
use crate::session::SessionArguments;
use crate::tables::listing;
use anyhow::{Result, bail};
use chronos_research::dataset::read_dataset;
use chronos_research::html::{ExplanationPage, explanation_page};
use chronos_research::meta::{
    ExplanationOptions, FeatureAttribution, MetaExplanation, OrderExplanation, explain_dataset, explain_order, training_report,
};
use chronos_research::trees::FeatureContribution;
use chronos_session::format::{clock_utc, count, date_utc, decimal};
use chronos_session::meta::MetaDirectory;
use chronos_session::order::{FindOrder, FoundOrder, find_order, parse_order_id};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Arguments of `chronos explain`.
#[derive(Args)]
#[command(after_help = "Examples:
  chronos exchange generate --seed 7 --seconds 300 --out market.gz
  chronos dataset market.gz --events every:5 --side strategy --horizon 2s --out data/bets
  chronos meta train data/bets --threshold 0.5 --out models/meta
  chronos explain models/meta data/bets --html explanation.html
  chronos explain models/meta data/bets --top 3 --json
  chronos replay market.gz --model none --meta models/meta --record session
  chronos explain models/meta market.gz --model none --order 1-1 --journal session

Contributions are exact path-dependent TreeSHAP values of the margin, the log odds before calibration: with the expected margin they add up to
it, and the difference is printed.

With `--order` the paths are captures, and they are replayed up to that order: a replay is a function of its input, so with the options of
the replay the order is from, its decision is had again to the bit; with `--journal` that is checked. The probability is computed anew and
compared with the one the hot path sized the order by.")]
pub(crate) struct Arguments {
    /// Folder of the meta model
    #[arg(value_name = "MODEL_DIR")]
    model_dir: PathBuf,
    /// Dataset that `chronos dataset` wrote; with --order captures: files, and folders of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Explain this order of the replay of captures, as journal and records name it: `1-17`
    #[arg(long, value_name = "ID")]
    order: Option<String>,
    /// Journal of the session the order is from: captures, configuration and models are compared with it, and every record up to the order
    #[arg(long, value_name = "PATH", requires = "order")]
    journal: Option<PathBuf>,
    /// Features told
    #[arg(long, value_name = "COUNT", default_value_t = 12)]
    top: usize,
    /// Most bets told one by one, evenly spaced over the dataset
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    bets: usize,
    /// Shuffles of each feature for its permutation importance
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    repeats: usize,
    #[command(flatten)]
    session: SessionArguments,
    /// Write a self-contained HTML page: a beeswarm of contributions, reliability, tables
    #[arg(long, value_name = "FILE", conflicts_with = "order")]
    html: Option<PathBuf>,
    /// Print the explanation as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let meta = MetaDirectory::open(&arguments.model_dir)?;
    match &arguments.order {
        Some(order) => explain_one(arguments, &meta, order),
        None => explain_all(arguments, &meta),
    }
}

fn explain_all(arguments: &Arguments, meta: &MetaDirectory) -> Result<()> {
    let [dataset] = arguments.paths.as_slice() else {
        bail!("{} paths: name one dataset, or an order with `--order` to explain it from captures", arguments.paths.len());
    };
    let (dataset, manifest) = read_dataset(dataset)?;
    let options = ExplanationOptions {
        bets_max: arguments.bets,
        top: arguments.top,
        repeats: arguments.repeats,
        seed: arguments.session.seed.unwrap_or(1),
    };
    let explanation = explain_dataset(meta, &dataset, &manifest, &options)?;
    if let Some(path) = &arguments.html {
        let model = arguments.model_dir.display().to_string();
        let training = training_report(&arguments.model_dir);
        write_page(
            path,
            &explanation_page(&ExplanationPage { model: &model, explanation: &explanation, training: training.as_ref() }),
        )?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&json!({ "meta_dir": arguments.model_dir, "explanation": explanation }))?);
        return Ok(());
    }
    print_all(arguments, &explanation);
    if let Some(path) = &arguments.html {
        println!("page: {}", path.display());
    }
    Ok(())
}

fn print_all(arguments: &Arguments, explanation: &MetaExplanation) {
    println!(
        "{}, {} bets, of whose weight {} % paid; the margin expected of a bet is {}",
        explanation.instrument,
        count(explanation.bets as u64),
        decimal(100.0 * explanation.base_rate, 1),
        decimal(explanation.expected_margin, 4)
    );
    let row = |feature: &FeatureAttribution| {
        [
            feature.name.clone(),
            decimal(feature.mean_contribution, 4),
            format!("{} %", decimal(100.0 * feature.share, 1)),
            format!("{} ± {}", decimal(feature.permutation_mean, 5), decimal(feature.permutation_std, 5)),
        ]
    };
    let head = ["Feature", "Mean |SHAP|", "Share", "Log-loss when shuffled"];
    print!("{}", listing(head, explanation.features.iter().take(arguments.top).map(row), &[1, 2, 3]));
    if explanation.features.len() > arguments.top {
        println!("and {} more; `--top` shows them", explanation.features.len() - arguments.top);
    }
    let told = &explanation.explained;
    let surest = told.iter().max_by(|one, two| one.probability.total_cmp(&two.probability));
    let least = told.iter().min_by(|one, two| one.probability.total_cmp(&two.probability));
    for (what, bet) in [("likeliest", surest), ("unlikeliest", least)] {
        let Some(bet) = bet else { continue };
        println!(
            "{what} of the {} told: row {}, probability {}, {}",
            count(told.len() as u64),
            bet.row,
            decimal(bet.probability, 4),
            if bet.paid { "paid" } else { "did not pay" }
        );
        print_contributions(&bet.top);
    }
    println!(
        "log-loss {}, that of the base rate {}; AUC {}, Brier {}, calibration error {}",
        decimal(explanation.calibrated.log_loss, 4),
        decimal(explanation.base.log_loss, 4),
        decimal(explanation.calibrated.auc, 4),
        decimal(explanation.calibrated.brier, 4),
        decimal(explanation.calibrated.calibration_error, 4)
    );
    if explanation.is_training_data {
        println!("note: the model was trained on these bets; what it is worth on others stands in its training.json");
    }
    println!(
        "additivity: expected margin and contributions differ from the margin by at most {:.1e}",
        explanation.additivity_error
    );
}

fn print_contributions(contributions: &[FeatureContribution]) {
    let row = |one: &FeatureContribution| [one.name.clone(), decimal(one.value, 5), format!("{:+.4}", one.contribution)];
    print!("{}", listing(["Feature", "Value", "Contribution"], contributions.iter().map(row), &[1, 2]));
}

fn explain_one(arguments: &Arguments, meta: &MetaDirectory, order: &str) -> Result<()> {
    let id = parse_order_id(order)?;
    let config = arguments.session.config()?;
    let journal = arguments.journal.as_deref();
    let find = FindOrder { id, paths: &arguments.paths, config: &config, meta, journal };
    let found = with_capture_bar("lines", |progress| find_order(&find, progress))?;
    let explained = explain_order(meta, &found.sent)?;
    if explained.as_ref().is_some_and(|explained| !explained.is_same) {
        // It would mean that what is told is not what happened.
        bail!(
            "order {id}: the probability computed anew, {}, is not the one the hot path used, {}; this build is at fault",
            explained.as_ref().map_or(f64::NAN, |explained| explained.probability),
            explained.as_ref().map_or(f64::NAN, |explained| explained.hot_path_probability)
        );
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&order_json(arguments, &found, explained.as_ref()))?);
    } else {
        print_order(arguments, &found, explained.as_ref());
    }
    Ok(())
}

fn order_json(arguments: &Arguments, found: &FoundOrder, explained: Option<&OrderExplanation>) -> Value {
    let FoundOrder { instrument, sent, records_followed } = found;
    json!({
        "meta_dir": arguments.model_dir,
        "records_followed": records_followed,
        "order": {
            "id": sent.id.to_string(),
            "instrument": instrument,
            "time_ns": sent.now.0,
            "side": side(found),
            "price": sent.order.price.to_string(),
            "signal": sent.order.signal,
            "reduce_only": sent.order.reduce_only,
            "wanted_qty": sent.wanted.to_string(),
            "sent_qty": sent.order.qty.to_string(),
        },
        "meta": explained,
    })
}

fn side(found: &FoundOrder) -> &'static str {
    if found.sent.order.side.sign() > 0 { "buy" } else { "sell" }
}

fn print_order(arguments: &Arguments, found: &FoundOrder, explained: Option<&OrderExplanation>) {
    let FoundOrder { instrument, sent, records_followed } = found;
    println!(
        "order {}: {} {} {instrument} at {}, {} {} UTC",
        sent.id,
        side(found),
        sent.order.qty,
        sent.order.price,
        date_utc(sent.now.0),
        clock_utc(sent.now.0, 9)
    );
    if let Some(records) = records_followed {
        println!("it is that of the journal: each of {} records up to it was made again, the same to the byte", count(*records));
    }
    let Some(explained) = explained else {
        println!("it only makes a position smaller: the meta model is not asked of such orders, and did not size it");
        return;
    };
    let features = &explained.explanation.features;
    println!("primary signal {}; what the meta model saw:", decimal(sent.order.signal, 5));
    print_contributions(&features[..features.len().min(arguments.top)]);
    if features.len() > arguments.top {
        println!("and {} more; `--top` shows them", features.len() - arguments.top);
    }
    println!(
        "margin {} = {} expected + contributions, which miss it by {:.1e}",
        decimal(explained.explanation.margin, 5),
        decimal(explained.explanation.expected, 5),
        explained.additivity_error
    );
    println!(
        "probability {} before calibration, {} after; threshold {}",
        decimal(explained.explanation.prediction, 6),
        decimal(explained.probability, 6),
        decimal(explained.threshold, 2)
    );
    println!("computed anew it is the hot path's to the last bit");
    println!("size {} wanted, {} sent", sent.wanted, sent.order.qty);
}
