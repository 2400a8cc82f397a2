use super::*;
use crate::dataset::{Counts, DataSection, Dataset, FORMAT, FeaturesSection, LookAheadSection, Manifest, Recipe, SourceSection};
use crate::labels::{Barrier, Span};
use crate::ledger::Ledger;
use crate::trees::{CalibrationKind, Loss, SelectionConfig, TrainConfig};
use crate::validation::{Embargo, Splitter};
use chronos_market::Side;
use chronos_market::features::registry;
use chronos_session::meta::MetaDirectory;
use std::path::Path;

const FEATURES: usize = 5;
/// The feature whose sign the bets follow, and the one that tells which of them pay.
const PRIMARY: usize = 1;
const TELLING: usize = 3;

/// Bets that pay with a chance of a half, moved by so much where the telling feature is positive, and by as little where it is not.
fn dataset(bets: usize, skill: f64, seed: u64) -> (Dataset, Manifest) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut dataset =
        Dataset { features: registry()[..FEATURES].iter().map(|spec| spec.name.to_owned()).collect(), ..Dataset::default() };
    for bet in 0..bets {
        let row: [f64; FEATURES] = std::array::from_fn(|_| random.f64() - 0.5);
        let pays = random.f64() < 0.5 + skill * row[TELLING].signum();
        dataset.values.extend(row);
        dataset.event_ns.push(bet as i64 * 1_000_000_000);
        dataset.end_ns.push(bet as i64 * 1_000_000_000 + 2_500_000_000);
        dataset.span.push(Span { start: bet, end: bet + 2 });
        dataset.label.push(i8::from(pays));
        dataset.barrier.push(Barrier::Vertical);
        dataset.side.push(Some(if row[PRIMARY] > 0.0 { Side::Buy } else { Side::Sell }));
        dataset.simple_return.push(if pays { 0.002 } else { -0.002 });
        dataset.target.push(0.001);
        dataset.uniqueness.push(1.0 / 3.0);
        dataset.weight.push(1.0);
    }
    let manifest = Manifest {
        format: FORMAT,
        source: SourceSection {
            kind: "capture".into(),
            instrument: "test".into(),
            bars: None,
            config_hash: None,
            files: Vec::new(),
        },
        features: FeaturesSection {
            registry_hash: String::new(),
            names: dataset.features.clone(),
            versions: registry()[..FEATURES].iter().map(|spec| spec.version).collect(),
        },
        recipe: Recipe { side: Some(dataset.features[PRIMARY].clone()), ..Recipe::default() },
        counts: Counts::default(),
        look_ahead: LookAheadSection { cuts: 1, seed: 0, rows: 1 },
        data: DataSection { file: "samples.parquet".into(), rows: bets as u64, sha256: format!("data{seed}") },
    };
    (dataset, manifest)
}

fn plan() -> MetaPlan {
    let learner = TrainConfig { rounds: 30, patience: 8, depth_max: 2, child_weight_min: 3.0, ..TrainConfig::new(Loss::Logistic) };
    MetaPlan {
        learners: vec![learner],
        calibration: CalibrationKind::Platt,
        threshold: 0.55,
        selection: Some(SelectionConfig { share_min: 0.15, ..SelectionConfig::default() }),
        splitter: Splitter::PurgedKFold { folds: 4, embargo: Embargo::bars(1) },
        cost_bps: 1.0,
        seed: 3,
        time_ns: 5,
        code: "1".into(),
    }
}

fn trained(data: &(Dataset, Manifest), plan: &MetaPlan, folder: &Path) -> Result<MetaTraining, MetaTrainingError> {
    train_on_dataset(&data.0, &data.1, plan, &Ledger::in_folder(&folder.join("ledger")), &|_, _| {})
}

fn refusal(edit: impl Fn(&mut Dataset, &mut Manifest)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut data = dataset(80, 0.3, 1);
    edit(&mut data.0, &mut data.1);
    trained(&data, &plan(), folder.path()).map_or_else(|error| error.to_string(), |_| "trained".into())
}

#[test]
fn a_planted_signal_is_found_and_the_folder_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(500, 0.35, 7);
    let training = trained(&data, &plan(), folder.path()).unwrap();
    let report = &training.report;
    assert!(report.is_better && report.gain.low > 0.05, "{:?}", report.gain);
    assert_eq!(report.features, [data.0.features[TELLING].clone()]);
    assert!(report.folds.len() == 4 && report.folds.iter().all(|fold| fold.features.contains(&data.0.features[TELLING])));
    assert!(report.folds.iter().all(|fold| fold.scores.log_loss < fold.base_log_loss && fold.tested == 125), "{:?}", report.folds);
    let taken = &report.out_of_fold;
    assert!(taken.filtered.win_rate > 0.8 && (taken.unfiltered.win_rate - 0.5).abs() < 0.1, "{taken:?}");
    assert!(report.sharpe > report.sharpe_unfiltered);
    // Each bet shares time with the two after it; one in three is held.
    assert_eq!(report.disjoint_bets, 167);

    let made = training.write(&folder.path().join("meta"), "mine").unwrap();
    let opened = MetaDirectory::open(&folder.path().join("meta")).unwrap();
    assert!(opened == made && opened.manifest.meta.name == "mine" && opened.manifest.data.sha256 == "data7");
    assert_eq!(
        (opened.manifest.primary.signal.clone(), opened.manifest.features.names.clone()),
        (data.0.features[PRIMARY].clone(), report.features.clone())
    );
    let written = training_report(&folder.path().join("meta")).unwrap();
    assert_eq!(written["is_better"], true);
    assert!(
        training.write(&folder.path().join("meta"), "mine").is_err_and(|error| error.to_string().contains("holds a model already"))
    );

    // The same again: the same bytes, and another entry in the ledger.
    let again = trained(&data, &plan(), folder.path()).unwrap();
    assert!(again.trained == training.trained && again.report.gain == report.gain);
    assert_eq!((report.ledger.entries, again.report.ledger.entries), (1, 2));
    let trials = Ledger::in_folder(&folder.path().join("ledger")).read().unwrap().trials;
    assert_eq!((trials[0].command.as_str(), trials[0].dataset_sha256.as_str()), ("meta train", "data7"));
    assert_eq!((trials[0].path_sharpes.len(), &trials[0].config_sha256), (1, &trials[1].config_sha256));
}

#[test]
fn luck_is_called_luck() {
    let folder = tempfile::tempdir().unwrap();
    let is_better = |seed: u64| {
        let report = trained(&dataset(240, 0.0, seed), &MetaPlan { selection: None, ..plan() }, folder.path()).unwrap().report;
        assert!(report.gain.estimate < 0.02, "{seed}: {:?}", report.gain);
        report.is_better
    };
    let better = (0..20).filter(|seed| is_better(*seed)).count();
    assert!(better <= 2, "{better} of 20 null models are said to know something");
}

#[test]
fn bad_datasets_are_refused_with_the_remedy() {
    assert_eq!(refusal(|_, _| {}), "trained");
    assert!(refusal(|_, manifest| manifest.recipe.side = None).contains("--side strategy"));
    assert!(refusal(|dataset, _| dataset.values[7] = f64::NAN).contains("row 1: `"));
    assert!(refusal(|dataset, _| dataset.values[7] = 1e39).contains("row 1: `"));
    assert!(refusal(|dataset, _| dataset.weight[3] = f64::INFINITY).contains("row 3: `weight` is inf"));
    assert!(refusal(|dataset, _| dataset.simple_return[4] = f64::NAN).contains("row 4: `return` is NaN"));
    assert!(refusal(|dataset, _| dataset.label[5] = -1).contains("row 5: label -1"));
    assert!(refusal(|dataset, _| dataset.side[6] = None).contains("row 6 has no side"));
    assert!(refusal(|dataset, _| dataset.label.fill(1)).contains("all 80 bets paid"));
    assert!(refusal(|dataset, _| dataset.end_ns[9] = 0).contains("row 9: its label ends before it starts"));
    assert!(refusal(|_, manifest| manifest.features.versions[2] = 99).contains("is version 99 in the dataset"));
    let renamed = refusal(|dataset, manifest| {
        dataset.features[2] = "return_5".into();
        manifest.features.names[2] = "return_5".into();
    });
    assert!(renamed.contains("`return_5` is no feature of a decision tick"), "{renamed}");
}

#[test]
fn folds_that_leave_nothing_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |bets: usize, folds: usize, embargo: usize| {
        let splitter = Splitter::PurgedKFold { folds, embargo: Embargo::bars(embargo) };
        trained(&dataset(bets, 0.3, 1), &MetaPlan { splitter, ..plan() }, folder.path()).unwrap_err().to_string()
    };
    assert!(refused(3, 4, 0).contains("3 rows are too few"), "{}", refused(3, 4, 0));
    assert!(refused(60, 2, 60).contains("leaves no row to train on"), "{}", refused(60, 2, 60));
    let inner = refused(60, 3, 19);
    assert!(inner.contains("tuning on its training rows") && inner.contains("fewer folds"), "{inner}");
    let noise = trained(
        &dataset(80, 0.0, 2),
        &MetaPlan { selection: Some(SelectionConfig { share_min: 1.0, ..SelectionConfig::default() }), ..plan() },
        folder.path(),
    );
    assert!(noise.is_err_and(|error| error.to_string().contains("`--all-features`")));
    // Nothing was trained, so nothing is in the ledger.
    assert!(!folder.path().join("ledger").exists());
}

#[test]
fn contributions_name_the_feature_that_tells() {
    let folder = tempfile::tempdir().unwrap();
    let data = dataset(400, 0.35, 9);
    let training = trained(&data, &MetaPlan { selection: None, ..plan() }, folder.path()).unwrap();
    let meta = training.write(&folder.path().join("meta"), "mine").unwrap();
    let options = ExplanationOptions { bets_max: 60, top: 2, repeats: 3, seed: 1 };
    let told = explain_dataset(&meta, &data.0, &data.1, &options).unwrap();
    assert!(told.is_training_data && told.bets == 400 && told.additivity_error < 1e-5, "{}", told.additivity_error);
    let first = &told.features[0];
    assert_eq!((first.name.as_str(), told.features.len()), (data.0.features[TELLING].as_str(), FEATURES + 2));
    assert!(first.share > 0.5 && first.permutation_mean > 0.05);
    assert!(told.features[1..].iter().all(|other| other.permutation_mean < first.permutation_mean / 3.0));
    assert!((told.features.iter().map(|feature| feature.share).sum::<f64>() - 1.0).abs() < 1e-12);
    // Points and bets go together.
    assert_eq!((told.explained.len(), first.points.len()), (60, 60));
    for (bet, [value, contribution]) in told.explained.iter().zip(&first.points) {
        assert_eq!(data.0.row(bet.row)[TELLING], *value);
        assert!(bet.top.len() == 2 && bet.top.iter().any(|one| one.contribution == *contribution && one.value == *value));
        assert!((1.0 / (1.0 + (-bet.margin).exp()) - bet.raw).abs() < 1e-12);
        assert_eq!(meta.model.calibration().apply(bet.raw), bet.probability);
    }
    // Empty bins of the reliability curve have no mean, and are not equal to themselves.
    let again = explain_dataset(&meta, &data.0, &data.1, &options).unwrap();
    assert!(told.features == again.features && told.explained == again.explained);

    let other = dataset(400, 0.35, 10);
    assert!(!explain_dataset(&meta, &other.0, &other.1, &options).unwrap().is_training_data);
    let refused = |edit: fn(&mut Dataset, &mut Manifest)| {
        let mut data = dataset(40, 0.3, 1);
        edit(&mut data.0, &mut data.1);
        explain_dataset(&meta, &data.0, &data.1, &options).map_or_else(|error| error.to_string(), |_| "told".into())
    };
    assert_eq!(refused(|_, _| {}), "told");
    let missing = refused(|dataset, manifest| {
        dataset.features[TELLING] = "vpin".into();
        manifest.features.names[TELLING] = "vpin".into();
    });
    assert!(missing.contains("the dataset has no feature"), "{missing}");
    let primary = refused(|dataset, manifest| manifest.recipe.side = Some(format!("-{}", dataset.features[PRIMARY])));
    assert!(primary.contains("the dataset's bets are by `-"), "{primary}");
    assert!(refused(|dataset, _| dataset.values[0] = f64::NAN).contains("row 0"));
}
