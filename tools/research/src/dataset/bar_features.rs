//! Features of bars: what each is, and one state that computes them all, bar after bar.

use crate::bars::Ohlcv;
use crate::fractional::fixed_width_weights;
use crate::statistics::correlation;
use chronos_market::bars::indicators::{Macd, Rsi, Sma};
use chronos_market::features::estimators::OhlcVolatility;
use chronos_market::features::{FeatureSpec, FeatureWindow, Unit, features_hash};
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// Order and threshold of the fractional difference.
const FRACTIONAL: (f64, f64) = (0.4, 1e-3);
const DAY_NS: i64 = 86_400_000_000_000;

const fn spec(name: &'static str, unit: Unit, bars: u32, formula: &'static str, source: &'static str) -> FeatureSpec {
    let window = if bars == 0 { None } else { Some(FeatureWindow::Bars(bars)) };
    FeatureSpec { name, version: 1, unit, window, formula, source }
}

const LOG_RETURN: &str = "ln(close / close of so many bars before)";
const DEVIATION: &str = "sample standard deviation of log returns";
const MOMENTUM: &str = "log return over the window / (volatility_100 * sqrt(bars))";
const DISTANCE: &str = "ln(close / mean of closes)";
const VOLUME_SCORE: &str = "(ln(volume) - its mean) / its standard deviation; 0 where that is 0";
const OWN: &str = "plain";
const MACD_SOURCE: &str = "Appel 1979, spans 12, 26, 9";

static REGISTRY: [FeatureSpec; 30] = [
    spec("return_1", Unit::Log, 1, LOG_RETURN, OWN),
    spec("return_5", Unit::Log, 5, LOG_RETURN, OWN),
    spec("return_20", Unit::Log, 20, LOG_RETURN, OWN),
    spec("return_60", Unit::Log, 60, LOG_RETURN, OWN),
    spec("volatility_20", Unit::Log, 20, DEVIATION, OWN),
    spec("volatility_100", Unit::Log, 100, DEVIATION, OWN),
    spec("parkinson_20", Unit::Log, 20, "sqrt(mean of ln(high / low)^2 / (4 ln 2))", "Parkinson 1980"),
    spec("garman_klass_20", Unit::Log, 20, "from range and body", "Garman and Klass 1980"),
    spec("rogers_satchell_20", Unit::Log, 20, "from range and body, free of drift", "Rogers and Satchell 1991"),
    spec("yang_zhang_20", Unit::Log, 20, "from gap, range and body", "Yang and Zhang 2000"),
    spec("jump_share_20", Unit::Ratio, 20, "max(0, 1 - bipower / realized variance)", "Barndorff-Nielsen and Shephard 2004"),
    spec("momentum_20", Unit::Number, 20, MOMENTUM, OWN),
    spec("momentum_60", Unit::Number, 60, MOMENTUM, OWN),
    spec("sma_distance_20", Unit::Log, 20, DISTANCE, OWN),
    spec("sma_distance_100", Unit::Log, 100, DISTANCE, OWN),
    spec("macd_line", Unit::Ratio, 26, "(fast less slow mean) / close", MACD_SOURCE),
    spec("macd_signal", Unit::Ratio, 26, "mean of the line / close", MACD_SOURCE),
    spec("macd_histogram", Unit::Ratio, 26, "(line less signal) / close", MACD_SOURCE),
    spec("rsi_14", Unit::Number, 14, "100 * mean gain / (mean gain + mean loss)", "Wilder 1978"),
    spec("volume_score_20", Unit::Number, 20, VOLUME_SCORE, OWN),
    spec("volume_score_100", Unit::Number, 100, VOLUME_SCORE, OWN),
    spec("amihud_20", Unit::Number, 20, "mean of |log return| / notional, times 1e6", "Amihud 2002"),
    spec(
        "autocorrelation_20",
        Unit::Number,
        20,
        "correlation of each log return with the one before; 0 where one does not vary",
        OWN,
    ),
    spec("range_1", Unit::Log, 1, "ln(high / low)", OWN),
    spec("body_1", Unit::Log, 1, "ln(close / open)", OWN),
    spec("close_place_1", Unit::Ratio, 1, "(close - low) / (high - low); 0.5 where they are one", OWN),
    spec("gap_1", Unit::Log, 1, "ln(open / close of the bar before)", OWN),
    spec(
        "fractional_40",
        Unit::Log,
        0,
        "fixed-width fractional difference of ln(close), order 0.4, threshold 1e-3",
        "Lopez de Prado 2018",
    ),
    spec("day_sine", Unit::Ratio, 0, "sine of the time of day, UTC, at which the bar was known", OWN),
    spec("day_cosine", Unit::Ratio, 0, "cosine of the time of day, UTC, at which the bar was known", OWN),
];

/// Number of bar features.
pub const BAR_FEATURE_COUNT: usize = REGISTRY.len();

/// Every bar feature, in the order of a row.
pub fn bar_features() -> &'static [FeatureSpec] {
    &REGISTRY
}

/// Hash over names and versions, as of the features of ticks.
pub fn bar_features_hash() -> String {
    features_hash(&REGISTRY.each_ref().map(|spec| (spec.name, spec.version)))
}

/// Computes a row at each bar, from bars up to then and nothing else.
pub(crate) struct BarFeatures {
    short: OhlcVolatility,
    long: OhlcVolatility,
    means: [Sma; 2],
    macd: Macd,
    rsi: Rsi,
    /// Means of the logarithm of volume and of its square, 20 and 100 bars.
    volumes: [[Sma; 2]; 2],
    illiquidity: Sma,
    weights: Vec<f64>,
    /// Log closes, the newest first.
    logs: VecDeque<f64>,
    bars: usize,
}

/// Log closes that are kept beside those of the fractional difference.
const LOGS_MIN: usize = 61;

impl BarFeatures {
    pub(crate) fn new() -> BarFeatures {
        let sma = |window: usize| [Sma::new(window), Sma::new(window)];
        BarFeatures {
            short: OhlcVolatility::new(20),
            long: OhlcVolatility::new(100),
            means: [Sma::new(20), Sma::new(100)],
            macd: Macd::new(12, 26, 9),
            rsi: Rsi::new(14),
            volumes: [sma(20), sma(100)],
            illiquidity: Sma::new(20),
            weights: fixed_width_weights(FRACTIONAL.0, FRACTIONAL.1, usize::MAX).unwrap_or_default(),
            logs: VecDeque::new(),
            bars: 0,
        }
    }

    /// The row at this bar, in the order of the registry; NaN where a window is not full yet.
    pub(crate) fn push(&mut self, bar: &Ohlcv) -> [f64; BAR_FEATURE_COUNT] {
        let Ohlcv { open, high, low, close, volume, notional, end_ns, .. } = *bar;
        self.bars += 1;
        self.short.push(open, high, low, close);
        self.long.push(open, high, low, close);
        self.logs.push_front(close.ln());
        self.logs.truncate(self.weights.len().max(LOGS_MIN));
        let change = |bars: usize| self.logs.get(bars).map_or(f64::NAN, |before| self.logs[0] - before);
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let last = change(1);
        let long = known(self.long.close_to_close());
        let momentum = |bars: usize| if long > 0.0 { change(bars) / (long * (bars as f64).sqrt()) } else { long };
        let distance = |mean: Option<f64>| (close / known(mean)).ln();
        let macd = self.macd.update(close);
        // The slow mean has seen its span.
        let relative = |value: f64| if self.bars >= 26 { value / close } else { f64::NAN };
        let jumps = match (self.short.bipower_variance(), self.short.realized_variance()) {
            (Some(bipower), Some(realized)) if realized > 0.0 => (1.0 - bipower / realized).max(0.0),
            (Some(_), Some(_)) => 0.0,
            _ => f64::NAN,
        };
        let illiquidity = if last.is_nan() { None } else { self.illiquidity.update(1e6 * last.abs() / notional) };
        let angle = TAU * end_ns.rem_euclid(DAY_NS) as f64 / DAY_NS as f64;
        let mean_distances = self.means.each_mut().map(|mean| distance(mean.update(close)));
        let volume_scores = self.volumes.each_mut().map(|means| score(volume.ln(), means));
        [
            last,
            change(5),
            change(20),
            change(60),
            known(self.short.close_to_close()),
            long,
            known(self.short.parkinson()),
            known(self.short.garman_klass()),
            known(self.short.rogers_satchell()),
            known(self.short.yang_zhang()),
            jumps,
            momentum(20),
            momentum(60),
            mean_distances[0],
            mean_distances[1],
            relative(macd.line),
            relative(macd.signal),
            relative(macd.histogram),
            known(self.rsi.update(close)),
            volume_scores[0],
            volume_scores[1],
            known(illiquidity),
            self.autocorrelation(),
            (high / low).ln(),
            (close / open).ln(),
            if high > low { (close - low) / (high - low) } else { 0.5 },
            self.logs.get(1).map_or(f64::NAN, |before| open.ln() - before),
            self.fractional(),
            angle.sin(),
            angle.cos(),
        ]
    }

    fn autocorrelation(&self) -> f64 {
        const PAIRS: usize = 20;
        if self.logs.len() < PAIRS + 2 {
            return f64::NAN;
        }
        let changes: Vec<f64> = (0..=PAIRS).map(|back| self.logs[back] - self.logs[back + 1]).collect();
        correlation(&changes[..PAIRS], &changes[1..]).unwrap_or(0.0)
    }

    fn fractional(&self) -> f64 {
        if self.logs.len() < self.weights.len() {
            return f64::NAN;
        }
        self.logs.iter().zip(&self.weights).map(|(log, weight)| log * weight).sum()
    }
}

/// Distance from the mean in standard deviations.
fn score(value: f64, [mean, mean_of_squares]: &mut [Sma; 2]) -> f64 {
    let (Some(mean), Some(squares)) = (mean.update(value), mean_of_squares.update(value * value)) else { return f64::NAN };
    let variance = squares - mean * mean;
    // What rounding leaves of a volume that does not vary.
    if variance > 1e-12 * squares { (value - mean) / variance.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn bars(count: usize) -> Vec<Ohlcv> {
        let mut random = fastrand::Rng::with_seed(9);
        let mut close: f64 = 100.0;
        let mut next = |row: usize| {
            let open = close * (1.0 + 0.002 * (random.f64() - 0.5));
            close = open * (1.0 + 0.02 * (random.f64() - 0.5));
            let (high, low) = (open.max(close) * 1.003, open.min(close) * 0.998);
            let volume = 1.0 + 9.0 * random.f64();
            let start_ns = row as i64 * 3_600_000_000_000;
            Ohlcv {
                start_ns,
                end_ns: start_ns + 3_600_000_000_000,
                open,
                high,
                low,
                close,
                volume,
                notional: close * volume,
                flow: None,
            }
        };
        (0..count).map(&mut next).collect()
    }

    #[test]
    fn names_are_unique_and_every_window_fills() {
        let names: BTreeSet<&str> = bar_features().iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), BAR_FEATURE_COUNT);
        let mut features = BarFeatures::new();
        let rows: Vec<_> = bars(130).iter().map(|bar| features.push(bar)).collect();
        assert!(rows[129].iter().all(|value| value.is_finite()), "{:?}", rows[129]);
        assert_eq!(bar_features_hash().len(), 64);
    }

    #[test]
    fn values_are_those_of_the_formulas() {
        let bars = bars(160);
        let mut features = BarFeatures::new();
        let rows: Vec<_> = bars.iter().map(|bar| features.push(bar)).collect();
        let row = rows[rows.len() - 1];
        let value = |name: &str| row[bar_features().iter().position(|spec| spec.name == name).unwrap()];
        let close =
            |name: &str, expected: f64| assert!((value(name) - expected).abs() < 1e-9, "{name}: {} {expected}", value(name));
        let (now, newest) = (bars.len() - 1, bars[bars.len() - 1]);
        let log = |back: usize| (newest.close / bars[now - back].close).ln();
        close("return_1", log(1));
        close("return_60", log(60));
        let deviation = |count: usize| {
            let changes: Vec<f64> = (0..count).map(|back| (bars[now - back].close / bars[now - back - 1].close).ln()).collect();
            let mean = changes.iter().sum::<f64>() / count as f64;
            (changes.iter().map(|change| (change - mean).powi(2)).sum::<f64>() / (count - 1) as f64).sqrt()
        };
        close("volatility_20", deviation(20));
        close("momentum_20", log(20) / (deviation(100) * 20_f64.sqrt()));
        let mean = (0..20).map(|back| bars[now - back].close).sum::<f64>() / 20.0;
        close("sma_distance_20", (newest.close / mean).ln());
        let volumes: Vec<f64> = (0..20).map(|back| bars[now - back].volume.ln()).collect();
        let mean = volumes.iter().sum::<f64>() / 20.0;
        let variance = volumes.iter().map(|volume| (volume - mean).powi(2)).sum::<f64>() / 20.0;
        close("volume_score_20", (volumes[0] - mean) / variance.sqrt());
        close("gap_1", (newest.open / bars[now - 1].close).ln());
        close("close_place_1", (newest.close - newest.low) / (newest.high - newest.low));
        let weights = fixed_width_weights(FRACTIONAL.0, FRACTIONAL.1, usize::MAX).unwrap();
        close("fractional_40", weights.iter().enumerate().map(|(back, weight)| weight * bars[now - back].close.ln()).sum());
        // 160 hours after midnight: four in the afternoon.
        close("day_sine", (TAU * 16.0 / 24.0).sin());
        let amihud = (0..20).map(|back| 1e6 * (log(back) - log(back + 1)).abs() / bars[now - back].notional).sum::<f64>() / 20.0;
        close("amihud_20", amihud);
    }
}
