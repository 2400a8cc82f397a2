//! Each check by itself: what trips it, and what just does not.

mod market;
mod order;
mod random;
mod stops;

use super::*;
use crate::account::Account;
use chronos_market::{
    BookState, Contract, EventFlags, EventKind, ExecutionReport, Level, MarketEvent, NANOS_PER_SECOND, NewOrder, PRICE_SCALE,
    Price, QTY_SCALE, Qty, ReportKind, Side, TimeInForce,
};

const ID: InstrumentId = InstrumentId(0);
const OTHER: InstrumentId = InstrumentId(1);
const SECOND: i64 = NANOS_PER_SECOND;
const QUOTE: i128 = PRICE_SCALE as i128;

/// Two instruments with books of 99.5 / 100.5, no limit but those a test sets.
struct Case {
    risk: Risk,
    account: Account,
    now: Timestamp,
    next_order: u32,
}

fn price(quote: f64) -> Price {
    Price((quote * PRICE_SCALE as f64) as i64)
}

fn qty(units: i64) -> Qty {
    Qty(units * QTY_SCALE)
}

fn unlimited() -> RiskLimits {
    RiskLimits {
        order_notional_quote_max: i128::MAX,
        collar_bps: i64::MAX,
        position_notional_quote_max: i128::MAX,
        open_orders_max: usize::MAX,
        orders_per_second_max: usize::MAX,
        stale_after_ns: i64::MAX,
        loss_quote_max: i128::MAX,
        refuse_self_trade: false,
        ..RiskLimits::default()
    }
}

fn instrument(symbol: &str, exchange: Exchange, contract: Contract) -> Instrument {
    Instrument { exchange, symbol: symbol.into(), tick: price(0.5), lot: qty(1), contract }
}

fn case_of(limits: RiskLimits, contract: Contract) -> Case {
    let instruments = [
        instrument("X", Exchange::BinanceUsdm, contract),
        instrument("Y", Exchange::Kraken, Contract::spot()),
        instrument("Z", Exchange::Kraken, Contract::spot()),
    ];
    let mut case = Case {
        risk: Risk::new(&limits, &instruments),
        account: Account::new(&instruments),
        now: Timestamp(100 * SECOND),
        next_order: 1,
    };
    for id in [ID, OTHER] {
        case.risk.on_book_state(id, BookState::Synced);
        case.quote(id, 99.5, 100.5);
        case.change(id, case.now.0);
    }
    case
}

fn case(change: impl FnOnce(&mut RiskLimits)) -> Case {
    let mut limits = unlimited();
    change(&mut limits);
    case_of(limits, Contract::spot())
}

fn buy(at: f64, units: i64) -> OrderIntent {
    OrderIntent {
        strategy: StrategyId(0),
        instrument: ID,
        side: Side::Buy,
        price: price(at),
        qty: qty(units),
        time_in_force: TimeInForce::GoodTilCancelled,
        reduce_only: false,
        signal: 0.0,
    }
}

fn sell(at: f64, units: i64) -> OrderIntent {
    OrderIntent { side: Side::Sell, ..buy(at, units) }
}

fn closing(order: OrderIntent) -> OrderIntent {
    OrderIntent { reduce_only: true, ..order }
}

fn on(instrument: InstrumentId, order: OrderIntent) -> OrderIntent {
    OrderIntent { instrument, ..order }
}

fn by(strategy: u16, order: OrderIntent) -> OrderIntent {
    OrderIntent { strategy: StrategyId(strategy), ..order }
}

impl Case {
    fn check(&mut self, order: OrderIntent) -> Result<(), RiskCheck> {
        self.risk.check(self.now, &order)
    }

    /// The check trips, alone.
    #[track_caller]
    fn trips(&mut self, order: OrderIntent, check: RiskCheck) {
        assert_eq!(self.risk.failed_checks(self.now, &order), FailedChecks::of(check));
        assert_eq!(self.check(order), Err(check));
    }

    #[track_caller]
    fn passes(&mut self, order: OrderIntent) {
        assert_eq!(self.risk.failed_checks(self.now, &order), FailedChecks::NONE);
    }

    fn at(&mut self, seconds: f64) -> &mut Case {
        self.now = Timestamp(100 * SECOND + (seconds * SECOND as f64).round() as i64);
        self
    }

    fn quote(&mut self, id: InstrumentId, bid: f64, ask: f64) {
        let level = |at| Level { price: price(at), qty: qty(5) };
        self.risk.on_quote(self.now, id, Bbo { bid: level(bid), ask: level(ask) });
        self.account.set_mark(id, price((bid + ask) / 2.0));
        if self.account.fills() > 0 {
            self.risk.on_equity(self.now, id, &self.account);
        }
    }

    fn event(&mut self, id: InstrumentId, kind: EventKind, exchange_ns: i64) {
        let event = MarketEvent {
            seq: 1,
            recv_ns: self.now.0,
            exchange_ns,
            price: price(1.0),
            qty: qty(1),
            id: 1,
            instrument: id,
            kind,
            side: Side::Buy,
            flags: EventFlags::BATCH_END,
        };
        self.risk.on_event(self.now, &event);
    }

    fn change(&mut self, id: InstrumentId, at: i64) {
        let now = std::mem::replace(&mut self.now, Timestamp(at));
        self.event(id, EventKind::LevelSet, 0);
        self.now = now;
    }

    /// Sends an order whatever the checks say; it stays open.
    fn rest(&mut self, intent: OrderIntent) -> OrderId {
        let OrderIntent { strategy, instrument, side, price, qty, time_in_force, reduce_only, signal } = intent;
        let id = OrderId::new(1, self.next_order);
        self.next_order += 1;
        let order = NewOrder { id, instrument, side, price, qty, time_in_force, reduce_only, signal };
        assert!(self.account.on_sent(&order));
        self.risk.on_sent(self.now, &order, strategy);
        id
    }

    fn report(&mut self, order: OrderId, kind: ReportKind, fill: Option<(f64, i64)>) {
        let open = *self.account.open_orders().iter().find(|open| open.order.id == order).unwrap();
        let (at, units) = fill.unwrap_or((0.0, 0));
        let report = ExecutionReport {
            order,
            instrument: open.order.instrument,
            kind,
            side: open.order.side,
            is_maker: false,
            recv: self.now,
            venue_time: self.now,
            price: price(at),
            qty: qty(units),
            leaves: Qty(open.leaves.0 - qty(units).0),
            fee_quote: 0,
        };
        self.take(&report);
    }

    fn take(&mut self, report: &ExecutionReport) {
        if self.risk.is_news(self.now, report) {
            let closed = self.account.on_report(report);
            self.risk.on_report(self.now, report, closed, &self.account);
        }
    }

    /// Sends an order that fills at once.
    fn fill(&mut self, intent: OrderIntent) {
        let at = intent.price.to_f64();
        let order = self.rest(intent);
        self.report(order, ReportKind::Fill, Some((at, intent.qty.0 / QTY_SCALE)));
    }

    fn causes(&mut self) -> Vec<(RiskCheck, u8)> {
        std::iter::from_fn(|| self.risk.take_change()).map(|change| (change.cause, change.value)).collect()
    }
}
