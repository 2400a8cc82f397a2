//! What the features of a capture cost: replays its books, quotes and trades through an engine.
//!
//! `cargo bench -p chronos-benches --bench features -- [books|all|events] [--passes N] [--capture CAPTURE.gz]`
//!
//! Every event is decoded and the book kept beforehand; then the engine alone is timed: on `all` events with a row written after each book
//! batch, on `books` and their rows only, on all `events` without rows. Instructions:
//! `valgrind --tool=callgrind --toggle-collect='*measured*' BENCH books --passes 1`, divided by the events.

use chronos_benches::input::Input;
use chronos_benches::measure::{Arguments, each};
use chronos_benches::table::circumstances;
use chronos_market::book::{BookEvent, BookSync, DepthView, SyncOutcome};
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, Message, split_capture_line};
use chronos_market::{Bbo, FEATURES_MAX, FeatureConfig, FeatureEngine, Price, Qty, Side, Timestamp};
use std::hint::black_box;

enum Event {
    Book(Box<DepthView>),
    Quote(Bbo),
    Trade(Price, Qty, Option<Side>),
}

struct Listener {
    sync: BookSync,
    events: Vec<(Timestamp, Event)>,
}

impl DecodeSink for Listener {
    fn message(&mut self, recv: Timestamp, message: &Message<'_>) {
        let outcome = match message {
            Message::Depth(depth) => self.sync.on_depth(depth, &mut |_: BookEvent| {}),
            Message::Snapshot(snapshot) => self.sync.on_snapshot(snapshot, &mut |_: BookEvent| {}),
            Message::Quote(quote) => return self.events.push((recv, Event::Quote(quote.bbo))),
            Message::Trade(trade) => return self.events.push((recv, Event::Trade(trade.price, trade.qty, trade.aggressor))),
            _ => return,
        };
        if let SyncOutcome::Synced | SyncOutcome::Applied(_) = outcome {
            let mut view = DepthView::default();
            self.sync.book().view(&mut view);
            self.events.push((recv, Event::Book(Box::new(view))));
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::of_process();
    let input = Input::asked_for(arguments.capture.as_deref())?;
    let mut listener = Listener { sync: BookSync::new(), events: Vec::new() };
    let mut decoder = BinanceDecoder::new();
    for line in input.bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = split_capture_line(line)?;
        decoder.decode(line.message, line.recv, &mut listener)?;
    }
    let events = listener.events;
    let count = |is_kind: fn(&Event) -> bool| events.iter().filter(|(_, event)| is_kind(event)).count();
    let books = count(|event| matches!(event, Event::Book(_)));
    println!("{}", circumstances());
    println!(
        "input: {}, SHA-256 {}; {books} books, {} quotes, {} trades",
        input.name,
        input.sha256,
        count(|event| matches!(event, Event::Quote(_))),
        count(|event| matches!(event, Event::Trade(..)))
    );
    // One engine for all passes: the pages of a new one are not there before they are touched.
    let mut engine = FeatureEngine::new(&FeatureConfig::default());
    let passes = arguments.passes.unwrap_or(400);
    let mut measure = |name: &str, events: &[(Timestamp, Event)], writes: bool| {
        each(
            name,
            events.len(),
            passes,
            || (),
            |()| {
                engine.reset();
                replay(&mut engine, events, writes);
            },
        );
    };
    if arguments.takes("all") {
        measure("all: an event, a row after each book", &events, true);
    }
    if arguments.takes("events") {
        measure("events: an event, without rows", &events, false);
    }
    if arguments.takes("books") {
        let mut only = events;
        only.retain(|(_, event)| matches!(event, Event::Book(_)));
        measure("books: a book and its row", &only, true);
    }
    Ok(())
}

fn replay(engine: &mut FeatureEngine, events: &[(Timestamp, Event)], writes: bool) {
    let mut row = [0.0; FEATURES_MAX];
    for (now, event) in events {
        match event {
            Event::Book(view) => {
                engine.on_book(*now, view);
                if writes {
                    engine.write(*now, &mut row);
                    black_box(&row);
                }
            }
            Event::Quote(bbo) => engine.on_quote(*now, bbo),
            Event::Trade(price, qty, aggressor) => engine.on_trade(*now, *price, *qty, *aggressor),
        }
    }
}
