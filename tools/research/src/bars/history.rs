//! Histories of bars in CSV files, plain or in Zstandard.
//!
//! Columns are told by the header, in any case: `open`, `high`, `low`, `close`, `volume` (several instruments side by side as
//! `BTC:open`), one of `open_time`, `timestamp`, `time`, `date`, `datetime`, or a first column without a name; `close_time` where there
//! is one; `notional`, `trades` and `buy_volume` as `chronos bars` writes them. Other columns are not read.

use super::{Flow, Ohlcv, time_ns};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What a history's one time column says.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TimeColumn {
    /// When a bar began; it is known the usual distance of two bars later. Wrong for a file of closing times it is late by one bar, and
    /// never early.
    #[default]
    Open,
    /// When a bar ended, and was known.
    Close,
}

/// What is done with a bar without volume.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ZeroVolume {
    /// The history is refused.
    #[default]
    Refuse,
    /// The bar is left out, and counted.
    Drop,
}

/// How a history is read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct HistoryOptions {
    /// Which instrument, where columns name several (`BTC` of `BTC:open`).
    pub symbol: Option<String>,
    /// What the time column says, where there is no `close_time`.
    pub time: TimeColumn,
    /// What is done with bars without volume.
    pub zero_volume: ZeroVolume,
}

/// A history.
#[derive(Clone, PartialEq, Debug)]
pub struct History {
    /// The bars, at least two, times rising.
    pub bars: Vec<Ohlcv>,
    /// Hexadecimal SHA-256 of the file as it is.
    pub sha256: String,
    /// Bytes of the file as it is.
    pub bytes: u64,
    /// Rows before the instrument was listed: all of its fields empty.
    pub unlisted: u64,
    /// Bars left out because they had no volume.
    pub without_volume: u64,
}

/// Why a history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no table.
    #[error("{path}: {source}", path = path.display())]
    Csv {
        /// Which.
        path: PathBuf,
        /// Why, and where.
        source: csv::Error,
    },
    /// A column is missing.
    #[error("{path}: no column for {missing}; the header has {header}. {remedy}", path = path.display())]
    Column {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        missing: &'static str,
        /// The columns.
        header: String,
        /// What to do.
        remedy: String,
    },
    /// A row is wrong.
    #[error("{path}, line {line}: {what}; {remedy}", path = path.display())]
    Row {
        /// Which file.
        path: PathBuf,
        /// Line of the file, the header being the first.
        line: u64,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Fewer than two bars.
    #[error("{path}: {bars} bars, at least 2 are needed; is this the right file?", path = path.display())]
    Short {
        /// Which file.
        path: PathBuf,
        /// How many it has.
        bars: usize,
    },
}

/// Whether a file is a history: its name ends in `.csv` or `.csv.zst` and its header has open, high, low and close.
///
/// # Errors
/// The file cannot be read.
pub fn is_history(path: &Path) -> Result<bool, HistoryError> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    if path.is_dir() || !(name.ends_with(".csv") || name.ends_with(".csv.zst")) {
        return Ok(false);
    }
    let read = |source: io::Error| HistoryError::Read { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(read)?;
    let mut head = Vec::new();
    let reader: Box<dyn Read> =
        if name.ends_with(".zst") { Box::new(zstd::stream::read::Decoder::new(file).map_err(read)?) } else { Box::new(file) };
    reader.take(4_096).read_to_end(&mut head).map_err(read)?;
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let header: Vec<&str> =
        head.lines().next().unwrap_or_default().split(',').map(|column| column.trim_matches(['"', ' '])).collect();
    let has = |field: &str| header.iter().any(|column| *column == field || column.ends_with(&format!(":{field}")));
    Ok(["open", "high", "low", "close"].into_iter().all(has))
}

/// Reads a history.
///
/// # Errors
/// [`HistoryError`], with the line and the remedy: columns that are missing, values that are not finite numbers, prices that are not
/// positive or not between low and high, times that cannot be read, go back or stand twice, a bar without volume.
pub fn read_history(path: &Path, options: &HistoryOptions) -> Result<History, HistoryError> {
    let raw = fs::read(path).map_err(|source| HistoryError::Read { path: path.to_owned(), source })?;
    let sha256 = Sha256::digest(&raw).iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = raw.len() as u64;
    const ZSTANDARD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let text = if raw.starts_with(&ZSTANDARD) {
        zstd::stream::decode_all(&raw[..]).map_err(|source| HistoryError::Read { path: path.to_owned(), source })?
    } else {
        raw
    };
    let mut table = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&text[..]);
    let csv_error = |source| HistoryError::Csv { path: path.to_owned(), source };
    let header = table.headers().map_err(csv_error)?.clone();
    let columns = Columns::of(&header, options.symbol.as_deref(), path)?;
    let mut rows = Rows { path, columns, bars: Vec::new(), lines: Vec::new(), unlisted: 0, without_volume: 0 };
    for record in table.records() {
        rows.take(&record.map_err(csv_error)?, options.zero_volume)?;
    }
    let Rows { mut bars, columns, unlisted, without_volume, .. } = rows;
    if bars.len() < 2 {
        return Err(HistoryError::Short { path: path.to_owned(), bars: bars.len() });
    }
    if columns.close_time.is_none() {
        let step_ns = usual_step_ns(&bars);
        for bar in &mut bars {
            match options.time {
                TimeColumn::Open => bar.end_ns = bar.start_ns.saturating_add(step_ns),
                TimeColumn::Close => bar.start_ns = bar.end_ns.saturating_sub(step_ns),
            }
        }
    }
    Ok(History { bars, sha256, bytes, unlisted, without_volume })
}

/// The most frequent distance of two bars, the shortest of those as frequent.
fn usual_step_ns(bars: &[Ohlcv]) -> i64 {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in bars.windows(2) {
        *counts.entry(pair[1].start_ns - pair[0].start_ns).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(0, |(step_ns, _)| step_ns)
}

/// Places of the columns that are read.
struct Columns {
    time: usize,
    close_time: Option<usize>,
    /// Open, high, low, close, volume.
    fields: [usize; 5],
    notional: Option<usize>,
    trades: Option<usize>,
    buy_volume: Option<usize>,
}

const FIELDS: [&str; 5] = ["open", "high", "low", "close", "volume"];

impl Columns {
    fn of(header: &csv::StringRecord, symbol: Option<&str>, path: &Path) -> Result<Columns, HistoryError> {
        let names: Vec<String> =
            header.iter().map(|name| name.trim_start_matches('\u{feff}').to_lowercase().replace(' ', "_")).collect();
        let find = |wanted: &str| names.iter().position(|name| name == wanted);
        let symbols: Vec<&str> = header.iter().filter_map(|name| name.rsplit_once(':').map(|(symbol, _)| symbol)).collect();
        let symbol = symbol.map(str::to_lowercase);
        let missing = |missing: &'static str| {
            let mut known = symbols.clone();
            known.dedup();
            let remedy = match (&symbol, known.is_empty()) {
                (_, false) => format!("It names several instruments: choose one of {} as the symbol", known.join(", ")),
                (Some(_), true) => "Its columns name no instrument: leave the symbol out".to_owned(),
                (None, true) => "Rename the column, or add it".to_owned(),
            };
            HistoryError::Column { path: path.to_owned(), missing, header: header.iter().collect::<Vec<&str>>().join(", "), remedy }
        };
        let of_symbol = |field: &str| match &symbol {
            Some(symbol) => find(&format!("{symbol}:{field}")),
            None => find(field),
        };
        let mut fields = [0; 5];
        for (place, field) in fields.iter_mut().zip(FIELDS) {
            *place = of_symbol(field).ok_or_else(|| missing(field))?;
        }
        // A first column without a name is an index where another one tells the time.
        let time = ["open_time", "timestamp", "time", "date", "datetime", ""].into_iter().find_map(find);
        Ok(Columns {
            time: time.ok_or_else(|| missing("time"))?,
            close_time: find("close_time"),
            fields,
            notional: of_symbol("notional"),
            trades: of_symbol("trades"),
            buy_volume: of_symbol("buy_volume"),
        })
    }
}

struct Rows<'a> {
    path: &'a Path,
    columns: Columns,
    bars: Vec<Ohlcv>,
    /// Line of each bar.
    lines: Vec<u64>,
    unlisted: u64,
    without_volume: u64,
}

impl Rows<'_> {
    fn take(&mut self, record: &csv::StringRecord, zero_volume: ZeroVolume) -> Result<(), HistoryError> {
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |what: String, remedy: &'static str| Err(HistoryError::Row { path: self.path.to_owned(), line, what, remedy });
        let text = |place: usize| record.get(place).unwrap_or_default();
        let columns = &self.columns;
        if self.bars.is_empty() && columns.fields.iter().all(|place| text(*place).is_empty()) {
            self.unlisted += 1;
            return Ok(());
        }
        let mut values = [0.0; 5];
        for ((value, place), field) in values.iter_mut().zip(columns.fields).zip(FIELDS) {
            *value = match text(place).parse::<f64>() {
                Ok(value) if value.is_finite() => value,
                _ => return wrong(format!("{field} is `{}`, not a finite number", text(place)), "fill it, or remove the row"),
            };
        }
        let [open, high, low, close, volume] = values;
        if low <= 0.0 || !(low <= open.min(close) && open.max(close) <= high) {
            let what = format!("open {open}, high {high}, low {low}, close {close}");
            return wrong(what, "prices are positive, open and close between low and high: correct the row, or remove it");
        }
        if volume <= 0.0 {
            if volume == 0.0 && zero_volume == ZeroVolume::Drop {
                self.without_volume += 1;
                return Ok(());
            }
            return wrong(
                format!("volume is {volume}"),
                "remove the row, or have bars without volume dropped (`--zero-volume drop`)",
            );
        }
        let time = |place: usize| match time_ns(text(place)) {
            Some(time_ns) => Ok(time_ns),
            None => {
                let what = format!("`{}` is no time", text(place));
                let remedy = "write s, ms, us or ns since 1970, or 2020-10-23 11:00:00 with Z or an offset such as +03:00";
                Err(HistoryError::Row { path: self.path.to_owned(), line, what, remedy })
            }
        };
        let start_ns = time(columns.time)?;
        let end_ns = columns.close_time.map_or(Ok(start_ns), time)?;
        if end_ns < start_ns {
            return wrong("the bar ends before it starts".to_owned(), "correct its times");
        }
        if let (Some(before), Some(line_before)) = (self.bars.last(), self.lines.last()) {
            if start_ns == before.start_ns {
                return wrong(
                    format!("the time `{}` stands in line {line_before} already", text(columns.time)),
                    "keep one of the two",
                );
            }
            if start_ns < before.start_ns || end_ns < before.end_ns {
                return wrong(
                    format!("the time `{}` is before that of line {line_before}", text(columns.time)),
                    "sort the rows by time",
                );
            }
        }
        let optional =
            |place: Option<usize>| place.map(text).and_then(|text| text.parse::<f64>().ok()).filter(|value| *value >= 0.0);
        let flow = match (columns.trades.and_then(|place| text(place).parse().ok()), optional(columns.buy_volume)) {
            (Some(trades), Some(buy_volume)) => Some(Flow { trades, buy_volume }),
            _ => None,
        };
        let notional = optional(columns.notional).unwrap_or(close * volume);
        self.bars.push(Ohlcv { start_ns, end_ns, open, high, low, close, volume, notional, flow });
        self.lines.push(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, options: &HistoryOptions) -> Result<History, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        fs::write(&path, text).unwrap();
        read_history(&path, options).map_err(|error| error.to_string())
    }

    fn plain(rows: &str) -> Result<History, String> {
        read(&format!("timestamp,open,high,low,close,volume\n{rows}"), &HistoryOptions::default())
    }

    #[test]
    fn times_of_one_column_get_the_usual_distance() {
        let rows = "2020-01-01,1,2,1,2,5\n2020-01-02,2,2,1,1,5\n2020-01-03,1,2,1,2,5\n2020-01-06,2,2,2,2,5\n";
        let bars = plain(rows).unwrap().bars;
        const DAY_NS: i64 = 86_400_000_000_000;
        assert!(bars.iter().all(|bar| bar.end_ns - bar.start_ns == DAY_NS));
        let closing = HistoryOptions { time: TimeColumn::Close, ..HistoryOptions::default() };
        let late = read(&format!("Time,Open,High,Low,Close,Volume\n{rows}"), &closing).unwrap().bars;
        assert_eq!(late[0].end_ns, bars[0].start_ns);
        assert_eq!((bars[1].open, bars[1].high, bars[1].low, bars[1].close, bars[1].volume), (2.0, 2.0, 1.0, 1.0, 5.0));
    }

    #[test]
    fn wide_tables_and_what_was_not_listed_yet() {
        let text = ",A:open,A:high,A:low,A:close,A:volume,B:open,B:high,B:low,B:close,B:volume\n\
            2020-01-01,1,1,1,1,1,,,,,\n2020-01-02,1,1,1,1,1,7,8,6,7,3\n2020-01-03,1,1,1,1,1,7,8,6,8,3\n";
        let of =
            |symbol: Option<&str>| read(text, &HistoryOptions { symbol: symbol.map(str::to_owned), ..HistoryOptions::default() });
        let history = of(Some("b")).unwrap();
        assert_eq!((history.bars.len(), history.unlisted, history.bars[1].close), (2, 1, 8.0));
        let told = of(None).unwrap_err();
        assert!(told.contains("no column for open") && told.contains("choose one of A, B"), "{told}");
    }

    #[test]
    fn bad_rows_are_told_with_their_line_and_the_remedy() {
        let good = "1600000000,1,2,1,2,5\n";
        for (row, parts) in [
            ("1600000060,1,2,1,,5", ["line 3: close is ``", "remove the row"]),
            ("1600000060,1,NaN,1,2,5", ["line 3: high is `NaN`", "fill it"]),
            ("1600000060,1,2,1,2,0", ["line 3: volume is 0", "--zero-volume drop"]),
            ("1600000060,1,2,1,2,-1", ["volume is -1", "remove"]),
            ("1600000060,1,2,1,3,5", ["line 3: open 1, high 2", "between low and high"]),
            ("1600000060,0,2,0,2,5", ["low 0", "positive"]),
            ("1600000000,1,2,1,2,5", ["line 3: the time `1600000000` stands in line 2", "keep one"]),
            ("1500000000,1,2,1,2,5", ["is before that of line 2", "sort the rows"]),
            ("yesterday,1,2,1,2,5", ["`yesterday` is no time", "2020-10-23 11:00:00"]),
        ] {
            let told = plain(&format!("{good}{row}\n")).unwrap_err();
            assert!(parts.iter().all(|part| told.contains(part)), "{row}: {told}");
        }
        assert!(plain(good).unwrap_err().contains("at least 2"));
        assert!(plain("1,2\n").is_err());
        let told = read("time,open,high,low,close\n", &HistoryOptions::default()).unwrap_err();
        assert!(told.contains("no column for volume") && told.contains("time, open"), "{told}");
        let drop = HistoryOptions { zero_volume: ZeroVolume::Drop, ..HistoryOptions::default() };
        let text = format!("time,open,high,low,close,volume\n{good}1600000060,1,2,1,2,0\n1600000120,1,2,1,2,4\n");
        let history = read(&text, &drop).unwrap();
        assert_eq!((history.bars.len(), history.without_volume), (2, 1));
    }
}
