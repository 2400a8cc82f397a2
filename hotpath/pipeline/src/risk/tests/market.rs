//! Checks of the market and of the venue.

use super::*;
use chronos_market::StaleReason;

#[test]
fn stale() {
    let mut case = case(|limits| limits.stale_after_ns = SECOND);
    case.at(1.0).passes(buy(100.0, 1));
    case.at(1.0 + 1e-9).trips(buy(100.0, 1), RiskCheck::Stale);
    case.change(ID, case.now.0);
    case.passes(buy(100.0, 1));
}

#[test]
fn unsynced_until_synced_and_two_sided() {
    let mut case = case(|_| ());
    case.risk.on_book_state(ID, BookState::Stale(StaleReason::Gap));
    case.trips(buy(100.0, 1), RiskCheck::Unsynced);
    case.risk.on_book_state(ID, BookState::Synced);
    case.passes(buy(100.0, 1));
    case.risk.on_quote(case.now, ID, Bbo::default());
    case.trips(buy(100.0, 1), RiskCheck::Unsynced);
}

#[test]
fn period_collar_and_move_are_from_the_reference_price() {
    let limits = |limits: &mut RiskLimits| (limits.period_ns, limits.period_collar_bps) = (8 * SECOND, 200);
    let mut collar = case(limits);
    // Steps of a second that begin at 100 and 104: the reference is 102, two percent of it 2.04.
    collar.at(1.0).quote(ID, 103.5, 104.5);
    collar.quote(ID, 149.5, 150.5);
    collar.passes(buy(104.0, 1));
    collar.trips(buy(104.5, 1), RiskCheck::PeriodCollar);
    collar.passes(sell(100.0, 1));
    collar.trips(sell(99.5, 1), RiskCheck::PeriodCollar);
    collar.fill(buy(103.0, 1));
    collar.passes(closing(sell(99.5, 1)));

    let mut moved = case(|limits| (limits.period_ns, limits.market_move_bps) = (8 * SECOND, 200));
    moved.at(1.0).quote(ID, 103.5, 104.5);
    moved.passes(buy(100.0, 1));
    moved.quote(ID, 103.5, 104.6);
    moved.trips(buy(100.0, 1), RiskCheck::MarketMove);
    moved.at(9.0).quote(ID, 103.5, 104.6);
    moved.passes(buy(100.0, 1));
}

#[test]
fn volatility_pauses_and_the_pause_ends() {
    let mut case = case(|limits| (limits.pause_move_bps, limits.pause_window_ns, limits.pause_ns) = (100, 8 * SECOND, 10 * SECOND));
    case.at(7.0).quote(ID, 100.5, 101.5);
    case.passes(buy(100.0, 1));
    case.quote(ID, 100.5, 101.6);
    case.trips(buy(100.0, 1), RiskCheck::VolatilityPause);
    case.passes(on(OTHER, buy(100.0, 1)));
    case.at(17.0 - 1e-9).trips(buy(100.0, 1), RiskCheck::VolatilityPause);
    case.at(17.0).passes(buy(100.0, 1));
    assert_eq!(case.causes(), [(RiskCheck::VolatilityPause, 1)]);
    // The same move, but slower than the window.
    case.at(40.0).quote(ID, 99.5, 100.5);
    case.at(48.0).quote(ID, 100.5, 101.6);
    case.passes(buy(100.0, 1));
}

#[test]
fn clock_offset_is_from_its_slow_mean() {
    let mut case = case(|limits| limits.clock_offset_ns_max = 50_000_000);
    // The receive clock is 1.27 s behind, and that is usual.
    let behind = 1_270_000_000;
    case.event(ID, EventKind::Trade, case.now.0 + behind);
    case.passes(buy(100.0, 1));
    case.event(ID, EventKind::Trade, case.now.0 + behind + 50_000_000);
    case.passes(buy(100.0, 1));
    case.event(ID, EventKind::Trade, case.now.0 + behind + 50_000_001);
    case.trips(buy(100.0, 1), RiskCheck::ClockOffset);
    case.passes(on(OTHER, buy(100.0, 1)));
    case.event(ID, EventKind::Trade, case.now.0 + behind - 50_000_001);
    case.trips(buy(100.0, 1), RiskCheck::ClockOffset);
    case.event(ID, EventKind::Trade, 0);
    case.trips(buy(100.0, 1), RiskCheck::ClockOffset);
    // A lasting change becomes usual.
    for second in 0..600 {
        case.at(f64::from(second));
        case.event(ID, EventKind::Trade, case.now.0);
    }
    case.passes(buy(100.0, 1));
}

#[test]
fn breaker_of_a_venue_opens_tries_and_closes() {
    let mut case = case(|limits| {
        (limits.breaker_failures_min, limits.breaker_failure_percent) = (2, 60);
        (limits.breaker_open_ns, limits.breaker_probes) = (5 * SECOND, 1);
    });
    let answer = |case: &mut Case, kind| {
        let order = case.rest(buy(100.0, 1));
        case.report(order, kind, None);
    };
    answer(&mut case, ReportKind::Rejected);
    case.passes(buy(100.0, 1));
    case.risk.on_submit_error(case.now, ID);
    case.trips(buy(100.0, 1), RiskCheck::Breaker);
    case.passes(on(OTHER, buy(100.0, 1)));
    case.at(5.0 - 1e-9).trips(buy(100.0, 1), RiskCheck::Breaker);
    case.at(5.0).passes(buy(100.0, 1));
    answer(&mut case, ReportKind::Accepted);
    case.passes(buy(100.0, 1));
    assert_eq!(case.causes(), [1, 2, 0].map(|state| (RiskCheck::Breaker, state)));
    assert_eq!(case.risk.breaker(Exchange::BinanceUsdm), BreakerState::Closed);
}
