//! What is wrong with captures, in words, and what to do about it.

use super::report::{
    BookInspection, FeedInspection, FileInspection, Inspection, InstrumentInspection, ReceiveClock, SyncState, Warning, WarningKind,
};
use super::{BOOKS_MAX, TRACKED_MAX};
use crate::format::{count, span_ns};

/// Warnings of one kind told one by one; the others are counted.
const TOLD_MAX: usize = 4;
/// A time without a record is told from this length on, in nanoseconds,
const SILENCE_NS: u64 = 5_000_000_000;
/// and where it is so many times the mean time between records.
const SILENCE_TIMES: u64 = 50;

/// Everything worth telling, the gravest first.
pub(super) fn warnings(inspection: &Inspection) -> Vec<Warning> {
    let mut all = Vec::new();
    let mut tell = |kind, about: String, text: String, remedy| all.push(Warning { kind, about, text, remedy });
    if !inspection.is_complete {
        let text = format!("only the first {} records were read", count(inspection.records));
        tell(WarningKind::Limited, "all files".into(), text, "leave out `--limit` for the whole");
    }
    for reason in &inspection.skipped {
        tell(WarningKind::Skipped, "folder".into(), reason.clone(), "name the files to read, without this one");
    }
    inspection.files.iter().for_each(|file| of_file(file, &mut tell));
    for (place, feed) in inspection.feeds.iter().enumerate() {
        let files: Vec<&FileInspection> = inspection.files.iter().filter(|file| file.feed == place).collect();
        let first = files.first().map_or("", |file| file.path.as_str());
        let about = if files.len() > 1 { format!("{first} and what continues it") } else { first.to_owned() };
        let has_times = files.iter().all(|file| file.receive_clock != ReceiveClock::None);
        of_feed(feed, has_times, inspection, &about, &mut tell);
    }
    inspection.instruments.iter().for_each(|instrument| of_instrument(instrument, &mut tell));
    if inspection.books_not_followed > 0 {
        let text = format!(
            "{} instruments have books; those of the first {BOOKS_MAX} were followed",
            count(inspection.books_not_followed + BOOKS_MAX as u64)
        );
        tell(WarningKind::NotFollowed, "books".into(), text, "choose others with `--symbols`");
    }
    if inspection.untracked_messages > 0 {
        let text = format!(
            "{} messages are of instruments beyond the first {}",
            count(inspection.untracked_messages),
            count(TRACKED_MAX as u64)
        );
        tell(WarningKind::NotFollowed, "instruments".into(), text, "choose some with `--symbols`");
    }
    summarised(all)
}

fn of_file(file: &FileInspection, tell: &mut impl FnMut(WarningKind, String, String, &'static str)) {
    if let Some(damage) = &file.damage {
        let text = format!("cut off or damaged ({damage}); what came before was read");
        tell(WarningKind::Damaged, file.path.clone(), text, "record or download it again for the rest");
    }
    if let Some(first) = &file.first_malformed {
        let text = format!(
            "{} of {} records cannot be read; the first is record {}: {}",
            count(file.malformed),
            count(file.records),
            count(first.record),
            first.reason
        );
        tell(WarningKind::Malformed, file.path.clone(), text, "`chronos replay --record DIR` keeps them in DIR/quarantine.txt");
    }
    if !file.has_date {
        let text = "names no date, so its times are counted from 1970".into();
        tell(WarningKind::NoDate, file.path.clone(), text, "say the day in New York with `--date`");
    }
    match file.receive_clock {
        ReceiveClock::Recorder => {}
        ReceiveClock::Exchange => tell(
            WarningKind::NoReceiveTimes,
            file.path.clone(),
            "no receive times; the exchange's own times stand in for them, as if nothing took any time".into(),
            "set latencies in a replay's configuration",
        ),
        ReceiveClock::None => tell(
            WarningKind::NoReceiveTimes,
            file.path.clone(),
            "no times at all; a record counts as a millisecond, so spans, rates and latencies mean nothing".into(),
            "record each message behind its receive time: `<nanoseconds> <message>`",
        ),
    }
    if file.time_reversals > 0 {
        let text = format!("{} records were received earlier than the one before them", count(file.time_reversals));
        tell(
            WarningKind::TimeReversals,
            file.path.clone(),
            text,
            "a replay holds its time there; sort the file, or find out why the recorder's clock was set back",
        );
    }
}

fn of_feed(
    feed: &FeedInspection,
    has_times: bool,
    inspection: &Inspection,
    about: &str,
    tell: &mut impl FnMut(WarningKind, String, String, &'static str),
) {
    if let Some(offset) = feed.clock_offset.filter(|offset| offset.p50_ns < 0) {
        let text = format!(
            "the recorder's clock is {} behind the exchange's: half of {} messages were received that much or more before they were sent",
            span_ns(offset.p50_ns.unsigned_abs()),
            count(offset.count)
        );
        tell(WarningKind::ClockBehind, about.to_owned(), text, "take no latency from these times without correcting for it");
    }
    if let Some(silence) = feed.longest_silence.as_ref().filter(|_| has_times) {
        let span = inspection.received.as_ref().map_or(0, super::report::Span::length_ns);
        let mean = span / feed.records.max(1);
        if silence.length_ns() >= SILENCE_NS.max(mean.saturating_mul(SILENCE_TIMES)) {
            let text = format!("nothing for {} from {} UTC on", span_ns(silence.length_ns()), silence.first_utc);
            tell(WarningKind::Silence, about.to_owned(), text, "look whether the recorder was disconnected then");
        }
    }
    if feed.gaps > 0 {
        let text = format!(
            "{} messages lost in {} gaps; every book is unusable from each of them on",
            count(feed.messages_lost),
            count(feed.gaps)
        );
        tell(WarningKind::FeedGaps, about.to_owned(), text, "merge in the second line of the feed, or a capture taken elsewhere");
    }
    if feed.restarts > 0 {
        let text = format!("the numbering began anew {} times; books begin empty there", count(feed.restarts));
        tell(WarningKind::FeedRestarts, about.to_owned(), text, "treat what follows each of them as a session of its own");
    }
    if feed.without_symbol > 0 {
        let text = format!("{} messages do not say whose they are, and could be of several", count(feed.without_symbol));
        tell(WarningKind::WithoutSymbol, about.to_owned(), text, "record each instrument's snapshots to a file of its own");
    }
}

fn of_instrument(instrument: &InstrumentInspection, tell: &mut impl FnMut(WarningKind, String, String, &'static str)) {
    let about = instrument.name();
    if let Some(missing) = instrument.trade_ids_missing.filter(|missing| *missing > 0) {
        let text = format!("{} trade ids are left out: trades lost, or made outside the order book", count(missing));
        tell(WarningKind::TradeIds, about.clone(), text, "compare with the venue's trade history");
    }
    if instrument.repeated > 0 {
        let text = format!("{} messages have the number of an earlier one", count(instrument.repeated));
        tell(WarningKind::Repeated, about.clone(), text, "books pass over them, trades count twice: record one connection a file");
    }
    let Some(book) = &instrument.book else { return };
    of_book(instrument, book, &about, tell);
}

fn of_book(
    instrument: &InstrumentInspection,
    book: &BookInspection,
    about: &str,
    tell: &mut impl FnMut(WarningKind, String, String, &'static str),
) {
    let reason = book.reason.as_deref().unwrap_or("unknown");
    match book.state {
        SyncState::InSync => {}
        SyncState::NeverInSync => {
            let remedy = if book.bid.is_some() || book.ask.is_some() {
                "give the file that holds the changes after it as well"
            } else if instrument.kinds.contains_key("depth") {
                "record a REST depth snapshot into the capture, or give the file that holds one before this one"
            } else {
                "begin the capture before the feed does, or record a snapshot into it"
            };
            tell(WarningKind::NeverInSync, about.to_owned(), format!("the book is never in sync: {reason}"), remedy);
        }
        SyncState::OutOfSync => tell(
            WarningKind::OutOfSync,
            about.to_owned(),
            format!("the book is out of sync at the end: {reason}"),
            "a newer snapshot would bring it back",
        ),
    }
    if book.gaps > 0 {
        let text =
            format!("{} breaks in what it was told; the book came back into sync {} times", count(book.gaps), count(book.resyncs));
        tell(WarningKind::BookGaps, about.to_owned(), text, "do not trade or train on what lies between");
    }
    if book.crossed > 0 {
        let text = format!("bid and ask touched or crossed {} times", count(book.crossed));
        tell(WarningKind::Crossed, about.to_owned(), text, "something was lost without a trace in the ids: do not rely on it");
    }
    if book.checksum_mismatches > 0 {
        let text = format!("{} of {} checksums differ", count(book.checksum_mismatches), count(book.checksums_compared));
        tell(
            WarningKind::Checksums,
            about.to_owned(),
            text,
            "something was lost: do not rely on what lies before the next snapshot",
        );
    }
    if book.unknown_orders + book.contradictions > 0 {
        let text = format!(
            "{} changes of orders not in the book, {} that contradict it",
            count(book.unknown_orders),
            count(book.contradictions)
        );
        tell(
            WarningKind::UnknownOrders,
            about.to_owned(),
            text,
            "orders from before the capture are missing, or messages were lost",
        );
    }
    if book.snapshots_too_old > 0 {
        let text = format!("{} snapshots are older than the changes at hand", count(book.snapshots_too_old));
        tell(WarningKind::OldSnapshots, about.to_owned(), text, "begin recording changes before asking for a snapshot");
    }
    if book.overruns > 0 && book.state != SyncState::NeverInSync {
        let text = format!("{} times more changes or levels than a buffer holds", count(book.overruns));
        tell(WarningKind::Overruns, about.to_owned(), text, "record a snapshot sooner after the connection begins");
    }
}

/// In order of kind; of each kind the first few, and how many more there are.
fn summarised(mut all: Vec<Warning>) -> Vec<Warning> {
    all.sort_by_key(|warning| warning.kind);
    let mut told = Vec::new();
    for of_kind in all.chunk_by(|one, other| one.kind == other.kind) {
        told.extend(of_kind.iter().take(TOLD_MAX).cloned());
        if let Some(next) = of_kind.get(TOLD_MAX) {
            let text = format!("the like; next of them {}", next.about);
            let about = format!("{} more", of_kind.len() - TOLD_MAX);
            told.push(Warning { about, text, ..next.clone() });
        }
    }
    told
}
