//! Pre-trade checks: one pass over a block of limits, every check evaluated, the first that fails names itself.
//!
//! [`Risk`] is told what happens (quotes, orders sent, reports, equity) and keeps of it what the pass needs, so that an order is
//! checked by comparing numbers that are at hand: nothing is searched, summed or divided then. [`RiskCheck`] lists the checks with
//! their numbers. Limits are inclusive. Sent orders count at once: open orders count in full towards the position they could lead to.
//!
//! An order that only makes a position smaller (reduce-only, and the position is there) is exempt from what limits risk taken on, so
//! that a position can always be closed, and from nothing else: see the table's third column.
//!
//! What stops trading stays until it is reset by hand ([`Control::Resume`], [`Control::Restore`]): the kill switches, losses,
//! executions that must not be. Conditions of the market (stale, unsynced, pause) and the circuit breaker pass by themselves. Every
//! such change is a [`StateChange`] for the journal.

mod breaker;
mod checks;
mod divisor;
mod executions;
mod follow;
mod limits;
mod line;
mod losses;
mod pass;
#[cfg(test)]
mod reference;
mod state;
#[cfg(test)]
mod tests;
mod windows;

pub use breaker::BreakerState;
pub use checks::{FailedChecks, RiskCheck};
pub use executions::FILLS_MAX;
pub(crate) use limits::CHANGE_BYTES_MAX;
pub use limits::{InstrumentLimits, LimitChange, LimitsRecord, RATE_MAX, RiskLimits};
pub use line::DUPLICATES_KEPT;
pub use losses::CDAR_SAMPLES;
pub use state::{Origin, STATE_BYTES, StateChange, TradingState};

use crate::account::{OPEN_ORDERS_MAX, OpenOrder};
use crate::decision::{Control, OrderIntent, STRATEGIES_MAX, Scope, StrategyId};
use breaker::Breaker;
use chronos_market::{Bbo, BookState, Exchange, Instrument, InstrumentId, NANOS_PER_SECOND, OrderId, Timestamp};
use executions::Executions;
use line::Line;
use losses::Losses;
use pass::Bounds;
use state::Changes;
use windows::{SumWindow, TimeRing};

/// Raw units (1e-17) in a unit of money (1e-9).
const RAW_SCALE: i128 = 100_000_000;
/// Basis points in the whole.
const COLLAR_SCALE: i64 = 10_000;
/// Raw value at which the turnover is held, far above every limit.
const TURNOVER_MAX: i128 = 1 << 120;
/// Venues there can be.
const VENUES: usize = Exchange::ALL.len();

/// The pre-trade stage.
#[derive(Debug)]
pub struct Risk {
    // What the pass reads.
    bounds: Bounds,
    latches: FailedChecks,
    killed_strategies: u64,
    /// Sums over all instruments: raw value of positions, their margin, raw value of open orders, open orders, instruments that
    /// have a position or an open order.
    exposure: i128,
    margin: i128,
    open_value: i128,
    open_count: usize,
    active_count: usize,
    /// Raw margin that the balance covers.
    buying_power: i128,
    /// Whether too many orders are open.
    counted: FailedChecks,
    /// When the next order or message may be sent, by each limit on them, and by all together.
    cooldown_until: Timestamp,
    order_free: Timestamp,
    message_free: Timestamp,
    window_free: Timestamp,
    all_free: Timestamp,
    turnover: SumWindow,
    breakers: [Breaker; VENUES],
    lines: Vec<Line>,
    // What keeps it current.
    limits: RiskLimits,
    orders: TimeRing,
    messages: TimeRing,
    executions: Executions,
    losses: Losses,
    /// Whose each open order is.
    owners: Vec<(OrderId, StrategyId)>,
    /// Profit less fees of each instrument, and of all.
    equities: Vec<i128>,
    equity: i128,
    killed_instruments: u64,
    killed_venues: u64,
    changes: Changes,
    rejects: [u64; RiskCheck::COUNT],
}

impl Risk {
    /// A stage with every book unsynced and no position.
    pub fn new(limits: &RiskLimits, instruments: &[Instrument]) -> Risk {
        let mut risk = Risk {
            bounds: Bounds::of(limits),
            latches: FailedChecks::NONE,
            killed_strategies: 0,
            exposure: 0,
            margin: 0,
            open_value: 0,
            open_count: 0,
            active_count: 0,
            buying_power: 0,
            counted: FailedChecks::NONE,
            cooldown_until: Timestamp::MIN,
            order_free: Timestamp::MIN,
            message_free: Timestamp::MIN,
            window_free: Timestamp::MIN,
            all_free: Timestamp::MIN,
            turnover: SumWindow::new(limits.turnover_window_ns),
            breakers: [Breaker::new(); VENUES],
            lines: instruments.iter().map(Line::new).collect(),
            limits: *limits,
            orders: TimeRing::new(RATE_MAX),
            messages: TimeRing::new(RATE_MAX),
            executions: Executions::new(),
            losses: Losses::new(),
            owners: Vec::with_capacity(OPEN_ORDERS_MAX),
            equities: vec![0; instruments.len()],
            equity: 0,
            killed_instruments: 0,
            killed_venues: 0,
            changes: Changes::new(),
            rejects: [0; RiskCheck::COUNT],
        };
        risk.put_in_force(None);
        risk
    }

    /// The limits in force.
    pub fn limits(&self) -> &RiskLimits {
        &self.limits
    }

    /// Replaces the limits, between two events. What has been counted stays; a window whose length changes begins anew. Returns
    /// what the journal is to hold of it.
    #[cold]
    pub fn set_limits(&mut self, limits: &RiskLimits) -> LimitsRecord {
        let old = self.limits;
        self.limits = *limits;
        self.bounds = Bounds::of(limits);
        if old.turnover_window_ns != limits.turnover_window_ns {
            self.turnover = SumWindow::new(limits.turnover_window_ns);
        }
        self.put_in_force(Some(&old));
        LimitsRecord::of(&old, limits)
    }

    /// What the system may do now.
    pub fn state(&self) -> TradingState {
        TradingState::of_latches(self.latches)
    }

    /// What is latched for the whole system.
    pub fn latches(&self) -> FailedChecks {
        self.latches
    }

    /// State of a venue's circuit breaker.
    pub fn breaker(&self, venue: Exchange) -> BreakerState {
        self.breakers[venue as usize].state()
    }

    /// Follows an order to the system, given by hand. What is latched is lifted only so. A reset of the whole system begins
    /// drawdown and CDaR anew from the equity of now; a loss that is still beyond its limit latches again with the next equity.
    #[cold]
    pub fn control(&mut self, control: Control) {
        match control {
            Control::Reduce => self.latch(RiskCheck::Reducing, Origin::Hand),
            Control::Halt => self.latch(RiskCheck::KillSwitch, Origin::Hand),
            Control::Resume => {
                let lifted = std::mem::take(&mut self.latches);
                self.losses.on_reset();
                for cause in lifted.iter() {
                    self.changes.push(StateChange::whole(self.latches, cause, Origin::Hand, false));
                }
            }
            Control::Kill(scope) => self.set_kill(scope, true),
            Control::Restore(scope) => self.set_kill(scope, false),
        }
    }

    /// Latches a check for the whole system until [`Control::Resume`].
    #[cold]
    pub fn latch(&mut self, cause: RiskCheck, origin: Origin) {
        if !self.latches.contains(cause) {
            self.latches = self.latches.or(FailedChecks::of(cause));
            self.changes.push(StateChange::whole(self.latches, cause, origin, true));
        }
    }

    /// The next change of state that was not yet taken, for the journal.
    #[inline]
    pub fn take_change(&mut self) -> Option<StateChange> {
        self.changes.take()
    }

    /// Whether an open order is to be cancelled because of a change.
    pub fn cancels(&self, change: &StateChange, open: &OpenOrder) -> bool {
        if !self.limits.cancel_on_halt || change.value != 1 {
            return false;
        }
        match change.scope {
            None => match change.state {
                TradingState::Active => false,
                TradingState::Reducing => !open.order.reduce_only,
                TradingState::Halted => true,
            },
            Some(_) if change.cause != RiskCheck::KillSwitch => false,
            Some(Scope::Instrument(id)) => open.order.instrument == id,
            Some(Scope::Strategy(id)) => self.owner(open.order.id) == id,
            Some(Scope::Venue(venue)) => {
                self.lines.get(open.order.instrument.index()).is_some_and(|line| line.venue == venue as usize)
            }
        }
    }

    /// The book as last seen: best prices, and whether it may be used; `None` for an unknown instrument.
    pub fn market(&self, id: InstrumentId) -> Option<(Bbo, BookState)> {
        self.lines.get(id.index()).map(|line| (line.bbo(), line.book()))
    }

    /// Checks an order that would be sent at `now`; a rejection is counted under its check.
    ///
    /// # Errors
    /// The check with the lowest number of those that fail.
    #[inline]
    pub fn check(&mut self, now: Timestamp, order: &OrderIntent) -> Result<(), RiskCheck> {
        match self.failed_checks(now, order).first() {
            None => Ok(()),
            Some(check) => {
                self.rejects[check as usize] += 1;
                Err(check)
            }
        }
    }

    /// Rejections so far, by check.
    pub fn rejects(&self) -> impl Iterator<Item = (RiskCheck, u64)> + '_ {
        RiskCheck::ALL.into_iter().map(|check| (check, self.rejects[check as usize]))
    }

    #[cold]
    fn change_of(&mut self, cause: RiskCheck, value: u8, scope: Option<Scope>, until: Timestamp) {
        let state = self.state();
        self.changes.push(StateChange { state, cause, origin: Origin::Limit, value, scope, until });
    }

    fn set_kill(&mut self, scope: Scope, is_killed: bool) {
        let (kills, place) = match scope {
            Scope::Strategy(id) => (&mut self.killed_strategies, usize::from(id.0)),
            Scope::Instrument(id) => (&mut self.killed_instruments, id.index()),
            Scope::Venue(venue) => (&mut self.killed_venues, venue as usize),
        };
        let Some(bit) = 1u64.checked_shl(place as u32) else { return };
        let was_killed = *kills & bit != 0;
        *kills = if is_killed { *kills | bit } else { *kills & !bit };
        for (place, line) in self.lines.iter_mut().enumerate() {
            let kills = self.killed_instruments >> (place % 64) | self.killed_venues >> (line.venue % 64);
            line.set(RiskCheck::KillSwitch, kills & 1 == 1);
        }
        if was_killed != is_killed {
            let state = self.state();
            let (value, until) = (u8::from(is_killed), Timestamp::MAX);
            let change =
                StateChange { state, cause: RiskCheck::KillSwitch, origin: Origin::Hand, value, scope: Some(scope), until };
            self.changes.push(change);
        }
    }

    fn put_in_force(&mut self, old: Option<&RiskLimits>) {
        for place in 0..self.lines.len() {
            self.take_out(place);
            if let (Some(line), Some(own)) = (self.lines.get_mut(place), self.limits.instruments.get(place)) {
                line.set_limits(&self.limits, own, old);
            }
            self.put_in(place);
        }
        self.set_buying_power();
        self.set_free();
        self.set_counted();
    }

    #[inline]
    fn set_free(&mut self) {
        let limits = &self.limits;
        self.order_free = free_at(&self.orders, limits.orders_per_second_max, NANOS_PER_SECOND);
        self.message_free = free_at(&self.messages, limits.messages_per_second_max, NANOS_PER_SECOND);
        self.window_free = free_at(&self.messages, limits.messages_per_window_max, limits.message_window_ns);
        self.all_free = self.order_free.max(self.message_free).max(self.window_free).max(self.cooldown_until);
    }

    #[inline]
    fn set_counted(&mut self) {
        let is_full = self.open_count >= self.limits.open_orders_max.min(OPEN_ORDERS_MAX);
        self.counted = FailedChecks::when(RiskCheck::OpenOrders, is_full);
    }

    #[inline]
    fn set_buying_power(&mut self) {
        let leverage = i128::from(self.limits.leverage_max.clamp(1, 1_000));
        self.buying_power = self.limits.balance_quote.saturating_add(self.equity).saturating_mul(leverage * RAW_SCALE);
    }

    fn owner(&self, order: OrderId) -> StrategyId {
        self.owners.iter().find(|(id, _)| *id == order).map_or(StrategyId(0), |(_, strategy)| *strategy)
    }

    /// Takes an instrument out of the sums, before it changes.
    #[inline]
    fn take_out(&mut self, place: usize) {
        if let Some(line) = self.lines.get(place) {
            self.exposure -= line.value;
            self.margin -= line.margin;
            self.open_value -= line.open_value;
            self.open_count -= line.open_count;
            self.active_count -= usize::from(line.is_active());
        }
    }

    /// Puts it back.
    #[inline]
    fn put_in(&mut self, place: usize) {
        if let Some(line) = self.lines.get(place) {
            self.exposure += line.value;
            self.margin += line.margin;
            self.open_value += line.open_value;
            self.open_count += line.open_count;
            self.active_count += usize::from(line.is_active());
            self.set_counted();
        }
    }
}

/// When another may be sent, with no more than `limit` within a window. A limit of 0 lets nothing pass.
#[inline]
fn free_at(ring: &TimeRing, limit: usize, window_ns: i64) -> Timestamp {
    match limit {
        0 => Timestamp::MAX,
        usize::MAX => Timestamp::MIN,
        _ => ring.newest(limit).plus_nanos(window_ns),
    }
}

const _: () = assert!(STRATEGIES_MAX == 64 && chronos_market::INSTRUMENTS_MAX == 64 && VENUES <= 64);
