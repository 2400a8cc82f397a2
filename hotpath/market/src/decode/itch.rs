//! NASDAQ TotalView-ITCH 5.0: every message type as a struct of its fields, read in place.
//!
//! Numbers are as in the specification, big-endian on the wire; prices of four decimals become a [`Price`]. Text stays padded with
//! spaces. A message longer than its type has fields added at its end by a later revision, which are skipped.

use super::DecodeError;
use super::wire::{at_least, u16_be, u32_be, u64_be};
use crate::event::Side;
use crate::fixed::Price;

/// Units of [`Price`] in one of ITCH's (1e-4 dollars).
const PRICE_UNIT: i64 = 100_000;

/// One ITCH message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ItchMessage<'a> {
    /// The day's number of the stock; 0 where the message concerns none.
    pub locate: u16,
    /// NASDAQ's own.
    pub tracking: u16,
    /// Nanoseconds since midnight in New York.
    pub since_midnight_ns: u64,
    /// The rest.
    pub body: ItchBody<'a>,
}

/// What an ITCH message says. Single letters are the specification's codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItchBody<'a> {
    /// `S`: the day's course.
    SystemEvent {
        /// `O` start of messages, `S` of system hours, `Q` of market hours, `M`, `E`, `C` their ends.
        event: u8,
    },
    /// `R`: a stock and its terms, before the day begins.
    StockDirectory(StockDirectory<'a>),
    /// `H`: whether a stock trades.
    TradingAction {
        /// Symbol.
        stock: &'a [u8; 8],
        /// `H` halted, `P` paused, `Q` quotation only, `T` trading.
        state: u8,
        /// Why.
        reason: &'a [u8; 4],
    },
    /// `Y`: short-sale price test.
    RegSho {
        /// Symbol.
        stock: &'a [u8; 8],
        /// `0` none, `1` in effect by a price drop today, `2` still in effect.
        action: u8,
    },
    /// `L`: a market maker's standing in a stock.
    ParticipantPosition {
        /// The market maker.
        mpid: &'a [u8; 4],
        /// Symbol.
        stock: &'a [u8; 8],
        /// `Y` for the primary market maker.
        primary: u8,
        /// Mode.
        mode: u8,
        /// State.
        state: u8,
    },
    /// `V`: the day's levels of the market-wide circuit breaker, in units of 1e-8.
    BreakerLevels {
        /// The three levels, the highest first.
        levels: [u64; 3],
    },
    /// `W`: a level of the market-wide circuit breaker was reached.
    BreakerStatus {
        /// `1`, `2` or `3`.
        level: u8,
    },
    /// `K`: when quoting of a new stock begins.
    IpoQuoting {
        /// Symbol.
        stock: &'a [u8; 8],
        /// Seconds since midnight.
        release_s: u32,
        /// `A` anticipated, `C` cancelled or postponed.
        qualifier: u8,
        /// Price of the offering.
        price: Price,
    },
    /// `J`: limits of the auction after a pause.
    AuctionCollar {
        /// Symbol.
        stock: &'a [u8; 8],
        /// Reference price.
        reference: Price,
        /// Upper limit.
        upper: Price,
        /// Lower limit.
        lower: Price,
        /// How many extensions so far.
        extension: u32,
    },
    /// `h`: a halt on one market for technical reasons.
    OperationalHalt {
        /// Symbol.
        stock: &'a [u8; 8],
        /// `Q` Nasdaq, `B` BX, `X` PSX.
        market: u8,
        /// `H` halted, `T` trading.
        action: u8,
    },
    /// `A` and `F`: an order came to rest.
    AddOrder(AddOrder<'a>),
    /// `E`: an order traded at its price.
    OrderExecuted {
        /// The order.
        reference: u64,
        /// Shares traded.
        shares: u32,
        /// Number of the trade.
        match_number: u64,
    },
    /// `C`: an order traded at another price.
    OrderExecutedWithPrice {
        /// The order.
        reference: u64,
        /// Shares traded.
        shares: u32,
        /// Number of the trade.
        match_number: u64,
        /// `Y` where the trade counts towards volume.
        printable: u8,
        /// Price of the trade.
        price: Price,
    },
    /// `X`: part of an order was cancelled.
    OrderCancel {
        /// The order.
        reference: u64,
        /// Shares cancelled.
        shares: u32,
    },
    /// `D`: an order left.
    OrderDelete {
        /// The order.
        reference: u64,
    },
    /// `U`: an order left, and another of the same side and stock came.
    OrderReplace {
        /// The order that left.
        reference: u64,
        /// The order that came.
        new_reference: u64,
        /// Its shares.
        shares: u32,
        /// Its price.
        price: Price,
    },
    /// `P`: a trade with an order that was not displayed.
    Trade {
        /// Always 0 in recent years.
        reference: u64,
        /// Always a buy since 2014, whoever took.
        side: Side,
        /// Shares traded.
        shares: u32,
        /// Symbol.
        stock: &'a [u8; 8],
        /// Price of the trade.
        price: Price,
        /// Number of the trade.
        match_number: u64,
    },
    /// `Q`: the volume of a cross.
    CrossTrade {
        /// Shares traded; 0 where nothing crossed.
        shares: u64,
        /// Symbol.
        stock: &'a [u8; 8],
        /// Price of the cross.
        price: Price,
        /// Number of the trade.
        match_number: u64,
        /// `O` opening, `C` closing, `H` after a halt or for a new stock, `I` intraday.
        cross: u8,
    },
    /// `B`: a trade is void.
    BrokenTrade {
        /// Number of the trade.
        match_number: u64,
    },
    /// `I`: how a coming cross stands.
    Imbalance(Imbalance<'a>),
    /// `N`: retail interest at a price between the best.
    RetailInterest {
        /// Symbol.
        stock: &'a [u8; 8],
        /// `B` on the bid, `S` on the ask, `A` on both, `N` none.
        interest: u8,
    },
    /// `O`: a direct listing with a capital raise.
    DirectListing(DirectListing<'a>),
    /// A type that ITCH 5.0 did not have at the time of writing.
    Unknown {
        /// Its letter.
        kind: u8,
    },
}

/// A stock and its terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StockDirectory<'a> {
    /// Symbol.
    pub stock: &'a [u8; 8],
    /// Where it is listed: `Q`, `G`, `S` Nasdaq tiers, `N` NYSE, `A` NYSE American, `P` Arca, `Z` BATS, `V` IEX.
    pub market_category: u8,
    /// Financial status.
    pub financial_status: u8,
    /// Shares in a round lot.
    pub round_lot: u32,
    /// `Y` where only round lots are taken.
    pub round_lots_only: u8,
    /// Class of the issue.
    pub issue_class: u8,
    /// Its sub-type.
    pub issue_subtype: &'a [u8; 2],
    /// `P` live, `T` test.
    pub authenticity: u8,
    /// Short-sale threshold.
    pub short_sale_threshold: u8,
    /// New issue.
    pub ipo: u8,
    /// Limit-up limit-down tier.
    pub price_band_tier: u8,
    /// Exchange-traded product.
    pub etp: u8,
    /// Its leverage.
    pub etp_leverage: u32,
    /// `Y` where it moves against its index.
    pub inverse: u8,
}

/// An order that came to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddOrder<'a> {
    /// Its number, unique for the day.
    pub reference: u64,
    /// Side of the book.
    pub side: Side,
    /// Shares.
    pub shares: u32,
    /// Symbol.
    pub stock: &'a [u8; 8],
    /// Price.
    pub price: Price,
    /// Who placed it, where that is told.
    pub mpid: Option<&'a [u8; 4]>,
}

/// How a coming cross stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Imbalance<'a> {
    /// Shares that would cross at the reference price.
    pub paired: u64,
    /// Shares left over.
    pub imbalance: u64,
    /// Side of those left over: `B`, `S`, `N` none, `O` too few orders, `P` paused.
    pub direction: u8,
    /// Symbol.
    pub stock: &'a [u8; 8],
    /// Price at which the orders for the cross alone would cross.
    pub far: Price,
    /// Price at which they would with the book.
    pub near: Price,
    /// Reference price.
    pub reference: Price,
    /// Which cross.
    pub cross: u8,
    /// How far the near price is from the reference price, as a code.
    pub variation: u8,
}

/// A direct listing with a capital raise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectListing<'a> {
    /// Symbol.
    pub stock: &'a [u8; 8],
    /// `Y` where trading may open.
    pub open_eligibility: u8,
    /// Lowest price allowed.
    pub minimum: Price,
    /// Highest price allowed.
    pub maximum: Price,
    /// Price at which it would open.
    pub near: Price,
    /// When that was set, in nanoseconds since midnight.
    pub near_since_midnight_ns: u64,
    /// Lower limit of the auction.
    pub lower_collar: Price,
    /// Upper limit of the auction.
    pub upper_collar: Price,
}

/// Length of a message by its type; `None` for an unknown one.
pub(super) fn itch_length(kind: u8) -> Option<usize> {
    Some(match kind {
        b'S' | b'W' => 12,
        b'D' | b'B' => 19,
        b'Y' | b'N' => 20,
        b'h' => 21,
        b'X' => 23,
        b'H' => 25,
        b'L' => 26,
        b'K' => 28,
        b'E' => 31,
        b'V' | b'J' | b'U' => 35,
        b'A' | b'C' => 36,
        b'R' => 39,
        b'F' | b'Q' => 40,
        b'P' => 44,
        b'O' => 48,
        b'I' => 50,
        _ => return None,
    })
}

impl<'a> ItchMessage<'a> {
    /// Reads a message without its length before it.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] where it is shorter than its type; [`DecodeError::OutOfRange`] for a side that is none.
    // Inlined, so that a match on the body is one with the match on the type: a quarter fewer instructions for who does so.
    #[inline(always)]
    pub fn parse(raw: &'a [u8]) -> Result<ItchMessage<'a>, DecodeError> {
        at_least(raw, 11)?;
        let (locate, tracking) = (u16_be(raw, 1), u16_be(raw, 3));
        let since_midnight_ns = u64_be(raw, 3) & 0xFFFF_FFFF_FFFF;
        let body = match raw[0] {
            b'A' => {
                let raw: &[u8; 36] = sized(raw)?;
                ItchBody::AddOrder(add_order(raw, None)?)
            }
            b'F' => {
                let raw: &[u8; 40] = sized(raw)?;
                ItchBody::AddOrder(add_order(raw, Some(text(raw, 36)))?)
            }
            b'E' => {
                let raw: &[u8; 31] = sized(raw)?;
                ItchBody::OrderExecuted { reference: u64_be(raw, 11), shares: u32_be(raw, 19), match_number: u64_be(raw, 23) }
            }
            b'C' => {
                let raw: &[u8; 36] = sized(raw)?;
                ItchBody::OrderExecutedWithPrice {
                    reference: u64_be(raw, 11),
                    shares: u32_be(raw, 19),
                    match_number: u64_be(raw, 23),
                    printable: raw[31],
                    price: price(raw, 32),
                }
            }
            b'X' => {
                let raw: &[u8; 23] = sized(raw)?;
                ItchBody::OrderCancel { reference: u64_be(raw, 11), shares: u32_be(raw, 19) }
            }
            b'D' => {
                let raw: &[u8; 19] = sized(raw)?;
                ItchBody::OrderDelete { reference: u64_be(raw, 11) }
            }
            b'U' => {
                let raw: &[u8; 35] = sized(raw)?;
                ItchBody::OrderReplace {
                    reference: u64_be(raw, 11),
                    new_reference: u64_be(raw, 19),
                    shares: u32_be(raw, 27),
                    price: price(raw, 31),
                }
            }
            b'P' => {
                let raw: &[u8; 44] = sized(raw)?;
                ItchBody::Trade {
                    reference: u64_be(raw, 11),
                    side: side(raw[19])?,
                    shares: u32_be(raw, 20),
                    stock: text(raw, 24),
                    price: price(raw, 32),
                    match_number: u64_be(raw, 36),
                }
            }
            b'Q' => {
                let raw: &[u8; 40] = sized(raw)?;
                ItchBody::CrossTrade {
                    shares: u64_be(raw, 11),
                    stock: text(raw, 19),
                    price: price(raw, 27),
                    match_number: u64_be(raw, 31),
                    cross: raw[39],
                }
            }
            _ => ItchMessage::rare_body(raw)?,
        };
        Ok(ItchMessage { locate, tracking, since_midnight_ns, body })
    }

    /// The body of a type that comes seldom, kept out of the way of the others.
    #[cold]
    fn rare_body(raw: &'a [u8]) -> Result<ItchBody<'a>, DecodeError> {
        let kind = raw[0];
        let Some(length) = itch_length(kind) else { return Ok(ItchBody::Unknown { kind }) };
        at_least(raw, length)?;
        Ok(match kind {
            b'S' => ItchBody::SystemEvent { event: raw[11] },
            b'R' => ItchBody::StockDirectory(StockDirectory {
                stock: text(raw, 11),
                market_category: raw[19],
                financial_status: raw[20],
                round_lot: u32_be(raw, 21),
                round_lots_only: raw[25],
                issue_class: raw[26],
                issue_subtype: text(raw, 27),
                authenticity: raw[29],
                short_sale_threshold: raw[30],
                ipo: raw[31],
                price_band_tier: raw[32],
                etp: raw[33],
                etp_leverage: u32_be(raw, 34),
                inverse: raw[38],
            }),
            b'H' => ItchBody::TradingAction { stock: text(raw, 11), state: raw[19], reason: text(raw, 21) },
            b'Y' => ItchBody::RegSho { stock: text(raw, 11), action: raw[19] },
            b'L' => ItchBody::ParticipantPosition {
                mpid: text(raw, 11),
                stock: text(raw, 15),
                primary: raw[23],
                mode: raw[24],
                state: raw[25],
            },
            b'V' => ItchBody::BreakerLevels { levels: [u64_be(raw, 11), u64_be(raw, 19), u64_be(raw, 27)] },
            b'W' => ItchBody::BreakerStatus { level: raw[11] },
            b'K' => {
                ItchBody::IpoQuoting { stock: text(raw, 11), release_s: u32_be(raw, 19), qualifier: raw[23], price: price(raw, 24) }
            }
            b'J' => ItchBody::AuctionCollar {
                stock: text(raw, 11),
                reference: price(raw, 19),
                upper: price(raw, 23),
                lower: price(raw, 27),
                extension: u32_be(raw, 31),
            },
            b'h' => ItchBody::OperationalHalt { stock: text(raw, 11), market: raw[19], action: raw[20] },
            b'B' => ItchBody::BrokenTrade { match_number: u64_be(raw, 11) },
            b'I' => ItchBody::Imbalance(Imbalance {
                paired: u64_be(raw, 11),
                imbalance: u64_be(raw, 19),
                direction: raw[27],
                stock: text(raw, 28),
                far: price(raw, 36),
                near: price(raw, 40),
                reference: price(raw, 44),
                cross: raw[48],
                variation: raw[49],
            }),
            b'N' => ItchBody::RetailInterest { stock: text(raw, 11), interest: raw[19] },
            b'O' => ItchBody::DirectListing(DirectListing {
                stock: text(raw, 11),
                open_eligibility: raw[19],
                minimum: price(raw, 20),
                maximum: price(raw, 24),
                near: price(raw, 28),
                near_since_midnight_ns: u64_be(raw, 32),
                lower_collar: price(raw, 40),
                upper_collar: price(raw, 44),
            }),
            _ => ItchBody::Unknown { kind },
        })
    }
}

/// The first `N` bytes; an array lets the compiler check all fields at once.
#[inline(always)]
fn sized<const N: usize>(raw: &[u8]) -> Result<&[u8; N], DecodeError> {
    raw.first_chunk().ok_or(DecodeError::Truncated(N, raw.len()))
}

/// Text of a fixed length in a message known to be long enough.
#[inline(always)]
fn text<const N: usize>(raw: &[u8], at: usize) -> &[u8; N] {
    raw[at..].first_chunk().unwrap_or(&[b' '; N])
}

#[inline(always)]
fn price(raw: &[u8], at: usize) -> Price {
    Price(i64::from(u32_be(raw, at)) * PRICE_UNIT)
}

#[inline(always)]
fn side(letter: u8) -> Result<Side, DecodeError> {
    match letter {
        b'B' => Ok(Side::Buy),
        b'S' => Ok(Side::Sell),
        _ => Err(DecodeError::OutOfRange("side")),
    }
}

#[inline(always)]
fn add_order<'a>(raw: &'a [u8], mpid: Option<&'a [u8; 4]>) -> Result<AddOrder<'a>, DecodeError> {
    Ok(AddOrder {
        reference: u64_be(raw, 11),
        side: side(raw[19])?,
        shares: u32_be(raw, 20),
        stock: text(raw, 24),
        price: price(raw, 32),
        mpid,
    })
}
