//! A line of a cryptofeed capture: what was received, what was sent, what a REST address replied.

use super::capture_line::{LineError, split_time};
use crate::time::Timestamp;

/// A line split into its parts. Addresses are as the recorder wrote them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CryptofeedLine<'a> {
    /// `1626992741.06217: {…}`: a message received.
    Received {
        /// Receive time.
        recv: Timestamp,
        /// The message.
        message: &'a [u8],
    },
    /// `https://… -> 1626992741.06217: {…}`: a reply received.
    Reply {
        /// The address asked; [`reply_symbol`] finds the symbol in it.
        url: &'a str,
        /// Receive time.
        recv: Timestamp,
        /// The reply.
        message: &'a [u8],
    },
    /// `wss://… <- 1626992741.06217: {…}`: a message sent.
    Sent {
        /// The connection's address.
        url: &'a str,
        /// Time it was sent.
        at: Timestamp,
        /// The message.
        message: &'a [u8],
    },
    /// `wss://… <-> 1626992741.06217`: a connection opened; what an earlier one said holds no longer.
    Opened {
        /// The connection's address.
        url: &'a str,
        /// Time it opened.
        at: Timestamp,
    },
    /// `configuration: {…}`: what the recorder was asked for.
    Configuration(&'a [u8]),
}

/// Splits a line without its newline (a carriage return at the end is dropped).
///
/// # Errors
/// [`LineError`] where it is none of the above.
pub fn split_cryptofeed_line(line: &[u8]) -> Result<CryptofeedLine<'_>, LineError> {
    if let Some(configuration) = line.strip_prefix(b"configuration: ") {
        return Ok(CryptofeedLine::Configuration(configuration.trim_ascii()));
    }
    if line.first().is_some_and(u8::is_ascii_digit) {
        let (recv, message) = timed(line)?;
        return Ok(CryptofeedLine::Received { recv, message });
    }
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let (url, arrow, rest) = (words.next().unwrap_or(b""), words.next().unwrap_or(b""), words.next().unwrap_or(b""));
    let url = std::str::from_utf8(url).ok().filter(|url| !url.is_empty()).ok_or(LineError::NoReceiveTime)?;
    match arrow {
        b"->" => timed(rest).map(|(recv, message)| CryptofeedLine::Reply { url, recv, message }),
        b"<-" => timed(rest).map(|(at, message)| CryptofeedLine::Sent { url, at, message }),
        b"<->" => match split_time(rest.trim_ascii_end())? {
            (at, _, b"") => Ok(CryptofeedLine::Opened { url, at }),
            _ => Err(LineError::NoReceiveTime),
        },
        _ => Err(LineError::NoReceiveTime),
    }
}

/// The symbol that a REST address asks for: `?symbol=BTCUSDT`, `/order_book/btcusd`, `/products/BTC-USD/book`.
pub fn reply_symbol(url: &str) -> Option<&str> {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let named = query.split('&').find_map(|part| part.strip_prefix("symbol=").or_else(|| part.strip_prefix("pair=")));
    named
        .or_else(|| {
            let mut parts = path.split('/');
            parts.find(|part| matches!(*part, "order_book" | "products"))?;
            parts.next()
        })
        .filter(|symbol| !symbol.is_empty())
}

/// `<seconds>: <message>`
fn timed(text: &[u8]) -> Result<(Timestamp, &[u8]), LineError> {
    let (time, _, rest) = split_time(text)?;
    let message = rest.strip_prefix(b":").ok_or(LineError::NoReceiveTime)?.trim_ascii();
    if message.is_empty() { Err(LineError::NoMessage) } else { Ok((time, message)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(1_626_992_741_062_170_000);

    #[test]
    fn every_kind_of_line() {
        let (ws, rest) = ("wss://ws.bitstamp.net/", "https://www.bitstamp.net/api/v2/order_book/btcusd");
        for (line, expected) in [
            ("1626992741.06217: {\"a\": 1}\r", CryptofeedLine::Received { recv: AT, message: b"{\"a\": 1}" }),
            (
                "https://www.bitstamp.net/api/v2/order_book/btcusd -> 1626992741.06217: {}",
                CryptofeedLine::Reply { url: rest, recv: AT, message: b"{}" },
            ),
            ("wss://ws.bitstamp.net/ <- 1626992741.06217: {}", CryptofeedLine::Sent { url: ws, at: AT, message: b"{}" }),
            ("wss://ws.bitstamp.net/ <-> 1626992741.06217", CryptofeedLine::Opened { url: ws, at: AT }),
            ("configuration: {\"trades\":[]}", CryptofeedLine::Configuration(b"{\"trades\":[]}")),
        ] {
            assert_eq!(split_cryptofeed_line(line.as_bytes()), Ok(expected), "{line}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (line, error) in [
            ("", LineError::NoReceiveTime),
            ("1626992741.06217 {}", LineError::NoReceiveTime),
            ("1626992741.06217:", LineError::NoMessage),
            ("17: {}", LineError::ReceiveTimeOutOfRange),
            ("wss://x => 1626992741: {}", LineError::NoReceiveTime),
            ("wss://x <-> 1626992741: {}", LineError::NoReceiveTime),
            ("wss://x <- {}", LineError::NoReceiveTime),
            (" -> 1626992741: {}", LineError::NoReceiveTime),
        ] {
            assert_eq!(split_cryptofeed_line(line.as_bytes()), Err(error), "{line:?}");
        }
    }

    #[test]
    fn the_symbol_is_in_the_address() {
        for (url, symbol) in [
            ("https://api.binance.com/api/v3/depth?symbol=NKNUSDT&limit=1000", Some("NKNUSDT")),
            ("https://api.kraken.com/0/public/Depth?count=500&pair=XBTUSD", Some("XBTUSD")),
            ("https://www.bitstamp.net/api/v2/order_book/sgbeur", Some("sgbeur")),
            ("https://www.bitstamp.net/api/v2/order_book/btcusd/?group=2", Some("btcusd")),
            ("https://api.exchange.coinbase.com/products/BTC-USD/book?level=3", Some("BTC-USD")),
            ("https://api.exchange.coinbase.com/products", None),
            ("https://fapi.binance.com/fapi/v1/exchangeInfo", None),
        ] {
            assert_eq!(reply_symbol(url), symbol, "{url}");
        }
    }
}
