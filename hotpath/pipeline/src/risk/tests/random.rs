//! Numbers of every size, and long sessions within limits.

use super::*;
use proptest::prelude::*;

/// Any order, any quote, any report, any limit.
fn any_order() -> impl Strategy<Value = OrderIntent> {
    let number = prop_oneof![any::<i64>(), Just(i64::MAX), Just(i64::MIN), 0i64..1_000_000];
    (0u16..80, 0u16..4, any::<bool>(), number.clone(), number, any::<bool>()).prop_map(
        |(strategy, instrument, buys, at, units, reduce_only)| OrderIntent {
            strategy: StrategyId(strategy),
            instrument: InstrumentId(instrument),
            side: if buys { Side::Buy } else { Side::Sell },
            price: Price(at),
            qty: Qty(units),
            time_in_force: TimeInForce::GoodTilCancelled,
            reduce_only,
            signal: 0.0,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_number_panics_or_overflows(
        steps in prop::collection::vec((any_order(), any::<[i64; 6]>(), 0u8..8), 1..40),
        limits in any::<[i64; 6]>(), contract in 0u8..3, number: i64
    ) {
        let [a, b, c, d, e, f] = limits;
        let mut block = RiskLimits {
            order_notional_quote_max: i128::from(a) << (b & 63),
            exposure_notional_quote_max: i128::from(b),
            balance_quote: i128::from(c) << (d & 63),
            leverage_max: d,
            collar_bps: e,
            period_collar_bps: f,
            market_move_bps: a,
            pause_move_bps: b,
            pause_ns: c,
            turnover_quote_max: i128::from(d),
            turnover_window_ns: e,
            period_ns: f,
            loss_per_trade_quote_max: i128::from(a),
            daily_loss_quote_max: i128::from(b),
            drawdown_quote_max: i128::from(c),
            cdar_quote_max: i128::from(d),
            cdar_sample_ns: e,
            breaker_failures_min: f as u32,
            breaker_window_ns: a,
            breaker_open_ns: b,
            clock_offset_ns_max: c,
            losses_in_a_row_max: 1,
            cooldown_ns: d,
            ..unlimited()
        };
        block.instruments[0].is_spot = a & 1 == 1;
        let contract = match contract {
            0 => Contract::spot(),
            1 => Contract::Linear { multiplier: Qty(number & (QTY_SCALE - 1)) },
            _ => Contract::Inverse { contract_quote: Price(number) },
        };
        let mut case = case_of(block, contract);
        for (order, [a, b, c, d, e, f], what) in steps {
            case.now = Timestamp(a).max(case.now);
            let _ = case.risk.failed_checks(case.now, &order);
            match what {
                0 => {
                    let level = |at, units| Level { price: Price(at), qty: Qty(units) };
                    case.risk.on_quote(case.now, order.instrument, Bbo { bid: level(b, c), ask: level(d, e) });
                    case.account.set_mark(order.instrument, Price(b));
                    case.risk.on_equity(case.now, order.instrument, &case.account);
                }
                1 => case.event(order.instrument, EventKind::LevelSet, b),
                2 | 3 if case.account.open_orders().len() < OPEN_ORDERS_MAX => {
                    case.rest(order);
                }
                4 => {
                    let _ = case.risk.set_limits(&RiskLimits { collar_bps: a, leverage_max: b, period_collar_bps: c, ..block });
                }
                _ => {
                    let report = ExecutionReport {
                        order: OrderId::new(1, (f & 31) as u32),
                        instrument: order.instrument,
                        kind: ReportKind::Fill,
                        side: order.side,
                        is_maker: false,
                        recv: case.now,
                        venue_time: case.now,
                        price: Price(b),
                        qty: Qty(c),
                        leaves: Qty(d),
                        fee_quote: e,
                    };
                    case.take(&report);
                }
            }
        }
    }

    /// A day of orders that stay within limits, as a replay makes them, never halts, reduces or pauses anything.
    #[test]
    fn nothing_trips_within_limits(seed in any::<u64>()) {
        let mut case = case(|limits| {
            *limits = RiskLimits {
                loss_quote_max: 100 * QUOTE,
                daily_loss_quote_max: 100 * QUOTE,
                drawdown_quote_max: 200 * QUOTE,
                cdar_quote_max: 200 * QUOTE,
                loss_per_trade_quote_max: 50 * QUOTE,
                losses_in_a_row_max: 2_001,
                fills_per_order_max: 3,
                fills_per_strategy_max: 20,
                breaker_failures_min: 3,
                clock_offset_ns_max: 20_000_000,
                pause_move_bps: 500,
                market_move_bps: 500,
                period_collar_bps: 600,
                collar_bps: 600,
                messages_per_second_max: 50,
                messages_per_window_max: 500,
                position_gross_notional_quote_max: 5_000 * QUOTE,
                exposure_notional_quote_max: 5_000 * QUOTE,
                ..RiskLimits::default()
            };
        });
        let mut state = seed;
        let mut roll = |sides: u64| {
            // A linear congruential generator (Knuth), its high bits.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % sides) as i64
        };
        for step in 0..500 {
            case.now = Timestamp(100 * SECOND + step * 43 * SECOND + roll(1_000_000_000));
            case.change(ID, case.now.0);
            // The position is one lot, the price within one of 100, and each trade returns to flat: what it may lose is bounded.
            let mid = 99.5 + roll(3) as f64 * 0.5;
            case.quote(ID, mid - 0.5, mid + 0.5);
            case.event(ID, EventKind::Trade, case.now.0 + 1_270_000_000 + roll(10_000_000));
            let order = match case.account.position(ID).0.signum() {
                0 if roll(2) == 0 => buy(100.0, 1),
                0 => sell(100.0, 1),
                1 => closing(sell(100.0, 1)),
                _ => closing(buy(100.0, 1)),
            };
            prop_assert_eq!(case.check(order), Ok(()));
            let id = case.rest(order);
            case.report(id, ReportKind::Accepted, None);
            match roll(10) {
                0 => case.report(id, ReportKind::Cancelled, None),
                1 if step % 4 == 0 => case.report(id, ReportKind::Rejected, None),
                _ => case.report(id, ReportKind::Fill, Some((100.0, 1))),
            }
            prop_assert_eq!((case.risk.state(), case.risk.take_change()), (TradingState::Active, None));
        }
    }
}
