use super::reference::{Json, agrees_with_reference, capture, decoded, difference, folded, iso, level, received, seconds, shown};
use chronos_market::decode::*;
use chronos_market::{Bbo, Level, Price, Qty, Side};
use std::collections::BTreeMap;

/// Depth and decimals of v2 books.
#[derive(Default)]
struct Reference(BTreeMap<String, (Option<u16>, u8, u8)>);

fn decimals(text: &str) -> u8 {
    text.split('.').nth(1).map_or(0, |digits| digits.len() as u8)
}

impl Reference {
    fn decode(&mut self, root: &Json) -> Option<Vec<String>> {
        let one = |message| Some(vec![shown(message)]);
        if let Some(items) = root.list() {
            return v1(items);
        }
        if let Some(event) = root.text("event") {
            let is_known = ["systemStatus", "subscriptionStatus", "heartbeat"].contains(&event);
            return if is_known { one(Message::Ignored(Ignored::Control)) } else { None };
        }
        if let Some(method) = root.text("method") {
            if !["subscribe", "unsubscribe", "ping", "pong"].contains(&method) {
                return None;
            }
            if let Some(result) = root.get("result")
                && result.text("channel") == Some("book")
                && let (Some(symbol), Some(depth)) = (result.text("symbol"), result.get("depth"))
            {
                self.0.entry(symbol.to_owned()).or_default().0 = Some(depth.unsigned()?.try_into().ok()?);
            }
            return one(Message::Ignored(Ignored::Control));
        }
        let channel = root.text("channel")?;
        if channel == "heartbeat" && root.text("type").is_none() {
            return one(Message::Ignored(Ignored::Control));
        }
        let kind = root.text("type").filter(|kind| ["snapshot", "update"].contains(kind))?;
        let data = root.get("data")?.list()?;
        match (channel, kind) {
            ("book", _) => {
                let mut messages = Vec::new();
                for entry in data {
                    messages.push(self.book(entry, kind == "snapshot")?);
                }
                Some(messages)
            }
            ("level3", "snapshot") => data.iter().map(level3_snapshot).collect(),
            ("level3", _) => data.iter().map(level3_update).collect::<Option<Vec<_>>>().map(|lists| lists.concat()),
            ("trade", "update") => data.iter().map(v2_trade).collect(),
            ("ticker", _) => data.iter().map(v2_quote).collect(),
            ("instrument", _) => one(Message::Ignored(Ignored::Definition)),
            ("status", _) => one(Message::Ignored(Ignored::Control)),
            ("trade" | "ohlc", _) => one(Message::Ignored(Ignored::Statistics)),
            _ => None,
        }
    }

    fn book(&mut self, entry: &Json, is_snapshot: bool) -> Option<String> {
        let symbol = entry.text("symbol")?;
        let mut levels = Vec::new();
        let (mut price_decimals, mut qty_decimals) = (0, 0);
        for (name, side) in [("bids", Side::Buy), ("asks", Side::Sell)] {
            for entry in entry.get(name)?.list()? {
                let (price, qty) = (entry.get("price")?, entry.get("qty")?);
                levels.extend(self::level(side, price, qty)?);
                price_decimals = decimals(price.digits()?).max(price_decimals);
                qty_decimals = decimals(qty.digits()?).max(qty_decimals);
            }
        }
        let crc32 = match entry.get("checksum") {
            Some(checksum) => Some(u32::try_from(checksum.unsigned()?).ok()?),
            None => None,
        };
        let exchange_ns = timestamp(entry)?;
        let known = self.0.entry(symbol.to_owned()).or_default();
        if is_snapshot {
            (known.1, known.2) = (price_decimals, qty_decimals);
        } else {
            (known.1, known.2) = (known.1.max(price_decimals), known.2.max(qty_decimals));
        }
        Some(shown(Message::Book(BookMessage {
            symbol,
            link: Link::None,
            exchange_ns,
            is_snapshot,
            is_last: true,
            depth_max: known.0,
            checksum: crc32.map(|crc32| BookChecksum { crc32, price_decimals: known.1, qty_decimals: known.2 }),
            levels: &levels,
        })))
    }
}

fn timestamp(entry: &Json) -> Option<i64> {
    match entry.get("timestamp") {
        Some(time) => iso(time.string()?),
        None => Some(0),
    }
}

fn v1(items: &[Json]) -> Option<Vec<String>> {
    let [id, contents @ .., channel, symbol] = items else { return None };
    let (channel, symbol) = (channel.string()?, symbol.string()?);
    if !matches!(id, Json::Number(_)) || contents.is_empty() {
        return None;
    }
    if channel == "trade" {
        let trades = contents.iter().filter_map(Json::list).flatten();
        return trades
            .map(|trade| {
                let [price, qty, time, side, ..] = trade.list()? else { return None };
                Some(shown(Message::Trade(TradeMessage {
                    symbol,
                    id: 0,
                    price: price.positive_price()?,
                    qty: qty.qty()?,
                    aggressor: if side.string()? == "b" {
                        Some(Side::Buy)
                    } else if side.string()? == "s" {
                        Some(Side::Sell)
                    } else {
                        return None;
                    },
                    exchange_ns: seconds(time.digits()?)?,
                })))
            })
            .collect();
    }
    let message = if channel == "spread" {
        let [bid, ask, time, bid_qty, ask_qty, ..] = contents[0].list()? else { return None };
        Message::Quote(QuoteMessage {
            symbol,
            id: 0,
            bbo: Bbo {
                bid: Level { price: bid.price()?, qty: bid_qty.qty()? },
                ask: Level { price: ask.price()?, qty: ask_qty.qty()? },
            },
            exchange_ns: seconds(time.digits()?)?,
        })
    } else if channel == "ticker" {
        Message::Ignored(Ignored::Ticker)
    } else if channel.starts_with("ohlc-") {
        Message::Ignored(Ignored::Statistics)
    } else {
        let depth = channel.strip_prefix("book-")?.parse().ok()?;
        return book_v1(contents, depth, symbol);
    };
    Some(vec![shown(message)])
}

fn book_v1(contents: &[Json], depth: u16, symbol: &str) -> Option<Vec<String>> {
    let mut levels = Vec::new();
    let mut times = vec![0];
    let mut places = (0, 0);
    let (mut crc32, mut is_snapshot, mut has_levels) = (None, false, false);
    for (name, value) in contents.iter().flat_map(Json::fields) {
        if name == "c" {
            crc32 = Some(u32::try_from(value.unsigned()?).ok()?);
        }
        if !["a", "as", "b", "bs"].contains(&name.as_str()) {
            continue;
        }
        is_snapshot |= name.len() == 2;
        has_levels = true;
        for row in value.list()? {
            let [price, qty, time, ..] = row.list()? else { return None };
            let side = if name.starts_with('a') { Side::Sell } else { Side::Buy };
            levels.extend(self::level(side, price, qty)?);
            times.push(seconds(time.digits()?)?);
            places = (decimals(price.digits()?).max(places.0), decimals(qty.digits()?).max(places.1));
        }
    }
    has_levels.then(|| {
        vec![shown(Message::Book(BookMessage {
            symbol,
            link: Link::None,
            exchange_ns: times.into_iter().max().unwrap(),
            is_snapshot,
            is_last: true,
            depth_max: Some(depth),
            checksum: crc32.map(|crc32| BookChecksum { crc32, price_decimals: places.0, qty_decimals: places.1 }),
            levels: &levels,
        }))]
    })
}

/// `Some(Err(id))` where the price is out of reach.
fn level3_order(order: &Json, side: Side) -> Option<Result<RestingOrder, u64>> {
    let (id, qty) = (folded(order.text("order_id")?), order.get("order_qty")?.qty()?);
    let price = order.get("limit_price")?.book_price(side)?;
    Some(price.map(|price| RestingOrder { id, side, price, qty }).ok_or(id))
}

fn both_sides(entry: &Json) -> Option<Vec<(&Json, Side)>> {
    let bids = entry.get("bids")?.list()?.iter().map(|order| (order, Side::Buy));
    Some(bids.chain(entry.get("asks")?.list()?.iter().map(|order| (order, Side::Sell))).collect())
}

fn level3_snapshot(entry: &Json) -> Option<String> {
    let orders: Option<Vec<_>> = both_sides(entry)?.into_iter().map(|(order, side)| level3_order(order, side)).collect();
    let orders: Vec<RestingOrder> = orders?.into_iter().flatten().collect();
    Some(shown(Message::OrderSnapshot(OrderSnapshotMessage {
        symbol: Some(entry.text("symbol")?),
        link: Link::None,
        exchange_ns: timestamp(entry)?,
        orders: &orders,
    })))
}

fn level3_update(entry: &Json) -> Option<Vec<String>> {
    let symbol = entry.text("symbol")?;
    let orders = both_sides(entry)?;
    let count = orders.len();
    orders
        .into_iter()
        .enumerate()
        .map(|(place, (order, side))| {
            let resting = level3_order(order, side)?;
            let action = match (order.text("event")?, resting) {
                ("add", Ok(order)) => OrderAction::Add(order),
                ("add", Err(_)) => OrderAction::Nothing,
                ("modify", Ok(order)) => OrderAction::Modify(order),
                ("delete" | "modify", resting) => OrderAction::Delete { id: resting.map_or_else(|id| id, |order| order.id) },
                _ => return None,
            };
            let is_last = place + 1 == count;
            let exchange_ns = timestamp(order)?;
            Some(shown(Message::Order(OrderMessage { symbol, link: Link::None, exchange_ns, is_last, action })))
        })
        .collect()
}

fn v2_trade(entry: &Json) -> Option<String> {
    Some(shown(Message::Trade(TradeMessage {
        symbol: entry.text("symbol")?,
        id: entry.get("trade_id")?.unsigned()?,
        price: entry.get("price")?.positive_price()?,
        qty: entry.get("qty")?.qty()?,
        aggressor: match entry.text("side")? {
            "buy" => Some(Side::Buy),
            "sell" => Some(Side::Sell),
            _ => return None,
        },
        exchange_ns: timestamp(entry)?,
    })))
}

fn v2_quote(entry: &Json) -> Option<String> {
    let side = |price: &str, qty: &str| {
        let (price, qty) = (entry.get(price)?.price()?, entry.get(qty)?.qty()?);
        Some(if qty.0 > 0 { Level { price, qty } } else { Level::default() })
    };
    Some(shown(Message::Quote(QuoteMessage {
        symbol: entry.text("symbol")?,
        id: 0,
        bbo: Bbo { bid: side("bid", "bid_qty")?, ask: side("ask", "ask_qty")? },
        exchange_ns: timestamp(entry)?,
    })))
}

agrees_with_reference!("kraken_message", KrakenDecoder::new(), Reference::default());

#[test]
fn agrees_on_the_whole_capture() {
    let Some(lines) = capture("cryptofeed/KRAKEN.ws.50.0.txt.zst") else { return };
    let (mut decoder, mut reference) = (KrakenDecoder::new(), Reference::default());
    let (mut messages, mut snapshots, mut checksums) = (0, 0, 0);
    for raw in received(&lines) {
        let ours = decoded(&mut decoder, raw.as_bytes());
        assert!(decoder.recognises(raw.as_bytes()) && ours.is_ok(), "{ours:?}: {raw}");
        for message in ours.iter().flatten() {
            snapshots += usize::from(message.contains("is_snapshot: true"));
            checksums += usize::from(message.contains("checksum: Some"));
        }
        messages += 1;
        if let Some(difference) = difference(ours, raw, |root| reference.decode(root)) {
            panic!("{difference}");
        }
    }
    assert_eq!((messages, snapshots, checksums), (4_321, 10, 4_269));
}

/// Changes of v2 leave out the zeros at the end; the decimals are those of the snapshot.
#[test]
fn v2_remembers_depth_and_decimals() {
    let mut decoder = KrakenDecoder::new();
    for raw in [
        r#"{"method":"subscribe","result":{"channel":"book","symbol":"A/USD","depth":25,"snapshot":true},"success":true}"#,
        r#"{"channel":"book","type":"snapshot","data":[{"symbol":"A/USD","bids":[{"price":0.5629,"qty":1.25}],"asks":[{"price":0.563,"qty":4422.9978357}],"checksum":1}]}"#,
    ] {
        decoded(&mut decoder, raw.as_bytes()).unwrap();
    }
    let change = r#"{"channel":"book","type":"update","data":[{"symbol":"A/USD","bids":[{"price":0.56,"qty":0}],"asks":[],"checksum":4294967295,"timestamp":"2023-10-06T17:35:00.5Z"}]}"#;
    let levels = [LevelChange { side: Side::Buy, price: Price(560_000_000), qty: Qty(0) }];
    let expected = shown(Message::Book(BookMessage {
        symbol: "A/USD",
        link: Link::None,
        exchange_ns: 1_696_613_700_500_000_000,
        is_snapshot: false,
        is_last: true,
        depth_max: Some(25),
        checksum: Some(BookChecksum { crc32: u32::MAX, price_decimals: 4, qty_decimals: 7 }),
        levels: &levels,
    }));
    assert_eq!(decoded(&mut decoder, change.as_bytes()), Ok(vec![expected]));
}
