//! `[risk]`: pre-trade limits.

use super::{ConfigError, InstrumentConfig, nanos};
use chronos_market::{Exchange, Instrument, NANOS_PER_MILLI, PRICE_SCALE, Price, Qty};
use chronos_pipeline::risk::{FILLS_MAX, InstrumentLimits, RATE_MAX, RiskLimits};
use serde::{Deserialize, Serialize};

/// `[risk]`. Where it says so, 0 means no limit. What the checks do is told with
/// [`RiskCheck`](chronos_pipeline::risk::RiskCheck).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RiskSection {
    /// Largest quantity of one order, in units of quantity; 0 for no limit but notional.
    pub order_qty_max: f64,
    /// Largest value of one order, in quote currency.
    pub order_notional_quote_max: f64,
    /// Furthest an order's price may be from the mid price on the costly side, in basis points.
    pub collar_bps: i64,
    /// Largest value of the position that open orders could lead to, in quote currency.
    pub position_notional_quote_max: f64,
    /// Largest value of an instrument's position and all its open orders of both sides, in quote currency; 0 for none.
    pub position_gross_notional_quote_max: f64,
    /// Largest value of all positions together that open orders could lead to, in quote currency; 0 for none.
    pub exposure_notional_quote_max: f64,
    /// Money at the beginning, in quote currency, that margins contracts and pays for spot; 0: neither is checked.
    pub balance_quote: f64,
    /// Value of contracts for each unit of money, 1 to 1,000.
    pub leverage_max: i64,
    /// Most orders open at once, at most 64.
    pub open_orders_max: usize,
    /// Most orders open at once on one instrument; 0 for none.
    pub open_orders_per_instrument_max: usize,
    /// Most instruments with a position or an open order; 0 for none.
    pub open_positions_max: usize,
    /// Most orders sent in any one second, at most 1,024.
    pub orders_per_second_max: usize,
    /// Most orders and cancels in any one second, at most 4,096; 0 for none. Cancels count and are never refused.
    pub messages_per_second_max: usize,
    /// Most orders and cancels in `message_window_ms`, at most 4,096; 0 for none.
    pub messages_per_window_max: usize,
    /// The longer window of messages, in milliseconds.
    pub message_window_ms: f64,
    /// Largest value traded in `turnover_window_ms`, open orders counted, in quote currency; 0 for none.
    pub turnover_quote_max: f64,
    /// The window of the turnover, in milliseconds.
    pub turnover_window_ms: f64,
    /// Time in which no two orders may have the same instrument, side, price and quantity, in milliseconds; 0 for none.
    pub duplicate_window_ms: f64,
    /// Whether an order that would meet one of our own is refused.
    pub refuse_self_trade: bool,
    /// Most fills of one order in `fill_window_ms`, at most 128; more halt trading; 0 for no limit.
    pub fills_per_order_max: usize,
    /// Most fills of one strategy in `fill_window_ms`, at most 128; more halt trading; 0 for no limit.
    pub fills_per_strategy_max: usize,
    /// The window for fills, in milliseconds.
    pub fill_window_ms: f64,
    /// Symbols in which no position may be opened.
    pub restricted: Vec<String>,
    /// Oldest a book may be, in milliseconds since its last change.
    pub stale_after_ms: f64,
    /// Furthest that receive time less the venue's time may be from its slow mean, in milliseconds; 0 for no limit.
    pub clock_offset_ms_max: f64,
    /// The period of the reference price, in milliseconds.
    pub period_ms: f64,
    /// Furthest an order's price may be from the reference price on the costly side, in basis points; 0 for no limit.
    pub period_collar_bps: i64,
    /// Furthest the mid price may be from the reference price, in basis points; 0 for no limit.
    pub market_move_bps: i64,
    /// Largest move of the mid price in `pause_window_ms`, in basis points, beyond which a pause begins; 0 for no limit.
    pub pause_move_bps: i64,
    /// The window of that move, in milliseconds.
    pub pause_window_ms: f64,
    /// Length of the pause, in milliseconds.
    pub pause_ms: f64,
    /// Largest loss of one trade, from flat to flat, beyond which it may only be closed, in quote currency; 0 for no limit.
    pub loss_per_trade_quote_max: f64,
    /// Losing trades in a row that begin a cooldown; 0 for none.
    pub losses_in_a_row_max: u32,
    /// Length of the cooldown, in milliseconds.
    pub cooldown_ms: f64,
    /// Loss of the session, fees included, beyond which trading halts, in quote currency.
    pub loss_quote_max: f64,
    /// Loss since the beginning of the day (UTC) beyond which only closing is allowed, in quote currency; 0 for no limit.
    pub daily_loss_quote_max: f64,
    /// Fall from the highest equity beyond which only closing is allowed, in quote currency; 0 for no limit.
    pub drawdown_quote_max: f64,
    /// Conditional drawdown at risk beyond which only closing is allowed, in quote currency; 0 for no limit.
    pub cdar_quote_max: f64,
    /// Its level: 0.95 is the mean of the worst 5 % of the drawdowns sampled.
    pub cdar_alpha: f64,
    /// Time between two samples, in milliseconds; the newest 256 count.
    pub cdar_sample_ms: f64,
    /// Rejects and errors of a venue's order entry from which its circuit breaker may open; 0 for no breaker.
    pub breaker_failures_min: u32,
    /// Share of failures among all answers from which it then opens, in percent.
    pub breaker_failure_percent: u32,
    /// The window of the breaker, in milliseconds.
    pub breaker_window_ms: f64,
    /// How long it stays open before orders pass on trial, in milliseconds.
    pub breaker_open_ms: f64,
    /// Orders on trial that must be accepted to close it.
    pub breaker_probes: u32,
    /// Whether open orders are cancelled when trading halts or a kill switch is pulled.
    pub cancel_on_halt: bool,
}

impl Default for RiskSection {
    fn default() -> Self {
        let limits = RiskLimits::default();
        let quote = |amount: i128| if amount == i128::MAX { 0.0 } else { amount as f64 / PRICE_SCALE as f64 };
        let count = |count: usize| if count == usize::MAX { 0 } else { count };
        let bps = |bps: i64| if bps == i64::MAX { 0 } else { bps };
        let millis = |nanos: i64| if nanos == i64::MAX { 0.0 } else { nanos as f64 / NANOS_PER_MILLI as f64 };
        let many = |count: u32| if count == u32::MAX { 0 } else { count };
        RiskSection {
            order_qty_max: 0.0,
            order_notional_quote_max: quote(limits.order_notional_quote_max),
            collar_bps: limits.collar_bps,
            position_notional_quote_max: quote(limits.position_notional_quote_max),
            position_gross_notional_quote_max: quote(limits.position_gross_notional_quote_max),
            exposure_notional_quote_max: quote(limits.exposure_notional_quote_max),
            balance_quote: quote(limits.balance_quote),
            leverage_max: limits.leverage_max,
            open_orders_max: limits.open_orders_max,
            open_orders_per_instrument_max: count(limits.open_orders_per_instrument_max),
            open_positions_max: count(limits.open_positions_max),
            orders_per_second_max: limits.orders_per_second_max,
            messages_per_second_max: count(limits.messages_per_second_max),
            messages_per_window_max: count(limits.messages_per_window_max),
            message_window_ms: millis(limits.message_window_ns),
            turnover_quote_max: quote(limits.turnover_quote_max),
            turnover_window_ms: millis(limits.turnover_window_ns),
            duplicate_window_ms: millis(limits.duplicate_window_ns),
            refuse_self_trade: limits.refuse_self_trade,
            fills_per_order_max: count(limits.fills_per_order_max),
            fills_per_strategy_max: count(limits.fills_per_strategy_max),
            fill_window_ms: millis(limits.fill_window_ns),
            restricted: Vec::new(),
            stale_after_ms: millis(limits.stale_after_ns),
            clock_offset_ms_max: millis(limits.clock_offset_ns_max),
            period_ms: millis(limits.period_ns),
            period_collar_bps: bps(limits.period_collar_bps),
            market_move_bps: bps(limits.market_move_bps),
            pause_move_bps: bps(limits.pause_move_bps),
            pause_window_ms: millis(limits.pause_window_ns),
            pause_ms: millis(limits.pause_ns),
            loss_per_trade_quote_max: quote(limits.loss_per_trade_quote_max),
            losses_in_a_row_max: many(limits.losses_in_a_row_max),
            cooldown_ms: millis(limits.cooldown_ns),
            loss_quote_max: quote(limits.loss_quote_max),
            daily_loss_quote_max: quote(limits.daily_loss_quote_max),
            drawdown_quote_max: quote(limits.drawdown_quote_max),
            cdar_quote_max: quote(limits.cdar_quote_max),
            cdar_alpha: f64::from(limits.cdar_alpha_permille) / 1_000.0,
            cdar_sample_ms: millis(limits.cdar_sample_ns),
            breaker_failures_min: many(limits.breaker_failures_min),
            breaker_failure_percent: limits.breaker_failure_percent,
            breaker_window_ms: millis(limits.breaker_window_ns),
            breaker_open_ms: millis(limits.breaker_open_ns),
            breaker_probes: limits.breaker_probes,
            cancel_on_halt: limits.cancel_on_halt,
        }
    }
}

impl RiskSection {
    /// Checks every value against its range.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let range = |is_good: bool, key: &'static str, message: String| {
            if is_good { Ok(()) } else { Err(ConfigError::Range { key, message }) }
        };
        range((0.0..=9e10).contains(&self.order_qty_max), "risk.order_qty_max", "must be 0 (no limit) to 9e10".into())?;
        for (key, amount) in [
            ("risk.order_notional_quote_max", self.order_notional_quote_max),
            ("risk.position_notional_quote_max", self.position_notional_quote_max),
            ("risk.position_gross_notional_quote_max", self.position_gross_notional_quote_max),
            ("risk.exposure_notional_quote_max", self.exposure_notional_quote_max),
            ("risk.balance_quote", self.balance_quote),
            ("risk.turnover_quote_max", self.turnover_quote_max),
            ("risk.loss_per_trade_quote_max", self.loss_per_trade_quote_max),
            ("risk.loss_quote_max", self.loss_quote_max),
            ("risk.daily_loss_quote_max", self.daily_loss_quote_max),
            ("risk.drawdown_quote_max", self.drawdown_quote_max),
            ("risk.cdar_quote_max", self.cdar_quote_max),
        ] {
            range((0.0..=1e15).contains(&amount), key, "must be 0 to 1e15".into())?;
        }
        for (key, number, low, high) in [
            ("risk.collar_bps", self.collar_bps, 0, 10_000),
            ("risk.leverage_max", self.leverage_max, 1, 1_000),
            ("risk.period_collar_bps", self.period_collar_bps, 0, 10_000),
            ("risk.market_move_bps", self.market_move_bps, 0, 10_000),
            ("risk.pause_move_bps", self.pause_move_bps, 0, 100_000),
            ("risk.open_orders_max", self.open_orders_max as i64, 1, 64),
            ("risk.open_orders_per_instrument_max", self.open_orders_per_instrument_max as i64, 0, 64),
            ("risk.open_positions_max", self.open_positions_max as i64, 0, 64),
            ("risk.orders_per_second_max", self.orders_per_second_max as i64, 1, 1_024),
            ("risk.messages_per_second_max", self.messages_per_second_max as i64, 0, RATE_MAX as i64),
            ("risk.messages_per_window_max", self.messages_per_window_max as i64, 0, RATE_MAX as i64),
            ("risk.fills_per_order_max", self.fills_per_order_max as i64, 0, FILLS_MAX as i64),
            ("risk.fills_per_strategy_max", self.fills_per_strategy_max as i64, 0, FILLS_MAX as i64),
            ("risk.breaker_failure_percent", i64::from(self.breaker_failure_percent), 1, 100),
            ("risk.breaker_probes", i64::from(self.breaker_probes), 1, 1_000),
        ] {
            range((low..=high).contains(&number), key, format!("must be {low} to {high}"))?;
        }
        for (key, millis, low) in [
            ("risk.stale_after_ms", self.stale_after_ms, 0.001),
            ("risk.message_window_ms", self.message_window_ms, 0.001),
            ("risk.turnover_window_ms", self.turnover_window_ms, 0.001),
            ("risk.duplicate_window_ms", self.duplicate_window_ms, 0.0),
            ("risk.fill_window_ms", self.fill_window_ms, 0.001),
            ("risk.clock_offset_ms_max", self.clock_offset_ms_max, 0.0),
            ("risk.period_ms", self.period_ms, 0.001),
            ("risk.pause_window_ms", self.pause_window_ms, 0.001),
            ("risk.pause_ms", self.pause_ms, 0.001),
            ("risk.cooldown_ms", self.cooldown_ms, 0.001),
            ("risk.cdar_sample_ms", self.cdar_sample_ms, 0.001),
            ("risk.breaker_window_ms", self.breaker_window_ms, 0.001),
            ("risk.breaker_open_ms", self.breaker_open_ms, 0.001),
        ] {
            range((low..=86_400_000.0).contains(&millis), key, format!("must be {low} to 86400000"))?;
        }
        range((0.0..1.0).contains(&self.cdar_alpha), "risk.cdar_alpha", "must be 0 to below 1".into())
    }

    /// The limits for these instruments, whose venues' rules are in `configured`.
    pub(super) fn limits(&self, instruments: &[Instrument], configured: &[InstrumentConfig]) -> RiskLimits {
        let quote = |amount: f64| (amount * PRICE_SCALE as f64).round() as i128;
        let quote_or_none = |amount: f64| if amount == 0.0 { i128::MAX } else { quote(amount) };
        let count_or_none = |count: usize| if count == 0 { usize::MAX } else { count };
        let bps_or_none = |bps: i64| if bps == 0 { i64::MAX } else { bps };
        let many_or_none = |count: u32| if count == 0 { u32::MAX } else { count };
        let millis = |millis: f64| nanos(millis, 1e6);
        let mut limits = RiskLimits {
            order_qty_max: if self.order_qty_max == 0.0 {
                Qty(i64::MAX)
            } else {
                Qty::from_f64(self.order_qty_max).unwrap_or(Qty(i64::MAX))
            },
            order_notional_quote_max: quote(self.order_notional_quote_max),
            collar_bps: self.collar_bps,
            position_notional_quote_max: quote(self.position_notional_quote_max),
            open_orders_max: self.open_orders_max,
            orders_per_second_max: self.orders_per_second_max,
            stale_after_ns: millis(self.stale_after_ms),
            loss_quote_max: quote(self.loss_quote_max),
            position_gross_notional_quote_max: quote_or_none(self.position_gross_notional_quote_max),
            exposure_notional_quote_max: quote_or_none(self.exposure_notional_quote_max),
            balance_quote: quote_or_none(self.balance_quote),
            leverage_max: self.leverage_max,
            open_orders_per_instrument_max: count_or_none(self.open_orders_per_instrument_max),
            open_positions_max: count_or_none(self.open_positions_max),
            turnover_quote_max: quote_or_none(self.turnover_quote_max),
            turnover_window_ns: millis(self.turnover_window_ms),
            messages_per_second_max: count_or_none(self.messages_per_second_max),
            messages_per_window_max: count_or_none(self.messages_per_window_max),
            message_window_ns: millis(self.message_window_ms),
            duplicate_window_ns: millis(self.duplicate_window_ms),
            refuse_self_trade: self.refuse_self_trade,
            fills_per_order_max: count_or_none(self.fills_per_order_max),
            fills_per_strategy_max: count_or_none(self.fills_per_strategy_max),
            fill_window_ns: millis(self.fill_window_ms),
            clock_offset_ns_max: if self.clock_offset_ms_max == 0.0 { i64::MAX } else { millis(self.clock_offset_ms_max) },
            period_ns: millis(self.period_ms),
            period_collar_bps: bps_or_none(self.period_collar_bps),
            market_move_bps: bps_or_none(self.market_move_bps),
            pause_move_bps: bps_or_none(self.pause_move_bps),
            pause_window_ns: millis(self.pause_window_ms),
            pause_ns: millis(self.pause_ms),
            loss_per_trade_quote_max: quote_or_none(self.loss_per_trade_quote_max),
            losses_in_a_row_max: many_or_none(self.losses_in_a_row_max),
            cooldown_ns: millis(self.cooldown_ms),
            daily_loss_quote_max: quote_or_none(self.daily_loss_quote_max),
            drawdown_quote_max: quote_or_none(self.drawdown_quote_max),
            cdar_quote_max: quote_or_none(self.cdar_quote_max),
            cdar_alpha_permille: (self.cdar_alpha * 1_000.0).round() as u32,
            cdar_sample_ns: millis(self.cdar_sample_ms),
            breaker_failures_min: many_or_none(self.breaker_failures_min),
            breaker_failure_percent: self.breaker_failure_percent,
            breaker_window_ns: millis(self.breaker_window_ms),
            breaker_open_ns: millis(self.breaker_open_ms),
            breaker_probes: self.breaker_probes,
            cancel_on_halt: self.cancel_on_halt,
            ..RiskLimits::default()
        };
        for (own, instrument) in limits.instruments.iter_mut().zip(instruments) {
            let is_it = |entry: &&InstrumentConfig| entry.venue == instrument.exchange.name() && entry.symbol == instrument.symbol;
            *own = InstrumentLimits {
                is_restricted: self.restricted.contains(&instrument.symbol),
                is_spot: is_spot(instrument.exchange),
                // The configuration was validated: what cannot be read is not there.
                ..configured.iter().find(is_it).and_then(|entry| order_rules(entry).ok()).unwrap_or_default()
            };
        }
        limits
    }
}

/// A venue's rules for orders, of an entry of `[[instruments]]`.
///
/// # Errors
/// [`ConfigError::Range`] where one is no decimal.
pub(super) fn order_rules(entry: &InstrumentConfig) -> Result<InstrumentLimits, ConfigError> {
    let none = InstrumentLimits::default();
    let refuse =
        |key: &'static str, text: &str| ConfigError::Range { key, message: format!("is `{text}`, not a decimal of at least 0") };
    let price = |key: &'static str, text: &str, none: Price| match text {
        "" => Ok(none),
        _ => Price::parse(text.as_bytes()).ok().filter(|price| price.0 >= 0).ok_or_else(|| refuse(key, text)),
    };
    let qty = |key: &'static str, text: &str, none: Qty| match text {
        "" => Ok(none),
        _ => Qty::parse(text.as_bytes()).ok().filter(|qty| qty.0 >= 0).ok_or_else(|| refuse(key, text)),
    };
    Ok(InstrumentLimits {
        price_min: price("instruments.price_min", &entry.price_min, none.price_min)?,
        price_max: price("instruments.price_max", &entry.price_max, none.price_max)?,
        qty_min: qty("instruments.qty_min", &entry.qty_min, none.qty_min)?,
        qty_max: qty("instruments.qty_max", &entry.qty_max, none.qty_max)?,
        notional_quote_min: i128::from(price("instruments.notional_min", &entry.notional_min, Price(0))?.0),
        ..none
    })
}

/// Whether what a venue's captures name is the thing itself, not a contract on it. Shares may be sold short.
fn is_spot(exchange: Exchange) -> bool {
    matches!(exchange, Exchange::BinanceSpot | Exchange::Coinbase | Exchange::Kraken | Exchange::Bitstamp | Exchange::Bitfinex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::Contract;

    fn instrument(exchange: Exchange, symbol: &str) -> Instrument {
        Instrument { exchange, symbol: symbol.into(), tick: Price(1), lot: Qty(1), contract: Contract::spot() }
    }

    #[test]
    fn the_default_section_is_the_default_block() {
        let usdm = [instrument(Exchange::BinanceUsdm, "BTCUSDT")];
        assert_eq!(RiskSection::default().limits(&usdm, &[]), RiskLimits::default());
    }

    #[test]
    fn every_key_reaches_the_block() {
        let known = toml::Table::try_from(RiskSection::default()).unwrap();
        let usdm = [instrument(Exchange::BinanceUsdm, "BTCUSDT")];
        for (key, value) in &known {
            let mut changed = known.clone();
            let other = match value {
                toml::Value::Float(number) if key == "cdar_alpha" => toml::Value::Float(number / 2.0),
                toml::Value::Float(number) => toml::Value::Float(number + 3.0),
                toml::Value::Integer(number) => toml::Value::Integer(number + 3),
                toml::Value::Boolean(is_on) => toml::Value::Boolean(!is_on),
                _ => toml::Value::Array(vec![toml::Value::String("BTCUSDT".into())]),
            };
            changed.insert(key.clone(), other);
            let section: RiskSection = changed.try_into().unwrap();
            assert_eq!(section.validate().map_err(|error| error.to_string()), Ok(()), "{key}");
            let (old, new) = (RiskLimits::default(), section.limits(&usdm, &[]));
            assert_eq!(old.changes(&new).count(), 1, "{key}");
        }
    }

    #[test]
    fn rules_of_an_instrument_are_read_and_spot_is_known() {
        let entry = InstrumentConfig {
            venue: "binance-spot".into(),
            symbol: "BTCUSDT".into(),
            price_max: "1000000".into(),
            qty_min: "0.00001".into(),
            notional_min: "5".into(),
            ..InstrumentConfig::default()
        };
        let section = RiskSection { restricted: vec!["ETHUSDT".into()], ..RiskSection::default() };
        let both = [instrument(Exchange::BinanceSpot, "BTCUSDT"), instrument(Exchange::BinanceUsdm, "ETHUSDT")];
        let limits = section.limits(&both, std::slice::from_ref(&entry));
        let expected = InstrumentLimits {
            price_max: Price(1_000_000 * PRICE_SCALE),
            qty_min: Qty(1_000),
            notional_quote_min: 5 * i128::from(PRICE_SCALE),
            is_spot: true,
            ..InstrumentLimits::default()
        };
        assert_eq!(limits.instruments[0], expected);
        assert_eq!(limits.instruments[1], InstrumentLimits { is_restricted: true, ..InstrumentLimits::default() });
        let broken = InstrumentConfig { qty_max: "-1".into(), ..entry };
        assert!(order_rules(&broken).is_err_and(|error| error.to_string().contains("instruments.qty_max")));
    }
}
