//! What a capture costs, stage by stage: line ends and receive times, decoding, the book; the kinds of messages; level changes.
//!
//! `cargo bench -p chronos-benches --bench decoding -- [STAGE...] [--passes N] [--capture CAPTURE.gz]`, with the stages `split`, `decode`,
//! `book`, `quotes`, `trades`, `depth20`, `depth100` and `l2`. The capture is read into memory first and counts for nothing. 512-bit
//! instructions take a while to be up to speed: `depth20 --passes 1001`.
//!
//! Instructions: `valgrind --tool=callgrind --toggle-collect='*measured*' BENCH decode --passes 1`, divided by the count printed; without the
//! anchors beside `depth20`, `depth100` and `l2`, which are timed by the same and run only where there are more passes.

use chronos_benches::input::Input;
use chronos_benches::measure::{Arguments, each};
use chronos_benches::table::circumstances;
use chronos_market::book::{BookSync, DepthView, L2Book};
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, LevelChange, Message, split_capture_line};
use chronos_market::{BookState, Qty, Side, Timestamp};
use std::collections::BTreeMap;
use std::hint::black_box;

fn main() -> std::io::Result<()> {
    let arguments = Arguments::of_process();
    let passes = arguments.passes.unwrap_or(21);
    let input = Input::asked_for(arguments.capture.as_deref())?;
    let text = input.bytes.as_slice();
    println!("{}", circumstances());
    println!("input: {}, {} bytes, SHA-256 {}", input.name, text.len(), input.sha256);
    for (stage, name, pass) in [
        ("split", "split: a line", split as fn(&[u8]) -> usize),
        ("decode", "decode: a line, split and decoded", decode),
        ("book", "book: a line, decoded, book and view", book),
    ] {
        if arguments.takes(stage) {
            let count = pass(text);
            each(
                name,
                count,
                passes,
                || (),
                |()| {
                    black_box(pass(black_box(text)));
                },
            );
        }
    }
    for stage in ["quotes", "trades", "depth20", "depth100"].into_iter().filter(|stage| arguments.takes(stage)) {
        messages(text, passes, stage);
    }
    if arguments.takes("l2") {
        level_changes(text, passes);
    }
    Ok(())
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
fn messages(text: &[u8], passes: usize, kind: &str) {
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
    if kept.is_empty() {
        println!("  {kind}: skipped, the capture has none");
        return;
    }
    let mut seen = Seen(0);
    each(
        &format!("{kind}: a message"),
        kept.len(),
        passes,
        || (),
        |()| {
            for message in &kept {
                let _ = decoder.decode(black_box(message), Timestamp(0), &mut seen);
            }
        },
    );
    if kind.starts_with("depth") && passes > 1 {
        let (mut buffers, mut copy) = (simd_json::Buffers::new(1 << 20), Vec::new());
        each(
            &format!("{kind}: simd-json's tape alone"),
            kept.len(),
            passes,
            || (),
            |()| {
                for message in &kept {
                    copy.clear();
                    copy.extend_from_slice(message);
                    black_box(simd_json::to_tape_with_buffers(&mut copy, &mut buffers).map_or(0, |tape| tape.0.len()));
                }
            },
        );
    }
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

fn level_changes(text: &[u8], passes: usize) {
    let (mut decoder, mut changes) = (BinanceDecoder::new(), Changes(Vec::new(), Vec::new()));
    for message in lines(text).filter_map(|line| Some(split_capture_line(line).ok()?.message)) {
        let _ = decoder.decode(message, Timestamp(0), &mut changes);
    }
    let Changes(snapshot, changes) = changes;
    let mut start = L2Book::new();
    for level in &snapshot {
        let _ = start.set(level.side, level.price, level.qty);
    }
    each(
        "l2: a change, both bests read",
        changes.len(),
        passes,
        || start.clone(),
        |book| {
            for change in &changes {
                let _ = book.set(change.side, change.price, change.qty);
                black_box(book.bbo());
            }
        },
    );
    if passes == 1 {
        return;
    }
    let mut maps: [BTreeMap<i64, Qty>; 2] = Default::default();
    for level in &snapshot {
        maps[level.side as usize].insert(level.price.0, level.qty);
    }
    each(
        "l2: the same in two BTreeMaps",
        changes.len(),
        passes,
        || maps.clone(),
        |maps| {
            for change in &changes {
                let map = &mut maps[change.side as usize];
                if change.qty.0 == 0 {
                    map.remove(&change.price.0);
                } else {
                    map.insert(change.price.0, change.qty);
                }
                black_box((maps[Side::Buy as usize].last_key_value(), maps[Side::Sell as usize].first_key_value()));
            }
        },
    );
}
