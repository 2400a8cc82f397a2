//! What a capture costs, stage by stage: line ends and receive times, decoding, the book; the kinds of messages; level changes.
//!
//! `cargo run --release -p chronos-market --example market_cost -- CAPTURE.gz [STAGE [PASSES]]`
//!
//! The capture is read into memory first and counts for nothing. Each figure is the best of the passes and their median. For instruction counts, one
//! pass of one stage (`split`, `decode`, `book`, `quotes`, `trades`, `depth20`, `depth100`, `l2`):
//! `valgrind --tool=callgrind --toggle-collect='market_cost::measured*' target/release/examples/market_cost CAPTURE.gz decode 1`.

use chronos_market::book::{BookSync, DepthView, L2Book};
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, LevelChange, Message, split_capture_line};
use chronos_market::{BookState, Qty, Side, Timestamp};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

type Failure = Box<dyn std::error::Error>;

const STAGES: [&str; 8] = ["split", "decode", "book", "quotes", "trades", "depth20", "depth100", "l2"];

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which capture?")?;
    let stage = arguments.next();
    let passes = arguments.next().map_or(Ok(21), |passes| passes.parse())?;
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(&path)?).read_to_end(&mut text)?;
    println!("{path}: {} bytes", text.len());
    for name in STAGES.iter().filter(|name| stage.as_deref().is_none_or(|stage| stage == **name)) {
        let (what, count, [best, median]) = match *name {
            "split" => whole(&text, passes, split),
            "decode" => whole(&text, passes, decode),
            "book" => whole(&text, passes, book),
            "l2" => level_changes(&text, passes),
            kind => messages(&text, passes, kind),
        };
        tell(name, what, count, [best, median]);
    }
    Ok(())
}

/// Prints nanoseconds each, of the best pass and the median.
fn tell(name: &str, what: &str, count: usize, ns: [f64; 2]) {
    let [best, median] = ns.map(|ns| ns / count as f64);
    println!("{name:<20} {count:>8} {what:<8} {best:>8.1} ns each, median {median:>8.1}, {:>7.3} M/s", 1e3 / best);
}

/// Runs a pass over the whole capture again and again.
fn whole(text: &[u8], passes: usize, pass: fn(&[u8]) -> usize) -> (&'static str, usize, [f64; 2]) {
    let mut count = 0;
    let ns = times(passes, || count = measured(|| pass(black_box(text))));
    ("lines", count, ns)
}

/// What instruction counts are taken of.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Nanoseconds of the best pass, and of the median.
fn times(passes: usize, mut pass: impl FnMut()) -> [f64; 2] {
    let mut times: Vec<u128> = (0..passes.max(1))
        .map(|_| {
            let start = Instant::now();
            pass();
            start.elapsed().as_nanos()
        })
        .collect();
    times.sort_unstable();
    [times[0] as f64, times[times.len() / 2] as f64]
}

#[inline]
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text).map(move |end| &text[std::mem::replace(&mut start, end + 1)..end])
}

fn split(text: &[u8]) -> usize {
    let mut count = 0;
    for line in lines(text) {
        black_box(split_capture_line(line).ok());
        count += 1;
    }
    count
}

struct Seen(usize);

impl DecodeSink for Seen {
    #[inline]
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        black_box(message);
        self.0 += 1;
    }
}

fn decode(text: &[u8]) -> usize {
    let (mut decoder, mut seen) = (BinanceDecoder::new(), Seen(0));
    for line in lines(text) {
        if let Ok(line) = split_capture_line(line) {
            let _ = decoder.decode(line.message, line.recv, &mut seen);
        }
    }
    seen.0
}

/// A book and what is read of it after each message.
struct Followed {
    sync: BookSync,
    view: DepthView,
    messages: usize,
    events: usize,
}

impl DecodeSink for Followed {
    #[inline]
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        self.messages += 1;
        let mut emit = |_| self.events += 1;
        match message {
            Message::Depth(depth) => drop(self.sync.on_depth(depth, &mut emit)),
            Message::Snapshot(snapshot) => drop(self.sync.on_snapshot(snapshot, &mut emit)),
            other => {
                black_box(other);
                return;
            }
        }
        if self.sync.state() == BookState::Synced {
            self.sync.book().view(&mut self.view);
            black_box(&self.view);
        }
    }
}

fn book(text: &[u8]) -> usize {
    let mut followed = Followed { sync: BookSync::new(), view: DepthView::default(), messages: 0, events: 0 };
    let mut decoder = BinanceDecoder::new();
    for line in lines(text) {
        if let Ok(line) = split_capture_line(line) {
            let _ = decoder.decode(line.message, line.recv, &mut followed);
        }
    }
    black_box(followed.events);
    followed.messages
}

/// The kind of a message, and how many levels it has.
struct Kind(&'static str, usize);

impl DecodeSink for Kind {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        *self = match message {
            Message::Depth(depth) => Kind("depth", depth.levels.len()),
            Message::Quote(_) => Kind("quotes", 0),
            Message::Trade(_) => Kind("trades", 0),
            _ => Kind("", 0),
        };
    }
}

/// Messages of one kind, in turn.
fn messages(text: &[u8], passes: usize, kind: &str) -> (&'static str, usize, [f64; 2]) {
    let mut decoder = BinanceDecoder::new();
    let mut kept = Vec::new();
    for message in lines(text).filter_map(|line| Some(split_capture_line(line).ok()?.message)) {
        let mut is = Kind("", 0);
        let _ = decoder.decode(message, Timestamp(0), &mut is);
        let is_wanted = match kind {
            "depth20" => matches!(is, Kind("depth", 20)),
            "depth100" => matches!(is, Kind("depth", 100)),
            kind => is.0 == kind,
        };
        if is_wanted {
            kept.push(message);
        }
    }
    let mut seen = Seen(0);
    let ns = times(passes, || {
        measured(|| {
            for message in &kept {
                let _ = decoder.decode(black_box(message), Timestamp(0), &mut seen);
            }
        });
    });
    if kind.starts_with("depth") {
        let mut buffers = simd_json::Buffers::new(1 << 20);
        let mut copy = Vec::new();
        let anchor = times(passes, || {
            for message in &kept {
                copy.clear();
                copy.extend_from_slice(message);
                black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers).map_or(0, |tape| tape.0.len()));
            }
        });
        tell("simd-json tape", "messages", kept.len(), anchor);
    }
    ("messages", kept.len(), ns)
}

/// The level changes of a capture from its snapshot on, each followed by a look at both bests.
struct Changes(Vec<LevelChange>, Vec<LevelChange>);

impl DecodeSink for Changes {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        match message {
            Message::Depth(depth) => self.1.extend_from_slice(depth.levels),
            Message::Snapshot(snapshot) => self.0 = snapshot.levels.to_vec(),
            _ => {}
        }
    }
}

fn level_changes(text: &[u8], passes: usize) -> (&'static str, usize, [f64; 2]) {
    let (mut decoder, mut changes) = (BinanceDecoder::new(), Changes(Vec::new(), Vec::new()));
    for message in lines(text).filter_map(|line| Some(split_capture_line(line).ok()?.message)) {
        let _ = decoder.decode(message, Timestamp(0), &mut changes);
    }
    let Changes(snapshot, changes) = changes;
    let mut start = L2Book::new();
    for level in &snapshot {
        let _ = start.set(level.side, level.price, level.qty);
    }
    let ns = times(passes, || {
        let mut book = start.clone();
        measured(|| {
            for change in &changes {
                let _ = book.set(change.side, change.price, change.qty);
                black_box(book.bbo());
            }
        });
    });
    let mut maps: [BTreeMap<i64, Qty>; 2] = Default::default();
    for level in &snapshot {
        maps[level.side as usize].insert(level.price.0, level.qty);
    }
    let anchor = times(passes, || {
        let mut maps = maps.clone();
        for change in &changes {
            let map = &mut maps[change.side as usize];
            if change.qty.0 == 0 {
                map.remove(&change.price.0);
            } else {
                map.insert(change.price.0, change.qty);
            }
            black_box((maps[Side::Buy as usize].last_key_value(), maps[Side::Sell as usize].first_key_value()));
        }
    });
    tell("two BTreeMaps", "changes", changes.len(), anchor);
    ("changes", changes.len(), ns)
}
