//! The traps the captures hold, each with what to take out of the code to see its test fail.

use super::slow::{payload, receive_ns};
use super::{lines_of, verified, write_plain};
use chronos_market::book::{BookEvent, BookSync, SyncOutcome};
use chronos_market::decode::{BinanceDecoder, DecodeSink, Decoder, Message, split_capture_line};
use chronos_market::{EventFlags, EventKind, Timestamp};
use chronos_tests::data_file;

/// Lines of a capture that hold its snapshot, and minutes more.
const LINES: usize = 20_000;

/// Index and id of the snapshot.
fn snapshot(lines: &[String]) -> (usize, u64) {
    lines
        .iter()
        .enumerate()
        .find_map(|(place, line)| Some((place, payload(line)["lastUpdateId"].as_u64()?)))
        .expect("a snapshot among the first lines")
}

/// Take out: the buffering of depth messages received before the snapshot (`BookSync::on_depth` while waiting). The ids of later
/// messages then still look continuous, and the book crosses.
#[test]
fn the_diff_that_straddles_the_snapshot_arrives_before_it() {
    let Some(path) = data_file("binance_ws/spot_btcusdt_20240808.gz") else { return };
    let lines = lines_of(&path, LINES);
    let (place, last_id) = snapshot(&lines);
    let straddles = |line: &String| {
        let diff = payload(line);
        matches!((diff["U"].as_u64(), diff["u"].as_u64()), (Some(first), Some(last)) if first <= last_id + 1 && last_id < last)
    };
    let straddling = lines.iter().position(straddles).expect("a straddling diff");
    assert!(straddling < place, "then this capture does not hold the trap");

    let folder = tempfile::tempdir().unwrap();
    let whole = verified(&[write_plain(&folder.path().join("whole"), &lines)]);
    assert!(whole.instruments[0].synced && whole.book_checks.compared > 100);
    assert_eq!((whole.book_checks.mismatched, whole.book_checks.crossed), (0, 0));

    // Without that diff nothing joins the snapshot, so the book is never claimed to be in sync.
    let mut lacking = lines;
    lacking.remove(straddling);
    let lacking = verified(&[write_plain(&folder.path().join("lacking"), &lacking)]);
    assert!(!lacking.instruments[0].synced);
    assert_eq!((lacking.features, lacking.orders, lacking.book_checks.compared), (0, 0, 0));
}

#[derive(Default)]
struct Synced {
    sync: BookSync,
    events: Vec<BookEvent>,
    outcome: Option<SyncOutcome>,
}

impl DecodeSink for Synced {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        let events = &mut self.events;
        let mut emit = |event| events.push(event);
        self.outcome = match message {
            Message::Depth(depth) => Some(self.sync.on_depth(depth, &mut emit)),
            Message::Snapshot(snapshot) => Some(self.sync.on_snapshot(snapshot, &mut emit)),
            _ => self.outcome,
        };
    }
}

/// Take out: the `<` of futures in `book::sync::is_old` (make it `<=` as on spot). The book stays right, yet the events of one
/// message are missing.
#[test]
fn a_buffered_diff_that_ends_at_the_snapshots_id_is_applied_on_futures() {
    let Some(path) = data_file("binance_ws/usdm_ethusdt_20240808.gz") else { return };
    let lines = lines_of(&path, LINES);
    let (place, last_id) = snapshot(&lines);
    let at_id = lines[..place].iter().map(|line| payload(line)).find(|diff| diff["e"] == "depthUpdate" && diff["u"] == last_id);
    let at_id = at_id.expect("a buffered diff that ends at the snapshot's id, else this capture does not hold the trap");
    let levels = at_id["b"].as_array().unwrap().len() + at_id["a"].as_array().unwrap().len();

    let (mut decoder, mut synced) = (BinanceDecoder::new(), Synced::default());
    for line in &lines[..=place] {
        let line = split_capture_line(line.as_bytes()).unwrap();
        decoder.decode(line.message, line.recv, &mut synced).unwrap();
    }
    assert_eq!(synced.outcome, Some(SyncOutcome::Synced));
    let of_that_diff = |event: &&BookEvent| {
        event.id == last_id && event.kind == EventKind::LevelSet && !event.flags.contains(EventFlags::SNAPSHOT)
    };
    assert_eq!(synced.events.iter().filter(of_that_diff).count(), levels);
}

/// Take out: `recv` as the clock of decisions (give `Ingest` the exchange's time in its place, or a feature or risk check
/// `exchange_ns`). The recorder's clock is behind the exchange's, so ages measured against it are negative.
#[test]
fn no_decision_looks_at_the_exchanges_clock_which_is_ahead_of_ours() {
    let Some(path) = data_file("binance_ws/usdm_btcusdt_20240808.gz") else { return };
    let lines = lines_of(&path, LINES);
    let is_behind = |line: &&String| payload(line)["E"].as_i64().is_some_and(|event_ms| receive_ns(line) < event_ms * 1_000_000);
    let behind = lines.iter().filter(is_behind).count();
    assert!(behind * 2 > lines.len(), "then this capture does not hold the trap");

    let folder = tempfile::tempdir().unwrap();
    let [as_it_is, earlier, later] = [0, -3_600_000, 3_600_000].map(|shift_ms| {
        let shifted: Vec<String> = lines.iter().map(|line| shift_exchange_times(line, shift_ms)).collect();
        verified(&[write_plain(&folder.path().join(shift_ms.to_string()), &shifted)])
    });
    assert!(as_it_is.fills > 0, "no order was filled: the digests would say nothing");
    assert_eq!((as_it_is.malformed, earlier.malformed, later.malformed), (0, 0, 0));
    assert_eq!(as_it_is.digest, earlier.digest);
    assert_eq!(as_it_is.digest, later.digest);
}

/// The line with every `E` and `T` moved.
fn shift_exchange_times(line: &str, shift_ms: i64) -> String {
    let mut shifted = line.to_owned();
    for field in ["\"E\":", "\"T\":"] {
        let Some(at) = shifted.find(field).map(|at| at + field.len()) else { continue };
        let digits = shifted[at..].bytes().take_while(u8::is_ascii_digit).count();
        let time: i64 = shifted[at..at + digits].parse().unwrap();
        shifted.replace_range(at..at + digits, &(time + shift_ms).to_string());
    }
    shifted
}

/// Take out: the branch of `decode::binance::Envelope::message` for a payload without `e`, or require a time in `Fields::quote`.
/// Every spot quote is malformed then.
#[test]
fn spot_quotes_have_no_event_name_and_no_time() {
    let Some(path) = data_file("binance_ws/spot_btcusdt_20240808.gz") else { return };
    let lines = lines_of(&path, LINES);
    let quotes: Vec<&String> = lines.iter().filter(|line| line.contains("@bookTicker\"")).collect();
    assert!(!quotes.is_empty());
    struct Quote(Option<(u64, i64)>);
    impl DecodeSink for Quote {
        fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
            if let Message::Quote(quote) = message {
                self.0 = Some((quote.id, quote.exchange_ns));
            }
        }
    }
    let mut decoder = BinanceDecoder::new();
    for line in quotes {
        let fields = payload(line);
        assert!(["e", "E", "T"].iter().all(|name| fields.get(name).is_none()), "then this capture does not hold the trap");
        let mut quote = Quote(None);
        let split = split_capture_line(line.as_bytes()).unwrap();
        decoder.decode(split.message, split.recv, &mut quote).unwrap();
        assert_eq!(quote.0, fields["u"].as_u64().map(|id| (id, 0)), "{line}");
    }
}

/// Take out: the skipping of fields nobody asked for in `decode::binance::Fields::find` (the `_ => {}` arm), or read the fields by
/// place. Futures trades have an `X` that spot's have not, and the same fields stand in another order on each market.
#[test]
fn a_field_more_and_another_order_change_nothing() {
    let mut orders_seen = std::collections::BTreeSet::new();
    for (name, has_kind) in
        [("usdm_btcusdt_20240808.gz", true), ("cm_btcusd_perp_20240808.gz", true), ("spot_btcusdt_20240808.gz", false)]
    {
        let Some(path) = data_file(&format!("binance_ws/{name}")) else { return };
        let lines = lines_of(&path, LINES);
        let quotes_begin = |line: &String| line.find("\"data\":{").map(|at| line[at + 8..].chars().take(4).collect::<String>());
        orders_seen.extend(lines.iter().filter_map(quotes_begin));
        let trades: Vec<&String> = lines.iter().filter(|line| line.contains("\"e\":\"trade\"")).collect();
        assert!(!trades.is_empty());
        assert!(trades.iter().all(|line| payload(line).get("X").is_some() == has_kind), "{name} does not hold the trap");
        let folder = tempfile::tempdir().unwrap();
        let report = verified(&[write_plain(&folder.path().join("part"), &lines)]);
        assert_eq!((report.trades, report.malformed, report.ignored), (trades.len() as u64, 0, 0), "{name}");
    }
    assert!(orders_seen.len() > 1, "every message begins alike: {orders_seen:?}");
}
