//! `exchangeInfo` of Binance's three venues, as recorded.

use chronos_market::decode::{ListedInstrument, read_exchange_info};
use chronos_market::{Contract, Exchange, Market, MarketKind, Price, Qty};

/// The reply in a recording of `<address> -> <seconds>: <reply>` lines.
fn recorded(name: &str) -> Option<String> {
    let path = chronos_tests::data_file(name)?;
    let text = String::from_utf8(zstd::decode_all(std::fs::read(path).unwrap().as_slice()).unwrap()).unwrap();
    text.lines().find_map(|line| Some(line.split_once(" -> ")?.1.split_once(": ")?.1.to_owned()))
}

fn find<'a>(listed: &'a [ListedInstrument], symbol: &str) -> &'a ListedInstrument {
    listed.iter().find(|one| one.symbol == symbol).unwrap_or_else(|| panic!("{symbol}"))
}

fn price(text: &str) -> Price {
    Price::parse(text.as_bytes()).unwrap()
}

#[test]
fn futures_as_recorded_in_2021() {
    let Some(reply) = recorded("cryptofeed/BINANCE_FUTURES.0.txt.zst") else { return };
    let listed = read_exchange_info(Exchange::BinanceUsdm, reply.as_bytes()).unwrap();
    let sushi = find(&listed, "SUSHIUSDT");
    assert_eq!((sushi.market.to_string().as_str(), sushi.is_trading), ("SUSHI/USDT perpetual", true));
    assert!(sushi.listed.is_some() && sushi.terms.notional_min == price("5"));
    // A symbol and the list agree on what it trades, for all that trade.
    for one in listed.iter().filter(|one| one.is_trading) {
        assert_eq!(Market::of_symbol(Exchange::BinanceUsdm, &one.symbol).as_ref(), Some(&one.market), "{}", one.symbol);
        assert!(one.terms.tick.0 > 0 && one.terms.lot.0 > 0 && one.terms.qty_min.0 > 0, "{}", one.symbol);
    }

    let Some(reply) = recorded("cryptofeed/BINANCE_DELIVERY.0.txt.zst") else { return };
    let listed = read_exchange_info(Exchange::BinanceCoinm, reply.as_bytes()).unwrap();
    let bitcoin = find(&listed, "BTCUSD_PERP");
    assert_eq!((bitcoin.terms.contract, bitcoin.terms.lot), (Contract::inverse(100), Qty(100_000_000)));
    assert_eq!(find(&listed, "BTCUSD_210924").market.kind, MarketKind::Dated(210_924));
    for one in &listed {
        assert_eq!(Market::of_symbol(Exchange::BinanceCoinm, &one.symbol).as_ref(), Some(&one.market), "{}", one.symbol);
        assert!(matches!(one.terms.contract, Contract::Inverse { .. }), "{}", one.symbol);
    }
}

#[test]
fn trimmed_samples_of_spot_and_futures() {
    for (exchange, folder, count, symbol, tick) in [
        (Exchange::BinanceSpot, "binance-spot", 3, "ETHBTC", "0.000001"),
        (Exchange::BinanceUsdm, "binance-usdm", 2, "BTCUSDT", "0.01"),
    ] {
        let Some(path) = chronos_tests::data_file(&format!("../formats/samples/{folder}/rest_exchangeInfo_trimmed.json")) else {
            return;
        };
        let listed = read_exchange_info(exchange, &std::fs::read(path).unwrap()).unwrap();
        assert_eq!((listed.len(), find(&listed, symbol).terms.tick), (count, price(tick)), "{folder}");
        assert_eq!(Market::of_symbol(exchange, symbol).as_ref(), Some(&find(&listed, symbol).market));
    }
}
