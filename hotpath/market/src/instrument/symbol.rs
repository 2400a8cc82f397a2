//! One name for what venues name differently.

use super::Exchange;
use std::fmt;

/// What a market trades, whatever its venue calls it: `BTC/USDT`, `BTC/USD perpetual`, `BTC/USD 210924`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Market {
    /// What is traded, upper case: `BTC`.
    pub base: String,
    /// What it is priced in, upper case: `USDT`.
    pub quote: String,
    /// Spot or which contract.
    pub kind: MarketKind,
}

/// Spot or which contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MarketKind {
    /// The thing itself.
    Spot,
    /// A contract without end.
    Perpetual,
    /// A contract that ends on a day, written `YYMMDD`.
    Dated(u32),
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.quote)?;
        match self.kind {
            MarketKind::Spot => Ok(()),
            MarketKind::Perpetual => f.write_str(" perpetual"),
            MarketKind::Dated(day) => write!(f, " {day:06}"),
        }
    }
}

/// Quote currencies that end a symbol written without separator, the longer ones of a common ending first. (Venues that price in
/// dollars alone are not taken apart by these: `BNBUSD` is no pair of `BN` and `BUSD`.)
const QUOTES: [&str; 24] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "DAI", "PAX", "USD", "EUR", "GBP", "TRY", "JPY", "AUD", "BRL", "CHF", "CAD",
    "RUB", "UAH", "BTC", "ETH", "BNB", "UST", "TRX",
];

impl Market {
    /// What a venue's symbol names; `None` where it is of no form that the venue uses, or ends in no quote currency that is known.
    ///
    /// Where instrument lists are at hand, their base and quote are better: a symbol without separator is taken apart by the quote
    /// currencies known here.
    pub fn of_symbol(exchange: Exchange, symbol: &str) -> Option<Market> {
        let text = symbol.to_ascii_uppercase();
        match exchange {
            Exchange::BinanceSpot | Exchange::Bitstamp => joined(&text, &QUOTES, MarketKind::Spot),
            Exchange::BinanceUsdm => match text.split_once('_') {
                Some((pair, day)) => joined(pair, &QUOTES, MarketKind::Dated(day_of(day)?)),
                None => joined(&text, &QUOTES, MarketKind::Perpetual),
            },
            Exchange::BinanceCoinm => match text.split_once('_')? {
                (pair, "PERP") => joined(pair, &["USD"], MarketKind::Perpetual),
                (pair, day) => joined(pair, &["USD"], MarketKind::Dated(day_of(day)?)),
            },
            Exchange::BybitLinear => joined(&text, &QUOTES, MarketKind::Perpetual),
            Exchange::BybitInverse => joined(&text, &["USD"], MarketKind::Perpetual),
            Exchange::Coinbase => separated(&text, '-'),
            Exchange::Kraken => separated(&text, '/'),
            // Trading pairs begin with a small t; names of more than three letters are set apart by a colon.
            Exchange::Bitfinex => {
                let pair = symbol.strip_prefix('t')?;
                let (base, quote) = match pair.split_once(':') {
                    Some(parts) => parts,
                    None => pair.split_at_checked(pair.len().checked_sub(3)?)?,
                };
                market(usual(base, &BITFINEX_NAMES), usual(quote, &BITFINEX_NAMES), MarketKind::Spot)
            }
            Exchange::Nasdaq | Exchange::Iex => market(&text, "USD", MarketKind::Spot),
            Exchange::Databento | Exchange::Other => None,
        }
    }

    /// The symbol by which a venue's stream names this market; `None` where it has none.
    pub fn symbol(&self, exchange: Exchange) -> Option<String> {
        let Market { base, quote, kind } = self;
        Some(match (exchange, kind) {
            (Exchange::BinanceSpot, MarketKind::Spot) => format!("{base}{quote}"),
            (Exchange::BinanceUsdm | Exchange::BybitLinear | Exchange::BybitInverse, MarketKind::Perpetual) => {
                format!("{base}{quote}")
            }
            (Exchange::BinanceCoinm, MarketKind::Perpetual) => format!("{base}{quote}_PERP"),
            (Exchange::BinanceUsdm | Exchange::BinanceCoinm, MarketKind::Dated(day)) => format!("{base}{quote}_{day:06}"),
            (Exchange::Bitstamp, MarketKind::Spot) => format!("{base}{quote}").to_ascii_lowercase(),
            (Exchange::Coinbase, MarketKind::Spot) => format!("{base}-{quote}"),
            (Exchange::Kraken, MarketKind::Spot) => format!("{}/{}", own(base, &KRAKEN_NAMES), own(quote, &KRAKEN_NAMES)),
            (Exchange::Bitfinex, MarketKind::Spot) => {
                let (base, quote) = (own(base, &BITFINEX_NAMES), own(quote, &BITFINEX_NAMES));
                if base.len() > 3 { format!("t{base}:{quote}") } else { format!("t{base}{quote}") }
            }
            (Exchange::Nasdaq | Exchange::Iex, MarketKind::Spot) => base.clone(),
            _ => return None,
        })
    }
}

/// Kraken's own names (its first stream's) and the usual ones.
const KRAKEN_NAMES: [(&str, &str); 2] = [("XBT", "BTC"), ("XDG", "DOGE")];
/// Bitfinex's own names and the usual ones.
const BITFINEX_NAMES: [(&str, &str); 2] = [("UST", "USDT"), ("UDC", "USDC")];

fn joined(pair: &str, quotes: &[&str], kind: MarketKind) -> Option<Market> {
    let quote = quotes.iter().find(|quote| pair.len() > quote.len() && pair.ends_with(*quote))?;
    market(&pair[..pair.len() - quote.len()], quote, kind)
}

fn separated(pair: &str, separator: char) -> Option<Market> {
    let (base, quote) = pair.split_once(separator)?;
    match separator {
        '/' => market(usual(base, &KRAKEN_NAMES), usual(quote, &KRAKEN_NAMES), MarketKind::Spot),
        _ => market(base, quote, MarketKind::Spot),
    }
}

fn usual<'a>(name: &'a str, names: &[(&'a str, &'a str)]) -> &'a str {
    names.iter().find(|pair| pair.0 == name).map_or(name, |pair| pair.1)
}

fn own<'a>(name: &'a str, names: &[(&'a str, &'a str)]) -> &'a str {
    names.iter().find(|pair| pair.1 == name).map_or(name, |pair| pair.0)
}

fn market(base: &str, quote: &str, kind: MarketKind) -> Option<Market> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    (is_name(base) && is_name(quote)).then(|| Market { base: base.to_ascii_uppercase(), quote: quote.to_ascii_uppercase(), kind })
}

fn day_of(text: &str) -> Option<u32> {
    (text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_market_on_many_venues() {
        use Exchange::*;
        for (exchange, symbol, name) in [
            (BinanceSpot, "BTCUSDT", "BTC/USDT"),
            (BinanceSpot, "LRCBTC", "LRC/BTC"),
            (BinanceSpot, "RUNEEUR", "RUNE/EUR"),
            (BinanceUsdm, "BTCUSDT", "BTC/USDT perpetual"),
            (BinanceUsdm, "BTCUSDT_210924", "BTC/USDT 210924"),
            (BinanceCoinm, "BTCUSD_PERP", "BTC/USD perpetual"),
            (BinanceCoinm, "ETHUSD_010924", "ETH/USD 010924"),
            (BinanceCoinm, "BNBUSD_PERP", "BNB/USD perpetual"),
            (BybitLinear, "XRPUSDT", "XRP/USDT perpetual"),
            (BybitInverse, "BTCUSD", "BTC/USD perpetual"),
            (Bitstamp, "btcusd", "BTC/USD"),
            (Bitstamp, "usdteur", "USDT/EUR"),
            (Coinbase, "BAND-GBP", "BAND/GBP"),
            (Kraken, "XBT/USD", "BTC/USD"),
            (Kraken, "ADA/XBT", "ADA/BTC"),
            (Bitfinex, "tBTCUSD", "BTC/USD"),
            (Bitfinex, "tBTCUST", "BTC/USDT"),
            (Bitfinex, "tDUSK:USD", "DUSK/USD"),
            (Nasdaq, "AAPL", "AAPL/USD"),
        ] {
            let market = Market::of_symbol(exchange, symbol).unwrap_or_else(|| panic!("{exchange} {symbol}"));
            assert_eq!(market.to_string(), name, "{exchange} {symbol}");
            assert_eq!(market.symbol(exchange).as_deref(), Some(symbol), "{exchange} {name}");
        }
    }

    #[test]
    fn what_is_no_symbol_of_the_venue_is_none() {
        use Exchange::*;
        for (exchange, symbol) in [
            (BinanceSpot, ""),
            (BinanceSpot, "USDT"),
            (BinanceSpot, "BTCXYZ"),
            (BinanceCoinm, "BTCUSD"),
            (BinanceUsdm, "BTCUSDT_21092"),
            (Coinbase, "BTCUSD"),
            (Kraken, "/USD"),
            (Bitfinex, "BTCUSD"),
            (Bitfinex, "tUS"),
            (Bitfinex, "t€€"),
            (Databento, "ESM4"),
        ] {
            assert_eq!(Market::of_symbol(exchange, symbol), None, "{exchange} {symbol}");
        }
    }
}
