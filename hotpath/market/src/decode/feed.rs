//! Every feed there is a decoder for, as one type.

use super::{
    BinanceDecoder, BitfinexDecoder, BitstampDecoder, BybitDecoder, CoinbaseDecoder, DbnDecoder, DbnMetadata, DecodeError,
    DecodeSink, Decoder, FeedProtocol, ItchDecoder, KrakenDecoder, LinkType, LobsterDecoder, Message, PacketDecoder, ReorderWindow,
    TardisCsvDecoder,
};
use crate::instrument::Exchange;
use crate::time::Timestamp;

/// A feed: who sends it, and what its decoder has to know beforehand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Feed {
    /// JSON of a Binance market.
    Binance(Exchange),
    /// JSON of Bitfinex.
    Bitfinex,
    /// JSON of Bitstamp, or lines of its first recorders.
    Bitstamp,
    /// JSON of a Bybit market.
    Bybit(Exchange),
    /// JSON of Coinbase.
    Coinbase,
    /// JSON of Kraken.
    Kraken,
    /// Rows of a LOBSTER message file; a row of the order book file among them seeds the book.
    Lobster {
        /// The ticker.
        symbol: String,
        /// Midnight in New York.
        midnight: Timestamp,
    },
    /// Lines of a Tardis CSV file of this name.
    TardisCsv(String),
    /// Captured packets.
    Packets {
        /// Which feed is in them.
        protocol: FeedProtocol,
        /// What their first bytes are.
        link_type: LinkType,
        /// Midnight in New York at the beginning of the day.
        midnight: Timestamp,
    },
    /// Messages of a NASDAQ BinaryFILE.
    ItchFile {
        /// Midnight in New York.
        midnight: Timestamp,
    },
    /// Records of a Databento file.
    Dbn(DbnMetadata),
}

impl Feed {
    /// The venue.
    pub fn exchange(&self) -> Exchange {
        match self {
            Feed::Binance(exchange) | Feed::Bybit(exchange) => *exchange,
            Feed::Bitfinex => Exchange::Bitfinex,
            Feed::Bitstamp => Exchange::Bitstamp,
            Feed::Coinbase => Exchange::Coinbase,
            Feed::Kraken => Exchange::Kraken,
            Feed::Lobster { .. } | Feed::ItchFile { .. } | Feed::Packets { protocol: FeedProtocol::Itch50, .. } => Exchange::Nasdaq,
            Feed::Packets { .. } => Exchange::Iex,
            Feed::Dbn(_) => Exchange::Databento,
            Feed::TardisCsv(_) => Exchange::Other,
        }
    }

    /// A decoder at the beginning of the feed, with its memory taken.
    pub fn decoder(&self) -> FeedDecoder {
        match self {
            Feed::Binance(_) => FeedDecoder::Binance(BinanceDecoder::new()),
            Feed::Bitfinex => FeedDecoder::Bitfinex(BitfinexDecoder::new()),
            Feed::Bitstamp => FeedDecoder::Bitstamp(BitstampDecoder::new()),
            Feed::Bybit(_) => FeedDecoder::Bybit(BybitDecoder::new()),
            Feed::Coinbase => FeedDecoder::Coinbase(CoinbaseDecoder::new()),
            Feed::Kraken => FeedDecoder::Kraken(KrakenDecoder::new()),
            Feed::Lobster { symbol, midnight } => FeedDecoder::Lobster(LobsterDecoder::new(symbol, midnight.0)),
            Feed::TardisCsv(name) => FeedDecoder::TardisCsv(TardisCsvDecoder::new(name)),
            Feed::Packets { link_type, midnight, .. } => {
                let mut decoder = PacketDecoder::new(*midnight, ReorderWindow::default());
                decoder.set_link_type(*link_type);
                FeedDecoder::Packets(Box::new(decoder))
            }
            Feed::ItchFile { midnight } => FeedDecoder::ItchFile(Box::new(ItchDecoder::new(*midnight))),
            Feed::Dbn(metadata) => FeedDecoder::Dbn(Box::new(DbnDecoder::new(metadata.clone()))),
        }
    }
}

/// A decoder of any feed.
#[expect(clippy::large_enum_variant, reason = "there are a few of them in all, and the largest is the one that must be near")]
pub enum FeedDecoder {
    /// See [`Feed::Binance`].
    Binance(BinanceDecoder),
    /// See [`Feed::Bitfinex`].
    Bitfinex(BitfinexDecoder),
    /// See [`Feed::Bitstamp`].
    Bitstamp(BitstampDecoder),
    /// See [`Feed::Bybit`].
    Bybit(BybitDecoder),
    /// See [`Feed::Coinbase`].
    Coinbase(CoinbaseDecoder),
    /// See [`Feed::Kraken`].
    Kraken(KrakenDecoder),
    /// See [`Feed::Lobster`].
    Lobster(LobsterDecoder),
    /// See [`Feed::TardisCsv`].
    TardisCsv(TardisCsvDecoder),
    /// See [`Feed::Packets`].
    Packets(Box<PacketDecoder>),
    /// See [`Feed::ItchFile`].
    ItchFile(Box<ItchDecoder>),
    /// See [`Feed::Dbn`].
    Dbn(Box<DbnDecoder>),
}

impl FeedDecoder {
    /// Says whose messages follow that name no symbol, as a REST reply from a certain address. Where this decoder has no use for it
    /// the messages still name none.
    pub fn set_symbol(&mut self, symbol: &str) {
        match self {
            FeedDecoder::Bitstamp(decoder) => decoder.set_symbol(symbol),
            FeedDecoder::Coinbase(decoder) => decoder.set_symbol(symbol),
            _ => {}
        }
    }

    /// Decodes a made-up message to nobody, where that changes nothing that follows: Binance's, whose messages stand for themselves. Keeps
    /// the decoder in the core's cache while there is nothing to decode.
    pub fn rehearse(&mut self) {
        if let FeedDecoder::Binance(decoder) = self {
            // It is well formed, and nobody would hear of it if it were not.
            let _ = decoder.decode(REHEARSAL, Timestamp(0), &mut Nobody);
        }
    }

    /// Hands over what is still held: the feed is at its end.
    ///
    /// # Errors
    /// As [`Decoder::decode`].
    pub fn finish(&mut self, recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        match self {
            FeedDecoder::Packets(decoder) => decoder.finish(recv, out),
            FeedDecoder::TardisCsv(decoder) => {
                decoder.finish(out);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

const REHEARSAL: &[u8] = br#"{"stream":"xusdt@depth@0ms","data":{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"XUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"],["61496.50","0.010"],["61510.90","0.000"],["61641.50","1.211"]],"a":[["61652.80","0.195"],["61653.30","0.072"],["61653.70","0.067"],["61657.90","0.067"]]}}"#;

struct Nobody;

impl DecodeSink for Nobody {
    fn message(&mut self, _recv: Timestamp, message: &Message<'_>) {
        std::hint::black_box(message);
    }
}

impl Decoder for FeedDecoder {
    #[inline]
    fn decode(&mut self, raw: &[u8], recv: Timestamp, out: &mut impl DecodeSink) -> Result<(), DecodeError> {
        match self {
            FeedDecoder::Binance(decoder) => decoder.decode(raw, recv, out),
            FeedDecoder::Bitfinex(decoder) => decoder.decode(raw, recv, out),
            FeedDecoder::Bitstamp(decoder) => decoder.decode(raw, recv, out),
            FeedDecoder::Bybit(decoder) => decoder.decode(raw, recv, out),
            FeedDecoder::Coinbase(decoder) => decoder.decode(raw, recv, out),
            FeedDecoder::Kraken(decoder) => decoder.decode(raw, recv, out),
            // A message has six columns, some files a seventh; a book has four a level.
            FeedDecoder::Lobster(decoder) => match raw.iter().filter(|&&byte| byte == b',').count() {
                5 | 6 => decoder.decode(raw, recv, out),
                _ => decoder.seed(raw, recv, out),
            },
            FeedDecoder::TardisCsv(decoder) => decoder.decode(raw, recv, out),
            FeedDecoder::Packets(decoder) => decoder.decode(raw, recv, out),
            FeedDecoder::ItchFile(decoder) => decoder.decode(raw, recv, out),
            FeedDecoder::Dbn(decoder) => decoder.decode(raw, recv, out),
        }
    }
}
