//! The strategy that ships: take when the signal is strong, leave when it turns or its horizon is over.

use super::{Input, OrderBuffer, OrderIntent, Strategy, StrategyId, TimerId};
use crate::account::AccountView;
use chronos_inference::Prediction;
use chronos_market::features::index_of;
use chronos_market::{
    Bbo, Frame, INSTRUMENTS_MAX, Instrument, InstrumentId, PRICE_SCALE, Price, QTY_SCALE, Qty, Side, TimeInForce, Timestamp,
};

/// The features that the strategy's signal is made of where there is no model.
pub const SIGNAL_FEATURES: [&str; 2] = ["imbalance_1", "ofi_1_1s"];

/// The signal without a model, -1 to 1, from the values of [`SIGNAL_FEATURES`]: the mean of top-level imbalance and the hyperbolic tangent
/// of one-second order-flow imbalance.
#[inline]
pub fn feature_signal([imbalance, order_flow]: [f64; 2]) -> f64 {
    0.5 * (imbalance + order_flow.tanh())
}

/// The signal of an ensemble less `spread_penalty` standard deviations of its members, towards 0 and not beyond: where members disagree
/// there is less to act on. A single model's signal as it is.
#[inline]
pub fn cautious_signal(prediction: &Prediction, spread_penalty: f64) -> f64 {
    let signal = prediction.signal();
    (signal.abs() - spread_penalty * f64::from(prediction.spread)).max(0.0).copysign(signal)
}

/// Parameters of the [`ThresholdStrategy`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ThresholdConfig {
    /// Signal from which a position is opened, above 0 to 1. The signal is the model's P(up) - P(down), an ensemble's drawn towards 0
    /// by its spread; without a model [`feature_signal`].
    pub entry: f64,
    /// Signal against the position from which it is closed early, 0 to 1.
    pub exit: f64,
    /// Value of an opening order in quote currency.
    pub order_notional_quote: f64,
    /// How long a position is held, in nanoseconds of logical time.
    pub horizon_ns: i64,
    /// Widest spread at which a position is opened, in basis points of the mid price.
    pub spread_bps_max: f64,
    /// Ticks beyond the opposite best that an order may pay.
    pub slippage_ticks: i64,
    /// Spreads of an ensemble's members by which its signal is drawn towards 0, 0 or more; see [`cautious_signal`]. A single model has
    /// no spread.
    pub spread_penalty: f64,
}

impl Default for ThresholdConfig {
    fn default() -> Self {
        ThresholdConfig {
            entry: 0.35,
            exit: 0.2,
            order_notional_quote: 1_000.0,
            horizon_ns: 5_000_000_000,
            spread_bps_max: 5.0,
            slippage_ticks: 2,
            spread_penalty: 1.0,
        }
    }
}

/// Opens with an immediate-or-cancel order when the signal passes `entry`, one position an instrument at a time; closes when the
/// horizon is over or the signal turns by `exit`, and keeps trying until flat.
#[derive(Debug)]
pub struct ThresholdStrategy {
    config: ThresholdConfig,
    size_scale: f64,
    state: Vec<InstrumentState>,
    /// Places of the features it reads without a model; without them there is no signal.
    imbalance: Option<usize>,
    order_flow: Option<usize>,
}

#[derive(Clone, Copy, Default, Debug)]
struct InstrumentState {
    bbo: Bbo,
    signal: f64,
    /// Set while a position is to be closed.
    is_closing: bool,
}

impl ThresholdStrategy {
    /// A strategy without positions.
    pub fn new(config: ThresholdConfig) -> ThresholdStrategy {
        ThresholdStrategy {
            config,
            size_scale: 1.0,
            state: vec![InstrumentState::default(); INSTRUMENTS_MAX],
            imbalance: index_of(SIGNAL_FEATURES[0]),
            order_flow: index_of(SIGNAL_FEATURES[1]),
        }
    }

    fn signal(&self, frame: &Frame, prediction: Option<&Prediction>) -> f64 {
        match (prediction, self.imbalance, self.order_flow) {
            (Some(prediction), ..) => cautious_signal(prediction, self.config.spread_penalty),
            (None, Some(imbalance), Some(order_flow)) => feature_signal([frame.features[imbalance], frame.features[order_flow]]),
            _ => 0.0,
        }
    }

    fn decide(&mut self, now: Timestamp, frame: &Frame, signal: f64, view: &AccountView<'_>, out: &mut OrderBuffer) {
        let place = frame.instrument.index();
        let Some(instrument) = view.instrument(frame.instrument) else { return };
        self.state[place].bbo = frame.bbo;
        self.state[place].signal = signal;
        let position = view.position(frame.instrument).0;
        if view.has_open_order(frame.instrument) {
            return;
        }
        if position != 0 {
            if signal * position.signum() as f64 <= -self.config.exit {
                self.state[place].is_closing = true;
            }
            if self.state[place].is_closing {
                self.close(frame.instrument, instrument, view, out);
            }
            return;
        }
        self.state[place].is_closing = false;
        let mid = frame.bbo.mid();
        let spread_bps = (frame.bbo.ask.price.to_f64() - frame.bbo.bid.price.to_f64()) / mid * 1e4;
        if signal.abs() < self.config.entry || spread_bps > self.config.spread_bps_max || !frame.bbo.is_two_sided() {
            return;
        }
        out.count_signal();
        let side = if signal > 0.0 { Side::Buy } else { Side::Sell };
        let qty = quantity(self.config.order_notional_quote * self.size_scale, frame.bbo, side, instrument);
        if qty.0 > 0 {
            out.place(self.take(frame.instrument, instrument, frame.bbo, side, qty, false, signal));
            out.set_timer(TimerId(frame.instrument.0), now.plus_nanos(self.config.horizon_ns));
        }
    }

    fn close(&self, id: InstrumentId, instrument: &Instrument, view: &AccountView<'_>, out: &mut OrderBuffer) {
        let state = &self.state[id.index()];
        let position = view.position(id).0;
        if position == 0 || !state.bbo.is_two_sided() || view.has_open_order(id) {
            return;
        }
        let side = if position > 0 { Side::Sell } else { Side::Buy };
        out.place(self.take(id, instrument, state.bbo, side, Qty(position.saturating_abs()), true, state.signal));
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of the order it makes")]
    fn take(
        &self,
        id: InstrumentId,
        instrument: &Instrument,
        bbo: Bbo,
        side: Side,
        qty: Qty,
        reduce_only: bool,
        signal: f64,
    ) -> OrderIntent {
        let opposite = if side == Side::Buy { bbo.ask.price } else { bbo.bid.price };
        let slippage = instrument.tick.0.saturating_mul(self.config.slippage_ticks).saturating_mul(side.sign());
        OrderIntent {
            strategy: StrategyId(0),
            instrument: id,
            side,
            price: Price(opposite.0.saturating_add(slippage).max(instrument.tick.0)),
            qty,
            time_in_force: TimeInForce::ImmediateOrCancel,
            reduce_only,
            signal,
        }
    }
}

impl Strategy for ThresholdStrategy {
    #[inline]
    fn on_input(&mut self, now: Timestamp, input: Input<'_>, view: &AccountView<'_>, out: &mut OrderBuffer) {
        match input {
            Input::Decision(frame, prediction) if frame.warmup_left == 0 => {
                let signal = self.signal(frame, prediction);
                self.decide(now, frame, signal, view, out);
            }
            Input::Timer(TimerId(number)) => {
                let id = InstrumentId(number);
                if let (Some(state), Some(instrument)) = (self.state.get_mut(id.index()), view.instrument(id))
                    && view.position(id).0 != 0
                {
                    state.is_closing = true;
                    self.close(id, instrument, view, out);
                }
            }
            Input::Parameters(block) => self.size_scale = block.size_scale,
            Input::Market(_) | Input::Decision(..) | Input::Report(_) | Input::Control(_) => {}
        }
    }
}

/// Whole lots worth `notional_quote` at the price to be paid.
fn quantity(notional_quote: f64, bbo: Bbo, side: Side, instrument: &Instrument) -> Qty {
    let price = if side == Side::Buy { bbo.ask.price } else { bbo.bid.price };
    let one_lot = instrument.notional_quote(price, instrument.lot) as f64 / PRICE_SCALE as f64;
    if one_lot <= 0.0 || instrument.lot.0 <= 0 {
        return Qty::ZERO;
    }
    let lots = (notional_quote / one_lot).floor().clamp(0.0, (i64::MAX / QTY_SCALE) as f64) as i64;
    Qty(lots.saturating_mul(instrument.lot.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Contract, Exchange, Level};

    #[test]
    fn the_features_it_reads_are_registered() {
        assert!(SIGNAL_FEATURES.iter().all(|name| index_of(name).is_some()));
    }

    #[test]
    fn disagreement_draws_the_signal_towards_zero_and_not_beyond() {
        let prediction = |weights: [f32; 3], spread| Prediction { logits: weights.map(f32::ln), forecast: 0.0, spread };
        // P(up) - P(down) is 0.6 - 0.1.
        let up = |spread| cautious_signal(&prediction([1.0, 3.0, 6.0], spread), 2.0);
        assert!((up(0.0) - 0.5).abs() < 1e-7 && (up(0.1) - 0.3).abs() < 1e-7 && up(0.3) == 0.0);
        let down = cautious_signal(&prediction([6.0, 3.0, 1.0], 0.1), 2.0);
        assert!((down + 0.3).abs() < 1e-7);
    }

    #[test]
    fn quantities_are_whole_lots_below_the_notional_on_both_kinds_of_contract() {
        let level = |price: i64| Level { price: Price(price * PRICE_SCALE), qty: Qty(QTY_SCALE) };
        let bbo = Bbo { bid: level(50_000), ask: level(50_001) };
        let instrument = |contract, lot| Instrument {
            exchange: Exchange::BinanceUsdm,
            symbol: "X".into(),
            tick: Price(1),
            lot: Qty(lot),
            contract,
        };
        let linear = instrument(Contract::spot(), QTY_SCALE / 1_000);
        // 1000 / 50001 = 0.019999: 19 lots of 0.001. At the bid it is just 20.
        assert_eq!(quantity(1_000.0, bbo, Side::Buy, &linear), Qty(19 * QTY_SCALE / 1_000));
        assert_eq!(quantity(1_000.0, bbo, Side::Sell, &linear), Qty(20 * QTY_SCALE / 1_000));
        let inverse = instrument(Contract::inverse(100), QTY_SCALE);
        assert_eq!(quantity(1_050.0, bbo, Side::Buy, &inverse), Qty(10 * QTY_SCALE));
        assert_eq!(quantity(99.0, bbo, Side::Buy, &inverse), Qty::ZERO);
    }
}
