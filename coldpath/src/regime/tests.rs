use super::*;
use proptest::prelude::*;

const SECOND: i64 = NANOS_PER_SECOND;

fn window(index: i64, config: &RegimeConfig) -> Window {
    let end = Timestamp((index + 1) * config.window_ns);
    Window { index, end, effective: end }
}

/// One thing the estimator is told.
#[derive(Clone, Copy, Debug)]
enum Told {
    Mid(i64, f64),
    End(Window),
}

/// Mids into what the hot side sends: every window's end before the first mid after it.
fn with_window_ends(mids: &[(i64, f64)], config: &RegimeConfig) -> Vec<Told> {
    let mut told = Vec::new();
    let mut open = None;
    for &(time, mid) in mids {
        let index = time.div_euclid(config.window_ns);
        for ended in open.unwrap_or(index)..index {
            told.push(Told::End(window(ended, config)));
        }
        open = Some(index);
        told.push(Told::Mid(time, mid));
    }
    told.extend(open.map(|open| Told::End(window(open, config))));
    told
}

fn assess_all(told: &[Told], config: &RegimeConfig) -> Vec<Assessment> {
    let mut estimator = RegimeEstimator::new(config.clone()).expect("valid config");
    let mut assessments = Vec::new();
    for &item in told {
        match item {
            Told::Mid(time, mid) => assert!(estimator.on_sample(Timestamp(time), mid)),
            Told::End(window) => assessments.push(estimator.on_window_end(window)),
        }
    }
    assessments
}

/// The definition from the module's text, computed anew for each window from the whole past. `None` where unknown.
fn naive(told: &[Told], config: &RegimeConfig) -> Option<(f64, f64)> {
    // What came before a gap of the memory's length is as if it had never been.
    let memory_ns = config.window_ns * config.trend_windows as i64;
    let mut start = 0;
    let mut last_time = None;
    for (place, item) in told.iter().enumerate() {
        let time = match item {
            Told::Mid(time, _) => *time,
            Told::End(window) => window.end.0,
        };
        if last_time.is_some_and(|last| time - last >= memory_ns) {
            start = place;
            last_time = None;
        }
        if let Told::Mid(time, _) = item {
            last_time = Some(*time);
        }
    }
    // Per window, the last mid of each sampling interval, with its time and the time of the interval's first.
    let windows: Vec<Vec<(i64, i64, f64)>> = told[start..]
        .split_inclusive(|item| matches!(item, Told::End(_)))
        .map(|window| {
            let mids: Vec<(i64, f64)> =
                window.iter().filter_map(|item| if let Told::Mid(time, mid) = item { Some((*time, *mid)) } else { None }).collect();
            mids.chunk_by(|a, b| {
                a.0.div_euclid(config.sampling_ns) == b.0.div_euclid(config.sampling_ns) && b.0 - a.0 <= config.window_ns
            })
            .map(|same| (same[0].0, same[same.len() - 1].0, same[same.len() - 1].1))
            .collect()
        })
        .collect();
    let mut previous: Option<(i64, f64)> = None;
    let mut measured = Vec::new();
    for points in &windows {
        let mut returns = Vec::new();
        for &(first, last, mid) in points {
            if let Some((before, mid_before)) = previous
                && first - before <= config.window_ns
            {
                returns.push((mid / mid_before).ln());
            }
            previous = Some((last, mid));
        }
        if !returns.is_empty() {
            measured.push((returns.iter().sum::<f64>(), returns.iter().map(|r| r * r).sum::<f64>()));
        }
    }
    let count = measured.len();
    if count < config.trend_windows {
        return None;
    }
    let recent = &measured[count - config.trend_windows..];
    let floor = VARIANCE_FLOOR;
    let trend = recent.iter().map(|w| w.0).sum::<f64>() / recent.iter().map(|w| w.1 + floor).sum::<f64>().sqrt();
    let fast = measured[count - config.volatility_windows..].iter().map(|w| w.1).sum::<f64>() / config.volatility_windows as f64;
    let weight = |age: usize| (-(age as f64) * std::f64::consts::LN_2 / config.volatility_half_life_windows).exp();
    let earlier = measured[..count - 1].iter().rev().enumerate();
    let (sum, weights) = earlier.fold((0.0, 0.0), |(sum, weights), (age, w)| (sum + weight(age) * w.1, weights + weight(age)));
    let ratio = if weights == 0.0 { 1.0 } else { ((fast + floor) / (sum / weights + floor)).sqrt() };
    Some((trend, ratio))
}

fn a_config() -> impl Strategy<Value = RegimeConfig> {
    (1..5usize, 1..=5usize, 1..=10i64, 0.5..20.0f64).prop_map(|(trend_windows, volatility_windows, sampling_s, half_life)| {
        RegimeConfig {
            trend_windows,
            volatility_windows: volatility_windows.min(trend_windows),
            sampling_ns: sampling_s * SECOND,
            volatility_half_life_windows: half_life,
            ..RegimeConfig::default()
        }
    })
}

/// Mids with steps from nothing to over a minute, so with gaps of every kind.
fn mids() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let step_ns = prop_oneof![8 => 0..3 * SECOND, 1 => 8 * SECOND..12 * SECOND, 1 => 0..70 * SECOND];
    prop::collection::vec((step_ns, -1e-3..1e-3f64), 1..150).prop_map(|steps| {
        let mut at = (1_000 * SECOND, 100.0f64);
        steps
            .into_iter()
            .map(|(step, log_return)| {
                at = (at.0 + step, at.1 * log_return.exp());
                at
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn indicators_are_those_of_the_definition(config in a_config(), mids in mids()) {
        let told = with_window_ends(&mids, &config);
        let assessments = assess_all(&told, &config);
        let ends = told.iter().enumerate().filter(|(_, item)| matches!(item, Told::End(_)));
        for ((place, _), got) in ends.zip(&assessments) {
            match naive(&told[..=place], &config) {
                None => prop_assert_eq!(got.regime, Regime::Unknown),
                Some((trend, ratio)) => {
                    prop_assert!((got.trend - trend).abs() < 1e-6 * (1.0 + trend.abs()), "{} {}", got.trend, trend);
                    prop_assert!((got.volatility_ratio - ratio).abs() < 1e-6 * ratio, "{} {}", got.volatility_ratio, ratio);
                    prop_assert_ne!(got.regime, Regime::Unknown);
                }
            }
        }
    }

    #[test]
    fn nothing_told_in_any_order_breaks_it(
        told in prop::collection::vec((any::<bool>(), any::<i64>(), any::<f64>()), 1..60),
    ) {
        let mut estimator = RegimeEstimator::new(RegimeConfig::default()).expect("valid config");
        for (is_mid, time, mid) in told {
            if is_mid {
                prop_assert_eq!(estimator.on_sample(Timestamp(time), mid), mid.is_finite() && mid > 0.0);
            } else {
                let end = Timestamp(time);
                let got = estimator.on_window_end(Window { index: time, end, effective: end });
                prop_assert!(embedding(&got).iter().all(|place| (-1.0..=1.0).contains(place)), "{:?}", got);
            }
        }
    }
}

/// Hand-computed: one mid a window, returns +r, +r, -r/2, with r = ln 1.01.
#[test]
fn indicators_by_hand() {
    let config = RegimeConfig {
        sampling_ns: 10 * SECOND,
        trend_windows: 3,
        volatility_windows: 1,
        volatility_half_life_windows: 1.0,
        ..RegimeConfig::default()
    };
    let mids = [1.0, 1.01, 1.0201, 1.0201 / 1.01f64.sqrt()];
    let mids: Vec<(i64, f64)> = mids.iter().enumerate().map(|(place, &mid)| (place as i64 * 10 * SECOND, mid)).collect();
    let assessments = assess_all(&with_window_ends(&mids, &config), &config);
    let last = assessments[3];
    // Sum 1.5 r over the root of (1 + 1 + 0.25) r^2.
    assert!((last.trend - 1.0).abs() < 1e-6, "{}", last.trend);
    // 0.25 r^2 against the mean of r^2 and r^2.
    assert!((last.volatility_ratio - 0.5).abs() < 1e-6, "{}", last.volatility_ratio);
    // 0.5 r a window of 10 s.
    let volatility_bps = 0.5 * 1.01f64.ln() / 10f64.sqrt() * 1e4;
    assert!((last.volatility_bps - volatility_bps).abs() < 1e-6, "{}", last.volatility_bps);
    assert_eq!(assessments.iter().map(|a| a.evidence).collect::<Vec<_>>(), [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]);
    assert_eq!(last.regime, Regime::Sideways);
}

/// Standard normal numbers.
fn normal(rng: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

#[test]
fn planted_regimes_are_found() {
    let config = RegimeConfig::default();
    let parts =
        [Regime::Sideways, Regime::TrendingUp, Regime::Sideways, Regime::TrendingDown, Regime::Sideways, Regime::HighVolatility];
    // Ten minutes each, the burst one minute, ten mids a second, 0.3 basis points of noise a mid.
    let windows_in = |part: Regime| if part == Regime::HighVolatility { 6 } else { 60 };
    let (mut right, mut all) = ([0u32; 5], [0u32; 5]);
    for seed in 0..10 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut mids, mut truth) = (Vec::new(), Vec::new());
        let (mut time, mut log_mid, mut level) = (0, 10.0f64, 10.0f64);
        for part in parts {
            for _ in 0..windows_in(part) {
                truth.push(part);
                for _ in 0..100 {
                    let noise = 0.3e-4 * normal(&mut rng);
                    log_mid += match part {
                        // Pulled back to its level, so that it goes nowhere.
                        Regime::Sideways => 0.01 * (level - log_mid) + noise,
                        Regime::TrendingUp => 0.2e-4 + noise,
                        Regime::TrendingDown => -0.2e-4 + noise,
                        _ => 6.0 * noise,
                    };
                    mids.push((time, log_mid.exp()));
                    time += SECOND / 10;
                }
            }
            level = log_mid;
        }
        let assessments = assess_all(&with_window_ends(&mids, &config), &config);
        assert_eq!(assessments.len(), truth.len());
        for (place, (got, part)) in assessments.iter().zip(&truth).enumerate() {
            // A trend needs its lookback to be seen, a burst only itself.
            let lookback = if *part == Regime::HighVolatility { 1 } else { config.trend_windows };
            if place >= lookback && truth[place - lookback] == *part {
                all[*part as usize] += 1;
                right[*part as usize] += u32::from(got.regime == *part);
            }
        }
    }
    for part in [Regime::Sideways, Regime::TrendingUp, Regime::TrendingDown, Regime::HighVolatility] {
        let (right, all) = (right[part as usize], all[part as usize]);
        assert!(right * 10 >= all * 9, "{}: {right} of {all} windows", part.name());
    }
}

#[test]
fn windows_without_samples_keep_the_regime_until_the_memory_is_over() {
    let config = RegimeConfig::default();
    let mids: Vec<(i64, f64)> = (0..70).map(|second| (second * SECOND, 100.0 * (second as f64 * 1e-4).exp())).collect();
    let mut told = with_window_ends(&mids, &config);
    told.extend((7..15).map(|index| Told::End(window(index, &config))));
    let regimes: Vec<Regime> = assess_all(&told, &config).iter().map(|assessment| assessment.regime).collect();
    // The last sample is at 69 s; the window that ends at 130 s is the first a whole minute later.
    assert_eq!(regimes[..5], [Regime::Unknown; 5]);
    assert_eq!(regimes[5..12], [Regime::TrendingUp; 7]);
    assert_eq!(regimes[12..], [Regime::Unknown; 3]);
}

#[test]
fn a_jump_of_price_over_a_gap_is_no_return() {
    let config = RegimeConfig::default();
    let quiet = |from: i64, to: i64, mid: f64| (from..to).map(move |second| (second * SECOND, mid));
    let mids: Vec<(i64, f64)> = quiet(0, 70, 100.0).chain(quiet(95, 130, 150.0)).collect();
    let assessments = assess_all(&with_window_ends(&mids, &config), &config);
    assert!(assessments.iter().all(|a| a.trend == 0.0 && a.volatility_ratio == 1.0), "{assessments:?}");
    assert_eq!(assessments.last().map(|a| a.regime), Some(Regime::Sideways));
}

#[test]
fn settings_out_of_range_are_named() {
    let default = RegimeConfig::default;
    let cases = [
        (RegimeConfig { window_ns: 0, ..default() }, "regime.window_ns must be above 0"),
        (RegimeConfig { sampling_ns: 11 * SECOND, ..default() }, "regime.sampling_ns must be from 1 to window_ns"),
        (RegimeConfig { trend_windows: 0, ..default() }, "regime.trend_windows must be from 1 to 100000"),
        (RegimeConfig { trend_min: f64::NAN, ..default() }, "regime.trend_min must be finite and above 0"),
        (RegimeConfig { volatility_windows: 7, ..default() }, "regime.volatility_windows must be from 1 to trend_windows"),
        (RegimeConfig { volatility_ratio_min: 1.0, ..default() }, "regime.volatility_ratio_min must be finite and above 1"),
        (
            RegimeConfig { size_scale: [1.0, 1.0, 1.0, 1.0, 1.5], ..default() },
            "regime.size_scale must be from 0 to 1 in each regime",
        ),
    ];
    for (config, message) in cases {
        assert_eq!(RegimeEstimator::new(config).map(|_| ()).map_err(|error| error.to_string()), Err(message.to_string()));
    }
}
