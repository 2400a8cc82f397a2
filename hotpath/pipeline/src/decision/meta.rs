//! The meta filter: a second model that says how far the first is to be believed.
//!
//! Meta-labelling (López de Prado, *Advances in Financial Machine Learning*, 2018, section 3.6): the primary strategy chooses the side, a
//! forest trained on whether such choices paid gives the probability that this one does. Below a threshold the decision is neutral;
//! above it the order's size is multiplied by the probability.

use super::{Input, Intent, OrderBuffer, OrderIntent, Strategy};
use crate::account::AccountView;
use chronos_inference::trees::{Calibration, Forest, Link};
use chronos_market::{FEATURES_MAX, Frame, OrderId, Qty, Timestamp};
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

    /// The forest.
    pub fn forest(&self) -> &Forest {
        &self.forest
    }

    /// From the forest's answer to how often it is right.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
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

/// An order that left, and what it was decided on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SentOrder {
    /// Its identity.
    pub id: OrderId,
    /// When it was decided.
    pub now: Timestamp,
    /// The order as it was sent.
    pub order: OrderIntent,
    /// The quantity the strategy wanted, before it was sized.
    pub wanted: Qty,
    /// The decision tick; none where something else led to it, as a timer does.
    pub frame: Option<Frame>,
    /// The calibrated probability it was sized by; none where it only makes a position smaller and was not judged.
    pub probability: Option<f64>,
}

/// Waits for one order to be sent. An order gets its identity behind the filter, so what left it with one input is compared with the
/// account at the next.
#[derive(Debug)]
struct Watch {
    id: OrderId,
    /// What left the filter with the last input.
    candidates: Vec<SentOrder>,
    found: Option<SentOrder>,
}

impl Watch {
    /// The order, if one that left with the last input became it.
    fn look(&self, view: &AccountView<'_>, reported: Option<OrderId>) -> Option<SentOrder> {
        let open = view.open_orders().iter().map(|open| open.order).find(|order| order.id == self.id);
        let became = |candidate: &&SentOrder| match open {
            Some(open) => {
                let order = candidate.order;
                (open.instrument, open.side, open.price, open.qty) == (order.instrument, order.side, order.price, order.qty)
            }
            // It was over before anything else happened.
            None => reported == Some(self.id),
        };
        self.candidates.iter().rev().find(became).copied()
    }

    #[cold]
    fn begin(&mut self, input: &Input<'_>, view: &AccountView<'_>) {
        let reported = if let Input::Report(report) = input { Some(report.order) } else { None };
        self.found = self.found.or_else(|| self.look(view, reported));
        self.candidates.clear();
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
    /// Of a replay that explains an order; it allocates.
    watch: Option<Box<Watch>>,
}

impl<S> MetaFilter<S> {
    /// A filter around a strategy.
    pub fn new(strategy: S, model: Option<MetaModel>) -> MetaFilter<S> {
        let row = vec![0.0; model.as_ref().map_or(0, |model| model.forest.features())];
        MetaFilter { strategy, model, row, counters: MetaCounters::default(), watch: None }
    }

    /// The same filter, which keeps what the order of this identity was decided on, for [`MetaFilter::watched`]. It decides nothing
    /// differently for it.
    pub fn watching(mut self, id: Option<OrderId>) -> MetaFilter<S> {
        self.watch = id.map(|id| Box::new(Watch { id, candidates: Vec::new(), found: None }));
        self
    }

    /// The order that is watched for, once it was sent.
    pub fn watched(&self, view: &AccountView<'_>) -> Option<SentOrder> {
        self.watch.as_ref().and_then(|watch| watch.found.or_else(|| watch.look(view, None)))
    }

    /// What became of the opening orders.
    pub fn counters(&self) -> MetaCounters {
        self.counters
    }
}

impl<S: Strategy> Strategy for MetaFilter<S> {
    #[inline]
    fn on_input(&mut self, now: Timestamp, input: Input<'_>, view: &AccountView<'_>, out: &mut OrderBuffer) {
        if let Some(watch) = &mut self.watch {
            watch.begin(&input, view);
        }
        let before = out.intents().len();
        self.strategy.on_input(now, input, view, out);
        let Some(model) = &self.model else { return };
        if out.intents().len() == before {
            return;
        }
        let frame = if let Input::Decision(frame, _) = input { Some(frame) } else { None };
        let (row, counters, watch) = (&mut self.row, &mut self.counters, &mut self.watch);
        let mut note = |order: &OrderIntent, wanted: Qty, probability: Option<f64>| {
            if let Some(watch) = watch {
                let frame = frame.copied();
                watch.candidates.push(SentOrder { id: watch.id, now, order: *order, wanted, frame, probability });
            }
        };
        out.retain_from(before, |intent| {
            let Intent::Place(order) = intent else { return true };
            if order.reduce_only {
                note(order, order.qty, None);
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
            let wanted = order.qty;
            order.qty = share(wanted, probability, instrument.lot);
            if order.qty.0 == 0 {
                counters.too_small += 1;
                return false;
            }
            counters.taken += 1;
            note(order, wanted, Some(probability));
            true
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
        Bbo, BookState, Contract, Exchange, ExecutionReport, Instrument, InstrumentId, NewOrder, PRICE_SCALE, Price, QTY_SCALE,
        ReportKind, Side, TimeInForce,
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

    fn instrument() -> Instrument {
        let contract = Contract::spot();
        Instrument { exchange: Exchange::BinanceUsdm, symbol: "X".into(), tick: Price(1), lot: LOT, contract }
    }

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
        let account = Account::new(&[instrument()]);
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
    fn a_watched_order_is_told_with_what_it_was_decided_on() {
        let sent = |id: u32, intent: &Intent| {
            let Intent::Place(order) = *intent else { panic!("{intent:?}") };
            NewOrder {
                id: OrderId::new(1, id),
                instrument: order.instrument,
                side: order.side,
                price: order.price,
                qty: order.qty,
                time_in_force: order.time_in_force,
                reduce_only: order.reduce_only,
                signal: order.signal,
            }
        };
        let report = |id: u32| ExecutionReport {
            order: OrderId::new(1, id),
            instrument: InstrumentId(0),
            kind: ReportKind::Cancelled,
            side: Side::Buy,
            is_maker: false,
            recv: Timestamp(9),
            venue_time: Timestamp(8),
            price: Price(0),
            qty: Qty(0),
            leaves: Qty(0),
            fee_quote: 0,
        };
        // Order 2 is the second that passes risk; here it is still open at the next input, or over with it.
        for is_over in [false, true] {
            let (mut account, mut out) = (Account::new(&[instrument()]), OrderBuffer::new());
            let wants = vec![order(Side::Buy, 10, 0.4, false)];
            let filter = MetaFilter::new(Wants(wants), Some(model(vec![7], 0, 0.0).unwrap()));
            let mut filter = filter.watching(Some(OrderId::new(1, 2)));
            for (now, feature, id) in [(1, 0.0, Some(1)), (2, 0.0, None), (3, 1.0, Some(2)), (4, 0.0, Some(3))] {
                filter.on_input(Timestamp(now), Input::Decision(&frame(feature), None), &account.view(), &mut out);
                if let Some(id) = id {
                    account.on_sent(&sent(id, &out.intents()[0]));
                }
                out.clear();
                if id == Some(2) && is_over {
                    account.on_report(&report(2));
                    filter.on_input(Timestamp(now), Input::Report(&report(2)), &account.view(), &mut out);
                    out.clear();
                }
            }
            let told = filter.watched(&account.view()).unwrap();
            assert_eq!((told.id, told.now, told.wanted), (OrderId::new(1, 2), Timestamp(3), Qty(10 * LOT.0)));
            assert_eq!(told.order.qty, Qty(8 * LOT.0));
            assert!(told.frame.is_some_and(|frame| frame.features[7] == 1.0));
            assert!(told.probability.is_some_and(|probability| (probability - 0.8).abs() < 1e-12));
        }
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
