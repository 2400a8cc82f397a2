//! What the beginning of a file tells: format, venue, symbols, steps of price and quantity.

use super::lines::Line;
use super::{CaptureError, open_lines};
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, LevelChange, Message, VenueEvidence, split_capture_line};
use chronos_market::{Exchange, Price, Qty, TimeUnit, Timestamp};
use std::collections::BTreeMap;
use std::path::Path;

/// Lines looked at whatever they say, so that every symbol of the connection is met.
const LINES_MIN: u64 = 2_000;
/// Lines looked at while no snapshot has been met.
const LINES_MAX: u64 = 20_000;

/// What the beginning of a file tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileProbe {
    /// `gzip`, `zstd` or `none`.
    pub compression: &'static str,
    /// The venue.
    pub exchange: Exchange,
    /// Unit of the receive times.
    pub time_unit: TimeUnit,
    /// Receive time of the first good line.
    pub first_recv: Timestamp,
    symbols: BTreeMap<String, Steps>,
}

/// Greatest common divisors; 0 where nothing was seen.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Steps {
    snapshot_price: i64,
    snapshot_qty: i64,
    message_price: i64,
    message_qty: i64,
}

impl FileProbe {
    /// Name of the one format there is so far.
    pub const FORMAT: &'static str = "binance-raw";

    /// Reads the beginning of a file.
    ///
    /// # Errors
    /// [`CaptureError`] where the file cannot be read, is empty, or is nothing that is known.
    pub(super) fn of(path: &Path) -> Result<FileProbe, CaptureError> {
        let (mut lines, compression) = open_lines(path)?;
        let mut decoder = BinanceDecoder::new();
        let mut seen = Seen::default();
        let mut evidence: BTreeMap<Exchange, u64> = BTreeMap::new();
        let mut first = None;
        let mut first_reason = None;
        let mut count = 0;
        while count < LINES_MAX && (count < LINES_MIN || !seen.has_snapshot) {
            // Damage further on is told when the file is replayed.
            let Ok(line) = lines.advance() else { break };
            let text = match line {
                Line::End => break,
                Line::TooLong => &[],
                Line::Text => lines.current(),
            };
            count += 1;
            let reason = match split_capture_line(text) {
                Err(error) => error.to_string(),
                Ok(line) => match decoder.decode(line.message, line.recv, &mut seen) {
                    Err(error) => error.to_string(),
                    Ok(()) => {
                        first.get_or_insert((line.unit, line.recv));
                        if let Ok(VenueEvidence::Only(exchange)) = decoder.venue_evidence(line.message) {
                            *evidence.entry(exchange).or_default() += 1;
                        }
                        continue;
                    }
                },
            };
            first_reason.get_or_insert(reason);
        }
        if count == 0 {
            return Err(CaptureError::EmptyFile { path: path.to_owned() });
        }
        let unrecognised = || CaptureError::Unrecognised {
            path: path.to_owned(),
            lines: count,
            reason: first_reason.unwrap_or_else(|| "tells of no venue".into()),
        };
        let most = evidence.iter().max_by_key(|(_, count)| **count).map(|(exchange, count)| (*exchange, *count));
        let (Some((exchange, most)), Some((time_unit, first_recv))) = (most, first) else { return Err(unrecognised()) };
        // A stray line does not make a file mixed.
        if let Some((second, _)) = evidence.iter().find(|(other, count)| **other != exchange && **count * 100 > most) {
            return Err(CaptureError::MixedVenues { path: path.to_owned(), first: exchange, second: *second });
        }
        let mut symbols = seen.symbols;
        // A snapshot without a symbol belongs to the only one there is.
        if let (1, Some(entry)) = (symbols.len(), symbols.first_entry()) {
            let steps = entry.into_mut();
            steps.snapshot_price = gcd(steps.snapshot_price, seen.unnamed.snapshot_price);
            steps.snapshot_qty = gcd(steps.snapshot_qty, seen.unnamed.snapshot_qty);
        }
        Ok(FileProbe { compression, exchange, time_unit, first_recv, symbols })
    }

    /// The symbols, sorted.
    pub fn symbols(&self) -> Vec<String> {
        self.symbols.keys().cloned().collect()
    }

    /// Steps of price and quantity of a symbol, from its snapshot or from its other messages.
    pub(super) fn steps(&self, symbol: &str, from_snapshot: bool) -> Option<(Price, Qty)> {
        let steps = self.symbols.get(symbol)?;
        let (price, qty) =
            if from_snapshot { (steps.snapshot_price, steps.snapshot_qty) } else { (steps.message_price, steps.message_qty) };
        (price > 0 && qty > 0).then_some((Price(price), Qty(qty)))
    }
}

#[derive(Default)]
struct Seen {
    symbols: BTreeMap<String, Steps>,
    unnamed: Steps,
    has_snapshot: bool,
}

impl Seen {
    fn steps(&mut self, symbol: &str) -> &mut Steps {
        if !self.symbols.contains_key(symbol) {
            self.symbols.insert(symbol.to_owned(), Steps::default());
        }
        self.symbols.entry(symbol.to_owned()).or_default()
    }
}

impl DecodeSink for Seen {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        match message {
            Message::Depth(depth) => {
                let steps = self.steps(depth.symbol);
                fold(&mut steps.message_price, &mut steps.message_qty, depth.levels);
            }
            Message::Snapshot(snapshot) => {
                self.has_snapshot = true;
                let steps = match snapshot.symbol {
                    Some(symbol) => self.steps(symbol),
                    None => &mut self.unnamed,
                };
                fold(&mut steps.snapshot_price, &mut steps.snapshot_qty, snapshot.levels);
            }
            Message::Quote(quote) => {
                let steps = self.steps(quote.symbol);
                for level in [quote.bbo.bid, quote.bbo.ask] {
                    steps.message_price = gcd(steps.message_price, level.price.0);
                    steps.message_qty = gcd(steps.message_qty, level.qty.0);
                }
            }
            other => {
                if let Some(symbol) = other.symbol() {
                    self.steps(symbol);
                }
            }
        }
    }
}

fn fold(price: &mut i64, qty: &mut i64, levels: &[LevelChange]) {
    for level in levels {
        *price = gcd(*price, level.price.0);
        *qty = gcd(*qty, level.qty.0);
    }
}

/// Greatest common divisor of numbers that are not negative; 0 is neutral.
fn gcd(mut one: i64, mut two: i64) -> i64 {
    while two != 0 {
        (one, two) = (two, one % two);
    }
    one
}
