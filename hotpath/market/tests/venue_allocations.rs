//! Once a decoder has seen every kind of message, it takes no memory and gives none back.

use chronos_market::Timestamp;
use chronos_market::decode::*;
use chronos_tests::allocation::{CountingAllocator, allocator_calls_of};
use std::path::Path;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Counts messages.
struct Heard(u64);

impl DecodeSink for Heard {
    fn message(&mut self, _recv: Timestamp, _message: &Message<'_>) {
        self.0 += 1;
    }
}

/// Decodes the committed messages of a target twice, but for those a subscription is told by; the second time nothing is taken.
fn check(target: &str, decoder: &mut impl Decoder) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/__fuzz__").join(target).join("corpus");
    let texts = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let is_subscription = |text: &str| text.contains("subscri") || text.contains("\"info\"");
    let messages: Vec<String> = texts.filter(|text| !is_subscription(text)).flat_map(|text| lines_of(&text)).collect();
    let mut heard = Heard(0);
    let mut decode_all = || {
        allocator_calls_of(|| {
            for message in &messages {
                let _ = decoder.decode(message.as_bytes(), Timestamp(0), &mut heard);
            }
        })
    };
    decode_all();
    assert_eq!(decode_all(), 0, "{target}");
    assert!(heard.0 >= 8, "{target}: {} messages", heard.0);
}

/// A file of rows is many messages; its header, which begins another file, is read once and left out here.
fn lines_of(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.starts_with("exchange,")).map(str::to_owned).collect()
}

#[test]
fn venues_of_json() {
    check("bitstamp_message", &mut BitstampDecoder::new());
    check("bybit_message", &mut BybitDecoder::new());
    check("coinbase_message", &mut CoinbaseDecoder::new());
    check("kraken_message", &mut KrakenDecoder::new());
    let mut bitfinex = BitfinexDecoder::new();
    for terms in [r#"1,"channel":"book","prec":"R0""#, r#"2,"channel":"book","prec":"P0""#, r#"3,"channel":"trades""#] {
        let told = format!(r#"{{"event":"subscribed","symbol":"tBTCUSD","chanId":{terms}}}"#);
        bitfinex.decode(told.as_bytes(), Timestamp(0), &mut Heard(0)).unwrap();
    }
    check("bitfinex_message", &mut bitfinex);
}

#[test]
fn files_of_rows() {
    check("lobster_row", &mut LobsterDecoder::new("AAPL", 1_340_251_200_000_000_000));
    let mut tardis = TardisCsvDecoder::new("");
    let header = b"exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount";
    tardis.decode(header, Timestamp(0), &mut Heard(0)).unwrap();
    check("tardis_csv_file", &mut tardis);
}
