//! Bars as a CSV file, which [`read_history`](super::read_history) reads back.

use super::Ohlcv;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Writes bars as CSV: times in nanoseconds since 1970, numbers such that they read back to the same bits, fields that are not known empty.
///
/// # Errors
/// What the writer says.
pub fn write_bars(bars: &[Ohlcv], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "open_time,close_time,open,high,low,close,volume,notional,trades,buy_volume")?;
    let mut line = String::new();
    for bar in bars {
        line.clear();
        let Ohlcv { start_ns, end_ns, open, high, low, close, volume, notional, flow } = bar;
        // Writing to a string cannot fail.
        let _ = write!(line, "{start_ns},{end_ns},{open},{high},{low},{close},{volume},{notional},");
        let _ = match flow {
            Some(flow) => writeln!(line, "{},{}", flow.trades, flow.buy_volume),
            None => writeln!(line, ","),
        };
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Flow, HistoryOptions, read_history};
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let bar = |start_ns: i64, flow: Option<Flow>| Ohlcv {
            start_ns,
            end_ns: start_ns + 7,
            open: 0.1 + 0.2,
            high: 1.0 / 3.0,
            low: 0.1,
            close: 0.3,
            volume: 1e-9,
            notional: 3e-10,
            flow,
        };
        let start_ns = 1_700_000_000_123_456_789;
        let bars = [bar(start_ns, Some(Flow { trades: 3, buy_volume: 5e-10 })), bar(start_ns + 9, None)];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bars.csv");
        let mut text = Vec::new();
        write_bars(&bars, &mut text).unwrap();
        std::fs::write(&path, &text).unwrap();
        assert_eq!(read_history(&path, &HistoryOptions::default()).unwrap().bars, bars);
    }
}
