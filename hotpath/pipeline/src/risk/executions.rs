//! Executions that must not be: told twice, or too many within a time.

use super::checks::{FailedChecks, RiskCheck};
use super::limits::RiskLimits;
use crate::decision::StrategyId;
use chronos_market::{OrderId, Qty, Timestamp};

/// Executions that are remembered, and with it the largest limit on fills; a larger limit is none.
pub const FILLS_MAX: usize = 128;

/// The newest fills.
#[derive(Debug)]
pub(super) struct Executions {
    fills: Box<[Fill; FILLS_MAX]>,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Fill {
    order: OrderId,
    strategy: StrategyId,
    leaves: Qty,
    at: Timestamp,
}

impl Executions {
    pub(super) fn new() -> Executions {
        // Order numbers begin at 1.
        let none = Fill { order: OrderId(0), strategy: StrategyId(u16::MAX), leaves: Qty(i64::MIN), at: Timestamp::MIN };
        Executions { fills: Box::new([none; FILLS_MAX]), next: 0 }
    }

    /// Takes a fill. Returns the limits that it passes.
    ///
    /// A fill leaves less of its order open than the one before it, so two of an order that leave the same are one execution told
    /// twice. It is not counted again.
    pub(super) fn on_fill(
        &mut self,
        now: Timestamp,
        order: OrderId,
        strategy: StrategyId,
        leaves: Qty,
        limits: &RiskLimits,
    ) -> FailedChecks {
        if self.fills.iter().any(|fill| fill.order == order && fill.leaves == leaves) {
            return FailedChecks::of(RiskCheck::RepeatedExecution);
        }
        self.fills[self.next] = Fill { order, strategy, leaves, at: now };
        self.next = (self.next + 1) % FILLS_MAX;
        let (mut of_order, mut of_strategy) = (0, 0);
        for fill in self.fills.iter() {
            let is_within = usize::from(fill.at != Timestamp::MIN && now.since_ns(fill.at) < limits.fill_window_ns);
            of_order += is_within * usize::from(fill.order == order);
            of_strategy += is_within * usize::from(fill.strategy == strategy);
        }
        let is_too_many = of_order > limits.fills_per_order_max || of_strategy > limits.fills_per_strategy_max;
        FailedChecks::when(RiskCheck::FillRate, is_too_many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> RiskLimits {
        RiskLimits { fills_per_order_max: 2, fills_per_strategy_max: 3, fill_window_ns: 100, ..RiskLimits::default() }
    }

    #[test]
    fn an_execution_told_twice_is_noticed_at_once_and_later() {
        let (mut executions, limits) = (Executions::new(), RiskLimits::default());
        let mut fill =
            |order, leaves| executions.on_fill(Timestamp(0), OrderId(order), StrategyId(0), Qty(leaves), &limits).first();
        assert_eq!([fill(1, 5), fill(1, 3), fill(2, 3), fill(1, 0)], [None; 4]);
        assert_eq!([fill(1, 3), fill(1, 0), fill(2, 3)], [Some(RiskCheck::RepeatedExecution); 3]);
        assert_eq!(fill(2, 0), None);
    }

    #[test]
    fn fills_of_an_order_and_of_a_strategy_just_pass_and_trip() {
        let (mut executions, limits) = (Executions::new(), limits());
        let mut leaves = 1_000;
        let mut fill = |at, order, strategy| {
            leaves -= 1;
            executions.on_fill(Timestamp(at), OrderId(order), StrategyId(strategy), Qty(leaves), &limits).first()
        };
        assert_eq!([fill(0, 1, 0), fill(50, 1, 0), fill(100, 1, 0)], [None; 3], "the first has left the window");
        assert_eq!(fill(149, 1, 0), Some(RiskCheck::FillRate), "three of one order");
        assert_eq!([fill(300, 2, 1), fill(300, 3, 1), fill(399, 4, 1)], [None; 3]);
        assert_eq!(fill(399, 5, 1), Some(RiskCheck::FillRate), "four of one strategy");
        assert_eq!(fill(400, 6, 2), None, "another strategy");
    }
}
