use super::*;
use chronos_inference::trees::{Iterations, parse_xgboost, write_xgboost};
use proptest::prelude::*;

/// Rows of three features, a tenth missing, and labels of 0, 1 and 2 that depend on them.
fn data(rows: usize, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let values: Vec<f64> = (0..rows * 3).map(|_| if random.u8(0..10) == 0 { f64::NAN } else { random.f64() }).collect();
    let label = |row: &[f64]| {
        let score = if row[0].is_nan() { 1.0 } else { row[0] } + if row[1] > 0.5 { 0.8 } else { 0.0 } + 0.3 * random.f64();
        score.floor().min(2.0)
    };
    let labels = values.chunks(3).map(label).collect();
    (values, labels)
}

fn sample<'a>(values: &'a [f64], labels: &'a [f64]) -> Sample<'a> {
    Sample { rows: Rows::new(values, 3).unwrap(), labels, weights: None }
}

/// The margins of each row, one after another.
fn margins(forest: &Forest, rows: Rows<'_>) -> Vec<f64> {
    let mut out = vec![0.0; rows.len() * forest.outputs()];
    for (out, row) in out.chunks_mut(forest.outputs()).zip(rows.iter()) {
        forest.margins_into(row, out).unwrap();
    }
    out
}

const LOSSES: [Loss; 3] = [Loss::Squared, Loss::Quantile { alpha: 0.7 }, Loss::Softmax { classes: 3 }];

#[test]
fn each_loss_falls_and_the_forest_is_read_back_equal() {
    let (values, labels) = data(400, 1);
    let sample = sample(&values, &labels);
    let yes: Vec<f64> = labels.iter().map(|label| label.min(1.0)).collect();
    let cases = LOSSES.map(|loss| (loss, sample)).into_iter().chain([(Loss::Logistic, Sample { labels: &yes, ..sample })]);
    for (loss, sample) in cases {
        let names = ["a", "b", "c"].map(str::to_owned);
        let config = TrainConfig { rounds: 30, ..TrainConfig::new(loss) };
        let trained = train(&config, &names, sample, Some(sample)).unwrap();
        assert!(trained.validation[29] < 0.8 * trained.validation[0], "{loss:?}: {:?}", trained.validation);
        let again = parse_xgboost(&write_xgboost(&trained.forest).unwrap(), Iterations::All).unwrap();
        assert!(again == trained.forest, "{loss:?}");
        // What training added up is what scoring adds up.
        let scored: Vec<f32> = margins(&trained.forest, sample.rows).into_iter().map(|margin| margin as f32).collect();
        assert_eq!(loss.mean(&sample, &scored), trained.validation[29]);
    }
}

#[test]
fn the_number_of_threads_changes_nothing_and_the_seed_does() {
    let (values, labels) = data(20_000, 2);
    let sample = sample(&values, &labels);
    let config = TrainConfig { rounds: 5, row_share: 0.7, feature_share: 0.7, ..TrainConfig::new(Loss::Softmax { classes: 3 }) };
    let on = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(&TrainConfig { seed, ..config }, &[], sample, None).unwrap().forest)
    };
    let one = on(1, 7);
    assert!(on(4, 7) == one);
    assert!(on(4, 8) != one);
}

#[test]
fn a_missing_value_goes_to_the_side_that_learnt_it() {
    let values: Vec<f64> = (0..300).map(|at| if at % 3 == 0 { f64::NAN } else { f64::from(at % 7) }).collect();
    for missing in [0.0, 1.0] {
        let labels: Vec<f64> = values.iter().map(|x| if x.is_nan() { missing } else { f64::from(u8::from(*x >= 3.0)) }).collect();
        let sample = Sample { rows: Rows::new(&values, 1).unwrap(), labels: &labels, weights: None };
        let config = TrainConfig { rounds: 60, depth_max: 1, learning_rate: 0.3, ..TrainConfig::new(Loss::Logistic) };
        let forest = train(&config, &[], sample, None).unwrap().forest;
        for (x, wanted) in [(f64::NAN, missing), (1.0, 0.0), (2.99, 0.0), (3.0, 1.0), (6.0, 1.0)] {
            assert!((forest.predict(&[x]).unwrap() - wanted).abs() < 0.1, "{x}");
        }
    }
}

#[test]
fn training_stops_where_validation_no_longer_improves() {
    let (values, _) = data(400, 3);
    let mut random = fastrand::Rng::with_seed(4);
    let noise: Vec<f64> = (0..400).map(|_| f64::from(random.u8(0..2))).collect();
    let half = |from: usize| Sample {
        rows: Rows::new(&values[from * 3..][..600], 3).unwrap(),
        labels: &noise[from..][..200],
        weights: None,
    };
    let config = TrainConfig { rounds: 500, patience: 7, ..TrainConfig::new(Loss::Logistic) };
    let trained = train(&config, &[], half(0), Some(half(200))).unwrap();
    let best =
        (0..trained.validation.len()).min_by(|one, two| trained.validation[*one].total_cmp(&trained.validation[*two])).unwrap();
    assert_eq!((trained.forest.trees().len(), trained.validation.len()), (best + 1, best + 8));
    assert!(trained.validation.len() < 500);
}

#[test]
fn leaves_are_limited_and_the_best_is_split_first() {
    let (values, labels) = data(2_000, 5);
    let config =
        TrainConfig { rounds: 1, depth_max: 12, leaves_max: Some(9), child_rows_min: 30, ..TrainConfig::new(Loss::Squared) };
    let forest = train(&config, &[], sample(&values, &labels), None).unwrap().forest;
    let tree = &forest.trees()[0];
    let leaves: Vec<&Node> = tree.nodes.iter().filter(|node| node.split.is_none()).collect();
    assert_eq!(leaves.len(), 9);
    // The hessian of the squared error is 1: covers are rows.
    assert!(leaves.iter().all(|leaf| leaf.cover >= 30.0));
    // A node's children are made when it is split: each split but the first could have come before those after it.
    let order: Vec<(usize, f64)> = (1..tree.nodes.len())
        .step_by(2)
        .filter_map(|left| {
            let parent = tree.nodes.iter().position(|node| node.split.is_some_and(|split| split.left == left))?;
            Some((parent, tree.nodes[parent].split?.gain))
        })
        .collect();
    for (step, (_, gain)) in order.iter().enumerate() {
        let was_there = |parent: usize| parent < 1 + 2 * step;
        assert!(order[step..].iter().filter(|later| was_there(later.0)).all(|later| later.1 <= *gain), "{order:?}");
    }
}

#[test]
fn what_cannot_be_trained_on_is_refused_with_its_place() {
    let (mut values, labels) = data(30, 6);
    let config = TrainConfig::new(Loss::Softmax { classes: 3 });
    let refused = |config: &TrainConfig, sample: Sample<'_>| train(config, &[], sample, None).err();
    let good = sample(&values, &labels);
    assert_eq!(refused(&config, good), None);
    assert_eq!(
        refused(&TrainConfig { learning_rate: 0.0, ..config }, good),
        Some(TrainError::Parameter { name: "learning_rate", value: 0.0, range: "above 0, to 1" })
    );
    assert!(matches!(refused(&TrainConfig { bins_max: 1, ..config }, good), Some(TrainError::Parameter { name: "bins_max", .. })));
    assert_eq!(
        refused(&config, Sample { labels: &labels[1..], ..good }),
        Some(TrainError::Lengths { rows: 30, what: "labels", others: 29 })
    );
    let mut others = labels.clone();
    others[4] = 1.5;
    assert!(matches!(refused(&config, Sample { labels: &others, ..good }), Some(TrainError::Label { row: 4, .. })));
    others.iter_mut().for_each(|label| *label = label.min(1.0).floor());
    assert_eq!(refused(&config, Sample { labels: &others, ..good }), Some(TrainError::NoClass(2)));
    let mut weights = vec![0.0; 30];
    assert_eq!(refused(&config, Sample { weights: Some(&weights), ..good }), Some(TrainError::Empty));
    weights[7] = f64::NAN;
    assert!(matches!(refused(&config, Sample { weights: Some(&weights), ..good }), Some(TrainError::Weight { row: 7, .. })));
    assert_eq!(train(&config, &["a".to_owned()], good, None).err(), Some(TrainError::Names { names: 1, features: 3 }));
    assert_eq!(
        train(&config, &[], good, Some(Sample { rows: Rows::new(&values, 1).unwrap(), ..good })).err(),
        Some(TrainError::Columns { training: 3, validation: 1 })
    );
    values[10] = 1e300;
    assert_eq!(refused(&config, sample(&values, &labels)), Some(TrainError::Infinite { row: 3, feature: 1 }));
}

/// Most that one split lowers half the squared error by, twice over: every threshold, both ways for what is missing.
fn best_gain(rows: &[(Option<u8>, f64, f64)], config: &TrainConfig) -> f64 {
    let mean = rows.iter().map(|row| row.1 * row.2).sum::<f64>() / rows.iter().map(|row| row.2).sum::<f64>();
    let mean = f64::from(mean as f32);
    let part = |is_in: &dyn Fn(Option<u8>) -> bool| {
        let of = || rows.iter().filter(|row| row.2 > 0.0 && is_in(row.0));
        let g: f64 = of().map(|row| (mean - row.1) * row.2).sum();
        let h: f64 = of().map(|row| row.2).sum();
        (of().count(), h, if h > 0.0 { g * g / (h + config.l2) } else { 0.0 })
    };
    let whole = part(&|_| true).2;
    let mut best = 0.0_f64;
    for threshold in 0..=8 {
        for missing_left in [false, true] {
            let goes_left = |x: Option<u8>| x.map_or(missing_left, |x| x < threshold);
            let (left, right) = (part(&goes_left), part(&|x| !goes_left(x)));
            if left.0.min(right.0) > 0 && left.1.min(right.1) >= config.child_weight_min {
                best = best.max(left.2 + right.2 - whole);
            }
        }
    }
    best
}

proptest! {
    #[test]
    fn a_stump_is_the_best_of_all_splits(
        rows in prop::collection::vec((prop::option::weighted(0.8, 0_u8..8), 0_u8..16, 0_u8..3), 2..40),
        l2 in 0_u8..3,
        child_weight_min in 0_u8..4,
    ) {
        let rows: Vec<(Option<u8>, f64, f64)> = rows.into_iter().map(|(x, y, w)| (x, f64::from(y) / 4.0, f64::from(w))).collect();
        prop_assume!(rows.iter().any(|row| row.2 > 0.0));
        let config = TrainConfig {
            rounds: 1,
            depth_max: 1,
            l2: f64::from(l2),
            child_weight_min: f64::from(child_weight_min),
            ..TrainConfig::new(Loss::Squared)
        };
        let values: Vec<f64> = rows.iter().map(|row| row.0.map_or(f64::NAN, f64::from)).collect();
        let (labels, weights): (Vec<f64>, Vec<f64>) = rows.iter().map(|row| (row.1, row.2)).unzip();
        let sample = Sample { rows: Rows::new(&values, 1).unwrap(), labels: &labels, weights: Some(&weights) };
        let forest = train(&config, &[], sample, None).unwrap().forest;
        let tree = &forest.trees()[0];
        let got = tree.nodes[0].split.map_or(0.0, |split| split.gain);
        let wanted = best_gain(&rows, &config);
        prop_assert!((got - wanted).abs() <= 1e-5 * (1.0 + wanted), "{} {}", got, wanted);
        // Each leaf is the mean of what its rows lack, drawn to 0 by the weight of its square.
        for (place, node) in tree.nodes.iter().enumerate().filter(|(_, node)| node.split.is_none()) {
            let of = || rows.iter().filter(|row| tree.leaf_of(&[row.0.map_or(f64::NAN, f64::from)]) == place);
            let weight: f64 = of().map(|row| row.2).sum();
            let lack: f64 = of().map(|row| (row.1 - forest.base_margins()[0]) * row.2).sum();
            let value = if weight + config.l2 > 0.0 { 0.1 * lack / (weight + config.l2) } else { 0.0 };
            prop_assert!((node.value - value).abs() < 1e-5, "{} {}", node.value, value);
            prop_assert!((node.cover - weight).abs() < 1e-5);
        }
    }

    #[test]
    fn a_weight_of_two_is_a_row_twice(seed in any::<u64>()) {
        let (values, labels) = data(60, seed);
        let weights: Vec<f64> = (0..60).map(|row| f64::from(row as u8 % 3)).collect();
        let repeated = || (0..60).flat_map(|row| std::iter::repeat_n(row, row % 3));
        let more_values: Vec<f64> = repeated().flat_map(|row| values[row * 3..][..3].to_vec()).collect();
        let more_labels: Vec<f64> = repeated().map(|row| labels[row]).collect();
        let config = TrainConfig { rounds: 3, depth_max: 2, ..TrainConfig::new(Loss::Squared) };
        let weighted = train(&config, &[], Sample { weights: Some(&weights), ..sample(&values, &labels) }, None).unwrap().forest;
        let repeated = train(&config, &[], sample(&more_values, &more_labels), None).unwrap().forest;
        let rows = Rows::new(&more_values, 3).unwrap();
        for (one, two) in margins(&weighted, rows).into_iter().zip(margins(&repeated, rows)) {
            prop_assert!((one - two).abs() < 1e-4, "{} {}", one, two);
        }
    }
}
