//! The streaming features against slow ones, computed anew at a decision from the list of all events; and what all of them together
//! must be over the captures.

mod batch;
mod captures;
#[path = "../captures/whole_file.rs"]
mod whole_file;

use batch::Batch;
use chronos_market::book::{DepthView, TOP_LEVELS};
use chronos_market::features::{FEATURE_COUNT, FeatureConfig, FeatureEngine, levels_needed, registry};
use chronos_market::{Bbo, FEATURES_MAX, Level, Price, Qty, Side, Timestamp};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;

#[derive(Clone, Debug)]
enum Event {
    Book(Box<DepthView>),
    Trade(i64, i64, Option<Side>),
    Quote(Bbo),
}

#[derive(Clone, Debug)]
enum Step {
    Event(Event),
    Reset,
    Decide,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_feature_equals_its_batch_form(
        config in config(),
        start in prop_oneof![Just(1_723_161_255_030_314_667i64), -5_000_000_000i64..5_000_000_000],
        steps in prop::collection::vec((pause(), step()), 1..400),
    ) {
        compare(&config, start, steps)?;
    }

    /// Whatever a venue sends, a value is a number.
    #[test]
    fn no_event_makes_a_value_that_is_not_finite(events in prop::collection::vec((anything(), wild_event()), 1..400)) {
        let config = FeatureConfig { vpin_bucket: Some(Qty(1 << 40)), vpin_buckets: NonZeroUsize::MIN };
        let mut engine = FeatureEngine::new(&config);
        let mut row = [0.0; FEATURES_MAX];
        for (at, event) in events {
            tell(&mut engine, at, &event);
            engine.write(Timestamp(at), &mut row);
            for (value, spec) in row.iter().zip(registry()) {
                prop_assert!(value.is_finite(), "{} is {}", spec.name, value);
            }
        }
    }

    /// Nothing outlives a reset: afterwards an engine cannot be told from a new one.
    #[test]
    fn a_reset_leaves_nothing(
        before in prop::collection::vec((0i64..300_000_000, event()), 1..400),
        after in prop::collection::vec((0i64..300_000_000, event()), 0..100),
    ) {
        let config = FeatureConfig { vpin_bucket: Some(Qty(20)), vpin_buckets: NonZeroUsize::MIN };
        let (mut used, mut new) = (FeatureEngine::new(&config), FeatureEngine::new(&config));
        let mut now = 1_000_000_000_000i64;
        let mut feed = |engines: &mut [&mut FeatureEngine], events: &[(i64, Event)]| {
            for (pause, event) in events {
                now += pause;
                engines.iter_mut().for_each(|engine| tell(engine, now, event));
            }
            now
        };
        feed(&mut [&mut used], &before);
        used.reset();
        let end = feed(&mut [&mut used, &mut new], &after);
        let mut rows = [[0.0; FEATURES_MAX]; 2];
        used.write(Timestamp(end), &mut rows[0]);
        new.write(Timestamp(end), &mut rows[1]);
        prop_assert_eq!(rows[0], rows[1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// A feature that is said to need so many levels is the same where the feed has no more.
    #[test]
    fn a_feature_needs_no_more_levels_than_it_says(
        levels in 1..TOP_LEVELS,
        events in prop::collection::vec((0i64..300_000_000, event()), 1..400),
    ) {
        let config = FeatureConfig { vpin_bucket: Some(Qty(20)), vpin_buckets: NonZeroUsize::MIN };
        let (mut whole, mut partial) = (FeatureEngine::new(&config), FeatureEngine::new(&config));
        let mut now = 1_000_000_000_000i64;
        for (pause, event) in events {
            now += pause;
            tell(&mut whole, now, &event);
            let event = match event {
                Event::Book(view) => Event::Book(Box::new(best_of(&view, levels))),
                other => other,
            };
            tell(&mut partial, now, &event);
            let mut rows = [[0.0; FEATURES_MAX]; 2];
            whole.write(Timestamp(now), &mut rows[0]);
            partial.write(Timestamp(now), &mut rows[1]);
            for (place, spec) in registry().iter().enumerate() {
                if levels_needed(spec.name).unwrap() <= levels {
                    prop_assert_eq!(rows[0][place], rows[1][place], "{} of {} levels", spec.name, levels);
                }
            }
        }
    }
}

/// What a feed of so many best levels shows of a book.
fn best_of(view: &DepthView, levels: usize) -> DepthView {
    let mut best = *view;
    best.bids[levels..].fill(Level::default());
    best.asks[levels..].fill(Level::default());
    (best.bid_levels, best.ask_levels) = (view.bid_levels.min(levels), view.ask_levels.min(levels));
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Mostly trades, and enough of them that every window of bars is full and a bucket volume is learnt.
    #[test]
    fn features_of_many_trades_equal_their_batch_form(
        bucket in prop_oneof![Just(None), (1i64..400).prop_map(|volume| Some(Qty(volume)))],
        buckets in 1usize..4,
        steps in prop::collection::vec((0i64..60_000_000, trade_or_decision()), 1_700..2_400),
    ) {
        let config = FeatureConfig { vpin_bucket: bucket, vpin_buckets: NonZeroUsize::new(buckets).unwrap() };
        compare(&config, 0, steps)?;
    }
}

#[test]
fn every_feature_equals_its_batch_form_on_every_capture() {
    let Some(instruments) = captures::instruments() else { return };
    let config = FeatureConfig::default();
    let mut decisions_by_capture: BTreeMap<String, usize> = BTreeMap::new();
    for instrument in instruments {
        let decisions = instrument.decisions();
        let capture = instrument.name.split(' ').next().unwrap().to_owned();
        *decisions_by_capture.entry(capture).or_default() += decisions;
        let mut engine = FeatureEngine::new(&config);
        let (mut seen, mut decided) = (Vec::new(), 0);
        for (now, step) in instrument.steps {
            match step {
                Step::Reset => {
                    engine.reset();
                    seen.clear();
                }
                Step::Event(event) => {
                    tell(&mut engine, now, &event);
                    seen.push((now, event));
                }
                Step::Decide => {
                    decided += 1;
                    if decided % decisions.div_ceil(12) == 0 {
                        same(&mut engine, &seen, now, &config).unwrap_or_else(|error| panic!("{}: {error}", instrument.name));
                    }
                }
            }
        }
    }
    println!("decisions: {decisions_by_capture:#?}");
    for (capture, decisions) in decisions_by_capture {
        assert!(decisions > 0, "{capture}: nothing was compared");
    }
}

/// Over all captures together no feature is constant, none says what another says, and no formula is counted more than thrice.
#[test]
fn at_least_80_features_are_distinct_over_all_captures() {
    let Some(instruments) = captures::instruments() else { return };
    let rows: Vec<[f64; FEATURES_MAX]> = instruments.iter().flat_map(|instrument| warm_rows(&instrument.steps)).collect();
    let standardised: Vec<Vec<f64>> = (0..FEATURE_COUNT)
        .map(|place| {
            let values: Vec<f64> = rows.iter().map(|row| row[place]).collect();
            assert!(values.iter().all(|value| value.is_finite()), "{}", registry()[place].name);
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let size = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>().sqrt();
            assert!(size > 1e-6, "{} is constant", registry()[place].name);
            values.iter().map(|value| (value - mean) / size).collect()
        })
        .collect();
    for (place, spec) in registry().iter().enumerate() {
        for (other, other_spec) in registry().iter().enumerate().take(place) {
            let correlation: f64 = standardised[place].iter().zip(&standardised[other]).map(|(a, b)| a * b).sum();
            assert!(correlation.abs() <= 0.999, "{} and {}: correlation {correlation}", spec.name, other_spec.name);
        }
    }
    let mut windows = BTreeMap::new();
    registry().iter().for_each(|spec| *windows.entry(spec.formula).or_insert(0) += 1);
    let counted: i32 = windows.values().map(|windows| 3.min(*windows)).sum();
    assert!(counted >= 80, "{counted} features of {} formulas", windows.len());
}

/// The features at every decision after the first hundred, before which a model is not asked.
fn warm_rows(steps: &[(i64, Step)]) -> Vec<[f64; FEATURES_MAX]> {
    let mut engine = FeatureEngine::new(&FeatureConfig::default());
    let mut rows = Vec::new();
    for (now, step) in steps {
        match step {
            Step::Event(event) => tell(&mut engine, *now, event),
            Step::Reset => engine.reset(),
            Step::Decide => {
                let mut row = [0.0; FEATURES_MAX];
                engine.write(Timestamp(*now), &mut row);
                rows.push(row);
            }
        }
    }
    rows.split_off(100.min(rows.len()))
}

/// Feeds the steps to an engine, and at every decision compares it with what the events so far give.
fn compare(config: &FeatureConfig, start: i64, steps: Vec<(i64, Step)>) -> Result<(), TestCaseError> {
    let mut engine = FeatureEngine::new(config);
    let (mut now, mut latest, mut seen) = (start, i64::MIN, Vec::new());
    for (pause, step) in steps {
        now += pause;
        if !matches!(step, Step::Reset) {
            latest = latest.max(now);
        }
        match step {
            Step::Reset => {
                engine.reset();
                seen.clear();
            }
            Step::Event(event) => {
                tell(&mut engine, now, &event);
                seen.push((latest, event));
            }
            Step::Decide => {
                engine.write(Timestamp(now), &mut [0.0; FEATURES_MAX]);
                same(&mut engine, &seen, latest, config).map_err(TestCaseError::fail)?;
            }
        }
    }
    Ok(())
}

fn tell(engine: &mut FeatureEngine, now: i64, event: &Event) {
    let now = Timestamp(now);
    match event {
        Event::Book(view) => engine.on_book(now, view),
        Event::Trade(price, qty, side) => engine.on_trade(now, Price(*price), Qty(*qty), *side),
        Event::Quote(bbo) => engine.on_quote(now, bbo),
    }
}

/// Whether an engine writes what the events seen by `now` give, to 1e-9 of their size or of 1.
fn same(engine: &mut FeatureEngine, seen: &[(i64, Event)], now: i64, config: &FeatureConfig) -> Result<(), String> {
    let mut features = [f64::NAN; FEATURES_MAX];
    engine.write(Timestamp(now), &mut features);
    let batch = Batch::new(seen, now, config);
    for (value, spec) in features.iter().zip(registry()) {
        let expected = batch.feature(spec.name);
        if !value.is_finite() || (value - expected).abs() > 1e-9 * expected.abs().max(1.0) {
            return Err(format!("{}: {value} streaming, {expected} batch, after {} events", spec.name, seen.len()));
        }
    }
    let are_zero = features[FEATURE_COUNT..].iter().all(|unused| *unused == 0.0);
    if are_zero { Ok(()) } else { Err("an unused place is not 0".into()) }
}

fn config() -> impl Strategy<Value = FeatureConfig> {
    let bucket = prop_oneof![Just(None), (1i64..40).prop_map(|volume| Some(Qty(volume)))];
    (bucket, 1usize..8)
        .prop_map(|(vpin_bucket, buckets)| FeatureConfig { vpin_bucket, vpin_buckets: NonZeroUsize::new(buckets).unwrap() })
}

/// Nanoseconds from step to step: none, bursts, the size of a bucket, whole windows, and now and then back.
fn pause() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => Just(0i64),
        4 => 0i64..2_000_000,
        4 => 0i64..60_000_000,
        2 => 0i64..1_500_000_000,
        1 => 0i64..70_000_000_000,
        1 => -20_000_000i64..0,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![100 => event().prop_map(Step::Event), 1 => Just(Step::Reset), 8 => Just(Step::Decide)]
}

fn trade_or_decision() -> impl Strategy<Value = Step> {
    prop_oneof![300 => trade().prop_map(Step::Event), 10 => event().prop_map(Step::Event), 1 => Just(Step::Decide)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![3 => view().prop_map(|view| Event::Book(Box::new(view))), 4 => trade(), 2 => view().prop_map(|view| Event::Quote(view.bbo()))]
}

fn trade() -> impl Strategy<Value = Event> {
    (90i64..110, 0i64..30, side()).prop_map(|(price, qty, side)| Event::Trade(price * 1_000_000_000, qty, side))
}

/// Who took: some venues do not say.
fn side() -> impl Strategy<Value = Option<Side>> {
    prop_oneof![2 => Just(Some(Side::Buy)), 2 => Just(Some(Side::Sell)), 1 => Just(None)]
}

fn anything() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), -3i64..3, Just(i64::MIN), Just(i64::MAX), 0i64..1_000_000_000_000]
}

fn wild_view() -> impl Strategy<Value = DepthView> {
    let level = (anything(), anything().prop_map(|qty| qty.saturating_abs()));
    let level = level.prop_map(|(price, qty)| Level { price: Price(price), qty: Qty(qty) });
    let levels = prop::collection::vec(level, 2 * TOP_LEVELS);
    (levels, 0..=TOP_LEVELS, 0..=TOP_LEVELS).prop_map(|(levels, bid_levels, ask_levels)| {
        let mut view = DepthView { bid_levels, ask_levels, ..DepthView::default() };
        view.bids[..bid_levels].copy_from_slice(&levels[..bid_levels]);
        view.asks[..ask_levels].copy_from_slice(&levels[TOP_LEVELS..TOP_LEVELS + ask_levels]);
        view
    })
}

fn wild_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => wild_view().prop_map(|view| Event::Book(Box::new(view))),
        1 => wild_view().prop_map(|view| Event::Quote(view.bbo())),
        4 => (anything(), anything(), side()).prop_map(|(price, qty, side)| Event::Trade(price, qty, side)),
    ]
}

/// Up to ten levels a side, gaps between them, now and then a side without any.
fn view() -> impl Strategy<Value = DepthView> {
    let levels = || {
        prop_oneof![
            1 => Just(Vec::new()),
            12 => prop::collection::vec((1i64..4, 1i64..500_000_000), 1..=TOP_LEVELS),
        ]
    };
    (95i64..105, levels(), levels()).prop_map(|(middle, bids, asks)| {
        let mut view = DepthView { bid_levels: bids.len(), ask_levels: asks.len(), ..DepthView::default() };
        let mut price = middle;
        for (slot, (gap, qty)) in view.bids.iter_mut().zip(bids) {
            price -= gap;
            *slot = Level { price: Price(price * 1_000_000_000), qty: Qty(qty) };
        }
        let mut price = middle;
        for (slot, (gap, qty)) in view.asks.iter_mut().zip(asks) {
            price += gap;
            *slot = Level { price: Price(price * 1_000_000_000), qty: Qty(qty) };
        }
        view
    })
}
