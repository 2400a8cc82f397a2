//! The pass: every check of one order, into one set of bits.

use super::checks::{FailedChecks, RiskCheck};
use super::limits::RiskLimits;
use super::line::RAW_MAX;
use super::{COLLAR_SCALE, RAW_SCALE, Risk};
use crate::decision::{OrderIntent, STRATEGIES_MAX};
use chronos_market::Timestamp;

/// The limits as the pass compares with them. Values are raw, as a line has them, and a bound is the first that is too large:
/// rounding a value down before comparing, as money is rounded, comes to the same.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Checks that are made at all, of every order and of one that closes.
    enabled: FailedChecks,
    enabled_closing: FailedChecks,
    order_qty_max: i64,
    order_value: i128,
    position_value: i128,
    position_gross_value: i128,
    exposure_value: i128,
    turnover_value: i128,
    stale_after_ns: i64,
    open_positions_max: usize,
    duplicate_window_ns: i64,
}

impl Bounds {
    pub(super) fn of(limits: &RiskLimits) -> Bounds {
        let first_beyond = |limit: i128| limit.saturating_add(1).saturating_mul(RAW_SCALE);
        let off = [
            (RiskCheck::Rate, limits.orders_per_second_max == usize::MAX),
            (RiskCheck::MessageRate, limits.messages_per_second_max == usize::MAX),
            (RiskCheck::MessageWindow, limits.messages_per_window_max == usize::MAX),
            (RiskCheck::Turnover, limits.turnover_quote_max == i128::MAX),
            (RiskCheck::Balance, limits.balance_quote == i128::MAX),
            (RiskCheck::Breaker, limits.breaker_failures_min == u32::MAX),
            (RiskCheck::SelfTrade, !limits.refuse_self_trade),
        ];
        let all = RiskCheck::ALL.into_iter().fold(FailedChecks::NONE, |all, check| all.or(FailedChecks::of(check)));
        let enabled = off.into_iter().fold(all, |all, (check, is_off)| all.without(FailedChecks::when(check, is_off)));
        Bounds {
            enabled,
            enabled_closing: enabled.and(FailedChecks::BIND_CLOSING),
            order_qty_max: limits.order_qty_max.0,
            order_value: first_beyond(limits.order_notional_quote_max),
            position_value: first_beyond(limits.position_notional_quote_max),
            position_gross_value: first_beyond(limits.position_gross_notional_quote_max),
            exposure_value: first_beyond(limits.exposure_notional_quote_max),
            turnover_value: first_beyond(limits.turnover_quote_max),
            stale_after_ns: limits.stale_after_ns,
            open_positions_max: limits.open_positions_max,
            duplicate_window_ns: limits.duplicate_window_ns,
        }
    }
}

impl Risk {
    /// Every check that an order sent at `now` would fail. Of an order that is [`RiskCheck::Invalid`], only what stands whatever the
    /// order is told beside.
    #[inline]
    pub fn failed_checks(&self, now: Timestamp, order: &OrderIntent) -> FailedChecks {
        use RiskCheck as Check;
        let when = FailedChecks::when;
        let Some(line) = self.lines.get(order.instrument.index()) else {
            return self.latches.or(FailedChecks::of(Check::Invalid));
        };
        let bounds = &self.bounds;
        let (price, qty) = (order.price.0, order.qty.0);
        let strategy = usize::from(order.strategy.0);
        let binding = if order.reduce_only { bounds.enabled_closing } else { bounds.enabled };
        let standing = self.latches.or(line.standing).or(self.counted);
        if price <= 0 || qty <= 0 || strategy >= STRATEGIES_MAX {
            return standing.or(FailedChecks::of(Check::Invalid)).and(binding);
        }
        let is_killed = self.killed_strategies >> strategy & 1 == 1;
        let (side, directed) = (order.side as usize, price * order.side.sign());
        let reach = line.reach(order.side, qty);
        let value = line.raw_value(price, qty);
        let worst_value = line.raw_value(price, reach.worst);
        let largest_value = if reach.largest == reach.worst { worst_value } else { line.raw_value(price, reach.largest) };
        let gross_value = line.raw_value(price, reach.gross);
        let exposure = self.exposure - line.value + largest_value;
        let weighed = if line.margin_weight == 1 { largest_value } else { largest_value.min(RAW_MAX) * line.margin_weight };
        let margin = self.margin - line.margin + weighed;
        let turnover = self.turnover.sum(now) + self.open_value + value;

        let failed = [
            when(Check::KillSwitch, is_killed),
            when(Check::Stale, now.since_ns(line.changed) > bounds.stale_after_ns),
            when(Check::ReduceOnly, order.reduce_only & !reach.reduces),
            when(Check::Size, qty > bounds.order_qty_max),
            when(Check::Notional, value >= bounds.order_value),
            when(Check::Collar, i128::from(directed) * i128::from(2 * COLLAR_SCALE) > line.collar_bound[side]),
            when(Check::Position, worst_value >= bounds.position_value),
            when(Check::Precision, !line.tick.divides(price as u64) | !line.lot.divides(qty as u64)),
            when(Check::PriceRange, (price < line.price_min) | (price > line.price_max)),
            when(Check::QtyRange, (qty < line.qty_min) | (qty > line.qty_max)),
            when(Check::NotionalMin, value < line.value_min),
            when(Check::PeriodCollar, directed > line.period_bound[side]),
            when(Check::VolatilityPause, now < line.paused_until),
            when(Check::Balance, (margin > self.buying_power) | reach.is_beyond),
            when(Check::PositionGross, gross_value >= bounds.position_gross_value),
            when(Check::Exposure, exposure >= bounds.exposure_value),
            when(Check::OpenPositions, (self.active_count >= bounds.open_positions_max) & !line.is_active()),
            when(Check::Turnover, turnover >= bounds.turnover_value),
            when(Check::Duplicate, line.is_duplicate(now, order.side, price, qty, bounds.duplicate_window_ns)),
            when(Check::SelfTrade, directed > line.own_bound[side]),
            when(Check::Breaker, self.breakers[line.venue].blocks(now)),
        ];
        let limited = if now < self.all_free { self.limited(now) } else { FailedChecks::NONE };
        failed.into_iter().fold(standing.or(limited), FailedChecks::or).and(binding)
    }

    /// The checks that only time lifts, where one of them fails.
    #[cold]
    fn limited(&self, now: Timestamp) -> FailedChecks {
        FailedChecks::when(RiskCheck::Rate, now < self.order_free)
            .or(FailedChecks::when(RiskCheck::MessageRate, now < self.message_free))
            .or(FailedChecks::when(RiskCheck::MessageWindow, now < self.window_free))
            .or(FailedChecks::when(RiskCheck::Cooldown, now < self.cooldown_until))
    }
}
