//! The limits block: what is set, what a change of it changed, and its hash.

use chronos_market::{INSTRUMENTS_MAX, NANOS_PER_MILLI, NANOS_PER_SECOND, PRICE_SCALE, Price, Qty};
use sha2::{Digest, Sha256};

/// Limits, all inclusive: an order that just reaches one passes. Amounts of money are in quote currency, units of 1e-9.
///
/// The largest value of a field's type is no limit; a window of 0 turns off what it belongs to. The block is plain memory: it can
/// be replaced as a whole between two events, see [`Risk::set_limits`](super::Risk::set_limits).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RiskLimits {
    /// Largest quantity of one order.
    pub order_qty_max: Qty,
    /// Largest value of one order.
    pub order_notional_quote_max: i128,
    /// Furthest an order's price may be from the mid price on the costly side, in basis points.
    pub collar_bps: i64,
    /// Largest value of the net position an instrument's open orders could lead to.
    pub position_notional_quote_max: i128,
    /// Most orders open at once, over all instruments; at most [`OPEN_ORDERS_MAX`](crate::account::OPEN_ORDERS_MAX).
    pub open_orders_max: usize,
    /// Most orders sent within any one second of logical time; at most [`RATE_MAX`].
    pub orders_per_second_max: usize,
    /// Oldest a book may be, in nanoseconds since its last change.
    pub stale_after_ns: i64,
    /// Largest loss of the session, fees included; beyond it trading halts.
    pub loss_quote_max: i128,
    /// Largest gross position of an instrument: what is held and all open orders of both sides.
    pub position_gross_notional_quote_max: i128,
    /// Largest value of all positions together that open orders could lead to.
    pub exposure_notional_quote_max: i128,
    /// Money at the beginning. With it the margin of contracts (value over `leverage_max`), and on spot the cash for what is bought
    /// and the coins for what is sold, must be there. Coins that margin inverse contracts count at their value.
    pub balance_quote: i128,
    /// Value of positions in contracts for each unit of money, 1 to 1,000; spot is always paid in full.
    pub leverage_max: i64,
    /// Most orders open at once on one instrument.
    pub open_orders_per_instrument_max: usize,
    /// Most instruments with a position or an open order.
    pub open_positions_max: usize,
    /// Largest value traded within `turnover_window_ns`, open orders counted.
    pub turnover_quote_max: i128,
    /// The window of the turnover, kept in steps of a sixteenth; the step that leaves it counts until it is wholly out.
    pub turnover_window_ns: i64,
    /// Most orders and cancels within any one second; at most [`RATE_MAX`]. Cancels count and are never refused.
    pub messages_per_second_max: usize,
    /// Most orders and cancels within `message_window_ns`; at most [`RATE_MAX`].
    pub messages_per_window_max: usize,
    /// The longer window.
    pub message_window_ns: i64,
    /// Within this time no two orders of an instrument may have the same side, price and quantity. The newest
    /// [`DUPLICATES_KEPT`](super::DUPLICATES_KEPT) orders of an instrument are remembered.
    pub duplicate_window_ns: i64,
    /// Whether an order that would meet one of our own is refused.
    pub refuse_self_trade: bool,
    /// Most fills of one order within `fill_window_ns`; at most [`FILLS_MAX`](super::FILLS_MAX). More halt trading.
    pub fills_per_order_max: usize,
    /// Most fills of one strategy within `fill_window_ns`; at most [`FILLS_MAX`](super::FILLS_MAX). More halt trading.
    pub fills_per_strategy_max: usize,
    /// The window for fills.
    pub fill_window_ns: i64,
    /// Furthest the difference between receive time and the venue's time may be from its own slow mean, in nanoseconds.
    pub clock_offset_ns_max: i64,
    /// The period of the reference price, which is the mean of the mid prices that began its last eight steps.
    pub period_ns: i64,
    /// Furthest an order's price may be from the reference price on the costly side, in basis points.
    pub period_collar_bps: i64,
    /// Furthest the mid price may be from the reference price, in basis points.
    pub market_move_bps: i64,
    /// Largest move of the mid price within `pause_window_ns`, low to high, in basis points of the low; beyond it a pause begins.
    pub pause_move_bps: i64,
    /// The window of that move, kept in eight steps.
    pub pause_window_ns: i64,
    /// Length of the pause, from the last quote at which the move was too large.
    pub pause_ns: i64,
    /// Largest loss, fees included and the open position at its mark, of one trade: from flat to flat in an instrument.
    pub loss_per_trade_quote_max: i128,
    /// Losing trades in a row, over all instruments, that begin a cooldown.
    pub losses_in_a_row_max: u32,
    /// Length of the cooldown.
    pub cooldown_ns: i64,
    /// Largest loss since the beginning of the day (UTC of logical time); beyond it only closing is allowed.
    pub daily_loss_quote_max: i128,
    /// Largest fall from the highest equity; beyond it only closing is allowed.
    pub drawdown_quote_max: i128,
    /// Largest conditional drawdown at risk; beyond it only closing is allowed.
    pub cdar_quote_max: i128,
    /// Share of the samples left out of that mean, in thousandths: at 950 it is the mean of the worst 5 %.
    pub cdar_alpha_permille: u32,
    /// Time between two samples of the equity; the newest [`CDAR_SAMPLES`](super::CDAR_SAMPLES) count.
    pub cdar_sample_ns: i64,
    /// Rejects and errors of a venue's order entry within `breaker_window_ns` from which its breaker may open.
    pub breaker_failures_min: u32,
    /// Share of failures among all answers, in percent, from which it then opens.
    pub breaker_failure_percent: u32,
    /// The window of the breaker, kept in eight steps.
    pub breaker_window_ns: i64,
    /// How long it stays open before it lets orders through on trial.
    pub breaker_open_ns: i64,
    /// Orders let through on trial; it closes when so many were accepted, and opens again at the first failure.
    pub breaker_probes: u32,
    /// Whether open orders are cancelled when trading halts or a kill switch is pulled; when it is reduced, those that could make a
    /// position larger.
    pub cancel_on_halt: bool,
    /// What belongs to one instrument, by its id.
    pub instruments: [InstrumentLimits; INSTRUMENTS_MAX],
}

/// Limits of one instrument, most of them its venue's rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InstrumentLimits {
    /// Lowest price of an order.
    pub price_min: Price,
    /// Highest price of an order.
    pub price_max: Price,
    /// Smallest quantity of an order.
    pub qty_min: Qty,
    /// Largest quantity of an order.
    pub qty_max: Qty,
    /// Smallest value of an order.
    pub notional_quote_min: i128,
    /// Whether it is on the restricted list: no position may be opened.
    pub is_restricted: bool,
    /// Whether it is traded on spot: bought with cash, sold from what is held.
    pub is_spot: bool,
}

impl Default for InstrumentLimits {
    fn default() -> Self {
        InstrumentLimits {
            price_min: Price(0),
            price_max: Price(i64::MAX),
            qty_min: Qty(0),
            qty_max: Qty(i64::MAX),
            notional_quote_min: 0,
            is_restricted: false,
            is_spot: false,
        }
    }
}

impl Default for RiskLimits {
    fn default() -> Self {
        let quote = i128::from(PRICE_SCALE);
        RiskLimits {
            order_qty_max: Qty(i64::MAX),
            order_notional_quote_max: 10_000 * quote,
            collar_bps: 50,
            position_notional_quote_max: 20_000 * quote,
            open_orders_max: 16,
            orders_per_second_max: 20,
            stale_after_ns: 2 * NANOS_PER_SECOND,
            loss_quote_max: 1_000 * quote,
            position_gross_notional_quote_max: i128::MAX,
            exposure_notional_quote_max: i128::MAX,
            balance_quote: i128::MAX,
            leverage_max: 1,
            open_orders_per_instrument_max: usize::MAX,
            open_positions_max: usize::MAX,
            turnover_quote_max: i128::MAX,
            turnover_window_ns: 3_600 * NANOS_PER_SECOND,
            messages_per_second_max: usize::MAX,
            messages_per_window_max: usize::MAX,
            message_window_ns: 10 * NANOS_PER_SECOND,
            duplicate_window_ns: 0,
            refuse_self_trade: true,
            fills_per_order_max: usize::MAX,
            fills_per_strategy_max: usize::MAX,
            fill_window_ns: NANOS_PER_SECOND,
            clock_offset_ns_max: i64::MAX,
            period_ns: 60 * NANOS_PER_SECOND,
            period_collar_bps: i64::MAX,
            market_move_bps: i64::MAX,
            pause_move_bps: i64::MAX,
            pause_window_ns: 10 * NANOS_PER_SECOND,
            pause_ns: 30 * NANOS_PER_SECOND,
            loss_per_trade_quote_max: i128::MAX,
            losses_in_a_row_max: u32::MAX,
            cooldown_ns: 60 * NANOS_PER_SECOND,
            daily_loss_quote_max: i128::MAX,
            drawdown_quote_max: i128::MAX,
            cdar_quote_max: i128::MAX,
            cdar_alpha_permille: 950,
            cdar_sample_ns: NANOS_PER_SECOND,
            breaker_failures_min: u32::MAX,
            breaker_failure_percent: 50,
            breaker_window_ns: 10 * NANOS_PER_SECOND,
            breaker_open_ns: 5_000 * NANOS_PER_MILLI,
            breaker_probes: 1,
            cancel_on_halt: true,
            instruments: [InstrumentLimits::default(); INSTRUMENTS_MAX],
        }
    }
}

/// The largest number of orders or messages within a window that can be asked for: a larger limit is held at it, the largest
/// `usize` is no limit.
pub const RATE_MAX: usize = 4_096;

/// A field as a number, so that blocks can be compared, hashed and journaled.
trait AsNumber: Copy {
    fn number(self) -> i128;
    /// `None` where the number is out of range.
    fn of(number: i128) -> Option<Self>;
}

macro_rules! as_number {
    ($($kind:ty),+) => {
        $(impl AsNumber for $kind {
            fn number(self) -> i128 {
                self as i128
            }

            fn of(number: i128) -> Option<$kind> {
                <$kind>::try_from(number).ok()
            }
        })+
    };
}
as_number!(i64, i128, usize, u32);

impl AsNumber for bool {
    fn number(self) -> i128 {
        i128::from(self)
    }

    fn of(number: i128) -> Option<bool> {
        [false, true].into_iter().find(|known| known.number() == number)
    }
}

impl AsNumber for Price {
    fn number(self) -> i128 {
        self.0.number()
    }

    fn of(number: i128) -> Option<Price> {
        AsNumber::of(number).map(Price)
    }
}

impl AsNumber for Qty {
    fn number(self) -> i128 {
        self.0.number()
    }

    fn of(number: i128) -> Option<Qty> {
        AsNumber::of(number).map(Qty)
    }
}

/// Names and numbers of the fields. Taking the block apart by all its fields makes the compiler find one that was left out.
macro_rules! fields {
    ($block:ident { $($name:ident)+ } $({ $rest:ident })?) => {
        impl $block {
            /// Names of the fields in the order of their numbers in journals. New ones come last.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($name),)+];

            fn numbers(&self) -> [i128; $block::FIELDS.len()] {
                let $block { $($name,)+ $($rest: _)? } = *self;
                [$($name.number(),)+]
            }

            /// Sets a field by its place; `None` where there is none, or the number is none of its kind.
            fn set_number(&mut self, field: usize, number: i128) -> Option<()> {
                let mut places = 0..;
                $(if places.next() == Some(field) {
                    self.$name = AsNumber::of(number)?;
                    return Some(());
                })+
                None
            }
        }
    };
}

#[rustfmt::skip]
fields! {
    RiskLimits {
        order_qty_max order_notional_quote_max collar_bps position_notional_quote_max open_orders_max orders_per_second_max
        stale_after_ns loss_quote_max position_gross_notional_quote_max exposure_notional_quote_max balance_quote leverage_max
        open_orders_per_instrument_max open_positions_max turnover_quote_max turnover_window_ns messages_per_second_max
        messages_per_window_max message_window_ns duplicate_window_ns refuse_self_trade fills_per_order_max fills_per_strategy_max
        fill_window_ns clock_offset_ns_max period_ns period_collar_bps market_move_bps pause_move_bps pause_window_ns pause_ns
        loss_per_trade_quote_max losses_in_a_row_max cooldown_ns daily_loss_quote_max drawdown_quote_max cdar_quote_max
        cdar_alpha_permille cdar_sample_ns breaker_failures_min breaker_failure_percent breaker_window_ns breaker_open_ns
        breaker_probes cancel_on_halt
    } { instruments }
}

#[rustfmt::skip]
fields! {
    InstrumentLimits {
        price_min price_max qty_min qty_max notional_quote_min is_restricted is_spot
    }
}

/// One field that a change of limits changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitChange {
    /// The field's place in `RiskLimits::FIELDS`, or where there is an instrument in `InstrumentLimits::FIELDS`.
    pub field: u16,
    /// The instrument, where the field is one's own.
    pub instrument: Option<u16>,
    /// What it was.
    pub old: i128,
    /// What it is.
    pub new: i128,
}

impl LimitChange {
    /// The field's name.
    pub fn name(&self) -> &'static str {
        let names = if self.instrument.is_some() { InstrumentLimits::FIELDS } else { RiskLimits::FIELDS };
        names.get(usize::from(self.field)).copied().unwrap_or("unknown")
    }
}

impl RiskLimits {
    /// SHA-256 over every field as a little-endian 128-bit number, in order, then those of each instrument.
    pub fn hash(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        self.numbers().iter().for_each(|number| digest.update(number.to_le_bytes()));
        for instrument in &self.instruments {
            instrument.numbers().iter().for_each(|number| digest.update(number.to_le_bytes()));
        }
        digest.finalize().into()
    }

    /// What a change from this block to `new` changes, in order.
    pub fn changes(&self, new: &RiskLimits) -> impl Iterator<Item = LimitChange> {
        let whole = differences(self.numbers(), new.numbers(), None);
        let instruments = self.instruments.iter().zip(new.instruments).enumerate();
        whole.chain(instruments.flat_map(|(place, (old, new))| differences(old.numbers(), new.numbers(), Some(place as u16))))
    }

    /// This block with changes made; `None` where one of them names no field, or a value that is none.
    pub fn with_changes(&self, changes: impl IntoIterator<Item = LimitChange>) -> Option<RiskLimits> {
        let mut limits = *self;
        for change in changes {
            let field = usize::from(change.field);
            match change.instrument {
                None => limits.set_number(field, change.new)?,
                Some(id) => limits.instruments.get_mut(usize::from(id))?.set_number(field, change.new)?,
            }
        }
        Some(limits)
    }

    /// This block on the way to `new`: with as many of the changes, in order, as one record holds.
    pub(crate) fn step_towards(&self, new: &RiskLimits) -> RiskLimits {
        // Every change between two blocks can be made.
        self.with_changes(self.changes(new).take(CHANGE_FIELDS_MAX)).unwrap_or(*new)
    }
}

fn differences<const N: usize>(old: [i128; N], new: [i128; N], instrument: Option<u16>) -> impl Iterator<Item = LimitChange> {
    let pairs = old.into_iter().zip(new).enumerate();
    pairs.filter(|(_, (old, new))| old != new).map(move |(field, (old, new))| LimitChange {
        field: field as u16,
        instrument,
        old,
        new,
    })
}

/// Bytes of a change of limits in the journal before its fields.
const CHANGE_HEADER: usize = 72;
/// Bytes of one field.
const CHANGE_FIELD: usize = 40;
/// Most fields that one record holds.
const CHANGE_FIELDS_MAX: usize = 100;
/// Longest [`LimitsRecord`].
pub(crate) const CHANGE_BYTES_MAX: usize = CHANGE_HEADER + CHANGE_FIELDS_MAX * CHANGE_FIELD;

/// A change of limits as the journal holds it. A change of more than 100 fields is journaled as several, see
/// [`Trade::set_limits`](crate::topology::Trade::set_limits).
///
/// Layout, little-endian: hash of the old block 32 bytes, of the new one 32, number of changed fields u32, 4 zero bytes, then for
/// each of the first 100: field u16, instrument u16 (0xffff where it is nobody's own), 4 zero bytes, old i128, new i128.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitsRecord {
    bytes: [u8; CHANGE_BYTES_MAX],
    len: usize,
}

impl LimitsRecord {
    /// The record of a change.
    pub fn of(old: &RiskLimits, new: &RiskLimits) -> LimitsRecord {
        let mut bytes = [0; CHANGE_BYTES_MAX];
        bytes[..32].copy_from_slice(&old.hash());
        bytes[32..64].copy_from_slice(&new.hash());
        let mut count = 0u32;
        for change in old.changes(new) {
            let at = CHANGE_HEADER + count as usize * CHANGE_FIELD;
            if let Some(room) = bytes.get_mut(at..at + CHANGE_FIELD) {
                room[..2].copy_from_slice(&change.field.to_le_bytes());
                room[2..4].copy_from_slice(&change.instrument.unwrap_or(u16::MAX).to_le_bytes());
                room[8..24].copy_from_slice(&change.old.to_le_bytes());
                room[24..40].copy_from_slice(&change.new.to_le_bytes());
            }
            count += 1;
        }
        bytes[64..68].copy_from_slice(&count.to_le_bytes());
        LimitsRecord { bytes, len: CHANGE_HEADER + (count as usize).min(CHANGE_FIELDS_MAX) * CHANGE_FIELD }
    }

    /// The payload.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Reads a record; `None` where the bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<LimitsRecord> {
        let count = bytes.get(64..CHANGE_HEADER)?;
        let count = u32::from_le_bytes(*count.first_chunk()?) as usize;
        let len = bytes.len();
        let mut record = LimitsRecord { bytes: [0; CHANGE_BYTES_MAX], len };
        record.bytes.get_mut(..len)?.copy_from_slice(bytes);
        (len == CHANGE_HEADER + count.min(CHANGE_FIELDS_MAX) * CHANGE_FIELD).then_some(record)
    }

    /// Hash of the block before the change, and of the one after it.
    pub fn hashes(&self) -> [[u8; 32]; 2] {
        [0, 32].map(|from| std::array::from_fn(|at| self.bytes[from + at]))
    }

    /// The changed fields, in order.
    pub fn changes(&self) -> impl Iterator<Item = LimitChange> + '_ {
        self.as_bytes()[CHANGE_HEADER..].chunks_exact(CHANGE_FIELD).map(|field| {
            let short = |at: usize| u16::from_le_bytes([field[at], field[at + 1]]);
            let long = |at: usize| i128::from_le_bytes(std::array::from_fn(|index| field[at + index]));
            LimitChange { field: short(0), instrument: Some(short(2)).filter(|id| *id != u16::MAX), old: long(8), new: long(24) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_changes_the_hash_and_is_told() {
        let old = RiskLimits::default();
        let mut new = old;
        new.collar_bps = 7;
        new.cancel_on_halt = false;
        new.instruments[3].is_restricted = true;
        new.instruments[63].qty_min = Qty(5);
        assert_ne!(old.hash(), new.hash());
        let told: Vec<_> = old.changes(&new).map(|change| (change.name(), change.instrument, change.old, change.new)).collect();
        let expected = [
            ("collar_bps", None, 50, 7),
            ("cancel_on_halt", None, 1, 0),
            ("is_restricted", Some(3), 0, 1),
            ("qty_min", Some(63), 0, 5),
        ];
        assert_eq!(told, expected);
        let record = LimitsRecord::of(&old, &new);
        assert_eq!(record.hashes(), [old.hash(), new.hash()]);
        let changes: Vec<LimitChange> = record.changes().collect();
        assert_eq!(changes, old.changes(&new).collect::<Vec<_>>());
        assert_eq!(old.with_changes(changes), Some(new));
        assert_eq!(LimitsRecord::of(&old, &old).as_bytes().len(), CHANGE_HEADER);
        assert_eq!(LimitsRecord::from_bytes(record.as_bytes()), Some(record));
        assert_eq!(LimitsRecord::from_bytes(&record.as_bytes()[..record.len - 1]), None);
        assert_eq!(LimitsRecord::from_bytes(&[0xff; 5_000]), None);
    }

    #[test]
    fn every_field_is_set_by_its_number_and_no_other_value_is_taken() {
        let old = RiskLimits::default();
        for field in 0..RiskLimits::FIELDS.len() as u16 {
            let change = |new| [LimitChange { field, instrument: None, old: 0, new }];
            let new = [0, 1].map(|new| old.with_changes(change(new)).expect("of every kind"));
            let told: Vec<LimitChange> = new[0].changes(&new[1]).collect();
            assert_eq!(told, change(1), "{}", RiskLimits::FIELDS[usize::from(field)]);
        }
        for (field, instrument, new) in [(999, None, 0), (0, Some(64), 0), (99, Some(0), 0), (0, None, i128::MAX), (5, Some(0), 2)]
        {
            assert_eq!(old.with_changes([LimitChange { field, instrument, old: 0, new }]), None);
        }
    }

    #[test]
    fn more_changes_than_a_record_holds_are_made_in_steps() {
        let old = RiskLimits::default();
        let mut new = RiskLimits { collar_bps: 7, ..old };
        for limits in &mut new.instruments {
            (limits.is_spot, limits.is_restricted) = (!limits.is_spot, !limits.is_restricted);
        }
        let step = old.step_towards(&new);
        assert_eq!((old.changes(&step).count(), step.changes(&new).count()), (CHANGE_FIELDS_MAX, 29));
        assert!(old.changes(&step).eq(old.changes(&new).take(CHANGE_FIELDS_MAX)));
        assert_eq!(step.step_towards(&new), new);
    }
}
