//! The risk pass with every check enabled: one order that passes all of them.
//!
//! `cargo bench -p chronos-benches --bench risk` prints quantiles of single passes and the mean of a batch. With `-- count N` it does
//! nothing but N passes, for an instruction count:
//! `valgrind --tool=callgrind --toggle-collect='risk::passes*' target/release/deps/risk-* count 100000`.

use chronos_market::{
    Bbo, BookState, Contract, EventFlags, EventKind, Exchange, Instrument, InstrumentId, Level, MarketEvent, NANOS_PER_SECOND,
    NewOrder, OrderId, PRICE_SCALE, Price, QTY_SCALE, Qty, Side, TimeInForce, Timestamp,
};
use chronos_pipeline::account::Account;
use chronos_pipeline::decision::{OrderIntent, StrategyId};
use chronos_pipeline::risk::{FailedChecks, InstrumentLimits, Risk, RiskCheck, RiskLimits};
use hdrhistogram::Histogram;
use std::hint::black_box;
use std::time::Instant;

/// Passes in the measured batch.
const BATCH: u32 = 10_000_000;
/// Passes measured one by one.
const SINGLES: u32 = 2_000_000;
/// Goal for the median, in nanoseconds.
const GOAL_NS: u64 = 40;

fn main() {
    let (risk, now, intents) = warm_stage();
    for intent in &intents {
        assert_eq!(risk.failed_checks(now, intent), FailedChecks::NONE, "an order that passes every check is measured");
    }
    let mut words = std::env::args().skip_while(|word| word != "count").skip(1);
    if let Some(count) = words.next().and_then(|word| word.parse().ok()) {
        println!("{count} passes, {:?}", passes(&risk, now, &intents, count));
        return;
    }
    let begun = Instant::now();
    black_box(passes(&risk, now, &intents, BATCH));
    let mean_ns = begun.elapsed().as_nanos() as f64 / f64::from(BATCH);

    let clock = quanta::Clock::new();
    let mut histogram = Histogram::<u64>::new_with_max(1_000_000_000, 3).expect("bounds of a histogram");
    let mut empty = histogram.clone();
    for place in 0..SINGLES {
        let begun = clock.raw();
        black_box(());
        let between = clock.raw();
        black_box(risk.failed_checks(black_box(now), black_box(&intents[place as usize % intents.len()])));
        let ended = clock.raw();
        empty.saturating_record(clock.delta_as_nanos(begun, between));
        histogram.saturating_record(clock.delta_as_nanos(between, ended));
    }
    println!("risk pass, {} checks, {} intents in turn", RiskCheck::COUNT, intents.len());
    println!("  mean of a batch of {BATCH}: {mean_ns:.1} ns");
    for (name, histogram) in [("empty measurement", &empty), ("one pass, measurement included", &histogram)] {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| histogram.value_at_quantile(quantile));
        println!("  {name}: p50 {p50} ns, p99 {p99}, p99.9 {p999}, max {}", histogram.max());
    }
    let p50 = histogram.value_at_quantile(0.5).saturating_sub(empty.value_at_quantile(0.5));
    println!("  p50 less the empty one's: {p50} ns; goal {GOAL_NS}, {}", if p50 <= GOAL_NS { "met" } else { "MISSED" });
}

/// The work that is measured, in a function of its own so that its instructions can be told from the others.
#[inline(never)]
fn passes(risk: &Risk, now: Timestamp, intents: &[OrderIntent], count: u32) -> FailedChecks {
    let mut all = FailedChecks::NONE;
    for place in 0..count {
        all = all.or(risk.failed_checks(black_box(now), black_box(&intents[place as usize % intents.len()])));
    }
    all
}

/// Eight instruments with positions, 32 open orders and every limit in force.
fn warm_stage() -> (Risk, Timestamp, Vec<OrderIntent>) {
    let price = |quote: i64| Price(quote * PRICE_SCALE);
    let kinds = [Contract::spot(), Contract::Linear { multiplier: Qty(QTY_SCALE / 1_000) }, Contract::inverse(100)];
    let instruments: Vec<Instrument> = (0..8)
        .map(|place| Instrument {
            exchange: [Exchange::BinanceUsdm, Exchange::BinanceSpot, Exchange::BinanceCoinm][place % 3],
            symbol: format!("S{place}"),
            tick: Price(PRICE_SCALE / 10),
            lot: Qty(QTY_SCALE / 1_000),
            contract: kinds[place % 3],
        })
        .collect();
    let limits = every_limit();
    let (mut risk, mut account) = (Risk::new(&limits, &instruments), Account::new(&instruments));
    let mut now = Timestamp(1_723_161_254 * NANOS_PER_SECOND);
    let intent = |place: usize, side, at: i64| OrderIntent {
        strategy: StrategyId(1),
        instrument: InstrumentId(place as u16),
        side,
        price: price(at),
        qty: Qty(QTY_SCALE / 100),
        time_in_force: TimeInForce::GoodTilCancelled,
        reduce_only: false,
        signal: 0.5,
    };
    let mut counter = 0;
    for round in 0..4 {
        for place in 0..instruments.len() {
            now = now.plus_nanos(100_000_000);
            let id = InstrumentId(place as u16);
            let level = |at| Level { price: at, qty: Qty(QTY_SCALE) };
            risk.on_book_state(id, BookState::Synced);
            risk.on_quote(now, id, Bbo { bid: level(price(60_000)), ask: level(price(60_001)) });
            let event = MarketEvent {
                seq: 1,
                recv_ns: now.0,
                exchange_ns: now.0 + 1_270_000_000,
                price: price(60_000),
                qty: Qty(1),
                id: 1,
                instrument: id,
                kind: EventKind::LevelSet,
                side: Side::Buy,
                flags: EventFlags::BATCH_END,
            };
            risk.on_event(now, &event);
            let wanted = intent(place, Side::Buy, 59_000 + round);
            counter += 1;
            let order = NewOrder {
                id: OrderId::new(1, counter),
                instrument: id,
                side: wanted.side,
                price: wanted.price,
                qty: wanted.qty,
                time_in_force: wanted.time_in_force,
                reduce_only: false,
                signal: 0.5,
            };
            risk.on_sent(now, &order, wanted.strategy);
            account.on_sent(&order);
        }
    }
    let sides = [(Side::Buy, 60_001), (Side::Buy, 59_900)];
    let intents = (0..16).map(|place| intent(place % 8, sides[place / 8].0, sides[place / 8].1)).collect();
    (risk, now.plus_nanos(1_000_000), intents)
}

/// Every limit set, and wide enough to pass.
fn every_limit() -> RiskLimits {
    let quote = i128::from(PRICE_SCALE);
    RiskLimits {
        order_qty_max: Qty(100 * QTY_SCALE),
        position_gross_notional_quote_max: 1_000_000 * quote,
        position_notional_quote_max: 1_000_000 * quote,
        exposure_notional_quote_max: 10_000_000 * quote,
        balance_quote: 10_000_000 * quote,
        leverage_max: 10,
        open_orders_max: 64,
        orders_per_second_max: 100,
        open_orders_per_instrument_max: 32,
        open_positions_max: 20,
        turnover_quote_max: 100_000_000 * quote,
        messages_per_second_max: 200,
        messages_per_window_max: 2_000,
        duplicate_window_ns: NANOS_PER_SECOND,
        fills_per_order_max: 20,
        fills_per_strategy_max: 100,
        clock_offset_ns_max: 100_000_000,
        period_collar_bps: 200,
        market_move_bps: 300,
        pause_move_bps: 300,
        loss_per_trade_quote_max: 1_000 * quote,
        losses_in_a_row_max: 10,
        daily_loss_quote_max: 1_000 * quote,
        drawdown_quote_max: 1_000 * quote,
        cdar_quote_max: 1_000 * quote,
        breaker_failures_min: 5,
        instruments: [InstrumentLimits {
            price_min: Price(PRICE_SCALE),
            price_max: Price(1_000_000 * PRICE_SCALE),
            qty_min: Qty(QTY_SCALE / 1_000),
            qty_max: Qty(1_000 * QTY_SCALE),
            notional_quote_min: 0,
            ..InstrumentLimits::default()
        }; 64],
        ..RiskLimits::default()
    }
}
