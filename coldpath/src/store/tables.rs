//! The four tables: their columns, types and codes.

use chronos_market::{
    DecisionTelemetry, EventFlags, EventKind, ExecutionReport, InstrumentId, MarketEvent, OrderCommand, Price, Qty, Side, Timestamp,
};

/// How a column is read from a row, and with it the column's type. No column has nulls; a field that a row has not is 0.
pub(super) enum Column<R> {
    /// Nanoseconds since the epoch: `INT64 TIMESTAMP(NANOS, UTC)`.
    Time(fn(&R) -> i64),
    /// `INT64`: fixed point, its scale in the file's metadata.
    Fixed(fn(&R) -> i64),
    /// `INT64 INTEGER(64, unsigned)`: ids and sequence numbers.
    Id(fn(&R) -> u64),
    /// `INT32 INTEGER(16, unsigned)`: place in the instrument table.
    Instrument(fn(&R) -> InstrumentId),
    /// `INT32 INTEGER(8, unsigned)`: a code, and what each code from 0 means, kept in the file's metadata.
    Code(fn(&R) -> u8, &'static [&'static str]),
    /// `INT32 INTEGER(8, unsigned)`: bits, from the lowest, kept likewise.
    Bits(fn(&R) -> u8, &'static [&'static str]),
    /// `BOOLEAN`.
    Bool(fn(&R) -> bool),
    /// `DOUBLE`.
    Float(fn(&R) -> f64),
}

/// A table: its name, which begins its segments' names, and its columns.
pub(super) struct Table<R: 'static> {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Column<R>)],
}

/// A command and when it was sent: a row of the table `orders`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Order {
    /// When.
    pub now: Timestamp,
    /// What.
    pub command: OrderCommand,
}

impl<R> Table<R> {
    /// The table as a Parquet message type.
    pub(super) fn schema(&self) -> String {
        let mut text = format!("message {} {{\n", self.name);
        for (name, column) in self.columns {
            let (physical, logical) = match column {
                Column::Time(_) => ("INT64", " (TIMESTAMP(NANOS,true))"),
                Column::Fixed(_) => ("INT64", ""),
                Column::Id(_) => ("INT64", " (INTEGER(64,false))"),
                Column::Instrument(_) => ("INT32", " (INTEGER(16,false))"),
                Column::Code(..) | Column::Bits(..) => ("INT32", " (INTEGER(8,false))"),
                Column::Bool(_) => ("BOOLEAN", ""),
                Column::Float(_) => ("DOUBLE", ""),
            };
            text.push_str(&format!("  REQUIRED {physical} {name}{logical};\n"));
        }
        text.push('}');
        text
    }

    /// What the codes of its columns mean, as `(column, "0=buy,1=sell")`.
    pub(super) fn codes(&self) -> Vec<(&'static str, String)> {
        let list = |names: &[&str], code: fn(usize) -> usize| {
            let pairs: Vec<String> = names.iter().enumerate().map(|(place, name)| format!("{}={name}", code(place))).collect();
            pairs.join(",")
        };
        let codes = |column: &Column<R>| match column {
            Column::Code(_, names) => Some(list(names, |place| place)),
            Column::Bits(_, names) => Some(list(names, |place| 1 << place)),
            _ => None,
        };
        self.columns.iter().filter_map(|(name, column)| Some((*name, codes(column)?))).collect()
    }
}

/// Every table's name and columns, as Parquet message types: what a reader of segments may rely on.
pub fn table_schemas() -> [(&'static str, String); 4] {
    [
        (MARKET.name, MARKET.schema()),
        (ORDERS.name, ORDERS.schema()),
        (REPORTS.name, REPORTS.schema()),
        (DECISIONS.name, DECISIONS.schema()),
    ]
}

const SIDES: &[&str] = &["buy", "sell"];

/// Market events.
pub(super) static MARKET: Table<MarketEvent> = Table {
    name: "market",
    columns: &[
        ("seq", Column::Id(|event| event.seq)),
        ("recv_ns", Column::Time(|event| event.recv_ns)),
        ("exchange_ns", Column::Time(|event| event.exchange_ns)),
        ("instrument", Column::Instrument(|event| event.instrument)),
        ("kind", Column::Code(|event| event.kind as u8, EVENT_KINDS)),
        ("side", Column::Code(|event| event.side as u8, SIDES)),
        ("price", Column::Fixed(|event| event.price.0)),
        ("qty", Column::Fixed(|event| event.qty.0)),
        ("id", Column::Id(|event| event.id)),
        ("flags", Column::Bits(|event| event.flags.0, FLAGS)),
    ],
};

const EVENT_KINDS: &[&str] = &[
    "level_set",
    "trade",
    "bbo",
    "book_cleared",
    "book_synced",
    "book_stale",
    "mark",
    "liquidation",
    "order_add",
    "order_modify",
    "order_delete",
    "order_execute",
    "heartbeat",
];
const FLAGS: &[&str] = &["batch_end", "snapshot", "no_side"];
// A code beyond its list would be a number without a meaning.
const _: () = assert!(EventKind::Heartbeat as usize + 1 == EVENT_KINDS.len());
const _: () = assert!(EventFlags::BATCH_END.0 == 1 && EventFlags::SNAPSHOT.0 == 2);

/// Decision ticks and how long they took.
pub(super) static DECISIONS: Table<DecisionTelemetry> = Table {
    name: "decisions",
    columns: &[
        ("recv_ns", Column::Time(|decision| decision.recv.0)),
        ("instrument", Column::Instrument(|decision| decision.instrument)),
        ("seq", Column::Id(|decision| decision.seq)),
        ("inference_ns", Column::Id(|decision| decision.inference_ns)),
        ("tick_ns", Column::Id(|decision| decision.tick_ns)),
    ],
};

/// Commands as they went to the venue.
pub(super) static ORDERS: Table<Order> = Table {
    name: "orders",
    columns: &[
        ("now_ns", Column::Time(|order| order.now.0)),
        ("command", Column::Code(|order| u8::from(matches!(order.command, OrderCommand::Cancel { .. })), &["new", "cancel"])),
        ("order_id", Column::Id(|order| with_command(order, |new| new.id.0, |id, _| id))),
        ("instrument", Column::Instrument(|order| with_command(order, |new| new.instrument, |_, instrument| instrument))),
        ("side", Column::Code(|order| with_command(order, |new| new.side, |_, _| Side::Buy) as u8, SIDES)),
        ("price", Column::Fixed(|order| with_command(order, |new| new.price, |_, _| Price::ZERO).0)),
        ("qty", Column::Fixed(|order| with_command(order, |new| new.qty, |_, _| Qty::ZERO).0)),
        ("time_in_force", Column::Code(|order| with_command(order, |new| new.time_in_force as u8, |_, _| 0), TIMES_IN_FORCE)),
        ("reduce_only", Column::Bool(|order| with_command(order, |new| new.reduce_only, |_, _| false))),
        ("signal", Column::Float(|order| with_command(order, |new| new.signal, |_, _| 0.0))),
    ],
};

const TIMES_IN_FORCE: &[&str] = &["good_til_cancelled", "immediate_or_cancel", "post_only"];

fn with_command<T>(
    order: &Order,
    of_new: impl Fn(&chronos_market::NewOrder) -> T,
    of_cancel: impl Fn(u64, InstrumentId) -> T,
) -> T {
    match &order.command {
        OrderCommand::New(new) => of_new(new),
        OrderCommand::Cancel { id, instrument } => of_cancel(id.0, *instrument),
    }
}

/// What the venue reported.
pub(super) static REPORTS: Table<ExecutionReport> = Table {
    name: "reports",
    columns: &[
        ("recv_ns", Column::Time(|report| report.recv.0)),
        ("venue_ns", Column::Time(|report| report.venue_time.0)),
        ("order_id", Column::Id(|report| report.order.0)),
        ("instrument", Column::Instrument(|report| report.instrument)),
        ("kind", Column::Code(|report| report.kind as u8, &["accepted", "fill", "cancelled", "rejected"])),
        ("side", Column::Code(|report| report.side as u8, SIDES)),
        ("is_maker", Column::Bool(|report| report.is_maker)),
        ("price", Column::Fixed(|report| report.price.0)),
        ("qty", Column::Fixed(|report| report.qty.0)),
        ("leaves", Column::Fixed(|report| report.leaves.0)),
        ("fee_quote", Column::Fixed(|report| report.fee_quote)),
    ],
};
