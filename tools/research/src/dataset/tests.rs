use super::*;
use crate::bars::Ohlcv;
use crate::labels::{Adjust, one_bar_volatility};
use std::fs;

const HOUR_NS: i64 = 3_600_000_000_000;

/// A walk of hourly bars.
fn bars(count: usize, seed: u64) -> Vec<Ohlcv> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut close: f64 = 100.0;
    let mut next = |row: usize| {
        let open = close;
        close = open * (1.0 + 0.02 * (random.f64() - 0.5));
        let (high, low) = (open.max(close) * 1.001, open.min(close) * 0.999);
        let volume = 1.0 + random.f64();
        let start_ns = 1_600_000_000_000_000_000 + row as i64 * HOUR_NS;
        Ohlcv { start_ns, end_ns: start_ns + HOUR_NS, open, high, low, close, volume, notional: close * volume, flow: None }
    };
    (0..count).map(&mut next).collect()
}

fn source(count: usize) -> BarSource {
    BarSource { instrument: "test".into(), bars: bars(count, 4), rule: None }
}

fn built(source: &dyn Source, recipe: &Recipe) -> Result<Built, DatasetError> {
    build(source, recipe, LookAheadOptions::default(), &mut |_| {})
}

#[test]
fn samples_are_what_was_known_at_the_event_and_what_came_after() {
    let source = source(900);
    let recipe = Recipe { side: Some("-return_5".into()), ..Recipe::default() };
    let Built { dataset, observed, counts, look_ahead } = built(&source, &recipe).unwrap();
    assert!(dataset.rows() > 50 && look_ahead.cuts == 8 && look_ahead.rows > 1_000);
    assert_eq!(counts.events, counts.warming_up + counts.without_side + counts.small + counts.unfinished + counts.samples);
    assert_eq!(counts.labels.values().sum::<u64>(), counts.samples);
    assert_eq!(counts.barriers.values().sum::<u64>(), counts.samples);
    let volatility = one_bar_volatility(&observed.prices, 100.0, Adjust::Yes).unwrap();
    let return_5 = dataset.features.iter().position(|name| name == "return_5").unwrap();
    for row in 0..dataset.rows() {
        let span = dataset.span[row];
        assert_eq!(dataset.event_ns[row], source.bars[span.start].end_ns);
        assert_eq!(dataset.end_ns[row], source.bars[span.end].end_ns);
        assert_eq!(dataset.target[row], volatility[span.start]);
        let change = (source.bars[span.start].close / source.bars[span.start - 5].close).ln();
        assert!((dataset.row(row)[return_5] - change).abs() < 1e-12);
        let side = dataset.side[row].unwrap();
        assert_eq!(side == Side::Buy, change < 0.0);
        let raw = source.bars[span.end].close / source.bars[span.start].close - 1.0;
        assert!((dataset.simple_return[row] - raw * side.sign() as f64).abs() < 1e-15);
        assert_eq!(dataset.label[row], i8::from(dataset.barrier[row] == Barrier::Profit));
    }
    assert!((dataset.weight.iter().sum::<f64>() / dataset.rows() as f64 - 1.0).abs() < 1e-12);
    assert_eq!(dataset.rows_of(3..5), [dataset.row(3), dataset.row(4)].concat());
    assert_eq!(dataset.column(return_5).nth(7), Some(dataset.row(7)[return_5]));
}

#[test]
fn a_least_signal_leaves_out_weak_bets() {
    let recipe = Recipe { side: Some("-return_5".into()), side_min: 0.01, ..Recipe::default() };
    let all = built(&source(900), &Recipe { side_min: 0.0, ..recipe.clone() }).unwrap();
    let Built { dataset, counts, .. } = built(&source(900), &recipe).unwrap();
    let return_5 = dataset.features.iter().position(|name| name == "return_5").unwrap();
    assert!(counts.without_side > 10 && counts.samples < all.counts.samples);
    assert!(dataset.column(return_5).all(|signal| signal.abs() >= 0.01));
    let strategy = built(&source(900), &Recipe { side: Some("strategy".into()), ..Recipe::default() });
    assert!(strategy.is_err_and(|error| error.to_string().contains("only captures have")));
}

#[test]
fn events_take_the_features_of_the_time_before_and_never_later() {
    /// Prices every 10 ns, features every 7.
    struct Uneven;
    impl Source for Uneven {
        fn observe(&self, inputs: Option<u64>, _progress: &mut dyn FnMut(u64, u64)) -> Result<Observed, DatasetError> {
            let inputs = inputs.unwrap_or(200);
            let until_ns = inputs as i64 * 10;
            let prices = bars(inputs as usize + 1, 1).iter().map(|bar| bar.close).collect();
            let times_ns = (0..=inputs as i64).map(|row| row * 10).collect();
            let known: Vec<i64> = (0..).map(|row| row * 7 + 15).take_while(|time_ns| *time_ns <= until_ns).collect();
            let values = known.iter().map(|time_ns| *time_ns as f64).collect();
            let features = FeatureRows { features: vec![("time".into(), 1)], times_ns: known, values };
            Ok(Observed { instrument: String::new(), times_ns, prices, features, inputs, settled_ns: until_ns })
        }
    }
    let recipe = Recipe { events: "every:1".into(), horizon: Some("3".into()), ..Recipe::default() };
    let Built { dataset, .. } = built(&Uneven, &recipe).unwrap();
    assert!(dataset.rows() > 100);
    for row in 0..dataset.rows() {
        let age_ns = dataset.event_ns[row] as f64 - dataset.row(row)[0];
        assert!((0.0..7.0).contains(&age_ns), "{age_ns}");
    }
}

/// A source that knows what comes.
struct Leaky {
    honest: BarSource,
    spoil: fn(&mut Observed),
}

impl Source for Leaky {
    fn observe(&self, inputs: Option<u64>, progress: &mut dyn FnMut(u64, u64)) -> Result<Observed, DatasetError> {
        let mut observed = self.honest.observe(inputs, progress)?;
        (self.spoil)(&mut observed);
        Ok(observed)
    }
}

#[test]
fn planted_leaks_are_found_and_named() {
    const WIDTH: usize = BAR_FEATURE_COUNT;
    type Leak = fn(&mut Observed);
    let leaks: [(&str, Leak); 4] = [
        ("return_1", |observed| {
            // The return to come.
            let rows = observed.features.times_ns.len();
            for row in 0..rows - 1 {
                observed.features.values[row * WIDTH] = observed.features.values[(row + 1) * WIDTH];
            }
        }),
        ("return_1", |observed| {
            // Scaled by the deviation of all of it.
            let of_all: f64 = observed.features.values.iter().step_by(WIDTH).skip(1).map(|value| value * value).sum();
            observed.features.values.iter_mut().step_by(WIDTH).for_each(|value| *value /= of_all.sqrt());
        }),
        ("price", |observed| {
            // A price that is the mean with the next one.
            for row in 0..observed.prices.len() - 1 {
                observed.prices[row] = 0.5 * (observed.prices[row] + observed.prices[row + 1]);
            }
        }),
        ("time of a row", |observed| {
            // Rows that say they were known an hour sooner.
            observed.features.times_ns.iter_mut().for_each(|time_ns| *time_ns -= HOUR_NS);
        }),
    ];
    for (column, spoil) in leaks {
        let error = built(&Leaky { honest: source(600), spoil }, &Recipe::default()).unwrap_err();
        let DatasetError::Leak(leak) = &error else { panic!("{column}: {error}") };
        assert_eq!(leak.column, column);
        assert!(error.to_string().contains("must not be trained on"));
    }
    assert!(built(&Leaky { honest: source(600), spoil: |_| {} }, &Recipe::default()).is_ok());
}

#[test]
fn coarser_bars_are_checked_from_the_finest() {
    let rule = Some(crate::bars::parse_rule("volume:6").unwrap());
    let source = BarSource { rule, ..source(3_000) };
    let built = built(&source, &Recipe::default()).unwrap();
    assert!(built.counts.prices > 500 && built.counts.prices < 1_000 && built.dataset.rows() > 20);
}

fn manifest(built: &Built, recipe: &Recipe) -> Manifest {
    let source =
        SourceSection { kind: "history".into(), instrument: "test".into(), bars: None, config_hash: None, files: Vec::new() };
    Manifest::of(built, source, recipe, 0)
}

#[test]
fn what_is_written_reads_back_and_is_the_same_each_time() {
    let recipe = Recipe::default();
    let folder = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for name in ["one", "two"] {
        let built = built(&source(700), &recipe).unwrap();
        let path = folder.path().join(name);
        let manifest = write_dataset(&path, &built.dataset, manifest(&built, &recipe)).unwrap();
        let (dataset, read) = read_dataset(&path).unwrap();
        assert_eq!((&dataset, &read), (&built.dataset, &manifest));
        assert_eq!(read.features.registry_hash, bar_features_hash());
        written.push([fs::read(path.join("samples.parquet")).unwrap(), fs::read(path.join("manifest.toml")).unwrap()]);
        let mut labels = Vec::new();
        write_labels(&dataset, &mut labels).unwrap();
        assert_eq!(String::from_utf8(labels).unwrap().lines().count(), dataset.rows() + 1);
    }
    assert_eq!(written[0], written[1]);
    // What stands there is not written over.
    let built = built(&source(700), &recipe).unwrap();
    let told = write_dataset(&folder.path().join("one"), &built.dataset, manifest(&built, &recipe)).unwrap_err().to_string();
    assert!(told.contains("exists"), "{told}");
}

#[test]
fn damaged_datasets_are_told() {
    let recipe = Recipe::default();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let built = built(&source(700), &recipe).unwrap();
    write_dataset(&path, &built.dataset, manifest(&built, &recipe)).unwrap();
    let told = || read_dataset(&path).unwrap_err().to_string();
    let text = fs::read_to_string(path.join("manifest.toml")).unwrap();
    for (from, to, part) in [
        ("format = 1", "format = 9", "format 9"),
        ("file = \"samples.parquet\"", "file = \"../samples.parquet\"", "not in samples.parquet"),
        ("\nformat", "\nunknown = 1\nformat", "unknown"),
    ] {
        let text = format!("\n{text}");
        assert!(text.contains(from), "{from}");
        fs::write(path.join("manifest.toml"), text.replacen(from, to, 1)).unwrap();
        assert!(told().contains(part) && told().contains("again"), "{}", told());
    }
    fs::write(path.join("manifest.toml"), &text).unwrap();
    let mut samples = fs::read(path.join("samples.parquet")).unwrap();
    samples[100] ^= 1;
    fs::write(path.join("samples.parquet"), samples).unwrap();
    assert!(told().contains("hash"));
    fs::remove_file(path.join("manifest.toml")).unwrap();
    assert!(told().contains("cannot read"));
}

#[test]
fn recipes_without_a_sample_say_why() {
    let told = |recipe: Recipe| built(&source(300), &recipe).unwrap_err().to_string();
    let none = told(Recipe { return_min: 0.5, ..Recipe::default() });
    assert!(none.contains("no sample") && none.contains("least return"), "{none}");
    let unknown = told(Recipe { side: Some("retrun_5".into()), ..Recipe::default() });
    assert!(unknown.contains("`retrun_5`") && unknown.contains("`return_5`"), "{unknown}");
    let mut bars = bars(300, 1);
    bars[40].close = f64::NAN;
    let source = BarSource { instrument: String::new(), bars, rule: None };
    assert!(built(&source, &Recipe::default()).unwrap_err().to_string().contains("NaN at row 40"));
}
