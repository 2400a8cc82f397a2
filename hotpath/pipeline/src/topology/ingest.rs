//! The first group: from bytes to books, features and decision ticks.

use super::{Crossing, Overrun};
use crate::latency::{Latencies, Stage};
use crate::stopwatch::{Started, Stopwatch};
use chronos_market::book::{
    BookEvent, BookSync, DepthView, MarketBook, Mismatch, PartialBook, QuoteCheck, StreamSync, SyncCounters, SyncOutcome,
    TOP_LEVELS,
};
use chronos_market::decode::{
    BookMessage, DecodeError, DecodeSink, Decoder, Feed, FeedDecoder, FeedMessage, Message, OrderAction, OrderMessage,
    QuoteMessage, TradeMessage,
};
use chronos_market::features::{FeatureConfig, FeatureEngine};
use chronos_market::tick::{TickClock, TickConfig, TickDecision};
use chronos_market::{
    Bbo, BookState, EventFlags, EventKind, Exchange, FEATURES_MAX, Frame, Instrument, InstrumentId, MarketEvent, Price, Qty, Side,
    StaleReason, Timestamp,
};
use std::fmt;
use std::hint::black_box;
use std::num::{NonZeroU32, NonZeroUsize};

/// What the ingest group is made from.
#[derive(Clone, Debug)]
pub struct IngestConfig {
    /// Decision ticks, as the model was trained with.
    pub tick: TickConfig,
    /// Features.
    pub features: FeatureConfig,
    /// Whether books are compared with every quote at an equal update id.
    pub verify: bool,
    /// Order messages after which a book of orders counts as in sync that no snapshot began: see
    /// [`OrderSync::cold_start`](chronos_market::book::OrderSync::cold_start). `None`, the usual, waits for a snapshot.
    pub cold_start: Option<NonZeroU32>,
    /// For feeds without a whole book: how many best levels they have. 1 makes quotes the book, more makes partial depth the book, and
    /// what keeps a whole one by changes is ignored then. `None`, the usual, for whole books.
    pub levels: Option<NonZeroUsize>,
}

/// A connection: a message names a symbol, and the same symbol means another instrument on another venue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// What is spoken.
    pub feed: Feed,
    /// The instruments whose messages arrive here.
    pub instruments: Vec<InstrumentId>,
    /// Whether messages of other instruments are expected and passed over.
    pub is_filtered: bool,
}

/// Why a message had no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IngestError {
    /// It could not be decoded.
    Decode(DecodeError),
    /// There is no source of that number.
    UnknownSource,
    /// It names a symbol that is not among the source's instruments.
    UnknownSymbol,
    /// A snapshot that names no symbol, from a source of several instruments.
    AmbiguousSnapshot,
}

impl IngestError {
    /// A number a reason, for records: stable, never reused.
    pub fn code(self) -> u8 {
        match self {
            IngestError::Decode(error) => error.code(),
            IngestError::UnknownSource => 52,
            IngestError::UnknownSymbol => 50,
            IngestError::AmbiguousSnapshot => 51,
        }
    }
}

impl fmt::Display for IngestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IngestError::Decode(error) => error.fmt(f),
            IngestError::UnknownSource => f.write_str("there is no source of that number"),
            IngestError::UnknownSymbol => f.write_str("symbol is not among this source's instruments"),
            IngestError::AmbiguousSnapshot => f.write_str("snapshot names no symbol and this source has several instruments"),
        }
    }
}

impl std::error::Error for IngestError {}

/// Counts of the ingest group.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct IngestCounters {
    /// Messages handed in, those of no effect among them.
    pub messages: u64,
    /// Trades.
    pub trades: u64,
    /// Quotes.
    pub quotes: u64,
    /// Depth messages.
    pub depth: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Messages that neither book nor features use.
    pub ignored: u64,
    /// Feature frames made.
    pub frames: u64,
    /// Messages received earlier than the one before; their time was held at that one's.
    pub time_reversals: u64,
    /// Times messages were lost before they came here, for want of room.
    pub overruns: u64,
    /// Messages that never came, by the numbers of a feed that numbers them.
    pub missed: u64,
}

/// The first group.
pub struct Ingest {
    /// One for each source.
    decoders: Vec<FeedDecoder>,
    state: State,
    /// What could not be read of what decoders held at the end, and of which source.
    end_errors: Vec<(usize, IngestError)>,
    /// Calls of [`Ingest::idle`].
    idle: usize,
}

/// All but the decoders, which lend their messages while this changes.
struct State {
    sources: Vec<Source>,
    /// Whose messages of each source are that name no symbol; empty where nobody said.
    unnamed: Vec<String>,
    symbols: Vec<String>,
    markets: Vec<Market>,
    seq: u64,
    now: Timestamp,
    /// Earliest timer of any market.
    next_timer: Timestamp,
    counters: IngestCounters,
    stopwatch: Stopwatch,
    latencies: Latencies,
}

/// One instrument.
struct Market {
    book: MarketBook,
    /// What makes the book of quotes or of partial depth.
    partial: Option<PartialBook>,
    /// Whether single trades have come: aggregates say the same again.
    has_trades: bool,
    features: FeatureEngine,
    tick: TickClock,
    top_levels: usize,
    view: DepthView,
    check: Option<QuoteCheck>,
}

impl Ingest {
    /// A group for `instruments`, fed by `sources`. Takes all its memory now.
    pub fn new(instruments: &[Instrument], sources: Vec<Source>, config: &IngestConfig) -> Ingest {
        let market = |instrument: &Instrument| Market {
            // Binance's books are of one kind, so their memory is taken now and not with the first message.
            book: match instrument.exchange {
                _ if config.levels.is_some() => MarketBook::Stream(StreamSync::new()),
                Exchange::BinanceSpot | Exchange::BinanceUsdm | Exchange::BinanceCoinm => MarketBook::Depth(BookSync::new()),
                _ => config.cold_start.map_or_else(MarketBook::new, MarketBook::with_cold_start),
            },
            partial: config.levels.map(|levels| PartialBook::new(levels.get())),
            has_trades: false,
            features: FeatureEngine::new(&config.features),
            tick: TickClock::new(&config.tick),
            top_levels: config.tick.top_levels.min(TOP_LEVELS),
            view: DepthView::default(),
            check: config.verify.then(QuoteCheck::new),
        };
        Ingest {
            decoders: sources.iter().map(|source| source.feed.decoder()).collect(),
            state: State {
                unnamed: vec![String::new(); sources.len()],
                sources,
                symbols: instruments.iter().map(|instrument| instrument.symbol.clone()).collect(),
                markets: instruments.iter().map(market).collect(),
                seq: 0,
                now: Timestamp::MIN,
                next_timer: Timestamp::MAX,
                counters: IngestCounters::default(),
                stopwatch: Stopwatch::new(),
                latencies: Latencies::new(),
            },
            end_errors: Vec::new(),
            idle: 0,
        }
    }

    /// Keeps what the next message needs in the core's cache, a part with each call: for a thread that waits. Nothing is changed by it.
    pub fn idle(&mut self) {
        let (turn, part) = (self.idle / 4, self.idle % 4);
        self.idle = self.idle.wrapping_add(1);
        let markets = self.state.markets.len().max(1);
        let Some(market) = self.state.markets.get_mut(turn % markets) else { return };
        match part {
            0 => {
                let decoder = turn % self.decoders.len().max(1);
                if let Some(decoder) = self.decoders.get_mut(decoder) {
                    decoder.rehearse();
                }
            }
            1 => market.book.keep_near(turn / markets),
            2 => self.state.latencies.keep_near(),
            _ => {
                let mut row = [0.0; FEATURES_MAX];
                market.features.write(self.state.now, &mut row);
                black_box(&row);
            }
        }
    }

    /// Moves logical time to `recv`, firing every timer due at or before it, and returns the time a message received then has:
    /// `recv`, or the present time where that is later. To be called before [`Ingest::on_message`].
    #[inline]
    pub fn advance(&mut self, recv: Timestamp, out: &mut impl Crossing) -> Timestamp {
        let state = &mut self.state;
        if recv < state.now {
            state.counters.time_reversals += 1;
        } else {
            while state.next_timer <= recv {
                state.fire_timer(out);
            }
            state.now = recv;
        }
        state.now
    }

    /// Says whose messages of a source follow that name no symbol: the reply from a certain address.
    pub fn set_symbol(&mut self, source: usize, symbol: &str) {
        if let (Some(decoder), Some(source)) = (self.decoders.get_mut(source), self.state.unnamed.get_mut(source)) {
            decoder.set_symbol(symbol);
            source.clear();
            source.push_str(symbol);
        }
    }

    /// Takes one message of source `source`. Logical time is where [`Ingest::advance`] left it.
    ///
    /// # Errors
    /// [`IngestError`] where the message has no effect; nothing was changed by it.
    #[inline]
    pub fn on_message(&mut self, source: usize, raw: &[u8], out: &mut impl Crossing) -> Result<(), IngestError> {
        let started = self.state.stopwatch.start();
        self.state.counters.messages += 1;
        let Some(decoder) = self.decoders.get_mut(source) else { return Err(IngestError::UnknownSource) };
        let mut sink = Sink { state: &mut self.state, source, started, out, result: Ok(None) };
        let now = sink.state.now;
        let decoded = decoder.decode(raw, now, &mut sink);
        let depth_levels = sink.result?;
        decoded.map_err(IngestError::Decode)?;
        let total_ns = self.state.stopwatch.elapsed_ns(started);
        self.state.latencies.record(Stage::TickToTrade, total_ns);
        if let Some(levels) = depth_levels {
            self.state.latencies.record_depth(levels, total_ns);
        }
        Ok(())
    }

    /// Drops an instrument's book, which starts over from its next snapshot; until then it is stale and nothing is decided on it.
    /// Logical time is where [`Ingest::advance`] left it.
    pub fn resync(&mut self, instrument: InstrumentId, out: &mut impl Crossing) {
        self.state.drop_book(instrument, StaleReason::Reset, out);
    }

    /// Messages of `source` were lost on the way here for want of room: none of its books may be used until its next snapshot. To
    /// be called where they are missing, between the last message before them and the first after.
    ///
    /// # Errors
    /// [`IngestError::UnknownSource`].
    #[cold]
    pub fn on_overrun(&mut self, source: usize, out: &mut impl Crossing) -> Result<(), IngestError> {
        let state = &mut self.state;
        let instruments = state.sources.get(source).ok_or(IngestError::UnknownSource)?.instruments.len();
        state.counters.overruns += 1;
        // A session has far fewer sources.
        let number = u16::try_from(source).unwrap_or(u16::MAX);
        out.overrun(&Overrun { recv: state.now, source: number, messages: state.counters.messages });
        for place in 0..instruments {
            state.drop_book(state.sources[source].instruments[place], StaleReason::Overrun, out);
        }
        Ok(())
    }

    /// Takes what decoders still hold: there is no more to come. A feed of packets keeps those that came too early. What of it cannot be
    /// read is told by [`Ingest::end_errors`].
    pub fn finish(&mut self, out: &mut impl Crossing) {
        for (source, decoder) in self.decoders.iter_mut().enumerate() {
            let started = self.state.stopwatch.start();
            let now = self.state.now;
            let mut sink = Sink { state: &mut self.state, source, started, out, result: Ok(None) };
            let finished = decoder.finish(now, &mut sink);
            let error = sink.result.err().or(finished.err().map(IngestError::Decode));
            self.end_errors.extend(error.map(|error| (source, error)));
        }
    }

    /// The sources of which something held back could not be read at the end, and why.
    pub fn end_errors(&self) -> &[(usize, IngestError)] {
        &self.end_errors
    }

    /// The counts so far.
    pub fn counters(&self) -> IngestCounters {
        self.state.counters
    }

    /// What was measured so far.
    pub fn latencies(&self) -> &Latencies {
        &self.state.latencies
    }

    /// The sync machine's counts for each instrument.
    pub fn sync_counters(&self) -> impl Iterator<Item = SyncCounters> + '_ {
        self.state.markets.iter().map(|market| market.book.counters())
    }

    /// Whether each instrument's book may be used now.
    pub fn book_states(&self) -> impl Iterator<Item = BookState> + '_ {
        self.state.markets.iter().map(|market| market.book.state())
    }

    /// Compared, mismatched, and the first mismatch of each instrument, where verifying.
    pub fn checks(&self) -> impl Iterator<Item = (u64, u64, Option<Mismatch>)> + '_ {
        self.state.markets.iter().map(|market| {
            market.check.as_ref().map_or((0, 0, None), |check| (check.compared(), check.mismatched(), check.first_mismatch()))
        })
    }

    /// Logical time.
    pub fn now(&self) -> Timestamp {
        self.state.now
    }

    /// Events handed on so far.
    pub fn events(&self) -> u64 {
        self.state.seq
    }
}

struct Sink<'a, C: Crossing> {
    state: &'a mut State,
    source: usize,
    started: Started,
    out: &'a mut C,
    /// Level changes of a depth message, or why the message had no effect.
    result: Result<Option<usize>, IngestError>,
}

impl<C: Crossing> DecodeSink for Sink<'_, C> {
    #[inline]
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        let state = &mut *self.state;
        let decoded = state.stopwatch.start();
        state.latencies.record(Stage::Decode, state.stopwatch.between_ns(self.started, decoded));
        if let Message::Feed(feed) = message {
            state.on_feed(self.source, feed, decoded, self.started, self.out);
            return;
        }
        if let Message::Ignored(_) | Message::Bar(_) | Message::Status(_) = message {
            state.counters.ignored += 1;
            return;
        }
        let id = match state.instrument(self.source, message.symbol()) {
            Ok(Some(id)) => id,
            Ok(None) => {
                state.counters.ignored += 1;
                return;
            }
            Err(error) => {
                self.result = Err(error);
                return;
            }
        };
        let untimed = Batch { id, exchange_ns: 0, begun: decoded, started: self.started };
        match message {
            Message::Depth(_) | Message::Snapshot(_) | Message::Book(_) | Message::Order(_) | Message::OrderSnapshot(_)
                if state.markets[id.index()].partial.is_some() =>
            {
                state.counters.ignored += 1;
            }
            Message::Depth(depth) => {
                self.result = Ok(Some(depth.levels.len()));
                state.counters.depth += 1;
                let batch = Batch { exchange_ns: depth.exchange_ns, ..untimed };
                state.on_book(&batch, message, self.out);
            }
            Message::Snapshot(snapshot) => {
                self.result = Ok(Some(snapshot.levels.len()));
                state.counters.snapshots += 1;
                let batch = Batch { exchange_ns: snapshot.exchange_ns, ..untimed };
                state.on_book(&batch, message, self.out);
            }
            Message::Book(book) => {
                self.result = Ok(Some(book.levels.len()));
                state.counters.depth += u64::from(!book.is_snapshot);
                state.counters.snapshots += u64::from(book.is_snapshot);
                let batch = Batch { exchange_ns: book.exchange_ns, ..untimed };
                state.on_book(&batch, message, self.out);
            }
            Message::Order(order) => {
                self.result = Ok(Some(1));
                state.counters.depth += 1;
                state.on_order(id, order, decoded, self.started, self.out);
            }
            Message::OrderSnapshot(snapshot) => {
                self.result = Ok(Some(snapshot.orders.len()));
                state.counters.snapshots += 1;
                let batch = Batch { exchange_ns: snapshot.exchange_ns, ..untimed };
                state.on_book(&batch, message, self.out);
            }
            Message::Trade(trade) => {
                state.markets[id.index()].has_trades = true;
                state.on_trade(id, trade, decoded, self.out);
            }
            Message::AggregateTrade(aggregate) if !state.markets[id.index()].has_trades => {
                state.on_trade(id, &aggregate.trade, decoded, self.out);
            }
            Message::Quote(quote) => state.on_quote(id, quote, decoded, self.started, self.out),
            Message::PartialDepth(depth) if state.takes_partial_depth(id) => {
                self.result = Ok(Some(depth.levels.len()));
                state.counters.snapshots += 1;
                let batch = Batch { exchange_ns: depth.exchange_ns, ..untimed };
                state.on_levels(
                    &batch,
                    |partial, is_synced| partial.on_levels(depth.levels, depth.exchange_ns, is_synced),
                    self.out,
                );
            }
            Message::Mark(mark) => {
                let event = state.event(id, EventKind::Mark, Side::Buy, mark.price, Qty::ZERO, 0, mark.exchange_ns);
                self.out.event(&event);
            }
            Message::Liquidation(order) => {
                let event = state.event(id, EventKind::Liquidation, order.side, order.price, order.qty, 0, order.exchange_ns);
                self.out.event(&event);
            }
            _ => state.counters.ignored += 1,
        }
    }
}

/// What book events of one message share.
struct Batch {
    id: InstrumentId,
    exchange_ns: i64,
    /// When the book's work began, and the message's.
    begun: Started,
    started: Started,
}

impl State {
    #[inline]
    fn instrument(&self, source: usize, symbol: Option<&str>) -> Result<Option<InstrumentId>, IngestError> {
        let (Some(source), Some(unnamed)) = (self.sources.get(source), self.unnamed.get(source)) else {
            return Err(IngestError::UnknownSource);
        };
        match (symbol.or(Some(unnamed).filter(|symbol| !symbol.is_empty()).map(String::as_str)), source.instruments.as_slice()) {
            (Some(symbol), instruments) => {
                let named = |id: &&InstrumentId| self.symbols.get(id.index()).is_some_and(|known| known == symbol);
                match instruments.iter().find(named) {
                    Some(id) => Ok(Some(*id)),
                    None if source.is_filtered => Ok(None),
                    None => Err(IngestError::UnknownSymbol),
                }
            }
            (None, [only]) => Ok(Some(*only)),
            (None, _) => Err(IngestError::AmbiguousSnapshot),
        }
    }

    /// The next event: one that is a message of its own.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of the event it makes")]
    #[inline]
    fn event(
        &mut self,
        instrument: InstrumentId,
        kind: EventKind,
        side: Side,
        price: Price,
        qty: Qty,
        id: u64,
        exchange_ns: i64,
    ) -> MarketEvent {
        self.seq += 1;
        MarketEvent {
            seq: self.seq,
            recv_ns: self.now.0,
            exchange_ns,
            price,
            qty,
            id,
            instrument,
            kind,
            side,
            flags: EventFlags::BATCH_END,
        }
    }

    /// Drops a book, which starts over from its next snapshot.
    #[cold]
    fn drop_book(&mut self, id: InstrumentId, reason: StaleReason, out: &mut impl Crossing) {
        let started = self.stopwatch.start();
        let (seq, now) = (&mut self.seq, self.now);
        let Some(market) = self.markets.get_mut(id.index()) else { return };
        let mut emit = |event: BookEvent| out.event(&numbered(seq, now, id, 0, event));
        if let outcome @ SyncOutcome::WentStale(_) = market.book.resync(reason, &mut emit) {
            self.after_book(id, outcome, started, started, out);
        }
    }

    /// Changes the book by a message and lets its events go their way.
    #[inline]
    fn on_book(&mut self, batch: &Batch, message: &Message<'_>, out: &mut impl Crossing) {
        let (seq, now) = (&mut self.seq, self.now);
        let mut emit = |event: BookEvent| out.event(&numbered(seq, now, batch.id, batch.exchange_ns, event));
        let outcome = self.markets[batch.id.index()].book.on_message(message, &mut emit);
        self.after_book(batch.id, outcome, batch.begun, batch.started, out);
    }

    fn takes_partial_depth(&self, id: InstrumentId) -> bool {
        self.markets[id.index()].partial.as_ref().is_some_and(|partial| !partial.is_of_quotes())
    }

    /// Changes a book of quotes or of partial depth by a message of all its levels.
    #[inline]
    fn on_levels(
        &mut self,
        batch: &Batch,
        message: impl FnOnce(&mut PartialBook, bool) -> BookMessage<'_>,
        out: &mut impl Crossing,
    ) {
        let (seq, now) = (&mut self.seq, self.now);
        let Market { book, partial: Some(partial), .. } = &mut self.markets[batch.id.index()] else { return };
        let mut emit = |event: BookEvent| out.event(&numbered(seq, now, batch.id, batch.exchange_ns, event));
        let outcome = book.on_book(&message(partial, book.state() == BookState::Synced), &mut emit);
        self.after_book(batch.id, outcome, batch.begun, batch.started, out);
    }

    /// What happened to an order. Where it traded, that is a trade too, on the side of who took.
    #[inline]
    fn on_order(
        &mut self,
        id: InstrumentId,
        order: &OrderMessage<'_>,
        decoded: Started,
        started: Started,
        out: &mut impl Crossing,
    ) {
        let (seq, now) = (&mut self.seq, self.now);
        let mut executed = None;
        let mut emit = |event: BookEvent| {
            if event.kind == EventKind::OrderExecute {
                executed = Some((event.price, event.side));
            }
            out.event(&numbered(seq, now, id, order.exchange_ns, event));
        };
        let outcome = self.markets[id.index()].book.on_order(order, &mut emit);
        if let (Some((at_rest, side)), OrderAction::Execute { qty, price, trade_id, is_printable: true, .. }) =
            (executed, order.action)
        {
            let trade = TradeMessage {
                symbol: order.symbol,
                id: trade_id,
                price: price.unwrap_or(at_rest),
                qty,
                aggressor: Some(side.opposite()),
                exchange_ns: order.exchange_ns,
            };
            self.on_trade(id, &trade, decoded, out);
        }
        self.after_book(id, outcome, decoded, started, out);
    }

    /// What the feed says of itself concerns every book it feeds.
    #[cold]
    fn on_feed(&mut self, source: usize, feed: &FeedMessage, decoded: Started, started: Started, out: &mut impl Crossing) {
        if let FeedMessage::Gap { first, last } = feed {
            self.counters.missed += last.saturating_sub(*first).saturating_add(1);
        }
        for place in 0..self.sources.get(source).map_or(0, |source| source.instruments.len()) {
            let batch = Batch { id: self.sources[source].instruments[place], exchange_ns: 0, begun: decoded, started };
            self.on_book(&batch, &Message::Feed(*feed), out);
        }
    }

    /// What follows a whole batch of book changes: the check, the features, and a tick where one is due.
    #[inline]
    fn after_book(&mut self, id: InstrumentId, outcome: SyncOutcome, begun: Started, started: Started, out: &mut impl Crossing) {
        let market = &mut self.markets[id.index()];
        let changed_top = match outcome {
            SyncOutcome::Applied(best_changed) => best_changed.is_some_and(|better| better < market.top_levels),
            SyncOutcome::Synced => {
                market.features.reset();
                market.tick.reset();
                true
            }
            SyncOutcome::WentStale(_) => {
                market.features.reset();
                market.tick.reset();
                self.refresh_next_timer();
                return;
            }
            SyncOutcome::Unused => {
                self.counters.ignored += 1;
                return;
            }
            SyncOutcome::Buffered
            | SyncOutcome::Partial
            | SyncOutcome::Old
            | SyncOutcome::SnapshotTooOld
            | SyncOutcome::SnapshotLoaded
            | SyncOutcome::SnapshotUnneeded => return,
        };
        market.book.view(&mut market.view);
        if let Some(check) = &mut market.check {
            check.on_book(market.book.last_id(), market.view.bbo());
        }
        let booked = self.stopwatch.start();
        self.latencies.record(Stage::Book, self.stopwatch.between_ns(begun, booked));
        market.features.on_book(self.now, &market.view);
        if !changed_top {
            self.latencies.record(Stage::Features, self.stopwatch.elapsed_ns(booked));
            return;
        }
        match market.tick.on_change(self.now) {
            TickDecision::Fire => self.frame(id, booked, started, out),
            TickDecision::Armed => {
                if let Some(due) = market.tick.due() {
                    self.next_timer = self.next_timer.min(due);
                }
            }
            TickDecision::Pending => {}
        }
    }

    #[inline]
    fn on_trade(&mut self, id: InstrumentId, trade: &TradeMessage<'_>, decoded: Started, out: &mut impl Crossing) {
        self.counters.trades += 1;
        self.markets[id.index()].features.on_trade(self.now, trade.price, trade.qty, trade.aggressor);
        self.latencies.record(Stage::Features, self.stopwatch.elapsed_ns(decoded));
        let (side, flags) = match trade.aggressor {
            Some(side) => (side, EventFlags::BATCH_END),
            None => (Side::Buy, EventFlags::BATCH_END | EventFlags::NO_SIDE),
        };
        let event = self.event(id, EventKind::Trade, side, trade.price, trade.qty, trade.id, trade.exchange_ns);
        out.event(&MarketEvent { flags, ..event });
    }

    #[inline]
    fn on_quote(
        &mut self,
        id: InstrumentId,
        quote: &QuoteMessage<'_>,
        decoded: Started,
        started: Started,
        out: &mut impl Crossing,
    ) {
        self.counters.quotes += 1;
        let market = &mut self.markets[id.index()];
        if let Some(check) = &mut market.check {
            check.on_quote(quote.id, quote.bbo);
        }
        market.features.on_quote(self.now, &quote.bbo);
        self.latencies.record(Stage::Features, self.stopwatch.elapsed_ns(decoded));
        let Bbo { bid, ask } = quote.bbo;
        let bid = self.event(id, EventKind::Bbo, Side::Buy, bid.price, bid.qty, quote.id, quote.exchange_ns);
        out.event(&MarketEvent { flags: EventFlags::NONE, ..bid });
        let ask = self.event(id, EventKind::Bbo, Side::Sell, ask.price, ask.qty, quote.id, quote.exchange_ns);
        out.event(&ask);
        if self.markets[id.index()].partial.as_ref().is_some_and(PartialBook::is_of_quotes) {
            let batch = Batch { id, exchange_ns: quote.exchange_ns, begun: decoded, started };
            self.on_levels(&batch, |partial, is_synced| partial.on_quote(&quote.bbo, quote.exchange_ns, is_synced), out);
        }
    }

    #[cold]
    fn fire_timer(&mut self, out: &mut impl Crossing) {
        let due = self.next_timer;
        let started = self.stopwatch.start();
        if let Some(place) = self.markets.iter().position(|market| market.tick.due() == Some(due)) {
            self.now = self.now.max(due);
            self.markets[place].tick.fire_timer();
            self.frame(InstrumentId(place as u16), started, started, out);
        }
        self.refresh_next_timer();
    }

    fn refresh_next_timer(&mut self) {
        self.next_timer = self.markets.iter().filter_map(|market| market.tick.due()).min().unwrap_or(Timestamp::MAX);
    }

    #[inline]
    fn frame(&mut self, id: InstrumentId, begun: Started, started: Started, out: &mut impl Crossing) {
        let market = &mut self.markets[id.index()];
        let mut frame = Frame {
            seq: self.seq,
            recv_ns: self.now.0,
            elapsed_ns: market.tick.elapsed_ns(),
            instrument: id,
            book: market.book.state(),
            warmup_left: market.tick.warmup_left(),
            bbo: market.view.bbo(),
            features: [0.0; FEATURES_MAX],
        };
        market.features.write(self.now, &mut frame.features);
        self.counters.frames += 1;
        self.latencies.record(Stage::Features, self.stopwatch.elapsed_ns(begun));
        out.frame(&frame, started);
    }
}

#[inline]
fn numbered(seq: &mut u64, now: Timestamp, instrument: InstrumentId, exchange_ns: i64, event: BookEvent) -> MarketEvent {
    *seq += 1;
    MarketEvent {
        seq: *seq,
        recv_ns: now.0,
        exchange_ns,
        price: event.price,
        qty: event.qty,
        id: event.id,
        instrument,
        kind: event.kind,
        side: event.side,
        flags: event.flags,
    }
}
