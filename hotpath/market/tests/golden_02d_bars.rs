//! Tick, volume and dollar bars against mlfinpy.

use chronos_market::bars::{Bar, BarRule, Bars};
use chronos_market::features::estimators::TickRule;
use chronos_market::{Price, Qty, Side, Timestamp};
use serde_json::Value;

#[test]
fn bars_of_every_standard_kind() {
    let Some(golden) = chronos_tests::golden_json("02d_bars.json") else { return };
    let threshold = |kind: &str| golden["expected"][kind]["threshold"].as_f64().unwrap();
    for (kind, rule) in [
        ("tick", BarRule::Trades(threshold("tick") as u64)),
        ("volume", BarRule::Volume(Qty::from_f64(threshold("volume")).unwrap())),
        ("dollar", BarRule::Notional(threshold("dollar"))),
    ] {
        let bars = bars(&golden, rule);
        let expected = &golden["expected"][kind];
        let columns: Vec<&str> = expected["columns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        let rows = expected["rows"].as_array().unwrap();
        assert_eq!(bars.len(), rows.len(), "{kind}");
        for ((last, bar), row) in bars.iter().zip(rows) {
            for (column, expected) in columns.iter().zip(row.as_array().unwrap()) {
                let (value, expected) = (value(column, *last, bar), expected.as_f64().unwrap());
                assert!((value - expected).abs() <= 1e-10 * expected.abs(), "{kind} {column} at {last}: {value} is not {expected}");
            }
        }
    }
}

/// Each bar with the place of its last trade. The fixture signs trades by the tick rule; one without a sign counts as not bought.
fn bars(golden: &Value, rule: BarRule) -> Vec<(usize, Bar)> {
    let [prices, sizes, times] = ["price", "size", "time_ms"]
        .map(|name| golden["inputs"][name].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect::<Vec<f64>>());
    let (mut bars, mut tick_rule) = (Bars::new(rule), TickRule::default());
    (0..prices.len())
        .filter_map(|place| {
            let (price, qty) = (Price::from_f64(prices[place]).unwrap(), Qty::from_f64(sizes[place]).unwrap());
            let side = if tick_rule.sign(price) > 0 { Side::Buy } else { Side::Sell };
            bars.on_trade(Timestamp(times[place] as i64 * 1_000_000), price, qty, Some(side)).map(|bar| (place, bar))
        })
        .collect()
}

fn value(column: &str, last: usize, bar: &Bar) -> f64 {
    match column {
        "last_tick_index" => last as f64,
        "tick_num" => last as f64 + 1.0,
        "open" => bar.open.to_f64(),
        "high" => bar.high.to_f64(),
        "low" => bar.low.to_f64(),
        "close" => bar.close.to_f64(),
        "volume" => bar.volume.to_f64(),
        "cum_buy_volume" => bar.buy_volume.to_f64(),
        "cum_ticks" => bar.trades as f64,
        "cum_dollar_value" => bar.notional(),
        other => panic!("unknown column {other}"),
    }
}
