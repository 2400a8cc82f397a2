//! Binance's `exchangeInfo`: what instruments there are and their terms, on spot, USD-M and COIN-M.

use super::DecodeError;
use super::tape::{Tape, Value};
use crate::fixed::{Price, QTY_SCALE, Qty};
use crate::instrument::{Contract, Exchange, InstrumentTerms, Market, MarketKind};
use crate::time::{NANOS_PER_MILLI, Timestamp};

/// An instrument as `exchangeInfo` describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedInstrument {
    /// The venue's symbol.
    pub symbol: String,
    /// What it trades.
    pub market: Market,
    /// Its terms, as of the reply.
    pub terms: InstrumentTerms,
    /// Whether orders are taken now.
    pub is_trading: bool,
    /// When a contract was listed, where it is said: what is told of it earlier is another's.
    pub listed: Option<Timestamp>,
}

/// Reads a reply and returns every instrument in it. `exchange` is the one of Binance's venues that gave it. Allocates: for the cold
/// side.
///
/// The filters count, not the `pricePrecision` and `quantityPrecision` beside them, which are decimals shown, not steps.
///
/// # Errors
/// [`DecodeError`] where it is not such a reply; one instrument that cannot be read refuses the whole.
pub fn read_exchange_info(exchange: Exchange, raw: &[u8]) -> Result<Vec<ListedInstrument>, DecodeError> {
    let mut tape = Tape::new();
    let root = tape.read(raw)?;
    root.required("symbols")?.items().map(|symbol| read_symbol(exchange, symbol)).collect()
}

fn read_symbol(exchange: Exchange, listed: Value<'_>) -> Result<ListedInstrument, DecodeError> {
    let filter = |kind: &str| {
        let mut filters = listed.field("filters").into_iter().flat_map(Value::items);
        filters.find(|filter| filter.field("filterType").and_then(Value::string) == Some(kind))
    };
    let price_filter = filter("PRICE_FILTER").ok_or(DecodeError::Missing("PRICE_FILTER"))?;
    let lot_size = filter("LOT_SIZE").ok_or(DecodeError::Missing("LOT_SIZE"))?;
    let symbol = listed.required_text("symbol")?;
    let status = listed.field("status").or_else(|| listed.field("contractStatus"));
    Ok(ListedInstrument {
        symbol: symbol.to_owned(),
        market: Market {
            base: listed.required_text("baseAsset")?.to_owned(),
            quote: listed.required_text("quoteAsset")?.to_owned(),
            kind: read_kind(exchange, symbol, listed),
        },
        terms: InstrumentTerms {
            tick: price_filter.required("tickSize")?.to_price("tickSize")?,
            lot: lot_size.required("stepSize")?.to_qty("stepSize")?,
            qty_min: lot_size.required("minQty")?.to_qty("minQty")?,
            qty_max: lot_size.required("maxQty")?.to_qty("maxQty")?,
            notional_min: read_notional_min(filter("MIN_NOTIONAL").or_else(|| filter("NOTIONAL")))?,
            contract: read_contract(listed)?,
        },
        is_trading: status.and_then(Value::string) == Some("TRADING"),
        listed: listed.field("onboardDate").map(read_millis).transpose()?,
    })
}

fn read_kind(exchange: Exchange, symbol: &str, listed: Value<'_>) -> MarketKind {
    let day = symbol.rsplit_once('_').and_then(|(_, day)| day.parse().ok());
    match (listed.field("contractType").and_then(Value::string), day) {
        (None, _) if exchange == Exchange::BinanceSpot => MarketKind::Spot,
        (Some("PERPETUAL"), _) | (_, None) => MarketKind::Perpetual,
        (_, Some(day)) => MarketKind::Dated(day),
    }
}

/// Spot calls it `minNotional`, futures `notional`; COIN-M has none.
fn read_notional_min(filter: Option<Value<'_>>) -> Result<Price, DecodeError> {
    match filter.and_then(|filter| filter.field("minNotional").or_else(|| filter.field("notional"))) {
        Some(notional) => notional.to_price("minNotional"),
        None => Ok(Price::ZERO),
    }
}

/// COIN-M contracts have a size, in quote currency, and pay in the base coin.
fn read_contract(listed: Value<'_>) -> Result<Contract, DecodeError> {
    match listed.field("contractSize") {
        Some(size) => Ok(Contract::Inverse { contract_quote: size.to_positive_price("contractSize")? }),
        None => Ok(Contract::Linear { multiplier: Qty(QTY_SCALE) }),
    }
}

fn read_millis(millis: Value<'_>) -> Result<Timestamp, DecodeError> {
    let millis = i64::try_from(millis.to_unsigned("onboardDate")?).ok();
    let nanos = millis.and_then(|millis| millis.checked_mul(NANOS_PER_MILLI));
    nanos.map(Timestamp).ok_or(DecodeError::OutOfRange("onboardDate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOT: &str = r#"{"serverTime":1,"symbols":[{"symbol":"LRCBTC","status":"BREAK","baseAsset":"LRC","quoteAsset":"BTC",
        "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.00000001"},
        {"filterType":"LOT_SIZE","minQty":"1.0","maxQty":"90000.0","stepSize":"0.1"},
        {"filterType":"NOTIONAL","minNotional":"0.0001"}]}]}"#;

    #[test]
    fn reads_the_terms_of_a_pair() {
        let listed = read_exchange_info(Exchange::BinanceSpot, SPOT.as_bytes()).unwrap();
        let [listed] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((listed.symbol.as_str(), listed.market.to_string().as_str()), ("LRCBTC", "LRC/BTC"));
        assert_eq!((listed.terms.tick, listed.terms.lot, listed.terms.notional_min), (Price(10), Qty(10_000_000), Price(100_000)));
        assert_eq!((listed.is_trading, listed.listed, listed.terms.contract), (false, None, Contract::spot()));
    }

    #[test]
    fn refuses_what_is_no_such_reply() {
        for (text, error) in [
            ("{}".to_owned(), DecodeError::Missing("symbols")),
            (SPOT.replace("LOT_SIZE", "OTHER"), DecodeError::Missing("LOT_SIZE")),
            (SPOT.replace("tickSize", "tick"), DecodeError::Missing("tickSize")),
            (SPOT.replace("\"LRCBTC\"", "7"), DecodeError::WrongType("symbol")),
        ] {
            assert_eq!(read_exchange_info(Exchange::BinanceSpot, text.as_bytes()), Err(error));
        }
    }
}
