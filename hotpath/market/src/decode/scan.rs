//! One pass over the usual messages: compact JSON in the combined-stream envelope, plain strings, whole numbers.
//!
//! It either gives exactly the message that the general decoder gives, or nothing, and then the general decoder decides: anything
//! unusual (white space, an escape, a nested value, a number it does not expect, an error) is not its business.

use super::binance::{is_partial_depth, time_ns};
use super::{DepthMessage, LevelChange, MESSAGE_LEVELS_MAX, Message, QuoteMessage, TradeMessage};
use crate::event::Side;
use crate::fixed::{PRICE_DECIMALS, Price, QTY_DECIMALS, Qty};
use crate::frame::{Bbo, Level};

/// The message, where it is one of the usual ones. `levels` is overwritten.
#[inline]
pub(super) fn scan<'a>(raw: &'a [u8], levels: &'a mut Vec<LevelChange>) -> Option<Message<'a>> {
    let mut cursor = Cursor { bytes: raw, at: 0 };
    cursor.literal(b"{\"stream\":\"")?;
    let stream = cursor.text()?;
    cursor.literal(b",\"data\":{")?;
    levels.clear();
    let mut fields = Fields::default();
    loop {
        cursor.byte(b'"')?;
        let key = cursor.text()?;
        cursor.byte(b':')?;
        fields.read(key, &mut cursor, levels)?;
        match cursor.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    cursor.byte(b'}')?;
    if cursor.at != raw.len() {
        return None;
    }
    fields.message(stream, levels)
}

#[derive(Default)]
struct Fields<'a> {
    event: Option<&'a [u8]>,
    event_time: Option<u64>,
    transaction_time: Option<u64>,
    symbol: Option<&'a [u8]>,
    first_id: Option<u64>,
    final_id: Option<u64>,
    previous_id: Option<u64>,
    trade_id: Option<u64>,
    bid_price: Option<&'a [u8]>,
    ask_price: Option<&'a [u8]>,
    bid_qty: Option<&'a [u8]>,
    ask_qty: Option<&'a [u8]>,
    price: Option<&'a [u8]>,
    qty: Option<&'a [u8]>,
    trade_kind: Option<&'a [u8]>,
    buyer_is_maker: Option<bool>,
    has_bids: bool,
    has_asks: bool,
}

impl<'a> Fields<'a> {
    #[inline]
    fn read(&mut self, key: &[u8], cursor: &mut Cursor<'a>, levels: &mut Vec<LevelChange>) -> Option<()> {
        match key {
            b"e" => once(&mut self.event, cursor.string()?),
            b"s" => once(&mut self.symbol, cursor.string()?),
            b"E" => once(&mut self.event_time, cursor.unsigned()?),
            b"T" => once(&mut self.transaction_time, cursor.unsigned()?),
            b"U" => once(&mut self.first_id, cursor.unsigned()?),
            b"u" => once(&mut self.final_id, cursor.unsigned()?),
            b"pu" => once(&mut self.previous_id, cursor.unsigned()?),
            b"t" => once(&mut self.trade_id, cursor.unsigned()?),
            b"b" if cursor.peek() == Some(b'[') => {
                // Bids come first in the message, so they must in the text.
                if self.has_bids || self.has_asks || self.bid_price.is_some() {
                    return None;
                }
                self.has_bids = true;
                cursor.levels(Side::Buy, levels)
            }
            b"a" if cursor.peek() == Some(b'[') => {
                if self.has_asks || self.ask_price.is_some() {
                    return None;
                }
                self.has_asks = true;
                cursor.levels(Side::Sell, levels)
            }
            b"b" if !self.has_bids => once(&mut self.bid_price, cursor.string()?),
            b"a" if !self.has_asks => once(&mut self.ask_price, cursor.string()?),
            b"B" => once(&mut self.bid_qty, cursor.string()?),
            b"A" => once(&mut self.ask_qty, cursor.string()?),
            b"p" => once(&mut self.price, cursor.string()?),
            b"q" => once(&mut self.qty, cursor.string()?),
            b"X" => once(&mut self.trade_kind, cursor.string()?),
            b"m" => once(&mut self.buyer_is_maker, cursor.bool()?),
            b"M" => cursor.bool().map(drop),
            b"ps" => cursor.string().map(drop),
            b"st" => cursor.unsigned().map(drop),
            _ => None,
        }
    }

    #[inline]
    fn message(self, stream: &[u8], levels: &'a [LevelChange]) -> Option<Message<'a>> {
        // Only ASCII passes the cursor.
        let symbol = str::from_utf8(self.symbol?).ok()?;
        let time = self.transaction_time.or(self.event_time);
        match self.event {
            Some(b"depthUpdate") if self.has_bids && self.has_asks => {
                if is_partial_depth(str::from_utf8(stream).ok()?) || self.first_id? > self.final_id? {
                    return None;
                }
                Some(Message::Depth(DepthMessage {
                    symbol,
                    first_id: self.first_id?,
                    final_id: self.final_id?,
                    previous_id: self.previous_id,
                    exchange_ns: time_ns(time?)?,
                    levels,
                }))
            }
            Some(b"bookTicker") | None => Some(Message::Quote(QuoteMessage {
                symbol,
                id: self.final_id?,
                bbo: Bbo { bid: level(self.bid_price?, self.bid_qty?)?, ask: level(self.ask_price?, self.ask_qty?)? },
                exchange_ns: match time {
                    Some(time) => time_ns(time)?,
                    None => 0,
                },
            })),
            Some(b"trade") if matches!(self.trade_kind, None | Some(b"MARKET")) => {
                let traded = level(self.price?, self.qty?)?;
                (traded.price.0 > 0).then_some(Message::Trade(TradeMessage {
                    symbol,
                    id: self.trade_id?,
                    price: traded.price,
                    qty: traded.qty,
                    aggressor: if self.buyer_is_maker? { Side::Sell } else { Side::Buy },
                    exchange_ns: time_ns(time?)?,
                }))
            }
            _ => None,
        }
    }
}

/// Sets a field that was not there yet.
#[inline]
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

#[inline]
fn level(price: &[u8], qty: &[u8]) -> Option<Level> {
    let level = Level { price: Price::parse(price).ok()?, qty: Qty::parse(qty).ok()? };
    (level.price.0 >= 0 && level.qty.0 >= 0).then_some(level)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn byte(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    #[inline]
    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        self.at += expected.len();
        rest.starts_with(expected).then_some(())
    }

    /// What stands before the closing quote, which is passed: printable ASCII without an escape.
    #[inline]
    fn text(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let len = rest.iter().position(|&byte| !IS_PLAIN[usize::from(byte)])?;
        self.at += len + 1;
        (rest[len] == b'"').then_some(&rest[..len])
    }

    #[inline]
    fn string(&mut self) -> Option<&'a [u8]> {
        self.byte(b'"')?;
        self.text()
    }

    /// A whole number of at most 18 digits, without a leading zero.
    #[inline]
    fn unsigned(&mut self) -> Option<u64> {
        let start = self.at;
        let mut value = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - start;
        let is_plain = (1..=18).contains(&digits) && (digits == 1 || self.bytes[start] != b'0');
        is_plain.then_some(value)
    }

    #[inline]
    fn bool(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.literal(b"true").map(|()| true),
            _ => self.literal(b"false").map(|()| false),
        }
    }

    /// `[["price","qty"],...]`.
    #[inline]
    fn levels(&mut self, side: Side, levels: &mut Vec<LevelChange>) -> Option<()> {
        self.byte(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.literal(b"[\"")?;
            let price = Price(self.decimal::<PRICE_DECIMALS>()?);
            self.literal(b",\"")?;
            let qty = Qty(self.decimal::<QTY_DECIMALS>()?);
            self.byte(b']')?;
            if price.0 == 0 || levels.len() == MESSAGE_LEVELS_MAX {
                return None;
            }
            levels.push(LevelChange { side, price, qty });
            match self.next()? {
                b',' => {}
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// A decimal up to its closing quote, which is passed: digits, and perhaps a point and no more than `DECIMALS` digits, together
    /// so few that nothing overflows.
    #[inline]
    fn decimal<const DECIMALS: u32>(&mut self) -> Option<i64> {
        let rest = self.bytes.get(self.at..)?;
        let mut value = 0u64;
        let mut place = 0;
        while let Some(digit) = rest.get(place).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            place += 1;
        }
        let whole = place;
        let mut fraction = 0;
        if rest.get(place) == Some(&b'.') {
            place += 1;
            while let Some(digit) = rest.get(place).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
                place += 1;
                fraction += 1;
            }
        }
        if rest.get(place) != Some(&b'"') || whole == 0 || whole + fraction > 18 || fraction > DECIMALS as usize {
            return None;
        }
        self.at += place + 1;
        let scaled = value.checked_mul(SCALES[DECIMALS as usize - fraction])?;
        i64::try_from(scaled).ok()
    }
}

/// Printable ASCII but the quote and the backslash.
const IS_PLAIN: [bool; 256] = {
    let mut is_plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        is_plain[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    is_plain
};

const SCALES: [u64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

#[cfg(test)]
mod tests {
    use super::super::BinanceDecoder;
    use super::*;
    use proptest::prelude::*;

    const USUAL: [&str; 6] = [
        r#"{"stream":"x@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"XUSDT","U":10,"u":12,"pu":9,"b":[["58710.20","0.014"],["9","0.000"]],"a":[["61000.5","12"]]}}"#,
        r#"{"stream":"x@depth","data":{"e":"depthUpdate","E":1723161255208,"s":"XUSDT","U":10,"u":12,"b":[],"a":[]}}"#,
        r#"{"stream":"x@bookTicker","data":{"u":12,"s":"XUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"0.00000000"}}"#,
        r#"{"stream":"x@bookTicker","data":{"u":12,"e":"bookTicker","s":"XUSD_PERP","ps":"XUSD","b":"1","B":"35","a":"2","A":"1645","T":1723161257465,"E":1723161257476,"st":2}}"#,
        r#"{"stream":"x@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"XUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}"#,
        r#"{"stream":"x@trade","data":{"e":"trade","E":1723161255343,"s":"XUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255342,"m":true,"M":true}}"#,
    ];

    fn general(raw: &[u8]) -> Option<String> {
        BinanceDecoder::new().decode_general(raw, &mut |message: &Message<'_>| format!("{message:?}")).ok()
    }

    fn scanned(raw: &[u8]) -> Option<String> {
        scan(raw, &mut Vec::new()).map(|message| format!("{message:?}"))
    }

    #[test]
    fn the_usual_messages_are_its_business() {
        for text in USUAL {
            assert_eq!(scanned(text.as_bytes()), general(text.as_bytes()), "{text}");
            assert!(scanned(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn whatever_is_unusual_is_left_to_the_general_decoder() {
        let depth = USUAL[0];
        for (from, to) in [
            ("\"u\":12", "\"u\": 12"),
            ("\"u\":12", "\"u\":012"),
            ("\"u\":12", "\"u\":12,\"u\":13"),
            ("\"u\":12", "\"u\":9"),
            ("\"u\":12", "\"u\":1234567890123456789"),
            ("@depth@", "@depth20@"),
            ("XUSDT", "X\\u0055SDT"),
            ("XUSDT", "\u{6d4b}USDT"),
            ("\"9\"", "\"-9\""),
            ("\"9\"", "\"0\""),
            ("\"9\"", "\"9.0000000000\""),
            ("\"9\"", "\"99999999999\""),
            ("]]}}", "]]}} "),
            ("]]}}", "]]}"),
            ("]]}}", "]],\"z\":{}}}"),
            ("1723161256298", "1723161256"),
        ] {
            let text = depth.replace(from, to);
            assert_ne!(text, depth, "{from}");
            assert_eq!(scanned(text.as_bytes()), None, "{text}");
        }
        for cut in 0..depth.len() {
            assert_eq!(scanned(&depth.as_bytes()[..cut]), None);
        }
    }

    proptest! {
        #[test]
        fn never_says_anything_else_than_the_general_decoder(
            which in 0..USUAL.len(), edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"\"{}[],:.0129-eEutbaX \\\x80".to_vec()), 0u8..3), 0..4)
        ) {
            let mut raw = USUAL[which].as_bytes().to_vec();
            for (at, byte, kind) in edits {
                let at = at.index(raw.len());
                match kind {
                    0 => raw[at] = byte,
                    1 => raw.insert(at, byte),
                    _ => drop(raw.remove(at)),
                }
            }
            if let Some(message) = scanned(&raw) {
                prop_assert_eq!(Some(message), general(&raw));
            }
        }
    }
}
