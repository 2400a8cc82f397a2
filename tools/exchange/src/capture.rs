//! Writes the simulated exchange's day as a raw Binance USD-M capture: `<receive ns> <json>` lines.
//!
//! The streams are those of a recorder on `<symbol>@depth@<n>ms`, `@bookTicker` and `@trade`, with one REST depth snapshot in
//! mid-stream: the diff that straddles it arrives first, so a reader has to buffer. Update ids are shared by diffs and quotes and
//! skip as the venue's do.
//!
//! Every symbol is a market of its own. Lines are merged by receive time, a few of each symbol at a time, so a capture of any size
//! is written in the same memory.

use crate::agents::{Agents, Amendment};
use crate::matching_engine::{EngineEvent, EngineRequest, MatchingEngine};
use crate::output_file::OutputFile;
use crate::planted::PlantedFlow;
use chronos_market::{NANOS_PER_MILLI, NANOS_PER_SECOND, PRICE_SCALE, Price, QTY_SCALE, Qty, Side};
use fastrand::Rng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

/// What to generate. The same configuration gives the same bytes.
#[derive(Clone, PartialEq, Debug)]
pub struct GeneratorConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the session in seconds.
    pub seconds: u32,
    /// The capture ends sooner, with the line that makes it so many bytes long before compression. `None`: it does not.
    pub max_bytes: Option<u64>,
    /// Symbol in upper case: ASCII letters, digits and `_`.
    pub symbol: String,
    /// Symbols in the capture, at least 1. Those after the first are named `SIM2USDT`, `SIM3USDT` and so on, are markets of their
    /// own, and start at two to eight times the price. Where there are several, snapshots name theirs, which the venue's do not.
    pub symbols: u16,
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
    /// Levels a side in the snapshot, at least 1; with fewer than the book has, a reader does not know the deeper ones.
    pub snapshot_levels: usize,
    /// In place of the usual agents a flow with a signal of known strength, 0 to 1, planted in it: takers buy before the mid rises with a
    /// probability of `(1 + strength) / 2`, and sell likewise. The mid moves about once a second, by a fair coin, and nothing else
    /// tells where to: at 0 nothing does. `None`: the usual agents.
    pub plant: Option<f64>,
}

impl Default for GeneratorConfig {
    /// A minute of BTCUSDT from 2025-01-01 00:00 UTC at 60,000 with a tick of 0.1 and a lot of 0.001, as on Binance USD-M.
    fn default() -> Self {
        GeneratorConfig {
            seed: 1,
            seconds: 60,
            max_bytes: None,
            symbol: "BTCUSDT".to_owned(),
            symbols: 1,
            start_ns: 1_735_689_600 * NANOS_PER_SECOND,
            start_price: Price(60_000 * PRICE_SCALE),
            tick: Price(PRICE_SCALE / 10),
            lot: Qty(QTY_SCALE / 1_000),
            depth_interval_ms: 100,
            snapshot_levels: 1_000,
            plant: None,
        }
    }
}

/// What was generated.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GeneratedSummary {
    /// Lines in all.
    pub lines: u64,
    /// Bytes in all, before compression.
    pub bytes: u64,
    /// `depthUpdate` messages.
    pub depth_updates: u64,
    /// `bookTicker` messages.
    pub book_tickers: u64,
    /// `trade` messages.
    pub trades: u64,
    /// REST snapshots: one a symbol, or none where the session ends before they arrive.
    pub snapshots: u64,
}

/// Runs the exchange for the configured time and writes its capture to `out`. `progress` is told the part done, 0 to 1.
///
/// # Errors
/// What `out` says; [`io::ErrorKind::InvalidInput`] for a configuration out of range, naming the field.
pub fn generate(config: &GeneratorConfig, out: &mut impl Write, progress: &mut dyn FnMut(f64)) -> io::Result<GeneratedSummary> {
    check(config)?;
    let mut markets: Vec<SymbolMarket> = (0..config.symbols).map(|place| SymbolMarket::new(&of_symbol(config, place))).collect();
    // The market whose next line is received first is on top.
    let mut next_lines: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::with_capacity(markets.len());
    for (place, market) in markets.iter_mut().enumerate() {
        next_lines.extend(market.next_recv_ns().map(|recv_ns| Reverse((recv_ns, place))));
    }
    let length_ns = f64::from(config.seconds) * NANOS_PER_SECOND as f64;
    let max_bytes = config.max_bytes.unwrap_or(u64::MAX);
    let mut summary = GeneratedSummary::default();
    while let Some(Reverse((recv_ns, place))) = next_lines.pop()
        && summary.bytes < max_bytes
    {
        let Some(market) = markets.get_mut(place) else { break };
        market.write_next_line(out, &mut summary)?;
        next_lines.extend(market.next_recv_ns().map(|recv_ns| Reverse((recv_ns, place))));
        if summary.lines % LINES_PER_PROGRESS == 0 {
            let time_part = (recv_ns - config.start_ns) as f64 / length_ns;
            progress(time_part.max(summary.bytes as f64 / max_bytes as f64).min(1.0));
        }
    }
    progress(1.0);
    out.flush()?;
    Ok(summary)
}

const LINES_PER_PROGRESS: u64 = 1_024;

/// Like [`generate`], into a file: gzip where the name ends in `.gz`, zstd where it ends in `.zst`, plain otherwise. A file that is
/// there is replaced.
///
/// # Errors
/// As [`generate`], and where the file cannot be made or written.
pub fn generate_file(config: &GeneratorConfig, path: &Path, progress: &mut dyn FnMut(f64)) -> io::Result<GeneratedSummary> {
    check(config)?;
    let mut file = OutputFile::create(path)?;
    let summary = generate(config, &mut file, progress)?;
    file.finish()?;
    Ok(summary)
}

/// The configuration of one of the symbols: the first as it is, each other with a seed, a name and a price of its own.
fn of_symbol(config: &GeneratorConfig, place: u16) -> GeneratorConfig {
    if place == 0 {
        return config.clone();
    }
    GeneratorConfig {
        seed: Rng::with_seed(config.seed.wrapping_add(u64::from(place))).u64(..),
        symbol: further_symbol(place),
        start_price: Price(config.start_price.0 * (2 + i64::from((place - 1) % 7))),
        ..config.clone()
    }
}

fn further_symbol(place: u16) -> String {
    format!("SIM{}USDT", u32::from(place) + 1)
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
    if !(20_000..=1_000_000_000).contains(&(config.start_price.0 / config.tick.0)) || config.start_price.0 > i64::MAX / 32 {
        return refuse("start_price must be between 20,000 and 1e9 ticks");
    }
    if config.lot.0 > QTY_SCALE * 1_000 {
        return refuse("lot must be at most 1,000");
    }
    if config.symbols < 1 {
        return refuse("symbols must be at least 1");
    }
    if (1..config.symbols).any(|place| config.symbol == further_symbol(place)) {
        return refuse("symbol must not be that of one of the further symbols");
    }
    if config.depth_interval_ms < 1 {
        return refuse("depth_interval_ms must be at least 1");
    }
    if config.snapshot_levels < 1 {
        return refuse("snapshot_levels must be at least 1");
    }
    if config.plant.is_some_and(|strength| !(0.0..=1.0).contains(&strength)) {
        return refuse("plant must be a strength from 0 (no signal) to 1");
    }
    Ok(())
}

/// The venue's first update id and trade id.
const FIRST_UPDATE_ID: u64 = 5_000_000_000_000;
const FIRST_TRADE_ID: u64 = 5_000_000_000;
/// The way to the receiver: at least this long, and more at random.
const DELAY_MIN_NS: i64 = 1_500_000;
const DELAY_MEAN_MORE_NS: f64 = 250_000.0;

/// One symbol: its exchange, who trades there, and the lines that its recorder has received and not handed out.
struct SymbolMarket {
    flow: OrderFlow,
    engine: MatchingEngine,
    events: Vec<EngineEvent>,
    /// What is asked of the engine next, and when.
    next: (i64, EngineRequest),
    recorder: Recorder,
    end_ns: i64,
    interval_ns: i64,
    depth_due_ns: i64,
    snapshot_due_ns: i64,
    is_snapshot_taken: bool,
    is_over: bool,
}

impl SymbolMarket {
    fn new(config: &GeneratorConfig) -> SymbolMarket {
        let mut engine = MatchingEngine::new();
        let mut events = Vec::new();
        let price_ticks = config.start_price.0 / config.tick.0;
        let mut flow = match config.plant {
            None => OrderFlow::Usual(Agents::new(config.seed, config.start_ns, price_ticks, Amendment::Cancel)),
            Some(strength) => OrderFlow::Planted(PlantedFlow::new(config.seed, config.start_ns, price_ticks, strength)),
        };
        for request in flow.opening() {
            // The opening may cross itself; what is refused is not in the book, and that is all that counts.
            let _ = engine.apply(&request, &mut events);
        }
        let length_ns = i64::from(config.seconds) * NANOS_PER_SECOND;
        let interval_ns = i64::from(config.depth_interval_ms) * NANOS_PER_MILLI;
        SymbolMarket {
            next: flow.next(&engine),
            flow,
            engine,
            events,
            recorder: Recorder::new(config),
            end_ns: config.start_ns.saturating_add(length_ns),
            interval_ns,
            depth_due_ns: config.start_ns.saturating_add(interval_ns),
            // About a second in, so that diffs before it have to be buffered; earlier in a session that short.
            snapshot_due_ns: config.start_ns + (NANOS_PER_SECOND + interval_ns / 2).min(length_ns / 4),
            is_snapshot_taken: false,
            is_over: false,
        }
    }

    /// When the next line is received; the exchange runs until there is one. `None` where the session is over.
    fn next_recv_ns(&mut self) -> Option<i64> {
        while self.recorder.lines.is_empty() && !self.is_over {
            self.recorder.text.clear();
            self.step();
        }
        self.recorder.lines.front().map(|line| line.recv_ns)
    }

    /// Writes the line that was received first, if there is one, and counts it.
    fn write_next_line(&mut self, out: &mut impl Write, summary: &mut GeneratedSummary) -> io::Result<()> {
        let Some(line) = self.recorder.lines.pop_front() else { return Ok(()) };
        let text = self.recorder.text.get(line.text).unwrap_or_default();
        out.write_all(text)?;
        summary.lines += 1;
        summary.bytes += text.len() as u64;
        *match line.kind {
            LineKind::DepthUpdate => &mut summary.depth_updates,
            LineKind::BookTicker => &mut summary.book_tickers,
            LineKind::Trade => &mut summary.trades,
            LineKind::Snapshot => &mut summary.snapshots,
        } += 1;
        Ok(())
    }

    /// Sends what is due before the next request and lets the engine do what it asks, or ends the session.
    fn step(&mut self) {
        let (now_ns, request) = self.next;
        while self.depth_due_ns <= now_ns.min(self.end_ns) {
            self.recorder.depth_update(self.depth_due_ns);
            self.recorder.release_snapshot(self.depth_due_ns);
            self.depth_due_ns += self.interval_ns;
        }
        if now_ns >= self.end_ns {
            self.recorder.release_snapshot(i64::MAX);
            self.is_over = true;
            return;
        }
        self.recorder.release_snapshot(now_ns);
        self.events.clear();
        // A refusal (an order that is gone, a post-only that would take) is part of the game and changes nothing.
        let _ = self.engine.apply(&request, &mut self.events);
        while let Some(request) = self.flow.rest() {
            let _ = self.engine.apply(&request, &mut self.events);
        }
        self.flow.observe(&self.events);
        self.recorder.record(now_ns, &self.engine, &self.events);
        // Taken while a diff is open, so that the diff straddles it; it arrives after that diff.
        if !self.is_snapshot_taken && now_ns >= self.snapshot_due_ns && self.recorder.is_diff_open() {
            self.recorder.take_snapshot(now_ns, self.depth_due_ns + self.interval_ns / 2, &self.engine);
            self.is_snapshot_taken = true;
        }
        self.next = self.flow.next(&self.engine);
    }
}

/// Who asks the engine for what.
enum OrderFlow {
    Usual(Agents),
    Planted(PlantedFlow),
}

impl OrderFlow {
    fn opening(&mut self) -> Vec<EngineRequest> {
        match self {
            OrderFlow::Usual(agents) => agents.opening(),
            OrderFlow::Planted(flow) => flow.opening(),
        }
    }

    fn next(&mut self, engine: &MatchingEngine) -> (i64, EngineRequest) {
        match self {
            OrderFlow::Usual(agents) => agents.next(engine),
            OrderFlow::Planted(flow) => flow.next(engine),
        }
    }

    /// What else is asked in the same message.
    fn rest(&mut self) -> Option<EngineRequest> {
        match self {
            OrderFlow::Usual(_) => None,
            OrderFlow::Planted(flow) => flow.rest(),
        }
    }

    fn observe(&mut self, events: &[EngineEvent]) {
        match self {
            OrderFlow::Usual(agents) => agents.observe(events),
            OrderFlow::Planted(_) => {}
        }
    }
}

/// A line of the capture.
struct ReceivedLine {
    recv_ns: i64,
    kind: LineKind,
    /// Where it stands in the recorder's text, with its receive time and line end.
    text: Range<usize>,
}

#[derive(Clone, Copy)]
enum LineKind {
    DepthUpdate,
    BookTicker,
    Trade,
    Snapshot,
}

/// Follows the engine as the venue's public streams do and receives what they send.
struct Recorder {
    /// Lines that arrived and are not written yet, in order.
    lines: VecDeque<ReceivedLine>,
    /// Their text; the line being received is behind it.
    text: Vec<u8>,
    symbol: String,
    // How the messages of each stream begin.
    trade_head: Vec<u8>,
    book_ticker_head: Vec<u8>,
    depth_update_head: Vec<u8>,
    tick: i64,
    price_decimals: u32,
    lot: i64,
    qty_decimals: u32,
    snapshot_levels: usize,
    names_snapshots: bool,
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
}

impl Recorder {
    fn new(config: &GeneratorConfig) -> Recorder {
        let symbol_lower = config.symbol.to_ascii_lowercase();
        let head = |stream: &str, data: &str| format!(r#"{{"stream":"{symbol_lower}@{stream}","data":{{{data}"#).into_bytes();
        Recorder {
            lines: VecDeque::new(),
            text: Vec::new(),
            symbol: config.symbol.clone(),
            trade_head: head("trade", r#""e":"trade","E":"#),
            book_ticker_head: head("bookTicker", r#""e":"bookTicker","u":"#),
            depth_update_head: head(&format!("depth@{}ms", config.depth_interval_ms), r#""e":"depthUpdate","E":"#),
            tick: config.tick.0,
            price_decimals: decimals_of(config.tick.0, PRICE_SCALE).max(2),
            lot: config.lot.0,
            qty_decimals: decimals_of(config.lot.0, QTY_SCALE),
            snapshot_levels: config.snapshot_levels,
            names_snapshots: config.symbols > 1,
            rng: Rng::with_seed(!config.seed),
            update_id: FIRST_UPDATE_ID,
            trade_id: FIRST_TRADE_ID,
            recv_ns: 0,
            diff_first_id: None,
            diff_last_ns: config.start_ns,
            diff_levels: [BTreeMap::new(), BTreeMap::new()],
            diff_previous_id: FIRST_UPDATE_ID,
            quote: [None; 2],
            snapshot: None,
        }
    }

    fn is_diff_open(&self) -> bool {
        self.diff_first_id.is_some()
    }

    /// Takes in what one request did: sends its trades, gathers its levels, and sends the quote where it changed.
    fn record(&mut self, now_ns: i64, engine: &MatchingEngine, events: &[EngineEvent]) {
        if events.is_empty() {
            return;
        }
        // Ids are shared by all of the venue's symbols, so ours are not consecutive.
        self.update_id += 1 + self.rng.u64(0..40);
        self.diff_first_id.get_or_insert(self.update_id);
        self.diff_last_ns = now_ns;
        for event in events {
            match *event {
                EngineEvent::Trade { aggressor, price_ticks, qty_lots, .. } => self.trade(now_ns, aggressor, price_ticks, qty_lots),
                EngineEvent::LevelSet { side, price_ticks, qty_lots } => {
                    self.diff_levels[side as usize].insert(price_ticks, qty_lots);
                }
            }
        }
        let quote = [engine.best(Side::Buy), engine.best(Side::Sell)];
        match quote {
            [Some(bid), Some(ask)] if quote != self.quote => self.book_ticker(now_ns, bid, ask),
            _ => {}
        }
        self.quote = quote;
    }

    fn trade(&mut self, now_ns: i64, aggressor: Side, price_ticks: i64, qty_lots: i64) {
        self.trade_id += 1;
        let line = self.begin_line(now_ns);
        self.text.extend_from_slice(&self.trade_head);
        self.milliseconds(now_ns);
        self.raw(r#","T":"#);
        self.milliseconds(now_ns);
        self.raw(r#","s":""#);
        self.text.extend_from_slice(self.symbol.as_bytes());
        self.raw(r#"","t":"#);
        write_integer(&mut self.text, self.trade_id);
        self.raw(r#","p":""#);
        self.price(price_ticks);
        self.raw(r#"","q":""#);
        self.qty(qty_lots);
        self.raw(if aggressor == Side::Sell { r#"","X":"MARKET","m":true}}"# } else { r#"","X":"MARKET","m":false}}"# });
        self.end_line(line, LineKind::Trade);
    }

    fn book_ticker(&mut self, now_ns: i64, bid: (i64, i64), ask: (i64, i64)) {
        let line = self.begin_line(now_ns);
        self.text.extend_from_slice(&self.book_ticker_head);
        write_integer(&mut self.text, self.update_id);
        self.raw(r#","s":""#);
        self.text.extend_from_slice(self.symbol.as_bytes());
        self.raw(r#"","b":""#);
        self.price(bid.0);
        self.raw(r#"","B":""#);
        self.qty(bid.1);
        self.raw(r#"","a":""#);
        self.price(ask.0);
        self.raw(r#"","A":""#);
        self.qty(ask.1);
        self.raw(r#"","T":"#);
        self.milliseconds(now_ns);
        self.raw(r#","E":"#);
        self.milliseconds(now_ns);
        self.raw("}}");
        self.end_line(line, LineKind::BookTicker);
    }

    /// Sends the diff that is open; nothing where nothing changed.
    fn depth_update(&mut self, now_ns: i64) {
        let Some(first_id) = self.diff_first_id.take() else { return };
        let line = self.begin_line(now_ns);
        self.text.extend_from_slice(&self.depth_update_head);
        self.milliseconds(now_ns);
        self.raw(r#","T":"#);
        self.milliseconds(self.diff_last_ns);
        self.raw(r#","s":""#);
        self.text.extend_from_slice(self.symbol.as_bytes());
        self.raw(r#"","U":"#);
        write_integer(&mut self.text, first_id);
        self.raw(r#","u":"#);
        write_integer(&mut self.text, self.update_id);
        self.raw(r#","pu":"#);
        write_integer(&mut self.text, self.diff_previous_id);
        self.diff_previous_id = self.update_id;
        let [bids, asks] = std::mem::take(&mut self.diff_levels);
        self.raw(r#","b":["#);
        self.levels(bids.into_iter());
        self.raw(r#"],"a":["#);
        self.levels(asks.into_iter());
        self.raw("]}}");
        self.end_line(line, LineKind::DepthUpdate);
    }

    /// Takes the book as it is; it will arrive when the exchange's clock is at `arrives_ns`.
    fn take_snapshot(&mut self, now_ns: i64, arrives_ns: i64, engine: &MatchingEngine) {
        let start = self.text.len();
        self.raw(r#"{"lastUpdateId":"#);
        write_integer(&mut self.text, self.update_id);
        if self.names_snapshots {
            self.raw(r#","symbol":""#);
            self.text.extend_from_slice(self.symbol.as_bytes());
            self.raw(r#"""#);
        }
        self.raw(r#","E":"#);
        self.milliseconds(now_ns);
        self.raw(r#","T":"#);
        self.milliseconds(now_ns);
        self.raw(r#","bids":["#);
        self.levels(engine.levels(Side::Buy).take(self.snapshot_levels));
        self.raw(r#"],"asks":["#);
        self.levels(engine.levels(Side::Sell).take(self.snapshot_levels));
        self.raw("]}");
        self.snapshot = Some((arrives_ns, self.text.split_off(start)));
    }

    fn release_snapshot(&mut self, now_ns: i64) {
        let Some((arrives_ns, text)) = self.snapshot.take_if(|(arrives_ns, _)| *arrives_ns <= now_ns) else { return };
        let line = self.begin_line(arrives_ns);
        self.text.extend_from_slice(&text);
        self.end_line(line, LineKind::Snapshot);
    }

    fn levels(&mut self, levels: impl Iterator<Item = (i64, i64)>) {
        for (place, (price_ticks, qty_lots)) in levels.enumerate() {
            self.raw(if place == 0 { r#"[""# } else { r#",[""# });
            self.price(price_ticks);
            self.raw(r#"",""#);
            self.qty(qty_lots);
            self.raw(r#""]"#);
        }
    }

    fn raw(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    fn milliseconds(&mut self, ns: i64) {
        write_integer(&mut self.text, (ns / NANOS_PER_MILLI).unsigned_abs());
    }

    fn price(&mut self, ticks: i64) {
        write_decimal(&mut self.text, ticks.saturating_mul(self.tick), PRICE_SCALE, self.price_decimals);
    }

    fn qty(&mut self, lots: i64) {
        write_decimal(&mut self.text, lots.saturating_mul(self.lot), QTY_SCALE, self.qty_decimals);
    }

    /// Begins a line with the time it is received and says where: its way takes a while, and lines stay in order.
    fn begin_line(&mut self, exchange_ns: i64) -> usize {
        let more_ns = -(1.0 - self.rng.f64()).ln() * DELAY_MEAN_MORE_NS;
        let earliest_ns = self.recv_ns + self.rng.i64(400..1_200);
        self.recv_ns = (exchange_ns + DELAY_MIN_NS + more_ns as i64).max(earliest_ns);
        let start = self.text.len();
        write_integer(&mut self.text, self.recv_ns.unsigned_abs());
        self.text.push(b' ');
        start
    }

    fn end_line(&mut self, start: usize, kind: LineKind) {
        self.text.push(b'\n');
        self.lines.push_back(ReceivedLine { recv_ns: self.recv_ns, kind, text: start..self.text.len() });
    }
}

/// Decimals that multiples of `step` need.
fn decimals_of(step: i64, scale: i64) -> u32 {
    let mut decimals = 0;
    let mut unit = scale;
    while step % unit != 0 {
        unit /= 10;
        decimals += 1;
    }
    decimals
}

/// Writes a number that is not negative with exactly `decimals` decimals, at most those of `scale`.
fn write_decimal(text: &mut Vec<u8>, value: i64, scale: i64, decimals: u32) {
    let value = value.unsigned_abs();
    let power = 10u64.pow(decimals);
    let shown = value / (scale.unsigned_abs() / power);
    write_integer(text, shown / power);
    if decimals > 0 {
        let point = text.len();
        // A one in front of the fraction keeps its leading zeros; the point takes its place.
        write_integer(text, power + shown % power);
        if let Some(byte) = text.get_mut(point) {
            *byte = b'.';
        }
    }
}

/// Writes the digits of a number. Most of a capture is digits: several times faster than [`std::fmt`], and it shows.
fn write_integer(text: &mut Vec<u8>, mut value: u64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        first -= 1;
        if value == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use serde_json::Value;
    use std::fs::File;
    use std::io::Read;

    fn capture(config: &GeneratorConfig) -> (Vec<u8>, GeneratedSummary) {
        let mut bytes = Vec::new();
        let summary = generate(config, &mut bytes, &mut |_| {}).unwrap();
        (bytes, summary)
    }

    fn lines(bytes: &[u8]) -> Vec<(i64, Value)> {
        std::str::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| {
                let (recv_ns, json) = line.split_once(' ').unwrap();
                (recv_ns.parse().unwrap(), serde_json::from_str(json).unwrap())
            })
            .collect()
    }

    /// A decimal text as a whole number of 1e-9, with no float between.
    fn nanos(text: &Value) -> i64 {
        let (whole, fraction) = text.as_str().unwrap().split_once('.').unwrap();
        whole.parse::<i64>().unwrap() * 1_000_000_000 + format!("{fraction:0<9}").parse::<i64>().unwrap()
    }

    fn number(message: &Value, key: &str) -> i64 {
        message[key].as_i64().unwrap_or_else(|| panic!("{key} in {message}"))
    }

    /// Two sorted maps, kept by the venue's published rule.
    #[derive(Default)]
    struct NaiveBook {
        sides: [BTreeMap<i64, i64>; 2],
        id: i64,
    }

    impl NaiveBook {
        fn set(&mut self, side: usize, levels: &Value) {
            for level in levels.as_array().unwrap() {
                let (price, qty) = (nanos(&level[0]), nanos(&level[1]));
                assert!(price > 0 && qty >= 0);
                match qty {
                    0 => self.sides[side].remove(&price),
                    _ => self.sides[side].insert(price, qty),
                };
            }
        }

        fn diff(&mut self, diff: &Value) {
            self.set(0, &diff["b"]);
            self.set(1, &diff["a"]);
            self.id = number(diff, "u");
            assert!(
                self.sides[0].last_key_value().unwrap().0 < self.sides[1].first_key_value().unwrap().0,
                "crossed at {}",
                self.id
            );
        }

        fn best(&self) -> [i64; 4] {
            let (bid, ask) = (self.sides[0].last_key_value().unwrap(), self.sides[1].first_key_value().unwrap());
            [*bid.0, *bid.1, *ask.0, *ask.1]
        }
    }

    /// Reads a capture slowly and checks everything that a real one holds; returns how many quotes the book was compared with.
    fn check_capture(bytes: &[u8], summary: &GeneratedSummary, depth_interval_ms: i64) -> usize {
        let lines = lines(bytes);
        assert_eq!(lines.len() as u64, summary.lines);
        assert!(lines.is_sorted_by(|a, b| a.0 < b.0));
        let mut counts = GeneratedSummary { lines: summary.lines, bytes: bytes.len() as u64, ..Default::default() };
        let mut book: Option<NaiveBook> = None;
        let mut buffered: Vec<Value> = Vec::new();
        let mut quotes: BTreeMap<i64, [i64; 4]> = BTreeMap::new();
        let (mut diff_id, mut quote_id, mut trade_id, mut event_ms, mut compared) = (None, 0, None, 0, 0);
        for (recv_ns, line) in &lines {
            if let Some(snapshot_id) = line["lastUpdateId"].as_i64() {
                counts.snapshots += 1;
                let mut joined = NaiveBook { id: snapshot_id, ..Default::default() };
                joined.set(0, &line["bids"]);
                joined.set(1, &line["asks"]);
                buffered.retain(|diff| number(diff, "u") >= snapshot_id);
                // The diff that straddles the snapshot arrived before it.
                let first = buffered.first().unwrap();
                assert!(number(first, "U") <= snapshot_id && snapshot_id <= number(first, "u"));
                buffered.iter().for_each(|diff| joined.diff(diff));
                book = Some(joined);
                continue;
            }
            let message = &line["data"];
            let kind = message["e"].as_str().unwrap();
            let stream = match kind {
                "depthUpdate" => format!("btcusdt@depth@{depth_interval_ms}ms"),
                _ => format!("btcusdt@{kind}"),
            };
            assert_eq!((line["stream"].as_str(), message["s"].as_str()), (Some(stream.as_str()), Some("BTCUSDT")));
            assert!(number(message, "E") >= event_ms && number(message, "T") <= number(message, "E"));
            event_ms = number(message, "E");
            let delay_ns = recv_ns - event_ms * NANOS_PER_MILLI;
            assert!((0..NANOS_PER_SECOND / 10).contains(&delay_ns), "{delay_ns}");
            match kind {
                "depthUpdate" => {
                    counts.depth_updates += 1;
                    let (first, last, previous) = (number(message, "U"), number(message, "u"), number(message, "pu"));
                    assert!(previous < first && first <= last);
                    assert!(diff_id.is_none_or(|id| id == previous));
                    diff_id = Some(last);
                    let Some(book) = &mut book else {
                        buffered.push(message.clone());
                        continue;
                    };
                    book.diff(message);
                    if let Some(quote) = quotes.get(&last) {
                        assert_eq!(&book.best(), quote);
                        compared += 1;
                    }
                }
                "bookTicker" => {
                    counts.book_tickers += 1;
                    assert!(number(message, "u") > quote_id);
                    quote_id = number(message, "u");
                    let quote = [&message["b"], &message["B"], &message["a"], &message["A"]].map(nanos);
                    assert!(quote[0] < quote[2] && quote[1] > 0 && quote[3] > 0);
                    quotes.insert(quote_id, quote);
                }
                "trade" => {
                    counts.trades += 1;
                    let id = number(message, "t");
                    assert!(trade_id.is_none_or(|previous: i64| id == previous + 1));
                    trade_id = Some(id);
                    assert!(nanos(&message["p"]) > 0 && nanos(&message["q"]) > 0);
                    assert!(message["m"].is_boolean() && message["X"] == "MARKET");
                }
                other => panic!("unknown event {other}"),
            }
        }
        assert_eq!(&counts, summary);
        compared
    }

    #[test]
    fn a_capture_holds_what_a_real_one_does() {
        for (seed, seconds, depth_interval_ms) in [(1, 60, 100), (2, 10, 50), (3, 3, 250), (4, 1, 100)] {
            let config = GeneratorConfig { seed, seconds, depth_interval_ms, ..Default::default() };
            let (bytes, summary) = capture(&config);
            let compared = check_capture(&bytes, &summary, i64::from(depth_interval_ms));
            assert_eq!(summary.snapshots, 1);
            assert!(compared as u64 >= summary.depth_updates / 10, "{compared} comparisons with seed {seed}");
        }
    }

    #[test]
    fn a_long_session_keeps_its_rules() {
        let config = GeneratorConfig { seed: 7, seconds: 300, ..Default::default() };
        let (bytes, summary) = capture(&config);
        check_capture(&bytes, &summary, 100);
        assert!((200 * 300..600 * 300).contains(&summary.lines), "{summary:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let config = GeneratorConfig { seconds: 5, ..Default::default() };
        let (bytes, summary) = capture(&config);
        assert_eq!(capture(&config), (bytes.clone(), summary));
        assert_ne!(capture(&GeneratorConfig { seed: 2, ..config }).0, bytes);
    }

    #[test]
    fn a_longer_session_begins_like_a_shorter_one() {
        let config = GeneratorConfig { seconds: 5, ..Default::default() };
        let (short, _) = capture(&config);
        let (long, _) = capture(&GeneratorConfig { seconds: 8, ..config });
        assert!(long.starts_with(&short));
    }

    #[test]
    fn flow_predicts_the_price_and_the_spread_is_narrow() {
        let (bytes, summary) = capture(&GeneratorConfig { seed: 5, seconds: 120, ..Default::default() });
        // By half second: signed traded quantity, and the last middle price.
        let mut flow = vec![0f64; 240];
        let mut middle = vec![0f64; 240];
        let mut narrow = 0;
        for (_, line) in lines(&bytes) {
            let message = &line["data"];
            let Some(event_ms) = message["E"].as_i64() else { continue };
            let half_second = ((event_ms - 1_735_689_600_000) / 500) as usize;
            match message["e"].as_str() {
                Some("trade") => flow[half_second] += nanos(&message["q"]) as f64 * if message["m"] == true { -1.0 } else { 1.0 },
                Some("bookTicker") => {
                    let (bid, ask) = (nanos(&message["b"]), nanos(&message["a"]));
                    middle[half_second] = (bid + ask) as f64 * 0.5;
                    narrow += u64::from(ask - bid <= 300_000_000);
                }
                _ => {}
            }
        }
        assert!(middle.iter().all(|&middle| middle > 0.0), "half a second without a quote");
        let returns: Vec<f64> = middle.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let correlation = correlation(&flow[1..239], &returns[1..]);
        assert!(correlation > 0.15, "{correlation}");
        assert!(narrow * 10 > summary.book_tickers * 9, "{narrow} of {} within three ticks", summary.book_tickers);
    }

    fn correlation(x: &[f64], y: &[f64]) -> f64 {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (mean_x, mean_y) = (mean(x), mean(y));
        let product = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| -> f64 {
            a.iter().zip(b).map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
        };
        product(x, mean_x, y, mean_y) / (product(x, mean_x, x, mean_x) * product(y, mean_y, y, mean_y)).sqrt()
    }

    #[test]
    fn a_file_is_gzip_where_its_name_says_so() {
        let config = GeneratorConfig { seconds: 2, ..Default::default() };
        let (bytes, summary) = capture(&config);
        let folder = tempfile::tempdir().unwrap();
        let (plain, gzip) = (folder.path().join("a.txt"), folder.path().join("a.gz"));
        assert_eq!(generate_file(&config, &plain, &mut |_| {}).unwrap(), summary);
        assert_eq!(generate_file(&config, &gzip, &mut |_| {}).unwrap(), summary);
        assert_eq!(std::fs::read(&plain).unwrap(), bytes);
        let mut unpacked = Vec::new();
        GzDecoder::new(File::open(&gzip).unwrap()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, bytes);
    }

    #[test]
    fn a_file_is_zstd_where_its_name_says_so() {
        let config = GeneratorConfig { seconds: 2, ..Default::default() };
        let path = tempfile::tempdir().unwrap();
        let path = path.path().join("a.ZST");
        generate_file(&config, &path, &mut |_| {}).unwrap();
        assert_eq!(zstd::decode_all(File::open(&path).unwrap()).unwrap(), capture(&config).0);
    }

    #[test]
    fn a_capture_ends_with_the_line_that_makes_it_long_enough() {
        let whole = capture(&GeneratorConfig { seconds: 20, ..Default::default() }).0;
        for max_bytes in [1, 100_000, 400_001] {
            let config = GeneratorConfig { seconds: u32::MAX, max_bytes: Some(max_bytes), ..Default::default() };
            let mut bytes = Vec::new();
            let mut parts = Vec::new();
            let summary = generate(&config, &mut bytes, &mut |part| parts.push(part)).unwrap();
            assert!(whole.starts_with(&bytes) && bytes.ends_with(b"\n"));
            assert_eq!(summary.bytes, bytes.len() as u64);
            let last_line = bytes[..bytes.len() - 1].iter().rev().take_while(|&&byte| byte != b'\n').count() as u64 + 1;
            assert!(summary.bytes >= max_bytes && summary.bytes - last_line < max_bytes);
            assert!(parts.is_sorted() && parts.last() == Some(&1.0));
        }
        let unreached = GeneratorConfig { seconds: 20, max_bytes: Some(u64::MAX), ..Default::default() };
        assert_eq!(capture(&unreached).0, whole);
    }

    #[test]
    fn symbols_are_markets_of_their_own_merged_by_receive_time() {
        let config = GeneratorConfig { seconds: 5, symbols: 10, ..Default::default() };
        let (bytes, summary) = capture(&config);
        assert_eq!((summary.snapshots, summary.bytes), (10, bytes.len() as u64));
        let text = std::str::from_utf8(&bytes).unwrap();
        let recv_ns = |line: &str| line.split_once(' ').unwrap().0.parse::<i64>().unwrap();
        assert!(text.lines().is_sorted_by_key(recv_ns));
        // The first is as if it were alone, but for the name in its snapshot.
        let alone = capture(&GeneratorConfig { symbols: 1, ..config.clone() }).0;
        let of = |text: &str, symbol: &str| -> Vec<String> {
            text.lines().filter(|line| line.contains(&format!("\"s\":\"{symbol}\""))).map(str::to_owned).collect()
        };
        assert_eq!(of(text, "BTCUSDT"), of(std::str::from_utf8(&alone).unwrap(), "BTCUSDT"));
        let named: Vec<String> = lines(&bytes)
            .iter()
            .filter(|(_, line)| line["lastUpdateId"].is_i64())
            .map(|(_, line)| line["symbol"].as_str().unwrap().to_owned())
            .collect();
        let mut sorted = named.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!((named.len(), sorted.len()), (10, 10));
        let mut first_quotes = Vec::new();
        for place in 2..=10 {
            let lines = of(text, &format!("SIM{place}USDT"));
            assert!(lines.len() > 300 && lines.iter().all(|line| line.contains(&format!("sim{place}usdt@"))));
            let price =
                lines.iter().find_map(|line| line.split_once("\"b\":\"")?.1.split_once('.')).unwrap().0.parse::<u64>().unwrap();
            first_quotes.push((price + 5_000) / 10_000 * 10_000);
        }
        assert_eq!(first_quotes, [2, 3, 4, 5, 6, 7, 8, 2, 3].map(|times| times * 60_000));
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_does() {
        let written = |value: u64| {
            let mut text = Vec::new();
            write_integer(&mut text, value);
            String::from_utf8(text).unwrap()
        };
        for value in [0, 9, 10, 99, 100, 1_735_689_600_001_500_000, u64::MAX] {
            assert_eq!(written(value), value.to_string());
        }
    }

    #[test]
    fn other_ticks_and_lots_are_written_exactly() {
        let config = GeneratorConfig {
            seconds: 2,
            symbol: "XRPUSDT".to_owned(),
            start_price: Price(3 * PRICE_SCALE),
            tick: Price(PRICE_SCALE / 10_000),
            lot: Qty(QTY_SCALE),
            ..Default::default()
        };
        for (_, line) in lines(&capture(&config).0) {
            let message = &line["data"];
            if message["e"] == "trade" {
                let (price, qty) = (message["p"].as_str().unwrap(), message["q"].as_str().unwrap());
                assert!(price.starts_with("2.9") || price.starts_with("3.0"), "{price}");
                assert_eq!(price.len(), 6);
                assert!(qty.parse::<u32>().unwrap() > 0);
            }
        }
    }

    #[test]
    fn an_empty_session_is_empty_and_progress_ends_at_one() {
        let (bytes, summary) = capture(&GeneratorConfig { seconds: 0, ..Default::default() });
        assert_eq!((bytes.len(), summary), (0, GeneratedSummary::default()));
        let mut parts = Vec::new();
        generate(&GeneratorConfig { seconds: 2, ..Default::default() }, &mut io::sink(), &mut |part| parts.push(part)).unwrap();
        assert!(parts.is_sorted() && parts.last() == Some(&1.0));
    }

    #[test]
    fn a_configuration_out_of_range_is_named() {
        let good = GeneratorConfig::default();
        for (config, named) in [
            (GeneratorConfig { symbol: "btc\"".to_owned(), ..good.clone() }, "symbol"),
            (GeneratorConfig { symbol: String::new(), ..good.clone() }, "symbol"),
            (GeneratorConfig { start_ns: -1, ..good.clone() }, "start_ns"),
            (GeneratorConfig { tick: Price(0), ..good.clone() }, "tick"),
            (GeneratorConfig { lot: Qty(-1), ..good.clone() }, "lot"),
            (GeneratorConfig { lot: Qty(i64::MAX), ..good.clone() }, "lot"),
            (GeneratorConfig { start_price: Price(PRICE_SCALE), ..good.clone() }, "start_price"),
            (GeneratorConfig { start_price: Price(i64::MAX), tick: Price(i64::MAX / 100_000), ..good.clone() }, "start_price"),
            (GeneratorConfig { symbols: 0, ..good.clone() }, "symbols"),
            (GeneratorConfig { symbol: "SIM3USDT".to_owned(), symbols: 3, ..good.clone() }, "further"),
            (GeneratorConfig { depth_interval_ms: 0, ..good.clone() }, "depth_interval_ms"),
            (GeneratorConfig { snapshot_levels: 0, ..good.clone() }, "snapshot_levels"),
            (GeneratorConfig { plant: Some(1.5), ..good.clone() }, "plant"),
            (GeneratorConfig { plant: Some(f64::NAN), ..good.clone() }, "plant"),
        ] {
            let error = generate(&config, &mut io::sink(), &mut |_| {}).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
