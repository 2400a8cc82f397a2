//! Where prices and features come from: histories and captures.

use super::DatasetError;
use super::bar_features::{BAR_FEATURE_COUNT, BarFeatures, bar_features};
use crate::bars::{Ohlcv, TradeBars, closes, coarser_bars, ends_ns};
use chronos_market::bars::BarRule;
use chronos_market::features::{FEATURE_COUNT, FeatureSpec, registry};
use chronos_market::{BookState, Frame, Instrument, MarketEvent};
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::Crossing;
use chronos_session::config::Config;
use chronos_session::features::follow;

use std::path::PathBuf;

/// Rows of features, each known at a time.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct FeatureRows {
    /// Names and versions, in the order of a row.
    pub features: Vec<(String, u16)>,
    /// When each row was known, nanoseconds since the epoch, never going back.
    pub times_ns: Vec<i64>,
    /// Row after row.
    pub values: Vec<f64>,
}

impl FeatureRows {
    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.features.len()..(row + 1) * self.features.len()]
    }

    /// The last row known at a time; `None` before the first.
    pub fn as_of(&self, time_ns: i64) -> Option<usize> {
        self.times_ns.partition_point(|known_ns| *known_ns <= time_ns).checked_sub(1)
    }

    fn named(specs: &[FeatureSpec]) -> FeatureRows {
        let features = specs.iter().map(|spec| (spec.name.to_owned(), spec.version)).collect();
        FeatureRows { features, ..FeatureRows::default() }
    }
}

/// What a source shows of a market.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Observed {
    /// What the instrument is called.
    pub instrument: String,
    /// When each price was known, never going back.
    pub times_ns: Vec<i64>,
    /// Prices that labels are made from.
    pub prices: Vec<f64>,
    /// Features.
    pub features: FeatureRows,
    /// Inputs read: bars of a history, lines of captures.
    pub inputs: u64,
    /// Everything up to this time can be known from these inputs.
    pub settled_ns: i64,
}

/// Something that can be observed in full, or with its future cut off.
pub trait Source {
    /// Observes the first `inputs` inputs, or all of them. `progress` is told what is done of what there is.
    ///
    /// # Errors
    /// What is wrong with the inputs.
    fn observe(&self, inputs: Option<u64>, progress: &mut dyn FnMut(u64, u64)) -> Result<Observed, DatasetError>;
}

/// Bars of a history, or coarser ones made of them, with the [bar features](super::bar_features()).
#[derive(Clone, PartialEq, Debug)]
pub struct BarSource {
    /// What the instrument is called.
    pub instrument: String,
    /// The bars.
    pub bars: Vec<Ohlcv>,
    /// Sums them up; `None` to take them as they are.
    pub rule: Option<BarRule>,
}

impl Source for BarSource {
    fn observe(&self, inputs: Option<u64>, progress: &mut dyn FnMut(u64, u64)) -> Result<Observed, DatasetError> {
        let count = inputs.map_or(self.bars.len(), |inputs| self.bars.len().min(inputs as usize));
        let finest = &self.bars[..count];
        let coarser = match self.rule {
            Some(rule) => Some(coarser_bars(finest, rule)?),
            None => None,
        };
        let bars = coarser.as_deref().unwrap_or(finest);
        let mut state = BarFeatures::new();
        let mut features = FeatureRows::named(bar_features());
        features.values.reserve(bars.len() * BAR_FEATURE_COUNT);
        for bar in bars {
            features.values.extend(state.push(bar));
        }
        features.times_ns = ends_ns(bars);
        progress(count as u64, count as u64);
        Ok(Observed {
            instrument: self.instrument.clone(),
            times_ns: features.times_ns.clone(),
            prices: closes(bars),
            features,
            inputs: count as u64,
            settled_ns: finest.last().map_or(i64::MIN, |bar| bar.end_ns),
        })
    }
}

/// Captures: features at every warm decision tick, prices the mid at each, or the closes of bars of the trades.
///
/// Captures hold one instrument, or the configuration chooses one.
#[derive(Clone, PartialEq, Debug)]
pub struct CaptureSource {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Decision ticks, features and instruments are read of it.
    pub config: Config,
    /// Prices are closes of such bars, features those of the last tick at each; `None` for a price at each tick.
    pub rule: Option<BarRule>,
}

impl Source for CaptureSource {
    fn observe(&self, inputs: Option<u64>, progress: &mut dyn FnMut(u64, u64)) -> Result<Observed, DatasetError> {
        let begin = |instruments: &[Instrument]| {
            Ok(Ticks {
                instruments: instruments.len(),
                features: FeatureRows::named(registry()),
                mids: Vec::new(),
                bars: self.rule.map(|rule| TradeBars::new(instruments, rule)),
            })
        };
        let mut tell = |done: chronos_session::Progress| progress(done.bytes_read, done.bytes_total);
        let (ticks, followed) = follow(&self.paths, &self.config, inputs, begin, |ticks| ticks.instruments != 1, &mut tell)?;
        if ticks.instruments != 1 {
            return Err(DatasetError::Instruments { instruments: followed.instruments.join(", ") });
        }
        // Another message may bear the same time as the last one.
        let settled_ns = followed.last_recv_ns.saturating_sub(1);
        let instrument = followed.instruments.into_iter().next().unwrap_or_default();
        let (times_ns, prices) = match ticks.bars.and_then(|bars| bars.into_bars(settled_ns).into_iter().next()) {
            Some(made) => (ends_ns(&made.bars), closes(&made.bars)),
            None => (ticks.features.times_ns.clone(), ticks.mids),
        };
        Ok(Observed { instrument, times_ns, prices, features: ticks.features, inputs: followed.messages, settled_ns })
    }
}

/// Takes ticks, and trades where bars are wanted.
struct Ticks {
    instruments: usize,
    features: FeatureRows,
    mids: Vec<f64>,
    bars: Option<TradeBars>,
}

impl Crossing for Ticks {
    fn event(&mut self, event: &MarketEvent) {
        if let Some(bars) = &mut self.bars {
            bars.event(event);
        }
    }

    fn frame(&mut self, frame: &Frame, _started: Started) {
        if frame.warmup_left > 0 || frame.book != BookState::Synced || !frame.bbo.is_two_sided() {
            return;
        }
        self.features.times_ns.push(frame.recv_ns);
        self.features.values.extend(&frame.features[..FEATURE_COUNT]);
        self.mids.push(frame.bbo.mid());
    }
}
