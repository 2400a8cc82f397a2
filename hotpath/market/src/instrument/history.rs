//! The terms of an instrument as they change over time.

use super::Contract;
use crate::fixed::{Price, Qty};
use crate::time::Timestamp;

/// What a venue demands of orders and how a contract pays, as long as it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InstrumentTerms {
    /// Smallest price step.
    pub tick: Price,
    /// Smallest quantity step.
    pub lot: Qty,
    /// Smallest quantity of an order; 0 where there is no limit.
    pub qty_min: Qty,
    /// Largest quantity of an order; 0 where there is no limit.
    pub qty_max: Qty,
    /// Smallest value of an order in quote currency; 0 where there is no limit.
    pub notional_min: Price,
    /// How it pays: multiplier, or face value of an inverse contract.
    pub contract: Contract,
}

/// An instrument's terms over time, each valid from its instant up to the next one's.
///
/// ```
/// use chronos_market::{Contract, InstrumentHistory, InstrumentTerms, Price, Qty, Timestamp};
///
/// let old = InstrumentTerms {
///     tick: Price(10_000_000),
///     lot: Qty(100_000),
///     qty_min: Qty(100_000),
///     qty_max: Qty(0),
///     notional_min: Price(0),
///     contract: Contract::spot(),
/// };
/// let mut history = InstrumentHistory::default();
/// history.set(Timestamp(1_000), old);
/// history.set(Timestamp(2_000), InstrumentTerms { tick: Price(100_000_000), ..old });
/// assert_eq!(history.at(Timestamp(1_999)).map(|terms| terms.tick), Some(Price(10_000_000)));
/// assert_eq!(history.at(Timestamp(2_000)).map(|terms| terms.tick), Some(Price(100_000_000)));
/// assert_eq!(history.at(Timestamp(999)), None);
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct InstrumentHistory {
    /// Ascending by time; no two neighbours alike.
    changes: Vec<(Timestamp, InstrumentTerms)>,
}

impl InstrumentHistory {
    /// Says what holds from `effective` on, up to the next change that is known; what was said of that very instant is replaced. To
    /// say what holds already adds nothing, so polled terms can be set as they come.
    pub fn set(&mut self, effective: Timestamp, terms: InstrumentTerms) {
        let place = self.changes.partition_point(|change| change.0 < effective);
        if self.changes.get(place).is_some_and(|change| change.0 == effective) {
            self.changes.remove(place);
        }
        self.changes.insert(place, (effective, terms));
        self.changes.dedup_by(|later, earlier| later.1 == earlier.1);
    }

    /// The terms at an instant; `None` before the first that are known.
    pub fn at(&self, instant: Timestamp) -> Option<&InstrumentTerms> {
        let after = self.changes.partition_point(|change| change.0 <= instant);
        Some(&self.changes.get(after.checked_sub(1)?)?.1)
    }

    /// Every change with the instant from which it holds, in order.
    pub fn changes(&self) -> &[(Timestamp, InstrumentTerms)] {
        &self.changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn terms(tick: i64) -> InstrumentTerms {
        InstrumentTerms {
            tick: Price(tick),
            lot: Qty(1),
            qty_min: Qty(1),
            qty_max: Qty(0),
            notional_min: Price(0),
            contract: Contract::spot(),
        }
    }

    proptest! {
        /// The naive model: of all that was said, the latest word on the latest instant not after the one asked for.
        #[test]
        fn the_latest_terms_said_hold(said in prop::collection::vec((0i64..50, 0i64..3), 0..40)) {
            let mut history = InstrumentHistory::default();
            for (place, &(effective, tick)) in said.iter().enumerate() {
                history.set(Timestamp(effective), terms(tick));
                prop_assert!(history.changes().windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1));
                let known = &said[..=place];
                // What holds from an instant on holds again after it was replaced there, so only the last word counts.
                let at = known.iter().filter(|one| one.0 <= effective).map(|one| one.0).max().unwrap();
                let expected = known.iter().rfind(|one| one.0 == at).map(|one| Price(one.1));
                prop_assert_eq!(history.at(Timestamp(effective)).map(|terms| terms.tick), expected);
            }
        }
    }
}
