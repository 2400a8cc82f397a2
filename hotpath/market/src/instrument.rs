//! What is traded and where.

mod history;
mod symbol;

pub use history::{InstrumentHistory, InstrumentTerms};
pub use symbol::{Market, MarketKind};

use crate::fixed::{PRICE_SCALE, Price, QTY_SCALE, Qty};
use std::fmt;

/// The largest number of instruments in one session.
pub const INSTRUMENTS_MAX: usize = 64;

/// The place of an instrument in the session's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
#[repr(transparent)]
pub struct InstrumentId(pub u16);

impl InstrumentId {
    /// The place as an index.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A venue whose market data is understood.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Exchange {
    /// Binance spot.
    BinanceSpot = 0,
    /// Binance USD-margined futures.
    BinanceUsdm = 1,
    /// Binance coin-margined futures: sizes are contracts, contracts are inverse.
    BinanceCoinm = 2,
    /// Coinbase Exchange.
    Coinbase = 3,
    /// Kraken spot.
    Kraken = 4,
    /// Bitstamp.
    Bitstamp = 5,
    /// Bybit spot and linear contracts.
    BybitLinear = 6,
    /// Bybit inverse contracts: sizes are contracts of 1 USD.
    BybitInverse = 7,
    /// Bitfinex.
    Bitfinex = 8,
    /// NASDAQ, TotalView-ITCH 5.0, and LOBSTER's files made from it.
    Nasdaq = 9,
    /// IEX, DEEP and TOPS.
    Iex = 10,
    /// A venue of a Databento file (the dataset names it).
    Databento = 11,
    /// A venue that only a vendor's normalised file names.
    Other = 12,
}

impl Exchange {
    /// Every venue, in the order of their numbers.
    pub const ALL: [Exchange; 13] = [
        Exchange::BinanceSpot,
        Exchange::BinanceUsdm,
        Exchange::BinanceCoinm,
        Exchange::Coinbase,
        Exchange::Kraken,
        Exchange::Bitstamp,
        Exchange::BybitLinear,
        Exchange::BybitInverse,
        Exchange::Bitfinex,
        Exchange::Nasdaq,
        Exchange::Iex,
        Exchange::Databento,
        Exchange::Other,
    ];

    /// The name used in reports and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Exchange::BinanceSpot => "binance-spot",
            Exchange::BinanceUsdm => "binance-usdm",
            Exchange::BinanceCoinm => "binance-coinm",
            Exchange::Coinbase => "coinbase",
            Exchange::Kraken => "kraken",
            Exchange::Bitstamp => "bitstamp",
            Exchange::BybitLinear => "bybit-linear",
            Exchange::BybitInverse => "bybit-inverse",
            Exchange::Bitfinex => "bitfinex",
            Exchange::Nasdaq => "nasdaq",
            Exchange::Iex => "iex",
            Exchange::Databento => "databento",
            Exchange::Other => "other",
        }
    }

    /// Whether depth updates are chained by `pu` (futures) instead of by consecutive ids (spot).
    pub fn is_futures(self) -> bool {
        self != Exchange::BinanceSpot
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a contract pays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contract {
    /// Value moves with the price: spot, and contracts on so much of the base coin.
    Linear {
        /// Base coin in one unit of quantity; 1 for spot.
        multiplier: Qty,
    },
    /// A contract is worth a fixed amount of quote currency and is settled in the base coin.
    Inverse {
        /// Quote currency in one contract, e.g. 100 USD for `BTCUSD_PERP`.
        contract_quote: Price,
    },
}

/// What is known of an instrument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instrument {
    /// The venue.
    pub exchange: Exchange,
    /// The venue's symbol, upper case.
    pub symbol: String,
    /// Smallest price step.
    pub tick: Price,
    /// Smallest quantity step.
    pub lot: Qty,
    /// How it pays.
    pub contract: Contract,
}

impl Instrument {
    /// The value in quote currency of `qty` at `price`, in units of 1e-9; exact for linear contracts up to the last unit,
    /// and independent of the price for inverse ones.
    #[inline]
    pub fn notional_quote(&self, price: Price, qty: Qty) -> i128 {
        self.contract.notional_quote(price, qty)
    }
}

impl Contract {
    /// The value in quote currency of `qty` at `price`, in units of 1e-9 (the scale of a [`Price`]). Signed as `qty`.
    #[inline]
    pub fn notional_quote(self, price: Price, qty: Qty) -> i128 {
        match self {
            Contract::Linear { multiplier } => {
                let base = i128::from(qty.0) * i128::from(multiplier.0) / i128::from(QTY_SCALE);
                i128::from(price.0) * base / i128::from(QTY_SCALE)
            }
            Contract::Inverse { contract_quote } => i128::from(contract_quote.0) * i128::from(qty.0) / i128::from(QTY_SCALE),
        }
    }

    /// Profit in quote currency, units of 1e-9, of holding `qty` (signed) while the price moves from `entry` to `exit`.
    ///
    /// An inverse contract earns base coin, `qty * contract_quote * (1/entry - 1/exit)`, here valued at `exit`:
    /// `qty * contract_quote * (exit - entry) / entry`.
    #[inline]
    pub fn pnl_quote(self, entry: Price, exit: Price, qty: Qty) -> i128 {
        let moved = i128::from(exit.0) - i128::from(entry.0);
        match self {
            Contract::Linear { multiplier } => {
                let base = i128::from(qty.0) * i128::from(multiplier.0) / i128::from(QTY_SCALE);
                moved * base / i128::from(QTY_SCALE)
            }
            Contract::Inverse { contract_quote } if entry.0 != 0 => {
                let face = i128::from(contract_quote.0) * i128::from(qty.0) / i128::from(QTY_SCALE);
                face * moved / i128::from(entry.0)
            }
            Contract::Inverse { .. } => 0,
        }
    }

    /// A linear contract on one base coin, as on spot.
    pub const fn spot() -> Contract {
        Contract::Linear { multiplier: Qty(QTY_SCALE) }
    }

    /// An inverse contract of `quote` whole units of quote currency.
    pub const fn inverse(quote: i64) -> Contract {
        Contract::Inverse { contract_quote: Price(quote * PRICE_SCALE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn venues_are_numbered_by_their_places() {
        assert!(Exchange::ALL.into_iter().enumerate().all(|(place, exchange)| exchange as usize == place));
    }

    #[test]
    fn linear_and_inverse_pay_as_their_formulas_say() {
        let (entry, exit) = (Price(50_000 * PRICE_SCALE), Price(55_000 * PRICE_SCALE));
        let two = Qty(2 * QTY_SCALE);
        assert_eq!(Contract::spot().pnl_quote(entry, exit, two), 10_000 * i128::from(PRICE_SCALE));
        assert_eq!(Contract::spot().notional_quote(entry, two), 100_000 * i128::from(PRICE_SCALE));
        // 2 contracts of 100 USD: 200 * (1/50000 - 1/55000) BTC * 55000 = 20 USD.
        assert_eq!(Contract::inverse(100).pnl_quote(entry, exit, two), 20 * i128::from(PRICE_SCALE));
        assert_eq!(Contract::inverse(100).pnl_quote(entry, exit, Qty(-two.0)), -20 * i128::from(PRICE_SCALE));
        assert_eq!(Contract::inverse(100).notional_quote(exit, two), 200 * i128::from(PRICE_SCALE));
    }
}
