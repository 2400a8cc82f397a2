//! What stops trading: losses, executions, kill switches, and limits replaced.

use super::*;

#[test]
fn loss_of_the_session_halts_and_is_reset_by_hand() {
    let mut case = case(|limits| limits.loss_quote_max = 50 * QUOTE);
    case.fill(buy(100.0, 10));
    case.quote(ID, 94.5, 95.5);
    case.passes(buy(100.0, 1));
    case.quote(ID, 94.5, 95.4);
    case.trips(buy(100.0, 1), RiskCheck::Loss);
    case.trips(closing(sell(100.0, 1)), RiskCheck::Loss);
    assert_eq!(case.risk.state(), TradingState::Halted);
    // A better price does not lift it, and another order to the system neither.
    case.quote(ID, 149.5, 150.5);
    case.risk.control(Control::Reduce);
    assert_eq!(case.check(closing(sell(100.0, 1))), Err(RiskCheck::Loss));
    assert_eq!(case.risk.state(), TradingState::Halted);
    case.risk.control(Control::Resume);
    case.passes(buy(100.0, 1));
    case.quote(ID, 89.5, 90.5);
    case.trips(buy(100.0, 1), RiskCheck::Loss);
    let causes = [(RiskCheck::Loss, 1), (RiskCheck::Reducing, 1), (RiskCheck::Reducing, 0), (RiskCheck::Loss, 0)];
    assert_eq!(case.causes(), [&causes[..], &[(RiskCheck::Loss, 1)]].concat());
}

#[test]
fn daily_loss_drawdown_and_cdar_leave_only_closing() {
    let of = |change: fn(&mut RiskLimits)| {
        let mut case = case(change);
        case.fill(buy(100.0, 10));
        case
    };
    let mut daily = of(|limits| limits.daily_loss_quote_max = 50 * QUOTE);
    daily.quote(ID, 94.5, 95.5);
    daily.passes(buy(100.0, 1));
    daily.quote(ID, 94.4, 95.5);
    daily.trips(buy(100.0, 1), RiskCheck::DailyLoss);
    daily.passes(closing(sell(100.0, 10)));
    assert_eq!(daily.risk.state(), TradingState::Reducing);
    // The next day lifts nothing by itself, and counts from its own beginning.
    daily.at(86_400.0).quote(ID, 94.4, 95.5);
    daily.trips(buy(100.0, 1), RiskCheck::DailyLoss);
    daily.risk.control(Control::Resume);
    daily.quote(ID, 90.0, 91.0);
    daily.passes(buy(100.0, 1));

    let mut drawdown = of(|limits| limits.drawdown_quote_max = 50 * QUOTE);
    drawdown.quote(ID, 109.5, 110.5);
    drawdown.quote(ID, 104.5, 105.5);
    drawdown.passes(buy(100.0, 1));
    drawdown.quote(ID, 104.4, 105.5);
    drawdown.trips(buy(100.0, 1), RiskCheck::Drawdown);
    drawdown.passes(closing(sell(100.0, 10)));

    // Worst half of the samples: of drawdowns 0, 50 and 100 it is the mean of 50 and 100.
    let cdar = |max: i128| {
        let mut case = case(|limits| {
            (limits.cdar_quote_max, limits.cdar_alpha_permille, limits.cdar_sample_ns) = (max * QUOTE, 500, SECOND);
        });
        case.fill(buy(100.0, 10));
        case.quote(ID, 94.5, 95.5);
        case.at(1.0).quote(ID, 89.5, 90.5);
        case.at(2.0).quote(ID, 99.5, 100.5);
        case
    };
    cdar(75).passes(buy(100.0, 1));
    cdar(74).trips(buy(100.0, 1), RiskCheck::Cdar);
    cdar(74).passes(closing(sell(100.0, 10)));
}

#[test]
fn loss_of_a_trade_binds_until_it_is_closed() {
    let mut case = case(|limits| limits.loss_per_trade_quote_max = 20 * QUOTE);
    case.fill(buy(100.0, 10));
    case.quote(ID, 97.5, 98.5);
    case.passes(buy(100.0, 1));
    case.quote(ID, 97.4, 98.5);
    case.trips(buy(100.0, 1), RiskCheck::LossPerTrade);
    case.passes(on(OTHER, buy(100.0, 1)));
    case.quote(ID, 99.5, 100.5);
    case.trips(buy(100.0, 1), RiskCheck::LossPerTrade);
    case.passes(closing(sell(100.0, 10)));
    case.fill(closing(sell(98.0, 10)));
    case.passes(buy(100.0, 1));
    assert_eq!(case.causes(), [(RiskCheck::LossPerTrade, 1), (RiskCheck::LossPerTrade, 0)]);
}

#[test]
fn cooldown_after_losing_trades_in_a_row() {
    let mut case = case(|limits| (limits.losses_in_a_row_max, limits.cooldown_ns) = (2, 30 * SECOND));
    let trade = |case: &mut Case, exit: f64| {
        case.fill(buy(100.0, 1));
        case.fill(sell(exit, 1));
    };
    for exit in [99.5, 100.0, 99.5] {
        trade(&mut case, exit);
        case.passes(buy(100.0, 1));
    }
    trade(&mut case, 99.5);
    case.trips(buy(100.0, 1), RiskCheck::Cooldown);
    case.at(30.0 - 1e-9).trips(buy(100.0, 1), RiskCheck::Cooldown);
    case.at(30.0).passes(buy(100.0, 1));
    assert_eq!(case.causes(), [(RiskCheck::Cooldown, 1)]);
}

#[test]
fn an_execution_told_twice_halts_and_has_no_effect() {
    let mut case = case(|_| ());
    let order = case.rest(buy(100.0, 2));
    case.report(order, ReportKind::Fill, Some((100.0, 1)));
    case.passes(buy(100.0, 1));
    let again = ExecutionReport {
        order,
        instrument: ID,
        kind: ReportKind::Fill,
        side: Side::Buy,
        is_maker: false,
        recv: case.now,
        venue_time: case.now,
        price: price(100.0),
        qty: qty(1),
        leaves: qty(1),
        fee_quote: 0,
    };
    case.take(&again);
    case.trips(buy(100.0, 1), RiskCheck::RepeatedExecution);
    assert_eq!((case.account.position(ID), case.risk.state()), (qty(1), TradingState::Halted));
    case.risk.control(Control::Resume);
    case.passes(buy(100.0, 1));
}

#[test]
fn fills_that_run_away_halt() {
    let mut case = case(|limits| {
        (limits.fills_per_order_max, limits.fills_per_strategy_max, limits.fill_window_ns) = (2, 3, SECOND);
    });
    let order = case.rest(buy(100.0, 10));
    case.report(order, ReportKind::Fill, Some((100.0, 1)));
    case.report(order, ReportKind::Fill, Some((100.0, 1)));
    case.fill(by(1, buy(100.0, 1)));
    case.fill(buy(100.0, 1));
    case.passes(buy(100.0, 1));
    case.fill(buy(100.0, 1));
    case.trips(by(1, buy(100.0, 1)), RiskCheck::FillRate);
    assert_eq!(case.risk.state(), TradingState::Halted);
    case.risk.control(Control::Resume);
    case.at(1.0).report(order, ReportKind::Fill, Some((100.0, 1)));
    case.passes(buy(100.0, 1));
}

#[test]
fn kill_switches_of_all_a_venue_an_instrument_and_a_strategy() {
    let mut case = case(|_| ());
    let orders = [buy(100.0, 1), by(1, buy(100.0, 1)), on(OTHER, buy(100.0, 1))];
    let hits = [
        (Control::Kill(Scope::Instrument(ID)), Control::Restore(Scope::Instrument(ID)), [true, true, false]),
        (Control::Kill(Scope::Strategy(StrategyId(1))), Control::Restore(Scope::Strategy(StrategyId(1))), [false, true, false]),
        (Control::Kill(Scope::Venue(Exchange::Kraken)), Control::Restore(Scope::Venue(Exchange::Kraken)), [false, false, true]),
        (Control::Halt, Control::Resume, [true, true, true]),
    ];
    for (kill, restore, is_hit) in hits {
        case.risk.control(kill);
        case.risk.control(kill);
        for (order, is_hit) in orders.into_iter().zip(is_hit) {
            assert_eq!(case.check(order), if is_hit { Err(RiskCheck::KillSwitch) } else { Ok(()) }, "{kill:?}");
        }
        case.risk.control(restore);
        orders.into_iter().for_each(|order| case.passes(order));
    }
    assert_eq!(case.causes(), [1, 0, 1, 0, 1, 0, 1, 0].map(|value| (RiskCheck::KillSwitch, value)));
    // A reset of the whole system leaves the switches of its parts.
    case.risk.control(Control::Kill(Scope::Instrument(ID)));
    case.risk.control(Control::Resume);
    case.trips(buy(100.0, 1), RiskCheck::KillSwitch);
}

#[test]
fn a_halt_cancels_what_is_open_and_a_reduction_what_opens() {
    let mut case = case(|_| ());
    case.fill(buy(100.0, 5));
    case.rest(closing(sell(101.0, 1)));
    case.rest(by(1, buy(99.0, 1)));
    case.rest(on(OTHER, buy(99.0, 1)));
    let mut cancelled = |control| -> Vec<bool> {
        case.risk.control(control);
        let change = case.risk.take_change().unwrap();
        case.account.open_orders().iter().map(|open| case.risk.cancels(&change, open)).collect()
    };
    assert_eq!(cancelled(Control::Kill(Scope::Strategy(StrategyId(1)))), [false, true, false]);
    assert_eq!(cancelled(Control::Kill(Scope::Instrument(OTHER))), [false, false, true]);
    assert_eq!(cancelled(Control::Kill(Scope::Venue(Exchange::BinanceUsdm))), [true, true, false]);
    assert_eq!(cancelled(Control::Restore(Scope::Venue(Exchange::BinanceUsdm))), [false; 3]);
    assert_eq!(cancelled(Control::Reduce), [false, true, true]);
    assert_eq!(cancelled(Control::Halt), [true; 3]);
    let limits = RiskLimits { cancel_on_halt: false, ..*case.risk.limits() };
    case.risk.set_limits(&limits);
    case.risk.control(Control::Resume);
    while case.risk.take_change().is_some() {}
    case.risk.control(Control::Halt);
    let change = case.risk.take_change().unwrap();
    assert!(!case.account.open_orders().iter().any(|open| case.risk.cancels(&change, open)));
}

#[test]
fn reducing_lets_only_smaller_positions_through() {
    let mut case = case(|limits| {
        (limits.order_qty_max, limits.order_notional_quote_max) = (qty(12), 1_000 * QUOTE);
        limits.position_notional_quote_max = 3_000 * QUOTE;
    });
    case.fill(sell(100.0, 40));
    case.risk.control(Control::Reduce);
    case.trips(sell(1.0, 1), RiskCheck::Reducing);
    // Beyond size, notional and position limits, and still allowed: it closes.
    case.passes(closing(buy(100.0, 40)));
    case.trips(closing(buy(100.0, 41)), RiskCheck::ReduceOnly);
}

#[test]
fn limits_are_replaced_and_what_was_counted_stays() {
    let mut case = case(|limits| limits.orders_per_second_max = 1);
    case.rest(buy(100.0, 1));
    case.trips(buy(100.0, 1), RiskCheck::Rate);
    let old = *case.risk.limits();
    let limits = RiskLimits { orders_per_second_max: 2, exposure_notional_quote_max: 200 * QUOTE, ..old };
    let record = case.risk.set_limits(&limits);
    assert_eq!(record, LimitsRecord::of(&old, &limits));
    case.passes(buy(100.0, 1));
    case.trips(buy(100.0, 2), RiskCheck::Exposure);
    case.rest(buy(100.0, 1));
    case.trips(buy(0.5, 1), RiskCheck::Rate);
}

#[test]
fn positions_and_open_orders_are_taken_from_a_recovered_account() {
    let limits = |limits: &mut RiskLimits| limits.position_notional_quote_max = 1_000 * QUOTE;
    let mut live = case(limits);
    live.fill(buy(100.0, 5));
    live.rest(buy(100.0, 2));
    let mut recovered = case(limits);
    recovered.risk.on_recovery(&live.account);
    for order in [buy(100.0, 3), buy(100.0, 4), closing(sell(100.0, 5)), closing(sell(100.0, 6))] {
        assert_eq!(recovered.risk.failed_checks(live.now, &order), live.risk.failed_checks(live.now, &order));
    }
}
