use super::reference::capture;
use chronos_market::decode::*;

/// Every line of every cryptofeed capture is split, and holds as many messages as are known to be there.
#[test]
fn every_line_of_the_cryptofeed_captures() {
    for (name, received) in [
        ("BINANCE.ws.1.0", 265),
        ("BINANCE_DELIVERY.ws.1.0", 4_371),
        ("BINANCE_FUTURES.ws.1.0", 1_535),
        ("BITSTAMP.ws.1.0", 747),
        ("BYBIT.ws.26.0", 1_098),
        ("COINBASE.ws.28.0", 9_946),
        ("KRAKEN.ws.50.0", 4_321),
    ] {
        let Some(lines) = capture(&format!("cryptofeed/{name}.txt.zst")) else { return };
        let (mut opened, mut messages) = (0, 0);
        for line in lines.iter().filter(|line| !line.is_empty()) {
            match split_cryptofeed_line(line.as_bytes()).unwrap_or_else(|error| panic!("{line}: {error}")) {
                CryptofeedLine::Opened { .. } => opened += 1,
                CryptofeedLine::Received { message, .. } => {
                    assert!(line.as_bytes().ends_with(message) && matches!(message[0], b'{' | b'['), "{line}");
                    messages += 1;
                }
                CryptofeedLine::Sent { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((opened, messages), (1, received), "{name}");
    }
}

/// A reply is of the symbol in its address: the book that follows is of a symbol that the diffs name.
#[test]
fn replies_of_bitstamp_are_of_the_symbols_subscribed_to() {
    let Some(replies) = capture("cryptofeed/BITSTAMP.http.0.0.txt.zst") else { return };
    let Some(stream) = capture("cryptofeed/BITSTAMP.ws.1.0.txt.zst") else { return };
    let mut symbols = Vec::new();
    for line in replies.iter().filter(|line| line.contains("/order_book/")) {
        let Ok(CryptofeedLine::Reply { url, .. }) = split_cryptofeed_line(line.as_bytes()) else { panic!("{line}") };
        let channel = format!("\"diff_order_book_{}\"", reply_symbol(url).unwrap());
        assert!(stream.iter().any(|line| line.contains(&channel)), "{url}");
        symbols.push(channel);
    }
    symbols.sort();
    symbols.dedup();
    assert_eq!(symbols.len(), 10);
}
