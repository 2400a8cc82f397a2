//! The Binance captures as steps for an engine: what the ingest stage would tell it, and when it would ask.

use crate::{Event, Step};
use chronos_market::Timestamp;
use chronos_market::book::{BookEvent, BookSync, DepthView, SyncOutcome};
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, Message, split_capture_line};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// Each connection's files in the order they were recorded.
const CONNECTIONS: [&[&str]; 5] = [
    &["usdm_btcusdt_20240808"],
    &["usdm_ethusdt_20240808"],
    &["spot_btcusdt_20240808", "spot_btcusdt_20240809"],
    &["spot_ethusdt_20240808", "spot_ethusdt_20240809"],
    &["cm_btcusd_perp_20240808", "cm_btcusd_perp_20240809"],
];

/// The steps of every connection, from its book's first sync on; `None` where the captures are missing. A decision is asked for
/// after each batch that changed one of the best levels.
pub(crate) fn steps() -> Option<Vec<Vec<(i64, Step)>>> {
    CONNECTIONS.iter().map(|files| connection(files)).collect()
}

fn connection(files: &[&str]) -> Option<Vec<(i64, Step)>> {
    let mut listener = Listener { sync: BookSync::new(), steps: Vec::new() };
    let mut decoder = BinanceDecoder::new();
    for file in files {
        let path = chronos_tests::data_file(&format!("binance_ws/{file}.gz"))?;
        for line in BufReader::new(MultiGzDecoder::new(File::open(path).unwrap())).split(b'\n') {
            let line = line.unwrap();
            let line = split_capture_line(&line).unwrap();
            decoder.decode(line.message, line.recv, &mut listener).unwrap();
        }
    }
    Some(listener.steps)
}

struct Listener {
    sync: BookSync,
    steps: Vec<(i64, Step)>,
}

impl DecodeSink for Listener {
    fn message(&mut self, recv: Timestamp, message: &Message<'_>) {
        let outcome = match message {
            Message::Depth(depth) => self.sync.on_depth(depth, &mut |_: BookEvent| {}),
            Message::Snapshot(snapshot) => self.sync.on_snapshot(snapshot, &mut |_: BookEvent| {}),
            Message::Trade(trade) => {
                let event = Event::Trade(trade.price.0, trade.qty.0, trade.aggressor);
                return self.steps.push((recv.0, Step::Event(event)));
            }
            Message::Quote(quote) => return self.steps.push((recv.0, Step::Event(Event::Quote(quote.bbo)))),
            _ => return,
        };
        let is_decided = match outcome {
            SyncOutcome::Synced => {
                self.steps.clear();
                true
            }
            SyncOutcome::Applied(changed) => changed.is_some(),
            _ => return,
        };
        let mut view = DepthView::default();
        self.sync.book().view(&mut view);
        self.steps.push((recv.0, Step::Event(Event::Book(Box::new(view)))));
        if is_decided {
            self.steps.push((recv.0, Step::Decide));
        }
    }
}
