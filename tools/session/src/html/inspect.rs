//! What captures hold as a page: what is wrong with them, message rates, markets and clocks over time, and tables.

use super::axis::{Range, Tick, TimeRange, minus};
use super::page::{begin_page, end_page, escape, push_figure_row, push_notices, push_table, some_of};
use super::plot::{Axes, Step, bar_path, line_data, line_key, line_path, percent, push_data, push_plot, step_paths};
use crate::format::{bytes, clock_utc, count, decimal, duration_ns, signed_duration_ns, span_ns, words};
use crate::inspect::{
    Activity, Buckets, Extent, Incident, Inspection, InstrumentInspection, MarketBucket, MessageKind, OffsetSummary, SyncState,
    Warning,
};

/// Symbols named at the top.
const SYMBOLS_NAMED: usize = 4;
/// Instruments whose market is drawn.
const MARKETS_DRAWN: usize = 8;
/// Kinds of messages drawn, those of most messages first.
const KINDS_DRAWN: usize = 6;
/// Points of a line of rates: finer ones are noise.
const RATE_POINTS: usize = 256;
/// Bars of the histogram of clock offsets, and the share of all offsets that it leaves out at either end.
const BARS: (usize, f64) = (120, 0.01);
/// Marks of incidents in one plot; those that would stand on one another are one.
const INCIDENT_CELLS: f64 = 800.0;
/// Measurements further apart than this share of the time axis are not joined by a line.
const SAMPLES_APART_MAX: f64 = 0.01;
/// A second in nanoseconds.
const SECOND_NS: f64 = 1e9;

/// The page.
pub fn render_inspection(inspection: &Inspection, activity: &Activity) -> String {
    let mut symbols: Vec<&str> = Vec::new();
    for instrument in inspection.instruments.iter().filter(|instrument| !instrument.symbol.is_empty()) {
        // Only the first few are named, so they are all that need comparing.
        if !symbols.iter().take(SYMBOLS_NAMED).any(|symbol| *symbol == instrument.symbol) {
            symbols.push(&instrument.symbol);
        }
    }
    let symbols = some_of(symbols.into_iter(), SYMBOLS_NAMED);
    let symbols = if symbols.is_empty() { "no symbol".into() } else { symbols };
    let mut page = begin_page(&format!("Inspection of {symbols}"));
    push_header(&mut page, inspection, &symbols);
    push_notices(&mut page, &inspection.warnings.iter().map(warning_text).collect::<Vec<_>>());
    push_figures(&mut page, inspection, activity);
    if let Some(axis) = TimeAxis::of(inspection, activity) {
        if inspection.received.is_some() {
            push_rates(&mut page, inspection, activity, &axis);
        }
        push_offsets(&mut page, inspection, activity, &axis);
        for (place, market) in activity.markets.iter().take(MARKETS_DRAWN) {
            push_market(&mut page, inspection, *place, market, &axis);
        }
        if activity.markets.len() > MARKETS_DRAWN {
            page.push_str(&format!(
                "<p class=\"note\">Of {} instruments with a market, the {MARKETS_DRAWN} of most messages are drawn; `--symbols` chooses.</p>\n",
                count(activity.markets.len() as u64)
            ));
        }
    }
    push_tables(&mut page, inspection);
    end_page(&mut page);
    page
}

fn warning_text(warning: &Warning) -> String {
    format!("{}: {}; {}", warning.about, warning.text, warning.remedy)
}

fn push_header(page: &mut String, inspection: &Inspection, symbols: &str) {
    let mut venues: Vec<&str> = inspection.feeds.iter().map(|feed| feed.venue).collect();
    venues.sort_unstable();
    venues.dedup();
    page.push_str(&format!("<header><p class=\"kind\">Chronos inspection</p><h1>{}</h1>\n<p>", escape(symbols)));
    if !venues.is_empty() {
        page.push_str(&format!("{} <span class=\"dot\">·</span> ", escape(&some_of(venues.into_iter(), 4))));
    }
    match &inspection.received {
        Some(span) => page.push_str(&format!(
            "{} to {} UTC <span class=\"dot\">·</span> {}",
            span.first_utc,
            span.last_utc,
            span_ns(span.length_ns())
        )),
        None => page.push_str("no receive times"),
    }
    let files = some_of(inspection.files.iter().map(|file| file.path.as_str()), 3);
    page.push_str(&format!("</p>\n<p class=\"files\">{}</p></header>\n", escape(&files)));
}

/// The row of figures at the top.
fn push_figures(page: &mut String, inspection: &Inspection, activity: &Activity) {
    let messages: u64 = inspection.instruments.iter().map(|instrument| instrument.messages).sum();
    let per_s = match &inspection.received {
        Some(span) if span.length_ns() > 0 => {
            format!("{} a second", decimal(messages as f64 / (span.length_ns() as f64 / SECOND_NS), 0))
        }
        _ => "no time span".into(),
    };
    let (offset, offset_note) = match activity.offsets.summary() {
        Some(OffsetSummary { p50_ns, p99_ns, .. }) => {
            (signed_duration_ns(p50_ns), format!("median; p99 is {}", signed_duration_ns(p99_ns)))
        }
        None => ("n/a".into(), "no two clocks to compare".into()),
    };
    let books = || inspection.instruments.iter().filter_map(|instrument| instrument.book.as_ref());
    let in_sync = books().filter(|book| book.state == SyncState::InSync).count();
    let book_gaps: u64 = books().map(|book| book.gaps).sum();
    let lost: u64 = inspection.feeds.iter().map(|feed| feed.messages_lost).sum();
    let size = inspection.files.iter().map(|file| file.bytes).sum();
    let figures = [
        ("Records", count(inspection.records), format!("{} malformed", count(inspection.malformed))),
        ("Size", bytes(size), of_so_many(inspection.files.len(), "file", "files")),
        ("Messages", count(messages), per_s),
        ("Instruments", count(inspection.instruments.len() as u64), of_so_many(inspection.feeds.len(), "feed", "feeds")),
        ("Books in sync", count(in_sync as u64), format!("at the end, of {}", count(books().count() as u64))),
        ("Gaps in books", count(book_gaps), format!("{} messages lost by feeds", count(lost))),
        ("Clock offset", offset, offset_note),
        ("Warnings", count(inspection.warnings.len() as u64), "see above".into()),
    ];
    push_figure_row(page, figures);
}

fn of_so_many(number: usize, one: &str, many: &str) -> String {
    format!("of {} {}", count(number as u64), if number == 1 { one } else { many })
}

/// What all plots over time share.
struct TimeAxis {
    range: TimeRange,
    /// Whether its times are of a clock, and not counted records.
    is_timed: bool,
    ticks: Vec<Tick>,
}

impl TimeAxis {
    fn of(inspection: &Inspection, activity: &Activity) -> Option<TimeAxis> {
        let starts: Vec<i64> = activity.rates.iter().map(|(start, _)| start).collect();
        let last = starts.last()?.saturating_add(activity.rates.width_ns());
        let end = inspection.received.as_ref().map_or(last, |span| span.last_ns);
        let range = TimeRange::around([*starts.first()?, end])?;
        Some(TimeAxis { range, is_timed: inspection.received.is_some(), ticks: range.page_ticks() })
    }

    /// The end of a bucket, not beyond the axis.
    fn end_of(&self, start_ns: i64, width_ns: i64) -> i64 {
        start_ns.saturating_add(width_ns).min(self.range.to)
    }

    fn title(&self) -> String {
        if !self.is_timed {
            return "<p class=\"x-title\">Records, each counted as a millisecond</p>\n".into();
        }
        format!("<p class=\"x-title\">Time, UTC, {}</p>\n", self.range.dates())
    }
}

/// Message rate by kind.
fn push_rates(page: &mut String, inspection: &Inspection, activity: &Activity, axis: &TimeAxis) {
    let rates: Vec<_> = activity.rates.iter().collect();
    let total = |kind: MessageKind| rates.iter().map(|(_, counts)| counts[kind as usize]).sum::<u64>();
    let mut kinds: Vec<(MessageKind, u64)> = MessageKind::ALL.into_iter().map(|kind| (kind, total(kind))).collect();
    kinds.retain(|(_, total)| *total > 0);
    kinds.sort_by_key(|(_, total)| std::cmp::Reverse(*total));
    kinds.truncate(KINDS_DRAWN);
    let columns: Vec<_> = rates.chunks(rates.len().div_ceil(RATE_POINTS).max(1)).collect();
    // Of the last column, only what is covered counts.
    let width_ns = activity.rates.width_ns();
    let spans: Vec<(i64, i64)> = columns
        .iter()
        .filter_map(|column| Some((column.first()?.0, axis.end_of(column.last()?.0, width_ns))))
        .map(|(start, end)| (start, end.max(start.saturating_add(width_ns / 2))))
        .collect();
    let rate_of = |kind: MessageKind| -> Vec<f64> {
        let counts = columns.iter().map(|column| column.iter().map(|(_, counts)| counts[kind as usize]).sum::<u64>());
        counts.zip(&spans).map(|(count, (start, end))| count as f64 * SECOND_NS / end.abs_diff(*start).max(1) as f64).collect()
    };
    let lines: Vec<(MessageKind, u64, Vec<f64>)> = kinds.into_iter().map(|(kind, total)| (kind, total, rate_of(kind))).collect();
    let highest = lines.iter().flat_map(|(.., rates)| rates).copied().fold(0.0, f64::max);
    let range = Range { low: 0.0, high: if highest > 0.0 { highest * 1.05 } else { 1.0 } };
    let (mut paths, mut legend, mut data) = (String::new(), String::new(), Vec::new());
    for (place, (kind, total, rates)) in lines.iter().enumerate() {
        let name = words(kind.name());
        let points = spans.iter().zip(rates).map(|((start, end), rate)| {
            let middle = start.saturating_add((end.abs_diff(*start) / 2) as i64);
            (axis.range.fraction(middle), range.fraction(*rate))
        });
        paths.push_str(&format!("<path class=\"curve c{place}\" d=\"{}\"/>", line_path(points)));
        legend.push_str(&format!("<span>{} {name}, {}</span>", line_key(&format!("curve c{place}")), count(*total)));
        data.push(line_data(&name, "/s", 1, rates));
    }
    let incidents: Vec<&Incident> = inspection.incidents.iter().collect();
    let (marks, key) = incident_marks(&incidents, axis);
    page.push_str("<section><h2>Message rate</h2>\n<div class=\"values\"><p class=\"readout\"></p>\n<figure><figcaption>");
    page.push_str(&format!("<b>By kind</b> <i>messages a second</i><span class=\"legend\">{legend}{key}</span></figcaption>\n"));
    let y = range.ticks(5);
    let axes = Axes { class: "price", description: "Messages a second by kind", y: &y, rule: None, x: &axis.ticks, x_labels: true };
    push_plot(page, &axes, &paths, &marks);
    page.push_str(&format!("</figure>{}", axis.title()));
    push_data(page, axis.range, spans.iter().map(|(start, _)| *start), &data);
    page.push_str("</div></section>\n");
}

/// How receive and exchange times differ, over all messages.
fn push_offsets(page: &mut String, inspection: &Inspection, activity: &Activity, axis: &TimeAxis) {
    let offsets = &activity.offsets;
    let (Some(summary), Some(low), Some(high)) = (offsets.summary(), offsets.quantile(BARS.1), offsets.quantile(1.0 - BARS.1))
    else {
        return;
    };
    let (unit_ns, unit) = time_unit(low.unsigned_abs().max(high.unsigned_abs()));
    let Some(range) = Range::around([low as f64 / unit_ns, high as f64 / unit_ns]) else { return };
    let mut bars = [0_u64; BARS.0];
    for (value, count) in offsets.values().filter(|(value, _)| (low..=high).contains(value)) {
        let place = (range.fraction(value as f64 / unit_ns) * BARS.0 as f64) as usize;
        bars[place.min(BARS.0 - 1)] += count;
    }
    let share = |bar: u64| bar as f64 * 100.0 / summary.count.max(1) as f64;
    let highest = share(bars.into_iter().max().unwrap_or(0)).max(1e-9);
    let shares = Range { low: 0.0, high: highest * 1.05 };
    let width = 1.0 / BARS.0 as f64;
    let drawn = bars.iter().enumerate().filter(|(_, bar)| **bar > 0);
    let path = bar_path(drawn.map(|(place, bar)| {
        let left = place as f64 * width;
        (left, left + width, shares.fraction(share(*bar)))
    }));
    let median = percent(range.fraction(summary.p50_ns as f64 / unit_ns) * 100.0);
    page.push_str(&format!(
        "<section><h2>Receive less exchange time</h2>\n\
         <p class=\"facts\">{} messages <span class=\"dot\">·</span> median {} <span class=\"dot\">·</span> p99 {} \
         <span class=\"dot\">·</span> from {} to {}</p>\n\
         <figure><figcaption><b>Distribution</b> <i>per cent of all messages</i>\
         <span class=\"legend\"><span>{} median</span><span>the outermost {} % at either end are left out</span></span></figcaption>\n",
        count(summary.count),
        minus(signed_duration_ns(summary.p50_ns)),
        minus(signed_duration_ns(summary.p99_ns)),
        minus(signed_duration_ns(summary.min_ns)),
        minus(signed_duration_ns(summary.max_ns)),
        line_key("rule-line"),
        BARS.1 * 100.0,
    ));
    let (y, x) = (shares.ticks(3), range.ticks(8));
    let axes = Axes {
        class: "middle",
        description: "Distribution of receive time less exchange time",
        y: &y,
        rule: None,
        x: &x,
        x_labels: true,
    };
    let mark = format!("<line class=\"rule-line\" x1=\"{median}%\" x2=\"{median}%\" y2=\"100%\"/>");
    push_plot(page, &axes, &format!("<path class=\"bars\" d=\"{path}\"/>"), &mark);
    page.push_str(&format!(
        "</figure><p class=\"x-title\">Receive less exchange time, {unit}; negative: received before it was sent</p>\n"
    ));
    let width_ns = activity.offset_times.width_ns();
    let buckets: Vec<(i64, &Extent)> =
        activity.offset_times.iter().map(|(start, extent)| (axis.end_of(start, width_ns), extent)).collect();
    let steps = steps(&buckets, axis, &[], SAMPLES_APART_MAX, |extent| (*extent, extent.mean(), unit_ns));
    if let Some(range) = Range::around(steps.iter().flat_map(|step| [step.low, step.high])) {
        let (marks, key) = incident_marks(&inspection.incidents.iter().collect::<Vec<_>>(), axis);
        page.push_str(&format!(
            "<div class=\"values\"><p class=\"readout\"></p>\n<figure><figcaption><b>Over time</b> <i>{unit}, mean; the band is least \
             to greatest</i><span class=\"legend\">{key}</span></figcaption>\n"
        ));
        let y = range.ticks(4);
        let rule = range.zero();
        let description = "Receive time less exchange time, over time";
        let axes = Axes { class: "middle", description, y: &y, rule, x: &axis.ticks, x_labels: true };
        push_plot(page, &axes, &step_paths(&steps, range), &marks);
        page.push_str(&format!("</figure>{}", axis.title()));
        let means: Vec<f64> = buckets.iter().map(|(_, extent)| extent.mean() / unit_ns).collect();
        push_data(page, axis.range, buckets.iter().map(|(end, _)| *end), &[line_data("mean", &format!(" {unit}"), 3, &means)]);
        page.push_str("</div>");
    }
    page.push_str("</section>\n");
}

/// One instrument's mid price, spread and clock offset.
fn push_market(page: &mut String, inspection: &Inspection, place: usize, market: &Buckets<MarketBucket>, axis: &TimeAxis) {
    let Some(instrument) = inspection.instruments.get(place) else { return };
    page.push_str(&format!(
        "<section><h2>{} <small>{}</small></h2>\n<p class=\"facts\">{}</p>\n",
        escape(if instrument.symbol.is_empty() { "(no symbol)" } else { &instrument.symbol }),
        escape(instrument.venue),
        escape(&minus(facts(instrument)))
    ));
    let feeds = inspection.feeds.len();
    let is_of_it = |incident: &&Incident| match incident.instrument {
        Some(of) => of == place,
        None => inspection.feeds.get(incident.feed).is_some_and(|feed| feeds == 1 || feed.venue == instrument.venue),
    };
    let incidents: Vec<&Incident> = inspection.incidents.iter().filter(is_of_it).collect();
    let (marks, key) = incident_marks(&incidents, axis);
    let offset_size = market.iter().map(|(_, bucket)| bucket.offset_ns).filter(|offset| offset.count > 0);
    let offset_size = offset_size.map(|offset| offset.low.abs().max(offset.high.abs())).fold(0.0, f64::max);
    let (unit_ns, unit) = time_unit(offset_size as u64);
    let width_ns = market.width_ns();
    let buckets: Vec<(i64, &MarketBucket)> = market.iter().map(|(start, bucket)| (axis.end_of(start, width_ns), bucket)).collect();
    let panels: [(&str, &str, &str, Vec<Step>); 3] = [
        (
            "Mid price",
            "quote currency",
            "price",
            steps(&buckets, axis, &incidents, f64::INFINITY, |bucket| (bucket.mid, bucket.mid.last, 1.0)),
        ),
        (
            "Spread",
            "quote currency, mean",
            "low",
            steps(&buckets, axis, &incidents, f64::INFINITY, |bucket| (bucket.spread, bucket.spread.mean(), 1.0)),
        ),
        (
            "Receive less exchange time",
            unit,
            "middle",
            steps(&buckets, axis, &[], SAMPLES_APART_MAX, |bucket| (bucket.offset_ns, bucket.offset_ns.mean(), unit_ns)),
        ),
    ];
    let drawn: Vec<_> = panels
        .iter()
        .filter_map(|panel| Some((panel, Range::around(panel.3.iter().flat_map(|step| [step.low, step.high, step.value]))?)))
        .collect();
    page.push_str("<div class=\"values\"><p class=\"readout\"></p>\n");
    for (at, ((title, unit, class, steps), range)) in drawn.iter().enumerate() {
        let legend = if at == 0 { format!("<span class=\"legend\">{key}</span>") } else { String::new() };
        page.push_str(&format!("<figure><figcaption><b>{title}</b> <i>{unit}</i>{legend}</figcaption>\n"));
        let y = range.ticks(if *class == "low" { 2 } else { 5 });
        let rule = range.zero();
        let description = format!("{title} of {}", instrument.symbol);
        let x_labels = at + 1 == drawn.len();
        let axes = Axes { class, description: &description, y: &y, rule, x: &axis.ticks, x_labels };
        push_plot(page, &axes, &step_paths(steps, *range), &marks);
        page.push_str("</figure>\n");
    }
    page.push_str(&axis.title());
    let decimals = instrument_decimals(instrument);
    let held = |value: fn(&MarketBucket) -> Extent, shown: fn(&Extent) -> f64| {
        let values = buckets.iter().scan(f64::NAN, move |held, (_, bucket)| {
            let extent = value(bucket);
            *held = if extent.count > 0 { shown(&extent) } else { *held };
            Some(*held)
        });
        values.collect::<Vec<f64>>()
    };
    let offsets: Vec<f64> = buckets.iter().map(|(_, bucket)| bucket.offset_ns.mean() / unit_ns).collect();
    let data = [
        line_data("mid", "", decimals, &held(|bucket| bucket.mid, |extent| extent.last)),
        line_data("spread", "", decimals, &held(|bucket| bucket.spread, Extent::mean)),
        line_data("receive − exchange", &format!(" {unit}"), 3, &offsets),
    ];
    push_data(page, axis.range, buckets.iter().map(|(end, _)| *end), &data);
    page.push_str("</div></section>\n");
}

/// Counts, and how the book stands.
fn facts(instrument: &InstrumentInspection) -> String {
    let mut facts = vec![kinds_text(instrument)];
    if let Some(book) = &instrument.book {
        facts.push(format!("book {}", state_text(book.state)));
        if book.gaps + book.resyncs > 0 {
            facts.push(format!("{} gaps, {} resyncs", count(book.gaps), count(book.resyncs)));
        }
    }
    if let Some(offset) = instrument.clock_offset {
        facts.push(format!("receive less exchange time {} (median)", signed_duration_ns(offset.p50_ns)));
    }
    facts.join(" · ")
}

fn kinds_text(instrument: &InstrumentInspection) -> String {
    instrument.kinds.iter().map(|(kind, messages)| format!("{} {}", count(*messages), words(kind))).collect::<Vec<_>>().join(", ")
}

fn state_text(state: SyncState) -> &'static str {
    match state {
        SyncState::InSync => "in sync at the end",
        SyncState::OutOfSync => "out of sync at the end",
        SyncState::NeverInSync => "never in sync",
    }
}

/// One decimal more than the best prices have, for what stands between two ticks.
fn instrument_decimals(instrument: &InstrumentInspection) -> usize {
    let book = instrument.book.as_ref();
    let prices = book.iter().flat_map(|book| [&book.bid, &book.ask]).flatten();
    prices.filter_map(|price| price.split_once('.')).map(|(_, decimals)| decimals.len() + 1).max().unwrap_or(4).min(9)
}

/// A step for each bucket that has values,, of what `of` tells of it: extent, shown value, and divisor. At an incident the line
/// breaks off, and where the next values are further away than `apart_max` of the axis.
fn steps<T>(
    buckets: &[(i64, &T)],
    axis: &TimeAxis,
    incidents: &[&Incident],
    apart_max: f64,
    of: impl Fn(&T) -> (Extent, f64, f64),
) -> Vec<Step> {
    let mut steps = Vec::with_capacity(buckets.len());
    let mut breaks = incidents.iter().map(|incident| incident.at_ns).peekable();
    // Where the bucket begins: empty ones end there too.
    let mut start = axis.range.from;
    for (end, bucket) in buckets {
        let start = std::mem::replace(&mut start, *end);
        let (extent, value, divisor) = of(bucket);
        if extent.count == 0 {
            continue;
        }
        let x = axis.range.fraction(*end);
        let nothing = |x| Step { x, low: f64::NAN, high: f64::NAN, value: f64::NAN };
        while let Some(at) = breaks.next_if(|at| at < end) {
            steps.push(nothing(axis.range.fraction(at)));
        }
        if steps.last().is_some_and(|before: &Step| x - before.x > apart_max) {
            steps.push(nothing(x));
        }
        // Until here the value before held.
        if let Some(before) = steps.last().copied()
            && axis.range.fraction(start) > before.x
        {
            steps.push(Step { x: axis.range.fraction(start), low: before.value, high: before.value, value: before.value });
        }
        steps.push(Step { x, low: extent.low / divisor, high: extent.high / divisor, value: value / divisor });
    }
    steps
}

/// Lines at incidents, and what they mean.
fn incident_marks(incidents: &[&Incident], axis: &TimeAxis) -> (String, String) {
    let mut cells: Vec<u32> =
        incidents.iter().map(|incident| (axis.range.fraction(incident.at_ns) * INCIDENT_CELLS) as u32).collect();
    cells.sort_unstable();
    cells.dedup();
    let line = |cell: u32| {
        let x = percent(f64::from(cell) * 100.0 / INCIDENT_CELLS);
        format!("<line class=\"incident\" x1=\"{x}%\" x2=\"{x}%\" y2=\"100%\"/>")
    };
    let key =
        if cells.is_empty() { String::new() } else { format!("<span>{} gap, restart, crossed book</span>", line_key("incident")) };
    (cells.into_iter().map(line).collect(), key)
}

/// The unit in which times of this size are read best: nanoseconds in it, and its name.
fn time_unit(size_ns: u64) -> (f64, &'static str) {
    match size_ns {
        0..1_000 => (1.0, "ns"),
        1_000..1_000_000 => (1e3, "µs"),
        1_000_000..10_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    }
}

fn push_tables(page: &mut String, inspection: &Inspection) {
    page.push_str("<section>\n");
    let files = inspection.files.iter().map(|file| {
        let clock = |at: Option<i64>| at.map_or("n/a".into(), |at| clock_utc(at, 3));
        vec![
            file.path.clone(),
            file.venue.to_owned(),
            format!("{}, {}", file.format, file.framing),
            file.compression.to_owned(),
            file.time_unit.clone(),
            bytes(file.bytes),
            count(file.records),
            count(file.malformed),
            clock(file.received.as_ref().map(|span| span.first_ns)),
            clock(file.received.as_ref().map(|span| span.last_ns)),
        ]
    });
    let head = ["File", "Venue", "Format", "Compression", "Times in", "Size", "Records", "Malformed", "From", "To"];
    push_table(page, "Files", &head, files.collect());
    let instruments = inspection.instruments.iter().map(|instrument| {
        let book = instrument.book.as_ref();
        let side = |price: Option<&String>, qty: Option<&String>| match (price, qty) {
            (Some(price), Some(qty)) => format!("{price} × {qty}"),
            _ => "n/a".into(),
        };
        vec![
            instrument.name(),
            count(instrument.messages),
            kinds_text(instrument),
            book.map_or("none", |book| state_text(book.state)).to_owned(),
            side(book.and_then(|book| book.bid.as_ref()), book.and_then(|book| book.bid_qty.as_ref())),
            side(book.and_then(|book| book.ask.as_ref()), book.and_then(|book| book.ask_qty.as_ref())),
        ]
    });
    push_table(page, "Instruments", &["Instrument", "Messages", "Kinds", "Book", "Bid", "Ask"], instruments.collect());
    let offsets = inspection.instruments.iter().filter_map(|instrument| {
        let offset = instrument.clock_offset?;
        let [min, p50, p99, max] =
            [offset.min_ns, offset.p50_ns, offset.p99_ns, offset.max_ns].map(|at| minus(signed_duration_ns(at)));
        Some(vec![instrument.name(), count(offset.count), min, p50, p99, max])
    });
    let head = ["Instrument", "Measured", "Min", "Median", "p99", "Max"];
    push_some(page, "Receive less exchange time", &head, offsets.collect());
    let books = inspection.instruments.iter().filter_map(|instrument| {
        let book = instrument.book.as_ref()?;
        Some(vec![
            instrument.name(),
            count(book.gaps),
            count(book.resyncs),
            count(book.restarts),
            count(book.crossed),
            format!("{} of {}", count(book.checksum_mismatches), count(book.checksums_compared)),
            count(book.unknown_orders),
            count(book.old),
        ])
    });
    let head = ["Book", "Gaps", "Resyncs", "Restarts", "Crossed", "Checksums that differ", "Unknown orders", "Old messages"];
    push_some(page, "Books", &head, books.collect());
    let feeds = inspection.feeds.iter().enumerate().map(|(place, feed)| {
        let paths = inspection.files.iter().filter(|file| file.feed == place).map(|file| file.path.as_str());
        vec![
            some_of(paths, 2),
            count(feed.records),
            count(feed.gaps),
            count(feed.messages_lost),
            count(feed.restarts),
            count(feed.heartbeats),
            feed.longest_silence.as_ref().map_or("n/a".into(), |span| duration_ns(span.length_ns())),
        ]
    });
    let head = ["Feed", "Records", "Gaps", "Messages lost", "Restarts", "Heartbeats", "Longest silence"];
    push_table(page, "Feeds", &head, feeds.collect());
    let incidents = inspection.incidents.iter().map(|incident| {
        let whose = incident.instrument.and_then(|place| inspection.instruments.get(place));
        vec![
            incident.at_utc.clone(),
            whose.map_or_else(|| "whole feed".to_owned(), InstrumentInspection::name),
            incident.kind.to_string(),
        ]
    });
    push_some(page, "Gaps and restarts", &["Time, UTC", "Whose", "What"], incidents.collect());
    page.push_str("</section>\n");
}

/// A table, where it has rows.
fn push_some(page: &mut String, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        push_table(page, title, head, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::super::plot::GRID;
    use super::*;
    use crate::inspect::{InspectOptions, Inspected, inspect};
    use chronos_tests::page::{check_page, data_of};
    use std::io::Write;

    /// What a capture of these lines holds.
    fn inspected(lines: &[String]) -> Inspected {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(lines.join("\n").as_bytes()).unwrap();
        inspect(&InspectOptions { paths: vec![file.path().to_owned()], ..InspectOptions::default() }, &mut |_| {}).unwrap()
    }

    /// A quote and a trade a second, with a break of ids in the book after the first half.
    fn lines(symbol: &str) -> Vec<String> {
        let start_ms = 1_723_161_254_000_i64;
        let mut lines = vec![format!("{start_ms} {{\"lastUpdateId\":9,\"bids\":[[\"99\",\"1\"]],\"asks\":[[\"101\",\"1\"]]}}")];
        for second in 0..100 {
            let (at, id) = (start_ms + second * 1_000, 10 + second + second / 50);
            lines.push(format!(
                "{at} {{\"e\":\"depthUpdate\",\"E\":{},\"s\":\"{symbol}\",\"U\":{id},\"u\":{id},\"b\":[[\"{}\",\"2\"]],\"a\":[]}}",
                at - 7,
                90 + second % 9
            ));
        }
        lines
    }

    #[test]
    fn a_page_is_sound_and_marks_the_gap() {
        let Inspected { inspection, activity } = inspected(&lines("BTCUSDT"));
        let page = render_inspection(&inspection, &activity);
        check_page(&page, GRID);
        // In the rates, the offsets, and each of the three panels of the market.
        assert_eq!(page.matches("<line class=\"incident\" x1=").count(), 5);
        for expected in ["update ids break off", "7.00 ms", "100 depth", "out of sync at the end", "2024-08-08 23:54:14.000"] {
            assert!(page.contains(expected), "{expected} is missing");
        }
        let data = data_of(&page);
        assert_eq!(data.len(), 3);
        for one in &data {
            let length = one["t"].as_array().unwrap().len();
            assert!(
                length > 10
                    && one["lines"].as_array().unwrap().iter().all(|line| line["values"].as_array().unwrap().len() == length)
            );
        }
    }

    #[test]
    fn names_from_files_are_text() {
        let Inspected { inspection, activity } = inspected(&lines("<img src=x>"));
        let page = render_inspection(&inspection, &activity);
        check_page(&page.replace("&lt;img src=x&gt;", "X"), GRID);
        assert!(!page.contains("<img"));
    }

    #[test]
    fn one_record_is_still_a_page() {
        let Inspected { inspection, activity } = inspected(&lines("X")[..2]);
        check_page(&render_inspection(&inspection, &activity), GRID);
    }
}
