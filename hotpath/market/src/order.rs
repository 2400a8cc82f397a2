//! Orders, what a venue reports of them, and the canonical bytes of both.

use crate::event::Side;
use crate::fixed::{Price, Qty};
use crate::instrument::InstrumentId;
use crate::time::Timestamp;
use std::fmt;

/// Identity of an order: session number in the high 32 bits, a counter from 1 in the low ones. Never random.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[repr(transparent)]
pub struct OrderId(pub u64);

impl OrderId {
    /// Order `counter` of session `session`.
    #[inline]
    pub fn new(session: u32, counter: u32) -> OrderId {
        OrderId(u64::from(session) << 32 | u64::from(counter))
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// How long an order lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum TimeInForce {
    /// Until cancelled.
    GoodTilCancelled = 0,
    /// What trades at once; the rest is cancelled.
    ImmediateOrCancel = 1,
    /// Rests or is rejected; never takes.
    PostOnly = 2,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum OrderCommand {
    /// Place an order.
    New(NewOrder),
    /// Cancel an order.
    Cancel {
        /// The order.
        id: OrderId,
        /// Its instrument.
        instrument: InstrumentId,
    },
}

/// An order to place.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct NewOrder {
    /// Identity, given by us.
    pub id: OrderId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// Buy or sell.
    pub side: Side,
    /// Limit price; a market order is an immediate-or-cancel at its collar.
    pub price: Price,
    /// Quantity, above 0.
    pub qty: Qty,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// Whether it may only make the position smaller.
    pub reduce_only: bool,
    /// The signal it was decided on, kept so that every order can be explained.
    pub signal: f64,
}

/// What happened to an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ReportKind {
    /// The venue has it, and it rests or will trade.
    Accepted = 0,
    /// (Part of) it traded.
    Fill = 1,
    /// What was left of it was cancelled.
    Cancelled = 2,
    /// The venue did not take it.
    Rejected = 3,
}

/// One report of a venue on one order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExecutionReport {
    /// The order.
    pub order: OrderId,
    /// The instrument.
    pub instrument: InstrumentId,
    /// What happened.
    pub kind: ReportKind,
    /// Side of the order.
    pub side: Side,
    /// Whether the fill made liquidity.
    pub is_maker: bool,
    /// When the report reaches us.
    pub recv: Timestamp,
    /// When it happened at the venue.
    pub venue_time: Timestamp,
    /// Fill price; 0 for other kinds.
    pub price: Price,
    /// Fill quantity; 0 for other kinds.
    pub qty: Qty,
    /// Quantity still open after this.
    pub leaves: Qty,
    /// Fee in quote currency, units of 1e-9; negative is a rebate.
    pub fee_quote: i64,
}

/// Length of [`canonical_command`].
pub const COMMAND_BYTES: usize = 48;
/// Length of [`canonical_report`].
pub const REPORT_BYTES: usize = 72;

/// An order command sent at `now` as canonical little-endian bytes: what the journal holds and the digest covers.
///
/// Layout: tag u8 (0 new, 1 cancel), side u8, time in force u8, reduce-only u8, instrument u16, 2 zero bytes, now i64, id u64,
/// price i64, qty i64, signal as f64 bits. A cancel has zeros where it has no field.
#[inline]
pub fn canonical_command(now: Timestamp, command: &OrderCommand) -> [u8; COMMAND_BYTES] {
    let mut bytes = [0; COMMAND_BYTES];
    match command {
        OrderCommand::New(order) => {
            bytes[1] = order.side as u8;
            bytes[2] = order.time_in_force as u8;
            bytes[3] = u8::from(order.reduce_only);
            bytes[4..6].copy_from_slice(&order.instrument.0.to_le_bytes());
            bytes[16..24].copy_from_slice(&order.id.0.to_le_bytes());
            bytes[24..32].copy_from_slice(&order.price.0.to_le_bytes());
            bytes[32..40].copy_from_slice(&order.qty.0.to_le_bytes());
            bytes[40..48].copy_from_slice(&order.signal.to_bits().to_le_bytes());
        }
        OrderCommand::Cancel { id, instrument } => {
            bytes[0] = 1;
            bytes[4..6].copy_from_slice(&instrument.0.to_le_bytes());
            bytes[16..24].copy_from_slice(&id.0.to_le_bytes());
        }
    }
    bytes[8..16].copy_from_slice(&now.0.to_le_bytes());
    bytes
}

/// A report as canonical little-endian bytes: what the journal holds and the digest covers.
///
/// Layout: kind u8, side u8, maker u8, 0, instrument u16, 2 zero bytes, order u64, recv i64, venue time i64, price i64, qty i64,
/// leaves i64, fee i64, 8 zero bytes.
#[inline]
pub fn canonical_report(report: &ExecutionReport) -> [u8; REPORT_BYTES] {
    let mut bytes = [0; REPORT_BYTES];
    bytes[0] = report.kind as u8;
    bytes[1] = report.side as u8;
    bytes[2] = u8::from(report.is_maker);
    bytes[4..6].copy_from_slice(&report.instrument.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&report.order.0.to_le_bytes());
    for (place, value) in [report.recv.0, report.venue_time.0, report.price.0, report.qty.0, report.leaves.0, report.fee_quote]
        .into_iter()
        .enumerate()
    {
        bytes[16 + place * 8..24 + place * 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// Reads what [`canonical_command`] wrote; `None` where the bytes are no command.
pub fn read_canonical_command(bytes: &[u8; COMMAND_BYTES]) -> Option<(Timestamp, OrderCommand)> {
    let (now, id, instrument) = (Timestamp(word(bytes, 8)), OrderId(word(bytes, 16) as u64), instrument(bytes));
    let command = match bytes[0] {
        0 => OrderCommand::New(NewOrder {
            id,
            instrument,
            side: side(bytes[1])?,
            price: Price(word(bytes, 24)),
            qty: Qty(word(bytes, 32)),
            time_in_force: match bytes[2] {
                0 => TimeInForce::GoodTilCancelled,
                1 => TimeInForce::ImmediateOrCancel,
                2 => TimeInForce::PostOnly,
                _ => return None,
            },
            reduce_only: flag(bytes[3])?,
            signal: f64::from_bits(word(bytes, 40) as u64),
        }),
        1 => OrderCommand::Cancel { id, instrument },
        _ => return None,
    };
    Some((now, command))
}

/// Reads what [`canonical_report`] wrote; `None` where the bytes are no report.
pub fn read_canonical_report(bytes: &[u8; REPORT_BYTES]) -> Option<ExecutionReport> {
    Some(ExecutionReport {
        order: OrderId(word(bytes, 8) as u64),
        instrument: instrument(bytes),
        kind: match bytes[0] {
            0 => ReportKind::Accepted,
            1 => ReportKind::Fill,
            2 => ReportKind::Cancelled,
            3 => ReportKind::Rejected,
            _ => return None,
        },
        side: side(bytes[1])?,
        is_maker: flag(bytes[2])?,
        recv: Timestamp(word(bytes, 16)),
        venue_time: Timestamp(word(bytes, 24)),
        price: Price(word(bytes, 32)),
        qty: Qty(word(bytes, 40)),
        leaves: Qty(word(bytes, 48)),
        fee_quote: word(bytes, 56),
    })
}

/// The eight bytes at a place that both layouts have.
fn word(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn instrument(bytes: &[u8]) -> InstrumentId {
    InstrumentId(u16::from_le_bytes([bytes[4], bytes[5]]))
}

fn side(byte: u8) -> Option<Side> {
    [Side::Buy, Side::Sell].into_iter().find(|side| *side as u8 == byte)
}

fn flag(byte: u8) -> Option<bool> {
    (byte < 2).then_some(byte == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn canonical_bytes_read_back(
            ids: (u64, u16), kind in 0usize..4, side in 0usize..2, flags: (bool, bool), times: (i64, i64), numbers: (i64, i64, i64, i64),
            signal: f64, in_force in 0usize..3
        ) {
            let (order, instrument, side) = (OrderId(ids.0), InstrumentId(ids.1), [Side::Buy, Side::Sell][side]);
            let (price, qty, leaves, fee_quote) = (Price(numbers.0), Qty(numbers.1), Qty(numbers.2), numbers.3);
            let kinds = [ReportKind::Accepted, ReportKind::Fill, ReportKind::Cancelled, ReportKind::Rejected];
            let report = ExecutionReport {
                order, instrument, kind: kinds[kind], side, is_maker: flags.0, recv: Timestamp(times.0), venue_time: Timestamp(times.1),
                price, qty, leaves, fee_quote,
            };
            prop_assert_eq!(read_canonical_report(&canonical_report(&report)), Some(report));
            let in_force = [TimeInForce::GoodTilCancelled, TimeInForce::ImmediateOrCancel, TimeInForce::PostOnly][in_force];
            let new = OrderCommand::New(NewOrder {
                id: order, instrument, side, price, qty, time_in_force: in_force, reduce_only: flags.1, signal,
            });
            for command in [new, OrderCommand::Cancel { id: order, instrument }] {
                prop_assert_eq!(read_canonical_command(&canonical_command(Timestamp(times.0), &command)), Some((Timestamp(times.0), command)));
            }
        }

        #[test]
        fn no_bytes_panic(command: [u8; 32], rest: [u8; 40]) {
            let bytes: [u8; REPORT_BYTES] = std::array::from_fn(|place| if place < 32 { command[place] } else { rest[place - 32] });
            let _ = read_canonical_report(&bytes);
            let _ = read_canonical_command(&std::array::from_fn(|place| bytes[place]));
        }
    }
}
