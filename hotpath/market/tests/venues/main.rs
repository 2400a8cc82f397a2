//! Every venue's decoder against a slow one that shares no code with it, on hand-written messages, on changed ones, and on the
//! whole of the real captures.

mod bitfinex;
mod bitstamp;
mod bybit;
mod coinbase;
mod kraken;
mod lobster;
mod recorders;
mod reference;
mod tardis;

use chronos_market::decode::{BitfinexDecoder, BitstampDecoder, BybitDecoder, CoinbaseDecoder, KrakenDecoder};

/// A message tells its venue by its key fields, and no other venue claims it.
#[test]
fn every_message_is_recognised_by_its_own_venue_alone() {
    let (mut bitfinex, mut bitstamp, mut bybit) = (BitfinexDecoder::new(), BitstampDecoder::new(), BybitDecoder::new());
    let (mut coinbase, mut kraken) = (CoinbaseDecoder::new(), KrakenDecoder::new());
    let venues = ["bitfinex", "bitstamp", "bybit", "coinbase", "kraken"];
    for (own, venue) in venues.iter().enumerate() {
        let mut recognised = 0;
        for message in reference::corpus(&format!("{venue}_message")) {
            let raw = message.as_bytes();
            let claims = [
                bitfinex.recognises(raw),
                bitstamp.recognises(raw),
                bybit.recognises(raw),
                coinbase.recognises(raw),
                kraken.recognises(raw),
            ];
            let others = claims.iter().zip(venues).filter(|(claim, name)| **claim && name != venue).count();
            // Written to look like Kraken's.
            assert!(others == 0 || message.contains("book-10"), "{message} of {venue}: {claims:?}");
            recognised += usize::from(claims[own]);
        }
        assert!(recognised >= 8, "{venue}: {recognised}");
    }
}
