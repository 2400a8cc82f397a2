//! Order flow imbalance, microprice, imbalance, effective spread and signed VPIN against published formulas computed by numpy.

use chronos_market::book::DepthView;
use chronos_market::features::{Vpin, effective_spread, imbalance, mean_depth, microprice, order_flow};
use chronos_market::{Level, Price, Qty, Side};
use serde_json::Value;
use std::num::NonZeroUsize;

const FILE: &str = "13_microstructure.json";

#[test]
fn order_flow_per_event_and_per_window_of_every_level() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let views = views(&golden);
    let levels = golden["params"]["levels"].as_u64().unwrap() as usize;
    let window = golden["params"]["ofi_window"].as_u64().unwrap() as usize;
    // The first snapshot has no flow.
    let mut flows = vec![[0.0; chronos_market::book::TOP_LEVELS]];
    flows.extend(views.windows(2).map(|pair| order_flow(&pair[0], &pair[1])));

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
fn effective_spread_of_every_trade() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let views = views(&golden);
    let expected = numbers(&golden["expected"]["effective_spread"]);
    let snapshots = numbers(&golden["inputs"]["trade_snapshot"]);
    let prices = numbers(&golden["inputs"]["trade_price"]);
    let sides = sides(&golden);
    assert_eq!(expected.len(), sides.len());
    for (number, side) in sides.into_iter().enumerate() {
        let mid = views[snapshots[number] as usize].bbo().mid();
        assert_near(effective_spread(price(prices[number]), mid, side), expected[number], "effective spread");
    }
}

#[test]
fn signed_vpin_and_its_buckets() {
    let Some(golden) = chronos_tests::golden_json(FILE) else { return };
    let buckets = golden["params"]["vpin_n_buckets"].as_u64().unwrap() as usize;
    let volume = qty(golden["params"]["vpin_bucket_volume"].as_f64().unwrap());
    let mut vpin = Vpin::new(Some(volume), NonZeroUsize::new(buckets).unwrap());
    let (mut buy_sell, mut ends, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (traded, side)) in numbers(&golden["inputs"]["trade_qty"]).into_iter().zip(sides(&golden)).enumerate() {
        let before = vpin.completed();
        vpin.on_trade(qty(traded), side);
        let filled = (vpin.completed() - before) as usize;
        buy_sell.extend((0..filled).rev().map(|age| vpin.bucket_buy_sell(age).unwrap()));
        ends.extend((0..filled).map(|_| number as f64));
        // The fixture's trades are smaller than a bucket, so that every value can be read.
        assert!(filled <= 1);
        values.extend(vpin.value().filter(|_| filled == 1));
    }
    let expected = &golden["expected"]["vpin_signed"];
    let expected_values = numbers(&expected["vpin"]);
    assert_eq!(values.len(), expected_values.len());
    values.iter().zip(&expected_values).for_each(|(value, expected)| assert_near(*value, *expected, "vpin"));
    let expected_buckets = rows(&expected["bucket_buy_sell"]);
    assert_eq!(buy_sell.len(), expected_buckets.len());
    for ((buy, sell), expected) in buy_sell.iter().zip(&expected_buckets) {
        assert_near(buy.to_f64(), expected[0], "bought");
        assert_near(sell.to_f64(), expected[1], "sold");
    }
    assert_eq!(ends, numbers(&expected["bucket_end_trade"]));
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

fn sides(golden: &Value) -> Vec<Side> {
    let signs = numbers(&golden["inputs"]["trade_sign"]);
    signs.into_iter().map(|sign| if sign > 0.0 { Side::Buy } else { Side::Sell }).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn price(value: f64) -> Price {
    Price::from_f64(value).unwrap()
}

fn qty(value: f64) -> Qty {
    Qty::from_f64(value).unwrap()
}

/// Relative 1e-9; a window's sum may cancel to nothing, where the sizes that went into it, about 1, set the scale.
fn assert_near(value: f64, expected: f64, what: &str) {
    let scale = if expected.abs() < 1e-6 { 1.0 } else { expected.abs() };
    assert!((value - expected).abs() <= 1e-9 * scale, "{what}: {value} is not {expected}");
}
