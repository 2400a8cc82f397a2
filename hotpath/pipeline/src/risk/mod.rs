//! Pre-trade checks: one pass over a block of limits, the first check that fails names itself.
//!
//! Sent orders count at once: open orders count in full towards the position they could lead to. An order that only makes a
//! position smaller is exempt from size, notional and position limits, so that a position can always be closed, and from nothing
//! else but the `reducing` state.

use crate::account::{Account, OPEN_ORDERS_MAX, worst_position};
use crate::decision::{Control, OrderIntent};
use chronos_market::{Bbo, BookState, INSTRUMENTS_MAX, Instrument, InstrumentId, PRICE_SCALE, Price, Qty, Side, Timestamp};
use std::fmt;

/// Limits, all inclusive: an order that just reaches one passes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RiskLimits {
    /// Largest quantity of one order.
    pub order_qty_max: Qty,
    /// Largest value of one order, in quote currency, units of 1e-9.
    pub order_notional_quote_max: i128,
    /// Furthest an order's price may be from the mid price on the costly side, in basis points.
    pub collar_bps: i64,
    /// Largest value of the position an instrument's open orders could lead to, in quote currency, units of 1e-9.
    pub position_notional_quote_max: i128,
    /// Most orders open at once, over all instruments; at most [`OPEN_ORDERS_MAX`].
    pub open_orders_max: usize,
    /// Most orders sent within any one second of logical time; at most [`RATE_MAX`].
    pub orders_per_second_max: usize,
    /// Oldest a book may be, in nanoseconds since its last change.
    pub stale_after_ns: i64,
    /// Largest loss, fees included, in quote currency, units of 1e-9; beyond it the kill switch is pulled and stays so.
    pub loss_quote_max: i128,
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
            stale_after_ns: 2_000_000_000,
            loss_quote_max: 1_000 * quote,
        }
    }
}

/// The largest order rate that can be asked for.
pub const RATE_MAX: usize = 1_024;

/// A check, by the number it has in journals and reports.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum RiskCheck {
    /// The kill switch is pulled.
    KillSwitch = 0,
    /// Only orders that make a position smaller are allowed now.
    Reducing = 1,
    /// Price or quantity is not above 0, not a whole number of ticks or lots, or the instrument is unknown.
    Invalid = 2,
    /// The book is not in sync.
    Unsynced = 3,
    /// The book has not changed for too long.
    Stale = 4,
    /// A reduce-only order that would open or turn the position.
    ReduceOnly = 5,
    /// Quantity too large.
    Size = 6,
    /// Value too large.
    Notional = 7,
    /// Price too far on the costly side.
    Collar = 8,
    /// The position could become too large.
    Position = 9,
    /// Too many orders open.
    OpenOrders = 10,
    /// Too many orders within a second.
    Rate = 11,
}

impl RiskCheck {
    /// Every check, in the order they are made.
    pub const ALL: [RiskCheck; 12] = [
        RiskCheck::KillSwitch,
        RiskCheck::Reducing,
        RiskCheck::Invalid,
        RiskCheck::Unsynced,
        RiskCheck::Stale,
        RiskCheck::ReduceOnly,
        RiskCheck::Size,
        RiskCheck::Notional,
        RiskCheck::Collar,
        RiskCheck::Position,
        RiskCheck::OpenOrders,
        RiskCheck::Rate,
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            RiskCheck::KillSwitch => "kill_switch",
            RiskCheck::Reducing => "reducing",
            RiskCheck::Invalid => "invalid",
            RiskCheck::Unsynced => "unsynced",
            RiskCheck::Stale => "stale",
            RiskCheck::ReduceOnly => "reduce_only",
            RiskCheck::Size => "size",
            RiskCheck::Notional => "notional",
            RiskCheck::Collar => "collar",
            RiskCheck::Position => "position",
            RiskCheck::OpenOrders => "open_orders",
            RiskCheck::Rate => "rate",
        }
    }
}

impl fmt::Display for RiskCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the system as a whole may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum TradingState {
    /// Everything within limits.
    Active = 0,
    /// Only what makes positions smaller.
    Reducing = 1,
    /// Nothing.
    Halted = 2,
}

/// What the risk stage knows of one instrument's market.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MarketState {
    /// Best bid and ask.
    pub bbo: Bbo,
    /// Whether the book may be used.
    pub book: BookState,
    /// When the book last changed.
    pub changed: Timestamp,
}

/// The pre-trade stage.
#[derive(Debug)]
pub struct Risk {
    limits: RiskLimits,
    state: TradingState,
    markets: Vec<MarketState>,
    /// Times of the newest orders, a ring of `orders_per_second_max` places.
    sent: Vec<Timestamp>,
    next_sent: usize,
    rejects: [u64; RiskCheck::ALL.len()],
}

impl Risk {
    /// A stage with every book unsynced. Limits beyond [`OPEN_ORDERS_MAX`] and [`RATE_MAX`] are held at them.
    pub fn new(limits: RiskLimits) -> Risk {
        let limits = RiskLimits {
            open_orders_max: limits.open_orders_max.min(OPEN_ORDERS_MAX),
            orders_per_second_max: limits.orders_per_second_max.min(RATE_MAX),
            ..limits
        };
        let unknown = MarketState { bbo: Bbo::default(), book: BookState::Unsynced, changed: Timestamp::MIN };
        Risk {
            limits,
            state: TradingState::Active,
            markets: vec![unknown; INSTRUMENTS_MAX],
            sent: vec![Timestamp::MIN; limits.orders_per_second_max],
            next_sent: 0,
            rejects: [0; RiskCheck::ALL.len()],
        }
    }

    /// What the system may do now.
    pub fn state(&self) -> TradingState {
        self.state
    }

    /// Follows an order to the system. A halt is lifted only by [`Control::Resume`].
    pub fn control(&mut self, control: Control) {
        self.state = match control {
            Control::Reduce => self.state.max(TradingState::Reducing),
            Control::Halt => TradingState::Halted,
            Control::Resume => TradingState::Active,
        };
    }

    /// The market as last seen; `None` for an instrument beyond the table.
    #[inline]
    pub fn market(&self, id: InstrumentId) -> Option<&MarketState> {
        self.markets.get(id.index())
    }

    /// Notes what a frame says of the market.
    #[inline]
    pub fn on_quote(&mut self, id: InstrumentId, bbo: Bbo) {
        if let Some(market) = self.markets.get_mut(id.index()) {
            market.bbo = bbo;
        }
    }

    /// Notes that the book changed.
    #[inline]
    pub fn on_book_change(&mut self, id: InstrumentId, at: Timestamp) {
        if let Some(market) = self.markets.get_mut(id.index()) {
            market.changed = at;
        }
    }

    /// Notes whether the book may be used.
    pub fn on_book_state(&mut self, id: InstrumentId, book: BookState) {
        if let Some(market) = self.markets.get_mut(id.index()) {
            market.book = book;
        }
    }

    /// Pulls the kill switch where the loss, fees included, passes its limit. Returns whether it did just now.
    #[inline]
    pub fn on_loss(&mut self, net_quote: i128) -> bool {
        let pulls = self.state != TradingState::Halted && net_quote < -self.limits.loss_quote_max;
        if pulls {
            self.state = TradingState::Halted;
        }
        pulls
    }

    /// Checks an order that would be sent at `now`; a rejection is counted under its check.
    ///
    /// # Errors
    /// The first check that fails, in the order of [`RiskCheck::ALL`].
    #[inline]
    pub fn check(&mut self, now: Timestamp, order: &OrderIntent, account: &Account) -> Result<(), RiskCheck> {
        let verdict = self.verdict(now, order, account);
        if let Err(check) = verdict {
            self.rejects[check as usize] += 1;
        }
        verdict
    }

    /// Notes that an order was sent.
    #[inline]
    pub fn on_sent(&mut self, now: Timestamp) {
        if let Some(slot) = self.sent.get_mut(self.next_sent) {
            *slot = now;
            self.next_sent = (self.next_sent + 1) % self.sent.len();
        }
    }

    /// Rejections so far, by check.
    pub fn rejects(&self) -> impl Iterator<Item = (RiskCheck, u64)> + '_ {
        RiskCheck::ALL.into_iter().map(|check| (check, self.rejects[check as usize]))
    }

    #[inline]
    fn verdict(&self, now: Timestamp, order: &OrderIntent, account: &Account) -> Result<(), RiskCheck> {
        let limits = &self.limits;
        let fail_if = |failed: bool, check: RiskCheck| if failed { Err(check) } else { Ok(()) };
        fail_if(self.state == TradingState::Halted, RiskCheck::KillSwitch)?;
        fail_if(self.state == TradingState::Reducing && !order.reduce_only, RiskCheck::Reducing)?;
        let (Some(instrument), Some(market)) =
            (account.instruments().get(order.instrument.index()), self.markets.get(order.instrument.index()))
        else {
            return Err(RiskCheck::Invalid);
        };
        fail_if(!is_valid(instrument, order.price, order.qty), RiskCheck::Invalid)?;
        fail_if(market.book != BookState::Synced || !market.bbo.is_two_sided(), RiskCheck::Unsynced)?;
        fail_if(now.since_ns(market.changed) > limits.stale_after_ns, RiskCheck::Stale)?;
        let position = i128::from(account.position(order.instrument).0);
        let signed = i128::from(order.qty.0) * i128::from(order.side.sign());
        if order.reduce_only {
            let worst = worst_position(account, order.instrument, order.side) + signed;
            let reduces = position.signum() == -signed.signum() && worst * position.signum() >= 0;
            fail_if(!reduces, RiskCheck::ReduceOnly)?;
        } else {
            fail_if(order.qty > limits.order_qty_max, RiskCheck::Size)?;
            let notional = instrument.notional_quote(order.price, order.qty);
            fail_if(notional > limits.order_notional_quote_max, RiskCheck::Notional)?;
        }
        fail_if(is_beyond_collar(market.bbo, order.side, order.price, limits.collar_bps), RiskCheck::Collar)?;
        if !order.reduce_only {
            let worst = worst_position(account, order.instrument, order.side) + signed;
            let worst = Qty(i64::try_from(worst.abs()).unwrap_or(i64::MAX));
            let value = instrument.notional_quote(order.price, worst);
            fail_if(value > limits.position_notional_quote_max, RiskCheck::Position)?;
        }
        fail_if(account.open_orders().len() >= limits.open_orders_max, RiskCheck::OpenOrders)?;
        // The place written next holds the oldest of the newest orders.
        let oldest = self.sent.get(self.next_sent).copied();
        fail_if(oldest.is_none_or(|oldest| now.since_ns(oldest) < 1_000_000_000), RiskCheck::Rate)
    }
}

fn is_valid(instrument: &Instrument, price: Price, qty: Qty) -> bool {
    let is_multiple = |value: i64, step: i64| value > 0 && (step <= 0 || value % step == 0);
    is_multiple(price.0, instrument.tick.0) && is_multiple(qty.0, instrument.lot.0)
}

/// Whether a buy is priced above, or a sell below, the mid price by more than `collar_bps`. In units of half a price, so that the
/// mid is exact.
fn is_beyond_collar(bbo: Bbo, side: Side, price: Price, collar_bps: i64) -> bool {
    let twice_mid = i128::from(bbo.bid.price.0) + i128::from(bbo.ask.price.0);
    let twice_over = (2 * i128::from(price.0) - twice_mid) * i128::from(side.sign());
    twice_over * 10_000 > twice_mid * i128::from(collar_bps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Contract, Exchange, ExecutionReport, Level, NewOrder, OrderId, QTY_SCALE, ReportKind, TimeInForce};

    const ID: InstrumentId = InstrumentId(0);
    const SECOND: i64 = 1_000_000_000;

    /// A book of 99.5 / 100.5, everything within limits: order value 1000, position 3000, 2 open orders, 3 a second.
    struct Case {
        risk: Risk,
        account: Account,
        now: Timestamp,
    }

    fn price(quote: f64) -> Price {
        Price((quote * PRICE_SCALE as f64) as i64)
    }

    fn qty(units: i64) -> Qty {
        Qty(units * QTY_SCALE)
    }

    fn case() -> Case {
        let instrument = Instrument {
            exchange: Exchange::BinanceUsdm,
            symbol: "X".into(),
            tick: price(0.5),
            lot: qty(1),
            contract: Contract::spot(),
        };
        let quote = i128::from(PRICE_SCALE);
        let mut risk = Risk::new(RiskLimits {
            order_qty_max: qty(12),
            order_notional_quote_max: 1_000 * quote,
            collar_bps: 100,
            position_notional_quote_max: 3_000 * quote,
            open_orders_max: 2,
            orders_per_second_max: 3,
            stale_after_ns: SECOND,
            loss_quote_max: 50 * quote,
        });
        risk.on_book_state(ID, BookState::Synced);
        let level = |at| Level { price: price(at), qty: qty(5) };
        risk.on_quote(ID, Bbo { bid: level(99.5), ask: level(100.5) });
        risk.on_book_change(ID, Timestamp(10 * SECOND));
        Case { risk, account: Account::new(&[instrument]), now: Timestamp(10 * SECOND) }
    }

    fn buy(at: f64, units: i64) -> OrderIntent {
        OrderIntent {
            instrument: ID,
            side: Side::Buy,
            price: price(at),
            qty: qty(units),
            time_in_force: TimeInForce::GoodTilCancelled,
            reduce_only: false,
            signal: 0.0,
        }
    }

    impl Case {
        fn check(&mut self, order: OrderIntent) -> Result<(), RiskCheck> {
            self.risk.check(self.now, &order, &self.account)
        }

        fn hold(&mut self, side: Side, units: i64) {
            self.account.on_report(&ExecutionReport {
                order: OrderId(99),
                instrument: ID,
                kind: ReportKind::Fill,
                side,
                is_maker: false,
                recv: self.now,
                venue_time: self.now,
                price: price(100.0),
                qty: qty(units),
                leaves: Qty::ZERO,
                fee_quote: 0,
            });
        }

        fn rest(&mut self, id: u64, order: OrderIntent) {
            let OrderIntent { instrument, side, price, qty, time_in_force, reduce_only, signal } = order;
            let id = OrderId(id);
            assert!(self.account.on_sent(&NewOrder { id, instrument, side, price, qty, time_in_force, reduce_only, signal }));
        }
    }

    #[test]
    fn size_just_passes_and_trips() {
        assert_eq!(case().check(buy(50.0, 12)), Ok(()));
        assert_eq!(case().check(buy(50.0, 13)), Err(RiskCheck::Size));
    }

    #[test]
    fn notional_just_passes_and_trips() {
        assert_eq!(case().check(buy(100.0, 10)), Ok(()));
        assert_eq!(case().check(buy(100.5, 10)), Err(RiskCheck::Notional));
    }

    #[test]
    fn collar_just_passes_and_trips_on_the_costly_side_only() {
        assert_eq!(case().check(buy(101.0, 1)), Ok(()));
        assert_eq!(case().check(buy(101.5, 1)), Err(RiskCheck::Collar));
        assert_eq!(case().check(buy(1.0, 1)), Ok(()));
        let sell = |at| OrderIntent { side: Side::Sell, ..buy(at, 1) };
        assert_eq!(case().check(sell(99.0)), Ok(()));
        assert_eq!(case().check(sell(98.5)), Err(RiskCheck::Collar));
        assert_eq!(case().check(sell(500.0)), Ok(()));
    }

    #[test]
    fn position_counts_open_orders_and_just_passes_and_trips() {
        let mut case = case();
        case.hold(Side::Buy, 18);
        case.rest(1, buy(100.0, 4));
        assert_eq!(case.check(buy(100.0, 8)), Ok(()));
        assert_eq!(case.check(buy(100.0, 9)), Err(RiskCheck::Position));
        let sell = OrderIntent { side: Side::Sell, ..buy(100.0, 10) };
        assert_eq!(case.check(sell), Ok(()));
    }

    #[test]
    fn open_orders_just_pass_and_trip() {
        let mut case = case();
        case.rest(1, buy(100.0, 1));
        assert_eq!(case.check(buy(100.0, 1)), Ok(()));
        case.rest(2, buy(100.0, 1));
        assert_eq!(case.check(buy(100.0, 1)), Err(RiskCheck::OpenOrders));
    }

    #[test]
    fn rate_just_passes_and_trips() {
        let mut case = case();
        for millis in [0, 100, 200] {
            case.now = Timestamp(10 * SECOND + millis * 1_000_000);
            assert_eq!(case.check(buy(100.0, 1)), Ok(()));
            case.risk.on_sent(case.now);
        }
        case.now = Timestamp(11 * SECOND - 1);
        assert_eq!(case.check(buy(100.0, 1)), Err(RiskCheck::Rate));
        case.now = Timestamp(11 * SECOND);
        assert_eq!(case.check(buy(100.0, 1)), Ok(()));
    }

    #[test]
    fn stale_just_passes_and_trips() {
        let mut case = case();
        case.now = Timestamp(11 * SECOND);
        assert_eq!(case.check(buy(100.0, 1)), Ok(()));
        case.now = Timestamp(11 * SECOND + 1);
        assert_eq!(case.check(buy(100.0, 1)), Err(RiskCheck::Stale));
    }

    #[test]
    fn unsynced_trips_until_synced() {
        let mut case = case();
        case.risk.on_book_state(ID, BookState::Stale(chronos_market::StaleReason::Gap));
        assert_eq!(case.check(buy(100.0, 1)), Err(RiskCheck::Unsynced));
        case.risk.on_book_state(ID, BookState::Synced);
        assert_eq!(case.check(buy(100.0, 1)), Ok(()));
    }

    #[test]
    fn the_kill_switch_trips_at_the_loss_limit_stays_and_is_reset_by_hand() {
        let quote = i128::from(PRICE_SCALE);
        let mut case = case();
        assert!(!case.risk.on_loss(-50 * quote), "just at the limit");
        assert_eq!(case.check(buy(100.0, 1)), Ok(()));
        assert!(case.risk.on_loss(-50 * quote - 1));
        assert!(!case.risk.on_loss(-60 * quote), "told once");
        assert!(!case.risk.on_loss(1_000 * quote));
        assert_eq!(case.check(buy(100.0, 1)), Err(RiskCheck::KillSwitch));
        case.risk.control(Control::Reduce);
        assert_eq!(case.check(buy(100.0, 1)), Err(RiskCheck::KillSwitch));
        case.risk.control(Control::Resume);
        assert_eq!(case.check(buy(100.0, 1)), Ok(()));
    }

    #[test]
    fn reducing_lets_only_smaller_positions_through() {
        let mut case = case();
        case.hold(Side::Sell, 40);
        case.risk.control(Control::Reduce);
        assert_eq!(case.check(buy(100.0, 1)), Err(RiskCheck::Reducing));
        // Beyond size, notional and position limits, and still allowed: it closes.
        assert_eq!(case.check(OrderIntent { reduce_only: true, ..buy(100.0, 40) }), Ok(()));
        assert_eq!(case.check(OrderIntent { reduce_only: true, ..buy(100.0, 41) }), Err(RiskCheck::ReduceOnly));
        case.rest(1, OrderIntent { reduce_only: true, ..buy(100.0, 30) });
        assert_eq!(case.check(OrderIntent { reduce_only: true, ..buy(100.0, 11) }), Err(RiskCheck::ReduceOnly));
        let sell = OrderIntent { reduce_only: true, side: Side::Sell, ..buy(100.0, 1) };
        assert_eq!(case.check(sell), Err(RiskCheck::ReduceOnly));
    }

    #[test]
    fn invalid_orders_are_told() {
        for order in [
            buy(0.0, 1),
            buy(100.25, 1),
            buy(100.0, 0),
            OrderIntent { qty: Qty(QTY_SCALE / 2), ..buy(100.0, 1) },
            OrderIntent { instrument: InstrumentId(3), ..buy(100.0, 1) },
            OrderIntent { instrument: InstrumentId(u16::MAX), ..buy(100.0, 1) },
        ] {
            let mut case = case();
            assert_eq!(case.check(order), Err(RiskCheck::Invalid), "{order:?}");
            assert_eq!(case.risk.rejects().find(|(check, _)| *check == RiskCheck::Invalid), Some((RiskCheck::Invalid, 1)));
        }
    }

    #[test]
    fn checks_are_numbered_as_listed() {
        for (place, check) in RiskCheck::ALL.into_iter().enumerate() {
            assert_eq!(check as usize, place);
        }
    }
}
