//! Checks of the order, and of the order with what is held and open.

use super::*;

#[test]
fn size() {
    let mut case = case(|limits| limits.order_qty_max = qty(12));
    case.passes(buy(50.0, 12));
    case.trips(buy(50.0, 13), RiskCheck::Size);
}

#[test]
fn notional() {
    let mut case = case(|limits| limits.order_notional_quote_max = 1_000 * QUOTE);
    case.passes(buy(100.0, 10));
    case.trips(buy(100.5, 10), RiskCheck::Notional);
}

#[test]
fn notional_of_other_contracts() {
    let limits = RiskLimits { order_notional_quote_max: 1_000 * QUOTE, ..unlimited() };
    // A contract is a tenth of a coin.
    let mut linear = case_of(limits, Contract::Linear { multiplier: Qty(QTY_SCALE / 10) });
    linear.passes(buy(100.0, 100));
    linear.trips(buy(100.5, 100), RiskCheck::Notional);
    // A contract is 100 whatever the price.
    let mut inverse = case_of(limits, Contract::inverse(100));
    inverse.passes(buy(50_000.0, 10));
    inverse.trips(buy(50.0, 11), RiskCheck::Notional);
}

#[test]
fn collar_on_the_costly_side_only() {
    let mut case = case(|limits| limits.collar_bps = 100);
    case.passes(buy(101.0, 1));
    case.trips(buy(101.5, 1), RiskCheck::Collar);
    case.passes(buy(1.0, 1));
    case.passes(sell(99.0, 1));
    case.trips(sell(98.5, 1), RiskCheck::Collar);
    case.passes(sell(500.0, 1));
}

#[test]
fn net_position_counts_open_orders_of_its_side() {
    let mut case = case(|limits| limits.position_notional_quote_max = 3_000 * QUOTE);
    case.fill(buy(100.0, 18));
    case.rest(buy(100.0, 4));
    case.passes(buy(100.0, 8));
    case.trips(buy(100.0, 9), RiskCheck::Position);
    case.passes(sell(100.0, 48));
    case.trips(sell(100.0, 49), RiskCheck::Position);
}

#[test]
fn gross_position_counts_both_sides() {
    let mut case = case(|limits| limits.position_gross_notional_quote_max = 3_000 * QUOTE);
    case.fill(sell(100.0, 10));
    case.rest(buy(100.0, 5));
    case.rest(sell(100.0, 5));
    case.passes(buy(100.0, 10));
    case.trips(buy(100.0, 11), RiskCheck::PositionGross);
}

#[test]
fn exposure_is_of_all_instruments() {
    let mut case = case(|limits| limits.exposure_notional_quote_max = 3_000 * QUOTE);
    case.fill(on(OTHER, sell(100.0, 10)));
    case.rest(on(OTHER, sell(90.0, 5)));
    case.rest(buy(100.0, 5));
    // 1,500 of the other at its mid price.
    case.passes(buy(100.0, 10));
    case.trips(buy(100.0, 11), RiskCheck::Exposure);
    case.passes(sell(100.0, 15));
    case.trips(sell(100.0, 16), RiskCheck::Exposure);
    case.quote(OTHER, 119.5, 120.5);
    case.passes(buy(100.0, 7));
    case.trips(buy(100.0, 8), RiskCheck::Exposure);
}

#[test]
fn balance_covers_the_margin_of_contracts() {
    let mut case = case(|limits| (limits.balance_quote, limits.leverage_max) = (1_000 * QUOTE, 3));
    case.rest(buy(100.0, 10));
    case.passes(buy(100.0, 20));
    case.trips(buy(100.0, 21), RiskCheck::Balance);
    // A loss of 100 is gone from the balance, a pending buy counts at its mark.
    case.fill(on(OTHER, buy(110.0, 10)));
    case.quote(OTHER, 99.5, 100.5);
    case.passes(buy(100.0, 7));
    case.trips(buy(100.0, 8), RiskCheck::Balance);
}

#[test]
fn balance_of_inverse_contracts_is_their_face_value() {
    let limits = RiskLimits { balance_quote: 500 * QUOTE, leverage_max: 2, ..unlimited() };
    let mut case = case_of(limits, Contract::inverse(100));
    case.passes(sell(100.0, 10));
    case.trips(sell(100.0, 11), RiskCheck::Balance);
}

#[test]
fn spot_is_paid_in_full_and_sells_what_it_has() {
    let mut case = case(|limits| {
        (limits.balance_quote, limits.leverage_max) = (1_000 * QUOTE, 3);
        limits.instruments[0].is_spot = true;
    });
    case.trips(sell(100.0, 1), RiskCheck::Balance);
    case.passes(buy(100.0, 10));
    case.trips(buy(100.5, 10), RiskCheck::Balance);
    case.fill(buy(100.0, 5));
    case.rest(sell(101.0, 2));
    case.passes(sell(100.0, 3));
    case.trips(sell(100.0, 4), RiskCheck::Balance);
    // Without a balance nothing is owed to it.
    let mut free = self::case(|limits| limits.instruments[0].is_spot = true);
    free.passes(sell(100.0, 1));
}

#[test]
fn open_orders_of_all_and_of_an_instrument() {
    let mut case = case(|limits| (limits.open_orders_max, limits.open_orders_per_instrument_max) = (3, 2));
    case.rest(buy(100.0, 1));
    case.passes(buy(100.0, 1));
    case.rest(buy(100.0, 1));
    case.trips(buy(100.0, 1), RiskCheck::OpenOrdersInstrument);
    case.passes(on(OTHER, buy(100.0, 1)));
    let last = case.rest(on(OTHER, buy(100.0, 1)));
    case.trips(on(OTHER, buy(100.0, 1)), RiskCheck::OpenOrders);
    case.report(last, ReportKind::Cancelled, None);
    case.passes(on(OTHER, buy(100.0, 1)));
}

#[test]
fn open_positions_count_what_may_become_one() {
    let mut case = case(|limits| limits.open_positions_max = 1);
    case.passes(buy(100.0, 1));
    case.rest(buy(100.0, 1));
    case.passes(buy(100.0, 1));
    case.trips(on(OTHER, buy(100.0, 1)), RiskCheck::OpenPositions);
}

#[test]
fn rate_of_orders() {
    let mut case = case(|limits| limits.orders_per_second_max = 3);
    for seconds in [0.0, 0.1, 0.2] {
        case.at(seconds).passes(buy(100.0, 1));
        case.rest(buy(100.0, 1));
    }
    case.at(1.0 - 1e-9).trips(buy(100.0, 1), RiskCheck::Rate);
    case.at(1.0).passes(buy(100.0, 1));
    self::case(|limits| limits.orders_per_second_max = 0).trips(buy(100.0, 1), RiskCheck::Rate);
}

#[test]
fn rates_of_messages_count_cancels() {
    let mut case = case(|limits| {
        (limits.messages_per_second_max, limits.messages_per_window_max, limits.message_window_ns) = (2, 3, 5 * SECOND);
    });
    case.rest(buy(100.0, 1));
    case.passes(buy(100.0, 1));
    case.risk.on_cancel_sent(case.now);
    case.at(1.0 - 1e-9).trips(buy(100.0, 1), RiskCheck::MessageRate);
    case.at(1.0).passes(buy(100.0, 1));
    case.rest(buy(100.0, 1));
    case.at(5.0 - 1e-9).trips(buy(100.0, 1), RiskCheck::MessageWindow);
    case.at(5.0).passes(buy(100.0, 1));
}

#[test]
fn invalid() {
    for order in [
        buy(0.0, 1),
        buy(-1.0, 1),
        buy(100.0, 0),
        on(InstrumentId(3), buy(100.0, 1)),
        on(InstrumentId(u16::MAX), buy(100.0, 1)),
        by(64, buy(100.0, 1)),
    ] {
        let mut case = case(|_| ());
        case.trips(order, RiskCheck::Invalid);
        assert_eq!(case.risk.rejects().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [(RiskCheck::Invalid, 1)]);
    }
    case(|_| ()).passes(by(63, buy(0.5, 1)));
}

#[test]
fn precision() {
    let mut case = case(|_| ());
    case.trips(OrderIntent { price: Price(price(100.0).0 + 1), ..buy(0.5, 1) }, RiskCheck::Precision);
    case.trips(OrderIntent { qty: Qty(QTY_SCALE / 2), ..buy(100.0, 1) }, RiskCheck::Precision);
}

#[test]
fn ranges_of_price_quantity_and_value() {
    let mut case = case(|limits| {
        let own = &mut limits.instruments[0];
        (own.price_min, own.price_max) = (price(90.0), price(110.0));
        (own.qty_min, own.qty_max, own.notional_quote_min) = (qty(2), qty(5), 200 * QUOTE);
    });
    case.passes(buy(100.0, 2));
    case.passes(buy(110.0, 5));
    case.passes(buy(90.0, 3));
    case.trips(buy(89.5, 3), RiskCheck::PriceRange);
    case.trips(buy(110.5, 3), RiskCheck::PriceRange);
    case.trips(buy(100.0, 6), RiskCheck::QtyRange);
    case.trips(buy(99.5, 2), RiskCheck::NotionalMin);
    assert!(case.risk.failed_checks(case.now, &buy(100.0, 1)).contains(RiskCheck::QtyRange));
    case.passes(on(OTHER, buy(1.0, 1)));
}

#[test]
fn restricted_instruments_are_only_closed() {
    let mut case = case(|limits| limits.instruments[0].is_restricted = true);
    case.trips(buy(100.0, 1), RiskCheck::Restricted);
    case.passes(on(OTHER, buy(100.0, 1)));
    case.fill(buy(100.0, 1));
    case.passes(closing(sell(100.0, 1)));
}

#[test]
fn reduce_only() {
    let mut case = case(|_| ());
    case.trips(closing(buy(100.0, 1)), RiskCheck::ReduceOnly);
    case.fill(sell(100.0, 40));
    case.passes(closing(buy(100.0, 40)));
    case.trips(closing(buy(100.0, 41)), RiskCheck::ReduceOnly);
    case.rest(closing(buy(100.0, 30)));
    case.passes(closing(buy(100.0, 10)));
    case.trips(closing(buy(100.0, 11)), RiskCheck::ReduceOnly);
    case.trips(closing(sell(100.0, 1)), RiskCheck::ReduceOnly);
}

#[test]
fn turnover_counts_open_orders_and_fills_of_its_window() {
    let mut case = case(|limits| (limits.turnover_quote_max, limits.turnover_window_ns) = (3_000 * QUOTE, 16 * SECOND));
    case.fill(buy(100.0, 10));
    case.rest(sell(100.0, 10));
    case.passes(buy(100.0, 10));
    case.trips(buy(100.0, 11), RiskCheck::Turnover);
    case.at(17.0 - 1e-9).trips(buy(100.0, 11), RiskCheck::Turnover);
    case.at(17.0).passes(buy(100.0, 11));
}

#[test]
fn duplicate() {
    let mut case = case(|limits| limits.duplicate_window_ns = SECOND);
    let first = case.rest(buy(100.0, 3));
    case.report(first, ReportKind::Cancelled, None);
    case.trips(buy(100.0, 3), RiskCheck::Duplicate);
    for other in [buy(100.5, 3), buy(100.0, 2), sell(100.0, 3), on(OTHER, buy(100.0, 3))] {
        case.passes(other);
    }
    case.at(1.0 - 1e-9).trips(buy(100.0, 3), RiskCheck::Duplicate);
    case.at(1.0).passes(buy(100.0, 3));
}

#[test]
fn self_trade() {
    let mut case = case(|limits| limits.refuse_self_trade = true);
    let ask = case.rest(sell(101.0, 1));
    case.rest(buy(99.0, 1));
    case.passes(buy(100.5, 1));
    case.trips(buy(101.0, 1), RiskCheck::SelfTrade);
    case.passes(sell(99.5, 1));
    case.trips(sell(99.0, 1), RiskCheck::SelfTrade);
    case.report(ask, ReportKind::Cancelled, None);
    case.passes(buy(101.0, 1));
}

#[test]
fn first_failing_check_is_told_and_all_are_in_the_set() {
    let mut case = case(|limits| (limits.order_qty_max, limits.collar_bps, limits.orders_per_second_max) = (qty(1), 10, 0));
    let failed = case.risk.failed_checks(case.now, &buy(200.0, 2));
    assert_eq!(failed.iter().collect::<Vec<_>>(), [RiskCheck::Size, RiskCheck::Collar, RiskCheck::Rate]);
    assert_eq!(case.check(buy(200.0, 2)), Err(RiskCheck::Size));
}
