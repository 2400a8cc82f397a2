//! Bars of bars.

use super::{Flow, Ohlcv};
use crate::error::{SeriesError, in_time_order, positive};
use chronos_market::bars::{BarRule, Bars};
use chronos_market::features::estimators::TickRule;
use chronos_market::{Price, Qty, Side, Timestamp};

/// More volume in all than this does not fit 64-bit fixed point with room to spare, and is counted in larger units.
const VOLUME_MAX: f64 = 1e9;

/// Sums finer bars up by a rule, each taken whole as one trade at its close: `trades:24` is 24 of them, and the sides of imbalance and
/// runs bars are those of the tick rule on closes. A last bar that no rule closed is left out.
///
/// A time bar is known when its interval ends, any other when its last finer bar is.
///
/// # Errors
/// Times that go back; closes or volumes that are not finite and positive; prices too large for fixed point.
pub fn coarser_bars(finer: &[Ohlcv], rule: BarRule) -> Result<Vec<Ohlcv>, SeriesError> {
    in_time_order(&finer.iter().map(|bar| bar.start_ns).collect::<Vec<i64>>())?;
    positive("the close", &super::closes(finer))?;
    let volumes: Vec<f64> = finer.iter().map(|bar| bar.volume).collect();
    positive("the volume", &volumes)?;
    let total: f64 = volumes.iter().sum();
    let unit = 10_f64.powi((total / VOLUME_MAX).log10().ceil().max(0.0) as i32);
    let scaled = match rule {
        BarRule::Volume(volume) => BarRule::Volume(Qty(((volume.0 as f64 / unit).round() as i64).max(1))),
        BarRule::Notional(notional) => BarRule::Notional(notional / unit),
        other => other,
    };
    let width_ns = if let BarRule::Time(width_ns) = rule { Some(width_ns.max(1)) } else { None };
    let (mut bars, mut tick_rule) = (Bars::new(scaled), TickRule::default());
    let (mut coarser, mut from) = (Vec::new(), 0);
    for (row, bar) in finer.iter().enumerate() {
        let what = "the close";
        let price = Price::from_f64(bar.close).ok_or(SeriesError::Parameter { what, value: bar.close, must_be: "below 9.2e9" })?;
        // A volume below the unit of fixed point is still one.
        let qty = Qty(Qty::from_f64(bar.volume / unit).map_or(1, |qty| qty.0.max(1)));
        let side = if tick_rule.sign(price) > 0 { Side::Buy } else { Side::Sell };
        if bars.on_trade(Timestamp(bar.start_ns), price, qty, Some(side)).is_some() {
            // A time bar is closed by the first one after it.
            let to = if width_ns.is_some() { row } else { row + 1 };
            coarser.extend(joined(&finer[from..to], width_ns));
            from = to;
        }
    }
    if let Some(last) = finer.last()
        && bars.close_before(Timestamp(last.end_ns)).is_some()
    {
        coarser.extend(joined(&finer[from..], width_ns));
    }
    Ok(coarser)
}

/// One bar of a run of them; `None` of none.
fn joined(run: &[Ohlcv], width_ns: Option<i64>) -> Option<Ohlcv> {
    let (first, last) = (run.first()?, run.last()?);
    let flow = run.iter().try_fold(Flow { trades: 0, buy_volume: 0.0 }, |sum, bar| {
        bar.flow.map(|flow| Flow { trades: sum.trades + flow.trades, buy_volume: sum.buy_volume + flow.buy_volume })
    });
    let interval_end_ns = |width_ns: i64| (first.start_ns.div_euclid(width_ns) + 1).saturating_mul(width_ns);
    Some(Ohlcv {
        start_ns: first.start_ns,
        end_ns: width_ns.map_or(last.end_ns, |width_ns| last.end_ns.max(interval_end_ns(width_ns))),
        open: first.open,
        high: run.iter().fold(f64::NEG_INFINITY, |high, bar| high.max(bar.high)),
        low: run.iter().fold(f64::INFINITY, |low, bar| low.min(bar.low)),
        close: last.close,
        volume: run.iter().map(|bar| bar.volume).sum(),
        notional: run.iter().map(|bar| bar.notional).sum(),
        flow,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bars 10 ns wide.
    fn finer(rows: &[(f64, f64)]) -> Vec<Ohlcv> {
        let bar = |(row, (close, volume)): (usize, &(f64, f64))| Ohlcv {
            start_ns: row as i64 * 10,
            end_ns: row as i64 * 10 + 10,
            open: close - 1.0,
            high: close + 2.0,
            low: close - 3.0,
            close: *close,
            volume: *volume,
            notional: close * volume,
            flow: None,
        };
        rows.iter().enumerate().map(bar).collect()
    }

    #[test]
    fn three_bars_make_one_by_hand() {
        let bars = finer(&[(10.0, 2.0), (14.0, 3.0), (9.0, 5.0), (8.0, 1.0)]);
        let got = coarser_bars(&bars, BarRule::Trades(3)).unwrap();
        assert_eq!(got.len(), 1, "the last one was not closed");
        let Ohlcv { start_ns, end_ns, open, high, low, close, volume, notional, flow } = got[0];
        assert_eq!((start_ns, end_ns, open, high, low, close), (0, 30, 9.0, 16.0, 6.0, 9.0));
        assert_eq!((volume, notional, flow), (10.0, 20.0 + 42.0 + 45.0, None));
        let by_time = coarser_bars(&bars, BarRule::Time(20)).unwrap();
        assert_eq!(
            by_time.iter().map(|bar| (bar.start_ns, bar.end_ns, bar.volume)).collect::<Vec<_>>(),
            [(0, 20, 5.0), (20, 40, 6.0)]
        );
    }

    #[test]
    fn volumes_of_quote_currency_fit() {
        let bars = finer(&[(10.0, 4e12), (10.0, 4e12), (10.0, 9e12), (10.0, 1e12)]);
        let got = coarser_bars(&bars, BarRule::Notional(8e13)).unwrap();
        assert_eq!(got.iter().map(|bar| bar.volume).collect::<Vec<f64>>(), [8e12, 9e12]);
    }

    #[test]
    fn bad_input_is_told() {
        let told = |rows: &[(f64, f64)]| coarser_bars(&finer(rows), BarRule::Trades(1)).unwrap_err().to_string();
        assert!(told(&[(10.0, 1.0), (10.0, 0.0)]).contains("the volume is 0 at row 1"));
        assert!(told(&[(10.0, 1.0), (f64::NAN, 1.0)]).contains("row 1"));
        assert!(told(&[(1e10, 1.0)]).contains("below 9.2e9"));
        let mut bars = finer(&[(10.0, 1.0), (11.0, 1.0)]);
        bars.swap(0, 1);
        assert!(coarser_bars(&bars, BarRule::Trades(1)).unwrap_err().to_string().contains("sort the rows"));
    }

    proptest! {
        #[test]
        fn every_bar_is_a_run_of_finer_ones(rows in prop::collection::vec((1.0f64..50.0, 1.0f64..9.0), 1..80), volume in 1.0f64..60.0) {
            let bars = finer(&rows);
            let mut row = 0;
            for bar in coarser_bars(&bars, BarRule::Volume(Qty::from_f64(volume).unwrap())).unwrap() {
                let run = bars[row..].iter().take_while(|finer| finer.end_ns <= bar.end_ns).count();
                let before: f64 = rows[row..row + run - 1].iter().map(|row| row.1).sum();
                prop_assert!(before < volume + 1e-6 && bar.volume >= volume - 1e-6, "{before} {} {volume}", bar.volume);
                prop_assert_eq!((bar.start_ns, bar.close), (bars[row].start_ns, bars[row + run - 1].close));
                row += run;
            }
        }
    }
}
