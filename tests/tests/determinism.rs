//! One input, one digest: whatever the topology, the packing, the scheduler, the recording. And another model, another digest.

use chronos_exchange::{GeneratorConfig, generate_file};
use chronos_inference::{Head, HeadTensor, StepSpec, StepWeights, Tensor};
use chronos_market::REPORT_BYTES;
use chronos_market::features::{levels_needed, registry};
use chronos_market::tick::TickConfig;
use chronos_pipeline::journal::{RecordKind, Recovery};
use chronos_session::config::Config;
use chronos_session::model::{Manifest, ModelDirectory, OutputsEntry, ScalerEntry};
use chronos_session::report::Report;
use chronos_session::{ReplayOptions, replay};
use meta_of_sides::write_meta;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

mod meta_of_sides;

/// A generated market, and a model small enough to be asked often.
struct Fixture {
    folder: TempDir,
    /// The replay all others are compared with: fused, from gzip.
    base: Report,
}

impl Fixture {
    fn get() -> &'static Fixture {
        static FIXTURE: OnceLock<Fixture> = OnceLock::new();
        FIXTURE.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let config = GeneratorConfig { seed: 7, seconds: 25, depth_interval_ms: 10, ..GeneratorConfig::default() };
            generate_file(&config, &folder.path().join("capture.gz"), &mut |_| {}).unwrap();
            generate_file(&config, &folder.path().join("capture"), &mut |_| {}).unwrap();
            ModelDirectory::create(&folder.path().join("model"), &weights(1), "small").unwrap();
            let base = replayed(&options(folder.path(), "capture.gz", "model"));
            // Otherwise every digest is that of nothing, and equality says nothing.
            assert!(
                base.orders > 10 && base.fills > 10,
                "{} orders, {} fills: too few to tell digests apart",
                base.orders,
                base.fills
            );
            assert!(base.inferences > 1_000 && base.regimes.values().sum::<u64>() > 0);
            Fixture { folder, base }
        })
    }

    fn options(&self) -> ReplayOptions {
        options(self.folder.path(), "capture.gz", "model")
    }

    fn with_model(&self, name: &str, weights: &StepWeights) -> Report {
        ModelDirectory::create(&self.folder.path().join(name), weights, "small").unwrap();
        replayed(&options(self.folder.path(), "capture.gz", name))
    }
}

fn weights(seed: u64) -> StepWeights {
    weights_of(registry().len(), seed)
}

fn weights_of(features: usize, seed: u64) -> StepWeights {
    let spec = StepSpec { features, d_model: 16, layers: 1, d_state: 4, d_conv: 4, expand: 2, dt_rank: 2, head_hidden: 16 };
    let mut weights = StepWeights::untrained(&spec, seed);
    // Louder than an untrained model, so that there are orders to compare.
    for weight in weights.values_mut(Tensor::Head(Head::Logits, HeadTensor::OutputWeight)) {
        *weight *= 3.0;
    }
    weights
}

fn options(folder: &Path, capture: &str, model: &str) -> ReplayOptions {
    let mut config = Config::default();
    config.model.path = folder.join(model).display().to_string();
    // Short windows, so that parameters of the cold path take effect many times.
    (config.parameters.window_ms, config.parameters.lag_ms) = (1_000.0, 100.0);
    config.decision.horizon_ms = 300.0;
    ReplayOptions { paths: vec![folder.join(capture)], config, ..ReplayOptions::default() }
}

fn replayed(options: &ReplayOptions) -> Report {
    replay(options, &mut |_| {}).expect("a replay").report
}

#[test]
fn the_same_again_and_from_a_plain_file() {
    let fixture = Fixture::get();
    assert_eq!(replayed(&fixture.options()).digest, fixture.base.digest);
    let plain = replayed(&options(fixture.folder.path(), "capture", "model"));
    assert_eq!(plain.digest, fixture.base.digest);
    assert_eq!(
        (plain.pnl_quote, plain.fees_quote, plain.fills),
        (fixture.base.pnl_quote, fixture.base.fees_quote, fixture.base.fills)
    );
}

#[test]
fn fused_and_split_send_the_same_orders() {
    let fixture = Fixture::get();
    let mut options = fixture.options();
    options.config.topology.mode = "split".into();
    let split = replayed(&options);
    assert_eq!((split.topology, fixture.base.topology), ("split", "fused"));
    assert_eq!(split.digest, fixture.base.digest);
}

/// The quotes and trades of the generated market, without its book; and the quotes as depth of five levels.
fn captures_without_a_book(fixture: &Fixture) -> [PathBuf; 2] {
    let capture = std::fs::read_to_string(fixture.folder.path().join("capture")).unwrap();
    let field = |line: &str, name: &str| {
        let after = line.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("{name} in {line}")).1;
        after.split('"').next().unwrap().to_owned()
    };
    let (mut quotes, mut depths) = (String::new(), String::new());
    for line in capture.lines() {
        let is_quote = line.contains("bookTicker");
        if is_quote || line.contains("rade\"") {
            quotes.push_str(&format!("{line}\n"));
        }
        if is_quote {
            let (time, id) = (line.split(' ').next().unwrap(), depths.len());
            let [bid, bid_qty, ask, ask_qty] = ["b", "B", "a", "A"].map(|name| field(line, name));
            let (symbol, stream) = (field(line, "s"), field(line, "s").to_lowercase());
            depths.push_str(&format!(
                r#"{time} {{"stream":"{stream}@depth5","data":{{"e":"depthUpdate","E":1700000000000,"T":1700000000000,"s":"{symbol}","U":{id},"u":{id},"pu":{id},"#
            ));
            depths.push_str(&format!("\"b\":[[\"{bid}\",\"{bid_qty}\"]],\"a\":[[\"{ask}\",\"{ask_qty}\"]]}}}}\n"));
        } else if line.contains("rade\"") {
            depths.push_str(&format!("{line}\n"));
        }
    }
    let paths = ["quotes", "depths"].map(|name| fixture.folder.path().join(name));
    std::fs::write(&paths[0], quotes).unwrap();
    std::fs::write(&paths[1], depths).unwrap();
    paths
}

#[test]
fn feeds_without_a_whole_book_are_decided_on_where_the_model_needs_no_more_than_they_have() {
    let fixture = Fixture::get();
    let features: Vec<(String, u16)> = registry()
        .iter()
        .filter(|feature| levels_needed(feature.name) == Some(1))
        .map(|feature| (feature.name.to_owned(), feature.version))
        .collect();
    let count = features.len();
    let scaler = ScalerEntry { mean: vec![0.0; count], std: vec![1.0; count], clip: 5.0 };
    let outputs = OutputsEntry { horizon_ns: 5_000_000_000, entry_threshold: 0.1, exit_threshold: 0.05 };
    let manifest = Manifest::new("best prices", &features, scaler, &TickConfig::default(), outputs);
    ModelDirectory::write(&fixture.folder.path().join("best_prices"), &[weights_of(count, 1)], manifest).unwrap();
    for (path, levels) in captures_without_a_book(fixture).into_iter().zip([1, 5]) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // Without being told so, nothing is decided on what is no whole book, and the report says what to do.
        let untold = replayed(&options(fixture.folder.path(), name, "best_prices"));
        assert_eq!((untold.inferences, untold.orders), (0, 0));
        assert!(untold.notices.iter().any(|notice| notice.contains("book.levels")), "{:?}", untold.notices);
        let mut options = options(fixture.folder.path(), name, "best_prices");
        options.config.book.levels = levels;
        let fused = replayed(&options);
        assert!(
            fused.inferences > 1_000 && fused.orders > 10 && fused.fills > 0,
            "{name}: {} orders of {} inferences, {:?}",
            fused.orders,
            fused.inferences,
            fused.notices
        );
        options.config.topology.mode = "split".into();
        assert_eq!(replayed(&options).digest, fused.digest, "{name}");
        // The model over all features needs more.
        options.config.model.path = fixture.folder.path().join("model").display().to_string();
        let refused = replay(&options, &mut |_| {}).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("book.levels") && refused.contains("`imbalance_10` (10)"), "{refused}");
        assert_eq!(refused.contains("`imbalance_5` (5)"), levels < 5, "{refused}");
    }
}

#[test]
fn a_cold_path_that_dawdles_changes_nothing() {
    let fixture = Fixture::get();
    for (seed, mode) in [(1, "fused"), (2, "split"), (3, "split")] {
        let mut options = ReplayOptions { cold_delay: Some(seed), ..fixture.options() };
        options.config.topology.mode = mode.into();
        let delayed = replayed(&options);
        assert_eq!(delayed.digest, fixture.base.digest, "seed {seed}, {mode}");
        assert_eq!(delayed.regimes, fixture.base.regimes, "seed {seed}, {mode}");
    }
}

#[test]
fn one_weight_or_another_seed_gives_other_orders() {
    let fixture = Fixture::get();
    let mut changed = weights(1);
    changed.values_mut(Tensor::Head(Head::Logits, HeadTensor::OutputWeight))[0] += 0.5;
    assert_ne!(fixture.with_model("one-weight", &changed).digest, fixture.base.digest);
    assert_ne!(fixture.with_model("other-seed", &weights(2)).digest, fixture.base.digest);
    assert_eq!(fixture.with_model("same-seed", &weights(1)).digest, fixture.base.digest);
}

/// The bucket volume enters one feature, VPIN, and nothing else.
#[test]
fn one_other_feature_gives_other_orders() {
    let fixture = Fixture::get();
    let mut options = fixture.options();
    options.config.features.vpin_bucket_qty = 0.5;
    assert_ne!(replayed(&options).digest, fixture.base.digest);
}

#[test]
fn permuted_features_are_refused() {
    let fixture = Fixture::get();
    let folder = fixture.folder.path().join("permuted");
    ModelDirectory::create(&folder, &weights(1), "small").unwrap();
    let path = folder.join("manifest.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (first, second) = (registry()[0].name, registry()[1].name);
    assert_eq!(registry()[0].version, registry()[1].version, "then the versions have to change places too");
    let swapped = text.replacen(&format!("\"{first}\""), "\"-\"", 1).replacen(&format!("\"{second}\""), &format!("\"{first}\""), 1);
    let swapped = swapped.replacen("\"-\"", &format!("\"{second}\""), 1);
    assert_ne!(swapped, text);
    std::fs::write(&path, swapped).unwrap();
    let error = replay(&options(fixture.folder.path(), "capture.gz", "permuted"), &mut |_| {}).expect_err("permuted features");
    let message = error.to_string();
    assert!(message.contains("manifest.toml") && message.contains("permuted") && message.contains("export again"), "{message}");
}

#[test]
fn recording_changes_nothing_and_the_journal_holds_what_the_digest_covers() {
    let fixture = Fixture::get();
    let record = fixture.folder.path().join("record");
    let recorded = replayed(&ReplayOptions { record: Some(record.clone()), ..fixture.options() });
    assert_eq!(recorded.digest, fixture.base.digest);

    let recovery = Recovery::open(&record.join("journal")).unwrap();
    assert!(recovery.is_closed && recovery.damage.is_none());
    let (mut digest, mut reader, mut orders, mut reports) = (Sha256::new(), recovery.reader(), 0_u64, 0_u64);
    while let Some(record) = reader.next().unwrap() {
        match record.kind {
            RecordKind::Order => {
                orders += 1;
                digest.update(record.payload);
            }
            // The canonical bytes, and behind them where the report was taken in.
            RecordKind::Report => {
                reports += 1;
                digest.update(&record.payload[..REPORT_BYTES]);
            }
            _ => {}
        }
    }
    assert!(orders >= recorded.orders && reports >= recorded.fills);
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, recorded.digest);
    assert!(!parquet_files(&record).is_empty(), "no Parquet in {}", record.display());
}

#[test]
fn a_meta_model_takes_some_orders_and_drops_the_others_in_both_topologies() {
    let fixture = Fixture::get();
    let replayed_with = |name: &str, threshold: f64, mode: &str| {
        let folder = fixture.folder.path().join(name);
        if !folder.exists() {
            write_meta(&folder, threshold);
        }
        let mut options = fixture.options();
        options.config.model.meta = folder.display().to_string();
        options.config.topology.mode = mode.into();
        let report = replayed(&options);
        (report.meta.clone().unwrap(), report)
    };
    let (meta, fused) = replayed_with("meta", 0.65, "fused");
    assert!(meta.taken > 5 && meta.filtered > 5, "{meta:?}");
    assert!(fused.orders < fixture.base.orders && fused.digest != fixture.base.digest);
    let (split_meta, split) = replayed_with("meta", 0.65, "split");
    assert_eq!((split_meta, split.digest), (meta, fused.digest));
    let (meta, none) = replayed_with("meta-strict", 0.95, "fused");
    assert_eq!((meta.taken, none.orders, none.fills), (0, 0, 0));
    assert!(fixture.base.meta.is_none());
}

fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(parquet_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            assert!(std::fs::read(&path).unwrap().starts_with(b"PAR1"), "{}", path.display());
            found.push(path);
        }
    }
    found
}
