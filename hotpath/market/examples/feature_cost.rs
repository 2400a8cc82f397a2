//! What the features of a capture cost: replays its books, quotes and trades through an engine.
//!
//! `cargo run --release -p chronos-market --example feature_cost -- CAPTURE.gz [MODE]`
//!
//! Every event is decoded and the book kept beforehand; then the engine alone is timed. `MODE` is what is timed: `all` (default)
//! every event with a row written after each book batch, `books` only those, `events` all without rows. Under callgrind,
//! `--collect-atstart=no --toggle-collect='feature_cost::replay'` counts the instructions of the same.

use chronos_market::book::{BookEvent, BookSync, DepthView, SyncOutcome};
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, Message, split_capture_line};
use chronos_market::{Bbo, FEATURES_MAX, FeatureConfig, FeatureEngine, Price, Qty, Side, Timestamp};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::time::Instant;

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
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which capture?")?;
    let mode = arguments.next().unwrap_or_else(|| "all".into());
    let mut listener = Listener { sync: BookSync::new(), events: Vec::new() };
    let mut decoder = BinanceDecoder::new();
    for line in BufReader::new(MultiGzDecoder::new(File::open(path)?)).split(b'\n') {
        let line = line?;
        let line = split_capture_line(&line)?;
        decoder.decode(line.message, line.recv, &mut listener)?;
    }
    let mut events = listener.events;
    if mode == "books" {
        events.retain(|(_, event)| matches!(event, Event::Book(_)));
    }
    let count = |is_kind: fn(&Event) -> bool| events.iter().filter(|(_, event)| is_kind(event)).count();
    let books = count(|event| matches!(event, Event::Book(_)));
    println!(
        "{books} books, {} quotes, {} trades",
        count(|event| matches!(event, Event::Quote(_))),
        count(|event| { matches!(event, Event::Trade(..)) })
    );
    let mut engine = FeatureEngine::new(&FeatureConfig::default());
    let best_ns = (0..5)
        .map(|_| {
            engine.reset();
            let started = Instant::now();
            replay(&mut engine, &events, mode != "events");
            started.elapsed().as_nanos()
        })
        .min()
        .unwrap_or(0);
    println!("{:.1} ns an event, {:.1} ns a book, best of 5", best_ns as f64 / events.len() as f64, best_ns as f64 / books as f64);
    Ok(())
}

#[inline(never)]
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
