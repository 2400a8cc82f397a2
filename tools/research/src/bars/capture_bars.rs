//! Bars from the trades of captures.

use super::{Flow, Ohlcv};
use chronos_market::bars::{Bar, BarRule, Bars};
use chronos_market::{EventKind, Frame, Instrument, MarketEvent, Timestamp};
use chronos_pipeline::stopwatch::Started;
use chronos_pipeline::topology::Crossing;
use chronos_session::config::Config;
use chronos_session::features::{Followed, follow};
use chronos_session::{Progress, SessionError};
use std::path::PathBuf;

/// One instrument's bars.
#[derive(Clone, PartialEq, Debug)]
pub struct CaptureBars {
    /// Venue and symbol.
    pub instrument: String,
    /// The bars, oldest first; a last one that no rule closed is left out.
    pub bars: Vec<Ohlcv>,
    /// Trades of the instrument, those of a bar that was not closed too.
    pub trades: u64,
}

/// Bars of every instrument's trades, by receive time. A time bar is known when its interval has ended, any other with its last trade.
///
/// # Errors
/// [`SessionError`], with the place and the remedy.
pub fn capture_bars(
    paths: &[PathBuf],
    config: &Config,
    rule: BarRule,
    limit: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Vec<CaptureBars>, Followed), SessionError> {
    let begin = |instruments: &[Instrument]| Ok(TradeBars::new(instruments, rule));
    let (trades, followed) = follow(paths, config, limit, begin, |_| false, progress)?;
    Ok((trades.into_bars(followed.last_recv_ns), followed))
}

/// Takes trades and closes bars.
pub(crate) struct TradeBars {
    rule: BarRule,
    instruments: Vec<(Bars, CaptureBars)>,
}

impl TradeBars {
    pub(crate) fn new(instruments: &[Instrument], rule: BarRule) -> TradeBars {
        let of_one = |instrument: &Instrument| {
            let instrument = format!("{} {}", instrument.exchange, instrument.symbol);
            (Bars::new(rule), CaptureBars { instrument, bars: Vec::new(), trades: 0 })
        };
        TradeBars { rule, instruments: instruments.iter().map(of_one).collect() }
    }

    /// What was closed by `now_ns`, time bars too that no trade has followed yet.
    pub(crate) fn into_bars(self, now_ns: i64) -> Vec<CaptureBars> {
        let rule = self.rule;
        let finish = |(mut bars, mut closed): (Bars, CaptureBars)| {
            closed.bars.extend(bars.close_before(Timestamp(now_ns)).map(|bar| known(&bar, rule)));
            closed
        };
        self.instruments.into_iter().map(finish).collect()
    }
}

impl Crossing for TradeBars {
    fn event(&mut self, event: &MarketEvent) {
        if event.kind != EventKind::Trade {
            return;
        }
        let Some((bars, closed)) = self.instruments.get_mut(event.instrument.index()) else { return };
        closed.trades += 1;
        if let Some(bar) = bars.on_trade(Timestamp(event.recv_ns), event.price, event.qty, event.aggressor()) {
            closed.bars.push(known(&bar, self.rule));
        }
    }

    fn frame(&mut self, _frame: &Frame, _started: Started) {}
}

fn known(bar: &Bar, rule: BarRule) -> Ohlcv {
    let end_ns = match rule {
        BarRule::Time(width_ns) => (bar.first.0.div_euclid(width_ns.max(1)) + 1).saturating_mul(width_ns.max(1)),
        _ => bar.last.0,
    };
    Ohlcv {
        start_ns: bar.first.0,
        end_ns,
        open: bar.open.to_f64(),
        high: bar.high.to_f64(),
        low: bar.low.to_f64(),
        close: bar.close.to_f64(),
        volume: bar.volume.to_f64(),
        notional: bar.notional(),
        flow: Some(Flow { trades: bar.trades, buy_volume: bar.buy_volume.to_f64() }),
    }
}
