//! One pass over the usual messages: compact JSON in the combined-stream envelope, plain strings, whole numbers.
//!
//! It either gives exactly the message that the general decoder gives, or nothing, and then the general decoder decides: anything
//! unusual (white space, an escape, a nested value, a number it does not expect, an error) is not its business.

use super::binance::{is_partial_depth, time_ns};
use super::digits::{POWERS, plain, unsigned};
#[cfg(target_arch = "x86_64")]
use super::reader::Avx2;
use super::reader::{Levels, Numbers, Portable, Reader, ascii};
#[cfg(target_arch = "x86_64")]
use super::reader_avx512::Avx512;
use super::{DepthMessage, LevelChange, MESSAGE_LEVELS_MAX, Message, QuoteMessage, TradeMessage};
use crate::event::Side;
use crate::fixed::{PRICE_DECIMALS, Price, QTY_DECIMALS, Qty};
use crate::frame::{Bbo, Level};

/// The scanner for this processor.
#[derive(Clone, Copy)]
pub(super) enum Scanner {
    /// For any.
    Portable,
    /// For those with AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// For those with AVX-512 and its byte permutations.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Scanner {
    /// Looks once what the processor can do.
    pub(super) fn detect() -> Scanner {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            return Avx512::detect(avx2).map_or(Scanner::Avx2(avx2), Scanner::Avx512);
        }
        Scanner::Portable
    }

    /// The message, where it is one of the usual ones. `levels` is overwritten.
    #[inline]
    pub(super) fn scan<'a>(self, raw: &'a [u8], levels: &'a mut Vec<LevelChange>) -> Option<Message<'a>> {
        match self {
            Scanner::Portable => scan(Portable, raw, levels),
            #[cfg(target_arch = "x86_64")]
            Scanner::Avx2(avx2) => avx2.scan(raw, levels),
            #[cfg(target_arch = "x86_64")]
            Scanner::Avx512(avx512) => avx512.scan(raw, levels),
        }
    }
}

/// The message, read by `reader`.
#[inline(always)]
pub(super) fn scan<'a, R: Reader>(reader: R, raw: &'a [u8], levels: &'a mut Vec<LevelChange>) -> Option<Message<'a>> {
    let mut cursor = Cursor { reader, bytes: raw, at: 0 };
    cursor.literal(b"{\"stream\":\"")?;
    let stream = cursor.text()?;
    cursor.literal(b",\"data\":{")?;
    levels.clear();
    let mut fields = Fields::default();
    loop {
        fields.read(&mut cursor, levels)?;
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

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Event {
    #[default]
    None,
    Depth,
    Quote,
    Trade,
}

/// The fields read so far, and in `seen` which ones they are.
#[derive(Default)]
struct Fields<'a> {
    seen: u32,
    event: Event,
    buyer_is_maker: bool,
    event_time: u64,
    transaction_time: u64,
    symbol: &'a str,
    first_id: u64,
    final_id: u64,
    previous_id: u64,
    trade_id: u64,
    bid: Level,
    ask: Level,
    traded: Level,
}

/// Bits of [`Fields::seen`].
mod field {
    pub(super) const EVENT: u32 = 1;
    pub(super) const SYMBOL: u32 = 1 << 1;
    pub(super) const EVENT_TIME: u32 = 1 << 2;
    pub(super) const TRANSACTION_TIME: u32 = 1 << 3;
    pub(super) const FIRST_ID: u32 = 1 << 4;
    pub(super) const FINAL_ID: u32 = 1 << 5;
    pub(super) const PREVIOUS_ID: u32 = 1 << 6;
    pub(super) const TRADE_ID: u32 = 1 << 7;
    pub(super) const BIDS: u32 = 1 << 8;
    pub(super) const ASKS: u32 = 1 << 9;
    pub(super) const BID_PRICE: u32 = 1 << 10;
    pub(super) const BID_QTY: u32 = 1 << 11;
    pub(super) const ASK_PRICE: u32 = 1 << 12;
    pub(super) const ASK_QTY: u32 = 1 << 13;
    pub(super) const PRICE: u32 = 1 << 14;
    pub(super) const QTY: u32 = 1 << 15;
    pub(super) const TRADE_KIND: u32 = 1 << 16;
    pub(super) const MAKER: u32 = 1 << 17;
}

impl<'a> Fields<'a> {
    /// Reads one field.
    #[inline(always)]
    fn read<R: Reader>(&mut self, cursor: &mut Cursor<'a, R>, levels: &mut Vec<LevelChange>) -> Option<()> {
        let &[quote, key, after, colon, value, ..] = cursor.window::<6>()?;
        if [quote, after, colon, 0] != *b"\"\":\0" {
            return self.read_long(cursor);
        }
        cursor.at += 4;
        match key {
            b'e' => {
                self.once(field::EVENT)?;
                self.event = cursor.event()?;
            }
            b's' => {
                self.once(field::SYMBOL)?;
                self.symbol = cursor.string()?;
            }
            b'E' => {
                self.once(field::EVENT_TIME)?;
                self.event_time = cursor.unsigned()?;
            }
            b'T' => {
                self.once(field::TRANSACTION_TIME)?;
                self.transaction_time = cursor.unsigned()?;
            }
            b'U' => {
                self.once(field::FIRST_ID)?;
                self.first_id = cursor.unsigned()?;
            }
            b'u' => {
                self.once(field::FINAL_ID)?;
                self.final_id = cursor.unsigned()?;
            }
            b't' => {
                self.once(field::TRADE_ID)?;
                self.trade_id = cursor.unsigned()?;
            }
            b'a' | b'b' if value == b'[' => {
                let (side, field) = if key == b'b' { (Side::Buy, field::BIDS) } else { (Side::Sell, field::ASKS) };
                self.once(field)?;
                // Bids come first in the message, so they must in the text.
                if side == Side::Buy && self.has(field::ASKS) {
                    return None;
                }
                cursor.levels(side, levels)?;
            }
            b'b' => {
                self.once(field::BID_PRICE)?;
                self.bid.price = cursor.price()?;
            }
            b'a' => {
                self.once(field::ASK_PRICE)?;
                self.ask.price = cursor.price()?;
            }
            b'B' => {
                self.once(field::BID_QTY)?;
                self.bid.qty = cursor.qty()?;
            }
            b'A' => {
                self.once(field::ASK_QTY)?;
                self.ask.qty = cursor.qty()?;
            }
            b'p' => {
                self.once(field::PRICE)?;
                self.traded.price = cursor.price()?;
            }
            b'q' => {
                self.once(field::QTY)?;
                self.traded.qty = cursor.qty()?;
            }
            b'X' => {
                // Any other kind is off the book.
                self.once(field::TRADE_KIND)?;
                cursor.literal(b"\"MARKET\"")?;
            }
            b'm' => {
                self.once(field::MAKER)?;
                self.buyer_is_maker = cursor.bool()?;
            }
            b'M' => drop(cursor.bool()?),
            _ => return None,
        }
        Some(())
    }

    /// Reads one field with a key of two letters.
    #[inline(always)]
    fn read_long<R: Reader>(&mut self, cursor: &mut Cursor<'a, R>) -> Option<()> {
        let key = cursor.window::<5>()?;
        cursor.at += key.len();
        match key {
            b"\"pu\":" => {
                self.once(field::PREVIOUS_ID)?;
                self.previous_id = cursor.unsigned()?;
            }
            b"\"ps\":" => drop(cursor.string()?),
            b"\"st\":" => drop(cursor.unsigned()?),
            _ => return None,
        }
        Some(())
    }

    /// Notes a field that was not there yet.
    #[inline]
    fn once(&mut self, field: u32) -> Option<()> {
        let is_new = self.seen & field == 0;
        self.seen |= field;
        is_new.then_some(())
    }

    #[inline]
    fn has(&self, fields: u32) -> bool {
        self.seen & fields == fields
    }

    #[inline(always)]
    fn message(self, stream: &str, levels: &'a [LevelChange]) -> Option<Message<'a>> {
        use field::*;
        let has_levels = self.seen & (BIDS | ASKS) != 0;
        let has_prices = self.seen & (BID_PRICE | ASK_PRICE) != 0;
        if !self.has(SYMBOL) || has_levels && has_prices {
            return None;
        }
        let symbol = self.symbol;
        let exchange_ns = match (self.has(TRANSACTION_TIME), self.has(EVENT_TIME)) {
            (true, _) => time_ns(self.transaction_time)?,
            (false, true) => time_ns(self.event_time)?,
            (false, false) => 0,
        };
        let has_time = self.seen & (TRANSACTION_TIME | EVENT_TIME) != 0;
        match self.event {
            Event::Depth if self.has(BIDS | ASKS | FIRST_ID | FINAL_ID) && has_time => {
                if is_partial_depth(stream.as_bytes()) || self.first_id > self.final_id {
                    return None;
                }
                let previous_id = self.has(PREVIOUS_ID).then_some(self.previous_id);
                Some(Message::Depth(DepthMessage {
                    symbol,
                    first_id: self.first_id,
                    final_id: self.final_id,
                    previous_id,
                    exchange_ns,
                    levels,
                }))
            }
            Event::Quote | Event::None if self.has(FINAL_ID | BID_PRICE | BID_QTY | ASK_PRICE | ASK_QTY) => {
                let bbo = Bbo { bid: self.bid, ask: self.ask };
                Some(Message::Quote(QuoteMessage { symbol, id: self.final_id, bbo, exchange_ns }))
            }
            Event::Trade if self.has(TRADE_ID | PRICE | QTY | MAKER) && has_time && self.traded.price.0 > 0 => {
                Some(Message::Trade(TradeMessage {
                    symbol,
                    id: self.trade_id,
                    price: self.traded.price,
                    qty: self.traded.qty,
                    aggressor: Some(if self.buyer_is_maker { Side::Sell } else { Side::Buy }),
                    exchange_ns,
                }))
            }
            _ => None,
        }
    }
}

struct Cursor<'a, R> {
    reader: R,
    bytes: &'a [u8],
    at: usize,
}

impl<'a, R: Reader> Cursor<'a, R> {
    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline(always)]
    fn byte(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    #[inline(always)]
    fn literal<const N: usize>(&mut self, expected: &[u8; N]) -> Option<()> {
        let found = self.window::<N>()?;
        self.at += N;
        (found == expected).then_some(())
    }

    /// The next bytes, where there are so many.
    #[inline(always)]
    fn window<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    /// What stands before the closing quote, which is passed: printable ASCII without an escape.
    #[inline(always)]
    fn text(&mut self) -> Option<&'a str> {
        let start = self.at;
        let length = match self.window().map(|window| self.reader.plain(window)) {
            Some(length @ 0..32) => length,
            _ => plain(self.bytes, start),
        };
        let end = start + length;
        self.at = end + 1;
        let text = self.bytes.get(start..end).filter(|_| self.bytes.get(end) == Some(&b'"'))?;
        Some(ascii(text))
    }

    #[inline(always)]
    fn string(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        self.text()
    }

    #[inline(always)]
    fn event(&mut self) -> Option<Event> {
        match self.bytes.get(self.at + 1)? {
            b'b' => self.literal(b"\"bookTicker\"").map(|()| Event::Quote),
            b't' => self.literal(b"\"trade\"").map(|()| Event::Trade),
            _ => self.literal(b"\"depthUpdate\"").map(|()| Event::Depth),
        }
    }

    /// A whole number of at most 18 digits, without a leading zero.
    #[inline(always)]
    fn unsigned(&mut self) -> Option<u64> {
        let last;
        let window = match self.window() {
            Some(window) => window,
            None => {
                last = last_bytes(self.bytes, self.at);
                &last
            }
        };
        let (value, length) = match self.reader.unsigned(window) {
            (_, 16..) => unsigned(self.bytes, self.at),
            short => short,
        };
        let is_plain = (1..=18).contains(&length) && (length == 1 || window[0] != b'0');
        self.at += length;
        is_plain.then_some(value)
    }

    #[inline(always)]
    fn bool(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' => self.literal(b"true").map(|()| true),
            _ => self.literal(b"false").map(|()| false),
        }
    }

    #[inline(always)]
    fn price(&mut self) -> Option<Price> {
        self.byte(b'"')?;
        self.decimal::<PRICE_DECIMALS>().map(Price)
    }

    #[inline(always)]
    fn qty(&mut self) -> Option<Qty> {
        self.byte(b'"')?;
        self.decimal::<QTY_DECIMALS>().map(Qty)
    }

    /// `[["price","qty"],...]`.
    #[inline(always)]
    fn levels(&mut self, side: Side, levels: &mut Vec<LevelChange>) -> Option<()> {
        self.byte(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(());
        }
        self.literal(b"[\"")?;
        loop {
            match self.bytes.get(self.at - 1..).map_or(Levels::NoVerdict, |text| self.reader.levels(text)) {
                Levels::Two([first, second], length) => {
                    push(levels, side, [first, second])?;
                    self.at += length - 1;
                }
                Levels::One(level, length) => {
                    push(levels, side, [level])?;
                    self.at += length - 1;
                }
                Levels::NoVerdict => {
                    let level = self.level()?;
                    push(levels, side, [level])?;
                }
            }
            let next = *self.window()?;
            if u32::from_le_bytes(next) == u32::from_le_bytes(*b"],[\"") {
                self.at += next.len();
            } else {
                return self.literal(b"]]");
            }
        }
    }

    /// `PRICE","QTY"`.
    #[inline(always)]
    fn level(&mut self) -> Option<Numbers> {
        let last;
        let window = match self.window() {
            Some(window) => window,
            None => {
                last = last_bytes(self.bytes, self.at);
                &last
            }
        };
        if let Some((price, qty, length)) = self.reader.level(window) {
            self.at += length;
            return Some((price, qty));
        }
        let price = self.decimal::<PRICE_DECIMALS>()?;
        self.literal(b",\"")?;
        Some((price, self.decimal::<QTY_DECIMALS>()?))
    }

    /// A decimal up to its closing quote, which is passed: digits, and perhaps a point and no more than `DECIMALS` digits, together
    /// so few that nothing overflows.
    #[inline(always)]
    fn decimal<const DECIMALS: u32>(&mut self) -> Option<i64> {
        let Some((value, end)) = self.window().and_then(|window| self.reader.decimal::<DECIMALS>(window)) else {
            let value;
            (value, self.at) = long_decimal(self.bytes, self.at, DECIMALS as usize)?;
            return Some(value);
        };
        self.at += end + 1;
        Some(value)
    }
}

/// Adds levels, whose prices must not be 0, while there is room.
#[inline(always)]
fn push<const N: usize>(levels: &mut Vec<LevelChange>, side: Side, read: [Numbers; N]) -> Option<()> {
    if levels.len() + N > MESSAGE_LEVELS_MAX || read.iter().any(|(price, _)| *price == 0) {
        return None;
    }
    levels.extend_from_slice(&read.map(|(price, qty)| LevelChange { side, price: Price(price), qty: Qty(qty) }));
    Some(())
}

/// The bytes from `at` on, fewer than `N`, and zeros.
#[inline(never)]
fn last_bytes<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut padded = [0; N];
    let last = bytes.get(at..).unwrap_or_default();
    if let Some(beginning) = padded.get_mut(..last.len()) {
        beginning.copy_from_slice(last);
    }
    padded
}

/// Any decimal, and where its closing quote has been passed.
#[inline(never)]
fn long_decimal(bytes: &[u8], at: usize, decimals: usize) -> Option<(i64, usize)> {
    let (mut value, whole) = unsigned(bytes, at);
    let mut end = at + whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        let after;
        (after, fraction) = unsigned(bytes, end + 1);
        end += 1 + fraction;
        if fraction > decimals {
            return None;
        }
        value = value.wrapping_mul(POWERS[fraction]).wrapping_add(after);
    }
    if bytes.get(end) != Some(&b'"') || whole == 0 || whole + fraction > 18 {
        return None;
    }
    let scaled = value.checked_mul(POWERS[decimals - fraction])?;
    Some((i64::try_from(scaled).ok()?, end + 1))
}

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

    /// What every scanner says that this processor can run.
    fn scanned(raw: &[u8]) -> Option<String> {
        let said = |scanner: Scanner| scanner.scan(raw, &mut Vec::new()).map(|message| format!("{message:?}"));
        let portable = said(Scanner::Portable);
        assert_eq!(said(Scanner::detect()), portable);
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::detect() {
            assert_eq!(said(Scanner::Avx2(avx2)), portable);
        }
        portable
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
        fn takes_levels_of_any_length_that_fits(
            levels in prop::collection::vec(("[0-9]{0,19}", "(\\.[0-9]{0,11})?", "[0-9]{0,19}", "(\\.[0-9]{0,11})?"), 0..6)
        ) {
            let texts: Vec<_> = levels.iter().map(|(p, f, q, g)| format!(r#"["{p}{f}","{q}{g}"]"#)).collect();
            let (bids, asks) = texts.split_at(texts.len() / 2);
            let raw = USUAL[1].replace(r#""b":[]"#, &format!(r#""b":[{}]"#, bids.join(","))).replace(r#""a":[]"#, &format!(r#""a":[{}]"#, asks.join(",")));
            let said = scanned(raw.as_bytes());
            let fits = |whole: &str, fraction: &str, decimals: usize| {
                let digits = fraction.len().saturating_sub(1);
                let most: usize = if decimals == 9 { 9 } else { 10 };
                !whole.is_empty() && digits <= decimals && whole.len() + digits <= 18 && whole.len() <= most
            };
            if levels.iter().all(|(p, f, q, g)| fits(p, f, 9) && fits(q, g, 8) && !p.trim_start_matches('0').is_empty()) {
                prop_assert!(said.is_some(), "{}", raw);
            }
            if said.is_some() {
                prop_assert_eq!(said, general(raw.as_bytes()));
            }
        }

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
