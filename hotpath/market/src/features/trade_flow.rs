//! Which side the takers are on, how large their trades are, and at what prices.

use super::estimators::TickRule;
use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use super::window::SlidingSums;
use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::time::Timestamp;

pub(super) const SPECS: [FeatureSpec; 10] = [
    trade_imbalance_spec("trade_imbalance_1s", 1),
    trade_imbalance_spec("trade_imbalance_10s", 10),
    trade_imbalance_spec("trade_imbalance_60s", 60),
    over_10s_spec(
        "trade_count_imbalance_10s",
        2,
        "mean over the window's trades of the aggressor's sign, 1 where it bought and -1 where it sold; where the venue does not \
         say, 1 for a price above the mid of effective_spread_bps, -1 below it, at it or without it as in \
         tick_rule_imbalance_10s; 0 without trades",
        "Chordia, Roll and Subrahmanyam 2002; Lee and Ready 1991",
    ),
    over_10s_spec(
        "tick_rule_imbalance_10s",
        1,
        "mean sign over the window's trades by the tick rule (1 above the price before, -1 below, else the sign before, from 0); 0 \
         without trades",
        "tick rule; Lee and Ready 1991",
    ),
    over_10s_spec(
        "trade_sign_persistence_10s",
        2,
        "mean over the window's trades of the sign (as in trade_count_imbalance_10s) times that of the trade before (0 at the \
         first); 0 without trades",
        "Lillo and Farmer 2004",
    ),
    vwap_spec("vwap_offset_10s_bps", 10),
    vwap_spec("vwap_offset_60s_bps", 60),
    spec(
        "trade_size_relative_1s",
        1,
        Unit::Log,
        Some(FeatureWindow::Seconds(1)),
        "ln(mean quantity a trade over 1 s / over 60 s); 0 without trades",
        "trade size against its recent level",
    ),
    spec(
        "trade_size_dispersion_60s",
        1,
        Unit::Log,
        Some(FeatureWindow::Seconds(60)),
        "ln(n * sum of qty^2 / (sum of qty)^2) / 2 over the window's n trades: 0 where all are of one size and without trades",
        "coefficient of variation of the trade size",
    ),
];

const CHORDIA: &str = "Chordia, Roll and Subrahmanyam 2002";

const fn over_10s_spec(name: &'static str, version: u16, formula: &'static str, source: &'static str) -> FeatureSpec {
    spec(name, version, Unit::Ratio, Some(FeatureWindow::Seconds(10)), formula, source)
}

const fn trade_imbalance_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    spec(
        name,
        2,
        Unit::Ratio,
        Some(FeatureWindow::Seconds(seconds)),
        "(buy - sell) / (volume of all trades) over the window, signs as in trade_count_imbalance_10s; 0 without trades",
        CHORDIA,
    )
}

const fn vwap_spec(name: &'static str, seconds: u32) -> FeatureSpec {
    spec(
        name,
        1,
        Unit::BasisPointsPerRootSecond,
        Some(FeatureWindow::Seconds(seconds)),
        "1e4 * (mid - p) / mid / sqrt(T), mid of the book, p the volume-weighted mean price over the window of T seconds; 0 \
         without a mid or trades",
        "distance to the volume-weighted average price",
    )
}

#[derive(Clone, Debug)]
pub(super) struct TradeFlow {
    /// Signed volume and volume, in units of [`Qty`], and 1 for each trade.
    over_1s: SlidingSums<3>,
    /// And notional, sign, tick rule's sign, sign times the sign before.
    over_10s: SlidingSums<7>,
    /// Signed volume, volume, 1, notional, squared quantity.
    over_60s: SlidingSums<5>,
    tick_rule: TickRule,
    last_sign: f64,
}

/// The sums of each window of trades.
pub(super) struct TradeSums {
    pub(super) over_1s: [f64; 3],
    pub(super) over_10s: [f64; 7],
    pub(super) over_60s: [f64; 5],
}

impl TradeFlow {
    pub(super) fn new() -> Self {
        TradeFlow {
            over_1s: SlidingSums::new(1),
            over_10s: SlidingSums::new(10),
            over_60s: SlidingSums::new(60),
            tick_rule: TickRule::default(),
            last_sign: 0.0,
        }
    }

    #[inline]
    pub(super) fn on_trade(&mut self, now: Timestamp, price: Price, qty: Qty, side: Option<Side>) {
        let (volume, sign) = (qty.0 as f64, side.map_or(0.0, |side| side.sign() as f64));
        let (signed, notional) = (sign * volume, price.to_f64() * volume);
        let tick_sign = f64::from(self.tick_rule.sign(price));
        self.over_1s.add(now, [signed, volume, 1.0]);
        self.over_10s.add(now, [signed, volume, 1.0, notional, sign, tick_sign, sign * self.last_sign]);
        self.over_60s.add(now, [signed, volume, 1.0, notional, volume * volume]);
        self.last_sign = sign;
    }

    pub(super) fn clear(&mut self) {
        self.over_1s.clear();
        self.over_10s.clear();
        self.over_60s.clear();
        (self.tick_rule, self.last_sign) = (TickRule::default(), 0.0);
    }

    #[inline(always)]
    pub(super) fn sums(&mut self, now: Timestamp) -> TradeSums {
        TradeSums { over_1s: self.over_1s.sums(now), over_10s: self.over_10s.sums(now), over_60s: self.over_60s.sums(now) }
    }
}

#[inline(always)]
pub(super) fn values(sums: &TradeSums, book_mid: Option<f64>) -> [f64; SPECS.len()] {
    let [signed_1s, volume_1s, trades_1s] = sums.over_1s;
    let [signed_10s, volume_10s, trades_10s, notional_10s, signs, tick_signs, sign_pairs] = sums.over_10s;
    let [signed_60s, volume_60s, trades_60s, notional_60s, squares] = sums.over_60s;
    let share = |of: f64| if of > 0.0 { 1.0 / of } else { 0.0 };
    let (of_volume_10s, of_volume_60s, of_trades_10s) = (share(volume_10s), share(volume_60s), share(trades_10s));
    let of_mid = book_mid.map_or(0.0, |mid| 1.0 / mid);
    let offset_bps = |notional: f64, of_volume: f64, seconds: f64| {
        if of_volume * of_mid > 0.0 { 1e4 / seconds.sqrt() * (1.0 - notional * of_volume * of_mid) } else { 0.0 }
    };
    let log_ratio = |above: f64, below: f64| if above > 0.0 && below > 0.0 { (above / below).ln() } else { 0.0 };
    [
        signed_1s * share(volume_1s),
        signed_10s * of_volume_10s,
        signed_60s * of_volume_60s,
        signs * of_trades_10s,
        tick_signs * of_trades_10s,
        sign_pairs * of_trades_10s,
        offset_bps(notional_10s, of_volume_10s, 10.0),
        offset_bps(notional_60s, of_volume_60s, 60.0),
        log_ratio(volume_1s * trades_60s, volume_60s * trades_1s),
        0.5 * log_ratio(squares * trades_60s, volume_60s * volume_60s),
    ]
}
