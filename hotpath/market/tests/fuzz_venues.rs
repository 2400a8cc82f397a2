//! No bytes make a venue's decoder panic, and a message that is refused was not handed over in part.
//!
//! Each target runs its committed corpus, then random input for a second; `cargo bolero test NAME` runs one for as long as it is let.

use chronos_market::Timestamp;
use chronos_market::decode::{
    BitfinexDecoder, BitstampDecoder, BybitDecoder, CoinbaseDecoder, CryptofeedLine, DecodeSink, Decoder, KrakenDecoder,
    LobsterDecoder, Message, TardisCsvDecoder, TardisLine, reply_symbol, split_cryptofeed_line, split_tardis_line,
};
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
struct Counting(u32);

impl DecodeSink for Counting {
    fn message(&mut self, _recv: Timestamp, _message: &Message<'_>) {
        self.0 += 1;
    }
}

/// A target for a decoder: one that has read whatever came before, and a new one.
macro_rules! messages_of {
    ($target:ident, $new:expr) => {
        #[test]
        fn $target() {
            let shared = Mutex::new($new);
            bolero::check!().for_each(|raw: &[u8]| {
                let mut seasoned = shared.lock().unwrap_or_else(PoisonError::into_inner);
                for decoder in [&mut *seasoned, &mut $new] {
                    let mut heard = Counting::default();
                    let decoded = decoder.decode(raw, Timestamp(0), &mut heard);
                    assert!(decoded.is_ok() || heard.0 == 0, "{decoded:?} after {} messages", heard.0);
                    decoder.recognises(raw);
                }
            });
        }
    };
}

messages_of!(kraken_message, KrakenDecoder::new());
messages_of!(bitstamp_message, BitstampDecoder::new());
messages_of!(bitstamp_log_line, BitstampDecoder::new());
messages_of!(lobster_row, LobsterDecoder::new("AAPL", 1_340_251_200_000_000_000));

/// A connection with a channel of each kind.
fn bitfinex() -> BitfinexDecoder {
    let mut decoder = BitfinexDecoder::new();
    for (id, terms) in [(1, r#""book","prec":"R0""#), (2, r#""book","prec":"P0""#), (3, r#""trades""#), (4, r#""ticker""#)] {
        let subscribed = format!(r#"{{"event":"subscribed","chanId":{id},"symbol":"tBTCUSD","channel":{terms}}}"#);
        decoder.decode(subscribed.as_bytes(), Timestamp(0), &mut Counting::default()).unwrap();
    }
    decoder
}

messages_of!(bitfinex_message, bitfinex());

messages_of!(bybit_message, BybitDecoder::new());
messages_of!(coinbase_message, CoinbaseDecoder::new());

#[test]
fn tardis_csv_file() {
    bolero::check!().for_each(|file: &[u8]| {
        let (mut decoder, mut heard) = (TardisCsvDecoder::new("x_liquidations_x"), Counting::default());
        for line in file.split(|&byte| byte == b'\n') {
            let _ = decoder.decode(line, Timestamp(0), &mut heard);
        }
        decoder.finish(&mut heard);
        let before = heard.0;
        decoder.finish(&mut heard);
        assert_eq!(heard.0, before, "handed over twice");
    });
}

#[test]
fn recorder_line() {
    bolero::check!().for_each(|line: &[u8]| {
        let is_part = |part: &[u8]| !part.is_empty() && line.windows(part.len()).any(|window| window == part);
        match split_cryptofeed_line(line) {
            Ok(CryptofeedLine::Received { message, .. }) => assert!(is_part(message)),
            Ok(CryptofeedLine::Reply { url, message, .. }) => {
                assert!(is_part(message) && reply_symbol(url).is_none_or(|symbol| is_part(symbol.as_bytes())));
            }
            _ => {}
        }
        if let Ok(TardisLine::Message { message, recv }) = split_tardis_line(line) {
            assert!(is_part(message) && recv.0 >= 0);
        }
    });
}
