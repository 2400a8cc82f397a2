//! Writes the simulated exchange's day as a raw Binance USD-M capture: `<receive ns> <json>` lines.
//!
//! The streams are those of a recorder on `<symbol>@depth@<n>ms`, `@bookTicker` and `@trade`, with one REST depth snapshot in
//! mid-stream: the diff that straddles it arrives first, so a reader has to buffer. Update ids are shared by diffs and quotes and
//! skip as the venue's do.

use crate::agents::Agents;
use crate::matching_engine::{EngineEvent, MatchingEngine};
use chronos_market::{NANOS_PER_MILLI, NANOS_PER_SECOND, PRICE_SCALE, Price, QTY_SCALE, Qty, Side};
use fastrand::Rng;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// What to generate. The same configuration gives the same bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GeneratorConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the session in seconds.
    pub seconds: u32,
    /// Symbol in upper case: ASCII letters, digits and `_`.
    pub symbol: String,
    /// Exchange time of the start, nanoseconds since the epoch, 0 or later.
    pub start_ns: i64,
    /// Price around which the session starts: at least 20,000 and at most 1e9 ticks.
    pub start_price: Price,
    /// Smallest price step.
    pub tick: Price,
    /// Smallest quantity step.
    pub lot: Qty,
    /// Time between two depth updates in milliseconds, at least 1.
    pub depth_interval_ms: u32,
    /// Levels a side in the snapshot.
    pub snapshot_levels: usize,
}

impl Default for GeneratorConfig {
    /// A minute of BTCUSDT from 2025-01-01 00:00 UTC at 60,000 with a tick of 0.1 and a lot of 0.001, as on Binance USD-M.
    fn default() -> Self {
        GeneratorConfig {
            seed: 1,
            seconds: 60,
            symbol: "BTCUSDT".to_owned(),
            start_ns: 1_735_689_600 * NANOS_PER_SECOND,
            start_price: Price(60_000 * PRICE_SCALE),
            tick: Price(PRICE_SCALE / 10),
            lot: Qty(QTY_SCALE / 1_000),
            depth_interval_ms: 100,
            snapshot_levels: 1_000,
        }
    }
}

/// What was generated.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GeneratedSummary {
    /// Lines in all.
    pub lines: u64,
    /// `depthUpdate` messages.
    pub depth_updates: u64,
    /// `bookTicker` messages.
    pub book_tickers: u64,
    /// `trade` messages.
    pub trades: u64,
    /// REST snapshots: 1, or 0 where the session has no length.
    pub snapshots: u64,
}

/// Runs the exchange for the configured time and writes its capture to `out`. `progress` is told the part done, 0 to 1.
///
/// # Errors
/// What `out` says; [`io::ErrorKind::InvalidInput`] for a configuration out of range, naming the field.
pub fn generate(config: &GeneratorConfig, out: &mut impl Write, progress: &mut dyn FnMut(f64)) -> io::Result<GeneratedSummary> {
    check(config)?;
    let mut engine = MatchingEngine::new();
    let mut events = Vec::new();
    let mut agents = Agents::new(config.seed, config.start_ns, config.start_price.0 / config.tick.0);
    for request in agents.opening() {
        // The opening may cross itself; what is refused is not in the book, and that is all that counts.
        let _ = engine.apply(&request, &mut events);
    }
    let mut recorder = Recorder::new(config, out);
    let length_ns = i64::from(config.seconds) * NANOS_PER_SECOND;
    let end_ns = config.start_ns.saturating_add(length_ns);
    let interval_ns = i64::from(config.depth_interval_ms) * NANOS_PER_MILLI;
    let mut depth_due_ns = config.start_ns.saturating_add(interval_ns);
    // About a second in, so that diffs before it have to be buffered; earlier in a session that short.
    let snapshot_due_ns = config.start_ns + (NANOS_PER_SECOND + interval_ns / 2).min(length_ns / 4);
    let mut is_snapshot_taken = false;
    loop {
        let (now_ns, request) = agents.next(&engine);
        while depth_due_ns <= now_ns.min(end_ns) {
            recorder.depth_update(depth_due_ns)?;
            recorder.release_snapshot(depth_due_ns)?;
            progress(((depth_due_ns - config.start_ns) as f64 / length_ns as f64).min(1.0));
            depth_due_ns += interval_ns;
        }
        if now_ns >= end_ns {
            break;
        }
        recorder.release_snapshot(now_ns)?;
        events.clear();
        // A refusal (an order that is gone, a post-only that would take) is part of the game and changes nothing.
        let _ = engine.apply(&request, &mut events);
        agents.observe(&events);
        recorder.record(now_ns, &engine, &events)?;
        // Taken while a diff is open, so that the diff straddles it; it arrives after that diff.
        if !is_snapshot_taken && now_ns >= snapshot_due_ns && recorder.is_diff_open() {
            recorder.take_snapshot(now_ns, depth_due_ns + interval_ns / 2, &engine);
            is_snapshot_taken = true;
        }
    }
    recorder.release_snapshot(i64::MAX)?;
    progress(1.0);
    recorder.out.flush()?;
    Ok(recorder.summary)
}

/// Like [`generate`], into a file: gzip where the name ends in `.gz`, plain otherwise. A file that is there is replaced.
///
/// # Errors
/// As [`generate`], and where the file cannot be made or written.
pub fn generate_file(config: &GeneratorConfig, path: &Path, progress: &mut dyn FnMut(f64)) -> io::Result<GeneratedSummary> {
    check(config)?;
    let file = BufWriter::new(File::create(path)?);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        let mut gzip = GzEncoder::new(file, Compression::fast());
        let summary = generate(config, &mut gzip, progress)?;
        gzip.finish()?.flush()?;
        Ok(summary)
    } else {
        let mut file = file;
        generate(config, &mut file, progress)
    }
}

fn check(config: &GeneratorConfig) -> io::Result<()> {
    let refuse = |message: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("generator: {message}")));
    let is_symbol = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if config.symbol.is_empty() || !config.symbol.bytes().all(is_symbol) {
        return refuse("symbol must be upper-case ASCII letters, digits and `_`");
    }
    if config.start_ns < 0 || config.start_ns > i64::MAX / 2 {
        return refuse("start_ns must be nanoseconds since the epoch, 0 or later, before the year 2116");
    }
    if config.tick.0 < 1 || config.lot.0 < 1 {
        return refuse("tick and lot must be above 0");
    }
    if !(20_000..=1_000_000_000).contains(&(config.start_price.0 / config.tick.0)) || config.start_price.0 > i64::MAX / 4 {
        return refuse("start_price must be between 20,000 and 1e9 ticks");
    }
    if config.lot.0 > QTY_SCALE * 1_000 {
        return refuse("lot must be at most 1,000");
    }
    if config.depth_interval_ms < 1 {
        return refuse("depth_interval_ms must be at least 1");
    }
    Ok(())
}

/// The venue's first update id and trade id.
const FIRST_UPDATE_ID: u64 = 5_000_000_000_000;
const FIRST_TRADE_ID: u64 = 5_000_000_000;
/// The way to the receiver: at least this long, and more at random.
const DELAY_MIN_NS: i64 = 1_500_000;
const DELAY_MEAN_MORE_NS: f64 = 250_000.0;

/// Follows the engine as the venue's public streams do and writes what they send.
struct Recorder<'a, W: Write> {
    out: &'a mut W,
    symbol: String,
    symbol_lower: String,
    depth_interval_ms: u32,
    tick: i64,
    price_decimals: usize,
    lot: i64,
    qty_decimals: usize,
    snapshot_levels: usize,
    /// Apart from the agents' generator, so that the market does not depend on the wire.
    rng: Rng,
    update_id: u64,
    trade_id: u64,
    recv_ns: i64,
    /// The diff being gathered: its first id, the time of its last change, the levels changed.
    diff_first_id: Option<u64>,
    diff_last_ns: i64,
    diff_levels: [BTreeMap<i64, i64>; 2],
    diff_previous_id: u64,
    /// Bid and ask of the last quote sent.
    quote: [Option<(i64, i64)>; 2],
    /// The snapshot on its way: when it arrives, and its text.
    snapshot: Option<(i64, Vec<u8>)>,
    line: Vec<u8>,
    summary: GeneratedSummary,
}

impl<'a, W: Write> Recorder<'a, W> {
    fn new(config: &GeneratorConfig, out: &'a mut W) -> Self {
        Recorder {
            out,
            symbol: config.symbol.clone(),
            symbol_lower: config.symbol.to_ascii_lowercase(),
            depth_interval_ms: config.depth_interval_ms,
            tick: config.tick.0,
            price_decimals: decimals_of(config.tick.0, PRICE_SCALE).max(2),
            lot: config.lot.0,
            qty_decimals: decimals_of(config.lot.0, QTY_SCALE),
            snapshot_levels: config.snapshot_levels,
            rng: Rng::with_seed(config.seed ^ 0x5eed_0f_7e_3e_c0_4d_e4),
            update_id: FIRST_UPDATE_ID,
            trade_id: FIRST_TRADE_ID,
            recv_ns: 0,
            diff_first_id: None,
            diff_last_ns: config.start_ns,
            diff_levels: [BTreeMap::new(), BTreeMap::new()],
            diff_previous_id: FIRST_UPDATE_ID,
            quote: [None; 2],
            snapshot: None,
            line: Vec::new(),
            summary: GeneratedSummary::default(),
        }
    }

    fn is_diff_open(&self) -> bool {
        self.diff_first_id.is_some()
    }

    /// Takes in what one request did: writes its trades, gathers its levels, and writes the quote where it changed.
    fn record(&mut self, now_ns: i64, engine: &MatchingEngine, events: &[EngineEvent]) -> io::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        // Ids are shared by all of the venue's symbols, so ours are not consecutive.
        self.update_id += 1 + self.rng.u64(0..40);
        self.diff_first_id.get_or_insert(self.update_id);
        self.diff_last_ns = now_ns;
        for event in events {
            match *event {
                EngineEvent::Trade { aggressor, price_ticks, qty_lots, .. } => {
                    self.trade(now_ns, aggressor, price_ticks, qty_lots)?
                }
                EngineEvent::LevelSet { side, price_ticks, qty_lots } => {
                    self.diff_levels[side as usize].insert(price_ticks, qty_lots);
                }
            }
        }
        let quote = [engine.best(Side::Buy), engine.best(Side::Sell)];
        match quote {
            [Some(bid), Some(ask)] if quote != self.quote => self.book_ticker(now_ns, bid, ask)?,
            _ => {}
        }
        self.quote = quote;
        Ok(())
    }

    fn trade(&mut self, now_ns: i64, aggressor: Side, price_ticks: i64, qty_lots: i64) -> io::Result<()> {
        self.trade_id += 1;
        let now_ms = now_ns / NANOS_PER_MILLI;
        write!(
            self.line,
            r#"{{"stream":"{}@trade","data":{{"e":"trade","E":{now_ms},"T":{now_ms},"s":"{}","t":{},"p":""#,
            self.symbol_lower, self.symbol, self.trade_id
        )?;
        self.price(price_ticks)?;
        self.line.extend_from_slice(br#"","q":""#);
        self.qty(qty_lots)?;
        write!(self.line, r#"","X":"MARKET","m":{}}}}}"#, aggressor == Side::Sell)?;
        self.summary.trades += 1;
        self.send(now_ns)
    }

    fn book_ticker(&mut self, now_ns: i64, bid: (i64, i64), ask: (i64, i64)) -> io::Result<()> {
        let now_ms = now_ns / NANOS_PER_MILLI;
        write!(
            self.line,
            r#"{{"stream":"{}@bookTicker","data":{{"e":"bookTicker","u":{},"s":"{}","b":""#,
            self.symbol_lower, self.update_id, self.symbol
        )?;
        self.price(bid.0)?;
        self.line.extend_from_slice(br#"","B":""#);
        self.qty(bid.1)?;
        self.line.extend_from_slice(br#"","a":""#);
        self.price(ask.0)?;
        self.line.extend_from_slice(br#"","A":""#);
        self.qty(ask.1)?;
        write!(self.line, r#"","T":{now_ms},"E":{now_ms}}}}}"#)?;
        self.summary.book_tickers += 1;
        self.send(now_ns)
    }

    /// Sends the diff that is open; nothing where nothing changed.
    fn depth_update(&mut self, now_ns: i64) -> io::Result<()> {
        let Some(first_id) = self.diff_first_id.take() else { return Ok(()) };
        write!(
            self.line,
            r#"{{"stream":"{}@depth@{}ms","data":{{"e":"depthUpdate","E":{},"T":{},"s":"{}","U":{first_id},"u":{},"pu":{},"b":["#,
            self.symbol_lower,
            self.depth_interval_ms,
            now_ns / NANOS_PER_MILLI,
            self.diff_last_ns / NANOS_PER_MILLI,
            self.symbol,
            self.update_id,
            self.diff_previous_id
        )?;
        self.diff_previous_id = self.update_id;
        let [bids, asks] = std::mem::take(&mut self.diff_levels);
        self.levels(bids.into_iter())?;
        self.line.extend_from_slice(br#"],"a":["#);
        self.levels(asks.into_iter())?;
        self.line.extend_from_slice(b"]}}");
        self.summary.depth_updates += 1;
        self.send(now_ns)
    }

    /// Takes the book as it is; it will arrive when the exchange's clock is at `arrives_ns`.
    fn take_snapshot(&mut self, now_ns: i64, arrives_ns: i64, engine: &MatchingEngine) {
        let now_ms = now_ns / NANOS_PER_MILLI;
        let held = std::mem::take(&mut self.line);
        // Writing to a `Vec` cannot fail.
        let _ = write!(self.line, r#"{{"lastUpdateId":{},"E":{now_ms},"T":{now_ms},"bids":["#, self.update_id);
        let _ = self.levels(engine.levels(Side::Buy).take(self.snapshot_levels));
        self.line.extend_from_slice(br#"],"asks":["#);
        let _ = self.levels(engine.levels(Side::Sell).take(self.snapshot_levels));
        self.line.extend_from_slice(b"]}");
        self.snapshot = Some((arrives_ns, std::mem::replace(&mut self.line, held)));
    }

    fn release_snapshot(&mut self, now_ns: i64) -> io::Result<()> {
        let Some((arrives_ns, text)) = self.snapshot.take_if(|(arrives_ns, _)| *arrives_ns <= now_ns) else { return Ok(()) };
        self.line = text;
        self.summary.snapshots += 1;
        self.send(arrives_ns)
    }

    fn levels(&mut self, levels: impl Iterator<Item = (i64, i64)>) -> io::Result<()> {
        for (place, (price_ticks, qty_lots)) in levels.enumerate() {
            self.line.extend_from_slice(if place == 0 { br#"[""# } else { br#",[""# });
            self.price(price_ticks)?;
            self.line.extend_from_slice(br#"",""#);
            self.qty(qty_lots)?;
            self.line.extend_from_slice(br#""]"#);
        }
        Ok(())
    }

    fn price(&mut self, ticks: i64) -> io::Result<()> {
        write_decimal(&mut self.line, ticks * self.tick, PRICE_SCALE, self.price_decimals)
    }

    fn qty(&mut self, lots: i64) -> io::Result<()> {
        write_decimal(&mut self.line, lots * self.lot, QTY_SCALE, self.qty_decimals)
    }

    /// Writes the line with the time it is received: its way takes a while, and lines stay in order.
    fn send(&mut self, exchange_ns: i64) -> io::Result<()> {
        let more_ns = -(1.0 - self.rng.f64()).ln() * DELAY_MEAN_MORE_NS;
        let earliest_ns = self.recv_ns + self.rng.i64(400..1_200);
        self.recv_ns = (exchange_ns + DELAY_MIN_NS + more_ns as i64).max(earliest_ns);
        write!(self.out, "{} ", self.recv_ns)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)?;
        self.line.clear();
        self.summary.lines += 1;
        Ok(())
    }
}

/// Decimals that multiples of `step` need.
fn decimals_of(step: i64, scale: i64) -> usize {
    let mut decimals = 0;
    let mut unit = scale;
    while step % unit != 0 {
        unit /= 10;
        decimals += 1;
    }
    decimals
}

/// Writes a number that is not negative with exactly `decimals` decimals.
fn write_decimal(line: &mut Vec<u8>, value: i64, scale: i64, decimals: usize) -> io::Result<()> {
    let whole = value / scale;
    if decimals == 0 {
        return write!(line, "{whole}");
    }
    let mut fraction = value % scale;
    let mut unit = scale;
    for _ in 0..decimals {
        unit /= 10;
    }
    fraction /= unit.max(1);
    write!(line, "{whole}.{fraction:0decimals$}")
}
