use super::*;
use chronos_exchange::{GeneratorConfig, generate};
use chronos_session::config::Config;
use proptest::prelude::*;
use std::path::PathBuf;

/// Ticks of one feature at these times and mids; a segment begins at each of `starts`.
fn ticks(times_ns: &[i64], mids: &[f64], starts: &[usize]) -> Ticks {
    let rows = times_ns.len();
    Ticks {
        features: vec![("spread_bps".into(), 1)],
        times_ns: times_ns.to_vec(),
        elapsed_s: vec![0.0; rows],
        mids: mids.to_vec(),
        values: (0..rows).map(|row| row as f32).collect(),
        is_warm: vec![true; rows],
        starts: starts.to_vec(),
        regimes: vec![[0.0; REGIME_EMBEDDING]],
        regime_of: vec![0; rows],
        ..Ticks::default()
    }
}

#[test]
fn labels_by_hand() {
    let mut table = ticks(&[0, 4, 10, 12, 25, 30, 34, 45], &[100.0, 101.0, 102.0, 99.0, 98.0, 50.0, 51.0, 52.0], &[0, 5]);
    table.is_warm[1] = false;
    let samples = horizon_samples(&table, 10).unwrap();
    // From 0 the mid at 10 is that of the tick at 10. Row 1 is not warm. From 10 the mid at 20 is still that of 12, which the tick at 25
    // shows. From 12 likewise. Nothing of the first segment is known at 35; from 30 the mid at 40 is that of 34.
    assert_eq!(samples.rows, [0, 2, 3, 5, 6]);
    assert_eq!(samples.ends_ns, [10, 25, 25, 45, 45]);
    let wanted = [102.0 / 100.0 - 1.0, 99.0 / 102.0 - 1.0, 0.0, 51.0 / 50.0 - 1.0, 0.0];
    assert_eq!(samples.returns, wanted);
    // Back from 12 to 2 the mid was that of 0; before the first tick of a segment nothing is known.
    assert!(samples.past_returns[0].is_nan() && samples.past_returns[3].is_nan() && samples.past_returns[4].is_nan());
    assert_eq!(samples.past_returns[1..3], [102.0 / 100.0 - 1.0, 99.0 / 100.0 - 1.0]);
    assert!((samples.per_horizon(0..5) - 5.0 * 10.0 / 34.0).abs() < 1e-12);
}

#[test]
fn too_long_a_horizon_is_told() {
    let error = horizon_samples(&ticks(&[0, 4], &[1.0, 2.0], &[0]), 5_000_000_000).unwrap_err().to_string();
    assert!(error.contains("of 2 decision ticks 2 are past the warm-up") && error.contains("5 s"), "{error}");
    assert!(horizon_samples(&ticks(&[0, 4], &[1.0, 2.0], &[0]), 0).is_err());
}

/// Samples so long after each other, with labels so long.
fn samples_after(steps: &[(i64, i64)]) -> Samples {
    let mut samples = Samples::default();
    let mut now = 0;
    for (row, (step, length)) in steps.iter().enumerate() {
        now += step;
        samples.rows.push(row);
        samples.times_ns.push(now);
        samples.ends_ns.push(now + length);
    }
    samples
}

proptest! {
    /// Against the definition, looked up tick by tick.
    #[test]
    fn labels_are_those_of_the_definition(
        steps in prop::collection::vec((0_i64..6, 1_u8..9, prop::bool::weighted(0.1), prop::bool::weighted(0.2)), 1..60),
        horizon_ns in 1_i64..15,
    ) {
        let (mut times_ns, mut mids, mut starts, mut now) = (Vec::new(), Vec::new(), vec![0], 0);
        let mut is_warm = Vec::new();
        for (row, (step, mid, is_start, is_cold)) in steps.iter().enumerate() {
            now += step;
            times_ns.push(now);
            mids.push(f64::from(*mid));
            is_warm.push(!is_cold);
            if *is_start && row > 0 {
                starts.push(row);
            }
        }
        let table = Ticks { is_warm, ..ticks(&times_ns, &mids, &starts) };
        let mut wanted = Vec::new();
        for row in 0..table.rows() {
            let segment = table.segment_of(row);
            let at = times_ns[row] + horizon_ns;
            let then = segment.clone().rfind(|other| times_ns[*other] <= at);
            let known = segment.clone().find(|other| times_ns[*other] >= at);
            let before = segment.clone().rfind(|other| times_ns[*other] <= times_ns[row] - horizon_ns);
            if let (Some(then), Some(known), true) = (then, known, table.is_warm[row]) {
                let past = before.map_or(f64::NAN, |before| mids[row] / mids[before] - 1.0);
                wanted.push((row, times_ns[known], mids[then] / mids[row] - 1.0, past));
            }
        }
        match horizon_samples(&table, horizon_ns) {
            Err(_) => prop_assert!(wanted.is_empty()),
            Ok(samples) => {
                prop_assert_eq!(samples.len(), wanted.len());
                for (sample, (row, end_ns, value, past)) in wanted.into_iter().enumerate() {
                    prop_assert_eq!((samples.rows[sample], samples.ends_ns[sample]), (row, end_ns));
                    prop_assert_eq!(samples.returns[sample], value);
                    prop_assert_eq!(samples.past_returns[sample].to_bits(), past.to_bits());
                }
            }
        }
    }

    #[test]
    fn no_label_reaches_into_a_later_part(
        steps in prop::collection::vec((0_i64..5, 0_i64..30), 12..80),
        share in 0.2_f64..0.8,
        validation_share in 0.1_f64..0.6,
        embargo_ns in 0_i64..6,
    ) {
        let samples = samples_after(&steps);
        let rule = SplitRule { at: SplitAt::Share(share), validation_share, embargo_ns };
        let Ok(parts) = split_samples(&samples, &rule) else { return Ok(()) };
        let reach = |part: &[usize]| part.iter().map(|sample| samples.ends_ns[*sample] + embargo_ns).max().unwrap();
        let begin = |sample: usize| samples.times_ns[sample];
        prop_assert!(reach(&parts.validation) <= begin(parts.test.start));
        prop_assert!(reach(&parts.train) <= begin(parts.validation[0]));
        prop_assert!(parts.train.is_sorted() && parts.validation.is_sorted());
        prop_assert_eq!(parts.test.end, samples.len());
        // Whoever reaches into no later part is in one.
        let last_trained = (parts.test.start as f64 - (validation_share * parts.test.start as f64).round()) as usize;
        let is_free = |sample: &usize| samples.ends_ns[*sample] + embargo_ns <= begin(last_trained);
        prop_assert_eq!(parts.train, (0..last_trained).filter(is_free).collect::<Vec<_>>());
    }

    #[test]
    fn folds_walk_over_the_test_part(
        steps in prop::collection::vec((0_i64..5, 0_i64..30), 12..80),
        share in 0.3_f64..0.8,
        embargo_ns in 0_i64..6,
        folds in 1_usize..8,
    ) {
        let samples = samples_after(&steps);
        let rule = SplitRule { at: SplitAt::Share(share), validation_share: 0.3, embargo_ns };
        let test = match (split_samples(&samples, &rule), split_folds(&samples, &rule, folds)) {
            (Ok(whole), Ok(parts)) => {
                let mut next = whole.test.start;
                for part in &parts {
                    prop_assert_eq!(part.test.start, next);
                    prop_assert!((whole.test.len() / folds..=whole.test.len().div_ceil(folds)).contains(&part.test.len()));
                    next = part.test.end;
                    // What is learnt from is known before the fold begins.
                    for sample in part.train.iter().chain(&part.validation) {
                        prop_assert!(samples.ends_ns[*sample] + embargo_ns <= samples.times_ns[part.test.start]);
                    }
                    prop_assert!(part.train.last() < part.validation.first());
                }
                prop_assert_eq!(&parts[0].train, &whole.train);
                prop_assert_eq!(&parts[0].validation, &whole.validation);
                prop_assert_eq!(next, samples.len());
                whole.test
            }
            (Ok(whole), Err(_)) => whole.test,
            (Err(_), _) => return Ok(()),
        };
        prop_assert!(split_folds(&samples, &rule, test.len() + 1).is_err());
        prop_assert!(split_folds(&samples, &rule, 0).is_err());
    }
}

#[test]
fn a_split_without_a_part_is_told() {
    let samples = horizon_samples(&ticks(&[0, 10, 20, 30, 40, 50], &[1.0; 6], &[0]), 10).unwrap();
    let told = |at, validation_share| {
        let rule = SplitRule { at, validation_share, embargo_ns: 0 };
        split_samples(&samples, &rule).map_or_else(|error| error.to_string(), |parts| format!("{parts:?}"))
    };
    assert_eq!(told(SplitAt::Time(30), 0.34), "Parts { train: [0, 1], validation: [2], test: 3..5 }");
    assert!(told(SplitAt::Time(99), 0.3).contains("no sample to test") && told(SplitAt::Time(99), 0.3).contains("split earlier"));
    assert!(told(SplitAt::Time(0), 0.3).contains("split later"));
    assert!(told(SplitAt::Share(1.5), 0.3).contains("above 0 and below 1"));
    assert!(told(SplitAt::Share(0.5), 0.0).contains("validation share"));
}

#[test]
fn directions_and_units_come_from_the_training_samples() {
    let samples = Samples { returns: vec![0.0, 1e-4, -2e-4, 3e-4, -9.0], rows: (0..5).collect(), ..Samples::default() };
    let target = Target::choose(&samples, &[0, 1, 2, 3], TargetRule::FlatShare(0.5)).unwrap();
    // The median of 0, 1, 2, 3 lies between 1 and 2; the fifth sample is not known.
    assert!((target.threshold - 1.5e-4).abs() < 1e-12 && (target.unit - 1e-4 * (14.0_f64 / 4.0).sqrt()).abs() < 1e-12);
    use Direction::{Down, Flat, Up};
    assert_eq!(target.directions(&samples), [Flat, Flat, Down, Up, Down]);
    assert_eq!(Direction::of(1.5e-4, 1.5e-4), Flat);
    assert!(Target::choose(&samples, &[0], TargetRule::FlatShare(0.5)).is_err());
    assert!(Target::choose(&samples, &[0, 1], TargetRule::FlatShare(1.0)).is_err());
    assert!(Target::choose(&samples, &[0, 1], TargetRule::Threshold(-1.0)).is_err());
    let given = Samples { given: Some(vec![Up; 5]), ..samples };
    assert_eq!(target.directions(&given), [Up; 5]);
}

#[test]
fn scaling_is_that_of_the_hot_path() {
    let mut table = ticks(&[0, 1, 2, 3], &[1.0; 4], &[0]);
    table.features.push(("other".into(), 1));
    table.values = vec![1.0, 7.0, 2.0, 7.0, 6.0, 7.0, 100.0, 8.0];
    let scaler = Scaler::fit(&table, &[0, 1, 2], 5.0).unwrap();
    // Mean 3, variance (4 + 1 + 9) / 3; the second feature never changes there.
    assert!((scaler.mean[0] - 3.0).abs() < 1e-12 && (scaler.std[0] - (14.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    assert_eq!((scaler.mean[1], scaler.std[1]), (7.0, 1.0));
    scaler.apply(&mut table);
    assert!((f64::from(table.values[0]) - (1.0 - 3.0) / scaler.std[0]).abs() < 1e-6);
    assert_eq!(table.values[6..], [5.0, 1.0]);
    table.values[2] = f32::NAN;
    assert!(Scaler::fit(&table, &[0, 1], 5.0).unwrap_err().to_string().contains("row 1"));
    assert!(Scaler::fit(&table, &[], 5.0).is_err() && Scaler::fit(&table, &[0], 0.0).is_err());
}

#[test]
fn features_are_kept_by_name() {
    let mut table = ticks(&[0, 1], &[1.0; 2], &[0]);
    table.features = ["a", "b", "c"].map(|name| (name.to_owned(), 1)).to_vec();
    table.values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    table.keep_features(&["c".into(), "a".into()]).unwrap();
    assert_eq!(table.values, [3.0, 1.0, 6.0, 4.0]);
    assert_eq!(table.row(1), [6.0, 4.0]);
    assert!(table.keep_features(&["aa".into()]).unwrap_err().to_string().contains("did you mean `a`?"));
    assert!(table.keep_features(&["a".into(), "a".into()]).unwrap_err().to_string().contains("twice"));
}

#[test]
fn a_cycle_needs_data_as_long_as_it() {
    let hour_ns = 3_600_000_000_000;
    let mut table = ticks(&[0, hour_ns / 2, hour_ns], &[1.0; 3], &[0]);
    table.features = ["spread_bps", "time_of_day_sin", "time_of_minute_sin"].map(|name| (name.to_owned(), 1)).to_vec();
    assert!(index_of("time_of_day_sin").is_some() && index_of("time_of_minute_sin").is_some());
    assert_eq!(table.features_within(&[0, 2]), ["spread_bps", "time_of_minute_sin"]);
    assert_eq!(table.features_within(&[0]), ["spread_bps"]);
}

/// A capture of a generated market, as lines.
fn market(seed: u64, seconds: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let config = GeneratorConfig { seed, seconds, depth_interval_ms: 20, snapshot_levels: 100, ..GeneratorConfig::default() };
    generate(&config, &mut bytes, &mut |_| {}).unwrap();
    bytes
}

fn observed(bytes: &[u8], limit: Option<u64>) -> (Ticks, chronos_session::features::Followed) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("market");
    std::fs::write(&path, bytes).unwrap();
    let mut config = Config::default();
    config.parameters.window_ms = 1_000.0;
    config.parameters.lag_ms = 300.0;
    observe_ticks(&[path], &config, limit, &mut |_| {}).unwrap()
}

/// Compares what two tables say of the ticks up to a time; gives their number.
fn assert_same_until(one: &Ticks, other: &Ticks, time_ns: i64) -> usize {
    let rows = one.times_ns.partition_point(|tick_ns| *tick_ns <= time_ns);
    assert_eq!(rows, other.times_ns.partition_point(|tick_ns| *tick_ns <= time_ns));
    for row in 0..rows {
        let bits = |table: &Ticks| table.row(row).iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(one), bits(other), "row {row}");
        assert_eq!(one.regime(row), other.regime(row), "row {row}");
        let of =
            |table: &Ticks| (table.times_ns[row], table.elapsed_s[row].to_bits(), table.mids[row].to_bits(), table.is_warm[row]);
        assert_eq!(of(one), of(other), "row {row}");
    }
    rows
}

#[test]
fn nothing_changes_when_the_future_is_cut_off_or_another() {
    let bytes = market(3, 12);
    let (whole, followed) = observed(&bytes, None);
    assert!(whole.rows() > 300 && whole.is_warm.iter().filter(|is_warm| **is_warm).count() > 200, "{}", whole.rows());
    assert!(whole.regimes.len() > 3 && whole.starts == [0]);
    let samples = horizon_samples(&whole, 500_000_000).unwrap();
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..4 {
        let lines = random.u64(followed.messages / 3..followed.messages);
        let (cut, upto) = observed(&bytes, Some(lines));
        // Another message may bear the same time as the last one.
        let settled_ns = upto.last_recv_ns - 1;
        assert!(assert_same_until(&whole, &cut, settled_ns) > 50);
        if let Ok(of_cut) = horizon_samples(&cut, 500_000_000) {
            let known = (0..samples.len()).filter(|sample| samples.ends_ns[*sample] <= settled_ns);
            let known_of_cut = (0..of_cut.len()).filter(|sample| of_cut.ends_ns[*sample] <= settled_ns);
            assert!(known.map(|sample| samples.returns[sample]).eq(known_of_cut.map(|sample| of_cut.returns[sample])));
        }
        // The same beginning, and half of the lines that came after it.
        let mut altered = Vec::new();
        for (line, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            if (line as u64) < lines || line % 2 == 0 {
                altered.extend_from_slice(text);
            }
        }
        assert_same_until(&whole, &observed(&altered, None).0, settled_ns);
    }
}

#[test]
fn a_book_out_of_sync_ends_a_segment() {
    // A hole in the depth updates, and a second session with its snapshot after it.
    let bytes = market(5, 8);
    let mut holed = Vec::new();
    let mut updates = 0;
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        let is_update = text.windows(11).any(|window| window == b"depthUpdate");
        updates += u64::from(is_update);
        if !is_update || updates != 200 {
            holed.extend_from_slice(text);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["1", "2"].map(|name| folder.path().join(name));
    std::fs::write(&first, &holed).unwrap();
    let later = GeneratorConfig {
        seed: 6,
        seconds: 8,
        depth_interval_ms: 20,
        start_ns: GeneratorConfig::default().start_ns + 9_000_000_000,
        ..GeneratorConfig::default()
    };
    let mut bytes = Vec::new();
    generate(&later, &mut bytes, &mut |_| {}).unwrap();
    // Later ids than any before.
    let text = String::from_utf8(bytes).unwrap().replace(":5000000", ":6000000");
    std::fs::write(&second, text).unwrap();
    let (table, _) = observe_ticks(&[first, second], &Config::default(), None, &mut |_| {}).unwrap();
    assert_eq!(table.starts.len(), 2, "{:?}", table.starts);
    let start = table.starts[1];
    assert_eq!((table.elapsed_s[0], table.elapsed_s[start]), (0.0, 0.0));
    assert!(!table.is_warm[start] && table.is_warm[start - 1]);
    assert!(table.elapsed_s.iter().enumerate().all(|(row, elapsed_s)| *elapsed_s > 0.0 || table.starts.contains(&row)));
    assert_eq!(table.segments().collect::<Vec<_>>(), [0..start, start..table.rows()]);
    // No label reaches over the hole.
    let samples = horizon_samples(&table, 1_000_000_000).unwrap();
    for (row, end_ns) in samples.rows.iter().zip(&samples.ends_ns) {
        assert!(*end_ns <= table.times_ns[table.segment_of(*row).end - 1]);
    }
}

#[test]
fn several_instruments_and_no_tick_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two");
    let mut bytes = Vec::new();
    generate(&GeneratorConfig { seconds: 3, symbols: 2, ..GeneratorConfig::default() }, &mut bytes, &mut |_| {}).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    let told = |paths: &[PathBuf], limit| {
        observe_ticks(paths, &Config::default(), limit, &mut |_| {}).map_or_else(|error| error.to_string(), |_| "ticks".into())
    };
    assert!(told(std::slice::from_ref(&path), None).contains("SIM2USDT"));
    std::fs::write(&path, market(1, 3)).unwrap();
    assert!(told(&[path], Some(5)).contains("no decision tick"));
}
