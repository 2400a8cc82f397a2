//! The checks with their numbers and names, and sets of them.

use std::fmt;

/// Makes [`RiskCheck`] and all that is said of each check from one list, so that they cannot differ.
macro_rules! risk_checks {
    ($($code:literal $variant:ident $name:literal $closing:ident $text:literal;)+) => {
        /// A check, by the number it has in journals and reports. Numbers and names never change and are never used again; a new
        /// check takes the next number. Checks are told in the order of their numbers.
        ///
        #[doc = include_str!("checks.md")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum RiskCheck {
            $(#[doc = $text] $variant = $code,)+
        }

        impl RiskCheck {
            /// How many checks there are; all numbers are below it.
            pub const COUNT: usize = [$($code,)+].len();

            /// Every check, by its number.
            pub const ALL: [RiskCheck; RiskCheck::COUNT] = [$(RiskCheck::$variant,)+];

            /// The name used in reports.
            pub fn name(self) -> &'static str {
                match self {
                    $(RiskCheck::$variant => $name,)+
                }
            }

            /// What fails it.
            pub fn description(self) -> &'static str {
                match self {
                    $(RiskCheck::$variant => $text,)+
                }
            }

            /// Whether it binds an order too that only makes a position smaller.
            pub fn binds_closing(self) -> bool {
                FailedChecks::BIND_CLOSING.contains(self)
            }
        }

        /// The checks that bind every order.
        const BIND_CLOSING: u64 = 0 $(| risk_checks!(@$closing $code))+;
    };
    (@all $code:literal) => { 1 << $code };
    (@opening $code:literal) => { 0 };
}

risk_checks! {
    0 KillSwitch "kill_switch" all "The kill switch is pulled for the whole system, the venue, the instrument or the strategy; until it is reset by hand.";
    1 Reducing "reducing" opening "The system was told, or a failing model made it, to close positions only; until it is reset by hand.";
    2 Invalid "invalid" all "Price or quantity is not above 0, or the instrument or the strategy is unknown.";
    3 Unsynced "unsynced" all "The book is not in sync, or a side of it is empty.";
    4 Stale "stale" all "The book has not changed for too long.";
    5 ReduceOnly "reduce_only" all "A reduce-only order would open or turn the position, open orders on its side counted.";
    6 Size "size" opening "The quantity is too large.";
    7 Notional "notional" opening "The value is too large.";
    8 Collar "collar" all "The price is too far from the mid price on the costly side.";
    9 Position "position" opening "The net position could become too large: what is held, open orders on the same side, and this one.";
    10 OpenOrders "open_orders" all "Too many orders are open.";
    11 Rate "rate" all "Too many orders within a second.";
    12 Precision "precision" all "The price is not a whole number of ticks, or the quantity of lots.";
    13 PriceRange "price_range" all "The price is outside what the venue allows for the instrument.";
    14 QtyRange "qty_range" all "The quantity is outside what the venue allows for the instrument.";
    15 NotionalMin "notional_min" opening "The value is below what the venue allows for the instrument.";
    16 PeriodCollar "period_collar" opening "The price is too far from the reference price of a period on the costly side.";
    17 MarketMove "market_move" opening "The market has moved too far from its reference price of a period.";
    18 VolatilityPause "volatility_pause" opening "The market moved too far within a time, and the pause after it is not over.";
    19 ClockOffset "clock_offset" all "The venue's clock and ours differ from their usual offset by too much.";
    20 Restricted "restricted" opening "The instrument is on the restricted list.";
    21 Balance "balance" opening "The balance does not cover the margin, or the cash, or a spot order would sell what is not held.";
    22 PositionGross "position_gross" opening "The gross position could become too large: what is held, all open orders on both sides, and this one.";
    23 Exposure "exposure" opening "The value of the positions of all instruments together could become too large.";
    24 OpenOrdersInstrument "open_orders_instrument" all "Too many orders are open on the instrument.";
    25 OpenPositions "open_positions" opening "Too many instruments have a position or an open order.";
    26 Turnover "turnover" opening "Too much was traded within a time, open orders and this one counted.";
    27 MessageRate "message_rate" all "Too many orders and cancels within a second.";
    28 MessageWindow "message_window" all "Too many orders and cancels within the longer window.";
    29 Duplicate "duplicate" all "An order of the same side, price and quantity was sent a short time ago.";
    30 SelfTrade "self_trade" all "It would meet an open order of our own on the other side.";
    31 Breaker "breaker" all "The circuit breaker of the venue's order entry is open; it tries again by itself after a time.";
    32 Loss "loss" all "The loss of the session passed its limit; until it is reset by hand.";
    33 DailyLoss "daily_loss" opening "The loss of the day (UTC) passed its limit; until it is reset by hand.";
    34 Drawdown "drawdown" opening "The fall from the highest equity passed its limit; until it is reset by hand.";
    35 Cdar "cdar" opening "The mean of the worst drawdowns of a window (CDaR) passed its limit; until it is reset by hand.";
    36 LossPerTrade "loss_per_trade" opening "The trade under way in the instrument loses too much; until it is closed.";
    37 Cooldown "cooldown" opening "Too many trades in a row lost, and the pause after them is not over.";
    38 RepeatedExecution "repeated_execution" all "The venue told the same execution twice; until it is reset by hand.";
    39 FillRate "fill_rate" all "One order or strategy had too many fills within a time; until it is reset by hand.";
}

const _: () = assert!(RiskCheck::COUNT <= 64);

impl RiskCheck {
    /// The check with this number.
    pub fn from_code(code: u8) -> Option<RiskCheck> {
        RiskCheck::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for RiskCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of checks: bit `n` is the check with number `n`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct FailedChecks(u64);

impl FailedChecks {
    /// No check.
    pub const NONE: FailedChecks = FailedChecks(0);

    /// The checks that an order must pass too that only makes a position smaller.
    pub const BIND_CLOSING: FailedChecks = FailedChecks(BIND_CLOSING);

    /// One check.
    #[inline]
    pub const fn of(check: RiskCheck) -> FailedChecks {
        FailedChecks(1 << check as u8)
    }

    /// The check where `is_failed`, else none.
    #[inline]
    pub(super) const fn when(check: RiskCheck, is_failed: bool) -> FailedChecks {
        FailedChecks((is_failed as u64) << check as u8)
    }

    /// The bits.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this check is among them.
    #[inline]
    pub const fn contains(self, check: RiskCheck) -> bool {
        self.0 >> check as u8 & 1 == 1
    }

    /// Those of either.
    #[inline]
    pub const fn or(self, other: FailedChecks) -> FailedChecks {
        FailedChecks(self.0 | other.0)
    }

    /// Those of both.
    #[inline]
    pub const fn and(self, other: FailedChecks) -> FailedChecks {
        FailedChecks(self.0 & other.0)
    }

    /// Those that are not in `other`.
    #[inline]
    pub const fn without(self, other: FailedChecks) -> FailedChecks {
        FailedChecks(self.0 & !other.0)
    }

    /// The one with the lowest number.
    #[inline]
    pub fn first(self) -> Option<RiskCheck> {
        RiskCheck::ALL.get(self.0.trailing_zeros() as usize).copied()
    }

    /// All of them, by number.
    pub fn iter(self) -> impl Iterator<Item = RiskCheck> {
        RiskCheck::ALL.into_iter().filter(move |check| self.contains(*check))
    }
}

impl fmt::Debug for FailedChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> String {
        let row = |check: RiskCheck| {
            let binds = if check.binds_closing() { "every order" } else { "opening" };
            format!("| {} | `{}` | {binds} | {} |\n", check as u8, check.name(), check.description())
        };
        let rows: String = RiskCheck::ALL.into_iter().map(row).collect();
        format!("| code | name | binds | what fails it |\n| --- | --- | --- | --- |\n{rows}")
    }

    #[test]
    fn the_table_in_the_docs_is_what_the_code_says() {
        let expected = table();
        assert!(include_str!("checks.md") == expected, "risk/checks.md must hold:\n{expected}");
    }

    #[test]
    fn numbers_are_places_and_names_are_told_apart() {
        for (place, check) in RiskCheck::ALL.into_iter().enumerate() {
            assert_eq!(check as usize, place);
            assert_eq!(RiskCheck::from_code(place as u8), Some(check));
            assert_eq!(RiskCheck::ALL.into_iter().filter(|other| other.name() == check.name()).count(), 1);
        }
        assert_eq!(RiskCheck::from_code(RiskCheck::COUNT as u8), None);
    }

    #[test]
    fn a_set_tells_its_first_and_all() {
        let set = FailedChecks::of(RiskCheck::Rate).or(FailedChecks::of(RiskCheck::Stale));
        assert_eq!(set.first(), Some(RiskCheck::Stale));
        assert_eq!(set.iter().collect::<Vec<_>>(), [RiskCheck::Stale, RiskCheck::Rate]);
        assert_eq!(set.without(FailedChecks::of(RiskCheck::Stale)).first(), Some(RiskCheck::Rate));
        assert_eq!(FailedChecks::NONE.first(), None);
    }
}
