//! Orders as Binance request parameters (`POST /api/v3/order`, `POST /fapi/v1/order`), unsigned and without time.

use chronos_market::{Exchange, Instrument, OrderCommand, PRICE_DECIMALS, QTY_DECIMALS, Side, TimeInForce};

/// Room for one request with its headers and its signature.
const ORDER_BYTES_MAX: usize = 1_024;

/// The bytes of one order.
#[derive(Clone, Debug)]
pub struct OrderBytes {
    bytes: [u8; ORDER_BYTES_MAX],
    len: usize,
}

/// An order that does not fit (a symbol of some hundred bytes).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EncodeError;

impl Default for OrderBytes {
    fn default() -> Self {
        Self::new()
    }
}

impl OrderBytes {
    /// Empty, its memory taken.
    pub fn new() -> OrderBytes {
        OrderBytes { bytes: [0; ORDER_BYTES_MAX], len: 0 }
    }

    /// The bytes encoded last.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    pub(super) fn put(&mut self, text: &[u8]) -> Result<(), EncodeError> {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(EncodeError)?.copy_from_slice(text);
        self.len = end;
        Ok(())
    }

    pub(super) fn put_unsigned(&mut self, mut value: u64) -> Result<(), EncodeError> {
        let mut digits = [0; 20];
        let mut place = digits.len();
        loop {
            place -= 1;
            digits[place] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return self.put(&digits[place..]);
            }
        }
    }

    /// A fixed-point number above 0 without trailing zeros.
    pub(super) fn put_decimal(&mut self, value: i64, decimals: u32) -> Result<(), EncodeError> {
        let scale = 10u64.pow(decimals);
        let value = value.unsigned_abs();
        self.put_unsigned(value / scale)?;
        let mut fraction = value % scale;
        if fraction == 0 {
            return Ok(());
        }
        let mut digits = [b'0'; 10];
        for digit in digits[1..=decimals as usize].iter_mut().rev() {
            *digit = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        digits[0] = b'.';
        let last = digits[..=decimals as usize].iter().rposition(|&digit| digit != b'0').unwrap_or(0);
        self.put(&digits[..=last])
    }
}

/// Encodes a command for an instrument.
///
/// # Errors
/// [`EncodeError`] where it does not fit; `out` must not be sent then.
#[inline]
pub fn encode_order(command: &OrderCommand, instrument: &Instrument, out: &mut OrderBytes) -> Result<(), EncodeError> {
    out.len = 0;
    out.put(b"symbol=")?;
    out.put(instrument.symbol.as_bytes())?;
    match command {
        OrderCommand::New(order) => {
            let is_futures = instrument.exchange.is_futures();
            out.put(if order.side == Side::Buy { b"&side=BUY" } else { b"&side=SELL" })?;
            out.put(match (order.time_in_force, is_futures) {
                (TimeInForce::GoodTilCancelled, _) => b"&type=LIMIT&timeInForce=GTC".as_slice(),
                (TimeInForce::ImmediateOrCancel, _) => b"&type=LIMIT&timeInForce=IOC",
                (TimeInForce::PostOnly, true) => b"&type=LIMIT&timeInForce=GTX",
                (TimeInForce::PostOnly, false) => b"&type=LIMIT_MAKER",
            })?;
            out.put(b"&quantity=")?;
            out.put_decimal(order.qty.0, QTY_DECIMALS)?;
            out.put(b"&price=")?;
            out.put_decimal(order.price.0, PRICE_DECIMALS)?;
            // Spot has no such parameter: what is held is all that can be sold.
            if order.reduce_only && instrument.exchange != Exchange::BinanceSpot {
                out.put(b"&reduceOnly=true")?;
            }
            out.put(b"&newClientOrderId=")?;
            out.put_unsigned(order.id.0)
        }
        OrderCommand::Cancel { id, .. } => {
            out.put(b"&origClientOrderId=")?;
            out.put_unsigned(id.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chronos_market::{Contract, InstrumentId, NewOrder, OrderId, Price, Qty};

    fn encoded(exchange: Exchange, symbol: &str, order: OrderCommand) -> Result<String, EncodeError> {
        let instrument = Instrument { exchange, symbol: symbol.into(), tick: Price(1), lot: Qty(1), contract: Contract::spot() };
        let mut out = OrderBytes::new();
        encode_order(&order, &instrument, &mut out)?;
        Ok(String::from_utf8(out.as_bytes().to_vec()).unwrap())
    }

    fn order() -> NewOrder {
        NewOrder {
            id: OrderId(42),
            instrument: InstrumentId(0),
            side: Side::Buy,
            price: Price::parse(b"61804.70").unwrap(),
            qty: Qty::parse(b"0.0150").unwrap(),
            time_in_force: TimeInForce::ImmediateOrCancel,
            reduce_only: false,
            signal: 0.5,
        }
    }

    #[test]
    fn orders_read_as_the_venue_documents_them() {
        assert_eq!(
            encoded(Exchange::BinanceSpot, "BTCUSDT", OrderCommand::New(order())).unwrap(),
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=IOC&quantity=0.015&price=61804.7&newClientOrderId=42"
        );
        let closing = NewOrder {
            side: Side::Sell,
            qty: Qty::parse(b"10").unwrap(),
            price: Price::parse(b"0.00006547").unwrap(),
            time_in_force: TimeInForce::PostOnly,
            reduce_only: true,
            ..order()
        };
        assert_eq!(
            encoded(Exchange::BinanceUsdm, "X", OrderCommand::New(closing)).unwrap(),
            "symbol=X&side=SELL&type=LIMIT&timeInForce=GTX&quantity=10&price=0.00006547&reduceOnly=true&newClientOrderId=42"
        );
        assert_eq!(
            encoded(Exchange::BinanceSpot, "X", OrderCommand::New(closing)).unwrap(),
            "symbol=X&side=SELL&type=LIMIT_MAKER&quantity=10&price=0.00006547&newClientOrderId=42"
        );
        let cancel = OrderCommand::Cancel { id: OrderId(7), instrument: InstrumentId(0) };
        assert_eq!(encoded(Exchange::BinanceUsdm, "X", cancel).unwrap(), "symbol=X&origClientOrderId=7");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(encoded(Exchange::BinanceSpot, &"X".repeat(ORDER_BYTES_MAX), OrderCommand::New(order())), Err(EncodeError));
    }
}
