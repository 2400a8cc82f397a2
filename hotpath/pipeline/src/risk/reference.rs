//! The pass against a slow and plain reference: one check at a time, from the account and a log of everything that happened.

use super::*;
use crate::account::Account;
use chronos_market::{
    BookState, Contract, EventFlags, EventKind, ExecutionReport, Level, MarketEvent, NANOS_PER_SECOND, NewOrder, PRICE_SCALE,
    Price, QTY_SCALE, Qty, ReportKind, Side, StaleReason, TimeInForce,
};
use proptest::prelude::*;

/// Both sides of the comparison, and the account they share.
struct World {
    now: Timestamp,
    instruments: Vec<Instrument>,
    account: Account,
    risk: Risk,
    limits: RiskLimits,
    markets: Vec<Market>,
    sent: Vec<(Timestamp, NewOrder, StrategyId)>,
    cancels: Vec<Timestamp>,
    fills: Vec<(Timestamp, i128)>,
    /// Equity when the day began, and the highest.
    day: i64,
    day_began: i128,
    last_equity: i128,
    peak: i128,
    losing_run: u32,
    cooldown_until: Timestamp,
    latched: Vec<RiskCheck>,
    killed: Vec<Scope>,
    breakers: Vec<(Exchange, u8, Timestamp)>,
}

#[derive(Clone)]
struct Market {
    bbo: Bbo,
    book: BookState,
    changed: Timestamp,
    /// Mid prices of all quotes with both sides.
    mids: Vec<(Timestamp, i64)>,
    mark: i64,
    paused_until: Timestamp,
    clock: Option<(f64, Timestamp)>,
    is_clock_off: bool,
    has_lost: bool,
}

const STEPS: i64 = 8;

impl Market {
    /// Mid prices of the eight newest steps of a window, with the number of their step.
    fn window(&self, window_ns: i64) -> Vec<(i64, i64)> {
        let Some((begun, _)) = self.mids.first() else { return Vec::new() };
        let steps: Vec<(i64, i64)> = self.mids.iter().map(|(at, mid)| (at.since_ns(*begun) / (window_ns / STEPS), *mid)).collect();
        let newest = steps[steps.len() - 1].0;
        steps.into_iter().filter(|(step, _)| *step > newest - STEPS).collect()
    }

    /// Sum and number of the mid prices that began a step.
    fn reference(&self, window_ns: i64) -> (i128, i128) {
        let mut firsts = self.window(window_ns);
        firsts.dedup_by_key(|(step, _)| *step);
        (firsts.iter().map(|(_, mid)| i128::from(*mid)).sum(), firsts.len() as i128)
    }

    fn has_mid(&self) -> bool {
        self.bbo.bid.qty.0 > 0 && self.bbo.ask.qty.0 > 0 && self.bbo.bid.price.0 > 0 && self.bbo.ask.price.0 > 0
    }
}

impl World {
    fn position(&self, place: usize) -> i128 {
        i128::from(self.account.position(InstrumentId(place as u16)).0)
    }

    fn open(&self, place: usize, side: Option<Side>) -> impl Iterator<Item = &OpenOrder> {
        let of_instrument = self.account.open_orders().iter().filter(move |open| open.order.instrument.index() == place);
        of_instrument.filter(move |open| side.is_none_or(|side| open.order.side == side))
    }

    fn open_qty(&self, place: usize, side: Side) -> i128 {
        self.open(place, Some(side)).map(|open| i128::from(open.leaves.0)).sum()
    }

    /// Value in quote currency, units of 1e-9, as the instrument rounds it.
    fn value(&self, place: usize, price: i64, qty: i128) -> i128 {
        self.instruments[place].notional_quote(Price(price), Qty(qty as i64))
    }

    /// The same in units of 1e-17, before rounding.
    fn raw(&self, place: usize, price: i64, qty: i128) -> i128 {
        match self.instruments[place].contract {
            Contract::Linear { multiplier } => i128::from(price) * (qty * i128::from(multiplier.0) / i128::from(QTY_SCALE)),
            Contract::Inverse { contract_quote } => i128::from(contract_quote.0) * qty,
        }
    }

    /// Largest absolute position that open orders and `more` could lead to.
    fn worst(&self, place: usize, more: i128) -> i128 {
        let up = self.position(place) + self.open_qty(place, Side::Buy) + more.max(0);
        let down = self.position(place) - self.open_qty(place, Side::Sell) + more.min(0);
        up.abs().max(down.abs())
    }

    fn is_active(&self, place: usize) -> bool {
        self.position(place) != 0 || self.open(place, None).count() > 0
    }

    fn weight(&self, place: usize) -> i128 {
        if self.limits.instruments[place].is_spot { i128::from(self.limits.leverage_max) } else { 1 }
    }

    /// Sum over all instruments of what their largest positions are worth, this order's at its own price, each times its weight.
    fn worth_after(&self, order: &OrderIntent, weight: impl Fn(usize) -> i128) -> i128 {
        let of_one = |place: usize| {
            let (price, more) = if place == order.instrument.index() {
                (order.price.0, i128::from(order.qty.0) * i128::from(order.side.sign()))
            } else {
                (self.markets[place].mark, 0)
            };
            self.raw(place, price, self.worst(place, more)) * weight(place)
        };
        (0..self.instruments.len()).map(of_one).sum()
    }

    fn within(&self, times: impl Iterator<Item = Timestamp>, window_ns: i64) -> usize {
        times.filter(|at| self.now.since_ns(*at) < window_ns).count()
    }

    fn equity(&self) -> i128 {
        self.account.pnl_quote() - self.account.fees_quote()
    }

    fn fails(&self, check: RiskCheck, order: &OrderIntent) -> bool {
        use RiskCheck as Check;
        let limits = &self.limits;
        let place = order.instrument.index();
        let (own, market) = (&limits.instruments[place], &self.markets[place]);
        let (price, qty) = (i128::from(order.price.0), i128::from(order.qty.0));
        let signed = qty * i128::from(order.side.sign());
        let is_costlier = |than: i128, bps: i64, count: i128| {
            let over = (price * count - than) * i128::from(order.side.sign());
            bps != i64::MAX && count > 0 && over * 10_000 > than * i128::from(bps)
        };
        let side_open = self.open_qty(place, order.side) * i128::from(order.side.sign());
        let messages = || self.sent.iter().map(|(at, ..)| *at).chain(self.cancels.iter().copied());
        let (reference, count) = market.reference(limits.period_ns);
        match check {
            Check::KillSwitch => {
                let is_in = |scope: &Scope| match *scope {
                    Scope::Strategy(id) => id == order.strategy,
                    Scope::Instrument(id) => id == order.instrument,
                    Scope::Venue(venue) => venue == self.instruments[place].exchange,
                };
                self.latched.contains(&check) || self.killed.iter().any(is_in)
            }
            Check::Invalid => false,
            Check::Unsynced => market.book != BookState::Synced || !market.has_mid(),
            Check::Stale => self.now.since_ns(market.changed) > limits.stale_after_ns,
            Check::ReduceOnly => {
                let (position, worst) = (self.position(place), self.position(place) + side_open + signed);
                order.reduce_only && !(position.signum() == -signed.signum() && worst * position.signum() >= 0)
            }
            Check::Size => order.qty > limits.order_qty_max,
            Check::Notional => self.value(place, order.price.0, qty) > limits.order_notional_quote_max,
            Check::Collar => {
                let twice_mid = i128::from(market.bbo.bid.price.0) + i128::from(market.bbo.ask.price.0);
                market.has_mid() && is_costlier(twice_mid, limits.collar_bps, 2)
            }
            Check::Position => {
                let worst = (self.position(place) + side_open + signed).abs();
                self.value(place, order.price.0, worst) > limits.position_notional_quote_max
            }
            Check::OpenOrders => self.account.open_orders().len() >= limits.open_orders_max,
            Check::Rate => self.within(self.sent.iter().map(|(at, ..)| *at), NANOS_PER_SECOND) >= limits.orders_per_second_max,
            Check::Precision => {
                order.price.0 % self.instruments[place].tick.0 != 0 || order.qty.0 % self.instruments[place].lot.0 != 0
            }
            Check::PriceRange => order.price < own.price_min || order.price > own.price_max,
            Check::QtyRange => order.qty < own.qty_min || order.qty > own.qty_max,
            Check::NotionalMin => self.value(place, order.price.0, qty) < own.notional_quote_min,
            Check::PeriodCollar => is_costlier(reference, limits.period_collar_bps, count),
            Check::MarketMove => {
                let off = (i128::from(market.mark) * count - reference).abs();
                count > 0 && off * 10_000 > reference * i128::from(limits.market_move_bps)
            }
            Check::VolatilityPause => self.now < market.paused_until,
            Check::ClockOffset => market.is_clock_off,
            Check::Restricted => own.is_restricted,
            Check::Balance if limits.balance_quote == i128::MAX => false,
            Check::Balance => {
                let has = (limits.balance_quote + self.equity()) * i128::from(limits.leverage_max) * 100_000_000;
                let sold = self.position(place) - self.open_qty(place, Side::Sell) - qty;
                self.worth_after(order, |place| self.weight(place)) > has || own.is_spot && order.side == Side::Sell && sold < 0
            }
            Check::PositionGross => {
                let gross = self.position(place).abs() + self.open(place, None).map(|open| i128::from(open.leaves.0)).sum::<i128>();
                self.value(place, order.price.0, gross + qty) > limits.position_gross_notional_quote_max
            }
            Check::Exposure => self.worth_after(order, |_| 1) / 100_000_000 > limits.exposure_notional_quote_max,
            Check::OpenOrdersInstrument => self.open(place, None).count() >= limits.open_orders_per_instrument_max,
            Check::OpenPositions => {
                let active = (0..self.instruments.len()).filter(|place| self.is_active(*place)).count();
                !self.is_active(place) && active >= limits.open_positions_max
            }
            Check::Turnover => {
                let open = self.account.open_orders().iter();
                let open = open.map(|open| self.raw(open.order.instrument.index(), open.order.price.0, i128::from(open.leaves.0)));
                let traded = self.traded() + open.sum::<i128>() + self.raw(place, order.price.0, qty);
                traded / 100_000_000 > limits.turnover_quote_max
            }
            Check::MessageRate => self.within(messages(), NANOS_PER_SECOND) >= limits.messages_per_second_max,
            Check::MessageWindow => self.within(messages(), limits.message_window_ns) >= limits.messages_per_window_max,
            Check::Duplicate => {
                let of_instrument = self.sent.iter().rev().filter(|(_, sent, _)| sent.instrument == order.instrument);
                of_instrument.take(DUPLICATES_KEPT).any(|(at, sent, _)| {
                    let is_same = (sent.side, sent.price, sent.qty) == (order.side, order.price, order.qty);
                    is_same && self.now.since_ns(*at) < limits.duplicate_window_ns
                })
            }
            Check::SelfTrade => self.open(place, Some(order.side.opposite())).any(|open| {
                limits.refuse_self_trade
                    && i128::from(open.order.price.0) * i128::from(order.side.sign()) <= price * i128::from(order.side.sign())
            }),
            Check::Breaker => {
                let last = self.breakers.iter().rev().find(|(venue, ..)| *venue == self.instruments[place].exchange);
                last.is_some_and(|(_, state, until)| *state == 1 && self.now < *until)
            }
            Check::Cooldown => self.now < self.cooldown_until,
            Check::LossPerTrade => market.has_lost,
            Check::Reducing
            | Check::Loss
            | Check::DailyLoss
            | Check::Drawdown
            | Check::Cdar
            | Check::RepeatedExecution
            | Check::FillRate => self.latched.contains(&check),
        }
    }

    /// Raw value traded within the turnover's window, in steps that began with the first fill.
    fn traded(&self) -> i128 {
        let Some((begun, _)) = self.fills.first() else { return 0 };
        let step = |at: Timestamp| at.since_ns(*begun) / (self.limits.turnover_window_ns / 16);
        self.fills.iter().filter(|(at, _)| step(*at) + 16 >= step(self.now)).map(|(_, value)| value).sum()
    }

    fn reference(&self, order: &OrderIntent) -> FailedChecks {
        let all = |failed: &dyn Fn(RiskCheck) -> bool| {
            RiskCheck::ALL.into_iter().fold(FailedChecks::NONE, |set, check| set.or(FailedChecks::when(check, failed(check))))
        };
        let is_known = order.instrument.index() < self.instruments.len();
        if !is_known {
            return all(&|check| check == RiskCheck::Invalid || self.latched.contains(&check));
        }
        let is_valid = order.price.0 > 0 && order.qty.0 > 0 && usize::from(order.strategy.0) < STRATEGIES_MAX;
        all(&|check| {
            // Exempt, by the table.
            if order.reduce_only && !check.binds_closing() {
                return false;
            }
            if is_valid {
                return self.fails(check, order);
            }
            let no_order = OrderIntent { strategy: StrategyId(u16::MAX), ..*order };
            match check {
                RiskCheck::Invalid => true,
                RiskCheck::KillSwitch | RiskCheck::Reducing | RiskCheck::Unsynced | RiskCheck::MarketMove => {
                    self.fails(check, &no_order)
                }
                RiskCheck::ClockOffset | RiskCheck::Restricted | RiskCheck::LossPerTrade => self.fails(check, &no_order),
                RiskCheck::OpenOrders | RiskCheck::OpenOrdersInstrument => self.fails(check, &no_order),
                _ => self.latched.contains(&check),
            }
        })
    }
}

// What happens, to both sides.
impl World {
    fn new(limits: RiskLimits) -> World {
        let instrument = |exchange, symbol: &str, contract| Instrument {
            exchange,
            symbol: symbol.into(),
            tick: Price(PRICE_SCALE / 2),
            lot: Qty(QTY_SCALE),
            contract,
        };
        let instruments = vec![
            instrument(Exchange::BinanceSpot, "S", Contract::spot()),
            instrument(Exchange::BinanceUsdm, "L", Contract::Linear { multiplier: Qty(QTY_SCALE / 3) }),
            instrument(Exchange::BinanceCoinm, "I", Contract::inverse(100)),
        ];
        let market = Market {
            bbo: Bbo::default(),
            book: BookState::Unsynced,
            changed: Timestamp::MIN,
            mids: Vec::new(),
            mark: 0,
            paused_until: Timestamp::MIN,
            clock: None,
            is_clock_off: false,
            has_lost: false,
        };
        World {
            now: Timestamp(20_000 * 86_400 * NANOS_PER_SECOND - 5 * NANOS_PER_SECOND),
            account: Account::new(&instruments),
            risk: Risk::new(&limits, &instruments),
            markets: vec![market; instruments.len()],
            instruments,
            limits,
            sent: Vec::new(),
            cancels: Vec::new(),
            fills: Vec::new(),
            day: i64::MIN,
            day_began: 0,
            last_equity: 0,
            peak: 0,
            losing_run: 0,
            cooldown_until: Timestamp::MIN,
            latched: Vec::new(),
            killed: Vec::new(),
            breakers: Vec::new(),
        }
    }

    fn quote(&mut self, place: usize, bbo: Bbo) {
        let id = InstrumentId(place as u16);
        self.risk.on_quote(self.now, id, bbo);
        let (now, limits) = (self.now, self.limits);
        let market = &mut self.markets[place];
        market.bbo = bbo;
        if market.has_mid() {
            market.mark = ((i128::from(bbo.bid.price.0) + i128::from(bbo.ask.price.0)) / 2) as i64;
            market.mids.push((now, market.mark));
            let window = market.window(limits.pause_window_ns);
            let low = window.iter().map(|(_, mid)| *mid).min().unwrap_or(0);
            let high = window.iter().map(|(_, mid)| *mid).max().unwrap_or(0);
            if i128::from(high - low) * 10_000 > i128::from(low) * i128::from(limits.pause_move_bps) {
                market.paused_until = now.plus_nanos(limits.pause_ns);
            }
        }
        self.account.set_mark(id, Price(self.markets[place].mark));
        if self.account.fills() > 0 {
            self.risk.on_equity(self.now, id, &self.account);
            self.take_equity(place);
        }
    }

    fn take_equity(&mut self, place: usize) {
        let equity = self.equity();
        let day = self.now.0.div_euclid(86_400 * NANOS_PER_SECOND);
        if day != self.day {
            (self.day, self.day_began) = (day, self.last_equity);
        }
        self.last_equity = equity;
        self.peak = self.peak.max(equity);
        for (check, is_beyond) in [
            (RiskCheck::Loss, -equity > self.limits.loss_quote_max),
            (RiskCheck::DailyLoss, self.day_began - equity > self.limits.daily_loss_quote_max),
            (RiskCheck::Drawdown, self.peak - equity > self.limits.drawdown_quote_max),
        ] {
            if is_beyond {
                self.latch(check);
            }
        }
        let id = InstrumentId(place as u16);
        let has_lost = self.account.trade_net_quote(id) < -self.limits.loss_per_trade_quote_max;
        self.markets[place].has_lost = self.position(place) != 0 && (self.markets[place].has_lost || has_lost);
    }

    fn latch(&mut self, check: RiskCheck) {
        if !self.latched.contains(&check) {
            self.latched.push(check);
        }
    }

    fn clock(&mut self, place: usize, exchange_ns: i64) {
        let event = MarketEvent {
            seq: 1,
            recv_ns: self.now.0,
            exchange_ns,
            price: Price(0),
            qty: Qty(0),
            id: 0,
            instrument: InstrumentId(place as u16),
            kind: EventKind::Trade,
            side: Side::Buy,
            flags: EventFlags::BATCH_END,
        };
        self.risk.on_event(self.now, &event);
        let market = &mut self.markets[place];
        let offset = (self.now.0 - exchange_ns) as f64;
        let (mean, at) = market.clock.unwrap_or((offset, self.now));
        market.is_clock_off = (offset - mean).abs() > self.limits.clock_offset_ns_max as f64;
        let share = (self.now.since_ns(at) as f64 / 60e9).min(1.0);
        market.clock = Some((mean + (offset - mean) * share, self.now));
    }

    fn send(&mut self, order: &OrderIntent) {
        let OrderIntent { strategy, instrument, side, price, qty, time_in_force, reduce_only, signal } = *order;
        let id = OrderId::new(1, self.sent.len() as u32 + 1);
        let order = NewOrder { id, instrument, side, price, qty, time_in_force, reduce_only, signal };
        if self.account.on_sent(&order) {
            self.risk.on_sent(self.now, &order, strategy);
            self.sent.push((self.now, order, strategy));
        }
    }

    fn report(&mut self, open: OpenOrder, kind: ReportKind, price: i64, qty: i64) {
        let order = open.order;
        let report = ExecutionReport {
            order: order.id,
            instrument: order.instrument,
            kind,
            side: order.side,
            is_maker: false,
            recv: self.now,
            venue_time: self.now,
            price: Price(price),
            qty: Qty(qty),
            leaves: Qty(open.leaves.0 - qty),
            fee_quote: qty / 10,
        };
        assert!(self.risk.is_news(self.now, &report));
        let closed = self.account.on_report(&report);
        self.risk.on_report(self.now, &report, closed, &self.account);
        let place = order.instrument.index();
        if self.markets[place].mark == 0 {
            self.markets[place].mark = self.account.mark(order.instrument).0;
        }
        if kind == ReportKind::Fill {
            self.fills.push((self.now, self.raw(place, price, i128::from(qty))));
            self.take_equity(place);
        }
        if let Some(net_quote) = closed {
            self.losing_run = if net_quote < 0 { self.losing_run + 1 } else { 0 };
            if self.losing_run >= self.limits.losses_in_a_row_max {
                (self.losing_run, self.cooldown_until) = (0, self.now.plus_nanos(self.limits.cooldown_ns));
            }
        }
    }

    fn control(&mut self, control: Control) {
        self.risk.control(control);
        match control {
            Control::Reduce => self.latch(RiskCheck::Reducing),
            Control::Halt => self.latch(RiskCheck::KillSwitch),
            Control::Resume => {
                self.latched.clear();
                self.peak = self.last_equity;
            }
            Control::Kill(scope) => self.killed.push(scope),
            Control::Restore(scope) => self.killed.retain(|killed| *killed != scope),
        }
    }

    /// Breakers and executions have models of their own; here it is what they told that counts.
    fn take_changes(&mut self) {
        while let Some(change) = self.risk.take_change() {
            match (change.cause, change.scope) {
                (RiskCheck::Breaker, Some(Scope::Venue(venue))) => self.breakers.push((venue, change.value, change.until)),
                (RiskCheck::FillRate, None) if change.value == 1 => self.latch(RiskCheck::FillRate),
                _ => {}
            }
        }
    }
}

/// Numbers that decide what happens next.
type Dice = [u16; 6];

fn bbo(dice: &Dice) -> Bbo {
    let bid = (198 + i64::from(dice[2] % 5)) * PRICE_SCALE / 2;
    let level = |price, qty: u16| Level { price: Price(price), qty: Qty(i64::from(qty)) };
    Bbo {
        bid: level(bid, u16::from(!dice[3].is_multiple_of(30))),
        ask: level(bid + PRICE_SCALE / 2, u16::from(!dice[4].is_multiple_of(30))),
    }
}

fn intent(dice: &Dice) -> OrderIntent {
    let price = match dice[2] % 40 {
        0 => 0,
        1 => 100 * PRICE_SCALE + 1,
        other => (190 + i64::from(other / 2)) * PRICE_SCALE / 2,
    };
    let qty = match dice[3] % 40 {
        0 => -QTY_SCALE,
        1 => QTY_SCALE / 2,
        other => i64::from(other / 4) * QTY_SCALE,
    };
    OrderIntent {
        strategy: StrategyId(if dice[5].is_multiple_of(50) { 64 } else { dice[5] % 3 }),
        instrument: InstrumentId(if dice[1].is_multiple_of(50) { 3 } else { dice[1] % 3 }),
        side: if dice[4].is_multiple_of(2) { Side::Buy } else { Side::Sell },
        price: Price(price),
        qty: Qty(qty),
        time_in_force: TimeInForce::GoodTilCancelled,
        reduce_only: dice[4].is_multiple_of(5),
        signal: 0.0,
    }
}

fn limits(dice: &Dice) -> RiskLimits {
    let quote = |amount: u16| i128::from(amount) * i128::from(PRICE_SCALE);
    let mut limits = RiskLimits {
        order_qty_max: Qty(i64::from(dice[0] % 10 + 1) * QTY_SCALE),
        order_notional_quote_max: quote(dice[1] % 1_000 + 100),
        collar_bps: i64::from(dice[2] % 200),
        position_notional_quote_max: quote(dice[3] % 2_000),
        open_orders_max: usize::from(dice[4] % 8 + 1),
        orders_per_second_max: usize::from(dice[5] % 8),
        stale_after_ns: i64::from(dice[0] % 20) * NANOS_PER_SECOND / 10,
        loss_quote_max: quote(dice[1] % 100),
        position_gross_notional_quote_max: quote(dice[2] % 3_000),
        exposure_notional_quote_max: quote(dice[3] % 4_000),
        balance_quote: if dice[4].is_multiple_of(4) { i128::MAX } else { quote(dice[4] % 2_000) },
        leverage_max: i64::from(dice[5] % 5 + 1),
        open_orders_per_instrument_max: usize::from(dice[0] % 5),
        open_positions_max: usize::from(dice[1] % 4),
        turnover_quote_max: quote(dice[2] % 5_000),
        turnover_window_ns: 16 * NANOS_PER_SECOND / 4,
        messages_per_second_max: usize::from(dice[3] % 12),
        messages_per_window_max: usize::from(dice[4] % 30 + 1),
        message_window_ns: 3 * NANOS_PER_SECOND,
        duplicate_window_ns: i64::from(dice[5] % 3) * NANOS_PER_SECOND / 2,
        refuse_self_trade: !dice[0].is_multiple_of(3),
        fills_per_order_max: usize::from(dice[1] % 4 + 2),
        fills_per_strategy_max: usize::from(dice[2] % 10 + 3),
        clock_offset_ns_max: i64::from(dice[3] % 1_000) * 1_000_000,
        period_ns: 2 * NANOS_PER_SECOND,
        period_collar_bps: i64::from(dice[4] % 150),
        market_move_bps: i64::from(dice[5] % 150),
        pause_move_bps: i64::from(dice[0] % 200 + 50),
        pause_window_ns: NANOS_PER_SECOND,
        pause_ns: NANOS_PER_SECOND / 3,
        loss_per_trade_quote_max: quote(dice[1] % 20),
        losses_in_a_row_max: u32::from(dice[2] % 3 + 1),
        cooldown_ns: NANOS_PER_SECOND,
        daily_loss_quote_max: quote(dice[3] % 60),
        drawdown_quote_max: quote(dice[4] % 60),
        breaker_failures_min: 2,
        breaker_probes: 100,
        breaker_open_ns: NANOS_PER_SECOND,
        ..RiskLimits::default()
    };
    limits.instruments[0].is_spot = dice[5].is_multiple_of(2);
    limits.instruments[1].is_restricted = dice[0].is_multiple_of(10);
    for own in &mut limits.instruments {
        own.price_min = Price(i64::from(dice[1] % 97) * PRICE_SCALE);
        own.price_max = Price(i64::from(dice[2] % 30 + 95) * PRICE_SCALE);
        own.qty_min = Qty(i64::from(dice[3] % 3) * QTY_SCALE);
        own.qty_max = Qty(i64::from(dice[4] % 10 + 1) * QTY_SCALE);
        own.notional_quote_min = quote(dice[5] % 300);
    }
    limits
}

impl World {
    fn happen(&mut self, dice: &Dice) {
        let place = usize::from(dice[1] % 3);
        let id = InstrumentId(place as u16);
        self.now = self.now.plus_nanos(i64::from(dice[5] % 512) * NANOS_PER_SECOND / 1_024);
        match dice[0] % 32 {
            0..8 => self.quote(place, bbo(dice)),
            8..12 => {
                self.clock(place, self.now.0 - i64::from(dice[2] % 1_500) * 1_000_000);
                let event = MarketEvent {
                    seq: 1,
                    recv_ns: self.now.0,
                    exchange_ns: 0,
                    price: Price(1),
                    qty: Qty(1),
                    id: 0,
                    instrument: id,
                    kind: EventKind::LevelSet,
                    side: Side::Buy,
                    flags: EventFlags::NONE,
                };
                self.risk.on_event(self.now, &event);
                self.markets[place].changed = self.now;
            }
            12 => {
                let book = if dice[2].is_multiple_of(4) { BookState::Stale(StaleReason::Gap) } else { BookState::Synced };
                self.risk.on_book_state(id, book);
                self.markets[place].book = book;
            }
            13..20 => {
                let order = intent(dice);
                let is_sound = order.price.0 > 0 && order.qty.0 > 0 && order.instrument.0 < 3 && order.strategy.0 < 64;
                if is_sound {
                    self.send(&order);
                }
            }
            20 => {
                self.risk.on_cancel_sent(self.now);
                self.cancels.push(self.now);
            }
            21..30 => {
                let open = self.account.open_orders();
                if open.is_empty() {
                    return;
                }
                let open = open[usize::from(dice[2]) % open.len()];
                let qty = 1.max(open.leaves.0 / i64::from(dice[3] % 3 + 1));
                match dice[4] % 8 {
                    0 => self.report(open, ReportKind::Accepted, 0, 0),
                    1 => self.report(open, ReportKind::Rejected, 0, 0),
                    2 => self.report(open, ReportKind::Cancelled, 0, 0),
                    _ => self.report(open, ReportKind::Fill, (195 + i64::from(dice[5] % 10)) * PRICE_SCALE / 2, qty),
                }
            }
            30 => {
                let scope = [Scope::Strategy(StrategyId(dice[2] % 3)), Scope::Instrument(id), Scope::Venue(Exchange::BinanceUsdm)];
                let scope = scope[usize::from(dice[3] % 3)];
                match dice[4] % 12 {
                    0 => self.control(Control::Reduce),
                    1 => self.control(Control::Halt),
                    2..6 => self.control(Control::Resume),
                    6 => self.control(Control::Kill(scope)),
                    _ => self.control(Control::Restore(scope)),
                }
            }
            _ => {
                let limits = limits(dice);
                self.risk.set_limits(&limits);
                self.limits = limits;
            }
        }
        self.take_changes();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn the_pass_fails_what_the_reference_fails(
        first in any::<Dice>(), steps in prop::collection::vec((any::<Dice>(), any::<Dice>()), 1..250)
    ) {
        let mut world = World::new(limits(&first));
        for (step, order) in steps {
            world.happen(&step);
            let order = intent(&order);
            prop_assert_eq!(world.risk.failed_checks(world.now, &order), world.reference(&order), "{:?}", order);
        }
    }
}
