//! What the pass knows of one instrument: its contract, its market, our orders in it.

use super::checks::{FailedChecks, RiskCheck};
use super::divisor::Divisor;
use super::limits::{InstrumentLimits, RiskLimits};
use super::windows::PriceWindow;
use super::{COLLAR_SCALE, RAW_SCALE};
use crate::account::Account;
use chronos_market::{Bbo, BookState, Contract, Instrument, InstrumentId, QTY_SCALE, Side, Timestamp};

/// The newest orders of an instrument that are remembered to tell duplicates.
pub const DUPLICATES_KEPT: usize = 16;

/// A collar from which on it is none.
const COLLAR_NONE: i64 = 1 << 40;
/// Largest quantity of which four can be added in 64 bits.
const NARROW_MAX: i64 = 1 << 60;

/// Positions that an order could lead to, open orders counted. Quantities are held at 64 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Absolute, if all on its side and itself filled.
    pub(super) worst: i64,
    /// Absolute, the larger of that and of all on the other side.
    pub(super) largest: i64,
    /// What is held, all open orders, and itself.
    pub(super) gross: i64,
    /// Whether it goes against the position and not beyond flat.
    pub(super) reduces: bool,
    /// Whether it goes beyond `reach_bound`.
    pub(super) is_beyond: bool,
}

/// Values are held at this, far above every limit, so that sums over all instruments cannot overflow.
pub(super) const RAW_MAX: i128 = 1 << 110;

/// One instrument. Values are raw: price times quantity, in units of 1e-17 of the quote currency, so that nothing is divided.
#[derive(Debug)]
pub(super) struct Line {
    /// Checks that fail as long as something stands: see `set`.
    pub(super) standing: FailedChecks,
    /// Twice the mid price; 0 without one.
    pub(super) twice_mid: u64,
    pub(super) changed: Timestamp,
    pub(super) paused_until: Timestamp,
    /// Bounds by side. A price fails where it is beyond its bound in the direction of the side: a sell's numbers are negated, so that
    /// both sides compare alike. Of the collar, in units of 1e-4 of a half price.
    pub(super) collar_bound: [i128; 2],
    pub(super) period_bound: [i64; 2],
    /// Just before the best of our own orders on the other side.
    pub(super) own_bound: [i64; 2],
    /// Largest position in the direction of the side; of a spot sell none.
    reach_bound: [i64; 2],
    pub(super) tick: Divisor,
    pub(super) lot: Divisor,
    pub(super) price_min: i64,
    pub(super) price_max: i64,
    pub(super) qty_min: i64,
    pub(super) qty_max: i64,
    /// Smallest raw value.
    pub(super) value_min: i128,
    pub(super) venue: usize,
    /// Raw margin of a raw value, 1 for contracts and the leverage for spot: so margin need not be divided by the leverage.
    pub(super) margin_weight: i128,
    /// Inverse: quote currency in a contract. Linear: 0.
    contract_quote: i64,
    /// Linear: base coin in one unit of quantity.
    multiplier: i64,

    pub(super) position: i64,
    /// Quantity of open orders by side.
    open_qty: [i128; 2],
    /// The same where `is_narrow`: where position and open orders are so small that sums of them need no more than 64 bits.
    narrow_qty: [i64; 2],
    is_narrow: bool,
    pub(super) open_count: usize,
    open_orders_max: usize,
    /// Raw value of open orders at their prices.
    pub(super) open_value: i128,
    /// Raw value, at the mark, of the largest position that open orders could lead to, and its margin.
    pub(super) value: i128,
    pub(super) margin: i128,
    mark: i64,

    bbo: Bbo,
    book: BookState,
    duplicates: Duplicates,
    period: PriceWindow,
    pause: PriceWindow,
    clock: Option<ClockOffset>,
}

/// Slow mean of receive time less the venue's time.
#[derive(Clone, Copy, Debug)]
struct ClockOffset {
    mean_ns: f64,
    at: Timestamp,
}

/// Time constant of that mean.
const CLOCK_MEAN_NS: f64 = 60e9;

/// The newest orders, told apart by a short key first.
#[derive(Debug)]
struct Duplicates {
    keys: [u32; DUPLICATES_KEPT],
    orders: [(Side, i64, i64, Timestamp); DUPLICATES_KEPT],
    next: usize,
}

impl Line {
    pub(super) fn new(instrument: &Instrument) -> Line {
        let (contract_quote, multiplier) = match instrument.contract {
            Contract::Linear { multiplier } => (0, multiplier.0.max(0)),
            Contract::Inverse { contract_quote } => (contract_quote.0.max(0), QTY_SCALE),
        };
        Line {
            standing: FailedChecks::of(RiskCheck::Unsynced),
            twice_mid: 0,
            changed: Timestamp::MIN,
            paused_until: Timestamp::MIN,
            collar_bound: [i128::MAX; 2],
            period_bound: [i64::MAX; 2],
            own_bound: [i64::MAX; 2],
            reach_bound: [i64::MAX; 2],
            tick: Divisor::new(instrument.tick.0),
            lot: Divisor::new(instrument.lot.0),
            price_min: 0,
            price_max: i64::MAX,
            qty_min: 0,
            qty_max: i64::MAX,
            value_min: 0,
            venue: instrument.exchange as usize,
            margin_weight: 1,
            contract_quote,
            multiplier,
            position: 0,
            open_qty: [0; 2],
            narrow_qty: [0; 2],
            is_narrow: true,
            open_count: 0,
            open_orders_max: usize::MAX,
            open_value: 0,
            value: 0,
            margin: 0,
            mark: 0,
            bbo: Bbo::default(),
            book: BookState::Unsynced,
            duplicates: Duplicates {
                keys: [0; DUPLICATES_KEPT],
                orders: [(Side::Buy, 0, 0, Timestamp::MIN); DUPLICATES_KEPT],
                next: 0,
            },
            period: PriceWindow::new(0),
            pause: PriceWindow::new(0),
            clock: None,
        }
    }

    /// Puts limits in force. Windows begin anew where their length changes.
    pub(super) fn set_limits(&mut self, limits: &RiskLimits, own: &InstrumentLimits, old: Option<&RiskLimits>) {
        let has_balance = limits.balance_quote != i128::MAX;
        (self.price_min, self.price_max) = (own.price_min.0, own.price_max.0);
        (self.qty_min, self.qty_max) = (own.qty_min.0, own.qty_max.0);
        self.value_min = own.notional_quote_min.saturating_mul(RAW_SCALE);
        self.reach_bound[Side::Sell as usize] = if own.is_spot && has_balance { 0 } else { i64::MAX };
        self.open_orders_max = limits.open_orders_per_instrument_max;
        self.set_full();
        self.margin_weight = if own.is_spot { i128::from(limits.leverage_max.clamp(1, 1_000)) } else { 1 };
        self.set(RiskCheck::Restricted, own.is_restricted);
        if old.is_none_or(|old| old.period_ns != limits.period_ns) {
            self.period = PriceWindow::new(limits.period_ns);
        }
        if old.is_none_or(|old| old.pause_window_ns != limits.pause_window_ns) {
            self.pause = PriceWindow::new(limits.pause_window_ns);
        }
        self.set_value();
        self.set_collar(limits);
        self.set_reference(limits);
        self.set_move(limits);
        if limits.loss_per_trade_quote_max == i128::MAX {
            self.set(RiskCheck::LossPerTrade, false);
        }
        if limits.clock_offset_ns_max == i64::MAX {
            self.set(RiskCheck::ClockOffset, false);
            self.clock = None;
        }
    }

    /// Notes that a check fails from here on, or no longer. Returns whether that is a change.
    #[inline]
    pub(super) fn set(&mut self, check: RiskCheck, is_failed: bool) -> bool {
        let changes = self.standing.contains(check) != is_failed;
        self.standing = self.standing.without(FailedChecks::of(check)).or(FailedChecks::when(check, is_failed));
        changes
    }

    /// Raw value of a quantity at a price.
    #[inline]
    pub(super) fn raw_value(&self, price: i64, qty: i64) -> i128 {
        let price = if self.contract_quote != 0 { self.contract_quote } else { price };
        let qty = if self.multiplier == QTY_SCALE { qty } else { scaled(qty, self.multiplier) };
        i128::from(price) * i128::from(qty)
    }

    /// The positions that an order could lead to.
    #[inline]
    pub(super) fn reach(&self, side: Side, qty: i64) -> Reach {
        let (with, against) = (side as usize, side.opposite() as usize);
        if !self.is_narrow || qty > NARROW_MAX {
            return self.wide_reach(side, qty);
        }
        let held = self.position * side.sign();
        let worst = held + self.narrow_qty[with] + qty;
        let other = held - self.narrow_qty[against];
        Reach {
            worst: worst.abs(),
            largest: worst.abs().max(other.abs()),
            gross: held.abs() + self.narrow_qty[with] + self.narrow_qty[against] + qty,
            reduces: (held < 0) & (worst <= 0),
            is_beyond: worst > self.reach_bound[with],
        }
    }

    #[cold]
    fn wide_reach(&self, side: Side, qty: i64) -> Reach {
        let (with, against) = (side as usize, side.opposite() as usize);
        let held = i128::from(self.position) * i128::from(side.sign());
        let worst = held + self.open_qty[with] + i128::from(qty);
        let other = held - self.open_qty[against];
        let narrow = |qty: i128| i64::try_from(qty).unwrap_or(i64::MAX);
        Reach {
            worst: narrow(worst.abs()),
            largest: narrow(worst.abs().max(other.abs())),
            gross: narrow(held.abs() + self.open_qty[with] + self.open_qty[against] + i128::from(qty)),
            reduces: held < 0 && worst <= 0,
            is_beyond: self.reach_bound[with] != i64::MAX && worst > i128::from(self.reach_bound[with]),
        }
    }

    /// Raw value, held at the largest that sums allow, of a quantity that may be beyond 64 bits.
    #[inline]
    pub(super) fn held_value(&self, price: i64, qty: i128) -> i128 {
        self.raw_value(price, i64::try_from(qty).unwrap_or(i64::MAX)).clamp(0, RAW_MAX)
    }

    /// Whether there is a position or may be one.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.position != 0 || self.open_count != 0
    }

    /// Largest absolute position that open orders could lead to.
    #[inline]
    pub(super) fn worst(&self) -> i128 {
        let [buys, sells] = self.open_qty;
        (i128::from(self.position) + buys).abs().max((i128::from(self.position) - sells).abs())
    }

    pub(super) fn bbo(&self) -> Bbo {
        self.bbo
    }

    pub(super) fn book(&self) -> BookState {
        self.book
    }

    /// Takes the best prices. Returns whether a pause begins.
    #[inline]
    pub(super) fn on_quote(&mut self, now: Timestamp, bbo: Bbo, limits: &RiskLimits) -> bool {
        self.bbo = bbo;
        self.set_usable();
        self.set_collar(limits);
        if self.twice_mid == 0 {
            return false;
        }
        let mid = (self.twice_mid / 2) as i64;
        self.mark = mid;
        self.set_value();
        let has_period = limits.period_collar_bps != i64::MAX || limits.market_move_bps != i64::MAX;
        if has_period {
            if self.period.push(now, mid) {
                self.set_reference(limits);
            }
            self.set_move(limits);
        }
        limits.pause_move_bps != i64::MAX && self.moves_too_far(now, mid, limits)
    }

    /// Sets the prices that the collar allows. No mid price, no collar.
    #[inline]
    fn set_collar(&mut self, limits: &RiskLimits) {
        let (mid, share) = (i128::from(self.twice_mid), limits.collar_bps.clamp(0, COLLAR_NONE));
        let (scale, has_collar) = (i128::from(COLLAR_SCALE), (mid != 0) & (share != COLLAR_NONE));
        let bounds = [mid * (scale + i128::from(share)), mid * (i128::from(share) - scale)];
        self.collar_bound = if has_collar { bounds } else { [i128::MAX; 2] };
    }

    pub(super) fn on_book_state(&mut self, book: BookState) {
        self.book = book;
        self.set_usable();
    }

    fn set_usable(&mut self) {
        let Bbo { bid, ask } = self.bbo;
        let has_mid = self.bbo.is_two_sided() && bid.price.0 > 0 && ask.price.0 > 0;
        self.twice_mid = if has_mid { bid.price.0 as u64 + ask.price.0 as u64 } else { 0 };
        self.set(RiskCheck::Unsynced, !has_mid || self.book != BookState::Synced);
    }

    /// Sets the prices that the period collar allows. No reference, no collar.
    fn set_reference(&mut self, limits: &RiskLimits) {
        let reference = self.period.reference();
        self.period_bound = [i64::MAX; 2];
        if limits.period_collar_bps != i64::MAX && reference.count > 0 {
            let share = i128::from(limits.period_collar_bps.max(0));
            let scale = i128::from(COLLAR_SCALE);
            let over = reference.sum.saturating_mul(scale + share) / (reference.count * scale);
            let under = reference.sum.saturating_mul(scale - share).div_euclid(reference.count * scale);
            let is_whole = reference.sum.saturating_mul(scale - share).rem_euclid(reference.count * scale) == 0;
            let sell_min = under + i128::from(!is_whole);
            self.period_bound = [over, -sell_min].map(|bound| i64::try_from(bound).unwrap_or(i64::MAX));
        }
    }

    fn set_move(&mut self, limits: &RiskLimits) {
        let reference = self.period.reference();
        let is_far = limits.market_move_bps != i64::MAX && reference.count > 0 && {
            let off = (i128::from(self.mark) * reference.count - reference.sum).abs();
            off * i128::from(COLLAR_SCALE) > reference.sum.saturating_mul(i128::from(limits.market_move_bps.max(0)))
        };
        self.set(RiskCheck::MarketMove, is_far);
    }

    fn moves_too_far(&mut self, now: Timestamp, mid: i64, limits: &RiskLimits) -> bool {
        self.pause.push(now, mid);
        let (low, high) = self.pause.range();
        let moved = (i128::from(high) - i128::from(low)) * i128::from(COLLAR_SCALE);
        if moved <= i128::from(low) * i128::from(limits.pause_move_bps.max(0)) {
            return false;
        }
        let begins = now >= self.paused_until;
        self.paused_until = now.plus_nanos(limits.pause_ns);
        begins
    }

    /// Takes the venue's time of something received at `now`.
    pub(super) fn on_clock(&mut self, now: Timestamp, exchange_ns: i64, limits: &RiskLimits) {
        let offset_ns = now.0.saturating_sub(exchange_ns) as f64;
        let clock = self.clock.get_or_insert(ClockOffset { mean_ns: offset_ns, at: now });
        let off_ns = offset_ns - clock.mean_ns;
        let elapsed_ns = now.since_ns(clock.at).max(0) as f64;
        clock.mean_ns += off_ns * (elapsed_ns / CLOCK_MEAN_NS).min(1.0);
        clock.at = now;
        self.set(RiskCheck::ClockOffset, off_ns.abs() > limits.clock_offset_ns_max as f64);
    }

    /// Notes an order as open from the moment it is sent.
    #[inline]
    pub(super) fn on_sent(&mut self, now: Timestamp, side: Side, price: i64, qty: i64) {
        self.count_open(side, price, qty);
        self.set_value();
        self.duplicates.push(now, side, price, qty);
    }

    /// Takes position and open orders from the account.
    pub(super) fn set_from(&mut self, id: InstrumentId, account: &Account) {
        (self.open_qty, self.open_count, self.open_value) = ([0; 2], 0, 0);
        self.own_bound = [i64::MAX; 2];
        self.position = account.position(id).0;
        self.set_narrow();
        for open in account.open_orders().iter().filter(|open| open.order.instrument == id) {
            self.count_open(open.order.side, open.order.price.0, open.leaves.0);
        }
        self.set_full();
        if self.mark == 0 {
            self.mark = account.mark(id).0;
        }
        self.set_value();
    }

    #[inline]
    fn count_open(&mut self, side: Side, price: i64, qty: i64) {
        self.open_count += 1;
        self.open_value = (self.open_value + self.held_value(price, i128::from(qty))).min(RAW_MAX);
        self.open_qty[side as usize] += i128::from(qty);
        // A sell at 101 is met by a buy beyond 100.
        let bound = &mut self.own_bound[side.opposite() as usize];
        *bound = (*bound).min(price.saturating_mul(-side.sign()).saturating_sub(1));
        self.set_narrow();
        self.set_full();
    }

    #[inline]
    fn set_value(&mut self) {
        self.value = self.held_value(self.mark, self.worst());
        self.margin = self.value * self.margin_weight;
    }

    #[inline]
    fn set_narrow(&mut self) {
        let [buys, sells] = self.open_qty;
        let is_narrow = |qty: i128| (0..i128::from(NARROW_MAX)).contains(&qty);
        self.is_narrow = is_narrow(i128::from(self.position).abs()) && is_narrow(buys) && is_narrow(sells);
        self.narrow_qty = [buys as i64, sells as i64];
    }

    #[inline]
    fn set_full(&mut self) {
        self.set(RiskCheck::OpenOrdersInstrument, self.open_count >= self.open_orders_max);
    }

    /// Whether such an order was sent less than `window_ns` ago.
    #[inline]
    pub(super) fn is_duplicate(&self, now: Timestamp, side: Side, price: i64, qty: i64, window_ns: i64) -> bool {
        let key = Duplicates::key(side, price, qty);
        let is_likely = self.duplicates.keys.iter().fold(false, |any, other| any | (*other == key));
        is_likely && self.duplicates.contains(now, side, price, qty, window_ns)
    }
}

impl Duplicates {
    #[inline]
    fn key(side: Side, price: i64, qty: i64) -> u32 {
        let mixed = (price as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (qty as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (mixed >> 32) as u32 ^ side as u32
    }

    #[inline]
    fn push(&mut self, now: Timestamp, side: Side, price: i64, qty: i64) {
        self.keys[self.next] = Duplicates::key(side, price, qty);
        self.orders[self.next] = (side, price, qty, now);
        self.next = (self.next + 1) % DUPLICATES_KEPT;
    }

    #[cold]
    fn contains(&self, now: Timestamp, side: Side, price: i64, qty: i64, window_ns: i64) -> bool {
        self.orders.iter().any(|&(of_side, at_price, of_qty, at)| {
            (of_side, at_price, of_qty) == (side, price, qty) && at != Timestamp::MIN && now.since_ns(at) < window_ns
        })
    }
}

/// Base coin in a quantity of contracts, held at 64 bits.
#[inline]
fn scaled(qty: i64, multiplier: i64) -> i64 {
    match qty.checked_mul(multiplier) {
        Some(product) => product / QTY_SCALE,
        None => scaled_wide(qty, multiplier),
    }
}

#[cold]
fn scaled_wide(qty: i64, multiplier: i64) -> i64 {
    let base = i128::from(qty) * i128::from(multiplier) / i128::from(QTY_SCALE);
    i64::try_from(base).unwrap_or(if base < 0 { i64::MIN } else { i64::MAX })
}
