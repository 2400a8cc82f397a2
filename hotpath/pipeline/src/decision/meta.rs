//! The meta filter: a second model that says how far the first is to be believed.
//!
//! Meta-labelling (López de Prado, *Advances in Financial Machine Learning*, 2018, section 3.6): the primary strategy chooses the side, a
//! forest trained on whether such choices paid gives the probability that this one does. Below a threshold the decision is neutral;
//! above it the order's size is multiplied by the probability.

use super::{Input, Intent, OrderBuffer, OrderIntent, Strategy};
use crate::account::AccountView;
use chronos_inference::trees::{Calibration, Forest, Link};
use chronos_market::{FEATURES_MAX, Frame, Qty, Timestamp};
use std::fmt;

/// Name of the row's entry after the frame's features: 1 where the primary strategy buys, -1 where it sells.
pub const PRIMARY_SIDE: &str = "primary_side";
/// Name of the row's last entry: the magnitude of the primary signal.
pub const PRIMARY_STRENGTH: &str = "primary_strength";
/// Probability below which a decision is neutral, where nothing else is said.
pub const META_THRESHOLD: f64 = 0.65;

/// The second model. Its row is the frame's features it names, then [`PRIMARY_SIDE`] and [`PRIMARY_STRENGTH`].
#[derive(Clone, PartialEq, Debug)]
pub struct MetaModel {
    forest: Forest,
    calibration: Calibration,
    features: Vec<usize>,
    threshold: f64,
}

/// Why a forest is no meta model.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum MetaError {
    /// It predicts something else than a probability.
    NoProbability,
    /// It takes another number of features than are named, side and strength included.
    Features {
        /// What the forest takes.
        expected: usize,
        /// What is named.
        got: usize,
    },
    /// A feature has a place the frame has not.
    Place(usize),
    /// The threshold is not from 0 to 1.
    Threshold(f64),
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetaError::NoProbability => f.write_str("the forest does not predict a probability; train it with a logistic loss"),
            MetaError::Features { expected, got } => {
                write!(f, "the forest takes {expected} features, {got} are named with `{PRIMARY_SIDE}` and `{PRIMARY_STRENGTH}`")
            }
            MetaError::Place(place) => write!(f, "a frame has no feature at place {place}"),
            MetaError::Threshold(threshold) => write!(f, "the threshold is {threshold}, and must be 0 to 1"),
        }
    }
}

impl std::error::Error for MetaError {}

impl MetaModel {
    /// A model over the frame's features at `features`, in that order.
    ///
    /// # Errors
    /// [`MetaError`] where the forest does not fit.
    pub fn new(forest: Forest, calibration: Calibration, features: Vec<usize>, threshold: f64) -> Result<MetaModel, MetaError> {
        if !matches!(forest.link(), Link::Logistic { .. }) {
            return Err(MetaError::NoProbability);
        }
        if forest.features() != features.len() + 2 {
            return Err(MetaError::Features { expected: forest.features(), got: features.len() + 2 });
        }
        if let Some(place) = features.iter().find(|place| **place >= FEATURES_MAX) {
            return Err(MetaError::Place(*place));
        }
        if !(0.0..=1.0).contains(&threshold) {
            return Err(MetaError::Threshold(threshold));
        }
        Ok(MetaModel { forest, calibration, features, threshold })
    }

    /// Probability below which a decision is neutral.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The calibrated probability that an order of this signal pays; NaN where there is none. `row` is scratch of the forest's length.
    #[inline]
    fn probability(&self, frame: &Frame, order: &OrderIntent, row: &mut [f64]) -> f64 {
        let (of_frame, of_primary) = row.split_at_mut(self.features.len());
        for (slot, place) in of_frame.iter_mut().zip(&self.features) {
            *slot = frame.features[*place];
        }
        of_primary.copy_from_slice(&[order.side.sign() as f64, order.signal.abs()]);
        self.forest.predict(row).map_or(f64::NAN, |prediction| self.calibration.apply(prediction))
    }
}

/// What became of the orders that would have opened a position.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MetaCounters {
    /// Sent on, at their size times the probability.
    pub taken: u64,
    /// Dropped: the probability was below the threshold, or there was none.
    pub filtered: u64,
    /// Dropped: the size times the probability was less than a lot.
    pub too_small: u64,
}

/// A strategy whose opening orders pass a [`MetaModel`], or a strategy as it is where there is none.
///
/// Orders that may only make a position smaller always pass. What a strategy opens without a decision tick has no features to be judged
/// by, and is dropped. An order keeps the primary signal it rests on; its strategy's timers stay set.
#[derive(Debug)]
pub struct MetaFilter<S> {
    strategy: S,
    model: Option<MetaModel>,
    row: Vec<f64>,
    counters: MetaCounters,
}

impl<S> MetaFilter<S> {
    /// A filter around a strategy.
    pub fn new(strategy: S, model: Option<MetaModel>) -> MetaFilter<S> {
        let row = vec![0.0; model.as_ref().map_or(0, |model| model.forest.features())];
        MetaFilter { strategy, model, row, counters: MetaCounters::default() }
    }

    /// What became of the opening orders.
    pub fn counters(&self) -> MetaCounters {
        self.counters
    }
}

impl<S: Strategy> Strategy for MetaFilter<S> {
    #[inline]
    fn on_input(&mut self, now: Timestamp, input: Input<'_>, view: &AccountView<'_>, out: &mut OrderBuffer) {
        let before = out.intents().len();
        self.strategy.on_input(now, input, view, out);
        let Some(model) = &self.model else { return };
        if out.intents().len() == before {
            return;
        }
        let frame = if let Input::Decision(frame, _) = input { Some(frame) } else { None };
        let (row, counters) = (&mut self.row, &mut self.counters);
        out.retain_from(before, |intent| {
            let Intent::Place(order) = intent else { return true };
            if order.reduce_only {
                return true;
            }
            let known = frame.filter(|frame| frame.instrument == order.instrument).zip(view.instrument(order.instrument));
            let Some((frame, instrument)) = known else {
                counters.filtered += 1;
                return false;
            };
            let probability = model.probability(frame, order, row);
            if probability.is_nan() || probability < model.threshold {
                counters.filtered += 1;
                return false;
            }
            order.qty = share(order.qty, probability, instrument.lot);
            let count = if order.qty.0 > 0 { &mut counters.taken } else { &mut counters.too_small };
            *count += 1;
            order.qty.0 > 0
        });
    }
}

/// Whole lots in a share of a quantity; a share of 1 or more is the whole.
fn share(qty: Qty, share: f64, lot: Qty) -> Qty {
    if lot.0 <= 0 {
        return Qty::ZERO;
    }
    let lots = qty.0 / lot.0;
    Qty(((lots as f64 * share) as i64).min(lots).max(0) * lot.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Account;
    use chronos_inference::trees::{ForestParts, Node, Precision, Split, Tree, below};
    use chronos_market::{
        Bbo, BookState, Contract, Exchange, Instrument, InstrumentId, PRICE_SCALE, Price, QTY_SCALE, Side, TimeInForce,
    };

    /// Wants what it was made with at every input.
    struct Wants(Vec<Intent>);

    impl Strategy for Wants {
        fn on_input(&mut self, _now: Timestamp, _input: Input<'_>, _view: &AccountView<'_>, out: &mut OrderBuffer) {
            self.0.iter().for_each(|intent| match intent {
                Intent::Place(order) => out.place(*order),
                Intent::CancelAll(instrument) => out.cancel_all(*instrument),
            });
        }
    }

    /// Two thirds below 0.5 in the given place of the row, else 0.8.
    fn model(features: Vec<usize>, place: usize, threshold: f64) -> Result<MetaModel, MetaError> {
        let split = Split {
            feature: place,
            threshold: below(0.5),
            missing_left: true,
            zero_is_missing: false,
            left: 1,
            right: 2,
            gain: 1.0,
        };
        let nodes = vec![Node::split(split, 2.0), Node::leaf(2.0_f64.ln(), 1.0), Node::leaf(4.0_f64.ln(), 1.0)];
        let forest = Forest::new(ForestParts {
            link: Link::Logistic { slope: 1.0 },
            precision: Precision::Double,
            features: features.len() + 2,
            feature_names: Vec::new(),
            base_margins: vec![0.0],
            trees: vec![Tree { output: 0, root: 0, nodes }],
        });
        MetaModel::new(forest.unwrap(), Calibration::None, features, threshold)
    }

    fn order(side: Side, lots: i64, signal: f64, reduce_only: bool) -> Intent {
        Intent::Place(OrderIntent {
            strategy: crate::decision::StrategyId(0),
            instrument: InstrumentId(0),
            side,
            price: Price(PRICE_SCALE),
            qty: Qty(lots * LOT.0),
            time_in_force: TimeInForce::ImmediateOrCancel,
            reduce_only,
            signal,
        })
    }

    const LOT: Qty = Qty(QTY_SCALE / 100);

    fn frame(feature: f64) -> Frame {
        let mut features = [0.0; FEATURES_MAX];
        features[7] = feature;
        Frame {
            seq: 1,
            recv_ns: 1,
            elapsed_ns: 1,
            instrument: InstrumentId(0),
            book: BookState::Synced,
            warmup_left: 0,
            bbo: Bbo::default(),
            features,
        }
    }

    fn run(model: MetaModel, wants: Vec<Intent>, input: Input<'_>) -> (Vec<Intent>, MetaCounters) {
        let instrument = Instrument {
            exchange: Exchange::BinanceUsdm,
            symbol: "X".into(),
            tick: Price(1),
            lot: LOT,
            contract: Contract::spot(),
        };
        let account = Account::new(&[instrument]);
        let mut filter = MetaFilter::new(Wants(wants), Some(model));
        let mut out = OrderBuffer::new();
        filter.on_input(Timestamp(1), input, &account.view(), &mut out);
        (out.intents().to_vec(), filter.counters())
    }

    #[test]
    fn an_opening_order_is_sized_by_its_probability_or_dropped() {
        let wants = vec![order(Side::Buy, 10, 0.4, false)];
        // 10 lots times 2/3 and 0.8, down to whole lots.
        for (feature, lots) in [(0.0, 6), (1.0, 8)] {
            let (intents, counters) = run(model(vec![7], 0, 0.65).unwrap(), wants.clone(), Input::Decision(&frame(feature), None));
            assert_eq!(intents, [order(Side::Buy, lots, 0.4, false)], "the signal is kept");
            assert_eq!(counters, MetaCounters { taken: 1, ..MetaCounters::default() });
        }
        let (intents, counters) = run(model(vec![7], 0, 0.7).unwrap(), wants, Input::Decision(&frame(0.0), None));
        assert!(intents.is_empty());
        assert_eq!(counters, MetaCounters { filtered: 1, ..MetaCounters::default() });
        let (intents, counters) =
            run(model(vec![7], 0, 0.65).unwrap(), vec![order(Side::Buy, 1, 0.4, false)], Input::Decision(&frame(1.0), None));
        assert!(intents.is_empty());
        assert_eq!(counters, MetaCounters { too_small: 1, ..MetaCounters::default() });
    }

    #[test]
    fn side_and_strength_stand_at_the_end_of_the_row() {
        for (place, side, signal, lots) in
            [(1, Side::Buy, -0.4, 8), (1, Side::Sell, 0.9, 6), (2, Side::Sell, -0.6, 8), (2, Side::Buy, 0.4, 6)]
        {
            let wants = vec![order(side, 10, signal, false)];
            let (intents, _) = run(model(vec![7], place, 0.65).unwrap(), wants, Input::Decision(&frame(0.0), None));
            assert_eq!(intents, [order(side, lots, signal, false)], "{place} {side:?} {signal}");
        }
    }

    #[test]
    fn what_makes_a_position_smaller_passes_and_what_has_no_features_does_not() {
        let closing = [order(Side::Sell, 5, 0.1, true), Intent::CancelAll(InstrumentId(0))];
        let wants = [closing.as_slice(), &[order(Side::Buy, 5, 0.9, false)]].concat();
        let (intents, counters) = run(model(vec![7], 0, 0.0).unwrap(), wants, Input::Timer(super::super::TimerId(0)));
        assert_eq!(intents, closing);
        assert_eq!(counters.filtered, 1);
    }

    #[test]
    fn a_forest_that_does_not_fit_is_refused() {
        assert_eq!(model(vec![FEATURES_MAX], 0, 0.65), Err(MetaError::Place(FEATURES_MAX)));
        assert!(matches!(model(vec![1], 0, f64::NAN), Err(MetaError::Threshold(_))));
        let forest = model(vec![1], 0, 0.65).unwrap().forest;
        let refused = MetaModel::new(forest, Calibration::None, vec![1, 2], 0.65);
        assert_eq!(refused, Err(MetaError::Features { expected: 3, got: 4 }));
    }

    #[test]
    fn shares_are_whole_lots() {
        assert_eq!(share(Qty(10), 0.99, Qty(1)), Qty(9));
        assert_eq!(share(Qty(10), 1.0, Qty(1)), Qty(10));
        assert_eq!(share(Qty(i64::MAX), 1.0, Qty(1)), Qty(i64::MAX));
        assert_eq!(share(Qty(10), 0.5, Qty::ZERO), Qty::ZERO);
    }
}
