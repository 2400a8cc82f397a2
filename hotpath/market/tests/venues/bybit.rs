use super::reference::{Json, agrees_with_reference, capture, decoded, difference, folded, level, pairs, rate, received, shown};
use chronos_market::decode::*;
use chronos_market::{Bbo, Level, Qty, Side};

struct Reference;

impl Reference {
    fn decode(&self, root: &Json) -> Option<Vec<String>> {
        let one = |message| Some(vec![shown(message)]);
        let Some(topic) = root.get("topic") else {
            return if root.text("conn_id").is_some() { one(Message::Ignored(Ignored::Control)) } else { None };
        };
        let topic: Vec<&str> = topic.string()?.split('.').collect();
        let ([kind, .., symbol], data) = (topic.as_slice(), root.get("data")?) else { return None };
        match *kind {
            "orderbook" => {
                let id = data.get("u")?.unsigned()?;
                let is_snapshot = is_snapshot(root)? || id == 1;
                let mut levels = pairs(data.get("b")?, Side::Buy)?;
                levels.extend(pairs(data.get("a")?, Side::Sell)?);
                let ms = root.get("cts").or_else(|| root.get("ts"))?.unsigned()?;
                one(book(symbol, Link::Consecutive(id), nanos(ms, 1_000_000)?, is_snapshot, &levels))
            }
            "orderBookL2_25" | "orderBook_200" => {
                let link = Link::Rising(root.get("cross_seq")?.unsigned()?);
                let exchange_ns = nanos(root.get("timestamp_e6")?.unsigned()?, 1_000)?;
                let is_snapshot = is_snapshot(root)?;
                let mut levels = Vec::new();
                if is_snapshot {
                    levels = old_levels(data.list().or_else(|| data.get("order_book")?.list())?, None)?;
                } else {
                    for (name, qty) in [("delete", Some(Json::Number("0".into()))), ("update", None), ("insert", None)] {
                        levels.extend(old_levels(data.get(name)?.list()?, qty.as_ref())?);
                    }
                }
                one(book(symbol, link, exchange_ns, is_snapshot, &levels))
            }
            "publicTrade" => data.list()?.iter().map(|row| trade(row, ["s", "i", "p", "v", "S", "T"])).collect(),
            "trade" => {
                let names = ["symbol", "trade_id", "price", "size", "side", "trade_time_ms"];
                data.list()?.iter().map(|row| trade(row, names)).collect()
            }
            "tickers" => ticker(root, data),
            "instrument_info" => one(Message::Ignored(Ignored::Ticker)),
            "kline" | "klineV2" | "candle" | "insurance" | "liquidation" | "allLiquidation" | "adlAlert" | "priceLimit" => {
                one(Message::Ignored(Ignored::Statistics))
            }
            _ => None,
        }
    }
}

fn nanos(value: u64, unit: i128) -> Option<i64> {
    i64::try_from(i128::from(value) * unit).ok()
}

fn is_snapshot(root: &Json) -> Option<bool> {
    match root.text("type")? {
        "snapshot" => Some(true),
        "delta" => Some(false),
        _ => None,
    }
}

fn side(value: &Json) -> Option<Side> {
    match value.string()? {
        "Buy" => Some(Side::Buy),
        "Sell" => Some(Side::Sell),
        _ => None,
    }
}

fn book<'a>(symbol: &'a str, link: Link, exchange_ns: i64, is_snapshot: bool, levels: &'a [LevelChange]) -> Message<'a> {
    Message::Book(BookMessage { symbol, link, exchange_ns, is_snapshot, is_last: true, depth_max: None, checksum: None, levels })
}

fn old_levels(rows: &[Json], qty: Option<&Json>) -> Option<Vec<LevelChange>> {
    let mut levels = Vec::new();
    for row in rows {
        let qty = match qty {
            Some(qty) => qty,
            None => row.get("size")?,
        };
        levels.extend(level(side(row.get("side")?)?, row.get("price")?, qty)?);
    }
    Some(levels)
}

fn trade(row: &Json, [symbol, id, price, qty, taker, time]: [&str; 6]) -> Option<String> {
    if row.get("BT") == Some(&Json::Bool(true)) {
        return Some(shown(Message::Ignored(Ignored::OffBookTrade)));
    }
    Some(shown(Message::Trade(TradeMessage {
        symbol: row.text(symbol)?,
        id: folded(row.text(id)?),
        price: row.get(price)?.positive_price()?,
        qty: row.get(qty)?.qty()?,
        aggressor: Some(side(row.get(taker)?)?),
        exchange_ns: nanos(row.get(time)?.unsigned()?, 1_000_000)?,
    })))
}

fn ticker(root: &Json, data: &Json) -> Option<Vec<String>> {
    let sent = |name: &str| data.get(name).filter(|value| value.string() != Some(""));
    let (symbol, exchange_ns) = (data.text("symbol")?, nanos(root.get("ts")?.unsigned()?, 1_000_000)?);
    let mut messages = Vec::new();
    if let Some(price) = sent("markPrice") {
        messages.push(shown(Message::Mark(MarkMessage {
            symbol,
            price: price.price()?,
            index_price: match sent("indexPrice") {
                Some(price) => Some(price.price()?),
                None => None,
            },
            funding_rate: match sent("fundingRate") {
                Some(value) => Some(rate(value.digits()?)?),
                None => None,
            },
            next_funding_ns: sent("nextFundingTime").map_or(Some(0), |time| nanos(time.unsigned()?, 1_000_000))?,
            exchange_ns,
        })));
    }
    if let [Some(bid), Some(bid_qty), Some(ask), Some(ask_qty)] = ["bid1Price", "bid1Size", "ask1Price", "ask1Size"].map(sent) {
        let level = |price: &Json, qty: &Json| Some(Level { price: price.price()?, qty: qty.qty()? });
        let bbo = Bbo { bid: level(bid, bid_qty)?, ask: level(ask, ask_qty)? };
        messages.push(shown(Message::Quote(QuoteMessage { symbol, id: 0, bbo, exchange_ns })));
    }
    if messages.is_empty() {
        messages.push(shown(Message::Ignored(Ignored::Ticker)));
    }
    Some(messages)
}

agrees_with_reference!("bybit_message", BybitDecoder::new(), Reference);

#[test]
fn agrees_on_the_capture_of_2021() {
    let Some(lines) = capture("cryptofeed/BYBIT.ws.26.0.txt.zst") else { return };
    let mut decoder = BybitDecoder::new();
    let (mut messages, mut snapshots, mut changes) = (0, 0, 0);
    for raw in received(&lines) {
        let ours = decoded(&mut decoder, raw.as_bytes());
        assert!(decoder.recognises(raw.as_bytes()) && ours.is_ok(), "{ours:?}: {raw}");
        messages += 1;
        for message in ours.iter().flatten() {
            snapshots += usize::from(message.contains("is_snapshot: true"));
            changes += usize::from(message.contains("is_snapshot: false"));
        }
        if let Some(difference) = difference(ours, raw, |root| Reference.decode(root)) {
            panic!("{difference}");
        }
    }
    assert_eq!((messages, snapshots, changes), (1_098, 2, 1_016));
}

#[test]
fn agrees_on_the_capture_of_2024() {
    let Some(lines) = capture("bybit/2024-12-01_XRPUSDT_ob500_first50.data.zip") else { return };
    let (mut decoder, mut next_id) = (BybitDecoder::new(), None);
    for raw in &lines {
        let ours = decoded(&mut decoder, raw.as_bytes());
        assert!(decoder.recognises(raw.as_bytes()) && ours.is_ok(), "{ours:?}: {raw}");
        let id = Json::read(raw).unwrap().get("data").unwrap().get("u").unwrap().unsigned().unwrap();
        assert!(ours.iter().flatten().all(|message| message.contains(&format!("link: Consecutive({id})"))));
        assert!(next_id.is_none_or(|next| next == id));
        next_id = Some(id + 1);
        if let Some(difference) = difference(ours, raw, |root| Reference.decode(root)) {
            panic!("{difference}");
        }
    }
    assert_eq!(lines.len(), 50);
}

#[test]
fn a_book_numbered_one_is_a_snapshot() {
    let raw = r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":1672304484978,"data":{"s":"BTCUSDT","b":[["16493.50","0.006"]],"a":[],"u":1,"seq":7961638724},"cts":1672304484976}"#;
    let levels = [LevelChange { side: Side::Buy, price: chronos_market::Price(16_493_500_000_000), qty: Qty(600_000) }];
    let expected = shown(book("BTCUSDT", Link::Consecutive(1), 1_672_304_484_976_000_000, true, &levels));
    assert_eq!(decoded(&mut BybitDecoder::new(), raw.as_bytes()), Ok(vec![expected]));
}
