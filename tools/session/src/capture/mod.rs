//! Captures: files of raw messages, opened, recognised, put in order.
//!
//! Files with the same venue and symbols are one connection and continue each other, in order of their first receive time.
//! Different connections are merged by receive time. Memory is bounded whatever the size: a file is read as a stream, or mapped.

mod bytes;
mod lines;
mod probe;
mod reading;
mod records;

pub use probe::FileProbe;
pub(crate) use reading::{Broken, CaptureReader, Reason, Received};
pub use records::Framing;

use crate::config::{Config, InstrumentConfig};
use chronos_market::decode::{LineError, MESSAGE_BYTES_MAX};
use chronos_market::{Contract, Exchange, INSTRUMENTS_MAX, Instrument, InstrumentId, Price, Qty, Timestamp};
use chronos_pipeline::topology::Source;
use lines::{Line, Lines};
use records::{Records, Step};
use std::io;
use std::path::{Path, PathBuf};

/// Symbols named where there are too many.
const SYMBOLS_TOLD: usize = 8;

/// Why captures could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Nothing was given.
    #[error("no capture was named; `chronos demo` makes one to try")]
    NoPath,
    /// A file or folder cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder without a file.
    #[error("{path}: the folder holds no file", path = path.display())]
    EmptyFolder {
        /// Which.
        path: PathBuf,
    },
    /// A file without a line.
    #[error("{path}: the file is empty", path = path.display())]
    EmptyFile {
        /// Which.
        path: PathBuf,
    },
    /// A compression or archive that is not read.
    #[error("{path}: {kind} is not read; unpack it first (`{remedy}`)", path = path.display())]
    Packed {
        /// Which.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
        /// The command.
        remedy: &'static str,
    },
    /// No line of it could be read.
    #[error(
        "{path}: format not recognised, none of the first {records} lines could be read; line 1: {reason}. Expected lines \
         `<receive time in s, ms, us or ns> <JSON message>` of Binance, Bitfinex, Bitstamp, Bybit, Coinbase or Kraken, a packet capture \
         of ITCH 5.0 or IEX, a DBN file, a NASDAQ BinaryFILE or a LOBSTER message file, plain or in gzip, zstd, xz or zip", path = path.display()
    )]
    Unrecognised {
        /// Which.
        path: PathBuf,
        /// Lines tried.
        records: u64,
        /// What is wrong with the first.
        reason: String,
    },
    /// Messages of several venues in one file.
    #[error("{path}: holds messages of {first} and of {second}; split it by venue, or record each to a file of its own", path = path.display())]
    MixedVenues {
        /// Which.
        path: PathBuf,
        /// One venue.
        first: Exchange,
        /// Another.
        second: Exchange,
    },
    /// Too many instruments.
    #[error("{count} instruments; one session takes at most {INSTRUMENTS_MAX}: choose with `--symbols`; the busiest are {busiest}")]
    TooManyInstruments {
        /// How many.
        count: usize,
        /// The busiest.
        busiest: String,
    },
    /// A symbol asked for is in no file.
    #[error("symbol `{symbol}` is in none of the captures; they hold {known}")]
    UnknownSymbol {
        /// The symbol.
        symbol: String,
        /// Some that there are.
        known: String,
    },
    /// An `[[instruments]]` entry makes no sense.
    #[error("config: instruments `{symbol}`: {message}")]
    Instrument {
        /// Its symbol.
        symbol: String,
        /// What is wrong.
        message: String,
    },
}

/// Where a line stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Index of the file in [`Capture::files`].
    pub file: usize,
    /// Line, from 1.
    pub line: u64,
}

/// The next thing in a capture.
#[derive(Debug)]
pub enum CaptureItem<'a> {
    /// A message.
    Message {
        /// Its connection.
        connection: usize,
        /// When it was received.
        recv: Timestamp,
        /// Whose it is, where it does not say so itself: a reply from an address.
        symbol: Option<&'a str>,
        /// Its bytes.
        message: &'a [u8],
        /// Where it stands.
        place: Place,
    },
    /// A line that is not `<receive time> <message>`.
    Broken {
        /// What is wrong.
        error: BrokenLine,
        /// The line, or its beginning.
        raw: &'a [u8],
        /// Where it stands.
        place: Place,
    },
}

/// Why a line could not be split.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BrokenLine {
    /// Its beginning is wrong.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It is longer than any message.
    #[error("longer than {} MiB", MESSAGE_BYTES_MAX >> 20)]
    TooLong,
}

impl BrokenLine {
    /// A number a reason, for records: stable, never reused.
    pub fn code(self) -> u8 {
        match self {
            BrokenLine::Line(error) => error.code(),
            BrokenLine::TooLong => 103,
        }
    }
}

/// A file of a capture.
#[derive(Debug)]
pub struct CaptureFile {
    /// Its path.
    pub path: PathBuf,
    /// What its beginning tells.
    pub probe: FileProbe,
    /// Lines read from it so far.
    pub lines: u64,
    /// What cut it short, if anything did.
    pub damage: Option<String>,
}

/// A file of a folder that was passed over because it is no capture, or cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("passed over, the rest of its folder was read: {0}")]
pub struct SkippedFile(pub CaptureError);

/// How an instrument's tick and lot are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TickSource {
    /// From `[[instruments]]`.
    Config,
    /// The greatest common divisor of a snapshot's prices and quantities.
    Snapshot,
    /// The same of the first messages, since there is no snapshot.
    Messages,
}

impl TickSource {
    /// The words used in reports.
    pub fn name(self) -> &'static str {
        match self {
            TickSource::Config => "config",
            TickSource::Snapshot => "gcd of the snapshot",
            TickSource::Messages => "gcd of the first messages",
        }
    }
}

/// Opened captures.
pub struct Capture {
    /// Every file, connection by connection.
    pub files: Vec<CaptureFile>,
    /// Files of folders that could not be read. One that was named itself is an error.
    pub skipped: Vec<SkippedFile>,
    /// Every instrument.
    pub instruments: Vec<Instrument>,
    /// How each one's tick is known.
    pub tick_sources: Vec<TickSource>,
    connections: Vec<Connection>,
    bytes_total: u64,
    bytes_before: u64,
}

struct Connection {
    source: Source,
    /// Its files that are still to be opened, next one last.
    waiting: Vec<usize>,
    reader: Option<(usize, Records)>,
    /// Receive time of the record to be handed out next.
    next: Option<Timestamp>,
    is_over: bool,
}

impl Capture {
    /// Opens files and the files of folders (in order of their names), recognises each and puts them in order. A file of a folder that
    /// is nothing known is passed over, see [`Capture::skipped`].
    ///
    /// # Errors
    /// [`CaptureError`], with the file and the remedy: where a file was named and cannot be read, or nothing of a folder can.
    pub fn open(paths: &[PathBuf], config: &Config) -> Result<Capture, CaptureError> {
        let capture = Capture::open_all(paths, config)?;
        if capture.instruments.len() > INSTRUMENTS_MAX {
            return Err(CaptureError::TooManyInstruments { count: capture.instruments.len(), busiest: capture.busiest() });
        }
        Ok(capture)
    }

    /// As [`Capture::open`], however many instruments there are: to look at files, not to trade on them.
    ///
    /// # Errors
    /// [`CaptureError`], with the file and the remedy.
    pub fn open_all(paths: &[PathBuf], config: &Config) -> Result<Capture, CaptureError> {
        let paths = files_of(paths)?;
        let mut files = Vec::with_capacity(paths.len());
        let mut bytes_total = 0;
        let mut skipped: Vec<SkippedFile> = Vec::new();
        for NamedFile { path, is_of_folder } in paths {
            let probe = match FileProbe::of(&path, config.midnight()) {
                Ok(probe) => probe,
                Err(error) if is_of_folder => {
                    skipped.push(SkippedFile(error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            bytes_total += std::fs::metadata(&path).map_err(|source| CaptureError::Read { path: path.clone(), source })?.len();
            files.push(CaptureFile { path, probe, lines: 0, damage: None });
        }
        if files.is_empty() && !skipped.is_empty() {
            return Err(skipped.remove(0).0);
        }
        files.sort_by(|one, two| {
            let key = |file: &CaptureFile| (file.probe.exchange(), file.probe.symbols(), file.probe.first_recv);
            key(one).cmp(&key(two))
        });
        let mut capture = Capture {
            files,
            skipped,
            instruments: Vec::new(),
            tick_sources: Vec::new(),
            connections: Vec::new(),
            bytes_total,
            bytes_before: 0,
        };
        capture.connect(config)?;
        Ok(capture)
    }

    /// What was passed over or taken for granted when the files were opened, in words.
    pub fn notices(&self) -> Vec<String> {
        let skipped = self.skipped.iter().map(ToString::to_string);
        let dateless = self.files.iter().filter(|file| file.probe.has_no_date()).map(|file| {
            format!("{}: names no date, so its times are counted from 1970; say the day with `--date`", file.path.display())
        });
        skipped.chain(dateless).collect()
    }

    /// The instruments of each connection.
    pub fn sources(&self) -> Vec<Source> {
        self.connections.iter().map(|connection| connection.source.clone()).collect()
    }

    /// The next message or broken line, connections merged by receive time; `None` at the end.
    #[expect(clippy::should_implement_trait, reason = "what it gives borrows from the reader, which an iterator cannot")]
    #[inline]
    pub fn next(&mut self) -> Option<CaptureItem<'_>> {
        for place in 0..self.connections.len() {
            let connection = &mut self.connections[place];
            while connection.next.is_none() && !connection.is_over {
                if let Some(error) = connection.read(&mut self.files, &mut self.bytes_before) {
                    let connection = &self.connections[place];
                    let (file, records) = connection.reader.as_ref()?;
                    let raw = match error {
                        BrokenLine::TooLong => &[],
                        BrokenLine::Line(_) => records.current(),
                    };
                    return Some(CaptureItem::Broken { error, raw, place: Place { file: *file, line: self.files[*file].lines } });
                }
            }
        }
        let earliest =
            self.connections.iter().enumerate().filter_map(|(place, connection)| Some((connection.next?, place))).min()?;
        let connection = &mut self.connections[earliest.1];
        let recv = connection.next.take()?;
        let (file, records) = connection.reader.as_ref()?;
        let place = Place { file: *file, line: self.files[*file].lines };
        Some(CaptureItem::Message { connection: earliest.1, recv, symbol: records.symbol(), message: records.current(), place })
    }

    /// Bytes read of all files, as they are on disk.
    pub fn bytes_read(&self) -> u64 {
        let open =
            self.connections.iter().filter_map(|connection| connection.reader.as_ref()).map(|(_, records)| records.bytes_read());
        self.bytes_before + open.sum::<u64>()
    }

    /// Bytes of all files, as they are on disk.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn connect(&mut self, config: &Config) -> Result<(), CaptureError> {
        let is_wanted = |symbol: &String| config.source.symbols.is_empty() || config.source.symbols.contains(symbol);
        let mut place = 0;
        while place < self.files.len() {
            let probe = &self.files[place].probe;
            let end = place + 1 + self.files[place + 1..].iter().take_while(|file| file.probe.continues(probe)).count();
            let is_filtered = !config.source.symbols.is_empty() || !probe.is_text();
            let mut source = Source { feed: probe.feed.clone(), instruments: Vec::new(), is_filtered };
            for symbol in probe.symbols().into_iter().filter(is_wanted) {
                let known = |instrument: &Instrument| instrument.exchange == probe.exchange() && instrument.symbol == symbol;
                let id = self.instruments.iter().position(known).unwrap_or(self.instruments.len());
                // Used where there are at most INSTRUMENTS_MAX, so the id fits.
                source.instruments.push(InstrumentId(id as u16));
                if id == self.instruments.len() {
                    let (instrument, tick_source) = instrument(probe.exchange(), &symbol, &self.files[place..end], config)?;
                    self.instruments.push(instrument);
                    self.tick_sources.push(tick_source);
                }
            }
            let waiting = (place..end).rev().collect();
            self.connections.push(Connection { source, waiting, reader: None, next: None, is_over: false });
            place = end;
        }
        if let Some(symbol) = config.source.symbols.iter().find(|symbol| !self.instruments.iter().any(|one| one.symbol == **symbol))
        {
            return Err(CaptureError::UnknownSymbol { symbol: symbol.clone(), known: self.busiest() });
        }
        Ok(())
    }

    /// The symbols of most messages, for an error message.
    fn busiest(&self) -> String {
        let symbols = self.files.iter().flat_map(|file| file.probe.busiest());
        symbols.take(SYMBOLS_TOLD).collect::<Vec<_>>().join(", ")
    }
}

impl Connection {
    /// Reads one record into `next`. Gives the reason where it is broken.
    #[inline]
    fn read(&mut self, files: &mut [CaptureFile], bytes_before: &mut u64) -> Option<BrokenLine> {
        loop {
            let Some((file, records)) = &mut self.reader else {
                let Some(file) = self.waiting.pop() else {
                    self.is_over = true;
                    return None;
                };
                match records_of(&files[file]) {
                    Ok(records) => self.reader = Some((file, records)),
                    Err(error) => files[file].damage = Some(error.to_string()),
                }
                continue;
            };
            match records.advance() {
                Ok(Step::Record) => {
                    files[*file].lines += 1;
                    self.next = Some(records.recv());
                    return None;
                }
                Ok(Step::Aside) => files[*file].lines += 1,
                Ok(Step::Broken(error)) => {
                    files[*file].lines += 1;
                    return Some(error);
                }
                Ok(Step::End) => {
                    *bytes_before += records.bytes_read();
                    self.reader = None;
                }
                Err(error) => {
                    files[*file].damage = Some(format!("{error} after line {}", files[*file].lines));
                    *bytes_before += records.bytes_read();
                    self.reader = None;
                }
            }
        }
    }
}

/// The records of a file from its beginning.
fn records_of(file: &CaptureFile) -> io::Result<Records> {
    let (bytes, _) = probe::open(&file.path).map_err(io::Error::other)?;
    let records = Records::new(bytes, file.probe.framing)?;
    Ok(match (file.probe.framing, lobster_seed(&file.path)) {
        (Framing::LobsterRows { .. }, Some(seed)) => records.with_seed(seed),
        _ => records,
    })
}

/// The first row of the order book file beside a LOBSTER message file; `None` where there is none.
fn lobster_seed(path: &Path) -> Option<Vec<u8>> {
    let name = path.file_name()?.to_str()?;
    let (bytes, _) = probe::open(&path.with_file_name(name.replacen("_message_", "_orderbook_", 1))).ok()?;
    let mut lines = Lines::new(bytes);
    matches!(lines.advance(), Ok(Line::Text)).then(|| lines.current().trim_ascii_end().to_vec())
}

/// A file to open.
struct NamedFile {
    path: PathBuf,
    /// Whether its folder was named, and not the file.
    is_of_folder: bool,
}

/// Files as given, and the files of folders by name; hidden ones are left out.
fn files_of(paths: &[PathBuf]) -> Result<Vec<NamedFile>, CaptureError> {
    if paths.is_empty() {
        return Err(CaptureError::NoPath);
    }
    let mut files = Vec::new();
    for path in paths {
        let read_error = |source| CaptureError::Read { path: path.clone(), source };
        if !std::fs::metadata(path).map_err(read_error)?.is_dir() {
            files.push(NamedFile { path: path.clone(), is_of_folder: false });
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            if !is_hidden && entry.path().is_file() {
                inside.push(entry.path());
            }
        }
        if inside.is_empty() {
            return Err(CaptureError::EmptyFolder { path: path.clone() });
        }
        inside.sort();
        files.extend(inside.into_iter().map(|path| NamedFile { path, is_of_folder: true }));
    }
    Ok(files)
}

/// What is known of a symbol: from the configuration, else from the first file that tells.
fn instrument(
    exchange: Exchange,
    symbol: &str,
    files: &[CaptureFile],
    config: &Config,
) -> Result<(Instrument, TickSource), CaptureError> {
    let configured = config.instruments.iter().find(|entry| entry.venue == exchange.name() && entry.symbol == symbol);
    let contract = contract(exchange, symbol, configured)?;
    let of = |tick, lot| Instrument { exchange, symbol: symbol.to_owned(), tick, lot, contract };
    if let Some(entry) = configured {
        let refuse = |message: String| CaptureError::Instrument { symbol: symbol.to_owned(), message };
        let tick = Price::parse(entry.tick.as_bytes()).ok().filter(|tick| tick.0 > 0);
        let lot = Qty::parse(entry.lot.as_bytes()).ok().filter(|lot| lot.0 > 0);
        let tick = tick.ok_or_else(|| refuse(format!("tick `{}` is not a decimal above 0", entry.tick)))?;
        let lot = lot.ok_or_else(|| refuse(format!("lot `{}` is not a decimal above 0", entry.lot)))?;
        return Ok((of(tick, lot), TickSource::Config));
    }
    let steps = |from_snapshot: bool| files.iter().find_map(|file| file.probe.steps(symbol, from_snapshot));
    match (steps(true), steps(false)) {
        (Some((tick, lot)), _) => Ok((of(tick, lot), TickSource::Snapshot)),
        (None, Some((tick, lot))) => Ok((of(tick, lot), TickSource::Messages)),
        // Named by a message without a price: nothing can be traded, and the finest steps do no harm.
        (None, None) => Ok((of(Price(1), Qty(1)), TickSource::Messages)),
    }
}

fn contract(exchange: Exchange, symbol: &str, configured: Option<&InstrumentConfig>) -> Result<Contract, CaptureError> {
    if !matches!(exchange, Exchange::BinanceCoinm | Exchange::BybitInverse) {
        return Ok(Contract::spot());
    }
    match configured.map(|entry| entry.contract_quote.as_str()).filter(|text| !text.is_empty()) {
        Some(text) => match Price::parse(text.as_bytes()) {
            Ok(contract_quote) if contract_quote.0 > 0 => Ok(Contract::Inverse { contract_quote }),
            _ => Err(CaptureError::Instrument {
                symbol: symbol.to_owned(),
                message: format!("contract_quote `{text}` is not a decimal above 0"),
            }),
        },
        None if exchange == Exchange::BybitInverse => Ok(Contract::inverse(1)),
        // Binance's contracts are of 100 USD on BTC and of 10 USD on every other coin.
        None => Ok(Contract::inverse(if symbol.starts_with("BTCUSD") { 100 } else { 10 })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    const TRADE: &str =
        r#"1723161254000 {"e":"trade","E":1723161254000,"s":"X","t":1,"p":"100","q":"1","T":1723161254000,"m":true,"M":true}"#;

    #[test]
    fn a_folder_is_read_but_for_the_file_that_is_no_capture() {
        let folder = tempfile::tempdir().unwrap();
        let (capture, other) = (folder.path().join("a.txt"), folder.path().join("README.md"));
        write(&capture, format!("{TRADE}\n")).unwrap();
        write(&other, "# Captures\n").unwrap();
        let config = Config::default();
        let opened = Capture::open(&[folder.path().to_owned()], &config).map_err(|error| error.to_string()).unwrap();
        assert_eq!((opened.files.len(), opened.instruments.len()), (1, 1));
        let notices = opened.notices();
        assert!(notices.len() == 1 && notices[0].contains("README.md") && notices[0].contains("passed over"), "{notices:?}");
        // Named, it is an error; and so is a folder of nothing else.
        let refused = |paths: &[PathBuf]| Capture::open(paths, &config).map(|_| ()).unwrap_err().to_string();
        assert!(refused(&[capture.clone(), other.clone()]).contains("README.md"));
        std::fs::remove_file(capture).unwrap();
        assert!(refused(&[folder.path().to_owned()]).contains("README.md"));
    }

    #[test]
    fn a_file_that_names_no_date_takes_it_from_the_configuration() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A system event at one second after midnight: type, locate, tracking number, 48 bits of nanoseconds, start of messages.
        let mut message = vec![0, 12, b'S', 0, 0, 0, 0];
        message.extend(&1_000_000_000_u64.to_be_bytes()[2..]);
        message.push(b'O');
        write(file.path(), &message).unwrap();
        let first_recv = |config: &Config| {
            let capture = Capture::open_all(&[file.path().to_owned()], config).map_err(|error| error.to_string()).unwrap();
            (capture.files[0].probe.first_recv, capture.notices())
        };
        let (recv, notices) = first_recv(&Config::default());
        assert_eq!(recv.0, -19 * 3_600_000_000_000 + 1_000_000_000);
        assert!(notices.len() == 1 && notices[0].contains("--date"), "{notices:?}");
        let mut dated = Config::default();
        dated.source.date = "2019-12-30".into();
        // 05:00:01 UTC.
        assert_eq!(first_recv(&dated), (Timestamp(1_577_682_001_000_000_000), Vec::new()));
    }
}
