use super::reference::{Json, agrees_with_reference, capture, decoded, difference, folded, iso, level, received, shown};
use chronos_market::decode::*;
use chronos_market::{Bbo, Level, Price, Qty, Side};
use std::collections::BTreeMap;

/// Whether `full` was seen, and the columns of `level3`.
#[derive(Default)]
struct Reference {
    is_full: bool,
    schema: BTreeMap<String, Vec<String>>,
}

const LEVEL3: [&str; 5] = ["change", "done", "match", "noop", "open"];

impl Reference {
    fn decode(&mut self, root: &Json) -> Option<Vec<String>> {
        self.message(root).map(|message| vec![message])
    }

    fn message(&mut self, root: &Json) -> Option<String> {
        let control = Some(shown(Message::Ignored(Ignored::Control)));
        if let Some(row) = root.list() {
            return self.level3(row);
        }
        let Some(kind) = root.get("type").and_then(Json::string) else { return reply(root) };
        match kind {
            "subscriptions" if root.get("channels").is_some() => {
                let names: Vec<_> = root.get("channels")?.list()?.iter().map(|channel| channel.text("name")).collect();
                self.is_full |= names.contains(&Some("full"));
                return control;
            }
            "level3" => {
                let schema = root.get("schema")?;
                for name in LEVEL3 {
                    let columns = schema.get(name)?.list()?.iter().map(|column| column.string().unwrap_or("").to_owned());
                    self.schema.insert(name.into(), columns.collect());
                }
                return control;
            }
            "status" if root.get("products").is_some() => return Some(shown(Message::Ignored(Ignored::Definition))),
            "error" if root.get("message").is_some() => return control,
            "heartbeat" if root.get("sequence").is_some() => return control,
            _ => {}
        }
        let symbol = root.text("product_id")?;
        let ignored = |ignored| Some(shown(Message::Ignored(ignored)));
        match kind {
            "snapshot" => {
                let mut levels = sound_pairs(root.get("bids")?, Side::Buy)?;
                levels.extend(sound_pairs(root.get("asks")?, Side::Sell)?);
                book(root, symbol, true, &levels)
            }
            "l2update" => {
                let mut levels = Vec::new();
                for change in root.get("changes")?.list()? {
                    let [side, price, size, ..] = change.list()? else { return None };
                    let side = self::side(side)?;
                    if !size.string().is_some_and(|size| size.starts_with("0.-")) {
                        levels.extend(level(side, price, size)?);
                    }
                }
                book(root, symbol, false, &levels)
            }
            "ticker" => {
                let part = |price: &str, size: &str| Some(Level { price: root.get(price)?.price()?, qty: root.get(size)?.qty()? });
                if root.get("best_bid_size").is_none() || root.get("best_ask_size").is_none() {
                    return ignored(Ignored::Ticker);
                }
                Some(shown(Message::Quote(QuoteMessage {
                    symbol,
                    id: root.get("sequence")?.unsigned()?,
                    bbo: Bbo { bid: part("best_bid", "best_bid_size")?, ask: part("best_ask", "best_ask_size")? },
                    exchange_ns: time(root.get("time"))?,
                })))
            }
            "last_match" => ignored(Ignored::Statistics),
            "match" if !self.is_full => Some(shown(Message::Trade(TradeMessage {
                symbol,
                id: root.get("trade_id")?.unsigned()?,
                price: root.get("price")?.positive_price()?,
                qty: root.get("size")?.qty()?,
                aggressor: Some(side(root.get("side")?)?.opposite()),
                exchange_ns: time(root.get("time"))?,
            }))),
            _ => {
                let action = full_action(root, kind)?;
                let link = Link::Consecutive(root.get("sequence")?.unsigned()?);
                let exchange_ns = time(root.get("time"))?;
                self.is_full = true;
                Some(shown(Message::Order(OrderMessage { symbol, link, exchange_ns, is_last: true, action })))
            }
        }
    }

    fn level3(&self, row: &[Json]) -> Option<String> {
        let kind = row.first()?.string().filter(|kind| LEVEL3.contains(kind))?;
        let columns = self.schema.get(kind)?;
        let part = |names: &[&str]| row.get(columns.iter().rposition(|column| names.contains(&column.as_str()))?);
        let id = || part(&["order_id", "maker_order_id"])?.string().map(folded);
        let size = || part(&["size"])?.qty();
        let action = match kind {
            "noop" => OrderAction::Nothing,
            "done" => OrderAction::Delete { id: id()? },
            "match" => OrderAction::Execute { id: id()?, qty: size()?, price: None, trade_id: 0, is_printable: true },
            "open" => {
                let side = side(part(&["side"])?)?;
                let (price, id, qty) = (part(&["price"])?.book_price(side)?, id()?, size()?);
                price.map_or(OrderAction::Nothing, |price| OrderAction::Add(RestingOrder { id, side, price, qty }))
            }
            _ => OrderAction::Replace { id: id()?, new_id: id()?, price: part(&["price"])?.positive_price()?, qty: size()? },
        };
        Some(shown(Message::Order(OrderMessage {
            symbol: part(&["product_id"])?.string()?,
            link: Link::Consecutive(part(&["sequence"])?.unsigned()?),
            exchange_ns: time(Some(part(&["time"])?))?,
            is_last: true,
            action,
        })))
    }
}

fn full_action(root: &Json, kind: &str) -> Option<OrderAction> {
    let id = |name| root.text(name).map(folded);
    let resting = |price: &str, size: &str| {
        let side = side(root.get("side")?)?;
        let (price, id, qty) = (root.get(price)?.book_price(side)?, id("order_id")?, root.get(size)?.qty()?);
        Some(price.map(|price| RestingOrder { id, side, price, qty }))
    };
    Some(match kind {
        "received" | "activate" => OrderAction::Nothing,
        "open" => resting("price", "remaining_size")?.map_or(OrderAction::Nothing, OrderAction::Add),
        "done" => {
            let never_rests = root.get("price").is_none() || root.text("reason") == Some("filled");
            if never_rests { OrderAction::Nothing } else { OrderAction::Delete { id: id("order_id")? } }
        }
        "match" => OrderAction::Execute {
            id: id("maker_order_id")?,
            qty: root.get("size")?.qty()?,
            price: None,
            trade_id: root.get("trade_id")?.unsigned()?,
            is_printable: true,
        },
        "change" => {
            let price = ["new_price", "price"].into_iter().find(|name| root.get(name).is_some());
            match (root.get("new_size"), price) {
                (Some(_), Some(price)) => match resting(price, "new_size")? {
                    Some(order) => OrderAction::Modify(order),
                    None => OrderAction::Delete { id: id("order_id")? },
                },
                _ => OrderAction::Nothing,
            }
        }
        _ => return None,
    })
}

fn sound_pairs(list: &Json, side: Side) -> Option<Vec<LevelChange>> {
    let mut levels = Vec::new();
    for row in list.list()? {
        let [price, size, ..] = row.list()? else { return None };
        if !size.string().is_some_and(|size| size.starts_with("0.-")) {
            levels.extend(level(side, price, size)?);
        }
    }
    Some(levels)
}

fn side(value: &Json) -> Option<Side> {
    match value.string()? {
        "buy" => Some(Side::Buy),
        "sell" => Some(Side::Sell),
        _ => None,
    }
}

fn time(value: Option<&Json>) -> Option<i64> {
    match value.map(Json::string) {
        None => Some(0),
        Some(Some(text)) if text.starts_with("0001-01-01T") => Some(0),
        Some(text) => iso(text?),
    }
}

fn book(root: &Json, symbol: &str, is_snapshot: bool, levels: &[LevelChange]) -> Option<String> {
    Some(shown(Message::Book(BookMessage {
        symbol,
        link: Link::None,
        exchange_ns: time(root.get("time"))?,
        is_snapshot,
        is_last: true,
        depth_max: None,
        checksum: None,
        levels,
    })))
}

fn reply(root: &Json) -> Option<String> {
    let (bids, asks) = (root.get("bids")?, root.get("asks")?);
    let (last_id, exchange_ns) = (root.get("sequence")?.unsigned()?, time(root.get("time"))?);
    let first = [bids, asks].into_iter().filter_map(|rows| rows.list()?.first()).next();
    let has_ids = first.and_then(|row| row.list()?.get(2)?.string()).is_some();
    let (mut levels, mut orders) = (Vec::new(), Vec::new());
    for (rows, side) in [(bids, Side::Buy), (asks, Side::Sell)] {
        for row in rows.list()? {
            let row = row.list()?;
            if has_ids {
                let [price, size, id, ..] = row else { return None };
                let (price, qty, id) = (price.book_price(side)?, size.qty()?, folded(id.string()?));
                orders.extend(price.map(|price| RestingOrder { id, side, price, qty }));
            } else {
                levels.extend(level(side, row.first()?, row.get(1)?)?);
            }
        }
    }
    let symbol = Some("YFI-USD");
    Some(shown(if has_ids {
        Message::OrderSnapshot(OrderSnapshotMessage { symbol, link: Link::Consecutive(last_id), exchange_ns, orders: &orders })
    } else {
        Message::Snapshot(SnapshotMessage { symbol, last_id, exchange_ns, levels: &levels })
    }))
}

const SCHEMA: &str = r#"{"type":"level3","schema":{"change":["type","product_id","sequence","order_id","price","size","time"],"done":["type","product_id","sequence","order_id","time"],"match":["type","product_id","sequence","maker_order_id","taker_order_id","price","size","time"],"noop":["type","product_id","sequence","time"],"open":["type","product_id","sequence","order_id","side","price","size","time"]}}"#;

/// A decoder that knows the columns of `level3` and whose replies come.
fn told() -> CoinbaseDecoder {
    let mut decoder = CoinbaseDecoder::new();
    decoder.set_symbol("YFI-USD");
    decoded(&mut decoder, SCHEMA.as_bytes()).unwrap();
    decoder
}

fn told_reference() -> Reference {
    let mut reference = Reference::default();
    reference.decode(&Json::read(SCHEMA).unwrap()).unwrap();
    reference
}

agrees_with_reference!("coinbase_message", told(), told_reference());

#[test]
fn agrees_on_the_whole_capture() {
    let Some(lines) = capture("cryptofeed/COINBASE.ws.28.0.txt.zst") else { return };
    let (mut decoder, mut reference) = (CoinbaseDecoder::new(), Reference::default());
    let (mut messages, mut snapshots, mut changes, mut trades) = (0, 0, 0, 0);
    for raw in received(&lines) {
        let ours = decoded(&mut decoder, raw.as_bytes());
        assert!(decoder.recognises(raw.as_bytes()) && ours.is_ok(), "{ours:?}: {raw}");
        messages += 1;
        for message in ours.iter().flatten() {
            snapshots += usize::from(message.contains("is_snapshot: true"));
            changes += usize::from(message.contains("is_snapshot: false"));
            trades += usize::from(message.contains("Trade("));
        }
        if let Some(difference) = difference(ours, raw, |root| reference.decode(root)) {
            panic!("{difference}");
        }
    }
    assert_eq!((messages, snapshots, changes, trades), (9_946, 10, 9_719, 97));
}

/// On `matches` a match is a trade; after the first message that only `full` has, it is an execution.
#[test]
fn a_match_is_an_execution_once_the_feed_is_full() {
    const MATCH: &str = r#"{"type":"match","trade_id":7,"maker_order_id":"00000000-0000-0001-0000-000000000002","taker_order_id":"x","side":"sell","size":"0.5","price":"10","product_id":"A-USD","sequence":12,"time":"2019-06-01T00:00:10.382000Z"}"#;
    const OPEN: &str = r#"{"type":"open","time":"2019-06-01T00:00:10.382000Z","product_id":"A-USD","sequence":11,"order_id":"00000000-0000-0001-0000-000000000002","price":"10","remaining_size":"1.00","side":"sell"}"#;
    let mut decoder = CoinbaseDecoder::new();
    let exchange_ns = 1_559_347_210_382_000_000;
    let (symbol, price, qty) = ("A-USD", Price(10_000_000_000), Qty(50_000_000));
    let trade = TradeMessage { symbol, id: 7, price, qty, aggressor: Some(Side::Buy), exchange_ns };
    assert_eq!(decoded(&mut decoder, MATCH.as_bytes()), Ok(vec![shown(Message::Trade(trade))]));
    let order = |sequence, action| {
        let link = Link::Consecutive(sequence);
        shown(Message::Order(OrderMessage { symbol, link, exchange_ns, is_last: true, action }))
    };
    let add = OrderAction::Add(RestingOrder { id: 3, side: Side::Sell, price, qty: Qty(100_000_000) });
    assert_eq!(decoded(&mut decoder, OPEN.as_bytes()), Ok(vec![order(11, add)]));
    let execute = OrderAction::Execute { id: 3, qty, price: None, trade_id: 7, is_printable: true };
    assert_eq!(decoded(&mut decoder, MATCH.as_bytes()), Ok(vec![order(12, execute)]));
}
