//! `chronos journal`.

use crate::tables::printable;
use anyhow::Result;
use chronos_market::{InstrumentId, NewOrder, OrderCommand, PRICE_SCALE, ReportKind, Side, TimeInForce, Timestamp};
use chronos_pipeline::decision::{Control, Scope};
use chronos_pipeline::journal::{Content, Damage, DroppedRecord, JournaledInstrument, Record, Recovery, UnsentReason};
use chronos_pipeline::risk::{LimitChange, StateChange};
use chronos_session::format::{bytes, clock_utc, count, date_utc};
use chronos_session::journal::hex;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

/// Decimals of a second in a listing.
const SECOND_DECIMALS: usize = 9;

/// Arguments of `chronos journal`.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List every whole record, one a line
    Dump(DumpArguments),
    /// Tell whether a journal is whole: exit status 0 whole, 1 damaged, 2 an error
    Verify(VerifyArguments),
}

#[derive(Args)]
#[command(after_help = "Examples:
  chronos journal dump session/journal | grep ' order '
  chronos journal dump session/ --json | jq -c 'select(.kind == \"report\")'

What follows damage is not listed: `chronos journal verify` tells what that is.")]
struct DumpArguments {
    /// The journal's folder, the folder of `--record`, or one segment
    path: PathBuf,
    /// Print a JSON object for each record
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct VerifyArguments {
    /// The journal's folder, the folder of `--record`, or one segment
    path: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command; whether the journal is whole.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    match &arguments.command {
        Command::Dump(arguments) => {
            dump(arguments)?;
            Ok(true)
        }
        Command::Verify(arguments) => verify(arguments),
    }
}

fn dump(arguments: &DumpArguments) -> Result<()> {
    let recovery = Recovery::open(&arguments.path)?;
    let mut reader = recovery.reader();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut instruments = Vec::new();
    while let Some(record) = reader.next()? {
        let content = Content::of(&record);
        if let Some(Content::Instrument(instrument)) = &content {
            instruments.push(instrument.clone());
        }
        let line = match arguments.json {
            true => as_json(&record, content.as_ref(), &instruments).to_string(),
            false => printable(&as_text(&record, content.as_ref(), &instruments)),
        };
        if !is_taken(writeln!(out, "{line}"))? {
            return Ok(());
        }
    }
    is_taken(out.flush())?;
    if let Some(damage) = &recovery.damage {
        eprintln!("note: {damage}");
    }
    Ok(())
}

/// Whether whoever reads the listing still does.
fn is_taken(result: io::Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn verify(arguments: &VerifyArguments) -> Result<bool> {
    let recovery = Recovery::open(&arguments.path)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&verdict(&recovery))?);
        return Ok(recovery.damage.is_none());
    }
    println!(
        "{}: {} records, {}, segments: {}, session {:016x}",
        arguments.path.display(),
        count(recovery.records),
        bytes(recovery.bytes),
        recovery.segments(),
        recovery.session
    );
    match (&recovery.damage, recovery.is_closed) {
        (Some(damage), _) => println!("damaged: {damage}"),
        (None, true) => println!("whole, and the session ended"),
        (None, false) => {
            println!("whole; the session did not end: it goes on, or it was cut off after record {}", recovery.last_seq())
        }
    }
    Ok(recovery.damage.is_none())
}

fn verdict(recovery: &Recovery) -> Value {
    let damage = |damage: &Damage| {
        json!({
            "path": damage.path.display().to_string(),
            "offset": damage.offset,
            "reason": damage.reason.to_string(),
            "bytes_dropped": damage.bytes_dropped,
            "whole_records_dropped": damage.whole_records_dropped,
            "records_lost": damage.records_lost,
        })
    };
    json!({
        "session": format!("{:016x}", recovery.session),
        "records": recovery.records,
        "first_seq": recovery.first_seq,
        "last_seq": recovery.last_seq(),
        "segments": recovery.segments(),
        "bytes": recovery.bytes,
        "is_closed": recovery.is_closed,
        "damage": recovery.damage.as_ref().map(damage),
    })
}

/// Number, time, kind, and what it says.
fn as_text(record: &Record<'_>, content: Option<&Content>, instruments: &[JournaledInstrument]) -> String {
    let time = match record.recv_ns {
        0 => "-".to_owned(),
        nanos => format!("{} {}", date_utc(nanos), clock_utc(nanos, SECOND_DECIMALS)),
    };
    let fields = match content {
        Some(content) => fields(content, instruments),
        None => unreadable(record),
    };
    let fields = fields.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    });
    format!("{:>8} {time:<29} {:<13} {}", record.seq, record.kind.name(), fields.collect::<Vec<_>>().join(" "))
}

fn as_json(record: &Record<'_>, content: Option<&Content>, instruments: &[JournaledInstrument]) -> Value {
    let head = [("seq", json!(record.seq)), ("recv_ns", json!(record.recv_ns)), ("kind", json!(record.kind.name()))];
    let fields = match content {
        Some(content) => fields(content, instruments),
        None => unreadable(record),
    };
    head.into_iter().chain(fields).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A payload whose shape is not that of its kind.
fn unreadable(record: &Record<'_>) -> Vec<(&'static str, Value)> {
    vec![("unreadable_payload", hex(record.payload).into())]
}

/// What a record says, name by name.
fn fields(content: &Content, instruments: &[JournaledInstrument]) -> Vec<(&'static str, Value)> {
    let symbol = |id: InstrumentId| match instruments.iter().find(|instrument| instrument.id == id) {
        Some(instrument) => instrument.symbol.clone(),
        None => id.0.to_string(),
    };
    match content {
        Content::Order { command: OrderCommand::New(order), .. } => {
            let NewOrder { id, instrument, side, price, qty, time_in_force, reduce_only, signal } = order;
            vec![
                ("command", json!("new")),
                ("order", json!(id.to_string())),
                ("symbol", json!(symbol(*instrument))),
                ("side", json!(side_name(*side))),
                ("price", json!(price.to_string())),
                ("qty", json!(qty.to_string())),
                ("time_in_force", json!(in_force_name(*time_in_force))),
                ("reduce_only", json!(reduce_only)),
                ("signal", json!(signal)),
            ]
        }
        Content::Order { command: OrderCommand::Cancel { id, instrument }, .. } => {
            vec![("command", json!("cancel")), ("order", json!(id.to_string())), ("symbol", json!(symbol(*instrument)))]
        }
        Content::Report { entry, report } => vec![
            ("entry", json!(entry)),
            ("order", json!(report.order.to_string())),
            ("symbol", json!(symbol(report.instrument))),
            ("report", json!(report_name(report.kind))),
            ("side", json!(side_name(report.side))),
            ("maker", json!(report.is_maker)),
            ("price", json!(report.price.to_string())),
            ("qty", json!(report.qty.to_string())),
            ("leaves", json!(report.leaves.to_string())),
            ("fee_quote", json!(report.fee_quote as f64 / PRICE_SCALE as f64)),
            ("report_recv_ns", json!(report.recv.0)),
            ("venue_ns", json!(report.venue_time.0)),
        ],
        Content::Parameters { window, effective, regime, seq, hash } => vec![
            ("block", json!(seq)),
            ("regime", json!(regime.name())),
            ("window", json!(window)),
            ("effective_ns", json!(effective.0)),
            ("hash", json!(format!("{hash:016x}"))),
        ],
        Content::Timer(timer) => vec![("timer", json!(timer.0))],
        Content::State(StateChange { state, cause, origin, value, scope, until }) => vec![
            ("state", json!(format!("{state:?}").to_lowercase())),
            ("cause", json!(cause.name())),
            ("origin", json!(format!("{origin:?}").to_lowercase())),
            ("value", json!(value)),
            ("scope", json!(scope.map(|scope| scope_name(scope, symbol)))),
            ("until_ns", json!(Some(until.0).filter(|_| *until != Timestamp::MAX))),
        ],
        Content::Skip { seq, instrument } => vec![("frame", json!(seq)), ("symbol", json!(symbol(*instrument)))],
        Content::Dropped(DroppedRecord::Sample { seq, instrument }) => {
            vec![("what", json!("sample")), ("frame", json!(seq)), ("symbol", json!(symbol(*instrument)))]
        }
        Content::Dropped(DroppedRecord::WindowEnd { window }) => vec![("what", json!("window end")), ("window", json!(window))],
        Content::Overrun { source, messages } => vec![("source", json!(source)), ("messages", json!(messages))],
        Content::Limits { hashes: [before, after], changes, entry } => vec![
            ("entry", json!(entry)),
            ("changes", changes.iter().map(|change| limit_change(change, symbol)).collect()),
            ("before", json!(hex(before))),
            ("after", json!(hex(after))),
        ],
        Content::Control { control, entry } => {
            let (name, scope) = match control {
                Control::Reduce => ("reduce", None),
                Control::Halt => ("halt", None),
                Control::Resume => ("resume", None),
                Control::Kill(scope) => ("kill", Some(scope)),
                Control::Restore(scope) => ("restore", Some(scope)),
            };
            vec![("entry", json!(entry)), ("control", json!(name)), ("scope", json!(scope.map(|scope| scope_name(*scope, symbol))))]
        }
        Content::Unsent { order, is_cancel, reason } => vec![
            ("order", json!(order.to_string())),
            ("command", json!(if *is_cancel { "cancel" } else { "new" })),
            (
                "reason",
                json!(match reason {
                    UnsentReason::Encode => "it does not fit its encoding".to_owned(),
                    UnsentReason::Submit(error) => error.to_string(),
                }),
            ),
        ],
        Content::SessionStart(start) => vec![
            ("session", json!(start.session)),
            ("engine", json!(start.engine)),
            ("config", json!(hex(&start.config_hash))),
            ("model", json!(hex(&start.model_sha256))),
            ("meta", json!(hex(&start.meta_sha256))),
            ("limit", json!(start.limit)),
        ],
        Content::Instrument(instrument) => vec![
            ("id", json!(instrument.id.0)),
            ("venue", json!(instrument.venue)),
            ("symbol", json!(instrument.symbol)),
            ("tick", json!(instrument.tick.to_string())),
            ("lot", json!(instrument.lot.to_string())),
            ("inverse", json!(matches!(instrument.contract, chronos_market::Contract::Inverse { .. }))),
        ],
        Content::Capture(capture) => {
            vec![("name", json!(capture.name)), ("bytes", json!(capture.bytes)), ("sha256", json!(hex(&capture.sha256)))]
        }
        Content::SessionEnd(end) => vec![
            ("orders", json!(end.orders)),
            ("cancels", json!(end.cancels)),
            ("fills", json!(end.fills)),
            ("entries", json!(end.entries)),
            ("error", json!(end.error)),
            ("digest", json!(hex(&end.digest))),
        ],
    }
}

fn scope_name(scope: Scope, symbol: impl Fn(InstrumentId) -> String) -> String {
    match scope {
        Scope::Strategy(id) => format!("strategy {}", id.0),
        Scope::Instrument(id) => format!("instrument {}", symbol(id)),
        Scope::Venue(venue) => format!("venue {venue}"),
    }
}

/// What a field was and is; numbers as texts, since they may be longer than JSON's.
fn limit_change(change: &LimitChange, symbol: impl Fn(InstrumentId) -> String) -> Value {
    let instrument = change.instrument.map(|id| symbol(InstrumentId(id)));
    json!({ "field": change.name(), "instrument": instrument, "old": change.old.to_string(), "new": change.new.to_string() })
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn in_force_name(time_in_force: TimeInForce) -> &'static str {
    match time_in_force {
        TimeInForce::GoodTilCancelled => "good_til_cancelled",
        TimeInForce::ImmediateOrCancel => "immediate_or_cancel",
        TimeInForce::PostOnly => "post_only",
    }
}

fn report_name(kind: ReportKind) -> &'static str {
    match kind {
        ReportKind::Accepted => "accepted",
        ReportKind::Fill => "fill",
        ReportKind::Cancelled => "cancelled",
        ReportKind::Rejected => "rejected",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Contract, Exchange, Price, Qty};
    use chronos_pipeline::risk::{Origin, RiskCheck, TradingState};

    fn listed(content: &Content) -> Vec<String> {
        let known = JournaledInstrument {
            id: InstrumentId(2),
            tick: Price(1),
            lot: Qty(1),
            contract: Contract::spot(),
            venue: "binance-spot".into(),
            symbol: "BTCUSDT".into(),
        };
        fields(content, &[known]).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn what_was_done_by_hand_and_what_came_of_it_is_named() {
        let control = Content::Control { control: Control::Kill(Scope::Instrument(InstrumentId(2))), entry: 7 };
        assert_eq!(listed(&control), ["entry=7", r#"control="kill""#, r#"scope="instrument BTCUSDT""#]);
        let control = Content::Control { control: Control::Resume, entry: 8 };
        assert_eq!(listed(&control), ["entry=8", r#"control="resume""#, "scope=null"]);
        let change = LimitChange { field: 2, instrument: None, old: i128::MAX, new: 25 };
        let own = LimitChange { field: 5, instrument: Some(2), old: 0, new: 1 };
        let limits = Content::Limits { hashes: [[0; 32], [255; 32]], changes: vec![change, own], entry: 9 };
        let [entry, changes, before, after] = listed(&limits).try_into().expect("four");
        assert_eq!((entry.as_str(), before.len(), after.ends_with("ffff\"")), ("entry=9", 73, true));
        let told = r#"{"field":"collar_bps","instrument":null,"new":"25","old":"170141183460469231731687303715884105727"}"#;
        let of_one = r#"{"field":"is_restricted","instrument":"BTCUSDT","new":"1","old":"0"}"#;
        assert_eq!(changes, format!("changes=[{told},{of_one}]"));
        let state = Content::State(StateChange {
            state: TradingState::Reducing,
            cause: RiskCheck::Drawdown,
            origin: Origin::Limit,
            value: 1,
            scope: Some(Scope::Venue(Exchange::Kraken)),
            until: Timestamp::MAX,
        });
        let [state, cause, origin, value, scope, until] = listed(&state).try_into().expect("six");
        assert_eq!([state, cause, origin], [r#"state="reducing""#, r#"cause="drawdown""#, r#"origin="limit""#]);
        assert_eq!([value, scope, until], ["value=1", r#"scope="venue kraken""#, "until_ns=null"]);
    }
}
