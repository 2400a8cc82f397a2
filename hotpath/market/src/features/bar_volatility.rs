//! Volatility and momentum of bars of trades.

use super::estimators::{EwmaVariance, OhlcVolatility};
use super::registry::{FeatureSpec, FeatureWindow, Unit, spec};
use crate::bars::Bar;
use crate::bars::indicators::{Macd, Rsi};

pub(super) const SPECS: [FeatureSpec; 12] = [
    close_spec("close_to_close_20_bps", SHORT),
    close_spec("close_to_close_60_bps", LONG),
    bar_spec(
        "parkinson_20_bps",
        "1e4 * sqrt(mean of ln(high / low)^2 / (4 ln 2)) over the window; 0 before it is full",
        "Parkinson 1980",
    ),
    bar_spec(
        "garman_klass_20_bps",
        "1e4 * sqrt(mean of ln(high / low)^2 / 2 - (2 ln 2 - 1) ln(close / open)^2) over the window; 0 before it is full",
        "Garman and Klass 1980",
    ),
    bar_spec(
        "rogers_satchell_20_bps",
        "1e4 * sqrt(mean of ln(high / close) ln(high / open) + ln(low / close) ln(low / open)) over the window; 0 before it is \
         full",
        "Rogers and Satchell 1991",
    ),
    bar_spec(
        "yang_zhang_20_bps",
        "1e4 * sqrt(var(ln(open / close')) + k var(ln(close / open)) + (1 - k) Rogers-Satchell variance) over the window, k = \
         0.34 / (1.34 + (n + 1) / (n - 1)), sample variances; 0 before n returns",
        "Yang and Zhang 2000",
    ),
    bar_spec(
        "bipower_volatility_20_bps",
        "1e4 * sqrt(pi / 2 * mean of |r| |r'|) over the window's n pairs of neighbouring log returns of the close; 0 before n",
        "Barndorff-Nielsen and Shephard 2004",
    ),
    bar_spec(
        "median_volatility_20_bps",
        "1e4 * sqrt(pi / (6 - 4 sqrt(3) + pi) * mean of median(|r|, |r'|, |r''|)^2) over the window's n triples of neighbouring \
         log returns of the close; 0 before n",
        "MedRV; Andersen, Dobrev and Schaumburg 2012",
    ),
    spec(
        "jump_share_60",
        1,
        Unit::Ratio,
        Some(FeatureWindow::Bars(LONG)),
        "max(1 - b / v, 0), b = pi / 2 * mean of |r| |r'|, v = mean of r^2, log returns of the close; 0 before a full window and \
         where v is 0",
        "Huang and Tauchen 2005",
    ),
    spec(
        "ewma_volatility_bps",
        1,
        Unit::BasisPoints,
        Some(FeatureWindow::Bars(17)),
        "1e4 * sqrt(v), v = 0.94 v + 0.06 r^2 a bar from v = r^2 at the first, r = log return of the close; 0 before",
        "RiskMetrics 1996",
    ),
    spec(
        "rsi_14",
        1,
        Unit::Ratio,
        Some(FeatureWindow::Bars(14)),
        "(gain - loss) / (gain + loss) of the close's changes, Wilder's means over 14; 0 before and where nothing changed",
        "relative strength index scaled to -1 to 1; Wilder 1978",
    ),
    spec(
        "macd_bps",
        1,
        Unit::BasisPoints,
        Some(FeatureWindow::Bars(26)),
        "1e4 * (h - mean of h over 9) / close, h = mean of the close over 12 - over 26, exponential means m += 2 / (span + 1) * \
         (x - m) from the first value; 0 before",
        "MACD histogram; Appel 1979",
    ),
];

const fn bar_spec(name: &'static str, formula: &'static str, source: &'static str) -> FeatureSpec {
    spec(name, 1, Unit::BasisPoints, Some(FeatureWindow::Bars(SHORT)), formula, source)
}

const fn close_spec(name: &'static str, bars: u32) -> FeatureSpec {
    spec(
        name,
        1,
        Unit::BasisPoints,
        Some(FeatureWindow::Bars(bars)),
        "1e4 * sample standard deviation of the window's log returns of the close; 0 before it is full",
        "close-to-close volatility",
    )
}

const SHORT: u32 = 20;
const LONG: u32 = 60;
const RISK_METRICS_DECAY: f64 = 0.94;

#[derive(Clone, Debug)]
pub(super) struct BarVolatility {
    short: OhlcVolatility,
    long: OhlcVolatility,
    last_close: Option<f64>,
    ewma: EwmaVariance,
    rsi: Rsi,
    macd: Macd,
    values: [f64; SPECS.len()],
}

impl BarVolatility {
    pub(super) fn new() -> Self {
        BarVolatility {
            short: OhlcVolatility::new(SHORT as usize),
            long: OhlcVolatility::new(LONG as usize),
            last_close: None,
            ewma: EwmaVariance::new(RISK_METRICS_DECAY, None),
            rsi: Rsi::new(14),
            macd: Macd::new(12, 26, 9),
            values: [0.0; SPECS.len()],
        }
    }

    /// Bars whose prices are not all positive are passed over.
    pub(super) fn on_bar(&mut self, bar: &Bar) {
        if bar.low.0 <= 0 {
            return;
        }
        let [open, high, low, close] = [bar.open, bar.high, bar.low, bar.close].map(|price| price.to_f64());
        self.short.push(open, high, low, close);
        self.long.push(open, high, low, close);
        let log_return = self.last_close.replace(close).map(|before| (close / before).ln());
        let ewma = log_return.map_or(0.0, |log_return| self.ewma.update(log_return).sqrt());
        let rsi = self.rsi.update(close).map_or(0.0, |index| index / 50.0 - 1.0);
        let jumps = match (self.long.realized_variance(), self.long.bipower_variance()) {
            (Some(realized), Some(bipower)) if realized > 0.0 => (1.0 - bipower / realized).max(0.0),
            _ => 0.0,
        };
        let short = &self.short;
        self.values = [
            bps(short.close_to_close()),
            bps(self.long.close_to_close()),
            bps(short.parkinson()),
            bps(short.garman_klass()),
            bps(short.rogers_satchell()),
            bps(short.yang_zhang()),
            bps(short.bipower_variance().map(f64::sqrt)),
            bps(short.median_variance().map(f64::sqrt)),
            jumps,
            1e4 * ewma,
            rsi,
            1e4 * self.macd.update(close).histogram / close,
        ];
    }

    pub(super) fn clear(&mut self) {
        self.short.clear();
        self.long.clear();
        self.last_close = None;
        self.ewma = EwmaVariance::new(RISK_METRICS_DECAY, None);
        (self.rsi, self.macd) = (Rsi::new(14), Macd::new(12, 26, 9));
        self.values = [0.0; SPECS.len()];
    }

    /// As of the last bar.
    #[inline(always)]
    pub(super) fn values(&self) -> [f64; SPECS.len()] {
        self.values
    }
}

fn bps(volatility: Option<f64>) -> f64 {
    1e4 * volatility.unwrap_or(0.0)
}
