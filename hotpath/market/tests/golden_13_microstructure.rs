//! The microstructure estimators against published formulas computed by numpy and statsmodels.

use chronos_market::bars::{Bar, BarRule, Bars};
use chronos_market::book::{DepthView, TOP_LEVELS};
use chronos_market::features::estimators::{
    PairSums, PrincipalWeights, TickRule, amihud, corwin_schultz, corwin_schultz_alpha, effective_spread, lee_ready, price_impact,
    realized_spread, roll_spread,
};
use chronos_market::features::{Vpin, bulk_buy_share, imbalance, mean_depth, microprice, order_flow};
use chronos_market::{Level, Price, Qty, Side, Timestamp};
use serde_json::Value;
use std::num::NonZeroUsize;

const FILE: &str = "13_microstructure.json";

#[test]
fn order_flow_per_event_and_per_window_of_every_level() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let views = views(&golden);
    let levels = golden["params"]["levels"].as_u64().unwrap() as usize;
    let window = golden["params"]["ofi_window"].as_u64().unwrap() as usize;
    let flows = flows(&views);

    let level_1 = numbers(&golden["expected"]["ofi_level1_per_event"]);
    assert_eq!(level_1.len(), flows.len());
    flows.iter().zip(&level_1).for_each(|(flow, expected)| assert_near(flow[0], *expected, "level 1"));

    let per_level = rows(&golden["expected"]["ofi_levels_per_event_first_100"]);
    assert_eq!((per_level.len(), per_level[0].len()), (100, levels));
    for (flow, expected) in flows.iter().zip(&per_level) {
        flow.iter().zip(expected).for_each(|(flow, expected)| assert_near(*flow, *expected, "per level"));
    }

    let sums = rows(&golden["expected"]["ofi_window_sum_per_level"]);
    let depths = numbers(&golden["expected"]["mean_depth_per_window"]);
    let normalised = rows(&golden["expected"]["ofi_normalised_by_depth"]);
    assert_eq!((sums.len(), depths.len(), normalised.len()), (views.len() / window, sums.len(), sums.len()));
    for (number, (flows, views)) in flows.chunks_exact(window).zip(views.chunks_exact(window)).enumerate() {
        let depth = views.iter().map(|view| mean_depth(view, levels)).sum::<f64>() / window as f64;
        assert_near(depth, depths[number], "depth");
        for level in 0..levels {
            let sum = flows.iter().map(|flow| flow[level]).sum::<f64>();
            assert_near(sum, sums[number][level], "window sum");
            assert_near(sum / depth, normalised[number][level], "normalised");
        }
    }
}

#[test]
fn microprice_and_imbalances() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let expected = &golden["expected"];
    let (micro, one, five) =
        (numbers(&expected["microprice"]), numbers(&expected["imbalance_l1"]), numbers(&expected["imbalance_5"]));
    let views = views(&golden);
    assert_eq!((micro.len(), one.len(), five.len()), (views.len(), views.len(), views.len()));
    for (number, view) in views.iter().enumerate() {
        assert_near(microprice(&view.bbo()).unwrap(), micro[number], "microprice");
        assert_near(imbalance(view, 1), one[number], "imbalance 1");
        assert_near(imbalance(view, 5), five[number], "imbalance 5");
    }
}

#[test]
fn integrated_order_flow_and_its_price_impact() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let expected = &golden["expected"];
    let views = views(&golden);
    // The fixture's levels are what the weights are over.
    const LEVELS: usize = 5;
    assert_eq!(golden["params"]["levels"].as_u64().unwrap() as usize, LEVELS);
    let window = golden["params"]["ofi_window"].as_u64().unwrap() as usize;
    let mut weights = PrincipalWeights::<LEVELS>::new();
    let (mut observations, mut best_flows, mut changes, mut mid_before) =
        (Vec::new(), Vec::new(), Vec::new(), views[0].bbo().mid());
    for (flows, views) in flows(&views).chunks_exact(window).zip(views.chunks_exact(window)) {
        let depth = views.iter().map(|view| mean_depth(view, LEVELS)).sum::<f64>() / window as f64;
        let observation: [f64; LEVELS] = std::array::from_fn(|level| flows.iter().map(|flow| flow[level]).sum::<f64>() / depth);
        weights.observe(&observation);
        observations.push(observation);
        best_flows.push(flows.iter().map(|flow| flow[0]).sum::<f64>());
        let mid = views[window - 1].bbo().mid();
        changes.push(mid - mid_before);
        mid_before = mid;
    }
    // The streaming weights take one step an observation; repeated they arrive at the component itself.
    (0..10_000).for_each(|_| weights.step());
    assert_all_near(weights.weights(), &numbers(&expected["integrated_ofi_weights_l1norm_pc1"]), "weights");
    let integrated: Vec<f64> = observations
        .iter()
        .map(|values| weights.weights().iter().zip(values).map(|(weight, value)| weight * value).sum())
        .collect();
    assert_all_near(&integrated, &numbers(&expected["integrated_ofi"]), "integrated order flow");
    assert_all_near(&changes, &numbers(&expected["mid_change_per_window"]), "mid change");
    // The fixture explains the changes by the unscaled flow of the best level.
    let line = PairSums::of_pairs(best_flows.into_iter().zip(changes));
    let regression = &expected["price_impact_regression"];
    assert_near(line.intercept().unwrap(), number(&regression["const"]), "constant");
    assert_near(line.slope().unwrap(), number(&regression["beta"]), "beta");
    assert_near(line.r2().unwrap(), number(&regression["r2"]), "r2");
    assert_near(line.slope_t().unwrap(), number(&regression["t_beta"]), "t of beta");
}

#[test]
fn spreads_and_impact_of_every_trade() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let expected = &golden["expected"];
    let views = views(&golden);
    let horizon = golden["params"]["effective_spread_horizon_snapshots"].as_u64().unwrap() as usize;
    let (mut effective, mut realized, mut impact, mut relative) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for trade in trades(&golden) {
        let (mid, later_mid) = (views[trade.snapshot].bbo().mid(), views[trade.snapshot + horizon].bbo().mid());
        effective.push(effective_spread(trade.price, mid, trade.side));
        realized.push(realized_spread(trade.price, later_mid, trade.side));
        impact.push(price_impact(mid, later_mid, trade.side));
        relative.push(1e4 * effective_spread(trade.price, mid, trade.side) / mid);
    }
    assert_all_near(&effective, &numbers(&expected["effective_spread"]), "effective spread");
    assert_all_near(&realized, &numbers(&expected["realized_spread"]), "realized spread");
    assert_all_near(&impact, &numbers(&expected["price_impact"]), "price impact");
    let means = &expected["means"];
    let volumes = numbers(&golden["inputs"]["trade_qty"]);
    let weighted =
        effective.iter().zip(&volumes).map(|(spread, volume)| spread * volume).sum::<f64>() / volumes.iter().sum::<f64>();
    assert_near(mean(&effective), number(&means["effective"]), "mean effective");
    assert_near(mean(&realized), number(&means["realized"]), "mean realized");
    assert_near(mean(&impact), number(&means["impact"]), "mean impact");
    assert_near(weighted, number(&means["effective_volume_weighted"]), "weighted effective");
    assert_near(mean(&relative), number(&means["effective_bps"]), "effective in basis points");
}

#[test]
fn trade_signs_by_the_tick_rule_and_by_lee_and_ready() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let expected = &golden["expected"];
    let views = views(&golden);
    let mut tick_rule = TickRule::default();
    let (mut ticks, mut signs, mut right) = (Vec::new(), Vec::new(), Vec::new());
    for trade in trades(&golden) {
        let tick = tick_rule.sign(trade.price);
        let sign = lee_ready(trade.price, views[trade.snapshot].bbo().mid(), tick);
        ticks.push(f64::from(tick));
        signs.push(f64::from(sign));
        right.push(if i64::from(sign) == trade.side.sign() { 1.0 } else { 0.0 });
    }
    assert_eq!(ticks, numbers(&expected["tick_rule"]));
    assert_eq!(signs, numbers(&expected["lee_ready"]));
    assert_near(mean(&right), number(&expected["lee_ready_accuracy"]), "accuracy");
}

#[test]
fn bars_of_trades() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let expected = &golden["expected"]["bars"];
    let bars = bars(&golden);
    let all = |of: fn(&Bar) -> f64| bars.iter().map(of).collect::<Vec<f64>>();
    assert_all_near(&all(|bar| bar.close.to_f64()), &numbers(&expected["close"]), "close");
    assert_all_near(&all(|bar| bar.volume.to_f64()), &numbers(&expected["volume"]), "volume");
    assert_all_near(&all(Bar::signed_volume), &numbers(&expected["signed_volume"]), "signed volume");
    assert_all_near(&all(Bar::notional), &numbers(&expected["dollar_volume"]), "notional");
}

#[test]
fn lambdas_of_kyle_and_hasbrouck() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let bars = bars(&golden);
    let kyle = PairSums::of_pairs(bars.windows(2).map(|pair| {
        let [before, bar] = [pair[0], pair[1]];
        (bar.signed_volume(), bar.close.to_f64() - before.close.to_f64())
    }));
    let expected = &golden["expected"]["kyle_lambda"];
    assert_near(kyle.intercept().unwrap(), number(&expected["const"]), "constant");
    assert_near(kyle.slope().unwrap(), number(&expected["lambda"]), "lambda");
    assert_near(kyle.slope_t().unwrap(), number(&expected["t"]), "t");
    assert_near(kyle.r2().unwrap(), number(&expected["r2"]), "r2");
    assert_near(kyle.slope_through_origin().unwrap(), number(&expected["lambda_no_intercept"]), "without intercept");

    let hasbrouck = PairSums::of_pairs(bars.windows(2).map(|pair| {
        let flow = pair[1].signed_notional();
        (flow.abs().sqrt().copysign(flow), log_return(pair[0].close.to_f64(), pair[1].close.to_f64()))
    }));
    let expected = &golden["expected"]["hasbrouck_lambda_no_intercept"];
    assert_relative(hasbrouck.slope_through_origin().unwrap(), number(&expected["lambda"]), 1e-9, "Hasbrouck");
    assert_near(hasbrouck.slope_through_origin_t().unwrap(), number(&expected["t"]), "Hasbrouck's t");
}

#[test]
fn illiquidity_of_amihud() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let bars = bars(&golden);
    let of_bars: Vec<f64> = bars
        .windows(2)
        .map(|pair| amihud(log_return(pair[0].close.to_f64(), pair[1].close.to_f64()), pair[1].notional()))
        .collect();
    assert_relative(mean(&of_bars), number(&golden["expected"]["amihud_bars"]), 1e-9, "bars");
    let (closes, volumes) = (numbers(&golden["inputs"]["daily_close"]), numbers(&golden["inputs"]["daily_dollar_volume"]));
    let of_days: Vec<f64> =
        closes.windows(2).zip(&volumes[1..]).map(|(pair, volume)| amihud(pair[1] / pair[0] - 1.0, *volume)).collect();
    assert_relative(mean(&of_days), number(&golden["expected"]["amihud_daily_simple_return"]), 1e-9, "days");
}

#[test]
fn spreads_of_roll_and_of_corwin_and_schultz() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let prices = numbers(&golden["inputs"]["trade_price"]);
    let changes: Vec<f64> = prices.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let covariance = PairSums::of_pairs(changes.windows(2).map(|pair| (pair[1], pair[0]))).covariance().unwrap();
    let expected = &golden["expected"]["roll_trades"];
    assert_near(covariance, number(&expected["autocov_np_cov_ddof1"]), "covariance");
    assert_near(roll_spread(covariance), number(&expected["spread"]), "Roll");

    let (highs, lows) = (numbers(&golden["inputs"]["daily_high"]), numbers(&golden["inputs"]["daily_low"]));
    let days: Vec<(f64, f64)> = highs.into_iter().zip(lows).collect();
    let alphas: Vec<f64> = days.windows(2).map(|pair| corwin_schultz_alpha(pair[0], pair[1])).collect();
    let spreads: Vec<f64> = alphas.iter().map(|alpha| corwin_schultz(*alpha)).collect();
    let clipped: Vec<f64> = spreads.iter().map(|spread| spread.max(0.0)).collect();
    let expected = &golden["expected"]["corwin_schultz"];
    assert_all_near(&alphas, &numbers(&expected["alpha"]), "alpha");
    assert_all_near(&spreads, &numbers(&expected["spread"]), "Corwin and Schultz");
    assert_near(mean(&clipped), number(&expected["spread_clipped_mean"]), "clipped mean");
}

#[test]
fn signed_vpin_and_its_buckets() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let mut vpin = vpin(&golden);
    let mut filled = Buckets::default();
    for (number, trade) in trades(&golden).into_iter().enumerate() {
        let before = vpin.completed();
        vpin.on_trade(trade.qty, Some(trade.side));
        filled.after(&vpin, before, number);
    }
    filled.assert_equal(&golden["expected"]["vpin_signed"], "bucket_end_trade");
}

#[test]
fn bulk_volume_vpin_and_its_buckets() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let sigma = number(&golden["params"]["bvc_sigma"]);
    let mut vpin = vpin(&golden);
    let (mut filled, mut bought, mut last_close) = (Buckets::default(), Vec::new(), None);
    for (number, bar) in bars(&golden).into_iter().enumerate() {
        let close = bar.close.to_f64();
        let share = last_close.replace(close).map_or(0.5, |before| bulk_buy_share(close - before, sigma));
        bought.push(bar.volume.to_f64() * share);
        let before = vpin.completed();
        vpin.on_volume(bar.volume, share);
        filled.after(&vpin, before, number);
    }
    assert_all_near(&bought, &numbers(&golden["expected"]["bvc_buy_volume"]), "bought");
    filled.assert_equal(&golden["expected"]["vpin_bvc"], "bucket_end_bar");
}

fn vpin(golden: &Value) -> Vpin {
    let buckets = golden["params"]["vpin_n_buckets"].as_u64().unwrap() as usize;
    Vpin::new(qty(number(&golden["params"]["vpin_bucket_volume"])), NonZeroUsize::new(buckets).unwrap())
}

/// What every bucket held, which element filled it, and VPIN then.
#[derive(Default)]
struct Buckets {
    buy_sell: Vec<(f64, f64)>,
    ends: Vec<f64>,
    values: Vec<f64>,
}

impl Buckets {
    fn after(&mut self, vpin: &Vpin, completed_before: u64, element: usize) {
        let filled = (vpin.completed() - completed_before) as usize;
        // The fixture's elements are smaller than a bucket, so that every value can be read.
        assert!(filled <= 1);
        self.buy_sell.extend((0..filled).map(|age| vpin.bucket_buy_sell(age).unwrap()));
        self.ends.extend((0..filled).map(|_| element as f64));
        self.values.extend(vpin.value().filter(|_| filled == 1));
    }

    fn assert_equal(&self, expected: &Value, ends: &str) {
        assert_all_near(&self.values, &numbers(&expected["vpin"]), "vpin");
        let buckets = rows(&expected["bucket_buy_sell"]);
        assert_eq!(self.buy_sell.len(), buckets.len());
        for ((bought, sold), expected) in self.buy_sell.iter().zip(&buckets) {
            assert_near(*bought, expected[0], "bought");
            assert_near(*sold, expected[1], "sold");
        }
        assert_eq!(self.ends, numbers(&expected[ends]));
    }
}

/// The first snapshot has no flow.
fn flows(views: &[DepthView]) -> Vec<[f64; TOP_LEVELS]> {
    std::iter::once([0.0; TOP_LEVELS]).chain(views.windows(2).map(|pair| order_flow(&pair[0], &pair[1]))).collect()
}

fn bars(golden: &Value) -> Vec<Bar> {
    let mut bars = Bars::new(BarRule::Trades(golden["params"]["bar_trades"].as_u64().unwrap()));
    let trades = trades(golden).into_iter();
    trades.filter_map(|trade| bars.on_trade(Timestamp(0), trade.price, trade.qty, Some(trade.side))).collect()
}

struct Trade {
    snapshot: usize,
    price: Price,
    qty: Qty,
    side: Side,
}

fn trades(golden: &Value) -> Vec<Trade> {
    let inputs = &golden["inputs"];
    let [snapshots, prices, volumes, signs] =
        ["trade_snapshot", "trade_price", "trade_qty", "trade_sign"].map(|name| numbers(&inputs[name]));
    let side = |sign: f64| if sign > 0.0 { Side::Buy } else { Side::Sell };
    let trade = |place: usize| Trade {
        snapshot: snapshots[place] as usize,
        price: price(prices[place]),
        qty: qty(volumes[place]),
        side: side(signs[place]),
    };
    (0..prices.len()).map(trade).collect()
}

fn views(golden: &Value) -> Vec<DepthView> {
    let inputs = &golden["inputs"];
    let [bid_px, bid_qty, ask_px, ask_qty] = ["bid_px", "bid_qty", "ask_px", "ask_qty"].map(|name| rows(&inputs[name]));
    (0..bid_px.len())
        .map(|row| {
            let mut view = DepthView { bid_levels: bid_px[row].len(), ask_levels: ask_px[row].len(), ..DepthView::default() };
            for place in 0..view.bid_levels {
                view.bids[place] = Level { price: price(bid_px[row][place]), qty: qty(bid_qty[row][place]) };
                view.asks[place] = Level { price: price(ask_px[row][place]), qty: qty(ask_qty[row][place]) };
            }
            view
        })
        .collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn log_return(before: f64, after: f64) -> f64 {
    (after / before).ln()
}

fn price(value: f64) -> Price {
    Price::from_f64(value).unwrap()
}

fn qty(value: f64) -> Qty {
    Qty::from_f64(value).unwrap()
}

fn assert_all_near(values: &[f64], expected: &[f64], what: &str) {
    assert_eq!(values.len(), expected.len(), "{what}");
    values.iter().zip(expected).for_each(|(value, expected)| assert_near(*value, *expected, what));
}

/// Relative 1e-9; a window's sum may cancel to nothing, where the sizes that went into it, about 1, set the scale.
fn assert_near(value: f64, expected: f64, what: &str) {
    let scale = if expected.abs() < 1e-6 { 1.0 } else { expected.abs() };
    assert!((value - expected).abs() <= 1e-9 * scale, "{what}: {value} is not {expected}");
}

fn assert_relative(value: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((value / expected - 1.0).abs() <= tolerance, "{what}: {value} is not {expected}");
}
