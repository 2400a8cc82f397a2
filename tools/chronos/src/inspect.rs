//! `chronos inspect`.

use crate::page::write_page;
use crate::progress::with_capture_bar;
use crate::tables::{listing, printable};
use anyhow::Result;
use chronos_session::format::{bytes, clock_utc, count, date_utc, signed_duration_ns, span_ns, words};
use chronos_session::html::render_inspection;
use chronos_session::inspect::{BookInspection, InspectOptions, Inspection, InstrumentInspection, SyncState, inspect};
use clap::Args;
use std::path::{Path, PathBuf};

/// Rows of a table; what comes after is counted.
const ROWS_MAX: usize = 12;

/// Arguments of `chronos inspect`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Captures: files, and folders of files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Look at these symbols alone, as the venue writes them [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    symbols: Option<Vec<String>>,
    /// Day in New York of files that name none, as a NASDAQ BinaryFILE: `2019-12-30`
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
    /// Stop after so many lines, packets or records
    #[arg(long, value_name = "LINES")]
    limit: Option<u64>,
    /// Write a self-contained HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print everything as one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let options = InspectOptions {
        paths: arguments.paths.clone(),
        symbols: arguments.symbols.clone().unwrap_or_default(),
        date: arguments.date.clone().unwrap_or_default(),
        limit: arguments.limit,
    };
    let inspected = with_capture_bar("records", |progress| inspect(&options, progress))?;
    if let Some(path) = &arguments.html {
        write_page(path, &render_inspection(&inspected.inspection, &inspected.activity))?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&inspected.inspection)?);
        return Ok(());
    }
    print!("{}", summary(&inspected.inspection));
    if let Some(path) = &arguments.html {
        println!("page: {}", path.display());
    }
    Ok(())
}

/// The summary, for the terminal there is.
fn summary(inspection: &Inspection) -> String {
    let parts = [files(inspection), instruments(inspection), offsets(inspection), books(inspection), feeds(inspection)];
    let mut summary: String = parts.into_iter().filter(|part| !part.is_empty()).map(|part| part + "\n").collect();
    summary.push_str(&format!("{} records, {} of them malformed", count(inspection.records), count(inspection.malformed)));
    if let Some(span) = &inspection.received {
        summary.push_str(&format!("; {} to {} UTC, {}", span.first_utc, span.last_utc, span_ns(span.length_ns())));
    }
    summary.push('\n');
    for warning in &inspection.warnings {
        summary.push_str(&format!("warning: {}: {}; {}\n", warning.about, warning.text, warning.remedy));
    }
    printable(&summary)
}

fn files(inspection: &Inspection) -> String {
    let rows = inspection.files.iter().map(|file| {
        let format = if file.compression == "none" { file.format.into() } else { format!("{}, {}", file.format, file.compression) };
        let from = file
            .received
            .as_ref()
            .map_or("n/a".into(), |span| format!("{} {}", date_utc(span.first_ns), clock_utc(span.first_ns, 0)));
        // The folder was given by who reads this.
        let name = Path::new(&file.path).file_name().map_or(file.path.clone(), |name| name.to_string_lossy().into_owned());
        [name, file.venue.into(), format, file.time_unit.clone(), bytes(file.bytes), count(file.records), from]
    });
    some(["File", "Venue", "Format", "Times in", "Size", "Records", "From, UTC"], rows.collect(), &[4, 5])
}

fn instruments(inspection: &Inspection) -> String {
    let rows = inspection.instruments.iter().map(|instrument| {
        let kinds = instrument.kinds.iter().map(|(kind, messages)| format!("{} {}", count(*messages), words(kind)));
        let book = instrument.book.as_ref();
        let side = |price: fn(&BookInspection) -> &Option<String>| book.and_then(|book| price(book).clone()).unwrap_or_default();
        let state = book.map_or("none", |book| match book.state {
            SyncState::InSync => "in sync",
            SyncState::OutOfSync => "out of sync",
            SyncState::NeverInSync => "never in sync",
        });
        [
            instrument.name(),
            count(instrument.messages),
            kinds.collect::<Vec<_>>().join(", "),
            state.into(),
            side(|book| &book.bid),
            side(|book| &book.ask),
        ]
    });
    some(["Instrument", "Messages", "By kind", "Book", "Bid", "Ask"], rows.collect(), &[1, 4, 5])
}

fn offsets(inspection: &Inspection) -> String {
    let row = |instrument: &InstrumentInspection| {
        let offset = instrument.clock_offset?;
        let [min, p50, p99, max] = [offset.min_ns, offset.p50_ns, offset.p99_ns, offset.max_ns].map(signed_duration_ns);
        Some([instrument.name(), count(offset.count), min, p50, p99, max])
    };
    let rows = inspection.instruments.iter().filter_map(row);
    some(["Receive less exchange time", "Measured", "Min", "Median", "p99", "Max"], rows.collect(), &[1, 2, 3, 4, 5])
}

/// The books to which something happened.
fn books(inspection: &Inspection) -> String {
    let row = |instrument: &InstrumentInspection| {
        let book = instrument.book.as_ref()?;
        let happened = [
            book.gaps,
            book.resyncs,
            book.restarts,
            book.crossed,
            book.checksum_mismatches,
            book.unknown_orders + book.contradictions,
        ];
        if happened == [0; 6] && book.checksums_compared == 0 {
            return None;
        }
        let [gaps, resyncs, restarts, crossed, _, unknown] = happened.map(count);
        let checksums = match book.checksums_compared {
            0 => "none".into(),
            compared => format!("{} of {}", count(book.checksum_mismatches), count(compared)),
        };
        Some([instrument.name(), gaps, resyncs, restarts, crossed, checksums, unknown])
    };
    let head = ["Book", "Gaps", "Resyncs", "Restarts", "Crossed", "Checksums differ", "Unknown orders"];
    some(head, inspection.instruments.iter().filter_map(row).collect(), &[1, 2, 3, 4, 5, 6])
}

/// The feeds that number their packets.
fn feeds(inspection: &Inspection) -> String {
    let rows = inspection.feeds.iter().enumerate().filter_map(|(place, feed)| {
        if feed.gaps + feed.restarts + feed.heartbeats == 0 {
            return None;
        }
        let path = inspection.files.iter().find(|file| file.feed == place).map(|file| file.path.clone()).unwrap_or_default();
        let [gaps, lost, restarts, heartbeats] = [feed.gaps, feed.messages_lost, feed.restarts, feed.heartbeats].map(count);
        Some([path, gaps, lost, restarts, heartbeats])
    });
    some(["Feed", "Gaps", "Messages lost", "Restarts", "Heartbeats"], rows.collect(), &[1, 2, 3, 4])
}

/// A table of the first rows, and how many more there are; nothing without rows.
fn some<const N: usize>(head: [&str; N], rows: Vec<[String; N]>, right: &[usize]) -> String {
    let more = rows.len().saturating_sub(ROWS_MAX);
    let mut text = listing(head, rows.into_iter().take(ROWS_MAX), right);
    if more > 0 {
        text.push_str(&format!(" and {} more; `--json` has them all\n", count(more as u64)));
    }
    text
}
