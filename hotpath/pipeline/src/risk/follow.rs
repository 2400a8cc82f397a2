//! What the stage is told, and how it stays current.

use super::breaker::BreakerState;
use super::checks::RiskCheck;
use super::state::Origin;
use super::{Risk, TURNOVER_MAX};
use crate::account::{Account, OPEN_ORDERS_MAX};
use crate::decision::{Scope, StrategyId};
use chronos_market::{
    Bbo, BookState, EventFlags, EventKind, Exchange, ExecutionReport, InstrumentId, MarketEvent, NewOrder, ReportKind, Timestamp,
};

impl Risk {
    /// Takes a market event.
    #[inline]
    pub fn on_event(&mut self, now: Timestamp, event: &MarketEvent) {
        let Some(line) = self.lines.get_mut(event.instrument.index()) else { return };
        if event.kind == EventKind::LevelSet {
            line.changed = now;
        }
        let has_clock = self.limits.clock_offset_ns_max != i64::MAX && event.exchange_ns != 0;
        if has_clock && event.flags.contains(EventFlags::BATCH_END) {
            line.on_clock(now, event.exchange_ns, &self.limits);
        }
    }

    /// Takes the best prices at a decision tick.
    #[inline]
    pub fn on_quote(&mut self, now: Timestamp, id: InstrumentId, bbo: Bbo) {
        self.turnover.advance(now);
        let Some(line) = self.lines.get_mut(id.index()) else { return };
        let (value, margin) = (line.value, line.margin);
        let begins_pause = line.on_quote(now, bbo, &self.limits);
        self.exposure += line.value - value;
        self.margin += line.margin - margin;
        if begins_pause {
            let until = line.paused_until;
            self.change_of(RiskCheck::VolatilityPause, 1, Some(Scope::Instrument(id)), until);
        }
    }

    /// Notes whether the book may be used.
    pub fn on_book_state(&mut self, id: InstrumentId, book: BookState) {
        if let Some(line) = self.lines.get_mut(id.index()) {
            line.on_book_state(book);
        }
    }

    /// Notes that an order was sent.
    #[inline]
    pub fn on_sent(&mut self, now: Timestamp, order: &NewOrder, strategy: StrategyId) {
        self.orders.push(now);
        self.count_message(now);
        let place = order.instrument.index();
        self.take_out(place);
        if let Some(line) = self.lines.get_mut(place) {
            line.on_sent(now, order.side, order.price.0, order.qty.0);
            let venue = line.venue;
            if self.breakers[venue].on_sent(now, &self.limits) {
                self.change_of_breaker(venue);
            }
        }
        self.put_in(place);
        if self.owners.len() < OPEN_ORDERS_MAX {
            self.owners.push((order.id, strategy));
        }
    }

    /// Notes that a cancel was sent.
    pub fn on_cancel_sent(&mut self, now: Timestamp) {
        self.count_message(now);
    }

    /// Notes that a command could not be handed to the venue of an instrument.
    #[cold]
    pub fn on_submit_error(&mut self, now: Timestamp, id: InstrumentId) {
        self.on_answer(now, id, true);
    }

    /// To be asked of each report before the account takes it: whether it is news. An execution that was told before is none, and
    /// halts trading.
    pub fn is_news(&mut self, now: Timestamp, report: &ExecutionReport) -> bool {
        if report.kind != ReportKind::Fill {
            return true;
        }
        let strategy = self.owner(report.order);
        let passed = self.executions.on_fill(now, report.order, strategy, report.leaves, &self.limits);
        for cause in passed.iter() {
            self.latch(cause, Origin::Limit);
        }
        !passed.contains(RiskCheck::RepeatedExecution)
    }

    /// Takes a report after the account took it. `closed` is the profit of the trade that it ended, if it did.
    pub fn on_report(&mut self, now: Timestamp, report: &ExecutionReport, closed: Option<i128>, account: &Account) {
        self.follow(report.instrument, account);
        self.owners.retain(|(id, _)| account.open_orders().iter().any(|open| open.order.id == *id));
        match report.kind {
            ReportKind::Accepted => self.on_answer(now, report.instrument, false),
            ReportKind::Rejected => self.on_answer(now, report.instrument, true),
            ReportKind::Cancelled => {}
            ReportKind::Fill => {
                if let Some(line) = self.lines.get(report.instrument.index()) {
                    let value = line.held_value(report.price.0, i128::from(report.qty.0).abs());
                    self.turnover.add(now, value, TURNOVER_MAX);
                }
                self.on_equity(now, report.instrument, account);
            }
        }
        if closed.is_some_and(|net_quote| self.losses.on_trade(net_quote, &self.limits)) {
            self.cooldown_until = now.plus_nanos(self.limits.cooldown_ns);
            self.set_free();
            self.change_of(RiskCheck::Cooldown, 1, None, self.cooldown_until);
        }
    }

    /// Takes positions and open orders of all instruments from the account: to be called once after a recovery.
    #[cold]
    pub fn on_recovery(&mut self, account: &Account) {
        for place in 0..self.lines.len() {
            self.follow(InstrumentId(place as u16), account);
        }
    }

    /// Takes profit and loss of an instrument whose mark or position changed.
    #[inline]
    pub fn on_equity(&mut self, now: Timestamp, id: InstrumentId, account: &Account) {
        let Some(equity) = self.equities.get_mut(id.index()) else { return };
        let net_quote = account.net_quote_of(id);
        self.equity = self.equity.saturating_add(net_quote.saturating_sub(*equity));
        *equity = net_quote;
        self.set_buying_power();
        let passed = self.losses.on_equity(now, self.equity, &self.limits).without(self.latches);
        for cause in passed.iter() {
            self.latch(cause, Origin::Limit);
        }
        if self.limits.loss_per_trade_quote_max != i128::MAX {
            self.on_trade_equity(id, account);
        }
    }

    /// Once too large, the loss of a trade binds until the trade is closed.
    fn on_trade_equity(&mut self, id: InstrumentId, account: &Account) {
        let Some(line) = self.lines.get_mut(id.index()) else { return };
        let was_passed = line.standing.contains(RiskCheck::LossPerTrade);
        let is_beyond = account.trade_net_quote(id) < self.limits.loss_per_trade_quote_max.saturating_neg();
        let is_passed = line.position != 0 && (was_passed || is_beyond);
        if line.set(RiskCheck::LossPerTrade, is_passed) {
            self.change_of(RiskCheck::LossPerTrade, u8::from(is_passed), Some(Scope::Instrument(id)), Timestamp::MAX);
        }
    }

    fn on_answer(&mut self, now: Timestamp, id: InstrumentId, is_failure: bool) {
        if self.limits.breaker_failures_min == u32::MAX {
            return;
        }
        let Some(venue) = self.lines.get(id.index()).map(|line| line.venue) else { return };
        if self.breakers[venue].on_answer(now, is_failure, &self.limits) {
            self.change_of_breaker(venue);
        }
    }

    #[cold]
    fn change_of_breaker(&mut self, venue: usize) {
        let (state, until) = (self.breakers[venue].state(), self.breakers[venue].blocked_until());
        let scope = Exchange::ALL.get(venue).map(|venue| Scope::Venue(*venue));
        let until = if state == BreakerState::Open { until } else { Timestamp::MAX };
        self.change_of(RiskCheck::Breaker, state as u8, scope, until);
    }

    #[inline]
    fn count_message(&mut self, now: Timestamp) {
        self.messages.push(now);
        self.set_free();
    }

    /// Takes position and open orders of an instrument from the account.
    fn follow(&mut self, id: InstrumentId, account: &Account) {
        self.take_out(id.index());
        if let Some(line) = self.lines.get_mut(id.index()) {
            line.set_from(id, account);
        }
        self.put_in(id.index());
    }
}
