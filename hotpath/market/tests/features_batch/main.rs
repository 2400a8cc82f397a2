//! The streaming features against slow ones, computed anew at every decision from the list of all events.

use chronos_market::book::{DepthView, TOP_LEVELS};
use chronos_market::features::{
    CALIBRATION_TRADES, FEATURE_COUNT, FeatureConfig, FeatureEngine, TRADES_PER_BUCKET, index_of, registry,
};
use chronos_market::{Bbo, FEATURES_MAX, Level, Price, Qty, Side, Timestamp};
use proptest::prelude::*;
use std::num::NonZeroUsize;
use std::ops::Range;

#[derive(Clone, Debug)]
enum Event {
    Book(Box<DepthView>),
    Trade(i64, i64, Side),
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

    /// Trades alone, and enough of them that a bucket volume is learnt and every bucket filled.
    #[test]
    fn vpin_with_a_learnt_bucket_equals_its_batch_form(
        buckets in 1usize..8,
        steps in prop::collection::vec((0i64..60_000_000, trade_or_decision()), 150..450),
    ) {
        let config = FeatureConfig { vpin_bucket: None, vpin_buckets: NonZeroUsize::new(buckets).unwrap() };
        compare(&config, 0, steps)?;
    }

    /// Nothing outlives a reset: afterwards an engine cannot be told from a new one.
    #[test]
    fn a_reset_leaves_nothing(
        before in prop::collection::vec((0i64..300_000_000, event()), 1..200),
        after in prop::collection::vec((0i64..300_000_000, event()), 0..100),
    ) {
        let config = FeatureConfig { vpin_buckets: NonZeroUsize::MIN, ..FeatureConfig::default() };
        let (mut used, mut new) = (FeatureEngine::new(&config), FeatureEngine::new(&config));
        let mut now = 1_000_000_000_000i64;
        let mut feed = |engines: &mut [&mut FeatureEngine], events: &[(i64, Event)]| {
            for (pause, event) in events {
                now += pause;
                for engine in engines.iter_mut() {
                    match event {
                        Event::Book(view) => engine.on_book(Timestamp(now), view),
                        Event::Trade(price, qty, side) => engine.on_trade(Timestamp(now), Price(*price), Qty(*qty), *side),
                        Event::Quote(bbo) => engine.on_quote(Timestamp(now), bbo),
                    }
                }
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

/// Feeds the steps to an engine, and at every decision compares it with what the events so far give.
fn compare(config: &FeatureConfig, start: i64, steps: Vec<(i64, Step)>) -> Result<(), TestCaseError> {
    let mut engine = FeatureEngine::new(config);
    let (mut now, mut latest, mut seen) = (start, i64::MIN, Vec::new());
    for (pause, step) in steps {
        now += pause;
        let at = Timestamp(now);
        if !matches!(step, Step::Reset) {
            latest = latest.max(now);
        }
        match step {
            Step::Reset => {
                engine.reset();
                seen.clear();
            }
            Step::Event(event) => {
                match &event {
                    Event::Book(view) => engine.on_book(at, view),
                    Event::Trade(price, qty, side) => engine.on_trade(at, Price(*price), Qty(*qty), *side),
                    Event::Quote(bbo) => engine.on_quote(at, bbo),
                }
                seen.push((latest, event));
            }
            Step::Decide => {
                let mut features = [f64::NAN; FEATURES_MAX];
                engine.write(at, &mut features);
                let batch = Batch { events: &seen, now: latest, config };
                for spec in registry() {
                    let value = features[index_of(spec.name).unwrap()];
                    let expected = batch.feature(spec.name);
                    prop_assert!(value.is_finite());
                    prop_assert!(
                        (value - expected).abs() <= 1e-9 * expected.abs().max(1.0),
                        "{}: {} streaming, {} batch, after {} events",
                        spec.name,
                        value,
                        expected,
                        seen.len()
                    );
                }
                prop_assert!(features[FEATURE_COUNT..].iter().all(|unused| *unused == 0.0));
            }
        }
    }
    Ok(())
}

/// The events since the last reset, and the logical time to look back from.
struct Batch<'a> {
    events: &'a [(i64, Event)],
    now: i64,
    config: &'a FeatureConfig,
}

impl Batch<'_> {
    fn feature(&self, name: &str) -> f64 {
        match name {
            "spread_bps" => self.book_mid().map_or(0.0, |mid| 1e4 * (px(self.book().asks[0]) - px(self.book().bids[0])) / mid),
            "effective_spread_bps" => self.effective_spread_bps(),
            "microprice_offset_bps" => self
                .latest_quote()
                .and_then(|(bid, ask)| {
                    let mid = mid_of(bid, ask)?;
                    let micro = (px(bid) * units(ask) + px(ask) * units(bid)) / (units(bid) + units(ask));
                    Some(1e4 * (micro / mid - 1.0))
                })
                .unwrap_or(0.0),
            "quote_lead_bps" => {
                let quote_mid = self.latest_quote().and_then(|(bid, ask)| mid_of(bid, ask));
                quote_mid.zip(self.book_mid()).map_or(0.0, |(quote, book)| 1e4 * (quote / book - 1.0))
            }
            "imbalance_1" => self.imbalance(1),
            "imbalance_5" => self.imbalance(5),
            "imbalance_10" => self.imbalance(10),
            "depth_slope_log_ratio" => self.slope_log_ratio(),
            "depth_ratio_log" => match self.book_mid() {
                None => 0.0,
                Some(_) => (self.total(10, true) + self.total(10, false)).ln() - (self.total(1, true) + self.total(1, false)).ln(),
            },
            "ofi_1_1s" => self.order_flow(0..1, 1),
            "ofi_1_10s" => self.order_flow(0..1, 10),
            "ofi_2_to_5_1s" => self.order_flow(1..5, 1),
            "ofi_2_to_10_10s" => self.order_flow(1..10, 10),
            "trade_imbalance_1s" => self.trade_imbalance(1),
            "trade_imbalance_10s" => self.trade_imbalance(10),
            "vpin" => self.vpin(),
            "realized_volatility_1s_bps" => 1e4 * self.returns(1).iter().map(|r| r * r).sum::<f64>().sqrt(),
            "realized_volatility_10s_bps" => 1e4 * self.returns(10).iter().map(|r| r * r).sum::<f64>().sqrt(),
            "realized_volatility_60s_bps" => 1e4 * self.returns(60).iter().map(|r| r * r).sum::<f64>().sqrt(),
            "mid_return_1s_bps" => 1e4 * self.returns(1).iter().sum::<f64>(),
            "mid_return_10s_bps" => 1e4 * self.returns(10).iter().sum::<f64>(),
            "trade_intensity_1s" => (1.0 + self.count(|event| matches!(event, Event::Trade(_, qty, _) if *qty > 0))).ln(),
            "book_intensity_1s" => (1.0 + self.count(|event| !matches!(event, Event::Trade(..)))).ln(),
            "time_since_trade_log_ms" => {
                let last = self.events.iter().rev().find(|(_, event)| matches!(event, Event::Trade(_, qty, _) if *qty > 0));
                last.map_or(0.0, |(at, _)| (1.0 + (self.now - at) as f64 / 1e6).ln())
            }
            other => panic!("{other} has no batch form"),
        }
    }

    /// Whether an instant is in the window of so many seconds: in one of its last 64 buckets.
    fn is_inside(&self, at: i64, seconds: i64) -> bool {
        let bucket = |time: i64| i128::from(time).div_euclid(i128::from(seconds * 1_000_000_000 / 64));
        bucket(self.now) - bucket(at) < 64
    }

    fn count(&self, is_counted: impl Fn(&Event) -> bool) -> f64 {
        self.events.iter().filter(|(at, event)| self.is_inside(*at, 1) && is_counted(event)).count() as f64
    }

    fn books(&self) -> Vec<(i64, DepthView)> {
        self.events
            .iter()
            .filter_map(|(at, event)| if let Event::Book(view) = event { Some((*at, **view)) } else { None })
            .collect()
    }

    fn book(&self) -> DepthView {
        self.books().last().map(|(_, view)| *view).unwrap_or_default()
    }

    fn book_mid(&self) -> Option<f64> {
        mid_of(self.book().bids[0], self.book().asks[0])
    }

    fn latest_quote(&self) -> Option<(Level, Level)> {
        let quote = self.events.iter().rev().find_map(|(_, event)| if let Event::Quote(bbo) = event { Some(*bbo) } else { None });
        let book = self.books().last().map(|(_, view)| (view.bids[0], view.asks[0]));
        quote.map(|bbo| (bbo.bid, bbo.ask)).or(book)
    }

    fn effective_spread_bps(&self) -> f64 {
        let paid: Vec<f64> = (0..self.events.len())
            .filter_map(|place| {
                let Event::Trade(price, qty, side) = self.events[place].1 else { return None };
                let before = Batch { events: &self.events[..place], ..*self };
                let (bid, ask) = before.latest_quote()?;
                let mid = mid_of(bid, ask).filter(|_| qty > 0)?;
                let over = 2e4 * (price as f64 / 1e9 / mid - 1.0);
                Some(if side == Side::Buy { over } else { -over })
            })
            .collect();
        // The weighted mean written out: the first weighs (31/32)^n, the trade k places before the last (31/32)^k / 32.
        let count = paid.len();
        paid.iter().enumerate().fold(0.0, |mean, (place, value)| {
            let age = (count - 1 - place) as i32;
            mean + value * (31f64 / 32.0).powi(age) * if place == 0 { 1.0 } else { 1.0 / 32.0 }
        })
    }

    fn total(&self, levels: usize, is_bid: bool) -> f64 {
        let view = self.book();
        let side = if is_bid { view.bids } else { view.asks };
        side[..levels].iter().map(|level| units(*level)).sum()
    }

    fn imbalance(&self, levels: usize) -> f64 {
        let (bid, ask) = (self.total(levels, true), self.total(levels, false));
        if bid + ask == 0.0 { 0.0 } else { (bid - ask) / (bid + ask) }
    }

    fn slope_log_ratio(&self) -> f64 {
        let (view, Some(mid)) = (self.book(), self.book_mid()) else { return 0.0 };
        let bid_distance = mid - px(view.bids[view.bid_levels - 1]);
        let ask_distance = px(view.asks[view.ask_levels - 1]) - mid;
        if bid_distance <= 0.0 || ask_distance <= 0.0 {
            return 0.0;
        }
        self.total(10, true).ln() - bid_distance.ln() - self.total(10, false).ln() + ask_distance.ln()
    }

    fn order_flow(&self, levels: Range<usize>, seconds: i64) -> f64 {
        let books = self.books();
        let (mut flow, mut depths) = (0.0, Vec::new());
        for (place, (at, view)) in books.iter().enumerate() {
            if !self.is_inside(*at, seconds) {
                continue;
            }
            let mut depth = 0.0;
            for level in levels.clone() {
                let (bid, ask) = (view.bids[level], view.asks[level]);
                depth += (units(bid) + units(ask)) / 2.0 / levels.len() as f64;
                if place == 0 {
                    continue;
                }
                let (bid_before, ask_before) = (books[place - 1].1.bids[level], books[place - 1].1.asks[level]);
                flow += match bid.price.cmp(&bid_before.price) {
                    std::cmp::Ordering::Greater => units(bid),
                    std::cmp::Ordering::Equal => units(bid) - units(bid_before),
                    std::cmp::Ordering::Less => -units(bid_before),
                } / levels.len() as f64;
                // No ask is an ask beyond every price.
                let beyond = |level: Level| if level.qty.0 == 0 { i64::MAX } else { level.price.0 };
                flow -= match beyond(ask).cmp(&beyond(ask_before)) {
                    std::cmp::Ordering::Less => units(ask),
                    std::cmp::Ordering::Equal => units(ask) - units(ask_before),
                    std::cmp::Ordering::Greater => -units(ask_before),
                } / levels.len() as f64;
            }
            depths.push(depth);
        }
        let mean_depth = depths.iter().sum::<f64>() / depths.len() as f64;
        if mean_depth > 0.0 { flow / mean_depth } else { 0.0 }
    }

    fn trades(&self) -> Vec<(i64, i64, Side)> {
        let trade =
            |(at, event): &(i64, Event)| if let Event::Trade(_, qty, side) = event { Some((*at, *qty, *side)) } else { None };
        self.events.iter().filter_map(trade).filter(|(_, qty, _)| *qty > 0).collect()
    }

    fn trade_imbalance(&self, seconds: i64) -> f64 {
        let volume = |of: Side| -> i64 {
            self.trades().iter().filter(|(at, _, side)| *side == of && self.is_inside(*at, seconds)).map(|(_, qty, _)| qty).sum()
        };
        let (bought, sold) = (volume(Side::Buy) as f64, volume(Side::Sell) as f64);
        if bought + sold == 0.0 { 0.0 } else { (bought - sold) / (bought + sold) }
    }

    /// Every unit of volume in a row, cut into buckets.
    fn vpin(&self) -> f64 {
        let mut trades = self.trades();
        let bucket = match self.config.vpin_bucket {
            Some(volume) => volume.0,
            None => {
                let learnt = CALIBRATION_TRADES as usize;
                if trades.len() < learnt {
                    return 0.0;
                }
                let volume: i64 = trades.drain(..learnt).map(|(_, qty, _)| qty).sum();
                (volume * i64::from(TRADES_PER_BUCKET) / i64::from(CALIBRATION_TRADES)).max(1)
            }
        };
        let units: Vec<i64> = trades.iter().flat_map(|(_, qty, side)| vec![side.sign(); *qty as usize]).collect();
        let one_sided: Vec<i64> = units.chunks_exact(bucket as usize).map(|bucket| bucket.iter().sum::<i64>().abs()).collect();
        let buckets = self.config.vpin_buckets.get();
        if one_sided.len() < buckets {
            return 0.0;
        }
        one_sided[one_sided.len() - buckets..].iter().sum::<i64>() as f64 / (buckets as i64 * bucket) as f64
    }

    fn returns(&self, seconds: i64) -> Vec<f64> {
        let mids: Vec<(i64, Option<f64>)> =
            self.books().iter().map(|(at, view)| (*at, mid_of(view.bids[0], view.asks[0]))).collect();
        let inside = mids.windows(2).filter(|pair| self.is_inside(pair[1].0, seconds));
        inside.filter_map(|pair| Some(pair[1].1?.ln() - pair[0].1?.ln())).collect()
    }
}

fn px(level: Level) -> f64 {
    level.price.0 as f64 / 1e9
}

fn units(level: Level) -> f64 {
    level.qty.0 as f64
}

fn mid_of(bid: Level, ask: Level) -> Option<f64> {
    (bid.qty.0 > 0 && ask.qty.0 > 0).then(|| (px(bid) + px(ask)) / 2.0)
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
    prop_oneof![20 => trade().prop_map(Step::Event), 1 => Just(Step::Decide)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![3 => view().prop_map(|view| Event::Book(Box::new(view))), 4 => trade(), 2 => view().prop_map(|view| Event::Quote(view.bbo()))]
}

fn trade() -> impl Strategy<Value = Event> {
    (90i64..110, 0i64..30, any::<bool>())
        .prop_map(|(price, qty, is_buy)| Event::Trade(price * 1_000_000_000, qty, if is_buy { Side::Buy } else { Side::Sell }))
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
